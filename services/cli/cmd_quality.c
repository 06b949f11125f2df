/* SPDX-License-Identifier: Apache-2.0
 * cmd_quality.c - `assay quality`: what labels have said of each day's decisions, and what the scores expected. */
#include "command.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "database.h"
#include "drift/window.h"
#include "json/json_out.h"
#include "modelstore/modelstore.h"
#include "monitorstore/windows.h"
#include "pg/session.h"
#include "spark.h"
#include "stats/ranking.h"
#include "trainingstore/trainingstore.h"

enum { DAYS_DEFAULT = 30, DAYS_MOST = 3650, RANKED_MOST = 4000000, DELAYS = 60 };

struct quality_options {
    int64_t lane, version, days;
    bool as_json;
};

/* Sums weigh each payment as trainingstore.h says: one that was let through by chance stands for those that were
 * not. */
struct day {
    int64_t day_us;
    uint64_t decisions, labelled;
    double rows, frauds;      /* with an outcome */
    double caught, stopped;   /* frauds, and others, that were not approved */
    double expected, spread;  /* frauds by the calibrated scores, and the variance of their number, */
    double came_true;         /* of those that this was expected of */
    double average_precision; /* NaN: one class only, or too many to rank */
};

struct quality {
    const struct quality_options *options;
    struct pg_session *s;
    struct arena arena;
    int32_t lane;
    struct watched_model model;
    int64_t delay_us; /* after which no label means good */
    struct day *days;
    size_t count, cap;
    /* of the day that is being read: */
    double *scores;
    uint8_t *labels;
    float *weights;
    size_t ranked, ranked_cap;
    bool is_too_many;
    /* of all frauds on matured days: how many days until they were known */
    uint64_t known_after[DELAYS + 1];
    bool has_blocks;
};

/* ---- reading ---- */

static void end_day(struct quality *q)
{
    struct day *day;

    if (!q->count)
        return;
    day = &q->days[q->count - 1];
    day->average_precision =
        q->is_too_many ? NAN : average_precision_weighted(q->scores, q->labels, q->weights, q->ranked);
    q->ranked = 0;
    q->is_too_many = false;
}

static struct day *day_of(struct quality *q, int64_t day_us)
{
    if (q->count && q->days[q->count - 1].day_us == day_us)
        return &q->days[q->count - 1];
    end_day(q);
    ARRAY_RESERVE_ONE(q->days, q->count, q->cap);
    q->days[q->count] = (struct day){ .day_us = day_us };
    return &q->days[q->count++];
}

static void rank(struct quality *q, double score, bool is_fraud, double weight)
{
    if (q->ranked == RANKED_MOST) {
        q->is_too_many = true;
        return;
    }
    if (q->ranked == q->ranked_cap) {
        q->ranked_cap = q->ranked_cap ? 2 * q->ranked_cap : 4096;
        q->scores = mem_grow(q->scores, q->ranked_cap, sizeof *q->scores);
        q->labels = mem_grow(q->labels, q->ranked_cap, sizeof *q->labels);
        q->weights = mem_grow(q->weights, q->ranked_cap, sizeof *q->weights);
    }
    q->scores[q->ranked] = score;
    q->labels[q->ranked] = is_fraud;
    q->weights[q->ranked++] = (float)weight;
}

static bool is_matured(const struct quality *q, int64_t day_us)
{
    return day_us + DAY_US + q->delay_us <= q->model.last_us;
}

enum { KNOWN_AT, SCORE, ACTION, P_ALLOW, IS_FRAUD, TOLD_AT };

static bool take_row(void *ctx, const struct slice *f, size_t count)
{
    struct quality *q = ctx;
    int64_t known_us = pg_bytes_time_us(f[KNOWN_AT]), day_us = drift_slot(known_us, DAY_US) * DAY_US;
    bool is_labelled = f[IS_FRAUD].ptr != NULL, is_fraud = is_labelled && f[IS_FRAUD].ptr[0];
    double score = pg_bytes_float(f[SCORE]);
    enum action action = (enum action)pg_bytes_int(f[ACTION]);
    struct trainingstore_standing standing = trainingstore_standing(action, pg_bytes_float(f[P_ALLOW]));
    struct day *day = day_of(q, day_us);

    (void)count;
    day->decisions++;
    day->labelled += is_labelled;
    if (standing.weight <= 0 || (standing.needs_label && !is_labelled))
        return true; /* nobody will ever know */
    day->rows += standing.weight;
    day->frauds += is_fraud * standing.weight;
    day->caught += is_fraud && action != ACTION_APPROVE ? standing.weight : 0;
    day->stopped += !is_fraud && action != ACTION_APPROVE ? standing.weight : 0;
    if (!standing.needs_label) { /* what stands only because somebody looked is no sample to expect from */
        day->expected += standing.weight * score;
        day->spread += standing.weight * standing.weight * score * (1 - score);
        day->came_true += is_fraud * standing.weight;
    }
    rank(q, score, is_fraud, standing.weight);
    if (is_fraud && is_matured(q, day_us)) {
        int64_t days = (pg_bytes_time_us(f[TOLD_AT]) - known_us) / DAY_US;

        q->known_after[days < 0 ? 0 : days > DELAYS ? DELAYS : days]++;
    }
    return true;
}

/* What holds of a payment is the strongest source, the newest within it; when it was first called fraud is what maturity
 * is about. */
static enum err read_days(struct quality *q, struct why *why)
{
    char from[RFC3339_SIZE], sql[2048];
    int64_t first_us = drift_slot(q->model.last_us, DAY_US) * DAY_US - (q->options->days - 1) * DAY_US;

    rfc3339_format(first_us, from);
    snprintf(
        sql, sizeof sql,
        "SELECT d.known_at, d.score, d.action, d.p_allow, l.is_fraud, t.told_at FROM decisions d JOIN "
        "accounts a "
        "USING (account) LEFT JOIN LATERAL (SELECT is_fraud FROM labels l WHERE l.account = d.account AND "
        "l.transaction_id = d.transaction_id ORDER BY source DESC, labelled_at DESC LIMIT 1) l ON true LEFT "
        "JOIN "
        "LATERAL (SELECT min(known_at) AS told_at FROM labels l WHERE l.account = d.account AND "
        "l.transaction_id = "
        "d.transaction_id AND l.is_fraud) t ON true WHERE d.known_at >= '%s' AND d.model_version = '%" PRId64
        "' AND d.score IS NOT NULL AND CASE WHEN %d = 0 THEN a.clock = 'live' ELSE d.account = %d END ORDER "
        "BY "
        "date_trunc('day', d.known_at, 'UTC')",
        from, q->model.version, (int)q->lane, (int)q->lane);
    return pg_copy_out(q->s, sql, take_row, q, why);
}

/* ---- showing ---- */

static void print_share(double part, double whole)
{
    if (whole > 0)
        printf(" %7.1f%%", 100 * part / whole);
    else
        printf(" %8s", "-");
}

static void print_day(const struct quality *q, const struct day *d)
{
    char at[RFC3339_SIZE];
    struct buf bar;

    buf_init(&bar, 0);
    rfc3339_format(d->day_us, at);
    if (is_matured(q, d->day_us) && !isnan(d->average_precision))
        spark_bar(&bar, d->average_precision, 16, q->has_blocks);
    printf("%.10s %10" PRIu64 " %8" PRIu64 " %8.0f %8.1f +-%5.1f", at, d->decisions, d->labelled, d->frauds,
           d->expected, 2 * sqrt(d->spread));
    print_share(d->caught, d->frauds);
    print_share(d->stopped, d->rows - d->frauds);
    if (is_matured(q, d->day_us) && !isnan(d->average_precision))
        printf(" %6.3f %s\n", d->average_precision, buf_str(&bar));
    else
        printf(" %6s\n", is_matured(q, d->day_us) ? "-" : "later");
    buf_release(&bar);
}

/* How far the expectation was off where the truth is known: whether to trust it where it is not. */
static void print_trust(const struct quality *q)
{
    double expected = 0, spread = 0, frauds = 0, off;

    for (size_t i = 0; i < q->count; i++) {
        if (!is_matured(q, q->days[i].day_us))
            continue;
        expected += q->days[i].expected;
        spread += q->days[i].spread;
        frauds += q->days[i].came_true;
    }
    if (expected <= 0) {
        printf("\nNo day has matured yet: what is expected cannot be compared with what came true.\n");
        return;
    }
    off = fabs(frauds - expected);
    printf("\nOn matured days %.0f frauds were known and %.1f expected; chance alone makes up to %.1f of "
           "difference.\n",
           frauds, expected, 2 * sqrt(spread));
    if (off <= 2 * sqrt(spread))
        printf("The scores mean what they say: what is expected of young days can be trusted as far as the "
               "world stays.\n");
    else
        printf("The scores say too %s: do not trust what is expected of young days, and have a model trained "
               "(`assay retrain`).\n",
               frauds > expected ? "little" : "much");
}

static void print_maturity(const struct quality *q)
{
    double shares[DELAYS + 1], sum = 0, all = 0;
    size_t until = (size_t)(q->delay_us / DAY_US) + 1;
    struct buf line;

    for (size_t i = 0; i <= DELAYS; i++)
        all += (double)q->known_after[i];
    if (all <= 0)
        return;
    until = until > DELAYS ? DELAYS : until;
    for (size_t i = 0; i <= until; i++) {
        sum += (double)q->known_after[i];
        shares[i] = sum / all;
    }
    buf_init(&line, 0);
    spark_line(&line, shares, until + 1, 1, q->has_blocks);
    printf("Share of frauds known after 0 to %zu days: %s  (%.0f %% within a day)\n", until, buf_str(&line),
           100 * shares[0]);
    buf_release(&line);
}

static void print_all(const struct quality *q)
{
    printf("%.*s version %" PRId64 ", of which a day has matured after %.0f days\n", SLICE_ARG(q->model.name),
           q->model.version, (double)q->delay_us / (double)DAY_US);
    printf("%-10s %10s %8s %8s %16s %8s %8s %6s\n", "DAY", "DECISIONS", "LABELS", "FRAUDS", "EXPECTED",
           "CAUGHT", "STOPPED", "AP");
    for (size_t i = 0; i < q->count; i++)
        print_day(q, &q->days[i]);
    print_maturity(q);
    print_trust(q);
}

static void print_json(const struct quality *q)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_int(&o, "lane", q->lane);
    json_out_text(&o, "name", q->model.name);
    json_out_int(&o, "version", q->model.version);
    json_out_number(&o, "label_delay_days", (double)q->delay_us / (double)DAY_US);
    json_out_list(&o, "days");
    for (size_t i = 0; i < q->count; i++) {
        const struct day *d = &q->days[i];

        json_out_open(&o, NULL);
        json_out_time(&o, "day", d->day_us);
        json_out_bool(&o, "is_matured", is_matured(q, d->day_us));
        json_out_int(&o, "decisions", (int64_t)d->decisions);
        json_out_int(&o, "labelled", (int64_t)d->labelled);
        json_out_number(&o, "rows", d->rows);
        json_out_number(&o, "frauds", d->frauds);
        json_out_number(&o, "expected_frauds", d->expected);
        json_out_number(&o, "came_true", d->came_true);
        json_out_number(&o, "expected_deviation", sqrt(d->spread));
        json_out_number(&o, "caught", d->caught);
        json_out_number(&o, "stopped", d->stopped);
        json_out_number(&o, "average_precision", d->average_precision); /* NaN is null */
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

/* ---- the whole ---- */

static enum err choose_model(struct quality *q, struct why *why)
{
    struct watched_model *models;
    size_t count, i = 0;
    enum err err = ERR_OK;

    q->lane = (int32_t)q->options->lane;
    if (q->options->lane < 0)
        err = watched_lane(q->s, &q->lane, why);
    if (!err)
        err = watched_model_list(q->s, q->lane, &models, &count, &q->arena, why);
    if (err)
        return err;
    while (i < count && q->options->version && models[i].version != q->options->version)
        i++;
    if (i == count)
        return err_set(why, ERR_NOT_FOUND, "the monitor has counted no decisions of such a model yet");
    q->model = models[i];
    return ERR_OK;
}

static enum err read_delay(struct quality *q, struct why *why)
{
    struct bundle *bundle = NULL;
    struct buf bytes;
    enum err err;

    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(q->s, q->model.version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), why);
    if (!err)
        q->delay_us = bundle_training(bundle).label_delay_us;
    bundle_close(bundle);
    buf_release(&bytes);
    return err;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    struct quality q = { .options = settings, .has_blocks = spark_has_blocks() };
    struct why why = { 0 };
    enum err err;

    (void)operands;
    (void)operand_count;
    if (q.options->days < 1 || q.options->days > DAYS_MOST)
        return command_fail(EXIT_USAGE, "--days is 1 to %d", DAYS_MOST);
    err = database_open_migrated(&q.s, &why);
    if (!err)
        err = choose_model(&q, &why);
    if (!err)
        err = read_delay(&q, &why);
    if (!err)
        err = read_days(&q, &why);
    if (!err) {
        end_day(&q);
        (q.options->as_json ? print_json : print_all)(&q);
    }
    mem_free(q.days);
    mem_free(q.scores);
    mem_free(q.labels);
    mem_free(q.weights);
    arena_release(&q.arena);
    pg_session_close(q.s);
    return command_end(err, &why);
}

static const struct quality_options defaults = { .lane = -1, .days = DAYS_DEFAULT };
static const struct option options[] = {
    { "days", OPTION_INT, offsetof(struct quality_options, days), "N", "back from the newest decision (30)" },
    { "version", OPTION_INT, offsetof(struct quality_options, version), "N",
      "of the model; else the one that decided last" },
    { "lane", OPTION_INT, offsetof(struct quality_options, lane), "N",
      "0: live accounts, else the number of an account on a simulated clock; else the first with decisions" },
    { "json", OPTION_FLAG, offsetof(struct quality_options, as_json), NULL, "as JSON" },
};

const struct command cmd_quality = {
    .name = "quality",
    .operands = "",
    .purpose = "Show what labels have said of each day's decisions, and what the scores expected",
    .text = "Frauds become known late: a day is judged once the model's label delay has passed, and shows "
            "\"later\" until\n"
            "then. EXPECTED is the number of frauds by the calibrated scores, with two standard deviations "
            "of chance; the\n"
            "last lines say whether it came true where the truth is known. It is wrong when the pattern of "
            "fraud itself\n"
            "changes, so it never replaces what is known. CAUGHT is the share of frauds that were not "
            "approved, STOPPED\n"
            "that of others. What was declined and has no label counts for nothing, unless a control slice "
            "stands for it.\n"
            "It reads the days' decisions, so ask for few days where there are many.",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .settings_size = sizeof(struct quality_options),
    .defaults = &defaults,
    .run = run,
};
