/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe_file.h"

#include <stdlib.h>

#include "json/json.h"
#include "lifestore/recipe.h"
#include "shipped.h"

static enum err put_catalogue(json_t *tree, const char *name, struct arena *arena, struct why *why)
{
    struct catalogue catalogue;
    struct slice text;
    enum err err = shipped_read(&text, "", name, arena, why);

    if (!err)
        err = catalogue_parse(&catalogue, text, arena, why);
    if (!err)
        json_object_set_new(tree, "catalogue", json_stringn(text.ptr, text.len));
    return err;
}

enum err recipe_from_options(struct buf *out, const char *settings, const char *catalogue, struct why *why)
{
    struct arena arena = { 0 };
    struct recipe recipe;
    json_t *tree = NULL;
    char *text = NULL;
    enum err err = json_parse(&tree, slice_str(settings ? settings : "{}"), JSON_DEPTH_MAX, why);

    if (!err && !json_is_object(tree))
        err = err_set(why, ERR_SYNTAX, "the settings of a run are a JSON object");
    if (!err && catalogue)
        err = put_catalogue(tree, catalogue, &arena, why);
    if (!err) {
        text = json_dumps(tree, JSON_COMPACT);
        err = recipe_read(&recipe, slice_str(text), &arena, why);
    }
    if (!err)
        buf_add_str(out, text);
    free(text);
    json_decref(tree);
    arena_release(&arena);
    return err;
}
