/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include "base/array.h"
#include "base/clock.h"
#include "desk/desk.h"
#include "lifestore/row.h"
#include "monitorstore/condition.h"
#include "monitorstore/health.h"

enum { QUERY_LANE, QUERY_HOURS, QUERY_RAISED, QUERY_AFTER, QUERY_COUNT };
const char *const monitor_queries[] = {
    [QUERY_LANE] = "lane",   [QUERY_HOURS] = "hours", [QUERY_RAISED] = "raised",
    [QUERY_AFTER] = "after", [QUERY_COUNT] = NULL,
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
    json_out_end(&o);
    return ERR_OK;
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

/* ---- the table ---- */

#define ROUTES(X)                                                                                            \
    X("GET", "/v1/data-health", get_data_health)                                                             \
    X("GET", "/v1/conditions", get_conditions)

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
