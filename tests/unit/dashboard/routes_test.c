/* SPDX-License-Identifier: Apache-2.0
 * routes_test.c - the routes that are in the program are those of docs/api/dashboard.yaml, for the same roles: what nobody
 * has written down, nobody has thought about who may ask it. That each does what is written, tests/service asks. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../../../services/dashboard/gateway.h"
#include "../../../services/dashboard/routes.h"

struct operation {
    char method[8], path[128], roles[128];
    bool is_found;
};

enum { OPERATIONS_MOST = 256 };
static struct operation operations[OPERATIONS_MOST];
static size_t operation_count;

/* "/v1/models/{model}/versions/{version}" as "/v1/models/{}/versions/{}", cut at 127 bytes. */
static void without_names(const char *path, char out[128])
{
    size_t len = 0;
    bool is_name = false;

    for (; *path && len < 127; path++) {
        is_name &= *path != '}';
        if (!is_name)
            out[len++] = *path;
        is_name |= *path == '{';
    }
    out[len] = '\0';
}

static void read_document(void)
{
    FILE *f = fopen("docs/api/dashboard.yaml", "r");
    char line[1024], path[128] = "", method[8] = "", word[128];

    cr_assert_not_null(f);
    operation_count = 0;
    while (fgets(line, sizeof line, f) && strncmp(line, "components:", 11) != 0) {
        struct operation *o = &operations[operation_count];

        if (strncmp(line, "  /v1/", 6) == 0) {
            *strrchr(line, ':') = '\0';
            without_names(line + 2, path);
        } else if (sscanf(line, "    %7[a-z]:", word) == 1 && line[4] != ' ') {
            snprintf(method, sizeof method, "%.7s", word);
        } else if (sscanf(line, "      x-roles: [%127[^]]]", word) == 1) {
            cr_assert_lt(++operation_count, OPERATIONS_MOST);
            *o = (struct operation){ 0 };
            for (size_t i = 0; method[i]; i++)
                o->method[i] = (char)(method[i] - 'a' + 'A');
            snprintf(o->path, sizeof o->path, "%s", path);
            for (size_t i = 0, len = 0; word[i]; i++)
                if (word[i] != ',')
                    o->roles[len++] = word[i];
        }
    }
    fclose(f);
}

static bool has_word(const char *list, const char *word, size_t len)
{
    for (const char *at = list; (at = strstr(at, word)) != NULL; at++)
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
            return true;
    return false;
}

/* Whether each word of one is in the other. */
static bool is_within(const char *words, const char *list)
{
    char word[64];

    for (size_t len; *words; words += len + (words[len] == ' ')) {
        len = strcspn(words, " ");
        snprintf(word, sizeof word, "%.*s", (int)len, words);
        if (!has_word(list, word, len))
            return false;
    }
    return true;
}

static void check(const struct http_route *route, const char *roles)
{
    char path[128];
    size_t i = 0;

    without_names(route->path, path);
    while (i < operation_count &&
           !(strcmp(operations[i].path, path) == 0 && strcmp(operations[i].method, route->method) == 0))
        i++;
    cr_expect(i < operation_count, "%s %s is not in docs/api/dashboard.yaml", route->method, route->path);
    if (i == operation_count)
        return;
    operations[i].is_found = true;
    cr_expect(is_within(roles, operations[i].roles) && is_within(operations[i].roles, roles),
              "%s %s is for \"%s\", and documented for \"%s\"", route->method, route->path, roles,
              operations[i].roles);
}

Test(dashboard_table, every_route_of_the_program_is_documented_for_the_roles_that_may_ask_it)
{
    const struct http_route *route;
    const char *roles;
    size_t pages = 0;

    read_document();
    cr_assert_gt(operation_count, 50, "%zu operations were found", operation_count);
    for (size_t i = 0; i < dashboard_route_count; i++) {
        roles = dashboard_route_roles(i);
        pages += roles == NULL;
        if (roles)
            check(&dashboard_routes[i], roles);
        else
            cr_expect(strncmp(dashboard_routes[i].path, "/v1", 3) != 0, "%s has no roles",
                      dashboard_routes[i].path);
    }
    cr_expect_eq(pages, 5, "of these files are served, and nothing else");
    for (size_t i = 0; (route = gateway_route(i, &roles)) != NULL; i++)
        check(route, roles);
    for (size_t i = 0; i < operation_count; i++)
        cr_expect(operations[i].is_found, "%s %s is documented, and is not there", operations[i].method,
                  operations[i].path);
}
