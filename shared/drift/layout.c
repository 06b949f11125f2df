/* SPDX-License-Identifier: Apache-2.0
 * layout.c - see layout.h. */
#include "drift/layout.h"

#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "base/varint.h"
#include "drift/layout_impl.h"

static const char magic[] = "assay layout 1\n";
static const struct hash_key key = { "assay layout 1\n" };
enum { MAGIC_BYTES = sizeof magic - 1, SUM_BYTES = 8, EDGES_MAX = BUNDLE_EDGES_MAX };

static const struct {
    const char *name;
    enum txn_text text;
} fields[DRIFT_FIELD_COUNT] = {
    [DRIFT_CHANNEL] = { "channel", TXN_channel },
    [DRIFT_COUNTRY] = { "country", TXN_country },
    [DRIFT_MCC] = { "mcc", TXN_mcc },
};

static const char *const kind_names[DRIFT_KIND_COUNT] = {
    [DRIFT_FEATURE] = "feature",
    [DRIFT_SCORE] = "score",
    [DRIFT_ACTION] = "action",
    [DRIFT_FIELD] = "field",
    [DRIFT_SEGMENT_SCORE] = "segment_score",
    [DRIFT_SEGMENT_ACTION] = "segment_action",
};

const char *drift_field_name(enum drift_field field)
{
    return fields[field].name;
}

const char *drift_kind_name(enum drift_kind kind)
{
    return kind_names[kind];
}

/* ---- categories ---- */

static size_t place_of(struct slice name)
{
    uint32_t h = 2166136261u; /* FNV-1a: the table holds what we put there, so nobody can fill one chain */

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * 16777619u;
    return (h ^ h >> 16) % DRIFT_SLOTS;
}

size_t drift_slots_find(const struct drift_slots *f, struct slice value)
{
    if (value.len == 0)
        return f->count + 1;
    for (size_t at = place_of(value); f->table[at]; at = (at + 1) % DRIFT_SLOTS) {
        if (slice_eq(f->names[f->table[at] - 1], value))
            return (size_t)f->table[at] - 1;
    }
    return f->count;
}

static enum err add_category(struct drift_layout *l, struct drift_slots *f, const char *field,
                             struct slice name, struct why *why)
{
    size_t at = place_of(name);

    if (name.len == 0 || name.len > DRIFT_NAME_MAX)
        return err_set(why, ERR_INVALID, "%s: a category of %zu bytes; 1 to %d are allowed", field, name.len,
                       DRIFT_NAME_MAX);
    if (drift_slots_find(f, name) != f->count)
        return err_set(why, ERR_INVALID, "%s: the category %.*s is there twice", field, SLICE_ARG(name));
    while (f->table[at])
        at = (at + 1) % DRIFT_SLOTS;
    f->names[f->count] = arena_slice(&l->arena, name);
    f->table[at] = (uint8_t)++f->count;
    return ERR_OK;
}

/* ---- subjects ---- */

static struct drift_subject *add_subject(struct drift_layout *l, enum drift_kind kind, struct slice name,
                                         size_t bins)
{
    struct drift_subject *s = &l->subjects[l->subject_count++];

    *s = (struct drift_subject){
        .kind = kind,
        .name = name,
        .offset = l->counts,
        .bins = bins,
        .missing_bin = DRIFT_NO_BIN,
        .unseen_bin = DRIFT_NO_BIN,
    };
    l->counts += bins;
    return s;
}

static void add_cut_subject(struct drift_layout *l, enum drift_kind kind, struct slice name,
                            const struct drift_cut *cut)
{
    struct drift_subject *s = add_subject(l, kind, name, cut->bins);

    s->missing_bin = cut->bins - 1;
    s->edges = cut->edges;
}

static enum err make_cut(struct drift_layout *l, struct drift_cut *cut, struct slice name,
                         const struct histogram *h, struct why *why)
{
    size_t count = h ? h->edge_count : 0, padded;
    double *edges;

    if (count > EDGES_MAX)
        return err_set(why, ERR_INVALID, "%.*s: %zu edges; at most %d are allowed", SLICE_ARG(name), count,
                       EDGES_MAX);
    while (((size_t)1 << cut->steps) - 1 < count)
        cut->steps++;
    padded = (size_t)1 << cut->steps;
    edges = arena_new(&l->arena, double, padded);
    for (size_t i = 0; i < padded; i++) {
        edges[i] = i < count ? h->edges[i] : INFINITY;
        if (i < count && (!isfinite(edges[i]) || (i > 0 && edges[i] <= edges[i - 1])))
            return err_set(why, ERR_INVALID, "%.*s: edge %zu does not rise", SLICE_ARG(name), i);
    }
    cut->edges = edges;
    cut->bins = (uint32_t)(count + 2);
    return ERR_OK;
}

static enum err add_features(struct drift_layout *l, const struct drift_source *source, struct why *why)
{
    l->columns = source->columns;
    l->features = arena_new(&l->arena, struct drift_cut, source->columns + 1);
    for (size_t c = 0; c < source->columns; c++) {
        struct slice name = source->features[c];
        enum err err;

        if (name.len == 0 || name.len > DRIFT_NAME_MAX)
            return err_set(why, ERR_INVALID, "feature %zu: a name of %zu bytes; 1 to %d are allowed", c,
                           name.len, DRIFT_NAME_MAX);
        err = make_cut(l, &l->features[c], name, source->histograms ? &source->histograms[c] : NULL, why);
        if (err)
            return err;
        l->features[c].offset = (uint32_t)l->counts;
        add_cut_subject(l, DRIFT_FEATURE, arena_slice(&l->arena, name), &l->features[c]);
    }
    return ERR_OK;
}

static void add_field(struct drift_layout *l, enum drift_field field)
{
    struct drift_slots *f = &l->fields[field];
    struct drift_subject *s = add_subject(l, DRIFT_FIELD, slice_str(fields[field].name), f->count + 2);

    s->field = field;
    s->unseen_bin = f->count;
    s->missing_bin = f->count + 1;
    f->offset = (uint32_t)s->offset;
}

static void add_segments(struct drift_layout *l, enum drift_field field)
{
    struct drift_slots *f = &l->fields[field];

    f->segments = (uint32_t)l->counts;
    for (size_t i = 0; i < f->count + 2; i++) {
        struct slice name = i < f->count    ? f->names[i]
                            : i == f->count ? SLICE("(unseen)")
                                            : SLICE("(missing)");

        add_cut_subject(l, DRIFT_SEGMENT_SCORE, name, &l->score);
        l->subjects[l->subject_count - 1].field = field;
        add_subject(l, DRIFT_SEGMENT_ACTION, name, ACTION_COUNT)->field = field;
    }
}

static enum err add_fields(struct drift_layout *l, const struct drift_source *source, struct why *why)
{
    for (size_t field = 0; field < DRIFT_FIELD_COUNT; field++) {
        const struct drift_categories *known = &source->fields[field];

        for (size_t i = 0; i < known->count && i < DRIFT_CATEGORIES_MAX; i++) {
            enum err err = add_category(l, &l->fields[field], fields[field].name, known->names[i], why);

            if (err)
                return err;
        }
        add_field(l, (enum drift_field)field);
    }
    for (size_t field = 0; field < DRIFT_FIELD_COUNT; field++)
        add_segments(l, (enum drift_field)field);
    return ERR_OK;
}

/* ---- made and freed ---- */

static void set_id(struct drift_layout *l)
{
    struct buf bytes;

    buf_init(&bytes, 0);
    drift_layout_pack(l, &bytes);
    l->id = hash64(&key, buf_slice(&bytes));
    buf_release(&bytes);
}

enum err drift_layout_new(struct drift_layout **out, const struct drift_source *source, struct why *why)
{
    struct drift_layout *l = mem_new(struct drift_layout);
    enum err err;

    *out = NULL;
    if (source->columns > PLAN_COLUMNS_MAX) {
        mem_free(l);
        return err_set(why, ERR_INVALID, "%zu features; at most %d are allowed", source->columns,
                       PLAN_COLUMNS_MAX);
    }
    l->subjects = arena_new(&l->arena, struct drift_subject,
                            source->columns + 2 + DRIFT_FIELD_COUNT +
                                (size_t)DRIFT_FIELD_COUNT * 2 * (DRIFT_CATEGORIES_MAX + 2));
    err = add_features(l, source, why);
    if (!err)
        err = make_cut(l, &l->score, SLICE("score"), source->margins, why);
    if (!err) {
        l->score.offset = (uint32_t)l->counts;
        add_cut_subject(l, DRIFT_SCORE, SLICE("score"), &l->score);
        l->action_offset = (uint32_t)add_subject(l, DRIFT_ACTION, SLICE("action"), ACTION_COUNT)->offset;
        err = add_fields(l, source, why);
    }
    if (!err && l->counts > DRIFT_COUNTS_MAX)
        err = err_set(why, ERR_INVALID, "%zu bins; at most %d are allowed", l->counts, DRIFT_COUNTS_MAX);
    if (err) {
        drift_layout_free(l);
        return err;
    }
    set_id(l);
    *out = l;
    return ERR_OK;
}

enum err drift_layout_of_bundle(struct drift_layout **out, const struct bundle *bundle,
                                const struct drift_categories categories[DRIFT_FIELD_COUNT], struct why *why)
{
    const struct plan *plan = bundle_plan(bundle);
    size_t columns = plan_columns(plan);
    struct slice *names = mem_new_n(struct slice, columns + 1);
    struct drift_source source = {
        .features = names,
        .histograms = bundle_histograms(bundle),
        .columns = columns,
        .margins = bundle_margin_histogram(bundle),
    };
    enum err err;

    for (size_t c = 0; c < columns; c++)
        names[c] = plan_column(plan, c)->name;
    memcpy(source.fields, categories, sizeof source.fields);
    err = drift_layout_new(out, &source, why);
    mem_free(names);
    return err;
}

void drift_layout_free(struct drift_layout *layout)
{
    if (!layout)
        return;
    arena_release(&layout->arena);
    mem_free(layout);
}

/* ---- looked at ---- */

uint64_t drift_layout_id(const struct drift_layout *layout)
{
    return layout->id;
}

size_t drift_layout_subjects(const struct drift_layout *layout)
{
    return layout->subject_count;
}

const struct drift_subject *drift_layout_subject(const struct drift_layout *layout, size_t subject)
{
    return &layout->subjects[subject];
}

size_t drift_layout_find(const struct drift_layout *layout, enum drift_kind kind, enum drift_field field,
                         struct slice name)
{
    bool is_segment = kind == DRIFT_SEGMENT_SCORE || kind == DRIFT_SEGMENT_ACTION;

    for (size_t i = 0; i < layout->subject_count; i++) {
        const struct drift_subject *s = &layout->subjects[i];

        if (s->kind == kind && (!is_segment || s->field == field) && slice_eq(s->name, name))
            return i;
    }
    return SIZE_MAX;
}

static const char *edge_text(const struct drift_subject *s, size_t bin, char text[DRIFT_BIN_TEXT])
{
    size_t edges = s->bins - 2;

    if (edges == 0)
        snprintf(text, DRIFT_BIN_TEXT, "any");
    else if (bin == 0)
        snprintf(text, DRIFT_BIN_TEXT, "< %.6g", s->edges[0]);
    else if (bin == edges)
        snprintf(text, DRIFT_BIN_TEXT, ">= %.6g", s->edges[edges - 1]);
    else
        snprintf(text, DRIFT_BIN_TEXT, "%.6g to %.6g", s->edges[bin - 1], s->edges[bin]);
    return text;
}

const char *drift_bin_text(const struct drift_layout *layout, const struct drift_subject *subject, size_t bin,
                           char text[DRIFT_BIN_TEXT])
{
    if (bin == subject->missing_bin)
        return "missing";
    if (bin == subject->unseen_bin)
        return "unseen";
    switch (subject->kind) {
    case DRIFT_ACTION:
    case DRIFT_SEGMENT_ACTION:
        return action_name((enum action)bin);
    case DRIFT_FIELD:
        snprintf(text, DRIFT_BIN_TEXT, "%.*s", SLICE_ARG(layout->fields[subject->field].names[bin]));
        return text;
    default:
        return edge_text(subject, bin, text);
    }
}

/* ---- packed ---- */

static void pack_cut(const struct drift_cut *cut, struct buf *out)
{
    varint_add(out, cut->bins - 2);
    for (size_t i = 0; i + 2 < cut->bins; i++)
        varint_add_double(out, cut->edges[i]);
}

void drift_layout_pack(const struct drift_layout *layout, struct buf *out)
{
    size_t start = out->len;
    uint64_t sum;

    buf_add(out, magic, MAGIC_BYTES);
    varint_add(out, layout->columns);
    for (size_t c = 0; c < layout->columns; c++) {
        varint_add_slice(out, layout->subjects[c].name);
        pack_cut(&layout->features[c], out);
    }
    pack_cut(&layout->score, out);
    for (size_t f = 0; f < DRIFT_FIELD_COUNT; f++) {
        varint_add(out, layout->fields[f].count);
        for (size_t i = 0; i < layout->fields[f].count; i++)
            varint_add_slice(out, layout->fields[f].names[i]);
    }
    sum = hash64(&key, slice_of(buf_slice(out).ptr + start, out->len - start));
    for (int i = 0; i < SUM_BYTES; i++)
        buf_add_char(out, (char)(unsigned char)(sum >> 8 * i));
}

/* What is read lives in the arena until the layout has copied it. */
static void read_cut(struct varint_reader *r, struct histogram *h, struct arena *arena)
{
    uint64_t count = varint_read(r);

    if (count > EDGES_MAX) {
        r->is_bad = true;
        count = 0;
    }
    h->edge_count = (size_t)count;
    h->edges = arena_new(arena, double, count + 1);
    for (size_t i = 0; i < count; i++)
        h->edges[i] = varint_read_double(r);
}

static void read_source(struct varint_reader *r, struct drift_source *source, struct histogram *margins,
                        struct arena *arena)
{
    uint64_t columns = varint_read(r);
    struct histogram *histograms;
    struct slice *names;

    if (columns > PLAN_COLUMNS_MAX) {
        r->is_bad = true;
        columns = 0;
    }
    names = arena_new(arena, struct slice, columns + 1);
    histograms = arena_new(arena, struct histogram, columns + 1);
    for (size_t c = 0; c < columns && !r->is_bad; c++) {
        names[c] = varint_read_slice(r, DRIFT_NAME_MAX);
        read_cut(r, &histograms[c], arena);
    }
    read_cut(r, margins, arena);
    for (size_t f = 0; f < DRIFT_FIELD_COUNT; f++) {
        uint64_t count = varint_read(r);
        struct slice *known = arena_new(arena, struct slice, DRIFT_CATEGORIES_MAX);

        if (count > DRIFT_CATEGORIES_MAX) {
            r->is_bad = true;
            count = 0;
        }
        for (size_t i = 0; i < count; i++)
            known[i] = varint_read_slice(r, DRIFT_NAME_MAX);
        source->fields[f] = (struct drift_categories){ known, (size_t)count };
    }
    source->features = names;
    source->histograms = histograms;
    source->columns = (size_t)columns;
    source->margins = margins;
}

static bool sum_fits(struct slice bytes)
{
    uint64_t sum = hash64(&key, slice_of(bytes.ptr, bytes.len - SUM_BYTES));

    for (size_t i = 0; i < SUM_BYTES; i++)
        if ((unsigned char)bytes.ptr[bytes.len - SUM_BYTES + i] != (unsigned char)(sum >> 8 * i))
            return false;
    return true;
}

enum err drift_layout_open(struct drift_layout **out, struct slice bytes, struct why *why)
{
    struct drift_source source = { 0 };
    struct histogram margins = { 0 };
    struct varint_reader r;
    struct arena arena = { 0 };
    enum err err;

    *out = NULL;
    if (bytes.len > DRIFT_LAYOUT_BYTES_MAX)
        return err_set(why, ERR_TOO_LARGE, "a layout of %zu bytes", bytes.len);
    if (bytes.len < MAGIC_BYTES + SUM_BYTES || memcmp(bytes.ptr, magic, MAGIC_BYTES) != 0)
        return err_set(why, ERR_SYNTAX, "this is no layout");
    if (!sum_fits(bytes))
        return err_set(why, ERR_SYNTAX, "the layout is damaged");
    r.rest = slice_of(bytes.ptr + MAGIC_BYTES, bytes.len - MAGIC_BYTES - SUM_BYTES);
    r.is_bad = false;
    read_source(&r, &source, &margins, &arena);
    if (varint_is_done(&r))
        err = drift_layout_new(out, &source, why);
    else
        err = err_set(why, ERR_SYNTAX, "the layout is damaged");
    arena_release(&arena);
    return err;
}
