/* SPDX-License-Identifier: Apache-2.0
 * alerts_fuzz.c - whatever people type at alerts is read or refused: matchers, labels, secrets, waits and URLs. By the
 * first byte; what is read keeps its promises. */
#include <stdlib.h>

#include "alerts/silence.h"
#include "alerts/webhook.h"
#include "deliver/address.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static void read_matcher(struct slice text)
{
    struct silence s = { .ends_us = 1, .author = SLICE("a"), .comment = SLICE("c") };
    struct alert nothing = { 0 };
    struct silence_matcher m;
    struct why why = { 0 };

    if (silence_matcher_parse(&m, text, &why)) {
        must(why.text[0]);
        return;
    }
    must(m.name.len > 0 && m.name.len + m.value.len < text.len && slice_is_utf8(m.value));
    must(!silence_add(&s, m, &why));
    if (!slice_eq_str(m.name, "severity"))
        must(silence_matches(&s, &nothing) == (m.is_equal == (m.value.len == 0)));
}

/* What was read is written, read again, and the same. */
static void read_matchers(const json_t *tree, struct arena *arena)
{
    struct silence s = { 0 }, again = { 0 };
    struct why why = { 0 };
    struct buf text;
    struct json_out o;
    json_t *copy = NULL;

    if (silence_matchers_read(&s, tree, arena, &why))
        return;
    buf_init(&text, 0);
    o = json_out_to(&text);
    silence_matchers_write(&o, NULL, &s);
    must(!json_parse(&copy, buf_slice(&text), JSON_DEPTH_MAX, &why));
    must(!silence_matchers_read(&again, copy, arena, &why) && again.count == s.count);
    for (size_t i = 0; i < s.count; i++)
        must(slice_eq(s.matchers[i].name, again.matchers[i].name) &&
             slice_eq(s.matchers[i].value, again.matchers[i].value));
    json_decref(copy);
    buf_release(&text);
}

static void read_json(struct slice text)
{
    struct arena arena = { 0 };
    struct alert_labels labels;
    struct why why = { 0 };
    json_t *tree = NULL;

    if (json_parse(&tree, text, JSON_DEPTH_MAX, &why))
        return;
    read_matchers(tree, &arena);
    if (!alert_labels_read(&labels, tree, &arena, &why))
        for (size_t i = 1; i < labels.count; i++)
            must(slice_compare(labels.items[i - 1].name, labels.items[i].name) < 0);
    json_decref(tree);
    arena_release(&arena);
}

static void read_secret(struct slice text)
{
    char written[WEBHOOK_SECRET_SIZE];
    struct webhook_secret secret;
    struct why why = { 0 };

    if (webhook_secret_read(&secret, text, &why))
        return;
    webhook_secret_write(&secret, written);
    must(slice_eq_str(text, written));
}

static void read_waits(struct slice text)
{
    struct webhook_waits waits;
    struct why why = { 0 };

    if (webhook_waits_read(&waits, text, &why))
        return;
    for (size_t i = 0; i < waits.count; i++)
        must(webhook_wait_us(&waits, (int64_t)i + 1, 1) >= waits.us[i] && waits.us[i] >= 0);
}

static void read_url(struct slice text)
{
    struct arena arena = { 0 };
    const char *url = arena_strndup(&arena, text.ptr, text.len);
    struct why why = { 0 };

    if (!address_check_url(url, false, false, &why))
        must(!address_check_url(url, true, true, &why));
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static void (*const readers[])(struct slice) = { read_matcher, read_json, read_secret, read_waits,
                                                     read_url };

    if (size)
        readers[data[0] % (sizeof readers / sizeof *readers)](slice_of(data + 1, size - 1));
    return 0;
}
