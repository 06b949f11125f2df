/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pieces.h"

#include <stdalign.h>
#include <string.h>

#include "base/mem.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

struct piece {
    union {
        size_t room;        /* of a piece that is out: bytes */
        struct piece *next; /* of one that waits */
    };
    alignas(max_align_t) char bytes[];
};

static struct piece *piece_of(void *bytes)
{
    return (struct piece *)(void *)((char *)bytes - offsetof(struct piece, bytes));
}

/* The first size that holds so much; PIECES_SIZES: none does. */
static size_t size_for(size_t bytes)
{
    size_t size = bytes ? (bytes - 1) / PIECES_STEP_BYTES : 0;

    return !IS_SANITIZED && size < PIECES_SIZES ? size : PIECES_SIZES;
}

void *pieces_take(struct pieces *p, size_t bytes)
{
    size_t size = size_for(bytes), room = size < PIECES_SIZES ? (size + 1) * PIECES_STEP_BYTES : bytes;
    struct piece *piece = size < PIECES_SIZES ? p->kept[size] : NULL;

    if (piece) {
        p->kept[size] = piece->next;
        p->kept_bytes -= room;
    } else {
        piece = mem_grow(NULL, 1, sizeof *piece + room);
    }
    piece->room = room;
    return piece->bytes;
}

void *pieces_grow(struct pieces *p, void *bytes, size_t wanted)
{
    size_t room;
    void *larger;

    if (!bytes)
        return pieces_take(p, wanted);
    room = piece_of(bytes)->room;
    if (wanted <= room)
        return bytes;
    larger = pieces_take(p, wanted);
    memcpy(larger, bytes, room);
    pieces_give(p, bytes);
    return larger;
}

void pieces_give(struct pieces *p, void *bytes)
{
    struct piece *piece;
    size_t size, room;

    if (!bytes)
        return;
    piece = piece_of(bytes);
    room = piece->room;
    size = size_for(room);
    if (size == PIECES_SIZES || p->kept_bytes + room > PIECES_KEEPS_BYTES) {
        mem_free(piece);
        return;
    }
    piece->next = p->kept[size];
    p->kept[size] = piece;
    p->kept_bytes += room;
}

void pieces_release(struct pieces *p)
{
    for (size_t i = 0; i < PIECES_SIZES; i++) {
        while (p->kept[i]) {
            struct piece *piece = p->kept[i];

            p->kept[i] = piece->next;
            mem_free(piece);
        }
    }
    p->kept_bytes = 0;
}
