/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest_rest.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backtests.h"
#include "base/clock.h"
#include "json/json.h"
#include "json/json_out.h"
#include "json/members.h"
#include "lifestore/row.h"
#include "pg/session.h"
#include "policystore/publish.h"
#include "routes.h"
#include "rules.h"

enum { TRIAL_NICE = 10 };

/* ---- writing ---- */

#define ROW_COLUMNS                                                                                          \
    "backtest, state, asked_by, created_at, started_at, ended_at, question::text, version, revision, "       \
    "stage, "                                                                                                \
    "b.done, b.total, encode(report_sha256, 'hex'), trouble"

/* The object stays open. */
static void write_row(struct json_out *o, const struct pg_result *r, size_t row)
{
    json_out_open(o, NULL);
    json_out_int(o, "backtest", pg_get_int(r, row, 0));
    json_out_text(o, "state", pg_get_text(r, row, 1));
    json_out_text(o, "asked_by", pg_get_text(r, row, 2));
    row_write_time(o, "created_at", r, row, 3);
    row_write_time(o, "started_at", r, row, 4);
    row_write_time(o, "ended_at", r, row, 5);
    json_out_json(o, "question", pg_get_text(r, row, 6));
    row_write_int(o, "version", r, row, 7);
    row_write_int(o, "revision", r, row, 8);
    json_out_text(o, "stage", pg_get_text(r, row, 9));
    json_out_int(o, "done", pg_get_int(r, row, 10));
    json_out_int(o, "total", pg_get_int(r, row, 11));
    json_out_str(o, "report_sha256", pg_is_null(r, row, 12) ? NULL : pg_get_text(r, row, 12).ptr);
    json_out_text(o, "trouble", pg_get_text(r, row, 13));
}

static enum err show(struct call *c, struct pg_session *s, int64_t id, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, id);
    err =
        pg_exec(s, "SELECT " ROW_COLUMNS ", report FROM backtests b WHERE backtest = $1::int8", &p, &r, why);
    pg_params_release(&p);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no backtest %" PRId64, id);
    if (!err) {
        write_row(&o, r, 0);
        if (!pg_is_null(r, 0, 14))
            json_out_json(&o, "answer", pg_get_text(r, 0, 14));
        json_out_end(&o);
    }
    pg_result_free(r);
    return err;
}

/* ---- asking ---- */

enum { DOCUMENT, VERSION, FROM, TO, AGAINST, MODEL, DELAY, MEMBER_COUNT };

struct asked {
    json_t *body;
    struct json_member m[MEMBER_COUNT];
    struct slice document, question;
    int64_t account, version, revision;
};

static enum err check_times(const struct asked *a, struct why *why)
{
    int64_t from_us = INT64_MIN, to_us = INT64_MAX;

    if (a->m[FROM].value && !rfc3339_parse(json_member_text(&a->m[FROM]), &from_us))
        return err_set(why, ERR_INVALID, "from is a time of RFC 3339");
    if (a->m[TO].value && !rfc3339_parse(json_member_text(&a->m[TO]), &to_us))
        return err_set(why, ERR_INVALID, "to is a time of RFC 3339");
    return from_us < to_us ? ERR_OK : err_set(why, ERR_INVALID, "the span ends before it begins");
}

static enum err check_words(const struct asked *a, struct why *why)
{
    struct slice against = json_member_text(&a->m[AGAINST]);
    int64_t number, delay = json_member_int(&a->m[DELAY], 7);

    if (against.len && !slice_eq_str(against, "live") && !slice_eq_str(against, "decided") &&
        !(slice_to_i64(against, &number) && number > 0))
        return err_set(why, ERR_INVALID, "against is live, decided or the number of a version");
    if (delay < 0 || delay > 3650)
        return err_set(why, ERR_INVALID, "label_delay_days is 0 to 3650");
    if (json_member_int(&a->m[MODEL], 0) < 0)
        return err_set(why, ERR_INVALID, "model is the number of a version");
    if (!a->m[DOCUMENT].value == !a->m[VERSION].value)
        return err_set(why, ERR_INVALID, "a document or a version is asked about");
    return check_times(a, why);
}

/* A version is tried as it is now: a draft may be changed while it waits. */
static enum err find_document(struct call *c, struct pg_session *s, struct asked *a, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    if (a->m[DOCUMENT].value) {
        a->document = json_member_json(&a->m[DOCUMENT], &c->arena);
        return ERR_OK;
    }
    a->version = json_member_int(&a->m[VERSION], 0);
    pg_add_i64(&p, a->version);
    err = pg_exec(s, "SELECT body::text, account, revision FROM rulesets WHERE version = $1::int8", &p, &r,
                  why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no rule set %" PRId64, a->version);
    if (!err) {
        a->document = arena_slice(&c->arena, pg_get_text(r, 0, 0));
        a->account = pg_get_int(r, 0, 1);
        a->revision = pg_get_int(r, 0, 2);
    }
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err check_document(struct slice document, struct why *why)
{
    struct draft d = { 0 };
    enum err err = draft_open(&d, document, why);

    draft_release(&d);
    return err;
}

static void write_question(struct call *c, struct asked *a)
{
    struct buf text = { 0 };
    struct json_out o = json_out_to(&text);
    struct slice against = json_member_text(&a->m[AGAINST]);

    json_out_open(&o, NULL);
    json_out_text(&o, "against", against.len ? against : SLICE("live"));
    if (a->m[FROM].value)
        json_out_text(&o, "from", json_member_text(&a->m[FROM]));
    if (a->m[TO].value)
        json_out_text(&o, "to", json_member_text(&a->m[TO]));
    if (json_member_int(&a->m[MODEL], 0))
        json_out_int(&o, "model", json_member_int(&a->m[MODEL], 0));
    json_out_int(&o, "label_delay_days", json_member_int(&a->m[DELAY], 7));
    json_out_end(&o);
    a->question = arena_slice(&c->arena, buf_slice(&text));
    buf_release(&text);
}

/* Into the audit, beside the rest of a version's life: $1 is who. */
#define NOTE                                                                                                 \
    "INSERT INTO audit (account, actor, action, subject, detail) SELECT nullif(account, 0), $1::text, "

static enum err keep(struct call *c, struct pg_session *s, const struct asked *a, int64_t *id,
                     struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, slice_str(c->actor));
    pg_add_text(&p, a->question);
    pg_add_text(&p, a->document);
    pg_add_i64(&p, a->account);
    pg_add_i64(&p, a->version);
    pg_add_i64(&p, a->revision);
    pg_add_i64(&p, BACKTESTS_WAITING_MAX);
    err = pg_exec(
        s,
        "WITH asked AS (INSERT INTO backtests (asked_by, question, document, account, version, revision) "
        "SELECT $1::text, $2::text::jsonb, $3::text::jsonb, $4::int8, nullif($5::int8, 0), "
        "nullif($6::int8, 0) WHERE (SELECT count(*) FROM backtests WHERE state IN ('waiting', "
        "'running')) < $7::int8 RETURNING *), "
        "noted AS (" NOTE "'rules.backtest', coalesce(version::text, ''), jsonb_strip_nulls("
        "jsonb_build_object('backtest', backtest, 'revision', revision, 'question', question)) FROM asked) "
        "SELECT backtest FROM asked",
        &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_LIMIT, "%d backtests are waiting already", BACKTESTS_WAITING_MAX);
    if (!err)
        *id = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

enum err post_backtest(struct call *c, struct pg_session *s, struct why *why)
{
    struct asked a = { .m = { [DOCUMENT] = { "document", JSON_OBJECT, false, NULL },
                              [VERSION] = { "version", JSON_INTEGER, false, NULL },
                              [FROM] = { "from", JSON_STRING, false, NULL },
                              [TO] = { "to", JSON_STRING, false, NULL },
                              [AGAINST] = { "against", JSON_STRING, false, NULL },
                              [MODEL] = { "model", JSON_INTEGER, false, NULL },
                              [DELAY] = { "label_delay_days", JSON_INTEGER, false, NULL } } };
    int64_t id = 0;
    enum err err = json_members_read(&a.body, c->body, a.m, MEMBER_COUNT, why);

    if (!err)
        err = check_words(&a, why);
    if (!err)
        err = find_document(c, s, &a, why);
    if (!err)
        err = check_document(a.document, why);
    if (!err) {
        write_question(c, &a);
        err = keep(c, s, &a, &id, why);
    }
    json_decref(a.body);
    if (err)
        return err;
    backtests_wake(rules_backtests(c->ctx));
    c->status = 202;
    return show(c, s, id, why);
}

/* ---- what was asked ---- */

static enum err read_id(struct slice text, int64_t *id, struct why *why)
{
    if (slice_to_i64(text, id) && *id > 0 && *id <= INT32_MAX)
        return ERR_OK;
    return err_set(why, ERR_NOT_FOUND, "no such number");
}

enum err get_backtest(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t id;
    enum err err = read_id(c->id, &id, why);

    return err ? err : show(c, s, id, why);
}

enum err list_backtests(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct slice asked = c->query[QUERY_VERSION];
    int64_t version = 0;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = asked.len ? read_id(asked, &version, why) : ERR_OK;

    if (err)
        return err;
    pg_add_i64(&p, c->before);
    pg_add_i64(&p, c->limit);
    pg_add_i64(&p, version);
    err = pg_exec(s,
                  "SELECT " ROW_COLUMNS " FROM backtests b WHERE ($1::int8 = 0 OR backtest < $1::int8) AND "
                  "($3::int8 = 0 OR version = $3::int8) ORDER BY backtest DESC LIMIT $2::int8",
                  &p, &r, why);
    if (!err) {
        json_out_open(&o, NULL);
        json_out_list(&o, "backtests");
        for (size_t i = 0; i < pg_rows(r); i++) {
            write_row(&o, r, i);
            json_out_end(&o);
        }
        json_out_end(&o);
        json_out_end(&o);
    }
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* One that waits is over at once; one that runs hears of it the next time it tells how far it is. */
enum err cancel_backtest(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t id;
    enum err err = read_id(c->id, &id, why);

    if (err)
        return err;
    pg_add_text(&p, slice_str(c->actor));
    pg_add_i64(&p, id);
    err = pg_exec(
        s,
        "WITH was AS (SELECT backtest, is_cancelled FROM backtests WHERE backtest = $2::int8 FOR UPDATE), "
        "told AS (UPDATE backtests b SET is_cancelled = true, state = CASE WHEN state = 'waiting' THEN "
        "'cancelled' ELSE state END, ended_at = CASE WHEN state = 'waiting' THEN now() END "
        "FROM was WHERE b.backtest = was.backtest AND state IN ('waiting', 'running') "
        "RETURNING b.*, was.is_cancelled AS is_again), "
        "noted AS (" NOTE "'rules.backtest_cancel', coalesce(version::text, ''), "
        "jsonb_build_object('backtest', backtest) FROM told WHERE NOT is_again) "
        "SELECT backtest FROM told",
        &p, &r, why);
    pg_params_release(&p);
    if (!err && pg_rows(r) == 0) {
        pg_result_free(r);
        err = show(c, s, id, why); /* 404 for one that is not there */
        buf_clear(&c->out);
        return err ? err : err_set(why, ERR_CONFLICT, "backtest %" PRId64 " has ended already", id);
    }
    pg_result_free(r);
    return err ? err : show(c, s, id, why);
}

/* ---- while it is written ---- */

enum err try_backtest(struct call *c, struct pg_session *s, struct why *why)
{
    enum { DRAFT, AS_IT_WAS, DAYS, RULE, COUNT };
    struct json_member m[COUNT] = { [DRAFT] = { "document", JSON_OBJECT, false, NULL },
                                    [AS_IT_WAS] = { "as_it_was", JSON_TRUE, false, NULL },
                                    [DAYS] = { "days", JSON_INTEGER, false, NULL },
                                    [RULE] = { "rule", JSON_STRING, false, NULL } };
    struct trial_question q = { 0 };
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    setpriority(PRIO_PROCESS, (id_t)gettid(), TRIAL_NICE);
    q.as_it_was = json_member_bool(&m[AS_IT_WAS]);
    q.days = json_member_int(&m[DAYS], 30);
    q.rule = json_member_text(&m[RULE]);
    if (!err && (q.days < 1 || q.days > TRIAL_DAYS_MAX))
        err = err_set(why, ERR_INVALID, "days is 1 to %d", TRIAL_DAYS_MAX);
    if (!err && q.as_it_was == (m[DRAFT].value != NULL))
        err = err_set(why, ERR_INVALID, "a document is asked about, or the sets as they were");
    if (!err && m[DRAFT].value) {
        q.document = json_member_json(&m[DRAFT], &c->arena);
        err = check_document(q.document, why);
    }
    if (!err)
        err = backtests_try(rules_backtests(c->ctx), s, &q, &c->out, why);
    json_decref(body);
    return err;
}
