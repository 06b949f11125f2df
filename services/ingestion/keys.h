/* SPDX-License-Identifier: Apache-2.0
 * keys.h - who is asking: API keys and what their accounts allow, as PostgreSQL has them.
 *
 * All valid keys are held in memory and read again when a NOTIFY says so and every two seconds; so a key is
 * good, or good no longer, within that time. A key that is not there makes one reading more before it is
 * refused, so that a new key works at once; it is then refused for two seconds without looking.
 *
 * A key's secret is compared by its SHA-256. What was found good once is known again by a 128-bit SipHash
 * under a key of this process, which costs a tenth: under overload most of a refusal's time would go there. */
#ifndef ASSAY_INGESTION_KEYS_H
#define ASSAY_INGESTION_KEYS_H

#include "base/hash.h"
#include "bucket.h"
#include "fraud/txn.h"
#include "loop/loop.h"

struct ingestion;
struct keys;

enum scope {
    SCOPE_DECIDE = 1 << 0,
    SCOPE_READ = 1 << 1,
    SCOPE_EXPLAIN = 1 << 2,
    SCOPE_IMPORT = 1 << 3,
    SCOPE_ADMIN = 1 << 4,
    SCOPE_LABEL = 1 << 8, /* << enum label_source */
    SCOPE_LABEL_ANY = ((1 << LABEL_SOURCE_COUNT) - 1) << 8,
};

enum { SHOWN_TAG_BYTES = 16 };

/* A key, and what its account allows. */
struct caller {
    char prefix[9];
    unsigned char secret_sha256[SHA256_BYTES];
    unsigned scopes;
    int64_t expires_at_us; /* INT64_MAX: never */
    struct bucket bucket;

    unsigned char shown_tag[SHOWN_TAG_BYTES]; /* of the header that was found good last */
    bool was_shown;

    uint32_t account;
    bool is_simulated, allows_numeric_ids;
    int64_t deadline_floor_ms, deadline_cap_ms;

    struct caller *next;
    bool is_seen; /* in the reading that is under way */
    bool is_used; /* since that was written down last */
};

struct keys *keys_new(struct ingestion *in);
void keys_free(struct keys *k);
/* Reads them now; for pg's on_up and on_notify. */
void keys_read(struct keys *k);
/* Whether they have been read at all. */
bool keys_are_known(const struct keys *k);

/* "Bearer ak_..." as it stands in Authorization. Until the next turn of the loop *out is valid; copy what is
 * needed longer.
 *   ERR_UNAUTHORIZED  no such key
 *   ERR_UNAVAILABLE   the keys cannot be read
 *   ERR_UNKNOWN       may be new: call keys_wait(), and ask again, with `has_waited`, when it calls back */
enum err keys_find(struct keys *k, struct slice authorization, int64_t now_us, bool has_waited,
                   struct caller **out);

struct keys_waiter {
    void (*run)(void *ctx);
    void *ctx;
    struct keys_waiter *next;
};
void keys_wait(struct keys *k, struct keys_waiter *w);

/* The scopes' names, as `assay keys create` takes them; 0 for a name that is none. */
unsigned scope_find(struct slice name);

#endif
