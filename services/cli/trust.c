/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include "conf/conf.h"
#include "modelstore/keys.h"

enum err trust_read(const struct trusted_keys **keys, struct arena *arena, struct why *why)
{
    static const struct conf_field field = { "MODEL_KEYS", CONF_TEXT, 0, "", "trusted public keys", 0, 0 };
    const char *path = NULL;
    enum err err = conf_load(&path, &field, 1, why);

    *keys = NULL;
    return err ? err : model_keys_read(keys, path, arena, why);
}
