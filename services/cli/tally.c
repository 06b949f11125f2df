/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/mem.h"
#include "stats/ranking.h"

static const struct hash_key hash_key = { "replay's tally" };

void tally_release(struct tally *t)
{
    mem_free(t->rows);
    mem_free(t->slots);
    mem_free(t->latencies_us);
    *t = (struct tally){ 0 };
}

static size_t slot_of(const struct tally *t, uint64_t key)
{
    size_t mask = t->slot_count - 1, i = (size_t)key & mask;

    while (t->slots[i] && t->rows[t->slots[i] - 1].key != key)
        i = (i + 1) & mask;
    return i;
}

/* Half full at most, so that a search is short. */
static void make_room(struct tally *t)
{
    if (2 * t->count < t->slot_count)
        return;
    mem_free(t->slots);
    t->slot_count = t->slot_count ? 2 * t->slot_count : 1024;
    t->slots = mem_new_n(uint32_t, t->slot_count);
    for (size_t i = 0; i < t->count; i++)
        t->slots[slot_of(t, t->rows[i].key)] = (uint32_t)i + 1;
}

static struct tally_row *row_of(struct tally *t, struct slice id)
{
    uint64_t key = hash64(&hash_key, id);
    size_t slot;

    make_room(t);
    slot = slot_of(t, key);
    if (!t->slots[slot]) {
        ARRAY_RESERVE_ONE(t->rows, t->count, t->cap);
        assert(t->count < UINT32_MAX);
        t->rows[t->count++] = (struct tally_row){ .key = key, .score = NAN, .action = ACTION_COUNT };
        t->slots[slot] = (uint32_t)t->count;
    }
    return &t->rows[t->slots[slot] - 1];
}

void tally_decision(struct tally *t, struct slice id, int64_t amount_minor, enum action action, double score,
                    bool is_degraded)
{
    struct tally_row *row = row_of(t, id);

    row->amount_minor = amount_minor;
    row->action = (uint8_t)action;
    row->score = score;
    t->decided++;
    t->degraded += is_degraded;
}

void tally_latency(struct tally *t, int64_t us)
{
    ARRAY_RESERVE_ONE(t->latencies_us, t->latency_count, t->latency_cap);
    t->latencies_us[t->latency_count++] = (double)us;
}

void tally_label(struct tally *t, struct slice id, bool is_fraud)
{
    row_of(t, id)->is_fraud = is_fraud;
}

void tally_figures(struct tally *t, struct tally_figures *f)
{
    double *scores = mem_new_n(double, t->count), sum = 0;
    uint8_t *labels = mem_new_n(uint8_t, t->count);
    size_t n = 0;

    *f = (struct tally_figures){ .auc_roc = NAN, .average_precision = NAN, .score_mean = NAN };
    if (t->latency_count)
        f->latency_us = quantiles_of(t->latencies_us, t->latency_count);
    for (size_t i = 0; i < t->count; i++) {
        const struct tally_row *row = &t->rows[i];

        if (row->action >= ACTION_COUNT)
            continue;
        f->cells[row->action][row->is_fraud].count++;
        f->cells[row->action][row->is_fraud].amount_minor += row->amount_minor;
        f->frauds += row->is_fraud;
        if (isnan(row->score))
            continue;
        sum += row->score;
        scores[n] = row->score;
        labels[n++] = row->is_fraud;
    }
    f->scored = n;
    if (n) {
        f->score_mean = sum / (double)n;
        f->auc_roc = auc_roc(scores, labels, n);
        f->average_precision = average_precision(scores, labels, n);
    }
    mem_free(scores);
    mem_free(labels);
}
