/* SPDX-License-Identifier: Apache-2.0
 * eval.c - runs a program. The stack lives in this frame and its depth was bounded when the program was made,
 * so nothing is checked or allocated on the way. */
#include <assert.h>
#include <math.h>

#include "cel/program.h"

/* Where the values come from: one of the two. */
struct source {
    const struct cel_value *slots;
    const double *numbers;
};

static struct cel_value fault_at(const struct cel_program *p, const struct instruction *i,
                                 enum cel_fault fault)
{
    return (struct cel_value){ .kind = CEL_ERROR, .error = { fault, p->at[i - p->code] } };
}

/* ---- what evaluation may use up ---- */

void machine_begin(struct machine *m)
{
    const struct cel_input *input = m->input;

    if (m->room != MACHINE_NEW)
        return;
    m->room = input->arena ? input->room_max ? input->room_max : CEL_ROOM_MAX : 0;
    m->steps = input->steps_max ? input->steps_max : CEL_STEPS_MAX;
}

size_t machine_room(struct machine *m)
{
    machine_begin(m);
    return m->room;
}

void *machine_take(struct machine *m, size_t n, size_t size)
{
    if (n > machine_room(m) / size || !m->input->arena)
        return NULL;
    m->room -= n * size;
    return arena_alloc(m->input->arena, n, size);
}

bool machine_spend(struct machine *m, size_t steps)
{
    machine_begin(m);
    if (steps > m->steps) {
        m->steps = 0;
        return false;
    }
    m->steps -= (uint32_t)steps;
    return true;
}

/* ---- arithmetic ---- */

static enum cel_fault add_ints(int op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case OP_ADD:
        return __builtin_add_overflow(a, b, out) ? CEL_FAULT_OVERFLOW : CEL_FAULT_COUNT;
    case OP_SUB:
        return __builtin_sub_overflow(a, b, out) ? CEL_FAULT_OVERFLOW : CEL_FAULT_COUNT;
    case OP_MUL:
        return __builtin_mul_overflow(a, b, out) ? CEL_FAULT_OVERFLOW : CEL_FAULT_COUNT;
    default:
        if (b == 0)
            return CEL_FAULT_DIVISION;
        if (a == INT64_MIN && b == -1)
            return CEL_FAULT_OVERFLOW;
        *out = op == OP_DIV ? a / b : a % b;
        return CEL_FAULT_COUNT;
    }
}

static enum cel_fault add_uints(int op, uint64_t a, uint64_t b, uint64_t *out)
{
    switch (op) {
    case OP_ADD:
        return __builtin_add_overflow(a, b, out) ? CEL_FAULT_OVERFLOW : CEL_FAULT_COUNT;
    case OP_SUB:
        return __builtin_sub_overflow(a, b, out) ? CEL_FAULT_OVERFLOW : CEL_FAULT_COUNT;
    case OP_MUL:
        return __builtin_mul_overflow(a, b, out) ? CEL_FAULT_OVERFLOW : CEL_FAULT_COUNT;
    default:
        if (b == 0)
            return CEL_FAULT_DIVISION;
        *out = op == OP_DIV ? a / b : a % b;
        return CEL_FAULT_COUNT;
    }
}

static enum cel_fault add_doubles(int op, double a, double b, double *out)
{
    switch (op) {
    case OP_ADD:
        *out = a + b;
        return CEL_FAULT_COUNT;
    case OP_SUB:
        *out = a - b;
        return CEL_FAULT_COUNT;
    case OP_MUL:
        *out = a * b;
        return CEL_FAULT_COUNT;
    case OP_DIV:
        *out = a / b;
        return CEL_FAULT_COUNT;
    default:
        return CEL_FAULT_OVERLOAD;
    }
}

/* What makes something new: from the arena, or not at all. */
static enum cel_fault join(struct cel_value *a, const struct cel_value *b, struct machine *m)
{
    bool is_list = a->kind == CEL_LIST;
    size_t size = is_list ? sizeof(struct cel_value) : 1, count = is_list ? a->list.count : a->s.len,
           more = is_list ? b->list.count : b->s.len;
    char *bytes = machine_take(m, count + more + 1, size);

    if (!bytes)
        return CEL_FAULT_ROOM;
    if (count)
        memcpy(bytes, is_list ? (const void *)a->list.items : a->s.ptr, count * size);
    if (more)
        memcpy(bytes + count * size, is_list ? (const void *)b->list.items : b->s.ptr, more * size);
    if (is_list) {
        a->list.items = (const struct cel_value *)(void *)bytes;
        a->list.count = count + more;
    } else {
        a->s = slice_of(bytes, count + more);
    }
    return machine_spend(m, (count + more) / 16) ? CEL_FAULT_COUNT : CEL_FAULT_STEPS;
}

/* The first and last second of the years 1 to 9999. */
#define FIRST_S (-62135596800)
#define LAST_S  253402300799

static enum cel_fault shift_time(struct cel_value *time, int64_t ns)
{
    int64_t s = ns / 1000000000, rest = time->time.ns + ns % 1000000000;

    s += time->time.s + (rest < 0 ? -1 : rest >= 1000000000);
    if (s < FIRST_S || s > LAST_S)
        return CEL_FAULT_RANGE;
    time->time.s = s;
    time->time.ns = (int32_t)(rest < 0 ? rest + 1000000000 : rest >= 1000000000 ? rest - 1000000000 : rest);
    return CEL_FAULT_COUNT;
}

static enum cel_fault between(struct cel_value *a, const struct cel_value *b)
{
    int64_t s = a->time.s - b->time.s, ns;

    if (__builtin_mul_overflow(s, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, (int64_t)a->time.ns - b->time.ns, &ns))
        return CEL_FAULT_RANGE;
    *a = (struct cel_value){ .kind = CEL_DURATION, .i = ns };
    return CEL_FAULT_COUNT;
}

static enum cel_fault add_times(int op, struct cel_value *a, const struct cel_value *b)
{
    struct cel_value sum = *b;
    enum cel_fault fault;

    if (op != OP_ADD && op != OP_SUB)
        return CEL_FAULT_OVERLOAD;
    if (a->kind == CEL_DURATION && b->kind == CEL_DURATION)
        return add_ints(op, a->i, b->i, &a->i);
    if (a->kind == CEL_TIMESTAMP && b->kind == CEL_TIMESTAMP)
        return op == OP_SUB ? between(a, b) : CEL_FAULT_OVERLOAD;
    if (a->kind == CEL_TIMESTAMP && b->kind == CEL_DURATION) {
        if (op == OP_SUB && b->i == INT64_MIN)
            return CEL_FAULT_OVERFLOW;
        return shift_time(a, op == OP_SUB ? -b->i : b->i);
    }
    if (a->kind != CEL_DURATION || b->kind != CEL_TIMESTAMP || op != OP_ADD)
        return CEL_FAULT_OVERLOAD;
    fault = shift_time(&sum, a->i);
    *a = sum;
    return fault;
}

/* a becomes a op b. */
static enum cel_fault arithmetic(int op, struct cel_value *a, const struct cel_value *b, struct machine *m)
{
    if (a->kind == CEL_TIMESTAMP || a->kind == CEL_DURATION)
        return add_times(op, a, b);
    if (a->kind != b->kind)
        return CEL_FAULT_OVERLOAD;
    switch (a->kind) {
    case CEL_DOUBLE:
        return add_doubles(op, a->d, b->d, &a->d);
    case CEL_INT:
        return add_ints(op, a->i, b->i, &a->i);
    case CEL_UINT:
        return add_uints(op, a->u, b->u, &a->u);
    case CEL_STRING:
    case CEL_BYTES:
    case CEL_LIST:
        return op == OP_ADD ? join(a, b, m) : CEL_FAULT_OVERLOAD;
    default:
        return CEL_FAULT_OVERLOAD;
    }
}

/* ---- comparisons ---- */

static enum cel_fault compare(int op, struct cel_value *a, const struct cel_value *b)
{
    enum order order = value_order(a, b);

    if (order == ORDER_OVERLOAD)
        return CEL_FAULT_OVERLOAD;
    switch (op) {
    case OP_LT:
        *a = cel_bool(order == ORDER_BELOW);
        break;
    case OP_LE:
        *a = cel_bool(order == ORDER_BELOW || order == ORDER_EQUAL);
        break;
    case OP_GT:
        *a = cel_bool(order == ORDER_ABOVE);
        break;
    default:
        *a = cel_bool(order == ORDER_ABOVE || order == ORDER_EQUAL);
        break;
    }
    return CEL_FAULT_COUNT;
}

/* Equal, as a bool in *out; what is inside of lists and maps costs steps. */
static enum cel_fault equal(const struct cel_value *a, const struct cel_value *b, struct machine *m,
                            bool *out)
{
    size_t budget = SIZE_MAX;

    if (a->kind != CEL_LIST && a->kind != CEL_MAP && a->kind != CEL_OPTIONAL) {
        *out = value_equal(a, b, &budget);
        return CEL_FAULT_COUNT;
    }
    machine_begin(m);
    budget = m->steps;
    *out = value_equal(a, b, &budget);
    m->steps = (uint32_t)budget;
    return budget ? CEL_FAULT_COUNT : CEL_FAULT_STEPS;
}

static enum cel_fault is_among(struct cel_value *value, const struct cel_value *items, size_t count,
                               struct machine *m)
{
    bool is_found = false;

    if (count >= 64 && !machine_spend(m, count / 16))
        return CEL_FAULT_STEPS;
    for (size_t i = 0; i < count && !is_found; i++) {
        if (equal(value, &items[i], m, &is_found) != CEL_FAULT_COUNT)
            return CEL_FAULT_STEPS;
    }
    *value = cel_bool(is_found);
    return CEL_FAULT_COUNT;
}

/* Two operands that are no errors. */
static enum cel_fault operate(int op, struct cel_value *a, const struct cel_value *b, struct machine *m)
{
    enum cel_fault fault;
    bool is_equal;

    switch (op) {
    case OP_EQ:
    case OP_NE:
        fault = equal(a, b, m, &is_equal);
        *a = cel_bool(is_equal == (op == OP_EQ));
        return fault;
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
        return compare(op, a, b);
    case OP_IN:
        if (b->kind == CEL_LIST)
            return is_among(a, b->list.items, b->list.count, m);
        if (b->kind != CEL_MAP)
            return CEL_FAULT_OVERLOAD;
        if (!machine_spend(m, b->list.count / 8))
            return CEL_FAULT_STEPS;
        *a = cel_bool(map_find(b, a) != NULL);
        return CEL_FAULT_COUNT;
    default:
        return arithmetic(op, a, b, m);
    }
}

/* && and || once both sides are known: the absorbing value wins over an error on either side. */
static struct cel_value logic(const struct cel_program *p, const struct instruction *i, bool absorbing,
                              const struct cel_value *a, const struct cel_value *b)
{
    if ((a->kind == CEL_BOOL && a->b == absorbing) || (b->kind == CEL_BOOL && b->b == absorbing))
        return cel_bool(absorbing);
    if (a->kind == CEL_ERROR)
        return *a;
    if (b->kind == CEL_ERROR)
        return *b;
    if (a->kind != CEL_BOOL || b->kind != CEL_BOOL)
        return fault_at(p, i, CEL_FAULT_OVERLOAD);
    return cel_bool(!absorbing);
}

/* ---- calls ---- */

static const struct cel_value *first_error(const struct cel_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i].kind == CEL_ERROR)
            return &values[i];
    }
    return NULL;
}

static bool takes(const struct builtin *b, const struct cel_value *args, size_t count)
{
    if (b->arg_count != VARIADIC && b->arg_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!builtin_takes(b, i, args[i].kind))
            return false;
    }
    return true;
}

struct cel_value call_builtin(const struct call *call, const struct cel_value *args, size_t count,
                              struct machine *m)
{
    if (!call->overloads)
        return call->first->call(args, count, m);
    for (const struct builtin *b = call->first; b < call->first + call->overloads; b++) {
        if (takes(b, args, count))
            return b->call(args, count, m);
    }
    return cel_error(CEL_FAULT_OVERLOAD);
}

static struct cel_value call_caller(const struct cel_function *f, const struct cel_value *args, void *context)
{
    for (size_t i = 0; i < f->arg_count; i++) {
        if (f->args[i] != CEL_DYN && f->args[i] != args[i].kind)
            return cel_error(CEL_FAULT_OVERLOAD);
    }
    return f->call(context, args);
}

/* ---- fields and items ---- */

static enum cel_fault index_list(const struct cel_value *list, const struct cel_value *index,
                                 const struct cel_value **out)
{
    int64_t i;

    if (!kind_is_number(index->kind))
        return CEL_FAULT_OVERLOAD;
    if (index->kind == CEL_DOUBLE) {
        if (!(fabs(index->d) < 1e15) || index->d != floor(index->d))
            return CEL_FAULT_ARGUMENT;
        i = (int64_t)index->d;
    } else if (index->kind == CEL_UINT) {
        i = index->u > INT64_MAX ? -1 : (int64_t)index->u;
    } else {
        i = index->i;
    }
    if (i < 0 || (size_t)i >= list->list.count)
        return CEL_FAULT_RANGE;
    *out = &list->list.items[i];
    return CEL_FAULT_COUNT;
}

/* What stands behind a key or a number. CEL_FAULT_KEY or CEL_FAULT_RANGE when nothing does. */
static enum cel_fault find_item(const struct cel_value *in, const struct cel_value *key, struct machine *m,
                                const struct cel_value **out)
{
    if (in->kind == CEL_LIST)
        return index_list(in, key, out);
    if (in->kind != CEL_MAP)
        return CEL_FAULT_OVERLOAD;
    if (!machine_spend(m, in->list.count / 8))
        return CEL_FAULT_STEPS;
    *out = map_find(in, key);
    return *out ? CEL_FAULT_COUNT : CEL_FAULT_KEY;
}

static struct cel_value optional_of(const struct cel_value *value, struct machine *m)
{
    struct cel_value *copy;

    if (!value)
        return (struct cel_value){ .kind = CEL_OPTIONAL };
    copy = machine_take(m, 1, sizeof *copy);
    if (!copy)
        return cel_error(CEL_FAULT_ROOM);
    *copy = *value;
    return (struct cel_value){ .kind = CEL_OPTIONAL, .optional = copy };
}

/* `value` becomes what stands behind the key in it. As an optional when that is asked for, or when `value` is
 * one: then what is not there is none. */
static enum cel_fault item_of(struct cel_value *value, const struct cel_value *key, bool is_optional,
                              struct machine *m)
{
    const struct cel_value *in = value, *found = NULL;
    enum cel_fault fault;

    if (value->kind == CEL_OPTIONAL) {
        is_optional = true;
        in = value->optional;
        if (!in)
            return CEL_FAULT_COUNT;
    }
    fault = find_item(in, key, m, &found);
    if (is_optional && (fault == CEL_FAULT_KEY || fault == CEL_FAULT_RANGE)) {
        found = NULL;
        fault = CEL_FAULT_COUNT;
    }
    if (fault != CEL_FAULT_COUNT)
        return fault;
    *value = is_optional ? optional_of(found, m) : *found;
    return value->kind == CEL_ERROR ? value->error.fault : CEL_FAULT_COUNT;
}

static enum cel_fault has_field(struct cel_value *value, const struct cel_value *key)
{
    const struct cel_value *in = value->kind == CEL_OPTIONAL ? value->optional : value;

    if (in && in->kind != CEL_MAP)
        return CEL_FAULT_OVERLOAD;
    *value = cel_bool(in && map_find(in, key));
    return CEL_FAULT_COUNT;
}

/* ---- lists and maps that are made ---- */

static enum cel_fault list_of(const struct cel_value *items, size_t count, struct machine *m,
                              struct cel_value *out)
{
    struct cel_value *copy = machine_take(m, count + 1, sizeof *copy);

    if (!copy)
        return CEL_FAULT_ROOM;
    if (count)
        memcpy(copy, items, count * sizeof *copy);
    *out = (struct cel_value){ .kind = CEL_LIST, .list = { copy, count } };
    return CEL_FAULT_COUNT;
}

static enum cel_fault map_of(const struct cel_value *items, size_t pairs, struct machine *m,
                             struct cel_value *out)
{
    struct cel_value *copy = machine_take(m, 2 * pairs + 1, sizeof *copy);
    struct cel_value map = { .kind = CEL_MAP, .list = { copy, 0 } };

    if (!copy)
        return CEL_FAULT_ROOM;
    for (; map.list.count < pairs; map.list.count++) {
        const struct cel_value *pair = items + 2 * map.list.count;

        if (!kind_is_key(pair->kind))
            return CEL_FAULT_OVERLOAD;
        if (!machine_spend(m, map.list.count / 8))
            return CEL_FAULT_STEPS;
        if (map_find(&map, pair))
            return CEL_FAULT_REPEATED;
        memcpy(copy + 2 * map.list.count, pair, 2 * sizeof *pair);
    }
    *out = map;
    return CEL_FAULT_COUNT;
}

/* Opens the optional ones in place and leaves out those that are none; of a map with their keys. *count is
 * then how many are left. */
static enum cel_fault open_items(struct cel_value *items, const struct cel_value *marks, size_t *count,
                                 bool is_map)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        if (!marks->list.items[i].b) {
            items[kept++] = items[i];
        } else if (items[i].kind != CEL_OPTIONAL) {
            return CEL_FAULT_OVERLOAD;
        } else if (items[i].optional) {
            items[kept++] = *items[i].optional;
        } else if (is_map) {
            kept--;
        }
    }
    *count = kept;
    return CEL_FAULT_COUNT;
}

/* ---- loops ---- */

/* A loop's list or map, which grows in the arena: `extra` is how many places were taken. */
static enum cel_fault grow(struct cel_value *result, size_t values, struct machine *m)
{
    size_t used = result->list.count * values, cap = result->extra;
    struct cel_value *items;

    if (used + values <= cap)
        return CEL_FAULT_COUNT;
    cap = cap ? 2 * cap : 8;
    items = machine_take(m, cap, sizeof *items);
    if (!items)
        return CEL_FAULT_ROOM;
    if (used)
        memcpy(items, result->list.items, used * sizeof *items);
    result->list.items = items;
    result->extra = (uint32_t)cap;
    return CEL_FAULT_COUNT;
}

static struct cel_value *places_of(struct cel_value *result)
{
    return (struct cel_value *)(uintptr_t)result->list.items; /* taken by grow() */
}

static enum cel_fault add_item(struct cel_value *result, const struct cel_value *item, struct machine *m)
{
    enum cel_fault fault = grow(result, 1, m);

    if (fault == CEL_FAULT_COUNT)
        places_of(result)[result->list.count++] = *item;
    return fault;
}

static enum cel_fault add_entry(struct cel_value *result, const struct cel_value *key,
                                const struct cel_value *value, struct machine *m)
{
    enum cel_fault fault = grow(result, 2, m);

    if (fault != CEL_FAULT_COUNT)
        return fault;
    if (!kind_is_key(key->kind))
        return CEL_FAULT_OVERLOAD;
    if (!machine_spend(m, result->list.count / 8))
        return CEL_FAULT_STEPS;
    if (map_find(result, key))
        return CEL_FAULT_REPEATED;
    places_of(result)[2 * result->list.count] = *key;
    places_of(result)[2 * result->list.count++ + 1] = *value;
    return CEL_FAULT_COUNT;
}

static enum cel_fault add_map(struct cel_value *result, const struct cel_value *map, struct machine *m)
{
    enum cel_fault fault = map->kind == CEL_MAP ? CEL_FAULT_COUNT : CEL_FAULT_OVERLOAD;

    for (size_t i = 0; fault == CEL_FAULT_COUNT && i < map->list.count; i++)
        fault = add_entry(result, &map->list.items[2 * i], &map->list.items[2 * i + 1], m);
    return fault;
}

static struct cel_value loop_start(enum macro macro)
{
    switch (macro) {
    case MACRO_ALL:
    case MACRO_ALL_2:
        return cel_bool(true);
    case MACRO_EXISTS:
    case MACRO_EXISTS_2:
        return cel_bool(false);
    case MACRO_EXISTS_ONE:
    case MACRO_ONE:
    case MACRO_ONE_2:
        return cel_int(0);
    case MACRO_TRANSFORM_MAP:
    case MACRO_TRANSFORM_ENTRY:
        return (struct cel_value){ .kind = CEL_MAP };
    default:
        return (struct cel_value){ .kind = CEL_LIST };
    }
}

/* Lays the places of a loop over *range. */
static void loop_begin(struct cel_value *range, enum macro macro)
{
    range[LOOP_RANGE].extra = macro_variables(macro) == 2;
    range[LOOP_INDEX] = range[LOOP_FIRST] = range[LOOP_SECOND] = cel_int(0);
    range[LOOP_RESULT] = loop_start(macro);
}

/* Sets the variables to what comes next; false when nothing does. */
static bool loop_next(struct cel_value *range)
{
    size_t i = (size_t)range[LOOP_INDEX].i;
    const struct cel_value *items = range->list.items;

    if (i >= range->list.count)
        return false;
    if (range->kind == CEL_MAP) {
        range[LOOP_FIRST] = items[2 * i];
        range[LOOP_SECOND] = items[2 * i + 1];
    } else if (range->extra) {
        range[LOOP_FIRST] = cel_int((int64_t)i);
        range[LOOP_SECOND] = items[i];
    } else {
        range[LOOP_FIRST] = items[i];
    }
    range[LOOP_INDEX].i++;
    return true;
}

static void loop_stop(struct cel_value *range)
{
    range[LOOP_INDEX].i = (int64_t)range->list.count;
}

/* Takes a body's result into the loop. */
static enum cel_fault loop_add(int op, struct cel_value *range, const struct cel_value *value,
                               struct machine *m)
{
    struct cel_value *result = &range[LOOP_RESULT];
    bool is_building = op == I_ADD_ITEM || op == I_ADD_ENTRY || op == I_ADD_MAP;

    if (value->kind == CEL_ERROR)
        return value->error.fault;
    if (!is_building && value->kind != CEL_BOOL)
        return CEL_FAULT_OVERLOAD;
    switch (op) {
    case I_ONE:
        result->i += value->b;
        return CEL_FAULT_COUNT;
    case I_FILTER:
        return value->b ? add_item(result, &range[LOOP_FIRST], m) : CEL_FAULT_COUNT;
    case I_ADD_ITEM:
        return add_item(result, value, m);
    case I_ADD_ENTRY:
        return add_entry(result, &range[LOOP_FIRST], value, m);
    default:
        return add_map(result, value, m);
    }
}

static struct cel_value loop_result(const struct cel_value *range, enum macro macro)
{
    struct cel_value result = range[LOOP_RESULT];

    if (result.kind == CEL_ERROR)
        return result;
    result.extra = 0;
    return macro == MACRO_EXISTS_ONE || macro == MACRO_ONE || macro == MACRO_ONE_2 ? cel_bool(result.i == 1)
                                                                                   : result;
}

static inline bool test_doubles(int op, double a, double b)
{
    switch (op) {
    case OP_LT:
        return a < b;
    case OP_LE:
        return a <= b;
    case OP_GT:
        return a > b;
    case OP_GE:
        return a >= b;
    case OP_EQ:
        return a == b;
    default:
        return a != b;
    }
}

/* ---- the machine ---- */

static inline __attribute__((always_inline)) struct cel_value
run(const struct cel_program *p, struct source source, const struct cel_input *input, struct traced *traced)
{
    struct cel_value stack[CEL_STACK_MAX + 2]; /* one more when traced, where a test is not one step */
    struct cel_value *top = stack;             /* stack[0] is never used: top is the last value */
    const struct instruction *i = p->code;
    enum cel_fault fault;
    struct machine m;

    m.input = input;
    m.room = MACHINE_NEW;
    for (;; i++) {
        switch (i->op) {
        case I_CONST:
            *++top = p->constants[i->arg];
            continue;
        case I_SLOT:
            *++top = source.numbers ? cel_feature(source.numbers[i->arg]) : source.slots[i->arg];
            if (top->kind == CEL_ERROR)
                top->error.at = p->at[i - p->code];
            continue;
        case I_HAS:
            *++top = cel_bool(source.numbers ? !isnan(source.numbers[i->arg])
                                             : source.slots[i->arg].kind != CEL_ERROR);
            continue;
        case I_TEST + OP_LT:
        case I_TEST + OP_LE:
        case I_TEST + OP_GT:
        case I_TEST + OP_GE:
        case I_TEST + OP_EQ:
        case I_TEST + OP_NE: {
            const struct cel_value *constant = &p->constants[i->count], *slot;
            struct cel_value feature;

            if (source.numbers) {
                feature = cel_feature(source.numbers[i->arg]);
                slot = &feature;
            } else {
                slot = &source.slots[i->arg];
            }
            top++;
            if (slot->kind == CEL_DOUBLE && constant->kind == CEL_DOUBLE) {
                bool holds = test_doubles(i->op - I_TEST, slot->d, constant->d);

                top->kind = CEL_BOOL;
                top->b = holds;
                continue;
            }
            *top = *slot;
            if (top->kind == CEL_ERROR)
                top->error.at = p->at[i - p->code];
            else if ((fault = operate(i->op - I_TEST, top, constant, &m)) != CEL_FAULT_COUNT)
                *top = fault_at(p, i, fault);
            continue;
        }
        case I_AND_JUMP:
        case I_OR_JUMP:
            if (top->kind == CEL_BOOL && top->b == (i->op == I_OR_JUMP))
                i = p->code + i->arg - 1;
            continue;
        case I_BINARY + OP_AND:
        case I_BINARY + OP_OR:
            top--;
            if (top[0].kind == CEL_BOOL && top[1].kind == CEL_BOOL)
                top[0].b = i->op == I_BINARY + OP_OR ? top[0].b || top[1].b : top[0].b && top[1].b;
            else
                top[0] = logic(p, i, i->op == I_BINARY + OP_OR, &top[0], &top[1]);
            continue;
        case I_NOT:
            if (top->kind == CEL_BOOL)
                top->b = !top->b;
            else if (top->kind != CEL_ERROR)
                *top = fault_at(p, i, CEL_FAULT_OVERLOAD);
            continue;
        case I_NEGATE:
            if (top->kind == CEL_DOUBLE)
                top->d = -top->d;
            else if (top->kind == CEL_INT && top->i != INT64_MIN)
                top->i = -top->i;
            else if (top->kind != CEL_ERROR)
                *top = fault_at(p, i, top->kind == CEL_INT ? CEL_FAULT_OVERFLOW : CEL_FAULT_OVERLOAD);
            continue;
        case I_WIDEN:
            if (top->kind == CEL_INT)
                *top = cel_double((double)top->i);
            continue;
        case I_BRANCH:
            if (top->kind == CEL_BOOL) {
                if (!top->b)
                    i = p->code + i->arg - 1;
                top--;
            } else {
                if (top->kind != CEL_ERROR)
                    *top = fault_at(p, i, CEL_FAULT_OVERLOAD);
                i = p->code + p->code[i->arg - 1].arg - 1;
            }
            continue;
        case I_JUMP:
            i = p->code + i->arg - 1;
            continue;
        case I_CALL:
        case I_CALLER: {
            struct cel_value *args = top + 1 - i->count;
            const struct cel_value *error = first_error(args, i->count);

            if (error)
                *args = *error;
            else if (i->op == I_CALL)
                *args = call_builtin(&p->calls[i->arg], args, i->count, &m);
            else
                *args = call_caller(&p->functions[i->arg], args, input->context);
            if (args->kind == CEL_ERROR && !error)
                args->error.at = p->at[i - p->code];
            top = args;
            continue;
        }
        case I_LIST:
        case I_MAP:
        case I_ITEMS: {
            size_t count = i->op == I_MAP ? 2u * i->count : i->count;
            struct cel_value *items = top + 1 - count;
            const struct cel_value *error = first_error(items, count);
            bool is_map = i->op == I_MAP || (i->op == I_ITEMS && i->arg % 2);

            fault = CEL_FAULT_COUNT;
            if (error)
                *items = *error;
            else if (i->op == I_ITEMS)
                fault = open_items(items, &p->constants[i->arg / 2], &count, is_map);
            if (!error && fault == CEL_FAULT_COUNT)
                fault = is_map ? map_of(items, count / 2, &m, items) : list_of(items, count, &m, items);
            top = items;
            if (fault != CEL_FAULT_COUNT)
                *top = fault_at(p, i, fault);
            continue;
        }
        case I_IN_ITEMS: {
            const struct cel_value *error = first_error(top - i->count, i->count + 1u);

            top -= i->count;
            if (error)
                *top = *error;
            else if ((fault = is_among(top, top + 1, i->count, &m)) != CEL_FAULT_COUNT)
                *top = fault_at(p, i, fault);
            continue;
        }
        case I_INDEX:
        case I_OPT_INDEX:
            top--;
            if (top[0].kind == CEL_ERROR)
                continue;
            if (top[1].kind == CEL_ERROR)
                top[0] = top[1];
            else if ((fault = item_of(&top[0], &top[1], i->op == I_OPT_INDEX, &m)) != CEL_FAULT_COUNT)
                top[0] = fault_at(p, i, fault);
            continue;
        case I_FIELD:
            if (top->kind == CEL_ERROR)
                continue;
            fault = top->kind == CEL_LIST ? CEL_FAULT_OVERLOAD
                                          : item_of(top, &p->constants[i->arg], i->count, &m);
            if (fault != CEL_FAULT_COUNT)
                *top = fault_at(p, i, fault);
            continue;
        case I_HAS_FIELD:
            if (top->kind != CEL_ERROR && (fault = has_field(top, &p->constants[i->arg])) != CEL_FAULT_COUNT)
                *top = fault_at(p, i, fault);
            continue;
        case I_LOCAL:
            top++;
            *top = stack[i->arg];
            continue;
        case I_SLIDE:
            top[-(ptrdiff_t)i->arg] = *top;
            top -= i->arg;
            continue;
        case I_REGEX:
            if (top->kind == CEL_ERROR)
                continue;
            *top = top->kind == CEL_STRING ? regex_search(p->regexes[i->arg], top->s, &m)
                                           : cel_error(CEL_FAULT_OVERLOAD);
            if (top->kind == CEL_ERROR)
                top->error.at = p->at[i - p->code];
            continue;
        case I_LOOP:
            if (top->kind == CEL_LIST || top->kind == CEL_MAP) {
                loop_begin(top, (enum macro)i->count);
                top += LOOP_PLACES - 1;
            } else {
                if (top->kind != CEL_ERROR)
                    *top = fault_at(p, i, CEL_FAULT_OVERLOAD);
                i = p->code + i->arg - 1;
            }
            continue;
        case I_NEXT: {
            struct cel_value *range = top - (LOOP_PLACES - 1);

            if (loop_next(range)) {
                if (machine_spend(&m, i->count + 1u))
                    continue;
                range[LOOP_RESULT] = fault_at(p, i, CEL_FAULT_STEPS);
            }
            i = p->code + i->arg - 1;
            continue;
        }
        case I_ALL:
        case I_EXISTS: {
            struct cel_value *range = top - LOOP_PLACES;

            range[LOOP_RESULT] = logic(p, i, i->op == I_EXISTS, &range[LOOP_RESULT], top);
            if (range[LOOP_RESULT].kind == CEL_BOOL && range[LOOP_RESULT].b == (i->op == I_EXISTS))
                loop_stop(range);
            top--;
            i = p->code + i->arg - 1;
            continue;
        }
        case I_WHERE:
            if (top->kind == CEL_BOOL) {
                if (!top->b)
                    i = p->code + i->arg - 1;
                top--;
                continue;
            }
            __attribute__((fallthrough));
        case I_ONE:
        case I_FILTER:
        case I_ADD_ITEM:
        case I_ADD_ENTRY:
        case I_ADD_MAP: {
            struct cel_value *range = top - LOOP_PLACES;

            fault = i->op == I_WHERE && top->kind != CEL_ERROR ? CEL_FAULT_OVERLOAD
                                                               : loop_add(i->op, range, top, &m);
            if (fault != CEL_FAULT_COUNT) {
                range[LOOP_RESULT] = top->kind == CEL_ERROR ? *top : fault_at(p, i, fault);
                loop_stop(range);
            }
            top--;
            i = p->code + i->arg - 1;
            continue;
        }
        case I_LOOP_END: {
            struct cel_value *range = top - (LOOP_PLACES - 1);

            *range = loop_result(range, (enum macro)i->arg);
            top = range;
            continue;
        }
        case I_OPT_OPEN:
            if (top->kind == CEL_OPTIONAL && top->optional) {
                *top = *top->optional;
                continue;
            }
            if (top->kind != CEL_OPTIONAL && top->kind != CEL_ERROR)
                *top = fault_at(p, i, CEL_FAULT_OVERLOAD);
            i = p->code + i->arg - 1;
            continue;
        case I_OPT_WRAP:
            if (top->kind == CEL_ERROR)
                continue;
            *top = optional_of(top, &m);
            if (top->kind == CEL_ERROR)
                top->error.at = p->at[i - p->code];
            continue;
        case I_TRACE:
            if (traced) {
                traced[i->arg].value = *top;
                traced[i->arg].times++;
            }
            continue;
        case I_END:
            return *top;
        /* Doubles are what features and amounts are: these need no call. */
        case I_BINARY + OP_LT:
        case I_BINARY + OP_LE:
        case I_BINARY + OP_GT:
        case I_BINARY + OP_GE:
            top--;
            if (top[0].kind == CEL_DOUBLE && top[1].kind == CEL_DOUBLE) {
                top[0] = cel_bool(test_doubles(i->op - I_BINARY, top[0].d, top[1].d));
                continue;
            }
            break;
        default:
            top--;
            break;
        }
        /* A binary operator in general: the left error first. */
        if (top[0].kind == CEL_ERROR)
            continue;
        if (top[1].kind == CEL_ERROR)
            top[0] = top[1];
        else if ((fault = operate(i->op - I_BINARY, &top[0], &top[1], &m)) != CEL_FAULT_COUNT)
            top[0] = fault_at(p, i, fault);
    }
}

struct cel_value cel_eval(const struct cel_program *program, const struct cel_input *input)
{
    return run(program, (struct source){ .slots = input->slots }, input, NULL);
}

struct cel_value run_traced(const struct cel_program *program, const struct cel_input *input,
                            struct traced *traced)
{
    return run(program, (struct source){ .slots = input->slots }, input, traced);
}

double cel_eval_number(const struct cel_program *program, const double *numbers)
{
    static const double none;
    static const struct cel_input no_input;
    struct cel_value value =
        run(program, (struct source){ .numbers = numbers ? numbers : &none }, &no_input, NULL);

    switch (value.kind) {
    case CEL_DOUBLE:
        return value.d;
    case CEL_BOOL:
        return value.b;
    case CEL_INT:
        return (double)value.i;
    case CEL_UINT:
        return (double)value.u;
    default:
        return NAN;
    }
}

bool cel_eval_where(const struct cel_program *program, const double *numbers)
{
    return cel_eval_number(program, numbers) == 1;
}
