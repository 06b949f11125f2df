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
static enum cel_fault join(struct cel_value *a, const struct cel_value *b, struct arena *arena)
{
    if (!arena)
        return CEL_FAULT_ROOM;
    if (a->kind == CEL_LIST) {
        struct cel_value *items = arena_new(arena, struct cel_value, a->list.count + b->list.count + 1);

        if (a->list.count)
            memcpy(items, a->list.items, a->list.count * sizeof *items);
        if (b->list.count)
            memcpy(items + a->list.count, b->list.items, b->list.count * sizeof *items);
        a->list.items = items;
        a->list.count += b->list.count;
    } else {
        char *bytes = arena_new(arena, char, a->s.len + b->s.len + 1);

        if (a->s.len)
            memcpy(bytes, a->s.ptr, a->s.len);
        if (b->s.len)
            memcpy(bytes + a->s.len, b->s.ptr, b->s.len);
        a->s = slice_of(bytes, a->s.len + b->s.len);
    }
    return CEL_FAULT_COUNT;
}

/* a becomes a op b. */
static enum cel_fault arithmetic(int op, struct cel_value *a, const struct cel_value *b, struct arena *arena)
{
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
        return op == OP_ADD ? join(a, b, arena) : CEL_FAULT_OVERLOAD;
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

static bool is_among(const struct cel_value *value, const struct cel_value *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (value_equal(value, &items[i]))
            return true;
    }
    return false;
}

/* Two operands that are no errors. */
static enum cel_fault operate(int op, struct cel_value *a, const struct cel_value *b, struct arena *arena)
{
    switch (op) {
    case OP_EQ:
        *a = cel_bool(value_equal(a, b));
        return CEL_FAULT_COUNT;
    case OP_NE:
        *a = cel_bool(!value_equal(a, b));
        return CEL_FAULT_COUNT;
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
        return compare(op, a, b);
    case OP_IN:
        if (b->kind != CEL_LIST)
            return CEL_FAULT_OVERLOAD;
        *a = cel_bool(is_among(a, b->list.items, b->list.count));
        return CEL_FAULT_COUNT;
    default:
        return arithmetic(op, a, b, arena);
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

static struct cel_value call(const struct call *call, const struct cel_value *args, size_t count,
                             struct arena *arena)
{
    if (!call->overloads)
        return call->first->call(args, count, arena);
    for (const struct builtin *b = call->first; b < call->first + call->overloads; b++) {
        if (takes(b, args, count))
            return b->call(args, count, arena);
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

static enum cel_fault index_list(struct cel_value *list, const struct cel_value *index)
{
    int64_t i;

    if (list->kind != CEL_LIST || !kind_is_number(index->kind))
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
    *list = list->list.items[i];
    return CEL_FAULT_COUNT;
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

static inline __attribute__((always_inline)) struct cel_value run(const struct cel_program *p,
                                                                  struct source source, void *context,
                                                                  struct arena *arena, struct traced *traced)
{
    struct cel_value stack[CEL_STACK_MAX + 2]; /* one more when traced, where a test is not one step */
    struct cel_value *top = stack;             /* stack[0] is never used: top is the last value */
    const struct instruction *i = p->code;
    enum cel_fault fault;

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
            else if ((fault = operate(i->op - I_TEST, top, constant, arena)) != CEL_FAULT_COUNT)
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
                *args = call(&p->calls[i->arg], args, i->count, arena);
            else
                *args = call_caller(&p->functions[i->arg], args, context);
            if (args->kind == CEL_ERROR && !error)
                args->error.at = p->at[i - p->code];
            top = args;
            continue;
        }
        case I_LIST: {
            struct cel_value *items = top + 1 - i->count, *copy;
            const struct cel_value *error = first_error(items, i->count);

            top = items;
            if (error) {
                *top = *error;
            } else if (!arena) {
                *top = fault_at(p, i, CEL_FAULT_ROOM);
            } else {
                copy = arena_new(arena, struct cel_value, i->count);
                memcpy(copy, items, i->count * sizeof *copy);
                *top = (struct cel_value){ .kind = CEL_LIST, .list = { copy, i->count } };
            }
            continue;
        }
        case I_IN_ITEMS: {
            const struct cel_value *error = first_error(top - i->count, i->count + 1u);

            top -= i->count;
            *top = error ? *error : cel_bool(is_among(top, top + 1, i->count));
            continue;
        }
        case I_INDEX:
            top--;
            if (top[0].kind == CEL_ERROR)
                continue;
            if (top[1].kind == CEL_ERROR)
                top[0] = top[1];
            else if ((fault = index_list(&top[0], &top[1])) != CEL_FAULT_COUNT)
                top[0] = fault_at(p, i, fault);
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
        else if ((fault = operate(i->op - I_BINARY, &top[0], &top[1], arena)) != CEL_FAULT_COUNT)
            top[0] = fault_at(p, i, fault);
    }
}

struct cel_value cel_eval(const struct cel_program *program, const struct cel_input *input)
{
    return run(program, (struct source){ .slots = input->slots }, input->context, input->arena, NULL);
}

struct cel_value run_traced(const struct cel_program *program, const struct cel_input *input,
                            struct traced *traced)
{
    return run(program, (struct source){ .slots = input->slots }, input->context, input->arena, traced);
}

double cel_eval_number(const struct cel_program *program, const double *numbers)
{
    static const double none;
    struct cel_value value =
        run(program, (struct source){ .numbers = numbers ? numbers : &none }, NULL, NULL, NULL);

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
