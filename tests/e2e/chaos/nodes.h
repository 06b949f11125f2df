/* SPDX-License-Identifier: Apache-2.0
 * nodes.h - the processes of the cluster under test: their pids, what features says of its role, and a
 * PostgreSQL that is started again when it is dead, as its service manager would. */
#ifndef ASSAY_CHAOS_NODES_H
#define ASSAY_CHAOS_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/client.h"
#include "loop/loop.h"
#include "pg/cluster.h"

enum { NODES_MAX = 16, TREE_MAX = 64 };

enum node_role { ROLE_UNKNOWN, ROLE_NONE, ROLE_STANDBY, ROLE_ACTIVE };

struct node {
    char name[32]; /* as `assay status` has it: "features", "features-standby", "ingestion-2" */
    pid_t pid;     /* 0: not now */
    int port, admin_port;
    enum node_role role;       /* of a features, as it last said itself */
    int64_t role_at_us;        /* when it said so, monotonic */
    struct http_client *admin; /* of a features */
    bool is_asked;
    struct nodes *all;
};

struct nodes {
    struct loop *loop;
    const char *home, *pg_home, *assay;
    struct cluster *postgres;
    pid_t starter; /* of PostgreSQL */
    size_t postgres_starts;
    struct node nodes[NODES_MAX];
    size_t count;
    struct loop_timer watch;
};

/* The cluster in `home`, which `assay up` has started; PostgreSQL is `postgres`, in a home of its own since
 * `assay up` ends what it finds in one. Ends the program when it is not there. */
void nodes_open(struct nodes *all, struct loop *loop, const char *assay, const char *home,
                const char *pg_home, struct cluster *postgres);
void nodes_close(struct nodes *all);

/* Reads the pids again. */
void nodes_read(struct nodes *all);
struct node *nodes_find(struct nodes *all, const char *name);
/* The features that is `role`; NULL when none says so now. */
struct node *nodes_with_role(struct nodes *all, enum node_role role);
/* Every process runs, one features is active and another one stands by. */
bool nodes_are_whole(struct nodes *all);

/* Runs `assay <arguments>` to its end, NULL-terminated, with PostgreSQL reached directly; its exit status. */
int nodes_run(const struct nodes *all, const char *const *arguments);
/* A process and its children, the process first; how many. */
size_t process_tree(pid_t pid, pid_t tree[TREE_MAX]);

#endif
