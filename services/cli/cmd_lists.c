/* SPDX-License-Identifier: Apache-2.0
 * cmd_lists.c - `assay lists create`, `add`, `remove`, `import`, `export`, `drop` and `show`. */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "policystore/lists.h"

struct lists_settings {
    const char *account, *purpose, *field, *type, *note;
    int64_t days;
    bool as_json;
};

static const struct lists_settings defaults = {
    .account = "", .purpose = "named", .field = "", .type = "", .note = ""
};

enum { VALUES_MAX = 10000, LINES_TOLD = 10, PAGE = 5000 };

/* ---- a list by its name ---- */

struct found {
    struct pg_session *s;
    struct arena arena;
    struct list_row row;
};

static enum err find(struct found *f, const struct lists_settings *l, const char *name, struct why *why)
{
    int64_t account = 0;
    enum err err = database_open_migrated(&f->s, why);

    if (!err)
        err = account_find(f->s, l->account, &account, why);
    if (!err && lists_find(f->s, account, slice_str(name), &f->arena, &f->row, why))
        err = err_wrap(why, ERR_NOT_FOUND, "`assay lists create` makes one");
    return err;
}

static enum exit_code finish(struct found *f, enum err err, const struct why *why)
{
    pg_session_close(f->s);
    arena_release(&f->arena);
    return command_end(err, why);
}

#define SETTING(field) offsetof(struct lists_settings, field)
static const struct option account_option = { "account", OPTION_TEXT, SETTING(account), "NAME",
                                              "the list of this account (the common one)" };

/* ---- create and drop ---- */

static enum exit_code create(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    struct found f = { .row = { .name = slice_str(operands[0]),
                                .note = slice_str(l->note),
                                .purpose = list_purpose_find(slice_str(l->purpose)),
                                .field = txn_text_find(slice_str(l->field)),
                                .type = list_type_find(slice_str(l->type)) } };
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    if (f.row.purpose == LIST_PURPOSE_COUNT)
        return command_fail(EXIT_USAGE, "--purpose is named, deny or allow");
    if (*l->field && f.row.field == TXN_TEXT_COUNT)
        return command_fail(EXIT_USAGE,
                            "--field is a text field of a transaction: customer_id, card_id, ip, ...");
    if (*l->type && f.row.type == LIST_TYPE_COUNT)
        return command_fail(EXIT_USAGE, "--type is string, ip or number");
    if (!*l->field && f.row.purpose != LIST_NAMED)
        return command_fail(EXIT_USAGE, "a deny or allow list needs a --field to act on");
    if (!*l->type || f.row.field == TXN_ip)
        f.row.type = list_type_of(f.row.field);
    err = database_open_migrated(&f.s, &why);
    if (!err)
        err = account_find(f.s, l->account, &f.row.account, &why);
    if (!err)
        err = lists_create(f.s, &f.row, login_name(), &why);
    return finish(&f, err, &why);
}

static const struct option create_options[] = {
    { "field", OPTION_TEXT, SETTING(field), "FIELD", "of the transaction that it is about" },
    { "purpose", OPTION_TEXT, SETTING(purpose), "WORD", "named, deny or allow (named)" },
    { "type", OPTION_TEXT, SETTING(type), "WORD", "string, ip or number (by the field)" },
    { "note", OPTION_TEXT, SETTING(note), "TEXT", "what it is for" },
    { "account", OPTION_TEXT, SETTING(account), "NAME", "of this account only (all)" },
};

const struct command cmd_lists_create = {
    .name = "lists create",
    .operands = "<list>",
    .purpose = "Make a list of values",
    .text =
        "A deny or allow list acts by itself on its field: deny declines, allow approves, before any "
        "rule. A named\n"
        "list acts when a rule asks for it: in_list(tx.device_id, \"watched_devices\"). A list of type ip "
        "also takes\n"
        "networks, 192.0.2.0/24; one of type number holds whatever is the same number.\n\n"
        "  assay lists create blocked_cards --field card_id --purpose deny\n"
        "  assay lists create tor_exits --field ip\n"
        "  assay lists create odd_amounts --type number",
    .options = create_options,
    .option_count = ARRAY_LEN(create_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = create,
};

static enum exit_code drop(const void *settings, char **operands, size_t operand_count)
{
    struct found f = { 0 };
    struct why why = { 0 };
    enum err err = find(&f, settings, operands[0], &why);

    (void)operand_count;
    if (!err)
        err = lists_drop(f.s, &f.row, login_name(), &why);
    return finish(&f, err, &why);
}

const struct command cmd_lists_drop = {
    .name = "lists drop",
    .operands = "<list>",
    .purpose = "Throw a list away, with all its values",
    .text = "A rule that asks for it does not fire any more, and is counted as one that errs. What was in it "
            "stays in\n"
            "list_changes.\n\n"
            "  assay lists drop tor_exits",
    .options = &account_option,
    .option_count = 1,
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = drop,
};

/* ---- add and remove ---- */

static enum exit_code add(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    struct found f = { 0 };
    struct list_entry *entries;
    struct why why = { 0 };
    size_t changed = 0;
    enum err err;

    if (l->days < 0 || l->days > 36500)
        return command_fail(EXIT_USAGE, "--days is 0 to 36500");
    err = find(&f, l, operands[0], &why);
    entries = arena_new(&f.arena, struct list_entry, operand_count);
    for (size_t i = 1; i < operand_count; i++)
        entries[i - 1] =
            (struct list_entry){ .value = slice_str(operands[i]),
                                 .note = slice_str(l->note),
                                 .expires_at_us =
                                     l->days ? clock_wall_us() + l->days * 24 * HOUR_US : LIST_NO_EXPIRY };
    if (!err)
        err = lists_put(f.s, &f.row, entries, operand_count - 1, login_name(), &changed, &why);
    return finish(&f, err, &why);
}

static const struct option add_options[] = {
    { "days", OPTION_INT, SETTING(days), "N", "until it expires; 0 is never" },
    { "note", OPTION_TEXT, SETTING(note), "TEXT", "why" },
    { "account", OPTION_TEXT, SETTING(account), "NAME", "the list of this account" },
};

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
    struct found f = { 0 };
    struct slice *values;
    struct why why = { 0 };
    size_t changed = 0;
    enum err err = find(&f, settings, operands[0], &why);

    values = arena_new(&f.arena, struct slice, operand_count);
    for (size_t i = 1; i < operand_count; i++)
        values[i - 1] = slice_str(operands[i]);
    if (!err)
        err = lists_remove(f.s, &f.row, values, operand_count - 1, login_name(), &changed, &why);
    if (!err && changed == 0)
        err = err_set(&why, ERR_NOT_FOUND, "none of these is in the list");
    return finish(&f, err, &why);
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

/* ---- import and export ---- */

static void tell_refused(void *ctx, uint64_t line, const char *what)
{
    int *told = ctx;

    if ((*told)++ < LINES_TOLD)
        fprintf(stderr, "line %" PRIu64 ": %s\n", line, what);
}

static enum err import_file(struct list_import *im, FILE *file, struct why *why)
{
    char piece[1 << 16];
    size_t len;
    enum err err = list_import_begin(im, why);

    while (!err) {
        len = fread(piece, 1, sizeof piece, file);
        err = list_import_take(im, slice_of(piece, len), len == 0, why);
        if (len == 0)
            break;
    }
    if (!err && ferror(file))
        err = err_set(why, ERR_UNAVAILABLE, "the file cannot be read to its end");
    return err ? err : list_import_end(im, why);
}

static enum exit_code import_list(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    int told = 0;
    struct found f = { 0 };
    struct list_import im = {
        .on_refused = tell_refused, .ctx = &told, .row = &f.row, .actor = login_name()
    };
    struct why why = { 0 };
    FILE *file = strcmp(operands[1], "-") == 0 ? stdin : fopen(operands[1], "rb");
    enum err err;

    (void)operand_count;
    if (!file)
        return command_fail(EXIT_FAILED, "%s: %s", operands[1], strerror(errno));
    err = find(&f, l, operands[0], &why);
    im.s = f.s;
    if (!err) {
        err = import_file(&im, file, &why);
        list_import_release(&im);
    }
    if (!err)
        printf("%" PRIu64 " values taken, %" PRIu64 " lines refused\n", im.taken, im.refused);
    if (file != stdin)
        fclose(file);
    return finish(&f, err, &why);
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

static bool write_out(void *ctx, struct slice piece)
{
    return fwrite(piece.ptr, 1, piece.len, ctx) == piece.len;
}

static enum exit_code export_list(const void *settings, char **operands, size_t operand_count)
{
    struct found f = { 0 };
    struct why why = { 0 };
    enum err err = find(&f, settings, operands[0], &why);

    (void)operand_count;
    if (!err)
        err = lists_export(f.s, &f.row, write_out, stdout, &why);
    if (!err && (fflush(stdout) != 0 || ferror(stdout)))
        err = err_set(&why, ERR_UNAVAILABLE, "not all of it could be written");
    return finish(&f, err, &why);
}

const struct command cmd_lists_export = {
    .name = "lists export",
    .operands = "<list>",
    .purpose = "Write a list as CSV",
    .text = "As `assay lists import` reads it: value, note and expires_at.\n\n"
            "  assay lists export tor_exits > exits.csv",
    .options = &account_option,
    .option_count = 1,
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct lists_settings),
    .defaults = &defaults,
    .run = export_list,
};

/* ---- show ---- */

static enum err show_lists(struct found *f, struct json_out *o, struct why *why)
{
    struct list_row *rows;
    size_t count;
    enum err err = lists_all(f->s, &f->arena, &rows, &count, why);

    if (err)
        return err;
    if (!o)
        printf("%-24s %-16s %-8s %-8s %-14s %10s  %s\n", "LIST", "ACCOUNT", "PURPOSE", "TYPE", "FIELD",
               "VALUES", "NOTE");
    for (size_t i = 0; i < count; i++) {
        const struct list_row *r = &rows[i];

        if (o)
            list_row_write(o, NULL, r);
        else
            printf("%-24.*s %-16.*s %-8s %-8s %-14s %10" PRId64 "  %.*s\n", SLICE_ARG(r->name),
                   SLICE_ARG(r->owner.len ? r->owner : SLICE("(all)")), list_purpose_name(r->purpose),
                   list_type_name(r->type), r->field < TXN_TEXT_COUNT ? txn_text_name(r->field) : "",
                   r->entries, SLICE_ARG(r->note));
    }
    return ERR_OK;
}

static void show_entry(const struct list_entry *e, struct json_out *o)
{
    char at[RFC3339_SIZE] = "";

    if (e->expires_at_us != LIST_NO_EXPIRY)
        rfc3339_format(e->expires_at_us, at);
    if (!o) {
        printf("%-40.*s %-28s %.*s\n", SLICE_ARG(e->value), at, SLICE_ARG(e->note));
        return;
    }
    json_out_open(o, NULL);
    json_out_text(o, "value", e->value);
    if (*at)
        json_out_str(o, "expires_at", at);
    json_out_text(o, "note", e->note);
    json_out_end(o);
}

static enum err show_entries(struct found *f, struct json_out *o, struct why *why)
{
    char last[LIST_VALUE_MAX] = "";
    struct slice after = SLICE("");
    size_t count = PAGE;
    enum err err = ERR_OK;

    while (!err && count == PAGE) {
        struct arena page = { 0 };
        struct list_entry *entries;

        err = lists_entries(f->s, &f->row, SLICE(""), after, PAGE, &page, &entries, &count, why);
        for (size_t i = 0; !err && i < count; i++)
            show_entry(&entries[i], o);
        if (!err && count) {
            after = slice_of(last, entries[count - 1].value.len);
            memcpy(last, entries[count - 1].value.ptr, after.len);
        }
        arena_release(&page);
    }
    return err;
}

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct lists_settings *l = settings;
    struct found f = { 0 };
    struct buf out;
    struct json_out o;
    struct why why = { 0 };
    enum err err = operand_count ? find(&f, l, operands[0], &why) : database_open_migrated(&f.s, &why);

    buf_init(&out, 0);
    o = json_out_to(&out);
    json_out_list(&o, NULL);
    if (!err)
        err = operand_count ? show_entries(&f, l->as_json ? &o : NULL, &why)
                            : show_lists(&f, l->as_json ? &o : NULL, &why);
    json_out_end(&o);
    if (!err && l->as_json)
        printf("%s\n", buf_str(&out));
    buf_release(&out);
    return finish(&f, err, &why);
}

static const struct option show_options[] = {
    { "account", OPTION_TEXT, SETTING(account), "NAME", "the list of this account" },
    { "json", OPTION_FLAG, SETTING(as_json), NULL, "as JSON" },
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
