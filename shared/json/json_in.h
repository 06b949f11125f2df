/* SPDX-License-Identifier: Apache-2.0
 * json_in.h - reads JSON that somebody else wrote into values that lie in an arena: the same documents as
 * json_parse() takes, with the same answer for all others, for an eighth of the work.
 *
 *   { "a": [1, 2] }   object -> member "a", an array -> 1 -> 2 -> NULL
 *
 * Children are in the order in which they were written. A text without an escape is a view of the document, which
 * must live as long as the values. */
#ifndef ASSAY_JSON_JSON_IN_H
#define ASSAY_JSON_JSON_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum json_kind {
    JSON_IN_NULL,
    JSON_IN_FALSE,
    JSON_IN_TRUE,
    JSON_IN_INTEGER,
    JSON_IN_REAL,
    JSON_IN_TEXT,
    JSON_IN_ARRAY,
    JSON_IN_OBJECT
};

struct json_value {
    enum json_kind kind;
    struct slice key; /* of a member of an object; no NUL is in it */
    union {
        int64_t integer;
        double real;
        struct slice text; /* no NUL is in it */
        struct {
            struct json_value *first;
            size_t count;
        } children; /* of an array or an object */
    };
    struct json_value *next;
};

/* As json_parse() (json.h) has it. *out and all under it are the arena's.
 *   ERR_SYNTAX  not such JSON; *why says what and where, without quoting the text */
MUST_USE enum err json_read(struct json_value **out, struct slice text, size_t depth, struct arena *arena,
                            struct why *why);

/* The member of that name, or NULL; for NULL, and for anything but an object, NULL too. */
struct json_value *json_member(const struct json_value *object, const char *name);
/* The same, and it is no member any more. */
struct json_value *json_take_member(struct json_value *object, const char *name);
/* The text's bytes. Empty for NULL and for anything but a text. */
struct slice json_text(const struct json_value *value);

#endif
