/* SPDX-License-Identifier: Apache-2.0
 * grpc_fuzz.c - gRPC's small print: framing never reads past the body, timeouts and messages come back as
 * they were. */
#include <stdlib.h>

#include "grpc/status.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct slice input = slice_of(data, size), message, again;
    struct arena arena = { 0 };
    char text[GRPC_TIMEOUT_SIZE];
    int64_t us, back;

    if (grpc_unframe(input, 1 << 16, &message, NULL) == GRPC_OK &&
        (message.ptr != input.ptr + GRPC_PREFIX_BYTES || message.len != size - GRPC_PREFIX_BYTES))
        abort();
    if (grpc_timeout_parse(input, &us)) {
        again = grpc_timeout_format(us, text);
        if (us < 0 || !grpc_timeout_parse(again, &back) || back > us)
            abort();
    }
    grpc_message_decode(input, &arena);
    again = grpc_message_decode(grpc_message_encode(input, &arena), &arena);
    if (!slice_eq(again, input))
        abort();
    if (grpc_status_err(grpc_status_parse(input)) >= ERR_COUNT)
        abort();
    arena_release(&arena);
    return 0;
}
