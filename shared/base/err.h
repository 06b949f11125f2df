/* SPDX-License-Identifier: Apache-2.0
 * err.h - how a failure travels: a code for the program, one sentence for a person.
 *
 * What can fail returns `enum err` and leaves its results through pointers. The cause is written into
 * `struct why` where it is known, and logged once, where the request ends. */
#ifndef ASSAY_BASE_ERR_H
#define ASSAY_BASE_ERR_H

#include <stdarg.h>

/* X(code, name, HTTP status). The name is what logs and metrics show. */
#define ERR_LIST(X)                                                                                          \
    X(ERR_OK, "ok", 200)                                                                                     \
    X(ERR_SYNTAX, "syntax", 400)             /* the input cannot be parsed                    */             \
    X(ERR_INVALID, "invalid", 422)           /* it can be parsed, and breaks a rule           */             \
    X(ERR_UNAUTHORIZED, "unauthorized", 401) /* no or unknown credentials                   */               \
    X(ERR_FORBIDDEN, "forbidden", 403)       /* known, but not allowed to                     */             \
    X(ERR_NOT_FOUND, "not_found", 404)       /* no such thing                                 */             \
    X(ERR_CONFLICT, "conflict", 409)         /* the id is taken by something else             */             \
    X(ERR_TOO_LARGE, "too_large", 413)       /* a body, row or message over its cap           */             \
    X(ERR_LIMIT, "limit", 429)               /* too many for this caller; retry later         */             \
    X(ERR_TIMEOUT, "timeout", 504)           /* a deadline passed; safe to retry              */             \
    X(ERR_UNAVAILABLE, "unavailable", 503)   /* a dependency is down; retry later             */             \
    X(ERR_UNKNOWN, "unknown", 503)           /* sent, but the outcome was not seen: look first */            \
    X(ERR_INTERNAL, "internal", 500)         /* our bug                                       */

enum err {
#define ERR_ENUM(code, name, http) code,
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT
};

#define MUST_USE                 __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* One line of the caller's memory. Zero-initialise it; empty text means that nothing went wrong. */
struct why {
    char text[512];
};

static inline enum err err_same(enum err code)
{
    return code;
}

/* Writes the reason (cut to fit) when `why` is not NULL, and gives `code`, so that a failure reads
 * `return err_set(why, ERR_INVALID, "...")`. A macro, so that the compiler and the analyser see the code. */
#define err_set(why, code, ...) (err_explain((why), __VA_ARGS__), err_same(code))
void err_explain(struct why *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "context: " before the reason that is already there; gives `code` unchanged. */
#define err_wrap(why, code, ...) (err_prefix((why), __VA_ARGS__), err_same(code))
void err_prefix(struct why *why, const char *format, ...) PRINTF_LIKE(2, 3);

const char *err_name(enum err code);
int err_http_status(enum err code);

#endif
