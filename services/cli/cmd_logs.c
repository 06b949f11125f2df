/* SPDX-License-Identifier: Apache-2.0
 * cmd_logs.c - `assay logs`: what the processes write, together or one. */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "home.h"

struct logs {
    const char *home;
    int64_t lines;
    bool follows;
};

static const struct option options[] = {
    { "f", OPTION_FLAG, offsetof(struct logs, follows), NULL, "go on as more is written" },
    { "n", OPTION_INT, offsetof(struct logs, lines), "LINES", "how many of the last lines of each (20)" },
    { "home", OPTION_TEXT, offsetof(struct logs, home), "DIR", "where it runs (ASSAY_HOME, else ./var)" },
};

static const struct logs defaults = { .lines = 20 };

enum { FILES_MOST = 32, CHUNK = 64 << 10, LOOK_MS = 100 };

struct log_file {
    char name[PROCESS_NAME_BYTES];
    int fd;
    bool is_mid_line;
};

/* Where the last `lines` lines begin. */
static off_t tail_start(int fd, int64_t lines)
{
    static char chunk[CHUNK];
    off_t end = lseek(fd, 0, SEEK_END), at = end;

    while (at > 0) {
        size_t len = at < CHUNK ? (size_t)at : CHUNK;
        ssize_t n = pread(fd, chunk, len, at - (off_t)len);

        if (n < (ssize_t)len)
            return at;
        at -= (off_t)len;
        for (size_t i = len; i > 0; i--)
            if (chunk[i - 1] == '\n' && at + (off_t)i < end && lines-- <= 1)
                return at + (off_t)i;
    }
    return 0;
}

/* Prints what is new, each line behind its file's name when there are several. False when nothing was. */
static bool print_new(struct log_file *f, bool has_names)
{
    static char chunk[CHUNK];
    ssize_t n = read(f->fd, chunk, sizeof chunk);

    for (ssize_t i = 0; i < n; i++) {
        if (has_names && !f->is_mid_line)
            printf("%-12s ", f->name);
        putchar(chunk[i]);
        f->is_mid_line = chunk[i] != '\n';
    }
    return n > 0;
}

static bool open_log(struct log_file *f, const char *dir, const char *file, size_t name_len, int64_t lines)
{
    char path[PATH_MAX];

    if (name_len >= sizeof f->name || !home_path(path, dir, file))
        return false;
    memcpy(f->name, file, name_len);
    f->name[name_len] = '\0';
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0)
        return false;
    lseek(f->fd, tail_start(f->fd, lines), SEEK_SET);
    return true;
}

static size_t open_logs(struct log_file files[FILES_MOST], const char *dir, const char *wanted, int64_t lines)
{
    struct dirent **entries;
    int n = scandir(dir, &entries, NULL, alphasort);
    size_t count = 0;

    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name, *dot = strrchr(name, '.');
        size_t len = dot ? (size_t)(dot - name) : 0;

        if (len && strcmp(dot, ".log") == 0 && count < FILES_MOST &&
            (!wanted || (strlen(wanted) == len && strncmp(wanted, name, len) == 0)) &&
            open_log(&files[count], dir, name, len, lines))
            count++;
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return count;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct logs *logs = settings;
    const char *wanted = operand_count ? operands[0] : NULL;
    struct log_file *files = mem_new_n(struct log_file, FILES_MOST);
    char home[PATH_MAX], dir[PATH_MAX];
    size_t count;

    if (!home_find(home, logs->home) || !home_path(dir, home, "log") ||
        (count = open_logs(files, dir, wanted, logs->lines)) == 0) {
        mem_free(files);
        return command_fail(EXIT_NOT_FOUND, "no log%s%s", wanted ? " of " : "", wanted ? wanted : "s yet");
    }
    for (;;) {
        bool is_new = false;

        for (size_t i = 0; i < count; i++)
            while (print_new(&files[i], count > 1))
                is_new = true;
        fflush(stdout);
        if (!logs->follows || ferror(stdout))
            break;
        if (!is_new)
            nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
    }
    for (size_t i = 0; i < count; i++)
        close(files[i].fd);
    mem_free(files);
    return EXIT_DONE;
}

const struct command cmd_logs = {
    .name = "logs",
    .operands = "[<service>]",
    .purpose = "Show what the processes write",
    .text = "  assay logs -f               all of them, as they write\n"
            "  assay logs -n 200 features  the last 200 lines of one",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .operands_most = 1,
    .settings_size = sizeof(struct logs),
    .defaults = &defaults,
    .run = run,
};
