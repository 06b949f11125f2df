/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "home.h"
#include "shipped.h"

enum { BAD_ROWS_TOLD = 20 };

static void tell(void *context, uint64_t line, const char *reason)
{
    struct stream *s = context;

    if (s->told++ < BAD_ROWS_TOLD)
        fprintf(stderr, "%s:%" PRIu64 ": %s\n", s->path, line, reason);
    else if (s->told == BAD_ROWS_TOLD + 1)
        fprintf(stderr, "%s: more lines like these are only counted\n", s->path);
}

/* The key that turns card numbers into tokens: made once, readable by its owner only, the same for every
 * import, so that a card keeps its token. */
static enum err read_key(struct hash_key *key, const char *given, struct why *why)
{
    char home[PATH_MAX], path[PATH_MAX];
    ssize_t n;
    int fd;

    if (!given) {
        enum err err = home_open(home, NULL, why);

        if (err)
            return err;
        if (!home_path(path, home, "import.key"))
            return err_set(why, ERR_INVALID, "%s is too long", home);
        given = path;
    }
    if (sodium_init() < 0)
        return err_set(why, ERR_INTERNAL, "libsodium does not start");
    fd = open(given, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        randombytes_buf(key->bytes, sizeof key->bytes);
        n = write(fd, key->bytes, sizeof key->bytes);
        if (close(fd) || n != (ssize_t)sizeof key->bytes)
            return err_set(why, ERR_INVALID, "%s: %s", given, strerror(errno));
        return ERR_OK;
    }
    fd = open(given, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(why, ERR_INVALID, "%s: %s", given, strerror(errno));
    n = read(fd, key->bytes, sizeof key->bytes);
    close(fd);
    return n == (ssize_t)sizeof key->bytes ? ERR_OK
                                           : err_set(why, ERR_INVALID, "%s is not a key of 16 bytes", given);
}

static enum err open_mapping(struct stream *s, const struct stream_settings *settings, struct why *why)
{
    struct arena arena = { 0 };
    struct slice text;
    struct hash_key key;
    int64_t delay_us;
    enum err err = shipped_read(&text, "mappings/", settings->mapping, &arena, why);

    if (!err) {
        err = mapping_parse(&s->mapping, text, why);
        if (err)
            err = err_wrap(why, err, "%s", settings->mapping);
    }
    if (!err && settings->label_delay) {
        if (duration_parse(slice_str(settings->label_delay), &delay_us))
            mapping_set_label_delay(s->mapping, delay_us);
        else
            err = err_set(why, ERR_INVALID, "--label-delay is like 7d, 12h or 90s");
    }
    if (!err && mapping_needs_key(s->mapping)) {
        err = read_key(&key, settings->key_file, why);
        if (!err)
            mapping_set_key(s->mapping, &key);
    }
    arena_release(&arena);
    return err;
}

enum err stream_open(struct stream *s, const char *path, const struct stream_settings *settings,
                     struct why *why)
{
    struct dataset_options options = {
        .account = 1, .all_labels = settings->all_labels, .bad_row = tell, .context = s
    };
    enum err err;

    *s = (struct stream){ .path = path };
    if (!settings->mapping)
        return dataset_open_ndjson(&s->dataset, path, &options, why);
    err = open_mapping(s, settings, why);
    if (!err)
        err = dataset_open_csv(&s->dataset, path, s->mapping, &options, why);
    return err;
}

void stream_close(struct stream *s)
{
    dataset_close(s->dataset);
    mapping_free(s->mapping);
    *s = (struct stream){ 0 };
}

bool stream_time_parse(const char *text, int64_t *at_us)
{
    char day[64];

    if (strlen(text) == 10) {
        snprintf(day, sizeof day, "%sT00:00:00Z", text);
        text = day;
    }
    return rfc3339_parse(slice_str(text), at_us);
}
