/* SPDX-License-Identifier: Apache-2.0
 * textproto.h - reads protocol buffers' text format (protobuf.dev/reference/protobuf/textformat-spec) without
 * knowing the messages: fields by name, in order, with their values as they were written.
 *
 * Strict: what the grammar does not have is refused. No I/O; the tree is in the caller's arena. */
#ifndef ASSAY_TEXTPROTO_TEXTPROTO_H
#define ASSAY_TEXTPROTO_TEXTPROTO_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum { TEXTPROTO_BYTES_MAX = 1 << 24, TEXTPROTO_DEPTH_MAX = 64 };

enum textproto_kind {
    TEXTPROTO_STRING,  /* text: its bytes, escapes read, neighbours joined */
    TEXTPROTO_NUMBER,  /* text: as it is written, "-1.5e3", "0x1F", "1.5f" */
    TEXTPROTO_WORD,    /* text: true, inf, NULL_VALUE, "-nan" */
    TEXTPROTO_MESSAGE, /* fields */
};

struct textproto_field {
    struct slice name; /* "expr", "[type.googleapis.com/pkg.Message]" with its brackets; "" at the root */
    enum textproto_kind kind;
    struct slice text;                     /* "" of a message, never NULL */
    struct textproto_field *fields, *next; /* of TEXTPROTO_MESSAGE: the first; beside this one: the next */
    uint32_t line;
};

/* On success *out is the root, a TEXTPROTO_MESSAGE without a name. A list value ("a: [1, 2]") becomes as many
 * fields of the name. Names and words are views of `text`.
 *   ERR_SYNTAX     not this format; *why has the line
 *   ERR_TOO_LARGE  more than TEXTPROTO_BYTES_MAX, or messages deeper than TEXTPROTO_DEPTH_MAX */
MUST_USE enum err textproto_parse(struct textproto_field **out, struct slice text, struct arena *arena,
                                  struct why *why);

/* The first field of the name in a message, or NULL; and the next one of the same name. */
const struct textproto_field *textproto_find(const struct textproto_field *message, const char *name);
const struct textproto_field *textproto_again(const struct textproto_field *field);
/* Their values. The text of a field that may be missing: "". */
struct slice textproto_text(const struct textproto_field *message, const char *name);
bool textproto_true(const struct textproto_field *message, const char *name);

#endif
