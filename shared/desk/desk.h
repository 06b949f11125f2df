/* SPDX-License-Identifier: Apache-2.0
 * desk.h - answers requests that need PostgreSQL: one after another, in a thread with a connection of its own,
 * so that the loop never waits. They are rare, and a person's.
 *
 * What waits is bounded, in all and by person; beyond, the answer is 503, and 429, with a Retry-After of as long as the desk
 * has lately taken for so many. When whoever asked goes away, a request that changes nothing is dropped: from the queue
 * at once, and under way by having PostgreSQL stop its statement (pg_session_heed()); a long calculation asks desk_is_left().
 * What changes something is done all the same. */
#ifndef ASSAY_DESK_DESK_H
#define ASSAY_DESK_DESK_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/server.h"
#include "trace/context.h"

struct desk;
struct loop;
struct pg_session;
struct spans;

enum { DESK_MOST = 64 };
enum { DESK_QUERY_MAX = 20, DESK_HEADERS_MAX = 8, DESK_COOKIES_MAX = 2 };

/* One request, from the loop to the desk and back. The request itself is the loop's: the desk sees copies. */
struct call {
    struct http_request *req;
    struct slice authorization, body, id; /* id: what stands in the path; the arena's, as the others */
    struct slice name;                    /* the other thing that stands in the path, as {name} */
    struct slice cookie, csrf;            /* the headers Cookie and X-CSRF-Token */
    struct slice content_type;
    struct slice on_behalf; /* the header X-Assay-Actor, which only the key of a delegate may send */
    const char *body_type;  /* what a body must be; NULL: application/json */
    char address[64];       /* of who asks, without a port: the peer, or whom the proxy names */
    bool is_tls;
    struct slice query[DESK_QUERY_MAX]; /* what the query says for conf.queries; ptr NULL: nothing */
    int64_t before, limit;              /* of a list: as its query says */
    int64_t now_us;
    struct trace trace; /* the request's span */
    enum err (*answer)(struct call *c, struct pg_session *s, struct why *why);

    struct arena arena;
    const char *scope; /* that the key must have, unless it has `admin` */
    /* "key:<prefix>", once it is known; with has_owners the key's owner, where it has one; the person for whom another
     * service asks (userstore/delegate.h). */
    char actor[80];
    struct slice roles;                         /* of who asks, where conf.admit tells them */
    void *ctx;                                  /* conf.ctx, for the answer */
    struct buf out;                             /* JSON, or what `type` says */
    const char *type;                           /* of an answer; NULL: application/json */
    int status;                                 /* of an answer: 200 unless it says otherwise */
    struct slice set_cookies[DESK_COOKIES_MAX]; /* of an answer, the headers; the arena's */
    int64_t retry_after_s;                      /* of a refusal; 0: as usual */
    /* Instead of a reply: on the loop. It answers `req` then or later, and tells its span; the call is gone afterwards. */
    void (*take_over)(struct call *c);
    enum err err;
    struct why why;
    bool changes_nothing; /* it may be dropped */
    const char *person;   /* who asks, where the caller of desk_ask_as() knows; the arena's; else NULL */
    int64_t took_us;      /* at the desk */
    atomic_bool is_left;  /* nobody waits for the answer */
    struct desk *desk;
    struct call *next, *next_under_way;
};

struct desk_conf {
    struct loop *loop;
    const char *pg_url, *pg_role; /* borrowed, as the others */
    const char *application;      /* "assay-retrainer-desk" */
    const char *session_sql;      /* run once on each connection; NULL: none; borrowed */
    const char *const *queries; /* names that requests may have in their query, NULL-terminated; NULL: none */
    bool is_behind_proxy; /* who asks is the last that X-Forwarded-For names, where it names an address */
    bool has_owners;      /* the role may read api_keys.owner */
    /* Who may ask, instead of the holders of keys: looks at `scope`, and fills `actor` and `roles`. NULL: keys. */
    enum err (*admit)(struct call *c, struct pg_session *s, struct why *why);
    const struct http_header *headers; /* of every reply; borrowed */
    size_t header_count;               /* at most DESK_HEADERS_MAX */
    size_t most;                       /* requests taken in at once; 0: DESK_MOST */
    size_t most_of_person;             /* of these, as far as desk_ask_as() says whose they are; 0: all */
    bool
        changes_nothing; /* whatever is asked of it; else that holds of GET, and of what has no scope ("none") */
    /* Called on the desk's thread after each answer to a request that changes something; may be NULL. */
    void (*changed)(void *ctx);
    void *ctx;
    struct spans
        *spans; /* each request has its own, below what its traceparent names; NULL: none is recorded */
    double trace_share; /* of the requests without traceparent, how many are traced */
};

/* `conf` is copied. Errors are those of watch_open(). */
MUST_USE enum err desk_open(struct desk **out, const struct desk_conf *conf, struct why *why);
/* What is under way is answered first; what waits is refused. */
void desk_close(struct desk *d);

/* Takes a request in: checks the key, which must have the scope `admin`, runs `answer`, and replies.
 * Beyond what fits in its queue: 503. A service that speaks for people has decided already what they may do: no scope is
 * asked for, and call.actor is the person. X-Assay-Actor with any other key is refused. */
void desk_ask(struct desk *d, struct http_request *req,
              enum err (*answer)(struct call *c, struct pg_session *s, struct why *why));
/* The same, with `scope` or `admin`. */
void desk_ask_for(struct desk *d, struct http_request *req, const char *scope,
                  enum err (*answer)(struct call *c, struct pg_session *s, struct why *why));
/* The same for somebody who is known already, so that what he asks can be counted; he is admitted all the same. */
void desk_ask_as(struct desk *d, struct http_request *req, const char *scope, const char *person,
                 enum err (*answer)(struct call *c, struct pg_session *s, struct why *why));
/* The same for a body of `body_type`, of any size: call.body is then the request's own. */
void desk_ask_with(struct desk *d, struct http_request *req, const char *scope, const char *body_type,
                   enum err (*answer)(struct call *c, struct pg_session *s, struct why *why));

/* Records the span `at` of a request that is about to be replied to with `status`, if it is sampled. The loop's. */
void desk_tell(struct spans *spans, const struct trace *at, struct http_request *req, int status);
/* Of several desks that answer alike the one with the least to do. */
struct desk *desk_least_busy(struct desk *const *desks, size_t count);

/* Whether nobody waits for the answer any more, and it may be given up. Any thread. */
static inline bool desk_is_left(const struct call *c)
{
    return c->changes_nothing && atomic_load(&c->is_left);
}

#endif
