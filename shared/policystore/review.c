/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/review.h"

#include <stdlib.h>
#include <string.h>

#include "json/json.h"
#include "policy/policy.h"
#include "policystore/document.h"

enum { DEPTH = 8 };

static enum err parse(json_t **root, struct slice json, struct why *why)
{
    enum err err = json_parse(root, json, DEPTH, why);

    if (err) {
        *root = NULL;
        return err;
    }
    if (!json_is_object(*root) || !json_is_array(json_object_get(*root, "rules")))
        return err_set(why, ERR_SYNTAX, "a rule set is an object with a list `rules`");
    return ERR_OK;
}

static struct slice dump(const json_t *value, struct arena *arena)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    struct slice copy = arena_slice(arena, slice_str(text ? text : "null"));

    free(text);
    return copy;
}

/* ---- faults ---- */

struct review {
    struct arena *arena;
    struct review_fault *faults;
    size_t count;
};

static void add(struct review *r, struct slice pointer, const char *detail)
{
    if (r->count < REVIEW_FAULTS_MAX)
        r->faults[r->count++] = (struct review_fault){ pointer, arena_slice(r->arena, slice_str(detail)) };
}

/* The document with these rules instead of its own. */
static struct slice with_rules(const json_t *root, json_t *rules, struct arena *arena)
{
    json_t *copy = json_copy((json_t *)root);
    struct slice text;

    json_object_set_new(copy, "rules", rules);
    text = dump(copy, arena);
    json_decref(copy);
    return text;
}

/* The rule is read alone, so it is number 1 there: its place is told by the pointer. */
static const char *without_number(const char *text)
{
    static const char first[] = "rule 1";
    const char *colon = strncmp(text, first, sizeof first - 1) == 0 ? strstr(text, ": ") : NULL;

    return colon && strchr(": (", text[sizeof first - 1]) ? colon + strlen(": ") : text;
}

/* Whether it is the condition that is wrong, and not the id, the tag or a reason. */
static bool is_condition_wrong(const struct policy_rule *rule)
{
    struct policy_rule bare = {
        .id = SLICE("rule"), .expression = rule->expression, .action = rule->action, .is_enabled = true
    };
    struct ruleset set = { .version = SLICE("draft"), .rules = &bare, .count = 1 };
    struct policy *policy = policy_new();
    struct why why;
    bool is_wrong = policy_add_ruleset(policy, &set, &why) != ERR_OK;

    policy_free(policy);
    return is_wrong;
}

static void review_rule(struct review *r, size_t i, const json_t *rule)
{
    json_t *alone = json_pack("{s[O]}", "rules", rule);
    struct document d = { .set = { .version = SLICE("draft") } };
    struct policy *policy = policy_new();
    struct why why = { 0 };

    if (document_read(&d, dump(alone, r->arena), r->arena, &why))
        add(r, arena_printf(r->arena, "#/rules/%zu", i), without_number(why.text));
    else if (policy_add_ruleset(policy, &d.set, &why))
        add(r, arena_printf(r->arena, "#/rules/%zu%s", i, is_condition_wrong(&d.set.rules[0]) ? "/when" : ""),
            without_number(why.text));
    policy_free(policy);
    json_decref(alone);
}

static bool is_there_before(const json_t *rules, size_t i)
{
    const char *id = json_string_value(json_object_get(json_array_get(rules, i), "id"));

    for (size_t j = 0; id && j < i; j++) {
        const char *other = json_string_value(json_object_get(json_array_get(rules, j), "id"));

        if (other && strcmp(other, id) == 0)
            return true;
    }
    return false;
}

enum err review_faults(struct slice json, struct arena *arena, struct review_fault **faults, size_t *count,
                       struct why *why)
{
    struct review r = { .arena = arena, .faults = arena_new(arena, struct review_fault, REVIEW_FAULTS_MAX) };
    struct document frame = { 0 };
    struct why what = { 0 };
    json_t *root = NULL, *rules, *rule;
    size_t i;
    enum err err = parse(&root, json, why);

    *faults = r.faults;
    *count = 0;
    if (err) {
        json_decref(root);
        return err;
    }
    rules = json_object_get(root, "rules");
    if (document_read(&frame, with_rules(root, json_array(), arena), arena, &what))
        add(&r, SLICE("#"), what.text);
    if (json_array_size(rules) > POLICY_RULES_MAX) {
        add(&r, SLICE("#/rules"), "there are more rules than a set can have");
    } else {
        json_array_foreach(rules, i, rule)
        {
            review_rule(&r, i, rule);
            if (is_there_before(rules, i))
                add(&r, arena_printf(arena, "#/rules/%zu/id", i), "a rule before has the same id");
        }
    }
    json_decref(root);
    *count = r.count;
    return ERR_OK;
}

/* ---- differences ---- */

static void write_json(struct json_out *o, const char *key, const json_t *value)
{
    struct arena arena = { 0 };

    json_out_json(o, key, dump(value, &arena));
    arena_release(&arena);
}

static const json_t *find_rule(const json_t *rules, const json_t *like)
{
    const char *id = json_string_value(json_object_get(like, "id"));

    for (size_t i = 0; id && i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        const char *other = json_string_value(json_object_get(rule, "id"));

        if (other && strcmp(other, id) == 0)
            return rule;
    }
    return NULL;
}

/* The members of `a` that `b` has otherwise, or not. */
static void write_members(struct json_out *o, const char *key, const json_t *a, const json_t *b)
{
    const char *name;
    json_t *value;

    json_out_open(o, key);
    json_object_foreach((json_t *)a, name, value)
    {
        if (!json_equal(value, json_object_get(b, name)))
            write_json(o, name, value);
    }
    json_out_end(o);
}

static void write_only(struct json_out *o, const char *key, const json_t *rules, const json_t *others)
{
    json_out_list(o, key);
    for (size_t i = 0; i < json_array_size(rules); i++)
        if (!find_rule(others, json_array_get(rules, i)))
            write_json(o, NULL, json_array_get(rules, i));
    json_out_end(o);
}

static void write_changed(struct json_out *o, const json_t *a, const json_t *b)
{
    json_out_list(o, "changed");
    for (size_t i = 0; i < json_array_size(b); i++) {
        const json_t *to = json_array_get(b, i), *from = find_rule(a, to);

        if (!from || json_equal(from, to))
            continue;
        json_out_open(o, NULL);
        write_json(o, "id", json_object_get(to, "id"));
        write_members(o, "from", from, to);
        write_members(o, "to", to, from);
        json_out_end(o);
    }
    json_out_end(o);
}

static void write_others(struct json_out *o, const json_t *a, const json_t *b)
{
    static const char *const names[] = { "missing", "thresholds", "lists" };

    json_out_list(o, "others");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *from = json_object_get(a, names[i]), *to = json_object_get(b, names[i]);

        if (from == to || (from && to && json_equal(from, to)))
            continue;
        json_out_open(o, NULL);
        json_out_str(o, "name", names[i]);
        write_json(o, "from", from);
        write_json(o, "to", to);
        json_out_end(o);
    }
    json_out_end(o);
}

enum err review_difference(struct json_out *o, const char *key, struct slice a, struct slice b,
                           struct why *why)
{
    json_t *from = NULL, *to = NULL;
    enum err err = parse(&from, a, why);

    if (!err)
        err = parse(&to, b, why);
    if (!err) {
        const json_t *old = json_object_get(from, "rules"), *new = json_object_get(to, "rules");

        json_out_open(o, key);
        write_only(o, "added", new, old);
        write_only(o, "removed", old, new);
        write_changed(o, old, new);
        write_others(o, from, to);
        json_out_end(o);
    }
    json_decref(from);
    json_decref(to);
    return err;
}
