/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset/mapping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "fraud/money.h"

enum value_kind {
    VALUE_TEXT,
    VALUE_NUMBER,
    VALUE_BOOL,
    VALUE_SECONDS_BEFORE,
    VALUE_IPV4_NUMBER,
    VALUE_ROW_NUMBER
};

static const char *const kinds[] = {
    [VALUE_TEXT] = "text",
    [VALUE_NUMBER] = "number",
    [VALUE_BOOL] = "bool",
    [VALUE_SECONDS_BEFORE] = "seconds_before",
    [VALUE_IPV4_NUMBER] = "ipv4_number",
    [VALUE_ROW_NUMBER] = "row_number",
};

/* Where a value comes from. An empty column and an empty value: not in the mapping. */
struct source {
    struct slice column, value, prefix, format;
    enum value_kind kind;
    bool is_token;
    int64_t start_us, step_us; /* of a time that counts rows */
    size_t index;              /* of the column, once bound */
};

struct attribute_source {
    struct slice name;
    struct source source;
};

struct mapping {
    struct arena arena;
    struct source id, occurred_at, amount, currency, lat, lon, text[TXN_TEXT_COUNT];
    struct attribute_source *attributes;
    size_t attribute_count, attribute_cap;
    struct source label;
    struct slice fraud;
    enum label_source label_source;
    int64_t label_delay_us;
    struct hash_key key;
};

/* ---- reading the YAML ---- */

struct reader {
    yaml_document_t document;
    struct mapping *m;
    struct why *why;
};

static enum err fault(struct reader *r, const yaml_node_t *node, const char *text)
{
    return err_set(r->why, ERR_INVALID, "line %zu: %s", node->start_mark.line + 1, text);
}

static struct slice scalar(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE)
        return (struct slice){ 0 };
    return slice_of(node->data.scalar.value, node->data.scalar.length);
}

/* One member of a mapping node; NULL past the end. */
static const yaml_node_t *member(struct reader *r, const yaml_node_t *node, size_t i, struct slice *key)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start + i;

    if (pair >= node->data.mapping.pairs.top)
        return NULL;
    *key = scalar(yaml_document_get_node(&r->document, pair->key));
    return yaml_document_get_node(&r->document, pair->value);
}

bool duration_parse(struct slice text, int64_t *us)
{
    static const struct {
        char unit;
        int64_t us;
    } units[] = { { 's', SECOND_US }, { 'm', MINUTE_US }, { 'h', HOUR_US }, { 'd', DAY_US } };
    int64_t number;

    if (text.len < 2 || !slice_to_i64(slice_of(text.ptr, text.len - 1), &number) || number < 0 ||
        number > 1000000000)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (units[i].unit == text.ptr[text.len - 1]) {
            *us = number * units[i].us;
            return true;
        }
    }
    return false;
}

static bool read_bool(struct slice text, bool *out)
{
    *out = slice_eq_str(text, "true");
    return *out || slice_eq_str(text, "false");
}

/* One key of a source; false when its value cannot be read, *is_known when the key is one. */
static bool source_key(struct mapping *m, struct source *s, struct slice key, struct slice text,
                       bool *is_known)
{
    struct {
        const char *key;
        struct slice *into;
    } texts[] = {
        { "column", &s->column },
        { "value", &s->value },
        { "prefix", &s->prefix },
        { "format", &s->format },
    };

    *is_known = true;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (slice_eq_str(key, texts[i].key)) {
            *texts[i].into = arena_slice(&m->arena, text);
            return text.len > 0;
        }
    }
    if (slice_eq_str(key, "token"))
        return read_bool(text, &s->is_token);
    if (slice_eq_str(key, "start"))
        return rfc3339_parse(text, &s->start_us);
    if (slice_eq_str(key, "step"))
        return duration_parse(text, &s->step_us);
    if (slice_eq_str(key, "kind")) {
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            if (slice_eq_str(text, kinds[i])) {
                s->kind = (enum value_kind)i;
                return true;
            }
        }
        return false;
    }
    *is_known = false;
    return true;
}

/* `label` has keys of its own besides those of a source. */
static bool label_key(struct mapping *m, struct slice key, struct slice text, bool *is_known)
{
    *is_known = true;
    if (slice_eq_str(key, "fraud")) {
        m->fraud = arena_slice(&m->arena, text);
        return text.len > 0;
    }
    if (slice_eq_str(key, "source")) {
        m->label_source = label_source_find(text);
        return m->label_source != LABEL_SOURCE_COUNT;
    }
    if (slice_eq_str(key, "delay"))
        return duration_parse(text, &m->label_delay_us);
    *is_known = false;
    return true;
}

static bool is_given(const struct source *s)
{
    return s->column.len || s->value.len || s->step_us || s->kind == VALUE_ROW_NUMBER;
}

static enum err read_source(struct reader *r, const yaml_node_t *node, struct source *s)
{
    const yaml_node_t *value;
    struct slice key;

    if (node->type != YAML_MAPPING_NODE)
        return fault(r, node, "a field is {column: NAME} or {value: CONSTANT}");
    for (size_t i = 0; (value = member(r, node, i, &key)); i++) {
        bool is_known = false, is_good = true;

        if (value->type != YAML_SCALAR_NODE)
            return fault(r, value, "one value is expected here");
        if (s == &r->m->label)
            is_good = label_key(r->m, key, scalar(value), &is_known);
        if (!is_known)
            is_good = source_key(r->m, s, key, scalar(value), &is_known);
        if (!is_known)
            return fault(r, value,
                         "no such key; there are column value prefix token kind format start step "
                         "(and for a label fraud source delay)");
        if (!is_good)
            return fault(r, value, "this value cannot be read");
    }
    if (!is_given(s))
        return fault(r, node, "a field needs a column or a value");
    return ERR_OK;
}

static struct source *find_source(struct mapping *m, struct slice key)
{
    struct {
        const char *key;
        struct source *source;
    } fields[] = {
        { "transaction_id", &m->id }, { "occurred_at", &m->occurred_at },
        { "amount", &m->amount },     { "currency", &m->currency },
        { "lat", &m->lat },           { "lon", &m->lon },
        { "label", &m->label },
    };
    enum txn_text text = txn_text_find(key);

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (slice_eq_str(key, fields[i].key))
            return fields[i].source;
    return text == TXN_TEXT_COUNT ? NULL : &m->text[text];
}

static int compare_attributes(const void *a, const void *b)
{
    return slice_compare(((const struct attribute_source *)a)->name,
                         ((const struct attribute_source *)b)->name);
}

static enum err read_attributes(struct reader *r, const yaml_node_t *node)
{
    struct mapping *m = r->m;
    const yaml_node_t *value;
    struct slice key;

    if (node->type != YAML_MAPPING_NODE)
        return fault(r, node, "attributes are {name: {column: NAME}}");
    for (size_t i = 0; (value = member(r, node, i, &key)); i++) {
        struct attribute_source *a;
        enum err err;

        if (m->attribute_count == TXN_ATTRIBUTES_MAX || !key.len || key.len > TXN_ATTRIBUTE_NAME_MAX)
            return fault(r, value, "too many attributes, or a name that is empty or too long");
        ARRAY_RESERVE_ONE(m->attributes, m->attribute_count, m->attribute_cap);
        a = &m->attributes[m->attribute_count++];
        *a = (struct attribute_source){ .name = arena_slice(&m->arena, key) };
        err = read_source(r, value, &a->source);
        if (err)
            return err;
    }
    /* A transaction's attributes are sorted by name; so are those it is made from. */
    qsort(m->attributes, m->attribute_count, sizeof *m->attributes, compare_attributes);
    for (size_t i = 1; i < m->attribute_count; i++)
        if (slice_eq(m->attributes[i - 1].name, m->attributes[i].name))
            return fault(r, node, "an attribute is there twice");
    return ERR_OK;
}

static enum err read_mapping(struct reader *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(&r->document), *value;
    struct mapping *m = r->m;
    struct slice key;

    if (!root || root->type != YAML_MAPPING_NODE)
        return err_set(r->why, ERR_INVALID, "a mapping is `field: {column: NAME}` lines");
    for (size_t i = 0; (value = member(r, root, i, &key)); i++) {
        struct source *s = find_source(m, key);
        enum err err;

        if (slice_eq_str(key, "attributes"))
            err = read_attributes(r, value);
        else if (!s)
            err = fault(r, value, "no such field of a transaction");
        else if (is_given(s))
            err = fault(r, value, "this field is there twice");
        else
            err = read_source(r, value, s);
        if (err)
            return err;
    }
    if (!is_given(&m->id) || !is_given(&m->occurred_at) || !is_given(&m->amount) || !is_given(&m->currency) ||
        !is_given(&m->text[TXN_customer_id]))
        return fault(r, root, "transaction_id, occurred_at, amount, currency and customer_id are needed");
    if (m->lat.column.len && !m->lon.column.len)
        return fault(r, root, "lat needs lon");
    if (m->label.column.len && !m->fraud.len)
        return fault(r, root, "a label needs `fraud`: the text that means it");
    return ERR_OK;
}

enum err mapping_parse(struct mapping **out, struct slice yaml, struct why *why)
{
    struct mapping *m = mem_new(struct mapping);
    struct reader r = { .m = m, .why = why };
    yaml_parser_t parser;
    enum err err;

    *out = NULL;
    m->label_source = LABEL_CHARGEBACK;
    m->label_delay_us = 7 * DAY_US;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.ptr, yaml.len);
    if (yaml_parser_load(&parser, &r.document)) {
        err = read_mapping(&r);
        yaml_document_delete(&r.document);
    } else {
        err = err_set(why, ERR_SYNTAX, "line %zu, column %zu: %s", parser.problem_mark.line + 1,
                      parser.problem_mark.column + 1, parser.problem ? parser.problem : "not YAML");
    }
    yaml_parser_delete(&parser);
    if (err)
        mapping_free(m);
    else
        *out = m;
    return err;
}

void mapping_free(struct mapping *m)
{
    if (!m)
        return;
    arena_release(&m->arena);
    mem_free(m->attributes);
    mem_free(m);
}

/* ---- what it is about ---- */

/* Each source once, in a fixed order; NULL past the end. */
static struct source *source_at(struct mapping *m, size_t i)
{
    struct source *const fixed[] = { &m->id,  &m->occurred_at, &m->amount, &m->currency,
                                     &m->lat, &m->lon,         &m->label };

    if (i < ARRAY_LEN(fixed))
        return fixed[i];
    i -= ARRAY_LEN(fixed);
    if (i < TXN_TEXT_COUNT)
        return &m->text[i];
    i -= TXN_TEXT_COUNT;
    return i < m->attribute_count ? &m->attributes[i].source : NULL;
}

bool mapping_needs_key(const struct mapping *m)
{
    const struct source *s;

    for (size_t i = 0; (s = source_at((struct mapping *)m, i)); i++)
        if (s->is_token)
            return true;
    return false;
}

void mapping_set_key(struct mapping *m, const struct hash_key *key)
{
    m->key = *key;
}

int64_t mapping_label_delay_us(const struct mapping *m)
{
    return m->label_delay_us;
}

void mapping_set_label_delay(struct mapping *m, int64_t delay_us)
{
    m->label_delay_us = delay_us;
}

enum err mapping_bind(struct mapping *m, const struct slice *header, size_t count, struct why *why)
{
    struct source *s;

    for (size_t i = 0; (s = source_at(m, i)); i++) {
        size_t found = 0;

        if (!s->column.len)
            continue;
        for (size_t c = 0; c < count; c++) {
            struct slice name = header[c];

            if (c == 0 && slice_starts_with(name, SLICE("\xef\xbb\xbf")))
                name = slice_of(name.ptr + 3, name.len - 3); /* a byte-order mark */
            if (slice_eq(name, s->column)) {
                s->index = c;
                found++;
            }
        }
        if (found != 1)
            return err_set(why, ERR_INVALID, "column %.*s is %s", SLICE_ARG(s->column),
                           found ? "there twice" : "not in the file");
    }
    return ERR_OK;
}

/* ---- one record ---- */

struct record {
    const struct mapping *m;
    const struct slice *fields;
    uint64_t row;
    struct arena *arena;
    struct why *why;
};

static enum err bad(const struct record *r, const struct source *s, const char *what)
{
    return err_set(r->why, ERR_INVALID, "column %.*s is not %s", SLICE_ARG(s->column), what);
}

static struct slice trimmed(struct slice text)
{
    while (text.len && (*text.ptr == ' ' || *text.ptr == '\t'))
        text = slice_of(text.ptr + 1, text.len - 1);
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static struct slice raw(const struct record *r, const struct source *s)
{
    return s->column.len ? trimmed(r->fields[s->index]) : s->value;
}

/* A token of 16 letters, so that it can never be taken for a number of any kind. */
static struct slice token(const struct record *r, struct slice text)
{
    uint64_t hash = hash64(&r->m->key, text);
    char letters[16];

    for (size_t i = 0; i < sizeof letters; i++)
        letters[i] = (char)('a' + (hash >> (4 * i) & 15));
    return arena_printf(r->arena, "tok_%.16s", letters);
}

static enum err text_of(const struct record *r, const struct source *s, struct slice *out)
{
    struct slice text = raw(r, s);

    *out = (struct slice){ 0 };
    if (s->kind == VALUE_ROW_NUMBER)
        text = arena_printf(r->arena, "%llu", (unsigned long long)r->row);
    if (!text.len)
        return ERR_OK;
    if (s->kind == VALUE_IPV4_NUMBER) {
        double number;
        uint32_t ip;

        if (!slice_to_double(text, &number) || number < 0 || number >= 4294967296.0)
            return bad(r, s, "an IPv4 address as a number");
        ip = (uint32_t)number;
        text = arena_printf(r->arena, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
    }
    if (s->is_token)
        text = token(r, text);
    if (s->prefix.len)
        text = arena_printf(r->arena, "%.*s%.*s", SLICE_ARG(s->prefix), SLICE_ARG(text));
    if (!slice_is_utf8(text))
        return bad(r, s, "UTF-8");
    *out = text;
    return ERR_OK;
}

/* Takes `least` to `most` digits from the front of *text. */
static bool take_number(struct slice *text, size_t least, size_t most, int *out)
{
    size_t n = 0;

    *out = 0;
    while (n < most && n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9')
        *out = *out * 10 + (text->ptr[n++] - '0');
    *text = slice_of(text->ptr + n, text->len - n);
    return n >= least;
}

static bool read_civil(struct slice text, struct slice format, int64_t *at_us)
{
    int part[6] = { 1970, 1, 1, 0, 0, 0 }; /* YYYY MM DD hh mm ss */
    static const char letters[] = "YMDhms";
    static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    while (format.len) {
        const char *letter = strchr(letters, *format.ptr);
        size_t run = 1;

        if (!letter) {
            if (!text.len || *text.ptr != *format.ptr)
                return false;
            text = slice_of(text.ptr + 1, text.len - 1);
            format = slice_of(format.ptr + 1, format.len - 1);
            continue;
        }
        while (run < format.len && format.ptr[run] == *letter)
            run++;
        if (!take_number(&text, run, run == 1 ? 2 : run, &part[letter - letters]))
            return false;
        format = slice_of(format.ptr + run, format.len - run);
    }
    if (text.len || part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > days[part[1] - 1] ||
        part[3] > 23 || part[4] > 59 || part[5] > 59)
        return false;
    if (part[1] == 2 && part[2] == 29 && (part[0] % 4 || (part[0] % 100 == 0 && part[0] % 400)))
        return false;
    *at_us = civil_days(part[0], part[1], part[2]) * DAY_US + part[3] * HOUR_US + part[4] * MINUTE_US +
             part[5] * SECOND_US;
    return true;
}

static bool read_time(struct slice text, struct slice format, int64_t *at_us)
{
    const int64_t most = INT64_C(253402300799); /* the end of the year 9999 */
    double number;

    if (!format.len || slice_eq_str(format, "rfc3339"))
        return rfc3339_parse(text, at_us);
    if (slice_eq_str(format, "unix") || slice_eq_str(format, "unix_ms")) {
        double unit = format.len == 4 ? 1e6 : 1e3;

        if (!slice_to_double(text, &number) || fabs(number * unit) > (double)most * 1e6)
            return false;
        *at_us = llround(number * unit);
        return true;
    }
    return read_civil(text, format, at_us);
}

static enum err time_of(const struct record *r, const struct source *s, int64_t *at_us)
{
    if (s->step_us) {
        *at_us = s->start_us + (int64_t)r->row * s->step_us;
        return ERR_OK;
    }
    return read_time(raw(r, s), s->format, at_us) ? ERR_OK : bad(r, s, "a time of that format");
}

/* "12.95" with an exponent of 2 is 1295; digits beyond must be zeros or are rounded half away from zero. */
static bool read_amount(struct slice text, int exponent, int64_t *minor)
{
    double major, scaled;

    if (!slice_to_double(text, &major))
        return false;
    scaled = major * pow(10, exponent);
    if (fabs(scaled) > 1e15)
        return false;
    *minor = llround(scaled);
    return true;
}

static enum err attribute_of(const struct record *r, const struct attribute_source *a, const struct txn *txn,
                             struct txn_attribute *out, bool *is_there)
{
    const struct source *s = &a->source;
    struct slice text = raw(r, s);
    int64_t at_us;

    *is_there = text.len > 0;
    *out = (struct txn_attribute){ .name = a->name };
    if (!*is_there)
        return ERR_OK;
    switch (s->kind) {
    case VALUE_NUMBER:
        out->kind = ATTRIBUTE_NUMBER;
        return slice_to_double(text, &out->number) ? ERR_OK : bad(r, s, "a number");
    case VALUE_BOOL:
        out->kind = ATTRIBUTE_BOOL;
        out->is_true = slice_eq_str(text, "1") || slice_eq_str(text, "true");
        return out->is_true || slice_eq_str(text, "0") || slice_eq_str(text, "false")
                   ? ERR_OK
                   : bad(r, s, "true or false");
    case VALUE_SECONDS_BEFORE:
        out->kind = ATTRIBUTE_NUMBER;
        if (!read_time(text, s->format, &at_us))
            return bad(r, s, "a time of that format");
        out->number = (double)(txn->occurred_at_us - at_us) / 1e6;
        return ERR_OK;
    case VALUE_TEXT:
    case VALUE_IPV4_NUMBER:
    case VALUE_ROW_NUMBER:
        break;
    }
    out->kind = ATTRIBUTE_TEXT;
    return text_of(r, s, &out->text);
}

static enum err apply_label(const struct record *r, const struct txn *txn, struct label *label,
                            bool *has_label)
{
    struct slice text = r->m->label.column.len ? raw(r, &r->m->label) : (struct slice){ 0 };

    *has_label = text.len > 0;
    if (*has_label)
        *label = (struct label){
            .account = txn->account,
            .transaction_id = txn->id,
            .is_fraud = slice_eq(text, r->m->fraud),
            .source = r->m->label_source,
            .labelled_at_us = txn->occurred_at_us + r->m->label_delay_us,
            .known_at_us = txn->occurred_at_us + r->m->label_delay_us,
        };
    return ERR_OK;
}

static enum err apply_place(const struct record *r, struct txn *txn)
{
    const struct mapping *m = r->m;
    struct slice lat = raw(r, &m->lat), lon = raw(r, &m->lon);

    txn->has_place = lat.len && lon.len;
    if (!txn->has_place)
        return ERR_OK;
    if (!slice_to_double(lat, &txn->lat) || fabs(txn->lat) > 90)
        return bad(r, &m->lat, "a latitude");
    if (!slice_to_double(lon, &txn->lon) || fabs(txn->lon) > 180)
        return bad(r, &m->lon, "a longitude");
    return ERR_OK;
}

static enum err apply_attributes(const struct record *r, struct txn *txn)
{
    const struct mapping *m = r->m;

    txn->attributes = arena_new(r->arena, struct txn_attribute, m->attribute_count);
    for (size_t i = 0; i < m->attribute_count; i++) {
        bool is_there;
        enum err err =
            attribute_of(r, &m->attributes[i], txn, &txn->attributes[txn->attribute_count], &is_there);

        if (err)
            return err;
        txn->attribute_count += is_there;
    }
    return ERR_OK;
}

enum err mapping_apply(const struct mapping *m, const struct slice *fields, size_t count, uint64_t row,
                       uint32_t account, struct txn *txn, struct label *label, bool *has_label,
                       struct arena *arena, struct why *why)
{
    struct record r = { .m = m, .fields = fields, .row = row, .arena = arena, .why = why };
    const struct source *s;
    int exponent;
    enum err err;

    *txn = (struct txn){ .account = account };
    *has_label = false;
    for (size_t i = 0; (s = source_at((struct mapping *)m, i)); i++)
        if (s->column.len && s->index >= count)
            return err_set(why, ERR_INVALID, "column %.*s is missing: the line has %zu fields",
                           SLICE_ARG(s->column), count);
    err = text_of(&r, &m->id, &txn->id);
    if (!err)
        err = text_of(&r, &m->currency, &txn->currency);
    for (size_t i = 0; !err && i < TXN_TEXT_COUNT; i++)
        err = text_of(&r, &m->text[i], &txn->text[i]);
    if (err)
        return err;
    if (!txn->id.len)
        return bad(&r, &m->id, "an id: it is empty");
    exponent = currency_exponent(txn->currency);
    if (exponent < 0)
        return bad(&r, &m->currency, "a currency of ISO 4217");
    if (!read_amount(raw(&r, &m->amount), exponent, &txn->amount_minor))
        return bad(&r, &m->amount, "an amount");
    txn->amount_base_minor = txn->amount_minor;
    err = time_of(&r, &m->occurred_at, &txn->occurred_at_us);
    txn->known_at_us = txn->occurred_at_us;
    if (!err)
        err = apply_place(&r, txn);
    if (!err)
        err = apply_attributes(&r, txn);
    if (!err)
        err = apply_label(&r, txn, label, has_label);
    return err;
}
