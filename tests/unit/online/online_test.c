/* SPDX-License-Identifier: Apache-2.0 */
#include "online/online.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "stats/interval.h"
#include "stats/logistic.h"
#include "stats/ranking.h"

/* ---- the textbook: algorithm 1 of McMahan et al. 2013, word by word, over a dense vector ---- */

enum { DIMENSIONS = 16 };
struct textbook {
    double alpha, beta, lambda1, lambda2, z[DIMENSIONS], n[DIMENSIONS], w[DIMENSIONS];
};

static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}

static double textbook_predict(struct textbook *t, const double *x)
{
    double dot = 0;

    for (int i = 0; i < DIMENSIONS; i++) {
        t->w[i] = fabs(t->z[i]) <= t->lambda1 ? 0
                                              : -1 / ((t->beta + sqrt(t->n[i])) / t->alpha + t->lambda2) *
                                                    (t->z[i] - sign(t->z[i]) * t->lambda1);
        dot += x[i] * t->w[i];
    }
    return dot;
}

static void textbook_update(struct textbook *t, const double *x, double y)
{
    double p = 1 / (1 + exp(-textbook_predict(t, x)));

    for (int i = 0; i < DIMENSIONS; i++) {
        double g = (p - y) * x[i];
        double sigma = 1 / t->alpha * (sqrt(t->n[i] + g * g) - sqrt(t->n[i]));

        t->z[i] += g - sigma * t->w[i];
        t->n[i] += g * g;
    }
}

Test(online, learns_as_the_textbook_says)
{
    const struct online_settings settings = {
        .alpha = 0.3, .beta = 0.7, .l1 = 0.4, .l2 = 0.2, .negatives = 1, .bits = 4, .window = 100
    };
    struct textbook book = { .alpha = 0.3, .beta = 0.7, .lambda1 = 0.4, .lambda2 = 0.2 };
    struct online *model = online_new(&settings);
    struct random r = { 2 };
    size_t zeros = 0;

    for (int i = 0; i < 5000; i++) {
        struct online_entry entries[DIMENSIONS];
        double x[DIMENSIONS] = { 0 };
        size_t count = 0;

        for (uint32_t d = 0; d < DIMENSIONS; d++) {
            if (random_unit(&r) < 0.3) {
                x[d] = (float)(4 * random_unit(&r) - 2);
                entries[count++] = (struct online_entry){ d, (float)x[d] };
            }
        }
        bool y = random_unit(&r) < 1 / (1 + exp(-x[0] + 0.5 * x[3] + 1));

        double margin = online_learn(model, entries, count, y, 1, 0, 0);

        cr_assert_float_eq(margin, textbook_predict(&book, x), 1e-9);
        textbook_update(&book, x, y);
    }
    textbook_predict(&book, (double[DIMENSIONS]){ 0 });
    for (int d = 0; d < DIMENSIONS; d++)
        zeros += book.w[d] == 0;
    cr_assert_eq(online_progress(model).weights, DIMENSIONS - zeros);
    cr_assert(zeros > 0, "L1 keeps what says nothing at 0");
    online_free(model);
}

/* A stationary problem: the weights come near to those of the same logistic regression fitted on all rows. */
Test(online, comes_to_the_solution_of_logistic_regression)
{
    enum { ROWS = 100000, COLUMNS = 3, PASSES = 4 };
    const struct online_settings settings = {
        .alpha = 0.05, .beta = 1, .l1 = 0, .l2 = 0, .negatives = 1, .bits = 4, .window = 100
    };
    struct online *model = online_new(&settings);
    float *rows = mem_new_n(float, (size_t)ROWS *COLUMNS);
    uint8_t *labels = mem_new_n(uint8_t, ROWS);
    struct random r = { 12 };
    struct logistic fit;
    struct why why = { 0 };
    double worst = 0;

    for (size_t i = 0; i < ROWS; i++) {
        float *x = rows + i * COLUMNS;

        for (size_t c = 0; c < COLUMNS; c++)
            x[c] = (float)(2 * random_unit(&r) - 1 + (c ? 0.5 * x[0] : 0));
        labels[i] = random_unit(&r) < 1 / (1 + exp(2 - x[0] - 1.5 * x[1] + 0.7 * x[2]));
    }
    cr_assert(!logistic_fit(&fit, rows, labels, ROWS, COLUMNS, 1e6, &why), "%s", why.text);
    for (size_t i = 0; i < (size_t)ROWS * PASSES; i++) {
        const float *x = rows + i % ROWS * COLUMNS;
        const struct online_entry entries[] = { { 9, 1 }, { 0, x[0] }, { 1, x[1] }, { 2, x[2] } };

        online_learn(model, entries, 4, labels[i % ROWS], 1, 0, i);
    }
    for (size_t i = 0; i < 1000; i++) {
        const float *x = rows + i * COLUMNS;
        const struct online_entry entries[] = { { 9, 1 }, { 0, x[0] }, { 1, x[1] }, { 2, x[2] } };

        worst = fmax(worst, fabs(online_margin(model, entries, 4) - logistic_margin(&fit, x)));
    }
    cr_assert(worst < 0.08, "%f", worst);
    logistic_release(&fit);
    mem_free(rows);
    mem_free(labels);
    online_free(model);
}

/* ---- features ---- */

static void name_features(unsigned char (*identities)[SHA256_BYTES], const unsigned char **pointers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sha256(slice_of(&i, sizeof i), identities[i]);
        pointers[i] = identities[i];
    }
}

Test(online, entries_are_known_by_the_feature_and_not_by_its_place)
{
    unsigned char identities[3][SHA256_BYTES];
    const unsigned char *names[3], *turned[3];
    struct histogram h[3], h_turned[3];
    struct online_entry entries[8], others[8];
    struct online_encoder *a, *b;

    name_features(identities, names, 3);
    for (size_t c = 0; c < 3; c++) {
        double values[101];

        for (size_t i = 0; i <= 100; i++)
            values[i] = (double)i * (double)(c + 1);
        histogram_init_quantiles(&h[c], values, 101, 10);
        for (size_t i = 0; i <= 100; i++)
            histogram_add(&h[c], values[i]);
    }
    for (size_t c = 0; c < 3; c++) {
        turned[c] = names[2 - c];
        h_turned[c] = h[2 - c];
    }
    a = online_encoder_new(names, h, 3, 16);
    b = online_encoder_new(turned, h_turned, 3, 16);
    cr_assert_eq(online_entries_max(a), 7);
    /* The median of the first, missing, and far above the third. */
    cr_assert_eq(online_encode(a, (float[]){ 50, NAN, 1e9F }, entries), 6);
    cr_assert_eq(online_encode(b, (float[]){ 1e9F, NAN, 50 }, others), 6);
    cr_assert_eq(entries[0].value, 1);
    cr_assert_float_eq(entries[2].value, 0, 0.05, "%f", entries[2].value);
    cr_assert_eq(entries[3].value, 1, "missing");
    cr_assert_float_eq(entries[5].value, log1p(1e6), 1e-5, "as far as it goes");
    for (size_t i = 0; i < 6; i++) {
        static const size_t places[] = { 0, 4, 5, 3, 1, 2 };

        cr_assert_eq(entries[i].index, others[places[i]].index);
        cr_assert_eq(entries[i].value, others[places[i]].value);
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(entries[i].index, entries[j].index);
    }
    /* A quarter of the range of a uniform one is 0.25 / (0.5 / 1.349) scales. */
    online_encode(a, (float[]){ 75, -1e9F, 0 }, entries);
    cr_assert_float_eq(entries[2].value, log1p(1.349 / 2), 0.02, "%f", entries[2].value);
    cr_assert_float_eq(entries[4].value, -log1p(1e6), 1e-5);
    /* Far out each doubling of the distance is a bin of its own, and at the edge the first. */
    online_encode(a, (float[]){ 90, 180, 270 }, entries);
    uint32_t at_edge = entries[1].index;
    online_encode(a, (float[]){ 100, 180, 270 }, entries);
    cr_assert_eq(entries[1].index, at_edge);
    online_encode(a, (float[]){ 90 + 40, 180, 270 }, entries);
    uint32_t one = entries[1].index;
    online_encode(a, (float[]){ 90 + 100, 180, 270 }, entries);
    cr_assert_neq(one, at_edge);
    cr_assert_neq(one, entries[1].index);
    online_encoder_free(a);
    online_encoder_free(b);
    /* Another reference of the same feature finds its bins again. */
    struct histogram coarse;
    double edges[] = { 10, 30, 50, 70, 90 };
    histogram_init_edges(&coarse, edges, 5);
    for (int i = 0; i <= 100; i++)
        histogram_add(&coarse, i);
    a = online_encoder_new(names, h, 1, 16);
    b = online_encoder_new(names, &coarse, 1, 16);
    online_encode(a, (float[]){ 55 }, entries);
    online_encode(b, (float[]){ 55 }, others);
    cr_assert_eq(entries[1].index, others[1].index);
    online_encoder_free(a);
    online_encoder_free(b);
    /* Without references: 0, and doublings on both sides of it. */
    a = online_encoder_new(names, NULL, 1, 16);
    cr_assert_eq(online_encode(a, (float[]){ 0 }, entries), 3);
    cr_assert_eq(entries[2].value, 0);
    online_encode(a, (float[]){ 0.5F }, others);
    cr_assert_neq(entries[1].index, others[1].index);
    online_encode(a, (float[]){ -0.5F }, entries);
    cr_assert_neq(entries[1].index, others[1].index);
    online_encode(a, (float[]){ 0.51F }, entries);
    cr_assert_eq(entries[1].index, others[1].index);
    online_encoder_free(a);
    histogram_release(&coarse);
    for (size_t c = 0; c < 3; c++)
        histogram_release(&h[c]);
}

/* ---- what is kept beside the weights ---- */

/* One feature of two values and rare frauds, drawn for ever the same way. */
static bool draw(struct random *r, struct online_entry *entries)
{
    bool is_high = random_unit(r) < 0.1;

    entries[0] = (struct online_entry){ 0, 1 };
    entries[1] = (struct online_entry){ is_high ? 1 : 2, 1 };
    return random_unit(r) < (is_high ? 0.2 : 0.01);
}

Test(online, validates_before_it_learns)
{
    enum { WINDOW = 500 };
    struct online_settings settings = online_defaults;
    struct online *model;
    struct online_progress p;
    struct random r = { 7 };
    double scores[WINDOW], loss = 0, weights_sum = 0, fraud_sum = 0;
    uint8_t labels[WINDOW];
    float weights[WINDOW];

    settings.bits = 4;
    settings.window = WINDOW;
    settings.l1 = 0;
    model = online_new(&settings);
    cr_assert(isnan(online_progress(model).running.log_loss));
    for (int i = 0; i < 2 * WINDOW; i++) {
        struct online_entry entries[2];
        bool is_fraud = draw(&r, entries);
        double weight = i % 5 == 0 ? 4 : 1, before = online_margin(model, entries, 2);

        cr_assert_eq(online_learn(model, entries, 2, is_fraud, weight, 0, (uint64_t)i), before);
        if (i < WINDOW)
            continue;
        scores[i - WINDOW] = floor((before + 16) * 8);
        labels[i - WINDOW] = is_fraud;
        weights[i - WINDOW] = (float)weight;
        loss -= weight * log(is_fraud ? online_probability(before) : 1 - online_probability(before));
        weights_sum += weight;
        fraud_sum += is_fraud * weight;
    }
    p = online_progress(model);
    cr_assert_eq(p.examples, 2 * WINDOW);
    cr_assert_eq(p.last.examples, WINDOW);
    cr_assert_eq(p.running.examples, 0);
    cr_assert_float_eq(p.last.log_loss, loss / weights_sum, 1e-9);
    cr_assert_float_eq(p.last.fraud_share, fraud_sum / weights_sum, 1e-12);
    cr_assert_float_eq(p.last.average_precision, average_precision_weighted(scores, labels, weights, WINDOW),
                       1e-9);
    online_free(model);
}

Test(online, tells_what_it_said_of_payments_and_how_much_they_were)
{
    enum { WINDOW = 400, EXAMPLES = 2 * WINDOW + 150 };
    struct online_settings settings = online_defaults;
    struct online_bucket buckets[2 * ONLINE_BUCKETS];
    struct online *model;
    struct random r = { 9 };
    double margins[EXAMPLES], weights[EXAMPLES];
    bool frauds[EXAMPLES];
    size_t count, seen = 0;

    settings.bits = 4;
    settings.window = WINDOW;
    model = online_new(&settings);
    cr_assert_eq(online_buckets(model, buckets), 0);
    for (int i = 0; i < EXAMPLES; i++) {
        struct online_entry entries[2];

        frauds[i] = draw(&r, entries);
        weights[i] = i % 7 == 0 ? 4 : 1;
        margins[i] = online_learn(model, entries, 2, frauds[i], weights[i], 10 * i, (uint64_t)i);
    }
    count = online_buckets(model, buckets);
    cr_assert_gt(count, 4);
    for (size_t b = 0; b < count; b++) {
        double weight = 0, money = 0;

        cr_assert(b == 0 || buckets[b].least <= buckets[b - 1].least);
        for (int i = EXAMPLES - WINDOW - 150; i < EXAMPLES;
             i++) { /* the last full window and the running one */
            double edge = floor(margins[i] * 8) / 8;

            if (frauds[i] != buckets[b].is_fraud || online_probability(edge) != buckets[b].least)
                continue;
            cr_assert_leq(buckets[b].least, online_probability(margins[i]));
            weight += weights[i];
            money += weights[i] * 10 * i;
            seen++;
        }
        cr_assert_eq(buckets[b].weight, weight);
        cr_assert_eq(buckets[b].money, money);
    }
    cr_assert_eq(seen, WINDOW + 150);
    online_free(model);
}

Test(online, subsampled_negatives_leave_probabilities_as_they_are)
{
    struct online_settings settings = online_defaults;
    struct online *model;
    struct online_progress p;
    struct random r = { 8 };

    settings.bits = 4;
    settings.l1 = 0;
    settings.negatives = 0.1;
    settings.window = 50000;
    model = online_new(&settings);
    for (uint64_t i = 0; i < 150000; i++) {
        struct online_entry entries[2];
        bool is_fraud = draw(&r, entries);

        online_learn(model, entries, 2, is_fraud, 1, 0, i);
    }
    p = online_progress(model);
    cr_assert(p.learned > 0.11 * 150000 && p.learned < 0.15 * 150000, "%zu", (size_t)p.learned);
    cr_assert_float_eq(p.last.mean_probability, p.last.fraud_share, 0.1 * p.last.fraud_share, "%f, %f",
                       p.last.mean_probability, p.last.fraud_share);
    cr_assert_float_eq(
        online_probability(online_margin(model, (struct online_entry[]){ { 0, 1 }, { 1, 1 } }, 2)), 0.2,
        0.03);
    online_free(model);
}

static void teach(struct online *model, uint64_t seed, int count)
{
    struct random r = { seed };

    for (int i = 0; i < count; i++) {
        struct online_entry entries[2];
        bool is_fraud = draw(&r, entries);

        online_learn(model, entries, 2, is_fraud, 1 + i % 3, i, random_next(&r));
    }
}

Test(online, a_packed_model_goes_on_bit_for_bit)
{
    struct online_settings settings = online_defaults;
    struct online *model, *again;
    struct buf first, second;
    struct why why = { 0 };

    settings.negatives = 0.5;
    settings.window = 300;
    model = online_new(&settings);
    buf_init(&first, 0);
    buf_init(&second, 0);
    teach(model, 1, 1000);
    online_pack(model, &first);
    cr_assert_eq(online_open(&again, buf_slice(&first), &why), ERR_OK, "%s", why.text);
    online_pack(again, &second);
    cr_assert(slice_eq(buf_slice(&first), buf_slice(&second)));
    teach(model, 2, 1000);
    teach(again, 2, 1000);
    buf_clear(&first);
    buf_clear(&second);
    online_pack(model, &first);
    online_pack(again, &second);
    cr_assert(slice_eq(buf_slice(&first), buf_slice(&second)));
    cr_assert_eq(online_progress(again).last.log_loss, online_progress(model).last.log_loss);
    online_free(model);
    online_free(again);
    buf_release(&first);
    buf_release(&second);
}

Test(online, damaged_models_are_refused)
{
    struct online *model = online_new(&online_defaults), *out;
    struct buf packed;

    buf_init(&packed, 0);
    teach(model, 1, 100);
    online_pack(model, &packed);
    for (size_t len = 0; len < packed.len; len++)
        cr_assert(online_open(&out, slice_of(packed.data, len), NULL) && !out);
    for (size_t i = 0; i < packed.len; i++) {
        packed.data[i] ^= 0x10;
        cr_assert(online_open(&out, buf_slice(&packed), NULL) && !out, "%zu", i);
        packed.data[i] ^= 0x10;
    }
    cr_assert(!online_open(&out, buf_slice(&packed), NULL));
    online_free(out);
    online_free(model);
    buf_release(&packed);
}

Test(online, settings_out_of_range_are_refused)
{
    struct online_settings s = online_defaults;

    cr_assert(!online_settings_check(&s, NULL));
    s.alpha = 0;
    cr_assert(online_settings_check(&s, NULL));
    s = online_defaults;
    s.negatives = NAN;
    cr_assert(online_settings_check(&s, NULL));
    s = online_defaults;
    s.bits = 40;
    cr_assert(online_settings_check(&s, NULL));
    s = online_defaults;
    s.window = 0;
    cr_assert(online_settings_check(&s, NULL));
}

/* ---- the handbook's vectors ---- */

enum { PUBLISHED = 14, COLUMNS = 1 + PUBLISHED, DELAY = 7, BINS = 20 };
#ifdef __SANITIZE_ADDRESS__
enum { EVERY = 8 };
#else
enum { EVERY = 1 };
#endif

struct book {
    size_t count;
    float *rows; /* [count][COLUMNS] */
    uint8_t *labels;
    int *days;
};

static FILE *open_csv(const char *name)
{
    const char *data = getenv("ASSAY_TEST_DATA");
    char text[512];
    FILE *f;

    snprintf(text, sizeof text, "%s/handbook/%s", data ? data : "../shared/data", name);
    if (access(text, R_OK) != 0)
        return NULL;
    snprintf(text, sizeof text, "zstd -dcq '%s/handbook/%s'", data ? data : "../shared/data", name);
    f = popen(text, "r");
    cr_assert(f && fgets(text, sizeof text, f));
    return f;
}

/* The rows of the published features up to a day, with amounts and labels. */
static bool read_book(struct book *book, int last_day)
{
    FILE *transactions = open_csv("transactions.csv.zst");
    FILE *published = transactions ? open_csv("features-2018-06-11-to-2018-09-14.csv.zst") : NULL;
    char line[512], feature_line[512], *at;
    long wanted;

    if (!published)
        return false;
    book->rows = mem_new_n(float, (size_t)1000000 * COLUMNS);
    book->labels = mem_new_n(uint8_t, 1000000);
    book->days = mem_new_n(int, 1000000);
    while (fgets(feature_line, sizeof feature_line, published)) {
        float *row = book->rows + book->count * COLUMNS;

        wanted = strtol(feature_line, NULL, 10);
        while (fgets(line, sizeof line, transactions) && strtol(line, NULL, 10) != wanted)
            ;
        at = line;
        for (int comma = 0; comma < 4; comma++)
            at = strchr(at, ',') + 1;
        row[0] = strtof(at, &at);
        strtol(at + 1, &at, 10);
        book->days[book->count] = (int)strtol(at + 1, &at, 10);
        book->labels[book->count] = at[1] == '1';
        if (book->days[book->count] > last_day)
            break;
        strtol(feature_line, &at, 10);
        for (int i = 1; i < COLUMNS; i++)
            row[i] = strtof(at + 1, &at);
        book->count += wanted % EVERY == 0 || book->labels[book->count];
    }
    pclose(transactions);
    pclose(published);
    return true;
}

static size_t first_of(const struct book *book, int day)
{
    size_t i = 0;

    while (i < book->count && book->days[i] < day)
        i++;
    return i;
}

TestSuite(online_book, .timeout = 120);

/* The book's week of 8 August 2018 with a delay of seven days. The model has learned from each label as it became
 * known since 11 June; the logistic regression was fitted on the week of 25 July. */
Test(online_book, is_no_worse_than_a_logistic_regression_that_was_fitted)
{
    const int start = (int)(civil_days(2018, 6, 11) - civil_days(2018, 4, 1));
    const int test = (int)(civil_days(2018, 8, 8) - civil_days(2018, 4, 1));
    struct book book = { 0 };
    unsigned char identities[COLUMNS][SHA256_BYTES];
    const unsigned char *names[COLUMNS];
    struct histogram histograms[COLUMNS];
    struct online_entry entries[1 + 2 * COLUMNS];
    struct online_settings settings = online_defaults;
    struct online_encoder *encoder;
    struct online *model;
    struct logistic fit;
    struct why why = { 0 };
    double *values, *online_scores, *fitted_scores, online_ap, fitted_ap;
    size_t from, reference, learned = 0, n = 0;

    if (!read_book(&book, test + 6)) {
        cr_skip("handbook data not found (ASSAY_TEST_DATA, ../shared/data)");
        return;
    }
    reference = first_of(&book, start + 14);
    from = first_of(&book, test);
    values = mem_new_n(double, book.count);
    online_scores = mem_new_n(double, book.count);
    fitted_scores = mem_new_n(double, book.count);
    name_features(identities, names, COLUMNS);
    for (size_t c = 0; c < COLUMNS; c++) {
        for (size_t i = 0; i < reference; i++)
            values[i] = book.rows[i * COLUMNS + c];
        histogram_init_quantiles(&histograms[c], values, reference, BINS);
        for (size_t i = 0; i < reference; i++)
            histogram_add(&histograms[c], values[i]);
    }
    encoder = online_encoder_new(names, histograms, COLUMNS, settings.bits);
    model = online_new(&settings);
    for (size_t i = 0; i < book.count; i++) {
        for (; book.days[learned] + DELAY <= book.days[i]; learned++) {
            size_t count = online_encode(encoder, book.rows + learned * COLUMNS, entries);

            online_learn(model, entries, count, book.labels[learned], 1, 0, learned);
        }
        if (i >= from) {
            size_t count = online_encode(encoder, book.rows + i * COLUMNS, entries);

            online_scores[n++] = online_margin(model, entries, count);
        }
    }
    size_t train = first_of(&book, test - 14), train_end = first_of(&book, test - 7);
    cr_assert(!logistic_fit(&fit, book.rows + train * COLUMNS, book.labels + train, train_end - train,
                            COLUMNS, 1, &why),
              "%s", why.text);
    for (size_t i = 0; i < n; i++)
        fitted_scores[i] = logistic_margin(&fit, book.rows + (from + i) * COLUMNS);
    online_ap = average_precision(online_scores, book.labels + from, n);
    fitted_ap = average_precision(fitted_scores, book.labels + from, n);
    cr_log_info("average precision: online %.4f, logistic regression %.4f, %zu weights", online_ap, fitted_ap,
                online_progress(model).weights);
    if (EVERY == 1) /* an eighth of the rows is too few for one that sees each of them once */
        cr_assert(online_ap >= fitted_ap, "%f, %f", online_ap, fitted_ap);
    for (size_t c = 0; c < COLUMNS; c++)
        histogram_release(&histograms[c]);
    online_encoder_free(encoder);
    online_free(model);
    logistic_release(&fit);
    mem_free(values);
    mem_free(online_scores);
    mem_free(fitted_scores);
    mem_free(book.rows);
    mem_free(book.labels);
    mem_free(book.days);
}
