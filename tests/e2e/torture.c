/* SPDX-License-Identifier: Apache-2.0
 * torture.c - sends a stream through the public API of a running cluster while its parts are killed, and then
 * compares everything that was sent and answered with what PostgreSQL holds.
 *
 *   torture --assay PATH --home DIR --key KEY --stream FILE [--transactions N] [--duplicates N]
 *           [--outage-ms MS] [--in-flight N] [--seed S]
 *
 * The cluster is up (`assay up --ingestion 2`), the account runs on a simulated clock, the stream is what
 * `assay simulate` or `assay import` wrote. On the way, at even distances: features, ingestion, scoring,
 * rules and PostgreSQL are killed with -9 once each, and features is stopped for `--outage-ms`. Pairs of
 * equal and of different bodies under one id go to two ingestion processes at the same moment; every
 * hundredth label goes ahead of its transaction.
 *
 * What must hold, and is printed as one line `violations: N` (exit 1 when N > 0):
 *   - every id that got an answer 200 has exactly one decision, and it is the one that was answered
 *   - two answers 200 for one id are the same decision; of two bodies under one id only one is ever accepted
 *   - every id ends with an answer: nothing is refused for ever because a part died
 *   - every accepted label is stored
 *   - every transaction is in the log in the end */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fraud/txn.h"
#include "http/client.h"
#include "loop/loop.h"

enum {
    INGESTIONS = 2,
    ATTEMPTS_MAX = 400,
    RETRY_PAUSE_US = 100000,
    DEADLINE_US = 5000000,
    EARLY_LABEL_EVERY = 100,
};

/* What one 200 said. */
struct answer {
    char action[12];
    char model[64];
    bool has_score;
    double score;
};

enum kind { TRANSACTION, LABEL };

/* One thing of the stream: a transaction (with, for a pair, a second body) or a label. */
struct item {
    enum kind kind;
    char *id;
    char *body;
    char *rival;   /* another body under the same id, or NULL */
    bool is_twin;  /* the same body is sent twice at once */
    bool is_early; /* a label that is sent before its transaction */
    bool body_accepted, rival_accepted;
    bool has_answer;
    struct answer answer;
    int unfinished; /* requests that have no final answer yet */
};

struct request {
    struct item *item;
    bool is_rival;
    int ingestion, attempts;
    struct loop_timer retry;
    struct torture *torture;
};

struct fault {
    const char *service; /* "postgres" for the database */
    bool is_stop;        /* SIGSTOP for the outage instead of SIGKILL */
};

static const struct fault faults[] = {
    { "features", false }, { "ingestion", false }, { "scoring", false },
    { "rules", false },    { "features", true },   { "postgres", false },
};

struct torture {
    const char *assay, *home, *key, *stream;
    size_t transactions, duplicates, in_flight_most;
    int64_t outage_us;
    uint64_t seed;

    struct loop *loop;
    struct http_client *ingestion[INGESTIONS];
    char authorization[256];
    struct item *items;
    size_t count, cap, next, in_flight;
    size_t next_fault;
    pid_t stopped;
    struct loop_timer resume;
    size_t answers, retries, conflicts, degraded, violations;
    int64_t started_us, ended_us;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "torture: %s: %s\n", what, detail);
    exit(2);
}

static void violated(struct torture *t, const char *rule, const char *id)
{
    if (t->violations++ < 20)
        printf("violation: %s: %s\n", rule, id);
}

static uint64_t next_random(struct torture *t)
{
    uint64_t z = t->seed += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64, Steele et al. 2014 */

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* ---- the cluster ------------------------------------------------------------------------------------------
 */

/* What `assay <args> --json` prints. */
static json_t *ask(const struct torture *t, const char *args)
{
    char command[1024];
    json_error_t error;
    json_t *answer;
    FILE *pipe;

    snprintf(command, sizeof command, "%s %s --home %s --json", t->assay, args, t->home);
    pipe = popen(command, "r");
    if (!pipe)
        die(command, strerror(errno));
    answer = json_loadf(pipe, 0, &error);
    pclose(pipe);
    return answer;
}

/* The `skip`th running process of the service; 0 when there is none now. */
static pid_t pid_of(const struct torture *t, const char *service, int skip)
{
    json_t *status = ask(t, "status"), *row;
    size_t i;
    pid_t pid = 0;

    json_array_foreach(json_object_get(status, "services"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));

        if (name && strncmp(name, service, strlen(service)) == 0 && skip-- == 0)
            pid = (pid_t)json_integer_value(json_object_get(row, "pid"));
    }
    json_decref(status);
    return pid;
}

static void on_resume(void *ctx)
{
    struct torture *t = ctx;

    kill(t->stopped, SIGCONT);
    t->stopped = 0;
}

static void strike(struct torture *t, const struct fault *f)
{
    pid_t pid = pid_of(t, f->service, 0);

    if (pid <= 1) {
        violated(t, "a service is not there to be killed", f->service);
        return;
    }
    fprintf(stderr, "torture: %s %s (pid %d) after %zu answers\n", f->is_stop ? "stop" : "kill -9",
            f->service, (int)pid, t->answers);
    kill(pid, f->is_stop ? SIGSTOP : SIGKILL);
    if (f->is_stop) {
        t->stopped = pid;
        loop_timer_set(&t->resume, t->outage_us);
    }
}

/* ---- sending ----------------------------------------------------------------------------------------------
 */

static void pump(struct torture *t);
static void transmit(struct request *r);

static void finish(struct request *r)
{
    struct torture *t = r->torture;

    r->item->unfinished--;
    t->in_flight--;
    t->answers++;
    loop_timer_release(&r->retry);
    mem_free(r);
    pump(t);
}

static void again(struct request *r)
{
    struct torture *t = r->torture;

    t->retries++;
    if (++r->attempts == ATTEMPTS_MAX) {
        violated(t, "no answer, however often it was tried", r->item->id);
        finish(r);
        return;
    }
    r->ingestion = (r->ingestion + 1) % INGESTIONS;
    loop_timer_set(&r->retry, RETRY_PAUSE_US);
}

static struct answer answer_read(struct torture *t, json_t *body)
{
    struct answer a = { 0 };
    const char *action = json_string_value(json_object_get(body, "action"));
    const char *model = json_string_value(json_object_get(body, "model_version"));
    json_t *score = json_object_get(body, "score");

    snprintf(a.action, sizeof a.action, "%s", action ? action : "?");
    snprintf(a.model, sizeof a.model, "%s", model ? model : "");
    a.has_score = json_is_number(score);
    a.score = json_number_value(score);
    t->degraded += json_array_size(json_object_get(body, "degraded")) > 0;
    return a;
}

static bool answers_agree(const struct answer *a, const struct answer *b)
{
    return strcmp(a->action, b->action) == 0 && strcmp(a->model, b->model) == 0 &&
           a->has_score == b->has_score && (!a->has_score || a->score == b->score);
}

static void on_decision(struct request *r, struct slice body)
{
    struct torture *t = r->torture;
    struct item *item = r->item;
    json_t *json = json_loadb(body.ptr, body.len, 0, NULL);
    struct answer a = answer_read(t, json);

    json_decref(json);
    if (item->has_answer && !answers_agree(&a, &item->answer))
        violated(t, "two different decisions for one id", item->id);
    item->answer = a;
    item->has_answer = true;
    *(r->is_rival ? &item->rival_accepted : &item->body_accepted) = true;
    if (item->body_accepted && item->rival_accepted)
        violated(t, "two bodies accepted under one id", item->id);
    finish(r);
}

static void on_answer(void *arg, enum err err, const struct http_client_answer *answer, const struct why *why)
{
    struct request *r = arg;
    struct torture *t = r->torture;
    int status = err ? 0 : answer->status;

    (void)why;
    if (status == 200 && r->item->kind == TRANSACTION) {
        on_decision(r, answer->body);
    } else if (status == 409 && r->item->rival) {
        t->conflicts++;
        finish(r);
    } else if ((status == 200 || status == 202) && r->item->kind == LABEL) {
        r->item->has_answer = true;
        finish(r);
    } else if (err || status == 500 || status == 503 || status == 504 || status == 429 || status == 409) {
        again(r); /* 409 without a rival: the same request is still in flight elsewhere */
    } else {
        char said[300];

        snprintf(said, sizeof said, "%s: status %d %.*s", r->item->id, status,
                 (int)(answer->body.len < 200 ? answer->body.len : 200), answer->body.ptr);
        violated(t, "an answer that nothing explains", said);
        finish(r);
    }
}

static void transmit(struct request *r)
{
    struct torture *t = r->torture;
    const char *body = r->is_rival ? r->item->rival : r->item->body;
    struct http_header fields[] = {
        { SLICE("authorization"), slice_str(t->authorization) },
        { SLICE("content-type"), SLICE("application/json") },
        { SLICE("assay-deadline-ms"), SLICE("1000") },
    };
    struct http_client_request request = {
        .method = "POST",
        .path = r->item->kind == LABEL ? SLICE("/v1/labels") : SLICE("/v1/transactions"),
        .fields = fields,
        .field_count = ARRAY_LEN(fields),
        .body = slice_str(body),
        .deadline_mono_us = clock_mono_us() + DEADLINE_US,
    };

    http_client_send(t->ingestion[r->ingestion], &request, on_answer, r);
}

static void on_retry(void *ctx)
{
    transmit(ctx);
}

static void send_one(struct torture *t, struct item *item, bool is_rival, int ingestion)
{
    struct request *r = mem_new(struct request);

    r->item = item;
    r->is_rival = is_rival;
    r->ingestion = ingestion;
    r->torture = t;
    loop_timer_init(&r->retry, t->loop, on_retry, r);
    item->unfinished++;
    t->in_flight++;
    transmit(r);
}

static void pump(struct torture *t)
{
    while (t->next < t->count && t->in_flight < t->in_flight_most) {
        struct item *item = &t->items[t->next++];
        int first = (int)(next_random(t) % INGESTIONS);

        send_one(t, item, false, first);
        if (item->rival || item->is_twin)
            send_one(t, item, item->rival != NULL, 1 - first);
        if (t->next_fault < ARRAY_LEN(faults) &&
            t->next >= t->count * (t->next_fault + 1) / (ARRAY_LEN(faults) + 1))
            strike(t, &faults[t->next_fault++]);
    }
    if (t->next == t->count && t->in_flight == 0 && !t->stopped) {
        t->ended_us = clock_mono_us();
        loop_stop(t->loop);
    }
}

/* A stop may outlast the stream: look again when it is over. */
static void on_resume_and_pump(void *ctx)
{
    on_resume(ctx);
    pump(ctx);
}

/* ---- the stream -------------------------------------------------------------------------------------------
 */

static char *dump(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    char *copy = mem_strdup(text);

    free(text);
    return copy;
}

static struct item *add_item(struct torture *t, enum kind kind, json_t *json)
{
    struct item *item;

    ARRAY_RESERVE_ONE(t->items, t->count, t->cap);
    item = &t->items[t->count++];
    *item = (struct item){ .kind = kind };
    item->id = mem_strdup(json_string_value(json_object_get(json, "transaction_id")));
    item->body = dump(json);
    return item;
}

static void read_stream(struct torture *t)
{
    FILE *f = fopen(t->stream, "r");
    char *line = NULL;
    size_t room = 0, transactions = 0, labels = 0;
    size_t pair_every = t->duplicates ? t->transactions / t->duplicates : 0;

    if (!f)
        die(t->stream, strerror(errno));
    while (transactions < t->transactions && getline(&line, &room, f) > 0) {
        json_t *json = json_loads(line, 0, NULL);
        const char *type = json_string_value(json_object_get(json, "type"));
        enum kind kind;

        if (!type)
            die("not a stream line", line);
        kind = strcmp(type, "label") == 0 ? LABEL : TRANSACTION;
        json_object_del(json, "type");
        if (kind == LABEL) {
            add_item(t, LABEL, json);
            labels++;
        } else {
            struct item *item;

            /* Its label, said before the transaction is: the answer must be 202, and it must hold later. */
            if (++transactions % EARLY_LABEL_EVERY == 0) {
                json_t *early = json_pack("{sOsbsssOsO}", "transaction_id",
                                          json_object_get(json, "transaction_id"), "is_fraud", 0, "source",
                                          "customer", "labelled_at", json_object_get(json, "known_at"),
                                          "known_at", json_object_get(json, "known_at"));

                add_item(t, LABEL, early)->is_early = true;
                json_decref(early);
            }
            item = add_item(t, TRANSACTION, json);
            if (pair_every && transactions % pair_every == 0) {
                item->is_twin = transactions / pair_every % 2 == 0;
                if (!item->is_twin) {
                    json_t *amount = json_object_get(json, "amount");

                    json_object_set_new(json, "amount", json_integer(json_integer_value(amount) + 1));
                    item->rival = dump(json);
                }
            }
        }
        json_decref(json);
    }
    free(line);
    fclose(f);
    if (transactions == 0)
        die(t->stream, "holds no transaction");
    fprintf(stderr, "torture: %zu transactions, %zu labels\n", transactions, labels);
}

/* ---- the reckoning ----------------------------------------------------------------------------------------
 */

static int compare_ids(const void *a, const void *b)
{
    const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;

    return strcmp(x->id, y->id);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static PGresult *query(PGconn *db, const char *sql)
{
    PGresult *result = PQexec(db, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        die(sql, PQerrorMessage(db));
    return result;
}

static long count_of(PGconn *db, const char *sql)
{
    PGresult *result = query(db, sql);
    long n = strtol(PQgetvalue(result, 0, 0), NULL, 10);

    PQclear(result);
    return n;
}

static void check_decisions(struct torture *t, PGconn *db)
{
    static const char *const actions[] = { "approve", "challenge", "review", "decline" };
    struct item **by_id = mem_new_n(struct item *, t->count);
    bool *seen = mem_new_n(bool, t->count);
    size_t ids = 0;
    PGresult *rows = query(
        db, "SELECT d.transaction_id, d.action, d.score::text, d.model_version, i.n IS NOT NULL "
            "FROM decisions d JOIN transaction_ids i ON i.account = d.account AND i.id = d.transaction_id");

    for (size_t i = 0; i < t->count; i++)
        if (t->items[i].kind == TRANSACTION)
            by_id[ids++] = &t->items[i];
    qsort(by_id, ids, sizeof *by_id, compare_ids);
    for (int r = 0; r < PQntuples(rows); r++) {
        struct item wanted = { .id = PQgetvalue(rows, r, 0) }, *key = &wanted;
        struct item **found = bsearch(&key, by_id, ids, sizeof *by_id, compare_ids);
        struct answer stored = { .has_score = !PQgetisnull(rows, r, 2) };

        if (!found)
            continue;
        if (seen[found - by_id])
            violated(t, "two decisions stored for one id", wanted.id);
        seen[found - by_id] = true;
        snprintf(stored.action, sizeof stored.action, "%s",
                 actions[strtol(PQgetvalue(rows, r, 1), NULL, 10) & 3]);
        snprintf(stored.model, sizeof stored.model, "%s", PQgetvalue(rows, r, 3));
        stored.score = strtod(PQgetvalue(rows, r, 2), NULL);
        if ((*found)->has_answer && !answers_agree(&stored, &(*found)->answer))
            violated(t, "the stored decision is not the one that was answered", wanted.id);
        if (*PQgetvalue(rows, r, 4) != 't')
            violated(t, "not in the log", wanted.id);
    }
    for (size_t i = 0; i < ids; i++) {
        if (by_id[i]->has_answer && !seen[i])
            violated(t, "answered and not stored", by_id[i]->id);
        if (!by_id[i]->has_answer)
            violated(t, "never answered", by_id[i]->id);
    }
    printf("decisions: %d stored, %zu ids sent\n", PQntuples(rows), ids);
    PQclear(rows);
    mem_free(by_id);
    mem_free(seen);
}

/* Each accepted label is stored as it was sent: its id, what it says, and its source. */
static void check_labels(struct torture *t, PGconn *db)
{
    PGresult *stored = query(
        db, "SELECT (transaction_id || ' ' || is_fraud::text || ' ' || source::text) COLLATE \"C\" AS label "
            "FROM labels ORDER BY label");
    int rows = PQntuples(stored);
    char **known = mem_new_n(char *, (size_t)rows);
    size_t accepted = 0;

    for (int r = 0; r < rows; r++)
        known[r] = PQgetvalue(stored, r, 0);
    for (size_t i = 0; i < t->count; i++) {
        const struct item *item = &t->items[i];
        json_t *label;
        char wanted[256], *key = wanted;

        if (item->kind != LABEL || !item->has_answer)
            continue;
        label = json_loads(item->body, 0, NULL);
        snprintf(wanted, sizeof wanted, "%s %s %d", item->id,
                 json_is_true(json_object_get(label, "is_fraud")) ? "true" : "false",
                 (int)label_source_find(slice_str(json_string_value(json_object_get(label, "source")))));
        json_decref(label);
        accepted++;
        if (!bsearch(&key, known, (size_t)rows, sizeof *known, compare_texts))
            violated(t, "an accepted label is not stored", wanted);
    }
    printf("labels: %d stored, %zu accepted\n", rows, accepted);
    mem_free(known);
    PQclear(stored);
}

static void reckon(struct torture *t)
{
    json_t *status = ask(t, "status");
    const char *url = json_string_value(json_object_get(status, "pg_url"));
    PGconn *db = PQconnectdb(url ? url : "");
    int64_t give_up_us = clock_mono_us() + 60 * SECOND_US;

    if (PQstatus(db) != CONNECTION_OK)
        die("reach PostgreSQL", PQerrorMessage(db));
    while (count_of(db, "SELECT count(*) FROM outbox") > 0 && clock_mono_us() < give_up_us)
        usleep(100000);
    if (count_of(db, "SELECT count(*) FROM outbox"))
        violated(t, "the outbox was not drained", "outbox");
    check_decisions(t, db);
    check_labels(t, db);
    PQfinish(db);
    json_decref(status);
}

/* ---- start ------------------------------------------------------------------------------------------------
 */

static void connect_to_cluster(struct torture *t)
{
    json_t *status = ask(t, "status"), *row;
    struct why why = { 0 };
    size_t i;
    int n = 0;

    json_array_foreach(json_object_get(status, "services"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        char address[64];
        struct http_client_conf conf = { .address = address };

        if (!name || strncmp(name, "ingestion", strlen("ingestion")) != 0 || n == INGESTIONS)
            continue;
        snprintf(address, sizeof address, "127.0.0.1:%d",
                 (int)json_integer_value(json_object_get(row, "port")));
        if (http_client_open(&t->ingestion[n++], t->loop, &conf, &why))
            die("client", why.text);
    }
    json_decref(status);
    if (n != INGESTIONS)
        die(t->home, "needs a running cluster with two ingestion processes");
}

static void read_arguments(struct torture *t, int argc, char **argv)
{
    static const struct option options[] = {
        { "assay", required_argument, NULL, 'a' },        { "home", required_argument, NULL, 'h' },
        { "key", required_argument, NULL, 'k' },          { "stream", required_argument, NULL, 's' },
        { "transactions", required_argument, NULL, 't' }, { "duplicates", required_argument, NULL, 'd' },
        { "outage-ms", required_argument, NULL, 'o' },    { "in-flight", required_argument, NULL, 'i' },
        { "seed", required_argument, NULL, 'r' },         { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int64_t number = 0;

        if (strchr("tdoir", c) && !slice_to_i64(slice_str(optarg), &number))
            die("not a number", optarg);
        switch (c) {
        case 'a':
            t->assay = optarg;
            break;
        case 'h':
            t->home = optarg;
            break;
        case 'k':
            t->key = optarg;
            break;
        case 's':
            t->stream = optarg;
            break;
        case 't':
            t->transactions = (size_t)number;
            break;
        case 'd':
            t->duplicates = (size_t)number;
            break;
        case 'o':
            t->outage_us = number * MS_US;
            break;
        case 'i':
            t->in_flight_most = (size_t)number;
            break;
        case 'r':
            t->seed = (uint64_t)number;
            break;
        default:
            exit(2);
        }
    }
    if (!t->assay || !t->home || !t->key || !t->stream)
        die("usage", "--assay PATH --home DIR --key KEY --stream FILE are needed");
}

int main(int argc, char **argv)
{
    struct torture t = {
        .transactions = 5000, .duplicates = 250, .in_flight_most = 64, .outage_us = 2 * SECOND_US, .seed = 1
    };
    struct why why = { 0 };
    double seconds;

    read_arguments(&t, argc, argv);
    snprintf(t.authorization, sizeof t.authorization, "Bearer %s", t.key);
    if (loop_open(&t.loop, &why))
        die("loop", why.text);
    loop_timer_init(&t.resume, t.loop, on_resume_and_pump, &t);
    read_stream(&t);
    connect_to_cluster(&t);
    t.started_us = clock_mono_us();
    pump(&t);
    loop_run(t.loop);
    seconds = (double)(t.ended_us - t.started_us) / SECOND_US;
    printf("answers: %zu in %.1f s, %zu retries, %zu conflicts, %zu degraded\n", t.answers, seconds,
           t.retries, t.conflicts, t.degraded);
    if (t.next_fault < ARRAY_LEN(faults))
        violated(&t, "not every fault was struck", faults[t.next_fault].service);
    reckon(&t);
    printf("violations: %zu\n", t.violations);
    for (int i = 0; i < INGESTIONS; i++)
        http_client_close(t.ingestion[i]);
    loop_timer_release(&t.resume);
    loop_close(t.loop);
    for (size_t i = 0; i < t.count; i++) {
        mem_free(t.items[i].id);
        mem_free(t.items[i].body);
        mem_free(t.items[i].rival);
    }
    mem_free(t.items);
    return t.violations != 0;
}
