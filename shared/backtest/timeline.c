/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest/timeline.h"

#include <stdlib.h>

#include "base/array.h"

struct known_list {
    enum list_type type;
    uint32_t account;
    struct slice name;
    enum list_purpose purpose;
    enum txn_text field;
    int64_t from_us, to_us; /* it is there */
    bool is_declared;       /* only, and there where no other is */
};

struct change {
    int64_t at_us, expires_at_us;
    struct slice value;
    uint32_t list, order;
    bool is_there;
};

struct timeline {
    struct arena arena;
    struct known_list *lists;
    size_t list_count, list_cap;
    struct change *changes;
    size_t count, cap;
};

struct timeline_reader {
    const struct timeline *timeline;
    struct list **lists;
    size_t at;
    int64_t at_us, next_us; /* where it stands; when the next list comes or goes */
};

struct timeline *timeline_new(void)
{
    return mem_new(struct timeline);
}

void timeline_free(struct timeline *t)
{
    if (!t)
        return;
    mem_free(t->lists);
    mem_free(t->changes);
    arena_release(&t->arena);
    mem_free(t);
}

size_t timeline_add_list(struct timeline *t, enum list_type type, uint32_t account, struct slice name,
                         enum list_purpose purpose, enum txn_text field)
{
    ARRAY_RESERVE_ONE(t->lists, t->list_count, t->list_cap);
    t->lists[t->list_count] = (struct known_list){ .type = type,
                                                   .account = account,
                                                   .name = arena_slice(&t->arena, name),
                                                   .purpose = purpose,
                                                   .field = field,
                                                   .from_us = INT64_MIN,
                                                   .to_us = INT64_MAX };
    return t->list_count++;
}

void timeline_list_lives(struct timeline *t, size_t list, int64_t from_us, int64_t to_us)
{
    t->lists[list].from_us = from_us;
    t->lists[list].to_us = to_us;
}

void timeline_texts(const struct timeline *t, bool texts[TXN_TEXT_COUNT])
{
    for (size_t i = 0; i < t->list_count; i++) {
        if (t->lists[i].purpose != LIST_NAMED && t->lists[i].field < TXN_TEXT_COUNT)
            texts[t->lists[i].field] = true;
    }
}

void timeline_declare(struct timeline *t, enum list_type type, uint32_t account, struct slice name,
                      enum list_purpose purpose, enum txn_text field)
{
    size_t place = timeline_add_list(t, type, account, name, purpose, field);

    t->lists[place].is_declared = true;
}

void timeline_undeclare(struct timeline *t)
{
    while (t->list_count && t->lists[t->list_count - 1].is_declared)
        t->list_count--;
}

enum err timeline_change(struct timeline *t, size_t list, int64_t at_us, struct slice value, bool is_there,
                         int64_t expires_at_us, struct why *why)
{
    char text[LIST_VALUE_MAX + 1];
    size_t len;
    enum err err = list_canonical(t->lists[list].type, value, text, &len, why);

    if (err)
        return err;
    ARRAY_RESERVE_ONE(t->changes, t->count, t->cap);
    t->changes[t->count] = (struct change){ .at_us = at_us,
                                            .expires_at_us = expires_at_us,
                                            .value = arena_slice(&t->arena, slice_of(text, len)),
                                            .list = (uint32_t)list,
                                            .order = (uint32_t)t->count,
                                            .is_there = is_there };
    t->count++;
    return ERR_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct change *x = a, *y = b;

    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void timeline_seal(struct timeline *t)
{
    if (t->count)
        qsort(t->changes, t->count, sizeof *t->changes, by_time);
}

/* When the next list comes or goes, after where the reader stands. */
static int64_t next_of(const struct timeline_reader *r)
{
    const struct timeline *t = r->timeline;
    int64_t next_us = INT64_MAX;

    for (size_t i = 0; i < t->list_count; i++) {
        if (t->lists[i].from_us > r->at_us && t->lists[i].from_us < next_us)
            next_us = t->lists[i].from_us;
        if (t->lists[i].to_us > r->at_us && t->lists[i].to_us < next_us)
            next_us = t->lists[i].to_us;
    }
    return next_us;
}

struct timeline_reader *timeline_read(const struct timeline *t)
{
    struct timeline_reader *r = mem_new(struct timeline_reader);

    r->timeline = t;
    r->lists = mem_new_n(struct list *, t->list_count + 1);
    for (size_t i = 0; i < t->list_count; i++)
        r->lists[i] = list_new_of(t->lists[i].type, t->lists[i].account, t->lists[i].name,
                                  t->lists[i].purpose, t->lists[i].field);
    r->at_us = INT64_MIN;
    r->next_us = next_of(r);
    return r;
}

void timeline_reader_free(struct timeline_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->timeline->list_count; i++)
        list_unref(r->lists[i]);
    mem_free(r->lists);
    mem_free(r);
}

static bool lives(const struct known_list *list, int64_t at_us)
{
    return list->from_us <= at_us && at_us < list->to_us;
}

/* Publishing makes a declared list where the account would find none. */
static bool is_in_place(const struct timeline *t, const struct known_list *declared, int64_t at_us)
{
    for (size_t i = 0; i < t->list_count; i++) {
        const struct known_list *other = &t->lists[i];

        if (other == declared)
            return true; /* the first of those that are declared alike */
        if ((other->account == 0 || other->account == declared->account) && lives(other, at_us) &&
            slice_eq(other->name, declared->name))
            return false;
    }
    return true;
}

void timeline_give(const struct timeline_reader *r, struct policy *policy)
{
    const struct timeline *t = r->timeline;

    policy_drop_lists(policy);
    for (size_t i = 0; i < t->list_count; i++) {
        const struct known_list *list = &t->lists[i];

        if (list->is_declared ? is_in_place(t, list, r->at_us) : lives(list, r->at_us))
            policy_add_list(policy, r->lists[i]);
    }
}

bool timeline_move(struct timeline_reader *r, int64_t at_us)
{
    const struct timeline *t = r->timeline;

    for (; r->at < t->count && t->changes[r->at].at_us <= at_us; r->at++) {
        const struct change *c = &t->changes[r->at];
        struct why why;

        if (!c->is_there)
            list_remove(r->lists[c->list], c->value);
        else if (list_put(r->lists[c->list], c->value, c->expires_at_us, &why))
            continue; /* it is full: so it was when that was tried */
    }
    if (at_us < r->next_us)
        return false;
    r->at_us = at_us;
    r->next_us = next_of(r);
    return true;
}
