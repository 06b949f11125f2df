/* SPDX-License-Identifier: Apache-2.0
 * csv_fuzz.c - a CSV reader gives the same records however its input is cut, and never reads past it. */
#include <stdlib.h>

#include "base/hash.h"
#include "csv/csv.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void gather(struct buf *out, const unsigned char *data, size_t size, size_t step)
{
    struct csv csv;
    struct slice piece = { NULL, 0 };
    size_t at = 0, count;
    enum csv_result result;

    csv_init(&csv);
    while ((result = csv_next(&csv, &piece, at == size)) != CSV_END) {
        if (result == CSV_MORE) {
            size_t n = size - at < step ? size - at : step;

            piece = slice_of(data + at, n);
            at += n;
        } else if (result == CSV_RECORD) {
            const struct slice *fields = csv_fields(&csv, &count);

            for (size_t i = 0; i < count; i++) {
                buf_add_slice(out, fields[i]);
                buf_add_char(out, 0);
            }
            buf_add_char(out, '\n');
        } else {
            buf_printf(out, "bad %s\n", csv_reason(&csv));
        }
    }
    csv_release(&csv);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct buf whole, pieces;

    buf_init(&whole, 0);
    buf_init(&pieces, 0);
    gather(&whole, data, size, size ? size : 1);
    gather(&pieces, data, size, 1 + size % 7);
    if (!slice_eq(buf_slice(&whole), buf_slice(&pieces)))
        abort();
    buf_release(&whole);
    buf_release(&pieces);
    return 0;
}
