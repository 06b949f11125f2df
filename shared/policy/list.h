/* SPDX-License-Identifier: Apache-2.0
 * list.h - a named set of values that people keep: blocked cards, trusted customers, addresses of exit nodes.
 *
 * Looking up is O(1) whatever the size. A list over `ip` also takes networks in CIDR notation ("10.0.0.0/8",
 * "2001:db8::/32"); it then costs one look-up for each distinct prefix length in it. Entries may expire; the
 * time is an argument. A list is filled once and then shared: it is counted, and never changes. */
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

enum { LIST_VALUE_MAX = 512 };
#define LIST_NO_EXPIRY INT64_MAX

struct list;

/* `account` 0: for every account. `field` TXN_TEXT_COUNT: of no field in particular. The caller has the first
 * reference. */
struct list *list_new(uint32_t account, struct slice name, enum list_purpose purpose, enum txn_text field);
struct list *list_ref(struct list *list);
void list_unref(struct list *list);

/* Adds a copy; a value that is there gets the later expiry of both.
 *   ERR_INVALID  empty, longer than LIST_VALUE_MAX, or, for a list over `ip`, neither address nor network */
MUST_USE enum err list_add(struct list *list, struct slice value, int64_t expires_at_us, struct why *why);

/* Whether the value (for `ip`: an address within a network) is there and has not expired. */
bool list_has(const struct list *list, struct slice value, int64_t now_us);

uint32_t list_account(const struct list *list);
struct slice list_name(const struct list *list);
enum list_purpose list_purpose(const struct list *list);
enum txn_text list_field(const struct list *list);
size_t list_count(const struct list *list);

#endif
