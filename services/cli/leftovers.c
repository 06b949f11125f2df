/* SPDX-License-Identifier: Apache-2.0 */
#include "leftovers.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "home.h"
#include "pg/cluster.h"

enum { LIMIT_MS = 20000 };

static void end(const struct process_state *p)
{
    int64_t until = clock_mono_us() + LIMIT_MS * MS_US;

    if (!process_is_alive(p->pid, p->start_ticks))
        return;
    kill(p->pid, SIGTERM);
    while (process_is_alive(p->pid, p->start_ticks)) {
        if (clock_mono_us() > until)
            kill(p->pid, SIGKILL);
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
}

static enum err end_cluster(const char *home, struct why *why)
{
    char path[PATH_MAX];
    struct cluster *cluster;
    enum err err = ERR_OK;

    if (!home_path(path, home, "pg/data") || access(path, F_OK))
        return ERR_OK;
    err = cluster_open(&cluster, home, false, why);
    if (err)
        return err;
    err = cluster_stop(cluster, why);
    cluster_close(cluster);
    return err;
}

enum err leftovers_end(const char *home, struct why *why)
{
    struct state *s = mem_new(struct state);

    if (!state_read(home, s, NULL))
        for (size_t i = s->process_count; i > 0; i--)
            if (strcmp(s->processes[i - 1].name, "postgres") != 0)
                end(&s->processes[i - 1]);
    mem_free(s);
    state_remove(home);
    return end_cluster(home, why);
}
