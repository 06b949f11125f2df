/* SPDX-License-Identifier: Apache-2.0 */
#include "monitorstore/span.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "modelstore/modelstore.h"
#include "monitorstore/windows.h"

/* ---- a verdict, as it is kept ---- */

static bool is_segment(const struct drift_subject *subject)
{
    return subject->kind == DRIFT_SEGMENT_SCORE || subject->kind == DRIFT_SEGMENT_ACTION;
}

static bool is_beyond(const struct drift_verdict *v)
{
    for (size_t t = 0; t < DRIFT_TEST_COUNT; t++)
        if (v->tests[t].is_beyond)
            return true;
    return false;
}

/* The tests that are beyond in words, else the one that says how the shape is. */
static struct slice explain(const struct drift_layout *layout, const struct drift_verdict *v,
                            struct arena *arena)
{
    struct buf text;
    struct slice kept;

    buf_init(&text, 0);
    for (size_t t = 0; t < DRIFT_TEST_COUNT; t++) {
        if (!v->tests[t].is_tested || (!v->tests[t].is_beyond && (t != DRIFT_SHAPE || is_beyond(v))))
            continue;
        if (text.len)
            buf_printf(&text, "; ");
        drift_explain(layout, v, (enum drift_test)t, &text);
    }
    kept = arena_slice(arena, buf_slice(&text));
    buf_release(&text);
    return kept.ptr ? kept : SLICE("");
}

struct found found_of_verdict(const struct drift_layout *layout, const struct drift_verdict *v,
                              struct arena *arena)
{
    const struct drift_finding *shape = &v->tests[DRIFT_SHAPE], *missing = &v->tests[DRIFT_MISSING],
                               *unseen = &v->tests[DRIFT_UNSEEN];
    bool has_field = v->subject->kind == DRIFT_FIELD || is_segment(v->subject);

    return (struct found){ .kind = slice_str(drift_kind_name(v->subject->kind)),
                           .field = has_field ? slice_str(drift_field_name(v->subject->field)) : SLICE(""),
                           .name = arena_slice(arena, v->subject->name),
                           .rows = (int64_t)v->rows,
                           .reference_rows = (int64_t)v->reference_rows,
                           .psi = v->psi,
                           .psi_critical = v->psi_critical,
                           .js = shape->is_tested ? shape->value : NAN,
                           .js_critical = shape->is_tested ? shape->critical : NAN,
                           .missing = missing->is_tested ? missing->value : NAN,
                           .missing_reference = missing->is_tested ? missing->reference : NAN,
                           .missing_critical = missing->is_tested ? missing->critical : NAN,
                           .unseen = unseen->is_tested ? unseen->value : NAN,
                           .unseen_reference = unseen->is_tested ? unseen->reference : NAN,
                           .unseen_critical = unseen->is_tested ? unseen->critical : NAN,
                           .is_beyond = is_beyond(v),
                           .text = explain(layout, v, arena) };
}

/* ---- hours ---- */

struct span {
    struct drift_layout *layout;
    struct drift_window reference, baseline, sum;
    struct drift_verdict *verdicts;
};

static enum err open_span(struct span *span, struct pg_session *s, const struct watched_model *stored,
                          struct why *why)
{
    struct bundle *bundle = NULL;
    struct buf bytes;
    enum err err = drift_layout_open(&span->layout, stored->layout, why);

    if (err)
        return err;
    drift_window_init(&span->reference, span->layout);
    drift_window_init(&span->sum, span->layout);
    err = drift_window_open(&span->baseline, span->layout, stored->baseline, why);
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    if (!err)
        err = model_read(s, stored->version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), why);
    buf_release(&bytes);
    if (err)
        return err;
    drift_reference(&span->reference, bundle);
    drift_reference_complete(&span->reference, &span->baseline);
    bundle_close(bundle);
    return ERR_OK;
}

static void close_span(struct span *span)
{
    if (span->layout) {
        drift_window_release(&span->reference);
        drift_window_release(&span->baseline);
        drift_window_release(&span->sum);
    }
    mem_free(span->verdicts);
    drift_layout_free(span->layout);
}

static enum err sum_hours(struct span *span, struct pg_session *s, const struct watched_model *stored,
                          int64_t hours, struct arena *arena, struct why *why)
{
    int64_t until_us = (drift_slot(stored->last_us, HOUR_US) + 1) * HOUR_US;
    struct slice *packed;
    size_t count;
    enum err err = watched_hours(s, stored->lane, stored->version, until_us - hours * HOUR_US, until_us,
                                 &packed, &count, arena, why);

    for (size_t i = 0; i < count && !err; i++) {
        struct drift_window hour;

        err = drift_window_open(&hour, span->layout, packed[i], why);
        if (!err)
            drift_window_merge(&span->sum, &hour);
        drift_window_release(&hour);
    }
    return err;
}

static bool is_tested(const struct drift_verdict *v)
{
    for (size_t t = 0; t < DRIFT_TEST_COUNT; t++)
        if (v->tests[t].is_tested)
            return true;
    return false;
}

/* Beyond first, then the largest multiple of noise. */
static int by_weight(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    double weight_x = x->js_critical > 0 ? x->js / x->js_critical : 0;
    double weight_y = y->js_critical > 0 ? y->js / y->js_critical : 0;

    if (x->is_beyond != y->is_beyond)
        return x->is_beyond ? -1 : 1;
    if (weight_x > weight_y || weight_x < weight_y)
        return weight_x > weight_y ? -1 : 1;
    return slice_compare(x->name, y->name);
}

static void judge(struct span *span, const struct watched_model *stored,
                  const struct drift_settings *settings, struct found **out, size_t *count,
                  struct arena *arena)
{
    struct drift_judge *judge = drift_judge_new(&span->reference, settings);
    size_t subjects = drift_layout_subjects(span->layout);

    span->verdicts = mem_new_n(struct drift_verdict, subjects + 1);
    drift_judge_window(judge, &span->sum, span->verdicts);
    *out = arena_new(arena, struct found, subjects + 1);
    for (size_t i = 0; i < subjects; i++) {
        const struct drift_verdict *v = &span->verdicts[i];
        struct found *found = &(*out)[*count];

        if (!is_tested(v) || (is_segment(v->subject) && !is_beyond(v)))
            continue;
        *found = found_of_verdict(span->layout, v, arena);
        found->lane = stored->lane;
        found->version = stored->version;
        found->at_us = stored->last_us;
        ++*count;
    }
    if (*count)
        qsort(*out, *count, sizeof **out, by_weight);
    drift_judge_free(judge);
}

enum err span_judge(struct pg_session *s, int32_t lane, int64_t version, int64_t hours,
                    const struct drift_settings *settings, struct found **out, size_t *count,
                    struct arena *arena, struct why *why)
{
    struct watched_model stored;
    struct span span = { 0 };
    bool is_there;
    enum err err = watched_model_read(s, lane, version, &stored, &is_there, arena, why);

    *count = 0;
    if (!err && !is_there)
        err =
            err_set(why, ERR_NOT_FOUND, "version %" PRId64 " is not watched in lane %d", version, (int)lane);
    if (!err)
        err = open_span(&span, s, &stored, why);
    if (!err)
        err = sum_hours(&span, s, &stored, hours, arena, why);
    if (!err)
        judge(&span, &stored, settings, out, count, arena);
    close_span(&span);
    return err;
}

/* ---- bins ---- */

static const struct drift_subject *find_subject(const struct drift_layout *layout, struct slice kind,
                                                struct slice field, struct slice name)
{
    for (size_t i = 0; i < drift_layout_subjects(layout); i++) {
        const struct drift_subject *subject = drift_layout_subject(layout, i);
        bool has_field = subject->kind == DRIFT_FIELD || is_segment(subject);

        if (kind.len && !slice_eq_str(kind, drift_kind_name(subject->kind)))
            continue;
        if (field.len && !(has_field && slice_eq_str(field, drift_field_name(subject->field))))
            continue;
        if (slice_eq(name, subject->name))
            return subject;
    }
    return NULL;
}

static void fill_bins(struct span_bins *out, const struct span *span, const struct drift_subject *subject,
                      const struct drift_window *now, struct arena *arena)
{
    char text[DRIFT_BIN_TEXT];

    out->reference_rows = drift_window_rows(&span->reference, subject);
    out->rows = drift_window_rows(now, subject);
    out->bins = arena_new(arena, struct span_bin, subject->bins + 1);
    for (; out->count < subject->bins; out->count++)
        out->bins[out->count] = (struct span_bin){
            .text = arena_slice(arena, slice_str(drift_bin_text(span->layout, subject, out->count, text))),
            .reference = drift_window_counts(&span->reference, subject)[out->count],
            .now = drift_window_counts(now, subject)[out->count],
        };
}

static enum err compare(struct span *span, const struct watched_window *window, struct slice kind,
                        struct slice field, struct slice name, struct span_bins *out, struct arena *arena,
                        struct why *why)
{
    const struct drift_subject *subject = find_subject(span->layout, kind, field, name);
    struct drift_window now;
    enum err err;

    if (!subject)
        return err_set(why, ERR_NOT_FOUND, "the model has no subject \"%.*s\"", SLICE_ARG(name));
    err = drift_window_open(&now, span->layout, window->window, why);
    if (!err)
        fill_bins(out, span, subject, &now, arena);
    drift_window_release(&now);
    return err;
}

enum err span_bins_read(struct pg_session *s, int32_t lane, int64_t version, int64_t number,
                        struct slice kind, struct slice field, struct slice name, struct span_bins *out,
                        struct arena *arena, struct why *why)
{
    struct watched_model stored;
    struct watched_window *window;
    struct span span = { 0 };
    size_t count = 0;
    bool is_there = false;
    enum err err = watched_model_read(s, lane, version, &stored, &is_there, arena, why);

    *out = (struct span_bins){ .number = number };
    if (!err && is_there)
        err = watched_windows(s, lane, version, number, 1, &window, &count, arena, why);
    if (!err && (!count || window[0].number != number))
        err = err_set(why, ERR_NOT_FOUND, "window %" PRId64 " of version %" PRId64 " is not kept", number,
                      version);
    if (!err) {
        out->at_us = window[0].last_us;
        err = open_span(&span, s, &stored, why);
    }
    if (!err)
        err = compare(&span, &window[0], kind, field, name, out, arena, why);
    close_span(&span);
    return err;
}
