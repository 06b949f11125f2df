/* SPDX-License-Identifier: Apache-2.0 */
#include "rule_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "json/json.h"
#include "velocity/velocity.h"

/* ---- the payment ---- */

static int by_name(const void *a, const void *b)
{
    return slice_compare(((const struct txn_attribute *)a)->name, ((const struct txn_attribute *)b)->name);
}

static enum err read_attributes(struct txn *txn, const json_t *attributes, struct arena *arena,
                                struct why *why)
{
    const char *name;
    json_t *value;

    if (!json_is_object(attributes))
        return err_set(why, ERR_INVALID, "tx.attributes is an object");
    txn->attributes = arena_new(arena, struct txn_attribute, json_object_size(attributes) + 1);
    json_object_foreach((json_t *)attributes, name, value)
    {
        struct txn_attribute *a = &txn->attributes[txn->attribute_count++];

        *a = (struct txn_attribute){ .name = slice_str(name) };
        if (json_is_number(value)) {
            a->number = json_number_value(value);
        } else if (json_is_string(value)) {
            a->kind = ATTRIBUTE_TEXT;
            a->text = json_slice(value);
        } else if (json_is_boolean(value)) {
            a->kind = ATTRIBUTE_BOOL;
            a->is_true = json_is_true(value);
        } else {
            return err_set(why, ERR_INVALID, "tx.attributes.%s is no number, text, true or false", name);
        }
    }
    qsort(txn->attributes, txn->attribute_count, sizeof *txn->attributes, by_name);
    return ERR_OK;
}

static bool read_whole_number(const json_t *value, int64_t *out)
{
    *out = json_integer_value(value);
    return json_is_integer(value);
}

static bool read_text(const json_t *value, struct slice *out)
{
    *out = json_slice(value);
    return json_is_string(value);
}

static bool read_degrees(const json_t *value, double *out)
{
    *out = json_number_value(value);
    return json_is_number(value);
}

/* False: it is unknown, or of the wrong type. */
static bool read_member(struct txn *txn, const char *name, const json_t *value)
{
    enum txn_text field = txn_text_find(slice_str(name));
    struct slice ignored;

    if (field < TXN_TEXT_COUNT)
        return read_text(value, &txn->text[field]);
    if (strcmp(name, "amount") == 0)
        return read_whole_number(value, &txn->amount_minor);
    if (strcmp(name, "currency") == 0)
        return read_text(value, &txn->currency);
    if (strcmp(name, "transaction_id") == 0)
        return read_text(value, &txn->id);
    if (strcmp(name, "occurred_at") == 0)
        return rfc3339_parse(json_slice(value), &txn->occurred_at_us);
    if (strcmp(name, "known_at") == 0)
        return rfc3339_parse(json_slice(value), &txn->known_at_us);
    if (strcmp(name, "lat") == 0)
        return read_degrees(value, &txn->lat);
    if (strcmp(name, "lon") == 0)
        return read_degrees(value, &txn->lon);
    return strcmp(name, "type") == 0 && read_text(value, &ignored); /* of a line of a stream */
}

static enum err read_payment(struct txn *txn, const json_t *tx, struct arena *arena, struct why *why)
{
    const char *name;
    json_t *value;
    enum err err = ERR_OK;

    *txn = (struct txn){ .account = 1, .id = SLICE("test"), .currency = SLICE("EUR") };
    if (tx && !json_is_object(tx))
        return err_set(why, ERR_INVALID, "tx is an object: {amount: 1999, channel: pos}");
    json_object_foreach((json_t *)tx, name, value)
    {
        if (strcmp(name, "attributes") == 0)
            err = read_attributes(txn, value, arena, why);
        else if (!json_is_null(value) && !read_member(txn, name, value))
            err = err_set(why, ERR_INVALID, "tx.%s is no member of a payment, or of the wrong type", name);
        if (err)
            return err;
    }
    txn->amount_base_minor = txn->amount_minor;
    txn->has_place = json_object_get(tx, "lat") && json_object_get(tx, "lon");
    if (!txn->known_at_us)
        txn->known_at_us = txn->occurred_at_us ? txn->occurred_at_us : 1;
    return ERR_OK;
}

/* ---- lists ---- */

static enum err fill_list(struct list *list, const json_t *values, struct why *why)
{
    enum err err = ERR_OK;

    if (values && !json_is_array(values))
        return err_set(why, ERR_INVALID, "lists.%.*s is a list of texts", SLICE_ARG(list_name(list)));
    for (size_t i = 0; i < json_array_size(values) && !err; i++) {
        const json_t *value = json_array_get(values, i);

        err = json_is_string(value)
                  ? list_add(list, json_slice(value), LIST_NO_EXPIRY, why)
                  : err_set(why, ERR_INVALID, "no text: a number is written in quotation marks");
        if (err)
            err = err_wrap(why, err, "lists.%.*s, value %zu", SLICE_ARG(list_name(list)), i + 1);
    }
    return err;
}

static bool is_declared(const struct draft *d, const char *name)
{
    for (size_t i = 0; i < d->document.list_count; i++) {
        if (slice_eq_str(d->document.lists[i].name, name))
            return true;
    }
    return false;
}

/* The lists that the set declares, with the entries of the case. */
static enum err fill_lists(struct draft *d, const json_t *lists, struct arena *arena, struct why *why)
{
    const char *name;
    json_t *values;
    enum err err = ERR_OK;

    if (lists && !json_is_object(lists))
        return err_set(why, ERR_INVALID, "lists is an object: {watched_devices: [d-7]}");
    json_object_foreach((json_t *)lists, name, values)
    {
        if (!is_declared(d, name))
            return err_set(why, ERR_INVALID, "the rule set declares no list %s", name);
    }
    policy_drop_lists(d->policy);
    for (size_t i = 0; i < d->document.list_count && !err; i++) {
        const struct document_list *l = &d->document.lists[i];
        struct list *list = list_new_of(l->type, 0, l->name, l->purpose, l->field);

        err = fill_list(list, json_object_get(lists, arena_slice(arena, l->name).ptr), why);
        policy_add_list(d->policy, list);
        list_unref(list);
    }
    return err;
}

/* ---- features and velocities ---- */

static bool is_feature(const struct draft *d, const char *name)
{
    const struct slice *names;
    size_t count = policy_features(d->policy, &names);

    for (size_t i = 0; i < count; i++) {
        if (slice_eq_str(names[i], name))
            return true;
    }
    return false;
}

static bool is_velocity(const struct draft *d, const char *call)
{
    return velocities_find(policy_velocities(d->policy), slice_str(call)) != VELOCITY_NONE;
}

/* Adds what one of the two members says; the names are those that policy_bind() finds them by. */
static enum err read_values(struct rule_case *c, const json_t *said, const char *what,
                            bool (*is_asked)(const struct draft *d, const char *name), const struct draft *d,
                            struct slice *names, struct why *why)
{
    const char *name;
    json_t *value;

    if (said && !json_is_object(said))
        return err_set(why, ERR_INVALID, "%s is an object of names and numbers", what);
    json_object_foreach((json_t *)said, name, value)
    {
        if (!is_asked(d, name))
            return err_set(why, ERR_INVALID, "%s: no rule asks for %s (`assay rules check` spells them)",
                           what, name);
        if (!json_is_number(value))
            return err_set(why, ERR_INVALID, "%s: %s is no number", what, name);
        names[c->count] = slice_str(name);
        c->values[c->count++] = (float)json_number_value(value);
    }
    return ERR_OK;
}

enum err rule_case_open(struct rule_case *c, struct draft *d, const json_t *one, struct arena *arena,
                        struct why *why)
{
    const json_t *features = json_object_get(one, "features"),
                 *velocities = json_object_get(one, "velocities");
    size_t room = json_object_size(features) + json_object_size(velocities);
    struct slice *names = arena_new(arena, struct slice, room + 1);
    enum err err;

    *c = (struct rule_case){ .score = json_object_get(one, "score"),
                             .values = arena_new(arena, float, room + 1) };
    err = read_payment(&c->txn, json_object_get(one, "tx"), arena, why);
    if (!err && c->score &&
        !(json_is_number(c->score) && json_number_value(c->score) >= 0 && json_number_value(c->score) <= 1))
        err = err_set(why, ERR_INVALID, "score is a probability, 0 to 1");
    if (!err)
        err = fill_lists(d, json_object_get(one, "lists"), arena, why);
    if (!err)
        err = read_values(c, features, "features", is_feature, d, names, why);
    if (!err)
        err = read_values(c, velocities, "velocities", is_velocity, d, names, why);
    if (!err)
        c->columns = policy_bind(d->policy, names, c->count);
    return err;
}

void rule_case_release(struct rule_case *c)
{
    policy_columns_free(c->columns);
}

struct policy_input rule_case_input(const struct rule_case *c)
{
    return (struct policy_input){ .txn = &c->txn,
                                  .now_us = c->txn.known_at_us,
                                  .vector = c->values,
                                  .vector_count = c->count,
                                  .columns = c->columns,
                                  .has_score = c->score != NULL,
                                  .score = json_number_value(c->score),
                                  .thresholds = { 2, 2, 2 } };
}
