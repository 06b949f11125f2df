/* SPDX-License-Identifier: Apache-2.0
 * list.c - see list.h. An open-addressing table of places in one pool of records:
 *
 *   slots  [hash, at] [ -, 0 ] [hash, at] ...       at 0: free
 *   pool   ....[len 2][expires? 2][expiry 8, if it does][bytes, up to 4]....
 *
 * What a removed record leaves is used again by records of the same size, so that a list that changes all the time
 * does not grow. A network is kept under its masked address and its length, as 17 bytes; IPv4 as it is mapped into
 * IPv6. A number is kept as its 8 bytes. */
#include "policy/list.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "base/decimal.h"
#include "base/hash.h"

static const char *const purposes[] = {
    [LIST_NAMED] = "named", [LIST_DENY] = "deny", [LIST_ALLOW] = "allow"
};
static_assert(ARRAY_LEN(purposes) == LIST_PURPOSE_COUNT, "every purpose has a name");

static const char *const types[] = {
    [LIST_OF_STRINGS] = "string", [LIST_OF_ADDRESSES] = "ip", [LIST_OF_NUMBERS] = "number"
};
static_assert(ARRAY_LEN(types) == LIST_TYPE_COUNT, "every type has a name");

/* What is looked up by a peer's values was put there by people, so the key need not be secret. */
static const struct hash_key table_key = { "assay policy lis" };

struct table_slot {
    uint32_t hash, at;
};

struct record {
    uint16_t len, expires;
};

enum {
    PREFIX_MAX = 128,
    NETWORK_BYTES = 17,
    UNIT = 4, /* sizes of records are multiples of it */
    UNITS_MAX = (sizeof(struct record) + sizeof(int64_t) + LIST_VALUE_MAX) / UNIT,
};

struct list {
    size_t references;
    uint32_t account;
    char *name;
    enum list_purpose purpose;
    enum list_type type;
    enum txn_text field;
    struct table_slot *slots;
    size_t count, size; /* size: a power of two */
    char *pool;
    size_t pool_used, pool_size;
    uint32_t free[UNITS_MAX + 1];      /* the first free record of so many units; the next stands in it */
    uint32_t prefixes[PREFIX_MAX + 1]; /* how many networks of each length are there */
    bool has_aliases;
};

const char *list_purpose_name(enum list_purpose purpose)
{
    return purposes[purpose];
}

enum list_purpose list_purpose_find(struct slice name)
{
    enum list_purpose purpose = 0;

    while (purpose < LIST_PURPOSE_COUNT && !slice_eq_str(name, purposes[purpose]))
        purpose++;
    return purpose;
}

const char *list_type_name(enum list_type type)
{
    return types[type];
}

enum list_type list_type_find(struct slice name)
{
    enum list_type type = 0;

    while (type < LIST_TYPE_COUNT && !slice_eq_str(name, types[type]))
        type++;
    return type;
}

enum list_type list_type_of(enum txn_text field)
{
    return field == TXN_ip ? LIST_OF_ADDRESSES : LIST_OF_STRINGS;
}

struct list *list_new_of(enum list_type type, uint32_t account, struct slice name, enum list_purpose purpose,
                         enum txn_text field)
{
    struct list *list = mem_new(struct list);

    list->references = 1;
    list->account = account;
    list->name = mem_strndup(name.ptr, name.len);
    list->purpose = purpose;
    list->type = type;
    list->field = field;
    list->size = 16;
    list->slots = mem_new_n(struct table_slot, list->size);
    list->pool_used = UNIT; /* so that no record has the place 0 */
    return list;
}

struct list *list_new(uint32_t account, struct slice name, enum list_purpose purpose, enum txn_text field)
{
    return list_new_of(list_type_of(field), account, name, purpose, field);
}

struct list *list_ref(struct list *list)
{
    list->references++;
    return list;
}

void list_unref(struct list *list)
{
    if (!list || --list->references > 0)
        return;
    mem_free(list->name);
    mem_free(list->slots);
    mem_free(list->pool);
    mem_free(list);
}

/* ---- records ---- */

static struct record record_at(const struct list *list, uint32_t at)
{
    struct record r;

    memcpy(&r, list->pool + at, sizeof r);
    return r;
}

static size_t units_of(struct record r)
{
    return (sizeof r + (r.expires ? sizeof(int64_t) : 0) + r.len + UNIT - 1) / UNIT;
}

static struct slice bytes_at(const struct list *list, uint32_t at)
{
    struct record r = record_at(list, at);

    return slice_of(list->pool + at + sizeof r + (r.expires ? sizeof(int64_t) : 0), r.len);
}

static int64_t expiry_at(const struct list *list, uint32_t at)
{
    int64_t expiry = LIST_NO_EXPIRY;

    if (record_at(list, at).expires)
        memcpy(&expiry, list->pool + at + sizeof(struct record), sizeof expiry);
    return expiry;
}

static uint32_t record_make(struct list *list, struct slice value, int64_t expires_at_us)
{
    struct record r = { (uint16_t)value.len, expires_at_us != LIST_NO_EXPIRY };
    size_t units = units_of(r);
    uint32_t at = list->free[units];

    if (at) {
        memcpy(&list->free[units], list->pool + at, sizeof at);
    } else {
        if (list->pool_used + units * UNIT > list->pool_size) {
            list->pool_size = list->pool_used + list->pool_used / 4 + units * UNIT;
            list->pool = mem_grow(list->pool, list->pool_size, 1);
        }
        at = (uint32_t)list->pool_used;
        list->pool_used += units * UNIT;
    }
    memcpy(list->pool + at, &r, sizeof r);
    if (r.expires)
        memcpy(list->pool + at + sizeof r, &expires_at_us, sizeof expires_at_us);
    memcpy(list->pool + at + sizeof r + (r.expires ? sizeof expires_at_us : 0), value.ptr, value.len);
    return at;
}

static void record_drop(struct list *list, uint32_t at)
{
    size_t units = units_of(record_at(list, at));

    memcpy(list->pool + at, &list->free[units], sizeof at);
    list->free[units] = at;
}

/* ---- the table ---- */

static uint32_t hash_of(struct slice value)
{
    return (uint32_t)hash64(&table_key, value);
}

/* The value's place: where it is, or the free one where it belongs. */
static size_t place(const struct list *list, uint32_t hash, struct slice value)
{
    size_t i = hash & (list->size - 1);

    while (list->slots[i].at &&
           (list->slots[i].hash != hash || !slice_eq(bytes_at(list, list->slots[i].at), value)))
        i = (i + 1) & (list->size - 1);
    return i;
}

static void grow(struct list *list)
{
    struct table_slot *old = list->slots;
    size_t old_size = list->size;

    list->size = 2 * old_size;
    list->slots = mem_new_n(struct table_slot, list->size);
    for (size_t i = 0; i < old_size; i++) {
        size_t to = old[i].hash & (list->size - 1);

        if (!old[i].at)
            continue;
        while (list->slots[to].at)
            to = (to + 1) & (list->size - 1);
        list->slots[to] = old[i];
    }
    mem_free(old);
}

/* Whether it is new. */
static bool put(struct list *list, struct slice value, int64_t expires_at_us, bool keeps_later)
{
    uint32_t hash = hash_of(value);
    size_t i;

    if (4 * (list->count + 1) > 3 * list->size)
        grow(list);
    i = place(list, hash, value);
    if (!list->slots[i].at) {
        list->slots[i] = (struct table_slot){ hash, record_make(list, value, expires_at_us) };
        list->count++;
        return true;
    }
    if (keeps_later && expiry_at(list, list->slots[i].at) > expires_at_us)
        return false;
    record_drop(list, list->slots[i].at);
    list->slots[i].at = record_make(list, value, expires_at_us);
    return false;
}

/* What follows moves up, so that no look-up meets a hole on its way. */
static bool drop(struct list *list, struct slice value)
{
    size_t mask = list->size - 1, hole = place(list, hash_of(value), value);

    if (!list->slots[hole].at)
        return false;
    record_drop(list, list->slots[hole].at);
    for (size_t i = (hole + 1) & mask; list->slots[i].at; i = (i + 1) & mask) {
        if (((i - list->slots[i].hash) & mask) < ((i - hole) & mask))
            continue; /* its own place lies behind the hole */
        list->slots[hole] = list->slots[i];
        hole = i;
    }
    list->slots[hole] = (struct table_slot){ 0 };
    list->count--;
    return true;
}

static bool get(const struct list *list, struct slice value, int64_t now_us)
{
    uint32_t at = list->slots[place(list, hash_of(value), value)].at;

    return at && expiry_at(list, at) > now_us;
}

/* ---- networks ---- */

static bool address_parse(struct slice text, unsigned char address[16], bool *is_v4)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof copy || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    *is_v4 = inet_pton(AF_INET, copy, address + 12) == 1;
    if (*is_v4) {
        memcpy(address, mapped, sizeof mapped);
        return true;
    }
    return inet_pton(AF_INET6, copy, address) == 1;
}

static void network_of(const unsigned char address[16], int prefix, unsigned char network[NETWORK_BYTES])
{
    for (int i = 0; i < 16; i++) {
        int bits = prefix - 8 * i;
        unsigned mask = bits >= 8 ? 0xff : bits <= 0 ? 0 : 0xff00u >> bits & 0xff;

        network[i] = (unsigned char)(address[i] & mask);
    }
    network[16] = (unsigned char)prefix;
}

static bool network_parse(struct slice text, unsigned char network[NETWORK_BYTES])
{
    const char *slash = memchr(text.ptr, '/', text.len);
    size_t address_len = slash ? (size_t)(slash - text.ptr) : text.len;
    unsigned char address[16];
    int64_t length = PREFIX_MAX;
    bool is_v4;

    if (!address_parse(slice_of(text.ptr, address_len), address, &is_v4))
        return false;
    if (slash) {
        if (!slice_to_i64(slice_of(slash + 1, text.len - address_len - 1), &length) || length < 0 ||
            length > (is_v4 ? 32 : PREFIX_MAX))
            return false;
        length += is_v4 ? 96 : 0;
    }
    network_of(address, (int)length, network);
    return true;
}

static size_t network_print(const unsigned char network[NETWORK_BYTES], char out[LIST_VALUE_MAX + 1])
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    bool is_v4 = memcmp(network, mapped, sizeof mapped) == 0 && network[16] >= 96;
    int most = is_v4 ? 32 : PREFIX_MAX, prefix = network[16] - (is_v4 ? 96 : 0);
    size_t len;

    inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? network + 12 : network, out, INET6_ADDRSTRLEN);
    len = strlen(out);
    if (prefix < most)
        len += (size_t)snprintf(out + len, LIST_VALUE_MAX + 1 - len, "/%d", prefix);
    return len;
}

static bool has_address(const struct list *list, struct slice value, int64_t now_us)
{
    unsigned char address[16], network[NETWORK_BYTES];
    bool is_v4;

    if (value.len == 0 || !address_parse(value, address, &is_v4))
        return false;
    for (int prefix = PREFIX_MAX; prefix >= 0; prefix--) {
        if (!list->prefixes[prefix])
            continue;
        network_of(address, prefix, network);
        if (get(list, slice_of(network, sizeof network), now_us))
            return true;
    }
    return false;
}

/* ---- values ---- */

/* What a value is kept under: views of it or of `room`. */
static enum err key_of(enum list_type type, struct slice value, unsigned char room[NETWORK_BYTES],
                       struct slice *key, struct why *why)
{
    double number;

    if (value.len == 0 || value.len > LIST_VALUE_MAX)
        return err_set(why, ERR_INVALID, "a value has 1 to %d bytes", LIST_VALUE_MAX);
    if (!slice_is_utf8(value))
        return err_set(why, ERR_INVALID, "a value is UTF-8");
    *key = value;
    if (type == LIST_OF_ADDRESSES) {
        if (!network_parse(value, room))
            return err_set(why, ERR_INVALID, "'%.*s' is neither an address nor a network", SLICE_ARG(value));
        *key = slice_of(room, NETWORK_BYTES);
    } else if (type == LIST_OF_NUMBERS) {
        if (!slice_to_double(value, &number) || !isfinite(number))
            return err_set(why, ERR_INVALID, "'%.*s' is no number", SLICE_ARG(value));
        number += 0; /* -0 is 0 */
        memcpy(room, &number, sizeof number);
        *key = slice_of(room, sizeof number);
    }
    return ERR_OK;
}

static size_t key_print(enum list_type type, struct slice key, char out[LIST_VALUE_MAX + 1])
{
    double number;

    if (type == LIST_OF_ADDRESSES)
        return network_print((const unsigned char *)key.ptr, out);
    if (type == LIST_OF_NUMBERS) {
        memcpy(&number, key.ptr, sizeof number);
        return decimal_print(number, out);
    }
    memcpy(out, key.ptr, key.len);
    out[key.len] = 0;
    return key.len;
}

enum err list_canonical(enum list_type type, struct slice value, char out[LIST_VALUE_MAX + 1], size_t *len,
                        struct why *why)
{
    unsigned char room[NETWORK_BYTES];
    struct slice key;
    enum err err = key_of(type, value, room, &key, why);

    if (!err)
        *len = key_print(type, key, out);
    return err;
}

/* ---- the interface ---- */

static enum err take(struct list *list, struct slice value, int64_t expires_at_us, bool keeps_later,
                     struct why *why)
{
    unsigned char room[NETWORK_BYTES];
    char spelling[LIST_VALUE_MAX + 1];
    struct slice key;
    enum err err = key_of(list->type, value, room, &key, why);

    if (err)
        return err_wrap(why, err, "list %s", list->name);
    if (list->count == LIST_ENTRIES_MAX)
        return err_set(why, ERR_TOO_LARGE, "list %s: has %d entries, which is the most", list->name,
                       LIST_ENTRIES_MAX);
    if (put(list, key, expires_at_us, keeps_later) && list->type == LIST_OF_ADDRESSES)
        list->prefixes[room[NETWORK_BYTES - 1]]++;
    if (list->type != LIST_OF_STRINGS && !list->has_aliases)
        list->has_aliases = !slice_eq(value, slice_of(spelling, key_print(list->type, key, spelling)));
    return ERR_OK;
}

enum err list_add(struct list *list, struct slice value, int64_t expires_at_us, struct why *why)
{
    return take(list, value, expires_at_us, true, why);
}

enum err list_put(struct list *list, struct slice value, int64_t expires_at_us, struct why *why)
{
    return take(list, value, expires_at_us, false, why);
}

bool list_remove(struct list *list, struct slice value)
{
    unsigned char room[NETWORK_BYTES];
    struct slice key;
    struct why why;

    if (key_of(list->type, value, room, &key, &why) || !drop(list, key))
        return false;
    if (list->type == LIST_OF_ADDRESSES)
        list->prefixes[room[NETWORK_BYTES - 1]]--;
    return true;
}

bool list_has_aliases(const struct list *list)
{
    return list->has_aliases;
}

bool list_has_number(const struct list *list, double value, int64_t now_us)
{
    value += 0;
    return list->type == LIST_OF_NUMBERS && get(list, slice_of(&value, sizeof value), now_us);
}

bool list_has(const struct list *list, struct slice value, int64_t now_us)
{
    double number;

    if (value.len == 0)
        return false;
    if (list->type == LIST_OF_ADDRESSES)
        return has_address(list, value, now_us);
    if (list->type == LIST_OF_NUMBERS)
        return slice_to_double(value, &number) && list_has_number(list, number, now_us);
    return get(list, value, now_us);
}

uint32_t list_account(const struct list *list)
{
    return list->account;
}

struct slice list_name(const struct list *list)
{
    return slice_str(list->name);
}

enum list_purpose list_purpose(const struct list *list)
{
    return list->purpose;
}

enum list_type list_type(const struct list *list)
{
    return list->type;
}

enum txn_text list_field(const struct list *list)
{
    return list->field;
}

size_t list_count(const struct list *list)
{
    return list->count;
}

size_t list_bytes(const struct list *list)
{
    return list->size * sizeof *list->slots + list->pool_size;
}
