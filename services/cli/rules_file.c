/* SPDX-License-Identifier: Apache-2.0 */
#include "rules_file.h"

#include <string.h>

#include "file.h"
#include "policystore/document.h"
#include "shipped.h"
#include "yaml_json.h"

enum err yaml_file_read(struct buf *json, const char *file, size_t cap, struct why *why)
{
    struct arena arena = { 0 };
    struct slice text;
    enum err err;

    if (strcmp(file, "-") == 0)
        err = file_read(&text, "/dev/stdin", cap, &arena, why);
    else if (strchr(file, '.') || strchr(file, '/'))
        err = file_read(&text, file, cap, &arena, why);
    else
        err = shipped_read(&text, "", file, &arena, why);
    buf_init(json, cap);
    if (!err && (err = yaml_to_json(json, text, why)) != ERR_OK)
        err = err_wrap(why, err, "%s", file);
    arena_release(&arena);
    return err;
}

enum err rules_file_read(struct buf *json, const char *file, struct why *why)
{
    return yaml_file_read(json, file, DOCUMENT_TEXT_MAX, why);
}
