/* SPDX-License-Identifier: Apache-2.0 */
#include "rest.h"

#include <inttypes.h>

#include "base/array.h"
#include "base/clock.h"
#include "desk/desk.h"
#include "json/json.h"
#include "json/members.h"
#include "lifestore/due.h"
#include "lifestore/recipe.h"
#include "lifestore/run.h"
#include "lifestore/schedule.h"
#include "lifestore/trial.h"
#include "modelstore/keys.h"
#include "modelstore/modelstore.h"
#include "retrainer.h"

static const struct office *office_of(const struct call *c)
{
    return c->ctx;
}

/* ---- reading ---- */

/* The member's JSON, in the call's arena; empty when it is not there. */
static struct slice json_of(struct call *c, const struct json_member *m)
{
    char *text = m->value ? json_dumps(m->value, JSON_COMPACT) : NULL;
    struct slice copy = { 0 };

    if (text)
        copy = slice_of(arena_strndup(&c->arena, text, strlen(text)), strlen(text));
    free(text);
    return copy;
}

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
        wish.settings = json_of(c, &m[SETTINGS]);
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
        put.settings = json_of(c, &m[SETTINGS]);
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

static enum err answer_version(struct call *c, int64_t version)
{
    struct json_out o = json_out_to(&c->out);

    json_out_open(&o, NULL);
    json_out_text(&o, "name", c->id);
    json_out_int(&o, "champion", version);
    json_out_end(&o);
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
