/* SPDX-License-Identifier: Apache-2.0
 * shadow_test.c - shadow scoring beside the real pipeline: features, scoring and ingestion decide, shadow follows.
 *
 * Its model is the champion's own bundle, so what scoring answered stands beside each of its scores. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "bundle/signature.h"

#include "base/buf.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "unit/bundle/samples.h"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process features, scoring, ingestion, shadow;
    char key[64], pg_url[512];
    int64_t champion;
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

#define sql(text)     database_run(w.pg, text)
#define sql_int(text) database_int(w.pg, text)

static void promote_a_model(void)
{
    struct bundle_sample sample;
    struct buf bytes;

    bundle_sample_init(&sample, 5);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &w.champion, NULL, &w.why));
    MUST(model_promote(w.pg, w.champion, MODEL_NONE, &(struct model_change){ .actor = SLICE("test") },
                       &w.why));
    buf_release(&bytes);
    bundle_sample_release(&sample);
}

static void start_pipeline(void)
{
    char features[64], scoring[64];

    process_start(&w.features, "features", (const char *const[]){ w.pg_url, NULL });
    process_start(&w.scoring, "scoring", (const char *const[]){ w.pg_url, NULL });
    snprintf(features, sizeof features, "ASSAY_FEATURES_ADDR=127.0.0.1:%d", w.features.port);
    snprintf(scoring, sizeof scoring, "ASSAY_SCORING_ADDR=127.0.0.1:%d", w.scoring.port);
    process_start(&w.ingestion, "ingestion",
                  (const char *const[]){ w.pg_url, features, scoring, "ASSAY_RULES_ADDR=127.0.0.1:1",
                                         "ASSAY_DEADLINE=5s", NULL });
}

static void start_shadow(void)
{
    process_start(&w.shadow, "shadow", (const char *const[]){ w.pg_url, "ASSAY_SHADOW_TURN=10ms", NULL });
}

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    sql("INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, 1, "decide", w.key);
    promote_a_model();
    start_pipeline();
}

static void teardown(void)
{
    struct process *const all[] = { &w.shadow, &w.ingestion, &w.scoring, &w.features };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->pid)
            cr_expect_eq(process_stop(all[i]), 0, "it ends gracefully");
    pg_session_close(w.pg);
}

TestSuite(shadow, .init = setup, .fini = teardown, .timeout = 180);

static int post(int number)
{
    char body[512], at[RFC3339_SIZE];
    struct http_said said;
    int status;

    rfc3339_format(clock_wall_us(), at);
    snprintf(body, sizeof body,
             "{\"transaction_id\":\"t-%d\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
             "\"customer_id\":\"c-%d\"}",
             number, at, 100 + number * 7919 % 6000, number % 37);
    said = http_ask(w.ingestion.port, "POST", "/v1/transactions", w.key, NULL, body, strlen(body));
    status = said.status;
    http_said_free(&said);
    return status;
}

static void point_alias(const char *alias, int64_t version)
{
    char text[256];

    snprintf(text, sizeof text,
             "INSERT INTO aliases (name, alias, version) VALUES ('sample', '%s', %lld) ON CONFLICT (name, "
             "alias) DO "
             "UPDATE SET version = excluded.version",
             alias, (long long)version);
    sql(text);
}

#define wait_until(question, wanted) database_wait(w.pg, question, wanted, NULL)

#define SCORED "SELECT count(*) FROM shadow_scores"
#define SAME_BITS                                                                                            \
    "SELECT count(*) FROM shadow_scores s JOIN decisions d USING (account, transaction_id, known_at) WHERE " \
    "float4send(s.margin) = float4send(d.margin) AND float8send(s.score) = float8send(d.score)"

static void begin_to_shadow(void)
{
    cr_assert_eq(post(0), 200); /* the plan of the model is served from here on */
    point_alias("shadow", w.champion);
    start_shadow();
    wait_until("SELECT count(*) FROM followers", 1);
}

Test(shadow, scores_what_is_decided_as_scoring_does_to_the_bit)
{
    begin_to_shadow();
    for (int i = 1; i <= 200; i++)
        cr_assert_eq(post(i), 200);
    cr_assert_eq(sql_int("SELECT count(*) FROM decisions WHERE score IS NOT NULL"), 201);
    wait_until(SCORED, 200);
    cr_assert_eq(sql_int(SAME_BITS), 200);
    cr_assert_gt(sql_int("SELECT count(DISTINCT margin) FROM shadow_scores"), 1, "the rows differ");
    /* No rule is published: the bundle's thresholds alone decided, on both sides. */
    cr_assert_eq(
        sql_int("SELECT count(*) FROM shadow_scores s JOIN decisions d USING (account, transaction_id, "
                "known_at) WHERE s.action = d.action"),
        200);
}

struct posting {
    int from, until, failed;
};

static void *post_many(void *arg)
{
    struct posting *p = arg;

    for (int i = p->from; i < p->until; i++)
        p->failed += post(i) != 200;
    return NULL;
}

Test(shadow, scores_each_decision_exactly_once_however_often_it_is_killed)
{
    struct posting posting = { 1, 1500, 0 };
    pthread_t thread;

    begin_to_shadow();
    cr_assert_eq(pthread_create(&thread, NULL, post_many, &posting), 0);
    for (int i = 0; i < 8; i++) {
        usleep(150000);
        process_kill(&w.shadow);
        start_shadow();
    }
    pthread_join(thread, NULL);
    cr_assert_eq(posting.failed, 0);
    wait_until(SCORED, 1499);
    usleep(300000);
    cr_assert_eq(sql_int(SCORED), 1499);
    cr_assert_eq(sql_int(SAME_BITS), 1499);
}

Test(shadow, finds_a_decision_that_comes_long_after_its_entry_in_the_log)
{
    struct pg_session *late;

    begin_to_shadow();
    /* Nobody can store a decision while this is held, and the log goes on. */
    MUST(pg_session_open(&late, w.conninfo, "test", &w.why));
    MUST(pg_exec_script(late, "BEGIN; LOCK TABLE decisions IN SHARE MODE", &w.why));
    post(1); /* not answered in time, or with 503 */
    wait_until(
        "SELECT ((position->>'n')::int8 = (SELECT max(n) FROM log) AND (SELECT count(*) FROM log WHERE "
        "kind = 1) = 2)::int FROM followers",
        1);
    cr_assert_eq(sql_int(SCORED), 0);
    cr_assert_eq(sql_int("SELECT jsonb_array_length(position->'pending') FROM followers"), 1);
    process_kill(&w.shadow); /* what it waits for outlives it */
    MUST(pg_exec_script(late, "COMMIT", &w.why));
    pg_session_close(late);
    for (int i = 0; i < 100 && post(1) != 200; i++)
        usleep(100000);
    start_shadow();
    wait_until(SCORED, 1);
    cr_assert_eq(sql_int("SELECT jsonb_array_length(position->'pending') FROM followers"), 0);
}

Test(shadow, scores_the_challenger_too_and_each_version_from_its_own_beginning)
{
    struct bundle_sample sample;
    struct buf bytes;
    int64_t other;

    bundle_sample_init(&sample, 6);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &other, NULL, &w.why));
    begin_to_shadow();
    for (int i = 1; i <= 20; i++)
        cr_assert_eq(post(i), 200);
    point_alias("challenger", other);
    wait_until("SELECT count(*) FROM followers", 2);
    for (int i = 21; i <= 30; i++)
        cr_assert_eq(post(i), 200);
    wait_until("SELECT count(*) FROM shadow_scores s JOIN aliases a USING (version) WHERE a.alias = 'shadow'",
               30);
    wait_until(
        "SELECT count(*) FROM shadow_scores s JOIN aliases a USING (version) WHERE a.alias = 'challenger'",
        10);
    buf_release(&bytes);
    bundle_sample_release(&sample);
}

static void trust(const char *path, const struct signing_key *key)
{
    FILE *file = fopen(path, "a");
    struct buf text;

    buf_init(&text, 0);
    signing_key_format_public(&text, key);
    cr_assert(file && fputs(buf_str(&text), file) >= 0 && fclose(file) == 0);
    buf_release(&text);
}

/* It shadows the champion and trusts what stands in the file. */
static void start_with_keys(const char *path)
{
    char setting[64];

    snprintf(setting, sizeof setting, "ASSAY_MODEL_KEYS=%s", path);
    cr_assert_eq(post(0), 200);
    point_alias("shadow", w.champion);
    process_start(&w.shadow, "shadow",
                  (const char *const[]){ w.pg_url, "ASSAY_SHADOW_TURN=10ms", setting, NULL });
    wait_until("SELECT count(*) FROM followers", 1);
}

Test(shadow, scores_only_what_a_trusted_key_signed)
{
    char path[] = "/tmp/assay_keys_XXXXXX";
    struct signing_key trusted, other;

    signing_key_make(&trusted);
    signing_key_make(&other);
    close(mkstemp(path));
    trust(path, &trusted);
    start_with_keys(path);
    for (int i = 1; i <= 10; i++)
        cr_assert_eq(post(i), 200);
    MUST(model_sign(w.pg, w.champion, &other, SLICE("test"), &w.why));
    for (int i = 11; i <= 20; i++)
        cr_assert_eq(post(i), 200);
    wait_until("SELECT ((position->>'n')::int8 = (SELECT max(n) FROM log))::int FROM followers", 1);
    cr_assert_eq(sql_int(SCORED), 0, "neither unsigned nor by a stranger");
    MUST(model_sign(w.pg, w.champion, &trusted, SLICE("test"), &w.why));
    usleep(500000);
    for (int i = 21; i <= 30; i++)
        cr_assert_eq(post(i), 200);
    wait_until(SCORED, 10);
    cr_assert_eq(sql_int(SAME_BITS), 10);
    unlink(path);
}

Test(shadow, scores_what_a_key_signed_that_is_trusted_since)
{
    char path[] = "/tmp/assay_keys_XXXXXX";
    struct signing_key trusted, other;

    signing_key_make(&trusted);
    signing_key_make(&other);
    MUST(model_sign(w.pg, w.champion, &other, SLICE("test"), &w.why));
    close(mkstemp(path));
    trust(path, &trusted);
    start_with_keys(path);
    for (int i = 1; i <= 10; i++)
        cr_assert_eq(post(i), 200);
    wait_until("SELECT ((position->>'n')::int8 = (SELECT max(n) FROM log))::int FROM followers", 1);
    cr_assert_eq(sql_int(SCORED), 0, "signed by a stranger");
    trust(path, &other);
    usleep(500000);
    for (int i = 11; i <= 20; i++)
        cr_assert_eq(post(i), 200);
    wait_until(SCORED, 10);
    unlink(path);
}

/* Tries it as the shadow's role; the SQLSTATE, empty when it was let. */
static void try_as_shadow(const char *statement, char sqlstate[6])
{
    struct why why;

    sql("BEGIN; SET LOCAL ROLE assay_shadow");
    *sqlstate = '\0';
    if (pg_exec_script(w.pg, statement, &why) != ERR_OK)
        snprintf(sqlstate, 6, "%s", pg_sqlstate(w.pg));
    sql("ROLLBACK");
}

Test(shadow, may_write_its_scores_and_its_place_and_nothing_else)
{
    struct pg_result *r;
    size_t forbidden = 0;

    MUST(pg_exec(
        w.pg,
        "SELECT c.relname, (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0 AND "
        "NOT attisdropped AND attidentity = '' AND attgenerated = '' LIMIT 1) FROM pg_class c WHERE "
        "c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace AND c.relname !~ "
        "'^(shadow_scores|followers)' ORDER BY 1",
        NULL, &r, &w.why));
    cr_assert_gt(pg_rows(r), 30);
    for (size_t i = 0; i < pg_rows(r); i++) {
        static const char *const forms[] = { "INSERT INTO \"%s\" DEFAULT VALUES",
                                             "UPDATE \"%s\" SET \"%s\" = \"%s\"", "DELETE FROM \"%s\"",
                                             "TRUNCATE \"%s\"" };
        const char *table = pg_get_text(r, i, 0).ptr, *column = pg_get_text(r, i, 1).ptr;
        const char *names[][3] = {
            { table, "", "" }, { table, column, column }, { table, "", "" }, { table, "", "" }
        };

        for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
            char statement[512], sqlstate[6];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
            snprintf(statement, sizeof statement, forms[k], names[k][0], names[k][1], names[k][2]);
#pragma GCC diagnostic pop
            try_as_shadow(statement, sqlstate);
            cr_assert_str_eq(sqlstate, "42501", "%s: \"%s\"", statement, sqlstate);
            forbidden++;
        }
    }
    pg_result_free(r);
    cr_assert_gt(forbidden, 100);
    {
        char sqlstate[6];

        try_as_shadow("SELECT count(*) FROM decisions; SELECT count(*) FROM log; SELECT count(*) FROM models",
                      sqlstate);
        cr_assert_str_eq(sqlstate, "", "it may read what it scores");
        try_as_shadow("DELETE FROM shadow_scores", sqlstate);
        cr_assert_str_eq(sqlstate, "42501", "what was found stays");
        try_as_shadow("SELECT * FROM api_keys", sqlstate);
        cr_assert_str_eq(sqlstate, "42501");
    }
}
