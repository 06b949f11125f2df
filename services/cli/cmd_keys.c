/* SPDX-License-Identifier: Apache-2.0
 * cmd_keys.c - `assay keys create`, `list`, `rotate` and `revoke`. */
#include <stdio.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "command.h"
#include "database.h"
#include "listing.h"
#include "json/json_out.h"
#include "keystore/key.h"
#include "pg/session.h"

struct keys_settings {
    const char *scopes, *note, *owner;
    int64_t rate, burst, days, grace_hours;
    bool as_json, is_quiet;
};

static const struct keys_settings defaults = { .scopes = "decide,read", .note = "", .owner = "" };

static const struct option create_options[] = {
    { "owner", OPTION_TEXT, offsetof(struct keys_settings, owner), "NAME",
      "whose it is: the person, where a rule set needs a second one" },
    { "scopes", OPTION_TEXT, offsetof(struct keys_settings, scopes), "LIST", "what it may do (decide,read)" },
    { "rate", OPTION_INT, offsetof(struct keys_settings, rate), "N", "requests a second; 0 is no limit" },
    { "burst", OPTION_INT, offsetof(struct keys_settings, burst), "N", "requests at once (the rate)" },
    { "days", OPTION_INT, offsetof(struct keys_settings, days), "N", "until it expires; 0 is never" },
    { "note", OPTION_TEXT, offsetof(struct keys_settings, note), "TEXT", "whom it is for" },
    { "quiet", OPTION_FLAG, offsetof(struct keys_settings, is_quiet), NULL, "print the key alone" },
};

static void print_key(const struct api_key *key, bool is_quiet)
{
    if (is_quiet)
        printf("%s\n", key->text);
    else
        printf("%s\n\nThis is the only time the secret is shown. Send it as\n  Authorization: Bearer %s\n",
               key->text, key->text);
}

static enum exit_code create(const void *settings, char **operands, size_t operand_count)
{
    const struct keys_settings *k = settings;
    const struct key_wish wish = { .account = slice_str(operands[0]),
                                   .owner = slice_str(k->owner),
                                   .note = slice_str(k->note),
                                   .scopes = slice_str(k->scopes),
                                   .rate_per_s = k->rate,
                                   .burst = k->burst,
                                   .days = k->days };
    struct pg_session *s = NULL;
    struct api_key key;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operand_count;
    if (!err)
        err = key_make(s, &wish, login_name(), &key, &why);
    pg_session_close(s);
    if (err == ERR_INVALID)
        return command_fail(EXIT_USAGE, "%s; see `assay help keys create`", why.text);
    if (err == ERR_NOT_FOUND)
        return command_fail(EXIT_NOT_FOUND, "%s; `assay accounts create %s` makes it", why.text, operands[0]);
    if (err)
        return command_fail(EXIT_FAILED, "create the key: %s", why.text);
    print_key(&key, k->is_quiet);
    api_key_forget(&key);
    return EXIT_DONE;
}

const struct command cmd_keys_create = {
    .name = "keys create",
    .operands = "<account>",
    .purpose = "Make an API key and print it, once",
    .text = "Scopes, comma-separated, or \"all\":\n"
            "  decide          send transactions and get decisions\n"
            "  read            get stored decisions\n"
            "  explain         see features, contributions and rule texts too\n"
            "  rules:write     write rule sets and lists, over REST of the rules service\n"
            "  rules:approve   publish and roll back rule sets that others wrote\n"
            "  import          send history\n"
            "  admin           manage what belongs to the account\n"
            "  label:<source>  send labels as customer, analyst, issuer or chargeback\n\n"
            "  assay keys create shop --scopes decide,read,label:chargeback --rate 500",
    .options = create_options,
    .option_count = ARRAY_LEN(create_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct keys_settings),
    .defaults = &defaults,
    .run = create,
};

static const struct option list_options[] = {
    { "json", OPTION_FLAG, offsetof(struct keys_settings, as_json), NULL, "as JSON" },
};

static void print_rows(const struct key_row *rows, size_t count)
{
    char at[RFC3339_SIZE];

    printf("%-10s %-20s %-8s %-8s %-28s %s\n", "PREFIX", "ACCOUNT", "STATE", "RATE", "CREATED", "SCOPES");
    for (size_t i = 0; i < count; i++) {
        rfc3339_format(rows[i].created_at_us, at);
        printf("%-10s %-20.*s %-8s %-8lld %-28s %.*s  %.*s\n", rows[i].prefix, SLICE_ARG(rows[i].account),
               rows[i].state, (long long)rows[i].rate_per_s, at, SLICE_ARG(rows[i].scopes),
               SLICE_ARG(rows[i].note));
    }
}

static void write_key_row(struct json_out *o, const void *item)
{
    key_write(o, NULL, item);
}

static void print_json(const struct key_row *rows, size_t count)
{
    listing_print(rows, count, sizeof *rows, write_key_row);
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct keys_settings *k = settings;
    struct pg_session *s;
    struct arena arena = { 0 };
    struct key_row *rows = NULL;
    struct why why = { 0 };
    size_t count = 0;
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = key_list(s, slice_str(operand_count ? operands[0] : ""), &rows, &count, &arena, &why);
    if (!err && k->as_json)
        print_json(rows, count);
    else if (!err)
        print_rows(rows, count);
    pg_session_close(s);
    arena_release(&arena);
    return command_end(err, &why);
}

const struct command cmd_keys_list = {
    .name = "keys list",
    .operands = "[account]",
    .purpose = "List the API keys, without their secrets",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .operands_most = 1,
    .settings_size = sizeof(struct keys_settings),
    .run = list,
};

/* The whole key is fine too. */
static struct slice prefix_of(const char *text)
{
    struct slice prefix = slice_str(text);

    if (!slice_starts_with(prefix, SLICE("ak_")))
        return prefix;
    return slice_of(text + 3, prefix.len - 3 < API_KEY_PREFIX_LEN ? prefix.len - 3 : API_KEY_PREFIX_LEN);
}

static enum exit_code revoke(const void *settings, char **operands, size_t operand_count)
{
    struct slice prefix = prefix_of(operands[0]);
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)settings;
    (void)operand_count;
    if (!err)
        err = key_revoke(s, prefix, login_name(), &why);
    pg_session_close(s);
    if (err)
        return command_fail(err == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED, "%.*s: %s",
                            SLICE_ARG(prefix), why.text);
    printf("revoked %.*s\n", SLICE_ARG(prefix));
    return EXIT_DONE;
}

const struct command cmd_keys_revoke = {
    .name = "keys revoke",
    .operands = "<prefix>",
    .purpose = "End an API key; services that run hear of it at once",
    .operands_least = 1,
    .operands_most = 1,
    .run = revoke,
};

static const struct option rotate_options[] = {
    { "grace-hours", OPTION_INT, offsetof(struct keys_settings, grace_hours), "N",
      "the old one goes on for so long; 0 ends it at once" },
    { "quiet", OPTION_FLAG, offsetof(struct keys_settings, is_quiet), NULL, "print the key alone" },
};

static enum exit_code rotate(const void *settings, char **operands, size_t operand_count)
{
    const struct keys_settings *k = settings;
    struct pg_session *s;
    struct api_key key;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operand_count;
    if (!err)
        err = key_rotate(s, prefix_of(operands[0]), k->grace_hours * 3600, login_name(), &key, &why);
    pg_session_close(s);
    if (err)
        return command_fail(err == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED, "%s", why.text);
    print_key(&key, k->is_quiet);
    api_key_forget(&key);
    return EXIT_DONE;
}

const struct command cmd_keys_rotate = {
    .name = "keys rotate",
    .operands = "<prefix>",
    .purpose = "Make a key like another, which ends after a while",
    .text = "The new key has the scopes, limits, owner and note of the old one, and lasts as long as that "
            "did from its "
            "making.\n\n"
            "  assay keys rotate 1f2e3d4c --grace-hours 24",
    .options = rotate_options,
    .option_count = ARRAY_LEN(rotate_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct keys_settings),
    .defaults = &defaults,
    .run = rotate,
};
