/* SPDX-License-Identifier: Apache-2.0
 * command.h - what a command of `assay` is. One file per command, cmd_<name>.c, gives one `struct command`;
 * commands.c lists them. */
#ifndef ASSAY_CLI_COMMAND_H
#define ASSAY_CLI_COMMAND_H

#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "options.h"

struct buf;

/* What the shell sees. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,      /* it was tried and did not work; the reason is on standard error */
    EXIT_USAGE = 2,       /* the command line cannot be understood */
    EXIT_NOT_RUNNING = 3, /* there are no services (status, logs, get), or not all are well */
    EXIT_NOT_FOUND = 4,   /* what was asked for does not exist */
};

struct command {
    const char *name;              /* "replay", or two words: "keys create" */
    const char *operands;          /* "<transaction>"; "" when it takes none */
    const char *purpose;           /* one line for the list */
    const char *text;              /* what `assay help <name>` teaches: paragraphs and examples */
    void (*more)(struct buf *out); /* lines that follow the text; NULL: none */
    const struct option *options;
    size_t option_count;
    size_t operands_least, operands_most;
    size_t settings_size; /* of the struct that the options fill, */
    const void *defaults; /* and what it holds before; NULL: zeros */
    /* `settings` is that struct; `operands` are what is left, operands[operand_count] is NULL. */
    enum exit_code (*run)(const void *settings, char **operands, size_t operand_count);
};

extern const struct command *const commands[];
extern const size_t command_count;

/* By one word or two of `argv`; *taken is how many. NULL when there is none. */
const struct command *command_find(char **argv, size_t argc, size_t *taken);
void command_help(FILE *out, const struct command *c);

/* Writes "assay: <text>" to standard error and returns `code`. */
enum exit_code command_fail(enum exit_code code, const char *format, ...) PRINTF_LIKE(2, 3);
/* How a command ends: EXIT_DONE, or by what went wrong, which it writes as command_fail() does. */
enum exit_code command_end(enum err err, const struct why *why);

#endif
