/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/parts.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/array.h"
#include "base/mem.h"
#include "grpc/server.h"
#include "http/server.h"
#include "loop/loop.h"
#include "pg/session.h"
#include "proto/assay.pb-c.h"

static unsigned char plan[32] = "the plan of the fake features..";

static ProtobufCBinaryData bytes(void *data, size_t len)
{
    return (ProtobufCBinaryData){ len, data };
}

/* 1 when the id was new; else whether its hash is the same (0: other). */
static int take_id(struct pg_session *s, const Assay__V1__ComputeRequest__Item *item, uint64_t n,
                   int64_t *known_at, uint64_t *place)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why;
    int is_new, is_same;

    pg_add_i32(&p, (int32_t)item->transaction->account);
    pg_add_text(&p, slice_str(item->transaction->id));
    pg_add_bytes(&p, slice_of(item->body_hash.data, item->body_hash.len));
    pg_add_i64(&p, (int64_t)n);
    pg_add_time_us(&p, item->transaction->known_at_us);
    if (pg_exec(
            s,
            "WITH made AS (INSERT INTO transaction_ids (account, id, body_hash, epoch, n, known_at) VALUES "
            "($1::int4, $2::text, $3::bytea, 1, $4::int8, $5::timestamptz) ON CONFLICT DO NOTHING "
            "RETURNING known_at) SELECT true, true, known_at, $4::int8 FROM made UNION ALL "
            "SELECT false, body_hash = $3::bytea, known_at, n FROM transaction_ids WHERE account = $1::int4 "
            "AND "
            "id = $2::text",
            &p, &r, &why)) {
        fprintf(stderr, "fake features: %s\n", why.text);
        _exit(1);
    }
    if (pg_rows(r) == 0) { /* another took it since this statement began: the next one sees that */
        pg_result_free(r);
        pg_params_release(&p);
        return take_id(s, item, n, known_at, place);
    }
    is_new = pg_get_bool(r, 0, 0);
    is_same = pg_get_bool(r, 0, 1);
    *known_at = pg_get_time_us(r, 0, 2);
    *place = (uint64_t)pg_get_int(r, 0, 3);
    pg_result_free(r);
    pg_params_release(&p);
    return is_new ? 1 : is_same ? 2 : 0;
}

static void on_compute(void *service, struct grpc_request *req, const ProtobufCMessage *message)
{
    static uint64_t n;
    const Assay__V1__ComputeRequest *m = (const void *)message;
    struct arena *a = grpc_request_arena(req);
    Assay__V1__ComputeResponse reply = ASSAY__V1__COMPUTE_RESPONSE__INIT;

    reply.epoch = 1;
    reply.plan = bytes(plan, sizeof plan);
    reply.n_items = m->n_items;
    reply.items = arena_new(a, Assay__V1__ComputeResponse__Item *, m->n_items);
    for (size_t i = 0; i < m->n_items; i++) {
        Assay__V1__ComputeResponse__Item *item = arena_new(a, Assay__V1__ComputeResponse__Item, 1);
        float *vector = arena_new(a, float, 2);
        int taken;

        assay__v1__compute_response__item__init(item);
        taken = take_id(service, m->items[i], ++n, &item->known_at_us, &item->n);
        item->status = taken == 1   ? ASSAY__V1__COMPUTE_RESPONSE__STATUS__ADDED
                       : taken == 2 ? ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN
                                    : ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT;
        vector[0] = (float)m->items[i]->transaction->amount_base_minor;
        vector[1] = 1;
        if (taken)
            item->vector = bytes(vector, 2 * sizeof *vector);
        reply.items[i] = item;
    }
    grpc_reply(req, &reply.base);
}

static void on_append_labels(void *service, struct grpc_request *req, const ProtobufCMessage *message)
{
    const Assay__V1__AppendLabelsRequest *m = (const void *)message;
    Assay__V1__AppendLabelsResponse reply = ASSAY__V1__APPEND_LABELS_RESPONSE__INIT;

    reply.n_statuses = m->n_labels;
    reply.statuses = arena_new(grpc_request_arena(req), Assay__V1__AppendLabelsResponse__Status, m->n_labels);
    for (size_t i = 0; i < m->n_labels; i++) {
        struct pg_params p = { 0 };
        struct pg_result *r = NULL;
        struct why why;

        pg_add_i32(&p, (int32_t)m->labels[i]->account);
        pg_add_text(&p, slice_str(m->labels[i]->transaction_id));
        if (pg_exec(service, "SELECT 1 FROM transaction_ids WHERE account = $1::int4 AND id = $2::text", &p,
                    &r, &why))
            _exit(1);
        reply.statuses[i] = pg_rows(r) ? ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__ACCEPTED
                                       : ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__PENDING;
        pg_result_free(r);
        pg_params_release(&p);
    }
    grpc_reply(req, &reply.base);
}

static void on_score(void *service, struct grpc_request *req, const ProtobufCMessage *message)
{
    static Assay__V1__Thresholds thresholds = ASSAY__V1__THRESHOLDS__INIT;
    static Assay__V1__ScoreResponse__Model model = ASSAY__V1__SCORE_RESPONSE__MODEL__INIT,
                                           other = ASSAY__V1__SCORE_RESPONSE__MODEL__INIT,
                                           *models[] = { &model, &other };
    static Assay__V1__Contribution contribution = ASSAY__V1__CONTRIBUTION__INIT,
                                   *contributions[] = { &contribution };
    const Assay__V1__ScoreRequest *m = (const void *)message;
    struct arena *a = grpc_request_arena(req);
    Assay__V1__ScoreResponse reply = ASSAY__V1__SCORE_RESPONSE__INIT;

    (void)service;
    thresholds.challenge = 0.6;
    thresholds.review = 0.7;
    thresholds.decline = 0.8;
    model.version = arena_strndup(a, "7", 1);
    other.version = arena_strndup(a, "8", 1);
    model.thresholds = other.thresholds = &thresholds;
    contribution.feature = arena_strndup(a, "amount", 6);
    contribution.describe = arena_strndup(a, "the amount", 10);
    contribution.margin = 1.5;
    reply.models = models;
    reply.n_models = 2;
    reply.n_rows = m->n_rows;
    reply.rows = arena_new(a, Assay__V1__ScoreResponse__Row *, m->n_rows);
    for (size_t i = 0; i < m->n_rows; i++) {
        Assay__V1__ScoreResponse__Row *row = arena_new(a, Assay__V1__ScoreResponse__Row, 1);
        float amount = NAN;

        assay__v1__score_response__row__init(row);
        if (m->rows[i]->vector.len >= sizeof amount)
            memcpy(&amount, m->rows[i]->vector.data, sizeof amount);
        row->score = isnan(amount) ? 0.5 : amount >= 10000 ? 0.9 : 0.1;
        row->margin = (float)(row->score - 0.5);
        row->model = amount >= 4000 && amount < 5000;
        row->arm = row->model ? arena_strndup(a, "challenger", 10) : arena_strndup(a, "champion", 8);
        row->contributions = contributions;
        row->n_contributions = 1;
        reply.rows[i] = row;
    }
    grpc_reply(req, &reply.base);
}

static Assay__V1__Reason *reason(struct arena *a, const char *code, const char *text, bool is_public)
{
    Assay__V1__Reason *r = arena_new(a, Assay__V1__Reason, 1);

    assay__v1__reason__init(r);
    r->code = arena_strndup(a, code, strlen(code));
    r->text = arena_strndup(a, text, strlen(text));
    r->detail = arena_strndup(a, "the detail", 10);
    r->is_public = is_public;
    return r;
}

static void on_decide(void *service, struct grpc_request *req, const ProtobufCMessage *message)
{
    const Assay__V1__DecideRequest *m = (const void *)message;
    struct arena *a = grpc_request_arena(req);
    Assay__V1__DecideResponse reply = ASSAY__V1__DECIDE_RESPONSE__INIT;

    (void)service;
    reply.ruleset_version = arena_strndup(a, "3", 1);
    reply.n_items = m->n_items;
    reply.items = arena_new(a, Assay__V1__DecideResponse__Item *, m->n_items);
    for (size_t i = 0; i < m->n_items; i++) {
        Assay__V1__DecideResponse__Item *item = arena_new(a, Assay__V1__DecideResponse__Item, 1);
        const Assay__V1__DecideRequest__Item *asked = m->items[i];

        assay__v1__decide_response__item__init(item);
        if (asked->has_score && asked->score >= asked->thresholds->decline)
            item->action = item->score_action = ASSAY__V1__ACTION__DECLINE;
        item->decided_by = ASSAY__V1__DECIDED_BY__BY_THRESHOLD;
        item->reasons = arena_new(a, Assay__V1__Reason *, 2);
        item->reasons[item->n_reasons++] = reason(a, "feature:amount", "a public reason", true);
        item->reasons[item->n_reasons++] = reason(a, "rule:r1", "a private reason", false);
        if (strcmp(asked->transaction->customer_id, "deny-me") == 0) {
            Assay__V1__FiredRule *rule = arena_new(a, Assay__V1__FiredRule, 1);

            assay__v1__fired_rule__init(rule);
            rule->id = arena_strndup(a, "r1", 2);
            rule->name = arena_strndup(a, "the secret rule", 15);
            rule->expression = arena_strndup(a, "tx.customer_id == \"deny-me\"", 27);
            rule->values = arena_strndup(a, "v", 1);
            rule->action = item->action = ASSAY__V1__ACTION__DECLINE;
            item->decided_by = ASSAY__V1__DECIDED_BY__BY_RULE;
            item->rules = arena_new(a, Assay__V1__FiredRule *, 1);
            item->rules[item->n_rules++] = rule;
        }
        reply.items[i] = item;
    }
    grpc_reply(req, &reply.base);
}

static const struct grpc_method methods[][2] = {
    [FAKE_FEATURES] = { { &assay__v1__features__descriptor, "Compute", on_compute },
                        { &assay__v1__features__descriptor, "AppendLabels", on_append_labels } },
    [FAKE_SCORING] = { { &assay__v1__scoring__descriptor, "Score", on_score } },
    [FAKE_RULES] = { { &assay__v1__rules__descriptor, "Decide", on_decide } },
};

/* The plan that the vectors are said to be of: the one in the database, where there is one. */
static void find_plan(struct pg_session *s)
{
    struct pg_result *r = NULL;
    struct why why;

    if (!pg_exec(s, "SELECT plan FROM plans", NULL, &r, &why) && pg_rows(r) == 1)
        memcpy(plan, pg_get_bytes(r, 0, 0).ptr, sizeof plan);
    pg_result_free(r);
}

static void serve(enum fake which, int port, const char *conninfo, int ready_fd)
{
    struct http_server_conf conf = { .host = "127.0.0.1", .port = port };
    struct pg_session *session = NULL;
    struct http_server *http;
    struct loop *loop;
    struct why why = { 0 };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if ((which == FAKE_FEATURES && pg_session_open(&session, conninfo, "fake", &why)) ||
        loop_open(&loop, &why) || http_server_open(&http, loop, &conf, NULL, &why)) {
        fprintf(stderr, "fake part: %s\n", why.text);
        _exit(1);
    }
    if (session)
        find_plan(session);
    grpc_server_add(grpc_server_new(http, NULL), methods[which], which == FAKE_FEATURES ? 2 : 1, session);
    if (write(ready_fd, "r", 1) != 1)
        _exit(1);
    loop_run(loop);
    _exit(0);
}

void fake_start(struct process *p, enum fake which, int port, const char *conninfo)
{
    int fds[2];
    char byte;

    *p = (struct process){ .port = port };
    cr_assert_eq(pipe(fds), 0);
    p->pid = fork();
    cr_assert_geq(p->pid, 0);
    if (p->pid == 0) {
        close(fds[0]);
        serve(which, port, conninfo, fds[1]);
    }
    close(fds[1]);
    cr_assert_eq(read(fds[0], &byte, 1), 1, "the fake part did not start");
    close(fds[0]);
}
