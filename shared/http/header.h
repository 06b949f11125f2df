/* SPDX-License-Identifier: Apache-2.0
 * header.h - a header field, as the server and the client hand it around. */
#ifndef ASSAY_HTTP_HEADER_H
#define ASSAY_HTTP_HEADER_H

#include "base/slice.h"

/* Names are lower case, as HTTP/2 has them. */
struct http_header {
    struct slice name, value;
};

/* The value of the first field named `name` (lower case), or an empty slice with ptr NULL. */
static inline struct slice http_headers_find(const struct http_header *headers, size_t count,
                                             const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < count; i++)
        if (headers[i].name.len == len && memcmp(headers[i].name.ptr, name, len) == 0)
            return headers[i].value;
    return (struct slice){ 0 };
}

#endif
