/* SPDX-License-Identifier: Apache-2.0
 * json_txn_fuzz.c - any bytes as the body of a request: read or refused, never a crash; what was read is
 * written so that it reads back the same, and no answer holds a card number. */
#include <stdint.h>
#include <stdlib.h>

#include "api/txn_json.h"
#include "base/clock.h"
#include "fraud/canonical.h"
#include "fraud/pan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t now_us = INT64_C(1800000000) * SECOND_US;
static struct fx fx;

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_faults(const struct faults *faults)
{
    struct problem p = { .status = 422, .faults = faults };
    struct json_out o;
    struct buf out;
    json_t *back;
    struct why why;

    buf_init(&out, 0);
    o = json_out_to(&out);
    problem_write(&o, NULL, &p);
    check(json_parse(&back, buf_slice(&out), 8, &why) == ERR_OK);
    check(!pan_find(buf_slice(&out), NULL));
    json_decref(back);
    buf_release(&out);
}

static void check_round_trip(const struct txn *txn, const struct txn_rules *rules, struct arena *arena)
{
    unsigned char one[SHA256_BYTES], two[SHA256_BYTES];
    struct faults faults = { .arena = arena };
    struct buf out, scratch;
    struct json_out o;
    struct txn again;
    struct why why;
    struct json_value *value;

    buf_init(&out, 0);
    buf_init(&scratch, 0);
    o = json_out_to(&out);
    txn_to_json(&o, NULL, txn, rules->is_simulated);
    check(json_read(&value, buf_slice(&out), JSON_DEPTH_MAX, arena, &why) == ERR_OK);
    check(txn_from_json(&again, value, rules, NULL, &faults));
    txn_hash(txn, rules->is_simulated, &scratch, one);
    txn_hash(&again, rules->is_simulated, &scratch, two);
    check(memcmp(one, two, sizeof one) == 0);
    buf_release(&out);
    buf_release(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct arena arena = { 0 };
    struct txn_rules rules = { .account = 1, .base_currency = SLICE("USD"), .fx = &fx, .now_us = now_us };
    struct buf out;
    struct why why;
    struct json_value *value;

    if (fx.count == 0)
        check(fx_parse(&fx, SLICE("USD=1,EUR=1.08,JPY=0.0067"), &why) == ERR_OK);
    buf_init(&out, 0);
    pan_redact(&out, text);
    check(!pan_find(buf_slice(&out), NULL));
    buf_release(&out);
    pan_find_digits(text);
    if (json_read(&value, text, JSON_DEPTH_MAX, &arena, &why) == ERR_OK) {
        for (int i = 0; i < 2; i++) {
            struct faults faults = { .arena = &arena };
            struct label label;
            struct txn txn;

            rules.is_simulated = i;
            if (txn_from_json(&txn, value, &rules, NULL, &faults))
                check_round_trip(&txn, &rules, &arena);
            label_from_json(&label, value, &rules, NULL, &faults);
            check_faults(&faults);
        }
    }
    arena_release(&arena);
    return 0;
}
