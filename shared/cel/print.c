/* SPDX-License-Identifier: Apache-2.0
 * print.c - the tree back to text, in one canonical spelling, so that a definition's hash does not depend on
 * how it was typed. */
#include <stdio.h>

#include "base/decimal.h"
#include "cel/program.h"

enum { AT_TERNARY = 0, AT_UNARY = 6, AT_MEMBER = 7 }; /* between them the precedences of ast.h */

static void print(const struct node *node, int least, struct buf *out);

static void print_text(struct slice s, bool is_bytes, struct buf *out)
{
    buf_add_str(out, is_bytes ? "b\"" : "\"");
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_add_str(out, "\\n");
        else if (c < 0x20 || c == 0x7f || (is_bytes && c >= 0x80))
            buf_printf(out, "\\x%02x", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, '"');
}

static void print_double(double d, struct buf *out)
{
    char text[DECIMAL_SIZE];

    buf_add(out, text, decimal_print(d, text));
    if (!strpbrk(text, ".e"))
        buf_add_str(out, ".0");
}

static void print_literal(const struct cel_value *value, struct buf *out)
{
    switch (value->kind) {
    case CEL_DOUBLE:
        print_double(value->d, out);
        break;
    case CEL_UINT:
        buf_printf(out, "%lluu", (unsigned long long)value->u);
        break;
    case CEL_STRING:
    case CEL_BYTES:
        print_text(value->s, value->kind == CEL_BYTES, out);
        break;
    default:
        cel_value_print(*value, out);
        break;
    }
}

static void print_items(struct node *const *items, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_add_str(out, ", ");
        print(items[i], AT_TERNARY, out);
    }
}

static int precedence(const struct node *node)
{
    switch (node->kind) {
    case NODE_TERNARY:
        return AT_TERNARY;
    case NODE_BINARY:
        return op_precedence(node->op);
    case NODE_UNARY:
        return AT_UNARY;
    default:
        return AT_MEMBER;
    }
}

/* "-5" is a number and "-(5)" an operation; "!-a" cannot be written without brackets. */
static void print_unary(const struct node *node, struct buf *out)
{
    const struct node *a = node->a;
    bool is_chain = a->kind == NODE_UNARY && a->op == node->op;
    bool is_number = node->op == OP_SUB && a->kind == NODE_LITERAL && kind_is_number(a->value.kind);

    buf_add_str(out, node->op == OP_NOT ? "!" : "-");
    if (is_number)
        buf_add_char(out, '(');
    print(a, is_chain ? AT_UNARY : AT_MEMBER, out);
    if (is_number)
        buf_add_char(out, ')');
}

static void print_binary(const struct node *node, struct buf *out)
{
    int own = op_precedence(node->op);

    print(node->a, own, out);
    buf_printf(out, " %s ", op_spelling(node->op));
    print(node->b, own + 1, out);
}

static void print_call(const struct node *node, struct buf *out)
{
    size_t first = node->is_method ? 1 : 0;

    if (node->is_method) {
        print(node->items[0], AT_MEMBER, out);
        buf_add_char(out, '.');
    }
    buf_printf(out, "%.*s(", SLICE_ARG(node->name));
    print_items(node->items + first, node->count - first, out);
    buf_add_char(out, ')');
}

static void print_bare(const struct node *node, struct buf *out)
{
    switch (node->kind) {
    case NODE_LITERAL:
        print_literal(&node->value, out);
        break;
    case NODE_NAME:
        buf_add_slice(out, node->name);
        break;
    case NODE_SELECT:
        print(node->a, AT_MEMBER, out);
        buf_printf(out, ".%.*s", SLICE_ARG(node->name));
        break;
    case NODE_INDEX:
        print(node->a, AT_MEMBER, out);
        buf_add_char(out, '[');
        print(node->b, AT_TERNARY, out);
        buf_add_char(out, ']');
        break;
    case NODE_LIST:
        buf_add_char(out, '[');
        print_items(node->items, node->count, out);
        buf_add_char(out, ']');
        break;
    case NODE_UNARY:
        print_unary(node, out);
        break;
    case NODE_BINARY:
        print_binary(node, out);
        break;
    case NODE_TERNARY:
        print(node->a, AT_TERNARY + 1, out);
        buf_add_str(out, " ? ");
        print(node->b, AT_TERNARY + 1, out);
        buf_add_str(out, " : ");
        print(node->c, AT_TERNARY, out);
        break;
    case NODE_CALL:
        print_call(node, out);
        break;
    case NODE_HAS:
        buf_add_str(out, "has(");
        print(node->a, AT_TERNARY, out);
        buf_add_char(out, ')');
        break;
    }
}

static void print(const struct node *node, int least, struct buf *out)
{
    bool is_bracketed = precedence(node) < least;

    if (is_bracketed)
        buf_add_char(out, '(');
    print_bare(node, out);
    if (is_bracketed)
        buf_add_char(out, ')');
}

void cel_print(const struct cel_program *program, struct buf *out)
{
    print(program->root, AT_TERNARY, out);
}
