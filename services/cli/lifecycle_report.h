/* SPDX-License-Identifier: Apache-2.0
 * lifecycle_report.h - what a life of models came to: week by week, event by event, as a table, a plot, JSON. */
#ifndef ASSAY_CLI_LIFECYCLE_REPORT_H
#define ASSAY_CLI_LIFECYCLE_REPORT_H

#include "lifecycle.h"

/* A figure from elsewhere that stands beside ours. */
struct life_reference {
    const char *name;
    double average_precision;
};

/* Seven days from the first decision on, by the stream's truth, which the life itself saw only when it came.
 * `new_*`: without the customers that were known as compromised: those with a fraud in the seven days that end a
 * week before this one begins, or up to a week before the day (the handbook's protocol, chapter 4). */
struct life_week {
    int64_t from_us;
    uint32_t version; /* of the champion when it ends */
    size_t rows, frauds, new_rows, new_frauds;
    double live, first;         /* average precision, by the model that decided and by the first one */
    double new_live, new_first; /* the same, without customers known as compromised */
    double loss, first_loss;    /* net loss per transaction, minor units, by the truth */
};

struct life_report {
    struct life_week *weeks;
    size_t week_count;
    struct life_week all; /* over all weeks together; the averages are means over weeks */
    size_t trained, promoted, rejected, rolled_back;
    uint64_t declined, let_through, labels_hidden; /* decisions; frauds whose label nobody saw */
};

/* Zero-initialised; to be released. */
void life_report(struct life_report *report, const struct life *l);
void life_report_release(struct life_report *report);

void life_report_print(const struct life_report *report, const struct life *l,
                       const struct life_reference *references, size_t reference_count);
void life_report_json(struct buf *out, const struct life_report *report, const struct life *l,
                      const struct life_reference *references, size_t reference_count);
void life_report_plot(struct buf *out, const struct life_report *report, const struct life *l,
                      const struct life_reference *references, size_t reference_count);

#endif
