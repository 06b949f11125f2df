/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "base/slice.h"

static const struct {
    const char *word;
    bool value;
} bools[] = {
    { "true", true },   { "1", true },  { "yes", true }, { "on", true },
    { "false", false }, { "0", false }, { "no", false }, { "off", false },
};

static const struct {
    const char *suffix;
    int64_t ms;
} units[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 }, { "h", 3600 * 1000 }, { "d", 86400 * INT64_C(1000) },
    { "", 1 },
};

static bool read_duration(struct slice text, int64_t *ms)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct slice suffix = slice_str(units[i].suffix);
        int64_t number;

        if (text.len <= suffix.len || memcmp(text.ptr + text.len - suffix.len, suffix.ptr, suffix.len) != 0)
            continue;
        if (slice_to_i64(slice_of(text.ptr, text.len - suffix.len), &number))
            return !__builtin_mul_overflow(number, units[i].ms, ms);
    }
    return false;
}

static bool read_bool(const char *text, bool *out)
{
    for (size_t i = 0; i < ARRAY_LEN(bools); i++)
        if (strcmp(text, bools[i].word) == 0) {
            *out = bools[i].value;
            return true;
        }
    return false;
}

static enum err read_file(const char *name, const char *path, const char **out, struct why *why)
{
    enum { LARGEST = 1 << 20 };
    char *text = mem_alloc(LARGEST, 1);
    FILE *f = fopen(path, "r");
    size_t len;

    if (!f) {
        mem_free(text);
        return err_set(why, ERR_INVALID, "%s_FILE=%s: %s", name, path, strerror(errno));
    }
    len = fread(text, 1, LARGEST - 1, f);
    fclose(f);
    if (len && text[len - 1] == '\n')
        text[len - 1] = '\0';
    *out = text; /* lives as long as the process, like the environment */
    return ERR_OK;
}

/* The text of one setting: the variable, the file that its _FILE twin names, or the fallback. */
static enum err look_up(const struct conf_field *f, const char **text, struct why *why)
{
    char name[128], file_name[136];
    const char *value;

    snprintf(name, sizeof name, "ASSAY_%s", f->name);
    snprintf(file_name, sizeof file_name, "%s_FILE", name);
    value = getenv(name);
    if (value) {
        *text = value;
        return ERR_OK;
    }
    value = getenv(file_name);
    if (value)
        return read_file(name, value, text, why);
    if (!f->fallback)
        return err_set(why, ERR_INVALID, "%s is not set (%s)", name, f->help);
    *text = f->fallback;
    return ERR_OK;
}

enum err conf_load(void *settings, const struct conf_field *fields, size_t count, struct why *why)
{
    for (size_t i = 0; i < count; i++) {
        const struct conf_field *f = &fields[i];
        void *at = (char *)settings + f->offset;
        const char *text = "";
        bool is_good = true;
        enum err err = look_up(f, &text, why);

        if (err)
            return err;
        switch (f->kind) {
        case CONF_TEXT:
            *(const char **)at = text;
            break;
        case CONF_BOOL:
            is_good = read_bool(text, at);
            break;
        case CONF_INT:
            is_good = slice_to_i64(slice_str(text), at);
            break;
        case CONF_DURATION_MS:
            is_good = read_duration(slice_str(text), at);
            break;
        }
        if (!is_good)
            return err_set(why, ERR_INVALID, "ASSAY_%s=%s cannot be read (%s)", f->name, text, f->help);
        if ((f->kind == CONF_INT || f->kind == CONF_DURATION_MS) && (f->least || f->most) &&
            (*(int64_t *)at < f->least || *(int64_t *)at > f->most))
            return err_set(why, ERR_INVALID, "ASSAY_%s=%s is not between %lld and %lld (%s)", f->name, text,
                           (long long)f->least, (long long)f->most, f->help);
    }
    return ERR_OK;
}

void conf_print(FILE *out, const struct conf_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  ASSAY_%-28s %s (default: %s)\n", fields[i].name, fields[i].help,
                !fields[i].fallback   ? "none, must be set"
                : *fields[i].fallback ? fields[i].fallback
                                      : "empty");
}
