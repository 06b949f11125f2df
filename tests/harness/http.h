/* SPDX-License-Identifier: Apache-2.0
 * http.h - one blocking HTTP request, for tests. */
#ifndef ASSAY_HARNESS_HTTP_H
#define ASSAY_HARNESS_HTTP_H

#include <jansson.h>
#include <stddef.h>

struct http_said {
    int status; /* 0: no answer */
    char *body, *headers;
    size_t body_len, headers_len;
    json_t *json; /* NULL when the body is none */
};

/* `key` (may be NULL) becomes "Authorization: Bearer"; `extra` is a NULL-terminated list of header lines or
 * NULL; a `body` is JSON unless `extra` has a Content-Type. Free with http_said_free(). */
struct http_said http_ask(int port, const char *method, const char *path, const char *key,
                          const char *const *extra, const char *body, size_t body_len);
void http_said_free(struct http_said *said);
/* The value of a header (lower case), or NULL; valid until the next call. */
const char *http_said_header(const struct http_said *said, const char *name);

#endif
