/* SPDX-License-Identifier: Apache-2.0 */
#include "training/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "stats/ranking.h"

enum { GOLDEN_ROWS = 256, KNOTS = 200, HISTOGRAM_BINS = 16 };

#define NEVER 2.0 /* a threshold that no probability reaches */

const struct trainer TRAINER_DEFAULT = {
    .until_us = INT64_MAX,
    .label_delay_us = 7 * DAY_US,
    .held_out = 0.2,
    .decline_cost = 0.5,
    .review_capacity = 0.005,
    .challenge_capacity = 0.01,
};

/* One part of the split, side by side. */
struct part {
    size_t rows, frauds;
    float *x, *labels;
    uint8_t *flags;
    int64_t *amounts;
    int64_t from_us, until_us;
};

struct work {
    const struct trainer *t;
    const struct rows *rows;
    const struct plan *plan;
    size_t columns;
    struct part train, held;
    struct booster *booster;
    float *margins; /* of the held-out rows */
    double *scores; /* calibrated */
    double *d_margins;
    struct calibration calibration;
    struct histogram *histograms, margin_histogram;
    struct buf forest, metrics, parameters, card;
    float *golden, *golden_margins;
    size_t golden_rows;
    struct trainer_result *result;
    struct why *why;
};

static void part_release(struct part *p)
{
    mem_free(p->x);
    mem_free(p->labels);
    mem_free(p->flags);
    mem_free(p->amounts);
}

/* Rows that happened in [from, until), with what was known of them at `known_us`. */
static void part_fill(struct work *w, struct part *p, int64_t from_us, int64_t until_us, int64_t known_us)
{
    const struct rows *r = w->rows;
    size_t cap = 0;

    p->from_us = from_us;
    p->until_us = until_us;
    for (size_t i = 0; i < r->count; i++)
        cap += r->row[i].at_us >= from_us && r->row[i].at_us < until_us;
    p->x = mem_new_n(float, cap * w->columns + 1);
    p->labels = mem_new_n(float, cap + 1);
    p->flags = mem_new_n(uint8_t, cap + 1);
    p->amounts = mem_new_n(int64_t, cap + 1);
    for (size_t i = 0; i < r->count; i++) {
        const struct row *row = &r->row[i];

        if (row->at_us < from_us || row->at_us >= until_us)
            continue;
        memcpy(p->x + p->rows * w->columns, rows_vector(r, i), w->columns * sizeof(float));
        p->flags[p->rows] = row->is_fraud && row->label_at_us <= known_us;
        p->labels[p->rows] = p->flags[p->rows];
        p->amounts[p->rows] = row->amount_minor;
        p->frauds += p->flags[p->rows++];
    }
}

static enum err split(struct work *w)
{
    const struct trainer *t = w->t;
    const struct rows *r = w->rows;
    int64_t first_us = INT64_MAX, last_us = INT64_MIN, until_us, held_us, start_us;

    for (size_t i = 0; i < r->count; i++) {
        if (r->row[i].at_us < first_us)
            first_us = r->row[i].at_us;
        if (r->row[i].at_us > last_us)
            last_us = r->row[i].at_us;
    }
    if (!r->count)
        return err_set(w->why, ERR_INVALID, "there are no transactions to learn from");
    until_us = t->until_us < last_us + 1 ? t->until_us : last_us + 1;
    start_us = first_us + t->warm_up_us;
    held_us = until_us - t->label_delay_us -
              (int64_t)((double)(until_us - t->label_delay_us - start_us) * t->held_out);
    part_fill(w, &w->train, start_us, held_us - t->label_delay_us, held_us);
    part_fill(w, &w->held, held_us, until_us - t->label_delay_us, until_us);
    if (!w->train.frauds || w->train.frauds == w->train.rows)
        return err_set(w->why, ERR_INVALID, "of %zu training rows %zu are frauds: more history is needed",
                       w->train.rows, w->train.frauds);
    if (!w->held.frauds || w->held.frauds == w->held.rows)
        return err_set(w->why, ERR_INVALID, "of %zu held-out rows %zu are frauds: more history is needed",
                       w->held.rows, w->held.frauds);
    return ERR_OK;
}

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

static enum err train(struct work *w)
{
    struct booster_params params = w->t->params;
    struct booster_matrix *train = NULL, *held = NULL;
    char *constraints = params.monotone ? NULL : monotone(w->plan);
    enum err err;

    if (constraints)
        params.monotone = constraints;
    err = booster_matrix_new(&train, w->train.x, w->train.rows, w->columns, w->train.labels, NULL,
                             params.threads, w->why);
    if (!err)
        err = booster_matrix_new(&held, w->held.x, w->held.rows, w->columns, w->held.labels, NULL,
                                 params.threads, w->why);
    if (!err)
        err = booster_train(&w->booster, &params, train, held, w->t->hook, w->t->context, w->why);
    booster_matrix_free(train);
    booster_matrix_free(held);
    mem_free(constraints);
    if (err)
        return err;
    w->result->trees = booster_trees(w->booster);
    w->margins = mem_new_n(float, w->held.rows);
    w->d_margins = mem_new_n(double, w->held.rows);
    w->scores = mem_new_n(double, w->held.rows);
    err = booster_margins(w->booster, w->held.x, w->held.rows, w->columns, w->margins, w->why);
    for (size_t i = 0; i < w->held.rows; i++)
        w->d_margins[i] = (double)w->margins[i];
    if (!err)
        err = calibration_fit_isotonic(&w->calibration, w->d_margins, w->held.flags, w->held.rows, KNOTS,
                                       w->why);
    for (size_t i = 0; !err && i < w->held.rows; i++)
        w->scores[i] = calibration_eval(&w->calibration, w->d_margins[i]);
    if (!err)
        err = booster_save(w->booster, BOOSTER_UBJ, &w->forest, w->why);
    return err;
}

/* ---- thresholds ---- */

struct scored {
    double score;
    int64_t amount;
    uint8_t is_fraud;
};

static int by_score_falling(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;

    return (x < y) - (x > y);
}

/* The lowest score among the highest `capacity` rows behind `from`, no row of equal score being left out, and
 * none taken that is not above `least`; *end is where they end. */
static double by_capacity(const struct scored *rows, size_t n, size_t from, double capacity, double least,
                          size_t *end)
{
    size_t most = from + (size_t)(capacity * (double)n), at = from;

    *end = from;
    while (at < n && at < most && rows[at].score > least) {
        size_t next = at;

        while (next < n && rows[next].score == rows[at].score)
            next++;
        if (next > most)
            break;
        at = *end = next;
    }
    return *end > from ? rows[*end - 1].score : NEVER;
}

static void set_thresholds(struct work *w)
{
    const struct trainer *t = w->t;
    struct trainer_result *r = w->result;
    size_t n = w->held.rows, declined = 0, reviewed, challenged;
    struct scored *rows = mem_new_n(struct scored, n);
    double saved = 0, best = 0, overall = (double)w->held.frauds / (double)n;

    for (size_t i = 0; i < n; i++)
        rows[i] = (struct scored){ w->scores[i], w->held.amounts[i], w->held.flags[i] };
    qsort(rows, n, sizeof *rows, by_score_falling);
    for (size_t i = 0; i < n; i++) {
        saved += rows[i].is_fraud ? (double)rows[i].amount : -t->decline_cost * (double)rows[i].amount;
        if ((i + 1 == n || rows[i + 1].score < rows[i].score) && saved > best) {
            best = saved;
            declined = i + 1;
        }
    }
    r->thresholds.decline = declined ? rows[declined - 1].score : NEVER;
    r->thresholds.review = by_capacity(rows, n, declined, t->review_capacity, overall, &reviewed);
    r->thresholds.challenge = by_capacity(rows, n, reviewed, t->challenge_capacity, overall, &challenged);
    /* A stricter action never begins above a milder one. */
    r->thresholds.review = fmin(r->thresholds.review, r->thresholds.decline);
    r->thresholds.challenge = fmin(r->thresholds.challenge, r->thresholds.review);
    for (size_t i = 0; i < n; i++) {
        r->fraud_minor += rows[i].is_fraud ? rows[i].amount : 0;
        r->caught_minor += rows[i].is_fraud && i < declined ? rows[i].amount : 0;
        r->lost_minor += !rows[i].is_fraud && i < declined ? rows[i].amount : 0;
    }
    r->decline_share = (double)declined / (double)n;
    r->review_share = (double)(reviewed - declined) / (double)n;
    r->challenge_share = (double)(challenged - reviewed) / (double)n;
    mem_free(rows);
}

/* ---- what else belongs to a bundle ---- */

/* Held-out rows: up to half of them frauds, the rest spread over time. */
static enum err pick_golden(struct work *w)
{
    size_t frauds = 0, step = w->held.rows / (GOLDEN_ROWS / 2) + 1;

    w->golden = mem_new_n(float, GOLDEN_ROWS * w->columns);
    w->golden_margins = mem_new_n(float, GOLDEN_ROWS);
    for (size_t i = 0; i < w->held.rows && w->golden_rows < GOLDEN_ROWS; i++) {
        bool is_taken = i % step == 0 || (w->held.flags[i] && frauds < GOLDEN_ROWS / 2 - 1);

        if (!is_taken)
            continue;
        frauds += w->held.flags[i];
        memcpy(w->golden + w->golden_rows++ * w->columns, w->held.x + i * w->columns,
               w->columns * sizeof(float));
    }
    return booster_margins(w->booster, w->golden, w->golden_rows, w->columns, w->golden_margins, w->why);
}

static void make_histograms(struct work *w)
{
    double *values = mem_new_n(double, w->train.rows + 1);

    w->histograms = mem_new_n(struct histogram, w->columns);
    for (size_t c = 0; c < w->columns; c++) {
        for (size_t i = 0; i < w->train.rows; i++)
            values[i] = (double)w->train.x[i * w->columns + c];
        histogram_init_quantiles(&w->histograms[c], values, w->train.rows, HISTOGRAM_BINS);
        for (size_t i = 0; i < w->train.rows; i++)
            histogram_add(&w->histograms[c], values[i]);
    }
    histogram_init_quantiles(&w->margin_histogram, w->d_margins, w->held.rows, HISTOGRAM_BINS);
    for (size_t i = 0; i < w->held.rows; i++)
        histogram_add(&w->margin_histogram, w->d_margins[i]);
    mem_free(values);
}

static void judge(struct work *w)
{
    struct trainer_result *r = w->result;
    size_t n = w->held.rows;

    r->train_rows = w->train.rows;
    r->train_frauds = w->train.frauds;
    r->held_rows = n;
    r->held_frauds = w->held.frauds;
    r->auc_roc = auc_roc(w->d_margins, w->held.flags, n);
    r->average_precision = average_precision(w->d_margins, w->held.flags, n);
    r->recall_fpr_1 = point_at_fpr(w->d_margins, w->held.flags, n, 0.01).recall;
    r->calibration_error = calibration_error(w->scores, w->held.flags, n, 20);
    buf_printf(
        &w->metrics,
        "{\"average_precision\":%.6f,\"auc_roc\":%.6f,\"recall_at_fpr_1\":%.6f,\"calibration_error\":%.6f,"
        "\"brier\":%.8f,\"log_loss\":%.8f,\"held_out_rows\":%zu,\"held_out_frauds\":%zu,"
        "\"fraud_minor\":%" PRId64 ",\"caught_minor\":%" PRId64 ",\"wrongly_declined_minor\":%" PRId64 "}",
        r->average_precision, r->auc_roc, r->recall_fpr_1, r->calibration_error,
        brier_score(w->scores, w->held.flags, n), log_loss(w->scores, w->held.flags, n), n, r->held_frauds,
        r->fraud_minor, r->caught_minor, r->lost_minor);
    buf_printf(
        &w->parameters,
        "{\"trees\":%zu,\"depth\":%d,\"eta\":%g,\"min_child_weight\":%g,\"lambda\":%g,\"subsample\":%g,"
        "\"colsample_bytree\":%g,\"scale_pos_weight\":%g,\"max_bin\":%d,\"seed\":%" PRId64 "}",
        r->trees, w->t->params.depth, w->t->params.eta, w->t->params.min_child_weight, w->t->params.lambda,
        w->t->params.subsample, w->t->params.colsample_bytree, w->t->params.scale_pos_weight,
        w->t->params.max_bin, w->t->params.seed);
}

static void write_day(struct buf *out, int64_t at_us)
{
    char text[RFC3339_SIZE];

    rfc3339_format(at_us, text);
    buf_add(out, text, 10);
}

static void write_card(struct work *w)
{
    const struct trainer_result *r = w->result;
    struct buf *c = &w->card;

    buf_printf(
        c,
        "# %.*s\n\nGradient boosted trees (%zu, depth %d) over %zu features; answers with the probability "
        "that a payment is fraud.\n\n## Data\n\nTrained on ",
        SLICE_ARG(w->t->name), r->trees, w->t->params.depth, w->columns);
    write_day(c, w->train.from_us);
    buf_add_str(c, " to ");
    write_day(c, w->train.until_us);
    buf_printf(c, ": %zu payments, %zu frauds. Judged on the later ", r->train_rows, r->train_frauds);
    write_day(c, w->held.from_us);
    buf_add_str(c, " to ");
    write_day(c, w->held.until_us);
    buf_printf(
        c,
        ": %zu payments, %zu frauds, with %g days between for labels to come. No resampling; calibrated by "
        "isotonic regression on the later rows.\n\n## Figures on the later rows\n\n"
        "| figure | value |\n|---|---|\n| average precision | %.3f |\n| AUC ROC | %.3f |\n"
        "| recall at 1 %% false positives | %.3f |\n| calibration error | %.4f |\n\n"
        "They also stopped the training and set calibration and thresholds, so they lean to the good "
        "side.\n\n"
        "## Thresholds\n\n| action | probability from | share of payments |\n|---|---|---|\n",
        r->held_rows, r->held_frauds, (double)w->t->label_delay_us / (double)DAY_US, r->average_precision,
        r->auc_roc, r->recall_fpr_1, r->calibration_error);
    buf_printf(
        c, "| decline | %.4f | %.3f %% |\n| review | %.4f | %.3f %% |\n| challenge | %.4f | %.3f %% |\n\n",
        r->thresholds.decline, 100 * r->decline_share, r->thresholds.review, 100 * r->review_share,
        r->thresholds.challenge, 100 * r->challenge_share);
    buf_printf(
        c,
        "Decline saves the most where a wrongly declined payment costs %g of its amount; review and "
        "challenge "
        "are capped at %g %% and %g %% of the payments.\n\n## Limits\n\nLabels are taken as they came: what "
        "nobody reported counts as legitimate. Declined payments have no labels; without a control slice, "
        "later figures are about what was approved.\n",
        w->t->decline_cost, 100 * w->t->review_capacity, 100 * w->t->challenge_capacity);
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
        .training = { .from_us = w->train.from_us,
                      .until_us = w->train.until_us,
                      .label_delay_us = w->t->label_delay_us,
                      .labels_known_us = w->held.from_us,
                      .rows = w->train.rows,
                      .frauds = w->train.frauds },
        .card = buf_slice(&w->card),
    };

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
    err = split(&w);
    if (!err)
        err = train(&w);
    if (!err)
        err = pick_golden(&w);
    if (!err) {
        set_thresholds(&w);
        make_histograms(&w);
        judge(&w);
        write_card(&w);
        err = bind(&w, out);
    }
    for (size_t c = 0; w.histograms && c < w.columns; c++)
        histogram_release(&w.histograms[c]);
    if (w.histograms)
        histogram_release(&w.margin_histogram);
    mem_free(w.histograms);
    calibration_release(&w.calibration);
    booster_close(w.booster);
    buf_release(&w.forest);
    buf_release(&w.metrics);
    buf_release(&w.parameters);
    buf_release(&w.card);
    mem_free(w.margins);
    mem_free(w.d_margins);
    mem_free(w.scores);
    mem_free(w.golden);
    mem_free(w.golden_margins);
    part_release(&w.train);
    part_release(&w.held);
    return err;
}
