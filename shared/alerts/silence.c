/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/silence.h"

#include <string.h>

/* By the rules of a label, which this one then could be. */
static enum err check_matcher(const struct silence_matcher *m, struct why *why)
{
    struct alert_labels labels = { 0 };

    return alert_labels_add(&labels, m->name, m->value, why);
}

static struct slice unquote(struct slice text)
{
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        return slice_of(text.ptr + 1, text.len - 2);
    return text;
}

enum err silence_matcher_parse(struct silence_matcher *out, struct slice text, struct why *why)
{
    const char *equals = text.len ? memchr(text.ptr, '=', text.len) : NULL;
    size_t name_len;

    *out = (struct silence_matcher){ .is_equal = true };
    if (!equals || equals == text.ptr)
        return err_set(why, ERR_SYNTAX, "a matcher is name=value or name!=value");
    name_len = (size_t)(equals - text.ptr);
    if (equals[-1] == '!') {
        out->is_equal = false;
        name_len--;
    }
    out->name = slice_of(text.ptr, name_len);
    out->value = unquote(slice_of(equals + 1, text.len - (size_t)(equals + 1 - text.ptr)));
    return check_matcher(out, why);
}

enum err silence_add(struct silence *s, struct silence_matcher matcher, struct why *why)
{
    if (s->count == SILENCE_MATCHERS_MAX)
        return err_set(why, ERR_INVALID, "more than %d matchers", SILENCE_MATCHERS_MAX);
    s->matchers[s->count++] = matcher;
    return ERR_OK;
}

enum err silence_check(const struct silence *s, struct why *why)
{
    bool asks = false;

    for (size_t i = 0; i < s->count; i++)
        asks |= s->matchers[i].is_equal && s->matchers[i].value.len > 0;
    if (!asks)
        return err_set(why, ERR_INVALID,
                       "a silence needs a matcher name=value: without one it would match all");
    if (s->ends_us <= s->starts_us)
        return err_set(why, ERR_INVALID, "a silence ends after it starts");
    if (s->ends_us - s->starts_us > SILENCE_LONGEST_US)
        return err_set(why, ERR_INVALID, "a silence lasts a year at most");
    if (s->comment.len == 0 || s->comment.len > ALERT_TEXT_MAX || s->author.len == 0)
        return err_set(why, ERR_INVALID, "a silence needs an author and a comment of at most %d bytes",
                       ALERT_TEXT_MAX);
    return ERR_OK;
}

static bool matches(const struct silence_matcher *m, const struct alert *a)
{
    char name[ALERT_NAME_MAX + 1] = "";
    struct slice value;

    if (slice_eq_str(m->name, "severity")) {
        value = slice_str(alert_severity_name(a->severity));
    } else {
        memcpy(name, m->name.ptr, m->name.len < ALERT_NAME_MAX ? m->name.len : ALERT_NAME_MAX);
        value = alert_label(&a->labels, name);
    }
    return slice_eq(value, m->value) == m->is_equal;
}

bool silence_matches(const struct silence *s, const struct alert *a)
{
    for (size_t i = 0; i < s->count; i++)
        if (!matches(&s->matchers[i], a))
            return false;
    return s->count > 0;
}

bool silence_is_on(const struct silence *s, int64_t now_us)
{
    return s->starts_us <= now_us && now_us < s->ends_us;
}

void silence_matchers_write(struct json_out *o, const char *key, const struct silence *s)
{
    json_out_list(o, key);
    for (size_t i = 0; i < s->count; i++) {
        json_out_open(o, NULL);
        json_out_text(o, "name", s->matchers[i].name);
        json_out_text(o, "value", s->matchers[i].value);
        json_out_bool(o, "is_equal", s->matchers[i].is_equal);
        json_out_end(o);
    }
    json_out_end(o);
}

enum err silence_matchers_read(struct silence *s, const json_t *list, struct arena *arena, struct why *why)
{
    enum err err = ERR_OK;

    s->count = 0;
    if (!json_is_array(list))
        return err_set(why, ERR_INVALID, "matchers are a list");
    for (size_t i = 0; i < json_array_size(list) && !err; i++) {
        const json_t *item = json_array_get(list, i), *equal = json_object_get(item, "is_equal");
        struct silence_matcher m = { .name = arena_slice(arena, json_slice(json_object_get(item, "name"))),
                                     .value = arena_slice(arena, json_slice(json_object_get(item, "value"))),
                                     .is_equal = !equal || json_is_true(equal) };

        if (!json_is_string(json_object_get(item, "name")) ||
            !json_is_string(json_object_get(item, "value")) || (equal && !json_is_boolean(equal)))
            return err_set(why, ERR_INVALID,
                           "a matcher is {\"name\": text, \"value\": text, \"is_equal\": bool}");
        err = check_matcher(&m, why);
        if (!err)
            err = silence_add(s, m, why);
    }
    return err;
}
