/* SPDX-License-Identifier: Apache-2.0 */
#include "database.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "pg/cluster.h"
#include "pg/migrate.h"
#include "pg/session.h"

enum err database_find(char **conninfo, struct why *why)
{
    static const struct conf_field field = { "PG_URL", CONF_TEXT, 0, "", "the database", 0, 0 };
    const char *url = NULL, *home = getenv("ASSAY_HOME");
    struct cluster *cluster;
    enum err err = conf_load(&url, &field, 1, why);

    *conninfo = NULL;
    if (err)
        return err;
    if (*url) {
        *conninfo = mem_strdup(url);
        return ERR_OK;
    }
    err = cluster_open(&cluster, home && *home ? home : "var", false, why);
    if (!err)
        err = cluster_start(cluster, why);
    if (!err)
        *conninfo = mem_strdup(cluster_conninfo(cluster));
    cluster_close(cluster);
    return err;
}

enum err database_open(struct pg_session **out, struct why *why)
{
    char *conninfo;
    enum err err = database_find(&conninfo, why);

    *out = NULL;
    if (!err)
        err = pg_session_open(out, conninfo, "assay", why);
    mem_free(conninfo);
    return err;
}

enum err database_open_migrated(struct pg_session **out, struct why *why)
{
    size_t missing = 0;
    enum err err = database_open(out, why);

    if (!err)
        err = pg_migrations_missing(*out, migrations, migration_count, &missing, why);
    if (!err && missing)
        err = err_set(why, ERR_CONFLICT, "the database lacks %zu migrations: run `assay migrate`", missing);
    if (err) {
        pg_session_close(*out);
        *out = NULL;
    }
    return err;
}
