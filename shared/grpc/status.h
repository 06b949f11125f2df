/* SPDX-License-Identifier: Apache-2.0
 * status.h - gRPC's small print: status codes and ours, grpc-timeout, grpc-message, the five bytes before a
 * message. No I/O.
 *
 * Sources: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md, doc/statuscodes.md, doc/http-grpc-status-mapping.md.
 */
#ifndef ASSAY_GRPC_STATUS_H
#define ASSAY_GRPC_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum grpc_status {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
    GRPC_STATUS_COUNT
};

enum grpc_status grpc_status_of(enum err err);
enum err grpc_status_err(enum grpc_status status);
/* "DEADLINE_EXCEEDED" */
const char *grpc_status_name(enum grpc_status status);
/* The value of a grpc-status field; what cannot be read or is not known is GRPC_UNKNOWN. */
enum grpc_status grpc_status_parse(struct slice value);
/* What an answer without grpc-status means, by its HTTP status. */
enum grpc_status grpc_status_of_http(int http_status);

/* "250m" and the like: at most eight digits and one of H M S m u n. False when it is not one. Whole
 * microseconds, rounded up. */
bool grpc_timeout_parse(struct slice value, int64_t *us);
enum { GRPC_TIMEOUT_SIZE = 12 };
/* The finest unit that fits eight digits, rounded down; what has passed already is "0n". */
struct slice grpc_timeout_format(int64_t us, char text[GRPC_TIMEOUT_SIZE]);

/* Percent-encoding of grpc-message: bytes outside space..~ and '%' itself. Decoding keeps what is not well
 * encoded as it stands. */
struct slice grpc_message_encode(struct slice text, struct arena *arena);
struct slice grpc_message_decode(struct slice value, struct arena *arena);

enum { GRPC_PREFIX_BYTES = 5 };
/* compressed flag, length in big-endian */
void grpc_prefix_write(unsigned char prefix[GRPC_PREFIX_BYTES], uint32_t len);
/* A whole body that must be one uncompressed message of at most `most` bytes.
 *   GRPC_OK                  *message is the part of `body` behind the prefix
 *   GRPC_UNIMPLEMENTED       the compressed flag is set, or more than one message
 *   GRPC_RESOURCE_EXHAUSTED  its length is over `most`
 *   GRPC_INTERNAL            it is cut short, no message at all, or the flag is unheard of */
enum grpc_status grpc_unframe(struct slice body, size_t most, struct slice *message, struct why *why);

#endif
