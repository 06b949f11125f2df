/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/buf.h"
#include "textproto/textproto.h"

enum { NAMES_MAX = 64, PARAMS_MAX = 8, MATCH_DEPTH_MAX = 64 };

/* One test as it is set up. */
struct setting {
    struct arena *arena;
    const char *skipped; /* why it cannot be run */
    struct slice names[NAMES_MAX];
    const struct cel_type *types[NAMES_MAX]; /* NULL: only bound, so dyn */
    struct cel_value values[NAMES_MAX];
    size_t name_count;
    struct cel_function functions[NAMES_MAX];
    struct cel_signature signatures[NAMES_MAX];
    size_t function_count;
};

struct run {
    struct arena arena;
    cel_zone zone;
    void *zone_context;
    conformance_each each;
    void *context;
};

static void skip(struct setting *s, const char *reason)
{
    if (!s->skipped)
        s->skipped = reason;
}

/* ---- types ---- */

static const struct cel_type dyn = { .kind = CEL_DYN };

static const struct cel_type *simple_type(struct setting *s, enum cel_kind kind)
{
    struct cel_type *type = arena_new(s->arena, struct cel_type, 1);

    type->kind = kind;
    return type;
}

static const struct cel_type *read_type(struct setting *s, const struct textproto_field *message);

/* With the types of all fields of the name, or of the two names in turn. */
static const struct cel_type *inner_type(struct setting *s, enum cel_kind kind, struct slice name,
                                         const struct textproto_field *message, const char *first,
                                         const char *second)
{
    struct cel_type *type = arena_new(s->arena, struct cel_type, 1);
    const struct cel_type **params = arena_new(s->arena, const struct cel_type *, PARAMS_MAX);
    const struct textproto_field *f = textproto_find(message, first);

    *type = (struct cel_type){ .kind = kind, .name = name, .params = params };
    for (; f && type->param_count < PARAMS_MAX; f = second ? NULL : textproto_again(f))
        params[type->param_count++] = read_type(s, f);
    if (second && textproto_find(message, second))
        params[type->param_count++] = read_type(s, textproto_find(message, second));
    return type;
}

static const struct cel_type *named_type(struct setting *s, struct slice word)
{
    static const struct {
        const char *word;
        enum cel_kind kind;
    } words[] = {
        { "BOOL", CEL_BOOL },
        { "INT64", CEL_INT },
        { "UINT64", CEL_UINT },
        { "DOUBLE", CEL_DOUBLE },
        { "STRING", CEL_STRING },
        { "BYTES", CEL_BYTES },
        { "TIMESTAMP", CEL_TIMESTAMP },
        { "DURATION", CEL_DURATION },
        { "google.protobuf.Timestamp", CEL_TIMESTAMP },
        { "google.protobuf.Duration", CEL_DURATION },
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq_str(word, words[i].word))
            return simple_type(s, words[i].kind);
    }
    skip(s, "a message's type");
    return &dyn;
}

static const struct cel_type *read_type(struct setting *s, const struct textproto_field *message)
{
    const struct textproto_field *f = message->fields;
    struct slice name = f ? f->name : SLICE("dyn");

    if (slice_eq_str(name, "dyn"))
        return &dyn;
    if (slice_eq_str(name, "null"))
        return simple_type(s, CEL_NULL);
    if (slice_eq_str(name, "primitive") || slice_eq_str(name, "well_known") ||
        slice_eq_str(name, "message_type"))
        return named_type(s, f->text);
    if (slice_eq_str(name, "list_type"))
        return inner_type(s, CEL_LIST, SLICE(""), f, "elem_type", NULL);
    if (slice_eq_str(name, "map_type"))
        return inner_type(s, CEL_MAP, SLICE(""), f, "key_type", "value_type");
    if (slice_eq_str(name, "type"))
        return inner_type(s, CEL_TYPE, SLICE(""), message, "type", NULL);
    if (slice_eq_str(name, "type_param")) {
        struct cel_type *type = arena_new(s->arena, struct cel_type, 1);

        *type = (struct cel_type){ .kind = CEL_PARAM, .name = f->text };
        return type;
    }
    if (slice_eq_str(name, "abstract_type")) {
        struct slice abstract = textproto_text(f, "name");
        bool is_optional = slice_eq_str(abstract, "optional_type");

        return inner_type(s, is_optional ? CEL_OPTIONAL : CEL_ABSTRACT, is_optional ? SLICE("") : abstract, f,
                          "parameter_types", NULL);
    }
    skip(s, "a message's type");
    return &dyn;
}

/* ---- values ---- */

static struct cel_value read_value(struct setting *s, const struct textproto_field *message);

static struct cel_value read_number(struct slice text, enum cel_kind kind)
{
    char copy[64];
    size_t len = text.len < sizeof copy ? text.len : sizeof copy - 1;

    if (len)
        memcpy(copy, text.ptr, len);
    copy[len] = 0;
    if (kind == CEL_DOUBLE)
        return cel_double(strtod(copy, NULL)); /* takes inf and nan too */
    return kind == CEL_INT ? cel_int(strtoll(copy, NULL, 0)) : cel_uint(strtoull(copy, NULL, 0));
}

static struct cel_value read_list(struct setting *s, const struct textproto_field *message)
{
    size_t count = 0;
    struct cel_value *items;
    const struct textproto_field *f = textproto_find(message, "values");

    for (const struct textproto_field *g = f; g; g = textproto_again(g))
        count++;
    items = arena_new(s->arena, struct cel_value, count + 1);
    count = 0;
    for (; f; f = textproto_again(f))
        items[count++] = read_value(s, f);
    return (struct cel_value){ .kind = CEL_LIST, .list = { items, count } };
}

static struct cel_value read_map(struct setting *s, const struct textproto_field *message)
{
    size_t count = 0;
    struct cel_value *items;
    const struct textproto_field *f = textproto_find(message, "entries");

    for (const struct textproto_field *g = f; g; g = textproto_again(g))
        count++;
    items = arena_new(s->arena, struct cel_value, 2 * count + 1);
    count = 0;
    for (; f; f = textproto_again(f), count++) {
        const struct textproto_field *key = textproto_find(f, "key"), *value = textproto_find(f, "value");

        items[2 * count] = key ? read_value(s, key) : (struct cel_value){ .kind = CEL_NULL };
        items[2 * count + 1] = value ? read_value(s, value) : (struct cel_value){ .kind = CEL_NULL };
    }
    return (struct cel_value){ .kind = CEL_MAP, .list = { items, count } };
}

static int64_t whole(const struct textproto_field *message, const char *name)
{
    struct slice text = textproto_text(message, name);

    return text.len ? read_number(text, CEL_INT).i : 0;
}

/* Of all messages only times have values here. */
static struct cel_value read_object(struct setting *s, const struct textproto_field *message)
{
    const struct textproto_field *any = message->fields;
    struct slice name = any ? any->name : SLICE("");
    int64_t seconds, ns;

    if (slice_eq_str(name, "[type.googleapis.com/google.protobuf.Timestamp]"))
        return (struct cel_value){ .kind = CEL_TIMESTAMP,
                                   .time = { whole(any, "seconds"), (int32_t)whole(any, "nanos") } };
    seconds = whole(any, "seconds");
    if (slice_eq_str(name, "[type.googleapis.com/google.protobuf.Duration]") &&
        !__builtin_mul_overflow(seconds, INT64_C(1000000000), &ns) &&
        !__builtin_add_overflow(ns, whole(any, "nanos"), &ns))
        return (struct cel_value){ .kind = CEL_DURATION, .i = ns };
    skip(s, "a message as a value");
    return (struct cel_value){ .kind = CEL_NULL };
}

static struct cel_value read_value(struct setting *s, const struct textproto_field *message)
{
    const struct textproto_field *f = message->fields;
    struct slice name = f ? f->name : SLICE("null_value");

    if (slice_eq_str(name, "null_value"))
        return (struct cel_value){ .kind = CEL_NULL };
    if (slice_eq_str(name, "bool_value"))
        return cel_bool(slice_eq_str(f->text, "true"));
    if (slice_eq_str(name, "int64_value"))
        return read_number(f->text, CEL_INT);
    if (slice_eq_str(name, "uint64_value"))
        return read_number(f->text, CEL_UINT);
    if (slice_eq_str(name, "double_value"))
        return read_number(f->text, CEL_DOUBLE);
    if (slice_eq_str(name, "string_value"))
        return cel_string(f->text);
    if (slice_eq_str(name, "bytes_value"))
        return (struct cel_value){ .kind = CEL_BYTES, .s = f->text };
    if (slice_eq_str(name, "type_value"))
        return (struct cel_value){ .kind = CEL_TYPE, .s = f->text };
    if (slice_eq_str(name, "list_value"))
        return read_list(s, f);
    if (slice_eq_str(name, "map_value"))
        return read_map(s, f);
    if (slice_eq_str(name, "object_value"))
        return read_object(s, f);
    skip(s, "an enum as a value");
    return (struct cel_value){ .kind = CEL_NULL };
}

/* Whether the result is exactly what is wanted: 1 is not 1u here, and NaN is NaN. */
static bool matches(const struct cel_value *a, const struct cel_value *b, int depth)
{
    if (a->kind != b->kind || depth > MATCH_DEPTH_MAX)
        return false;
    switch (a->kind) {
    case CEL_NULL:
        return true;
    case CEL_BOOL:
        return a->b == b->b;
    case CEL_DOUBLE:
        return a->d == b->d || (isnan(a->d) && isnan(b->d));
    case CEL_STRING:
    case CEL_BYTES:
    case CEL_TYPE:
        return slice_eq(a->s, b->s);
    case CEL_TIMESTAMP:
        return a->time.s == b->time.s && a->time.ns == b->time.ns;
    case CEL_LIST:
        for (size_t i = 0; a->list.count == b->list.count && i < a->list.count; i++) {
            if (!matches(&a->list.items[i], &b->list.items[i], depth + 1))
                return false;
        }
        return a->list.count == b->list.count;
    case CEL_MAP:
        for (size_t i = 0; a->list.count == b->list.count && i < a->list.count; i++) {
            size_t j = 0;

            while (j < b->list.count &&
                   !(matches(&a->list.items[2 * i], &b->list.items[2 * j], depth + 1) &&
                     matches(&a->list.items[2 * i + 1], &b->list.items[2 * j + 1], depth + 1)))
                j++;
            if (j == b->list.count)
                return false;
        }
        return a->list.count == b->list.count;
    default:
        return a->i == b->i;
    }
}

/* ---- what a test declares ---- */

static size_t find_name(const struct setting *s, struct slice name)
{
    size_t i = 0;

    while (i < s->name_count && !slice_eq(s->names[i], name))
        i++;
    return i;
}

static size_t add_name(struct setting *s, struct slice name, const struct cel_type *type)
{
    size_t i = find_name(s, name);

    if (i == NAMES_MAX) {
        skip(s, "too many names");
        return 0;
    }
    if (i == s->name_count) {
        s->names[s->name_count] = name;
        s->values[s->name_count++] = cel_error(CEL_FAULT_MISSING);
    }
    if (type)
        s->types[i] = type;
    return i;
}

static enum cel_kind argument_kind(const struct cel_type *type)
{
    return type->kind < CEL_KIND_COUNT ? type->kind : CEL_DYN;
}

static struct cel_value never_called(void *context, const struct cel_value *args)
{
    (void)context;
    (void)args;
    return cel_error(CEL_FAULT_NAME);
}

static void add_function(struct setting *s, struct slice name, const struct textproto_field *function)
{
    const struct textproto_field *overload = textproto_find(function, "overloads"), *f;
    struct cel_function *out = &s->functions[s->function_count];
    const struct cel_type **args = arena_new(s->arena, const struct cel_type *, CEL_ARGS_MAX);

    if (!overload || textproto_again(overload) || s->function_count == NAMES_MAX) {
        skip(s, "a function with several overloads");
        return;
    }
    *out = (struct cel_function){ .name = arena_strndup(s->arena, name.ptr, name.len), .call = never_called };
    for (f = textproto_find(overload, "params"); f && out->arg_count < CEL_ARGS_MAX; f = textproto_again(f)) {
        args[out->arg_count] = read_type(s, f);
        out->args[out->arg_count] = argument_kind(args[out->arg_count]);
        out->arg_count++;
    }
    f = textproto_find(overload, "result_type");
    s->signatures[s->function_count] = (struct cel_signature){ f ? read_type(s, f) : &dyn, args };
    out->result = argument_kind(s->signatures[s->function_count++].result);
}

static void declare(struct setting *s, const struct textproto_field *test)
{
    const struct textproto_field *f, *part;

    for (f = textproto_find(test, "type_env"); f; f = textproto_again(f)) {
        struct slice name = textproto_text(f, "name");

        part = textproto_find(f, "function");
        if (part)
            add_function(s, name, part);
        part = textproto_find(textproto_find(f, "ident"), "type");
        if (part)
            add_name(s, name, read_type(s, part));
    }
    for (f = textproto_find(test, "bindings"); f; f = textproto_again(f)) {
        size_t i = add_name(s, textproto_text(f, "key"), NULL);

        part = textproto_find(textproto_find(f, "value"), "value");
        if (part)
            s->values[i] = read_value(s, part);
        else
            skip(s, "an input that is unknown or an error");
    }
}

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    struct setting *s = context;
    size_t i = find_name(s, name);

    if (i == s->name_count)
        return false;
    *out = (struct cel_name){ (uint32_t)i, s->types[i] ? argument_kind(s->types[i]) : CEL_DYN };
    return true;
}

static const struct cel_type *type_of(void *context, struct slice name)
{
    struct setting *s = context;

    return s->types[find_name(s, name)];
}

/* ---- running ---- */

/* What of the language is not there: seen in the text, before it is compiled. */
static const char *needs(struct slice expr)
{
    static const struct {
        const char *text, *reason;
    } marks[] = {
        { "TestAllTypes", "a message" },
        { "TestRequired", "a message" },
        { "GlobalEnum", "an enum" },
        { "NestedEnum", "an enum" },
        { "proto.hasExt", "an extension" },
        { "proto.getExt", "an extension" },
        { "google.protobuf.Any", "a message" },
        { "google.protobuf.Struct", "a message" },
        { "google.protobuf.Value", "a message" },
        { "google.protobuf.ListValue", "a message" },
    };

    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (expr.len && memmem(expr.ptr, expr.len, marks[i].text, strlen(marks[i].text)))
            return marks[i].reason;
    }
    return NULL;
}

static enum conformance_outcome differ(struct setting *s, struct slice *detail, const struct cel_value *is,
                                       const struct cel_value *wanted)
{
    struct buf text;

    buf_init(&text, 1 << 12);
    buf_add_str(&text, "is ");
    cel_value_print(*is, &text);
    buf_printf(&text, " (%s), wanted ", cel_kind_name(is->kind));
    if (wanted) {
        cel_value_print(*wanted, &text);
        buf_printf(&text, " (%s)", cel_kind_name(wanted->kind));
    } else {
        buf_add_str(&text, "an error");
    }
    *detail = arena_slice(s->arena, buf_slice(&text));
    buf_release(&text);
    return CONFORMANCE_FAILED;
}

static enum conformance_outcome compare_types(struct setting *s, const struct cel_program *program,
                                              const struct textproto_field *typed, struct slice *detail)
{
    const struct textproto_field *deduced = textproto_find(typed, "deduced_type");
    struct buf is, wanted;
    enum conformance_outcome outcome = CONFORMANCE_PASSED;

    buf_init(&is, 1 << 12);
    buf_init(&wanted, 1 << 12);
    cel_type_print(cel_result_type(program), &is);
    if (deduced)
        cel_type_print(read_type(s, deduced), &wanted);
    if (deduced && !slice_eq(buf_slice(&is), buf_slice(&wanted))) {
        outcome = CONFORMANCE_FAILED;
        *detail = arena_printf(s->arena, "is of type %s, wanted %s", buf_str(&is), buf_str(&wanted));
    }
    buf_release(&is);
    buf_release(&wanted);
    return s->skipped ? CONFORMANCE_SKIPPED : outcome;
}

static enum conformance_outcome evaluate(const struct run *r, struct setting *s,
                                         const struct cel_program *program,
                                         const struct textproto_field *test, struct slice *detail)
{
    const struct textproto_field *typed = textproto_find(test, "typed_result"),
                                 *value =
                                     typed ? textproto_find(typed, "result") : textproto_find(test, "value");
    bool wants_error = textproto_find(test, "eval_error") || textproto_find(test, "any_eval_errors");
    struct cel_input input = {
        .slots = s->values, .arena = s->arena, .zone = r->zone, .zone_context = r->zone_context
    };
    struct cel_value is = cel_eval(program, &input), wanted = value ? read_value(s, value) : cel_bool(true);

    if (s->skipped)
        return CONFORMANCE_SKIPPED;
    if (wants_error)
        return is.kind == CEL_ERROR ? CONFORMANCE_PASSED : differ(s, detail, &is, NULL);
    return matches(&is, &wanted, 0) ? CONFORMANCE_PASSED : differ(s, detail, &is, &wanted);
}

static enum conformance_outcome compile(const struct run *r, struct setting *s,
                                        const struct textproto_field *test, struct slice expr,
                                        struct slice *detail)
{
    const struct textproto_field *typed = textproto_find(test, "typed_result");
    struct slice container = textproto_text(test, "container");
    struct cel_env env = { .resolve = resolve,
                           .context = s,
                           .type_of = type_of,
                           .functions = s->functions,
                           .function_count = s->function_count,
                           .signatures = s->signatures,
                           .container = arena_strndup(s->arena, container.ptr, container.len),
                           .is_unchecked = textproto_true(test, "disable_check") };
    bool wants_error = textproto_find(test, "eval_error") || textproto_find(test, "any_eval_errors");
    enum conformance_outcome outcome;
    struct cel_program *program;
    struct why why = { 0 };
    enum err err = cel_compile(&program, expr, &env, &why);

    if (err && strstr(why.text, "messages cannot be made")) {
        skip(s, "a message");
        return CONFORMANCE_SKIPPED;
    }
    if (err) {
        *detail = arena_printf(s->arena, "%s", why.text);
        return err == ERR_INVALID && wants_error ? CONFORMANCE_PASSED : CONFORMANCE_FAILED;
    }
    outcome = typed ? compare_types(s, program, typed, detail) : CONFORMANCE_PASSED;
    if (outcome == CONFORMANCE_PASSED && !textproto_true(test, "check_only"))
        outcome = evaluate(r, s, program, test, detail);
    cel_free(program);
    return outcome;
}

static void run_test(struct run *r, struct slice section, const struct textproto_field *test)
{
    struct arena arena = { 0 };
    struct setting *s = arena_new(&arena, struct setting, 1);
    struct conformance_test told = { .section = section,
                                     .name = textproto_text(test, "name"),
                                     .expr = textproto_text(test, "expr") };

    s->arena = &arena;
    s->skipped = needs(told.expr);
    if (textproto_find(test, "unknown") || textproto_find(test, "any_unknowns"))
        skip(s, "partial inputs");
    if (textproto_true(test, "disable_macros"))
        skip(s, "macros that are none");
    if (!s->skipped)
        declare(s, test);
    told.outcome = s->skipped ? CONFORMANCE_SKIPPED : compile(r, s, test, told.expr, &told.detail);
    if (told.outcome == CONFORMANCE_SKIPPED)
        told.detail = slice_str(s->skipped);
    r->each(r->context, &told);
    arena_release(&arena);
}

enum err conformance_run(struct slice text, cel_zone zone, void *zone_context, conformance_each each,
                         void *context, struct why *why)
{
    struct run r = { .zone = zone, .zone_context = zone_context, .each = each, .context = context };
    struct textproto_field *file;
    enum err err = textproto_parse(&file, text, &r.arena, why);

    for (const struct textproto_field *s = textproto_find(file, "section"); !err && s;
         s = textproto_again(s)) {
        for (const struct textproto_field *t = textproto_find(s, "test"); t; t = textproto_again(t))
            run_test(&r, textproto_text(s, "name"), t);
    }
    arena_release(&r.arena);
    return err;
}
