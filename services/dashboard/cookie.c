/* SPDX-License-Identifier: Apache-2.0 */
#include "cookie.h"

static struct slice trimmed(struct slice text)
{
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = slice_of(text.ptr + 1, text.len - 1);
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

struct slice cookie_find(struct slice header, struct slice name)
{
    while (header.len) {
        const char *end = memchr(header.ptr, ';', header.len);
        size_t len = end ? (size_t)(end - header.ptr) : header.len;
        struct slice pair = trimmed(slice_of(header.ptr, len));

        if (pair.len > name.len && pair.ptr[name.len] == '=' && slice_starts_with(pair, name)) {
            struct slice value = slice_of(pair.ptr + name.len + 1, pair.len - name.len - 1);

            if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
                value = slice_of(value.ptr + 1, value.len - 2);
            return value;
        }
        len += end != NULL;
        header = slice_of(header.ptr + len, header.len - len);
    }
    return SLICE("");
}
