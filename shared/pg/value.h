/* SPDX-License-Identifier: Apache-2.0
 * value.h - values in PostgreSQL's binary format: parameters going in, columns coming out.
 *
 * A parameter's type must be what its statement says: `$1::int8[]` in the SQL and PG_INT8 here. Times are
 * microseconds since 1970 on our side and `timestamptz` on the server's; both count whole microseconds, so
 * nothing is lost between them.
 *
 *   struct pg_array *ids = pg_add_array(p, PG_TEXT), *amounts = pg_add_array(p, PG_INT8);
 *   for (...) {
 *       pg_array_text(ids, rows[i].id);
 *       pg_array_i64(amounts, rows[i].amount);
 *   }
 *
 * Source: PostgreSQL 15, the recv and send functions of src/backend/utils/adt; for arrays array_recv(). */
#ifndef ASSAY_PG_VALUE_H
#define ASSAY_PG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum pg_type { PG_BOOL, PG_INT2, PG_INT4, PG_INT8, PG_FLOAT4, PG_FLOAT8, PG_TEXT, PG_BYTEA, PG_TIMESTAMPTZ };

enum { PG_SQLSTATE_SIZE = 6 }; /* five characters and a NUL */

struct pg_param;
struct pg_array;

/* The parameters of one statement, in the order of $1, $2, ... Zero-initialise. Keeps copies of all bytes,
 * and its memory over pg_params_clear(), so that a steady state allocates nothing. */
struct pg_params {
    struct pg_param **items;
    size_t count, made, cap; /* used, allocated, room for pointers */
};

void pg_params_clear(struct pg_params *p);
void pg_params_release(struct pg_params *p);

void pg_add_null(struct pg_params *p);
void pg_add_bool(struct pg_params *p, bool value);
void pg_add_i16(struct pg_params *p, int16_t value);
void pg_add_i32(struct pg_params *p, int32_t value);
void pg_add_i64(struct pg_params *p, int64_t value);
void pg_add_f32(struct pg_params *p, float value);
void pg_add_f64(struct pg_params *p, double value);
void pg_add_text(struct pg_params *p, struct slice value); /* UTF-8 without NUL */
void pg_add_bytes(struct pg_params *p, struct slice value);
void pg_add_time_us(struct pg_params *p, int64_t at_us);

/* An array parameter, filled by the functions below until the statement is sent. Several may be filled at
 * once. The verb must match the type it was made with. */
struct pg_array *pg_add_array(struct pg_params *p, enum pg_type type);
void pg_array_null(struct pg_array *a);
void pg_array_bool(struct pg_array *a, bool value);
void pg_array_i16(struct pg_array *a, int16_t value);
void pg_array_i32(struct pg_array *a, int32_t value);
void pg_array_i64(struct pg_array *a, int64_t value);
void pg_array_f32(struct pg_array *a, float value);
void pg_array_f64(struct pg_array *a, double value);
void pg_array_text(struct pg_array *a, struct slice value);
void pg_array_bytes(struct pg_array *a, struct slice value);
void pg_array_time_us(struct pg_array *a, int64_t at_us);

/* What a statement returned: libpq's PGresult, which is a typedef of this very struct. Slices live as long
 * as the result. A NULL column reads as 0, false, NaN or an empty slice; pg_is_null() tells it apart. */
struct pg_result;

size_t pg_rows(const struct pg_result *r);
/* Rows that an INSERT, UPDATE, DELETE or COPY touched. */
size_t pg_affected(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, size_t row, int column);
bool pg_get_bool(const struct pg_result *r, size_t row, int column);
int64_t pg_get_int(const struct pg_result *r, size_t row, int column);  /* int2, int4, int8 */
double pg_get_float(const struct pg_result *r, size_t row, int column); /* float4, float8 */
struct slice pg_get_text(const struct pg_result *r, size_t row,
                         int column); /* text, varchar, name; NUL-ended */
struct slice pg_get_bytes(const struct pg_result *r, size_t row, int column);
int64_t pg_get_time_us(const struct pg_result *r, size_t row, int column);

/* A column of an array type: its element count, and element `i` as bytes in binary format (a text is itself).
 * An element beyond the end or NULL is an empty slice. */
size_t pg_get_array_len(const struct pg_result *r, size_t row, int column);
struct slice pg_get_array_item(const struct pg_result *r, size_t row, int column, size_t i);

/* The same for the fields of a binary COPY row, where no PGresult is: the bytes of one value. */
int64_t pg_bytes_int(struct slice bytes);
double pg_bytes_float(struct slice bytes);
int64_t pg_bytes_time_us(struct slice bytes);

#endif
