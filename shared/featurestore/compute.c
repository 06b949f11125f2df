/* SPDX-License-Identifier: Apache-2.0
 * compute.c - from a transaction and its entities' past to the numbers of a vector. */
#include <assert.h>
#include <math.h>

#include "base/hash.h"
#include "featurestore/few.h"
#include "featurestore/state.h"
#include "fraud/place.h"

__extension__ typedef __int128 i128;

/* Values are told apart by hash; the same everywhere, since hashes are in snapshots. */
static const struct hash_key number_hash_key = { "assay.entity.key" }, text_hash_key = { "assay.ledger.key" };

/* What stands for a value where distinct ones are counted; 0 where it is missing. */
static uint64_t text_hash(const struct txn *txn, const struct txn_field *field)
{
    struct txn_value v = txn_field_get(txn, field);
    double number = v.number + 0.0;
    uint64_t hash = 0;

    switch (v.kind) {
    case TXN_VALUE_MISSING:
        return 0;
    case TXN_VALUE_NUMBER:
        if (isnan(number))
            return 0;
        hash = hash64(&number_hash_key, slice_of(&number, sizeof number));
        break;
    case TXN_VALUE_TEXT:
        hash = hash64(&text_hash_key, v.text);
        break;
    case TXN_VALUE_BOOL:
        hash = v.is_true ? 1 : 2;
        break;
    }
    return hash ? hash : 1;
}

void compute_read(struct store *s, const struct txn *txn)
{
    const struct plan *p = s->plan;

    for (size_t i = 0; i < p->value_count; i++) {
        const struct value *value = &p->values[i];
        double number;
        struct txn_value v;

        if (value->field.kind == TXN_FIELD_NUMBER) { /* the amount, an integer as it is */
            s->values[i] = txn->amount_base_minor > VALUE_MAX    ? VALUE_MAX
                           : txn->amount_base_minor < -VALUE_MAX ? -VALUE_MAX
                                                                 : txn->amount_base_minor;
            s->has[i] = true;
            continue;
        }
        v = txn_field_get(txn, &value->field);
        number = (v.kind == TXN_VALUE_BOOL ? (v.is_true ? 1.0 : 0.0) : v.number) * value->factor;
        s->has[i] = (v.kind == TXN_VALUE_NUMBER || v.kind == TXN_VALUE_BOOL) && !isnan(number);
        s->values[i] = !s->has[i]                     ? 0
                       : number >= (double)VALUE_MAX  ? VALUE_MAX
                       : number <= -(double)VALUE_MAX ? -VALUE_MAX
                                                      : llround(number);
    }
    for (size_t i = 0; i < p->text_count; i++)
        s->texts[i] = text_hash(txn, &p->texts[i].field);
    for (size_t i = 0; i < p->slot_field_count; i++) {
        const struct slot_field *f = &p->slot_fields[i];
        struct txn_value v = txn_field_get(txn, &f->field);

        s->slots[f->slot] = v.kind == TXN_VALUE_NUMBER ? cel_feature(v.number)
                            : v.kind == TXN_VALUE_TEXT ? cel_string(v.text)
                            : v.kind == TXN_VALUE_BOOL ? cel_bool(v.is_true)
                                                       : cel_error(CEL_FAULT_MISSING);
    }
}

static double number_of(struct cel_value v)
{
    switch (v.kind) {
    case CEL_BOOL:
        return v.b ? 1 : 0;
    case CEL_INT:
        return (double)v.i;
    case CEL_UINT:
        return (double)v.u;
    case CEL_DOUBLE:
        return v.d;
    default:
        return NAN;
    }
}

/* The population's: sqrt(n * squares - sum^2) / n, in integers up to the root where they suffice. */
static double deviation(uint64_t count, int64_t sum, i128 squares)
{
    i128 left, right = (i128)sum * sum;

    if (__builtin_mul_overflow(squares, (i128)count, &left)) {
        long double n = (long double)count, mean = (long double)sum / n;
        long double variance = (long double)squares / n - mean * mean;

        return variance > 0 ? (double)sqrtl(variance) : 0;
    }
    return sqrt((double)(left - right)) / (double)count;
}

static double last_value(struct store *s, const struct compiled *c, const struct lookup *l,
                         const struct txn *txn)
{
    const struct recent *r = &l->layout->recents[c->recent];
    struct place last;
    double km, seconds;

    if (r->has_place && !txn->has_place)
        return NAN;
    if (!recent_find(r, (const unsigned char *)l->block, txn->occurred_at_us, &last))
        return NAN;
    seconds = (double)(txn->occurred_at_us - last.at_us) / 1e6;
    if (c->aggregate == AGGREGATE_SINCE_LAST)
        return seconds;
    if (s->km_of != r) { /* speed and distance mostly come together */
        s->km_of = r;
        s->km = place_distance_km(last.lat, last.lon, txn->lat, txn->lon);
    }
    km = s->km;
    if (c->aggregate == AGGREGATE_DISTANCE)
        return km;
    return km / ((seconds > 1 ? seconds : 1) / 3600); /* no time at all counts as a second */
}

static double distinct_value(const struct store *s, const struct compiled *c, const struct lookup *l)
{
    const struct variety *v = &l->layout->varieties[c->variety];
    const struct variety_cursor *k = (const struct variety_cursor *)(l->totals + v->spans[c->span].at);

    if (!c->includes_current || (c->condition != NONE && !s->holds[c->condition]) || !s->texts[v->text])
        return k->distinct;
    return k->distinct + !k->has_current;
}

/* Whether the transaction that is asked about counts too. */
static inline bool is_current(const struct store *s, const struct compiled *c)
{
    return c->includes_current && (c->condition == NONE || s->holds[c->condition]) &&
           (c->value == NONE || s->has[c->value]);
}

static inline uint64_t count_of(const struct store *s, const struct compiled *c, const unsigned char *totals)
{
    return load_u64(totals + c->count_at) + is_current(s, c);
}

static inline int64_t sum_of(const struct store *s, const struct compiled *c, const unsigned char *totals)
{
    uint64_t sum = load_u64(totals + c->sum_at);

    return (int64_t)(is_current(s, c) ? sum + (uint64_t)s->values[c->value] : sum);
}

static double mean_value(const struct store *s, const struct compiled *c, const unsigned char *totals)
{
    uint64_t count = count_of(s, c, totals);

    return count ? (double)sum_of(s, c, totals) / (double)count / c->scale : NAN;
}

static double std_value(const struct store *s, const struct compiled *c, const unsigned char *totals)
{
    uint64_t count = count_of(s, c, totals);
    u128 squares = load_u128(totals + c->squares_at);

    if (is_current(s, c))
        squares += square(s->values[c->value]);
    return count ? deviation(count, sum_of(s, c, totals), (i128)squares) / c->scale : NAN;
}

static double min_value(const struct store *s, const struct compiled *c, const unsigned char *totals)
{
    int64_t best = load_i64(totals + c->best_at);

    if (is_current(s, c) && s->values[c->value] < best)
        best = s->values[c->value];
    return best == MIN_EMPTY ? NAN : (double)best / c->scale;
}

static double max_value(const struct store *s, const struct compiled *c, const unsigned char *totals)
{
    int64_t best = load_i64(totals + c->best_at);

    if (is_current(s, c) && s->values[c->value] > best)
        best = s->values[c->value];
    return best == MAX_EMPTY ? NAN : (double)best / c->scale;
}

static double fraud_rate(const struct feature *f, double count, double frauds)
{
    if (f->has_prior)
        return (frauds + f->prior_rate * f->prior_weight) / (count + f->prior_weight);
    return count > 0 ? frauds / count : NAN;
}

static double expr_value(const struct store *s, const struct compiled *c, const struct txn *txn)
{
    const struct cel_input input = { .slots = s->slots };
    struct txn_value field;

    if (c->program)
        return number_of(cel_eval(c->program, &input));
    field = txn_field_get(txn, &c->field);
    return field.kind == TXN_VALUE_MISSING ? NAN : field.number;
}

static double compute(struct store *s, const struct compiled *c, const struct txn *txn)
{
    const struct lookup *l = &s->lookups[c->entity == NONE ? 0 : c->entity];
    const unsigned char *totals;
    double value = NAN;
    int64_t first, last;

    if (c->entity != NONE && l->is_missing)
        return NAN;
    totals = c->span == NONE ? (const unsigned char *)l->block : l->totals;
    switch (c->aggregate) {
    case AGGREGATE_COUNT:
        return (double)count_of(s, c, totals);
    case AGGREGATE_SUM:
        return (double)sum_of(s, c, totals) / c->scale;
    case AGGREGATE_FRAUD_COUNT:
        return (double)load_u64(totals + c->fraud_at);
    case AGGREGATE_DISTINCT:
        return distinct_value(s, c, l);
    case AGGREGATE_EXPR:
        value = expr_value(s, c, txn);
        break;
    case AGGREGATE_MEAN:
        value = mean_value(s, c, totals);
        break;
    case AGGREGATE_STD:
        value = std_value(s, c, totals);
        break;
    case AGGREGATE_MIN:
        value = min_value(s, c, totals);
        break;
    case AGGREGATE_MAX:
        value = max_value(s, c, totals);
        break;
    case AGGREGATE_FRAUD_RATE:
        value =
            fraud_rate(c->feature, (double)count_of(s, c, totals), (double)load_u64(totals + c->fraud_at));
        break;
    case AGGREGATE_FIRST_SEEN:
        first = load_i64(totals + c->best_at);
        value = first > txn->occurred_at_us ? NAN : (double)(txn->occurred_at_us - first) / 1e6;
        break;
    case AGGREGATE_SINCE_FRAUD:
    case AGGREGATE_SINCE_LEGIT:
        last = load_i64(totals + c->best_at);
        value = last == MAX_EMPTY ? NAN : (double)(txn->occurred_at_us - last) / 1e6;
        break;
    case AGGREGATE_SINCE_LAST:
    case AGGREGATE_SPEED:
    case AGGREGATE_DISTANCE:
        value = last_value(s, c, l, txn);
        break;
    case AGGREGATE_COUNT_OF:
        break;
    }
    return isfinite(value) ? value : c->fallback;
}

static void count(const struct store *s, const struct lookup *l, int track, int span)
{
    const struct track *t = &l->layout->tracks[track];

    if (l->is_missing)
        return;
    if (l->block->large)
        track_count(t, &t->spans[span], l->block->large, &s->now);
    else
        few_count(t, &t->spans[span], l->layout, l->block, l->places, &s->now, l->totals);
}

static void count_distinct(const struct store *s, const struct lookup *l, int variety, int span)
{
    const struct variety *v = &l->layout->varieties[variety];

    if (l->is_missing)
        return;
    if (l->block->large)
        variety_count(v, &v->spans[span], l->block->large, &s->now, s->texts[v->text]);
    else
        few_count_distinct(v, &v->spans[span], l->layout, l->block, l->places, &s->now, s->texts[v->text],
                           l->totals);
}

static bool condition_holds(const struct store *s, const struct condition *condition)
{
    const struct cel_input input = { .slots = s->slots };

    return number_of(cel_eval(condition->program, &input)) == 1;
}

void compute_vector(struct store *s, const struct txn *txn, double *vector)
{
    const struct plan *p = s->plan;
    const struct step *end = p->steps + (vector ? p->step_count : p->lasting_steps);

    s->km_of = NULL;
    for (const struct step *step = p->steps; step < end; step++) {
        const struct compiled *c;

        switch (step->kind) {
        case STEP_SPAN:
            count(s, &s->lookups[step->entity], step->a, step->b);
            break;
        case STEP_VARIETY:
            count_distinct(s, &s->lookups[step->entity], step->a, step->b);
            break;
        case STEP_CONDITION:
            s->holds[step->a] = condition_holds(s, &p->conditions[step->a]);
            break;
        case STEP_FEATURE:
            c = &p->compiled[step->a];
            s->features[step->a] = compute(s, c, txn);
            if (c->slot != NONE)
                s->slots[c->slot] = cel_feature(s->features[step->a]);
            break;
        }
    }
    if (vector && p->columns)
        memcpy(vector, s->features, p->columns * sizeof *vector);
}
