/* SPDX-License-Identifier: Apache-2.0
 * cmd_promote.c - `assay promote`: a model becomes the champion of its name. */
#include "command.h"

#include <inttypes.h>

#include "account.h"
#include "base/array.h"
#include "database.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "trust.h"
#include "versions.h"

struct promote_settings {
    const char *expect, *reason;
    bool waits, as_json;
};

static void print(const struct promote_settings *settings, const struct model_info *m, int64_t before,
                  const struct in_effect *effect)
{
    struct json_out o;
    struct buf text;

    if (!settings->as_json) {
        printf("version %" PRId64 " is the champion of %s", m->version, m->name);
        if (before == m->version)
            printf(", as it was");
        else if (before != MODEL_NONE)
            printf(" in the place of %" PRId64, before);
        in_effect_print(effect);
        if (before != m->version && m->state == MODEL_REGISTERED)
            puts("no gate has looked at it: it was promoted by your word alone");
        return;
    }
    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_str(&o, "name", m->name);
    json_out_int(&o, "version", m->version);
    if (before == MODEL_NONE)
        json_out_null(&o, "before");
    else
        json_out_int(&o, "before", before);
    json_out_bool(&o, "is_changed", before != m->version);
    json_out_str(&o, "state_before", model_state_name(m->state));
    in_effect_write(&o, effect);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static enum exit_code run(const void *given, char **operands, size_t operand_count)
{
    const struct promote_settings *settings = given;
    struct model_change how = { .actor = login_name(), .reason = slice_str(settings->reason) };
    struct in_effect effect = { 0 };
    struct pg_session *s = NULL;
    struct arena arena = { 0 };
    struct why why = { 0 };
    struct model_info m;
    int64_t version, expected, before = MODEL_NONE;
    enum err err;

    (void)operand_count;
    if (!version_read(operands[0], &version) || !version_read_expected(settings->expect, &expected))
        return EXIT_USAGE;
    err = trust_read(&how.keys, &arena, &why);
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = model_find(s, version, &m, &why);
    if (!err)
        err = model_find_alias(s, slice_str(m.name), "champion", &before, &why);
    if (!err)
        err = model_promote(s, version, expected, &how, &why);
    if (!err && settings->waits)
        err = in_effect_wait(s, m.name, version, &effect, &why);
    if (!err)
        print(settings, &m, before, &effect);
    pg_session_close(s);
    arena_release(&arena);
    return command_end(err, &why);
}

static const struct option options[] = {
    { "expect", OPTION_TEXT, offsetof(struct promote_settings, expect), "VERSION",
      "do it only when this one is the champion now; \"none\" when none is" },
    { "reason", OPTION_TEXT, offsetof(struct promote_settings, reason), "TEXT", "why, for the audit" },
    { "wait", OPTION_FLAG, offsetof(struct promote_settings, waits), NULL,
      "return once every process that scores serves it, and say how long that took" },
    { "json", OPTION_FLAG, offsetof(struct promote_settings, as_json), NULL, "as JSON" },
};

static const struct promote_settings defaults = { .reason = "" };

const struct command cmd_promote = {
    .name = "promote",
    .operands = "<version>",
    .purpose = "Make a model the champion; the one before it becomes the previous champion",
    .text =
        "Scoring takes it in well under a second, between two requests; experiments against the champion\n"
        "before it are stopped. A rejected model is refused, and with ASSAY_MODEL_KEYS one that nobody\n"
        "trusted signed. `assay rollback` is the way back.\n\n"
        "  assay promote 17 --expect 12 --reason \"won its A/B test\" --wait",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct promote_settings),
    .defaults = &defaults,
    .run = run,
};
