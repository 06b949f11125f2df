/* SPDX-License-Identifier: Apache-2.0 */
#include "json/settings.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"

struct fields {
    bool is_on;
    size_t size;
    int number;
    int64_t wide;
    uint32_t narrow;
    double share;
    int64_t span_us, wait_us;
};
#define AT(field) offsetof(struct fields, field)
static const struct json_setting table[] = {
    { "on", SETTING_BOOL, AT(is_on), 0, 0, NULL },
    { "size", SETTING_SIZE, AT(size), 1, 1000, NULL },
    { "number", SETTING_INT, AT(number), -5, 5, NULL },
    { "wide", SETTING_I64, AT(wide), 0, 1e15, NULL },
    { "narrow", SETTING_U32, AT(narrow), 0, 4e9, NULL },
    { "share", SETTING_DOUBLE, AT(share), 0, 1, NULL },
    { "span_days", SETTING_DAYS, AT(span_us), 0, 7, NULL },
    { "wait_ms", SETTING_MS, AT(wait_us), 0, 100, NULL },
};

static enum err take(struct fields *f, const char *name, const char *text, struct why *why)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    enum err err = json_setting_take(f, table, ARRAY_LEN(table), name, value, why);

    json_decref(value);
    return err;
}

Test(json_settings, fill_their_fields_and_no_others)
{
    struct fields f = { 0 };
    struct why why = { 0 };

    cr_assert_eq(take(&f, "on", "true", &why), ERR_OK);
    cr_assert_eq(take(&f, "size", "1000", &why), ERR_OK);
    cr_assert_eq(take(&f, "number", "-5", &why), ERR_OK);
    cr_assert_eq(take(&f, "wide", "1000000000000000", &why), ERR_OK);
    cr_assert_eq(take(&f, "narrow", "4000000000", &why), ERR_OK);
    cr_assert_eq(take(&f, "share", "0.25", &why), ERR_OK);
    cr_assert_eq(take(&f, "span_days", "1.5", &why), ERR_OK);
    cr_assert_eq(take(&f, "wait_ms", "2.5", &why), ERR_OK);
    cr_assert(f.is_on && f.size == 1000 && f.number == -5 && f.wide == INT64_C(1000000000000000) &&
              f.narrow == UINT32_C(4000000000) && f.share == 0.25 && f.span_us == 3 * DAY_US / 2 &&
              f.wait_us == 2500);
}

Test(json_settings, say_what_a_value_may_be)
{
    static const struct {
        const char *name, *text, *says;
    } cases[] = {
        { "on", "1", "on is true or false" },
        { "size", "0", "size is a whole number from 1 to 1000" },
        { "size", "2.5", "size is a whole number" },
        { "number", "6", "number is a whole number from -5 to 5" },
        { "share", "1.01", "share is a number from 0 to 1" },
        { "share", "\"0.5\"", "share is a number" },
        { "span_days", "8", "span_days is a number from 0 to 7" },
        { "wide", "null", "wide is a whole number" },
    };
    struct fields f = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = { 0 };

        cr_assert_eq(take(&f, cases[i].name, cases[i].text, &why), ERR_INVALID, "%s", cases[i].text);
        cr_assert_not_null(strstr(why.text, cases[i].says), "%s", why.text);
    }
    cr_assert(!f.is_on && !f.size && !f.number && !f.wide && f.share == 0 && !f.span_us, "nothing was put");
    cr_assert_eq(take(&f, "none", "1", &(struct why){ 0 }), ERR_NOT_FOUND);
}
