/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"

#include <string.h>

/* jansson's own limit on nesting is 2048, which is more than any reader of its trees wants to recurse. */
static bool is_deeper_than(struct slice text, size_t depth)
{
    size_t open = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++open > depth)
                return true;
        } else if ((c == '}' || c == ']') && open > 0) {
            open--;
        }
    }
    return false;
}

enum err json_parse(json_t **out, struct slice text, size_t depth, struct why *why)
{
    json_error_t error;
    char *quoted;

    *out = NULL;
    if (text.len == 0)
        return err_set(why, ERR_SYNTAX, "the body is empty");
    if (is_deeper_than(text, depth))
        return err_set(why, ERR_SYNTAX, "the body is nested deeper than %zu levels", depth);
    /* Behind a number or a word, jansson 2.14 passes over it without a word. */
    if (memchr(text.ptr, '\0', text.len))
        return err_set(why, ERR_SYNTAX, "not valid JSON: it has a NUL byte");
    *out = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (*out)
        return ERR_OK;
    /* "... near '<their text>'": what they sent may be a card number. */
    quoted = strstr(error.text, " near ");
    if (quoted)
        *quoted = '\0';
    return err_set(why, ERR_SYNTAX, "not valid JSON: %s (line %d, column %d)", error.text, error.line,
                   error.column);
}

struct slice json_slice(const json_t *value)
{
    return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value))
                                 : slice_of("", 0);
}

/* What a fragment may hold unescaped (RFC 3986 section 3.5), without '/' and '~', which the pointer itself
 * uses. */
static bool is_fragment_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._!$&'()*+,;=:@?", c) != NULL);
}

void json_path_write(struct buf *out, const struct json_path *path)
{
    if (!path) {
        buf_add_char(out, '#');
        return;
    }
    json_path_write(out, path->up);
    buf_add_char(out, '/');
    if (!path->key) {
        buf_printf(out, "%zu", path->index);
        return;
    }
    for (const char *c = path->key; *c; c++) {
        if (*c == '~')
            buf_add_str(out, "~0");
        else if (*c == '/')
            buf_add_str(out, "~1");
        else if (is_fragment_char((unsigned char)*c))
            buf_add_char(out, *c);
        else
            buf_printf(out, "%%%02X", (unsigned char)*c);
    }
}
