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
    const struct cel_function *functions; /* the caller's */
    struct use_list uses;
    uint32_t cost, stack, node_count;
    bool is_traced; /* every node's value is told: I_TRACE */
};

/* What a node came to, and how often it was evaluated. */
struct traced {
    struct cel_value value;
    uint32_t times;
};
/* cel_eval() of a program that is traced; `traced` has node_count zeroed places. */
struct cel_value run_traced(const struct cel_program *program, const struct cel_input *input,
                            struct traced *traced);

/* Fills the program from its checked tree. ERR_INVALID when a limit is passed. */
MUST_USE enum err emit(struct cel_program *program, uint32_t cost_max, struct faults *faults);

#endif
