/* SPDX-License-Identifier: Apache-2.0
 * cmd_train.c - `assay train`: from history to a model's bundle, registered when asked. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "command.h"
#include "database.h"
#include "file.h"
#include "json/json_out.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "shipped.h"
#include "stream.h"
#include "training/trainer.h"
#include "trust.h"
#include "trainingstore/trainingstore.h"

struct settings {
    struct stream_settings stream;
    const char *catalogue, *name, *until, *out, *label_delay, *account;
    double tune, held_out, keep, warm_up_days, decline_cost, review_capacity, challenge_capacity, eta;
    int64_t trees, depth, trials, seed, threads;
    bool from_log, registers, promotes, as_json;
};

static const struct settings defaults = {
    .catalogue = "default",
    .tune = TRAINER_TUNE,
    .held_out = TRAINER_JUDGE,
    .keep = 1,
    .warm_up_days = TRAINER_WARM_UP_DAYS,
    .decline_cost = THRESHOLD_DECLINE_COST,
    .review_capacity = THRESHOLD_REVIEW_CAPACITY,
    .challenge_capacity = THRESHOLD_CHALLENGE_CAPACITY,
    .eta = TRAINER_ETA,
    .trees = TRAINER_TREES,
    .depth = TRAINER_DEPTH,
    .trials = 1,
    .seed = TRAINER_SEED,
};

static const struct option options[] = {
    { "catalogue", OPTION_TEXT, offsetof(struct settings, catalogue), "NAME",
      "handbook, sparkov, ucsd, fraudecom, default, or a file" },
    { "mapping", OPTION_TEXT, offsetof(struct settings, stream.mapping), "NAME",
      "the input is a CSV file with these columns; else NDJSON" },
    { "from-log", OPTION_FLAG, offsetof(struct settings, from_log), NULL,
      "learn from PostgreSQL: the vectors that were served, the labels, and the log" },
    { "account", OPTION_TEXT, offsetof(struct settings, account), "NAME", "of the log; all if not said" },
    { "keep", OPTION_NUMBER, offsetof(struct settings, keep), "SHARE",
      "of the log's payments that nobody called fraud, the others weighed up (1)" },
    { "name", OPTION_TEXT, offsetof(struct settings, name), "NAME",
      "of the model; the catalogue's if not said" },
    { "until", OPTION_TEXT, offsetof(struct settings, until), "DAY",
      "what became known from then on is not used" },
    { "label-delay", OPTION_TEXT, offsetof(struct settings, label_delay), "7d",
      "after so long, unlabelled means legitimate (the mapping's, or 7d)" },
    { "held-out", OPTION_NUMBER, offsetof(struct settings, held_out), "SHARE",
      "of the time, the newest, to judge by and nothing else (0.15)" },
    { "tune", OPTION_NUMBER, offsetof(struct settings, tune), "SHARE",
      "of the time before it, to stop, choose, calibrate and set thresholds by (0.1)" },
    { "warm-up", OPTION_NUMBER, offsetof(struct settings, warm_up_days), "DAYS",
      "at the beginning, to fill the windows only (7)" },
    { "decline-cost", OPTION_NUMBER, offsetof(struct settings, decline_cost), "SHARE",
      "of its amount that a wrongly declined payment costs (0.5)" },
    { "review", OPTION_NUMBER, offsetof(struct settings, review_capacity), "SHARE",
      "of payments that people can review (0.005)" },
    { "challenge", OPTION_NUMBER, offsetof(struct settings, challenge_capacity), "SHARE",
      "of payments that may be challenged (0.01)" },
    { "trees", OPTION_INT, offsetof(struct settings, trees), "N",
      "at most (500); stops when it gets no better" },
    { "depth", OPTION_INT, offsetof(struct settings, depth), "N", "of a tree (5)" },
    { "eta", OPTION_NUMBER, offsetof(struct settings, eta), "X", "learning rate (0.08)" },
    { "trials", OPTION_INT, offsetof(struct settings, trials), "N",
      "of a random search over depth, eta and others, the first with those given (1)" },
    { "seed", OPTION_INT, offsetof(struct settings, seed), "N", "(1)" },
    { "threads", OPTION_INT, offsetof(struct settings, threads), "N", "to train with (all cores)" },
    { "out", OPTION_TEXT, offsetof(struct settings, out), "FILE", "write the bundle there" },
    { "register", OPTION_FLAG, offsetof(struct settings, registers), NULL, "in PostgreSQL, under its name" },
    { "promote", OPTION_FLAG, offsetof(struct settings, promotes), NULL,
      "register it and make it the champion" },
    { "key-file", OPTION_TEXT, offsetof(struct settings, stream.key_file), "FILE",
      "the 16 bytes that make card tokens" },
    { "json", OPTION_FLAG, offsetof(struct settings, as_json), NULL, "the result as JSON" },
};

/* ---- reading ---- */

static enum err read_stream(struct rows *rows, const char *path, const struct settings *s, int64_t until_us,
                            struct why *why)
{
    struct stream stream;
    struct dataset_event event;
    struct stream_settings settings = s->stream;
    bool is_end = false;
    enum err err;

    settings.label_delay = s->label_delay;
    err = stream_open(&stream, path, &settings, why);
    while (!err && !(err = dataset_next(stream.dataset, &event, &is_end, why)) && !is_end) {
        if ((event.kind == DATASET_TXN ? event.txn.known_at_us : event.label.known_at_us) >= until_us)
            break;
        if (event.kind == DATASET_TXN)
            rows_add_txn(rows, &event.txn);
        else
            rows_add_label(rows, &event.label);
    }
    if (!err && dataset_counts(stream.dataset).bad)
        fprintf(stderr, "%" PRIu64 " rows could not be read\n", dataset_counts(stream.dataset).bad);
    stream_close(&stream);
    return err;
}

static enum err read_log(struct rows *rows, const struct plan *plan, const struct settings *s,
                         int64_t until_us, struct why *why)
{
    struct trainingstore_query query = TRAININGSTORE_WHOLE;
    struct trainingstore_counts counts = { 0 };
    struct pg_session *session;
    int64_t account = 0;
    enum err err = database_open_migrated(&session, why);

    if (!err)
        err = account_find(session, s->account, &account, why);
    query.account = (uint32_t)account;
    query.as_of_us = until_us;
    query.keep = s->keep;
    query.seed = (uint64_t)s->seed;
    if (!err)
        err = trainingstore_read(session, &query, plan, rows, &counts, why);
    pg_session_close(session);
    if (err)
        return err;
    fprintf(stderr,
            "%" PRIu64 " transactions: %" PRIu64 " vectors as served, %" PRIu64 " computed again, %" PRIu64
            " let through by the control slice, %" PRIu64 " declines without an outcome left out\n",
            counts.transactions, counts.served, counts.recomputed, counts.let_through, counts.declined);
    if (counts.unreadable)
        fprintf(stderr, "%" PRIu64 " entries of the log could not be read\n", counts.unreadable);
    return ERR_OK;
}

/* ---- telling ---- */

static bool on_progress(void *context, const struct trainer_progress *p)
{
    const int64_t *start_us = context;

    if (p->stage == TRAINER_SEARCHING && (p->finished || p->rounds % 25 == 0) && isatty(STDERR_FILENO))
        fprintf(stderr, "\rtrial %zu of %zu, %zu trees, %.0f %%, %.0f s ", p->trial + 1, p->trials, p->rounds,
                100 * p->share, (double)(clock_mono_us() - *start_us) / 1e6);
    return true;
}

static void print_result(const struct trainer_result *r, const char *sha, int64_t version, size_t bytes)
{
    printf("trained on     %zu payments, %zu frauds; %zu trees\n", r->train_rows, r->train_frauds, r->trees);
    printf("tuned on       %zu later payments, %zu frauds; trial %zu of %zu\n", r->tune_rows, r->tune_frauds,
           r->best_trial + 1, r->trials);
    printf("judged on      %zu later payments, %zu frauds\n", r->judge_rows, r->judge_frauds);
    printf("figures        average precision %.3f, AUC ROC %.3f, recall at 1 %% false positives %.3f\n",
           r->figures.average_precision, r->figures.auc_roc, r->figures.recall_fpr_1);
    printf("logistic       average precision %.3f, AUC ROC %.3f, recall at 1 %% false positives %.3f\n",
           r->logistic.average_precision, r->logistic.auc_roc, r->logistic.recall_fpr_1);
    printf("online         average precision %.3f, AUC ROC %.3f, recall at 1 %% false positives %.3f\n",
           r->online.average_precision, r->online.auc_roc, r->online.recall_fpr_1);
    printf("calibration    error %.4f, by %s\n", r->calibration_error,
           r->is_platt ? "Platt's sigmoid" : "isotonic regression");
    printf("thresholds     decline %.4f (%.3f %% of payments), review %.4f (%.3f %%), challenge %.4f (%.3f "
           "%%)\n",
           r->thresholds.decline, 100 * r->decline_share, r->thresholds.review, 100 * r->review_share,
           r->thresholds.challenge, 100 * r->challenge_share);
    printf(
        "money          %.0f %% of the frauds' amounts declined, %.2f of good payments for 1.00 of those\n",
        r->fraud_minor ? 100.0 * (double)r->caught_minor / (double)r->fraud_minor : 0.0,
        r->caught_minor ? (double)r->lost_minor / (double)r->caught_minor : 0.0);
    printf("bundle         %zu bytes, sha256 %s\n", bytes, sha);
    if (version)
        printf("version        %" PRId64 "\n", version);
}

static void print_json(const struct trainer_result *r, const char *sha, int64_t version, size_t bytes)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    if (version)
        json_out_int(&o, "version", version);
    json_out_str(&o, "sha256", sha);
    json_out_int(&o, "bytes", (int64_t)bytes);
    json_out_int(&o, "train_rows", (int64_t)r->train_rows);
    json_out_int(&o, "train_frauds", (int64_t)r->train_frauds);
    json_out_int(&o, "tune_rows", (int64_t)r->tune_rows);
    json_out_int(&o, "tune_frauds", (int64_t)r->tune_frauds);
    json_out_int(&o, "held_out_rows", (int64_t)r->judge_rows);
    json_out_int(&o, "held_out_frauds", (int64_t)r->judge_frauds);
    json_out_int(&o, "trees", (int64_t)r->trees);
    json_out_int(&o, "trials", (int64_t)r->trials);
    json_out_int(&o, "best_trial", (int64_t)r->best_trial);
    json_out_number(&o, "average_precision", r->figures.average_precision);
    json_out_number(&o, "auc_roc", r->figures.auc_roc);
    json_out_number(&o, "recall_at_fpr_1", r->figures.recall_fpr_1);
    json_out_number(&o, "card_precision_100", r->figures.card_precision_100);
    json_out_number(&o, "logistic_average_precision", r->logistic.average_precision);
    json_out_number(&o, "online_average_precision", r->online.average_precision);
    json_out_number(&o, "calibration_error", r->calibration_error);
    json_out_open(&o, "thresholds");
    json_out_number(&o, "challenge", r->thresholds.challenge);
    json_out_number(&o, "review", r->thresholds.review);
    json_out_number(&o, "decline", r->thresholds.decline);
    json_out_end(&o);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

/* ---- the command ---- */

static enum err publish(const struct buf *bundle, const struct settings *s, int64_t *version, struct why *why)
{
    struct model_change how = { .actor = login_name() };
    struct pg_session *session = NULL;
    struct arena arena = { 0 };
    enum err err = trust_read(&how.keys, &arena, why);

    if (!err)
        err = database_open_migrated(&session, why);
    if (!err)
        err = model_register(session, buf_slice(bundle), NULL, NULL, how.actor, version, NULL, why);
    if (!err && s->promotes)
        err = model_promote(session, *version, MODEL_ANY, &how, why);
    pg_session_close(session);
    arena_release(&arena);
    return err;
}

/* "handbook" of "models/handbook.yaml": what the model is called unless told otherwise. */
static struct slice name_of(const struct settings *s)
{
    const char *name = s->name ? s->name : s->catalogue, *slash = strrchr(name, '/');
    size_t len;

    if (s->name)
        return slice_str(name);
    name = slash ? slash + 1 : name;
    len = strcspn(name, ".");
    return slice_of(name, len);
}

static enum err train(const struct settings *s, const char *path, struct buf *bundle,
                      struct trainer_result *result, struct why *why)
{
    struct trainer t = trainer_usual();
    struct plan *plan = NULL;
    struct rows rows = { 0 };
    int64_t start_us = clock_mono_us();
    enum err err = ERR_OK;

    if (s->until && !stream_time_parse(s->until, &t.until_us))
        return err_set(why, ERR_INVALID, "--until is a day like 2018-06-01 or a time of RFC 3339");
    if (s->label_delay && !duration_parse(slice_str(s->label_delay), &t.label_delay_us))
        return err_set(why, ERR_INVALID, "--label-delay is like 7d, 12h or 90s");
    err = shipped_plan(&plan, s->catalogue, why);
    if (!err) {
        rows_init(&rows, plan);
        err = s->from_log ? read_log(&rows, plan, s, t.until_us, why)
                          : read_stream(&rows, path, s, t.until_us, why);
    }
    if (!err) {
        fprintf(stderr, "%zu vectors of %zu features in %.1f s\n", rows.count, rows.columns,
                (double)(clock_mono_us() - start_us) / 1e6);
        t.name = name_of(s);
        t.created_at_us = clock_wall_us();
        t.warm_up_us = (int64_t)(s->warm_up_days * (double)DAY_US);
        t.tune = s->tune;
        t.judge = s->held_out;
        t.costs.decline_cost = s->decline_cost;
        t.costs.review_capacity = s->review_capacity;
        t.costs.challenge_capacity = s->challenge_capacity;
        t.params.trees = (size_t)s->trees;
        t.params.depth = (int)s->depth;
        t.params.eta = s->eta;
        t.params.seed = s->seed;
        t.params.threads = (int)s->threads;
        t.search.trials = (size_t)s->trials;
        t.search.seed = (uint64_t)s->seed;
        t.hook = on_progress;
        t.context = &start_us;
        err = trainer_run(&t, &rows, plan, bundle, result, why);
        if (isatty(STDERR_FILENO))
            fputc('\n', stderr);
    }
    rows_release(&rows);
    plan_free(plan);
    return err;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct settings *s = settings;
    struct trainer_result result;
    struct why why = { 0 };
    struct buf bundle;
    char sha[SHA256_HEX_SIZE];
    int64_t version = 0;
    enum err err;

    if ((operand_count == 0) != s->from_log)
        return command_fail(EXIT_USAGE, "either a file or --from-log; see `assay help train`");
    if (s->held_out <= 0 || s->tune <= 0 || s->held_out + s->tune >= 1)
        return command_fail(EXIT_USAGE, "--tune and --held-out are above 0, and together below 1");
    if (s->trees < 1 || s->depth < 1 || s->depth > 12 || s->trials < 1 || s->trials > TRAINER_TRIALS_MAX)
        return command_fail(EXIT_USAGE, "--depth is between 1 and 12, --trials between 1 and %d",
                            TRAINER_TRIALS_MAX);
    buf_init(&bundle, BUNDLE_BYTES_MAX);
    err = train(s, operands[0], &bundle, &result, &why);
    if (!err && s->out)
        err = file_write(s->out, buf_slice(&bundle), &why);
    if (!err && (s->registers || s->promotes))
        err = publish(&bundle, s, &version, &why);
    if (!err) {
        sha256_hex(buf_slice(&bundle), sha);
        if (s->as_json)
            print_json(&result, sha, version, bundle.len);
        else
            print_result(&result, sha, version, bundle.len);
    }
    buf_release(&bundle);
    return command_end(err, &why);
}

const struct command cmd_train = {
    .name = "train",
    .operands = "[<stream>|-]",
    .purpose = "Train a model from history, judge it, and register it",
    .text =
        "Runs the history through the feature store, so that each row is the vector that the service\n"
        "would have served, trains gradient boosted trees on the older part, tunes them on a newer one and\n"
        "judges them on the newest, with the label delay between. The bundle has the trees, the features' "
        "definitions, the\n"
        "calibration, thresholds by expected money and capacity, golden rows, reference histograms and\n"
        "a model card.\n\n"
        "  assay train --catalogue handbook --mapping handbook --until 2018-07-01 t.csv.zst --promote\n"
        "  assay simulate --transactions 200000 | assay train - --out first.bundle\n"
        "  assay train --catalogue handbook --from-log --register",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_least = 0,
    .operands_most = 1,
    .settings_size = sizeof(struct settings),
    .defaults = &defaults,
    .run = run,
};
