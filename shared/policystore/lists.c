/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/lists.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "lifestore/row.h"

/* Whose changes those of the transaction are. */
static enum err begin(struct pg_session *s, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err = pg_exec_script(s, "BEGIN", why);

    if (err)
        return err;
    pg_add_text(&p, actor);
    return row_ask(s, "SELECT set_config('assay.actor', $1::text, true)", &p, NULL, why);
}

static enum err note(struct pg_session *s, struct slice actor, const char *action, const struct list_row *row,
                     int64_t entries, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, (int32_t)row->account);
    pg_add_text(&p, actor);
    pg_add_text(&p, slice_str(action));
    pg_add_text(&p, row->name);
    pg_add_i64(&p, entries);
    return row_ask(
        s,
        "INSERT INTO audit (account, actor, action, subject, detail) VALUES (nullif($1::int4, 0), $2::text, "
        "$3::text, $4::text, jsonb_build_object('entries', $5::int8))",
        &p, NULL, why);
}

/* ---- lists ---- */

#define LIST_COLUMNS                                                                                         \
    "SELECT l.list, l.account, coalesce(a.name, ''), l.name, l.note, l.purpose, l.type, l.field, "           \
    "e.entries, "                                                                                            \
    "e.expired, e.next FROM lists l LEFT JOIN accounts a USING (account) CROSS JOIN LATERAL (SELECT "        \
    "count(*) AS entries, count(*) FILTER (WHERE expires_at <= now()) AS expired, min(expires_at) FILTER "   \
    "(WHERE expires_at > now()) AS next FROM list_entries x WHERE x.list = l.list) e "

static struct list_row row_of(const struct pg_result *r, size_t i, struct arena *arena)
{
    return (struct list_row){ .number = pg_get_int(r, i, 0),
                              .account = pg_get_int(r, i, 1),
                              .owner = arena_slice(arena, pg_get_text(r, i, 2)),
                              .name = arena_slice(arena, pg_get_text(r, i, 3)),
                              .note = arena_slice(arena, pg_get_text(r, i, 4)),
                              .purpose = list_purpose_find(pg_get_text(r, i, 5)),
                              .type = list_type_find(pg_get_text(r, i, 6)),
                              .field = txn_text_find(pg_get_text(r, i, 7)),
                              .entries = pg_get_int(r, i, 8),
                              .expired = pg_get_int(r, i, 9),
                              .next_expiry_us =
                                  pg_is_null(r, i, 10) ? LIST_NO_EXPIRY : pg_get_time_us(r, i, 10) };
}

enum err lists_find(struct pg_session *s, int64_t account, struct slice name, struct arena *arena,
                    struct list_row *out, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    pg_add_text(&p, name);
    err = row_ask(s, LIST_COLUMNS "WHERE l.account = $1::int4 AND l.name = $2::text", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no list %.*s", SLICE_ARG(name));
    if (!err)
        *out = row_of(r, 0, arena);
    pg_result_free(r);
    return err;
}

enum err lists_all(struct pg_session *s, struct arena *arena, struct list_row **out, size_t *count,
                   struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, LIST_COLUMNS "ORDER BY l.name, l.account", NULL, &r, why);

    *count = pg_rows(r);
    *out = arena_new(arena, struct list_row, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = row_of(r, i, arena);
    pg_result_free(r);
    return err;
}

enum err lists_ever(struct pg_session *s, struct arena *arena, struct list_life **out, size_t *count,
                    struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s,
                "SELECT list, account, name, purpose, field, type, created_at, NULL::timestamptz FROM lists "
                "UNION ALL SELECT list, account, name, purpose, field, type, created_at, dropped_at FROM "
                "dropped_lists ORDER BY 1",
                NULL, &r, why);

    *count = err ? 0 : pg_rows(r);
    *out = arena_new(arena, struct list_life, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct list_life){
            .number = pg_get_int(r, i, 0),
            .account = pg_get_int(r, i, 1),
            .name = arena_slice(arena, pg_get_text(r, i, 2)),
            .purpose = list_purpose_find(pg_get_text(r, i, 3)),
            .field = txn_text_find(pg_get_text(r, i, 4)),
            .type = list_type_find(pg_get_text(r, i, 5)),
            .created_at_us = pg_get_time_us(r, i, 6),
            .dropped_at_us = pg_is_null(r, i, 7) ? INT64_MAX : pg_get_time_us(r, i, 7),
        };
    pg_result_free(r);
    return err;
}

void list_row_write(struct json_out *o, const char *key, const struct list_row *row)
{
    json_out_open(o, key);
    json_out_text(o, "list", row->name);
    json_out_text(o, "account", row->owner);
    json_out_str(o, "purpose", list_purpose_name(row->purpose));
    json_out_str(o, "type", list_type_name(row->type));
    json_out_str(o, "field", row->field < TXN_TEXT_COUNT ? txn_text_name(row->field) : "");
    json_out_int(o, "values", row->entries);
    json_out_int(o, "expired", row->expired);
    if (row->next_expiry_us == LIST_NO_EXPIRY)
        json_out_null(o, "next_expiry");
    else
        json_out_time(o, "next_expiry", row->next_expiry_us);
    json_out_text(o, "note", row->note);
    json_out_end(o);
}

enum err lists_create(struct pg_session *s, const struct list_row *row, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    if (row->purpose != LIST_NAMED && row->field == TXN_TEXT_COUNT)
        return err_set(why, ERR_INVALID, "a deny or allow list needs a field to act on");
    err = begin(s, actor, why);
    pg_add_i32(&p, (int32_t)row->account);
    pg_add_text(&p, row->name);
    pg_add_text(&p, slice_str(list_purpose_name(row->purpose)));
    pg_add_text(&p, slice_str(row->field < TXN_TEXT_COUNT ? txn_text_name(row->field) : ""));
    pg_add_text(&p, row->note);
    pg_add_text(&p, slice_str(list_type_name(row->type)));
    if (!err)
        err = pg_exec(
            s,
            "INSERT INTO lists (account, name, purpose, field, note, type) VALUES ($1::int4, $2::text, "
            "$3::text, $4::text, $5::text, $6::text) ON CONFLICT DO NOTHING RETURNING list",
            &p, &r, why);
    if (err == ERR_INVALID) /* the one check that is left to the table */
        err_set(why, err, "a list's name begins with a-z and goes on with a-z, 0-9 and _, at most 63");
    pg_params_release(&p);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_CONFLICT, "there is a list %.*s already", SLICE_ARG(row->name));
    pg_result_free(r);
    if (!err)
        err = note(s, actor, "list.create", row, 0, why);
    return pg_commit_or_abort(s, err, why);
}

enum err lists_drop(struct pg_session *s, const struct list_row *row, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = begin(s, actor, why);

    pg_add_i64(&p, row->number);
    if (!err)
        err = pg_exec(s, "DELETE FROM lists WHERE list = $1::int8", &p, &r, why);
    pg_params_release(&p);
    if (!err && pg_affected(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no list %.*s", SLICE_ARG(row->name));
    pg_result_free(r);
    if (!err)
        err = note(s, actor, "list.drop", row, row->entries, why);
    return pg_commit_or_abort(s, err, why);
}

/* ---- entries ---- */

/* What is beyond it would not be decided by. */
static enum err check_size(struct pg_session *s, int64_t list, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, list);
    err = row_ask(s, "SELECT count(*) FROM list_entries WHERE list = $1::int8", &p, &r, why);
    if (!err && pg_get_int(r, 0, 0) > LIST_ENTRIES_MAX)
        err = err_set(why, ERR_TOO_LARGE, "a list has at most %d entries; with these it would have %" PRId64,
                      LIST_ENTRIES_MAX, pg_get_int(r, 0, 0));
    pg_result_free(r);
    return err;
}

/* growing: the list that becomes larger; NULL when none does. */
static enum err change(struct pg_session *s, const struct list_row *growing, const char *sql,
                       struct pg_params *p, struct slice actor, size_t *changed, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = begin(s, actor, why);

    if (!err)
        err = pg_exec(s, sql, p, &r, why);
    if (!err)
        *changed = pg_affected(r);
    pg_result_free(r);
    if (!err && growing)
        err = check_size(s, growing->number, why);
    return pg_commit_or_abort(s, err, why);
}

enum err lists_put(struct pg_session *s, const struct list_row *row, const struct list_entry *entries,
                   size_t count, struct slice actor, size_t *changed, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_array *values, *notes, *expiries;
    char spelling[LIST_VALUE_MAX + 1];
    size_t len = 0;
    enum err err = ERR_OK;

    pg_add_i64(&p, row->number);
    values = pg_add_array(&p, PG_TEXT);
    notes = pg_add_array(&p, PG_TEXT);
    expiries = pg_add_array(&p, PG_TIMESTAMPTZ);
    pg_add_text(&p, actor);
    for (size_t i = 0; i < count && !err; i++) {
        err = list_canonical(row->type, entries[i].value, spelling, &len, why);
        pg_array_text(values, slice_of(spelling, err ? 0 : len));
        pg_array_text(notes, entries[i].note);
        if (entries[i].expires_at_us == LIST_NO_EXPIRY)
            pg_array_null(expiries);
        else
            pg_array_time_us(expiries, entries[i].expires_at_us);
    }
    if (!err)
        err = change(
            s, row,
            "INSERT INTO list_entries (list, value, note, added_by, expires_at) SELECT DISTINCT ON (value) "
            "$1::int8, value, note, $5::text, expires_at FROM unnest($2::text[], $3::text[], "
            "$4::timestamptz[]) AS x (value, note, expires_at) ORDER BY value, expires_at DESC NULLS FIRST "
            "ON CONFLICT (list, value) DO UPDATE SET note = excluded.note, expires_at = excluded.expires_at",
            &p, actor, changed, why);
    pg_params_release(&p);
    return err;
}

enum err lists_remove(struct pg_session *s, const struct list_row *row, const struct slice *values,
                      size_t count, struct slice actor, size_t *changed, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_array *spellings;
    char spelling[LIST_VALUE_MAX + 1];
    struct why ignored;
    size_t len;
    enum err err;

    pg_add_i64(&p, row->number);
    spellings = pg_add_array(&p, PG_TEXT);
    for (size_t i = 0; i < count; i++) {
        pg_array_text(spellings, values[i]); /* as older versions have kept it */
        if (!list_canonical(row->type, values[i], spelling, &len, &ignored))
            pg_array_text(spellings, slice_of(spelling, len));
    }
    err = change(s, NULL, "DELETE FROM list_entries WHERE list = $1::int8 AND value = ANY ($2::text[])", &p,
                 actor, changed, why);
    pg_params_release(&p);
    return err;
}

static int64_t expiry_of(const struct pg_result *r, size_t row, int column)
{
    return pg_is_null(r, row, column) ? LIST_NO_EXPIRY : pg_get_time_us(r, row, column);
}

enum err lists_entries(struct pg_session *s, const struct list_row *row, struct slice find,
                       struct slice after, size_t most, struct arena *arena, struct list_entry **out,
                       size_t *count, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    if (!slice_is_utf8(find) || !slice_is_utf8(after))
        return err_set(why, ERR_INVALID, "what is looked for is not UTF-8");
    pg_add_i64(&p, row->number);
    pg_add_text(&p, after.len ? after : SLICE(""));
    pg_add_i64(&p, (int64_t)most);
    pg_add_text(&p, find.len ? find : SLICE(""));
    err = row_ask(
        s,
        "SELECT value, note, expires_at, added_by, added_at FROM list_entries WHERE list = $1::int8 AND "
        "value > $2::text AND ($4::text = '' OR position(lower($4::text) IN lower(value)) > 0 OR "
        "position(lower($4::text) IN lower(note)) > 0) ORDER BY value LIMIT $3::int8",
        &p, &r, why);
    *count = pg_rows(r);
    *out = arena_new(arena, struct list_entry, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct list_entry){ arena_slice(arena, pg_get_text(r, i, 0)),
                                         arena_slice(arena, pg_get_text(r, i, 1)), expiry_of(r, i, 2),
                                         arena_slice(arena, pg_get_text(r, i, 3)), pg_get_time_us(r, i, 4) };
    pg_result_free(r);
    return err;
}

enum err lists_preview(struct pg_session *s, const struct list_row *row, const struct slice *values,
                       size_t count, struct arena *arena, struct list_preview *out, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct pg_array *spellings;
    char spelling[LIST_VALUE_MAX + 1];
    size_t len, sound = 0;
    enum err err;

    *out = (struct list_preview){ .faults = arena_new(arena, struct list_fault, LIST_FAULTS_MOST) };
    pg_add_i64(&p, row->number);
    spellings = pg_add_array(&p, PG_TEXT);
    for (size_t i = 0; i < count; i++) {
        struct why what = { 0 };

        if (!list_canonical(row->type, values[i], spelling, &len, &what)) {
            pg_array_text(spellings, slice_of(spelling, len));
            sound++;
        } else if (out->refused++ < LIST_FAULTS_MOST) {
            out->faults[out->fault_count++] =
                (struct list_fault){ i + 1, arena_slice(arena, slice_str(what.text)) };
        }
    }
    err = row_ask(
        s,
        "SELECT count(*), count(e.value) FROM (SELECT DISTINCT value FROM unnest($2::text[]) AS x (value)) x "
        "LEFT JOIN list_entries e ON e.list = $1::int8 AND e.value = x.value",
        &p, &r, why);
    if (!err) {
        out->known = (size_t)pg_get_int(r, 0, 1);
        out->fresh = (size_t)pg_get_int(r, 0, 0) - out->known;
        out->repeated = sound - (size_t)pg_get_int(r, 0, 0);
    }
    pg_result_free(r);
    return err;
}

enum err lists_changes(struct pg_session *s, const struct list_row *row, int64_t before, size_t most,
                       struct arena *arena, struct list_change **out, size_t *count, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, row->number);
    pg_add_i64(&p, before ? before : INT64_MAX);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(
        s,
        "SELECT seq, at, expires_at, actor, value, note, is_there FROM list_changes WHERE list = $1::int8 "
        "AND seq < $2::int8 ORDER BY seq DESC LIMIT $3::int8",
        &p, &r, why);
    *count = pg_rows(r);
    *out = arena_new(arena, struct list_change, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct list_change){ .seq = pg_get_int(r, i, 0),
                                          .at_us = pg_get_time_us(r, i, 1),
                                          .expires_at_us = expiry_of(r, i, 2),
                                          .actor = row_text(r, i, 3, arena),
                                          .value = row_text(r, i, 4, arena),
                                          .note = row_text(r, i, 5, arena),
                                          .is_there = pg_get_bool(r, i, 6) };
    pg_result_free(r);
    return err;
}

/* ---- fields that a spreadsheet would run ---- */

/* How many apostrophes stand before the beginning of a formula; SIZE_MAX: it is none. */
static size_t guards(struct slice field)
{
    size_t i = 0;

    while (i < field.len && field.ptr[i] == '\'')
        i++;
    return i < field.len && strchr("=+-@\t\r", field.ptr[i]) && field.ptr[i] ? i : SIZE_MAX;
}

static struct slice unguarded(struct slice field)
{
    size_t n = guards(field);

    return n > 0 && n != SIZE_MAX ? slice_of(field.ptr + 1, field.len - 1) : field;
}

/* ---- CSV in ---- */

static void refuse(struct list_import *im, uint64_t line, const char *what)
{
    im->refused++;
    if (im->on_refused)
        im->on_refused(im->ctx, line, what);
}

static enum err take_record(struct list_import *im, struct why *why)
{
    size_t count, len = 0;
    const struct slice *fields = csv_fields(&im->csv, &count);
    char spelling[LIST_VALUE_MAX + 1];
    struct why what = { 0 };
    int64_t expires = 0;

    if (im->records++ == 0 && slice_eq_str(fields[0], "value"))
        return ERR_OK;
    if (count > 2 && fields[2].len && !rfc3339_parse(fields[2], &expires))
        err_set(&what, ERR_INVALID, "expires_at is no RFC 3339 time");
    if (what.text[0] || list_canonical(im->row->type, unguarded(fields[0]), spelling, &len, &what)) {
        refuse(im, csv_line(&im->csv), what.text);
        return ERR_OK;
    }
    pg_params_clear(&im->params);
    pg_add_text(&im->params, slice_of(spelling, len));
    pg_add_text(&im->params, count > 1 && slice_is_utf8(fields[1]) ? unguarded(fields[1]) : SLICE(""));
    if (count > 2 && fields[2].len)
        pg_add_time_us(&im->params, expires);
    else
        pg_add_null(&im->params);
    im->taken++;
    return pg_copy_row(im->s, &im->params, why);
}

enum err list_import_begin(struct list_import *im, struct why *why)
{
    enum err err;

    csv_init(&im->csv);
    err = begin(im->s, im->actor, why);
    if (!err)
        err =
            pg_exec_script(im->s,
                           "CREATE TEMPORARY TABLE incoming (value text COLLATE \"C\", note text, expires_at "
                           "timestamptz) ON COMMIT DROP",
                           why);
    return err ? err : pg_copy_begin(im->s, "incoming (value, note, expires_at)", why);
}

enum err list_import_take(struct list_import *im, struct slice piece, bool is_last, struct why *why)
{
    enum csv_result result;
    enum err err = ERR_OK;

    while (!err && (result = csv_next(&im->csv, &piece, is_last)) != CSV_END && result != CSV_MORE) {
        if (result == CSV_RECORD)
            err = take_record(im, why);
        else
            refuse(im, csv_line(&im->csv), csv_reason(&im->csv));
    }
    return err;
}

enum err list_import_end(struct list_import *im, struct why *why)
{
    struct pg_params p = { 0 };
    size_t rows;
    enum err err = pg_copy_end(im->s, &rows, why);

    pg_add_i64(&p, im->row->number);
    pg_add_text(&p, im->actor);
    if (!err)
        err = pg_exec(
            im->s,
            "INSERT INTO list_entries (list, value, note, added_by, expires_at) SELECT DISTINCT ON (value) "
            "$1::int8, value, note, $2::text, expires_at FROM incoming ORDER BY value, expires_at DESC NULLS "
            "FIRST ON CONFLICT (list, value) DO UPDATE SET note = excluded.note, expires_at = "
            "excluded.expires_at",
            &p, NULL, why);
    pg_params_release(&p);
    if (!err)
        err = check_size(im->s, im->row->number, why);
    if (!err)
        err = note(im->s, im->actor, "list.import", im->row, (int64_t)im->taken, why);
    return pg_commit_or_abort(im->s, err, why);
}

void list_import_release(struct list_import *im)
{
    csv_release(&im->csv);
    pg_params_release(&im->params);
}

/* ---- CSV out ---- */

struct export
{
    bool (*write)(void *ctx, struct slice piece);
    void *ctx;
    struct buf line;
};

static void add_field(struct buf *line, struct slice field)
{
    bool is_bare = true, is_guarded = guards(field) != SIZE_MAX;

    for (size_t i = 0; i < field.len && is_bare; i++)
        is_bare = !strchr(",\"\r\n", field.ptr[i]) && field.ptr[i];
    if (is_bare) {
        buf_add_str(line, is_guarded ? "'" : "");
        buf_add_slice(line, field);
        return;
    }
    buf_add_str(line, is_guarded ? "\"'" : "\"");
    for (size_t i = 0; i < field.len; i++)
        buf_printf(line, field.ptr[i] == '"' ? "\"\"" : "%c", field.ptr[i]);
    buf_add_str(line, "\"");
}

static bool on_row(void *ctx, const struct slice *fields, size_t count)
{
    struct export *e = ctx;
    char at[RFC3339_SIZE] = "";

    (void)count;
    if (fields[2].ptr)
        rfc3339_format(pg_bytes_time_us(fields[2]), at);
    buf_clear(&e->line);
    add_field(&e->line, fields[0]);
    buf_add_str(&e->line, ",");
    add_field(&e->line, fields[1]);
    buf_printf(&e->line, ",%s\n", at);
    return e->write(e->ctx, buf_slice(&e->line));
}

enum err lists_export(struct pg_session *s, const struct list_row *row,
                      bool (*write)(void *ctx, struct slice piece), void *ctx, struct why *why)
{
    struct export e = { .write = write, .ctx = ctx };
    char query[160];
    enum err err;

    snprintf(query, sizeof query,
             "SELECT value, note, expires_at FROM list_entries WHERE list = %" PRId64 " ORDER BY value",
             row->number);
    if (!write(ctx, SLICE("value,note,expires_at\n")))
        return ERR_OK;
    buf_init(&e.line, 0);
    err = pg_copy_out(s, query, on_row, &e, why);
    buf_release(&e.line);
    return err;
}
