/* SPDX-License-Identifier: Apache-2.0
 * cluster.h - PostgreSQL for tests: one throwaway cluster for a whole run, a fresh database for each test, or
 * a cluster of its own for a test that kills it.
 *
 * The shared cluster is started before the first test and ends after the last. Whatever fails here ends the
 * process with a line on standard error: without a database there is nothing to test. */
#ifndef ASSAY_HARNESS_CLUSTER_H
#define ASSAY_HARNESS_CLUSTER_H

struct cluster;

/* The conninfo of a new database in the shared cluster, migrated. Valid while the process lives. */
const char *test_database(void);

struct test_cluster {
    char home[64];           /* a new directory in memory where there is room, else in /tmp */
    struct cluster *cluster; /* running; its database "assay" is migrated */
};

void test_cluster_start(struct test_cluster *t);
/* Ends the server and removes the directory. */
void test_cluster_end(struct test_cluster *t);

#endif
