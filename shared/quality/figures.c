/* SPDX-License-Identifier: Apache-2.0
 * figures.c - see figures.h. */
#include "quality/figures.h"

#include <math.h>

#include "base/varint.h"
#include "stats/distribution.h"

enum { TRACK_VERSION = 1, EXPECTED_LEAST = 5 };
#define TRACK_UNITS 1e6
#define TRACK_MOST  (INT64_C(1) << 58) /* so that some merge without passing the end */

static const char *const names[QUALITY_FIGURE_COUNT] = {
#define NAME(name, meaning) [QUALITY_##name] = #name,
    QUALITY_FIGURES(NAME)
#undef NAME
};

const char *quality_figure_name(enum quality_figure figure)
{
    return names[figure];
}

/* ---- figures ---- */

/* What figures are made of: all by bin or by action, as numbers of rows and of minor units. */
struct masses {
    double rows[QUALITY_BINS], frauds[QUALITY_BINS];
    double action_rows[ACTION_COUNT], action_frauds[ACTION_COUNT];
    double money[ACTION_COUNT], money_frauds[ACTION_COUNT];
};

/* Bin by bin from the top: what the ranking has when rows of a bin are equal, at worst and at best. At worst the
 * legitimate of a bin come first, and then its frauds at precision (F + x) / (F + x + L + l) for x from 0 to f. At
 * best its frauds come first, all with one score. */
static void rank(struct quality_figures *out, const struct masses *m, double frauds)
{
    double above = 0, legitimate = 0, equal = 0, low = 0, high = 0;

    for (size_t i = QUALITY_BINS; i-- > 0;) {
        double f = m->frauds[i], l = fmax(m->rows[i] - f, 0), c = legitimate + l;

        if (f > 0) {
            equal += f * (above + f) / (above + f + c);
            low += c > 0 ? f - c * log((above + f + c) / (above + c)) : f;
            high += f * (above + f) / (above + f + legitimate);
        }
        above += f;
        legitimate = c;
    }
    out->values[QUALITY_average_precision] = frauds > 0 ? equal / frauds : (double)NAN;
    out->ap_low = frauds > 0 ? low / frauds : (double)NAN;
    out->ap_high = frauds > 0 ? high / frauds : (double)NAN;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : (double)NAN;
}

static void figures_of(struct quality_figures *out, const struct masses *m, enum action least)
{
    double rows = 0, frauds = 0, flagged = 0, caught = 0, *v = out->values;

    for (size_t i = 0; i < QUALITY_FIGURE_COUNT; i++)
        v[i] = 0;
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        bool is_flagged = a >= (size_t)least;

        rows += m->action_rows[a];
        frauds += m->action_frauds[a];
        flagged += is_flagged ? m->action_rows[a] : 0;
        caught += is_flagged ? m->action_frauds[a] : 0;
        v[is_flagged ? QUALITY_money_caught : QUALITY_money_lost] += m->money_frauds[a];
    }
    v[QUALITY_rows] = rows;
    v[QUALITY_frauds] = frauds;
    v[QUALITY_fraud_rate] = ratio(frauds, rows);
    v[QUALITY_precision] = ratio(caught, flagged);
    v[QUALITY_recall] = ratio(caught, frauds);
    v[QUALITY_false_positive_rate] = ratio(flagged - caught, rows - frauds);
    v[QUALITY_money_turned_away] = m->money[ACTION_DECLINE] - m->money_frauds[ACTION_DECLINE];
    rank(out, m, frauds);
}

void quality_realised(struct quality_figures *out, const struct quality_day *day, enum action least)
{
    struct masses m;

    *out = (struct quality_figures){ 0 };
    for (size_t i = 0; i < QUALITY_BINS; i++) {
        m.rows[i] = (double)day->seen[i] / QUALITY_ONE;
        m.frauds[i] = (double)day->frauds[i] / QUALITY_ONE;
    }
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        m.action_rows[a] = (double)day->action_seen[a] / QUALITY_ONE;
        m.action_frauds[a] = (double)day->action_frauds[a] / QUALITY_ONE;
        m.money[a] = (double)day->money_seen[a];
        m.money_frauds[a] = (double)day->money_frauds[a];
        out->excluded += a >= (size_t)least ? day->excluded[a] : 0;
    }
    figures_of(out, &m, least);
}

void quality_estimated(struct quality_figures *out, const struct quality_day *day, enum action least)
{
    double one = (double)QUALITY_ONE_P;
    struct masses m;

    *out = (struct quality_figures){ 0 };
    for (size_t i = 0; i < QUALITY_BINS; i++) {
        m.rows[i] = (double)day->scored[i];
        m.frauds[i] = (double)day->expected[i] / one;
    }
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        m.action_rows[a] = (double)day->actions[a];
        m.action_frauds[a] = (double)day->action_expected[a] / one;
        m.money[a] = (double)day->money[a];
        m.money_frauds[a] = (double)day->money_expected[a];
    }
    figures_of(out, &m, least);
}

/* ---- the track ---- */

static double units_of(enum quality_figure figure)
{
    return figure >= QUALITY_money_caught ? 1 : TRACK_UNITS;
}

void quality_track_add(struct quality_track *track, const struct quality_figures *estimated,
                       const struct quality_figures *realised)
{
    for (size_t i = 0; i < QUALITY_FIGURE_COUNT; i++) {
        double difference = (estimated->values[i] - realised->values[i]) * units_of((enum quality_figure)i);

        if (!(fabs(difference) < 1e15)) /* also not a number */
            continue;
        track->sums[i] += (int64_t)round(difference);
        track->absolute[i] += (uint64_t)round(fabs(difference));
        track->days[i]++;
    }
}

double quality_track_bias(const struct quality_track *track, enum quality_figure figure)
{
    return ratio((double)track->sums[figure] / units_of(figure), (double)track->days[figure]);
}

double quality_track_error(const struct quality_track *track, enum quality_figure figure)
{
    return ratio((double)track->absolute[figure] / units_of(figure), (double)track->days[figure]);
}

void quality_track_pack(const struct quality_track *track, struct buf *out)
{
    varint_add(out, TRACK_VERSION);
    for (size_t i = 0; i < QUALITY_FIGURE_COUNT; i++) {
        varint_add_signed(out, track->sums[i]);
        varint_add(out, track->absolute[i]);
        varint_add(out, track->days[i]);
    }
}

enum err quality_track_open(struct quality_track *track, struct slice bytes, struct why *why)
{
    struct varint_reader r = { .rest = bytes };
    struct quality_track read;

    if (varint_read(&r) != TRACK_VERSION)
        r.is_bad = true;
    for (size_t i = 0; i < QUALITY_FIGURE_COUNT; i++) {
        read.sums[i] = varint_read_signed(&r);
        read.absolute[i] = varint_read(&r);
        read.days[i] = varint_read(&r);
        if (read.sums[i] > TRACK_MOST || read.sums[i] < -TRACK_MOST)
            r.is_bad = true;
    }
    if (!varint_is_done(&r))
        return err_set(why, ERR_SYNTAX, "this is no packed track of estimates, or it is damaged");
    *track = read;
    return ERR_OK;
}

/* ---- calibration ---- */

/* Groups of whole bins, and the variance of what happens in each. */
static void make_groups(struct quality_calibration *c, const struct quality_day *day, double rows,
                        double variance[QUALITY_GROUPS])
{
    double one = (double)QUALITY_ONE_P, below = 0;
    size_t g = 0;

    for (size_t i = 0; i < QUALITY_BINS; i++) {
        double seen = (double)day->seen[i] / QUALITY_ONE;

        if (seen <= 0)
            continue;
        c->groups[g].rows += seen;
        c->groups[g].expected += (double)day->seen_expected[i] / one;
        c->groups[g].happened += (double)day->frauds[i] / QUALITY_ONE;
        variance[g] += (double)day->seen_variance[i] / one;
        c->group_count = g + 1;
        below += seen;
        if (g + 1 < QUALITY_GROUPS && below >= rows * (double)(g + 1) / QUALITY_GROUPS)
            g++;
    }
}

/* Groups with too few expected frauds are joined with the next one up, and what is left with the last. */
static void test_shape(struct quality_calibration *c, const double variance[QUALITY_GROUPS])
{
    double expected[QUALITY_GROUPS] = { 0 }, happened[QUALITY_GROUPS] = { 0 }, spread[QUALITY_GROUPS] = { 0 };
    size_t at = 0;

    for (size_t g = 0; g < c->group_count; g++) {
        expected[at] += c->groups[g].expected;
        happened[at] += c->groups[g].happened;
        spread[at] += variance[g];
        if (expected[at] >= EXPECTED_LEAST && g + 1 < c->group_count)
            at++;
    }
    if (at > 0 && expected[at] < EXPECTED_LEAST) {
        expected[at - 1] += expected[at];
        happened[at - 1] += happened[at];
        spread[at - 1] += spread[at];
        at--;
    }
    for (size_t i = 0; i <= at && c->group_count > 0; i++) {
        if (spread[i] <= 0)
            continue;
        c->chi2 += (happened[i] - expected[i]) * (happened[i] - expected[i]) / spread[i];
        c->tested_groups++;
    }
    c->p_shape = c->tested_groups ? chi_squared_upper(c->chi2, (double)c->tested_groups) : (double)NAN;
}

void quality_calibration(struct quality_calibration *out, const struct quality_day *day)
{
    double variance[QUALITY_GROUPS] = { 0 }, rows = 0, spread = 0, off = 0;

    *out = (struct quality_calibration){ 0 };
    for (size_t i = 0; i < QUALITY_BINS; i++)
        rows += (double)day->seen[i] / QUALITY_ONE;
    make_groups(out, day, rows, variance);
    for (size_t g = 0; g < out->group_count; g++) {
        const struct quality_group *group = &out->groups[g];

        out->expected += group->expected;
        out->happened += group->happened;
        off += fabs(group->expected - group->happened);
        spread += variance[g];
    }
    out->ratio = ratio(out->happened, out->expected);
    out->ece = ratio(off, rows);
    out->z = spread > 0 ? (out->happened - out->expected) / sqrt(spread) : (double)NAN;
    out->p = 2 * normal_upper(fabs(out->z));
    test_shape(out, variance);
}
