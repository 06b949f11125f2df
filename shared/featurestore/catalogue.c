/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/catalogue.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/expression.h"
#include "fraud/field.h"

enum names { ENTITY, FIELD, EXPRESSION };

static const struct {
    const char *key;
    enum names names;
} aggregates[] = {
#define AGGREGATE_ROW(code, key, names) [code] = { key, names },
    AGGREGATES(AGGREGATE_ROW)
#undef AGGREGATE_ROW
};
static_assert(ARRAY_LEN(aggregates) == AGGREGATE_COUNT_OF, "every aggregate has a row");

#define BIT(aggregate) (1u << (aggregate))
enum {
    ON_SUMS = BIT(AGGREGATE_SUM) | BIT(AGGREGATE_MEAN) | BIT(AGGREGATE_STD) | BIT(AGGREGATE_MIN) |
              BIT(AGGREGATE_MAX),
    ON_SINCE = BIT(AGGREGATE_SINCE_FRAUD) | BIT(AGGREGATE_SINCE_LEGIT), /* needs each event's time */
    ON_FRAUD = BIT(AGGREGATE_FRAUD_COUNT) | BIT(AGGREGATE_FRAUD_RATE) | ON_SINCE,
    ON_WINDOWS = ON_SUMS | ON_FRAUD | BIT(AGGREGATE_COUNT) | BIT(AGGREGATE_DISTINCT),
    ON_LAST = BIT(AGGREGATE_SINCE_LAST) | BIT(AGGREGATE_FIRST_SEEN) | BIT(AGGREGATE_SPEED) |
              BIT(AGGREGATE_DISTANCE),
    ON_ALL = ON_WINDOWS | ON_LAST | BIT(AGGREGATE_EXPR),
    ON_DEFAULTS = (ON_SUMS & ~BIT(AGGREGATE_SUM)) | BIT(AGGREGATE_FRAUD_RATE) | ON_SINCE | ON_LAST |
                  BIT(AGGREGATE_EXPR),
    /* What may be asked of everything that ever was: what needs no events kept. */
    ON_LIFETIMES = ON_SUMS | BIT(AGGREGATE_COUNT),
};

struct reader {
    yaml_document_t document;
    struct arena *arena;
    struct why *why;
    struct entity {
        struct slice name;
        struct slice fields[ENTITY_FIELDS_MAX];
        size_t count;
    } * entities;
    size_t entity_count, entity_cap;
    struct feature *features;
    size_t feature_count;
};

/* What is being read, so that a message can say where it is. */
struct at {
    struct reader *r;
    const yaml_node_t *node;
    struct slice feature; /* empty outside of one */
};

static enum err fail(const struct at *at, const char *format, ...) PRINTF_LIKE(2, 3);
static enum err fail(const struct at *at, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (at->feature.len)
        return err_set(at->r->why, ERR_INVALID, "line %zu: %.*s: %s", at->node->start_mark.line + 1,
                       SLICE_ARG(at->feature), text);
    return err_set(at->r->why, ERR_INVALID, "line %zu: %s", at->node->start_mark.line + 1, text);
}

static const yaml_node_t *node_at(struct reader *r, int index)
{
    return yaml_document_get_node(&r->document, index);
}

static struct slice scalar(const yaml_node_t *node)
{
    assert(node->type == YAML_SCALAR_NODE);
    return slice_of(node->data.scalar.value, node->data.scalar.length);
}

static bool is_name(struct slice s)
{
    if (s.len == 0 || s.len > FEATURE_NAME_MAX || s.ptr[0] < 'a' || s.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!(s.ptr[i] >= 'a' && s.ptr[i] <= 'z') && !(s.ptr[i] >= '0' && s.ptr[i] <= '9') && s.ptr[i] != '_')
            return false;
    }
    return true;
}

static bool is_reserved(struct slice name)
{
    static const char *const words[] = { "true", "false", "null", "in",  "tx",     "score",
                                         "if",   "else",  "for",  "let", "return", "has" };
    unsigned char hash[SHA256_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq_str(name, words[i]))
            return true;
    }
    return feature_reference_read(name, hash);
}

/* ---- scalars ---- */

static enum err read_text(const struct at *at, const char *key, size_t max, struct slice *out)
{
    struct slice s;

    if (at->node->type != YAML_SCALAR_NODE)
        return fail(at, "%s must be text", key);
    s = scalar(at->node);
    if (s.len == 0 || s.len > max || !slice_is_utf8(s) || memchr(s.ptr, 0, s.len))
        return fail(at, "%s must be 1 to %zu bytes of text", key, max);
    *out = arena_slice(at->r->arena, s);
    return ERR_OK;
}

static enum err read_bool(const struct at *at, const char *key, bool *out)
{
    if (at->node->type == YAML_SCALAR_NODE &&
        (slice_eq_str(scalar(at->node), "true") || slice_eq_str(scalar(at->node), "false"))) {
        *out = slice_eq_str(scalar(at->node), "true");
        return ERR_OK;
    }
    return fail(at, "%s must be true or false", key);
}

static enum err read_number(const struct at *at, const char *key, double min, double max, double *out)
{
    if (at->node->type == YAML_SCALAR_NODE && slice_to_double(scalar(at->node), out) && *out >= min &&
        *out <= max)
        return ERR_OK;
    return fail(at, "%s must be a number from %g to %g", key, min, max);
}

static const struct {
    char unit;
    int64_t us;
} units[] = { { 'd', DAY_US }, { 'h', HOUR_US }, { 'm', MINUTE_US }, { 's', SECOND_US } };

static bool span_parse(struct slice s, int64_t *out)
{
    int64_t number;

    for (size_t i = 0; i < ARRAY_LEN(units) && s.len > 1; i++) {
        if (s.ptr[s.len - 1] == units[i].unit)
            return slice_to_i64(slice_of(s.ptr, s.len - 1), &number) && s.ptr[0] >= '0' && s.ptr[0] <= '9' &&
                   !__builtin_mul_overflow(number, units[i].us, out);
    }
    return false;
}

static enum err read_span(const struct at *at, const char *key, int64_t min, int64_t *out)
{
    if (at->node->type != YAML_SCALAR_NODE || !span_parse(scalar(at->node), out) || *out < min ||
        *out > 90 * DAY_US)
        return fail(at, "%s must be a time such as 10m, 24h or 30d, from %s to 90d%s", key, min ? "1m" : "0s",
                    min ? ", or all" : "");
    return ERR_OK;
}

/* ---- entities ---- */

static enum err read_entity_fields(const struct at *at, struct slice *fields, size_t *count)
{
    const yaml_node_t *node = at->node;
    struct at each = *at;
    struct txn_field field;

    if (node->type == YAML_MAPPING_NODE)
        return fail(at, "an entity is a field or a list of fields");
    *count = node->type == YAML_SCALAR_NODE ? 1 : 0;
    if (node->type == YAML_SEQUENCE_NODE) {
        ptrdiff_t items = node->data.sequence.items.top - node->data.sequence.items.start;

        if (items < 1 || items > ENTITY_FIELDS_MAX)
            return fail(at, "an entity has 1 to %d fields", ENTITY_FIELDS_MAX);
        *count = (size_t)items;
    }
    for (size_t i = 0; i < *count; i++) {
        if (node->type == YAML_SEQUENCE_NODE)
            each.node = node_at(at->r, node->data.sequence.items.start[i]);
        if (each.node->type != YAML_SCALAR_NODE || !txn_field_find(scalar(each.node), &field) ||
            field.kind == TXN_FIELD_NUMBER)
            return fail(&each,
                        "\"%.*s\" is not a field that names something (customer_id, "
                        "terminal_id, ..., attributes.<name>)",
                        each.node->type == YAML_SCALAR_NODE ? (int)scalar(each.node).len : 1,
                        each.node->type == YAML_SCALAR_NODE ? scalar(each.node).ptr : "?");
        fields[i] = arena_slice(at->r->arena, scalar(each.node));
        for (size_t k = 0; k < i; k++) {
            if (slice_eq(fields[k], fields[i]))
                return fail(&each, "the field %.*s is there twice", SLICE_ARG(fields[i]));
        }
    }
    return ERR_OK;
}

static enum err read_entities(struct reader *r, const yaml_node_t *map)
{
    struct at at = { .r = r, .node = map };

    if (map->type != YAML_MAPPING_NODE)
        return fail(&at, "entities must be a map such as {customer: customer_id}");
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        struct entity entity = { 0 };
        enum err err;

        at.node = node_at(r, p->key);
        if (at.node->type != YAML_SCALAR_NODE || !is_name(scalar(at.node)))
            return fail(&at, "an entity's name is of a-z, 0-9 and _, and begins with a letter");
        entity.name = arena_slice(r->arena, scalar(at.node));
        for (size_t i = 0; i < r->entity_count; i++) {
            if (slice_eq(r->entities[i].name, entity.name))
                return fail(&at, "the entity %.*s is there twice", SLICE_ARG(entity.name));
        }
        at.node = node_at(r, p->value);
        err = read_entity_fields(&at, entity.fields, &entity.count);
        if (err)
            return err;
        ARRAY_RESERVE_ONE(r->entities, r->entity_count, r->entity_cap);
        r->entities[r->entity_count++] = entity;
    }
    return ERR_OK;
}

/* An entity by its name, or spelt out as a list of fields. */
static enum err read_entity(const struct at *at, struct feature *f)
{
    if (at->node->type == YAML_SEQUENCE_NODE)
        return read_entity_fields(at, f->entity, &f->entity_fields);
    if (at->node->type != YAML_SCALAR_NODE)
        return fail(at, "an entity's name is needed here");
    for (size_t i = 0; i < at->r->entity_count; i++) {
        const struct entity *e = &at->r->entities[i];

        if (slice_eq(e->name, scalar(at->node))) {
            memcpy(f->entity, e->fields, sizeof f->entity);
            f->entity_fields = e->count;
            return ERR_OK;
        }
    }
    return fail(at, "no entity \"%.*s\" is declared under entities", SLICE_ARG(scalar(at->node)));
}

/* ---- features: one reader per key ---- */

struct draft {
    struct feature *f;
    bool has_aggregate, has_by, has_window, has_mode, has_scale, has_monotone;
};

static enum err read_field(const struct at *at, struct draft *d)
{
    struct txn_field field;
    struct slice name;

    if (at->node->type != YAML_SCALAR_NODE)
        return fail(at, "a field's name is needed here");
    name = scalar(at->node);
    if (!txn_field_find(name, &field) ||
        (d->f->aggregate == AGGREGATE_DISTINCT
             ? field.kind == TXN_FIELD_NUMBER
             : field.kind == TXN_FIELD_TEXT ||
                   (field.kind == TXN_FIELD_NUMBER && !slice_eq_str(name, "amount"))))
        return fail(at, "%s cannot be had of \"%.*s\"; %s", aggregates[d->f->aggregate].key, SLICE_ARG(name),
                    d->f->aggregate == AGGREGATE_DISTINCT
                        ? "use a text field such as terminal_id, or attributes.<name>"
                        : "use amount or attributes.<name>");
    d->f->field = arena_slice(at->r->arena, name);
    return ERR_OK;
}

static enum err read_aggregate(const struct at *at, struct draft *d, enum aggregate aggregate)
{
    if (d->has_aggregate)
        return fail(at, "a feature is one thing: it has %s and %s", aggregates[d->f->aggregate].key,
                    aggregates[aggregate].key);
    d->has_aggregate = true;
    d->f->aggregate = aggregate;
    switch (aggregates[aggregate].names) {
    case ENTITY:
        return read_entity(at, d->f);
    case FIELD:
        return read_field(at, d);
    case EXPRESSION:
        break;
    }
    return read_text(at, "expr", 4096, &d->f->expr);
}

static enum err read_name(const struct at *at, struct draft *d)
{
    if (at->node->type != YAML_SCALAR_NODE || !is_name(scalar(at->node)))
        return fail(at, "a name is 1 to %d of a-z, 0-9 and _, and begins with a letter", FEATURE_NAME_MAX);
    if (is_reserved(scalar(at->node)))
        return fail(at, "the name %.*s means something else in expressions", SLICE_ARG(scalar(at->node)));
    d->f->name = arena_slice(at->r->arena, scalar(at->node));
    return ERR_OK;
}

static enum err read_by(const struct at *at, struct draft *d)
{
    d->has_by = true;
    return read_entity(at, d->f);
}

static enum err read_window(const struct at *at, struct draft *d)
{
    d->has_window = true;
    if (at->node->type == YAML_SCALAR_NODE && slice_eq_str(scalar(at->node), "all")) {
        d->f->window_us = WINDOW_ALL;
        return ERR_OK;
    }
    return read_span(at, "window", MINUTE_US, &d->f->window_us);
}

static enum err read_delay(const struct at *at, struct draft *d)
{
    return read_span(at, "delay", 0, &d->f->delay_us);
}

static enum err read_mode(const struct at *at, struct draft *d)
{
    struct slice s = at->node->type == YAML_SCALAR_NODE ? scalar(at->node) : SLICE("");

    d->has_mode = true;
    d->f->is_exact = slice_eq_str(s, "exact");
    return d->f->is_exact || slice_eq_str(s, "tiles") ? ERR_OK : fail(at, "mode is exact or tiles");
}

static enum err read_include_current(const struct at *at, struct draft *d)
{
    return read_bool(at, "include_current", &d->f->includes_current);
}

static enum err read_where(const struct at *at, struct draft *d)
{
    return read_text(at, "where", 4096, &d->f->where);
}

static enum err read_default(const struct at *at, struct draft *d)
{
    d->f->has_default = true;
    return read_number(at, "default", -1e300, 1e300, &d->f->default_value);
}

static enum err read_scale(const struct at *at, struct draft *d)
{
    int64_t scale;

    d->has_scale = true;
    if (at->node->type != YAML_SCALAR_NODE || !slice_to_i64(scalar(at->node), &scale) || scale < 0 ||
        scale > 9)
        return fail(at, "scale is the number of decimals that are kept, 0 to 9");
    d->f->scale = (int)scale;
    return ERR_OK;
}

static enum err read_prior(const struct at *at, struct draft *d)
{
    bool has_rate = false, has_weight = false;
    struct at each = *at;
    enum err err = ERR_OK;

    if (at->node->type != YAML_MAPPING_NODE)
        return fail(at, "prior must be such as {rate: 0.008, weight: 20}");
    for (yaml_node_pair_t *p = at->node->data.mapping.pairs.start;
         p < at->node->data.mapping.pairs.top && !err; p++) {
        const yaml_node_t *key = node_at(at->r, p->key);
        struct slice k = key->type == YAML_SCALAR_NODE ? scalar(key) : SLICE("");

        each.node = node_at(at->r, p->value);
        if (slice_eq_str(k, "rate") && !has_rate) {
            has_rate = true;
            err = read_number(&each, "rate", 0, 1, &d->f->prior_rate);
        } else if (slice_eq_str(k, "weight") && !has_weight) {
            has_weight = true;
            err = read_number(&each, "weight", 1e-9, 1e12, &d->f->prior_weight);
        } else {
            err = fail(at, "prior has rate and weight, each once, and nothing else");
        }
    }
    if (!err && (!has_rate || !has_weight))
        err = fail(at, "prior needs both rate and weight");
    d->f->has_prior = true;
    return err;
}

static enum err read_describe(const struct at *at, struct draft *d)
{
    return read_text(at, "describe", 200, &d->f->describe);
}

static enum err read_monotone(const struct at *at, struct draft *d)
{
    struct slice s = at->node->type == YAML_SCALAR_NODE ? scalar(at->node) : SLICE("");

    d->has_monotone = true;
    if (slice_eq_str(s, "increasing"))
        d->f->monotone = MONOTONE_INCREASING;
    else if (slice_eq_str(s, "decreasing"))
        d->f->monotone = MONOTONE_DECREASING;
    else
        return fail(at, "monotone is increasing or decreasing");
    return ERR_OK;
}

static enum err read_hidden(const struct at *at, struct draft *d)
{
    return read_bool(at, "hidden", &d->f->is_hidden);
}

/* Which key, what reads it, for which aggregates it has a meaning. */
static const struct {
    const char *key;
    enum err (*read)(const struct at *at, struct draft *d);
    unsigned on;
} keys[] = {
    { "name", read_name, ON_ALL },
    { "by", read_by, ON_SUMS | BIT(AGGREGATE_DISTINCT) },
    { "window", read_window, ON_WINDOWS },
    { "delay", read_delay, ON_WINDOWS },
    { "mode", read_mode, ON_WINDOWS },
    { "include_current", read_include_current, ON_WINDOWS & ~ON_FRAUD },
    { "where", read_where, ON_WINDOWS | ON_LAST },
    { "default", read_default, ON_DEFAULTS },
    { "scale", read_scale, ON_SUMS },
    { "prior", read_prior, BIT(AGGREGATE_FRAUD_RATE) },
    { "describe", read_describe, ON_ALL },
    { "monotone", read_monotone, ON_ALL },
    { "hidden", read_hidden, ON_ALL },
};

/* What keys say together. */
static enum err check(const struct at *at, const struct draft *d, unsigned seen)
{
    struct feature *f = d->f;
    const char *key = aggregates[f->aggregate].key;

    if (!d->has_aggregate)
        return fail(at, "what the feature is has not been said: count, sum, mean, ..., or expr");
    if (f->name.len == 0)
        return fail(at, "the feature has no name");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if ((seen & (1u << i)) && !(keys[i].on & BIT(f->aggregate)))
            return fail(at, "%s has no meaning for %s", keys[i].key, key);
    }
    if (aggregates[f->aggregate].names == FIELD && !d->has_by)
        return fail(at, "%s needs by: <entity>", key);
    if ((BIT(f->aggregate) & ON_WINDOWS) && !d->has_window)
        return fail(at, "%s needs a window", key);
    if (f->window_us == WINDOW_ALL) {
        if (!(BIT(f->aggregate) & ON_LIFETIMES))
            return fail(at, "%s cannot have window: all", key);
        if (d->has_mode || f->delay_us)
            return fail(at, "window: all has neither mode nor delay");
    }
    if ((BIT(f->aggregate) & ON_SINCE) && d->has_mode && !f->is_exact)
        return fail(at, "%s is always exact", key);
    if (f->includes_current && f->delay_us)
        return fail(at, "with a delay the current transaction is never in the window");
    if (f->has_prior && f->has_default)
        return fail(at, "with a prior nothing is left to default");
    if (d->has_scale && slice_eq_str(f->field, "amount"))
        return fail(at, "amount is in minor units already: it takes no scale");
    return ERR_OK;
}

static enum err read_feature(struct reader *r, const yaml_node_t *map, struct feature *f)
{
    struct at at = { .r = r, .node = map };
    struct draft d = { .f = f };
    unsigned seen = 0;
    enum err err;

    f->line = map->start_mark.line + 1;
    if (map->type != YAML_MAPPING_NODE)
        return fail(&at, "a feature is a map such as {name: ..., count: customer, window: 24h}");
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = node_at(r, p->key);
        struct slice k = key->type == YAML_SCALAR_NODE ? scalar(key) : SLICE("");

        if (slice_eq_str(k, "name") && node_at(r, p->value)->type == YAML_SCALAR_NODE)
            at.feature = scalar(node_at(r, p->value));
        if (at.feature.len > FEATURE_NAME_MAX)
            at.feature.len = FEATURE_NAME_MAX;
    }
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = node_at(r, p->key);
        struct slice k = key->type == YAML_SCALAR_NODE ? scalar(key) : SLICE("");
        size_t i = 0;
        int a = 0;

        while (i < ARRAY_LEN(keys) && !slice_eq_str(k, keys[i].key))
            i++;
        while (a < AGGREGATE_COUNT_OF && !slice_eq_str(k, aggregates[a].key))
            a++;
        at.node = key;
        if (i < ARRAY_LEN(keys)) {
            if (seen & (1u << i))
                return fail(&at, "%s is there twice", keys[i].key);
            seen |= 1u << i;
        } else if (a == AGGREGATE_COUNT_OF) {
            return fail(&at, "\"%.*s\" is not a key that features have", k.len > 80 ? 80 : (int)k.len, k.ptr);
        }
        at.node = node_at(r, p->value);
        err = i < ARRAY_LEN(keys) ? keys[i].read(&at, &d) : read_aggregate(&at, &d, (enum aggregate)a);
        if (err)
            return err;
    }
    at.node = map;
    err = check(&at, &d, seen);
    if (err)
        return err;
    if (f->window_us == WINDOW_ALL)
        f->is_exact = false;
    else if (!d.has_mode)
        f->is_exact = f->window_us <= HOUR_US || (BIT(f->aggregate) & ON_SINCE);
    if (!(BIT(f->aggregate) & ON_WINDOWS))
        f->is_exact = false;
    for (const struct feature *other = r->features; other < f; other++) {
        if (slice_eq(other->name, f->name))
            return fail(&at, "the name is taken by the feature in line %zu", other->line);
    }
    return ERR_OK;
}

static enum err read_features(struct reader *r, const yaml_node_t *list)
{
    struct at at = { .r = r, .node = list };
    ptrdiff_t count;
    enum err err = ERR_OK;

    if (list->type != YAML_SEQUENCE_NODE)
        return fail(&at, "features must be a list");
    count = list->data.sequence.items.top - list->data.sequence.items.start;
    if (count > CATALOGUE_FEATURES_MAX)
        return fail(&at, "more than %d features", CATALOGUE_FEATURES_MAX);
    r->features = arena_new(r->arena, struct feature, (size_t)count + 1);
    for (ptrdiff_t i = 0; i < count && !err; i++) {
        err = read_feature(r, node_at(r, list->data.sequence.items.start[i]), &r->features[i]);
        r->feature_count++;
    }
    return err;
}

static enum err read_catalogue(struct reader *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(&r->document), *entities = NULL, *features = NULL;
    struct at at = { .r = r, .node = root };
    enum err err = ERR_OK;

    if (!root)
        return err_set(r->why, ERR_INVALID, "line 1: the catalogue is empty");
    if (root->type != YAML_MAPPING_NODE)
        return fail(&at, "a catalogue is a map with entities and features");
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t **place;

        at.node = node_at(r, p->key);
        if (at.node->type == YAML_SCALAR_NODE && slice_eq_str(scalar(at.node), "entities"))
            place = &entities;
        else if (at.node->type == YAML_SCALAR_NODE && slice_eq_str(scalar(at.node), "features"))
            place = &features;
        else
            return fail(&at, "a catalogue has entities and features, and nothing else");
        if (*place)
            return fail(&at, "entities and features are each there once");
        *place = node_at(r, p->value);
    }
    at.node = root;
    if (!features)
        return fail(&at, "the catalogue has no features");
    if (entities)
        err = read_entities(r, entities);
    return err ? err : read_features(r, features);
}

/* ---- normalising ---- */

void catalogue_quote(struct buf *out, struct slice s)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c == '"' || c == '\\') {
            buf_printf(out, "\\%c", c);
            i++;
        } else if (c >= 0x20 && c < 0x7f) {
            buf_add_char(out, (char)c);
            i++;
        } else if (c < 0x80) {
            buf_printf(out, "\\u%04x", c);
            i++;
        } else { /* well-formed UTF-8 by now; escaped, because YAML folds some and refuses others */
            int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
            uint32_t code = c & (0x3fu >> more);

            for (int k = 1; k <= more; k++)
                code = code << 6 | ((unsigned char)s.ptr[i + (size_t)k] & 0x3f);
            buf_printf(out, code > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)code);
            i += (size_t)more + 1;
        }
    }
    buf_add_char(out, '"');
}

static void print_span(struct buf *out, const char *key, int64_t us)
{
    size_t i = 0;

    while (i + 1 < ARRAY_LEN(units) && us % units[i].us)
        i++;
    buf_printf(out, ", \"%s\": \"%lld%c\"", key, (long long)(us / units[i].us), units[i].unit);
}

static void print_entity(struct buf *out, const struct feature *f)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < f->entity_fields; i++) {
        if (i)
            buf_add_str(out, ", ");
        catalogue_quote(out, f->entity[i]);
    }
    buf_add_char(out, ']');
}

/* The one spelling of a definition. It is YAML and JSON at once, so catalogue_parse() reads it back. */
static void print_definition(struct buf *out, const struct feature *f)
{
    buf_printf(out, "\"%s\": ", aggregates[f->aggregate].key);
    switch (aggregates[f->aggregate].names) {
    case ENTITY:
        print_entity(out, f);
        break;
    case FIELD:
        catalogue_quote(out, f->field);
        buf_add_str(out, ", \"by\": ");
        print_entity(out, f);
        break;
    case EXPRESSION:
        catalogue_quote(out, f->expr);
        break;
    }
    if (f->window_us == WINDOW_ALL)
        buf_add_str(out, ", \"window\": \"all\"");
    else if (f->window_us)
        print_span(out, "window", f->window_us);
    if (f->delay_us)
        print_span(out, "delay", f->delay_us);
    if (f->window_us > 0)
        buf_printf(out, ", \"mode\": \"%s\"", f->is_exact ? "exact" : "tiles");
    if (f->includes_current)
        buf_add_str(out, ", \"include_current\": true");
    if (f->scale)
        buf_printf(out, ", \"scale\": %d", f->scale);
    if (f->where.len) {
        buf_add_str(out, ", \"where\": ");
        catalogue_quote(out, f->where);
    }
    if (f->has_default)
        buf_printf(out, ", \"default\": %.17g", f->default_value + 0.0);
    if (f->has_prior)
        buf_printf(out, ", \"prior\": {\"rate\": %.17g, \"weight\": %.17g}", f->prior_rate + 0.0,
                   f->prior_weight);
}

void feature_print(const struct feature *f, bool is_named, struct buf *out)
{
    buf_add_char(out, '{');
    if (is_named) {
        buf_add_str(out, "\"name\": ");
        catalogue_quote(out, f->name);
        buf_add_str(out, ", ");
    }
    print_definition(out, f);
    if (is_named && f->monotone)
        buf_printf(out, ", \"monotone\": \"%s\"",
                   f->monotone == MONOTONE_INCREASING ? "increasing" : "decreasing");
    if (is_named && f->describe.len) {
        buf_add_str(out, ", \"describe\": ");
        catalogue_quote(out, f->describe);
    }
    if (is_named && f->is_hidden)
        buf_add_str(out, ", \"hidden\": true");
    buf_add_char(out, '}');
}

void feature_seal(struct feature *f, struct arena *arena)
{
    struct buf text;

    buf_init(&text, 0);
    feature_print(f, false, &text);
    f->definition = arena_slice(arena, buf_slice(&text));
    sha256(f->definition, f->hash);
    buf_release(&text);
}

static const struct feature *find_identity(const struct reader *r, const bool *is_done,
                                           const unsigned char *hash)
{
    for (size_t i = 0; i < r->feature_count; i++) {
        if (is_done[i] && memcmp(r->features[i].hash, hash, SHA256_BYTES) == 0)
            return &r->features[i];
    }
    return NULL;
}

/* Gives every feature its identity. One that stands on others waits until they have theirs; what still waits
 * in the end stands on itself, or on a feature that is not there. */
static enum err normalise(struct reader *r)
{
    struct expressions *known = expressions_new(r->features, r->feature_count);
    bool *is_done = arena_new(r->arena, bool, r->feature_count + 1);
    size_t done = 0, before;
    enum err err = ERR_OK;

    for (size_t i = 0; i < r->feature_count && !err; i++) {
        err = expressions_check(known, i, r->why);
        if (err)
            err_wrap(r->why, err, "line %zu: %.*s", r->features[i].line, SLICE_ARG(r->features[i].name));
    }
    do {
        before = done;
        for (size_t i = 0; i < r->feature_count && !err; i++) {
            struct feature *f = &r->features[i];
            const struct feature *twin;

            if (is_done[i] || !expressions_normalise(known, i, r->arena))
                continue;
            feature_seal(f, r->arena);
            twin = find_identity(r, is_done, f->hash);
            if (twin)
                err = err_set(r->why, ERR_INVALID, "line %zu: %.*s: it is the same as %.*s in line %zu",
                              f->line, SLICE_ARG(f->name), SLICE_ARG(twin->name), twin->line);
            expressions_identify(known, i);
            is_done[i] = true;
            done++;
        }
    } while (done > before && !err);
    for (size_t i = 0; i < r->feature_count && done < r->feature_count && !err; i++) {
        if (!is_done[i])
            err =
                err_set(r->why, ERR_INVALID,
                        "line %zu: %.*s: it depends on itself, or on a feature that is not in the catalogue",
                        r->features[i].line, SLICE_ARG(r->features[i].name));
    }
    expressions_free(known);
    return err;
}

enum err catalogue_parse(struct catalogue *catalogue, struct slice yaml, struct arena *arena, struct why *why)
{
    struct reader r = { .arena = arena, .why = why };
    yaml_parser_t parser;
    bool is_loaded = false;
    enum err err = ERR_OK;

    *catalogue = (struct catalogue){ 0 };
    if (yaml.len > CATALOGUE_TEXT_MAX)
        return err_set(why, ERR_INVALID, "the catalogue has more than %d bytes", CATALOGUE_TEXT_MAX);
    if (!yaml_parser_initialize(&parser))
        abort(); /* want of memory, as everywhere */
    yaml_parser_set_input_string(&parser, (const unsigned char *)(yaml.len ? yaml.ptr : ""), yaml.len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    if (!yaml_parser_load(&parser, &r.document)) {
        err = err_set(why, ERR_SYNTAX, "line %zu, column %zu: %s", parser.problem_mark.line + 1,
                      parser.problem_mark.column + 1, parser.problem ? parser.problem : "not YAML");
        goto out;
    }
    is_loaded = true;
    err = read_catalogue(&r);
    if (!err)
        err = normalise(&r);
    if (!err)
        *catalogue = (struct catalogue){ .features = r.features, .count = r.feature_count };
out:
    if (is_loaded)
        yaml_document_delete(&r.document);
    yaml_parser_delete(&parser);
    mem_free(r.entities);
    return err;
}

int64_t feature_hop_us(const struct feature *f)
{
    if (f->is_exact || f->window_us <= 0)
        return 1;
    return f->window_us < 12 * HOUR_US ? 5 * MINUTE_US : f->window_us < 12 * DAY_US ? HOUR_US : DAY_US;
}

int64_t feature_window_error_us(const struct feature *f)
{
    return feature_hop_us(f) - 1;
}
