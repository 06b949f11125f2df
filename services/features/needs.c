/* SPDX-License-Identifier: Apache-2.0 */
#include "needs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "featurestore/catalogue.h"
#include "log/log.h"
#include "pg/session.h"
#include "policystore/publish.h"
#include "velocity/velocity.h"

/* The plans that the union is made of. */
struct parts {
    struct plan **plans;
    size_t count, cap;
};

static void add_part(struct parts *p, struct plan *plan)
{
    ARRAY_RESERVE_ONE(p->plans, p->count, p->cap);
    p->plans[p->count++] = plan;
}

static enum err read_file(const char *path, struct buf *out, struct why *why)
{
    FILE *file = fopen(path, "re");
    size_t got;

    if (!file)
        return err_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    do {
        char *to = buf_reserve(out, 1 << 16);

        got = to ? fread(to, 1, 1 << 16, file) : 0;
        buf_commit(out, got);
    } while (got > 0);
    fclose(file);
    return out->is_over ? err_set(why, ERR_INVALID, "%s is too large for a catalogue", path) : ERR_OK;
}

static enum err add_catalogue(struct parts *parts, const char *path, struct why *why)
{
    struct catalogue catalogue;
    struct arena arena = { 0 };
    struct plan *plan = NULL;
    struct buf yaml;
    enum err err;

    buf_init(&yaml, CATALOGUE_TEXT_MAX + (1 << 16));
    err = read_file(path, &yaml, why);
    if (!err)
        err = catalogue_parse(&catalogue, buf_slice(&yaml), &arena, why);
    if (!err)
        err = plan_build(&plan, &catalogue, why);
    if (!err)
        add_part(parts, plan);
    buf_release(&yaml);
    arena_release(&arena);
    return err ? err_wrap(why, err, "catalogue %s", path) : ERR_OK;
}

/* The bundles that some alias points to. One that cannot be read is left out: a bad row must not stop the
 * log, and scoring refuses it too. */
static enum err add_bundles(struct parts *parts, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        pg_exec(s,
                "SELECT version, bundle FROM models WHERE version IN (SELECT version FROM aliases) "
                "ORDER BY version",
                NULL, &r, why);

    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct bundle *bundle = NULL;
        struct plan *plan = NULL;
        struct why bad = { 0 };
        enum err unread = bundle_open(&bundle, pg_get_bytes(r, i, 1), &bad);

        if (!unread)
            unread = plan_parse(&plan, plan_text(bundle_plan(bundle)), &bad);
        if (unread)
            log_event(LOG_ERROR, "bundle_left_out", "version=%lld why=%s", (long long)pg_get_int(r, i, 0),
                      log_quoted(slice_str(bad.text)));
        else
            add_part(parts, plan);
        bundle_close(bundle);
    }
    pg_result_free(r);
    return err;
}

/* Adds one rule set's velocities to the union, which is another then. */
static enum err join_ruleset(struct plan **all, struct slice body, struct why *why)
{
    struct plan *own = NULL, *both;
    struct draft d;
    enum err err = draft_open(&d, body, why);

    if (!err && velocities_count(policy_velocities(d.policy)))
        err = velocities_plan(&own, policy_velocities(d.policy), why);
    if (!err && own)
        err = plan_merge(&both, (const struct plan *const[]){ *all, own }, 2, why);
    if (!err && own) {
        plan_free(*all);
        *all = both;
    }
    plan_free(own);
    draft_release(&d);
    return err;
}

static enum err join_rulesets(struct plan **all, struct pg_session *s, int64_t kept_ms, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, kept_ms);
    err = pg_exec(s, "SELECT version, body FROM rulesets_needed($1::int8 * interval '1 ms')", &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct why bad = { 0 };

        if (join_ruleset(all, pg_get_text(r, i, 1), &bad))
            log_event(LOG_ERROR, "ruleset_left_out", "version=%lld why=%s", (long long)pg_get_int(r, i, 0),
                      log_quoted(slice_str(bad.text)));
    }
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

enum err needs_read(struct plan **out, struct pg_session *s, const char *catalogue_path, int64_t kept_ms,
                    struct why *why)
{
    struct parts parts = { 0 };
    enum err err = ERR_OK;

    *out = NULL;
    if (*catalogue_path)
        err = add_catalogue(&parts, catalogue_path, why);
    if (!err)
        err = add_bundles(&parts, s, why);
    if (!err)
        err = plan_merge(out, (const struct plan *const *)parts.plans, parts.count, why);
    if (!err)
        err = join_rulesets(out, s, kept_ms, why);
    if (err) {
        plan_free(*out);
        *out = NULL;
    }
    for (size_t i = 0; i < parts.count; i++)
        plan_free(parts.plans[i]);
    mem_free(parts.plans);
    return err;
}

bool needs_are_met(const struct plan *plan, const struct plan *needed)
{
    for (size_t i = 0; i < plan_columns(needed); i++)
        if (plan_find(plan, plan_column(needed, i)->hash) == PLAN_NO_COLUMN)
            return false;
    return true;
}

bool needs_have_gone(const struct plan *plan, const struct plan *needed)
{
    for (size_t i = 0; i < plan_columns(plan); i++)
        if (velocity_is_column(plan_column(plan, i)) &&
            plan_find(needed, plan_column(plan, i)->hash) == PLAN_NO_COLUMN)
            return true;
    return false;
}
