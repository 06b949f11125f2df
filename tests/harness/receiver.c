/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/receiver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MOST = 1 << 20, HUGE_BYTES = 1 << 20 };

static size_t body_length(const char *head)
{
    const char *line = strcasestr(head, "\r\ncontent-length:");

    return line ? (size_t)strtoull(line + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

/* Who is connected. */
struct peer {
    int fd;
    SSL *tls; /* NULL: in the clear */
};

/* -2: nothing came for a moment. */
static ssize_t take(const struct peer *p, char *to, size_t room)
{
    struct pollfd wait = { .fd = p->fd, .events = POLLIN };

    if (!(p->tls && SSL_pending(p->tls)) && poll(&wait, 1, 50) <= 0)
        return -2;
    if (!p->tls)
        return read(p->fd, to, room);
    return SSL_read(p->tls, to, (int)room);
}

static bool send_bytes(const struct peer *p, const char *bytes, size_t len)
{
    if (p->tls)
        return SSL_write(p->tls, bytes, (int)len) > 0;
    return send(p->fd, bytes, len, MSG_NOSIGNAL) >= 0;
}

/* A whole request, or NULL; for free(). *head_len is without the empty line. */
static char *read_request(struct receiver *r, const struct peer *p, size_t *head_len)
{
    char *bytes = calloc(1, REQUEST_MOST + 1), *end = NULL;
    size_t len = 0;

    while (len < REQUEST_MOST && !atomic_load(&r->is_ending)) {
        ssize_t got = take(p, bytes + len, REQUEST_MOST - len);

        if (got == 0 || got == -1)
            break;
        len += got > 0 ? (size_t)got : 0;
        end = strstr(bytes, "\r\n\r\n");
        if (end && len >= (size_t)(end + 4 - bytes) + body_length(bytes)) {
            *head_len = (size_t)(end - bytes);
            return bytes;
        }
    }
    free(bytes);
    return NULL;
}

static void say(const struct peer *p, const char *text)
{
    send_bytes(p, text, strlen(text));
}

static void say_much(const struct peer *p)
{
    char chunk[4096];

    say(p, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    memset(chunk, 'x', sizeof chunk);
    for (size_t sent = 0; sent < HUGE_BYTES; sent += sizeof chunk)
        if (!send_bytes(p, chunk, sizeof chunk))
            return;
}

static void answer(struct receiver *r, const struct peer *p)
{
    char text[256];

    switch ((enum receiver_mode)atomic_load(&r->mode)) {
    case RECEIVER_OK:
        say(p, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        break;
    case RECEIVER_FAILS:
        say(p, "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops");
        break;
    case RECEIVER_GONE:
        say(p, "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
        break;
    case RECEIVER_BUSY:
        say(p, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
        break;
    case RECEIVER_REDIRECTS:
        snprintf(text, sizeof text,
                 "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/elsewhere\r\nContent-Length: 0\r\n\r\n",
                 r->port);
        say(p, text);
        break;
    case RECEIVER_HUGE:
        say_much(p);
        break;
    case RECEIVER_HANGS:
        while (atomic_load(&r->mode) == RECEIVER_HANGS && !atomic_load(&r->is_ending))
            usleep(5000);
        break;
    case RECEIVER_CLOSES:
        break;
    case RECEIVER_GARBAGE:
        say(p, "\x16\x03\x01 this is no HTTP\r\n\r\n");
        break;
    }
}

static void keep(struct receiver *r, char *bytes, size_t head_len)
{
    pthread_mutex_lock(&r->lock);
    if (r->count < RECEIVED_MOST) {
        r->requests[r->count].head = strndup(bytes, head_len);
        r->requests[r->count].body = strdup(bytes + head_len + 4);
        r->requests[r->count].mode = (enum receiver_mode)atomic_load(&r->mode);
        r->count++;
    }
    pthread_mutex_unlock(&r->lock);
    free(bytes);
}

/* False: the handshake failed, as when the other side does not trust us. */
static bool greet(struct receiver *r, struct peer *p)
{
    struct timeval patience = { .tv_sec = 2 };

    if (!r->tls)
        return true;
    setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    p->tls = SSL_new(r->tls);
    SSL_set_fd(p->tls, p->fd);
    if (SSL_accept(p->tls) == 1)
        return true;
    atomic_fetch_add(&r->refusals, 1);
    return false;
}

static void part(struct peer *p)
{
    if (p->tls) {
        SSL_shutdown(p->tls);
        SSL_free(p->tls);
    }
    close(p->fd);
}

static void *serve(void *arg)
{
    struct receiver *r = arg;

    while (!atomic_load(&r->is_ending)) {
        struct pollfd wait = { .fd = r->fd, .events = POLLIN };
        struct peer peer = { .fd = -1 };
        size_t head_len;
        char *bytes;

        if (poll(&wait, 1, 20) <= 0 || (peer.fd = accept(r->fd, NULL, NULL)) < 0)
            continue;
        bytes = greet(r, &peer) ? read_request(r, &peer, &head_len) : NULL;
        if (bytes) {
            keep(r, bytes, head_len);
            answer(r, &peer);
        }
        part(&peer);
    }
    return NULL;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void start(struct receiver *r, SSL_CTX *tls)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof address;

    signal(SIGPIPE, SIG_IGN); /* SSL_write() has no way to ask for that */
    memset(r, 0, sizeof *r);
    r->tls = tls;
    pthread_mutex_init(&r->lock, NULL);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->fd < 0 || bind(r->fd, (struct sockaddr *)&address, len) || listen(r->fd, 128) ||
        getsockname(r->fd, (struct sockaddr *)&address, &len) || pthread_create(&r->thread, NULL, serve, r))
        fail("receiver");
    r->port = ntohs(address.sin_port);
}

void receiver_start(struct receiver *r)
{
    start(r, NULL);
}

/* Signed by itself, for 127.0.0.1. */
static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"receiver", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    if (!names || !X509_add_ext(cert, names, -1) || !X509_sign(cert, key, EVP_sha256()))
        fail("receiver: certificate");
    X509_EXTENSION_free(names);
    return cert;
}

static X509 *write_certificate(EVP_PKEY *key, const char *path)
{
    X509 *cert = make_certificate(key);
    FILE *file = fopen(path, "w");

    if (!file || !PEM_write_X509(file, cert) || fclose(file))
        fail("receiver: certificate's file");
    return cert;
}

void receiver_make_stranger(const char *path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    X509_free(write_certificate(key, path));
    EVP_PKEY_free(key);
}

void receiver_start_tls(struct receiver *r, const char *path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = write_certificate(key, path);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    if (!tls || SSL_CTX_use_certificate(tls, cert) != 1 || SSL_CTX_use_PrivateKey(tls, key) != 1)
        fail("receiver: TLS");
    X509_free(cert);
    EVP_PKEY_free(key);
    start(r, tls);
}

void receiver_end(struct receiver *r)
{
    atomic_store(&r->is_ending, true);
    pthread_join(r->thread, NULL);
    close(r->fd);
    SSL_CTX_free(r->tls);
    for (size_t i = 0; i < r->count; i++) {
        free(r->requests[i].head);
        free(r->requests[i].body);
    }
    pthread_mutex_destroy(&r->lock);
}

size_t receiver_count(struct receiver *r)
{
    size_t count;

    pthread_mutex_lock(&r->lock);
    count = r->count;
    pthread_mutex_unlock(&r->lock);
    return count;
}

bool receiver_wait(struct receiver *r, size_t count)
{
    for (int i = 0; i < 4000 && receiver_count(r) < count; i++)
        usleep(5000);
    return receiver_count(r) >= count;
}

char *receiver_header(struct receiver *r, size_t request, const char *name)
{
    char line[128], *value = NULL;
    const char *at;

    snprintf(line, sizeof line, "\r\n%s:", name);
    pthread_mutex_lock(&r->lock);
    at = request < r->count ? strcasestr(r->requests[request].head, line) : NULL;
    if (at) {
        at += strlen(line);
        at += strspn(at, " ");
        value = strndup(at, strcspn(at, "\r"));
    }
    pthread_mutex_unlock(&r->lock);
    return value;
}

/* As the specification tells a receiver to do it. */
bool receiver_is_signed(struct receiver *r, size_t request, const char *secret)
{
    unsigned char key[96], mac[EVP_MAX_MD_SIZE], base64[96];
    char *id = receiver_header(r, request, "webhook-id"),
         *at = receiver_header(r, request, "webhook-timestamp");
    char *signatures = receiver_header(r, request, "webhook-signature"), *content = NULL, *rest, *one;
    const char *text = secret + strlen("whsec_");
    int key_len = EVP_DecodeBlock(key, (const unsigned char *)text, (int)strlen(text));
    unsigned mac_len = 0;
    bool is_signed = false;

    while (key_len > 0 && text[strlen(text) - 1] == '=') {
        key_len--;
        if (text[strlen(text) - 2] == '=')
            key_len--;
        break;
    }
    if (id && at && signatures && asprintf(&content, "%s.%s.%s", id, at, r->requests[request].body) > 0) {
        HMAC(EVP_sha256(), key, key_len, (const unsigned char *)content, strlen(content), mac, &mac_len);
        EVP_EncodeBlock(base64, mac, (int)mac_len);
        for (one = strtok_r(signatures, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
            is_signed |= strncmp(one, "v1,", 3) == 0 && strcmp(one + 3, (char *)base64) == 0;
    }
    free(content);
    free(id);
    free(at);
    free(signatures);
    return is_signed;
}
