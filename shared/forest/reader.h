/* SPDX-License-Identifier: Apache-2.0
 * reader.h - walks a document in JSON or in UBJSON, front to back, without building a tree of it.
 *
 *   reader_open(&r, bytes, &why);
 *   reader_object(&r);
 *   while (reader_key(&r, &key))
 *       if (slice_eq_str(key, "name"))
 *           reader_text(&r, &name);
 *       else
 *           reader_skip(&r);
 *   err = reader_close(&r);
 *
 * The input is hostile: lengths are checked against what is there, nesting is capped. The first fault stops
 * the reader for good: all later calls return false or zero, so a caller may check once, at the end.
 * Sources: RFC 8259 (and the bare words NaN, Infinity, -Infinity that XGBoost writes); UBJSON draft 12. */
#ifndef ASSAY_FOREST_READER_H
#define ASSAY_FOREST_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { READER_DEPTH_MAX = 24 };

struct reader {
    const char *p, *end, *start;
    bool is_ubj;
    enum err err;
    struct why *why;
    size_t depth;
    struct reader_level {
        bool is_object, is_started;
        bool is_counted; /* UBJSON: `left` items remain and no end marker follows */
        int64_t left;
        char type; /* UBJSON: that of each item, which then has no marker of its own; 0 = none */
    } levels[READER_DEPTH_MAX];
};

/* Which of the two it is shows in the second byte: UBJSON goes on with a length marker. `bytes` are borrowed
 * until reader_close(). */
void reader_open(struct reader *r, struct slice bytes, struct why *why);
/* ERR_OK when everything was read without a fault, to the last byte.
 *   ERR_SYNTAX   neither JSON nor UBJSON, or cut short; *why says where
 *   or what reader_fail() was given */
MUST_USE enum err reader_close(struct reader *r);

/* Stops the reader. The first call counts. Returns false. */
bool reader_fail(struct reader *r, enum err err, const char *format, ...) PRINTF_LIKE(3, 4);

/* Enter the object or array that comes next. */
bool reader_object(struct reader *r);
bool reader_array(struct reader *r);
/* The next member's key (as written: escapes stay) or item; false at the end, which is then passed. */
bool reader_key(struct reader *r, struct slice *key);
bool reader_item(struct reader *r);

/* The value that comes next must be of that kind. Text is raw: escapes in JSON stay as they are. A bool may
 * be written as 0 or 1. */
bool reader_text(struct reader *r, struct slice *text);
bool reader_i32(struct reader *r, int32_t *value);
bool reader_f32(struct reader *r, float *value);
bool reader_bool(struct reader *r, bool *value);
bool reader_skip(struct reader *r);

/* Whole arrays of numbers. `items` grows as needed and is the caller's to mem_free(); `count` says how many
 * were read. More than `most` is a fault. */
struct reader_i32s {
    int32_t *items;
    size_t count, cap;
};
struct reader_f32s {
    float *items;
    size_t count, cap;
};
bool reader_i32_array(struct reader *r, struct reader_i32s *out, size_t most);
bool reader_f32_array(struct reader *r, struct reader_f32s *out, size_t most);

#endif
