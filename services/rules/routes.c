/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include <inttypes.h>

#include "backtest_rest.h"
#include "base/array.h"
#include "base/clock.h"
#include "desk/desk.h"
#include "explain_rest.h"
#include "json/json.h"
#include "json/members.h"
#include "lifestore/row.h"
#include "names.h"
#include "policystore/lists.h"
#include "policystore/publish.h"
#include "policystore/review.h"
#include "rules.h"

const char *const rules_queries[] = {
    [QUERY_ACCOUNT] = "account", [QUERY_REVISION] = "revision", [QUERY_AFTER] = "after",
    [QUERY_WITH] = "with",       [QUERY_VERSION] = "version",   [QUERY_FIND] = "find",
    [QUERY_COUNT] = NULL,
};
static_assert((int)QUERY_COUNT <= (int)DESK_QUERY_MAX, "the desk keeps all of them");

enum { DOCUMENT_BODY_MAX = DOCUMENT_TEXT_MAX + (64 << 10), CSV_BODY_MAX = 64 << 20, CSV_OUT_MAX = 64 << 20 };

/* ---- reading ---- */

static enum err read_number(struct slice text, int64_t *number, struct why *why)
{
    if (slice_to_i64(text, number) && *number > 0)
        return ERR_OK;
    return err_set(why, ERR_NOT_FOUND, "no such number");
}

/* 0 for every account, which is meant when none is named. */
static enum err read_account(struct pg_session *s, struct slice name, int64_t *account, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *account = 0;
    if (name.len == 0)
        return ERR_OK;
    pg_add_text(&p, name);
    err = pg_exec(s, "SELECT account FROM accounts WHERE name = $1::text", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no account of that name");
    if (!err)
        *account = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* A key speaks for a person: publishing needs another one's, whatever it is. */
static struct ruleset_change change_of(const struct call *c, struct slice reason, int64_t expected)
{
    return (struct ruleset_change){
        .actor = slice_str(c->actor), .reason = reason, .expected = expected, .approval = APPROVAL_BY_ANOTHER
    };
}

/* ---- rule sets ---- */

#define SET_COLUMNS                                                                                          \
    "SELECT version, coalesce(a.name, ''), state, revision, array_to_string(authors, ', '), approver, "      \
    "note, "                                                                                                 \
    "jsonb_array_length(body->'rules'), r.created_at, updated_at, shadowed_at, published_at, retired_at, "   \
    "previous, body::text, prepared_at FROM rulesets r LEFT JOIN accounts a USING (account) "

static void write_set(struct json_out *o, const struct pg_result *r, size_t row, bool is_whole)
{
    json_out_open(o, NULL);
    json_out_int(o, "version", pg_get_int(r, row, 0));
    json_out_text(o, "account", pg_get_text(r, row, 1));
    json_out_text(o, "state", pg_get_text(r, row, 2));
    json_out_int(o, "revision", pg_get_int(r, row, 3));
    json_out_text(o, "authors", pg_get_text(r, row, 4));
    json_out_text(o, "approver", pg_get_text(r, row, 5));
    json_out_text(o, "note", pg_get_text(r, row, 6));
    json_out_int(o, "rules", pg_get_int(r, row, 7));
    row_write_time(o, "created_at", r, row, 8);
    row_write_time(o, "updated_at", r, row, 9);
    row_write_time(o, "prepared_at", r, row, 15);
    row_write_time(o, "shadowed_at", r, row, 10);
    row_write_time(o, "published_at", r, row, 11);
    row_write_time(o, "retired_at", r, row, 12);
    row_write_int(o, "previous", r, row, 13);
    if (is_whole)
        json_out_json(o, "document", pg_get_text(r, row, 14));
    json_out_end(o);
}

static enum err find_set(struct pg_session *s, int64_t version, struct pg_result **r, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_i64(&p, version);
    err = pg_exec(s, SET_COLUMNS "WHERE version = $1::int8", &p, r, why);
    pg_params_release(&p);
    if (!err && pg_rows(*r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no rule set %" PRId64, version);
    return err;
}

static enum err show_set(struct call *c, struct pg_session *s, int64_t version, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct pg_result *r = NULL;
    enum err err = find_set(s, version, &r, why);

    if (!err)
        write_set(&o, r, 0, true);
    pg_result_free(r);
    return err;
}

static enum err list_sets(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, c->before);
    pg_add_i64(&p, c->limit);
    err = pg_exec(s,
                  SET_COLUMNS "WHERE $1::int8 = 0 OR version < $1::int8 ORDER BY version DESC LIMIT $2::int8",
                  &p, &r, why);
    if (!err) {
        json_out_open(&o, NULL);
        json_out_list(&o, "rulesets");
        for (size_t i = 0; i < pg_rows(r); i++)
            write_set(&o, r, i, false);
        json_out_end(&o);
        json_out_end(&o);
    }
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err get_set(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t version;
    enum err err = read_number(c->id, &version, why);

    return err ? err : show_set(c, s, version, why);
}

static enum err post_set(struct call *c, struct pg_session *s, struct why *why)
{
    enum { DOCUMENT, ACCOUNT, NOTE, PREPARE, UNKNOWN, COUNT };
    struct json_member m[COUNT] = { [DOCUMENT] = { "document", JSON_OBJECT, true, NULL },
                                    [ACCOUNT] = { "account", JSON_STRING, false, NULL },
                                    [NOTE] = { "note", JSON_STRING, false, NULL },
                                    [PREPARE] = { "prepare", JSON_TRUE, false, NULL },
                                    [UNKNOWN] = { "allow_unknown", JSON_TRUE, false, NULL } };
    struct ruleset_change change = change_of(c, SLICE(""), RULESET_ANY);
    struct draft d = { 0 };
    json_t *body = NULL;
    int64_t account = 0, version = 0;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = read_account(s, json_member_text(&m[ACCOUNT]), &account, why);
    if (!err)
        err = draft_open(&d, json_member_json(&m[DOCUMENT], &c->arena), why);
    change.allows_unknown = json_member_bool(&m[UNKNOWN]);
    change.prepares = json_member_bool(&m[PREPARE]);
    if (!err)
        err = ruleset_draft(s, &d, account, json_member_text(&m[NOTE]), &change, &version, why);
    draft_release(&d);
    json_decref(body);
    c->status = 201;
    return err ? err : show_set(c, s, version, why);
}

static enum err put_set(struct call *c, struct pg_session *s, struct why *why)
{
    enum { DOCUMENT, REVISION, NOTE, PREPARE, UNKNOWN, COUNT };
    struct json_member m[COUNT] = { [DOCUMENT] = { "document", JSON_OBJECT, true, NULL },
                                    [REVISION] = { "revision", JSON_INTEGER, true, NULL },
                                    [NOTE] = { "note", JSON_STRING, false, NULL },
                                    [PREPARE] = { "prepare", JSON_TRUE, false, NULL },
                                    [UNKNOWN] = { "allow_unknown", JSON_TRUE, false, NULL } };
    struct ruleset_change change = change_of(c, SLICE(""), RULESET_ANY);
    struct draft d = { 0 };
    json_t *body = NULL;
    int64_t version = 0, revision;
    enum err err = read_number(c->id, &version, why);

    if (!err)
        err = json_members_read(&body, c->body, m, COUNT, why);
    if (!err)
        err = draft_open(&d, json_member_json(&m[DOCUMENT], &c->arena), why);
    revision = json_member_int(&m[REVISION], 0);
    change.allows_unknown = json_member_bool(&m[UNKNOWN]);
    change.prepares = json_member_bool(&m[PREPARE]);
    if (!err)
        err = ruleset_edit(s, version, &revision, &d, json_member_text(&m[NOTE]), &change, why);
    draft_release(&d);
    json_decref(body);
    return err ? err : show_set(c, s, version, why);
}

static enum err delete_set(struct call *c, struct pg_session *s, struct why *why)
{
    struct ruleset_change change = change_of(c, SLICE(""), RULESET_ANY);
    int64_t version, revision = 0;
    enum err err = read_number(c->id, &version, why);

    if (!err && !slice_to_i64(c->query[QUERY_REVISION], &revision))
        err = err_set(why, ERR_INVALID, "revision says which one you have seen");
    c->status = 204;
    return err ? err : ruleset_discard(s, version, revision, &change, why);
}

static enum err check_set(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member document = { "document", JSON_OBJECT, true, NULL };
    struct json_out o = json_out_to(&c->out);
    struct review_fault *faults;
    size_t count;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, &document, 1, why);

    (void)s;
    if (!err && review_faults(json_member_json(&document, &c->arena), &c->arena, &faults, &count, why))
        err = ERR_INVALID; /* the body itself could be read */
    if (!err) {
        json_out_open(&o, NULL);
        json_out_list(&o, "faults");
        for (size_t i = 0; i < count; i++) {
            json_out_open(&o, NULL);
            json_out_text(&o, "pointer", faults[i].pointer);
            json_out_text(&o, "detail", faults[i].detail);
            json_out_end(&o);
        }
        json_out_end(&o);
        json_out_end(&o);
    }
    json_decref(body);
    return err;
}

static enum err diff_sets(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct pg_result *a = NULL, *b = NULL;
    int64_t version, other;
    enum err err = read_number(c->id, &version, why);

    if (!err && !(slice_to_i64(c->query[QUERY_WITH], &other) && other > 0))
        err = err_set(why, ERR_INVALID, "with says which version it is compared with");
    if (!err)
        err = find_set(s, version, &a, why);
    if (!err)
        err = find_set(s, other, &b, why);
    if (!err)
        err = review_difference(&o, NULL, pg_get_text(a, 0, 14), pg_get_text(b, 0, 14), why);
    pg_result_free(a);
    pg_result_free(b);
    return err;
}

/* What may be said of a step in the life of a set: the first so many. */
enum { MOVE_REASON, MOVE_REVISION, MOVE_UNKNOWN, MOVE_EXPECTED, MOVE_MEMBERS };

static enum err move(struct call *c, struct pg_session *s,
                     enum err (*how)(struct pg_session *s, int64_t version,
                                     const struct ruleset_change *change, struct why *why),
                     size_t members, struct why *why)
{
    struct json_member m[MOVE_MEMBERS] = { [MOVE_REASON] = { "reason", JSON_STRING, false, NULL },
                                           [MOVE_REVISION] = { "revision", JSON_INTEGER, false, NULL },
                                           [MOVE_UNKNOWN] = { "allow_unknown", JSON_TRUE, false, NULL },
                                           [MOVE_EXPECTED] = { "expected", JSON_INTEGER, false, NULL } };
    struct ruleset_change change;
    json_t *body = NULL;
    int64_t version = 0;
    enum err err = read_number(c->id, &version, why);

    if (!err)
        err = json_members_read(&body, c->body, m, members, why);
    change = change_of(c, json_member_text(&m[MOVE_REASON]), json_member_int(&m[MOVE_EXPECTED], RULESET_ANY));
    change.revision = json_member_int(&m[MOVE_REVISION], 0);
    change.allows_unknown = json_member_bool(&m[MOVE_UNKNOWN]);
    if (!err)
        err = how(s, version, &change, why);
    json_decref(body);
    return err ? err : show_set(c, s, version, why);
}

static enum err prepare_set(struct call *c, struct pg_session *s, struct why *why)
{
    return move(c, s, ruleset_prepare, MOVE_REVISION + 1, why);
}

static enum err shadow_set(struct call *c, struct pg_session *s, struct why *why)
{
    return move(c, s, ruleset_shadow, MOVE_UNKNOWN + 1, why);
}

static enum err publish_set(struct call *c, struct pg_session *s, struct why *why)
{
    return move(c, s, ruleset_publish, MOVE_EXPECTED + 1, why);
}

static enum err retire_set(struct call *c, struct pg_session *s, struct why *why)
{
    return move(c, s, ruleset_retire, MOVE_REASON + 1, why);
}

static enum err roll_back(struct call *c, struct pg_session *s, struct why *why)
{
    enum { ACCOUNT, VERSION, EXPECTED, REASON, COUNT };
    struct json_member m[COUNT] = { [ACCOUNT] = { "account", JSON_STRING, false, NULL },
                                    [VERSION] = { "version", JSON_INTEGER, false, NULL },
                                    [EXPECTED] = { "expected", JSON_INTEGER, false, NULL },
                                    [REASON] = { "reason", JSON_STRING, false, NULL } };
    struct ruleset_change change;
    json_t *body = NULL;
    int64_t account = 0, version;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = read_account(s, json_member_text(&m[ACCOUNT]), &account, why);
    version = json_member_int(&m[VERSION], 0);
    change = change_of(c, json_member_text(&m[REASON]), json_member_int(&m[EXPECTED], RULESET_ANY));
    if (!err)
        err = ruleset_roll_back(s, account, &change, &version, why);
    json_decref(body);
    return err ? err : show_set(c, s, version, why);
}

static enum err show_served(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct pg_result *r = NULL;
    struct ruleset_served served;
    int64_t version, account = 0;
    enum err err = read_number(c->id, &version, why);

    if (!err)
        err = find_set(s, version, &r, why);
    if (!err)
        err = read_account(s, pg_get_text(r, 0, 1), &account, why);
    if (!err)
        err = ruleset_served(s, account, version, &c->arena, &served, why);
    if (!err) {
        json_out_open(&o, NULL);
        json_out_int(&o, "processes", served.processes);
        json_out_int(&o, "serving", served.serving);
        json_out_text(&o, "lagging", served.lagging);
        json_out_end(&o);
    }
    pg_result_free(r);
    return err;
}

/* What was done with a version, the newest first. */
static enum err show_history(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t version;
    enum err err = read_number(c->id, &version, why);

    if (err)
        return err;
    pg_add_i64(&p, version);
    err = pg_exec(s,
                  "SELECT at, actor, action, detail::text FROM audit WHERE subject = $1::int8::text AND "
                  "action LIKE 'rules.%' ORDER BY id DESC LIMIT 200",
                  &p, &r, why);
    if (!err) {
        json_out_open(&o, NULL);
        json_out_list(&o, "history");
        for (size_t i = 0; i < pg_rows(r); i++) {
            json_out_open(&o, NULL);
            json_out_time(&o, "at", pg_get_time_us(r, i, 0));
            json_out_text(&o, "actor", pg_get_text(r, i, 1));
            json_out_text(&o, "action", pg_get_text(r, i, 2));
            json_out_json(&o, "detail", pg_get_text(r, i, 3));
            json_out_end(&o);
        }
        json_out_end(&o);
        json_out_end(&o);
    }
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* ---- lists ---- */

static enum err find_list(struct call *c, struct pg_session *s, struct list_row *row, struct why *why)
{
    int64_t account;
    enum err err = read_account(s, c->query[QUERY_ACCOUNT], &account, why);

    return err ? err : lists_find(s, account, c->id, &c->arena, row, why);
}

static enum err show_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct list_row row;
    enum err err = find_list(c, s, &row, why);

    if (!err)
        list_row_write(&o, NULL, &row);
    return err;
}

static enum err list_lists(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct list_row *rows;
    size_t count;
    enum err err = lists_all(s, &c->arena, &rows, &count, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "lists");
    for (size_t i = 0; i < count; i++)
        list_row_write(&o, NULL, &rows[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

/* Words that are there and mean nothing are faults. */
static enum err read_words(struct list_row *row, struct slice purpose, struct slice type, struct slice field,
                           struct why *why)
{
    row->purpose = purpose.len ? list_purpose_find(purpose) : LIST_NAMED;
    row->field = txn_text_find(field);
    row->type = type.len ? list_type_find(type) : list_type_of(row->field);
    if (row->purpose == LIST_PURPOSE_COUNT)
        return err_set(why, ERR_INVALID, "purpose is named, deny or allow");
    if (field.len && row->field == TXN_TEXT_COUNT)
        return err_set(why, ERR_INVALID, "field is a text field of a transaction");
    if (row->type == LIST_TYPE_COUNT)
        return err_set(why, ERR_INVALID, "type is string, ip or number");
    return ERR_OK;
}

static enum err post_list(struct call *c, struct pg_session *s, struct why *why)
{
    enum { LIST, ACCOUNT, PURPOSE, TYPE, FIELD, NOTE, COUNT };
    struct json_member m[COUNT] = {
        [LIST] = { "list", JSON_STRING, true, NULL },
        [ACCOUNT] = { "account", JSON_STRING, false, NULL },
        [PURPOSE] = { "purpose", JSON_STRING, false, NULL },
        [TYPE] = { "type", JSON_STRING, false, NULL },
        [FIELD] = { "field", JSON_STRING, false, NULL },
        [NOTE] = { "note", JSON_STRING, false, NULL },
    };
    struct list_row row = { 0 };
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = read_words(&row, json_member_text(&m[PURPOSE]), json_member_text(&m[TYPE]),
                         json_member_text(&m[FIELD]), why);
    if (!err)
        err = read_account(s, json_member_text(&m[ACCOUNT]), &row.account, why);
    if (!err) {
        row.name = arena_slice(&c->arena, json_member_text(&m[LIST]));
        row.note = json_member_text(&m[NOTE]);
        err = lists_create(s, &row, slice_str(c->actor), why);
    }
    c->id = row.name;
    c->query[QUERY_ACCOUNT] = arena_slice(&c->arena, json_member_text(&m[ACCOUNT]));
    json_decref(body);
    c->status = 201;
    return err ? err : show_list(c, s, why);
}

static enum err delete_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct list_row row;
    enum err err = find_list(c, s, &row, why);

    c->status = 204;
    return err ? err : lists_drop(s, &row, slice_str(c->actor), why);
}

static void write_expiry(struct json_out *o, int64_t expires_at_us)
{
    if (expires_at_us == LIST_NO_EXPIRY)
        json_out_null(o, "expires_at");
    else
        json_out_time(o, "expires_at", expires_at_us);
}

static void write_faults(struct json_out *o, const struct list_fault *faults, size_t count)
{
    json_out_list(o, "faults");
    for (size_t i = 0; i < count; i++) {
        json_out_open(o, NULL);
        json_out_int(o, "line", (int64_t)faults[i].line);
        json_out_text(o, "what", faults[i].what);
        json_out_end(o);
    }
    json_out_end(o);
}

static enum err list_entries(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct list_row row;
    struct list_entry *entries;
    size_t count;
    enum err err = find_list(c, s, &row, why);

    if (!err)
        err = lists_entries(s, &row, c->query[QUERY_FIND], c->query[QUERY_AFTER], (size_t)c->limit, &c->arena,
                            &entries, &count, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "entries");
    for (size_t i = 0; i < count; i++) {
        json_out_open(&o, NULL);
        json_out_text(&o, "value", entries[i].value);
        json_out_text(&o, "note", entries[i].note);
        write_expiry(&o, entries[i].expires_at_us);
        json_out_text(&o, "added_by", entries[i].added_by);
        json_out_time(&o, "added_at", entries[i].added_at_us);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

static enum err answer_changed(struct call *c, size_t changed, enum err err)
{
    struct json_out o = json_out_to(&c->out);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_int(&o, "changed", (int64_t)changed);
    json_out_end(&o);
    return ERR_OK;
}

static enum err read_values(const json_t *list, struct arena *arena, struct slice **values, size_t *count,
                            struct why *why)
{
    *count = json_array_size(list);
    *values = arena_new(arena, struct slice, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        if (!json_is_string(json_array_get(list, i)))
            return err_set(why, ERR_INVALID, "values are texts");
        (*values)[i] = json_slice(json_array_get(list, i));
    }
    return ERR_OK;
}

static enum err add_entries(struct call *c, struct pg_session *s, struct why *why)
{
    enum { VALUES, NOTE, EXPIRES, COUNT };
    struct json_member m[COUNT] = { [VALUES] = { "values", JSON_ARRAY, true, NULL },
                                    [NOTE] = { "note", JSON_STRING, false, NULL },
                                    [EXPIRES] = { "expires_at", JSON_STRING, false, NULL } };
    int64_t expires = LIST_NO_EXPIRY;
    struct list_row row;
    struct list_entry *entries;
    struct slice *values;
    json_t *body = NULL;
    size_t count = 0, changed = 0;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err && m[EXPIRES].value && !rfc3339_parse(json_member_text(&m[EXPIRES]), &expires))
        err = err_set(why, ERR_INVALID, "expires_at is a time of RFC 3339");
    if (!err)
        err = find_list(c, s, &row, why);
    if (!err)
        err = read_values(m[VALUES].value, &c->arena, &values, &count, why);
    if (!err) {
        entries = arena_new(&c->arena, struct list_entry, count + 1);
        for (size_t i = 0; i < count; i++)
            entries[i] = (struct list_entry){ .value = values[i],
                                              .note = json_member_text(&m[NOTE]),
                                              .expires_at_us = expires };
        err = lists_put(s, &row, entries, count, slice_str(c->actor), &changed, why);
    }
    json_decref(body);
    return answer_changed(c, changed, err);
}

static enum err remove_entries(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member m = { "values", JSON_ARRAY, true, NULL };
    struct list_row row;
    struct slice *values;
    json_t *body = NULL;
    size_t count = 0, changed = 0;
    enum err err = json_members_read(&body, c->body, &m, 1, why);

    if (!err)
        err = find_list(c, s, &row, why);
    if (!err)
        err = read_values(m.value, &c->arena, &values, &count, why);
    if (!err)
        err = lists_remove(s, &row, values, count, slice_str(c->actor), &changed, why);
    json_decref(body);
    return answer_changed(c, changed, err);
}

static enum err preview_entries(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member m = { "values", JSON_ARRAY, true, NULL };
    struct json_out o = json_out_to(&c->out);
    struct list_preview preview = { 0 };
    struct list_row row;
    struct slice *values;
    json_t *body = NULL;
    size_t count = 0;
    enum err err = json_members_read(&body, c->body, &m, 1, why);

    if (!err)
        err = find_list(c, s, &row, why);
    if (!err)
        err = read_values(m.value, &c->arena, &values, &count, why);
    if (!err)
        err = lists_preview(s, &row, values, count, &c->arena, &preview, why);
    json_decref(body);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_int(&o, "fresh", (int64_t)preview.fresh);
    json_out_int(&o, "known", (int64_t)preview.known);
    json_out_int(&o, "repeated", (int64_t)preview.repeated);
    json_out_int(&o, "refused", (int64_t)preview.refused);
    write_faults(&o, preview.faults, preview.fault_count);
    json_out_end(&o);
    return ERR_OK;
}

static enum err list_changes(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct list_row row;
    struct list_change *all;
    size_t count;
    enum err err = find_list(c, s, &row, why);

    if (!err)
        err = lists_changes(s, &row, c->before, (size_t)c->limit, &c->arena, &all, &count, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "changes");
    for (size_t i = 0; i < count; i++) {
        json_out_open(&o, NULL);
        json_out_int(&o, "seq", all[i].seq);
        json_out_time(&o, "at", all[i].at_us);
        json_out_text(&o, "actor", all[i].actor);
        json_out_text(&o, "value", all[i].value);
        json_out_bool(&o, "is_there", all[i].is_there);
        json_out_text(&o, "note", all[i].note);
        write_expiry(&o, all[i].expires_at_us);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

static bool write_piece(void *ctx, struct slice piece)
{
    struct buf *out = ctx;

    buf_add_slice(out, piece);
    return out->len < CSV_OUT_MAX;
}

static enum err export_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct list_row row;
    enum err err = find_list(c, s, &row, why);

    c->type = "text/csv";
    if (!err)
        err = lists_export(s, &row, write_piece, &c->out, why);
    if (!err && c->out.len >= CSV_OUT_MAX)
        err = err_set(why, ERR_TOO_LARGE, "the list is over %d MiB as CSV: `assay lists export` writes it",
                      CSV_OUT_MAX >> 20);
    return err;
}

/* The first lines that could not be taken. */
struct refused_lines {
    struct arena *arena;
    struct list_fault faults[LIST_FAULTS_MOST];
    size_t count;
};

static void on_refused_line(void *ctx, uint64_t line, const char *what)
{
    struct refused_lines *r = ctx;

    if (r->count < LIST_FAULTS_MOST)
        r->faults[r->count++] = (struct list_fault){ line, arena_slice(r->arena, slice_str(what)) };
}

static enum err import_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct refused_lines refused = { .arena = &c->arena };
    struct list_row row;
    struct list_import im = {
        .s = s, .row = &row, .actor = slice_str(c->actor), .on_refused = on_refused_line, .ctx = &refused
    };
    struct why ignored;
    enum err err = find_list(c, s, &row, why);

    if (err)
        return err;
    err = list_import_begin(&im, why);
    if (!err)
        err = list_import_take(&im, c->body, true, why);
    if (!err)
        err = list_import_end(&im, why);
    list_import_release(&im);
    if (err) {
        if (pg_exec_script(s, "ROLLBACK", &ignored))
            err = ERR_UNKNOWN;
        return err;
    }
    json_out_open(&o, NULL);
    json_out_int(&o, "taken", (int64_t)im.taken);
    json_out_int(&o, "refused", (int64_t)im.refused);
    write_faults(&o, refused.faults, refused.count);
    json_out_end(&o);
    return ERR_OK;
}

/* ---- the table ---- */

#define WRITE   "rules:write"
#define APPROVE "rules:approve"
#define ROUTES(X)                                                                                            \
    X("GET", "/v1/rulesets", list_sets, WRITE, 0)                                                            \
    X("POST", "/v1/rulesets", post_set, WRITE, DOCUMENT_BODY_MAX)                                            \
    X("POST", "/v1/rulesets:check", check_set, WRITE, DOCUMENT_BODY_MAX)                                     \
    X("GET", "/v1/rulesets:names", show_names, WRITE, 0)                                                     \
    X("POST", "/v1/rulesets:explain", explain_rules, WRITE, DOCUMENT_BODY_MAX)                               \
    X("POST", "/v1/rulesets:rollback", roll_back, APPROVE, 0)                                                \
    X("GET", "/v1/rulesets/{id}", get_set, WRITE, 0)                                                         \
    X("PUT", "/v1/rulesets/{id}", put_set, WRITE, DOCUMENT_BODY_MAX)                                         \
    X("DELETE", "/v1/rulesets/{id}", delete_set, WRITE, 0)                                                   \
    X("GET", "/v1/rulesets/{id}:diff", diff_sets, WRITE, 0)                                                  \
    X("GET", "/v1/rulesets/{id}:serving", show_served, WRITE, 0)                                             \
    X("POST", "/v1/rulesets/{id}:prepare", prepare_set, WRITE, 0)                                            \
    X("POST", "/v1/rulesets/{id}:shadow", shadow_set, WRITE, 0)                                              \
    X("POST", "/v1/rulesets/{id}:publish", publish_set, APPROVE, 0)                                          \
    X("POST", "/v1/rulesets/{id}:retire", retire_set, APPROVE, 0)                                            \
    X("GET", "/v1/rulesets/{id}:history", show_history, WRITE, 0)                                            \
    X("GET", "/v1/backtests", list_backtests, WRITE, 0)                                                      \
    X("POST", "/v1/backtests", post_backtest, WRITE, DOCUMENT_BODY_MAX)                                      \
    X("GET", "/v1/backtests/{id}", get_backtest, WRITE, 0)                                                   \
    X("POST", "/v1/backtests/{id}:cancel", cancel_backtest, WRITE, 0)                                        \
    X("GET", "/v1/lists", list_lists, WRITE, 0)                                                              \
    X("POST", "/v1/lists", post_list, WRITE, 0)                                                              \
    X("GET", "/v1/lists/{id}", show_list, WRITE, 0)                                                          \
    X("DELETE", "/v1/lists/{id}", delete_list, WRITE, 0)                                                     \
    X("GET", "/v1/lists/{id}/entries", list_entries, WRITE, 0)                                               \
    X("GET", "/v1/lists/{id}/changes", list_changes, WRITE, 0)                                               \
    X("POST", "/v1/lists/{id}/entries:preview", preview_entries, WRITE, DOCUMENT_BODY_MAX)                   \
    X("POST", "/v1/lists/{id}/entries:add", add_entries, WRITE, DOCUMENT_BODY_MAX)                           \
    X("POST", "/v1/lists/{id}/entries:remove", remove_entries, WRITE, DOCUMENT_BODY_MAX)                     \
    X("GET", "/v1/lists/{id}/csv", export_list, WRITE, 0)                                                    \
    X("POST", "/v1/lists/{id}/csv", import_list, WRITE, CSV_BODY_MAX)

#define ROUTE_HANDLER(method, path, answer, scope, body_max)                                                 \
    static void on_##answer(void *service, struct http_request *req)                                         \
    {                                                                                                        \
        desk_ask_for(rules_desk(service), req, scope, answer);                                               \
    }
ROUTES(ROUTE_HANDLER)
#undef ROUTE_HANDLER

/* Drafts are tried on a desk of their own. */
static void on_try_backtest(void *service, struct http_request *req)
{
    desk_ask_for(rules_trial_desk(service), req, WRITE, try_backtest);
}

const struct http_route rules_routes[] = {
    { "POST", "/v1/backtests:try", on_try_backtest, DOCUMENT_BODY_MAX },
#define ROUTE_ROW(method, path, answer, scope, body_max) { method, path, on_##answer, body_max },
    ROUTES(ROUTE_ROW)
#undef ROUTE_ROW
};
const size_t rules_route_count = ARRAY_LEN(rules_routes);
