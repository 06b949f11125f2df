/* SPDX-License-Identifier: Apache-2.0
 * dataset_fuzz.c - files of a stranger: a mapping and a CSV file behind it (after a line "---"), or, without
 * one, NDJSON; either may be compressed. Rows are read or refused; what is read can be written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataset/dataset.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void drain(struct dataset *d)
{
    struct dataset_event event;
    struct why why = { 0 };
    bool is_end = false;
    struct buf out;

    buf_init(&out, 0);
    while (!dataset_next(d, &event, &is_end, &why) && !is_end) {
        buf_clear(&out);
        dataset_write(&out, &event);
        if (!out.len || buf_slice(&out).ptr[out.len - 1] != '\n')
            abort();
    }
    buf_release(&out);
    dataset_close(d);
}

/* The bytes as a file, which is read by its path. */
static int file_of(struct slice bytes, char path[32])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || (bytes.len && write(fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len))
        abort();
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct dataset_options options = { .account = 1, .all_labels = true };
    static const char mark[] = "\n---\n";
    const char *cut = size ? memmem(data, size, mark, sizeof mark - 1) : NULL;
    struct slice head = slice_of(data, cut ? (size_t)(cut - (const char *)data) : 0), rest;
    struct mapping *mapping = NULL;
    struct dataset *d = NULL;
    struct why why = { 0 };
    char path[32];
    int fd;

    if (size > 65536)
        return 0;
    rest = cut ? slice_of(cut + sizeof mark - 1, size - head.len - (sizeof mark - 1)) : slice_of(data, size);
    fd = file_of(rest, path);
    if (!cut) {
        if (dataset_open_ndjson(&d, path, &options, &why) == ERR_OK)
            drain(d);
    } else if (mapping_parse(&mapping, head, &why) != ERR_OK) {
        if (!why.text[0] || mapping)
            abort();
    } else {
        if (mapping_needs_key(mapping))
            mapping_set_key(mapping, &(struct hash_key){ { 1 } });
        if (dataset_open_csv(&d, path, mapping, &options, &why) == ERR_OK)
            drain(d);
        else if (!why.text[0])
            abort();
    }
    mapping_free(mapping);
    close(fd);
    return 0;
}
