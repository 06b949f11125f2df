/* SPDX-License-Identifier: Apache-2.0 */
#include "app/watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "pg/session.h"

enum { PAUSE_FIRST_US = 100000, PAUSE_MOST_US = 5000000, GIVEN_WAY_MOST_US = 2000000, NICE = 10 };

struct watch {
    struct watch_conf conf;
    struct pg_session *session;
    int64_t pause_us;
    pthread_t thread;
    bool has_thread;
    atomic_bool is_ending;
    /* Between the threads, under the lock: */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_woken, is_well, has_failed; /* neither well nor failed: no turn has ended yet */
    struct why trouble;
};

/* One process of PostgreSQL works for a thread. To start others takes longer than most turns, and they would take
 * their time from what answers requests. */
static const char alone_sql[] = "SET max_parallel_workers_per_gather = 0; SET jit = off";

static enum err connect(struct watch *w, struct why *why)
{
    enum err err;

    if (w->session)
        return ERR_OK;
    err = pg_session_open(&w->session, w->conf.conninfo, w->conf.application, why);
    if (!err)
        err = pg_exec_script(w->session, alone_sql, why);
    if (!err && w->conf.session_sql)
        err = pg_exec_script(w->session, w->conf.session_sql, why);
    if (!err)
        err = pg_session_role(w->session, w->conf.role, why);
    if (err) {
        pg_session_close(w->session);
        w->session = NULL;
    }
    return err;
}

static void note(struct watch *w, enum err err, const struct why *why)
{
    bool is_news;

    pthread_mutex_lock(&w->lock);
    is_news = err && strcmp(w->trouble.text, why->text) != 0;
    w->is_well = err == ERR_OK;
    w->has_failed = !w->is_well;
    w->trouble = err ? *why : (struct why){ 0 };
    pthread_mutex_unlock(&w->lock);
    if (is_news)
        log_event(LOG_WARN, "turn_failed", "watch=%s err=%s why=%s", w->conf.name, err_name(err),
                  log_quoted(slice_str(why->text)));
}

/* One turn; returns how long to rest. */
static int64_t turn(struct watch *w)
{
    struct why why = { 0 }, ignored = { 0 };
    int64_t rest_us = 0;
    enum err err = connect(w, &why);

    if (err) {
        if (w->conf.turn(w->conf.ctx, NULL, &rest_us, &w->is_ending, &ignored))
            rest_us = 0; /* nothing else can be said */
    } else {
        err = w->conf.turn(w->conf.ctx, w->session, &rest_us, &w->is_ending, &why);
    }
    note(w, err, &why);
    if (!err) {
        w->pause_us = 0;
        return rest_us;
    }
    pg_session_close(w->session);
    w->session = NULL;
    w->pause_us = w->pause_us == 0 ? PAUSE_FIRST_US : 2 * w->pause_us;
    if (w->pause_us > PAUSE_MOST_US)
        w->pause_us = PAUSE_MOST_US;
    return w->pause_us;
}

static void rest(struct watch *w, int64_t us)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    us += until.tv_nsec / 1000;
    until.tv_sec += us / SECOND_US;
    until.tv_nsec = us % SECOND_US * 1000;
    pthread_mutex_lock(&w->lock);
    while (!w->is_woken && !atomic_load(&w->is_ending))
        if (pthread_cond_timedwait(&w->wake, &w->lock, &until))
            break;
    w->is_woken = false;
    pthread_mutex_unlock(&w->lock);
}

/* How long to give way to others after what took so long. */
static int64_t given_way_us(const struct watch *w, int64_t took_us)
{
    int64_t us = took_us * w->conf.rests;

    return us < GIVEN_WAY_MOST_US ? us : GIVEN_WAY_MOST_US;
}

static void *run(void *arg)
{
    struct watch *w = arg;

    if (w->conf.rests)
        setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    while (!atomic_load(&w->is_ending)) {
        int64_t began_us = clock_mono_us(), us = turn(w),
                least_us = given_way_us(w, clock_mono_us() - began_us);

        rest(w, us > least_us ? us : least_us);
    }
    return NULL;
}

enum err watch_open(struct watch **out, const struct watch_conf *conf, struct why *why)
{
    struct watch *w = mem_new(struct watch);
    pthread_condattr_t attributes;
    sigset_t all, before;

    *out = NULL;
    w->conf = *conf;
    snprintf(w->trouble.text, sizeof w->trouble.text, "it has not begun yet");
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->has_thread = pthread_create(&w->thread, NULL, run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!w->has_thread) {
        watch_close(w);
        return err_set(why, ERR_INTERNAL, "no thread for %s", conf->name);
    }
    *out = w;
    return ERR_OK;
}

void watch_close(struct watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->is_ending, true);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    pg_session_close(w->session);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

void watch_wake(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_woken = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

bool watch_is_well(struct watch *w, struct why *trouble)
{
    bool is_well;

    pthread_mutex_lock(&w->lock);
    is_well = w->is_well;
    *trouble = w->trouble;
    pthread_mutex_unlock(&w->lock);
    return is_well;
}

bool watch_has_failed(struct watch *w, struct why *trouble)
{
    bool has_failed;

    pthread_mutex_lock(&w->lock);
    has_failed = w->has_failed;
    *trouble = w->trouble;
    pthread_mutex_unlock(&w->lock);
    return has_failed;
}
