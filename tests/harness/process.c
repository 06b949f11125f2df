/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/process.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY_TRIES = 2000, TRY_US = 10000 };

extern char **environ;

int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void program_path(const char *program, char path[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 64);

    cr_assert_gt(len, 0);
    path[len] = '\0';
    strcpy(strrchr(path, '/') + 1, "bin/");
    strcat(path, program);
}

static void become(const char *path, const char *const *settings, const char *ready_file)
{
    static char ready[128];
    int null = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives the test */
    if (!getenv("ASSAY_TEST_VERBOSE"))
        dup2(null, STDERR_FILENO);
    dup2(null, STDIN_FILENO);
    snprintf(ready, sizeof ready, "ASSAY_READY_FILE=%s", ready_file);
    putenv(ready);
    for (; *settings; settings++)
        putenv((char *)(uintptr_t)*settings);
    execl(path, path, (char *)NULL);
    _exit(127);
}

void process_launch(struct process *p, const char *program, const char *const *settings)
{
    static int serial;
    char path[PATH_MAX], name[64];

    program_path(program, path);
    snprintf(p->ready_file, sizeof p->ready_file, "/tmp/assay-ready-%d-%d", (int)getpid(), ++serial);
    unlink(p->ready_file);
    p->port = p->admin_port = 0;
    p->pid = fork();
    cr_assert_geq(p->pid, 0);
    if (p->pid == 0) {
        /* Any free ports; a setting of the caller's stands behind and wins. */
        for (int i = 0; i < 2; i++) {
            char *c = name;

            snprintf(name, sizeof name, "ASSAY_%s_%s", program, i ? "ADMIN_PORT" : "PORT");
            for (; *c; c++)
                *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
            setenv(name, "0", 1);
        }
        become(path, settings, p->ready_file);
    }
}

void process_wait_ready(struct process *p)
{
    for (int i = 0; i < READY_TRIES; i++) {
        FILE *f = fopen(p->ready_file, "r");
        int pid, status;

        if (f) {
            int read = fscanf(f, "pid=%d port=%d admin_port=%d", &pid, &p->port, &p->admin_port);

            fclose(f);
            if (read == 3) {
                unlink(p->ready_file);
                return;
            }
        }
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            p->pid = 0;
            cr_assert_fail("the program ended before it was ready: status %d", status);
        }
        usleep(TRY_US);
    }
    process_kill(p);
    cr_assert_fail("the program did not become ready");
}

void process_start(struct process *p, const char *program, const char *const *settings)
{
    process_launch(p, program, settings);
    process_wait_ready(p);
}

int process_wait(struct process *p)
{
    int status = 0;

    waitpid(p->pid, &status, 0);
    p->pid = 0;
    unlink(p->ready_file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_stop(struct process *p)
{
    if (p->pid == 0)
        return 0;
    kill(p->pid, SIGTERM);
    return process_wait(p);
}

void process_kill(struct process *p)
{
    if (p->pid == 0)
        return;
    kill(p->pid, SIGKILL);
    process_wait(p);
}
