/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include "apikeys.h"
#include "base/array.h"
#include "casefile.h"
#include "caseflip.h"
#include "cases.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "graph.h"
#include "live.h"
#include "pages.h"
#include "people.h"
#include "places.h"
#include "settings.h"
#include "similar.h"
#include "replay.h"
#include "visitor.h"

enum { BODY_BYTES = 256 << 10 };

/* X(method, path, answer, roles): "any" who is logged in, "none" for everybody. */
#define ROUTES(X)                                                                                            \
    X("GET", "/v1/session", session_get, "any")                                                              \
    X("DELETE", "/v1/session", session_end, "any")                                                           \
    X("POST", "/v1/cases:next", cases_next, "analyst lead")                                                  \
    X("POST", "/v1/cases:decide", cases_decide, "analyst lead")                                              \
    X("POST", "/v1/cases/{id}:assign", case_assign, "analyst lead")                                          \
    X("POST", "/v1/cases/{id}:extend", case_extend, "analyst lead")                                          \
    X("POST", "/v1/cases/{id}:snooze", case_snooze, "analyst lead")                                          \
    X("POST", "/v1/cases/{id}:decide", case_decide, "analyst lead")                                          \
    X("POST", "/v1/cases/{id}:undo", case_undo, "analyst lead")                                              \
    X("POST", "/v1/cases/{id}/notes", case_note, "analyst lead")                                             \
    X("GET", "/v1/stream", live_get, "any")                                                                  \
    X("GET", "/v1/views", views_list, "analyst lead admin auditor")                                          \
    X("PUT", "/v1/views/{id}", view_put, "analyst lead admin auditor")                                       \
    X("DELETE", "/v1/views/{id}", view_delete, "analyst lead admin auditor")                                 \
    X("GET", "/v1/users", users_list, "admin auditor")                                                       \
    X("POST", "/v1/users/{id}:roles", users_roles, "admin")                                                  \
    X("POST", "/v1/users/{id}:disable", users_disable, "admin")                                              \
    X("POST", "/v1/users/{id}:enable", users_enable, "admin")                                                \
    X("GET", "/v1/settings", settings_get, "any")                                                            \
    X("GET", "/v1/keys", keys_list, "admin auditor")                                                         \
    X("POST", "/v1/keys", keys_add, "admin")                                                                 \
    X("POST", "/v1/keys/{id}:rotate", keys_rotate, "admin")                                                  \
    X("POST", "/v1/keys/{id}:revoke", keys_revoke, "admin")

/* Those that read much. */
#define READING_ROUTES(X)                                                                                    \
    X("GET", "/v1/cases", cases_list, "analyst lead admin auditor")                                          \
    X("POST", "/v1/cases:preview", cases_preview, "analyst lead")                                            \
    X("GET", "/v1/cases/{id}", case_get, "analyst lead admin auditor")                                       \
    X("GET", "/v1/cases/{id}/graph", case_graph, "analyst lead admin auditor")                               \
    X("GET", "/v1/cases/{id}/places", case_places, "analyst lead admin auditor")                             \
    X("GET", "/v1/cases/{id}/velocity", case_velocity, "analyst lead admin auditor")                         \
    X("GET", "/v1/cases/{id}/similar", case_similar, "analyst lead admin auditor")                           \
    X("GET", "/v1/overview", overview_get, "any")                                                            \
    X("GET", "/v1/audit", audit_get, "admin auditor")

/* Those that hash a password. */
#define HASHING_ROUTES(X)                                                                                    \
    X("POST", "/v1/session", session_begin, "none")                                                          \
    X("POST", "/v1/session/password", session_password, "any")                                               \
    X("POST", "/v1/users", users_add, "admin")                                                               \
    X("POST", "/v1/users/{id}:password", users_password, "admin")

/* What may take long: about past decisions, with models and rule sets that may have to be loaded first; and scores of a
 * month, the whole chain. */
#define PAST_ROUTES(X)                                                                                       \
    X("GET", "/v1/cases/{id}/flip", case_flip, "analyst lead admin auditor")                                 \
    X("GET", "/v1/cases/{id}/replay", case_replay, "analyst lead admin auditor")
#define SUM_ROUTES(X)                                                                                        \
    X("GET", "/v1/thresholds", thresholds_get, "lead rule_author publisher model_owner admin auditor")       \
    X("POST", "/v1/audit:verify", audit_post_verify, "admin auditor")

#define ALL_ROUTES(X) ROUTES(X) READING_ROUTES(X) HASHING_ROUTES(X) PAST_ROUTES(X) SUM_ROUTES(X)

#define ROUTE_HANDLER(method, path, answer, roles)                                                           \
    static void on_##answer(void *service, struct http_request *req)                                         \
    {                                                                                                        \
        dashboard_ask(service, req, roles, answer);                                                          \
    }
ROUTES(ROUTE_HANDLER)
#undef ROUTE_HANDLER
#define ROUTE_HANDLER(method, path, answer, roles)                                                           \
    static void on_##answer(void *service, struct http_request *req)                                         \
    {                                                                                                        \
        dashboard_ask_hashing(service, req, roles, answer);                                                  \
    }
HASHING_ROUTES(ROUTE_HANDLER)
#undef ROUTE_HANDLER
#define ROUTE_HANDLER(method, path, answer, roles)                                                           \
    static void on_##answer(void *service, struct http_request *req)                                         \
    {                                                                                                        \
        dashboard_ask_reading(service, req, roles, answer);                                                  \
    }
READING_ROUTES(ROUTE_HANDLER)
#undef ROUTE_HANDLER

/* Nobody who is not let in waits where it takes long. */
#define ROUTE_HANDLER(method, path, answer, roles, ask)                                                      \
    static void take_##answer(struct call *c)                                                                \
    {                                                                                                        \
        ask(c, answer);                                                                                      \
    }                                                                                                        \
    static enum err pass_##answer(struct call *c, struct pg_session *s, struct why *why)                     \
    {                                                                                                        \
        (void)s;                                                                                             \
        (void)why;                                                                                           \
        c->take_over = take_##answer;                                                                        \
        return ERR_OK;                                                                                       \
    }                                                                                                        \
    static void on_##answer(void *service, struct http_request *req)                                         \
    {                                                                                                        \
        dashboard_ask(service, req, roles, pass_##answer);                                                   \
    }
#define PAST_HANDLER(method, path, answer, roles)                                                            \
    ROUTE_HANDLER(method, path, answer, roles, dashboard_ask_past)
PAST_ROUTES(PAST_HANDLER)
#undef PAST_HANDLER
#define SUM_HANDLER(method, path, answer, roles)                                                             \
    ROUTE_HANDLER(method, path, answer, roles, dashboard_ask_sums)
SUM_ROUTES(SUM_HANDLER)
#undef SUM_HANDLER
#undef ROUTE_HANDLER

static void on_page(void *service, struct http_request *req)
{
    pages_answer(dashboard_pages(service), req);
}

const struct http_route dashboard_routes[] = {
#define ROUTE_ROW(method, path, answer, roles) { method, path, on_##answer, BODY_BYTES },
    ALL_ROUTES(ROUTE_ROW)
#undef ROUTE_ROW
        { "GET", "/", on_page, 0 },
    { "GET", "/{a}", on_page, 0 },
    { "GET", "/{a}/{b}", on_page, 0 },
    { "GET", "/{a}/{b}/{c}", on_page, 0 },
    { "GET", "/{a}/{b}/{c}/{d}", on_page, 0 },
};
const size_t dashboard_route_count = ARRAY_LEN(dashboard_routes);

static const char *const roles_of_routes[] = {
#define ROUTE_ROLES(method, path, answer, roles) roles,
    ALL_ROUTES(ROUTE_ROLES)
#undef ROUTE_ROLES
};

const char *dashboard_route_roles(size_t route)
{
    return route < ARRAY_LEN(roles_of_routes) ? roles_of_routes[route] : NULL;
}

/* Nothing that is answered here is a page, whatever a browser takes it for. */
#define HEADER(name, value)                                                                                  \
    {                                                                                                        \
        { name, sizeof(name) - 1 },                                                                          \
        {                                                                                                    \
            value, sizeof(value) - 1                                                                         \
        }                                                                                                    \
    }
const struct http_header rest_headers[] = {
    HEADER("cache-control", "no-store"),
    HEADER("x-content-type-options", "nosniff"),
    HEADER("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    HEADER("referrer-policy", "no-referrer"),
};
const size_t rest_header_count = ARRAY_LEN(rest_headers);
static_assert(ARRAY_LEN(rest_headers) <= DESK_HEADERS_MAX, "the desk takes all of them");
