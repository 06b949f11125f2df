/* SPDX-License-Identifier: Apache-2.0 */
#include "fraud/field.h"

#include "base/array.h"
#include "base/clock.h"

enum number_field {
#define NUMBER_ENUM(field, meaning) NUMBER_##field,
    TXN_NUMBER_FIELDS(NUMBER_ENUM)
#undef NUMBER_ENUM
};

static const struct {
    const char *name;
} numbers[] = {
#define NUMBER_ROW(field, meaning) [NUMBER_##field] = { #field },
    TXN_NUMBER_FIELDS(NUMBER_ROW)
#undef NUMBER_ROW
};

static bool is_attribute_name(struct slice name)
{
    if (name.len == 0 || name.len > TXN_ATTRIBUTE_NAME_MAX || name.ptr[0] < 'a' || name.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return true;
}

bool txn_field_find(struct slice name, struct txn_field *out)
{
    const struct slice attributes = SLICE("attributes.");
    enum txn_text text = txn_text_find(name);

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (slice_eq_str(name, numbers[i].name)) {
            *out = (struct txn_field){ .kind = TXN_FIELD_NUMBER, .index = (int)i };
            return true;
        }
    }
    if (text != TXN_TEXT_COUNT) {
        *out = (struct txn_field){ .kind = TXN_FIELD_TEXT, .index = (int)text };
        return true;
    }
    if (slice_eq_str(name, "id") || slice_eq_str(name, "currency")) {
        *out = (struct txn_field){ .kind = TXN_FIELD_TEXT,
                                   .index = name.ptr[0] == 'i' ? TXN_FIELD_ID : TXN_FIELD_CURRENCY };
        return true;
    }
    if (slice_starts_with(name, attributes)) {
        struct slice attribute = slice_of(name.ptr + attributes.len, name.len - attributes.len);

        if (!is_attribute_name(attribute))
            return false;
        *out = (struct txn_field){ .kind = TXN_FIELD_ATTRIBUTE, .attribute = attribute };
        return true;
    }
    return false;
}

static struct txn_value number(double value)
{
    return (struct txn_value){ .kind = TXN_VALUE_NUMBER, .number = value };
}

static struct txn_value number_get(const struct txn *txn, enum number_field field)
{
    int64_t days = txn->occurred_at_us / DAY_US - (txn->occurred_at_us % DAY_US < 0);
    int64_t in_day = txn->occurred_at_us - days * DAY_US;
    int year, month, day;

    switch (field) {
    case NUMBER_amount:
        return number((double)txn->amount_base_minor);
    case NUMBER_amount_local:
        return number((double)txn->amount_minor);
    case NUMBER_lat:
        return txn->has_place ? number(txn->lat) : (struct txn_value){ 0 };
    case NUMBER_lon:
        return txn->has_place ? number(txn->lon) : (struct txn_value){ 0 };
    case NUMBER_hour:
        return number((double)(in_day / HOUR_US));
    case NUMBER_minute_of_day:
        return number((double)(in_day / MINUTE_US));
    case NUMBER_weekday:
        return number((double)(((days + 4) % 7 + 7) % 7)); /* 1970-01-01 was a Thursday */
    case NUMBER_day_of_month:
        civil_from_days(days, &year, &month, &day);
        return number(day);
    case NUMBER_month:
        civil_from_days(days, &year, &month, &day);
        return number(month);
    case NUMBER_unix_seconds:
        return number((double)txn->occurred_at_us / 1e6);
    }
    return (struct txn_value){ 0 };
}

static struct txn_value text(struct slice value)
{
    return (struct txn_value){ .kind = value.len ? TXN_VALUE_TEXT : TXN_VALUE_MISSING, .text = value };
}

struct txn_value txn_field_get(const struct txn *txn, const struct txn_field *field)
{
    const struct txn_attribute *attribute;

    switch (field->kind) {
    case TXN_FIELD_NUMBER:
        return number_get(txn, (enum number_field)field->index);
    case TXN_FIELD_TEXT:
        if (field->index == TXN_FIELD_ID)
            return text(txn->id);
        return text(field->index == TXN_FIELD_CURRENCY ? txn->currency : txn->text[field->index]);
    case TXN_FIELD_ATTRIBUTE:
        attribute = txn_attribute_find(txn, field->attribute);
        if (!attribute)
            break;
        if (attribute->kind == ATTRIBUTE_NUMBER)
            return number(attribute->number);
        if (attribute->kind == ATTRIBUTE_TEXT)
            return (struct txn_value){ .kind = TXN_VALUE_TEXT, .text = attribute->text };
        return (struct txn_value){ .kind = TXN_VALUE_BOOL, .is_true = attribute->is_true };
    }
    return (struct txn_value){ 0 };
}
