/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/mem.h"
#include "http/server.h"

enum { DEPTH_MOST = 4 };

struct page {
    char *path; /* as it is asked for: "/assets/index-Bx3.js" */
    const char *type;
    char etag[2 + 32 + 1];
    struct slice bytes, gzip; /* gzip: empty when there is none; both are ours */
};

struct pages {
    struct page *files; /* in the order of paths */
    size_t count, bytes;
    const struct page *index;
};

/* ---- reading the directory ---- */

static const struct {
    const char *ending, *type;
} types[] = {
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".css", "text/css; charset=utf-8" },
    { ".json", "application/json" },
    { ".webmanifest", "application/manifest+json" },
    { ".svg", "image/svg+xml" },
    { ".png", "image/png" },
    { ".ico", "image/x-icon" },
    { ".woff2", "font/woff2" },
    { ".txt", "text/plain; charset=utf-8" },
    { ".map", "application/json" },
};

static bool ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), tail = strlen(ending);

    return len > tail && strcmp(text + len - tail, ending) == 0;
}

static const char *type_of(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (ends_with(path, types[i].ending))
            return types[i].type;
    return "application/octet-stream";
}

static bool is_sound_name(const char *name)
{
    if (name[0] == '.' || !name[0])
        return false;
    for (; *name; name++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *name))
            return false;
    return true;
}

static enum err read_file(struct pages *pages, int fd, const char *path, size_t len, struct why *why)
{
    struct page *page = &pages->files[pages->count];
    char *bytes, digest[SHA256_HEX_SIZE];
    size_t got = 0;

    if (pages->count == PAGES_FILES_MOST || len > PAGES_FILE_BYTES_MOST ||
        pages->bytes + len > PAGES_BYTES_MOST)
        return err_set(why, ERR_TOO_LARGE, "%s: more pages than can be served from memory", path);
    bytes = mem_alloc(len + 1, 1);
    while (got < len) {
        ssize_t n = read(fd, bytes + got, len - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    if (got < len) {
        mem_free(bytes);
        return err_set(why, ERR_UNAVAILABLE, "%s: cannot be read to its end", path);
    }
    page->path = mem_strdup(path);
    page->type = type_of(path);
    page->bytes = slice_of(bytes, len);
    sha256_hex(page->bytes, digest);
    snprintf(page->etag, sizeof page->etag, "\"%.32s\"", digest);
    pages->bytes += len;
    pages->count++;
    return ERR_OK;
}

static enum err read_directory(struct pages *pages, int fd, const char *path, int depth, struct why *why);

/* `path`: of the directory, as it is asked for. */
static enum err read_entry(struct pages *pages, int directory, const char *path, const char *name, int depth,
                           struct why *why)
{
    char full[PATH_MAX];
    struct stat st;
    enum err err = ERR_OK;
    int fd;

    if (!is_sound_name(name) || snprintf(full, sizeof full, "%s/%s", path, name) >= (int)sizeof full)
        return ERR_OK;
    fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP)
        return ERR_OK;
    if (fd < 0 || fstat(fd, &st)) {
        err = err_set(why, ERR_UNAVAILABLE, "%s: %s", full, strerror(errno));
    } else if (S_ISDIR(st.st_mode) && depth < DEPTH_MOST) {
        return read_directory(pages, fd, full, depth + 1, why);
    } else if (S_ISREG(st.st_mode)) {
        err = read_file(pages, fd, full, (size_t)st.st_size, why);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

/* Takes `fd`. */
static enum err read_directory(struct pages *pages, int fd, const char *path, int depth, struct why *why)
{
    DIR *d = fdopendir(fd);
    struct dirent *entry;
    enum err err = ERR_OK;

    if (!d) {
        close(fd);
        return err_set(why, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
    }
    while (!err && (entry = readdir(d)) != NULL)
        err = read_entry(pages, dirfd(d), path, entry->d_name, depth, why);
    closedir(d);
    return err;
}

/* ---- what was read ---- */

static int by_path(const void *a, const void *b)
{
    const struct page *one = a, *other = b;

    return strcmp(one->path, other->path);
}

static struct page *find(const struct pages *pages, const char *path)
{
    const struct page key = { .path = (char *)(uintptr_t)path };

    return bsearch(&key, pages->files, pages->count, sizeof key, by_path);
}

static void join_compressed(struct pages *pages)
{
    char plain[PATH_MAX];

    for (size_t i = 0; i < pages->count; i++) {
        struct page *of;

        if (!ends_with(pages->files[i].path, ".gz"))
            continue;
        snprintf(plain, sizeof plain, "%.*s", (int)strlen(pages->files[i].path) - 3, pages->files[i].path);
        of = find(pages, plain);
        if (of)
            of->gzip = pages->files[i].bytes;
    }
}

enum err pages_open(struct pages **out, const char *directory, struct why *why)
{
    struct pages *pages = mem_new(struct pages);
    enum err err = ERR_OK;
    int fd;

    *out = NULL;
    pages->files = mem_alloc(PAGES_FILES_MOST, sizeof *pages->files);
    memset(pages->files, 0, PAGES_FILES_MOST * sizeof *pages->files);
    if (*directory) {
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = fd < 0 ? err_set(why, ERR_NOT_FOUND, "%s: %s", directory, strerror(errno))
                     : read_directory(pages, fd, "", 0, why);
        qsort(pages->files, pages->count, sizeof *pages->files, by_path);
        join_compressed(pages);
        pages->index = find(pages, "/index.html");
        if (!err && !pages->index)
            err = err_set(why, ERR_NOT_FOUND, "%s has no index.html", directory);
    }
    if (err) {
        pages_close(pages);
        return err;
    }
    *out = pages;
    return ERR_OK;
}

void pages_close(struct pages *pages)
{
    if (!pages)
        return;
    for (size_t i = 0; i < pages->count; i++) {
        mem_free(pages->files[i].path);
        mem_free((char *)(uintptr_t)pages->files[i].bytes.ptr);
    }
    mem_free(pages->files);
    mem_free(pages);
}

/* ---- answering ---- */

/* No script but from files of ours, and no page of ours within another's. */
#define POLICY                                                                                               \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "       \
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static bool mentions(struct slice list, const char *word)
{
    return list.len && memmem(list.ptr, list.len, word, strlen(word)) != NULL;
}

static void answer(const struct page *page, struct http_request *req)
{
    bool is_lasting = strncmp(page->path, "/assets/", 8) == 0;
    bool is_gzip = page->gzip.len && mentions(http_header(req, "accept-encoding"), "gzip");
    bool is_known = mentions(http_header(req, "if-none-match"), page->etag);
    struct http_header headers[9];
    size_t n = 0;

    headers[n++] =
        (struct http_header){ SLICE("cache-control"),
                              is_lasting ? SLICE("public, max-age=31536000, immutable") : SLICE("no-cache") };
    headers[n++] = (struct http_header){ SLICE("etag"), slice_str(page->etag) };
    headers[n++] = (struct http_header){ SLICE("vary"), SLICE("accept-encoding") };
    headers[n++] = (struct http_header){ SLICE("content-security-policy"), SLICE(POLICY) };
    headers[n++] = (struct http_header){ SLICE("x-content-type-options"), SLICE("nosniff") };
    headers[n++] = (struct http_header){ SLICE("referrer-policy"), SLICE("no-referrer") };
    headers[n++] = (struct http_header){ SLICE("x-frame-options"), SLICE("DENY") };
    headers[n++] = (struct http_header){ SLICE("cross-origin-opener-policy"), SLICE("same-origin") };
    if (is_gzip && !is_known)
        headers[n++] = (struct http_header){ SLICE("content-encoding"), SLICE("gzip") };
    http_reply(req, &(struct http_reply){ .status = is_known ? 304 : 200,
                                          .type = is_known ? NULL : page->type,
                                          .body = is_known  ? SLICE("")
                                                  : is_gzip ? page->gzip
                                                            : page->bytes,
                                          .headers = headers,
                                          .header_count = n });
}

void pages_answer(const struct pages *pages, struct http_request *req)
{
    const char *path = arena_strndup(&req->arena, req->path.ptr, req->path.len);
    const char *last = strrchr(path, '/');
    const struct page *page = ends_with(path, ".gz") ? NULL : find(pages, path);

    if (!page && pages->index && strncmp(path, "/v1/", 4) != 0 && !(last && strchr(last, '.')))
        page = pages->index;
    if (page)
        answer(page, req);
    else
        http_reply_problem(req, 404,
                           pages->index ? "there is no such page"
                                        : "the pages are not there: ASSAY_DASHBOARD_PAGES");
}
