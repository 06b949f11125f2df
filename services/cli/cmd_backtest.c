/* SPDX-License-Identifier: Apache-2.0
 * cmd_backtest.c - `assay rules backtest`. */
#include "command.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "backteststore/run.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "home.h"
#include "pg/session.h"
#include "rules_file.h"
#include "spark.h"
#include "stream.h"

struct backtest_settings {
    const char *account, *from, *to, *against, *cache;
    int64_t model, threads, examples, cache_gb, settle_s;
    double label_delay;
    bool as_json, as_it_was, no_cache;
};

static const struct backtest_settings defaults = {
    .account = "",
    .from = "",
    .to = "",
    .against = "",
    .cache = "",
    .examples = 5,
    .cache_gb = 64,
    .settle_s = ARCHIVE_SETTLE_S,
    .label_delay = (double)BACKTEST_LABEL_DELAY_US / (double)DAY_US,
};

enum { COLUMNS = 60 };

/* ---- the question ---- */

/* A day, or a moment as RFC 3339 has it; `none` when nothing is said. */
static enum err read_time(const char *text, int64_t none, int64_t *at_us, struct why *why)
{
    *at_us = none;
    if (!*text || stream_time_parse(text, at_us))
        return ERR_OK;
    return err_set(why, ERR_INVALID, "\"%s\" is no day and no time: 2026-11-21, or 2026-11-21T18:00:00Z",
                   text);
}

static enum err read_against(const struct backtest_settings *b, struct backtest_question *q, struct why *why)
{
    struct slice text = slice_str(b->against);

    q->against = b->as_it_was ? AGAINST_DECIDED : AGAINST_LIVE;
    if (!text.len || slice_eq_str(text, "live")) {
        if (text.len)
            q->against = AGAINST_LIVE;
        return ERR_OK;
    }
    q->against = AGAINST_DECIDED;
    if (slice_eq_str(text, "decided"))
        return ERR_OK;
    q->against = AGAINST_VERSION;
    if (slice_to_i64(text, &q->against_version) && q->against_version > 0)
        return ERR_OK;
    return err_set(why, ERR_INVALID, "--against is live, decided or a version, not \"%s\"", b->against);
}

static enum err read_asked(const struct backtest_settings *b, char **operands, size_t count,
                           struct backtest_question *q, struct buf *json, struct why *why)
{
    enum err err;

    q->as_it_was = b->as_it_was;
    if (b->as_it_was)
        return count == 0
                   ? ERR_OK
                   : err_set(why, ERR_INVALID, "--as-it-was asks about the sets of the time, no other");
    if (count == 0)
        return err_set(why, ERR_INVALID, "a file or a version is asked about, or --as-it-was");
    if (slice_to_i64(slice_str(operands[0]), &q->version) && q->version > 0)
        return ERR_OK;
    err = rules_file_read(json, operands[0], why);
    q->document = buf_slice(json);
    return err;
}

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
    const char *what = context;

    fprintf(stderr, "\r%s %" PRIu64 " of %" PRIu64 " decisions ", what, done, total);
    return true;
}

/* Where the history is kept: as told, or below ASSAY_HOME when there is one. */
static bool find_cache(const struct backtest_settings *b, char path[PATH_MAX])
{
    char home[PATH_MAX];

    if (b->no_cache)
        return false;
    if (*b->cache)
        return snprintf(path, PATH_MAX, "%s", b->cache) < PATH_MAX;
    return home_find(home, NULL) && home_path(path, home, "backtests");
}

static enum err read_question(const struct backtest_settings *b, char **operands, size_t count,
                              struct backtest_question *q, struct buf *json, struct why *why)
{
    enum err err = read_time(b->from, INT64_MIN, &q->from_us, why);

    if (!err)
        err = read_time(b->to, INT64_MAX, &q->to_us, why);
    if (!err)
        err = read_against(b, q, why);
    if (!err)
        err = read_asked(b, operands, count, q, json, why);
    if (!err && !(b->label_delay >= 0 && b->label_delay <= 3650))
        err = err_set(why, ERR_INVALID, "--label-delay is 0 to 3650 days");
    if (!err && (b->examples < 0 || b->threads < 0 || b->cache_gb < 0 || b->settle_s < 0 || b->model < 0))
        err = err_set(why, ERR_INVALID, "a number below 0");
    if (err)
        return err;
    q->model = b->model;
    q->label_delay_us = (int64_t)(b->label_delay * (double)DAY_US);
    q->examples_most = (size_t)b->examples;
    q->threads = (size_t)b->threads;
    q->history.disk_most = (uint64_t)b->cache_gb << 30;
    q->history.settle_us = b->settle_s * SECOND_US;
    if (!b->as_json && isatty(STDERR_FILENO)) {
        q->history.hook = on_progress;
        q->history.context = (void *)"backtest:";
    }
    return ERR_OK;
}

/* ---- the answer, for people ---- */

static void print_share(double share)
{
    if (isnan(share))
        printf(" %9s", "-");
    else
        printf(" %8.1f%%", 100 * share);
}

static void print_precision(const struct backtest_figures *f)
{
    if (isnan(f->precision))
        printf(" %24s", "-");
    else
        printf(" %6.1f%% (%5.1f to %5.1f%%)", 100 * f->precision, 100 * f->precision_interval.low,
               100 * f->precision_interval.high);
}

static double money(int64_t minor)
{
    return (double)minor / 100;
}

static void print_side(const struct backtest_result *r, bool of_asked, struct slice name)
{
    struct backtest_cell actions[ACTION_COUNT], all = backtest_all(r), acted;
    struct backtest_figures f;

    backtest_actions(r, of_asked, actions);
    acted = backtest_acted(actions);
    f = backtest_figures(&acted, &all);
    printf("%-20.*s", SLICE_ARG(name));
    for (size_t i = 0; i < ACTION_COUNT; i++)
        printf(" %9" PRIu64, actions[i].count);
    print_precision(&f);
    print_share(f.recall);
    printf(" %14.2f %14.2f %9.1f\n", money(acted.fraud_money), money(actions[ACTION_DECLINE].good_money),
           backtest_reviews(r, of_asked));
}

/* Hits a day as a line of at most COLUMNS places, each one or several days. */
static void print_days(const struct backtest_result *r, const struct backtest_rule *rule)
{
    size_t each = r->days / COLUMNS + 1, places = (r->days + each - 1) / each;
    double values[COLUMNS + 1] = { 0 }, most = 0;
    struct buf line = { 0 };

    for (size_t i = 0; i < r->days; i++)
        values[i / each] += rule->by_day[i];
    for (size_t i = 0; i < places; i++)
        most = values[i] > most ? values[i] : most;
    spark_line(&line, values, places, most, spark_has_blocks());
    printf("  %s\n", buf_str(&line));
    buf_release(&line);
}

static void print_rules(const struct backtest_result *r)
{
    struct backtest_cell all = backtest_all(r);
    size_t days = backtest_busy_days(r);

    printf("\n%-24s %-9s %9s %9s %8s %24s %9s %12s %12s %10s  %s\n", "RULE", "ACTION", "HITS", "A DAY",
           "DECIDES", "PRECISION (95 %)", "RECALL", "CAUGHT", "GOOD HIT", "ALONE", "BY DAY");
    for (size_t i = 0; i < r->rule_count; i++) {
        const struct backtest_rule *rule = &r->rules[i];
        struct backtest_figures f = backtest_figures(&rule->mature, &all);

        printf("%-24.*s %-9s %9" PRIu64 " %9.1f %8" PRIu64, SLICE_ARG(rule->rule->id),
               rule->rule->tag.len ? "tag" : action_name(rule->rule->action), rule->hits,
               days ? (double)rule->hits / (double)days : 0, rule->decides);
        print_precision(&f);
        print_share(f.recall);
        printf(" %12.2f %12.2f %10" PRIu64, money(rule->mature.fraud_money), money(rule->mature.good_money),
               rule->alone.fraud);
        print_days(r, rule);
        if (rule->errs)
            printf("  could not be evaluated %" PRIu64 " times\n", rule->errs);
    }
}

static void print_overlap(const struct backtest_result *r)
{
    size_t places[BACKTEST_OVERLAP_MAX];
    size_t count = r->overlap ? backtest_busiest(r, places, 8) : 0;

    if (count < 2)
        return;
    printf("\nOf the hits of a rule, the share that the other hits too:\n%-24s", "");
    for (size_t i = 0; i < count; i++)
        printf(" %12.12s", r->rules[places[i]].rule->id.ptr);
    printf("\n");
    for (size_t i = 0; i < count; i++) {
        const struct backtest_rule *rule = &r->rules[places[i]];

        printf("%-24.*s", SLICE_ARG(rule->rule->id));
        for (size_t k = 0; k < count; k++) {
            uint32_t both = r->overlap[places[i] * r->rule_count + places[k]];

            printf(" %11.0f%%", rule->hits ? 100.0 * both / (double)rule->hits : 0);
        }
        printf("\n");
    }
}

static void print_example(const struct backtest_result *r, const struct backtest_example *e)
{
    static const char *const labels[] = { [LABEL_NONE] = "", [LABEL_GOOD] = "good", [LABEL_FRAUD] = "fraud" };
    char at[RFC3339_SIZE];

    rfc3339_format(e->known_at_us, at);
    printf("    %s  %s  %.2f  %s", e->id, at, money(e->amount_base_minor), labels[e->label]);
    if (e->rule != SIZE_MAX)
        printf("  by %.*s", SLICE_ARG(r->rules[e->rule].rule->id));
    printf("%s%s\n", *e->degraded ? "  degraded: " : "", e->degraded);
}

static void print_changes(const struct backtest_result *r)
{
    uint64_t same = 0, other = 0;

    for (size_t a = 0; a < ACTION_COUNT; a++) {
        for (size_t b = 0; b < ACTION_COUNT; b++)
            *(a == b ? &same : &other) += r->change[a][b].count;
    }
    printf("\n%" PRIu64 " decisions stay as they are, %" PRIu64 " change.\n", same, other);
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        for (size_t b = 0; b < ACTION_COUNT; b++) {
            const struct backtest_cell *c = &r->change[a][b];

            if (a == b || c->count == 0)
                continue;
            printf("  %s -> %s: %" PRIu64 " (%" PRIu64 " fraud, %" PRIu64 " good, %" PRIu64
                   " not known), %.2f in all\n",
                   action_name((enum action)a), action_name((enum action)b), c->count, c->fraud, c->good,
                   c->unknown, money(c->money));
            for (size_t i = 0; i < r->example_count[a][b]; i++)
                print_example(r, &r->examples[a][b][i]);
        }
    }
}

static void print_notes(const struct backtest_answer *a)
{
    const struct backtest_result *r = backtest_answer_result(a);
    struct archive_counts counts = backtest_answer_history(a);
    const struct slice *absent;
    size_t absent_count = backtest_answer_absent(a, &absent);
    int64_t history_us, run_us;

    backtest_answer_times(a, &history_us, &run_us);
    for (size_t i = 0; i < absent_count; i++)
        printf("\nSome decisions were served without %.*s: it counts as missing there.",
               SLICE_ARG(absent[i]));
    if (absent_count)
        printf("\n");
    if (r->unversioned)
        printf("\n%" PRIu64 " decisions were made by a rule set that is not there: they stand as decided.\n",
               r->unversioned);
    if (counts.unreadable)
        printf("\n%" PRIu64 " decisions cannot be read and are left out.\n", counts.unreadable);
    printf("\nHistory: %" PRIu64 " decisions kept, %" PRIu64 " added, %" PRIu64
           " read for this time only (%.2f s); run: %.2f s\n",
           counts.kept, counts.built, counts.tail, (double)history_us / 1e6, (double)run_us / 1e6);
}

static void print_answer(const struct backtest_answer *a)
{
    const struct backtest_result *r = backtest_answer_result(a);
    const struct backtest_options *o = backtest_answer_options(a);
    char first[16], last[16];

    if (r->rows == 0) {
        printf("There are no decisions in that span.\n");
        return;
    }
    backtest_day_name(r->first_day, first);
    backtest_day_name(r->first_day + (int64_t)r->days - 1, last);
    printf("%" PRIu64 " decisions from %s to %s. Rates are of the %zu days whose labels are mature\n"
           "(ended %.1f days ago or more); %zu days are not.\n\n",
           r->rows, first, last, backtest_mature_days(r), (double)o->label_delay_us / (double)DAY_US,
           backtest_busy_days(r) - backtest_mature_days(r));
    printf("%-20s %9s %9s %9s %9s %24s %9s %14s %14s %9s\n", "ON MATURE DAYS", "APPROVE", "CHALLENGE",
           "REVIEW", "DECLINE", "PRECISION (95 %)", "RECALL", "CAUGHT", "GOOD DECLINED", "REVIEWS/D");
    print_side(r, true, backtest_answer_asked(a));
    print_side(r, false, backtest_answer_compared(a));
    if (r->rule_count)
        print_rules(r);
    print_overlap(r);
    print_changes(r);
    print_notes(a);
}

static void print_json(const struct backtest_answer *a)
{
    struct buf text = { 0 };
    struct json_out o = json_out_to(&text);

    backtest_answer_write(&o, NULL, a);
    printf("%s\n", buf_str(&text));
    buf_release(&text);
}

/* ---- the command ---- */

static enum exit_code backtest(const void *settings, char **operands, size_t operand_count)
{
    const struct backtest_settings *b = settings;
    struct backtest_question q = { 0 };
    struct backtest_answer *answer = NULL;
    struct pg_session *s = NULL;
    struct buf json = { 0 };
    struct why why = { 0 };
    char cache[PATH_MAX];
    enum err err = read_question(b, operands, operand_count, &q, &json, &why);

    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = account_find(s, b->account, &q.account, &why);
    if (!err && find_cache(b, cache))
        q.history.directory = cache;
    if (!err)
        err = backtest_ask(&answer, s, &q, &why);
    if (q.history.hook)
        fprintf(stderr, "\r%60s\r", "");
    if (!err && b->as_json)
        print_json(answer);
    else if (!err)
        print_answer(answer);
    backtest_answer_free(answer);
    pg_session_close(s);
    buf_release(&json);
    return command_end(err, &why);
}

#define SETTING(field) offsetof(struct backtest_settings, field)
static const struct option options[] = {
    { "from", OPTION_TEXT, SETTING(from), "TIME", "decisions known from then on: a day, or RFC 3339 (all)" },
    { "to", OPTION_TEXT, SETTING(to), "TIME", "and before then" },
    { "against", OPTION_TEXT, SETTING(against), "WHAT", "live, decided, or a version (live)" },
    { "as-it-was", OPTION_FLAG, SETTING(as_it_was), NULL,
      "each decision by the set of its time, against what was decided" },
    { "model", OPTION_INT, SETTING(model), "VERSION",
      "scores and thresholds of this model, not those of the time" },
    { "account", OPTION_TEXT, SETTING(account), "NAME", "decisions of this account only (all)" },
    { "label-delay", OPTION_NUMBER, SETTING(label_delay), "DAYS", "after which labels count as mature (7)" },
    { "examples", OPTION_INT, SETTING(examples), "N", "of each change of action (5)" },
    { "json", OPTION_FLAG, SETTING(as_json), NULL, "the report as JSON" },
    { "threads", OPTION_INT, SETTING(threads), "N", "0: one for each processor (0)" },
    { "cache", OPTION_TEXT, SETTING(cache), "DIR", "where the history is kept ($ASSAY_HOME/backtests)" },
    { "cache-gb", OPTION_INT, SETTING(cache_gb), "N", "disk that it may take; 0: no limit (64)" },
    { "settle", OPTION_INT, SETTING(settle_s), "SECONDS", "what was decided since is not kept yet (60)" },
    { "no-cache", OPTION_FLAG, SETTING(no_cache), NULL, "keep nothing" },
};

const struct command cmd_rules_backtest = {
    .name = "rules backtest",
    .operands = "[file or version]",
    .purpose = "Show what a rule set would have done",
    .text =
        "Every decision of the past goes once more through the whole policy: with the features, score and\n"
        "thresholds that it had, and the lists as they were. Beside it stands the set in force, or what was\n"
        "decided then.\n"
        "The first time, the history is read from PostgreSQL and kept; after that only what is new is read,\n"
        "and only rules that were changed are evaluated.\n\n"
        "  assay rules backtest my-rules.yaml --from 2026-09-01\n"
        "  assay rules backtest 12 --against 11 --json\n"
        "  assay rules backtest --as-it-was --examples 100",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_most = 1,
    .settings_size = sizeof(struct backtest_settings),
    .defaults = &defaults,
    .run = backtest,
};
