/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/notice.h"

static struct slice group_of(const struct alert *a)
{
    return alert_label(&a->labels, "alertname");
}

/* ---- what is not told ---- */

static bool is_silenced(const struct alert *a, const struct silence *silences, size_t count, int64_t now_us)
{
    for (size_t i = 0; i < count; i++)
        if (silence_is_on(&silences[i], now_us) && silence_matches(&silences[i], a))
            return true;
    return false;
}

static bool inhibits(const struct alert *source, const struct alert *target,
                     const struct alert_inhibition *rule)
{
    return source != target && source->state == ALERT_FIRING &&
           slice_eq_str(group_of(source), rule->source) && slice_eq_str(group_of(target), rule->target) &&
           (!rule->equal ||
            slice_eq(alert_label(&source->labels, rule->equal), alert_label(&target->labels, rule->equal)));
}

static bool is_inhibited(const struct alert *a, const struct alert *all, size_t count,
                         const struct alert_inhibition *rules, size_t rule_count)
{
    for (size_t r = 0; r < rule_count; r++)
        for (size_t i = 0; i < count; i++)
            if (inhibits(&all[i], a, &rules[r]))
                return true;
    return false;
}

/* ---- what is ---- */

static bool wants_firing(const struct alert *a, const struct alert_times *times, int64_t now_us)
{
    if (a->state != ALERT_FIRING || a->is_silenced || a->is_inhibited)
        return false;
    /* A time of telling that lies ahead is one of a clock that went back. */
    return a->told_us == ALERT_NEVER || a->severity > a->told_severity || now_us < a->told_us ||
           now_us - a->told_us >= times->repeat_us;
}

/* What was not told yet waits for others; what is told again, or got worse, does not. */
static bool is_ripe(const struct alert *a, const struct alert_times *times, int64_t now_us)
{
    return a->told_us != ALERT_NEVER || now_us < a->fired_us || now_us - a->fired_us >= times->group_us;
}

static bool wants_end(const struct alert *a)
{
    return a->state == ALERT_RESOLVED && a->told_us != ALERT_NEVER && !a->is_end_told;
}

static bool wants(const struct alert *a, enum alert_state state, const struct alert_times *times,
                  int64_t now_us)
{
    return state == ALERT_RESOLVED ? wants_end(a) : wants_firing(a, times, now_us);
}

static void mark_told(struct alert *a, enum alert_state state, int64_t now_us)
{
    if (state == ALERT_RESOLVED) {
        a->is_end_told = true;
    } else {
        a->told_us = now_us;
        a->told_severity = a->severity;
    }
}

static bool is_group_ripe(const struct alert *all, size_t count, struct slice group, enum alert_state state,
                          const struct alert_times *times, int64_t now_us)
{
    if (state == ALERT_RESOLVED)
        return true;
    for (size_t i = 0; i < count; i++)
        if (slice_eq(group_of(&all[i]), group) && wants_firing(&all[i], times, now_us) &&
            is_ripe(&all[i], times, now_us))
            return true;
    return false;
}

/* From `first` on: all before it have been told, or want nothing. */
static struct notice gather(struct alert *all, size_t first, size_t count, enum alert_state state,
                            const struct alert_times *times, int64_t now_us, struct arena *arena)
{
    struct notice n = { .state = state, .group = group_of(&all[first]) };

    n.alerts = arena_new(arena, struct alert *, NOTICE_ALERTS_MAX);
    for (size_t i = first; i < count && n.count < NOTICE_ALERTS_MAX; i++)
        if (slice_eq(group_of(&all[i]), n.group) && wants(&all[i], state, times, now_us))
            n.alerts[n.count++] = &all[i];
    for (size_t i = 0; i < n.count; i++)
        mark_told(n.alerts[i], state, now_us);
    return n;
}

void notices_make(struct alert *alerts, size_t count, const struct silence *silences, size_t silence_count,
                  const struct alert_inhibition *inhibitions, size_t inhibition_count,
                  const struct alert_times *times, int64_t now_us, struct notice **out, size_t *out_count,
                  struct arena *arena)
{
    static const enum alert_state order[] = { ALERT_FIRING, ALERT_RESOLVED };

    *out = arena_new(arena, struct notice, 2 * count + 1);
    *out_count = 0;
    for (size_t i = 0; i < count; i++) {
        alerts[i].is_silenced = is_silenced(&alerts[i], silences, silence_count, now_us);
        alerts[i].is_inhibited = is_inhibited(&alerts[i], alerts, count, inhibitions, inhibition_count);
    }
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < count; i++)
            if (wants(&alerts[i], order[s], times, now_us) &&
                is_group_ripe(alerts, count, group_of(&alerts[i]), order[s], times, now_us))
                (*out)[(*out_count)++] = gather(alerts, i, count, order[s], times, now_us, arena);
}
