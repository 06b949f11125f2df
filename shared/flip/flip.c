/* SPDX-License-Identifier: Apache-2.0 */
#include "flip/flip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "flip/axis.h"

struct flip {
    const struct bundle *bundle;
    const struct plan *plan;
    const struct policy *policy;
    struct policy_columns *columns;
    struct trial *trial;
    size_t rules;
    uint8_t *base, *outcomes; /* [rules] */
    struct forest_splits *splits;
    struct forest_walk *walk;
    uint16_t *from;       /* [the bundle's columns]: places in the vector */
    size_t *model_column; /* [the plan's columns]; SIZE_MAX: the model does not read it */
    size_t steps_most;
    bool (*is_left)(const void *ctx);
    const void *ctx;
};

const char *flip_way_name(enum flip_way way)
{
    static const char *const names[] = {
        [FLIP_UP] = "up", [FLIP_DOWN] = "down", [FLIP_MISSING] = "missing", [FLIP_GIVEN] = "given"
    };
    static_assert(ARRAY_LEN(names) == FLIP_WAY_COUNT, "every way has a name");

    return names[way];
}

/* ---- made once ---- */

static enum err bind_bundle(struct flip *f, struct why *why)
{
    const struct plan *own = bundle_plan(f->bundle);
    size_t columns = plan_columns(own), missing;

    f->splits = forest_splits_new(bundle_forest(f->bundle));
    f->walk = forest_walk_new(f->splits);
    f->from = mem_new_n(uint16_t, columns + 1);
    if (!f->plan)
        return ERR_OK;
    missing = plan_map(own, f->plan, f->from);
    if (missing != PLAN_NO_COLUMN)
        return err_set(why, ERR_INVALID, "the vectors' plan lacks feature %.*s",
                       SLICE_ARG(plan_column(own, missing)->name));
    for (size_t c = 0; c < columns; c++)
        f->model_column[f->from[c]] = c;
    return ERR_OK;
}

enum err flip_new(struct flip **out, const struct bundle *bundle, const struct plan *plan,
                  const struct policy *policy, uint32_t account, struct why *why)
{
    struct flip *f = mem_new(struct flip);
    size_t columns = plan ? plan_columns(plan) : 0;
    enum err err = ERR_OK;

    *out = NULL;
    f->bundle = bundle;
    f->plan = plan;
    f->policy = policy;
    f->steps_most = FLIP_STEPS_MAX;
    f->trial = trial_new(policy, account);
    f->rules = trial_rule_count(f->trial);
    f->base = mem_new_n(uint8_t, f->rules + 1);
    f->outcomes = mem_new_n(uint8_t, f->rules + 1);
    f->model_column = mem_new_n(size_t, columns + 1);
    for (size_t c = 0; c < columns; c++)
        f->model_column[c] = SIZE_MAX;
    if (plan)
        f->columns = policy_bind_plan(policy, plan);
    if (bundle)
        err = bind_bundle(f, why);
    if (err) {
        flip_free(f);
        return err;
    }
    *out = f;
    return ERR_OK;
}

void flip_free(struct flip *f)
{
    if (!f)
        return;
    forest_walk_free(f->walk);
    forest_splits_free(f->splits);
    trial_free(f->trial);
    policy_columns_free(f->columns);
    mem_free(f->base);
    mem_free(f->outcomes);
    mem_free(f->from);
    mem_free(f->model_column);
    mem_free(f);
}

void flip_limit(struct flip *f, size_t steps, bool (*is_left)(const void *ctx), const void *ctx)
{
    f->steps_most = steps ? steps : FLIP_STEPS_MAX;
    f->is_left = is_left;
    f->ctx = ctx;
}

/* ---- applying ---- */

static void set_attribute(struct txn *txn, struct slice name, double value, struct arena *arena)
{
    struct txn_attribute *copy = arena_new(arena, struct txn_attribute, txn->attribute_count + 1);
    size_t kept = 0;

    for (size_t i = 0; i < txn->attribute_count; i++) {
        bool is_it = slice_eq(txn->attributes[i].name, name);

        if (is_it && isnan(value))
            continue;
        copy[kept] = txn->attributes[i];
        if (is_it)
            copy[kept].number = value;
        kept++;
    }
    txn->attributes = copy;
    txn->attribute_count = kept;
}

static void set_field(struct txn *txn, const struct txn_field *field, double value, struct arena *arena)
{
    static const char *const names[] = { "amount", "amount_local", "lat", "lon" };
    struct txn_field known;
    size_t i = 0;

    if (field->kind == TXN_FIELD_ATTRIBUTE) {
        set_attribute(txn, field->attribute, value, arena);
        return;
    }
    while (i < ARRAY_LEN(names) &&
           !(txn_field_find(slice_str(names[i]), &known) && known.index == field->index))
        i++;
    switch (i) {
    case 0:
        txn->amount_base_minor = (int64_t)value;
        break;
    case 1:
        txn->amount_minor = (int64_t)value;
        break;
    case 2:
        txn->lat = value;
        break;
    default:
        txn->lon = value;
    }
}

void flip_apply(const struct flip_change *change, float *vector, struct txn *txn, struct arena *arena)
{
    if (change->what.is_field)
        set_field(txn, &change->what.field, change->after, arena);
    else if (vector)
        vector[change->what.column] = (float)change->after;
}

/* ---- how small ---- */

double flip_place(const struct histogram *h, double value)
{
    uint64_t all = 0, below = 0;
    size_t bin;
    double within = 0.5;

    if (!h || isnan(value))
        return NAN;
    bin = histogram_bin(h, value);
    for (size_t i = 0; i <= h->edge_count; i++) {
        all += h->counts[i];
        below += i < bin ? h->counts[i] : 0;
    }
    if (all == 0)
        return NAN;
    if (bin > 0 && bin < h->edge_count)
        within = (value - h->edges[bin - 1]) / (h->edges[bin] - h->edges[bin - 1]);
    return ((double)below + within * (double)h->counts[bin]) / (double)all;
}

/* The value that half of the reference lies below, as near as its edges have it; 0 without one. */
static double middle_of(const struct histogram *h)
{
    for (size_t i = 0; h && i < h->edge_count; i++) {
        if (flip_place(h, h->edges[i]) >= 0.5)
            return h->edges[i];
    }
    return h && h->edge_count ? h->edges[h->edge_count - 1] : 0;
}

/* ---- one search ---- */

/* A number that may be changed. */
struct candidate {
    struct trial_number what;
    struct slice name, describe;
    size_t model_column; /* SIZE_MAX: the score does not change with it */
    struct axis axis;
    double now;
    const struct histogram *reference; /* NULL: none */
    bool is_read_by_features;
    bool is_read_by_rules;
};

/* What a value would lead to. */
struct outcome {
    int64_t key;
    enum action action;
    double score;
    bool is_found, is_proven;
};

struct search {
    struct flip *f;
    struct policy_input in; /* with the candidate's value of the moment */
    const struct txn *original;
    struct txn txn;
    struct txn_attribute *attributes; /* a copy to change */
    float *vector;
    enum policy_decider decider;
    enum action milder, harder; /* at most, at least; ACTION_COUNT: there is none */
    struct arena *arena;
    struct flip_answer *out;

    const struct candidate *c;
    int step; /* 1: up, -1: down */
    size_t halves;
    bool is_proven;
    struct outcome found_milder, found_harder;
};

static void set_value(struct search *s, const struct candidate *c, double value)
{
    struct flip_change change = { .what = c->what, .after = value };
    size_t count = s->original->attribute_count;

    if (c->what.is_field && c->what.field.kind == TXN_FIELD_ATTRIBUTE && !isnan(value)) {
        memcpy(s->attributes, s->original->attributes, count * sizeof *s->attributes);
        for (size_t i = 0; i < count; i++) {
            if (slice_eq(s->attributes[i].name, c->what.field.attribute))
                s->attributes[i].number = value;
        }
        s->txn.attributes = s->attributes;
        s->txn.attribute_count = count;
    } else {
        flip_apply(&change, s->vector, &s->txn, s->arena);
    }
    if (c->model_column != SIZE_MAX)
        s->in.score = bundle_score(s->f->bundle, forest_walk_set(s->f->walk, c->model_column, (float)value));
}

static enum action decide(struct search *s)
{
    struct trial_verdict verdict;

    trial_decide(s->f->trial, &s->in, s->f->outcomes, &verdict);
    s->decider = verdict.decider;
    return verdict.action;
}

static void note(struct outcome *o, const struct search *s, int64_t key, enum action action)
{
    if (!o->is_found)
        *o = (struct outcome){ key, action, s->in.score, true, s->is_proven };
}

static void note_action(struct search *s, int64_t key, enum action action)
{
    if (s->milder != ACTION_COUNT && action <= s->milder)
        note(&s->found_milder, s, key, action);
    if (s->harder != ACTION_COUNT && action >= s->harder)
        note(&s->found_harder, s, key, action);
}

/* Whether the search ends here, whatever has been found. */
static bool is_cut(struct search *s)
{
    enum { STEPS_TO_ASK = 256 };
    const struct flip *f = s->f;
    struct flip_answer *out = s->out;

    if (!out->is_cut &&
        (out->steps >= f->steps_most || (f->is_left && out->steps % STEPS_TO_ASK == 0 && f->is_left(f->ctx))))
        out->is_cut = true;
    s->is_proven &= !out->is_cut;
    return out->is_cut;
}

static bool is_done(const struct search *s)
{
    return (s->found_milder.is_found || s->milder == ACTION_COUNT) &&
           (s->found_harder.is_found || s->harder == ACTION_COUNT);
}

static void try_at(struct search *s, int64_t key)
{
    set_value(s, s->c, axis_value(&s->c->axis, key));
    note_action(s, key, decide(s));
}

/* Whether a rule may say different things between two values with the same score. */
static bool may_differ(struct search *s, int64_t near, int64_t far)
{
    double a = axis_value(&s->c->axis, near), b = axis_value(&s->c->axis, far);

    if (near == far || !s->c->is_read_by_rules)
        return false;
    for (size_t i = 0; i < s->f->rules; i++) {
        if (trial_rule_acts(s->f->trial, i) && trial_rule_reads(s->f->trial, i, s->in.columns, &s->c->what) &&
            trial_rule_may_differ(s->f->trial, i, &s->in, &s->c->what, fmin(a, b), fmax(a, b)))
            return true;
    }
    return false;
}

/* From `near` to `far`, between which the score does not change: halved until each part has one outcome. */
static void search_stretch(struct search *s, int64_t near, int64_t far)
{
    int64_t low = near < far ? near : far, high = near < far ? far : near;
    int64_t middle = low + (int64_t)(((uint64_t)high - (uint64_t)low) / 2);

    if (is_done(s) || is_cut(s))
        return;
    s->out->steps++;
    set_value(s, s->c, axis_value(&s->c->axis, near));
    if (!may_differ(s, near, far)) {
        try_at(s, near);
    } else if (s->halves == FLIP_HALVES_MAX) {
        try_at(s, near);
        s->is_proven = false;
        try_at(s, far);
    } else {
        s->halves++;
        search_stretch(s, near, s->step > 0 ? middle : middle + 1);
        search_stretch(s, s->step > 0 ? middle + 1 : middle, far);
    }
}

/* From the key `from` outwards, itself included, one stretch of equal score after the other. */
static void search_way(struct search *s, int64_t from, int step)
{
    const struct axis *axis = &s->c->axis;
    const float *splits = NULL;
    size_t count =
        s->c->model_column == SIZE_MAX ? 0 : forest_splits_of(s->f->splits, s->c->model_column, &splits);
    int64_t near = from;

    s->step = step;
    s->halves = 0;
    s->is_proven = true;
    s->found_milder = s->found_harder = (struct outcome){ 0 };
    if (from < axis->least || from > axis->most)
        return;
    for (size_t i = 0; i < count && !is_done(s) && !is_cut(s); i++) {
        int64_t at = axis_ceil(axis, (double)splits[step > 0 ? i : count - 1 - i]);

        /* A stretch begins with the first value at or above the split. */
        if (step > 0 ? at <= near : at > near)
            continue;
        if (step > 0 && at > axis->most)
            break;
        search_stretch(s, near, step > 0 ? at - 1 : at);
        near = step > 0 ? at : at - 1;
    }
    if (!is_done(s) && near >= axis->least && near <= axis->most)
        search_stretch(s, near, step > 0 ? axis->most : axis->least);
}

/* ---- what is shown ---- */

static int by_size(const void *a, const void *b)
{
    const struct flip_change *x = a, *y = b;

    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->way != y->way)
        return x->way < y->way ? -1 : 1;
    return slice_compare(x->name, y->name);
}

static double size_of(const struct flip_change *c)
{
    double distance = fabs(c->place_after - c->place_before), sum = fabs(c->before) + fabs(c->after);

    if (c->way == FLIP_MISSING)
        return 1;
    if (c->way == FLIP_GIVEN)
        return isnan(c->place_after) ? 1 : fabs(c->place_after - 0.5);
    if (!isnan(distance))
        return distance;
    return sum > 0 ? fabs(c->before - c->after) / sum : 0;
}

static void add_change(struct flip_side *side, const struct flip_change *change, struct arena *arena)
{
    struct flip_change *grown;

    if (side->count == side->cap) {
        side->cap = side->cap ? 2 * side->cap : 16;
        grown = arena_new(arena, struct flip_change, side->cap);
        if (side->count)
            memcpy(grown, side->changes, side->count * sizeof *grown);
        side->changes = grown;
    }
    side->changes[side->count++] = *change;
}

static void sort_changes(struct flip_side *side)
{
    if (side->count)
        qsort(side->changes, side->count, sizeof *side->changes, by_size);
}

static struct flip_change change_of(const struct search *s, const struct outcome *o, enum flip_way way)
{
    const struct candidate *c = s->c;
    struct flip_change change = {
        .what = c->what,
        .name = c->name,
        .describe = c->describe,
        .way = way,
        .before = c->now,
        .after = way == FLIP_MISSING ? NAN : axis_value(&c->axis, o->key),
        .action = o->action,
        .has_score = s->in.has_score,
        .score = o->score,
        .is_whole = c->axis.is_whole,
        .is_smallest = o->is_proven,
        .is_read_by_features = c->is_read_by_features,
    };

    change.place_before = flip_place(c->reference, change.before);
    change.place_after = flip_place(c->reference, change.after);
    change.size = size_of(&change);
    return change;
}

static void add_untold(struct search *s, struct flip_side *side)
{
    struct slice *grown;

    if (side->untold_count && slice_eq(side->untold[side->untold_count - 1], s->c->name))
        return;
    grown = arena_new(s->arena, struct slice, side->untold_count + 1);
    if (side->untold_count)
        memcpy(grown, side->untold, side->untold_count * sizeof *grown);
    grown[side->untold_count++] = s->c->name;
    side->untold = grown;
}

static void add_outcome(struct search *s, struct flip_side *side, enum action wish, const struct outcome *o,
                        enum flip_way way)
{
    struct flip_change change;

    if (o->is_found) {
        change = change_of(s, o, way);
        add_change(side, &change, s->arena);
    } else if (wish != ACTION_COUNT && !s->is_proven) {
        add_untold(s, side);
    }
}

static void add_found(struct search *s, enum flip_way way)
{
    s->out->tried++;
    add_outcome(s, &s->out->milder, s->milder, &s->found_milder, way);
    add_outcome(s, &s->out->harder, s->harder, &s->found_harder, way);
}

/* ---- one number ---- */

static void try_missing(struct search *s)
{
    s->is_proven = true;
    s->found_milder = s->found_harder = (struct outcome){ 0 };
    set_value(s, s->c, NAN);
    note_action(s, 0, decide(s));
    add_found(s, FLIP_MISSING);
}

/* Of what the ways up and down have found, the nearer one; proven where the other way hides nothing nearer. */
static struct outcome nearer_of(const struct search *s, const struct outcome *up, bool is_up_proven,
                                const struct outcome *down, bool is_down_proven)
{
    bool is_up = up->is_found && (!down->is_found ||
                                  change_of(s, up, FLIP_GIVEN).size <= change_of(s, down, FLIP_GIVEN).size);
    struct outcome nearer = is_up ? *up : *down;
    const struct outcome *other = is_up ? down : up;

    nearer.is_proven &= other->is_found ? other->is_proven : is_up ? is_down_proven : is_up_proven;
    return nearer;
}

/* Both ways from the middle; of each goal the nearer one. */
static void try_given(struct search *s)
{
    int64_t middle = axis_ceil(&s->c->axis, middle_of(s->c->reference));
    struct outcome milder, harder;
    bool is_proven;

    if (middle > s->c->axis.most)
        middle = s->c->axis.most;
    search_way(s, middle, 1);
    milder = s->found_milder;
    harder = s->found_harder;
    is_proven = s->is_proven;
    search_way(s, middle - 1, -1);
    s->found_milder = nearer_of(s, &milder, is_proven, &s->found_milder, s->is_proven);
    s->found_harder = nearer_of(s, &harder, is_proven, &s->found_harder, s->is_proven);
    s->is_proven &= is_proven;
    add_found(s, FLIP_GIVEN);
}

static void know_readers(struct search *s, bool is_known)
{
    struct flip *f = s->f;

    for (size_t i = 0; i < f->rules && s->c->is_read_by_rules; i++) {
        if (trial_rule_reads(f->trial, i, s->in.columns, &s->c->what) && !trial_rule_asks_score(f->trial, i))
            trial_know(f->trial, i, is_known);
    }
    memcpy(f->outcomes, f->base, f->rules);
}

static void try_candidate(struct search *s, struct candidate *c)
{
    struct flip *f = s->f;

    s->c = c;
    for (size_t i = 0; i < f->rules && !c->is_read_by_rules; i++)
        c->is_read_by_rules =
            trial_rule_acts(f->trial, i) && trial_rule_reads(f->trial, i, s->in.columns, &c->what);
    if ((!c->is_read_by_rules && c->model_column == SIZE_MAX) || is_cut(s))
        return;
    know_readers(s, false);
    if (isnan(c->now)) {
        try_given(s);
    } else {
        if (!c->what.is_field && !axis_has(&c->axis, c->now))
            c->axis = axis_of_any(); /* what its definition does not foresee */
        if (axis_has(&c->axis, c->now)) {
            search_way(s, axis_ceil(&c->axis, c->now) + 1, 1);
            add_found(s, FLIP_UP);
            search_way(s, axis_ceil(&c->axis, c->now) - 1, -1);
            add_found(s, FLIP_DOWN);
        }
        if (!c->what.is_field || c->what.field.kind == TXN_FIELD_ATTRIBUTE)
            try_missing(s);
    }
    set_value(s, c, c->now);
    know_readers(s, true);
}

static void try_columns(struct search *s)
{
    const struct flip *f = s->f;
    const struct histogram *references = f->bundle ? bundle_histograms(f->bundle) : NULL;

    for (size_t i = 0; f->plan && s->vector && i < plan_columns(f->plan); i++) {
        const struct feature *feature = plan_column(f->plan, i);
        size_t own = f->model_column[i];

        try_candidate(s, &(struct candidate){
                             .what = { .column = i },
                             .name = feature->name,
                             .describe = feature->describe,
                             .model_column = own,
                             .axis = axis_of_feature(feature),
                             .now = (double)s->vector[i],
                             .reference = references && own != SIZE_MAX ? &references[own] : NULL,
                         });
    }
}

static bool has_text(struct slice in, struct slice text)
{
    for (size_t at = 0; at + text.len <= in.len; at++) {
        if (memcmp(in.ptr + at, text.ptr, text.len) == 0)
            return true;
    }
    return false;
}

/* Whether a feature of the vector is computed from the payment's own field, and the reference of one that is its copy.
 */
static void find_readers(const struct flip *f, struct candidate *c)
{
    const struct histogram *references = f->bundle ? bundle_histograms(f->bundle) : NULL;
    struct slice bare = slice_of(c->name.ptr + 3, c->name.len - 3); /* without "tx." */

    for (size_t i = 0; f->plan && i < plan_columns(f->plan); i++) {
        const struct feature *feature = plan_column(f->plan, i);

        c->is_read_by_features |= has_text(feature->expr, c->name) || has_text(feature->where, c->name) ||
                                  (feature->includes_current && slice_eq(feature->field, bare));
        if (references && f->model_column[i] != SIZE_MAX && slice_eq(feature->expr, c->name))
            c->reference = &references[f->model_column[i]];
    }
}

static void try_fields(struct search *s)
{
    struct trial_number fields[FLIP_FIELDS_MAX];
    struct slice names[FLIP_FIELDS_MAX];
    size_t count = trial_fields(s->f->trial, fields, names, FLIP_FIELDS_MAX);

    for (size_t i = 0; i < count && i < FLIP_FIELDS_MAX; i++) {
        struct txn_value now = txn_field_get(s->original, &fields[i].field);
        struct candidate c = { .what = fields[i], .name = names[i], .model_column = SIZE_MAX };

        c.now = now.number;
        if (now.kind != TXN_VALUE_NUMBER || !axis_of_field(&c.axis, &fields[i].field, c.now))
            continue;
        find_readers(s->f, &c);
        try_candidate(s, &c);
    }
}

/* ---- a decision ---- */

static void score(struct search *s)
{
    const struct flip *f = s->f;
    size_t columns = f->bundle ? plan_columns(bundle_plan(f->bundle)) : 0;
    float *row = arena_new(s->arena, float, columns + 1);

    if (!f->bundle)
        return;
    for (size_t c = 0; c < columns; c++)
        row[c] = s->vector ? s->vector[f->from[c]] : NAN;
    s->out->margin = forest_walk_begin(f->walk, row);
    s->in.has_score = true;
    s->in.score = bundle_score(f->bundle, s->out->margin);
}

static void begin(struct search *s, const struct policy_input *in)
{
    size_t columns = s->f->plan ? plan_columns(s->f->plan) : 0;

    if (in->vector && columns && in->vector_count == columns) {
        s->vector = arena_new(s->arena, float, columns);
        memcpy(s->vector, in->vector, columns * sizeof *s->vector);
    }
    s->original = in->txn;
    s->txn = *in->txn;
    s->attributes = arena_new(s->arena, struct txn_attribute, in->txn->attribute_count + 1);
    s->in.txn = &s->txn;
    s->in.vector = s->vector;
    s->in.vector_count = s->vector ? columns : 0;
    s->in.columns = s->vector ? s->f->columns : NULL;
}

static void decide_as_it_was(struct search *s, const struct policy_input *in)
{
    *s->out = (struct flip_answer){ 0 };
    begin(s, in);
    score(s);
    s->out->action = decide(s);
    s->out->decider = s->decider;
    s->out->has_score = s->in.has_score;
    s->out->score = s->in.score;
}

void flip_decide(struct flip *f, const struct policy_input *in, struct arena *arena, struct flip_answer *out)
{
    struct search s = { .f = f, .in = *in, .arena = arena, .out = out };

    decide_as_it_was(&s, in);
}

void flip_find(struct flip *f, const struct policy_input *in, const struct flip_wish *wish,
               struct arena *arena, struct flip_answer *out)
{
    struct search s = { .f = f, .in = *in, .arena = arena, .out = out };

    decide_as_it_was(&s, in);
    memcpy(f->base, f->outcomes, f->rules);
    s.milder = wish->milder < out->action     ? wish->milder
               : out->action > ACTION_APPROVE ? (enum action)(out->action - 1)
                                              : ACTION_COUNT;
    s.harder = wish->harder > out->action && wish->harder < ACTION_COUNT ? wish->harder
               : out->action < ACTION_DECLINE                            ? (enum action)(out->action + 1)
                                                                         : ACTION_COUNT;
    for (size_t i = 0; i < f->rules; i++)
        trial_know(f->trial, i, !trial_rule_asks_score(f->trial, i));
    if (out->decider != POLICY_BY_LIST) {
        try_columns(&s);
        try_fields(&s);
    }
    sort_changes(&out->milder);
    sort_changes(&out->harder);
    for (size_t i = 0; i < f->rules; i++)
        trial_know(f->trial, i, false);
}
