/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

enum err file_read(struct slice *text, const char *path, size_t cap, struct arena *arena, struct why *why)
{
    FILE *file = fopen(path, "rb");
    enum err err = ERR_OK;
    char piece[1 << 14];
    struct buf all;
    size_t n;

    if (!file)
        return err_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    buf_init(&all, cap);
    while ((n = fread(piece, 1, sizeof piece, file)) > 0 && buf_add(&all, piece, n))
        ;
    if (ferror(file))
        err = err_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    else if (all.is_over)
        err = err_set(why, ERR_TOO_LARGE, "%s has more than %zu bytes", path, cap);
    else
        *text = arena_slice(arena, buf_slice(&all));
    buf_release(&all);
    fclose(file);
    return err;
}

enum err file_write(const char *path, struct slice bytes, struct why *why)
{
    FILE *file = fopen(path, "wb");
    bool is_written = file && fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len;

    if (file && fclose(file))
        is_written = false;
    return is_written ? ERR_OK : err_set(why, ERR_UNAVAILABLE, "cannot write %s: %s", path, strerror(errno));
}
