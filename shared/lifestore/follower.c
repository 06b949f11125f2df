/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/follower.h"

#include <stdlib.h>

#include "lifestore/row.h"

/* The one of `sql`, of which the follower's name is the only parameter. */
static enum err read_position(struct pg_session *s, const char *sql, const char *follower, json_t **position,
                              struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *position = NULL;
    pg_add_text(&p, slice_str(follower));
    err = row_ask(s, sql, &p, &r, why);
    if (!err && pg_rows(r) && !slice_eq_str(pg_get_text(r, 0, 0), "null")) {
        *position = json_loads(pg_get_text(r, 0, 0).ptr, 0, NULL);
        if (!*position)
            err = err_set(why, ERR_INTERNAL, "the place of %s cannot be read", follower);
    }
    pg_result_free(r);
    return err;
}

enum err follower_look(struct pg_session *s, const char *follower, json_t **position, struct why *why)
{
    return read_position(s, "SELECT position::text FROM followers WHERE follower = $1::text", follower,
                         position, why);
}

static enum err take_row(struct pg_session *s, const char *follower, json_t **position, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    /* The lock is on the row, so there must be one. */
    pg_add_text(&p, slice_str(follower));
    err = row_ask(
        s, "INSERT INTO followers (follower, position) VALUES ($1::text, 'null') ON CONFLICT DO NOTHING", &p,
        NULL, why);
    if (err)
        return err;
    return read_position(s, "SELECT position::text FROM followers WHERE follower = $1::text FOR UPDATE",
                         follower, position, why);
}

enum err follower_begin(struct pg_session *s, const char *follower, json_t **position, struct why *why)
{
    enum err err = pg_exec_script(s, "BEGIN", why);

    *position = NULL;
    if (!err)
        err = take_row(s, follower, position, why);
    if (err)
        follower_abandon(s);
    return err;
}

enum err follower_commit(struct pg_session *s, const char *follower, const json_t *position, struct why *why)
{
    char *text = json_dumps(position, JSON_COMPACT);
    struct pg_params p = { 0 };
    enum err err;

    pg_add_text(&p, slice_str(follower));
    pg_add_text(&p, slice_str(text));
    free(text);
    err = row_ask(
        s, "UPDATE followers SET position = $2::text::jsonb, updated_at = now() WHERE follower = $1::text",
        &p, NULL, why);
    if (!err)
        err = pg_exec_script(s, "COMMIT", why);
    if (err)
        follower_abandon(s);
    return err;
}

void follower_abandon(struct pg_session *s)
{
    struct why ignored = { 0 };

    if (pg_exec_script(s, "ROLLBACK", &ignored) != ERR_OK)
        return; /* the connection is gone, and with it the transaction */
}
