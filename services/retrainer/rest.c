/* SPDX-License-Identifier: Apache-2.0 */
#include "rest.h"

#include <inttypes.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "comparison.h"
#include "desk/desk.h"
#include "json/json.h"
#include "json/members.h"
#include "lifestore/due.h"
#include "lifestore/recipe.h"
#include "lifestore/row.h"
#include "lifestore/run.h"
#include "lifestore/schedule.h"
#include "lifestore/trial.h"
#include "modelstore/keys.h"
#include "modelstore/modelstore.h"
#include "policystore/slice_report.h"
#include "registry.h"
#include "retrainer.h"
#include "stages.h"

static const struct office *office_of(const struct call *c)
{
    return c->ctx;
}

/* ---- reading ---- */

static enum err read_id(const struct call *c, int64_t *id, struct why *why)
{
    if (slice_to_i64(c->id, id) && *id > 0)
        return ERR_OK;
    return err_set(why, ERR_NOT_FOUND, "no such number");
}

/* As the trainer will. */
static enum err check_settings(struct call *c, struct slice settings, struct why *why)
{
    struct recipe recipe;
    struct catalogue catalogue;
    enum err err = recipe_read(&recipe, settings, &c->arena, why);

    if (!err && recipe.catalogue.len && catalogue_parse(&catalogue, recipe.catalogue, &c->arena, why))
        err = ERR_INVALID; /* the body itself could be read */
    return err;
}

/* ---- runs ---- */

static enum err show_run(struct call *c, struct pg_session *s, int64_t id, struct why *why)
{
    struct run run;
    struct json_out o = json_out_to(&c->out);
    enum err err = run_read(s, id, &run, &c->arena, why);

    if (!err)
        run_write(&o, NULL, &run);
    return err;
}

static enum err post_run(struct call *c, struct pg_session *s, struct why *why)
{
    enum { NAME, REASON, AS_OF, SETTINGS, COUNT };
    struct json_member m[COUNT] = { [NAME] = { "name", JSON_STRING, true, NULL },
                                    [REASON] = { "reason", JSON_STRING, false, NULL },
                                    [AS_OF] = { "as_of", JSON_STRING, false, NULL },
                                    [SETTINGS] = { "settings", JSON_OBJECT, false, NULL } };
    struct run_wish wish = { .cause = "request",
                             .requested_by = slice_str(c->actor),
                             .as_of_us = RUN_NO_TIME };
    json_t *body = NULL;
    int64_t run;
    bool is_new = false;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err && m[AS_OF].value && !rfc3339_parse(json_member_text(&m[AS_OF]), &wish.as_of_us))
        err = err_set(why, ERR_INVALID, "as_of is a time of RFC 3339");
    if (!err) {
        wish.name = json_member_text(&m[NAME]);
        wish.reason = json_member_text(&m[REASON]);
        wish.settings = json_member_json(&m[SETTINGS], &c->arena);
        err = check_settings(c, wish.settings, why);
    }
    if (!err) {
        err = run_request(s, &wish, &run, &is_new, why);
    }
    if (!err)
        err = show_run(c, s, run, why);
    c->status = is_new ? 202 : 200;
    json_decref(body);
    return err;
}

static enum err list_runs(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct run *runs;
    size_t count;
    enum err err = run_list(s, c->before, (size_t)c->limit, &runs, &count, &c->arena, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "runs");
    for (size_t i = 0; i < count; i++)
        run_write(&o, NULL, &runs[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

static enum err get_run(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t id;
    enum err err = read_id(c, &id, why);

    return err ? err : show_run(c, s, id, why);
}

static enum err cancel_run(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t id;
    enum err err = read_id(c, &id, why);

    if (!err)
        err = run_cancel(s, id, slice_str(c->actor), why);
    return err ? err : show_run(c, s, id, why);
}

/* ---- schedules ---- */

static enum err list_schedules(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct schedule *all;
    size_t count;
    int64_t now_us;
    enum err err = schedule_list(s, &all, &count, &c->arena, why);

    if (!err)
        err = retrainer_now(office_of(c)->conf, s, &now_us, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "schedules");
    for (size_t i = 0; i < count; i++)
        schedule_write(&o, NULL, &all[i], due_of(&all[i], now_us));
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

static enum err put_schedule(struct call *c, struct pg_session *s, struct why *why)
{
    enum { CRON, ZONE, SETTINGS, ENABLED, COUNT };
    struct json_member m[COUNT] = { [CRON] = { "cron", JSON_STRING, true, NULL },
                                    [ZONE] = { "zone", JSON_STRING, false, NULL },
                                    [SETTINGS] = { "settings", JSON_OBJECT, false, NULL },
                                    [ENABLED] = { "is_enabled", JSON_TRUE, false, NULL } };
    struct schedule put = { .name = c->id };
    struct due *due = NULL;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err) {
        put.cron = json_member_text(&m[CRON]);
        put.zone = m[ZONE].value ? json_member_text(&m[ZONE]) : SLICE("UTC");
        put.settings = json_member_json(&m[SETTINGS], &c->arena);
        put.is_enabled = !m[ENABLED].value || json_is_true(m[ENABLED].value);
        err = due_open(&due, put.cron, put.zone, why);
        if (err)
            err = ERR_INVALID; /* the body itself could be read */
        due_close(due);
    }
    if (!err)
        err = check_settings(c, put.settings, why);
    if (!err)
        err = schedule_put(s, &put, slice_str(c->actor), why);
    json_decref(body);
    return err ? err : list_schedules(c, s, why);
}

static enum err delete_schedule(struct call *c, struct pg_session *s, struct why *why)
{
    c->status = 204;
    return schedule_remove(s, c->id, slice_str(c->actor), why);
}

/* ---- experiments ---- */

static enum err list_experiments(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct trial *all;
    size_t count;
    enum err err = trial_list(s, false, (size_t)c->limit, &all, &count, &c->arena, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "experiments");
    for (size_t i = 0; i < count; i++)
        trial_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

static enum err show_experiment(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct trial trial;
    struct verdict_row *verdicts;
    size_t count;
    int64_t id;
    enum err err = read_id(c, &id, why);

    if (!err)
        err = trial_read(s, id, &trial, &c->arena, why);
    if (!err)
        err = verdict_list(s, 0, id, &verdicts, &count, &c->arena, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    trial_write(&o, "experiment", &trial);
    json_out_list(&o, "verdicts");
    for (size_t i = 0; i < count; i++)
        verdict_row_write(&o, NULL, &verdicts[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

static enum err stop_experiment(struct call *c, struct pg_session *s, struct why *why)
{
    int64_t id, now_us;
    enum err err = read_id(c, &id, why);

    if (!err)
        err = retrainer_now(office_of(c)->conf, s, &now_us, why);
    if (!err)
        err = trial_stop(s, id, slice_str(c->actor), now_us, why);
    return err ? err : show_experiment(c, s, why);
}

/* ---- models ---- */

/* What requests may say in their query: rest_queries names them in this order. */
enum { QUERY_NAME, QUERY_CHAMPION, QUERY_CHALLENGER, QUERY_DAYS, QUERY_MATURE_DAYS };
const char *const rest_queries[] = {
    [QUERY_NAME] = "name", [QUERY_CHAMPION] = "champion",       [QUERY_CHALLENGER] = "challenger",
    [QUERY_DAYS] = "days", [QUERY_MATURE_DAYS] = "mature_days", NULL
};
enum { DAYS_MOST = 3650, DAYS_USUAL = 30 };

static enum err list_models(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);

    return registry_list(&o, s, c->query[QUERY_NAME], c->before, c->limit, why);
}

static enum err show_model(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    int64_t version;
    enum err err = read_id(c, &version, why);

    return err ? err : registry_show(&o, s, c->name, version, &c->arena, why);
}

static enum err read_days(const struct call *c, int query, double usual, double *days, struct why *why)
{
    struct slice text = c->query[query];
    int64_t whole;

    *days = usual;
    if (!text.ptr)
        return ERR_OK;
    if (!slice_to_i64(text, &whole) || whole < 0 || whole > DAYS_MOST)
        return err_set(why, ERR_SYNTAX, "%s is a number from 0 to %d", rest_queries[query], DAYS_MOST);
    *days = (double)whole;
    return ERR_OK;
}

/* The last `days` whose labels have come by now: older than `mature_days`, else than the stages say. */
struct span {
    int64_t now_us, from_us, until_us;
    struct stages stages;
};

static enum err read_span(const struct call *c, struct pg_session *s, struct span *out, struct why *why)
{
    const struct retrainer_settings *conf = office_of(c)->conf;
    double days, mature;
    enum err err = stages_read(&out->stages, conf->stages, why);

    if (err)
        return ERR_INTERNAL;
    err = read_days(c, QUERY_DAYS, DAYS_USUAL, &days, why);
    if (!err)
        err = read_days(c, QUERY_MATURE_DAYS, out->stages.label_delay_days, &mature, why);
    if (!err)
        err = retrainer_now(conf, s, &out->now_us, why);
    if (err)
        return err;
    /* What was decided in this very microsecond counts too when labels take no time. */
    out->until_us = out->now_us - (int64_t)(mature * (double)DAY_US) + 1;
    out->from_us = out->until_us - (int64_t)(days * (double)DAY_US);
    return ERR_OK;
}

static enum err check_name(struct pg_session *s, struct slice name, int64_t version, struct why *why)
{
    struct model_info info;
    enum err err = model_find(s, version, &info, why);

    if (!err && !slice_eq_str(name, info.name))
        err = err_set(why, ERR_NOT_FOUND, "%.*s has no model %" PRId64, SLICE_ARG(name), version);
    return err;
}

/* The version that the query names, else the one that the first alias with a version points to. */
static enum err find_side(const struct call *c, struct pg_session *s, int query, const char *const *aliases,
                          int64_t *version, struct why *why)
{
    enum err err = ERR_OK;

    *version = MODEL_NONE;
    if (c->query[query].ptr) {
        if (!slice_to_i64(c->query[query], version) || *version < 1)
            return err_set(why, ERR_SYNTAX, "%s is the number of a version", rest_queries[query]);
        return check_name(s, c->id, *version, why);
    }
    for (; *aliases && !err && *version == MODEL_NONE; aliases++)
        err = model_find_alias(s, c->id, *aliases, version, why);
    if (!err && *version == MODEL_NONE)
        err = err_set(why, ERR_NOT_FOUND, "%.*s has no %s now; say which version", SLICE_ARG(c->id),
                      rest_queries[query]);
    return err;
}

static enum err compare_models(struct call *c, struct pg_session *s, struct why *why)
{
    static const char *const champion[] = { "champion", NULL };
    static const char *const challenger[] = { "challenger", "shadow", "previous_champion", NULL };
    struct json_out o = json_out_to(&c->out);
    struct comparison_query q = { 0 };
    struct span span;
    enum err err = read_span(c, s, &span, why);

    if (!err)
        err = find_side(c, s, QUERY_CHAMPION, champion, &q.versions[0], why);
    if (!err)
        err = find_side(c, s, QUERY_CHALLENGER, challenger, &q.versions[1], why);
    if (err)
        return err;
    q.from_us = span.from_us;
    q.until_us = span.until_us;
    q.now_us = span.now_us;
    q.decline_cost = span.stages.ab.costs.decline_cost;
    json_out_open(&o, NULL);
    json_out_text(&o, "name", c->id);
    err = comparison_write(&o, s, &q, why);
    json_out_end(&o);
    return err;
}

/* ---- the control slice ---- */

enum { SLICE_ROUNDS = 200, SLICE_ROWS = 200000 };
#define SLICE_STEPS "0.05,0.1,0.2,0.3,0.5,0.7,0.9"

static enum err write_caps(struct json_out *o, struct pg_session *s, struct why *why)
{
    static const char *const names[] = { "share",         "amount_most_minor",
                                         "card_per_day",  "merchant_per_day",
                                         "count_per_day", "amount_per_day_minor" };
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s,
                "SELECT coalesce(a.name, ''), c.share, c.amount_most, c.card_per_day, "
                "c.merchant_per_day, c.count_per_day, c.amount_per_day, coalesce((SELECT u.count "
                "FROM control_slice_used u WHERE u.account = c.account AND u.kind = 'all' ORDER BY "
                "u.day DESC LIMIT 1), 0)::int8 FROM control_slices c LEFT JOIN accounts a USING "
                "(account) ORDER BY c.account LIMIT 1000",
                NULL, &r, why);

    if (err)
        return err;
    json_out_list(o, "slices");
    for (size_t i = 0; i < pg_rows(r); i++) {
        json_out_open(o, NULL);
        json_out_text(o, "account", pg_get_text(r, i, 0));
        json_out_number(o, names[0], pg_get_float(r, i, 1));
        for (size_t k = 1; k < ARRAY_LEN(names); k++)
            json_out_int(o, names[k], pg_get_int(r, i, (int)k + 1));
        json_out_int(o, "newest_day_count", pg_get_int(r, i, 7));
        json_out_end(o);
    }
    json_out_end(o);
    pg_result_free(r);
    return ERR_OK;
}

/* So that no more than SLICE_ROWS decisions are weighed: when the oldest of the newest of them was made. */
static enum err shorten(struct pg_session *s, struct span *span, bool *is_cut, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_time_us(&p, span->from_us);
    pg_add_time_us(&p, span->until_us);
    pg_add_i64(&p, SLICE_ROWS);
    err = row_ask(s,
                  "SELECT known_at FROM decisions WHERE known_at >= $1::timestamptz AND known_at < "
                  "$2::timestamptz ORDER BY known_at DESC OFFSET $3::int8 LIMIT 1",
                  &p, &r, why);
    *is_cut = !err && pg_rows(r) == 1;
    if (*is_cut)
        span->from_us = pg_get_time_us(r, 0, 0) + 1;
    pg_result_free(r);
    return err;
}

static enum err show_slice(struct call *c, struct pg_session *s, struct why *why)
{
    struct slice_report *r = mem_new(struct slice_report);
    struct json_out o = json_out_to(&c->out);
    struct outcomes_query query = { 0 };
    struct span span;
    bool is_cut = false;
    enum err err = read_span(c, s, &span, why);

    if (!err)
        err = shorten(s, &span, &is_cut, why);
    json_out_open(&o, NULL);
    if (!err)
        err = write_caps(&o, s, why);
    if (!err) {
        query.from_us = span.from_us;
        query.to_us = span.until_us;
        query.as_of_us = span.now_us;
        query.model = c->query[QUERY_CHAMPION];
        slice_thresholds_read(r, SLICE(SLICE_STEPS));
        err = slice_report_read(r, s, &query, SLICE_ROUNDS, why);
    }
    if (err == ERR_NOT_FOUND) { /* nothing to tell is no fault */
        json_out_null(&o, "report");
        err = ERR_OK;
    } else if (!err) {
        json_out_open(&o, "report");
        slice_report_write(&o, r, &query);
        json_out_end(&o);
    }
    json_out_bool(&o, "is_cut", is_cut);
    json_out_end(&o);
    slice_report_release(r);
    mem_free(r);
    return err;
}

/* ---- changes ---- */

static enum err answer_version(struct call *c, int64_t version)
{
    struct json_out o = json_out_to(&c->out);

    json_out_open(&o, NULL);
    json_out_text(&o, "name", c->id);
    json_out_int(&o, "champion", version);
    json_out_end(&o);
    return ERR_OK;
}

static enum err promote(struct call *c, struct pg_session *s, struct why *why)
{
    enum { VERSION, EXPECTED, REASON, COUNT };
    struct json_member m[COUNT] = { [VERSION] = { "version", JSON_INTEGER, true, NULL },
                                    [EXPECTED] = { "expected", JSON_INTEGER, false, NULL },
                                    [REASON] = { "reason", JSON_STRING, false, NULL } };
    const struct trusted_keys *keys = NULL;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);
    int64_t version = json_integer_value(m[VERSION].value), now_us = 0;

    if (!err)
        err = check_name(s, c->id, version, why);
    if (!err)
        err = retrainer_now(office_of(c)->conf, s, &now_us, why);
    /* Whom to trust may have changed since the last time. */
    if (!err && model_keys_read(&keys, office_of(c)->conf->model_keys, &c->arena, why))
        err = ERR_INTERNAL;
    if (!err)
        err = model_promote(s, version, m[EXPECTED].value ? json_integer_value(m[EXPECTED].value) : MODEL_ANY,
                            &(struct model_change){ .actor = slice_str(c->actor),
                                                    .reason = json_member_text(&m[REASON]),
                                                    .now_us = now_us,
                                                    .keys = keys },
                            why);
    json_decref(body);
    return err ? err : answer_version(c, version);
}

static enum err roll_back(struct call *c, struct pg_session *s, struct why *why)
{
    enum { EXPECTED, REASON, COUNT };
    struct json_member m[COUNT] = { [EXPECTED] = { "expected", JSON_INTEGER, false, NULL },
                                    [REASON] = { "reason", JSON_STRING, false, NULL } };
    json_t *body = NULL;
    int64_t version = 0, now_us = 0;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = retrainer_now(office_of(c)->conf, s, &now_us, why);
    if (!err)
        err = model_roll_back(s, c->id, m[EXPECTED].value ? json_integer_value(m[EXPECTED].value) : MODEL_ANY,
                              &(struct model_change){ .actor = slice_str(c->actor),
                                                      .reason = json_member_text(&m[REASON]),
                                                      .now_us = now_us },
                              &version, NULL, why);
    json_decref(body);
    return err ? err : answer_version(c, version);
}

/* ---- the table ---- */

#define ROUTES(X)                                                                                            \
    X("POST", "/v1/retraining-runs", post_run)                                                               \
    X("GET", "/v1/retraining-runs", list_runs)                                                               \
    X("GET", "/v1/retraining-runs/{id}", get_run)                                                            \
    X("POST", "/v1/retraining-runs/{id}:cancel", cancel_run)                                                 \
    X("GET", "/v1/retraining-schedules", list_schedules)                                                     \
    X("PUT", "/v1/retraining-schedules/{id}", put_schedule)                                                  \
    X("DELETE", "/v1/retraining-schedules/{id}", delete_schedule)                                            \
    X("GET", "/v1/experiments", list_experiments)                                                            \
    X("GET", "/v1/experiments/{id}", show_experiment)                                                        \
    X("POST", "/v1/experiments/{id}:stop", stop_experiment)                                                  \
    X("GET", "/v1/models", list_models)                                                                      \
    X("GET", "/v1/models/{name}/versions/{id}", show_model)                                                  \
    X("GET", "/v1/models/{id}:compare", compare_models)                                                      \
    X("GET", "/v1/control-slice", show_slice)                                                                \
    X("POST", "/v1/models/{id}:promote", promote)                                                            \
    X("POST", "/v1/models/{id}:rollback", roll_back)

#define ROUTE_HANDLER(method, path, answer)                                                                  \
    static void on_##answer(void *service, struct http_request *req)                                         \
    {                                                                                                        \
        desk_ask(service, req, answer);                                                                      \
    }
ROUTES(ROUTE_HANDLER)
#undef ROUTE_HANDLER

const struct http_route rest_routes[] = {
#define ROUTE_ROW(method, path, answer) { method, path, on_##answer, 0 },
    ROUTES(ROUTE_ROW)
#undef ROUTE_ROW
};
const size_t rest_route_count = ARRAY_LEN(rest_routes);
