/* SPDX-License-Identifier: Apache-2.0
 * json_test.c - reading strictly, pointing at a place, writing shortest numbers. */
#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "json/json.h"
#include "json/json_in.h"
#include "json/json_out.h"

/* Both readers: they say the same, in the same words. */
static enum err parse(const char *text, struct why *why)
{
    struct arena arena = { 0 };
    struct why other = { 0 };
    struct json_value *value;
    json_t *tree;
    enum err err = json_parse(&tree, slice_str(text), 4, why);

    cr_assert_eq(json_read(&value, slice_str(text), 4, &arena, &other), err, "%s", text);
    cr_assert_eq(value == NULL, tree == NULL, "%s", text);
    if (err)
        cr_assert_str_eq(other.text, why->text);
    json_decref(tree);
    arena_release(&arena);
    return err;
}

Test(json, refuses_what_is_not_one_strict_document)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "{}x",
        "{}{}",
        "1",
        "\"x\"",
        "null",
        "{\"a\":1,}",
        "{'a':1}",
        "{a:1}",
        "[1,]",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\xaf\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":1e999}",
        "\xef\xbb\xbf{}",
        "{\"a\":99999999999999999999}",
        "[[[[[]]]]]",
        "{\"a\":tru}",
        "{\"a\":\"x}",
        "// {}",
    };
    struct why why = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(parse(bad[i], &why), ERR_SYNTAX, "%s", bad[i]);
    cr_assert_eq(parse("[[[[]]]]", &why), ERR_OK);
    cr_assert_eq(parse("{\"a\":\"[[[[[[\\\"[[[\"}", &why), ERR_OK);
}

Test(json, refuses_a_nul_byte_wherever_it_stands)
{
    static const char whole[] = "{\"a\":[1,true],\"b\":\"x\"}";
    char text[sizeof whole];
    struct why why = { 0 };

    for (size_t at = 0; at < sizeof whole; at++) {
        struct arena arena = { 0 };
        struct json_value *value;
        json_t *tree;

        memcpy(text, whole, at);
        text[at] = '\0';
        memcpy(text + at + 1, whole + at, sizeof whole - 1 - at);
        cr_assert_eq(json_parse(&tree, slice_of(text, sizeof whole), 4, &why), ERR_SYNTAX, "at %zu", at);
        cr_assert_eq(json_read(&value, slice_of(text, sizeof whole), 4, &arena, &why), ERR_SYNTAX, "at %zu",
                     at);
        arena_release(&arena);
    }
}

Test(json, never_quotes_what_was_sent)
{
    struct why why = { 0 };

    cr_assert_eq(parse("{\"card\": 4111111111111111x}", &why), ERR_SYNTAX);
    cr_assert_null(strstr(why.text, "4111"), "%s", why.text);
    cr_assert_not_null(strstr(why.text, "line 1"), "%s", why.text);
}

Test(json, points_at_a_place_as_a_fragment)
{
    struct json_path a = { .key = "items" }, b = { .up = &a, .index = 7 },
                     c = { .up = &b, .key = "a/b~c d\"é" };
    struct buf out;

    buf_init(&out, 0);
    json_path_write(&out, &c);
    cr_assert_str_eq(buf_str(&out), "#/items/7/a~1b~0c%20d%22%C3%A9");
    buf_clear(&out);
    json_path_write(&out, NULL);
    cr_assert_str_eq(buf_str(&out), "#");
    buf_release(&out);
}

Test(json, writes_objects_lists_and_escapes)
{
    struct buf out;
    struct json_out o;

    buf_init(&out, 0);
    o = json_out_to(&out);
    json_out_open(&o, NULL);
    json_out_str(&o, "a", "x\"\\\n\t\x01\x7fé\xff");
    json_out_list(&o, "b");
    json_out_int(&o, NULL, INT64_MIN);
    json_out_bool(&o, NULL, true);
    json_out_open(&o, NULL);
    json_out_end(&o);
    json_out_str(&o, NULL, NULL);
    json_out_end(&o);
    json_out_text_key(&o, SLICE("k\"ey"));
    json_out_number(&o, NULL, NAN);
    json_out_time(&o, "t", 0);
    json_out_hex(&o, "h", SLICE("\x01\xab"));
    json_out_end(&o);
    cr_assert_str_eq(buf_str(&out),
                     "{\"a\":\"x\\\"\\\\\\n\\t\\u0001\\u007fé\xef\xbf\xbd\",\"b\":[-9223372036854775808,"
                     "true,{},null],\"k\\\"ey\":null,\"t\":\"1970-01-01T00:00:00Z\",\"h\":\"01ab\"}");
    buf_release(&out);
}

static void check_number(struct buf *out, double value)
{
    char *end;

    buf_clear(out);
    json_write_number(out, value);
    cr_assert(strtod(buf_str(out), &end) == value && *end == '\0', "%.17g became %s", value, buf_str(out));
}

Test(json, writes_numbers_that_read_back_the_same)
{
    static const double some[] = { 0,
                                   -0.0,
                                   1,
                                   -1,
                                   0.1,
                                   0.5,
                                   1.0 / 3,
                                   1e-7,
                                   123456.789,
                                   1e9,
                                   1e21,
                                   1e300,
                                   DBL_MAX,
                                   DBL_MIN,
                                   DBL_TRUE_MIN,
                                   0.000001,
                                   999999999.999999,
                                   4503599627370497.5,
                                   0.3 };
    uint64_t state = 1;
    struct buf out;

    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        check_number(&out, some[i]);
        check_number(&out, -some[i]);
    }
    for (int i = 0; i < 50000; i++) {
        double value;

        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memcpy(&value, &state, sizeof value);
        if (isfinite(value))
            check_number(&out, value);
        check_number(&out, (double)(float)((double)(state >> 40) / 1000));
        check_number(&out, (double)(state >> 44) / 10000);
    }
    buf_clear(&out);
    json_write_number(&out, 0.97);
    cr_assert_str_eq(buf_str(&out), "0.97");
    buf_clear(&out);
    json_write_number(&out, 1e21);
    cr_assert_str_eq(buf_str(&out), "1e+21");
    buf_release(&out);
}

/* What the writer does, a byte at a time. */
static void write_slowly(struct buf *out, struct slice text)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        if (c >= 0x80 && (len > text.len - i || !slice_is_utf8(slice_of(text.ptr + i, len)))) {
            buf_add_str(out, "\xef\xbf\xbd");
        } else if (c >= 0x80) {
            buf_add(out, text.ptr + i, len);
            i += len - 1;
        } else if (c == '"' || c == '\\') {
            buf_printf(out, "\\%c", c);
        } else if (c == '\n' || c == '\t') {
            buf_add_str(out, c == '\n' ? "\\n" : "\\t");
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_add_char(out, (char)c);
        }
    }
    buf_add_char(out, '"');
}

Test(json, writes_any_text_at_any_place_as_a_byte_at_a_time)
{
    static const char *const odd[] = { "\"",   "\\",   "\n",       "\t",       "\x1f",
                                       "\x7f", "\x80", "\xc3\xa9", "\xe2\x82", "\xf0\x9f\x98\x80",
                                       "!",    "~" };
    struct buf one, two;
    char text[48];

    buf_init(&one, 0);
    buf_init(&two, 0);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        for (size_t at = 0; at < 20; at++) {
            for (size_t behind = 0; behind < 20; behind++) {
                memset(text, 'x', sizeof text);
                memcpy(text + at, odd[i], strlen(odd[i]));
                buf_clear(&one);
                buf_clear(&two);
                json_write_text(&one, slice_of(text, at + strlen(odd[i]) + behind));
                write_slowly(&two, slice_of(text, at + strlen(odd[i]) + behind));
                cr_assert(slice_eq(buf_slice(&one), buf_slice(&two)), "%s is not %s", buf_str(&one),
                          buf_str(&two));
            }
        }
    }
    buf_release(&one);
    buf_release(&two);
}

Test(json, lies_in_an_arena_as_it_was_written)
{
    static const char text[] = " {\"b\" : [ 1, -2.5e3, true ,null], \"a\":\"x\\u00e9\\n\", \"\":{}}\n";
    struct arena arena = { 0 };
    struct json_value *root, *list;
    struct why why = { 0 };

    cr_assert_eq(json_read(&root, slice_str(text), 4, &arena, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(root->children.count, 3u);
    list = json_member(root, "b");
    cr_assert_eq(list, root->children.first);
    cr_assert_eq(list->children.count, 4u);
    cr_assert_eq(list->children.first->integer, 1);
    cr_assert_eq(list->children.first->next->real, -2500);
    cr_assert(slice_eq_str(json_text(json_take_member(root, "a")), "x\xc3\xa9\n"));
    cr_assert_null(json_member(root, "a"));
    cr_assert_eq(root->children.count, 2u);
    cr_assert_eq(json_member(root, "")->kind, JSON_IN_OBJECT);
    cr_assert_null(json_member(list, "a"));
    cr_assert_eq(json_text(list).len, 0u);
    arena_release(&arena);
}

/* What is read straight from the digits, and what is left to strtod. */
Test(json, reads_numbers_as_strtod_does)
{
    struct arena arena = { 0 };
    struct why why = { 0 };
    uint64_t state = 5;
    char text[128];

    for (int i = 0; i < 100000; i++) {
        struct json_value *root;
        int power;
        double value;

        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        power = (int)(state >> 40) % 60 - 30;
        if (i % 3 == 0)
            snprintf(text, sizeof text, "[%llue%d]", (unsigned long long)(state >> (state % 64)), power);
        else if (i % 3 == 1)
            snprintf(text, sizeof text, "[%.*f]", (int)(state >> 33) % 20, (double)(int64_t)state / 1e12);
        else
            snprintf(text, sizeof text, "[%.17gE%d]", (double)(state >> 11) / 3e9, power);
        cr_assert_eq(json_read(&root, slice_str(text), 1, &arena, &why), ERR_OK, "%s: %s", text, why.text);
        value = strtod(text + 1, NULL);
        if (root->children.first->kind == JSON_IN_INTEGER)
            cr_assert_eq((double)root->children.first->integer, value);
        else
            cr_assert_eq(memcmp(&root->children.first->real, &value, sizeof value), 0, "%s", text);
        arena_reset(&arena);
    }
    arena_release(&arena);
}
