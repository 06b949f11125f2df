/* SPDX-License-Identifier: Apache-2.0
 * bundle_fuzz.c - a bundle's bytes, with a digest that fits them (none would be found by chance): refused, or
 * everything in it can be read. */
#include <stdlib.h>

#include "base/buf.h"
#include "bundle/bundle.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void read_all(const struct bundle *b)
{
    const struct histogram *h = bundle_histograms(b);

    for (size_t c = 0; c < plan_columns(bundle_plan(b)); c++)
        if (h != NULL)
            histogram_bin(&h[c], 1.0);
    if (bundle_name(b).len == 0 || bundle_golden_rows(b) == 0)
        abort();
    bundle_score(b, 0.5F);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned char digest[SHA256_BYTES];
    struct bundle *b;
    struct why why = { 0 };
    struct buf all;

    sha256(slice_of(data, size), digest);
    buf_init(&all, 0);
    buf_add(&all, data, size);
    buf_add(&all, digest, sizeof digest);
    if (bundle_open(&b, buf_slice(&all), &why) == ERR_OK)
        read_all(b);
    else if (b != NULL || why.text[0] == '\0')
        abort();
    bundle_close(b);
    buf_release(&all);
    return 0;
}
