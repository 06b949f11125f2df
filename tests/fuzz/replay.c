/* SPDX-License-Identifier: Apache-2.0
 * replay.c - a fuzz target without a fuzzer: gives it each file of the directories that are named, so that
 * what was once found stays fixed under any compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Where the target has one. */
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replay(const char *dir, const char *name)
{
    struct buf path, data;
    char chunk[4096];
    size_t n;
    FILE *file;

    buf_init(&path, 0);
    buf_init(&data, 0);
    buf_printf(&path, "%s/%s", dir, name);
    file = fopen(buf_str(&path), "rb");
    if (!file) {
        perror(buf_str(&path));
        return 1;
    }
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_add(&data, chunk, n);
    fclose(file);
    LLVMFuzzerTestOneInput((const uint8_t *)buf_slice(&data).ptr, data.len);
    buf_release(&path);
    buf_release(&data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);

        if (!dir) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
            if (e->d_name[0] != '.')
                failed |= replay(argv[i], e->d_name);
        closedir(dir);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
