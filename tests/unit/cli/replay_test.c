/* SPDX-License-Identifier: Apache-2.0
 * replay_test.c - replaying a stream against a server that stands in for the API, in a process of its own. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../services/cli/replay.h"
#include "../../../services/cli/line.h"
#include "base/array.h"
#include "http/server.h"

enum { TRANSACTIONS = 500, LABELS = 50 };

/* ---- the stand-in: an id that ends in 7 is refused for the moment the first time, "bad" for good ---- */

static size_t attempts;

static void add_decision(struct buf *out, struct slice id)
{
    char last = id.ptr[id.len - 1];

    buf_printf(out, "{\"transaction_id\":\"%.*s\",\"action\":\"%s\",\"score\":0.%c,\"degraded\":[%s]}",
               SLICE_ARG(id), last == '9' ? "decline" : "approve", last, last == '5' ? "\"scoring\"" : "");
}

static struct slice id_of(struct slice body)
{
    struct line_member m = { 0 };
    bool is_broken;
    size_t at = 0;

    while (line_next(body, &at, &m, &is_broken))
        if (slice_eq_str(m.name, "transaction_id"))
            return line_string(m.value);
    return SLICE("?");
}

static void on_transaction(void *service, struct http_request *req)
{
    struct slice id = id_of(req->body);
    struct buf out;

    (void)service;
    if (id.ptr[id.len - 1] == '7' && attempts++ % 2 == 0) {
        http_reply_problem(req, 503, "come back");
        return;
    }
    if (slice_eq_str(id, "bad")) {
        http_reply_problem(req, 422, "no");
        return;
    }
    buf_init(&out, 0);
    add_decision(&out, id);
    http_reply(req,
               &(struct http_reply){ .status = 200, .type = "application/json", .body = buf_slice(&out) });
    buf_release(&out);
}

static void on_batch(void *service, struct http_request *req)
{
    struct line_member m = { 0 };
    struct slice element;
    struct buf out;
    bool is_broken;
    size_t at = 0, n = 0;

    (void)service;
    line_next(req->body, &at, &m, &is_broken);
    buf_init(&out, 0);
    buf_add_str(&out, "{\"results\":[");
    for (at = 0; line_next_element(m.value, &at, &element, &is_broken); n++) {
        buf_printf(&out, "%s{\"status\":200,\"decision\":", n ? "," : "");
        add_decision(&out, id_of(element));
        buf_add_char(&out, '}');
    }
    buf_add_str(&out, "]}");
    http_reply(req,
               &(struct http_reply){ .status = 200, .type = "application/json", .body = buf_slice(&out) });
    buf_release(&out);
}

static void on_label(void *service, struct http_request *req)
{
    (void)service;
    http_reply(req, &(struct http_reply){ .status = 202 });
}

static const struct http_route routes[] = {
    { "POST", "/v1/transactions", on_transaction, 0 },
    { "POST", "/v1/transactions:batch", on_batch, 0 },
    { "POST", "/v1/labels", on_label, 0 },
};

static pid_t server;
static char url[64], path[] = "/tmp/assay-stream-XXXXXX";
static struct replay_result *result;
static struct tally_figures figures;
static struct why why;

static void serve(int to_parent)
{
    struct loop *loop;
    struct http_server *s;
    struct http_server_conf conf = { .name = "api", .host = "127.0.0.1" };
    int port;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (loop_open(&loop, &why) || http_server_open(&s, loop, &conf, NULL, &why))
        _exit(1);
    http_server_add_routes(s, routes, ARRAY_LEN(routes), NULL);
    port = http_server_port(s);
    if (write(to_parent, &port, sizeof port) != sizeof port)
        _exit(1);
    loop_run(loop);
    _exit(0);
}

static void write_stream(void)
{
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");

    for (int i = 0; i < TRANSACTIONS; i++) {
        fprintf(f, "{\"type\":\"transaction\",\"transaction_id\":\"t%d\",\"amount\":%d}\n", i, 100 + i);
        if (i % 10 == 9) /* those whose score is highest */
            fprintf(
                f,
                "{\"type\":\"label\",\"transaction_id\":\"t%d\",\"is_fraud\":true,\"source\":\"issuer\"}\n",
                i);
    }
    fclose(f);
}

static void setup(void)
{
    int ends[2], port;

    write_stream();
    cr_assert_eq(pipe(ends), 0);
    server = fork();
    if (server == 0)
        serve(ends[1]);
    cr_assert_eq(read(ends[0], &port, sizeof port), sizeof port);
    close(ends[0]);
    close(ends[1]);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    result = calloc(1, sizeof *result);
}

static void teardown(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    unlink(path);
    tally_release(&result->tally);
    free(result);
}

TestSuite(replay, .init = setup, .fini = teardown, .timeout = 120);

static struct replay_conf conf_of(void)
{
    return (struct replay_conf){ .from = path,
                                 .urls = url,
                                 .in_flight = 16,
                                 .connections = 2,
                                 .batch = 1,
                                 .deadline_ms = 2000,
                                 .patience_s = 10 };
}

static void check_result(void)
{
    cr_assert_eq(result->tally.decided, TRANSACTIONS);
    cr_assert_eq(result->tally.lost, 0);
    cr_assert_eq(result->tally.labels, LABELS);
    cr_assert_eq(result->tally.degraded, TRANSACTIONS / 10);
    tally_figures(&result->tally, &figures);
    cr_assert_eq(figures.frauds, LABELS);
    cr_assert_eq(figures.cells[ACTION_DECLINE][1].count, LABELS);
    cr_assert_eq(figures.cells[ACTION_DECLINE][0].count, 0);
    cr_assert_float_eq(figures.auc_roc, 1, 1e-9);
    cr_assert_eq(figures.latency_us.n, TRANSACTIONS);
}

Test(replay, sends_a_stream_to_its_end_and_again_what_was_put_off)
{
    struct replay_conf conf = conf_of();

    cr_assert_eq(replay_run(&conf, result, &why), ERR_OK, "%s", why.text);
    cr_assert_gt(result->tally.retries, 0);
    check_result();
}

Test(replay, sends_batches_and_labels_in_their_place)
{
    struct replay_conf conf = conf_of();

    conf.batch = 7;
    cr_assert_eq(replay_run(&conf, result, &why), ERR_OK, "%s", why.text);
    check_result();
    cr_assert_eq(result->requests, (uint64_t)(TRANSACTIONS / 10 * 2 + LABELS)); /* 7 + 3 between two labels */
}

Test(replay, keeps_to_a_rate_and_stops_at_a_limit)
{
    struct replay_conf conf = conf_of();

    conf.rate = 2000;
    conf.limit = 200;
    cr_assert_eq(replay_run(&conf, result, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(result->tally.decided, 200);
    cr_assert_geq(result->seconds, 0.0995);
}

Test(replay, counts_what_is_refused_for_good_and_says_why)
{
    struct replay_conf conf = conf_of();
    FILE *f = fopen(path, "w");

    fprintf(f, "{\"type\":\"transaction\",\"transaction_id\":\"bad\",\"amount\":1}\n");
    fclose(f);
    cr_assert_eq(replay_run(&conf, result, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(result->tally.decided, 0);
    cr_assert_eq(result->tally.statuses[422], 1);
    cr_assert(strstr(result->first_fault.text, "422"), "%s", result->first_fault.text);
}

Test(replay, gives_up_on_what_stays_away_and_stops_at_a_broken_line)
{
    struct replay_conf conf = conf_of();

    conf.urls = "http://127.0.0.1:1";
    conf.patience_s = 0;
    conf.limit = 3;
    cr_assert_eq(replay_run(&conf, result, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(result->tally.lost, 3);
    tally_release(&result->tally);
    truncate(path, 100);
    conf.urls = url;
    conf.limit = 0;
    cr_assert_eq(replay_run(&conf, result, &why), ERR_SYNTAX);
    cr_assert(strstr(why.text, "line 2"), "%s", why.text);
}
