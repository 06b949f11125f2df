/* SPDX-License-Identifier: Apache-2.0
 * cmd_webhooks.c - `assay webhooks add`, `list`, `test`, `rotate`, `enable`, `disable` and `remove`. */
#include "command.h"

#include <inttypes.h>
#include <sodium.h>
#include <unistd.h>

#include "account.h"
#include "alertstore/outbox.h"
#include "alertstore/webhook_row.h"
#include "base/array.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "database.h"
#include "listing.h"
#include "deliver/address.h"
#include "pg/session.h"
#include "webhook_key.h"

struct webhooks_options {
    bool as_json;
};

/* What the monitor's settings allow. */
struct allowed {
    bool http, private;
    const char *source;
};

static enum err read_allowed(struct allowed *allowed, struct why *why)
{
    static const struct conf_field fields[] = {
        { "ALERT_ALLOW_HTTP", CONF_BOOL, offsetof(struct allowed, http), "false", "http", 0, 0 },
        { "ALERT_ALLOW_PRIVATE", CONF_BOOL, offsetof(struct allowed, private), "false", "private addresses",
          0, 0 },
        { "ALERT_SOURCE", CONF_TEXT, offsetof(struct allowed, source), "/assay/monitor", "of events", 0, 0 },
    };

    return conf_load(allowed, fields, ARRAY_LEN(fields), why);
}

static void print_secret(struct webhook_secret *secret)
{
    char text[WEBHOOK_SECRET_SIZE];

    webhook_secret_write(secret, text);
    printf("secret: %s\nIt is shown this once: give it to whoever checks the signatures.\n", text);
    sodium_memzero(text, sizeof text);
    sodium_memzero(secret, sizeof *secret);
}

/* ---- add, rotate ---- */

static enum exit_code add(const void *settings, char **operands, size_t operand_count)
{
    struct webhook_secret secret;
    struct allowed allowed;
    struct seal_key key;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = read_allowed(&allowed, &why);

    (void)settings;
    (void)operand_count;
    if (!err)
        err = address_check_url(operands[1], allowed.http, allowed.private, &why);
    if (!err)
        err = webhook_key_find(&key, &why);
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = webhook_row_add(s, &key, slice_str(operands[0]), slice_str(operands[1]), login_name(), &secret,
                              &why);
    if (!err)
        print_secret(&secret);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_webhooks_add = {
    .name = "webhooks add",
    .operands = "<name> <url>",
    .purpose = "Have alerts sent to a URL from now on",
    .text = "Messages are signed as Standard Webhooks and carry CloudEvents. The URL must be https and must "
            "not lead\n"
            "to a private address, unless ASSAY_ALERT_ALLOW_HTTP and ASSAY_ALERT_ALLOW_PRIVATE say "
            "otherwise, here\n"
            "and in the monitor.\n\n"
            "  assay webhooks add ops https://hooks.example.com/assay",
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct webhooks_options),
    .run = add,
};

static enum exit_code rotate(const void *settings, char **operands, size_t operand_count)
{
    struct webhook_secret secret;
    struct seal_key key;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = webhook_key_find(&key, &why);

    (void)settings;
    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err =
            webhook_row_rotate(s, &key, slice_str(operands[0]), clock_wall_us(), login_name(), &secret, &why);
    if (!err)
        print_secret(&secret);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_webhooks_rotate = {
    .name = "webhooks rotate",
    .operands = "<name>",
    .purpose = "Give a webhook a new secret",
    .text = "For a day messages are signed with the old one too, so that a receiver can change over.",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct webhooks_options),
    .run = rotate,
};

/* ---- list ---- */

static void print_webhooks(const struct webhook_row *all, size_t count)
{
    if (!count)
        printf("nobody is told: `assay webhooks add` adds one\n");
    else
        printf("%-16s %-9s %8s  %s\n", "NAME", "STATE", "WAITING", "URL");
    for (size_t i = 0; i < count; i++) {
        printf("%-16.*s %-9s %8" PRId64 "  %.*s\n", SLICE_ARG(all[i].name),
               all[i].is_enabled ? "enabled" : "disabled", all[i].waiting, SLICE_ARG(all[i].url));
        if (all[i].disabled_because.len)
            printf("%-16s because %.*s\n", "", SLICE_ARG(all[i].disabled_because));
    }
}

static void write_webhook_row(struct json_out *o, const void *item)
{
    webhook_row_write(o, NULL, item);
}

static void print_webhooks_json(const struct webhook_row *all, size_t count)
{
    listing_print(all, count, sizeof *all, write_webhook_row);
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct webhooks_options *o = settings;
    struct arena arena = { 0 };
    struct webhook_row *all;
    size_t count;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = webhook_row_list(s, &all, &count, &arena, &why);
    if (!err)
        (o->as_json ? print_webhooks_json : print_webhooks)(all, count);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct option json_options[] = {
    { "json", OPTION_FLAG, offsetof(struct webhooks_options, as_json), NULL, "as JSON" },
};

const struct command cmd_webhooks_list = {
    .name = "webhooks list",
    .operands = "",
    .purpose = "List who is told of alerts",
    .options = json_options,
    .option_count = ARRAY_LEN(json_options),
    .settings_size = sizeof(struct webhooks_options),
    .run = list,
};

/* ---- test ---- */

enum { TEST_PATIENCE_S = 45, TEST_LOOK_US = 100000 };

/* Until the monitor has sent it, or for a while. */
static enum err await(struct pg_session *s, int64_t delivery, struct delivery_row *out, struct arena *arena,
                      struct why *why)
{
    int64_t until_us = clock_mono_us() + TEST_PATIENCE_S * SECOND_US;
    struct delivery_row *rows;
    size_t count;
    enum err err = ERR_OK;

    do {
        usleep(TEST_LOOK_US);
        arena_reset(arena);
        err = delivery_row_list(s, 0, delivery, 1, &rows, &count, arena, why);
        if (!err && count == 0)
            err = err_set(why, ERR_NOT_FOUND, "the webhook was removed");
        if (err)
            return err;
        *out = rows[0];
    } while (slice_eq_str(out->state, "pending") && clock_mono_us() < until_us);
    return ERR_OK;
}

static enum exit_code judge(const struct delivery_row *d)
{
    if (slice_eq_str(d->state, "delivered")) {
        printf("delivered: it answered %" PRId64 "\n", d->last_status);
        return EXIT_DONE;
    }
    if (slice_eq_str(d->state, "pending"))
        return command_fail(EXIT_FAILED, "nothing has sent it in %d s: does the monitor run?",
                            TEST_PATIENCE_S);
    return command_fail(EXIT_FAILED, "not delivered: %.*s", SLICE_ARG(d->last_trouble));
}

static enum exit_code test(const void *settings, char **operands, size_t operand_count)
{
    struct arena arena = { 0 };
    struct delivery_row row;
    struct allowed allowed;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    int64_t delivery;
    enum exit_code code;
    enum err err = read_allowed(&allowed, &why);

    (void)settings;
    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = outbox_add_test(s, slice_str(operands[0]), slice_str(allowed.source), clock_wall_us(),
                              login_name(), &delivery, &why);
    if (!err)
        err = await(s, delivery, &row, &arena, &why);
    code = err ? command_end(err, &why) : judge(&row);
    arena_release(&arena);
    pg_session_close(s);
    return code;
}

const struct command cmd_webhooks_test = {
    .name = "webhooks test",
    .operands = "<name>",
    .purpose = "Have the monitor send a message, and see what becomes of it",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct webhooks_options),
    .run = test,
};

/* ---- enable, disable, remove ---- */

static enum exit_code change(const char *name,
                             enum err (*how)(struct pg_session *s, struct slice name, struct why *why))
{
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = how(s, slice_str(name), &why);
    pg_session_close(s);
    return command_end(err, &why);
}

static enum err enable_it(struct pg_session *s, struct slice name, struct why *why)
{
    return webhook_row_enable(s, name, true, SLICE(""), login_name(), why);
}

static enum err disable_it(struct pg_session *s, struct slice name, struct why *why)
{
    return webhook_row_enable(s, name, false, SLICE("somebody disabled it"), login_name(), why);
}

static enum err remove_it(struct pg_session *s, struct slice name, struct why *why)
{
    return webhook_row_remove(s, name, login_name(), why);
}

static enum exit_code enable(const void *settings, char **operands, size_t operand_count)
{
    (void)settings;
    (void)operand_count;
    return change(operands[0], enable_it);
}

static enum exit_code disable(const void *settings, char **operands, size_t operand_count)
{
    (void)settings;
    (void)operand_count;
    return change(operands[0], disable_it);
}

static enum exit_code remove_one(const void *settings, char **operands, size_t operand_count)
{
    (void)settings;
    (void)operand_count;
    return change(operands[0], remove_it);
}

const struct command cmd_webhooks_enable = {
    .name = "webhooks enable",
    .operands = "<name>",
    .purpose = "Send to a webhook again, first what has waited",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct webhooks_options),
    .run = enable,
};

const struct command cmd_webhooks_disable = {
    .name = "webhooks disable",
    .operands = "<name>",
    .purpose = "Send nothing to a webhook for now",
    .text = "What is on its way to it waits; what happens meanwhile is not kept for it.",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct webhooks_options),
    .run = disable,
};

const struct command cmd_webhooks_remove = {
    .name = "webhooks remove",
    .operands = "<name>",
    .purpose = "Forget a webhook, with all that was on its way to it",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct webhooks_options),
    .run = remove_one,
};
