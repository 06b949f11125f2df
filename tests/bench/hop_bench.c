/* SPDX-License-Identifier: Apache-2.0
 * hop_bench.c - one hop between services: a row scored over gRPC, beside nghttpd with the same bytes both ways.
 * h2load is the client of both, turn by turn.
 *
 *   hop_bench ASSAY HOME STREAM KEY     a running cluster with a model */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/clock.h"
#include "bench/probe.h"
#include "bench/report.h"
#include "bench/target.h"
#include "grpc/client.h"
#include "loop/loop.h"
#include "pg/session.h"
#include "proto/assay.pb-c.h"

#define METHOD_PATH "/assay.v1.Scoring/Score"

enum { ROUNDS = 5, FRAME_HEADER = 5 };

static const struct {
    const char *name, *options[8];
    size_t requests;
} cases[] = {
    { "hop/one row at a time",
      { "-c1", "-m1", "-H", "content-type: application/grpc", "-H", "te: trailers" },
      5000 },
    { "hop/one row, 32 under way",
      { "-c1", "-m32", "-H", "content-type: application/grpc", "-H", "te: trailers" },
      20000 },
};

struct hop {
    struct target target;
    struct arena arena;
    Assay__V1__ScoreRequest request;
    Assay__V1__ScoreRequest__Row row, *rows;
    struct loop *loop;
    enum err err;
    struct why why;
    size_t reply_bytes, contributions; /* of the one answer that was looked at */
};

static struct slice keep(struct hop *h, struct slice bytes)
{
    return slice_of(arena_strndup(&h->arena, bytes.ptr, bytes.len), bytes.len);
}

/* The vector of the newest decision here that has one. */
static void make_request(struct hop *h)
{
    struct pg_session *s;
    struct pg_result *r = NULL;
    struct slice plan, vector;

    if (pg_session_open(&s, h->target.pg_url, "bench", &h->why) ||
        pg_exec(s,
                "SELECT plan, vector FROM decisions WHERE n IS NOT NULL AND score IS NOT NULL ORDER BY n "
                "DESC LIMIT 1",
                NULL, &r, &h->why))
        bench_fail("hop: %s", h->why.text);
    if (pg_rows(r) == 0)
        bench_fail("hop: no decision with a score");
    plan = keep(h, pg_get_bytes(r, 0, 0));
    vector = keep(h, pg_get_bytes(r, 0, 1));
    pg_result_free(r);
    pg_session_close(s);
    assay__v1__score_request__init(&h->request);
    assay__v1__score_request__row__init(&h->row);
    h->request.plan = (ProtobufCBinaryData){ plan.len, (uint8_t *)(uintptr_t)plan.ptr };
    h->row.vector = (ProtobufCBinaryData){ vector.len, (uint8_t *)(uintptr_t)vector.ptr };
    h->rows = &h->row;
    h->request.rows = &h->rows;
    h->request.n_rows = 1;
}

static void on_score(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct hop *h = arg;
    const Assay__V1__ScoreResponse *said = (const Assay__V1__ScoreResponse *)reply;

    h->err = err;
    if (err) {
        h->why = *why;
    } else {
        h->reply_bytes = protobuf_c_message_get_packed_size(reply);
        h->contributions = said->n_rows == 1 ? said->rows[0]->n_contributions : 0;
    }
    loop_stop(h->loop);
}

/* One call whose answer is looked at: h2load only counts. */
static void look_at_one(struct hop *h)
{
    char address[32];
    struct http_client_conf conf = { .address = address };
    struct grpc_channel *channel;

    snprintf(address, sizeof address, "127.0.0.1:%d", target_find(&h->target, "scoring")->port);
    if (loop_open(&h->loop, &h->why) || grpc_channel_open(&channel, h->loop, &conf, &h->why))
        bench_fail("hop: %s", h->why.text);
    grpc_call(channel, &assay__v1__scoring__descriptor, "Score", &h->request.base,
              clock_mono_us() + 5 * SECOND_US, &h->arena, on_score, h);
    loop_run(h->loop);
    if (h->err || h->contributions == 0)
        bench_fail("hop: the row was not scored: %s", h->why.text);
    grpc_channel_close(channel);
    loop_close(h->loop);
}

/* A message as gRPC frames it: uncompressed, its length, its bytes. */
static void write_request(const struct hop *h, const char *path)
{
    unsigned char bytes[1 << 16] = { 0 };
    size_t len = protobuf_c_message_get_packed_size(&h->request.base);

    if (len + FRAME_HEADER > sizeof bytes)
        bench_fail("hop: a vector of that size was not thought of");
    for (size_t i = 0; i < 4; i++)
        bytes[1 + i] = (unsigned char)(len >> (24 - 8 * i));
    protobuf_c_message_pack(&h->request.base, bytes + FRAME_HEADER);
    write_file(path, slice_of(bytes, len + FRAME_HEADER));
}

/* What nghttpd answers the same path with: as many bytes. */
static void write_reply(const struct hop *h, const char *dir)
{
    char path[600], bytes[1 << 16];

    snprintf(path, sizeof path, "%s/assay.v1.Scoring", dir);
    if (h->reply_bytes + FRAME_HEADER > sizeof bytes || mkdir(dir, 0755) || mkdir(path, 0755))
        bench_fail("hop: cannot make %s", path);
    memset(bytes, 'x', sizeof bytes);
    snprintf(path, sizeof path, "%s" METHOD_PATH, dir);
    write_file(path, slice_of(bytes, h->reply_bytes + FRAME_HEADER));
}

static double measure(int port, size_t i, const char *body)
{
    struct h2load l = h2load_run(port, METHOD_PATH, cases[i].requests, cases[i].options, body, false);

    if (!l.is_good)
        bench_fail("hop: not all calls were answered: %s", cases[i].name);
    return 1e6 / l.requests_per_s;
}

int main(int argc, char **argv)
{
    struct hop h = { 0 };
    struct nghttpd floor;
    char dir[512], body[600], note[160];

    target_open(&h.target, argc, argv);
    if (!nghttpd_is_there()) {
        report_skipped("hop", "nghttpd or h2load is not installed");
        return 0;
    }
    json_decref(target_send(&h.target, &(struct sending){ .transactions = 500, .in_flight = 16 }));
    make_request(&h);
    look_at_one(&h);
    snprintf(dir, sizeof dir, "%s/hop", h.target.home);
    write_reply(&h, dir);
    snprintf(body, sizeof body, "%s/request", dir);
    write_request(&h, body);
    nghttpd_start(&floor, dir);
    snprintf(note, sizeof note, "vector of %zu columns, %zu bytes back, %zu contributions; best of %d rounds",
             h.row.vector.len / 4, h.reply_bytes, h.contributions, ROUNDS);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double ours = INFINITY, theirs = INFINITY;

        for (int round = 0; round < ROUNDS; round++) {
            ours = fmin(ours, measure(target_find(&h.target, "scoring")->port, i, body));
            theirs = fmin(theirs, measure(floor.port, i, body));
        }
        report(&(struct result){ .name = cases[i].name,
                                 .value = ours,
                                 .unit = "us",
                                 .baseline = theirs,
                                 .against = "nghttpd, the same bytes both ways",
                                 .goals = { { RATIO_AT_MOST, 1.5 } },
                                 .note = note });
    }
    nghttpd_end(&floor);
    target_close(&h.target);
    arena_release(&h.arena);
    return 0;
}
