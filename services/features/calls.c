/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

#include "features.h"
#include "proto/assay.pb-c.h"
#include "proto/txn_proto.h"

enum { CALL_ITEMS_MAX = 4096 };

/* Years 1970 to 2100: what partitions may be made for. */
static const int64_t known_at_most_us = INT64_C(4102444800000000);

static const Assay__V1__ComputeResponse__Status compute_status[] = {
    [FATE_OPEN] = ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT, /* never: a batch ends with none open */
    [FATE_ADDED] = ASSAY__V1__COMPUTE_RESPONSE__STATUS__ADDED,
    [FATE_KNOWN] = ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN,
    [FATE_CONFLICT] = ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT,
    [FATE_FAILED] = ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT, /* never: the call fails */
};

static ProtobufCBinaryData bytes_of(struct slice s)
{
    return (ProtobufCBinaryData){ .len = s.len, .data = (uint8_t *)(uintptr_t)s.ptr };
}

static void count_call(struct features *f, const struct call *call, enum err err)
{
    size_t series =
        metric_series(f->metrics, M_CALLS, call->is_labels ? "AppendLabels" : "Compute", err_name(err));

    metric_inc(f->metrics, M_CALLS, series);
}

static void reply_vectors(struct features *f, struct call *call)
{
    Assay__V1__ComputeResponse reply = ASSAY__V1__COMPUTE_RESPONSE__INIT;
    Assay__V1__ComputeResponse__Item *items =
        arena_new(call->arena, Assay__V1__ComputeResponse__Item, call->count + 1);

    reply.items = arena_new(call->arena, Assay__V1__ComputeResponse__Item *, call->count + 1);
    reply.n_items = call->count;
    for (size_t i = 0; i < call->count; i++) {
        const struct item *item = &call->items[i];

        assay__v1__compute_response__item__init(&items[i]);
        items[i].status = compute_status[item->fate];
        items[i].known_at_us = item->known_at_us;
        if (item->fate != FATE_CONFLICT) {
            items[i].n = item->n;
            items[i].vector = bytes_of(item->vector);
        }
        reply.items[i] = &items[i];
    }
    reply.epoch = f->epoch;
    reply.plan = bytes_of(slice_of(plan_hash(replica_plan(f->replica)), SHA256_BYTES));
    grpc_reply(call->request, &reply.base);
}

static void reply_statuses(struct call *call)
{
    Assay__V1__AppendLabelsResponse reply = ASSAY__V1__APPEND_LABELS_RESPONSE__INIT;

    reply.statuses = arena_new(call->arena, Assay__V1__AppendLabelsResponse__Status, call->count + 1);
    reply.n_statuses = call->count;
    for (size_t i = 0; i < call->count; i++)
        reply.statuses[i] = call->items[i].fate == FATE_KNOWN
                                ? ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__DUPLICATE
                            : call->items[i].is_pending ? ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__PENDING
                                                        : ASSAY__V1__APPEND_LABELS_RESPONSE__STATUS__ACCEPTED;
    grpc_reply(call->request, &reply.base);
}

void calls_reply(struct features *f, struct call *call, enum err err, const struct why *why)
{
    struct why refused;

    for (size_t i = 0; !err && i < call->count; i++)
        if (call->items[i].fate == FATE_FAILED) {
            err = err_set(&refused, ERR_INVALID, "items[%zu] cannot be stored", i);
            why = &refused;
        }
    count_call(f, call, err);
    if (err)
        grpc_fail(call->request, err, why);
    else if (call->is_labels)
        reply_statuses(call);
    else
        reply_vectors(f, call);
}

/* ---- methods ---- */

/* What PostgreSQL or the log would not take is refused before anything is written. */
static enum err check_item(const struct item *item, size_t at, int64_t known_at_us, struct why *why)
{
    if (item->account == 0 || item->account > INT32_MAX)
        return err_set(why, ERR_INVALID, "items[%zu]: no account", at);
    if (!item->id.len || item->id.len > TXN_ID_MAX || !slice_is_utf8(item->id))
        return err_set(why, ERR_INVALID, "items[%zu]: the id must be UTF-8 of 1 to %d bytes", at, TXN_ID_MAX);
    if (known_at_us < 0 || known_at_us >= known_at_most_us)
        return err_set(why, ERR_INVALID, "items[%zu]: known_at is not between 1970 and 2100", at);
    return ERR_OK;
}

static void pack_body(struct item *item, const ProtobufCMessage *message)
{
    unsigned char *body =
        (unsigned char *)arena_alloc(item->call->arena, 1, protobuf_c_message_get_packed_size(message));

    item->body = slice_of(body, protobuf_c_message_pack(message, body));
}

static enum err read_txn(struct item *item, size_t at, const Assay__V1__ComputeRequest__Item *message,
                         struct why *why)
{
    enum err err;

    if (!message->transaction || message->body_hash.len != SHA256_BYTES)
        return err_set(why, ERR_INVALID, "items[%zu]: a transaction and the SHA-256 of its body are needed",
                       at);
    err = txn_from_proto(&item->txn, message->transaction, item->call->arena, why);
    if (err)
        return err_wrap(why, err, "items[%zu]", at);
    item->kind = ENTRY_TXN;
    item->account = item->txn.account;
    item->id = item->txn.id;
    item->body_hash = message->body_hash.data;
    pack_body(item, &message->transaction->base);
    return check_item(item, at, item->txn.known_at_us, why);
}

static enum err read_label(struct item *item, size_t at, const Assay__V1__Label *message, struct why *why)
{
    label_from_proto(&item->label, message);
    if ((unsigned)item->label.source >= LABEL_SOURCE_COUNT)
        return err_set(why, ERR_INVALID, "labels[%zu]: no such source", at);
    if (item->label.labelled_at_us < 0 || item->label.labelled_at_us >= known_at_most_us)
        return err_set(why, ERR_INVALID, "labels[%zu]: labelled_at is not between 1970 and 2100", at);
    item->kind = ENTRY_LABEL;
    item->account = item->label.account;
    item->id = item->label.transaction_id;
    item->known_at_us = item->label.known_at_us;
    pack_body(item, &message->base);
    return check_item(item, at, item->label.known_at_us, why);
}

static void refuse(struct features *f, struct call *call, enum err err, const struct why *why)
{
    count_call(f, call, err);
    grpc_fail(call->request, err, why);
}

/* A call for `count` items of this request, or NULL when there are too many (it is answered then). */
static struct call *call_open(struct features *f, struct grpc_request *r, size_t count, bool is_labels)
{
    struct call *call = call_new(grpc_request_arena(r), r, count <= CALL_ITEMS_MAX ? count : 0);
    struct why why;

    call->is_labels = is_labels;
    call->deadline_us = grpc_request_deadline(r);
    if (count <= CALL_ITEMS_MAX)
        return call;
    refuse(f, call, err_set(&why, ERR_TOO_LARGE, "%zu items are more than %d", count, CALL_ITEMS_MAX), &why);
    return NULL;
}

static void on_compute(void *service, struct grpc_request *r, const ProtobufCMessage *message)
{
    const Assay__V1__ComputeRequest *request = (const Assay__V1__ComputeRequest *)message;
    struct features *f = service;
    struct call *call = call_open(f, r, request->n_items, false);
    struct why why;
    enum err err = ERR_OK;

    if (!call)
        return;
    for (size_t i = 0; !err && i < call->count; i++)
        err = read_txn(&call->items[i], i, request->items[i], &why);
    if (err)
        refuse(f, call, err, &why);
    else
        batch_add_call(f, call);
}

static void on_append_labels(void *service, struct grpc_request *r, const ProtobufCMessage *message)
{
    const Assay__V1__AppendLabelsRequest *request = (const Assay__V1__AppendLabelsRequest *)message;
    struct features *f = service;
    struct call *call = call_open(f, r, request->n_labels, true);
    struct why why;
    enum err err = ERR_OK;

    if (!call)
        return;
    for (size_t i = 0; !err && i < call->count; i++)
        err = read_label(&call->items[i], i, request->labels[i], &why);
    if (err)
        refuse(f, call, err, &why);
    else
        batch_add_call(f, call);
}

const struct grpc_method calls_methods[CALLS_METHODS] = {
    { &assay__v1__features__descriptor, "Compute", on_compute },
    { &assay__v1__features__descriptor, "AppendLabels", on_append_labels },
};
