/* SPDX-License-Identifier: Apache-2.0 */
#include "versions.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "modelstore/modelstore.h"

/* Longer than a process that died counts as one that serves. */
enum { WAIT_US = 15000000, LOOK_EVERY_NS = 5000000 };

bool version_read(const char *text, int64_t *version)
{
    if (slice_to_i64(slice_str(text), version) && *version > 0)
        return true;
    command_fail(EXIT_USAGE, "\"%s\" is no version: `assay models list` prints them", text);
    return false;
}

bool version_read_expected(const char *text, int64_t *version)
{
    *version = MODEL_ANY;
    if (text == NULL)
        return true;
    if (strcmp(text, "none") != 0)
        return version_read(text, version);
    *version = MODEL_NONE;
    return true;
}

enum err in_effect_wait(struct pg_session *s, const char *name, int64_t version, struct in_effect *out,
                        struct why *why)
{
    int64_t began_us = clock_mono_us();
    struct model_served served;

    out->is_asked = true;
    for (;;) {
        enum err err = model_served(s, slice_str(name), "champion", version, &served, why);

        if (err)
            return err;
        out->processes = served.processes;
        out->with_version = served.with_version;
        out->took_us = clock_mono_us() - began_us;
        if (served.processes > 0 && served.with_version == served.processes)
            return ERR_OK;
        if (out->took_us > WAIT_US)
            return err_set(why, ERR_TIMEOUT,
                           "it is the champion, and after %d s in effect in %" PRId64 " of %" PRId64
                           " processes that score: /readyz and the log of the others say why",
                           WAIT_US / 1000000, served.with_version, served.processes);
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_EVERY_NS }, NULL);
    }
}

void in_effect_print(const struct in_effect *e)
{
    if (e->is_asked)
        printf(", in effect in %" PRId64 " process%s after %" PRId64 " ms", e->processes,
               e->processes == 1 ? "" : "es", e->took_us / MS_US);
    putchar('\n');
}

void in_effect_write(struct json_out *o, const struct in_effect *e)
{
    if (!e->is_asked)
        return;
    json_out_open(o, "in_effect");
    json_out_int(o, "processes", e->processes);
    json_out_number(o, "took_ms", (double)e->took_us / (double)MS_US);
    json_out_end(o);
}
