/* SPDX-License-Identifier: Apache-2.0 */
#include "log/log.h"

#include <stdio.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"

enum { LINE_BYTES = 2048, QUOTED_BYTES = 512, QUOTED_INPUT_BYTES = 240, QUOTED_SLOTS = 4 };

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

/* Set once by main() before any thread starts. */
static const char *service_name = "assay";
static enum log_level least_level = LOG_INFO;

void log_open(const char *service, enum log_level least)
{
    service_name = service;
    least_level = least;
}

bool log_level_find(struct slice name, enum log_level *level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
        if (slice_eq_str(name, level_names[i])) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    char line[LINE_BYTES], at[RFC3339_SIZE];
    size_t room = sizeof line - 1; /* the last byte is for the newline */
    size_t len;
    va_list args;
    int n;

    if (level < least_level)
        return;
    rfc3339_format(clock_wall_us(), at);
    n = snprintf(line, room, "%s %s %s %s", at, level_names[level], service_name, event);
    len = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    if (format && len + 1 < room) {
        line[len++] = ' ';
        va_start(args, format);
        n = vsnprintf(line + len, room - len, format, args);
        va_end(args);
        len += n < 0 ? 0 : (size_t)n < room - len ? (size_t)n : room - len - 1;
    }
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* a log that cannot be written must not stop the service */
}

const char *log_quoted(struct slice value)
{
    static _Thread_local char slots[QUOTED_SLOTS][QUOTED_BYTES];
    static _Thread_local unsigned next;
    char *text = slots[next++ % QUOTED_SLOTS], *p = text;
    size_t len = value.len < QUOTED_INPUT_BYTES ? value.len : QUOTED_INPUT_BYTES;

    *p++ = '"';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c == '"' || c == '\\')
            *p++ = '\\';
        *p++ = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    *p++ = '"';
    *p = '\0';
    return text;
}
