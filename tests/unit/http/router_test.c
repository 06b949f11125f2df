/* SPDX-License-Identifier: Apache-2.0
 * router_test.c - which route a path takes. */
#include <criterion/criterion.h>

#include "http/router.h"

static void nothing(void *service, struct http_request *req)
{
    (void)service;
    (void)req;
}

static const struct http_route routes[] = {
    { "GET", "/", nothing, 0 },
    { "GET", "/v1/transactions/{id}", nothing, 0 },
    { "POST", "/v1/transactions", nothing, 0 },
    { "POST", "/v1/transactions:batch", nothing, 0 },
    { "POST", "/v1/transactions/{id}:cancel", nothing, 0 },
    { "GET", "/v1/transactions/newest", nothing, 0 },
    { "GET", "/v2/models/{model}/versions/{version}/infer", nothing, 0 },
    { "PUT", "/{anything}", nothing, 0 },
    { "POST", "/assay.Features/Compute", nothing, 0 },
};

static struct http_router router;

static void setup(void)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        http_router_add(&router, &routes[i], NULL);
}

static void teardown(void)
{
    http_router_release(&router);
}

TestSuite(router, .init = setup, .fini = teardown, .timeout = 120);

static struct http_match find(const char *method, const char *path)
{
    return http_router_find(&router, slice_str(method), slice_str(path));
}

static void takes(const char *method, const char *path, const char *pattern)
{
    struct http_match m = find(method, path);

    cr_assert_not_null(m.entry, "%s %s has no route", method, path);
    cr_assert_str_eq(m.entry->route->path, pattern, "%s %s", method, path);
}

Test(router, takes_literal_paths_whole)
{
    takes("GET", "/", "/");
    takes("POST", "/v1/transactions", "/v1/transactions");
    takes("POST", "/v1/transactions:batch", "/v1/transactions:batch");
    takes("POST", "/assay.Features/Compute", "/assay.Features/Compute");
}

Test(router, gives_the_segments_that_parameters_took)
{
    struct http_match m = find("GET", "/v2/models/fraud/versions/12/infer");

    cr_assert_eq(m.param_count, 2);
    cr_assert(slice_eq_str(m.names[0], "model") && slice_eq_str(m.params[0], "fraud"));
    cr_assert(slice_eq_str(m.names[1], "version") && slice_eq_str(m.params[1], "12"));
}

Test(router, prefers_the_literal_whatever_the_order)
{
    struct http_match m;

    takes("GET", "/v1/transactions/newest", "/v1/transactions/newest");
    takes("POST", "/v1/transactions/a:cancel", "/v1/transactions/{id}:cancel");
    m = find("POST", "/v1/transactions/a:cancel");
    cr_assert(slice_eq_str(m.params[0], "a"));
}

Test(router, never_lets_a_parameter_be_empty_or_span_segments)
{
    static const char *const paths[] = { "/v1/transactions/",
                                         "/v1/transactions/a/b",
                                         "/v1/transactions/a/",
                                         "/v1",
                                         "v1/transactions",
                                         "",
                                         "*",
                                         "//",
                                         "/v1//transactions" };

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_assert_null(find("GET", paths[i]).entry, "%s", paths[i]);
}

Test(router, tells_a_wrong_method_from_a_wrong_path)
{
    struct buf allowed;

    cr_assert(find("DELETE", "/v1/transactions/7").is_path_known);
    cr_assert_null(find("DELETE", "/v1/transactions/7").entry);
    cr_assert_not(find("GET", "/v3/transactions").is_path_known);
    buf_init(&allowed, 0);
    http_router_allowed(&router, SLICE("/v1/transactions/7"), &allowed);
    cr_assert_str_eq(buf_str(&allowed), "GET, HEAD");
    buf_release(&allowed);
}

Test(router, answers_head_where_it_answers_get)
{
    takes("HEAD", "/v1/transactions/7", "/v1/transactions/{id}");
    cr_assert_null(find("HEAD", "/v1/transactions").entry);
}
