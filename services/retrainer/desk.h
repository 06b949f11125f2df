/* SPDX-License-Identifier: Apache-2.0
 * desk.h - answers requests that need PostgreSQL: one after another, in a thread with a connection of its own,
 * so that the loop never waits. They are rare, and a person's. */
#ifndef ASSAY_RETRAINER_DESK_H
#define ASSAY_RETRAINER_DESK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/server.h"

struct desk;
struct loop;
struct pg_session;
struct retrainer_settings;
struct trusted_keys;

/* One request, from the loop to the desk and back. The request itself is the loop's: the desk sees copies. */
struct call {
    struct http_request *req;
    struct slice authorization, body, id, query; /* id: what stands in the path; the arena's, as the others */
    int64_t before, limit;                       /* of a list: as its query says */
    int64_t now_us;
    enum err (*answer)(struct call *c, struct pg_session *s, struct why *why);

    struct arena arena;
    char actor[32];                        /* "key:<prefix>", once it is known */
    const struct retrainer_settings *conf; /* for the answer */
    const struct trusted_keys *keys;       /* whose signatures a promotion asks for; NULL: nobody's */
    struct buf out;                        /* JSON */
    int status;                            /* of an answer: 200 unless it says otherwise */
    enum err err;
    struct why why;
    struct call *next;
};

/* `changed` is called on the desk's thread after each answer to a request that changes something.
 * Errors are those of model_keys_read() and watch_open(). */
MUST_USE enum err desk_open(struct desk **out, struct loop *loop, const struct retrainer_settings *conf,
                            void (*changed)(void *ctx), void *ctx, struct why *why);
/* What is under way is answered first. */
void desk_close(struct desk *d);

/* Takes a request in: checks the key, which must have the scope `admin`, runs `answer`, and replies.
 * Beyond what fits in its queue: 503. */
void desk_ask(struct desk *d, struct http_request *req,
              enum err (*answer)(struct call *c, struct pg_session *s, struct why *why));

#endif
