/* SPDX-License-Identifier: Apache-2.0 */
#include "textproto/textproto.h"

#include "base/hash.h"

struct reader {
    struct slice text;
    size_t at;
    uint32_t line;
    int depth;
    struct arena *arena;
    struct why *why;
};

static int peek(const struct reader *r)
{
    return r->at < r->text.len ? (unsigned char)r->text.ptr[r->at] : -1;
}

static enum err refuse(const struct reader *r, const char *what)
{
    return err_set(r->why, ERR_SYNTAX, "line %u: %s", r->line, what);
}

static void skip_space(struct reader *r)
{
    for (;; r->at++) {
        int c = peek(r);

        if (c == '#') {
            while (peek(r) != '\n' && peek(r) >= 0)
                r->at++;
            c = peek(r);
        }
        if (c == '\n')
            r->line++;
        else if (c != ' ' && c != '\t' && c != '\r' && c != '\f' && c != '\v')
            return;
    }
}

static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (peek(r) != c)
        return false;
    r->at++;
    return true;
}

static bool is_word_char(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct slice take_word(struct reader *r)
{
    size_t from = r->at;

    while (is_word_char(peek(r)))
        r->at++;
    return slice_of(r->text.ptr + from, r->at - from);
}

/* ---- strings ---- */

static size_t put_point(uint32_t c, char *out)
{
    int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char first[] = { 0, 0xc0, 0xe0, 0xf0 };

    out[0] = (char)(first[more] | c >> (6 * more));
    for (int i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3f));
    return (size_t)more + 1;
}

/* Up to `most` digits of the base; how many there were. */
static int take_digits(struct reader *r, int base, int most, uint32_t *value)
{
    int count = 0;

    for (*value = 0; count < most; count++, r->at++) {
        int digit = hex_digit(peek(r));

        if (digit < 0 || digit >= base)
            break;
        *value = *value * (uint32_t)base + (uint32_t)digit;
    }
    return count;
}

/* Behind the backslash; no escape is shorter than what it stands for. 0: no such escape. */
static size_t take_escape(struct reader *r, char *out)
{
    static const char plain[] = "a\ab\bf\fn\nr\rt\tv\v\\\\''\"\"??";
    int c = peek(r);
    uint32_t value;

    for (size_t i = 0; i + 1 < sizeof plain; i += 2) {
        if (c == plain[i]) {
            r->at++;
            out[0] = plain[i + 1];
            return 1;
        }
    }
    if (c >= '0' && c <= '7') {
        take_digits(r, 8, 3, &value);
        out[0] = (char)value;
        return value < 256;
    }
    r->at++;
    if (c == 'x' || c == 'X') {
        out[0] = (char)(take_digits(r, 16, 2, &value) ? value : 0);
        return hex_digit((unsigned char)r->text.ptr[r->at - 1]) >= 0;
    }
    if (c == 'u' || c == 'U') {
        int digits = c == 'u' ? 4 : 8;

        if (take_digits(r, 16, digits, &value) != digits || value > 0x10ffff ||
            (value >= 0xd800 && value < 0xe000))
            return 0;
        return put_point(value, out);
    }
    return 0;
}

static enum err take_string(struct reader *r, char *out, size_t *len)
{
    int quote = peek(r);

    for (r->at++;;) {
        int c = peek(r);
        size_t escaped;

        if (c < 0 || c == '\n' || c == 0)
            return refuse(r, "a string has no end");
        r->at++;
        if (c == quote)
            return ERR_OK;
        if (c != '\\') {
            out[(*len)++] = (char)c;
            continue;
        }
        escaped = take_escape(r, out + *len);
        if (escaped == 0)
            return refuse(r, "no such escape in a string");
        *len += escaped;
    }
}

/* The length of the strings that follow each other here, quotes and all: room enough for what they hold. */
static size_t strings_length(const struct reader *r)
{
    size_t at = r->at;

    while (at < r->text.len) {
        char c = r->text.ptr[at];

        if (c == '"' || c == '\'') {
            for (at++; at < r->text.len && r->text.ptr[at] != c && r->text.ptr[at] != '\n'; at++)
                at += r->text.ptr[at] == '\\';
            at++;
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            at++;
        } else {
            break;
        }
    }
    return (at < r->text.len ? at : r->text.len) - r->at;
}

static enum err take_strings(struct reader *r, struct textproto_field *field)
{
    char *out = arena_new(r->arena, char, strings_length(r) + 4);
    size_t len = 0;
    struct reader before;

    field->kind = TEXTPROTO_STRING;
    do {
        enum err err = take_string(r, out, &len);

        if (err)
            return err;
        before = *r;
        skip_space(r);
    } while ((peek(r) == '"' || peek(r) == '\'') &&
             memchr(before.text.ptr + before.at, '#', r->at - before.at) == NULL);
    field->text = slice_of(out, len);
    return ERR_OK;
}

/* ---- values ---- */

static enum err take_fields(struct reader *r, struct textproto_field *message, char close);

static enum err take_message(struct reader *r, struct textproto_field *field)
{
    char close = peek(r) == '<' ? '>' : '}';
    enum err err;

    r->at++;
    field->kind = TEXTPROTO_MESSAGE;
    if (++r->depth > TEXTPROTO_DEPTH_MAX)
        return err_set(r->why, ERR_TOO_LARGE, "line %u: messages inside each other more than %d deep",
                       r->line, TEXTPROTO_DEPTH_MAX);
    err = take_fields(r, field, close);
    r->depth--;
    return err;
}

/* A number or a word, with its sign. */
static enum err take_scalar(struct reader *r, struct textproto_field *field)
{
    size_t from = r->at;
    bool is_number;
    int c;

    if (peek(r) == '-') {
        r->at++;
        skip_space(r);
    }
    c = peek(r);
    is_number = (c >= '0' && c <= '9') || c == '.';
    field->kind = is_number ? TEXTPROTO_NUMBER : TEXTPROTO_WORD;
    while (is_word_char(peek(r)) ||
           (is_number && (peek(r) == '.' ||
                          ((peek(r) == '-' || peek(r) == '+') && (r->text.ptr[r->at - 1] | 0x20) == 'e'))))
        r->at++;
    field->text = slice_of(r->text.ptr + from, r->at - from);
    return c >= 0 && (is_word_char(c) || c == '.') ? ERR_OK : refuse(r, "a value should stand here");
}

static enum err take_value(struct reader *r, struct textproto_field *field)
{
    int c;

    skip_space(r);
    c = peek(r);
    field->line = r->line;
    if (c == '{' || c == '<')
        return take_message(r, field);
    return c == '"' || c == '\'' ? take_strings(r, field) : take_scalar(r, field);
}

/* ---- fields ---- */

/* "name", or "[extension.or/type]". */
static enum err take_name(struct reader *r, struct slice *name)
{
    size_t from = r->at;

    if (peek(r) != '[') {
        *name = take_word(r);
        if (name->len && !(name->ptr[0] >= '0' && name->ptr[0] <= '9'))
            return ERR_OK;
        return refuse(r, "a field's name should stand here");
    }
    for (r->at++; is_word_char(peek(r)) || peek(r) == '.' || peek(r) == '/' || peek(r) == '-';)
        r->at++;
    if (peek(r) != ']')
        return refuse(r, "an extension's name has no end");
    r->at++;
    *name = slice_of(r->text.ptr + from, r->at - from);
    return ERR_OK;
}

static struct textproto_field *field_new(struct reader *r, struct slice name)
{
    struct textproto_field *field = arena_new(r->arena, struct textproto_field, 1);

    field->name = name;
    field->text = SLICE("");
    field->line = r->line;
    return field;
}

/* One field, or as many as a list has; *end is where the next is linked. */
static enum err take_field(struct reader *r, struct textproto_field ***end)
{
    struct slice name = { 0 };
    enum err err = take_name(r, &name);
    bool has_colon = !err && take(r, ':'), is_list;

    if (err)
        return err;
    skip_space(r);
    if (!has_colon && peek(r) != '{' && peek(r) != '<')
        return refuse(r, "a ':' should stand behind a field's name");
    is_list = has_colon && take(r, '[');
    if (is_list && take(r, ']'))
        return ERR_OK;
    do {
        **end = field_new(r, name);
        err = take_value(r, **end);
        *end = &(**end)->next;
    } while (!err && is_list && take(r, ','));
    if (!err && is_list && !take(r, ']'))
        err = refuse(r, "a list has no end");
    return err;
}

/* Up to `close`, or with 0 to the end of the text. */
static enum err take_fields(struct reader *r, struct textproto_field *message, char close)
{
    struct textproto_field **end = &message->fields;
    enum err err;

    for (;;) {
        skip_space(r);
        if (peek(r) < 0)
            return close ? refuse(r, "a message has no end") : ERR_OK;
        if (close && take(r, close))
            return ERR_OK;
        err = take_field(r, &end);
        if (err)
            return err;
        if (!take(r, ','))
            take(r, ';');
    }
}

enum err textproto_parse(struct textproto_field **out, struct slice text, struct arena *arena,
                         struct why *why)
{
    struct reader r = { .text = text, .line = 1, .arena = arena, .why = why };
    enum err err;

    *out = NULL;
    if (text.len > TEXTPROTO_BYTES_MAX)
        return err_set(why, ERR_TOO_LARGE, "a text of more than %d bytes", TEXTPROTO_BYTES_MAX);
    *out = field_new(&r, SLICE(""));
    (*out)->kind = TEXTPROTO_MESSAGE;
    err = take_fields(&r, *out, 0);
    if (err)
        *out = NULL;
    return err;
}

/* ---- asking ---- */

const struct textproto_field *textproto_find(const struct textproto_field *message, const char *name)
{
    const struct textproto_field *field = message ? message->fields : NULL;

    while (field && !slice_eq_str(field->name, name))
        field = field->next;
    return field;
}

const struct textproto_field *textproto_again(const struct textproto_field *field)
{
    struct slice name = field->name;

    do {
        field = field->next;
    } while (field && !slice_eq(field->name, name));
    return field;
}

struct slice textproto_text(const struct textproto_field *message, const char *name)
{
    const struct textproto_field *field = textproto_find(message, name);

    return field ? field->text : SLICE("");
}

bool textproto_true(const struct textproto_field *message, const char *name)
{
    struct slice text = textproto_text(message, name);

    return slice_eq_str(text, "true") || slice_eq_str(text, "t") || slice_eq_str(text, "1");
}
