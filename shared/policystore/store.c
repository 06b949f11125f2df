/* SPDX-License-Identifier: Apache-2.0
 * store.c - reads what is published and swaps policies.
 *
 *   idle --tick or NOTIFY--> look --same stamps--> idle
 *                             | another stamp
 *                             v
 *                           read sets, when theirs changed, and lists --> each list that changed: its changes,
 *                           or when they are many its pages --> build, swap, tell --> look
 *
 * The stamps are read before what they stand for. So what changes during the reading shows as another stamp in
 * the look that follows, and is read then.
 *
 * A list remembers the snapshot in which it was read. Its changes since are those in `list_changes` that this
 * snapshot does not see; a number that rises would not do, as transactions do not commit in the order of their
 * numbers. What is applied is what the table has now, not what the change said, so it does no harm to apply a
 * change twice. */
#include "policystore/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

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
    TELL_EVERY_US = 2000000,    /* a process that was not heard of for ten seconds counts as gone */
    PROCESS_SIZE = 128,
};

static const char stamp_sql[] = "SELECT 'sets ' || coalesce((SELECT string_agg(version::text || ' ' || "
                                "state, ',' ORDER BY version) FROM rulesets "
                                "WHERE state IN ('published', 'shadow')), ''), 'lists ' || coalesce((SELECT "
                                "string_agg(list::text || ':' || "
                                "changed::text, ',' ORDER BY list) FROM lists), '')";
static const char sets_sql[] =
    "SELECT version, account, body::text, state = 'shadow' FROM rulesets WHERE state IN "
    "('published', 'shadow') ORDER BY account, version";
static const char lists_sql[] = "SELECT list, account, name, purpose, field, type, changed, "
                                "pg_current_snapshot()::text FROM lists ORDER BY list";
static const char changes_sql[] =
    "SELECT c.value, e.value IS NOT NULL, e.expires_at FROM (SELECT value FROM list_changes WHERE list = "
    "$1::int8 "
    "AND xid >= pg_snapshot_xmin($2::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, "
    "$2::text::pg_snapshot) LIMIT 5001) c LEFT JOIN list_entries e ON e.list = $1::int8 AND e.value = "
    "c.value";
static const char tell_sql[] =
    "WITH mine AS (SELECT * FROM unnest($2::int4[], $3::int8[], $4::int8[]) AS m (account, version, "
    "shadow)), "
    "gone AS (DELETE FROM rules_serving s WHERE (s.process = $1::text AND NOT EXISTS (SELECT FROM mine WHERE "
    "mine.account = s.account)) OR s.at < now() - interval '1 min') INSERT INTO rules_serving (process, "
    "account, "
    "version, shadow, at) SELECT $1::text, account, version, shadow, now() FROM mine ON CONFLICT (process, "
    "account) "
    "DO UPDATE SET version = excluded.version, shadow = excluded.shadow, at = excluded.at";
static const char entries_sql[] = "SELECT value, expires_at FROM list_entries"
                                  " WHERE list = $1::int8 AND value > $2::text ORDER BY value LIMIT 5000";
static_assert(PAGE_ROWS == 5000, "entries_sql and, with one more, changes_sql have the same limit");

enum {
    METRIC_LOADS,
    METRIC_REFUSED,
    METRIC_RULES,
    METRIC_ENTRIES,
    METRIC_BYTES,
    METRIC_CHANGES,
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
    [METRIC_BYTES] = { "assay_policy_list_bytes",
                       METRIC_GAUGE,
                       "Memory of the entries of all lists in force",
                       { NULL } },
    [METRIC_CHANGES] = { "assay_policy_list_changes_total",
                         METRIC_COUNTER,
                         "Entries that were read because they changed, and those read with a whole list",
                         { "how" } },
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
    char *snapshot; /* of PostgreSQL, in which its row was seen */
    size_t bad;     /* entries that are no values for it */
};

struct held_lists {
    struct held_list *items;
    size_t count, cap;
};

/* What is told of one account. */
struct served {
    int32_t account;
    int64_t version, shadow;
};

struct served_sets {
    struct served *items;
    size_t count, cap;
};

struct policy_store {
    struct policy_store_options options;
    char process[PROCESS_SIZE];
    struct metric_set *metrics;
    struct loop_timer timer;
    bool is_reading;
    bool is_stale; /* heard of a change while reading */

    struct policy *empty; /* until there is one */
    struct policy *policy;
    struct held_lists lists;
    struct buf sets_stamp, lists_stamp; /* of what is in force, or was refused */
    struct served_sets served;
    int64_t told_mono_us;
    bool is_telling;
    size_t by_change, by_page; /* series of METRIC_CHANGES */

    /* while reading */
    bool reads_sets;
    struct buf next_sets_stamp, next_lists_stamp;
    struct policy *next; /* NULL: the sets are the same */
    struct served_sets next_served;
    struct held_lists next_lists;
    size_t filling; /* into next_lists */
    char last_value[LIST_VALUE_MAX + 1];
    size_t last_value_len;

    struct columns columns;
};

static void fill_next(struct policy_store *s);
static void ask_page(struct policy_store *s);

/* ---- reading ---- */

static void held_release(struct held_lists *lists)
{
    for (size_t i = 0; i < lists->count; i++) {
        list_unref(lists->items[i].list);
        mem_free(lists->items[i].snapshot);
    }
    mem_free(lists->items);
    *lists = (struct held_lists){ 0 };
}

static void stop_reading(struct policy_store *s)
{
    policy_free(s->next);
    s->next = NULL;
    s->next_served.count = 0;
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

static void keep_stamp(struct buf *stamp, const struct buf *next)
{
    buf_clear(stamp);
    buf_add_slice(stamp, buf_slice(next));
}

static void keep_stamp_of(struct buf *stamp, const struct pg_result *row, int column)
{
    buf_clear(stamp);
    buf_add_slice(stamp, pg_get_text(row, 0, column));
}

/* A set that cannot be used. It is not tried again until the sets change. */
static void refuse(struct policy_store *s, const struct why *why)
{
    log_event(LOG_ERROR, "policy_refused", "why=%s", log_quoted(slice_str(why->text)));
    metric_inc(s->metrics, METRIC_REFUSED, 0);
}

/* ---- telling ---- */

static void on_told(void *ctx, const struct pg_reply *reply)
{
    struct policy_store *s = ctx;

    s->is_telling = false;
    if (reply->err) {
        s->told_mono_us = 0;
        if (reply->err != ERR_UNAVAILABLE)
            log_event(LOG_WARN, "serving_untold", "err=%s why=%s", err_name(reply->err),
                      log_quoted(slice_str(reply->why.text)));
    }
}

/* Says by what this process decides, to whoever waits for a rule set to be in force everywhere. */
static void tell(struct policy_store *s)
{
    struct pg_array *accounts, *versions, *shadows;
    struct pg_params *p;
    struct pg_unit *unit;

    if (s->is_telling || !s->policy || clock_mono_us() - s->told_mono_us < TELL_EVERY_US)
        return;
    s->is_telling = true;
    s->told_mono_us = clock_mono_us();
    unit = pg_unit_new(s->options.pool);
    p = pg_unit_add_sql(unit, tell_sql);
    pg_add_text(p, slice_str(s->process));
    accounts = pg_add_array(p, PG_INT4);
    versions = pg_add_array(p, PG_INT8);
    shadows = pg_add_array(p, PG_INT8);
    for (size_t i = 0; i < s->served.count; i++) {
        pg_array_i32(accounts, s->served.items[i].account);
        pg_array_i64(versions, s->served.items[i].version);
        pg_array_i64(shadows, s->served.items[i].shadow);
    }
    pg_unit_send(unit, clock_mono_us() + ANSWER_WITHIN_US, on_told, s);
}

static struct served *served_of(struct served_sets *sets, int32_t account)
{
    for (size_t i = 0; i < sets->count; i++)
        if (sets->items[i].account == account)
            return &sets->items[i];
    ARRAY_RESERVE_ONE(sets->items, sets->count, sets->cap);
    sets->items[sets->count] = (struct served){ .account = account };
    return &sets->items[sets->count++];
}

/* ---- swapping ---- */

static void take_sets(struct policy_store *s)
{
    struct policy *old = s->policy;
    struct served_sets served = s->served;

    s->policy = s->next;
    s->next = NULL;
    columns_rebind(&s->columns, s->policy);
    policy_free(old);
    s->served = s->next_served;
    s->next_served = served;
    s->told_mono_us = 0;
    metric_inc(s->metrics, METRIC_LOADS, 0);
}

static void swap(struct policy_store *s)
{
    struct slice unknown;
    size_t entries = 0, bytes = 0, bad = 0;

    if (s->next)
        take_sets(s);
    if (s->reads_sets)
        keep_stamp(&s->sets_stamp, &s->next_sets_stamp);
    keep_stamp(&s->lists_stamp, &s->next_lists_stamp);
    policy_drop_lists(s->policy);
    for (size_t i = 0; i < s->next_lists.count; i++) {
        const struct list *list = s->next_lists.items[i].list;

        policy_add_list(s->policy, s->next_lists.items[i].list);
        entries += list_count(list);
        bytes += list_bytes(list);
        bad += s->next_lists.items[i].bad;
    }
    held_release(&s->lists);
    s->lists = s->next_lists;
    s->next_lists = (struct held_lists){ 0 };

    unknown = policy_unknown_list(s->policy);
    if (unknown.len)
        log_event(LOG_WARN, "policy_unknown_list", "list=%.*s", SLICE_ARG(unknown));
    metric_put(s->metrics, METRIC_RULES, 0, (double)policy_rule_count(s->policy, 0));
    metric_put(s->metrics, METRIC_ENTRIES, 0, (double)entries);
    metric_put(s->metrics, METRIC_BYTES, 0, (double)bytes);
    log_event(LOG_INFO, "policy_loaded", "version=%.*s rules=%zu lists=%zu entries=%zu bad_entries=%zu",
              SLICE_ARG(policy_version(s->policy, 0)), policy_rule_count(s->policy, 0), s->lists.count,
              entries, bad);

    /* Whatever changed meanwhile shows as another stamp. */
    s->is_stale = true;
    tell(s);
    stop_reading(s);
    if (s->options.on_change)
        s->options.on_change(s->options.ctx);
}

/* ---- lists ---- */

/* An entry as the table has it. */
static void take_entry(struct held_list *held, struct list *list, struct slice value, int64_t expires_at_us,
                       bool is_page)
{
    struct why why;
    enum err err =
        is_page ? list_add(list, value, expires_at_us, &why) : list_put(list, value, expires_at_us, &why);

    if (err && held->bad++ == 0)
        log_event(LOG_WARN, "list_entry_refused", "why=%s", log_quoted(slice_str(why.text)));
}

static void on_page(void *ctx, const struct pg_reply *reply)
{
    struct policy_store *s = ctx;
    struct held_list *held = &s->next_lists.items[s->filling];
    const struct pg_result *rows;

    if (reply->err) {
        give_up(s, reply);
        return;
    }
    rows = reply->results[0];
    metric_add(s->metrics, METRIC_CHANGES, s->by_page, (double)pg_rows(rows));
    for (size_t i = 0; i < pg_rows(rows); i++) {
        struct slice value = pg_get_text(rows, i, 0);
        int64_t expires = pg_is_null(rows, i, 1) ? LIST_NO_EXPIRY : pg_get_time_us(rows, i, 1);

        take_entry(held, held->list, value, expires, true);
        if (i + 1 == pg_rows(rows) && value.len <= LIST_VALUE_MAX) { /* as the table has it, too */
            s->last_value_len = value.len;
            memcpy(s->last_value, value.ptr, value.len);
        }
    }
    if (pg_rows(rows) < PAGE_ROWS) {
        s->filling++;
        s->last_value_len = 0;
        fill_next(s);
        return;
    }
    ask_page(s);
}

static void ask_page(struct policy_store *s)
{
    struct pg_unit *unit = pg_unit_new(s->options.pool);
    struct pg_params *p = pg_unit_add_sql(unit, entries_sql);

    pg_add_i64(p, s->next_lists.items[s->filling].number);
    pg_add_text(p, slice_of(s->last_value, s->last_value_len));
    ask(s, unit, on_page);
}

/* The same list as it is held, when it is the same but for its entries. */
static struct held_list *find_held(struct policy_store *s, const struct held_list *next)
{
    for (size_t i = 0; i < s->lists.count; i++) {
        const struct list *a = s->lists.items[i].list, *b = next->list;

        if (s->lists.items[i].number == next->number && list_account(a) == list_account(b) &&
            slice_eq(list_name(a), list_name(b)) && list_purpose(a) == list_purpose(b) &&
            list_field(a) == list_field(b) && list_type(a) == list_type(b))
            return &s->lists.items[i];
    }
    return NULL;
}

static void keep_list(struct policy_store *s, const struct held_list *old)
{
    struct held_list *next = &s->next_lists.items[s->filling++];

    list_unref(next->list);
    next->list = list_ref(old->list);
    next->bad = old->bad;
}

/* Whether the changes may be applied one by one: with two spellings of one value in the table, the removal of one
 * says nothing of the other. */
static bool are_simple(const struct held_list *old, const struct pg_result *rows)
{
    if (pg_rows(rows) > PAGE_ROWS || old->bad)
        return false;
    for (size_t i = 0; i < pg_rows(rows) && list_has_aliases(old->list); i++)
        if (!pg_get_bool(rows, i, 1))
            return false;
    return true;
}

static void on_changes(void *ctx, const struct pg_reply *reply)
{
    struct policy_store *s = ctx;
    struct held_list *old;
    const struct pg_result *rows;

    if (reply->err) {
        give_up(s, reply);
        return;
    }
    rows = reply->results[0];
    old = find_held(s, &s->next_lists.items[s->filling]);
    if (!are_simple(old, rows)) {
        ask_page(s);
        return;
    }
    metric_add(s->metrics, METRIC_CHANGES, s->by_change, (double)pg_rows(rows));
    for (size_t i = 0; i < pg_rows(rows); i++) {
        if (pg_get_bool(rows, i, 1))
            take_entry(old, old->list, pg_get_text(rows, i, 0),
                       pg_is_null(rows, i, 2) ? LIST_NO_EXPIRY : pg_get_time_us(rows, i, 2), false);
        else
            list_remove(old->list, pg_get_text(rows, i, 0));
    }
    keep_list(s, old);
    fill_next(s);
}

static void ask_changes(struct policy_store *s, const struct held_list *old)
{
    struct pg_unit *unit = pg_unit_new(s->options.pool);
    struct pg_params *p = pg_unit_add_sql(unit, changes_sql);

    pg_add_i64(p, old->number);
    pg_add_text(p, slice_str(old->snapshot));
    ask(s, unit, on_changes);
}

/* What is new of the next list; the end when there is none. */
static void fill_next(struct policy_store *s)
{
    while (s->filling < s->next_lists.count) {
        const struct held_list *next = &s->next_lists.items[s->filling];
        const struct held_list *old = find_held(s, next);

        if (!old) {
            ask_page(s);
            return;
        }
        if (old->changed != next->changed) {
            ask_changes(s, old);
            return;
        }
        keep_list(s, old);
    }
    swap(s);
}

static enum err read_set(struct policy_store *s, const struct pg_result *rows, size_t row,
                         struct arena *arena, struct why *why)
{
    int64_t version = pg_get_int(rows, row, 0);
    struct document d = { .set = { .account = (uint32_t)pg_get_int(rows, row, 1),
                                   .version = arena_printf(arena, "%" PRId64, version),
                                   .is_shadow = pg_get_bool(rows, row, 3) } };
    struct served *served;
    enum err err = document_read(&d, pg_get_text(rows, row, 2), arena, why);

    if (!err)
        err = policy_add_ruleset(s->next, &d.set, why);
    if (err)
        return err_wrap(why, err, "rule set %" PRId64, version);
    served = served_of(&s->next_served, (int32_t)d.set.account);
    *(d.set.is_shadow ? &served->shadow : &served->version) = version;
    return ERR_OK;
}

/* False when one that is in force cannot be used: then none is taken. One in shadow is passed over. */
static bool read_sets(struct policy_store *s, const struct pg_result *rows)
{
    bool are_good = true;

    s->next = policy_new();
    served_of(&s->next_served, 0);
    for (size_t i = 0; i < pg_rows(rows); i++) {
        struct arena arena = { 0 };
        struct why why = { 0 };

        if (read_set(s, rows, i, &arena, &why)) {
            refuse(s, &why);
            are_good &= pg_get_bool(rows, i, 3);
        }
        arena_release(&arena);
    }
    return are_good;
}

static void read_lists(struct policy_store *s, const struct pg_result *rows)
{
    for (size_t i = 0; i < pg_rows(rows); i++) {
        struct held_list held = { .number = pg_get_int(rows, i, 0),
                                  .changed = pg_get_int(rows, i, 6),
                                  .snapshot = mem_strdup(pg_get_text(rows, i, 7).ptr) };

        held.list = list_new_of(list_type_find(pg_get_text(rows, i, 5)), (uint32_t)pg_get_int(rows, i, 1),
                                pg_get_text(rows, i, 2), list_purpose_find(pg_get_text(rows, i, 3)),
                                txn_text_find(pg_get_text(rows, i, 4)));
        ARRAY_RESERVE_ONE(s->next_lists.items, s->next_lists.count, s->next_lists.cap);
        s->next_lists.items[s->next_lists.count++] = held;
    }
}

static void on_rows(void *ctx, const struct pg_reply *reply)
{
    struct policy_store *s = ctx;

    if (reply->err) {
        give_up(s, reply);
        return;
    }
    keep_stamp_of(&s->next_sets_stamp, reply->results[0], 0);
    keep_stamp_of(&s->next_lists_stamp, reply->results[0], 1);
    if (s->reads_sets && !read_sets(s, reply->results[2])) {
        policy_free(s->next);
        s->next = NULL;
        s->next_served.count = 0;
        if (!s->policy) {
            keep_stamp(&s->sets_stamp, &s->next_sets_stamp);
            keep_stamp(&s->lists_stamp, &s->next_lists_stamp);
            stop_reading(s);
            return;
        }
    }
    read_lists(s, reply->results[1]);
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
    s->reads_sets = !slice_eq(pg_get_text(reply->results[0], 0, 0), buf_slice(&s->sets_stamp));
    if (!s->reads_sets && slice_eq(pg_get_text(reply->results[0], 0, 1), buf_slice(&s->lists_stamp))) {
        tell(s);
        stop_reading(s);
        return;
    }
    unit = pg_unit_new(s->options.pool);
    pg_unit_add_sql(unit, stamp_sql);
    pg_unit_add_sql(unit, lists_sql);
    if (s->reads_sets)
        pg_unit_add_sql(unit, sets_sql);
    ask(s, unit, on_rows);
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

/* The machine and the process; the time tells it from one before it with the same number. */
static void name_process(char name[PROCESS_SIZE], const char *service)
{
    char host[64] = "";

    if (gethostname(host, sizeof host - 1) != 0)
        snprintf(host, sizeof host, "?");
    snprintf(name, PROCESS_SIZE, "%s %s/%ld/%" PRIx64, service, host, (long)getpid(),
             (uint64_t)clock_wall_us());
}

struct policy_store *policy_store_open(const struct policy_store_options *options)
{
    struct policy_store *s = mem_new(struct policy_store);

    s->options = *options;
    s->metrics = metrics_add(options->metrics, metric_table, METRIC_STORE_COUNT);
    s->by_change = metric_series(s->metrics, METRIC_CHANGES, "change", NULL);
    s->by_page = metric_series(s->metrics, METRIC_CHANGES, "page", NULL);
    name_process(s->process, options->service);
    buf_init(&s->sets_stamp, 0);
    buf_init(&s->lists_stamp, 0);
    buf_init(&s->next_sets_stamp, 0);
    buf_init(&s->next_lists_stamp, 0);
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
    mem_free(s->served.items);
    mem_free(s->next_served.items);
    buf_release(&s->sets_stamp);
    buf_release(&s->lists_stamp);
    buf_release(&s->next_sets_stamp);
    buf_release(&s->next_lists_stamp);
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
