/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset/input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"

enum { INPUT_BYTES = 1 << 17 };

struct input {
    FILE *file;
    char *name;
    ZSTD_DStream *zstd; /* NULL: the bytes are plain */
    bool is_started, is_open_frame;
    ZSTD_inBuffer packed;
    char *raw, *plain;
};

enum err input_open(struct input **out, const char *path, struct why *why)
{
    struct input *in;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

    *out = NULL;
    if (!file)
        return err_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    in = mem_new(struct input);
    in->file = file;
    in->name = mem_strdup(path);
    in->raw = mem_new_n(char, INPUT_BYTES);
    *out = in;
    return ERR_OK;
}

void input_close(struct input *in)
{
    if (!in)
        return;
    if (in->file != stdin)
        fclose(in->file);
    ZSTD_freeDStream(in->zstd);
    mem_free(in->name);
    mem_free(in->raw);
    mem_free(in->plain);
    mem_free(in);
}

static enum err fill(struct input *in, size_t *len, struct why *why)
{
    *len = fread(in->raw, 1, INPUT_BYTES, in->file);
    if (*len == 0 && ferror(in->file))
        return err_set(why, ERR_INTERNAL, "%s: %s", in->name, strerror(errno));
    return ERR_OK;
}

static enum err unpack(struct input *in, struct slice *piece, bool *is_last, struct why *why)
{
    ZSTD_outBuffer plain = { in->plain, INPUT_BYTES, 0 };

    while (plain.pos == 0) {
        size_t left;

        if (in->packed.pos == in->packed.size) {
            enum err err = fill(in, &in->packed.size, why);

            if (err)
                return err;
            in->packed.pos = 0;
            if (in->packed.size == 0) {
                if (in->is_open_frame)
                    return err_set(why, ERR_SYNTAX, "%s: the compressed data is cut short", in->name);
                *is_last = true;
                break;
            }
        }
        left = ZSTD_decompressStream(in->zstd, &plain, &in->packed);
        if (ZSTD_isError(left))
            return err_set(why, ERR_SYNTAX, "%s: %s", in->name, ZSTD_getErrorName(left));
        in->is_open_frame = left != 0;
    }
    *piece = slice_of(in->plain, plain.pos);
    return ERR_OK;
}

enum err input_next(struct input *in, struct slice *piece, bool *is_last, struct why *why)
{
    size_t len;
    enum err err;

    *piece = slice_of("", 0);
    *is_last = false;
    if (in->zstd)
        return unpack(in, piece, is_last, why);
    err = fill(in, &len, why);
    if (err)
        return err;
    if (!in->is_started && len >= 4 && memcmp(in->raw, "\x28\xb5\x2f\xfd", 4) == 0) {
        in->zstd = ZSTD_createDStream();
        in->plain = mem_new_n(char, INPUT_BYTES);
        in->packed = (ZSTD_inBuffer){ in->raw, len, 0 };
        return unpack(in, piece, is_last, why);
    }
    in->is_started = true;
    *is_last = len == 0;
    *piece = slice_of(in->raw, len);
    return ERR_OK;
}
