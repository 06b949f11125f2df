/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { CHUNK = 256 << 10, LINE_MOST = 1 << 20 };

struct source {
    int fd, flags;
    struct event *readable;
    void (*on_more)(void *arg);
    void *arg;
    struct buf in;
    size_t last;    /* bytes of the line handed out, taken at the next call */
    size_t scanned; /* bytes that hold no line's end */
    bool is_over;
    uint64_t lines, bytes, size;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct source *s = arg;

    (void)fd;
    (void)what;
    s->on_more(s->arg);
}

enum err source_open(struct source **out, struct loop *loop, const char *path, void (*on_more)(void *arg),
                     void *arg, struct why *why)
{
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct source *s;

    *out = NULL;
    if (fd < 0)
        return err_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    s = mem_new(struct source);
    s->fd = fd;
    s->on_more = on_more;
    s->arg = arg;
    buf_init(&s->in, LINE_MOST + CHUNK);
    s->flags = fcntl(fd, F_GETFL);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        s->size = (uint64_t)st.st_size;
    } else {
        fcntl(fd, F_SETFL, s->flags | O_NONBLOCK); /* shared with whoever else has it: put back at the end */
        s->readable = event_new(loop_base(loop), fd, EV_READ, on_readable, s);
    }
    *out = s;
    return ERR_OK;
}

void source_close(struct source *s)
{
    if (!s)
        return;
    if (s->readable) {
        event_free(s->readable);
        fcntl(s->fd, F_SETFL, s->flags);
    }
    close(s->fd);
    buf_release(&s->in);
    mem_free(s);
}

/* False when there is nothing now. */
static bool fill(struct source *s)
{
    char *to = buf_reserve(&s->in, CHUNK);
    ssize_t n = to ? read(s->fd, to, CHUNK) : 0;

    if (n > 0) {
        buf_commit(&s->in, (size_t)n);
        s->bytes += (uint64_t)n;
        return true;
    }
    if (n < 0 && errno == EINTR)
        return fill(s);
    if (n < 0 && errno == EAGAIN && s->readable) {
        event_add(s->readable, NULL);
        return false;
    }
    s->is_over = true;
    return true;
}

enum source_state source_line(struct source *s, struct slice *line)
{
    buf_take(&s->in, s->last);
    s->last = 0;
    for (;;) {
        struct slice in = buf_slice(&s->in);
        const char *end = memchr(in.ptr + s->scanned, '\n', in.len - s->scanned);

        if (!end && !s->is_over) {
            s->scanned = in.len;
            if (!fill(s))
                return SOURCE_LATER;
            continue;
        }
        if (!in.len)
            return SOURCE_END;
        *line = slice_of(in.ptr, end ? (size_t)(end - in.ptr) : in.len);
        s->scanned = 0;
        s->last = line->len + (end != NULL);
        while (line->len && (line->ptr[line->len - 1] == '\r' || line->ptr[line->len - 1] == ' '))
            line->len--;
        s->lines++;
        if (line->len)
            return SOURCE_LINE;
        buf_take(&s->in, s->last);
        s->last = 0;
    }
}

uint64_t source_lines(const struct source *s)
{
    return s->lines;
}

double source_share_done(const struct source *s)
{
    return s->size ? (double)(s->bytes - s->in.len) / (double)s->size : -1;
}
