/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "featurestore/store.h"
#include "fraud/field.h"

/* How many last times an entity keeps. */
enum { RECENT_COUNT = 4 };

__extension__ typedef __int128 i128;

struct seen {
    struct txn txn; /* its slices must outlive the oracle */
    struct txn_attribute attributes[4];
    bool is_fraud, is_in_ledger;
    int *entity;      /* by feature: a number for whom it is about, -1 for nobody */
    bool *is_applied; /* by feature: it was written to that feature's entity, and that was not forgotten since
                       */
};

struct known_label {
    uint32_t account;
    struct slice id;
    bool has_label, is_fraud;
    int source;
    int64_t labelled_at_us, known_at_us;
    ptrdiff_t seen; /* -1 while the transaction is not there */
};

struct oracle {
    const struct plan *plan;
    oracle_where *where;
    struct seen **seen;
    size_t seen_count, seen_cap;
    struct known_label *labels;
    size_t label_count, label_cap;
    int64_t ledger_us;
    int64_t *hold_us, *idle_us; /* by feature */
    int *entity;                /* by feature: of the transaction that is asked about */
    struct txn *first;          /* by entity number: the first transaction of it */
    size_t *first_column;
    size_t entity_count;
};

static bool is_windowed(const struct feature *f)
{
    return f->window_us > 0;
}

static bool is_fraud_feature(const struct feature *f)
{
    return f->aggregate == AGGREGATE_FRAUD_COUNT || f->aggregate == AGGREGATE_FRAUD_RATE ||
           f->aggregate == AGGREGATE_SINCE_FRAUD || f->aggregate == AGGREGATE_SINCE_LEGIT;
}

static bool same_entity(const struct feature *a, const struct feature *b)
{
    if (a->entity_fields != b->entity_fields)
        return false;
    for (size_t i = 0; i < a->entity_fields; i++) {
        if (!slice_eq(a->entity[i], b->entity[i]))
            return false;
    }
    return true;
}

/* Features that share what is held. */
static bool same_group(const struct feature *a, const struct feature *b)
{
    bool a_distinct = a->aggregate == AGGREGATE_DISTINCT, b_distinct = b->aggregate == AGGREGATE_DISTINCT;

    return is_windowed(a) && is_windowed(b) && same_entity(a, b) && a->is_exact == b->is_exact &&
           feature_hop_us(a) == feature_hop_us(b) && a_distinct == b_distinct &&
           (!a_distinct || (slice_eq(a->field, b->field) && slice_eq(a->where, b->where)));
}

struct oracle *oracle_new(const struct plan *plan, oracle_where *where)
{
    struct oracle *o = mem_new(struct oracle);
    size_t columns = plan_columns(plan);

    o->plan = plan;
    o->where = where;
    o->hold_us = mem_new_n(int64_t, columns + 1);
    o->idle_us = mem_new_n(int64_t, columns + 1);
    for (size_t i = 0; i < columns; i++) {
        const struct feature *f = plan_column(plan, i);

        for (size_t k = 0; k < columns; k++) {
            const struct feature *g = plan_column(plan, k);
            int64_t back = g->window_us + g->delay_us;
            int64_t hold = back + (back / 8 < DAY_US ? back / 8 : DAY_US) + 2 * feature_hop_us(g);

            if (same_group(f, g) && hold > o->hold_us[i])
                o->hold_us[i] = hold;
        }
    }
    for (size_t i = 0; i < columns; i++) {
        if (is_fraud_feature(plan_column(plan, i)) && o->hold_us[i] > o->ledger_us)
            o->ledger_us = o->hold_us[i];
    }
    for (size_t i = 0; i < columns; i++) {
        for (size_t k = 0; k < columns; k++) {
            const struct feature *f = plan_column(plan, i), *g = plan_column(plan, k);
            int64_t idle;

            if (g->aggregate == AGGREGATE_EXPR || !same_entity(f, g))
                continue;
            idle = is_windowed(g) ? o->hold_us[k] : STORE_IDLE_DAYS * DAY_US;
            if (is_fraud_feature(g) && o->ledger_us > idle)
                idle = o->ledger_us;
            if (idle > o->idle_us[i])
                o->idle_us[i] = idle;
        }
    }
    return o;
}

void oracle_free(struct oracle *o)
{
    for (size_t i = 0; i < o->seen_count; i++) {
        mem_free(o->seen[i]->is_applied);
        mem_free(o->seen[i]->entity);
        mem_free(o->seen[i]);
    }
    mem_free(o->seen);
    mem_free(o->labels);
    mem_free(o->first);
    mem_free(o->first_column);
    mem_free(o->hold_us);
    mem_free(o->idle_us);
    mem_free(o);
}

static bool same_value(const struct txn *a, const struct txn *b, struct slice name)
{
    struct txn_field field;
    struct txn_value x, y;

    txn_field_find(name, &field);
    x = txn_field_get(a, &field);
    y = txn_field_get(b, &field);
    if (x.kind == TXN_VALUE_MISSING || x.kind != y.kind)
        return false;
    return x.kind == TXN_VALUE_NUMBER ? x.number == y.number
           : x.kind == TXN_VALUE_BOOL ? x.is_true == y.is_true
                                      : slice_eq(x.text, y.text);
}

static bool is_missing(const struct txn *txn, struct slice name)
{
    struct txn_field field;

    txn_field_find(name, &field);
    return txn_field_get(txn, &field).kind == TXN_VALUE_MISSING;
}

static bool has_entity(const struct feature *f, const struct txn *txn)
{
    for (size_t i = 0; i < f->entity_fields; i++) {
        if (is_missing(txn, f->entity[i]))
            return false;
    }
    return true;
}

static bool is_of(const struct feature *f, const struct txn *a, const struct txn *b)
{
    if (a->account != b->account)
        return false;
    for (size_t i = 0; i < f->entity_fields; i++) {
        if (!same_value(a, b, f->entity[i]))
            return false;
    }
    return true;
}

/* Whom a feature of the transaction is about, as a number. */
static int entity_of(struct oracle *o, size_t column, const struct txn *txn)
{
    const struct feature *f = plan_column(o->plan, column);

    if (f->aggregate == AGGREGATE_EXPR || !has_entity(f, txn))
        return -1;
    for (size_t i = 0; i < o->entity_count; i++) {
        if (o->first_column[i] == column && is_of(f, &o->first[i], txn))
            return (int)i;
    }
    o->first = mem_grow(o->first, o->entity_count + 1, sizeof *o->first);
    o->first_column = mem_grow(o->first_column, o->entity_count + 1, sizeof *o->first_column);
    o->first[o->entity_count] = *txn;
    o->first_column[o->entity_count] = column;
    return (int)o->entity_count++;
}

static int64_t floor_to(int64_t a, int64_t b)
{
    int64_t q = a / b;

    return a % b < 0 ? q - 1 : q;
}

static bool in_window(const struct feature *f, int64_t hold, int64_t newest, int64_t event, int64_t now)
{
    int64_t hop = feature_hop_us(f), tile;

    if (f->window_us == WINDOW_ALL)
        return true;
    if (f->is_exact)
        return event > now - f->delay_us - f->window_us && event <= now - f->delay_us &&
               event > newest - hold;
    tile = floor_to(event, hop);
    if (tile < floor_to(newest - hold, hop) || tile < floor_to(now - f->delay_us - f->window_us, hop))
        return false;
    return f->delay_us ? tile < floor_to(now - f->delay_us, hop) : tile <= floor_to(now, hop);
}

static bool number_of(const struct feature *f, const struct txn *txn, long long *out)
{
    struct txn_field field;
    struct txn_value v;

    if (slice_eq_str(f->field, "amount")) {
        *out = txn->amount_base_minor;
        return true;
    }
    txn_field_find(f->field, &field);
    v = txn_field_get(txn, &field);
    if (v.kind != TXN_VALUE_NUMBER)
        return false;
    *out = llround(v.number * pow(10, f->scale));
    return true;
}

static int64_t watermark(const struct oracle *o, uint32_t account)
{
    int64_t newest = INT64_MIN / 4;

    for (size_t i = 0; i < o->seen_count; i++) {
        if (o->seen[i]->txn.account == account && o->seen[i]->txn.occurred_at_us > newest)
            newest = o->seen[i]->txn.occurred_at_us;
    }
    return newest;
}

static double value(struct oracle *o, size_t column, const struct txn *txn, int64_t now_us)
{
    const struct feature *f = plan_column(o->plan, column);
    int64_t newest = INT64_MIN / 4, first = INT64_MAX, last[2] = { INT64_MIN, INT64_MIN };
    long long count = 0, frauds = 0, x, least = LLONG_MAX, most = LLONG_MIN;
    i128 sum = 0, squares = 0;
    double scale = pow(10, f->scale), out = NAN;
    const struct txn *values[4096], *recent[RECENT_COUNT + 1];
    size_t distinct = 0, recents = 0;

    const int entity = o->entity[column];

    if (entity < 0)
        return NAN;
    for (size_t i = 0; i < o->seen_count; i++) {
        const struct seen *e = o->seen[i];

        if (e->is_applied[column] && e->entity[column] == entity && e->txn.occurred_at_us > newest)
            newest = e->txn.occurred_at_us;
    }
    if (newest <= now_us - o->idle_us[column]) { /* forgotten */
        for (size_t i = 0; i < o->seen_count; i++) {
            if (o->seen[i]->entity[column] == entity)
                o->seen[i]->is_applied[column] = false;
        }
    }
    for (size_t i = 0; i <= o->seen_count; i++) {
        bool is_current = i == o->seen_count;
        const struct txn *e = is_current ? txn : &o->seen[i]->txn;

        if (is_current && !f->includes_current)
            continue;
        if (!is_current && (!o->seen[i]->is_applied[column] || o->seen[i]->entity[column] != entity))
            continue;
        if (f->where.len && !o->where(f, e))
            continue;
        if (!is_windowed(f) && f->window_us != WINDOW_ALL) {
            bool has_place = f->aggregate == AGGREGATE_SPEED || f->aggregate == AGGREGATE_DISTANCE;
            size_t k = recents;

            first = e->occurred_at_us < first ? e->occurred_at_us : first;
            if (has_place && !e->has_place)
                continue;
            for (; k > 0 && recent[k - 1]->occurred_at_us > e->occurred_at_us; k--)
                recent[k] = recent[k - 1];
            recent[k] = e;
            if (++recents > RECENT_COUNT) {
                recents--;
                memmove(recent, recent + 1, recents * sizeof recent[0]);
            }
            continue;
        }
        if (!is_current && !in_window(f, o->hold_us[column], newest, e->occurred_at_us, txn->occurred_at_us))
            continue;
        if (f->aggregate == AGGREGATE_DISTINCT) {
            bool is_new = !is_missing(e, f->field);

            for (size_t k = 0; k < distinct && is_new; k++)
                is_new = !same_value(values[k], e, f->field);
            if (is_new)
                values[distinct++] = e;
            continue;
        }
        if (f->field.len) {
            if (!number_of(f, e, &x))
                continue;
            sum += x;
            squares += (i128)x * x;
            least = x < least ? x : least;
            most = x > most ? x : most;
        }
        if (!is_current && e->occurred_at_us > last[o->seen[i]->is_fraud])
            last[o->seen[i]->is_fraud] = e->occurred_at_us;
        count++;
        frauds += !is_current && o->seen[i]->is_fraud;
    }
    switch (f->aggregate) {
    case AGGREGATE_COUNT:
        return (double)count;
    case AGGREGATE_SUM:
        return (double)(long long)sum / scale;
    case AGGREGATE_MEAN:
        out = count ? (double)(long long)sum / (double)count / scale : NAN;
        break;
    case AGGREGATE_STD:
        out = count ? sqrt((double)(squares * count - sum * sum)) / (double)count / scale : NAN;
        break;
    case AGGREGATE_MIN:
        out = count ? (double)least / scale : NAN;
        break;
    case AGGREGATE_MAX:
        out = count ? (double)most / scale : NAN;
        break;
    case AGGREGATE_DISTINCT:
        return (double)distinct;
    case AGGREGATE_FRAUD_COUNT:
        return (double)frauds;
    case AGGREGATE_FRAUD_RATE:
        if (f->has_prior)
            return ((double)frauds + f->prior_rate * f->prior_weight) / ((double)count + f->prior_weight);
        out = count ? (double)frauds / (double)count : NAN;
        break;
    case AGGREGATE_SINCE_FRAUD:
    case AGGREGATE_SINCE_LEGIT:
        newest = last[f->aggregate == AGGREGATE_SINCE_FRAUD];
        out = newest > INT64_MIN ? (double)(txn->occurred_at_us - newest) / 1e6 : NAN;
        break;
    case AGGREGATE_FIRST_SEEN:
        out = first <= txn->occurred_at_us ? (double)(txn->occurred_at_us - first) / 1e6 : NAN;
        break;
    default:
        while (recents > 0 && recent[recents - 1]->occurred_at_us > txn->occurred_at_us)
            recents--;
        if (!recents || (f->aggregate != AGGREGATE_SINCE_LAST && !txn->has_place))
            break;
        out = (double)(txn->occurred_at_us - recent[recents - 1]->occurred_at_us) / 1e6;
        if (f->aggregate == AGGREGATE_SINCE_LAST)
            break;
        /* On the sphere by the spherical law of cosines in long double: another formula than the kernel's. */
        {
            const struct txn *r = recent[recents - 1];
            long double rad = acosl(-1.0L) / 180, a = r->lat * rad, b = txn->lat * rad;
            long double c = sinl(a) * sinl(b) + cosl(a) * cosl(b) * cosl((r->lon - txn->lon) * rad);
            double km = (double)(6371.0088L * acosl(c > 1 ? 1 : c < -1 ? -1 : c));

            out = f->aggregate == AGGREGATE_DISTANCE ? km : km / ((out > 1 ? out : 1) / 3600);
        }
    }
    return isnan(out) && f->has_default ? f->default_value : out;
}

static struct known_label *label_of(struct oracle *o, uint32_t account, struct slice id)
{
    for (size_t i = 0; i < o->label_count; i++) {
        if (o->labels[i].account == account && slice_eq(o->labels[i].id, id))
            return &o->labels[i];
    }
    ARRAY_RESERVE_ONE(o->labels, o->label_count, o->label_cap);
    o->labels[o->label_count] = (struct known_label){ .account = account, .id = id, .seen = -1 };
    return &o->labels[o->label_count++];
}

void oracle_apply_txn(struct oracle *o, const struct txn *txn, double *vector)
{
    struct seen *e = mem_new(struct seen);
    int64_t now_us = watermark(o, txn->account);
    struct known_label *label = label_of(o, txn->account, txn->id);
    size_t columns = plan_columns(o->plan);

    if (txn->occurred_at_us > now_us)
        now_us = txn->occurred_at_us;
    e->entity = mem_new_n(int, columns + 1);
    o->entity = e->entity;
    for (size_t i = 0; i < columns; i++) {
        e->entity[i] = entity_of(o, i, txn);
        vector[i] = value(o, i, txn, now_us);
    }
    e->txn = *txn;
    memcpy(e->attributes, txn->attributes, txn->attribute_count * sizeof *txn->attributes);
    e->txn.attributes = e->attributes;
    e->is_applied = mem_new_n(bool, columns + 1);
    for (size_t i = 0; i < columns; i++) {
        const struct feature *f = plan_column(o->plan, i);
        bool is_there = false;

        if (f->aggregate == AGGREGATE_EXPR)
            continue;
        for (size_t k = 0; k < o->seen_count; k++)
            is_there |= o->seen[k]->is_applied[i] && o->seen[k]->entity[i] == e->entity[i];
        e->is_applied[i] = e->entity[i] >= 0 && (is_there || txn->occurred_at_us > now_us - o->idle_us[i]);
    }
    if (txn->occurred_at_us > now_us - o->ledger_us) {
        if (label->has_label && label->known_at_us <= now_us - o->ledger_us)
            label->has_label = false;
        label->seen = (ptrdiff_t)o->seen_count;
        e->is_fraud = label->has_label && label->is_fraud;
    }
    ARRAY_RESERVE_ONE(o->seen, o->seen_count, o->seen_cap);
    o->seen[o->seen_count++] = e;
}

void oracle_apply_label(struct oracle *o, const struct label *label)
{
    struct known_label *l = label_of(o, label->account, label->transaction_id);
    int64_t old_us = watermark(o, label->account) - o->ledger_us;

    if (l->seen >= 0 && o->seen[l->seen]->txn.occurred_at_us <= old_us)
        return; /* what it was about is forgotten for good */
    if (l->seen < 0 && l->has_label && l->known_at_us <= old_us)
        l->has_label = false;
    if (l->seen < 0 && !l->has_label && label->known_at_us <= old_us)
        return;
    if (l->has_label && ((int)label->source < l->source ||
                         ((int)label->source == l->source && label->labelled_at_us < l->labelled_at_us)))
        return;
    if (l->has_label && (int)label->source == l->source && label->labelled_at_us == l->labelled_at_us &&
        label->is_fraud == l->is_fraud)
        return; /* the very same: it changes nothing, nor how long it is kept */
    l->has_label = true;
    l->is_fraud = label->is_fraud;
    l->source = (int)label->source;
    l->labelled_at_us = label->labelled_at_us;
    l->known_at_us = label->known_at_us;
    if (l->seen >= 0)
        o->seen[l->seen]->is_fraud = l->is_fraud;
}
