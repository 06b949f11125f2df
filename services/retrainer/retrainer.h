/* SPDX-License-Identifier: Apache-2.0
 * retrainer.h - the settings of the service, and what its parts share. */
#ifndef ASSAY_RETRAINER_RETRAINER_H
#define ASSAY_RETRAINER_RETRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

struct service;
struct retrainer;
struct pg_session;

struct retrainer_settings {
    const char *pg_url, *pg_role;
    const char *clock;     /* "live" or "log" */
    const char *model_key; /* path of the secret key that signs bundles; empty: they are not signed */
    const char
        *model_keys;    /* path of those whose signatures a promotion asks for; empty: none is asked for */
    const char *stages; /* stages.h */
    int64_t attempts, nice, threads;
    int64_t turn_ms;
    int64_t online_others;  /* of payments without a label, one in so many teaches the online model */
    int64_t online_waiting; /* at most so many wait until they may */
};

extern const struct conf_field retrainer_fields[];
extern const size_t retrainer_field_count;

/* What the settings say that no table can check.
 *   ERR_INVALID  a clock that is none */
MUST_USE enum err retrainer_check(const struct retrainer_settings *conf, struct why *why);

/* Now, by the clock of the settings: the machine's, or the newest time that the log knows of an account on a
 * simulated clock (the machine's while there is none).   Errors are those of pg/pg.h */
MUST_USE enum err retrainer_now(const struct retrainer_settings *conf, struct pg_session *s, int64_t *now_us,
                                struct why *why);

/* Listens, and keeps watch. Ready when the last turn of the watch went well.
 * Errors are those of service_listen() and watch_open(). */
MUST_USE enum err retrainer_open(struct retrainer **out, struct service *app,
                                 const struct retrainer_settings *conf, struct why *why);
void retrainer_close(struct retrainer *r);

#endif
