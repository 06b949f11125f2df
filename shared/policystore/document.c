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
    { "action", read_action, RULE(action), true },
    { "priority", read_priority, RULE(priority), false },
    { "reason", read_text, RULE(reason), false },
    { "public_reason", read_text, RULE(public_reason), false },
    { "enabled", read_bool, RULE(is_enabled), false },
};

#define MISSING(field) offsetof(struct policy_missing, field)
static const struct member missing_members[] = {
    { "score", read_missing, MISSING(score), false },
    { "features", read_missing, MISSING(features), false },
};

static enum err read_rules(struct reading *r, const json_t *list, const char *key, void *into)
{
    struct ruleset *set = into;
    struct policy_rule *rules;

    if (!json_is_array(list) || json_array_size(list) > POLICY_RULES_MAX)
        return err_set(r->why, ERR_INVALID, "%s: %s must be a list of at most %d", r->where, key,
                       POLICY_RULES_MAX);
    rules = arena_new(r->arena, struct policy_rule, json_array_size(list) + 1);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *rule = json_array_get(list, i);
        struct slice id = json_slice(json_object_get(rule, "id"));
        struct reading inner = *r;
        enum err err;

        inner.where = arena_printf(r->arena, "rule %zu%s%.60s%s", i + 1, id.len ? " (" : "",
                                   id.len ? id.ptr : "", id.len ? ")" : "")
                          .ptr;
        rules[i].is_enabled = true;
        err = read_object(&inner, rule, rule_members, ARRAY_LEN(rule_members), &rules[i]);
        if (err)
            return err;
        if (rules[i].name.len == 0)
            rules[i].name = rules[i].id;
    }
    set->rules = rules;
    set->count = json_array_size(list);
    return ERR_OK;
}

static enum err read_missings(struct reading *r, const json_t *object, const char *key, void *into)
{
    struct reading inner = { r->arena, r->why, key };

    return read_object(&inner, object, missing_members, ARRAY_LEN(missing_members), into);
}

static const struct member set_members[] = {
    { "missing", read_missings, offsetof(struct ruleset, missing), false },
    { "rules", read_rules, 0, true },
};

enum err ruleset_read(struct ruleset *set, struct slice json, struct arena *arena, struct why *why)
{
    struct reading r = { arena, why, "the rule set" };
    json_t *root;
    enum err err;

    if (json.len > RULESET_TEXT_MAX)
        return err_set(why, ERR_INVALID, "a rule set has at most %d bytes", RULESET_TEXT_MAX);
    err = json_parse(&root, json, DOCUMENT_DEPTH, why);
    if (err)
        return err;
    err = read_object(&r, root, set_members, ARRAY_LEN(set_members), set);
    json_decref(root);
    return err;
}
