/* SPDX-License-Identifier: Apache-2.0
 * cmd_slice_report.c - `assay slice report`: what the declines are worth, by inverse probability. */
#include "command.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "database.h"
#include "json/json_out.h"
#include "pg/session.h"
#include "policystore/slice_report.h"
#include "stream.h"

struct report_settings {
    const char *account, *from, *to, *as_of, *model, *arm, *thresholds;
    int64_t mature_days, rounds;
    bool as_json;
};

static const struct report_settings defaults = {
    .account = "", .model = "", .arm = "", .thresholds = SLICE_THRESHOLDS, .mature_days = 30, .rounds = 1000
};

struct report {
    const struct report_settings *settings;
    struct outcomes_query query;
    struct slice_report told;
};

/* ---- what to look at ---- */

static bool read_time(const char *text, int64_t *at_us)
{
    return !text || stream_time_parse(text, at_us);
}

static enum err find_span(struct pg_session *s, struct report *r, struct why *why)
{
    int64_t newest_us = r->query.as_of_us;
    enum err err = ERR_OK;

    if (r->settings->to)
        return ERR_OK;
    if (!r->settings->as_of)
        err = slice_newest(s, r->query.account, &newest_us, why);
    r->query.to_us = newest_us - r->settings->mature_days * DAY_US;
    return err;
}

/* ---- telling ---- */

static void print_json(const struct report *r)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    slice_report_write(&o, &r->told, &r->query);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static void print_rate(const struct resampled *f)
{
    if (isnan(f->value))
        printf(" %-22s", "-");
    else if (isnan(f->interval.low))
        printf(" %5.1f%%                ", 100 * f->value);
    else
        printf(" %5.1f%% (%5.1f to %5.1f)", 100 * f->value, 100 * f->interval.low, 100 * f->interval.high);
}

static void print_line(const struct slice_line *l)
{
    const struct resampled *f = l->w.figures;

    if (l->is_policy)
        printf("%-9s", "in force");
    else
        printf("%-9.4g", l->threshold);
    print_rate(&f[WEIGHTED_precision]);
    print_rate(&f[WEIGHTED_recall]);
    printf(" %8.0f %13.0f %13.0f %13.0f %7.0f %9zu\n", f[WEIGHTED_flagged].value,
           f[WEIGHTED_money_caught].value, f[WEIGHTED_money_lost].value, f[WEIGHTED_money_turned_away].value,
           l->w.effective, l->w.excluded_flagged);
}

static void print_text(const struct report *r)
{
    const struct outcomes *o = &r->told.outcomes;
    char to[RFC3339_SIZE];

    rfc3339_format(r->query.to_us, to);
    printf("%zu decisions by the score before %s, %zu of them let through by the control slice.\n"
           "%zu were decided otherwise (lists, rules, missing parts) and do not count here.\n",
           o->n, to, o->let_through, o->others);
    if (o->untold)
        printf("%zu have records that do not say what decided, and do not count.\n", o->untold);
    printf("\n%-9s %-23s%-23s%8s %13s %13s %13s %7s %9s\n", "DECLINE", "PRECISION", "RECALL", "DECLINES",
           "CAUGHT", "LOST", "TURNED AWAY", "EFFECT.", "UNCOVERED");
    for (size_t i = 0; i < r->told.count; i++)
        print_line(&r->told.lines[i]);
    printf("\nIntervals are of 95 %%, by the bootstrap over customers; money is in minor units of the base "
           "currency.\nEffective below 30: believe the interval, not the figure. Uncovered: declines that "
           "had no "
           "chance to be let\nthrough; no figure speaks for them.\n");
    if (o->let_through == 0)
        printf("Nothing was let through: whatever was declined is unknown, and only what was not can be "
               "told.\n");
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct report_settings *v = settings;
    struct report *r = mem_new(struct report);
    enum exit_code code = EXIT_DONE;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t account = 0;
    enum err err;

    (void)operands;
    (void)operand_count;
    r->settings = v;
    r->query = (struct outcomes_query){ .from_us = INT64_MIN, .to_us = INT64_MAX, .as_of_us = INT64_MAX };
    r->query.model = slice_str(v->model);
    r->query.arm = slice_str(v->arm);
    if (!read_time(v->from, &r->query.from_us) || !read_time(v->to, &r->query.to_us) ||
        !read_time(v->as_of, &r->query.as_of_us) ||
        !slice_thresholds_read(&r->told, slice_str(v->thresholds)) || v->mature_days < 0 ||
        v->mature_days > 3650 || v->rounds < 0 || v->rounds > 100000) {
        mem_free(r);
        return command_fail(EXIT_USAGE,
                            "times are days like 2018-06-01 or of RFC 3339, --thresholds up to %d "
                            "figures from 0 to 1 with commas between them",
                            SLICE_THRESHOLDS_MAX);
    }
    err = database_open_migrated(&s, &why);
    if (!err)
        err = account_find(s, v->account, &account, &why);
    r->query.account = (uint32_t)account;
    if (!err)
        err = find_span(s, r, &why);
    if (!err)
        err = slice_report_read(&r->told, s, &r->query, (size_t)v->rounds, &why);
    if (err)
        code = command_end(err, &why);
    else if (v->as_json)
        print_json(r);
    else
        print_text(r);
    slice_report_release(&r->told);
    pg_session_close(s);
    mem_free(r);
    return code;
}

#define AT(field) offsetof(struct report_settings, field)
static const struct option options[] = {
    { "from", OPTION_TEXT, AT(from), "DAY", "decisions from then on (all)" },
    { "to", OPTION_TEXT, AT(to), "DAY", "and before then (as old as --mature-days)" },
    { "mature-days", OPTION_INT, AT(mature_days), "N", "age at which labels have come (30)" },
    { "as-of", OPTION_TEXT, AT(as_of), "DAY", "as it was known then (now)" },
    { "account", OPTION_TEXT, AT(account), "NAME", "of this account (all)" },
    { "model", OPTION_TEXT, AT(model), "VERSION", "by this model (any)" },
    { "arm", OPTION_TEXT, AT(arm), "ARM", "champion, challenger or fallback (any)" },
    { "thresholds", OPTION_TEXT, AT(thresholds), "P,P,...", "to decline at instead" },
    { "rounds", OPTION_INT, AT(rounds), "N", "of the bootstrap (1000); 0: no intervals" },
    { "json", OPTION_FLAG, AT(as_json), NULL, "as JSON" },
};

const struct command cmd_slice_report = {
    .name = "slice report",
    .operands = "",
    .purpose = "Estimate precision, recall and money of the score's declines",
    .text = "Of the declines only those that the control slice let through get labels; each stands for 1 / "
            "p_allow of them.\n"
            "Told of the policy in force and of what declining at other thresholds would have done, with "
            "intervals.\n\n"
            "  assay slice report --from 2026-01-01 --model 17",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .settings_size = sizeof(struct report_settings),
    .defaults = &defaults,
    .run = run,
};
