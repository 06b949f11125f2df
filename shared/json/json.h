/* SPDX-License-Identifier: Apache-2.0
 * json.h - reading JSON that somebody else wrote: strict, bounded, and never quoting it back.
 *
 * Trees are jansson's (`json_t`), owned by whoever parsed them and given back with json_decref(). The writer
 * is json_out.h. */
#ifndef ASSAY_JSON_JSON_H
#define ASSAY_JSON_JSON_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { JSON_DEPTH_MAX = 16 };

/* Parses `text`, which must be exactly one object or array in UTF-8 (RFC 8259), with no name twice in an
 * object, no U+0000 and nothing nested deeper than `depth`. The size is capped where the bytes came in.
 * On success *out is the caller's; on failure it is NULL.
 *   ERR_SYNTAX  not such JSON; *why says what and where, without quoting the text: it may hold anything */
MUST_USE enum err json_parse(json_t **out, struct slice text, size_t depth, struct why *why);

/* The string's bytes, which live as long as `value`. Empty for anything but a string. */
struct slice json_slice(const json_t *value);

/* Where in a document something stands: a chain from the innermost step outwards, on the stack of whoever
 * walks. */
struct json_path {
    const struct json_path *up; /* NULL at the root's child */
    const char *key;            /* member name, or NULL for an element */
    size_t index;               /* element, when key is NULL */
};

/* Adds the JSON pointer of `path` as a URI fragment (RFC 6901 section 6): "#/attributes/basket%20size". The
 * root (NULL) is "#". */
void json_path_write(struct buf *out, const struct json_path *path);

#endif
