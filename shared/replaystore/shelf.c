/* SPDX-License-Identifier: Apache-2.0 */
#include "replaystore/shelf.h"

#include <inttypes.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "lifestore/row.h"
#include "modelstore/modelstore.h"
#include "policystore/document.h"
#include "policystore/lists.h"

struct held_policy {
    int64_t version, shadow;
    struct policy *policy;
};

struct shelf {
    struct shelf_model *models[SHELF_MODELS_MAX]; /* the last asked for first, as in the others */
    size_t model_count;
    struct plan *plans[SHELF_PLANS_MAX];
    size_t plan_count;
    struct held_policy policies[SHELF_POLICIES_MAX];
    size_t policy_count;
    struct shelf_list *lists;
    size_t list_count;
};

struct shelf *shelf_new(void)
{
    return mem_new(struct shelf);
}

static void model_free(struct shelf_model *m)
{
    if (!m)
        return;
    forest_scratch_free(m->scratch);
    mem_free(m->row);
    mem_free(m->contributions);
    bundle_close(m->bundle);
    mem_free(m);
}

static void drop_lists(struct shelf *shelf)
{
    for (size_t i = 0; i < shelf->list_count; i++)
        list_unref(shelf->lists[i].list);
    mem_free(shelf->lists);
    shelf->lists = NULL;
    shelf->list_count = 0;
}

void shelf_free(struct shelf *shelf)
{
    if (!shelf)
        return;
    for (size_t i = 0; i < shelf->model_count; i++)
        model_free(shelf->models[i]);
    for (size_t i = 0; i < shelf->plan_count; i++)
        plan_free(shelf->plans[i]);
    for (size_t i = 0; i < shelf->policy_count; i++)
        policy_free(shelf->policies[i].policy);
    drop_lists(shelf);
    mem_free(shelf);
}

/* Takes the item at `place` of `items` to the front. */
static void to_front(void *items, size_t place, size_t size)
{
    unsigned char *all = items, item[sizeof(struct held_policy)];

    static_assert(sizeof item >= sizeof(void *), "any item has room");
    memcpy(item, all + place * size, size);
    memmove(all + size, all, place * size);
    memcpy(all, item, size);
}

/* ---- models ---- */

static enum err model_open(struct shelf_model **out, struct pg_session *s, int64_t version, struct why *why)
{
    struct shelf_model *m = mem_new(struct shelf_model);
    struct buf bytes;
    enum err err;

    *out = NULL;
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    m->version = version;
    err = model_read(s, version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&m->bundle, buf_slice(&bytes), why);
    buf_release(&bytes);
    if (err) {
        model_free(m);
        return err;
    }
    m->scratch = forest_scratch_new(bundle_forest(m->bundle));
    m->row = mem_new_n(float, forest_columns(bundle_forest(m->bundle)) + 1);
    m->contributions = mem_new_n(double, forest_columns(bundle_forest(m->bundle)) + 1);
    *out = m;
    return ERR_OK;
}

enum err shelf_model(struct shelf *shelf, struct pg_session *s, int64_t version,
                     const struct shelf_model **out, struct why *why)
{
    struct shelf_model *m;
    size_t place = 0;
    enum err err;

    while (place < shelf->model_count && shelf->models[place]->version != version)
        place++;
    if (place == shelf->model_count) {
        err = model_open(&m, s, version, why);
        if (err)
            return err;
        if (place == SHELF_MODELS_MAX)
            model_free(shelf->models[--place]);
        shelf->models[place] = m;
        shelf->model_count = place + 1;
    }
    to_front(shelf->models, place, sizeof shelf->models[0]);
    *out = shelf->models[0];
    return ERR_OK;
}

/* ---- plans ---- */

static enum err plan_open(struct plan **out, struct pg_session *s, struct slice hash, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = NULL;
    pg_add_bytes(&p, hash);
    err = row_ask(s, "SELECT definition FROM plans WHERE plan = $1::bytea", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "the plan of its vector is not in `plans`");
    if (!err)
        err = plan_parse(out, pg_get_text(r, 0, 0), why);
    pg_result_free(r);
    if (!err && !slice_eq(slice_of(plan_hash(*out), SHA256_BYTES), hash)) {
        plan_free(*out);
        *out = NULL;
        err = err_set(why, ERR_INTERNAL, "the plan of its vector is not what its hash says");
    }
    return err;
}

enum err shelf_plan(struct shelf *shelf, struct pg_session *s, struct slice hash, const struct plan **out,
                    struct why *why)
{
    struct plan *plan;
    size_t place = 0;
    enum err err;

    if (hash.len != SHA256_BYTES)
        return err_set(why, ERR_NOT_FOUND, "a plan is named by %d bytes", SHA256_BYTES);
    while (place < shelf->plan_count && memcmp(plan_hash(shelf->plans[place]), hash.ptr, hash.len) != 0)
        place++;
    if (place == shelf->plan_count) {
        err = plan_open(&plan, s, hash, why);
        if (err)
            return err;
        if (place == SHELF_PLANS_MAX)
            plan_free(shelf->plans[--place]);
        shelf->plans[place] = plan;
        shelf->plan_count = place + 1;
    }
    to_front(shelf->plans, place, sizeof shelf->plans[0]);
    *out = shelf->plans[0];
    return ERR_OK;
}

/* ---- rule sets ---- */

static enum err add_set(struct policy *policy, struct pg_session *s, int64_t version, bool is_shadow,
                        struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct arena arena = { 0 };
    struct document d = { 0 };
    enum err err;

    if (version == 0)
        return ERR_OK;
    pg_add_i64(&p, version);
    err = row_ask(s, "SELECT account, body::text FROM rulesets WHERE version = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no rule set %" PRId64, version);
    if (!err)
        err = document_read(&d, pg_get_text(r, 0, 1), &arena, why);
    if (!err) {
        d.set.account = (uint32_t)pg_get_int(r, 0, 0);
        d.set.version = arena_printf(&arena, "%" PRId64, version);
        d.set.is_shadow = is_shadow;
        err = policy_add_ruleset(policy, &d.set, why);
    }
    pg_result_free(r);
    arena_release(&arena);
    return err;
}

enum err shelf_policy(struct shelf *shelf, struct pg_session *s, int64_t version, int64_t shadow,
                      struct policy **out, struct why *why)
{
    struct held_policy *held = shelf->policies;
    struct policy *policy;
    size_t place = 0;
    enum err err;

    while (place < shelf->policy_count && (held[place].version != version || held[place].shadow != shadow))
        place++;
    if (place == shelf->policy_count) {
        policy = policy_new();
        err = add_set(policy, s, version, false, why);
        if (!err)
            err = add_set(policy, s, shadow, true, why);
        if (err) {
            policy_free(policy);
            return err;
        }
        if (place == SHELF_POLICIES_MAX)
            policy_free(held[--place].policy);
        held[place] = (struct held_policy){ version, shadow, policy };
        shelf->policy_count = place + 1;
    }
    to_front(held, place, sizeof held[0]);
    *out = held[0].policy;
    return ERR_OK;
}

/* ---- lists ---- */

enum err shelf_look_at_lists(struct shelf *shelf, struct pg_session *s, struct why *why)
{
    struct arena arena = { 0 };
    struct list_life *ever;
    size_t count;
    enum err err = lists_ever(s, &arena, &ever, &count, why);

    if (!err) {
        drop_lists(shelf);
        shelf->lists = mem_new_n(struct shelf_list, count + 1);
        shelf->list_count = count;
    }
    for (size_t i = 0; i < count; i++)
        shelf->lists[i] = (struct shelf_list){
            .number = ever[i].number,
            .created_at_us = ever[i].created_at_us,
            .dropped_at_us = ever[i].dropped_at_us,
            .list = list_new_of(ever[i].type, (uint32_t)ever[i].account, ever[i].name, ever[i].purpose,
                                ever[i].field),
        };
    arena_release(&arena);
    return err;
}

size_t shelf_lists(const struct shelf *shelf, const struct shelf_list **lists)
{
    *lists = shelf->lists;
    return shelf->list_count;
}
