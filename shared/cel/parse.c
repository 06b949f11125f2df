/* SPDX-License-Identifier: Apache-2.0
 * parse.c - tokens to a tree, by recursive descent for what nests and by precedence for what chains.
 *
 *   Expr    = Or ["?" Or ":" Expr]
 *   Or..Mul = binary operators, all to the left, by the precedences in ast.h
 *   Unary   = {"!"} Member | {"-"} Member
 *   Member  = Primary {"." ["?"] name | "." name "(" args ")" | "[" ["?"] Expr "]"}
 *   Primary = ["."] name ["(" args ")"] | "(" Expr ")" | literal
 *           | "[" ["?"] Expr ... [","] "]" | "{" ["?"] Expr ":" Expr ... [","] "}"
 *
 * Macros become nodes of their own here, by their names and the number of their arguments. */
#include "cel/ast.h"

#include "base/array.h"

struct parser {
    struct lexer lexer;
    struct token token; /* the next one, not yet used */
    size_t end;         /* of the last one that was used */
    struct arena *arena;
    struct faults *faults;
    int depth;
    size_t nodes;
};

static struct node *parse_expr(struct parser *p);

static void advance(struct parser *p, bool is_negative)
{
    p->end = p->token.end;
    p->token = lex_next(&p->lexer, is_negative);
}

static bool is_op(const struct parser *p, enum cel_op op)
{
    return p->token.kind == TOKEN_SYMBOL && p->token.op == op;
}

static bool take(struct parser *p, enum cel_op op)
{
    if (!is_op(p, op))
        return false;
    advance(p, false);
    return true;
}

/* Every failure leads here once; NULL travels up. A lexical fault was told already. */
static struct node *refuse(struct parser *p, size_t at, const char *sentence)
{
    if (p->faults->count == 0)
        fault_add(p->faults, at, "%s", sentence);
    return NULL;
}

static struct node *refuse_token(struct parser *p, const char *wanted)
{
    if (p->faults->count == 0) {
        if (p->token.kind == TOKEN_END)
            fault_add(p->faults, p->token.at, "the text ends where %s should stand", wanted);
        else
            fault_add(p->faults, p->token.at, "%s should stand here", wanted);
    }
    return NULL;
}

static bool expect(struct parser *p, enum cel_op op, const char *wanted)
{
    if (take(p, op))
        return true;
    refuse_token(p, wanted);
    return false;
}

static struct node *node_new(struct parser *p, enum node_kind kind, size_t at)
{
    struct node *node = arena_new(p->arena, struct node, 1);

    node->kind = kind;
    node->at = (uint32_t)at;
    node->depth = 1;
    node->from = node->at;
    node->to = (uint32_t)p->token.end;
    node->id = (uint32_t)p->nodes++;
    return node;
}

static struct node *node_deepen(struct parser *p, struct node *node, const struct node *child)
{
    if (child && child->depth >= node->depth)
        node->depth = child->depth + 1;
    if (node->depth > TREE_DEPTH_MAX || p->nodes > NODES_MAX)
        return refuse(p, node->at, "the expression is too large");
    return node;
}

/* What has been read from `from` on is the node's text. */
static struct node *node_spans(const struct parser *p, struct node *node, size_t from)
{
    if (node) {
        node->from = (uint32_t)from;
        node->to = (uint32_t)p->end;
    }
    return node;
}

static bool enter(struct parser *p)
{
    if (++p->depth <= CEL_DEPTH_MAX)
        return true;
    refuse(p, p->token.at, "too many levels of nesting");
    return false;
}

/* What is between brackets, collected. */
struct items {
    struct node **nodes;
    bool *optional;
    size_t count, cap, optional_cap;
    bool has_optional;
};

static void items_add(struct items *items, struct node *node, bool is_optional)
{
    size_t count = items->count;

    ARRAY_RESERVE_ONE(items->nodes, items->count, items->cap);
    ARRAY_RESERVE_ONE(items->optional, count, items->optional_cap);
    items->nodes[items->count] = node;
    items->optional[items->count++] = is_optional;
    items->has_optional |= is_optional;
}

/* Gives them to the node, or NULL to nobody. */
static struct node *items_end(struct parser *p, struct items *items, struct node *into, bool is_good)
{
    if (is_good) {
        into->items = arena_new(p->arena, struct node *, items->count + 1);
        if (items->count)
            memcpy(into->items, items->nodes, items->count * sizeof *into->items);
        into->count = items->count;
        if (items->has_optional) {
            into->optional_items = arena_new(p->arena, bool, items->count);
            memcpy(into->optional_items, items->optional, items->count * sizeof(bool));
        }
    }
    mem_free(items->nodes);
    mem_free(items->optional);
    return is_good ? into : NULL;
}

/* One item: an expression, or in a map a key and its value. */
static bool parse_item(struct parser *p, struct items *items, struct node *into, enum cel_op close)
{
    bool is_optional = close != OP_CLOSE && take(p, OP_QUESTION);
    struct node *item = parse_expr(p);

    if (!item)
        return false;
    items_add(items, item, is_optional);
    if (!node_deepen(p, into, item))
        return false;
    if (close != OP_CLOSE_MAP)
        return true;
    if (!expect(p, OP_COLON, "':'") || !(item = parse_expr(p)))
        return false;
    items_add(items, item, is_optional);
    return node_deepen(p, into, item);
}

/* Items up to `close`, which is taken too; `first` goes before them when it is there. */
static struct node *parse_items(struct parser *p, struct node *into, struct node *first, enum cel_op close,
                                const char *wanted)
{
    struct items items = { 0 };
    bool is_good = true;

    if (first) {
        items_add(&items, first, false);
        is_good = node_deepen(p, into, first);
    }
    while (is_good && !is_op(p, close)) {
        is_good = parse_item(p, &items, into, close);
        if (is_good && !take(p, OP_COMMA)) {
            if (!is_op(p, close))
                is_good = refuse_token(p, wanted);
            break;
        }
        /* A comma may stand behind the last item of a list, not of a call. */
        if (is_good && close == OP_CLOSE && is_op(p, close))
            is_good = refuse_token(p, "another argument");
    }
    return items_end(p, &items, into, is_good && expect(p, close, wanted));
}

/* ---- macros ---- */

static const struct {
    const char *name;
    int variables;
    size_t least, most;
} macros[] = {
#define CEL_MACRO_ROW(macro, name, variables, least, most) [macro] = { name, variables, least, most },
    CEL_MACROS(CEL_MACRO_ROW)
#undef CEL_MACRO_ROW
};

const char *macro_name(enum macro macro)
{
    return macros[macro].name;
}

int macro_variables(enum macro macro)
{
    return macros[macro].variables;
}

static bool is_nameable(const struct node *node)
{
    return node->kind == NODE_SELECT || node->kind == NODE_NAME ||
           (node->kind == NODE_INDEX && node->b->kind == NODE_LITERAL && node->b->value.kind == CEL_STRING);
}

/* Whether the call is of a name's method: cel.bind(...). */
static bool is_call_of(const struct node *call, const char *receiver, const char *name)
{
    return call->kind == NODE_CALL && call->is_method && slice_eq_str(call->name, name) &&
           call->items[0]->kind == NODE_NAME && slice_eq_str(call->items[0]->name, receiver);
}

static bool small_number(const struct node *node)
{
    return node->kind == NODE_LITERAL && node->value.kind == CEL_INT && node->value.i >= 0 &&
           node->value.i < BLOCK_MAX;
}

/* The variable that an argument names; cel.iterVar(0, 1) is one too, and cel.index(3) when it is used. */
static bool variable_of(struct parser *p, const struct node *node, struct slice *name)
{
    if (node->kind == NODE_NAME && !node->is_root) {
        *name = node->name;
        return true;
    }
    if (is_call_of(node, "cel", "iterVar") && node->count == 3 && small_number(node->items[1]) &&
        small_number(node->items[2])) {
        *name = arena_printf(p->arena, "cel.iterVar(%d, %d)", (int)node->items[1]->value.i,
                             (int)node->items[2]->value.i);
        return true;
    }
    return false;
}

/* "cel.index(3)" and "cel.iterVar(0, 1)" become names that nothing else is called by. */
static struct node *parse_block_name(struct parser *p, struct node *call)
{
    struct slice name = { 0 };

    if (is_call_of(call, "cel", "index") && call->count == 2 && small_number(call->items[1]))
        name = arena_printf(p->arena, "cel.index(%d)", (int)call->items[1]->value.i);
    else if (!variable_of(p, call, &name))
        return call;
    call->kind = NODE_NAME;
    call->name = name;
    call->items = NULL;
    call->count = 0;
    return call;
}

static struct node *make_macro(struct parser *p, struct node *call, enum macro macro)
{
    int variables = macros[macro].variables;
    size_t behind = call->count - 1 - (size_t)variables;

    for (int i = 0; i < variables; i++) {
        if (!variable_of(p, call->items[1 + i], &call->vars[i]))
            return refuse(p, call->items[1 + i]->from, "a macro's variable is a plain name");
    }
    if (variables == 2 && slice_eq(call->vars[0], call->vars[1]))
        return refuse(p, call->items[2]->from, "both variables have one name");
    call->kind = NODE_MACRO;
    call->macro = macro;
    call->a = call->items[0];
    call->b = behind == 2 ? call->items[1 + variables] : NULL;
    call->c = call->items[call->count - 1];
    call->items = NULL;
    call->count = 0;
    return call;
}

static struct node *make_bind(struct parser *p, struct node *call)
{
    if (call->count != 4)
        return refuse(p, call->at, "cel.bind() takes a name, its value and an expression");
    if (!variable_of(p, call->items[1], &call->vars[0]))
        return refuse(p, call->items[1]->from, "a macro's variable is a plain name");
    call->kind = NODE_BIND;
    call->a = call->items[2];
    call->b = call->items[3];
    call->items = NULL;
    call->count = 0;
    return call;
}

static struct node *make_block(struct parser *p, struct node *call)
{
    const struct node *list;

    if (call->count != 3 || call->items[1]->kind != NODE_LIST || call->items[1]->optional_items ||
        call->items[1]->count > BLOCK_MAX)
        return refuse(p, call->at, "cel.block() takes a list of at most 64 expressions and another one");
    list = call->items[1];
    call->kind = NODE_BLOCK;
    call->a = call->items[2];
    call->items = list->items;
    call->count = list->count;
    return call;
}

static struct node *make_opt_map(struct parser *p, struct node *call)
{
    if (call->count != 3)
        return refuse(p, call->at, "optMap() and optFlatMap() take a name and an expression");
    if (!variable_of(p, call->items[1], &call->vars[0]))
        return refuse(p, call->items[1]->from, "a macro's variable is a plain name");
    call->kind = NODE_OPT_MAP;
    call->is_flat = slice_eq_str(call->name, "optFlatMap");
    call->a = call->items[0];
    call->b = call->items[2];
    call->items = NULL;
    call->count = 0;
    return call;
}

/* Makes of the call what it stands for. A name with another number of arguments is no macro. */
static struct node *expand(struct parser *p, struct node *call)
{
    if (is_call_of(call, "cel", "bind"))
        return make_bind(p, call);
    if (is_call_of(call, "cel", "block"))
        return make_block(p, call);
    if (is_call_of(call, "cel", "index") || is_call_of(call, "cel", "iterVar"))
        return parse_block_name(p, call);
    if (slice_eq_str(call->name, "optMap") || slice_eq_str(call->name, "optFlatMap"))
        return make_opt_map(p, call);
    for (enum macro macro = 0; macro < MACRO_COUNT; macro++) {
        size_t behind = call->count - 1 - (size_t)macros[macro].variables;

        if (!slice_eq_str(call->name, macros[macro].name) || call->count <= (size_t)macros[macro].variables ||
            behind < macros[macro].least || behind > macros[macro].most)
            continue;
        /* map(x, y, z) is with a filter; all(x, y, z) has two variables. */
        return make_macro(p, call, macro);
    }
    return call;
}

static struct node *parse_call(struct parser *p, struct slice name, size_t at, struct node *receiver)
{
    struct node *call = node_new(p, NODE_CALL, at);

    call->name = name;
    call->is_method = receiver != NULL;
    if (!parse_items(p, call, receiver, OP_CLOSE, "')'"))
        return NULL;
    if (receiver)
        return expand(p, call);
    if (!slice_eq_str(name, "has"))
        return call;
    if (call->count != 1 || !is_nameable(call->items[0]))
        return refuse(p, at, "has() takes one field");
    call->kind = NODE_HAS;
    call->a = call->items[0];
    call->count = 0;
    return call;
}

/* ---- what everything is made of ---- */

static struct node *parse_primary(struct parser *p)
{
    struct token token = p->token;
    size_t from = token.at;
    struct node *node;
    bool is_root;

    if (take(p, OP_OPEN)) {
        node = parse_expr(p);
        return node && expect(p, OP_CLOSE, "')'") ? node : NULL;
    }
    if (take(p, OP_OPEN_LIST))
        return node_spans(p, parse_items(p, node_new(p, NODE_LIST, token.at), NULL, OP_CLOSE_LIST, "']'"),
                          token.at);
    if (take(p, OP_OPEN_MAP))
        return node_spans(p, parse_items(p, node_new(p, NODE_MAP, token.at), NULL, OP_CLOSE_MAP, "'}'"),
                          token.at);
    if (token.kind == TOKEN_LITERAL) {
        advance(p, false);
        node = node_new(p, NODE_LITERAL, token.at);
        node->value = token.value;
        return node_spans(p, node, token.at);
    }
    is_root = take(p, OP_DOT);
    token = p->token;
    if (token.kind != TOKEN_NAME || token.is_quoted)
        return refuse_token(p, "a value");
    if (token.is_reserved)
        return refuse(p, token.at, "this word is reserved");
    advance(p, false);
    if (take(p, OP_OPEN))
        return node_spans(p, parse_call(p, token.name, token.at, NULL), from);
    node = node_new(p, NODE_NAME, token.at);
    node->name = token.name;
    node->is_root = is_root;
    return node_spans(p, node, from);
}

/* a.b.c, which a message's fields may follow. */
static bool is_type_name(const struct node *node)
{
    while (node->kind == NODE_SELECT && !node->is_optional)
        node = node->a;
    return node->kind == NODE_NAME;
}

static struct node *parse_member(struct parser *p)
{
    size_t from = p->token.at;
    struct node *node = parse_primary(p), *next;

    while (node) {
        size_t at = p->token.at;

        if (take(p, OP_DOT)) {
            bool is_optional = take(p, OP_QUESTION);
            struct token name = p->token;

            if (name.kind != TOKEN_NAME)
                return refuse_token(p, "a field's name");
            advance(p, false);
            if (!is_optional && !name.is_quoted && take(p, OP_OPEN)) {
                node = node_spans(p, parse_call(p, name.name, name.at, node), from);
                continue;
            }
            next = node_new(p, NODE_SELECT, name.at);
            next->name = name.name;
            next->is_optional = is_optional;
            next->is_quoted = name.is_quoted;
            next->a = node;
        } else if (take(p, OP_OPEN_LIST)) {
            next = node_new(p, NODE_INDEX, at);
            next->is_optional = take(p, OP_QUESTION);
            next->a = node;
            next->b = parse_expr(p);
            if (!next->b || !expect(p, OP_CLOSE_LIST, "']'") || !node_deepen(p, next, next->b))
                return NULL;
        } else if (is_op(p, OP_OPEN_MAP) && is_type_name(node)) {
            return refuse(p, at, "messages cannot be made here");
        } else {
            break;
        }
        node = node_spans(p, node_deepen(p, next, next->a), from);
    }
    return node;
}

static struct node *parse_unary(struct parser *p)
{
    size_t at = p->token.at;
    enum cel_op op = p->token.op;
    struct node *node, *operand;

    if (!is_op(p, OP_NOT) && !is_op(p, OP_SUB))
        return parse_member(p);
    if (!enter(p))
        return NULL;
    if (op == OP_SUB) {
        size_t behind = p->token.end;

        advance(p, true);
        if (p->token.kind == TOKEN_LITERAL && p->token.at == behind && kind_is_number(p->token.value.kind)) {
            p->depth--;
            p->token.at = at;
            return parse_member(p);
        }
        if (p->token.kind == TOKEN_LITERAL && kind_is_number(p->token.value.kind)) {
            /* "- 5": the number was read with the sign, which stays an operator here. */
            p->lexer.at = p->token.at;
            advance(p, false);
        }
    } else {
        advance(p, false);
    }
    operand = is_op(p, op) ? parse_unary(p) : parse_member(p);
    p->depth--;
    if (!operand)
        return NULL;
    node = node_new(p, NODE_UNARY, at);
    node->op = op;
    node->a = operand;
    return node_spans(p, node_deepen(p, node, operand), at);
}

static struct node *parse_binary(struct parser *p, int least)
{
    size_t from = p->token.at;
    struct node *left = parse_unary(p);

    while (left && p->token.kind == TOKEN_SYMBOL && op_precedence(p->token.op) >= least) {
        struct token op = p->token;
        struct node *node;

        advance(p, false);
        node = node_new(p, NODE_BINARY, op.at);
        node->op = op.op;
        node->a = left;
        node->b = parse_binary(p, op_precedence(op.op) + 1);
        if (!node->b || !node_deepen(p, node, node->a))
            return NULL;
        left = node_spans(p, node_deepen(p, node, node->b), from);
    }
    return left;
}

static struct node *parse_expr(struct parser *p)
{
    struct node *node, *choice;
    size_t at, from = p->token.at;

    if (!enter(p))
        return NULL;
    node = parse_binary(p, 1);
    at = p->token.at;
    if (node && take(p, OP_QUESTION)) {
        choice = node_new(p, NODE_TERNARY, at);
        choice->a = node;
        choice->b = parse_binary(p, 1);
        if (!choice->b || !expect(p, OP_COLON, "':'"))
            return NULL;
        choice->c = parse_expr(p);
        if (!choice->c || !node_deepen(p, choice, choice->a) || !node_deepen(p, choice, choice->b))
            return NULL;
        node = node_spans(p, node_deepen(p, choice, choice->c), from);
    }
    p->depth--;
    return node;
}

enum err parse(struct node **out, uint32_t *node_count, struct slice text, struct arena *arena,
               struct faults *faults)
{
    struct parser p = { .lexer = { .text = text, .arena = arena, .faults = faults },
                        .arena = arena,
                        .faults = faults };

    *out = NULL;
    *node_count = 0;
    advance(&p, false);
    *out = parse_expr(&p);
    if (*out && p.token.kind != TOKEN_END)
        *out = refuse_token(&p, "an operator");
    if (faults->count) /* also a lexical fault behind what could be read */
        *out = NULL;
    *node_count = (uint32_t)p.nodes;
    return *out ? ERR_OK : ERR_SYNTAX;
}
