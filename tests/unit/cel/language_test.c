/* SPDX-License-Identifier: Apache-2.0
 * language_test.c - maps, macros, types, conversions, times and optionals, by the sections of the specification
 * (github.com/google/cel-spec, doc/langdef.md). A wanted text that ends in ~ is the beginning. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "cel/cel.h"
#include "said.h"

Test(cel_language, makes_and_reads_maps)
{
    SAID({ "{'a': 1, 2: 'b', true: 3u}", "{\"a\": 1, 2: \"b\", true: 3}" }, { "{}", "{}" },
         { "{'a': 1}.a", "1" }, { "{'a': {'b': [5]}}.a.b[0]", "5" }, { "{'a': 1}['a']", "1" },
         { "{1: 'x'}[1u]", "\"x\"" }, { "{1: 'x'}[1.0]", "\"x\"" }, { "{1: 'x'}[1.5]", "error: no such key" },
         { "{'a': 1}.b", "error: no such key" }, { "'a' in {'a': 1}", "true" },
         { "1 in {'a': 1, 1: 2}", "true" }, { "has({'a': 1}.a)", "true" }, { "has({'a': 1}.b)", "false" },
         { "size({'a': 1, 'b': 2})", "2" }, { "{'a': 1, 'a': 2}", "error: a key stands twice" },
         { "{1: 1, 1u: 2}", "error: a key stands twice" },
         { "{'a': 1, 'b': 2} == {'b': 2.0, 'a': 1}", "true" }, { "{'a': 1} == {'a': 2}", "false" },
         { "{'a': 1} != {'b': 1}", "true" }, { "{1.5: 1}", "1:2: a double cannot be a key~" },
         { "{dyn(1.5): 1}", "error: no such overload" }, { "{'a-b': 1}.`a-b`", "1" }, { "{'if': 1}.if", "1" },
         { "{'a': 1}.a.b", "1:12: a int has no field 'b'~" },
         { "has({'a': 1}.a.b)", "1:16: a int has no field 'b'~" }, { "{'a': 1", "1:8: the text ends where~" },
         { "{'a'}", "1:5: ':' should stand here~" });
}

Test(cel_language, goes_over_lists_and_maps_with_macros)
{
    SAID({ "[1, 2, 3].all(x, x > 0)", "true" }, { "[1, 2, 3].all(x, x > 1)", "false" },
         { "[].all(x, x)", "true" }, { "[1, 2].exists(x, x == 2)", "true" }, { "[].exists(x, x)", "false" },
         { "[1, 2, 2].exists_one(x, x == 1)", "true" }, { "[1, 2, 2].exists_one(x, x == 2)", "false" },
         { "[1, 2, 3].filter(x, x % 2 == 1)", "[1, 3]" }, { "[1, 2].map(x, x * x)", "[1, 4]" },
         { "[1, 2, 3].map(x, x > 1, x * 10)", "[20, 30]" },
         { "{'a': 1, 'b': 2}.map(k, k)", "[\"a\", \"b\"]" }, { "{'a': 1}.all(k, k == 'a')", "true" },
         { "{'a': 1, 'bb': 2}.filter(k, size(k) == 2)", "[\"bb\"]" },
         { "[[1, 2], [3]].map(l, l.map(x, x + size(l)))", "[[3, 4], [4]]" },
         { "[1].map(x, [2].map(x, x))", "[[2]]" }, { "[1, 2].map(x, [3].map(y, x + y))", "[[4], [5]]" },
         { "[1, 2].all(i, v, v == i + 1)", "true" }, { "{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true" },
         { "[5, 6].existsOne(i, v, i == 1)", "true" }, { "[5, 6].transformList(i, v, i * v)", "[0, 6]" },
         { "[5, 6].transformList(i, v, i > 0, v)", "[6]" },
         { "{'a': 1}.transformMap(k, v, k + string(v))", "{\"a\": \"a1\"}" },
         { "[7, 8].transformMap(i, v, i > 0, v)", "{1: 8}" },
         { "{'a': 'b'}.transformMapEntry(k, v, {v: k})", "{\"b\": \"a\"}" },
         { "{'a': 'x', 'b': 'x'}.transformMapEntry(k, v, {v: k})", "error: a key stands twice" });
}

/* "Macros": all and exists absorb errors as && and || do; the others do not. */
Test(cel_language, absorbs_errors_in_all_and_exists_alone)
{
    SAID({ "[0, 1].all(x, 1 / x > 5)", "false" }, { "[0, 1].all(x, 1 / x > 0)", "error: division by zero" },
         { "[0, 1].exists(x, 1 / x > 0)", "true" },
         { "[0, 1].exists(x, 1 / x > 5)", "error: division by zero" },
         { "[0, 1].exists_one(x, 1 / x > 0)", "error: division by zero" },
         { "[0, 1].filter(x, 1 / x > 0)", "error: division by zero" },
         { "[0, 1].map(x, 1 / x)", "error: division by zero" },
         { "[0, 1].map(x, 1 / x > 0, x)", "error: division by zero" },
         { "dyn(1).all(x, true)", "error: no such overload" },
         { "[dyn(1)].all(x, x)", "error: no such overload" },
         { "[1, 2].all(x, dyn(x))", "error: no such overload" },
         { "(1 / 0 > 0 ? [1] : [2]).all(x, true)", "error: division by zero" });
}

Test(cel_language, refuses_macros_that_cannot_be)
{
    SAID({ "[1].all(1, true)", "1:9: a macro's variable is a plain name~" },
         { "[1].all(x.y, true)", "1:9: a macro's variable is a plain name~" },
         { "[1].all(x, x)", "1:12: the condition of a macro is a bool, not int~" },
         { "1.all(x, true)", "1:3: all() goes over a list or a map, not over a int~" },
         { "[1].all(x, x, x)", "1:12: both variables~" }, { "[1].map(x, y)", "1:12: unknown name 'y'~" },
         { "[1].map(x, x) + [x]", "1:18: unknown name 'x'~" });
}

Test(cel_language, knows_types_as_values)
{
    SAID({ "type(1)", "int" }, { "type(1u) == uint", "true" }, { "type(1.0) == double", "true" },
         { "type('a') == string", "true" }, { "type(b'a') == bytes", "true" },
         { "type(true) == bool", "true" }, { "type(null) == null_type", "true" },
         { "type([]) == list", "true" }, { "type({}) == map", "true" }, { "type(int) == type", "true" },
         { "type(type(1))", "type" }, { "type(timestamp(0))", "google.protobuf.Timestamp" },
         { "type(duration('1s')) == google.protobuf.Duration", "true" }, { "type(1) == type('a')", "false" },
         { "[1, 'a', 2.5].map(x, type(x))", "[int, string, double]" });
}

Test(cel_language, tells_how_values_are_converted)
{
    SAID({ "int('-42')", "-42" }, { "int(timestamp('1970-01-01T00:00:10Z'))", "10" },
         { "string(timestamp(0))", "\"1970-01-01T00:00:00Z\"" }, { "string(duration('90m'))", "\"5400s\"" },
         { "string(duration('-1.5s'))", "\"-1.5s\"" },
         { "timestamp('2024-02-29T12:00:00.123456789+02:00')", "2024-02-29T10:00:00.123456789Z" },
         { "timestamp(1700000000)", "2023-11-14T22:13:20Z" },
         { "timestamp('2023-02-29T00:00:00Z')", "error: cannot be converted" },
         { "timestamp(253402300800)", "error: out of range" },
         { "duration('1h2m3s4ms5us6ns')", "3723.004005006s" }, { "duration('1.5h')", "5400s" },
         { "duration('0')", "0s" }, { "duration('5')", "error: cannot be converted" },
         { "duration('')", "error: cannot be converted" }, { "duration('.s')", "error: cannot be converted" },
         { "duration('-9223372036854775808ns')", "-9223372036.854775808s" },
         { "duration('9223372036854775808ns')", "error: out of range" },
         { "dyn(1) + dyn('a')", "error: no such overload" });
}

Test(cel_language, computes_with_times)
{
    SAID({ "timestamp(10) + duration('5s') == timestamp(15)", "true" },
         { "duration('5s') + timestamp(10) == timestamp(15)", "true" },
         { "timestamp(10) - duration('1ns')", "1970-01-01T00:00:09.999999999Z" },
         { "timestamp(10) - timestamp(4)", "6s" }, { "duration('1s') - duration('2s')", "-1s" },
         { "timestamp(1) < timestamp(2)", "true" }, { "duration('60s') == duration('1m')", "true" },
         { "duration('1s') >= duration('1001ms')", "false" },
         { "timestamp(0) + timestamp(0)", "1:14: no overload~" },
         { "duration('1s') - timestamp(0)", "1:16: no overload~" },
         { "-duration('1s')", "1:1: no overload~" },
         { "timestamp('9999-12-31T23:59:59Z') + duration('1s')", "error: out of range" },
         { "duration('9223372036s') + duration('1h')", "error: integer overflow" });
}

/* 2024-12-31 was a Tuesday, day 365 of a leap year (counted from 0). */
Test(cel_language, takes_times_apart_in_zones)
{
#define NYE "timestamp('2024-12-31T23:30:45.678Z')"
    SAID({ NYE ".getFullYear()", "2024" }, { NYE ".getMonth()", "11" }, { NYE ".getDate()", "31" },
         { NYE ".getDayOfMonth()", "30" }, { NYE ".getDayOfYear()", "365" }, { NYE ".getDayOfWeek()", "2" },
         { NYE ".getHours()", "23" }, { NYE ".getMinutes()", "30" }, { NYE ".getSeconds()", "45" },
         { NYE ".getMilliseconds()", "678" }, { NYE ".getFullYear('+00:30')", "2025" },
         { NYE ".getHours('01:00')", "0" }, { NYE ".getDayOfYear('+01:00')", "0" },
         { NYE ".getMinutes('-00:45')", "45" }, { NYE ".getHours('UTC')", "23" },
         { NYE ".getHours('Far/East')", "1" }, { NYE ".getHours('No/Where')", "error: invalid argument" },
         { NYE ".getHours('+1:00')", "error: invalid argument" },
         { "timestamp('1969-12-31T23:59:59Z').getSeconds()", "59" },
         { "duration('3h30m').getMinutes()", "210" }, { "duration('3h30m').getHours()", "3" },
         { "duration('90s').getSeconds()", "90" }, { "duration('1.234s').getMilliseconds()", "234" });
}

Test(cel_language, carries_what_may_be_missing_in_optionals)
{
    SAID({ "optional.of(1)", "optional(1)" }, { "optional.none()", "none" },
         { "optional.of(1).value()", "1" }, { "optional.none().value()", "error: no value" },
         { "optional.none().orValue(2)", "2" }, { "optional.ofNonZeroValue(0).hasValue()", "false" },
         { "{'a': 1}.?a", "optional(1)" }, { "{'a': 1}.?b.hasValue()", "false" },
         { "{'a': {'b': 2}}.?a.b.orValue(0)", "2" }, { "[1][?0]", "optional(1)" }, { "[1][?1]", "none" },
         { "[?optional.none(), ?optional.of(2), 3]", "[2, 3]" },
         { "{?'a': optional.none(), ?'b': optional.of(1)}", "{\"b\": 1}" },
         { "optional.of(2).optMap(x, x * 3)", "optional(6)" }, { "optional.none().optMap(x, x)", "none" },
         { "optional.of([1]).optFlatMap(l, l[?0])", "optional(1)" },
         { "optional.none().or(optional.of(1)).value()", "1" },
         { "[?1]", "1:3: behind '?' stands an optional~" });
}

Test(cel_language, binds_variables)
{
    SAID({ "cel.bind(x, 2 + 3, x * x)", "25" }, { "cel.bind(x, 1, cel.bind(x, x + 1, x))", "2" },
         { "cel.bind(x, 1 / 0, false && x > 1)", "false" },
         { "cel.bind(x, [1, 2], x.map(y, y + size(x)))", "[3, 4]" },
         { "cel.block([1, cel.index(0) + 1], cel.index(1) * 10)", "20" },
         { "cel.bind(x.y, 1, 2)", "1:10: a macro's variable is a plain name~" },
         { "cel.bind(x, 1)", "1:5: cel.bind() takes~" });
}

Test(cel_language, compares_a_text_to_none_of_another_kind)
{
    SAID({ "dyn(1) == 'a'", "false" }, { "dyn([1]) == dyn({})", "false" },
         { "[1, 'a'] == [1.0, 'a']", "true" }, { "[dyn(1)] == ['a']", "false" },
         { "dyn(timestamp(0)) == dyn(0)", "false" }, { "'a' in [1, 'a', null]", "true" },
         { "null in [dyn(1), null]", "true" }, { "dyn(1) < 'a'", "error: no such overload" });
}

/* ---- names ---- */

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    static const char *const names[] = { "a.b.x", "a.x", "x", "a.b.y.z", "m" };

    (void)context;
    for (uint32_t i = 0; i < 5; i++) {
        if (slice_eq_str(name, names[i])) {
            *out = (struct cel_name){ i, i == 4 ? CEL_MAP : CEL_INT };
            return true;
        }
    }
    return false;
}

static const char *in_container(const char *text, const char *container, bool is_unchecked)
{
    static struct buf out;
    const struct cel_value pair[] = { cel_string(SLICE("z")), cel_int(5) };
    const struct cel_value slots[] = {
        cel_int(1), cel_int(2), cel_int(3), cel_int(4), { .kind = CEL_MAP, .list = { pair, 1 } }
    };
    struct cel_env env = { .resolve = resolve, .container = container, .is_unchecked = is_unchecked };
    struct cel_program *program;
    struct arena arena = { 0 };
    struct why why = { 0 };

    buf_clear(&out);
    if (cel_compile(&program, slice_str(text), &env, &why)) {
        buf_add_str(&out, why.text);
        return buf_str(&out);
    }
    cel_value_print(cel_eval(program, &(struct cel_input){ .slots = slots, .arena = &arena }), &out);
    cel_free(program);
    arena_release(&arena);
    return buf_str(&out);
}

/* "Name Resolution": the innermost container first, the longest name first, a leading dot means the root. */
Test(cel_language, resolves_names_in_containers)
{
    cr_assert_str_eq(in_container("x", "a.b", false), "1");
    cr_assert_str_eq(in_container("x", "a.c", false), "2");
    cr_assert_str_eq(in_container("x", NULL, false), "3");
    cr_assert_str_eq(in_container(".x", "a.b", false), "3");
    cr_assert_str_eq(in_container("y.z", "a.b", false), "4");
    cr_assert_str_eq(in_container("[{'z': 7}].map(y, y.z)[0]", "a.b", false), "7");
    cr_assert_str_eq(in_container("[7].map(x, x + .x)[0]", "a.b", false), "10");
    cr_assert_str_eq(in_container("m.z", "a.b", false), "5");
    cr_assert_str_eq(in_container("has(m.z) && !has(m.y)", NULL, false), "true");
}

Test(cel_language, makes_errors_of_faults_where_nothing_was_checked)
{
    cr_assert_str_eq(in_container("nobody", NULL, true), "error: unknown name");
    cr_assert_str_eq(in_container("nobody || true", NULL, true), "true");
    cr_assert_str_eq(in_container("nothing(1) || true", NULL, true), "true");
    cr_assert_str_eq(in_container("1 + 'a'", NULL, true), "error: no such overload");
    cr_assert_str_eq(in_container("size(1) == 1", NULL, true), "error: no such overload");
    cr_assert_str_eq(in_container("1 == 'a'", NULL, true), "false");
    cr_assert_str_eq(in_container("x.y", NULL, true), "error: no such overload");
}

/* ---- what is printed ---- */

Test(cel_language, prints_canonically_what_it_compiles_to_the_same)
{
    static const char *const pairs[][2] = {
        { "[ 1,2 ].map( x ,x+1 )", "[1, 2].map(x, x + 1)" },
        { "{'a':1,?'b':optional.none( )}.?b", "{\"a\": 1, ?\"b\": optional.none()}.?b" },
        { "[1].all(i,v,(i)<(v))", "[1].all(i, v, i < v)" },
        { "cel.bind(x,1,x+ x)", "cel.bind(x, 1, x + x)" },
        { "{'a-b':1}.`a-b`", "{\"a-b\": 1}.`a-b`" },
        { "[1][ ?0 ]", "[1][?0]" },
        { "type(1)==int", "type(1) == int" },
        { "cel.block([1],cel.index( 0 ))", "cel.block([1], cel.index(0))" },
        { "optional.of(1).optMap(x,x)", "optional.of(1).optMap(x, x)" },
        { "has({'a':1} . a)", "has({\"a\": 1}.a)" },
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct cel_program *program;
        struct why why = { 0 };
        struct buf out;

        for (int again = 0; again < 2; again++) {
            cr_assert_eq(cel_compile(&program, slice_str(pairs[i][again]), &(struct cel_env){ 0 }, &why),
                         ERR_OK, "%s: %s", pairs[i][again], why.text);
            buf_init(&out, 0);
            cel_print(program, &out);
            cr_expect_str_eq(buf_str(&out), pairs[i][1]);
            buf_release(&out);
            cel_free(program);
        }
    }
}

/* ---- limits ---- */

static struct cel_value limited(const char *text, uint32_t steps, uint32_t room, struct arena *arena)
{
    struct cel_program *program;
    struct cel_env env = { .cost_max = UINT32_MAX };
    struct why why = { 0 };
    struct cel_value value;

    cr_assert_eq(cel_compile(&program, slice_str(text), &env, &why), ERR_OK, "%s: %s", text, why.text);
    value = cel_eval(program, &(struct cel_input){ .arena = arena, .steps_max = steps, .room_max = room });
    cel_free(program);
    return value;
}

Test(cel_language, ends_loops_that_take_too_many_steps)
{
    static const char ten[] = "[0,1,2,3,4,5,6,7,8,9]";
    struct arena arena = { 0 };
    char text[512];
    struct cel_value value;

    snprintf(text, sizeof text, "%s.all(a, %s.all(b, %s.all(c, %s.all(d, a + b + c + d >= 0))))", ten, ten,
             ten, ten);
    cr_assert(limited(text, 1000000, 0, &arena).b);
    value = limited(text, 10000, 0, &arena);
    cr_assert_eq(value.kind, CEL_ERROR);
    cr_assert_eq(value.error.fault, CEL_FAULT_STEPS);
    arena_release(&arena);
}

Test(cel_language, takes_no_more_room_than_it_is_given)
{
    static const char *const texts[] = {
        "[1, 2, 3].map(x, [x, x, x, x]).map(l, l + l + l + l)",
        "['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'].map(s, s + s + s + s + s + s + s + s + s + s + s)",
        "cel.bind(s, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', s.replace('a', s).replace('a', s))",
        "'%.999f'.format([1.5])",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct arena arena = { 0 };
        struct cel_value value = limited(texts[i], 0, 500, &arena);

        cr_expect_eq(value.kind, CEL_ERROR, "%s", texts[i]);
        cr_expect_eq(value.error.fault, CEL_FAULT_ROOM, "%s", texts[i]);
        arena_release(&arena);
    }
}

/* Values that hold the same list many times over: 2^40 items to compare, in 41 lists. */
Test(cel_language, ends_comparing_what_is_folded_many_times)
{
    struct arena arena = { 0 };
    char text[4096] = "", tail[64] = "";
    size_t len = 0;
    struct cel_value value;

    for (int i = 0; i < 40; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "cel.bind(a, %s, ", i ? "[a, a]" : "[1]");
    for (int i = 0; i < 40; i++)
        strcat(tail, ")");
    snprintf(text + len, sizeof text - len, "a == a + [] %s", tail);
    value = limited(text, 0, 0, &arena);
    cr_assert_eq(value.kind, CEL_ERROR);
    cr_assert_eq(value.error.fault, CEL_FAULT_STEPS);
    arena_release(&arena);
}

Test(cel_language, refuses_what_would_cost_too_much)
{
    SAID({ "cel.bind(l, 'a'.split(''), l.all(a, l.all(b, l.all(c, l.all(d, a + b + c + d != '')))))",
           "1:5: the expression costs ~" },
         { "[1].all(a, a == 1)", "true" });
}

/* "Syntax" asks for at least so much. */
Test(cel_language, takes_as_much_as_the_specification_asks_for)
{
    char text[CEL_TEXT_MAX];
    static const struct {
        const char *before, *middle, *after, *result;
        int times;
    } rows[] = {
        { "false || ", "true", "", "true", 32 }, { "true && ", "true", "", "true", 32 },
        { "true ? 1 : ", "2", "", "1", 24 },     { "1 + ", "1", "", "25", 24 },
        { "size([", "1", "])", "1", 12 },        { "[", "1", "]", NULL, 12 },
        { "{0: ", "1", "}", NULL, 12 },          { "dyn(", "1", ")", "1", 12 },
        { "false == ", "false", "", NULL, 24 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        text[0] = 0;
        for (int j = 0; j < (i == 4 ? 1 : rows[i].times); j++)
            strcat(text, rows[i].before);
        strcat(text, rows[i].middle);
        for (int j = 0; j < (i == 4 ? 1 : rows[i].times); j++)
            strcat(text, rows[i].after);
        if (rows[i].result)
            cr_expect_str_eq(said_of(text), rows[i].result, "%s", text);
        else
            cr_expect(strchr("[{tf", said_of(text)[0]), "%s: %s", text, said_of(text));
    }
}
