/* SPDX-License-Identifier: Apache-2.0
 * cmd_keys.c - `assay keys create`, `list` and `revoke`. */
#include "command.h"

#include <jansson.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "fraud/api_key.h"
#include "fraud/txn.h"
#include "pg/session.h"

static const char *const scopes[] = { "decide",        "read",         "explain",         "import",
                                      "admin",         "rules:write",  "rules:approve",   "label:customer",
                                      "label:analyst", "label:issuer", "label:chargeback" };

struct keys_settings {
    const char *scopes, *note, *owner;
    int64_t rate, burst, days;
    bool as_json, is_quiet;
};

static const struct keys_settings defaults = { .scopes = "decide,read", .note = "", .owner = "" };

static bool is_scope(struct slice word)
{
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        if (slice_eq_str(word, scopes[i]))
            return true;
    return false;
}

/* Adds the words of "decide,read" to `list`; "all" stands for every scope. False at one that there is not. */
static bool read_scopes(struct pg_array *list, const char *text)
{
    if (strcmp(text, "all") == 0) {
        for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
            pg_array_text(list, slice_str(scopes[i]));
        return true;
    }
    for (;;) {
        struct slice word = slice_of(text, strcspn(text, ","));

        if (!is_scope(word)) {
            command_fail(EXIT_USAGE, "no scope \"%.*s\"; `assay help keys create` lists them",
                         SLICE_ARG(word));
            return false;
        }
        pg_array_text(list, word);
        text += word.len;
        if (!*text++)
            return true;
    }
}

static const struct option create_options[] = {
    { "owner", OPTION_TEXT, offsetof(struct keys_settings, owner), "NAME",
      "whose it is: the person, where a rule set needs a second one" },
    { "scopes", OPTION_TEXT, offsetof(struct keys_settings, scopes), "LIST", "what it may do (decide,read)" },
    { "rate", OPTION_INT, offsetof(struct keys_settings, rate), "N", "requests a second; 0 is no limit" },
    { "burst", OPTION_INT, offsetof(struct keys_settings, burst), "N", "requests at once (the rate)" },
    { "days", OPTION_INT, offsetof(struct keys_settings, days), "N", "until it expires; 0 is never" },
    { "note", OPTION_TEXT, offsetof(struct keys_settings, note), "TEXT", "whom it is for" },
    { "quiet", OPTION_FLAG, offsetof(struct keys_settings, is_quiet), NULL, "print the key alone" },
};

static enum exit_code create(const void *settings, char **operands, size_t operand_count)
{
    const struct keys_settings *k = settings;
    struct pg_session *s = NULL;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct api_key key;
    struct why why = { 0 };
    enum exit_code code = EXIT_DONE;
    enum err err;

    (void)operand_count;
    if (k->rate < 0 || k->rate > 1000000 || k->burst < 0 || k->burst > 1000000 || k->days < 0 ||
        k->days > 36500)
        return command_fail(EXIT_USAGE, "--rate and --burst are 0 to 1000000, --days 0 to 36500");
    api_key_make(&key);
    pg_add_text(&p, slice_str(key.prefix));
    pg_add_text(&p, slice_str(operands[0]));
    pg_add_bytes(&p, slice_of(key.secret_sha256, sizeof(key.secret_sha256)));
    if (!read_scopes(pg_add_array(&p, PG_TEXT), k->scopes)) {
        code = EXIT_USAGE;
        goto out;
    }
    pg_add_i32(&p, (int32_t)k->rate);
    pg_add_i32(&p, (int32_t)(k->burst ? k->burst : k->rate));
    pg_add_i32(&p, (int32_t)k->days);
    pg_add_text(&p, slice_str(k->note));
    pg_add_text(&p, slice_str(k->owner));
    err = database_open_migrated(&s, &why);
    if (!err)
        err = pg_exec(
            s,
            "WITH made AS (INSERT INTO api_keys (prefix, account, secret_sha256, scopes, rate_per_s, burst, "
            "expires_at, note, owner) SELECT $1::text, account, $3::bytea, $4::text[], $5::int4, $6::int4, "
            "CASE WHEN $7::int4 > 0 THEN now() + make_interval(days => $7::int4) END, $8::text, $9::text "
            "FROM accounts WHERE name = $2::text RETURNING account), "
            "noted AS (INSERT INTO audit (account, actor, action, subject, detail) "
            "SELECT account, current_user, 'key.create', $1::text, jsonb_build_object('scopes', $4::text[]) "
            "FROM made) SELECT account FROM made",
            &p, &r, &why);
    if (err)
        code = command_fail(EXIT_FAILED, "create the key: %s", why.text);
    else if (pg_rows(r) == 0)
        code = command_fail(EXIT_NOT_FOUND, "no account \"%s\"; `assay accounts create %s` makes it",
                            operands[0], operands[0]);
    else if (k->is_quiet)
        printf("%s\n", key.text);
    else
        printf("%s\n\nThis is the only time the secret is shown. Send it as\n  Authorization: Bearer %s\n",
               key.text, key.text);
out:
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    return code;
}

const struct command cmd_keys_create = {
    .name = "keys create",
    .operands = "<account>",
    .purpose = "Make an API key and print it, once",
    .text = "Scopes, comma-separated, or \"all\":\n"
            "  decide          send transactions and get decisions\n"
            "  read            get stored decisions\n"
            "  explain         see features, contributions and rule texts too\n"
            "  rules:write     write rule sets and lists, over REST of the rules service\n"
            "  rules:approve   publish and roll back rule sets that others wrote\n"
            "  import          send history\n"
            "  admin           manage what belongs to the account\n"
            "  label:<source>  send labels as customer, analyst, issuer or chargeback\n\n"
            "  assay keys create shop --scopes decide,read,label:chargeback --rate 500",
    .options = create_options,
    .option_count = ARRAY_LEN(create_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct keys_settings),
    .defaults = &defaults,
    .run = create,
};

static const struct option list_options[] = {
    { "json", OPTION_FLAG, offsetof(struct keys_settings, as_json), NULL, "as JSON" },
};

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    static const char *const names[] = { "prefix", "account", "scopes", "state", "note", "created_at" };
    const struct keys_settings *k = settings;
    struct pg_session *s;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    json_t *all = json_array();
    enum err err = database_open_migrated(&s, &why);

    pg_add_text(&p, slice_str(operand_count ? operands[0] : ""));
    if (!err)
        err = pg_exec(
            s,
            "SELECT prefix, name, array_to_string(scopes, ','), CASE WHEN revoked_at IS NOT NULL THEN "
            "'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END, note, "
            "to_char(k.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), rate_per_s "
            "FROM api_keys k JOIN accounts USING (account) WHERE $1::text IN ('', name) "
            "ORDER BY k.created_at",
            &p, &r, &why);
    if (!err && !k->as_json)
        printf("%-10s %-20s %-8s %-8s %-20s %s\n", "PREFIX", "ACCOUNT", "STATE", "RATE", "CREATED", "SCOPES");
    for (size_t i = 0; i < pg_rows(r); i++) {
        json_t *row = json_object();

        for (size_t c = 0; c < ARRAY_LEN(names); c++)
            json_object_set_new(row, names[c], json_string(pg_get_text(r, i, (int)c).ptr));
        json_object_set_new(row, "rate_per_s", json_integer(pg_get_int(r, i, 6)));
        json_array_append_new(all, row);
        if (!k->as_json)
            printf("%-10s %-20s %-8s %-8lld %-20s %s  %s\n", pg_get_text(r, i, 0).ptr,
                   pg_get_text(r, i, 1).ptr, pg_get_text(r, i, 3).ptr, (long long)pg_get_int(r, i, 6),
                   pg_get_text(r, i, 5).ptr, pg_get_text(r, i, 2).ptr, pg_get_text(r, i, 4).ptr);
    }
    if (!err && k->as_json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    return err ? command_fail(EXIT_FAILED, "%s", why.text) : EXIT_DONE;
}

const struct command cmd_keys_list = {
    .name = "keys list",
    .operands = "[account]",
    .purpose = "List the API keys, without their secrets",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .operands_most = 1,
    .settings_size = sizeof(struct keys_settings),
    .run = list,
};

static enum exit_code revoke(const void *settings, char **operands, size_t operand_count)
{
    struct slice prefix = slice_str(operands[0]);
    struct pg_session *s;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    size_t found;
    enum err err = database_open_migrated(&s, &why);

    (void)settings;
    (void)operand_count;
    if (slice_starts_with(prefix, SLICE("ak_"))) /* the whole key is fine too */
        prefix = slice_of(prefix.ptr + 3,
                          prefix.len - 3 < API_KEY_PREFIX_LEN ? prefix.len - 3 : API_KEY_PREFIX_LEN);
    pg_add_text(&p, prefix);
    if (!err)
        err = pg_exec(s,
                      "WITH gone AS (UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) "
                      "WHERE prefix = $1::text RETURNING account), noted AS (INSERT INTO audit (account, "
                      "actor, action, "
                      "subject) SELECT account, current_user, 'key.revoke', $1::text FROM gone) SELECT "
                      "account FROM gone",
                      &p, &r, &why);
    found = pg_rows(r);
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    if (err)
        return command_fail(EXIT_FAILED, "%s", why.text);
    if (!found)
        return command_fail(EXIT_NOT_FOUND, "no key \"%.*s\"", SLICE_ARG(prefix));
    printf("revoked %.*s\n", SLICE_ARG(prefix));
    return EXIT_DONE;
}

const struct command cmd_keys_revoke = {
    .name = "keys revoke",
    .operands = "<prefix>",
    .purpose = "End an API key; services that run hear of it at once",
    .operands_least = 1,
    .operands_most = 1,
    .run = revoke,
};
