/* SPDX-License-Identifier: Apache-2.0 */
#include "drift/window.h"

#include <criterion/criterion.h>
#include <math.h>

#include "stats/interval.h"
#include "unit/bundle/samples.h"

enum { COLUMNS = 3, ROWS = 400 };

static const double amounts[] = { 1, 2, 5, 10 }, counts[] = { 0.5 };
static const struct slice names[] = { { "amount", 6 }, { "count", 5 }, { "flat", 4 } };
static const struct slice channels[] = { { "pos", 3 }, { "ecommerce", 9 } }, countries[] = { { "DE", 2 } };
static struct drift_layout *layout;
static struct why why;

static struct drift_layout *make(const struct slice *known, size_t known_count)
{
    struct histogram histograms[COLUMNS], margins;
    struct drift_source source = {
        .features = names,
        .histograms = histograms,
        .columns = COLUMNS,
        .margins = &margins,
        .fields = { { known, known_count }, { countries, 1 }, { NULL, 0 } },
    };
    struct drift_layout *made;

    histogram_init_edges(&histograms[0], amounts, 4);
    histogram_init_edges(&histograms[1], counts, 1);
    histogram_init_edges(&histograms[2], NULL, 0);
    histogram_init_edges(&margins, counts, 1);
    cr_assert_eq(drift_layout_new(&made, &source, &why), ERR_OK, "%s", why.text);
    for (size_t i = 0; i < COLUMNS; i++)
        histogram_release(&histograms[i]);
    histogram_release(&margins);
    return made;
}

static void setup(void)
{
    layout = make(channels, 2);
}

static void finish(void)
{
    drift_layout_free(layout);
}

TestSuite(drift_window, .init = setup, .fini = finish);

/* A row by chance; `features` is the caller's. */
static struct drift_row some_row(struct random *r, float features[COLUMNS])
{
    static const struct slice said[] = { { "pos", 3 }, { "ecommerce", 9 }, { "atm", 3 }, { NULL, 0 } };

    for (size_t c = 0; c < COLUMNS; c++)
        features[c] = random_below(r, 8) ? (float)random_below(r, 13) : NAN;
    return (struct drift_row){
        .at_us = (int64_t)random_below(r, 1000000),
        .features = random_below(r, 20) ? features : NULL,
        .margin = random_below(r, 9) ? random_unit(r) : (double)NAN,
        .action = (enum action)random_below(r, ACTION_COUNT),
        .fields = { said[random_below(r, 4)], random_below(r, 2) ? SLICE("DE") : SLICE("FR"), SLICE("5411") },
    };
}

static void fill(struct drift_window *w, uint64_t seed, size_t rows)
{
    struct random r = { seed };
    float features[COLUMNS];

    drift_window_init(w, layout);
    for (size_t i = 0; i < rows; i++) {
        struct drift_row row = some_row(&r, features);

        drift_window_add(w, &row);
    }
}

static const struct drift_subject *find(enum drift_kind kind, enum drift_field field, const char *name)
{
    size_t i = drift_layout_find(layout, kind, field, slice_str(name));

    cr_assert_neq(i, SIZE_MAX, "there is no %s", name);
    return drift_layout_subject(layout, i);
}

Test(drift_window, counts_each_decision_in_every_place_it_belongs_to)
{
    const float first[COLUMNS] = { 2, NAN, INFINITY }, second[COLUMNS] = { -INFINITY, 0.5f, 7 };
    struct drift_row row = { .at_us = 9, .features = first, .margin = 3, .action = ACTION_REVIEW };
    struct drift_window w;

    drift_window_init(&w, layout);
    row.fields[DRIFT_CHANNEL] = SLICE("ecommerce");
    drift_window_add(&w, &row);
    row =
        (struct drift_row){ .at_us = 4, .features = second, .margin = (double)NAN, .action = ACTION_APPROVE };
    row.fields[DRIFT_CHANNEL] = SLICE("carrier pigeon");
    drift_window_add(&w, &row);
    cr_assert_eq(w.rows, 2);
    cr_assert_eq(w.first_us, 4);
    cr_assert_eq(w.last_us, 9);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FEATURE, 0, "amount"))[2], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FEATURE, 0, "amount"))[0], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FEATURE, 0, "count"))[2], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FEATURE, 0, "count"))[1], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FEATURE, 0, "flat"))[0], 2);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_SCORE, 0, "score"))[1], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_SCORE, 0, "score"))[2], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_ACTION, 0, "action"))[ACTION_REVIEW], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FIELD, DRIFT_CHANNEL, "channel"))[1], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FIELD, DRIFT_CHANNEL, "channel"))[2], 1);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_FIELD, DRIFT_MCC, "mcc"))[1], 2);
    cr_assert_eq(drift_window_counts(&w, find(DRIFT_SEGMENT_SCORE, DRIFT_CHANNEL, "ecommerce"))[1], 1);
    cr_assert_eq(
        drift_window_counts(&w, find(DRIFT_SEGMENT_ACTION, DRIFT_CHANNEL, "(unseen)"))[ACTION_APPROVE], 1);
    cr_assert_eq(
        drift_window_counts(&w, find(DRIFT_SEGMENT_ACTION, DRIFT_COUNTRY, "(missing)"))[ACTION_REVIEW], 1);
    drift_window_release(&w);
}

Test(drift_window, puts_a_value_into_the_bin_that_the_histogram_would)
{
    struct random r = { 5 };
    float features[COLUMNS] = { 0 };

    for (size_t edge_count = 0; edge_count <= 40; edge_count++) {
        double edges[40];
        struct histogram h[COLUMNS] = { 0 };
        struct drift_source source = { .features = names, .histograms = h, .columns = 1 };
        struct drift_layout *l;
        struct drift_window w;

        for (size_t i = 0; i < edge_count; i++)
            edges[i] = (double)i * 0.75 - 7;
        histogram_init_edges(&h[0], edges, edge_count);
        cr_assert_eq(drift_layout_new(&l, &source, &why), ERR_OK, "%s", why.text);
        drift_window_init(&w, l);
        for (int i = 0; i < 500; i++) {
            struct drift_row row = { .features = features, .margin = 0 };

            features[0] =
                i < 3 ? (float[]){ NAN, INFINITY, -INFINITY }[i] : (float)random_below(&r, 200) * 0.25f - 12;
            histogram_add(&h[0], (double)features[0]);
            drift_window_add(&w, &row);
        }
        cr_assert_arr_eq(w.counts, h[0].counts, histogram_bins(&h[0]) * sizeof(uint64_t));
        drift_window_release(&w);
        drift_layout_free(l);
        histogram_release(&h[0]);
    }
}

/* Whatever way some hundred decisions are shared out among windows and merged, the counts are those of one. */
Test(drift_window, merges_to_the_same_window_in_any_order_and_grouping)
{
    struct random r = { 11 };

    for (int round = 0; round < 200; round++) {
        struct drift_window part[4], all, left, right;
        float features[COLUMNS];

        drift_window_init(&all, layout);
        drift_window_init(&left, layout);
        drift_window_init(&right, layout);
        for (size_t i = 0; i < 4; i++)
            drift_window_init(&part[i], layout);
        for (size_t i = 0; i < random_below(&r, 60); i++) {
            struct drift_row row = some_row(&r, features);

            drift_window_add(&part[random_below(&r, 4)], &row);
            drift_window_add(&all, &row);
        }
        for (size_t i = 0; i < 4; i++) /* ((0 + 1) + 2) + 3 */
            drift_window_merge(&left, &part[i]);
        drift_window_merge(&part[2], &part[0]); /* (3 + 1) + (2 + 0) */
        drift_window_merge(&right, &part[3]);
        drift_window_merge(&right, &part[1]);
        drift_window_merge(&right, &part[2]);
        cr_assert(drift_window_equal(&left, &all));
        cr_assert(drift_window_equal(&right, &all));
        for (size_t i = 0; i < 4; i++)
            drift_window_release(&part[i]);
        drift_window_release(&all);
        drift_window_release(&left);
        drift_window_release(&right);
    }
}

Test(drift_window, comes_back_from_its_bytes_as_it_was)
{
    for (size_t rows = 0; rows < 2000; rows = rows * 3 + 1) {
        struct drift_window w, again;
        struct buf bytes, twice;

        fill(&w, rows, rows);
        buf_init(&bytes, 0);
        buf_init(&twice, 0);
        drift_window_pack(&w, &bytes);
        cr_assert_eq(drift_window_open(&again, layout, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
        cr_assert(drift_window_equal(&w, &again));
        drift_window_pack(&again, &twice);
        cr_assert(slice_eq(buf_slice(&bytes), buf_slice(&twice)));
        buf_release(&bytes);
        buf_release(&twice);
        drift_window_release(&w);
        drift_window_release(&again);
    }
}

Test(drift_window, refuses_bytes_that_were_cut_or_changed)
{
    struct drift_window w, again;
    struct buf bytes;

    fill(&w, 3, ROWS);
    buf_init(&bytes, 0);
    drift_window_pack(&w, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        why = (struct why){ 0 };
        cr_assert_eq(drift_window_open(&again, layout, slice_of(buf_slice(&bytes).ptr, len), &why),
                     ERR_SYNTAX);
        cr_assert_neq(why.text[0], '\0');
        cr_assert_eq(again.rows, 0);
        drift_window_release(&again);
    }
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[bytes.taken + i] ^= 0x10;
        cr_assert_neq(drift_window_open(&again, layout, buf_slice(&bytes), &why), ERR_OK);
        bytes.data[bytes.taken + i] ^= 0x10;
        drift_window_release(&again);
    }
    buf_release(&bytes);
    drift_window_release(&w);
}

Test(drift_window, of_another_layout_is_not_taken_for_one_of_this)
{
    struct drift_layout *other = make(channels, 1);
    struct drift_window w, again;
    struct buf bytes;

    cr_assert_neq(drift_layout_id(other), drift_layout_id(layout));
    fill(&w, 3, ROWS);
    buf_init(&bytes, 0);
    drift_window_pack(&w, &bytes);
    cr_assert_eq(drift_window_open(&again, other, buf_slice(&bytes), &why), ERR_INVALID);
    drift_window_release(&again);
    drift_window_release(&w);
    buf_release(&bytes);
    drift_layout_free(other);
}

Test(drift_window, layout_comes_back_from_its_bytes_and_no_damage_passes)
{
    struct drift_layout *again;
    struct buf bytes;

    buf_init(&bytes, 0);
    drift_layout_pack(layout, &bytes);
    cr_assert_eq(drift_layout_open(&again, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
    cr_assert_eq(drift_layout_id(again), drift_layout_id(layout));
    cr_assert_eq(drift_layout_subjects(again), drift_layout_subjects(layout));
    drift_layout_free(again);
    for (size_t i = 0; i < bytes.len; i++) {
        cr_assert_eq(drift_layout_open(&again, slice_of(buf_slice(&bytes).ptr, i), &why), ERR_SYNTAX);
        bytes.data[bytes.taken + i] ^= 1;
        cr_assert_neq(drift_layout_open(&again, buf_slice(&bytes), &why), ERR_OK);
        bytes.data[bytes.taken + i] ^= 1;
    }
    buf_release(&bytes);
}

Test(drift_window, layout_refuses_what_it_could_not_tell_apart)
{
    const struct slice twice[] = { { "pos", 3 }, { "pos", 3 } }, empty[] = { { NULL, 0 } };
    const double falling[] = { 2, 1 };
    struct histogram h;
    struct drift_source source = { .features = names, .histograms = &h, .columns = 1 };
    struct drift_layout *l;

    histogram_init_edges(&h, falling, 2);
    cr_assert_eq(drift_layout_new(&l, &source, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "amount"));
    histogram_release(&h);
    source.columns = 0;
    source.fields[0] = (struct drift_categories){ twice, 2 };
    cr_assert_eq(drift_layout_new(&l, &source, &why), ERR_INVALID);
    source.fields[0] = (struct drift_categories){ empty, 1 };
    cr_assert_eq(drift_layout_new(&l, &source, &why), ERR_INVALID);
    cr_assert_null(l);
}

Test(drift_window, bins_are_told_in_words)
{
    const struct drift_subject *amount = find(DRIFT_FEATURE, 0, "amount"),
                               *channel = find(DRIFT_FIELD, 0, "channel");
    char text[DRIFT_BIN_TEXT];

    cr_assert_str_eq(drift_bin_text(layout, amount, 0, text), "< 1");
    cr_assert_str_eq(drift_bin_text(layout, amount, 2, text), "2 to 5");
    cr_assert_str_eq(drift_bin_text(layout, amount, 4, text), ">= 10");
    cr_assert_str_eq(drift_bin_text(layout, amount, 5, text), "missing");
    cr_assert_str_eq(drift_bin_text(layout, channel, 1, text), "ecommerce");
    cr_assert_str_eq(drift_bin_text(layout, channel, 2, text), "unseen");
    cr_assert_str_eq(drift_bin_text(layout, find(DRIFT_ACTION, 0, "action"), 3, text), "decline");
}

Test(drift_window, slots_share_time_out_without_a_gap_also_before_1970)
{
    cr_assert_eq(drift_slot(0, 10), 0);
    cr_assert_eq(drift_slot(9, 10), 0);
    cr_assert_eq(drift_slot(10, 10), 1);
    cr_assert_eq(drift_slot(-1, 10), -1);
    cr_assert_eq(drift_slot(-10, 10), -1);
    cr_assert_eq(drift_slot(-11, 10), -2);
}

Test(drift_window, reference_is_the_bundles_counts_and_a_baseline_fills_the_rest)
{
    const struct drift_categories fields[DRIFT_FIELD_COUNT] = { { channels, 2 } };
    const float features[SAMPLE_BUNDLE_COLUMNS] = { 0 };
    struct drift_window reference, baseline;
    struct drift_row row = { .features = features, .margin = 1, .action = ACTION_DECLINE };
    struct bundle_sample sample;
    struct drift_layout *l;
    struct bundle *bundle;
    struct buf bytes;

    bundle_sample_init(&sample, 1);
    buf_init(&bytes, 0);
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(bundle_open(&bundle, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
    cr_assert_eq(drift_layout_of_bundle(&l, bundle, fields, &why), ERR_OK, "%s", why.text);
    drift_window_init(&reference, l);
    drift_window_init(&baseline, l);
    drift_reference(&reference, bundle);
    cr_assert_eq(reference.rows, SAMPLE_BUNDLE_ROWS);
    cr_assert_arr_eq(reference.counts, sample.histograms[0].counts,
                     histogram_bins(&sample.histograms[0]) * sizeof(uint64_t));
    drift_window_add(&baseline, &row);
    drift_reference_complete(&reference, &baseline);
    cr_assert_eq(drift_window_rows(&reference, drift_layout_subject(l, 0)), SAMPLE_BUNDLE_ROWS);
    cr_assert_eq(drift_window_rows(&reference, drift_layout_subject(l, 3)), 1);
    drift_window_release(&reference);
    drift_window_release(&baseline);
    drift_layout_free(l);
    bundle_close(bundle);
    bundle_sample_release(&sample);
    buf_release(&bytes);
}
