/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/http.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct gathered {
    char **text;
    size_t *len;
};

static size_t gather(char *bytes, size_t size, size_t count, void *into)
{
    struct gathered *g = into;

    *g->text = realloc(*g->text, *g->len + size * count + 1);
    memcpy(*g->text + *g->len, bytes, size * count);
    *g->len += size * count;
    (*g->text)[*g->len] = '\0';
    return size * count;
}

struct http_said http_ask(int port, const char *method, const char *path, const char *key,
                          const char *const *extra, const char *body, size_t body_len)
{
    struct http_said said = { 0 };
    struct gathered into_body = { &said.body, &said.body_len },
                    into_headers = { &said.headers, &said.headers_len };
    struct curl_slist *headers = NULL;
    char line[512];
    bool has_type = false;
    long status = 0;
    CURL *c = curl_easy_init();

    snprintf(line, sizeof line, "http://127.0.0.1:%d%s", port, path);
    curl_easy_setopt(c, CURLOPT_URL, line);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c, CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 20000L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, gather);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &into_body);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, gather);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &into_headers);
    if (key) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", key);
        headers = curl_slist_append(headers, line);
    }
    for (; extra && *extra; extra++) {
        headers = curl_slist_append(headers, *extra);
        has_type |= strncasecmp(*extra, "content-type:", 13) == 0;
    }
    if (body) {
        if (!has_type)
            headers = curl_slist_append(headers, "Content-Type: application/json");
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)body_len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    }
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    if (curl_easy_perform(c) == CURLE_OK)
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    said.status = (int)status;
    if (said.body_len)
        said.json = json_loadb(said.body, said.body_len, JSON_REJECT_DUPLICATES, NULL);
    return said;
}

void http_said_free(struct http_said *said)
{
    json_decref(said->json);
    free(said->body);
    free(said->headers);
    *said = (struct http_said){ 0 };
}

const char *http_said_header(const struct http_said *said, const char *name)
{
    static char value[512];
    size_t len = strlen(name);

    for (const char *line = said->headers; line && *line; line = strchr(line, '\n') + 1) {
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(line + len + 2, "\r\n"), line + len + 2);
            return value;
        }
        if (!strchr(line, '\n'))
            break;
    }
    return NULL;
}
