/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/card.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "json/json.h"
#include "plot/plot.h"

enum { POINTS_MAX = 4096 };

/* ---- reading figures ---- */

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void write_number(struct buf *out, double value, int digits)
{
    if (isfinite(value))
        buf_printf(out, "%.*f", digits, value);
    else
        buf_add_str(out, "not recorded");
}

static void write_percent(struct buf *out, double share, int digits)
{
    if (isfinite(share))
        buf_printf(out, "%.*f %%", digits, 100 * share);
    else
        buf_add_str(out, "not recorded");
}

/* Minor units with their thousands apart. */
static void write_money(struct buf *out, double minor)
{
    char digits[32];
    size_t len;

    if (!isfinite(minor) || fabs(minor) > 1e17) {
        buf_add_str(out, "not recorded");
        return;
    }
    len = (size_t)snprintf(digits, sizeof digits, "%.0f", fabs(minor));
    if (minor < 0)
        buf_add_char(out, '-');
    for (size_t i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf_add_char(out, ',');
        buf_add_char(out, digits[i]);
    }
}

static void write_day(struct buf *out, int64_t at_us)
{
    char text[RFC3339_SIZE];

    rfc3339_format(at_us, text);
    buf_add(out, text, 10);
}

/* A text of the metrics', as a person may read it in a line of a table. */
static void write_text(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '|' || c == '<' || c == '`' || c == '[')
            buf_add_char(out, '\\');
        buf_add_char(out, (unsigned char)c < ' ' ? ' ' : c);
    }
}

static void write_row(struct buf *out, const char *name, double value, int digits)
{
    buf_printf(out, "| %s | ", name);
    write_number(out, value, digits);
    buf_add_str(out, " |\n");
}

/* ---- the nine headings ---- */

struct card {
    struct buf *out;
    const struct bundle_parts *parts;
    const json_t *metrics, *parameters; /* NULL: none */
};

static void write_details(const struct card *c)
{
    const struct bundle_parts *p = c->parts;
    double trees = number(c->parameters, "trees"), depth = number(c->parameters, "depth");

    buf_printf(c->out, "## Model details\n\n`%.*s`, made on ", SLICE_ARG(p->name));
    write_day(c->out, p->created_at_us);
    buf_add_str(c->out, ". Gradient boosted trees (XGBoost)");
    if (isfinite(trees))
        buf_printf(c->out, ": %.0f", trees);
    if (isfinite(depth))
        buf_printf(c->out, " of depth %.0f at most", depth);
    buf_printf(
        c->out,
        ", over %zu features. The margin is turned into a probability by a calibration of %zu points. A "
        "bundle holds all that is needed to answer, and must give the margins of its golden rows to the bit "
        "before it serves.\n\n",
        plan_columns(p->plan), p->calibration ? p->calibration->count : 0);
}

static void write_use(const struct card *c)
{
    buf_add_str(
        c->out,
        "## Intended use\n\nTo answer, while a payment waits, how probable it is that the payment is fraud, "
        "and to decide by the thresholds below unless a rule or a list says otherwise. It is made for "
        "payments like those it was trained on. It is not made to judge people, to grant credit, or for "
        "payments of another kind, country or channel without being judged on them first.\n\n");
}

static void write_factors(const struct card *c)
{
    const struct plan *plan = c->parts->plan;

    buf_add_str(c->out,
                "## Factors\n\nWhat it looks at, in the catalogue's words:\n\n| feature | |\n|---|---|\n");
    for (size_t i = 0; i < plan_columns(plan); i++) {
        const struct feature *f = plan_column(plan, i);

        buf_printf(c->out, "| `%.*s` | ", SLICE_ARG(f->name));
        write_text(c->out, f->describe.len ? f->describe : f->definition);
        buf_add_str(c->out,
                    f->monotone == MONOTONE_INCREASING   ? ", can only raise the suspicion as it rises |\n"
                    : f->monotone == MONOTONE_DECREASING ? ", can only lower the suspicion as it rises |\n"
                                                         : " |\n");
    }
    buf_add_char(c->out, '\n');
}

static void write_threshold(const struct card *c, const char *action, double at)
{
    buf_printf(c->out, "| %s | ", action);
    if (at < 2)
        write_number(c->out, at, 4);
    else
        buf_add_str(c->out, "never");
    buf_add_str(c->out, " | ");
    write_percent(c->out, number(json_object_get(c->metrics, "actions"), action), 3);
    buf_add_str(c->out, " |\n");
}

static void write_metrics(const struct card *c)
{
    const json_t *m = c->metrics;
    struct bundle_thresholds t = c->parts->thresholds;

    buf_add_str(c->out, "## Metrics\n\n| on the evaluation data | |\n|---|---|\n");
    write_row(c->out, "average precision", number(m, "average_precision"), 3);
    write_row(c->out, "AUC ROC", number(m, "auc_roc"), 3);
    write_row(c->out, "recall at 1 % false positives", number(m, "recall_at_fpr_1"), 3);
    write_row(c->out, "Card Precision@100", number(m, "card_precision_100"), 3);
    write_row(c->out, "calibration error", number(m, "calibration_error"), 4);
    write_row(c->out, "Brier score", number(m, "brier"), 5);
    write_row(c->out, "log loss", number(m, "log_loss"), 5);
    buf_add_str(c->out,
                "\nFrauds are rare, so average precision leads; ROC looks good on rare frauds whatever the "
                "model.\n\n| action | probability from | share of payments |\n|---|---|---|\n");
    write_threshold(c, "decline", t.decline);
    write_threshold(c, "review", t.review);
    write_threshold(c, "challenge", t.challenge);
    if (isfinite(number(c->parameters, "decline_cost")))
        buf_printf(c->out,
                   "\nDeclining from there on saves the most where a wrongly declined payment costs %g of "
                   "its amount; "
                   "review and challenge are capped at %g %% and %g %% of the payments.\n",
                   number(c->parameters, "decline_cost"), 100 * number(c->parameters, "review_capacity"),
                   100 * number(c->parameters, "challenge_capacity"));
    buf_add_char(c->out, '\n');
}

/* "2018-05-01 to 2018-06-01: 1000 payments, 12 frauds" of a part of the split. */
static void write_part(const struct card *c, const char *name)
{
    const json_t *part = json_object_get(json_object_get(c->metrics, "parts"), name);
    int64_t from_us, until_us;

    if (!rfc3339_parse(json_slice(json_object_get(part, "from")), &from_us) ||
        !rfc3339_parse(json_slice(json_object_get(part, "until")), &until_us)) {
        buf_add_str(c->out, "its days are not recorded");
        return;
    }
    write_day(c->out, from_us);
    buf_add_str(c->out, " to ");
    write_day(c->out, until_us);
    buf_add_str(c->out, ": ");
    write_number(c->out, number(part, "rows"), 0);
    buf_add_str(c->out, " payments, ");
    write_number(c->out, number(part, "frauds"), 0);
    buf_add_str(c->out, " frauds");
}

/* Where a part's labels came from, by source. */
static void write_labels(const struct card *c, const char *name)
{
    const json_t *part = json_object_get(json_object_get(c->metrics, "parts"), name);
    json_t *labels = json_object_get(part, "labels"), *source;
    const char *key;
    bool has_any = false;

    json_object_foreach(labels, key, source)
    {
        if (!json_is_object(source))
            continue;
        if (!has_any)
            buf_add_str(c->out,
                        "\n| labels from | frauds | others | median delay in days |\n|---|---|---|---|\n");
        has_any = true;
        buf_add_str(c->out, "| ");
        write_text(c->out, slice_str(key));
        buf_add_str(c->out, " | ");
        write_number(c->out, number(source, "frauds"), 0);
        buf_add_str(c->out, " | ");
        write_number(c->out, number(source, "others"), 0);
        buf_add_str(c->out, " | ");
        write_number(c->out, number(source, "median_delay_days"), 1);
        buf_add_str(c->out, " |\n");
    }
}

static void write_evaluation(const struct card *c)
{
    buf_add_str(c->out,
                "## Evaluation data\n\nLater payments than all it was trained and tuned on, which nothing "
                "else has touched, old enough for their labels to have come: ");
    write_part(c, "judge");
    buf_add_str(c->out, ".\n");
    write_labels(c, "judge");
    buf_add_char(c->out, '\n');
}

static void write_training(const struct card *c)
{
    const struct bundle_training *t = &c->parts->training;

    buf_add_str(c->out, "## Training data\n\nPayments from ");
    write_day(c->out, t->from_us);
    buf_add_str(c->out, " to ");
    write_day(c->out, t->until_us);
    buf_printf(c->out, ": %" PRIu64 ", of which %" PRIu64 " frauds. Labels that became known from ", t->rows,
               t->frauds);
    write_day(c->out, t->labels_known_us);
    buf_printf(c->out, " on were not used; a label is waited for %g days.",
               (double)t->label_delay_us / (double)DAY_US);
    if (json_object_get(json_object_get(c->metrics, "parts"), "tune")) {
        buf_add_str(c->out,
                    " The number of trees, the parameters, the calibration and the thresholds were set on ");
        write_part(c, "tune");
        buf_add_char(c->out, '.');
    }
    buf_add_str(c->out, "\n");
    write_labels(c, "train");
    buf_add_char(c->out, '\n');
}

/* The other models that were trained beside it, on the same rows. */
static void write_baselines(const struct card *c)
{
    json_t *baselines = json_object_get(c->metrics, "baselines"), *baseline;
    const char *key;

    buf_add_str(c->out, "| on the same payments | average precision | AUC ROC | Card Precision@100 |\n"
                        "|---|---|---|---|\n| this model | ");
    write_number(c->out, number(c->metrics, "average_precision"), 3);
    buf_add_str(c->out, " | ");
    write_number(c->out, number(c->metrics, "auc_roc"), 3);
    buf_add_str(c->out, " | ");
    write_number(c->out, number(c->metrics, "card_precision_100"), 3);
    buf_add_str(c->out, " |\n");
    json_object_foreach(baselines, key, baseline)
    {
        buf_add_str(c->out, "| ");
        write_text(c->out, slice_str(key));
        buf_add_str(c->out, " | ");
        write_number(c->out, number(baseline, "average_precision"), 3);
        buf_add_str(c->out, " | ");
        write_number(c->out, number(baseline, "auc_roc"), 3);
        buf_add_str(c->out, " | ");
        write_number(c->out, number(baseline, "card_precision_100"), 3);
        buf_add_str(c->out, " |\n");
    }
    buf_add_char(c->out, '\n');
}

static void write_analyses(const struct card *c)
{
    const json_t *m = c->metrics;
    double fraud = number(m, "fraud_minor"), caught = number(m, "caught_minor");
    struct buf ignored;

    buf_add_str(c->out, "## Quantitative analyses\n\n");
    write_baselines(c);
    buf_add_str(c->out, "| money, in minor units of the base currency | |\n|---|---|\n| of frauds | ");
    write_money(c->out, fraud);
    buf_add_str(c->out, " |\n| of these declined | ");
    write_money(c->out, caught);
    if (fraud > 0 && isfinite(caught))
        buf_printf(c->out, " (%.1f %%)", 100 * caught / fraud);
    buf_add_str(c->out, " |\n| of good payments declined | ");
    write_money(c->out, number(m, "wrongly_declined_minor"));
    buf_add_str(c->out, " |\n\n");
    buf_init(&ignored, 0);
    for (int i = 0; i < CARD_PLOT_COUNT; i++) {
        buf_clear(&ignored);
        if (card_plot(&ignored, (enum card_plot)i, c->parts->metrics, c->parts->thresholds.decline))
            buf_printf(c->out, "![%s](%s)\n\n", card_plot_title((enum card_plot)i),
                       card_plot_file((enum card_plot)i));
    }
    buf_release(&ignored);
}

static void write_ethics(const struct card *c)
{
    buf_add_str(
        c->out,
        "## Ethical considerations\n\nA declined payment can leave a person without food, fuel or a way "
        "home. Features that stand for where somebody lives, or what they can afford, can burden some groups "
        "more than others: the features above are all that it looks at, and each decision can be explained "
        "by "
        "what moved it. Compare approval rates and wrongly declined payments between groups before it "
        "decides, "
        "where you may; give those who are declined a way to be heard.\n\n");
}

static void write_caveats(const struct card *c)
{
    buf_add_str(
        c->out,
        "## Caveats and recommendations\n\nLabels are taken as they came: what nobody reported counts as "
        "legitimate. Declined payments have no labels, so without a control slice later figures are about "
        "what "
        "was approved. Fraud changes: watch the drift of scores and features, retrain, and judge the next "
        "model "
        "on the same payments as this one. Figures of another period, or of other payments, cannot be "
        "compared "
        "with these.\n");
}

void card_write(struct buf *out, const struct bundle_parts *parts)
{
    static void (*const sections[])(const struct card *) = {
        write_details,  write_use,      write_factors, write_metrics, write_evaluation,
        write_training, write_analyses, write_ethics,  write_caveats,
    };
    json_t *metrics = NULL, *parameters = NULL;
    struct why ignored = { 0 };
    struct card c = { .out = out, .parts = parts };

    if (parts->metrics.len && json_parse(&metrics, parts->metrics, JSON_DEPTH_MAX, &ignored) == ERR_OK)
        c.metrics = metrics;
    if (parts->parameters.len &&
        json_parse(&parameters, parts->parameters, JSON_DEPTH_MAX, &ignored) == ERR_OK)
        c.parameters = parameters;
    buf_printf(out, "# %.*s\n\n", SLICE_ARG(parts->name));
    for (size_t i = 0; i < ARRAY_LEN(sections); i++)
        sections[i](&c);
    json_decref(metrics);
    json_decref(parameters);
}

/* ---- pictures ---- */

static const struct {
    const char *file, *title;
} plots[] = {
#define CARD_ROW(plot, file, title) [plot] = { file, title },
    CARD_PLOTS(CARD_ROW)
#undef CARD_ROW
};

const char *card_plot_file(enum card_plot plot)
{
    return plots[plot].file;
}

const char *card_plot_title(enum card_plot plot)
{
    return plots[plot].title;
}

/* Column `column` of a list of lists of numbers; *out is the caller's, count long. 0 when it is none. */
static size_t read_column(double **out, const json_t *rows, size_t column)
{
    size_t count = json_array_size(rows);

    *out = NULL;
    if (count == 0 || count > POINTS_MAX)
        return 0;
    *out = mem_new_n(double, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(json_array_get(rows, i), column);

        (*out)[i] = json_is_number(value) ? json_number_value(value) : (double)NAN;
    }
    return count;
}

static size_t read_list(double **out, const json_t *list)
{
    size_t count = json_array_size(list);

    *out = NULL;
    if (count == 0 || count > POINTS_MAX)
        return 0;
    *out = mem_new_n(double, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);

        (*out)[i] = json_is_number(value) ? json_number_value(value) : (double)NAN;
    }
    return count;
}

static bool plot_precision_recall(struct buf *out, const json_t *curves, double decline)
{
    const json_t *rows = json_object_get(curves, "precision_recall");
    double *recall, *precision;
    size_t count = read_column(&recall, rows, 0);

    (void)decline;
    read_column(&precision, rows, 1);
    if (count)
        plot_svg(out, &(struct plot){
                          .title = card_plot_title(CARD_PRECISION_RECALL),
                          .x = { "recall: share of the frauds that are found", PLOT_PERCENT, 0, 1 },
                          .y = { "precision: share of what is found that is fraud", PLOT_PERCENT, 0, 1 },
                          .series = &(struct plot_series){ .x = recall, .y = precision, .n = count },
                          .series_count = 1 });
    mem_free(recall);
    mem_free(precision);
    return count > 0;
}

static bool plot_reliability(struct buf *out, const json_t *curves, double decline)
{
    const json_t *rows = json_object_get(curves, "reliability");
    double *said, *was;
    size_t count = read_column(&said, rows, 0);

    (void)decline;
    read_column(&was, rows, 1);
    if (count) {
        const struct plot_series series = { .mark = PLOT_DOTS, .x = said, .y = was, .n = count };

        /* Frauds are rare: on straight axes almost all of it would lie in one corner. */
        plot_svg(out, &(struct plot){ .title = card_plot_title(CARD_RELIABILITY),
                                      .x = { "probability that the model gave", PLOT_LOG, 0, 0 },
                                      .y = { "share that was fraud", PLOT_LOG, 0, 0 },
                                      .series = &series,
                                      .series_count = 1,
                                      .has_diagonal = true });
    }
    mem_free(said);
    mem_free(was);
    return count > 0;
}

/* Weights of the bins between edges, as shares of their class at the middles of the bins. */
static void set_shares(double *shares, double *middles, const double *edges, size_t bins,
                       const double *weights)
{
    double total = 0;

    for (size_t i = 0; i < bins; i++)
        total += weights[i];
    for (size_t i = 0; i < bins; i++) {
        middles[i] = (edges[i] + edges[i + 1]) / 2;
        shares[i] = total > 0 ? weights[i] / total : (double)NAN;
    }
}

static bool plot_scores(struct buf *out, const json_t *curves, double decline)
{
    const json_t *margins = json_object_get(curves, "margins");
    double *edges, *frauds, *others;
    size_t edge_count = read_list(&edges, json_object_get(margins, "edges")),
           bins = edge_count ? edge_count - 1 : 0;
    size_t fraud_bins = read_list(&frauds, json_object_get(margins, "frauds")),
           other_bins = read_list(&others, json_object_get(margins, "others"));
    bool is_whole = bins > 0 && fraud_bins == bins && other_bins == bins;

    (void)decline;
    if (is_whole) {
        double *middles = mem_new_n(double, bins), *of_frauds = mem_new_n(double, bins),
               *of_others = mem_new_n(double, bins);
        const struct plot_series series[] = {
            { .name = "frauds", .mark = PLOT_BARS, .x = middles, .y = of_frauds, .n = bins },
            { .name = "others", .mark = PLOT_BARS, .x = middles, .y = of_others, .n = bins },
        };

        set_shares(of_frauds, middles, edges, bins, frauds);
        set_shares(of_others, middles, edges, bins, others);
        plot_svg(out, &(struct plot){ .title = card_plot_title(CARD_SCORES),
                                      .x = { "margin: log-odds before calibration", PLOT_NUMBER, 0, 0 },
                                      .y = { "share of the class", PLOT_PERCENT, 0, 0 },
                                      .series = series,
                                      .series_count = 2 });
        mem_free(middles);
        mem_free(of_frauds);
        mem_free(of_others);
    }
    mem_free(edges);
    mem_free(frauds);
    mem_free(others);
    return is_whole;
}

static bool plot_money(struct buf *out, const json_t *curves, double decline)
{
    const json_t *rows = json_object_get(curves, "money");
    double *threshold, *values[3];
    size_t count = read_column(&threshold, rows, 0);

    for (size_t i = 0; i < 3; i++)
        read_column(&values[i], rows, i + 1);
    if (count) {
        const struct plot_series series[] = {
            { .name = "saved", .x = threshold, .y = values[0], .n = count },
            { .name = "frauds declined", .x = threshold, .y = values[1], .n = count },
            { .name = "good payments declined", .x = threshold, .y = values[2], .n = count },
        };
        const struct plot_rule rule = { decline, true, "decline" };

        plot_svg(out, &(struct plot){ .title = card_plot_title(CARD_MONEY),
                                      .x = { "probability from which payments are declined", PLOT_LOG, 0, 0 },
                                      .y = { "minor units of the base currency", PLOT_NUMBER, 0, 0 },
                                      .series = series,
                                      .series_count = 3,
                                      .rules = &rule,
                                      .rule_count = decline < 2 });
    }
    mem_free(threshold);
    for (size_t i = 0; i < 3; i++)
        mem_free(values[i]);
    return count > 0;
}

bool card_plot(struct buf *out, enum card_plot plot, struct slice metrics, double decline)
{
    static bool (*const by_plot[])(struct buf *, const json_t *, double) = {
        [CARD_PRECISION_RECALL] = plot_precision_recall,
        [CARD_RELIABILITY] = plot_reliability,
        [CARD_SCORES] = plot_scores,
        [CARD_MONEY] = plot_money,
    };
    struct why ignored = { 0 };
    json_t *json;
    bool is_drawn;

    if (metrics.len == 0 || json_parse(&json, metrics, JSON_DEPTH_MAX, &ignored) != ERR_OK)
        return false;
    is_drawn = by_plot[plot](out, json_object_get(json, "curves"), decline);
    json_decref(json);
    return is_drawn;
}
