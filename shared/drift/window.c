/* SPDX-License-Identifier: Apache-2.0
 * window.c - see window.h. */
#include "drift/window.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/varint.h"
#include "drift/layout_impl.h"

static const char magic[] = "assay window 1\n";
static const struct hash_key key = { "assay window 1\n" };
enum { MAGIC_BYTES = sizeof magic - 1, SUM_BYTES = 8 };

void drift_window_init(struct drift_window *w, const struct drift_layout *layout)
{
    *w = (struct drift_window){ .layout = layout };
    w->counts = mem_new_n(uint64_t, layout->counts);
    drift_window_clear(w);
}

void drift_window_release(struct drift_window *w)
{
    if (!w)
        return;
    mem_free(w->counts);
    *w = (struct drift_window){ 0 };
}

void drift_window_clear(struct drift_window *w)
{
    w->rows = 0;
    w->first_us = INT64_MAX;
    w->last_us = INT64_MIN;
    memset(w->counts, 0, w->layout->counts * sizeof *w->counts);
}

/* ---- counting ---- */

void drift_window_add(struct drift_window *w, const struct drift_row *row)
{
    const struct drift_layout *l = w->layout;
    size_t score = drift_cut_bin(&l->score, row->margin), action = (size_t)row->action;

    w->rows++;
    w->first_us = row->at_us < w->first_us ? row->at_us : w->first_us;
    w->last_us = row->at_us > w->last_us ? row->at_us : w->last_us;
    for (size_t c = 0; row->features && c < l->columns; c++) {
        const struct drift_cut *cut = &l->features[c];

        w->counts[cut->offset + drift_cut_bin(cut, (double)row->features[c])]++;
    }
    w->counts[l->score.offset + score]++;
    w->counts[l->action_offset + action]++;
    for (size_t i = 0; i < DRIFT_FIELD_COUNT; i++) {
        const struct drift_slots *f = &l->fields[i];
        size_t slot = drift_slots_find(f, row->fields[i]);
        uint64_t *segment = w->counts + f->segments + slot * (l->score.bins + ACTION_COUNT);

        w->counts[f->offset + slot]++;
        segment[score]++;
        segment[l->score.bins + action]++;
    }
}

void drift_window_merge(struct drift_window *sum, const struct drift_window *more)
{
    assert(sum->layout->id == more->layout->id);
    sum->rows += more->rows;
    sum->first_us = more->first_us < sum->first_us ? more->first_us : sum->first_us;
    sum->last_us = more->last_us > sum->last_us ? more->last_us : sum->last_us;
    for (size_t i = 0; i < sum->layout->counts; i++)
        sum->counts[i] += more->counts[i];
}

bool drift_window_equal(const struct drift_window *a, const struct drift_window *b)
{
    return a->layout->id == b->layout->id && a->rows == b->rows && a->first_us == b->first_us &&
           a->last_us == b->last_us &&
           memcmp(a->counts, b->counts, a->layout->counts * sizeof *a->counts) == 0;
}

int64_t drift_slot(int64_t at_us, int64_t width_us)
{
    return at_us / width_us - (at_us % width_us < 0);
}

uint64_t drift_window_rows(const struct drift_window *w, const struct drift_subject *subject)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < subject->bins; i++)
        rows += w->counts[subject->offset + i];
    return rows;
}

/* ---- the reference ---- */

static void take_counts(struct drift_window *w, const struct drift_cut *cut, const struct histogram *h)
{
    assert(h->edge_count + 2 == cut->bins);
    for (size_t i = 0; i < cut->bins; i++)
        w->counts[cut->offset + i] = h->counts[i];
}

void drift_reference(struct drift_window *w, const struct bundle *bundle)
{
    const struct histogram *features = bundle_histograms(bundle), *margins = bundle_margin_histogram(bundle);

    drift_window_clear(w);
    for (size_t c = 0; features && c < w->layout->columns; c++)
        take_counts(w, &w->layout->features[c], &features[c]);
    if (margins)
        take_counts(w, &w->layout->score, margins);
    for (size_t i = 0; i < w->layout->subject_count; i++) {
        uint64_t rows = drift_window_rows(w, &w->layout->subjects[i]);

        w->rows = rows > w->rows ? rows : w->rows;
    }
}

void drift_reference_complete(struct drift_window *reference, const struct drift_window *baseline)
{
    assert(reference->layout->id == baseline->layout->id);
    for (size_t i = 0; i < reference->layout->subject_count; i++) {
        const struct drift_subject *s = &reference->layout->subjects[i];

        if (drift_window_rows(reference, s) == 0)
            memcpy(reference->counts + s->offset, baseline->counts + s->offset, s->bins * sizeof(uint64_t));
    }
    reference->rows = baseline->rows > reference->rows ? baseline->rows : reference->rows;
}

/* ---- packed ---- */

static void add_fixed(struct buf *out, uint64_t number)
{
    for (int i = 0; i < SUM_BYTES; i++)
        buf_add_char(out, (char)(unsigned char)(number >> 8 * i));
}

static uint64_t fixed_at(const char *bytes)
{
    uint64_t number = 0;

    for (int i = 0; i < SUM_BYTES; i++)
        number |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
    return number;
}

void drift_window_pack(const struct drift_window *w, struct buf *out)
{
    size_t start = out->len;

    buf_add(out, magic, MAGIC_BYTES);
    add_fixed(out, w->layout->id);
    varint_add(out, w->rows);
    varint_add_signed(out, w->first_us);
    varint_add_signed(out, w->last_us);
    varint_add_counts(out, w->counts, w->layout->counts);
    add_fixed(out, hash64(&key, slice_of(buf_slice(out).ptr + start, out->len - start)));
}

/* Each subject counts a row at most once. */
static bool is_possible(const struct drift_window *w)
{
    for (size_t i = 0; i < w->layout->subject_count; i++) {
        const struct drift_subject *s = &w->layout->subjects[i];
        uint64_t left = w->rows;

        for (size_t bin = 0; bin < s->bins; bin++) {
            if (w->counts[s->offset + bin] > left)
                return false;
            left -= w->counts[s->offset + bin];
        }
    }
    return true;
}

static enum err read_window(struct drift_window *w, struct slice bytes, struct why *why)
{
    struct varint_reader r = { 0 };
    uint64_t id;

    if (bytes.len < MAGIC_BYTES + 2 * SUM_BYTES || memcmp(bytes.ptr, magic, MAGIC_BYTES) != 0)
        return err_set(why, ERR_SYNTAX, "this is no window");
    if (fixed_at(bytes.ptr + bytes.len - SUM_BYTES) !=
        hash64(&key, slice_of(bytes.ptr, bytes.len - SUM_BYTES)))
        return err_set(why, ERR_SYNTAX, "the window is damaged");
    id = fixed_at(bytes.ptr + MAGIC_BYTES);
    if (id != w->layout->id)
        return err_set(why, ERR_INVALID, "a window of layout %016llx; it is wanted of %016llx",
                       (unsigned long long)id, (unsigned long long)w->layout->id);
    r.rest = slice_of(bytes.ptr + MAGIC_BYTES + SUM_BYTES, bytes.len - MAGIC_BYTES - 2 * SUM_BYTES);
    w->rows = varint_read(&r);
    w->first_us = varint_read_signed(&r);
    w->last_us = varint_read_signed(&r);
    varint_read_counts(&r, w->counts, w->layout->counts, DRIFT_ROWS_MAX);
    if (!varint_is_done(&r) || w->rows > DRIFT_ROWS_MAX || !is_possible(w))
        return err_set(why, ERR_SYNTAX, "the window has counts that no window has");
    return ERR_OK;
}

enum err drift_window_open(struct drift_window *w, const struct drift_layout *layout, struct slice bytes,
                           struct why *why)
{
    enum err err;

    drift_window_init(w, layout);
    if (bytes.len > DRIFT_WINDOW_BYTES_MAX)
        return err_set(why, ERR_TOO_LARGE, "a window of %zu bytes", bytes.len);
    err = read_window(w, bytes, why);
    if (err)
        drift_window_clear(w);
    return err;
}
