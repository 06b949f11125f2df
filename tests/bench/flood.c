/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/flood.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/report.h"
#include "http/client.h"
#include "loop/loop.h"

enum {
    TICK_US = 500,
    WATCH_US = 50000,
    PAUSE_US = 10000,
    ANSWER_TIME_US = 10 * 1000000,
    LINES_MAX = 400000,
    VIOLATIONS_SHOWN = 20,
};

struct shot {
    struct flood *flood;
    struct shot *next; /* spare, or refused in a closed loop */
    int64_t intended_us;
    size_t number;
    int key;
};

struct flood {
    struct flood_conf conf;
    struct loop *loop;
    struct http_client *client;
    char authorization[FLOOD_KEYS][128], deadline[24];
    char **lines; /* each what stands behind the id */
    size_t line_count, lines_used, line_cap;

    struct phase *phase;
    int64_t began_us, ends_us;
    double scheduled[FLOOD_KEYS];
    size_t under_way, numbers;
    struct shot *spare;
    size_t refused; /* in a closed loop, to be sent again */
    int64_t again_us;
    struct buf body;
    struct event *tick;
    int tick_fd;
    struct loop_timer watch;

    unsigned char *accepted; /* by number */
    size_t accepted_cap;
    char prefix[32];
    size_t violations;
};

void flood_violated(struct flood *f, const char *rule, const char *detail)
{
    if (f->violations++ < VIOLATIONS_SHOWN)
        fprintf(stderr, "violation: %s: %s\n", rule, detail);
}

/* ---- figures ---- */

static void latency_add(struct latencies *l, int64_t us)
{
    ARRAY_RESERVE_ONE(l->us, l->count, l->cap);
    l->us[l->count++] = us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare_us(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

double latencies_ms(struct latencies *l, double quantile)
{
    if (!l->count)
        return 0;
    qsort(l->us, l->count, sizeof *l->us, compare_us);
    return l->us[(size_t)((double)(l->count - 1) * quantile)] / 1e3;
}

static double cpu_self(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long kib_of(pid_t pid)
{
    long pages = 0;
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    f = fopen(path, "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- requests ---- */

static void accept_number(struct flood *f, size_t number)
{
    size_t had = f->accepted_cap;

    if (number >= had) {
        f->accepted_cap = 2 * number + 1024;
        f->accepted = mem_grow(f->accepted, f->accepted_cap, 1);
        memset(f->accepted + had, 0, f->accepted_cap - had);
    }
    f->accepted[number] = 1;
}

/* "timings_us":{"queue":1,...}: what the server says it took, but for the commit. */
static int64_t told_us(struct slice body)
{
    json_t *json = json_loadb(body.ptr, body.len, 0, NULL), *value;
    const char *name;
    int64_t sum = 0;

    json_object_foreach(json_object_get(json, "timings_us"), name, value) sum += json_integer_value(value);
    json_decref(json);
    return sum;
}

static bool has_retry_after(const struct http_client_answer *a)
{
    for (size_t i = 0; i < a->field_count; i++)
        if (slice_eq_str(a->fields[i].name, "retry-after"))
            return a->fields[i].value.len > 0 && a->fields[i].value.ptr[0] >= '1';
    return false;
}

static void count_decision(struct flood *f, const struct shot *s, struct slice body, int64_t took_us)
{
    struct outcome *out = &f->phase->of[s->key];
    size_t window = (size_t)((s->intended_us - f->began_us) / FLOOD_WINDOW_US);

    *(took_us <= f->conf.deadline_ms * MS_US ? &out->good : &out->late) += 1;
    latency_add(&out->decided, took_us);
    if (window < FLOOD_WINDOWS_MAX)
        latency_add(&f->phase->windows[window], took_us);
    accept_number(f, s->number);
    if (f->lines_used + 1 < f->line_count)
        f->lines_used++;
    if (f->conf.reads_answers && told_us(body) > f->conf.deadline_ms * MS_US)
        flood_violated(f, "a decision took longer than its deadline, by its own account", "timings_us");
}

static void count_other(struct flood *f, const struct http_client_answer *a)
{
    char said[200];

    snprintf(said, sizeof said, "%d %.*s", a->status, a->body.len < 150 ? (int)a->body.len : 150,
             a->body.ptr);
    flood_violated(f, "an answer that nothing explains", said);
}

static void stop_when_done(struct flood *f, int64_t now_us)
{
    if (now_us >= f->ends_us && f->under_way == 0)
        loop_stop(f->loop);
}

static void fire(struct flood *f, int key, int64_t intended_us);

static void on_answer(void *arg, enum err err, const struct http_client_answer *a, const struct why *why)
{
    struct shot *s = arg;
    struct flood *f = s->flood;
    struct outcome *out = &f->phase->of[s->key];
    int64_t now = clock_mono_us(), took_us = now - s->intended_us;
    int status = err ? 0 : a->status;

    if (status == 200) {
        count_decision(f, s, a->body, took_us);
    } else if (status == 503) {
        out->refused++;
        latency_add(&out->refusals, took_us);
        if (!has_retry_after(a))
            flood_violated(f, "a refusal without Retry-After", "503");
    } else if (status == 504) {
        out->timed_out++;
    } else {
        out->other++;
        if (err)
            flood_violated(f, "no answer", why->text);
        else
            count_other(f, a);
    }
    f->under_way--;
    s->next = f->spare;
    f->spare = s;
    if (!f->phase->in_flight || now >= f->ends_us)
        stop_when_done(f, now);
    else if (status == 503)
        f->refused++;
    else
        fire(f, 0, now);
}

static void fire(struct flood *f, int key, int64_t intended_us)
{
    const struct http_header fields[] = {
        { SLICE("authorization"), slice_str(f->authorization[key]) },
        { SLICE("content-type"), SLICE("application/json") },
        { SLICE("assay-deadline-ms"), slice_str(f->deadline) },
    };
    struct shot *s = f->spare;
    int64_t now = clock_mono_us();

    if (s)
        f->spare = s->next;
    else
        s = mem_new(struct shot);
    *s = (struct shot){ .flood = f, .intended_us = intended_us, .number = f->numbers++, .key = key };
    /* Event time goes on with what was decided, so that a refused flood does not run through the stream. */
    buf_clear(&f->body);
    buf_printf(&f->body, "{\"transaction_id\":\"%s%zu\"%s", f->prefix, s->number, f->lines[f->lines_used]);
    if (now - intended_us > f->phase->send_lag_us)
        f->phase->send_lag_us = now - intended_us;
    f->phase->of[key].sent++;
    f->under_way++;
    http_client_send(f->client,
                     &(struct http_client_request){ .method = "POST",
                                                    .path = SLICE("/v1/transactions"),
                                                    .fields = fields,
                                                    .field_count = ARRAY_LEN(fields),
                                                    .body = buf_slice(&f->body),
                                                    .deadline_mono_us = now + ANSWER_TIME_US },
                     on_answer, s);
}

/* ---- phases ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct flood *f = arg;
    int64_t now = clock_mono_us(), until = now < f->ends_us ? now : f->ends_us;
    uint64_t ticks;

    (void)what;
    if (read(fd, &ticks, sizeof ticks) < 0)
        return;
    for (int k = 0; k < FLOOD_KEYS; k++) {
        double rate = f->phase->rates[k];

        while (rate > 0 && f->began_us + (int64_t)(f->scheduled[k] * 1e6 / rate) < until)
            fire(f, k, f->began_us + (int64_t)(f->scheduled[k]++ * 1e6 / rate));
    }
    if (f->refused > 0 && now >= f->again_us) {
        for (; f->refused > 0; f->refused--)
            fire(f, 0, now);
        f->again_us = now + PAUSE_US;
    }
    stop_when_done(f, now);
}

static void on_watch(void *arg)
{
    struct flood *f = arg;
    struct http_client_stats stats = http_client_stats(f->client);
    bool is_second = clock_mono_us() - f->began_us > (int64_t)(f->phase->seconds * 5e5);
    long kib = kib_of(f->conf.server), *most = is_second ? &f->phase->kib_second : &f->phase->kib_first;

    if (stats.waiting > f->phase->waiting_most)
        f->phase->waiting_most = stats.waiting;
    if (kib > *most)
        *most = kib;
    loop_timer_set(&f->watch, WATCH_US);
}

static void print_phase(struct phase *p, int key)
{
    struct outcome *out = &p->of[key];

    fprintf(stderr,
            "overload: %-9s key %d: %6.0f/s asked, %5.0f/s good, %zu late, %zu timed out, %zu refused; "
            "ms p50 %.1f p99 %.1f max %.1f, refused p50 %.1f p99 %.1f; sent %.1f ms late, %zu waited; "
            "generator %.2f CPU\n",
            p->name, key, (double)out->sent / p->seconds, (double)out->good / p->seconds, out->late,
            out->timed_out, out->refused, latencies_ms(&out->decided, 0.5), latencies_ms(&out->decided, 0.99),
            latencies_ms(&out->decided, 1), latencies_ms(&out->refusals, 0.5),
            latencies_ms(&out->refusals, 0.99), (double)p->send_lag_us / 1e3, p->waiting_most,
            p->generator_cpu);
}

void flood_run(struct flood *f, struct phase *p)
{
    double cpu = cpu_self();

    f->phase = p;
    f->refused = 0;
    memset(f->scheduled, 0, sizeof f->scheduled);
    f->began_us = clock_mono_us();
    f->ends_us = f->began_us + (int64_t)(p->seconds * 1e6);
    on_watch(f);
    for (size_t i = 0; i < p->in_flight; i++)
        fire(f, 0, clock_mono_us());
    loop_run(f->loop);
    loop_timer_stop(&f->watch);
    p->generator_cpu = (cpu_self() - cpu) / p->seconds;
    for (int k = 0; k < FLOOD_KEYS; k++)
        if (p->of[k].sent)
            print_phase(p, k);
}

void phase_release(struct phase *p)
{
    for (int k = 0; k < FLOOD_KEYS; k++) {
        mem_free(p->of[k].decided.us);
        mem_free(p->of[k].refusals.us);
    }
    for (size_t i = 0; i < FLOOD_WINDOWS_MAX; i++)
        mem_free(p->windows[i].us);
}

/* ---- what was stored ---- */

size_t flood_reckon(struct flood *f, const char *pg_url)
{
    PGconn *db = PQconnectdb(pg_url);
    size_t prefix = strlen(f->prefix);
    char sql[256];
    PGresult *rows;

    if (PQstatus(db) != CONNECTION_OK)
        bench_fail("PostgreSQL: %s", PQerrorMessage(db));
    snprintf(sql, sizeof sql, "SELECT transaction_id FROM decisions WHERE transaction_id LIKE '%s%%'",
             f->prefix);
    rows = PQexec(db, sql);
    if (PQresultStatus(rows) != PGRES_TUPLES_OK)
        bench_fail("%s: %s", sql, PQerrorMessage(db));
    for (int r = 0; r < PQntuples(rows); r++) {
        size_t number = strtoul(PQgetvalue(rows, r, 0) + prefix, NULL, 10);

        if (number < f->accepted_cap)
            f->accepted[number] = 0;
    }
    for (size_t i = 0; i < f->accepted_cap; i++)
        if (f->accepted[i])
            flood_violated(f, "answered 200 and not stored", f->prefix);
    PQclear(rows);
    PQfinish(db);
    return f->violations;
}

/* ---- opening and closing ---- */

static void read_stream(struct flood *f)
{
    static const char start[] = "{\"type\":\"transaction\",\"transaction_id\":\"";
    FILE *stream = fopen(f->conf.stream, "r");
    char *line = NULL, *rest;
    size_t room = 0;

    if (!stream)
        bench_fail("cannot read %s", f->conf.stream);
    while (f->line_count < LINES_MAX && getline(&line, &room, stream) > 0) {
        if (strncmp(line, start, sizeof start - 1) != 0 || !(rest = strchr(line + sizeof start - 1, '"')))
            continue;
        ARRAY_RESERVE_ONE(f->lines, f->line_count, f->line_cap);
        f->lines[f->line_count++] = mem_strdup(rest + 1);
    }
    free(line);
    fclose(stream);
    if (!f->line_count)
        bench_fail("no transaction in %s", f->conf.stream);
}

struct flood *flood_open(const struct flood_conf *conf)
{
    struct itimerspec every = { .it_interval.tv_nsec = TICK_US * 1000, .it_value.tv_nsec = TICK_US * 1000 };
    struct http_client_conf client = { .address = conf->address,
                                       .connections = conf->connections,
                                       .waiting_most = 1 << 20 };
    struct flood *f = mem_new(struct flood);
    struct why why = { 0 };

    f->conf = *conf;
    read_stream(f);
    for (int k = 0; k < FLOOD_KEYS; k++)
        snprintf(f->authorization[k], sizeof f->authorization[k], "Bearer %s", conf->keys[k]);
    snprintf(f->deadline, sizeof f->deadline, "%lld", (long long)conf->deadline_ms);
    snprintf(f->prefix, sizeof f->prefix, "flood-%d-", (int)getpid());
    buf_init(&f->body, 0);
    if (loop_open(&f->loop, &why) || http_client_open(&f->client, f->loop, &client, &why))
        bench_fail("%s", why.text);
    loop_timer_init(&f->watch, f->loop, on_watch, f);
    f->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    f->tick = event_new(loop_base(f->loop), f->tick_fd, EV_READ | EV_PERSIST, on_tick, f);
    if (f->tick_fd < 0 || !f->tick || timerfd_settime(f->tick_fd, 0, &every, NULL) ||
        event_add(f->tick, NULL))
        bench_fail("no clock to send by");
    return f;
}

void flood_close(struct flood *f)
{
    event_free(f->tick);
    close(f->tick_fd);
    loop_timer_release(&f->watch);
    http_client_close(f->client);
    loop_close(f->loop);
    buf_release(&f->body);
    for (size_t i = 0; i < f->line_count; i++)
        mem_free(f->lines[i]);
    mem_free(f->lines);
    mem_free(f->accepted);
    while (f->spare) {
        struct shot *next = f->spare->next;

        mem_free(f->spare);
        f->spare = next;
    }
    mem_free(f);
}
