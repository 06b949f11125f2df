/* SPDX-License-Identifier: Apache-2.0
 * bundle_fuzz.c - a bundle's bytes, with a digest that fits them (none would be found by chance): refused, or
 * everything in it can be read, and shown on a card. */
#include <stdlib.h>

#include "base/buf.h"
#include "bundle/bundle.h"
#include "bundle/card.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void read_all(const struct bundle *b)
{
    const struct histogram *h = bundle_histograms(b);
    struct buf card;

    for (size_t c = 0; c < plan_columns(bundle_plan(b)); c++)
        if (h != NULL)
            histogram_bin(&h[c], 1.0);
    if (bundle_name(b).len == 0 || bundle_golden_rows(b) == 0)
        abort();
    bundle_score(b, 0.5F);
    buf_init(&card, 0);
    for (int i = 0; i < CARD_PLOT_COUNT; i++)
        card_plot(&card, (enum card_plot)i, bundle_metrics(b), bundle_thresholds(b).decline);
    card_write(&card, &(struct bundle_parts){ .name = bundle_name(b),
                                              .created_at_us = bundle_created_at_us(b),
                                              .plan = bundle_plan(b),
                                              .thresholds = bundle_thresholds(b),
                                              .metrics = bundle_metrics(b),
                                              .parameters = bundle_parameters(b),
                                              .training = bundle_training(b) });
    buf_release(&card);
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
