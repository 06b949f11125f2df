/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

static void finish(void *ctx)
{
    struct worker *w = ctx;

    if (!w->is_busy) /* worker_stop() was faster */
        return;
    pthread_join(w->thread, NULL);
    w->is_busy = false;
    w->done(w->job);
}

static void *run(void *ctx)
{
    struct worker *w = ctx;

    w->run(w->job, &w->is_cancelled);
    loop_post(w->loop, finish, w);
    return NULL;
}

void worker_start(struct worker *w, struct loop *loop,
                  void (*run_job)(void *job, const atomic_bool *is_cancelled), void (*done)(void *job),
                  void *job)
{
    sigset_t all, before;

    assert(!w->is_busy);
    w->loop = loop;
    w->run = run_job;
    w->done = done;
    w->job = job;
    w->is_busy = true;
    atomic_store(&w->is_cancelled, false);
    /* Signals are the loop's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&w->thread, NULL, run, w))
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void worker_stop(struct worker *w)
{
    if (!w->is_busy)
        return;
    atomic_store(&w->is_cancelled, true);
    finish(w);
}
