/* SPDX-License-Identifier: Apache-2.0
 * certs_test.c - what `assay certs` makes and replaces; the openssl command is the judge. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../services/cli/certs.h"
#include "base/array.h"
#include "base/clock.h"

static char dir[] = "/tmp/assay-certs-XXXXXX";
static struct why why;
static size_t told;

static void count_told(const char *path, const struct issued *what)
{
    cr_assert(*path == '/' && *issued_name(what));
    told++;
}

static int shell(const char *format, const char *a, const char *b)
{
    char command[1024];

    snprintf(command, sizeof command, "cd %s && ", dir);
    snprintf(command + strlen(command), sizeof command - strlen(command), format, a, b);
    strcat(command, " >/dev/null 2>&1");
    return system(command);
}

static struct issued *read_leaf(const char *name)
{
    struct issued *i;
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s/tls.pem", dir, name);
    cr_assert_eq(issued_read(&i, path, &why), ERR_OK, "%s", why.text);
    return i;
}

static bool is_replaced(const char *name, const struct issued *before)
{
    struct issued *now = read_leaf(name);
    bool is = !issued_has_same_key(now, before);

    issued_free(now);
    return is;
}

/* As if it had been written a minute ago: nobody has to wait for others to see it. */
static void let_time_pass(void)
{
    cr_assert_eq(shell("touch -d '1 minute ago' ca.pem */tls.pem", "", ""), 0);
}

static void setup(void)
{
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(certs_init(dir, &certs_usual, count_told, &why), ERR_OK, "%s", why.text);
}

static void teardown(void)
{
    shell("rm -rf %s", dir, "");
}

TestSuite(certs, .init = setup, .fini = teardown, .timeout = 180);

Test(certs, are_what_openssl_takes_for_their_purpose_and_no_other)
{
    static const char *const servers[] = { "features", "scoring", "rules", "edge", "retrainer", "monitor" };
    static const char *const clients[] = { "ingestion", "assay", "shadow", "dashboard" };

    cr_assert_eq(told, 11);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        cr_assert_eq(shell("openssl verify -x509_strict -purpose sslserver -verify_hostname %s -CAfile "
                           "ca.pem %s/tls.pem",
                           servers[i], servers[i]),
                     0);
        cr_assert_eq(
            shell("openssl verify -verify_ip ::1 -CAfile %s/ca.pem %s/tls.pem", servers[i], servers[i]), 0);
        cr_assert_neq(shell("openssl verify -purpose sslclient -CAfile ca.pem %s/tls.pem", servers[i], ""),
                      0);
    }
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        cr_assert_eq(
            shell("openssl verify -x509_strict -purpose sslclient -CAfile ca.pem %s/tls.pem", clients[i], ""),
            0);
        cr_assert_neq(shell("openssl verify -purpose sslserver -CAfile ca.pem %s/tls.pem", clients[i], ""),
                      0);
    }
    cr_assert_neq(shell("openssl verify -purpose sslserver -CAfile features/tls.pem scoring/tls.pem", "", ""),
                  0, "a leaf signs nothing");
}

Test(certs, keep_their_keys_to_their_owner)
{
    struct stat st;
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/features/tls.pem", dir);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    snprintf(path, sizeof path, "%s/authority", dir);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    cr_assert_neq(shell("grep -l KEY ca.pem */ca.pem | grep -v authority", "", ""), 0,
                  "there is none in what all may read");
}

Test(certs, that_are_there_stay_when_the_others_are_made)
{
    struct issued *features = read_leaf("features"), *rules = read_leaf("rules");

    cr_assert_eq(shell("rm -r rules", "", ""), 0);
    told = 0;
    cr_assert_eq(certs_init(dir, &certs_usual, count_told, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(told, 1);
    cr_assert_not(is_replaced("features", features));
    cr_assert(is_replaced("rules", rules));
    cr_assert_eq(shell("cmp ca.pem rules/ca.pem", "", ""), 0);
    issued_free(features);
    issued_free(rules);
}

Test(certs, are_renewed_with_the_hosts_that_they_had)
{
    struct certs_wish wish = { .days = 10, .authority_days = 10, .hosts = "api.shop.example, 10.0.0.7" };
    struct issued *before = read_leaf("edge"), *after;

    cr_assert_eq(certs_rotate(dir, &wish, NULL, &why), ERR_OK, "%s", why.text);
    wish.hosts = "10.0.0.7,more.example";
    cr_assert_eq(certs_rotate(dir, &wish, NULL, &why), ERR_OK, "%s", why.text);
    after = read_leaf("edge");
    cr_assert_not(issued_has_same_key(before, after));
    cr_assert_str_eq(issued_hosts(after),
                     "edge,localhost,127.0.0.1,::1,api.shop.example,10.0.0.7,more.example");
    cr_assert_lt(issued_ends_us(after), clock_wall_us() + 11 * DAY_US);
    cr_assert(issued_is_server(after) && !issued_is_client(after));
    issued_free(after);
    after = read_leaf("assay");
    cr_assert_str_eq(issued_hosts(after), "assay", "nobody calls it");
    issued_free(after);
    issued_free(before);
}

Test(certs, are_of_both_authorities_until_the_old_one_is_forgotten)
{
    cr_assert_eq(certs_forget_previous(dir, NULL, &why), ERR_NOT_FOUND);
    cr_assert_eq(shell("cp rules/tls.pem old.pem && cp ca.pem old-ca.pem", "", ""), 0);
    cr_assert_eq(certs_rotate_authority(dir, &certs_usual, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(shell("openssl verify -CAfile ca.pem rules/tls.pem", "", ""), 0, "leaves stay");
    cr_assert_eq(shell("cmp old.pem rules/tls.pem && cmp ca.pem rules/ca.pem", "", ""), 0);
    cr_assert_eq(certs_rotate_authority(dir, &certs_usual, NULL, &why), ERR_CONFLICT, "a third one");
    cr_assert_eq(certs_forget_previous(dir, NULL, &why), ERR_CONFLICT, "leaves are still of it");

    let_time_pass();
    cr_assert_eq(certs_rotate(dir, &certs_usual, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(shell("openssl verify -CAfile ca.pem rules/tls.pem old.pem", "", ""), 0);
    cr_assert_neq(shell("openssl verify -CAfile old-ca.pem rules/tls.pem", "", ""), 0);

    let_time_pass();
    cr_assert_eq(certs_forget_previous(dir, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(shell("openssl verify -CAfile features/ca.pem rules/tls.pem", "", ""), 0);
    cr_assert_neq(shell("openssl verify -CAfile features/ca.pem old.pem", "", ""), 0);
    cr_assert_eq(certs_rotate_authority(dir, &certs_usual, NULL, &why), ERR_OK, "and so on: %s", why.text);
}

Test(certs, go_on_where_a_new_authority_was_cut_off)
{
    struct issued *authority;
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/authority/ca.pem", dir);
    cr_assert_eq(issued_read(&authority, path, &why), ERR_OK);
    snprintf(path, sizeof path, "%s/authority/previous.pem", dir); /* the first of its steps, and no more */
    cr_assert_eq(issued_write(authority, false, path, &why), ERR_OK);
    issued_free(authority);
    cr_assert_eq(certs_rotate_authority(dir, &certs_usual, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(shell("test $(grep -c BEGIN ca.pem) = 2", "", ""), 0);
}

Test(certs, are_never_seen_as_a_mixed_pair)
{
    pid_t reader = fork();
    int status;

    if (reader == 0) {
        char path[PATH_MAX];
        struct issued *seen;

        snprintf(path, sizeof path, "%s/features/tls.pem", dir);
        for (;;) {
            if (issued_read(&seen, path, &why))
                _exit(1);
            issued_free(seen);
        }
    }
    for (int i = 0; i < 40; i++)
        cr_assert_eq(certs_rotate(dir, &certs_usual, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(waitpid(reader, &status, WNOHANG), 0, "it saw something else");
    kill(reader, SIGKILL);
    waitpid(reader, &status, 0);
}

Test(certs, are_told_apart_when_looked_at)
{
    struct certs_rows *rows = calloc(1, sizeof *rows);
    size_t faults = 0;

    cr_assert_eq(certs_issue(dir, "auditor", false, &certs_usual, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(certs_issue(dir, "auditor", false, &certs_usual, NULL, &why), ERR_CONFLICT);
    cr_assert_eq(certs_issue(dir, "../auditor", false, &certs_usual, NULL, &why), ERR_INVALID);
    cr_assert_eq(certs_issue(dir, "authority", false, &certs_usual, NULL, &why), ERR_INVALID);
    cr_assert_eq(shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                       "-subj /CN=rules -keyout key.pem -out rules/tls.pem && cat key.pem >>rules/tls.pem",
                       "", ""),
                 0);
    cr_assert_eq(shell("echo none >scoring/tls.pem", "", ""), 0);
    cr_assert_eq(shell("cat key.pem edge/tls.pem >x && mv x edge/tls.pem", "", ""), 0);
    cr_assert_eq(certs_look(dir, rows, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(rows->count, 12);
    cr_assert(rows->rows[0].is_authority);
    cr_assert_str_eq(issued_name(rows->rows[2].issued), "auditor");
    for (size_t i = 0; i < rows->count; i++)
        faults += *rows->rows[i].fault.text != '\0';
    cr_assert_eq(faults, 3, "another's, none, another's key");
    certs_rows_release(rows);
    free(rows);
    cr_assert_eq(certs_look("/tmp/assay-no-such", &(struct certs_rows){ 0 }, &why), ERR_NOT_FOUND);
}

Test(certs, take_no_host_that_is_none)
{
    static const char *const bad[] = { "no/slash", "1.2.3.4.5:6x", "DNS:other", "good,b@d" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct certs_wish wish = { .days = 1, .authority_days = 1, .hosts = bad[i] };

        cr_assert_eq(certs_rotate(dir, &wish, NULL, &why), ERR_INVALID, "%s", bad[i]);
    }
}
