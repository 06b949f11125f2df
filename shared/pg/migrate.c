/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/migrate.h"

#include "base/hash.h"
#include "pg/session.h"

/* Any number, as long as nobody else locks it: "assaymig" in ASCII. */
#define MIGRATE_LOCK "7022913376834285927"

static enum err check_numbers(const struct migration *list, size_t count, struct why *why)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].number != (int)i + 1)
            return err_set(why, ERR_INVALID, "migration %s should have the number %04zu", list[i].name,
                           i + 1);
    return ERR_OK;
}

/* Compares what was applied with `list`; *applied is how many of it are there. */
static enum err compare(struct pg_session *s, const struct migration *list, size_t count, size_t *applied,
                        struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        pg_exec(s, "SELECT number, name, sha256 FROM schema_migrations ORDER BY number", NULL, &r, why);

    *applied = pg_rows(r);
    for (size_t i = 0; !err && i < *applied; i++) {
        int64_t number = pg_get_int(r, i, 0);
        char hex[SHA256_HEX_SIZE];

        if (i >= count || number != list[i].number) {
            err = err_set(why, ERR_CONFLICT,
                          "the database has migration %s, which this program does not know: run a newer one",
                          pg_get_text(r, i, 1).ptr);
            break;
        }
        sha256_hex(slice_str(list[i].sql), hex);
        if (!slice_eq_str(pg_get_text(r, i, 2), hex))
            err =
                err_set(why, ERR_CONFLICT,
                        "migration %s was edited after it was applied: restore the file and write a new one",
                        list[i].name);
    }
    pg_result_free(r);
    return err;
}

static enum err apply(struct pg_session *s, const struct migration *m, struct why *why)
{
    struct pg_params p = { 0 };
    char hex[SHA256_HEX_SIZE];
    enum err err;

    sha256_hex(slice_str(m->sql), hex);
    pg_add_i32(&p, m->number);
    pg_add_text(&p, slice_str(m->name));
    pg_add_text(&p, slice_str(hex));
    err = pg_exec_script(s, "BEGIN", why);
    if (!err)
        err = pg_exec_script(s, m->sql, why);
    if (!err)
        err = pg_exec(
            s, "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1::int4, $2::text, $3::text)",
            &p, NULL, why);
    if (!err) {
        err = pg_exec_script(s, "COMMIT", why);
    } else {
        struct why
            rollback; /* the first reason is the one to tell; a lost connection has rolled back anyway */
        enum err ignored = pg_exec_script(s, "ROLLBACK", &rollback);

        (void)ignored;
    }
    pg_params_release(&p);
    return err ? err_wrap(why, err, "migration %s", m->name) : ERR_OK;
}

enum err pg_migrate(struct pg_session *s, const struct migration *list, size_t count,
                    void (*on_applied)(void *ctx, const struct migration *m), void *ctx, struct why *why)
{
    size_t applied = 0;
    enum err err = check_numbers(list, count, why);

    if (!err)
        err = pg_exec(s, "SELECT pg_advisory_lock(" MIGRATE_LOCK ")::text", NULL, NULL, why);
    if (err)
        return err;
    err = pg_exec_script(
        s,
        "SET client_min_messages = warning; "
        "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL, "
        "sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
        why);
    if (!err)
        err = compare(s, list, count, &applied, why);
    for (size_t i = applied; !err && i < count; i++) {
        err = apply(s, &list[i], why);
        if (!err && on_applied)
            on_applied(ctx, &list[i]);
    }
    if (err != ERR_UNKNOWN) { /* else the connection is gone, and the lock with it */
        struct why unlock;
        enum err ignored = pg_exec_script(s, "SELECT pg_advisory_unlock(" MIGRATE_LOCK ")", &unlock);

        (void)ignored;
    }
    return err;
}

enum err pg_migrations_missing(struct pg_session *s, const struct migration *list, size_t count,
                               size_t *missing, struct why *why)
{
    struct pg_result *r = NULL;
    size_t applied = 0;
    enum err err = pg_exec(s, "SELECT to_regclass('schema_migrations') IS NOT NULL", NULL, &r, why);

    if (!err && pg_get_bool(r, 0, 0))
        err = compare(s, list, count, &applied, why);
    pg_result_free(r);
    *missing = count - applied;
    return err;
}
