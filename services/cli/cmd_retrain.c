/* SPDX-License-Identifier: Apache-2.0
 * cmd_retrain.c - `assay retrain`: asks the retrainer for a new model, shows what it does, and stops it. */
#include "command.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "lifestore/recipe.h"
#include "lifestore/run.h"
#include "pg/session.h"
#include "recipe_file.h"
#include "stream.h"

enum { LIST_MOST = 20, LOOK_US = 500000 };

struct retrain {
    const char *settings, *catalogue, *reason, *as_of;
    bool is_now, is_status, is_cancel, waits, as_json;
};

static const struct option options[] = {
    { "now", OPTION_FLAG, offsetof(struct retrain, is_now), NULL, "queue a run for the model of that name" },
    { "status", OPTION_FLAG, offsetof(struct retrain, is_status), NULL,
      "show one run, or the newest (default)" },
    { "cancel", OPTION_FLAG, offsetof(struct retrain, is_cancel), NULL, "end the run of that number" },
    { "wait", OPTION_FLAG, offsetof(struct retrain, waits), NULL,
      "with --now: return when the run has ended" },
    { "settings", OPTION_TEXT, offsetof(struct retrain, settings), "JSON",
      "of the run: {\"trials\": 20, \"history_days\": 120}" },
    { "catalogue", OPTION_TEXT, offsetof(struct retrain, catalogue), "NAME",
      "learn its features instead of the champion's" },
    { "reason", OPTION_TEXT, offsetof(struct retrain, reason), "TEXT", "for the record" },
    { "as-of", OPTION_TEXT, offsetof(struct retrain, as_of), "TIME",
      "as if it were then: what became known later is not used" },
    { "json", OPTION_FLAG, offsetof(struct retrain, as_json), NULL, "as JSON" },
};

/* ---- telling ---- */

static void print_json(const struct run *runs, size_t count, bool is_list)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    if (is_list)
        json_out_list(&o, NULL);
    for (size_t i = 0; i < count; i++)
        run_write(&o, NULL, &runs[i]);
    if (is_list)
        json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static void print_rows(const struct run *runs, size_t count)
{
    printf("%6s %-16s %-9s %-10s %5s %-12s %7s  %s\n", "RUN", "NAME", "CAUSE", "STATE", "DONE", "STAGE",
           "VERSION", "MESSAGE");
    for (size_t i = 0; i < count; i++) {
        const struct run *r = &runs[i];
        char version[24] = "-";

        if (r->version)
            snprintf(version, sizeof version, "%" PRId64, r->version);
        printf("%6" PRId64 " %-16.*s %-9.*s %-10s %4.0f%% %-12.*s %7s  %.*s\n", r->run, SLICE_ARG(r->name),
               SLICE_ARG(r->cause), run_state_name(r->state), 100 * r->progress, SLICE_ARG(r->stage), version,
               SLICE_ARG(r->message));
    }
}

static void print_runs(const struct retrain *c, const struct run *runs, size_t count, bool is_list)
{
    if (c->as_json)
        print_json(runs, count, is_list);
    else
        print_rows(runs, count);
}

/* ---- doing ---- */

static bool read_run(const char *text, int64_t *run)
{
    if (slice_to_i64(slice_str(text), run) && *run > 0)
        return true;
    command_fail(EXIT_USAGE, "\"%s\" is no run: `assay retrain --status` lists them", text);
    return false;
}

static enum err show(struct pg_session *s, const struct retrain *c, int64_t number, struct why *why)
{
    struct arena arena = { 0 };
    struct run run;
    enum err err = run_read(s, number, &run, &arena, why);

    if (!err)
        print_runs(c, &run, 1, false);
    arena_release(&arena);
    return err;
}

static enum err list(struct pg_session *s, const struct retrain *c, struct why *why)
{
    struct arena arena = { 0 };
    struct run *runs;
    size_t count;
    enum err err = run_list(s, 0, LIST_MOST, &runs, &count, &arena, why);

    if (!err)
        print_runs(c, runs, count, true);
    arena_release(&arena);
    return err;
}

static enum err wait_for(struct pg_session *s, int64_t number, struct why *why)
{
    struct arena arena = { 0 };
    struct run run;
    enum err err;

    while (!(err = run_read(s, number, &run, &arena, why)) &&
           (run.state == RUN_QUEUED || run.state == RUN_RUNNING)) {
        arena_reset(&arena);
        usleep(LOOK_US);
    }
    if (!err && run.state != RUN_SUCCEEDED)
        err = err_set(why, ERR_CONFLICT, "run %" PRId64 " %s: %.*s", number, run_state_name(run.state),
                      SLICE_ARG(run.message));
    arena_release(&arena);
    return err;
}

static enum err request(struct pg_session *s, const struct retrain *c, const char *name, int64_t *run,
                        struct why *why)
{
    struct run_wish wish = { .name = slice_str(name),
                             .cause = "request",
                             .reason = slice_str(c->reason),
                             .requested_by = login_name(),
                             .as_of_us = RUN_NO_TIME };
    struct buf settings;
    enum err err;

    if (c->as_of && !stream_time_parse(c->as_of, &wish.as_of_us))
        return err_set(why, ERR_INVALID, "--as-of is a day like 2018-06-01 or a time of RFC 3339");
    buf_init(&settings, 0);
    err = recipe_from_options(&settings, c->settings, c->catalogue, why);
    wish.settings = buf_slice(&settings);
    if (!err)
        err = run_request(s, &wish, run, NULL, why);
    buf_release(&settings);
    return err;
}

static enum err act(struct pg_session *s, const struct retrain *c, const char *operand, int64_t run,
                    struct why *why)
{
    enum err err = ERR_OK;

    if (c->is_now) {
        err = request(s, c, operand, &run, why);
        if (!err && c->waits)
            err = wait_for(s, run, why);
    } else if (c->is_cancel) {
        err = run_cancel(s, run, login_name(), why);
    }
    if (err)
        return err;
    return run ? show(s, c, run, why) : list(s, c, why);
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct retrain *c = settings;
    struct pg_session *s;
    struct why why = { 0 };
    int64_t number = 0;
    enum err err;

    if (c->is_now + c->is_status + c->is_cancel > 1)
        return command_fail(EXIT_USAGE, "one of --now, --status and --cancel, please");
    if ((c->is_now || c->is_cancel) && !operand_count)
        return command_fail(EXIT_USAGE,
                            c->is_now ? "--now needs the name of a model" : "--cancel needs a run");
    if (!c->is_now && operand_count && !read_run(operands[0], &number))
        return EXIT_USAGE;
    err = database_open_migrated(&s, &why);
    if (!err)
        err = act(s, c, operands[0], number, &why);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_retrain = {
    .name = "retrain",
    .operands = "[<name>|<run>]",
    .purpose = "Have a model trained again, show how far that is, or cancel it",
    .text =
        "The retrainer trains in a process of its own, one run at a time; what it makes must pass the "
        "gates,\n"
        "the shadow and the experiment before it decides anything. A run that was interrupted is taken up\n"
        "again where it was.\n\n"
        "  assay retrain --now handbook --wait\n"
        "  assay retrain --now handbook --catalogue handbook --settings '{\"trials\": 20}'\n"
        "  assay retrain --status --json\n"
        "  assay retrain --cancel 17\n\n"
        "Settings of a run, any of which may be left out:",
    .more = recipe_describe,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_most = 1,
    .settings_size = sizeof(struct retrain),
    .run = run,
};
