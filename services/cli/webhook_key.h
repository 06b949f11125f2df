/* SPDX-License-Identifier: Apache-2.0
 * webhook_key.h - the key that secrets of webhooks are sealed with (alertstore/seal.h): ASSAY_WEBHOOK_KEY, else
 * HOME/webhook.key, which `assay up` makes. */
#ifndef ASSAY_CLI_WEBHOOK_KEY_H
#define ASSAY_CLI_WEBHOOK_KEY_H

#include "alertstore/seal.h"
#include "base/err.h"

#define WEBHOOK_KEY_FILE "webhook.key"

/* Makes HOME/webhook.key, for nobody but its owner, unless it is there.   ERR_UNAVAILABLE  it cannot be written */
MUST_USE enum err webhook_key_make(const char *home, struct why *why);
/* `key->is_set` is false when there is none.   ERR_INVALID  what is there is no key */
MUST_USE enum err webhook_key_find(struct seal_key *key, struct why *why);

#endif
