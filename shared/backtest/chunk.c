/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest/chunk.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/mem.h"
#include "fraud/field.h"

static const char magic[8] = "ASSAYBT1";
static const struct hash_key sum_key = { "assay chunk sum" };
static const struct hash_key id_key = { "assay chunk id" };

enum { HEAD_BYTES = 32, ENTRY_BYTES = 128, CODES_MAX = 256 };

/* X(column, type) */
#define NUMBERS(X)                                                                                           \
    X(n, uint64_t)                                                                                           \
    X(known_at, int64_t)                                                                                     \
    X(decided_at, int64_t)                                                                                   \
    X(occurred_at, int64_t)                                                                                  \
    X(amount, int64_t)                                                                                       \
    X(amount_base, int64_t)                                                                                  \
    X(id_hash, uint64_t)                                                                                     \
    X(score, double)                                                                                         \
    X(p_allow, double)                                                                                       \
    X(lat, double)                                                                                           \
    X(lon, double)                                                                                           \
    X(account, uint32_t)

enum column {
#define NUMBER_ENUM(name, type) COLUMN_##name,
    NUMBERS(NUMBER_ENUM)
#undef NUMBER_ENUM
        COLUMN_flags,
    COLUMN_NUMBERS,
    COLUMN_id = COLUMN_NUMBERS,
    COLUMN_currency,
    COLUMN_attributes,
    COLUMN_ruleset,
    COLUMN_model,
    COLUMN_degraded,
    COLUMN_thresholds, /* three doubles, as bytes */
    COLUMN_TEXTS,      /* the transaction's */
    COLUMN_FEATURE = COLUMN_TEXTS + TXN_TEXT_COUNT,
    COLUMN_FIXED = COLUMN_FEATURE
};

static const size_t widths[COLUMN_NUMBERS] = {
#define NUMBER_WIDTH(name, type) sizeof(type),
    NUMBERS(NUMBER_WIDTH)
#undef NUMBER_WIDTH
        sizeof(uint16_t)
};

/* What of a row are single bits, and two small numbers. */
enum {
    FLAG_ACTION = 3,
    FLAG_DECIDER_SHIFT = 2, /* three bits */
    FLAG_HAS_SCORE = 1 << 5,
    FLAG_HAS_PLACE = 1 << 6,
    FLAG_LET_THROUGH = 1 << 7
};

/* As it lies in the file. */
struct entry {
    uint32_t column; /* COLUMN_FEATURE for every feature */
    uint32_t is_coded;
    uint64_t offset, bytes, sum;
    unsigned char identity[SHA256_BYTES];
    char name[CHUNK_NAME_MAX];
};
static_assert(sizeof(struct entry) == ENTRY_BYTES, "the directory has no holes");

uint64_t chunk_id_hash(uint32_t account, struct slice id)
{
    struct hash_key key = id_key;

    memcpy(key.bytes + 12, &account, sizeof account);
    return hash64(&key, id);
}

/* ================ building ================ */

/* Distinct texts, found by their hash. */
struct texts {
    uint16_t codes[CHUNK_ROWS_MAX];
    uint32_t *ends;
    size_t count, cap;
    struct buf bytes;
    uint32_t *table; /* code + 1 */
    size_t table_size;
};

struct feature_column {
    struct chunk_feature feature;
    float *values; /* [CHUNK_ROWS_MAX] */
};

struct chunk_builder {
    size_t rows;
#define NUMBER_MEMBER(name, type) type name[CHUNK_ROWS_MAX];
    NUMBERS(NUMBER_MEMBER)
#undef NUMBER_MEMBER
    uint16_t flags[CHUNK_ROWS_MAX];
    struct texts texts[COLUMN_FIXED - COLUMN_NUMBERS];
    struct feature_column *features;
    size_t feature_count, feature_cap;
    /* Where the features of the last vector went, which most vectors share. */
    const struct chunk_feature *last;
    size_t last_count;
    uint16_t *places;
    struct buf scratch;
};

struct chunk_builder *chunk_builder_new(void)
{
    return mem_new(struct chunk_builder);
}

static void builder_clear(struct chunk_builder *b)
{
    for (size_t i = 0; i < ARRAY_LEN(b->texts); i++) {
        mem_free(b->texts[i].ends);
        mem_free(b->texts[i].table);
        buf_release(&b->texts[i].bytes);
    }
    for (size_t i = 0; i < b->feature_count; i++)
        mem_free(b->features[i].values);
    mem_free(b->features);
    mem_free(b->places);
    buf_release(&b->scratch);
    memset(b, 0, sizeof *b);
}

void chunk_builder_free(struct chunk_builder *b)
{
    if (!b)
        return;
    builder_clear(b);
    mem_free(b);
}

static struct slice text_at(const char *bytes, const uint32_t *ends, size_t code)
{
    uint32_t begin = code ? ends[code - 1] : 0;

    return slice_of(bytes + begin, ends[code] - begin);
}

static size_t texts_place(const struct texts *t, struct slice text)
{
    size_t mask = t->table_size - 1, i = hash64(&sum_key, text) & mask;

    for (; t->table[i]; i = (i + 1) & mask) {
        if (slice_eq(text_at(t->bytes.data, t->ends, t->table[i] - 1), text))
            break;
    }
    return i;
}

static void texts_grow(struct texts *t)
{
    t->table_size = t->table_size ? 4 * t->table_size : 64;
    mem_free(t->table);
    t->table = mem_new_n(uint32_t, t->table_size);
    for (size_t i = 0; i < t->count; i++)
        t->table[texts_place(t, text_at(t->bytes.data, t->ends, i))] = (uint32_t)i + 1;
}

static void texts_add(struct texts *t, size_t row, struct slice text)
{
    size_t place;

    if (2 * t->count >= t->table_size)
        texts_grow(t);
    place = texts_place(t, text);
    if (!t->table[place]) {
        ARRAY_RESERVE_ONE(t->ends, t->count, t->cap);
        buf_add_slice(&t->bytes, text);
        t->ends[t->count++] = (uint32_t)t->bytes.len;
        t->table[place] = (uint32_t)t->count;
    }
    t->codes[row] = (uint16_t)(t->table[place] - 1);
}

/* name length, kind, name, then 8 bytes of a number, 1 of a bool, or 2 of a length and a text. */
static void write_attributes(struct buf *out, const struct txn *txn)
{
    for (size_t i = 0; i < txn->attribute_count; i++) {
        const struct txn_attribute *a = &txn->attributes[i];
        uint16_t len = (uint16_t)a->text.len;

        buf_add_char(out, (char)a->name.len);
        buf_add_char(out, (char)a->kind);
        buf_add_slice(out, a->name);
        if (a->kind == ATTRIBUTE_NUMBER) {
            buf_add(out, &a->number, sizeof a->number);
        } else if (a->kind == ATTRIBUTE_BOOL) {
            buf_add_char(out, (char)a->is_true);
        } else {
            buf_add(out, &len, sizeof len);
            buf_add_slice(out, a->text);
        }
    }
}

static void add_texts(struct chunk_builder *b, size_t i, const struct chunk_row *row)
{
    struct texts *texts = b->texts - COLUMN_NUMBERS;

    buf_clear(&b->scratch);
    write_attributes(&b->scratch, &row->txn);
    texts_add(&texts[COLUMN_attributes], i, buf_slice(&b->scratch));
    texts_add(&texts[COLUMN_id], i, row->txn.id);
    texts_add(&texts[COLUMN_currency], i, row->txn.currency);
    texts_add(&texts[COLUMN_ruleset], i, row->ruleset);
    texts_add(&texts[COLUMN_model], i, row->model);
    texts_add(&texts[COLUMN_degraded], i, row->degraded);
    texts_add(&texts[COLUMN_thresholds], i, slice_of(&row->thresholds, sizeof row->thresholds));
    for (size_t k = 0; k < TXN_TEXT_COUNT; k++)
        texts_add(&texts[COLUMN_TEXTS + k], i, row->txn.text[k]);
}

static uint16_t flags_of(const struct chunk_row *row)
{
    return (uint16_t)((unsigned)row->action | (unsigned)row->decider << FLAG_DECIDER_SHIFT |
                      (row->has_score ? FLAG_HAS_SCORE : 0) | (row->txn.has_place ? FLAG_HAS_PLACE : 0) |
                      (row->is_let_through ? FLAG_LET_THROUGH : 0));
}

/* A column of that definition and name, made when there is none; SIZE_MAX: there are too many. */
static size_t feature_place(struct chunk_builder *b, const struct chunk_feature *feature)
{
    for (size_t i = 0; i < b->feature_count; i++) {
        if (memcmp(b->features[i].feature.identity, feature->identity, SHA256_BYTES) == 0 &&
            strcmp(b->features[i].feature.name, feature->name) == 0)
            return i;
    }
    if (b->feature_count == CHUNK_FEATURES_MAX)
        return SIZE_MAX;
    ARRAY_RESERVE_ONE(b->features, b->feature_count, b->feature_cap);
    b->features[b->feature_count] =
        (struct feature_column){ .feature = *feature, .values = mem_new_n(float, CHUNK_ROWS_MAX) };
    for (size_t i = 0; i < CHUNK_ROWS_MAX; i++)
        b->features[b->feature_count].values[i] = NAN;
    return b->feature_count++;
}

static bool find_places(struct chunk_builder *b, const struct chunk_feature *features, size_t count)
{
    if (b->last == features && b->last_count == count)
        return true;
    mem_free(b->places);
    b->places = mem_new_n(uint16_t, count + 1);
    b->last = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t place = feature_place(b, &features[i]);

        if (place == SIZE_MAX)
            return false;
        b->places[i] = (uint16_t)place;
    }
    b->last = features;
    b->last_count = count;
    return true;
}

enum err chunk_builder_add(struct chunk_builder *b, const struct chunk_row *row,
                           const struct chunk_feature *features, const float *vector, size_t count,
                           struct why *why)
{
    size_t i = b->rows;

    if (i == CHUNK_ROWS_MAX)
        return err_set(why, ERR_TOO_LARGE, "a chunk has at most %d rows", CHUNK_ROWS_MAX);
    if (vector && !find_places(b, features, count))
        return err_set(why, ERR_TOO_LARGE, "more than %d features within one chunk", CHUNK_FEATURES_MAX);
    b->n[i] = row->n;
    b->known_at[i] = row->txn.known_at_us;
    b->decided_at[i] = row->decided_at_us;
    b->occurred_at[i] = row->txn.occurred_at_us;
    b->amount[i] = row->txn.amount_minor;
    b->amount_base[i] = row->txn.amount_base_minor;
    b->id_hash[i] = chunk_id_hash(row->txn.account, row->txn.id);
    b->score[i] = row->score;
    b->p_allow[i] = row->p_allow;
    b->lat[i] = row->txn.lat;
    b->lon[i] = row->txn.lon;
    b->account[i] = row->txn.account;
    b->flags[i] = flags_of(row);
    add_texts(b, i, row);
    for (size_t k = 0; vector && k < count; k++)
        b->features[b->places[k]].values[i] = vector[k];
    b->rows++;
    return ERR_OK;
}

/* ---- as bytes ---- */

static void align(struct buf *out, size_t to)
{
    static const char zeros[8];

    buf_add(out, zeros, (to - out->len % to) % to);
}

static void write_texts(struct buf *out, const struct texts *t, size_t rows)
{
    uint32_t count = (uint32_t)t->count;

    buf_add(out, t->codes, rows * sizeof *t->codes);
    align(out, 4);
    buf_add(out, &count, sizeof count);
    buf_add(out, t->ends, t->count * sizeof *t->ends);
    buf_add_slice(out, buf_slice(&t->bytes));
}

/* The bits of a float: two NaN are the same value here, and -0 is not 0. */
static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* As codes, where there are few values. False, and nothing is written, where there are many. */
static bool write_coded(struct buf *out, const float *values, size_t rows)
{
    uint16_t table[4 * CODES_MAX] = { 0 };
    float distinct[CODES_MAX];
    uint32_t count = 0;
    uint8_t *codes = mem_new_n(uint8_t, rows + 1);

    for (size_t i = 0; i < rows; i++) {
        uint32_t place = (bits_of(values[i]) * 2654435761u) >> 22;

        while (table[place] && bits_of(distinct[table[place] - 1]) != bits_of(values[i]))
            place = (place + 1) % ARRAY_LEN(table);
        if (!table[place]) {
            if (count == CODES_MAX) {
                mem_free(codes);
                return false;
            }
            distinct[count++] = values[i];
            table[place] = (uint16_t)count;
        }
        codes[i] = (uint8_t)(table[place] - 1);
    }
    buf_add(out, &count, sizeof count);
    buf_add(out, distinct, count * sizeof *distinct);
    buf_add(out, codes, rows);
    mem_free(codes);
    return true;
}

static void write_column(struct chunk_builder *b, struct buf *out, size_t column, struct entry *entry)
{
    static const size_t offsets[COLUMN_NUMBERS] = {
#define NUMBER_OFFSET(name, type) offsetof(struct chunk_builder, name),
        NUMBERS(NUMBER_OFFSET)
#undef NUMBER_OFFSET
            offsetof(struct chunk_builder, flags)
    };

    align(out, 8);
    entry->offset = out->len;
    entry->column = (uint32_t)(column < COLUMN_FEATURE ? column : COLUMN_FEATURE);
    if (column < COLUMN_NUMBERS) {
        buf_add(out, (const char *)b + offsets[column], b->rows * widths[column]);
    } else if (column < COLUMN_FEATURE) {
        write_texts(out, &b->texts[column - COLUMN_NUMBERS], b->rows);
    } else {
        const struct feature_column *f = &b->features[column - COLUMN_FEATURE];

        memcpy(entry->identity, f->feature.identity, SHA256_BYTES);
        memcpy(entry->name, f->feature.name, strlen(f->feature.name));
        entry->is_coded = write_coded(out, f->values, b->rows);
        if (!entry->is_coded)
            buf_add(out, f->values, b->rows * sizeof *f->values);
    }
    entry->bytes = out->len - entry->offset;
    entry->sum = hash64(&sum_key, slice_of(out->data + entry->offset, entry->bytes));
}

void chunk_builder_end(struct chunk_builder *b, struct buf *out)
{
    uint32_t sizes[2] = { (uint32_t)b->rows, (uint32_t)(COLUMN_FIXED + b->feature_count) };
    struct entry *entries = mem_new_n(struct entry, sizes[1]);
    uint64_t tail[2];
    struct slice directory = slice_of(entries, sizes[1] * sizeof *entries);

    memset(buf_reserve(out, HEAD_BYTES + directory.len), 0, HEAD_BYTES + directory.len);
    buf_commit(out, HEAD_BYTES + directory.len);
    for (size_t i = 0; i < sizes[1]; i++)
        write_column(b, out, i, &entries[i]);
    align(out, 8);
    tail[0] = out->len;
    tail[1] = hash64(&sum_key, directory);
    memcpy(out->data, magic, sizeof magic);
    memcpy(out->data + 8, sizes, sizeof sizes);
    memcpy(out->data + 16, tail, sizeof tail);
    memcpy(out->data + HEAD_BYTES, directory.ptr, directory.len);
    mem_free(entries);
    builder_clear(b);
}

/* ================ reading ================ */

struct text_view {
    bool is_ready;
    const uint16_t *codes;
    const uint32_t *ends;
    const char *bytes;
};

struct feature_view {
    struct entry entry;
    bool is_ready;
    const float *values;
    const uint8_t *codes; /* NULL: the values are the rows' */
    char name[CHUNK_NAME_MAX + 1];
};

struct degraded {
    struct slice parts[CHUNK_DEGRADED_MAX];
    size_t count;
};

struct chunk {
    struct slice bytes;
    size_t rows;
    uint64_t identity;
    struct entry fixed[COLUMN_FIXED];
#define NUMBER_VIEW(name, type) const type *name;
    NUMBERS(NUMBER_VIEW)
#undef NUMBER_VIEW
    const uint16_t *flags;
    struct text_view texts[COLUMN_FIXED - COLUMN_NUMBERS];
    struct feature_view *features;
    size_t feature_count;
    struct degraded *degraded; /* by code */
    bool has_texts[TXN_TEXT_COUNT], has_id, has_currency, has_attributes;
};

static enum err damaged(struct why *why, const char *what)
{
    return err_set(why, ERR_INVALID, "not a whole chunk of history: %s", what);
}

static struct slice column_bytes(const struct chunk *c, const struct entry *e)
{
    return slice_of(c->bytes.ptr + e->offset, e->bytes);
}

static bool is_sound(const struct chunk *c, const struct entry *e)
{
    return hash64(&sum_key, column_bytes(c, e)) == e->sum;
}

static enum err open_texts(struct chunk *c, size_t column, struct why *why)
{
    struct text_view *view = &c->texts[column - COLUMN_NUMBERS];
    const struct entry *e = &c->fixed[column];
    size_t codes_bytes = (c->rows * sizeof(uint16_t) + 3) / 4 * 4;
    const char *at = c->bytes.ptr + e->offset;
    uint32_t count, bytes;

    if (view->is_ready)
        return ERR_OK;
    if (!is_sound(c, e) || e->bytes < codes_bytes + sizeof count)
        return damaged(why, "a column of texts");
    view->codes = (const uint16_t *)(const void *)at;
    memcpy(&count, at + codes_bytes, sizeof count);
    if (count > c->rows || e->bytes < codes_bytes + sizeof count + count * sizeof(uint32_t))
        return damaged(why, "a column of texts");
    view->ends = (const uint32_t *)(const void *)(at + codes_bytes + sizeof count);
    view->bytes = at + codes_bytes + sizeof count + count * sizeof(uint32_t);
    bytes = (uint32_t)(e->bytes - (codes_bytes + sizeof count + count * sizeof(uint32_t)));
    for (size_t i = 0; i < count; i++) {
        if (view->ends[i] > bytes || (i && view->ends[i] < view->ends[i - 1]))
            return damaged(why, "a column of texts");
    }
    for (size_t i = 0; i < c->rows; i++) {
        if (view->codes[i] >= count)
            return damaged(why, "a column of texts");
    }
    view->is_ready = true;
    return ERR_OK;
}

static enum err open_numbers(struct chunk *c, struct why *why)
{
    const void *at[COLUMN_NUMBERS];

    for (size_t i = 0; i < COLUMN_NUMBERS; i++) {
        if (c->fixed[i].bytes != c->rows * widths[i] || !is_sound(c, &c->fixed[i]))
            return damaged(why, "a column of numbers");
        at[i] = c->bytes.ptr + c->fixed[i].offset;
    }
#define NUMBER_AT(name, type) c->name = at[COLUMN_##name];
    NUMBERS(NUMBER_AT)
#undef NUMBER_AT
    c->flags = at[COLUMN_flags];
    return ERR_OK;
}

static void split_degraded(struct degraded *d, struct slice text)
{
    while (text.len && d->count < CHUNK_DEGRADED_MAX) {
        const char *space = memchr(text.ptr, ' ', text.len);
        size_t len = space ? (size_t)(space - text.ptr) : text.len;

        d->parts[d->count++] = slice_of(text.ptr, len);
        len += space != NULL;
        text = slice_of(text.ptr + len, text.len - len);
    }
}

static size_t text_count(const struct chunk *c, size_t column)
{
    uint32_t count;

    memcpy(&count, (const char *)c->texts[column - COLUMN_NUMBERS].ends - sizeof count, sizeof count);
    return count;
}

static struct slice text_of(const struct chunk *c, size_t column, size_t row)
{
    const struct text_view *view = &c->texts[column - COLUMN_NUMBERS];

    return text_at(view->bytes, view->ends, view->codes[row]);
}

static enum err open_always(struct chunk *c, struct why *why)
{
    static const size_t always[] = { COLUMN_ruleset, COLUMN_model, COLUMN_degraded, COLUMN_thresholds };
    const struct text_view *view = &c->texts[COLUMN_degraded - COLUMN_NUMBERS];
    enum err err = open_numbers(c, why);

    for (size_t i = 0; i < ARRAY_LEN(always) && !err; i++)
        err = open_texts(c, always[i], why);
    if (err)
        return err;
    c->degraded = mem_new_n(struct degraded, text_count(c, COLUMN_degraded) + 1);
    for (size_t i = 0; i < text_count(c, COLUMN_degraded); i++)
        split_degraded(&c->degraded[i], text_at(view->bytes, view->ends, i));
    return ERR_OK;
}

static enum err open_directory(struct chunk *c, size_t columns, struct why *why)
{
    size_t begin = HEAD_BYTES + columns * ENTRY_BYTES;

    c->features = mem_new_n(struct feature_view, columns - COLUMN_FIXED + 1);
    for (size_t i = 0; i < columns; i++) {
        struct entry e;

        memcpy(&e, c->bytes.ptr + HEAD_BYTES + i * ENTRY_BYTES, sizeof e);
        if (e.offset % 8 || e.offset < begin || e.offset > c->bytes.len ||
            e.bytes > c->bytes.len - e.offset || e.column != (i < COLUMN_FIXED ? i : COLUMN_FEATURE))
            return damaged(why, "its directory");
        if (i < COLUMN_FIXED) {
            c->fixed[i] = e;
            continue;
        }
        c->features[c->feature_count].entry = e;
        memcpy(c->features[c->feature_count].name, e.name, sizeof e.name);
        c->feature_count++;
    }
    return open_always(c, why);
}

enum err chunk_open(struct chunk **out, struct slice bytes, struct why *why)
{
    uint32_t sizes[2];
    uint64_t tail[2];
    enum err err;

    *out = NULL;
    if (bytes.len < HEAD_BYTES || memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return damaged(why, "its head");
    memcpy(sizes, bytes.ptr + 8, sizeof sizes);
    memcpy(tail, bytes.ptr + 16, sizeof tail);
    if (sizes[0] > CHUNK_ROWS_MAX || sizes[1] < COLUMN_FIXED ||
        sizes[1] > COLUMN_FIXED + CHUNK_FEATURES_MAX || tail[0] != bytes.len ||
        (bytes.len - HEAD_BYTES) / ENTRY_BYTES < sizes[1] ||
        hash64(&sum_key, slice_of(bytes.ptr + HEAD_BYTES, (size_t)sizes[1] * ENTRY_BYTES)) != tail[1])
        return damaged(why, "its head");
    *out = mem_new(struct chunk);
    (*out)->bytes = bytes;
    (*out)->rows = sizes[0];
    (*out)->identity = tail[1];
    err = open_directory(*out, sizes[1], why);
    if (err) {
        chunk_close(*out);
        *out = NULL;
    }
    return err;
}

void chunk_close(struct chunk *c)
{
    if (!c)
        return;
    mem_free(c->features);
    mem_free(c->degraded);
    mem_free(c);
}

size_t chunk_rows(const struct chunk *c)
{
    return c->rows;
}

uint64_t chunk_identity(const struct chunk *c)
{
    return c->identity;
}

size_t chunk_feature_count(const struct chunk *c)
{
    return c->feature_count;
}

const char *chunk_feature_name(const struct chunk *c, size_t feature, const unsigned char **identity)
{
    if (identity)
        *identity = c->features[feature].entry.identity;
    return c->features[feature].name;
}

void chunk_rulesets(const struct chunk *c, void (*each)(void *context, struct slice version), void *context)
{
    const struct text_view *view = &c->texts[COLUMN_ruleset - COLUMN_NUMBERS];

    for (size_t i = 0; i < text_count(c, COLUMN_ruleset); i++)
        each(context, text_at(view->bytes, view->ends, i));
}

/* ---- what is wanted ---- */

static enum err want(struct chunk *c, bool is_wanted, size_t column, bool *has, struct why *why)
{
    enum err err = is_wanted ? open_texts(c, column, why) : ERR_OK;

    *has = *has || (is_wanted && !err);
    return err;
}

/* Whether the attributes of all rows can be read, so that chunk_row() need not ask. */
static enum err check_attributes(const struct chunk *c, struct why *why);

enum err chunk_want(struct chunk *c, const struct chunk_wants *wants, struct why *why)
{
    bool had_attributes = c->has_attributes;
    enum err err = want(c, wants->id, COLUMN_id, &c->has_id, why);

    if (!err)
        err = want(c, wants->currency, COLUMN_currency, &c->has_currency, why);
    if (!err)
        err = want(c, wants->attributes, COLUMN_attributes, &c->has_attributes, why);
    if (!err && c->has_attributes && !had_attributes)
        err = check_attributes(c, why);
    for (size_t i = 0; i < TXN_TEXT_COUNT && !err; i++)
        err = want(c, wants->texts[i], COLUMN_TEXTS + i, &c->has_texts[i], why);
    return err;
}

static enum err open_coded(struct chunk *c, struct feature_view *f, struct why *why)
{
    const char *at = c->bytes.ptr + f->entry.offset;
    uint32_t count;

    if (f->entry.bytes < sizeof count)
        return damaged(why, "a feature");
    memcpy(&count, at, sizeof count);
    if (count > CODES_MAX || f->entry.bytes != sizeof count + count * sizeof(float) + c->rows)
        return damaged(why, "a feature");
    f->values = (const float *)(const void *)(at + sizeof count);
    f->codes = (const uint8_t *)at + sizeof count + count * sizeof(float);
    for (size_t i = 0; i < c->rows; i++) {
        if (f->codes[i] >= count)
            return damaged(why, "a feature");
    }
    return ERR_OK;
}

enum err chunk_want_feature(struct chunk *c, size_t feature, struct why *why)
{
    struct feature_view *f = &c->features[feature];
    enum err err = ERR_OK;

    if (f->is_ready)
        return ERR_OK;
    if (!is_sound(c, &f->entry))
        return damaged(why, "a feature");
    if (f->entry.is_coded)
        err = open_coded(c, f, why);
    else if (f->entry.bytes != c->rows * sizeof(float))
        err = damaged(why, "a feature");
    else
        f->values = (const float *)(const void *)(c->bytes.ptr + f->entry.offset);
    f->is_ready = !err;
    return err;
}

/* ---- rows ---- */

/* Takes `len` bytes from the front; false when there are fewer. */
static bool take(struct slice *from, void *to, size_t len)
{
    if (from->len < len)
        return false;
    memcpy(to, from->ptr, len);
    *from = slice_of(from->ptr + len, from->len - len);
    return true;
}

static bool take_text(struct slice *from, size_t len, struct slice *out)
{
    if (from->len < len)
        return false;
    *out = slice_of(from->ptr, len);
    *from = slice_of(from->ptr + len, from->len - len);
    return true;
}

static bool take_attribute(struct slice *from, struct txn_attribute *a)
{
    uint8_t head[2], is_true;
    uint16_t len;

    *a = (struct txn_attribute){ 0 };
    if (!take(from, head, sizeof head) || !take_text(from, head[0], &a->name))
        return false;
    a->kind = (enum attribute_kind)head[1];
    switch (a->kind) {
    case ATTRIBUTE_NUMBER:
        return take(from, &a->number, sizeof a->number);
    case ATTRIBUTE_TEXT:
        return take(from, &len, sizeof len) && take_text(from, len, &a->text);
    case ATTRIBUTE_BOOL:
        if (!take(from, &is_true, sizeof is_true))
            return false;
        a->is_true = is_true != 0;
        return true;
    }
    return false;
}

static enum err check_attributes(const struct chunk *c, struct why *why)
{
    const struct text_view *view = &c->texts[COLUMN_attributes - COLUMN_NUMBERS];

    for (size_t i = 0; i < text_count(c, COLUMN_attributes); i++) {
        struct slice text = text_at(view->bytes, view->ends, i);
        struct txn_attribute a;
        size_t count = 0;

        while (text.len && count <= TXN_ATTRIBUTES_MAX && take_attribute(&text, &a))
            count++;
        if (text.len)
            return damaged(why, "attributes");
    }
    return ERR_OK;
}

static void read_attributes(struct slice text, struct arena *arena, struct txn *txn)
{
    if (!text.len)
        return;
    txn->attributes = arena_new(arena, struct txn_attribute, TXN_ATTRIBUTES_MAX + 1);
    while (text.len && txn->attribute_count <= TXN_ATTRIBUTES_MAX &&
           take_attribute(&text, &txn->attributes[txn->attribute_count]))
        txn->attribute_count++;
}

static void read_txn(const struct chunk *c, size_t i, struct arena *arena, struct txn *txn)
{
    txn->account = c->account[i];
    txn->occurred_at_us = c->occurred_at[i];
    txn->known_at_us = c->known_at[i];
    txn->amount_minor = c->amount[i];
    txn->amount_base_minor = c->amount_base[i];
    txn->has_place = c->flags[i] & FLAG_HAS_PLACE;
    txn->lat = c->lat[i];
    txn->lon = c->lon[i];
    if (c->has_id)
        txn->id = text_of(c, COLUMN_id, i);
    if (c->has_currency)
        txn->currency = text_of(c, COLUMN_currency, i);
    if (c->has_attributes)
        read_attributes(text_of(c, COLUMN_attributes, i), arena, txn);
    for (size_t k = 0; k < TXN_TEXT_COUNT; k++) {
        if (c->has_texts[k])
            txn->text[k] = text_of(c, COLUMN_TEXTS + k, i);
    }
}

void chunk_row(const struct chunk *c, size_t i, struct arena *arena, struct chunk_row *out)
{
    struct slice thresholds = text_of(c, COLUMN_thresholds, i);

    *out = (struct chunk_row){ .decided_at_us = c->decided_at[i],
                               .n = c->n[i],
                               .has_score = c->flags[i] & FLAG_HAS_SCORE,
                               .score = c->score[i],
                               .thresholds = { 2, 2, 2 },
                               .action = (enum action)(c->flags[i] & FLAG_ACTION),
                               .decider = (enum policy_decider)(c->flags[i] >> FLAG_DECIDER_SHIFT & 7),
                               .is_let_through = c->flags[i] & FLAG_LET_THROUGH,
                               .p_allow = c->p_allow[i],
                               .ruleset = text_of(c, COLUMN_ruleset, i),
                               .model = text_of(c, COLUMN_model, i),
                               .degraded = text_of(c, COLUMN_degraded, i) };
    if (thresholds.len == sizeof out->thresholds)
        memcpy(&out->thresholds, thresholds.ptr, sizeof out->thresholds);
    read_txn(c, i, arena, &out->txn);
}

float chunk_feature_value(const struct chunk *c, size_t feature, size_t i)
{
    const struct feature_view *f = &c->features[feature];

    return f->values[f->codes ? f->codes[i] : i];
}

uint64_t chunk_row_id_hash(const struct chunk *c, size_t i)
{
    return c->id_hash[i];
}

int64_t chunk_known_at(const struct chunk *c, size_t i)
{
    return c->known_at[i];
}

uint32_t chunk_account(const struct chunk *c, size_t i)
{
    return c->account[i];
}

size_t chunk_degraded(const struct chunk *c, size_t i, const struct slice **parts)
{
    const struct degraded *d = &c->degraded[c->texts[COLUMN_degraded - COLUMN_NUMBERS].codes[i]];

    *parts = d->parts;
    return d->count;
}
