/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"

size_t report_round(struct report *r, const struct fault *f)
{
    struct report_round *round;

    ARRAY_RESERVE_ONE(r->rounds, r->count, r->cap);
    round = &r->rounds[r->count];
    *round = (struct report_round){ .card = f->card, .lasts_us = f->lasts_us };
    memcpy(round->name, f->name, sizeof round->name);
    return r->count++;
}

static double ms(int64_t us)
{
    return (double)us / MS_US;
}

void report_outages(struct report *r, struct pulse *p)
{
    for (size_t i = 0; i < p->count; i++) {
        struct outage *o = &p->outages[i];
        const struct report_round *round = &r->rounds[o->cause];
        char lasts[32] = "", at[RFC3339_SIZE];

        if (!o->is_open)
            continue;
        pulse_end(p, i);
        if (round->lasts_us)
            snprintf(lasts, sizeof lasts, "for %.0f ms", ms(round->lasts_us));
        rfc3339_format(o->began_wall_us, at);
        printf("%4zu %.8s %-43s %-12s %5.0f ms without a 200, whole after %5.0f ms; stalled: sleeper %4.0f "
               "ms, disk %4.0f ms%s\n",
               o->cause + 1, at + 11, round->name, lasts, ms(o->longest_gap_us), ms(outage_restored_us(o)),
               ms(o->stalls.sleeper_us), ms(o->stalls.disk_us), o->is_mixed ? "; with others" : "");
    }
    fflush(stdout);
}

static int compare_times(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* One row of the table: all outages of the same fault as the `first`. */
static void print_row(const struct report *r, const struct pulse *p, size_t first)
{
    const char *name = r->rounds[p->outages[first].cause].name;
    int64_t *gaps = mem_new_n(int64_t, p->count), *restored = mem_new_n(int64_t, p->count), stalled = 0;
    size_t n = 0;

    for (size_t i = first; i < p->count; i++) {
        const struct outage *o = &p->outages[i];

        if (o->is_mixed || strcmp(r->rounds[o->cause].name, name) != 0)
            continue;
        gaps[n] = o->longest_gap_us;
        restored[n++] = outage_restored_us(o);
        if (stalls_total_us(o->stalls) > stalled)
            stalled = stalls_total_us(o->stalls);
    }
    qsort(gaps, n, sizeof *gaps, compare_times);
    qsort(restored, n, sizeof *restored, compare_times);
    printf("%-46s %3zu %8.0f %8.0f %8.0f %8.0f %8.0f\n", name, n, ms(gaps[n / 2]), ms(gaps[n - 1]),
           ms(restored[n / 2]), ms(restored[n - 1]), ms(stalled));
    mem_free(gaps);
    mem_free(restored);
}

static bool is_first_of_its_name(const struct report *r, const struct pulse *p, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!p->outages[i].is_mixed &&
            strcmp(r->rounds[p->outages[i].cause].name, r->rounds[p->outages[at].cause].name) == 0)
            return false;
    return !p->outages[at].is_mixed;
}

static void judge(const struct report *r, const struct outage *o, struct record *record, int64_t limit_us)
{
    int64_t allowed_us = limit_us + stalls_total_us(o->stalls);
    char said[160];

    if (o->is_mixed || !fault_kills_the_active(&r->rounds[o->cause].card) ||
        (o->longest_gap_us <= allowed_us && outage_restored_us(o) <= allowed_us))
        return;
    snprintf(
        said, sizeof said,
        "round %zu: %.0f ms without a 200 from %.0f ms on, whole after %.0f ms, the machine stalled %.0f ms",
        o->cause + 1, ms(o->longest_gap_us), ms(o->gap_after_us), ms(outage_restored_us(o)),
        ms(stalls_total_us(o->stalls)));
    violated(record, "the standby took too long", said);
}

void report_print(const struct report *r, const struct pulse *p, struct record *record, int64_t limit_us)
{
    size_t mixed = 0;

    printf("\n%-46s %3s %17s %17s %8s\n%-46s %3s %8s %8s %8s %8s %8s\n", "", "", "ms without a 200",
           "ms until whole", "stalled", "fault", "n", "p50", "max", "p50", "max", "max");
    for (size_t i = 0; i < p->count; i++) {
        mixed += p->outages[i].is_mixed;
        if (is_first_of_its_name(r, p, i))
            print_row(r, p, i);
    }
    printf("%zu rounds, %zu of them at the same time as others\n", p->count, mixed);
    for (size_t i = 0; i < p->count && limit_us; i++)
        judge(r, &p->outages[i], record, limit_us);
}

void report_close(struct report *r)
{
    mem_free(r->rounds);
}
