/* SPDX-License-Identifier: Apache-2.0 */
#include "certs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"

/* Who gets a leaf, and what it is for: a certificate that only answers can call nobody. */
static const struct role {
    const char *name;
    bool is_server, is_client;
} roles[] = {
    { "features", true, false },  { "scoring", true, false }, { "rules", true, false },
    { "ingestion", false, true }, { "edge", true, false },    { "assay", false, true },
    { "retrainer", true, false }, { "shadow", false, true },  { "monitor", true, false },
    { "dashboard", false, true },
};

const struct certs_wish certs_usual = { .days = 365, .authority_days = 3650 };

struct certs {
    char dir[PATH_MAX];
    int lock_fd;
    struct issued *authority, *previous;
    certs_told_fn *told;
};

/* ---- paths ---- */

static enum err path_of(const struct certs *c, char path[PATH_MAX], const char *folder, const char *file,
                        struct why *why)
{
    if (snprintf(path, PATH_MAX, "%s/%s%s%s", c->dir, folder, *folder ? "/" : "", file) >= PATH_MAX - 16)
        return err_set(why, ERR_INVALID, "%s is too long", c->dir);
    return ERR_OK;
}

static enum err make_directory(const char *path, mode_t mode, struct why *why)
{
    if (mkdir(path, mode) && errno != EEXIST)
        return err_set(why, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
    return ERR_OK;
}

/* One that is neither hidden nor ours for something else, and no path. */
static bool is_leaf_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strcmp(name, "authority") != 0 && strlen(name) < 64;
}

/* ---- opening ---- */

static enum err read_if_there(struct issued **out, const char *path, struct why *why)
{
    enum err err = issued_read(out, path, why);

    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Nobody else changes the directory until certs_close(). */
static enum err lock(struct certs *c, const char *authority_dir, struct why *why)
{
    c->lock_fd = open(authority_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->lock_fd < 0)
        return err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "%s: %s", authority_dir,
                       strerror(errno));
    if (flock(c->lock_fd, LOCK_EX))
        return err_set(why, ERR_UNAVAILABLE, "%s: %s", authority_dir, strerror(errno));
    return ERR_OK;
}

static enum err open_certs(struct certs *c, const char *dir, bool makes_it, certs_told_fn *told,
                           struct why *why)
{
    char path[PATH_MAX];
    enum err err = ERR_OK;

    *c = (struct certs){ .lock_fd = -1, .told = told };
    snprintf(c->dir, sizeof c->dir, "%s", dir);
    if (makes_it)
        err = make_directory(dir, 0755, why);
    if (!err)
        err = path_of(c, path, "", "authority", why);
    if (!err && makes_it)
        err = make_directory(path, 0700, why);
    if (!err)
        err = lock(c, path, why);
    if (!err)
        err = path_of(c, path, "authority", "ca.pem", why);
    if (!err)
        err = read_if_there(&c->authority, path, why);
    if (!err && !c->authority && !makes_it)
        err = err_set(why, ERR_NOT_FOUND, "no authority in %s; `assay certs init` makes one", dir);
    if (!err)
        err = path_of(c, path, "authority", "previous.pem", why);
    if (!err)
        err = read_if_there(&c->previous, path, why);
    if (err == ERR_NOT_FOUND)
        err_set(why, err, "no authority in %s; `assay certs init` makes one", dir);
    return err;
}

static void close_certs(struct certs *c)
{
    issued_free(c->authority);
    issued_free(c->previous);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
}

/* ---- writing ---- */

static void tell(const struct certs *c, const char *path, const struct issued *what)
{
    if (c->told)
        c->told(path, what);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Calls `each` for every name that has a leaf. */
static enum err for_each_leaf(struct certs *c,
                              enum err (*each)(struct certs *, const char *, void *, struct why *), void *arg,
                              struct why *why)
{
    DIR *d = opendir(c->dir);
    enum err err = ERR_OK;
    const struct dirent *entry;
    char path[PATH_MAX], names[CERTS_MAX][64];
    size_t count = 0;

    if (!d)
        return err_set(why, ERR_UNAVAILABLE, "%s: %s", c->dir, strerror(errno));
    while (!err && count < CERTS_MAX && (entry = readdir(d))) {
        if (!is_leaf_name(entry->d_name))
            continue;
        err = path_of(c, path, entry->d_name, "tls.pem", why);
        if (!err && access(path, F_OK) == 0)
            snprintf(names[count++], sizeof *names, "%.63s", entry->d_name);
    }
    closedir(d);
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count && !err; i++)
        err = each(c, names[i], arg, why);
    return err;
}

static enum err write_bundle_of(struct certs *c, const char *name, void *pem, struct why *why)
{
    char path[PATH_MAX];
    enum err err = path_of(c, path, name, "ca.pem", why);

    return err ? err : bundle_write(path, buf_slice(pem), why);
}

/* Whom to trust, to everybody. Each command does it, and so completes what one before may have left off. */
static enum err write_bundles(struct certs *c, struct why *why)
{
    struct buf pem;
    enum err err;

    buf_init(&pem, 0);
    issued_add_pem(c->authority, &pem);
    if (c->previous && !issued_has_same_key(c->previous, c->authority))
        issued_add_pem(c->previous, &pem);
    err = write_bundle_of(c, "", &pem, why);
    if (!err)
        err = for_each_leaf(c, write_bundle_of, &pem, why);
    buf_release(&pem);
    return err;
}

static enum err make_authority(struct certs *c, int64_t days, struct why *why)
{
    struct issued *made;
    char path[PATH_MAX], name[64], now[RFC3339_SIZE];
    uint16_t own = 0;
    enum err err = path_of(c, path, "authority", "ca.pem", why);

    /* Its own name each time: two authorities that share one would be taken for each other. */
    rfc3339_format(clock_wall_us(), now);
    if (getrandom(&own, sizeof own, 0) != sizeof own)
        err = err_set(why, ERR_UNAVAILABLE, "getrandom: %s", strerror(errno));
    snprintf(name, sizeof name, "Assay CA %.10s %04x", now, own);
    if (!err)
        err = issue_authority(&made, name, days, why);
    if (err)
        return err;
    err = issued_write(made, true, path, why);
    if (err) {
        issued_free(made);
        return err;
    }
    tell(c, path, made);
    issued_free(c->authority);
    c->authority = made;
    return ERR_OK;
}

static enum err make_leaf(struct certs *c, const struct leaf_wish *wish, struct why *why)
{
    struct issued *made = NULL;
    char path[PATH_MAX];
    enum err err = path_of(c, path, "", wish->name, why);

    if (!err)
        err = make_directory(path, 0755, why);
    if (!err)
        err = path_of(c, path, wish->name, "tls.pem", why);
    if (!err)
        err = issue_leaf(&made, c->authority, wish, why);
    if (!err)
        err = issued_write(made, true, path, why);
    if (!err)
        tell(c, path, made);
    issued_free(made);
    return err;
}

/* ---- what can be done ---- */

/* The hosts that it had, and those wished for that it did not have. */
static void merge_hosts(struct buf *out, const char *had, const char *more)
{
    buf_add_str(out, had);
    while (more && *more) {
        size_t len;
        const char *at = had;
        bool is_there = false;

        more += strspn(more, ", ");
        len = strcspn(more, ", ");
        while (*at && !is_there) {
            size_t one = strcspn(at, ",");

            is_there = one == len && strncmp(at, more, len) == 0;
            at += one + (at[one] == ',');
        }
        if (len && !is_there)
            buf_printf(out, ",%.*s", (int)len, more);
        more += len;
    }
}

static enum err make_usual_leaf(struct certs *c, const char *name, bool is_server, bool is_client,
                                const struct certs_wish *wish, struct why *why)
{
    struct leaf_wish leaf = {
        .name = name, .days = wish->days, .is_server = is_server, .is_client = is_client
    };
    char usual[128];
    struct buf hosts;
    enum err err;

    snprintf(usual, sizeof usual, "%s%s", name, is_server ? ",localhost,127.0.0.1,::1" : "");
    buf_init(&hosts, 0);
    merge_hosts(&hosts, usual, is_server ? wish->hosts : NULL);
    leaf.hosts = buf_str(&hosts);
    err = make_leaf(c, &leaf, why);
    buf_release(&hosts);
    return err;
}

enum err certs_init(const char *dir, const struct certs_wish *wish, certs_told_fn *told, struct why *why)
{
    struct certs c;
    char path[PATH_MAX];
    enum err err = open_certs(&c, dir, true, told, why);

    if (!err && !c.authority)
        err = make_authority(&c, wish->authority_days, why);
    if (!err)
        err = write_bundles(&c, why);
    for (size_t i = 0; i < ARRAY_LEN(roles) && !err; i++) {
        err = path_of(&c, path, roles[i].name, "tls.pem", why);
        if (!err && access(path, F_OK) != 0)
            err = make_usual_leaf(&c, roles[i].name, roles[i].is_server, roles[i].is_client, wish, why);
    }
    if (!err)
        err = write_bundles(&c, why);
    close_certs(&c);
    return err;
}

enum err certs_issue(const char *dir, const char *name, bool is_server, const struct certs_wish *wish,
                     certs_told_fn *told, struct why *why)
{
    struct certs c;
    char path[PATH_MAX];
    enum err err;

    if (!is_leaf_name(name))
        return err_set(why, ERR_INVALID, "\"%s\" cannot be the name of a directory here", name);
    err = open_certs(&c, dir, false, told, why);
    if (!err)
        err = path_of(&c, path, name, "tls.pem", why);
    if (!err && access(path, F_OK) == 0)
        err = err_set(why, ERR_CONFLICT, "%s has a certificate; `assay certs rotate` renews all", name);
    if (!err)
        err = make_usual_leaf(&c, name, is_server, true, wish, why);
    if (!err)
        err = write_bundles(&c, why);
    close_certs(&c);
    return err;
}

static enum err renew_leaf(struct certs *c, const char *name, void *arg, struct why *why)
{
    const struct certs_wish *wish = arg;
    struct leaf_wish leaf = { .name = name, .days = wish->days };
    struct issued *old;
    struct buf hosts;
    char path[PATH_MAX];
    enum err err = path_of(c, path, name, "tls.pem", why);

    if (!err)
        err = issued_read(&old, path, why);
    if (err)
        return err;
    leaf.is_server = issued_is_server(old);
    leaf.is_client = issued_is_client(old);
    buf_init(&hosts, 0);
    merge_hosts(&hosts, issued_hosts(old), leaf.is_server ? wish->hosts : NULL);
    leaf.hosts = buf_str(&hosts);
    err = make_leaf(c, &leaf, why);
    buf_release(&hosts);
    issued_free(old);
    return err;
}

/* Waits until everybody who looks each second has read the file. */
static void let_settle(const char *path)
{
    struct stat st;

    while (stat(path, &st) == 0 && time(NULL) >= st.st_mtime && time(NULL) - st.st_mtime < CERTS_SETTLE_S)
        nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
}

enum err certs_rotate(const char *dir, const struct certs_wish *wish, certs_told_fn *told, struct why *why)
{
    struct certs c;
    char path[PATH_MAX];
    enum err err = open_certs(&c, dir, false, told, why);

    if (!err)
        err = write_bundles(&c, why);
    if (!err)
        err = path_of(&c, path, "", "ca.pem", why);
    if (!err && c.previous)
        let_settle(path);
    if (!err)
        err = for_each_leaf(&c, renew_leaf, (void *)(uintptr_t)wish, why);
    close_certs(&c);
    return err;
}

enum err certs_rotate_authority(const char *dir, const struct certs_wish *wish, certs_told_fn *told,
                                struct why *why)
{
    struct certs c;
    char path[PATH_MAX];
    enum err err = open_certs(&c, dir, false, told, why);

    if (!err && c.previous && !issued_has_same_key(c.previous, c.authority))
        err = err_set(why, ERR_CONFLICT,
                      "the authority before is still trusted: first `assay certs rotate`, then `assay certs "
                      "rotate --forget`");
    if (!err)
        err = path_of(&c, path, "authority", "previous.pem", why);
    if (!err)
        err = issued_write(c.authority, false, path, why);
    if (!err) {
        issued_free(c.previous);
        c.previous = NULL;
        err = issued_read(&c.previous, path, why);
    }
    if (!err)
        err = make_authority(&c, wish->authority_days, why);
    if (!err)
        err = write_bundles(&c, why);
    close_certs(&c);
    return err;
}

static enum err check_is_of_authority(struct certs *c, const char *name, void *arg, struct why *why)
{
    struct issued *leaf;
    char path[PATH_MAX];
    enum err err = path_of(c, path, name, "tls.pem", why);

    (void)arg;
    if (!err)
        err = issued_read(&leaf, path, why);
    if (err)
        return err;
    if (issued_is_by(leaf, c->authority))
        let_settle(path);
    else
        err = err_set(why, ERR_CONFLICT, "%s is still of \"%s\": first `assay certs rotate`", path,
                      issued_issuer(leaf));
    issued_free(leaf);
    return err;
}

enum err certs_forget_previous(const char *dir, certs_told_fn *told, struct why *why)
{
    struct certs c;
    char path[PATH_MAX];
    enum err err = open_certs(&c, dir, false, told, why);

    if (!err && !c.previous)
        err = err_set(why, ERR_NOT_FOUND, "only one authority is trusted; nothing to forget");
    if (!err)
        err = for_each_leaf(&c, check_is_of_authority, NULL, why);
    if (!err)
        err = path_of(&c, path, "authority", "previous.pem", why);
    if (!err && unlink(path))
        err = err_set(why, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
    if (!err) {
        issued_free(c.previous);
        c.previous = NULL;
        err = write_bundles(&c, why);
    }
    close_certs(&c);
    return err;
}

/* ---- looking ---- */

static void look_at(struct certs *c, struct certs_rows *out, const char *path)
{
    struct certs_row *row = &out->rows[out->count];

    if (out->count == CERTS_MAX)
        return;
    out->count++;
    snprintf(row->path, sizeof row->path, "%.*s", (int)sizeof row->path - 1, path);
    if (issued_read(&row->issued, path, &row->fault))
        return;
    row->is_authority = c->authority && issued_has_same_key(row->issued, c->authority);
    row->is_previous = !row->is_authority && c->previous && issued_has_same_key(row->issued, c->previous);
    if (!row->is_authority && !row->is_previous && !issued_is_by(row->issued, c->authority) &&
        !(c->previous && issued_is_by(row->issued, c->previous)))
        err_set(&row->fault, ERR_INVALID, "of no authority that is trusted here");
}

static enum err look_at_leaf(struct certs *c, const char *name, void *out, struct why *why)
{
    char path[PATH_MAX];
    enum err err = path_of(c, path, name, "tls.pem", why);

    if (!err)
        look_at(c, out, path);
    return err;
}

enum err certs_look(const char *dir, struct certs_rows *out, struct why *why)
{
    struct certs c;
    char path[PATH_MAX];
    enum err err = open_certs(&c, dir, false, NULL, why);

    *out = (struct certs_rows){ 0 };
    if (!err)
        err = path_of(&c, path, "authority", "ca.pem", why);
    if (!err) {
        look_at(&c, out, path);
        out->has_previous = c.previous && !issued_has_same_key(c.previous, c.authority);
    }
    if (!err && out->has_previous) {
        err = path_of(&c, path, "authority", "previous.pem", why);
        if (!err)
            look_at(&c, out, path);
    }
    if (!err)
        err = for_each_leaf(&c, look_at_leaf, out, why);
    close_certs(&c);
    return err;
}

void certs_rows_release(struct certs_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        issued_free(rows->rows[i].issued);
}
