/* SPDX-License-Identifier: Apache-2.0
 * line_fuzz.c - a line that is a JSON object is cut apart as a JSON parser would: what is sent is the object
 * without its type. */
#include <stdlib.h>

#include <jansson.h>

#include "../../services/cli/line.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(const struct line *item, struct slice body, json_t *whole)
{
    json_t *sent = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    const char *id = json_string_value(json_object_get(whole, "transaction_id"));

    json_object_del(whole, "type");
    if (!sent || !json_equal(sent, whole) || !id || !item->id.len)
        abort();
    json_decref(sent);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct slice text = slice_of(data, size);
    json_t *whole = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    struct line item;
    struct buf body;

    buf_init(&body, 0);
    if (!line_read(&item, text, &body, NULL) && json_is_object(whole) && !memchr(data, '\\', size))
        check(&item, buf_slice(&body), whole);
    json_decref(whole);
    buf_release(&body);
    return 0;
}
