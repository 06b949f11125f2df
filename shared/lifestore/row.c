/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/row.h"

enum err row_ask(struct pg_session *s, const char *sql, struct pg_params *p, struct pg_result **out,
                 struct why *why)
{
    enum err err = pg_exec(s, sql, p, out, why);

    if (p)
        pg_params_release(p);
    return err;
}

struct slice row_text(const struct pg_result *r, size_t row, int column, struct arena *arena)
{
    struct slice text = pg_get_text(r, row, column);

    return slice_of(arena_strndup(arena, text.ptr ? text.ptr : "", text.len), text.len);
}

int64_t row_time(const struct pg_result *r, size_t row, int column)
{
    return pg_is_null(r, row, column) ? INT64_MIN : pg_get_time_us(r, row, column);
}

void row_add_time(struct pg_params *p, int64_t at_us)
{
    if (at_us == INT64_MIN)
        pg_add_null(p);
    else
        pg_add_time_us(p, at_us);
}

void row_add_object(struct pg_params *p, struct slice json)
{
    pg_add_text(p, json.len ? json : SLICE("{}"));
}

void row_write_time(struct json_out *o, const char *key, const struct pg_result *r, size_t row, int column)
{
    if (pg_is_null(r, row, column))
        json_out_null(o, key);
    else
        json_out_time(o, key, pg_get_time_us(r, row, column));
}

void row_write_int(struct json_out *o, const char *key, const struct pg_result *r, size_t row, int column)
{
    if (pg_is_null(r, row, column))
        json_out_null(o, key);
    else
        json_out_int(o, key, pg_get_int(r, row, column));
}
