/* SPDX-License-Identifier: Apache-2.0
 * fault.c - shows a person where in the text a fault is. */
#include <stdarg.h>
#include <stdio.h>

#include "cel/ast.h"

enum { SHOWN_FAULTS = 3, SHOWN_COLUMNS = 72 };

static size_t code_points(const char *from, const char *to)
{
    size_t count = 0;

    for (; from < to; from++)
        count += ((unsigned char)*from & 0xc0) != 0x80;
    return count;
}

/* Where to cut: `count` code points behind `from`, or the end. */
static const char *forward(const char *from, const char *end, size_t count)
{
    for (; from < end && count > 0; count--) {
        from++;
        while (from < end && ((unsigned char)*from & 0xc0) == 0x80)
            from++;
    }
    return from;
}

void fault_add(struct faults *faults, size_t at, const char *format, ...)
{
    const char *text = faults->text.ptr, *end = text + faults->text.len;
    const char *place = text + (at < faults->text.len ? at : faults->text.len), *line = place,
               *line_end = place;
    size_t line_number = 1, column, used;
    char sentence[160];
    va_list args;

    if (faults->count++ >= SHOWN_FAULTS || !faults->why)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);

    while (line > text && line[-1] != '\n')
        line--;
    while (line_end < end && *line_end != '\n')
        line_end++;
    for (const char *c = text; c < line; c++)
        line_number += *c == '\n';
    column = code_points(line, place);

    /* A long line is shown around the place. */
    const char *shown = column < SHOWN_COLUMNS - 10 ? line : forward(line, place, column - SHOWN_COLUMNS / 2);
    const char *shown_end = forward(shown, line_end, SHOWN_COLUMNS);
    used = strlen(faults->why->text);
    snprintf(faults->why->text + used, sizeof faults->why->text - used, "%s%zu:%zu: %s\n | %.*s\n | %*s",
             used ? "\n" : "", line_number, column + 1, sentence, (int)(shown_end - shown), shown,
             (int)code_points(shown, place) + 1, "^");
}
