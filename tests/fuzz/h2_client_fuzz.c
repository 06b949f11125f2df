/* SPDX-License-Identifier: Apache-2.0
 * h2_client_fuzz.c - whatever a server says, every request of the HTTP/2 client ends, and ends once. */
#include <stdlib.h>

#include "base/array.h"
#include "http/client_session.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct client_session_conf conf = { "http", "peer", 100, 4096 };
    struct call_list ended = { 0 }, safe = { 0 };
    struct client_session *s = client_session_new(&conf, &ended, &safe);
    struct http_call calls[4] = { { 0 } };
    struct buf out;
    size_t at = 0;
    bool is_well = true;

    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        calls[i].method = i % 2 ? "POST" : "GET";
        calls[i].path = SLICE("/");
        calls[i].body = i % 2 ? SLICE("{\"a\":1}") : (struct slice){ 0 };
        client_session_submit(s, &calls[i]);
    }
    while (is_well) {
        size_t n = at < size ? 1 + data[at] % 61 : 0;

        is_well = !client_session_send(s, &out, SIZE_MAX, NULL) && n;
        if (n > size - at)
            n = size - at;
        is_well = is_well && !client_session_receive(s, (const char *)data + at, n, NULL);
        at += n;
        if (at > size / 2 && calls[0].session)
            client_session_drop(&calls[0]);
    }
    client_session_free(s);
    if (ended.count + safe.count + (calls[0].list == NULL) != ARRAY_LEN(calls))
        abort();
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        arena_release(&calls[i].arena);
        buf_release(&calls[i].answer);
        mem_free(calls[i].got);
    }
    buf_release(&out);
    return 0;
}
