/* SPDX-License-Identifier: Apache-2.0
 * lex.c - text to tokens, after the lexical part of the specification's grammar. */
#include "cel/ast.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"

static const struct {
    const char *spelling;
    int precedence;
} ops[] = {
#define CEL_OP_ROW(op, spelling, precedence) [op] = { spelling, precedence },
    CEL_OPS(CEL_OP_ROW)
#undef CEL_OP_ROW
};

const char *op_spelling(enum cel_op op)
{
    return ops[op].spelling;
}

int op_precedence(enum cel_op op)
{
    return ops[op].precedence;
}

/* Words that the language keeps for itself: no name of its own, but a field may be called so. */
static const char *const reserved[] = { "as",        "break",  "const",  "continue", "else", "for",
                                        "function",  "if",     "import", "let",      "loop", "package",
                                        "namespace", "return", "var",    "void",     "while" };

bool word_is_keyword(struct slice word)
{
    return slice_eq_str(word, "true") || slice_eq_str(word, "false") || slice_eq_str(word, "null") ||
           slice_eq_str(word, "in");
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(int c)
{
    return is_name_start(c) || is_digit(c);
}

/* The byte at `at`, or -1 behind the end. */
static int peek(const struct lexer *lexer, size_t at)
{
    return at < lexer->text.len ? (unsigned char)lexer->text.ptr[at] : -1;
}

static struct token refuse(struct lexer *lexer, size_t at, const char *sentence)
{
    fault_add(lexer->faults, at, "%s", sentence);
    return (struct token){ .kind = TOKEN_END, .at = at, .end = at };
}

static void skip_space(struct lexer *lexer)
{
    for (;;) {
        int c = peek(lexer, lexer->at);

        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
            lexer->at++;
        } else if (c == '/' && peek(lexer, lexer->at + 1) == '/') {
            while (peek(lexer, lexer->at) != '\n' && lexer->at < lexer->text.len)
                lexer->at++;
        } else {
            return;
        }
    }
}

/* ---- numbers ---- */

static struct token lex_integer(struct lexer *lexer, struct token token, size_t digits, int base,
                                bool is_negative)
{
    uint64_t magnitude = 0, most = is_negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    bool is_over = false, is_unsigned = peek(lexer, lexer->at) == 'u' || peek(lexer, lexer->at) == 'U';

    for (size_t i = digits; i < lexer->at; i++) {
        is_over |= __builtin_mul_overflow(magnitude, (uint64_t)base, &magnitude);
        is_over |= __builtin_add_overflow(magnitude, (uint64_t)hex_digit(peek(lexer, i)), &magnitude);
    }
    if (is_unsigned) {
        lexer->at++;
        if (is_negative)
            return refuse(lexer, token.at, "an unsigned number has no minus");
        token.value = cel_uint(magnitude);
    } else {
        is_over |= magnitude > most;
        token.value = cel_int(is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude);
    }
    if (is_over)
        return refuse(lexer, token.at, "the number does not fit into 64 bits");
    if (is_name(peek(lexer, lexer->at)))
        return refuse(lexer, lexer->at, "a number ends where a name begins");
    token.end = lexer->at;
    return token;
}

static struct token lex_double(struct lexer *lexer, struct token token, bool is_negative)
{
    char digits[512];
    size_t len = lexer->at - token.at;

    if (len >= sizeof digits)
        return refuse(lexer, token.at, "the number is too long");
    memcpy(digits, lexer->text.ptr + token.at, len);
    digits[len] = 0;
    token.value = cel_double(is_negative ? -strtod(digits, NULL) : strtod(digits, NULL));
    if (isinf(token.value.d))
        return refuse(lexer, token.at, "the number does not fit into a double");
    if (is_name(peek(lexer, lexer->at)))
        return refuse(lexer, lexer->at, "a number ends where a name begins");
    token.end = lexer->at;
    return token;
}

static void skip_digits(struct lexer *lexer)
{
    while (is_digit(peek(lexer, lexer->at)))
        lexer->at++;
}

static struct token lex_number(struct lexer *lexer, bool is_negative)
{
    struct token token = { .kind = TOKEN_LITERAL, .at = lexer->at };
    bool is_double = false;

    if (peek(lexer, lexer->at) == '0' && (peek(lexer, lexer->at + 1) | 0x20) == 'x' &&
        hex_digit(peek(lexer, lexer->at + 2)) >= 0) {
        lexer->at += 2;
        while (hex_digit(peek(lexer, lexer->at)) >= 0)
            lexer->at++;
        return lex_integer(lexer, token, token.at + 2, 16, is_negative);
    }
    skip_digits(lexer);
    if (peek(lexer, lexer->at) == '.' && is_digit(peek(lexer, lexer->at + 1))) {
        is_double = true;
        lexer->at++;
        skip_digits(lexer);
    }
    if ((peek(lexer, lexer->at) | 0x20) == 'e') {
        int sign = peek(lexer, lexer->at + 1);
        size_t digits = lexer->at + (sign == '+' || sign == '-' ? 2 : 1);

        if (is_digit(peek(lexer, digits))) {
            is_double = true;
            lexer->at = digits;
            skip_digits(lexer);
        }
    }
    return is_double ? lex_double(lexer, token, is_negative)
                     : lex_integer(lexer, token, token.at, 10, is_negative);
}

/* ---- strings ---- */

size_t utf8_put(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Reads `count` digits of `base` at lexer->at; -1 when they are not there. */
static int64_t escape_digits(struct lexer *lexer, size_t count, int base)
{
    int64_t value = 0;

    for (size_t i = 0; i < count; i++, lexer->at++) {
        int digit = hex_digit(peek(lexer, lexer->at));

        if (digit < 0 || digit >= base)
            return -1;
        value = value * base + digit;
    }
    return value;
}

/* One escape; lexer->at is behind the backslash. Writes at most four bytes; 0 for a fault. */
static size_t lex_escape(struct lexer *lexer, bool is_bytes, char out[4])
{
    static const char plain[] = "a\ab\bf\fn\nr\rt\tv\v\\\\??\"\"''``";
    int c = peek(lexer, lexer->at++);
    int64_t value;

    for (size_t i = 0; i + 1 < sizeof plain; i += 2) {
        if (c == plain[i]) {
            out[0] = plain[i + 1];
            return 1;
        }
    }
    if (c == 'x' || c == 'X') {
        value = escape_digits(lexer, 2, 16);
    } else if (c >= '0' && c <= '3') {
        lexer->at--;
        value = escape_digits(lexer, 3, 8);
    } else if ((c == 'u' || c == 'U') && !is_bytes) {
        value = escape_digits(lexer, c == 'u' ? 4 : 8, 16);
    } else {
        return 0;
    }
    if (value < 0 || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    if (is_bytes) {
        out[0] = (char)value;
        return 1;
    }
    return utf8_put((uint32_t)value, out);
}

/* The token begins at `start` (with its prefix); lexer->at is at the first quote. */
static struct token lex_string(struct lexer *lexer, size_t start, bool is_raw, bool is_bytes)
{
    struct token token = { .kind = TOKEN_LITERAL, .at = start };
    int quote = peek(lexer, lexer->at);
    size_t quotes = peek(lexer, lexer->at + 1) == quote && peek(lexer, lexer->at + 2) == quote ? 3 : 1;
    char *out;
    size_t len = 0;

    /* No escape is shorter than what it stands for, so the whole text's length is room enough for any. */
    if (!lexer->scratch)
        lexer->scratch = arena_new(lexer->arena, char, lexer->text.len + 4);
    out = lexer->scratch;

    lexer->at += quotes;
    for (;;) {
        int c = peek(lexer, lexer->at);

        if (c < 0 || (quotes == 1 && (c == '\n' || c == '\r')))
            return refuse(lexer, start, "the string has no end");
        if (c == quote &&
            (quotes == 1 || (peek(lexer, lexer->at + 1) == quote && peek(lexer, lexer->at + 2) == quote)))
            break;
        if (c == '\\' && !is_raw) {
            size_t escape = lexer->at++, written = lex_escape(lexer, is_bytes, out + len);

            if (written == 0)
                return refuse(lexer, escape, "no such escape in a string");
            len += written;
            continue;
        }
        out[len++] = (char)c;
        lexer->at++;
    }
    lexer->at += quotes;
    token.end = lexer->at;
    token.value = cel_string(slice_of(arena_strndup(lexer->arena, out, len), len));
    if (is_bytes)
        token.value.kind = CEL_BYTES;
    return token;
}

/* Whether a string with a prefix such as r, b, rb or br begins here; how long the prefix is. */
static bool is_string_start(const struct lexer *lexer, size_t *prefix, bool *is_raw, bool *is_bytes)
{
    *is_raw = *is_bytes = false;
    for (*prefix = 0; *prefix < 3; ++*prefix) {
        int c = peek(lexer, lexer->at + *prefix);

        if (c == '"' || c == '\'')
            return true;
        if ((c == 'r' || c == 'R') && !*is_raw)
            *is_raw = true;
        else if ((c == 'b' || c == 'B') && !*is_bytes)
            *is_bytes = true;
        else
            return false;
    }
    return false;
}

/* ---- names and symbols ---- */

static struct token lex_name(struct lexer *lexer)
{
    struct token token = { .kind = TOKEN_NAME, .at = lexer->at };

    while (is_name(peek(lexer, lexer->at)))
        lexer->at++;
    token.end = lexer->at;
    token.name = slice_of(lexer->text.ptr + token.at, token.end - token.at);
    if (slice_eq_str(token.name, "in")) {
        token.kind = TOKEN_SYMBOL;
        token.op = OP_IN;
    } else if (slice_eq_str(token.name, "true") || slice_eq_str(token.name, "false")) {
        token.kind = TOKEN_LITERAL;
        token.value = cel_bool(token.name.ptr[0] == 't');
    } else if (slice_eq_str(token.name, "null")) {
        token.kind = TOKEN_LITERAL;
        token.value = (struct cel_value){ .kind = CEL_NULL };
    }
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (slice_eq_str(token.name, reserved[i]))
            token.is_reserved = true;
    }
    return token;
}

/* `a-b.c`: a field's name with more than letters. */
static struct token lex_quoted_name(struct lexer *lexer)
{
    struct token token = { .kind = TOKEN_NAME, .at = lexer->at, .is_quoted = true };
    int c;

    do {
        c = peek(lexer, ++lexer->at);
    } while (is_name(c) || c == '.' || c == '-' || c == '/' || c == ' ');
    token.name = slice_of(lexer->text.ptr + token.at + 1, lexer->at - token.at - 1);
    if (c != '`' || token.name.len == 0)
        return refuse(lexer, token.at, "the quoted name has no end");
    token.end = ++lexer->at;
    return token;
}

static struct token lex_symbol(struct lexer *lexer)
{
    struct slice rest = { lexer->text.ptr + lexer->at, lexer->text.len - lexer->at };

    /* Longer spellings stand before their beginnings in the table, "<=" before "<"; "!=" before "!". */
    for (enum cel_op op = OP_OR; op < OP_COUNT; op++) {
        struct slice spelling = slice_str(ops[op].spelling);

        if (slice_starts_with(rest, spelling)) {
            struct token token = { .kind = TOKEN_SYMBOL, .op = op, .at = lexer->at };

            lexer->at += spelling.len;
            token.end = lexer->at;
            return token;
        }
    }
    return refuse(lexer, lexer->at, "this character has no meaning here");
}

struct token lex_next(struct lexer *lexer, bool is_negative)
{
    size_t prefix;
    bool is_raw, is_bytes;
    int c;

    skip_space(lexer);
    c = peek(lexer, lexer->at);
    if (c < 0)
        return (struct token){ .kind = TOKEN_END, .at = lexer->at, .end = lexer->at };
    if (is_digit(c) || (c == '.' && is_digit(peek(lexer, lexer->at + 1))))
        return lex_number(lexer, is_negative);
    if (is_string_start(lexer, &prefix, &is_raw, &is_bytes)) {
        size_t start = lexer->at;

        lexer->at += prefix;
        return lex_string(lexer, start, is_raw, is_bytes);
    }
    if (is_name_start(c))
        return lex_name(lexer);
    if (c == '`')
        return lex_quoted_name(lexer);
    return lex_symbol(lexer);
}
