/* SPDX-License-Identifier: Apache-2.0 */
#include "training/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "bundle/card.h"
#include "online/online.h"
#include "stats/interval.h"
#include "stats/logistic.h"
#include "stats/ranking.h"
#include "training/report.h"
#include "training/thresholds.h"
#include "training/trials.h"

enum {
    GOLDEN_ROWS = 256,
    KNOTS = 200,
    HISTOGRAM_BINS = 16,
    QUANTILE_ROWS = 100000, /* that a feature's reference histogram takes its edges from */
    LOGISTIC_ROWS = 50000,
    ONLINE_ROWS = 200000, /* others than frauds, about */
    SCORE_ROWS = 16384,   /* at a time */
    ERROR_BINS = 20,
};

const struct trainer TRAINER_DEFAULT = {
    .until_us = INT64_MAX,
    .label_delay_us = 7 * DAY_US,
    .tune = TRAINER_TUNE,
    .judge = TRAINER_JUDGE,
    .costs = THRESHOLD_COSTS_DEFAULT,
    .search = { .trials = 1 },
};

struct trainer trainer_usual(void)
{
    struct trainer t = TRAINER_DEFAULT;

    t.warm_up_us = TRAINER_WARM_UP_DAYS * DAY_US;
    t.params = BOOSTER_PARAMS_DEFAULT;
    t.params.trees = TRAINER_TREES;
    t.params.depth = TRAINER_DEPTH;
    t.params.eta = TRAINER_ETA;
    t.params.subsample = 0.8;
    t.params.colsample_bytree = 0.6;
    t.params.min_child_weight = 5;
    t.params.base_score = 0.5; /* so that the first trees may cut off small groups */
    t.params.max_bin = 512;
    t.params.seed = TRAINER_SEED;
    t.params.patience = 30;
    t.search = TRAINER_SEARCH_DEFAULT;
    t.search.seed = TRAINER_SEED;
    return t;
}

/* How much of the whole each stage is, roughly. */
static const struct {
    const char *name;
    double from, to;
} stages[] = {
    [TRAINER_PREPARING] = { "preparing", 0, 0.05 },
    [TRAINER_SEARCHING] = { "searching", 0.05, 0.9 },
    [TRAINER_JUDGING] = { "judging", 0.9, 0.95 },
    [TRAINER_BUILDING] = { "building", 0.95, 1 },
};
static_assert(ARRAY_LEN(stages) == TRAINER_STAGES, "every stage has a name");

const char *trainer_stage_name(enum trainer_stage stage)
{
    return stages[stage].name;
}

struct work {
    const struct trainer *t;
    const struct rows *rows;
    const struct plan *plan;
    size_t columns;
    struct trainer_split split;
    char *constraints; /* the catalogue's hints */
    struct booster_matrix *train, *tune;
    struct trainer_trial *trials;
    size_t trial, trial_count; /* under way; in all */
    struct trainer_trial best;
    struct booster *booster;                 /* of the best trial */
    double *tune_margins, *margins, *scores; /* of the tuning rows; of the judging rows */
    struct calibration calibration;
    double isotonic_error, platt_error;
    struct baseline baselines[2];
    struct histogram *histograms, margin_histogram;
    struct buf forest, metrics, parameters, card;
    float *golden, *golden_margins;
    size_t golden_rows;
    bool is_stopped; /* by the hook */
    struct trainer_result *result;
    struct why *why;
};

/* ---- telling ---- */

static bool tell(struct work *w, enum trainer_stage stage, double share, struct trainer_progress progress)
{
    progress.stage = stage;
    progress.share = stages[stage].from + share * (stages[stage].to - stages[stage].from);
    progress.trials = w->trial_count;
    if (w->t->hook && !w->is_stopped && !w->t->hook(w->t->context, &progress))
        w->is_stopped = true;
    return !w->is_stopped;
}

static enum err tell_stage(struct work *w, enum trainer_stage stage)
{
    if (tell(w, stage, 0, (struct trainer_progress){ .metric = NAN }))
        return ERR_OK;
    return err_set(w->why, ERR_TIMEOUT, "told to stop while %s", stages[stage].name);
}

static bool on_round(void *context, size_t rounds, double metric)
{
    struct work *w = context;
    double share = ((double)w->trial + (double)rounds / (double)w->t->params.trees) / (double)w->trial_count;

    return tell(w, TRAINER_SEARCHING, share,
                (struct trainer_progress){ .trial = w->trial, .rounds = rounds, .metric = metric });
}

/* ---- the search ---- */

/* The catalogue's hints, as XGBoost spells them; the caller's. */
static char *monotone(const struct plan *plan)
{
    struct buf text;
    char *copy;

    buf_init(&text, 0);
    for (size_t i = 0; i < plan_columns(plan); i++)
        buf_printf(&text, "%c%d", i ? ',' : '(', (int)plan_column(plan, i)->monotone);
    buf_add_char(&text, ')');
    copy = mem_strdup(buf_str(&text));
    buf_release(&text);
    return copy;
}

struct gathering {
    const struct rows *rows;
    const struct trainer_part *part;
};

static void gather(const void *context, size_t from, size_t count, float *features)
{
    const struct gathering *g = context;

    for (size_t i = 0; i < count; i++)
        memcpy(features + i * g->rows->columns, rows_vector(g->rows, g->part->rows[from + i]),
               g->rows->columns * sizeof *features);
}

static enum err make_matrices(struct work *w)
{
    const struct trainer_part *train = &w->split.train, *tune = &w->split.tune;
    struct gathering to_train = { w->rows, train }, to_tune = { w->rows, tune };
    struct booster_source source = {
        .rows = train->count,
        .columns = w->columns,
        .fill = gather,
        .context = &to_train,
        .labels = train->labels,
        .weights = train->weights,
    };
    float *features = mem_new_n(float, tune->count * w->columns + 1), *labels = mem_new_n(float, tune->count);
    enum err err;

    gather(&to_tune, 0, tune->count, features);
    for (size_t i = 0; i < tune->count; i++)
        labels[i] = tune->labels[i];
    err = booster_matrix_new(&w->tune, features, tune->count, w->columns, labels, tune->weights,
                             w->t->params.threads, w->why);
    mem_free(features);
    mem_free(labels);
    return err ? err
               : booster_matrix_stream(&w->train, &source, w->t->params.max_bin, w->t->params.threads,
                                       w->why);
}

/* Margins of a part, a batch at a time. */
static enum err score_part(struct work *w, const struct booster *booster, const struct trainer_part *part,
                           double *margins)
{
    struct gathering g = { w->rows, part };
    float *features = mem_new_n(float, SCORE_ROWS * w->columns + 1), *batch = mem_new_n(float, SCORE_ROWS);
    enum err err = ERR_OK;

    for (size_t at = 0; at < part->count && !err; at += SCORE_ROWS) {
        size_t count = part->count - at < SCORE_ROWS ? part->count - at : SCORE_ROWS;

        gather(&g, at, count, features);
        err = booster_margins(booster, features, count, w->columns, batch, w->why);
        for (size_t i = 0; i < count && !err; i++)
            margins[at + i] = (double)batch[i];
    }
    mem_free(features);
    mem_free(batch);
    return err;
}

/* Trains with the trial's parameters; its trees and its figure are filled in. */
static enum err run_trial(struct work *w, struct trainer_trial *trial, struct booster **out, double *margins)
{
    struct booster_params params = w->t->params;
    enum err err;

    trial_give(trial, &params);
    if (!params.monotone)
        params.monotone = w->constraints;
    err = booster_train(out, &params, w->train, w->tune, on_round, w, w->why);
    if (!err && w->is_stopped)
        err = err_set(w->why, ERR_TIMEOUT, "told to stop while searching");
    if (!err)
        err = score_part(w, *out, &w->split.tune, margins);
    if (err)
        return err;
    trial->trees = (uint32_t)booster_trees(*out);
    trial->average_precision =
        average_precision_weighted(margins, w->split.tune.labels, w->split.tune.weights, w->split.tune.count);
    return ERR_OK;
}

static const struct trainer_trial *find_done(const struct trainer_search *search, size_t number)
{
    for (size_t i = 0; i < search->done_count; i++)
        if (search->done[i].number == number)
            return &search->done[i];
    return NULL;
}

static void keep_best(struct work *w, struct booster **booster, double **margins)
{
    double *other = w->tune_margins;

    booster_close(w->booster);
    w->booster = *booster;
    *booster = NULL;
    w->tune_margins = *margins;
    *margins = other;
}

static enum err search(struct work *w)
{
    double *margins = mem_new_n(double, w->split.tune.count);
    struct booster *booster = NULL;
    size_t best = 0;
    enum err err = ERR_OK;

    w->tune_margins = mem_new_n(double, w->split.tune.count);
    for (w->trial = 0; w->trial < w->trial_count && !err; w->trial++) {
        struct trainer_trial *trial = &w->trials[w->trial];
        const struct trainer_trial *done = find_done(&w->t->search, w->trial);
        bool is_better;

        err = trial_draw(trial, &w->t->search, w->trial, &w->t->params, w->why);
        if (!err && done)
            *trial = *done;
        else if (!err)
            err = run_trial(w, trial, &booster, margins);
        if (err)
            break;
        is_better = w->trial == 0 || trial->average_precision > w->trials[best].average_precision;
        if (is_better) {
            best = w->trial;
            keep_best(w, &booster, &margins); /* none when it is of an earlier run */
        }
        booster_close(booster);
        booster = NULL;
        if (!done && !tell(w, TRAINER_SEARCHING, (double)(w->trial + 1) / (double)w->trial_count,
                           (struct trainer_progress){
                               .trial = w->trial, .rounds = trial->trees, .metric = NAN, .finished = trial }))
            err = err_set(w->why, ERR_TIMEOUT, "told to stop while searching");
    }
    if (!err && !w->booster) { /* the best was found by an earlier run: the same bytes once more */
        w->trial = best;
        err = run_trial(w, &w->trials[best], &booster, margins);
        if (!err)
            keep_best(w, &booster, &margins);
    }
    booster_close(booster);
    mem_free(margins);
    w->best = w->trials[best];
    w->result->best_trial = best;
    w->result->trials = w->trial_count;
    w->result->trees = w->best.trees;
    return err;
}

static enum err train(struct work *w)
{
    enum err err;

    w->trial_count = w->t->search.trials ? w->t->search.trials : 1;
    if (w->trial_count > TRAINER_TRIALS_MAX)
        return err_set(w->why, ERR_INVALID, "at most %d trials", TRAINER_TRIALS_MAX);
    w->trials = mem_new_n(struct trainer_trial, w->trial_count);
    w->constraints = monotone(w->plan);
    err = make_matrices(w);
    if (!err)
        err = search(w);
    booster_matrix_free(w->train);
    booster_matrix_free(w->tune);
    if (err)
        return err;
    err = tell_stage(w, TRAINER_JUDGING);
    w->margins = mem_new_n(double, w->split.judge.count);
    w->scores = mem_new_n(double, w->split.judge.count);
    if (!err)
        err = score_part(w, w->booster, &w->split.judge, w->margins);
    if (!err)
        err = booster_save(w->booster, BOOSTER_UBJ, &w->forest, w->why);
    return err;
}

/* ---- calibration ---- */

/* Some of the tuning rows. */
struct sample {
    double *margins;
    uint8_t *labels;
    float *weights;
    size_t count;
};

static void sample_release(struct sample *s)
{
    mem_free(s->margins);
    mem_free(s->labels);
    mem_free(s->weights);
}

/* The rows of every second customer. */
static struct sample take_half(const struct work *w, uint32_t half)
{
    const struct trainer_part *p = &w->split.tune;
    struct sample s = { mem_new_n(double, p->count), mem_new_n(uint8_t, p->count), mem_new_n(float, p->count),
                        0 };

    for (size_t i = 0; i < p->count; i++) {
        if (w->rows->row[p->rows[i]].customer % 2 != half)
            continue;
        s.margins[s.count] = w->tune_margins[i];
        s.labels[s.count] = p->labels[i];
        s.weights[s.count++] = p->weights[i];
    }
    return s;
}

static enum err fit(struct calibration *c, bool is_platt, const double *margins, const uint8_t *labels,
                    const float *weights, size_t n, struct why *why)
{
    return is_platt ? calibration_fit_platt_weighted(c, margins, labels, weights, n, why)
                    : calibration_fit_isotonic_weighted(c, margins, labels, weights, n, KNOTS, why);
}

/* The error on `to` of what `from` fits; infinite where it cannot be fitted. */
static double error_across(bool is_platt, const struct sample *from, const struct sample *to)
{
    struct calibration c;
    double *scores, error;

    if (!to->count || fit(&c, is_platt, from->margins, from->labels, from->weights, from->count, NULL))
        return INFINITY;
    scores = mem_new_n(double, to->count);
    for (size_t i = 0; i < to->count; i++)
        scores[i] = calibration_eval(&c, to->margins[i]);
    error = calibration_error_weighted(scores, to->labels, to->weights, to->count, ERROR_BINS);
    mem_free(scores);
    calibration_release(&c);
    return error;
}

static enum err calibrate(struct work *w)
{
    const struct trainer_part *p = &w->split.tune;
    struct sample halves[2] = { take_half(w, 0), take_half(w, 1) };
    double errors[2];

    for (int is_platt = 0; is_platt < 2; is_platt++)
        errors[is_platt] = (error_across(is_platt, &halves[0], &halves[1]) +
                            error_across(is_platt, &halves[1], &halves[0])) /
                           2;
    sample_release(&halves[0]);
    sample_release(&halves[1]);
    w->isotonic_error = errors[0];
    w->platt_error = errors[1];
    w->result->is_platt = errors[1] < errors[0];
    return fit(&w->calibration, w->result->is_platt, w->tune_margins, p->labels, p->weights, p->count,
               w->why);
}

/* ---- thresholds ---- */

static void set_thresholds(struct work *w)
{
    const struct trainer_part *p = &w->split.tune;
    struct threshold_row *rows = mem_new_n(struct threshold_row, p->count);

    for (size_t i = 0; i < p->count; i++)
        rows[i] = (struct threshold_row){ .score = calibration_eval(&w->calibration, w->tune_margins[i]),
                                          .weight = (double)p->weights[i],
                                          .money = (double)p->weights[i] *
                                                   (double)w->rows->row[p->rows[i]].amount_minor,
                                          .is_fraud = p->labels[i] };
    w->result->thresholds = thresholds_set(&w->t->costs, rows, p->count);
    mem_free(rows);
}

/* What the thresholds do to the judging rows. */
static void count_money(struct work *w)
{
    const struct trainer_part *p = &w->split.judge;
    struct trainer_result *r = w->result;
    double shares[ACTION_COUNT] = { 0 }, money[3] = { 0 }, total = 0;

    for (size_t i = 0; i < p->count; i++) {
        double weight = (double)p->weights[i],
               amount = weight * (double)w->rows->row[p->rows[i]].amount_minor;
        enum action action = w->scores[i] >= r->thresholds.decline     ? ACTION_DECLINE
                             : w->scores[i] >= r->thresholds.review    ? ACTION_REVIEW
                             : w->scores[i] >= r->thresholds.challenge ? ACTION_CHALLENGE
                                                                       : ACTION_APPROVE;

        shares[action] += weight;
        total += weight;
        money[0] += p->labels[i] ? amount : 0;
        money[1] += p->labels[i] && action == ACTION_DECLINE ? amount : 0;
        money[2] += !p->labels[i] && action == ACTION_DECLINE ? amount : 0;
    }
    r->fraud_minor = llround(money[0]);
    r->caught_minor = llround(money[1]);
    r->lost_minor = llround(money[2]);
    r->decline_share = shares[ACTION_DECLINE] / total;
    r->review_share = shares[ACTION_REVIEW] / total;
    r->challenge_share = shares[ACTION_CHALLENGE] / total;
}

/* ---- baselines ---- */

/* Ranked by logistic regression; NaN where it finds no weights. */
static struct trainer_figures judge_logistic(struct work *w)
{
    const struct trainer_part *train = &w->split.train, *judge = &w->split.judge;
    struct trainer_figures none = { NAN, NAN, NAN, NAN }, figures = none;
    size_t others = train->count - train->frauds, most = others < LOGISTIC_ROWS ? others : LOGISTIC_ROWS;
    float *x = mem_new_n(float, (train->frauds + most) * w->columns + 1);
    uint8_t *labels = mem_new_n(uint8_t, train->frauds + most);
    double *scores = mem_new_n(double, judge->count);
    struct logistic model;
    size_t count = 0, seen = 0;

    for (size_t i = 0; i < train->count; i++) {
        if (!train->labels[i]) { /* of the others, `most` at equal distances */
            seen++;
            if (seen * most / others == (seen - 1) * most / others)
                continue;
        }
        memcpy(x + count * w->columns, rows_vector(w->rows, train->rows[i]), w->columns * sizeof *x);
        labels[count++] = train->labels[i];
    }
    if (!logistic_fit(&model, x, labels, count, w->columns, 1.0, NULL)) {
        model.intercept += log((double)most / (double)others);
        for (size_t i = 0; i < judge->count; i++)
            scores[i] = logistic_margin(&model, rows_vector(w->rows, judge->rows[i]));
        figures = report_figures(w->rows, judge, scores);
        logistic_release(&model);
    }
    mem_free(x);
    mem_free(labels);
    mem_free(scores);
    return figures;
}

struct learning {
    const struct rows *rows;
    struct online_encoder *encoder;
    struct online_entry *entries;
    struct online *model;
};

static void learn_part(struct learning *l, const struct trainer_part *p)
{
    for (size_t i = 0; i < p->count; i++) {
        size_t count = online_encode(l->encoder, rows_vector(l->rows, p->rows[i]), l->entries);

        online_learn(l->model, l->entries, count, p->labels[i], (double)p->weights[i], 0, p->rows[i]);
    }
}

static struct trainer_figures judge_online(struct work *w)
{
    const struct trainer_part *train = &w->split.train, *judge = &w->split.judge;
    size_t others = train->count - train->frauds;
    struct online_settings settings = online_defaults;
    const unsigned char **identities = mem_new_n(const unsigned char *, w->columns + 1);
    double *scores = mem_new_n(double, judge->count);
    struct learning l = { .rows = w->rows };
    struct trainer_figures figures;

    if (others > ONLINE_ROWS)
        settings.negatives = (double)ONLINE_ROWS / (double)others;
    for (size_t c = 0; c < w->columns; c++)
        identities[c] = plan_column(w->plan, c)->hash;
    l.encoder = online_encoder_new(identities, w->histograms, w->columns, settings.bits);
    l.entries = mem_new_n(struct online_entry, online_entries_max(l.encoder));
    l.model = online_new(&settings);
    learn_part(&l, train);
    learn_part(&l, &w->split.tune);
    for (size_t i = 0; i < judge->count; i++) {
        size_t count = online_encode(l.encoder, rows_vector(w->rows, judge->rows[i]), l.entries);

        scores[i] = online_margin(l.model, l.entries, count);
    }
    figures = report_figures(w->rows, judge, scores);
    online_free(l.model);
    online_encoder_free(l.encoder);
    mem_free(l.entries);
    mem_free(identities);
    mem_free(scores);
    return figures;
}

/* ---- what else belongs to a bundle ---- */

/* Judging rows: up to half of them frauds, the rest spread over time. */
static enum err pick_golden(struct work *w)
{
    const struct trainer_part *p = &w->split.judge;
    size_t frauds = 0, step = p->count / (GOLDEN_ROWS / 2) + 1;

    w->golden = mem_new_n(float, GOLDEN_ROWS * w->columns);
    w->golden_margins = mem_new_n(float, GOLDEN_ROWS);
    for (size_t i = 0; i < p->count && w->golden_rows < GOLDEN_ROWS; i++) {
        bool is_taken = i % step == 0 || (p->labels[i] && frauds < GOLDEN_ROWS / 2 - 1);

        if (!is_taken)
            continue;
        frauds += p->labels[i];
        memcpy(w->golden + w->golden_rows++ * w->columns, rows_vector(w->rows, p->rows[i]),
               w->columns * sizeof(float));
    }
    return booster_margins(w->booster, w->golden, w->golden_rows, w->columns, w->golden_margins, w->why);
}

/* Of the training rows, each column's. */
static void make_histograms(struct work *w)
{
    const struct trainer_part *p = &w->split.train;
    size_t step = p->count / QUANTILE_ROWS + 1, count = 0;
    double *values = mem_new_n(double, p->count / step + 1);

    w->histograms = mem_new_n(struct histogram, w->columns);
    for (size_t c = 0; c < w->columns; c++) {
        count = 0;
        for (size_t i = 0; i < p->count; i += step)
            values[count++] = (double)rows_vector(w->rows, p->rows[i])[c];
        histogram_init_quantiles(&w->histograms[c], values, count, HISTOGRAM_BINS);
    }
    for (size_t i = 0; i < p->count; i++) /* row by row, as they lie in memory */
        for (size_t c = 0; c < w->columns; c++)
            histogram_add(&w->histograms[c], (double)rows_vector(w->rows, p->rows[i])[c]);
    mem_free(values);
}

static void make_margin_histogram(struct work *w)
{
    histogram_init_quantiles(&w->margin_histogram, w->margins, w->split.judge.count, HISTOGRAM_BINS);
    for (size_t i = 0; i < w->split.judge.count; i++)
        histogram_add(&w->margin_histogram, w->margins[i]);
}

static void judge(struct work *w)
{
    const struct trainer_part *p = &w->split.judge;
    struct trainer_result *r = w->result;
    struct report report = {
        .rows = w->rows,
        .split = &w->split,
        .margins = w->margins,
        .scores = w->scores,
        .trials = w->trials,
        .trial_count = w->trial_count,
        .isotonic_error = w->isotonic_error,
        .platt_error = w->platt_error,
        .decline_cost = w->t->costs.decline_cost,
        .baselines = w->baselines,
        .baseline_count = ARRAY_LEN(w->baselines),
        .result = r,
    };

    for (size_t i = 0; i < p->count; i++)
        w->scores[i] = calibration_eval(&w->calibration, w->margins[i]);
    r->train_rows = w->split.train.count;
    r->train_frauds = w->split.train.frauds;
    r->tune_rows = w->split.tune.count;
    r->tune_frauds = w->split.tune.frauds;
    r->judge_rows = p->count;
    r->judge_frauds = p->frauds;
    r->figures = report_figures(w->rows, p, w->margins);
    r->calibration_error = calibration_error_weighted(w->scores, p->labels, p->weights, p->count, ERROR_BINS);
    count_money(w);
    r->logistic = judge_logistic(w);
    r->online = judge_online(w);
    w->baselines[0] = (struct baseline){ "logistic_regression", r->logistic };
    w->baselines[1] = (struct baseline){ "online", r->online };
    report_write(&w->metrics, &report);
}

static void write_parameters(struct work *w)
{
    struct booster_params p = w->t->params;
    struct json_out o = json_out_to(&w->parameters);

    trial_give(&w->best, &p);
    json_out_open(&o, NULL);
    json_out_int(&o, "trees", (int64_t)w->result->trees);
    for (size_t i = 0; i < TRIAL_PARAM_COUNT; i++)
        json_out_number(&o, trial_param_name((enum trial_param)i), w->best.values[i]);
    json_out_int(&o, "max_bin", p.max_bin);
    json_out_number(&o, "base_score", p.base_score);
    json_out_int(&o, "seed", p.seed);
    json_out_int(&o, "trials", (int64_t)w->trial_count);
    json_out_int(&o, "search_seed", (int64_t)w->t->search.seed);
    json_out_number(&o, "decline_cost", w->t->costs.decline_cost);
    json_out_number(&o, "review_capacity", w->t->costs.review_capacity);
    json_out_number(&o, "challenge_capacity", w->t->costs.challenge_capacity);
    json_out_end(&o);
}

static enum err bind(struct work *w, struct buf *out)
{
    struct bundle_parts parts = {
        .name = w->t->name,
        .created_at_us = w->t->created_at_us,
        .forest = buf_slice(&w->forest),
        .plan = w->plan,
        .calibration = &w->calibration,
        .thresholds = w->result->thresholds,
        .golden = w->golden,
        .golden_margins = w->golden_margins,
        .golden_rows = w->golden_rows,
        .histograms = w->histograms,
        .margin_histogram = &w->margin_histogram,
        .metrics = buf_slice(&w->metrics),
        .parameters = buf_slice(&w->parameters),
        .training = { .from_us = w->split.train.from_us,
                      .until_us = w->split.train.until_us,
                      .label_delay_us = w->t->label_delay_us,
                      .labels_known_us = w->split.train.known_us,
                      .rows = w->split.train.count,
                      .frauds = w->split.train.frauds },
    };

    card_write(&w->card, &parts);
    parts.card = buf_slice(&w->card);
    return bundle_build(out, &parts, w->why);
}

enum err trainer_run(const struct trainer *t, const struct rows *rows, const struct plan *plan,
                     struct buf *out, struct trainer_result *result, struct why *why)
{
    struct work w = {
        .t = t, .rows = rows, .plan = plan, .columns = plan_columns(plan), .result = result, .why = why
    };
    enum err err;

    *result = (struct trainer_result){ 0 };
    buf_init(&w.forest, 0);
    buf_init(&w.metrics, 0);
    buf_init(&w.parameters, 0);
    buf_init(&w.card, 0);
    err = tell_stage(&w, TRAINER_PREPARING);
    if (!err)
        err = trainer_split(&w.split, t, rows, why);
    if (!err)
        err = train(&w);
    if (!err)
        err = calibrate(&w);
    if (!err)
        err = pick_golden(&w);
    if (!err) {
        set_thresholds(&w);
        make_histograms(&w);
        judge(&w);
        err = tell_stage(&w, TRAINER_BUILDING);
    }
    if (!err) {
        make_margin_histogram(&w);
        write_parameters(&w);
        err = bind(&w, out);
    }
    for (size_t c = 0; w.histograms && c < w.columns; c++)
        histogram_release(&w.histograms[c]);
    histogram_release(&w.margin_histogram);
    mem_free(w.histograms);
    calibration_release(&w.calibration);
    booster_close(w.booster);
    buf_release(&w.forest);
    buf_release(&w.metrics);
    buf_release(&w.parameters);
    buf_release(&w.card);
    mem_free(w.trials);
    mem_free(w.constraints);
    mem_free(w.tune_margins);
    mem_free(w.margins);
    mem_free(w.scores);
    mem_free(w.golden);
    mem_free(w.golden_margins);
    trainer_split_release(&w.split);
    return err;
}
