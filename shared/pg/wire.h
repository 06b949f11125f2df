/* SPDX-License-Identifier: Apache-2.0
 * wire.h - parameters in the shape that libpq's PQsend functions take. Inside shared/pg only. */
#ifndef ASSAY_PG_WIRE_H
#define ASSAY_PG_WIRE_H

#include <stdint.h>

#include "base/err.h"
#include "pg/value.h"

enum { PG_WIRE_MAX = 64 }; /* parameters of one statement */

struct pg_wire {
    int count;
    const char *values[PG_WIRE_MAX]; /* into the params */
    int lengths[PG_WIRE_MAX], formats[PG_WIRE_MAX];
    uint32_t types[PG_WIRE_MAX]; /* libpq's Oid */
};

/* Completes the arrays in `p` and points `w` into it: valid until `p` changes. */
void pg_wire_init(struct pg_wire *w, const struct pg_params *p);

/* A server's error by the class of its SQLSTATE, as pg.h lists them. */
enum err pg_err_of_sqlstate(const char *sqlstate);
/* Writes the first line of libpq's message, which may be NULL or have several, behind `context: `. */
enum err pg_err_set(struct why *why, enum err err, const char *context, const char *message);

#endif
