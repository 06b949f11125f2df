/* SPDX-License-Identifier: Apache-2.0
 * migrate.h - brings a database's schema up to what this program was built with.
 *
 * The files of migrations/ are compiled into the program. They are numbered from 1 without a gap, go forward
 * only, and run in one transaction each; `schema_migrations` keeps the SHA-256 of each file as it was
 * applied. Any number of programs may call this at once: an advisory lock lets one through at a time. */
#ifndef ASSAY_PG_MIGRATE_H
#define ASSAY_PG_MIGRATE_H

#include <stddef.h>

#include "base/err.h"

struct pg_session;

struct migration {
    int number;
    const char *name; /* the file's: "0001_accounts.sql" */
    const char *sql;
};

/* Made by the build from migrations/ (scripts/embed_migrations). */
extern const struct migration migrations[];
extern const size_t migration_count;

/* Applies what is not there yet and calls `on_applied` (may be NULL) after each.
 *   ERR_CONFLICT  a file was edited after it was applied, or the database knows migrations that this program
 *                 does not: a newer program made it
 *   ERR_INVALID   the numbers of `list` have a gap
 *   as pg.h       PostgreSQL refused one; *why names it, and what came before it stays applied */
MUST_USE enum err pg_migrate(struct pg_session *s, const struct migration *list, size_t count,
                             void (*on_applied)(void *ctx, const struct migration *m), void *ctx,
                             struct why *why);

/* How many of `list` are not applied yet, without changing anything; a database without the table has none.
 */
MUST_USE enum err pg_migrations_missing(struct pg_session *s, const struct migration *list, size_t count,
                                        size_t *missing, struct why *why);

#endif
