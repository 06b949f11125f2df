/* SPDX-License-Identifier: Apache-2.0
 * cmd_get.c - `assay get`: a stored decision, for a person. */
#include "command.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fetch.h"
#include "json/json.h"
#include "reach.h"

struct get {
    const char *url, *key, *ca, *home;
    bool as_json;
};

static const struct option options[] = {
    { "url", OPTION_TEXT, offsetof(struct get, url), "URL", "the API (what `assay up` started in --home)" },
    { "key", OPTION_TEXT, offsetof(struct get, key), "KEY",
      "API key with the scope read or explain (ASSAY_KEY)" },
    { "ca", OPTION_TEXT, offsetof(struct get, ca), "FILE",
      "whom to trust for https (without --url: HOME/certs/ca.pem; else the system's store)" },
    { "home", OPTION_TEXT, offsetof(struct get, home), "DIR", "whose services to ask without --url" },
    { "json", OPTION_FLAG, offsetof(struct get, as_json), NULL, "as the API has it" },
};

enum { PATIENCE_MS = 10000 };

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text && *text ? text : "-";
}

static void print_degraded(const json_t *decision)
{
    const json_t *list = json_object_get(decision, "degraded"), *row;
    size_t i;

    if (!json_array_size(list))
        return;
    printf("  degraded   ");
    json_array_foreach(list, i, row) printf("%s%s", i ? ", " : "", json_string_value(row));
    printf("\n");
}

static void print_reasons(const json_t *decision)
{
    const json_t *list = json_object_get(decision, "reasons"), *row;
    size_t i;

    json_array_foreach(list, i, row)
    {
        const char *detail = json_string_value(json_object_get(row, "detail"));

        printf("  %-10s %s%s%s%s\n", i ? "" : "because", text_of(row, "text"), detail && *detail ? " (" : "",
               detail ? detail : "", detail && *detail ? ")" : "");
    }
}

static void print_rules(const json_t *decision)
{
    const json_t *list = json_object_get(decision, "rules"), *row;
    size_t i;

    json_array_foreach(list, i, row)
        printf("  %-10s %s: %s %s\n", i ? "" : "rules", text_of(row, "id"), text_of(row, "action"),
               json_object_get(row, "expression") ? text_of(row, "expression") : "");
}

static void print_contributions(const json_t *decision)
{
    const json_t *list = json_object_get(decision, "contributions"), *row;
    size_t i;

    json_array_foreach(list, i, row)
    {
        const json_t *value = json_object_get(row, "value");
        char said[32] = "missing";

        if (json_is_number(value))
            snprintf(said, sizeof said, "%g", json_number_value(value));
        printf("  %-10s %+8.3f  %s = %s\n", i ? "" : "features",
               json_number_value(json_object_get(row, "margin")), text_of(row, "feature"), said);
    }
}

static void print_timings(const json_t *decision)
{
    json_t *timings = json_object_get(decision, "timings_us"), *value;
    const char *name;
    bool is_first = true;

    json_object_foreach(timings, name, value)
    {
        printf("%s%s %lld us", is_first ? "  took       " : ", ", name, (long long)json_integer_value(value));
        is_first = false;
    }
    if (!is_first)
        printf("\n");
}

static void print_decision(const json_t *d)
{
    json_t *score = json_object_get(d, "score");
    double chance = json_number_value(json_object_get(d, "p_allow"));

    printf("%s: %s\n", text_of(d, "transaction_id"), text_of(d, "action"));
    if (json_is_number(score))
        printf("  score      %.6f (model %s, %s)\n", json_number_value(score), text_of(d, "model_version"),
               text_of(d, "arm"));
    else
        printf("  score      none\n");
    if (chance > 0 && chance < 1)
        printf("  slice      %s by the control slice; the chance to be let through was %g\n",
               strcmp(text_of(d, "action"), "decline") == 0 ? "not drawn" : "let through", chance);
    print_reasons(d);
    print_rules(d);
    print_contributions(d);
    print_degraded(d);
    printf("  rule set   %s\n  known at   %s\n  decided at %s\n", text_of(d, "ruleset_version"),
           text_of(d, "known_at"), text_of(d, "decided_at"));
    print_timings(d);
}

static enum exit_code show(const struct get *g, int status, struct buf *body)
{
    struct why why = { 0 };
    json_t *root;

    if (g->as_json) {
        printf("%s\n", buf_str(body));
    } else if (json_parse(&root, buf_slice(body), JSON_DEPTH_MAX, &why)) {
        return command_fail(EXIT_FAILED, "the answer (%d) is no JSON: %s", status, why.text);
    } else {
        if (status == 200)
            print_decision(root);
        else
            command_fail(EXIT_FAILED, "%s (%d): %s", text_of(root, "title"), status, text_of(root, "detail"));
        json_decref(root);
    }
    return status == 200 ? EXIT_DONE : status == 404 ? EXIT_NOT_FOUND : EXIT_FAILED;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct get *g = settings;
    const char *key = g->key ? g->key : getenv("ASSAY_KEY");
    const char *ca = g->ca;
    struct reach found;
    char url[2048], *id;
    struct why why = { 0 };
    struct buf body;
    enum exit_code code;
    int status;

    (void)operand_count;
    if (!g->url && !reach_api(&found, g->home))
        return command_fail(EXIT_NOT_RUNNING, "nothing runs here; give --url, or start it: assay up");
    if (!g->url && !ca && *found.ca)
        ca = found.ca;
    id = curl_easy_escape(NULL, operands[0], 0);
    if (g->url)
        snprintf(url, sizeof url, "%s/v1/transactions/%s", g->url, id);
    else /* any of them will do */
        snprintf(url, sizeof url, "%.*s/v1/transactions/%s", (int)strcspn(found.urls, ","), found.urls, id);
    curl_free(id);
    buf_init(&body, 0);
    if (fetch(url, key, ca, PATIENCE_MS, &status, &body, &why))
        code = command_fail(EXIT_NOT_RUNNING, "%s", why.text);
    else
        code = show(g, status, &body);
    buf_release(&body);
    return code;
}

const struct command cmd_get = {
    .name = "get",
    .operands = "<transaction>",
    .purpose = "Show the stored decision of a transaction",
    .text = "With a key of the scope `explain` it shows features and rule texts too.\n\n"
            "  assay get T-1024 --key $KEY",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct get),
    .run = run,
};
