/* SPDX-License-Identifier: Apache-2.0 */
#include "stall.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "chance.h"

static const int64_t nap_us = MS_US, late_us = 10 * MS_US;
static const int64_t sync_every_us = 25 * MS_US, slow_sync_us = 20 * MS_US;

struct stall {
    int64_t from_us, to_us;
};

/* What one thread has seen. */
struct watcher {
    struct stall_probe *probe;
    pthread_t thread;
    pthread_mutex_t lock;
    struct stall *stalls;
    size_t count, cap;
};

struct stall_probe {
    atomic_bool is_over;
    char path[512];
    struct watcher sleeper, disk;
};

static void note(struct watcher *w, int64_t from_us, int64_t to_us)
{
    pthread_mutex_lock(&w->lock);
    ARRAY_RESERVE_ONE(w->stalls, w->count, w->cap);
    w->stalls[w->count++] = (struct stall){ from_us, to_us };
    pthread_mutex_unlock(&w->lock);
}

static void nap(int64_t us)
{
    nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

static void *sleep_and_wake(void *arg)
{
    struct watcher *w = arg;

    for (int64_t before_us = clock_mono_us(), now_us; !atomic_load(&w->probe->is_over); before_us = now_us) {
        nap(nap_us);
        now_us = clock_mono_us();
        if (now_us - before_us - nap_us >= late_us)
            note(w, before_us + nap_us, now_us);
    }
    return NULL;
}

static void *write_and_wait(void *arg)
{
    static const char block[8192];
    struct watcher *w = arg;
    int fd = open(w->probe->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        die(w->probe->path, "cannot be written");
    while (!atomic_load(&w->probe->is_over)) {
        int64_t before_us = clock_mono_us(), now_us;

        if (pwrite(fd, block, sizeof block, 0) != sizeof block || fdatasync(fd))
            die(w->probe->path, "cannot be written");
        now_us = clock_mono_us();
        if (now_us - before_us >= slow_sync_us)
            note(w, before_us, now_us);
        nap(sync_every_us);
    }
    close(fd);
    unlink(w->probe->path);
    return NULL;
}

static void watch(struct watcher *w, struct stall_probe *p, void *(*run)(void *))
{
    w->probe = p;
    pthread_mutex_init(&w->lock, NULL);
    if (pthread_create(&w->thread, NULL, run, w))
        die("a thread for the stall probe", "not to be had");
}

struct stall_probe *stall_probe_start(const char *dir)
{
    struct stall_probe *p = mem_new(struct stall_probe);

    snprintf(p->path, sizeof p->path, "%s/stall-probe", dir);
    watch(&p->sleeper, p, sleep_and_wake);
    watch(&p->disk, p, write_and_wait);
    return p;
}

static void end(struct watcher *w)
{
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    mem_free(w->stalls);
}

void stall_probe_stop(struct stall_probe *p)
{
    atomic_store(&p->is_over, true);
    end(&p->sleeper);
    end(&p->disk);
    mem_free(p);
}

static int64_t lost_us(struct watcher *w, int64_t from_us, int64_t to_us)
{
    int64_t lost = 0;

    pthread_mutex_lock(&w->lock);
    for (size_t i = w->count; i > 0 && w->stalls[i - 1].to_us > from_us; i--) {
        const struct stall *s = &w->stalls[i - 1];
        int64_t from = s->from_us > from_us ? s->from_us : from_us, to = s->to_us < to_us ? s->to_us : to_us;

        lost += to > from ? to - from : 0;
    }
    pthread_mutex_unlock(&w->lock);
    return lost;
}

struct stalls stall_probe_between(struct stall_probe *p, int64_t from_us, int64_t to_us)
{
    return (struct stalls){ .sleeper_us = lost_us(&p->sleeper, from_us, to_us),
                            .disk_us = lost_us(&p->disk, from_us, to_us) };
}
