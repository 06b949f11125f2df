/* SPDX-License-Identifier: Apache-2.0
 * live.h - what happens, as it happens: server-sent events for the pages (GET /v1/stream).
 *
 *   decisions  the newest ones, and how many there were in which time
 *   queue      how much waits, when something of it has changed
 *   alerts     how many are not resolved, when something of them has changed
 *
 * One thread with a connection of its own looks twice a second, and only while somebody listens; what it finds goes to
 * all listeners. So their number costs next to nothing, and neither does the rate of decisions: of many an event has the
 * newest. Whoever does not take what was sent before loses events, and is let go in the end. A stream ends with its
 * session, which it does not keep alive; the page asks again and is told. */
#ifndef ASSAY_DASHBOARD_LIVE_H
#define ASSAY_DASHBOARD_LIVE_H

#include "base/err.h"

struct call;
struct dashboard_settings;
struct pg_session;
struct service;
struct live;

enum {
    STREAMS_MOST = 100,
    STREAMS_A_SESSION = 8,
    STREAMS_A_PERSON = 24,      /* in all sessions together: nobody takes the places of all others */
    STREAM_DECISIONS_MOST = 50, /* in one event */
};

/* On success *out is the caller's. Errors are those of watch_open(). */
MUST_USE enum err live_open(struct live **out, struct service *app, const struct dashboard_settings *conf,
                            struct why *why);
/* Ends all streams. */
void live_close(struct live *st);

/* Sessions may be over that were not before: their streams end at once, and not in five seconds. Any thread. */
void live_look(struct live *st);

/* An answer (desk/desk.h): the request becomes a stream. */
enum err live_get(struct call *c, struct pg_session *s, struct why *why);

#endif
