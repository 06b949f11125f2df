/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"

#include <math.h>
#include <stdlib.h>

int slice_compare(struct slice a, struct slice b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared ? memcmp(a.ptr, b.ptr, shared) : 0;

    if (order)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool slice_to_i64(struct slice a, int64_t *out)
{
    bool negative = a.len && a.ptr[0] == '-';
    size_t i = a.len && (a.ptr[0] == '-' || a.ptr[0] == '+');
    int64_t value = 0;

    if (i == a.len)
        return false;
    for (; i < a.len; i++) {
        int digit = a.ptr[i] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) /* counts down, so that INT64_MIN fits */
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *out = negative ? value : -value;
    return true;
}

bool slice_to_double(struct slice a, double *out)
{
    char text[64], *end;
    double value;

    if (a.len == 0 || a.len >= sizeof text)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (!strchr("0123456789+-.eE", a.ptr[i]) || !a.ptr[i])
            return false;
    memcpy(text, a.ptr, a.len);
    text[a.len] = '\0';
    value = strtod(text, &end); /* the programs never call setlocale(), so the point is '.' */
    if (end != text + a.len || !isfinite(value))
        return false;
    *out = value;
    return true;
}

bool slice_is_utf8(struct slice a)
{
    const unsigned char *p = (const unsigned char *)a.ptr, *end = p + a.len;

    while (p < end) {
        unsigned char lead = *p++;
        unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
        int more;

        if (lead < 0x80)
            continue;
        if (lead >= 0xC2 && lead <= 0xDF)
            more = 1;
        else if (lead >= 0xE0 && lead <= 0xEF)
            more = 2;
        else if (lead >= 0xF0 && lead <= 0xF4)
            more = 3;
        else
            return false;
        if (lead == 0xE0)
            low = 0xA0;
        else if (lead == 0xED)
            high = 0x9F;
        else if (lead == 0xF0)
            low = 0x90;
        else if (lead == 0xF4)
            high = 0x8F;
        if (end - p < more || p[0] < low || p[0] > high)
            return false;
        for (int i = 1; i < more; i++)
            if (p[i] < 0x80 || p[i] > 0xBF)
                return false;
        p += more;
    }
    return true;
}
