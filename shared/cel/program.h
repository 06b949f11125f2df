/* SPDX-License-Identifier: Apache-2.0
 * program.h - inside cel/: what an expression is compiled to, for a machine with a stack of values.
 *
 *   tx.amount > 50000.0 && score > 0.9
 *   SLOT 0  CONST 0  GT  AND_JUMP end  SLOT 1  CONST 1  GT  AND  end: */
#ifndef ASSAY_CEL_PROGRAM_H
#define ASSAY_CEL_PROGRAM_H

#include "cel/ast.h"

enum opcode {
    I_CONST,                          /* push constants[arg] */
    I_SLOT,                           /* push the slot's value */
    I_HAS,                            /* push whether the slot has one */
    I_BINARY,                         /* I_BINARY + enum cel_op: pop two, push one */
    I_AND_JUMP = I_BINARY + OP_COUNT, /* a false on top stays and goes to arg; anything else goes on */
    I_OR_JUMP,                        /* the same for true */
    I_NOT,
    I_NEGATE,
    I_WIDEN,  /* int to double */
    I_BRANCH, /* pop: true goes on, false goes to arg; an error stays and goes where arg's I_JUMP before goes
               */
    I_JUMP,   /* to arg */
    I_CALL,   /* calls[arg] on the top `count` values */
    I_CALLER, /* functions[arg] of the caller, likewise */
    I_LIST,   /* the top `count` values become a list */
    I_TEST,   /* I_TEST + enum cel_op: the slot arg compared with constants[count], in one step: most of what
                 rules do */
    I_IN_ITEMS = I_TEST + OP_COUNT, /* x in [count values], without making the list */
    I_INDEX,
    I_TRACE, /* the top is the value of node arg */
    I_LOCAL, /* push what stands at place arg of the stack */
    I_FIELD, /* the top becomes what stands behind the key constants[arg] in it; count: as an optional */
    I_HAS_FIELD,
    I_OPT_INDEX, /* a[?b] */
    I_MAP,       /* the top 2 * `count` values become a map */
    I_ITEMS,     /* as I_LIST, or with arg as I_MAP, where some are optional: constants[arg / 2] says which */
    I_SLIDE,     /* the top goes down by arg places, over what stood there */
    I_REGEX,     /* the top, a text, is searched by regexes[arg] */
    I_LOOP,      /* the top is gone over: places for the loop are laid above it; an error goes to arg */
    I_NEXT,      /* sets the variables, or goes to arg when all were seen; costs `count` steps */
    I_ALL,       /* pops a body's result into the loop, by macro; goes on at arg */
    I_EXISTS,
    I_ONE,
    I_FILTER,
    I_WHERE, /* pops the filter of a map(): goes on, or to arg */
    I_ADD_ITEM,
    I_ADD_ENTRY,
    I_ADD_MAP,
    I_LOOP_END, /* the loop's places become its result; arg is enum macro */
    I_OPT_OPEN, /* an optional becomes its value, or goes to arg */
    I_OPT_WRAP,
    I_END
};

struct instruction {
    uint8_t op; /* enum opcode */
    uint16_t count;
    uint32_t arg;
};

struct call {
    const struct builtin *first;
    size_t overloads; /* chosen among when called; 0: `first` is known to fit */
};

struct cel_program {
    struct arena arena; /* all below */
    struct slice text;
    struct node *root;
    struct instruction *code;
    uint32_t *at; /* of each instruction, where in the text */
    size_t code_count, code_cap;
    struct cel_value *constants;
    size_t constant_count, constant_cap;
    struct call *calls;
    size_t call_count, call_cap;
    const struct regex **regexes;
    size_t regex_count, regex_cap;
    const struct cel_function *functions; /* the caller's */
    struct use_list uses;
    uint32_t cost, stack, node_count, local_count;
    bool is_traced; /* every node's value is told: I_TRACE */
};

/* A loop's places on the stack, above what it goes over. */
enum { LOOP_RANGE, LOOP_INDEX, LOOP_RESULT, LOOP_FIRST, LOOP_SECOND, LOOP_PLACES };

/* What the code refers to; for a program that was only made to be run once. */
void program_release(struct cel_program *program);

/* What a node came to, and how often it was evaluated. */
struct traced {
    struct cel_value value;
    uint32_t times;
};
/* cel_eval() of a program that is traced; `traced` has node_count zeroed places. */
struct cel_value run_traced(const struct cel_program *program, const struct cel_input *input,
                            struct traced *traced);

/* With arguments that are no errors. */
struct cel_value call_builtin(const struct call *call, const struct cel_value *args, size_t count,
                              struct machine *m);

/* Fills the program from its checked tree. ERR_INVALID when a limit is passed. */
MUST_USE enum err emit(struct cel_program *program, uint32_t cost_max, struct faults *faults);

#endif
