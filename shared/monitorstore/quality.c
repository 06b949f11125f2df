/* SPDX-License-Identifier: Apache-2.0 */
#include "monitorstore/quality.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lifestore/row.h"

static void add_key(struct pg_params *p, int32_t lane, int64_t version)
{
    pg_add_i32(p, lane);
    pg_add_i64(p, version);
}

/* NaN is NULL. */
static void add_figure(struct pg_params *p, double value)
{
    if (isnan(value))
        pg_add_null(p);
    else
        pg_add_f64(p, value);
}

/* ---- models ---- */

#define MODEL_COLUMNS "m.lane, m.version, m.name, m.label_delay_days, m.promised_precision, m.promised_frauds"

static struct judged_model model_of_row(const struct pg_result *r, size_t row, struct arena *arena)
{
    return (struct judged_model){ .lane = (int32_t)pg_get_int(r, row, 0),
                                  .version = pg_get_int(r, row, 1),
                                  .name = row_text(r, row, 2, arena),
                                  .label_delay_days = pg_get_int(r, row, 3),
                                  .promise = { pg_get_float(r, row, 4), pg_get_float(r, row, 5) } };
}

enum err judged_model_read(struct pg_session *s, int32_t lane, int64_t version, struct judged_model *out,
                           bool *is_there, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    add_key(&p, lane, version);
    err = row_ask(s,
                  "SELECT " MODEL_COLUMNS
                  " FROM monitor_quality_models m WHERE m.lane = $1::int4 AND m.version = $2::int8",
                  &p, &r, why);
    *is_there = !err && pg_rows(r);
    if (*is_there)
        *out = model_of_row(r, 0, arena);
    pg_result_free(r);
    return err;
}

enum err judged_model_add(struct pg_session *s, const struct judged_model *m, struct why *why)
{
    struct pg_params p = { 0 };

    add_key(&p, m->lane, m->version);
    pg_add_text(&p, m->name);
    pg_add_i64(&p, m->label_delay_days);
    add_figure(&p, m->promise.average_precision);
    add_figure(&p, m->promise.frauds);
    return row_ask(
        s,
        "INSERT INTO monitor_quality_models (lane, version, name, label_delay_days, promised_precision, "
        "promised_frauds) VALUES ($1::int4, $2::int8, $3::text, $4::int8, $5::float8, $6::float8) ON "
        "CONFLICT DO NOTHING",
        &p, NULL, why);
}

enum err judged_model_list(struct pg_session *s, int32_t lane, struct judged_model **out, size_t *count,
                           struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i32(&p, lane);
    err = row_ask(
        s,
        "SELECT " MODEL_COLUMNS " FROM monitor_quality_models m JOIN LATERAL (SELECT max(day) AS newest FROM "
        "monitor_quality q WHERE q.lane = m.lane AND q.version = m.version) q ON q.newest IS NOT NULL WHERE "
        "$1::int4 IN (-1, m.lane) ORDER BY q.newest DESC, m.version DESC, m.lane",
        &p, &r, why);
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct judged_model, *count + 1);
        for (size_t i = 0; i < *count; i++)
            (*out)[i] = model_of_row(r, i, arena);
    }
    pg_result_free(r);
    return err;
}

/* ---- days ---- */

enum err judged_day_read(struct pg_session *s, int32_t lane, int64_t version, int64_t day,
                         struct quality_day *out, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = (struct quality_day){ 0 };
    add_key(&p, lane, version);
    pg_add_time_us(&p, day * DAY_US);
    err = row_ask(s,
                  "SELECT counts FROM monitor_quality WHERE lane = $1::int4 AND version = $2::int8 AND day = "
                  "$3::timestamptz",
                  &p, &r, why);
    if (!err && pg_rows(r))
        err = quality_day_open(out, pg_get_bytes(r, 0, 0), why);
    pg_result_free(r);
    return err;
}

enum err judged_day_write(struct pg_session *s, int32_t lane, int64_t version, int64_t day,
                          const struct quality_day *counts, struct why *why)
{
    struct pg_params p = { 0 };
    struct buf packed;
    enum err err;

    buf_init(&packed, 0);
    quality_day_pack(counts, &packed);
    add_key(&p, lane, version);
    pg_add_time_us(&p, day * DAY_US);
    pg_add_bytes(&p, buf_slice(&packed));
    err = row_ask(s,
                  "INSERT INTO monitor_quality (lane, version, day, counts) VALUES ($1::int4, $2::int8, "
                  "$3::timestamptz, $4::bytea) ON CONFLICT (lane, version, day) DO UPDATE SET counts = "
                  "EXCLUDED.counts",
                  &p, NULL, why);
    buf_release(&packed);
    return err;
}

enum err judged_day_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, lane);
    pg_add_time_us(&p, before_us);
    return row_ask(s,
                   "WITH looked AS (DELETE FROM monitor_cards WHERE lane = $1::int4 AND day < "
                   "$2::timestamptz) DELETE FROM monitor_quality WHERE lane = $1::int4 AND day < "
                   "$2::timestamptz",
                   &p, NULL, why);
}

static enum err ask_days(struct pg_session *s, const struct judged_model *m, int64_t from_day,
                         int64_t until_day, struct pg_result **r, struct why *why)
{
    struct pg_params p = { 0 };

    add_key(&p, m->lane, m->version);
    pg_add_time_us(&p, from_day * DAY_US);
    pg_add_time_us(&p, until_day * DAY_US);
    return row_ask(s,
                   "SELECT q.day, q.counts, c.k, c.customers, c.found FROM monitor_quality q LEFT JOIN "
                   "monitor_cards c ON c.lane = q.lane AND c.version = q.version AND c.day = q.day WHERE "
                   "q.lane = $1::int4 AND q.version = $2::int8 AND q.day >= $3::timestamptz AND q.day < "
                   "$4::timestamptz ORDER BY q.day",
                   &p, r, why);
}

enum err judged_days(struct pg_session *s, const struct judged_model *model, int64_t from_day,
                     int64_t until_day, struct quality_day **out, size_t *count, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = ask_days(s, model, from_day, until_day, &r, why);

    *count = err ? 0 : pg_rows(r);
    *out = mem_new_n(struct quality_day, *count + 1);
    for (size_t i = 0; i < *count && !err; i++)
        err = quality_day_open(&(*out)[i], pg_get_bytes(r, i, 1), why);
    pg_result_free(r);
    if (err) {
        mem_free(*out);
        *out = NULL;
    }
    return err;
}

enum err quality_today(struct pg_session *s, int32_t lane, int64_t *day, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, lane);
    err = row_ask(s, "SELECT max(hour) FROM monitor_health WHERE lane = $1::int4", &p, &r, why);
    if (!err && pg_is_null(r, 0, 0))
        err = err_set(why, ERR_NOT_FOUND, "nothing was seen in lane %d", (int)lane);
    else if (!err)
        *day = quality_day_of(pg_get_time_us(r, 0, 0));
    pg_result_free(r);
    return err;
}

/* ---- the report ---- */

/* Days as they are read, with what is summed over them. */
struct reading {
    struct quality_day *days; /* [count] */
    struct quality_cohort *cohorts;
    struct quality_day *whole, *recent, *coming;
    size_t count;
};

static enum err open_days(struct reading *in, const struct pg_result *r, struct arena *arena, struct why *why)
{
    enum err err = ERR_OK;

    in->count = pg_rows(r);
    in->days = mem_new_n(struct quality_day, in->count + 3);
    in->whole = &in->days[in->count];
    in->recent = &in->days[in->count + 1];
    in->coming = &in->days[in->count + 2];
    in->cohorts = arena_new(arena, struct quality_cohort, in->count + 1);
    for (size_t i = 0; i < in->count && !err; i++) {
        err = quality_day_open(&in->days[i], pg_get_bytes(r, i, 1), why);
        in->cohorts[i] = (struct quality_cohort){ quality_day_of(pg_get_time_us(r, i, 0)), &in->days[i] };
    }
    return err;
}

static struct quality_report_cards read_cards(const struct pg_result *r, size_t row)
{
    enum { K = 2, CUSTOMERS, FOUND };

    if (pg_is_null(r, row, K))
        return (struct quality_report_cards){ 0 };
    return (struct quality_report_cards){ pg_get_int(r, row, K), pg_get_int(r, row, CUSTOMERS),
                                          pg_get_int(r, row, FOUND) };
}

static unsigned horizon_of(const struct judged_model *m)
{
    return (unsigned)(m->label_delay_days < QUALITY_DELAYS - 2 ? m->label_delay_days : QUALITY_DELAYS - 2);
}

static struct quality_report_day report_day(const struct quality_report *r, const struct quality_cohort *c)
{
    struct quality_report_day d = { .day = c->day,
                                    .is_matured = r->until_day - c->day > r->model.label_delay_days,
                                    .decisions = quality_day_rows(c->counts),
                                    .unscored = c->counts->unscored[0],
                                    .frauds = quality_day_frauds(c->counts),
                                    .known = quality_known(&r->maturity, c->day, r->until_day),
                                    .rate = quality_rate(&r->maturity, c, r->until_day) };

    quality_realised(&d.realised, c->counts, ACTION_CHALLENGE);
    quality_estimated(&d.estimated, c->counts, ACTION_CHALLENGE);
    return d;
}

static void sum_up(struct quality_report *r, struct reading *in)
{
    for (size_t i = 0; i < r->count; i++)
        r->matured += r->days[i].is_matured;
    for (size_t i = 0; i < r->count; i++) {
        const struct quality_report_day *d = &r->days[i];

        if (!d->is_matured) {
            if (d->day < r->until_day)
                quality_day_merge(in->coming, &in->days[i]);
            continue;
        }
        quality_track_add(&r->track, &d->estimated, &d->realised);
        quality_day_merge(in->whole, &in->days[i]);
        if (i + QUALITY_RECENT_DAYS >= r->matured)
            quality_day_merge(in->recent, &in->days[i]);
    }
    quality_realised(&r->whole, in->whole, ACTION_CHALLENGE);
    quality_realised(&r->recent, in->recent, ACTION_CHALLENGE);
    quality_calibration(&r->calibration, in->recent);
    quality_estimated(&r->coming, in->coming, ACTION_CHALLENGE);
}

enum err quality_report_read(struct pg_session *s, const struct judged_model *model, int64_t days,
                             struct quality_report *out, struct arena *arena, struct why *why)
{
    struct reading in = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = (struct quality_report){ .model = *model };
    err = quality_today(s, model->lane, &out->until_day, why);
    if (!err)
        err = ask_days(s, model, out->until_day - days + 1, out->until_day + 1, &r, why);
    if (!err)
        err = open_days(&in, r, arena, why);
    if (!err) {
        quality_maturity(&out->maturity, in.cohorts, in.count, out->until_day, horizon_of(model));
        out->count = in.count;
        out->days = arena_new(arena, struct quality_report_day, in.count + 1);
        for (size_t i = 0; i < in.count; i++)
            out->days[i] = report_day(out, &in.cohorts[i]);
        for (size_t i = 0; i < in.count; i++)
            out->days[i].cards = read_cards(r, i);
        sum_up(out, &in);
    }
    pg_result_free(r);
    mem_free(in.days);
    return err;
}

double quality_report_cards_precision(const struct quality_report_cards *c)
{
    return c->k && c->customers ? (double)c->found / (double)c->k : (double)NAN;
}

/* ---- JSON ---- */

static void write_figures(struct json_out *o, const char *key, const struct quality_figures *f)
{
    json_out_open(o, key);
    for (size_t i = 0; i < QUALITY_FIGURE_COUNT; i++)
        json_out_number(o, quality_figure_name((enum quality_figure)i), f->values[i]);
    json_out_number(o, "average_precision_low", f->ap_low);
    json_out_number(o, "average_precision_high", f->ap_high);
    json_out_int(o, "excluded", (int64_t)f->excluded);
    json_out_end(o);
}

static void write_cards(struct json_out *o, const struct quality_report_cards *c)
{
    if (!c->k) {
        json_out_null(o, "card_precision");
        return;
    }
    json_out_open(o, "card_precision");
    json_out_int(o, "k", c->k);
    json_out_int(o, "customers", c->customers);
    json_out_int(o, "found", c->found);
    json_out_number(o, "precision", quality_report_cards_precision(c));
    json_out_end(o);
}

static void write_day(struct json_out *o, const struct quality_report_day *d)
{
    json_out_open(o, NULL);
    json_out_time(o, "day", d->day * DAY_US);
    json_out_bool(o, "is_matured", d->is_matured);
    json_out_int(o, "decisions", (int64_t)d->decisions);
    json_out_int(o, "unscored", (int64_t)d->unscored);
    json_out_int(o, "known_frauds", (int64_t)d->frauds);
    json_out_number(o, "known_share", d->known);
    json_out_open(o, "fraud_rate");
    json_out_number(o, "known", d->rate.known);
    json_out_number(o, "corrected", d->rate.corrected);
    json_out_number(o, "low", d->rate.interval.low);
    json_out_number(o, "high", d->rate.interval.high);
    json_out_end(o);
    if (d->is_matured)
        write_figures(o, "realised", &d->realised);
    else
        json_out_null(o, "realised");
    write_figures(o, "estimated", &d->estimated);
    write_cards(o, &d->cards);
    json_out_end(o);
}

static void write_maturity(struct json_out *o, const struct quality_report *r)
{
    json_out_open(o, "maturity");
    json_out_int(o, "frauds", (int64_t)r->maturity.frauds);
    if (isnan(r->maturity.share[0]))
        json_out_null(o, "matured_after_days");
    else
        json_out_int(o, "matured_after_days", quality_matured_after(&r->maturity, 0.95));
    json_out_list(o, "known_after_days");
    for (size_t d = 0; d <= r->maturity.horizon && !isnan(r->maturity.share[0]); d++)
        json_out_number(o, NULL, r->maturity.share[d]);
    json_out_end(o);
    json_out_end(o);
}

static void write_track(struct json_out *o, const struct quality_report *r)
{
    json_out_open(o, "estimate_error");
    for (size_t i = 0; i < QUALITY_FIGURE_COUNT; i++) {
        json_out_open(o, quality_figure_name((enum quality_figure)i));
        json_out_int(o, "days", (int64_t)r->track.days[i]);
        json_out_number(o, "bias", quality_track_bias(&r->track, (enum quality_figure)i));
        json_out_number(o, "error", quality_track_error(&r->track, (enum quality_figure)i));
        json_out_end(o);
    }
    json_out_end(o);
}

static void write_calibration(struct json_out *o, const struct quality_calibration *c)
{
    json_out_open(o, "calibration");
    json_out_number(o, "expected", c->expected);
    json_out_number(o, "happened", c->happened);
    json_out_number(o, "ratio", c->ratio);
    json_out_number(o, "ece", c->ece);
    json_out_number(o, "z", c->z);
    json_out_number(o, "p", c->p);
    json_out_number(o, "chi2", c->chi2);
    json_out_number(o, "p_shape", c->p_shape);
    json_out_list(o, "groups");
    for (size_t i = 0; i < c->group_count; i++) {
        json_out_open(o, NULL);
        json_out_number(o, "rows", c->groups[i].rows);
        json_out_number(o, "expected", c->groups[i].expected);
        json_out_number(o, "happened", c->groups[i].happened);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
}

void quality_report_write(struct json_out *o, const char *key, const struct quality_report *r)
{
    json_out_open(o, key);
    json_out_int(o, "lane", r->model.lane);
    json_out_text(o, "name", r->model.name);
    json_out_int(o, "version", r->model.version);
    json_out_int(o, "label_delay_days", r->model.label_delay_days);
    json_out_number(o, "promised_average_precision", r->model.promise.average_precision);
    json_out_time(o, "today", r->until_day * DAY_US);
    write_maturity(o, r);
    json_out_int(o, "matured_days", (int64_t)r->matured);
    write_figures(o, "realised", &r->whole);
    write_figures(o, "recent", &r->recent);
    write_figures(o, "coming", &r->coming);
    write_track(o, r);
    write_calibration(o, &r->calibration);
    json_out_list(o, "days");
    for (size_t i = 0; i < r->count; i++)
        write_day(o, &r->days[i]);
    json_out_end(o);
    json_out_end(o);
}
