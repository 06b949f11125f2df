/* SPDX-License-Identifier: Apache-2.0
 * proto_fuzz.c - any bytes as a packed message, of a call, of an answer or of the database: what can be
 * unpacked is taken as its receiver takes it; what is written back is read back. The first byte chooses. */
#include <stdlib.h>

#include "../../services/ingestion/decision.h"
#include "../../services/monitor/sighting.h"
#include "base/array.h"
#include "json/json.h"
#include "policystore/answer.h"
#include "proto/assay.pb-c.h"
#include "proto/fields.h"
#include "proto/txn_proto.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct policy *policy;
static struct policy_columns *columns;

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct slice names[] = { { "a", 1 }, { "b", 1 } };
    const struct policy_rule rules[] = {
        { .id = SLICE("r"),
          .name = SLICE("R"),
          .action = ACTION_REVIEW,
          .is_enabled = true,
          .expression = SLICE("tx.amount > 10 && a > 1.0 || in_list(tx.customer_id, \"l\")"),
          .reason = SLICE("{tx.amount} of {tx.customer_id}"),
          .public_reason = SLICE("{tx.amount}") },
        { .id = SLICE("s"),
          .name = SLICE("S"),
          .action = ACTION_DECLINE,
          .is_enabled = true,
          .expression = SLICE("has(tx.attributes.x) && score > 0.5 || tx.ip == \"10.0.0.1\"") },
    };
    const struct ruleset set = { .version = SLICE("1"), .rules = rules, .count = ARRAY_LEN(rules) };
    struct list *list = list_new(0, SLICE("l"), LIST_DENY, TXN_customer_id);
    struct why why = { 0 };

    (void)argc;
    (void)argv;
    policy = policy_new();
    if (policy_add_ruleset(policy, &set, &why) || list_add(list, SLICE("c"), LIST_NO_EXPIRY, &why)) {
        fprintf(stderr, "%s\n", why.text);
        abort();
    }
    policy_add_list(policy, list);
    list_unref(list);
    columns = policy_bind(policy, names, ARRAY_LEN(names));
    return 0;
}

/* Who walks over the fields sees what is there. */
static void take_sighting(const struct txn *txn, struct slice packed)
{
    struct sighting seen;
    struct entry entry = { .kind = ENTRY_TXN, .account = txn->account, .body = packed };

    check(sighting_read(&seen, &entry) == (txn->id.len > 0));
    check(slice_eq(seen.id, txn->id) && slice_eq(seen.currency, txn->currency));
    check(seen.occurred_at_us == txn->occurred_at_us && seen.amount_minor == txn->amount_minor);
    check(slice_eq(seen.channel, txn->text[TXN_channel]) && slice_eq(seen.mcc, txn->text[TXN_mcc]));
    check(slice_eq(seen.country, txn->text[TXN_country]) &&
          slice_eq(seen.customer, txn->text[TXN_customer_id]));
}

static void walk(struct slice rest)
{
    struct proto_field f;
    size_t before = rest.len;

    for (; proto_next(&rest, &f); before = rest.len)
        check(rest.len < before && f.number > 0);
}

static void take_txn(const Assay__V1__Transaction *message, struct arena *arena)
{
    struct txn txn, again;
    struct slice packed;

    if (!message || txn_from_proto(&txn, message, arena, NULL))
        return;
    packed = txn_pack(&txn, arena);
    check(txn_unpack(&again, packed, arena, NULL) == ERR_OK);
    check(slice_eq(packed, txn_pack(&again, arena)));
    take_sighting(&txn, packed);
}

static void take_label(const Assay__V1__Label *message, struct arena *arena)
{
    struct label label, again;
    struct slice packed;

    label_from_proto(&label, message);
    if ((unsigned)label.source >= LABEL_SOURCE_COUNT)
        return; /* refused, by features and when it is read back */
    packed = label_pack(&label, arena);
    check(label_unpack(&again, packed, arena, NULL) == ERR_OK);
    check(slice_eq(packed, label_pack(&again, arena)));
}

static void take_request(const ProtobufCMessage *message, struct arena *arena)
{
    if (message->descriptor == &assay__v1__compute_request__descriptor) {
        const Assay__V1__ComputeRequest *r = (const Assay__V1__ComputeRequest *)message;

        for (size_t i = 0; i < r->n_items; i++)
            take_txn(r->items[i]->transaction, arena);
    } else if (message->descriptor == &assay__v1__append_labels_request__descriptor) {
        const Assay__V1__AppendLabelsRequest *r = (const Assay__V1__AppendLabelsRequest *)message;

        for (size_t i = 0; i < r->n_labels; i++)
            take_label(r->labels[i], arena);
    } else if (message->descriptor == &assay__v1__decide_request__descriptor) {
        const Assay__V1__DecideRequest *r = (const Assay__V1__DecideRequest *)message;
        const Assay__V1__DecideResponse *answer = answer_decide(policy, columns, r, arena);

        check(answer->n_items == r->n_items);
        for (size_t i = 0; i < answer->n_items; i++)
            check(answer->items[i]->n_reasons <= POLICY_REASONS_MAX);
        protobuf_c_message_get_packed_size(&answer->base);
    }
}

static void take_record(struct slice bytes, struct arena *arena)
{
    struct decision d = { 0 };
    struct json_out o;
    struct buf out;
    struct why why;
    json_t *tree;

    if (decision_record_unpack(&d, bytes, arena, &why))
        return;
    for (int explains = 0; explains < 2; explains++) {
        buf_init(&out, 0);
        o = json_out_to(&out);
        decision_write(&o, NULL, SLICE("t"), &d, explains);
        /* A figure may be larger than an integer that our own reader takes: it is JSON all the same. */
        tree = json_loadb(buf_slice(&out).ptr, out.len, JSON_DECODE_INT_AS_REAL, NULL);
        check(tree != NULL);
        json_decref(tree);
        buf_release(&out);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const messages[] = {
        &assay__v1__compute_request__descriptor,  &assay__v1__append_labels_request__descriptor,
        &assay__v1__score_request__descriptor,    &assay__v1__decide_request__descriptor,
        &assay__v1__compute_response__descriptor, &assay__v1__append_labels_response__descriptor,
        &assay__v1__score_response__descriptor,   &assay__v1__decide_response__descriptor,
    };
    struct arena arena = { 0 };
    ProtobufCMessage *message;

    if (!size)
        return 0;
    walk(slice_of(data + 1, size - 1));
    if (data[0] >= 0x80) {
        take_record(slice_of(data + 1, size - 1), &arena);
    } else {
        message = protobuf_c_message_unpack(messages[data[0] % ARRAY_LEN(messages)],
                                            proto_arena_allocator(&arena), size - 1, data + 1);
        if (message)
            take_request(message, &arena);
    }
    arena_release(&arena);
    return 0;
}
