/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/card.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/array.h"
#include "unit/bundle/samples.h"

static struct bundle_sample sample;
static struct buf out;

static void setup(void)
{
    bundle_sample_init(&sample, 5);
    buf_init(&out, 0);
}

static void teardown(void)
{
    buf_release(&out);
    bundle_sample_release(&sample);
}

TestSuite(card, .init = setup, .fini = teardown, .timeout = 120);

static const char metrics[] =
    "{\"average_precision\":0.7411,\"auc_roc\":0.9512,\"fraud_minor\":1234567,\"caught_minor\":617283,"
    "\"actions\":{\"decline\":0.004},\"baselines\":{\"logistic_regression\":{\"average_precision\":0.512}},"
    "\"parts\":{\"judge\":{\"from\":\"2018-06-01T00:00:00Z\",\"until\":\"2018-07-01T00:00:00Z\",\"rows\":900,"
    "\"frauds\":9,\"labels\":{\"chargeback\":{\"frauds\":8,\"others\":0,\"median_delay_days\":21.5},\"none\":"
    "800}}},"
    "\"curves\":{\"precision_recall\":[[0.1,1],[0.5,0.9],[1,0.01]],\"reliability\":[[0.001,0.002,500],"
    "[0.4,0.38,20]],\"money\":[[0.9,100,120,40],[0.1,300,500,400]],\"margins\":{\"edges\":[-4,0,4],"
    "\"frauds\":[1,8],\"others\":[800,91]}}}";

static const char *write_card(void)
{
    buf_clear(&out);
    card_write(&out, &sample.parts);
    return buf_str(&out);
}

Test(card, has_the_nine_headings_in_their_order)
{
    static const char *const headings[] = {
        "\n## Model details\n",
        "\n## Intended use\n",
        "\n## Factors\n",
        "\n## Metrics\n",
        "\n## Evaluation data\n",
        "\n## Training data\n",
        "\n## Quantitative analyses\n",
        "\n## Ethical considerations\n",
        "\n## Caveats and recommendations\n",
    };
    const char *at = write_card();
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(headings); i++) {
        at = strstr(at, headings[i]);
        cr_assert(at != NULL, "%s", headings[i]);
    }
    for (at = buf_str(&out); (at = strstr(at, "\n## ")) != NULL; at++)
        count++;
    cr_assert_eq(count, ARRAY_LEN(headings));
}

Test(card, tells_the_figures_of_the_bundle)
{
    static const char *const figures[] = {
        "| average precision | 0.741 |",
        "| AUC ROC | 0.951 |",
        "| recall at 1 % false positives | not recorded |",
        "| decline | 0.8000 | 0.400 % |",
        "| challenge | never | not recorded |",
        "| logistic_regression | 0.512 | not recorded |",
        "2018-06-01 to 2018-07-01: 900 payments, 9 frauds",
        "| chargeback | 8 | 0 | 21.5 |",
        "| 1,234,567 |",
        "617,283 (50.0 %)",
        "| `amount` | amount of the payment |",
        "![Precision and recall](precision_recall.svg)",
        "![Money by the decline threshold](money.svg)",
    };
    const char *card;

    sample.parts.metrics = slice_str(metrics);
    sample.parts.thresholds = (struct bundle_thresholds){ 2.0, 0.3, 0.8 };
    card = write_card();
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        cr_assert(strstr(card, figures[i]) != NULL, "lacks %s: %s", figures[i], card);
}

Test(card, draws_the_curves_that_are_there)
{
    for (int i = 0; i < CARD_PLOT_COUNT; i++) {
        buf_clear(&out);
        cr_assert(card_plot(&out, (enum card_plot)i, slice_str(metrics), 0.8));
        cr_assert(strncmp(buf_str(&out), "<svg", 4) == 0 && strstr(buf_str(&out), "nothing to show") == NULL,
                  "%s", buf_str(&out));
        buf_clear(&out);
        cr_assert(!card_plot(&out, (enum card_plot)i, SLICE("{}"), 0.8) && out.len == 0);
    }
}

Test(card, takes_any_figures_for_what_they_are)
{
    static const char *const odd[] = {
        "",
        "{}",
        "[]",
        "no json",
        "{\"curves\":7,\"parts\":[1],\"baselines\":\"x\",\"actions\":null,\"average_precision\":\"high\"}",
        "{\"curves\":{\"precision_recall\":[1,[2],[\"a\",\"b\"],[]],\"reliability\":{},\"money\":[[]],"
        "\"margins\":"
        "{\"edges\":[1],\"frauds\":[1,2],\"others\":[1]}},\"fraud_minor\":1e300,\"caught_minor\":-5}",
        "{\"baselines\":{\"<script>|`[x](y)\":{\"average_precision\":1}}}",
        "{\"parts\":{\"judge\":{\"from\":\"now\",\"labels\":{\"a|b\":{},\"c\":[]}}}}",
        "{\"curves\":{\"margins\":{\"edges\":[],\"frauds\":[],\"others\":[]}}}",
    };

    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        sample.parts.metrics = slice_str(odd[i]);
        sample.parts.parameters = slice_str(odd[i]);
        cr_assert(strstr(write_card(), "## Caveats and recommendations") != NULL);
        cr_assert(strstr(buf_str(&out), "<script>|") == NULL);
        for (int p = 0; p < CARD_PLOT_COUNT; p++)
            card_plot(&out, (enum card_plot)p, slice_str(odd[i]), 2);
    }
}
