/* SPDX-License-Identifier: Apache-2.0
 * log.h - one structured line per event on standard error: time, level, service, event name, key=value pairs.
 *
 *   2026-01-31T12:00:00.123456Z info ingestion ready port=8080 admin_port=9100
 *
 * Values with spaces, quotes, '=' or control bytes are quoted and escaped (logfmt). Never pass a card number
 * or personal data: ids of transactions are fine. One write(2) a line, so lines of several threads do not
 * mix. */
#ifndef ASSAY_LOG_LOG_H
#define ASSAY_LOG_LOG_H

#include "base/err.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Names the program in every line (borrowed for ever: a literal) and sets the least level written. */
void log_open(const char *service, enum log_level least);
/* "debug", "info", "warn", "error"; false and unchanged for any other word. */
bool log_level_find(struct slice name, enum log_level *level);

/* `event` is a lower_snake name. `format` gives "key=value key=value" or is NULL; values that may hold
 * anything go through log_quoted(). */
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same for what somebody outside can cause as often as they like, a request, a connection, a message: one line a
 * second of each event and level. The next ends in "suppressed=N" when N were not written. */
void log_limited(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

/* A value in quotes, for "%s": at most 240 bytes of it; the text lives until the fourth next call on this
 * thread. */
const char *log_quoted(struct slice value);

#endif
