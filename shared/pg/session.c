/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/session.h"

#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pg/wire.h"

enum { COPY_FIELDS_MAX = 64, COPY_FLUSH_BYTES = 1 << 18 };

struct pg_session {
    PGconn *conn;
    char sqlstate[PG_SQLSTATE_SIZE];
    const atomic_bool *is_unwanted; /* NULL: nobody says so */
    struct buf copy;                /* rows of a COPY that are not handed to libpq yet */
};

/* "PGCOPY\n\377\r\n\0", no flags, no extension. Source: sql-copy.html, "Binary Format". */
static const char copy_head[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

static void ignore_notice(void *ctx, const PGresult *result)
{
    (void)ctx;
    (void)result;
}

enum err pg_session_open(struct pg_session **out, const char *conninfo, const char *application,
                         struct why *why)
{
    /* The first gives the defaults, the second the caller's conninfo expanded over them. */
    const char *keys[] = { "connect_timeout", "fallback_application_name", "dbname", NULL };
    const char *values[] = { "10", application, conninfo, NULL };
    struct pg_session *s = mem_new(struct pg_session);

    *out = NULL;
    s->conn = PQconnectdbParams(keys, values, 1);
    if (PQstatus(s->conn) != CONNECTION_OK) {
        enum err err = pg_err_set(why, ERR_UNAVAILABLE, "PostgreSQL", PQerrorMessage(s->conn));

        pg_session_close(s);
        return err;
    }
    PQsetNoticeReceiver(s->conn, ignore_notice, NULL);
    buf_init(&s->copy, 0);
    *out = s;
    return ERR_OK;
}

void pg_session_close(struct pg_session *s)
{
    if (!s)
        return;
    PQfinish(s->conn);
    buf_release(&s->copy);
    mem_free(s);
}

enum err pg_session_role(struct pg_session *s, const char *role, struct why *why)
{
    struct buf sql;
    char *quoted;
    enum err err;

    if (!role || !*role)
        return ERR_OK;
    quoted = PQescapeIdentifier(s->conn, role, strlen(role));
    if (!quoted)
        return err_set(why, ERR_INVALID, "%s is no name of a role", role);
    buf_init(&sql, 0);
    buf_printf(&sql, "SET ROLE %s", quoted);
    PQfreemem(quoted);
    err = pg_exec_script(s, buf_str(&sql), why);
    buf_release(&sql);
    return err;
}

enum err pg_session_verifier(struct pg_session *s, const char *user, const char *password, char **out,
                             struct why *why)
{
    char *verifier = PQencryptPasswordConn(s->conn, password, user, "scram-sha-256");

    *out = verifier ? mem_strdup(verifier) : NULL;
    PQfreemem(verifier);
    return *out ? ERR_OK : pg_err_set(why, ERR_INTERNAL, "SCRAM", PQerrorMessage(s->conn));
}

const char *pg_sqlstate(const struct pg_session *s)
{
    return s->sqlstate;
}

void pg_result_free(struct pg_result *r)
{
    PQclear(r);
}

/* Turns what libpq returned into our error; the result stays the caller's. */
static enum err check(struct pg_session *s, const PGresult *r, struct why *why)
{
    const char *sqlstate = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

    s->sqlstate[0] = '\0';
    switch (r ? PQresultStatus(r) : PGRES_FATAL_ERROR) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_EMPTY_QUERY:
        return ERR_OK;
    default:
        break;
    }
    if (!sqlstate)
        return pg_err_set(why, ERR_UNKNOWN, "PostgreSQL", PQerrorMessage(s->conn));
    memcpy(s->sqlstate, sqlstate, PG_SQLSTATE_SIZE - 1);
    return pg_err_set(why, pg_err_of_sqlstate(sqlstate), sqlstate,
                      PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
}

void pg_session_heed(struct pg_session *s, const atomic_bool *is_unwanted)
{
    s->is_unwanted = is_unwanted;
}

static void cancel(struct pg_session *s)
{
    char why[256];
    PGcancel *cancel = PQgetCancel(s->conn);

    PQcancel(cancel, why, sizeof why);
    PQfreeCancel(cancel);
}

/* As PQexecParams(), but for one who may lose interest. PostgreSQL passes over a wish to cancel that overtakes its statement,
 * so it is said again with each look. */
static PGresult *exec_heeding(struct pg_session *s, const char *sql, const struct pg_wire *w)
{
    enum { LOOK_MS = 100 };
    struct pollfd socket = { .fd = PQsocket(s->conn), .events = POLLIN };
    PGresult *r = NULL, *last;
    int came = 0;

    if (!PQsendQueryParams(s->conn, sql, w->count, w->types, w->values, w->lengths, w->formats, 1))
        return NULL;
    while (PQisBusy(s->conn)) {
        if (came == 0 && atomic_load(s->is_unwanted))
            cancel(s);
        came = poll(&socket, 1, LOOK_MS);
        if (came > 0 && !PQconsumeInput(s->conn))
            break;
    }
    while ((last = PQgetResult(s->conn)) != NULL) {
        PQclear(r);
        r = last;
    }
    return r;
}

enum err pg_exec(struct pg_session *s, const char *sql, const struct pg_params *params,
                 struct pg_result **out, struct why *why)
{
    struct pg_wire w;
    PGresult *r;
    enum err err;

    pg_wire_init(&w, params);
    r = s->is_unwanted ? exec_heeding(s, sql, &w)
                       : PQexecParams(s->conn, sql, w.count, w.types, w.values, w.lengths, w.formats, 1);
    err = check(s, r, why);
    if (out)
        *out = err ? NULL : r;
    if (err || !out)
        PQclear(r);
    return err;
}

enum err pg_exec_script(struct pg_session *s, const char *sql, struct why *why)
{
    PGresult *r = PQexec(s->conn, sql);
    enum err err = check(s, r, why);

    PQclear(r);
    return err;
}

enum err pg_commit_or_abort(struct pg_session *s, enum err err, struct why *why)
{
    struct why ignored = { 0 };

    if (!err)
        return pg_exec_script(s, "COMMIT", why);
    if (pg_exec_script(s, "ROLLBACK", &ignored) != ERR_OK)
        return err; /* the connection is gone, and with it the transaction */
    return err;
}

/* Takes what is left of a COPY, so that the connection can be used again. */
static enum err finish(struct pg_session *s, size_t *rows, struct why *why)
{
    enum err err = ERR_OK;
    PGresult *r;

    while ((r = PQgetResult(s->conn)) != NULL) {
        if (!err)
            err = check(s, r, why);
        if (!err && rows)
            *rows = pg_affected(r);
        PQclear(r);
    }
    return err;
}

/* Reads one row: | field count i16, -1 at the end | then length i32, -1 for NULL, and bytes |. */
static enum err parse_row(struct slice row, struct slice *fields, size_t *count, struct why *why)
{
    size_t at = 2;
    int64_t n = row.len < 2 ? -2 : pg_bytes_int(slice_of(row.ptr, 2));

    *count = 0;
    if (n == -1)
        return ERR_OK;
    if (n < 0 || n > COPY_FIELDS_MAX)
        return err_set(why, ERR_INTERNAL, "COPY sent a row of %lld fields", (long long)n);
    for (; *count < (size_t)n; ++*count) {
        int64_t len = row.len - at < 4 ? -2 : pg_bytes_int(slice_of(row.ptr + at, 4));

        at += 4;
        if (len < -1 || (len > 0 && (size_t)len > row.len - at))
            return err_set(why, ERR_INTERNAL, "COPY sent a row that ends early");
        fields[*count] = len < 0 ? (struct slice){ 0 } : slice_of(row.ptr + at, (size_t)len);
        at += len < 0 ? 0 : (size_t)len;
    }
    return ERR_OK;
}

enum err pg_copy_out(struct pg_session *s, const char *query, pg_row_fn *on_row, void *ctx, struct why *why)
{
    struct slice fields[COPY_FIELDS_MAX];
    struct buf sql;
    bool is_first = true, goes_on = true;
    char *data;
    int len;
    enum err err, last;

    buf_init(&sql, 0);
    buf_printf(&sql, "COPY (%s) TO STDOUT (FORMAT binary)", query);
    err = pg_exec_script(s, buf_str(&sql), why);
    buf_release(&sql);
    if (err)
        return err;
    while ((len = PQgetCopyData(s->conn, &data, 0)) > 0) {
        size_t count, skip = is_first ? sizeof(copy_head) : 0;

        if (goes_on && !err && (size_t)len > skip) {
            err = parse_row(slice_of(data + skip, (size_t)len - skip), fields, &count, why);
            if (!err && count && !on_row(ctx, fields, count)) {
                /* The rest is not wanted: the server stops sending it, and what is under way is dropped. */
                goes_on = false;
                cancel(s);
            }
        }
        is_first = false;
        PQfreemem(data);
    }
    if (len == -2 && !err && goes_on)
        err = pg_err_set(why, ERR_UNAVAILABLE, "COPY", PQerrorMessage(s->conn));
    last = finish(s, NULL, !err && goes_on ? why : NULL);
    return err || !goes_on ? err : last;
}

enum err pg_copy_begin(struct pg_session *s, const char *target, struct why *why)
{
    struct buf sql;
    enum err err;

    buf_init(&sql, 0);
    buf_printf(&sql, "COPY %s FROM STDIN (FORMAT binary)", target);
    err = pg_exec_script(s, buf_str(&sql), why);
    buf_release(&sql);
    buf_clear(&s->copy);
    if (!err)
        buf_add(&s->copy, copy_head, sizeof(copy_head));
    return err;
}

static enum err copy_flush(struct pg_session *s, struct why *why)
{
    struct slice bytes = buf_slice(&s->copy);
    int sent = PQputCopyData(s->conn, bytes.ptr, (int)bytes.len);

    buf_clear(&s->copy);
    return sent == 1 ? ERR_OK : pg_err_set(why, ERR_UNKNOWN, "COPY", PQerrorMessage(s->conn));
}

enum err pg_copy_row(struct pg_session *s, const struct pg_params *row, struct why *why)
{
    struct pg_wire w;
    uint16_t fields;

    pg_wire_init(&w, row);
    fields = htobe16((uint16_t)w.count);
    buf_add(&s->copy, &fields, sizeof(fields));
    for (int i = 0; i < w.count; i++) {
        uint32_t len = htobe32(w.values[i] ? (uint32_t)w.lengths[i] : UINT32_MAX);

        buf_add(&s->copy, &len, sizeof(len));
        if (w.values[i])
            buf_add(&s->copy, w.values[i], (size_t)w.lengths[i]);
    }
    return s->copy.len < COPY_FLUSH_BYTES ? ERR_OK : copy_flush(s, why);
}

enum err pg_copy_end(struct pg_session *s, size_t *rows, struct why *why)
{
    enum err err, last;

    buf_add(&s->copy, "\377\377", 2);
    err = copy_flush(s, why);
    if (!err && PQputCopyEnd(s->conn, NULL) != 1)
        err = pg_err_set(why, ERR_UNKNOWN, "COPY", PQerrorMessage(s->conn));
    last = finish(s, rows, err ? NULL : why);
    return err ? err : last;
}
