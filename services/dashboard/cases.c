/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

#include "auditstore/audit.h"
#include "base/array.h"
#include "base/clock.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "json/json.h"
#include "json/members.h"
#include "lifestore/row.h"
#include "userstore/user.h"

enum {
    BULK_MOST = 500,
    LISTS_MOST = 8,
    NOTE_MOST = 4000,
    NOTES_MOST = 1000, /* of a case, as remarks of their own */
    FILTER_MOST = 4096,
    SNOOZE_MOST_DAYS = 30,
    VIEWS_MOST = 100
};

/* ---- the order ---- */

/* All of it is SQL. A cursor is the key of a row, a number, and its case; without one, the least key and 0. */
struct order {
    const char *name, *key, *by;
    const char *after; /* beyond the cursor, $14 and $15 */
};
static const struct order orders[] = {
    { "loss", "(-expected_loss)", "(-expected_loss), \"case\"",
      "((-expected_loss), \"case\") > ($14::int8, $15::int8)" },
    { "due", "(extract(epoch FROM due_at) * 1000000)::int8", "due_at, \"case\"",
      "(due_at, \"case\") > ('epoch'::timestamptz + greatest($14::int8, -60000000000000000) * interval '1 "
      "us', "
      "$15::int8)" },
    { "newest", "(-\"case\")", "\"case\" DESC",
      "\"case\" < coalesce(nullif($15::int8, 0), 9223372036854775807) AND $14::int8 IS NOT NULL" },
};

/* ---- the filter ---- */

struct filter {
    struct slice state, assignee, rule, merchant, country, entity, account;
    double amount[2], score[2], age[2]; /* from, to */
    const struct order *order;
};

#define LARGEST 9e18 /* no bound: as in SPAN_SQL */

/* "from..to", of which either may be left out. */
static enum err read_span(struct slice text, const char *name, double span[2], struct why *why)
{
    const char *dots = text.len ? memmem(text.ptr, text.len, "..", 2) : NULL;
    struct slice from, to;

    span[0] = -LARGEST;
    span[1] = LARGEST;
    if (!text.len)
        return ERR_OK;
    if (!dots)
        return err_set(why, ERR_INVALID, "%s is from..to", name);
    from = slice_of(text.ptr, (size_t)(dots - text.ptr));
    to = slice_of(dots + 2, text.len - from.len - 2);
    if ((from.len && !slice_to_double(from, &span[0])) || (to.len && !slice_to_double(to, &span[1])))
        return err_set(why, ERR_INVALID, "%s is from..to, two numbers", name);
    return ERR_OK;
}

static enum err read_filter(struct call *c, const struct slice *given, struct filter *f, struct why *why)
{
    static const char *const states[] = { "", "waiting", "open", "assigned", "snoozed", "decided", "all" };
    struct slice sort = given[QUERY_SORT].len ? given[QUERY_SORT] : slice_str(orders[0].name);
    bool is_known = false;
    enum err err;

    *f = (struct filter){ .state = given[QUERY_STATE],
                          .assignee = given[QUERY_ASSIGNEE],
                          .rule = given[QUERY_RULE],
                          .merchant = given[QUERY_MERCHANT],
                          .country = given[QUERY_COUNTRY],
                          .entity = given[QUERY_ENTITY],
                          .account = given[QUERY_ACCOUNT] };
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        is_known |= slice_eq_str(f->state, states[i]);
    for (size_t i = 0; i < ARRAY_LEN(orders); i++)
        if (slice_eq_str(sort, orders[i].name))
            f->order = &orders[i];
    if (!is_known)
        return err_set(why, ERR_INVALID, "state is waiting, open, assigned, snoozed, decided or all");
    if (!f->order)
        return err_set(why, ERR_INVALID, "sort is loss, due or newest");
    if (slice_eq_str(f->assignee, "me"))
        f->assignee = slice_str(c->actor);
    err = read_span(given[QUERY_AMOUNT], "amount", f->amount, why);
    if (!err)
        err = read_span(given[QUERY_SCORE], "score", f->score, why);
    if (!err)
        err = read_span(given[QUERY_AGE], "age", f->age, why);
    return err;
}

/* As in the index review_cases_about. */
#define ABOUT_SQL                                                                                            \
    "ARRAY[customer_id COLLATE \"C\", card_id COLLATE \"C\", device_id COLLATE \"C\", ip COLLATE \"C\", "    \
    "merchant_id COLLATE \"C\", transaction_id COLLATE \"C\"]"

/* $1 to $13. An assigned case whose lock has run out is open. What is not asked for is a constant to the planner, and
 * falls away: a comparison with what all rows meet would have it expect next to none. */
#define SPAN_SQL(what, from, to)                                                                             \
    "(" from "::float8 = -9e18 OR " what " >= " from "::float8) AND (" to "::float8 = 9e18 OR " what         \
    " <= " to "::float8)"
#define FILTER_SQL                                                                                           \
    "state = ANY (CASE WHEN $1::text IN ('', 'waiting') THEN '{open,assigned}'::text[] WHEN $1::text = "     \
    "'all' THEN '{open,assigned,snoozed,decided}' WHEN $1::text = 'open' THEN '{open,assigned}' ELSE "       \
    "ARRAY[$1::text] END) AND ($1::text <> 'open' OR state = 'open' OR locked_until <= now()) AND "          \
    "($1::text <> 'assigned' OR locked_until IS NULL OR locked_until > now()) AND ($2::text = '' OR "        \
    "($2::text = 'none' AND assignee IS NULL) OR assignee = $2::text) AND ($3::text = '' OR $3::text = ANY " \
    "(rules)) AND ($4::text = '' OR merchant_id = $4::text) AND ($5::text = '' OR country = $5::text) AND "  \
    "($6::text = '' OR " ABOUT_SQL " @> ARRAY[$6::text COLLATE \"C\"]) AND ($7::text = '' OR account = "     \
    "(SELECT a.account FROM accounts a WHERE a.name = $7::text)) AND " SPAN_SQL(                             \
        "amount_base_minor", "$8",                                                                           \
        "$9") " AND " SPAN_SQL("coalesce(score, 0)", "$10",                                                  \
                               "$11") " AND " SPAN_SQL("extract(epoch FROM now() - created_at)", "$12",      \
                                                       "$13")

static void add_filter(struct pg_params *p, const struct filter *f)
{
    const struct slice texts[] = { f->state,   f->assignee, f->rule,   f->merchant,
                                   f->country, f->entity,   f->account };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        pg_add_text(p, texts[i].len ? texts[i] : SLICE(""));
    for (int i = 0; i < 2; i++)
        pg_add_f64(p, f->amount[i]);
    for (int i = 0; i < 2; i++)
        pg_add_f64(p, f->score[i]);
    for (int i = 0; i < 2; i++)
        pg_add_f64(p, f->age[i]);
}

/* ---- answers ---- */

static enum err write_case(struct call *c, const struct pg_result *r)
{
    buf_add_slice(&c->out, pg_get_text(r, 0, 0));
    return ERR_OK;
}

static enum err read_number(const struct call *c, int64_t *number, struct why *why)
{
    if (slice_to_i64(c->id, number) && *number > 0)
        return ERR_OK;
    return err_set(why, ERR_NOT_FOUND, "there is no such case");
}

/* Why a change touched no row. */
static enum err explain(struct pg_session *s, int64_t number, const char *what, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, number);
    err = row_ask(s, "SELECT version FROM review_cases WHERE \"case\" = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no case %lld", (long long)number);
    else if (!err)
        err = err_set(why, ERR_CONFLICT, "%s; it is at version %lld", what, (long long)pg_get_int(r, 0, 0));
    pg_result_free(r);
    return err;
}

/* A statement whose first column is the case afterwards. */
static enum err change(struct call *c, struct pg_session *s, const char *sql, struct pg_params *p,
                       int64_t number, const char *what, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, sql, p, &r, why);

    if (!err)
        err = pg_rows(r) ? write_case(c, r) : explain(s, number, what, why);
    pg_result_free(r);
    return err;
}

/* ---- the queue ---- */

static enum err read_cursor(struct slice text, int64_t *key, int64_t *number, struct why *why)
{
    const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;

    *key = INT64_MIN;
    *number = 0;
    if (!text.len)
        return ERR_OK;
    if (colon && slice_to_i64(slice_of(text.ptr, (size_t)(colon - text.ptr)), key) &&
        slice_to_i64(slice_of(colon + 1, text.len - (size_t)(colon + 1 - text.ptr)), number))
        return ERR_OK;
    return err_set(why, ERR_INVALID, "cursor is what `next` was");
}

enum err cases_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct filter f;
    struct slice sql;
    int64_t key, number;
    size_t count;
    enum err err = read_filter(c, c->query, &f, why);

    if (!err)
        err = read_cursor(c->query[QUERY_CURSOR], &key, &number, why);
    if (err)
        return err;
    add_filter(&p, &f);
    pg_add_i64(&p, key);
    pg_add_i64(&p, number);
    pg_add_i64(&p, c->limit + 1);
    sql = arena_printf(&c->arena,
                       "SELECT case_json(c)::text, %s, \"case\" FROM review_cases c WHERE " FILTER_SQL
                       " AND %s ORDER BY %s LIMIT $16::int8",
                       f.order->key, f.order->after, f.order->by);
    err = row_ask(s, sql.ptr, &p, &r, why);
    if (err)
        return err;
    count = pg_rows(r) > (size_t)c->limit ? (size_t)c->limit : pg_rows(r);
    json_out_open(&o, NULL);
    json_out_list(&o, "cases");
    for (size_t i = 0; i < count; i++)
        json_out_json(&o, NULL, pg_get_text(r, i, 0));
    json_out_end(&o);
    if (count < pg_rows(r))
        json_out_text(&o, "next",
                      arena_printf(&c->arena, "%lld:%lld", (long long)pg_get_int(r, count - 1, 1),
                                   (long long)pg_get_int(r, count - 1, 2)));
    else
        json_out_null(&o, "next");
    json_out_end(&o);
    pg_result_free(r);
    return ERR_OK;
}

/* Who gets a case is held until he has it, so that it cannot be missed when he is disabled (userstore/user.h). */
#define HOLDER_SQL(name)                                                                                     \
    "holder AS MATERIALIZED (SELECT name FROM users WHERE name = " name " AND NOT is_disabled AND roles && " \
    "'{analyst,lead}' FOR SHARE)"

/* The row is chosen once, before the update; what another holds is passed over, and what another has just taken is
 * looked at again and no longer fits. */
static const char next_sql[] = "WITH " HOLDER_SQL(
    "$1::text") ", put AS (UPDATE review_cases SET state = 'assigned', assignee = "
                "$1::text, locked_until = now() + $2::int8 "
                "* interval '1 ms', version = version + 1 WHERE \"case\" = (SELECT \"case\" "
                "FROM review_cases WHERE EXISTS (SELECT FROM holder) AND state IN "
                "('open', 'assigned') AND (state = 'open' OR locked_until <= now()) ORDER BY "
                "(-expected_loss), \"case\" LIMIT 1 "
                "FOR UPDATE SKIP LOCKED) RETURNING *), noted AS (INSERT INTO audit (account, "
                "actor, action, subject) SELECT "
                "account, $1::text, 'case.take', \"case\"::text FROM put) SELECT "
                "case_json(put::review_cases)::text FROM put";

enum err cases_next(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, slice_str(c->actor));
    pg_add_i64(&p, dashboard_conf(c->ctx)->lock_ms);
    err = row_ask(s, next_sql, &p, &r, why);
    if (!err && pg_rows(r))
        err = write_case(c, r);
    else if (!err)
        c->status = 204;
    pg_result_free(r);
    return err;
}

/* ---- one case ---- */

/* $1 the case, $2 the version that was seen, $3 who, $4 whether a lead. A case that is another's is for leads only. */
#define MINE_SQL                                                                                             \
    "\"case\" = $1::int8 AND version = $2::int8 AND state <> 'decided' AND ($4::bool OR assignee IS NULL "   \
    "OR "                                                                                                    \
    "assignee = $3::text OR locked_until <= now())"
#define NOT_MINE "it was changed, is decided or is another's"

static void add_mine(struct pg_params *p, const struct call *c, int64_t number, int64_t version)
{
    pg_add_i64(p, number);
    pg_add_i64(p, version);
    pg_add_text(p, slice_str(c->actor));
    pg_add_bool(p, user_roles_meet(c->roles, SLICE("lead")));
}

/* Whether cases can be given to him. */
static enum err check_assignee(struct pg_session *s, struct slice name, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    err = row_ask(s, "SELECT is_disabled, roles && '{analyst,lead}' FROM users WHERE name = $1::text", &p, &r,
                  why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_INVALID, "there is no user of that name to give it to");
    else if (!err && pg_get_bool(r, 0, 0))
        err = err_set(why, ERR_INVALID, "%.*s is disabled and gets no cases", SLICE_ARG(name));
    else if (!err && !pg_get_bool(r, 0, 1))
        err =
            err_set(why, ERR_INVALID, "%.*s is neither analyst nor lead and gets no cases", SLICE_ARG(name));
    pg_result_free(r);
    return err;
}

enum err case_assign(struct call *c, struct pg_session *s, struct why *why)
{
    enum { VERSION, ASSIGNEE, COUNT };
    struct json_member m[COUNT] = { [VERSION] = { "version", JSON_INTEGER, true, NULL },
                                    [ASSIGNEE] = { "assignee", JSON_STRING, true, NULL } };
    struct pg_params p = { 0 };
    struct slice assignee;
    json_t *body = NULL;
    int64_t number;
    enum err err = read_number(c, &number, why);

    if (!err)
        err = json_members_read(&body, c->body, m, COUNT, why);
    assignee = arena_slice(&c->arena, err ? SLICE("") : json_member_text(&m[ASSIGNEE]));
    if (!err && assignee.len && !slice_eq_str(assignee, c->actor) &&
        !user_roles_meet(c->roles, SLICE("lead")))
        err = err_set(why, ERR_FORBIDDEN, "only a lead gives a case to somebody else");
    if (!err && assignee.len)
        err = check_assignee(s, assignee, why);
    if (!err) {
        add_mine(&p, c, number, json_member_int(&m[VERSION], 0));
        pg_add_text(&p, assignee);
        err = change(
            c, s,
            "WITH " HOLDER_SQL(
                "$5::text") ", put AS (UPDATE review_cases SET state = CASE WHEN $5::text = '' THEN 'open' "
                            "ELSE "
                            "'assigned' END, assignee = nullif($5::text, ''), locked_until = NULL, "
                            "snoozed_until = NULL, "
                            "version = version + 1 WHERE " MINE_SQL
                            " AND ($5::text = '' OR EXISTS (SELECT FROM holder)) RETURNING *), noted AS "
                            "(INSERT INTO audit "
                            "(account, actor, action, subject, detail) SELECT account, $3::text, "
                            "'case.assign', "
                            "\"case\"::text, jsonb_build_object('assignee', $5::text) FROM put) SELECT "
                            "case_json(put::review_cases)::text FROM put",
            &p, number, NOT_MINE, why);
    }
    json_decref(body);
    return err;
}

enum err case_extend(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    int64_t number;
    enum err err = read_number(c, &number, why);

    if (err)
        return err;
    pg_add_i64(&p, number);
    pg_add_text(&p, slice_str(c->actor));
    pg_add_i64(&p, dashboard_conf(c->ctx)->lock_ms);
    return change(
        c, s,
        "WITH put AS (UPDATE review_cases SET locked_until = CASE WHEN locked_until IS NOT NULL THEN now() + "
        "$3::int8 * interval '1 ms' END WHERE \"case\" = $1::int8 AND state = 'assigned' AND assignee = "
        "$2::text RETURNING *) SELECT "
        "case_json(put::review_cases)::text FROM put",
        &p, number, "it is not yours", why);
}

enum err case_snooze(struct call *c, struct pg_session *s, struct why *why)
{
    enum { VERSION, UNTIL, NOTE, COUNT };
    struct json_member m[COUNT] = { [VERSION] = { "version", JSON_INTEGER, true, NULL },
                                    [UNTIL] = { "until", JSON_STRING, true, NULL },
                                    [NOTE] = { "note", JSON_STRING, false, NULL } };
    struct pg_params p = { 0 };
    json_t *body = NULL;
    int64_t number, until_us, now_us = clock_wall_us();
    enum err err = read_number(c, &number, why);

    if (!err)
        err = json_members_read(&body, c->body, m, COUNT, why);
    if (!err && (!rfc3339_parse(json_member_text(&m[UNTIL]), &until_us) || until_us <= now_us ||
                 until_us > now_us + SNOOZE_MOST_DAYS * DAY_US))
        err = err_set(why, ERR_INVALID, "until is a time of RFC 3339, within %d days", SNOOZE_MOST_DAYS);
    if (!err && json_member_text(&m[NOTE]).len > NOTE_MOST)
        err = err_set(why, ERR_INVALID, "a note has at most %d bytes", NOTE_MOST);
    if (!err) {
        add_mine(&p, c, number, json_member_int(&m[VERSION], 0));
        pg_add_time_us(&p, until_us);
        pg_add_text(&p, json_member_text(&m[NOTE]));
        err = change(
            c, s,
            "WITH put AS (UPDATE review_cases SET state = 'snoozed', assignee = NULL, locked_until = NULL, "
            "snoozed_until = $5::timestamptz, version = version + 1 WHERE " MINE_SQL
            " RETURNING *), said AS (INSERT INTO review_notes (\"case\", author, text) SELECT \"case\", "
            "$3::text, $6::text FROM put WHERE $6::text <> ''), noted AS (INSERT INTO audit (account, "
            "actor, action, subject, detail) SELECT account, $3::text, 'case.snooze', \"case\"::text, "
            "jsonb_build_object('until', $5::timestamptz) FROM put) SELECT "
            "case_json(put::review_cases)::text FROM put",
            &p, number, NOT_MINE, why);
    }
    json_decref(body);
    return err;
}

enum err case_note(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member m = { "text", JSON_STRING, true, NULL };
    struct pg_params p = { 0 };
    json_t *body = NULL;
    int64_t number;
    enum err err = read_number(c, &number, why);

    if (!err)
        err = json_members_read(&body, c->body, &m, 1, why);
    if (!err && (!json_member_text(&m).len || json_member_text(&m).len > NOTE_MOST))
        err = err_set(why, ERR_INVALID, "a note has 1 to %d bytes", NOTE_MOST);
    if (!err) {
        pg_add_i64(&p, number);
        pg_add_text(&p, slice_str(c->actor));
        pg_add_text(&p, json_member_text(&m));
        pg_add_i32(&p, NOTES_MOST);
        err = change(
            c, s,
            "WITH of AS (SELECT * FROM review_cases WHERE \"case\" = $1::int8), said AS (INSERT INTO "
            "review_notes (\"case\", author, text) SELECT \"case\", $2::text, $3::text FROM of WHERE (SELECT "
            "count(*) FROM review_notes n WHERE n.\"case\" = $1::int8) < $4::int4 RETURNING \"case\"), noted "
            "AS (INSERT INTO audit (account, actor, action, subject) SELECT account, $2::text, 'case.note', "
            "\"case\"::text FROM of JOIN said USING (\"case\")) SELECT case_json(of::review_cases)::text "
            "FROM "
            "of WHERE EXISTS (SELECT FROM said)",
            &p, number, "it has as many notes as a case can have", why);
    }
    json_decref(body);
    return err;
}

/* ---- deciding ---- */

/* What is to be decided, how, and what else is to be done then. */
struct verdict {
    struct slice outcome, reason, note;
    struct slice lists; /* JSON: [{"list": "blocked", "field": "card_id"}, ...] */
};

static bool is_code(struct slice text)
{
    if (!text.len || text.len > 64 || text.ptr[0] < 'a' || text.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!((text.ptr[i] >= 'a' && text.ptr[i] <= 'z') || (text.ptr[i] >= '0' && text.ptr[i] <= '9') ||
              text.ptr[i] == '_'))
            return false;
    return true;
}

static enum err check_lists(const json_t *lists, struct why *why)
{
    static const char *const fields[] = { "customer_id", "card_id", "merchant_id", "device_id", "ip" };
    json_t *each;
    size_t i;

    if (json_array_size(lists) > LISTS_MOST)
        return err_set(why, ERR_INVALID, "at most %d lists", LISTS_MOST);
    json_array_foreach(lists, i, each)
    {
        struct slice field = json_slice(json_object_get(each, "field"));
        bool is_known = false;

        for (size_t k = 0; k < ARRAY_LEN(fields); k++)
            is_known |= slice_eq_str(field, fields[k]);
        if (!is_known || !json_is_string(json_object_get(each, "list")) || json_object_size(each) != 2)
            return err_set(
                why, ERR_INVALID,
                "lists are {list, field}; a field is customer_id, card_id, merchant_id, device_id or ip");
    }
    return ERR_OK;
}

static enum err read_verdict(struct call *c, const struct json_member *outcome,
                             const struct json_member *reason, const struct json_member *note,
                             const struct json_member *lists, struct verdict *v, struct why *why)
{
    char *text;

    *v = (struct verdict){ .outcome = json_member_text(outcome),
                           .reason = json_member_text(reason),
                           .note = json_member_text(note),
                           .lists = SLICE("[]") };
    if (!slice_eq_str(v->outcome, "fraud") && !slice_eq_str(v->outcome, "legit") &&
        !slice_eq_str(v->outcome, "unclear"))
        return err_set(why, ERR_INVALID, "outcome is fraud, legit or unclear");
    if (!is_code(v->reason))
        return err_set(why, ERR_INVALID, "reason is a word of a-z, 0-9 and underscores");
    if (v->note.len > NOTE_MOST)
        return err_set(why, ERR_INVALID, "a note has at most %d bytes", NOTE_MOST);
    if (!lists->value)
        return ERR_OK;
    text = json_dumps(lists->value, JSON_COMPACT);
    v->lists = arena_slice(&c->arena, slice_str(text ? text : "[]"));
    free(text);
    return check_lists(lists->value, why);
}

/* $1 cases, $2 versions, $3 who, $4 whether a lead, $5 outcome, $6 reason, $7 lists, $8 note, $9 time to undo. A list
 * is the account's own of that name, or that of all; a value that the payment does not have gives no entry. */
static const char decide_sql[] =
    "WITH wish AS (SELECT * FROM unnest($1::int8[], $2::int8[]) AS w (\"case\", version)), "
    "held AS (SELECT c.* FROM review_cases c JOIN wish w USING (\"case\", version) WHERE c.state <> "
    "'decided' AND "
    "($4::bool OR c.assignee IS NULL OR c.assignee = $3::text OR c.locked_until <= now()) ORDER BY \"case\" "
    "FOR "
    "UPDATE OF c), "
    "put AS (UPDATE review_cases c SET state = 'decided', outcome = $5::text, reason = $6::text, decided_by "
    "= "
    "$3::text, decided_at = now(), effective_at = now() + $9::int8 * interval '1 ms', locked_until = NULL, "
    "snoozed_until = NULL, assignee = NULL, version = c.version + 1, effects = coalesce((SELECT "
    "jsonb_agg(jsonb_build_object('list', l.list, 'value', v.value)) FROM "
    "jsonb_array_elements($7::text::jsonb) e, "
    "LATERAL (SELECT list FROM lists WHERE name = e->>'list' AND account IN (0, c.account) ORDER BY account "
    "DESC "
    "LIMIT 1) l, LATERAL (SELECT CASE e->>'field' WHEN 'customer_id' THEN c.customer_id WHEN 'card_id' THEN "
    "c.card_id WHEN 'merchant_id' THEN c.merchant_id WHEN 'device_id' THEN c.device_id WHEN 'ip' THEN c.ip "
    "END AS "
    "value) v WHERE v.value <> ''), '[]') FROM held WHERE c.\"case\" = held.\"case\" RETURNING c.*), "
    "said AS (INSERT INTO review_notes (\"case\", author, text) SELECT \"case\", $3::text, $8::text FROM put "
    "WHERE "
    "$8::text <> ''), "
    "noted AS (INSERT INTO audit (account, actor, action, subject, detail) SELECT account, $3::text, "
    "'case.decide', \"case\"::text, jsonb_build_object('outcome', outcome, 'reason', reason, 'effects', "
    "effects) "
    "FROM put) SELECT case_json(put::review_cases)::text FROM put";

/* All, or none. *r: the cases as they are now. */
static enum err decide(struct call *c, struct pg_session *s, const int64_t *numbers, const int64_t *versions,
                       size_t count, const struct verdict *v, struct pg_result **r, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_array *a = pg_add_array(&p, PG_INT8), *b = pg_add_array(&p, PG_INT8);
    struct why ignored;
    enum err err;

    for (size_t i = 0; i < count; i++) {
        pg_array_i64(a, numbers[i]);
        pg_array_i64(b, versions[i]);
    }
    pg_add_text(&p, slice_str(c->actor));
    pg_add_bool(&p, user_roles_meet(c->roles, SLICE("lead")));
    pg_add_text(&p, v->outcome);
    pg_add_text(&p, v->reason);
    pg_add_text(&p, v->lists);
    pg_add_text(&p, v->note);
    pg_add_i64(&p, dashboard_conf(c->ctx)->undo_ms);
    err = pg_exec_script(s, "BEGIN", why);
    if (err) {
        pg_params_release(&p);
        return err;
    }
    err = row_ask(s, decide_sql, &p, r, why);
    if (!err && pg_rows(*r) == count)
        return pg_exec_script(s, "COMMIT", why);
    if (!err)
        err = err_set(why, ERR_CONFLICT,
                      "%zu of %zu were changed, are decided or are another's; nothing was done",
                      count - pg_rows(*r), count);
    return pg_exec_script(s, "ROLLBACK", &ignored) == ERR_OK ? err : ERR_UNAVAILABLE;
}

/* Whether all lists that are named are there, for the account of each case. */
static enum err find_lists(struct pg_session *s, const int64_t *numbers, size_t count,
                           const struct verdict *v, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_array *cases;
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, v->lists);
    cases = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < count; i++)
        pg_array_i64(cases, numbers[i]);
    err = row_ask(s,
                  "SELECT 1 FROM jsonb_array_elements($1::text::jsonb) e, review_cases c WHERE c.\"case\" = "
                  "ANY ($2::int8[]) AND NOT EXISTS (SELECT FROM lists l WHERE l.name = e->>'list' AND "
                  "l.account IN (0, c.account)) LIMIT 1",
                  &p, &r, why);
    if (!err && pg_rows(r))
        err = err_set(why, ERR_INVALID, "there is no list of that name for the account of %s",
                      count > 1 ? "each case" : "the case");
    pg_result_free(r);
    return err;
}

enum err case_decide(struct call *c, struct pg_session *s, struct why *why)
{
    enum { VERSION, OUTCOME, REASON, NOTE, LISTS, COUNT };
    struct json_member m[COUNT] = { [VERSION] = { "version", JSON_INTEGER, true, NULL },
                                    [OUTCOME] = { "outcome", JSON_STRING, true, NULL },
                                    [REASON] = { "reason", JSON_STRING, true, NULL },
                                    [NOTE] = { "note", JSON_STRING, false, NULL },
                                    [LISTS] = { "lists", JSON_ARRAY, false, NULL } };
    struct pg_result *r = NULL;
    struct verdict v;
    json_t *body = NULL;
    int64_t number, version;
    enum err err = read_number(c, &number, why);

    if (!err)
        err = json_members_read(&body, c->body, m, COUNT, why);
    if (!err)
        err = read_verdict(c, &m[OUTCOME], &m[REASON], &m[NOTE], &m[LISTS], &v, why);
    if (!err)
        err = find_lists(s, &number, 1, &v, why);
    version = err ? 0 : json_member_int(&m[VERSION], 0);
    if (!err)
        err = decide(c, s, &number, &version, 1, &v, &r, why);
    if (err == ERR_CONFLICT)
        err = explain(s, number, NOT_MINE, why);
    if (!err)
        err = write_case(c, r);
    pg_result_free(r);
    json_decref(body);
    return err;
}

enum err case_undo(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    int64_t number;
    enum err err = read_number(c, &number, why);

    if (err)
        return err;
    pg_add_i64(&p, number);
    pg_add_text(&p, slice_str(c->actor));
    pg_add_i64(&p, dashboard_conf(c->ctx)->lock_ms);
    return change(
        c, s,
        "WITH " HOLDER_SQL(
            "$2::text") ", put AS (UPDATE review_cases SET state = 'assigned', assignee = $2::text, "
                        "locked_until = "
                        "now() + $3::int8 * interval '1 ms', outcome = NULL, reason = NULL, decided_by = "
                        "NULL, decided_at "
                        "= NULL, effective_at = NULL, effects = '[]', version = version + 1 WHERE \"case\" = "
                        "$1::int8 AND "
                        "state = 'decided' AND NOT is_applied AND decided_by = $2::text AND effective_at > "
                        "clock_timestamp() AND EXISTS (SELECT FROM holder) RETURNING *), noted AS (INSERT "
                        "INTO audit (account, actor, action, subject) SELECT account, $2::text, "
                        "'case.undo', \"case\"::text FROM put) SELECT case_json(put::review_cases)::text "
                        "FROM put",
        &p, number, "it has taken effect, or is not your decision", why);
}

/* ---- many ---- */

/* The members of the body are parameters of the list. */
static enum err read_filter_body(struct call *c, struct filter *f, struct why *why)
{
    struct slice given[QUERY_COUNT] = { 0 };
    const char *name;
    json_t *body = NULL, *value;
    enum err err = json_parse(&body, c->body.len ? c->body : SLICE("{}"), JSON_DEPTH_MAX, why);

    if (err)
        return err;
    if (!json_is_object(body))
        err = err_set(why, ERR_SYNTAX, "a filter is a JSON object");
    json_object_foreach(body, name, value)
    {
        int i = QUERY_STATE;

        while (i <= QUERY_ACCOUNT && strcmp(dashboard_queries[i], name) != 0)
            i++;
        if (i > QUERY_ACCOUNT || !json_is_string(value))
            err = err_set(why, ERR_INVALID, "a filter has the parameters of the list, as texts");
        else
            given[i] = arena_slice(&c->arena, json_slice(value));
    }
    json_decref(body);
    return err ? err : read_filter(c, given, f, why);
}

enum err cases_preview(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct filter f;
    enum err err = read_filter_body(c, &f, why);

    if (err)
        return err;
    add_filter(&p, &f);
    pg_add_i32(&p, BULK_MOST);
    err =
        row_ask(s,
                "WITH found AS (SELECT \"case\", version, amount_base_minor, expected_loss FROM review_cases "
                "WHERE " FILTER_SQL " AND state <> 'decided') SELECT jsonb_build_object('count', count(*), "
                "'amount_base_minor', coalesce(sum(amount_base_minor), 0), 'expected_loss_base_minor', "
                "coalesce(sum(expected_loss), 0), 'cases', (SELECT coalesce(jsonb_agg("
                "jsonb_build_object('case', \"case\", 'version', version)), '[]') FROM (SELECT * FROM "
                "found ORDER BY expected_loss DESC, \"case\" LIMIT $14::int4) x))::text FROM found",
                &p, &r, why);
    if (!err)
        err = write_case(c, r);
    pg_result_free(r);
    return err;
}

static enum err read_cases(const json_t *all, int64_t *numbers, int64_t *versions, size_t *count,
                           struct why *why)
{
    json_t *each;
    size_t i;

    *count = json_array_size(all);
    if (*count < 1 || *count > BULK_MOST)
        return err_set(why, ERR_INVALID, "1 to %d cases at once", BULK_MOST);
    json_array_foreach(all, i, each)
    {
        json_t *number = json_object_get(each, "case"), *version = json_object_get(each, "version");

        if (!json_is_integer(number) || !json_is_integer(version))
            return err_set(why, ERR_INVALID, "cases are {case, version}");
        for (size_t k = 0; k < i; k++)
            if (numbers[k] == json_integer_value(number))
                return err_set(why, ERR_INVALID, "no case twice");
        numbers[i] = json_integer_value(number);
        versions[i] = json_integer_value(version);
    }
    return ERR_OK;
}

enum err cases_decide(struct call *c, struct pg_session *s, struct why *why)
{
    enum { CASES, OUTCOME, REASON, NOTE, LISTS, COUNT };
    struct json_member m[COUNT] = { [CASES] = { "cases", JSON_ARRAY, true, NULL },
                                    [OUTCOME] = { "outcome", JSON_STRING, true, NULL },
                                    [REASON] = { "reason", JSON_STRING, true, NULL },
                                    [NOTE] = { "note", JSON_STRING, false, NULL },
                                    [LISTS] = { "lists", JSON_ARRAY, false, NULL } };
    struct json_out o = json_out_to(&c->out);
    struct pg_result *r = NULL;
    int64_t numbers[BULK_MOST], versions[BULK_MOST];
    struct verdict v;
    json_t *body = NULL;
    size_t count = 0;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = read_cases(m[CASES].value, numbers, versions, &count, why);
    if (!err)
        err = read_verdict(c, &m[OUTCOME], &m[REASON], &m[NOTE], &m[LISTS], &v, why);
    if (!err)
        err = find_lists(s, numbers, count, &v, why);
    if (!err)
        err = decide(c, s, numbers, versions, count, &v, &r, why);
    if (!err) {
        json_out_open(&o, NULL);
        json_out_int(&o, "decided", (int64_t)count);
        json_out_end(&o);
    }
    pg_result_free(r);
    json_decref(body);
    return err;
}

/* ---- saved views ---- */

enum err views_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, slice_str(c->actor));
    err = row_ask(
        s,
        "SELECT jsonb_build_object('views', coalesce(jsonb_agg(jsonb_build_object('name', name, 'owner', "
        "owner, 'filter', filter, 'is_shared', is_shared) ORDER BY name, owner), '[]'))::text FROM "
        "saved_views WHERE owner = $1::text OR is_shared",
        &p, &r, why);
    if (!err)
        err = write_case(c, r);
    pg_result_free(r);
    return err;
}

enum err view_put(struct call *c, struct pg_session *s, struct why *why)
{
    enum { FILTER, SHARED, COUNT };
    struct json_member m[COUNT] = {
        [FILTER] = { "filter", JSON_OBJECT, true, NULL }, [SHARED] = { "is_shared", JSON_TRUE, false, NULL }
    };
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    char *filter = NULL;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err && (!c->id.len || c->id.len > 64 || !slice_is_utf8(c->id)))
        err = err_set(why, ERR_INVALID, "a view has a name of up to 64 bytes");
    if (!err) {
        filter = json_dumps(m[FILTER].value, JSON_COMPACT);
        if (filter && strlen(filter) > FILTER_MOST)
            err = err_set(why, ERR_INVALID, "a filter has at most %d bytes", FILTER_MOST);
    }
    if (!err) {
        pg_add_text(&p, slice_str(c->actor));
        pg_add_text(&p, c->id);
        pg_add_text(&p, slice_str(filter ? filter : "{}"));
        pg_add_bool(&p, json_member_bool(&m[SHARED]));
        pg_add_i32(&p, VIEWS_MOST);
        err = row_ask(
            s,
            "INSERT INTO saved_views AS v (owner, name, filter, is_shared) SELECT $1::text, $2::text, "
            "$3::text::jsonb, $4::bool WHERE (SELECT count(*) FROM saved_views WHERE owner = $1::text AND "
            "name <> $2::text) < $5::int4 ON CONFLICT (owner, name) DO UPDATE SET filter = "
            "EXCLUDED.filter, is_shared = EXCLUDED.is_shared RETURNING name",
            &p, &r, why);
        if (!err && pg_rows(r) == 0)
            err = err_set(why, ERR_INVALID, "at most %d views each", VIEWS_MOST);
    }
    free(filter);
    pg_result_free(r);
    json_decref(body);
    c->status = 204;
    return err;
}

enum err view_delete(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, slice_str(c->actor));
    pg_add_text(&p, c->id);
    err = row_ask(s, "DELETE FROM saved_views WHERE owner = $1::text AND name = $2::text RETURNING name", &p,
                  &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "you have no view of that name");
    pg_result_free(r);
    c->status = 204;
    return err;
}
