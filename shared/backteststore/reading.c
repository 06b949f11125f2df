/* SPDX-License-Identifier: Apache-2.0 */
#include "backteststore/reading.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "featurestore/plan.h"
#include "proto/txn_proto.h"

enum { STEP = 4096 };

enum err reading_init(struct reading *r, struct pg_session *s, struct why *why)
{
    struct pg_result *found = NULL;
    enum err err;

    *r = (struct reading){ .session = s, .builder = chunk_builder_new() };
    err = pg_exec(s, "SELECT plan, definition FROM plans", NULL, &found, why);
    r->plans = mem_new_n(struct known_plan, (err ? 0 : pg_rows(found)) + 1);
    for (size_t i = 0; !err && i < pg_rows(found); i++) {
        struct known_plan *known = &r->plans[r->plan_count];
        struct plan *plan;

        err = plan_parse(&plan, pg_get_text(found, i, 1), why);
        if (err)
            break;
        r->plan_count++;
        memcpy(known->hash, pg_get_bytes(found, i, 0).ptr, SHA256_BYTES);
        known->count = plan_columns(plan);
        known->features = mem_new_n(struct chunk_feature, known->count + 1);
        for (size_t k = 0; k < known->count; k++) {
            const struct feature *f = plan_column(plan, k);

            memcpy(known->features[k].name, f->name.ptr, f->name.len);
            memcpy(known->features[k].identity, f->hash, SHA256_BYTES);
        }
        plan_free(plan);
    }
    pg_result_free(found);
    return err;
}

void reading_release(struct reading *r)
{
    for (size_t i = 0; i < r->plan_count; i++)
        mem_free(r->plans[i].features);
    mem_free(r->plans);
    chunk_builder_free(r->builder);
    arena_release(&r->arena);
}

static const struct known_plan *find_plan(const struct reading *r, struct slice hash)
{
    for (size_t i = 0; i < r->plan_count; i++) {
        if (slice_eq(hash, slice_of(r->plans[i].hash, SHA256_BYTES)))
            return &r->plans[i];
    }
    return NULL;
}

static struct slice join(char *const *parts, size_t count, struct arena *arena)
{
    struct slice all = { 0 };

    for (size_t i = 0; i < count; i++)
        all = arena_printf(arena, "%.*s%s%s", SLICE_ARG(all), all.len ? " " : "", parts[i]);
    return all;
}

/* False: the record cannot be read. */
static bool read_record(struct chunk_row *row, struct slice bytes, struct arena *arena)
{
    const Assay__V1__DecisionRecord *record = assay__v1__decision_record__unpack(
        proto_arena_allocator(arena), bytes.len, (const uint8_t *)bytes.ptr);

    if (!record)
        return false;
    row->thresholds = (struct policy_thresholds){ 2, 2, 2 };
    if (record->thresholds)
        row->thresholds =
            (struct policy_thresholds){ record->thresholds->challenge, record->thresholds->review,
                                        record->thresholds->decline };
    row->decider = (enum policy_decider)record->decided_by;
    row->degraded = join(record->degraded, record->n_degraded, arena);
    row->is_let_through = record->is_control;
    if (record->is_control)
        row->action = ACTION_DECLINE;
    return (unsigned)row->decider <= POLICY_BY_MISSING;
}

enum {
    COL_DECIDED_AT,
    COL_N,
    COL_ACTION,
    COL_SCORE,
    COL_P_ALLOW,
    COL_MODEL,
    COL_RULESET,
    COL_PLAN,
    COL_VECTOR,
    COL_RECORD,
    COL_BODY,
};

static void add_row(struct reading *r, const struct slice *f)
{
    const struct known_plan *plan = find_plan(r, f[COL_PLAN]);
    size_t columns = f[COL_VECTOR].len / sizeof(float);
    float *vector = NULL;
    struct chunk_row row = { .decided_at_us = pg_bytes_time_us(f[COL_DECIDED_AT]),
                             .n = f[COL_N].ptr ? (uint64_t)pg_bytes_int(f[COL_N]) : 0,
                             .has_score = f[COL_SCORE].ptr != NULL,
                             .score = f[COL_SCORE].ptr ? pg_bytes_float(f[COL_SCORE]) : 0,
                             .action = (enum action)pg_bytes_int(f[COL_ACTION]),
                             .p_allow = pg_bytes_float(f[COL_P_ALLOW]),
                             .model = f[COL_MODEL],
                             .ruleset = f[COL_RULESET] };

    if (!f[COL_BODY].ptr || row.action >= ACTION_COUNT || !read_record(&row, f[COL_RECORD], &r->arena) ||
        txn_unpack(&row.txn, f[COL_BODY], &r->arena, NULL)) {
        r->unreadable++;
        return;
    }
    if (plan && columns == plan->count && columns) {
        vector = arena_new(&r->arena, float, columns);
        memcpy(vector, f[COL_VECTOR].ptr, columns * sizeof *vector);
    }
    r->err = chunk_builder_add(r->builder, &row, plan ? plan->features : NULL, vector, vector ? columns : 0,
                               &r->why);
}

static bool on_row(void *context, const struct slice *fields, size_t count)
{
    struct reading *r = context;

    (void)count;
    arena_reset(&r->arena);
    add_row(r, fields);
    if (++r->done > r->total)
        r->total = r->done;
    if (r->done % STEP == 0 && r->hook && !r->hook(r->context, r->done, r->total))
        r->is_stopped = true;
    return !r->err && !r->is_stopped;
}

static void span_sql(char text[160], int64_t from_us, int64_t until_us)
{
    char from[RFC3339_SIZE] = "-infinity", until[RFC3339_SIZE] = "infinity";

    if (from_us != INT64_MIN)
        rfc3339_format(from_us, from);
    if (until_us != INT64_MAX)
        rfc3339_format(until_us, until);
    snprintf(text, 160, "decided_at >= '%s' AND decided_at < '%s'", from, until);
}

/* A body that features has not taken over yet is in the outbox. */
enum err reading_chunk(struct reading *r, int64_t from_us, int64_t until_us, struct buf *out, struct why *why)
{
    char span[160], query[1200];
    enum err err;

    r->err = ERR_OK;
    span_sql(span, from_us, until_us);
    snprintf(query, sizeof query,
             "SELECT d.decided_at, d.place, d.action, d.score, d.p_allow, d.model_version, "
             "d.ruleset_version, d.plan, d.vector, d.record, coalesce(l.body, (SELECT o.body FROM outbox o "
             "WHERE o.kind = 1 AND o.account = d.account AND o.id = d.transaction_id LIMIT 1)) "
             "FROM (SELECT *, coalesce(n, (SELECT i.n FROM transaction_ids i WHERE i.account = x.account AND "
             "i.id = x.transaction_id)) AS place FROM decisions x WHERE %s) d "
             "LEFT JOIN log l ON l.n = d.place AND l.known_at = d.known_at "
             "ORDER BY d.decided_at, d.account, d.transaction_id",
             span);
    err = pg_copy_out(r->session, query, on_row, r, why);
    if (!err && r->err) {
        err = r->err;
        *why = r->why;
    }
    if (!err && r->is_stopped)
        err = err_set(why, ERR_TIMEOUT, "told to stop while reading the history");
    if (!err)
        chunk_builder_end(r->builder, out);
    return err;
}

/* ---- spans ---- */

struct times {
    int64_t *at;
    size_t count, cap;
};

static bool on_time(void *context, const struct slice *fields, size_t count)
{
    struct times *t = context;

    (void)count;
    ARRAY_RESERVE_ONE(t->at, t->count, t->cap);
    t->at[t->count++] = pg_bytes_time_us(fields[0]);
    return true;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

enum err reading_spans(struct reading *r, int64_t from_us, int64_t until_us, int64_t **ends,
                       uint64_t **counts, size_t *count, struct why *why)
{
    struct times t = { 0 };
    char span[160], query[256];
    enum err err;

    *count = 0;
    span_sql(span, from_us, until_us);
    snprintf(query, sizeof query, "SELECT decided_at FROM decisions WHERE %s", span);
    err = pg_copy_out(r->session, query, on_time, &t, why);
    if (!err && t.count)
        qsort(t.at, t.count, sizeof *t.at, by_time);
    *ends = mem_new_n(int64_t, t.count / CHUNK_WANTED + 2);
    *counts = mem_new_n(uint64_t, t.count / CHUNK_WANTED + 2);
    for (size_t begin = 0, end; !err && begin < t.count; begin = end) {
        end = begin + CHUNK_WANTED < t.count ? begin + CHUNK_WANTED : t.count;
        while (end < t.count && t.at[end] == t.at[end - 1])
            end++;
        (*ends)[*count] = end < t.count ? t.at[end] : until_us;
        (*counts)[(*count)++] = end - begin;
    }
    r->total += t.count;
    mem_free(t.at);
    return err;
}
