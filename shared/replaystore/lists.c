/* SPDX-License-Identifier: Apache-2.0
 * lists.c - see lists.h. Everything that could have been one way or the other is a choice: which of a value's last
 * changes was in force, whether a list that was just made or thrown away was there. All combinations are counted
 * through, the moment's own first. */
#include "replaystore/lists.h"

#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "lifestore/row.h"

enum { CHANGES_MAX = 10000 }; /* of one value */

struct change {
    int64_t at_us, expires_at_us;
    uint32_t key; /* which of the spellings */
    bool is_there;
};

/* A choice between the cuts first..last; the moment's own is `own`. */
struct choice {
    size_t first, last, own, now;
};

/* A value that was asked of a list. */
struct asked {
    const struct list *list;
    char *value;
    size_t len;
    struct change *changes; /* by time; those before the cut are in force */
    size_t count;
    struct choice cut;
};

struct lists_then {
    struct policy *policy;
    struct pg_session *session;
    int64_t at_us;
    struct policy_list_source source;
    const struct shelf_list *lists;
    size_t list_count;
    struct choice *is_there; /* [list_count]: 0 or 1 */
    struct asked *asked;
    size_t asked_count, asked_cap;
    size_t tries;
    enum err err;
    struct why why;
};

/* ---- choices ---- */

/* Takes the next; false when it is at its own again. The order: own, below it down to the first, above it. */
static bool choice_next(struct choice *c)
{
    if (c->now <= c->own && c->now > c->first)
        c->now--;
    else if (c->now <= c->own && c->own < c->last)
        c->now = c->own + 1;
    else if (c->now > c->own && c->now < c->last)
        c->now++;
    else
        c->now = c->own;
    return c->now != c->own;
}

static bool could_be(const struct lists_then *t, int64_t change_us)
{
    return change_us > t->at_us - LISTS_LAG_S * SECOND_US &&
           change_us <= t->at_us + LISTS_AHEAD_S * SECOND_US;
}

/* ---- which lists there are ---- */

static bool was_there(const struct shelf_list *list, int64_t at_us)
{
    return list->created_at_us <= at_us && at_us < list->dropped_at_us;
}

static struct choice choice_of(const struct lists_then *t, const struct shelf_list *list)
{
    size_t own = was_there(list, t->at_us);
    bool is_open = could_be(t, list->created_at_us) || could_be(t, list->dropped_at_us);

    return (struct choice){ is_open ? 0 : own, is_open ? 1 : own, own, own };
}

static void give_lists(struct lists_then *t)
{
    policy_drop_lists(t->policy);
    for (size_t i = 0; i < t->list_count; i++)
        if (t->is_there[i].now)
            policy_add_list(t->policy, t->lists[i].list);
}

/* ---- one value ---- */

/* All networks that an address lies in, in the spelling of entries; else the value alone. */
static void add_spellings(struct pg_array *out, const struct list *list, struct slice value)
{
    char text[LIST_VALUE_MAX + 16], spelling[LIST_VALUE_MAX + 1];
    const char *before = memchr(value.ptr, ':', value.len) ? "" : "::ffff:"; /* IPv4, as it lies in IPv6 */
    struct why ignored;
    size_t len;

    if (list_type(list) != LIST_OF_ADDRESSES) {
        pg_array_text(out, list_canonical(list_type(list), value, spelling, &len, &ignored)
                               ? value
                               : slice_of(spelling, len));
        return;
    }
    for (int prefix = 128; prefix >= 0; prefix--) {
        int written = snprintf(text, sizeof text, "%s%.*s/%d", before, SLICE_ARG(value), prefix);

        if (!list_canonical(LIST_OF_ADDRESSES, slice_of(text, (size_t)written), spelling, &len, &ignored))
            pg_array_text(out, slice_of(spelling, len));
    }
}

static void take_changes(struct lists_then *t, struct asked *a, const struct pg_result *r)
{
    a->count = pg_rows(r);
    a->changes = mem_new_n(struct change, a->count + 1);
    for (size_t i = 0; i < a->count; i++) {
        a->changes[i] = (struct change){
            .at_us = pg_get_time_us(r, i, 0),
            .key = (uint32_t)pg_get_int(r, i, 1),
            .is_there = pg_get_bool(r, i, 2),
            .expires_at_us = pg_is_null(r, i, 3) ? LIST_NO_EXPIRY : pg_get_time_us(r, i, 3),
        };
        if (a->changes[i].at_us <= t->at_us) {
            a->cut.own = i + 1;
            if (!could_be(t, a->changes[i].at_us))
                a->cut.first = i + 1;
        }
        if (a->changes[i].at_us <= t->at_us || could_be(t, a->changes[i].at_us))
            a->cut.last = i + 1;
    }
    a->cut.now = a->cut.own;
}

static int64_t number_of(const struct lists_then *t, const struct list *list)
{
    for (size_t i = 0; i < t->list_count; i++)
        if (t->lists[i].list == list)
            return t->lists[i].number;
    return 0;
}

static void read_history(struct lists_then *t, struct asked *a)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;

    pg_add_i64(&p, number_of(t, a->list));
    add_spellings(pg_add_array(&p, PG_TEXT), a->list, slice_of(a->value, a->len));
    pg_add_i64(&p, CHANGES_MAX);
    t->err =
        row_ask(t->session,
                "SELECT at, (dense_rank() OVER (ORDER BY value))::int4, is_there, expires_at FROM (SELECT * "
                "FROM list_changes WHERE list = $1::int8 AND value = ANY ($2::text[]) ORDER BY seq DESC "
                "LIMIT $3::int8) c ORDER BY seq",
                &p, &r, &t->why);
    if (!t->err)
        take_changes(t, a, r);
    pg_result_free(r);
}

static const struct asked *find(struct lists_then *t, const struct list *list, struct slice value)
{
    struct asked *a;

    for (size_t i = 0; i < t->asked_count; i++)
        if (t->asked[i].list == list && slice_eq(slice_of(t->asked[i].value, t->asked[i].len), value))
            return &t->asked[i];
    ARRAY_RESERVE_ONE(t->asked, t->asked_count, t->asked_cap);
    a = &t->asked[t->asked_count++];
    *a = (struct asked){ .list = list, .value = mem_strndup(value.ptr, value.len), .len = value.len };
    read_history(t, a);
    return a;
}

/* Of each spelling the last change before the cut holds. */
static bool has(void *context, const struct list *list, struct slice value, int64_t now_us)
{
    struct lists_then *t = context;
    const struct asked *a;
    bool is_there = false;

    if (t->err || value.len > LIST_VALUE_MAX)
        return false;
    a = find(t, list, value);
    for (size_t i = 0; i < a->cut.now && !is_there; i++) {
        const struct change *c = &a->changes[i];
        size_t later = i + 1;

        while (later < a->cut.now && a->changes[later].key != c->key)
            later++;
        is_there = later == a->cut.now && c->is_there && c->expires_at_us > now_us;
    }
    return is_there;
}

/* ---- the interface ---- */

struct lists_then *lists_then_open(struct policy *policy, const struct shelf *shelf, struct pg_session *s,
                                   int64_t at_us)
{
    struct lists_then *t = mem_new(struct lists_then);

    t->policy = policy;
    t->session = s;
    t->at_us = at_us;
    t->source = (struct policy_list_source){ has, t };
    t->list_count = shelf_lists(shelf, &t->lists);
    t->is_there = mem_new_n(struct choice, t->list_count + 1);
    for (size_t i = 0; i < t->list_count; i++)
        t->is_there[i] = choice_of(t, &t->lists[i]);
    give_lists(t);
    policy_ask_lists(policy, &t->source);
    return t;
}

void lists_then_close(struct lists_then *t)
{
    if (!t)
        return;
    policy_ask_lists(t->policy, NULL);
    policy_drop_lists(t->policy);
    for (size_t i = 0; i < t->asked_count; i++) {
        mem_free(t->asked[i].value);
        mem_free(t->asked[i].changes);
    }
    mem_free(t->asked);
    mem_free(t->is_there);
    mem_free(t);
}

bool lists_then_next(struct lists_then *t)
{
    bool has_moved = false;

    if (++t->tries >= LISTS_TRIES_MAX)
        return false;
    for (size_t i = 0; i < t->asked_count && !has_moved; i++)
        has_moved = choice_next(&t->asked[i].cut);
    for (size_t i = 0; i < t->list_count && !has_moved; i++) {
        has_moved = choice_next(&t->is_there[i]);
        if (has_moved || t->is_there[i].first < t->is_there[i].last)
            give_lists(t);
    }
    return has_moved;
}

int64_t lists_then_lag_us(const struct lists_then *t)
{
    int64_t lag = 0;

    for (size_t i = 0; i < t->asked_count; i++) {
        const struct asked *a = &t->asked[i];

        if (a->cut.now < a->cut.own && t->at_us - a->changes[a->cut.now].at_us > lag)
            lag = t->at_us - a->changes[a->cut.now].at_us;
    }
    for (size_t i = 0; i < t->list_count; i++) {
        const struct choice *c = &t->is_there[i];
        int64_t changed = c->own ? t->lists[i].created_at_us : t->lists[i].dropped_at_us;

        if (c->now != c->own && t->at_us - changed > lag)
            lag = t->at_us - changed;
    }
    return lag;
}

enum err lists_then_err(const struct lists_then *t, struct why *why)
{
    return t->err ? err_set(why, t->err, "lists as they were: %s", t->why.text) : ERR_OK;
}
