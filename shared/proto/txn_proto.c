/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/txn_proto.h"

#include <assert.h>

#include "base/array.h"

static_assert((int)ASSAY__V1__LABEL_SOURCE__CUSTOMER == (int)LABEL_CUSTOMER &&
                  (int)ASSAY__V1__LABEL_SOURCE__ANALYST == (int)LABEL_ANALYST &&
                  (int)ASSAY__V1__LABEL_SOURCE__ISSUER == (int)LABEL_ISSUER &&
                  (int)ASSAY__V1__LABEL_SOURCE__CHARGEBACK == (int)LABEL_CHARGEBACK,
              "label sources keep their numbers on the wire");
static_assert((int)ASSAY__V1__ACTION__APPROVE == (int)ACTION_APPROVE &&
                  (int)ASSAY__V1__ACTION__CHALLENGE == (int)ACTION_CHALLENGE &&
                  (int)ASSAY__V1__ACTION__REVIEW == (int)ACTION_REVIEW &&
                  (int)ASSAY__V1__ACTION__DECLINE == (int)ACTION_DECLINE,
              "actions keep their numbers on the wire");

/* Where each text field stands in the message, so that one loop serves both directions. */
static const size_t text_offsets[] = {
#define TEXT_OFFSET(field, max, meaning) [TXN_##field] = offsetof(Assay__V1__Transaction, field),
    TXN_TEXT_FIELDS(TEXT_OFFSET)
#undef TEXT_OFFSET
};

static char **text_of(const Assay__V1__Transaction *message, size_t field)
{
    return (char **)((uintptr_t)message + text_offsets[field]);
}

static void *arena_proto_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size, 1);
}

static void arena_proto_free(void *arena, void *ptr)
{
    (void)arena; /* the arena goes as a whole */
    (void)ptr;
}

ProtobufCAllocator *proto_arena_allocator(struct arena *arena)
{
    ProtobufCAllocator *a = arena_new(arena, ProtobufCAllocator, 1);

    *a = (ProtobufCAllocator){ arena_proto_alloc, arena_proto_free, arena };
    return a;
}

static void attribute_from_proto(struct txn_attribute *a, const Assay__V1__Attribute *m)
{
    *a = (struct txn_attribute){ .name = slice_str(m->name) };
    switch (m->value_case) {
    case ASSAY__V1__ATTRIBUTE__VALUE_TEXT:
        a->kind = ATTRIBUTE_TEXT;
        a->text = slice_str(m->text);
        break;
    case ASSAY__V1__ATTRIBUTE__VALUE_FLAG:
        a->kind = ATTRIBUTE_BOOL;
        a->is_true = m->flag;
        break;
    default: /* proto3: an absent number is 0 */
        a->kind = ATTRIBUTE_NUMBER;
        a->number = m->value_case == ASSAY__V1__ATTRIBUTE__VALUE_NUMBER ? m->number : 0;
        break;
    }
}

enum err txn_from_proto(struct txn *txn, const Assay__V1__Transaction *m, struct arena *arena,
                        struct why *why)
{
    if (m->n_attributes > TXN_ATTRIBUTES_MAX)
        return err_set(why, ERR_INVALID, "transaction has %zu attributes, at most %d are allowed",
                       m->n_attributes, TXN_ATTRIBUTES_MAX);
    *txn = (struct txn){
        .account = m->account,
        .id = slice_str(m->id),
        .occurred_at_us = m->occurred_at_us,
        .known_at_us = m->known_at_us,
        .amount_minor = m->amount_minor,
        .currency = slice_str(m->currency),
        .amount_base_minor = m->amount_base_minor,
        .has_place = m->has_place,
        .lat = m->lat,
        .lon = m->lon,
        .attributes = arena_new(arena, struct txn_attribute, m->n_attributes),
        .attribute_count = m->n_attributes,
    };
    for (size_t i = 0; i < TXN_TEXT_COUNT; i++)
        txn->text[i] = slice_str(*text_of(m, i));
    for (size_t i = 0; i < m->n_attributes; i++) {
        attribute_from_proto(&txn->attributes[i], m->attributes[i]);
        if (i && slice_compare(txn->attributes[i - 1].name, txn->attributes[i].name) >= 0)
            return err_set(why, ERR_INVALID, "attributes are not sorted by name");
    }
    return ERR_OK;
}

static char *text_copy(struct arena *arena, struct slice text)
{
    return text.len ? arena_strndup(arena, text.ptr, text.len) : (char *)protobuf_c_empty_string;
}

static Assay__V1__Attribute *attribute_to_proto(const struct txn_attribute *a, struct arena *arena)
{
    Assay__V1__Attribute *m = arena_new(arena, Assay__V1__Attribute, 1);

    assay__v1__attribute__init(m);
    m->name = text_copy(arena, a->name);
    switch (a->kind) {
    case ATTRIBUTE_NUMBER:
        m->value_case = ASSAY__V1__ATTRIBUTE__VALUE_NUMBER;
        m->number = a->number;
        break;
    case ATTRIBUTE_TEXT:
        m->value_case = ASSAY__V1__ATTRIBUTE__VALUE_TEXT;
        m->text = text_copy(arena, a->text);
        break;
    case ATTRIBUTE_BOOL:
        m->value_case = ASSAY__V1__ATTRIBUTE__VALUE_FLAG;
        m->flag = a->is_true;
        break;
    }
    return m;
}

Assay__V1__Transaction *txn_to_proto(const struct txn *txn, struct arena *arena)
{
    Assay__V1__Transaction *m = arena_new(arena, Assay__V1__Transaction, 1);

    assay__v1__transaction__init(m);
    m->account = txn->account;
    m->id = text_copy(arena, txn->id);
    m->occurred_at_us = txn->occurred_at_us;
    m->known_at_us = txn->known_at_us;
    m->amount_minor = txn->amount_minor;
    m->currency = text_copy(arena, txn->currency);
    m->amount_base_minor = txn->amount_base_minor;
    m->has_place = txn->has_place;
    m->lat = txn->lat;
    m->lon = txn->lon;
    for (size_t i = 0; i < TXN_TEXT_COUNT; i++)
        *text_of(m, i) = text_copy(arena, txn->text[i]);
    m->n_attributes = txn->attribute_count;
    m->attributes = arena_new(arena, Assay__V1__Attribute *, txn->attribute_count);
    for (size_t i = 0; i < txn->attribute_count; i++)
        m->attributes[i] = attribute_to_proto(&txn->attributes[i], arena);
    return m;
}

void label_from_proto(struct label *label, const Assay__V1__Label *m)
{
    *label = (struct label){
        .account = m->account,
        .transaction_id = slice_str(m->transaction_id),
        .is_fraud = m->is_fraud,
        .source = (enum label_source)m->source,
        .labelled_at_us = m->labelled_at_us,
        .known_at_us = m->known_at_us,
    };
}

Assay__V1__Label *label_to_proto(const struct label *label, struct arena *arena)
{
    Assay__V1__Label *m = arena_new(arena, Assay__V1__Label, 1);

    assay__v1__label__init(m);
    m->account = label->account;
    m->transaction_id = text_copy(arena, label->transaction_id);
    m->is_fraud = label->is_fraud;
    m->source = (Assay__V1__LabelSource)label->source;
    m->labelled_at_us = label->labelled_at_us;
    m->known_at_us = label->known_at_us;
    return m;
}

static struct slice pack(const ProtobufCMessage *m, struct arena *arena)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = arena_alloc(arena, len, 1);

    protobuf_c_message_pack(m, bytes);
    return slice_of(bytes, len);
}

struct slice txn_pack(const struct txn *txn, struct arena *arena)
{
    return pack(&txn_to_proto(txn, arena)->base, arena);
}

enum err txn_unpack(struct txn *txn, struct slice body, struct arena *arena, struct why *why)
{
    Assay__V1__Transaction *m =
        assay__v1__transaction__unpack(proto_arena_allocator(arena), body.len, (const uint8_t *)body.ptr);

    if (!m)
        return err_set(why, ERR_SYNTAX, "%zu bytes that are not a packed transaction", body.len);
    return txn_from_proto(txn, m, arena, why);
}

struct slice label_pack(const struct label *label, struct arena *arena)
{
    return pack(&label_to_proto(label, arena)->base, arena);
}

enum err label_unpack(struct label *label, struct slice body, struct arena *arena, struct why *why)
{
    Assay__V1__Label *m =
        assay__v1__label__unpack(proto_arena_allocator(arena), body.len, (const uint8_t *)body.ptr);

    if (!m)
        return err_set(why, ERR_SYNTAX, "%zu bytes that are not a packed label", body.len);
    if ((unsigned)m->source >= LABEL_SOURCE_COUNT)
        return err_set(why, ERR_INVALID, "label source %d is not known", (int)m->source);
    label_from_proto(label, m);
    return ERR_OK;
}
