/* SPDX-License-Identifier: Apache-2.0
 * cel_test.c - the language, by tables of expressions and what they come to. The cases follow the sections of
 * the specification (github.com/google/cel-spec, doc/langdef.md). */
#include "cel/cel.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/array.h"

/* The names that these expressions may use; their values stand in the same order. */
static const struct {
    const char *name;
    enum cel_kind kind;
} names[] = {
    { "x", CEL_DOUBLE },
    { "y", CEL_DOUBLE },
    { "missing", CEL_DOUBLE },
    { "i", CEL_INT },
    { "u", CEL_UINT },
    { "s", CEL_STRING },
    { "t", CEL_BOOL },
    { "f", CEL_BOOL },
    { "tx.amount", CEL_DOUBLE },
    { "tx.country", CEL_STRING },
    { "tx.device_id", CEL_STRING },
    { "d", CEL_DYN },
    { "tx.attributes.risk", CEL_DYN },
    { "list", CEL_LIST },
    { "bad", CEL_BOOL },
};

static const struct cel_value items[] = { { .kind = CEL_INT, .i = 3 },
                                          { .kind = CEL_STRING, .s = { "b", 1 } } };

static bool find(void *context, struct slice name, struct cel_name *out)
{
    (void)context;
    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_str(name, names[i].name)) {
            *out = (struct cel_name){ i, names[i].kind };
            return true;
        }
    }
    return false;
}

static struct cel_value twice(void *context, const struct cel_value *args)
{
    (void)context;
    return cel_double(2 * args[0].d);
}

static struct cel_value is_known(void *context, const struct cel_value *args)
{
    return cel_bool(slice_eq_str(args[0].s, context));
}

static const struct cel_function functions[] = {
    { "twice", CEL_DOUBLE, 1, { CEL_DOUBLE }, twice, 1 },
    { "known", CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, is_known, 1 },
};

/* What the expression comes to, as text; what is wrong with it when it does not compile. */
static const char *result_of(const char *text, enum cel_dialect dialect, enum cel_kind wanted)
{
    static struct buf out;
    static struct arena arena;
    const struct cel_value values[ARRAY_LEN(names)] = {
        cel_double(1.5),
        cel_double(-2),
        cel_feature(NAN),
        cel_int(7),
        cel_uint(9),
        cel_string(SLICE("grüß")),
        cel_bool(true),
        cel_bool(false),
        cel_double(120000),
        cel_string(SLICE("DE")),
        cel_error(CEL_FAULT_MISSING),
        cel_int(5),
        cel_string(SLICE("high")),
        { .kind = CEL_LIST, .list = { items, ARRAY_LEN(items) } },
        cel_error(CEL_FAULT_MISSING),
    };
    struct cel_input input = { .slots = values, .context = "grüß", .arena = &arena };
    struct cel_env env = { .resolve = find,
                           .functions = functions,
                           .function_count = ARRAY_LEN(functions),
                           .dialect = dialect,
                           .result = wanted };
    struct cel_program *program;
    struct why why = { 0 };

    buf_clear(&out);
    arena_reset(&arena);
    if (cel_compile(&program, slice_str(text), &env, &why)) {
        cr_assert_null(program);
        buf_add_str(&out, why.text);
        return buf_str(&out);
    }
    cel_value_print(cel_eval(program, &input), &out);
    cel_free(program);
    return buf_str(&out);
}

struct cel_case {
    const char *text, *result;
};

static void run(const struct cel_case *cases, size_t count, enum cel_dialect dialect)
{
    for (size_t i = 0; i < count; i++) {
        const char *result = result_of(cases[i].text, dialect, CEL_DYN);

        cr_expect_str_eq(result, cases[i].result, "%s\n  is     %s\n  wanted %s", cases[i].text, result,
                         cases[i].result);
    }
}

#define RUN(dialect, ...)                                                                                    \
    do {                                                                                                     \
        static const struct cel_case cases[] = { __VA_ARGS__ };                                              \
        run(cases, ARRAY_LEN(cases), dialect);                                                               \
    } while (0)

Test(cel, reads_literals)
{
    RUN(CEL_STANDARD, { "42", "42" }, { "-42", "-42" }, { "0x1F", "31" }, { "-0x10", "-16" }, { "42u", "42" },
        { "0xFFu", "255" }, { "1.5", "1.5" }, { ".5", "0.5" }, { "1e3", "1000" }, { "-2.5E-1", "-0.25" },
        { "true", "true" }, { "false", "false" }, { "null", "null" }, { "'a'", "\"a\"" },
        { "\"it's\"", "\"it's\"" }, { "'''a\n'b'''", "\"a\n'b\"" }, { "\"\"\"x\"y\"\"\"", "\"x\"y\"" },
        { "r'\\n'", "\"\\n\"" }, { "'\\x41\\u00e9\\U0001F600\\101'", "\"Aé😀A\"" },
        { "'\\a\\b\\f\\n\\r\\t\\v\\\\\\?\\'\\`\\\"'", "\"\a\b\f\n\r\t\v\\?'`\"\"" },
        { "b'\\xff\\377'", "2 bytes" }, { "size(b'é')", "2" }, { "bR'a\\b'.size()", "3" },
        { "9223372036854775807", "9223372036854775807" }, { "-9223372036854775808", "-9223372036854775808" },
        { "18446744073709551615u", "18446744073709551615" }, { "[1, 'a', [true],]", "[1, \"a\", [true]]" },
        { "[]", "[]" }, { " // a comment\n 1 // another", "1" });
}

Test(cel, computes_by_precedence_and_from_the_left)
{
    RUN(CEL_STANDARD, { "1 + 2 * 3", "7" }, { "(1 + 2) * 3", "9" }, { "10 - 4 - 3", "3" },
        { "100 / 10 / 5", "2" }, { "7 % 4 * 2", "6" }, { "-7 / 2", "-3" }, { "-7 % 2", "-1" },
        { "7u / 2u", "3" }, { "1.0 / 4.0", "0.25" }, { "- 5 + 3", "-2" }, { "--5", "5" }, { "-(-5)", "5" },
        { "!!true", "true" }, { "1 - -1", "2" }, { "3-1", "2" }, { "'a' + 'b' + ''", "\"ab\"" },
        { "b'a' + b'b'", "2 bytes" }, { "[1] + [2, 3]", "[1, 2, 3]" }, { "1 + 2 < 4 && 2 * 3 == 6", "true" },
        { "true || false && false", "true" }, { "true ? 1 : false ? 2 : 3", "1" },
        { "false ? 1 : false ? 2 : 3", "3" }, { "1 == 1 ? 'a' : 'b'", "\"a\"" }, { "i * i - 1", "48" },
        { "-i", "-7" }, { "x * y", "-3" }, { "-x", "-1.5" });
}

Test(cel, makes_integer_overflow_and_division_by_zero_errors)
{
    RUN(CEL_STANDARD, { "9223372036854775807 + 1", "error: integer overflow" },
        { "-9223372036854775808 - 1", "error: integer overflow" },
        { "9223372036854775807 * 2", "error: integer overflow" },
        { "-(-9223372036854775808)", "error: integer overflow" },
        { "-9223372036854775808 / -1", "error: integer overflow" },
        { "-9223372036854775808 % -1", "error: integer overflow" }, { "0u - 1u", "error: integer overflow" },
        { "18446744073709551615u + 1u", "error: integer overflow" }, { "1 / 0", "error: division by zero" },
        { "1 % 0", "error: division by zero" }, { "1u / 0u", "error: division by zero" },
        { "1.0 / 0.0", "inf" }, { "0.0 / 0.0 == 0.0 / 0.0", "false" });
}

Test(cel, compares_numbers_on_one_line_whatever_their_kinds)
{
    RUN(CEL_STANDARD, { "1 < 2", "true" }, { "2 <= 2", "true" }, { "1 < 1.5", "true" }, { "1u > -1", "true" },
        { "2 == 2.0", "true" }, { "2u == 2", "true" }, { "1 != 1.5", "true" },
        { "9223372036854775807 <= 9223372036854775808.0", "true" },
        { "9223372036854775807 < 9223372036854775808.0", "false" },
        { "18446744073709551615u < 36893488147419103232.0", "true" },
        { "9007199254740992 >= 9007199254740993.0", "true" }, { "-1 < 0u", "true" }, { "-1.5 < 0u", "true" },
        { "-2 < -1.5", "true" }, { "-1 > -1.5", "true" }, { "0.0 == -0.0", "true" },
        { "0.0/0.0 < 1.0", "false" }, { "!(0.0/0.0 >= 1.0)", "true" }, { "'a' < 'b'", "true" },
        { "'Z' < 'a'", "true" }, { "'a' < 'ab'", "true" }, { "'ÿ' < 'Ā'", "true" },
        { "b'a' < b'\\xff'", "true" }, { "false < true", "true" }, { "[1, 2] == [1, 2.0]", "true" },
        { "[1] == [1, 2]", "false" }, { "'a' == 'a'", "true" }, { "null == null", "true" },
        { "dyn(1) == dyn('1')", "false" }, { "dyn(1) != dyn('1')", "true" });
}

/* "Logical operators": errors are absorbed from either side. `bad` has no value. */
Test(cel, absorbs_errors_in_and_and_or)
{
    RUN(CEL_STANDARD, { "f && bad", "false" }, { "bad && f", "false" }, { "t && bad", "error: no value" },
        { "bad && t", "error: no value" }, { "t || bad", "true" }, { "bad || t", "true" },
        { "f || bad", "error: no value" }, { "bad || f", "error: no value" },
        { "bad && bad", "error: no value" }, { "!bad", "error: no value" }, { "1 / 0 > 1 || t", "true" },
        { "1 / 0 > 1 && f", "false" }, { "bad ? 1 : 2", "error: no value" }, { "t ? 1 : 1 / 0", "1" },
        { "f ? 1 / 0 : 2", "2" }, { "dyn(1) && f", "false" }, { "f && dyn(1)", "false" },
        { "dyn(1) && t", "error: no such overload" }, { "dyn('x') || t", "true" },
        { "missing > 1.0", "error: no value" }, { "missing + 1.0 > 1.0 || t", "true" },
        { "twice(missing)", "error: no value" }, { "[1, 1 / 0]", "error: division by zero" },
        { "missing == missing", "error: no value" });
}

/* A function of one form alone was once called with whatever came. */
Test(cel, calls_no_function_with_what_it_does_not_take)
{
    RUN(CEL_STANDARD, { "dyn(1u).contains('x')", "error: no such overload" },
        { "dyn('xy').contains('x')", "true" }, { "'xy'.startsWith(dyn(1))", "error: no such overload" },
        { "dyn(1).endsWith(dyn([1]))", "error: no such overload" },
        { "math.ceil(dyn('a'))", "error: no such overload" }, { "math.ceil(dyn(1.5))", "2" },
        { "math.isNaN(dyn(1))", "error: no such overload" });
    RUN(CEL_ASSAY, { "math.pow(2, dyn('a'))", "error: no such overload" }, { "math.pow(2, dyn(3.0))", "8" },
        { "max(1, dyn('a'), 2.5)", "error: no such overload" }, { "max(1, dyn(3.0), 2.5)", "3" });
}

Test(cel, looks_into_lists)
{
    RUN(CEL_STANDARD, { "1 in [1, 2]", "true" }, { "3 in [1, 2]", "false" }, { "1.0 in [1, 2]", "true" },
        { "'a' in ['b', 'a']", "true" }, { "i in [5, i]", "true" }, { "i in [u, 6]", "false" },
        { "tx.country in ['DE', 'FR']", "true" }, { "i in []", "false" }, { "bad in [t]", "error: no value" },
        { "t in [bad]", "error: no value" }, { "[7, 8][1]", "8" }, { "[7, 8][1.0]", "8" },
        { "[7, 8][0u]", "7" }, { "[7][1]", "error: out of range" }, { "[7][-1]", "error: out of range" },
        { "[7][0.5]", "error: invalid argument" }, { "list[0]", "3" }, { "list[1] == 'b'", "true" },
        { "3 in list", "true" }, { "[[1, 2], [3]][0][1]", "2" }, { "size(list)", "2" },
        { "[1, 2, 3].size()", "3" }, { "!('x' in ['y'])", "true" }, { "d in [4, 5]", "true" });
}

Test(cel, has_the_standard_functions)
{
    RUN(CEL_STANDARD, { "size('grüß')", "4" }, { "s.size()", "4" }, { "s.startsWith('gr')", "true" },
        { "s.endsWith('üß')", "true" }, { "s.contains('rü')", "true" }, { "s.contains('ss')", "false" },
        { "''.contains('')", "true" }, { "'a'.startsWith('ab')", "false" }, { "int(3.9)", "3" },
        { "int(-3.9)", "-3" }, { "int('42')", "42" }, { "int('4x')", "error: cannot be converted" },
        { "int(1e19)", "error: out of range" }, { "int(9223372036854775808u)", "error: out of range" },
        { "uint(-1)", "error: out of range" }, { "uint('7')", "7" }, { "double('1.5')", "1.5" },
        { "double(7)", "7" }, { "string(1.5)", "\"1.5\"" }, { "string(0.1)", "\"0.1\"" },
        { "string(-7)", "\"-7\"" }, { "string(b'ab')", "\"ab\"" },
        { "string(b'\\xff')", "error: cannot be converted" }, { "string(true)", "\"true\"" },
        { "bytes('é') == b'\\xc3\\xa9'", "true" }, { "bool('true')", "true" },
        { "bool('yes')", "error: cannot be converted" }, { "math.abs(-3)", "3" }, { "math.abs(-3.5)", "3.5" },
        { "math.greatest(1, 5, 3)", "5" }, { "math.least([3.5, 2])", "2" }, { "math.least(2.5, 1.5)", "1.5" },
        { "math.ceil(1.2)", "2" }, { "math.floor(-1.2)", "-2" }, { "math.round(2.5)", "3" },
        { "math.round(-2.5)", "-3" }, { "math.trunc(-1.9)", "-1" }, { "math.sqrt(9.0)", "3" },
        { "math.isNaN(0.0/0.0)", "true" }, { "math.isInf(1.0/0.0)", "true" }, { "math.isFinite(x)", "true" },
        { "math.sign(-4)", "-1" }, { "math.abs(-9223372036854775808)", "error: integer overflow" },
        { "math.abs(d)", "5" }, { "size(d)", "error: no such overload" }, { "int(d) + 1", "6" },
        { "twice(x)", "3" }, { "known(s, 'l')", "true" });
}

Test(cel, asks_whether_a_field_has_a_value)
{
    RUN(CEL_STANDARD, { "has(tx.amount)", "true" }, { "has(tx.device_id)", "false" },
        { "has(tx.device_id) && tx.device_id == 'a'", "false" },
        { "has(tx.attributes.risk) ? tx.attributes.risk : 'none'", "\"high\"" },
        { "tx.attributes['risk'] == 'high'", "true" }, { "tx.attributes.risk == 1", "false" },
        { "tx.attributes.risk > 1", "error: no such overload" }, { ".tx.amount", "120000" });
    RUN(CEL_ASSAY, { "has(missing)", "false" }, { "has(x) ? x : 0", "1.5" },
        { "has(missing) ? missing : -1", "-1" });
}

Test(cel, lets_an_int_become_a_double_in_our_dialect)
{
    RUN(CEL_ASSAY, { "tx.amount / 2", "60000" }, { "tx.amount / (x + 1)", "48000" }, { "1 - x", "-0.5" },
        { "x * i", "10.5" }, { "tx.amount > 50000", "true" }, { "x in [1, 1.5]", "true" },
        { "t ? x : 0", "1.5" }, { "twice(2)", "4" }, { "max(x, 0, 2)", "2" }, { "min(x, i)", "1.5" },
        { "abs(y)", "2" }, { "floor(x)", "1" }, { "log(1)", "0" }, { "log1p(0)", "0" }, { "sqrt(16)", "4" },
        { "pow(2, 10)", "1024" }, { "exp(0)", "1" }, { "math.log(1.0)", "0" }, { "size('ab') / 4.0", "0.5" },
        { "7 / 2", "3" }, { "1 / 0", "error: division by zero" }, { "tx.amount / 0", "inf" },
        { "x + u", "1:3: no overload for double + uint\n | x + u\n |   ^" });
}

/* One line each here; the whole shape is shown below. */
static void refuses(const char *text, enum cel_dialect dialect, enum cel_kind wanted, const char *start)
{
    const char *result = result_of(text, dialect, wanted);

    cr_expect(strncmp(result, start, strlen(start)) == 0, "%s\n  is     %s\n  wanted %s", text, result,
              start);
}

Test(cel, refuses_what_is_no_expression)
{
    static const struct cel_case cases[] = {
        { "", "1:1: the text ends where a value should stand" },
        { "1 +", "1:4: the text ends where a value should stand" },
        { "1 1", "1:3: an operator should stand here" },
        { "(1", "1:3: the text ends where ')' should stand" },
        { "1)", "1:2: an operator should stand here" },
        { "[1 2]", "1:4: ']' should stand here" },
        { "size(s,)", "1:8: another argument should stand here" },
        { "x ? 1", "1:6: the text ends where ':' should stand" },
        { "a.", "1:3: the text ends where a field's name should stand" },
        { "a.1", "1:2: an operator should stand here" },
        { "'abc", "1:1: the string has no end" },
        { "'a\nb'", "1:1: the string has no end" },
        { "'\\q'", "1:2: no such escape in a string" },
        { "'\\uD800'", "1:2: no such escape in a string" },
        { "'\\U00110000'", "1:2: no such escape in a string" },
        { "b'\\u00e9'", "1:3: no such escape in a string" },
        { "'\\400'", "1:2: no such escape in a string" },
        { "9223372036854775808", "1:1: the number does not fit into 64 bits" },
        { "18446744073709551616u", "1:1: the number does not fit into 64 bits" },
        { "1e999", "1:1: the number does not fit into a double" },
        { "1x", "1:2: a number ends where a name begins" },
        { "x = 1", "1:3: this character has no meaning here" },
        { "x & 1", "1:3: this character has no meaning here" },
        { "x | 1", "1:3: this character has no meaning here" },
        { "#", "1:1: this character has no meaning here" },
        { "for", "1:1: this word is reserved" },
        { "A{b: 1}", "1:2: messages cannot be made here" },
        { "has(1)", "1:1: has() takes one field" },
        { "has(x, y)", "1:1: has() takes one field" },
        { "!-x", "1:2: a value should stand here" },
        { "\xff", "the expression is not UTF-8" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refuses(cases[i].text, CEL_STANDARD, CEL_DYN, cases[i].result);
}

Test(cel, refuses_what_cannot_work)
{
    static const struct cel_case cases[] = {
        { "nobody", "1:1: unknown name 'nobody'" },
        { "tx.nobody > 1", "1:4: unknown name 'tx.nobody'" },
        { "nothing(1)", "1:1: unknown function 'nothing'" },
        { "'a'.nothing()", "1:5: unknown function 'nothing'" },
        { "1 + 1.0", "1:3: no overload for int + double" },
        { "1 + 'a'", "1:3: no overload for int + string" },
        { "1.5 % 2.0", "1:5: no overload for double % double: int(...) makes ints" },
        { "1 == 'a'", "1:3: no overload for int == string" },
        { "1 < 'a'", "1:3: no overload for int < string" },
        { "[1] < [2]", "1:5: no overload for list < list" },
        { "null < null", "1:6: no overload for null < null" },
        { "x && true", "1:1: && takes bools, not double" },
        { "!x", "1:1: ! takes a bool, not double" },
        { "-s", "1:1: no overload for -string" },
        { "-u", "1:1: no overload for -uint" },
        { "x ? 1 : 2", "1:1: the condition of ?: is a bool, not double" },
        { "t ? 1 : 'a'", "1:3: both sides of ':' must be of one kind, not int and string" },
        { "1 in 1", "1:3: no overload for int in int" },
        { "1 in ['a']", "1:3: a list of string never holds a int" },
        { "s[0]", "1:2: no overload for string[int]" },
        { "size(1)", "1:1: size does not take (int)" },
        { "size()", "1:1: size does not take ()" },
        { "startsWith(s, s)", "1:1: startsWith does not take (string, string)" },
        { "s.startsWith(1)", "1:3: startsWith does not take (string, int)" },
        { "twice(1)", "1:1: twice does not take (int)" },
        { "twice(x, x)", "1:1: twice does not take (double, double)" },
        { "has(x)", "1:1: has() takes a field, as in has(a.b)" },
        { "abs(1)", "1:1: unknown function 'abs'" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refuses(cases[i].text, CEL_STANDARD, CEL_DYN, cases[i].result);
    refuses("tx.amount", CEL_ASSAY, CEL_BOOL, "1:4: this is a double, where a bool is wanted");
    cr_assert_str_eq(result_of("1 + 2", CEL_ASSAY, CEL_DOUBLE), "3");
}

Test(cel, points_at_each_fault_with_a_caret)
{
    cr_assert_str_eq(
        result_of("s == 'grüß' &&\n  nobody > 1 && x + s > 2.0", CEL_STANDARD, CEL_DYN),
        "2:3: unknown name 'nobody'\n |   nobody > 1 && x + s > 2.0\n |   ^\n"
        "2:19: no overload for double + string\n |   nobody > 1 && x + s > 2.0\n |                   ^");
    cr_assert_str_eq(result_of("'grüß' + 1", CEL_STANDARD, CEL_DYN),
                     "1:8: no overload for string + int\n | 'grüß' + 1\n |        ^");
}

/* ---- limits ---- */

static char *repeat(const char *before, const char *middle, const char *after, size_t times)
{
    static char text[CEL_TEXT_MAX * 2];
    size_t len = 0;

    for (size_t i = 0; i < times; i++)
        len += (size_t)sprintf(text + len, "%s", before);
    len += (size_t)sprintf(text + len, "%s", middle);
    for (size_t i = 0; i < times; i++)
        len += (size_t)sprintf(text + len, "%s", after);
    return text;
}

Test(cel, bounds_nesting_length_and_cost)
{
    cr_assert_str_eq(result_of(repeat("(", "1", ")", 90), CEL_STANDARD, CEL_DYN), "1");
    cr_assert_str_eq(result_of(repeat("!", "true", "", 90), CEL_STANDARD, CEL_DYN), "true");
    cr_assert_str_eq(result_of(repeat("true ? 1 : ", "2", "", 90), CEL_STANDARD, CEL_DYN), "1");
    cr_assert_str_eq(result_of(repeat("1 + ", "1", "", 900), CEL_STANDARD, CEL_DYN), "901");
    cr_assert_str_eq(result_of(repeat("t && ", "t", "", 900), CEL_STANDARD, CEL_DYN), "true");
    cr_assert_str_eq(result_of(repeat("1+(", "1", ")", 90), CEL_STANDARD, CEL_DYN), "91");

    refuses(repeat("(", "1", ")", 5000), CEL_STANDARD, CEL_DYN, "1:97: too many levels of nesting");
    refuses(repeat("[", "1", "]", 5000), CEL_STANDARD, CEL_DYN, "1:97: too many levels of nesting");
    refuses(repeat("!", "t", "", 5000), CEL_STANDARD, CEL_DYN, "1:96: too many levels of nesting");
    refuses(repeat("- ", "1", "", 5000), CEL_STANDARD, CEL_DYN, "1:191: too many levels of nesting");
    refuses(repeat("t ? 1 : ", "1", "", 2000), CEL_STANDARD, CEL_DYN, "1:769: too many levels of nesting");
    refuses(repeat("1+", "1", "", 8000), CEL_STANDARD, CEL_DYN, "1:2000: the expression is too large");
    refuses(repeat("s", "s", ".size()", 2000), CEL_STANDARD, CEL_DYN, "1:");
    refuses(repeat(" ", "1", " ", CEL_TEXT_MAX - 1), CEL_STANDARD, CEL_DYN,
            "an expression has at most 16384 bytes");
    refuses(repeat("[i,", "1", "]", 95), CEL_STANDARD, CEL_DYN, "[7, [7");
    refuses(repeat("[i,i,i,", "1", "]", 95), CEL_STANDARD, CEL_DYN,
            "1:1: too many values wait for their operators");
}

Test(cel, refuses_what_is_too_dear)
{
    struct cel_env env = { .resolve = find, .cost_max = 10 };
    struct cel_program *program;
    struct why why;

    cr_assert_eq(cel_compile(&program, SLICE("i in [1, 2, 3, 4, 5, 6, 7, 8]"), &env, &why), ERR_INVALID);
    cr_assert_str_eq(
        why.text,
        "1:3: the expression costs 12, over the limit of 10\n | i in [1, 2, 3, 4, 5, 6, 7, 8]\n |   ^");
    env.cost_max = 12;
    cr_assert_eq(cel_compile(&program, SLICE("i in [1, 2, 3, 4, 5, 6, 7, 8]"), &env, &why), ERR_OK);
    cr_assert_eq(cel_cost(program), 12);
    cel_free(program);
}

/* ---- what a program tells ---- */

static struct cel_program *compiled(const char *text)
{
    struct cel_env env = {
        .resolve = find, .functions = functions, .function_count = 2, .dialect = CEL_ASSAY
    };
    struct cel_program *program;
    struct why why;

    cr_assert_eq(cel_compile(&program, slice_str(text), &env, &why), ERR_OK, "%s: %s", text, why.text);
    return program;
}

Test(cel, lists_each_name_it_uses_once)
{
    struct cel_program *program = compiled("tx.amount > x && (x > 1 || has(tx.device_id)) && x < 9");
    const struct cel_use *uses;

    cr_assert_eq(cel_uses(program, &uses), 3);
    cr_assert(slice_eq_str(uses[0].name, "tx.amount"));
    cr_assert(slice_eq_str(uses[1].name, "x"));
    cr_assert(slice_eq_str(uses[2].name, "tx.device_id"));
    cr_assert_eq(uses[2].kind, CEL_STRING);
    cr_assert_eq(uses[2].slot, 10);
    cel_free(program);
}

static void note(void *context, struct slice literal)
{
    buf_printf(context, "%.*s;", SLICE_ARG(literal));
}

Test(cel, lists_the_literals_that_a_function_is_given)
{
    struct cel_program *program = compiled("known(s, 'a') || !(known(s, s) && t) && [known(s, 'b')][0]");
    struct buf out = { 0 };

    cel_literal_args(program, "known", 1, note, &out);
    cr_assert_str_eq(buf_str(&out), "a;b;");
    buf_release(&out);
    cel_free(program);
}

Test(cel, prints_one_spelling_that_compiles_to_the_same)
{
    static const struct cel_case cases[] = {
        { "tx.amount/(x+1)", "tx.amount / (x + 1.0)" },
        { "((1))+((2*3))", "1 + 2 * 3" },
        { "(1+2)*3", "(1 + 2) * 3" },
        { "1-(2-3)", "1 - (2 - 3)" },
        { "(1-2)-3", "1 - 2 - 3" },
        { "t&&(f||t)", "t && (f || t)" },
        { "(t&&f)||t", "t && f || t" },
        { "(t?1:2)==1?'a':(f?\"b\":'c')", "(t ? 1 : 2) == 1 ? \"a\" : f ? \"b\" : \"c\"" },
        { "!(t||f)", "!(t || f)" },
        { "!!t", "!!t" },
        { "-(-x)", "--x" },
        { "- 5", "-(5)" },
        { "-5", "-5" },
        { "-(-5)", "-(-5)" },
        { "1 - -5", "1 - -5" },
        { "-(i + 1)", "-(i + 1)" },
        { "s.startsWith('a\\n\"')", "s.startsWith(\"a\\n\\\"\")" },
        { "(s + s).size()", "(s + s).size()" },
        { "math . abs( i )", "math.abs(i)" },
        { "tx.attributes[\"risk\"]=='x'", "tx.attributes.risk == \"x\"" },
        { "1 in[1,2]", "1 in [1, 2]" },
        { "0x10", "16" },
        { "1e2", "100.0" },
        { "0.1", "0.1" },
        { "7u", "7u" },
        { "1e300", "1e+300" },
        { "b'\\xffa'", "b\"\\xffa\"" },
        { "has( tx . amount )", "has(tx.amount)" },
        { "list [ 0 ]", "list[0]" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cel_program *program = compiled(cases[i].text), *again;
        struct buf once = { 0 }, twice_printed = { 0 };

        cel_print(program, &once);
        cr_expect_str_eq(buf_str(&once), cases[i].result, "%s prints as %s", cases[i].text, buf_str(&once));
        again = compiled(buf_str(&once));
        cel_print(again, &twice_printed);
        cr_expect_str_eq(buf_str(&twice_printed), buf_str(&once));
        buf_release(&once);
        buf_release(&twice_printed);
        cel_free(again);
        cel_free(program);
    }
}

Test(cel, evaluates_over_plain_doubles)
{
    const double row[] = { 1.5, -2, NAN, 0, 0, 0, 0, 0, 300 };
    static const struct {
        const char *text;
        double result;
    } cases[] = {
        { "tx.amount / (x + 1)", 120 },
        { "x > 1 && tx.amount >= 300", 1 },
        { "x > 2", 0 },
        { "missing + x", NAN },
        { "missing > 1", NAN },
        { "has(missing) ? missing : x", 1.5 },
        { "has(x)", 1 },
        { "missing > 1 || x > 1", 1 },
        { "log(y)", NAN },
        { "size('abc')", 3 },
        { "x < y ? 1 : missing", NAN },
        { "max(x, y)", 1.5 },
        { "x in [1.5, 2]", 1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cel_program *program = compiled(cases[i].text);
        double result = cel_eval_number(program, row);

        cr_expect(result == cases[i].result || (isnan(result) && isnan(cases[i].result)), "%s is %g",
                  cases[i].text, result);
        cr_expect_eq(cel_eval_where(program, row), cases[i].result == 1);
        cel_free(program);
    }
}

Test(cel, makes_nothing_new_without_an_arena)
{
    struct cel_program *program = compiled("s + s == s");
    struct cel_value values[ARRAY_LEN(names)] = { [5] = cel_string(SLICE("a")) };
    struct cel_value value = cel_eval(program, &(struct cel_input){ .slots = values });

    cr_assert_eq(value.kind, CEL_ERROR);
    cr_assert_eq(value.error.fault, CEL_FAULT_ROOM);
    cr_assert_eq(value.error.at, 2);
    cel_free(program);
}

/* ---- explaining ---- */

static void note_step(void *context, const struct cel_step *step)
{
    struct buf *out = context;

    buf_printf(out, "%*s%.*s @%u", (int)(2 * step->depth), "", SLICE_ARG(step->text), step->at);
    if (step->times && !step->is_literal) {
        buf_add_str(out, " = ");
        cel_value_print(step->value, out);
    }
    if (!step->times)
        buf_add_str(out, " not evaluated");
    buf_add_char(out, '\n');
}

static const char *explanation(const char *text)
{
    static struct buf out;
    static struct arena arena;
    const struct cel_value values[ARRAY_LEN(names)] = {
        [0] = cel_double(1.5),    [2] = cel_feature(NAN),        [5] = cel_string(SLICE("grüß")),
        [8] = cel_double(120000), [9] = cel_string(SLICE("DE")),
    };
    struct cel_input input = { .slots = values, .context = "x", .arena = &arena };
    struct cel_env env = {
        .resolve = find, .functions = functions, .function_count = 2, .dialect = CEL_ASSAY
    };
    struct cel_program *program;
    struct why why = { 0 };
    struct cel_value value, plain;

    buf_clear(&out);
    cr_assert_eq(cel_compile(&program, slice_str(text), &env, &why), ERR_OK, "%s", why.text);
    plain = cel_eval(program, &input);
    value = cel_explain(program, &input, note_step, &out);
    cr_assert_eq(value.kind, plain.kind);
    cel_free(program);
    return buf_str(&out);
}

Test(cel, explains_the_value_of_every_part)
{
    cr_assert_str_eq(explanation("tx.amount > 50000 && (s == 'a' || tx.country in ['DE', 'FR'])"),
                     "tx.amount > 50000 && (s == 'a' || tx.country in ['DE', 'FR']) @0 = true\n"
                     "  tx.amount > 50000 @0 = true\n"
                     "    tx.amount @0 = 120000\n"
                     "    50000 @12\n"
                     "  s == 'a' || tx.country in ['DE', 'FR'] @22 = true\n"
                     "    s == 'a' @22 = false\n"
                     "      s @22 = \"grüß\"\n"
                     "      'a' @27\n"
                     "    tx.country in ['DE', 'FR'] @34 = true\n"
                     "      tx.country @34 = \"DE\"\n"
                     "      ['DE', 'FR'] @48\n");
    cr_assert_str_eq(explanation("has(missing) ? -missing > 1 : size(s) == 4"),
                     "has(missing) ? -missing > 1 : size(s) == 4 @0 = true\n"
                     "  has(missing) @0 = false\n"
                     "  -missing > 1 @15 not evaluated\n"
                     "    -missing @15 not evaluated\n"
                     "      missing @16 not evaluated\n"
                     "    1 @26 not evaluated\n"
                     "  size(s) == 4 @30 = true\n"
                     "    size(s) @30 = 4\n"
                     "      s @35 = \"grüß\"\n"
                     "    4 @41\n");
    cr_assert_str_eq(explanation("missing > x"), "missing > x @0 = error: no value\n"
                                                 "  missing @0 = error: no value\n"
                                                 "  x @10 = 1.5\n");
}
