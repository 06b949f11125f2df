/* SPDX-License-Identifier: Apache-2.0
 * ast.h - inside cel/: tokens, the tree that the parser makes and the checker completes, and how faults are
 * told.
 *
 *   text -- lex.c --> tokens -- parse.c --> tree -- check.c --> tree with kinds and slots -- emit.c --> program
 */
#ifndef ASSAY_CEL_AST_H
#define ASSAY_CEL_AST_H

#include "cel/cel.h"

/* ---- faults ---- */

struct faults {
    struct slice text;
    struct why *why;
    size_t count;
};

/* Adds a fault at byte `at` to why->text: the sentence, the line and a caret. The first three are shown. */
void fault_add(struct faults *faults, size_t at, const char *format, ...) PRINTF_LIKE(3, 4);

/* ---- tokens ---- */

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_LITERAL,
    TOKEN_SYMBOL, /* op says which */
};

/* X(name, spelling, precedence): binary operators bind tighter the higher; 0 is no binary operator. */
#define CEL_OPS(X)                                                                                           \
    X(OP_NONE, "", 0)                                                                                        \
    X(OP_OR, "||", 1)                                                                                        \
    X(OP_AND, "&&", 2)                                                                                       \
    X(OP_LE, "<=", 3)                                                                                        \
    X(OP_LT, "<", 3)                                                                                         \
    X(OP_GE, ">=", 3)                                                                                        \
    X(OP_GT, ">", 3)                                                                                         \
    X(OP_EQ, "==", 3)                                                                                        \
    X(OP_NE, "!=", 3)                                                                                        \
    X(OP_IN, "in", 3)                                                                                        \
    X(OP_ADD, "+", 4)                                                                                        \
    X(OP_SUB, "-", 4)                                                                                        \
    X(OP_MUL, "*", 5)                                                                                        \
    X(OP_DIV, "/", 5)                                                                                        \
    X(OP_MOD, "%", 5)                                                                                        \
    X(OP_NOT, "!", 0)                                                                                        \
    X(OP_QUESTION, "?", 0)                                                                                   \
    X(OP_COLON, ":", 0)                                                                                      \
    X(OP_COMMA, ",", 0)                                                                                      \
    X(OP_DOT, ".", 0)                                                                                        \
    X(OP_OPEN, "(", 0)                                                                                       \
    X(OP_CLOSE, ")", 0)                                                                                      \
    X(OP_OPEN_LIST, "[", 0)                                                                                  \
    X(OP_CLOSE_LIST, "]", 0)                                                                                 \
    X(OP_OPEN_MAP, "{", 0)                                                                                   \
    X(OP_CLOSE_MAP, "}", 0)

enum cel_op {
#define CEL_OP_ENUM(op, spelling, precedence) op,
    CEL_OPS(CEL_OP_ENUM)
#undef CEL_OP_ENUM
        OP_COUNT
};
const char *op_spelling(enum cel_op op);
int op_precedence(enum cel_op op);

struct token {
    enum token_kind kind;
    enum cel_op op;
    size_t at, end;         /* bytes in the text */
    struct slice name;      /* TOKEN_NAME */
    bool is_reserved;       /* TOKEN_NAME: only a field may be called so */
    struct cel_value value; /* TOKEN_LITERAL */
};

/* true, false, null and in: never a name. */
bool word_is_keyword(struct slice word);

struct lexer {
    struct slice text;
    size_t at;
    struct arena *arena; /* for strings */
    char *scratch;       /* the string that is being read */
    struct faults *faults;
};

/* The next token; on a fault it is added, and the token is TOKEN_END. `is_negative`: a minus stands directly
 * before, and a number is read with it (so that the least int can be written). */
struct token lex_next(struct lexer *lexer, bool is_negative);

/* ---- the tree ---- */

enum node_kind {
    NODE_LITERAL, /* value */
    NODE_NAME,    /* name; after the check: slot */
    NODE_SELECT,  /* a.name */
    NODE_INDEX,   /* a[b] */
    NODE_LIST,    /* items */
    NODE_UNARY,   /* op a */
    NODE_BINARY,  /* a op b */
    NODE_TERNARY, /* a ? b : c */
    NODE_CALL,    /* name(items), or items[0].name(items[1..]) when is_method */
    NODE_HAS,     /* has(a) */
};

struct type {
    enum cel_kind kind, item; /* item: of a list */
};

enum { NAME_MAX_BYTES = 256, TREE_DEPTH_MAX = 1000, NODES_MAX = 8192 };

struct node {
    enum node_kind kind;
    enum cel_op op;
    bool is_method;
    bool is_widened;   /* an int that the checker makes a double */
    uint32_t at;       /* where a fault in it is shown */
    uint32_t from, to; /* its bytes in the text */
    uint32_t id;       /* below the program's node_count */
    uint32_t depth;    /* of the tree below, itself included */
    uint32_t slot;
    struct type type;
    struct slice name;
    struct cel_value value;
    struct node *a, *b, *c;
    struct node **items;
    size_t count;
    const struct builtin
        *builtin; /* NODE_CALL: the one that fits, or the first of `overloads` that may, or NULL and: */
    size_t overloads;
    uint32_t function; /* ... the number of the caller's function */
};

/* Parses the whole text; *node_count is how many nodes were numbered. ERR_SYNTAX with *why filled. */
MUST_USE enum err parse(struct node **out, uint32_t *node_count, struct slice text, struct arena *arena,
                        struct faults *faults);

/* ---- functions ---- */

enum { VARIADIC = CEL_ARGS_MAX + 1 }; /* one or more arguments, all of kind args[0] */

struct builtin {
    const char *name;
    bool is_method, is_global;
    enum cel_kind result;
    size_t arg_count; /* the receiver included */
    enum cel_kind args[CEL_ARGS_MAX];
    struct cel_value (*call)(const struct cel_value *args, size_t count, struct arena *arena);
};

/* The overloads of a name stand together: the first, and how many; 0 when there is no such function. In the
 * Assay dialect "abs" finds "math.abs". */
size_t builtin_find(struct slice name, enum cel_dialect dialect, const struct builtin **first);
bool builtin_takes(const struct builtin *builtin, size_t arg, enum cel_kind kind);

/* ---- the check ---- */

struct use_list {
    struct cel_use *items;
    size_t count, cap;
};

/* Gives every node its type, every name its slot and every call its function. ERR_INVALID with *why filled.
 */
MUST_USE enum err check(struct node *root, const struct cel_env *env, struct use_list *uses,
                        struct arena *arena, struct faults *faults);

/* The dotted name that a chain of selections spells ("tx.attributes.device", also by ["device"]), or an empty
 * slice. */
struct slice dotted_name(const struct node *node, char buffer[NAME_MAX_BYTES]);

/* ---- values ---- */

enum order { ORDER_BELOW = -1, ORDER_EQUAL = 0, ORDER_ABOVE = 1, ORDER_NONE = 2, ORDER_OVERLOAD = 3 };

/* On the number line, across kinds; ORDER_NONE with NaN, ORDER_OVERLOAD for kinds without an order. */
enum order value_order(const struct cel_value *a, const struct cel_value *b);
/* Equality across kinds as the specification has it: different kinds are unequal, not an error. */
bool value_equal(const struct cel_value *a, const struct cel_value *b);
static inline bool kind_is_number(enum cel_kind kind)
{
    return kind == CEL_INT || kind == CEL_UINT || kind == CEL_DOUBLE;
}

#endif
