/* SPDX-License-Identifier: Apache-2.0 */
#include "idempotency.h"

#include <stdlib.h>

#include "base/clock.h"
#include "fraud/pan.h"
#include "log/log.h"

enum { IDEMPOTENCY_KEY_MAX = 255, SQL_TIME_US = 2000000 };

/* A kept answer is for keys that may do and see as much: each such set of scopes has its own. */
static struct pg_params *key_unit(struct exchange *x, enum statement statement, struct pg_unit **unit)
{
    unsigned scopes = x->key.scopes & (x->route->scopes | SCOPE_EXPLAIN);
    struct pg_params *p;

    *unit = pg_unit_new(x->in->pg);
    p = pg_unit_add(*unit, statement);
    pg_add_i32(p, (int32_t)x->key.account);
    pg_add_text(p, arena_printf(&x->req->arena, "%s %x", x->route->name, scopes));
    pg_add_text(p, x->idempotency_key);
    return p;
}

/* ---- the way in ---- */

/* A structured-field string ("8e03..."), or the bare text. */
static bool read_idempotency_key(struct slice field, struct slice *key)
{
    if (field.len >= 2 && field.ptr[0] == '"' && field.ptr[field.len - 1] == '"')
        field = slice_of(field.ptr + 1, field.len - 2);
    *key = field;
    for (size_t i = 0; i < field.len; i++) {
        if (field.ptr[i] < 0x20 || field.ptr[i] > 0x7e || field.ptr[i] == '"' || field.ptr[i] == '\\')
            return false;
    }
    return field.len > 0 && field.len <= IDEMPOTENCY_KEY_MAX;
}

static void on_key_read(void *ctx, const struct pg_reply *reply)
{
    struct exchange *x = ctx;
    const struct pg_result *r = reply->err ? NULL : reply->results[0];

    if (reply->err) {
        exchange_refuse(x, 503, NULL, "the database is missing; nothing was stored");
    } else if (pg_rows(r) == 0) {
        exchange_refuse(x, 503, NULL, "the Idempotency-Key has just been given up; send it again");
    } else if (!slice_eq(pg_get_bytes(r, 0, 0), slice_of(x->payload_hash, SHA256_BYTES))) {
        exchange_refuse(x, 422, NULL, "this Idempotency-Key was used with another payload");
    } else if (pg_is_null(r, 0, 1)) {
        exchange_refuse(x, 409, NULL, "the first request with this Idempotency-Key is still under way");
    } else {
        exchange_send(x, (int)pg_get_int(r, 0, 1), pg_get_bytes(r, 0, 2), true);
    }
}

static void on_key_begun(void *ctx, const struct pg_reply *reply)
{
    struct exchange *x = ctx;
    struct pg_unit *unit;

    if (reply->err) {
        exchange_refuse(x, 503, NULL, "the database is missing; nothing was stored");
    } else if (pg_affected(reply->results[0]) == 1) {
        x->is_idempotent = true;
        x->route->run(x);
    } else {
        key_unit(x, SQL_KEY_READ, &unit);
        pg_unit_is_read(unit);
        pg_unit_send(unit, clock_mono_us() + SQL_TIME_US, on_key_read, x);
    }
}

void idempotency_begin(struct exchange *x, struct slice field)
{
    struct pg_unit *unit;
    struct pg_params *p;
    struct why why;
    char *canonical;
    json_t *tree;

    if (!read_idempotency_key(field, &x->idempotency_key)) {
        exchange_refuse(x, 400, NULL, "Idempotency-Key must be a string of 1 to 255 visible characters");
        return;
    }
    if (pan_find(x->idempotency_key, NULL)) {
        exchange_refuse(x, 422, NULL, "Idempotency-Key holds what looks like a card number");
        return;
    }
    if (json_parse(&tree, x->req->body, JSON_DEPTH_MAX, &why)) {
        exchange_refuse(x, 400, NULL, why.text);
        return;
    }
    canonical = json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS);
    sha256(slice_str(canonical), x->payload_hash);
    free(canonical);
    json_decref(tree);
    x->idempotency_key = arena_slice(&x->req->arena, x->idempotency_key);
    p = key_unit(x, SQL_KEY_BEGIN, &unit);
    pg_add_bytes(p, slice_of(x->payload_hash, SHA256_BYTES));
    pg_add_i64(p, x->in->conf.idempotency_ms);
    pg_unit_send(unit, clock_mono_us() + SQL_TIME_US, on_key_begun, x);
}

/* ---- the way out ---- */

/* What waits for its answer to be kept. */
struct kept_reply {
    struct exchange *x;
    int status;
    struct slice body;
};

static void on_kept(void *ctx, const struct pg_reply *reply)
{
    struct kept_reply *kept = ctx;

    if (reply->err)
        log_limited(LOG_WARN, "idempotent_reply_not_kept", "reason=%s trace=%.*s",
                    log_quoted(slice_str(reply->why.text)), SLICE_ARG(trace_id(&kept->x->trace)));
    exchange_send(kept->x, kept->status, kept->body, false);
}

static void on_forgotten(void *ctx, const struct pg_reply *reply)
{
    (void)ctx;
    (void)reply;
}

void idempotency_end(struct exchange *x, int status, struct slice body)
{
    struct kept_reply *kept;
    struct pg_unit *unit;
    struct pg_params *p;

    if (status_is_passing(status) || x->is_passing) {
        /* A passing trouble is not what a retry should get again. */
        key_unit(x, SQL_KEY_FORGET, &unit);
        pg_unit_send(unit, clock_mono_us() + SQL_TIME_US, on_forgotten, NULL);
        exchange_send(x, status, body, false);
        return;
    }
    kept = arena_new(&x->req->arena, struct kept_reply, 1);
    *kept = (struct kept_reply){ x, status, arena_slice(&x->req->arena, body) };
    p = key_unit(x, SQL_KEY_FINISH, &unit);
    pg_add_i32(p, status);
    pg_add_bytes(p, kept->body);
    pg_unit_send(unit, clock_mono_us() + SQL_TIME_US, on_kept, kept);
}
