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
    bool is_quoted;         /* TOKEN_NAME: between backquotes, likewise */
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
    NODE_SELECT,  /* a.name, or a.?name when is_optional */
    NODE_INDEX,   /* a[b], or a[?b] when is_optional */
    NODE_LIST,    /* items; of a LITERAL_OPTIONAL item ("?x") only the value, if there is one */
    NODE_MAP,     /* items: key, value, key, value ... */
    NODE_UNARY,   /* op a */
    NODE_BINARY,  /* a op b */
    NODE_TERNARY, /* a ? b : c */
    NODE_CALL,    /* name(items), or items[0].name(items[1..]) when is_method */
    NODE_HAS,     /* has(a) */
    NODE_MACRO,   /* a.all(vars, b), a.map(vars, b, c) ...: macro says which */
    NODE_BIND,    /* cel.bind(vars[0], a, b) */
    NODE_BLOCK,   /* cel.block([items], a): each item is a variable named by its number */
    NODE_OPT_MAP, /* a.optMap(vars[0], b); is_flat: optFlatMap */
    /* What the checker makes of the above: */
    NODE_LOCAL, /* a variable of a macro: local */
    NODE_FAULT, /* value: the error that this is, in a program that was not checked */
};

/* X(macro, name, variables, arguments behind them: least, most) */
#define CEL_MACROS(X)                                                                                        \
    X(MACRO_ALL, "all", 1, 1, 1)                                                                             \
    X(MACRO_EXISTS, "exists", 1, 1, 1)                                                                       \
    X(MACRO_EXISTS_ONE, "exists_one", 1, 1, 1)                                                               \
    X(MACRO_ONE, "existsOne", 1, 1, 1)                                                                       \
    X(MACRO_FILTER, "filter", 1, 1, 1)                                                                       \
    X(MACRO_MAP, "map", 1, 1, 2)                                                                             \
    X(MACRO_ALL_2, "all", 2, 1, 1)                                                                           \
    X(MACRO_EXISTS_2, "exists", 2, 1, 1)                                                                     \
    X(MACRO_ONE_2, "existsOne", 2, 1, 1)                                                                     \
    X(MACRO_TRANSFORM_LIST, "transformList", 2, 1, 2)                                                        \
    X(MACRO_TRANSFORM_MAP, "transformMap", 2, 1, 2)                                                          \
    X(MACRO_TRANSFORM_ENTRY, "transformMapEntry", 2, 1, 2)

enum macro {
#define CEL_MACRO_ENUM(macro, name, variables, least, most) macro,
    CEL_MACROS(CEL_MACRO_ENUM)
#undef CEL_MACRO_ENUM
        MACRO_COUNT
};
const char *macro_name(enum macro macro);
int macro_variables(enum macro macro);

enum { NAME_MAX_BYTES = 256, TREE_DEPTH_MAX = 1000, NODES_MAX = 8192, BLOCK_MAX = 64 };

struct node {
    enum node_kind kind;
    enum cel_op op;
    enum macro macro;
    bool is_method;
    bool is_root; /* NODE_NAME: ".a", not to be taken for a macro's variable or looked for in the container */
    bool is_optional;  /* NODE_SELECT, NODE_INDEX: ".?", "[?" */
    bool is_flat;      /* NODE_OPT_MAP */
    bool is_quoted;    /* NODE_SELECT: the name stands between backquotes */
    bool is_widened;   /* an int that the checker makes a double */
    bool is_constant;  /* a literal, or a list or map of such */
    bool is_solid;     /* its type is what comes out or an error, whatever the caller's lists hold */
    uint32_t at;       /* where a fault in it is shown */
    uint32_t from, to; /* its bytes in the text */
    uint32_t id;       /* below the program's node_count */
    uint32_t depth;    /* of the tree below, itself included */
    uint32_t slot;     /* NODE_NAME */
    uint32_t local;    /* NODE_LOCAL, and of what declares variables: the number of its first */
    const struct cel_type *type;
    struct slice name;
    struct slice vars[2];
    struct cel_value value;
    struct node *a, *b, *c;
    struct node **items;
    bool *optional_items; /* NODE_LIST and NODE_MAP: which have a "?"; NULL: none */
    size_t count;
    const struct builtin
        *builtin; /* NODE_CALL: the one that fits, or the first of `overloads` that may, or NULL and: */
    size_t overloads;
    uint32_t function;   /* ... the number of the caller's function */
    struct regex *regex; /* of matches() with a literal pattern */
};

/* Parses the whole text; *node_count is how many nodes were numbered. ERR_SYNTAX with *why filled. */
MUST_USE enum err parse(struct node **out, uint32_t *node_count, struct slice text, struct arena *arena,
                        struct faults *faults);

/* Makes names of the calls that the caller claims. ERR_INVALID with *why filled. */
MUST_USE enum err claim_calls(struct node *root, const struct cel_env *env, struct arena *arena,
                              struct faults *faults);
/* Any part of a tree in canonical spelling. */
void print_node(const struct node *node, struct buf *out);

/* ---- functions ---- */

enum { VARIADIC = CEL_ARGS_MAX + 1 }; /* one or more arguments, all of kind args[0] */

/* What evaluation may use up, and what it is given. Most programs use up nothing: the rest is filled when it is
 * first asked for. */
struct machine {
    const struct cel_input *input;
    size_t room;    /* bytes left to take from the arena; MACHINE_NEW: nothing was asked for yet */
    uint32_t steps; /* left */
};
#define MACHINE_NEW SIZE_MAX

void machine_begin(struct machine *m);
/* Bytes that may still be taken. */
size_t machine_room(struct machine *m);
/* Memory that the value keeps, or NULL: over the limit. */
void *machine_take(struct machine *m, size_t n, size_t size);
/* False when there are not so many steps left. */
bool machine_spend(struct machine *m, size_t steps);

struct builtin {
    const char *name;
    bool is_method, is_global;
    enum cel_kind result;
    size_t arg_count; /* the receiver included */
    enum cel_kind args[CEL_ARGS_MAX];
    struct cel_value (*call)(const struct cel_value *args, size_t count, struct machine *m);
    const char *types; /* the result and the arguments in full, when their kinds do not say all: [ list,
                          { map, ? optional, Y type, A and B parameters, s i b ... (types.c) */
    bool is_mixed;     /* numbers of different kinds, each as it is: not where ints become doubles */
};

/* The tables that the functions stand in, by subject. */
struct builtin_table {
    const struct builtin *items;
    size_t count;
};
extern const struct builtin_table core_builtins, math_builtins, text_builtins, time_builtins, net_builtins;

/* The overloads of a name stand together: the first, and how many; 0 when there is no such function. In the
 * Assay dialect "abs" finds "math.abs". */
size_t builtin_find(struct slice name, enum cel_dialect dialect, const struct builtin **first);
bool builtin_takes(const struct builtin *builtin, size_t arg, enum cel_kind kind);

/* ---- the check ---- */

struct use_list {
    struct cel_use *items;
    size_t count, cap;
};

/* Gives every node its type, every name its slot and every call its function; *locals is how many variables
 * the macros have. ERR_INVALID with *why filled. */
MUST_USE enum err check(struct node *root, const struct cel_env *env, struct use_list *uses, uint32_t *locals,
                        struct arena *arena, struct faults *faults);

/* The dotted name that a chain of selections spells ("tx.attributes.device", also by ["device"]), or an empty
 * slice. */
struct slice dotted_name(const struct node *node, char buffer[NAME_MAX_BYTES]);

/* ---- values ---- */

enum order { ORDER_BELOW = -1, ORDER_EQUAL = 0, ORDER_ABOVE = 1, ORDER_NONE = 2, ORDER_OVERLOAD = 3 };

/* On the number line, across kinds; ORDER_NONE with NaN, ORDER_OVERLOAD for kinds without an order. */
enum order value_order(const struct cel_value *a, const struct cel_value *b);
/* Equality across kinds as the specification has it: different kinds are unequal, not an error. Looks at no
 * more than *budget values and then says false with *budget 0. */
bool value_equal(const struct cel_value *a, const struct cel_value *b, size_t *budget);
/* The value behind a key, or NULL. */
const struct cel_value *map_find(const struct cel_value *map, const struct cel_value *key);
bool kind_is_key(enum cel_kind kind);
/* The name of a kind as a type: "null_type", "google.protobuf.Timestamp". */
const char *kind_type_name(enum cel_kind kind);

/* ---- texts ---- */

/* Code points; the text is UTF-8. */
int64_t text_length(struct slice s);
/* Where code point number n begins; false when there are fewer (n may be their number: the end). */
bool text_offset(struct slice s, int64_t n, size_t *offset);
/* The code point at the front, which is taken off. */
uint32_t text_next(struct slice *s);
size_t utf8_put(uint32_t c, char *out);
/* A text or bytes made of `buf`'s content; releases it. CEL_FAULT_ROOM when it does not fit. */
struct cel_value text_from(struct machine *m, struct buf *buf, enum cel_kind kind);
/* As string() has it. False when the kind has no such form. */
bool time_print(const struct cel_value *value, struct buf *out);
bool net_print(const struct cel_value *value, struct buf *out);
struct cel_value net_parse(struct slice text, bool is_cidr);

/* ---- regular expressions ---- */

struct regex;
/* In the arena. On failure *what says why, a constant text, and *out is NULL. */
bool regex_compile(struct regex **out, struct slice pattern, struct arena *arena, const char **what);
/* Whether the pattern occurs in the text: CEL_BOOL, or CEL_ERROR out of steps. */
struct cel_value regex_search(const struct regex *regex, struct slice text, struct machine *m);
size_t regex_size(const struct regex *regex);

static inline bool kind_is_number(enum cel_kind kind)
{
    return kind == CEL_INT || kind == CEL_UINT || kind == CEL_DOUBLE;
}

#endif
