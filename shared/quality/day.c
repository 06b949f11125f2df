/* SPDX-License-Identifier: Apache-2.0
 * day.c - see day.h. */
#include "quality/day.h"

#include <math.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/varint.h"

static const char magic[] = "assay quality 1\n";
static const struct hash_key key = { "assay quality 1" };
enum {
    MAGIC_BYTES = sizeof magic - 1,
    SUM_BYTES = 8,
    BINS_PER_UNIT = 32,
    DAY_COUNTS = sizeof(struct quality_day) / 8
};
#define DAY_US INT64_C(86400000000)

/* The day as one array: its members are nothing but counts. */
static uint64_t *counts_of(struct quality_day *day)
{
    return (uint64_t *)(void *)day;
}

int64_t quality_day_of(int64_t at_us)
{
    return at_us / DAY_US - (at_us % DAY_US < 0);
}

size_t quality_bin(double score)
{
    double odds = log(score / (1 - score)), bin = floor(odds * BINS_PER_UNIT) + QUALITY_BINS / 2;

    if (!(bin > 0)) /* also of 0 and below */
        return score >= 1 ? QUALITY_BINS - 1 : 0;
    return bin < QUALITY_BINS - 1 ? (size_t)bin : QUALITY_BINS - 1;
}

static uint64_t weight_of(const struct quality_row *row)
{
    if (!(row->p_label > 0) || isnan(row->score))
        return 0;
    return (uint64_t)(fmin(1 / fmin(row->p_label, 1), QUALITY_WEIGHT_MAX) * QUALITY_ONE + 0.5);
}

static uint64_t amount_of(const struct quality_row *row)
{
    return row->amount_minor > 0 ? (uint64_t)row->amount_minor : 0;
}

static double chance_of(const struct quality_row *row)
{
    return fmin(fmax(row->score, 0), 1);
}

static uint64_t weighted(double amount, uint64_t weight)
{
    return (uint64_t)(amount * ((double)weight / QUALITY_ONE) + 0.5);
}

void quality_day_add(struct quality_day *day, const struct quality_row *row)
{
    uint64_t weight = weight_of(row);
    double p = chance_of(row), w = (double)weight / QUALITY_ONE, one = (double)QUALITY_ONE_P;
    size_t bin, action = (size_t)row->action;

    day->actions[action]++;
    day->money[action] += amount_of(row);
    if (isnan(row->score)) {
        day->unscored[0]++;
        return;
    }
    bin = quality_bin(p);
    day->scored[bin]++;
    day->expected[bin] += (uint64_t)(p * one + 0.5);
    day->action_expected[action] += (uint64_t)(p * one + 0.5);
    day->money_expected[action] += (uint64_t)(p * (double)amount_of(row) + 0.5);
    day->excluded[action] += weight == 0;
    day->seen[bin] += weight;
    day->seen_expected[bin] += (uint64_t)(w * p * one + 0.5);
    day->seen_variance[bin] += (uint64_t)(w * w * p * (1 - p) * one + 0.5);
    day->action_seen[action] += weight;
    day->money_seen[action] += weighted((double)amount_of(row), weight);
}

static size_t delay_bin(int64_t delay_days)
{
    if (delay_days < 0)
        return 0;
    return delay_days < QUALITY_DELAYS ? (size_t)delay_days : QUALITY_DELAYS - 1;
}

void quality_day_label(struct quality_day *day, const struct quality_row *row, int64_t delay_days)
{
    uint64_t weight = weight_of(row);

    day->delays[delay_bin(delay_days)]++;
    if (weight == 0)
        return;
    day->frauds[quality_bin(chance_of(row))] += weight;
    day->action_frauds[row->action] += weight;
    day->money_frauds[row->action] += weighted((double)amount_of(row), weight);
}

static void take(uint64_t *from, uint64_t count)
{
    *from -= *from < count ? *from : count;
}

void quality_day_unlabel(struct quality_day *day, const struct quality_row *row, int64_t delay_days)
{
    uint64_t weight = weight_of(row);

    take(&day->delays[delay_bin(delay_days)], 1);
    if (weight == 0)
        return;
    take(&day->frauds[quality_bin(chance_of(row))], weight);
    take(&day->action_frauds[row->action], weight);
    take(&day->money_frauds[row->action], weighted((double)amount_of(row), weight));
}

void quality_day_merge(struct quality_day *sum, const struct quality_day *more)
{
#define MERGE(name, n, meaning)                                                                              \
    for (size_t i = 0; i < (n); i++)                                                                         \
        sum->name[i] += more->name[i];
    QUALITY_COUNTS(MERGE)
#undef MERGE
}

uint64_t quality_day_rows(const struct quality_day *day)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < ACTION_COUNT; i++)
        rows += day->actions[i];
    return rows;
}

uint64_t quality_day_frauds(const struct quality_day *day)
{
    uint64_t frauds = 0;

    for (size_t i = 0; i < QUALITY_DELAYS; i++)
        frauds += day->delays[i];
    return frauds;
}

/* ---- packed ---- */

void quality_day_pack(const struct quality_day *day, struct buf *out)
{
    size_t start = out->len;
    uint64_t sum;

    buf_add(out, magic, MAGIC_BYTES);
    varint_add_counts(out, (const uint64_t *)(const void *)day, DAY_COUNTS);
    sum = hash64(&key, slice_of(buf_slice(out).ptr + start, out->len - start));
    for (int i = 0; i < SUM_BYTES; i++)
        buf_add_char(out, (char)(unsigned char)(sum >> 8 * i));
}

static bool sum_fits(struct slice bytes)
{
    uint64_t sum = hash64(&key, slice_of(bytes.ptr, bytes.len - SUM_BYTES));

    for (size_t i = 0; i < SUM_BYTES; i++)
        if ((unsigned char)bytes.ptr[bytes.len - SUM_BYTES + i] != (unsigned char)(sum >> 8 * i))
            return false;
    return true;
}

static bool is_possible(const struct quality_day *day)
{
    for (size_t i = 0; i < QUALITY_BINS; i++)
        if (day->frauds[i] > day->seen[i])
            return false;
    for (size_t i = 0; i < ACTION_COUNT; i++)
        if (day->action_frauds[i] > day->action_seen[i])
            return false;
    return true;
}

enum err quality_day_open(struct quality_day *day, struct slice bytes, struct why *why)
{
    struct varint_reader r = { 0 };
    struct quality_day *read;
    enum err err = ERR_OK;

    if (bytes.len < MAGIC_BYTES + SUM_BYTES || memcmp(bytes.ptr, magic, MAGIC_BYTES) != 0)
        return err_set(why, ERR_SYNTAX, "this is no packed day of quality");
    if (!sum_fits(bytes))
        return err_set(why, ERR_SYNTAX, "the day of quality is damaged");
    read = mem_new(struct quality_day);
    r.rest = slice_of(bytes.ptr + MAGIC_BYTES, bytes.len - MAGIC_BYTES - SUM_BYTES);
    varint_read_counts(&r, counts_of(read), DAY_COUNTS, UINT64_C(1) << 58);
    if (varint_is_done(&r) && is_possible(read))
        *day = *read;
    else
        err = err_set(why, ERR_SYNTAX, "the day of quality has counts that no day has");
    mem_free(read);
    return err;
}
