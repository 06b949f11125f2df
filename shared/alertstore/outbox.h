/* SPDX-License-Identifier: Apache-2.0
 * outbox.h - messages on their way: the table `alert_deliveries`.
 *
 * A message is written in the SQL transaction that makes its alerts what it says, and stays pending until its webhook
 * has taken it or its last attempt failed: so each arrives at least once, whatever dies in between, and webhook-id is
 * the same at each attempt. Those of one webhook go one after the other, in the order in which they were written;
 * only a test may overtake them. One process at a time sends (turn.h).
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_ALERTSTORE_OUTBOX_H
#define ASSAY_ALERTSTORE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alerts/notice.h"
#include "alerts/webhook.h"
#include "alertstore/seal.h"
#include "base/arena.h"
#include "json/json_out.h"

struct pg_session;

enum { OUTBOX_MOST = 10000 }; /* pending for one webhook: what is beyond is not written */

/* Adds the notice for each webhook that is enabled; *written is for how many. */
MUST_USE enum err outbox_add(struct pg_session *s, const struct notice *notice, struct slice source,
                             int64_t now_us, size_t *written, struct why *why);
/* A message without alerts, tried once, now. *delivery is its number.
 *   ERR_NOT_FOUND  no such webhook   ERR_CONFLICT  it is disabled */
MUST_USE enum err outbox_add_test(struct pg_session *s, struct slice webhook, struct slice source,
                                  int64_t now_us, struct slice actor, int64_t *delivery, struct why *why);

/* One that is to be sent now. Texts are the arena's. */
struct outgoing {
    int64_t delivery, webhook;
    struct slice webhook_name, url, event, body;
    bool is_test;
    int64_t failed;                   /* attempts so far */
    struct webhook_secret secrets[2]; /* the current one first */
    size_t secret_count;              /* 0: they cannot be opened, and `trouble` says why */
    struct why trouble;
};
/* The first of each webhook that is enabled and not in `busy`, if it is due; at most `most`. */
MUST_USE enum err outbox_next(struct pg_session *s, const struct seal_key *key, const int64_t *busy,
                              size_t busy_count, int64_t now_us, size_t most, struct outgoing **out,
                              size_t *count, struct arena *arena, struct why *why);

enum outbox_end {
    OUTBOX_DELIVERED,
    OUTBOX_AGAIN,
    OUTBOX_FAILED,
    OUTBOX_GONE
}; /* GONE: 410, the webhook is disabled */
struct outbox_result {
    int64_t delivery;
    enum outbox_end end;
    int status;              /* of HTTP; 0: there was no answer */
    const char *trouble;     /* why it failed; may be NULL */
    int64_t now_us, next_us; /* next_us: of OUTBOX_AGAIN */
};
/* Fine when it is pending no more, or gone. */
MUST_USE enum err outbox_end(struct pg_session *s, const struct outbox_result *result, struct why *why);

struct outbox_state {
    int64_t waiting,
        oldest_us; /* of enabled webhooks; oldest_us: when it was written, INT64_MAX when none waits */
};
MUST_USE enum err outbox_state(struct pg_session *s, struct outbox_state *out, struct why *why);

/* Messages older than that, silences that have been over for so long, and alerts so long resolved, go. */
MUST_USE enum err outbox_prune(struct pg_session *s, int64_t before_us, struct why *why);

/* A row, as one JSON object is made of it. */
struct delivery_row {
    int64_t delivery;
    struct slice webhook, event, type, state, last_trouble;
    int64_t attempts, last_status;
    int64_t created_us, next_us, ended_us; /* ended_us: INT64_MIN while it is pending */
};
void delivery_row_write(struct json_out *o, const char *key, const struct delivery_row *d);
/* Of one alert (0: any) or with one number (0: any), the newest first. */
MUST_USE enum err delivery_row_list(struct pg_session *s, int64_t alert, int64_t delivery, size_t most,
                                    struct delivery_row **out, size_t *count, struct arena *arena,
                                    struct why *why);

#endif
