/* SPDX-License-Identifier: Apache-2.0 */
#include "candidate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "json/json.h"
#include "lifestore/row.h"
#include "lifestore/trial.h"
#include "log/log.h"
#include "looks.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "policy/policy.h"
#include "trainingstore/trainingstore.h"

enum { LEAK_ROWS = 20000, STEPS_MOST = 8 };

static const char actor[] = "retrainer";

/* ---- verdicts and experiments, written beside a move ---- */

struct writing {
    const struct verdicts *verdicts; /* NULL: none */
    int64_t version, experiment, now_us;
    const char *ends; /* the state that the experiment ends in; NULL: it goes on, or there is none */
    const struct trial *begins; /* NULL: none */
};

static enum err write_beside(void *ctx, struct pg_session *s, struct why *why)
{
    const struct writing *w = ctx;
    int64_t begun;
    enum err err = ERR_OK;

    for (size_t i = 0; w->verdicts && i < w->verdicts->count && !err; i++) {
        const struct verdict *v = &w->verdicts->items[i];

        err = verdict_add(s,
                          &(struct verdict_row){ .version = w->version,
                                                 .experiment = w->experiment,
                                                 .stage = slice_str(stage_name(v->stage)),
                                                 .gate = slice_str(v->gate),
                                                 .outcome = slice_str(outcome_name(v->outcome)),
                                                 .reason = v->reason,
                                                 .evidence = v->evidence,
                                                 .at_us = w->now_us },
                          why);
    }
    if (!err && w->ends)
        err = trial_end(s, w->experiment, w->ends, slice_str(actor), w->now_us, why);
    if (!err && w->begins)
        err = trial_start(s, w->begins, &begun, why);
    return err;
}

/* The same in a transaction of its own, with what the test has seen. */
static enum err write_alone(struct pg_session *s, struct writing *w, struct slice progress, struct why *why)
{
    enum err err = pg_exec_script(s, "BEGIN", why);

    if (!err && progress.len)
        err = trial_keep(s, w->experiment, progress, why);
    if (!err)
        err = write_beside(w, s, why);
    return pg_commit_or_abort(s, err, why);
}

static struct model_change change(const char *reason, int64_t now_us, struct writing *w)
{
    return (struct model_change){ .actor = slice_str(actor),
                                  .reason = slice_str(reason),
                                  .now_us = now_us,
                                  .also = w ? write_beside : NULL,
                                  .ctx = w };
}

/* ---- scores ---- */

struct loaded {
    struct bundle *bundle;
    struct buf bytes;
};

static enum err load(struct loaded *l, struct pg_session *s, int64_t version, struct why *why)
{
    enum err err;

    buf_init(&l->bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, version, NULL, &l->bytes, why);
    return err ? err : bundle_open(&l->bundle, buf_slice(&l->bytes), why);
}

static void unload(struct loaded *l)
{
    bundle_close(l->bundle);
    buf_release(&l->bytes);
}

static enum action action_of(const struct bundle *b, double score)
{
    struct bundle_thresholds t = bundle_thresholds(b);

    return policy_score_action(score, &(struct policy_thresholds){ t.challenge, t.review, t.decline });
}

/* ---- gates ---- */

/* Scores rows of `plan` by a bundle that may have its columns in another order; false when it needs one that is
 * not there. */
static bool score_part(const struct bundle *b, const struct gating *g, const struct trainer_part *part,
                       double *scores)
{
    size_t columns = plan_columns(bundle_plan(b));
    uint16_t *from = mem_new_n(uint16_t, columns + 1);
    float *row = mem_new_n(float, columns + 1);
    struct forest_scratch *scratch = forest_scratch_new(bundle_forest(b));
    bool fits = plan_map(bundle_plan(b), g->plan, from) == PLAN_NO_COLUMN;

    for (size_t i = 0; i < part->count; i++) {
        const float *x = rows_vector(g->rows, part->rows[i]);

        for (size_t c = 0; fits && c < columns; c++)
            row[c] = x[from[c]];
        scores[i] = fits ? bundle_score(b, forest_margin(bundle_forest(b), row, scratch)) : (double)NAN;
    }
    forest_scratch_free(scratch);
    mem_free(row);
    mem_free(from);
    return fits;
}

static int64_t nanoseconds(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void fill_evidence(struct evidence_row *out, const struct gating *g, const struct trainer_part *part,
                          const struct bundle *candidate, const struct bundle *champion)
{
    double *a = mem_new_n(double, part->count + 1), *b = mem_new_n(double, part->count + 1);

    score_part(candidate, g, part, a);
    if (champion)
        score_part(champion, g, part, b);
    for (size_t i = 0; i < part->count; i++) {
        const struct row *row = &g->rows->row[part->rows[i]];

        out[i] = (struct evidence_row){
            .at_us = row->known_at_us,
            .amount_minor = row->amount_minor,
            .customer = row->customer,
            .p_label = row->weight > 0 ? 1 / (double)row->weight : 0,
            .champion = champion ? b[i] : (double)NAN,
            .candidate = a[i],
            .champion_action = champion ? (uint8_t)action_of(champion, b[i]) : ACTION_APPROVE,
            .candidate_action = (uint8_t)action_of(candidate, a[i]),
            .is_fraud = part->labels[i],
            .is_matured = true,
        };
    }
    mem_free(a);
    mem_free(b);
}

/* Some of the judging rows twice: as they were trained on, and as the log gives them again. */
struct sample {
    size_t *of; /* [count] in the part */
    float *trained, *again;
    size_t count;
};

static enum err take_sample(struct sample *out, struct pg_session *s, const struct gating *g,
                            const struct trainer_part *part, struct why *why)
{
    size_t columns = g->rows->columns;
    uint64_t *places;
    enum err err;

    out->count = part->count < LEAK_ROWS ? part->count : LEAK_ROWS;
    out->of = mem_new_n(size_t, out->count + 1);
    out->trained = mem_new_n(float, out->count *columns + 1);
    out->again = mem_new_n(float, out->count *columns + 1);
    places = mem_new_n(uint64_t, out->count + 1);
    for (size_t i = 0; i < out->count; i++) {
        uint32_t row = part->rows[out->of[i] = i * part->count / out->count];

        places[i] = g->rows->row[row].n;
        memcpy(out->trained + i * columns, rows_vector(g->rows, row), columns * sizeof(float));
    }
    err = trainingstore_recompute(s, g->query, g->plan, places, out->count, out->again, why);
    mem_free(places);
    return err;
}

static void sample_release(struct sample *s)
{
    mem_free(s->of);
    mem_free(s->trained);
    mem_free(s->again);
}

/* The gates over the judging rows, which nothing of the candidate was fitted on. */
static enum err run_gates(struct verdicts *verdicts, enum outcome *outcome, struct pg_session *s,
                          const struct gating *g, const struct loaded *candidate,
                          const struct bundle *champion, struct why *why)
{
    struct trainer_split split = { 0 };
    struct sample sample = { 0 };
    struct gate_input in = {
        .bundle = buf_slice(&candidate->bytes), .champion = champion, .known = g->plan, .clock = nanoseconds
    };
    struct evidence_row *rows;
    enum err err = trainer_split(&split, g->trainer, g->rows, why);

    if (err)
        return err;
    err = take_sample(&sample, s, g, &split.judge, why);
    if (!err) {
        in.row_count = split.judge.count;
        in.rows = rows = mem_new_n(struct evidence_row, in.row_count + 1);
        fill_evidence(rows, g, &split.judge, candidate->bundle, champion);
        in.vector_rows = sample.of;
        in.vector_count = sample.count;
        in.trained_vectors = sample.trained;
        in.served_vectors = sample.again;
        *outcome = gates_run(&g->stages->gates, &in, verdicts);
        mem_free(rows);
    }
    sample_release(&sample);
    trainer_split_release(&split);
    return err;
}

static enum err has_verdicts(struct pg_session *s, int64_t version, bool *has, enum outcome *worst,
                             struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, version);
    err = row_ask(
        s,
        "SELECT count(*), bool_or(outcome = 'fail'), bool_or(outcome = 'inconclusive') FROM verdicts WHERE "
        "version = $1::int8 AND stage = 'validation'",
        &p, &r, why);
    *has = !err && pg_get_int(r, 0, 0) > 0;
    *worst = *has && pg_get_bool(r, 0, 1)   ? OUTCOME_FAIL
             : *has && pg_get_bool(r, 0, 2) ? OUTCOME_INCONCLUSIVE
                                            : OUTCOME_PASS;
    pg_result_free(r);
    return err;
}

enum err candidate_gate(struct pg_session *s, const struct gating *g, struct why *why)
{
    struct verdicts verdicts = { 0 };
    struct writing w = { .verdicts = &verdicts, .version = g->version, .now_us = g->now_us };
    struct loaded candidate = { 0 }, champion = { 0 };
    struct model_change how = change("the gates", g->now_us, &w);
    struct model_info info;
    enum outcome outcome = OUTCOME_PASS;
    int64_t reigning;
    bool is_gated = false;
    enum err err = model_find(s, g->version, &info, why);

    if (!err)
        err = has_verdicts(s, g->version, &is_gated, &outcome, why);
    if (err || is_gated || info.state != MODEL_REGISTERED)
        return err;
    err = model_find_alias(s, slice_str(info.name), "champion", &reigning, why);
    if (!err)
        err = load(&candidate, s, g->version, why);
    if (!err && reigning != MODEL_NONE)
        err = load(&champion, s, reigning, why);
    if (!err)
        err = run_gates(&verdicts, &outcome, s, g, &candidate, champion.bundle, why);
    if (!err && outcome == OUTCOME_INCONCLUSIVE)
        err = write_alone(s, &w, (struct slice){ 0 }, why);
    else if (!err)
        err = model_move(s, g->version, MODEL_REGISTERED,
                         outcome == OUTCOME_PASS ? MODEL_VALIDATED : MODEL_REJECTED, &how, why);
    if (!err)
        log_event(LOG_INFO, "gates", "version=%" PRId64 " outcome=%s", g->version, outcome_name(outcome));
    unload(&candidate);
    unload(&champion);
    verdicts_release(&verdicts);
    return err;
}

/* ---- what is so now ---- */

struct view {
    struct pg_session *s;
    const struct stages *stages;
    const struct trusted_keys *keys;
    struct guard_times *times;
    struct arena *arena;
    struct slice name;
    int64_t now_us;

    int64_t champion, previous, promoted_at_us;
    int64_t candidate; /* version; 0: none */
    enum model_state state;
    struct trial trial; /* of the stage that it is in; experiment 0: none */
    struct lifecycle_facts facts;
    struct verdicts verdicts; /* of guardrails that were just looked at */
};

static int64_t label_delay_us(const struct stages *stages)
{
    return (int64_t)(stages->label_delay_days * (double)DAY_US);
}

static int64_t look_us(const struct stages *stages)
{
    return (int64_t)(stages->look_hours * (double)HOUR_US);
}

static enum err read_champion(struct view *v, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, v->name);
    err = row_ask(
        v->s,
        "SELECT alias = 'champion', version, updated_at FROM aliases WHERE name = $1::text AND (alias = "
        "'champion' OR (alias = 'previous_champion' AND is_way_back))",
        &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        if (pg_get_bool(r, i, 0)) {
            v->champion = pg_get_int(r, i, 1);
            v->promoted_at_us = pg_get_time_us(r, i, 2);
        } else {
            v->previous = pg_get_int(r, i, 1);
        }
    }
    pg_result_free(r);
    return err;
}

/* The one that is furthest; of those not yet tried the newest. One whose experiment a person stopped is left to
 * people. */
static const char candidates_sql[] = "SELECT m.version, m.state FROM models m WHERE m.name = $1::text AND "
                                     "m.state IN ('registered', 'validated', "
                                     "'shadow', 'ab') AND EXISTS (SELECT FROM training_runs t WHERE "
                                     "t.version = m.version) AND NOT EXISTS (SELECT FROM "
                                     "experiments e WHERE e.candidate = m.version AND e.state = 'stopped') "
                                     "ORDER BY m.state = 'ab' DESC, m.state = "
                                     "'shadow' DESC, m.version DESC";

/* Older ones that were never tried are superseded by the newest. */
static enum err supersede(struct view *v, int64_t version, enum model_state state, struct why *why)
{
    struct model_change how = change("superseded by a newer model", v->now_us, NULL);

    if (state != MODEL_REGISTERED && state != MODEL_VALIDATED)
        return ERR_OK;
    return model_move(v->s, version, state, MODEL_REJECTED, &how, why);
}

static enum err read_candidate(struct view *v, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t newest = 0; /* of those not yet tried */
    enum err err;

    pg_add_text(&p, v->name);
    err = row_ask(v->s, candidates_sql, &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        int64_t version = pg_get_int(r, i, 0);
        enum model_state state = MODEL_REGISTERED;
        bool is_untried;

        if (!model_state_parse(pg_get_text(r, i, 1), &state))
            continue;
        is_untried = state == MODEL_REGISTERED || state == MODEL_VALIDATED;
        if (is_untried && newest) {
            err = supersede(v, version, state, why);
            continue;
        }
        if (is_untried)
            newest = version;
        if (!v->candidate) {
            v->candidate = version;
            v->state = state;
        }
    }
    pg_result_free(r);
    return err;
}

static enum err read_trial(struct view *v, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t id = 0;
    enum err err;

    pg_add_i64(&p, v->candidate);
    pg_add_text(&p, slice_str(model_state_name(v->state)));
    err =
        row_ask(v->s,
                "SELECT experiment FROM experiments WHERE candidate = $1::int8 AND stage = $2::text ORDER BY "
                "experiment DESC LIMIT 1",
                &p, &r, why);
    if (!err && pg_rows(r))
        id = pg_get_int(r, 0, 0);
    pg_result_free(r);
    return err || !id ? err : trial_read(v->s, id, &v->trial, v->arena, why);
}

static int64_t progress_time(const struct trial *t, const char *member, int64_t otherwise)
{
    json_t *tree = json_loads(t->progress.ptr ? t->progress.ptr : "{}", 0, NULL);
    const json_t *value = json_object_get(tree, member);
    int64_t at_us = json_is_integer(value) ? json_integer_value(value) : otherwise;

    json_decref(tree);
    return at_us;
}

static void take_trial(struct view *v)
{
    static const struct {
        const char *state;
        enum outcome outcome;
    } ends[] = { { "passed", OUTCOME_PASS },
                 { "failed", OUTCOME_FAIL },
                 { "inconclusive", OUTCOME_INCONCLUSIVE } };

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (v->trial.experiment && slice_eq_str(v->trial.state, ends[i].state)) {
            v->facts.has_verdict = true;
            v->facts.verdict = ends[i].outcome;
        }
    }
    if (v->trial.experiment) {
        v->facts.candidate_since_us = v->trial.started_at_us;
        v->facts.look_at_us = progress_time(&v->trial, "look_at_us", v->now_us);
    }
}

/* ---- guardrails ---- */

struct periods {
    int64_t from_us, length_us, slow_us;
    int64_t versions[2]; /* reference, current */
    struct guard_counts *counts[2];
    size_t count;
};

static void count_row(void *ctx, const struct look_row *row)
{
    struct periods *p = ctx;
    size_t at = (size_t)((row->at_us - p->from_us) / p->length_us);

    for (size_t i = 0; i < 2; i++)
        if (row->version == p->versions[i] && at < p->count)
            guard_count(&p->counts[i][at], row->action, row->score, isnan(row->score),
                        row->answer_us > p->slow_us);
}

static bool count_own(void *ctx, const struct slice *fields, size_t count)
{
    (void)count;
    guard_count(ctx, (enum action)pg_bytes_int(fields[1]), pg_bytes_float(fields[0]), false, false);
    return true;
}

/* What a version said before it decided anything. */
static enum err read_own(struct guard_counts *own, struct view *v, int64_t version, int64_t until_us,
                         struct why *why)
{
    char until[RFC3339_SIZE], query[256];

    rfc3339_format(until_us, until);
    snprintf(query, sizeof query,
             "SELECT score, action FROM shadow_scores WHERE version = %" PRId64
             " AND known_at < '%s'::timestamptz",
             version, until);
    return pg_copy_out(v->s, query, count_own, own, why);
}

static bool is_guard_due(struct view *v, int64_t version)
{
    struct guard_times *t = v->times;
    size_t i = 0;

    while (i < t->count && t->items[i].version != version)
        i++;
    if (i == ARRAY_LEN(t->items))
        i = 0;
    if (i == t->count)
        t->items[t->count++].version = version;
    else if (t->items[i].version == version && v->now_us < t->items[i].next_us)
        return false;
    t->items[i].version = version;
    t->items[i].next_us = v->now_us + look_us(v->stages);
    return true;
}

/* What was looked at came to nothing: it is looked at again by the next step, not at the next time. */
static void guard_again(struct guard_times *t)
{
    for (size_t i = 0; i < t->count; i++)
        t->items[i].next_us = INT64_MIN;
}

/* Reads whole periods from `from_us` on. With `before_us` the reference is one period before them, held fixed. */
static enum err judge_guardrails(struct view *v, int64_t reference, int64_t current, int64_t from_us,
                                 int64_t before_us, bool *is_broken, struct why *why)
{
    struct periods p = { .from_us = from_us,
                         .length_us = look_us(v->stages),
                         .slow_us = v->stages->guardrails.slow_us,
                         .versions = { reference, current } };
    struct periods before = { .from_us = from_us - before_us,
                              .length_us = before_us,
                              .slow_us = v->stages->guardrails.slow_us,
                              .versions = { reference, 0 },
                              .count = 1 };
    struct guard_counts own = { 0 };
    enum err err;

    p.count = v->now_us > from_us ? (size_t)((v->now_us - from_us) / p.length_us) : 0;
    for (size_t i = 0; i < 2; i++) {
        p.counts[i] = mem_new_n(struct guard_counts, p.count + 1);
        before.counts[i] = mem_new_n(struct guard_counts, 2);
    }
    err = p.count ? looks_read(v->s,
                               &(struct look_range){ .from_us = from_us,
                                                     .until_us = from_us + (int64_t)p.count * p.length_us,
                                                     .now_us = v->now_us },
                               count_row, &p, why)
                  : ERR_OK;
    if (!err && p.count && before_us)
        err = looks_read(
            v->s, &(struct look_range){ .from_us = before.from_us, .until_us = from_us, .now_us = v->now_us },
            count_row, &before, why);
    for (size_t i = 0; before_us && i < p.count; i++)
        p.counts[0][i] = before.counts[0][0];
    if (!err && p.count)
        err = read_own(&own, v, current, from_us, why);
    if (!err && p.count)
        *is_broken = guardrails_judge(&v->stages->guardrails, p.counts[0], p.counts[1], p.count,
                                      before_us != 0, own.rows ? &own : NULL, &v->verdicts) == OUTCOME_FAIL;
    for (size_t i = 0; i < 2; i++) {
        mem_free(p.counts[i]);
        mem_free(before.counts[i]);
    }
    return err;
}

static enum err look_at_guardrails(struct view *v, struct why *why)
{
    int64_t watch_us = v->stages->steps.watch_us;
    bool is_tested = v->state == MODEL_AB && v->trial.experiment && slice_eq_str(v->trial.state, "running");
    bool is_watched =
        v->previous && v->now_us >= v->promoted_at_us && v->now_us < v->promoted_at_us + watch_us;

    if (v->candidate && is_tested && is_guard_due(v, v->candidate))
        return judge_guardrails(v, v->champion, v->candidate, v->trial.started_at_us, 0,
                                &v->facts.is_arm_broken, why);
    if (is_watched && v->stages->steps.rolls_back && is_guard_due(v, v->champion))
        return judge_guardrails(v, v->previous, v->champion, v->promoted_at_us, 7 * DAY_US,
                                &v->facts.is_watch_broken, why);
    return ERR_OK;
}

static enum err read_facts(struct view *v, struct why *why)
{
    static const enum candidate by_state[MODEL_STATE_COUNT] = { [MODEL_REGISTERED] = CANDIDATE_REGISTERED,
                                                                [MODEL_VALIDATED] = CANDIDATE_VALIDATED,
                                                                [MODEL_SHADOW] = CANDIDATE_SHADOW,
                                                                [MODEL_AB] = CANDIDATE_AB };
    enum err err = read_champion(v, why);

    if (!err)
        err = read_candidate(v, why);
    v->facts = (struct lifecycle_facts){ .now_us = v->now_us,
                                         .schedule_at_us = INT64_MAX, /* the steward's */
                                         .has_champion = v->champion != 0,
                                         .has_previous = v->previous != 0,
                                         .promoted_at_us = v->promoted_at_us,
                                         .candidate = v->candidate ? by_state[v->state] : CANDIDATE_NONE,
                                         .candidate_since_us = v->now_us,
                                         .look_at_us = INT64_MAX };
    if (!err && v->candidate && v->state == MODEL_REGISTERED)
        err = has_verdicts(v->s, v->candidate, &v->facts.has_verdict, &v->facts.verdict, why);
    if (!err && v->candidate && (v->state == MODEL_SHADOW || v->state == MODEL_AB))
        err = read_trial(v, why);
    if (err)
        return err;
    take_trial(v);
    return look_at_guardrails(v, why);
}

/* ---- the steps ---- */

typedef enum err step_fn(struct view *v, const char *reason, struct why *why);

static enum err step_validate(struct view *v, const char *reason, struct why *why)
{
    struct model_change how = change(reason, v->now_us, NULL);

    return model_move(v->s, v->candidate, v->state, MODEL_VALIDATED, &how, why);
}

static struct trial new_trial(const struct view *v, const char *stage)
{
    return (struct trial){ .name = v->name,
                           .stage = slice_str(stage),
                           .champion = v->champion,
                           .candidate = v->candidate,
                           .started_at_us = v->now_us };
}

static enum err step_begin_shadow(struct view *v, const char *reason, struct why *why)
{
    const struct shadow_settings *d = &v->stages->shadow;
    int64_t look_at_us = v->now_us + d->days_least * DAY_US + label_delay_us(v->stages);
    struct trial trial = new_trial(v, "shadow");
    struct writing w = { .begins = &trial, .now_us = v->now_us };
    struct model_change how = change(reason, v->now_us, &w);

    trial.design = arena_printf(v->arena,
                                "{\"days_least\":%" PRId64 ",\"days_most\":%" PRId64
                                ",\"rows_least\":%zu,\"frauds_least\":%zu,\"label_delay_days\":%g}",
                                d->days_least, d->days_most, d->rows_least, d->frauds_least,
                                v->stages->label_delay_days);
    trial.progress = arena_printf(v->arena, "{\"look_at_us\":%" PRId64 "}", look_at_us);
    return model_move(v->s, v->candidate, v->state, MODEL_SHADOW, &how, why);
}

/* Payments as both judged them. */
struct evidence {
    const struct view *v;
    const struct bundle *champion;
    struct evidence_row *rows;
    size_t count, cap;
};

/* Whether its outcome can be seen: see evidence.h. */
static double p_label_of(const struct look_row *row)
{
    return row->action == ACTION_DECLINE ? 0 : row->p_allow;
}

static void add_evidence(void *ctx, const struct look_row *row)
{
    struct evidence *e = ctx;

    if (!row->has_candidate || row->version != e->v->champion || isnan(row->score))
        return;
    ARRAY_RESERVE_ONE(e->rows, e->count, e->cap);
    e->rows[e->count++] =
        (struct evidence_row){ .at_us = row->at_us,
                               .amount_minor = row->amount_minor,
                               .customer = row->customer,
                               .p_label = p_label_of(row),
                               .champion = row->score,
                               .candidate = row->candidate_score,
                               .champion_action = (uint8_t)action_of(e->champion, row->score),
                               .candidate_action = (uint8_t)row->candidate_action,
                               .is_fraud = row->is_fraud,
                               .is_matured = row->at_us + label_delay_us(e->v->stages) <= e->v->now_us };
}

static const char *const trial_ends[OUTCOME_COUNT] = {
    [OUTCOME_PASS] = "passed", [OUTCOME_INCONCLUSIVE] = "inconclusive", [OUTCOME_FAIL] = "failed"
};

static enum err step_look_shadow(struct view *v, const char *reason, struct why *why)
{
    struct verdicts verdicts = { 0 };
    struct writing w = { .version = v->candidate, .experiment = v->trial.experiment, .now_us = v->now_us };
    struct loaded champion = { 0 };
    struct evidence e = { .v = v };
    struct slice progress;
    enum err err = load(&champion, v->s, v->champion, why);

    (void)reason;
    e.champion = champion.bundle;
    if (!err)
        err = looks_read(v->s,
                         &(struct look_range){ .from_us = v->trial.started_at_us,
                                               .until_us = v->now_us,
                                               .now_us = v->now_us,
                                               .candidate = v->candidate,
                                               .has_labels = true },
                         add_evidence, &e, why);
    if (!err) {
        if (shadow_is_over(&v->stages->shadow, e.rows, e.count, v->trial.started_at_us, v->now_us,
                           label_delay_us(v->stages))) {
            w.ends = trial_ends[shadow_judge(&v->stages->shadow, e.rows, e.count, &verdicts)];
            w.verdicts = &verdicts;
        }
        progress = arena_printf(v->arena, "{\"look_at_us\":%" PRId64 ",\"rows\":%zu}",
                                v->now_us + look_us(v->stages), e.count);
        err = write_alone(v->s, &w, progress, why);
    }
    mem_free(e.rows);
    unload(&champion);
    verdicts_release(&verdicts);
    return err;
}

/* ---- the experiment with arms ---- */

static enum err rows_of_last_week(struct view *v, int64_t *rows, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_time_us(&p, v->now_us - 7 * DAY_US);
    pg_add_time_us(&p, v->now_us);
    err = row_ask(
        v->s,
        "SELECT count(*) FROM decisions WHERE known_at >= $1::timestamptz AND known_at < $2::timestamptz", &p,
        &r, why);
    *rows = err ? 0 : pg_get_int(r, 0, 0);
    pg_result_free(r);
    return err;
}

static enum err step_begin_ab(struct view *v, const char *reason, struct why *why)
{
    struct hash_key key = { "assay arm salts" };
    const int64_t told[] = { v->candidate, v->champion, v->now_us };
    struct ab_design design = v->stages->ab;
    struct trial trial = new_trial(v, "ab");
    struct writing w = { .begins = &trial, .now_us = v->now_us };
    struct model_change how = change(reason, v->now_us, &w);
    int64_t week = 0;
    enum err err = rows_of_last_week(v, &week, why);

    if (err)
        return err;
    ab_plan(&design, (double)week / 7, v->stages->ab_days);
    trial.share = design.share;
    trial.salt = (int64_t)hash64(&key, slice_of((const char *)told, sizeof told));
    trial.design = arena_printf(v->arena,
                                "{\"planned_rows\":%" PRId64 ",\"days\":%g,\"days_most\":%" PRId64
                                ",\"alpha\":%g,\"margin\":%g,\"share\":%g}",
                                design.planned_rows, v->stages->ab_days, design.days_most, design.alpha,
                                design.margin, design.share);
    trial.progress = arena_printf(v->arena, "{\"look_at_us\":%" PRId64 "}",
                                  v->now_us + DAY_US + label_delay_us(v->stages));
    return model_move(v->s, v->candidate, v->state, MODEL_AB, &how, why);
}

/* Payments of both arms, day by day. */
struct arms {
    const struct view *v;
    struct ab *ab;
    const struct bundle *bundles[ARM_COUNT];
};

static void add_arm(void *ctx, const struct look_row *row)
{
    struct arms *a = ctx;
    enum arm arm = row->version == a->v->candidate ? ARM_CANDIDATE : ARM_CHAMPION;
    enum action by_score;
    bool is_let_through;

    if ((row->version != a->v->candidate && row->version != a->v->champion) || isnan(row->score))
        return;
    by_score = row->is_told ? row->score_action : action_of(a->bundles[arm], row->score);
    is_let_through = by_score == ACTION_DECLINE && row->action != ACTION_DECLINE && row->p_allow < 1;
    if (row->is_told ? !row->is_by_score : row->action != by_score && !is_let_through)
        return; /* a list or a rule has decided */
    ab_add(a->ab, &(struct ab_row){ .at_us = row->at_us,
                                    .amount_minor = row->amount_minor,
                                    .customer = row->customer,
                                    .arm = arm,
                                    .action = by_score,
                                    .p_label = p_label_of(row),
                                    .is_fraud = row->is_fraud });
}

/* As it was designed when it began, with the looks that were made since. */
static enum err restore(struct ab **out, const struct view *v, struct why *why)
{
    struct ab_design design = v->stages->ab;
    json_t *tree = json_loads(v->trial.design.ptr, 0, NULL),
           *progress = json_loads(v->trial.progress.ptr, 0, NULL);
    json_t *looks = json_object_get(progress, "looks");
    char *text = looks ? json_dumps(looks, JSON_COMPACT) : NULL;
    enum err err = ERR_OK;

    design.planned_rows = json_integer_value(json_object_get(tree, "planned_rows"));
    if (json_is_integer(json_object_get(tree, "days_most")))
        design.days_most = json_integer_value(json_object_get(tree, "days_most"));
    design.alpha = json_number_value(json_object_get(tree, "alpha"));
    design.margin = json_number_value(json_object_get(tree, "margin"));
    design.share = v->trial.share;
    *out = ab_new(&design);
    if (text)
        err = ab_restore(*out, slice_str(text), why);
    free(text);
    json_decref(progress);
    json_decref(tree);
    return err;
}

static enum err write_look(struct view *v, const struct ab *ab, struct writing *w, struct why *why)
{
    struct buf looks, progress;
    enum err err;

    buf_init(&looks, 0);
    buf_init(&progress, 0);
    ab_progress(ab, &looks);
    buf_printf(&progress, "{\"look_at_us\":%" PRId64 ",\"looks\":", v->now_us + look_us(v->stages));
    buf_add_slice(&progress, buf_slice(&looks));
    buf_add_char(&progress, '}');
    err = write_alone(v->s, w, buf_slice(&progress), why);
    buf_release(&looks);
    buf_release(&progress);
    return err;
}

static enum err step_look_ab(struct view *v, const char *reason, struct why *why)
{
    struct verdicts verdicts = { 0 };
    struct writing w = {
        .verdicts = &verdicts, .version = v->candidate, .experiment = v->trial.experiment, .now_us = v->now_us
    };
    struct loaded champion = { 0 }, candidate = { 0 };
    struct arms arms = { .v = v };
    struct ab_look look;
    enum err err = load(&champion, v->s, v->champion, why);

    (void)reason;
    if (!err)
        err = load(&candidate, v->s, v->candidate, why);
    if (!err)
        err = restore(&arms.ab, v, why);
    arms.bundles[ARM_CHAMPION] = champion.bundle;
    arms.bundles[ARM_CANDIDATE] = candidate.bundle;
    if (!err)
        err = looks_read(
            v->s,
            &(struct look_range){ .from_us = v->trial.started_at_us,
                                  .until_us = (v->now_us - label_delay_us(v->stages)) / DAY_US * DAY_US,
                                  .now_us = v->now_us,
                                  .has_labels = true },
            add_arm, &arms, why);
    if (!err) {
        look = ab_take_look(arms.ab, v->now_us, &verdicts);
        if (look.is_last)
            w.ends = trial_ends[look.outcome];
        err = write_look(v, arms.ab, &w, why);
    }
    ab_free(arms.ab);
    unload(&champion);
    unload(&candidate);
    verdicts_release(&verdicts);
    return err;
}

/* ---- ends ---- */

static enum err step_promote(struct view *v, const char *reason, struct why *why)
{
    struct model_change how = change(reason, v->now_us, NULL);

    how.keys = v->keys;
    return model_promote(v->s, v->candidate, v->champion ? v->champion : MODEL_NONE, &how, why);
}

static enum err step_reject(struct view *v, const char *reason, struct why *why)
{
    bool is_running = v->trial.experiment && slice_eq_str(v->trial.state, "running");
    struct writing w = { .verdicts = v->facts.is_arm_broken ? &v->verdicts : NULL,
                         .version = v->candidate,
                         .experiment = v->trial.experiment,
                         .now_us = v->now_us,
                         .ends = is_running ? "failed" : NULL };
    struct model_change how = change(reason, v->now_us, &w);

    return model_move(v->s, v->candidate, v->state, MODEL_REJECTED, &how, why);
}

static enum err step_roll_back(struct view *v, const char *reason, struct why *why)
{
    struct writing w = { .verdicts = &v->verdicts, .version = v->champion, .now_us = v->now_us };
    struct model_change how = change(reason, v->now_us, &w);
    int64_t version;

    return model_roll_back(v->s, v->name, v->champion, &how, &version, NULL, why);
}

/* Gates are run where the rows are: by the run that made the model. */
static step_fn *const steps[STEP_COUNT] = {
    [STEP_VALIDATE] = step_validate,       [STEP_BEGIN_SHADOW] = step_begin_shadow,
    [STEP_LOOK_SHADOW] = step_look_shadow, [STEP_BEGIN_AB] = step_begin_ab,
    [STEP_LOOK_AB] = step_look_ab,         [STEP_PROMOTE] = step_promote,
    [STEP_REJECT] = step_reject,           [STEP_ROLL_BACK] = step_roll_back,
};

/* One step of one name; *is_done when there is nothing to do. */
static enum err step(struct view *v, bool *is_done, struct why *why)
{
    struct lifecycle_next next;
    enum err err = read_facts(v, why);

    *is_done = true;
    if (err) {
        guard_again(v->times);
        return err;
    }
    next = lifecycle_next(&v->stages->steps, &v->facts);
    if (!steps[next.step])
        return ERR_OK;
    err = steps[next.step](v, next.reason, why);
    if (err)
        guard_again(v->times);
    if (err == ERR_CONFLICT) { /* somebody was faster: the facts are others by now */
        *why = (struct why){ 0 };
        return ERR_OK;
    }
    if (err)
        return err_wrap(why, err, "%s", lifecycle_step_name(next.step));
    log_event(LOG_INFO, "step", "name=%s step=%s candidate=%" PRId64 " champion=%" PRId64 " reason=%s",
              log_quoted(v->name), lifecycle_step_name(next.step), v->candidate, v->champion,
              log_quoted(slice_str(next.reason)));
    *is_done = false;
    return ERR_OK;
}

static enum err step_name(const struct view *proto, struct why *why)
{
    bool is_done = false;
    enum err err = ERR_OK;

    for (int i = 0; i < STEPS_MOST && !is_done && !err; i++) {
        struct arena arena = { 0 };
        struct view v = *proto;

        v.arena = &arena;
        err = step(&v, &is_done, why);
        verdicts_release(&v.verdicts);
        arena_release(&arena);
    }
    return err;
}

enum err candidates_step(struct pg_session *s, const struct stages *stages, const struct trusted_keys *keys,
                         struct guard_times *times, int64_t now_us, struct why *why)
{
    struct view proto = { .s = s, .stages = stages, .keys = keys, .times = times, .now_us = now_us };
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s,
                "SELECT m.name FROM models m JOIN training_runs t ON t.version = m.version WHERE m.state IN "
                "('registered', 'validated', 'shadow', 'ab') UNION SELECT name FROM aliases WHERE alias = "
                "'champion' ORDER BY 1",
                NULL, &r, why);

    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        proto.name = pg_get_text(r, i, 0);
        err = step_name(&proto, why);
        if (err)
            err = err_wrap(why, err, "%.*s", SLICE_ARG(proto.name));
    }
    pg_result_free(r);
    return err;
}
