/* SPDX-License-Identifier: Apache-2.0
 * json_out.h - writes JSON straight into a buffer: no tree, no allocation of its own.
 *
 *   struct json_out o = json_out_to(&buf);
 *   json_out_open(&o, NULL);                     {
 *   json_out_str(&o, "action", "approve");         "action":"approve",
 *   json_out_list(&o, "reasons");                  "reasons":[
 *   json_out_end(&o);                              ]
 *   json_out_end(&o);                            }
 *
 * `key` is the member's name inside an object and NULL inside a list or at the top; it is written as it is,
 * so it must need no escaping (json_out_text_key takes any). Numbers are as short as they can be and still
 * read back as the same double; NaN and infinities are null. Bytes that are not UTF-8 become U+FFFD. A capped
 * buffer that runs over says so in `is_over`. */
#ifndef ASSAY_JSON_JSON_OUT_H
#define ASSAY_JSON_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { JSON_OUT_DEPTH_MAX = 32 };

struct json_out {
    struct buf *to;
    unsigned depth;
    uint32_t has_items; /* bit per level: a comma comes before the next item */
    uint32_t is_list;
};

struct json_out json_out_to(struct buf *to);

void json_out_open(struct json_out *o, const char *key);
void json_out_list(struct json_out *o, const char *key);
void json_out_end(struct json_out *o); /* the innermost object or list */

void json_out_text(struct json_out *o, const char *key, struct slice text);
void json_out_str(struct json_out *o, const char *key, const char *text); /* NULL is null */
void json_out_int(struct json_out *o, const char *key, int64_t value);
void json_out_number(struct json_out *o, const char *key, double value);
void json_out_bool(struct json_out *o, const char *key, bool value);
void json_out_null(struct json_out *o, const char *key);
void json_out_time(struct json_out *o, const char *key, int64_t at_us); /* RFC 3339 */
void json_out_hex(struct json_out *o, const char *key, struct slice bytes);
void json_out_json(struct json_out *o, const char *key,
                   struct slice json); /* that is JSON already; empty: null */
/* A member whose name may hold anything; its value is what is written next, with key NULL. */
void json_out_text_key(struct json_out *o, struct slice key);

/* The same escaping and number spelling without a document around them. */
void json_write_text(struct buf *to, struct slice text); /* with its quotes */
void json_write_number(struct buf *to, double value);

#endif
