/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "pg/session.h"

#define VERSION "15"

static const char *const bin_dirs[] = { "/usr/lib/postgresql/" VERSION "/bin", "/usr/pgsql-" VERSION "/bin",
                                        "/usr/local/pgsql/bin" };
static const char *const users[] = { "postgres", "nobody" };

struct cluster {
    char home[PATH_MAX], dir[PATH_MAX], data[PATH_MAX], socket_dir[PATH_MAX], log[PATH_MAX], bin[PATH_MAX];
    char conninfo[PATH_MAX + 64];
    bool is_throwaway, drops_rights; /* root started us: another user runs the server */
    uid_t uid;
    gid_t gid;
};

static const int64_t start_limit_us = 60 * SECOND_US, stop_limit_us = 60 * SECOND_US;

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* `out` = the formatted path; what does not fit is no path that could be used. */
static enum err path_set(char out[PATH_MAX], struct why *why, const char *format, ...) PRINTF_LIKE(3, 4);
static enum err path_set(char out[PATH_MAX], struct why *why, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(out, PATH_MAX, format, args);
    va_end(args);
    return len < PATH_MAX ? ERR_OK : err_set(why, ERR_INVALID, "a path is too long: %.100s...", out);
}

static enum err make_dir(const char *path, mode_t mode, struct why *why)
{
    if (mkdir(path, mode) && errno != EEXIST)
        return err_set(why, ERR_UNAVAILABLE, "make %s: %s", path, strerror(errno));
    return ERR_OK;
}

/* In a child: becomes the user that runs the server, for good. */
static void drop_rights(const struct cluster *c)
{
    if (chdir("/"))
        _exit(126);
    if (c->drops_rights && (setgroups(0, NULL) || setgid(c->gid) || setuid(c->uid)))
        _exit(126);
    umask(077);
}

/* Whether that user can enter `dir`. */
static bool is_reachable(const struct cluster *c, const char *dir)
{
    int status = 1;
    pid_t child;

    if (!c->drops_rights)
        return access(dir, X_OK) == 0;
    child = fork();
    if (child == 0) {
        drop_rights(c);
        _exit(access(dir, X_OK) == 0 ? 0 : 1);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static enum err find_programs(struct cluster *c, struct why *why)
{
    for (size_t i = 0; i < ARRAY_LEN(bin_dirs); i++) {
        enum err err = path_set(c->bin, why, "%s/postgres", bin_dirs[i]);

        if (!err && access(c->bin, X_OK) == 0)
            return path_set(c->bin, why, "%s", bin_dirs[i]);
    }
    return err_set(why, ERR_NOT_FOUND,
                   "PostgreSQL " VERSION " is not in %s: install postgresql-" VERSION
                   ", or set ASSAY_PG_URL to a server",
                   bin_dirs[0]);
}

static enum err find_user(struct cluster *c, struct why *why)
{
    c->uid = geteuid();
    c->gid = getegid();
    if (c->uid != 0)
        return ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        const struct passwd *user = getpwnam(users[i]);

        if (!user || user->pw_uid == 0)
            continue;
        c->drops_rights = true;
        c->uid = user->pw_uid;
        c->gid = user->pw_gid;
        return ERR_OK;
    }
    return err_set(why, ERR_UNAVAILABLE,
                   "PostgreSQL does not run as root, and there is no user \"postgres\" to run it: make one");
}

/* HOME/pg, or a link there to where the server's user can get. */
static enum err make_cluster_dir(struct cluster *c, struct why *why)
{
    char hex[SHA256_HEX_SIZE], elsewhere[PATH_MAX];
    struct stat st;
    enum err err = path_set(c->dir, why, "%s/pg", c->home);

    if (err)
        return err;
    if (lstat(c->dir, &st) && !is_reachable(c, c->home)) {
        sha256_hex(slice_str(c->home), hex);
        err = make_dir("/var/lib/assay", 0755, why);
        /* A new one for each link: whoever removes HOME wants an empty cluster in the next one. */
        if (!err)
            err = path_set(elsewhere, why, "/var/lib/assay/%.12s-XXXXXX", hex);
        if (!err && !mkdtemp(elsewhere))
            err = err_set(why, ERR_UNAVAILABLE, "make %s: %s", elsewhere, strerror(errno));
        if (!err && symlink(elsewhere, c->dir))
            err = err_set(why, ERR_UNAVAILABLE, "link %s: %s", c->dir, strerror(errno));
    } else {
        err = make_dir(c->dir, 0700, why);
    }
    if (err)
        return err;
    if (!realpath(c->dir, elsewhere))
        return err_set(why, ERR_UNAVAILABLE, "%s: %s", c->dir, strerror(errno));
    if (c->drops_rights && chown(elsewhere, c->uid, c->gid))
        return err_set(why, ERR_UNAVAILABLE, "chown %s: %s", elsewhere, strerror(errno));
    if (!is_reachable(c, elsewhere))
        return err_set(
            why, ERR_UNAVAILABLE,
            "the user that runs PostgreSQL (uid %u) cannot enter %s: set ASSAY_HOME to a directory whose "
            "parents it may enter, or start as another user",
            (unsigned)c->uid, elsewhere);
    return path_set(c->dir, why, "%s", elsewhere);
}

/* A directory that is ours alone, also where others can write beside it. */
static enum err make_private_dir(const struct cluster *c, const char *path, struct why *why)
{
    struct stat st;
    enum err err = make_dir(path, 0700, why);

    if (err)
        return err;
    if (lstat(path, &st) || !S_ISDIR(st.st_mode) || (st.st_uid != c->uid && st.st_uid != geteuid()))
        return err_set(why, ERR_UNAVAILABLE, "%s is somebody else's: remove it", path);
    if (chmod(path, 0700) || (c->drops_rights && chown(path, c->uid, c->gid)))
        return err_set(why, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err make_socket_dir(struct cluster *c, struct why *why)
{
    static const char name[] = "/.s.PGSQL.5432";
    const struct sockaddr_un *address = NULL;
    char hex[SHA256_HEX_SIZE];
    enum err err = path_set(c->socket_dir, why, "%s/run", c->dir);

    if (!err && strlen(c->socket_dir) + sizeof(name) > sizeof(address->sun_path)) {
        sha256_hex(slice_str(c->dir), hex);
        err = path_set(c->socket_dir, why, "/tmp/assay-pg-%.12s", hex);
    }
    return err ? err : make_private_dir(c, c->socket_dir, why);
}

static void set_conninfo(struct cluster *c)
{
    char quoted[2 * PATH_MAX];
    size_t len = 0;

    for (const char *p = c->socket_dir; *p && len < sizeof(quoted) - 2; p++) {
        if (*p == '\'' || *p == '\\')
            quoted[len++] = '\\';
        quoted[len++] = *p;
    }
    quoted[len] = '\0';
    snprintf(c->conninfo, sizeof(c->conninfo), "host='%.*s' port=5432 user=assay dbname=assay", PATH_MAX,
             quoted);
}

enum err cluster_open(struct cluster **out, const char *home, bool is_throwaway, struct why *why)
{
    struct cluster *c = mem_new(struct cluster);
    char path[PATH_MAX];
    enum err err;

    *out = NULL;
    c->is_throwaway = is_throwaway;
    err = make_dir(home, 0755, why);
    if (!err && !realpath(home, c->home))
        err = err_set(why, ERR_UNAVAILABLE, "%s: %s", home, strerror(errno));
    if (!err)
        err = find_programs(c, why);
    if (!err)
        err = find_user(c, why);
    if (!err)
        err = make_cluster_dir(c, why);
    if (!err)
        err = path_set(c->data, why, "%s/data", c->dir);
    if (!err)
        err = make_socket_dir(c, why);
    if (!err)
        err = path_set(path, why, "%s/log", c->home);
    if (!err)
        err = make_dir(path, 0755, why);
    if (!err)
        err = path_set(c->log, why, "%s/postgres.log", path);
    if (err) {
        cluster_close(c);
        return err;
    }
    set_conninfo(c);
    *out = c;
    return ERR_OK;
}

void cluster_close(struct cluster *c)
{
    mem_free(c);
}

const char *cluster_conninfo(const struct cluster *c)
{
    return c->conninfo;
}

/* A postmaster's working directory is its data directory, which tells it from a process that has got the
 * number that a dead one left in the pid file. */
static bool is_postmaster(const struct cluster *c, pid_t pid)
{
    char link[64], cwd[PATH_MAX];
    ssize_t len;

    snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
    len = readlink(link, cwd, sizeof(cwd) - 1);
    if (len < 0)
        return false;
    cwd[len] = '\0';
    return strcmp(cwd, c->data) == 0;
}

pid_t cluster_pid(const struct cluster *c)
{
    char path[PATH_MAX + 32];
    long pid = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/postmaster.pid", c->data);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%ld", &pid) != 1)
        pid = 0;
    fclose(file);
    return pid > 0 && is_postmaster(c, (pid_t)pid) ? (pid_t)pid : 0;
}

/* Appends to the log, which the server may inherit although it could not open it itself. */
static int open_log(const struct cluster *c)
{
    return open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

/* Runs a program of PostgreSQL as its user, its output to the log. In the child: never returns. */
static void exec_program(const struct cluster *c, int log, const char *const *argv)
{
    int null = open("/dev/null", O_RDONLY);

    setsid();
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    for (int fd = 3; fd < 1024; fd++) /* nothing of ours may stay open in a server that outlives us */
        close(fd);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    drop_rights(c);
    if (c->is_throwaway)
        prctl(PR_SET_PDEATHSIG, SIGQUIT); /* who started it was killed: it ends at once */
    setenv("LC_ALL", "C.UTF-8", 1);
    unsetenv("PGDATA");
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* The last line of the log that says what was wrong. */
static void last_complaint(const struct cluster *c, char *line, size_t size)
{
    char text[1024];
    FILE *file = fopen(c->log, "re");

    snprintf(line, size, "see %.300s", c->log);
    while (file && fgets(text, sizeof(text), file)) {
        const char *found = strstr(text, "FATAL:");

        if (!found)
            found = strstr(text, "PANIC:");
        if (!found)
            found = strstr(text, "error:");
        if (found)
            snprintf(line, size, "%.*s", (int)strcspn(found, "\n"), found);
    }
    if (file)
        fclose(file);
}

static enum err remove_tree(const struct cluster *c, const char *path)
{
    const char *argv[] = { "/bin/rm", "-rf", "--", path, NULL };
    int status = 1, log = open_log(c);
    pid_t child = fork();

    if (child == 0)
        exec_program(c, log, argv);
    if (child > 0)
        waitpid(child, &status, 0);
    close(log);
    return status == 0 ? ERR_OK : ERR_UNAVAILABLE;
}

/* Into data.new first, so that an initdb that is cut short leaves nothing that looks like a cluster. */
static enum err make_data(const struct cluster *c, struct why *why)
{
    char initdb[PATH_MAX + 16], fresh[PATH_MAX + 16], complaint[400];
    const char *argv[] = { initdb,  "-D",
                           fresh,   "-U",
                           "assay", "-A",
                           "trust", "-E",
                           "UTF8",  "--locale=C.UTF-8",
                           "-k",    c->is_throwaway ? "--no-sync" : NULL,
                           NULL };
    int status = 1, log;
    pid_t child;

    snprintf(initdb, sizeof(initdb), "%s/initdb", c->bin);
    snprintf(fresh, sizeof(fresh), "%s.new", c->data);
    log = open_log(c);
    if (log < 0)
        return err_set(why, ERR_UNAVAILABLE, "open %s: %s", c->log, strerror(errno));
    if (remove_tree(c, fresh))
        return err_set(why, ERR_UNAVAILABLE, "cannot remove %s", fresh);
    child = fork();
    if (child == 0)
        exec_program(c, log, argv);
    if (child > 0)
        waitpid(child, &status, 0);
    close(log);
    if (status != 0) {
        last_complaint(c, complaint, sizeof(complaint));
        return err_set(why, ERR_UNAVAILABLE, "initdb failed: %s", complaint);
    }
    if (rename(fresh, c->data))
        return err_set(why, ERR_UNAVAILABLE, "rename %s: %s", fresh, strerror(errno));
    return ERR_OK;
}

static enum err check_version(const struct cluster *c, struct why *why)
{
    char path[PATH_MAX + 16], version[16] = "";
    FILE *file;

    snprintf(path, sizeof(path), "%s/PG_VERSION", c->data);
    file = fopen(path, "re");
    if (!file)
        return ERR_NOT_FOUND;
    if (fscanf(file, "%15s", version) != 1)
        version[0] = '\0';
    fclose(file);
    if (strcmp(version, VERSION) == 0)
        return ERR_OK;
    return err_set(why, ERR_CONFLICT,
                   "%s holds a cluster of PostgreSQL \"%s\", not " VERSION ": run pg_upgrade on it", c->data,
                   version);
}

/* What a server that was killed leaves behind would stop the next one when another process has got its
 * number. */
static void clear_stale(const struct cluster *c)
{
    char path[PATH_MAX + 32];

    if (cluster_pid(c))
        return;
    snprintf(path, sizeof(path), "%s/postmaster.pid", c->data);
    unlink(path);
    snprintf(path, sizeof(path), "%s/.s.PGSQL.5432.lock", c->socket_dir);
    unlink(path);
}

/* Durable and quiet on a machine that others use too; written anew at each start, as postgresql.conf stays
 * initdb's. */
static const char *const settings[] = {
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
    "min_wal_size=512MB",
    "wal_compression=lz4",
    "wal_init_zero=off", /* who needs a new segment would write 16 MB and sync them while all commits wait */
    "checkpoint_timeout=15min",
    "backend_flush_after=256kB", /* or the kernel writes all at once later, and commits wait for that */
    "synchronous_commit=on",
    "random_page_cost=1.1",
    "jit=off", /* statements are small; compiling them would cost more than running them */
    "autovacuum_naptime=20s",
    "autovacuum_vacuum_cost_delay=10ms", /* slower, for a few per cent of a CPU instead of twenty */
    "autovacuum_vacuum_insert_scale_factor=0.05",
    "autovacuum_analyze_scale_factor=0.3", /* tables that only grow, by known keys: their statistics change little, */
    "default_statistics_target=30", /* and gathering them is most of what autovacuum takes from decisions */
    "TimeZone=UTC",
    "log_timezone=UTC",
    "log_checkpoints=off",
    "log_line_prefix=%m [%p] ",
};
static const char *const throwaway_settings[] = {
    "fsync=off", "shared_buffers=48MB", "max_wal_size=512MB", "min_wal_size=80MB",
    /* in its directory, so that nothing of a killed one stays */
    "dynamic_shared_memory_type=mmap"
};

static enum err launch(const struct cluster *c, pid_t *child, struct why *why)
{
    const char *argv[2 * (ARRAY_LEN(settings) + ARRAY_LEN(throwaway_settings)) + 8];
    char program[PATH_MAX + 16], socket[PATH_MAX + 32];
    size_t argc = 0;
    int log = open_log(c);

    if (log < 0)
        return err_set(why, ERR_UNAVAILABLE, "open %s: %s", c->log, strerror(errno));
    snprintf(program, sizeof(program), "%s/postgres", c->bin);
    snprintf(socket, sizeof(socket), "unix_socket_directories=%s", c->socket_dir);
    argv[argc++] = program;
    argv[argc++] = "-D";
    argv[argc++] = c->data;
    argv[argc++] = "-c";
    argv[argc++] = socket;
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        argv[argc++] = "-c";
        argv[argc++] = settings[i];
    }
    for (size_t i = 0; c->is_throwaway && i < ARRAY_LEN(throwaway_settings); i++) {
        argv[argc++] = "-c";
        argv[argc++] = throwaway_settings[i];
    }
    argv[argc] = NULL;
    *child = fork();
    if (*child == 0)
        exec_program(c, log, argv);
    close(log);
    return *child > 0 ? ERR_OK : err_set(why, ERR_UNAVAILABLE, "fork: %s", strerror(errno));
}

/* Whether the server takes connections now, and then sees to the database. */
static enum err try_connect(const struct cluster *c, struct why *why)
{
    char conninfo[sizeof(c->conninfo) + 32];
    struct pg_session *s;
    struct pg_result *r = NULL;
    enum err err;

    snprintf(conninfo, sizeof(conninfo), "%s dbname=postgres", c->conninfo); /* the later word wins */
    err = pg_session_open(&s, conninfo, "assay", why);
    if (err)
        return err;
    err = pg_exec(s, "SELECT 1 FROM pg_database WHERE datname = 'assay'", NULL, &r, why);
    if (!err && pg_rows(r) == 0) {
        err = pg_exec(s, "CREATE DATABASE assay", NULL, NULL, why);
        if (err && strcmp(pg_sqlstate(s), "42P04") == 0)
            err = ERR_OK; /* another one was faster */
    }
    pg_result_free(r);
    pg_session_close(s);
    return err;
}

static enum err start_locked(struct cluster *c, struct why *why)
{
    int64_t until = clock_mono_us() + start_limit_us;
    char complaint[400];
    pid_t child = 0;
    enum err err = check_version(c, why);

    if (err == ERR_NOT_FOUND)
        err = make_data(c, why);
    while (!err && clock_mono_us() < until) {
        if (!cluster_pid(c) && (child == 0 || waitpid(child, NULL, WNOHANG) == child)) {
            /* Also again when it gave up at once: the children of a killed server take a moment to go. */
            clear_stale(c);
            if (child)
                pause_ms(200);
            err = launch(c, &child, why);
        }
        if (!err && cluster_pid(c) && try_connect(c, why) == ERR_OK)
            return ERR_OK;
        pause_ms(20);
    }
    if (err)
        return err;
    last_complaint(c, complaint, sizeof(complaint));
    return err_set(why, ERR_UNAVAILABLE, "PostgreSQL does not start: %s", complaint);
}

enum err cluster_start(struct cluster *c, struct why *why)
{
    char path[PATH_MAX + 16];
    int lock;
    enum err err;

    if (cluster_pid(c) && try_connect(c, why) == ERR_OK)
        return ERR_OK;
    snprintf(path, sizeof(path), "%s/pg.lock", c->home);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX)) {
        err = err_set(why, ERR_UNAVAILABLE, "lock %s: %s", path, strerror(errno));
    } else {
        err = start_locked(c, why);
    }
    if (lock >= 0)
        close(lock);
    return err;
}

/* Reaps it where it is our own child. */
static bool is_gone(const struct cluster *c, pid_t pid)
{
    waitpid(pid, NULL, WNOHANG);
    return !is_postmaster(c, pid);
}

enum err cluster_stop(struct cluster *c, struct why *why)
{
    static const int signals[] = { SIGINT, SIGQUIT }; /* fast, then immediate */
    pid_t pid = cluster_pid(c);

    if (!pid)
        return ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        int64_t until = clock_mono_us() + stop_limit_us / 2;

        if (kill(pid, signals[i]) && errno == ESRCH)
            return ERR_OK;
        while (clock_mono_us() < until) {
            if (is_gone(c, pid))
                return ERR_OK;
            pause_ms(10);
        }
    }
    return err_set(why, ERR_TIMEOUT, "PostgreSQL (pid %d) does not end", (int)pid);
}

/* Kills every process that works in the data directory, and counts them. */
static size_t kill_all(const struct cluster *c)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    size_t found = 0;

    while (proc && (entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)atoi(entry->d_name);

        if (pid > 0 && is_postmaster(c, pid)) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, WNOHANG);
            found++;
        }
    }
    if (proc)
        closedir(proc);
    return found;
}

void cluster_kill(struct cluster *c)
{
    while (kill_all(c) > 0)
        pause_ms(5);
}
