/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/entity.h"

#include "featurestore/few.h"

void large_init(const struct entity_layout *l, unsigned char *large)
{
    memset(large, 0, l->large_bytes);
    for (const struct track *t = l->tracks; t < l->tracks + l->track_count; t++) {
        for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
            for (const struct run *r = s->runs; r < s->runs + s->run_count; r++)
                total_init(t->columns[r->column].op, large + r->at);
        }
    }
}

void entity_init(const struct entity_layout *l, struct entity *e)
{
    unsigned char *block = (unsigned char *)e;

    e->newest_us = NEVER_US;
    e->large = e->cells = NULL;
    e->first = e->count = e->room = 0;
    memset(block + sizeof *e, 0, l->bytes - sizeof *e);
    for (const struct lifetime *t = l->lifetimes; t < l->lifetimes + l->lifetime_count; t++)
        total_init(t->column.op, block + t->at);
}

void entity_clear(const struct entity_layout *l, struct entity *e, struct workshop *w)
{
    few_release(l, e, w);
    for (const struct track *t = l->tracks; e->large && t < l->tracks + l->track_count; t++)
        deque_release((struct deque *)(e->large + t->at), t->cell_bytes, w);
    for (const struct variety *v = l->varieties; e->large && v < l->varieties + l->variety_count; v++)
        variety_release(v, e->large, w);
    pool_put(&w->pool, e->large, l->large_bytes);
    entity_init(l, e);
}

void entity_enlarge(const struct entity_layout *l, struct entity *e, struct workshop *w)
{
    e->large = pool_get(&w->pool, l->large_bytes);
    large_init(l, e->large);
}

static void large_insert(const struct entity_layout *l, const struct entity *e, const struct event *event,
                         struct workshop *w)
{
    for (const struct track *t = l->tracks; t < l->tracks + l->track_count; t++)
        track_insert(t, e->large, e->newest_us, event, w);
    for (const struct variety *v = l->varieties; v < l->varieties + l->variety_count; v++)
        variety_insert(v, e->large, e->newest_us, event, w);
}

/* Gives a small entity its tracks, and them its events. */
static void grow(const struct plan *p, struct entity *e, struct workshop *w)
{
    const struct entity_layout *l = &p->entities[e->type];

    entity_enlarge(l, e, w);
    for (uint32_t i = 0; i < e->count; i++) {
        struct event event = few_get(p, e, i, w);

        large_insert(l, e, &event, w);
    }
    few_release(l, e, w);
}

static int64_t key_of(bool is_exact, int hop, const struct event *event)
{
    return is_exact ? event->at.at_us : event->at.tiles[hop];
}

/* Whether every window that wants the event still holds its time. */
static bool is_in_time(const struct entity_layout *l, const struct entity *e, const struct event *event)
{
    if (event->at.at_us == e->newest_us)
        return true;
    for (const struct track *t = l->tracks; t < l->tracks + l->track_count; t++) {
        if (key_of(t->is_exact, t->hop, event) < oldest_key(t->is_exact, t->hop_us, t->hold_us, e->newest_us))
            return false;
    }
    for (const struct variety *v = l->varieties; v < l->varieties + l->variety_count; v++) {
        if (is_in_variety(v, event) &&
            key_of(v->is_exact, v->hop, event) < oldest_key(v->is_exact, v->hop_us, v->hold_us, e->newest_us))
            return false;
    }
    return true;
}

bool entity_insert(const struct plan *p, struct entity *e, const struct event *event, struct workshop *w)
{
    const struct entity_layout *l = &p->entities[e->type];

    if (!l->track_count && !l->variety_count)
        return true;
    if (!e->large && !l->is_small_first)
        entity_enlarge(l, e, w);
    if (!e->large)
        few_drop(l, e, e->newest_us - l->small_hold_us, w);
    if (e->count == SMALL_MAX)
        grow(p, e, w);
    if (e->large)
        large_insert(l, e, event, w);
    else
        few_insert(l, e, event, w);
    return is_in_time(l, e, event);
}

void entity_label(const struct plan *p, struct entity *e, int64_t at_us, uint32_t number, uint64_t bits,
                  int change)
{
    const struct entity_layout *l = &p->entities[e->type];

    if (!e->large)
        few_label(l, e, at_us, number, change > 0);
    for (const struct track *t = l->tracks; e->large && t < l->tracks + l->track_count; t++) {
        if (t->has_fraud)
            track_label(p, t, e->large, at_us, number, bits, change);
    }
}
