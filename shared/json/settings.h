/* SPDX-License-Identifier: Apache-2.0
 * settings.h - members of a JSON object into the fields of a struct, by a table of names, kinds and bounds.
 *
 *   static const struct json_setting table[] = {
 *       { "trials", SETTING_SIZE, offsetof(struct recipe, trials), 1, 1000, "of the random search" },
 *   }; */
#ifndef ASSAY_JSON_SETTINGS_H
#define ASSAY_JSON_SETTINGS_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

/* What the field is. All but SETTING_BOOL take a number within the bounds; SETTING_SIZE to SETTING_U32 a whole one. */
enum json_setting_kind {
    SETTING_BOOL,   /* bool: true or false; bounds do not matter */
    SETTING_SIZE,   /* size_t */
    SETTING_INT,    /* int */
    SETTING_I64,    /* int64_t */
    SETTING_U32,    /* uint32_t */
    SETTING_DOUBLE, /* double */
    SETTING_DAYS,   /* int64_t microseconds, told in days */
    SETTING_MS,     /* int64_t microseconds, told in milliseconds */
};

struct json_setting {
    const char *name;
    enum json_setting_kind kind;
    size_t offset;      /* of the field in the struct */
    double least, most; /* within what the field can hold */
    const char *help;   /* may be NULL */
};

/* Puts one member into `settings`.
 *   ERR_NOT_FOUND  no setting has that name; *why is left alone
 *   ERR_INVALID    the value is of another type, or out of bounds; *why names the setting */
MUST_USE enum err json_setting_take(void *settings, const struct json_setting *table, size_t count,
                                    const char *name, const json_t *value, struct why *why);

#endif
