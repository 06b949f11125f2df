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

void err_explain(struct why *why, const char *format, ...)
{
    va_list args;

    if (!why)
        return;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}

void err_prefix(struct why *why, const char *format, ...)
{
    struct why inner;
    va_list args;
    size_t len;

    if (!why)
        return;
    inner = *why;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    len = strlen(why->text);
    snprintf(why->text + len, sizeof why->text - len, ": %s", inner.text);
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
