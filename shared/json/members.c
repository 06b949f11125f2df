/* SPDX-License-Identifier: Apache-2.0 */
#include "json/members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "json/json.h"

static bool is_of_kind(const json_t *value, json_type kind)
{
    return json_typeof(value) == kind || (kind == JSON_TRUE && json_is_boolean(value));
}

/* What was sent is never quoted back; what may be sent is told. */
static enum err refuse_unknown(const struct json_member *members, size_t count, struct why *why)
{
    char known[400] = "none";
    size_t len = 0;

    for (size_t i = 0; i < count && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", members[i].name);
    return err_set(why, ERR_INVALID, "there is a member that is not known; known are: %s", known);
}

static const char *kind_name(json_type kind)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",       [JSON_ARRAY] = "a list",  [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a whole number", [JSON_REAL] = "a number", [JSON_TRUE] = "true or false",
    };

    return (size_t)kind < sizeof names / sizeof *names && names[kind] ? names[kind] : "something else";
}

enum err json_members_read(json_t **root, struct slice text, struct json_member *members, size_t count,
                           struct why *why)
{
    const char *name;
    json_t *value;
    enum err err = json_parse(root, text.len ? text : SLICE("{}"), JSON_DEPTH_MAX, why);

    if (err) {
        *root = NULL;
        return err;
    }
    if (!json_is_object(*root))
        return err_set(why, ERR_SYNTAX, "the body must be a JSON object");
    json_object_foreach(*root, name, value)
    {
        size_t i = 0;

        while (i < count && strcmp(members[i].name, name) != 0)
            i++;
        if (i == count)
            return refuse_unknown(members, count, why);
        if (!is_of_kind(value, members[i].kind))
            return err_set(why, ERR_INVALID, "%s is not of the right type: it is %s", members[i].name,
                           kind_name(members[i].kind));
        members[i].value = value;
    }
    for (size_t i = 0; i < count; i++)
        if (members[i].is_needed && !members[i].value)
            return err_set(why, ERR_INVALID, "%s is missing", members[i].name);
    return ERR_OK;
}

struct slice json_member_text(const struct json_member *m)
{
    return m->value ? json_slice(m->value) : SLICE("");
}

int64_t json_member_int(const struct json_member *m, int64_t fallback)
{
    return m->value ? json_integer_value(m->value) : fallback;
}

bool json_member_bool(const struct json_member *m)
{
    return m->value && json_is_true(m->value);
}

enum err json_member_words(const struct json_member *m, struct arena *arena, struct slice *out,
                           struct why *why)
{
    enum err err = ERR_OK;
    struct buf text;
    json_t *word;
    size_t i;

    buf_init(&text, 0);
    json_array_foreach(m->value, i, word)
    {
        if (!json_is_string(word)) {
            err = err_set(why, ERR_INVALID, "%s has something that is no text", m->name);
            break;
        }
        buf_add_str(&text, i ? " " : "");
        buf_add_slice(&text, json_slice(word));
    }
    *out = arena_slice(arena, buf_slice(&text));
    buf_release(&text);
    return err;
}

struct slice json_member_json(const struct json_member *m, struct arena *arena)
{
    char *text = m->value ? json_dumps(m->value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    struct slice copy = text ? arena_slice(arena, slice_str(text)) : SLICE("");

    free(text);
    return copy;
}
