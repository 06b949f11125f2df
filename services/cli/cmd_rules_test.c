/* SPDX-License-Identifier: Apache-2.0
 * cmd_rules_test.c - `assay rules test`: a rule set on payments with what is expected of it. */
#include "command.h"

#include <jansson.h>
#include <string.h>

#include "base/array.h"
#include "json/json.h"
#include "rule_case.h"
#include "rules_file.h"

enum { CASES_DEPTH = 8, CASES_TEXT_MAX = 4 << 20 };

/* ---- one case ---- */

static bool has_fired(const struct policy_verdict *v, const char *id)
{
    for (size_t i = 0; i < v->fired_count; i++)
        if (slice_eq_str(v->fired[i].rule->id, id))
            return true;
    for (size_t i = 0; i < v->noted_count; i++)
        if (slice_eq_str(v->noted[i].rule->id, id))
            return true;
    return false;
}

static bool check_ids(const char *name, const struct policy_verdict *v, const json_t *ids, bool wanted)
{
    bool are_good = true;

    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));

        if (id && has_fired(v, id) != wanted) {
            printf("FAIL %s: %s %s\n", name, id, wanted ? "does not fire" : "fires");
            are_good = false;
        }
    }
    return are_good;
}

static bool is_rule(const struct draft *d, const char *id)
{
    for (size_t i = 0; i < d->document.set.count; i++) {
        if (slice_eq_str(d->document.set.rules[i].id, id))
            return true;
    }
    return false;
}

static enum err check_ids_are_rules(const struct draft *d, const json_t *one, const char *member,
                                    struct why *why)
{
    const json_t *ids = json_object_get(one, member), *id;
    size_t i;

    if (ids && !json_is_array(ids))
        return err_set(why, ERR_INVALID, "%s is a list of rules", member);
    json_array_foreach((json_t *)ids, i, id)
    {
        if (!json_is_string(id) || !is_rule(d, json_string_value(id)))
            return err_set(why, ERR_INVALID, "%s names %s, which is no rule of the set", member,
                           json_is_string(id) ? json_string_value(id) : "something");
    }
    return ERR_OK;
}

/* What is misspelt would be tested by nobody. */
static enum err check_members(const struct draft *d, const json_t *one, struct why *why)
{
    static const char *const members[] = { "name",  "tx",    "score", "features", "velocities",
                                           "lists", "fires", "not",   "action" };
    const json_t *action = json_object_get(one, "action");
    const char *name;
    json_t *value;
    enum err err;

    if (!json_is_object(one))
        return err_set(why, ERR_INVALID, "it is no object");
    json_object_foreach((json_t *)one, name, value)
    {
        size_t i = 0;

        while (i < ARRAY_LEN(members) && strcmp(name, members[i]) != 0)
            i++;
        if (i == ARRAY_LEN(members))
            return err_set(why, ERR_INVALID, "a test has no member %s", name);
    }
    if (action && action_find(json_slice(action)) == ACTION_COUNT)
        return err_set(why, ERR_INVALID, "action is approve, challenge, review or decline");
    err = check_ids_are_rules(d, one, "fires", why);
    return err ? err : check_ids_are_rules(d, one, "not", why);
}

static enum err run_case(struct draft *d, const json_t *one, const char *name, bool *is_good, struct why *why)
{
    const char *action = json_string_value(json_object_get(one, "action"));
    struct arena arena = { 0 };
    struct rule_case c = { 0 };
    struct policy_input in;
    struct policy_verdict v;
    enum err err = check_members(d, one, why);

    if (!err)
        err = rule_case_open(&c, d, one, &arena, why);
    if (!err) {
        in = rule_case_input(&c);
        policy_decide(d->policy, &in, &arena, &v);
        *is_good = check_ids(name, &v, json_object_get(one, "fires"), true);
        *is_good &= check_ids(name, &v, json_object_get(one, "not"), false);
        if (action && strcmp(action, action_name(v.action)) != 0) {
            printf("FAIL %s: %s, not %s\n", name, action_name(v.action), action);
            *is_good = false;
        }
    }
    rule_case_release(&c);
    arena_release(&arena);
    return err;
}

/* ---- all of them ---- */

static enum err run_all(struct draft *d, const json_t *cases, size_t *failed, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < json_array_size(cases) && !err; i++) {
        const json_t *one = json_array_get(cases, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        bool is_good = false;

        err = run_case(d, one, name ? name : "(no name)", &is_good, why);
        *failed += !is_good;
        if (err)
            err = err_wrap(why, err, "test %zu (%s)", i + 1, name ? name : "no name");
    }
    return err;
}

static enum exit_code test(const void *settings, char **operands, size_t operand_count)
{
    struct draft d = { 0 };
    struct buf rules, tests;
    struct why why = { 0 };
    json_t *root = NULL;
    const json_t *cases;
    size_t failed = 0;
    enum err err = rules_file_read(&rules, operands[0], &why);

    (void)settings;
    (void)operand_count;
    buf_init(&tests, 0);
    if (!err && (err = draft_open(&d, buf_slice(&rules), &why)) != ERR_OK)
        err = err_wrap(&why, err, "%s", operands[0]);
    if (!err) {
        buf_release(&tests);
        err = yaml_file_read(&tests, operands[1], CASES_TEXT_MAX, &why);
    }
    if (!err && (err = json_parse(&root, buf_slice(&tests), CASES_DEPTH, &why)) != ERR_OK)
        err = err_wrap(&why, err, "%s", operands[1]);
    cases = err ? NULL : json_object_get(root, "tests");
    if (!err && !json_is_array(cases))
        err = err_set(&why, ERR_INVALID, "%s has no list `tests`", operands[1]);
    if (!err)
        err = run_all(&d, cases, &failed, &why);
    if (!err)
        printf("%zu tests, %zu failed\n", json_array_size(cases), failed);
    if (root)
        json_decref(root);
    draft_release(&d);
    buf_release(&rules);
    buf_release(&tests);
    if (err)
        return command_end(err, &why);
    return failed ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_rules_test = {
    .name = "rules test",
    .operands = "<rules> <tests>",
    .purpose = "Try a rule set on payments with what is expected of it",
    .text = "A test has the payment (tx), a score, features, velocities and entries of lists, where it needs "
            "them, "
            "and says\n"
            "which rules fire, which do not, and the action. Features and velocities that it does not name "
            "have no "
            "value.\n"
            "Needs no database.\n\n"
            "  tests:\n"
            "    - name: a watched device is reviewed\n"
            "      tx: {amount: 1999, device_id: d-7}\n"
            "      lists: {watched_devices: [d-7]}\n"
            "      fires: [watched_device]\n"
            "      action: review\n"
            "    - name: a device tries cards\n"
            "      tx: {amount: 100, channel: ecommerce}\n"
            "      velocities: {'distinct(card, device, \"1h\")': 2}\n"
            "      fires: [device_tests_cards]\n\n"
            "  assay rules test models/rules-starter.yaml models/rules-starter-test.yaml",
    .operands_least = 2,
    .operands_most = 2,
    .run = test,
};
