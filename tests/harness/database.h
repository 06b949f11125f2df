/* SPDX-License-Identifier: Apache-2.0
 * database.h - what tests ask and tell a database. Each call asserts that PostgreSQL took it. */
#ifndef ASSAY_HARNESS_DATABASE_H
#define ASSAY_HARNESS_DATABASE_H

#include <stdint.h>

struct pg_session;

/* Statements without a result. */
void database_run(struct pg_session *pg, const char *text);
/* The first column of the first row; -1 without a row. */
int64_t database_int(struct pg_session *pg, const char *question);
/* The same as text, cut at 4 KB; "" without a row. Valid until the next call. */
const char *database_text(struct pg_session *pg, const char *question);
/* Asks until the answer is `wanted`, for two minutes at most; then tells what `story` (may be NULL) says. */
void database_wait(struct pg_session *pg, const char *question, int64_t wanted, const char *story);
/* A new API key of an account, with scopes like "decide,read". */
void database_key(struct pg_session *pg, int account, const char *scopes, char key[64]);
/* Whose it is from now on: the person that it speaks for. */
void database_key_owner(struct pg_session *pg, const char *key, const char *owner);

#endif
