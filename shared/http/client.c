/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"

#include <assert.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/client_session.h"
#include "log/log.h"
#include "loop/loop.h"

enum {
    CONNECT_MS = 2000,
    STREAMS_MOST = 1000,
    WAITING_MOST = 10000,
    BODY_MOST = 16 << 20,
    READ_BYTES = 64 << 10,
    READS_A_TURN = 16, /* so that one busy peer does not starve the loop */
    WRITE_BYTES = 64 << 10,
    SPARE_CALLS_MOST = 4096,
    SPARE_BYTES_MOST = 64 << 10, /* a spare call that holds more gives it back */
    PAUSE_FIRST_MS = 10,
    PAUSE_MOST_MS = 500,
    UNACKNOWLEDGED_MS = 10000, /* a peer that takes nothing for so long is gone */
};

/* Where the peer may be. */
struct address {
    char *text, *host; /* "features:9001", "features" */
    uint16_t port;
    struct sockaddr_storage numeric;
    int numeric_len; /* 0: host is a name */
};

enum state { RESOLVING, CONNECTING, SHAKING_HANDS, OPEN };

/* One connection, from the attempt to its end. It stands in a slot of the client until the peer says GOAWAY;
 * then it finishes what it has on the list of the leaving, and the slot is free for another. */
struct connection {
    struct http_client *client;
    const struct address *address;
    struct connection *next; /* among the leaving */
    enum state state;
    int fd;
    struct event *readable, *writable;
    bool waits_to_write, has_answered;
    struct loop_timer patience;
    struct evdns_getaddrinfo_request *lookup;
    SSL *tls;
    struct client_session *session;
    struct buf out;
};

struct http_client {
    struct loop *loop;
    struct address *addresses;
    size_t address_count, address_at; /* which one is tried next */
    char *authority;
    struct evdns_base *dns;
    SSL_CTX *tls;
    char *tls_name;
    int64_t connect_ms;
    size_t waiting_most;
    struct client_session_conf session_conf;

    struct connection **slots;
    size_t slot_count;
    struct connection *leaving;

    unsigned failures; /* rounds over all addresses, in a row, that came to nothing */
    size_t tried;      /* addresses in this round */
    int64_t not_before_mono_us;
    struct why last_failure;

    struct call_list waiting, ended, safe, spare;
    struct loop_task finish, flush;
    bool is_closing;
    char *read_buf;
    uint64_t connects, connect_failures, connections_lost, resent;
};

static void connection_free(struct connection *k);
static void connection_lost(struct connection *k, const char *reason);

/* ---- calls ---- */

static void on_deadline(void *arg);

static struct http_call *call_get(struct http_client *c)
{
    struct http_call *call = c->spare.first;

    if (call) {
        call_list_remove(call);
        return call;
    }
    call = mem_new(struct http_call);
    call->client = c;
    loop_timer_init(&call->deadline, c->loop, on_deadline, call);
    return call;
}

static void call_free(struct http_call *call)
{
    loop_timer_release(&call->deadline);
    arena_release(&call->arena);
    buf_release(&call->answer);
    mem_free(call->got);
    mem_free(call);
}

static void call_put(struct http_call *call)
{
    struct http_client *c = call->client;

    loop_timer_stop(&call->deadline);
    if (c->spare.count >= SPARE_CALLS_MOST) {
        call_free(call);
        return;
    }
    if (call->arena.total > SPARE_BYTES_MOST)
        arena_release(&call->arena);
    else
        arena_reset(&call->arena);
    if (call->answer.room > SPARE_BYTES_MOST)
        buf_release(&call->answer);
    call->why.text[0] = '\0';
    call_list_add(&c->spare, call);
}

/* Ends it outside of the caller's stack: from the loop's work. */
static void call_end(struct http_call *call, enum err err)
{
    call->err = err;
    call_list_remove(call);
    call_list_add(&call->client->ended, call);
    loop_work(call->client->loop, &call->client->finish);
}

static void on_deadline(void *arg)
{
    struct http_call *call = arg;

    if (call->list == &call->client->ended)
        return;
    if (call->session) {
        client_session_drop(call);
        loop_flush(call->client->loop, &call->client->flush);
        err_set(&call->why, ERR_TIMEOUT, "no answer within the deadline");
    } else {
        err_set(&call->why, ERR_TIMEOUT, "not sent within the deadline");
    }
    call_end(call, ERR_TIMEOUT);
}

static void call_finish(struct http_call *call)
{
    size_t at = call->in_trailers ? call->trailers_at : call->got_count;
    struct http_client_answer answer = {
        .status = call->status,
        .fields = call->got,
        .field_count = at,
        .trailers = call->got + at,
        .trailer_count = call->got_count - at,
        .body = buf_slice(&call->answer),
    };

    call_list_remove(call);
    loop_timer_stop(&call->deadline);
    call->done(call->arg, call->err, call->err ? NULL : &answer, &call->why);
    call_put(call);
}

/* Work at the end of a turn: tells the callers of all that has ended. */
static void on_finish(void *arg)
{
    struct http_client *c = arg;

    while (c->ended.first)
        call_finish(c->ended.first);
}

/* What the peer did not look at goes out once more; the second time it is for the caller to decide. */
static void take_safe(struct http_client *c)
{
    while (c->safe.last) {
        struct http_call *call = c->safe.last; /* from behind, so that their order stays */

        if (call->was_resent || c->is_closing) {
            call_end(call, ERR_UNAVAILABLE);
            continue;
        }
        call->was_resent = true;
        call->why.text[0] = '\0';
        c->resent++;
        call_list_remove(call);
        call_list_add_first(&c->waiting, call);
    }
    if (c->waiting.first)
        loop_flush(c->loop, &c->flush);
    if (c->ended.first)
        loop_work(c->loop, &c->finish);
}

static void fail_waiting(struct http_client *c)
{
    while (c->waiting.first) {
        err_set(&c->waiting.first->why, ERR_UNAVAILABLE, "%s", c->last_failure.text);
        call_end(c->waiting.first, ERR_UNAVAILABLE);
    }
}

/* ---- connections ---- */

static bool is_connecting_or_open(const struct http_client *c)
{
    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i])
            return true;
    return false;
}

static void slot_clear(struct connection *k)
{
    struct http_client *c = k->client;

    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] == k)
            c->slots[i] = NULL;
    for (struct connection **p = &c->leaving; *p; p = &(*p)->next)
        if (*p == k) {
            *p = k->next;
            return;
        }
}

static void connection_free(struct connection *k)
{
    slot_clear(k);
    loop_timer_release(&k->patience);
    if (k->lookup)
        evdns_getaddrinfo_cancel(k->lookup);
    if (k->readable)
        event_free(k->readable);
    if (k->writable)
        event_free(k->writable);
    client_session_free(k->session);
    if (k->tls && k->state == OPEN)
        SSL_shutdown(k->tls);
    SSL_free(k->tls);
    if (k->fd >= 0)
        close(k->fd);
    buf_release(&k->out);
    mem_free(k);
}

/* The next attempt waits: 10 ms, 20 ms, ... 1 s, and up to a quarter more so that peers do not march in step.
 */
static void set_pause(struct http_client *c)
{
    int64_t ms = PAUSE_FIRST_MS;

    for (unsigned i = 0; i < c->failures && ms < PAUSE_MOST_MS; i++)
        ms *= 2;
    if (ms > PAUSE_MOST_MS)
        ms = PAUSE_MOST_MS;
    ms += (int64_t)((uintptr_t)c / 64 + (unsigned)getpid() + c->failures * 7) % (ms / 4 + 1);
    c->failures++;
    c->not_before_mono_us = clock_mono_us() + ms * MS_US;
}

/* The next attempt goes to the next address; after a round over all of them there is a pause. */
static void turn_to_next(struct http_client *c)
{
    c->address_at = (c->address_at + 1) % c->address_count;
    if (++c->tried >= c->address_count) {
        c->tried = 0;
        set_pause(c);
    }
}

static void attempt_failed(struct connection *k, const char *reason)
{
    struct http_client *c = k->client;

    c->connect_failures++;
    err_set(&c->last_failure, ERR_UNAVAILABLE, "cannot connect to %s: %s", k->address->text, reason);
    if (c->failures == 0)
        log_event(LOG_WARN, "peer_away", "peer=%s why=%s", k->address->text, log_quoted(slice_str(reason)));
    turn_to_next(c);
    connection_free(k);
    if (is_connecting_or_open(c))
        return;
    if (c->tried)
        loop_flush(c->loop, &c->flush);
    else
        fail_waiting(c);
}

static void connection_lost(struct connection *k, const char *reason)
{
    struct http_client *c = k->client;

    if (k->state != OPEN) {
        attempt_failed(k, reason);
        return;
    }
    if (client_session_calls(k->session) || !client_session_is_draining(k->session)) {
        c->connections_lost++;
        log_event(LOG_DEBUG, "connection_lost", "peer=%s in_flight=%zu why=%s", k->address->text,
                  client_session_calls(k->session), log_quoted(slice_str(reason)));
    }
    /* A peer that takes connections only to drop them is away all the same. */
    if (!k->has_answered) {
        err_set(&c->last_failure, ERR_UNAVAILABLE, "%s: %s", k->address->text, reason);
        turn_to_next(c);
    }
    client_session_lost(k->session, reason);
    connection_free(k);
    take_safe(c);
}

static const char *tls_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return text ? text : "the peer ended the TLS connection";
}

/* Above zero: bytes. 0: nothing now. Below: over, *reason says why. */
static ssize_t transport_read(struct connection *k, char *to, size_t room, const char **reason)
{
    ssize_t n;

    if (k->tls) {
        int got = SSL_read(k->tls, to, (int)room);

        if (got > 0)
            return got;
        switch (SSL_get_error(k->tls, got)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: /* TLS 1.3 and no renegotiation: our own writing will unblock it */
            return 0;
        case SSL_ERROR_ZERO_RETURN:
            *reason = "the peer closed the connection";
            return -1;
        default:
            *reason = tls_reason();
            return -1;
        }
    }
    n = recv(k->fd, to, room, 0);
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    *reason = n == 0 ? "the peer closed the connection" : strerror(errno);
    return -1;
}

static ssize_t transport_write(struct connection *k, struct slice bytes, const char **reason)
{
    ssize_t n;

    if (k->tls) {
        int put = SSL_write(k->tls, bytes.ptr, (int)bytes.len);

        if (put > 0)
            return put;
        switch (SSL_get_error(k->tls, put)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            return 0;
        default:
            *reason = tls_reason();
            return -1;
        }
    }
    n = send(k->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    *reason = strerror(errno);
    return -1;
}

/* A slot is given up as soon as the peer wants no more requests here. */
static void leave_if_told(struct connection *k)
{
    struct http_client *c = k->client;

    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] == k && client_session_is_draining(k->session)) {
            c->slots[i] = NULL;
            k->next = c->leaving;
            c->leaving = k;
        }
}

/* Writes what the session has until the socket is full. False when the connection is gone. */
static bool connection_write(struct connection *k)
{
    const char *reason = NULL;
    struct why why = { 0 };

    if (k->waits_to_write)
        return true;
    for (;;) {
        ssize_t n;

        if (client_session_send(k->session, &k->out, WRITE_BYTES, &why)) {
            connection_lost(k, why.text);
            return false;
        }
        if (!k->out.len)
            break;
        n = transport_write(k, buf_slice(&k->out), &reason);
        if (n < 0) {
            connection_lost(k, reason);
            return false;
        }
        if (n == 0) {
            k->waits_to_write = true;
            event_add(k->writable, NULL);
            return true;
        }
        buf_take(&k->out, (size_t)n);
    }
    leave_if_told(k);
    if (client_session_is_over(k->session) ||
        (client_session_is_draining(k->session) && !client_session_calls(k->session))) {
        connection_lost(k, "the peer wants no more");
        return false;
    }
    return true;
}

static void connection_read(struct connection *k)
{
    struct http_client *c = k->client;
    const char *reason = NULL;
    struct why why = { 0 };

    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = transport_read(k, c->read_buf, READ_BYTES, &reason);

        if (n < 0) {
            connection_lost(k, reason);
            return;
        }
        if (n == 0)
            break;
        if (client_session_receive(k->session, c->read_buf, (size_t)n, &why)) {
            log_event(LOG_WARN, "peer_broke_protocol", "peer=%s why=%s", k->address->text,
                      log_quoted(slice_str(why.text)));
            connection_lost(k, why.text);
            return;
        }
        if (!k->tls && n < READ_BYTES)
            break;
    }
    if (c->ended.first) {
        if (c->failures)
            log_event(LOG_INFO, "peer_back", "peer=%s attempts=%u", k->address->text, c->failures);
        k->has_answered = true;
        c->failures = 0;
        c->tried = 0;
    }
    leave_if_told(k);
    take_safe(c);
    loop_flush(c->loop, &c->flush); /* acknowledgements, windows, what there is room for now */
}

static void connection_opened(struct connection *k)
{
    struct http_client *c = k->client;

    k->state = OPEN;
    loop_timer_stop(&k->patience);
    k->session = client_session_new(&c->session_conf, &c->ended, &c->safe);
    c->connects++;
    log_event(LOG_DEBUG, "connected", "peer=%s", k->address->text);
    event_add(k->readable, NULL);
    loop_flush(c->loop, &c->flush);
}

static void shake_hands(struct connection *k)
{
    const unsigned char *protocol;
    unsigned len;
    int done = SSL_connect(k->tls);

    event_del(k->readable);
    if (done == 1) {
        SSL_get0_alpn_selected(k->tls, &protocol, &len);
        if (len != 2 || memcmp(protocol, "h2", 2) != 0)
            connection_lost(k, "the peer does not speak HTTP/2 (ALPN)");
        else
            connection_opened(k);
        return;
    }
    switch (SSL_get_error(k->tls, done)) {
    case SSL_ERROR_WANT_READ:
        event_add(k->readable, NULL);
        break;
    case SSL_ERROR_WANT_WRITE:
        event_add(k->writable, NULL);
        break;
    default: {
        long verdict = SSL_get_verify_result(k->tls);

        connection_lost(k, verdict == X509_V_OK ? tls_reason() : X509_verify_cert_error_string(verdict));
        ERR_clear_error();
    }
    }
}

/* Whom the certificate must name; an address is compared as one and not sent as a server name. */
static bool expect_name(SSL *tls, const char *name)
{
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), name) == 1 ||
           (SSL_set1_host(tls, name) == 1 && SSL_set_tlsext_host_name(tls, name) == 1);
}

static void start_tls(struct connection *k)
{
    struct http_client *c = k->client;

    k->state = SHAKING_HANDS;
    k->tls = SSL_new(c->tls);
    if (!k->tls || SSL_set_fd(k->tls, k->fd) != 1 ||
        !expect_name(k->tls, c->tls_name ? c->tls_name : k->address->host)) {
        connection_lost(k, tls_reason());
        return;
    }
    shake_hands(k);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *k = arg;
    int failure = 0;
    socklen_t len = sizeof failure;

    (void)what;
    switch (k->state) {
    case RESOLVING:
        break;
    case CONNECTING:
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) || failure)
            connection_lost(k, strerror(failure ? failure : errno));
        else if (k->client->tls)
            start_tls(k);
        else
            connection_opened(k);
        break;
    case SHAKING_HANDS:
        shake_hands(k);
        break;
    case OPEN:
        k->waits_to_write = false;
        connection_write(k);
        break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *k = arg;

    (void)fd;
    (void)what;
    if (k->state == SHAKING_HANDS)
        shake_hands(k);
    else if (k->state == OPEN)
        connection_read(k);
}

static void on_out_of_patience(void *arg)
{
    connection_lost(arg, "no connection in time");
}

static void connect_to(struct connection *k, const struct sockaddr *address, socklen_t len)
{
    struct http_client *c = k->client;
    int on = 1, unacknowledged = UNACKNOWLEDGED_MS;

    k->state = CONNECTING;
    k->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (k->fd < 0) {
        connection_lost(k, strerror(errno));
        return;
    }
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(k->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(k->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
    k->readable = event_new(loop_base(c->loop), k->fd, EV_READ | EV_PERSIST, on_readable, k);
    k->writable = event_new(loop_base(c->loop), k->fd, EV_WRITE, on_writable, k);
    if (connect(k->fd, address, len) && errno != EINPROGRESS) {
        connection_lost(k, strerror(errno));
        return;
    }
    event_add(k->writable, NULL);
}

static void on_address(int failure, struct evutil_addrinfo *found, void *arg)
{
    struct connection *k = arg;
    struct evutil_addrinfo *chosen = found;

    if (failure == EVUTIL_EAI_CANCEL)
        return; /* k is being freed */
    k->lookup = NULL;
    if (failure || !found) {
        connection_lost(k, failure ? evutil_gai_strerror(failure) : "the name has no address");
    } else {
        for (unsigned i = k->client->failures; i > 0; i--) /* another one at each attempt */
            chosen = chosen->ai_next ? chosen->ai_next : found;
        connect_to(k, chosen->ai_addr, (socklen_t)chosen->ai_addrlen);
    }
    if (found)
        evutil_freeaddrinfo(found);
}

static void look_up(struct connection *k)
{
    struct http_client *c = k->client;
    struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct evdns_getaddrinfo_request *lookup;
    char port[8];

    if (!c->dns) {
        c->dns = evdns_base_new(loop_base(c->loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (c->dns) /* without the file only /etc/hosts is known */
            evdns_base_resolv_conf_parse(c->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
    }
    snprintf(port, sizeof port, "%u", k->address->port);
    k->state = RESOLVING;
    lookup = evdns_getaddrinfo(c->dns, k->address->host, port, &hints, on_address, k);
    if (lookup) /* else on_address() was called already, and k may be gone */
        k->lookup = lookup;
}

static struct connection *connection_new(struct http_client *c)
{
    struct connection *k = mem_new(struct connection);

    k->client = c;
    k->address = &c->addresses[c->address_at];
    k->fd = -1;
    buf_init(&k->out, 0);
    loop_timer_init(&k->patience, c->loop, on_out_of_patience, k);
    loop_timer_set(&k->patience, c->connect_ms * MS_US);
    return k;
}

static void connect_slots(struct http_client *c)
{
    for (size_t i = 0; i < c->slot_count; i++) {
        struct connection *k;

        if (c->slots[i] || clock_mono_us() < c->not_before_mono_us)
            continue;
        k = c->slots[i] = connection_new(c);

        if (k->address->numeric_len)
            connect_to(k, (const struct sockaddr *)&k->address->numeric, (socklen_t)k->address->numeric_len);
        else
            look_up(k);
    }
}

/* The open connection with the fewest requests; NULL when none has room. */
static struct client_session *session_with_room(const struct http_client *c)
{
    struct client_session *best = NULL;

    for (size_t i = 0; i < c->slot_count; i++) {
        struct connection *k = c->slots[i];

        if (k && k->state == OPEN && client_session_room(k->session) &&
            (!best || client_session_calls(k->session) < client_session_calls(best)))
            best = k->session;
    }
    return best;
}

/* The end of a turn: submits what waits, then one write per connection. */
static void on_flush(void *arg)
{
    struct http_client *c = arg;
    struct client_session *s;

    if (c->waiting.first)
        connect_slots(c);
    while (c->waiting.first && (s = session_with_room(c))) {
        struct http_call *call = c->waiting.first;

        call_list_remove(call);
        client_session_submit(s, call);
    }
    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] && c->slots[i]->state == OPEN)
            connection_write(c->slots[i]);
    for (struct connection *k = c->leaving, *next; k; k = next) {
        next = k->next;
        connection_write(k);
    }
    if (c->waiting.first && !is_connecting_or_open(c))
        fail_waiting(c);
    if (c->ended.first)
        loop_work(c->loop, &c->finish);
}

/* ---- the client ---- */

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

static enum err read_addresses(struct http_client *c, const char *list, struct why *why)
{
    enum err err = ERR_OK;
    size_t count = 1;

    for (const char *p = list; *p; p++)
        count += *p == ',';
    c->addresses = mem_new_n(struct address, count);
    while (!err && c->address_count < count) {
        size_t len = strcspn(list, ",");

        err = read_address(&c->addresses[c->address_count++], slice_of(list, len), why);
        list += len + (list[len] == ',');
    }
    return err;
}

static enum err open_tls(struct http_client *c, const struct http_client_tls *tls, struct why *why)
{
    static const unsigned char protocols[] = { 2, 'h', '2' };

    c->tls = SSL_CTX_new(TLS_client_method());
    if (!c->tls)
        return err_set(why, ERR_INTERNAL, "TLS: %s", tls_reason());
    SSL_CTX_set_min_proto_version(c->tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(c->tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(c->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_protos(c->tls, protocols, sizeof protocols);
    if (tls->ca_path ? SSL_CTX_load_verify_locations(c->tls, tls->ca_path, NULL) != 1
                     : SSL_CTX_set_default_verify_paths(c->tls) != 1)
        return err_set(why, ERR_INVALID, "certificates %s: %s", tls->ca_path ? tls->ca_path : "of the system",
                       tls_reason());
    if (tls->cert_path && (SSL_CTX_use_certificate_chain_file(c->tls, tls->cert_path) != 1 ||
                           SSL_CTX_use_PrivateKey_file(c->tls, tls->key_path ? tls->key_path : tls->cert_path,
                                                       SSL_FILETYPE_PEM) != 1 ||
                           SSL_CTX_check_private_key(c->tls) != 1))
        return err_set(why, ERR_INVALID, "client certificate %s: %s", tls->cert_path, tls_reason());
    if (tls->server_name)
        c->tls_name = mem_strdup(tls->server_name);
    return ERR_OK;
}

enum err http_client_open(struct http_client **out, struct loop *loop, const struct http_client_conf *conf,
                          struct why *why)
{
    struct http_client *c = mem_new(struct http_client);
    enum err err;

    *out = NULL;
    c->loop = loop;
    c->finish = (struct loop_task){ .run = on_finish, .ctx = c };
    c->flush = (struct loop_task){ .run = on_flush, .ctx = c };
    c->slot_count = conf->connections ? conf->connections : 1;
    c->slots = mem_new_n(struct connection *, c->slot_count);
    c->read_buf = mem_new_n(char, READ_BYTES);
    c->waiting_most = conf->waiting_most ? conf->waiting_most : WAITING_MOST;
    c->connect_ms = conf->connect_ms ? conf->connect_ms : CONNECT_MS;
    err = read_addresses(c, conf->address, why);
    c->authority = mem_strdup(conf->authority ? conf->authority : c->addresses[0].text);
    c->session_conf = (struct client_session_conf){
        .scheme = conf->tls ? "https" : "http",
        .authority = c->authority,
        .streams_most = conf->streams_most ? conf->streams_most : STREAMS_MOST,
        .body_most = conf->body_most ? conf->body_most : BODY_MOST,
    };
    if (!err && conf->tls)
        err = open_tls(c, conf->tls, why);
    if (err) {
        http_client_close(c);
        return err;
    }
    *out = c;
    return ERR_OK;
}

void http_client_close(struct http_client *c)
{
    if (!c)
        return;
    c->is_closing = true;
    err_set(&c->last_failure, ERR_UNAVAILABLE, "the client is closed");
    while (c->leaving) {
        client_session_lost(c->leaving->session, "the client was closed");
        connection_free(c->leaving);
    }
    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i]) {
            if (c->slots[i]->session)
                client_session_lost(c->slots[i]->session, "the client was closed");
            connection_free(c->slots[i]);
        }
    take_safe(c);
    fail_waiting(c);
    on_finish(c);
    loop_cancel(c->loop, &c->finish);
    loop_cancel(c->loop, &c->flush);
    while (c->spare.first) {
        struct http_call *call = c->spare.first;

        call_list_remove(call);
        call_free(call);
    }
    if (c->dns)
        evdns_base_free(c->dns, 0);
    SSL_CTX_free(c->tls);
    mem_free(c->tls_name);
    mem_free(c->slots);
    mem_free(c->read_buf);
    for (size_t i = 0; i < c->address_count; i++) {
        mem_free(c->addresses[i].text);
        mem_free(c->addresses[i].host);
    }
    mem_free(c->addresses);
    mem_free(c->authority);
    mem_free(c);
}

static void copy_request(struct http_call *call, const struct http_client_request *r)
{
    struct arena *a = &call->arena;

    call->method = arena_strndup(a, r->method, strlen(r->method));
    call->path = arena_slice(a, r->path);
    call->body = arena_slice(a, r->body);
    call->fields = arena_new(a, struct http_header, r->field_count + 1);
    call->field_count = r->field_count;
    for (size_t i = 0; i < r->field_count; i++)
        call->fields[i] =
            (struct http_header){ arena_slice(a, r->fields[i].name), arena_slice(a, r->fields[i].value) };
    if (r->body.len)
        call->fields[call->field_count++] =
            (struct http_header){ SLICE("content-length"), arena_printf(a, "%zu", r->body.len) };
}

struct http_call *http_client_send(struct http_client *c, const struct http_client_request *request,
                                   http_client_done_fn *done, void *arg)
{
    struct http_call *call = call_get(c);
    int64_t left_us = request->deadline_mono_us - clock_mono_us();

    call->done = done;
    call->arg = arg;
    call->was_resent = false;
    call->in_trailers = false;
    call->got_count = 0;
    if (c->is_closing) {
        err_set(&call->why, ERR_UNAVAILABLE, "the client is closed");
        call_end(call, ERR_UNAVAILABLE);
    } else if (request->deadline_mono_us && left_us <= 0) {
        err_set(&call->why, ERR_TIMEOUT, "the deadline had passed before it was sent");
        call_end(call, ERR_TIMEOUT);
    } else if (c->waiting.count >= c->waiting_most) {
        err_set(&call->why, ERR_LIMIT, "%zu requests to %s are waiting already", c->waiting.count,
                c->authority);
        call_end(call, ERR_LIMIT);
    } else {
        copy_request(call, request);
        if (request->deadline_mono_us)
            loop_timer_set(&call->deadline, left_us);
        call_list_add(&c->waiting, call);
        loop_flush(c->loop, &c->flush);
    }
    return call;
}

void http_call_cancel(struct http_call *call)
{
    struct http_client *c = call->client;

    if (call->session) {
        client_session_drop(call);
        loop_flush(c->loop, &c->flush);
    } else {
        call_list_remove(call);
    }
    call_put(call);
}

struct http_client_stats http_client_stats(const struct http_client *c)
{
    struct http_client_stats stats = {
        .waiting = c->waiting.count,
        .connects = c->connects,
        .connect_failures = c->connect_failures,
        .connections_lost = c->connections_lost,
        .resent = c->resent,
    };

    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] && c->slots[i]->state == OPEN) {
            stats.connections++;
            stats.in_flight += client_session_calls(c->slots[i]->session);
        }
    for (const struct connection *k = c->leaving; k; k = k->next) {
        stats.connections++;
        stats.in_flight += client_session_calls(k->session);
    }
    return stats;
}
