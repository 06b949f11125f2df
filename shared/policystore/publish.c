/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/publish.h"

#include <inttypes.h>

#include "featurestore/plan.h"
#include "pg/session.h"

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

/* ---- what both ways share ---- */

/* A transaction that failed must not stay open on a session that its caller goes on with. */
static enum err commit_or_abort(struct pg_session *s, enum err err, struct why *why)
{
    struct why ignored;

    if (!err)
        return pg_exec_script(s, "COMMIT", why);
    if (pg_exec_script(s, "ROLLBACK", &ignored) != ERR_OK)
        return err; /* the session is lost, and the transaction with it */
    return err;
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

static enum err note(struct pg_session *s, struct slice actor, const char *action, int64_t version,
                     struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_text(&p, actor);
    pg_add_text(&p, slice_str(action));
    pg_add_i64(&p, version);
    err = pg_exec(s, "INSERT INTO audit (actor, action, subject) VALUES ($1::text, $2::text, $3::int8::text)",
                  &p, NULL, why);
    pg_params_release(&p);
    return err;
}

/* ---- forth ---- */

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

static enum err insert_ruleset(struct pg_session *s, const struct draft *d, int64_t account,
                               struct slice actor, int64_t *version, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    pg_add_text(&p, d->json);
    pg_add_text(&p, actor);
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

enum err draft_publish(struct pg_session *s, struct draft *d, int64_t account, bool allows_unknown,
                       struct slice actor, int64_t *version, struct why *why)
{
    enum err err = check_lists(s, d, account, why);

    if (!err && !allows_unknown)
        err = check_features(s, d, why);
    if (!err)
        err = pg_exec_script(s, "BEGIN", why);
    if (!err)
        err = make_lists(s, d, account, why);
    if (!err)
        err = retire(s, account, why);
    if (!err)
        err = insert_ruleset(s, d, account, actor, version, why);
    if (!err)
        err = note(s, actor, "rules.publish", *version, why);
    return commit_or_abort(s, err, why);
}

/* ---- and back ---- */

static enum err find_version(struct pg_session *s, int64_t account, int64_t *version, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    pg_add_i64(&p, *version);
    /* Without a number: the one before the one in force. */
    err = pg_exec(s,
                  "SELECT version FROM rulesets WHERE account = $1::int4 AND state = 'retired' AND CASE WHEN "
                  "$2::int8 > 0 "
                  "THEN version = $2::int8 ELSE version < (SELECT max(version) FROM rulesets "
                  "WHERE account = $1::int4 AND state = 'published') END ORDER BY version DESC LIMIT 1",
                  &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = *version ? err_set(why, ERR_NOT_FOUND, "there is no retired rule set %" PRId64, *version)
                       : err_set(why, ERR_NOT_FOUND, "there is no earlier rule set");
    if (!err)
        *version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err put_back(struct pg_session *s, int64_t account, int64_t version, struct slice actor,
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
        err = note(s, actor, "rules.rollback", version, why);
    pg_params_release(&p);
    return commit_or_abort(s, err, why);
}

enum err ruleset_roll_back(struct pg_session *s, int64_t account, struct slice actor, int64_t *version,
                           struct why *why)
{
    enum err err = find_version(s, account, version, why);

    return err ? err : put_back(s, account, *version, actor, why);
}
