/* SPDX-License-Identifier: Apache-2.0
 * store.c - reads what is published and swaps policies.
 *
 *   idle --tick or NOTIFY--> look --same stamp--> idle
 *                             | another stamp
 *                             v
 *                           read sets and lists --> pages of each list that changed --> build, swap --> look
 *
 * The stamp is read before what it stands for. So what changes during the reading shows as another stamp in
 * the look that follows, and is read then. */
#include "policystore/store.h"

#include <inttypes.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "log/log.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "pg/pg.h"
#include "policystore/answer.h"
#include "policystore/columns.h"
#include "policystore/document.h"

enum {
    LOOK_EVERY_US = 1000000,
    ANSWER_WITHIN_US = 5000000, /* from PostgreSQL; then it is asked again */
    PAGE_ROWS = 5000,           /* some milliseconds of the loop */
};

static const char stamp_sql[] = "SELECT coalesce((SELECT string_agg(version::text, ',' ORDER BY version) "
                                "FROM rulesets WHERE state = 'published'), '')"
                                " || ';' || coalesce((SELECT string_agg(list::text || ':' || changed::text, "
                                "',' ORDER BY list) FROM lists), '')";
static const char sets_sql[] =
    "SELECT version, account, body::text FROM rulesets WHERE state = 'published' ORDER BY account";
static const char lists_sql[] =
    "SELECT list, account, name, purpose, field, changed FROM lists ORDER BY list";
static const char entries_sql[] = "SELECT value, expires_at FROM list_entries"
                                  " WHERE list = $1::int8 AND value > $2::text ORDER BY value LIMIT 5000";
static_assert(PAGE_ROWS == 5000, "entries_sql has the same limit");

enum {
    METRIC_LOADS,
    METRIC_REFUSED,
    METRIC_RULES,
    METRIC_ENTRIES,
    METRIC_ERRORS,
    METRIC_SHADOW,
    METRIC_STORE_COUNT
};
static const struct metric metric_table[METRIC_STORE_COUNT] = {
    [METRIC_LOADS] = { "assay_policy_loads_total",
                       METRIC_COUNTER,
                       "Policies that were swapped in",
                       { NULL } },
    [METRIC_REFUSED] = { "assay_policy_refused_total",
                         METRIC_COUNTER,
                         "Published policies that could not be used; the last good one goes on",
                         { NULL } },
    [METRIC_RULES] = { "assay_policy_rules",
                       METRIC_GAUGE,
                       "Rules of the common rule set in force",
                       { NULL } },
    [METRIC_ENTRIES] = { "assay_policy_list_entries",
                         METRIC_GAUGE,
                         "Entries of all lists in force",
                         { NULL } },
    [METRIC_ERRORS] = { "assay_policy_rule_errors_total",
                        METRIC_COUNTER,
                        "Rules that could not be evaluated, for another reason than a missing value",
                        { "rule" } },
    [METRIC_SHADOW] = { "assay_policy_shadow_total",
                        METRIC_COUNTER,
                        "What the rule set in shadow would have done, beside what was done",
                        { "action", "live" } },
};

/* A list as it was read, kept as long as its row says the same. */
struct held_list {
    int64_t number, changed;
    struct list *list;
    size_t bad; /* entries that are no values for it */
};

struct held_lists {
    struct held_list *items;
    size_t count, cap;
};

struct policy_store {
    struct policy_store_options options;
    struct metric_set *metrics;
    struct loop_timer timer;
    bool is_reading;
    bool is_stale; /* heard of a change while reading */

    struct policy *empty; /* until there is one */
    struct policy *policy;
    struct held_lists lists;
    struct buf stamp; /* of the policy in force, or of the refused one */

    /* while reading */
    struct buf next_stamp;
    struct policy *next;
    struct held_lists next_lists;
    size_t filling; /* into next_lists */
    char last_value[LIST_VALUE_MAX + 1];
    size_t last_value_len;

    struct columns columns;
};

static void fill_next(struct policy_store *s);

/* ---- reading ---- */

static void held_release(struct held_lists *lists)
{
    for (size_t i = 0; i < lists->count; i++)
        list_unref(lists->items[i].list);
    mem_free(lists->items);
    *lists = (struct held_lists){ 0 };
}

static void stop_reading(struct policy_store *s)
{
    policy_free(s->next);
    s->next = NULL;
    held_release(&s->next_lists);
    s->is_reading = false;
    loop_timer_set(&s->timer, s->is_stale ? 0 : LOOK_EVERY_US);
    s->is_stale = false;
}

/* PostgreSQL is away or busy: the policy in force goes on. */
static void give_up(struct policy_store *s, const struct pg_reply *reply)
{
    if (reply->err != ERR_UNAVAILABLE)
        log_event(LOG_WARN, "policy_not_read", "why=%s", log_quoted(slice_str(reply->why.text)));
    stop_reading(s);
}

static void ask(struct policy_store *s, struct pg_unit *unit, pg_done_fn *done)
{
    pg_unit_is_read(unit);
    pg_unit_send(unit, clock_mono_us() + ANSWER_WITHIN_US, done, s);
}

static void keep_stamp(struct policy_store *s)
{
    buf_clear(&s->stamp);
    buf_add_slice(&s->stamp, buf_slice(&s->next_stamp));
}

/* What is published cannot be used. It is not tried again until it changes. */
static void refuse(struct policy_store *s, const struct why *why)
{
    log_event(LOG_ERROR, "policy_refused", "why=%s", log_quoted(slice_str(why->text)));
    metric_inc(s->metrics, METRIC_REFUSED, 0);
    keep_stamp(s);
    stop_reading(s);
}

static void swap(struct policy_store *s)
{
    struct policy *old = s->policy;
    struct slice unknown;
    size_t entries = 0, bad = 0;

    for (size_t i = 0; i < s->next_lists.count; i++) {
        policy_add_list(s->next, s->next_lists.items[i].list);
        entries += list_count(s->next_lists.items[i].list);
        bad += s->next_lists.items[i].bad;
    }
    s->policy = s->next;
    s->next = NULL;
    columns_rebind(&s->columns, s->policy);
    policy_free(old);
    held_release(&s->lists);
    s->lists = s->next_lists;
    s->next_lists = (struct held_lists){ 0 };
    keep_stamp(s);

    unknown = policy_unknown_list(s->policy);
    if (unknown.len)
        log_event(LOG_WARN, "policy_unknown_list", "list=%.*s", SLICE_ARG(unknown));
    metric_inc(s->metrics, METRIC_LOADS, 0);
    metric_put(s->metrics, METRIC_RULES, 0, (double)policy_rule_count(s->policy, 0));
    metric_put(s->metrics, METRIC_ENTRIES, 0, (double)entries);
    log_event(LOG_INFO, "policy_loaded", "version=%.*s rules=%zu lists=%zu entries=%zu bad_entries=%zu",
              SLICE_ARG(policy_version(s->policy, 0)), policy_rule_count(s->policy, 0), s->lists.count,
              entries, bad);

    /* Whatever changed meanwhile shows as another stamp. */
    s->is_stale = true;
    stop_reading(s);
    if (s->options.on_change)
        s->options.on_change(s->options.ctx);
}

static void on_entries(void *ctx, const struct pg_reply *reply)
{
    struct policy_store *s = ctx;
    struct held_list *held = &s->next_lists.items[s->filling];
    const struct pg_result *rows;
    struct why why;

    if (reply->err) {
        give_up(s, reply);
        return;
    }
    rows = reply->results[0];
    for (size_t i = 0; i < pg_rows(rows); i++) {
        struct slice value = pg_get_text(rows, i, 0);
        int64_t expires = pg_is_null(rows, i, 1) ? LIST_NO_EXPIRY : pg_get_time_us(rows, i, 1);

        if (list_add(held->list, value, expires, &why)) {
            if (held->bad++ == 0)
                log_event(LOG_WARN, "list_entry_refused", "why=%s", log_quoted(slice_str(why.text)));
        }
        if (i + 1 == pg_rows(rows) && value.len <= LIST_VALUE_MAX) { /* as the table has it, too */
            s->last_value_len = value.len;
            memcpy(s->last_value, value.ptr, value.len);
        }
    }
    if (pg_rows(rows) < PAGE_ROWS) {
        s->filling++;
        s->last_value_len = 0;
    }
    fill_next(s);
}

/* The next page of the next list that has to be read; the end when there is none. */
static void fill_next(struct policy_store *s)
{
    struct pg_unit *unit;
    struct pg_params *p;

    while (s->filling < s->next_lists.count) {
        const struct held_list *held = &s->next_lists.items[s->filling];
        const struct held_list *old = NULL;

        for (size_t i = 0; i < s->lists.count && !old; i++) {
            if (s->lists.items[i].number == held->number && s->lists.items[i].changed == held->changed)
                old = &s->lists.items[i];
        }
        if (!old)
            break;
        list_unref(held->list);
        s->next_lists.items[s->filling].list = list_ref(old->list);
        s->next_lists.items[s->filling++].bad = old->bad;
    }
    if (s->filling == s->next_lists.count) {
        swap(s);
        return;
    }
    unit = pg_unit_new(s->options.pool);
    p = pg_unit_add_sql(unit, entries_sql);
    pg_add_i64(p, s->next_lists.items[s->filling].number);
    pg_add_text(p, slice_of(s->last_value, s->last_value_len));
    ask(s, unit, on_entries);
}

static enum err read_sets(struct policy_store *s, const struct pg_result *rows, struct why *why)
{
    struct arena arena = { 0 };
    enum err err = ERR_OK;

    s->next = policy_new();
    for (size_t i = 0; i < pg_rows(rows) && !err; i++) {
        struct document d = { .set = { .account = (uint32_t)pg_get_int(rows, i, 1),
                                       .version =
                                           arena_printf(&arena, "%" PRId64, pg_get_int(rows, i, 0)) } };

        err = document_read(&d, pg_get_text(rows, i, 2), &arena, why);
        if (!err)
            err = policy_add_ruleset(s->next, &d.set, why);
        if (err)
            err_wrap(why, err, "rule set %.*s", SLICE_ARG(d.set.version));
    }
    arena_release(&arena);
    return err;
}

static void read_lists(struct policy_store *s, const struct pg_result *rows)
{
    for (size_t i = 0; i < pg_rows(rows); i++) {
        struct held_list held = { .number = pg_get_int(rows, i, 0), .changed = pg_get_int(rows, i, 5) };

        held.list =
            list_new((uint32_t)pg_get_int(rows, i, 1), pg_get_text(rows, i, 2),
                     list_purpose_find(pg_get_text(rows, i, 3)), txn_text_find(pg_get_text(rows, i, 4)));
        ARRAY_RESERVE_ONE(s->next_lists.items, s->next_lists.count, s->next_lists.cap);
        s->next_lists.items[s->next_lists.count++] = held;
    }
}

static void on_sets(void *ctx, const struct pg_reply *reply)
{
    struct policy_store *s = ctx;
    struct why why = { 0 };

    if (reply->err) {
        give_up(s, reply);
        return;
    }
    buf_clear(&s->next_stamp);
    buf_add_slice(&s->next_stamp, pg_get_text(reply->results[0], 0, 0));
    if (read_sets(s, reply->results[1], &why)) {
        refuse(s, &why);
        return;
    }
    read_lists(s, reply->results[2]);
    s->filling = 0;
    s->last_value_len = 0;
    fill_next(s);
}

static void on_stamp(void *ctx, const struct pg_reply *reply)
{
    struct policy_store *s = ctx;
    struct pg_unit *unit;

    if (reply->err) {
        give_up(s, reply);
        return;
    }
    if (s->stamp.len && slice_eq(pg_get_text(reply->results[0], 0, 0), buf_slice(&s->stamp))) {
        stop_reading(s);
        return;
    }
    unit = pg_unit_new(s->options.pool);
    pg_unit_add_sql(unit, stamp_sql);
    pg_unit_add_sql(unit, sets_sql);
    pg_unit_add_sql(unit, lists_sql);
    ask(s, unit, on_sets);
}

static void look(struct policy_store *s)
{
    struct pg_unit *unit;

    if (s->is_reading) {
        s->is_stale = true;
        return;
    }
    s->is_reading = true;
    loop_timer_stop(&s->timer);
    unit = pg_unit_new(s->options.pool);
    pg_unit_add_sql(unit, stamp_sql);
    ask(s, unit, on_stamp);
}

static void on_timer(void *ctx)
{
    look(ctx);
}

/* ---- the interface ---- */

static void on_columns(void *ctx)
{
    struct policy_store *s = ctx;

    if (s->options.on_change)
        s->options.on_change(s->options.ctx);
}

struct policy_store *policy_store_open(const struct policy_store_options *options)
{
    struct policy_store *s = mem_new(struct policy_store);

    s->options = *options;
    s->metrics = metrics_add(options->metrics, metric_table, METRIC_STORE_COUNT);
    buf_init(&s->stamp, 0);
    buf_init(&s->next_stamp, 0);
    s->empty = policy_new();
    columns_init(&s->columns, options->pool, on_columns, s);
    loop_timer_init(&s->timer, options->loop, on_timer, s);
    look(s);
    return s;
}

void policy_store_close(struct policy_store *s)
{
    if (!s)
        return;
    loop_timer_release(&s->timer);
    columns_release(&s->columns);
    policy_free(s->empty);
    policy_free(s->policy);
    policy_free(s->next);
    held_release(&s->lists);
    held_release(&s->next_lists);
    buf_release(&s->stamp);
    buf_release(&s->next_stamp);
    mem_free(s);
}

void policy_store_hear(struct policy_store *s)
{
    look(s);
}

const struct policy *policy_store_policy(const struct policy_store *s)
{
    return s->policy;
}

enum plan_knowledge policy_store_plan(struct policy_store *s, struct slice plan)
{
    return columns_know(&s->columns, plan, s->policy ? s->policy : s->empty);
}

static void count_errors(struct policy_store *s, Assay__V1__RuleError *const *errors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        metric_inc(s->metrics, METRIC_ERRORS, metric_series(s->metrics, METRIC_ERRORS, errors[i]->id, NULL));
}

static void count_item(struct policy_store *s, const Assay__V1__DecideResponse__Item *item)
{
    const Assay__V1__ShadowOutcome *shadow = item->shadow;

    count_errors(s, item->errors, item->n_errors);
    if (!shadow)
        return;
    count_errors(s, shadow->errors, shadow->n_errors);
    metric_inc(s->metrics, METRIC_SHADOW,
               metric_series(s->metrics, METRIC_SHADOW, action_name((enum action)shadow->action),
                             action_name((enum action)item->action)));
}

Assay__V1__DecideResponse *policy_store_decide(struct policy_store *s,
                                               const Assay__V1__DecideRequest *request, struct arena *arena)
{
    struct slice plan = slice_of(request->plan.data, request->plan.len);
    const struct policy *policy = s->policy ? s->policy : s->empty;
    Assay__V1__DecideResponse *response;

    /* Asked so that the next one knows, should nobody have asked before. */
    columns_know(&s->columns, plan, policy);
    response = answer_decide(policy, columns_find(&s->columns, plan), request, arena);
    for (size_t i = 0; i < response->n_items; i++)
        count_item(s, response->items[i]);
    return response;
}
