/* SPDX-License-Identifier: Apache-2.0 */
#include "fraud/pan.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"

enum { PAN_MIN = 12, PAN_MAX = 19, GROUPS_MAX = 32 };
#define PAN_LEAST UINT64_C(100000000000) /* of PAN_MIN digits */

#define AT(length)        (1u << (length))
#define FROM_TO(from, to) ((2u << (to)) - (1u << (from)))

/* Who issues which numbers: prefixes from `low` to `high`, of as many digits as these have, and the lengths
 * in use. Sources: ISO/IEC 7812 issuer identification numbers as the schemes publish them. The lengths are
 * those that cards have, not those that a scheme reserves: at 17 and 18 digits, where snowflake ids live,
 * only those that issue such numbers stand here. */
static const struct issuer {
    unsigned low, high;
    unsigned lengths; /* bit per length */
} issuers[] = {
    { 4, 4, AT(13) | AT(16) | AT(19) }, /* Visa */
    { 4903, 4903, AT(18) },             /* Switch */
    { 4905, 4905, AT(18) },
    { 4911, 4911, AT(18) },
    { 4936, 4936, AT(18) },
    { 51, 55, AT(16) }, /* Mastercard */
    { 2221, 2720, AT(16) },
    { 34, 34, AT(15) }, /* American Express */
    { 37, 37, AT(15) },
    { 300, 305, AT(14) | AT(16) | AT(19) }, /* Diners Club */
    { 309, 309, AT(14) | AT(16) | AT(19) },
    { 36, 36, AT(14) | AT(16) | AT(19) },
    { 38, 39, AT(14) | AT(16) | AT(19) },
    { 6011, 6011, AT(16) | AT(19) }, /* Discover */
    { 644, 649, AT(16) | AT(19) },
    { 65, 65, AT(16) | AT(19) },
    { 3528, 3589, FROM_TO(16, 19) }, /* JCB */
    { 2131, 2131, AT(15) },
    { 1800, 1800, AT(15) },
    { 62, 62, FROM_TO(14, 19) }, /* UnionPay */
    { 81, 82, AT(16) },          /* UnionPay, RuPay */
    { 50, 50, AT(16) },          /* Maestro, Elo, Verve, Dankort, RuPay, BankCard, ... */
    { 56, 69, AT(16) },
    { 5018, 5018, FROM_TO(12, 19) }, /* Maestro's own, at its other lengths */
    { 5020, 5020, FROM_TO(12, 19) },
    { 5033, 5033, FROM_TO(12, 19) },
    { 5038, 5038, FROM_TO(12, 19) },
    { 5612, 5612, FROM_TO(12, 19) },
    { 5641, 5641, FROM_TO(12, 19) },
    { 5868, 5868, FROM_TO(12, 19) },
    { 5893, 5893, FROM_TO(12, 19) },
    { 6304, 6304, FROM_TO(12, 19) }, /* and Laser */
    { 6331, 6334, FROM_TO(18, 19) }, /* Switch, Solo */
    { 6390, 6390, FROM_TO(12, 19) },
    { 6703, 6703, FROM_TO(12, 19) }, /* Bancontact */
    { 6706, 6709, FROM_TO(12, 19) },
    { 6731, 6731, FROM_TO(12, 19) },
    { 6759, 6763, FROM_TO(12, 19) },
    { 6767, 6767, FROM_TO(12, 19) },
    { 6771, 6771, FROM_TO(12, 19) },
    { 6799, 6799, FROM_TO(12, 19) },
    { 506099, 506198, FROM_TO(18, 19) }, /* Verve */
    { 650002, 650027, AT(18) },
    { 636, 636, AT(19) },                /* InterPayment */
    { 606282, 606282, FROM_TO(17, 19) }, /* Hipercard */
    { 2200, 2205, FROM_TO(16, 19) },     /* Mir, BORICA */
    { 9792, 9792, AT(16) },              /* Troy */
    { 9704, 9704, AT(16) | AT(19) },     /* Napas */
    { 9112, 9112, AT(16) },              /* Belkart */
    { 8600, 8600, AT(16) },              /* Uzcard */
    { 9860, 9860, AT(16) },              /* Humo */
    { 1, 1, AT(15) },                    /* UATP */
};

/* The ways a card number is printed, for runs in which other digits stand beside it. */
static const unsigned char layouts[][6] = {
    { 4, 4, 4, 4 }, { 4, 6, 5 }, { 4, 6, 4 }, { 4, 4, 4, 4, 3 },
    { 4, 4, 4, 1 }, { 6, 13 },   { 4, 4, 5 }, { 8, 8 },
};

/* One maximal run: groups of digits with one separator between each two. */
struct run {
    const char *start, *end;
    struct {
        const char *start, *end;
    } groups[GROUPS_MAX];
    size_t group_count;
    bool is_cut; /* more groups than GROUPS_MAX: they come as the next run */
    bool touches_before, touches_after;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Bytes of one space or hyphen at `at`; 0 when there is none. */
static size_t separator(const char *at, const char *end)
{
    static const char *const wide[] = {
        "\u00a0", "\u2007", "\u2009", "\u202f", "\u2010", "\u2011", "\u2012", "\u2013", "\u2212",
    };

    if (at == end)
        return 0;
    if (*at == ' ' || *at == '-')
        return 1;
    if ((unsigned char)*at < 0x80)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(wide); i++) {
        size_t len = strlen(wide[i]);

        if ((size_t)(end - at) >= len && memcmp(at, wide[i], len) == 0)
            return len;
    }
    return 0;
}

/* The next run at or behind `from`; false when there is none. */
static bool run_next(struct run *r, struct slice text, const char *from)
{
    const char *end = text.ptr + text.len, *at = from;

    while (at < end && !is_digit(*at))
        at++;
    if (at == end)
        return false;
    *r = (struct run){ .start = at };
    /* A dot in front is a decimal point (".4111" too); behind, it may end a sentence. */
    r->touches_before = at > text.ptr && (is_letter(at[-1]) || at[-1] == '.');
    for (;;) {
        size_t gap;

        r->groups[r->group_count].start = at;
        while (at < end && is_digit(*at))
            at++;
        r->groups[r->group_count++].end = at;
        gap = separator(at, end);
        if (!gap || at + gap == end || !is_digit(at[gap]))
            break;
        if (r->group_count == GROUPS_MAX) {
            r->is_cut = true;
            break;
        }
        at += gap;
    }
    r->end = at;
    r->touches_after = at < end && (is_letter(*at) || (*at == '.' && at + 1 < end && is_digit(at[1])));
    return true;
}

/* The digits of groups first..last (exclusive); 0 when they are not 12 to 19. */
static size_t digits_of(const struct run *r, size_t first, size_t last, char digits[PAN_MAX + 1])
{
    size_t len = 0;

    for (size_t g = first; g < last; g++) {
        size_t more = (size_t)(r->groups[g].end - r->groups[g].start);

        if (len + more > PAN_MAX)
            return 0;
        memcpy(digits + len, r->groups[g].start, more);
        len += more;
    }
    return len < PAN_MIN ? 0 : len;
}

static bool passes_luhn(const char *digits, size_t len)
{
    unsigned sum = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned d = (unsigned)(digits[len - 1 - i] - '0');

        if (i % 2)
            d = d < 5 ? 2 * d : 2 * d - 9;
        sum += d;
    }
    return sum % 10 == 0;
}

static bool has_issuer(const char *digits, size_t len)
{
    unsigned prefix[7] = { 0 }; /* by number of digits */

    for (size_t i = 1; i < ARRAY_LEN(prefix); i++)
        prefix[i] = prefix[i - 1] * 10 + (unsigned)(digits[i - 1] - '0');
    for (size_t i = 0; i < ARRAY_LEN(issuers); i++) {
        const struct issuer *by = &issuers[i];
        size_t width = by->low < 10 ? 1 : by->low < 100 ? 2 : by->low < 1000 ? 3 : by->low < 10000 ? 4 : 6;

        if ((by->lengths & AT(len)) && prefix[width] >= by->low && prefix[width] <= by->high)
            return true;
    }
    return false;
}

static bool is_pan(const struct run *r, size_t first, size_t last)
{
    char digits[PAN_MAX + 1];
    size_t len;

    if ((first == 0 && r->touches_before) || (last == r->group_count && (r->touches_after || r->is_cut)))
        return false;
    len = digits_of(r, first, last, digits);
    return len && passes_luhn(digits, len) && has_issuer(digits, len);
}

static size_t group_len(const struct run *r, size_t g)
{
    return (size_t)(r->groups[g].end - r->groups[g].start);
}

/* The last group (exclusive) of a card number that starts with group `first` and is printed like one. */
static size_t laid_out_from(const struct run *r, size_t first)
{
    if (group_len(r, first) >= PAN_MIN && is_pan(r, first, first + 1))
        return first + 1;
    for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
        size_t n = 0;

        while (layouts[i][n] && first + n < r->group_count && group_len(r, first + n) == layouts[i][n])
            n++;
        if (!layouts[i][n] && is_pan(r, first, first + n))
            return first + n;
    }
    return 0;
}

/* The card number in one run: the whole of it, or the first part that is printed like one. */
static bool pan_in_run(const struct run *r, struct slice *at)
{
    if (is_pan(r, 0, r->group_count)) {
        *at = slice_of(r->start, (size_t)(r->end - r->start));
        return true;
    }
    for (size_t g = 0; g < r->group_count; g++) {
        size_t last = laid_out_from(r, g);

        if (last) {
            *at = slice_of(r->groups[g].start, (size_t)(r->groups[last - 1].end - r->groups[g].start));
            return true;
        }
    }
    return false;
}

bool pan_find(struct slice text, struct slice *at)
{
    struct slice found;
    struct run r;

    if (text.len < PAN_MIN)
        return false;
    for (const char *from = text.ptr; run_next(&r, text, from); from = r.end) {
        if (r.end - r.start >= PAN_MIN && pan_in_run(&r, &found)) {
            if (at)
                *at = found;
            return true;
        }
    }
    return false;
}

bool pan_in_integer(int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char text[24];
    int len;

    if (magnitude < PAN_LEAST)
        return false;
    len = snprintf(text, sizeof text, "%llu", (unsigned long long)magnitude);
    return pan_find(slice_of(text, (size_t)len), NULL);
}

/* 8-4-4-4-12 hex digits, at least one of them a letter. */
static bool is_uuid(struct slice text)
{
    bool has_letter = false;

    if (text.len != 36)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (c != '-')
                return false;
        } else if (!is_digit(c)) {
            if (!((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
                return false;
            has_letter = true;
        }
    }
    return has_letter;
}

bool pan_find_digits(struct slice text)
{
    char digits[PAN_MAX + 1];
    struct run r;

    if (pan_find(text, NULL))
        return true;
    if (text.len < PAN_MIN || is_uuid(text))
        return false;
    for (const char *from = text.ptr; run_next(&r, text, from); from = r.end) {
        if (!r.touches_before && !r.touches_after && digits_of(&r, 0, r.group_count, digits))
            return true;
    }
    return false;
}

static void redact_once(struct buf *out, struct slice text)
{
    struct slice at;

    while (pan_find(text, &at)) {
        size_t before = (size_t)(at.ptr - text.ptr), through = before + at.len;

        buf_add(out, text.ptr, before);
        buf_add_str(out, "[redacted]");
        text = slice_of(text.ptr + through, text.len - through);
    }
    buf_add_slice(out, text);
}

/* What is left of a run may be a card number now that it stands alone: until none is. */
void pan_redact(struct buf *out, struct slice text)
{
    struct buf left, less;

    buf_init(&left, 0);
    while (pan_find(text, NULL)) {
        buf_init(&less, 0);
        redact_once(&less, text);
        buf_release(&left);
        left = less;
        text = buf_slice(&left);
    }
    buf_add_slice(out, text);
    buf_release(&left);
}
