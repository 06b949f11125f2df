/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/child.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "bench/report.h"
#include "json/json.h"

/* Servers are installed where a person's PATH may not lead. */
static void widen_path(void)
{
    const char *path = getenv("PATH");
    char wide[4096];

    if (path && strstr(path, "/usr/sbin"))
        return;
    snprintf(wide, sizeof wide, "%s:/usr/sbin", path ? path : "/usr/bin:/bin");
    setenv("PATH", wide, 1);
}

static void redirect(int fd, const char *path)
{
    int to = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (to >= 0)
        dup2(to, fd);
}

static _Noreturn void become(const char *const *argv, const char *const *settings)
{
    char **args;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (; settings && *settings; settings++)
        putenv((char *)(uintptr_t)*settings);
    memcpy(&args, &argv, sizeof args); /* execvp() leaves them alone, whatever its prototype says */
    execvp(argv[0], args);
    _exit(127);
}

pid_t child_start(const char *const *argv, const char *const *settings, const char *log)
{
    pid_t child;

    widen_path();
    child = fork();
    if (child < 0)
        bench_fail("cannot start %s", argv[0]);
    if (child == 0) {
        redirect(STDIN_FILENO, "/dev/null");
        redirect(STDOUT_FILENO, log ? log : "/dev/null");
        redirect(STDERR_FILENO, log ? log : "/dev/null");
        become(argv, settings);
    }
    return child;
}

void child_end(pid_t child, bool at_once)
{
    if (child <= 0)
        return;
    kill(child, at_once ? SIGKILL : SIGTERM);
    waitpid(child, NULL, 0);
}

bool child_is_running(pid_t child)
{
    return waitpid(child, NULL, WNOHANG) == 0;
}

char *child_read(const char *const *argv, int *status)
{
    struct buf text;
    int ends[2];
    pid_t child;
    ssize_t got;
    char *room, *copy;

    widen_path();
    if (pipe2(ends, O_CLOEXEC) || (child = fork()) < 0)
        bench_fail("cannot start %s", argv[0]);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        redirect(STDIN_FILENO, "/dev/null");
        become(argv, NULL);
    }
    close(ends[1]);
    buf_init(&text, 0);
    do {
        room = buf_reserve(&text, 1 << 16);
        got = read(ends[0], room, 1 << 16);
        buf_commit(&text, got > 0 ? (size_t)got : 0);
    } while (got > 0);
    close(ends[0]);
    waitpid(child, status, 0);
    *status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
    copy = strndup(buf_str(&text), text.len);
    buf_release(&text);
    return copy;
}

json_t *child_json(const char *const *argv, int *status)
{
    char *text = child_read(argv, status);
    json_t *json = NULL;

    if (json_parse(&json, slice_str(text), JSON_DEPTH_MAX, NULL))
        json = NULL;
    free(text);
    return json;
}

/* ---- CPU ---- */

static double cpu_of(const char *pid, pid_t *parent)
{
    unsigned long user = 0, system = 0;
    char path[300], line[1024] = "", *rest;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    rest = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    if (!rest ||
        sscanf(rest, ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", parent, &user, &system) != 3)
        return 0;
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

double child_cpu_us(pid_t pid, bool whole_family)
{
    char own[16];
    pid_t parent;
    double us;
    struct dirent *entry;
    DIR *all;

    snprintf(own, sizeof own, "%d", (int)pid);
    us = cpu_of(own, &parent);
    all = whole_family ? opendir("/proc") : NULL;
    while (all && (entry = readdir(all))) {
        double cpu = isdigit((unsigned char)entry->d_name[0]) ? cpu_of(entry->d_name, &parent) : 0;

        if (cpu > 0 && parent == pid)
            us += cpu;
    }
    if (all)
        closedir(all);
    return us;
}

static double us_of(struct timeval t)
{
    return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

double children_cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_CHILDREN, &usage);
    return us_of(usage.ru_utime) + us_of(usage.ru_stime);
}

/* ---- programs and ports ---- */

bool program_exists(const char *name)
{
    char paths[4096], path[4400], *rest = paths, *dir;

    widen_path();
    snprintf(paths, sizeof paths, "%s", getenv("PATH"));
    while ((dir = strsep(&rest, ":"))) {
        snprintf(path, sizeof path, "%s/%s", dir, name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int free_port(void)
{
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) || getsockname(fd, (struct sockaddr *)&at, &len))
        bench_fail("no free port");
    close(fd);
    return ntohs(at.sin_port);
}

bool wait_for_port(int port, int ms)
{
    struct sockaddr_in at = loopback(port);

    for (; ms > 0; ms -= 10) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_there = connect(fd, (struct sockaddr *)&at, sizeof at) == 0;

        close(fd);
        if (is_there)
            return true;
        usleep(10000);
    }
    return false;
}
