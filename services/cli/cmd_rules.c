/* SPDX-License-Identifier: Apache-2.0
 * cmd_rules.c - `assay rules check`, `publish` and `show`. */
#include "command.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "database.h"
#include "featurestore/plan.h"
#include "pg/session.h"
#include "policystore/document.h"
#include "shipped.h"
#include "yaml_json.h"

struct rules_settings {
    const char *account, *author;
    bool as_json, allows_unknown;
};

static const struct rules_settings defaults = { .account = "", .author = "" };

/* ---- a rule set from its file ---- */

struct draft {
    struct arena arena;
    struct buf json;
    struct document document;
    struct policy *policy; /* the set alone, with the lists that it declares, empty */
};

static void draft_release(struct draft *d)
{
    policy_free(d->policy);
    buf_release(&d->json);
    arena_release(&d->arena);
}

static void add_empty_list(struct policy *policy, struct slice name)
{
    struct list *list = list_new(0, name, LIST_NAMED, TXN_TEXT_COUNT);

    policy_add_list(policy, list);
    list_unref(list);
}

static enum err draft_read(struct draft *d, const char *file, struct why *why)
{
    struct slice text;
    enum err err = strchr(file, '.') ? file_read(&text, file, DOCUMENT_TEXT_MAX, &d->arena, why)
                                     : shipped_read(&text, "", file, &d->arena, why);

    buf_init(&d->json, DOCUMENT_TEXT_MAX);
    if (!err)
        err = yaml_to_json(&d->json, text, why);
    if (!err)
        err = document_read(&d->document, buf_slice(&d->json), &d->arena, why);
    if (err)
        return err;
    d->document.set.version = SLICE("draft");
    d->policy = policy_new();
    for (size_t i = 0; i < d->document.list_count; i++)
        add_empty_list(d->policy, d->document.lists[i].name);
    return policy_add_ruleset(d->policy, &d->document.set, why);
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
    struct draft d = { 0 };
    struct why why = { 0 };
    const struct slice *features;
    struct slice unknown;
    size_t feature_count;
    enum err err = draft_read(&d, operands[0], &why);

    (void)settings;
    (void)operand_count;
    if (err) {
        draft_release(&d);
        return command_fail(EXIT_FAILED, "%s: %s", operands[0], why.text);
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

/* 0 for the empty name: every account. */
static enum err find_account(struct pg_session *s, const char *name, int64_t *account, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *account = 0;
    if (!*name)
        return ERR_OK;
    pg_add_text(&p, slice_str(name));
    err = pg_exec(s, "SELECT account FROM accounts WHERE name = $1::text", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "no account \"%s\"", name);
    if (!err)
        *account = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err check_lists(struct pg_session *s, struct draft *d, int64_t account, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct slice unknown;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    err = pg_exec(s, "SELECT name FROM lists WHERE account IN (0, $1::int4)", &p, &r, why);
    for (size_t i = 0; i < pg_rows(r); i++)
        add_empty_list(d->policy, pg_get_text(r, i, 0));
    unknown = policy_unknown_list(d->policy);
    if (!err && unknown.len)
        err = err_set(why, ERR_NOT_FOUND,
                      "a rule asks for the list %.*s, which is not there: declare it under `lists`",
                      SLICE_ARG(unknown));
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* A rule on a feature that nobody computes never fires: mostly a slip of the pen. Before there is a plan at
 * all, nothing can be said. */
static enum err check_features(struct pg_session *s, const struct draft *d, struct why *why)
{
    const struct slice *names;
    size_t count = policy_features(d->policy, &names);
    struct plan *plan = NULL;
    struct pg_result *r = NULL;
    enum err err = pg_exec(s, "SELECT definition FROM plans ORDER BY created_at DESC LIMIT 1", NULL, &r, why);

    if (!err && pg_rows(r) == 1)
        err = plan_parse(&plan, pg_get_text(r, 0, 0), why);
    for (size_t i = 0; i < count && plan && !err; i++) {
        if (plan_find_name(plan, names[i]) == PLAN_NO_COLUMN)
            err = err_set(
                why, ERR_NOT_FOUND,
                "no feature %.*s is computed, so a rule on it never fires; --allow-unknown publishes anyway",
                SLICE_ARG(names[i]));
    }
    plan_free(plan);
    pg_result_free(r);
    return err;
}

static enum err make_lists(struct pg_session *s, const struct draft *d, int64_t account, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < d->document.list_count && !err; i++) {
        const struct document_list *l = &d->document.lists[i];
        struct pg_params p = { 0 };

        pg_add_i32(&p, (int32_t)account);
        pg_add_text(&p, l->name);
        pg_add_text(&p, slice_str(list_purpose_name(l->purpose)));
        pg_add_text(&p, l->field < TXN_TEXT_COUNT ? slice_str(txn_text_name(l->field)) : SLICE(""));
        pg_add_text(&p, l->note);
        err =
            pg_exec(s,
                    "INSERT INTO lists (account, name, purpose, field, note) "
                    "SELECT $1::int4, $2::text, $3::text, $4::text, $5::text "
                    "WHERE NOT EXISTS (SELECT FROM lists WHERE account IN (0, $1::int4) AND name = $2::text) "
                    "ON CONFLICT DO NOTHING",
                    &p, NULL, why);
        pg_params_release(&p);
    }
    return err;
}

static const char *actor(const struct rules_settings *r)
{
    const char *user = getenv("USER");

    return *r->author ? r->author : user && *user ? user : "operator";
}

/* Within a transaction: what was in force is retired. */
static enum err retire(struct pg_session *s, int64_t account, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    err = pg_exec(s, "UPDATE rulesets SET state = 'retired' WHERE account = $1::int4 AND state = 'published'",
                  &p, NULL, why);
    pg_params_release(&p);
    return err;
}

static enum err note(struct pg_session *s, const char *author, const char *action, int64_t version,
                     struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_text(&p, slice_str(author));
    pg_add_text(&p, slice_str(action));
    pg_add_i64(&p, version);
    err = pg_exec(s, "INSERT INTO audit (actor, action, subject) VALUES ($1::text, $2::text, $3::int8::text)",
                  &p, NULL, why);
    pg_params_release(&p);
    return err;
}

static enum err insert_ruleset(struct pg_session *s, const struct draft *d, int64_t account,
                               const char *author, int64_t *version, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    pg_add_text(&p, buf_slice(&d->json));
    pg_add_text(&p, slice_str(author));
    err = pg_exec(
        s,
        "INSERT INTO rulesets (account, state, body, author, approver, published_at) "
        "VALUES ($1::int4, 'published', $2::text::jsonb, $3::text, $3::text, now()) RETURNING version",
        &p, &r, why);
    if (!err)
        *version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err publish_draft(struct pg_session *s, struct draft *d, const struct rules_settings *settings,
                              int64_t *version, struct why *why)
{
    int64_t account;
    enum err err = find_account(s, settings->account, &account, why);

    if (!err)
        err = check_lists(s, d, account, why);
    if (!err && !settings->allows_unknown)
        err = check_features(s, d, why);
    if (!err)
        err = pg_exec_script(s, "BEGIN", why);
    if (!err)
        err = make_lists(s, d, account, why);
    if (!err)
        err = retire(s, account, why);
    if (!err)
        err = insert_ruleset(s, d, account, actor(settings), version, why);
    if (!err)
        err = note(s, actor(settings), "rules.publish", *version, why);
    return err ? err : pg_exec_script(s, "COMMIT", why); /* else the end of the session rolls back */
}

static enum exit_code publish(const void *settings, char **operands, size_t operand_count)
{
    struct draft d = { 0 };
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t version = 0;
    enum err err = draft_read(&d, operands[0], &why);

    (void)operand_count;
    if (err)
        err_wrap(&why, err, "%s", operands[0]);
    else
        err = database_open_migrated(&s, &why);
    if (!err)
        err = publish_draft(s, &d, settings, &version, &why);
    if (!err)
        printf("published version %" PRId64 ": %zu rules\n", version, d.document.set.count);
    pg_session_close(s);
    draft_release(&d);
    return err ? command_fail(EXIT_FAILED, "%s", why.text) : EXIT_DONE;
}

static const struct option publish_options[] = {
    { "account", OPTION_TEXT, offsetof(struct rules_settings, account), "NAME",
      "for this account only (all)" },
    { "author", OPTION_TEXT, offsetof(struct rules_settings, author), "NAME", "who publishes it ($USER)" },
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
            "decisions.\n\n"
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

static enum err find_version(struct pg_session *s, int64_t account, const char *wanted, int64_t *version,
                             struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t number = 0;
    enum err err;

    if (wanted && !slice_to_i64(slice_str(wanted), &number))
        return err_set(why, ERR_INVALID, "\"%s\" is no version", wanted);
    pg_add_i32(&p, (int32_t)account);
    pg_add_i64(&p, number);
    /* Without a number: the one before the one in force. */
    err = pg_exec(s,
                  "SELECT version FROM rulesets WHERE account = $1::int4 AND state = 'retired' AND CASE WHEN "
                  "$2::int8 > 0 "
                  "THEN version = $2::int8 ELSE version < (SELECT max(version) FROM rulesets "
                  "WHERE account = $1::int4 AND state = 'published') END ORDER BY version DESC LIMIT 1",
                  &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = wanted ? err_set(why, ERR_NOT_FOUND, "no retired rule set %s; `assay rules list` shows them",
                               wanted)
                     : err_set(why, ERR_NOT_FOUND, "there is no earlier rule set");
    if (!err)
        *version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err put_back(struct pg_session *s, int64_t account, int64_t version, const char *author,
                         struct why *why)
{
    struct pg_params p = { 0 };
    enum err err = pg_exec_script(s, "BEGIN", why);

    pg_add_i64(&p, version);
    if (!err)
        err = retire(s, account, why);
    if (!err)
        err = pg_exec(
            s, "UPDATE rulesets SET state = 'published', published_at = now() WHERE version = $1::int8", &p,
            NULL, why);
    if (!err)
        err = note(s, author, "rules.rollback", version, why);
    pg_params_release(&p);
    return err ? err : pg_exec_script(s, "COMMIT", why);
}

static enum exit_code rollback(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *r = settings;
    struct pg_session *s;
    struct why why = { 0 };
    int64_t account = 0, version = 0;
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = find_account(s, r->account, &account, &why);
    if (!err)
        err = find_version(s, account, operand_count ? operands[0] : NULL, &version, &why);
    if (!err)
        err = put_back(s, account, version, actor(r), &why);
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
        err = find_account(s, settings_of->account, &account, &why);
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
