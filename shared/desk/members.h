/* SPDX-License-Identifier: Apache-2.0
 * members.h - the members of a request's JSON body, by a table.
 *
 *   struct member m[] = { { "name", JSON_STRING, true, NULL }, { "reason", JSON_STRING, false, NULL } };
 *
 *   err = members_read(c, &body, m, ARRAY_LEN(m), why);
 *   ... m[0].value ...
 *   json_decref(body); */
#ifndef ASSAY_DESK_MEMBERS_H
#define ASSAY_DESK_MEMBERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

struct call;

/* kind: as jansson has it; a bool is JSON_TRUE */
struct member {
    const char *name;
    json_type kind;
    bool is_needed;
    json_t *value; /* NULL when it is not there */
};

/* Fills `members`, which point into *body, the caller's. An empty body is {}.
 *   ERR_SYNTAX   the body is no JSON object
 *   ERR_INVALID  one is missing, of another type, or not in the table */
MUST_USE enum err members_read(struct call *c, json_t **body, struct member *members, size_t count,
                               struct why *why);
/* The text of a member, the body's; empty when it is not there. */
struct slice member_text(const struct member *m);

#endif
