/* SPDX-License-Identifier: Apache-2.0
 * json_in_fuzz.c - any bytes for both readers of JSON: they accept the same documents with the same values in the same
 * order, and refuse all others with the same words. */
#include <stdint.h>
#include <stdlib.h>

#include "json/json.h"
#include "json/json_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_same(const struct json_value *v, json_t *tree);

static void check_children(const struct json_value *v, json_t *tree)
{
    const struct json_value *child = v->children.first;
    const char *name;
    json_t *each;
    size_t i;

    if (v->kind == JSON_IN_OBJECT) {
        check(v->children.count == json_object_size(tree));
        json_object_foreach(tree, name, each)
        {
            check(child && slice_eq_str(child->key, name));
            check_same(child, each);
            child = child->next;
        }
    } else {
        check(v->children.count == json_array_size(tree));
        json_array_foreach(tree, i, each)
        {
            check(child != NULL);
            check_same(child, each);
            child = child->next;
        }
    }
    check(!child);
}

static void check_same(const struct json_value *v, json_t *tree)
{
    static const json_type types[] = {
        [JSON_IN_NULL] = JSON_NULL,       [JSON_IN_FALSE] = JSON_FALSE,  [JSON_IN_TRUE] = JSON_TRUE,
        [JSON_IN_INTEGER] = JSON_INTEGER, [JSON_IN_REAL] = JSON_REAL,    [JSON_IN_TEXT] = JSON_STRING,
        [JSON_IN_ARRAY] = JSON_ARRAY,     [JSON_IN_OBJECT] = JSON_OBJECT
    };
    double real;

    check(json_typeof(tree) == types[v->kind]);
    switch (v->kind) {
    case JSON_IN_INTEGER:
        check(v->integer == json_integer_value(tree));
        break;
    case JSON_IN_REAL:
        real = json_real_value(tree);
        check(memcmp(&v->real, &real, sizeof real) == 0); /* to the bit, also -0 */
        break;
    case JSON_IN_TEXT:
        check(slice_eq(v->text, json_slice(tree)));
        break;
    case JSON_IN_ARRAY:
    case JSON_IN_OBJECT:
        check_children(v, tree);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct why one = { 0 }, two = { 0 };
    struct arena arena = { 0 };
    struct json_value *value;
    json_t *tree;
    enum err err = json_parse(&tree, slice_of(data, size), JSON_DEPTH_MAX, &two);

    check(json_read(&value, slice_of(data, size), JSON_DEPTH_MAX, &arena, &one) == err);
    check(!err == (value != NULL));
    if (err)
        check(slice_eq_str(slice_str(one.text), two.text));
    else
        check_same(value, tree);
    json_decref(tree);
    arena_release(&arena);
    return 0;
}
