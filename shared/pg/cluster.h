/* SPDX-License-Identifier: Apache-2.0
 * cluster.h - a private PostgreSQL 15 cluster for who gives no URL: on a Unix socket only, in a directory of
 * ours, by an unprivileged user also when root starts it.
 *
 *   HOME/pg/data/          the cluster; HOME/pg belongs to the user that runs it ("postgres", else "nobody",
 *                          when root starts it; else whoever does)
 *   HOME/pg/run/           the socket, when its path is short enough for one (107 bytes), else in /tmp
 *   HOME/log/postgres.log  what it writes
 *
 * Where that user cannot get into HOME (below /root, say), HOME/pg is a link to a directory in
 * /var/lib/assay, which is made instead. The superuser and the database are both named "assay"; the socket's
 * directory lets in only its owner and root, so there is no password.
 *
 * These functions block (up to a minute), fork and wait: for the command line and tests. */
#ifndef ASSAY_PG_CLUSTER_H
#define ASSAY_PG_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct cluster;

/* Makes the directories and finds the programs; starts nothing. `home` is made when it is not there. A
 * throwaway cluster (for tests) does not wait for the disk, takes little memory, and ends when the process that started
 * it does.
 *   ERR_NOT_FOUND    PostgreSQL 15 is not installed
 *   ERR_UNAVAILABLE  a directory cannot be made, or is not reachable for the user: *why says what to do */
MUST_USE enum err cluster_open(struct cluster **out, const char *home, bool is_throwaway, struct why *why);
/* Frees the memory and leaves the server as it is. */
void cluster_close(struct cluster *c);

/* For libpq; valid until cluster_close(). The same for each open of the same home. */
const char *cluster_conninfo(const struct cluster *c);
/* The running postmaster, or 0. */
pid_t cluster_pid(const struct cluster *c);

/* Makes the cluster when there is none, starts it when it does not run (what a kill -9 or a crash left behind
 * is cleared away), waits until it takes connections and makes the database. Two at once are fine. The server
 * outlives this process (a throwaway one does not).
 *   ERR_CONFLICT     the directory holds a cluster of another version
 *   ERR_UNAVAILABLE  it did not start; *why has the last line of its log */
MUST_USE enum err cluster_start(struct cluster *c, struct why *why);
/* Ends it: transactions under way are rolled back. One that does not run is fine. */
MUST_USE enum err cluster_stop(struct cluster *c, struct why *why);
/* As a power cut does it: SIGKILL to the server and its children; returns when they are gone. For tests. */
void cluster_kill(struct cluster *c);

#endif
