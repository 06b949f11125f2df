/* SPDX-License-Identifier: Apache-2.0
 * listing.h - what a command lists, as JSON. */
#ifndef ASSAY_CLI_LISTING_H
#define ASSAY_CLI_LISTING_H

#include <stddef.h>

#include "json/json_out.h"

/* Prints a JSON list of `count` items of `size` bytes each, and a newline. */
void listing_print(const void *items, size_t count, size_t size,
                   void (*write)(struct json_out *o, const void *item));

#endif
