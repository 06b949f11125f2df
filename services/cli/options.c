/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <string.h>

#include "base/slice.h"

static const struct option *find(const struct option *options, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_str(name, options[i].name))
            return &options[i];
    return NULL;
}

static enum err set(void *into, const struct option *o, const char *value, struct why *why)
{
    void *at = (char *)into + o->offset;
    bool is_good = true;

    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)at = true;
        break;
    case OPTION_TEXT:
        *(const char **)at = value;
        break;
    case OPTION_INT:
        is_good = slice_to_i64(slice_str(value), at);
        break;
    case OPTION_NUMBER:
        is_good = slice_to_double(slice_str(value), at);
        break;
    }
    return is_good ? ERR_OK : err_set(why, ERR_SYNTAX, "--%s %s is not a number", o->name, value);
}

enum err options_read(void *into, const struct option *options, size_t count, char **argv, size_t argc,
                      size_t *operands, struct why *why)
{
    bool is_over = false;

    *operands = 0;
    for (size_t i = 0; i < argc; i++) {
        struct slice word = slice_str(argv[i]);
        const struct option *o;
        const char *equals, *value = NULL;
        enum err err;

        if (is_over || word.len < 2 || word.ptr[0] != '-') {
            argv[(*operands)++] = argv[i];
            continue;
        }
        if (slice_eq_str(word, "--")) {
            is_over = true;
            continue;
        }
        word = slice_of(word.ptr + 1, word.len - 1);
        if (word.ptr[0] == '-')
            word = slice_of(word.ptr + 1, word.len - 1);
        equals = memchr(word.ptr, '=', word.len);
        if (equals) {
            value = equals + 1;
            word.len = (size_t)(equals - word.ptr);
        }
        o = find(options, count, word);
        if (!o)
            return err_set(why, ERR_SYNTAX, "no option %s", argv[i]);
        if (o->kind == OPTION_FLAG && value)
            return err_set(why, ERR_SYNTAX, "--%s takes no value", o->name);
        if (o->kind != OPTION_FLAG && !value) {
            if (++i == argc)
                return err_set(why, ERR_SYNTAX, "--%s needs a value (%s)", o->name, o->value);
            value = argv[i];
        }
        err = set(into, o, value, why);
        if (err)
            return err;
    }
    return ERR_OK;
}

void options_print(FILE *out, const struct option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct option *o = &options[i];
        char left[64];

        snprintf(left, sizeof left, "%s%s%s%s", o->name[1] ? "--" : "-", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        fprintf(out, "  %-24s %s\n", left, o->help);
    }
}
