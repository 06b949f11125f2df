/* SPDX-License-Identifier: Apache-2.0
 * errand.h - one POST that the thread of the alerts wants made on the loop, and what became of it. */
#ifndef ASSAY_MONITOR_ERRAND_H
#define ASSAY_MONITOR_ERRAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct courier;
struct deliver_conf;
struct loop;
struct metrics;

enum errand_kind { ERRAND_WEBHOOK, ERRAND_ALERTMANAGER, ERRAND_KIND_COUNT };

struct errand {
    enum errand_kind kind;
    int64_t delivery, webhook; /* of a webhook: outbox.h */
    int64_t failed;            /* attempts before this one */
    bool is_test;
    size_t manager; /* which Alertmanager */

    const char *url, *headers[4]; /* the arena's */
    size_t header_count;
    struct slice body;
    bool allow_http, allow_private;
    struct arena arena;

    int status; /* 0: there was no answer */
    struct why trouble;
    int64_t retry_after_s;
    struct errand *next;
    struct courier *courier;
};

void errand_free(struct errand *e);

/* Carries errands out, on the loop. `wake(ctx)` is called from the loop when one is back.
 * Errors are those of deliver_open(). */
MUST_USE enum err courier_open(struct courier **out, struct loop *loop, struct metrics *metrics,
                               const struct deliver_conf *conf, void (*wake)(void *ctx), void *ctx,
                               struct why *why);
/* What is under way is dropped. The loop's thread, when no other uses it any more. */
void courier_close(struct courier *c);

/* Takes it over. The thread of the alerts. */
void courier_send(struct courier *c, struct errand *e);
/* Those that are back, as a list, now the caller's. The thread of the alerts. */
struct errand *courier_collect(struct courier *c);

#endif
