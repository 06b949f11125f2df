/* SPDX-License-Identifier: Apache-2.0
 * cmd_rules.c - `assay rules check`, `draft`, `shadow`, `publish`, `retire`, `rollback`, `show` and `list`. */
#include "command.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "account.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "database.h"
#include "pg/session.h"
#include "policystore/publish.h"
#include "policystore/review.h"
#include "rules_file.h"
#include "velocity/velocity.h"

struct rules_settings {
    const char *account, *author, *reason, *note;
    int64_t expected, draft, revision;
    bool as_json, allows_unknown, is_alone, waits, prepares;
};

static const struct rules_settings defaults = {
    .account = "", .author = "", .reason = "", .note = "", .expected = RULESET_ANY
};

enum { WAIT_US = 30000000, WAIT_STEP_US = 20000 };
/* The log is replayed for a new velocity: seconds for a million entries, but there may be many. */
static const int64_t velocities_wait_us = INT64_C(3600) * 1000000;

/* ---- a rule set from its file ---- */

static enum err read_rules(struct draft *d, struct buf *json, const char *file, struct why *why)
{
    enum err err = rules_file_read(json, file, why);

    *d = (struct draft){ 0 };
    if (err)
        return err;
    err = draft_open(d, buf_slice(json), why);
    return err ? err_wrap(why, err, "%s", file) : ERR_OK;
}

/* All that is wrong with the file, not the first of it. */
static void print_faults(const char *file, struct slice json)
{
    struct arena arena = { 0 };
    struct review_fault *faults;
    struct why why;
    size_t count;

    if (!review_faults(json, &arena, &faults, &count, &why)) {
        for (size_t i = 0; i < count; i++)
            fprintf(stderr, "%s %.*s\n%.*s\n\n", file, SLICE_ARG(faults[i].pointer),
                    SLICE_ARG(faults[i].detail));
        if (count > 1)
            fprintf(stderr, "%zu faults\n\n", count);
    }
    arena_release(&arena);
}

static struct slice actor(const struct rules_settings *r)
{
    return *r->author ? slice_str(r->author) : login_name();
}

static struct ruleset_change change_of(const struct rules_settings *r)
{
    return (struct ruleset_change){ .actor = actor(r),
                                    .reason = slice_str(r->reason),
                                    .expected = r->expected,
                                    .revision = r->revision,
                                    .allows_unknown = r->allows_unknown,
                                    .prepares = r->prepares,
                                    .approval = r->is_alone ? APPROVAL_ALONE : APPROVAL_UNLESS_FIRST };
}

static const char *effect_name(const struct policy_rule *r)
{
    return r->tag.len ? "tag" : action_name(r->action);
}

static void print_rules(const struct ruleset *set)
{
    printf("%-24s %-10s %8s  %s\n", "RULE", "ACTION", "PRIORITY", "WHEN");
    for (size_t i = 0; i < set->count; i++) {
        const struct policy_rule *r = &set->rules[i];

        printf("%-24.*s %-10s %8d  %.*s%s%s\n", SLICE_ARG(r->id), effect_name(r), r->priority,
               SLICE_ARG(r->expression), r->is_shadow ? "  (shadow)" : "", r->is_enabled ? "" : "  (off)");
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
        print_faults(operands[0], buf_slice(&json));
        draft_release(&d);
        buf_release(&json);
        return command_end(err, &why);
    }
    print_rules(&d.document.set);
    unknown = policy_unknown_list(d.policy);
    if (unknown.len)
        printf("\nThe list %.*s is not declared in the file: it must be there when this is published.\n",
               SLICE_ARG(unknown));
    for (size_t i = 0; i < velocities_count(policy_velocities(d.policy)); i++)
        printf("%s  %.*s\n", i ? "" : "\nVelocities, which are computed for it:\n",
               SLICE_ARG(velocities_at(policy_velocities(d.policy), i)->describe));
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

/* ---- versions ---- */

static enum err read_version(const char *text, int64_t *version, struct why *why)
{
    if (slice_to_i64(slice_str(text), version) && *version > 0)
        return ERR_OK;
    return err_set(why, ERR_INVALID, "\"%s\" is no version; `assay rules list` shows them", text);
}

static enum err account_of(struct pg_session *s, int64_t version, int64_t *account, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, version);
    err = pg_exec(s, "SELECT account FROM rulesets WHERE version = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 1)
        *account = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* Until every process that decides says that it decides by this version. */
static enum err wait_for(struct pg_session *s, int64_t version, struct why *why)
{
    int64_t began_us = clock_mono_us(), account = 0;
    struct ruleset_served served = { 0 };
    struct arena arena = { 0 };
    enum err err = account_of(s, version, &account, why);

    while (!err) {
        arena_reset(&arena);
        err = ruleset_served(s, account, version, &arena, &served, why);
        if (err || (served.serving > 0 && served.serving == served.processes))
            break;
        if (clock_mono_us() - began_us > WAIT_US)
            err = served.processes ? err_set(why, ERR_TIMEOUT, "%.*s: decides by another version yet",
                                             SLICE_ARG(served.lagging))
                                   : err_set(why, ERR_TIMEOUT, "no process says by which version it decides");
        else
            usleep(WAIT_STEP_US);
    }
    if (!err)
        printf("in all %" PRId64 " processes after %.2f s\n", served.serving,
               (double)(clock_mono_us() - began_us) / 1e6);
    arena_release(&arena);
    return err;
}

/* Until features serves what the version asks for. */
static enum err wait_for_velocities(struct pg_session *s, int64_t version, struct why *why)
{
    int64_t began_us = clock_mono_us();
    struct ruleset_lacking lacking;
    struct arena arena = { 0 };
    bool is_said = false;
    enum err err;

    for (;;) {
        arena_reset(&arena);
        err = ruleset_lacks(s, version, &arena, &lacking, why);
        if (err || lacking.count == 0)
            break;
        if (!is_said)
            printf("%zu velocities are being computed from the log\n", lacking.count);
        is_said = true;
        fflush(stdout);
        if (clock_mono_us() - began_us > velocities_wait_us) {
            err = err_set(why, ERR_TIMEOUT, "%.*s is not computed yet: is features running?",
                          SLICE_ARG(lacking.first));
            break;
        }
        usleep(WAIT_STEP_US);
    }
    if (!err && is_said)
        printf("served after %.2f s\n", (double)(clock_mono_us() - began_us) / 1e6);
    arena_release(&arena);
    return err;
}

/* What publishing needs: a draft is prepared, unless nothing lacks. */
static enum err prepare_and_wait(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                                 struct why *why)
{
    struct ruleset_lacking lacking;
    struct arena arena = { 0 };
    enum err err = ruleset_lacks(s, version, &arena, &lacking, why);

    arena_release(&arena);
    if (err || lacking.count == 0)
        return err;
    err = ruleset_prepare(s, version, change, why);
    return err && err != ERR_CONFLICT ? err : wait_for_velocities(s, version, why);
}

static enum exit_code end_with(struct pg_session *s, enum err err, const struct why *why)
{
    pg_session_close(s);
    return command_end(err, why);
}

/* ---- drafts ---- */

static enum err keep_draft(struct pg_session *s, const struct rules_settings *r, struct draft *d,
                           int64_t *version, struct why *why)
{
    struct ruleset_change change = change_of(r);
    int64_t account = 0, revision = r->revision;
    enum err err = account_find(s, r->account, &account, why);

    if (err)
        return err;
    if (r->draft == 0)
        return ruleset_draft(s, d, account, slice_str(r->note), &change, version, why);
    *version = r->draft;
    return ruleset_edit(s, *version, &revision, d, slice_str(r->note), &change, why);
}

static enum exit_code draft(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *r = settings;
    struct draft d;
    struct buf json;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t version = 0;
    enum err err = read_rules(&d, &json, operands[0], &why);

    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = keep_draft(s, r, &d, &version, &why);
    if (!err)
        printf("draft %" PRId64 ": %zu rules\n", version, d.document.set.count);
    draft_release(&d);
    buf_release(&json);
    return end_with(s, err, &why);
}

#define SETTING(field) offsetof(struct rules_settings, field)
static const struct option draft_options[] = {
    { "account", OPTION_TEXT, SETTING(account), "NAME", "for this account only (all)" },
    { "author", OPTION_TEXT, SETTING(author), "NAME", "who writes it (your login)" },
    { "note", OPTION_TEXT, SETTING(note), "TEXT", "what is new in it" },
    { "draft", OPTION_INT, SETTING(draft), "VERSION", "in the place of this draft's document" },
    { "revision", OPTION_INT, SETTING(revision), "N", "of that draft, as you have seen it" },
    { "prepare", OPTION_FLAG, SETTING(prepares), NULL, "have its velocities computed from now on" },
    { "allow-unknown", OPTION_FLAG, SETTING(allows_unknown), NULL,
      "also with features that nobody computes" },
};

const struct command cmd_rules_draft = {
    .name = "rules draft",
    .operands = "<file>",
    .purpose = "Keep a rule set as a draft, or change one",
    .text =
        "A draft decides nothing. `assay rules shadow` shows on live traffic what it would do; `assay rules "
        "publish`\n"
        "puts it in force, which needs a person who wrote nothing in it.\n\n"
        "  assay rules draft my-rules.yaml --note \"night limits\" --prepare\n"
        "  assay rules draft my-rules.yaml --draft 12 --revision 1",
    .options = draft_options,
    .option_count = ARRAY_LEN(draft_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = draft,
};

/* ---- shadow and the end ---- */

static enum exit_code move(const void *settings, char **operands,
                           enum err (*how)(struct pg_session *s, int64_t version,
                                           const struct ruleset_change *change, struct why *why),
                           const char *said, bool waits)
{
    const struct rules_settings *r = settings;
    struct ruleset_change change = change_of(r);
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t version;
    enum err err = read_version(operands[0], &version, &why);

    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = how(s, version, &change, &why);
    if (!err)
        printf("version %" PRId64 " %s\n", version, said);
    if (!err && waits)
        err = wait_for(s, version, &why);
    return end_with(s, err, &why);
}

static enum exit_code prepare(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *r = settings;
    struct ruleset_change change = change_of(r);
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t version;
    enum err err = read_version(operands[0], &version, &why);

    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = ruleset_prepare(s, version, &change, &why);
    if (!err)
        printf("version %" PRId64 " is prepared\n", version);
    if (!err && r->waits)
        err = wait_for_velocities(s, version, &why);
    return end_with(s, err, &why);
}

static const struct option prepare_options[] = {
    { "wait", OPTION_FLAG, SETTING(waits), NULL, "until they are served" },
    { "revision", OPTION_INT, SETTING(revision), "N", "only if it is the one that you have seen" },
    { "author", OPTION_TEXT, SETTING(author), "NAME", "who does it (your login)" },
    { "reason", OPTION_TEXT, SETTING(reason), "TEXT", "for the audit" },
};

const struct command cmd_rules_prepare = {
    .name = "rules prepare",
    .operands = "<version>",
    .purpose = "Have the velocities that a draft asks for computed",
    .text = "From the log on, so that none starts from zero, while traffic goes on. Then it can be published "
            "at once.\n"
            "`assay rules publish --wait` does it too.\n\n"
            "  assay rules prepare 12 --wait",
    .options = prepare_options,
    .option_count = ARRAY_LEN(prepare_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = prepare,
};

static enum exit_code shadow(const void *settings, char **operands, size_t operand_count)
{
    (void)operand_count;
    return move(settings, operands, ruleset_shadow, "is in shadow",
                ((const struct rules_settings *)settings)->waits);
}

static const struct option shadow_options[] = {
    { "wait", OPTION_FLAG, SETTING(waits), NULL, "until every process evaluates it" },
    { "revision", OPTION_INT, SETTING(revision), "N", "only if it is the one that you have seen" },
    { "author", OPTION_TEXT, SETTING(author), "NAME", "who does it (your login)" },
    { "reason", OPTION_TEXT, SETTING(reason), "TEXT", "for the audit" },
    { "allow-unknown", OPTION_FLAG, SETTING(allows_unknown), NULL,
      "also with features that nobody computes" },
};

const struct command cmd_rules_shadow = {
    .name = "rules shadow",
    .operands = "<version>",
    .purpose = "Evaluate a draft on live traffic, without a say",
    .text =
        "Each decision then records what it would have done; assay_policy_shadow_total counts it. It can be "
        "changed no\n"
        "more. What was in shadow before is retired.\n\n"
        "  assay rules shadow 12 --wait",
    .options = shadow_options,
    .option_count = ARRAY_LEN(shadow_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = shadow,
};

static enum exit_code retire(const void *settings, char **operands, size_t operand_count)
{
    (void)operand_count;
    return move(settings, operands, ruleset_retire, "is retired", false);
}

const struct command cmd_rules_retire = {
    .name = "rules retire",
    .operands = "<version>",
    .purpose = "End a set in shadow, or an account's own set",
    .text = "The set that holds for all accounts is replaced, and never just ended.\n\n"
            "  assay rules retire 12",
    .options = shadow_options + 2, /* author and reason */
    .option_count = 2,
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = retire,
};

/* ---- publishing ---- */

/* What is published: a version as it stands, or a file, which becomes a draft first. */
static enum err find_draft(struct pg_session *s, const struct rules_settings *r, const char *operand,
                           int64_t *version, struct why *why)
{
    struct draft d;
    struct buf json;
    enum err err;

    if (slice_to_i64(slice_str(operand), version) && *version > 0)
        return ERR_OK;
    err = read_rules(&d, &json, operand, why);
    if (!err)
        err = keep_draft(s, r, &d, version, why);
    draft_release(&d);
    buf_release(&json);
    return err;
}

/* Velocities of a set in force that features does not serve yet. */
static enum err say_what_lacks(struct pg_session *s, int64_t version, struct why *why)
{
    struct ruleset_lacking lacking;
    struct arena arena = { 0 };
    enum err err = ruleset_lacks(s, version, &arena, &lacking, why);

    if (!err && lacking.count)
        printf(
            "%zu of its velocities are not computed yet (%.*s): until they are, rules that ask for them do "
            "not fire\n",
            lacking.count, SLICE_ARG(lacking.first));
    arena_release(&arena);
    return err;
}

static enum exit_code publish(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *r = settings;
    struct ruleset_change change = change_of(r);
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t version = 0;
    enum err err;

    (void)operand_count;
    if (r->is_alone && !*r->reason)
        return command_fail(EXIT_USAGE, "--alone needs a --reason, which the audit keeps");
    err = database_open_migrated(&s, &why);
    if (!err)
        err = find_draft(s, r, operands[0], &version, &why);
    if (!err && r->waits)
        err = prepare_and_wait(s, version, &change, &why);
    if (!err) {
        err = ruleset_publish(s, version, &change, &why);
        if (err == ERR_FORBIDDEN)
            err_wrap(&why, err, "draft %" PRId64 " is kept", version);
    }
    if (!err)
        printf("published version %" PRId64 "\n", version);
    if (!err && r->allows_unknown)
        err = say_what_lacks(s, version, &why);
    if (!err && r->waits)
        err = wait_for(s, version, &why);
    return end_with(s, err, &why);
}

static const struct option publish_options[] = {
    { "account", OPTION_TEXT, SETTING(account), "NAME", "for this account only (all)" },
    { "author", OPTION_TEXT, SETTING(author), "NAME", "who publishes it (your login)" },
    { "expect", OPTION_INT, SETTING(expected), "VERSION", "only if this one is in force; 0: none" },
    { "revision", OPTION_INT, SETTING(revision), "N", "only if it is the one that you have seen" },
    { "wait", OPTION_FLAG, SETTING(waits), NULL,
      "until its velocities are computed, and every process decides by it" },
    { "reason", OPTION_TEXT, SETTING(reason), "TEXT", "for the audit" },
    { "allow-unknown", OPTION_FLAG, SETTING(allows_unknown), NULL,
      "also with features that nobody computes, and (without --wait) velocities not computed yet" },
    { "alone", OPTION_FLAG, SETTING(is_alone), NULL, "though you wrote it: there is no second person" },
};

const struct command cmd_rules_publish = {
    .name = "rules publish",
    .operands = "<file or version>",
    .purpose = "Put a rule set in force",
    .text = "A draft or a set in shadow by its version; a file becomes a draft first. Who wrote in it cannot "
            "publish "
            "it, but\n"
            "for the first set that an account ever has. Lists that it declares are made where they are not "
            "there "
            "yet. Every\n"
            "rules service and ingestion take it over within a second, between two decisions.\n"
            "A rule on a feature that nobody computes would never fire: it is refused, unless "
            "--allow-unknown.\n"
            "So is one on a velocity that is not computed yet: --wait has it computed first, with "
            "--allow-unknown too;\n"
            "--allow-unknown alone publishes at once, and says what is missing until then.\n\n"
            "  assay rules publish 12 --expect 11 --wait\n"
            "  assay rules publish rules-starter --wait\n"
            "  assay rules publish my-rules.yaml --account shop --alone --reason \"one analyst\"",
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
    struct ruleset_change change = change_of(r);
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t account = 0, version = 0;
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = account_find(s, r->account, &account, &why);
    if (!err && operand_count)
        err = read_version(operands[0], &version, &why);
    if (!err)
        err = ruleset_roll_back(s, account, &change, &version, &why);
    if (!err)
        printf("version %" PRId64 " is in force again\n", version);
    if (!err && r->waits)
        err = wait_for(s, version, &why);
    return end_with(s, err, &why);
}

const struct command cmd_rules_rollback = {
    .name = "rules rollback",
    .operands = "[version]",
    .purpose = "Put an earlier rule set in force again",
    .text = "Without a version, the one that the set in force replaced. It keeps its number, so decisions "
            "say truly "
            "under\n"
            "which rules they were made. It was approved once, so no second person is asked for.\n\n"
            "  assay rules rollback --wait\n"
            "  assay rules rollback 12 --expect 14",
    .options = publish_options,
    .option_count = 5,
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

/* The document of a version, or of a file. */
static enum err read_either(struct pg_session **s, struct buf *json, const char *operand, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t version;
    enum err err = ERR_OK;

    if (!slice_to_i64(slice_str(operand), &version))
        return rules_file_read(json, operand, why);
    buf_init(json, 0);
    if (!*s)
        err = database_open_migrated(s, why);
    pg_add_i64(&p, version);
    if (!err)
        err = pg_exec(*s, "SELECT body::text FROM rulesets WHERE version = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no rule set %" PRId64, version);
    if (!err)
        buf_add_slice(json, pg_get_text(r, 0, 0));
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static void print_difference(const json_t *difference)
{
    static const struct {
        const char *key, *mark;
    } kinds[] = { { "added", "+" }, { "removed", "-" } };
    const char *name;
    json_t *value;

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        const json_t *rules = json_object_get(difference, kinds[k].key);

        for (size_t i = 0; i < json_array_size(rules); i++)
            printf("%s %s: %s\n", kinds[k].mark,
                   json_string_value(json_object_get(json_array_get(rules, i), "id")),
                   json_string_value(json_object_get(json_array_get(rules, i), "when")));
    }
    for (size_t i = 0; i < json_array_size(json_object_get(difference, "changed")); i++) {
        const json_t *rule = json_array_get(json_object_get(difference, "changed"), i);
        const json_t *from = json_object_get(rule, "from"), *to = json_object_get(rule, "to");

        json_object_foreach((json_t *)to, name, value)
        {
            char *a = json_dumps(json_object_get(from, name), JSON_ENCODE_ANY);
            char *b = json_dumps(value, JSON_ENCODE_ANY);

            printf("~ %s.%s: %s -> %s\n", json_string_value(json_object_get(rule, "id")), name,
                   a ? a : "(none)", b);
            free(a);
            free(b);
        }
        json_object_foreach((json_t *)from, name, value)
        {
            if (!json_object_get(to, name))
                printf("~ %s.%s: taken away\n", json_string_value(json_object_get(rule, "id")), name);
        }
    }
    for (size_t i = 0; i < json_array_size(json_object_get(difference, "others")); i++)
        printf("~ %s\n", json_string_value(json_object_get(
                             json_array_get(json_object_get(difference, "others"), i), "name")));
}

static enum exit_code diff(const void *settings, char **operands, size_t operand_count)
{
    const struct rules_settings *r = settings;
    struct pg_session *s = NULL;
    struct buf from, to, out;
    struct json_out o;
    struct why why = { 0 };
    json_t *difference;
    enum err err;

    (void)operand_count;
    buf_init(&out, 0);
    buf_init(&to, 0);
    o = json_out_to(&out);
    err = read_either(&s, &from, operands[0], &why);
    if (!err)
        err = read_either(&s, &to, operands[1], &why);
    if (!err)
        err = review_difference(&o, NULL, buf_slice(&from), buf_slice(&to), &why);
    if (!err && r->as_json) {
        printf("%s\n", buf_str(&out));
    } else if (!err) {
        difference = json_loads(buf_str(&out), 0, NULL);
        print_difference(difference);
        json_decref(difference);
    }
    buf_release(&from);
    buf_release(&to);
    buf_release(&out);
    return end_with(s, err, &why);
}

static const struct option json_option[] = {
    { "json", OPTION_FLAG, offsetof(struct rules_settings, as_json), NULL, "as JSON" },
};

const struct command cmd_rules_diff = {
    .name = "rules diff",
    .operands = "<from> <to>",
    .purpose = "Show what makes one rule set out of another",
    .text = "Each is a version or a file. Rules are compared by their ids.\n\n"
            "  assay rules diff 11 12\n"
            "  assay rules diff 11 my-rules.yaml",
    .options = json_option,
    .option_count = ARRAY_LEN(json_option),
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = diff,
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
        err =
            pg_exec(s,
                    "SELECT version, coalesce(a.name, ''), state, jsonb_array_length(body->'rules'), author, "
                    "coalesce(published_at, r.created_at), revision, approver, note FROM rulesets r LEFT "
                    "JOIN accounts a "
                    "USING (account) ORDER BY version DESC",
                    NULL, &r, &why);
    if (!err && !settings_of->as_json)
        printf("%-8s %-20s %-10s %-6s %-28s %-16s %-16s %s\n", "VERSION", "ACCOUNT", "STATE", "RULES",
               "SINCE", "AUTHOR", "APPROVER", "NOTE");
    for (size_t i = 0; i < pg_rows(r); i++) {
        char at[RFC3339_SIZE];

        rfc3339_format(pg_get_time_us(r, i, 5), at);
        if (!settings_of->as_json)
            printf("%-8" PRId64 " %-20s %-10s %-6" PRId64 " %-28s %-16s %-16s %s\n", pg_get_int(r, i, 0),
                   pg_get_text(r, i, 1).len ? pg_get_text(r, i, 1).ptr : "(all)", pg_get_text(r, i, 2).ptr,
                   pg_get_int(r, i, 3), at, pg_get_text(r, i, 4).ptr, pg_get_text(r, i, 7).ptr,
                   pg_get_text(r, i, 8).ptr);
        json_array_append_new(
            all, json_pack("{sI ss ss sI ss ss sI ss ss}", "version", (json_int_t)pg_get_int(r, i, 0),
                           "account", pg_get_text(r, i, 1).ptr, "state", pg_get_text(r, i, 2).ptr, "rules",
                           (json_int_t)pg_get_int(r, i, 3), "author", pg_get_text(r, i, 4).ptr, "since", at,
                           "revision", (json_int_t)pg_get_int(r, i, 6), "approver", pg_get_text(r, i, 7).ptr,
                           "note", pg_get_text(r, i, 8).ptr));
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

const struct command cmd_rules_list = {
    .name = "rules list",
    .operands = "",
    .purpose = "List the versions of the rule sets",
    .options = json_option,
    .option_count = ARRAY_LEN(json_option),
    .settings_size = sizeof(struct rules_settings),
    .defaults = &defaults,
    .run = list_versions,
};
