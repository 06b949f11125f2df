/* SPDX-License-Identifier: Apache-2.0
 * velocity.c - a call becomes the text of a catalogue, and the catalogue's reader makes a feature of it. */
#include "velocity/velocity.h"

#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "featurestore/catalogue.h"
#include "fraud/field.h"

enum { WORDS_MAX = 200 }; /* what `describe` has room for */

struct named {
    struct slice call; /* canonical */
    size_t feature;
};

struct velocities {
    struct arena arena;
    struct named *calls;
    size_t call_count, call_cap;
    struct feature *features;
    size_t feature_count, feature_cap;
};

static const struct function {
    const char *name;
    bool has_field, has_window;
} functions[] = {
    { "count", false, true },       { "sum", true, true },          { "mean", true, true },
    { "min", true, true },          { "max", true, true },          { "distinct", true, true },
    { "since_last", false, false }, { "first_seen", false, false },
};

struct velocities *velocities_new(void)
{
    return mem_new(struct velocities);
}

void velocities_free(struct velocities *v)
{
    if (!v)
        return;
    mem_free(v->calls);
    mem_free(v->features);
    arena_release(&v->arena);
    mem_free(v);
}

/* ---- reading a call ---- */

/* What is being read, and where a fault is. */
struct reading {
    const struct function *function;
    const struct cel_call *call;
    size_t next; /* argument */
    size_t *at;
    struct why *why;
    struct buf text; /* of the catalogue */
};

static enum cel_claim fail(struct reading *r, size_t at, const char *format, ...) PRINTF_LIKE(3, 4);
static enum cel_claim fail(struct reading *r, size_t at, const char *format, ...)
{
    char text[300];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_explain(r->why, "%s", text);
    *r->at = at;
    return CEL_CLAIM_FAULT;
}

static const struct function *function_of(const struct cel_call *call)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        bool is_number = slice_eq_str(call->function, "min") || slice_eq_str(call->function, "max");

        if (!slice_eq_str(call->function, functions[i].name))
            continue;
        for (size_t k = 0; k < call->arg_count && is_number; k++)
            is_number = call->args[k].kind != CEL_ARG_TEXT;
        return is_number ? NULL : &functions[i];
    }
    return NULL;
}

static const struct cel_arg *take(struct reading *r)
{
    return r->next < r->call->arg_count ? &r->call->args[r->next++] : NULL;
}

/* "card" is card_id, "tx.card_id" too. */
static bool find_field(struct slice name, struct txn_field *field, struct slice *full, char room[80])
{
    static const char *const ends[] = { "", "_id", "_hash" };

    if (slice_starts_with(name, SLICE("tx.")))
        name = slice_of(name.ptr + 3, name.len - 3);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        int len = snprintf(room, 80, "%.*s%s", name.len > 60 ? 60 : (int)name.len, name.ptr, ends[i]);

        if (i > 0 && name.len > 60)
            return false;
        *full = i > 0 ? slice_of(room, (size_t)len) : name;
        if (txn_field_find(*full, field))
            return true;
    }
    return false;
}

/* As much of what was written as a message has room for. */
static int shown(struct slice s)
{
    return s.len > 60 ? 60 : (int)s.len;
}

static enum cel_claim add_entity_field(struct reading *r, const struct cel_arg *arg, size_t before)
{
    struct txn_field field;
    struct slice full;
    char room[80];

    if (arg->kind != CEL_ARG_NAME || !find_field(arg->text, &field, &full, room) ||
        field.kind == TXN_FIELD_NUMBER)
        return fail(
            r, arg->at,
            "%.*s is no entity: card, customer, merchant, terminal, device, ip, email, attributes.<name>, "
            "...",
            shown(arg->text), arg->text.ptr);
    if (before)
        buf_add_str(&r->text, ", ");
    catalogue_quote(&r->text, full);
    return CEL_CLAIM_NAME;
}

static enum cel_claim add_entity(struct reading *r, const char *key)
{
    const struct cel_arg *arg = take(r);
    enum cel_claim claim = CEL_CLAIM_NAME;

    if (!arg)
        return fail(r, r->call->at, "%s() needs an entity such as card", r->function->name);
    buf_printf(&r->text, "\"%s\": [", key);
    if (arg->kind != CEL_ARG_NAMES)
        claim = add_entity_field(r, arg, 0);
    else if (arg->name_count > ENTITY_FIELDS_MAX)
        claim = fail(r, arg->at, "an entity has at most %d fields", ENTITY_FIELDS_MAX);
    for (size_t i = 0; arg->kind == CEL_ARG_NAMES && i < arg->name_count && claim == CEL_CLAIM_NAME; i++)
        claim = add_entity_field(r, &arg->names[i], i);
    buf_add_char(&r->text, ']');
    return claim;
}

static enum cel_claim add_field(struct reading *r)
{
    const struct cel_arg *arg = take(r);
    bool is_distinct = slice_eq_str(r->call->function, "distinct");
    struct txn_field field;
    struct slice full;
    char room[80];

    if (!arg)
        return fail(r, r->call->at, "%s() needs a field, an entity and a window", r->function->name);
    if (arg->kind != CEL_ARG_NAME || !find_field(arg->text, &field, &full, room) ||
        (is_distinct ? field.kind == TXN_FIELD_NUMBER
                     : field.kind == TXN_FIELD_TEXT ||
                           (field.kind == TXN_FIELD_NUMBER && !slice_eq_str(full, "amount"))))
        return fail(r, arg->at, "%s() cannot be had of %.*s: %s", r->function->name, shown(arg->text),
                    arg->text.ptr,
                    is_distinct ? "merchant, ip, country or another text, or attributes.<name>"
                                : "amount or attributes.<name>");
    buf_printf(&r->text, "\"%s\": ", r->function->name);
    catalogue_quote(&r->text, full);
    buf_add_str(&r->text, ", ");
    return CEL_CLAIM_NAME;
}

/* 1m to 90d, as the catalogue has it: then nothing but digits and a unit gets there. */
static bool is_window(struct slice s)
{
    static const struct {
        char unit;
        int64_t us;
    } units[] = { { 's', SECOND_US }, { 'm', MINUTE_US }, { 'h', HOUR_US }, { 'd', DAY_US } };
    int64_t number;

    for (size_t i = 0; i < ARRAY_LEN(units) && s.len > 1; i++) {
        if (s.ptr[s.len - 1] == units[i].unit)
            return s.ptr[0] >= '0' && s.ptr[0] <= '9' && slice_to_i64(slice_of(s.ptr, s.len - 1), &number) &&
                   number <= 90 * DAY_US / units[i].us && number * units[i].us >= MINUTE_US;
    }
    return false;
}

static enum cel_claim add_window(struct reading *r)
{
    const struct cel_arg *arg = take(r);

    if (!arg || arg->kind != CEL_ARG_TEXT)
        return fail(r, arg ? arg->at : r->call->at, "%s() needs a window such as \"10m\", \"24h\" or \"30d\"",
                    r->function->name);
    if (!is_window(arg->text))
        return fail(r, arg->at, "\"%.*s\" is no window: \"1m\" to \"90d\", in s, m, h or d", shown(arg->text),
                    arg->text.ptr);
    buf_add_str(&r->text, ", \"window\": ");
    catalogue_quote(&r->text, arg->text);
    return CEL_CLAIM_NAME;
}

static enum cel_claim add_option(struct reading *r, const struct cel_arg *arg)
{
    struct slice s = arg->text;

    if (slice_eq_str(s, "including") && r->function->has_window)
        buf_add_str(&r->text, ", \"include_current\": true");
    else if (slice_eq_str(s, "exact") && r->function->has_window)
        buf_add_str(&r->text, ", \"mode\": \"exact\"");
    else if (s.len == 7 && slice_starts_with(s, SLICE("scale=")) && s.ptr[6] >= '0' && s.ptr[6] <= '9' &&
             r->function->has_field)
        buf_printf(&r->text, ", \"scale\": %c", s.ptr[6]);
    else
        return fail(r, arg->at, "%s() knows no \"%.*s\" here: %s", r->function->name, shown(s), s.ptr,
                    !r->function->has_window ? "only a condition may follow"
                    : r->function->has_field ? "\"including\", \"exact\" or \"scale=2\""
                                             : "\"including\" or \"exact\"");
    return CEL_CLAIM_NAME;
}

/* A condition, then options. */
static enum cel_claim add_rest(struct reading *r)
{
    enum cel_claim claim = CEL_CLAIM_NAME;
    const struct cel_arg *arg;
    bool is_first = true;

    while (claim == CEL_CLAIM_NAME && (arg = take(r))) {
        if (arg->kind == CEL_ARG_TEXT) {
            claim = add_option(r, arg);
        } else if (is_first) {
            buf_add_str(&r->text, ", \"where\": ");
            catalogue_quote(&r->text, arg->text);
        } else {
            claim = fail(r, arg->at, "nothing but texts may follow the condition");
        }
        is_first = false;
    }
    return claim;
}

static enum cel_claim read_call(struct reading *r)
{
    enum cel_claim claim = CEL_CLAIM_NAME;

    buf_add_str(&r->text, "features:\n- {\"name\": \"" VELOCITY_PREFIX "\", ");
    if (r->function->has_field)
        claim = add_field(r);
    if (claim == CEL_CLAIM_NAME)
        claim = add_entity(r, r->function->has_field ? "by" : r->function->name);
    if (claim == CEL_CLAIM_NAME && r->function->has_window)
        claim = add_window(r);
    if (claim == CEL_CLAIM_NAME)
        claim = add_rest(r);
    buf_add_str(&r->text, "}\n");
    return claim;
}

/* ---- what the catalogue's reader says of it ---- */

/* The first sentence behind the last "L:C: " of what may be several lines; *column is C, or 0. */
static struct slice first_sentence(const char *text, size_t *column)
{
    const char *end = strchr(text, '\n'), *from = text;
    const char *where = strstr(text, "where: ");
    unsigned line;
    int used = 0;

    *column = 0;
    if (where && sscanf(where, "where: %u:%zu: %n", &line, column, &used) == 2 && used) {
        from = where + used;
        if (line != 1)
            *column = 0;
    } else if (strstr(text, VELOCITY_PREFIX ": ")) {
        from = strstr(text, VELOCITY_PREFIX ": ") + strlen(VELOCITY_PREFIX ": ");
    }
    return end && end > from ? slice_of(from, (size_t)(end - from)) : slice_str(from);
}

static size_t bytes_of(struct slice text, size_t code_points)
{
    size_t at = 0;

    while (at < text.len && code_points > 0) {
        for (at++; at < text.len && ((unsigned char)text.ptr[at] & 0xc0) == 0x80;)
            at++;
        code_points--;
    }
    return at;
}

static enum cel_claim refuse(struct reading *r, const char *text)
{
    const struct cel_arg *condition = NULL;
    size_t column;
    struct slice sentence = first_sentence(text, &column);

    for (size_t i = 0; i < r->call->arg_count && column; i++) {
        if (r->call->args[i].kind != CEL_ARG_TEXT && i + 1 > (r->function->has_field ? 2u : 1u))
            condition = &r->call->args[i];
    }
    if (!condition)
        return fail(r, r->call->at, "%.*s", SLICE_ARG(sentence));
    return fail(r, condition->at + bytes_of(condition->text, column - 1),
                "in the condition of a velocity: %.*s%s", SLICE_ARG(sentence),
                slice_starts_with(sentence, SLICE("unknown name")) ? " (only tx.* may be named there)" : "");
}

static void name_call(struct velocities *v, struct slice call, size_t feature)
{
    if (velocities_find(v, call) != VELOCITY_NONE)
        return;
    ARRAY_RESERVE_ONE(v->calls, v->call_count, v->call_cap);
    v->calls[v->call_count++] = (struct named){ arena_slice(&v->arena, call), feature };
}

/* The call, as far as a catalogue's `describe` has room. */
static struct slice words_of(struct slice call, struct arena *arena)
{
    size_t len = WORDS_MAX - 3;

    if (call.len <= WORDS_MAX)
        return arena_slice(arena, call);
    while (((unsigned char)call.ptr[len] & 0xc0) == 0x80)
        len--;
    return arena_printf(arena, "%.*s...", (int)len, call.ptr);
}

static size_t add_feature(struct velocities *v, const struct feature *made, struct slice call)
{
    char hex[17];

    for (size_t i = 0; i < v->feature_count; i++) {
        if (memcmp(v->features[i].hash, made->hash, SHA256_BYTES) == 0)
            return i;
    }
    hex_encode(made->hash, 8, hex);
    ARRAY_RESERVE_ONE(v->features, v->feature_count, v->feature_cap);
    v->features[v->feature_count] = *made;
    v->features[v->feature_count].name = arena_printf(&v->arena, VELOCITY_PREFIX "%s", hex);
    v->features[v->feature_count].describe = words_of(call, &v->arena);
    return v->feature_count++;
}

static enum cel_claim make(struct velocities *v, struct reading *r)
{
    struct catalogue catalogue;
    struct why why = { 0 };

    if (catalogue_parse(&catalogue, buf_slice(&r->text), &v->arena, &why) || catalogue.count != 1)
        return refuse(r, why.text);
    if (v->feature_count == VELOCITIES_MAX)
        return fail(r, r->call->at, "a rule set has at most %d different velocities", VELOCITIES_MAX);
    name_call(v, r->call->text, add_feature(v, catalogue.features, r->call->text));
    return CEL_CLAIM_NAME;
}

enum cel_claim velocities_claim(struct velocities *v, const struct cel_call *call, size_t *at,
                                struct why *why)
{
    struct reading r = { .function = function_of(call), .call = call, .at = at, .why = why };
    enum cel_claim claim;

    if (!r.function)
        return CEL_CLAIM_NONE;
    buf_init(&r.text, CATALOGUE_TEXT_MAX);
    claim = read_call(&r);
    if (claim == CEL_CLAIM_NAME && velocities_find(v, call->text) == VELOCITY_NONE)
        claim = make(v, &r);
    buf_release(&r.text);
    return claim;
}

/* ---- what there is ---- */

size_t velocities_find(const struct velocities *v, struct slice call)
{
    for (size_t i = 0; i < v->call_count; i++) {
        if (slice_eq(v->calls[i].call, call))
            return v->calls[i].feature;
    }
    return VELOCITY_NONE;
}

size_t velocities_count(const struct velocities *v)
{
    return v->feature_count;
}

const struct feature *velocities_at(const struct velocities *v, size_t i)
{
    return &v->features[i];
}

enum err velocities_plan(struct plan **out, const struct velocities *v, struct why *why)
{
    const struct catalogue catalogue = { .features = v->features, .count = v->feature_count };

    return plan_build(out, &catalogue, why);
}

bool velocity_is_column(const struct feature *feature)
{
    return slice_starts_with(feature->name, SLICE(VELOCITY_PREFIX));
}
