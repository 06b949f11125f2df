/* SPDX-License-Identifier: Apache-2.0
 * trainingstore.c - four readings of one snapshot, none of which needs a sort or a join of large rows: labels by
 * their index; the log's transactions by its key, each a row or not; decisions as they lie, each found by its place
 * in the log; and, where a vector is missing, the whole log through the store. */
#include "trainingstore/trainingstore.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "featurestore/store.h"
#include "logstore/reader.h"

enum { STEP = 1 << 10, NO_PENDING = UINT32_MAX };

/* A label that waits for its transaction. */
struct pending {
    struct label label; /* without its texts */
    uint32_t next;      /* of the same transaction */
};

/* A plan that vectors were served under. */
struct served_plan {
    unsigned char hash[SHA256_BYTES];
    size_t columns;
    uint16_t *places; /* of the wanted columns in it */
    bool has_all;
};

struct reading {
    struct pg_session *session;
    const struct trainingstore_query *query;
    const struct plan *plan;
    struct rows *rows;
    struct trainingstore_counts *counts;

    struct pending *pending;
    size_t pending_count, pending_cap;
    struct id_table labelled; /* the first pending label of a transaction */

    struct served_plan *plans;
    size_t plan_count;

    bool *is_served, *is_kept; /* [rows] */

    struct arena arena;
    uint64_t entries;
    bool is_stopped;
};

static bool asks_on(const struct trainingstore_query *q, uint64_t *entries, bool *is_stopped)
{
    if (++*entries % STEP == 0 && q->hook && !q->hook(q->context, *entries))
        *is_stopped = true;
    return !*is_stopped;
}

static bool go_on(struct reading *r)
{
    return asks_on(r->query, &r->entries, &r->is_stopped);
}

/* "AND known_at >= ... AND ... AND account = ...", of what may be read. */
static const char *range_sql(const struct trainingstore_query *q, bool has_from, char text[200])
{
    char from[RFC3339_SIZE] = "-infinity", until[RFC3339_SIZE] = "infinity";
    int used;

    if (has_from && q->from_us != INT64_MIN)
        rfc3339_format(q->from_us, from);
    if (q->as_of_us != INT64_MAX)
        rfc3339_format(q->as_of_us, until);
    used = snprintf(text, 200, "known_at >= '%s' AND known_at < '%s'", from, until);
    if (q->account)
        snprintf(text + used, 200 - (size_t)used, " AND account = %" PRIu32, q->account);
    return text;
}

/* ---- labels ---- */

static bool on_label(void *context, const struct slice *f, size_t count)
{
    struct reading *r = context;
    uint32_t mine = (uint32_t)r->pending_count, first;
    struct pending *p;

    (void)count;
    ARRAY_RESERVE_ONE(r->pending, r->pending_count, r->pending_cap);
    p = &r->pending[r->pending_count++];
    *p = (struct pending){
        .label = { .account = (uint32_t)pg_bytes_int(f[0]),
                   .source = (enum label_source)pg_bytes_int(f[2]),
                   .labelled_at_us = pg_bytes_time_us(f[3]),
                   .is_fraud = pg_bytes_int(f[4]) != 0,
                   .known_at_us = pg_bytes_time_us(f[5]) },
        .next = NO_PENDING,
    };
    first = id_table_add(&r->labelled, p->label.account, f[1], mine);
    while (first != mine && r->pending[first].next != NO_PENDING)
        first = r->pending[first].next;
    if (first != mine)
        r->pending[first].next = mine;
    return go_on(r);
}

/* In the log's order, so that of equal times the later entry holds. */
static enum err read_labels(struct reading *r, struct why *why)
{
    char query[400], range[200];

    snprintf(query, sizeof query,
             "SELECT account, transaction_id, source, labelled_at, is_fraud::int, known_at FROM labels "
             "WHERE %s ORDER BY n",
             range_sql(r->query, false, range));
    return pg_copy_out(r->session, query, on_label, r, why);
}

/* ---- transactions ---- */

bool trainingstore_is_drawn(double keep, uint64_t seed, uint32_t account, struct slice id)
{
    struct hash_key key = { "assay sample" };
    uint64_t of[2] = { seed, account };

    if (keep >= 1)
        return true;
    of[0] = hash64(&key, slice_of((const char *)of, sizeof of));
    memcpy(key.bytes, of, sizeof of[0]);
    return (double)hash64(&key, id) < keep * 0x1p64;
}

static void add_row(struct reading *r, uint64_t n, const struct txn *txn)
{
    uint32_t first = id_table_find(&r->labelled, txn->account, txn->id);
    bool is_fraud = false;
    size_t row;

    for (uint32_t i = first; i != NO_PENDING; i = r->pending[i].next)
        is_fraud |= r->pending[i].label.is_fraud;
    if (!is_fraud && !trainingstore_is_drawn(r->query->keep, r->query->seed, txn->account, txn->id)) {
        r->counts->thinned++;
        return;
    }
    row = rows_append(r->rows, txn);
    r->rows->row[row].n = n;
    r->rows->row[row].weight = is_fraud ? 1 : (float)(1 / r->query->keep);
    for (uint32_t i = first; i != NO_PENDING; i = r->pending[i].next)
        rows_attach_label(r->rows, row, &r->pending[i].label);
}

static bool on_txn(void *context, const struct slice *fields, size_t count)
{
    struct reading *r = context;
    struct entry e = entry_of_fields(fields);
    union entry_body body;

    (void)count;
    r->counts->transactions++;
    if (entry_open(&body, &e, &r->arena, NULL))
        r->counts->unreadable++;
    else
        add_row(r, e.n, &body.txn);
    arena_reset(&r->arena);
    return go_on(r);
}

static enum err read_transactions(struct reading *r, struct why *why)
{
    char query[400], range[200];

    snprintf(query, sizeof query, "SELECT " LOG_COLUMNS " FROM log l WHERE kind = %d AND %s ORDER BY n",
             ENTRY_TXN, range_sql(r->query, true, range));
    return pg_copy_out(r->session, query, on_txn, r, why);
}

/* ---- decisions ---- */

static enum err read_plans(struct reading *r, struct why *why)
{
    struct pg_result *found = NULL;
    enum err err = pg_exec(r->session, "SELECT plan, definition FROM plans", NULL, &found, why);
    size_t count = err ? 0 : pg_rows(found);

    r->plans = mem_new_n(struct served_plan, count + 1);
    for (size_t i = 0; i < count && !err; i++) {
        struct served_plan *served = &r->plans[r->plan_count++];
        struct plan *plan;

        err = plan_parse(&plan, pg_get_text(found, i, 1), why);
        if (err)
            break;
        memcpy(served->hash, pg_get_bytes(found, i, 0).ptr, SHA256_BYTES);
        served->columns = plan_columns(plan);
        served->places = mem_new_n(uint16_t, plan_columns(r->plan) + 1);
        served->has_all = plan_map(r->plan, plan, served->places) == PLAN_NO_COLUMN;
        plan_free(plan);
    }
    pg_result_free(found);
    return err;
}

static size_t find_row(const struct rows *rows, uint64_t n)
{
    size_t low = 0, high = rows->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (rows->row[middle].n < n)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rows->count && rows->row[low].n == n ? low : SIZE_MAX;
}

static float float_at(const char *bytes)
{
    uint32_t bits = 0;
    float value;

    for (int k = 0; k < 4; k++)
        bits |= (uint32_t)(unsigned char)bytes[k] << (8 * k);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool take_vector(struct reading *r, size_t row, struct slice plan, struct slice vector)
{
    const struct served_plan *served = NULL;
    float *x = rows_vector_of(r->rows, row);

    for (size_t i = 0; i < r->plan_count && !served; i++)
        if (slice_eq(plan, slice_of((const char *)r->plans[i].hash, SHA256_BYTES)))
            served = &r->plans[i];
    if (!served || !served->has_all || vector.len != 4 * served->columns)
        return false;
    for (size_t i = 0; i < r->rows->columns; i++)
        x[i] = float_at(vector.ptr + (size_t)4 * served->places[i]);
    return true;
}

struct trainingstore_standing trainingstore_standing(enum action action, double p_allow)
{
    bool is_between = p_allow > 0 && p_allow < 1;

    if (action == ACTION_DECLINE && p_allow < 1)
        return (struct trainingstore_standing){ is_between ? 0 : 1, true };
    return (struct trainingstore_standing){ is_between ? 1 / p_allow : 1, false };
}

static bool on_decision(void *context, const struct slice *f, size_t count)
{
    struct reading *r = context;
    size_t i = f[0].ptr ? find_row(r->rows, (uint64_t)pg_bytes_int(f[0])) : SIZE_MAX;
    struct trainingstore_standing standing =
        trainingstore_standing((enum action)pg_bytes_int(f[1]), pg_bytes_float(f[2]));
    struct row *row;

    (void)count;
    if (i == SIZE_MAX)
        return go_on(r);
    row = &r->rows->row[i];
    if (standing.needs_label) {
        r->is_kept[i] = standing.weight > 0 && row->labels != ROW_NO_LABEL;
        row->needs_label = true;
    } else if (standing.weight > 1) {
        row->weight = (float)((double)row->weight * standing.weight);
        r->counts->let_through++;
    }
    r->is_served[i] = r->is_kept[i] && take_vector(r, i, f[3], f[4]);
    return go_on(r);
}

static enum err read_decisions(struct reading *r, struct why *why)
{
    char query[500], range[200];
    enum err err;

    r->is_served = mem_new_n(bool, r->rows->count + 1);
    r->is_kept = mem_new_n(bool, r->rows->count + 1);
    memset(r->is_kept, true, r->rows->count);
    snprintf(query, sizeof query,
             "SELECT coalesce(n, (SELECT i.n FROM transaction_ids i WHERE i.account = d.account "
             "AND i.id = d.transaction_id)), action, p_allow, plan, vector FROM decisions d WHERE %s",
             range_sql(r->query, true, range));
    err = pg_copy_out(r->session, query, on_decision, r, why);
    for (size_t i = 0; i < r->rows->count && !err; i++) {
        r->counts->declined += !r->is_kept[i];
        r->counts->served += r->is_served[i];
    }
    return err;
}

/* ---- vectors that nobody served, or that are to be looked at again ---- */

/* The log through the store, up to the last of some places. */
struct replay {
    const struct trainingstore_query *query;
    const uint64_t *places; /* [count], rising */
    size_t count, at;       /* the one that the log comes to next */
    struct store *store;
    double *vector;
    struct arena arena;
    uint64_t *entries; /* read so far */
    bool *is_stopped;
    size_t memory_most; /* as in the query */
    bool is_large;      /* it would take more */
    /* What was computed for place `at`. */
    void (*each)(void *context, size_t at, const double *vector);
    void *context;
};

static bool on_entry(void *context, const struct entry *e)
{
    struct replay *r = context;
    union entry_body body;
    bool is_wanted;

    if (e->known_at_us >= r->query->as_of_us)
        return asks_on(r->query, r->entries,
                       r->is_stopped); /* accounts on a simulated clock live in other years:
                                                               * the next may be earlier */
    if (entry_open(&body, e, &r->arena, NULL)) {
        arena_reset(&r->arena); /* counted where rows are read */
        return asks_on(r->query, r->entries, r->is_stopped);
    }
    while (r->at < r->count && r->places[r->at] < e->n)
        r->at++;
    is_wanted = e->kind == ENTRY_TXN && r->at < r->count && r->places[r->at] == e->n;
    if (e->kind == ENTRY_LABEL)
        store_apply_label(r->store, e->n, &body.label);
    else if (e->kind == ENTRY_TXN)
        store_apply_txn(r->store, e->n, &body.txn, is_wanted ? r->vector : NULL);
    if (is_wanted)
        r->each(r->context, r->at, r->vector);
    arena_reset(&r->arena);
    r->is_large = r->memory_most && *r->entries % STEP == 0 && store_stats(r->store).bytes > r->memory_most;
    return !r->is_large && asks_on(r->query, r->entries, r->is_stopped);
}

static enum err replay_log(struct replay *r, struct pg_session *s, const struct plan *plan, struct why *why)
{
    struct log_range range = { .account = r->query->account };
    enum err err;

    if (!r->count)
        return ERR_OK;
    range.upto = r->places[r->count - 1];
    r->store = store_new(plan);
    r->vector = mem_new_n(double, plan_columns(plan) + 1);
    err = log_read(s, &range, on_entry, r, why);
    mem_free(r->vector);
    store_free(r->store);
    arena_release(&r->arena);
    return err;
}

/* Rows without a vector, and where they are in the log. */
struct missing {
    struct reading *reading;
    size_t *rows;
    uint64_t *places;
    size_t count;
};

static void set_missing(void *context, size_t at, const double *vector)
{
    struct missing *m = context;

    rows_set_vector(m->reading->rows, m->rows[at], vector);
    m->reading->counts->recomputed++;
}

static enum err recompute(struct reading *r, struct why *why)
{
    struct missing m = { .reading = r };
    struct replay replay = { .query = r->query,
                             .entries = &r->entries,
                             .is_stopped = &r->is_stopped,
                             .each = set_missing,
                             .context = &m };
    enum err err;

    m.rows = mem_new_n(size_t, r->rows->count + 1);
    m.places = mem_new_n(uint64_t, r->rows->count + 1);
    for (size_t i = 0; i < r->rows->count; i++) {
        if (!r->is_kept[i] || r->is_served[i])
            continue;
        m.rows[m.count] = i;
        m.places[m.count++] = r->rows->row[i].n;
    }
    replay.places = m.places;
    replay.count = m.count;
    err = replay_log(&replay, r->session, r->plan, why);
    mem_free(m.rows);
    mem_free(m.places);
    return err;
}

/* Where vectors that are looked at again go. */
struct again {
    float *vectors;
    size_t columns;
};

static void set_again(void *context, size_t at, const double *vector)
{
    const struct again *a = context;

    rows_round(a->vectors + at * a->columns, vector, a->columns);
}

enum err trainingstore_recompute(struct pg_session *s, const struct trainingstore_query *query,
                                 const struct plan *plan, const uint64_t *places, size_t count,
                                 float *vectors, struct why *why)
{
    struct again again = { vectors, plan_columns(plan) };
    uint64_t entries = 0;
    bool is_stopped = false;
    struct replay replay = { .query = query,
                             .places = places,
                             .count = count,
                             .entries = &entries,
                             .is_stopped = &is_stopped,
                             .memory_most = query->memory_most,
                             .each = set_again,
                             .context = &again };
    enum err err;

    for (size_t i = 0; i < count * again.columns; i++)
        vectors[i] = NAN;
    err = replay_log(&replay, s, plan, why);
    if (!err && is_stopped)
        err = err_set(why, ERR_TIMEOUT, "told to stop while computing vectors again");
    if (!err && replay.is_large)
        err = err_set(why, ERR_LIMIT, "the state of all entities takes more than %zu MB",
                      query->memory_most >> 20);
    return err;
}

static void reading_release(struct reading *r)
{
    for (size_t i = 0; i < r->plan_count; i++)
        mem_free(r->plans[i].places);
    mem_free(r->plans);
    mem_free(r->pending);
    id_table_release(&r->labelled);
    mem_free(r->is_served);
    mem_free(r->is_kept);
    arena_release(&r->arena);
}

enum err trainingstore_read(struct pg_session *s, const struct trainingstore_query *query,
                            const struct plan *plan, struct rows *rows, struct trainingstore_counts *counts,
                            struct why *why)
{
    static enum err (*const steps[])(struct reading *, struct why *) = {
        read_labels, read_transactions, read_plans, read_decisions, recompute,
    };
    struct reading r = { .session = s, .query = query, .plan = plan, .rows = rows, .counts = counts };
    enum err err;

    *counts = (struct trainingstore_counts){ 0 };
    if (!(query->keep > 0 && query->keep <= 1))
        return err_set(why, ERR_INVALID, "the share to keep is above 0 and at most 1");
    err = pg_exec_script(s, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", why);
    if (err)
        return err;
    for (size_t i = 0; i < ARRAY_LEN(steps) && !err; i++) {
        err = steps[i](&r, why);
        if (!err && r.is_stopped)
            err = err_set(why, ERR_TIMEOUT, "told to stop while reading what to learn from");
    }
    if (!err)
        rows_keep(rows, r.is_kept);
    reading_release(&r);
    if (pg_exec_script(s, "ROLLBACK", err ? NULL : why) && !err)
        err = ERR_UNAVAILABLE;
    return err;
}
