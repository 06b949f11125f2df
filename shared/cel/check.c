/* SPDX-License-Identifier: Apache-2.0
 * check.c - gives every node a type, so that what cannot work is refused when a rule is saved, not when a
 * payment waits.
 *
 * A node whose fault was told has the type CEL_DYN, so that one mistake is told once. */
#include "cel/ast.h"

#include <stdio.h>

#include "base/array.h"

struct checker {
    const struct cel_env *env;
    struct use_list *uses;
    struct arena *arena;
    struct faults *faults;
};

/* What the arithmetic operators and orderings take: both operands of one of these kinds. */
#define BIT(kind) (1u << (kind))
static const struct {
    unsigned kinds;
    bool is_truth; /* the result is a bool, not the operands' kind */
} operators[OP_COUNT] = {
    [OP_ADD] = { BIT(CEL_INT) | BIT(CEL_UINT) | BIT(CEL_DOUBLE) | BIT(CEL_STRING) | BIT(CEL_BYTES) |
                     BIT(CEL_LIST),
                 false },
    [OP_SUB] = { BIT(CEL_INT) | BIT(CEL_UINT) | BIT(CEL_DOUBLE), false },
    [OP_MUL] = { BIT(CEL_INT) | BIT(CEL_UINT) | BIT(CEL_DOUBLE), false },
    [OP_DIV] = { BIT(CEL_INT) | BIT(CEL_UINT) | BIT(CEL_DOUBLE), false },
    [OP_MOD] = { BIT(CEL_INT) | BIT(CEL_UINT), false },
    [OP_LT] = { BIT(CEL_BOOL) | BIT(CEL_STRING) | BIT(CEL_BYTES), true }, /* and numbers, across kinds */
};

static struct type check_node(struct checker *c, struct node *node);

static struct type type_of(enum cel_kind kind)
{
    return (struct type){ kind, CEL_DYN };
}

static bool is_assay(const struct checker *c)
{
    return c->env->dialect == CEL_ASSAY;
}

/* Makes an int a double: a literal at once, anything else when it is evaluated. */
static void widen(struct node *node)
{
    if (node->kind == NODE_LITERAL)
        node->value = cel_double((double)node->value.i);
    else
        node->is_widened = true;
    node->type = type_of(CEL_DOUBLE);
}

/* In the Assay dialect, an int beside a double becomes one too; so does a literal beside what is only known
 * when evaluated, for numbers come as doubles there. */
static void widen_pair(struct checker *c, struct node *a, struct node *b)
{
    enum cel_kind a_kind = a->type.kind, b_kind = b->type.kind;

    if (!is_assay(c))
        return;
    if (a_kind == CEL_INT && (b_kind == CEL_DOUBLE || (b_kind == CEL_DYN && a->kind == NODE_LITERAL)))
        widen(a);
    else if (b_kind == CEL_INT && (a_kind == CEL_DOUBLE || (a_kind == CEL_DYN && b->kind == NODE_LITERAL)))
        widen(b);
}

/* Every int up to here is a double of its own. */
#define EXACT_INTS (INT64_C(1) << 53)

/* A literal int in an order or equality with a double may as well be one, when no digit is lost. */
static void widen_literal_pair(struct checker *c, struct node *a, struct node *b)
{
    struct node *literal = a->kind == NODE_LITERAL ? a : b, *other = literal == a ? b : a;

    if (is_assay(c) && literal->kind == NODE_LITERAL && literal->type.kind == CEL_INT &&
        other->type.kind == CEL_DOUBLE && literal->value.i > -EXACT_INTS && literal->value.i < EXACT_INTS)
        widen(literal);
}

static bool may_be(enum cel_kind have, enum cel_kind want)
{
    return have == want || have == CEL_DYN || want == CEL_DYN;
}

/* ---- names ---- */

static size_t append(char buffer[NAME_MAX_BYTES], size_t len, struct slice part)
{
    if (len == 0 && part.len < NAME_MAX_BYTES) {
        memcpy(buffer, part.ptr, part.len);
        return part.len;
    }
    if (len == 0 || len + 1 + part.len >= NAME_MAX_BYTES)
        return 0;
    buffer[len] = '.';
    memcpy(buffer + len + 1, part.ptr, part.len);
    return len + 1 + part.len;
}

static bool is_plain_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];

        if (!(ch == '_' || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
              (i && ch >= '0' && ch <= '9')))
            return false;
    }
    return s.len > 0 && !word_is_keyword(s);
}

static size_t dotted_length(const struct node *node, char buffer[NAME_MAX_BYTES])
{
    size_t len;

    if (node->kind == NODE_NAME)
        return append(buffer, 0, node->name);
    if (node->kind == NODE_SELECT)
        return (len = dotted_length(node->a, buffer)) ? append(buffer, len, node->name) : 0;
    if (node->kind == NODE_INDEX && node->b->kind == NODE_LITERAL && node->b->value.kind == CEL_STRING &&
        is_plain_name(node->b->value.s))
        return (len = dotted_length(node->a, buffer)) ? append(buffer, len, node->b->value.s) : 0;
    return 0;
}

struct slice dotted_name(const struct node *node, char buffer[NAME_MAX_BYTES])
{
    return slice_of(buffer, dotted_length(node, buffer));
}

static void use(struct checker *c, struct slice name, struct cel_name meaning)
{
    for (size_t i = 0; i < c->uses->count; i++) {
        if (slice_eq(c->uses->items[i].name, name))
            return;
    }
    ARRAY_RESERVE_ONE(c->uses->items, c->uses->count, c->uses->cap);
    c->uses->items[c->uses->count++] =
        (struct cel_use){ arena_slice(c->arena, name), meaning.slot, meaning.kind };
}

/* Makes the whole chain one name when the resolver knows it. Nothing here has fields of its own, so
 * beginnings need not be tried. */
static bool resolve(struct checker *c, struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    struct slice name = dotted_name(node, buffer);
    struct cel_name meaning = { 0 };

    if (name.len == 0 || !c->env->resolve || !c->env->resolve(c->env->context, name, &meaning))
        return false;
    use(c, name, meaning);
    node->kind = NODE_NAME;
    node->name = arena_slice(c->arena, name);
    node->slot = meaning.slot;
    node->type = type_of(meaning.kind);
    return true;
}

static struct type check_name(struct checker *c, struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    struct slice name;

    if (resolve(c, node))
        return node->type;
    name = dotted_name(node, buffer);
    fault_add(c->faults, node->at, "unknown name '%.*s'", SLICE_ARG(name.len ? name : node->name));
    return type_of(CEL_DYN);
}

static struct type check_has(struct checker *c, struct node *node)
{
    struct node *field = node->a;

    if (field->kind == NODE_NAME && !is_assay(c)) {
        fault_add(c->faults, node->at, "has() takes a field, as in has(a.b)");
        return type_of(CEL_BOOL);
    }
    check_name(c, field);
    return type_of(CEL_BOOL);
}

/* ---- operators ---- */

static struct type no_overload(struct checker *c, const struct node *node, struct type a, struct type b)
{
    fault_add(c->faults, node->at, "no overload for %s %s %s", cel_kind_name(a.kind), op_spelling(node->op),
              cel_kind_name(b.kind));
    return type_of(CEL_DYN);
}

static struct type check_logic(struct checker *c, struct node *node)
{
    struct type a = check_node(c, node->a), b = check_node(c, node->b);

    if (!may_be(a.kind, CEL_BOOL))
        fault_add(c->faults, node->a->at, "%s takes bools, not %s", op_spelling(node->op),
                  cel_kind_name(a.kind));
    if (!may_be(b.kind, CEL_BOOL))
        fault_add(c->faults, node->b->at, "%s takes bools, not %s", op_spelling(node->op),
                  cel_kind_name(b.kind));
    return type_of(CEL_BOOL);
}

static struct type check_arithmetic(struct checker *c, struct node *node)
{
    unsigned kinds = operators[node->op].kinds;
    struct type a, b;

    check_node(c, node->a);
    check_node(c, node->b);
    widen_pair(c, node->a, node->b);
    a = node->a->type;
    b = node->b->type;
    if (a.kind == CEL_DYN && b.kind == CEL_DYN)
        return a;
    if (a.kind == CEL_DYN || b.kind == CEL_DYN) {
        enum cel_kind known = a.kind == CEL_DYN ? b.kind : a.kind;

        return kinds & BIT(known) ? type_of(CEL_DYN) : no_overload(c, node, a, b);
    }
    if (a.kind != b.kind || !(kinds & BIT(a.kind))) {
        if (node->op == OP_MOD && a.kind == CEL_DOUBLE) {
            fault_add(c->faults, node->at, "no overload for double %% %s: int(...) makes ints",
                      cel_kind_name(b.kind));
            return type_of(CEL_DYN);
        }
        return no_overload(c, node, a, b);
    }
    if (a.kind == CEL_LIST && a.item != b.item)
        a.item = CEL_DYN;
    return a;
}

static struct type check_order(struct checker *c, struct node *node)
{
    struct type a = check_node(c, node->a), b = check_node(c, node->b);

    widen_literal_pair(c, node->a, node->b);
    if (a.kind == CEL_DYN || b.kind == CEL_DYN || (kind_is_number(a.kind) && kind_is_number(b.kind)) ||
        (a.kind == b.kind && operators[OP_LT].kinds & BIT(a.kind)))
        return type_of(CEL_BOOL);
    no_overload(c, node, a, b);
    return type_of(CEL_BOOL);
}

static bool are_comparable(struct type a, struct type b)
{
    return may_be(a.kind, b.kind) || (kind_is_number(a.kind) && kind_is_number(b.kind));
}

static struct type check_equality(struct checker *c, struct node *node)
{
    struct type a = check_node(c, node->a), b = check_node(c, node->b);

    widen_literal_pair(c, node->a, node->b);
    if (!are_comparable(a, b))
        no_overload(c, node, a, b);
    return type_of(CEL_BOOL);
}

static struct type check_in(struct checker *c, struct node *node)
{
    struct type a = check_node(c, node->a), b = check_node(c, node->b);

    if (!may_be(b.kind, CEL_LIST)) {
        no_overload(c, node, a, b);
    } else if (b.kind == CEL_LIST && !are_comparable(a, type_of(b.item))) {
        fault_add(c->faults, node->at, "a list of %s never holds a %s", cel_kind_name(b.item),
                  cel_kind_name(a.kind));
    }
    return type_of(CEL_BOOL);
}

static struct type check_unary(struct checker *c, struct node *node)
{
    struct type a = check_node(c, node->a);

    if (node->op == OP_NOT) {
        if (!may_be(a.kind, CEL_BOOL))
            fault_add(c->faults, node->at, "! takes a bool, not %s", cel_kind_name(a.kind));
        return type_of(CEL_BOOL);
    }
    if (a.kind != CEL_DYN && a.kind != CEL_INT && a.kind != CEL_DOUBLE) {
        fault_add(c->faults, node->at, "no overload for -%s", cel_kind_name(a.kind));
        return type_of(CEL_DYN);
    }
    return a;
}

static struct type check_ternary(struct checker *c, struct node *node)
{
    struct type condition = check_node(c, node->a), b, d;

    check_node(c, node->b);
    check_node(c, node->c);
    if (!may_be(condition.kind, CEL_BOOL))
        fault_add(c->faults, node->a->at, "the condition of ?: is a bool, not %s",
                  cel_kind_name(condition.kind));
    widen_pair(c, node->b, node->c);
    b = node->b->type;
    d = node->c->type;
    if (!may_be(b.kind, d.kind)) {
        fault_add(c->faults, node->at, "both sides of ':' must be of one kind, not %s and %s",
                  cel_kind_name(b.kind), cel_kind_name(d.kind));
        return type_of(CEL_DYN);
    }
    return b.kind == CEL_DYN ? type_of(CEL_DYN) : (b.item == d.item ? b : type_of(b.kind));
}

static struct type check_list(struct checker *c, struct node *node)
{
    struct type list = { CEL_LIST, CEL_DYN };
    bool has_double = false;

    for (size_t i = 0; i < node->count; i++)
        has_double |= check_node(c, node->items[i]).kind == CEL_DOUBLE;
    for (size_t i = 0; i < node->count; i++) {
        if (has_double && is_assay(c) && node->items[i]->type.kind == CEL_INT)
            widen(node->items[i]);
        if (i == 0)
            list.item = node->items[i]->type.kind;
        else if (list.item != node->items[i]->type.kind)
            list.item = CEL_DYN;
    }
    return list;
}

static struct type check_index(struct checker *c, struct node *node)
{
    struct type list, index;

    if (resolve(c, node))
        return node->type;
    list = check_node(c, node->a);
    index = check_node(c, node->b);
    if (!may_be(list.kind, CEL_LIST) || (index.kind != CEL_DYN && !kind_is_number(index.kind))) {
        fault_add(c->faults, node->at, "no overload for %s[%s]", cel_kind_name(list.kind),
                  cel_kind_name(index.kind));
        return type_of(CEL_DYN);
    }
    return type_of(list.kind == CEL_LIST ? list.item : CEL_DYN);
}

/* ---- functions ---- */

static const char *argument_kinds(struct node *const *items, size_t count, char text[128])
{
    size_t len = 0;

    text[0] = 0;
    for (size_t i = 0; i < count && len < 100; i++)
        len += (size_t)snprintf(text + len, 128 - len, "%s%s", i ? ", " : "",
                                cel_kind_name(items[i]->type.kind));
    return text;
}

static bool count_fits(const struct builtin *b, size_t count)
{
    return b->arg_count == VARIADIC ? count >= 1 : b->arg_count == count;
}

/* How the arguments fit an overload: not, when ints are widened, when dyn turns out so, or exactly. */
enum fit { FIT_NONE, FIT_WIDENED, FIT_MAYBE, FIT_EXACT };

static enum fit fit(const struct checker *c, const struct builtin *b, const struct node *call)
{
    enum fit worst = FIT_EXACT;

    if (!count_fits(b, call->count) || (call->is_method ? !b->is_method : !b->is_global))
        return FIT_NONE;
    for (size_t i = 0; i < call->count; i++) {
        enum cel_kind want = b->args[b->arg_count == VARIADIC ? 0 : i], have = call->items[i]->type.kind;
        enum fit this = FIT_NONE;

        if (want == CEL_DYN || have == want)
            this = FIT_EXACT;
        else if (have == CEL_DYN)
            this = FIT_MAYBE;
        else if (is_assay(c) && have == CEL_INT && want == CEL_DOUBLE)
            this = FIT_WIDENED;
        if (this < worst)
            worst = this;
    }
    return worst;
}

static struct type check_builtin(struct checker *c, struct node *node, const struct builtin *first,
                                 size_t overloads)
{
    const struct builtin *best = NULL;
    enum fit best_fit = FIT_NONE;
    size_t maybes = 0;
    char kinds[128];

    for (const struct builtin *b = first; b < first + overloads; b++) {
        enum fit this = fit(c, b, node);

        maybes += this == FIT_MAYBE;
        if (this > best_fit) {
            best = b;
            best_fit = this;
        }
    }
    if (best_fit == FIT_NONE) {
        fault_add(c->faults, node->at, "%.*s does not take (%s)", SLICE_ARG(node->name),
                  argument_kinds(node->items, node->count, kinds));
        return type_of(CEL_DYN);
    }
    if (best_fit == FIT_WIDENED) {
        for (size_t i = 0; i < node->count; i++) {
            if (node->items[i]->type.kind == CEL_INT &&
                best->args[best->arg_count == VARIADIC ? 0 : i] == CEL_DOUBLE)
                widen(node->items[i]);
        }
        return check_builtin(c, node, first, overloads); /* as if they had been doubles from the start */
    }
    node->builtin = best;
    node->overloads = 0;
    if (best_fit == FIT_EXACT)
        return type_of(best->result);
    /* Chosen when evaluated, among all of the name: also where there is but one, which must fit. */
    node->builtin = first;
    node->overloads = overloads;
    return type_of(maybes == 1 ? best->result : CEL_DYN);
}

static struct type check_caller_function(struct checker *c, struct node *node, const struct cel_function *f)
{
    bool is_fit = node->count == f->arg_count && !node->is_method;
    char kinds[128];

    for (size_t i = 0; is_fit && i < node->count; i++) {
        if (is_assay(c) && f->args[i] == CEL_DOUBLE && node->items[i]->type.kind == CEL_INT)
            widen(node->items[i]);
        is_fit = may_be(node->items[i]->type.kind, f->args[i]);
    }
    if (!is_fit)
        fault_add(c->faults, node->at, "%s does not take (%s)", f->name,
                  argument_kinds(node->items, node->count, kinds));
    node->function = (uint32_t)(f - c->env->functions);
    return type_of(f->result);
}

/* "math.abs(x)" is parsed as a method of a name `math`; when such a function exists it is just that. */
static void unmethod(struct checker *c, struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    const struct builtin *first;
    struct slice name;
    size_t len;

    if (!node->is_method)
        return;
    len = dotted_length(node->items[0], buffer);
    len = len ? append(buffer, len, node->name) : 0;
    name = slice_of(buffer, len);
    if (len == 0 || builtin_find(name, CEL_STANDARD, &first) == 0)
        return;
    node->name = arena_slice(c->arena, name);
    node->is_method = false;
    node->items++;
    node->count--;
}

static struct type check_call(struct checker *c, struct node *node)
{
    const struct builtin *first;
    size_t overloads;

    unmethod(c, node);
    for (size_t i = 0; i < node->count; i++)
        check_node(c, node->items[i]);
    for (size_t i = 0; i < c->env->function_count; i++) {
        if (slice_eq_str(node->name, c->env->functions[i].name))
            return check_caller_function(c, node, &c->env->functions[i]);
    }
    overloads = builtin_find(node->name, c->env->dialect, &first);
    if (overloads)
        return check_builtin(c, node, first, overloads);
    fault_add(c->faults, node->at, "unknown function '%.*s'", SLICE_ARG(node->name));
    return type_of(CEL_DYN);
}

/* ---- the walk ---- */

static struct type check_binary(struct checker *c, struct node *node)
{
    switch (node->op) {
    case OP_OR:
    case OP_AND:
        return check_logic(c, node);
    case OP_EQ:
    case OP_NE:
        return check_equality(c, node);
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
        return check_order(c, node);
    case OP_IN:
        return check_in(c, node);
    default:
        return check_arithmetic(c, node);
    }
}

static struct type check_node(struct checker *c, struct node *node)
{
    switch (node->kind) {
    case NODE_LITERAL:
        node->type = type_of(node->value.kind);
        break;
    case NODE_NAME:
    case NODE_SELECT:
        node->type = check_name(c, node);
        break;
    case NODE_INDEX:
        node->type = check_index(c, node);
        break;
    case NODE_LIST:
        node->type = check_list(c, node);
        break;
    case NODE_UNARY:
        node->type = check_unary(c, node);
        break;
    case NODE_BINARY:
        node->type = check_binary(c, node);
        break;
    case NODE_TERNARY:
        node->type = check_ternary(c, node);
        break;
    case NODE_CALL:
        node->type = check_call(c, node);
        break;
    case NODE_HAS:
        node->type = check_has(c, node);
        break;
    }
    return node->type;
}

enum err check(struct node *root, const struct cel_env *env, struct use_list *uses, struct arena *arena,
               struct faults *faults)
{
    struct checker c = { env, uses, arena, faults };
    struct type type = check_node(&c, root);

    if (is_assay(&c) && env->result == CEL_DOUBLE && type.kind == CEL_INT) {
        widen(root);
        type = root->type;
    }
    if (faults->count == 0 && !may_be(type.kind, env->result))
        fault_add(faults, root->at, "this is a %s, where a %s is wanted", cel_kind_name(type.kind),
                  cel_kind_name(env->result));
    return faults->count ? ERR_INVALID : ERR_OK;
}
