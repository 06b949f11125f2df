/* SPDX-License-Identifier: Apache-2.0
 * row.h - what all who keep rows share: one statement and its parameters, texts and times of a row. */
#ifndef ASSAY_LIFESTORE_ROW_H
#define ASSAY_LIFESTORE_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "json/json_out.h"
#include "pg/session.h"

/* pg_exec(), and releases the parameters. */
MUST_USE enum err row_ask(struct pg_session *s, const char *sql, struct pg_params *p, struct pg_result **out,
                          struct why *why);
/* Copies a text into the arena. */
struct slice row_text(const struct pg_result *r, size_t row, int column, struct arena *arena);
/* INT64_MIN for NULL, in both directions. */
int64_t row_time(const struct pg_result *r, size_t row, int column);
void row_add_time(struct pg_params *p, int64_t at_us);
/* A member of the object that is open; null for NULL. */
void row_write_time(struct json_out *o, const char *key, const struct pg_result *r, size_t row, int column);
void row_write_int(struct json_out *o, const char *key, const struct pg_result *r, size_t row, int column);
/* A JSON object, or {} when it is empty. */
void row_add_object(struct pg_params *p, struct slice json);

#endif
