/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

#include <stdio.h>

void listing_print(const void *items, size_t count, size_t size,
                   void (*write)(struct json_out *o, const void *item))
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_list(&o, NULL);
    for (size_t i = 0; i < count; i++)
        write(&o, (const char *)items + i * size);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}
