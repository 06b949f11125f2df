/* SPDX-License-Identifier: Apache-2.0
 * http1_fuzz.c - whatever comes in, however it is cut, an HTTP/1 session answers or ends, and the answer does
 * not depend on the cuts, nor on how much it takes in a turn. The first byte of the input says where to cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "unit/http/fixture.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fixture f;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_open("fuzz", LOG_ERROR);
    return 0;
}

/* Until no request is left: a reply lets the next one begin. */
static void settle(struct buf *out)
{
    do {
        while (f.held_count)
            fixture_reply_held(&f);
        fixture_send(&f, out);
        if (http_session_can_go_on(f.session))
            http_session_go_on(f.session);
    } while (f.held_count || http_session_can_go_on(f.session));
    fixture_send(&f, out);
}

static void feed(struct buf *out, const uint8_t *data, size_t size, size_t step, size_t quota)
{
    fixture_open(&f, &(struct http_server_conf){ .max_header_bytes = 2048, .max_body_bytes = 1024 }, HTTP_1);
    f.host.quota = quota;
    for (size_t at = 0; at < size; at += step) {
        fixture_recv(&f, data + at, size - at < step ? size - at : step);
        settle(out);
    }
    http_session_end(f.session);
    settle(out);
    if (!http_session_is_over(f.session))
        abort();
    fixture_close(&f);
}

/* Without the refusal at the end that closes the connection. */
static struct slice answers_of(struct slice out)
{
    static const char close[] = "Connection: close\r\n\r\n";
    const char *at = memmem(out.ptr, out.len, close, sizeof close - 1);

    if (!at || !memmem(at, (size_t)(out.ptr + out.len - at), "\"type\":\"about:blank\"", 20))
        return out;
    while (at > out.ptr && strncmp(at, "HTTP/1.1 ", 9) != 0)
        at--;
    return slice_of(out.ptr, (size_t)(at - out.ptr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;

    if (size < 2 || size > 65536)
        return 0;
    buf_init(&whole, 0);
    buf_init(&cut, 0);
    feed(&whole, data + 1, size - 1, size, 0);
    feed(&cut, data + 1, size - 1, (size_t)data[0] % 32 + 1, (size_t)data[0] / 32);
    if (!slice_eq(answers_of(buf_slice(&whole)), answers_of(buf_slice(&cut))))
        abort();
    buf_release(&whole);
    buf_release(&cut);
    return 0;
}
