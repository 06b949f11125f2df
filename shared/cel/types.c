/* SPDX-License-Identifier: Apache-2.0 */
#include "cel/types.h"

#include "base/array.h"
#include "base/mem.h"

static const struct cel_type dyn = { .kind = CEL_DYN };
static const struct cel_type *const dyns[] = { &dyn, &dyn };
static const struct cel_type simple[CEL_KIND_COUNT] = {
    [CEL_DYN] = { .kind = CEL_DYN },
    [CEL_ERROR] = { .kind = CEL_ERROR },
    [CEL_NULL] = { .kind = CEL_NULL },
    [CEL_BOOL] = { .kind = CEL_BOOL },
    [CEL_INT] = { .kind = CEL_INT },
    [CEL_UINT] = { .kind = CEL_UINT },
    [CEL_DOUBLE] = { .kind = CEL_DOUBLE },
    [CEL_STRING] = { .kind = CEL_STRING },
    [CEL_BYTES] = { .kind = CEL_BYTES },
    [CEL_LIST] = { .kind = CEL_LIST, .params = dyns, .param_count = 1 },
    [CEL_MAP] = { .kind = CEL_MAP, .params = dyns, .param_count = 2 },
    [CEL_TIMESTAMP] = { .kind = CEL_TIMESTAMP },
    [CEL_DURATION] = { .kind = CEL_DURATION },
    [CEL_TYPE] = { .kind = CEL_TYPE, .params = dyns, .param_count = 1 },
    [CEL_OPTIONAL] = { .kind = CEL_OPTIONAL, .params = dyns, .param_count = 1 },
    [CEL_IP] = { .kind = CEL_IP },
    [CEL_CIDR] = { .kind = CEL_CIDR },
};

void types_release(struct types *ts)
{
    mem_free(ts->trail);
}

const struct cel_type *type_of(enum cel_kind kind)
{
    return &simple[kind];
}

const struct cel_type *type_with(struct types *ts, enum cel_kind kind, const struct cel_type *a,
                                 const struct cel_type *b)
{
    struct cel_type *type = arena_new(ts->arena, struct cel_type, 1);
    const struct cel_type **params = arena_new(ts->arena, const struct cel_type *, 2);

    params[0] = a;
    params[1] = b;
    *type = (struct cel_type){ .kind = kind, .params = params, .param_count = b ? 2 : 1 };
    return type;
}

const struct cel_type *type_open(struct types *ts)
{
    struct param *param = arena_new(ts->arena, struct param, 1);

    param->type.kind = CEL_PARAM;
    return &param->type;
}

/* Every CEL_PARAM in here was made by type_open(). */
static struct param *param_of(const struct cel_type *type)
{
    return (struct param *)(uintptr_t)type;
}

const struct cel_type *type_deref(const struct cel_type *type)
{
    while (type->kind == CEL_PARAM && param_of(type)->bound)
        type = param_of(type)->bound;
    return type;
}

enum cel_kind type_kind(const struct cel_type *type)
{
    type = type_deref(type);
    return type->kind == CEL_PARAM || type->kind == CEL_ERROR ? CEL_DYN : type->kind;
}

const struct cel_type *type_param(const struct cel_type *type, size_t i)
{
    type = type_deref(type);
    return i < type->param_count ? type->params[i] : &dyn;
}

/* ---- signatures ---- */

const struct cel_type *type_parse(struct types *ts, const char **text, const struct cel_type *opened[2])
{
    static const struct {
        char letter;
        enum cel_kind kind;
    } letters[] = { { '*', CEL_DYN },       { 'n', CEL_NULL },     { 'b', CEL_BOOL },   { 'i', CEL_INT },
                    { 'u', CEL_UINT },      { 'd', CEL_DOUBLE },   { 's', CEL_STRING }, { 'y', CEL_BYTES },
                    { 't', CEL_TIMESTAMP }, { 'D', CEL_DURATION }, { 'I', CEL_IP },     { 'C', CEL_CIDR } };
    char letter = *(*text)++;
    const struct cel_type *a;

    switch (letter) {
    case '[':
        return type_with(ts, CEL_LIST, type_parse(ts, text, opened), NULL);
    case '?':
        return type_with(ts, CEL_OPTIONAL, type_parse(ts, text, opened), NULL);
    case 'Y':
        return type_with(ts, CEL_TYPE, type_parse(ts, text, opened), NULL);
    case '{':
        a = type_parse(ts, text, opened);
        return type_with(ts, CEL_MAP, a, type_parse(ts, text, opened));
    case 'A':
    case 'B':
        if (!opened[letter - 'A'])
            opened[letter - 'A'] = type_open(ts);
        return opened[letter - 'A'];
    default:
        for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
            if (letters[i].letter == letter)
                return type_of(letters[i].kind);
        }
        return &dyn;
    }
}

const struct cel_type *type_instance(struct types *ts, const struct cel_type *type, struct opened_params *p)
{
    struct cel_type *copy;
    const struct cel_type **params;

    if (type->kind == CEL_PARAM) {
        for (size_t i = 0; i < p->count; i++) {
            if (slice_eq(p->items[i].name, type->name))
                return p->items[i].type;
        }
        if (p->count == ARRAY_LEN(p->items))
            return &dyn;
        p->items[p->count].name = type->name;
        return p->items[p->count++].type = type_open(ts);
    }
    if (type->param_count == 0)
        return type->kind < CEL_KIND_COUNT ? type_of(type->kind) : type;
    copy = arena_new(ts->arena, struct cel_type, 1);
    params = arena_new(ts->arena, const struct cel_type *, type->param_count);
    for (size_t i = 0; i < type->param_count; i++)
        params[i] = type_instance(ts, type->params[i], p);
    *copy = *type;
    copy->params = params;
    return copy;
}

/* ---- what fits where ---- */

size_t types_mark(const struct types *ts)
{
    return ts->trail_count;
}

void types_undo(struct types *ts, size_t mark)
{
    while (ts->trail_count > mark) {
        ts->trail_count--;
        ts->trail[ts->trail_count].param->bound = ts->trail[ts->trail_count].before;
    }
}

static void bind(struct types *ts, const struct cel_type *param, const struct cel_type *type)
{
    ARRAY_RESERVE_ONE(ts->trail, ts->trail_count, ts->trail_cap);
    ts->trail[ts->trail_count].param = param_of(param);
    ts->trail[ts->trail_count++].before = param_of(param)->bound;
    param_of(param)->bound = type;
}

static bool is_spent(struct types *ts)
{
    return ++ts->work > TYPES_WORK_MAX;
}

/* Whether the parameter stands inside the type, which would make it endless. */
static bool is_inside(struct types *ts, const struct cel_type *param, const struct cel_type *type)
{
    type = type_deref(type);
    if (type == param || is_spent(ts))
        return true;
    for (size_t i = 0; i < type->param_count; i++) {
        if (is_inside(ts, param, type->params[i]))
            return true;
    }
    return false;
}

static bool are_same(struct types *ts, const struct cel_type *a, const struct cel_type *b)
{
    a = type_deref(a);
    b = type_deref(b);
    if (a == b)
        return true;
    if (a->kind != b->kind || a->kind == CEL_PARAM || a->param_count != b->param_count ||
        !slice_eq(a->name, b->name) || is_spent(ts))
        return false;
    for (size_t i = 0; i < a->param_count; i++) {
        if (!are_same(ts, a->params[i], b->params[i]))
            return false;
    }
    return true;
}

/* Whether `a` says no more than `b` does. */
static bool is_general(struct types *ts, const struct cel_type *a, const struct cel_type *b)
{
    a = type_deref(a);
    b = type_deref(b);
    if (a->kind == CEL_DYN || a->kind == CEL_PARAM)
        return true;
    if (b->kind == CEL_DYN || b->kind == CEL_PARAM || a->kind != b->kind || is_spent(ts))
        return false;
    if (a->kind == CEL_TYPE)
        return true;
    if (a->param_count != b->param_count || !slice_eq(a->name, b->name))
        return false;
    for (size_t i = 0; i < a->param_count; i++) {
        if (!is_general(ts, a->params[i], b->params[i]))
            return false;
    }
    return true;
}

static bool takes_null(enum cel_kind kind)
{
    return kind == CEL_ABSTRACT || kind == CEL_OPTIONAL || kind == CEL_TIMESTAMP || kind == CEL_DURATION;
}

/* The parameter meets a type: it becomes that, or the more general of that and what it was. */
static bool meet(struct types *ts, const struct cel_type *param, const struct cel_type *type)
{
    const struct cel_type *bound = param_of(param)->bound;

    if (!bound) {
        if (type_deref(type) == param)
            return true;
        if (is_inside(ts, param, type))
            return false;
        bind(ts, param, type);
        return true;
    }
    if (are_same(ts, bound, type))
        return true;
    if (!type_fits(ts, type, bound))
        return false;
    if (is_general(ts, type, bound) && !is_inside(ts, param, type))
        bind(ts, param, type);
    return true;
}

bool type_fits(struct types *ts, const struct cel_type *have, const struct cel_type *want)
{
    if (is_spent(ts))
        return false;
    if (have == want)
        return true;
    if (want->kind == CEL_PARAM)
        return meet(ts, want, have);
    if (have->kind == CEL_PARAM)
        return meet(ts, have, want);
    if (have->kind == CEL_DYN || want->kind == CEL_DYN || have->kind == CEL_ERROR || want->kind == CEL_ERROR)
        return true;
    if (have->kind == CEL_NULL && takes_null(want->kind))
        return true;
    if (want->kind == CEL_NULL && takes_null(have->kind))
        return true;
    if (have->kind != want->kind || !slice_eq(have->name, want->name))
        return false;
    if (have->kind == CEL_TYPE)
        return true;
    if (have->param_count != want->param_count)
        return false;
    for (size_t i = 0; i < have->param_count; i++) {
        if (!type_fits(ts, have->params[i], want->params[i]))
            return false;
    }
    return true;
}

const struct cel_type *type_join(struct types *ts, const struct cel_type *a, const struct cel_type *b)
{
    size_t mark = types_mark(ts);

    if (!a || a == b)
        return b;
    if (!type_fits(ts, a, b)) {
        types_undo(ts, mark);
        return &dyn;
    }
    if (type_deref(a)->kind == CEL_NULL && type_deref(b)->kind != CEL_DYN)
        return b;
    return type_deref(b)->kind == CEL_NULL || is_general(ts, a, b) ? a : b;
}

const struct cel_type *type_final(struct types *ts, const struct cel_type *type)
{
    struct cel_type *copy;
    const struct cel_type **params;

    type = type_deref(type);
    if (type->kind == CEL_PARAM || is_spent(ts))
        return &dyn;
    if (type->param_count == 0)
        return type;
    copy = arena_new(ts->arena, struct cel_type, 1);
    params = arena_new(ts->arena, const struct cel_type *, type->param_count);
    for (size_t i = 0; i < type->param_count; i++)
        params[i] = type_final(ts, type->params[i]);
    *copy = *type;
    copy->params = params;
    return copy;
}

void cel_type_print(const struct cel_type *type, struct buf *out)
{
    if (type->kind == CEL_ABSTRACT || type->kind == CEL_PARAM)
        buf_add_slice(out, type->name);
    else
        buf_add_str(out, type->kind == CEL_DYN ? "dyn" : cel_kind_name(type->kind));
    for (size_t i = 0; i < type->param_count; i++) {
        buf_add_str(out, i ? ", " : "(");
        cel_type_print(type->params[i], out);
    }
    if (type->param_count)
        buf_add_char(out, ')');
}
