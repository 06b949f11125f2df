/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/plan.h"

#include <assert.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "featurestore/expression.h"
#include "featurestore/layout.h"
#include "featurestore/order.h"

/* ---- making ---- */

static struct feature copy_feature(const struct feature *f, struct arena *arena)
{
    struct feature copy = *f;

    copy.name = arena_slice(arena, f->name);
    copy.describe = arena_slice(arena, f->describe);
    copy.definition = arena_slice(arena, f->definition);
    for (size_t i = 0; i < f->entity_fields; i++)
        copy.entity[i] = arena_slice(arena, f->entity[i]);
    copy.field = arena_slice(arena, f->field);
    copy.where = arena_slice(arena, f->where);
    copy.expr = arena_slice(arena, f->expr);
    copy.line = 0;
    return copy;
}

static void write_text(struct plan *p)
{
    unsigned char *hashes = arena_new(&p->arena, unsigned char, p->columns *SHA256_BYTES + 1);
    struct buf text;

    buf_init(&text, 0);
    buf_add_str(&text, p->count ? "features:\n" : "features: []\n");
    for (size_t i = 0; i < p->count; i++) {
        buf_add_str(&text, "- ");
        feature_print(&p->features[i], true, &text);
        buf_add_char(&text, '\n');
    }
    p->text = arena_slice(&p->arena, buf_slice(&text));
    buf_release(&text);
    for (size_t i = 0; i < p->columns; i++)
        memcpy(hashes + i * SHA256_BYTES, p->features[i].hash, SHA256_BYTES);
    sha256(slice_of(hashes, p->columns * SHA256_BYTES), p->hash);
}

/* A name that is taken by another definition gets the beginning of its identity. */
static void make_names_unique(struct plan *p)
{
    for (size_t i = 1; i < p->count; i++) {
        struct slice *name = &p->features[i].name;
        char hex[9];

        for (size_t k = 0; k < i; k++) {
            if (!slice_eq(p->features[k].name, *name))
                continue;
            hex_encode(p->features[i].hash, 4, hex);
            if (name->len > FEATURE_NAME_MAX - 9)
                name->len = FEATURE_NAME_MAX - 9;
            *name = arena_printf(&p->arena, "%.*s_%s", SLICE_ARG(*name), hex);
            break;
        }
    }
}

/* Makes a plan of features whose names, identities and dependencies are in order. */
static enum err make(struct plan **out, const struct feature *const *features, const bool *is_hidden,
                     size_t count, struct why *why)
{
    struct plan *p = mem_new(struct plan);
    enum err err;

    *out = NULL;
    p->features = arena_new(&p->arena, struct feature, count + 1);
    p->compiled = arena_new(&p->arena, struct compiled, count + 1);
    for (int hidden = 0; hidden < 2; hidden++) {
        for (size_t i = 0; i < count; i++) {
            if (is_hidden[i] == (hidden == 1)) {
                p->features[p->count] = copy_feature(features[i], &p->arena);
                p->features[p->count++].is_hidden = is_hidden[i];
            }
        }
        if (!hidden)
            p->columns = p->count;
    }
    make_names_unique(p);
    if (p->count > CATALOGUE_FEATURES_MAX) {
        err = err_set(why, ERR_INVALID, "a plan has at most %d features, this has %zu",
                      CATALOGUE_FEATURES_MAX, p->count);
        goto out;
    }
    for (size_t i = 0; i < p->count; i++)
        layout_book(p, i);
    if (p->fraud_conditions > FRAUD_CONDITIONS_MAX || p->value_count > VALUES_MAX) {
        err = err_set(why, ERR_INVALID, "at most %d conditions on fraud counts and %d summed fields",
                      FRAUD_CONDITIONS_MAX, VALUES_MAX);
        goto out;
    }
    err = order_compile(p, why);
    if (err)
        goto out;
    for (size_t i = 0; i < p->entity_count; i++)
        layout_entity(p, &p->entities[i]);
    for (size_t i = 0; i < p->entity_count; i++) {
        p->fraud_entities += p->entities[i].has_fraud;
        if (p->entities[i].has_fraud && p->entities[i].idle_us < p->ledger_us)
            p->entities[i].idle_us = p->ledger_us; /* what the ledger points to is there */
    }
    for (size_t i = 0; i < p->count; i++)
        layout_place(p, &p->compiled[i]);
    order_steps(p);
    write_text(p);
    *out = p;
    p = NULL;
out:
    plan_free(p);
    return err;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->entity_count; i++) {
        struct entity_layout *e = &p->entities[i];

        for (size_t t = 0; t < e->track_count; t++) {
            for (size_t s = 0; s < e->tracks[t].span_count; s++)
                mem_free(e->tracks[t].spans[s].runs);
            mem_free(e->tracks[t].spans);
            mem_free(e->tracks[t].columns);
            mem_free(e->tracks[t].events.values);
        }
        for (size_t v = 0; v < e->variety_count; v++)
            mem_free(e->varieties[v].spans);
        mem_free(e->tracks);
        mem_free(e->varieties);
        mem_free(e->recents);
        mem_free(e->lifetimes);
        mem_free(e->edges);
        mem_free(e->events.values);
        mem_free(e->events.texts);
    }
    for (size_t i = 0; i < p->condition_count; i++)
        cel_free(p->conditions[i].program);
    for (size_t i = 0; i < p->count; i++)
        cel_free(p->compiled[i].program);
    mem_free(p->entities);
    mem_free(p->conditions);
    mem_free(p->values);
    mem_free(p->texts);
    mem_free(p->slot_fields);
    mem_free(p->steps);
    arena_release(&p->arena);
    mem_free(p);
}

enum err plan_build(struct plan **out, const struct catalogue *catalogue, struct why *why)
{
    const struct feature **features = mem_new_n(const struct feature *, catalogue->count + 1);
    bool *is_hidden = mem_new_n(bool, catalogue->count + 1);
    enum err err;

    for (size_t i = 0; i < catalogue->count; i++) {
        features[i] = &catalogue->features[i];
        is_hidden[i] = features[i]->is_hidden;
    }
    err = make(out, features, is_hidden, catalogue->count, why);
    mem_free(features);
    mem_free(is_hidden);
    return err;
}

static size_t find(const struct feature *const *features, size_t count, const unsigned char *hash)
{
    size_t i = 0;

    while (i < count && memcmp(features[i]->hash, hash, SHA256_BYTES) != 0)
        i++;
    return i;
}

enum err plan_merge(struct plan **out, const struct plan *const *plans, size_t count, struct why *why)
{
    const struct feature **features;
    bool *is_hidden;
    size_t used = 0, room = 1;
    enum err err;

    for (size_t i = 0; i < count; i++)
        room += plans[i]->count;
    features = mem_new_n(const struct feature *, room);
    is_hidden = mem_new_n(bool, room);
    for (int hidden = 0; hidden < 2; hidden++) { /* what anyone shows comes first, in order */
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < plans[i]->count; k++) {
                const struct feature *f = &plans[i]->features[k];

                if (f->is_hidden != (hidden == 1) || find(features, used, f->hash) < used)
                    continue;
                features[used] = f;
                is_hidden[used++] = f->is_hidden;
            }
        }
    }
    err = make(out, features, is_hidden, used, why);
    mem_free(features);
    mem_free(is_hidden);
    return err;
}

/* Adds, hidden, what the texts refer to. `features` has room for the whole plan. */
static void add_references(const struct plan *p, struct slice text, const struct feature **features,
                           size_t *used)
{
    unsigned char hash[SHA256_BYTES];

    for (size_t i = 0; i + FEATURE_REFERENCE_LEN <= text.len; i++) {
        if (!feature_reference_read(slice_of(text.ptr + i, FEATURE_REFERENCE_LEN), hash))
            continue;
        for (size_t k = 0; k < p->count; k++) {
            if (memcmp(p->features[k].hash, hash, sizeof hash) == 0 && find(features, *used, hash) == *used)
                features[(*used)++] = &p->features[k];
        }
    }
}

enum err plan_select(struct plan **out, const struct plan *plan, const struct slice *names, size_t count,
                     struct why *why)
{
    const struct feature **features = mem_new_n(const struct feature *, plan->count + 1);
    bool *is_hidden = mem_new_n(bool, plan->count + 1);
    size_t used = 0;
    enum err err = ERR_OK;

    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t column = plan_find_name(plan, names[i]);

        if (column == PLAN_NO_COLUMN) {
            err = err_set(why, ERR_NOT_FOUND, "the plan has no column %.*s", SLICE_ARG(names[i]));
            goto out;
        }
        if (find(features, used, plan->features[column].hash) < used) {
            err = err_set(why, ERR_INVALID, "the column %.*s is asked for twice", SLICE_ARG(names[i]));
            goto out;
        }
        features[used++] = &plan->features[column];
    }
    for (size_t i = 0; i < used; i++) { /* grows while it runs, until nothing refers to what is not there */
        is_hidden[i] = i >= count;
        add_references(plan, features[i]->where, features, &used);
        add_references(plan, features[i]->expr, features, &used);
    }
    err = make(out, features, is_hidden, used, why);
out:
    mem_free(features);
    mem_free(is_hidden);
    return err;
}

enum err plan_parse(struct plan **out, struct slice text, struct why *why)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    enum err err = catalogue_parse(&catalogue, text, &arena, why);

    *out = NULL;
    if (!err)
        err = plan_build(out, &catalogue, why);
    if (!err && !slice_eq(plan_text(*out), text)) {
        err = err_set(why, ERR_INVALID, "not the text of a plan: it is spelt in another way");
        plan_free(*out);
        *out = NULL;
    }
    arena_release(&arena);
    return err;
}

/* ---- reading ---- */

struct slice plan_text(const struct plan *plan)
{
    return plan->text;
}

const unsigned char *plan_hash(const struct plan *plan)
{
    return plan->hash;
}

size_t plan_columns(const struct plan *plan)
{
    return plan->columns;
}

const struct feature *plan_column(const struct plan *plan, size_t column)
{
    assert(column < plan->columns);
    return &plan->features[column];
}

size_t plan_find(const struct plan *plan, const unsigned char *hash)
{
    for (size_t i = 0; i < plan->columns; i++) {
        if (memcmp(plan->features[i].hash, hash, SHA256_BYTES) == 0)
            return i;
    }
    return PLAN_NO_COLUMN;
}

size_t plan_find_name(const struct plan *plan, struct slice name)
{
    for (size_t i = 0; i < plan->columns; i++) {
        if (slice_eq(plan->features[i].name, name))
            return i;
    }
    return PLAN_NO_COLUMN;
}

size_t plan_map(const struct plan *own, const struct plan *served, uint16_t *from)
{
    size_t columns = plan_columns(own), lacks = PLAN_NO_COLUMN;

    static_assert(PLAN_COLUMNS_MAX <= PLAN_NO_PLACE, "a place fits, and none is PLAN_NO_PLACE");
    for (size_t c = 0; c < columns; c++) {
        size_t place = plan_find(served, plan_column(own, c)->hash);

        if (place == PLAN_NO_COLUMN && lacks == PLAN_NO_COLUMN)
            lacks = c;
        from[c] = place == PLAN_NO_COLUMN ? PLAN_NO_PLACE : (uint16_t)place;
    }
    return lacks;
}
