/* SPDX-License-Identifier: Apache-2.0 */
#include "log/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "log/limit.h"

enum {
    LINE_BYTES = 2048,
    SUPPRESSED_BYTES = 32,
    QUOTED_BYTES = 512,
    QUOTED_INPUT_BYTES = 240,
    QUOTED_SLOTS = 4
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

/* Set once by main() before any thread starts. */
static const char *service_name = "assay";
static enum log_level least_level = LOG_INFO;

/* Of the whole process, as is the stream that it spares. */
static struct log_limit limit;
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;

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

/* Adds what fits into `room` bytes, of which the last is for a NUL. */
static size_t add(char *line, size_t len, size_t room, const char *format, va_list args)
{
    int n = vsnprintf(line + len, room - len, format, args);

    return len + (n < 0 ? 0 : (size_t)n < room - len ? (size_t)n : room - len - 1);
}

static size_t add_printf(char *line, size_t len, size_t room, const char *format, ...) PRINTF_LIKE(4, 5);
static size_t add_printf(char *line, size_t len, size_t room, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    len = add(line, len, room, format, args);
    va_end(args);
    return len;
}

static void write_line(enum log_level level, const char *event, uint64_t suppressed, const char *format,
                       va_list args)
{
    char line[LINE_BYTES], at[RFC3339_SIZE];
    size_t room = sizeof line - 1 - SUPPRESSED_BYTES; /* the last byte is for the newline */
    size_t len;

    rfc3339_format(clock_wall_us(), at);
    len = add_printf(line, 0, room, "%s %s %s %s", at, level_names[level], service_name, event);
    if (format && len + 1 < room) {
        line[len++] = ' ';
        len = add(line, len, room, format, args);
    }
    if (suppressed)
        len = add_printf(line, len, sizeof line - 1, " suppressed=%" PRIu64, suppressed);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* a log that cannot be written must not stop the service */
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    va_list args;

    if (level < least_level)
        return;
    va_start(args, format);
    write_line(level, event, 0, format, args);
    va_end(args);
}

void log_limited(enum log_level level, const char *event, const char *format, ...)
{
    uint64_t suppressed = 0;
    bool may_write;
    va_list args;

    if (level < least_level)
        return;
    pthread_mutex_lock(&limit_lock);
    may_write = log_limit_take(&limit, event, (int)level, clock_mono_us(), &suppressed);
    pthread_mutex_unlock(&limit_lock);
    if (!may_write)
        return;
    va_start(args, format);
    write_line(level, event, suppressed, format, args);
    va_end(args);
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
