/* SPDX-License-Identifier: Apache-2.0 */
#include "backteststore/run.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "backteststore/memory.h"
#include "backteststore/policies.h"
#include "base/array.h"
#include "base/clock.h"
#include "bundle/bundle.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"

struct backtest_ground {
    struct archive *history;
    struct timeline *timeline;
    struct labels *labels;
    struct memory *memory, *recent; /* recent: of questions that keep nothing */
    int64_t newest_us;              /* decision */
    int64_t as_of_us;               /* newest label or decision */
    int64_t opened_us;
};

struct backtest_answer {
    struct backtest_options options;
    struct sets asked, compared;
    struct bundle *bundle;
    struct backtest_ground *ground, *own; /* own: to be closed with it */
    struct archive *history;              /* the ground's, as its memory */
    struct memory *memory;
    bool keeps;
    struct backtest_worker *worker;
    struct slice asked_name, compared_name;
    struct slice *absent;
    size_t absent_count;
    int64_t history_us, run_us;
    int64_t first_day;
    size_t days;
    struct arena arena;
};

void backtest_answer_free(struct backtest_answer *a)
{
    if (!a)
        return;
    backtest_worker_free(a->worker);
    if (a->ground)
        timeline_undeclare(a->ground->timeline);
    backtest_ground_close(a->own);
    bundle_close(a->bundle);
    sets_release(&a->asked);
    sets_release(&a->compared);
    mem_free(a->absent);
    arena_release(&a->arena);
    mem_free(a);
}

/* ---- who is asked ---- */

static struct contender contender_of(const struct sets *sets, enum contender_by by)
{
    return (struct contender){ .by = by, .sets = sets->rulesets, .count = sets->count };
}

static enum err find_asked(struct backtest_answer *a, struct pg_session *s, const struct backtest_question *q,
                           struct why *why)
{
    int64_t account = 0;
    enum err err;

    if (q->as_it_was) {
        a->asked_name = SLICE("as it was");
        err = sets_add_used(&a->asked, s, a->history, why);
        a->options.asked = contender_of(&a->asked, CONTENDER_BY_VERSION);
        return err;
    }
    if (q->document.len) {
        a->asked_name = q->document_name.len ? arena_slice(&a->arena, q->document_name) : SLICE("draft");
        err = sets_add(&a->asked, q->document, (uint32_t)q->document_account, SLICE("draft"), why);
    } else {
        a->asked_name = arena_printf(&a->arena, "version %" PRId64, q->version);
        err = sets_add_version(&a->asked, s, q->version, &account, why);
        if (!a->options.account)
            a->options.account = (uint32_t)account; /* nobody else's decisions would be made by it */
    }
    a->options.asked = contender_of(&a->asked, CONTENDER_BY_ACCOUNT);
    return err;
}

static enum err find_compared(struct backtest_answer *a, struct pg_session *s,
                              const struct backtest_question *q, struct why *why)
{
    enum err err = ERR_OK;

    a->options.compared = (struct contender){ .by = CONTENDER_DECIDED };
    a->compared_name = SLICE("as decided");
    if (q->against == AGAINST_DECIDED)
        return ERR_OK;
    if (q->against == AGAINST_VERSION) {
        a->compared_name = arena_printf(&a->arena, "version %" PRId64, q->against_version);
        err = sets_add_version(&a->compared, s, q->against_version, NULL, why);
    } else {
        err = sets_add_live(&a->compared, s, why);
        a->compared_name = SLICE("live (no rule set)");
        if (!err && a->compared.count)
            a->compared_name =
                arena_printf(&a->arena, "live (version %.*s)", SLICE_ARG(a->compared.rulesets[0].version));
    }
    a->options.compared = contender_of(&a->compared, CONTENDER_BY_ACCOUNT);
    return err;
}

/* ---- another model ---- */

static enum err open_bundle(struct backtest_answer *a, struct pg_session *s, int64_t version, struct why *why)
{
    struct buf bytes;
    enum err err;

    if (!version)
        return ERR_OK;
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&a->bundle, buf_slice(&bytes), why);
    if (!err)
        a->options.scored_by =
            arena_slice(&a->arena, slice_of((const char *)bundle_hash(a->bundle), SHA256_BYTES));
    buf_release(&bytes);
    return err;
}

/* Where the bundle's columns are in a chunk; SIZE_MAX: nowhere. */
static enum err find_columns(const struct bundle *b, struct chunk *c, size_t *places, struct why *why)
{
    const struct plan *plan = bundle_plan(b);
    enum err err = ERR_OK;

    for (size_t i = 0; i < plan_columns(plan) && !err; i++) {
        places[i] = SIZE_MAX;
        for (size_t k = 0; k < chunk_feature_count(c) && places[i] == SIZE_MAX; k++) {
            const unsigned char *identity;

            chunk_feature_name(c, k, &identity);
            if (memcmp(identity, plan_column(plan, i)->hash, SHA256_BYTES) == 0)
                places[i] = k;
        }
        if (places[i] != SIZE_MAX)
            err = chunk_want_feature(c, places[i], why);
        else
            err = err_set(why, ERR_NOT_FOUND,
                          "the model reads %.*s, and there are decisions that were served without it",
                          SLICE_ARG(plan_column(plan, i)->name));
    }
    return err;
}

/* A row that was served without features has no score: it had none to be scored by. */
static enum err score_chunk(const struct bundle *b, struct chunk *c, double *scores, struct why *why)
{
    size_t columns = plan_columns(bundle_plan(b));
    struct forest_scratch *scratch = forest_scratch_new(bundle_forest(b));
    size_t *places = mem_new_n(size_t, columns + 1);
    float *row = mem_new_n(float, columns + 1);
    enum err err = find_columns(b, c, places, why);

    for (size_t i = 0; i < chunk_rows(c) && !err; i++) {
        size_t there = 0;

        for (size_t k = 0; k < columns; k++) {
            row[k] = chunk_feature_value(c, places[k], i);
            there += isnan(row[k]) ? 0 : 1;
        }
        scores[i] = there ? bundle_score(b, forest_margin(bundle_forest(b), row, scratch)) : NAN;
    }
    mem_free(row);
    mem_free(places);
    forest_scratch_free(scratch);
    return err;
}

/* ---- threads ---- */

struct shared {
    struct backtest_answer *answer;
    const struct backtest_question *question;
    atomic_bool is_stopped;
    atomic_uint_fast64_t done;
    uint64_t total;
};

struct part {
    struct shared *shared;
    struct backtest_worker *worker;
    size_t begin, end; /* chunks */
    bool is_first;     /* on the caller's thread, which the hook wants */
    pthread_t thread;
    enum err err;
    struct why why;
};

static enum err take_chunk(struct part *p, struct chunk *c)
{
    struct backtest_answer *a = p->shared->answer;
    struct backtest_overlay overlay = { 0 };
    double *scores = NULL;
    enum err err = ERR_OK;

    if (a->bundle) {
        struct bundle_thresholds t = bundle_thresholds(a->bundle);

        scores = mem_new_n(double, chunk_rows(c) + 1);
        err = score_chunk(a->bundle, c, scores, &p->why);
        overlay.scores = scores;
        overlay.thresholds = (struct policy_thresholds){ t.challenge, t.review, t.decline };
    }
    if (!err)
        err = backtest_worker_take(p->worker, c, a->bundle ? &overlay : NULL, &p->why);
    mem_free(scores);
    return err;
}

static void *work(void *arg)
{
    struct part *p = arg;
    struct shared *shared = p->shared;
    const struct archive_options *options = &shared->question->history;

    for (size_t i = p->begin; i < p->end && !p->err && !atomic_load(&shared->is_stopped); i++) {
        struct chunk *c = archive_chunk(shared->answer->history, i);
        uint64_t done;

        p->err = take_chunk(p, c);
        done = atomic_fetch_add(&shared->done, chunk_rows(c)) + chunk_rows(c);
        if (p->is_first && options->hook && !options->hook(options->context, done, shared->total))
            atomic_store(&shared->is_stopped, true);
    }
    if (p->err)
        atomic_store(&shared->is_stopped, true);
    return NULL;
}

static size_t thread_count(const struct backtest_question *q, size_t chunks)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = q->threads ? q->threads : processors > 0 ? (size_t)processors : 1;

    threads = threads < BACKTEST_THREADS_MAX ? threads : BACKTEST_THREADS_MAX;
    threads = threads < chunks ? threads : chunks;
    return threads ? threads : 1;
}

/* Runs of chunks with about as many rows each. */
static void share_out(struct part *parts, size_t count, const struct archive *h, uint64_t total)
{
    uint64_t rows = 0;
    size_t chunk = 0;

    for (size_t i = 0; i < count; i++) {
        parts[i].begin = chunk;
        while (chunk < archive_chunks(h) && (i + 1 == count || rows < total * (i + 1) / count))
            rows += chunk_rows(archive_chunk(h, chunk++));
        parts[i].end = chunk;
    }
}

/* Who keeps nothing on disk is spared what was asked a moment ago all the same. */
struct memories {
    struct backtest_memory kept, recent;
};

static const uint8_t *recall_either(void *context, const struct chunk *c,
                                    const unsigned char key[SHA256_BYTES])
{
    const struct memories *m = context;
    const uint8_t *bits = m->kept.recall ? m->kept.recall(m->kept.context, c, key) : NULL;

    return bits ? bits : m->recent.recall(m->recent.context, c, key);
}

static void keep_recent(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES],
                        const uint8_t *bits, size_t bytes)
{
    const struct memories *m = context;

    m->recent.keep(m->recent.context, c, key, bits, bytes);
}

static enum err run(struct backtest_answer *a, const struct backtest_question *q, struct why *why)
{
    struct shared shared = { .answer = a, .question = q };
    struct part parts[BACKTEST_THREADS_MAX] = { 0 };
    size_t count = thread_count(q, archive_chunks(a->history)), started = 0;
    struct memories memories = { .recent = memory_calls(a->ground->recent) };
    struct backtest_memory memory = { recall_either, keep_recent, &memories };
    bool has_memory = a->memory || (!a->keeps && count == 1);
    enum err err = ERR_OK;

    if (a->memory)
        memories.kept = memory_calls(a->memory);
    if (a->keeps || count > 1)
        memory = memories.kept;
    if (!a->keeps && count > 1)
        memory.keep = NULL;
    for (size_t i = 0; i < archive_chunks(a->history); i++)
        shared.total += chunk_rows(archive_chunk(a->history, i));
    share_out(parts, count, a->history, shared.total);
    for (size_t i = 0; i < count && !err; i++) {
        parts[i].shared = &shared;
        parts[i].is_first = i == 0;
        err = backtest_worker_new(&parts[i].worker, &a->options, a->first_day, a->days,
                                  has_memory ? &memory : NULL, why);
    }
    for (size_t i = 1; i < count && !err; i++, started++) {
        if (pthread_create(&parts[i].thread, NULL, work, &parts[i]) != 0) {
            err = err_set(why, ERR_UNAVAILABLE, "a thread cannot be started");
            atomic_store(&shared.is_stopped, true);
            break;
        }
    }
    if (!err)
        work(&parts[0]);
    for (size_t i = 1; i <= started; i++)
        pthread_join(parts[i].thread, NULL);
    for (size_t i = 0; i < count && !err; i++) {
        err = parts[i].err;
        if (err)
            *why = parts[i].why;
    }
    if (!err && atomic_load(&shared.is_stopped))
        err = err_set(why, ERR_TIMEOUT, "told to stop");
    for (size_t i = 1; i < count; i++) {
        if (!err)
            backtest_worker_add(parts[0].worker, parts[i].worker);
        backtest_worker_free(parts[i].worker);
    }
    a->worker = parts[0].worker;
    return err;
}

/* ---- the span ---- */

static void find_span(struct backtest_answer *a, const struct backtest_question *q)
{
    int64_t first_us = INT64_MAX, last_us = INT64_MIN;
    uint64_t rows = 0;

    for (size_t i = 0; i < archive_chunks(a->history); i++) {
        const struct chunk *c = archive_chunk(a->history, i);

        for (size_t k = 0; k < chunk_rows(c); k++) {
            int64_t at_us = chunk_known_at(c, k);

            if (at_us < q->from_us || at_us >= q->to_us ||
                (a->options.account && a->options.account != chunk_account(c, k)))
                continue;
            first_us = at_us < first_us ? at_us : first_us;
            last_us = at_us > last_us ? at_us : last_us;
            rows++;
        }
    }
    if (first_us > last_us)
        return;
    if (q->rows_most && rows > q->rows_most)
        a->options.one_in = (uint32_t)(rows / q->rows_most + (rows % q->rows_most > 0));
    a->first_day = first_us / DAY_US - (first_us % DAY_US < 0);
    a->days = (size_t)(last_us / DAY_US - (last_us % DAY_US < 0) - a->first_day) + 1;
}

/* Features that rules name and some chunk that is asked about has not got. */
static void find_absent(struct backtest_answer *a)
{
    const struct slice *names;
    size_t count = backtest_worker_features(a->worker, &names);

    a->absent = mem_new_n(struct slice, count + 1);
    for (size_t i = 0; i < count; i++) {
        bool is_there = true;

        for (size_t k = 0; k < archive_chunks(a->history) && is_there; k++) {
            const struct chunk *c = archive_chunk(a->history, k);

            is_there = backtest_worker_rows(a->worker, c) == 0 || backtest_worker_finds(a->worker, i, c);
        }
        if (!is_there)
            a->absent[a->absent_count++] = backtest_worker_feature_text(a->worker, i);
    }
}

static enum err check_question(const struct backtest_question *q, struct why *why)
{
    if (q->from_us >= q->to_us)
        return err_set(why, ERR_INVALID, "the span ends before it begins");
    if (q->label_delay_us < 0)
        return err_set(why, ERR_INVALID, "labels cannot come before their payments");
    if (!q->as_it_was && !q->document.len && q->version <= 0)
        return err_set(why, ERR_INVALID, "no rule set is asked about");
    return ERR_OK;
}

static enum err prepare(struct backtest_answer *a, struct pg_session *s, const struct backtest_question *q,
                        struct why *why)
{
    enum err err = find_asked(a, s, q, why);

    if (!err)
        err = find_compared(a, s, q, why);
    if (!err)
        err = open_bundle(a, s, q->model, why);
    /* Those of sets that were in force were made: where they are gone, rules went without. */
    if (!q->as_it_was)
        policies_declared(a->ground->timeline, &a->asked);
    if (q->against == AGAINST_VERSION)
        policies_declared(a->ground->timeline, &a->compared);
    find_span(a, q);
    a->options.as_of_us = a->ground->as_of_us;
    a->options.timeline = a->ground->timeline;
    a->options.labels = a->ground->labels;
    return err;
}

/* ---- the ground ---- */

static void find_newest(struct backtest_ground *g)
{
    for (size_t i = 0; i < archive_chunks(g->history); i++) {
        const struct chunk *c = archive_chunk(g->history, i);

        for (size_t k = 0; k < chunk_rows(c); k++) {
            int64_t at_us = chunk_known_at(c, k);

            g->newest_us = at_us > g->newest_us ? at_us : g->newest_us;
        }
    }
    if (g->newest_us == INT64_MIN)
        g->newest_us = clock_wall_us();
    g->as_of_us = g->newest_us;
}

int64_t backtest_ground_newest(const struct backtest_ground *g)
{
    return g->newest_us;
}

enum err backtest_ground_open(struct backtest_ground **out, struct pg_session *s,
                              const struct archive_options *history, struct why *why)
{
    struct backtest_ground *g = mem_new(struct backtest_ground);
    int64_t began_us = clock_mono_us();
    enum err err = archive_open(&g->history, s, history, why);

    *out = NULL;
    g->opened_us = clock_mono_us() - began_us;
    g->timeline = timeline_new();
    g->labels = labels_new();
    g->newest_us = INT64_MIN;
    if (!err) {
        find_newest(g);
        err = policies_lists(g->timeline, s, why);
    }
    if (!err)
        err = policies_labels(g->labels, s, &g->as_of_us, why);
    if (!err && history->directory)
        g->memory = memory_open(history->directory, g->history);
    g->recent = memory_open(NULL, g->history);
    if (err) {
        backtest_ground_close(g);
        return err;
    }
    *out = g;
    return ERR_OK;
}

void backtest_ground_close(struct backtest_ground *g)
{
    if (!g)
        return;
    memory_close(g->memory);
    memory_close(g->recent);
    archive_close(g->history);
    timeline_free(g->timeline);
    labels_free(g->labels);
    mem_free(g);
}

/* ---- asking ---- */

static enum err ask(struct backtest_answer *a, struct pg_session *s, const struct backtest_question *q,
                    struct why *why)
{
    int64_t began_us = clock_mono_us();
    enum err err;

    a->history = a->ground->history;
    a->memory = a->ground->memory;
    err = prepare(a, s, q, why);
    if (!err)
        err = run(a, q, why);
    if (!err)
        find_absent(a);
    a->run_us = clock_mono_us() - began_us;
    return err;
}

static struct backtest_answer *answer_new(const struct backtest_question *q)
{
    struct backtest_answer *a = mem_new(struct backtest_answer);

    a->options = (struct backtest_options){ .from_us = q->from_us,
                                            .to_us = q->to_us,
                                            .account = (uint32_t)q->account,
                                            .label_delay_us = q->label_delay_us,
                                            .examples_most = q->examples_most,
                                            .matches_most = q->matches_most,
                                            .matches_of = q->matches_of };
    return a;
}

static enum err answer_or_free(struct backtest_answer **out, struct backtest_answer *a, enum err err)
{
    *out = err ? NULL : a;
    if (err)
        backtest_answer_free(a);
    return err;
}

enum err backtest_ask(struct backtest_answer **out, struct pg_session *s, const struct backtest_question *q,
                      struct why *why)
{
    struct backtest_answer *a = answer_new(q);
    enum err err = check_question(q, why);

    if (!err)
        err = backtest_ground_open(&a->own, s, &q->history, why);
    a->ground = a->own;
    a->keeps = true;
    if (!err) {
        a->history_us = a->own->opened_us;
        err = ask(a, s, q, why);
    }
    return answer_or_free(out, a, err);
}

enum err backtest_ask_of(struct backtest_answer **out, struct pg_session *s, struct backtest_ground *ground,
                         const struct backtest_question *q, struct why *why)
{
    struct backtest_answer *a = answer_new(q);
    enum err err = check_question(q, why);

    a->ground = ground;
    a->keeps = q->keeps;
    if (!err)
        err = ask(a, s, q, why);
    return answer_or_free(out, a, err);
}

/* ---- what it came to ---- */

const struct backtest_result *backtest_answer_result(const struct backtest_answer *a)
{
    return backtest_worker_result(a->worker);
}

const struct backtest_options *backtest_answer_options(const struct backtest_answer *a)
{
    return &a->options;
}

struct archive_counts backtest_answer_history(const struct backtest_answer *a)
{
    return archive_counts(a->history);
}

struct slice backtest_answer_asked(const struct backtest_answer *a)
{
    return a->asked_name;
}

struct slice backtest_answer_compared(const struct backtest_answer *a)
{
    return a->compared_name;
}

size_t backtest_answer_absent(const struct backtest_answer *a, const struct slice **names)
{
    *names = a->absent;
    return a->absent_count;
}

void backtest_answer_times(const struct backtest_answer *a, int64_t *history_us, int64_t *run_us)
{
    *history_us = a->history_us;
    *run_us = a->run_us;
}

void backtest_answer_write(struct json_out *o, const char *key, const struct backtest_answer *a)
{
    struct archive_counts counts = archive_counts(a->history);

    json_out_open(o, key);
    json_out_open(o, "history");
    json_out_int(o, "kept", (int64_t)counts.kept);
    json_out_int(o, "built", (int64_t)counts.built);
    json_out_int(o, "tail", (int64_t)counts.tail);
    json_out_int(o, "unreadable", (int64_t)counts.unreadable);
    json_out_int(o, "bytes", (int64_t)counts.bytes);
    json_out_number(o, "seconds", (double)a->history_us / 1e6);
    json_out_end(o);
    json_out_number(o, "run_seconds", (double)a->run_us / 1e6);
    json_out_list(o, "absent_features");
    for (size_t i = 0; i < a->absent_count; i++)
        json_out_text(o, NULL, a->absent[i]);
    json_out_end(o);
    backtest_report(o, "report", backtest_worker_result(a->worker), &a->options, a->asked_name,
                    a->compared_name);
    json_out_end(o);
}
