/* SPDX-License-Identifier: Apache-2.0
 * labels.c - POST /v1/labels and :batch: what turned out to be fraud, and what did not.
 *
 * Labels go to features, which owns the log. While it is away they wait in the outbox, in the order in which
 * they came, and the answer is "queued". */
#include "base/array.h"
#include "base/clock.h"
#include "exchange.h"
#include "log/log.h"
#include "part.h"
#include "proto/txn_proto.h"

enum { BATCH_MAX = 1000, BATCH_BYTES = 1 << 20, ONE_BYTES = 16 << 10, SQL_TIME_US = 5000000 };

static const char batch_list[] = "labels";

struct labelling {
    struct exchange *x;
    bool is_batch;
    size_t count, sound;
    struct labelled {
        struct label label;
        struct faults faults;
        bool is_forbidden;
        int status;
        const char *word;
    } * items;
    enum err err; /* of all that were sound */
    struct why why;
};

static void item_problem(const struct labelling *l, const struct labelled *item, struct problem *p)
{
    if (item->faults.count)
        *p = (struct problem){ .status = 422,
                               .detail = SLICE("the request breaks the rules named in errors"),
                               .faults = &item->faults };
    else if (item->is_forbidden)
        *p =
            (struct problem){ .status = 403, .detail = SLICE("this key may not give labels of this source") };
    else
        problem_of(p, l->err, &l->why);
}

static void write_label(struct json_out *o, const struct labelled *item)
{
    json_out_text(o, "transaction_id", item->label.transaction_id);
    json_out_str(o, "label", item->word);
}

static void answer(struct labelling *l)
{
    struct exchange *x = l->x;
    struct problem p;
    struct json_out o;
    struct buf out;
    int status = 200;

    buf_init(&out, 0);
    o = json_out_to(&out);
    json_out_open(&o, NULL);
    if (l->is_batch)
        json_out_list(&o, "results");
    for (size_t i = 0; i < l->count; i++) {
        const struct labelled *item = &l->items[i];

        if (item->word)
            count(x->in, M_LABELS, item->word);
        if (!l->is_batch && item->word) {
            write_label(&o, item);
            status = item->status;
        } else if (!l->is_batch) {
            item_problem(l, item, &p);
            buf_clear(&out);
            o = json_out_to(&out);
            problem_write(&o, NULL, &p);
            exchange_reply(x, p.status, buf_slice(&out));
            buf_release(&out);
            return;
        } else {
            json_out_open(&o, NULL);
            if (item->word) {
                json_out_int(&o, "status", item->status);
                write_label(&o, item);
            } else {
                item_problem(l, item, &p);
                x->is_passing |= status_is_passing(p.status);
                json_out_int(&o, "status", p.status);
                if (item->label.transaction_id.len)
                    json_out_text(&o, "transaction_id", item->label.transaction_id);
                problem_write(&o, "problem", &p);
            }
            json_out_end(&o);
        }
    }
    if (l->is_batch)
        json_out_end(&o);
    json_out_end(&o);
    exchange_reply(x, status, buf_slice(&out));
    buf_release(&out);
}

static bool is_sound(const struct labelled *item)
{
    return !item->faults.count && !item->is_forbidden;
}

static void on_queued(void *ctx, const struct pg_reply *reply)
{
    struct labelling *l = ctx;

    if (reply->err) {
        bool is_refused = reply->err == ERR_INTERNAL || pg_reply_is_data_error(reply);

        l->err = is_refused
                     ? err_set(&l->why, ERR_INTERNAL, "the database cannot store this")
                     : err_set(&l->why, ERR_UNAVAILABLE, "the labels could not be stored; send them again");
        if (is_refused)
            log_limited(LOG_ERROR, "labels_refused", "reason=%s trace=%.*s",
                        log_quoted(slice_str(reply->why.text)), SLICE_ARG(trace_id(&l->x->trace)));
    }
    for (size_t i = 0; !reply->err && i < l->count; i++) {
        if (is_sound(&l->items[i])) {
            l->items[i].status = 202;
            l->items[i].word = "queued";
        }
    }
    answer(l);
}

static void queue(struct labelling *l)
{
    struct exchange *x = l->x;
    struct pg_unit *unit = pg_unit_new(x->in->pg);
    struct pg_params *p = pg_unit_add(unit, SQL_LABELS);
    struct pg_array *account = pg_add_array(p, PG_INT4), *id = pg_add_array(p, PG_TEXT),
                    *known_at = pg_add_array(p, PG_TIMESTAMPTZ), *body = pg_add_array(p, PG_BYTEA);

    for (size_t i = 0; i < l->count; i++) {
        const struct label *label = &l->items[i].label;

        if (!is_sound(&l->items[i]))
            continue;
        pg_array_i32(account, (int32_t)label->account);
        pg_array_text(id, label->transaction_id);
        pg_array_time_us(known_at, label->known_at_us);
        pg_array_bytes(body, label_pack(label, &x->req->arena));
    }
    pg_unit_send(unit, clock_mono_us() + SQL_TIME_US, on_queued, l);
}

static const struct {
    int http;
    const char *word;
} statuses[] = {
    [ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__ACCEPTED] = { 200, "accepted" },
    [ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__PENDING] = { 202, "pending" },
    [ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__DUPLICATE] = { 200, "duplicate" },
};

static void on_appended(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    const Assay__V1__AppendLabelsResponse *got = (const void *)reply;
    struct labelling *l = arg;
    size_t next = 0;

    (void)why;
    if (err || got->n_statuses != l->sound) {
        queue(l); /* the very same label twice is one */
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        size_t status;

        if (!is_sound(&l->items[i]))
            continue;
        status = (size_t)got->statuses[next++];
        if (status >= ARRAY_LEN(statuses))
            status = ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__ACCEPTED;
        l->items[i].status = statuses[status].http;
        l->items[i].word = statuses[status].word;
    }
    answer(l);
}

static void append(struct labelling *l)
{
    struct exchange *x = l->x;
    struct arena *arena = &x->req->arena;
    Assay__V1__AppendLabelsRequest *request = arena_new(arena, Assay__V1__AppendLabelsRequest, 1);

    assay__v1__append_labels_request__init(request);
    request->labels = arena_new(arena, Assay__V1__Label *, l->sound);
    for (size_t i = 0; i < l->count; i++) {
        if (is_sound(&l->items[i]))
            request->labels[request->n_labels++] = label_to_proto(&l->items[i].label, arena);
    }
    part_call(x->in->features, "AppendLabels", &request->base, x->deadline_mono_us + SECOND_US,
              x->trace.parent, arena, on_appended, l);
}

static void post(struct exchange *x, bool is_batch)
{
    struct labelling *l = arena_new(&x->req->arena, struct labelling, 1);
    const struct json_value *list = is_batch ? json_member(x->body, batch_list) : NULL;
    const struct json_value *value = is_batch ? list->children.first : x->body;

    l->x = x;
    l->is_batch = is_batch;
    l->count = is_batch ? list->children.count : 1;
    l->items = arena_new(&x->req->arena, struct labelled, l->count);
    for (size_t i = 0; i < l->count; i++, value = value->next) {
        struct json_path root = { .key = batch_list }, at = { .up = &root, .index = i };
        struct labelled *item = &l->items[i];

        item->faults.arena = &x->req->arena;
        item->faults.most = faults_most(l->count);
        if (label_from_json(&item->label, value, &x->rules, is_batch ? &at : NULL, &item->faults))
            item->is_forbidden = !(x->key.scopes & (unsigned)SCOPE_LABEL << item->label.source);
        l->sound += is_sound(item);
    }
    if (l->sound == 0) {
        answer(l);
    } else if (!pg_pool_is_up(x->in->pg)) {
        l->err = err_set(&l->why, ERR_UNAVAILABLE, "the database is missing; nothing was stored");
        answer(l);
    } else {
        append(l);
    }
}

static void post_one(struct exchange *x)
{
    post(x, false);
}

static void post_batch(struct exchange *x)
{
    post(x, true);
}

static const struct exchange_route one = { .name = "POST /v1/labels",
                                           .work = WORK_LABEL,
                                           .scopes = SCOPE_LABEL_ANY,
                                           .need = "label:<source>",
                                           .is_post = true,
                                           .run = post_one };
static const struct exchange_route batch = { .name = "POST /v1/labels:batch",
                                             .work = WORK_LABEL,
                                             .scopes = SCOPE_LABEL_ANY,
                                             .need = "label:<source>",
                                             .is_post = true,
                                             .list = batch_list,
                                             .list_max = BATCH_MAX,
                                             .run = post_batch };

static void on_post(void *service, struct http_request *req)
{
    exchange_begin(service, req, &one);
}

static void on_post_batch(void *service, struct http_request *req)
{
    exchange_begin(service, req, &batch);
}

const struct http_route label_routes[] = {
    { "POST", "/v1/labels", on_post, ONE_BYTES },
    { "POST", "/v1/labels:batch", on_post_batch, BATCH_BYTES },
};
const size_t label_route_count = ARRAY_LEN(label_routes);
