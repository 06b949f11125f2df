/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/publish.h"

#include <inttypes.h>

#include "featurestore/plan.h"
#include "lifestore/row.h"
#include "pg/session.h"
#include "velocity/velocity.h"

/* ---- drafts ---- */

static void add_empty_list(struct policy *policy, struct slice name)
{
    struct list *list = list_new(0, name, LIST_NAMED, TXN_TEXT_COUNT);

    policy_add_list(policy, list);
    list_unref(list);
}

enum err draft_open(struct draft *d, struct slice json, struct why *why)
{
    enum err err;

    *d = (struct draft){ .json = json };
    err = document_read(&d->document, json, &d->arena, why);
    if (err)
        return err;
    d->document.set.version = SLICE("draft");
    d->policy = policy_new();
    for (size_t i = 0; i < d->document.list_count; i++)
        add_empty_list(d->policy, d->document.lists[i].name);
    return policy_add_ruleset(d->policy, &d->document.set, why);
}

void draft_release(struct draft *d)
{
    policy_free(d->policy);
    arena_release(&d->arena);
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
            err = err_set(why, ERR_NOT_FOUND, "no feature %.*s is computed, so a rule on it never fires",
                          SLICE_ARG(names[i]));
    }
    plan_free(plan);
    pg_result_free(r);
    return err;
}

enum err draft_check(struct pg_session *s, struct draft *d, int64_t account, bool allows_unknown,
                     struct why *why)
{
    enum err err = check_lists(s, d, account, why);

    return err || allows_unknown ? err : check_features(s, d, why);
}

/* ---- velocities ---- */

/* What features serves: the log has each plan before any vector under it. NULL before there is one. */
static enum err served_plan(struct pg_session *s, struct plan **out, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec(s, "SELECT body FROM log WHERE kind = 3 ORDER BY n DESC LIMIT 1", NULL, &r, why);

    *out = NULL;
    if (!err && pg_rows(r) == 1)
        err = plan_parse(out, pg_get_bytes(r, 0, 0), why);
    pg_result_free(r);
    return err;
}

/* How many the served plan lacks; *first is one of them, *columns what the plan has. */
static enum err count_lacking(struct pg_session *s, const struct draft *d, size_t *count,
                              const struct feature **first, size_t *columns, struct why *why)
{
    const struct velocities *v = policy_velocities(d->policy);
    struct plan *plan = NULL;
    enum err err = velocities_count(v) ? served_plan(s, &plan, why) : ERR_OK;

    *count = *columns = 0;
    *first = NULL;
    for (size_t i = 0; i < velocities_count(v) && !err; i++) {
        if (plan && plan_find(plan, velocities_at(v, i)->hash) != PLAN_NO_COLUMN)
            continue;
        *first = velocities_at(v, i);
        ++*count;
    }
    *columns = plan ? plan_columns(plan) : 0;
    plan_free(plan);
    return err;
}

/* Whether there is room in a plan for what is computed and what the draft asks for. */
static enum err check_room(struct pg_session *s, const struct draft *d, struct why *why)
{
    const struct feature *first;
    size_t lacking, columns;
    enum err err = count_lacking(s, d, &lacking, &first, &columns, why);

    if (!err && columns + lacking > PLAN_COLUMNS_MAX)
        err = err_set(
            why, ERR_LIMIT,
            "%zu features are computed, and this asks for %zu more: %d are the most. Those of retired "
            "rule sets go after a while",
            columns, lacking, PLAN_COLUMNS_MAX);
    return err;
}

/* A velocity that is not served has no value, so a rule on it would not fire. */
static enum err check_served(struct pg_session *s, const struct draft *d, int64_t version, struct why *why)
{
    const struct feature *first;
    size_t lacking, columns;
    enum err err = count_lacking(s, d, &lacking, &first, &columns, why);

    if (err || lacking == 0)
        return err;
    if (lacking == 1)
        return err_set(why, ERR_CONFLICT,
                       "%.*s is not computed yet: prepare version %" PRId64 ", and publish it when it is",
                       SLICE_ARG(first->describe), version);
    return err_set(why, ERR_CONFLICT,
                   "%.*s and %zu more are not computed yet: prepare version %" PRId64
                   ", and publish it when they are",
                   SLICE_ARG(first->describe), lacking - 1, version);
}

/* ---- what all changes share ---- */

static enum err note(struct pg_session *s, const struct ruleset_change *change, const char *action,
                     int64_t version, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, change->actor);
    pg_add_text(&p, slice_str(action));
    pg_add_i64(&p, version);
    pg_add_text(&p, change->reason);
    pg_add_bool(&p, change->approval == APPROVAL_ALONE);
    return row_ask(
        s,
        "INSERT INTO audit (account, actor, action, subject, detail) SELECT nullif(account, 0), $1::text, "
        "$2::text, $3::int8::text, jsonb_strip_nulls(jsonb_build_object('reason', nullif($4::text, ''), "
        "'alone', CASE WHEN $5::bool AND $2::text = 'rules.publish' THEN true END, 'revision', revision, "
        "'previous', previous)) FROM rulesets WHERE version = $3::int8",
        &p, NULL, why);
}

/* A version as it is, locked. */
struct found {
    int64_t account, revision;
    bool is_draft, is_in_shadow, is_published, was_published, is_author, is_first;
};

/* Within a transaction. The lock on the account keeps two changes of what is in force apart: the second sees what
 * the first did. */
static enum err find(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                     struct found *out, struct why *why)
{
    struct pg_params p = { 0 }, again = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = (struct found){ 0 };
    pg_add_i64(&p, version);
    err = row_ask(
        s,
        "SELECT pg_advisory_xact_lock(hashtextextended('assay rulesets', account)) FROM rulesets WHERE "
        "version = $1::int8",
        &p, NULL, why);
    pg_add_i64(&again, version);
    pg_add_text(&again, change->actor);
    if (!err)
        err = row_ask(
            s,
            "SELECT account, revision, state = 'draft', state = 'shadow', state = 'published', "
            "published_at IS NOT NULL, $2::text = ANY (authors), NOT EXISTS (SELECT FROM rulesets o WHERE "
            "o.account = r.account AND o.published_at IS NOT NULL) FROM rulesets r WHERE version = $1::int8 "
            "FOR UPDATE",
            &again, &r, why);
    else
        pg_params_release(&again);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no rule set %" PRId64, version);
    if (!err)
        *out = (struct found){ .account = pg_get_int(r, 0, 0),
                               .revision = pg_get_int(r, 0, 1),
                               .is_draft = pg_get_bool(r, 0, 2),
                               .is_in_shadow = pg_get_bool(r, 0, 3),
                               .is_published = pg_get_bool(r, 0, 4),
                               .was_published = pg_get_bool(r, 0, 5),
                               .is_author = pg_get_bool(r, 0, 6),
                               .is_first = pg_get_bool(r, 0, 7) };
    pg_result_free(r);
    return err;
}

/* What is in force for the account itself, and whether that was expected. */
static enum err in_force(struct pg_session *s, int64_t account, int64_t expected, int64_t *version,
                         struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    err = row_ask(s, "SELECT version FROM rulesets WHERE account = $1::int4 AND state = 'published'", &p, &r,
                  why);
    *version = !err && pg_rows(r) == 1 ? pg_get_int(r, 0, 0) : RULESET_NONE;
    pg_result_free(r);
    if (!err && expected != RULESET_ANY && *version != expected)
        err = *version ? err_set(why, ERR_CONFLICT, "version %" PRId64 " is in force, not %" PRId64, *version,
                                 expected)
                       : err_set(why, ERR_CONFLICT, "no rule set is in force, not %" PRId64, expected);
    return err;
}

static enum err begin(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                      struct found *found, struct why *why)
{
    enum err err = pg_exec_script(s, "BEGIN", why);

    return err ? err : find(s, version, change, found, why);
}

/* Whatever of the account is in `state` is retired. */
static enum err retire(struct pg_session *s, int64_t account, const char *state, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, (int32_t)account);
    pg_add_text(&p, slice_str(state));
    return row_ask(
        s,
        "UPDATE rulesets SET state = 'retired', retired_at = now() WHERE account = $1::int4 AND state = "
        "$2::text",
        &p, NULL, why);
}

static enum err set_state(struct pg_session *s, int64_t version, const char *sql, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, version);
    return row_ask(s, sql, &p, NULL, why);
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
        pg_add_text(&p, slice_str(list_type_name(l->type)));
        err =
            pg_exec(s,
                    "INSERT INTO lists (account, name, purpose, field, note, type) "
                    "SELECT $1::int4, $2::text, $3::text, $4::text, $5::text, $6::text "
                    "WHERE NOT EXISTS (SELECT FROM lists WHERE account IN (0, $1::int4) AND name = $2::text) "
                    "ON CONFLICT DO NOTHING",
                    &p, NULL, why);
        pg_params_release(&p);
    }
    return err;
}

/* The document of a version, compiled. *r holds it; both are to be released, also after an error. */
static enum err open_stored(struct pg_session *s, int64_t version, struct draft *d, struct pg_result **r,
                            struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    *d = (struct draft){ 0 };
    pg_add_i64(&p, version);
    err = row_ask(s, "SELECT body::text FROM rulesets WHERE version = $1::int8", &p, r, why);
    if (!err && pg_rows(*r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no rule set %" PRId64, version);
    return err ? err : draft_open(d, pg_get_text(*r, 0, 0), why);
}

/* The stored document once more, as it will be read by those who decide; its lists are made. */
static enum err check_stored(struct pg_session *s, int64_t version, const struct found *found,
                             bool allows_unknown, bool needs_velocities, struct why *why)
{
    struct draft d;
    struct pg_result *r = NULL;
    enum err err = open_stored(s, version, &d, &r, why);

    if (!err)
        err = draft_check(s, &d, found->account, allows_unknown, why);
    if (!err)
        err =
            needs_velocities && !allows_unknown ? check_served(s, &d, version, why) : check_room(s, &d, why);
    if (!err)
        err = make_lists(s, &d, found->account, why);
    draft_release(&d);
    pg_result_free(r);
    return err;
}

/* ---- drafts in the table ---- */

enum err ruleset_draft(struct pg_session *s, struct draft *d, int64_t account, struct slice text,
                       const struct ruleset_change *change, int64_t *version, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = draft_check(s, d, account, change->allows_unknown, why);

    if (!err && change->prepares)
        err = check_room(s, d, why);
    if (!err)
        err = pg_exec_script(s, "BEGIN", why);
    if (err)
        return err;
    pg_add_i32(&p, (int32_t)account);
    pg_add_text(&p, d->json);
    pg_add_text(&p, change->actor);
    pg_add_text(&p, text);
    pg_add_bool(&p, change->prepares);
    err =
        row_ask(s,
                "INSERT INTO rulesets (account, body, author, authors, note, prepared_at) VALUES ($1::int4, "
                "$2::text::jsonb, $3::text, ARRAY[$3::text], $4::text, CASE WHEN $5::bool THEN now() END) "
                "RETURNING version",
                &p, &r, why);
    if (!err)
        *version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    if (!err)
        err = note(s, change, "rules.draft", *version, why);
    return pg_commit_or_abort(s, err, why);
}

/* 0: whatever it is. */
static enum err check_revision(const struct found *found, int64_t version, int64_t revision, struct why *why)
{
    if (revision == 0 || found->revision == revision)
        return ERR_OK;
    return err_set(why, ERR_CONFLICT, "version %" PRId64 " is at revision %" PRId64 " by now, not %" PRId64,
                   version, found->revision, revision);
}

static enum err check_draft(const struct found *found, int64_t version, int64_t revision, struct why *why)
{
    if (!found->is_draft)
        return err_set(why, ERR_CONFLICT, "version %" PRId64 " is no draft any more: it never changes",
                       version);
    if (found->revision != revision)
        return err_set(why, ERR_CONFLICT, "draft %" PRId64 " is at revision %" PRId64 " by now, not %" PRId64,
                       version, found->revision, revision);
    return ERR_OK;
}

enum err ruleset_edit(struct pg_session *s, int64_t version, int64_t *revision, struct draft *d,
                      struct slice text, const struct ruleset_change *change, struct why *why)
{
    struct found found;
    struct pg_params p = { 0 };
    enum err err = begin(s, version, change, &found, why);

    if (!err)
        err = check_draft(&found, version, *revision, why);
    if (!err)
        err = draft_check(s, d, found.account, change->allows_unknown, why);
    if (!err && change->prepares)
        err = check_room(s, d, why);
    pg_add_i64(&p, version);
    pg_add_text(&p, d->json);
    pg_add_text(&p, change->actor);
    pg_add_text(&p, text);
    pg_add_bool(&p, change->prepares);
    if (!err)
        err =
            row_ask(s,
                    "UPDATE rulesets SET body = $2::text::jsonb, note = $4::text, revision = revision + 1, "
                    "updated_at = now(), prepared_at = CASE WHEN $5::bool THEN now() ELSE prepared_at END, "
                    "authors = CASE WHEN $3::text = ANY (authors) THEN authors ELSE authors || $3::text END "
                    "WHERE version = $1::int8",
                    &p, NULL, why);
    else
        pg_params_release(&p);
    if (!err)
        err = note(s, change, "rules.edit", version, why);
    err = pg_commit_or_abort(s, err, why);
    if (!err)
        ++*revision;
    return err;
}

enum err ruleset_prepare(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                         struct why *why)
{
    struct pg_result *r = NULL;
    struct draft d = { 0 };
    struct found found;
    enum err err = begin(s, version, change, &found, why);

    if (!err && !found.is_draft)
        err = err_set(why, ERR_CONFLICT,
                      "version %" PRId64 " is no draft: what it asks for is computed anyway", version);
    if (!err)
        err = check_revision(&found, version, change->revision, why);
    if (!err)
        err = open_stored(s, version, &d, &r, why);
    if (!err)
        err = check_room(s, &d, why);
    if (!err)
        err = set_state(s, version, "UPDATE rulesets SET prepared_at = now() WHERE version = $1::int8", why);
    if (!err)
        err = note(s, change, "rules.prepare", version, why);
    draft_release(&d);
    pg_result_free(r);
    return pg_commit_or_abort(s, err, why);
}

enum err ruleset_lacks(struct pg_session *s, int64_t version, struct arena *arena,
                       struct ruleset_lacking *out, struct why *why)
{
    const struct feature *first = NULL;
    struct pg_result *r = NULL;
    struct draft d;
    size_t columns;
    enum err err = open_stored(s, version, &d, &r, why);

    *out = (struct ruleset_lacking){ 0 };
    if (!err)
        err = count_lacking(s, &d, &out->count, &first, &columns, why);
    if (!err && first)
        out->first = arena_slice(arena, first->describe);
    draft_release(&d);
    pg_result_free(r);
    return err;
}

enum err ruleset_discard(struct pg_session *s, int64_t version, int64_t revision,
                         const struct ruleset_change *change, struct why *why)
{
    struct found found;
    enum err err = begin(s, version, change, &found, why);

    if (!err)
        err = check_draft(&found, version, revision, why);
    if (!err)
        err = note(s, change, "rules.discard", version, why);
    if (!err)
        err = set_state(s, version, "DELETE FROM rulesets WHERE version = $1::int8", why);
    return pg_commit_or_abort(s, err, why);
}

/* ---- forth ---- */

enum err ruleset_shadow(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                        struct why *why)
{
    struct found found;
    enum err err = begin(s, version, change, &found, why);

    if (!err && !found.is_draft)
        err = err_set(why, ERR_CONFLICT, "version %" PRId64 " is no draft", version);
    if (!err)
        err = check_revision(&found, version, change->revision, why);
    if (!err)
        err = check_stored(s, version, &found, change->allows_unknown, false, why);
    if (!err)
        err = retire(s, found.account, "shadow", why);
    if (!err)
        err = set_state(s, version,
                        "UPDATE rulesets SET state = 'shadow', shadowed_at = now() WHERE version = $1::int8",
                        why);
    if (!err)
        err = note(s, change, "rules.shadow", version, why);
    return pg_commit_or_abort(s, err, why);
}

static enum err check_approval(const struct found *found, int64_t version,
                               const struct ruleset_change *change, struct why *why)
{
    if (!found->is_draft && !found->is_in_shadow)
        return err_set(why, ERR_CONFLICT, "version %" PRId64 " is %s", version,
                       found->is_published ? "in force already"
                                           : "retired: roll back to it, or draft it again");
    if (!found->is_author || change->approval == APPROVAL_ALONE ||
        (change->approval == APPROVAL_UNLESS_FIRST && found->is_first))
        return ERR_OK;
    return err_set(why, ERR_FORBIDDEN, "%.*s wrote in version %" PRId64 ": another person must publish it",
                   SLICE_ARG(change->actor), version);
}

static enum err put_in_force(struct pg_session *s, int64_t version, int64_t before, struct slice actor,
                             struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, version);
    pg_add_i64(&p, before);
    pg_add_text(&p, actor);
    return row_ask(
        s,
        "UPDATE rulesets SET state = 'published', retired_at = NULL, published_at = now(), approver = CASE "
        "WHEN published_at IS NULL THEN $3::text ELSE approver END, previous = CASE WHEN published_at IS "
        "NULL "
        "THEN nullif($2::int8, 0) ELSE previous END WHERE version = $1::int8",
        &p, NULL, why);
}

enum err ruleset_publish(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                         struct why *why)
{
    struct found found;
    int64_t before = RULESET_NONE;
    enum err err = begin(s, version, change, &found, why);

    if (!err)
        err = check_approval(&found, version, change, why);
    if (!err)
        err = check_revision(&found, version, change->revision, why);
    if (!err)
        err = in_force(s, found.account, change->expected, &before, why);
    if (!err)
        err = check_stored(s, version, &found, change->allows_unknown, true, why);
    if (!err)
        err = retire(s, found.account, "published", why);
    if (!err)
        err = put_in_force(s, version, before, change->actor, why);
    if (!err)
        err = note(s, change, "rules.publish", version, why);
    return pg_commit_or_abort(s, err, why);
}

/* ---- and back ---- */

enum err ruleset_retire(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                        struct why *why)
{
    struct found found;
    enum err err = begin(s, version, change, &found, why);

    if (!err && found.is_published && found.account == 0)
        err = err_set(why, ERR_CONFLICT, "version %" PRId64 " is in force for everybody: publish another one",
                      version);
    if (!err && !found.is_published && !found.is_in_shadow)
        err = err_set(why, ERR_CONFLICT, "version %" PRId64 " is neither in force nor in shadow", version);
    if (!err)
        err = set_state(s, version,
                        "UPDATE rulesets SET state = 'retired', retired_at = now() WHERE version = $1::int8",
                        why);
    if (!err)
        err = note(s, change, "rules.retire", version, why);
    return pg_commit_or_abort(s, err, why);
}

/* The one that the set in force replaced; in rows from before that was kept, the one before it by number. */
static enum err find_previous(struct pg_session *s, int64_t before, int64_t account, int64_t *version,
                              struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, before);
    pg_add_i32(&p, (int32_t)account);
    err = row_ask(
        s,
        "SELECT coalesce((SELECT previous FROM rulesets WHERE version = $1::int8), (SELECT max(version) FROM "
        "rulesets WHERE account = $2::int4 AND published_at IS NOT NULL AND state = 'retired' AND version < "
        "$1::int8))",
        &p, &r, why);
    *version = !err ? pg_get_int(r, 0, 0) : 0;
    if (!err && *version == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no earlier rule set");
    pg_result_free(r);
    return err;
}

enum err ruleset_roll_back(struct pg_session *s, int64_t account, const struct ruleset_change *change,
                           int64_t *version, struct why *why)
{
    struct found found;
    int64_t before, to = *version;
    enum err err = pg_exec_script(s, "BEGIN", why);

    /* Twice: first to know which, then under the lock. */
    if (!err)
        err = in_force(s, account, change->expected, &before, why);
    if (!err && to == 0)
        err = find_previous(s, before, account, &to, why);
    if (!err)
        err = find(s, to, change, &found, why);
    if (!err && (found.account != account || !found.was_published || found.is_published))
        err = err_set(why, ERR_NOT_FOUND, "there is no retired rule set %" PRId64 " that was in force", to);
    if (!err)
        err = in_force(s, account, before, &before, why);
    if (!err)
        err = retire(s, account, "published", why);
    if (!err)
        err = put_in_force(s, to, before, change->actor, why);
    if (!err)
        err = note(s, change, "rules.rollback", to, why);
    err = pg_commit_or_abort(s, err, why);
    if (!err)
        *version = to;
    return err;
}

/* ---- who serves what ---- */

enum err ruleset_served(struct pg_session *s, int64_t account, int64_t version, struct arena *arena,
                        struct ruleset_served *out, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    pg_add_i64(&p, version);
    err = row_ask(
        s,
        "SELECT count(*), count(*) FILTER (WHERE serves), coalesce(string_agg(process, ', ' ORDER BY "
        "process) "
        "FILTER (WHERE NOT serves), '') FROM (SELECT process, bool_or(account = $1::int4 AND $2::int8 IN "
        "(version, shadow)) AS serves FROM rules_serving WHERE at > now() - interval '10 s' GROUP BY "
        "process) p",
        &p, &r, why);
    *out = (struct ruleset_served){ 0 };
    if (!err)
        *out = (struct ruleset_served){ pg_get_int(r, 0, 0), pg_get_int(r, 0, 1),
                                        arena_slice(arena, pg_get_text(r, 0, 2)) };
    pg_result_free(r);
    return err;
}
