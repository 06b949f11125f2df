/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/training/history.h"

#include <criterion/criterion.h>

#include "base/clock.h"
#include "dataset/label_queue.h"
#include "simulate/simulate.h"

static const char catalogue_text[] =
    "entities: {customer: customer_id, terminal: terminal_id, device: device_id}\n"
    "features:\n"
    "  - {name: amount, expr: tx.amount, monotone: increasing}\n"
    "  - {name: hour, expr: tx.hour}\n"
    "  - {name: count_1h, count: customer, window: 1h}\n"
    "  - {name: mean_30d, mean: amount, by: customer, window: 30d}\n"
    "  - {name: device_customers, distinct: customer_id, by: device, window: 1h}\n"
    "  - {name: device_age, first_seen: device}\n"
    "  - {name: terminal_frauds, fraud_count: terminal, window: 7d}\n";

void history_init(struct history *h)
{
    struct catalogue catalogue;
    struct why why = { 0 };

    *h = (struct history){ 0 };
    cr_assert_eq(catalogue_parse(&catalogue, slice_str(catalogue_text), &h->arena, &why), ERR_OK, "%s",
                 why.text);
    cr_assert_eq(plan_build(&h->plan, &catalogue, &why), ERR_OK, "%s", why.text);
    rows_init(&h->rows, h->plan);
}

void history_release(struct history *h)
{
    rows_release(&h->rows);
    plan_free(h->plan);
    arena_release(&h->arena);
}

void history_live_through(struct history *h, size_t transactions)
{
    struct simulate_params params = {
        .seed = 5, .account = 1, .start_us = HISTORY_START, .customers = 400, .fraud_factor = 2
    };
    struct simulate *world = simulate_new(&params);
    struct label_queue labels = { 0 };
    struct label label;
    struct txn txn;

    for (size_t i = 0; i < transactions; i++) {
        simulate_next(world, &txn, &label);
        while (label_queue_first(&labels) && label_queue_first(&labels)->known_at_us <= txn.known_at_us) {
            struct label due = label_queue_take(&labels);

            rows_add_label(&h->rows, &due);
        }
        rows_add_txn(&h->rows, &txn);
        if (label.is_fraud)
            label_queue_put(&labels, &label);
    }
    label_queue_release(&labels);
    simulate_free(world);
}

struct trainer small_trainer(void)
{
    struct trainer t = TRAINER_DEFAULT;

    t.name = SLICE("small");
    t.created_at_us = HISTORY_START;
    t.params = BOOSTER_PARAMS_DEFAULT;
    t.params.trees = 20;
    t.params.depth = 3;
    t.params.threads = 1;
    return t;
}
