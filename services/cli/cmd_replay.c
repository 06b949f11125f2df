/* SPDX-License-Identifier: Apache-2.0
 * cmd_replay.c - `assay replay`: sends a stream through the public API and says how it was answered: how
 * fast, how well, and what it meant in money. */
#include "command.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "json/json.h"
#include "json/json_out.h"
#include "lifecycle_run.h"
#include "reach.h"
#include "replay.h"
#include "training/trainer.h"

struct replay_settings {
    struct replay_conf conf;
    const char *home, *rate, *record, *truth;
    bool as_json, is_quiet, is_lifecycle;
    struct lifecycle_conf life;
};

#define AT(field) offsetof(struct replay_settings, field)
static const struct option options[] = {
    { "from", OPTION_TEXT, AT(conf.from), "FILE",
      "the stream, as <file>; \"-\", the default, is standard input" },
    { "url", OPTION_TEXT, AT(conf.urls), "URL,...", "where to send (what `assay up` started in --home)" },
    { "key", OPTION_TEXT, AT(conf.key), "KEY", "API key (ASSAY_KEY)" },
    { "rate", OPTION_TEXT, AT(rate), "N|max", "transactions a second, open loop (max)" },
    { "in-flight", OPTION_INT, AT(conf.in_flight), "N", "requests under way at most (64; 4096 at a rate)" },
    { "connections", OPTION_INT, AT(conf.connections), "N", "to each URL (2)" },
    { "batch", OPTION_INT, AT(conf.batch), "N", "transactions in a request (1)" },
    { "limit", OPTION_INT, AT(conf.limit), "N", "stop after so many transactions" },
    { "deadline-ms", OPTION_INT, AT(conf.deadline_ms), "MS",
      "what each may take (2000); 0: the server's own" },
    { "patience", OPTION_INT, AT(conf.patience_s), "SECONDS", "how long one is tried again (60)" },
    { "no-labels", OPTION_FLAG, AT(conf.sends_no_labels), NULL, "only judge by them, do not send them" },
    { "truth", OPTION_TEXT, AT(truth), "FILE",
      "a stream whose labels come too late to be sent; judge by them too" },
    { "record", OPTION_TEXT, AT(record), "FILE", "write each decision there, a line each" },
    { "ca", OPTION_TEXT, AT(conf.ca), "FILE",
      "whom to trust for https (without --url: HOME/certs/ca.pem; else the system's store)" },
    { "home", OPTION_TEXT, AT(home), "DIR", "whose services to use without --url (ASSAY_HOME, else ./var)" },
    { "json", OPTION_FLAG, AT(as_json), NULL, "the figures as JSON" },
    { "lifecycle", OPTION_FLAG, AT(is_lifecycle), NULL,
      "send nothing: live the life of models over the stream, in this process" },
    { "mapping", OPTION_TEXT, AT(life.mapping), "NAME",
      "of a life: the stream is a CSV file with these columns" },
    { "catalogue", OPTION_TEXT, AT(life.catalogue), "NAME",
      "features: handbook, sparkov, default, or a file" },
    { "label-delay", OPTION_TEXT, AT(life.label_delay), "7d",
      "after so long, unlabelled means legitimate (the mapping's, or 7d)" },
    { "first-days", OPTION_NUMBER, AT(life.first_days), "N", "history of the first model (30)" },
    { "schedule", OPTION_TEXT, AT(life.schedule), "CRON", "when it is trained again, UTC (\"0 3 * * 1\")" },
    { "history-days", OPTION_NUMBER, AT(life.history_days), "N", "that a model is trained on at most (42)" },
    { "shadow-days", OPTION_INT, AT(life.shadow_days), "N", "of matured days in shadow (7)" },
    { "ab-days", OPTION_INT, AT(life.ab_days), "N", "of matured days with two arms, at most (56); 0: none" },
    { "share", OPTION_NUMBER, AT(life.share), "SHARE", "of the customers, to the candidate (0.5)" },
    { "hide-labels", OPTION_FLAG, AT(life.hides_labels), NULL, "what is declined has no label" },
    { "control", OPTION_NUMBER, AT(life.control), "SHARE",
      "of the declines that is let through to get labels (0)" },
    { "trees", OPTION_INT, AT(life.trees), "N", "at most (500)" },
    { "seed", OPTION_INT, AT(life.seed), "N", "of training, arms and slice (1)" },
    { "plot", OPTION_TEXT, AT(life.plot), "FILE", "write the weeks there, as SVG" },
    { "quiet", OPTION_FLAG, AT(is_quiet), NULL, "no progress" },
};
#undef AT

static const struct replay_settings defaults = {
    .conf = { .from = "-", .connections = 2, .batch = 1, .deadline_ms = 2000, .patience_s = 60 },
    .rate = "max",
    .life = { .schedule = "0 3 * * 1",
              .first_days = 30,
              .history_days = 42,
              .shadow_days = 7,
              .ab_days = -1,
              .share = 0.5,
              .trees = TRAINER_TREES,
              .seed = TRAINER_SEED },
};

/* ---- the figures ---- */

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_latency(const struct quantiles *q)
{
    printf("  latency ms   p50 %.2f   p90 %.2f   p99 %.2f   p99.9 %.2f   max %.2f\n", q->p50 / 1e3,
           q->p90 / 1e3, q->p99 / 1e3, q->p999 / 1e3, q->max / 1e3);
}

static void print_money(const struct tally_figures *f)
{
    printf("\n  %-10s %10s %7s %16s %10s %16s\n", "action", "decisions", "", "good amount", "frauds",
           "fraud amount");
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        const struct tally_cell *good = &f->cells[a][0], *fraud = &f->cells[a][1];
        uint64_t all = 0;

        for (size_t b = 0; b < ACTION_COUNT; b++)
            all += f->cells[b][0].count + f->cells[b][1].count;
        printf("  %-10s %10llu %6.2f%% %16.2f %10llu %16.2f\n", action_name((enum action)a),
               (unsigned long long)(good->count + fraud->count), share(good->count + fraud->count, all),
               (double)good->amount_minor / 100, (unsigned long long)fraud->count,
               (double)fraud->amount_minor / 100);
    }
}

static void print_table(struct replay_result *r, const struct tally_figures *f)
{
    const struct tally *t = &r->tally;
    int64_t stopped = 0, let_through = f->cells[ACTION_APPROVE][1].amount_minor;

    for (size_t a = ACTION_APPROVE + 1; a < ACTION_COUNT; a++)
        stopped += f->cells[a][1].amount_minor;
    printf("%llu transactions decided in %.1f s: %.0f a second\n", (unsigned long long)t->decided, r->seconds,
           r->seconds > 0 ? (double)t->decided / r->seconds : 0);
    if (t->latency_count)
        print_latency(&f->latency_us);
    printf("  labels sent %llu   sent again %llu   degraded %llu   lost %llu\n",
           (unsigned long long)t->labels, (unsigned long long)t->retries, (unsigned long long)t->degraded,
           (unsigned long long)t->lost);
    for (size_t s = 0; s < sizeof t->statuses / sizeof *t->statuses; s++)
        if (s != 200 && t->statuses[s])
            printf("  answered %zu   %llu\n", s, (unsigned long long)t->statuses[s]);
    if (r->first_fault.text[0])
        printf("  first fault  %s\n", r->first_fault.text);
    if (!t->decided)
        return;
    print_money(f);
    if (!f->frauds)
        return;
    printf("\n  fraud stopped %.2f of %.2f (%.1f %%), let through %.2f; good turned away %.2f\n",
           (double)stopped / 100, (double)(stopped + let_through) / 100,
           stopped + let_through > 0 ? 100.0 * (double)stopped / (double)(stopped + let_through) : 0,
           (double)let_through / 100, (double)f->cells[ACTION_DECLINE][0].amount_minor / 100);
    if (f->scored)
        printf("  AUC ROC %.4f   average precision %.4f   over %llu scored, %llu frauds\n", f->auc_roc,
               f->average_precision, (unsigned long long)f->scored, (unsigned long long)f->frauds);
}

static void write_latency(struct json_out *o, const struct quantiles *q)
{
    json_out_open(o, "latency_ms");
    json_out_number(o, "mean", q->mean / 1e3);
    json_out_number(o, "p50", q->p50 / 1e3);
    json_out_number(o, "p90", q->p90 / 1e3);
    json_out_number(o, "p99", q->p99 / 1e3);
    json_out_number(o, "p99_9", q->p999 / 1e3);
    json_out_number(o, "max", q->max / 1e3);
    json_out_end(o);
}

static void write_actions(struct json_out *o, const struct tally_figures *f)
{
    json_out_open(o, "actions");
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        json_out_open(o, action_name((enum action)a));
        json_out_int(o, "good", (int64_t)f->cells[a][0].count);
        json_out_int(o, "good_amount_minor", f->cells[a][0].amount_minor);
        json_out_int(o, "fraud", (int64_t)f->cells[a][1].count);
        json_out_int(o, "fraud_amount_minor", f->cells[a][1].amount_minor);
        json_out_end(o);
    }
    json_out_end(o);
}

static void print_json(const struct replay_result *r, const struct tally_figures *f)
{
    const struct tally *t = &r->tally;
    struct buf text;
    struct json_out o;
    char name[8];

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_int(&o, "transactions", (int64_t)r->transactions);
    json_out_int(&o, "decided", (int64_t)t->decided);
    json_out_int(&o, "degraded", (int64_t)t->degraded);
    json_out_int(&o, "labels", (int64_t)t->labels);
    json_out_int(&o, "requests", (int64_t)r->requests);
    json_out_int(&o, "retries", (int64_t)t->retries);
    json_out_int(&o, "lost", (int64_t)t->lost);
    json_out_number(&o, "seconds", r->seconds);
    json_out_number(&o, "decisions_per_s", r->seconds > 0 ? (double)t->decided / r->seconds : 0);
    write_latency(&o, &f->latency_us);
    json_out_open(&o, "statuses");
    for (size_t s = 0; s < sizeof t->statuses / sizeof *t->statuses; s++)
        if (t->statuses[s]) {
            snprintf(name, sizeof name, "%zu", s);
            json_out_text_key(&o, slice_str(name));
            json_out_int(&o, NULL, (int64_t)t->statuses[s]);
        }
    json_out_end(&o);
    write_actions(&o, f);
    json_out_open(&o, "quality");
    json_out_int(&o, "scored", (int64_t)f->scored);
    json_out_int(&o, "frauds", (int64_t)f->frauds);
    json_out_number(&o, "auc_roc", f->auc_roc);
    json_out_number(&o, "average_precision", f->average_precision);
    json_out_number(&o, "mean_score", f->score_mean);
    json_out_end(&o);
    if (r->first_fault.text[0])
        json_out_str(&o, "first_fault", r->first_fault.text);
    json_out_end(&o);
    printf("%s\n", buf_str(&text));
    buf_release(&text);
}

/* ---- the command ---- */

static enum exit_code read_settings(const struct replay_settings *s, struct replay_conf *conf,
                                    struct reach *found)
{
    *conf = s->conf;
    if (strcmp(s->rate, "max") != 0 && (!slice_to_double(slice_str(s->rate), &conf->rate) || conf->rate <= 0))
        return command_fail(EXIT_USAGE, "--rate %s: a number above 0, or max", s->rate);
    if (!conf->in_flight)
        conf->in_flight = conf->rate > 0 ? 4096 : 64;
    if (conf->in_flight < 1 || conf->connections < 1 || conf->connections > 64 || conf->batch < 1 ||
        conf->batch > 1000 || conf->limit < 0 || conf->deadline_ms < 0 || conf->patience_s < 0)
        return command_fail(EXIT_USAGE, "a number is out of its range; see `assay help replay`");
    if (!conf->key)
        conf->key = getenv("ASSAY_KEY");
    if (!conf->urls) {
        if (!reach_api(found, s->home))
            return command_fail(EXIT_NOT_RUNNING, "nothing runs here; give --url, or start it: assay up");
        conf->urls = found->urls;
        if (!conf->ca && *found->ca)
            conf->ca = found->ca;
    }
    if (!s->is_quiet && isatty(STDERR_FILENO))
        conf->progress = stderr;
    if (s->record) {
        conf->record = fopen(s->record, "w");
        if (!conf->record)
            return command_fail(EXIT_FAILED, "%s: %s", s->record, strerror(errno));
    }
    return EXIT_DONE;
}

/* Takes the labels of a stream that is not sent. Lines that are none are passed over. */
static enum err judge_by(const char *path, struct tally *t, struct why *why)
{
    static const char label_start[] = "{\"type\":\"label\"";
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    if (!f)
        return err_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    while ((len = getline(&line, &room, f)) > 0) {
        json_t *label;

        if (strncmp(line, label_start, sizeof label_start - 1) != 0 ||
            json_parse(&label, slice_of(line, (size_t)len), JSON_DEPTH_MAX, NULL))
            continue;
        tally_label(t, json_slice(json_object_get(label, "transaction_id")),
                    json_is_true(json_object_get(label, "is_fraud")));
        json_decref(label);
    }
    free(line);
    fclose(f);
    return ERR_OK;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct replay_settings *s = settings;
    struct replay_result *result = calloc(1, sizeof *result);
    struct tally_figures figures;
    struct replay_conf conf;
    struct why why = { 0 };
    struct reach found;
    enum exit_code code;
    enum err err = ERR_OK;

    if (!result)
        abort();
    if (s->is_lifecycle) {
        free(result);
        return lifecycle_run(&s->life, operand_count ? operands[0] : s->conf.from, s->as_json, s->is_quiet);
    }
    code = read_settings(s, &conf, &found);
    if (operand_count)
        conf.from = operands[0];
    if (!code) {
        err = replay_run(&conf, result, &why);
        if (!err && s->truth)
            err = judge_by(s->truth, &result->tally, &why);
        if (err)
            code = command_end(err, &why);
        if (conf.record && fclose(conf.record))
            code = command_fail(EXIT_FAILED, "%s: %s", s->record, strerror(errno));
    }
    if (!err && result->requests) {
        tally_figures(&result->tally, &figures);
        if (s->as_json)
            print_json(result, &figures);
        else
            print_table(result, &figures);
        if (result->tally.decided < result->transactions)
            code = EXIT_FAILED;
    }
    tally_release(&result->tally);
    free(result);
    return code;
}

const struct command cmd_replay = {
    .name = "replay",
    .operands = "[<file>]",
    .operands_most = 1,
    .purpose = "Send a stream of transactions and labels through the API, and judge the answers",
    .text =
        "The stream is a JSON object a line, as `assay simulate` and `assay import` write it: transactions\n"
        "and labels in the order in which they became known. Its times are the stream's own, so the key\n"
        "must belong to an account with a simulated clock. What a service that is away keeps from being\n"
        "decided is sent again; an id is decided once. Exit status 1 when one was not decided.\n\n"
        "With --lifecycle nothing is sent. The stream, or a data set that `assay evaluate` knows, is lived\n"
        "through on its own clock in this process: a first model after 30 days, trained again by the\n"
        "schedule, and every candidate through gates, shadow and an experiment before it decides for all,\n"
        "by the code that the services run. It tells what happened with the evidence, and the average\n"
        "precision of each week beside a model that was never trained again.\n\n"
        "  assay accounts create replay --clock simulated\n"
        "  export ASSAY_KEY=$(assay keys create replay --scopes all --quiet)\n"
        "  assay simulate | assay replay\n"
        "  assay replay --from stream.ndjson --rate 2000    latency from the intended time on\n"
        "  assay replay --from stream.ndjson --in-flight 1 --limit 5000 --json | jq .latency_ms\n"
        "  assay replay --lifecycle handbook --plot weeks.svg\n"
        "  assay replay --lifecycle handbook --hide-labels --control 0.1\n"
        "  assay simulate --days 120 | assay replay --lifecycle --label-delay 30d",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct replay_settings),
    .defaults = &defaults,
    .run = run,
};
