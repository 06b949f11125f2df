/* SPDX-License-Identifier: Apache-2.0 */
#include "sighting.h"

#include <stddef.h>

#include "base/array.h"
#include "base/hash.h"
#include "proto/fields.h"

/* Field numbers of proto/assay.proto. */
enum {
    TXN_ID = 2,
    TXN_OCCURRED_AT = 3,
    TXN_AMOUNT = 5,
    TXN_CURRENCY = 6,
    TXN_CUSTOMER = 8,
    TXN_CARD = 9,
    TXN_MERCHANT = 10,
    TXN_MCC = 12,
    TXN_CHANNEL = 13,
    TXN_COUNTRY = 14,
    LABEL_TRANSACTION = 2,
    LABEL_IS_FRAUD = 3,
    LABEL_SOURCE = 4,
    LABEL_LABELLED_AT = 5,
    RECORD_DEGRADED = 5,
};

static void take_text(struct sighting *s, uint32_t number, struct slice text)
{
    switch (number) {
    case TXN_ID:
        s->id = text;
        break;
    case TXN_CURRENCY:
        s->currency = text;
        break;
    case TXN_CUSTOMER:
        s->customer = text;
        break;
    case TXN_CARD:
        s->card = text;
        break;
    case TXN_MERCHANT:
        s->merchant = text;
        break;
    case TXN_MCC:
        s->mcc = text;
        break;
    case TXN_CHANNEL:
        s->channel = text;
        break;
    case TXN_COUNTRY:
        s->country = text;
        break;
    default:
        break;
    }
}

bool sighting_read(struct sighting *out, const struct entry *e)
{
    struct slice rest = e->body;
    struct proto_field f;

    *out = (struct sighting){ .n = e->n, .account = e->account, .known_at_us = e->known_at_us };
    while (proto_next(&rest, &f)) {
        if (f.kind == PROTO_BYTES)
            take_text(out, f.number, f.bytes);
        else if (f.number == TXN_OCCURRED_AT && f.kind == PROTO_VARINT)
            out->occurred_at_us = proto_signed(f.value);
        else if (f.number == TXN_AMOUNT && f.kind == PROTO_VARINT)
            out->amount_minor = proto_signed(f.value);
    }
    return rest.len == 0 && out->id.len;
}

bool told_label_read(struct told_label *out, const struct entry *e)
{
    struct slice rest = e->body;
    struct proto_field f;

    *out = (struct told_label){ .n = e->n, .account = e->account, .known_at_us = e->known_at_us };
    while (proto_next(&rest, &f)) {
        if (f.number == LABEL_TRANSACTION && f.kind == PROTO_BYTES)
            out->id = f.bytes;
        else if (f.number == LABEL_IS_FRAUD && f.kind == PROTO_VARINT)
            out->is_fraud = f.value != 0;
        else if (f.number == LABEL_SOURCE && f.kind == PROTO_VARINT)
            out->source = (uint32_t)f.value;
        else if (f.number == LABEL_LABELLED_AT && f.kind == PROTO_VARINT)
            out->labelled_at_us = proto_signed(f.value);
    }
    return rest.len == 0 && out->id.len && out->source < LABEL_SOURCE_COUNT;
}

bool sighting_is_degraded(struct slice record)
{
    struct proto_field f;

    while (proto_next(&record, &f))
        if (f.number == RECORD_DEGRADED)
            return true;
    return false;
}

/* Mixes a text and its length, so that no two lists of texts run into each other. */
static uint64_t mix(uint64_t hash, struct slice text)
{
    static const struct hash_key key = { { 'm', 'o', 'n', 'i', 't', 'o', 'r' } };

    return (hash ^ hash64(&key, text)) * UINT64_C(0x9E3779B97F4A7C15) + text.len;
}

uint64_t sighting_hash(const struct sighting *s)
{
    uint64_t hash = ((uint64_t)s->account << 32) ^ (uint64_t)s->amount_minor;

    hash = mix(hash, s->currency);
    hash = mix(hash, s->customer);
    hash = mix(hash, s->card);
    return mix(hash, s->merchant);
}
