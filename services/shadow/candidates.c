/* SPDX-License-Identifier: Apache-2.0 */
#include "candidates.h"

#include <inttypes.h>

#include "base/array.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "modelstore/keys.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "policy/policy.h"

enum { PLANS_HELD = 16 };

/* A plan that was served, and how a model reads its vectors. */
struct binding {
    unsigned char plan[SHA256_BYTES];
    size_t vector_bytes; /* 0: the model cannot read them */
    uint16_t *from;
};

struct candidate {
    int64_t version;
    struct bundle *bundle; /* NULL: it could not be opened, or nobody who is trusted signed it */
    struct arena arena;
    struct slice signature; /* as it stood when it was read; the arena's */
    uint64_t keys;          /* model_keys_stamp() then */
    struct forest_scratch *scratch;
    size_t columns;
    float *row;
    struct binding bindings[PLANS_HELD]; /* the newest first */
    size_t binding_count;
};

struct candidates {
    const char *model_keys;
    struct candidate **items;
    size_t count, cap;
};

static void candidate_free(struct candidate *c)
{
    for (size_t i = 0; i < c->binding_count; i++)
        mem_free(c->bindings[i].from);
    forest_scratch_free(c->scratch);
    mem_free(c->row);
    bundle_close(c->bundle);
    arena_release(&c->arena);
    mem_free(c);
}

struct candidates *candidates_new(const char *model_keys)
{
    struct candidates *c = mem_new(struct candidates);

    c->model_keys = model_keys;
    return c;
}

void candidates_free(struct candidates *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        candidate_free(c->items[i]);
    mem_free(c->items);
    mem_free(c);
}

size_t candidates_count(const struct candidates *c)
{
    return c->count;
}

struct candidate *candidates_at(const struct candidates *c, size_t i)
{
    return c->items[i];
}

int64_t candidate_version(const struct candidate *candidate)
{
    return candidate->version;
}

static bool is_passing(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT;
}

static enum err load(struct candidates *c, struct pg_session *s, int64_t version, struct slice signature,
                     struct why *why)
{
    struct candidate *item = mem_new(struct candidate);
    const struct trusted_keys *keys;
    struct arena arena = { 0 };
    struct buf bytes;
    enum err err;

    item->version = version;
    item->keys = model_keys_stamp(c->model_keys);
    item->signature = arena_slice(&item->arena, signature);
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_keys_read(&keys, c->model_keys, &arena, why);
    if (!err)
        err = model_read(s, version, keys, &bytes, why);
    arena_release(&arena);
    if (!err)
        err = bundle_open(&item->bundle, buf_slice(&bytes), why);
    buf_release(&bytes);
    if (is_passing(err)) {
        candidate_free(item);
        return err;
    }
    if (err) {
        log_event(LOG_ERROR, "model_refused", "version=%" PRId64 " err=%s why=%s", version, err_name(err),
                  log_quoted(slice_str(why->text)));
    } else {
        item->columns = plan_columns(bundle_plan(item->bundle));
        item->row = mem_new_n(float, item->columns + 1);
        item->scratch = forest_scratch_new(bundle_forest(item->bundle));
        log_event(LOG_INFO, "model_shadowed", "version=%" PRId64, version);
    }
    ARRAY_RESERVE_ONE(c->items, c->count, c->cap);
    c->items[c->count++] = item;
    return ERR_OK;
}

/* Not one that was refused, and has another signature since, or others are trusted: that is loaded again. */
static bool is_wanted(const struct candidates *c, const struct pg_result *r, const struct candidate *item)
{
    for (size_t i = 0; i < pg_rows(r); i++)
        if (pg_get_int(r, i, 0) == item->version)
            return item->bundle || (slice_eq(pg_get_bytes(r, i, 1), item->signature) &&
                                    item->keys == model_keys_stamp(c->model_keys));
    return false;
}

static bool is_held(const struct candidates *c, int64_t version)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i]->version == version)
            return true;
    return false;
}

enum err candidates_look(struct candidates *c, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    size_t kept = 0;
    enum err err = row_ask(s,
                           "SELECT version, coalesce(signature, '') FROM models m WHERE EXISTS (SELECT FROM "
                           "aliases a WHERE a.version = "
                           "m.version AND alias IN ('shadow', 'challenger')) ORDER BY version",
                           NULL, &r, why);

    for (size_t i = 0; !err && i < c->count; i++) {
        if (is_wanted(c, r, c->items[i]))
            c->items[kept++] = c->items[i];
        else
            candidate_free(c->items[i]);
    }
    if (!err)
        c->count = kept;
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        if (!is_held(c, pg_get_int(r, i, 0)))
            err = load(c, s, pg_get_int(r, i, 0), pg_get_bytes(r, i, 1), why);
    pg_result_free(r);
    return err;
}

/* ---- plans ---- */

static enum err read_plan(struct plan **out, struct pg_session *s, struct slice id, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = NULL;
    pg_add_bytes(&p, id);
    err = row_ask(s, "SELECT definition FROM plans WHERE plan = $1::bytea", &p, &r, why);
    if (!err && pg_rows(r))
        err = plan_parse(out, pg_get_text(r, 0, 0), why);
    if (*out && memcmp(plan_hash(*out), id.ptr, SHA256_BYTES) != 0) {
        plan_free(*out);
        *out = NULL;
    }
    pg_result_free(r);
    return err;
}

static enum err bind(struct candidate *c, struct pg_session *s, struct slice id, const struct binding **out,
                     struct why *why)
{
    struct binding *b = &c->bindings[0];
    struct plan *plan;
    enum err err;

    for (size_t i = 0; i < c->binding_count; i++) {
        *out = &c->bindings[i];
        if (memcmp(c->bindings[i].plan, id.ptr, SHA256_BYTES) == 0)
            return ERR_OK;
    }
    err = read_plan(&plan, s, id, why);
    if (err)
        return err;
    if (c->binding_count == PLANS_HELD)
        mem_free(c->bindings[--c->binding_count].from);
    memmove(b + 1, b, c->binding_count++ * sizeof *b);
    *b = (struct binding){ .from = mem_new_n(uint16_t, c->columns + 1) };
    memcpy(b->plan, id.ptr, SHA256_BYTES);
    if (plan) {
        size_t missing = plan_map(bundle_plan(c->bundle), plan, b->from);

        if (missing == PLAN_NO_COLUMN)
            b->vector_bytes = plan_columns(plan) * sizeof(float);
        else
            log_event(LOG_WARN, "plan_lacks_feature", "version=%" PRId64 " feature=%s", c->version,
                      log_quoted(plan_column(bundle_plan(c->bundle), missing)->name));
    }
    plan_free(plan);
    *out = b;
    return ERR_OK;
}

enum err candidate_score(struct candidate *c, struct pg_session *s, struct slice plan, struct slice vector,
                         struct shadow_score *out, enum scored *how, struct why *why)
{
    const struct binding *binding;
    struct bundle_thresholds t;
    enum err err;

    *how = UNSCORED_NO_VECTOR;
    if (plan.len != SHA256_BYTES || vector.len == 0)
        return ERR_OK;
    *how = UNSCORED_PLAN;
    if (!c->bundle)
        return ERR_OK;
    err = bind(c, s, plan, &binding, why);
    if (err || binding->vector_bytes != vector.len)
        return err;
    for (size_t i = 0; i < c->columns; i++)
        memcpy(&c->row[i], vector.ptr + sizeof(float) * binding->from[i], sizeof(float));
    t = bundle_thresholds(c->bundle);
    out->margin = forest_margin(bundle_forest(c->bundle), c->row, c->scratch);
    out->score = bundle_score(c->bundle, out->margin);
    out->action = policy_score_action(
        out->score,
        &(struct policy_thresholds){ .challenge = t.challenge, .review = t.review, .decline = t.decline });
    *how = SCORED;
    return ERR_OK;
}
