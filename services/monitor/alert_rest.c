/* SPDX-License-Identifier: Apache-2.0 */
#include "alert_rest.h"

#include <sodium.h>

#include "alerts/event.h"
#include "alertstore/alert_row.h"
#include "alertstore/outbox.h"
#include "alertstore/webhook_row.h"
#include "base/array.h"
#include "base/clock.h"
#include "deliver/address.h"
#include "desk/desk.h"
#include "json/members.h"
#include "monitor.h"
#include "routes.h"

enum { DELIVERIES_MOST = 100 };

static const struct alerts_rules *rules_of(const struct call *c)
{
    return alerts_rules(monitor_alerts(c->ctx));
}

static enum err read_id(const struct call *c, int64_t *id, struct why *why)
{
    if (slice_to_i64(c->id, id) && *id > 0)
        return ERR_OK;
    return err_set(why, ERR_NOT_FOUND, "no such number");
}

/* ---- alerts ---- */

/* ?state= also takes "open": pending or firing. */
static enum err read_filter(const struct call *c, struct alert_filter *filter, struct why *why)
{
    struct slice state = c->query[QUERY_STATE], severity = c->query[QUERY_SEVERITY];
    enum alert_severity known_severity;
    enum alert_state known_state;

    *filter = (struct alert_filter){ .before = c->before, .most = (size_t)c->limit };
    filter->is_open = slice_eq_str(state, "open");
    if (state.len && !filter->is_open && !alert_state_find(state, &known_state))
        return err_set(why, ERR_INVALID, "state is open, pending, firing or resolved");
    if (severity.len && !alert_severity_find(severity, &known_severity))
        return err_set(why, ERR_INVALID, "severity is info, warning or critical");
    if (!filter->is_open)
        filter->state = state;
    filter->severity = severity;
    return ERR_OK;
}

enum err list_alerts(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct alert_filter filter;
    struct alert *all;
    size_t count;
    enum err err = read_filter(c, &filter, why);

    if (!err)
        err = alert_row_list(s, &filter, &all, &count, &c->arena, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "alerts");
    for (size_t i = 0; i < count; i++)
        alert_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

enum err get_alert(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct delivery_row *deliveries;
    struct alert alert;
    int64_t id;
    size_t count;
    enum err err = read_id(c, &id, why);

    if (!err)
        err = alert_row_read(s, id, &alert, &c->arena, why);
    if (!err)
        err = delivery_row_list(s, id, 0, DELIVERIES_MOST, &deliveries, &count, &c->arena, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    alert_write(&o, "alert", &alert);
    json_out_list(&o, "deliveries");
    for (size_t i = 0; i < count; i++)
        delivery_row_write(&o, NULL, &deliveries[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

/* ---- silences ---- */

enum err list_silences(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    bool is_all = slice_eq_str(c->query[QUERY_STATE], "all");
    int64_t now_us = clock_wall_us();
    struct silence *all;
    size_t count;
    enum err err = ERR_OK;

    if (c->query[QUERY_STATE].len && !is_all)
        err = err_set(why, ERR_INVALID, "state is all, or is not there");
    if (!err)
        err = silence_row_list(s, is_all ? ALERT_NEVER : now_us, (size_t)c->limit, &all, &count, &c->arena,
                               why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "silences");
    for (size_t i = 0; i < count; i++)
        silence_row_write(&o, NULL, &all[i], now_us);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

static enum err read_time(const struct json_member *m, int64_t fallback_us, int64_t *out, struct why *why)
{
    *out = fallback_us;
    if (!m->value || rfc3339_parse(json_member_text(m), out))
        return ERR_OK;
    return err_set(why, ERR_INVALID, "%s is a time of RFC 3339", m->name);
}

enum err post_silence(struct call *c, struct pg_session *s, struct why *why)
{
    enum { MATCHERS, STARTS, ENDS, COMMENT, COUNT };
    struct json_member m[COUNT] = { [MATCHERS] = { "matchers", JSON_ARRAY, true, NULL },
                                    [STARTS] = { "starts_at", JSON_STRING, false, NULL },
                                    [ENDS] = { "ends_at", JSON_STRING, true, NULL },
                                    [COMMENT] = { "comment", JSON_STRING, true, NULL } };
    struct json_out o = json_out_to(&c->out);
    struct silence silence = { .author = slice_str(c->actor) };
    int64_t now_us = clock_wall_us();
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = silence_matchers_read(&silence, m[MATCHERS].value, &c->arena, why);
    if (!err)
        err = read_time(&m[STARTS], now_us, &silence.starts_us, why);
    if (!err)
        err = read_time(&m[ENDS], 0, &silence.ends_us, why);
    if (!err && silence.ends_us <= now_us)
        err = err_set(why, ERR_INVALID, "ends_at is over");
    if (!err) {
        silence.comment = arena_slice(&c->arena, json_member_text(&m[COMMENT]));
        err = silence_row_add(s, &silence, slice_str(c->actor), why);
    }
    if (!err)
        silence_row_write(&o, NULL, &silence, now_us);
    c->status = 201;
    json_decref(body);
    return err;
}

enum err expire_silence(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t id;
    enum err err = read_id(c, &id, why);

    c->status = 204;
    return err ? err : silence_row_expire(s, id, clock_wall_us(), slice_str(c->actor), why);
}

/* ---- webhooks ---- */

enum err list_webhooks(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct webhook_row *all;
    size_t count;
    enum err err = webhook_row_list(s, &all, &count, &c->arena, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "webhooks");
    for (size_t i = 0; i < count; i++)
        webhook_row_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

/* With its secret, when it has just been made. */
static enum err show_webhook(struct call *c, struct pg_session *s, struct slice name,
                             struct webhook_secret *secret, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    char text[WEBHOOK_SECRET_SIZE];
    struct webhook_row row;
    enum err err = webhook_row_read(s, name, &row, &c->arena, why);

    if (err)
        return err;
    if (!secret) {
        webhook_row_write(&o, NULL, &row);
        return ERR_OK;
    }
    webhook_secret_write(secret, text);
    json_out_open(&o, NULL);
    webhook_row_write(&o, "webhook", &row);
    json_out_str(&o, "secret", text);
    json_out_end(&o);
    sodium_memzero(text, sizeof text);
    sodium_memzero(secret, sizeof *secret);
    return ERR_OK;
}

enum err get_webhook(struct call *c, struct pg_session *s, struct why *why)
{
    return show_webhook(c, s, c->id, NULL, why);
}

enum err post_webhook(struct call *c, struct pg_session *s, struct why *why)
{
    enum { NAME, URL, COUNT };
    struct json_member m[COUNT] = {
        [NAME] = { "name", JSON_STRING, true, NULL }, [URL] = { "url", JSON_STRING, true, NULL }
    };
    const struct alerts_rules *rules = rules_of(c);
    struct webhook_secret secret;
    struct slice name, url;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    c->status = 201;
    name = arena_slice(&c->arena, json_member_text(&m[NAME]));
    url = arena_slice(&c->arena, json_member_text(&m[URL]));
    json_decref(body);
    if (!err)
        err = address_check_url(url.ptr, rules->allow_http, rules->allow_private, why);
    if (!err)
        err = webhook_row_add(s, &rules->key, name, url, slice_str(c->actor), &secret, why);
    return err ? err : show_webhook(c, s, name, &secret, why);
}

enum err rotate_webhook(struct call *c, struct pg_session *s, struct why *why)
{
    struct webhook_secret secret;
    enum err err =
        webhook_row_rotate(s, &rules_of(c)->key, c->id, clock_wall_us(), slice_str(c->actor), &secret, why);

    return err ? err : show_webhook(c, s, c->id, &secret, why);
}

enum err enable_webhook(struct call *c, struct pg_session *s, struct why *why)
{
    enum err err = webhook_row_enable(s, c->id, true, SLICE(""), slice_str(c->actor), why);

    return err ? err : show_webhook(c, s, c->id, NULL, why);
}

enum err disable_webhook(struct call *c, struct pg_session *s, struct why *why)
{
    enum err err =
        webhook_row_enable(s, c->id, false, SLICE("somebody disabled it"), slice_str(c->actor), why);

    return err ? err : show_webhook(c, s, c->id, NULL, why);
}

enum err delete_webhook(struct call *c, struct pg_session *s, struct why *why)
{
    c->status = 204;
    return webhook_row_remove(s, c->id, slice_str(c->actor), why);
}

/* ---- deliveries ---- */

static enum err show_delivery(struct call *c, struct pg_session *s, int64_t id, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct delivery_row *rows;
    size_t count;
    enum err err = delivery_row_list(s, 0, id, 1, &rows, &count, &c->arena, why);

    if (!err && count == 0)
        err = err_set(why, ERR_NOT_FOUND, "no such delivery");
    if (!err)
        delivery_row_write(&o, NULL, &rows[0]);
    return err;
}

enum err get_delivery(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t id;
    enum err err = read_id(c, &id, why);

    return err ? err : show_delivery(c, s, id, why);
}

enum err test_webhook(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t id;
    enum err err = outbox_add_test(s, c->id, slice_str(rules_of(c)->source), clock_wall_us(),
                                   slice_str(c->actor), &id, why);

    c->status = 202;
    return err ? err : show_delivery(c, s, id, why);
}
