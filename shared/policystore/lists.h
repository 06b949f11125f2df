/* SPDX-License-Identifier: Apache-2.0
 * lists.h - lists in PostgreSQL: made, filled, shown and thrown away, by the command line and over REST.
 *
 * Values are kept in their one spelling (policy/list.h). Each change of entries is kept in `list_changes` with
 * who made it, and whoever decides hears of it (store.h). Making and throwing away a list, and imports, have a row
 * of `audit` each.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_POLICYSTORE_LISTS_H
#define ASSAY_POLICYSTORE_LISTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "csv/csv.h"
#include "json/json_out.h"
#include "pg/session.h"
#include "policy/list.h"

struct list_row {
    int64_t number;
    int64_t account;         /* 0: every account */
    struct slice owner;      /* the account's name; empty for every account */
    struct slice name, note; /* the arena's */
    enum list_purpose purpose;
    enum list_type type;
    enum txn_text field;      /* TXN_TEXT_COUNT: none */
    int64_t entries, expired; /* those that have ended are among the entries */
    int64_t next_expiry_us;   /* of those that have not; LIST_NO_EXPIRY: none ends */
};

/* The account's own list of that name, as it is.   ERR_NOT_FOUND  there is none */
MUST_USE enum err lists_find(struct pg_session *s, int64_t account, struct slice name, struct arena *arena,
                             struct list_row *out, struct why *why);
MUST_USE enum err lists_all(struct pg_session *s, struct arena *arena, struct list_row **out, size_t *count,
                            struct why *why);
void list_row_write(struct json_out *o, const char *key, const struct list_row *row);

/* A list that there is, or was. */
struct list_life {
    int64_t number, account;
    struct slice name; /* the arena's */
    enum list_purpose purpose;
    enum list_type type;
    enum txn_text field;
    int64_t created_at_us, dropped_at_us; /* INT64_MAX: it is there */
};
/* All that ever were, in the order of their numbers. */
MUST_USE enum err lists_ever(struct pg_session *s, struct arena *arena, struct list_life **out, size_t *count,
                             struct why *why);

/* Makes an empty list of row->account, name, purpose, type, field and note.
 *   ERR_INVALID   no name, or a deny or allow list without a field
 *   ERR_CONFLICT  there is one of that name */
MUST_USE enum err lists_create(struct pg_session *s, const struct list_row *row, struct slice actor,
                               struct why *why);
/* With all its entries.   ERR_NOT_FOUND  there is none of that number */
MUST_USE enum err lists_drop(struct pg_session *s, const struct list_row *row, struct slice actor,
                             struct why *why);

struct list_entry {
    struct slice value, note;
    int64_t expires_at_us; /* LIST_NO_EXPIRY: never */
    struct slice added_by; /* told by lists_entries() */
    int64_t added_at_us;
};

/* Adds entries, or gives them another note and expiry. *changed: how many.
 *   ERR_INVALID    a value is none of the list's type: nothing was done
 *   ERR_TOO_LARGE  there would be more than LIST_ENTRIES_MAX: nothing was done */
MUST_USE enum err lists_put(struct pg_session *s, const struct list_row *row,
                            const struct list_entry *entries, size_t count, struct slice actor,
                            size_t *changed, struct why *why);
/* Takes them out, however they are spelt; *changed: how many were there. */
MUST_USE enum err lists_remove(struct pg_session *s, const struct list_row *row, const struct slice *values,
                               size_t count, struct slice actor, size_t *changed, struct why *why);
/* Up to `most` entries after the value `after` (empty: from the first), in the order of bytes; with `find` only those in
 * whose value or note it stands, whatever its case. */
MUST_USE enum err lists_entries(struct pg_session *s, const struct list_row *row, struct slice find,
                                struct slice after, size_t most, struct arena *arena, struct list_entry **out,
                                size_t *count, struct why *why);

/* What lists_put() or lists_remove() of these values would meet; nothing is changed. */
struct list_fault {
    uint64_t line; /* of the file, or which value; from 1 */
    struct slice what;
};
struct list_preview {
    size_t fresh, known; /* not there, and there */
    size_t repeated;     /* the same as one before it */
    struct list_fault
        *faults; /* the arena's: those that are none of the list's type, LIST_FAULTS_MOST at most */
    size_t fault_count, refused;
};
enum { LIST_FAULTS_MOST = 100 };
MUST_USE enum err lists_preview(struct pg_session *s, const struct list_row *row, const struct slice *values,
                                size_t count, struct arena *arena, struct list_preview *out, struct why *why);

/* Who put in or took out what, the newest first, only those before `before` (0: from the newest). */
struct list_change {
    int64_t seq, at_us, expires_at_us;
    struct slice actor, value, note;
    bool is_there; /* put in, or given another note or expiry; else taken out */
};
MUST_USE enum err lists_changes(struct pg_session *s, const struct list_row *row, int64_t before, size_t most,
                                struct arena *arena, struct list_change **out, size_t *count,
                                struct why *why);

/* ---- CSV: value[,note[,expires_at]], the last as RFC 3339 has it ----
 *
 * A field that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line's end) is written with an
 * apostrophe before it, and so is one that looks as if it had got one; reading takes one off such a field. */

struct list_import {
    struct pg_session *s;
    const struct list_row *row;
    struct slice actor;
    struct csv csv;
    struct pg_params params;
    uint64_t taken, refused, records;
    /* Told of each line that cannot be taken; it is passed over. */
    void (*on_refused)(void *ctx, uint64_t line, const char *what);
    void *ctx;
};

/* Begins, takes the next piece of any size, and ends: then the entries are there, in one transaction. A first
 * line that begins with "value" is a header. After an error only list_import_release() is left, and nothing was
 * done; it is due in any case. */
MUST_USE enum err list_import_begin(struct list_import *im, struct why *why);
MUST_USE enum err list_import_take(struct list_import *im, struct slice piece, bool is_last, struct why *why);
MUST_USE enum err list_import_end(struct list_import *im, struct why *why);
void list_import_release(struct list_import *im);

/* Writes the list as such a file, with a header, row by row; `write` returns false to stop. */
MUST_USE enum err lists_export(struct pg_session *s, const struct list_row *row,
                               bool (*write)(void *ctx, struct slice piece), void *ctx, struct why *why);

#endif
