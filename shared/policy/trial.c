/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trial.h"

#include "base/mem.h"
#include "policy/compiled.h"

struct trial {
    const struct policy *policy;
    const struct compiled_set *set;
    bool *is_known;           /* [rules] */
    struct cel_value *values; /* [slots of the policy] */
    struct slice *names;      /* of the vector */
    size_t name_count;
    struct policy_columns *columns;
    size_t *reads; /* the slots that rules which are not known use */
    size_t read_count;
    struct arena arena;
};

static void read_slot(const struct policy *policy, uint32_t slot, bool *is_read)
{
    is_read[slot] = true;
    if (policy->slots[slot].kind == SLOT_STATE)
        is_read[policy->slots[slot].of] = true;
}

static void find_reads(struct trial *t)
{
    bool *is_read = mem_new_n(bool, t->policy->slot_count + 1);
    const struct cel_use *uses;

    t->read_count = 0;
    for (size_t i = 0; i < t->set->count; i++) {
        size_t count = t->is_known[i] ? 0 : cel_uses(t->set->rules[i].program, &uses);

        for (size_t k = 0; k < count; k++)
            read_slot(t->policy, uses[k].slot, is_read);
    }
    for (size_t i = 0; i < t->policy->slot_count; i++) {
        if (is_read[i])
            t->reads[t->read_count++] = i;
    }
    mem_free(is_read);
}

static void name_vector(struct trial *t)
{
    const struct policy *policy = t->policy;
    size_t velocities = velocities_count(policy->velocities);

    t->names = mem_new_n(struct slice, policy->feature_count + velocities + 1);
    for (size_t i = 0; i < policy->feature_count; i++)
        t->names[t->name_count++] = policy->features[i];
    t->columns = policy_bind(policy, t->names, t->name_count);
    for (size_t i = 0; i < velocities; i++) {
        t->columns->velocity[i] = t->name_count;
        t->names[t->name_count++] = velocities_at(policy->velocities, i)->name;
    }
}

struct trial *trial_new(const struct policy *policy, uint32_t account)
{
    struct trial *t = mem_new(struct trial);

    t->policy = policy;
    t->set = policy_set_of(policy, account);
    t->is_known = mem_new_n(bool, t->set->count + 1);
    t->values = mem_new_n(struct cel_value, policy->slot_count + 1);
    t->reads = mem_new_n(size_t, policy->slot_count + 1);
    name_vector(t);
    find_reads(t);
    return t;
}

void trial_free(struct trial *t)
{
    if (!t)
        return;
    mem_free(t->is_known);
    mem_free(t->values);
    mem_free(t->names);
    policy_columns_free(t->columns);
    mem_free(t->reads);
    arena_release(&t->arena);
    mem_free(t);
}

size_t trial_rule_count(const struct trial *t)
{
    return t->set->count;
}

const struct policy_rule *trial_rule(const struct trial *t, size_t rule)
{
    return &t->set->rules[rule].rule;
}

bool trial_rule_acts(const struct trial *t, size_t rule)
{
    return t->set->rules[rule].rule.tag.len == 0 && !t->set->rules[rule].rule.is_shadow;
}

/* By its text: a literal that says the same costs an evaluation and nothing else. */
bool trial_rule_asks_lists(const struct trial *t, size_t rule)
{
    static const char function[] = "in_list";
    struct slice text = trial_rule(t, rule)->expression;

    for (size_t i = 0; i + sizeof function - 1 <= text.len; i++) {
        if (memcmp(text.ptr + i, function, sizeof function - 1) == 0)
            return true;
    }
    return false;
}

bool trial_rule_asks_score(const struct trial *t, size_t rule)
{
    const struct cel_use *uses;
    size_t count = cel_uses(t->set->rules[rule].program, &uses);

    for (size_t i = 0; i < count; i++) {
        const struct slot *slot = &t->policy->slots[uses[i].slot];

        if (slot->kind == SLOT_SCORE ||
            (slot->kind == SLOT_STATE && t->policy->slots[slot->of].kind == SLOT_SCORE))
            return true;
    }
    return false;
}

size_t trial_vector(const struct trial *t, const struct slice **names)
{
    *names = t->names;
    return t->name_count;
}

struct slice trial_vector_text(const struct trial *t, size_t place)
{
    size_t features = t->policy->feature_count;

    return place < features ? t->names[place]
                            : velocities_at(t->policy->velocities, place - features)->describe;
}

const unsigned char *trial_velocity(const struct trial *t, size_t place)
{
    const struct policy *policy = t->policy;

    return place < policy->feature_count
               ? NULL
               : velocities_at(policy->velocities, place - policy->feature_count)->hash;
}

const struct policy_columns *trial_columns(const struct trial *t)
{
    return t->columns;
}

void trial_rule_features(const struct trial *t, size_t rule, void (*each)(void *context, size_t place),
                         void *context)
{
    const struct cel_use *uses;
    size_t count = cel_uses(t->set->rules[rule].program, &uses);

    for (size_t i = 0; i < count; i++) {
        const struct slot *slot = &t->policy->slots[uses[i].slot];

        if (slot->kind == SLOT_STATE)
            slot = &t->policy->slots[slot->of];
        if (slot->kind == SLOT_FEATURE)
            each(context, slot->feature);
        else if (slot->kind == SLOT_VELOCITY)
            each(context, t->policy->feature_count + slot->feature);
    }
}

void trial_know(struct trial *t, size_t rule, bool is_known)
{
    t->is_known[rule] = is_known;
    find_reads(t);
}

static uint8_t outcome_of(struct cel_value value)
{
    if (value.kind == CEL_BOOL && value.b)
        return TRIAL_FIRES;
    return value.kind == CEL_ERROR && value.error.fault != CEL_FAULT_MISSING ? TRIAL_ERRS : TRIAL_QUIET;
}

void trial_decide(struct trial *t, const struct policy_input *in, uint8_t *outcomes,
                  struct trial_verdict *out)
{
    struct policy_asking asking = { t->policy, in->txn->account, in->now_us };
    struct cel_input input = { .slots = t->values, .context = &asking, .arena = &t->arena };
    struct policy_verdict verdict = { 0 };
    struct decision d = { 0 };
    size_t first = SIZE_MAX;

    for (size_t i = 0; i < t->read_count; i++)
        t->values[t->reads[i]] = policy_slot_value(&t->policy->slots[t->reads[i]], in, t->values);
    for (size_t i = 0; i < t->set->count; i++) {
        if (!t->is_known[i])
            outcomes[i] = outcome_of(cel_eval(t->set->rules[i].program, &input));
        if (first == SIZE_MAX && outcomes[i] == TRIAL_FIRES && trial_rule_acts(t, i))
            first = i;
    }
    arena_reset(&t->arena);
    policy_settle(t->set, t->policy, in, first == SIZE_MAX ? NULL : &t->set->rules[first], &d, &verdict);
    *out = (struct trial_verdict){ .action = verdict.action,
                                   .decider = verdict.decider,
                                   .score_action = verdict.score_action,
                                   .rule = verdict.decider == POLICY_BY_RULE ? first : SIZE_MAX };
}

/* ---- one number ---- */

size_t trial_fields(const struct trial *t, struct trial_number *fields, struct slice *names, size_t most)
{
    bool *is_read = mem_new_n(bool, t->policy->slot_count + 1);
    const struct cel_use *uses;
    size_t found = 0;

    for (size_t i = 0; i < t->set->count; i++) {
        size_t count = trial_rule_acts(t, i) ? cel_uses(t->set->rules[i].program, &uses) : 0;

        for (size_t k = 0; k < count; k++)
            is_read[uses[k].slot] = true;
    }
    for (size_t i = 0; i < t->policy->slot_count; i++) {
        const struct slot *slot = &t->policy->slots[i];

        if (!is_read[i] || slot->kind != SLOT_FIELD || slot->field.kind == TXN_FIELD_TEXT)
            continue;
        if (found < most) {
            fields[found] = (struct trial_number){ .is_field = true, .field = slot->field };
            names[found] = slot->name;
        }
        found++;
    }
    mem_free(is_read);
    return found;
}

static bool is_number(const struct trial *t, const struct slot *slot, const struct policy_columns *columns,
                      const struct trial_number *number)
{
    switch (slot->kind) {
    case SLOT_FIELD:
        return number->is_field && slot->field.kind == number->field.kind &&
               (number->field.kind == TXN_FIELD_ATTRIBUTE
                    ? slice_eq(slot->field.attribute, number->field.attribute)
                    : slot->field.index == number->field.index);
    case SLOT_FEATURE:
        return !number->is_field && columns && columns->column[slot->feature] == number->column;
    case SLOT_VELOCITY:
        return !number->is_field && columns && columns->velocity[slot->feature] == number->column;
    case SLOT_STATE:
        return is_number(t, &t->policy->slots[slot->of], columns, number);
    case SLOT_SCORE:
        break;
    }
    return false;
}

bool trial_rule_reads(const struct trial *t, size_t rule, const struct policy_columns *columns,
                      const struct trial_number *number)
{
    const struct cel_use *uses;
    size_t count = cel_uses(t->set->rules[rule].program, &uses);

    for (size_t i = 0; i < count; i++) {
        if (is_number(t, &t->policy->slots[uses[i].slot], columns, number))
            return true;
    }
    return false;
}

bool trial_rule_may_differ(struct trial *t, size_t rule, const struct policy_input *in,
                           const struct trial_number *number, double lo, double hi)
{
    enum { SLOTS_MOST = 16 };
    struct policy_asking asking = { t->policy, in->txn->account, in->now_us };
    struct cel_input input = { .slots = t->values, .context = &asking, .arena = &t->arena };
    const struct cel_program *program = t->set->rules[rule].program;
    const struct cel_use *uses;
    size_t count = cel_uses(program, &uses), asked = 0;
    uint32_t slots[SLOTS_MOST];
    unsigned may;

    for (size_t i = 0; i < count; i++) {
        const struct slot *slot = &t->policy->slots[uses[i].slot];

        if (slot->kind == SLOT_STATE)
            t->values[slot->of] = policy_slot_value(&t->policy->slots[slot->of], in, t->values);
        t->values[uses[i].slot] = policy_slot_value(slot, in, t->values);
        if (slot->kind == SLOT_STATE || !is_number(t, slot, in->columns, number))
            continue;
        if (asked == SLOTS_MOST)
            return true;
        slots[asked++] = uses[i].slot;
    }
    may = cel_may(program, &input, slots, asked, lo, hi);
    arena_reset(&t->arena);
    return (may & CEL_MAY_BE_TRUE) && (may & ~(unsigned)CEL_MAY_BE_TRUE);
}

struct trial_needs trial_needs(const struct trial *t)
{
    struct trial_needs needs = { 0 };

    for (size_t i = 0; i < t->read_count; i++) {
        const struct slot *slot = &t->policy->slots[t->reads[i]];

        if (slot->kind != SLOT_FIELD)
            continue;
        if (slot->field.kind == TXN_FIELD_ATTRIBUTE)
            needs.attributes = true;
        else if (slot->field.kind == TXN_FIELD_TEXT && slot->field.index < TXN_TEXT_COUNT)
            needs.texts[slot->field.index] = true;
        else if (slot->field.kind == TXN_FIELD_TEXT && slot->field.index == TXN_FIELD_ID)
            needs.id = true;
        else if (slot->field.kind == TXN_FIELD_TEXT)
            needs.currency = true;
    }
    for (size_t i = 0; i < t->policy->list_count; i++) {
        const struct list *list = t->policy->lists[i];

        if (list_purpose(list) != LIST_NAMED && list_field(list) < TXN_TEXT_COUNT)
            needs.texts[list_field(list)] = true;
    }
    return needs;
}
