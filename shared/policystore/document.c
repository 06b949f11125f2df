/* SPDX-License-Identifier: Apache-2.0
 * document.c - see document.h. */
#include "policystore/document.h"

#include "base/array.h"
#include "json/json.h"

enum { DOCUMENT_DEPTH = 4 };

struct reading {
    struct arena *arena;
    struct why *why;
    const char *where; /* "rule 3 (big_night)" */
};

typedef enum err member_fn(struct reading *r, const json_t *value, const char *key, void *into);

struct member {
    const char *key;
    member_fn *read;
    size_t offset;
    bool must;
};

static enum err read_text(struct reading *r, const json_t *value, const char *key, void *into)
{
    if (!json_is_string(value))
        return err_set(r->why, ERR_INVALID, "%s: %s must be a text", r->where, key);
    *(struct slice *)into = arena_slice(r->arena, json_slice(value));
    return ERR_OK;
}

static enum err read_bool(struct reading *r, const json_t *value, const char *key, void *into)
{
    if (!json_is_boolean(value))
        return err_set(r->why, ERR_INVALID, "%s: %s must be true or false", r->where, key);
    *(bool *)into = json_is_true(value);
    return ERR_OK;
}

static enum err read_priority(struct reading *r, const json_t *value, const char *key, void *into)
{
    if (!json_is_integer(value) || json_integer_value(value) < -1000000 ||
        json_integer_value(value) > 1000000)
        return err_set(r->why, ERR_INVALID, "%s: %s must be an integer within a million", r->where, key);
    *(int *)into = (int)json_integer_value(value);
    return ERR_OK;
}

static enum err read_action(struct reading *r, const json_t *value, const char *key, void *into)
{
    enum action action = action_find(json_slice(value));

    if (action == ACTION_COUNT)
        return err_set(r->why, ERR_INVALID, "%s: %s must be approve, challenge, review or decline", r->where,
                       key);
    *(enum action *)into = action;
    return ERR_OK;
}

/* What a rule does: an action, or a tag, whose name is the rule's until another is read. */
static enum err read_effect(struct reading *r, const json_t *value, const char *key, void *into)
{
    struct policy_rule *rule = into;

    if (slice_eq_str(json_slice(value), "tag")) {
        if (rule->tag.len == 0)
            rule->tag = rule->id;
        return ERR_OK;
    }
    if (rule->tag.len)
        return err_set(r->why, ERR_INVALID, "%s: tag goes with the action tag alone", r->where);
    if (action_find(json_slice(value)) == ACTION_COUNT)
        return err_set(r->why, ERR_INVALID, "%s: %s must be approve, challenge, review, decline or tag",
                       r->where, key);
    return read_action(r, value, key, &rule->action);
}

static enum err read_missing(struct reading *r, const json_t *value, const char *key, void *into)
{
    struct slice word = json_slice(value);

    if (slice_eq_str(word, "open") || slice_eq_str(word, "rules"))
        *(enum action *)into = ACTION_APPROVE;
    else if (slice_eq_str(word, "closed"))
        *(enum action *)into = ACTION_DECLINE;
    else
        return read_action(r, value, key, into);
    return ERR_OK;
}

static enum err read_object(struct reading *r, const json_t *object, const struct member *members,
                            size_t count, void *into)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return err_set(r->why, ERR_INVALID, "%s: must be an object", r->where);
    for (size_t i = 0; i < count; i++) {
        enum err err = ERR_OK;

        value = json_object_get(object, members[i].key);
        if (value)
            err = members[i].read(r, value, members[i].key, (char *)into + members[i].offset);
        else if (members[i].must)
            err = err_set(r->why, ERR_INVALID, "%s: %s is missing", r->where, members[i].key);
        if (err)
            return err;
    }
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;

        while (i < count && strcmp(members[i].key, key) != 0)
            i++;
        if (i == count)
            return err_set(r->why, ERR_INVALID, "%s: unknown member '%.60s'", r->where, key);
    }
    return ERR_OK;
}

#define RULE(field) offsetof(struct policy_rule, field)
static const struct member rule_members[] = {
    { "id", read_text, RULE(id), true },
    { "name", read_text, RULE(name), false },
    { "when", read_text, RULE(expression), true },
    { "tag", read_text, RULE(tag), false }, /* before the action, which looks at it */
    { "action", read_effect, 0, true },
    { "priority", read_priority, RULE(priority), false },
    { "reason", read_text, RULE(reason), false },
    { "public_reason", read_text, RULE(public_reason), false },
    { "owner", read_text, RULE(owner), false },
    { "enabled", read_bool, RULE(is_enabled), false },
    { "shadow", read_bool, RULE(is_shadow), false },
};

#define MISSING(field) offsetof(struct policy_missing, field)
static const struct member missing_members[] = {
    { "score", read_missing, MISSING(score), false },
    { "features", read_missing, MISSING(features), false },
};

static enum err read_threshold(struct reading *r, const json_t *value, const char *key, void *into)
{
    double threshold = json_number_value(value);

    if (!json_is_number(value) || !(threshold > 0 && threshold <= 2))
        return err_set(r->why, ERR_INVALID, "%s: %s must be a probability, or 2 for never", r->where, key);
    *(double *)into = threshold;
    return ERR_OK;
}

#define THRESHOLD(field) offsetof(struct policy_thresholds, field)
static const struct member threshold_members[] = {
    { "challenge", read_threshold, THRESHOLD(challenge), false },
    { "review", read_threshold, THRESHOLD(review), false },
    { "decline", read_threshold, THRESHOLD(decline), false },
};

/* Whether it is a name as the tables and the language have it. */
static enum err read_name(struct reading *r, const json_t *value, const char *key, void *into)
{
    struct slice name = json_slice(value);
    bool is_name = name.len > 0 && name.len <= 63;

    for (size_t i = 0; i < name.len && is_name; i++) {
        char c = name.ptr[i];

        is_name = (c >= 'a' && c <= 'z') || (i && ((c >= '0' && c <= '9') || c == '_'));
    }
    if (!is_name)
        return err_set(r->why, ERR_INVALID, "%s: %s must begin with a-z and go on with a-z, 0-9 and _",
                       r->where, key);
    return read_text(r, value, key, into);
}

static enum err read_purpose(struct reading *r, const json_t *value, const char *key, void *into)
{
    enum list_purpose purpose = list_purpose_find(json_slice(value));

    if (purpose == LIST_PURPOSE_COUNT)
        return err_set(r->why, ERR_INVALID, "%s: %s must be named, deny or allow", r->where, key);
    *(enum list_purpose *)into = purpose;
    return ERR_OK;
}

static enum err read_field(struct reading *r, const json_t *value, const char *key, void *into)
{
    enum txn_text field = txn_text_find(json_slice(value));

    if (field == TXN_TEXT_COUNT)
        return err_set(r->why, ERR_INVALID, "%s: %s must be a text field of a transaction, as customer_id",
                       r->where, key);
    *(enum txn_text *)into = field;
    return ERR_OK;
}

static enum err read_type(struct reading *r, const json_t *value, const char *key, void *into)
{
    enum list_type type = list_type_find(json_slice(value));

    if (type == LIST_TYPE_COUNT)
        return err_set(r->why, ERR_INVALID, "%s: %s must be string, ip or number", r->where, key);
    *(enum list_type *)into = type;
    return ERR_OK;
}

#define LIST(field) offsetof(struct document_list, field)
static const struct member list_members[] = {
    { "name", read_name, LIST(name), true },     { "purpose", read_purpose, LIST(purpose), false },
    { "field", read_field, LIST(field), false }, { "type", read_type, LIST(type), false },
    { "note", read_text, LIST(note), false },
};

/* Reads each object of a list into items that begin as `blank`. */
static enum err read_list(struct reading *r, const json_t *list, const char *key, const char *what,
                          size_t most, const struct member *members, size_t member_count, const void *blank,
                          size_t size, void **items, size_t *count)
{
    char *all;

    if (!json_is_array(list) || json_array_size(list) > most)
        return err_set(r->why, ERR_INVALID, "%s: %s must be a list of at most %zu", r->where, key, most);
    *count = json_array_size(list);
    *items = all = arena_alloc(r->arena, *count + 1, size);
    for (size_t i = 0; i < *count; i++) {
        const json_t *object = json_array_get(list, i);
        struct slice id = json_slice(json_object_get(object, members[0].key));
        struct reading inner = *r;
        enum err err;

        inner.where = id.len ? arena_printf(r->arena, "%s %zu (%.60s)", what, i + 1, id.ptr).ptr
                             : arena_printf(r->arena, "%s %zu", what, i + 1).ptr;
        memcpy(all + i * size, blank, size);
        err = read_object(&inner, object, members, member_count, all + i * size);
        if (err)
            return err;
    }
    return ERR_OK;
}

static enum err read_rules(struct reading *r, const json_t *list, const char *key, void *into)
{
    static const struct policy_rule blank = { .is_enabled = true };
    struct ruleset *set = into;
    void *items;
    struct policy_rule *rules;
    enum err err = read_list(r, list, key, "rule", POLICY_RULES_MAX, rule_members, ARRAY_LEN(rule_members),
                             &blank, sizeof blank, &items, &set->count);

    if (err)
        return err;
    set->rules = rules = items;
    for (size_t i = 0; i < set->count; i++) {
        if (rules[i].name.len == 0)
            rules[i].name = rules[i].id;
    }
    return ERR_OK;
}

static enum err read_lists(struct reading *r, const json_t *list, const char *key, void *into)
{
    static const struct document_list blank = { .field = TXN_TEXT_COUNT, .type = LIST_TYPE_COUNT };
    struct document *document = into;
    struct document_list *lists;
    void *items = NULL;
    enum err err = read_list(r, list, key, "list", DOCUMENT_LISTS_MAX, list_members, ARRAY_LEN(list_members),
                             &blank, sizeof blank, &items, &document->list_count);

    document->lists = lists = items;
    for (size_t i = 0; i < document->list_count && !err; i++) {
        if (lists[i].type == LIST_TYPE_COUNT || lists[i].field == TXN_ip)
            lists[i].type = list_type_of(lists[i].field);
    }
    return err;
}

static enum err read_missings(struct reading *r, const json_t *object, const char *key, void *into)
{
    struct reading inner = { r->arena, r->why, key };

    return read_object(&inner, object, missing_members, ARRAY_LEN(missing_members), into);
}

/* One that is never reached is in nobody's way. */
static bool rises(double milder, double stricter)
{
    return milder <= stricter || milder >= 2;
}

static enum err read_thresholds(struct reading *r, const json_t *object, const char *key, void *into)
{
    struct reading inner = { r->arena, r->why, key };
    struct ruleset *set = into;
    struct policy_thresholds *t = &set->thresholds;
    enum err err;

    *t = (struct policy_thresholds){ 2, 2, 2 };
    set->has_thresholds = true;
    err = read_object(&inner, object, threshold_members, ARRAY_LEN(threshold_members), t);
    if (!err && (!rises(t->challenge, t->review) || !rises(t->review, t->decline) ||
                 !rises(t->challenge, t->decline)))
        err = err_set(r->why, ERR_INVALID, "%s: challenge, review and decline rise in this order", key);
    return err;
}

static const struct member document_members[] = {
    { "missing", read_missings, offsetof(struct document, set.missing), false },
    { "thresholds", read_thresholds, offsetof(struct document, set), false },
    { "lists", read_lists, 0, false },
    { "rules", read_rules, offsetof(struct document, set), true },
};

enum err document_read(struct document *document, struct slice json, struct arena *arena, struct why *why)
{
    struct reading r = { arena, why, "the rule set" };
    json_t *root;
    enum err err;

    if (json.len > DOCUMENT_TEXT_MAX)
        return err_set(why, ERR_INVALID, "a rule set has at most %d bytes", DOCUMENT_TEXT_MAX);
    err = json_parse(&root, json, DOCUMENT_DEPTH, why);
    if (err)
        return err;
    err = read_object(&r, root, document_members, ARRAY_LEN(document_members), document);
    json_decref(root);
    return err;
}
