/* SPDX-License-Identifier: Apache-2.0 */
#include "training/report.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "json/json_out.h"
#include "stats/calibration.h"
#include "stats/curves.h"
#include "stats/ranking.h"
#include "training/trials.h"

enum { CURVE_POINTS = 60, RELIABILITY_BINS = 20, MARGIN_BINS = 40, CARDS = 100 };

static int64_t day_of(int64_t at_us)
{
    return at_us / DAY_US - (at_us % DAY_US < 0);
}

struct trainer_figures report_figures(const struct rows *rows, const struct trainer_part *part,
                                      const double *scores)
{
    int64_t *days = mem_new_n(int64_t, part->count + 1), *customers = mem_new_n(int64_t, part->count + 1);
    struct trainer_figures f;

    for (size_t i = 0; i < part->count; i++) {
        days[i] = day_of(rows->row[part->rows[i]].at_us);
        customers[i] = rows->row[part->rows[i]].customer;
    }
    f.auc_roc = auc_roc_weighted(scores, part->labels, part->weights, part->count);
    f.average_precision = average_precision_weighted(scores, part->labels, part->weights, part->count);
    f.recall_fpr_1 = point_at_fpr(scores, part->labels, part->count, 0.01).recall;
    f.card_precision_100 =
        card_precision_at_k(scores, part->labels, days, customers, part->count, CARDS, NULL);
    mem_free(days);
    mem_free(customers);
    return f;
}

static void write_figures(struct json_out *o, const struct trainer_figures *f)
{
    json_out_number(o, "average_precision", f->average_precision);
    json_out_number(o, "auc_roc", f->auc_roc);
    json_out_number(o, "recall_at_fpr_1", f->recall_fpr_1);
    json_out_number(o, "card_precision_100", f->card_precision_100);
}

/* ---- the parts ---- */

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, rising);
    return n ? values[n / 2] : (double)NAN;
}

/* Two clocks: what people found by looking, and what came back by itself. */
static void write_labels(struct json_out *o, const struct rows *rows, const struct trainer_part *p)
{
    double *delays = mem_new_n(double, p->count + 1);
    size_t none = 0;

    json_out_open(o, "labels");
    for (int source = 0; source < LABEL_SOURCE_COUNT; source++) {
        size_t count[2] = { 0 };

        none = 0;
        for (size_t i = 0; i < p->count; i++) {
            struct row_truth truth = rows_truth(rows, p->rows[i], p->known_us);

            none += !truth.is_labelled;
            if (!truth.is_labelled || (int)truth.source != source)
                continue;
            delays[count[0] + count[1]] =
                (double)(truth.known_at_us - rows->row[p->rows[i]].at_us) / (double)DAY_US;
            count[truth.is_fraud]++;
        }
        if (count[0] + count[1] == 0)
            continue;
        json_out_open(o, label_source_name((enum label_source)source));
        json_out_int(o, "frauds", (int64_t)count[1]);
        json_out_int(o, "others", (int64_t)count[0]);
        json_out_number(o, "median_delay_days", median(delays, count[0] + count[1]));
        json_out_end(o);
    }
    json_out_int(o, "none", (int64_t)none);
    json_out_end(o);
    mem_free(delays);
}

static void write_part(struct json_out *o, const char *name, const struct rows *rows,
                       const struct trainer_part *p)
{
    double weight = 0;

    for (size_t i = 0; i < p->count; i++)
        weight += (double)p->weights[i];
    json_out_open(o, name);
    json_out_time(o, "from", p->from_us);
    json_out_time(o, "until", p->until_us);
    json_out_time(o, "labels_known", p->known_us);
    json_out_int(o, "rows", (int64_t)p->count);
    json_out_int(o, "frauds", (int64_t)p->frauds);
    json_out_number(o, "weight", weight);
    write_labels(o, rows, p);
    json_out_end(o);
}

/* ---- the curves ---- */

static void write_point(struct json_out *o, const double *values, size_t count)
{
    json_out_list(o, NULL);
    for (size_t i = 0; i < count; i++)
        json_out_number(o, NULL, values[i]);
    json_out_end(o);
}

/* Precision over recall by recall, money over the threshold by the share of payments. */
static void write_ranked_curves(struct json_out *o, const struct report *r)
{
    const struct trainer_part *p = &r->split->judge;
    double *money = mem_new_n(double, p->count + 1);
    struct curve_rows rows = { p->count, r->scores, p->labels, p->weights, money };
    struct curve_point points[CURVE_POINTS + 2];
    size_t count;

    for (size_t i = 0; i < p->count; i++)
        money[i] = (double)r->rows->row[p->rows[i]].amount_minor;
    count = curve_points(&rows, CURVE_BY_RECALL, CURVE_POINTS, points);
    json_out_list(o, "precision_recall");
    for (size_t i = 0; i < count; i++)
        write_point(o, (double[]){ points[i].recall, points[i].precision }, 2);
    json_out_end(o);
    count = curve_points(&rows, CURVE_BY_SHARE, CURVE_POINTS, points);
    json_out_list(o, "money");
    for (size_t i = 0; i < count; i++)
        write_point(o,
                    (double[]){ points[i].threshold,
                                points[i].caught - r->decline_cost * points[i].turned_away, points[i].caught,
                                points[i].turned_away },
                    4);
    json_out_end(o);
    mem_free(money);
}

static void write_reliability(struct json_out *o, const struct report *r)
{
    const struct trainer_part *p = &r->split->judge;
    struct reliability_bin bins[RELIABILITY_BINS];
    size_t used = reliability(r->scores, p->labels, p->weights, p->count, bins, RELIABILITY_BINS);

    json_out_list(o, "reliability");
    for (size_t i = 0; i < used; i++)
        write_point(o,
                    (double[]){ bins[i].expected / bins[i].weight, bins[i].happened / bins[i].weight,
                                bins[i].weight },
                    3);
    json_out_end(o);
}

static void write_margins(struct json_out *o, const struct report *r)
{
    const struct trainer_part *p = &r->split->judge;
    double low = INFINITY, high = -INFINITY, width, bins[2][MARGIN_BINS] = { { 0 } };

    for (size_t i = 0; i < p->count; i++) {
        low = fmin(low, r->margins[i]);
        high = fmax(high, r->margins[i]);
    }
    width = high > low ? (high - low) / MARGIN_BINS : 1;
    for (size_t i = 0; i < p->count; i++) {
        size_t bin = (size_t)((r->margins[i] - low) / width);

        bins[p->labels[i]][bin < MARGIN_BINS ? bin : MARGIN_BINS - 1] += (double)p->weights[i];
    }
    json_out_open(o, "margins");
    json_out_list(o, "edges");
    for (size_t i = 0; i <= MARGIN_BINS; i++)
        json_out_number(o, NULL, low + (double)i * width);
    json_out_end(o);
    for (int is_fraud = 1; is_fraud >= 0; is_fraud--) {
        json_out_list(o, is_fraud ? "frauds" : "others");
        for (size_t i = 0; i < MARGIN_BINS; i++)
            json_out_number(o, NULL, bins[is_fraud][i]);
        json_out_end(o);
    }
    json_out_end(o);
}

void report_write(struct buf *out, const struct report *r)
{
    const struct trainer_part *judge = &r->split->judge;
    const struct trainer_result *result = r->result;
    struct json_out o = json_out_to(out);

    json_out_open(&o, NULL);
    write_figures(&o, &result->figures);
    json_out_number(&o, "calibration_error", result->calibration_error);
    json_out_number(&o, "brier", brier_score(r->scores, judge->labels, judge->count));
    json_out_number(&o, "log_loss", log_loss(r->scores, judge->labels, judge->count));
    json_out_int(&o, "held_out_rows", (int64_t)judge->count);
    json_out_int(&o, "held_out_frauds", (int64_t)judge->frauds);
    json_out_int(&o, "fraud_minor", result->fraud_minor);
    json_out_int(&o, "caught_minor", result->caught_minor);
    json_out_int(&o, "wrongly_declined_minor", result->lost_minor);
    json_out_open(&o, "actions");
    json_out_number(&o, "decline", result->decline_share);
    json_out_number(&o, "review", result->review_share);
    json_out_number(&o, "challenge", result->challenge_share);
    json_out_end(&o);
    json_out_open(&o, "calibration");
    json_out_str(&o, "method", result->is_platt ? "platt" : "isotonic");
    json_out_number(&o, "isotonic", r->isotonic_error);
    json_out_number(&o, "platt", r->platt_error);
    json_out_end(&o);
    json_out_open(&o, "parts");
    write_part(&o, "train", r->rows, &r->split->train);
    write_part(&o, "tune", r->rows, &r->split->tune);
    write_part(&o, "judge", r->rows, judge);
    json_out_end(&o);
    json_out_open(&o, "baselines");
    for (size_t i = 0; i < r->baseline_count; i++) {
        json_out_open(&o, r->baselines[i].name);
        write_figures(&o, &r->baselines[i].figures);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_open(&o, "search");
    json_out_int(&o, "best", (int64_t)result->best_trial);
    json_out_list(&o, "trials");
    trials_put(&o, r->trials, r->trial_count);
    json_out_end(&o);
    json_out_end(&o);
    json_out_open(&o, "curves");
    write_ranked_curves(&o, r);
    write_reliability(&o, r);
    write_margins(&o, r);
    json_out_end(&o);
    json_out_end(&o);
}
