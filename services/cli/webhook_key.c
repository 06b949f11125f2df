/* SPDX-License-Identifier: Apache-2.0 */
#include "webhook_key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "home.h"

enum { TEXT_SIZE = sodium_base64_ENCODED_LEN(SEAL_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL) };

/* Not seen under its name before it is whole. */
static enum err write_new(const char *path, const char *text, struct why *why)
{
    char draft[PATH_MAX + 8];
    int fd;
    bool is_written;

    snprintf(draft, sizeof draft, "%s.%d", path, (int)getpid());
    fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    is_written = fd >= 0 && dprintf(fd, "%s\n", text) > 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    is_written = is_written && (link(draft, path) == 0 || errno == EEXIST);
    if (!is_written)
        err_explain(why, "write %s: %s", path, strerror(errno));
    if (fd >= 0)
        unlink(draft);
    return is_written ? ERR_OK : ERR_UNAVAILABLE;
}

enum err webhook_key_make(const char *home, struct why *why)
{
    unsigned char key[SEAL_KEY_BYTES];
    char path[PATH_MAX], text[TEXT_SIZE];
    enum err err;

    if (!home_path(path, home, WEBHOOK_KEY_FILE))
        return err_set(why, ERR_UNAVAILABLE, "%s is too long", home);
    if (access(path, F_OK) == 0)
        return ERR_OK;
    randombytes_buf(key, sizeof key);
    sodium_bin2base64(text, sizeof text, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
    err = write_new(path, text, why);
    sodium_memzero(key, sizeof key);
    sodium_memzero(text, sizeof text);
    return err;
}

static enum err read_file(struct seal_key *key, const char *path, struct why *why)
{
    char text[TEXT_SIZE + 8] = "";
    FILE *file = fopen(path, "re");
    size_t len;
    enum err err;

    key->is_set = false;
    if (!file)
        return errno == ENOENT ? ERR_OK : err_set(why, ERR_INVALID, "read %s: %s", path, strerror(errno));
    len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    err = seal_key_read(key, slice_of(text, len), why);
    sodium_memzero(text, sizeof text);
    return err ? err_wrap(why, err, "%s", path) : ERR_OK;
}

enum err webhook_key_find(struct seal_key *key, struct why *why)
{
    static const struct conf_field field = { "WEBHOOK_KEY", CONF_TEXT, 0, "", "seals secrets", 0, 0 };
    const char *text = NULL;
    char home[PATH_MAX], path[PATH_MAX];
    enum err err = conf_load(&text, &field, 1, why);

    if (err)
        return err;
    if (!*text && home_find(home, NULL) && home_path(path, home, WEBHOOK_KEY_FILE))
        return read_file(key, path, why);
    return seal_key_read(key, slice_str(text), why);
}
