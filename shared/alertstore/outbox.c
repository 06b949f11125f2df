/* SPDX-License-Identifier: Apache-2.0 */
#include "alertstore/outbox.h"

#include <sodium.h>

#include "alerts/event.h"
#include "base/hash.h"
#include "lifestore/row.h"

enum { EVENT_RANDOM = 16, EVENT_SIZE = 4 + 2 * EVENT_RANDOM + 1 };

/* ---- writing ---- */

static struct slice make_event_id(char out[EVENT_SIZE])
{
    unsigned char random[EVENT_RANDOM];

    randombytes_buf(random, sizeof random);
    memcpy(out, "msg_", 4);
    hex_encode(random, sizeof random, out + 4);
    return slice_str(out);
}

static const char add_sql[] = "INSERT INTO alert_deliveries (webhook, event, type, alerts, body, created_at, "
                              "next_at) SELECT w.webhook, $1::text, "
                              "$2::text, $3::int8[], $4::text, $5::timestamptz, $5::timestamptz FROM "
                              "webhooks w WHERE w.is_enabled AND (SELECT "
                              "count(*) FROM alert_deliveries d WHERE d.webhook = w.webhook AND d.state = "
                              "'pending') < $6::int8 ORDER BY "
                              "w.webhook";

enum err outbox_add(struct pg_session *s, const struct notice *notice, struct slice source, int64_t now_us,
                    size_t *written, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct pg_array *alerts;
    char event[EVENT_SIZE];
    struct event_head head = { .id = make_event_id(event), .source = source, .at_us = now_us };
    struct buf body;
    enum err err;

    buf_init(&body, 0);
    event_write(&body, &head, notice);
    pg_add_text(&p, head.id);
    pg_add_text(&p, slice_str(event_type(notice->state)));
    alerts = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < notice->count; i++)
        pg_array_i64(alerts, notice->alerts[i]->id);
    pg_add_text(&p, buf_slice(&body));
    pg_add_time_us(&p, now_us);
    pg_add_i64(&p, OUTBOX_MOST);
    err = row_ask(s, add_sql, &p, &r, why);
    *written = err ? 0 : pg_affected(r);
    pg_result_free(r);
    buf_release(&body);
    return err;
}

static const char test_sql[] = "WITH made AS (INSERT INTO alert_deliveries (webhook, event, type, alerts, "
                               "body, created_at, next_at) SELECT "
                               "webhook, $2::text, '" EVENT_TYPE_TEST
                               "', '{}', $3::text, $4::timestamptz, $4::timestamptz FROM webhooks WHERE "
                               "name = $1::text AND is_enabled RETURNING delivery), noted AS (INSERT INTO "
                               "audit (actor, action, subject) SELECT "
                               "$5::text, 'webhook.test', $1::text FROM made) SELECT coalesce((SELECT "
                               "delivery FROM made), 0), EXISTS (SELECT FROM "
                               "webhooks WHERE name = $1::text)";

enum err outbox_add_test(struct pg_session *s, struct slice webhook, struct slice source, int64_t now_us,
                         struct slice actor, int64_t *delivery, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    char event[EVENT_SIZE];
    struct event_head head = { .id = make_event_id(event), .source = source, .at_us = now_us };
    struct buf body;
    enum err err;

    buf_init(&body, 0);
    event_write_test(&body, &head);
    pg_add_text(&p, webhook);
    pg_add_text(&p, head.id);
    pg_add_text(&p, buf_slice(&body));
    pg_add_time_us(&p, now_us);
    pg_add_text(&p, actor);
    err = row_ask(s, test_sql, &p, &r, why);
    *delivery = err ? 0 : pg_get_int(r, 0, 0);
    if (!err && *delivery == 0)
        err = pg_get_bool(r, 0, 1)
                  ? err_set(why, ERR_CONFLICT, "webhook \"%.*s\" is disabled", SLICE_ARG(webhook))
                  : err_set(why, ERR_NOT_FOUND, "there is no webhook \"%.*s\"", SLICE_ARG(webhook));
    pg_result_free(r);
    buf_release(&body);
    return err;
}

/* ---- sending ---- */

static const char next_sql[] =
    "SELECT d.delivery, w.webhook, w.name, w.url, d.event, d.body, d.type = '" EVENT_TYPE_TEST
    "', d.attempts::int8, "
    "w.secret, CASE WHEN w.old_until > $1::timestamptz THEN w.old_secret END FROM webhooks w JOIN LATERAL "
    "(SELECT * FROM "
    "alert_deliveries p WHERE p.webhook = w.webhook AND p.state = 'pending' ORDER BY p.type = "
    "'" EVENT_TYPE_TEST "' DESC, p.delivery LIMIT 1) d ON true WHERE w.is_enabled AND d.next_at <= "
    "$1::timestamptz AND w.webhook <> ALL "
    "($2::int8[]) ORDER BY d.delivery LIMIT $3::int8";

static enum err open_secret(struct outgoing *o, const struct seal_key *key, struct slice sealed,
                            struct slice about)
{
    struct webhook_secret *secret = &o->secrets[o->secret_count];
    char plain[SEAL_PLAIN_MOST];
    enum err err = seal_open(key, sealed, about, plain, &secret->len, &o->trouble);

    if (!err && secret->len > sizeof secret->bytes)
        err = err_set(&o->trouble, ERR_INVALID, "a secret is too long");
    if (!err) {
        memcpy(secret->bytes, plain, secret->len);
        o->secret_count++;
    }
    sodium_memzero(plain, sizeof plain);
    return err;
}

/* Without all of them a receiver could not tell it from a forged one: then there are none. */
static void open_secrets(struct outgoing *o, const struct seal_key *key, const struct pg_result *r,
                         size_t row, struct arena *arena)
{
    struct slice about = arena_printf(arena, "webhook %.*s", SLICE_ARG(o->webhook_name));
    enum err err = open_secret(o, key, pg_get_bytes(r, row, 8), about);

    if (!err && !pg_is_null(r, row, 9))
        err = open_secret(o, key, pg_get_bytes(r, row, 9), about);
    if (err)
        o->secret_count = 0;
}

enum err outbox_next(struct pg_session *s, const struct seal_key *key, const int64_t *busy, size_t busy_count,
                     int64_t now_us, size_t most, struct outgoing **out, size_t *count, struct arena *arena,
                     struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct pg_array *list;
    enum err err;

    pg_add_time_us(&p, now_us);
    list = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < busy_count; i++)
        pg_array_i64(list, busy[i]);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(s, next_sql, &p, &r, why);
    *count = 0;
    if (!err)
        *out = arena_new(arena, struct outgoing, pg_rows(r) + 1);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct outgoing *o = &(*out)[(*count)++];

        o->delivery = pg_get_int(r, i, 0);
        o->webhook = pg_get_int(r, i, 1);
        o->webhook_name = row_text(r, i, 2, arena);
        o->url = row_text(r, i, 3, arena);
        o->event = row_text(r, i, 4, arena);
        o->body = row_text(r, i, 5, arena);
        o->is_test = pg_get_bool(r, i, 6);
        o->failed = pg_get_int(r, i, 7);
        open_secrets(o, key, r, i, arena);
    }
    pg_result_free(r);
    return err;
}

static const char end_sql[] = "WITH put AS (UPDATE alert_deliveries SET attempts = attempts + 1, state = "
                              "$2::text, last_status = $3::int4, "
                              "last_trouble = $4::text, next_at = coalesce($5::timestamptz, next_at), "
                              "ended_at = CASE WHEN $2::text = 'pending' "
                              "THEN NULL ELSE $6::timestamptz END WHERE delivery = $1::int8 AND state = "
                              "'pending' RETURNING webhook), off AS "
                              "(UPDATE webhooks w SET is_enabled = false, disabled_because = 'it answered "
                              "410 Gone' FROM put WHERE w.webhook = "
                              "put.webhook AND $7::bool AND w.is_enabled RETURNING w.name), noted AS (INSERT "
                              "INTO audit (actor, action, subject, "
                              "detail) SELECT 'monitor', 'webhook.disable', name, '{\"because\": \"410\"}' "
                              "FROM off) SELECT count(*) FROM put";

enum err outbox_end(struct pg_session *s, const struct outbox_result *result, struct why *why)
{
    static const char *const states[] = { [OUTBOX_DELIVERED] = "delivered",
                                          [OUTBOX_AGAIN] = "pending",
                                          [OUTBOX_FAILED] = "failed",
                                          [OUTBOX_GONE] = "failed" };
    struct pg_params p = { 0 };

    pg_add_i64(&p, result->delivery);
    pg_add_text(&p, slice_str(states[result->end]));
    pg_add_i32(&p, result->status);
    pg_add_text(&p, result->trouble ? slice_str(result->trouble) : SLICE(""));
    row_add_time(&p, result->end == OUTBOX_AGAIN ? result->next_us : INT64_MIN);
    pg_add_time_us(&p, result->now_us);
    pg_add_bool(&p, result->end == OUTBOX_GONE);
    return row_ask(s, end_sql, &p, NULL, why);
}

enum err outbox_state(struct pg_session *s, struct outbox_state *out, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s,
                "SELECT count(*), min(d.created_at) FROM alert_deliveries d JOIN webhooks w USING (webhook) "
                "WHERE d.state = 'pending' AND w.is_enabled",
                NULL, &r, why);

    *out = (struct outbox_state){ .oldest_us = INT64_MAX };
    if (!err) {
        out->waiting = pg_get_int(r, 0, 0);
        if (!pg_is_null(r, 0, 1))
            out->oldest_us = pg_get_time_us(r, 0, 1);
    }
    pg_result_free(r);
    return err;
}

enum err outbox_prune(struct pg_session *s, int64_t before_us, struct why *why)
{
    static const char *const sql[] = {
        "DELETE FROM alert_deliveries WHERE created_at < $1::timestamptz",
        "DELETE FROM alert_silences WHERE ends_at < $1::timestamptz",
        "DELETE FROM alerts WHERE state = 'resolved' AND resolved_at < $1::timestamptz",
    };
    enum err err = ERR_OK;

    for (size_t i = 0; i < sizeof sql / sizeof *sql && !err; i++) {
        struct pg_params p = { 0 };

        pg_add_time_us(&p, before_us);
        err = row_ask(s, sql[i], &p, NULL, why);
    }
    return err;
}

/* ---- showing ---- */

static void write_time(struct json_out *o, const char *key, int64_t at_us)
{
    if (at_us == INT64_MIN)
        json_out_null(o, key);
    else
        json_out_time(o, key, at_us);
}

void delivery_row_write(struct json_out *o, const char *key, const struct delivery_row *d)
{
    json_out_open(o, key);
    json_out_int(o, "id", d->delivery);
    json_out_text(o, "webhook", d->webhook);
    json_out_text(o, "event", d->event);
    json_out_text(o, "type", d->type);
    json_out_text(o, "state", d->state);
    json_out_int(o, "attempts", d->attempts);
    json_out_int(o, "last_status", d->last_status);
    json_out_text(o, "last_trouble", d->last_trouble);
    json_out_time(o, "created_at", d->created_us);
    write_time(o, "next_at", slice_eq_str(d->state, "pending") ? d->next_us : INT64_MIN);
    write_time(o, "ended_at", d->ended_us);
    json_out_end(o);
}

enum err delivery_row_list(struct pg_session *s, int64_t alert, int64_t delivery, size_t most,
                           struct delivery_row **out, size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, alert);
    pg_add_i64(&p, delivery);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(
        s,
        "SELECT d.delivery, w.name, d.event, d.type, d.state, d.attempts::int8, d.last_status::int8, "
        "d.last_trouble, d.created_at, d.next_at, d.ended_at FROM alert_deliveries d JOIN webhooks w USING "
        "(webhook) WHERE ($1::int8 = 0 OR d.alerts @> ARRAY[$1::int8]) AND ($2::int8 = 0 OR d.delivery = "
        "$2::int8) ORDER BY d.delivery DESC LIMIT $3::int8",
        &p, &r, why);
    *count = 0;
    if (!err)
        *out = arena_new(arena, struct delivery_row, pg_rows(r) + 1);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        (*out)[(*count)++] = (struct delivery_row){
            .delivery = pg_get_int(r, i, 0),
            .webhook = row_text(r, i, 1, arena),
            .event = row_text(r, i, 2, arena),
            .type = row_text(r, i, 3, arena),
            .state = row_text(r, i, 4, arena),
            .attempts = pg_get_int(r, i, 5),
            .last_status = pg_get_int(r, i, 6),
            .last_trouble = row_text(r, i, 7, arena),
            .created_us = row_time(r, i, 8),
            .next_us = row_time(r, i, 9),
            .ended_us = row_time(r, i, 10),
        };
    pg_result_free(r);
    return err;
}
