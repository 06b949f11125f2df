/* SPDX-License-Identifier: Apache-2.0
 * emit.c - the checked tree to code, with what it costs at most and how deep its stack gets. */
#include "base/array.h"
#include "cel/program.h"

struct emitter {
    struct cel_program *program;
    uint32_t depth; /* values on the stack at this place */
    uint64_t cost;
    uint32_t *places; /* of the macros' variables on the stack */
};

enum { FOLDED_STEPS_MAX = 1024 }; /* of a call that is made when the program is */

static void emit_node(struct emitter *e, const struct node *node);

/* `change`: how many values more, or fewer, are on the stack afterwards. */
static size_t add(struct emitter *e, int op, size_t count, size_t arg, const struct node *node, int change)
{
    struct cel_program *p = e->program;

    if (p->code_count == p->code_cap) {
        p->code_cap = p->code_cap ? 2 * p->code_cap : 16;
        p->code = mem_grow(p->code, p->code_cap, sizeof *p->code);
        p->at = mem_grow(p->at, p->code_cap, sizeof *p->at);
    }
    p->code[p->code_count] = (struct instruction){ (uint8_t)op, (uint16_t)count, (uint32_t)arg };
    p->at[p->code_count] = node->at;
    e->depth += (uint32_t)change;
    if (e->depth > p->stack)
        p->stack = e->depth;
    e->cost += e->cost < UINT32_MAX;
    return p->code_count++;
}

/* A jump made before its target is known. */
static void land(struct emitter *e, size_t jump)
{
    e->program->code[jump].arg = (uint32_t)e->program->code_count;
}

/* a && b && c: a false that jumps to the next jump on false goes on from there, so it may as well go there at
 * once. */
static void thread_jumps(struct cel_program *p)
{
    for (size_t i = p->code_count; i-- > 0;) {
        struct instruction *jump = &p->code[i];

        if (jump->op == I_AND_JUMP || jump->op == I_OR_JUMP) {
            if (p->code[jump->arg].op == jump->op)
                jump->arg = p->code[jump->arg].arg;
        }
    }
}

static bool constant_of(struct emitter *e, const struct node *node, struct cel_value *value);

static bool constant_items(struct emitter *e, const struct node *node, struct cel_value *value)
{
    bool is_map = node->kind == NODE_MAP;
    struct cel_value *items;

    items = arena_new(&e->program->arena, struct cel_value, node->count + 1);
    *value = (struct cel_value){ .kind = is_map ? CEL_MAP : CEL_LIST, .list = { items, 0 } };
    for (size_t i = 0; i < node->count; i++) {
        if (!constant_of(e, node->items[i], &items[i]))
            return false;
        if (is_map && i % 2 == 0 && (!kind_is_key(items[i].kind) || map_find(value, &items[i])))
            return false; /* the error of a key is an error of evaluation */
        value->list.count = is_map ? i / 2 + i % 2 : i + 1;
    }
    return true;
}

static bool constant_of(struct emitter *e, const struct node *node, struct cel_value *value)
{
    if (node->kind == NODE_LITERAL) {
        *value = node->value;
        return true;
    }
    return node->is_constant && constant_items(e, node, value);
}

/* cidr("10.0.0.0/8"), timestamp("2026-01-01T00:00:00Z"): a call of constants that comes to a value without room or many
 * steps comes to it always, so it is made once. What errs does so when it is evaluated. */
static bool call_constant(struct emitter *e, const struct node *node, struct cel_value *value)
{
    struct cel_input input = { .arena = &e->program->arena };
    struct machine m = { .input = &input, .room = MACHINE_NEW };
    struct call call = { node->builtin, node->overloads };
    struct cel_value args[CEL_ARGS_MAX];

    if (node->kind != NODE_CALL || !node->builtin || node->regex || node->count > CEL_ARGS_MAX)
        return false;
    for (size_t i = 0; i < node->count; i++) {
        const struct node *item = node->items[i];

        if (!constant_of(e, item, &args[i]) && !call_constant(e, item, &args[i]))
            return false;
        if (item->is_widened && args[i].kind == CEL_INT)
            args[i] = cel_double((double)args[i].i);
    }
    machine_begin(&m);
    *value = call_builtin(&call, args, node->count, &m);
    return value->kind != CEL_ERROR && m.room == CEL_ROOM_MAX && m.steps > CEL_STEPS_MAX - FOLDED_STEPS_MAX;
}

static size_t constant_add(struct emitter *e, struct cel_value value)
{
    struct cel_program *p = e->program;

    ARRAY_RESERVE_ONE(p->constants, p->constant_count, p->constant_cap);
    p->constants[p->constant_count] = value;
    return p->constant_count++;
}

static void emit_constant(struct emitter *e, struct cel_value value, const struct node *node)
{
    if (value.kind == CEL_ERROR)
        value.error.at = node->at;
    add(e, I_CONST, 0, constant_add(e, value), node, 1);
}

static void emit_items(struct emitter *e, const struct node *node)
{
    for (size_t i = 0; i < node->count; i++)
        emit_node(e, node->items[i]);
}

static void emit_logic(struct emitter *e, const struct node *node)
{
    size_t jump;

    emit_node(e, node->a);
    jump = add(e, node->op == OP_AND ? I_AND_JUMP : I_OR_JUMP, 0, 0, node, 0);
    emit_node(e, node->b);
    add(e, I_BINARY + (int)node->op, 0, 0, node, -1);
    land(e, jump);
}

static void emit_in(struct emitter *e, const struct node *node)
{
    struct cel_value list;

    emit_node(e, node->a);
    if (!e->program->is_traced && constant_of(e, node->b, &list)) {
        emit_constant(e, list, node->b);
        e->cost += list.kind == CEL_LIST || list.kind == CEL_MAP ? list.list.count : 0;
    } else if (node->b->kind == NODE_LIST && !node->b->optional_items && !e->program->is_traced) {
        emit_items(e, node->b);
        add(e, I_IN_ITEMS, node->b->count, 0, node, -(int)node->b->count);
        return;
    } else {
        emit_node(e, node->b);
    }
    add(e, I_BINARY + OP_IN, 0, 0, node, -1);
}

/* name < 5.0, name == "text" */
static bool emit_test(struct emitter *e, const struct node *node)
{
    struct cel_program *p = e->program;

    if (node->op < OP_LE || node->op > OP_NE || node->a->kind != NODE_NAME || node->a->is_widened ||
        node->b->kind != NODE_LITERAL || p->constant_count > UINT16_MAX || p->is_traced)
        return false;
    ARRAY_RESERVE_ONE(p->constants, p->constant_count, p->constant_cap);
    p->constants[p->constant_count] = node->b->value;
    add(e, I_TEST + (int)node->op, p->constant_count++, node->a->slot, node, 1);
    return true;
}

static void emit_ternary(struct emitter *e, const struct node *node)
{
    size_t branch, end;

    emit_node(e, node->a);
    branch = add(e, I_BRANCH, 0, 0, node, -1);
    emit_node(e, node->b);
    end = add(e, I_JUMP, 0, 0, node, -1);
    land(e, branch);
    emit_node(e, node->c);
    land(e, end);
}

static void emit_regex(struct emitter *e, const struct node *node)
{
    struct cel_program *p = e->program;

    emit_node(e, node->items[0]);
    ARRAY_RESERVE_ONE(p->regexes, p->regex_count, p->regex_cap);
    p->regexes[p->regex_count] = node->regex;
    add(e, I_REGEX, 0, p->regex_count++, node, 0);
    e->cost += regex_size(node->regex);
}

static void emit_call(struct emitter *e, const struct node *node)
{
    struct cel_program *p = e->program;
    int change = 1 - (int)node->count;
    struct cel_value value;

    if (node->regex && !p->is_traced) {
        emit_regex(e, node);
        return;
    }
    if (!p->is_traced && call_constant(e, node, &value)) {
        emit_constant(e, value, node);
        return;
    }
    emit_items(e, node);
    if (node->builtin) {
        ARRAY_RESERVE_ONE(p->calls, p->call_count, p->call_cap);
        p->calls[p->call_count] = (struct call){ node->builtin, node->overloads };
        add(e, I_CALL, node->count, p->call_count++, node, change);
    } else {
        e->cost += p->functions[node->function].cost;
        add(e, I_CALLER, node->count, node->function, node, change);
    }
}

/* ---- lists, maps, fields ---- */

static void emit_aggregate(struct emitter *e, const struct node *node)
{
    bool is_map = node->kind == NODE_MAP;
    struct cel_value value;

    if (constant_of(e, node, &value)) {
        emit_constant(e, value, node);
        return;
    }
    emit_items(e, node);
    if (node->optional_items) {
        struct cel_value *marks = arena_new(&e->program->arena, struct cel_value, node->count);

        for (size_t i = 0; i < node->count; i++)
            marks[i] = cel_bool(node->optional_items[i] && (!is_map || i % 2));
        value = (struct cel_value){ .kind = CEL_LIST, .list = { marks, node->count } };
        add(e, I_ITEMS, node->count, 2 * constant_add(e, value) + is_map, node, 1 - (int)node->count);
    } else if (is_map) {
        add(e, I_MAP, node->count / 2, 0, node, 1 - (int)node->count);
    } else {
        add(e, I_LIST, node->count, 0, node, 1 - (int)node->count);
    }
}

static void emit_field(struct emitter *e, const struct node *node, int op)
{
    emit_node(e, node->a);
    add(e, op, node->is_optional, constant_add(e, cel_string(node->name)), node, 0);
}

/* ---- macros ---- */

/* How many items the cost takes the list or map for. */
static uint64_t items_of(const struct node *node)
{
    switch (node->kind) {
    case NODE_LIST:
        return node->count;
    case NODE_MAP:
        return node->count / 2;
    case NODE_BINARY:
        return items_of(node->a) + items_of(node->b);
    case NODE_MACRO:
        return items_of(node->a);
    default:
        return CEL_LIST_ASSUMED;
    }
}

static int step_of(const struct node *node)
{
    switch (node->macro) {
    case MACRO_ALL:
    case MACRO_ALL_2:
        return I_ALL;
    case MACRO_EXISTS:
    case MACRO_EXISTS_2:
        return I_EXISTS;
    case MACRO_EXISTS_ONE:
    case MACRO_ONE:
    case MACRO_ONE_2:
        return I_ONE;
    case MACRO_FILTER:
        return I_FILTER;
    case MACRO_TRANSFORM_MAP:
        return I_ADD_ENTRY;
    case MACRO_TRANSFORM_ENTRY:
        return I_ADD_MAP;
    default:
        return I_ADD_ITEM;
    }
}

/* range, LOOP end, next: NEXT done, [filter, WHERE next,] body, step next, done: LOOP_END, end: */
static void emit_macro(struct emitter *e, const struct node *node)
{
    struct cel_program *p = e->program;
    uint32_t base;
    size_t loop, next, body;
    uint64_t before;

    emit_node(e, node->a);
    base = e->depth; /* the range stands at places base, as stack[0] is never used */
    loop = add(e, I_LOOP, 0, 0, node, LOOP_PLACES - 1);
    e->places[node->local] = base + LOOP_FIRST;
    if (macro_variables(node->macro) == 2)
        e->places[node->local + 1] = base + LOOP_SECOND;
    p->code[loop].count = (uint16_t)node->macro;
    before = e->cost;
    next = add(e, I_NEXT, 0, 0, node, 0);
    body = p->code_count;
    if (node->b) {
        emit_node(e, node->b);
        add(e, I_WHERE, 0, next, node->b, -1);
    }
    emit_node(e, node->c);
    add(e, step_of(node), 0, next, node->c, -1);
    p->code[next].count = (uint16_t)(p->code_count - body < UINT16_MAX ? p->code_count - body : UINT16_MAX);
    e->cost = before + (e->cost - before) * items_of(node->a);
    if (e->cost > UINT32_MAX)
        e->cost = UINT32_MAX;
    land(e, next);
    add(e, I_LOOP_END, 0, node->macro, node, 1 - LOOP_PLACES);
    land(e, loop);
}

static void emit_bind(struct emitter *e, const struct node *node)
{
    emit_node(e, node->a);
    e->places[node->local] = e->depth;
    emit_node(e, node->b);
    add(e, I_SLIDE, 0, 1, node, -1);
}

static void emit_block(struct emitter *e, const struct node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        emit_node(e, node->items[i]);
        e->places[node->local + i] = e->depth;
    }
    emit_node(e, node->a);
    add(e, I_SLIDE, 0, node->count, node, -(int)node->count);
}

static void emit_opt_map(struct emitter *e, const struct node *node)
{
    size_t open;

    emit_node(e, node->a);
    open = add(e, I_OPT_OPEN, 0, 0, node, 0);
    e->places[node->local] = e->depth;
    emit_node(e, node->b);
    if (!node->is_flat)
        add(e, I_OPT_WRAP, 0, 0, node, 0);
    add(e, I_SLIDE, 0, 1, node, -1);
    land(e, open);
}

static void emit_node(struct emitter *e, const struct node *node)
{
    switch (node->kind) {
    case NODE_LITERAL:
        emit_constant(e, node->value, node);
        break;
    case NODE_NAME:
        add(e, I_SLOT, 0, node->slot, node, 1);
        break;
    case NODE_HAS:
        if (node->a->kind == NODE_SELECT)
            emit_field(e, node->a, I_HAS_FIELD);
        else if (node->a->kind == NODE_NAME)
            add(e, I_HAS, 0, node->a->slot, node, 1);
        else
            emit_node(e, node->a); /* the error of a name that is unknown */
        break;
    case NODE_LIST:
    case NODE_MAP:
        emit_aggregate(e, node);
        break;
    case NODE_SELECT:
        emit_field(e, node, I_FIELD);
        break;
    case NODE_MACRO:
        emit_macro(e, node);
        break;
    case NODE_BIND:
        emit_bind(e, node);
        break;
    case NODE_BLOCK:
        emit_block(e, node);
        break;
    case NODE_OPT_MAP:
        emit_opt_map(e, node);
        break;
    case NODE_LOCAL:
        add(e, I_LOCAL, 0, e->places[node->local], node, 1);
        break;
    case NODE_FAULT:
        emit_constant(e, node->value, node);
        break;
    case NODE_INDEX:
        emit_node(e, node->a);
        emit_node(e, node->b);
        add(e, node->is_optional ? I_OPT_INDEX : I_INDEX, 0, 0, node, -1);
        break;
    case NODE_UNARY:
        emit_node(e, node->a);
        add(e, node->op == OP_NOT ? I_NOT : I_NEGATE, 0, 0, node, 0);
        break;
    case NODE_BINARY:
        if (node->op == OP_AND || node->op == OP_OR) {
            emit_logic(e, node);
        } else if (node->op == OP_IN) {
            emit_in(e, node);
        } else if (!emit_test(e, node)) {
            emit_node(e, node->a);
            emit_node(e, node->b);
            add(e, I_BINARY + (int)node->op, 0, 0, node, -1);
        }
        break;
    case NODE_TERNARY:
        emit_ternary(e, node);
        break;
    case NODE_CALL:
        emit_call(e, node);
        break;
    }
    if (node->is_widened)
        add(e, I_WIDEN, 0, 0, node, 0);
    if (e->program->is_traced)
        add(e, I_TRACE, 0, node->id, node, 0);
}

void program_release(struct cel_program *program)
{
    mem_free(program->code);
    mem_free(program->at);
    mem_free(program->constants);
    mem_free(program->calls);
    mem_free(program->regexes);
    mem_free(program->uses.items);
    arena_release(&program->arena);
}

enum err emit(struct cel_program *program, uint32_t cost_max, struct faults *faults)
{
    struct emitter e = { .program = program };

    e.places = mem_new_n(uint32_t, program->local_count + 1);
    emit_node(&e, program->root);
    add(&e, I_END, 0, 0, program->root, 0);
    thread_jumps(program);
    mem_free(e.places);
    program->cost = e.cost > UINT32_MAX ? UINT32_MAX : (uint32_t)e.cost;
    if (program->stack > CEL_STACK_MAX + (program->is_traced ? 1u : 0u))
        fault_add(faults, program->root->at, "too many values wait for their operators");
    if (program->cost > cost_max)
        fault_add(faults, program->root->at, "the expression costs %s%u, over the limit of %u",
                  program->cost == UINT32_MAX ? "at least " : "", program->cost, cost_max);
    return faults->count ? ERR_INVALID : ERR_OK;
}
