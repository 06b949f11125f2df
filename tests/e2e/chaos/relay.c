/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/array.h"
#include "base/mem.h"
#include "loop/loop.h"

enum { CUTS_MAX = 16 };

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_un un;
};

/* One connection through a line: both of its halves. */
struct pair {
    struct line *line;
    struct pair *next;
    pid_t pid;                   /* who connected, on a Unix socket */
    struct bufferevent *ends[2]; /* who connected, and where it leads */
    bool is_silent, is_ending;
};

struct line {
    struct relay *relay;
    struct evconnlistener *listener;
    union address to;
    socklen_t to_len; /* 0: nowhere yet */
    struct pair *pairs;
    struct {
        pid_t pid;
        enum cut cut;
    } cuts[CUTS_MAX];
    size_t cut_count;
};

struct relay {
    struct loop *loop;
    pthread_t thread;
    bool is_running;
    struct line lines[RELAY_LINES_MAX];
    size_t line_count;
};

/* ---- pairs ---- */

static void pair_free(struct pair *p)
{
    struct pair **at = &p->line->pairs;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    bufferevent_free(p->ends[0]);
    bufferevent_free(p->ends[1]);
    mem_free(p);
}

/* With a RST instead of an orderly end, where the protocol has one. */
static void pair_reset(struct pair *p)
{
    const struct linger at_once = { .l_onoff = 1 };

    for (int i = 0; i < 2; i++)
        setsockopt(bufferevent_getfd(p->ends[i]), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    pair_free(p);
}

static void pair_set_silent(struct pair *p, bool is_silent)
{
    if (p->is_silent == is_silent)
        return;
    p->is_silent = is_silent;
    for (int i = 0; i < 2; i++)
        if (is_silent)
            bufferevent_disable(p->ends[i], EV_READ | EV_WRITE);
        else
            bufferevent_enable(p->ends[i], EV_READ | EV_WRITE);
}

static struct bufferevent *other_end(const struct pair *p, const struct bufferevent *end)
{
    return p->ends[end == p->ends[0]];
}

static void on_bytes(struct bufferevent *end, void *ctx)
{
    bufferevent_read_buffer(other_end(ctx, end), bufferevent_get_input(end));
    bufferevent_write_buffer(other_end(ctx, end), bufferevent_get_input(end));
}

/* The last bytes have gone out to the end that outlived the other. */
static void on_written(struct bufferevent *end, void *ctx)
{
    struct pair *p = ctx;

    (void)end;
    if (p->is_ending)
        pair_free(p);
}

static void on_event(struct bufferevent *end, short what, void *ctx)
{
    struct pair *p = ctx;
    struct bufferevent *other = other_end(p, end);

    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    p->is_ending = true;
    bufferevent_write_buffer(other, bufferevent_get_input(end));
    if ((what & BEV_EVENT_ERROR) || evbuffer_get_length(bufferevent_get_output(other)) == 0)
        pair_free(p);
    else
        bufferevent_disable(end, EV_READ | EV_WRITE);
}

/* The hardest of the cuts that concern this process. */
static enum cut cut_for(const struct line *l, pid_t pid)
{
    enum cut cut = CUT_NONE;

    for (size_t i = 0; i < l->cut_count; i++)
        if ((!l->cuts[i].pid || l->cuts[i].pid == pid) && l->cuts[i].cut > cut)
            cut = l->cuts[i].cut;
    return cut;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int len,
                      void *ctx)
{
    const struct linger at_once = { .l_onoff = 1 };
    struct line *l = ctx;
    struct event_base *base = loop_base(l->relay->loop);
    struct ucred peer = { 0 };
    socklen_t peer_len = sizeof peer;
    struct pair *p;
    int on = 1;

    (void)listener;
    (void)len;
    if (from->sa_family == AF_UNIX)
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len);
    else
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (cut_for(l, peer.pid) == CUT_REFUSED || !l->to_len) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
        return;
    }
    p = mem_new(struct pair);
    p->line = l;
    p->pid = peer.pid;
    p->ends[0] = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    p->ends[1] = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    p->next = l->pairs;
    l->pairs = p;
    for (int i = 0; i < 2; i++)
        bufferevent_setcb(p->ends[i], on_bytes, on_written, on_event, p);
    if (bufferevent_socket_connect(p->ends[1], &l->to.any, (int)l->to_len)) {
        pair_free(p);
        return;
    }
    if (l->to.any.sa_family == AF_INET)
        setsockopt(bufferevent_getfd(p->ends[1]), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bufferevent_enable(p->ends[0], EV_READ | EV_WRITE);
    bufferevent_enable(p->ends[1], EV_READ | EV_WRITE);
    if (cut_for(l, p->pid) == CUT_SILENT)
        pair_set_silent(p, true);
}

/* ---- orders from the other thread ---- */

struct order {
    struct line *line;
    enum { AIM, CUT } kind;
    int port;
    pid_t pid;
    enum cut cut;
};

static void aim(struct line *l, int port)
{
    l->to.in = (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)port),
                                     .sin_addr = { htonl(INADDR_LOOPBACK) } };
    l->to_len = sizeof l->to.in;
}

static void note_cut(struct line *l, pid_t pid, enum cut cut)
{
    size_t i = 0;

    while (i < l->cut_count && l->cuts[i].pid != pid)
        i++;
    if (cut == CUT_NONE && i < l->cut_count)
        l->cuts[i] = l->cuts[--l->cut_count];
    else if (cut != CUT_NONE && i < CUTS_MAX) {
        l->cuts[i].pid = pid;
        l->cuts[i].cut = cut;
        l->cut_count += i == l->cut_count;
    }
}

static void cut_line(struct line *l, pid_t pid, enum cut cut)
{
    if (cut != CUT_RESET)
        note_cut(l, pid, cut);
    for (struct pair *p = l->pairs, *next; p; p = next) {
        next = p->next;
        if (pid && p->pid != pid)
            continue;
        if (cut == CUT_RESET || cut == CUT_REFUSED)
            pair_reset(p);
        else
            pair_set_silent(p, cut_for(l, p->pid) == CUT_SILENT);
    }
}

static void obey(void *ctx)
{
    struct order *o = ctx;

    if (o->kind == AIM)
        aim(o->line, o->port);
    else
        cut_line(o->line, o->pid, o->cut);
    mem_free(o);
}

static void send_order(struct relay *r, size_t line, struct order order)
{
    struct order *o = mem_new(struct order);

    *o = order;
    o->line = &r->lines[line];
    loop_post(r->loop, obey, o);
}

void relay_aim(struct relay *r, size_t line, int port)
{
    send_order(r, line, (struct order){ .kind = AIM, .port = port });
}

void relay_cut(struct relay *r, size_t line, pid_t pid, enum cut cut)
{
    send_order(r, line, (struct order){ .kind = CUT, .pid = pid, .cut = cut });
}

/* ---- the relay ---- */

static enum err add_line(struct relay *r, const union address *at, socklen_t len, struct why *why)
{
    struct line *l = &r->lines[r->line_count];

    l->relay = r;
    l->listener =
        evconnlistener_new_bind(loop_base(r->loop), on_accept, l,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 128, &at->any, (int)len);
    if (!l->listener)
        return err_set(why, ERR_UNAVAILABLE, "a line of the relay: %s", strerror(errno));
    r->line_count++;
    return ERR_OK;
}

enum err relay_open(struct relay **out, struct why *why)
{
    *out = mem_new(struct relay);
    return loop_open(&(*out)->loop, why);
}

enum err relay_add_port(struct relay *r, int *port, struct why *why)
{
    union address at = { .in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } };
    socklen_t len = sizeof at.in;
    enum err err = add_line(r, &at, len, why);

    if (!err && getsockname(evconnlistener_get_fd(r->lines[r->line_count - 1].listener), &at.any, &len))
        err = err_set(why, ERR_UNAVAILABLE, "a port of the relay: %s", strerror(errno));
    *port = ntohs(at.in.sin_port);
    return err;
}

enum err relay_add_socket(struct relay *r, const char *path, const char *to, struct why *why)
{
    union address at = { .un = { .sun_family = AF_UNIX } };
    struct line *l = &r->lines[r->line_count];
    enum err err;

    l->to.un = at.un;
    l->to_len = sizeof l->to.un;
    if ((size_t)snprintf(at.un.sun_path, sizeof at.un.sun_path, "%s", path) >= sizeof at.un.sun_path ||
        (size_t)snprintf(l->to.un.sun_path, sizeof l->to.un.sun_path, "%s", to) >= sizeof l->to.un.sun_path)
        return err_set(why, ERR_INVALID, "%s: too long for a socket", path);
    err = add_line(r, &at, sizeof at.un, why);
    if (!err)
        chmod(path, 0700);
    return err;
}

static void *run(void *arg)
{
    loop_run(((struct relay *)arg)->loop);
    return NULL;
}

enum err relay_start(struct relay *r, struct why *why)
{
    if (pthread_create(&r->thread, NULL, run, r))
        return err_set(why, ERR_INTERNAL, "a thread for the relay");
    r->is_running = true;
    return ERR_OK;
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

void relay_close(struct relay *r)
{
    if (!r)
        return;
    if (r->is_running) {
        loop_post(r->loop, stop, r->loop);
        pthread_join(r->thread, NULL);
    }
    for (size_t i = 0; i < r->line_count; i++) {
        while (r->lines[i].pairs)
            pair_free(r->lines[i].pairs);
        evconnlistener_free(r->lines[i].listener);
    }
    loop_close(r->loop);
    mem_free(r);
}
