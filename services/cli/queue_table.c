/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "dataset/label_queue.h"
#include "json/json_out.h"
#include "policystore/document.h"
#include "rules_file.h"
#include "shipped.h"
#include "simulate/simulate.h"
#include "stream.h"
#include "training/trainer.h"
#include "triage/triage.h"

enum {
    REVIEWS = 100,  /* a day */
    ALERTS = 500,   /* a day that come into the queue at all, by score */
    DAYS = 56,      /* that are learnt from and judged, after */
    FILL_DAYS = 37, /* of windows and label delays before them */
    SIMULATED_A_DAY = 10000,
    REVIEW_COST = 300,
    TREES = 300,
};

static const struct {
    const char *name, *catalogue, *start;
} sets[] = {
    [QUEUE_SIMULATOR] = { "simulator", "default", "2024-01-01T00:00:00Z" },
    [QUEUE_HANDBOOK] = { "handbook", "handbook", "2018-04-01T00:00:00Z" },
};

/* What the queue could be ordered by. */
#define COLUMNS(X)                                                                                           \
    X(loss, "expected loss")                                                                                 \
    X(score, "score")                                                                                        \
    X(amount, "amount")                                                                                      \
    X(rules, "rules that fired")                                                                             \
    X(newest, "newest first")                                                                                \
    X(oldest, "oldest first (due)")
enum column {
#define COLUMN_ENUM(name, words) COLUMN_##name,
    COLUMNS(COLUMN_ENUM)
#undef COLUMN_ENUM
        COLUMN_COUNT
};
static const char *const column_words[] = {
#define COLUMN_WORDS(name, words) words,
    COLUMNS(COLUMN_WORDS)
#undef COLUMN_WORDS
};

/* ---- the stream, which is read twice: once to learn, once for the rules, which read the score ---- */

struct feed {
    enum queue_data data;
    struct stream stream;
    struct simulate *world;
    struct label_queue labels;
    struct txn txn;
    struct label label;
    bool has_txn;
    int64_t until_us;
};

static enum err feed_open(struct feed *f, enum queue_data data, const char *path, int64_t start_us,
                          struct why *why)
{
    struct stream_settings settings = { .mapping = "handbook" };
    struct simulate_params params = { .seed = 1, .account = 1, .start_us = start_us, .fraud_factor = 1 };

    *f = (struct feed){ .data = data, .until_us = start_us + (FILL_DAYS + DAYS) * DAY_US };
    if (data == QUEUE_HANDBOOK)
        return stream_open(&f->stream, path, &settings, why);
    params.customers = (uint32_t)ceil(SIMULATED_A_DAY / simulate_daily_rate());
    f->world = simulate_new(&params);
    return ERR_OK;
}

static void feed_close(struct feed *f)
{
    if (f->data == QUEUE_HANDBOOK)
        stream_close(&f->stream);
    simulate_free(f->world);
    label_queue_release(&f->labels);
}

/* Labels stand where they become known; after the last payment those that are still due follow. */
static bool next_simulated(struct feed *f, struct dataset_event *event)
{
    if (!f->has_txn && f->world) {
        simulate_next(f->world, &f->txn, &f->label);
        f->has_txn = f->txn.occurred_at_us < f->until_us;
        if (f->has_txn && f->label.is_fraud)
            label_queue_put(&f->labels, &f->label);
    }
    if (label_queue_first(&f->labels) &&
        (!f->has_txn || label_queue_first(&f->labels)->known_at_us <= f->txn.known_at_us)) {
        *event = (struct dataset_event){ .kind = DATASET_LABEL, .label = label_queue_take(&f->labels) };
        return true;
    }
    *event = (struct dataset_event){ .kind = DATASET_TXN, .txn = f->txn };
    if (!f->has_txn)
        return false;
    f->has_txn = false;
    return true;
}

static enum err feed_next(struct feed *f, struct dataset_event *event, bool *is_end, struct why *why)
{
    *is_end = false;
    if (f->data == QUEUE_SIMULATOR) {
        *is_end = !next_simulated(f, event);
        return ERR_OK;
    }
    for (;;) {
        enum err err = dataset_next(f->stream.dataset, event, is_end, why);

        if (err || *is_end || event->kind == DATASET_LABEL || event->txn.occurred_at_us < f->until_us)
            return err;
        /* Past the last day only labels are of use, and not for long. */
        if (event->txn.occurred_at_us >= f->until_us + mapping_label_delay_us(f->stream.mapping)) {
            *is_end = true;
            return ERR_OK;
        }
    }
}

/* ---- the judged rows ---- */

struct judged {
    struct rows rows;
    struct trainer_split split;
    struct bundle *bundle;
    struct policy *policy;
    size_t count;
    double *columns[COLUMN_COUNT];
    int64_t *amounts, *days;
    uint8_t *is_fraud, *is_alert;
};

static enum err read_rows(struct judged *j, enum queue_data data, const char *path, const struct plan *plan,
                          int64_t start_us, struct why *why)
{
    struct feed f;
    struct dataset_event event;
    bool is_end = false;
    enum err err = feed_open(&f, data, path, start_us, why);

    rows_init(&j->rows, plan);
    j->rows.keep_from_us = start_us + FILL_DAYS * DAY_US;
    while (!err && !(err = feed_next(&f, &event, &is_end, why)) && !is_end) {
        if (event.kind == DATASET_TXN)
            rows_add_txn(&j->rows, &event.txn);
        else
            rows_add_label(&j->rows, &event.label);
    }
    feed_close(&f);
    return err;
}

static enum err train(struct judged *j, const char *name, const struct plan *plan, struct why *why)
{
    struct trainer t = trainer_usual();
    struct trainer_result result;
    struct buf bytes;
    enum err err;

    t.name = slice_str(name);
    t.until_us = INT64_MAX;
    t.label_delay_us = 7 * DAY_US;
    t.warm_up_us = 0;
    t.tune = 0.2;
    t.judge = 0.3;
    t.params.trees = TREES;
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = trainer_run(&t, &j->rows, plan, &bytes, &result, why);
    if (!err)
        err = bundle_open(&j->bundle, buf_slice(&bytes), why);
    if (!err)
        err = trainer_split(&j->split, &t, &j->rows, why);
    buf_release(&bytes);
    return err;
}

static void fill_columns(struct judged *j)
{
    const struct trainer_part *part = &j->split.judge;
    struct forest_scratch *scratch = forest_scratch_new(bundle_forest(j->bundle));

    j->count = part->count;
    j->amounts = mem_new_n(int64_t, j->count + 1);
    j->days = mem_new_n(int64_t, j->count + 1);
    j->is_fraud = mem_new_n(uint8_t, j->count + 1);
    j->is_alert = mem_new_n(uint8_t, j->count + 1);
    for (size_t c = 0; c < COLUMN_COUNT; c++)
        j->columns[c] = mem_new_n(double, j->count + 1);
    for (size_t i = 0; i < j->count; i++) {
        const struct row *row = &j->rows.row[part->rows[i]];
        float margin = forest_margin(bundle_forest(j->bundle), rows_vector(&j->rows, part->rows[i]), scratch);
        double score = bundle_score(j->bundle, margin);

        j->amounts[i] = row->amount_minor;
        j->days[i] = row->at_us / DAY_US;
        j->is_fraud[i] = row->is_fraud;
        j->columns[COLUMN_loss][i] = (double)triage_expected_loss(score, row->amount_minor, REVIEW_COST);
        j->columns[COLUMN_score][i] = score;
        j->columns[COLUMN_amount][i] = (double)row->amount_minor;
        j->columns[COLUMN_newest][i] = (double)i;
        j->columns[COLUMN_oldest][i] = -(double)i;
    }
    forest_scratch_free(scratch);
}

/* How many rules of the starter set fire on a judged row. */
static double count_rules(struct judged *j, size_t i, const struct txn *txn, struct arena *arena)
{
    struct bundle_thresholds t = bundle_thresholds(j->bundle);
    struct txn of_all = *txn;
    struct policy_input in = { .txn = &of_all,
                               .now_us = txn->known_at_us,
                               .has_score = true,
                               .score = j->columns[COLUMN_score][i],
                               .thresholds = { t.challenge, t.review, t.decline } };
    struct policy_verdict verdict;

    of_all.account = 0;
    policy_decide(j->policy, &in, arena, &verdict);
    return (double)verdict.fired_count;
}

static enum err fill_rules(struct judged *j, enum queue_data data, const char *path, int64_t start_us,
                           struct why *why)
{
    struct feed f;
    struct dataset_event event;
    struct arena arena = { 0 };
    size_t row = 0, i = 0;
    bool is_end = false;
    enum err err = feed_open(&f, data, path, start_us, why);

    while (!err && i < j->count && !(err = feed_next(&f, &event, &is_end, why)) && !is_end) {
        if (event.kind != DATASET_TXN || event.txn.occurred_at_us < j->rows.keep_from_us)
            continue;
        if (j->split.judge.rows[i] == row++) {
            j->columns[COLUMN_rules][i] = count_rules(j, i, &event.txn, &arena);
            arena_reset(&arena);
            i++;
        }
    }
    if (!err && i < j->count)
        err = err_set(why, ERR_INTERNAL, "the stream was another the second time");
    feed_close(&f);
    arena_release(&arena);
    return err;
}

static enum err read_policy(struct judged *j, struct why *why)
{
    struct arena arena = { 0 };
    struct document document;
    struct buf json;
    enum err err = rules_file_read(&json, "rules-starter", why);

    if (!err)
        err = document_read(&document, buf_slice(&json), &arena, why);
    if (!err) {
        document.set.version = SLICE("starter");
        document.set.account = 0;
        j->policy = policy_new();
        err = policy_add_ruleset(j->policy, &document.set, why);
    }
    buf_release(&json);
    arena_release(&arena);
    return err;
}

static void release(struct judged *j)
{
    for (size_t c = 0; c < COLUMN_COUNT; c++)
        mem_free(j->columns[c]);
    mem_free(j->amounts);
    mem_free(j->days);
    mem_free(j->is_fraud);
    mem_free(j->is_alert);
    policy_free(j->policy);
    bundle_close(j->bundle);
    trainer_split_release(&j->split);
    rows_release(&j->rows);
}

/* ---- telling ---- */

/* The rows that are alerts, side by side. */
static size_t keep_alerts(struct judged *j)
{
    const double *scores = j->columns[COLUMN_score];
    size_t kept = 0;

    /* A row is an alert when fewer than ALERTS of its day score higher. */
    for (size_t i = 0; i < j->count; i++) {
        size_t above = 0;

        for (size_t k = i; k-- > 0 && j->days[k] == j->days[i];)
            above += scores[k] >= scores[i];
        for (size_t k = i + 1; k < j->count && j->days[k] == j->days[i]; k++)
            above += scores[k] > scores[i];
        j->is_alert[i] = above < ALERTS;
    }
    for (size_t i = 0; i < j->count; i++) {
        if (!j->is_alert[i])
            continue;
        for (size_t c = 0; c < COLUMN_COUNT; c++)
            j->columns[c][kept] = j->columns[c][i];
        j->amounts[kept] = j->amounts[i];
        j->days[kept] = j->days[i];
        j->is_fraud[kept++] = j->is_fraud[i];
    }
    return kept;
}

static void tell(const struct judged *j, const char *data, const char *queue, bool is_quiet,
                 struct json_out *o)
{
    size_t days = j->count > 0, frauds = 0;
    int64_t money = 0;

    for (size_t i = 0; i < j->count; i++) {
        days += i > 0 && j->days[i] != j->days[i - 1];
        frauds += j->is_fraud[i];
        money += j->is_fraud[i] ? j->amounts[i] : 0;
    }
    json_out_open(o, NULL);
    json_out_str(o, "data", data);
    json_out_str(o, "queue", queue);
    json_out_int(o, "rows", (int64_t)j->count);
    json_out_int(o, "days", (int64_t)days);
    json_out_int(o, "frauds", (int64_t)frauds);
    json_out_int(o, "fraud_minor", money);
    json_out_list(o, "orders");
    if (!is_quiet)
        printf("%s, %s: %zu payments of %zu days, %zu frauds of %.2f\n\n"
               "| order | stopped by 100 reviews | of all fraud | frauds found in 100 |\n|---|---|---|---|\n",
               data, queue, j->count, days, frauds, (double)money / 100);
    for (size_t c = 0; c < COLUMN_COUNT; c++) {
        struct triage_worth w =
            triage_worth(j->columns[c], j->amounts, j->is_fraud, j->days, j->count, REVIEWS);
        double hundreds = (double)(w.reviews ? w.reviews : 1) / 100;

        if (!is_quiet)
            printf(
                "| %s | %.2f | %.1f %% | %.1f |\n", column_words[c], (double)w.stopped_minor / 100 / hundreds,
                money ? 100.0 * (double)w.stopped_minor / (double)money : 0.0, (double)w.frauds / hundreds);
        json_out_open(o, NULL);
        json_out_str(o, "order", column_words[c]);
        json_out_int(o, "stopped_minor", w.stopped_minor);
        json_out_int(o, "reviews", (int64_t)w.reviews);
        json_out_int(o, "frauds", (int64_t)w.frauds);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
    if (!is_quiet)
        putchar('\n');
}

/* Both queues of the data set. */
static void tell_all(struct judged *j, const char *data, bool as_json)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_list(&o, "queues");
    tell(j, data, "every payment", as_json, &o);
    j->count = keep_alerts(j);
    tell(j, data, "the 500 highest scores of a day", as_json, &o);
    json_out_end(&o);
    json_out_end(&o);
    if (as_json)
        puts(buf_str(&text));
    buf_release(&text);
}

enum err queue_table_print(enum queue_data data, const char *path, bool as_json, struct why *why)
{
    struct judged j = { 0 };
    struct plan *plan = NULL;
    int64_t start_us;
    enum err err = shipped_plan(&plan, sets[data].catalogue, why);

    if (!err && !stream_time_parse(sets[data].start, &start_us))
        err = err_set(why, ERR_INTERNAL, "no time: %s", sets[data].start);
    if (!err)
        err = read_policy(&j, why);
    if (!err)
        err = read_rows(&j, data, path, plan, start_us, why);
    if (!err)
        err = train(&j, sets[data].catalogue, plan, why);
    if (!err) {
        fill_columns(&j);
        err = fill_rules(&j, data, path, start_us, why);
    }
    if (!err)
        tell_all(&j, sets[data].name, as_json);
    release(&j);
    plan_free(plan);
    return err;
}
