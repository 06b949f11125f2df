/* SPDX-License-Identifier: Apache-2.0
 * h1_lines.h - how the bytes of an HTTP/1 request are cut into lines and chunks, checked before http-parser
 * reads them.
 *
 * Debian builds http-parser without its strict form. That one takes a bare LF for a line's end, any byte
 * behind a CR for its LF, any two bytes behind a chunk for its CRLF, "H?TP" for "HTTP", a value that begins
 * on the next line, and chunk extensions of any length. Another reader of the same bytes, a proxy in front of
 * us, could then see another request in them (request smuggling). So here: a line ends in CRLF; CR, LF, NUL
 * and their like stand nowhere else; a line is never continued on the next; the request line has two spaces;
 * a chunk is as long as it says. RFC 9112, 2.2, 3, 5.2 and 7.1. */
#ifndef ASSAY_HTTP_H1_LINES_H
#define ASSAY_HTTP_H1_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*   HEAD -> LENGTH (a body that is counted, or none: whatever comes is its part)
 *       \-> CHUNK_SIZE [-> CHUNK_EXTENSION] -> CHUNK_DATA -> CHUNK_END -> CHUNK_SIZE ...
 *                      \ of 0 -> TRAILERS -> HEAD */
enum h1_part {
    H1_HEAD,
    H1_LENGTH,
    H1_CHUNK_SIZE,
    H1_CHUNK_EXTENSION,
    H1_CHUNK_DATA,
    H1_CHUNK_END,
    H1_TRAILERS,
};

/* Zero-initialise: before a request. */
struct h1_lines {
    enum h1_part part;
    bool has_cr;            /* the byte before was a CR */
    bool has_begun;         /* with the request line: empty lines before it are passed over */
    size_t line_bytes;      /* of the line under way, without its end */
    size_t spaces;          /* in the request line */
    size_t version_bytes;   /* behind the second of them */
    size_t extension_bytes; /* of all chunks of this body */
    uint64_t chunk_bytes;   /* that the chunk says, then those still to come */
};

/* How many of `bytes` may be read now: all, or up to the end of a head or of a chunked body, where the caller
 * says what comes next, or up to what breaks the rules (*is_bad). */
size_t h1_lines_take(struct h1_lines *l, const char *bytes, size_t len, bool *is_bad);
/* The head has ended and a body follows. */
void h1_lines_begin_body(struct h1_lines *l, bool is_chunked);

#endif
