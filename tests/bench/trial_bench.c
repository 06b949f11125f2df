/* SPDX-License-Identifier: Apache-2.0
 * trial_bench.c - how soon a draft is answered while it is written: `POST /v1/backtests:try` of a real rules service
 * over 1.75 million decisions in PostgreSQL.
 *
 *   trial_bench DIR       a directory that postgres can get into
 *
 * The past is that of past.h with the vectors of models/handbook.yaml, decided by made-up scores. A set of 20 rules is
 * in force; each draft is that set with another number in one of its rules, so nothing that was asked before answers
 * it. Told is the slowest of all drafts once the history is open. */
#include <curl/curl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/alone.h"
#include "bench/child.h"
#include "bench/past.h"
#include "bench/report.h"
#include "featurestore/store.h"
#include "fraud/api_key.h"
#include "pg/session.h"
#include "policystore/publish.h"
#include "proto/assay.pb-c.h"
#include "proto/txn_proto.h"
#include "stats/interval.h"

enum { TRANSACTIONS = 1750000, RULES = 20, DRAFTS = 10, CATALOGUE_MAX = 1 << 16, WAIT_SECONDS = 900 };

static const struct policy_thresholds thresholds = { 0.3, 0.5, 0.8 };

static struct {
    struct alone pg;
    struct pg_session *decisions, *labels;
    struct plan *plan;
    char key[64], address[64], log[600];
    pid_t rules;
    size_t rows;
} b;

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("trial: %s: %s", what, why->text);
}

/* ---- what was decided ---- */

static void read_plan(void)
{
    static char text[CATALOGUE_MAX];
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct pg_params p = { 0 };
    struct why why = { 0 };
    FILE *f = fopen("models/handbook.yaml", "r");
    size_t len = f ? fread(text, 1, sizeof text, f) : 0;

    if (!f || len == 0 || len == sizeof text)
        bench_fail("trial: cannot read models/handbook.yaml");
    fclose(f);
    must_work(catalogue_parse(&catalogue, slice_of(text, len), &arena, &why), "the catalogue", &why);
    must_work(plan_build(&b.plan, &catalogue, &why), "the plan", &why);
    arena_release(&arena);
    pg_add_bytes(&p, slice_of((const char *)plan_hash(b.plan), SHA256_BYTES));
    pg_add_text(&p, plan_text(b.plan));
    must_work(pg_exec(b.pg.session, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &p,
                      NULL, &why),
              "write the plan", &why);
    pg_params_release(&p);
}

static struct slice pack_record(struct arena *arena)
{
    Assay__V1__DecisionRecord record = ASSAY__V1__DECISION_RECORD__INIT;
    Assay__V1__Thresholds held = ASSAY__V1__THRESHOLDS__INIT;
    uint8_t *bytes;

    held.challenge = thresholds.challenge;
    held.review = thresholds.review;
    held.decline = thresholds.decline;
    record.thresholds = &held;
    record.decided_by = ASSAY__V1__DECIDED_BY__BY_THRESHOLD;
    bytes = arena_new(arena, uint8_t, assay__v1__decision_record__get_packed_size(&record));
    return slice_of(bytes, assay__v1__decision_record__pack(&record, bytes));
}

/* Rows of three tables at once, each over a session of its own. */
struct filling {
    struct pg_params row;
    struct arena arena, whole;
    struct store *store;
    double *vector;
    unsigned char *packed;
    struct slice record;
    struct random dice;
    uint64_t n;
};

static void put(struct filling *f, struct pg_session *s)
{
    struct why why = { 0 };

    must_work(pg_copy_row(s, &f->row, &why), "copy", &why);
    pg_params_clear(&f->row);
}

static void put_log(struct filling *f, int kind, int64_t at_us, struct slice body)
{
    pg_add_i64(&f->row, (int64_t)++f->n);
    pg_add_i64(&f->row, 0);
    pg_add_i16(&f->row, (int16_t)kind);
    pg_add_i32(&f->row, 1);
    pg_add_time_us(&f->row, at_us);
    pg_add_bytes(&f->row, body);
    put(f, b.pg.session);
}

static void put_decision(struct filling *f, const struct txn *txn)
{
    struct pg_params *p = &f->row;
    double score = random_unit(&f->dice) * random_unit(&f->dice) * random_unit(&f->dice);
    enum action action = policy_score_action(score, &thresholds);

    put_log(f, 1, txn->known_at_us, txn_pack(txn, &f->arena));
    store_apply_txn(f->store, f->n, txn, f->vector);
    store_vector_pack(f->vector, plan_columns(b.plan), f->packed);
    pg_add_i32(p, 1);
    pg_add_text(p, txn->id);
    pg_add_time_us(p, txn->known_at_us);
    pg_add_time_us(p, txn->known_at_us);
    pg_add_i64(p, (int64_t)f->n);
    pg_add_i16(p, (int16_t)action);
    pg_add_f64(p, score);
    pg_add_f64(p, 1);
    pg_add_text(p, SLICE("1"));
    pg_add_text(p, SLICE("none"));
    pg_add_text(p, SLICE("champion"));
    pg_add_bytes(p, slice_of((const char *)plan_hash(b.plan), SHA256_BYTES));
    pg_add_bytes(p, slice_of((const char *)f->packed, plan_columns(b.plan) * sizeof(float)));
    pg_add_i64(p, txn->amount_base_minor);
    pg_add_bytes(p, f->record);
    put(f, b.decisions);
    b.rows++;
}

static void put_label(struct filling *f, const struct label *label)
{
    put_log(f, 2, label->known_at_us, label_pack(label, &f->arena));
    store_apply_label(f->store, f->n, label);
    pg_add_i32(&f->row, 1);
    pg_add_text(&f->row, label->transaction_id);
    pg_add_i16(&f->row, (int16_t)label->source);
    pg_add_time_us(&f->row, label->labelled_at_us);
    pg_add_bool(&f->row, label->is_fraud);
    pg_add_time_us(&f->row, label->known_at_us);
    pg_add_i64(&f->row, (int64_t)f->n);
    put(f, b.labels);
}

static void begin_copies(void)
{
    struct why why = { 0 };

    must_work(pg_session_open(&b.decisions, b.pg.conninfo, "bench", &why), "connect", &why);
    must_work(pg_session_open(&b.labels, b.pg.conninfo, "bench", &why), "connect", &why);
    alone_sql(&b.pg, "SELECT ensure_partitions('2018-04-01', '2019-12-31')");
    must_work(pg_copy_begin(b.pg.session, "log (n, epoch, kind, account, known_at, body)", &why), "copy",
              &why);
    must_work(
        pg_copy_begin(b.decisions,
                      "decisions (account, transaction_id, known_at, decided_at, n, action, score, p_allow, "
                      "model_version, ruleset_version, arm, plan, vector, amount_base_minor, record)",
                      &why),
        "copy", &why);
    must_work(pg_copy_begin(b.labels,
                            "labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n)",
                            &why),
              "copy", &why);
}

static void end_copies(void)
{
    struct pg_session *all[] = { b.pg.session, b.decisions, b.labels };
    struct why why = { 0 };
    size_t rows;

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        must_work(pg_copy_end(all[i], &rows, &why), "copy", &why);
    pg_session_close(b.decisions);
    pg_session_close(b.labels);
    alone_sql(&b.pg, "VACUUM (ANALYZE) log");
    alone_sql(&b.pg, "VACUUM (ANALYZE) decisions");
}

static void fill(struct past *past)
{
    struct filling f = { .store = store_new(b.plan),
                         .vector = mem_new_n(double, plan_columns(b.plan) + 1),
                         .packed = (unsigned char *)mem_new_n(float, plan_columns(b.plan) + 1),
                         .dice = { 3 } };
    struct dataset_event event;

    f.record = pack_record(&f.whole);
    begin_copies();
    while (b.rows < TRANSACTIONS && past_next(past, &event)) {
        arena_reset(&f.arena);
        if (event.kind == DATASET_TXN)
            put_decision(&f, &event.txn);
        else
            put_label(&f, &event.label);
    }
    end_copies();
    store_free(f.store);
    mem_free(f.vector);
    mem_free(f.packed);
    pg_params_release(&f.row);
    arena_release(&f.arena);
    arena_release(&f.whole);
}

/* ---- rules ---- */

/* `changed` is another number in the eighth rule; 0 is the set in force. */
static struct slice write_set(struct arena *arena, int changed)
{
    struct buf text = { 0 };
    struct slice set;

    buf_add_str(&text, "{\"rules\": [");
    for (int i = 0; i < RULES; i++) {
        struct slice feature = plan_column(b.plan, (size_t)(3 * i) % plan_columns(b.plan))->name;

        buf_printf(&text,
                   "%s{\"id\": \"rule_%d\", \"when\": \"tx.amount > %d.0 && %.*s > %d.0 && score > 0.%d\", "
                   "\"action\": \"review\", \"priority\": %d}",
                   i ? ", " : "", i, 2000 + 500 * i + (i == 7 ? changed : 0), SLICE_ARG(feature), i % 4,
                   1 + i % 5, i);
    }
    buf_add_str(&text, "]}");
    set = arena_slice(arena, buf_slice(&text));
    buf_release(&text);
    return set;
}

static void publish(void)
{
    struct ruleset_change change = { .actor = SLICE("ann"),
                                     .expected = RULESET_ANY,
                                     .approval = APPROVAL_UNLESS_FIRST };
    struct arena arena = { 0 };
    struct why why = { 0 };
    int64_t version;
    struct draft d;

    must_work(draft_open(&d, write_set(&arena, 0), &why), "the rules", &why);
    must_work(ruleset_draft(b.pg.session, &d, 0, SLICE(""), &change, &version, &why), "draft", &why);
    must_work(ruleset_publish(b.pg.session, version, &change, &why), "publish", &why);
    draft_release(&d);
    arena_release(&arena);
}

static void make_key(void)
{
    char text[512], hex[65];
    struct api_key made;

    api_key_make(&made);
    hex_encode(made.secret_sha256, SHA256_BYTES, hex);
    snprintf(
        text, sizeof text,
        "INSERT INTO accounts (name, clock) VALUES ('bench', 'simulated'); INSERT INTO api_keys (prefix, "
        "account, secret_sha256, scopes, owner) VALUES ('%s', 1, '\\x%s', '{rules:write}', 'ann')",
        made.prefix, hex);
    alone_sql(&b.pg, text);
    strcpy(b.key, made.text);
}

static void start_rules(const char *home)
{
    char self[PATH_MAX] = "", program[PATH_MAX + 32], url[600], port[64], admin[64], ready[600], kept[600];
    const char *ready_file = ready + sizeof "ASSAY_READY_FILE=" - 1;
    int number = free_port();

    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        bench_fail("trial: no /proc");
    snprintf(program, sizeof program, "%s/bin/rules", dirname(dirname(self)));
    snprintf(b.address, sizeof b.address, "http://127.0.0.1:%d/v1/backtests:try", number);
    snprintf(url, sizeof url, "ASSAY_PG_URL=%s", b.pg.conninfo);
    snprintf(port, sizeof port, "ASSAY_RULES_PORT=%d", number);
    snprintf(admin, sizeof admin, "ASSAY_RULES_ADMIN_PORT=%d", free_port());
    snprintf(ready, sizeof ready, "ASSAY_READY_FILE=%s/ready", home);
    snprintf(kept, sizeof kept, "ASSAY_RULES_BACKTESTS=%s/history", home);
    snprintf(b.log, sizeof b.log, "%s/rules.log", home);
    b.rules = child_start((const char *[]){ program, NULL },
                          (const char *[]){ url, port, admin, ready, kept, NULL }, b.log);
    for (int i = 0; access(ready_file, R_OK); i++) {
        if (!child_is_running(b.rules) || i > 20000)
            bench_fail("trial: the rules service did not become ready: see %s", b.log);
        usleep(1000);
    }
}

/* ---- asking ---- */

static size_t gather(char *bytes, size_t size, size_t count, void *into)
{
    buf_add(into, bytes, size * count);
    return size * count;
}

/* The answer, for json_decref(), and how long it took from the request to its last byte. */
static json_t *try_draft(CURL *c, int changed, int days, double *seconds)
{
    struct arena arena = { 0 };
    struct slice set = write_set(&arena, changed),
                 body = arena_printf(&arena, "{\"document\": %.*s, \"days\": %d, \"rule\": \"rule_7\"}",
                                     SLICE_ARG(set), days);
    struct buf said = { 0 };
    int64_t began_us = clock_mono_us();
    long status = 0;
    json_t *json;

    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)body.len);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.ptr);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &said);
    if (curl_easy_perform(c) == CURLE_OK)
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    *seconds = (double)(clock_mono_us() - began_us) / 1e6;
    if (status != 200)
        bench_fail("trial: %ld %s; see %s", status, buf_str(&said), b.log);
    json = json_loadb((const char *)said.data, said.len, 0, NULL);
    buf_release(&said);
    arena_release(&arena);
    return json;
}

static bool is_ready(const json_t *json)
{
    return strcmp(json_string_value(json_object_get(json, "state")), "ready") == 0;
}

/* Until the history is open; seconds. */
static double wait_until_open(CURL *c)
{
    int64_t began_us = clock_mono_us();
    bool is_open = false;
    double seconds;

    while (!is_open) {
        json_t *json = try_draft(c, 1, 30, &seconds);

        is_open = is_ready(json);
        json_decref(json);
        if (clock_mono_us() - began_us > WAIT_SECONDS * SECOND_US)
            bench_fail("trial: the history is not opened; see %s", b.log);
        usleep(100000);
    }
    return (double)(clock_mono_us() - began_us) / 1e6;
}

static void measure(CURL *c, int days)
{
    char name[64], note[200];
    double seconds, slowest = 0;
    long long decisions = 0, sample = 0;

    for (int i = 0; i <= DRAFTS; i++) {
        json_t *json = try_draft(c, 10 * days + i, days, &seconds), *report;

        if (!is_ready(json))
            bench_fail("trial: the history was closed; see %s", b.log);
        report = json_object_get(json_object_get(json, "answer"), "report");
        decisions = json_integer_value(json_object_get(json_object_get(report, "span"), "decisions"));
        sample = json_integer_value(json_object_get(report, "sample"));
        if (i && seconds > slowest) /* the first one of a span opens its columns */
            slowest = seconds;
        json_decref(json);
    }
    snprintf(name, sizeof name, "backtest/a draft while it is written, %d days", days);
    snprintf(note, sizeof note,
             "the slowest of %d over REST; one of %d rules changed, %lld decisions looked at, one in %lld of "
             "%zu in all",
             DRAFTS, RULES, decisions, sample, b.rows);
    report(&(struct result){
        .name = name, .value = slowest, .unit = "s", .goals = { { VALUE_AT_MOST, 1 } }, .note = note });
}

static void ask_all(void)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURL *c = curl_easy_init();
    char line[128];
    double opened_s;

    snprintf(line, sizeof line, "Authorization: Bearer %s", b.key);
    headers = curl_slist_append(headers, line);
    curl_easy_setopt(c, CURLOPT_URL, b.address);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, gather);
    opened_s = wait_until_open(c);
    report(&(struct result){ .name = "backtest/the history opened for drafts",
                             .value = opened_s,
                             .unit = "s",
                             .note = "the first time: columns are made of all decisions in PostgreSQL" });
    measure(c, 30);
    measure(c, 180);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
}

int main(int argc, char **argv)
{
    struct past past;
    char home[512];

    if (argc != 2)
        bench_fail("usage: trial_bench DIR");
    snprintf(home, sizeof home, "%s/trial", argv[1]);
    alone_open(&b.pg, home, "models/handbook.yaml");
    read_plan();
    make_key();
    past_open(&past);
    fill(&past);
    past_close(&past);
    publish();
    start_rules(home);
    ask_all();
    child_end(b.rules, false);
    plan_free(b.plan);
    alone_close(&b.pg);
    return EXIT_SUCCESS;
}
