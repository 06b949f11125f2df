/* SPDX-License-Identifier: Apache-2.0
 * cmd_lists.c - `assay lists create`, `add`, `remove`, `import` and `show`. */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "csv/csv.h"
#include "database.h"
#include "pg/session.h"
#include "policy/list.h"

struct lists_settings {
    const char *account, *purpose, *field, *note;
    int64_t days;
    bool as_json;
};

static const struct lists_settings defaults = { .account = "", .purpose = "named", .field = "", .note = "" };

/* ---- a list by its name ---- */

struct found_list {
    int64_t number;
    struct list *list; /* empty, to check values with */
};

static void found_release(struct found_list *found)
{
    list_unref(found->list);
}

static enum err find(struct pg_session *s, const char *account, const char *name, struct found_list *out,
                     struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, slice_str(account));
    pg_add_text(&p, slice_str(name));
    err = pg_exec(s,
                  "SELECT list, field FROM lists l LEFT JOIN accounts a USING (account) "
                  "WHERE coalesce(a.name, '') = $1::text AND l.name = $2::text",
                  &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "no list \"%s\"; `assay lists create` makes one", name);
    if (!err) {
        out->number = pg_get_int(r, 0, 0);
        out->list = list_new(0, slice_str(name), LIST_NAMED, txn_text_find(pg_get_text(r, 0, 1)));
    }
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum exit_code finish(struct pg_session *s, enum err err, const struct why *why)
{
    pg_session_close(s);
    return command_end(err, why);
}

static const struct option account_option = { "account", OPTION_TEXT,
                                              offsetof(struct lists_settings, account), "NAME",
                                              "of this account only (all)" };

/* ---- create ---- */

static enum exit_code create(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    struct pg_session *s;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    if (list_purpose_find(slice_str(l->purpose)) == LIST_PURPOSE_COUNT)
        return command_fail(EXIT_USAGE, "--purpose is named, deny or allow");
    if (*l->field && txn_text_find(slice_str(l->field)) == TXN_TEXT_COUNT)
        return command_fail(EXIT_USAGE,
                            "--field is a text field of a transaction: customer_id, card_id, ip, ...");
    if (!*l->field && strcmp(l->purpose, "named") != 0)
        return command_fail(EXIT_USAGE, "a deny or allow list needs a --field to act on");
    pg_add_text(&p, slice_str(l->account));
    pg_add_text(&p, slice_str(operands[0]));
    pg_add_text(&p, slice_str(l->purpose));
    pg_add_text(&p, slice_str(l->field));
    pg_add_text(&p, slice_str(l->note));
    err = database_open_migrated(&s, &why);
    if (!err)
        err = pg_exec(s,
                      "INSERT INTO lists (account, name, purpose, field, note) "
                      "SELECT account, $2::text, $3::text, $4::text, $5::text FROM "
                      "(SELECT 0 AS account WHERE $1::text = '' UNION ALL SELECT account FROM accounts "
                      "WHERE name = $1::text) a ON CONFLICT DO NOTHING RETURNING list",
                      &p, &r, &why);
    if (!err && pg_rows(r) == 0)
        err = err_set(&why, ERR_CONFLICT, "there is a list \"%s\" already, or no account \"%s\"", operands[0],
                      l->account);
    pg_result_free(r);
    pg_params_release(&p);
    return finish(s, err, &why);
}

static const struct option create_options[] = {
    { "field", OPTION_TEXT, offsetof(struct lists_settings, field), "FIELD",
      "of the transaction that it is about" },
    { "purpose", OPTION_TEXT, offsetof(struct lists_settings, purpose), "WORD",
      "named, deny or allow (named)" },
    { "note", OPTION_TEXT, offsetof(struct lists_settings, note), "TEXT", "what it is for" },
    { "account", OPTION_TEXT, offsetof(struct lists_settings, account), "NAME",
      "of this account only (all)" },
};

const struct command cmd_lists_create = {
    .name = "lists create",
    .operands = "<list>",
    .purpose = "Make a list of values",
    .text = "A deny or allow list acts by itself on its field: deny declines, allow approves, before any "
            "rule. A named\n"
            "list acts when a rule asks for it: in_list(tx.device_id, \"watched_devices\"). A list over ip "
            "also takes\n"
            "networks, 192.0.2.0/24.\n\n"
            "  assay lists create blocked_cards --field card_id --purpose deny\n"
            "  assay lists create tor_exits --field ip",
    .options = create_options,
    .option_count = ARRAY_LEN(create_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = create,
};

/* ---- add and remove ---- */

static enum err change(struct pg_session *s, const struct lists_settings *l, const char *sql, bool is_adding,
                       char **operands, size_t operand_count, size_t *changed, struct why *why)
{
    struct found_list found = { 0 };
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct pg_array *values;
    enum err err = find(s, l->account, operands[0], &found, why);

    if (err)
        return err;
    pg_add_i64(&p, found.number);
    values = pg_add_array(&p, PG_TEXT);
    for (size_t i = 1; i < operand_count && !err; i++) {
        if (is_adding)
            err = list_add(found.list, slice_str(operands[i]), LIST_NO_EXPIRY, why);
        pg_array_text(values, slice_str(operands[i]));
    }
    if (is_adding) {
        pg_add_text(&p, slice_str(l->note));
        pg_add_i32(&p, (int32_t)l->days);
    }
    if (!err)
        err = pg_exec(s, sql, &p, &r, why);
    if (!err)
        *changed = pg_affected(r);
    pg_result_free(r);
    pg_params_release(&p);
    found_release(&found);
    return err;
}

static enum exit_code add(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    struct pg_session *s;
    struct why why = { 0 };
    size_t changed = 0;
    enum err err;

    if (l->days < 0 || l->days > 36500)
        return command_fail(EXIT_USAGE, "--days is 0 to 36500");
    err = database_open_migrated(&s, &why);
    if (!err)
        err = change(
            s, l,
            "INSERT INTO list_entries (list, value, note, added_by, expires_at) "
            "SELECT $1::int8, v, $3::text, current_user, "
            "CASE WHEN $4::int4 > 0 THEN now() + make_interval(days => $4::int4) END "
            "FROM (SELECT DISTINCT unnest($2::text[]) AS v) v "
            "ON CONFLICT (list, value) DO UPDATE SET note = excluded.note, expires_at = excluded.expires_at",
            true, operands, operand_count, &changed, &why);
    return finish(s, err, &why);
}

static const struct option add_options[] = {
    { "days", OPTION_INT, offsetof(struct lists_settings, days), "N", "until it expires; 0 is never" },
    { "note", OPTION_TEXT, offsetof(struct lists_settings, note), "TEXT", "why" },
    { "account", OPTION_TEXT, offsetof(struct lists_settings, account), "NAME", "the list of this account" },
};

enum { VALUES_MAX = 10000 };

const struct command cmd_lists_add = {
    .name = "lists add",
    .operands = "<list> <value>...",
    .purpose = "Add values to a list, or give them another expiry",
    .text = "Takes effect in every service within a second.\n\n"
            "  assay lists add blocked_cards tok_17 tok_29 --days 90 --note \"reported stolen\"\n"
            "  assay lists add tor_exits 192.0.2.7 2001:db8::/32",
    .options = add_options,
    .option_count = ARRAY_LEN(add_options),
    .operands_least = 2,
    .operands_most = VALUES_MAX,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = add,
};

static enum exit_code remove_values(const void *settings, char **operands, size_t operand_count)
{
    struct pg_session *s;
    struct why why = { 0 };
    size_t changed = 0;
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err =
            change(s, settings, "DELETE FROM list_entries WHERE list = $1::int8 AND value = ANY ($2::text[])",
                   false, operands, operand_count, &changed, &why);
    if (!err && changed == 0)
        err = err_set(&why, ERR_NOT_FOUND, "none of these is in the list");
    return finish(s, err, &why);
}

const struct command cmd_lists_remove = {
    .name = "lists remove",
    .operands = "<list> <value>...",
    .purpose = "Take values out of a list",
    .text = "  assay lists remove blocked_cards tok_17",
    .options = &account_option,
    .option_count = 1,
    .operands_least = 2,
    .operands_most = VALUES_MAX,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = remove_values,
};

/* ---- import ---- */

struct import {
    struct pg_session *s;
    struct found_list found;
    struct pg_params row;
    uint64_t taken, refused, records;
};

/* One record: value[,note[,expires_at]]. A first line that begins with "value" is the header. */
static enum err take_record(struct import *im, const struct csv *csv, struct why *why)
{
    size_t count;
    const struct slice *fields = csv_fields(csv, &count);
    struct why what = { 0 };
    int64_t expires = 0;

    if (im->records++ == 0 && slice_eq_str(fields[0], "value"))
        return ERR_OK;
    if (count > 2 && fields[2].len && !rfc3339_parse(fields[2], &expires))
        err_set(&what, ERR_INVALID, "expires_at is no RFC 3339 time");
    if (what.text[0] || list_add(im->found.list, fields[0], LIST_NO_EXPIRY, &what) ||
        !slice_is_utf8(fields[0])) {
        if (im->refused++ < 10)
            fprintf(stderr, "line %" PRIu64 ": %s\n", csv_line(csv), what.text[0] ? what.text : "not UTF-8");
        return ERR_OK;
    }
    pg_params_clear(&im->row);
    pg_add_text(&im->row, fields[0]);
    pg_add_text(&im->row, count > 1 && slice_is_utf8(fields[1]) ? fields[1] : SLICE(""));
    if (count > 2 && fields[2].len)
        pg_add_time_us(&im->row, expires);
    else
        pg_add_null(&im->row);
    im->taken++;
    return pg_copy_row(im->s, &im->row, why);
}

static enum err copy_file(struct import *im, FILE *file, struct why *why)
{
    struct csv csv;
    char piece[1 << 16];
    struct slice bytes = { 0 };
    bool is_last = false;
    enum csv_result result;
    enum err err = ERR_OK;

    csv_init(&csv);
    while (!err && (result = csv_next(&csv, &bytes, is_last)) != CSV_END) {
        if (result == CSV_MORE) {
            bytes = slice_of(piece, fread(piece, 1, sizeof piece, file));
            is_last = bytes.len == 0;
        } else if (result == CSV_RECORD) {
            err = take_record(im, &csv, why);
        } else if (im->refused++ < 10) {
            fprintf(stderr, "line %" PRIu64 ": %s\n", csv_line(&csv), csv_reason(&csv));
        }
    }
    csv_release(&csv);
    return err;
}

static enum err import_file(struct import *im, FILE *file, struct why *why)
{
    struct pg_params p = { 0 };
    size_t rows;
    enum err err =
        pg_exec_script(im->s,
                       "BEGIN; CREATE TEMPORARY TABLE incoming (value text COLLATE \"C\", note text, "
                       "expires_at timestamptz) ON COMMIT DROP",
                       why);

    if (!err)
        err = pg_copy_begin(im->s, "incoming (value, note, expires_at)", why);
    if (!err)
        err = copy_file(im, file, why);
    if (!err)
        err = pg_copy_end(im->s, &rows, why);
    pg_add_i64(&p, im->found.number);
    if (!err)
        err = pg_exec(
            im->s,
            "INSERT INTO list_entries (list, value, note, added_by, expires_at) "
            "SELECT DISTINCT ON (value) $1::int8, value, note, current_user, expires_at FROM incoming "
            "ORDER BY value, expires_at DESC NULLS FIRST "
            "ON CONFLICT (list, value) DO UPDATE SET note = excluded.note, expires_at = excluded.expires_at",
            &p, NULL, why);
    pg_params_release(&p);
    return err ? err : pg_exec_script(im->s, "COMMIT", why);
}

static enum exit_code import_list(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    struct import im = { 0 };
    struct why why = { 0 };
    FILE *file = strcmp(operands[1], "-") == 0 ? stdin : fopen(operands[1], "rb");
    enum err err;

    (void)operand_count;
    if (!file)
        return command_fail(EXIT_FAILED, "%s: %s", operands[1], strerror(errno));
    err = database_open_migrated(&im.s, &why);
    if (!err)
        err = find(im.s, l->account, operands[0], &im.found, &why);
    if (!err)
        err = import_file(&im, file, &why);
    if (!err)
        printf("%" PRIu64 " values taken, %" PRIu64 " lines refused\n", im.taken, im.refused);
    if (file != stdin)
        fclose(file);
    pg_params_release(&im.row);
    found_release(&im.found);
    return finish(im.s, err, &why);
}

const struct command cmd_lists_import = {
    .name = "lists import",
    .operands = "<list> <file.csv>",
    .purpose = "Add many values from a CSV file",
    .text = "Columns: value, then if wanted note and expires_at (RFC 3339); a header line may stand first. A "
            "value that\n"
            "is there already gets the note and expiry of the file. \"-\" reads standard input. A line that "
            "cannot be\n"
            "taken is told and skipped.\n\n"
            "  assay lists import tor_exits exits.csv",
    .options = &account_option,
    .option_count = 1,
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = import_list,
};

/* ---- show ---- */

static enum err show_lists(struct pg_session *s, json_t *all, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec(s,
                           "SELECT l.name, coalesce(a.name, ''), purpose, field, "
                           "(SELECT count(*) FROM list_entries e WHERE e.list = l.list), l.note FROM lists l "
                           "LEFT JOIN accounts a USING (account) ORDER BY l.name, account",
                           NULL, &r, why);

    if (!err && !all)
        printf("%-24s %-16s %-8s %-14s %10s  %s\n", "LIST", "ACCOUNT", "PURPOSE", "FIELD", "VALUES", "NOTE");
    for (size_t i = 0; i < pg_rows(r); i++) {
        const char *account = pg_get_text(r, i, 1).ptr;

        if (all)
            json_array_append_new(
                all, json_pack("{ss ss ss ss sI ss}", "list", pg_get_text(r, i, 0).ptr, "account", account,
                               "purpose", pg_get_text(r, i, 2).ptr, "field", pg_get_text(r, i, 3).ptr,
                               "values", (json_int_t)pg_get_int(r, i, 4), "note", pg_get_text(r, i, 5).ptr));
        else
            printf("%-24s %-16s %-8s %-14s %10" PRId64 "  %s\n", pg_get_text(r, i, 0).ptr,
                   *account ? account : "(all)", pg_get_text(r, i, 2).ptr, pg_get_text(r, i, 3).ptr,
                   pg_get_int(r, i, 4), pg_get_text(r, i, 5).ptr);
    }
    pg_result_free(r);
    return err;
}

static enum err show_entries(struct pg_session *s, const struct lists_settings *l, const char *name,
                             json_t *all, struct why *why)
{
    struct found_list found = { 0 };
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = find(s, l->account, name, &found, why);

    if (err)
        return err;
    pg_add_i64(&p, found.number);
    err = pg_exec(s, "SELECT value, expires_at, note FROM list_entries WHERE list = $1::int8 ORDER BY value",
                  &p, &r, why);
    for (size_t i = 0; i < pg_rows(r); i++) {
        char at[RFC3339_SIZE] = "";

        if (!pg_is_null(r, i, 1))
            rfc3339_format(pg_get_time_us(r, i, 1), at);
        if (all)
            json_array_append_new(all,
                                  json_pack("{ss ss* ss}", "value", pg_get_text(r, i, 0).ptr, "expires_at",
                                            *at ? at : NULL, "note", pg_get_text(r, i, 2).ptr));
        else
            printf("%-40s %-28s %s\n", pg_get_text(r, i, 0).ptr, at, pg_get_text(r, i, 2).ptr);
    }
    pg_result_free(r);
    pg_params_release(&p);
    found_release(&found);
    return err;
}

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    json_t *all = l->as_json ? json_array() : NULL;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = operand_count ? show_entries(s, l, operands[0], all, &why) : show_lists(s, all, &why);
    if (!err && all) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    return finish(s, err, &why);
}

static const struct option show_options[] = {
    { "account", OPTION_TEXT, offsetof(struct lists_settings, account), "NAME", "the list of this account" },
    { "json", OPTION_FLAG, offsetof(struct lists_settings, as_json), NULL, "as JSON" },
};

const struct command cmd_lists_show = {
    .name = "lists show",
    .operands = "[list]",
    .purpose = "Show the lists, or the values of one",
    .options = show_options,
    .option_count = ARRAY_LEN(show_options),
    .operands_most = 1,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = show,
};
