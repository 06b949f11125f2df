/* SPDX-License-Identifier: Apache-2.0
 * catalogue_fuzz.c - any text is a catalogue or is refused in words; what is one makes a plan whose text
 * reads back as itself, and a store that takes a transaction. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "featurestore/store.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct why why = { 0 };
    struct plan *plan = NULL, *again = NULL;

    if (size > 65536)
        return 0;
    if (catalogue_parse(&catalogue, slice_of(data, size), &arena, &why)) {
        if (why.text[0] == '\0' || catalogue.count)
            abort();
    } else if (plan_build(&plan, &catalogue, &why) == ERR_OK) {
        struct store *store = store_new(plan);
        struct txn txn = { .account = 1, .id = SLICE("t"), .occurred_at_us = INT64_C(1700000000000000) };
        double *vector = mem_new_n(double, plan_columns(plan) + 1);

        for (int i = 0; i < TXN_TEXT_COUNT; i++)
            txn.text[i] = SLICE("x");
        store_apply_txn(store, 1, &txn, vector);
        store_apply_txn(store, 2, &txn, vector);
        store_free(store);
        mem_free(vector);
        if (plan_parse(&again, plan_text(plan), &why) ||
            memcmp(plan_hash(plan), plan_hash(again), SHA256_BYTES) != 0)
            abort();
    }
    plan_free(plan);
    plan_free(again);
    arena_release(&arena);
    return 0;
}
