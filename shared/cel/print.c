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

/* A list's or a map's, with what marks the optional ones. */
static void print_aggregate(const struct node *node, struct buf *out)
{
    bool is_map = node->kind == NODE_MAP;

    buf_add_char(out, is_map ? '{' : '[');
    for (size_t i = 0; i < node->count; i++) {
        if (i)
            buf_add_str(out, is_map && i % 2 ? ": " : ", ");
        if (node->optional_items && node->optional_items[i] && (!is_map || i % 2 == 0))
            buf_add_char(out, '?');
        print(node->items[i], AT_TERNARY, out);
    }
    buf_add_char(out, is_map ? '}' : ']');
}

static bool is_plain_field(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' || s.ptr[i] == '-' || s.ptr[i] == '/' || s.ptr[i] == ' ' ||
            (i == 0 && s.ptr[i] >= '0' && s.ptr[i] <= '9'))
            return false;
    }
    return !word_is_keyword(s);
}

static void print_select(const struct node *node, struct buf *out)
{
    const char *quote = is_plain_field(node->name) ? "" : "`";

    print(node->a, AT_MEMBER, out);
    buf_printf(out, ".%s%s%.*s%s", node->is_optional ? "?" : "", quote, SLICE_ARG(node->name), quote);
}

/* a.map(x, y): what stands before the dot, the variables, and up to two arguments. */
static void print_macro(const struct node *of, struct slice name, const struct slice vars[2],
                        size_t var_count, const struct node *first, const struct node *second,
                        struct buf *out)
{
    print(of, AT_MEMBER, out);
    buf_printf(out, ".%.*s(", SLICE_ARG(name));
    for (size_t i = 0; i < var_count; i++)
        buf_printf(out, "%s%.*s", i ? ", " : "", SLICE_ARG(vars[i]));
    if (first) {
        buf_add_str(out, ", ");
        print(first, AT_TERNARY, out);
    }
    buf_add_str(out, ", ");
    print(second, AT_TERNARY, out);
    buf_add_char(out, ')');
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
        if (node->value.kind == CEL_TYPE) /* as it was named */
            buf_printf(out, "%s%.*s", node->is_root ? "." : "", SLICE_ARG(node->name));
        else
            print_literal(&node->value, out);
        break;
    case NODE_NAME:
    case NODE_LOCAL:
        buf_printf(out, "%s%.*s", node->is_root ? "." : "", SLICE_ARG(node->name));
        break;
    case NODE_FAULT:
        if (node->name.len)
            buf_printf(out, "%s%.*s", node->is_root ? "." : "", SLICE_ARG(node->name));
        else
            buf_add_str(out, "null");
        break;
    case NODE_SELECT:
        print_select(node, out);
        break;
    case NODE_MACRO:
        print_macro(node->a, slice_str(macro_name(node->macro)), node->vars,
                    (size_t)macro_variables(node->macro), node->b, node->c, out);
        break;
    case NODE_OPT_MAP:
        print_macro(node->a, node->name, node->vars, 1, NULL, node->b, out);
        break;
    case NODE_BIND:
        buf_printf(out, "cel.bind(%.*s, ", SLICE_ARG(node->vars[0]));
        print(node->a, AT_TERNARY, out);
        buf_add_str(out, ", ");
        print(node->b, AT_TERNARY, out);
        buf_add_char(out, ')');
        break;
    case NODE_BLOCK:
        buf_add_str(out, "cel.block([");
        print_items(node->items, node->count, out);
        buf_add_str(out, "], ");
        print(node->a, AT_TERNARY, out);
        buf_add_char(out, ')');
        break;
    case NODE_INDEX:
        print(node->a, AT_MEMBER, out);
        buf_add_str(out, node->is_optional ? "[?" : "[");
        print(node->b, AT_TERNARY, out);
        buf_add_char(out, ']');
        break;
    case NODE_LIST:
    case NODE_MAP:
        print_aggregate(node, out);
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

void print_node(const struct node *node, struct buf *out)
{
    print(node, AT_TERNARY, out);
}

void cel_print(const struct cel_program *program, struct buf *out)
{
    print(program->root, AT_TERNARY, out);
}
