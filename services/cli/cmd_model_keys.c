/* SPDX-License-Identifier: Apache-2.0
 * cmd_model_keys.c - `assay models keygen` and `sign`: who vouches for a bundle. */
#include "command.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "account.h"
#include "base/array.h"
#include "database.h"
#include "file.h"
#include "modelstore/keys.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "versions.h"

static const char public_suffix[] = ".pub";

static enum exit_code keygen(const void *settings, char **operands, size_t operand_count)
{
    char public_path[PATH_MAX];
    struct signing_key key;
    struct why why = { 0 };
    struct buf line;
    enum err err;

    (void)settings;
    (void)operand_count;
    if (snprintf(public_path, sizeof public_path, "%s%s", operands[0], public_suffix) >= PATH_MAX)
        return command_fail(EXIT_USAGE, "the path is too long");
    buf_init(&line, 0);
    signing_key_make(&key);
    signing_key_format_public(&line, &key);
    err = signing_key_write(&key, operands[0], &why);
    signing_key_wipe(&key);
    if (!err)
        err = file_write(public_path, buf_slice(&line), &why);
    if (!err)
        printf("wrote the secret key to %s, and the line for those who are to trust it to %s\n", operands[0],
               public_path);
    buf_release(&line);
    return command_end(err, &why);
}

const struct command cmd_models_keygen = {
    .name = "models keygen",
    .operands = "<file>",
    .purpose = "Make a key that signs models",
    .text =
        "The secret key's file is for its owner alone; the public key's line goes into FILE.pub. Those who\n"
        "set ASSAY_MODEL_KEYS to a file of such lines serve, import and promote only what was signed.\n\n"
        "  assay models keygen release.key && cat release.key.pub >>trusted.keys",
    .operands_least = 1,
    .operands_most = 1,
    .run = keygen,
};

struct sign_settings {
    const char *key;
};

static enum exit_code sign(const void *given, char **operands, size_t operand_count)
{
    const struct sign_settings *settings = given;
    struct pg_session *s = NULL;
    struct signing_key key;
    struct why why = { 0 };
    int64_t version;
    enum err err;

    (void)operand_count;
    if (!version_read(operands[0], &version))
        return EXIT_USAGE;
    if (!settings->key)
        return command_fail(EXIT_USAGE, "--key FILE is missing: `assay models keygen` makes one");
    err = signing_key_read(&key, settings->key, &why);
    if (err)
        return command_end(err, &why);
    err = database_open_migrated(&s, &why);
    if (!err)
        err = model_sign(s, version, &key, login_name(), &why);
    signing_key_wipe(&key);
    pg_session_close(s);
    if (!err)
        printf("signed version %" PRId64 "\n", version);
    return command_end(err, &why);
}

static const struct option sign_options[] = {
    { "key", OPTION_TEXT, offsetof(struct sign_settings, key), "FILE", "the secret key" },
};

const struct command cmd_models_sign = {
    .name = "models sign",
    .operands = "<version>",
    .purpose = "Sign a registered model, in the place of any signature before",
    .text = "Ed25519 over the 32 bytes of the bundle's SHA-256.\n\n  assay models sign 17 --key release.key",
    .options = sign_options,
    .option_count = ARRAY_LEN(sign_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct sign_settings),
    .run = sign,
};
