/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <sodium.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "fraud/api_key.h"
#include "ingestion.h"
#include "log/log.h"

enum {
    BUCKETS = 256,
    READ_EVERY_US = 2000000,
    READ_TIME_US = 2000000,
    READ_PAUSE_US = 50000,    /* between two readings, however many unknown keys are shown */
    PREFIX_AT = 3,            /* behind "ak_" */
    NOTE_EVERY_US = 60000000, /* uses are written down */
    REFUSED_US = 2000000,     /* how long a key that was not there is refused without looking */
};

struct keys {
    struct ingestion *in;
    unsigned char tag_key[crypto_shorthash_siphashx24_KEYBYTES];
    struct caller *buckets[BUCKETS];
    bool is_known, is_reading, read_again;
    int64_t began_mono_us; /* the last reading */
    int64_t noted_mono_us; /* when uses were written down last */
    struct loop_timer timer;
    struct keys_waiter *waiters, *later; /* for this reading, and for one that begins after it */

    /* Prefixes that were looked for and not there, by their first byte: a newer one takes the place. */
    struct refused {
        char prefix[API_KEY_PREFIX_LEN];
        int64_t until_mono_us;
    } refused[BUCKETS];
};

static const struct {
    const char *name;
    unsigned scope;
} scopes[] = {
    { "decide", SCOPE_DECIDE },
    { "read", SCOPE_READ },
    { "explain", SCOPE_EXPLAIN },
    { "import", SCOPE_IMPORT },
    { "admin", SCOPE_ADMIN },
    { "label:customer", SCOPE_LABEL << LABEL_CUSTOMER },
    { "label:analyst", SCOPE_LABEL << LABEL_ANALYST },
    { "label:issuer", SCOPE_LABEL << LABEL_ISSUER },
    { "label:chargeback", SCOPE_LABEL << LABEL_CHARGEBACK },
};

unsigned scope_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
        if (slice_eq_str(name, scopes[i].name))
            return scopes[i].scope;
    }
    return 0;
}

/* Prefixes are random hex: their first two digits spread them. */
static size_t place_of(const char *prefix)
{
    unsigned char byte = 0;

    (void)hex_decode(slice_of(prefix, 2), &byte, 1);
    return byte;
}

static struct caller **bucket_of(struct keys *k, const char *prefix)
{
    return &k->buckets[place_of(prefix)];
}

static struct caller *find(struct keys *k, const char *prefix)
{
    struct caller *key = *bucket_of(k, prefix);

    while (key && memcmp(key->prefix, prefix, API_KEY_PREFIX_LEN) != 0)
        key = key->next;
    return key;
}

enum key_column {
    COL_PREFIX,
    COL_ACCOUNT,
    COL_SECRET,
    COL_SCOPES,
    COL_RATE,
    COL_BURST,
    COL_EXPIRES,
    COL_SIMULATED,
    COL_FLOOR,
    COL_CAP,
    COL_NUMERIC
};

static void take_row(struct keys *k, const struct pg_result *r, size_t row)
{
    struct slice prefix = pg_get_text(r, row, COL_PREFIX), secret = pg_get_bytes(r, row, COL_SECRET);
    struct caller *key;

    if (prefix.len != API_KEY_PREFIX_LEN || secret.len != SHA256_BYTES)
        return;
    key = find(k, prefix.ptr);
    if (!key) {
        struct caller **bucket = bucket_of(k, prefix.ptr);

        key = mem_new(struct caller);
        memcpy(key->prefix, prefix.ptr, API_KEY_PREFIX_LEN);
        bucket_init(&key->bucket, pg_get_int(r, row, COL_RATE), pg_get_int(r, row, COL_BURST),
                    clock_mono_us());
        key->next = *bucket;
        *bucket = key;
    }
    key->is_seen = true;
    if (memcmp(key->secret_sha256, secret.ptr, SHA256_BYTES) != 0)
        key->was_shown = false;
    memcpy(key->secret_sha256, secret.ptr, SHA256_BYTES);
    bucket_set(&key->bucket, pg_get_int(r, row, COL_RATE), pg_get_int(r, row, COL_BURST));
    key->scopes = 0;
    for (size_t i = 0; i < pg_get_array_len(r, row, COL_SCOPES); i++)
        key->scopes |= scope_find(pg_get_array_item(r, row, COL_SCOPES, i));
    key->expires_at_us = pg_is_null(r, row, COL_EXPIRES) ? INT64_MAX : pg_get_time_us(r, row, COL_EXPIRES);
    key->account = (uint32_t)pg_get_int(r, row, COL_ACCOUNT);
    key->is_simulated = pg_get_bool(r, row, COL_SIMULATED);
    key->allows_numeric_ids = pg_get_bool(r, row, COL_NUMERIC);
    key->deadline_floor_ms = pg_get_int(r, row, COL_FLOOR);
    key->deadline_cap_ms = pg_get_int(r, row, COL_CAP);
}

/* Drops the keys that were not seen, and readies the others for the next reading. */
static void sweep(struct keys *k, bool all)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct caller **at = &k->buckets[i]; *at;) {
            struct caller *key = *at;

            if (all || !key->is_seen) {
                *at = key->next;
                mem_free(key);
            } else {
                key->is_seen = false;
                at = &key->next;
            }
        }
    }
}

static void on_read(void *ctx, const struct pg_reply *reply)
{
    struct keys *k = ctx;
    struct keys_waiter *w = k->waiters;

    k->is_reading = false;
    if (reply->err) {
        log_event(LOG_WARN, "keys_not_read", "reason=%s", log_quoted(slice_str(reply->why.text)));
    } else {
        for (size_t row = 0; row < pg_rows(reply->results[0]); row++)
            take_row(k, reply->results[0], row);
        sweep(k, false);
        k->is_known = true;
    }
    k->waiters = k->later;
    k->later = NULL;
    while (w) {
        struct keys_waiter *next = w->next;

        w->run(w->ctx);
        w = next;
    }
    loop_timer_set(&k->timer, k->read_again || k->waiters ? READ_PAUSE_US : READ_EVERY_US);
}

void keys_read(struct keys *k)
{
    struct pg_unit *unit;

    k->read_again = k->is_reading;
    if (k->is_reading)
        return;
    k->is_reading = true;
    k->began_mono_us = clock_mono_us();
    unit = pg_unit_new(k->in->pg);
    pg_unit_add(unit, SQL_KEYS);
    pg_unit_is_read(unit);
    pg_unit_send(unit, k->began_mono_us + READ_TIME_US, on_read, k);
}

static void on_noted(void *ctx, const struct pg_reply *reply)
{
    (void)ctx;
    if (reply->err == ERR_INTERNAL)
        log_event(LOG_WARN, "key_uses_not_written", "reason=%s", log_quoted(slice_str(reply->why.text)));
}

/* Writes down which keys were used. What cannot be written is used again soon, or was not worth much. */
static void note_uses(struct keys *k)
{
    struct pg_array *prefixes = NULL;
    struct pg_unit *unit = NULL;

    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct caller *key = k->buckets[i]; key; key = key->next) {
            if (!key->is_used)
                continue;
            if (!unit) {
                unit = pg_unit_new(k->in->pg);
                prefixes = pg_add_array(pg_unit_add(unit, SQL_KEYS_USED), PG_TEXT);
            }
            pg_array_text(prefixes, slice_of(key->prefix, API_KEY_PREFIX_LEN));
            key->is_used = false;
        }
    }
    k->noted_mono_us = clock_mono_us();
    if (unit)
        pg_unit_send(unit, k->noted_mono_us + READ_TIME_US, on_noted, k);
}

static void on_timer(void *ctx)
{
    struct keys *k = ctx;

    if (clock_mono_us() - k->noted_mono_us >= NOTE_EVERY_US)
        note_uses(k);
    keys_read(k);
}

struct keys *keys_new(struct ingestion *in)
{
    struct keys *k = mem_new(struct keys);

    k->in = in;
    randombytes_buf(k->tag_key, sizeof k->tag_key);
    loop_timer_init(&k->timer, in->loop, on_timer, k);
    return k;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    loop_timer_release(&k->timer);
    sweep(k, true);
    mem_free(k);
}

bool keys_are_known(const struct keys *k)
{
    return k->is_known;
}

static const struct slice bearer = { "Bearer ", 7 };

/* "Bearer ak_<8 hex>_<32 base62>" */
static bool parse(struct slice authorization, struct api_key *shown)
{
    if (authorization.len < bearer.len || strncasecmp(authorization.ptr, bearer.ptr, bearer.len) != 0)
        return false;
    return api_key_read(shown, slice_of(authorization.ptr + bearer.len, authorization.len - bearer.len));
}

static void make_tag(const struct keys *k, struct slice authorization, unsigned char tag[SHOWN_TAG_BYTES])
{
    crypto_shorthash_siphashx24(tag, (const unsigned char *)authorization.ptr, authorization.len, k->tag_key);
}

/* The key that was found good with exactly this header before. */
static struct caller *find_shown(struct keys *k, struct slice authorization)
{
    unsigned char tag[SHOWN_TAG_BYTES];
    struct caller *key;

    if (authorization.len != bearer.len + API_KEY_LEN)
        return NULL;
    key = find(k, authorization.ptr + bearer.len + PREFIX_AT);
    if (!key || !key->was_shown)
        return NULL;
    make_tag(k, authorization, tag);
    return sodium_memcmp(tag, key->shown_tag, sizeof tag) == 0 ? key : NULL;
}

static bool is_good(struct keys *k, struct caller *key, const struct api_key *shown,
                    struct slice authorization)
{
    if (sodium_memcmp(shown->secret_sha256, key->secret_sha256, SHA256_BYTES) != 0)
        return false;
    make_tag(k, authorization, key->shown_tag);
    key->was_shown = true;
    return true;
}

enum err keys_find(struct keys *k, struct slice authorization, int64_t now_us, bool has_waited,
                   struct caller **out)
{
    struct refused *refused;
    struct api_key shown;
    struct caller *key;

    *out = NULL;
    key = find_shown(k, authorization);
    if (!key && !parse(authorization, &shown))
        return ERR_UNAUTHORIZED;
    if (!key && (key = find(k, shown.prefix)) && !is_good(k, key, &shown, authorization))
        return ERR_UNAUTHORIZED;
    if (key) {
        if (now_us >= key->expires_at_us)
            return ERR_UNAUTHORIZED;
        key->is_used = true;
        *out = key;
        return ERR_OK;
    }
    if (!pg_pool_is_up(k->in->pg))
        return ERR_UNAVAILABLE;
    refused = &k->refused[place_of(shown.prefix)];
    if (memcmp(refused->prefix, shown.prefix, API_KEY_PREFIX_LEN) == 0 &&
        clock_mono_us() < refused->until_mono_us)
        return ERR_UNAUTHORIZED;
    if (!has_waited)
        return ERR_UNKNOWN;
    if (!k->is_known)
        return ERR_UNAVAILABLE;
    memcpy(refused->prefix, shown.prefix, API_KEY_PREFIX_LEN);
    refused->until_mono_us = clock_mono_us() + REFUSED_US;
    return ERR_UNAUTHORIZED;
}

void keys_wait(struct keys *k, struct keys_waiter *w)
{
    struct keys_waiter **list = k->is_reading ? &k->later : &k->waiters;

    w->next = *list;
    *list = w;
    if (!k->is_reading && clock_mono_us() - k->began_mono_us > READ_PAUSE_US)
        keys_read(k);
    else if (!k->is_reading)
        loop_timer_set(&k->timer, READ_PAUSE_US);
}
