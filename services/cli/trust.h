/* SPDX-License-Identifier: Apache-2.0
 * trust.h - whose signatures this installation asks for: ASSAY_MODEL_KEYS (modelstore/keys.h). */
#ifndef ASSAY_CLI_TRUST_H
#define ASSAY_CLI_TRUST_H

#include "base/arena.h"
#include "base/err.h"

struct trusted_keys;

/* *keys is NULL where the setting is empty; else it lives in `arena`. Errors are those of model_keys_read(). */
MUST_USE enum err trust_read(const struct trusted_keys **keys, struct arena *arena, struct why *why);

#endif
