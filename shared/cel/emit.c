/* SPDX-License-Identifier: Apache-2.0
 * emit.c - the checked tree to code, with what it costs at most and how deep its stack gets. */
#include "base/array.h"
#include "cel/program.h"

struct emitter {
    struct cel_program *program;
    uint32_t depth; /* values on the stack at this place */
    uint64_t cost;
};

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
    e->cost++;
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

static bool constant_of(struct emitter *e, const struct node *node, struct cel_value *value)
{
    struct cel_value *items;

    if (node->kind == NODE_LITERAL) {
        *value = node->value;
        return true;
    }
    if (node->kind != NODE_LIST)
        return false;
    items = arena_new(&e->program->arena, struct cel_value, node->count + 1);
    for (size_t i = 0; i < node->count; i++) {
        if (!constant_of(e, node->items[i], &items[i]))
            return false;
    }
    *value = (struct cel_value){ .kind = CEL_LIST, .list = { items, node->count } };
    return true;
}

static void emit_constant(struct emitter *e, struct cel_value value, const struct node *node)
{
    struct cel_program *p = e->program;

    ARRAY_RESERVE_ONE(p->constants, p->constant_count, p->constant_cap);
    p->constants[p->constant_count] = value;
    add(e, I_CONST, 0, p->constant_count++, node, 1);
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
        e->cost += list.kind == CEL_LIST ? list.list.count : 0;
    } else if (node->b->kind == NODE_LIST && !e->program->is_traced) {
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

static void emit_call(struct emitter *e, const struct node *node)
{
    struct cel_program *p = e->program;
    int change = 1 - (int)node->count;

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

static void emit_node(struct emitter *e, const struct node *node)
{
    struct cel_value value;

    switch (node->kind) {
    case NODE_LITERAL:
        emit_constant(e, node->value, node);
        break;
    case NODE_NAME:
        add(e, I_SLOT, 0, node->slot, node, 1);
        break;
    case NODE_HAS:
        add(e, I_HAS, 0, node->a->slot, node, 1);
        break;
    case NODE_LIST:
        if (constant_of(e, node, &value)) {
            emit_constant(e, value, node);
        } else {
            emit_items(e, node);
            add(e, I_LIST, node->count, 0, node, 1 - (int)node->count);
        }
        break;
    case NODE_INDEX:
        emit_node(e, node->a);
        emit_node(e, node->b);
        add(e, I_INDEX, 0, 0, node, -1);
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
    case NODE_SELECT: /* the check made it a name */
        break;
    }
    if (node->is_widened)
        add(e, I_WIDEN, 0, 0, node, 0);
    if (e->program->is_traced)
        add(e, I_TRACE, 0, node->id, node, 0);
}

enum err emit(struct cel_program *program, uint32_t cost_max, struct faults *faults)
{
    struct emitter e = { .program = program };

    emit_node(&e, program->root);
    add(&e, I_END, 0, 0, program->root, 0);
    thread_jumps(program);
    program->cost = e.cost > UINT32_MAX ? UINT32_MAX : (uint32_t)e.cost;
    if (program->stack > CEL_STACK_MAX + (program->is_traced ? 1u : 0u))
        fault_add(faults, program->root->at, "too many values wait for their operators");
    if (program->cost > cost_max)
        fault_add(faults, program->root->at, "the expression costs %u, over the limit of %u", program->cost,
                  cost_max);
    return faults->count ? ERR_INVALID : ERR_OK;
}
