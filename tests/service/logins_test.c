/* SPDX-License-Identifier: Apache-2.0
 * logins_test.c - `assay logins`: what a service's own login may do, and what is refused. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/cluster.h"
#include "pg/session.h"

static char dir[32];
static const char *conninfo;

static void setup(void)
{
    strcpy(dir, "/tmp/assay_logins_XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    conninfo = test_database();
    setenv("ASSAY_PG_URL", conninfo, 1);
}

static void teardown(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(logins, .init = setup, .fini = teardown, .timeout = 180);

/* `assay logins` with a file that holds `url`; its exit status. */
static int logins(const char *url)
{
    char program[PATH_MAX] = "", command[2 * PATH_MAX];
    int status;
    FILE *f;

    snprintf(command, sizeof command, "%s/url", dir);
    f = fopen(command, "w");
    cr_assert(f && fputs(url, f) >= 0 && fclose(f) == 0);
    cr_assert_gt(readlink("/proc/self/exe", program, sizeof program - 1), 0);
    *strrchr(program, '/') = '\0';
    snprintf(command, sizeof command, "%s/bin/assay logins %s/url >%s/out 2>&1", program, dir, dir);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct pg_session *open_as(const char *user)
{
    char text[1024];
    struct pg_session *s = NULL;
    struct why why = { 0 };

    snprintf(text, sizeof text, "%s user=%s", conninfo, user);
    cr_assert_eq(pg_session_open(&s, text, "test", &why), ERR_OK, "%s", why.text);
    return s;
}

/* The shared cluster asks nobody for a password, so what is kept of it is looked at. */
static bool has_scram_password(const char *user, char verifier[256])
{
    struct pg_session *s = NULL;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };

    cr_assert_eq(pg_session_open(&s, conninfo, "test", &why), ERR_OK, "%s", why.text);
    pg_add_text(&p, slice_str(user));
    cr_assert_eq(
        pg_exec(s, "SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = $1::text", &p, &r, &why),
        ERR_OK, "%s", why.text);
    cr_assert_eq(pg_rows(r), 1);
    snprintf(verifier, 256, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    return strncmp(verifier, "SCRAM-SHA-256$", strlen("SCRAM-SHA-256$")) == 0;
}

Test(logins, lets_a_service_in_with_its_own_rights_and_no_others)
{
    struct pg_session *s;
    struct why why = { 0 };

    cr_assert_eq(logins("postgresql://scoring:secret@anywhere/assay\n"), 0);
    s = open_as("scoring");
    cr_assert_eq(pg_exec_script(s, "SELECT * FROM models; SET ROLE assay_scoring", &why), ERR_OK, "%s",
                 why.text);
    cr_assert_neq(pg_exec_script(s, "RESET ROLE; SELECT * FROM api_keys", &why), ERR_OK);
    cr_assert_str_eq(pg_sqlstate(s), "42501");
    cr_assert_neq(pg_exec_script(s, "SET ROLE assay_ingestion", &why), ERR_OK);
    cr_assert_str_eq(pg_sqlstate(s), "42501");
    pg_session_close(s);
}

Test(logins, changes_a_password_that_the_server_never_sees)
{
    char first[256], second[256];

    cr_assert_eq(logins("postgresql://rules:one@anywhere/assay"), 0);
    cr_assert(has_scram_password("rules", first), "%s", first);
    cr_assert_eq(logins("postgresql://rules:two@anywhere/assay"), 0);
    cr_assert(has_scram_password("rules", second), "%s", second);
    cr_assert_str_neq(first, second);
}

Test(logins, makes_none_that_is_not_named_after_a_service)
{
    cr_assert_eq(logins("postgresql://nobody:secret@anywhere/assay"), 1);
    cr_assert_eq(logins("postgresql://rules@anywhere/assay"), 1, "no password");
    cr_assert_eq(logins("://"), 1);
}
