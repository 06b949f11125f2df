/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

static const double confidence = 0.95;

static void add(struct backtest_cell *to, const struct backtest_cell *from)
{
    to->count += from->count;
    to->fraud += from->fraud;
    to->good += from->good;
    to->unknown += from->unknown;
    to->money += from->money;
    to->fraud_money += from->fraud_money;
    to->good_money += from->good_money;
}

void backtest_actions(const struct backtest_result *r, bool of_asked, struct backtest_cell out[ACTION_COUNT])
{
    memset(out, 0, ACTION_COUNT * sizeof *out);
    for (size_t i = 0; i < r->days; i++) {
        if (!r->day[i].is_mature)
            continue;
        for (size_t a = 0; a < ACTION_COUNT; a++)
            add(&out[a], of_asked ? &r->day[i].asked[a] : &r->day[i].compared[a]);
    }
}

struct backtest_cell backtest_all(const struct backtest_result *r)
{
    struct backtest_cell actions[ACTION_COUNT], all = { 0 };

    backtest_actions(r, true, actions);
    for (size_t a = 0; a < ACTION_COUNT; a++)
        add(&all, &actions[a]);
    return all;
}

struct backtest_cell backtest_acted(const struct backtest_cell actions[ACTION_COUNT])
{
    struct backtest_cell acted = { 0 };

    for (size_t a = ACTION_APPROVE + 1; a < ACTION_COUNT; a++)
        add(&acted, &actions[a]);
    return acted;
}

struct backtest_figures backtest_figures(const struct backtest_cell *hits, const struct backtest_cell *all)
{
    uint64_t known = hits->fraud + hits->good;

    return (struct backtest_figures){
        .precision = known ? (double)hits->fraud / (double)known : NAN,
        .precision_interval = wilson(hits->fraud, known, confidence),
        .recall = all->fraud ? (double)hits->fraud / (double)all->fraud : NAN,
    };
}

size_t backtest_mature_days(const struct backtest_result *r)
{
    size_t days = 0;

    for (size_t i = 0; i < r->days; i++)
        days += r->day[i].is_mature && r->day[i].count;
    return days;
}

size_t backtest_busy_days(const struct backtest_result *r)
{
    size_t days = 0;

    for (size_t i = 0; i < r->days; i++)
        days += r->day[i].count > 0;
    return days;
}

double backtest_reviews(const struct backtest_result *r, bool of_asked)
{
    size_t days = backtest_busy_days(r);
    uint64_t reviews = 0;

    for (size_t i = 0; i < r->days; i++)
        reviews += of_asked ? r->day[i].asked[ACTION_REVIEW].count : r->day[i].compared[ACTION_REVIEW].count;
    return days ? (double)reviews / (double)days : NAN;
}

size_t backtest_busiest(const struct backtest_result *r, size_t *places, size_t most)
{
    for (size_t i = 0; i < r->rule_count; i++) {
        size_t k = i;

        for (; k > 0 && r->rules[places[k - 1]].hits < r->rules[i].hits; k--)
            places[k] = places[k - 1];
        places[k] = i;
    }
    return r->rule_count < most ? r->rule_count : most;
}

void backtest_day_name(int64_t day, char out[16])
{
    char text[RFC3339_SIZE];

    rfc3339_format(day * DAY_US, text);
    snprintf(out, 16, "%.10s", text);
}

/* ---- JSON ---- */

static void write_figures(struct json_out *o, const struct backtest_cell *hits,
                          const struct backtest_cell *all)
{
    struct backtest_figures f = backtest_figures(hits, all);
    bool is_known = hits->fraud + hits->good > 0;

    json_out_number(o, "precision", f.precision);
    json_out_number(o, "precision_low", is_known ? f.precision_interval.low : NAN);
    json_out_number(o, "precision_high", is_known ? f.precision_interval.high : NAN);
    json_out_number(o, "recall", f.recall);
}

static void write_cell(struct json_out *o, const char *key, const struct backtest_cell *c)
{
    json_out_open(o, key);
    json_out_int(o, "count", (int64_t)c->count);
    json_out_int(o, "fraud", (int64_t)c->fraud);
    json_out_int(o, "good", (int64_t)c->good);
    json_out_int(o, "unknown", (int64_t)c->unknown);
    json_out_int(o, "money", c->money);
    json_out_int(o, "fraud_money", c->fraud_money);
    json_out_int(o, "good_money", c->good_money);
    json_out_end(o);
}

static void write_side(struct json_out *o, const char *key, const struct backtest_result *r, bool of_asked,
                       struct slice name)
{
    struct backtest_cell actions[ACTION_COUNT], all = backtest_all(r), acted;

    backtest_actions(r, of_asked, actions);
    acted = backtest_acted(actions);
    json_out_open(o, key);
    json_out_text(o, "name", name);
    json_out_open(o, "actions");
    for (size_t a = 0; a < ACTION_COUNT; a++)
        write_cell(o, action_name((enum action)a), &actions[a]);
    json_out_end(o);
    write_figures(o, &acted, &all);
    json_out_number(o, "reviews_per_day", backtest_reviews(r, of_asked));
    json_out_end(o);
}

static const char *const outcome_names[] = {
    [OUTCOME_FRAUD] = "fraud",
    [OUTCOME_GOOD] = "good",
    [OUTCOME_UNKNOWN] = "unknown",
};

static void write_example(struct json_out *o, const struct backtest_result *r,
                          const struct backtest_example *e)
{
    static const char *const labels[] = {
        [LABEL_NONE] = NULL, [LABEL_GOOD] = "good", [LABEL_FRAUD] = "fraud"
    };

    json_out_open(o, NULL);
    json_out_str(o, "transaction_id", e->id);
    json_out_int(o, "account", e->account);
    json_out_time(o, "known_at", e->known_at_us);
    json_out_int(o, "amount", e->amount_base_minor);
    json_out_str(o, "label", labels[e->label]);
    json_out_str(o, "outcome", outcome_names[e->outcome]);
    json_out_str(o, "from", action_name(e->from));
    json_out_str(o, "to", action_name(e->to));
    json_out_text(o, "rule", e->rule == SIZE_MAX ? SLICE("") : r->rules[e->rule].rule->id);
    json_out_str(o, "degraded", e->degraded);
    json_out_str(o, "ruleset_version", e->ruleset);
    json_out_end(o);
}

static void write_matches(struct json_out *o, const struct backtest_result *r,
                          const struct backtest_rule *rule)
{
    json_out_open(o, "matches");
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        const struct backtest_matches *m = &rule->matches[i];
        size_t kept = m->total < m->room ? (size_t)m->total : m->room;

        json_out_list(o, outcome_names[i]);
        for (size_t k = 1; k <= kept; k++)
            write_example(o, r, &m->at[(m->total - k) % m->room]);
        json_out_end(o);
    }
    json_out_end(o);
}

static void write_rule(struct json_out *o, const struct backtest_result *r, const struct backtest_rule *rule,
                       const struct backtest_cell *all)
{
    size_t days = backtest_busy_days(r);

    json_out_open(o, NULL);
    json_out_text(o, "id", rule->rule->id);
    json_out_text(o, "name", rule->rule->name);
    if (rule->rule->tag.len)
        json_out_text(o, "tag", rule->rule->tag);
    else
        json_out_str(o, "action", action_name(rule->rule->action));
    json_out_bool(o, "is_shadow", rule->rule->is_shadow);
    json_out_int(o, "hits", (int64_t)rule->hits);
    json_out_number(o, "hits_per_day", days ? (double)rule->hits / (double)days : NAN);
    json_out_int(o, "decides", (int64_t)rule->decides);
    json_out_int(o, "errors", (int64_t)rule->errs);
    json_out_number(o, "share", r->rows ? (double)rule->hits / (double)r->rows : NAN);
    json_out_int(o, "fraud", (int64_t)rule->mature.fraud);
    json_out_int(o, "good", (int64_t)rule->mature.good);
    json_out_int(o, "unknown", (int64_t)rule->mature.unknown);
    write_figures(o, &rule->mature, all);
    json_out_int(o, "money_caught", rule->mature.fraud_money);
    json_out_int(o, "good_money", rule->mature.good_money);
    json_out_open(o, "alone");
    json_out_int(o, "hits", (int64_t)rule->alone.count);
    json_out_int(o, "fraud", (int64_t)rule->alone.fraud);
    json_out_int(o, "good", (int64_t)rule->alone.good);
    json_out_int(o, "unknown", (int64_t)rule->alone.unknown);
    json_out_int(o, "money_caught", rule->alone.fraud_money);
    json_out_int(o, "good_money", rule->alone.good_money);
    json_out_end(o);
    json_out_list(o, "by_day");
    for (size_t i = 0; i < r->days; i++)
        json_out_int(o, NULL, rule->by_day[i]);
    json_out_end(o);
    write_matches(o, r, rule);
    json_out_end(o);
}

static void write_overlap(struct json_out *o, const struct backtest_result *r)
{
    size_t *places = mem_new_n(size_t, r->rule_count + 1);
    size_t count = r->overlap ? backtest_busiest(r, places, REPORT_OVERLAP_MAX) : 0;

    json_out_open(o, "overlap");
    json_out_list(o, "rules");
    for (size_t i = 0; i < count; i++)
        json_out_text(o, NULL, r->rules[places[i]].rule->id);
    json_out_end(o);
    json_out_list(o, "hits");
    for (size_t i = 0; i < count; i++) {
        json_out_list(o, NULL);
        for (size_t k = 0; k < count; k++)
            json_out_int(o, NULL, r->overlap[places[i] * r->rule_count + places[k]]);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
    mem_free(places);
}

static void write_changes(struct json_out *o, const struct backtest_result *r)
{
    json_out_list(o, "changes");
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        for (size_t b = 0; b < ACTION_COUNT; b++) {
            const struct backtest_cell *c = &r->change[a][b];

            if (c->count == 0)
                continue;
            json_out_open(o, NULL);
            json_out_str(o, "from", action_name((enum action)a));
            json_out_str(o, "to", action_name((enum action)b));
            json_out_int(o, "count", (int64_t)c->count);
            json_out_int(o, "money", c->money);
            json_out_int(o, "fraud", (int64_t)c->fraud);
            json_out_int(o, "good", (int64_t)c->good);
            json_out_int(o, "unknown", (int64_t)c->unknown);
            json_out_list(o, "examples");
            for (size_t i = 0; i < r->example_count[a][b]; i++)
                write_example(o, r, &r->examples[a][b][i]);
            json_out_end(o);
            json_out_end(o);
        }
    }
    json_out_end(o);
}

static void write_counts(struct json_out *o, const char *key, const struct backtest_cell cells[ACTION_COUNT])
{
    json_out_open(o, key);
    for (size_t a = 0; a < ACTION_COUNT; a++)
        json_out_int(o, action_name((enum action)a), (int64_t)cells[a].count);
    json_out_end(o);
}

static void write_days(struct json_out *o, const struct backtest_result *r)
{
    char name[16];

    json_out_list(o, "days");
    for (size_t i = 0; i < r->days; i++) {
        const struct backtest_day *d = &r->day[i];
        uint64_t fraud = 0;

        for (size_t a = 0; a < ACTION_COUNT; a++)
            fraud += d->asked[a].fraud;
        backtest_day_name(r->first_day + (int64_t)i, name);
        json_out_open(o, NULL);
        json_out_str(o, "day", name);
        json_out_int(o, "decisions", (int64_t)d->count);
        json_out_bool(o, "is_mature", d->is_mature);
        write_counts(o, "asked", d->asked);
        write_counts(o, "compared", d->compared);
        json_out_int(o, "fraud", (int64_t)fraud);
        json_out_end(o);
    }
    json_out_end(o);
}

void backtest_report(struct json_out *o, const char *key, const struct backtest_result *r,
                     const struct backtest_options *options, struct slice asked, struct slice compared)
{
    struct backtest_cell all = backtest_all(r);

    json_out_open(o, key);
    json_out_str(o, "schema", "assay.backtest.v1");
    json_out_open(o, "span");
    json_out_time(o, "from", r->first_day * DAY_US);
    json_out_time(o, "to", (r->first_day + (int64_t)r->days) * DAY_US);
    json_out_int(o, "days", (int64_t)r->days);
    json_out_int(o, "mature_days", (int64_t)backtest_mature_days(r));
    json_out_int(o, "decisions", (int64_t)r->rows);
    json_out_end(o);
    json_out_int(o, "sample", options->one_in > 1 ? options->one_in : 1);
    json_out_open(o, "labels");
    json_out_time(o, "as_of", options->as_of_us);
    json_out_number(o, "delay_days", (double)options->label_delay_us / (double)DAY_US);
    json_out_end(o);
    write_side(o, "asked", r, true, asked);
    write_side(o, "compared", r, false, compared);
    json_out_list(o, "rules");
    for (size_t i = 0; i < r->rule_count; i++)
        write_rule(o, r, &r->rules[i], &all);
    json_out_end(o);
    write_overlap(o, r);
    write_changes(o, r);
    write_days(o, r);
    json_out_int(o, "unversioned", (int64_t)r->unversioned);
    json_out_int(o, "rules_recalled", (int64_t)r->newly_known);
    json_out_int(o, "rules_evaluated", (int64_t)r->newly_evaluated);
    json_out_end(o);
}
