/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/ab.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json.h"
#include "json/json_out.h"
#include "stats/clustered.h"
#include "stats/sequential.h"

const struct ab_design AB_DESIGN_DEFAULT = {
    .share = 0.5,
    .alpha = 0.05,
    .margin = 0.05,
    .planned_rows = 500000,
    .days_most = 28,
    .control_least = 50,
    .effective_least = 30,
    .costs = { .decline_cost = 0.5, .review_minor = 200, .challenge_cost = 0.05 },
};

enum { PLANNED_LOOKS = 14 };

void ab_plan(struct ab_design *design, double rows_a_day, double days)
{
    design->planned_rows = (int64_t)fmax(rows_a_day * days, 1);
    design->days_most = (int64_t)ceil(2 * days);
}

/* What one customer has done in one arm. */
struct tally {
    int64_t customer;
    double loss, rows;
};

/* Open addressing; a customer without rows is an empty place. */
struct tallies {
    struct tally *items;
    size_t count, room;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static struct tally *tallies_place(const struct tallies *t, int64_t customer)
{
    size_t at = (size_t)mix((uint64_t)customer) & (t->room - 1);

    while (t->items[at].rows > 0 && t->items[at].customer != customer)
        at = (at + 1) & (t->room - 1);
    return &t->items[at];
}

static struct tally *tallies_at(struct tallies *t, int64_t customer)
{
    struct tally *found;

    if (2 * (t->count + 1) > t->room) {
        struct tallies wider = { .room = t->room ? 2 * t->room : 1024, .count = t->count };

        wider.items = mem_new_n(struct tally, wider.room);
        for (size_t i = 0; i < t->room; i++)
            if (t->items[i].rows > 0)
                *tallies_place(&wider, t->items[i].customer) = t->items[i];
        mem_free(t->items);
        *t = wider;
    }
    found = tallies_place(t, customer);
    t->count += found->rows == 0;
    found->customer = customer;
    return found;
}

/* The sums of one arm. */
struct arm_sums {
    struct tallies customers;
    struct cluster_sums sums;
    struct ab_arm_figures figures;
    double fraud_loss, turned_away; /* in all */
};

static void arm_add(struct arm_sums *a, const struct ab_row *r, const struct loss_costs *costs)
{
    struct tally *t = tallies_at(&a->customers, r->customer);
    bool is_labelled = r->p_label > 0, is_decline = r->action == ACTION_DECLINE;
    double loss =
        is_labelled ? decision_loss(costs, r->action, r->is_fraud, r->amount_minor) / r->p_label : 0;

    cluster_sums_move(&a->sums, t->loss, t->rows, t->loss + loss, t->rows + 1);
    t->loss += loss;
    t->rows++;
    a->figures.rows++;
    a->figures.frauds += is_labelled && r->is_fraud;
    a->figures.declined += is_decline;
    a->figures.control += is_decline && is_labelled;
    if (r->is_fraud)
        a->fraud_loss += loss;
    else if (is_decline)
        a->turned_away += loss;
}

static struct ab_arm_figures arm_figures(const struct arm_sums *a)
{
    struct ab_arm_figures f = a->figures;
    double rows = (double)f.rows;

    f.customers = a->customers.count;
    f.loss = cluster_ratio(&a->sums).value;
    f.fraud_loss = a->fraud_loss / rows;
    f.turned_away = a->turned_away / rows;
    return f;
}

struct ab {
    struct ab_design design;
    struct arm_sums arms[ARM_COUNT];
    int64_t first_day, last_day;
    bool has_rows;
    struct sequential_test pass, fail; /* the same looks and bounds, each with its own z */
};

static struct sequential_design one_sided(double alpha)
{
    return (struct sequential_design){ .spending = SPENDING_OBRIEN_FLEMING, .sides = 1, .alpha = alpha };
}

struct ab *ab_new(const struct ab_design *design)
{
    struct ab *ab = mem_new(struct ab);
    struct sequential_design test = one_sided(design->alpha);
    enum err err;

    ab->design = *design;
    err = sequential_init(&ab->pass, &test, (double)design->planned_rows, NULL);
    if (!err)
        err = sequential_init(&ab->fail, &test, (double)design->planned_rows, NULL);
    assert(!err); /* designs are checked where they are read */
    (void)err;
    return ab;
}

void ab_free(struct ab *ab)
{
    if (!ab)
        return;
    for (size_t a = 0; a < ARM_COUNT; a++)
        mem_free(ab->arms[a].customers.items);
    sequential_release(&ab->pass);
    sequential_release(&ab->fail);
    mem_free(ab);
}

void ab_add(struct ab *ab, const struct ab_row *row)
{
    int64_t day = row->at_us / DAY_US;

    if (!ab->has_rows)
        ab->first_day = day;
    ab->has_rows = true;
    ab->last_day = day;
    arm_add(&ab->arms[row->arm], row, &ab->design.costs);
}

/* ---- a look ---- */

static void write_arm(struct json_out *o, enum arm arm, const struct ab_arm_figures *f)
{
    json_out_open(o, arm_name(arm));
    json_out_int(o, "rows", (int64_t)f->rows);
    json_out_int(o, "customers", (int64_t)f->customers);
    json_out_int(o, "frauds", (int64_t)f->frauds);
    json_out_int(o, "declined", (int64_t)f->declined);
    json_out_int(o, "control", (int64_t)f->control);
    json_out_number(o, "loss", f->loss);
    json_out_number(o, "fraud_loss", f->fraud_loss);
    json_out_number(o, "turned_away", f->turned_away);
    json_out_end(o);
}

static void tell(const struct ab *ab, const struct ab_look *look, const char *reason, struct verdicts *out)
{
    char needed[96] = "";
    struct buf json;
    struct json_out o;

    if (isinf(look->days_needed))
        snprintf(needed, sizeof needed, "; no number of days like these would do");
    else if (!isnan(look->days_needed))
        snprintf(needed, sizeof needed, " in %.0f days; to find a tenth less it takes about %.0f like these",
                 look->days, ceil(look->days_needed));
    buf_init(&json, 0);
    o = json_out_to(&json);
    json_out_open(&o, NULL);
    json_out_time(&o, "at", look->at_us);
    json_out_int(&o, "looks", (int64_t)ab->pass.count);
    json_out_number(&o, "information", look->information);
    json_out_number(&o, "difference", look->difference);
    json_out_number(&o, "error", look->error);
    json_out_number(&o, "margin", look->margin);
    json_out_number(&o, "z_pass", look->z_pass);
    json_out_number(&o, "z_fail", look->z_fail);
    json_out_number(&o, "bound", look->bound);
    json_out_bool(&o, "is_last", look->is_last);
    json_out_number(&o, "days", look->days);
    json_out_number(&o, "days_needed", look->days_needed);
    json_out_int(&o, "control_least", (int64_t)ab->design.control_least);
    for (size_t a = 0; a < ARM_COUNT; a++)
        write_arm(&o, (enum arm)a, &look->arms[a]);
    json_out_end(&o);
    verdicts_add(
        out, STAGE_AB, "net_loss", look->outcome, &json,
        "%s: %.2f minor units per transaction against the champion's %.2f, %.0f %% of what was planned%s",
        reason, look->arms[ARM_CANDIDATE].loss, look->arms[ARM_CHAMPION].loss, 100 * look->information,
        needed);
    buf_release(&json);
}

/* Declines with a label, in the arm that has fewer. */
static uint64_t labelled_declines(const struct ab *ab)
{
    uint64_t champion = ab->arms[ARM_CHAMPION].figures.control,
             candidate = ab->arms[ARM_CANDIDATE].figures.control;

    return champion < candidate ? champion : candidate;
}

/* Effective customers that the smaller arm is to expect. */
static double effective_customers(const struct ab *ab, struct estimate difference)
{
    return difference.effective * fmin(ab->design.share, 1 - ab->design.share);
}

enum { REASON_SIZE = 192 };

/* Says why nothing can be said about loss yet; false when something can. */
static bool is_too_little(const struct ab *ab, struct estimate difference, char reason[REASON_SIZE])
{
    const struct ab_design *d = &ab->design;
    double effective = effective_customers(ab, difference);

    if (labelled_declines(ab) < d->control_least) {
        snprintf(reason, REASON_SIZE,
                 "of what was declined too little is known: the control slice has %" PRIu64
                 " labels in the champion's arm and %" PRIu64 " in the other, of %zu that each needs",
                 ab->arms[ARM_CHAMPION].figures.control, ab->arms[ARM_CANDIDATE].figures.control,
                 d->control_least);
        return true;
    }
    if (!(effective >= d->effective_least)) {
        snprintf(reason, REASON_SIZE,
                 "too few customers with a loss to know how sure the figure is: as %.0f equal ones, of %.0f",
                 effective, d->effective_least);
        return true;
    }
    return false;
}

/* Of a difference of the losses: 1 / its variance when `effect` is found with that power. 0 when there is none. */
static double information_needed(const struct ab_design *d, double loss, double effect, double power)
{
    struct sequential_design test = one_sided(d->alpha);
    double information;

    if (!(loss > 0) || !(effect + d->margin > 0) ||
        sequential_information(&test, PLANNED_LOOKS, power, (effect + d->margin) * loss, &information, NULL,
                               NULL) != ERR_OK)
        return 0;
    return information;
}

/* Counts and information grow with the days. */
static double days_needed(const struct ab *ab, double days, struct estimate difference,
                          struct estimate beyond)
{
    const struct ab_design *d = &ab->design;
    double information =
        information_needed(d, cluster_ratio(&ab->arms[ARM_CHAMPION].sums).value, AB_EFFECT, AB_POWER);
    double effective = effective_customers(ab, difference), times = 0;

    if (d->control_least > 0)
        times = (double)d->control_least / (double)labelled_declines(ab);
    times = effective > 0 ? fmax(times, d->effective_least / effective) : INFINITY;
    times = information > 0 && beyond.variance > 0 ? fmax(times, information * beyond.variance) : INFINITY;
    return days * times;
}

struct ab_look ab_take_look(struct ab *ab, int64_t at_us, struct verdicts *out)
{
    const struct ab_design *d = &ab->design;
    const struct cluster_sums *arms[ARM_COUNT] = { &ab->arms[ARM_CHAMPION].sums,
                                                   &ab->arms[ARM_CANDIDATE].sums };
    struct cluster_sums allowed = *arms[ARM_CHAMPION];
    struct estimate difference, beyond;
    double rows = (double)(ab->arms[ARM_CHAMPION].figures.rows + ab->arms[ARM_CANDIDATE].figures.rows);
    struct ab_look look = {
        .at_us = at_us, .bound = NAN, .outcome = OUTCOME_INCONCLUSIVE, .days_needed = NAN
    };
    char reason[REASON_SIZE];

    cluster_sums_scale(&allowed, 1 + d->margin);
    difference = cluster_difference(arms[ARM_CHAMPION], arms[ARM_CANDIDATE]);
    beyond = cluster_difference(&allowed, arms[ARM_CANDIDATE]);
    look.information = fmin(rows / (double)d->planned_rows, 1);
    look.difference = difference.value;
    look.error = sqrt(difference.variance);
    look.margin = d->margin * cluster_ratio(arms[ARM_CHAMPION]).value;
    look.z_pass = estimate_z(beyond);
    look.z_fail = -estimate_z(difference);
    look.days = ab->has_rows ? (double)(ab->last_day - ab->first_day + 1) : 0;
    look.is_last = rows >= (double)d->planned_rows || look.days >= (double)d->days_most;
    for (size_t a = 0; a < ARM_COUNT; a++)
        look.arms[a] = arm_figures(&ab->arms[a]);
    if (!is_too_little(ab, difference, reason)) {
        enum sequential_outcome pass, fail;
        size_t before = ab->pass.count;

        pass = sequential_look(&ab->pass, rows, look.z_pass, look.is_last);
        fail = sequential_look(&ab->fail, rows, look.z_fail, look.is_last);
        if (ab->pass.count > before)
            look.bound = ab->pass.looks[ab->pass.count - 1].bound;
        look.is_last = look.is_last || pass != SEQUENTIAL_CONTINUE || fail != SEQUENTIAL_CONTINUE;
        look.outcome = pass == SEQUENTIAL_UPPER   ? OUTCOME_PASS
                       : fail == SEQUENTIAL_UPPER ? OUTCOME_FAIL
                                                  : OUTCOME_INCONCLUSIVE;
        snprintf(reason, sizeof reason, "%s",
                 look.outcome == OUTCOME_PASS   ? d->margin > 0 ? "not worse than the margin" : "better"
                 : look.outcome == OUTCOME_FAIL ? "worse"
                 : look.is_last                 ? "neither better nor worse at the end of the plan"
                                                : "not decided yet");
    }
    if (look.is_last && look.outcome == OUTCOME_INCONCLUSIVE)
        look.days_needed = days_needed(ab, look.days, difference, beyond);
    tell(ab, &look, reason, out);
    return look;
}

/* ---- what is kept between looks ---- */

void ab_progress(const struct ab *ab, struct buf *json)
{
    struct json_out o = json_out_to(json);

    json_out_open(&o, NULL);
    json_out_number(&o, "planned_rows", ab->pass.information_max);
    json_out_bool(&o, "is_ended",
                  ab->pass.outcome == SEQUENTIAL_ENDED || ab->fail.outcome == SEQUENTIAL_ENDED);
    json_out_list(&o, "looks");
    for (size_t i = 0; i < ab->pass.count; i++) {
        json_out_open(&o, NULL);
        json_out_number(&o, "rows", ab->pass.looks[i].information);
        json_out_number(&o, "z_pass", ab->pass.looks[i].z);
        if (i < ab->fail.count)
            json_out_number(&o, "z_fail", ab->fail.looks[i].z);
        json_out_number(&o, "bound", ab->pass.looks[i].bound);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
}

/* A look's figure; infinities are null in JSON, and a bound may be one. */
static double figure(const json_t *look, const char *key)
{
    const json_t *value = json_object_get(look, key);

    return json_is_number(value) ? json_number_value(value) : INFINITY;
}

enum err ab_restore(struct ab *ab, struct slice text, struct why *why)
{
    struct sequential_design design = one_sided(ab->design.alpha);
    struct sequential_look *pass = NULL, *fail = NULL;
    struct sequential_test tests[2] = { 0 };
    json_t *json = NULL, *looks;
    bool is_ended;
    size_t count;
    enum err err = json_parse(&json, text, JSON_DEPTH_MAX, why);

    if (err)
        return err;
    looks = json_object_get(json, "looks");
    count = json_array_size(looks);
    is_ended = json_is_true(json_object_get(json, "is_ended"));
    pass = mem_new_n(struct sequential_look, count + 1);
    fail = mem_new_n(struct sequential_look, count + 1);
    for (size_t i = 0; i < count; i++) {
        const json_t *look = json_array_get(looks, i);

        pass[i] =
            (struct sequential_look){ figure(look, "rows"), figure(look, "z_pass"), figure(look, "bound") };
        fail[i] =
            (struct sequential_look){ figure(look, "rows"), figure(look, "z_fail"), figure(look, "bound") };
    }
    if (!json_is_array(looks))
        err = err_set(why, ERR_INVALID, "there are no looks");
    if (!err)
        err = sequential_restore(&tests[0], &design, (double)ab->design.planned_rows, pass, count, is_ended,
                                 why);
    if (!err) {
        err = sequential_restore(&tests[1], &design, (double)ab->design.planned_rows, fail, count, is_ended,
                                 why);
        if (err)
            sequential_release(&tests[0]);
    }
    if (!err) {
        sequential_release(&ab->pass);
        sequential_release(&ab->fail);
        ab->pass = tests[0];
        ab->fail = tests[1];
    }
    mem_free(pass);
    mem_free(fail);
    json_decref(json);
    return err;
}

/* ---- planning ---- */

int64_t ab_rows_needed(const struct ab_design *design, const struct ab_row *past, size_t count, double effect,
                       double power)
{
    struct arm_sums sums = { 0 };
    struct estimate loss;
    double per_row, arms;

    for (size_t i = 0; i < count; i++)
        arm_add(&sums, &past[i], &design->costs);
    loss = cluster_ratio(&sums.sums);
    mem_free(sums.customers.items);
    if (!(loss.variance > 0) || !(design->share > 0 && design->share < 1))
        return 0;
    /* What one row adds to what is known, if every customer goes on as before, and how two arms share the rows: one
     * variance for both, of which each arm gives as much as it has rows. The candidate's losses are fewer, and their
     * variance falls with them. */
    per_row = loss.variance * (double)count;
    arms =
        ((1 - design->share) * (1 + design->margin) * (1 + design->margin) + design->share * (1 - effect)) *
        (1 / (1 - design->share) + 1 / design->share);
    return (int64_t)ceil(per_row * arms * information_needed(design, loss.value, effect, power));
}
