/* SPDX-License-Identifier: Apache-2.0 */
#include "modelstore/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

enum { KEYS_FILE_MAX = 1 << 18, SECRET_FILE_MAX = 4096, PIECE = 4096 };

/* All of what `fd` still gives, at most the cap of `text`. */
static enum err read_all(int fd, const char *path, struct buf *text, struct why *why)
{
    char piece[PIECE];
    ssize_t n;

    while ((n = read(fd, piece, sizeof piece)) > 0)
        if (!buf_add(text, piece, (size_t)n))
            break;
    sodium_memzero(piece, sizeof piece);
    if (n > 0)
        return err_set(why, ERR_TOO_LARGE, "%s has over %zu bytes", path, text->cap);
    return n < 0 ? err_set(why, ERR_NOT_FOUND, "read %s: %s", path, strerror(errno)) : ERR_OK;
}

enum err model_keys_read(const struct trusted_keys **keys, const char *path, struct arena *arena,
                         struct why *why)
{
    struct trusted_keys *read_keys = arena_new(arena, struct trusted_keys, 1);
    struct buf text;
    enum err err;
    int fd;

    *keys = NULL;
    if (path == NULL || *path == '\0')
        return ERR_OK;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(why, ERR_NOT_FOUND, "open %s: %s", path, strerror(errno));
    buf_init(&text, KEYS_FILE_MAX);
    err = read_all(fd, path, &text, why);
    if (!err) {
        err = trusted_keys_parse(read_keys, buf_slice(&text), arena, why);
        if (err)
            err_prefix(why, "%s: ", path);
        else
            *keys = read_keys;
    }
    close(fd);
    buf_release(&text);
    return err;
}

uint64_t model_keys_stamp(const char *path)
{
    const struct hash_key key = { "assay key files" };
    struct stat is;

    if (path == NULL || *path == '\0' || stat(path, &is) != 0)
        return 0;
    {
        const int64_t told[] = { (int64_t)is.st_dev,          (int64_t)is.st_ino,
                                 (int64_t)is.st_size,         (int64_t)is.st_mtim.tv_sec,
                                 (int64_t)is.st_mtim.tv_nsec, (int64_t)is.st_ctim.tv_sec,
                                 (int64_t)is.st_ctim.tv_nsec };

        return hash64(&key, slice_of((const char *)told, sizeof told));
    }
}

enum err signing_key_read(struct signing_key *key, const char *path, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat is;
    struct buf text;
    enum err err;

    if (fd < 0)
        return err_set(why, ERR_NOT_FOUND, "open %s: %s", path, strerror(errno));
    buf_init(&text, SECRET_FILE_MAX);
    if (fstat(fd, &is) != 0)
        err = err_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    else if (is.st_mode & (S_IRWXG | S_IRWXO))
        err = err_set(why, ERR_FORBIDDEN, "%s: others than its owner may read it: chmod 600", path);
    else
        err = read_all(fd, path, &text, why);
    if (!err) {
        err = signing_key_parse(key, buf_slice(&text), why);
        if (err)
            err_prefix(why, "%s: ", path);
    }
    close(fd);
    if (text.room)
        sodium_memzero(text.data, text.room);
    buf_release(&text);
    return err;
}

enum err signing_key_write(const struct signing_key *key, const char *path, struct why *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    enum err err = ERR_OK;
    struct buf text;

    if (fd < 0)
        return err_set(why, errno == EEXIST ? ERR_CONFLICT : ERR_UNAVAILABLE, "make %s: %s", path,
                       strerror(errno));
    buf_init(&text, SECRET_FILE_MAX);
    signing_key_format(&text, key);
    if (write(fd, buf_str(&text), text.len) != (ssize_t)text.len || fsync(fd) != 0)
        err = err_set(why, ERR_UNAVAILABLE, "write %s: %s", path, strerror(errno));
    close(fd);
    sodium_memzero(text.data, text.room);
    buf_release(&text);
    if (err)
        unlink(path);
    return err;
}
