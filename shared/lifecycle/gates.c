/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/gates.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json_out.h"
#include "lifecycle/judged.h"
#include "stats/ranking.h"

enum { CALIBRATION_BINS = 20, CARDS = 100, TIMED_ROWS = 256, TIMED_ROUNDS = 9 };

const struct gate_settings GATE_SETTINGS_DEFAULT = {
    .frauds_least = 50,
    .rows_least = 2000,
    .confidence = 0.95,
    .rounds = 500,
    .seed = 1,
    .average_precision_margin = 0.03,
    .card_precision_margin = 0.03,
    .calibration_margin = 0.25,
    .psi_most = 0.25,
    .psi_champion_most = 1.0,
    .row_ns_most = 100 * 1000,
    .row_steps_most = 20000,
    .bytes_most = 64 << 20,
    .vector_differences_most = 0,
    .single_feature_most = 0.5,
};

struct gates {
    const struct gate_settings *settings;
    const struct gate_input *input;
    struct verdicts *out;
    struct bundle *bundle;
    struct judged sample;
    struct buf json;
    struct json_out o;
};

static void begin(struct gates *g)
{
    buf_clear(&g->json);
    g->o = json_out_to(&g->json);
    json_out_open(&g->o, NULL);
}

/* Ends the evidence; what follows is verdicts_add()'s. */
#define END(g, gate, outcome, ...)                                                                           \
    (json_out_end(&(g)->o), verdicts_add((g)->out, STAGE_VALIDATION, gate, outcome, &(g)->json, __VA_ARGS__))

static bool has_rows(struct gates *g, const char *gate)
{
    const struct gate_settings *s = g->settings;

    begin(g);
    json_out_int(&g->o, "rows", (int64_t)g->sample.n);
    json_out_int(&g->o, "frauds", (int64_t)g->sample.frauds);
    if (judged_is_enough(&g->sample, s->rows_least, s->frauds_least))
        return true;
    END(g, gate, OUTCOME_INCONCLUSIVE,
        "%zu labelled rows out of time with %zu frauds; %zu with %zu are needed", g->sample.n,
        g->sample.frauds, s->rows_least, s->frauds_least);
    return false;
}

/* ---- the bundle itself ---- */

static bool gate_golden_rows(struct gates *g)
{
    struct why why = { 0 };
    enum err err = bundle_open(&g->bundle, g->input->bundle, &why);

    begin(g);
    if (err) {
        json_out_str(&g->o, "error", err_name(err));
        END(g, "golden_rows", OUTCOME_FAIL, "the bundle does not open: %s", why.text);
        return false;
    }
    json_out_int(&g->o, "golden_rows", (int64_t)bundle_golden_rows(g->bundle));
    json_out_hex(&g->o, "sha256", slice_of(bundle_hash(g->bundle), SHA256_BYTES));
    END(g, "golden_rows", OUTCOME_PASS, "all %zu golden rows have their margins to the bit",
        bundle_golden_rows(g->bundle));
    return true;
}

static void gate_features(struct gates *g)
{
    const struct plan *plan = bundle_plan(g->bundle);
    size_t columns = plan_columns(plan), unknown = 0, first = 0;

    begin(g);
    json_out_int(&g->o, "features", (int64_t)columns);
    json_out_list(&g->o, "unknown");
    for (size_t c = columns; g->input->known && c-- > 0;) {
        const struct feature *f = plan_column(plan, c);

        if (plan_find(g->input->known, f->hash) != PLAN_NO_COLUMN)
            continue;
        unknown++;
        first = c;
        json_out_text(&g->o, NULL, f->name);
    }
    json_out_end(&g->o);
    if (unknown)
        END(g, "features", OUTCOME_FAIL, "%zu of %zu features are declared nowhere, %.*s among them", unknown,
            columns, SLICE_ARG(plan_column(plan, first)->name));
    else
        END(g, "features", OUTCOME_PASS, "all %zu features can be computed", columns);
}

static void gate_size(struct gates *g)
{
    size_t bytes = g->input->bundle.len, most = g->settings->bytes_most;

    begin(g);
    json_out_int(&g->o, "bytes", (int64_t)bytes);
    json_out_int(&g->o, "most", (int64_t)most);
    END(g, "size", bytes <= most ? OUTCOME_PASS : OUTCOME_FAIL, "%zu bytes; %zu are allowed", bytes, most);
}

/* The least of a few rounds: what disturbs a measurement only ever makes it longer. */
static double measure_row_ns(const struct gates *g)
{
    const struct gate_input *in = g->input;
    const struct forest *forest = bundle_forest(g->bundle);
    struct forest_scratch *scratch = forest_scratch_new(forest);
    size_t columns = forest_columns(forest), rows = in->vector_count;
    float *zeros = mem_new_n(float, columns + 1);
    volatile float sink = 0;
    double best = INFINITY;

    if (rows > TIMED_ROWS)
        rows = TIMED_ROWS;
    for (size_t round = 0; round < TIMED_ROUNDS; round++) {
        int64_t start = in->clock(in->clock_context);
        size_t n = rows ? rows : 1;

        for (size_t i = 0; i < n; i++)
            sink = forest_margin(forest, rows ? in->served_vectors + i * columns : zeros, scratch);
        best = fmin(best, (double)(in->clock(in->clock_context) - start) / (double)n);
    }
    (void)sink;
    mem_free(zeros);
    forest_scratch_free(scratch);
    return best;
}

static void gate_latency(struct gates *g)
{
    const struct gate_settings *s = g->settings;
    const struct forest *forest = bundle_forest(g->bundle);
    size_t steps = forest_trees(forest) * forest_depth(forest);
    bool is_timed = g->input->clock && s->row_ns_most > 0;
    double ns = is_timed ? measure_row_ns(g) : NAN;

    begin(g);
    json_out_int(&g->o, "trees", (int64_t)forest_trees(forest));
    json_out_int(&g->o, "depth", (int64_t)forest_depth(forest));
    json_out_int(&g->o, "steps", (int64_t)steps);
    json_out_int(&g->o, "steps_most", (int64_t)s->row_steps_most);
    json_out_number(&g->o, "row_ns", ns);
    json_out_int(&g->o, "row_ns_most", s->row_ns_most);
    if (steps > s->row_steps_most)
        END(g, "latency", OUTCOME_FAIL,
            "a row takes up to %zu comparisons (%zu trees of depth %zu); %zu are allowed", steps,
            forest_trees(forest), forest_depth(forest), s->row_steps_most);
    else if (is_timed && ns > (double)s->row_ns_most)
        END(g, "latency", OUTCOME_FAIL, "a row takes %.0f ns; %lld are allowed", ns,
            (long long)s->row_ns_most);
    else
        END(g, "latency", OUTCOME_PASS, "a row takes up to %zu comparisons of %zu", steps, s->row_steps_most);
}

/* ---- leaks ---- */

/* Equal bits, or both missing. */
static bool is_same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* The column in which most rows differ, and in how many they do. */
static size_t most_different(const struct gate_input *in, size_t columns, size_t *column)
{
    size_t most = 0;

    *column = 0;
    for (size_t c = 0; c < columns; c++) {
        size_t differ = 0;

        for (size_t i = 0; i < in->vector_count; i++)
            differ += !is_same(in->trained_vectors[i * columns + c], in->served_vectors[i * columns + c]);
        if (differ > most) {
            most = differ;
            *column = c;
        }
    }
    return most;
}

/* The labelled rows among those of the vectors. */
struct labelled {
    size_t n, frauds;
    size_t *vector; /* which one */
    double *a, *b;
    float *weights;
    uint8_t *labels;
    int64_t *customers;
};

static void labelled_init(struct labelled *l, const struct gate_input *in)
{
    *l = (struct labelled){
        .vector = mem_new_n(size_t, in->vector_count + 1),
        .a = mem_new_n(double, in->vector_count + 1),
        .b = mem_new_n(double, in->vector_count + 1),
        .weights = mem_new_n(float, in->vector_count + 1),
        .labels = mem_new_n(uint8_t, in->vector_count + 1),
        .customers = mem_new_n(int64_t, in->vector_count + 1),
    };
    for (size_t i = 0; i < in->vector_count; i++) {
        const struct evidence_row *r = &in->rows[in->vector_rows[i]];

        if (!evidence_is_labelled(r) || (in->champion && isnan(r->champion)))
            continue;
        l->vector[l->n] = i;
        l->weights[l->n] = (float)(1 / r->p_label);
        l->labels[l->n] = r->is_fraud;
        l->customers[l->n] = r->customer;
        l->frauds += r->is_fraud;
        l->n++;
    }
}

static void labelled_release(struct labelled *l)
{
    mem_free(l->vector);
    mem_free(l->a);
    mem_free(l->b);
    mem_free(l->weights);
    mem_free(l->labels);
    mem_free(l->customers);
}

static struct paired labelled_compare(const struct gates *g, const struct labelled *l)
{
    struct paired_settings settings =
        judged_settings(g->settings->confidence, g->settings->rounds, g->settings->seed);
    struct paired_rows rows = {
        .n = l->n, .a = l->a, .b = l->b, .labels = l->labels, .weights = l->weights, .customers = l->customers
    };

    return paired_average_precision(&rows, &settings);
}

/* The candidate on what it was trained on (a) and on what was served (b), over the same rows. */
static struct paired trained_against_served(struct gates *g, struct labelled *l)
{
    const struct forest *forest = bundle_forest(g->bundle);
    struct forest_scratch *scratch = forest_scratch_new(forest);
    size_t columns = forest_columns(forest);

    for (size_t i = 0; i < l->n; i++) {
        size_t at = l->vector[i] * columns;

        l->a[i] = (double)forest_margin(forest, g->input->trained_vectors + at, scratch);
        l->b[i] = (double)forest_margin(forest, g->input->served_vectors + at, scratch);
    }
    forest_scratch_free(scratch);
    return labelled_compare(g, l);
}

/* A feature as if it were a model: high or low values first, whichever is better; missing ones last. */
static void as_scores(const struct gates *g, const struct labelled *l, size_t column, double sign,
                      double *scores)
{
    size_t columns = forest_columns(bundle_forest(g->bundle));

    for (size_t i = 0; i < l->n; i++) {
        double value = (double)g->input->trained_vectors[l->vector[i] * columns + column];

        scores[i] = isfinite(value) ? sign * value : -DBL_MAX;
    }
}

/* The feature that alone ranks best. */
static size_t best_alone(const struct gates *g, struct labelled *l, double *sign)
{
    size_t columns = forest_columns(bundle_forest(g->bundle)), best_column = 0;
    double best = -1;

    for (size_t c = 0; c < columns; c++) {
        for (double s = -1; s <= 1; s += 2) {
            double ap;

            as_scores(g, l, c, s, l->a);
            ap = average_precision(l->a, l->labels, l->n);
            if (ap > best) {
                best = ap;
                best_column = c;
                *sign = s;
            }
        }
    }
    return best_column;
}

static void judge_leak(struct gates *g, struct labelled *l)
{
    const struct gate_settings *s = g->settings;
    const struct gate_input *in = g->input;
    const struct plan *plan = bundle_plan(g->bundle);
    size_t worst, differ = most_different(in, plan_columns(plan), &worst), alone;
    double sign = 1, share = (double)differ / (double)in->vector_count, limit;
    struct slice worst_name = plan_column(plan, worst)->name, alone_name;
    struct paired skew, single;

    json_out_int(&g->o, "vectors", (int64_t)in->vector_count);
    json_out_int(&g->o, "vectors_that_differ", (int64_t)differ);
    if (differ)
        json_out_text(&g->o, "feature", worst_name);
    if (l->frauds < s->frauds_least || l->frauds == l->n) {
        if (share > s->vector_differences_most)
            END(g, "leak", OUTCOME_FAIL,
                "%.*s is another value than was known at its moment, in %.2f %% of %zu rows",
                SLICE_ARG(worst_name), 100 * share, in->vector_count);
        else
            END(g, "leak", OUTCOME_INCONCLUSIVE, "%zu labelled rows with %zu frauds; %zu frauds are needed",
                l->n, l->frauds, s->frauds_least);
        return;
    }
    skew = trained_against_served(g, l);
    json_out_open(&g->o, "average_precision");
    json_out_number(&g->o, "as_trained", skew.a);
    json_out_number(&g->o, "as_served", skew.b);
    json_out_number(&g->o, "low", skew.difference.interval.low);
    json_out_number(&g->o, "high", skew.difference.interval.high);
    json_out_end(&g->o);

    alone = best_alone(g, l, &sign);
    alone_name = plan_column(plan, alone)->name;
    as_scores(g, l, alone, sign, l->a);
    for (size_t i = 0; i < l->n; i++)
        l->b[i] = in->champion ? in->rows[in->vector_rows[l->vector[i]]].champion : 0;
    single = labelled_compare(g, l);
    limit = single.b + s->single_feature_most * (1 - single.b);
    if (!in->champion) /* the champion's place is held by chance, which says little: only what is nearly perfect */
        limit = 1 - (1 - s->single_feature_most) / 5;
    json_out_open(&g->o, "single_feature");
    json_out_text(&g->o, "feature", alone_name);
    json_out_number(&g->o, "average_precision", single.a);
    json_out_number(&g->o, "low", single.b + single.difference.interval.low);
    json_out_number(&g->o, "champion", in->champion ? single.b : NAN);
    json_out_number(&g->o, "limit", limit);
    json_out_end(&g->o);

    if (share > s->vector_differences_most)
        END(g, "leak", OUTCOME_FAIL,
            "%.*s is another value than was known at its moment, in %.2f %% of %zu rows; average precision "
            "%.3f as "
            "trained, %.3f "
            "as served",
            SLICE_ARG(worst_name), 100 * share, in->vector_count, skew.a, skew.b);
    else if (skew.difference.interval.low > s->average_precision_margin)
        END(g, "leak", OUTCOME_FAIL,
            "average precision %.3f on the vectors it was trained on, %.3f on those served", skew.a, skew.b);
    else if (single.b + single.difference.interval.low > limit)
        END(g, "leak", OUTCOME_FAIL,
            "%.*s alone has an average precision of %.3f, which nothing known beforehand has (limit %.3f)",
            SLICE_ARG(alone_name), single.a, limit);
    else
        END(g, "leak", OUTCOME_PASS,
            "%zu vectors are what was served; the best feature alone, %.*s, has %.3f", in->vector_count,
            SLICE_ARG(alone_name), single.a);
}

static void gate_leak(struct gates *g)
{
    struct labelled l;

    begin(g);
    if (!g->input->vector_count) {
        END(g, "leak", OUTCOME_INCONCLUSIVE, "there are no served vectors to compare with");
        return;
    }
    labelled_init(&l, g->input);
    judge_leak(g, &l);
    labelled_release(&l);
}

/* ---- calibration ---- */

/* Rows in bins of equal count by score, equal scores together, as stats/calibration.h has them. */
struct bins {
    const struct judged *s;
    struct clusters clusters;
    uint8_t *of; /* [n] */
    double weight;
    double own[CALIBRATION_BINS]; /* each bin's weighted sum of score - label */
};

struct indexed {
    double score;
    size_t row;
};

static int by_score(const void *a, const void *b)
{
    double x = ((const struct indexed *)a)->score, y = ((const struct indexed *)b)->score;

    return (x > y) - (x < y);
}

static void residuals(const struct bins *b, const uint32_t *times, double *sums)
{
    const struct judged *s = b->s;

    memset(sums, 0, CALIBRATION_BINS * sizeof *sums);
    for (size_t i = 0; i < s->n; i++)
        sums[b->of[i]] +=
            (times ? times[b->clusters.of[i]] : 1) * (double)s->weights[i] * (s->candidate[i] - s->labels[i]);
}

static void bins_init(struct bins *b, const struct judged *s)
{
    struct indexed *sorted = mem_new_n(struct indexed, s->n);

    *b = (struct bins){ .s = s, .of = mem_new_n(uint8_t, s->n) };
    clusters_init(&b->clusters, s->customers, s->n);
    for (size_t i = 0; i < s->n; i++) {
        sorted[i] = (struct indexed){ s->candidate[i], i };
        b->weight += (double)s->weights[i];
    }
    qsort(sorted, s->n, sizeof *sorted, by_score);
    for (size_t i = 0; i < s->n; i++) {
        bool is_tie = i && sorted[i].score == sorted[i - 1].score;

        b->of[sorted[i].row] = (uint8_t)(is_tie ? b->of[sorted[i - 1].row] : i * CALIBRATION_BINS / s->n);
    }
    residuals(b, NULL, b->own);
    mem_free(sorted);
}

static void bins_release(struct bins *b)
{
    clusters_release(&b->clusters);
    mem_free(b->of);
}

/* What a calibrated model's error would be: each bin's residual less its own mean, drawn by customers. Figure 1
 * is the error itself, of the sample. */
static void calibration_round(void *context, const uint32_t *times, double *figures)
{
    const struct bins *b = context;
    double sums[CALIBRATION_BINS];

    residuals(b, times, sums);
    figures[0] = figures[1] = 0;
    for (size_t k = 0; k < CALIBRATION_BINS; k++) {
        figures[0] += fabs(sums[k] - b->own[k]) / b->weight;
        figures[1] += fabs(sums[k]) / b->weight;
    }
}

static void gate_calibration(struct gates *g)
{
    const struct gate_settings *s = g->settings;
    struct resampled figures[2];
    struct bins bins;
    double noise, limit, error;

    if (!has_rows(g, "calibration"))
        return;
    bins_init(&bins, &g->sample);
    resample(&bins.clusters, calibration_round, &bins, 2, s->rounds, 2 * s->confidence - 1, s->seed, figures);
    bins_release(&bins);
    error = figures[1].value;
    noise = figures[0].interval.high;
    limit = noise + s->calibration_margin * g->sample.fraud_share;
    json_out_number(&g->o, "error", error);
    json_out_number(&g->o, "noise", noise);
    json_out_number(&g->o, "limit", limit);
    json_out_number(&g->o, "fraud_share", g->sample.fraud_share);
    END(g, "calibration", error <= limit ? OUTCOME_PASS : OUTCOME_FAIL,
        "calibration error %.5f; chance gives a calibrated model up to %.5f, and %.5f are allowed", error,
        noise, limit);
}

/* ---- ranking ---- */

/* Not worse at the bound: pass. Surely worse, or worse by more than the margin as it stands: fail. */
static enum outcome not_worse(const struct resampled *difference, double margin)
{
    if (difference->interval.low > -margin)
        return OUTCOME_PASS;
    if (difference->interval.high < 0 || difference->value < -margin)
        return OUTCOME_FAIL;
    return OUTCOME_INCONCLUSIVE;
}

static void end_ranking(struct gates *g, const char *gate, const char *figure, const struct paired *p,
                        double margin)
{
    enum outcome outcome = not_worse(&p->difference, margin);

    write_paired(&g->o, p);
    json_out_number(&g->o, "margin", margin);
    END(g, gate, outcome,
        "%s %.3f against the champion's %.3f: difference %+.3f (%+.3f to %+.3f), margin %.3f", figure, p->a,
        p->b, p->difference.value, p->difference.interval.low, p->difference.interval.high, margin);
}

static void gate_average_precision(struct gates *g)
{
    struct paired_settings settings =
        judged_settings(g->settings->confidence, g->settings->rounds, g->settings->seed);
    struct paired_rows rows = judged_paired(&g->sample);
    struct paired p;

    if (!has_rows(g, "average_precision"))
        return;
    p = paired_average_precision(&rows, &settings);
    if (g->input->champion) {
        end_ranking(g, "average_precision", "average precision", &p, g->settings->average_precision_margin);
        return;
    }
    json_out_number(&g->o, "candidate", p.a);
    json_out_number(&g->o, "chance", p.b);
    json_out_number(&g->o, "low", p.b + p.difference.interval.low);
    END(g, "average_precision", p.difference.interval.low > 0 ? OUTCOME_PASS : OUTCOME_FAIL,
        "average precision %.3f (at least %.3f) where chance has %.3f; there is no champion", p.a,
        p.b + p.difference.interval.low, p.b);
}

static void gate_card_precision(struct gates *g)
{
    struct paired_settings settings =
        judged_settings(g->settings->confidence, g->settings->rounds, g->settings->seed);
    struct paired_rows rows = judged_paired(&g->sample);
    struct paired p;

    if (!has_rows(g, "card_precision"))
        return;
    if (!g->input->champion) {
        END(g, "card_precision", OUTCOME_PASS, "there is no champion to compare with");
        return;
    }
    p = paired_card_precision(&rows, CARDS, &settings);
    end_ranking(g, "card_precision", "card precision at 100", &p, g->settings->card_precision_margin);
}

/* ---- scores ---- */

/* Rows by their score against the margins of the held-out rows: calibration rises, so an edge between margins is
 * an edge between scores. */
static struct shift reference_shift(const struct gates *g, const double *scores, size_t n)
{
    const struct histogram *reference = bundle_margin_histogram(g->bundle);
    struct shift s = { .psi = NAN, .rows = n };
    double edges[BUNDLE_EDGES_MAX];
    struct histogram now;
    size_t count = 0;

    if (!reference)
        return s;
    for (; count < reference->edge_count; count++)
        edges[count] = bundle_score(g->bundle, (float)reference->edges[count]);
    histogram_init_edges(&now, edges, count);
    for (size_t i = 0; i < n; i++)
        histogram_add(&now, scores[i]);
    s.bins = count + 1;
    for (size_t b = 0; b < s.bins; b++)
        s.reference_rows += reference->counts[b];
    s.psi = psi(reference->counts, now.counts, s.bins);
    s.noise = s.bins > 1 ? psi_noise_95(s.bins, s.reference_rows, n) : 0;
    histogram_release(&now);
    return s;
}

static void write_shift(struct json_out *o, const char *key, const struct shift *s, double most)
{
    json_out_open(o, key);
    json_out_number(o, "psi", s->psi);
    json_out_number(o, "noise", s->noise);
    json_out_number(o, "most", most);
    json_out_int(o, "rows", (int64_t)s->rows);
    json_out_int(o, "reference_rows", (int64_t)s->reference_rows);
    json_out_end(o);
}

static void gate_score_psi(struct gates *g)
{
    const struct gate_settings *s = g->settings;
    const struct gate_input *in = g->input;
    double *candidate = mem_new_n(double, in->row_count + 1),
           *champion = mem_new_n(double, in->row_count + 1);
    struct shift own, other = { .psi = NAN };
    size_t n = 0;

    for (size_t i = 0; i < in->row_count; i++) {
        if (isnan(in->rows[i].candidate) || (in->champion && isnan(in->rows[i].champion)))
            continue;
        candidate[n] = in->rows[i].candidate;
        champion[n++] = in->rows[i].champion;
    }
    begin(g);
    own = reference_shift(g, candidate, n);
    if (in->champion)
        other = score_shift(champion, n, candidate, n);
    write_shift(&g->o, "held_out", &own, s->psi_most);
    write_shift(&g->o, "champion", &other, s->psi_champion_most);
    if (n < s->rows_least)
        END(g, "score_psi", OUTCOME_INCONCLUSIVE, "%zu scored rows; %zu are needed", n, s->rows_least);
    else if (own.psi > s->psi_most + own.noise)
        END(g, "score_psi", OUTCOME_FAIL,
            "scores are not where they were on held-out rows: PSI %.3f, %.3f allowed", own.psi,
            s->psi_most + own.noise);
    else if (other.psi > s->psi_champion_most + other.noise)
        END(g, "score_psi", OUTCOME_FAIL, "scores are not where the champion's are: PSI %.3f, %.3f allowed",
            other.psi, s->psi_champion_most + other.noise);
    else
        END(g, "score_psi", OUTCOME_PASS, "PSI %.3f against held-out rows, %.3f against the champion",
            own.psi, in->champion ? other.psi : 0);
    mem_free(candidate);
    mem_free(champion);
}

enum outcome gates_run(const struct gate_settings *settings, const struct gate_input *input,
                       struct verdicts *out)
{
    static void (*const gates[])(struct gates * g) = {
        gate_features,          gate_size,           gate_latency,   gate_leak, gate_calibration,
        gate_average_precision, gate_card_precision, gate_score_psi,
    };
    struct gates g = { .settings = settings, .input = input, .out = out };
    size_t from = out->count;

    buf_init(&g.json, 0);
    judged_init(&g.sample, input->rows, input->row_count, input->champion != NULL);
    if (gate_golden_rows(&g))
        for (size_t i = 0; i < ARRAY_LEN(gates); i++)
            gates[i](&g);
    judged_release(&g.sample);
    bundle_close(g.bundle);
    buf_release(&g.json);
    return verdicts_outcome(out, from);
}
