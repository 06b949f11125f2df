/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/webhook.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/event.h"
#include "base/array.h"
#include "base/clock.h"

static struct why why;

static struct webhook_secret secret_of(const char *text)
{
    struct webhook_secret secret;

    cr_assert(!webhook_secret_read(&secret, slice_str(text), &why), "%s", why.text);
    return secret;
}

TestSuite(webhook, .timeout = 180);

/* Published with the reference libraries of Standard Webhooks. */
Test(webhook, signs_as_the_published_example_says)
{
    struct webhook_secret secret = secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    struct buf out;

    buf_init(&out, 0);
    webhook_sign(&secret, 1, SLICE("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330,
                 SLICE("{\"test\": 2432232314}"), &out);
    cr_assert_str_eq(buf_str(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    buf_release(&out);
}

/* One signature as OpenSSL makes it. */
static void expected(const struct webhook_secret *secret, const char *signed_text, size_t len, char out[64])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;

    HMAC(EVP_sha256(), secret->bytes, (int)secret->len, (const unsigned char *)signed_text, len, mac,
         &mac_len);
    strcpy(out, "v1,");
    EVP_EncodeBlock((unsigned char *)out + 3, mac, (int)mac_len);
}

Test(webhook, signs_with_each_secret_as_openssl_does)
{
    struct webhook_secret secrets[2];
    char text[300], one[64], two[64], both[130], body[100];
    struct buf out;

    buf_init(&out, 0);
    srand(3);
    for (int round = 0; round < 200; round++) {
        size_t len = (size_t)(rand() % (int)sizeof body);
        long long at_s = rand();
        int head;

        webhook_secret_make(&secrets[0]);
        webhook_secret_make(&secrets[1]);
        secrets[1].len = 24;
        for (size_t i = 0; i < len; i++)
            body[i] = (char)rand();
        head = snprintf(text, sizeof text, "msg_%d.%lld.", round, at_s);
        memcpy(text + head, body, len);
        expected(&secrets[0], text, (size_t)head + len, one);
        expected(&secrets[1], text, (size_t)head + len, two);
        snprintf(both, sizeof both, "%s %s", one, two);
        snprintf(text, sizeof text, "msg_%d", round);
        buf_clear(&out);
        webhook_sign(secrets, 2, slice_str(text), at_s, slice_of(body, len), &out);
        cr_assert_str_eq(buf_str(&out), both);
    }
    buf_release(&out);
}

Test(webhook, a_secret_comes_back_from_its_text)
{
    struct webhook_secret made, read;
    char text[WEBHOOK_SECRET_SIZE];

    webhook_secret_make(&made);
    for (made.len = WEBHOOK_SECRET_LEAST; made.len <= WEBHOOK_SECRET_MOST; made.len++) {
        webhook_secret_write(&made, text);
        read = secret_of(text);
        cr_assert_eq(read.len, made.len);
        cr_assert_eq(memcmp(read.bytes, made.bytes, made.len), 0);
    }
}

Test(webhook, refuses_what_is_no_secret_without_repeating_it)
{
    static const char *const wrong[] = {
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
        "whsec_SECRETSECRET",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_Mbtnamf\xd1KQ9r8GKYqrTwjUPD8ILPZIo44444444442LaLaSw",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    };
    struct webhook_secret secret;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        cr_assert_eq(webhook_secret_read(&secret, slice_str(wrong[i]), &why), ERR_INVALID, "%s", wrong[i]);
        cr_assert_null(strstr(why.text, "SECRET"));
    }
}

/* ---- again ---- */

Test(webhook, the_waits_are_read)
{
    struct webhook_waits waits;

    cr_assert(!webhook_waits_read(&waits, SLICE(WEBHOOK_WAITS_USUAL), &why), "%s", why.text);
    cr_assert_eq(waits.count, 9);
    cr_assert_eq(waits.us[0], 5 * SECOND_US);
    cr_assert_eq(waits.us[8], DAY_US);
    cr_assert(!webhook_waits_read(&waits, SLICE("250ms,1d"), &why));
    cr_assert_eq(waits.us[0], 250 * MS_US);
    cr_assert(!webhook_waits_read(&waits, SLICE(""), &why));
    cr_assert_eq(waits.count, 0, "no second attempt");
}

Test(webhook, refuses_waits_that_are_none)
{
    static const char *const wrong[] = { "5",
                                         "s",
                                         "5s,,5s",
                                         "-1s",
                                         "1.5s",
                                         "31d",
                                         "5 s",
                                         "99999999999999999999s",
                                         "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s",
                                         ",",
                                         "1y",
                                         "9223372036854775807d" };
    struct webhook_waits waits;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        cr_assert_eq(webhook_waits_read(&waits, slice_str(wrong[i]), &why), ERR_INVALID, "%s", wrong[i]);
}

Test(webhook, waits_longer_each_time_and_gives_up_at_the_end)
{
    struct webhook_waits waits;

    cr_assert(!webhook_waits_read(&waits, SLICE("1s,10s"), &why));
    cr_assert_eq(webhook_wait_us(&waits, 1, 0), SECOND_US);
    cr_assert_eq(webhook_wait_us(&waits, 1, 1), 1200 * MS_US);
    cr_assert_eq(webhook_wait_us(&waits, 2, 0.5), 11 * SECOND_US);
    cr_assert_eq(webhook_wait_us(&waits, 3, 0), -1);
    cr_assert_eq(webhook_wait_us(&waits, INT64_MAX, 0), -1);
}

/* ---- what is sent ---- */

static json_t *parse(struct buf *text)
{
    json_t *tree;

    cr_assert(!json_parse(&tree, buf_slice(text), JSON_DEPTH_MAX, &why), "%s: %s", why.text, buf_str(text));
    return tree;
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static struct alert some_alert(void)
{
    struct alert_condition c = { .severity = ALERT_CRITICAL,
                                 .is_true = true,
                                 .text = SLICE("PSI \"0.31\""),
                                 .value = 0.31,
                                 .threshold = 0.2 };
    struct alert a;

    cr_assert(!alert_labels_add(&c.labels, SLICE("alertname"), SLICE("Drift"), &why));
    cr_assert(!alert_labels_add(&c.labels, SLICE("subject"), SLICE("amount"), &why));
    a = alert_begin(&c, &(struct alert_times){ 0 }, 1700000000 * SECOND_US);
    a.id = 42;
    return a;
}

/* Section "Required Attributes" of CloudEvents 1.0, and the payload that Standard Webhooks recommends. */
Test(event, is_a_cloudevent_and_a_standard_webhook)
{
    struct alert a = some_alert(), *list[] = { &a };
    struct notice n = { .state = ALERT_FIRING, .group = SLICE("Drift"), .alerts = list, .count = 1 };
    struct buf text;
    json_t *tree, *alert;

    buf_init(&text, 0);
    event_write(&text,
                &(struct event_head){ SLICE("msg_1"), SLICE("/assay/monitor"), 1700000001 * SECOND_US }, &n);
    tree = parse(&text);
    cr_assert_str_eq(member(tree, "specversion"), "1.0");
    cr_assert_str_eq(member(tree, "id"), "msg_1");
    cr_assert_str_eq(member(tree, "source"), "/assay/monitor");
    cr_assert_str_eq(member(tree, "type"), "assay.alert.firing");
    cr_assert_str_eq(member(tree, "subject"), "Drift");
    cr_assert_str_eq(member(tree, "time"), "2023-11-14T22:13:21Z");
    cr_assert_str_eq(member(tree, "timestamp"), "2023-11-14T22:13:21Z");
    cr_assert_str_eq(member(tree, "datacontenttype"), "application/json");
    alert = json_array_get(json_object_get(json_object_get(tree, "data"), "alerts"), 0);
    cr_assert_eq(json_integer_value(json_object_get(alert, "id")), 42);
    cr_assert_str_eq(member(alert, "text"), "PSI \"0.31\"");
    cr_assert_str_eq(member(json_object_get(alert, "labels"), "subject"), "amount");
    cr_assert(json_is_null(json_object_get(alert, "resolved_at")));
    json_decref(tree);
    buf_release(&text);
}

Test(event, alertmanager_gets_labels_annotations_and_an_end)
{
    struct alert a = some_alert(), b = some_alert(), *list[] = { &a, &b };
    struct buf text;
    json_t *tree, *one;

    b.state = ALERT_RESOLVED;
    b.resolved_us = 1700000100 * SECOND_US;
    buf_init(&text, 0);
    event_write_alertmanager(&text, list, 2, 1700000240 * SECOND_US,
                             SLICE("https://assay.example/v1/alerts/"));
    tree = parse(&text);
    cr_assert_eq(json_array_size(tree), 2);
    one = json_array_get(tree, 0);
    cr_assert_str_eq(member(json_object_get(one, "labels"), "alertname"), "Drift");
    cr_assert_str_eq(member(json_object_get(one, "labels"), "severity"), "critical");
    cr_assert_str_eq(member(json_object_get(one, "annotations"), "summary"), "PSI \"0.31\"");
    cr_assert_str_eq(member(one, "startsAt"), "2023-11-14T22:13:20Z");
    cr_assert_str_eq(member(one, "endsAt"), "2023-11-14T22:17:20Z");
    cr_assert_str_eq(member(one, "generatorURL"), "https://assay.example/v1/alerts/42");
    cr_assert_str_eq(member(json_array_get(tree, 1), "endsAt"), "2023-11-14T22:15:00Z");
    json_decref(tree);
    buf_release(&text);
}
