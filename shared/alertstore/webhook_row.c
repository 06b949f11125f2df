/* SPDX-License-Identifier: Apache-2.0 */
#include "alertstore/webhook_row.h"

#include "lifestore/row.h"

void webhook_row_write(struct json_out *o, const char *key, const struct webhook_row *w)
{
    json_out_open(o, key);
    json_out_text(o, "name", w->name);
    json_out_text(o, "url", w->url);
    json_out_bool(o, "is_enabled", w->is_enabled);
    json_out_text(o, "disabled_because", w->disabled_because);
    json_out_int(o, "waiting", w->waiting);
    if (w->old_until_us == INT64_MIN)
        json_out_null(o, "old_secret_until");
    else
        json_out_time(o, "old_secret_until", w->old_until_us);
    json_out_time(o, "created_at", w->created_us);
    json_out_end(o);
}

/* ---- reading ---- */

static enum err read_rows(struct pg_session *s, struct slice name, struct webhook_row **out, size_t *count,
                          struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    err = row_ask(
        s,
        "SELECT webhook, name, url, is_enabled, disabled_because, created_at, old_until, (SELECT count(*) "
        "FROM "
        "alert_deliveries d WHERE d.webhook = w.webhook AND d.state = 'pending') FROM webhooks w WHERE "
        "$1::text = '' OR name = $1::text ORDER BY name",
        &p, &r, why);
    *count = 0;
    if (!err)
        *out = arena_new(arena, struct webhook_row, pg_rows(r) + 1);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        (*out)[(*count)++] = (struct webhook_row){
            .id = pg_get_int(r, i, 0),
            .name = row_text(r, i, 1, arena),
            .url = row_text(r, i, 2, arena),
            .is_enabled = pg_get_bool(r, i, 3),
            .disabled_because = row_text(r, i, 4, arena),
            .created_us = row_time(r, i, 5),
            .old_until_us = row_time(r, i, 6),
            .waiting = pg_get_int(r, i, 7),
        };
    pg_result_free(r);
    return err;
}

enum err webhook_row_list(struct pg_session *s, struct webhook_row **out, size_t *count, struct arena *arena,
                          struct why *why)
{
    return read_rows(s, SLICE(""), out, count, arena, why);
}

static enum err not_found(struct slice name, struct why *why)
{
    return err_set(why, ERR_NOT_FOUND, "there is no webhook \"%.*s\"", SLICE_ARG(name));
}

enum err webhook_row_read(struct pg_session *s, struct slice name, struct webhook_row *out,
                          struct arena *arena, struct why *why)
{
    struct webhook_row *rows;
    size_t count;
    enum err err = name.len ? read_rows(s, name, &rows, &count, arena, why) : not_found(name, why);

    if (!err && count == 0)
        err = not_found(name, why);
    if (!err)
        *out = rows[0];
    return err;
}

/* ---- changing ---- */

static enum err make_secret(const struct seal_key *key, struct slice name, struct webhook_secret *secret,
                            struct slice *sealed, struct arena *arena, struct why *why)
{
    webhook_secret_make(secret);
    return seal_close(key, slice_of(secret->bytes, secret->len),
                      arena_printf(arena, "webhook %.*s", SLICE_ARG(name)), sealed, arena, why);
}

/* Of a change that gives back a row when there was something to change. */
static enum err change(struct pg_session *s, const char *sql, struct pg_params *p, struct slice name,
                       struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, sql, p, &r, why);

    if (!err && pg_rows(r) == 0)
        err = not_found(name, why);
    pg_result_free(r);
    return err;
}

static const char add_sql[] = "WITH made AS (INSERT INTO webhooks (name, url, secret) SELECT $1::text, "
                              "$2::text, $3::bytea WHERE $1::text ~ "
                              "'^[a-z0-9][a-z0-9_-]{0,62}$' AND (SELECT count(*) FROM webhooks) < $5::int8 "
                              "ON CONFLICT (name) DO NOTHING "
                              "RETURNING name), noted AS (INSERT INTO audit (actor, action, subject) SELECT "
                              "$4::text, 'webhook.add', name FROM "
                              "made) SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM webhooks), "
                              "EXISTS (SELECT FROM webhooks WHERE "
                              "name = $1::text)";

enum err webhook_row_add(struct pg_session *s, const struct seal_key *key, struct slice name,
                         struct slice url, struct slice actor, struct webhook_secret *secret, struct why *why)
{
    struct arena arena = { 0 };
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct slice sealed;
    enum err err = make_secret(key, name, secret, &sealed, &arena, why);

    if (!err) {
        pg_add_text(&p, name);
        pg_add_text(&p, url);
        pg_add_bytes(&p, sealed);
        pg_add_text(&p, actor);
        pg_add_i64(&p, WEBHOOKS_MAX);
        err = row_ask(s, add_sql, &p, &r, why);
    }
    if (!err && pg_get_int(r, 0, 0) == 0) {
        if (pg_get_bool(r, 0, 2))
            err = err_set(why, ERR_CONFLICT, "there is a webhook \"%.*s\" already", SLICE_ARG(name));
        else if (pg_get_int(r, 0, 1) >= WEBHOOKS_MAX)
            err = err_set(why, ERR_LIMIT, "there are %d webhooks already", WEBHOOKS_MAX);
        else
            err = err_set(why, ERR_INVALID, "a webhook's name is [a-z0-9][a-z0-9_-]{0,62}");
    }
    pg_result_free(r);
    arena_release(&arena);
    return err;
}

enum err webhook_row_rotate(struct pg_session *s, const struct seal_key *key, struct slice name,
                            int64_t now_us, struct slice actor, struct webhook_secret *secret,
                            struct why *why)
{
    struct arena arena = { 0 };
    struct pg_params p = { 0 };
    struct slice sealed;
    enum err err = make_secret(key, name, secret, &sealed, &arena, why);

    if (!err) {
        pg_add_text(&p, name);
        pg_add_bytes(&p, sealed);
        pg_add_time_us(&p, now_us + WEBHOOK_OVERLAP_US);
        pg_add_text(&p, actor);
        err = change(s,
                     "WITH put AS (UPDATE webhooks SET old_secret = secret, secret = $2::bytea, old_until = "
                     "$3::timestamptz WHERE name = $1::text RETURNING name), noted AS (INSERT INTO audit "
                     "(actor, action, "
                     "subject) SELECT $4::text, 'webhook.rotate', name FROM put) SELECT name FROM put",
                     &p, name, why);
    }
    arena_release(&arena);
    return err;
}

enum err webhook_row_enable(struct pg_session *s, struct slice name, bool is_enabled, struct slice because,
                            struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, name);
    pg_add_bool(&p, is_enabled);
    pg_add_text(&p, is_enabled ? SLICE("") : because);
    pg_add_text(&p, actor);
    return change(
        s,
        "WITH put AS (UPDATE webhooks SET is_enabled = $2::bool, disabled_because = $3::text WHERE name = "
        "$1::text RETURNING webhook, name), due AS (UPDATE alert_deliveries d SET next_at = least(next_at, "
        "now()) FROM put "
        "WHERE d.webhook = put.webhook AND d.state = 'pending'), noted AS (INSERT INTO audit (actor, action, "
        "subject, detail) SELECT $4::text, CASE WHEN $2::bool THEN 'webhook.enable' ELSE 'webhook.disable' "
        "END, name, "
        "jsonb_build_object('because', $3::text) FROM put) SELECT name FROM put",
        &p, name, why);
}

enum err webhook_row_remove(struct pg_session *s, struct slice name, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, name);
    pg_add_text(&p, actor);
    return change(
        s,
        "WITH gone AS (DELETE FROM webhooks WHERE name = $1::text RETURNING name), noted AS (INSERT INTO "
        "audit "
        "(actor, action, subject) SELECT $2::text, 'webhook.remove', name FROM gone) SELECT name FROM gone",
        &p, name, why);
}
