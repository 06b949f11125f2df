/* SPDX-License-Identifier: Apache-2.0
 * drift_bench.c - what watching costs, how often it cries wolf while nothing changes, and how soon it sees what does.
 *
 * Rows are drawn with replacement from the Fraud Detection Handbook's published features where they are there
 * ($ASSAY_TEST_DATA, else ../shared/data), else from a made-up world: the same rows for reference and windows, so
 * that nothing changes unless it is told to. README.md says what is compared with what. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "bench/report.h"
#include "csv/csv.h"
#include "dataset/input.h"
#include "drift/verdict.h"
#include "quality/figures.h"
#include "stats/calibration.h"
#include "stats/distribution.h"

enum {
    COLUMNS = 15, /* amount, and the 14 published ones */
    POOL_MAX = 400000,
    REFERENCE = 100000,
    BINS = 16,
    WINDOWS = 1000,
    REPEATS = 50,
    LABELLED = 5000, /* decisions in a window of labels */
    STARTS = 20,     /* places in the replay where something changes */
};

struct row {
    float features[COLUMNS];
    double margin, score;
    uint32_t customer, terminal;
    uint8_t is_fraud;
};

static struct {
    struct row *rows;
    size_t count;
    bool is_handbook;
    double fraud_rate;
} pool;

static struct drift_layout *layout;
static struct drift_window reference;
static struct drift_verdict *verdicts;
static struct drift_alarm *changes;
static struct random dice = { 2026 };

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- rows ---- */

typedef bool on_record(const struct slice *fields, size_t count); /* false: enough */

static bool read_csv(const char *name, on_record *record)
{
    const char *dir = getenv("ASSAY_TEST_DATA");
    bool is_last = false, goes_on = true;
    struct why why = { 0 };
    struct slice piece;
    struct input *in;
    struct csv csv;
    char path[4096];
    size_t count;

    snprintf(path, sizeof path, "%s/handbook/%s", dir ? dir : "../shared/data", name);
    if (input_open(&in, path, &why))
        return false;
    csv_init(&csv);
    while (goes_on && !is_last) {
        if (input_next(in, &piece, &is_last, &why))
            bench_fail("drift: %s: %s", path, why.text);
        while (goes_on && csv_next(&csv, &piece, is_last) == CSV_RECORD)
            goes_on = record(csv_fields(&csv, &count), count);
    }
    csv_release(&csv);
    input_close(in);
    return true;
}

static double number(struct slice text)
{
    double x;

    return slice_to_double(text, &x) ? x : (double)NAN;
}

static int64_t first_id = -1;

static bool on_features(const struct slice *f, size_t count)
{
    struct row *row = &pool.rows[pool.count];

    if (count != COLUMNS || f[0].ptr[0] == 'T')
        return true;
    if (first_id < 0)
        first_id = (int64_t)number(f[0]);
    if ((int64_t)number(f[0]) != first_id + (int64_t)pool.count)
        bench_fail("drift: the features are not in the order of the transactions");
    for (size_t i = 1; i < COLUMNS; i++)
        row->features[i] = (float)number(f[i]);
    return ++pool.count < POOL_MAX;
}

static bool on_transaction(const struct slice *f, size_t count)
{
    int64_t i = count == 9 ? (int64_t)number(f[0]) - first_id : -1;
    struct row *row;

    if (i < 0 || f[0].ptr[0] == 'T')
        return true;
    if ((size_t)i >= pool.count)
        return false;
    row = &pool.rows[i];
    row->customer = (uint32_t)number(f[2]);
    row->terminal = (uint32_t)number(f[3]);
    row->features[0] = (float)number(f[4]);
    row->is_fraud = number(f[7]) > 0;
    return true;
}

static double draw_normal(void)
{
    return sqrt(-2 * log(1 - random_unit(&dice))) * cos(6.283185307179586 * random_unit(&dice));
}

static void make_up(void)
{
    for (pool.count = 0; pool.count < POOL_MAX; pool.count++) {
        struct row *row = &pool.rows[pool.count];

        row->customer = (uint32_t)random_below(&dice, 5000);
        row->terminal = (uint32_t)random_below(&dice, 10000);
        for (size_t c = 0; c < COLUMNS; c++)
            row->features[c] = c % 3 == 2 ? (float)random_below(&dice, 30) : (float)exp(draw_normal() + 3);
        row->is_fraud = random_unit(&dice) < 1 / (1 + exp(7 - 0.02 * (double)row->features[0]));
    }
}

/* What stands for a model: amount and the terminal's past, calibrated on these rows. */
static void score_rows(void)
{
    double *margins = mem_new_n(double, pool.count);
    uint8_t *labels = mem_new_n(uint8_t, pool.count);
    struct calibration calibration;
    struct why why = { 0 };

    for (size_t i = 0; i < pool.count; i++) {
        struct row *row = &pool.rows[i];

        row->margin = margins[i] = -6 + 0.01 * (double)row->features[0] +
                                   (pool.is_handbook ? 8 * (double)row->features[COLUMNS - 1] : 0);
        labels[i] = row->is_fraud;
        pool.fraud_rate += row->is_fraud;
    }
    pool.fraud_rate /= (double)pool.count;
    if (calibration_fit_isotonic(&calibration, margins, labels, pool.count, 64, &why))
        bench_fail("drift: %s", why.text);
    for (size_t i = 0; i < pool.count; i++)
        pool.rows[i].score = calibration_eval(&calibration, margins[i]);
    calibration_release(&calibration);
    mem_free(margins);
    mem_free(labels);
}

static void load(void)
{
    pool.rows = mem_new_n(struct row, POOL_MAX);
    pool.is_handbook = read_csv("features-2018-06-11-to-2018-09-14.csv.zst", on_features) &&
                       read_csv("transactions.csv.zst", on_transaction);
    if (!pool.is_handbook)
        make_up();
    score_rows();
}

/* ---- the world, and what may change in it ---- */

struct change {
    const char *name;
    double scale;         /* of the amount */
    double new_channel;   /* share of a channel never seen */
    double missing;       /* share of amounts missing, 1 % before */
    bool is_zero;         /* a customer's mean amount is 0: what a broken upstream sends */
    bool is_other_fraud;  /* fraud comes to all alike */
    enum drift_kind kind; /* whose alarm says so */
    const char *subject;
};
static const struct change nothing = { .name = "nothing", .scale = 1, .missing = 0.01 };

enum { BROKEN_COLUMN = 6 };

static const struct row *draw_row(void)
{
    return &pool.rows[random_below(&dice, pool.count)];
}

static void fill_row(struct drift_row *row, float features[COLUMNS], const struct row *from,
                     const struct change *change)
{
    static const struct slice channels[] = { { "pos", 3 }, { "pos", 3 }, { "ecommerce", 9 }, { "atm", 3 } };
    static const struct slice countries[] = { { "BE", 2 }, { "BE", 2 }, { "BE", 2 }, { "DE", 2 },
                                              { "FR", 2 }, { "NL", 2 }, { "LU", 2 } };
    static const struct slice mccs[] = { { "5411", 4 }, { "5812", 4 }, { "5541", 4 }, { "6011", 4 } };

    memcpy(features, from->features, sizeof from->features);
    features[0] *= (float)change->scale;
    if (random_unit(&dice) < change->missing)
        features[0] = NAN;
    if (change->is_zero)
        features[BROKEN_COLUMN] = 0;
    *row = (struct drift_row){
        .features = features,
        .margin = from->margin,
        .action = from->score > 0.5   ? ACTION_DECLINE
                  : from->score > 0.1 ? ACTION_REVIEW
                                      : ACTION_APPROVE,
    };
    row->fields[DRIFT_CHANNEL] = random_unit(&dice) < change->new_channel
                                     ? SLICE("voice")
                                     : channels[from->terminal % ARRAY_LEN(channels)];
    row->fields[DRIFT_COUNTRY] = countries[from->customer % ARRAY_LEN(countries)];
    row->fields[DRIFT_MCC] = mccs[from->terminal / 7 % ARRAY_LEN(mccs)];
}

static void count(struct drift_window *w, const struct change *change, size_t n)
{
    float features[COLUMNS];
    struct drift_row row;

    for (size_t i = 0; i < n; i++) {
        fill_row(&row, features, draw_row(), change);
        drift_window_add(w, &row);
    }
}

static void make_layout(void)
{
    static const char *const words[COLUMNS] = { "amount",    "weekend",    "night",    "c_count_1",
                                                "c_mean_1",  "c_count_7",  "c_mean_7", "c_count_30",
                                                "c_mean_30", "t_count_1",  "t_risk_1", "t_count_7",
                                                "t_risk_7",  "t_count_30", "t_risk_30" };
    static const struct slice channels[] = { { "pos", 3 }, { "ecommerce", 9 }, { "atm", 3 } };
    static const struct slice countries[] = {
        { "BE", 2 }, { "DE", 2 }, { "FR", 2 }, { "NL", 2 }, { "LU", 2 }
    };
    static const struct slice mccs[] = { { "5411", 4 }, { "5812", 4 }, { "5541", 4 }, { "6011", 4 } };
    double *values = mem_new_n(double, REFERENCE);
    struct histogram histograms[COLUMNS + 1];
    struct slice names[COLUMNS];
    struct drift_source source = {
        .features = names,
        .histograms = histograms,
        .columns = COLUMNS,
        .margins = &histograms[COLUMNS],
        .fields = { { channels, 3 }, { countries, 5 }, { mccs, 4 } },
    };
    struct why why = { 0 };

    for (size_t c = 0; c <= COLUMNS; c++) {
        for (size_t i = 0; i < REFERENCE; i++) {
            const struct row *row = draw_row();

            values[i] = c < COLUMNS ? (double)row->features[c] : row->margin;
        }
        histogram_init_quantiles(&histograms[c], values, REFERENCE, BINS);
        if (c < COLUMNS)
            names[c] = slice_str(words[c]);
    }
    if (drift_layout_new(&layout, &source, &why))
        bench_fail("drift: %s", why.text);
    for (size_t c = 0; c <= COLUMNS; c++)
        histogram_release(&histograms[c]);
    mem_free(values);
    drift_window_init(&reference, layout);
    count(&reference, &nothing, REFERENCE);
    verdicts = mem_new_n(struct drift_verdict, drift_layout_subjects(layout));
    changes = mem_new_n(struct drift_alarm, drift_layout_subjects(layout) * DRIFT_TEST_COUNT);
}

/* ---- what it costs ---- */

enum { COST_COLUMNS = 39, COST_ROWS = 4096, COST_ROUNDS = 50 };

/* 39 features of 16 bins, three fields, counted from rows that lie ready. */
static void measure_counting(void)
{
    static char names[COST_COLUMNS][8];
    static float features[COST_ROWS][COST_COLUMNS];
    static struct drift_row rows[COST_ROWS];
    static const struct slice channels[] = { { "pos", 3 }, { "ecommerce", 9 }, { "atm", 3 } };
    struct histogram histograms[COST_COLUMNS];
    struct slice slices[COST_COLUMNS];
    struct drift_source source = { slices, histograms, COST_COLUMNS, &histograms[0], { { channels, 3 } } };
    double edges[BINS - 1], best = INFINITY;
    struct drift_layout *wide;
    struct drift_window w;
    struct why why = { 0 };

    for (size_t i = 0; i < BINS - 1; i++)
        edges[i] = (double)(i + 1) / BINS;
    for (size_t c = 0; c < COST_COLUMNS; c++) {
        snprintf(names[c], sizeof names[c], "f%zu", c);
        slices[c] = slice_str(names[c]);
        histogram_init_edges(&histograms[c], edges, BINS - 1);
    }
    if (drift_layout_new(&wide, &source, &why))
        bench_fail("drift: %s", why.text);
    for (size_t i = 0; i < COST_ROWS; i++) {
        for (size_t c = 0; c < COST_COLUMNS; c++)
            features[i][c] = random_below(&dice, 50) ? (float)random_unit(&dice) : NAN;
        rows[i] =
            (struct drift_row){ .at_us = (int64_t)i, .features = features[i], .margin = random_unit(&dice) };
        rows[i].fields[DRIFT_CHANNEL] = channels[random_below(&dice, 3)];
        rows[i].fields[DRIFT_COUNTRY] = SLICE("DE");
    }
    drift_window_init(&w, wide);
    for (int round = 0; round < COST_ROUNDS; round++) {
        double start = seconds();

        for (size_t i = 0; i < COST_ROWS; i++)
            drift_window_add(&w, &rows[i]);
        best = fmin(best, (seconds() - start) / COST_ROWS);
    }
    report(&(struct result){ .name = "drift/one decision counted",
                             .value = best * 1e9,
                             .unit = "ns",
                             .goals = { { VALUE_AT_MOST, 1000 } },
                             .note = "39 features, score, action, 3 fields with their segments" });
    drift_window_release(&w);
    drift_layout_free(wide);
    for (size_t c = 0; c < COST_COLUMNS; c++)
        histogram_release(&histograms[c]);
}

static void measure_verdict(void)
{
    struct drift_judge *judge = drift_judge_new(&reference, &drift_settings_default);
    double start, laws, best = INFINITY;
    struct drift_window w;
    size_t made = 0;

    drift_window_init(&w, layout);
    count(&w, &nothing, 1000);
    start = seconds();
    while (drift_judge_prepare(judge, &w))
        made++;
    laws = seconds() - start;
    for (int round = 0; round < 20; round++) {
        start = seconds();
        drift_judge_window(judge, &w, verdicts);
        best = fmin(best, seconds() - start);
    }
    report(&(struct result){ .name = "drift/one verdict",
                             .value = best * 1e6,
                             .unit = "us",
                             .note = "1,000 decisions, 15 features; the laws of noise are kept" });
    report(&(struct result){ .name = "drift/one law of noise",
                             .value = laws / (double)made * 1e3,
                             .unit = "ms",
                             .note = "made once for each subject and quarter of an octave of decisions" });
    drift_window_release(&w);
    drift_judge_free(judge);
}

/* ---- false alarms ---- */

struct tally {
    uint64_t beyond, alarms, single, single_tests, folklore_10, folklore_25, any_10, any_25;
};

static void tally_window(struct tally *t, size_t beyond)
{
    bool is_10 = false, is_25 = false;

    t->beyond += beyond > 0;
    for (size_t i = 0; i < COLUMNS; i++) {
        t->single_tests++;
        t->single += verdicts[i].tests[DRIFT_SHAPE].p <= 0.05;
        t->folklore_10 += verdicts[i].psi > 0.1;
        t->folklore_25 += verdicts[i].psi > 0.25;
        is_10 |= verdicts[i].psi > 0.1;
        is_25 |= verdicts[i].psi > 0.25;
    }
    t->any_10 += is_10;
    t->any_25 += is_25;
}

static void report_share(const char *name, size_t n, uint64_t hits, uint64_t of, double most,
                         const char *what)
{
    struct interval interval = clopper_pearson(hits, of, 0.95);
    char full[96], note[200];

    snprintf(full, sizeof full, "drift/false alarms, n = %zu: %s", n, name);
    snprintf(note, sizeof note, "%llu of %llu, exact 95 %% interval %.2f..%.2f %%; %s",
             (unsigned long long)hits, (unsigned long long)of, 100 * interval.low, 100 * interval.high, what);
    report(&(struct result){ .name = full,
                             .value = 100 * (double)hits / (double)of,
                             .unit = "%",
                             .goals = { { most > 0 ? VALUE_AT_MOST : GOAL_NONE, most } },
                             .note = note });
}

static void false_alarms(size_t n)
{
    struct drift_settings noise = drift_settings_default;
    struct drift_judge *floor_only, *usual;
    struct drift_alarms *alarms = drift_alarms_new(layout);
    struct tally bare = { 0 }, full = { 0 };
    struct drift_window w;

    noise.js_least = noise.missing_least = noise.unseen_least = 0;
    floor_only = drift_judge_new(&reference, &noise);
    usual = drift_judge_new(&reference, &drift_settings_default);
    drift_window_init(&w, layout);
    for (int i = 0; i < WINDOWS; i++) {
        drift_window_clear(&w);
        count(&w, &nothing, n);
        tally_window(&full, drift_judge_window(usual, &w, verdicts));
        tally_window(&bare, drift_judge_window(floor_only, &w, verdicts));
        full.alarms += drift_alarms_step(alarms, verdicts, noise.windows, changes) > 0;
    }
    report_share("one test at 5 %", n, bare.single, bare.single_tests, 5,
                 "shape of a feature, noise floor alone");
    report_share("a window with any", n, bare.beyond, WINDOWS, 5, "all tests of a window, noise floor alone");
    report_share("the same, with thresholds", n, full.beyond, WINDOWS, 5, "as it is set by default");
    report_share("alarms raised or over", n, full.alarms, WINDOWS, 0.25,
                 "two windows running, noise floor alone");
    report_share("PSI above 0.1", n, bare.any_10, WINDOWS, 0,
                 "the folklore's rule, on any feature of a window");
    report_share("PSI above 0.25", n, bare.any_25, WINDOWS, 0,
                 "the folklore's rule, on any feature of a window");
    drift_window_release(&w);
    drift_judge_free(floor_only);
    drift_judge_free(usual);
    drift_alarms_free(alarms);
}

/* ---- detection ---- */

static const struct change shifts[] = {
    { "amount times 1.2", 1.2, 0, 0.01, false, false, DRIFT_FEATURE, "amount" },
    { "a new channel at 1 %", 1, 0.01, 0.01, false, false, DRIFT_FIELD, "channel" },
    { "amount missing at 5 %, 1 % before", 1, 0, 0.05, false, false, DRIFT_FEATURE, "amount" },
    { "a mean amount that is 0", 1, 0, 0.01, true, false, DRIFT_FEATURE, "c_mean_7" },
};
static const struct change other_fraud = {
    .name = "fraud that comes to all alike", .scale = 1, .missing = 0.01, .is_other_fraud = true
};

enum { FINE_BINS = 200, FINE_ROWS = 200000 };

/* Of the amount's density times 1.2 from what it was, in nats: by 200 bins of equal weight before. */
static double divergence_of_scale(double scale)
{
    double *values = mem_new_n(double, FINE_ROWS), sum = 0;
    uint64_t before[FINE_BINS + 2] = { 0 }, after[FINE_BINS + 2] = { 0 };
    struct histogram h;

    for (size_t i = 0; i < FINE_ROWS; i++)
        values[i] = (double)draw_row()->features[0];
    histogram_init_quantiles(&h, values, FINE_ROWS, FINE_BINS);
    for (size_t i = 0; i < FINE_ROWS; i++) {
        before[histogram_bin(&h, values[i])]++;
        after[histogram_bin(&h, (double)(float)(values[i] * scale))]++;
    }
    for (size_t i = 0; i < histogram_bins(&h); i++)
        if (after[i])
            sum += (double)after[i] / FINE_ROWS * log((double)after[i] / ((double)before[i] + 0.5));
    histogram_release(&h);
    mem_free(values);
    return sum;
}

static double divergence_of_share(double now, double before)
{
    double sum = now * log(now / before);

    return now < 1 ? sum + (1 - now) * log((1 - now) / (1 - before)) : sum;
}

/* Of what comes in, per transaction. Infinite where what could not be is seen. */
static double divergence(const struct change *c)
{
    double zero = 0, sum = 0;

    if (c->is_other_fraud) {
        for (size_t i = 0; i < pool.count; i++)
            sum += divergence_of_share(pool.fraud_rate, pool.rows[i].score);
        return sum / (double)pool.count;
    }
    if (c->scale != 1)
        return divergence_of_scale(c->scale);
    if (c->missing != nothing.missing)
        return divergence_of_share(c->missing, nothing.missing);
    for (size_t i = 0; i < pool.count; i++)
        zero += pool.rows[i].features[BROKEN_COLUMN] == 0;
    return c->is_zero && zero > 0 ? -log(zero / (double)pool.count) : (double)INFINITY;
}

/* The least mean delay of any test with this mean time between false alarms, in transactions (Lorden 1971):
 * log(time) / divergence; and no sooner than the first transaction that is affected. */
static double best_delay(const struct change *c, double between_false)
{
    double bound = log(between_false) / divergence(c);

    return fmax(bound, c->new_channel > 0 ? 1 / c->new_channel : 1);
}

static void report_delay(const char *how, const struct change *c, size_t n, double mean, size_t seen,
                         size_t times, double between_false)
{
    char name[128], note[200];

    snprintf(name, sizeof name, "drift/%s, n = %zu: %s", how, n, c->name);
    snprintf(note, sizeof note,
             "seen in %zu of %zu, the others counted as all that was looked at; the baseline's false alarms: "
             "one in "
             "%.0f transactions",
             seen, times, between_false);
    report(&(struct result){ .name = name,
                             .value = mean,
                             .unit = "transactions",
                             .baseline = best_delay(c, between_false),
                             .against = c->new_channel > 0 || c->is_zero
                                            ? "the first transactions that can tell"
                                            : "log(time between false alarms) / divergence",
                             .note = note });
}

/* False alarms come once in windows / alpha^2 at most. */
static double time_between(size_t n)
{
    return (double)n / (drift_settings_default.alpha * drift_settings_default.alpha);
}

static void detect(const struct change *change, size_t n)
{
    struct drift_judge *judge = drift_judge_new(&reference, &drift_settings_default);
    enum { MOST = 200 };
    double delay = 0;
    size_t seen = 0;
    struct drift_window w;

    drift_window_init(&w, layout);
    for (int i = 0; i < REPEATS; i++) {
        struct drift_alarms *alarms = drift_alarms_new(layout);
        size_t windows = 0, changed = 0;

        while (changed == 0 && windows < MOST) {
            drift_window_clear(&w);
            count(&w, change, n);
            drift_judge_window(judge, &w, verdicts);
            changed = drift_alarms_step(alarms, verdicts, drift_settings_default.windows, changes);
            windows++;
        }
        seen += changed > 0;
        delay += (double)(windows * n);
        drift_alarms_free(alarms);
    }
    report_delay("delay", change, n, delay / REPEATS, seen, REPEATS, time_between(n));
    drift_window_release(&w);
    drift_judge_free(judge);
}

/* Labels of LABELLED decisions against what their scores said, twice running. */
static bool labels_disagree(const struct change *change)
{
    struct quality_day *day = mem_new(struct quality_day);
    struct quality_calibration c;

    for (size_t i = 0; i < LABELLED; i++) {
        const struct row *row = draw_row();
        const struct quality_row r = { .score = row->score, .p_label = 1 };
        bool is_fraud = random_unit(&dice) < (change->is_other_fraud ? pool.fraud_rate : row->score);

        quality_day_add(day, &r);
        if (is_fraud)
            quality_day_label(day, &r, 0);
    }
    quality_calibration(&c, day);
    mem_free(day);
    return c.p_shape <= drift_settings_default.alpha;
}

static void detect_by_labels(void)
{
    uint64_t wrong = 0;
    size_t seen = 0;
    double delay = 0;

    for (int i = 0; i < WINDOWS; i++)
        wrong += labels_disagree(&nothing);
    report_share("calibration", LABELLED, wrong, WINDOWS, 0,
                 "at 5 %, of matured decisions whose labels are drawn by their scores");
    for (int i = 0; i < REPEATS; i++) {
        size_t windows = 0, running = 0;

        for (; running < 2 && windows < 200; windows++)
            running = labels_disagree(&other_fraud) ? running + 1 : 0;
        seen += running == 2;
        delay += (double)(windows * LABELLED);
    }
    report_delay("delay", &other_fraud, LABELLED, delay / REPEATS, seen, REPEATS, time_between(LABELLED));
}

/* ---- the same in a replay: rows in the order in which they came ---- */

/* The next `n` from `from` on; what comes at `start` or later is changed. */
static void count_in_order(struct drift_window *w, size_t from, size_t n, size_t start,
                           const struct change *change)
{
    float features[COLUMNS];
    struct drift_row row;

    for (size_t i = from; i < from + n; i++) {
        fill_row(&row, features, &pool.rows[i], i < start ? &nothing : change);
        drift_window_add(w, &row);
    }
}

static bool is_raised_for(const struct change *c, const struct drift_alarm *of, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct drift_subject *subject = drift_layout_subject(layout, of[i].subject);

        if (of[i].change == DRIFT_RAISED && subject->kind == c->kind &&
            slice_eq_str(subject->name, c->subject))
            return true;
    }
    return false;
}

/* From the end of the reference on. Returns at which row the change that comes at `start` is an alarm of its subject, or
 * the pool's end. */
static size_t replay(struct drift_judge *judge, const struct change *change, size_t n, size_t start)
{
    struct drift_alarms *alarms = drift_alarms_new(layout);
    size_t at = REFERENCE + (start - REFERENCE) % n; /* one window ends where the change begins */
    struct drift_window w;
    bool is_seen = false;

    drift_window_init(&w, layout);
    for (; at + n <= pool.count && !is_seen; at += n) {
        drift_window_clear(&w);
        count_in_order(&w, at, n, start, change);
        drift_judge_window(judge, &w, verdicts);
        is_seen =
            is_raised_for(change, changes,
                          drift_alarms_step(alarms, verdicts, drift_settings_default.windows, changes)) &&
            at >= start;
    }
    drift_window_release(&w);
    drift_alarms_free(alarms);
    return is_seen ? at : pool.count;
}

static size_t start_of(size_t i)
{
    return REFERENCE + (pool.count - REFERENCE) * 2 / 3 * i / STARTS;
}

/* Nothing is injected: whose alarms the world itself raises, as its weekends do. */
static void replay_unchanged(struct drift_judge *judge, size_t n)
{
    struct drift_alarms *alarms = drift_alarms_new(layout);
    size_t *raised = mem_new_n(size_t, drift_layout_subjects(layout)), windows = 0;
    struct drift_window w;
    char name[96], note[400] = "";
    size_t all = 0;

    drift_window_init(&w, layout);
    for (size_t at = REFERENCE; at + n <= pool.count; at += n, windows++) {
        size_t changed;

        drift_window_clear(&w);
        count_in_order(&w, at, n, pool.count, &nothing);
        drift_judge_window(judge, &w, verdicts);
        changed = drift_alarms_step(alarms, verdicts, drift_settings_default.windows, changes);
        for (size_t i = 0; i < changed; i++)
            raised[changes[i].subject] += changes[i].change == DRIFT_RAISED;
    }
    for (size_t i = 0; i < drift_layout_subjects(layout); i++) {
        size_t len = strlen(note);

        all += raised[i];
        if (raised[i])
            snprintf(note + len, sizeof note - len, "%s%.*s %zu", len ? ", " : "",
                     SLICE_ARG(drift_layout_subject(layout, i)->name), raised[i]);
    }
    snprintf(name, sizeof name, "drift/replay, n = %zu: alarms of the world itself", n);
    report(&(struct result){ .name = name,
                             .value = (double)all,
                             .unit = "alarms",
                             .baseline = (double)windows,
                             .against = "windows",
                             .note = all ? note : "none" });
    drift_window_release(&w);
    drift_alarms_free(alarms);
    mem_free(raised);
}

static void replay_change(struct drift_judge *judge, const struct change *change, size_t n)
{
    double delay = 0;
    size_t seen = 0;

    for (size_t i = 0; i < STARTS; i++) {
        size_t start = start_of(i), at = replay(judge, change, n, start);

        seen += at < pool.count;
        delay += (double)(at - start);
    }
    report_delay("replay", change, n, delay / STARTS, seen, STARTS, time_between(n));
}

/* The labels that came, in windows one after the other; from `start` on fraud comes to all alike. */
static size_t replay_labels(size_t start, bool is_changed)
{
    struct quality_day *day = mem_new(struct quality_day);
    struct quality_calibration c;
    size_t running = 0, at = start;

    for (; at + LABELLED <= pool.count && running < 2; at += LABELLED) {
        memset(day, 0, sizeof *day);
        for (size_t i = at; i < at + LABELLED; i++) {
            const struct quality_row r = { .score = pool.rows[i].score, .p_label = 1 };
            bool is_fraud = is_changed ? random_unit(&dice) < pool.fraud_rate : pool.rows[i].is_fraud;

            quality_day_add(day, &r);
            if (is_fraud)
                quality_day_label(day, &r, 0);
        }
        quality_calibration(&c, day);
        running = c.p_shape <= drift_settings_default.alpha ? running + 1 : 0;
    }
    mem_free(day);
    return running == 2 ? at : pool.count;
}

static void replay_fraud(void)
{
    double delay = 0;
    size_t seen = 0;

    for (size_t i = 0; i < STARTS; i++) {
        size_t start = start_of(i), at = replay_labels(start, true);

        seen += at < pool.count;
        delay += (double)(at - start);
    }
    report_delay("replay", &other_fraud, LABELLED, delay / STARTS, seen, STARTS, time_between(LABELLED));
}

static void detect_in_replay(void)
{
    static const size_t sizes[] = { 1000, 10000 };
    struct drift_window past;

    drift_window_init(&past, layout);
    count_in_order(&past, 0, REFERENCE, REFERENCE, &nothing);
    for (size_t n = 0; n < ARRAY_LEN(sizes); n++) {
        struct drift_judge *judge = drift_judge_new(&past, &drift_settings_default);

        replay_unchanged(judge, sizes[n]);
        for (size_t i = 0; i < ARRAY_LEN(shifts); i++)
            replay_change(judge, &shifts[i], sizes[n]);
        drift_judge_free(judge);
    }
    replay_fraud();
    drift_window_release(&past);
}

int main(void)
{
    static const size_t sizes[] = { 100, 1000, 10000 };

    load();
    report_text("drift/rows", pool.is_handbook
                                  ? "drawn from the Fraud Detection Handbook's features"
                                  : "made up: the handbook's data is not there (ASSAY_TEST_DATA)");
    make_layout();
    measure_counting();
    measure_verdict();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        false_alarms(sizes[i]);
    for (size_t i = 0; i < ARRAY_LEN(shifts); i++)
        for (size_t n = 0; n + 1 < ARRAY_LEN(sizes); n++)
            detect(&shifts[i], sizes[n]);
    detect_by_labels();
    detect_in_replay();
    drift_window_release(&reference);
    drift_layout_free(layout);
    mem_free(verdicts);
    mem_free(changes);
    mem_free(pool.rows);
    return EXIT_SUCCESS;
}
