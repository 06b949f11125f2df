/* SPDX-License-Identifier: Apache-2.0
 * keys.h - the files that signatures come from (bundle/signature.h says what stands in them).
 *
 * ASSAY_MODEL_KEYS names the file of those who are trusted. Where it is set, scoring serves, `assay models
 * import` takes and a promotion moves only what one of them signed; where it is not, signatures are shown and
 * not asked for. */
#ifndef ASSAY_MODELSTORE_KEYS_H
#define ASSAY_MODELSTORE_KEYS_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "bundle/signature.h"

/* Who is trusted, by a file. *keys is what the other functions take: NULL for an empty path; both live in
 * `arena`.
 *   ERR_NOT_FOUND  the file cannot be read      others are those of trusted_keys_parse() */
MUST_USE enum err model_keys_read(const struct trusted_keys **keys, const char *path, struct arena *arena,
                                  struct why *why);

/* Another number when the file is another or was written since: by its device, inode, length and times. 0 when it
 * cannot be looked at, or for an empty path. What was refused by a stamp is worth another try by the next. */
uint64_t model_keys_stamp(const char *path);

/* The key that signs, from its file; give it to signing_key_wipe().
 *   ERR_NOT_FOUND  the file cannot be read      ERR_FORBIDDEN  others than its owner may read it
 *   ERR_SYNTAX     as signing_key_parse() has it */
MUST_USE enum err signing_key_read(struct signing_key *key, const char *path, struct why *why);
/* Makes the file, for its owner alone.
 *   ERR_CONFLICT  it is there already      ERR_UNAVAILABLE  it cannot be written */
MUST_USE enum err signing_key_write(const struct signing_key *key, const char *path, struct why *why);

#endif
