/* SPDX-License-Identifier: Apache-2.0 */
#include "replaystore/explain.h"

#include "base/array.h"
#include "policystore/document.h"
#include "replaystore/lists.h"

struct collecting {
    struct explanation *out;
    struct arena *arena;
    struct explain_step *steps; /* of the rule under way */
    size_t count, cap, total;
};

static struct slice value_text(struct cel_value value, struct arena *arena)
{
    struct buf text;
    struct slice copy;

    buf_init(&text, 0);
    cel_value_print(value, &text);
    copy = buf_slice(&text);
    if (copy.len > EXPLAIN_VALUE_MAX) {
        size_t len = EXPLAIN_VALUE_MAX;

        while (len > 0 && ((unsigned char)copy.ptr[len] & 0xc0) == 0x80) /* not within a character */
            len--;
        copy = arena_printf(arena, "%.*s...", (int)len, copy.ptr);
    } else {
        copy = arena_slice(arena, copy);
    }
    buf_release(&text);
    return copy;
}

static void on_step(void *context, const struct cel_step *step)
{
    struct collecting *c = context;

    if (c->total >= EXPLAIN_STEPS_MAX) {
        c->out->is_cut = true;
        return;
    }
    c->total++;
    ARRAY_RESERVE_ONE(c->steps, c->count, c->cap);
    c->steps[c->count++] = (struct explain_step){
        .text = arena_slice(c->arena, step->text),
        .at = step->at,
        .depth = step->depth,
        .times = step->times,
        .value = step->times ? value_text(step->value, c->arena) : (struct slice){ 0 },
        .kind = cel_kind_name(step->value.kind),
        .is_literal = step->is_literal,
    };
}

/* Whether the rule has something to say: a value that is missing is nothing. */
static bool speaks(struct cel_value value)
{
    return (value.kind == CEL_BOOL && value.b) ||
           (value.kind == CEL_ERROR && value.error.fault != CEL_FAULT_MISSING);
}

static void add_rule(struct collecting *c, struct explain_rule *to, const struct policy_rule *rule,
                     struct cel_value value)
{
    struct explain_step *steps = arena_new(c->arena, struct explain_step, c->count + 1);

    if (c->count)
        memcpy(steps, c->steps, c->count * sizeof *steps);
    *to = (struct explain_rule){
        .id = arena_slice(c->arena, rule->id),
        .name = arena_slice(c->arena, rule->name),
        .expression = arena_slice(c->arena, rule->expression),
        .tag = arena_slice(c->arena, rule->tag),
        .action = rule->action,
        .priority = rule->priority,
        .is_shadow = rule->is_shadow,
        .fires = value.kind == CEL_BOOL && value.b,
        .value = value_text(value, c->arena),
        .steps = steps,
        .step_count = c->count,
    };
}

enum err explain_policy(struct explanation *out, const struct policy *policy, const struct policy_input *in,
                        bool is_shadow, enum explain_which which, struct slice only, struct arena *arena,
                        struct why *why)
{
    struct collecting c = { .out = out, .arena = arena };
    uint32_t account = in->txn->account;
    size_t count = policy_rules(policy, account, is_shadow);
    struct explain_rule *rules = arena_new(arena, struct explain_rule, count + 1);
    struct slice version =
        is_shadow ? policy_shadow_version(policy, account) : policy_version(policy, account);

    *out = (struct explanation){ .ruleset_version = arena_slice(arena, version),
                                 .evaluated = count,
                                 .rules = rules };
    for (size_t i = 0; i < count; i++) {
        const struct policy_rule *rule = policy_rule_at(policy, account, is_shadow, i);
        size_t before = c.total;
        struct cel_value value;

        if (which == EXPLAIN_ONE && !slice_eq(rule->id, only))
            continue;
        c.count = 0;
        value = policy_explain(policy, in, is_shadow, i, arena, on_step, &c);
        if (which == EXPLAIN_SPOKE && !speaks(value))
            c.total = before;
        else
            add_rule(&c, &rules[out->rule_count++], rule, value);
    }
    mem_free(c.steps);
    if (which == EXPLAIN_ONE && out->rule_count == 0)
        return err_set(why, ERR_NOT_FOUND, "rule set %.*s has no rule %.*s that is switched on",
                       SLICE_ARG(out->ruleset_version), SLICE_ARG(only));
    return ERR_OK;
}

/* A document that is no version; the caller's, for policy_free(). */
static enum err policy_of(struct policy **out, struct slice json, struct why *why)
{
    struct policy *policy = policy_new();
    struct arena arena = { 0 };
    struct document d = { .set = { .version = SLICE("draft") } };
    enum err err = document_read(&d, json, &arena, why);

    if (!err)
        err = policy_add_ruleset(policy, &d.set, why);
    arena_release(&arena);
    if (err) {
        policy_free(policy);
        policy = NULL;
    }
    *out = policy;
    return err;
}

enum err explain(struct explanation *out, const struct explain_question *q, struct shelf *shelf,
                 struct pg_session *s, struct arena *arena, struct why *why)
{
    struct policy_input in = past_input(q->past, arena);
    bool is_shadow = q->is_shadow && q->version == 0 && q->document.len == 0;
    struct policy *policy = NULL, *own = NULL;
    struct policy_columns *columns = NULL;
    struct lists_then *lists;
    const struct plan *plan;
    enum err err;

    *out = (struct explanation){ 0 };
    if (q->document.len) {
        err = policy_of(&own, q->document, why);
        policy = own;
    } else {
        int64_t version = q->version ? q->version : past_ruleset(q->past);

        err = shelf_policy(shelf, s, version, q->version ? 0 : past_shadow(q->past), &policy, why);
    }
    if (!err && q->past->plan.len)
        err = shelf_plan(shelf, s, q->past->plan, &plan, why);
    if (err) {
        policy_free(own);
        return err;
    }
    if (q->past->plan.len)
        in.columns = columns = policy_bind_plan(policy, plan);
    lists = lists_then_open(policy, shelf, s, q->past->decided_at_us);
    err = explain_policy(out, policy, &in, is_shadow, q->which, q->rule, arena, why);
    if (!err)
        err = lists_then_err(lists, why);
    lists_then_close(lists);
    policy_columns_free(columns);
    policy_free(own);
    return err;
}

static void write_step(struct json_out *o, const struct explain_step *step)
{
    json_out_open(o, NULL);
    json_out_text(o, "text", step->text);
    json_out_int(o, "at", step->at);
    json_out_int(o, "depth", step->depth);
    json_out_int(o, "times", step->times);
    if (step->times)
        json_out_text(o, "value", step->value);
    else
        json_out_null(o, "value");
    json_out_str(o, "kind", step->times ? step->kind : NULL);
    json_out_bool(o, "literal", step->is_literal);
    json_out_end(o);
}

void explanation_write(struct json_out *o, const char *key, const struct explanation *e)
{
    json_out_open(o, key);
    json_out_text(o, "ruleset_version", e->ruleset_version);
    json_out_int(o, "evaluated", (int64_t)e->evaluated);
    json_out_bool(o, "is_cut", e->is_cut);
    json_out_list(o, "rules");
    for (size_t i = 0; i < e->rule_count; i++) {
        const struct explain_rule *rule = &e->rules[i];

        json_out_open(o, NULL);
        json_out_text(o, "id", rule->id);
        json_out_text(o, "name", rule->name);
        json_out_str(o, "action", rule->tag.len ? "tag" : action_name(rule->action));
        json_out_text(o, "tag", rule->tag);
        json_out_int(o, "priority", rule->priority);
        json_out_bool(o, "shadow", rule->is_shadow);
        json_out_text(o, "expression", rule->expression);
        json_out_bool(o, "fires", rule->fires);
        json_out_text(o, "value", rule->value);
        json_out_list(o, "steps");
        for (size_t k = 0; k < rule->step_count; k++)
            write_step(o, &rule->steps[k]);
        json_out_end(o);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
}
