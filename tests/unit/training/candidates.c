/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/training/candidates.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "stats/interval.h"

static void take_labels(struct rows *rows, size_t to, const struct row *from)
{
    struct row *row = &rows->row[to];
    int64_t later_us = row->at_us - from->at_us;

    row->labels = from->labels;
    row->is_fraud = from->is_fraud;
    row->label_at_us = from->label_at_us == ROW_NEVER ? ROW_NEVER : from->label_at_us + later_us;
    for (uint32_t i = row->labels; i != ROW_NO_LABEL; i = rows->labels[i].next) {
        rows->labels[i].known_at_us += later_us;
        rows->labels[i].labelled_at_us += later_us;
    }
}

void candidate_shuffle_labels(struct rows *rows, uint64_t seed)
{
    struct row *from = mem_new_n(struct row, rows->count);
    struct random random = { seed };

    memcpy(from, rows->row, rows->count * sizeof *from);
    for (size_t i = rows->count; i > 1; i--) { /* Fisher and Yates */
        size_t j = random_below(&random, i);
        struct row other = from[i - 1];

        from[i - 1] = from[j];
        from[j] = other;
    }
    for (size_t i = 0; i < rows->count; i++)
        take_labels(rows, i, &from[i]);
    mem_free(from);
}

void candidate_leak(struct rows *rows, size_t column)
{
    for (size_t i = 0; i < rows->count; i++)
        rows_vector_of(rows, i)[column] = rows->row[i].is_fraud;
}

void candidate_slow_down(struct trainer *t)
{
    t->params.trees = 4000;
    t->params.depth = 8;
    t->params.eta = 0.002;
    t->params.min_child_weight = 0;
    t->params.patience = 0;
}

/* bundle.h: a line, the manifest's length, the manifest, the parts, SHA-256 of all before. */
void candidate_miscalibrate(struct buf *out, struct slice bundle, double slope, double shift)
{
    size_t head = (size_t)((const char *)memchr(bundle.ptr, '\n', bundle.len) + 1 - bundle.ptr), len = 0;
    unsigned char digest[SHA256_BYTES];
    json_t *manifest, *log_odds;
    char *text;

    for (size_t i = 0; i < 8; i++)
        len |= (size_t)(unsigned char)bundle.ptr[head + i] << (8 * i);
    manifest = json_loadb(bundle.ptr + head + 8, len, 0, NULL);
    log_odds = json_object_get(json_object_get(manifest, "calibration"), "log_odds");
    cr_assert_gt(json_array_size(log_odds), 0);
    for (size_t i = 0; i < json_array_size(log_odds); i++)
        json_array_set_new(log_odds, i,
                           json_real(slope * json_number_value(json_array_get(log_odds, i)) + shift));
    text = json_dumps(manifest, JSON_COMPACT | JSON_REAL_PRECISION(17));
    buf_add(out, bundle.ptr, head);
    for (size_t i = 0; i < 8; i++)
        buf_add_char(out, (char)(strlen(text) >> (8 * i)));
    buf_add(out, text, strlen(text));
    buf_add(out, bundle.ptr + head + 8 + len, bundle.len - head - 8 - len - SHA256_BYTES);
    sha256(buf_slice(out), digest);
    buf_add(out, (const char *)digest, sizeof digest);
    free(text);
    json_decref(manifest);
}
