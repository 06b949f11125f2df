/* SPDX-License-Identifier: Apache-2.0
 * array.h - fixed arrays' lengths, and the one growing step that every dynamic array shares. */
#ifndef ASSAY_BASE_ARRAY_H
#define ASSAY_BASE_ARRAY_H

#include <assert.h>
#include <stddef.h>

#include "base/mem.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Makes room for one more item in `items`, of which `count` are used and `cap` are allocated. Doubles, so
 * that adding is O(1) amortised. All three must be lvalues; the items may move. */
#define ARRAY_RESERVE_ONE(items, count, cap)                                                                 \
    do {                                                                                                     \
        if ((count) == (cap)) {                                                                              \
            (cap) = (cap) ? 2 * (cap) : 8;                                                                   \
            (items) = mem_grow((items), (cap), sizeof *(items));                                             \
        }                                                                                                    \
    } while (0)

#endif
