/* SPDX-License-Identifier: Apache-2.0
 * session.h - one blocking PostgreSQL connection: for the command line, tests and worker threads. Never on an
 * event loop.
 *
 *   struct pg_session *s;
 *   struct pg_result *r;
 *
 *   err = pg_session_open(&s, conninfo, "assay", &why);
 *   err = pg_exec(s, "SELECT n, body FROM log WHERE n > $1::int8", &params, &r, &why);
 *   for (size_t i = 0; i < pg_rows(r); i++)
 *       use(pg_get_int(r, i, 0), pg_get_bytes(r, i, 1));
 *   pg_result_free(r);
 *
 * Errors are those of pg.h. */
#ifndef ASSAY_PG_SESSION_H
#define ASSAY_PG_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/value.h"

struct pg_session;

/* Connects within 10 s or fails: ERR_UNAVAILABLE. */
MUST_USE enum err pg_session_open(struct pg_session **out, const char *conninfo, const char *application,
                                  struct why *why);
void pg_session_close(struct pg_session *s);
/* From now on the session may do what `role` may, and no more: SET ROLE. NULL or empty: nothing changes. */
MUST_USE enum err pg_session_role(struct pg_session *s, const char *role, struct why *why);

/* What CREATE ROLE takes in the place of the password, which so never reaches the server or its log. *out is
 * the caller's, for mem_free(). */
MUST_USE enum err pg_session_verifier(struct pg_session *s, const char *user, const char *password,
                                      char **out, struct why *why);

/* One statement with parameters (NULL: none); results in binary. *out is the caller's, for pg_result_free();
 * `out` may be NULL. */
MUST_USE enum err pg_exec(struct pg_session *s, const char *sql, const struct pg_params *params,
                          struct pg_result **out, struct why *why);
/* From now on pg_exec() asks `*is_unwanted` several times a second, and has the server stop what it is doing when that says
 * yes: ERR_TIMEOUT, as a statement that takes too long. NULL: not any more. Borrowed; any thread may set it. Statements of
 * pg_exec_script(), which begin and end transactions, are never stopped. */
void pg_session_heed(struct pg_session *s, const atomic_bool *is_unwanted);
/* Several statements in one text, without parameters or results: scripts, BEGIN, COMMIT. */
MUST_USE enum err pg_exec_script(struct pg_session *s, const char *sql, struct why *why);
/* Ends a transaction: commits after ERR_OK, rolls back after anything else, so that the session can be gone on
 * with. Gives back `err`, or what the commit came to. */
MUST_USE enum err pg_commit_or_abort(struct pg_session *s, enum err err, struct why *why);
void pg_result_free(struct pg_result *r);
/* The SQLSTATE of the last failure, or "". */
const char *pg_sqlstate(const struct pg_session *s);

/* Reads a big result row by row through COPY ... TO STDOUT (FORMAT binary), which holds nothing in memory.
 * `query` is a SELECT or VALUES without parameters. `on_row` gets the fields (a NULL has ptr NULL) and stops
 * the copy by returning false; that is not an error. */
typedef bool pg_row_fn(void *ctx, const struct slice *fields, size_t count);
MUST_USE enum err pg_copy_out(struct pg_session *s, const char *query, pg_row_fn *on_row, void *ctx,
                              struct why *why);

/* Writes many rows through COPY `target` FROM STDIN (FORMAT binary), `target` as "log (epoch, n, body)":
 * per row pg_copy_row() with the field count, then that many parameters of `row` in order; pg_copy_end()
 * commits. */
MUST_USE enum err pg_copy_begin(struct pg_session *s, const char *target, struct why *why);
MUST_USE enum err pg_copy_row(struct pg_session *s, const struct pg_params *row, struct why *why);
MUST_USE enum err pg_copy_end(struct pg_session *s, size_t *rows, struct why *why);

#endif
