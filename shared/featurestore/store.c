/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/store.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "featurestore/state.h"

__extension__ typedef __int128 i128;

/* Keys are hashed with the same key everywhere: places in a table never show, and the 128 bits that stand for
 * a transaction's id must be the same after a restart. */
static const struct hash_key hash_keys[2] = { { "assay.entity.key" }, { "assay.ledger.key" } };

/* Slots looked at for each new item, and how many at once. */
enum { SWEEP_PER_NEW = 4, SWEEP_EVERY = 256 };

/* ---- making ---- */

struct store *store_new(const struct plan *plan)
{
    struct store *s = mem_new(struct store);
    size_t cell_bytes = 1;

    s->plan = plan;
    s->lookups = mem_new_n(struct lookup, plan->entity_count + 1);
    s->blanks = mem_new_n(struct entity *, plan->entity_count + 1);
    s->views = mem_new_n(unsigned char *, plan->entity_count + 1);
    for (size_t i = 0; i < plan->entity_count; i++) {
        const struct entity_layout *e = &plan->entities[i];

        s->blanks[i] = mem_alloc(1, e->bytes);
        entity_init(e, s->blanks[i]);
        s->views[i] = mem_alloc(1, e->large_bytes);
        large_init(e, s->views[i]);
        s->fixed_bytes += e->bytes + e->large_bytes;
        for (size_t t = 0; t < e->track_count; t++) {
            if (e->tracks[t].cell_bytes > cell_bytes)
                cell_bytes = e->tracks[t].cell_bytes;
        }
    }
    s->workshop.scratch = mem_alloc(1, cell_bytes);
    s->slots = mem_new_n(struct cel_value, plan->slots + 1);
    s->features = mem_new_n(double, plan->count + 1);
    s->holds = mem_new_n(bool, plan->condition_count + 1);
    s->has = mem_new_n(bool, plan->value_count + 1);
    s->values = mem_new_n(int64_t, plan->value_count + 1);
    s->texts = mem_new_n(uint64_t, plan->text_count + 1);
    s->workshop.holds = mem_new_n(bool, plan->condition_count + 1);
    s->workshop.has = mem_new_n(bool, plan->value_count + 1);
    s->workshop.values = mem_new_n(int64_t, plan->value_count + 1);
    s->workshop.texts = mem_new_n(uint64_t, plan->text_count + 1);
    return s;
}

static size_t ledger_entry_bytes(const struct plan *p)
{
    return sizeof(struct ledger_entry) + p->fraud_entities * sizeof(struct entity *);
}

static void entity_free(struct store *s, struct entity *e)
{
    const struct entity_layout *layout = &s->plan->entities[e->type];

    entity_clear(layout, e, &s->workshop);
    pool_put(&s->workshop.pool, e, layout->bytes + e->key_len);
}

static void give_back(struct store *s)
{
    for (size_t i = 0; i < s->entities.size; i++) {
        if (s->entities.slots[i].item)
            entity_free(s, s->entities.slots[i].item);
    }
    for (size_t i = 0; i < s->ledger.size; i++)
        pool_put(&s->workshop.pool, s->ledger.slots[i].item, ledger_entry_bytes(s->plan));
    for (size_t i = 0; i < s->accounts.size; i++)
        pool_put(&s->workshop.pool, s->accounts.slots[i].item, sizeof(struct account));
}

void store_free(struct store *s)
{
    if (!s)
        return;
    give_back(s);
    for (size_t i = 0; i < s->plan->entity_count; i++) {
        mem_free(s->blanks[i]);
        mem_free(s->views[i]);
    }
    mem_free(s->blanks);
    mem_free(s->views);
    mem_free(s->lookups);
    mem_free(s->workshop.scratch);
    mem_free(s->workshop.holds);
    mem_free(s->workshop.has);
    mem_free(s->workshop.values);
    mem_free(s->workshop.texts);
    mem_free(s->slots);
    mem_free(s->features);
    mem_free(s->holds);
    mem_free(s->has);
    mem_free(s->values);
    mem_free(s->texts);
    mem_free(s->entities.slots);
    mem_free(s->ledger.slots);
    mem_free(s->accounts.slots);
    pool_release(&s->workshop.pool);
    mem_free(s);
}

uint64_t store_key_hash(const char *key, size_t len)
{
    return hash64(&hash_keys[0], slice_of(key, len));
}

static bool account_is(const void *item, const void *number)
{
    return ((const struct account *)item)->number == *(const uint32_t *)number;
}

static struct account *account_find(const struct store *s, uint32_t number)
{
    if (s->account && s->account->number == number)
        return s->account;
    return table_find(&s->accounts, account_hash(number), account_is, &number);
}

struct account *store_account(struct store *s, uint32_t number)
{
    struct account *a = account_find(s, number);

    if (!a) {
        a = pool_get(&s->workshop.pool, sizeof *a);
        *a = (struct account){ .number = number, .newest_us = NEVER_US };
        table_add(&s->accounts, account_hash(number), a);
    }
    s->account = a;
    return a;
}

struct entity *store_entity_new(struct store *s, uint16_t type, uint64_t hash, const char *key,
                                uint32_t key_len, struct account *account)
{
    const struct entity_layout *layout = &s->plan->entities[type];
    struct entity *e = pool_get(&s->workshop.pool, layout->bytes + key_len);

    *e = (struct entity){ .hash = hash, .account = account, .key_len = key_len, .type = type };
    entity_init(layout, e);
    memcpy(entity_key(layout, e), key, key_len);
    table_add(&s->entities, hash, e);
    s->entities_owed += SWEEP_PER_NEW;
    return e;
}

struct ledger_entry *store_ledger_new(struct store *s, const uint64_t id[2], struct account *account)
{
    struct ledger_entry *e = pool_get(&s->workshop.pool, ledger_entry_bytes(s->plan));

    memset(e, 0, ledger_entry_bytes(s->plan));
    e->id[0] = id[0];
    e->id[1] = id[1];
    e->account = account;
    table_add(&s->ledger, id[0], e);
    s->ledger_owed += SWEEP_PER_NEW;
    return e;
}

/* ---- finding ---- */

/* Account and kind, then each field with its kind and length, so that no two keys run into each other. */
static bool key_make(const struct plan *p, size_t type, const struct txn *txn, struct lookup *l)
{
    const struct entity_layout *layout = &p->entities[type];
    uint16_t type16 = (uint16_t)type;
    char *at = l->key;

    memcpy(at, &txn->account, 4);
    memcpy(at + 4, &type16, 2);
    at += 6;
    for (size_t i = 0; i < layout->field_count; i++) {
        struct txn_value v = txn_field_get(txn, &layout->fields[i]);
        double number = v.number + 0.0; /* -0 is 0 */
        const void *bytes = v.text.ptr;
        size_t len = v.text.len < 256 ? v.text.len : 256;

        if (v.kind == TXN_VALUE_MISSING || (v.kind == TXN_VALUE_NUMBER && isnan(number)))
            return false;
        if (v.kind == TXN_VALUE_NUMBER) {
            bytes = &number;
            len = sizeof number;
        } else if (v.kind == TXN_VALUE_BOOL) {
            bytes = &v.is_true;
            len = 1;
        }
        at[0] = (char)v.kind;
        at[1] = (char)(len & 0xff);
        at[2] = (char)(len >> 8);
        if (len)
            memcpy(at + 3, bytes, len);
        at += 3 + len;
    }
    l->key_len = (uint32_t)(at - l->key);
    l->hash = store_key_hash(l->key, l->key_len);
    return true;
}

static bool entity_is(const void *item, const void *key)
{
    const struct entity *e = item;
    const struct lookup *l = key;

    return e->key_len == l->key_len && memcmp(entity_key(l->layout, e), l->key, e->key_len) == 0;
}

static void look_up(struct store *s, const struct txn *txn, int64_t now_us)
{
    const struct plan *p = s->plan;

    for (size_t i = 0; i < p->entity_count; i++) {
        struct lookup *l = &s->lookups[i];

        l->layout = &p->entities[i];
        l->entity = l->idle = NULL;
        l->is_missing = !key_make(p, i, txn, l);
        if (!l->is_missing)
            table_prefetch(&s->entities, l->hash);
    }
    for (size_t i = 0; i < p->entity_count; i++) {
        struct lookup *l = &s->lookups[i];

        if (!l->is_missing)
            l->entity = table_find(&s->entities, l->hash, entity_is, l);
        if (l->entity && entity_is_idle(p, l->entity, now_us)) {
            l->idle = l->entity;
            l->entity = NULL;
        }
        l->block = l->entity ? l->entity : s->blanks[i];
        l->totals = l->block->large ? l->block->large : s->views[i];
        if (l->block->events.count)
            entity_prefetch(l->layout, l->block);
    }
}

/* ---- computing ---- */

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
        hash = hash64(&hash_keys[0], slice_of(&number, sizeof number));
        break;
    case TXN_VALUE_TEXT:
        hash = hash64(&hash_keys[1], v.text);
        break;
    case TXN_VALUE_BOOL:
        hash = v.is_true ? 1 : 2;
        break;
    }
    return hash ? hash : 1;
}

static void read_values(struct store *s, const struct txn *txn)
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
static double deviation(uint64_t count, int64_t sum, const unsigned char *squares_at)
{
    i128 squares, left, right = (i128)sum * sum;

    memcpy(&squares, squares_at, sizeof squares);
    if (__builtin_mul_overflow(squares, (i128)count, &left)) {
        long double n = (long double)count, mean = (long double)sum / n;
        long double variance = (long double)squares / n - mean * mean;

        return variance > 0 ? (double)sqrtl(variance) : 0;
    }
    return sqrt((double)(left - right)) / (double)count;
}

static const double pi = 3.14159265358979323846, earth_km = 6371.0088; /* mean radius, IUGG */

/* The haversine formula. */
static double distance_km(double lat_a, double lon_a, double lat_b, double lon_b)
{
    double a = lat_a * pi / 180, b = lat_b * pi / 180;
    double up = sin((b - a) / 2), across = sin((lon_b - lon_a) * pi / 360);
    double h = up * up + cos(a) * cos(b) * across * across;

    return 2 * earth_km * asin(sqrt(h > 1 ? 1 : h));
}

static double last_feature(struct store *s, const struct compiled *c, const struct recent *r,
                           const unsigned char *block, const struct txn *txn)
{
    struct place last;
    double km, seconds;

    if (r->has_place && !txn->has_place)
        return NAN;
    if (!recent_find(r, block, txn->occurred_at_us, &last))
        return NAN;
    seconds = (double)(txn->occurred_at_us - last.at_us) / 1e6;
    if (c->feature->aggregate == AGGREGATE_SINCE_LAST)
        return seconds;
    if (s->km_of != r) { /* speed and distance mostly come together */
        s->km_of = r;
        s->km = distance_km(last.lat, last.lon, txn->lat, txn->lon);
    }
    km = s->km;
    if (c->feature->aggregate == AGGREGATE_DISTANCE)
        return km;
    return km / ((seconds > 1 ? seconds : 1) / 3600); /* no time at all counts as a second */
}

static double window_feature(const struct store *s, const struct compiled *c, const unsigned char *block,
                             const struct txn *txn)
{
    const struct feature *f = c->feature;
    bool is_current = f->includes_current && (c->condition == NONE || s->holds[c->condition]);
    double scale = c->value == NONE ? 1 : s->plan->values[c->value].factor;
    uint64_t count = c->count_at ? load_u64(block + c->count_at) : 0;
    uint64_t frauds = c->fraud_at ? load_u64(block + c->fraud_at) : 0;
    int64_t sum = c->sum_at ? load_i64(block + c->sum_at) : 0;
    int64_t value = c->value == NONE ? 0 : s->values[c->value], best;
    i128 squares;

    if (c->value != NONE && !s->has[c->value])
        is_current = false;
    if (is_current) {
        count++;
        sum = (int64_t)((uint64_t)sum + (uint64_t)value);
    }
    switch (f->aggregate) {
    case AGGREGATE_COUNT:
        return (double)count;
    case AGGREGATE_SUM:
        return (double)sum / scale;
    case AGGREGATE_MEAN:
        return count ? (double)sum / (double)count / scale : NAN;
    case AGGREGATE_STD:
        memcpy(&squares, block + c->squares_at, sizeof squares);
        if (is_current)
            squares += (i128)value * value;
        return count ? deviation(count, sum, (const unsigned char *)&squares) / scale : NAN;
    case AGGREGATE_MIN:
        best = load_i64(block + c->best_at);
        if (is_current && value < best)
            best = value;
        return best == INT64_MAX ? NAN : (double)best / scale;
    case AGGREGATE_MAX:
        best = load_i64(block + c->best_at);
        if (is_current && value > best)
            best = value;
        return best == INT64_MIN ? NAN : (double)best / scale;
    case AGGREGATE_FRAUD_COUNT:
        return (double)frauds;
    case AGGREGATE_FRAUD_RATE:
        if (f->has_prior)
            return ((double)frauds + f->prior_rate * f->prior_weight) / ((double)count + f->prior_weight);
        return count ? (double)frauds / (double)count : NAN;
    case AGGREGATE_FIRST_SEEN:
        best = load_i64(block + c->best_at);
        return best > txn->occurred_at_us ? NAN : (double)(txn->occurred_at_us - best) / 1e6;
    default:
        assert(!"an aggregate over a window");
        return NAN;
    }
}

static double distinct_feature(const struct store *s, const struct compiled *c, const unsigned char *totals)
{
    const struct variety *v = &s->plan->entities[c->entity].varieties[c->variety];
    const struct variety_cursor *k = (const struct variety_cursor *)(totals + v->spans[c->span].at);

    if (!c->feature->includes_current || (c->condition != NONE && !s->holds[c->condition]) ||
        !s->texts[v->text])
        return k->distinct;
    return k->distinct + !k->has_current;
}

static double compute(struct store *s, const struct compiled *c, const struct txn *txn)
{
    const struct cel_input input = { .slots = s->slots };
    const struct lookup *l;
    double value;

    if (c->entity == NONE) {
        value = c->program ? number_of(cel_eval(c->program, &input)) : txn_field_get(txn, &c->field).number;
        if (!c->program && txn_field_get(txn, &c->field).kind == TXN_VALUE_MISSING)
            value = NAN;
    } else {
        l = &s->lookups[c->entity];
        if (l->is_missing)
            return NAN;
        if (c->recent != NONE)
            value = last_feature(s, c, &l->layout->recents[c->recent], (const unsigned char *)l->block, txn);
        else if (c->variety != NONE)
            value = distinct_feature(s, c, l->totals);
        else
            value = window_feature(s, c, c->span == NONE ? (const unsigned char *)l->block : l->totals, txn);
    }
    if (!isfinite(value))
        value = c->feature->has_default ? c->feature->default_value : NAN;
    return value;
}

/* Takes the plan's steps; those that only the vector needs when there is one. */
static void run(struct store *s, const struct txn *txn, double *vector)
{
    const struct plan *p = s->plan;

    s->km_of = NULL;
    for (const struct step *step = p->steps; step < p->steps + p->step_count; step++) {
        const struct lookup *l = step->entity == NONE ? NULL : &s->lookups[step->entity];
        const struct cel_input input = { .slots = s->slots };

        if (!vector && !step->is_lasting)
            break; /* the lasting ones come first */
        switch (step->kind) {
        case STEP_SPAN:
            if (!l->is_missing)
                entity_count(&l->layout->tracks[step->a], &l->layout->tracks[step->a].spans[step->b],
                             l->layout, l->block, s->views[step->entity], txn->occurred_at_us);
            break;
        case STEP_VARIETY:
            if (!l->is_missing)
                entity_count_distinct(&l->layout->varieties[step->a],
                                      &l->layout->varieties[step->a].spans[step->b], l->layout, l->block,
                                      s->views[step->entity], txn->occurred_at_us,
                                      s->texts[l->layout->varieties[step->a].text]);
            break;
        case STEP_CONDITION:
            s->holds[step->a] = number_of(cel_eval(p->conditions[step->a].program, &input)) == 1;
            break;
        case STEP_FEATURE:
            s->features[step->a] = compute(s, &p->compiled[step->a], txn);
            if (p->compiled[step->a].slot != NONE)
                s->slots[p->compiled[step->a].slot] = cel_feature(s->features[step->a]);
            break;
        }
    }
    if (vector && p->columns)
        memcpy(vector, s->features, p->columns * sizeof *vector);
}

/* ---- applying ---- */

/* The entity to write to; NULL when the event is too old for one to be begun. */
static struct entity *entity_for(struct store *s, size_t type, struct account *account, int64_t at_us)
{
    struct lookup *l = &s->lookups[type];

    if (l->entity)
        return l->entity;
    if (at_us <= account->newest_us - s->plan->entities[type].idle_us)
        return NULL;
    if (l->idle) {
        entity_clear(l->layout, l->idle, &s->workshop);
        return l->idle;
    }
    return store_entity_new(s, (uint16_t)type, l->hash, l->key, l->key_len, account);
}

static void entity_apply(struct store *s, struct entity *entity, const struct txn *txn,
                         const struct event *event)
{
    const struct entity_layout *e = &s->plan->entities[entity->type];
    unsigned char *block = (unsigned char *)entity;

    if (event->at_us > entity->newest_us)
        entity->newest_us = event->at_us;
    if (!entity_insert(e, entity, event, &s->workshop))
        s->late_dropped++;
    for (const struct recent *r = e->recents; r < e->recents + e->recent_count; r++) {
        struct place place = { event->at_us, txn->lat, txn->lon };

        if ((r->condition == NONE || event->holds[r->condition]) && (!r->has_place || txn->has_place))
            recent_insert(r, block, &place);
    }
    for (const struct lifetime *l = e->lifetimes; l < e->lifetimes + e->lifetime_count; l++)
        lifetime_add(l, block, event);
}

struct ledger_key {
    uint64_t id[2];
};

static bool ledger_is(const void *item, const void *key)
{
    const struct ledger_entry *e = item;
    const struct ledger_key *k = key;

    return e->id[0] == k->id[0] && e->id[1] == k->id[1];
}

static struct ledger_key ledger_key(uint32_t account, struct slice id)
{
    struct ledger_key key;
    struct hash_key scoped;

    for (int i = 0; i < 2; i++) {
        scoped = hash_keys[i];
        for (int k = 0; k < 4; k++)
            scoped.bytes[k] ^= (unsigned char)(account >> (8 * k));
        key.id[i] = hash64(&scoped, id);
    }
    return key;
}

static void ledger_forget(const struct plan *p, struct ledger_entry *e)
{
    e->has_txn = e->has_label = e->is_fraud = false;
    e->at_us = e->labelled_at_us = 0;
    e->holds = 0;
    e->number = e->source = 0;
    for (size_t i = 0; i < p->fraud_entities; i++)
        e->entities[i] = NULL;
}

/* The transaction's entry, with the label if that came first; NULL when labels will not find it. */
static struct ledger_entry *ledger_open(struct store *s, uint64_t n, const struct txn *txn,
                                        struct account *account)
{
    const struct plan *p = s->plan;
    struct ledger_key key = ledger_key(txn->account, txn->id);
    struct ledger_entry *e;

    if (!p->has_fraud || txn->occurred_at_us <= account->newest_us - p->ledger_us)
        return NULL;
    e = table_find(&s->ledger, key.id[0], ledger_is, &key);
    if (e && ledger_is_old(p, e, account->newest_us))
        ledger_forget(p, e);
    if (e && e->has_txn)
        return NULL; /* ids are unique in the log; the first one stays */
    if (!e)
        e = store_ledger_new(s, key.id, account);
    e->has_txn = true;
    e->at_us = txn->occurred_at_us;
    e->number = (uint32_t)n;
    for (size_t i = 0; i < p->condition_count; i++) {
        if (p->conditions[i].fraud_bit != NONE && s->holds[i])
            e->holds |= UINT64_C(1) << p->conditions[i].fraud_bit;
    }
    return e;
}

/* Frees some of what is idle, the more the more has come, so that what is idle stays a small part. What is
 * idle counts as gone already, so when this happens cannot be seen in a vector. */
static void sweep(struct store *s)
{
    const struct plan *p = s->plan;

    for (size_t i = 0; i < s->entities_owed; i++) {
        size_t slot = s->sweep_entities++ & (s->entities.size - 1);
        struct entity *e = s->entities.slots[slot].item;

        if (e && entity_is_idle(p, e, e->account->newest_us)) {
            table_remove_at(&s->entities, slot);
            entity_free(s, e);
            s->evicted++;
        }
    }
    for (size_t i = 0; i < s->ledger_owed; i++) {
        size_t slot = s->sweep_ledger++ & (s->ledger.size - 1);
        struct ledger_entry *e = s->ledger.slots[slot].item;

        if (e && ledger_is_old(p, e, e->account->newest_us)) {
            table_remove_at(&s->ledger, slot);
            pool_put(&s->workshop.pool, e, ledger_entry_bytes(p));
        }
    }
    s->entities_owed = s->ledger_owed = 0;
}

void store_apply_txn(struct store *s, uint64_t n, const struct txn *txn, double *vector)
{
    const struct plan *p = s->plan;
    struct account *account = store_account(s, txn->account);
    struct event event = { .at_us = txn->occurred_at_us,
                           .number = (uint32_t)n,
                           .holds = s->holds,
                           .values = s->values,
                           .has = s->has,
                           .texts = s->texts };
    struct ledger_entry *entry;
    size_t fraud_entity = 0;

    if (txn->occurred_at_us > account->newest_us)
        account->newest_us = txn->occurred_at_us;
    look_up(s, txn, account->newest_us);
    read_values(s, txn);
    run(s, txn, vector);
    entry = ledger_open(s, n, txn, account);
    event.is_fraud = entry && entry->is_fraud;
    for (size_t i = 0; i < p->entity_count; i++) {
        struct entity *entity = NULL;

        if (!s->lookups[i].is_missing) {
            entity = entity_for(s, i, account, txn->occurred_at_us);
            if (entity)
                entity_apply(s, entity, txn, &event);
            else
                s->late_dropped++;
        }
        if (p->entities[i].has_fraud && entry)
            entry->entities[fraud_entity++] = entity;
    }
    s->last = n;
    if (s->entities_owed + s->ledger_owed >= SWEEP_EVERY)
        sweep(s);
}

void store_peek_txn(struct store *s, const struct txn *txn, double *vector)
{
    const struct account *account = account_find(s, txn->account);
    int64_t now_us =
        account && account->newest_us > txn->occurred_at_us ? account->newest_us : txn->occurred_at_us;

    look_up(s, txn, now_us);
    read_values(s, txn);
    run(s, txn, vector);
}

/* Whether the label holds over what the entry has. */
static bool is_stronger(const struct ledger_entry *e, const struct label *label)
{
    if (!e->has_label)
        return true;
    if ((int)label->source != e->source)
        return (int)label->source > e->source;
    return label->labelled_at_us >= e->labelled_at_us;
}

enum store_label store_apply_label(struct store *s, uint64_t n, const struct label *label)
{
    const struct plan *p = s->plan;
    struct ledger_key key = ledger_key(label->account, label->transaction_id);
    struct account *account;
    struct ledger_entry *e;
    bool was_fraud;
    size_t fraud_entity = 0;

    s->last = n;
    if (!p->has_fraud)
        return STORE_LABEL_APPLIED;
    account = store_account(s, label->account);
    e = table_find(&s->ledger, key.id[0], ledger_is, &key);
    if (e && ledger_is_old(p, e, account->newest_us))
        ledger_forget(p, e);
    if (!e || !(e->has_txn || e->has_label)) {
        if (label->known_at_us <= account->newest_us - p->ledger_us) {
            if (e) /* leave it old, as it was found */
                e->at_us = NEVER_US;
            return STORE_LABEL_PENDING;
        }
        if (!e)
            e = store_ledger_new(s, key.id, account);
    }
    if (e->has_label && e->source == label->source && e->labelled_at_us == label->labelled_at_us &&
        e->is_fraud == label->is_fraud)
        return STORE_LABEL_SAME;
    if (!is_stronger(e, label))
        return STORE_LABEL_WEAKER;
    was_fraud = e->is_fraud;
    e->has_label = true;
    e->is_fraud = label->is_fraud;
    e->source = (uint8_t)label->source;
    e->labelled_at_us = label->labelled_at_us;
    if (!e->has_txn) {
        e->at_us = label->known_at_us;
        if (s->entities_owed + s->ledger_owed >= SWEEP_EVERY)
            sweep(s);
        return STORE_LABEL_PENDING;
    }
    for (size_t i = 0; i < p->entity_count && e->is_fraud != was_fraud; i++) {
        struct entity *entity;

        if (!p->entities[i].has_fraud)
            continue;
        entity = e->entities[fraud_entity++];
        if (entity)
            entity_label(p, entity, e->at_us, e->number, e->holds, e->is_fraud ? 1 : -1);
    }
    return STORE_LABEL_APPLIED;
}

/* ---- reading ---- */

uint64_t store_last(const struct store *s)
{
    return s->last;
}

void store_vector_pack(const double *vector, size_t columns, unsigned char *out)
{
    for (size_t i = 0; i < columns; i++) {
        float value = fabs(vector[i]) <= (double)FLT_MAX ? (float)vector[i] : NAN;
        uint32_t bits;

        memcpy(&bits, &value, sizeof bits);
        if (isnan(value))
            bits = 0x7fc00000; /* one spelling, so that equal vectors are equal bytes */
        for (int k = 0; k < 4; k++)
            out[4 * i + (size_t)k] = (unsigned char)(bits >> (8 * k));
    }
}

struct store_stats store_stats(const struct store *s)
{
    return (struct store_stats){
        .entities = s->entities.count,
        .cells = s->workshop.cells,
        .ledger = s->ledger.count,
        .bytes = s->workshop.pool.bytes + table_bytes(&s->entities) + table_bytes(&s->ledger) +
                 table_bytes(&s->accounts) + s->fixed_bytes + sizeof *s,
        .ledger_bytes = table_bytes(&s->ledger) + s->ledger.count * pool_round(ledger_entry_bytes(s->plan)),
        .late_dropped = s->late_dropped,
        .capped = s->workshop.capped,
        .evicted = s->evicted,
    };
}
