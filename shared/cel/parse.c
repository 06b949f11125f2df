/* SPDX-License-Identifier: Apache-2.0
 * parse.c - tokens to a tree, by recursive descent for what nests and by precedence for what chains.
 *
 *   Expr    = Or ["?" Or ":" Expr]
 *   Or..Mul = binary operators, all to the left, by the precedences in ast.h
 *   Unary   = {"!"} Member | {"-"} Member
 *   Member  = Primary {"." name ["(" args ")"] | "[" Expr "]"}
 *   Primary = ["."] name ["(" args ")"] | "(" Expr ")" | "[" args [","] "]" | literal */
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

/* Items up to `close`, which is taken too; `first` goes before them when it is there. */
static struct node *parse_items(struct parser *p, struct node *into, struct node *first, enum cel_op close,
                                const char *wanted)
{
    struct node **items = NULL;
    size_t count = 0, cap = 0;
    struct node *result = into;

    if (first) {
        ARRAY_RESERVE_ONE(items, count, cap);
        items[count++] = first;
        result = node_deepen(p, into, first);
    }
    while (result && !is_op(p, close)) {
        struct node *item = parse_expr(p);

        if (!item) {
            result = NULL;
            break;
        }
        ARRAY_RESERVE_ONE(items, count, cap);
        items[count++] = item;
        result = node_deepen(p, into, item);
        if (result && !take(p, OP_COMMA)) {
            if (!is_op(p, close))
                result = refuse_token(p, wanted);
            break;
        }
        /* A comma may stand behind the last item of a list, not of a call. */
        if (close == OP_CLOSE && is_op(p, close))
            result = refuse_token(p, "another argument");
    }
    if (result && !expect(p, close, wanted))
        result = NULL;
    if (result) {
        into->items = arena_new(p->arena, struct node *, count + 1);
        if (count)
            memcpy(into->items, items, count * sizeof *items);
        into->count = count;
    }
    mem_free(items);
    return result;
}

static bool is_nameable(const struct node *node)
{
    return node->kind == NODE_SELECT || node->kind == NODE_NAME ||
           (node->kind == NODE_INDEX && node->b->kind == NODE_LITERAL && node->b->value.kind == CEL_STRING);
}

static struct node *parse_call(struct parser *p, struct slice name, size_t at, struct node *receiver)
{
    struct node *call = node_new(p, NODE_CALL, at);

    call->name = name;
    call->is_method = receiver != NULL;
    if (!parse_items(p, call, receiver, OP_CLOSE, "')'"))
        return NULL;
    if (receiver || !slice_eq_str(name, "has"))
        return call;
    if (call->count != 1 || !is_nameable(call->items[0]))
        return refuse(p, at, "has() takes one field");
    call->kind = NODE_HAS;
    call->a = call->items[0];
    return call;
}

static struct node *parse_primary(struct parser *p)
{
    struct token token = p->token;
    struct node *node;

    if (take(p, OP_OPEN)) {
        node = parse_expr(p);
        return node && expect(p, OP_CLOSE, "')'") ? node : NULL;
    }
    if (take(p, OP_OPEN_LIST))
        return node_spans(p, parse_items(p, node_new(p, NODE_LIST, token.at), NULL, OP_CLOSE_LIST, "']'"),
                          token.at);
    if (is_op(p, OP_OPEN_MAP))
        return refuse(p, token.at, "maps have no place here");
    if (token.kind == TOKEN_LITERAL) {
        advance(p, false);
        node = node_new(p, NODE_LITERAL, token.at);
        node->value = token.value;
        return node_spans(p, node, token.at);
    }
    take(p, OP_DOT); /* a name from the root; there is only the root here */
    token = p->token;
    if (token.kind != TOKEN_NAME)
        return refuse_token(p, "a value");
    if (token.is_reserved)
        return refuse(p, token.at, "this word is reserved");
    advance(p, false);
    if (take(p, OP_OPEN))
        return node_spans(p, parse_call(p, token.name, token.at, NULL), token.at);
    if (is_op(p, OP_OPEN_MAP))
        return refuse(p, p->token.at, "messages cannot be made here");
    node = node_new(p, NODE_NAME, token.at);
    node->name = token.name;
    return node_spans(p, node, token.at);
}

static struct node *parse_member(struct parser *p)
{
    size_t from = p->token.at;
    struct node *node = parse_primary(p), *next;

    while (node) {
        size_t at = p->token.at;

        if (take(p, OP_DOT)) {
            struct token name = p->token;

            if (name.kind != TOKEN_NAME)
                return refuse_token(p, "a field's name");
            advance(p, false);
            if (take(p, OP_OPEN)) {
                node = node_spans(p, parse_call(p, name.name, name.at, node), from);
                continue;
            }
            next = node_new(p, NODE_SELECT, name.at);
            next->name = name.name;
            next->a = node;
        } else if (take(p, OP_OPEN_LIST)) {
            next = node_new(p, NODE_INDEX, at);
            next->a = node;
            next->b = parse_expr(p);
            if (!next->b || !expect(p, OP_CLOSE_LIST, "']'") || !node_deepen(p, next, next->b))
                return NULL;
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
