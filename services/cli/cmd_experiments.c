/* SPDX-License-Identifier: Apache-2.0
 * cmd_experiments.c - `assay experiments list`, `show` and `stop`. */
#include "command.h"

#include <inttypes.h>
#include <string.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "listing.h"
#include "lifestore/trial.h"
#include "pg/session.h"

enum { LIST_MOST = 100 };

struct experiments_options {
    bool as_json;
};

static bool read_number(const char *text, int64_t *number)
{
    if (slice_to_i64(slice_str(text), number) && *number > 0)
        return true;
    command_fail(EXIT_USAGE, "\"%s\" is no experiment: `assay experiments list` lists them", text);
    return false;
}

/* ---- list ---- */

static void print_trials(const struct trial *all, size_t count)
{
    char started[RFC3339_SIZE];

    printf("%10s %-16s %-6s %-12s %8s %9s %6s  %s\n", "EXPERIMENT", "NAME", "STAGE", "STATE", "CHAMPION",
           "CANDIDATE", "SHARE", "STARTED");
    for (size_t i = 0; i < count; i++) {
        const struct trial *t = &all[i];

        rfc3339_format(t->started_at_us, started);
        printf("%10" PRId64 " %-16.*s %-6.*s %-12.*s %8" PRId64 " %9" PRId64 " %5.1f%%  %s\n", t->experiment,
               SLICE_ARG(t->name), SLICE_ARG(t->stage), SLICE_ARG(t->state), t->champion, t->candidate,
               100 * t->share, started);
    }
}

static void write_trial(struct json_out *o, const void *item)
{
    trial_write(o, NULL, item);
}

static void print_trials_json(const struct trial *all, size_t count)
{
    listing_print(all, count, sizeof *all, write_trial);
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct experiments_options *o = settings;
    struct arena arena = { 0 };
    struct trial *all;
    size_t count;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = trial_list(s, false, LIST_MOST, &all, &count, &arena, &why);
    if (!err)
        (o->as_json ? print_trials_json : print_trials)(all, count);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct option json_options[] = {
    { "json", OPTION_FLAG, offsetof(struct experiments_options, as_json), NULL, "as JSON" },
};

const struct command cmd_experiments_list = {
    .name = "experiments list",
    .operands = "",
    .purpose = "List the candidates that were tried beside a champion",
    .options = json_options,
    .option_count = ARRAY_LEN(json_options),
    .settings_size = sizeof(struct experiments_options),
    .run = list,
};

/* ---- show ---- */

static void print_verdicts(const struct verdict_row *all, size_t count)
{
    char at[RFC3339_SIZE];

    for (size_t i = 0; i < count; i++) {
        const struct verdict_row *v = &all[i];

        rfc3339_format(v->at_us, at);
        printf("\n%s %.*s: %.*s\n  %.*s\n  %.*s\n", at, SLICE_ARG(v->gate), SLICE_ARG(v->outcome),
               SLICE_ARG(v->reason), SLICE_ARG(v->evidence));
    }
}

static void print_trial(const struct trial *t)
{
    char at[RFC3339_SIZE];

    print_trials(t, 1);
    if (t->ended_at_us != TRIAL_NO_TIME) {
        rfc3339_format(t->ended_at_us, at);
        printf("ended %s by %.*s\n", at, SLICE_ARG(t->ended_by));
    }
    printf("design   %.*s\nprogress %.*s\n", SLICE_ARG(t->design), SLICE_ARG(t->progress));
}

static void print_json(const struct trial *t, const struct verdict_row *all, size_t count)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    trial_write(&o, "experiment", t);
    json_out_list(&o, "verdicts");
    for (size_t i = 0; i < count; i++)
        verdict_row_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct experiments_options *o = settings;
    struct arena arena = { 0 };
    struct verdict_row *verdicts;
    struct trial trial;
    size_t count;
    int64_t number;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    if (!read_number(operands[0], &number))
        return EXIT_USAGE;
    err = database_open_migrated(&s, &why);
    if (!err)
        err = trial_read(s, number, &trial, &arena, &why);
    if (!err)
        err = verdict_list(s, 0, number, &verdicts, &count, &arena, &why);
    if (!err && o->as_json) {
        print_json(&trial, verdicts, count);
    } else if (!err) {
        print_trial(&trial);
        print_verdicts(verdicts, count);
    }
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_experiments_show = {
    .name = "experiments show",
    .operands = "<experiment>",
    .purpose = "Show an experiment with all that was found in it",
    .options = json_options,
    .option_count = ARRAY_LEN(json_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct experiments_options),
    .run = show,
};

/* ---- stop ---- */

static enum exit_code stop(const void *settings, char **operands, size_t operand_count)
{
    const struct experiments_options *o = settings;
    struct arena arena = { 0 };
    struct trial trial;
    int64_t number;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    if (!read_number(operands[0], &number))
        return EXIT_USAGE;
    err = database_open_migrated(&s, &why);
    if (!err)
        err = trial_stop(s, number, login_name(), clock_wall_us(), &why);
    if (!err)
        err = trial_read(s, number, &trial, &arena, &why);
    if (!err)
        (o->as_json ? print_trials_json : print_trials)(&trial, 1);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_experiments_stop = {
    .name = "experiments stop",
    .operands = "<experiment>",
    .purpose = "End an experiment; its candidate decides nothing any more",
    .text = "The candidate stays validated, and is not tried again by itself: promote it, or have a new one "
            "trained.",
    .options = json_options,
    .option_count = ARRAY_LEN(json_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct experiments_options),
    .run = stop,
};
