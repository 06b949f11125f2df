/* SPDX-License-Identifier: Apache-2.0
 * check.c - gives every node a type, so that what cannot work is refused when a rule is saved, not when a
 * payment waits.
 *
 * A node whose fault was told has the type CEL_DYN, so that one mistake is told once. */
#include <stdarg.h>
#include <stdio.h>

#include "base/array.h"
#include "cel/types.h"

/* A variable of a macro, where it is known. */
struct scope {
    const struct scope *outer;
    struct slice name;
    const struct cel_type *type;
    uint32_t local;
};

struct checker {
    const struct cel_env *env;
    struct use_list *uses;
    struct arena *arena;
    struct faults *faults;
    struct types types;
    const struct scope *scope;
    uint32_t locals;
};

enum { CHAIN_MAX = 64 }; /* a name has at most so many parts */

/* What the arithmetic operators and orderings take: both operands of one of these kinds. */
#define BIT(kind) (1u << (kind))
#define NUMBERS   (BIT(CEL_INT) | BIT(CEL_UINT) | BIT(CEL_DOUBLE))
static const unsigned operand_kinds[OP_COUNT] = {
    [OP_ADD] = NUMBERS | BIT(CEL_STRING) | BIT(CEL_BYTES) | BIT(CEL_LIST) | BIT(CEL_DURATION),
    [OP_SUB] = NUMBERS | BIT(CEL_DURATION),
    [OP_MUL] = NUMBERS,
    [OP_DIV] = NUMBERS,
    [OP_MOD] = BIT(CEL_INT) | BIT(CEL_UINT),
    [OP_LT] = BIT(CEL_BOOL) | BIT(CEL_STRING) | BIT(CEL_BYTES) | BIT(CEL_TIMESTAMP) |
              BIT(CEL_DURATION), /* and numbers, across kinds */
};

static const struct cel_type *check_node(struct checker *c, struct node *node);

static bool is_assay(const struct checker *c)
{
    return c->env->dialect == CEL_ASSAY;
}

static enum cel_kind kind_of(const struct node *node)
{
    return type_kind(node->type);
}

/* A fault of types or names; none in a program that is not checked. */
static void PRINTF_LIKE(3, 4) tell(struct checker *c, size_t at, const char *format, ...)
{
    char sentence[160];
    va_list args;

    if (c->env->is_unchecked)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    fault_add(c->faults, at, "%s", sentence);
}

/* What an unchecked program evaluates to in this place. */
static const struct cel_type *make_fault(struct node *node, enum cel_fault fault)
{
    node->kind = NODE_FAULT;
    node->value = cel_error(fault);
    return type_of(CEL_DYN);
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
    enum cel_kind a_kind = kind_of(a), b_kind = kind_of(b);

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

    if (is_assay(c) && literal->kind == NODE_LITERAL && kind_of(literal) == CEL_INT &&
        kind_of(other) == CEL_DOUBLE && literal->value.i > -EXACT_INTS && literal->value.i < EXACT_INTS)
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

/* a.b and a["b"], which may be a name of two parts. */
static bool is_link(const struct node *node)
{
    if (node->kind == NODE_SELECT)
        return !node->is_optional && !node->is_quoted;
    return node->kind == NODE_INDEX && !node->is_optional && node->b->kind == NODE_LITERAL &&
           node->b->value.kind == CEL_STRING && is_plain_name(node->b->value.s);
}

static size_t dotted_length(const struct node *node, char buffer[NAME_MAX_BYTES])
{
    const struct node *links[CHAIN_MAX];
    size_t count = 0, len;

    for (; is_link(node) && count < CHAIN_MAX; node = node->a)
        links[count++] = node;
    if (node->kind != NODE_NAME)
        return 0;
    len = append(buffer, 0, node->name);
    while (len && count-- > 0)
        len = append(buffer, len,
                     links[count]->kind == NODE_SELECT ? links[count]->name : links[count]->b->value.s);
    return len;
}

struct slice dotted_name(const struct node *node, char buffer[NAME_MAX_BYTES])
{
    return slice_of(buffer, dotted_length(node, buffer));
}

static const struct node *chain_root(const struct node *node)
{
    while (is_link(node))
        node = node->a;
    return node;
}

static const struct scope *scope_find(const struct checker *c, const struct node *name)
{
    const struct scope *s = name->is_root ? NULL : c->scope;

    while (s && !slice_eq(s->name, name->name))
        s = s->outer;
    return s;
}

/* Calls `is_it` with the name in the container, in what that is in, and so on to the root; a name that begins
 * with a dot only there. */
static bool in_containers(struct checker *c, struct slice name, bool is_root,
                          bool (*is_it)(struct checker *c, struct slice full, void *out), void *out)
{
    struct slice container = slice_str(is_root || !c->env->container ? "" : c->env->container);
    char full[2 * NAME_MAX_BYTES];

    while (container.len) {
        if (container.len + 1 + name.len < sizeof full) {
            memcpy(full, container.ptr, container.len);
            full[container.len] = '.';
            memcpy(full + container.len + 1, name.ptr, name.len);
            if (is_it(c, slice_of(full, container.len + 1 + name.len), out))
                return true;
        }
        do {
            container.len--;
        } while (container.len && container.ptr[container.len] != '.');
    }
    return is_it(c, name, out);
}

struct variable {
    struct cel_name meaning;
    const struct cel_type *type;
};

static bool is_variable(struct checker *c, struct slice full, void *out)
{
    struct variable *v = out;

    if (!c->env->resolve || !c->env->resolve(c->env->context, full, &v->meaning))
        return false;
    v->type = c->env->type_of ? c->env->type_of(c->env->context, full) : NULL;
    return true;
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

/* Makes the whole chain one name when the resolver knows it. */
static bool resolve(struct checker *c, struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    struct slice name = dotted_name(node, buffer);
    struct variable v = { 0 };
    bool is_root = chain_root(node)->is_root;

    if (name.len == 0 || !in_containers(c, name, is_root, is_variable, &v))
        return false;
    use(c, name, v.meaning);
    node->kind = NODE_NAME;
    node->name = arena_slice(c->arena, name);
    node->slot = v.meaning.slot;
    node->is_root = is_root;
    node->type = v.type ? v.type : type_of(v.meaning.kind);
    return true;
}

static bool is_type(struct checker *c, struct slice full, void *out)
{
    enum cel_kind *kind = out;

    (void)c;
    for (*kind = CEL_NULL; *kind < CEL_KIND_COUNT; ++*kind) {
        if (slice_eq_str(full, kind_type_name(*kind)))
            return true;
    }
    return false;
}

/* "int", "google.protobuf.Timestamp": a value that type() may be compared with. */
static bool resolve_type(struct checker *c, struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    struct slice name = dotted_name(node, buffer);
    enum cel_kind kind;

    if (name.len == 0 || !in_containers(c, name, chain_root(node)->is_root, is_type, &kind))
        return false;
    node->is_root = chain_root(node)->is_root;
    node->kind = NODE_LITERAL;
    node->name = arena_slice(c->arena, name);
    node->value = (struct cel_value){ .kind = CEL_TYPE, .s = slice_str(kind_type_name(kind)) };
    node->type = type_with(&c->types, CEL_TYPE, type_of(kind), NULL);
    return true;
}

/* ---- fields and items ---- */

/* What stands behind a key of this type, in a map, or of an optional one. NULL when nothing can. */
static const struct cel_type *behind(struct checker *c, const struct cel_type *of, const struct cel_type *key,
                                     bool is_field, bool *is_optional)
{
    enum cel_kind kind = type_kind(of), key_kind = type_kind(key);

    if (kind == CEL_OPTIONAL) {
        *is_optional = true;
        of = type_param(of, 0);
        kind = type_kind(of);
    }
    if (kind == CEL_DYN)
        return type_of(CEL_DYN);
    if (kind == CEL_LIST && !is_field)
        return key_kind == CEL_DYN || kind_is_number(key_kind) ? type_param(of, 0) : NULL;
    if (kind != CEL_MAP)
        return NULL;
    if (!(kind_is_number(key_kind) && kind_is_number(type_kind(type_param(of, 0)))) &&
        !type_fits(&c->types, key, type_param(of, 0)))
        return NULL;
    return type_param(of, 1);
}

static const struct cel_type *optional_type(struct checker *c, const struct cel_type *inner, bool is_optional)
{
    return is_optional ? type_with(&c->types, CEL_OPTIONAL, inner, NULL) : inner;
}

/* node->a was checked. */
static const struct cel_type *check_field(struct checker *c, struct node *node)
{
    bool is_optional = node->is_optional;
    const struct cel_type *inner = behind(c, node->a->type, type_of(CEL_STRING), true, &is_optional);

    if (!inner) {
        char buffer[NAME_MAX_BYTES];
        struct slice name = is_link(node) ? dotted_name(node, buffer) : node->name;

        if (name.len && chain_root(node)->kind == NODE_NAME)
            tell(c, node->at, "unknown name '%.*s'", SLICE_ARG(name));
        else
            tell(c, node->at, "a %s has no field '%.*s'", cel_kind_name(kind_of(node->a)),
                 SLICE_ARG(node->name));
        inner = type_of(CEL_DYN);
    }
    return node->type = optional_type(c, inner, is_optional);
}

static const struct cel_type *check_item(struct checker *c, struct node *node)
{
    bool is_optional = node->is_optional;
    const struct cel_type *index = check_node(c, node->b),
                          *inner = behind(c, node->a->type, index, false, &is_optional);

    if (!inner) {
        tell(c, node->at, "no overload for %s[%s]", cel_kind_name(kind_of(node->a)),
             cel_kind_name(type_kind(index)));
        inner = type_of(CEL_DYN);
    }
    return node->type = optional_type(c, inner, is_optional);
}

static const struct cel_type *unknown_name(struct checker *c, struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    struct slice name = dotted_name(node, buffer);

    tell(c, node->at, "unknown name '%.*s'", SLICE_ARG(name.len ? name : node->name));
    return node->type = make_fault(node, CEL_FAULT_NAME);
}

/* A name, or a chain of selections that begins with one: its longest beginning that means something, and the
 * fields behind that. With `is_has` the last link stays a field unless all is one name; its type is not asked
 * for then. */
static const struct cel_type *check_chain(struct checker *c, struct node *node, bool is_has)
{
    struct node *links[TREE_DEPTH_MAX + 1];
    size_t count = 0, known;
    const struct scope *scope;

    for (links[0] = node; is_link(links[count]); count++)
        links[count + 1] = links[count]->a;
    scope = scope_find(c, links[count]);
    known = count;
    if (scope) {
        links[count]->kind = NODE_LOCAL;
        links[count]->local = scope->local;
        links[count]->type = scope->type;
    } else {
        known = count > CHAIN_MAX ? count - CHAIN_MAX : 0;
        while (known <= count && !resolve(c, links[known]))
            known++;
        if (known > count) {
            for (known = 0; known <= count && (count - known > CHAIN_MAX || !resolve_type(c, links[known]));)
                known++;
        }
        if (known > count)
            return unknown_name(c, node);
        links[known]->is_solid = true;
    }
    while (known-- > (is_has ? 1 : 0)) {
        if (links[known]->kind == NODE_SELECT)
            check_field(c, links[known]);
        else
            check_item(c, links[known]);
    }
    return node->type;
}

static const struct cel_type *check_select(struct checker *c, struct node *node)
{
    if (chain_root(node)->kind == NODE_NAME)
        return check_chain(c, node, false);
    check_node(c, node->a);
    return check_field(c, node);
}

static const struct cel_type *check_index(struct checker *c, struct node *node)
{
    if (is_link(node) && chain_root(node)->kind == NODE_NAME)
        return check_chain(c, node, false);
    check_node(c, node->a);
    return check_item(c, node);
}

static const struct cel_type *check_has(struct checker *c, struct node *node)
{
    struct node *field = node->a;
    bool is_optional = false;

    if (field->kind == NODE_NAME && !is_assay(c)) {
        fault_add(c->faults, node->at, "has() takes a field, as in has(a.b)");
        return type_of(CEL_BOOL);
    }
    if (chain_root(field)->kind == NODE_NAME) {
        check_chain(c, field, field->kind != NODE_NAME);
    } else {
        check_node(c, field->a);
    }
    if (field->kind == NODE_INDEX || (field->kind == NODE_LITERAL && field->value.kind == CEL_TYPE) ||
        field->kind == NODE_LOCAL)
        tell(c, node->at, "has() takes a field, as in has(a.b)");
    else if (field->kind == NODE_SELECT &&
             !behind(c, field->a->type, type_of(CEL_STRING), true, &is_optional))
        tell(c, field->at, "a %s has no field '%.*s'", cel_kind_name(kind_of(field->a)),
             SLICE_ARG(field->name));
    return type_of(CEL_BOOL);
}

/* ---- operators ---- */

static const struct cel_type *no_overload(struct checker *c, const struct node *node)
{
    tell(c, node->at, "no overload for %s %s %s", cel_kind_name(kind_of(node->a)), op_spelling(node->op),
         cel_kind_name(kind_of(node->b)));
    return type_of(CEL_DYN);
}

static const struct cel_type *check_logic(struct checker *c, struct node *node)
{
    struct node *const sides[] = { node->a, node->b };

    for (size_t i = 0; i < 2; i++)
        check_node(c, sides[i]);
    for (size_t i = 0; i < 2; i++) {
        if (!may_be(kind_of(sides[i]), CEL_BOOL))
            tell(c, sides[i]->at, "%s takes bools, not %s", op_spelling(node->op),
                 cel_kind_name(kind_of(sides[i])));
        else
            type_fits(&c->types, sides[i]->type, type_of(CEL_BOOL));
    }
    return type_of(CEL_BOOL);
}

/* Times: what `+` and `-` make of them; CEL_ERROR when nothing. A dyn may be what is missing. */
static enum cel_kind time_result(enum cel_op op, enum cel_kind a, enum cel_kind b)
{
    static const struct {
        enum cel_op op;
        enum cel_kind a, b, result;
    } rows[] = { { OP_ADD, CEL_TIMESTAMP, CEL_DURATION, CEL_TIMESTAMP },
                 { OP_ADD, CEL_DURATION, CEL_TIMESTAMP, CEL_TIMESTAMP },
                 { OP_SUB, CEL_TIMESTAMP, CEL_DURATION, CEL_TIMESTAMP },
                 { OP_SUB, CEL_TIMESTAMP, CEL_TIMESTAMP, CEL_DURATION } };
    enum cel_kind result = CEL_ERROR;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].op == op && may_be(a, rows[i].a) && may_be(b, rows[i].b))
            result = result == CEL_ERROR || result == rows[i].result ? rows[i].result : CEL_DYN;
    }
    return result;
}

static const struct cel_type *check_arithmetic(struct checker *c, struct node *node)
{
    unsigned kinds = operand_kinds[node->op];
    enum cel_kind a, b, time;

    check_node(c, node->a);
    check_node(c, node->b);
    widen_pair(c, node->a, node->b);
    a = kind_of(node->a);
    b = kind_of(node->b);
    if (a == CEL_DYN && b == CEL_DYN)
        return type_of(CEL_DYN);
    time = time_result(node->op, a, b);
    if (a == CEL_DYN || b == CEL_DYN) {
        enum cel_kind known = a == CEL_DYN ? b : a;

        return kinds & BIT(known) || time != CEL_ERROR ? type_of(CEL_DYN) : no_overload(c, node);
    }
    if (time != CEL_ERROR)
        return type_of(time);
    if (a != b || !(kinds & BIT(a))) {
        if (node->op == OP_MOD && a == CEL_DOUBLE) {
            tell(c, node->at, "no overload for double %% %s: int(...) makes ints", cel_kind_name(b));
            return type_of(CEL_DYN);
        }
        return no_overload(c, node);
    }
    if (a == CEL_LIST)
        return type_with(&c->types, CEL_LIST,
                         type_join(&c->types, type_param(node->a->type, 0), type_param(node->b->type, 0)),
                         NULL);
    return type_of(a);
}

static const struct cel_type *check_order(struct checker *c, struct node *node)
{
    enum cel_kind a, b;

    check_node(c, node->a);
    check_node(c, node->b);
    widen_literal_pair(c, node->a, node->b);
    a = kind_of(node->a);
    b = kind_of(node->b);
    if (!(a == CEL_DYN || b == CEL_DYN || (kind_is_number(a) && kind_is_number(b)) ||
          (a == b && operand_kinds[OP_LT] & BIT(a))))
        no_overload(c, node);
    return type_of(CEL_BOOL);
}

static bool are_comparable(struct checker *c, const struct cel_type *a, const struct cel_type *b)
{
    return (kind_is_number(type_kind(a)) && kind_is_number(type_kind(b))) ||
           (type_kind(a) == CEL_LIST && type_kind(b) == CEL_LIST) ||
           (type_kind(a) == CEL_MAP && type_kind(b) == CEL_MAP) || type_fits(&c->types, a, b);
}

static const struct cel_type *check_equality(struct checker *c, struct node *node)
{
    check_node(c, node->a);
    check_node(c, node->b);
    widen_literal_pair(c, node->a, node->b);
    if (!are_comparable(c, node->a->type, node->b->type))
        no_overload(c, node);
    return type_of(CEL_BOOL);
}

static const struct cel_type *check_in(struct checker *c, struct node *node)
{
    const struct cel_type *a = check_node(c, node->a), *b = check_node(c, node->b);
    enum cel_kind kind = type_kind(b);

    if (kind != CEL_DYN && kind != CEL_LIST && kind != CEL_MAP)
        no_overload(c, node);
    else if (kind != CEL_DYN && !are_comparable(c, a, type_param(b, 0)))
        tell(c, node->at, "a %s of %s never holds a %s", cel_kind_name(kind),
             cel_kind_name(type_kind(type_param(b, 0))), cel_kind_name(type_kind(a)));
    return type_of(CEL_BOOL);
}

static const struct cel_type *check_unary(struct checker *c, struct node *node)
{
    const struct cel_type *a = check_node(c, node->a);
    enum cel_kind kind = type_kind(a);

    if (node->op == OP_NOT) {
        if (!may_be(kind, CEL_BOOL))
            tell(c, node->at, "! takes a bool, not %s", cel_kind_name(kind));
        return type_of(CEL_BOOL);
    }
    if (kind != CEL_DYN && kind != CEL_INT && kind != CEL_DOUBLE) {
        tell(c, node->at, "no overload for -%s", cel_kind_name(kind));
        return type_of(CEL_DYN);
    }
    return a;
}

static const struct cel_type *check_ternary(struct checker *c, struct node *node)
{
    const struct cel_type *joined;
    enum cel_kind condition = type_kind(check_node(c, node->a)), b, d;
    size_t mark;

    check_node(c, node->b);
    check_node(c, node->c);
    if (!may_be(condition, CEL_BOOL))
        tell(c, node->a->at, "the condition of ?: is a bool, not %s", cel_kind_name(condition));
    widen_pair(c, node->b, node->c);
    b = kind_of(node->b);
    d = kind_of(node->c);
    mark = types_mark(&c->types);
    if (b == d || type_fits(&c->types, node->b->type, node->c->type)) {
        types_undo(&c->types, mark);
        joined = type_join(&c->types, node->b->type, node->c->type);
        return b == d && type_kind(joined) == CEL_DYN ? type_of(b) : joined;
    }
    tell(c, node->at, "both sides of ':' must be of one kind, not %s and %s", cel_kind_name(b),
         cel_kind_name(d));
    return type_of(CEL_DYN);
}

/* The type of an item that may stand behind a "?". */
static const struct cel_type *item_type(struct checker *c, const struct node *node, size_t i)
{
    const struct cel_type *type = node->items[i]->type;
    enum cel_kind kind = type_kind(type);

    if (!node->optional_items || !node->optional_items[i])
        return type;
    if (kind != CEL_OPTIONAL && kind != CEL_DYN)
        tell(c, node->items[i]->at, "behind '?' stands an optional, not a %s", cel_kind_name(kind));
    return kind == CEL_OPTIONAL ? type_param(type, 0) : type_of(CEL_DYN);
}

static const struct cel_type *check_list(struct checker *c, struct node *node)
{
    const struct cel_type *item = NULL;
    bool has_double = false;

    for (size_t i = 0; i < node->count; i++)
        has_double |= type_kind(check_node(c, node->items[i])) == CEL_DOUBLE;
    for (size_t i = 0; i < node->count; i++) {
        if (has_double && is_assay(c) && kind_of(node->items[i]) == CEL_INT)
            widen(node->items[i]);
        item = type_join(&c->types, item, item_type(c, node, i));
    }
    return type_with(&c->types, CEL_LIST, item ? item : type_open(&c->types), NULL);
}

static const struct cel_type *check_map(struct checker *c, struct node *node)
{
    const struct cel_type *key = NULL, *value = NULL;

    for (size_t i = 0; i < node->count; i += 2) {
        enum cel_kind kind = type_kind(check_node(c, node->items[i]));

        if (kind != CEL_DYN && !kind_is_key(kind))
            tell(c, node->items[i]->at, "a %s cannot be a key", cel_kind_name(kind));
        check_node(c, node->items[i + 1]);
        key = type_join(&c->types, key, node->items[i]->type);
        value = type_join(&c->types, value, item_type(c, node, i + 1));
    }
    return type_with(&c->types, CEL_MAP, key ? key : type_open(&c->types),
                     value ? value : type_open(&c->types));
}

/* ---- macros ---- */

/* Checks `body` where the variable is known. */
static const struct cel_type *check_within(struct checker *c, struct scope *scope, struct node *body)
{
    const struct cel_type *type;

    scope->outer = c->scope;
    c->scope = scope;
    type = check_node(c, body);
    c->scope = scope->outer;
    return type;
}

static const struct cel_type *check_bind(struct checker *c, struct node *node)
{
    struct scope scope = { .name = node->vars[0], .type = check_node(c, node->a), .local = c->locals++ };

    node->local = scope.local;
    return check_within(c, &scope, node->b);
}

static const struct cel_type *check_block(struct checker *c, struct node *node)
{
    const struct scope *outer = c->scope;
    struct scope scopes[BLOCK_MAX];
    const struct cel_type *type;

    node->local = c->locals;
    c->locals += (uint32_t)node->count;
    for (size_t i = 0; i < node->count; i++) {
        scopes[i] = (struct scope){ .outer = c->scope,
                                    .name = arena_printf(c->arena, "cel.index(%zu)", i),
                                    .local = node->local + (uint32_t)i };
        scopes[i].type = check_node(c, node->items[i]);
        c->scope = &scopes[i];
    }
    type = check_node(c, node->a);
    c->scope = outer;
    return type;
}

static const struct cel_type *check_opt_map(struct checker *c, struct node *node)
{
    struct scope scope = { .name = node->vars[0], .local = c->locals++ };
    const struct cel_type *of = check_node(c, node->a), *result;
    enum cel_kind kind = type_kind(of);

    node->local = scope.local;
    if (!may_be(kind, CEL_OPTIONAL))
        tell(c, node->at, "%.*s() is of an optional, not of a %s", SLICE_ARG(node->name),
             cel_kind_name(kind));
    scope.type = kind == CEL_OPTIONAL ? type_param(of, 0) : type_of(CEL_DYN);
    result = check_within(c, &scope, node->b);
    if (!node->is_flat)
        return type_with(&c->types, CEL_OPTIONAL, result, NULL);
    if (!may_be(type_kind(result), CEL_OPTIONAL))
        tell(c, node->b->at, "optFlatMap() gives an optional, not a %s", cel_kind_name(type_kind(result)));
    return type_kind(result) == CEL_OPTIONAL ? result : type_of(CEL_OPTIONAL);
}

/* The variables' types: an item; or its number and itself; or a key; or that and its value. */
static void variable_types(const struct node *node, const struct cel_type *of,
                           const struct cel_type *types[2])
{
    enum cel_kind kind = type_kind(of);

    types[0] = types[1] = type_of(CEL_DYN);
    if (kind == CEL_MAP) {
        types[0] = type_param(of, 0);
        types[1] = type_param(of, 1);
    } else if (kind == CEL_LIST && macro_variables(node->macro) == 2) {
        types[0] = type_of(CEL_INT);
        types[1] = type_param(of, 0);
    } else if (kind == CEL_LIST) {
        types[0] = type_param(of, 0);
    }
}

static void want_bool(struct checker *c, const struct node *node, const struct cel_type *type)
{
    if (node && !may_be(type_kind(type), CEL_BOOL))
        tell(c, node->at, "the condition of a macro is a bool, not %s", cel_kind_name(type_kind(type)));
}

static const struct cel_type *macro_type(struct checker *c, const struct node *node,
                                         const struct cel_type *of, const struct cel_type *key,
                                         const struct cel_type *body)
{
    switch (node->macro) {
    case MACRO_FILTER:
        return type_with(&c->types, CEL_LIST, key, NULL);
    case MACRO_MAP:
    case MACRO_TRANSFORM_LIST:
        return type_with(&c->types, CEL_LIST, body, NULL);
    case MACRO_TRANSFORM_MAP:
        return type_with(&c->types, CEL_MAP, key, body);
    case MACRO_TRANSFORM_ENTRY:
        if (!may_be(type_kind(body), CEL_MAP))
            tell(c, node->c->at, "transformMapEntry() makes maps, not %s", cel_kind_name(type_kind(body)));
        return type_kind(body) == CEL_MAP ? body : type_of(CEL_MAP);
    default:
        (void)of;
        return type_of(CEL_BOOL);
    }
}

static const struct cel_type *check_macro(struct checker *c, struct node *node)
{
    const struct cel_type *of = check_node(c, node->a), *types[2], *body, *result;
    enum cel_kind kind = type_kind(of);
    struct scope scopes[2];
    bool is_pair = macro_variables(node->macro) == 2,
         is_made = node->macro == MACRO_MAP || node->macro >= MACRO_TRANSFORM_LIST;

    if (kind != CEL_DYN && kind != CEL_LIST && kind != CEL_MAP)
        tell(c, node->at, "%s() goes over a list or a map, not over a %s", macro_name(node->macro),
             cel_kind_name(kind));
    variable_types(node, of, types);
    node->local = c->locals;
    c->locals += is_pair ? 2 : 1;
    scopes[0] =
        (struct scope){ .outer = c->scope, .name = node->vars[0], .type = types[0], .local = node->local };
    scopes[1] = (struct scope){
        .outer = &scopes[0], .name = node->vars[1], .type = types[1], .local = node->local + 1
    };
    c->scope = is_pair ? &scopes[1] : &scopes[0];
    if (node->b)
        want_bool(c, node->b, check_node(c, node->b));
    body = check_node(c, node->c);
    if (!is_made)
        want_bool(c, node->c, body);
    result = macro_type(c, node, of, types[0], body);
    c->scope = scopes[0].outer;
    return result;
}

/* ---- functions ---- */

static const char *argument_kinds(struct node *const *items, size_t count, char text[128])
{
    size_t len = 0;

    text[0] = 0;
    for (size_t i = 0; i < count && len < 100; i++)
        len +=
            (size_t)snprintf(text + len, 128 - len, "%s%s", i ? ", " : "", cel_kind_name(kind_of(items[i])));
    return text;
}

static bool count_fits(const struct builtin *b, size_t count)
{
    return b->arg_count == VARIADIC ? count >= 1 : b->arg_count == count;
}

/* How the arguments fit an overload: not, when ints are widened, when dyn turns out so, or exactly. */
enum fit { FIT_NONE, FIT_WIDENED, FIT_MAYBE, FIT_EXACT };

/* Of a function that takes numbers of any kind beside each other. */
static bool are_numbers(const struct checker *c, const struct node *call)
{
    for (size_t i = 0; i < call->count; i++) {
        if (!kind_is_number(kind_of(call->items[i])) && kind_of(call->items[i]) != CEL_DYN)
            return false;
    }
    return !is_assay(c);
}

/* *result is its type then. What is bound on the way stays. */
static enum fit fit(struct checker *c, const struct builtin *b, const struct node *call,
                    const struct cel_type **result)
{
    const struct cel_type *opened[2] = { NULL, NULL };
    const char *types = b->types;
    enum fit worst = FIT_EXACT;

    if (!count_fits(b, call->count) || (call->is_method ? !b->is_method : !b->is_global) ||
        (b->is_mixed && !are_numbers(c, call)))
        return FIT_NONE;
    *result = types ? type_parse(&c->types, &types, opened) : type_of(b->result);
    for (size_t i = 0; i < call->count; i++) {
        enum cel_kind want = b->args[b->arg_count == VARIADIC ? 0 : i], have = kind_of(call->items[i]);
        const struct cel_type *full = types ? type_parse(&c->types, &types, opened) : type_of(want);
        enum fit this = FIT_NONE;

        if (want == CEL_DYN || have == want)
            this = type_fits(&c->types, call->items[i]->type, full) ? FIT_EXACT : FIT_NONE;
        else if (have == CEL_DYN)
            this = FIT_MAYBE;
        else if (is_assay(c) && have == CEL_INT && want == CEL_DOUBLE)
            this = FIT_WIDENED;
        if (this < worst)
            worst = this;
    }
    return worst;
}

static bool are_solid(const struct node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        if (!node->items[i]->is_solid)
            return false;
    }
    return true;
}

static const struct cel_type *check_builtin(struct checker *c, struct node *node, const struct builtin *first,
                                            size_t overloads)
{
    const struct builtin *best = NULL;
    const struct cel_type *result = NULL, *best_result = NULL;
    enum fit best_fit = FIT_NONE;
    size_t maybes = 0, mark = types_mark(&c->types);
    char kinds[128];

    for (const struct builtin *b = first; b < first + overloads; b++) {
        enum fit this = fit(c, b, node, &result);

        types_undo(&c->types, mark);
        maybes += this == FIT_MAYBE;
        if (this > best_fit) {
            best = b;
            best_fit = this;
        }
    }
    if (best_fit == FIT_NONE) {
        tell(c, node->at, "%.*s does not take (%s)", SLICE_ARG(node->name),
             argument_kinds(node->items, node->count, kinds));
        return make_fault(node, CEL_FAULT_OVERLOAD);
    }
    if (best_fit == FIT_WIDENED) {
        for (size_t i = 0; i < node->count; i++) {
            if (kind_of(node->items[i]) == CEL_INT &&
                best->args[best->arg_count == VARIADIC ? 0 : i] == CEL_DOUBLE)
                widen(node->items[i]);
        }
        return check_builtin(c, node, first, overloads); /* as if they had been doubles from the start */
    }
    fit(c, best, node, &best_result); /* again, to keep what it binds */
    node->builtin = best;
    node->overloads = 0;
    /* Otherwise chosen when evaluated, among all of the name: also where there is but one, which must fit. */
    if (best_fit != FIT_EXACT || !are_solid(node)) {
        node->builtin = first;
        node->overloads = overloads;
    }
    return best_fit == FIT_EXACT || maybes == 1 ? best_result : type_of(CEL_DYN);
}

static const struct cel_type *check_caller_function(struct checker *c, struct node *node,
                                                    const struct cel_function *f)
{
    size_t number = (size_t)(f - c->env->functions);
    const struct cel_signature *full = c->env->signatures ? &c->env->signatures[number] : NULL;
    struct opened_params opened = { .count = 0 };
    bool is_fit = node->count == f->arg_count && !node->is_method;
    char kinds[128];

    for (size_t i = 0; is_fit && i < node->count; i++) {
        if (is_assay(c) && f->args[i] == CEL_DOUBLE && kind_of(node->items[i]) == CEL_INT)
            widen(node->items[i]);
        is_fit = full ? type_fits(&c->types, node->items[i]->type,
                                  type_instance(&c->types, full->args[i], &opened))
                      : may_be(kind_of(node->items[i]), f->args[i]);
    }
    if (!is_fit) {
        tell(c, node->at, "%s does not take (%s)", f->name, argument_kinds(node->items, node->count, kinds));
        return make_fault(node, CEL_FAULT_OVERLOAD);
    }
    node->function = (uint32_t)number;
    return full ? type_instance(&c->types, full->result, &opened) : type_of(f->result);
}

/* "math.abs(x)" is parsed as a method of a name `math`; when such a function exists it is just that. */
static void unmethod(struct checker *c, struct node *node)
{
    char buffer[NAME_MAX_BYTES];
    const struct builtin *first;
    struct slice name;
    size_t len;

    if (!node->is_method || chain_root(node->items[0])->kind != NODE_NAME ||
        scope_find(c, chain_root(node->items[0])))
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

static bool is_function(struct checker *c, struct slice full, void *out)
{
    const struct cel_function **found = out;

    for (size_t i = 0; i < c->env->function_count; i++) {
        if (slice_eq_str(full, c->env->functions[i].name)) {
            *found = &c->env->functions[i];
            return true;
        }
    }
    return false;
}

static const struct cel_type *check_call(struct checker *c, struct node *node)
{
    const struct cel_function *function = NULL;
    const struct builtin *first;
    size_t overloads;

    unmethod(c, node);
    for (size_t i = 0; i < node->count; i++)
        check_node(c, node->items[i]);
    if (in_containers(c, node->name, false, is_function, &function))
        return check_caller_function(c, node, function);
    overloads = builtin_find(node->name, c->env->dialect, &first);
    if (overloads)
        return check_builtin(c, node, first, overloads);
    tell(c, node->at, "unknown function '%.*s'", SLICE_ARG(node->name));
    return make_fault(node, CEL_FAULT_NAME);
}

/* A pattern that is written down is compiled once, and told when it is none. */
static void check_pattern(struct checker *c, struct node *node)
{
    const char *what;

    if (node->kind != NODE_CALL || !node->builtin || !slice_eq_str(node->name, "matches") ||
        node->count != 2 || node->items[1]->kind != NODE_LITERAL ||
        node->items[1]->value.kind != CEL_STRING || c->env->is_unchecked)
        return;
    if (!regex_compile(&node->regex, node->items[1]->value.s, c->arena, &what))
        tell(c, node->items[1]->at, "not a regular expression: %s", what);
}

/* ---- the walk ---- */

static const struct cel_type *check_binary(struct checker *c, struct node *node)
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

/* Whether what comes out is of the type that is told, or an error: a list that the caller filled may hold
 * anything, whatever its type says. */
static bool is_solid(const struct node *node)
{
    switch (node->kind) {
    case NODE_LITERAL:
    case NODE_NAME:
    case NODE_HAS:
    case NODE_LIST:
    case NODE_MAP:
        return true;
    case NODE_UNARY:
        return node->a->is_solid;
    case NODE_BINARY:
        return (node->op >= OP_OR && node->op <= OP_IN) || (node->a->is_solid && node->b->is_solid);
    case NODE_TERNARY:
        return node->b->is_solid && node->c->is_solid;
    case NODE_CALL:
        return node->builtin && node->builtin->result != CEL_DYN && node->overloads == 0;
    default:
        return false;
    }
}

enum { CONSTANT_PAIRS_MAX = 256 }; /* a larger map is made when it is evaluated, where looking costs steps */

static bool is_constant(const struct node *node)
{
    if (node->kind == NODE_LITERAL)
        return true;
    if ((node->kind != NODE_LIST && node->kind != NODE_MAP) || node->optional_items ||
        (node->kind == NODE_MAP && node->count > 2 * CONSTANT_PAIRS_MAX))
        return false;
    for (size_t i = 0; i < node->count; i++) {
        if (!node->items[i]->is_constant)
            return false;
    }
    return true;
}

static const struct cel_type *check_node(struct checker *c, struct node *node)
{
    switch (node->kind) {
    case NODE_LITERAL:
        node->type = type_of(node->value.kind);
        break;
    case NODE_NAME:
    case NODE_SELECT:
        node->type = check_select(c, node);
        break;
    case NODE_INDEX:
        node->type = check_index(c, node);
        break;
    case NODE_LIST:
        node->type = check_list(c, node);
        break;
    case NODE_MAP:
        node->type = check_map(c, node);
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
        check_pattern(c, node);
        break;
    case NODE_HAS:
        node->type = check_has(c, node);
        break;
    case NODE_MACRO:
        node->type = check_macro(c, node);
        break;
    case NODE_BIND:
        node->type = check_bind(c, node);
        break;
    case NODE_BLOCK:
        node->type = check_block(c, node);
        break;
    case NODE_OPT_MAP:
        node->type = check_opt_map(c, node);
        break;
    case NODE_LOCAL:
    case NODE_FAULT:
        break;
    }
    node->is_solid = is_solid(node);
    node->is_constant = is_constant(node);
    return node->type;
}

enum err check(struct node *root, const struct cel_env *env, struct use_list *uses, uint32_t *locals,
               struct arena *arena, struct faults *faults)
{
    struct checker c = {
        .env = env, .uses = uses, .arena = arena, .faults = faults, .types = { .arena = arena }
    };
    const struct cel_type *type = check_node(&c, root);

    if (is_assay(&c) && env->result == CEL_DOUBLE && type_kind(type) == CEL_INT)
        widen(root);
    if (faults->count == 0 && !may_be(kind_of(root), env->result))
        fault_add(faults, root->at, "this is a %s, where a %s is wanted", cel_kind_name(kind_of(root)),
                  cel_kind_name(env->result));
    root->type = type_final(&c.types, root->type);
    if (c.types.work > TYPES_WORK_MAX)
        fault_add(faults, root->at, "the types are too large");
    *locals = c.locals;
    types_release(&c.types);
    return faults->count ? ERR_INVALID : ERR_OK;
}
