/* SPDX-License-Identifier: Apache-2.0
 * options.h - a command's options by a table that doubles as its help.
 *
 *   static const struct option options[] = {
 *       { "home", OPTION_TEXT, offsetof(struct up, home), "DIR", "where processes, logs and data are kept" },
 *       { "wait", OPTION_FLAG, offsetof(struct up, waits), NULL, "return only when everything is ready" },
 *   };
 *
 * Read as --home DIR, --home=DIR and --wait, in any order with the operands; "--" ends the options. */
#ifndef ASSAY_CLI_OPTIONS_H
#define ASSAY_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum option_kind {
    OPTION_FLAG,   /* bool: true when given */
    OPTION_TEXT,   /* const char *: of argv; unchanged when not given */
    OPTION_INT,    /* int64_t */
    OPTION_NUMBER, /* double */
};

struct option {
    const char *name; /* without the dashes; one letter is a short option: -f */
    enum option_kind kind;
    size_t offset;
    const char *value; /* what stands for its value in the help: "DIR"; NULL for flags */
    const char *help;
};

/* Fills `into`, whose defaults the caller has set, and gathers what is no option at the front of `argv`;
 * *operands is their number.
 *   ERR_SYNTAX  an unknown option, a missing value, or one that cannot be read */
MUST_USE enum err options_read(void *into, const struct option *options, size_t count, char **argv,
                               size_t argc, size_t *operands, struct why *why);
void options_print(FILE *out, const struct option *options, size_t count);

#endif
