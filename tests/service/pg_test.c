/* SPDX-License-Identifier: Apache-2.0
 * pg_test.c - the session, the pool, the migrations and the cluster against a real PostgreSQL. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/migrate.h"
#include "pg/pg.h"

TestSuite(pg_session, .timeout = 180);
TestSuite(pg_pool, .timeout = 180);
TestSuite(migrate, .timeout = 180);
TestSuite(cluster, .timeout = 180);

static struct pg_session *open_session(const char *conninfo)
{
    struct why why = { 0 };
    struct pg_session *s = NULL;

    cr_assert_eq(pg_session_open(&s, conninfo, "test", &why), ERR_OK, "%s", why.text);
    return s;
}

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

Test(pg_session, brings_every_type_there_and_back)
{
    struct pg_session *s = open_session(test_database());
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };

    pg_add_bool(&p, true);
    pg_add_i16(&p, -2);
    pg_add_i32(&p, INT32_MIN);
    pg_add_i64(&p, INT64_MIN);
    pg_add_f32(&p, 0.1F);
    pg_add_f64(&p, -0.1);
    pg_add_text(&p, SLICE("h\xc3\xa9llo"));
    pg_add_bytes(&p, slice_of("\0\xff", 2));
    pg_add_time_us(&p, INT64_C(1522540831123456));
    pg_add_null(&p);
    pg_add_text(&p, (struct slice){ 0 });
    MUST(
        pg_exec(s,
                "SELECT $1::bool, $2::int2, $3::int4, $4::int8, $5::float4, $6::float8, $7::text, $8::bytea, "
                "$9::timestamptz, $10::int8, $11::text, $9::timestamptz::text",
                &p, &r, &why));
    cr_assert(pg_get_bool(r, 0, 0));
    cr_assert_eq(pg_get_int(r, 0, 1), -2);
    cr_assert_eq(pg_get_int(r, 0, 2), INT32_MIN);
    cr_assert_eq(pg_get_int(r, 0, 3), INT64_MIN);
    cr_assert_eq((float)pg_get_float(r, 0, 4), 0.1F);
    cr_assert_eq(pg_get_float(r, 0, 5), -0.1);
    cr_assert(slice_eq_str(pg_get_text(r, 0, 6), "h\xc3\xa9llo"));
    cr_assert(slice_eq(pg_get_bytes(r, 0, 7), slice_of("\0\xff", 2)));
    cr_assert_eq(pg_get_time_us(r, 0, 8), INT64_C(1522540831123456));
    cr_assert(pg_is_null(r, 0, 9));
    cr_assert(!pg_is_null(r, 0, 10));
    cr_assert(slice_eq_str(pg_get_text(r, 0, 11), "2018-04-01 00:00:31.123456+00"));
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
}

Test(pg_session, unnests_arrays_with_nulls_and_reads_arrays)
{
    struct pg_session *s = open_session(test_database());
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    struct pg_array *ids = pg_add_array(&p, PG_TEXT), *amounts = pg_add_array(&p, PG_INT8),
                    *scores = pg_add_array(&p, PG_FLOAT8), *empty = pg_add_array(&p, PG_BYTEA);

    (void)empty;
    pg_array_text(ids, SLICE("a"));
    pg_array_i64(amounts, 7);
    pg_array_f64(scores, 0.25);
    pg_array_text(ids, SLICE(""));
    pg_array_null(amounts);
    pg_array_f64(scores, (double)NAN);
    MUST(pg_exec(s,
                 "SELECT id, amount, score, $1::text[], cardinality($4::bytea[]) "
                 "FROM unnest($1::text[], $2::int8[], $3::float8[]) AS t (id, amount, score)",
                 &p, &r, &why));
    cr_assert_eq(pg_rows(r), 2);
    cr_assert_eq(pg_get_int(r, 0, 1), 7);
    cr_assert(pg_is_null(r, 1, 1));
    cr_assert(isnan(pg_get_float(r, 1, 2)));
    cr_assert_eq(pg_get_array_len(r, 0, 3), 2);
    cr_assert(slice_eq_str(pg_get_array_item(r, 0, 3, 0), "a"));
    cr_assert_eq(pg_get_array_item(r, 0, 3, 1).len, 0);
    cr_assert_eq(pg_get_int(r, 0, 4), 0);
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
}

Test(pg_session, tells_a_data_error_from_a_wrong_statement)
{
    struct pg_session *s = open_session(test_database());
    struct why why = { 0 };

    cr_assert_eq(pg_exec(s, "SELECT 1/0", NULL, NULL, &why), ERR_INVALID);
    cr_assert_str_eq(pg_sqlstate(s), "22012");
    cr_assert_str_eq(why.text, "22012: division by zero");
    cr_assert_eq(pg_exec(s, "SELECT nothing", NULL, NULL, &why), ERR_INTERNAL);
    MUST(pg_exec(s, "SELECT 1", NULL, NULL, &why));
    pg_session_close(s);
}

struct copied {
    size_t rows;
    int64_t sum;
    size_t most;
};

static bool on_copied(void *ctx, const struct slice *fields, size_t count)
{
    struct copied *c = ctx;

    cr_assert_eq(count, 2);
    c->rows++;
    c->sum += pg_bytes_int(fields[0]);
    return c->rows < c->most;
}

Test(pg_session, gives_up_a_statement_that_nobody_wants_and_goes_on)
{
    struct pg_session *s = open_session(test_database());
    atomic_bool is_unwanted = true;
    struct pg_result *r = NULL;
    struct why why = { 0 };

    pg_session_heed(s, &is_unwanted);
    cr_assert_eq(pg_exec(s, "SELECT pg_sleep(3600)", NULL, NULL, &why), ERR_TIMEOUT, "%s", why.text);
    cr_assert_str_eq(pg_sqlstate(s), "57014");
    cr_assert_eq(pg_exec_script(s, "BEGIN; ROLLBACK", &why), ERR_OK, "%s", why.text);
    atomic_store(&is_unwanted, false);
    cr_assert_eq(pg_exec(s, "SELECT 7", NULL, &r, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(pg_get_int(r, 0, 0), 7);
    pg_result_free(r);
    cr_assert_eq(pg_exec(s, "SELECT 1 / 0", NULL, &r, &why), ERR_INVALID, "%s", why.text);
    pg_session_heed(s, NULL);
    pg_session_close(s);
}

Test(pg_session, copies_many_rows_in_and_out_and_stops_when_told)
{
    struct pg_session *s = open_session(test_database());
    struct pg_params row = { 0 };
    struct copied all = { .most = SIZE_MAX }, few = { .most = 10 };
    struct why why = { 0 };
    size_t rows = 0;

    MUST(pg_exec_script(s, "CREATE TABLE t (n bigint, body bytea)", &why));
    MUST(pg_copy_begin(s, "t (n, body)", &why));
    for (int64_t n = 1; n <= 100000; n++) {
        pg_params_clear(&row);
        pg_add_i64(&row, n);
        pg_add_bytes(&row, SLICE("some bytes"));
        MUST(pg_copy_row(s, &row, &why));
    }
    MUST(pg_copy_end(s, &rows, &why));
    cr_assert_eq(rows, 100000);
    MUST(pg_copy_out(s, "SELECT n, body FROM t ORDER BY n", on_copied, &all, &why));
    cr_assert_eq(all.rows, 100000);
    cr_assert_eq(all.sum, INT64_C(5000050000));
    MUST(pg_copy_out(s, "SELECT n, body FROM t ORDER BY n", on_copied, &few, &why));
    cr_assert_eq(few.rows, 10);
    MUST(pg_copy_out(s, "SELECT n, body FROM t WHERE n < 0", on_copied, &few, &why));
    MUST(pg_exec(s, "SELECT 1", NULL, NULL, &why));
    pg_params_release(&row);
    pg_session_close(s);
}

/* ---- the pool ---- */

enum { ADD_ROW, COUNT_ROWS, NAP };
static const struct pg_statement statements[] = {
    [ADD_ROW] = { "add_row", "INSERT INTO accounts (name) SELECT unnest($1::text[])" },
    [COUNT_ROWS] = { "count_rows", "SELECT count(*) FROM accounts" },
    [NAP] = { "nap", "SELECT pg_sleep($1::float8)::text" },
};

struct fixture {
    struct loop *loop;
    struct pg_pool *pool;
    int ups, downs, notes;
    int answers;
    enum err err;      /* the last answer's */
    enum err errs[16]; /* those of the first answers, in order */
    char sqlstate[PG_SQLSTATE_SIZE];
    int64_t value;
};

static void on_up(void *ctx)
{
    ((struct fixture *)ctx)->ups++;
}

static void on_down(void *ctx)
{
    ((struct fixture *)ctx)->downs++;
}

static void on_notify(void *ctx, const char *channel, const char *payload)
{
    cr_assert_str_eq(channel, "keys");
    cr_assert_str_eq(payload, "");
    ((struct fixture *)ctx)->notes++;
}

static void on_done(void *ctx, const struct pg_reply *reply)
{
    struct fixture *f = ctx;

    f->err = reply->err;
    if (f->answers < (int)ARRAY_LEN(f->errs))
        f->errs[f->answers] = reply->err;
    f->answers++;
    memcpy(f->sqlstate, reply->sqlstate, sizeof(f->sqlstate));
    if (!reply->err && pg_rows(reply->results[reply->count - 1]))
        f->value = pg_get_int(reply->results[reply->count - 1], 0, 0);
}

static void wait_until(struct fixture *f, const int *counter, int value)
{
    while (*counter < value)
        loop_turn(f->loop, true);
}

static void open_pool(struct fixture *f, const char *conninfo, bool is_session, size_t connections)
{
    static const char *const channels[] = { "keys", NULL };
    struct why why = { 0 };
    struct pg_pool_options options = {
        .conninfo = conninfo,
        .service = "test",
        .statements = statements,
        .statement_count = ARRAY_LEN(statements),
        .connections = connections,
        .is_session = is_session,
        .channels = channels,
        .on_up = on_up,
        .on_down = on_down,
        .on_notify = on_notify,
        .ctx = f,
    };

    MUST(loop_open(&f->loop, &why));
    MUST(pg_pool_open(&f->pool, f->loop, &options, &why));
    wait_until(f, &f->ups, 1);
}

static void close_pool(struct fixture *f)
{
    pg_pool_close(f->pool);
    loop_close(f->loop);
}

static void send_names(struct fixture *f, const char *first, const char *second)
{
    struct pg_unit *unit = pg_unit_new(f->pool);
    struct pg_array *names = pg_add_array(pg_unit_add(unit, ADD_ROW), PG_TEXT);

    pg_array_text(names, slice_str(first));
    names = pg_add_array(pg_unit_add(unit, ADD_ROW), PG_TEXT);
    pg_array_text(names, slice_str(second));
    pg_unit_add(unit, COUNT_ROWS);
    pg_unit_send(unit, 0, on_done, f);
}

static void send_nap(struct fixture *f, double seconds, int64_t deadline_us, bool is_read)
{
    struct pg_unit *unit = pg_unit_new(f->pool);

    pg_add_f64(pg_unit_add(unit, NAP), seconds);
    if (is_read)
        pg_unit_is_read(unit);
    pg_unit_send(unit, deadline_us, on_done, f);
}

Test(pg_pool, commits_a_unit_whole_or_not_at_all)
{
    struct fixture f = { 0 };

    open_pool(&f, test_database(), false, 2);
    send_names(&f, "one", "two");
    wait_until(&f, &f.answers, 1);
    cr_assert_eq(f.err, ERR_OK);
    cr_assert_eq(f.value, 2);
    send_names(&f, "three", "two");
    wait_until(&f, &f.answers, 2);
    cr_assert_eq(f.err, ERR_INVALID);
    cr_assert_str_eq(f.sqlstate, "23505");
    send_names(&f, "three", "four");
    wait_until(&f, &f.answers, 3);
    cr_assert_eq(f.value, 4);
    close_pool(&f);
}

/* A transaction makes the partition of a row while that row waits for the default one. */
Test(pg_pool, takes_a_row_that_met_a_new_partition_for_a_conflict)
{
    const char *conninfo = test_database();
    struct pg_session *s = open_session(conninfo);
    struct fixture f = { 0 };
    struct why why = { 0 };

    MUST(pg_exec_script(s, "CREATE TABLE spans (at int NOT NULL) PARTITION BY RANGE (at)", &why));
    MUST(pg_exec_script(s, "CREATE TABLE spans_default PARTITION OF spans DEFAULT", &why));
    open_pool(&f, conninfo, false, 1);
    MUST(pg_exec_script(s,
                        "BEGIN; CREATE TABLE spans_1 (LIKE spans); "
                        "ALTER TABLE spans ATTACH PARTITION spans_1 FOR VALUES FROM (0) TO (10)",
                        &why));
    for (int i = 0; i < 2; i++) {
        struct pg_unit *unit = pg_unit_new(f.pool);

        pg_unit_add_sql(unit, "INSERT INTO spans VALUES (5)");
        pg_unit_send(unit, 0, on_done, &f);
        if (i == 0) {
            struct pg_result *r = NULL;

            do {
                loop_turn(f.loop, false);
                pg_result_free(r);
                MUST(pg_exec(
                    s, "SELECT FROM pg_locks WHERE NOT granted AND relation = 'spans_default'::regclass",
                    NULL, &r, &why));
            } while (pg_rows(r) == 0 && f.answers == 0);
            pg_result_free(r);
            MUST(pg_exec_script(s, "COMMIT", &why));
        }
        wait_until(&f, &f.answers, i + 1);
        cr_assert_str_eq(f.sqlstate, i == 0 ? "40001" : "", "%s", f.sqlstate);
    }
    cr_assert_eq(f.err, ERR_OK);
    close_pool(&f);
    pg_session_close(s);
}

/* The port is open for nobody; that this is what fails says that the name was found. */
Test(pg_pool, looks_a_name_up_before_it_connects)
{
    struct fixture f = { 0 };
    struct why why = { 0 };
    struct pg_pool_options options = { .service = "test", .connections = 2 };

    options.conninfo = "host=localhost port=1 dbname=none";
    MUST(loop_open(&f.loop, &why));
    MUST(pg_pool_open(&f.pool, f.loop, &options, &why));
    while (!strstr(pg_pool_trouble(f.pool), "refused"))
        loop_turn(f.loop, true);
    close_pool(&f);
}

Test(pg_pool, runs_more_units_than_it_has_connections)
{
    struct fixture f = { 0 };

    open_pool(&f, test_database(), false, 3);
    for (int i = 0; i < 500; i++) {
        char one[16], two[16];

        snprintf(one, sizeof(one), "a%d", i);
        snprintf(two, sizeof(two), "b%d", i);
        send_names(&f, one, two);
    }
    cr_assert_eq(f.answers, 0);
    wait_until(&f, &f.answers, 500);
    cr_assert_eq(pg_pool_pending(f.pool), 0);
    close_pool(&f);
}

Test(pg_pool, hears_of_changes_and_says_when_it_may_have_missed_some)
{
    struct fixture f = { 0 };

    open_pool(&f, test_database(), false, 2);
    wait_until(&f, &f.notes, 1); /* at the start */
    send_names(&f, "one", "two");
    wait_until(&f, &f.notes, 2); /* from the trigger on accounts */
    close_pool(&f);
}

Test(pg_pool, answers_at_a_deadline_whether_a_unit_waits_or_runs)
{
    struct fixture f = { 0 };

    open_pool(&f, test_database(), false, 1);
    send_nap(&f, 0.2, clock_mono_us() + 20 * MS_US, false);
    send_nap(&f, 0, clock_mono_us() + 50 * MS_US, false);
    wait_until(&f, &f.answers, 1);
    cr_assert_eq(f.err, ERR_UNKNOWN);
    wait_until(&f, &f.answers, 2);
    cr_assert_eq(f.err, ERR_TIMEOUT);
    send_nap(&f, 0, 0, true); /* the connection is still good */
    wait_until(&f, &f.answers, 3);
    cr_assert_eq(f.err, ERR_OK);
    close_pool(&f);
}

Test(pg_pool, says_unknown_of_a_write_and_unavailable_of_a_read_whose_server_was_killed)
{
    struct fixture f = { 0 };
    struct test_cluster t;
    struct why why = { 0 };

    test_cluster_start(&t);
    open_pool(&f, cluster_conninfo(t.cluster), false, 1);
    send_nap(&f, 30, 0, false);
    send_nap(&f, 30, 0, false); /* waits */
    loop_turn(f.loop, false);
    cluster_kill(t.cluster);
    wait_until(&f, &f.answers, 2);
    cr_assert_eq(f.errs[0], ERR_UNKNOWN);
    cr_assert_eq(f.errs[1], ERR_UNAVAILABLE);
    cr_assert_eq(f.downs, 1);
    cr_assert(!pg_pool_is_up(f.pool));

    send_nap(&f, 0, 0, true); /* nothing is there: no waiting */
    cr_assert_eq(f.answers, 2);
    loop_turn(f.loop, true);
    cr_assert_eq(f.answers, 3);
    cr_assert_eq(f.err, ERR_UNAVAILABLE);

    MUST(cluster_start(t.cluster, &why));
    wait_until(&f, &f.ups, 2);
    send_nap(&f, 30, 0, true);
    loop_turn(f.loop, false);
    cluster_kill(t.cluster);
    wait_until(&f, &f.answers, 4);
    cr_assert_eq(f.err, ERR_UNAVAILABLE);
    close_pool(&f);
    test_cluster_end(&t);
}

Test(pg_pool, carries_nothing_over_to_the_next_session)
{
    struct fixture f = { 0 };

    open_pool(&f, test_database(), true, 1);
    send_nap(&f, 30, 0, false);
    loop_turn(f.loop, false);
    send_names(&f, "one", "two");
    pg_pool_reset(f.pool);
    wait_until(&f, &f.answers, 2);
    cr_assert_eq(f.err, ERR_UNAVAILABLE);
    cr_assert_eq(f.downs, 1);
    wait_until(&f, &f.ups, 2);
    send_names(&f, "one", "two");
    wait_until(&f, &f.answers, 3);
    cr_assert_eq(f.value, 2);
    close_pool(&f);
}

/* ---- migrations ---- */

Test(migrate, applies_what_is_missing_once_and_refuses_an_edited_file)
{
    static const struct migration first[] = { { 1, "0001_a.sql", "CREATE TABLE a (x int);" } };
    static const struct migration both[] = { { 1, "0001_a.sql", "CREATE TABLE a (x int);" },
                                             { 2, "0002_b.sql", "CREATE TABLE b (x int); SELECT 1/0;" } };
    static const struct migration edited[] = { { 1, "0001_a.sql", "CREATE TABLE a (y int);" } };
    struct why why = { 0 };
    struct pg_session *s = open_session(test_database());
    size_t missing;

    MUST(pg_exec_script(s, "CREATE SCHEMA fresh; SET search_path = fresh", &why));
    MUST(pg_migrations_missing(s, first, 1, &missing, &why));
    cr_assert_eq(missing, 1);
    MUST(pg_migrate(s, first, 1, NULL, NULL, &why));
    MUST(pg_migrate(s, first, 1, NULL, NULL, &why));
    MUST(pg_migrations_missing(s, both, 2, &missing, &why));
    cr_assert_eq(missing, 1);
    cr_assert_eq(pg_migrate(s, edited, 1, NULL, NULL, &why), ERR_CONFLICT);
    cr_assert_eq(pg_migrate(s, both, 2, NULL, NULL, &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "migration 0002_b.sql: 22012: division by zero");
    cr_assert_eq(pg_exec(s, "SELECT * FROM b", NULL, NULL, &why), ERR_INTERNAL, "what failed left nothing");
    cr_assert_eq(pg_migrate(s, first, 0, NULL, NULL, &why), ERR_CONFLICT, "a newer program was here");
    pg_session_close(s);
}

Test(migrate, makes_partitions_for_a_span_and_empties_the_default_one_into_them)
{
    struct why why = { 0 };
    struct pg_session *s = open_session(test_database());
    struct pg_result *r = NULL;

    MUST(pg_exec_script(
        s, "INSERT INTO log VALUES (1, 1, 1, 1, '2018-04-05', ''), (2, 1, 1, 1, '2018-06-05', '')", &why));
    MUST(pg_exec_script(
        s, "SET ROLE assay_features; SELECT ensure_partitions('2018-04-30 23:59:59.9', '2018-05-01')", &why));
    MUST(pg_exec_script(s, "SELECT ensure_partitions('2018-04-01', '2018-05-31')", &why));
    MUST(pg_exec(s, "SELECT tableoid::regclass::text FROM log ORDER BY n", NULL, &r, &why));
    cr_assert(slice_eq_str(pg_get_text(r, 0, 0), "log_2018_04"));
    cr_assert(slice_eq_str(pg_get_text(r, 1, 0), "log_default"));
    pg_result_free(r);
    cr_assert_eq(pg_exec_script(s, "SELECT ensure_partitions('2018-04-01', '2999-05-31')", &why),
                 ERR_INVALID);
    pg_session_close(s);
}

Test(migrate, lets_each_service_do_its_own_work_only)
{
    struct why why = { 0 };
    struct pg_session *s = open_session(test_database());

    MUST(pg_exec_script(
        s, "SET ROLE assay_ingestion; SELECT * FROM decisions LIMIT 1; SELECT * FROM api_keys", &why));
    cr_assert_eq(pg_exec_script(s, "INSERT INTO log VALUES (1, 1, 1, 1, now(), '')", &why), ERR_INTERNAL);
    cr_assert_str_eq(pg_sqlstate(s), "42501");
    MUST(pg_exec_script(s, "RESET ROLE; SET ROLE assay_features; SELECT * FROM models LIMIT 1", &why));
    cr_assert_eq(pg_exec_script(s, "DELETE FROM log", &why), ERR_INTERNAL);
    cr_assert_eq(pg_exec_script(s, "SELECT * FROM api_keys", &why), ERR_INTERNAL);
    pg_session_close(s);
}

/* ---- the cluster ---- */

Test(cluster, starts_again_after_a_kill_with_what_was_committed)
{
    struct test_cluster t;
    struct why why = { 0 };
    struct pg_session *s;
    pid_t first;

    test_cluster_start(&t);
    first = cluster_pid(t.cluster);
    MUST(cluster_start(t.cluster, &why));
    cr_assert_eq(cluster_pid(t.cluster), first, "one that runs is left alone");
    s = open_session(cluster_conninfo(t.cluster));
    MUST(pg_exec_script(s, "INSERT INTO accounts (name) VALUES ('kept')", &why));
    cluster_kill(t.cluster);
    pg_session_close(s);
    cr_assert_eq(cluster_pid(t.cluster), 0);
    MUST(cluster_start(t.cluster, &why));
    s = open_session(cluster_conninfo(t.cluster));
    cr_assert_eq(pg_exec_script(s, "INSERT INTO accounts (name) VALUES ('kept')", &why), ERR_INVALID);
    pg_session_close(s);
    MUST(cluster_stop(t.cluster, &why));
    cr_assert_eq(cluster_pid(t.cluster), 0);
    MUST(cluster_stop(t.cluster, &why));
    test_cluster_end(&t);
}
