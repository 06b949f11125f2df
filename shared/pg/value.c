/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/value.h"

#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "pg/wire.h"

/* PostgreSQL counts time from 2000-01-01, we from 1970-01-01. */
static const int64_t pg_epoch_us = INT64_C(10957) * DAY_US;

/* Numbers of the types, fixed for ever. Source: src/include/catalog/pg_type.dat. */
static const struct {
    uint32_t oid, array_oid;
} types[] = {
    [PG_BOOL] = { 16, 1000 }, [PG_INT2] = { 21, 1005 },    [PG_INT4] = { 23, 1007 },
    [PG_INT8] = { 20, 1016 }, [PG_FLOAT4] = { 700, 1021 }, [PG_FLOAT8] = { 701, 1022 },
    [PG_TEXT] = { 25, 1009 }, [PG_BYTEA] = { 17, 1001 },   [PG_TIMESTAMPTZ] = { 1184, 1185 },
};

/* An array's bytes:  | dimensions i32 | has nulls i32 | element oid u32 | count i32 | lower bound i32 |
 * then per element   | length i32, -1 for NULL | bytes |                                              */
enum { ARRAY_DIMENSIONS = 0, ARRAY_HAS_NULL = 4, ARRAY_OID = 8, ARRAY_COUNT = 12, ARRAY_HEAD_BYTES = 20 };

struct pg_param {
    enum pg_type type;
    bool is_null, is_array;
    uint32_t count; /* elements of an array */
    struct buf bytes;
};

struct pg_array {
    struct pg_param param;
};

static void put_u16(char *to, uint16_t v)
{
    v = htobe16(v);
    memcpy(to, &v, sizeof(v));
}

static void put_u32(char *to, uint32_t v)
{
    v = htobe32(v);
    memcpy(to, &v, sizeof(v));
}

static void put_u64(char *to, uint64_t v)
{
    v = htobe64(v);
    memcpy(to, &v, sizeof(v));
}

static uint32_t read_u32(const char *from)
{
    uint32_t v;

    memcpy(&v, from, sizeof(v));
    return be32toh(v);
}

/* One scalar in its big-endian form, of at most eight bytes. */
struct scalar {
    char bytes[8];
    size_t len;
};

static struct scalar scalar_int(enum pg_type type, int64_t value)
{
    struct scalar s;

    switch (type) {
    case PG_INT2:
        put_u16(s.bytes, (uint16_t)value);
        s.len = 2;
        break;
    case PG_INT4:
        put_u32(s.bytes, (uint32_t)value);
        s.len = 4;
        break;
    case PG_BOOL:
        s.bytes[0] = (char)(value != 0);
        s.len = 1;
        break;
    default:
        put_u64(s.bytes, (uint64_t)value);
        s.len = 8;
        break;
    }
    return s;
}

static struct scalar scalar_float(enum pg_type type, double value)
{
    struct scalar s;

    if (type == PG_FLOAT4) {
        float narrow = (float)value;
        uint32_t bits;

        memcpy(&bits, &narrow, sizeof(bits));
        put_u32(s.bytes, bits);
        s.len = 4;
    } else {
        uint64_t bits;

        memcpy(&bits, &value, sizeof(bits));
        put_u64(s.bytes, bits);
        s.len = 8;
    }
    return s;
}

void pg_params_clear(struct pg_params *p)
{
    p->count = 0;
}

void pg_params_release(struct pg_params *p)
{
    for (size_t i = 0; i < p->made; i++) {
        buf_release(&p->items[i]->bytes);
        mem_free(p->items[i]);
    }
    mem_free(p->items);
    *p = (struct pg_params){ 0 };
}

static struct pg_param *param_next(struct pg_params *p, enum pg_type type)
{
    struct pg_param *param;

    if (p->count == p->made) {
        ARRAY_RESERVE_ONE(p->items, p->made, p->cap);
        p->items[p->made] = mem_new(struct pg_param);
        buf_init(&p->items[p->made]->bytes, 0);
        p->made++;
    }
    param = p->items[p->count++];
    param->type = type;
    param->is_null = param->is_array = false;
    param->count = 0;
    buf_clear(&param->bytes);
    return param;
}

static void add_scalar(struct pg_params *p, enum pg_type type, struct scalar s)
{
    buf_add(&param_next(p, type)->bytes, s.bytes, s.len);
}

void pg_add_null(struct pg_params *p)
{
    param_next(p, PG_TEXT)->is_null = true;
}

void pg_add_bool(struct pg_params *p, bool value)
{
    add_scalar(p, PG_BOOL, scalar_int(PG_BOOL, value));
}

void pg_add_i16(struct pg_params *p, int16_t value)
{
    add_scalar(p, PG_INT2, scalar_int(PG_INT2, value));
}

void pg_add_i32(struct pg_params *p, int32_t value)
{
    add_scalar(p, PG_INT4, scalar_int(PG_INT4, value));
}

void pg_add_i64(struct pg_params *p, int64_t value)
{
    add_scalar(p, PG_INT8, scalar_int(PG_INT8, value));
}

void pg_add_f32(struct pg_params *p, float value)
{
    add_scalar(p, PG_FLOAT4, scalar_float(PG_FLOAT4, (double)value));
}

void pg_add_f64(struct pg_params *p, double value)
{
    add_scalar(p, PG_FLOAT8, scalar_float(PG_FLOAT8, value));
}

void pg_add_text(struct pg_params *p, struct slice value)
{
    buf_add_slice(&param_next(p, PG_TEXT)->bytes, value);
}

void pg_add_bytes(struct pg_params *p, struct slice value)
{
    buf_add_slice(&param_next(p, PG_BYTEA)->bytes, value);
}

void pg_add_time_us(struct pg_params *p, int64_t at_us)
{
    add_scalar(p, PG_TIMESTAMPTZ, scalar_int(PG_TIMESTAMPTZ, at_us - pg_epoch_us));
}

struct pg_array *pg_add_array(struct pg_params *p, enum pg_type type)
{
    struct pg_param *param = param_next(p, type);
    char *head = buf_reserve(&param->bytes, ARRAY_HEAD_BYTES);

    param->is_array = true;
    put_u32(head + ARRAY_DIMENSIONS, 1);
    put_u32(head + ARRAY_HAS_NULL, 0);
    put_u32(head + ARRAY_OID, types[type].oid);
    put_u32(head + ARRAY_COUNT, 0);
    put_u32(head + ARRAY_COUNT + 4, 1);
    buf_commit(&param->bytes, ARRAY_HEAD_BYTES);
    return (struct pg_array *)param;
}

/* The length word and the bytes of one more element. */
static void array_add(struct pg_array *a, enum pg_type type, const void *bytes, size_t len)
{
    char *to = buf_reserve(&a->param.bytes, 4 + len);

    assert(a->param.is_array && a->param.type == type);
    (void)type;
    put_u32(to, (uint32_t)len);
    if (len)
        memcpy(to + 4, bytes, len);
    buf_commit(&a->param.bytes, 4 + len);
    a->param.count++;
}

static void array_scalar(struct pg_array *a, enum pg_type type, struct scalar s)
{
    array_add(a, type, s.bytes, s.len);
}

void pg_array_null(struct pg_array *a)
{
    char *to = buf_reserve(&a->param.bytes, 4);

    put_u32(to, UINT32_MAX);
    buf_commit(&a->param.bytes, 4);
    a->param.is_null = true; /* has nulls, for an array */
    a->param.count++;
}

void pg_array_bool(struct pg_array *a, bool value)
{
    array_scalar(a, PG_BOOL, scalar_int(PG_BOOL, value));
}

void pg_array_i16(struct pg_array *a, int16_t value)
{
    array_scalar(a, PG_INT2, scalar_int(PG_INT2, value));
}

void pg_array_i32(struct pg_array *a, int32_t value)
{
    array_scalar(a, PG_INT4, scalar_int(PG_INT4, value));
}

void pg_array_i64(struct pg_array *a, int64_t value)
{
    array_scalar(a, PG_INT8, scalar_int(PG_INT8, value));
}

void pg_array_f32(struct pg_array *a, float value)
{
    array_scalar(a, PG_FLOAT4, scalar_float(PG_FLOAT4, (double)value));
}

void pg_array_f64(struct pg_array *a, double value)
{
    array_scalar(a, PG_FLOAT8, scalar_float(PG_FLOAT8, value));
}

void pg_array_text(struct pg_array *a, struct slice value)
{
    array_add(a, PG_TEXT, value.ptr, value.len);
}

void pg_array_bytes(struct pg_array *a, struct slice value)
{
    array_add(a, PG_BYTEA, value.ptr, value.len);
}

void pg_array_time_us(struct pg_array *a, int64_t at_us)
{
    array_scalar(a, PG_TIMESTAMPTZ, scalar_int(PG_TIMESTAMPTZ, at_us - pg_epoch_us));
}

void pg_wire_init(struct pg_wire *w, const struct pg_params *p)
{
    size_t count = p ? p->count : 0;

    assert(count <= PG_WIRE_MAX);
    w->count = (int)count;
    for (size_t i = 0; i < count; i++) {
        struct pg_param *param = p->items[i];
        struct slice bytes;

        if (param->is_array) {
            char *head = param->bytes.data + param->bytes.taken;

            put_u32(head + ARRAY_COUNT, param->count);
            put_u32(head + ARRAY_HAS_NULL, param->is_null);
        }
        bytes = buf_slice(&param->bytes);
        w->types[i] = param->is_array ? types[param->type].array_oid : types[param->type].oid;
        /* An empty value still needs a pointer: NULL would mean SQL NULL. */
        w->values[i] = bytes.ptr ? bytes.ptr : "";
        w->lengths[i] = (int)bytes.len;
        w->formats[i] = 1;
        if (param->is_null && !param->is_array) {
            w->values[i] = NULL;
            w->types[i] = 0; /* whatever the statement says */
        }
    }
}

size_t pg_rows(const struct pg_result *r)
{
    return r ? (size_t)PQntuples(r) : 0;
}

size_t pg_affected(const struct pg_result *r)
{
    /* libpq declares the argument without const, and does not write to it. */
    return r ? (size_t)strtoull(PQcmdTuples((PGresult *)(uintptr_t)r), NULL, 10) : 0;
}

bool pg_is_null(const struct pg_result *r, size_t row, int column)
{
    return PQgetisnull(r, (int)row, column) != 0;
}

struct slice pg_get_bytes(const struct pg_result *r, size_t row, int column)
{
    assert(row < pg_rows(r) && column < PQnfields(r) && PQfformat(r, column) == 1);
    if (pg_is_null(r, row, column))
        return (struct slice){ 0 };
    return slice_of(PQgetvalue(r, (int)row, column), (size_t)PQgetlength(r, (int)row, column));
}

struct slice pg_get_text(const struct pg_result *r, size_t row, int column)
{
    return pg_get_bytes(r, row, column);
}

bool pg_get_bool(const struct pg_result *r, size_t row, int column)
{
    struct slice b = pg_get_bytes(r, row, column);

    return b.len == 1 && b.ptr[0] != 0;
}

int64_t pg_get_int(const struct pg_result *r, size_t row, int column)
{
    return pg_bytes_int(pg_get_bytes(r, row, column));
}

double pg_get_float(const struct pg_result *r, size_t row, int column)
{
    return pg_bytes_float(pg_get_bytes(r, row, column));
}

int64_t pg_get_time_us(const struct pg_result *r, size_t row, int column)
{
    return pg_bytes_time_us(pg_get_bytes(r, row, column));
}

size_t pg_get_array_len(const struct pg_result *r, size_t row, int column)
{
    struct slice b = pg_get_bytes(r, row, column);

    if (b.len < ARRAY_HEAD_BYTES) /* NULL, or the empty array, which has no dimension */
        return 0;
    return read_u32(b.ptr + ARRAY_COUNT);
}

struct slice pg_get_array_item(const struct pg_result *r, size_t row, int column, size_t i)
{
    struct slice b = pg_get_bytes(r, row, column);
    size_t at = ARRAY_HEAD_BYTES;

    if (i >= pg_get_array_len(r, row, column))
        return (struct slice){ 0 };
    for (;; i--) {
        uint32_t len = read_u32(b.ptr + at);
        bool is_null = len == UINT32_MAX;

        if (i == 0)
            return is_null ? (struct slice){ 0 } : slice_of(b.ptr + at + 4, len);
        at += 4 + (is_null ? 0 : len);
    }
}

int64_t pg_bytes_int(struct slice b)
{
    uint64_t v = 0;

    if (b.len != 2 && b.len != 4 && b.len != 8)
        return 0;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | (unsigned char)b.ptr[i];
    if (b.len == 2)
        return (int16_t)v;
    return b.len == 4 ? (int32_t)v : (int64_t)v;
}

double pg_bytes_float(struct slice b)
{
    uint64_t bits = (uint64_t)pg_bytes_int(b);

    if (b.len == 4) {
        uint32_t narrow_bits = (uint32_t)bits;
        float narrow;

        memcpy(&narrow, &narrow_bits, sizeof(narrow));
        return (double)narrow;
    }
    if (b.len == 8) {
        double wide;

        memcpy(&wide, &bits, sizeof(wide));
        return wide;
    }
    return NAN;
}

int64_t pg_bytes_time_us(struct slice b)
{
    return b.len == 8 ? pg_bytes_int(b) + pg_epoch_us : 0;
}
