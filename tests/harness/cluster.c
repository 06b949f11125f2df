/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/cluster.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "pg/cluster.h"
#include "pg/migrate.h"
#include "pg/session.h"

static const char home_variable[] = "ASSAY_TEST_CLUSTER", run_variable[] = "ASSAY_TEST_RUN";

static struct test_cluster shared; /* in the runner, which starts and ends it */

/* Where a cluster can be: each test copies a database, which costs a fifth in memory of what it costs on a disk. */
static const char *const places[] = { "/dev/shm", "/tmp" };
static const uint64_t room_bytes = UINT64_C(3) << 30;

static const char *place_with_room(void)
{
    struct statvfs there;

    if (statvfs(places[0], &there) == 0 && (uint64_t)there.f_bavail * there.f_frsize >= room_bytes &&
        access(places[0], W_OK) == 0)
        return places[0];
    return places[1];
}

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (!err)
        return;
    fprintf(stderr, "cannot %s: %s\n", what, why->text);
    abort();
}

void test_cluster_start(struct test_cluster *t)
{
    struct why why = { 0 };
    struct pg_session *s;
    const char *run = getenv(run_variable);

    /* Named after the run, so that its end finds what a test that failed left behind. */
    snprintf(t->home, sizeof(t->home), "%s/assay-test-%s-XXXXXX", place_with_room(), run ? run : "alone");
    if (!mkdtemp(t->home) || chmod(t->home, 0755))
        abort();
    must_work(cluster_open(&t->cluster, t->home, true, &why), "prepare a cluster", &why);
    must_work(cluster_start(t->cluster, &why), "start a cluster", &why);
    must_work(pg_session_open(&s, cluster_conninfo(t->cluster), "test", &why), "connect", &why);
    must_work(pg_migrate(s, migrations, migration_count, NULL, NULL, &why), "migrate", &why);
    pg_session_close(s);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void test_cluster_end(struct test_cluster *t)
{
    struct why why;

    if (cluster_stop(t->cluster, &why)) /* a killed one leaves its shared memory */
        fprintf(stderr, "%s\n", why.text);
    cluster_kill(t->cluster);
    cluster_close(t->cluster);
    nftw(t->home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The databases of tests that are over make room; those that run are known by their processes. */
static void drop_old(struct pg_session *s)
{
    struct pg_result *r = NULL;
    struct why why = { 0 };
    char text[128];

    must_work(
        pg_exec(s, "SELECT datname::text FROM pg_database WHERE datname LIKE 'test\\_%'", NULL, &r, &why),
        "list databases", &why);
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct slice name = pg_get_text(r, i, 0);
        pid_t owner;

        snprintf(text, sizeof(text), "DROP DATABASE IF EXISTS %.*s WITH (FORCE)", (int)name.len, name.ptr);
        owner = (pid_t)atoi(strstr(text, "test_") + strlen("test_"));
        if (kill(owner, 0) == -1 && errno == ESRCH)
            must_work(pg_exec_script(s, text, &why), "drop a database", &why);
    }
    pg_result_free(r);
}

const char *test_database(void)
{
    static char conninfo[PATH_MAX];
    static int made;
    const char *home = getenv(home_variable);
    struct why why = { 0 };
    struct cluster *c;
    struct pg_session *s;
    char text[PATH_MAX], name[64];

    if (!home) {
        fprintf(stderr, "no shared cluster: %s is not set\n", home_variable);
        abort();
    }
    must_work(cluster_open(&c, home, true, &why), "find the shared cluster", &why);
    /* Not through "assay" itself: the template must have no connections. */
    snprintf(text, sizeof(text), "%s dbname=postgres", cluster_conninfo(c));
    must_work(pg_session_open(&s, text, "test", &why), "connect", &why);
    /* A process's number comes again within a long run: the moment makes it the only one. */
    snprintf(name, sizeof(name), "test_%d_%d_%" PRId64, (int)getpid(), ++made, clock_wall_us());
    snprintf(conninfo, sizeof(conninfo), "%s dbname=%s", cluster_conninfo(c), name);
    /* CREATE DATABASE must stand alone; the lock keeps two from copying the template at the same time. */
    must_work(pg_exec_script(s, "SELECT pg_advisory_lock(1)", &why), "lock", &why);
    drop_old(s);
    snprintf(text, sizeof(text), "CREATE DATABASE %s TEMPLATE assay", name);
    must_work(pg_exec_script(s, text, &why), "make a database", &why);
    pg_session_close(s);
    cluster_close(c);
    return conninfo;
}

/* Ends the clusters of tests that did not come to their own end: of this run, and of runs that were killed. */
static void sweep_place(const char *place)
{
    char pattern[64];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/assay-test-[0-9]*-*", place);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            pid_t run = (pid_t)atoi(strrchr(found.gl_pathv[i], '/') + strlen("/assay-test-"));
            struct test_cluster left;
            struct why why;

            if (run != getpid() && (kill(run, 0) == 0 || errno != ESRCH))
                continue;
            snprintf(left.home, sizeof(left.home), "%s", found.gl_pathv[i]);
            if (cluster_open(&left.cluster, left.home, true, &why) == ERR_OK)
                test_cluster_end(&left);
        }
    globfree(&found);
}

static void sweep(void)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        sweep_place(places[i]);
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    char run[16];

    if (tests->tests == 0)
        return;
    snprintf(run, sizeof(run), "%d", (int)getpid());
    setenv(run_variable, run, 1);
    sweep();
    test_cluster_start(&shared);
    setenv(home_variable, shared.home, 1);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    if (shared.cluster)
        test_cluster_end(&shared);
    sweep();
}
