/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/alone.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/child.h"
#include "bench/report.h"
#include "pg/cluster.h"
#include "pg/migrate.h"
#include "pg/session.h"

enum { START_SECONDS = 180 };

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("%s: %s", what, why->text);
}

void alone_open(struct alone *k, const char *home, const char *catalogue)
{
    struct why why = { 0 };

    *k = (struct alone){ .home = home, .catalogue = catalogue };
    if (mkdir(home, 0755))
        bench_fail("cannot make %s", home);
    must_work(cluster_open(&k->cluster, home, false, &why), "open a cluster", &why);
    must_work(cluster_start(k->cluster, &why), "start a cluster", &why);
    snprintf(k->conninfo, sizeof k->conninfo, "%s", cluster_conninfo(k->cluster));
    must_work(pg_session_open(&k->session, k->conninfo, "bench", &why), "connect", &why);
    must_work(pg_migrate(k->session, migrations, migration_count, NULL, NULL, &why), "migrate", &why);
}

/* The program of the build that this one belongs to. */
static const char *program(char path[PATH_MAX + 32])
{
    char self[PATH_MAX] = "";

    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        bench_fail("no /proc");
    snprintf(path, PATH_MAX + 32, "%s/bin/features", dirname(dirname(self)));
    return path;
}

double alone_start(struct alone *k)
{
    char url[600], catalogue[600], port[64], admin[64], ready[600], log[600], path[PATH_MAX + 32];
    const char *ready_file = ready + sizeof "ASSAY_READY_FILE=" - 1;
    int64_t began;

    k->port = free_port();
    snprintf(url, sizeof url, "ASSAY_PG_URL=%s", k->conninfo);
    snprintf(catalogue, sizeof catalogue, "ASSAY_CATALOGUE=%s", k->catalogue);
    snprintf(port, sizeof port, "ASSAY_FEATURES_PORT=%d", k->port);
    snprintf(admin, sizeof admin, "ASSAY_FEATURES_ADMIN_PORT=%d", free_port());
    snprintf(ready, sizeof ready, "ASSAY_READY_FILE=%s/ready", k->home);
    snprintf(log, sizeof log, "%s/features.log", k->home);
    unlink(ready_file);
    began = clock_mono_us();
    k->features = child_start((const char *[]){ program(path), NULL },
                              (const char *[]){ url, catalogue, port, admin, ready, NULL }, log);
    while (access(ready_file, R_OK)) {
        if (!child_is_running(k->features) || clock_mono_us() - began > START_SECONDS * SECOND_US)
            bench_fail("features did not become ready: see %s", log);
        usleep(1000);
    }
    return (double)(clock_mono_us() - began) / MS_US;
}

void alone_kill(struct alone *k)
{
    child_end(k->features, true);
    k->features = 0;
}

void alone_close(struct alone *k)
{
    alone_kill(k);
    pg_session_close(k->session);
    cluster_kill(k->cluster);
    cluster_close(k->cluster);
}

void alone_sql(struct alone *k, const char *sql)
{
    struct why why = { 0 };

    must_work(pg_exec_script(k->session, sql, &why), sql, &why);
}

long long alone_number(struct alone *k, const char *sql)
{
    struct pg_result *r = NULL;
    struct why why = { 0 };
    long long n;

    must_work(pg_exec(k->session, sql, NULL, &r, &why), sql, &why);
    n = pg_rows(r) ? pg_get_int(r, 0, 0) : 0;
    pg_result_free(r);
    return n;
}
