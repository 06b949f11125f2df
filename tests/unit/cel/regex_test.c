/* SPDX-License-Identifier: Apache-2.0
 * regex_test.c - regular expressions against PCRE2 where both have the same syntax, their limits and their time. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <criterion/criterion.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "cel/cel.h"
#include "said.h"

static const char *const texts[] = {
    "",         "a",   "b",     "ab",       "aab",     "abc", "ABC",          "aBc",    "a\nb",
    "\n",       "123", "a1_",   "foo bar",  "foo.bar", "äöü", "ÄÖÜ",          "Straße", "日本語",
    "a-b-c",    "[x]", "aaaaa", "ababab",   "k",       "K",   "\xe2\x84\xaa", "x\ty",   " ",
    "foobar\n", "σς",  "Σ",     "{2}",      "a{2,}b",  "^$",  "a\\b",         "0x1F",   "e\xcc\x81",
    "",         "ſ",   "s",     "+49 30 1",
};

static const char *const patterns[] = {
    "a",
    "ab|b",
    "^a",
    "b$",
    "^$",
    "^a.b$",
    "(?s)^a.b$",
    "a*",
    "^a+b?$",
    "(a|b)+$",
    "a{2}",
    "^a{2,3}b",
    "a{0}",
    "^(ab){2,}$",
    "[a-c]+",
    "^[^a-c]+$",
    "[]x]",
    "[^]a]",
    "[a\\-z]",
    "\\d+",
    "^\\w+$",
    "\\s",
    "\\S\\W\\S",
    "\\D",
    "\\bfoo\\b",
    "\\Bo",
    "(?i)abc",
    "(?i)ÄÖÜ",
    "(?i)straße",
    "(?i)k",
    "(?i)σ",
    "(?i)[a-z]",
    "(?i:B)c",
    "a(?i)b",
    "(?m)^b",
    "(?m)a$",
    "\\Aa",
    "b\\z",
    "\\x61",
    "\\x{65e5}",
    "\\141",
    "\\n",
    "\\t",
    "\\.",
    "[.]",
    "\\Qa-b\\E",
    "\\p{L}",
    "^\\p{Lu}+$",
    "\\pN",
    "\\P{L}",
    "\\p{Greek}",
    "\\p{Han}+",
    "[\\p{Ll}\\d]",
    "[^\\pL]",
    "\\p{^Lu}",
    "[[:alpha:]]",
    "[[:^digit:]]",
    "[[:upper:]]",
    "[[:punct:]]",
    "(?:a|b)c",
    "(?P<name>a)b",
    "(a)(b)c|d",
    "^(a|aa)+$",
    "(a*)*b",
    "(a*)+$",
    "(|a)b",
    "a||b",
    "()",
    "x{2",
    "a{,3}",
    "^\\^",
    "[\\d_]",
    "[\\w.]+",
    "^.$",
    "..",
    "a.?b",
    "a+?b",
    "a??b",
    "(a{0,3}){2}b",
    "[a-fA-F0-9]{2,}",
    "\\+\\d{2}",
    "ß",
    "[ä-ü]",
    "e.",
    "(?i)ſ",
    "(?i)s",
    "[^\\s]",
    "[\\S]",
    "[^\\D]",
    "(?-i)A",
    "(?i)A(?-i)B",
    "((a)|(b(c)))",
    "\\a|\\f|\\r",
};

static bool by_pcre(const char *pattern, const char *text)
{
    int error;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &error, &at, NULL);
    pcre2_match_data *data;
    int found;

    cr_assert_not_null(code, "%s", pattern);
    data = pcre2_match_data_create_from_pattern(code, NULL);
    found = pcre2_match(code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, NULL);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    return found >= 0;
}

static struct slice given;

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    (void)context;
    *out = (struct cel_name){ slice_eq_str(name, "pattern"), CEL_STRING };
    return true;
}

/* By a literal pattern when that can be written in raw quotes, else by one that is only known when evaluated. */
static struct cel_value by_us(const char *pattern, const char *text, bool is_literal)
{
    struct cel_env env = { .resolve = resolve };
    struct cel_program *program;
    struct why why = { 0 };
    struct arena arena = { 0 };
    const struct cel_value slots[] = { cel_string(slice_str(text)), cel_string(slice_str(pattern)) };
    char expression[256];
    struct cel_value value;

    given = slice_str(text);
    snprintf(expression, sizeof expression, is_literal ? "text.matches(r'%s')" : "text.matches(pattern)",
             pattern);
    cr_assert_eq(cel_compile(&program, slice_str(expression), &env, &why), ERR_OK, "%s", why.text);
    value = cel_eval(program, &(struct cel_input){ .slots = slots, .arena = &arena });
    cel_free(program);
    arena_release(&arena);
    return value;
}

Test(cel_regex, finds_what_another_implementation_finds)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++) {
            struct cel_value is = by_us(patterns[i], texts[j], true),
                             again = by_us(patterns[i], texts[j], false);
            bool wanted = by_pcre(patterns[i], texts[j]);

            cr_expect(is.kind == CEL_BOOL && is.b == wanted, "'%s' in '%s' is %d", patterns[i], texts[j],
                      wanted);
            cr_expect(again.kind == CEL_BOOL && again.b == wanted, "'%s' in '%s'", patterns[i], texts[j]);
        }
    }
}

Test(cel_regex, refuses_what_is_none)
{
    static const char *const bad[] = {
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "[b-a]",
        "*",
        "a**",
        "+a",
        "a{1001}",
        "{2}",
        "a{3,2}",
        "(?",
        "(?x)",
        "(?=a)",
        "(?<!a)",
        "\\",
        "\\1",
        "\\q",
        "\\x{110000}",
        "\\xz",
        "\\pQ",
        "\\p{Nothing}",
        "[[:nothing:]]",
        "(?P<>a)",
        "(?P<a",
        "\\C",
        "\\Z",
        "(a{1000}){1000}",
        "((((((((((a{9}){9}){9}){9}){9}){9}){9}){9}){9}){9}",
        "(((){999}){999}){999}",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cel_value value = by_us(bad[i], "a", false);

        cr_expect(value.kind == CEL_ERROR && value.error.fault == CEL_FAULT_REGEX, "%s", bad[i]);
    }
    SAID({ "'a'.matches('[')", "1:13: not a regular expression: a [ has no end~" },
         { "'a'.matches('a**')", "1:13: not a regular expression: a repetition of a repetition~" });
}

/* The patterns that exhaust a search by trial and error: here the steps grow with the text's length alone. */
Test(cel_regex, takes_time_by_the_length_of_the_text)
{
    static const char *const hard[] = {
        "(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*)*x", "a?a?a?a?a?a?a?a?a?a?aaaaaaaaaab", "([a-z]+)*[0-9]"
    };
    static char text[20001];

    for (size_t i = 0; i < sizeof hard / sizeof hard[0]; i++) {
        struct cel_value value;

        memset(text, 'a', sizeof text - 1);
        value = by_us(hard[i], text, true);
        cr_expect(value.kind == CEL_BOOL && !value.b, "%s", hard[i]);
    }
    cr_assert_eq(by_us("(a{0,500}){0,2}b", text, true).error.fault, CEL_FAULT_STEPS);
}

/* A short pattern of large classes, compiled anew for each item: what that takes is counted. */
Test(cel_regex, counts_the_steps_of_making_a_search)
{
    char list[512] = "", pattern[256] = "";

    for (int i = 0; i < 20; i++)
        strcat(pattern, "\\pL");
    for (int i = 0; i < 100; i++)
        strcat(list, i ? ",0" : "0");
    static char expression[2048];
    snprintf(expression, sizeof expression, "[%s].all(x, [%s].all(y, !'1'.matches(text + '%s')))", list, list,
             "");
    struct cel_env env = { .resolve = resolve, .cost_max = UINT32_MAX };
    const struct cel_value slots[] = { cel_string(slice_str(pattern)), cel_string(SLICE("")) };
    struct cel_program *program;
    struct arena arena = { 0 };
    struct why why = { 0 };
    struct cel_value value;

    cr_assert_eq(cel_compile(&program, slice_str(expression), &env, &why), ERR_OK, "%s", why.text);
    value = cel_eval(program, &(struct cel_input){ .slots = slots, .arena = &arena });
    cr_assert_eq(value.kind, CEL_ERROR);
    cr_assert_eq(value.error.fault, CEL_FAULT_STEPS);
    cel_free(program);
    arena_release(&arena);
}
