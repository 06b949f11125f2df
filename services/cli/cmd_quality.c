/* SPDX-License-Identifier: Apache-2.0
 * cmd_quality.c - `assay quality`: what the monitor has counted of labels, day by day, and what the scores expected. */
#include "command.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "monitorstore/quality.h"
#include "pg/session.h"
#include "spark.h"

struct quality_options {
    int64_t lane, version, days;
    bool as_json;
};

/* ---- showing ---- */

static void print_share(double share)
{
    if (isnan(share))
        printf(" %8s", "-");
    else
        printf(" %7.1f%%", 100 * share);
}

static void print_day(const struct quality_report_day *d, bool has_blocks)
{
    const double *realised = d->realised.values, *estimated = d->estimated.values;
    char at[RFC3339_SIZE];
    struct buf bar;

    buf_init(&bar, 0);
    rfc3339_format(d->day * DAY_US, at);
    printf("%.10s %10" PRIu64 " %8" PRIu64, at, d->decisions, d->frauds);
    print_share(d->known);
    printf(" %9.1f", estimated[QUALITY_frauds]);
    if (!d->is_matured) {
        printf(" %8s %8s %8s %6s %6.3f\n", "later", "later", "later", "later",
               estimated[QUALITY_average_precision]);
        return;
    }
    if (!isnan(realised[QUALITY_average_precision]))
        spark_bar(&bar, realised[QUALITY_average_precision], 16, has_blocks);
    print_share(realised[QUALITY_recall]);
    print_share(realised[QUALITY_false_positive_rate]);
    print_share(quality_report_cards_precision(&d->cards));
    if (isnan(realised[QUALITY_average_precision]))
        printf(" %6s %6.3f\n", "-", estimated[QUALITY_average_precision]);
    else
        printf(" %6.3f %6.3f %s\n", realised[QUALITY_average_precision], estimated[QUALITY_average_precision],
               buf_str(&bar));
    buf_release(&bar);
}

static void print_money(const char *what, double minor)
{
    if (!isnan(minor))
        printf("  %s %.2f", what, minor / 100);
}

/* How far estimates were off where the truth is known: whether to trust them where it is not. */
static void print_trust(const struct quality_report *r)
{
    const struct quality_calibration *c = &r->calibration;

    if (!r->matured) {
        printf("\nNo day has matured yet: what is expected cannot be compared with what came true.\n");
        return;
    }
    printf("\nAll %zu matured days:", r->matured);
    if (!isnan(r->whole.values[QUALITY_average_precision]))
        printf("  average precision %.3f", r->whole.values[QUALITY_average_precision]);
    if (!isnan(r->model.promise.average_precision))
        printf(" (its bundle promises %.3f)", r->model.promise.average_precision);
    print_money("caught", r->whole.values[QUALITY_money_caught]);
    print_money("lost", r->whole.values[QUALITY_money_lost]);
    print_money("turned away", r->whole.values[QUALITY_money_turned_away]);
    printf("\n");
    if (r->track.days[QUALITY_average_precision])
        printf("Estimates of a day's average precision were off by %.3f on average (%+.3f), over %" PRIu64
               " days.\n",
               quality_track_error(&r->track, QUALITY_average_precision),
               quality_track_bias(&r->track, QUALITY_average_precision),
               r->track.days[QUALITY_average_precision]);
    printf(
        "On the newest matured days %.0f frauds were seen and %.1f expected of what can be seen; as far off "
        "by chance: p = %.2g.\n",
        c->happened, c->expected, c->p);
    if (!(c->p < 0.05))
        printf("The scores mean what they say: what is expected of young days can be trusted as far as the "
               "world stays.\n");
    else
        printf("The scores say too %s: do not trust what is expected of young days, and have a model trained "
               "(`assay retrain`).\n",
               c->happened > c->expected ? "little" : "much");
}

static void print_maturity(const struct quality_report *r, bool has_blocks)
{
    const struct quality_maturity *m = &r->maturity;
    struct buf line;

    if (isnan(m->share[0]))
        return;
    buf_init(&line, 0);
    spark_line(&line, m->share, m->horizon + 1, 1, has_blocks);
    printf("Share of frauds known after 0 to %u days: %s  (%.0f %% within the day, 95 %% %u days after it)\n",
           m->horizon, buf_str(&line), 100 * m->share[0], quality_matured_after(m, 0.95));
    buf_release(&line);
}

static void print_all(const struct quality_report *r)
{
    bool has_blocks = spark_has_blocks();

    printf("%.*s version %" PRId64 ", of which a day has matured after %" PRId64 " days\n",
           SLICE_ARG(r->model.name), r->model.version, r->model.label_delay_days);
    printf("%-10s %10s %8s %8s %9s %8s %8s %8s %6s %6s\n", "DAY", "DECISIONS", "FRAUDS", "KNOWN", "EXPECTED",
           "CAUGHT", "STOPPED", "CP@K", "AP", "EST");
    for (size_t i = 0; i < r->count; i++)
        print_day(&r->days[i], has_blocks);
    print_maturity(r, has_blocks);
    print_trust(r);
}

static void print_json(const struct quality_report *r)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    quality_report_write(&o, NULL, r);
    puts(buf_str(&text));
    buf_release(&text);
}

/* ---- the whole ---- */

static enum err choose_model(const struct quality_options *options, struct pg_session *s,
                             struct judged_model *out, struct arena *arena, struct why *why)
{
    struct judged_model *models;
    size_t count, live = 0, i = 0;
    enum err err =
        judged_model_list(s, options->lane < 0 ? -1 : (int32_t)options->lane, &models, &count, arena, why);

    if (err)
        return err;
    while (live < count && models[live].lane != 0)
        live++;
    /* Without a lane: the live one when models decide there. */
    while (i < count && ((options->version && models[i].version != options->version) ||
                         (options->lane < 0 && live < count && models[i].lane != 0)))
        i++;
    if (i == count)
        return err_set(why, ERR_NOT_FOUND, "the monitor has counted no decisions of such a model yet");
    *out = models[i];
    return ERR_OK;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct quality_options *options = settings;
    struct pg_session *s = NULL;
    struct judged_model model;
    struct quality_report report;
    struct arena arena = { 0 };
    struct why why = { 0 };
    enum err err;

    (void)operands;
    (void)operand_count;
    if (options->days < 1 || options->days > QUALITY_DAYS_MAX)
        return command_fail(EXIT_USAGE, "--days is 1 to %d", QUALITY_DAYS_MAX);
    err = database_open_migrated(&s, &why);
    if (!err)
        err = choose_model(options, s, &model, &arena, &why);
    if (!err)
        err = quality_report_read(s, &model, options->days, &report, &arena, &why);
    if (!err)
        (options->as_json ? print_json : print_all)(&report);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct quality_options defaults = { .lane = -1, .days = QUALITY_DAYS_DEFAULT };
static const struct option options[] = {
    { "days", OPTION_INT, offsetof(struct quality_options, days), "N", "back from the newest hour (30)" },
    { "version", OPTION_INT, offsetof(struct quality_options, version), "N",
      "of the model; else the one that decided last" },
    { "lane", OPTION_INT, offsetof(struct quality_options, lane), "N",
      "0: live accounts, else the number of an account on a simulated clock; else the first with decisions" },
    { "json", OPTION_FLAG, offsetof(struct quality_options, as_json), NULL, "as JSON, as REST answers" },
};

const struct command cmd_quality = {
    .name = "quality",
    .operands = "",
    .purpose = "Show what labels have said of each day's decisions, and what the scores expected",
    .text =
        "It shows what the monitor has counted. Frauds become known late: a day is judged once the "
        "model's label delay has\n"
        "passed, and shows \"later\" until then. KNOWN is the share of its frauds that is known by now, "
        "as earlier days\n"
        "went. EXPECTED is the number of frauds by the calibrated scores, EST the average precision that "
        "these expect, AP\n"
        "the one that came true; the last lines say how far they were apart. They go wrong when the "
        "pattern of fraud itself\n"
        "changes, so they never replace what is known. CAUGHT is the share of frauds that were not "
        "approved, STOPPED that\n"
        "of others. What was declined counts for nothing in them, unless a control slice stands for it. CP@K "
        "is "
        "the share of the\nk customers with the highest scores of a day in whom fraud would have been found.",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .settings_size = sizeof(struct quality_options),
    .defaults = &defaults,
    .run = run,
};
