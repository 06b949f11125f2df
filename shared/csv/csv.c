/* SPDX-License-Identifier: Apache-2.0 */
#include "csv/csv.h"

#include "base/array.h"

void csv_init(struct csv *csv)
{
    *csv = (struct csv){ .line = 1, .record_line = 1 };
    buf_init(&csv->text, CSV_RECORD_MAX);
}

void csv_release(struct csv *csv)
{
    buf_release(&csv->text);
    mem_free(csv->ends);
    mem_free(csv->out);
    *csv = (struct csv){ 0 };
}

static void record_start(struct csv *csv)
{
    buf_clear(&csv->text);
    csv->count = 0;
    csv->state = CSV_START;
    csv->has_bytes = false;
    csv->is_bad = false;
    csv->record_line = csv->line;
}

static void fail(struct csv *csv, const char *reason)
{
    csv->is_bad = true;
    csv->reason = reason;
    csv->state = CSV_SKIP;
}

static void field_end(struct csv *csv)
{
    if (csv->count == CSV_FIELDS_MAX) {
        fail(csv, "more than 1024 fields");
        return;
    }
    if (csv->count == csv->cap) {
        csv->cap = csv->cap ? 2 * csv->cap : 32;
        csv->ends = mem_grow(csv->ends, csv->cap, sizeof *csv->ends);
        csv->out = mem_grow(csv->out, csv->cap, sizeof *csv->out);
    }
    csv->ends[csv->count++] = csv->text.len;
    csv->state = CSV_START;
}

/* A record is complete: says whether there is one to show. */
static enum csv_result record_end(struct csv *csv)
{
    struct slice text = buf_slice(&csv->text);
    size_t start = 0;

    if (!csv->has_bytes)
        return CSV_MORE; /* an empty line */
    if (!csv->is_bad)
        field_end(csv);
    if (csv->is_bad)
        return CSV_BAD;
    for (size_t i = 0; i < csv->count; i++) {
        csv->out[i] = slice_of(text.ptr + start, csv->ends[i] - start);
        start = csv->ends[i];
    }
    return CSV_RECORD;
}

/* Bytes of a field that mean nothing to the reader, taken at once. */
static size_t plain_run(const char *at, size_t len, bool is_quoted)
{
    size_t n = 0;

    if (is_quoted)
        while (n < len && at[n] != '"' && at[n] != '\n' && at[n])
            n++;
    else
        while (n < len && at[n] != ',' && at[n] != '\n' && at[n] != '\r' && at[n] != '"' && at[n])
            n++;
    return n;
}

static void take_byte(struct csv *csv, char c)
{
    if (c == 0) {
        fail(csv, "a NUL byte");
        return;
    }
    switch (csv->state) {
    case CSV_START:
        if (c == '"') {
            csv->state = CSV_QUOTED;
            break;
        }
        csv->state = CSV_BARE;
        /* fall through */
    case CSV_BARE:
        if (c == ',')
            field_end(csv);
        else if (c == '"')
            fail(csv, "a quote inside a field that is not quoted");
        else
            buf_add_char(&csv->text, c);
        break;
    case CSV_QUOTED:
        if (c == '"')
            csv->state = CSV_QUOTE;
        else
            buf_add_char(&csv->text, c);
        break;
    case CSV_QUOTE:
        if (c == '"') {
            buf_add_char(&csv->text, c);
            csv->state = CSV_QUOTED;
        } else if (c == ',') {
            field_end(csv);
        } else {
            fail(csv, "something behind a closing quote");
        }
        break;
    case CSV_SKIP:
        break;
    }
}

enum csv_result csv_next(struct csv *csv, struct slice *bytes, bool is_last)
{
    enum csv_result result;

    if (!csv->has_bytes)
        record_start(csv);
    while (bytes->len) {
        char c = bytes->ptr[0];

        if (csv->state == CSV_BARE || csv->state == CSV_QUOTED) {
            size_t run = plain_run(bytes->ptr, bytes->len, csv->state == CSV_QUOTED);

            if (run && !csv->is_after_cr) {
                if (!buf_add(&csv->text, bytes->ptr, run))
                    fail(csv, "a record of more than 1 MiB");
                *bytes = slice_of(bytes->ptr + run, bytes->len - run);
                continue;
            }
        }
        *bytes = slice_of(bytes->ptr + 1, bytes->len - 1);
        if (c == '\n') {
            bool ends = csv->state != CSV_QUOTED;

            csv->line++;
            csv->is_after_cr = false;
            if (!ends) {
                take_byte(csv, c);
                continue;
            }
            result = record_end(csv);
            csv->has_bytes = false;
            if (result != CSV_MORE)
                return result;
            record_start(csv);
            continue;
        }
        if (csv->is_after_cr) {
            csv->is_after_cr = false;
            fail(csv, "a carriage return that ends no line");
        }
        if (c == '\r' && csv->state != CSV_QUOTED) {
            csv->is_after_cr = true;
            continue;
        }
        csv->has_bytes = true;
        take_byte(csv, c);
        if (csv->text.is_over && !csv->is_bad)
            fail(csv, "a record of more than 1 MiB");
    }
    if (!is_last)
        return CSV_MORE;
    if (!csv->has_bytes)
        return CSV_END;
    if (csv->state == CSV_QUOTED)
        fail(csv, "the input ends inside quotes");
    result = record_end(csv);
    csv->has_bytes = false;
    return result == CSV_MORE ? CSV_END : result;
}

const struct slice *csv_fields(const struct csv *csv, size_t *count)
{
    *count = csv->count;
    return csv->out;
}

uint64_t csv_line(const struct csv *csv)
{
    return csv->record_line;
}

const char *csv_reason(const struct csv *csv)
{
    return csv->reason;
}
