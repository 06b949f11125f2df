/* SPDX-License-Identifier: Apache-2.0 */
#include "api/txn_json.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "fraud/country.h"
#include "fraud/pan.h"

/* One object being read: what each reader of a field needs. */
struct reading {
    const struct txn_rules *rules;
    struct faults *faults;
    const struct json_path *at; /* the object */
    struct txn *txn;            /* one of the two */
    struct label *label;
    bool has_lat, has_lon;
    bool has_known_at; /* a sound one */
};

struct field;
typedef void field_reader(struct reading *r, const struct field *field, const struct json_value *value,
                          const struct json_path *at);

struct field {
    const char *name;
    size_t len; /* of the name */
    field_reader *read;
    bool is_required;
    enum txn_text text; /* for read_text */
};

static const char card_fault[] = "holds what looks like a card number; send a token instead";

/* ---- text ---- */

/* C0, DEL and C1: they have no place in an id and forge log lines. */
static bool has_control(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0))
            return true;
    }
    return false;
}

static bool is_all_digits(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    }
    return text.len > 0;
}

enum guard { GUARD_TEXT, GUARD_ID, GUARD_CARD, GUARD_NONE };

static bool holds_card_number(const struct txn_rules *rules, struct slice text, enum guard guard)
{
    if (guard == GUARD_NONE)
        return false;
    if (rules->allows_numeric_ids && guard != GUARD_TEXT && is_all_digits(text))
        return guard == GUARD_CARD && pan_find(text, NULL);
    return guard == GUARD_CARD ? pan_find_digits(text) : pan_find(text, NULL);
}

/* A string of 1 to `max` bytes without control characters or a card number, copied; empty after a fault. */
static struct slice text_of(struct reading *r, const struct json_value *value, const struct json_path *at,
                            size_t max, enum guard guard)
{
    struct slice text = json_text(value);

    if (value->kind != JSON_IN_TEXT) {
        if (value->kind == JSON_IN_INTEGER && pan_in_integer(value->integer))
            faults_add(r->faults, at, "%s", card_fault);
        else
            faults_add(r->faults, at, "must be a string");
    } else if (text.len == 0) {
        faults_add(r->faults, at, "must not be empty");
    } else if (holds_card_number(r->rules, text, guard)) {
        faults_add(r->faults, at, "%s", card_fault);
    } else if (text.len > max) {
        faults_add(r->faults, at, "is %zu bytes long, at most %zu are allowed", text.len, max);
    } else if (has_control(text)) {
        faults_add(r->faults, at, "has control characters");
    } else {
        return arena_slice(r->faults->arena, text);
    }
    return slice_of("", 0);
}

static bool is_each(struct slice text, const char *allowed)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!strchr(allowed, text.ptr[i]))
            return false;
    }
    return true;
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* The canonical text of an address, or an empty slice. */
static struct slice address_of(struct arena *arena, struct slice text)
{
    char copy[INET6_ADDRSTRLEN], shown[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;

    if (text.len >= sizeof copy)
        return slice_of("", 0);
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        inet_ntop(AF_INET, &v4, shown, sizeof shown);
    } else if (inet_pton(AF_INET6, copy, &v6) == 1) {
        if (IN6_IS_ADDR_V4MAPPED(&v6))
            inet_ntop(AF_INET, &v6.s6_addr[12], shown, sizeof shown);
        else
            inet_ntop(AF_INET6, &v6, shown, sizeof shown);
    } else {
        return slice_of("", 0);
    }
    return arena_slice(arena, slice_str(shown));
}

static void read_text(struct reading *r, const struct field *field, const struct json_value *value,
                      const struct json_path *at)
{
    enum guard guard = field->text == TXN_card_id ? GUARD_CARD : GUARD_ID;
    struct slice text;

    if (field->text == TXN_channel || field->text == TXN_email_hash)
        guard = GUARD_TEXT;
    text = text_of(r, value, at, txn_text_max(field->text), guard);
    if (text.len == 0)
        return;
    switch (field->text) {
    case TXN_mcc:
        if (text.len != 4 || !is_each(text, DIGITS)) {
            faults_add(r->faults, at, "must be four digits (ISO 18245)");
            return;
        }
        break;
    case TXN_channel:
        if (!is_each(text, LOWER DIGITS "_-")) {
            faults_add(r->faults, at, "must be lower-case letters, digits, '_' and '-'");
            return;
        }
        break;
    case TXN_country:
        if (!country_is_known(text)) {
            faults_add(r->faults, at, "must be two upper-case letters of ISO 3166-1");
            return;
        }
        break;
    case TXN_ip:
        text = address_of(r->faults->arena, text);
        if (text.len == 0) {
            faults_add(r->faults, at, "is not an IPv4 or IPv6 address");
            return;
        }
        break;
    default:
        break;
    }
    r->txn->text[field->text] = text;
}

static void read_id(struct reading *r, const struct field *field, const struct json_value *value,
                    const struct json_path *at)
{
    struct slice id = text_of(r, value, at, TXN_ID_MAX, GUARD_ID);

    (void)field;
    if (r->txn)
        r->txn->id = id;
    else
        r->label->transaction_id = id;
}

/* ---- times ---- */

static bool time_of(struct reading *r, const struct json_value *value, const struct json_path *at,
                    int64_t *at_us)
{
    if (value->kind != JSON_IN_TEXT) {
        faults_add(r->faults, at, "must be a string with a time as of RFC 3339");
        return false;
    }
    if (!rfc3339_parse(json_text(value), at_us)) {
        faults_add(r->faults, at, "is not a time as of RFC 3339, like 2026-01-31T12:00:00Z");
        return false;
    }
    return true;
}

static void read_occurred_at(struct reading *r, const struct field *field, const struct json_value *value,
                             const struct json_path *at)
{
    (void)field;
    /* Whether it is in the window is known when known_at is: see check_window(). */
    if (!time_of(r, value, at, &r->txn->occurred_at_us))
        r->txn->occurred_at_us = INT64_MIN;
}

static void read_labelled_at(struct reading *r, const struct field *field, const struct json_value *value,
                             const struct json_path *at)
{
    (void)field;
    if (!time_of(r, value, at, &r->label->labelled_at_us))
        r->label->labelled_at_us = INT64_MIN;
}

static void read_known_at(struct reading *r, const struct field *field, const struct json_value *value,
                          const struct json_path *at)
{
    int64_t known_at, least = civil_days(2000, 1, 1) * DAY_US, most = civil_days(2100, 1, 1) * DAY_US;

    (void)field;
    if (!r->rules->is_simulated) {
        faults_add(r->faults, at, "is only for accounts on a simulated clock; this one is live");
        return;
    }
    if (!time_of(r, value, at, &known_at))
        return;
    if (known_at < least || known_at >= most) {
        faults_add(r->faults, at, "must be within the years 2000 to 2099");
        return;
    }
    r->has_known_at = true;
    if (r->txn)
        r->txn->known_at_us = known_at;
    else
        r->label->known_at_us = known_at;
}

/* The clock that an event is held against; false when the request should have brought it and did not. */
static bool clock_of(const struct reading *r, int64_t *known_at)
{
    *known_at = r->txn ? r->txn->known_at_us : r->label->known_at_us;
    return !r->rules->is_simulated || r->has_known_at;
}

static void check_window(struct reading *r)
{
    struct json_path at = { .up = r->at, .key = r->txn ? "occurred_at" : "labelled_at" };
    int64_t at_us = r->txn ? r->txn->occurred_at_us : r->label->labelled_at_us, known_at;
    const char *clock = r->rules->is_simulated ? "known_at" : "now";

    if (at_us == INT64_MIN || !clock_of(r, &known_at))
        return;
    if (at_us > known_at + TXN_FUTURE_US)
        faults_add(r->faults, &at, "is more than 5 minutes after %s", clock);
    else if (r->txn && at_us < known_at - TXN_PAST_US)
        faults_add(r->faults, &at, "is more than 90 days before %s", clock);
    else if (at_us < 0)
        faults_add(r->faults, &at, "is before 1970");
}

/* ---- money and place ---- */

static void read_amount(struct reading *r, const struct field *field, const struct json_value *value,
                        const struct json_path *at)
{
    int64_t amount = value->kind == JSON_IN_INTEGER ? value->integer : -1;

    (void)field;
    r->txn->amount_minor = -1;
    /* 10.00 is refused rather than read as ten minor units: whoever writes that means ten of the major ones.
     */
    if (value->kind != JSON_IN_INTEGER)
        faults_add(r->faults, at,
                   "must be an integer in minor units of the currency (cents), without a point");
    else if (pan_in_integer(amount))
        faults_add(r->faults, at, "%s", card_fault);
    else if (amount < 0)
        faults_add(r->faults, at, "must not be negative");
    else if (amount > TXN_AMOUNT_MAX)
        faults_add(r->faults, at, "is more than 10^15");
    else
        r->txn->amount_minor = amount;
}

static void read_currency(struct reading *r, const struct field *field, const struct json_value *value,
                          const struct json_path *at)
{
    struct slice code = text_of(r, value, at, 64, GUARD_TEXT);

    (void)field;
    if (code.len == 0)
        return;
    if (currency_exponent(code) < 0)
        faults_add(r->faults, at, "must be three upper-case letters of ISO 4217, like EUR");
    else
        r->txn->currency = code;
}

static void convert_amount(struct reading *r)
{
    struct json_path at = { .up = r->at, .key = "currency" };
    struct txn *txn = r->txn;

    if (txn->amount_minor < 0 || txn->currency.len == 0)
        return;
    switch (fx_convert(r->rules->fx, txn->amount_minor, txn->currency, r->rules->base_currency,
                       &txn->amount_base_minor)) {
    case ERR_OK:
        break;
    case ERR_NOT_FOUND:
        faults_add(r->faults, &at, "no exchange rate from %.*s to %.*s is configured",
                   SLICE_ARG(txn->currency), SLICE_ARG(r->rules->base_currency));
        break;
    default:
        faults_add(r->faults, &at, "the amount in %.*s is too large", SLICE_ARG(r->rules->base_currency));
        break;
    }
}

static void read_degrees(struct reading *r, const struct json_value *value, const struct json_path *at,
                         double most, double *degrees)
{
    double number = value->kind == JSON_IN_INTEGER ? (double)value->integer : value->real;

    if (value->kind != JSON_IN_INTEGER && value->kind != JSON_IN_REAL)
        faults_add(r->faults, at, "must be a number of degrees");
    else if (!(fabs(number) <= most))
        faults_add(r->faults, at, "must be from -%g to %g degrees", most, most);
    else
        *degrees = number;
}

static void read_lat(struct reading *r, const struct field *field, const struct json_value *value,
                     const struct json_path *at)
{
    (void)field;
    r->has_lat = true;
    read_degrees(r, value, at, 90, &r->txn->lat);
}

static void read_lon(struct reading *r, const struct field *field, const struct json_value *value,
                     const struct json_path *at)
{
    (void)field;
    r->has_lon = true;
    read_degrees(r, value, at, 180, &r->txn->lon);
}

static void check_place(struct reading *r)
{
    struct json_path at = { .up = r->at, .key = r->has_lat ? "lon" : "lat" };

    if (r->has_lat != r->has_lon)
        faults_add(r->faults, &at, "lat and lon come together");
    r->txn->has_place = r->has_lat && r->has_lon;
}

/* ---- attributes ---- */

static bool attribute_name_is_sound(struct slice name)
{
    return name.len > 0 && name.len <= TXN_ATTRIBUTE_NAME_MAX && name.ptr[0] >= 'a' && name.ptr[0] <= 'z' &&
           is_each(name, LOWER DIGITS "_");
}

static bool read_attribute(struct reading *r, struct slice name, const struct json_value *value,
                           const struct json_path *at, struct txn_attribute *a)
{
    size_t faults = r->faults->count + r->faults->untold;

    if (pan_find(name, NULL))
        faults_add(r->faults, at, "the name %s", card_fault);
    else if (!attribute_name_is_sound(name))
        faults_add(r->faults, at, "the name must be a lower-case letter and up to %d letters, digits or '_'",
                   TXN_ATTRIBUTE_NAME_MAX - 1);
    switch (value->kind) {
    case JSON_IN_TEXT:
        a->kind = ATTRIBUTE_TEXT;
        if (value->text.len > 0) /* an empty text is a value here */
            a->text = text_of(r, value, at, TXN_ATTRIBUTE_TEXT_MAX, GUARD_TEXT);
        break;
    case JSON_IN_INTEGER:
        a->kind = ATTRIBUTE_NUMBER;
        if (pan_in_integer(value->integer))
            faults_add(r->faults, at, "%s", card_fault);
        else if (value->integer > TXN_INTEGER_MAX || value->integer < -TXN_INTEGER_MAX)
            faults_add(r->faults, at, "is an integer beyond 2^53, which would not stay exact; send a string");
        a->number = (double)value->integer;
        break;
    case JSON_IN_REAL:
        a->kind = ATTRIBUTE_NUMBER;
        a->number = value->real;
        break;
    case JSON_IN_TRUE:
    case JSON_IN_FALSE:
        a->kind = ATTRIBUTE_BOOL;
        a->is_true = value->kind == JSON_IN_TRUE;
        break;
    default:
        faults_add(r->faults, at, "must be a number, a string or a boolean");
        break;
    }
    return r->faults->count + r->faults->untold == faults;
}

static int by_name(const void *a, const void *b)
{
    const struct txn_attribute *x = a, *y = b;

    return slice_compare(x->name, y->name);
}

static void read_attributes(struct reading *r, const struct field *field, const struct json_value *value,
                            const struct json_path *at)
{
    (void)field;
    if (value->kind != JSON_IN_OBJECT) {
        faults_add(r->faults, at, "must be an object");
        return;
    }
    if (value->children.count > TXN_ATTRIBUTES_MAX) {
        faults_add(r->faults, at, "has %zu members, at most %d are allowed", value->children.count,
                   TXN_ATTRIBUTES_MAX);
        return;
    }
    r->txn->attributes = arena_new(r->faults->arena, struct txn_attribute, value->children.count);
    for (const struct json_value *each = value->children.first; each; each = each->next) {
        struct slice name = arena_slice(r->faults->arena, each->key);
        struct json_path here = { .up = at, .key = name.ptr };
        struct txn_attribute *a = &r->txn->attributes[r->txn->attribute_count];

        if (each->kind == JSON_IN_NULL && attribute_name_is_sound(name))
            continue; /* null is absent */
        if (read_attribute(r, name, each, &here, a)) {
            a->name = name;
            r->txn->attribute_count++;
        } else {
            *a = (struct txn_attribute){ 0 };
        }
    }
    if (r->txn->attribute_count > 1)
        qsort(r->txn->attributes, r->txn->attribute_count, sizeof *r->txn->attributes, by_name);
}

/* ---- labels ---- */

static void read_is_fraud(struct reading *r, const struct field *field, const struct json_value *value,
                          const struct json_path *at)
{
    (void)field;
    if (value->kind != JSON_IN_TRUE && value->kind != JSON_IN_FALSE)
        faults_add(r->faults, at, "must be true or false");
    r->label->is_fraud = value->kind == JSON_IN_TRUE;
}

static void read_source(struct reading *r, const struct field *field, const struct json_value *value,
                        const struct json_path *at)
{
    enum label_source source = label_source_find(json_text(value));

    (void)field;
    if (source == LABEL_SOURCE_COUNT)
        faults_add(r->faults, at, "must be one of \"customer\", \"analyst\", \"issuer\", \"chargeback\"");
    else
        r->label->source = source;
}

/* ---- objects ---- */

/* clang-format off */
#define NAME(literal) literal, sizeof literal - 1
static const struct field txn_fields[] = {
    { NAME("transaction_id"), read_id,          true,  0         },
    { NAME("occurred_at"),    read_occurred_at, true,  0         },
    { NAME("amount"),         read_amount,      true,  0         },
    { NAME("currency"),       read_currency,    true,  0         },
    { NAME("known_at"),       read_known_at,    false, 0         },
    { NAME("lat"),            read_lat,         false, 0         },
    { NAME("lon"),            read_lon,         false, 0         },
    { NAME("attributes"),     read_attributes,  false, 0         },
#define TXN_TEXT_FIELD(field, max, meaning) { NAME(#field), read_text, TXN_##field == TXN_customer_id, TXN_##field },
    TXN_TEXT_FIELDS(TXN_TEXT_FIELD)
#undef TXN_TEXT_FIELD
};

static const struct field label_fields[] = {
    { NAME("transaction_id"), read_id,          true,  0 },
    { NAME("is_fraud"),       read_is_fraud,    true,  0 },
    { NAME("source"),         read_source,      true,  0 },
    { NAME("labelled_at"),    read_labelled_at, true,  0 },
    { NAME("known_at"),       read_known_at,    false, 0 },
};
#undef NAME
/* clang-format on */

static_assert(ARRAY_LEN(txn_fields) <= 32, "a bit per field fits");

/* How many single-character changes turn `a` into `b` (Levenshtein); names longer than the row count as far.
 */
static size_t distance(struct slice a, struct slice b)
{
    size_t row[32];

    if (b.len >= ARRAY_LEN(row) || a.len >= ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t changed = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]), least = changed;

            if (row[j] + 1 < least)
                least = row[j] + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = least;
        }
    }
    return row[b.len];
}

/* The field whose name someone most likely meant. */
static const char *nearest(const struct field *fields, size_t count, struct slice name)
{
    const char *best = NULL;
    size_t least = name.len / 3 + 2; /* one change in three letters, and never nothing */

    for (size_t i = 0; i < count; i++) {
        struct slice field = slice_str(fields[i].name);
        size_t longer = name.len > field.len ? name.len - field.len : field.len - name.len, far;

        if (longer >= least)
            continue; /* so many changes at least */
        far = distance(name, field);
        if (far < least) {
            least = far;
            best = fields[i].name;
        }
    }
    return best;
}

/* Whatever is inside of it, what is not ours to read is still guarded. */
static bool tree_holds_card_number(const struct json_value *value)
{
    if (value->kind == JSON_IN_TEXT)
        return pan_find(value->text, NULL);
    if (value->kind == JSON_IN_INTEGER)
        return pan_in_integer(value->integer);
    if (value->kind != JSON_IN_OBJECT && value->kind != JSON_IN_ARRAY)
        return false;
    for (const struct json_value *each = value->children.first; each; each = each->next)
        if (pan_find(each->key, NULL) || tree_holds_card_number(each))
            return true;
    return false;
}

static void refuse_unknown(struct reading *r, const struct field *fields, size_t count,
                           const struct json_value *value)
{
    struct slice name = arena_slice(r->faults->arena, value->key);
    struct json_path at = { .up = r->at, .key = name.ptr };
    /* Nobody is told: then the guess, which costs most of all here, is not made. */
    const char *meant = faults_are_many(r->faults) ? NULL : nearest(fields, count, name);

    if (pan_find(name, NULL) || tree_holds_card_number(value))
        faults_add(r->faults, &at, "%s", card_fault);
    if (meant)
        faults_add(r->faults, &at, "there is no such field; did you mean \"%s\"?", meant);
    else if (r->txn)
        faults_add(r->faults, &at, "there is no such field; what a deployment adds goes into \"attributes\"");
    else
        faults_add(r->faults, &at, "there is no such field");
}

static size_t find_field(const struct field *fields, size_t count, struct slice name)
{
    size_t i = 0;

    while (i < count && (fields[i].len != name.len || memcmp(fields[i].name, name.ptr, name.len) != 0))
        i++;
    return i;
}

static bool read_object(struct reading *r, const struct field *fields, size_t count,
                        const struct json_value *value)
{
    size_t before = r->faults->count + r->faults->untold;
    uint32_t seen = 0;

    if (value->kind != JSON_IN_OBJECT) {
        faults_add(r->faults, r->at, "must be an object");
        return false;
    }
    for (const struct json_value *each = value->children.first; each; each = each->next) {
        size_t i = find_field(fields, count, each->key);
        struct json_path at = { .up = r->at, .key = i < count ? fields[i].name : NULL };

        if (i == count) {
            refuse_unknown(r, fields, count, each);
        } else if (each->kind != JSON_IN_NULL) {
            seen |= UINT32_C(1) << i;
            fields[i].read(r, &fields[i], each, &at);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct json_path at = { .up = r->at, .key = fields[i].name };
        bool is_clock = fields[i].read == read_known_at && r->rules->is_simulated;

        if ((fields[i].is_required || is_clock) && !(seen >> i & 1))
            faults_add(r->faults, &at,
                       is_clock ? "is required: this account is on a simulated clock" : "is required");
    }
    check_window(r);
    if (r->txn) {
        check_place(r);
        convert_amount(r);
    }
    return r->faults->count + r->faults->untold == before;
}

bool txn_from_json(struct txn *txn, const struct json_value *value, const struct txn_rules *rules,
                   const struct json_path *at, struct faults *faults)
{
    struct reading r = { .rules = rules, .faults = faults, .at = at, .txn = txn };

    *txn = (struct txn){
        .account = rules->account,
        .occurred_at_us = INT64_MIN,
        .known_at_us = rules->now_us,
        .amount_minor = -1,
    };
    return read_object(&r, txn_fields, ARRAY_LEN(txn_fields), value);
}

bool label_from_json(struct label *label, const struct json_value *value, const struct txn_rules *rules,
                     const struct json_path *at, struct faults *faults)
{
    struct reading r = { .rules = rules, .faults = faults, .at = at, .label = label };

    *label = (struct label){
        .account = rules->account,
        .labelled_at_us = INT64_MIN,
        .known_at_us = rules->now_us,
    };
    return read_object(&r, label_fields, ARRAY_LEN(label_fields), value);
}

void txn_to_json(struct json_out *o, const char *key, const struct txn *txn, bool is_simulated)
{
    json_out_open(o, key);
    json_out_text(o, "transaction_id", txn->id);
    json_out_time(o, "occurred_at", txn->occurred_at_us);
    if (is_simulated)
        json_out_time(o, "known_at", txn->known_at_us);
    json_out_int(o, "amount", txn->amount_minor);
    json_out_text(o, "currency", txn->currency);
    for (size_t i = 0; i < TXN_TEXT_COUNT; i++) {
        if (txn->text[i].len)
            json_out_text(o, txn_text_name((enum txn_text)i), txn->text[i]);
    }
    if (txn->has_place) {
        json_out_number(o, "lat", txn->lat);
        json_out_number(o, "lon", txn->lon);
    }
    if (txn->attribute_count) {
        json_out_open(o, "attributes");
        for (size_t i = 0; i < txn->attribute_count; i++) {
            const struct txn_attribute *a = &txn->attributes[i];

            json_out_text_key(o, a->name);
            if (a->kind == ATTRIBUTE_NUMBER)
                json_out_number(o, NULL, a->number);
            else if (a->kind == ATTRIBUTE_TEXT)
                json_out_text(o, NULL, a->text);
            else
                json_out_bool(o, NULL, a->is_true);
        }
        json_out_end(o);
    }
    json_out_end(o);
}

void label_to_json(struct json_out *o, const char *key, const struct label *label, bool is_simulated)
{
    json_out_open(o, key);
    json_out_text(o, "transaction_id", label->transaction_id);
    json_out_bool(o, "is_fraud", label->is_fraud);
    json_out_str(o, "source", label_source_name(label->source));
    json_out_time(o, "labelled_at", label->labelled_at_us);
    if (is_simulated)
        json_out_time(o, "known_at", label->known_at_us);
    json_out_end(o);
}
