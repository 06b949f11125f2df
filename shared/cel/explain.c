/* SPDX-License-Identifier: Apache-2.0
 * explain.c - the value of every sub-expression: the tree is emitted again with a note behind each node, and
 * runs on the same machine. */
#include "base/mem.h"
#include "cel/program.h"

struct telling {
    const struct cel_program *program;
    const struct traced *traced;
    cel_visit visit;
    void *context;
};

static void tell(const struct telling *t, const struct node *node, uint32_t depth)
{
    const struct traced *traced;

    if (!node)
        return;
    traced = &t->traced[node->id];
    t->visit(t->context, &(struct cel_step){
                             .text = slice_of(t->program->text.ptr + node->from, node->to - node->from),
                             .at = node->from,
                             .depth = depth,
                             .times = traced->times,
                             .value = traced->times ? traced->value : cel_error(CEL_FAULT_MISSING),
                             .is_literal = node->is_constant,
                         });
    if (node->kind == NODE_NAME || (node->kind == NODE_HAS && node->a->kind == NODE_NAME) ||
        node->is_constant)
        return;
    if (node->kind != NODE_BLOCK) /* whose body stands last */
        tell(t, node->a, depth + 1);
    tell(t, node->b, depth + 1);
    tell(t, node->c, depth + 1);
    for (size_t i = 0; i < node->count; i++)
        tell(t, node->items[i], depth + 1);
    if (node->kind == NODE_BLOCK)
        tell(t, node->a, depth + 1);
}

struct cel_value cel_explain(const struct cel_program *program, const struct cel_input *input,
                             cel_visit visit, void *context)
{
    struct cel_program again = { .text = program->text,
                                 .root = program->root,
                                 .functions = program->functions,
                                 .node_count = program->node_count,
                                 .local_count = program->local_count,
                                 .is_traced = true };
    struct traced *traced = mem_new_n(struct traced, program->node_count + 1);
    struct telling telling = { program, traced, visit, context };
    struct faults faults = { .text = program->text };
    struct cel_value value;

    /* What it costs was accepted when it was compiled. */
    if (emit(&again, UINT32_MAX, &faults))
        value = cel_error(CEL_FAULT_ROOM);
    else
        value = run_traced(&again, input, traced);
    tell(&telling, program->root, 0);
    mem_free(traced);
    program_release(&again);
    return value;
}
