/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/judged.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "json/json_out.h"
#include "stats/drift.h"

void judged_init(struct judged *s, const struct evidence_row *rows, size_t count, bool has_champion)
{
    double frauds = 0, all = 0;

    *s = (struct judged){
        .candidate = mem_new_n(double, count + 1),
        .champion = mem_new_n(double, count + 1),
        .weights = mem_new_n(float, count + 1),
        .labels = mem_new_n(uint8_t, count + 1),
        .customers = mem_new_n(int64_t, count + 1),
        .days = mem_new_n(int64_t, count + 1),
        .row = mem_new_n(size_t, count + 1),
    };
    for (size_t i = 0; i < count; i++) {
        const struct evidence_row *r = &rows[i];

        if (!evidence_is_labelled(r) || isnan(r->candidate) || (has_champion && isnan(r->champion)))
            continue;
        s->candidate[s->n] = r->candidate;
        s->champion[s->n] = has_champion ? r->champion : 0; /* one score for all: no better than chance */
        s->weights[s->n] = (float)(1 / r->p_label);
        s->labels[s->n] = r->is_fraud;
        s->customers[s->n] = r->customer;
        s->days[s->n] = r->at_us / DAY_US;
        s->days_count += s->n == 0 || s->days[s->n] != s->days[s->n - 1];
        s->row[s->n] = i;
        s->frauds += r->is_fraud;
        frauds += r->is_fraud ? (double)s->weights[s->n] : 0;
        all += (double)s->weights[s->n++];
    }
    s->fraud_share = all > 0 ? frauds / all : 0;
}

void judged_release(struct judged *s)
{
    mem_free(s->candidate);
    mem_free(s->champion);
    mem_free(s->weights);
    mem_free(s->labels);
    mem_free(s->customers);
    mem_free(s->days);
    mem_free(s->row);
    *s = (struct judged){ 0 };
}

struct paired_rows judged_paired(const struct judged *s)
{
    return (struct paired_rows){
        .n = s->n,
        .a = s->candidate,
        .b = s->champion,
        .labels = s->labels,
        .weights = s->weights,
        .customers = s->customers,
        .days = s->days,
    };
}

bool judged_is_enough(const struct judged *s, size_t rows_least, size_t frauds_least)
{
    return s->n >= rows_least && s->frauds >= frauds_least && s->frauds < s->n;
}

struct paired_settings judged_settings(double confidence, size_t rounds, uint64_t seed)
{
    return (struct paired_settings){ .rounds = rounds, .confidence = 2 * confidence - 1, .seed = seed };
}

/* The upper end of the reference's scores, where decisions are made. How models order what neither of them would
 * look at twice says nothing: two good ones differ there by more than any drift. */
static const double shift_quantiles[] = { 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999 };

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct shift score_shift(const double *reference, size_t reference_rows, const double *scores, size_t rows)
{
    double *sorted = mem_new_n(double, reference_rows + 1), edges[ARRAY_LEN(shift_quantiles)];
    struct shift s = { .psi = NAN, .reference_rows = reference_rows, .rows = rows };
    struct histogram before, now;
    size_t count = 0;

    memcpy(sorted, reference, reference_rows * sizeof *sorted);
    qsort(sorted, reference_rows, sizeof *sorted, rising);
    for (size_t i = 0; i < ARRAY_LEN(shift_quantiles) && reference_rows; i++) {
        double edge = quantile_sorted(sorted, reference_rows, shift_quantiles[i]);

        if (edge > (count ? edges[count - 1] : sorted[0]))
            edges[count++] = edge;
    }
    mem_free(sorted);
    histogram_init_edges(&before, edges, count);
    histogram_init_edges(&now, edges, count);
    for (size_t i = 0; i < reference_rows; i++)
        histogram_add(&before, reference[i]);
    for (size_t i = 0; i < rows; i++)
        histogram_add(&now, scores[i]);
    s.bins = count + 1; /* nothing is missing */
    s.psi = psi(before.counts, now.counts, s.bins);
    s.noise = s.bins > 1 ? psi_noise_95(s.bins, reference_rows, rows) : 0; /* one score for all cannot move */
    histogram_release(&before);
    histogram_release(&now);
    return s;
}

void write_paired(struct json_out *o, const struct paired *p)
{
    json_out_number(o, "candidate", p->a);
    json_out_number(o, "champion", p->b);
    json_out_number(o, "difference", p->difference.value);
    json_out_number(o, "low", p->difference.interval.low);
    json_out_number(o, "high", p->difference.interval.high);
}
