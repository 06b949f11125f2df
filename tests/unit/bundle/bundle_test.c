/* SPDX-License-Identifier: Apache-2.0
 * bundle_test.c - building, opening, and what is refused. */
#include "bundle/bundle.h"

#include <criterion/criterion.h>
#include <math.h>

#include "unit/bundle/samples.h"

static struct bundle_sample sample;
static struct buf bytes;
static struct why why;
static struct bundle *bundle;

static void setup(void)
{
    bundle_sample_init(&sample, 3);
    buf_init(&bytes, 0);
}

static void teardown(void)
{
    bundle_close(bundle);
    buf_release(&bytes);
    bundle_sample_release(&sample);
}

TestSuite(bundle, .init = setup, .fini = teardown, .timeout = 180);

static void build(void)
{
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_OK, "%s", why.text);
}

Test(bundle, gives_back_what_was_put_in)
{
    struct bundle_thresholds thresholds;
    struct bundle_training training;

    build();
    cr_assert_eq(bundle_open(&bundle, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
    buf_clear(&bytes);
    cr_assert(slice_eq_str(bundle_name(bundle), "sample"));
    cr_assert_eq(bundle_created_at_us(bundle), sample.parts.created_at_us);
    cr_assert_eq(forest_columns(bundle_forest(bundle)), SAMPLE_BUNDLE_COLUMNS);
    cr_assert_eq(bundle_golden_rows(bundle), 100);
    cr_assert_eq(plan_columns(bundle_plan(bundle)), SAMPLE_BUNDLE_COLUMNS);
    cr_assert(slice_eq_str(plan_column(bundle_plan(bundle), 0)->name, "amount"));
    cr_assert(slice_eq_str(plan_column(bundle_plan(bundle), 0)->describe, "amount of the payment"));
    thresholds = bundle_thresholds(bundle);
    cr_assert(thresholds.challenge == 2.0 && thresholds.review == 0.3 && thresholds.decline == 0.8);
    training = bundle_training(bundle);
    cr_assert_eq(training.labels_known_us, sample.parts.training.labels_known_us);
    cr_assert_eq(training.frauds, 40);
    cr_assert(slice_eq(bundle_metrics(bundle), sample.parts.metrics));
    cr_assert(slice_eq(bundle_parameters(bundle), sample.parts.parameters));
    cr_assert(slice_eq(bundle_card(bundle), sample.parts.card));
    cr_assert_eq(bundle_histograms(bundle)[1].edge_count, sample.histograms[1].edge_count);
    cr_assert_eq(memcmp(bundle_histograms(bundle)[1].counts, sample.histograms[1].counts,
                        histogram_bins(&sample.histograms[1]) * sizeof(uint64_t)),
                 0);
    cr_assert_eq(memcmp(bundle_margin_histogram(bundle)->edges, sample.margin_histogram.edges,
                        sample.margin_histogram.edge_count * sizeof(double)),
                 0);
    for (float margin = -3; margin < 3; margin += 0.37F)
        cr_assert_eq(bundle_score(bundle, margin), calibration_eval(&sample.calibration, (double)margin));
}

Test(bundle, has_the_same_bytes_whenever_the_contents_are_the_same)
{
    struct bundle_sample again;
    struct buf other;
    unsigned char hash[SHA256_BYTES];

    build();
    bundle_sample_init(&again, 3);
    buf_init(&other, 0);
    cr_assert_eq(bundle_build(&other, &again.parts, &why), ERR_OK);
    cr_assert(slice_eq(buf_slice(&bytes), buf_slice(&other)));
    cr_assert_eq(bundle_open(&bundle, buf_slice(&bytes), &why), ERR_OK);
    sha256(buf_slice(&bytes), hash);
    cr_assert_eq(memcmp(bundle_hash(bundle), hash, sizeof hash), 0);
    buf_release(&other);
    bundle_sample_release(&again);
}

Test(bundle, refuses_golden_rows_that_the_forest_does_not_reproduce)
{
    sample.margins[7] = nextafterf(sample.margins[7], 100.0F);
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "golden row 7") != NULL, "%s", why.text);
    cr_assert_eq(bytes.len, 0);
}

Test(bundle, refuses_parts_that_do_not_fit_each_other)
{
    struct bundle_parts good = sample.parts;
    struct slice amount[] = { SLICE("amount") };
    struct plan *narrow;

    cr_assert_eq(plan_select(&narrow, sample.plan, amount, 1, &why), ERR_OK);
    sample.parts.plan = narrow;
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID, "a plan of one column");
    sample.parts = good;
    sample.parts.name = SLICE("Not A Name");
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID);
    sample.parts = good;
    sample.parts.golden_rows = 0;
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID);
    sample.parts = good;
    sample.parts.thresholds.decline = NAN;
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID);
    sample.parts = good;
    sample.parts.metrics = SLICE("[1]");
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID);
    sample.parts = good;
    sample.parts.metrics = SLICE("{\"a\":1,\"a\":2}");
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID);
    sample.parts = good;
    sample.parts.forest = SLICE("{}");
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_SYNTAX);
    sample.parts = good;
    sample.y[2] = sample.y[1] - 1;
    cr_assert_eq(bundle_build(&bytes, &sample.parts, &why), ERR_INVALID);
    cr_assert_eq(bytes.len, 0);
    plan_free(narrow);
}

Test(bundle, refuses_bytes_that_are_cut_or_changed_anywhere)
{
    struct slice whole;

    build();
    whole = buf_slice(&bytes);
    for (size_t len = 0; len < whole.len; len += 1 + len / 16) {
        cr_assert_neq(bundle_open(&bundle, slice_of(whole.ptr, len), &why), ERR_OK, "%zu bytes", len);
        cr_assert_null(bundle);
    }
    for (size_t i = 0; i < whole.len; i += 1 + i / 16) {
        bytes.data[i] = (char)(bytes.data[i] ^ 1);
        cr_assert_neq(bundle_open(&bundle, whole, &why), ERR_OK, "byte %zu", i);
        bytes.data[i] = (char)(bytes.data[i] ^ 1);
    }
}
