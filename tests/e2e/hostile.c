/* SPDX-License-Identifier: Apache-2.0
 * hostile.c - peers that mean harm against a running server, and an honest client beside them.
 *
 *   hostile [OPTIONS]                 against http_serve, which it starts
 *   hostile [OPTIONS] PORT PID PATH   against a server that runs; PATH is what the client asks for
 *   hostile [OPTIONS] -d TRANSACTIONS -k KEY PORT PID
 *                                     against ingestion: the clients have transactions decided, a line of the file
 *                                     each, 400 a second on four connections
 *   -s SECONDS of an attack; -r ROUNDS, calm and attack in turn; -o NAME of the only attack
 *
 * Each attack goes on for SECONDS (1) at least and until every connection that the server must end has been
 * ended. It is asserted that this comes to pass, that the attackers hear what they should, that the client is
 * answered all the while, on its own connection and on new ones, that the server's memory stays bounded, that
 * it keeps no descriptor and writes few lines to its log. The client's p99 is printed, before and during: the
 * medians over all rounds. The attackers have the lowest priority, as they would be on another machine. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

enum {
    PEERS_MAX = 1500,
    SAMPLES_MAX = 1 << 20,
    RSS_MAX_MB = 300, /* max_buffered_bytes of http_serve, and the connections' own memory many times over */
    LOG_LINES_PER_S = 8,
    PATIENCE_S = 60,
    HEARD_BYTES = 4096,
    ROUNDS_MAX = 100,
    CLIENTS_MAX = 4,
    DECISION_EVERY_US = 10000, /* of each client that has transactions decided */
};

static struct {
    int port, tls_port;
    pid_t pid;
    bool is_ours;
    const char *path;
    int log; /* what it logs, to be read */
    const char *key;
    char *transactions, *next_transaction; /* lines; NULL: the client asks for `path` */
} server;
static int failures;

static void expect(bool holds, const char *attack, const char *what)
{
    if (holds)
        return;
    failures++;
    printf("%s: FAILED: %s\n", attack, what);
}

static void fail(const char *what)
{
    printf("hostile: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- what attackers send ---- */

struct peer;
typedef void fill_fn(struct peer *p, struct buf *out);

struct attack {
    const char *name;
    fill_fn *begin, *go_on; /* what is sent first, and then again and again */
    int peers;
    int pause_ms; /* between two sendings; 0: as much as the socket takes */
    bool is_deaf; /* never reads */
    bool uses_tls;
    const char *hears; /* in an answer; NULL: nothing in particular */
    int goaway;        /* or a GOAWAY of this kind; 0: none */
    bool stays;        /* the server need not end it */
    bool is_patient;   /* ended by the timeouts of the server, which are long where it is not ours */
};

struct peer {
    const struct attack *attack;
    int fd;
    unsigned turn;
    struct buf out;
    int64_t due_us;
    char heard[HEARD_BYTES];
    size_t heard_len;
    bool was_ended; /* once at least */
};

static void frame(struct buf *out, int type, int flags, uint32_t stream, const void *payload, size_t len)
{
    const unsigned char head[9] = {
        (unsigned char)(len >> 16),    (unsigned char)(len >> 8),    (unsigned char)len,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream
    };

    buf_add(out, head, sizeof head);
    if (len)
        buf_add(out, payload, len);
}

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING = 6, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, END_HEADERS = 4 };

static const unsigned char get_root[] = { 0x82, 0x86, 0x84, 0x41, 1, 'a' };
static const unsigned char post_root[] = { 0x83, 0x86, 0x84, 0x41, 1, 'a' };

static void greet(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add_str(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(out, SETTINGS, 0, 0, NULL, 0);
}

static void greet_without_window(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add_str(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(out, SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
    for (uint32_t i = 0; i < 256; i++)
        frame(out, HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, get_root, sizeof get_root);
}

static void greet_and_post(struct peer *p, struct buf *out)
{
    greet(p, out);
    frame(out, HEADERS, END_HEADERS, 1, post_root, sizeof post_root);
}

static void greet_and_open_head(struct peer *p, struct buf *out)
{
    greet(p, out);
    frame(out, HEADERS, 0, 1, get_root, sizeof get_root);
}

static void add_nothing(struct peer *p, struct buf *out)
{
    (void)p;
    (void)out;
}

static void add_byte(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add_char(out, 'a');
}

static void begin_h1(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add_str(out, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
}

static void begin_h1_body(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add_str(out, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
}

static void begin_h1_huge(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add_str(out, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000000000000\r\n\r\n");
}

static void begin_h1_chunked(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add_str(out, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void add_chunk(struct peer *p, struct buf *out)
{
    (void)p;
    buf_printf(out, "1000\r\n%04096d\r\n", 0);
}

static void add_field(struct peer *p, struct buf *out)
{
    buf_printf(out, "\r\nX-%u: %0500d", p->turn, 0);
}

static void add_reset(struct peer *p, struct buf *out)
{
    for (int i = 0; i < 50; i++) {
        uint32_t stream = 100 * p->turn + 2 * (uint32_t)i + 1;

        frame(out, HEADERS, END_HEADERS | END_STREAM, stream, get_root, sizeof get_root);
        frame(out, RST_STREAM, 0, stream, "\0\0\0\10", 4);
    }
}

/* A field of 4000 bytes into the table once, then one byte for each time it is meant. */
static void add_hpack_bomb(struct peer *p, struct buf *out)
{
    unsigned char block[16000] = { 0x82, 0x86, 0x84, 0x41, 1, 'a', 0x40, 1, 'x', 0x7f, 0xa1, 0x1e };
    size_t len = 12;

    if (p->turn == 0) {
        memset(block + len, 'y', 4000);
        len += 4000;
    } else {
        len = 6;
    }
    memset(block + len, 0xbe, sizeof block - len);
    frame(out, HEADERS, END_HEADERS | END_STREAM, 2 * p->turn + 1, block, sizeof block);
}

static void add_many(struct buf *out, int type, int flags, uint32_t stream, const void *payload, size_t len)
{
    for (int i = 0; i < 100; i++)
        frame(out, type, flags, stream, payload, len);
}

static void add_continuations(struct peer *p, struct buf *out)
{
    (void)p;
    add_many(out, CONTINUATION, 0, 1, "\0\1x\1y", 5);
}

static void add_settings(struct peer *p, struct buf *out)
{
    (void)p;
    add_many(out, SETTINGS, 0, 0, "\0\3\0\0\0\144", 6);
}

static void add_pings(struct peer *p, struct buf *out)
{
    (void)p;
    add_many(out, PING, 0, 0, "12345678", 8);
}

static void add_empty_data(struct peer *p, struct buf *out)
{
    (void)p;
    add_many(out, DATA, 0, 1, NULL, 0);
}

static void add_window_updates(struct peer *p, struct buf *out)
{
    (void)p;
    add_many(out, WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static void add_priorities(struct peer *p, struct buf *out)
{
    (void)p;
    add_many(out, PRIORITY, 0, 1, "\0\0\0\0\1", 5);
}

static void add_unknown(struct peer *p, struct buf *out)
{
    (void)p;
    add_many(out, 0x5d, 0, 0, "?", 1);
}

static void add_data_byte(struct peer *p, struct buf *out)
{
    (void)p;
    frame(out, DATA, 0, 1, "x", 1);
}

static void greet_as_grpc(struct peer *p, struct buf *out)
{
    static const char path[] = "/grpc.health.v1.Health/Check", type[] = "application/grpc";
    unsigned char block[128] = { 0x83, 0x86, 0x41, 1, 'a', 0x44, sizeof path - 1 };
    size_t len = 7;

    greet(p, out);
    memcpy(block + len, path, sizeof path - 1);
    len += sizeof path - 1;
    block[len++] = 0x5f;
    block[len++] = sizeof type - 1;
    memcpy(block + len, type, sizeof type - 1);
    len += sizeof type - 1;
    frame(out, HEADERS, END_HEADERS, 1, block, len);
}

/* The five bytes that announce 4 GiB, and then what a window of 64 KiB and its updates let through. */
static void announce_4_gib(struct peer *p, struct buf *out)
{
    greet_as_grpc(p, out);
    frame(out, DATA, END_STREAM, 1, "\0\377\377\377\377", 5);
}

static void announce_compressed(struct peer *p, struct buf *out)
{
    greet_as_grpc(p, out);
    frame(out, DATA, END_STREAM, 1, "\1\0\0\0\1x", 6);
}

static void half_a_hello(struct peer *p, struct buf *out)
{
    (void)p;
    buf_add(out, "\26\3\1\2\0\1\0\1\374\3\3", 11);
}

enum { PROTOCOL_ERROR = 1, CALM = 11 };

static const struct attack attacks[] = {
    { "slow head", begin_h1, add_byte, 200, 50, false, false, "HTTP/1.1 408", 0, false, true },
    { "slow body", begin_h1_body, add_byte, 200, 50, false, false, "HTTP/1.1 408", 0, false, true },
    { "slow body in frames", greet_and_post, add_data_byte, 50, 50, false, false, NULL, 0, true, false },
    { "reader of nothing", greet_without_window, add_nothing, 60, 50, true, false, NULL, 0, false, true },
    { "rapid reset", greet, add_reset, 4, 0, false, false, NULL, CALM, false, false },
    { "HPACK bomb", greet, add_hpack_bomb, 4, 0, false, false, NULL, CALM, false, false },
    { "endless head", begin_h1, add_field, 4, 0, false, false, "HTTP/1.1 431", 0, false, false },
    { "CONTINUATION flood", greet_and_open_head, add_continuations, 4, 0, false, false, NULL, 0, false,
      false },
    { "SETTINGS flood", greet, add_settings, 4, 0, false, false, NULL, CALM, false, false },
    { "deaf SETTINGS flood", greet, add_settings, 4, 0, true, false, NULL, 0, false, false },
    { "PING flood", greet, add_pings, 4, 0, false, false, NULL, CALM, false, false },
    { "empty DATA flood", greet_and_post, add_empty_data, 4, 0, false, false, NULL, CALM, false, false },
    { "WINDOW_UPDATE flood", greet, add_window_updates, 4, 0, false, false, NULL, CALM, false, false },
    { "PRIORITY flood", greet, add_priorities, 4, 0, false, false, NULL, CALM, false, false },
    { "unknown frames", greet, add_unknown, 4, 0, false, false, NULL, CALM, false, false },
    { "endless chunks", begin_h1_chunked, add_chunk, 4, 0, false, false, "HTTP/1.1 413", 0, false, false },
    { "huge length", begin_h1_huge, add_byte, 4, 0, false, false, "HTTP/1.1 413", 0, false, false },
    { "gRPC of 4 GiB", announce_4_gib, add_nothing, 20, 20, false, false, "\x01\x38", 0, true, false },
    { "gRPC compressed", announce_compressed, add_nothing, 20, 20, false, false, "\x02\x31\x32", 0, true,
      false },
    { "crowd that says nothing", add_nothing, add_nothing, PEERS_MAX, 100, false, false, NULL, 0, true,
      false },
    { "stalled TLS handshakes", half_a_hello, add_nothing, 200, 100, false, true, NULL, 0, false, true },
};

/* ---- their side ---- */

static int reach(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void peer_open(struct peer *p, const struct attack *a)
{
    p->attack = a;
    p->fd = reach(a->uses_tls ? server.tls_port : server.port);
    fcntl(p->fd, F_SETFL, O_NONBLOCK);
    p->turn = 0;
    p->heard_len = 0;
    p->due_us = 0;
    buf_init(&p->out, 0);
    a->begin(p, &p->out);
}

static void peer_close(struct peer *p)
{
    close(p->fd);
    p->fd = -1;
    buf_release(&p->out);
}

/* Sends what is due. False when the server has ended the connection. */
static bool peer_send(struct peer *p, int64_t now_us)
{
    const struct attack *a = p->attack;

    for (int i = 0; i < 4; i++) {
        ssize_t n;

        if (!p->out.len && now_us >= p->due_us) {
            a->go_on(p, &p->out);
            p->turn++;
            p->due_us = now_us + a->pause_ms * MS_US;
        }
        if (!p->out.len)
            return true;
        n = send(p->fd, buf_slice(&p->out).ptr, p->out.len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        buf_take(&p->out, (size_t)n);
    }
    return true;
}

static bool peer_hear(struct peer *p)
{
    char chunk[16384];
    ssize_t n = recv(p->fd, chunk, sizeof chunk, 0);
    size_t room = HEARD_BYTES - p->heard_len, len = n > 0 ? (size_t)n : 0;

    if (n == 0 || (n < 0 && errno != EAGAIN))
        return false;
    if (len > room) { /* the newest is what counts */
        size_t keep = HEARD_BYTES / 2 < p->heard_len ? HEARD_BYTES / 2 : p->heard_len;

        memmove(p->heard, p->heard + p->heard_len - keep, keep);
        p->heard_len = keep;
        if (len > HEARD_BYTES / 2) {
            memcpy(p->heard + keep, chunk + len - HEARD_BYTES / 2, HEARD_BYTES / 2);
            p->heard_len += HEARD_BYTES / 2;
            return true;
        }
    }
    memcpy(p->heard + p->heard_len, chunk, len);
    p->heard_len += len;
    return true;
}

/* "GOAWAY with this code", or the text that was to come. */
static bool peer_has_heard(const struct peer *p)
{
    const struct attack *a = p->attack;
    unsigned char goaway[4] = { 0, 0, 0, (unsigned char)a->goaway };
    const char *at = p->heard;

    if (a->hears)
        return memmem(p->heard, p->heard_len, a->hears, strlen(a->hears)) != NULL;
    while (a->goaway && (at = memmem(at, (size_t)(p->heard + p->heard_len - at), "\0\0\10\7\0\0\0\0\0", 9))) {
        if (at + 17 <= p->heard + p->heard_len && memcmp(at + 13, goaway, 4) == 0)
            return true;
        at++;
    }
    return !a->goaway;
}

struct outcome {
    int ended;  /* connections */
    bool heard; /* what was to be heard */
    bool all_ended;
};

/* What is to be done by the attacking thread, and what came of it. */
struct assault {
    const struct attack *attack; /* NULL: TLS handshakes */
    int64_t for_us;
    struct outcome outcome;
};

static struct outcome carry_out(const struct attack *a, int64_t for_us)
{
    static struct peer peers[PEERS_MAX];
    static struct pollfd polls[PEERS_MAX];
    int64_t began_us = clock_mono_us(), now_us = began_us;
    struct outcome o = { 0 };
    int waiting = a->peers;

    for (int i = 0; i < a->peers; i++) {
        peers[i].was_ended = false;
        peer_open(&peers[i], a);
    }
    while (now_us - began_us < for_us ||
           (!a->stays && waiting && now_us - began_us < PATIENCE_S * SECOND_US)) {
        for (int i = 0; i < a->peers; i++)
            polls[i] = (struct pollfd){ peers[i].fd,
                                        (short)((a->is_deaf ? POLLRDHUP : POLLIN) |
                                                (peers[i].out.len || !a->pause_ms ? POLLOUT : 0)),
                                        0 };
        poll(polls, (nfds_t)a->peers, a->pause_ms ? a->pause_ms / 2 : 10);
        now_us = clock_mono_us();
        for (int i = 0; i < a->peers; i++) {
            struct peer *p = &peers[i];
            bool lives = true;

            if (a->is_deaf)
                lives = !polls[i].revents || polls[i].revents == POLLOUT;
            else if (polls[i].revents & ~POLLOUT)
                lives = peer_hear(p);
            lives = lives && peer_send(p, now_us);
            o.heard = o.heard || peer_has_heard(p);
            if (lives)
                continue;
            while (!a->is_deaf && peer_hear(p))
                if (errno == EAGAIN)
                    break;
            o.heard = o.heard || peer_has_heard(p);
            o.ended++;
            waiting -= !p->was_ended;
            p->was_ended = true;
            peer_close(p);
            peer_open(p, a);
        }
        if (!a->pause_ms)
            usleep(1000); /* an attacker with a core of its own would measure the machine, not the server */
    }
    for (int i = 0; i < a->peers; i++)
        peer_close(&peers[i]);
    o.all_ended = waiting == 0;
    return o;
}

/* Whole handshakes, as fast as one thread can. */
static struct outcome carry_out_handshakes(int64_t for_us)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int64_t until_us = clock_mono_us() + for_us;
    struct outcome o = { .heard = true, .all_ended = true };

    while (clock_mono_us() < until_us) {
        SSL *ssl = SSL_new(ctx);
        int fd = reach(server.tls_port);

        SSL_set_fd(ssl, fd);
        if (SSL_connect(ssl) != 1)
            o.heard = false;
        o.ended++;
        SSL_free(ssl);
        close(fd);
    }
    SSL_CTX_free(ctx);
    return o;
}

static void *attack(void *ctx)
{
    struct assault *a = ctx;

    if (sched_getscheduler(0) == SCHED_OTHER) /* of this thread */
        setpriority(PRIO_PROCESS, 0, 19);
    else /* server and clients have the processor whenever they want it: chrt -r 1 */
        sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){ 0 });
    a->outcome = a->attack ? carry_out(a->attack, a->for_us) : carry_out_handshakes(a->for_us);
    return NULL;
}

/* ---- honest clients ---- */

static struct client {
    pthread_t thread;
    size_t count, failed, asked_anew;
    int64_t took_us[SAMPLES_MAX / CLIENTS_MAX];
} clients[CLIENTS_MAX];
static int client_count = 1;
static bool clients_stop;
static pthread_mutex_t transactions_lock = PTHREAD_MUTEX_INITIALIZER;

/* The next line, from the first again after the last. */
static char *next_transaction(void)
{
    char *line, *end;

    pthread_mutex_lock(&transactions_lock);
    line = server.next_transaction;
    end = line + strlen(line);
    server.next_transaction = end[1] ? end + 1 : server.transactions;
    pthread_mutex_unlock(&transactions_lock);
    return line;
}

static bool ask(int fd)
{
    char text[8192], answer[65536];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    const char *body = server.transactions ? next_transaction() : "";
    int len = server.transactions
                  ? snprintf(text, sizeof text,
                             "POST /v1/transactions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
                             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                             server.key, strlen(body), body)
                  : snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", server.path);
    ssize_t n;

    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len || poll(&p, 1, 20000) != 1)
        return false;
    n = recv(fd, answer, sizeof answer, 0);
    return n > 12 && memcmp(answer, "HTTP/1.1 ", 9) == 0 && answer[9] == '2';
}

static void *be_honest(void *ctx)
{
    struct client *c = ctx;
    int fd = reach(server.port);
    int64_t due_us = clock_mono_us();

    while (!__atomic_load_n(&clients_stop, __ATOMIC_SEQ_CST)) {
        bool is_new = c->count % 20 == 1;
        int64_t began_us = server.transactions ? due_us : clock_mono_us();
        int asks_on = is_new ? reach(server.port) : fd;

        c->failed += !ask(asks_on);
        c->asked_anew += is_new;
        if (is_new)
            close(asks_on);
        if (c->count < ARRAY_LEN(c->took_us))
            c->took_us[c->count++] = clock_mono_us() - began_us;
        due_us += DECISION_EVERY_US;
        if (!server.transactions)
            usleep(1000);
        else if (due_us > clock_mono_us())
            usleep((useconds_t)(due_us - clock_mono_us()));
    }
    close(fd);
    return NULL;
}

static void clients_begin(void)
{
    clients_stop = false;
    for (int i = 0; i < client_count; i++) {
        clients[i].count = clients[i].failed = clients[i].asked_anew = 0;
        if (pthread_create(&clients[i].thread, NULL, be_honest, &clients[i]))
            fail("start a thread");
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

struct service {
    size_t failed, asked_anew;
    double p99_ms, most_ms;
};

static struct service clients_end(void)
{
    static int64_t took_us[SAMPLES_MAX];
    struct service had = { 0 };
    size_t count = 0;

    __atomic_store_n(&clients_stop, true, __ATOMIC_SEQ_CST);
    for (int i = 0; i < client_count; i++) {
        pthread_join(clients[i].thread, NULL);
        memcpy(took_us + count, clients[i].took_us, clients[i].count * sizeof *took_us);
        count += clients[i].count;
        had.failed += clients[i].failed;
        had.asked_anew += clients[i].asked_anew;
    }
    qsort(took_us, count, sizeof *took_us, by_size);
    had.p99_ms = count ? (double)took_us[count * 99 / 100] / 1000 : 0;
    had.most_ms = count ? (double)took_us[count - 1] / 1000 : 0;
    return had;
}

/* ---- the server, seen from outside ---- */

static long memory_mb(void)
{
    char path[64], line[256];
    long kb = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)server.pid);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb / 1024;
}

static int descriptors(void)
{
    char path[64];
    int n = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)server.pid);
    dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static long log_lines(void)
{
    char text[4096];
    long n = 0;
    off_t at = 0;
    ssize_t len;

    while (server.is_ours && (len = pread(server.log, text, sizeof text, at)) > 0) {
        for (ssize_t i = 0; i < len; i++)
            n += text[i] == '\n';
        at += len;
    }
    return n;
}

static void shell(const char *format, const char *dir)
{
    char command[512];

    snprintf(command, sizeof command, format, dir);
    if (system(command))
        fail(command);
}

/* Its directory is gone as soon as it has read what stands there: nothing is left behind however this ends. */
static void start_server(const char *self)
{
    char dir[] = "/tmp/assay-hostile-XXXXXX", program[4096], path[64];
    int pipes[2];
    FILE *f;

    if (!mkdtemp(dir) || pipe(pipes))
        fail("start a server");
    shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem "
          "-out cert.pem -subj /CN=localhost -days 2 2>/dev/null && cat cert.pem key.pem >both.pem",
          dir);
    snprintf(path, sizeof path, "%s/log", dir);
    server.log = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    snprintf(path, sizeof path, "%s/both.pem", dir);
    snprintf(program, sizeof program, "%.*shttp_serve",
             (int)(strrchr(self, '/') ? strrchr(self, '/') + 1 - self : 0), self);
    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(pipes[1], STDOUT_FILENO);
        dup2(server.log, STDERR_FILENO);
        execl(program, program, "hasty", path, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    f = fdopen(pipes[0], "r");
    if (!f || fscanf(f, "%d %d", &server.port, &server.tls_port) != 2)
        fail("the server does not say its ports");
    fclose(f);
    shell("rm -rf %s", dir);
    server.is_ours = true;
    server.path = "/";
}

static void end_server(void)
{
    int status;

    if (!server.is_ours)
        return;
    kill(server.pid, SIGTERM);
    expect(waitpid(server.pid, &status, 0) == server.pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
           "server", "ends as it should");
}

/* ---- one attack ---- */

static double median(double *values, int count)
{
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && values[k] < values[k - 1]; k--) {
            double lower = values[k];

            values[k] = values[k - 1];
            values[k - 1] = lower;
        }
    return values[count / 2];
}

static void suffer(const char *name, const struct attack *a, int64_t for_us, int rounds)
{
    double before[ROUNDS_MAX], during[ROUNDS_MAX], most[ROUNDS_MAX], before_ms, during_ms;
    long lines = log_lines();
    int kept, open_before = descriptors();
    int64_t began_us = clock_mono_us();
    struct outcome o = { 0 };

    for (int round = 0; round < rounds; round++) {
        struct assault assault = { .attack = a, .for_us = for_us };
        struct service had;
        pthread_t thread;

        clients_begin();
        usleep((useconds_t)for_us);
        before[round] = clients_end().p99_ms;
        clients_begin();
        if (pthread_create(&thread, NULL, attack, &assault))
            fail("start a thread");
        pthread_join(thread, NULL);
        had = clients_end();
        o = assault.outcome;
        during[round] = had.p99_ms;
        most[round] = had.most_ms;
        expect(had.failed == 0, name, "an honest client was not answered");
        expect(had.asked_anew > 0, name, "the honest clients came to no new connection");
        expect(o.heard, name, "the attacker did not hear what it should");
        expect(o.all_ended || (a && a->stays), name, "not every attacker was ended");
    }
    before_ms = median(before, rounds);
    during_ms = median(during, rounds);
    for (int i = 0; i < 200 && (kept = descriptors()) > open_before; i++)
        usleep(50000);
    expect(kept <= open_before, name, "descriptors are kept");
    if (server.is_ours) {
        lines = log_lines() - lines;
        expect(lines <= 2 + LOG_LINES_PER_S * (1 + (clock_mono_us() - began_us) / SECOND_US), name,
               "the log was flooded");
    }
#ifndef __SANITIZE_ADDRESS__
    expect(memory_mb() <= RSS_MAX_MB || !server.is_ours, name, "memory was not bounded");
#endif
    printf("%-24s %7d %9.2f %9.2f %7.1f %9.2f %7ld\n", name, o.ended, before_ms, during_ms,
           before_ms > 0 ? during_ms / before_ms : 0, median(most, rounds), memory_mb());
    fflush(stdout);
}

/* The file as lines that end with NUL, and an empty one at the end. */
static void read_transactions(const char *path)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &file) || !file.st_size)
        fail(path);
    server.transactions = server.next_transaction = mem_alloc((size_t)file.st_size + 2, 1);
    if (read(fd, server.transactions, (size_t)file.st_size) != file.st_size)
        fail(path);
    for (char *at = server.transactions; (at = strchr(at, '\n')); at++)
        *at = 0;
    close(fd);
    client_count = CLIENTS_MAX;
}

int main(int argc, char **argv)
{
    int64_t for_us = SECOND_US;
    struct rlimit limit;
    const char *only = NULL;
    int option, rounds = 1;

    while ((option = getopt(argc, argv, "s:r:o:d:k:")) != -1) {
        if (option == 's')
            for_us = (int64_t)(strtod(optarg, NULL) * SECOND_US);
        else if (option == 'r')
            rounds = atoi(optarg);
        else if (option == 'o')
            only = optarg;
        else if (option == 'd')
            read_transactions(optarg);
        else if (option == 'k')
            server.key = optarg;
        else
            return 2;
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || !server.transactions != !server.key)
        return 2;
    if (argc - optind == (server.key ? 2 : 3)) {
        server.port = atoi(argv[optind]);
        server.pid = atoi(argv[optind + 1]);
        server.path = server.key ? "" : argv[optind + 2];
    } else if (argc == optind) {
        start_server(argv[0]);
    } else {
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (server.transactions) { /* so that what decides has all its connections */
        clients_begin();
        sleep(1);
        clients_end();
    }
    printf("%-24s %7s %9s %9s %7s %9s %7s\n", "attack", "ended", "p99 ms", "under it", "ratio", "most",
           "RSS MB");
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++)
        if ((!only || strcmp(only, attacks[i].name) == 0) && (!attacks[i].uses_tls || server.tls_port))
            suffer(attacks[i].name, &attacks[i], for_us, rounds);
    if (server.tls_port && !only)
        suffer("TLS handshake flood", NULL, for_us, rounds);
    end_server();
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
