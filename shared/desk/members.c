/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/members.h"

#include "desk/desk.h"
#include "json/json.h"

static bool is_of_kind(const json_t *value, json_type kind)
{
    return json_typeof(value) == kind || (kind == JSON_TRUE && json_is_boolean(value));
}

enum err members_read(struct call *c, json_t **body, struct member *members, size_t count, struct why *why)
{
    const char *name;
    json_t *value;
    enum err err = json_parse(body, c->body.len ? c->body : SLICE("{}"), JSON_DEPTH_MAX, why);

    if (err)
        return err;
    if (!json_is_object(*body))
        return err_set(why, ERR_SYNTAX, "the body must be a JSON object");
    json_object_foreach(*body, name, value)
    {
        size_t i = 0;

        while (i < count && strcmp(members[i].name, name) != 0)
            i++;
        if (i == count)
            return err_set(why, ERR_INVALID, "there is a field that is not known; known are: %s, ...",
                           count ? members[0].name : "none");
        if (!is_of_kind(value, members[i].kind))
            return err_set(why, ERR_INVALID, "%s is not of the right type", members[i].name);
        members[i].value = value;
    }
    for (size_t i = 0; i < count; i++)
        if (members[i].is_needed && !members[i].value)
            return err_set(why, ERR_INVALID, "%s is missing", members[i].name);
    return ERR_OK;
}

struct slice member_text(const struct member *m)
{
    return m->value ? json_slice(m->value) : SLICE("");
}
