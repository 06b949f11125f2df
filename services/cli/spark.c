/* SPDX-License-Identifier: Apache-2.0 */
#include "spark.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <string.h>

#include "base/array.h"

static const char *const columns[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
static const char *const plain[] = { " ", ".", ":", "-", "=", "+", "*", "%", "#" };
enum { LEVELS = ARRAY_LEN(columns) - 1 };
static_assert(ARRAY_LEN(plain) == ARRAY_LEN(columns), "both have the same levels");

bool spark_has_blocks(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    bool has = false;

    if (locale == (locale_t)0)
        return false;
    has = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return has;
}

static double clamp(double x)
{
    return !(x > 0) ? 0 : x > 1 ? 1 : x;
}

void spark_line(struct buf *out, const double *values, size_t count, double most, bool has_blocks)
{
    for (size_t i = 0; i < count; i++) {
        double share = most > 0 ? clamp(values[i] / most) : 0;
        /* What is there at all is seen. */
        size_t level = isnan(values[i]) ? 0 : share > 0 ? (size_t)ceil(share * LEVELS) : 1;

        buf_printf(out, "%s", (has_blocks ? columns : plain)[level]);
    }
}

void spark_bar(struct buf *out, double share, size_t width, bool has_blocks)
{
    size_t parts = (size_t)lround(clamp(share) * (double)width * 8), full = parts / 8, at = full;

    for (size_t i = 0; i < full; i++)
        buf_printf(out, "%s", has_blocks ? "█" : "#");
    if (parts % 8 && full < width) {
        buf_printf(out, "%s", has_blocks ? eighths[parts % 8] : parts % 8 < 4 ? " " : "#");
        at++;
    }
    for (; at < width; at++)
        buf_printf(out, " ");
}
