/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/guardrail.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json_out.h"
#include "stats/always_valid.h"
#include "stats/distribution.h"
#include "stats/drift.h"

const struct guardrail_settings GUARDRAIL_SETTINGS_DEFAULT = {
    .alpha = 0.01,
    .approval_rate_drop = 0.02,
    .review_load_rise = 0.01,
    .error_rate_rise = 0.005,
    .slow_rate_rise = 0.01,
    .psi_most = 0.25,
    .slow_us = 100 * MS_US,
    .design_effect = 2,
    .rows_least = 1000,
};

/* ---- counts ---- */

size_t guard_bin(double score)
{
    /* From log-odds -10 (5e-5) to +4.25 (0.986), three quarters each. */
    double at = (log(score / (1 - score)) + 10) / 0.75;

    if (!(at > 0))
        return 0;
    return at < GUARD_BINS - 1 ? (size_t)at + 1 : GUARD_BINS - 1;
}

void guard_count(struct guard_counts *counts, enum action action, double score, bool is_error, bool is_slow)
{
    counts->rows++;
    counts->approved += action == ACTION_APPROVE;
    counts->reviewed += action == ACTION_REVIEW;
    counts->errors += is_error;
    counts->slow += is_slow;
    if (!isnan(score))
        counts->scores[guard_bin(score)]++;
}

void guard_add(struct guard_counts *sum, const struct guard_counts *more)
{
    sum->rows += more->rows;
    sum->approved += more->approved;
    sum->reviewed += more->reviewed;
    sum->errors += more->errors;
    sum->slow += more->slow;
    for (size_t b = 0; b < GUARD_BINS; b++)
        sum->scores[b] += more->scores[b];
}

/* ---- shares ---- */

#define AT(field)    offsetof(struct guard_counts, field)
#define LIMIT(field) offsetof(struct guardrail_settings, field)
static const struct share {
    const char *gate, *words;
    size_t count, limit;
    double sign; /* of what is bad: -1 a fall, +1 a rise */
} shares[] = {
    { "approval_rate", "are approved", AT(approved), LIMIT(approval_rate_drop), -1 },
    { "review_load", "go to review", AT(reviewed), LIMIT(review_load_rise), 1 },
    { "error_rate", "are answered without a score", AT(errors), LIMIT(error_rate_rise), 1 },
    { "slow_rate", "are answered late", AT(slow), LIMIT(slow_rate_rise), 1 },
};
#undef AT
#undef LIMIT

static uint64_t count_of(const struct guard_counts *counts, const struct share *s)
{
    return *(const uint64_t *)(const void *)((const char *)counts + s->count);
}

static double limit_of(const struct guardrail_settings *settings, const struct share *s)
{
    return *(const double *)(const void *)((const char *)settings + s->limit);
}

static double proportion(const struct guard_counts *counts, const struct share *s)
{
    return counts->rows ? (double)count_of(counts, s) / (double)counts->rows : NAN;
}

struct watch {
    struct guard_counts reference, current; /* up to the period that is looked at */
    struct always_valid tests[ARRAY_LEN(shares)];
    double psi_beyond; /* the most by which PSI lay beyond what was allowed */
    double psi, psi_allowed;
    uint64_t psi_looks;
};

static void watch_init(struct watch *w, const struct guardrail_settings *s)
{
    *w = (struct watch){ .psi_beyond = -INFINITY, .psi = NAN, .psi_allowed = NAN };
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        double limit = limit_of(s, &shares[i]);
        enum err err =
            always_valid_init(&w->tests[i], shares[i].sign < 0 ? ALWAYS_VALID_BELOW : ALWAYS_VALID_ABOVE,
                              s->alpha, limit, shares[i].sign * limit, (double)s->rows_least, NULL);

        assert(!err); /* settings are checked where they are read */
        (void)err;
    }
}

static void look_psi(struct watch *w, const struct guardrail_settings *s, const struct guard_counts *own)
{
    uint64_t n = 0, m = 0;
    double k, allowed;

    for (size_t b = 0; b < GUARD_BINS; b++) {
        n += own->scores[b];
        m += w->current.scores[b];
    }
    if (n < s->rows_least || m < s->rows_least)
        return;
    k = (double)++w->psi_looks;
    w->psi = psi(own->scores, w->current.scores, GUARD_BINS);
    allowed = s->psi_most + s->design_effect *
                                chi_squared_quantile(1 - s->alpha / (k * (k + 1)), GUARD_BINS - 1) *
                                (1 / (double)n + 1 / (double)m);
    if (w->psi - allowed > w->psi_beyond) {
        w->psi_beyond = w->psi - allowed;
        w->psi_allowed = allowed;
    }
}

static void look(struct watch *w, const struct guardrail_settings *s, const struct guard_counts *own)
{
    const struct guard_counts *r = &w->reference, *c = &w->current;

    if (!r->rows || !c->rows)
        return;
    for (size_t i = 0; i < ARRAY_LEN(shares); i++)
        always_valid_proportions(&w->tests[i], count_of(c, &shares[i]), c->rows, count_of(r, &shares[i]),
                                 r->rows, s->design_effect);
    if (own)
        look_psi(w, s, own);
}

/* ---- verdicts ---- */

static void tell_share(const struct watch *w, const struct guardrail_settings *s, size_t i,
                       struct verdicts *out)
{
    const struct always_valid *t = &w->tests[i];
    const struct share *share = &shares[i];
    enum outcome outcome = t->has_crossed ? OUTCOME_FAIL : t->updates ? OUTCOME_PASS : OUTCOME_INCONCLUSIVE;
    struct buf json;
    struct json_out o;

    buf_init(&json, 0);
    o = json_out_to(&json);
    json_out_open(&o, NULL);
    json_out_number(&o, "current", proportion(&w->current, share));
    json_out_number(&o, "reference", proportion(&w->reference, share));
    json_out_number(&o, "limit", share->sign * limit_of(s, share));
    json_out_number(&o, "p", t->p);
    json_out_int(&o, "rows", (int64_t)w->current.rows);
    json_out_int(&o, "reference_rows", (int64_t)w->reference.rows);
    json_out_end(&o);
    if (outcome == OUTCOME_INCONCLUSIVE)
        verdicts_add(out, STAGE_GUARDRAIL, share->gate, outcome, &json,
                     "%llu and %llu transactions; %llu are needed", (unsigned long long)w->current.rows,
                     (unsigned long long)w->reference.rows, (unsigned long long)s->rows_least);
    else
        verdicts_add(out, STAGE_GUARDRAIL, share->gate, outcome, &json,
                     "%.2f %% %s against %.2f %%; a %s of %.2f points is allowed (p %.4f)",
                     100 * proportion(&w->current, share), share->words,
                     100 * proportion(&w->reference, share), share->sign < 0 ? "fall" : "rise",
                     100 * limit_of(s, share), t->p);
    buf_release(&json);
}

static void tell_psi(const struct watch *w, const struct guardrail_settings *s, struct verdicts *out)
{
    enum outcome outcome = !w->psi_looks       ? OUTCOME_INCONCLUSIVE
                           : w->psi_beyond > 0 ? OUTCOME_FAIL
                                               : OUTCOME_PASS;
    struct buf json;
    struct json_out o;

    buf_init(&json, 0);
    o = json_out_to(&json);
    json_out_open(&o, NULL);
    json_out_number(&o, "psi", w->psi);
    json_out_number(&o, "most", s->psi_most);
    json_out_number(&o, "allowed", w->psi_allowed);
    json_out_number(&o, "beyond", w->psi_looks ? w->psi_beyond : NAN);
    json_out_end(&o);
    if (w->psi_looks)
        verdicts_add(out, STAGE_GUARDRAIL, "score_psi", outcome, &json,
                     "PSI %.3f now; at its worst %+.3f beyond %.3f", w->psi, w->psi_beyond, w->psi_allowed);
    else
        verdicts_add(out, STAGE_GUARDRAIL, "score_psi", outcome, &json,
                     "too few scores of before to compare with");
    buf_release(&json);
}

enum outcome guardrails_judge(const struct guardrail_settings *settings, const struct guard_counts *reference,
                              const struct guard_counts *current, size_t periods, bool is_reference_fixed,
                              const struct guard_counts *own, struct verdicts *out)
{
    size_t from = out->count;
    struct watch w;

    watch_init(&w, settings);
    for (size_t i = 0; i < periods; i++) {
        if (is_reference_fixed)
            w.reference = reference[i];
        else
            guard_add(&w.reference, &reference[i]);
        guard_add(&w.current, &current[i]);
        look(&w, settings, own);
    }
    for (size_t i = 0; i < ARRAY_LEN(shares); i++)
        tell_share(&w, settings, i, out);
    tell_psi(&w, settings, out);
    return verdicts_outcome(out, from);
}
