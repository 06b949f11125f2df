/* SPDX-License-Identifier: Apache-2.0
 * cmd_rules_eval.c - `assay rules eval`: what a rule set does with one made-up payment, and how it comes to it. */
#include "command.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "explain_print.h"
#include "json/json.h"
#include "json/json_out.h"
#include "rule_case.h"
#include "rules_file.h"

struct eval_settings {
    double score;
    const char *rule;
    bool all, as_json;
};

static const struct eval_settings defaults = { .score = NAN };

enum { CASE_DEPTH = 8, CASE_TEXT_MAX = 1 << 20 };

/* A payment alone, as the API takes it, is a case too. */
static json_t *as_case(json_t *root)
{
    static const char *const members[] = { "tx", "score", "features", "velocities", "lists" };

    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (json_object_get(root, members[i]))
            return root;
    }
    return json_pack("{so}", "tx", root);
}

/* It is paid now, unless it says when. */
static void set_time(json_t *root)
{
    json_t *tx = json_object_get(root, "tx");
    char now[RFC3339_SIZE];

    if (!tx)
        json_object_set_new(root, "tx", tx = json_object());
    if (!json_is_object(tx) || json_object_get(tx, "occurred_at"))
        return;
    rfc3339_format(clock_wall_us(), now);
    json_object_set_new(tx, "occurred_at", json_string(now));
}

static enum err read_case(json_t **out, const char *file, double score, struct why *why)
{
    struct buf text;
    json_t *root = NULL;
    enum err err = yaml_file_read(&text, file, CASE_TEXT_MAX, why);

    if (!err && (err = json_parse(&root, buf_slice(&text), CASE_DEPTH, why)) != ERR_OK)
        err = err_wrap(why, err, "%s", file);
    if (!err && !json_is_object(root))
        err = err_set(why, ERR_INVALID, "%s is no object: a payment is {amount: 1999, channel: pos}", file);
    if (!err) {
        root = as_case(root);
        set_time(root);
    }
    if (!err && !isnan(score))
        json_object_set_new(root, "score", json_real(score));
    buf_release(&text);
    *out = root;
    return err;
}

static const char *decided_by(const struct policy_verdict *v)
{
    static const char *const words[] = { [POLICY_BY_LIST] = "a list",
                                         [POLICY_BY_RULE] = "a rule",
                                         [POLICY_BY_THRESHOLD] = "the score's thresholds",
                                         [POLICY_BY_MISSING] = "what is done when something is missing" };

    return words[v->decider];
}

static void print_fired(const char *what, const struct policy_fired *fired, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s %.*s  %.*s\n", what, SLICE_ARG(fired[i].rule->id), SLICE_ARG(fired[i].values));
}

static void print_for_people(const struct policy_verdict *v, const struct explanation *e, bool has_score)
{
    printf("%s, by %s\n", action_name(v->action), decided_by(v));
    for (size_t i = 0; i < v->reason_count; i++)
        printf("  %.*s\n", SLICE_ARG(v->reasons[i].text));
    if (!has_score)
        printf("  (without a score: --score gives one)\n");
    else if (!v->has_own_thresholds)
        printf("  (the set has no thresholds of its own: those of a model are not known here)\n");
    print_fired("fires", v->fired, v->fired_count);
    print_fired("notes", v->noted, v->noted_count);
    for (size_t i = 0; i < v->erred_count; i++)
        printf("errs  %.*s  %s\n", SLICE_ARG(v->erred[i].rule->id), v->erred[i].what);
    explain_print(e);
}

static void print_json(const struct policy_verdict *v, const struct explanation *e)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_str(&o, "action", action_name(v->action));
    json_out_str(&o, "decided_by", decided_by(v));
    json_out_list(&o, "reasons");
    for (size_t i = 0; i < v->reason_count; i++) {
        json_out_open(&o, NULL);
        json_out_text(&o, "code", v->reasons[i].code);
        json_out_text(&o, "text", v->reasons[i].text);
        json_out_end(&o);
    }
    json_out_end(&o);
    explanation_write(&o, "explanation", e);
    json_out_end(&o);
    printf("%s\n", buf_str(&text));
    buf_release(&text);
}

static enum err answer(const struct eval_settings *settings, struct draft *d, const json_t *one,
                       struct why *why)
{
    struct slice rule = slice_str(settings->rule ? settings->rule : "");
    enum explain_which which = rule.len ? EXPLAIN_ONE : settings->all ? EXPLAIN_ALL : EXPLAIN_SPOKE;
    struct arena arena = { 0 };
    struct rule_case c = { 0 };
    struct policy_input in;
    struct policy_verdict v;
    struct explanation e;
    enum err err = rule_case_open(&c, d, one, &arena, why);

    if (!err) {
        in = rule_case_input(&c);
        policy_decide(d->policy, &in, &arena, &v);
        err = explain_policy(&e, d->policy, &in, false, which, rule, &arena, why);
    }
    if (!err && settings->as_json)
        print_json(&v, &e);
    else if (!err)
        print_for_people(&v, &e, in.has_score);
    rule_case_release(&c);
    arena_release(&arena);
    return err;
}

static enum exit_code eval(const void *settings, char **operands, size_t operand_count)
{
    const struct eval_settings *s = settings;
    struct draft d = { 0 };
    struct buf rules;
    json_t *one = NULL;
    struct why why = { 0 };
    enum err err = rules_file_read(&rules, operands[0], &why);

    (void)operand_count;
    if (!err && (err = draft_open(&d, buf_slice(&rules), &why)) != ERR_OK)
        err = err_wrap(&why, err, "%s", operands[0]);
    if (!err)
        err = read_case(&one, operands[1], s->score, &why);
    if (!err && (err = answer(s, &d, one, &why)) == ERR_INVALID)
        err = err_wrap(&why, err, "%s", strcmp(operands[1], "-") ? operands[1] : "standard input");
    json_decref(one);
    draft_release(&d);
    buf_release(&rules);
    return command_end(err, &why);
}

#define SETTING(field) offsetof(struct eval_settings, field)
static const struct option options[] = {
    { "score", OPTION_NUMBER, SETTING(score), "P", "the model's probability, in the place of the payment's" },
    { "all", OPTION_FLAG, SETTING(all), NULL,
      "the parts of all rules, not only of those that fired or erred" },
    { "rule", OPTION_TEXT, SETTING(rule), "ID", "the parts of this rule only" },
    { "json", OPTION_FLAG, SETTING(as_json), NULL, "as JSON" },
};

const struct command cmd_rules_eval = {
    .name = "rules eval",
    .operands = "<rules> <payment>",
    .purpose = "Decide one made-up payment, and show how it came about",
    .text =
        "The payment is a file of JSON or YAML, or - for standard input: as the API takes it, of which\n"
        "nothing is needed; or, where more is to be said, as a test of `assay rules test` has it, with tx,\n"
        "score, features, velocities and lists. What is not said has no value, but it is paid now unless\n"
        "it says when. Needs no database.\n\n"
        "  echo '{amount: 120000, channel: ecommerce}' | assay rules eval rules-starter - --score 0.4\n"
        "  assay rules eval my-rules.yaml payment.json --rule large\n"
        "  echo '{tx: {amount: 500, device_id: d-7}, lists: {watched_devices: [d-7]}}' |\n"
        "    assay rules eval rules-starter -\n\n"
        "`assay cel check` tries a condition alone, `assay rules explain` a payment that was decided.",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct eval_settings),
    .defaults = &defaults,
    .run = eval,
};
