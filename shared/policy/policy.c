/* SPDX-License-Identifier: Apache-2.0
 * policy.c - building a policy from what is published, and deciding with it. */
#include "policy/policy.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/decimal.h"
#include "base/hash.h"
#include "featurestore/plan.h"
#include "policy/compiled.h"

enum { FUNCTION_COUNT = 1 };
static const struct cel_function functions[FUNCTION_COUNT]; /* below, beside what they call */

struct policy *policy_new(void)
{
    struct policy *policy = mem_new(struct policy);

    policy->velocities = velocities_new();
    return policy;
}

static void set_release(struct compiled_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        cel_free(set->rules[i].program);
    mem_free(set->rules);
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    for (size_t i = 0; i < policy->set_count; i++)
        set_release(&policy->sets[i]);
    policy_drop_lists(policy);
    velocities_free(policy->velocities);
    mem_free(policy->list_table);
    mem_free(policy->slots);
    mem_free(policy->features);
    mem_free(policy->sets);
    mem_free(policy->lists);
    arena_release(&policy->arena);
    mem_free(policy);
}

/* ---- names ---- */

static bool is_plain_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(i && ((c >= '0' && c <= '9') || c == '_')))
            return false;
    }
    return name.len > 0 && name.len <= 64;
}

static enum cel_kind slot_kind_of(const struct slot *slot)
{
    if (slot->kind == SLOT_STATE)
        return CEL_BOOL;
    if (slot->kind != SLOT_FIELD || slot->field.kind == TXN_FIELD_NUMBER)
        return CEL_DOUBLE;
    return slot->field.kind == TXN_FIELD_TEXT ? CEL_STRING : CEL_DYN;
}

static const char *const states[STATE_COUNT] = {
    [STATE_FRESH] = "is_fresh", [STATE_STALE] = "is_stale", [STATE_THERE] = "has_value"
};

static bool resolve(void *context, struct slice name, struct cel_name *out);

/* "is_fresh(amount_ratio)", whose argument has its slot before it. */
static bool state_init(struct policy *policy, struct slot *slot, enum state_asked asked, struct slice name)
{
    size_t before = strlen(states[asked]) + 1;
    struct slice of = slice_of(name.ptr + before, name.len - before - 1);
    struct cel_name meaning;

    if (!resolve(policy, of, &meaning))
        return false;
    slot->kind = SLOT_STATE;
    slot->asked = asked;
    slot->of = meaning.slot;
    return true;
}

/* A name that claim() made of a call. */
static bool call_init(struct policy *policy, struct slot *slot, struct slice name)
{
    for (enum state_asked i = 0; i < STATE_COUNT; i++) {
        if (slice_starts_with(name, slice_str(states[i])))
            return state_init(policy, slot, i, name);
    }
    slot->kind = SLOT_VELOCITY;
    slot->feature = velocities_find(policy->velocities, name);
    return slot->feature != VELOCITY_NONE;
}

/* What a new name would be. */
static bool slot_init(struct policy *policy, struct slot *slot, struct slice name)
{
    const struct slice tx = SLICE("tx.");

    *slot = (struct slot){ .name = name };
    if (slice_starts_with(name, tx)) {
        slot->kind = SLOT_FIELD;
        return txn_field_find(slice_of(name.ptr + tx.len, name.len - tx.len), &slot->field);
    }
    if (name.len && name.ptr[name.len - 1] == ')')
        return call_init(policy, slot, name);
    if (!is_plain_name(name))
        return false;
    slot->kind = slice_eq_str(name, "score") ? SLOT_SCORE : SLOT_FEATURE;
    slot->feature = policy->feature_count;
    return true;
}

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    struct policy *policy = context;
    struct slot slot;

    for (uint32_t i = 0; i < policy->slot_count; i++) {
        if (slice_eq(policy->slots[i].name, name)) {
            *out = (struct cel_name){ i, slot_kind_of(&policy->slots[i]) };
            return true;
        }
    }
    if (policy->slot_count == POLICY_NAMES_MAX || !slot_init(policy, &slot, name))
        return false;
    slot_init(policy, &slot, arena_slice(&policy->arena, name)); /* again, to point to what stays */
    if (slot.kind == SLOT_FEATURE) {
        ARRAY_RESERVE_ONE(policy->features, policy->feature_count, policy->feature_cap);
        policy->features[policy->feature_count++] = slot.name;
    }
    ARRAY_RESERVE_ONE(policy->slots, policy->slot_count, policy->slot_cap);
    policy->slots[policy->slot_count] = slot;
    *out = (struct cel_name){ (uint32_t)policy->slot_count++, slot_kind_of(&slot) };
    return true;
}

/* Velocities, and the questions of how a value is, are names with arguments. */
static enum cel_claim claim(void *context, const struct cel_call *call, size_t *at, struct why *why)
{
    const struct policy *policy = context;
    const struct cel_arg *arg = call->args;
    enum state_asked asked = 0;

    while (asked < STATE_COUNT && !slice_eq_str(call->function, states[asked]))
        asked++;
    if (asked == STATE_COUNT)
        return velocities_claim(policy->velocities, call, at, why);
    if (call->arg_count == 1 && arg->kind == CEL_ARG_NAME && !slice_eq_str(arg->text, "score") &&
        (is_plain_name(arg->text) || velocities_find(policy->velocities, arg->text) != VELOCITY_NONE))
        return CEL_CLAIM_NAME;
    *at = call->arg_count ? arg->at : call->at;
    err_explain(why, "%s() takes a feature or a velocity, as in %s(count(card, \"10m\"))", states[asked],
                states[asked]);
    return CEL_CLAIM_FAULT;
}

/* ---- rule sets ---- */

/* Higher priority first, then the harder action, then by id so that the order never depends on the file. */
static int by_weight(const void *a, const void *b)
{
    const struct policy_rule *x = &((const struct compiled_rule *)a)->rule;
    const struct policy_rule *y = &((const struct compiled_rule *)b)->rule;

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    if (x->action != y->action)
        return x->action > y->action ? -1 : 1;
    return slice_compare(x->id, y->id);
}

static enum err check_rule(const struct ruleset *set, size_t i, struct why *why)
{
    const struct policy_rule *rule = &set->rules[i];

    if (!is_plain_name(rule->id))
        return err_set(why, ERR_INVALID, "rule %zu: '%.*s' is no id: a-z, then a-z, 0-9 and _, at most 64",
                       i + 1, SLICE_ARG(rule->id));
    if (rule->action >= ACTION_COUNT)
        return err_set(why, ERR_INVALID, "rule %.*s: no such action", SLICE_ARG(rule->id));
    if (rule->tag.len && !is_plain_name(rule->tag))
        return err_set(why, ERR_INVALID, "rule %.*s: '%.*s' is no tag: a-z, then a-z, 0-9 and _, at most 64",
                       SLICE_ARG(rule->id), SLICE_ARG(rule->tag));
    for (size_t j = 0; j < i; j++) {
        if (slice_eq(set->rules[j].id, rule->id))
            return err_set(why, ERR_INVALID, "rule %.*s is there twice", SLICE_ARG(rule->id));
    }
    return ERR_OK;
}

static enum err compile(struct policy *policy, struct slice text, enum cel_kind result,
                        struct cel_program **out, struct why *why)
{
    struct cel_env env = { .resolve = resolve,
                           .claim = claim,
                           .context = policy,
                           .functions = functions,
                           .function_count = FUNCTION_COUNT,
                           .dialect = CEL_ASSAY,
                           .result = result };

    return cel_compile(out, text, &env, why);
}

enum err policy_compile(struct policy *policy, struct slice text, struct cel_program **out, struct why *why)
{
    return compile(policy, text, CEL_DYN, out, why);
}

static enum err compile_rule(struct policy *policy, const struct policy_rule *rule, struct compiled_rule *out,
                             struct why *why)
{
    struct slice unknown;
    enum err err = compile(policy, rule->expression, CEL_BOOL, &out->program, why);

    if (err)
        return err_wrap(why, ERR_INVALID, "rule %.*s", SLICE_ARG(rule->id));
    out->rule = (struct policy_rule){
        .id = arena_slice(&policy->arena, rule->id),
        .name = arena_slice(&policy->arena, rule->name),
        .expression = cel_text(out->program),
        .action = rule->action,
        .priority = rule->priority,
        .reason = arena_slice(&policy->arena, rule->reason),
        .public_reason = arena_slice(&policy->arena, rule->public_reason),
        .owner = arena_slice(&policy->arena, rule->owner),
        .tag = arena_slice(&policy->arena, rule->tag),
        .is_enabled = rule->is_enabled,
        .is_shadow = rule->is_shadow,
    };
    if (!reason_check(out, out->rule.reason, &unknown) ||
        !reason_check(out, out->rule.public_reason, &unknown))
        return err_set(why, ERR_INVALID,
                       "rule %.*s: the reason names {%.*s}, which the expression does not use",
                       SLICE_ARG(rule->id), SLICE_ARG(unknown));
    return ERR_OK;
}

enum err policy_add_ruleset(struct policy *policy, const struct ruleset *set, struct why *why)
{
    struct compiled_set compiled = { .account = set->account,
                                     .missing = set->missing,
                                     .has_thresholds = set->has_thresholds,
                                     .thresholds = set->thresholds,
                                     .is_shadow = set->is_shadow };
    enum err err = ERR_OK;

    if (set->count > POLICY_RULES_MAX)
        return err_set(why, ERR_INVALID, "a rule set has at most %d rules, not %zu", POLICY_RULES_MAX,
                       set->count);
    compiled.version = arena_slice(&policy->arena, set->version);
    compiled.rules = mem_new_n(struct compiled_rule, set->count + 1);
    for (size_t i = 0; i < set->count && !err; i++) {
        err = check_rule(set, i, why);
        if (!err)
            err = compile_rule(policy, &set->rules[i], &compiled.rules[compiled.count], why);
        /* A rule that is switched off is checked all the same: it may be switched on tomorrow. */
        if (compiled.rules[compiled.count].program && !err && !set->rules[i].is_enabled) {
            cel_free(compiled.rules[compiled.count].program);
            compiled.rules[compiled.count] = (struct compiled_rule){ 0 };
        } else if (compiled.rules[compiled.count].program) {
            compiled.count++;
        }
    }
    if (err) {
        set_release(&compiled);
        return err;
    }
    qsort(compiled.rules, compiled.count, sizeof *compiled.rules, by_weight);
    ARRAY_RESERVE_ONE(policy->sets, policy->set_count, policy->set_cap);
    policy->sets[policy->set_count++] = compiled;
    return ERR_OK;
}

/* ---- lists by name ---- */

/* Names are people's, so the key need not be secret. */
static const struct hash_key name_key = { "assay policy nam" };

static size_t list_place(const struct policy *policy, uint32_t account, struct slice name)
{
    size_t mask = policy->list_table_size - 1;
    size_t i = (hash64(&name_key, name) + account) & mask;

    for (; policy->list_table[i]; i = (i + 1) & mask) {
        const struct list *list = policy->lists[policy->list_table[i] - 1];

        if (list_account(list) == account && slice_eq(list_name(list), name))
            break;
    }
    return i;
}

static void grow_list_table(struct policy *policy)
{
    policy->list_table_size = policy->list_table_size ? 2 * policy->list_table_size : 16;
    mem_free(policy->list_table);
    policy->list_table = mem_new_n(uint32_t, policy->list_table_size);
    for (size_t i = 0; i < policy->list_count; i++)
        policy->list_table[list_place(policy, list_account(policy->lists[i]), list_name(policy->lists[i]))] =
            (uint32_t)i + 1;
}

void policy_add_list(struct policy *policy, struct list *list)
{
    ARRAY_RESERVE_ONE(policy->lists, policy->list_count, policy->list_cap);
    policy->lists[policy->list_count++] = list_ref(list);
    if (2 * policy->list_count > policy->list_table_size)
        grow_list_table(policy);
    else
        policy->list_table[list_place(policy, list_account(list), list_name(list))] =
            (uint32_t)policy->list_count;
}

void policy_drop_lists(struct policy *policy)
{
    for (size_t i = 0; i < policy->list_count; i++)
        list_unref(policy->lists[i]);
    policy->list_count = 0;
    if (policy->list_table)
        memset(policy->list_table, 0, policy->list_table_size * sizeof *policy->list_table);
}

static const struct list *list_find(const struct policy *policy, uint32_t account, struct slice name)
{
    uint32_t found = policy->list_count ? policy->list_table[list_place(policy, account, name)] : 0;

    return found ? policy->lists[found - 1] : NULL;
}

/* The account's own list of that name, else the common one, else NULL. */
static const struct list *list_of(const struct policy *policy, uint32_t account, struct slice name)
{
    const struct list *own = list_find(policy, account, name);

    return own || account == 0 ? own : list_find(policy, 0, name);
}

void policy_ask_lists(struct policy *policy, const struct policy_list_source *source)
{
    policy->source = source;
}

static bool holds(const struct policy *policy, const struct list *list, struct slice value, int64_t now_us)
{
    if (policy->source)
        return value.len && policy->source->has(policy->source->context, list, value, now_us);
    return list_has(list, value, now_us);
}

static bool holds_number(const struct policy *policy, const struct list *list, double value, int64_t now_us)
{
    char text[DECIMAL_SIZE];

    if (!policy->source)
        return list_has_number(list, value, now_us);
    return isfinite(value) && holds(policy, list, slice_of(text, decimal_print(value + 0, text)), now_us);
}

/* ---- finding ---- */

/* The account's own rule set, else the common one, else NULL. */
static const struct compiled_set *find_set(const struct policy *policy, uint32_t account, bool is_shadow)
{
    const struct compiled_set *common = NULL;

    for (size_t i = 0; i < policy->set_count; i++) {
        if (policy->sets[i].is_shadow != is_shadow)
            continue;
        if (policy->sets[i].account == account)
            return &policy->sets[i];
        if (policy->sets[i].account == 0)
            common = &policy->sets[i];
    }
    return common;
}

const struct compiled_set *policy_set_of(const struct policy *policy, uint32_t account)
{
    static const struct compiled_set none = { .version = { "none", 4 } };
    const struct compiled_set *set = find_set(policy, account, false);

    return set ? set : &none;
}

struct unknown_list {
    const struct policy *policy;
    uint32_t account;
    struct slice name;
};

static void check_list(void *context, struct slice name)
{
    struct unknown_list *unknown = context;

    if (unknown->name.len == 0 && !list_of(unknown->policy, unknown->account, name))
        unknown->name = name;
}

struct slice policy_unknown_list(const struct policy *policy)
{
    struct unknown_list unknown = { .policy = policy };

    for (size_t i = 0; i < policy->set_count; i++) {
        unknown.account = policy->sets[i].account;
        for (size_t j = 0; j < policy->sets[i].count; j++)
            cel_literal_args(policy->sets[i].rules[j].program, "in_list", 1, check_list, &unknown);
    }
    return unknown.name;
}

size_t policy_features(const struct policy *policy, const struct slice **names)
{
    *names = policy->features;
    return policy->feature_count;
}

const struct velocities *policy_velocities(const struct policy *policy)
{
    return policy->velocities;
}

size_t policy_rule_count(const struct policy *policy, uint32_t account)
{
    return policy_set_of(policy, account)->count;
}

struct slice policy_version(const struct policy *policy, uint32_t account)
{
    return policy_set_of(policy, account)->version;
}

struct slice policy_shadow_version(const struct policy *policy, uint32_t account)
{
    const struct compiled_set *set = find_set(policy, account, true);

    return set ? set->version : (struct slice){ 0 };
}

/* ---- columns ---- */

/* Nothing is found yet. */
static struct policy_columns *columns_new(const struct policy *policy)
{
    struct policy_columns *columns = mem_new(struct policy_columns);
    size_t velocities = velocities_count(policy->velocities);

    columns->count = policy->feature_count;
    columns->column = mem_new_n(size_t, policy->feature_count + 1);
    columns->velocity = mem_new_n(size_t, velocities + 1);
    for (size_t i = 0; i < policy->feature_count; i++)
        columns->column[i] = SIZE_MAX;
    for (size_t i = 0; i < velocities; i++)
        columns->velocity[i] = SIZE_MAX;
    columns->missing = policy->feature_count + velocities;
    return columns;
}

struct policy_columns *policy_bind(const struct policy *policy, const struct slice *names, size_t count)
{
    struct policy_columns *columns = columns_new(policy);

    for (size_t i = 0; i < policy->feature_count; i++) {
        for (size_t j = 0; j < count && columns->column[i] == SIZE_MAX; j++) {
            if (slice_eq(names[j], policy->features[i]))
                columns->column[i] = j;
        }
        columns->missing -= columns->column[i] != SIZE_MAX;
    }
    for (size_t j = 0; j < count; j++) {
        size_t i = velocities_find(policy->velocities, names[j]);

        if (i == VELOCITY_NONE)
            continue;
        columns->missing -= columns->velocity[i] == SIZE_MAX;
        columns->velocity[i] = j;
    }
    return columns;
}

struct policy_columns *policy_bind_plan(const struct policy *policy, const struct plan *plan)
{
    struct policy_columns *columns = columns_new(policy);

    static_assert(PLAN_NO_COLUMN == SIZE_MAX, "what is not found is told in one way");
    for (size_t i = 0; i < policy->feature_count; i++) {
        columns->column[i] = plan_find_name(plan, policy->features[i]);
        columns->missing -= columns->column[i] != SIZE_MAX;
    }
    for (size_t i = 0; i < velocities_count(policy->velocities); i++) {
        columns->velocity[i] = plan_find(plan, velocities_at(policy->velocities, i)->hash);
        columns->missing -= columns->velocity[i] != SIZE_MAX;
    }
    return columns;
}

void policy_columns_free(struct policy_columns *columns)
{
    if (!columns)
        return;
    mem_free(columns->column);
    mem_free(columns->velocity);
    mem_free(columns);
}

size_t policy_columns_missing(const struct policy_columns *columns)
{
    return columns->missing;
}

/* ---- evaluating ---- */

static struct cel_value in_list(void *context, const struct cel_value *args)
{
    const struct policy_asking *asking = context;
    const struct list *list = list_of(asking->policy, asking->account, args[1].s);

    if (!list)
        return cel_error(CEL_FAULT_ARGUMENT);
    switch (args[0].kind) {
    case CEL_STRING:
        return cel_bool(holds(asking->policy, list, args[0].s, asking->now_us));
    case CEL_DOUBLE:
        break;
    case CEL_INT:
        return in_list(context, (struct cel_value[]){ cel_double((double)args[0].i), args[1] });
    case CEL_UINT:
        return in_list(context, (struct cel_value[]){ cel_double((double)args[0].u), args[1] });
    default:
        return cel_error(CEL_FAULT_OVERLOAD);
    }
    if (list_type(list) != LIST_OF_NUMBERS)
        return cel_error(CEL_FAULT_OVERLOAD);
    return cel_bool(holds_number(asking->policy, list, args[0].d, asking->now_us));
}

static const struct cel_function functions[FUNCTION_COUNT] = {
    { "in_list", CEL_BOOL, 2, { CEL_DYN, CEL_STRING }, in_list, 4 },
};

static struct cel_value field_value(const struct txn *txn, const struct txn_field *field)
{
    struct txn_value value = txn_field_get(txn, field);

    switch (value.kind) {
    case TXN_VALUE_NUMBER:
        return cel_double(value.number);
    case TXN_VALUE_TEXT:
        return cel_string(value.text);
    case TXN_VALUE_BOOL:
        return cel_bool(value.is_true);
    case TXN_VALUE_MISSING:
        break;
    }
    return cel_error(CEL_FAULT_MISSING);
}

static struct cel_value column_value(const struct policy_input *in, size_t column)
{
    return column < in->vector_count ? cel_feature((double)in->vector[column]) : cel_error(CEL_FAULT_MISSING);
}

static struct cel_value feature_value(const struct policy_input *in, const struct slot *slot)
{
    if (!in->columns || !in->vector)
        return cel_error(CEL_FAULT_MISSING);
    return column_value(in, slot->kind == SLOT_FEATURE ? in->columns->column[slot->feature]
                                                       : in->columns->velocity[slot->feature]);
}

static bool is_degraded(const struct policy_input *in, const char *part)
{
    for (size_t i = 0; i < in->degraded_count; i++) {
        if (slice_eq_str(in->degraded[i], part))
            return true;
    }
    return false;
}

static struct cel_value state_value(const struct policy_input *in, const struct slot *slot,
                                    const struct cel_value *values)
{
    bool is_there = values[slot->of].kind != CEL_ERROR;

    if (slot->asked == STATE_THERE)
        return cel_bool(is_there);
    return cel_bool(is_there && is_degraded(in, POLICY_OLDER_FEATURES) == (slot->asked == STATE_STALE));
}

static bool has_score(const struct policy_input *in)
{
    return in->has_score && !isnan(in->score);
}

struct cel_value policy_slot_value(const struct slot *slot, const struct policy_input *in,
                                   const struct cel_value *values)
{
    switch (slot->kind) {
    case SLOT_FIELD:
        return field_value(in->txn, &slot->field);
    case SLOT_FEATURE:
    case SLOT_VELOCITY:
        return feature_value(in, slot);
    case SLOT_STATE:
        return state_value(in, slot, values);
    case SLOT_SCORE:
        break;
    }
    return has_score(in) ? cel_double(in->score) : cel_error(CEL_FAULT_MISSING);
}

static struct cel_value *fill_slots(const struct policy *policy, const struct policy_input *in,
                                    struct arena *arena)
{
    struct cel_value *values = arena_new(arena, struct cel_value, policy->slot_count + 1);

    for (size_t i = 0; i < policy->slot_count; i++)
        values[i] = policy_slot_value(&policy->slots[i], in, values);
    return values;
}

/* The lists of one purpose that hold a field of the transaction; true when there are any. */
static bool find_lists(const struct policy *policy, const struct policy_input *in, enum list_purpose purpose,
                       struct decision *d)
{
    for (size_t i = 0; i < policy->list_count && d->list_count < ARRAY_LEN(d->lists); i++) {
        const struct list *list = policy->lists[i];

        if (list_purpose(list) == purpose && list_field(list) < TXN_TEXT_COUNT &&
            (list_account(list) == 0 || list_account(list) == in->txn->account) &&
            holds(policy, list, in->txn->text[list_field(list)], in->now_us))
            d->lists[d->list_count++] = list;
    }
    return d->list_count > 0;
}

enum action policy_score_action(double score, const struct policy_thresholds *t)
{
    return score >= t->decline     ? ACTION_DECLINE
           : score >= t->review    ? ACTION_REVIEW
           : score >= t->challenge ? ACTION_CHALLENGE
                                   : ACTION_APPROVE;
}

static void decide_by_score(const struct compiled_set *set, const struct policy_input *in, struct decision *d,
                            struct policy_verdict *out)
{
    enum action floor = !d->has_score                 ? set->missing.score
                        : is_degraded(in, "features") ? set->missing.features
                                                      : ACTION_APPROVE;

    out->decider = POLICY_BY_THRESHOLD;
    out->action = out->score_action;
    if (floor > out->action || !d->has_score) {
        out->decider = POLICY_BY_MISSING;
        out->action = floor;
    }
}

/* Evaluates every rule; `fired` has room for them all and gets those that act. */
static void run_rules(const struct compiled_set *set, const struct cel_input *input, struct arena *arena,
                      const struct compiled_rule **fired, struct policy_verdict *out)
{
    const struct compiled_rule **noted = arena_new(arena, const struct compiled_rule *, set->count + 1);
    const struct policy_rule *rule;

    for (size_t i = 0; i < set->count; i++) {
        struct cel_value value = cel_eval(set->rules[i].program, input);

        rule = &set->rules[i].rule;
        if (value.kind == CEL_ERROR && value.error.fault != CEL_FAULT_MISSING) {
            if (!out->erred)
                out->erred = arena_new(arena, struct policy_erred, set->count);
            out->erred[out->erred_count++] = (struct policy_erred){ rule, cel_fault_text(value.error.fault) };
        }
        if (value.kind != CEL_BOOL || !value.b)
            continue;
        if (rule->tag.len || rule->is_shadow)
            noted[out->noted_count++] = &set->rules[i];
        else
            fired[out->fired_count++] = &set->rules[i];
    }
    out->fired = arena_new(arena, struct policy_fired, out->fired_count + 1);
    for (size_t i = 0; i < out->fired_count; i++)
        out->fired[i] =
            (struct policy_fired){ &fired[i]->rule, reason_values(fired[i], input->slots, arena) };
    out->noted = arena_new(arena, struct policy_fired, out->noted_count + 1);
    for (size_t i = 0; i < out->noted_count; i++)
        out->noted[i] =
            (struct policy_fired){ &noted[i]->rule, reason_values(noted[i], input->slots, arena) };
}

void policy_settle(const struct compiled_set *set, const struct policy *policy, const struct policy_input *in,
                   const struct compiled_rule *first, struct decision *d, struct policy_verdict *out)
{
    d->has_score = has_score(in);
    out->has_own_thresholds = d->has_score && set->has_thresholds && !is_degraded(in, "scoring");
    out->thresholds = out->has_own_thresholds ? set->thresholds : in->thresholds;
    out->score_action = d->has_score ? policy_score_action(in->score, &out->thresholds) : ACTION_APPROVE;
    if (find_lists(policy, in, LIST_DENY, d)) {
        out->decider = POLICY_BY_LIST;
        out->action = ACTION_DECLINE;
    } else if (find_lists(policy, in, LIST_ALLOW, d)) {
        out->decider = POLICY_BY_LIST;
        out->action = ACTION_APPROVE;
    } else if (first) {
        out->decider = POLICY_BY_RULE;
        out->action = first->rule.action;
    } else {
        decide_by_score(set, in, d, out);
    }
}

/* One set's verdict, without reasons. `d` gets what they are made of. */
static void decide_by_set(const struct compiled_set *set, const struct policy *policy,
                          const struct policy_input *in, const struct cel_input *input, struct arena *arena,
                          struct decision *d, struct policy_verdict *out)
{
    const struct compiled_rule **fired = arena_new(arena, const struct compiled_rule *, set->count + 1);

    *out = (struct policy_verdict){ .version = set->version };
    *d = (struct decision){ .in = in, .policy = policy, .slots = input->slots, .fired = fired };
    run_rules(set, input, arena, fired, out);
    policy_settle(set, policy, in, out->fired_count ? fired[0] : NULL, d, out);
}

void policy_decide(const struct policy *policy, const struct policy_input *in, struct arena *arena,
                   struct policy_verdict *out)
{
    const struct compiled_set *shadow = find_set(policy, in->txn->account, true);
    struct policy_asking asking = { policy, in->txn->account, in->now_us };
    struct cel_input input = { .slots = fill_slots(policy, in, arena), .context = &asking, .arena = arena };
    struct policy_verdict *beside;
    struct decision d;

    decide_by_set(policy_set_of(policy, in->txn->account), policy, in, &input, arena, &d, out);
    reasons_write(&d, arena, out);
    if (shadow) {
        beside = arena_new(arena, struct policy_verdict, 1);
        decide_by_set(shadow, policy, in, &input, arena, &d, beside);
        out->shadow = beside;
    }
}

/* ---- explaining ---- */

static const struct compiled_set *set_of(const struct policy *policy, uint32_t account, bool is_shadow)
{
    return is_shadow ? find_set(policy, account, true) : policy_set_of(policy, account);
}

size_t policy_rules(const struct policy *policy, uint32_t account, bool is_shadow)
{
    const struct compiled_set *set = set_of(policy, account, is_shadow);

    return set ? set->count : 0;
}

const struct policy_rule *policy_rule_at(const struct policy *policy, uint32_t account, bool is_shadow,
                                         size_t rule)
{
    return &set_of(policy, account, is_shadow)->rules[rule].rule;
}

struct cel_value policy_explain(const struct policy *policy, const struct policy_input *in, bool is_shadow,
                                size_t rule, struct arena *arena, cel_visit visit, void *context)
{
    const struct compiled_set *set = set_of(policy, in->txn->account, is_shadow);
    struct policy_asking asking = { policy, in->txn->account, in->now_us };
    struct cel_input input = { .slots = fill_slots(policy, in, arena), .context = &asking, .arena = arena };

    return cel_explain(set->rules[rule].program, &input, visit, context);
}
