/* SPDX-License-Identifier: Apache-2.0
 * varint.h - whole numbers as few bytes: seven bits a byte, the lowest first, the top bit says that more follow
 * (LEB128); and rows of counts, which are mostly zero.
 *
 * Reading takes foreign bytes. Each number has one form only (no needless last byte, a run of zeros is told once),
 * so equal contents are equal bytes. */
#ifndef ASSAY_BASE_VARINT_H
#define ASSAY_BASE_VARINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

void varint_add(struct buf *out, uint64_t number);
/* Small numbers of either sign are short (zigzag: 0, -1, 1, -2 ... as 0, 1, 2, 3 ...). */
void varint_add_signed(struct buf *out, int64_t number);
/* Each count as a number; after a zero, how many more zeros follow it. */
void varint_add_counts(struct buf *out, const uint64_t *counts, size_t n);
/* Its length, then its bytes. */
void varint_add_slice(struct buf *out, struct slice bytes);
/* Eight bytes, little-endian: the number's own bits. */
void varint_add_double(struct buf *out, double number);

/* What is left to be read. After a failure nothing more can be read, so one look at `is_bad` at the end is enough;
 * what was read then is 0 or empty. */
struct varint_reader {
    struct slice rest;
    bool is_bad;
};
uint64_t varint_read(struct varint_reader *r);
int64_t varint_read_signed(struct varint_reader *r);
/* Bad also when the runs do not end exactly at n, or a count is above `most`. */
void varint_read_counts(struct varint_reader *r, uint64_t *counts, size_t n, uint64_t most);
/* Points into what is read. Bad when longer than `most`. */
struct slice varint_read_slice(struct varint_reader *r, size_t most);
double varint_read_double(struct varint_reader *r);
/* Whether everything was read and nothing was bad. */
bool varint_is_done(const struct varint_reader *r);

#endif
