/* SPDX-License-Identifier: Apache-2.0
 * cmd_rules.c - `assay rules check`, `publish`, `rollback`, `show` and `list`. */
#include "command.h"

#include <inttypes.h>
#include <jansson.h>

#include "account.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "database.h"
#include "pg/session.h"
#include "policystore/publish.h"
#include "file.h"
#include "shipped.h"
#include "yaml_json.h"

struct rules_settings {
    const char *account, *author;
    bool as_json, allows_unknown;
};

static const struct rules_settings defaults = { .account = "", .author = "" };

/* ---- a rule set from its file ---- */

static enum err read_rules(struct draft *d, struct buf *json, const char *file, struct why *why)
{
    struct arena arena = { 0 };
    struct slice text;
    enum err err = strchr(file, '.') ? file_read(&text, file, DOCUMENT_TEXT_MAX, &arena, why)
                                     : shipped_read(&text, "", file, &arena, why);

    *d = (struct draft){ 0 };
    buf_init(json, DOCUMENT_TEXT_MAX);
    if (!err)
        err = yaml_to_json(json, text, why);
    if (!err)
        err = draft_open(d, buf_slice(json), why);
    arena_release(&arena);
    return err ? err_wrap(why, err, "%s", file) : ERR_OK;
}

static struct slice actor(const struct rules_settings *r)
{
    return *r->author ? slice_str(r->author) : login_name();
}

static void print_rules(const struct ruleset *set)
{
    printf("%-24s %-10s %8s  %s\n", "RULE", "ACTION", "PRIORITY", "WHEN");
    for (size_t i = 0; i < set->count; i++) {
        const struct policy_rule *r = &set->rules[i];

        printf("%-24.*s %-10s %8d  %.*s%s\n", SLICE_ARG(r->id), action_name(r->action), r->priority,
               SLICE_ARG(r->expression), r->is_enabled ? "" : "  (off)");
    }
}

static enum exit_code check(const void *settings, char **operands, size_t operand_count)
{
    struct draft d;
    struct buf json;
    struct why why = { 0 };
    const struct slice *features;
    struct slice unknown;
    size_t feature_count;
    enum err err = read_rules(&d, &json, operands[0], &why);

    (void)settings;
    (void)operand_count;
    if (err) {
        draft_release(&d);
        buf_release(&json);
        return command_fail(EXIT_FAILED, "%s", why.text);
    }
    print_rules(&d.document.set);
    unknown = policy_unknown_list(d.policy);
    if (unknown.len)
        printf("\nThe list %.*s is not declared in the file: it must be there when this is published.\n",
               SLICE_ARG(unknown));
    feature_count = policy_features(d.policy, &features);
    if (feature_count)
        printf("\nFeatures that the plan must have:\n");
    for (size_t i = 0; i < feature_count; i++)
        printf("  %.*s\n", SLICE_ARG(features[i]));
    draft_release(&d);
    buf_release(&json);
    return EXIT_DONE;
}

const struct command cmd_rules_check = {
    .name = "rules check",
    .operands = "<file>",
    .purpose = "Compile a rule set without publishing it",
    .text = "Faults are shown with a caret below the place. Needs no database.\n\n"
            "  assay rules check models/rules-starter.yaml",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = check,
};

/* ---- publishing ---- */

static enum exit_code publish(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *r = settings;
    struct draft d;
    struct buf json;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t account = 0, version = 0;
    enum err err = read_rules(&d, &json, operands[0], &why);

    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = account_find(s, r->account, &account, &why);
    if (!err)
        err = draft_publish(s, &d, account, r->allows_unknown, actor(r), &version, &why);
    if (!err)
        printf("published version %" PRId64 ": %zu rules\n", version, d.document.set.count);
    pg_session_close(s);
    draft_release(&d);
    buf_release(&json);
    return err ? command_fail(EXIT_FAILED, "%s", why.text) : EXIT_DONE;
}

static const struct option publish_options[] = {
    { "account", OPTION_TEXT, offsetof(struct rules_settings, account), "NAME",
      "for this account only (all)" },
    { "author", OPTION_TEXT, offsetof(struct rules_settings, author), "NAME",
      "who publishes it (your login)" },
    { "allow-unknown", OPTION_FLAG, offsetof(struct rules_settings, allows_unknown), NULL,
      "also with features that nobody computes" },
};

const struct command cmd_rules_publish = {
    .name = "rules publish",
    .operands = "<file>",
    .purpose = "Put a rule set in force",
    .text = "Compiles it, makes the lists that it declares where they are not there yet, and puts it in "
            "force in one\n"
            "transaction. Every rules service and ingestion take it over within a second, between two "
            "decisions.\n"
            "A rule on a feature that nobody computes would never fire: it is refused, unless "
            "--allow-unknown.\n\n"
            "  assay rules publish rules-starter\n"
            "  assay rules publish my-rules.yaml --account shop",
    .options = publish_options,
    .option_count = ARRAY_LEN(publish_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = publish,
};

/* ---- going back ---- */

static enum exit_code rollback(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *r = settings;
    struct pg_session *s;
    struct why why = { 0 };
    int64_t account = 0, version = 0;
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = account_find(s, r->account, &account, &why);
    if (!err && operand_count && (!slice_to_i64(slice_str(operands[0]), &version) || version < 1))
        err = err_set(&why, ERR_INVALID, "\"%s\" is no version; `assay rules list` shows them", operands[0]);
    if (!err)
        err = ruleset_roll_back(s, account, actor(r), &version, &why);
    if (!err)
        printf("version %" PRId64 " is in force again\n", version);
    pg_session_close(s);
    return err ? command_fail(err == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED, "%s", why.text)
               : EXIT_DONE;
}

const struct command cmd_rules_rollback = {
    .name = "rules rollback",
    .operands = "[version]",
    .purpose = "Put an earlier rule set in force again",
    .text = "Without a version, the one before the one in force. It keeps its number, so decisions say truly "
            "under\n"
            "which rules they were made.\n\n"
            "  assay rules rollback\n"
            "  assay rules rollback 12",
    .options = publish_options,
    .option_count = 2,
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = rollback,
};

/* ---- looking ---- */

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *settings_of = settings;
    struct arena arena = { 0 };
    struct document d = { 0 };
    struct pg_session *s;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    int64_t account = 0, version = 0;
    bool is_there = false;
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = account_find(s, settings_of->account, &account, &why);
    if (!err && operand_count && !slice_to_i64(slice_str(operands[0]), &version))
        err = err_set(&why, ERR_INVALID, "\"%s\" is no version", operands[0]);
    pg_add_i32(&p, (int32_t)account);
    pg_add_i64(&p, version);
    if (!err)
        err = pg_exec(s,
                      "SELECT version, body::text, jsonb_pretty(body), author, state FROM rulesets WHERE "
                      "CASE WHEN $2::int8 > 0 THEN version = $2::int8 ELSE account = $1::int4 AND state = "
                      "'published' END",
                      &p, &r, &why);
    is_there = !err && pg_rows(r) == 1;
    if (is_there && settings_of->as_json) {
        printf("%s\n", pg_get_text(r, 0, 2).ptr);
    } else if (is_there) {
        err = document_read(&d, pg_get_text(r, 0, 1), &arena, &why);
        if (!err) {
            printf("version %" PRId64 ", %s, by %s\n\n", pg_get_int(r, 0, 0), pg_get_text(r, 0, 4).ptr,
                   pg_get_text(r, 0, 3).ptr);
            print_rules(&d.set);
        }
    }
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    arena_release(&arena);
    if (err)
        return command_fail(EXIT_FAILED, "%s", why.text);
    return is_there ? EXIT_DONE
                    : command_fail(EXIT_NOT_FOUND, "no such rule set; `assay rules publish` makes one");
}

static const struct option show_options[] = {
    { "account", OPTION_TEXT, offsetof(struct rules_settings, account), "NAME",
      "of this account (the common one)" },
    { "json", OPTION_FLAG, offsetof(struct rules_settings, as_json), NULL,
      "the document as it was published" },
};

const struct command cmd_rules_show = {
    .name = "rules show",
    .operands = "[version]",
    .purpose = "Show the rules in force, or those of a version",
    .options = show_options,
    .option_count = ARRAY_LEN(show_options),
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = show,
};

static enum exit_code list_versions(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *settings_of = settings;
    struct pg_session *s;
    struct pg_result *r = NULL;
    struct why why = { 0 };
    json_t *all = json_array();
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = pg_exec(
            s,
            "SELECT version, coalesce(a.name, ''), state, jsonb_array_length(body->'rules'), author, "
            "coalesce(published_at, r.created_at) FROM rulesets r LEFT JOIN accounts a USING (account) "
            "ORDER BY version DESC",
            NULL, &r, &why);
    if (!err && !settings_of->as_json)
        printf("%-8s %-20s %-10s %-6s %-28s %s\n", "VERSION", "ACCOUNT", "STATE", "RULES", "SINCE", "AUTHOR");
    for (size_t i = 0; i < pg_rows(r); i++) {
        char at[RFC3339_SIZE];

        rfc3339_format(pg_get_time_us(r, i, 5), at);
        if (!settings_of->as_json)
            printf("%-8" PRId64 " %-20s %-10s %-6" PRId64 " %-28s %s\n", pg_get_int(r, i, 0),
                   pg_get_text(r, i, 1).len ? pg_get_text(r, i, 1).ptr : "(all)", pg_get_text(r, i, 2).ptr,
                   pg_get_int(r, i, 3), at, pg_get_text(r, i, 4).ptr);
        json_array_append_new(
            all, json_pack("{sI ss ss sI ss ss}", "version", (json_int_t)pg_get_int(r, i, 0), "account",
                           pg_get_text(r, i, 1).ptr, "state", pg_get_text(r, i, 2).ptr, "rules",
                           (json_int_t)pg_get_int(r, i, 3), "author", pg_get_text(r, i, 4).ptr, "since", at));
    }
    if (!err && settings_of->as_json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    pg_result_free(r);
    pg_session_close(s);
    return err ? command_fail(EXIT_FAILED, "%s", why.text) : EXIT_DONE;
}

static const struct option list_options[] = {
    { "json", OPTION_FLAG, offsetof(struct rules_settings, as_json), NULL, "as JSON" },
};

const struct command cmd_rules_list = {
    .name = "rules list",
    .operands = "",
    .purpose = "List the versions of the rule sets",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = list_versions,
};
