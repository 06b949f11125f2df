/* SPDX-License-Identifier: Apache-2.0
 * http2_fuzz.c - frames of any kind against an HTTP/2 session, with time passing and handlers answering in
 * between. The preface is sent for the fuzzer; the input is steps: a byte that says what happens, then for
 * frames their length and bytes. */
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
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
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    struct buf out;

    if (size > 65536)
        return 0;
    buf_init(&out, 0);
    fixture_open(
        &f, &(struct http_server_conf){ .max_header_bytes = 2048, .max_body_bytes = 1024, .max_streams = 16 },
        HTTP_SNIFF);
    fixture_recv(&f, preface, sizeof preface - 1);
    while (data < end) {
        uint8_t step = *data++;

        if (step < 200) { /* bytes */
            size_t len = (size_t)(end - data) < step ? (size_t)(end - data) : step;

            fixture_recv(&f, data, len);
            data += len;
        } else if (step < 220) {
            fixture_send(&f, &out);
            buf_clear(&out);
        } else if (step < 235 && f.held_count) {
            fixture_reply_held(&f);
        } else if (step < 245) {
            fixture_pass(&f, (step - 234) * 2 * SECOND_US);
        } else if (step < 250) {
            f.host.quota = step - 245u;
        } else if (step < 255) {
            http_session_go_on(f.session);
        } else if (step == 255) {
            http_session_drain(f.session);
        }
    }
    http_session_end(f.session);
    fixture_send(&f, &out);
    if (f.held_count % 2)
        fixture_reply_held(&f);
    http_session_free(f.session);
    f.session = NULL;
    while (f.held_count)
        fixture_reply_held(&f);
    fixture_close(&f);
    buf_release(&out);
    return 0;
}
