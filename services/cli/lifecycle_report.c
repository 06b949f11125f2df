/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json_out.h"
#include "plot/plot.h"
#include "policy/policy.h"
#include "stats/ranking.h"

#define WEEK_US (7 * DAY_US)

/* ---- weeks ---- */

struct week_rows {
    double *live, *first;
    uint8_t *labels;
    size_t count;
};

static void add(struct week_rows *w, const struct life_row *r)
{
    w->live[w->count] = r->score;
    w->first[w->count] = r->first;
    w->labels[w->count++] = r->is_fraud;
}

/* By customer: the first and the last of its frauds, to be asked "was there one in [from, until)?" day by day. */
struct known {
    bool *is_known;
    size_t next; /* the row that is not looked at yet */
};

static void learn(struct known *k, const struct life *l, int64_t from_us, int64_t until_us)
{
    for (; k->next < l->rows.count && l->rows.row[k->next].at_us < until_us; k->next++)
        if (l->row[k->next].is_fraud && l->rows.row[k->next].at_us >= from_us)
            k->is_known[l->rows.row[k->next].customer] = true;
}

static size_t row_at(const struct life *l, size_t from, int64_t at_us)
{
    while (from < l->rows.count && l->rows.row[from].at_us < at_us)
        from++;
    return from;
}

static double row_loss(const struct life *l, size_t i, uint8_t action)
{
    return decision_loss(&l->settings.ab.costs, (enum action)action, l->row[i].is_fraud,
                         l->rows.row[i].amount_minor);
}

static uint8_t first_action(const struct life *l, double score)
{
    struct bundle_thresholds t = bundle_thresholds(l->first->bundle);
    struct policy_thresholds thresholds = { t.challenge, t.review, t.decline };

    return (uint8_t)policy_score_action(score, &thresholds);
}

static struct life_week make_week(const struct life *l, int64_t from_us, size_t begin, size_t end)
{
    struct life_week week = { .from_us = from_us, .rows = end - begin };
    struct week_rows all = { .live = mem_new_n(double, week.rows + 1),
                             .first = mem_new_n(double, week.rows + 1),
                             .labels = mem_new_n(uint8_t, week.rows + 1) },
                     fresh = { .live = mem_new_n(double, week.rows + 1),
                               .first = mem_new_n(double, week.rows + 1),
                               .labels = mem_new_n(uint8_t, week.rows + 1) };
    struct known known = { .is_known = mem_new_n(bool, l->rows.customers.count + 1),
                           .next = row_at(l, 0, from_us - 2 * WEEK_US) };

    for (size_t i = begin; i < end; i++) {
        const struct life_row *r = &l->row[i];

        learn(&known, l, from_us - 2 * WEEK_US, l->rows.row[i].at_us / DAY_US * DAY_US - WEEK_US);
        add(&all, r);
        week.frauds += r->is_fraud;
        week.loss += row_loss(l, i, r->is_let_through ? ACTION_APPROVE : r->action);
        week.first_loss += row_loss(l, i, first_action(l, r->first));
        if (r->version)
            week.version = r->version;
        if (known.is_known[l->rows.row[i].customer])
            continue;
        add(&fresh, r);
        week.new_frauds += r->is_fraud;
    }
    week.new_rows = fresh.count;
    week.loss /= (double)week.rows;
    week.first_loss /= (double)week.rows;
    week.live = average_precision(all.live, all.labels, all.count);
    week.first = average_precision(all.first, all.labels, all.count);
    week.new_live = average_precision(fresh.live, fresh.labels, fresh.count);
    week.new_first = average_precision(fresh.first, fresh.labels, fresh.count);
    for (struct week_rows *w = &all;; w = &fresh) {
        mem_free(w->live);
        mem_free(w->first);
        mem_free(w->labels);
        if (w == &fresh)
            break;
    }
    mem_free(known.is_known);
    return week;
}

static void add_up(struct life_report *r)
{
    struct life_week *all = &r->all;
    double n = (double)r->week_count;

    for (size_t i = 0; i < r->week_count; i++) {
        const struct life_week *w = &r->weeks[i];

        all->rows += w->rows;
        all->frauds += w->frauds;
        all->new_rows += w->new_rows;
        all->new_frauds += w->new_frauds;
        all->live += w->live / n;
        all->first += w->first / n;
        all->new_live += w->new_live / n;
        all->new_first += w->new_first / n;
        all->loss += w->loss / n;
        all->first_loss += w->first_loss / n;
    }
}

void life_report(struct life_report *report, const struct life *l)
{
    size_t begin = 0, cap = 0;

    *report = (struct life_report){ 0 };
    for (size_t i = 0; i < l->event_count; i++) {
        enum lifecycle_step step = l->events[i].step;

        report->promoted += step == STEP_PROMOTE;
        report->rejected += step == STEP_REJECT;
        report->rolled_back += step == STEP_ROLL_BACK;
    }
    report->trained = l->model_count;
    for (size_t i = 0; i < l->rows.count; i++) {
        report->declined += l->row[i].version && l->row[i].action == ACTION_DECLINE;
        report->let_through += l->row[i].is_let_through;
        report->labels_hidden += l->row[i].is_fraud && !(l->row[i].p_label > 0);
    }
    while (begin < l->rows.count && !l->row[begin].version)
        begin++;
    while (begin < l->rows.count) {
        int64_t from_us = report->week_count ? report->weeks[report->week_count - 1].from_us + WEEK_US
                                             : l->rows.row[begin].at_us / DAY_US * DAY_US;
        size_t end = row_at(l, begin, from_us + WEEK_US);

        if (l->rows.row[l->rows.count - 1].at_us < from_us + WEEK_US - DAY_US)
            break; /* a week that is not whole */
        ARRAY_RESERVE_ONE(report->weeks, report->week_count, cap);
        report->weeks[report->week_count++] = make_week(l, from_us, begin, end);
        begin = end;
    }
    add_up(report);
}

void life_report_release(struct life_report *report)
{
    mem_free(report->weeks);
    *report = (struct life_report){ 0 };
}

/* ---- the table ---- */

static const char *day_of(int64_t at_us, char text[16])
{
    int year, month, day;

    civil_from_days(at_us / DAY_US, &year, &month, &day);
    snprintf(text, 16, "%04d-%02d-%02d", year, month, day);
    return text;
}

static void print_event(const struct life *l, const struct life_event *e)
{
    char day[16];

    printf("  %s  %3u  %-13s %s\n", day_of(e->at_us, day), e->version, lifecycle_step_name(e->step),
           e->message.len ? e->message.ptr : e->reason);
    for (size_t v = e->verdicts_from; v < e->verdicts_until; v++) {
        const struct verdict *verdict = &l->verdicts.items[v];

        printf("  %-34s%-12s %-17s %.*s\n", "", outcome_name(verdict->outcome), verdict->gate,
               SLICE_ARG(verdict->reason));
    }
}

/* Looks that decided nothing are many; the last of a stage says it all. */
static bool is_told(const struct life *l, size_t i)
{
    const struct life_event *e = &l->events[i];

    if (e->step != STEP_LOOK_SHADOW && e->step != STEP_LOOK_AB)
        return true;
    return i + 1 == l->event_count || l->events[i + 1].step != e->step;
}

static void print_week(const char *name, const struct life_week *w)
{
    printf("  %-10s", name);
    if (w->version)
        printf("  %5u", w->version);
    else
        printf("  %5s", "");
    printf("  %8zu  %6zu  %6.3f  %6.3f  %8zu  %6zu  %6.3f  %6.3f  %9.2f  %9.2f\n", w->rows, w->frauds,
           w->live, w->first, w->new_rows, w->new_frauds, w->new_live, w->new_first, w->loss, w->first_loss);
}

void life_report_print(const struct life_report *report, const struct life *l,
                       const struct life_reference *references, size_t reference_count)
{
    char day[16];

    printf("What happened\n\n  %-10s  %3s  %-13s\n", "day", "ver", "step");
    for (size_t i = 0; i < l->event_count; i++)
        if (is_told(l, i))
            print_event(l, &l->events[i]);
    printf("\n%zu models trained, %zu promoted, %zu rejected, %zu rolled back\n", report->trained,
           report->promoted, report->rejected, report->rolled_back);
    if (l->settings.hides_labels)
        printf("%" PRIu64 " declined, %" PRIu64
               " of them let through by the control slice; the labels of %" PRIu64
               " frauds were never seen\n",
               report->declined, report->let_through, report->labels_hidden);
    printf("\nAverage precision by week, and net loss per payment in minor units\n\n  %-10s  %5s  %8s  %6s  "
           "%6s  %6s  "
           "%8s  %6s  %6s  %6s  %9s  %9s\n",
           "week", "model", "payments", "frauds", "live", "first", "new only", "frauds", "live", "first",
           "loss", "first's");
    for (size_t i = 0; i < report->week_count; i++)
        print_week(day_of(report->weeks[i].from_us, day), &report->weeks[i]);
    print_week("mean", &report->all);
    printf("\n  live: the model that decided; first: the first one, never trained again; new only: without "
           "customers\n"
           "  that were known as compromised, which is how these are published:\n\n");
    for (size_t i = 0; i < reference_count; i++)
        printf("  %-58s %6.3f\n", references[i].name, references[i].average_precision);
}

/* ---- JSON ---- */

static void write_week(struct json_out *o, const char *key, const struct life_week *w)
{
    json_out_open(o, key);
    if (w->from_us)
        json_out_time(o, "from", w->from_us);
    if (w->version)
        json_out_int(o, "version", w->version);
    json_out_int(o, "rows", (int64_t)w->rows);
    json_out_int(o, "frauds", (int64_t)w->frauds);
    json_out_number(o, "average_precision", w->live);
    json_out_number(o, "average_precision_first", w->first);
    json_out_number(o, "loss", w->loss);
    json_out_number(o, "loss_first", w->first_loss);
    json_out_open(o, "new_customers");
    json_out_int(o, "rows", (int64_t)w->new_rows);
    json_out_int(o, "frauds", (int64_t)w->new_frauds);
    json_out_number(o, "average_precision", w->new_live);
    json_out_number(o, "average_precision_first", w->new_first);
    json_out_end(o);
    json_out_end(o);
}

static void write_event(struct json_out *o, const struct life *l, const struct life_event *e)
{
    json_out_open(o, NULL);
    json_out_time(o, "at", e->at_us);
    json_out_int(o, "version", e->version);
    json_out_str(o, "step", lifecycle_step_name(e->step));
    json_out_str(o, "reason", e->reason);
    if (e->message.len)
        json_out_text(o, "message", e->message);
    json_out_list(o, "verdicts");
    for (size_t v = e->verdicts_from; v < e->verdicts_until; v++) {
        const struct verdict *verdict = &l->verdicts.items[v];

        json_out_open(o, NULL);
        json_out_str(o, "stage", stage_name(verdict->stage));
        json_out_str(o, "gate", verdict->gate);
        json_out_str(o, "outcome", outcome_name(verdict->outcome));
        json_out_text(o, "reason", verdict->reason);
        json_out_json(o, "evidence", verdict->evidence);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
}

void life_report_json(struct buf *out, const struct life_report *report, const struct life *l,
                      const struct life_reference *references, size_t reference_count)
{
    struct json_out o = json_out_to(out);

    json_out_open(&o, NULL);
    json_out_int(&o, "trained", (int64_t)report->trained);
    json_out_int(&o, "promoted", (int64_t)report->promoted);
    json_out_int(&o, "rejected", (int64_t)report->rejected);
    json_out_int(&o, "rolled_back", (int64_t)report->rolled_back);
    json_out_int(&o, "declined", (int64_t)report->declined);
    json_out_int(&o, "let_through", (int64_t)report->let_through);
    json_out_int(&o, "labels_hidden", (int64_t)report->labels_hidden);
    json_out_list(&o, "weeks");
    for (size_t i = 0; i < report->week_count; i++)
        write_week(&o, NULL, &report->weeks[i]);
    json_out_end(&o);
    write_week(&o, "mean", &report->all);
    json_out_list(&o, "published");
    for (size_t i = 0; i < reference_count; i++) {
        json_out_open(&o, NULL);
        json_out_str(&o, "name", references[i].name);
        json_out_number(&o, "average_precision", references[i].average_precision);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_list(&o, "events");
    for (size_t i = 0; i < l->event_count; i++)
        write_event(&o, l, &l->events[i]);
    json_out_end(&o);
    json_out_end(&o);
}

/* ---- the plot ---- */

enum { PLOT_RULES_MOST = 64 };

void life_report_plot(struct buf *out, const struct life_report *report, const struct life *l,
                      const struct life_reference *references, size_t reference_count)
{
    size_t n = report->week_count, rules = 0;
    double *x = mem_new_n(double, n + 1), *live = mem_new_n(double, n + 1), *first = mem_new_n(double, n + 1);
    struct plot_rule lines[PLOT_RULES_MOST];
    struct plot_series series[] = {
        { .name = "the model that decided", .mark = PLOT_LINE, .x = x, .y = live, .n = n },
        { .name = "the first model, never trained again", .mark = PLOT_LINE, .x = x, .y = first, .n = n },
    };

    for (size_t i = 0; i < n; i++) {
        x[i] = (double)(report->weeks[i].from_us + WEEK_US / 2);
        live[i] = report->weeks[i].new_live;
        first[i] = report->weeks[i].new_first;
    }
    for (size_t i = 0; i < reference_count && rules < PLOT_RULES_MOST; i++)
        lines[rules++] =
            (struct plot_rule){ .at = references[i].average_precision, .label = references[i].name };
    for (size_t i = 0; i < l->event_count && rules < PLOT_RULES_MOST; i++)
        if (l->events[i].step == STEP_PROMOTE || l->events[i].step == STEP_ROLL_BACK)
            lines[rules++] = (struct plot_rule){ .at = (double)l->events[i].at_us, .is_vertical = true };
    plot_svg(out, &(struct plot){
                      .title = "Average precision by week; upright lines are promotions",
                      .x = { .label = "week", .kind = PLOT_DATE },
                      .y = { .label = "average precision, new customers", .from = 0.4, .to = 1 },
                      .series = series,
                      .series_count = ARRAY_LEN(series),
                      .rules = lines,
                      .rule_count = rules,
                      .width = 800,
                      .height = 420,
                  });
    mem_free(x);
    mem_free(live);
    mem_free(first);
}
