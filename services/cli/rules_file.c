/* SPDX-License-Identifier: Apache-2.0 */
#include "rules_file.h"

#include <string.h>

#include "file.h"
#include "policystore/document.h"
#include "shipped.h"
#include "yaml_json.h"

enum err rules_file_read(struct buf *json, const char *file, struct why *why)
{
    struct arena arena = { 0 };
    struct slice text;
    enum err err = strchr(file, '.') ? file_read(&text, file, DOCUMENT_TEXT_MAX, &arena, why)
                                     : shipped_read(&text, "", file, &arena, why);

    buf_init(json, DOCUMENT_TEXT_MAX);
    if (!err)
        err = yaml_to_json(json, text, why);
    arena_release(&arena);
    return err ? err_wrap(why, err, "%s", file) : ERR_OK;
}
