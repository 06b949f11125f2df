/* SPDX-License-Identifier: Apache-2.0
 * cmd_schedule.c - `assay schedule list`, `set` and `remove`: when models are retrained. */
#include "command.h"

#include <string.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "lifestore/due.h"
#include "lifestore/schedule.h"
#include "pg/session.h"
#include "recipe_file.h"

struct schedule_options {
    const char *zone, *settings, *catalogue;
    bool is_off, as_json;
};

/* ---- list ---- */

static void print_json(const struct schedule *all, size_t count, int64_t now_us)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_list(&o, NULL);
    for (size_t i = 0; i < count; i++)
        schedule_write(&o, NULL, &all[i], due_of(&all[i], now_us));
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static const char *time_text(int64_t at_us, char text[RFC3339_SIZE])
{
    if (at_us == SCHEDULE_NEVER)
        return "-";
    rfc3339_format(at_us, text);
    return text;
}

static void print_rows(const struct schedule *all, size_t count, int64_t now_us)
{
    char fired[RFC3339_SIZE], next[RFC3339_SIZE];

    printf("%-16s %-20s %-20s %-3s %-28s %s\n", "NAME", "CRON", "ZONE", "ON", "FIRED", "NEXT");
    for (size_t i = 0; i < count; i++)
        printf("%-16.*s %-20.*s %-20.*s %-3s %-28s %s\n", SLICE_ARG(all[i].name), SLICE_ARG(all[i].cron),
               SLICE_ARG(all[i].zone), all[i].is_enabled ? "yes" : "no", time_text(all[i].fired_at_us, fired),
               time_text(due_of(&all[i], now_us), next));
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct schedule_options *o = settings;
    struct arena arena = { 0 };
    struct schedule *all;
    size_t count;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = schedule_list(s, &all, &count, &arena, &why);
    if (!err)
        (o->as_json ? print_json : print_rows)(all, count, clock_wall_us());
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct option list_options[] = {
    { "json", OPTION_FLAG, offsetof(struct schedule_options, as_json), NULL, "as JSON" },
};

const struct command cmd_schedule_list = {
    .name = "schedule list",
    .operands = "",
    .purpose = "List when models are retrained",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .settings_size = sizeof(struct schedule_options),
    .run = list,
};

/* ---- set ---- */

static enum exit_code set(const void *settings, char **operands, size_t operand_count)
{
    const struct schedule_options *o = settings;
    struct schedule put = { .name = slice_str(operands[0]),
                            .cron = slice_str(operands[1]),
                            .zone = slice_str(o->zone),
                            .is_enabled = !o->is_off };
    struct due *due = NULL;
    struct buf recipe;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    buf_init(&recipe, 0);
    err = due_open(&due, put.cron, put.zone, &why);
    due_close(due);
    if (!err)
        err = recipe_from_options(&recipe, o->settings, o->catalogue, &why);
    if (!err)
        err = database_open_migrated(&s, &why);
    put.settings = buf_slice(&recipe);
    if (!err)
        err = schedule_put(s, &put, login_name(), &why);
    pg_session_close(s);
    buf_release(&recipe);
    if (!err)
        printf("%s is retrained at \"%s\" %s%s\n", operands[0], operands[1], o->zone,
               o->is_off ? " (off)" : "");
    return command_end(err, &why);
}

static const struct option set_options[] = {
    { "zone", OPTION_TEXT, offsetof(struct schedule_options, zone), "NAME",
      "in whose time, as Europe/Berlin (UTC)" },
    { "settings", OPTION_TEXT, offsetof(struct schedule_options, settings), "JSON", "of its runs" },
    { "catalogue", OPTION_TEXT, offsetof(struct schedule_options, catalogue), "NAME",
      "learn its features instead of the champion's" },
    { "off", OPTION_FLAG, offsetof(struct schedule_options, is_off), NULL, "keep it, and let it rest" },
};
static const struct schedule_options set_defaults = { .zone = "UTC" };

const struct command cmd_schedule_set = {
    .name = "schedule set",
    .operands = "<name> <cron>",
    .purpose = "Say when a model is retrained: five fields of cron, in a time zone",
    .text =
        "minute, hour, day of month, month, day of week; @daily and the like too. A time that daylight\n"
        "saving skips runs when the gap ends; one that comes twice runs once. Times that passed while the\n"
        "retrainer was away make one run, as of the last of them.\n\n"
        "  assay schedule set handbook '30 3 * * mon' --zone Europe/Berlin",
    .options = set_options,
    .option_count = ARRAY_LEN(set_options),
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct schedule_options),
    .defaults = &set_defaults,
    .run = set,
};

/* ---- remove ---- */

static enum exit_code take_away(const void *settings, char **operands, size_t operand_count)
{
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)settings;
    (void)operand_count;
    if (!err)
        err = schedule_remove(s, slice_str(operands[0]), login_name(), &why);
    pg_session_close(s);
    if (!err)
        printf("%s has no schedule any more\n", operands[0]);
    return command_end(err, &why);
}

const struct command cmd_schedule_remove = {
    .name = "schedule remove",
    .operands = "<name>",
    .purpose = "Take a model's schedule away",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct schedule_options),
    .run = take_away,
};
