/* SPDX-License-Identifier: Apache-2.0
 * textproto_fuzz.c - any text: refused, or read as a tree; and as a file of conformance tests, which all come to
 * an end. */
#include <stdint.h>
#include <stdlib.h>

#include "../../services/cli/conformance.h"
#include "textproto/textproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *context, const struct conformance_test *test)
{
    size_t *counts = context;

    if (test->outcome >= CONFORMANCE_OUTCOMES)
        abort();
    counts[test->outcome]++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = { 0 };
    struct textproto_field *root;
    size_t counts[CONFORMANCE_OUTCOMES] = { 0 };
    struct why why;
    enum err err = textproto_parse(&root, slice_of(data, size), &arena, &why);

    if ((err == ERR_OK) != (root != NULL))
        abort();
    if (conformance_run(slice_of(data, size), NULL, NULL, count, counts, &why) != err)
        abort();
    arena_release(&arena);
    return 0;
}
