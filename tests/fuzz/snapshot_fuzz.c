/* SPDX-License-Identifier: Apache-2.0
 * snapshot_fuzz.c - any bytes are a snapshot or are refused; what is one can be worked with, and is written
 * again as the same bytes. The checksum is made to fit, or nothing behind it would ever be read. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/state.h"
#include "featurestore/store.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const char yaml[] =
    "entities: {c: customer_id, t: [terminal_id, merchant_id]}\n"
    "features:\n"
    "- {name: a, count: c, window: 1h}\n"
    "- {name: b, std: amount, by: c, window: 24h}\n"
    "- {name: d, max: amount, by: c, window: 7d, where: 'tx.amount > 5.0'}\n"
    "- {name: e, distinct: terminal_id, by: c, window: 7d}\n"
    "- {name: f, fraud_rate: t, window: 7d, delay: 1d, prior: {rate: 0.1, weight: 2}}\n"
    "- {name: g, min: amount, by: t, window: 2d, mode: exact}\n"
    "- {name: h, speed: c}\n"
    "- {name: i, first_seen: c}\n";

/* A state to begin with: small and large entities, labels that wait. */
static struct store *work(struct store *store, uint64_t first, int count)
{
    const struct slice names[] = { SLICE("x"), SLICE("y"), SLICE("") };
    double vector[16];

    for (uint64_t n = first; n < first + (uint64_t)count; n++) {
        char id[8] = { (char)('a' + n % 26), (char)('a' + n / 26 % 26) };
        struct txn txn = { .account = 1, .id = slice_of(id, 2), .amount_base_minor = (int64_t)(n % 9) };
        struct label label = { .account = 1,
                               .transaction_id = slice_of(id, 1 + n % 2),
                               .is_fraud = n % 3 != 0 };

        txn.occurred_at_us = label.known_at_us = (int64_t)n * MINUTE_US - (int64_t)(n % 7) * HOUR_US;
        txn.text[TXN_customer_id] = names[n % 2];
        txn.text[TXN_terminal_id] = names[n % 3];
        txn.text[TXN_merchant_id] = names[0];
        txn.has_place = true;
        store_apply_txn(store, n, &txn, vector);
        store_apply_label(store, n, &label);
    }
    return store;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct plan *plan;
    static struct buf seed;
    struct store *store;
    struct why why = { 0 };
    char *bytes;
    size_t prefix = 8 + SHA256_BYTES, len;
    uint64_t sum;

    if (!plan) {
        struct arena arena = { 0 };
        struct catalogue catalogue;

        if (catalogue_parse(&catalogue, slice_str(yaml), &arena, &why) || plan_build(&plan, &catalogue, &why))
            abort();
        arena_release(&arena);
        buf_init(&seed, 0);
        store = work(store_new(plan), 1, 240);
        store_save_buf(store, &seed);
        store_free(store);
    }
    if (size > 65536 || size < 4)
        return 0;
    /* Either a whole body, or changes to the one above: place, then bytes. */
    if (data[0] & 1) {
        len = prefix + size - 1 + 8;
        bytes = mem_alloc(1, len);
        memcpy(bytes + prefix, data + 1, size - 1);
    } else {
        size_t body = seed.len - prefix - 8, at = ((size_t)data[1] << 8 | data[2]) % body;

        len = seed.len;
        bytes = mem_alloc(1, len);
        memcpy(bytes, buf_slice(&seed).ptr, len);
        memcpy(bytes + prefix + at, data + 3, size - 3 < body - at ? size - 3 : body - at);
    }
    memcpy(bytes, buf_slice(&seed).ptr, prefix);
    sum = snapshot_checksum(slice_of(bytes, len - 8));
    memcpy(bytes + len - 8, &sum, sizeof sum);
    if (store_load(&store, plan, slice_of(bytes, len), &why) == ERR_OK) {
        struct buf again;

        buf_init(&again, 0);
        store_save_buf(store, &again);
        if (!slice_eq(buf_slice(&again), slice_of(bytes, len)))
            abort();
        buf_release(&again);
        store_free(work(store, 100, 60));
    } else if (why.text[0] == '\0' || store) {
        abort();
    }
    mem_free(bytes);
    return 0;
}
