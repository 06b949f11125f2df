/* SPDX-License-Identifier: Apache-2.0 */
#include "http/dial.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/tls.h"
#include "loop/resolver.h"

enum { UNACKNOWLEDGED_MS = 10000 }; /* a peer that takes nothing for so long is gone */

struct address {
    char *text, *host; /* "features:9001", "features" */
    uint16_t port;
    struct sockaddr_storage numeric;
    int numeric_len; /* 0: host is a name */
};

struct dialer {
    struct loop *loop;
    struct address *addresses;
    size_t count;
    struct resolver *resolver; /* made when a name is first looked up */
    struct tls *tls;           /* NULL: in the clear */
    char *tls_name;
    int64_t patience_ms;
};

enum state { RESOLVING, CONNECTING, SHAKING_HANDS, OPEN, FAILED };

struct wire {
    struct dialer *dialer;
    const struct address *address;
    const struct wire_events *events;
    void *arg;
    enum state state;
    int fd;
    struct event *readable, *writable;
    struct loop_timer patience; /* until it is open; then what tells of a failure */
    struct lookup *lookup;
    struct tls_conn *tls;
    struct why reason;
};

/* ---- the dialer ---- */

static enum err read_address(struct address *a, struct slice text, struct why *why)
{
    int len = sizeof a->numeric;
    const char *colon;
    int64_t port;

    a->text = mem_strndup(text.ptr, text.len);
    colon = strrchr(a->text, ':');
    if (!colon || colon == a->text || !slice_to_i64(slice_str(colon + 1), &port) || port < 1 || port > 65535)
        return err_set(why, ERR_INVALID, "\"%s\" is no address: host:port is", a->text);
    a->port = (uint16_t)port;
    if (evutil_parse_sockaddr_port(a->text, (struct sockaddr *)&a->numeric, &len) == 0)
        a->numeric_len = len;
    if (a->text[0] == '[' && a->numeric_len) /* [::1]:9001 */
        a->host = mem_strndup(a->text + 1, (size_t)(colon - a->text) - 2);
    else
        a->host = mem_strndup(a->text, (size_t)(colon - a->text));
    if (a->text[0] == '[' ? !a->numeric_len : strpbrk(a->host, "]:") != NULL)
        return err_set(why, ERR_INVALID, "\"%s\" is no address: an IPv6 one is [::1]:9001", a->text);
    return ERR_OK;
}

static enum err read_addresses(struct dialer *d, const char *list, struct why *why)
{
    enum err err = ERR_OK;
    size_t count = 1;

    for (const char *p = list; *p; p++)
        count += *p == ',';
    d->addresses = mem_new_n(struct address, count);
    while (!err && d->count < count) {
        size_t len = strcspn(list, ",");

        err = read_address(&d->addresses[d->count++], slice_of(list, len), why);
        list += len + (list[len] == ',');
    }
    return err;
}

enum err dialer_open(struct dialer **out, struct loop *loop, const char *addresses, struct tls *tls,
                     const char *tls_name, int64_t patience_ms, struct why *why)
{
    struct dialer *d = mem_new(struct dialer);
    enum err err;

    *out = NULL;
    d->loop = loop;
    d->patience_ms = patience_ms;
    d->tls = tls;
    if (tls_name)
        d->tls_name = mem_strdup(tls_name);
    err = read_addresses(d, addresses, why);
    if (err) {
        dialer_close(d);
        return err;
    }
    *out = d;
    return ERR_OK;
}

void dialer_close(struct dialer *d)
{
    if (!d)
        return;
    resolver_free(d->resolver);
    for (size_t i = 0; i < d->count; i++) {
        mem_free(d->addresses[i].text);
        mem_free(d->addresses[i].host);
    }
    mem_free(d->addresses);
    mem_free(d->tls_name);
    mem_free(d);
}

size_t dialer_count(const struct dialer *d)
{
    return d->count;
}

const char *dialer_address(const struct dialer *d, size_t at)
{
    return d->addresses[at].text;
}

/* ---- opening a wire ---- */

/* It is told of from the loop, whoever finds out. */
static void fail(struct wire *w, const char *reason)
{
    w->state = FAILED;
    err_set(&w->reason, ERR_UNAVAILABLE, "%s", reason);
    if (w->readable)
        event_del(w->readable);
    if (w->writable)
        event_del(w->writable);
    loop_timer_set(&w->patience, 0);
}

static void on_patience(void *arg)
{
    struct wire *w = arg;
    struct why reason = w->reason; /* w may be gone before it is read to its end */

    w->events->on_failed(w->arg, w->state == FAILED ? reason.text : "no connection in time");
}

static void opened(struct wire *w)
{
    w->state = OPEN;
    loop_timer_stop(&w->patience);
    event_add(w->readable, NULL);
    w->events->on_open(w->arg);
}

static void shake_hands(struct wire *w)
{
    int done = tls_conn_handshake(w->tls);

    event_del(w->readable);
    if (done < 0 && errno == EAGAIN)
        event_add(tls_conn_wants_write(w->tls) ? w->writable : w->readable, NULL);
    else if (done < 0)
        fail(w, tls_conn_reason(w->tls));
    else if (!tls_conn_is_h2(w->tls))
        fail(w, "the peer does not speak HTTP/2 (ALPN)");
    else
        opened(w);
}

static void connected(struct wire *w)
{
    const struct dialer *d = w->dialer;

    if (!d->tls) {
        opened(w);
        return;
    }
    /* Who only calls, and seldom, need not look by a clock. Files of no use leave what was there, and the peer
     * will say what it thinks of that. */
    if (tls_look(d->tls, &w->reason))
        w->reason.text[0] = '\0';
    w->state = SHAKING_HANDS;
    w->tls = tls_connect(d->tls, w->fd, d->tls_name ? d->tls_name : w->address->host);
    shake_hands(w);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct wire *w = arg;
    int failure = 0;
    socklen_t len = sizeof failure;

    (void)what;
    switch (w->state) {
    case CONNECTING:
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) || failure)
            fail(w, strerror(failure ? failure : errno));
        else
            connected(w);
        break;
    case SHAKING_HANDS:
        shake_hands(w);
        break;
    case OPEN:
        w->events->on_writable(w->arg);
        break;
    case RESOLVING:
    case FAILED:
        break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct wire *w = arg;

    (void)fd;
    (void)what;
    if (w->state == SHAKING_HANDS)
        shake_hands(w);
    else if (w->state == OPEN)
        w->events->on_readable(w->arg);
}

static void connect_to(struct wire *w, const struct sockaddr *address, socklen_t len)
{
    struct event_base *base = loop_base(w->dialer->loop);
    int on = 1, unacknowledged = UNACKNOWLEDGED_MS;

    w->state = CONNECTING;
    w->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->fd < 0) {
        fail(w, strerror(errno));
        return;
    }
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(w->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(w->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
    w->readable = event_new(base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
    w->writable = event_new(base, w->fd, EV_WRITE, on_writable, w);
    if (connect(w->fd, address, len) && errno != EINPROGRESS)
        fail(w, strerror(errno));
    else
        event_add(w->writable, NULL);
}

static void on_address(void *arg, const struct sockaddr *address, socklen_t len, const char *reason)
{
    struct wire *w = arg;

    w->lookup = NULL;
    if (address)
        connect_to(w, address, len);
    else
        fail(w, reason);
}

static void look_up(struct wire *w)
{
    struct dialer *d = w->dialer;

    if (!d->resolver)
        d->resolver = resolver_new(d->loop);
    w->state = RESOLVING;
    w->lookup = resolver_look_up(d->resolver, w->address->host, w->address->port, on_address, w);
}

struct wire *wire_open(struct dialer *d, size_t at, const struct wire_events *events, void *arg)
{
    struct wire *w = mem_new(struct wire);

    w->dialer = d;
    w->address = &d->addresses[at];
    w->events = events;
    w->arg = arg;
    w->fd = -1;
    loop_timer_init(&w->patience, d->loop, on_patience, w);
    loop_timer_set(&w->patience, d->patience_ms * MS_US);
    if (w->address->numeric_len)
        connect_to(w, (const struct sockaddr *)&w->address->numeric, (socklen_t)w->address->numeric_len);
    else
        look_up(w);
    return w;
}

void wire_close(struct wire *w)
{
    if (!w)
        return;
    loop_timer_release(&w->patience);
    lookup_cancel(w->lookup);
    if (w->readable)
        event_free(w->readable);
    if (w->writable)
        event_free(w->writable);
    if (w->tls && w->state == OPEN)
        tls_conn_shutdown(w->tls);
    tls_conn_free(w->tls);
    if (w->fd >= 0)
        close(w->fd);
    mem_free(w);
}

/* ---- an open one ---- */

/* A record at a time, until there is no more or no room. */
static ssize_t read_records(struct wire *w, char *to, size_t room, const char **reason)
{
    size_t got = 0;
    ssize_t n;

    do {
        n = tls_conn_read(w->tls, to + got, room - got);
        got += n > 0 ? (size_t)n : 0;
    } while (n > 0 && got < room);
    if (got || (n < 0 && errno == EAGAIN))
        return (ssize_t)got; /* an end behind it is told of in the next turn */
    *reason = tls_conn_reason(w->tls);
    return -1;
}

ssize_t wire_read(struct wire *w, char *to, size_t room, const char **reason)
{
    ssize_t n;

    if (w->tls)
        return read_records(w, to, room, reason);
    n = recv(w->fd, to, room, 0);
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    *reason = n == 0 ? "the peer closed the connection" : strerror(errno);
    return -1;
}

ssize_t wire_write(struct wire *w, struct slice bytes, const char **reason)
{
    ssize_t n;

    if (w->tls) {
        n = tls_conn_write(w->tls, bytes.ptr, bytes.len);
        if (n > 0 || (n < 0 && errno == EAGAIN)) /* no renegotiation: reading goes on by itself */
            return n > 0 ? n : 0;
        *reason = tls_conn_reason(w->tls);
        return -1;
    }
    n = send(w->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    *reason = strerror(errno);
    return -1;
}

bool wire_is_stale(const struct wire *w)
{
    return w->tls && tls_conn_generation(w->tls) != tls_generation(w->dialer->tls);
}

void wire_await_room(struct wire *w)
{
    event_add(w->writable, NULL);
}
