/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/shadow.h"

#include <math.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json_out.h"
#include "lifecycle/judged.h"

const struct shadow_settings SHADOW_SETTINGS_DEFAULT = {
    .days_least = 7,
    .days_most = 28,
    .rows_least = 5000,
    .frauds_least = 100,
    .confidence = 0.95,
    .rounds = 500,
    .seed = 1,
    .average_precision_margin = 0.02,
    .money_margin = 0.05,
    .flips_most = 0.05,
    .approval_rate_drop_most = 0.02,
    .psi_most = 1.0,
    .costs = { .decline_cost = 0.5, .review_minor = 200, .challenge_cost = 0.05 },
};

struct shadow {
    const struct shadow_settings *settings;
    const struct evidence_row *rows;
    size_t count;
    struct verdicts *out;
    struct judged judged;
    struct buf json;
    struct json_out o;
};

static void begin(struct shadow *s)
{
    buf_clear(&s->json);
    s->o = json_out_to(&s->json);
    json_out_open(&s->o, NULL);
}

#define END(s, gate, outcome, ...)                                                                           \
    (json_out_end(&(s)->o), verdicts_add((s)->out, STAGE_SHADOW, gate, outcome, &(s)->json, __VA_ARGS__))

static bool is_enough(const struct shadow_settings *settings, const struct judged *s)
{
    return judged_is_enough(s, settings->rows_least, settings->frauds_least) &&
           (int64_t)s->days_count >= settings->days_least;
}

static bool judge_volume(struct shadow *s)
{
    const struct shadow_settings *t = s->settings;
    bool enough = is_enough(t, &s->judged);

    begin(s);
    json_out_int(&s->o, "rows", (int64_t)s->judged.n);
    json_out_int(&s->o, "frauds", (int64_t)s->judged.frauds);
    json_out_int(&s->o, "days", (int64_t)s->judged.days_count);
    END(s, "volume", enough ? OUTCOME_PASS : OUTCOME_INCONCLUSIVE,
        "%zu labelled rows with %zu frauds of %zu days; %zu with %zu of %lld are needed", s->judged.n,
        s->judged.frauds, s->judged.days_count, t->rows_least, t->frauds_least, (long long)t->days_least);
    return enough;
}

static struct paired_settings bounds(const struct shadow *s)
{
    return judged_settings(s->settings->confidence, s->settings->rounds, s->settings->seed);
}

static void judge_average_precision(struct shadow *s)
{
    struct paired_settings settings = bounds(s);
    struct paired_rows rows = judged_paired(&s->judged);
    struct paired p = paired_average_precision(&rows, &settings);
    double margin = s->settings->average_precision_margin;
    enum outcome outcome = p.difference.interval.low > -margin ? OUTCOME_PASS
                           : p.difference.interval.high < 0    ? OUTCOME_FAIL
                                                               : OUTCOME_INCONCLUSIVE;

    begin(s);
    write_paired(&s->o, &p);
    json_out_number(&s->o, "margin", margin);
    json_out_number(&s->o, "share_better", p.difference.share_positive);
    END(s, "average_precision", outcome,
        "average precision %.3f against %.3f: difference %+.3f (%+.3f to %+.3f)", p.a, p.b,
        p.difference.value, p.difference.interval.low, p.difference.interval.high);
}

/* ---- decisions ---- */

static bool is_stopped(uint8_t action)
{
    return action != ACTION_APPROVE;
}

/* Rows that one of the two decided wrongly and the other rightly, of one kind of payment. */
struct discordant {
    uint64_t candidate, champion;
    double mid_p;
};

static struct discordant count_wrong(const struct shadow *s, bool of_frauds)
{
    struct discordant d = { 0 };

    for (size_t i = 0; i < s->judged.n; i++) {
        const struct evidence_row *r = &s->rows[s->judged.row[i]];
        bool candidate = is_stopped(r->candidate_action) != r->is_fraud,
             champion = is_stopped(r->champion_action) != r->is_fraud;

        if (r->is_fraud != of_frauds)
            continue;
        d.candidate += candidate && !champion;
        d.champion += champion && !candidate;
    }
    d.mid_p = mcnemar(d.candidate, d.champion).mid_p;
    return d;
}

static void write_wrong(struct json_out *o, const char *key, const struct discordant *d)
{
    json_out_open(o, key);
    json_out_int(o, "only_candidate", (int64_t)d->candidate);
    json_out_int(o, "only_champion", (int64_t)d->champion);
    json_out_number(o, "mid_p", d->mid_p);
    json_out_end(o);
}

/* Surely worse on one kind, and not surely better on the other: a trade between the two is money's matter. */
static bool is_dominated(const struct discordant *one, const struct discordant *other, double alpha)
{
    bool is_worse = one->candidate > one->champion && one->mid_p / 2 < alpha,
         is_paid_for = other->candidate < other->champion && other->mid_p / 2 < alpha;

    return is_worse && !is_paid_for;
}

static void judge_decisions(struct shadow *s)
{
    struct paired_settings settings = bounds(s);
    double *a = mem_new_n(double, s->judged.n), *b = mem_new_n(double, s->judged.n);
    double alpha = 1 - s->settings->confidence;
    struct paired_rows rows = judged_paired(&s->judged);
    struct discordant missed = count_wrong(s, true), stopped = count_wrong(s, false);
    struct paired wrong;
    bool is_worse;

    for (size_t i = 0; i < s->judged.n; i++) {
        const struct evidence_row *r = &s->rows[s->judged.row[i]];

        a[i] = is_stopped(r->candidate_action) != r->is_fraud;
        b[i] = is_stopped(r->champion_action) != r->is_fraud;
    }
    rows.a = a;
    rows.b = b;
    wrong = paired_difference(&rows, &settings);
    /* McNemar takes rows for independent, the bootstrap draws customers: both must be sure. */
    is_worse = (is_dominated(&missed, &stopped, alpha) || is_dominated(&stopped, &missed, alpha)) &&
               wrong.difference.interval.low > 0;
    begin(s);
    write_wrong(&s->o, "frauds_let_through", &missed);
    write_wrong(&s->o, "good_stopped", &stopped);
    json_out_open(&s->o, "share_wrong");
    write_paired(&s->o, &wrong);
    json_out_end(&s->o);
    END(s, "decisions", is_worse ? OUTCOME_FAIL : OUTCOME_PASS,
        "it alone lets through %llu frauds and stops %llu good payments, the champion alone %llu and %llu "
        "(McNemar mid-p "
        "%.4f and %.4f)",
        (unsigned long long)missed.candidate, (unsigned long long)stopped.candidate,
        (unsigned long long)missed.champion, (unsigned long long)stopped.champion, missed.mid_p,
        stopped.mid_p);
    mem_free(a);
    mem_free(b);
}

/* ---- money ---- */

/* Rows in which the money of both is known, or, without a control slice, bounded. */
struct losses {
    size_t n, unknown;
    double *candidate, *champion; /* with the labels that make the candidate look cheap, */
    double *dear, *dear_champion; /* and dear */
    float *weights;
    int64_t *customers;
};

static void add_loss(struct losses *l, const struct shadow *s, const struct evidence_row *r, bool is_weighted)
{
    const struct loss_costs *costs = &s->settings->costs;
    double a[2], b[2]; /* by label */
    bool cheap = r->is_fraud, dear = r->is_fraud;

    for (int fraud = 0; fraud < 2; fraud++) {
        a[fraud] = decision_loss(costs, (enum action)r->candidate_action, fraud, r->amount_minor);
        b[fraud] = decision_loss(costs, (enum action)r->champion_action, fraud, r->amount_minor);
    }
    if (!(r->p_label > 0)) {
        bool is_known = r->candidate_action == r->champion_action;

        cheap = !is_known && a[1] - b[1] < a[0] - b[0];
        dear = !is_known && !cheap;
        l->unknown += !is_known;
    }
    l->candidate[l->n] = a[cheap];
    l->champion[l->n] = b[cheap];
    l->dear[l->n] = a[dear];
    l->dear_champion[l->n] = b[dear];
    l->weights[l->n] = is_weighted ? (float)(1 / r->p_label) : 1;
    l->customers[l->n++] = r->customer;
}

static void judge_money(struct shadow *s)
{
    struct paired_settings settings = bounds(s);
    struct losses l = {
        .candidate = mem_new_n(double, s->count + 1),
        .champion = mem_new_n(double, s->count + 1),
        .dear = mem_new_n(double, s->count + 1),
        .dear_champion = mem_new_n(double, s->count + 1),
        .weights = mem_new_n(float, s->count + 1),
        .customers = mem_new_n(int64_t, s->count + 1),
    };
    struct paired_rows rows;
    struct paired cheap, dear;
    size_t control = 0;
    double margin;
    enum outcome outcome;

    for (size_t i = 0; i < s->count; i++)
        control += evidence_is_labelled(&s->rows[i]) && s->rows[i].p_label < 1;
    for (size_t i = 0; i < s->count; i++) {
        const struct evidence_row *r = &s->rows[i];

        /* With a control slice the rows that it let through stand for those that it did not. */
        if (r->is_matured && !isnan(r->candidate) && !isnan(r->champion) && (r->p_label > 0 || !control))
            add_loss(&l, s, r, control > 0);
    }
    rows = (struct paired_rows){ .n = l.n,
                                 .a = l.candidate,
                                 .b = l.champion,
                                 .labels = NULL,
                                 .weights = l.weights,
                                 .customers = l.customers };
    cheap = paired_difference(&rows, &settings);
    rows.a = l.dear;
    rows.b = l.dear_champion;
    dear = paired_difference(&rows, &settings);
    margin = s->settings->money_margin * fmin(cheap.b, dear.b);
    outcome = dear.difference.interval.high < margin ? OUTCOME_PASS
              : cheap.difference.interval.low > 0    ? OUTCOME_FAIL
                                                     : OUTCOME_INCONCLUSIVE;
    begin(s);
    json_out_open(&s->o, "cheapest");
    write_paired(&s->o, &cheap);
    json_out_end(&s->o);
    json_out_open(&s->o, "dearest");
    write_paired(&s->o, &dear);
    json_out_end(&s->o);
    json_out_number(&s->o, "margin", margin);
    json_out_int(&s->o, "control_rows", (int64_t)control);
    json_out_int(&s->o, "unknown_rows", (int64_t)l.unknown);
    if (l.unknown)
        END(s, "money", outcome,
            "net loss per transaction %.2f to %.2f minor units above the champion's (%zu declines without a "
            "label and no "
            "control slice), margin %.2f",
            cheap.difference.value, dear.difference.value, l.unknown, margin);
    else
        END(s, "money", outcome,
            "net loss per transaction %.2f minor units against %.2f: %+.2f (%+.2f to %+.2f), margin %.2f",
            dear.a, dear.b, dear.difference.value, dear.difference.interval.low,
            dear.difference.interval.high, margin);
    mem_free(l.candidate);
    mem_free(l.champion);
    mem_free(l.dear);
    mem_free(l.dear_champion);
    mem_free(l.weights);
    mem_free(l.customers);
}

/* ---- what needs no labels ---- */

static void judge_unlabelled(struct shadow *s)
{
    const struct shadow_settings *t = s->settings;
    double *a = mem_new_n(double, s->count + 1), *b = mem_new_n(double, s->count + 1);
    size_t n = 0, flips = 0, approved_a = 0, approved_b = 0;
    double flipped, drop;
    struct shift shift;

    for (size_t i = 0; i < s->count; i++) {
        const struct evidence_row *r = &s->rows[i];

        if (isnan(r->candidate) || isnan(r->champion))
            continue;
        a[n] = r->candidate;
        b[n++] = r->champion;
        flips += is_stopped(r->candidate_action) != is_stopped(r->champion_action);
        approved_a += !is_stopped(r->candidate_action);
        approved_b += !is_stopped(r->champion_action);
    }
    flipped = (double)flips / (double)n;
    drop = ((double)approved_b - (double)approved_a) / (double)n;
    shift = score_shift(b, n, a, n);

    begin(s);
    json_out_int(&s->o, "rows", (int64_t)n);
    json_out_int(&s->o, "flips", (int64_t)flips);
    json_out_number(&s->o, "share", flipped);
    END(s, "flips", flipped <= t->flips_most ? OUTCOME_PASS : OUTCOME_FAIL,
        "%.2f %% of %zu transactions are let through by one and stopped by the other; %.2f %% are allowed",
        100 * flipped, n, 100 * t->flips_most);

    begin(s);
    json_out_number(&s->o, "candidate", (double)approved_a / (double)n);
    json_out_number(&s->o, "champion", (double)approved_b / (double)n);
    END(s, "approval_rate", drop <= t->approval_rate_drop_most ? OUTCOME_PASS : OUTCOME_FAIL,
        "%.2f %% are approved where the champion approves %.2f %%", 100.0 * (double)approved_a / (double)n,
        100.0 * (double)approved_b / (double)n);

    begin(s);
    json_out_number(&s->o, "psi", shift.psi);
    json_out_number(&s->o, "noise", shift.noise);
    json_out_number(&s->o, "most", t->psi_most);
    END(s, "score_psi", shift.psi <= t->psi_most + shift.noise ? OUTCOME_PASS : OUTCOME_FAIL,
        "PSI %.3f against the champion's scores; %.3f is allowed", shift.psi, t->psi_most + shift.noise);
    mem_free(a);
    mem_free(b);
}

enum outcome shadow_judge(const struct shadow_settings *settings, const struct evidence_row *rows,
                          size_t row_count, struct verdicts *out)
{
    struct shadow s = { .settings = settings, .rows = rows, .count = row_count, .out = out };
    size_t from = out->count;

    buf_init(&s.json, 0);
    judged_init(&s.judged, rows, row_count, true);
    if (judge_volume(&s)) {
        judge_average_precision(&s);
        judge_decisions(&s);
        judge_money(&s);
        judge_unlabelled(&s);
    }
    judged_release(&s.judged);
    buf_release(&s.json);
    return verdicts_outcome(out, from);
}

bool shadow_is_over(const struct shadow_settings *settings, const struct evidence_row *rows, size_t row_count,
                    int64_t started_us, int64_t now_us, int64_t label_delay_us)
{
    struct judged sample;
    bool enough;

    if (now_us >= started_us + settings->days_most * DAY_US + label_delay_us)
        return true;
    judged_init(&sample, rows, row_count, true);
    enough = is_enough(settings, &sample);
    judged_release(&sample);
    return enough;
}
