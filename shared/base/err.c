/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http_status;
} errs[] = {
#define ERR_ROW(code, name, http) [code] = { name, http },
    ERR_LIST(ERR_ROW)
#undef ERR_ROW
};

enum err err_set(struct why *why, enum err code, const char *format, ...)
{
    va_list args;

    if (!why)
        return code;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return code;
}

enum err err_wrap(struct why *why, enum err code, const char *format, ...)
{
    struct why inner;
    va_list args;
    size_t len;

    if (!why)
        return code;
    inner = *why;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    len = strlen(why->text);
    snprintf(why->text + len, sizeof why->text - len, ": %s", inner.text);
    return code;
}

const char *err_name(enum err code)
{
    assert(code < ERR_COUNT);
    return errs[code].name;
}

int err_http_status(enum err code)
{
    assert(code < ERR_COUNT);
    return errs[code].http_status;
}
