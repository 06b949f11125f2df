/* SPDX-License-Identifier: Apache-2.0
 * cmd_users.c - `assay users add`, `list`, `passwd`, `roles`, `disable` and `enable`: who may log in to the dashboard. */
#include "command.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "listing.h"
#include "pg/session.h"
#include "userstore/password.h"
#include "userstore/user.h"

struct users_options {
    const char *roles, *full_name;
    bool is_random, is_quiet, as_json;
};
static const struct users_options defaults = { .roles = "analyst", .full_name = "" };

/* ---- passwords ---- */

/* One line of standard input, not shown when somebody types it. */
static enum err read_line(const char *prompt, char *line, size_t room, struct why *why)
{
    struct termios before, hidden;
    bool is_typed = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    bool is_read;

    if (is_typed) {
        hidden = before;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
        fputs(prompt, stderr);
    }
    is_read = fgets(line, (int)room, stdin) != NULL;
    if (is_typed) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputs("\n", stderr);
    }
    if (!is_read || !strchr(line, '\n'))
        return err_set(why, ERR_INVALID, "a password stands in one line of standard input");
    line[strcspn(line, "\n")] = '\0';
    return ERR_OK;
}

/* A new password: read twice from a terminal, once from a pipe, or made. */
static enum err new_password(const struct users_options *o, char *password, size_t room, struct why *why)
{
    char again[PASSWORD_MOST + 2];
    enum err err;

    if (o->is_random) {
        password_make(password);
        return ERR_OK;
    }
    err = read_line("New password: ", password, room, why);
    if (!err && isatty(STDIN_FILENO)) {
        err = read_line("Once more: ", again, sizeof again, why);
        if (!err && strcmp(password, again) != 0)
            err = err_set(why, ERR_INVALID, "the two are not the same");
        sodium_memzero(again, sizeof again);
    }
    return err;
}

static void tell_password(const struct users_options *o, const char *name, const char *password)
{
    if (o->is_random && o->is_quiet)
        printf("%s\n", password);
    else if (o->is_random)
        printf("%s\n\nThis is the password of %s. It is shown this once.\n", password, name);
}

/* ---- commands ---- */

static enum exit_code add(const void *settings, char **operands, size_t operand_count)
{
    const struct users_options *o = settings;
    char password[PASSWORD_MOST + 2];
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = new_password(o, password, sizeof password, &why);

    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = user_add(s,
                       &(struct user){ .name = slice_str(operands[0]),
                                       .full_name = slice_str(o->full_name),
                                       .roles = slice_str(o->roles) },
                       slice_str(password), login_name(), &why);
    if (!err)
        tell_password(o, operands[0], password);
    sodium_memzero(password, sizeof password);
    pg_session_close(s);
    return command_end(err, &why);
}

static enum exit_code passwd(const void *settings, char **operands, size_t operand_count)
{
    const struct users_options *o = settings;
    char password[PASSWORD_MOST + 2];
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = new_password(o, password, sizeof password, &why);

    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = user_set_password(s, slice_str(operands[0]), slice_str(password), login_name(), &why);
    if (!err)
        tell_password(o, operands[0], password);
    sodium_memzero(password, sizeof password);
    pg_session_close(s);
    return command_end(err, &why);
}

static enum exit_code roles(const void *settings, char **operands, size_t operand_count)
{
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)settings;
    (void)operand_count;
    if (!err)
        err = user_set_roles(s, slice_str(operands[0]), slice_str(operands[1]), login_name(), &why);
    pg_session_close(s);
    return command_end(err, &why);
}

static enum exit_code set_disabled(const char *name, bool is_disabled)
{
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = user_disable(s, slice_str(name), is_disabled, login_name(), &why);
    pg_session_close(s);
    return command_end(err, &why);
}

static enum exit_code disable(const void *settings, char **operands, size_t operand_count)
{
    (void)settings;
    (void)operand_count;
    return set_disabled(operands[0], true);
}

static enum exit_code enable(const void *settings, char **operands, size_t operand_count)
{
    (void)settings;
    (void)operand_count;
    return set_disabled(operands[0], false);
}

static void write_user(struct json_out *o, const void *item)
{
    user_write(o, NULL, item);
}

static void print_json(const struct user *all, size_t count)
{
    listing_print(all, count, sizeof *all, write_user);
}

static void print_table(const struct user *all, size_t count)
{
    char at[RFC3339_SIZE];

    if (!count) {
        puts("nobody may log in yet; `assay users add NAME` lets somebody in");
        return;
    }
    printf("%-20s %-9s %-20s %-36s %s\n", "NAME", "STATE", "CREATED", "ROLES", "FULL NAME");
    for (size_t i = 0; i < count; i++) {
        rfc3339_format(all[i].created_at_us / SECOND_US * SECOND_US, at);
        printf("%-20.*s %-9s %-20s %-36.*s %.*s\n", SLICE_ARG(all[i].name),
               all[i].is_disabled ? "disabled" : "active", at, SLICE_ARG(all[i].roles),
               SLICE_ARG(all[i].full_name));
    }
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct users_options *o = settings;
    struct arena arena = { 0 };
    struct user *all;
    size_t count;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = user_list(s, &all, &count, &arena, &why);
    if (!err && o->as_json)
        print_json(all, count);
    else if (!err)
        print_table(all, count);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

#define AT(field) offsetof(struct users_options, field)
#define RANDOM_OPTIONS                                                                                       \
    { "random", OPTION_FLAG, AT(is_random), NULL, "make a password and print it, once" },                    \
    {                                                                                                        \
        "quiet", OPTION_FLAG, AT(is_quiet), NULL, "print the password alone"                                 \
    }

static const struct option add_options[] = {
    { "roles", OPTION_TEXT, AT(roles), "LIST", "what the user may do (analyst)" },
    { "full-name", OPTION_TEXT, AT(full_name), "TEXT", "as people call the user" },
    RANDOM_OPTIONS,
};
static const struct option passwd_options[] = { RANDOM_OPTIONS };
static const struct option list_options[] = {
    { "json", OPTION_FLAG, AT(as_json), NULL, "as JSON" },
};

const struct command cmd_users_add = {
    .name = "users add",
    .operands = "<name>",
    .purpose = "Let somebody log in to the dashboard",
    .text =
        "The password is asked for, or read from standard input: 12 bytes at least. Roles, comma-separated:\n"
        "  analyst      works on the review queue\n"
        "  lead         gives cases to others too\n"
        "  rule_author  writes rule sets and lists\n"
        "  publisher    puts rule sets that others wrote in force\n"
        "  model_owner  promotes models and takes them back\n"
        "  admin        manages users and keys\n"
        "  auditor      reads everything, changes nothing\n\n"
        "  assay users add ann --roles analyst,lead --full-name 'Ann Example'\n"
        "  assay users add bob --random",
    .options = add_options,
    .option_count = ARRAY_LEN(add_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct users_options),
    .defaults = &defaults,
    .run = add,
};

const struct command cmd_users_list = {
    .name = "users list",
    .operands = "",
    .purpose = "List who may log in to the dashboard",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .settings_size = sizeof(struct users_options),
    .defaults = &defaults,
    .run = list,
};

const struct command cmd_users_passwd = {
    .name = "users passwd",
    .operands = "<name>",
    .purpose = "Give a user another password",
    .text = "It ends the user's sessions, and whatever the user was locked out for.",
    .options = passwd_options,
    .option_count = ARRAY_LEN(passwd_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct users_options),
    .defaults = &defaults,
    .run = passwd,
};

const struct command cmd_users_roles = {
    .name = "users roles",
    .operands = "<name> <roles>",
    .purpose = "Give a user other roles in the place of those that were",
    .text = "It ends the user's sessions.\n\n  assay users roles ann analyst,lead",
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct users_options),
    .defaults = &defaults,
    .run = roles,
};

const struct command cmd_users_disable = {
    .name = "users disable",
    .operands = "<name>",
    .purpose = "Let a user in no more",
    .text = "It ends the user's sessions at once, and the user's cases are open again. What the user did "
            "stays under the name.",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct users_options),
    .defaults = &defaults,
    .run = disable,
};

const struct command cmd_users_enable = {
    .name = "users enable",
    .operands = "<name>",
    .purpose = "Let a user in again",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct users_options),
    .defaults = &defaults,
    .run = enable,
};
