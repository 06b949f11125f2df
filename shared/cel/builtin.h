/* SPDX-License-Identifier: Apache-2.0
 * builtin.h - inside cel/: how a function of the tables is written. */
#ifndef ASSAY_CEL_BUILTIN_H
#define ASSAY_CEL_BUILTIN_H

#include "cel/ast.h"

/* v: the arguments, none an error, all of the kinds that the table names; n: how many. */
#define BUILTIN_UNUSED __attribute__((unused))
#define BUILTIN(name)                                                                                        \
    static struct cel_value name(BUILTIN_UNUSED const struct cel_value *v, BUILTIN_UNUSED size_t n,          \
                                 BUILTIN_UNUSED struct machine *m)

#endif
