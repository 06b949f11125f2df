/* SPDX-License-Identifier: Apache-2.0
 * features_test.c - the features service as a process: the log, ids, labels, and what is left of them when
 * somebody is killed. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "featurestore/plan.h"
#include "featurestore/store.h"
#include "grpc/client.h"
#include "harness/cluster.h"
#include "harness/http.h"
#include "harness/process.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/session.h"
#include "proto/assay.pb-c.h"
#include "proto/txn_proto.h"
#include "unit/bundle/samples.h"

TestSuite(features, .timeout = 180);

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static const char catalogue[] =
    "entities: {customer: customer_id, terminal: terminal_id}\n"
    "features:\n"
    "  - {name: amount, expr: tx.amount}\n"
    "  - {name: customer_count_1d, count: customer, window: 1d}\n"
    "  - {name: customer_mean_7d, mean: amount, by: customer, window: 7d}\n"
    "  - {name: terminal_risk, fraud_rate: terminal, window: 28d, prior: {rate: 0.01, weight: 10}}\n";
static const char wider_catalogue[] = "entities: {customer: customer_id}\n"
                                      "features:\n"
                                      "  - {name: customer_sum_7d, sum: amount, by: customer, window: 7d}\n"
                                      "  - {name: customer_count_1d, count: customer, window: 1d}\n";

/* What was answered, to be compared with what PostgreSQL has. */
struct answer {
    char id[32];
    uint64_t n;
    unsigned char vector[64];
    size_t vector_len;
};

struct fixture {
    const char *conninfo;
    char pg_url[512], catalogue_path[64], catalogue_setting[128], address[64];
    struct process features, standby;
    struct loop *loop;
    struct grpc_channel *channel;
    struct arena arena;
    struct answer *answers;
    size_t answer_count, answer_cap;
};

static void write_catalogue(struct fixture *f, const char *text)
{
    FILE *file;

    snprintf(f->catalogue_path, sizeof(f->catalogue_path), "/tmp/assay-catalogue-%d.yaml", (int)getpid());
    file = fopen(f->catalogue_path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
    snprintf(f->catalogue_setting, sizeof(f->catalogue_setting), "ASSAY_CATALOGUE=%s", f->catalogue_path);
}

static void launch(struct fixture *f, struct process *p)
{
    const char *settings[] = { f->pg_url, f->catalogue_setting, "ASSAY_FEATURES_SNAPSHOT_ENTRIES=300",
                               "ASSAY_FEATURES_RECENT_VECTORS=1000", NULL };

    process_launch(p, "features", settings);
}

static void use_channel(struct fixture *f, int port)
{
    struct http_client_conf conf = { .address = f->address };
    struct why why = { 0 };

    if (f->channel)
        grpc_channel_close(f->channel);
    snprintf(f->address, sizeof(f->address), "127.0.0.1:%d", port);
    MUST(grpc_channel_open(&f->channel, f->loop, &conf, &why));
}

static void start(struct fixture *f)
{
    launch(f, &f->features);
    process_wait_ready(&f->features);
    use_channel(f, f->features.port);
}

/* As an operator does it, nobody being connected. */
static void stop(struct fixture *f)
{
    grpc_channel_close(f->channel);
    f->channel = NULL;
    cr_assert_eq(process_stop(&f->features), 0);
}

/* With the catalogue that is written already. */
static void open_fixture_with(struct fixture *f, const char *conninfo)
{
    struct why why = { 0 };

    f->conninfo = conninfo;
    snprintf(f->pg_url, sizeof(f->pg_url), "ASSAY_PG_URL=%s", conninfo);
    MUST(loop_open(&f->loop, &why));
    start(f);
}

static void open_fixture(struct fixture *f, const char *conninfo)
{
    write_catalogue(f, catalogue);
    open_fixture_with(f, conninfo);
}

static void close_fixture(struct fixture *f)
{
    process_kill(&f->standby);
    grpc_channel_close(f->channel);
    cr_assert_eq(process_stop(&f->features), 0, "it ends by itself when told to");
    loop_close(f->loop);
    arena_release(&f->arena);
    unlink(f->catalogue_path);
    free(f->answers);
}

/* ---- calls ---- */

struct waiting {
    bool is_done;
    enum err err;
    const ProtobufCMessage *reply;
    struct why why;
};

static void on_reply(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct waiting *w = arg;

    w->is_done = true;
    w->err = err;
    w->reply = reply;
    if (why)
        w->why = *why;
}

static void ask(struct fixture *f, const char *method, const ProtobufCMessage *request, struct waiting *w)
{
    *w = (struct waiting){ 0 };
    grpc_call(f->channel, &assay__v1__features__descriptor, method, request, clock_mono_us() + 20 * SECOND_US,
              &f->arena, on_reply, w);
}

static void await(struct fixture *f, const struct waiting *w)
{
    while (!w->is_done)
        loop_turn(f->loop, true);
}

/* Transaction `id` of the made-up stream, with an amount that tells bodies apart. */
static Assay__V1__ComputeRequest__Item *make_item(struct fixture *f, const char *id, int64_t amount)
{
    Assay__V1__ComputeRequest__Item *item = arena_new(&f->arena, Assay__V1__ComputeRequest__Item, 1);
    Assay__V1__Transaction *t = arena_new(&f->arena, Assay__V1__Transaction, 1);
    unsigned char *hash = (unsigned char *)arena_alloc(&f->arena, 1, SHA256_BYTES);
    unsigned number = (unsigned)strtoul(id + strcspn(id, "0123456789"), NULL, 10);

    assay__v1__compute_request__item__init(item);
    assay__v1__transaction__init(t);
    t->account = 1;
    t->id = arena_strndup(&f->arena, id, strlen(id));
    t->occurred_at_us = INT64_C(1522540800000000) + number * 37 * SECOND_US;
    t->known_at_us = t->occurred_at_us + SECOND_US;
    t->amount_minor = t->amount_base_minor = amount;
    t->currency = arena_strndup(&f->arena, "EUR", 3);
    t->customer_id = (char *)(uintptr_t)arena_printf(&f->arena, "c%u", number % 7).ptr;
    t->terminal_id = (char *)(uintptr_t)arena_printf(&f->arena, "t%u", number % 3).ptr;
    sha256(slice_of(&amount, sizeof(amount)), hash);
    item->transaction = t;
    item->body_hash = (ProtobufCBinaryData){ SHA256_BYTES, hash };
    return item;
}

struct compute {
    Assay__V1__ComputeRequest request;
    Assay__V1__ComputeRequest__Item *items[64];
    struct waiting waiting;
};

static void compute_begin(struct compute *c)
{
    assay__v1__compute_request__init(&c->request);
    c->request.items = c->items;
}

static void compute_add(struct fixture *f, struct compute *c, const char *id, int64_t amount)
{
    c->items[c->request.n_items++] = make_item(f, id, amount);
}

static void note_answers(struct fixture *f, const struct compute *c, const Assay__V1__ComputeResponse *reply)
{
    for (size_t i = 0; i < reply->n_items; i++) {
        struct answer *a;

        if (reply->items[i]->status == ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT ||
            !reply->items[i]->vector.len)
            continue;
        if (f->answer_count == f->answer_cap) {
            f->answer_cap = f->answer_cap ? 2 * f->answer_cap : 64;
            f->answers = realloc(f->answers, f->answer_cap * sizeof(f->answers[0]));
        }
        a = &f->answers[f->answer_count++];
        snprintf(a->id, sizeof(a->id), "%s", c->items[i]->transaction->id);
        a->n = reply->items[i]->n;
        a->vector_len = reply->items[i]->vector.len;
        memcpy(a->vector, reply->items[i]->vector.data, a->vector_len);
    }
}

/* Waits for the answer; NULL when the call failed. */
static const Assay__V1__ComputeResponse *compute_end(struct fixture *f, struct compute *c)
{
    const Assay__V1__ComputeResponse *reply;

    await(f, &c->waiting);
    if (c->waiting.err)
        return NULL;
    reply = (const Assay__V1__ComputeResponse *)c->waiting.reply;
    note_answers(f, c, reply);
    return reply;
}

static const Assay__V1__ComputeResponse *compute_one(struct fixture *f, const char *id, int64_t amount)
{
    struct compute c;

    compute_begin(&c);
    compute_add(f, &c, id, amount);
    ask(f, "Compute", &c.request.base, &c.waiting);
    return compute_end(f, &c);
}

static int label(struct fixture *f, const char *id, bool is_fraud, int source)
{
    Assay__V1__AppendLabelsRequest request = ASSAY__V1__APPEND_LABELS_REQUEST__INIT;
    Assay__V1__Label label = ASSAY__V1__LABEL__INIT, *labels[] = { &label };
    struct waiting w;

    label.account = 1;
    label.transaction_id = (char *)(uintptr_t)id;
    label.is_fraud = is_fraud;
    label.source = (Assay__V1__LabelSource)source;
    label.labelled_at_us = INT64_C(1522600000000000);
    label.known_at_us = INT64_C(1522600000000000);
    request.labels = labels;
    request.n_labels = 1;
    ask(f, "AppendLabels", &request.base, &w);
    await(f, &w);
    cr_assert_eq(w.err, ERR_OK, "%s", w.why.text);
    return (int)((const Assay__V1__AppendLabelsResponse *)w.reply)->statuses[0];
}

/* ---- what PostgreSQL alone says ---- */

static int64_t query_int(struct fixture *f, const char *sql)
{
    struct pg_session *s;
    struct pg_result *r;
    struct why why = { 0 };
    int64_t value;

    MUST(pg_session_open(&s, f->conninfo, "test", &why));
    MUST(pg_exec(s, sql, NULL, &r, &why));
    value = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_session_close(s);
    return value;
}

static void execute(struct fixture *f, const char *sql)
{
    struct pg_session *s;
    struct why why = { 0 };

    MUST(pg_session_open(&s, f->conninfo, "test", &why));
    MUST(pg_exec_script(s, sql, &why));
    pg_session_close(s);
}

/* Computes every vector again from the log under `plan`, and compares those that were answered under it
 * (plans differ in width here). Returns how many there were. */
static size_t compare_under(struct fixture *f, struct pg_session *s, const struct plan *plan)
{
    struct pg_result *r;
    struct arena arena = { 0 };
    struct store *store = store_new(plan);
    struct why why = { 0 };
    double values[64];
    size_t compared = 0;

    MUST(pg_exec(s, "SELECT n, kind, body FROM log ORDER BY n", NULL, &r, &why));
    for (size_t i = 0; i < pg_rows(r); i++) {
        uint64_t n = (uint64_t)pg_get_int(r, i, 0);
        unsigned char vector[256];
        struct txn txn;
        struct label l;

        cr_assert_eq(n, i + 1, "entries are numbered without holes");
        switch (pg_get_int(r, i, 1)) {
        case 1:
            MUST(txn_unpack(&txn, pg_get_bytes(r, i, 2), &arena, &why));
            store_apply_txn(store, n, &txn, values);
            store_vector_pack(values, plan_columns(plan), vector);
            for (size_t a = 0; a < f->answer_count; a++) {
                if (f->answers[a].n != n || f->answers[a].vector_len != 4 * plan_columns(plan))
                    continue;
                cr_assert(slice_eq_str(txn.id, f->answers[a].id));
                cr_assert_eq(memcmp(f->answers[a].vector, vector, f->answers[a].vector_len), 0,
                             "entry %" PRIu64, n);
                compared++;
            }
            break;
        case 2:
            MUST(label_unpack(&l, pg_get_bytes(r, i, 2), &arena, &why));
            store_apply_label(store, n, &l);
            break;
        default:
            break;
        }
    }
    pg_result_free(r);
    store_free(store);
    arena_release(&arena);
    return compared;
}

static void compare_with_the_log(struct fixture *f)
{
    struct pg_session *s;
    struct pg_result *r;
    struct why why = { 0 };
    size_t compared = 0;

    MUST(pg_session_open(&s, f->conninfo, "test", &why));
    MUST(pg_exec(s, "SELECT definition FROM plans", NULL, &r, &why));
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct plan *plan = NULL;

        MUST(plan_parse(&plan, pg_get_text(r, i, 0), &why));
        compared += compare_under(f, s, plan);
        plan_free(plan);
    }
    pg_result_free(r);
    pg_session_close(s);
    cr_assert_eq(compared, f->answer_count, "every answer is in the log");
    cr_assert_eq(
        query_int(f, "SELECT count(*) FROM transaction_ids i FULL JOIN (SELECT * FROM log WHERE kind = 1) l "
                     "ON l.n = i.n AND l.epoch = i.epoch AND l.known_at = i.known_at "
                     "WHERE (i.n IS NULL OR l.n IS NULL)"),
        0, "ids and the log agree");
}

/* Sends [from, to) in calls of ten, several at a time; those that fail are counted. */
static size_t send_stream(struct fixture *f, int from, int to, void (*midway)(struct fixture *f))
{
    enum { CALLS = 8, EACH = 10 };
    static struct compute calls[CALLS];
    size_t failed = 0;
    int next = from;

    while (next < to) {
        int open = 0;

        for (; open < CALLS && next < to; open++) {
            compute_begin(&calls[open]);
            for (int i = 0; i < EACH && next < to; i++, next++) {
                char id[32];

                snprintf(id, sizeof(id), "tx%d", next);
                compute_add(f, &calls[open], id, next % 1000);
            }
            ask(f, "Compute", &calls[open].request.base, &calls[open].waiting);
        }
        if (midway && next >= (from + to) / 2) {
            loop_turn(f->loop, false);
            midway(f);
            midway = NULL;
        }
        for (int i = 0; i < open; i++)
            failed += compute_end(f, &calls[i]) == NULL;
    }
    return failed;
}

/* ---- tests ---- */

Test(features, answers_a_new_id_a_known_one_and_another_body_for_it)
{
    struct fixture f = { 0 };
    const Assay__V1__ComputeResponse *reply;

    open_fixture(&f, test_database());
    reply = compute_one(&f, "tx1", 100);
    cr_assert_eq(reply->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__ADDED);
    cr_assert_eq(reply->items[0]->vector.len, 16);
    cr_assert_eq(reply->items[0]->n, 2, "the first entry is the plan");
    reply = compute_one(&f, "tx1", 100);
    cr_assert_eq(reply->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN);
    cr_assert_eq(reply->items[0]->n, 2);
    reply = compute_one(&f, "tx1", 200);
    cr_assert_eq(reply->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT);
    cr_assert_eq(reply->items[0]->vector.len, 0);
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, sees_doubles_inside_one_batch)
{
    struct fixture f = { 0 };
    struct compute c;
    const Assay__V1__ComputeResponse *reply;

    open_fixture(&f, test_database());
    compute_begin(&c);
    compute_add(&f, &c, "tx1", 100);
    compute_add(&f, &c, "tx1", 100);
    compute_add(&f, &c, "tx1", 200);
    compute_add(&f, &c, "tx2", 200);
    ask(&f, "Compute", &c.request.base, &c.waiting);
    reply = compute_end(&f, &c);
    cr_assert_eq(reply->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__ADDED);
    cr_assert_eq(reply->items[1]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN);
    cr_assert_eq(reply->items[2]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT);
    cr_assert_eq(reply->items[3]->n, reply->items[0]->n + 1, "doubles leave no hole");
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, knows_after_a_restart_what_was_logged_before)
{
    struct fixture f = { 0 };
    struct compute c;
    const Assay__V1__ComputeResponse *reply;

    open_fixture(&f, test_database());
    compute_one(&f, "tx1", 100);
    compute_one(&f, "tx2", 100);
    stop(&f);
    start(&f);
    compute_begin(&c);
    compute_add(&f, &c, "tx1", 200); /* not what is stored */
    compute_add(&f, &c, "tx1", 100); /* what is */
    compute_add(&f, &c, "tx3", 100);
    compute_add(&f, &c, "tx2", 100);
    ask(&f, "Compute", &c.request.base, &c.waiting);
    reply = compute_end(&f, &c);
    cr_assert_eq(reply->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT);
    cr_assert_eq(reply->items[1]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN);
    cr_assert_eq(reply->items[1]->vector.len, 16, "its vector is computed again");
    cr_assert_eq(reply->items[2]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__ADDED);
    cr_assert_eq(reply->items[3]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM log WHERE kind = 3"), 1, "the plan has not changed");
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, takes_labels_before_and_after_their_transaction)
{
    struct fixture f = { 0 };

    open_fixture(&f, test_database());
    cr_assert_eq(label(&f, "tx3", true, 3), ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__PENDING);
    cr_assert_eq(label(&f, "tx3", true, 3), ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__DUPLICATE);
    compute_one(&f, "tx3", 100);
    compute_one(&f, "tx6", 100); /* the same terminal: the label counts */
    cr_assert_eq(label(&f, "tx6", true, 1), ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__ACCEPTED);
    cr_assert_eq(label(&f, "tx6", false, 2), ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__ACCEPTED);
    compute_one(&f, "tx9", 100);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM labels JOIN log USING (n) WHERE kind = 2"), 3);
    compare_with_the_log(&f);
    close_fixture(&f);
}

/* Stores what was answered as ingestion does. */
static void store_decisions(struct fixture *f)
{
    struct pg_params p = { 0 };
    struct pg_array *ns = pg_add_array(&p, PG_INT8), *vectors = pg_add_array(&p, PG_BYTEA);
    struct pg_session *s;
    struct why why = { 0 };

    for (size_t i = 0; i < f->answer_count; i++) {
        pg_array_i64(ns, (int64_t)f->answers[i].n);
        pg_array_bytes(vectors, slice_of(f->answers[i].vector, f->answers[i].vector_len));
    }
    MUST(pg_session_open(&s, f->conninfo, "test", &why));
    MUST(pg_exec(
        s,
        "INSERT INTO decisions SELECT account, id, known_at, now(), n, 0, NULL, NULL, 1, '', '', '', "
        "(SELECT plan FROM plans), v.vector, 0, '' FROM unnest($1::int8[], $2::bytea[]) AS v (n, vector) "
        "JOIN transaction_ids USING (n) ON CONFLICT DO NOTHING",
        &p, NULL, &why));
    pg_session_close(s);
    pg_params_release(&p);
}

static int run_verify(struct fixture *f)
{
    char command[1024], self[512] = "";

    cr_assert_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
    snprintf(command, sizeof(command), "ASSAY_PG_URL=\"%s\" %.*s/bin/assay verify >/dev/null 2>&1",
             f->conninfo, (int)(strrchr(self, '/') - self), self);
    return WEXITSTATUS(system(command));
}

static void kill_features(struct fixture *f)
{
    process_kill(&f->features);
}

Test(features, loses_nothing_it_answered_when_it_is_killed)
{
    struct fixture f = { 0 };

    open_fixture(&f, test_database());
    cr_assert_eq(send_stream(&f, 0, 900, NULL), 0); /* snapshots are written on the way */
    cr_assert_gt(send_stream(&f, 900, 1300, kill_features), 0);
    start(&f);
    cr_assert_eq(send_stream(&f, 800, 1500, NULL), 0); /* some are known, some not */
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM transaction_ids"), 1500);
    compare_with_the_log(&f);
    store_decisions(&f);
    cr_assert_eq(run_verify(&f), 0, "PostgreSQL alone gives every vector again");
    execute(&f, "UPDATE decisions SET vector = set_byte(vector, 5, get_byte(vector, 5) # 1) WHERE n = 700");
    cr_assert_eq(run_verify(&f), 1, "one bit is one too many");
    close_fixture(&f);
}

Test(features, starts_from_a_snapshot_as_if_from_the_log)
{
    struct fixture f = { 0 };

    open_fixture(&f, test_database());
    for (int from = 0; from < 3000; from += 500)
        cr_assert_eq(send_stream(&f, from, from + 500, NULL), 0);
    for (int i = 0; i < 500 && query_int(&f, "SELECT count(*) FROM snapshots") == 0; i++)
        usleep(20000);
    cr_assert_gt(query_int(&f, "SELECT count(*) FROM snapshots JOIN snapshot_chunks USING (n, plan)"), 0);
    process_kill(&f.features);
    execute(&f,
            "CREATE TABLE hidden AS SELECT * FROM log WHERE n <= (SELECT min(n) FROM snapshots) AND kind < 3;"
            "DELETE FROM log WHERE n <= (SELECT min(n) FROM snapshots) AND kind < 3");
    start(&f); /* the beginning of the log is not there: only a snapshot can be the start */
    cr_assert_eq(send_stream(&f, 3000, 3200, NULL), 0);
    execute(&f, "INSERT INTO log SELECT * FROM hidden");
    compare_with_the_log(&f);
    close_fixture(&f);
}

static double snapshot_entry(const struct fixture *f)
{
    static const char series[] = "\nassay_features_snapshot_entry ";
    struct http_said said = http_ask(f->features.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    const char *at = said.body ? strstr(said.body, series) : NULL;
    double entry = at ? strtod(at + sizeof series - 1, NULL) : 0;

    http_said_free(&said);
    return entry;
}

/* As after a change of roles: another process has written the snapshot of that place a moment before. */
Test(features, takes_a_snapshot_that_is_there_already_for_its_own)
{
    struct fixture f = { 0 };

    open_fixture(&f, test_database());
    execute(&f,
            "CREATE FUNCTION is_there() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is "
            "there' USING ERRCODE = 'unique_violation'; END $$;"
            "CREATE TRIGGER there BEFORE INSERT ON snapshots FOR EACH ROW EXECUTE FUNCTION is_there()");
    cr_assert_eq(send_stream(&f, 0, 500, NULL), 0);
    for (int i = 0; i < 500 && snapshot_entry(&f) < 300; i++)
        usleep(20000);
    cr_assert_geq(snapshot_entry(&f), 300);
    close_fixture(&f);
}

Test(features, hands_over_to_a_standby)
{
    struct fixture f = { 0 };

    open_fixture(&f, test_database());
    launch(&f, &f.standby);
    cr_assert_eq(send_stream(&f, 0, 300, NULL), 0);
    cr_assert_gt(send_stream(&f, 300, 600, kill_features), 0);
    process_wait_ready(&f.standby);
    f.features = f.standby;
    f.standby = (struct process){ 0 };
    use_channel(&f, f.features.port);
    cr_assert_eq(send_stream(&f, 200, 700, NULL), 0);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM transaction_ids"), 700);
    cr_assert_eq(query_int(&f, "SELECT epoch FROM log_epoch"), 2);
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, a_standby_ends_the_session_of_a_holder_that_is_stopped)
{
    struct fixture f = { 0 };
    struct process stopped;

    open_fixture(&f, test_database());
    launch(&f, &f.standby);
    cr_assert_eq(send_stream(&f, 0, 300, NULL), 0);
    stopped = f.features;
    cr_assert_eq(kill(stopped.pid, SIGSTOP), 0);
    process_wait_ready(&f.standby);
    f.features = f.standby;
    f.standby = (struct process){ 0 };
    use_channel(&f, f.features.port);
    cr_assert_eq(send_stream(&f, 200, 500, NULL), 0);

    /* It goes on where it was, finds that it holds nothing any more, and ends to come back as a standby. */
    cr_assert_eq(kill(stopped.pid, SIGCONT), 0);
    cr_assert_eq(process_wait(&stopped), 0);
    cr_assert_eq(send_stream(&f, 400, 600, NULL), 0);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM transaction_ids"), 600);
    cr_assert_eq(query_int(&f, "SELECT epoch FROM log_epoch"), 2);
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, a_standby_leaves_a_holder_alone_that_has_nothing_to_do)
{
    struct fixture f = { 0 };

    open_fixture(&f, test_database());
    launch(&f, &f.standby);
    while (query_int(&f, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                         "AND query ~ 'end_silent_log_holder'") == 0)
        usleep(50000);
    sleep(4); /* longer than the limit */
    cr_assert_eq(query_int(&f, "SELECT epoch FROM log_epoch"), 1);
    cr_assert_eq(compute_one(&f, "tx1", 100)->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__ADDED);
    close_fixture(&f);
}

static struct test_cluster own;

static void kill_postgres(struct fixture *f)
{
    struct why why = { 0 };

    (void)f;
    cluster_kill(own.cluster);
    MUST(cluster_start(own.cluster, &why));
}

Test(features, looks_again_when_postgres_dies_under_an_append)
{
    struct fixture f = { 0 };
    int64_t until = clock_mono_us() + 30 * SECOND_US;

    test_cluster_start(&own);
    open_fixture(&f, cluster_conninfo(own.cluster));
    for (int round = 0; round < 3; round++)
        send_stream(&f, round * 400, round * 400 + 400, kill_postgres);
    while (send_stream(&f, 0, 1200, NULL) > 0 && clock_mono_us() < until)
        ;
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM transaction_ids"), 1200);
    compare_with_the_log(&f);
    close_fixture(&f);
    test_cluster_end(&own);
}

Test(features, takes_the_outbox_into_the_log_before_it_serves)
{
    struct fixture f = { 0 };
    struct pg_session *s;
    struct why why = { 0 };

    open_fixture(&f, test_database());
    compute_one(&f, "tx1", 100);
    stop(&f);
    MUST(pg_session_open(&s, f.conninfo, "test", &why));
    for (int i = 2; i < 1000; i++) {
        struct pg_params p = { 0 };
        Assay__V1__ComputeRequest__Item *item;
        unsigned char body[512];
        char id[32];

        snprintf(id, sizeof(id), "tx%d", i);
        item = make_item(&f, id, i);
        pg_add_text(&p, slice_str(id));
        pg_add_bytes(&p, slice_of(item->body_hash.data, SHA256_BYTES));
        pg_add_time_us(&p, item->transaction->known_at_us);
        pg_add_bytes(&p, slice_of(body, assay__v1__transaction__pack(item->transaction, body)));
        MUST(pg_exec(
            s,
            "WITH i AS (INSERT INTO transaction_ids (account, id, body_hash, known_at) VALUES (1, $1::text, "
            "$2::bytea, $3::timestamptz)) INSERT INTO outbox (account, id, known_at, body) "
            "VALUES (1, $1::text, $3::timestamptz, $4::bytea)",
            &p, NULL, &why));
        pg_params_release(&p);
    }
    pg_session_close(s);
    start(&f);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM outbox"), 0);
    cr_assert_eq(query_int(&f, "SELECT max(n) FROM transaction_ids"), 1000);
    cr_assert_eq(compute_one(&f, "tx5", 5)->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN);
    compare_with_the_log(&f);
    close_fixture(&f);
}

static void put_label_into_outbox(struct fixture *f, int copies)
{
    char id[] = "tx1";
    unsigned char body[256];
    Assay__V1__Label label = ASSAY__V1__LABEL__INIT;
    struct pg_params p = { 0 };
    struct pg_session *s;
    struct why why = { 0 };

    label.account = 1;
    label.transaction_id = id;
    label.labelled_at_us = label.known_at_us = INT64_C(1522600000000000);
    pg_add_time_us(&p, label.known_at_us);
    pg_add_bytes(&p, slice_of(body, assay__v1__label__pack(&label, body)));
    pg_add_i32(&p, copies);
    MUST(pg_session_open(&s, f->conninfo, "test", &why));
    MUST(pg_exec(s,
                 "INSERT INTO outbox (kind, account, id, known_at, body) SELECT 2, 1, 'tx1', "
                 "$1::timestamptz, $2::bytea FROM generate_series(1, $3::int4)",
                 &p, NULL, &why));
    pg_session_close(s);
    pg_params_release(&p);
}

/* Puts a label there again and again, until it is killed. */
static pid_t feed_outbox(struct fixture *f)
{
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        put_label_into_outbox(f, 10);
}

/* Whoever gets no answer sends its label again, and each time a row waits here. */
Test(features, takes_all_copies_of_a_label_out_of_the_outbox_at_once)
{
    struct fixture f = { 0 };

    open_fixture(&f, test_database());
    compute_one(&f, "tx1", 100);
    stop(&f);
    put_label_into_outbox(&f, 100);
    start(&f);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM outbox"), 0);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM labels"), 1);
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, takes_over_while_the_outbox_never_gets_empty)
{
    struct fixture f = { 0 };
    pid_t feeders[3];

    open_fixture(&f, test_database());
    compute_one(&f, "tx1", 100);
    stop(&f);
    for (size_t i = 0; i < ARRAY_LEN(feeders); i++)
        feeders[i] = feed_outbox(&f);
    while (query_int(&f, "SELECT count(*) FROM outbox") < 100)
        usleep(10000);
    start(&f);
    for (size_t i = 0; i < ARRAY_LEN(feeders); i++) {
        int status;

        kill(feeders[i], SIGKILL);
        waitpid(feeders[i], &status, 0);
        cr_assert(WIFSIGNALED(status), "a feeder failed");
    }
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, replays_the_log_under_a_new_plan)
{
    struct fixture f = { 0 };
    const Assay__V1__ComputeResponse *reply;

    open_fixture(&f, test_database());
    cr_assert_eq(send_stream(&f, 0, 200, NULL), 0);
    stop(&f);
    write_catalogue(&f, wider_catalogue);
    start(&f);
    reply = compute_one(&f, "tx150", 150);
    cr_assert_eq(reply->items[0]->status, ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN);
    cr_assert_eq(reply->items[0]->vector.len, 8);
    cr_assert_eq(send_stream(&f, 200, 300, NULL), 0);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM log WHERE kind = 3"), 2);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM plans"), 2);
    compare_with_the_log(&f);
    close_fixture(&f);
}

static void register_model(struct fixture *f, uint32_t seed)
{
    struct bundle_sample sample;
    struct pg_params p = { 0 };
    struct pg_session *s;
    struct why why = { 0 };
    struct buf bytes;
    unsigned char hash[SHA256_BYTES];

    bundle_sample_init(&sample, seed);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &why));
    sha256(buf_slice(&bytes), hash);
    pg_add_bytes(&p, slice_of(hash, sizeof(hash)));
    pg_add_bytes(&p, buf_slice(&bytes));
    MUST(pg_session_open(&s, f->conninfo, "test", &why));
    MUST(pg_exec(
        s,
        "WITH m AS (INSERT INTO models (name, sha256, bundle) VALUES ('sample', $1::bytea, $2::bytea) "
        "RETURNING name, version) INSERT INTO aliases (name, alias, version) SELECT name, 'champion', "
        "version "
        "FROM m ON CONFLICT (name, alias) DO UPDATE SET version = EXCLUDED.version",
        &p, NULL, &why));
    pg_session_close(s);
    pg_params_release(&p);
    buf_release(&bytes);
    bundle_sample_release(&sample);
}

Test(features, takes_up_what_a_new_champion_needs_without_a_pause)
{
    struct fixture f = { 0 };
    int next = 0;

    write_catalogue(&f, wider_catalogue);
    open_fixture_with(&f, test_database());
    cr_assert_eq(send_stream(&f, 0, 400, NULL), 0);
    register_model(&f, 7);
    for (next = 400; query_int(&f, "SELECT count(*) FROM plans") < 2; next += 20)
        cr_assert_eq(send_stream(&f, next, next + 20, NULL), 0);
    cr_assert_eq(send_stream(&f, next, next + 300, NULL), 0);
    cr_assert_eq(compute_one(&f, "tx50000", 1)->items[0]->vector.len, 12, "two columns, and the amount");
    register_model(&f, 8); /* needs nothing that is not there */
    stop(&f);
    start(&f);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM log WHERE kind = 3"), 2);
    compare_with_the_log(&f);
    close_fixture(&f);
}

Test(features, refuses_what_the_log_cannot_take_and_goes_on)
{
    struct fixture f = { 0 };
    struct compute c;

    open_fixture(&f, test_database());
    compute_begin(&c);
    compute_add(&f, &c, "tx1", 100);
    compute_add(&f, &c, "tx2\xff", 100);
    ask(&f, "Compute", &c.request.base, &c.waiting);
    cr_assert_null(compute_end(&f, &c));
    cr_assert_eq(c.waiting.err, ERR_INVALID);
    cr_assert_eq(query_int(&f, "SELECT count(*) FROM transaction_ids"), 0);
    cr_assert_eq(compute_one(&f, "tx1", 100)->items[0]->n, 2);
    close_fixture(&f);
}
