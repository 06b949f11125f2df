/* SPDX-License-Identifier: Apache-2.0
 * cel.c - the stages in order, and what a program tells about itself. */
#include "cel/cel.h"

#include "base/mem.h"
#include "cel/program.h"

enum err cel_compile(struct cel_program **out, struct slice text, const struct cel_env *env, struct why *why)
{
    struct cel_program *p = mem_new(struct cel_program);
    struct faults faults = { .why = why };
    enum err err;

    *out = NULL;
    if (why)
        why->text[0] = 0; /* faults are added to it one by one */
    if (text.len > CEL_TEXT_MAX) {
        err = err_set(why, ERR_INVALID, "an expression has at most %d bytes", CEL_TEXT_MAX);
        goto out;
    }
    if (!slice_is_utf8(text)) {
        err = err_set(why, ERR_SYNTAX, "the expression is not UTF-8");
        goto out;
    }
    p->text = faults.text = arena_slice(&p->arena, text);
    p->functions = env->functions;
    err = parse(&p->root, &p->node_count, p->text, &p->arena, &faults);
    if (!err && env->claim)
        err = claim_calls(p->root, env, &p->arena, &faults);
    if (!err)
        err = check(p->root, env, &p->uses, &p->local_count, &p->arena, &faults);
    if (!err)
        err = emit(p, env->cost_max ? env->cost_max : CEL_COST_MAX, &faults);
    if (err)
        goto out;
    *out = p;
    p = NULL;
out:
    cel_free(p);
    return err;
}

void cel_free(struct cel_program *program)
{
    if (!program)
        return;
    program_release(program);
    mem_free(program);
}

size_t cel_uses(const struct cel_program *program, const struct cel_use **uses)
{
    *uses = program->uses.items;
    return program->uses.count;
}

enum cel_kind cel_result_kind(const struct cel_program *program)
{
    return program->root->type->kind;
}

const struct cel_type *cel_result_type(const struct cel_program *program)
{
    return program->root->type;
}

uint32_t cel_cost(const struct cel_program *program)
{
    return program->cost;
}

struct slice cel_text(const struct cel_program *program)
{
    return program->text;
}

struct literal_args {
    const char *function;
    size_t arg;
    void (*each)(void *context, struct slice literal);
    void *context;
};

static void walk(const struct node *node, const struct literal_args *wanted)
{
    if (!node)
        return;
    if (node->kind == NODE_CALL && slice_eq_str(node->name, wanted->function) && wanted->arg < node->count &&
        node->items[wanted->arg]->kind == NODE_LITERAL && node->items[wanted->arg]->value.kind == CEL_STRING)
        wanted->each(wanted->context, node->items[wanted->arg]->value.s);
    walk(node->a, wanted);
    walk(node->b, wanted);
    walk(node->c, wanted);
    for (size_t i = 0; i < node->count; i++)
        walk(node->items[i], wanted);
}

void cel_literal_args(const struct cel_program *program, const char *function, size_t arg,
                      void (*each)(void *context, struct slice literal), void *context)
{
    walk(program->root, &(struct literal_args){ function, arg, each, context });
}
