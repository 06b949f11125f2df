/* SPDX-License-Identifier: Apache-2.0
 * cel.h - expressions over named values: the rules that analysts write, and the catalogue's `expr` and
 * `where`.
 *
 *   struct cel_env env = { .resolve = find_column, .context = plan,
 *                          .dialect = CEL_ASSAY, .result = CEL_DOUBLE };
 *   cel_compile(&program, slice_str("tx.amount / (customer_mean_amount_30d + 1)"), &env, &why);
 *   double x = cel_eval_number(program, row);          row[slot] for the slots that find_column() gave
 *
 * The language is the Common Expression Language (github.com/google/cel-spec, doc/langdef.md) without protocol
 * buffers, with its extensions for strings, math, encoders, bindings, network and optionals: docs/cel.md. Names
 * become slots when an expression is compiled, so evaluation looks nothing up. It does no I/O and takes no
 * memory but from the arena it is given, and only for what makes a new string, list or map, up to a limit.
 *
 * Errors are values: they travel up through operators and functions, while `false && error` is false and
 * `true || error` is true, in either order. A name without a value is such an error.
 *
 * A program never changes once compiled: many threads may evaluate one. */
#ifndef ASSAY_CEL_CEL_H
#define ASSAY_CEL_CEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum cel_kind {
    CEL_DYN, /* only known when evaluated; never the kind of a value */
    CEL_ERROR,
    CEL_NULL,
    CEL_BOOL,
    CEL_INT,
    CEL_UINT,
    CEL_DOUBLE,
    CEL_STRING, /* UTF-8 */
    CEL_BYTES,
    CEL_LIST,
    CEL_MAP,
    CEL_TIMESTAMP, /* years 1 to 9999, to the nanosecond */
    CEL_DURATION,  /* whole nanoseconds in 64 bits: 292 years to either side */
    CEL_TYPE,      /* what type() gives */
    CEL_OPTIONAL,
    CEL_IP,
    CEL_CIDR,
    CEL_KIND_COUNT,
    CEL_ABSTRACT, /* in types only: one that the caller names */
    CEL_PARAM,    /* in types only: a parameter of a function's signature */
};
const char *cel_kind_name(enum cel_kind kind);

/* X(fault, what a person reads) */
#define CEL_FAULTS(X)                                                                                        \
    X(CEL_FAULT_MISSING, "no value")                                                                         \
    X(CEL_FAULT_OVERLOAD, "no such overload")                                                                \
    X(CEL_FAULT_OVERFLOW, "integer overflow")                                                                \
    X(CEL_FAULT_DIVISION, "division by zero")                                                                \
    X(CEL_FAULT_RANGE, "out of range")                                                                       \
    X(CEL_FAULT_CONVERSION, "cannot be converted")                                                           \
    X(CEL_FAULT_ARGUMENT, "invalid argument")                                                                \
    X(CEL_FAULT_ROOM, "no room for the result")                                                              \
    X(CEL_FAULT_KEY, "no such key")                                                                          \
    X(CEL_FAULT_REPEATED, "a key stands twice")                                                              \
    X(CEL_FAULT_NAME, "unknown name")                                                                        \
    X(CEL_FAULT_REGEX, "not a regular expression")                                                           \
    X(CEL_FAULT_STEPS, "too many steps")

enum cel_fault {
#define CEL_FAULT_ENUM(code, text) code,
    CEL_FAULTS(CEL_FAULT_ENUM)
#undef CEL_FAULT_ENUM
        CEL_FAULT_COUNT
};
const char *cel_fault_text(enum cel_fault fault);

/* 24 bytes, passed by value. Strings, lists and maps are views: of the program's text, of the caller's slots
 * or of the arena, whichever they came from. */
struct cel_value {
    enum cel_kind kind;
    uint32_t extra; /* CEL_IP: 4 or 6; CEL_CIDR: the same and, shifted by 8, the bits of the prefix */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double d;
        struct slice s; /* CEL_STRING, CEL_BYTES */
        struct {
            const struct cel_value *items;
            size_t count;
        } list; /* CEL_LIST; CEL_MAP: items[2 * i] is a key, items[2 * i + 1] its value, `count` pairs */
        struct {
            int64_t s; /* since 1970 */
            int32_t ns;
        } time;                           /* CEL_TIMESTAMP; a CEL_DURATION is `i`, in ns */
        const struct cel_value *optional; /* CEL_OPTIONAL: NULL when there is none */
        unsigned char address[16];        /* CEL_IP, CEL_CIDR: in network order, IPv4 in the first four */
        struct {
            enum cel_fault fault;
            uint32_t at; /* where in the text, in bytes */
        } error;
    };
};

static inline struct cel_value cel_bool(bool b)
{
    return (struct cel_value){ .kind = CEL_BOOL, .b = b };
}
static inline struct cel_value cel_int(int64_t i)
{
    return (struct cel_value){ .kind = CEL_INT, .i = i };
}
static inline struct cel_value cel_uint(uint64_t u)
{
    return (struct cel_value){ .kind = CEL_UINT, .u = u };
}
static inline struct cel_value cel_double(double d)
{
    return (struct cel_value){ .kind = CEL_DOUBLE, .d = d };
}
static inline struct cel_value cel_string(struct slice s)
{
    return (struct cel_value){ .kind = CEL_STRING, .s = s };
}
static inline struct cel_value cel_error(enum cel_fault fault)
{
    return (struct cel_value){ .kind = CEL_ERROR, .error = { fault, 0 } };
}
/* A feature: NaN is a value that is missing. */
static inline struct cel_value cel_feature(double d)
{
    return d != d ? cel_error(CEL_FAULT_MISSING) : cel_double(d);
}

/* ---- types ---- */

/* What the checker knows of an expression. The caller's types must outlive the programs made with them. */
struct cel_type {
    enum cel_kind kind;
    struct slice name;                    /* CEL_ABSTRACT, CEL_PARAM */
    const struct cel_type *const *params; /* CEL_LIST 1, CEL_MAP 2, CEL_OPTIONAL 1, CEL_TYPE 0 or 1 */
    size_t param_count;
};
/* As a person reads it: map(string, int). */
void cel_type_print(const struct cel_type *type, struct buf *out);

/* ---- compiling ---- */

struct cel_name {
    uint32_t slot;
    enum cel_kind kind; /* CEL_DYN when only known when evaluated */
};

/* Says what a name stands for: "score", "tx.amount" (the whole dotted name is tried first, then its
 * beginnings). False when it is unknown. */
typedef bool (*cel_resolve)(void *context, struct slice name, struct cel_name *out);

enum { CEL_ARGS_MAX = 4 };

/* A function that the caller adds to the standard ones. `call` gets arguments that are no errors and are of
 * the declared kinds, and must not block. `context` is that of cel_input. */
struct cel_function {
    const char *name;
    enum cel_kind result;
    size_t arg_count;
    enum cel_kind args[CEL_ARGS_MAX];
    struct cel_value (*call)(void *context, const struct cel_value *args);
    uint32_t cost; /* in units of one comparison; 0 means 1 */
};

/* The types of a function in full, with CEL_PARAM where they depend on each other. */
struct cel_signature {
    const struct cel_type *result;
    const struct cel_type *const *args; /* arg_count of them */
};

/* A call as it was written, for who makes a name of it. */
enum cel_arg_kind {
    CEL_ARG_TEXT,  /* a literal text */
    CEL_ARG_NAME,  /* a plain or dotted name, or a call that became one */
    CEL_ARG_NAMES, /* a list of such names */
    CEL_ARG_OTHER,
};
struct cel_arg {
    enum cel_arg_kind kind;
    struct slice text; /* CEL_ARG_TEXT: what it says; CEL_ARG_NAME: the name; else as it was written */
    size_t at;         /* where it begins in the text, in bytes */
    const struct cel_arg *names; /* CEL_ARG_NAMES */
    size_t name_count;
};
struct cel_call {
    struct slice function;
    const struct cel_arg *args; /* for the time of the call */
    size_t arg_count;
    size_t at;
    struct slice text; /* the whole, in canonical spelling; a name has at most CEL_NAME_MAX bytes */
};

/* Says whether a call is no call but a name with arguments, before anything is checked: then its canonical spelling
 * is given to `resolve` as any name is, and it stands for a slot. Arguments come before the call that they stand in. A
 * fault is shown at byte *at. */
enum cel_claim { CEL_CLAIM_NONE, CEL_CLAIM_NAME, CEL_CLAIM_FAULT };
typedef enum cel_claim (*cel_claimer)(void *context, const struct cel_call *call, size_t *at,
                                      struct why *why);

enum { CEL_NAME_MAX = 255 };

enum cel_dialect {
    CEL_STANDARD, /* as the specification has it: no number becomes another kind by itself */
    CEL_ASSAY,    /* an int becomes a double where it meets one, `tx.amount / 2`; has() takes plain names;
                     abs, min, max, floor, ceil, round, sqrt, log, log1p, exp, pow without "math." */
};

struct cel_env {
    cel_resolve resolve;
    void *context;     /* for resolve, claim and type_of */
    cel_claimer claim; /* may be NULL */
    /* The type in full of a name that `resolve` knows; NULL, or giving NULL: its kind says all, and of lists
     * and maps anything may be inside. */
    const struct cel_type *(*type_of)(void *context, struct slice name);
    const struct cel_function *functions;
    size_t function_count;
    const struct cel_signature *signatures; /* of the functions, by number; NULL: their kinds say all */
    enum cel_dialect dialect;
    enum cel_kind result;  /* what the whole must be; CEL_DYN accepts all. An int result becomes the double
                             that is asked for in CEL_ASSAY */
    uint32_t cost_max;     /* dearest program accepted; 0 means CEL_COST_MAX */
    const char *container; /* names are looked for in here first, "com.example"; NULL: in the root */
    bool is_unchecked;     /* types and unknown names are no faults: errors when evaluated */
};

enum {
    CEL_TEXT_MAX = 16384,    /* bytes */
    CEL_DEPTH_MAX = 96,      /* brackets, calls, unary operators and ternaries inside each other */
    CEL_STACK_MAX = 192,     /* values waiting for an operator */
    CEL_COST_MAX = 100000,   /* comparisons */
    CEL_STEPS_MAX = 1 << 20, /* of one evaluation: instructions inside macros, and bytes of text by 16 */
    CEL_ROOM_MAX = 1 << 20,  /* bytes that one evaluation may take from its arena */
    CEL_LIST_ASSUMED = 32,   /* items that the static cost takes a list for whose length is not written */
};

struct cel_program;

/* Compiles `text`, which is copied. On success *out is the caller's, to give to cel_free(); on failure NULL.
 *   ERR_SYNTAX   not an expression
 *   ERR_INVALID  unknown names, kinds that do not fit, or a limit passed
 * *why then shows the place (column in code points) and up to three faults:
 *   1:13: no overload for double + string
 *    | tx.amount + "x"
 *    |           ^ */
MUST_USE enum err cel_compile(struct cel_program **out, struct slice text, const struct cel_env *env,
                              struct why *why);
void cel_free(struct cel_program *program);

/* A name that the program uses, each once, in the order of first use. The text is the program's. */
struct cel_use {
    struct slice name;
    uint32_t slot;
    enum cel_kind kind;
};
size_t cel_uses(const struct cel_program *program, const struct cel_use **uses);
enum cel_kind cel_result_kind(const struct cel_program *program);
const struct cel_type *cel_result_type(const struct cel_program *program);
uint32_t cel_cost(const struct cel_program *program);
/* Whether the program calls the function, and the literal string that is its argument number `arg`, if all
 * its calls there have one: each such literal is given to `each` (for checking that named lists exist). */
void cel_literal_args(const struct cel_program *program, const char *function, size_t arg,
                      void (*each)(void *context, struct slice literal), void *context);

/* The expression in canonical spelling: one space around operators, only the brackets that are needed,
 * strings in double quotes, doubles with the fewest digits that read back the same. Two texts with the same
 * meaning by syntax alone print the same, and the print compiles to the same program. */
void cel_print(const struct cel_program *program, struct buf *out);
struct slice cel_text(const struct cel_program *program);

/* ---- evaluating ---- */

/* Seconds east of Greenwich at `at_s` in the zone of the given name ("Europe/Berlin"). False when there is no
 * such zone. */
typedef bool (*cel_zone)(void *context, struct slice name, int64_t at_s, int32_t *offset_s);

struct cel_input {
    const struct cel_value *slots; /* by the slots that the resolver gave */
    void *context;                 /* for the caller's functions */
    struct arena *arena;           /* for new strings and lists; NULL makes those CEL_FAULT_ROOM */
    uint32_t steps_max;            /* 0 means CEL_STEPS_MAX; CEL_FAULT_STEPS when passed */
    uint32_t room_max; /* bytes from the arena; 0 means CEL_ROOM_MAX; CEL_FAULT_ROOM when passed */
    cel_zone zone;     /* NULL: only UTC and fixed offsets such as "+02:00" are known */
    void *zone_context;
};

struct cel_value cel_eval(const struct cel_program *program, const struct cel_input *input);

/* One sub-expression of an evaluation. */
struct cel_step {
    struct slice text; /* as it was written; a view of the program's text */
    uint32_t at;       /* where that begins, in bytes */
    uint32_t depth;    /* 0 is the whole expression; children follow their parent, one deeper */
    uint32_t times;    /* how often it was evaluated: 0 for what && || ?: passed over, many inside a macro */
    struct cel_value value; /* what it came to, the last time; CEL_ERROR "no value" when never */
    bool is_literal;        /* it says itself what it is */
};
typedef void (*cel_visit)(void *context, const struct cel_step *step);

/* Evaluates as cel_eval() does and gives every sub-expression to `visit` afterwards, parents first, from left
 * to right. Names are whole (`tx.amount` is one step), and so are lists of literals. What the values view
 * lives as long as that of cel_eval(). Takes memory for the time of the call; the result is the same value. */
struct cel_value cel_explain(const struct cel_program *program, const struct cel_input *input,
                             cel_visit visit, void *context);

/* For programs over doubles alone: numbers[slot] with NaN for what is missing. The result as a double: true
 * is 1, false 0, an error or anything else NaN. No allocation. */
double cel_eval_number(const struct cel_program *program, const double *numbers);
/* Whether the condition holds; an error is no. */
bool cel_eval_where(const struct cel_program *program, const double *numbers);

/* What a condition may come to while the names behind `slots` are doubles anywhere in lo..hi, finite and independent of
 * each other, and all others are as `input` has them: a set that has every outcome, and more where it was not followed
 * how the value comes about (macros, the caller's functions, division by what may be zero). It is exact enough to be
 * halved: comparisons of numbers with +, -, *, /, abs, floor, ceil, round, trunc and sqrt between them narrow down with
 * the bounds. For programs that were checked. */
enum { CEL_MAY_BE_TRUE = 1, CEL_MAY_BE_FALSE = 2, CEL_MAY_BE_ERROR = 4 }; /* anything else is an error too */
unsigned cel_may(const struct cel_program *program, const struct cel_input *input, const uint32_t *slots,
                 size_t slot_count, double lo, double hi);

/* A value as a person reads it: 120000, 0.91, "DE", true, error: no value. */
void cel_value_print(struct cel_value value, struct buf *out);

#endif
