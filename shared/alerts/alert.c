/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/alert.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

static const char *const severity_names[] = {
    [ALERT_INFO] = "info",
    [ALERT_WARNING] = "warning",
    [ALERT_CRITICAL] = "critical",
};
static_assert(ARRAY_LEN(severity_names) == ALERT_SEVERITY_COUNT, "every severity has a name");

static const char *const state_names[] = {
    [ALERT_PENDING] = "pending",
    [ALERT_FIRING] = "firing",
    [ALERT_RESOLVED] = "resolved",
};
static_assert(ARRAY_LEN(state_names) == ALERT_STATE_COUNT, "every state has a name");

static bool find_name(const char *const *names, size_t count, struct slice name, size_t *out)
{
    for (*out = 0; *out < count; (*out)++)
        if (slice_eq_str(name, names[*out]))
            return true;
    return false;
}

const char *alert_severity_name(enum alert_severity severity)
{
    return severity_names[severity];
}

bool alert_severity_find(struct slice name, enum alert_severity *out)
{
    size_t i;
    bool is_found = find_name(severity_names, ALERT_SEVERITY_COUNT, name, &i);

    if (is_found)
        *out = (enum alert_severity)i;
    return is_found;
}

const char *alert_state_name(enum alert_state state)
{
    return state_names[state];
}

bool alert_state_find(struct slice name, enum alert_state *out)
{
    size_t i;
    bool is_found = find_name(state_names, ALERT_STATE_COUNT, name, &i);

    if (is_found)
        *out = (enum alert_state)i;
    return is_found;
}

/* ---- labels ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_label_name(struct slice name)
{
    if (name.len == 0 || name.len > ALERT_NAME_MAX || !is_letter(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!is_letter(name.ptr[i]) && (name.ptr[i] < '0' || name.ptr[i] > '9'))
            return false;
    return true;
}

enum err alert_labels_add(struct alert_labels *labels, struct slice name, struct slice value, struct why *why)
{
    size_t place = labels->count;

    if (!is_label_name(name))
        return err_set(why, ERR_INVALID,
                       "a label's name is a letter or _, then letters, digits and _, up to 64");
    if (value.len > ALERT_VALUE_MAX || !slice_is_utf8(value))
        return err_set(why, ERR_INVALID, "label %.*s: its value is no UTF-8, or longer than %d bytes",
                       SLICE_ARG(name), ALERT_VALUE_MAX);
    if (value.len == 0)
        return ERR_OK;
    while (place > 0 && slice_compare(labels->items[place - 1].name, name) > 0)
        place--;
    if (place > 0 && slice_eq(labels->items[place - 1].name, name))
        return err_set(why, ERR_INVALID, "label %.*s is there twice", SLICE_ARG(name));
    if (labels->count == ALERT_LABELS_MAX)
        return err_set(why, ERR_INVALID, "more than %d labels", ALERT_LABELS_MAX);
    memmove(&labels->items[place + 1], &labels->items[place],
            (labels->count - place) * sizeof *labels->items);
    labels->items[place] = (struct alert_label){ name, value };
    labels->count++;
    return ERR_OK;
}

struct slice alert_label(const struct alert_labels *labels, const char *name)
{
    for (size_t i = 0; i < labels->count; i++)
        if (slice_eq_str(labels->items[i].name, name))
            return labels->items[i].value;
    return SLICE("");
}

void alert_labels_write(struct json_out *o, const char *key, const struct alert_labels *labels)
{
    json_out_open(o, key);
    for (size_t i = 0; i < labels->count; i++) {
        json_out_text_key(o, labels->items[i].name);
        json_out_text(o, NULL, labels->items[i].value);
    }
    json_out_end(o);
}

enum err alert_labels_read(struct alert_labels *labels, const json_t *object, struct arena *arena,
                           struct why *why)
{
    const char *name;
    json_t *value;
    enum err err = ERR_OK;

    *labels = (struct alert_labels){ 0 };
    if (!json_is_object(object))
        return err_set(why, ERR_INVALID, "labels are a JSON object of texts");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!json_is_string(value))
            return err_set(why, ERR_INVALID, "labels are a JSON object of texts");
        err = alert_labels_add(labels, arena_slice(arena, slice_str(name)),
                               arena_slice(arena, json_slice(value)), why);
        if (err)
            return err;
    }
    return ERR_OK;
}

struct alert_print alert_print_of(const struct alert_labels *labels)
{
    unsigned char digest[SHA256_BYTES];
    struct alert_print print;
    struct buf text;

    buf_init(&text, 0);
    for (size_t i = 0; i < labels->count; i++)
        buf_printf(&text, "%zu:%.*s%zu:%.*s", labels->items[i].name.len, SLICE_ARG(labels->items[i].name),
                   labels->items[i].value.len, SLICE_ARG(labels->items[i].value));
    sha256(buf_slice(&text), digest);
    memcpy(print.bytes, digest, sizeof print.bytes);
    buf_release(&text);
    return print;
}

/* ---- states ---- */

/* A text is cut between two characters, not in one. */
static struct slice cut(struct slice text)
{
    size_t len = text.len < ALERT_TEXT_MAX ? text.len : ALERT_TEXT_MAX;

    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    return slice_of(text.ptr, len);
}

static void take_words(struct alert *a, const struct alert_condition *c)
{
    a->labels = c->labels;
    a->severity = c->severity;
    a->text = cut(c->text);
    a->value = c->value;
    a->threshold = c->threshold;
}

static void fire_when_held(struct alert *a, const struct alert_times *times, int64_t now_us)
{
    if (a->state == ALERT_PENDING && now_us - a->since_us >= times->hold_us) {
        a->state = ALERT_FIRING;
        a->fired_us = now_us;
    }
}

struct alert alert_begin(const struct alert_condition *c, const struct alert_times *times, int64_t now_us)
{
    struct alert a = { .print = alert_print_of(&c->labels),
                       .state = ALERT_PENDING,
                       .since_us = now_us,
                       .true_us = now_us,
                       .fired_us = ALERT_NEVER,
                       .resolved_us = ALERT_NEVER,
                       .told_us = ALERT_NEVER };

    take_words(&a, c);
    fire_when_held(&a, times, now_us);
    return a;
}

bool alert_step(struct alert *a, const struct alert_condition *c, const struct alert_times *times,
                int64_t now_us)
{
    bool is_true = c && c->is_true;

    if (a->state == ALERT_RESOLVED)
        return true;
    if (now_us < a->true_us) /* the clock went back: its times begin anew, so that nothing is early */
        a->since_us = a->true_us = now_us;
    if (is_true) {
        take_words(a, c);
        a->true_us = now_us;
        fire_when_held(a, times, now_us);
        return true;
    }
    if (a->state == ALERT_PENDING)
        return false;
    if (now_us - a->true_us >= times->keep_us) {
        a->state = ALERT_RESOLVED;
        a->resolved_us = now_us;
    }
    return true;
}
