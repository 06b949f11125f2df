/* SPDX-License-Identifier: Apache-2.0 */
#include "shipped.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

enum { SHIPPED_BYTES_MAX = 1 << 20 };

static bool is_path(const char *name)
{
    size_t len = strlen(name);

    return strchr(name, '/') || (len > 5 && strcmp(name + len - 5, ".yaml") == 0);
}

enum err shipped_read(struct slice *text, const char *folder, const char *name, struct arena *arena,
                      struct why *why)
{
    const char *given = getenv("ASSAY_MODELS");
    char program[PATH_MAX] = "", path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    /* build/plain/bin/assay and an installed bin/assay: models/ is three folders up, or beside bin/. */
    const char *const up[] = { given ? given : "models", "/../../../models", "/../models" };

    if (is_path(name))
        return file_read(text, name, SHIPPED_BYTES_MAX, arena, why);
    if (len > 0 && strrchr(program, '/'))
        *strrchr(program, '/') = 0;
    for (size_t i = 0; i < sizeof up / sizeof *up; i++) {
        snprintf(path, sizeof path, "%s%s/%s%s.yaml", i ? program : "", up[i], folder, name);
        if (access(path, R_OK) == 0)
            return file_read(text, path, SHIPPED_BYTES_MAX, arena, why);
    }
    return err_set(why, ERR_NOT_FOUND, "there is no models/%s%s.yaml (set ASSAY_MODELS, or give a path)",
                   folder, name);
}

enum err shipped_plan(struct plan **out, const char *name, struct why *why)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct slice text;
    enum err err = shipped_read(&text, "", name, &arena, why);

    *out = NULL;
    if (!err)
        err = catalogue_parse(&catalogue, text, &arena, why);
    if (!err)
        err = plan_build(out, &catalogue, why);
    arena_release(&arena);
    return err ? err_wrap(why, err, "%s", name) : ERR_OK;
}
