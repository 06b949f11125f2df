/* SPDX-License-Identifier: Apache-2.0
 * cmd_audit.c - `assay audit list` and `verify`. */
#include "command.h"

#include <inttypes.h>
#include <string.h>

#include "auditstore/audit.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "listing.h"
#include "pg/session.h"

struct audit_options {
    const char *actor, *action, *subject, *head;
    int64_t most, before;
    bool as_json;
};
static const struct audit_options defaults = {
    .actor = "", .action = "", .subject = "", .head = "", .most = 50
};

/* ---- list ---- */

static void write_audit_row(struct json_out *o, const void *item)
{
    audit_row_write(o, NULL, item);
}

static void print_json(const struct audit_row *all, size_t count)
{
    listing_print(all, count, sizeof *all, write_audit_row);
}

static void print_rows(const struct audit_row *all, size_t count)
{
    char at[RFC3339_SIZE];

    for (size_t i = 0; i < count; i++) {
        rfc3339_format(all[i].at_us / SECOND_US * SECOND_US, at);
        printf("%7" PRId64 " %s %-16.*s %-20.*s %.*s%s%.*s\n", all[i].id, at, SLICE_ARG(all[i].actor),
               SLICE_ARG(all[i].action), SLICE_ARG(all[i].subject),
               slice_eq_str(all[i].detail, "{}") ? "" : " ",
               slice_eq_str(all[i].detail, "{}") ? 0 : (int)all[i].detail.len, all[i].detail.ptr);
    }
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct audit_options *o = settings;
    struct arena arena = { 0 };
    struct audit_row *all;
    size_t count;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err;

    (void)operands;
    (void)operand_count;
    if (o->most < 1 || o->most > 100000 || o->before < 0)
        return command_fail(EXIT_USAGE, "--most is 1 to 100000, --before a row's number");
    err = database_open_migrated(&s, &why);
    if (!err)
        err = audit_list(s,
                         &(struct audit_filter){ .before = o->before,
                                                 .actor = slice_str(o->actor),
                                                 .action = slice_str(o->action),
                                                 .subject = slice_str(o->subject),
                                                 .most = (size_t)o->most },
                         &all, &count, &arena, &why);
    if (!err && o->as_json)
        print_json(all, count);
    else if (!err)
        print_rows(all, count);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

#define AT(field) offsetof(struct audit_options, field)
static const struct option list_options[] = {
    { "actor", OPTION_TEXT, AT(actor), "NAME", "only what this one did" },
    { "action", OPTION_TEXT, AT(action), "WORD", "only this; \"rules.\" is all that begins so" },
    { "subject", OPTION_TEXT, AT(subject), "TEXT", "only what was done to this" },
    { "before", OPTION_INT, AT(before), "N", "only rows older than that one" },
    { "most", OPTION_INT, AT(most), "N", "at most so many (50)" },
    { "json", OPTION_FLAG, AT(as_json), NULL, "as JSON" },
};

const struct command cmd_audit_list = {
    .name = "audit list",
    .operands = "",
    .purpose = "Show who changed what, the newest first",
    .text = "  assay audit list --action rules. --actor ann",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .settings_size = sizeof(struct audit_options),
    .defaults = &defaults,
    .run = list,
};

/* ---- verify ---- */

/* Whether a head that was written down once still stands in the chain. */
static enum err find_head(struct pg_session *s, const char *head, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, slice_str(head));
    err = pg_exec(s, "SELECT FROM audit_chain WHERE encode(sha256, 'hex') = lower($1::text)", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_CONFLICT, "no link has the hash %s: the chain was made anew", head);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum exit_code verify(const void *settings, char **operands, size_t operand_count)
{
    const struct audit_options *o = settings;
    struct audit_check check;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = audit_verify(s, &check, &why);
    if (!err && !check.is_whole)
        err = err_set(&why, ERR_CONFLICT, "the audit trail is broken: %s", check.trouble.text);
    if (!err && *o->head)
        err = find_head(s, o->head, &why);
    if (!err)
        printf("%" PRId64 " rows, each as it was written\nhead %s\n", check.rows, check.head);
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct option verify_options[] = {
    { "head", OPTION_TEXT, AT(head), "HASH",
      "which an earlier run printed: it must still stand in the chain" },
};

const struct command cmd_audit_verify = {
    .name = "audit verify",
    .operands = "",
    .purpose = "Prove that nothing in the audit trail was changed or removed",
    .text = "Computes the hash of every row again. Who can write to all tables could make the whole chain "
            "anew, so keep\n"
            "the head that it prints somewhere else, and give it back later:\n\n"
            "  assay audit verify --head 3f0c...",
    .options = verify_options,
    .option_count = ARRAY_LEN(verify_options),
    .settings_size = sizeof(struct audit_options),
    .defaults = &defaults,
    .run = verify,
};
