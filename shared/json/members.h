/* SPDX-License-Identifier: Apache-2.0
 * members.h - the members of a request's body, by a table: what may be there, and of what type. */
#ifndef ASSAY_JSON_MEMBERS_H
#define ASSAY_JSON_MEMBERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct json_member {
    const char *name;
    json_type kind; /* as jansson has it; a bool is JSON_TRUE */
    bool is_needed;
    json_t *value; /* NULL: not there */
};

/* Reads an object and fills `members`, which point into *root: the caller's, for json_decref(), in any case. An
 * empty text is {}.
 *   ERR_SYNTAX   no JSON object
 *   ERR_INVALID  a member that is not in the table, of another type, or one that is needed is not there */
MUST_USE enum err json_members_read(json_t **root, struct slice text, struct json_member *members,
                                    size_t count, struct why *why);

/* What stands there, or nothing. */
struct slice json_member_text(const struct json_member *m);
int64_t json_member_int(const struct json_member *m, int64_t fallback);
bool json_member_bool(const struct json_member *m);
/* A list of texts as one text, ["analyst", "lead"] as "analyst lead", in the arena; "" without the member.
 *   ERR_INVALID  something in the list is no text */
MUST_USE enum err json_member_words(const struct json_member *m, struct arena *arena, struct slice *out,
                                    struct why *why);
/* As compact JSON, in the arena; empty when it is not there. */
struct slice json_member_json(const struct json_member *m, struct arena *arena);

#endif
