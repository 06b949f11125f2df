/* SPDX-License-Identifier: Apache-2.0 */
#include "backtests.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "app/watch.h"
#include "backteststore/run.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "json/json.h"
#include "json/members.h"
#include "log/log.h"
#include "pg/session.h"

enum { LOOK_US = 2 * SECOND_US, TELL_US = 250 * 1000, GROUND_LOOK_US = SECOND_US };

/* The history that drafts are tried on. */
struct trials {
    struct watch *watch;
    pthread_mutex_t lock; /* of the two below; the ground is used under it */
    struct backtest_ground *ground;
    int64_t opened_at_us;
    atomic_int_fast64_t wanted_us; /* monotonic; 0: never */
    atomic_bool is_opening;        /* whatever became of the turn before */
    atomic_uint_fast64_t done, total;
};

struct backtests {
    struct backtests_conf conf;
    struct watch *runner;
    struct trials trials;
};

/* ---- one run ---- */

struct job {
    struct backtests *owner;
    const atomic_bool *is_ending;
    struct pg_session *teller; /* says how far it is, while the other session is busy */
    const char *stage;
    int64_t id, told_us;
    bool is_lost; /* cancelled, or no longer ours */
    struct pg_result *row;
    struct backtest_question question;
};

static bool tell(struct job *j, uint64_t done, uint64_t total)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why;

    pg_add_i64(&p, j->id);
    pg_add_text(&p, slice_str(j->stage));
    pg_add_i64(&p, (int64_t)done);
    pg_add_i64(&p, (int64_t)total);
    if (!pg_exec(j->teller,
                 "UPDATE backtests SET stage = $2::text, done = $3::int8, total = $4::int8 WHERE backtest = "
                 "$1::int8 AND state = 'running' RETURNING is_cancelled",
                 &p, &r, &why))
        j->is_lost = pg_rows(r) == 0 || pg_get_bool(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return !j->is_lost;
}

/* Called from within the run, every few thousand decisions. */
static bool on_progress(void *context, uint64_t done, uint64_t total)
{
    struct job *j = context;
    int64_t now_us = clock_mono_us();

    if (atomic_load(j->is_ending) || j->is_lost)
        return false;
    if (j->told_us && now_us - j->told_us < TELL_US)
        return true;
    j->told_us = now_us;
    return tell(j, done, total);
}

/* The question as it was asked (backtest_rest.c checked it). */
static enum err read_question(struct job *j, struct why *why)
{
    struct backtest_question *q = &j->question;
    const struct pg_result *r = j->row;
    struct slice against = pg_get_text(r, 0, 3);

    *q = (struct backtest_question){ .document = pg_get_text(r, 0, 1),
                                     .document_account = pg_get_int(r, 0, 2),
                                     .document_name = pg_get_text(r, 0, 8),
                                     .model = pg_get_int(r, 0, 4),
                                     .from_us = pg_is_null(r, 0, 5) ? INT64_MIN : pg_get_time_us(r, 0, 5),
                                     .to_us = pg_is_null(r, 0, 6) ? INT64_MAX : pg_get_time_us(r, 0, 6),
                                     .label_delay_us = (int64_t)(pg_get_float(r, 0, 7) * (double)DAY_US),
                                     .examples_most = 50,
                                     .matches_most = 7,
                                     .threads = 1,
                                     .keeps = true };
    q->account = q->document_account;
    if (slice_eq_str(against, "decided"))
        q->against = AGAINST_DECIDED;
    else if (slice_to_i64(against, &q->against_version))
        q->against = AGAINST_VERSION;
    else if (!slice_eq_str(against, "live"))
        return err_set(why, ERR_INVALID, "against is live, decided or a version");
    return ERR_OK;
}

static struct archive_options history_of(const struct backtests *b,
                                         bool (*hook)(void *context, uint64_t done, uint64_t total),
                                         void *context)
{
    return (struct archive_options){ .directory = *b->conf.directory ? b->conf.directory : NULL,
                                     .disk_most = (uint64_t)b->conf.disk_gb << 30,
                                     .settle_us = ARCHIVE_SETTLE_S * SECOND_US,
                                     .hook = hook,
                                     .context = context };
}

static enum err run(struct job *j, struct pg_session *s, struct buf *report, struct why *why)
{
    struct archive_options history = history_of(j->owner, on_progress, j);
    struct backtest_ground *ground = NULL;
    struct backtest_answer *answer = NULL;
    struct json_out o = json_out_to(report);
    enum err err = read_question(j, why);

    j->stage = "history";
    if (!err && !on_progress(j, 0, 0))
        err = err_set(why, ERR_TIMEOUT, "told to stop");
    if (!err)
        err = backtest_ground_open(&ground, s, &history, why);
    j->stage = "decisions";
    j->question.history = history;
    if (!err)
        err = backtest_ask_of(&answer, s, ground, &j->question, why);
    if (!err)
        backtest_answer_write(&o, NULL, answer);
    backtest_answer_free(answer);
    backtest_ground_close(ground);
    return err;
}

/* ---- what became of it ---- */

static enum err settle(struct pg_session *s, int64_t id, const char *state, struct slice report,
                       struct slice trouble, struct why *why)
{
    unsigned char hash[SHA256_BYTES];
    struct pg_params p = { 0 };
    enum err err;

    sha256(report, hash);
    pg_add_i64(&p, id);
    pg_add_text(&p, slice_str(state));
    pg_add_text(&p, report);
    pg_add_bytes(&p, slice_of((const char *)hash, sizeof hash));
    pg_add_text(&p, trouble);
    err = pg_exec(s,
                  "UPDATE backtests SET state = $2::text, trouble = $5::text, "
                  "ended_at = CASE WHEN $2::text <> 'waiting' THEN now() END, "
                  "attempts = attempts - CASE WHEN $2::text = 'waiting' THEN 1 ELSE 0 END, "
                  "report = nullif($3::text, ''), "
                  "report_sha256 = CASE WHEN $3::text <> '' THEN $4::bytea END, "
                  "done = CASE WHEN $2::text = 'done' THEN total ELSE done END "
                  "WHERE backtest = $1::int8 AND state = 'running'",
                  &p, NULL, why);
    pg_params_release(&p);
    return err;
}

/* A fault of the question is told with it; one of the machinery is tried again. */
static enum err end(struct job *j, struct pg_session *s, struct slice report, enum err err, struct why *why)
{
    struct why told = *why;

    switch (err) {
    case ERR_OK:
        return settle(s, j->id, "done", report, SLICE(""), why);
    case ERR_TIMEOUT:
        if (j->is_lost)
            return settle(s, j->id, "cancelled", SLICE(""), SLICE(""), why);
        if (atomic_load(j->is_ending))
            return settle(s, j->id, "waiting", SLICE(""), SLICE(""), why);
        return err;
    case ERR_SYNTAX:
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_TOO_LARGE:
    case ERR_LIMIT:
        return settle(s, j->id, "failed", SLICE(""), slice_str(told.text), why);
    default:
        return err;
    }
}

/* ---- which is next ---- */

/* The lock is held by this session until it is given back or the session ends. */
static enum err claim(struct job *j, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    struct pg_params p = { 0 };
    enum err err = pg_exec(s,
                           "SELECT backtest FROM (SELECT backtest FROM backtests WHERE state IN ('waiting', "
                           "'running') ORDER BY backtest LIMIT 50) b WHERE pg_try_advisory_lock(7341, "
                           "backtest) LIMIT 1",
                           NULL, &r, why);

    if (!err && pg_rows(r) == 0)
        err = ERR_NOT_FOUND;
    if (!err)
        j->id = pg_get_int(r, 0, 0);
    pg_result_free(r);
    if (err)
        return err;
    pg_add_i64(&p, j->id);
    pg_add_i64(&p, BACKTEST_ATTEMPTS);
    err = pg_exec(
        s,
        "UPDATE backtests SET state = CASE WHEN is_cancelled THEN 'cancelled' WHEN attempts >= $2::int8 THEN "
        "'failed' ELSE 'running' END, started_at = now(), attempts = attempts + 1, "
        "ended_at = CASE WHEN is_cancelled OR attempts >= $2::int8 THEN now() END, "
        "trouble = CASE WHEN attempts >= $2::int8 THEN 'the service ended while it ran, again and again' "
        "ELSE '' END, done = 0, total = 0 WHERE backtest = $1::int8 AND state IN ('waiting', 'running') "
        "RETURNING state, document::text, account::int8, question->>'against', "
        "coalesce((question->>'model')::int8, 0), (question->>'from')::timestamptz, "
        "(question->>'to')::timestamptz, coalesce((question->>'label_delay_days')::float8, 7), "
        "CASE WHEN version IS NULL THEN 'draft' ELSE 'version ' || version END",
        &p, &j->row, why);
    pg_params_release(&p);
    return err;
}

static enum err give_back(struct pg_session *s, int64_t id, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_i64(&p, id);
    err = pg_exec(s, "SELECT pg_advisory_unlock(7341, $1::int8::int4)", &p, NULL, why);
    pg_params_release(&p);
    return err;
}

static enum err run_claimed(struct job *j, struct pg_session *s, struct why *why)
{
    const struct backtests_conf *conf = &j->owner->conf;
    struct buf report = { 0 };
    enum err err = pg_session_open(&j->teller, conf->pg_url, "assay-rules-backtest", why);

    if (!err)
        err = pg_session_role(j->teller, conf->pg_role, why);
    if (!err) {
        err = run(j, s, &report, why);
        err = end(j, s, buf_slice(&report), err, why);
    }
    pg_session_close(j->teller);
    buf_release(&report);
    return err;
}

static enum err on_turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                        struct why *why)
{
    struct job j = { .owner = ctx, .is_ending = is_ending, .stage = "" };
    struct why ignored;
    enum err err;

    *rest_us = LOOK_US;
    if (!s)
        return ERR_OK;
    err = claim(&j, s, why);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    if (!err && pg_rows(j.row) == 1 && slice_eq_str(pg_get_text(j.row, 0, 0), "running"))
        err = run_claimed(&j, s, why);
    pg_result_free(j.row);
    if (j.id && give_back(s, j.id, err ? &ignored : why) && !err)
        err = ERR_UNAVAILABLE; /* a new session forgets the lock */
    *rest_us = 0;
    return err;
}

/* ---- the ground for drafts ---- */

static bool is_wanted(struct trials *t)
{
    int64_t wanted_us = atomic_load(&t->wanted_us);

    return wanted_us && clock_mono_us() - wanted_us < GROUND_WANTED_US;
}

static bool on_opening(void *context, uint64_t done, uint64_t total)
{
    struct trials *t = context;

    atomic_store(&t->done, done);
    atomic_store(&t->total, total);
    return is_wanted(t);
}

static void replace(struct trials *t, struct backtest_ground *ground)
{
    struct backtest_ground *old;

    pthread_mutex_lock(&t->lock);
    old = t->ground;
    t->ground = ground;
    t->opened_at_us = clock_wall_us();
    pthread_mutex_unlock(&t->lock);
    backtest_ground_close(old);
}

/* Opened when somebody asks, anew while they go on, closed when they stopped. */
static enum err on_ground_turn(void *ctx, struct pg_session *s, int64_t *rest_us,
                               const atomic_bool *is_ending, struct why *why)
{
    struct backtests *b = ctx;
    struct trials *t = &b->trials;
    struct archive_options history = history_of(b, on_opening, t);
    struct backtest_ground *ground = NULL;
    enum err err;

    *rest_us = GROUND_LOOK_US;
    if (!s)
        return ERR_OK;
    if (!is_wanted(t)) {
        if (t->ground)
            replace(t, NULL);
        return ERR_OK;
    }
    if ((t->ground && clock_wall_us() - t->opened_at_us < GROUND_FRESH_US) || atomic_load(is_ending))
        return ERR_OK;
    atomic_store(&t->is_opening, true);
    err = backtest_ground_open(&ground, s, &history, why);
    if (!err)
        replace(t, ground);
    atomic_store(&t->is_opening, false);
    return err == ERR_TIMEOUT ? ERR_OK : err;
}

static void write_opening(const struct trials *t, struct json_out *o)
{
    json_out_open(o, NULL);
    json_out_str(o, "state", "opening");
    json_out_int(o, "done", (int64_t)atomic_load(&t->done));
    json_out_int(o, "total", (int64_t)atomic_load(&t->total));
    json_out_end(o);
}

static enum err try_on(struct trials *t, struct pg_session *s, const struct trial_question *asked,
                       struct json_out *o, struct why *why)
{
    struct backtest_question q = { .document = asked->document,
                                   .as_it_was = asked->as_it_was,
                                   .against = asked->as_it_was ? AGAINST_DECIDED : AGAINST_LIVE,
                                   .from_us = backtest_ground_newest(t->ground) - asked->days * DAY_US,
                                   .to_us = INT64_MAX,
                                   .label_delay_us = BACKTEST_LABEL_DELAY_US,
                                   .examples_most = TRIAL_EXAMPLES,
                                   .matches_most = asked->rule.len ? TRIAL_MATCHES : 0,
                                   .matches_of = asked->rule,
                                   .rows_most = TRIAL_ROWS_MOST,
                                   .threads = 1 };
    struct backtest_answer *answer = NULL;
    enum err err = backtest_ask_of(&answer, s, t->ground, &q, why);

    if (!err) {
        json_out_open(o, NULL);
        json_out_str(o, "state", "ready");
        json_out_time(o, "opened_at", t->opened_at_us);
        backtest_answer_write(o, "answer", answer);
        json_out_end(o);
    }
    backtest_answer_free(answer);
    return err;
}

enum err backtests_try(struct backtests *b, struct pg_session *s, const struct trial_question *q,
                       struct buf *out, struct why *why)
{
    struct trials *t = &b->trials;
    struct json_out o = json_out_to(out);
    bool was_wanted = is_wanted(t);
    struct why trouble;
    enum err err = ERR_OK;

    atomic_store(&t->wanted_us, clock_mono_us());
    if (!was_wanted)
        watch_wake(t->watch);
    pthread_mutex_lock(&t->lock);
    if (t->ground)
        err = try_on(t, s, q, &o, why);
    else if (was_wanted && !atomic_load(&t->is_opening) && watch_has_failed(t->watch, &trouble))
        err = err_set(why, ERR_UNAVAILABLE, "the history cannot be opened: %s", trouble.text);
    else
        write_opening(t, &o);
    pthread_mutex_unlock(&t->lock);
    return err;
}

/* ---- both ---- */

enum err backtests_open(struct backtests **out, const struct backtests_conf *conf, struct why *why)
{
    struct backtests *b = mem_new(struct backtests);
    struct watch_conf runner = { .name = "backtests",
                                 .conninfo = conf->pg_url,
                                 .application = "assay-rules-backtests",
                                 .role = conf->pg_role,
                                 .rests = 1,
                                 .turn = on_turn,
                                 .ctx = b };
    struct watch_conf opener = runner;
    enum err err;

    *out = NULL;
    b->conf = *conf;
    pthread_mutex_init(&b->trials.lock, NULL);
    opener.name = "history";
    opener.application = "assay-rules-history";
    opener.turn = on_ground_turn;
    err = watch_open(&b->runner, &runner, why);
    if (!err)
        err = watch_open(&b->trials.watch, &opener, why);
    if (err) {
        backtests_close(b);
        return err;
    }
    *out = b;
    return ERR_OK;
}

void backtests_close(struct backtests *b)
{
    if (!b)
        return;
    atomic_store(&b->trials.wanted_us, 0); /* what is being opened need not be */
    watch_close(b->trials.watch);
    watch_close(b->runner);
    backtest_ground_close(b->trials.ground);
    pthread_mutex_destroy(&b->trials.lock);
    mem_free(b);
}

void backtests_wake(struct backtests *b)
{
    watch_wake(b->runner);
}
