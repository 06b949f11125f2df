/* SPDX-License-Identifier: Apache-2.0
 * loop.h - the event loop of a process: one thread, one loop, on libevent.
 *
 *   one turn:  poll -> callbacks (sockets, timers) -> work, until none is left -> flushes -> poll ...
 *
 * Work and flushes are what makes batches without a timer: whatever arrived in one turn is sent on together
 * at its end. What would keep others waiting goes on in the next turn: loop_later(). For sockets use libevent itself on loop_base(): event_new() or bufferevents.
 *
 * Nothing here may be called from another thread, except loop_post(). Callbacks never block. */
#ifndef ASSAY_LOOP_LOOP_H
#define ASSAY_LOOP_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

/* On success *out is the caller's, to give to loop_close() when everything that lives on the loop is closed.
 * SIGPIPE is ignored from here on.   ERR_INTERNAL  libevent or the kernel refused */
MUST_USE enum err loop_open(struct loop **out, struct why *why);
void loop_close(struct loop *l);

/* Turns until loop_stop(). What was queued as work or flush before the stop still runs. */
void loop_run(struct loop *l);
/* One turn: waits for something to happen when `may_wait`, else takes what is there. For tests and for the
 * loop inside another loop's thread. */
void loop_turn(struct loop *l, bool may_wait);
void loop_stop(struct loop *l);

/* Called once, on the first SIGTERM or SIGINT: stop accepting, finish what is in flight, then loop_stop(). A
 * second signal stops the loop at once. Without a callback the first does. Only one loop of a process may
 * take the signals; it does so by calling this. `stop` NULL: just stop the loop. */
void loop_on_stop(struct loop *l, void (*stop)(void *ctx), void *ctx);
/* `reload` is called on each SIGHUP. */
void loop_on_reload(struct loop *l, void (*reload)(void *ctx), void *ctx);

struct event_base *loop_base(struct loop *l);

/* The time of this turn, read once in it: monotonic for waiting, wall for records. */
int64_t loop_mono_us(struct loop *l);
int64_t loop_wall_us(struct loop *l);

/* How long what this turn finds may have waited for it: since the turn before began, when there was no rest
 * between the two; 0 after a rest. */
int64_t loop_lag_us(struct loop *l);

/* Something to run once at the end of this turn. Embed it in what it belongs to, zero-initialised but for
 * `run` and `ctx`. Work comes first and may queue more work, which runs in the same turn (so a pipeline of
 * batches passes through in one); flushes come last, when no work is left: writing to sockets.
 * Queueing what is already queued does nothing. */
struct loop_task {
    void (*run)(void *ctx);
    void *ctx;
    struct loop_task *next, **place; /* the loop's; place is NULL when not queued */
};
void loop_work(struct loop *l, struct loop_task *task);
void loop_flush(struct loop *l, struct loop_task *task);
/* Becomes work of the next turn, which does not wait but looks at sockets and timers first. */
void loop_later(struct loop *l, struct loop_task *task);
/* Takes it out of its queue when it is in one. Do this before its memory goes. */
void loop_cancel(struct loop *l, struct loop_task *task);

/* A timer in the memory of its owner. After _init it is off; _set starts it (again) to fire once after
 * `delay_us`, at the earliest in the next turn; the callback may set it again. _release stops it. */
struct loop_timer {
    struct event event;
    void (*run)(void *ctx);
    void *ctx;
};
void loop_timer_init(struct loop_timer *t, struct loop *l, void (*run)(void *ctx), void *ctx);
void loop_timer_set(struct loop_timer *t, int64_t delay_us);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);
void loop_timer_release(struct loop_timer *t);

/* From any thread: `run(ctx)` is called on the loop's thread, in order of posting. For a background thread to
 * hand over its result. Posts that the loop never came to are dropped by loop_close(). */
void loop_post(struct loop *l, void (*run)(void *ctx), void *ctx);

#endif
