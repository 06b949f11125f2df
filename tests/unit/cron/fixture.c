/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cron/fixture.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void fixture_zone_bytes(const char *name, struct buf *out)
{
    char path[256], block[4096];
    size_t len;
    FILE *file;

    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    file = fopen(path, "rb");
    assert(file);
    while (file && (len = fread(block, 1, sizeof block, file)) > 0)
        buf_add(out, block, len);
    if (file)
        fclose(file);
}

struct zone *fixture_zone(const char *name)
{
    struct zone *zone;
    struct why why = { 0 };
    struct buf bytes;

    buf_init(&bytes, 0);
    fixture_zone_bytes(name, &bytes);
    if (zone_open(&zone, buf_slice(&bytes), &why)) {
        fprintf(stderr, "%s: %s\n", name, why.text);
        abort();
    }
    buf_release(&bytes);
    return zone;
}
