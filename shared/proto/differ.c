/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/differ.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"

enum { SHOWN_MAX = 512 }; /* bytes of a value */

struct differing {
    proto_difference *each;
    void *context;
    struct buf path, a, b;
};

static const char nothing[] = "(none)";

static void compare(struct differing *d, const ProtobufCMessage *a, const ProtobufCMessage *b);

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static struct slice text_of(const void *value, ProtobufCType type)
{
    const char *text = *(char *const *)value;
    const ProtobufCBinaryData *bytes = value;

    return type == PROTOBUF_C_TYPE_BYTES ? slice_of(bytes->data, bytes->len) : slice_str(text ? text : "");
}

/* What a message is called by: its first text. */
static struct slice first_text(const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];

        if (field->type == PROTOBUF_C_TYPE_STRING && field->label != PROTOBUF_C_LABEL_REPEATED)
            return text_of((const char *)m + field->offset, field->type);
    }
    return SLICE("(there)");
}

/* `with_bits`: a floating-point number with them. */
static void show(struct buf *out, const void *value, const ProtobufCFieldDescriptor *field, bool with_bits)
{
    uint64_t bits = 0;
    double number;
    float small;

    memcpy(&bits, value, size_of(field->type) < sizeof bits ? size_of(field->type) : sizeof bits);
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        buf_add_slice(out, first_text(*(ProtobufCMessage *const *)value));
        return;
    case PROTOBUF_C_TYPE_STRING:
        buf_add_slice(out, text_of(value, field->type));
        return;
    case PROTOBUF_C_TYPE_BYTES:
        buf_printf(out, "%zu bytes", text_of(value, field->type).len);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(&number, value, sizeof number);
        buf_printf(out, "%.17g", number);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(&small, value, sizeof small);
        buf_printf(out, "%.9g", (double)small);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_add_str(out, bits ? "true" : "false");
        return;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *word =
            protobuf_c_enum_descriptor_get_value(field->descriptor, (int)(int32_t)bits);

        buf_add_str(out, word ? word->name : "(no name)");
        return;
    }
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        buf_printf(out, "%" PRId64, (int64_t)bits);
        return;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        buf_printf(out, "%" PRId32, (int32_t)bits);
        return;
    default:
        buf_printf(out, "%" PRIu64, bits);
        return;
    }
    if (with_bits)
        buf_printf(out, " (bits %" PRIx64 ")", bits);
}

static struct slice cut(const struct buf *text)
{
    struct slice all = buf_slice(text);

    return all.len > SHOWN_MAX ? slice_of(all.ptr, SHOWN_MAX) : all;
}

/* NULL: it is not there. */
static void tell(struct differing *d, const void *a, const void *b, const ProtobufCFieldDescriptor *field)
{
    for (int with_bits = 0; with_bits < 2; with_bits++) {
        buf_clear(&d->a);
        buf_clear(&d->b);
        if (a)
            show(&d->a, a, field, with_bits);
        else
            buf_add_str(&d->a, nothing);
        if (b)
            show(&d->b, b, field, with_bits);
        else
            buf_add_str(&d->b, nothing);
        if (!slice_eq(buf_slice(&d->a), buf_slice(&d->b)))
            break;
    }
    d->each(d->context, buf_slice(&d->path), cut(&d->a), cut(&d->b));
}

static void compare_value(struct differing *d, const void *a, const void *b,
                          const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessage *x, *y;

    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        x = *(ProtobufCMessage *const *)a;
        y = *(ProtobufCMessage *const *)b;
        if (x && y)
            compare(d, x, y);
        else if (x || y)
            tell(d, x ? a : NULL, y ? b : NULL, field);
        return;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        if (!slice_eq(text_of(a, field->type), text_of(b, field->type)))
            tell(d, a, b, field);
        return;
    default:
        if (memcmp(a, b, size_of(field->type)) != 0)
            tell(d, a, b, field);
    }
}

static void compare_repeated(struct differing *d, const char *a, const char *b,
                             const ProtobufCFieldDescriptor *field)
{
    size_t many_a, many_b, size = size_of(field->type), before = d->path.len;
    const char *items_a = *(const char *const *)(a + field->offset);
    const char *items_b = *(const char *const *)(b + field->offset);

    memcpy(&many_a, a + field->quantifier_offset, sizeof many_a);
    memcpy(&many_b, b + field->quantifier_offset, sizeof many_b);
    for (size_t i = 0; i < many_a || i < many_b; i++) {
        const char *x = i < many_a ? items_a + i * size : NULL, *y = i < many_b ? items_b + i * size : NULL;

        buf_printf(&d->path, "[%zu]", i);
        if (x && y)
            compare_value(d, x, y, field);
        else
            tell(d, x, y, field);
        d->path.len = before;
    }
}

static void compare(struct differing *d, const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    const ProtobufCMessageDescriptor *kind = a->descriptor;

    for (unsigned i = 0; i < kind->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &kind->fields[i];
        size_t before = d->path.len;

        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            continue;
        buf_printf(&d->path, "%s%s", before ? "." : "", field->name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            compare_repeated(d, (const char *)a, (const char *)b, field);
        else
            compare_value(d, (const char *)a + field->offset, (const char *)b + field->offset, field);
        d->path.len = before;
    }
}

void proto_differ(const ProtobufCMessage *a, const ProtobufCMessage *b, proto_difference *each, void *context)
{
    struct differing d = { .each = each, .context = context };

    buf_init(&d.path, 0);
    buf_init(&d.a, 0);
    buf_init(&d.b, 0);
    compare(&d, a, b);
    buf_release(&d.path);
    buf_release(&d.a);
    buf_release(&d.b);
}
