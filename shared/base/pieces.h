/* SPDX-License-Identifier: Apache-2.0
 * pieces.h - small pieces of memory that are used again soon: for a library that takes and gives back a dozen of
 * them for each request.
 *
 * A piece is one of a few sizes; what is given back waits in a list of its size and is not returned to the system
 * until all are released, but for what is beyond PIECES_KEEPS_BYTES. So it is what malloc() does, without what
 * malloc() does for threads, for odd sizes and against fragments. One thread at a time. Under AddressSanitizer every
 * piece goes to the system and back, so that nothing that it can find is hidden. */
#ifndef ASSAY_BASE_PIECES_H
#define ASSAY_BASE_PIECES_H

#include <stddef.h>

enum {
    PIECES_STEP_BYTES = 64,
    PIECES_SIZES = 16, /* above 64, 128, ... 1,024 bytes it is mem_grow() and mem_free() */
    PIECES_KEEPS_BYTES = 4 << 20,
};

/* Zero-initialise. */
struct pieces {
    struct piece *kept[PIECES_SIZES];
    size_t kept_bytes;
};

/* Not zeroed, aligned for anything; there, or the process ends. */
void *pieces_take(struct pieces *p, size_t bytes);
/* Like realloc(): `piece` (NULL: none) with its contents, or a larger one in its place. */
void *pieces_grow(struct pieces *p, void *piece, size_t bytes);
/* NULL does nothing. */
void pieces_give(struct pieces *p, void *piece);
/* What waits goes back to the system. What is out may still be given back, to any other. */
void pieces_release(struct pieces *p);

#endif
