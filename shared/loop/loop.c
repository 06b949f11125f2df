/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct task_queue {
    struct loop_task *first, **last; /* last: where the next one is linked */
};

struct post {
    struct post *next;
    void (*run)(void *ctx);
    void *ctx;
};

struct loop {
    struct event_base *base;
    struct task_queue work, flushes, later;
    int64_t mono_us, wall_us;   /* of this turn; 0: not read yet */
    int64_t began_us, ended_us; /* the turn before, from where it read the clock; 0: it did not */
    bool is_stopped;

    struct event *on_term, *on_int, *on_hup;
    void (*stop)(void *ctx);
    void *stop_ctx;
    bool was_told_to_stop;
    void (*reload)(void *ctx);
    void *reload_ctx;

    /* The one thing that other threads touch. */
    pthread_mutex_t posts_lock;
    struct post *posts, **posts_last;
    int posts_fd;
    struct event *on_post;
};

static void run_posts(evutil_socket_t fd, short what, void *ctx)
{
    struct loop *l = ctx;
    struct post *p;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof count) < 0 && errno == EAGAIN)
        return;
    pthread_mutex_lock(&l->posts_lock);
    p = l->posts;
    l->posts = NULL;
    l->posts_last = &l->posts;
    pthread_mutex_unlock(&l->posts_lock);
    while (p) {
        struct post *next = p->next;

        p->run(p->ctx);
        mem_free(p);
        p = next;
    }
}

enum err loop_open(struct loop **out, struct why *why)
{
    struct loop *l = mem_new(struct loop);
    struct event_config *config = event_config_new();
    enum err err = ERR_OK;

    *out = NULL;
    l->work.last = &l->work.first;
    l->flushes.last = &l->flushes.first;
    l->later.last = &l->later.first;
    l->posts_last = &l->posts;
    l->posts_fd = -1;
    pthread_mutex_init(&l->posts_lock, NULL);
    signal(SIGPIPE, SIG_IGN);

    /* Only loop_post() crosses threads, and it has its own lock. */
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        l->base = event_base_new_with_config(config);
    l->posts_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!l->base || l->posts_fd < 0) {
        err = err_set(why, ERR_INTERNAL, "event loop: %s", strerror(errno));
        goto out;
    }
    l->on_post = event_new(l->base, l->posts_fd, EV_READ | EV_PERSIST, run_posts, l);
    if (!l->on_post || event_add(l->on_post, NULL)) {
        err = err_set(why, ERR_INTERNAL, "event loop: cannot watch a descriptor");
        goto out;
    }
    *out = l;
    l = NULL;
out:
    if (config)
        event_config_free(config);
    loop_close(l);
    return err;
}

static void event_drop(struct event *e)
{
    if (e)
        event_free(e);
}

void loop_close(struct loop *l)
{
    if (!l)
        return;
    event_drop(l->on_term);
    event_drop(l->on_int);
    event_drop(l->on_hup);
    event_drop(l->on_post);
    while (l->posts) {
        struct post *next = l->posts->next;

        mem_free(l->posts);
        l->posts = next;
    }
    if (l->posts_fd >= 0)
        close(l->posts_fd);
    if (l->base)
        event_base_free(l->base);
    pthread_mutex_destroy(&l->posts_lock);
    mem_free(l);
}

static void queue(struct task_queue *q, struct loop_task *t)
{
    if (t->place)
        return;
    t->next = NULL;
    t->place = q->last;
    *q->last = t;
    q->last = &t->next;
}

static void unqueue(struct loop *l, struct loop_task *t)
{
    *t->place = t->next;
    if (t->next)
        t->next->place = t->place;
    else if (l->work.last == &t->next)
        l->work.last = t->place;
    else if (l->flushes.last == &t->next)
        l->flushes.last = t->place;
    else
        l->later.last = t->place;
    t->next = NULL;
    t->place = NULL;
}

void loop_work(struct loop *l, struct loop_task *task)
{
    queue(&l->work, task);
}

void loop_flush(struct loop *l, struct loop_task *task)
{
    queue(&l->flushes, task);
}

void loop_later(struct loop *l, struct loop_task *task)
{
    queue(&l->later, task);
}

void loop_cancel(struct loop *l, struct loop_task *task)
{
    if (task->place)
        unqueue(l, task);
}

static struct loop_task *take_first(struct task_queue *q)
{
    struct loop_task *t = q->first;

    if (!t)
        return NULL;
    q->first = t->next;
    if (t->next)
        t->next->place = &q->first;
    else
        q->last = &q->first;
    t->next = NULL;
    t->place = NULL;
    return t;
}

static bool run_first(struct task_queue *q)
{
    struct loop_task *t = take_first(q);

    if (t)
        t->run(t->ctx);
    return t != NULL;
}

/* Work that always queues itself again would starve the sockets: it goes on in the next turn. */
enum { WORK_PER_TURN_MAX = 100000 };

static void finish_turn(struct loop *l)
{
    for (int i = 0; i < WORK_PER_TURN_MAX; i++)
        if (!run_first(&l->work) && !run_first(&l->flushes))
            return;
}

void loop_turn(struct loop *l, bool may_wait)
{
    bool has_tasks = l->work.first || l->flushes.first || l->later.first;
    struct loop_task *t;

    l->mono_us = 0;
    l->wall_us = 0;
    /* EVLOOP_NONBLOCK alone would poll until no socket has anything to say, and work would wait for that. */
    event_base_loop(l->base, EVLOOP_ONCE | (may_wait && !has_tasks ? 0 : EVLOOP_NONBLOCK));
    while ((t = take_first(&l->later)))
        queue(&l->work, t);
    finish_turn(l);
    l->began_us = l->mono_us;
    l->ended_us = clock_mono_us();
}

void loop_run(struct loop *l)
{
    l->is_stopped = false;
    finish_turn(l);
    while (!l->is_stopped)
        loop_turn(l, true);
}

void loop_stop(struct loop *l)
{
    l->is_stopped = true;
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

int64_t loop_mono_us(struct loop *l)
{
    if (!l->mono_us)
        l->mono_us = clock_mono_us();
    return l->mono_us;
}

int64_t loop_wall_us(struct loop *l)
{
    if (!l->wall_us)
        l->wall_us = clock_wall_us();
    return l->wall_us;
}

/* Polling an idle loop waits; only what is ready at once comes back sooner. */
enum { REST_US = 1000 };

int64_t loop_lag_us(struct loop *l)
{
    bool has_rested = loop_mono_us(l) - l->ended_us > REST_US;

    return l->began_us && !has_rested ? loop_mono_us(l) - l->began_us : 0;
}

static void on_stop_signal(evutil_socket_t signal_number, short what, void *ctx)
{
    struct loop *l = ctx;

    (void)signal_number;
    (void)what;
    if (l->was_told_to_stop || !l->stop) {
        loop_stop(l);
        return;
    }
    l->was_told_to_stop = true;
    l->stop(l->stop_ctx);
}

static void on_reload_signal(evutil_socket_t signal_number, short what, void *ctx)
{
    struct loop *l = ctx;

    (void)signal_number;
    (void)what;
    l->reload(l->reload_ctx);
}

static struct event *watch_signal(struct loop *l, int number, event_callback_fn run)
{
    struct event *e = evsignal_new(l->base, number, run, l);

    bool is_watched = e && event_add(e, NULL) == 0;

    assert(is_watched && "signals belong to another loop");
    return is_watched ? e : NULL;
}

void loop_on_stop(struct loop *l, void (*stop)(void *ctx), void *ctx)
{
    l->stop = stop;
    l->stop_ctx = ctx;
    if (l->on_term)
        return;
    l->on_term = watch_signal(l, SIGTERM, on_stop_signal);
    l->on_int = watch_signal(l, SIGINT, on_stop_signal);
}

void loop_on_reload(struct loop *l, void (*reload)(void *ctx), void *ctx)
{
    l->reload = reload;
    l->reload_ctx = ctx;
    if (!l->on_hup)
        l->on_hup = watch_signal(l, SIGHUP, on_reload_signal);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct loop_timer *t = ctx;

    (void)fd;
    (void)what;
    t->run(t->ctx);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*run)(void *ctx), void *ctx)
{
    t->run = run;
    t->ctx = ctx;
    event_assign(&t->event, l->base, -1, 0, on_timer, t);
}

void loop_timer_set(struct loop_timer *t, int64_t delay_us)
{
    struct timeval wait = { 0 };

    if (delay_us > 0) {
        wait.tv_sec = delay_us / SECOND_US;
        wait.tv_usec = delay_us % SECOND_US;
    }
    event_add(&t->event, &wait);
}

void loop_timer_stop(struct loop_timer *t)
{
    event_del(&t->event);
}

bool loop_timer_is_set(const struct loop_timer *t)
{
    return event_pending(&t->event, EV_TIMEOUT, NULL) != 0;
}

void loop_timer_release(struct loop_timer *t)
{
    if (event_initialized(&t->event))
        event_del(&t->event);
}

void loop_post(struct loop *l, void (*run)(void *ctx), void *ctx)
{
    struct post *p = mem_new(struct post);
    uint64_t one = 1;

    *p = (struct post){ .run = run, .ctx = ctx };
    pthread_mutex_lock(&l->posts_lock);
    *l->posts_last = p;
    l->posts_last = &p->next;
    pthread_mutex_unlock(&l->posts_lock);
    if (write(l->posts_fd, &one, sizeof one) < 0)
        assert(errno == EAGAIN); /* the counter is full: the loop is awake already */
}
