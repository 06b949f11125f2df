/* SPDX-License-Identifier: Apache-2.0
 * list.h - a named set of values that people keep: blocked cards, trusted customers, addresses of exit nodes.
 *
 * A list has a type: texts, compared byte by byte; addresses and networks ("10.0.0.0/8", "2001:db8::/32"), which
 * hold every address in them; or numbers. Looking up is O(1) whatever the size; in a list of networks it costs
 * one look-up for each distinct prefix length that is there, the longest first. Entries may expire; the time is an
 * argument. A list is counted, and belongs to one thread: it may change between two look-ups.
 *
 * Memory: 8 bytes a slot, of which at most three of four are taken, and 4 bytes and the value, rounded up to 4;
 * 8 more when it expires. An address is 17 bytes, a number 8. A million card tokens of 16 bytes take about 40 MB
 * (list_bytes()). */
#ifndef ASSAY_POLICY_LIST_H
#define ASSAY_POLICY_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "fraud/txn.h"

/* A deny or allow list acts by itself on its field; any list can be asked by a rule. */
enum list_purpose { LIST_NAMED, LIST_DENY, LIST_ALLOW, LIST_PURPOSE_COUNT };
const char *list_purpose_name(enum list_purpose purpose);
enum list_purpose list_purpose_find(struct slice name); /* LIST_PURPOSE_COUNT when there is none */

enum list_type { LIST_OF_STRINGS, LIST_OF_ADDRESSES, LIST_OF_NUMBERS, LIST_TYPE_COUNT };
const char *list_type_name(enum list_type type);  /* "string", "ip", "number" */
enum list_type list_type_find(struct slice name); /* LIST_TYPE_COUNT when there is none */
enum list_type list_type_of(enum txn_text field); /* addresses for `ip`, else strings */

enum { LIST_VALUE_MAX = 512, LIST_ENTRIES_MAX = 1 << 20 };
#define LIST_NO_EXPIRY INT64_MAX

struct list;

/* `account` 0: for every account. `field` TXN_TEXT_COUNT: of no field in particular. The type is that of the
 * field. The caller has the first reference. */
struct list *list_new(uint32_t account, struct slice name, enum list_purpose purpose, enum txn_text field);
/* The same, of a type of its own. */
struct list *list_new_of(enum list_type type, uint32_t account, struct slice name, enum list_purpose purpose,
                         enum txn_text field);
struct list *list_ref(struct list *list);
void list_unref(struct list *list);

/* Writes the one spelling of a value, by which the same value is the same entry: addresses as RFC 5952 has them, a
 * network by its first address, an IPv4 address that is mapped into IPv6 as IPv4, a network of one address as that
 * address, a number by its fewest digits. `out` has room for LIST_VALUE_MAX bytes and a NUL; *len without it.
 *   ERR_INVALID  empty, longer than LIST_VALUE_MAX, not UTF-8, or nothing of that type */
MUST_USE enum err list_canonical(enum list_type type, struct slice value, char out[LIST_VALUE_MAX + 1],
                                 size_t *len, struct why *why);

/* Adds a copy; a value that is there gets the later expiry of both.
 *   ERR_INVALID    as list_canonical()
 *   ERR_TOO_LARGE  LIST_ENTRIES_MAX are there */
MUST_USE enum err list_add(struct list *list, struct slice value, int64_t expires_at_us, struct why *why);
/* The same, and the expiry is this one. */
MUST_USE enum err list_put(struct list *list, struct slice value, int64_t expires_at_us, struct why *why);
/* Whether it was there. */
bool list_remove(struct list *list, struct slice value);
/* Whether a value was added in another than its one spelling: then removing one text may leave another that means
 * the same, and only who has all the texts knows. */
bool list_has_aliases(const struct list *list);

/* Whether the value (of a list of addresses: an address within a network) is there and has not expired. */
bool list_has(const struct list *list, struct slice value, int64_t now_us);
/* The same of a number, in a list of numbers; in others it is never there. */
bool list_has_number(const struct list *list, double value, int64_t now_us);

uint32_t list_account(const struct list *list);
struct slice list_name(const struct list *list);
enum list_purpose list_purpose(const struct list *list);
enum list_type list_type(const struct list *list);
enum txn_text list_field(const struct list *list);
size_t list_count(const struct list *list);
size_t list_bytes(const struct list *list); /* that its entries take */

#endif
