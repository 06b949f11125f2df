/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(struct slice t, size_t at)
{
    while (at < t.len && is_space(t.ptr[at]))
        at++;
    return at;
}

/* Behind the string that begins at `at`; 0 when it does not end. */
static size_t skip_string(struct slice t, size_t at)
{
    for (at++; at < t.len; at++) {
        if (t.ptr[at] == '\\')
            at++;
        else if (t.ptr[at] == '"')
            return at + 1;
    }
    return 0;
}

/* Behind the value that begins at `at`; 0 when it does not end. */
static size_t skip_value(struct slice t, size_t at)
{
    size_t depth = 0;

    while (at < t.len) {
        char c = t.ptr[at];

        if (c == '"') {
            at = skip_string(t, at);
            if (!at)
                return 0;
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (!depth)
                return at;
            depth--;
            at++;
        } else if (!depth && (c == ',' || is_space(c))) {
            return at;
        } else {
            at++;
            continue;
        }
        if (!depth)
            return at;
    }
    return 0;
}

static bool is_close(char c)
{
    return c == '}' || c == ']';
}

/* At the first byte of the next item of what `open` opened; 0 at its end or where it is broken. */
static size_t next_item(struct slice t, size_t at, char open, bool *is_broken)
{
    size_t next = skip_space(t, at);

    *is_broken = true;
    if (next >= t.len)
        return 0;
    if (at == 0) {
        if (t.ptr[next] != open)
            return 0;
        next = skip_space(t, next + 1);
    } else if (t.ptr[next] == ',') {
        next = skip_space(t, next + 1);
        if (next < t.len && is_close(t.ptr[next]))
            return 0;
    } else if (!is_close(t.ptr[next])) {
        return 0;
    }
    if (next >= t.len)
        return 0;
    *is_broken = false;
    return is_close(t.ptr[next]) ? 0 : next;
}

bool line_next(struct slice text, size_t *at, struct line_member *m, bool *is_broken)
{
    size_t start = next_item(text, *at, '{', is_broken), end;

    if (!start)
        return false;
    *is_broken = true;
    end = text.ptr[start] == '"' ? skip_string(text, start) : 0;
    if (!end)
        return false;
    m->name = slice_of(text.ptr + start + 1, end - start - 2);
    start = skip_space(text, end);
    if (start >= text.len || text.ptr[start] != ':')
        return false;
    start = skip_space(text, start + 1);
    end = skip_value(text, start);
    if (end <= start)
        return false;
    m->value = slice_of(text.ptr + start, end - start);
    *at = end;
    *is_broken = false;
    return true;
}

bool line_next_element(struct slice text, size_t *at, struct slice *value, bool *is_broken)
{
    size_t start = next_item(text, *at, '[', is_broken), end;

    if (!start)
        return false;
    end = skip_value(text, start);
    *is_broken = end <= start;
    if (*is_broken)
        return false;
    *value = slice_of(text.ptr + start, end - start);
    *at = end;
    return true;
}

struct slice line_string(struct slice value)
{
    if (value.len < 2 || value.ptr[0] != '"')
        return (struct slice){ 0 };
    return slice_of(value.ptr + 1, value.len - 2);
}

enum err line_read(struct line *item, struct slice line, struct buf *body, struct why *why)
{
    struct slice type = { 0 };
    struct line_member m;
    bool is_broken;
    size_t at = 0;
    char before = '{';

    *item = (struct line){ 0 };
    while (line_next(line, &at, &m, &is_broken)) {
        if (slice_eq_str(m.name, "type")) {
            type = line_string(m.value);
            continue;
        }
        if (slice_eq_str(m.name, "transaction_id"))
            item->id = line_string(m.value);
        else if (slice_eq_str(m.name, "amount") && !slice_to_i64(m.value, &item->amount_minor))
            return err_set(why, ERR_SYNTAX, "amount is no integer");
        else if (slice_eq_str(m.name, "is_fraud"))
            item->is_fraud = slice_eq_str(m.value, "true");
        buf_add_char(body, before);
        before = ',';
        /* name and value stand in one piece, whatever the spaces between */
        buf_add(body, m.name.ptr - 1, (size_t)(m.value.ptr + m.value.len - m.name.ptr) + 1);
    }
    buf_add_char(body, '}');
    if (is_broken || before == '{')
        return err_set(why, ERR_SYNTAX, "not a JSON object");
    if (!item->id.len)
        return err_set(why, ERR_SYNTAX, "there is no transaction_id");
    if (slice_eq_str(type, "transaction"))
        item->kind = LINE_TRANSACTION;
    else if (slice_eq_str(type, "label"))
        item->kind = LINE_LABEL;
    else
        return err_set(why, ERR_SYNTAX, "type is neither \"transaction\" nor \"label\"");
    return ERR_OK;
}
