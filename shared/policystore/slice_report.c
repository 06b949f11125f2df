/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/slice_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/session.h"

const enum weighted_figure slice_figures[SLICE_FIGURES] = {
    WEIGHTED_precision,    WEIGHTED_recall,     WEIGHTED_false_positive_rate, WEIGHTED_flagged,
    WEIGHTED_money_caught, WEIGHTED_money_lost, WEIGHTED_money_turned_away,
};

bool slice_thresholds_read(struct slice_report *r, struct slice text)
{
    struct slice rest = text, word;

    r->lines[0].is_policy = true;
    for (r->count = 1; rest.len && r->count <= SLICE_THRESHOLDS_MAX; r->count++) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        char number[32], *end;

        word = slice_of(rest.ptr, comma ? (size_t)(comma - rest.ptr) : rest.len);
        rest = comma ? slice_of(comma + 1, rest.len - word.len - 1) : (struct slice){ 0 };
        snprintf(number, sizeof number, "%.*s", SLICE_ARG(word));
        r->lines[r->count].threshold = strtod(number, &end);
        if (end == number || *end ||
            !(r->lines[r->count].threshold >= 0 && r->lines[r->count].threshold <= 1))
            return false;
    }
    return rest.len == 0;
}

enum err slice_newest(struct pg_session *s, uint32_t account, int64_t *at_us, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *rows = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)account);
    err = pg_exec(s, "SELECT max(known_at) FROM decisions WHERE $1::int4 IN (0, account) HAVING count(*) > 0",
                  &p, &rows, why);
    if (!err && pg_rows(rows) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there are no decisions");
    if (!err)
        *at_us = pg_get_time_us(rows, 0, 0);
    pg_result_free(rows);
    pg_params_release(&p);
    return err;
}

enum err slice_report_read(struct slice_report *r, struct pg_session *s, const struct outcomes_query *query,
                           size_t rounds, struct why *why)
{
    struct outcomes *o = &r->outcomes;
    enum err err = outcomes_read(o, s, query, why);
    double *room;

    if (!err && o->n == 0)
        err = err_set(
            why, ERR_NOT_FOUND,
            "the score decided nothing in this span; so old must decisions be that their labels have come");
    if (err)
        return err;
    room = mem_new_n(double, o->n + 1);
    for (size_t i = 0; i < r->count && !err; i++) {
        struct slice_line *l = &r->lines[i];
        struct weighted_rows rows = outcomes_rows(o, l->is_policy, room);

        err = weighted_estimate(&l->w, &rows, l->is_policy ? 0.5 : l->threshold, WEIGHTED_HORVITZ_THOMPSON,
                                rounds, 0.95, 1, why);
    }
    mem_free(room);
    return err;
}

void slice_report_release(struct slice_report *r)
{
    outcomes_release(&r->outcomes);
}

/* ---- telling ---- */

static void write_figure(struct json_out *o, const char *name, const struct resampled *f)
{
    json_out_open(o, name);
    json_out_number(o, "value", f->value);
    json_out_number(o, "low", f->interval.low);
    json_out_number(o, "high", f->interval.high);
    json_out_end(o);
}

static void write_line(struct json_out *o, const struct slice_line *l)
{
    json_out_open(o, NULL);
    json_out_str(o, "of", l->is_policy ? "policy" : "threshold");
    if (!l->is_policy)
        json_out_number(o, "threshold", l->threshold);
    for (size_t i = 0; i < SLICE_FIGURES; i++)
        write_figure(o, weighted_figure_name(slice_figures[i]), &l->w.figures[slice_figures[i]]);
    json_out_number(o, "effective", l->w.effective);
    json_out_int(o, "not_covered", (int64_t)l->w.excluded_flagged);
    json_out_end(o);
}

void slice_report_write(struct json_out *o, const struct slice_report *r, const struct outcomes_query *query)
{
    const struct weighted *any = &r->lines[r->count > 1 ? 1 : 0].w;

    if (query->from_us == INT64_MIN)
        json_out_null(o, "from");
    else
        json_out_time(o, "from", query->from_us);
    json_out_time(o, "to", query->to_us);
    json_out_int(o, "decisions", (int64_t)r->outcomes.n);
    json_out_int(o, "let_through", (int64_t)r->outcomes.let_through);
    json_out_int(o, "decided_otherwise", (int64_t)r->outcomes.others);
    json_out_int(o, "untold", (int64_t)r->outcomes.untold);
    json_out_number(o, "decline_threshold", r->outcomes.decline);
    write_figure(o, "frauds", &any->figures[WEIGHTED_frauds]);
    if (r->count > 1)
        write_figure(o, "average_precision", &any->figures[WEIGHTED_average_precision]);
    json_out_list(o, "lines");
    for (size_t i = 0; i < r->count; i++)
        write_line(o, &r->lines[i]);
    json_out_end(o);
}
