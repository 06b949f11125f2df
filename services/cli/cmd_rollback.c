/* SPDX-License-Identifier: Apache-2.0
 * cmd_rollback.c - `assay rollback`: the champion before is the champion again. */
#include "command.h"

#include <inttypes.h>

#include "account.h"
#include "base/array.h"
#include "database.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "versions.h"

struct rollback_settings {
    const char *expect, *reason;
    bool waits, as_json;
};

/* The only name that has a champion.   ERR_NOT_FOUND  there is none   ERR_INVALID  there are several */
static enum err find_name(struct pg_session *s, char name[BUNDLE_NAME_MAX + 1], struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec(s, "SELECT name FROM aliases WHERE alias = 'champion'", NULL, &r, why);

    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no champion");
    else if (!err && pg_rows(r) > 1)
        err = err_set(why, ERR_INVALID, "%zu names have a champion: say which", pg_rows(r));
    else if (!err)
        snprintf(name, BUNDLE_NAME_MAX + 1, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
    pg_result_free(r);
    return err;
}

static void print(const struct rollback_settings *settings, const char *name, int64_t version,
                  bool is_changed, const struct in_effect *effect)
{
    struct json_out o;
    struct buf text;

    if (!settings->as_json) {
        printf("version %" PRId64 " is the champion of %s %s", version, name,
               is_changed ? "again" : "already, by the rollback before");
        in_effect_print(effect);
        return;
    }
    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_str(&o, "name", name);
    json_out_int(&o, "version", version);
    json_out_bool(&o, "is_changed", is_changed);
    in_effect_write(&o, effect);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static enum exit_code run(const void *given, char **operands, size_t operand_count)
{
    const struct rollback_settings *settings = given;
    const struct model_change how = { .actor = login_name(), .reason = slice_str(settings->reason) };
    char name[BUNDLE_NAME_MAX + 1] = "";
    struct in_effect effect = { 0 };
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t version, expected;
    bool is_changed = false;
    enum err err;

    if (!version_read_expected(settings->expect, &expected))
        return EXIT_USAGE;
    err = database_open_migrated(&s, &why);
    if (!err && operand_count)
        snprintf(name, sizeof name, "%s", operands[0]);
    else if (!err)
        err = find_name(s, name, &why);
    if (!err)
        err = model_roll_back(s, slice_str(name), expected, &how, &version, &is_changed, &why);
    if (!err && settings->waits)
        err = in_effect_wait(s, name, version, &effect, &why);
    if (!err)
        print(settings, name, version, is_changed, &effect);
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct option options[] = {
    { "expect", OPTION_TEXT, offsetof(struct rollback_settings, expect), "VERSION",
      "take back this one only" },
    { "reason", OPTION_TEXT, offsetof(struct rollback_settings, reason), "TEXT", "why, for the audit" },
    { "wait", OPTION_FLAG, offsetof(struct rollback_settings, waits), NULL,
      "return once every process that scores serves it, and say how long that took" },
    { "json", OPTION_FLAG, offsetof(struct rollback_settings, as_json), NULL, "as JSON" },
};

static const struct rollback_settings defaults = { .reason = "" };

const struct command cmd_rollback = {
    .name = "rollback",
    .operands = "[name]",
    .purpose = "Make the previous champion of a name the champion again",
    .text =
        "The whole bundle goes back: model, calibration and thresholds together. Rule sets stay as they\n"
        "are. It is in effect in well under a second, as scoring has that model loaded. To say it twice is\n"
        "to say it once. Without a name it is the only one that has a champion.\n\n"
        "  assay rollback --expect 17 --reason \"declines doubled\" --wait",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_most = 1,
    .settings_size = sizeof(struct rollback_settings),
    .defaults = &defaults,
    .run = run,
};
