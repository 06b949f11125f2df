/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/receiver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
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

/* A whole request, or NULL; for free(). *head_len is without the empty line. */
static char *read_request(struct receiver *r, int fd, size_t *head_len)
{
    char *bytes = calloc(1, REQUEST_MOST + 1), *end = NULL;
    size_t len = 0;

    while (len < REQUEST_MOST && !atomic_load(&r->is_ending)) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        ssize_t got = poll(&wait, 1, 50) > 0 ? read(fd, bytes + len, REQUEST_MOST - len) : -2;

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

static void say(int fd, const char *text)
{
    ssize_t ignored = send(fd, text, strlen(text), MSG_NOSIGNAL);

    (void)ignored;
}

static void say_much(int fd)
{
    char chunk[4096];

    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    memset(chunk, 'x', sizeof chunk);
    for (size_t sent = 0; sent < HUGE_BYTES; sent += sizeof chunk)
        if (send(fd, chunk, sizeof chunk, MSG_NOSIGNAL) < 0)
            return;
}

static void answer(struct receiver *r, int fd)
{
    char text[256];

    switch ((enum receiver_mode)atomic_load(&r->mode)) {
    case RECEIVER_OK:
        say(fd, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        break;
    case RECEIVER_FAILS:
        say(fd, "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops");
        break;
    case RECEIVER_GONE:
        say(fd, "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
        break;
    case RECEIVER_BUSY:
        say(fd, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
        break;
    case RECEIVER_REDIRECTS:
        snprintf(text, sizeof text,
                 "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/elsewhere\r\nContent-Length: 0\r\n\r\n",
                 r->port);
        say(fd, text);
        break;
    case RECEIVER_HUGE:
        say_much(fd);
        break;
    case RECEIVER_HANGS:
        while (atomic_load(&r->mode) == RECEIVER_HANGS && !atomic_load(&r->is_ending))
            usleep(5000);
        break;
    case RECEIVER_CLOSES:
        break;
    case RECEIVER_GARBAGE:
        say(fd, "\x16\x03\x01 this is no HTTP\r\n\r\n");
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

static void *serve(void *arg)
{
    struct receiver *r = arg;

    while (!atomic_load(&r->is_ending)) {
        struct pollfd wait = { .fd = r->fd, .events = POLLIN };
        size_t head_len;
        char *bytes;
        int fd;

        if (poll(&wait, 1, 20) <= 0 || (fd = accept(r->fd, NULL, NULL)) < 0)
            continue;
        bytes = read_request(r, fd, &head_len);
        if (bytes) {
            keep(r, bytes, head_len);
            answer(r, fd);
        }
        close(fd);
    }
    return NULL;
}

void receiver_start(struct receiver *r)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof address;

    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->fd < 0 || bind(r->fd, (struct sockaddr *)&address, len) || listen(r->fd, 128) ||
        getsockname(r->fd, (struct sockaddr *)&address, &len) || pthread_create(&r->thread, NULL, serve, r)) {
        perror("receiver");
        exit(1);
    }
    r->port = ntohs(address.sin_port);
}

void receiver_end(struct receiver *r)
{
    atomic_store(&r->is_ending, true);
    pthread_join(r->thread, NULL);
    close(r->fd);
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
