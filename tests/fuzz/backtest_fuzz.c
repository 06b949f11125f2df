/* SPDX-License-Identifier: Apache-2.0
 * backtest_fuzz.c - any bytes are a chunk of history, an index or what a rule said, or are refused; what is one can be read
 * to its end. The first byte says which; the hash of a chunk's directory and those of its columns are made to fit, or
 * nothing behind them would ever be read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backtest/chunk.h"
#include "backtest/outcomes.h"
#include "backteststore/index.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { HEAD = 32, ENTRY = 128, OFFSET = 8, BYTES = 16, SUM = 24 };

static void sign(char *bytes, size_t size)
{
    static const struct hash_key key = { "assay chunk sum" };
    uint64_t whole = size, sum, at, len;
    uint32_t columns;

    if (size < HEAD)
        return;
    memcpy(bytes + 16, &whole, sizeof whole);
    memcpy(&columns, bytes + 12, sizeof columns);
    if ((size - HEAD) / ENTRY < columns)
        return;
    for (size_t i = 0; i < columns; i++) {
        char *entry = bytes + HEAD + i * ENTRY;

        memcpy(&at, entry + OFFSET, sizeof at);
        memcpy(&len, entry + BYTES, sizeof len);
        if (at > size || len > size - at)
            continue;
        sum = hash64(&key, slice_of(bytes + at, len));
        memcpy(entry + SUM, &sum, sizeof sum);
    }
    sum = hash64(&key, slice_of(bytes + HEAD, (size_t)columns * ENTRY));
    memcpy(bytes + 24, &sum, sizeof sum);
}

static void read_chunk(struct slice bytes)
{
    struct chunk_wants wants = { .id = true, .currency = true, .attributes = true };
    struct arena arena = { 0 };
    const struct slice *parts;
    struct chunk_row row;
    struct chunk *c;
    struct why why;

    if (chunk_open(&c, bytes, &why))
        return;
    memset(wants.texts, true, sizeof wants.texts);
    if (chunk_want(c, &wants, &why) == ERR_OK) {
        for (size_t i = 0; i < chunk_rows(c); i++) {
            chunk_row(c, i, &arena, &row);
            chunk_degraded(c, i, &parts);
            arena_reset(&arena);
        }
    }
    for (size_t f = 0; f < chunk_feature_count(c); f++) {
        if (chunk_want_feature(c, f, &why))
            continue;
        for (size_t i = 0; i < chunk_rows(c); i++)
            chunk_feature_value(c, f, i);
    }
    chunk_close(c);
    arena_release(&arena);
}

/* What is an index is written again, and read as the same. */
static void read_index(struct slice bytes)
{
    struct buf first = { 0 }, second = { 0 };
    struct index index;
    struct why why;

    if (index_read(&index, bytes, &why) == ERR_OK) {
        index_write(&index, &first);
        index_release(&index);
        if (index_read(&index, buf_slice(&first), &why))
            abort();
        index_write(&index, &second);
        if (!slice_eq(buf_slice(&first), buf_slice(&second)))
            abort();
        index_release(&index);
    }
    buf_release(&first);
    buf_release(&second);
}

static void read_outcomes(struct slice bytes)
{
    struct outcomes_of_rule *o = rule_outcomes_open(bytes);

    rule_outcomes_find(o, 1, 1);
    rule_outcomes_close(o);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct slice bytes;
    char *copy;

    if (size == 0)
        return 0;
    copy = mem_alloc(size, 1); /* aligned, as a map is */
    memcpy(copy, data + 1, size - 1);
    bytes = slice_of(copy, size - 1);
    if (data[0] == 'i') {
        read_index(bytes);
    } else if (data[0] == 'o') {
        read_outcomes(bytes);
    } else {
        sign(copy, size - 1);
        read_chunk(bytes);
    }
    mem_free(copy);
    return 0;
}
