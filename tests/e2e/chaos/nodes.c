/* SPDX-License-Identifier: Apache-2.0 */
#include "nodes.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "chance.h"

static const int64_t watch_every_us = 100 * MS_US, ask_for_us = 400 * MS_US, role_holds_us = 600 * MS_US;

extern char **environ;

/* ---- what runs ---- */

void nodes_read(struct nodes *all)
{
    char path[512];
    json_t *root, *processes, *row;
    size_t i;

    snprintf(path, sizeof path, "%s/run/state.json", all->home);
    root = json_load_file(path, 0, NULL);
    processes = json_object_get(root, "processes");
    json_array_foreach(processes, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        struct node *n = name ? nodes_find(all, name) : NULL;

        if (!name || !json_integer_value(json_object_get(row, "port")))
            continue;
        if (!n && all->count < NODES_MAX) {
            n = &all->nodes[all->count++];
            n->all = all;
            snprintf(n->name, sizeof n->name, "%s", name);
        }
        if (!n)
            continue;
        n->port = (int)json_integer_value(json_object_get(row, "port"));
        n->admin_port = (int)json_integer_value(json_object_get(row, "admin_port"));
        n->pid = (pid_t)json_integer_value(json_object_get(row, "pid"));
        if (n->pid > 1 && kill(n->pid, 0))
            n->pid = 0; /* dead, and the supervisor has not noticed yet */
    }
    json_decref(root);
}

struct node *nodes_find(struct nodes *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->nodes[i].name, name) == 0)
            return &all->nodes[i];
    return NULL;
}

struct node *nodes_with_role(struct nodes *all, enum node_role role)
{
    for (size_t i = 0; i < all->count; i++) {
        struct node *n = &all->nodes[i];

        if (n->admin && n->pid && n->role == role && clock_mono_us() - n->role_at_us < role_holds_us)
            return n;
    }
    return NULL;
}

bool nodes_are_whole(struct nodes *all)
{
    nodes_read(all);
    for (size_t i = 0; i < all->count; i++)
        if (!all->nodes[i].pid)
            return false;
    return cluster_pid(all->postgres) && !all->starter && nodes_with_role(all, ROLE_ACTIVE) &&
           nodes_with_role(all, ROLE_STANDBY);
}

size_t process_tree(pid_t pid, pid_t tree[TREE_MAX])
{
    char path[64];
    size_t count = 0;
    FILE *f;
    int child;

    tree[count++] = pid;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    f = fopen(path, "r");
    while (f && count < TREE_MAX && fscanf(f, "%d", &child) == 1)
        tree[count++] = (pid_t)child;
    if (f)
        fclose(f);
    return count;
}

/* ---- what features says ---- */

static void on_role(void *arg, enum err err, const struct http_client_answer *answer, const struct why *why)
{
    static const char standby[] = "log: standby";
    struct node *n = arg;

    (void)why;
    n->is_asked = false;
    n->role_at_us = clock_mono_us();
    if (err)
        n->role = ROLE_UNKNOWN;
    else if (answer->status == 200)
        n->role = ROLE_ACTIVE;
    else
        n->role = memmem(answer->body.ptr, answer->body.len, standby, sizeof standby - 1) ? ROLE_STANDBY
                                                                                          : ROLE_NONE;
}

static void ask_role(struct node *n)
{
    struct http_client_request request = { .method = "GET",
                                           .path = SLICE("/readyz?verbose"),
                                           .deadline_mono_us = clock_mono_us() + ask_for_us };

    if (n->is_asked)
        return;
    n->is_asked = true;
    http_client_send(n->admin, &request, on_role, n);
}

/* ---- PostgreSQL ---- */

static pid_t start_assay(const struct nodes *all, const char *const *arguments, bool is_quiet)
{
    posix_spawn_file_actions_t files;
    const char *argv[16] = { all->assay }, *env[256];
    char home[512];
    size_t n = 0;
    pid_t pid;

    for (size_t i = 0; arguments[i] && i + 2 < ARRAY_LEN(argv); i++)
        argv[i + 1] = arguments[i];
    for (char **e = environ; *e && n + 2 < ARRAY_LEN(env); e++)
        if (strncmp(*e, "ASSAY_PG_URL=", 13) != 0 && strncmp(*e, "ASSAY_HOME=", 11) != 0)
            env[n++] = *e;
    snprintf(home, sizeof home, "ASSAY_HOME=%s", all->pg_home);
    env[n++] = home;
    env[n] = NULL;
    posix_spawn_file_actions_init(&files);
    if (is_quiet)
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, all->assay, &files, NULL, (char *const *)(uintptr_t)argv,
                    (char *const *)(uintptr_t)env))
        die("cannot start", all->assay);
    posix_spawn_file_actions_destroy(&files);
    return pid;
}

int nodes_run(const struct nodes *all, const char *const *arguments)
{
    int status = 0;

    waitpid(start_assay(all, arguments, false), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* `assay migrate` without a URL starts the server of the home directory and finds nothing to do. */
static void keep_postgres(struct nodes *all)
{
    static const char *const migrate[] = { "migrate", NULL };

    if (all->starter && waitpid(all->starter, NULL, WNOHANG) == all->starter)
        all->starter = 0;
    if (all->starter || cluster_pid(all->postgres))
        return;
    all->starter = start_assay(all, migrate, true);
    all->postgres_starts++;
}

static void on_watch(void *ctx)
{
    struct nodes *all = ctx;

    keep_postgres(all);
    nodes_read(all);
    for (size_t i = 0; i < all->count; i++)
        if (all->nodes[i].admin)
            ask_role(&all->nodes[i]);
    loop_timer_set(&all->watch, watch_every_us);
}

void nodes_open(struct nodes *all, struct loop *loop, const char *assay, const char *home,
                const char *pg_home, struct cluster *postgres)
{
    struct why why = { 0 };

    *all = (struct nodes){
        .loop = loop, .assay = assay, .home = home, .pg_home = pg_home, .postgres = postgres
    };
    nodes_read(all);
    if (!all->count)
        die(home, "no cluster runs here");
    for (size_t i = 0; i < all->count; i++) {
        struct node *n = &all->nodes[i];
        char address[32];
        struct http_client_conf conf = { .address = address };

        if (strncmp(n->name, "features", strlen("features")) != 0)
            continue;
        snprintf(address, sizeof address, "127.0.0.1:%d", n->admin_port);
        if (http_client_open(&n->admin, loop, &conf, &why))
            die("admin listener", why.text);
    }
    loop_timer_init(&all->watch, loop, on_watch, all);
    loop_timer_set(&all->watch, 0);
}

void nodes_close(struct nodes *all)
{
    loop_timer_release(&all->watch);
    for (size_t i = 0; i < all->count; i++)
        http_client_close(all->nodes[i].admin);
    if (all->starter)
        waitpid(all->starter, NULL, 0);
}
