/* SPDX-License-Identifier: Apache-2.0
 * cmd_certs.c - `assay certs`: the certificates that services and callers know each other by. */
#include "command.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "certs.h"
#include "home.h"

struct certs_settings {
    const char *home, *dir;
    struct certs_wish wish;
    int64_t warn_days;
    bool is_server, has_new_authority, forgets, is_quiet;
};

#define AT(field) offsetof(struct certs_settings, field)
#define DIR_OPTIONS                                                                                          \
    { "dir", OPTION_TEXT, AT(dir), "DIR", "where they are kept (certs in the home directory)" },             \
    {                                                                                                        \
        "home", OPTION_TEXT, AT(home), "DIR", "whose they are (ASSAY_HOME, else ./var)"                      \
    }
#define LEAF_OPTIONS                                                                                         \
    { "days", OPTION_INT, AT(wish.days), "N", "how long certificates hold (365)" },                          \
    {                                                                                                        \
        "san", OPTION_TEXT, AT(wish.hosts), "NAME,...",                                                      \
            "more host names and addresses that servers are reached by"                                      \
    }
#define QUIET_OPTION                                                                                         \
    {                                                                                                        \
        "quiet", OPTION_FLAG, AT(is_quiet), NULL, "say nothing when all is well"                             \
    }
#define AUTHORITY_DAYS                                                                                       \
    {                                                                                                        \
        "ca-days", OPTION_INT, AT(wish.authority_days), "N", "how long a new authority holds (3650)"         \
    }

static const struct option init_options[] = { DIR_OPTIONS, LEAF_OPTIONS, AUTHORITY_DAYS, QUIET_OPTION };
static const struct option issue_options[] = {
    DIR_OPTIONS,
    LEAF_OPTIONS,
    { "server", OPTION_FLAG, AT(is_server), NULL, "it is called too, and does not only call" },
    QUIET_OPTION,
};
static const struct option rotate_options[] = {
    DIR_OPTIONS,
    LEAF_OPTIONS,
    { "ca", OPTION_FLAG, AT(has_new_authority), NULL, "a new authority beside the old; certificates stay" },
    { "forget", OPTION_FLAG, AT(forgets), NULL, "trust the old authority no longer" },
    AUTHORITY_DAYS,
    QUIET_OPTION,
};
static const struct option show_options[] = {
    DIR_OPTIONS,
    { "warn-days", OPTION_INT, AT(warn_days), "N", "warn when less is left (30)" },
    QUIET_OPTION,
};
#undef AT

static const struct certs_settings defaults = {
    .wish = { .days = 365, .authority_days = 3650 },
    .warn_days = 30,
};

enum { DAYS_MOST = 36500 };

/* ---- what all of them do ---- */

static enum err find_dir(const struct certs_settings *s, bool makes_it, char dir[PATH_MAX], struct why *why)
{
    char home[PATH_MAX];
    enum err err = ERR_OK;

    if (s->dir) {
        if (strlen(s->dir) >= PATH_MAX)
            return err_set(why, ERR_INVALID, "%s is too long", s->dir);
        memcpy(dir, s->dir, strlen(s->dir) + 1);
        return ERR_OK;
    }
    if (makes_it)
        err = home_open(home, s->home, why);
    else if (!home_find(home, s->home))
        err = err_set(why, ERR_NOT_FOUND, "there is no such home; see `assay help certs init`");
    if (!err && !home_path(dir, home, "certs"))
        err = err_set(why, ERR_INVALID, "%s is too long", home);
    return err;
}

static bool are_days_good(const struct certs_settings *s)
{
    return s->wish.days >= 1 && s->wish.days <= DAYS_MOST && s->wish.authority_days >= 1 &&
           s->wish.authority_days <= DAYS_MOST && s->warn_days >= 0 && s->warn_days <= DAYS_MOST;
}

static void tell(const char *path, const struct issued *what)
{
    char until[RFC3339_SIZE];

    rfc3339_format(issued_ends_us(what), until);
    printf("%s: %s, until %.10s\n", path, issued_name(what), until);
}

/* ---- init, issue, rotate ---- */

static enum exit_code run_init(const void *settings, char **operands, size_t operand_count)
{
    const struct certs_settings *s = settings;
    char dir[PATH_MAX];
    struct why why = { 0 };
    enum err err;

    (void)operands;
    (void)operand_count;
    if (!are_days_good(s))
        return command_fail(EXIT_USAGE, "days are 1 to %d", DAYS_MOST);
    err = find_dir(s, true, dir, &why);
    if (!err)
        err = certs_init(dir, &s->wish, s->is_quiet ? NULL : tell, &why);
    if (!err && !s->is_quiet)
        printf("Certificates are in %s; authority/ stays with you, each service gets its own directory.\n",
               dir);
    return command_end(err, &why);
}

static enum exit_code run_issue(const void *settings, char **operands, size_t operand_count)
{
    const struct certs_settings *s = settings;
    char dir[PATH_MAX];
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    if (!are_days_good(s))
        return command_fail(EXIT_USAGE, "days are 1 to %d", DAYS_MOST);
    err = find_dir(s, false, dir, &why);
    if (!err)
        err = certs_issue(dir, operands[0], s->is_server, &s->wish, s->is_quiet ? NULL : tell, &why);
    return command_end(err, &why);
}

static enum exit_code run_rotate(const void *settings, char **operands, size_t operand_count)
{
    const struct certs_settings *s = settings;
    certs_told_fn *told = s->is_quiet ? NULL : tell;
    char dir[PATH_MAX];
    struct why why = { 0 };
    enum err err;

    (void)operands;
    (void)operand_count;
    if (!are_days_good(s))
        return command_fail(EXIT_USAGE, "days are 1 to %d", DAYS_MOST);
    if (s->has_new_authority && s->forgets)
        return command_fail(EXIT_USAGE, "--ca or --forget: one after the other");
    err = find_dir(s, false, dir, &why);
    if (!err && s->has_new_authority)
        err = certs_rotate_authority(dir, &s->wish, told, &why);
    else if (!err && s->forgets)
        err = certs_forget_previous(dir, told, &why);
    else if (!err)
        err = certs_rotate(dir, &s->wish, told, &why);
    if (!err && s->has_new_authority && told)
        printf("Both authorities are trusted now. When all have read it: assay certs rotate,\n"
               "and when all have their new certificates: assay certs rotate --forget\n");
    return command_end(err, &why);
}

/* ---- show ---- */

static const char *judge(const struct certs_row *row, int64_t left_us, const struct certs_settings *s)
{
    if (row->fault.text[0])
        return row->fault.text;
    if (left_us <= 0)
        return "OUT OF DATE";
    if (left_us < s->warn_days * DAY_US && !row->is_previous)
        return "ends soon";
    return NULL;
}

/* True when nothing is wrong with it. */
static bool show_row(const struct certs_row *row, const struct certs_settings *s)
{
    int64_t left_us = row->issued ? issued_ends_us(row->issued) - clock_wall_us() : 0;
    const char *fault = judge(row, left_us, s);
    char until[RFC3339_SIZE];

    if (s->is_quiet && !fault)
        return true;
    if (!row->issued) {
        printf("%s: %s\n", row->path, fault);
        return false;
    }
    rfc3339_format(issued_ends_us(row->issued), until);
    printf("%-28s %-10.10s %5lld  %-28s %s%s%s\n", issued_name(row->issued), until,
           (long long)(left_us / DAY_US), issued_issuer(row->issued),
           row->is_authority  ? "authority"
           : row->is_previous ? "authority before, still trusted"
                              : issued_hosts(row->issued),
           fault ? "  << " : "", fault ? fault : "");
    return !fault;
}

static enum exit_code run_show(const void *settings, char **operands, size_t operand_count)
{
    const struct certs_settings *s = settings;
    struct certs_rows *rows = mem_new(struct certs_rows);
    char dir[PATH_MAX];
    struct why why = { 0 };
    bool is_well = true;
    enum err err = find_dir(s, false, dir, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = certs_look(dir, rows, &why);
    if (!err && !s->is_quiet)
        printf("%s\n%-28s %-10s %5s  %-28s %s\n", dir, "NAME", "UNTIL", "DAYS", "BY", "REACHED AS");
    for (size_t i = 0; i < rows->count; i++)
        is_well = show_row(&rows->rows[i], s) && is_well;
    certs_rows_release(rows);
    mem_free(rows);
    if (err)
        return command_end(err, &why);
    return is_well ? EXIT_DONE : EXIT_FAILED;
}

/* ---- the commands ---- */

const struct command cmd_certs_init = {
    .name = "certs init",
    .operands = "",
    .purpose = "Make an authority and the certificates of every service",
    .text =
        "Writes authority/ca.pem (the authority with its key: it is for this command alone), ca.pem (whom\n"
        "to trust), and for features, scoring, rules, ingestion, edge (HTTPS) and assay (you) a directory\n"
        "with tls.pem (certificate and key, mode 0600) and ca.pem. Only what is missing is made, so it may\n"
        "run at every start. Written by root, a key belongs to the owner of its directory.\n\n"
        "  assay certs init\n"
        "  assay certs init --dir /etc/assay/certs --san api.shop.example,10.0.0.7",
    .options = init_options,
    .option_count = sizeof init_options / sizeof *init_options,
    .settings_size = sizeof(struct certs_settings),
    .defaults = &defaults,
    .run = run_init,
};

const struct command cmd_certs_issue = {
    .name = "certs issue",
    .operands = "<name>",
    .purpose = "Make a certificate for one more caller",
    .text = "Services let in whom ASSAY_TLS_ALLOW names.\n\n  assay certs issue batch-scorer",
    .options = issue_options,
    .option_count = sizeof issue_options / sizeof *issue_options,
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct certs_settings),
    .defaults = &defaults,
    .run = run_issue,
};

const struct command cmd_certs_rotate = {
    .name = "certs rotate",
    .operands = "",
    .purpose = "Replace certificates and keys while everything runs",
    .text =
        "Services look at their files every second and go over to new ones without a restart; no request\n"
        "fails. Certificates keep the hosts that they had. The authority is replaced in three steps:\n\n"
        "  assay certs rotate              new certificates and keys, from the authority that is there\n"
        "  assay certs rotate --ca         1. a new authority, trusted beside the old\n"
        "  assay certs rotate              2. certificates from the new one, when all trust it\n"
        "  assay certs rotate --forget     3. the old one is trusted no longer\n\n"
        "On one machine steps 2 and 3 wait by themselves for the one before to be seen. Where files are "
        "copied to other\n"
        "machines, copy after each step.",
    .options = rotate_options,
    .option_count = sizeof rotate_options / sizeof *rotate_options,
    .settings_size = sizeof(struct certs_settings),
    .defaults = &defaults,
    .run = run_rotate,
};

const struct command cmd_certs_show = {
    .name = "certs show",
    .operands = "",
    .purpose = "Who has a certificate, by whom, and until when",
    .text = "Exit status 1 when one ends soon, is out of date or cannot be used; so for cron:\n\n"
            "  assay certs show --quiet || mail -s 'certificates' operators",
    .options = show_options,
    .option_count = sizeof show_options / sizeof *show_options,
    .settings_size = sizeof(struct certs_settings),
    .defaults = &defaults,
    .run = run_show,
};
