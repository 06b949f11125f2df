/* SPDX-License-Identifier: Apache-2.0
 * list.c - see list.h. An open-addressing table of entries by SipHash; the bytes lie in an arena.
 *
 * A network is kept under its masked address and its length, as 17 bytes; IPv4 as it is mapped into IPv6. */
#include "policy/list.h"

#include <arpa/inet.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/hash.h"

static const char *const purposes[] = {
    [LIST_NAMED] = "named", [LIST_DENY] = "deny", [LIST_ALLOW] = "allow"
};
static_assert(ARRAY_LEN(purposes) == LIST_PURPOSE_COUNT, "every purpose has a name");

/* What is looked up by a peer's values was put there by people, so the key need not be secret. */
static const struct hash_key table_key = { "assay policy lis" };

struct entry {
    uint64_t hash;
    const char *bytes; /* NULL: free */
    uint32_t len;
    int64_t expires_at_us;
};

enum { PREFIX_MAX = 128, NETWORK_BYTES = 17 };

struct list {
    size_t references;
    uint32_t account;
    char *name;
    enum list_purpose purpose;
    enum txn_text field;
    struct entry *entries;
    size_t count, size; /* size: a power of two */
    struct arena arena;
    bool prefixes[PREFIX_MAX + 1]; /* the lengths of the networks that are there */
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

struct list *list_new(uint32_t account, struct slice name, enum list_purpose purpose, enum txn_text field)
{
    struct list *list = mem_new(struct list);

    list->references = 1;
    list->account = account;
    list->name = mem_strndup(name.ptr, name.len);
    list->purpose = purpose;
    list->field = field;
    list->size = 16;
    list->entries = mem_new_n(struct entry, list->size);
    return list;
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
    mem_free(list->entries);
    arena_release(&list->arena);
    mem_free(list);
}

/* ---- the table ---- */

/* The value's place: where it is, or the free one where it belongs. */
static struct entry *place(struct entry *entries, size_t size, uint64_t hash, struct slice value)
{
    for (size_t i = hash & (size - 1);; i = (i + 1) & (size - 1)) {
        struct entry *e = &entries[i];

        if (!e->bytes || (e->hash == hash && slice_eq(slice_of(e->bytes, e->len), value)))
            return e;
    }
}

static void grow(struct list *list)
{
    size_t size = 2 * list->size;
    struct entry *entries = mem_new_n(struct entry, size);

    for (size_t i = 0; i < list->size; i++) {
        const struct entry *e = &list->entries[i];

        if (e->bytes)
            *place(entries, size, e->hash, slice_of(e->bytes, e->len)) = *e;
    }
    mem_free(list->entries);
    list->entries = entries;
    list->size = size;
}

static void put(struct list *list, struct slice value, int64_t expires_at_us)
{
    uint64_t hash = hash64(&table_key, value);
    struct entry *e;

    if (4 * (list->count + 1) > 3 * list->size)
        grow(list);
    e = place(list->entries, list->size, hash, value);
    if (e->bytes) {
        if (expires_at_us > e->expires_at_us)
            e->expires_at_us = expires_at_us;
        return;
    }
    *e = (struct entry){ hash, arena_strndup(&list->arena, value.ptr, value.len), (uint32_t)value.len,
                         expires_at_us };
    list->count++;
}

static bool get(const struct list *list, struct slice value, int64_t now_us)
{
    const struct entry *e = place(list->entries, list->size, hash64(&table_key, value), value);

    return e->bytes && e->expires_at_us > now_us;
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

static bool network_parse(struct slice text, unsigned char network[NETWORK_BYTES], int *prefix)
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
    *prefix = (int)length;
    network_of(address, *prefix, network);
    return true;
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

/* ---- the interface ---- */

enum err list_add(struct list *list, struct slice value, int64_t expires_at_us, struct why *why)
{
    unsigned char network[NETWORK_BYTES];
    int prefix;

    if (value.len == 0 || value.len > LIST_VALUE_MAX)
        return err_set(why, ERR_INVALID, "list %s: a value has 1 to %d bytes", list->name, LIST_VALUE_MAX);
    if (list->field == TXN_ip) {
        if (!network_parse(value, network, &prefix))
            return err_set(why, ERR_INVALID, "list %s: '%.*s' is neither an address nor a network",
                           list->name, SLICE_ARG(value));
        list->prefixes[prefix] = true;
        value = slice_of(network, sizeof network);
    }
    put(list, value, expires_at_us);
    return ERR_OK;
}

bool list_has(const struct list *list, struct slice value, int64_t now_us)
{
    return list->field == TXN_ip ? has_address(list, value, now_us)
                                 : value.len > 0 && get(list, value, now_us);
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

enum txn_text list_field(const struct list *list)
{
    return list->field;
}

size_t list_count(const struct list *list)
{
    return list->count;
}
