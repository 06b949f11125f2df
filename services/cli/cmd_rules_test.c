/* SPDX-License-Identifier: Apache-2.0
 * cmd_rules_test.c - `assay rules test`: a rule set on payments with what is expected of it. */
#include "command.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "file.h"
#include "json/json.h"
#include "policystore/publish.h"
#include "shipped.h"
#include "velocity/velocity.h"
#include "yaml_json.h"

enum { CASES_DEPTH = 8, CASES_TEXT_MAX = 4 << 20 };

static enum err read_yaml(struct buf *json, const char *file, struct why *why)
{
    struct arena arena = { 0 };
    struct slice text;
    enum err err = strchr(file, '.') ? file_read(&text, file, CASES_TEXT_MAX, &arena, why)
                                     : shipped_read(&text, "", file, &arena, why);

    buf_init(json, 0);
    if (!err)
        err = yaml_to_json(json, text, why);
    arena_release(&arena);
    return err ? err_wrap(why, err, "%s", file) : ERR_OK;
}

/* ---- one case ---- */

static enum err read_payment(struct txn *txn, const json_t *tx, struct why *why)
{
    const char *name;
    json_t *value;

    *txn = (struct txn){ .account = 1, .id = SLICE("test"), .currency = SLICE("EUR"), .known_at_us = 1 };
    json_object_foreach((json_t *)tx, name, value)
    {
        enum txn_text field = txn_text_find(slice_str(name));

        if (strcmp(name, "amount") == 0 && json_is_integer(value))
            txn->amount_minor = txn->amount_base_minor = json_integer_value(value);
        else if (strcmp(name, "occurred_at") == 0 && rfc3339_parse(json_slice(value), &txn->occurred_at_us))
            txn->known_at_us = txn->occurred_at_us;
        else if (strcmp(name, "currency") == 0 && json_is_string(value))
            txn->currency = json_slice(value);
        else if (field < TXN_TEXT_COUNT && json_is_string(value))
            txn->text[field] = json_slice(value);
        else
            return err_set(why, ERR_INVALID, "tx.%s is unknown, or of the wrong type", name);
    }
    return ERR_OK;
}

/* The lists that the set declares, with the entries of the case. */
static enum err fill_lists(struct draft *d, const json_t *lists, struct why *why)
{
    enum err err = ERR_OK;

    policy_drop_lists(d->policy);
    for (size_t i = 0; i < d->document.list_count && !err; i++) {
        const struct document_list *l = &d->document.lists[i];
        const json_t *values = json_object_get(lists, arena_slice(&d->arena, l->name).ptr);
        struct list *list = list_new_of(l->type, 0, l->name, l->purpose, l->field);

        for (size_t j = 0; j < json_array_size(values) && !err; j++)
            err = list_add(list, json_slice(json_array_get(values, j)), LIST_NO_EXPIRY, why);
        policy_add_list(d->policy, list);
        list_unref(list);
    }
    return err;
}

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

/* What the case says of the set's features and velocities, and the names that policy_bind() finds them by. */
struct said {
    struct slice *names;
    float *values;
    size_t count;
};

static enum err read_said(struct said *said, const struct draft *d, const json_t *one, struct arena *arena,
                          struct why *why)
{
    const json_t *features = json_object_get(one, "features"),
                 *velocities = json_object_get(one, "velocities");
    const struct slice *names;
    size_t count = policy_features(d->policy, &names), room = count + json_object_size(velocities);
    const char *name;
    json_t *value;

    said->names = arena_new(arena, struct slice, room + 1);
    said->values = arena_new(arena, float, room + 1);
    for (size_t i = 0; i < count; i++) {
        value = json_object_get(features, arena_slice(arena, names[i]).ptr);
        said->names[i] = names[i];
        said->values[i] = value ? (float)json_number_value(value) : NAN;
    }
    said->count = count;
    json_object_foreach((json_t *)velocities, name, value)
    {
        if (velocities_find(policy_velocities(d->policy), slice_str(name)) == VELOCITY_NONE)
            return err_set(why, ERR_INVALID, "no rule asks for the velocity %s", name);
        said->names[said->count] = slice_str(name);
        said->values[said->count++] = (float)json_number_value(value);
    }
    return ERR_OK;
}

static enum err run_case(struct draft *d, const json_t *one, const char *name, bool *is_good, struct why *why)
{
    const json_t *score = json_object_get(one, "score");
    const char *action = json_string_value(json_object_get(one, "action"));
    struct arena arena = { 0 };
    struct said said;
    struct policy_columns *columns = NULL;
    struct policy_verdict v;
    struct txn txn;
    enum err err = read_payment(&txn, json_object_get(one, "tx"), why);

    if (!err)
        err = fill_lists(d, json_object_get(one, "lists"), why);
    if (!err)
        err = read_said(&said, d, one, &arena, why);
    if (!err) {
        columns = policy_bind(d->policy, said.names, said.count);
        policy_decide(d->policy,
                      &(struct policy_input){ .txn = &txn,
                                              .now_us = txn.known_at_us,
                                              .vector = said.values,
                                              .vector_count = said.count,
                                              .columns = columns,
                                              .has_score = score != NULL,
                                              .score = json_number_value(score),
                                              .thresholds = { 2, 2, 2 } },
                      &arena, &v);
        *is_good = check_ids(name, &v, json_object_get(one, "fires"), true);
        *is_good &= check_ids(name, &v, json_object_get(one, "not"), false);
        if (action && strcmp(action, action_name(v.action)) != 0) {
            printf("FAIL %s: %s, not %s\n", name, action_name(v.action), action);
            *is_good = false;
        }
    }
    policy_columns_free(columns);
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
    enum err err = read_yaml(&rules, operands[0], &why);

    (void)settings;
    (void)operand_count;
    buf_init(&tests, 0);
    if (!err)
        err = draft_open(&d, buf_slice(&rules), &why);
    if (!err)
        err = read_yaml(&tests, operands[1], &why);
    if (!err)
        err = json_parse(&root, buf_slice(&tests), CASES_DEPTH, &why);
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
        return command_fail(EXIT_FAILED, "%s", why.text);
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
