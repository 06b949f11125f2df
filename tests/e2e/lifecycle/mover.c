/* SPDX-License-Identifier: Apache-2.0 */
#include "mover.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/slice.h"
#include "lifestore/run.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"

enum { LOOK_EVERY_US = 2000, RECONNECT_US = 50000 };

static const int64_t told_limit_us = 30 * SECOND_US;

static bool stops(const struct mover *m)
{
    return __atomic_load_n(&m->stops, __ATOMIC_SEQ_CST);
}

static enum err move(const struct mover *m, struct pg_session *s, struct move *v)
{
    const struct model_change how = { .actor = SLICE("operator"), .reason = SLICE("a trial") };
    int64_t now = 0;

    if (!v->is_rollback)
        return model_promote(s, v->to, MODEL_ANY, &how, &v->why);
    return model_roll_back(s, slice_str(m->name), m->versions[1], &how, &now, NULL, &v->why);
}

/* Until all who score have said so. */
static enum err await_told(const struct mover *m, struct pg_session *s, struct move *v)
{
    struct model_served served = { 0 };
    enum err err = ERR_OK;

    while (!err && !v->told_us && clock_mono_us() - v->done_us < told_limit_us) {
        err = model_served(s, slice_str(m->name), "champion", v->to, &served, &v->why);
        if (!err && served.with_version == served.processes && served.processes >= m->processes)
            v->told_us = clock_mono_us();
        else if (m->is_patient && stops(m))
            break;
        else
            usleep(LOOK_EVERY_US);
    }
    return err;
}

static void ask_for_training(struct mover *m, struct pg_session *s)
{
    /* Small, so that runs begin and end often. */
    const struct run_wish wish = { .name = slice_str(m->name),
                                   .cause = "request",
                                   .requested_by = SLICE("operator"),
                                   .as_of_us = RUN_NO_TIME,
                                   .settings = SLICE("{\"trials\": 3, \"trees\": 60, \"warm_up_days\": 3}") };
    struct why why = { 0 };
    bool is_new = false;
    int64_t run;

    if (run_request(s, &wish, &run, &is_new, &why) == ERR_OK)
        m->runs += is_new;
}

/* What stands there now: after a failure nobody knows what became of the call. */
static bool is_at_home(const struct mover *m, struct pg_session *s, bool *at_home)
{
    struct why why = { 0 };
    int64_t version;

    if (model_find_alias(s, slice_str(m->name), "champion", &version, &why))
        return false;
    *at_home = version == m->versions[0];
    return true;
}

static void *run(void *ctx)
{
    struct mover *m = ctx;
    struct pg_session *s = NULL;
    bool at_home = true;

    while (!stops(m) && m->count < MOVES_MAX && (!m->moves_wanted || m->count < m->moves_wanted)) {
        struct move *v = &m->moves[m->count];
        struct why why = { 0 };

        if (!s && pg_session_open(&s, m->conninfo, "lifecycle", &why)) {
            usleep(RECONNECT_US);
            continue;
        }
        if (!is_at_home(m, s, &at_home)) {
            pg_session_close(s);
            s = NULL;
            continue;
        }
        *v = (struct move){ .is_rollback = !at_home, .to = m->versions[at_home] };
        v->began_us = clock_mono_us();
        v->err = move(m, s, v);
        v->done_us = clock_mono_us();
        if (!v->err)
            v->err = await_told(m, s, v);
        if (!v->err && m->retrains)
            ask_for_training(m, s);
        usleep((useconds_t)chance_between(&m->chance, m->pause_us / 2, m->pause_us));
        v->ended_us = clock_mono_us();
        if (v->err) {
            pg_session_close(s);
            s = NULL;
        }
        __atomic_store_n(&m->count, m->count + 1, __ATOMIC_SEQ_CST);
    }
    pg_session_close(s);
    __atomic_store_n(&m->has_ended, true, __ATOMIC_SEQ_CST);
    return NULL;
}

void mover_start(struct mover *m)
{
    m->moves = mem_new_n(struct move, MOVES_MAX);
    if (pthread_create(&m->thread, NULL, run, m))
        die("mover", "no thread");
}

void mover_stop(struct mover *m)
{
    __atomic_store_n(&m->stops, true, __ATOMIC_SEQ_CST);
    pthread_join(m->thread, NULL);
}

bool mover_has_ended(const struct mover *m)
{
    return __atomic_load_n(&m->has_ended, __ATOMIC_SEQ_CST);
}
