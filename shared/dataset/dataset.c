/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset/dataset.h"

#include <stdio.h>

#include "api/txn_json.h"
#include "base/mem.h"
#include "csv/csv.h"
#include "dataset/input.h"
#include "dataset/label_queue.h"
#include "json/json.h"

enum { LINE_MAX_BYTES = 1 << 20 };

struct dataset {
    struct input *input;
    struct dataset_options options;
    struct slice piece; /* what is left of the input's last piece */
    bool is_last;       /* nothing follows `piece` */

    struct mapping *mapping; /* NULL for NDJSON */
    struct csv csv;
    uint64_t row;

    struct buf line; /* NDJSON: the front of a line that is cut between two pieces */
    uint64_t line_number;

    struct arena arena; /* of the transaction that was read ahead */
    struct txn ahead;
    bool has_ahead, is_drained;
    int64_t now_us;
    struct label_queue labels;
    struct dataset_counts counts;
};

static struct dataset *dataset_new(const struct dataset_options *options)
{
    struct dataset *d = mem_new(struct dataset);

    d->options = *options;
    d->now_us = INT64_MIN;
    csv_init(&d->csv);
    buf_init(&d->line, LINE_MAX_BYTES);
    return d;
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    input_close(d->input);
    csv_release(&d->csv);
    buf_release(&d->line);
    arena_release(&d->arena);
    label_queue_release(&d->labels);
    mem_free(d);
}

static void tell_bad(struct dataset *d, uint64_t line, const char *reason)
{
    d->counts.bad++;
    if (d->options.bad_row)
        d->options.bad_row(d->options.context, line, reason);
}

static enum err more(struct dataset *d, struct why *why)
{
    return input_next(d->input, &d->piece, &d->is_last, why);
}

/* ---- CSV ---- */

static enum err next_record(struct dataset *d, enum csv_result *result, struct why *why)
{
    while ((*result = csv_next(&d->csv, &d->piece, d->is_last)) == CSV_MORE) {
        enum err err = more(d, why);

        if (err)
            return err;
    }
    return ERR_OK;
}

enum err dataset_open_csv(struct dataset **out, const char *path, struct mapping *mapping,
                          const struct dataset_options *options, struct why *why)
{
    struct dataset *d = dataset_new(options);
    enum csv_result result;
    const struct slice *header;
    size_t count;
    enum err err;

    *out = NULL;
    d->mapping = mapping;
    err = input_open(&d->input, path, why);
    if (!err)
        err = next_record(d, &result, why);
    if (!err && result != CSV_RECORD)
        err = err_set(why, ERR_INVALID, "%s has no header line", path);
    if (!err) {
        header = csv_fields(&d->csv, &count);
        err = mapping_bind(mapping, header, count, why);
    }
    if (err) {
        dataset_close(d);
        return err;
    }
    *out = d;
    return ERR_OK;
}

/* The transaction is kept ahead and its label put in the queue. */
static void take_record(struct dataset *d)
{
    size_t count;
    const struct slice *fields = csv_fields(&d->csv, &count);
    struct label label;
    struct why why = { 0 };
    struct txn txn;
    bool has_label;

    arena_reset(&d->arena);
    for (size_t i = 0; i < count; i++) /* the reader's bytes go with the next record */
        ((struct slice *)fields)[i] = arena_slice(&d->arena, fields[i]);
    if (mapping_apply(d->mapping, fields, count, d->row++, d->options.account, &txn, &label, &has_label,
                      &d->arena, &why)) {
        tell_bad(d, csv_line(&d->csv), why.text);
        return;
    }
    d->ahead = txn;
    d->has_ahead = true;
    if (has_label && label.is_fraud)
        d->counts.frauds++;
    if (has_label && (label.is_fraud || d->options.all_labels))
        label_queue_put(&d->labels, &label);
}

static enum err read_csv(struct dataset *d, struct why *why)
{
    while (!d->has_ahead && !d->is_drained) {
        enum csv_result result;
        enum err err = next_record(d, &result, why);

        if (err)
            return err;
        if (result == CSV_END)
            d->is_drained = true;
        else if (result == CSV_BAD)
            tell_bad(d, csv_line(&d->csv), csv_reason(&d->csv));
        else
            take_record(d);
    }
    return ERR_OK;
}

/* ---- NDJSON ---- */

enum err dataset_open_ndjson(struct dataset **out, const char *path, const struct dataset_options *options,
                             struct why *why)
{
    struct dataset *d = dataset_new(options);
    enum err err = input_open(&d->input, path, why);

    *out = NULL;
    if (err) {
        dataset_close(d);
        return err;
    }
    *out = d;
    return ERR_OK;
}

/* Reads one line into *event; false when it is told as bad, or empty. */
static bool take_line(struct dataset *d, struct slice line, struct dataset_event *event)
{
    struct txn_rules rules = {
        .account = d->options.account,
        .is_simulated = true,
        .allows_numeric_ids = true,
    };
    struct faults faults = { .arena = &d->arena };
    struct slice type;
    struct why why = { 0 };
    struct json_value *value;
    bool is_good;

    d->line_number++;
    if (!line.len)
        return false;
    arena_reset(&d->arena);
    if (json_read(&value, line, JSON_DEPTH_MAX, &d->arena, &why)) {
        tell_bad(d, d->line_number, why.text);
        return false;
    }
    type = json_text(json_take_member(value, "type"));
    /* Amounts are taken in their own currency: a file has one. */
    rules.base_currency = arena_slice(&d->arena, json_text(json_member(value, "currency")));
    if (slice_eq(type, SLICE("transaction"))) {
        event->kind = DATASET_TXN;
        is_good = txn_from_json(&event->txn, value, &rules, NULL, &faults);
    } else if (slice_eq(type, SLICE("label"))) {
        event->kind = DATASET_LABEL;
        is_good = label_from_json(&event->label, value, &rules, NULL, &faults);
    } else {
        is_good = false;
        faults_add(&faults, NULL, "\"type\" must be \"transaction\" or \"label\"");
    }
    if (!is_good && faults.count) {
        struct slice told = arena_printf(&d->arena, "%.*s %.*s", SLICE_ARG(faults.items[0].pointer),
                                         SLICE_ARG(faults.items[0].detail));

        tell_bad(d, d->line_number, told.ptr);
    }
    return is_good;
}

/* Moves the bytes up to the next line end into *line; false when there are no more lines. */
static enum err next_line(struct dataset *d, struct slice *line, bool *is_end, struct why *why)
{
    buf_clear(&d->line);
    *is_end = false;
    for (;;) {
        const char *end = d->piece.len ? memchr(d->piece.ptr, '\n', d->piece.len) : NULL;
        size_t n = end ? (size_t)(end - d->piece.ptr) : d->piece.len;
        enum err err;

        *line = slice_of(d->piece.ptr, n);
        if (end && !d->line.len && !d->line.is_over) {
            d->piece = slice_of(end + 1, d->piece.len - n - 1);
            return ERR_OK;
        }
        buf_add_slice(&d->line, *line);
        if (end || d->is_last) {
            d->piece = slice_of(d->piece.ptr + n + (end != NULL), d->piece.len - n - (end != NULL));
            *line = buf_slice(&d->line);
            *is_end = !end && !line->len && !d->line.is_over;
            if (d->line.is_over)
                tell_bad(d, ++d->line_number, "a line of more than 1 MiB");
            return ERR_OK;
        }
        err = more(d, why);
        if (err)
            return err;
    }
}

static enum err ndjson_next(struct dataset *d, struct dataset_event *event, bool *is_end, struct why *why)
{
    for (;;) {
        struct slice line;
        enum err err = next_line(d, &line, is_end, why);

        if (err || *is_end)
            return err;
        if (d->line.is_over || !take_line(d, line, event))
            continue;
        if (event->kind == DATASET_TXN) {
            d->counts.transactions++;
        } else {
            d->counts.labels++;
            d->counts.frauds += event->label.is_fraud;
        }
        return ERR_OK;
    }
}

/* ---- the stream ---- */

enum err dataset_next(struct dataset *d, struct dataset_event *event, bool *is_end, struct why *why)
{
    const struct label *due;
    enum err err;

    *is_end = false;
    if (!d->mapping)
        return ndjson_next(d, event, is_end, why);
    err = read_csv(d, why);
    if (err)
        return err;
    due = label_queue_first(&d->labels);
    if (due && (!d->has_ahead || due->known_at_us <= d->ahead.known_at_us)) {
        event->kind = DATASET_LABEL;
        event->label = label_queue_take(&d->labels);
        d->counts.labels++;
        return ERR_OK;
    }
    if (!d->has_ahead) {
        *is_end = true;
        return ERR_OK;
    }
    event->kind = DATASET_TXN;
    event->txn = d->ahead;
    if (event->txn.known_at_us < d->now_us) {
        event->txn.known_at_us = d->now_us;
        d->counts.late++;
    }
    d->now_us = event->txn.known_at_us;
    d->has_ahead = false;
    d->counts.transactions++;
    return ERR_OK;
}

struct dataset_counts dataset_counts(const struct dataset *d)
{
    return d->counts;
}

void dataset_write(struct buf *out, const struct dataset_event *event)
{
    const char *type = event->kind == DATASET_TXN ? "{\"type\":\"transaction\"," : "{\"type\":\"label\",";
    struct json_out o = json_out_to(out);
    size_t start = out->len, brace = strlen(type) - 1;

    /* The body's opening brace is written where the type's last byte, the comma, belongs. */
    buf_add(out, type, brace);
    if (event->kind == DATASET_TXN)
        txn_to_json(&o, NULL, &event->txn, true);
    else
        label_to_json(&o, NULL, &event->label, true);
    if (!out->is_over)
        out->data[out->taken + start + brace] = ',';
    buf_add_char(out, '\n');
}
