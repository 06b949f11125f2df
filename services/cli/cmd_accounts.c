/* SPDX-License-Identifier: Apache-2.0
 * cmd_accounts.c - `assay accounts create` and `assay accounts list`. */
#include "command.h"

#include <jansson.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "pg/session.h"

struct accounts_settings {
    const char *clock;
    bool allow_numeric_ids, as_json;
};

static const struct accounts_settings defaults = { .clock = "live" };

static const struct option create_options[] = {
    { "clock", OPTION_TEXT, offsetof(struct accounts_settings, clock), "live|simulated",
      "simulated: requests carry known_at" },
    { "allow-numeric-ids", OPTION_FLAG, offsetof(struct accounts_settings, allow_numeric_ids), NULL,
      "ids may look like card numbers" },
};

static enum exit_code create(const void *settings, char **operands, size_t operand_count)
{
    const struct accounts_settings *a = settings;
    struct pg_session *s;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    bool is_taken;
    enum err err;

    (void)operand_count;
    if (strcmp(a->clock, "live") != 0 && strcmp(a->clock, "simulated") != 0)
        return command_fail(EXIT_USAGE, "--clock is live or simulated, not \"%s\"", a->clock);
    err = database_open_migrated(&s, &why);
    if (err)
        return command_fail(EXIT_FAILED, "%s", why.text);
    pg_add_text(&p, slice_str(operands[0]));
    pg_add_text(&p, slice_str(a->clock));
    pg_add_bool(&p, a->allow_numeric_ids);
    err = pg_exec(s,
                  "WITH made AS (INSERT INTO accounts (name, clock, allow_numeric_ids) "
                  "VALUES ($1::text, $2::text, $3::bool) RETURNING account), "
                  "noted AS (INSERT INTO audit (account, actor, action, subject) "
                  "SELECT account, current_user, 'account.create', $1::text FROM made) "
                  "SELECT account FROM made",
                  &p, &r, &why);
    is_taken = err == ERR_INVALID && strcmp(pg_sqlstate(s), "23505") == 0;
    if (!err)
        printf("account %s has the number %lld, clock %s\n", operands[0], (long long)pg_get_int(r, 0, 0),
               a->clock);
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    if (is_taken)
        return command_fail(EXIT_FAILED, "there is an account \"%s\" already", operands[0]);
    return err ? command_fail(EXIT_FAILED, "create the account: %s", why.text) : EXIT_DONE;
}

const struct command cmd_accounts_create = {
    .name = "accounts create",
    .operands = "<name>",
    .purpose = "Make an account, to which keys, ids and labels belong",
    .text =
        "A live account takes transactions of the last 90 days and stamps them with the server's time. A\n"
        "simulated one carries its own time in known_at, so that years can be replayed in minutes.\n\n"
        "  assay accounts create shop\n"
        "  assay accounts create replay --clock simulated",
    .options = create_options,
    .option_count = ARRAY_LEN(create_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct accounts_settings),
    .defaults = &defaults,
    .run = create,
};

static const struct option list_options[] = {
    { "json", OPTION_FLAG, offsetof(struct accounts_settings, as_json), NULL, "as JSON" },
};

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct accounts_settings *a = settings;
    struct pg_session *s;
    struct pg_result *r = NULL;
    struct why why = { 0 };
    json_t *all = json_array();
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = pg_exec(s,
                      "SELECT account, name, clock, created_at, (SELECT count(*) FROM api_keys k "
                      "WHERE k.account = a.account AND revoked_at IS NULL) FROM accounts a ORDER BY account",
                      NULL, &r, &why);
    if (!err && !a->as_json)
        printf("%-8s %-24s %-10s %-6s %s\n", "ACCOUNT", "NAME", "CLOCK", "KEYS", "CREATED");
    for (size_t i = 0; i < pg_rows(r); i++) {
        char at[RFC3339_SIZE];

        rfc3339_format(pg_get_time_us(r, i, 3), at);
        json_array_append_new(all,
                              json_pack("{sI ss ss sI ss}", "account", (json_int_t)pg_get_int(r, i, 0),
                                        "name", pg_get_text(r, i, 1).ptr, "clock", pg_get_text(r, i, 2).ptr,
                                        "keys", (json_int_t)pg_get_int(r, i, 4), "created_at", at));
        if (!a->as_json)
            printf("%-8lld %-24s %-10s %-6lld %s\n", (long long)pg_get_int(r, i, 0), pg_get_text(r, i, 1).ptr,
                   pg_get_text(r, i, 2).ptr, (long long)pg_get_int(r, i, 4), at);
    }
    if (!err && a->as_json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    pg_result_free(r);
    pg_session_close(s);
    return err ? command_fail(EXIT_FAILED, "%s", why.text) : EXIT_DONE;
}

const struct command cmd_accounts_list = {
    .name = "accounts list",
    .operands = "",
    .purpose = "List the accounts",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .settings_size = sizeof(struct accounts_settings),
    .run = list,
};
