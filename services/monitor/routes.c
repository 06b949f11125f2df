/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include "alert_rest.h"
#include "base/array.h"
#include "base/clock.h"
#include "desk/desk.h"
#include "lifestore/row.h"
#include "monitor.h"
#include "monitorstore/condition.h"
#include "monitorstore/health.h"
#include "monitorstore/quality.h"
#include "monitorstore/span.h"
#include "monitorstore/verdicts.h"
#include "monitorstore/windows.h"

const char *const monitor_queries[] = {
    [QUERY_LANE] = "lane",   [QUERY_HOURS] = "hours",       [QUERY_RAISED] = "raised",
    [QUERY_AFTER] = "after", [QUERY_VERSION] = "version",   [QUERY_KIND] = "kind",
    [QUERY_STATE] = "state", [QUERY_SEVERITY] = "severity", [QUERY_DAYS] = "days",
    [QUERY_FIELD] = "field", [QUERY_COUNT] = NULL,
};
static_assert((int)QUERY_COUNT <= (int)DESK_QUERY_MAX, "the desk keeps all of them");

enum { HOURS_DEFAULT = 24, HOURS_MAX = 24 * 400 };

/* ---- reading ---- */

static enum err read_number(const struct call *c, int query, const char *name, int64_t fallback,
                            int64_t least, int64_t most, int64_t *out, struct why *why)
{
    struct slice text = c->query[query];

    *out = fallback;
    if (!text.ptr || (slice_to_i64(text, out) && *out >= least && *out <= most))
        return ERR_OK;
    return err_set(why, ERR_INVALID, "%s is a number from %lld to %lld", name, (long long)least,
                   (long long)most);
}

/* ---- the state of the data ---- */

/* The newest hour of a lane, which is its "now". */
static enum err newest_hour(struct pg_session *s, int32_t lane, int64_t *hour_us, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, lane);
    err = row_ask(s, "SELECT max(hour) FROM monitor_health WHERE lane = $1::int4", &p, &r, why);
    if (!err && pg_is_null(r, 0, 0))
        err = err_set(why, ERR_NOT_FOUND, "nothing was seen in lane %d", (int)lane);
    else if (!err)
        *hour_us = pg_get_time_us(r, 0, 0);
    pg_result_free(r);
    return err;
}

/* Whether served vectors are those that the log gives, the newest samples first (verifier.h). */
static enum err write_checks(struct json_out *o, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s,
                           "SELECT at, recomputed, mismatched, seconds FROM monitor_checks ORDER BY at DESC "
                           "LIMIT 20",
                           NULL, &r, why);

    json_out_list(o, "checks");
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        json_out_open(o, NULL);
        json_out_time(o, "at", pg_get_time_us(r, i, 0));
        json_out_int(o, "recomputed", pg_get_int(r, i, 1));
        json_out_int(o, "mismatched", pg_get_int(r, i, 2));
        json_out_number(o, "seconds", pg_get_float(r, i, 3));
        json_out_end(o);
    }
    json_out_end(o);
    pg_result_free(r);
    return err;
}

static enum err get_data_health(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct health_hour *hours, sum;
    int64_t lane, back, newest;
    size_t count;
    enum err err = read_number(c, QUERY_LANE, "lane", 0, 0, INT32_MAX, &lane, why);

    if (!err)
        err = read_number(c, QUERY_HOURS, "hours", HOURS_DEFAULT, 1, HOURS_MAX, &back, why);
    if (!err)
        err = newest_hour(s, (int32_t)lane, &newest, why);
    if (!err)
        err = health_read(s, (int32_t)lane, newest - (back - 1) * HOUR_US, newest + HOUR_US, &hours, &count,
                          &c->arena, why);
    if (err)
        return err;
    sum = health_sum(hours, count);
    json_out_open(&o, NULL);
    json_out_int(&o, "lane", lane);
    health_write(&o, "sum", &sum);
    json_out_list(&o, "hours");
    for (size_t i = 0; i < count; i++)
        health_write(&o, NULL, &hours[i]);
    json_out_end(&o);
    err = write_checks(&o, s, why);
    json_out_end(&o);
    return err;
}

/* ---- conditions ---- */

static enum err get_conditions(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct condition *all;
    int64_t after;
    size_t count;
    bool is_raised = slice_eq_str(c->query[QUERY_RAISED], "true");
    enum err err = read_number(c, QUERY_AFTER, "after", 0, 0, INT64_MAX, &after, why);

    if (!err)
        err = condition_list(s, after, is_raised, (size_t)c->limit, &all, &count, &c->arena, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "conditions");
    for (size_t i = 0; i < count; i++)
        condition_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

/* ---- drift ---- */

static void write_model(struct json_out *o, const struct watched_model *m)
{
    json_out_int(o, "version", m->version);
    json_out_text(o, "name", m->name);
    json_out_bool(o, "has_histograms", m->has_histograms);
    json_out_int(o, "open_window", m->number);
    json_out_time(o, "first_at", m->first_us);
    json_out_time(o, "last_at", m->last_us);
}

static void write_found(struct json_out *o, const char *key, const struct found *all, size_t count)
{
    json_out_list(o, key);
    for (size_t i = 0; i < count; i++)
        found_write(o, NULL, &all[i]);
    json_out_end(o);
}

/* Of the newest judged window, or of so many hours. */
static enum err read_subjects(struct call *c, struct pg_session *s, const struct watched_model *m,
                              int64_t hours, struct found **all, size_t *count, struct why *why)
{
    if (!hours)
        return found_newest(s, m->lane, m->version, all, count, &c->arena, why);
    return span_judge(s, m->lane, m->version, hours, monitor_judging(c->ctx), all, count, &c->arena, why);
}

static void write_judging(struct json_out *o, const struct drift_settings *settings)
{
    json_out_open(o, "judging");
    json_out_number(o, "alpha", settings->alpha);
    json_out_number(o, "js", settings->js_least);
    json_out_number(o, "missing", settings->missing_least);
    json_out_number(o, "unseen", settings->unseen_least);
    json_out_int(o, "windows", settings->windows);
    json_out_end(o);
}

/* The live one, and those of accounts on a clock of their own. */
static enum err write_lanes(struct json_out *o, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s,
                "SELECT l.lane, l.name, EXISTS (SELECT FROM monitor_models m WHERE m.lane = l.lane) "
                "FROM (SELECT 0 AS lane, '' AS name UNION ALL SELECT account, name FROM accounts "
                "WHERE clock = 'simulated') l ORDER BY 1 LIMIT 1000",
                NULL, &r, why);

    json_out_list(o, "lanes");
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        json_out_open(o, NULL);
        json_out_int(o, "lane", pg_get_int(r, i, 0));
        json_out_text(o, "name", pg_get_text(r, i, 1));
        json_out_bool(o, "has_models", pg_get_bool(r, i, 2));
        json_out_end(o);
    }
    json_out_end(o);
    pg_result_free(r);
    return err;
}

/* Every version that is watched in the lane, or the one that was asked for. */
static enum err get_drift(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct watched_model *models;
    int64_t lane, version, hours;
    size_t count;
    enum err err = read_number(c, QUERY_LANE, "lane", 0, 0, INT32_MAX, &lane, why);

    if (!err)
        err = read_number(c, QUERY_VERSION, "version", 0, 1, INT64_MAX, &version, why);
    if (!err)
        err = read_number(c, QUERY_HOURS, "hours", 0, 1, SPAN_HOURS_MAX, &hours, why);
    if (!err)
        err = watched_model_list(s, (int32_t)lane, &models, &count, &c->arena, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_int(&o, "lane", lane);
    write_judging(&o, monitor_judging(c->ctx));
    err = write_lanes(&o, s, why);
    json_out_list(&o, "models");
    for (size_t i = 0; i < count && !err; i++) {
        struct found *all;
        size_t found_count;

        if (version && models[i].version != version)
            continue;
        err = read_subjects(c, s, &models[i], hours, &all, &found_count, why);
        if (err)
            break;
        json_out_open(&o, NULL);
        write_model(&o, &models[i]);
        write_found(&o, "subjects", all, found_count);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    return err;
}

/* The version that was asked for, else the one that decided last. */
static enum err choose_version(struct call *c, struct pg_session *s, int32_t lane, int64_t *version,
                               struct why *why)
{
    struct watched_model *models;
    size_t count;
    enum err err = read_number(c, QUERY_VERSION, "version", 0, 1, INT64_MAX, version, why);

    if (err || *version)
        return err;
    err = watched_model_list(s, lane, &models, &count, &c->arena, why);
    if (!err && !count)
        err = err_set(why, ERR_NOT_FOUND, "no model decides in lane %d", (int)lane);
    if (!err)
        *version = models[0].version;
    return err;
}

/* Of the newest window; null when it is not kept any more. */
static enum err write_bins(struct call *c, struct pg_session *s, struct json_out *o, const struct found *f,
                           struct why *why)
{
    struct span_bins bins;
    enum err err =
        span_bins_read(s, f->lane, f->version, f->number, f->kind, f->field, f->name, &bins, &c->arena, why);

    if (err == ERR_NOT_FOUND) {
        json_out_null(o, "histogram");
        return ERR_OK;
    }
    if (err)
        return err;
    json_out_open(o, "histogram");
    json_out_int(o, "window", bins.number);
    json_out_time(o, "at", bins.at_us);
    json_out_int(o, "reference_rows", (int64_t)bins.reference_rows);
    json_out_int(o, "rows", (int64_t)bins.rows);
    json_out_list(o, "bins");
    for (size_t i = 0; i < bins.count; i++) {
        json_out_open(o, NULL);
        json_out_text(o, "text", bins.bins[i].text);
        json_out_int(o, "reference", (int64_t)bins.bins[i].reference);
        json_out_int(o, "now", (int64_t)bins.bins[i].now);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
    return ERR_OK;
}

static enum err get_history(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct found *all;
    int64_t lane, version;
    size_t count;
    enum err err = read_number(c, QUERY_LANE, "lane", 0, 0, INT32_MAX, &lane, why);

    if (!err)
        err = choose_version(c, s, (int32_t)lane, &version, why);
    if (!err)
        err = found_history(s, (int32_t)lane, version, c->query[QUERY_KIND], c->query[QUERY_FIELD], c->id,
                            (size_t)c->limit, &all, &count, &c->arena, why);
    if (!err && !count)
        err = err_set(why, ERR_NOT_FOUND, "no window of version %lld was judged by that", (long long)version);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_int(&o, "lane", lane);
    json_out_int(&o, "version", version);
    write_found(&o, "windows", all, count);
    err = write_bins(c, s, &o, &all[0], why);
    json_out_end(&o);
    return err;
}

static enum err get_requests(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct asked *all;
    size_t count;
    enum err err = asked_list(s, (size_t)c->limit, &all, &count, &c->arena, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "requests");
    for (size_t i = 0; i < count; i++)
        asked_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

/* ---- quality ---- */

/* The version that was asked for, else the one that decided last. */
static enum err get_quality(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct judged_model *models;
    struct quality_report report;
    int64_t lane, version, days;
    size_t count, i = 0;
    enum err err = read_number(c, QUERY_LANE, "lane", 0, 0, INT32_MAX, &lane, why);

    if (!err)
        err = read_number(c, QUERY_VERSION, "version", 0, 1, INT64_MAX, &version, why);
    if (!err)
        err = read_number(c, QUERY_DAYS, "days", QUALITY_DAYS_DEFAULT, 1, QUALITY_DAYS_MAX, &days, why);
    if (!err)
        err = judged_model_list(s, (int32_t)lane, &models, &count, &c->arena, why);
    if (err)
        return err;
    while (i < count && version && models[i].version != version)
        i++;
    if (i == count)
        return err_set(why, ERR_NOT_FOUND, "no decisions of such a model were counted in lane %d", (int)lane);
    err = quality_report_read(s, &models[i], days, &report, &c->arena, why);
    if (!err)
        quality_report_write(&o, NULL, &report);
    return err;
}

/* ---- the table ---- */

#define ROUTES(X)                                                                                            \
    X("GET", "/v1/quality", get_quality)                                                                     \
    X("GET", "/v1/drift", get_drift)                                                                         \
    X("GET", "/v1/drift/{id}", get_history)                                                                  \
    X("GET", "/v1/model-requests", get_requests)                                                             \
    X("GET", "/v1/data-health", get_data_health)                                                             \
    X("GET", "/v1/conditions", get_conditions)                                                               \
    ALERT_ROUTES(X)

#define ROUTE_HANDLER(method, path, answer)                                                                  \
    static void on_##answer(void *service, struct http_request *req)                                         \
    {                                                                                                        \
        desk_ask(service, req, answer);                                                                      \
    }
ROUTES(ROUTE_HANDLER)
#undef ROUTE_HANDLER

const struct http_route monitor_routes[] = {
#define ROUTE_ROW(method, path, answer) { method, path, on_##answer, 0 },
    ROUTES(ROUTE_ROW)
#undef ROUTE_ROW
};
const size_t monitor_route_count = ARRAY_LEN(monitor_routes);
