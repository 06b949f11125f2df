/* SPDX-License-Identifier: Apache-2.0 */
#include "backteststore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool path_of(char path[PATH_MAX], const char *directory, const char *name, const char *suffix)
{
    int len = snprintf(path, PATH_MAX, "%s/%s%s", directory, name, suffix);

    return len > 0 && len < PATH_MAX;
}

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes = slice_of(bytes.ptr + written, bytes.len - (size_t)written);
    }
    return true;
}

static void sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

enum err files_write(const char *directory, const char *name, struct slice bytes, bool is_durable,
                     struct why *why)
{
    char path[PATH_MAX], draft[PATH_MAX], suffix[32];
    bool is_good;
    int fd = -1;

    snprintf(suffix, sizeof suffix, ".%ld.new", (long)getpid());
    is_good = path_of(path, directory, name, "") && path_of(draft, directory, name, suffix) &&
              (fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) >= 0;
    is_good = is_good && write_all(fd, bytes) && (!is_durable || fdatasync(fd) == 0);
    if (fd >= 0 && close(fd) != 0)
        is_good = false;
    if (is_good && rename(draft, path) == 0) {
        if (is_durable)
            sync_directory(directory);
        return ERR_OK;
    }
    if (fd >= 0)
        unlink(draft);
    return err_set(why, ERR_UNAVAILABLE, "write %s/%s: %s", directory, name, strerror(errno));
}

struct slice files_map(const char *directory, const char *name)
{
    struct slice none = { 0 };
    char path[PATH_MAX];
    struct stat s;
    void *at = MAP_FAILED;
    int fd;

    if (!path_of(path, directory, name, "") || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return none;
    if (fstat(fd, &s) == 0 && s.st_size > 0)
        at = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? none : slice_of(at, (size_t)s.st_size);
}

void files_unmap(struct slice bytes)
{
    if (bytes.len)
        munmap((void *)(uintptr_t)bytes.ptr, bytes.len);
}

void files_remove(const char *directory, const char *name)
{
    char path[PATH_MAX];

    if (path_of(path, directory, name, ""))
        unlink(path);
}

enum err files_make_directory(const char *directory, struct why *why)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s", directory) >= PATH_MAX)
        return err_set(why, ERR_UNAVAILABLE, "the directory's name is too long");
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(why, ERR_UNAVAILABLE, "make %s: %s", path, strerror(errno));
    return ERR_OK;
}

enum err files_lock(const char *directory, int *fd, struct why *why)
{
    char path[PATH_MAX];

    *fd = path_of(path, directory, "lock", "") ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (*fd < 0)
        return err_set(why, ERR_UNAVAILABLE, "open %s/lock: %s", directory, strerror(errno));
    while (flock(*fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            close(*fd);
            *fd = -1;
            return err_set(why, ERR_UNAVAILABLE, "lock %s: %s", directory, strerror(errno));
        }
    }
    return ERR_OK;
}
