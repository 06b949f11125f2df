/* SPDX-License-Identifier: Apache-2.0 */
#include "json/settings.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"

static bool is_whole(enum json_setting_kind kind)
{
    return kind != SETTING_DOUBLE && kind != SETTING_DAYS && kind != SETTING_MS;
}

static void put(void *at, enum json_setting_kind kind, double number)
{
    switch (kind) {
    case SETTING_SIZE:
        *(size_t *)at = (size_t)number;
        break;
    case SETTING_INT:
        *(int *)at = (int)number;
        break;
    case SETTING_I64:
        *(int64_t *)at = (int64_t)number;
        break;
    case SETTING_U32:
        *(uint32_t *)at = (uint32_t)number;
        break;
    case SETTING_DAYS:
        *(int64_t *)at = (int64_t)(number * (double)DAY_US);
        break;
    case SETTING_MS:
        *(int64_t *)at = (int64_t)(number * (double)MS_US);
        break;
    default:
        *(double *)at = number;
    }
}

static enum err take(void *at, const struct json_setting *s, const json_t *value, struct why *why)
{
    double number = json_number_value(value);

    if (s->kind == SETTING_BOOL) {
        if (!json_is_boolean(value))
            return err_set(why, ERR_INVALID, "%s is true or false", s->name);
        *(bool *)at = json_is_true(value);
        return ERR_OK;
    }
    if (!json_is_number(value) || !(number >= s->least && number <= s->most) ||
        (is_whole(s->kind) && number != floor(number)))
        return err_set(why, ERR_INVALID, "%s is %s from %g to %g", s->name,
                       is_whole(s->kind) ? "a whole number" : "a number", s->least, s->most);
    put(at, s->kind, number);
    return ERR_OK;
}

enum err json_setting_take(void *settings, const struct json_setting *table, size_t count, const char *name,
                           const json_t *value, struct why *why)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return take((char *)settings + table[i].offset, &table[i], value, why);
    return ERR_NOT_FOUND;
}
