/* SPDX-License-Identifier: Apache-2.0
 * cookie_fuzz.c - any header Cookie: what is found lies within it, and has neither a semicolon nor leads past the end. */
#include <stdlib.h>
#include <string.h>

#include "../../services/dashboard/cookie.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *copy = malloc(size ? size : 1); /* of its exact size, so that a byte too far is seen */
    struct slice header = slice_of(copy, size), found;

    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    found = cookie_find(header, SLICE("assay_session"));
    if (found.len &&
        (found.ptr < copy || found.ptr + found.len > copy + size || memchr(found.ptr, ';', found.len)))
        abort();
    free(copy);
    return 0;
}
