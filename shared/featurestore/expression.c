/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/expression.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "cel/cel.h"
#include "fraud/field.h"

struct expressions {
    struct feature *features;
    size_t count;
    struct node {
        struct cel_program *where, *expr;
        bool is_identified;
    } * nodes;
};

bool feature_reference_read(struct slice name, unsigned char hash[SHA256_BYTES])
{
    return name.len == FEATURE_REFERENCE_LEN && name.ptr[0] == 'f' && name.ptr[1] == '_' &&
           hex_decode(slice_of(name.ptr + 2, name.len - 2), hash, SHA256_BYTES);
}

struct expressions *expressions_new(struct feature *features, size_t count)
{
    struct expressions *e = mem_new(struct expressions);

    e->features = features;
    e->count = count;
    e->nodes = mem_new_n(struct node, count + 1);
    return e;
}

void expressions_free(struct expressions *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->count; i++) {
        cel_free(e->nodes[i].where);
        cel_free(e->nodes[i].expr);
    }
    mem_free(e->nodes);
    mem_free(e);
}

static const struct feature *find_name(const struct expressions *e, struct slice name)
{
    for (size_t i = 0; i < e->count; i++) {
        if (slice_eq(e->features[i].name, name))
            return &e->features[i];
    }
    return NULL;
}

bool expression_field(struct slice name, struct txn_field *field)
{
    return name.len > 3 && memcmp(name.ptr, "tx.", 3) == 0 &&
           txn_field_find(slice_of(name.ptr + 3, name.len - 3), field);
}

int expression_field_kind(const struct txn_field *field)
{
    return field->kind == TXN_FIELD_NUMBER ? CEL_DOUBLE
           : field->kind == TXN_FIELD_TEXT ? CEL_STRING
                                           : CEL_DYN;
}

/* For checking alone: every name is known or not, and where it lies does not matter. */
static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    const struct expressions *e = context;
    unsigned char hash[SHA256_BYTES];
    struct txn_field field;

    if (expression_field(name, &field)) {
        *out = (struct cel_name){ .kind = (enum cel_kind)expression_field_kind(&field) };
        return true;
    }
    *out = (struct cel_name){ .kind = CEL_DOUBLE };
    return feature_reference_read(name, hash) || find_name(e, name);
}

enum err expressions_check(struct expressions *e, size_t i, struct why *why)
{
    const struct feature *f = &e->features[i];
    struct cel_env env = { .resolve = resolve, .context = e, .dialect = CEL_ASSAY };
    enum cel_kind kind;
    enum err err = ERR_OK;

    if (f->where.len) {
        env.result = CEL_BOOL;
        err = cel_compile(&e->nodes[i].where, f->where, &env, why);
        if (err)
            return err_wrap(why, ERR_INVALID, "where");
    }
    if (f->expr.len) {
        env.result = CEL_DYN;
        err = cel_compile(&e->nodes[i].expr, f->expr, &env, why);
        if (err)
            return err_wrap(why, ERR_INVALID, "expr");
        kind = cel_result_kind(e->nodes[i].expr);
        if (kind != CEL_DYN && kind != CEL_BOOL && kind != CEL_INT && kind != CEL_UINT && kind != CEL_DOUBLE)
            return err_set(why, ERR_INVALID, "expr: a feature is a number or a bool, this is %s",
                           cel_kind_name(kind));
    }
    return ERR_OK;
}

/* The identity of the feature that a name or reference stands for; NULL while it has none. */
static const unsigned char *identity(const struct expressions *e, struct slice name)
{
    const struct feature *f = find_name(e, name);
    unsigned char hash[SHA256_BYTES];

    if (f)
        return e->nodes[f - e->features].is_identified ? f->hash : NULL;
    if (!feature_reference_read(name, hash))
        return NULL;
    for (size_t i = 0; i < e->count; i++) {
        if (e->nodes[i].is_identified && memcmp(e->features[i].hash, hash, sizeof hash) == 0)
            return e->features[i].hash;
    }
    return NULL;
}

static bool is_used(const struct cel_program *program, struct slice name)
{
    const struct cel_use *uses;
    size_t count = cel_uses(program, &uses);

    for (size_t i = 0; i < count; i++) {
        if (slice_eq(uses[i].name, name))
            return true;
    }
    return false;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Copies canonical text with each feature's name replaced. Strings stand in double quotes there; a word after
 * a dot is a member, not a name. */
static bool replace_names(const struct expressions *e, const struct cel_program *program, struct slice text,
                          struct buf *out)
{
    char hex[2 * SHA256_BYTES + 1];
    size_t i = 0;

    while (i < text.len) {
        size_t first = i;

        if (text.ptr[i] == '"') {
            for (i++; i < text.len && text.ptr[i] != '"'; i++)
                i += text.ptr[i] == '\\';
            i = i + 1 < text.len ? i + 1 : text.len;
        } else if (is_word(text.ptr[i])) {
            struct slice word;
            const unsigned char *hash;

            while (i < text.len && is_word(text.ptr[i]))
                i++;
            word = slice_of(text.ptr + first, i - first);
            if (!(first > 0 && text.ptr[first - 1] == '.') && is_used(program, word)) {
                hash = identity(e, word);
                if (!hash)
                    return false;
                hex_encode(hash, SHA256_BYTES, hex);
                buf_printf(out, "f_%s", hex);
                continue;
            }
        } else {
            i++;
        }
        buf_add(out, text.ptr + first, i - first);
    }
    return true;
}

static bool normalise(const struct expressions *e, const struct cel_program *program, struct slice *text,
                      struct arena *arena)
{
    struct buf printed, replaced;
    bool is_known = true;

    if (!program)
        return true;
    buf_init(&printed, 0);
    buf_init(&replaced, 0);
    cel_print(program, &printed);
    is_known = replace_names(e, program, buf_slice(&printed), &replaced);
    if (is_known)
        *text = arena_slice(arena, buf_slice(&replaced));
    buf_release(&printed);
    buf_release(&replaced);
    return is_known;
}

bool expressions_normalise(struct expressions *e, size_t i, struct arena *arena)
{
    struct feature *f = &e->features[i];
    struct slice where = f->where, expr = f->expr;

    if (!normalise(e, e->nodes[i].where, &where, arena) || !normalise(e, e->nodes[i].expr, &expr, arena))
        return false;
    f->where = where;
    f->expr = expr;
    return true;
}

void expressions_identify(struct expressions *e, size_t i)
{
    e->nodes[i].is_identified = true;
}
