/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/due.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cron/cron.h"

struct due {
    struct cron cron;
    struct zone *zone; /* NULL: UTC */
};

static const char *zone_dir(void)
{
    const char *dir = getenv("TZDIR");

    return dir && *dir ? dir : "/usr/share/zoneinfo";
}

static enum err read_zone(struct zone **out, struct slice name, struct why *why)
{
    const char *dir = zone_dir();
    char path[512], *bytes;
    size_t len;
    FILE *file;
    enum err err;

    if (slice_eq_str(name, "UTC"))
        return ERR_OK;
    if (!zone_name_is_safe(name))
        return err_set(why, ERR_NOT_FOUND, "\"%.*s\" is no name of a time zone", SLICE_ARG(name));
    snprintf(path, sizeof path, "%s/%.*s", dir, SLICE_ARG(name));
    file = fopen(path, "rbe");
    if (!file && errno == ENOENT && access(dir, F_OK) != 0)
        return err_set(why, ERR_NOT_FOUND, "time zone %.*s: there is no %s; is the package tzdata installed?",
                       SLICE_ARG(name), dir);
    if (!file && errno == ENOENT)
        return err_set(why, ERR_NOT_FOUND, "no time zone is named \"%.*s\": there is no %s", SLICE_ARG(name),
                       path);
    if (!file)
        return err_set(why, ERR_NOT_FOUND, "time zone %.*s: %s: %s", SLICE_ARG(name), path, strerror(errno));
    bytes = mem_new_n(char, ZONE_BYTES_MAX + 1);
    len = fread(bytes, 1, ZONE_BYTES_MAX + 1, file);
    fclose(file);
    err = zone_open(out, slice_of(bytes, len), why);
    mem_free(bytes);
    return err ? err_wrap(why, err, "time zone %.*s", SLICE_ARG(name)) : ERR_OK;
}

enum err due_open(struct due **out, struct slice cron, struct slice zone, struct why *why)
{
    struct due *d = mem_new(struct due);
    enum err err = cron_parse(&d->cron, cron, why);

    *out = NULL;
    if (!err)
        err = read_zone(&d->zone, zone, why);
    if (err) {
        due_close(d);
        return err;
    }
    *out = d;
    return ERR_OK;
}

void due_close(struct due *d)
{
    if (!d)
        return;
    zone_close(d->zone);
    mem_free(d);
}

int64_t due_next(const struct due *d, int64_t after_us)
{
    return cron_next(&d->cron, d->zone, after_us);
}

int64_t due_last(const struct due *d, int64_t after_us, int64_t now_us)
{
    int64_t last = INT64_MIN;

    for (int64_t at = due_next(d, after_us); at <= now_us; at = due_next(d, at))
        last = at;
    return last;
}

int64_t due_of(const struct schedule *schedule, int64_t now_us)
{
    struct why ignored;
    struct due *due;
    int64_t next;

    if (!schedule->is_enabled || due_open(&due, schedule->cron, schedule->zone, &ignored))
        return SCHEDULE_NEVER;
    next = due_next(due, schedule->fired_at_us == SCHEDULE_NEVER ? now_us : schedule->fired_at_us);
    due_close(due);
    return next;
}
