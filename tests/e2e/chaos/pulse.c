/* SPDX-License-Identifier: Apache-2.0 */
#include "pulse.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"

void pulse_open(struct pulse *p, const char *dir)
{
    *p = (struct pulse){ .probe = stall_probe_start(dir) };
}

void pulse_close(struct pulse *p)
{
    stall_probe_stop(p->probe);
    mem_free(p->outages);
}

size_t pulse_fault(struct pulse *p, size_t cause, bool is_mixed)
{
    int64_t now_us = clock_mono_us();

    for (size_t i = 0; i < p->count; i++)
        if (p->outages[i].is_open)
            p->outages[i].is_mixed = is_mixed = true;
    ARRAY_RESERVE_ONE(p->outages, p->count, p->cap);
    p->outages[p->count] = (struct outage){ .cause = cause,
                                            .is_open = true,
                                            .is_mixed = is_mixed,
                                            .began_us = now_us,
                                            .last_200_us = now_us,
                                            .began_wall_us = clock_wall_us() };
    return p->count++;
}

static void note_200(struct outage *o, int64_t now_us)
{
    if (now_us - o->last_200_us > o->longest_gap_us) {
        o->longest_gap_us = now_us - o->last_200_us;
        o->gap_after_us = o->last_200_us - o->began_us;
    }
    o->last_200_us = now_us;
}

static void note(struct outage *o, int64_t now_us, int64_t sent_us, size_t target, bool is_degraded,
                 bool is_first)
{
    note_200(o, now_us);
    if (!is_first || sent_us < o->began_us)
        return;
    if (is_degraded)
        o->whole_us[target] = 0;
    else if (!o->whole_us[target])
        o->whole_us[target] = now_us;
}

void pulse_decision(struct pulse *p, int64_t sent_us, size_t target, bool is_degraded, bool is_first)
{
    int64_t now_us = clock_mono_us();

    if (is_first && is_degraded)
        p->degraded_sent_us[target] = sent_us;
    else if (is_first)
        p->whole_sent_us[target] = sent_us;
    for (size_t i = 0; i < p->count; i++)
        if (p->outages[i].is_open)
            note(&p->outages[i], now_us, sent_us, target, is_degraded, is_first);
}

bool pulse_is_whole_since(const struct pulse *p, int64_t since_us)
{
    for (size_t i = 0; i < LOAD_TARGETS; i++)
        if (p->whole_sent_us[i] < since_us || p->degraded_sent_us[i] > p->whole_sent_us[i])
            return false;
    return true;
}

size_t pulse_open_count(const struct pulse *p)
{
    size_t open = 0;

    for (size_t i = 0; i < p->count; i++)
        open += p->outages[i].is_open;
    return open;
}

void pulse_end(struct pulse *p, size_t outage)
{
    struct outage *o = &p->outages[outage];
    int64_t now_us = clock_mono_us();

    if (!o->is_open)
        return;
    note_200(o, now_us);
    o->is_open = false;
    o->ended_us = now_us;
    o->stalls = stall_probe_between(p->probe, o->began_us, now_us);
}

int64_t outage_restored_us(const struct outage *o)
{
    int64_t latest = o->began_us;

    for (size_t i = 0; i < LOAD_TARGETS; i++) {
        if (!o->whole_us[i])
            return o->ended_us - o->began_us;
        latest = o->whole_us[i] > latest ? o->whole_us[i] : latest;
    }
    return latest - o->began_us;
}
