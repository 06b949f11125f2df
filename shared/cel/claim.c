/* SPDX-License-Identifier: Apache-2.0
 * claim.c - before the check: calls that the caller takes for names with arguments become names. */
#include "base/array.h"
#include "cel/ast.h"

struct claimer {
    const struct cel_env *env;
    struct arena *arena;
    struct faults *faults;
};

static struct cel_arg arg_of(struct claimer *c, const struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    struct slice name = dotted_name(node, buffer);
    struct cel_arg arg = { .kind = CEL_ARG_OTHER, .at = node->from };
    bool is_names = node->kind == NODE_LIST && node->count > 0;
    struct cel_arg *names;

    arg.text = slice_of(c->faults->text.ptr + node->from, node->to - node->from);
    if (node->kind == NODE_LITERAL && node->value.kind == CEL_STRING) {
        arg.kind = CEL_ARG_TEXT;
        arg.text = node->value.s;
    } else if (name.len > 0) {
        arg.kind = CEL_ARG_NAME;
        arg.text = arena_slice(c->arena, name);
    } else if (is_names) {
        names = arena_new(c->arena, struct cel_arg, node->count);
        for (size_t i = 0; i < node->count; i++) {
            /* A list in a list is none of names, so this ends. */
            names[i] = node->items[i]->kind == NODE_LIST ? (struct cel_arg){ .kind = CEL_ARG_OTHER }
                                                         : arg_of(c, node->items[i]);
            is_names = is_names && names[i].kind == CEL_ARG_NAME;
        }
        if (is_names) {
            arg.kind = CEL_ARG_NAMES;
            arg.names = names;
            arg.name_count = node->count;
        }
    }
    return arg;
}

static void become_name(struct claimer *c, struct node *node, struct slice name)
{
    node->kind = NODE_NAME;
    node->name = arena_slice(c->arena, name);
    node->items = NULL;
    node->count = 0;
}

static void claim(struct claimer *c, struct node *node)
{
    struct cel_arg *args = arena_new(c->arena, struct cel_arg, node->count + 1);
    struct cel_call call = { node->name, args, node->count, node->at, { 0 } };
    size_t at = node->at;
    struct why why = { 0 };
    struct buf text;

    for (size_t i = 0; i < node->count; i++)
        args[i] = arg_of(c, node->items[i]);
    buf_init(&text, 0);
    print_node(node, &text);
    call.text = buf_slice(&text);
    switch (c->env->claim(c->env->context, &call, &at, &why)) {
    case CEL_CLAIM_NONE:
        break;
    case CEL_CLAIM_FAULT:
        fault_add(c->faults, at, "%s", why.text);
        break;
    case CEL_CLAIM_NAME:
        if (call.text.len > CEL_NAME_MAX)
            fault_add(c->faults, node->at, "this has %zu bytes, where %d are the most", call.text.len,
                      CEL_NAME_MAX);
        else
            become_name(c, node, call.text);
        break;
    }
    buf_release(&text);
}

static void walk(struct claimer *c, struct node *node)
{
    if (!node)
        return;
    walk(c, node->a);
    walk(c, node->b);
    walk(c, node->c);
    for (size_t i = 0; i < node->count; i++)
        walk(c, node->items[i]);
    if (node->kind == NODE_CALL && !node->is_method)
        claim(c, node);
}

enum err claim_calls(struct node *root, const struct cel_env *env, struct arena *arena, struct faults *faults)
{
    struct claimer c = { env, arena, faults };

    walk(&c, root);
    return faults->count ? ERR_INVALID : ERR_OK;
}
