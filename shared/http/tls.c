/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/mem.h"

struct tls {
    SSL_CTX *ctx;
    char *cert_file, *key_file, *client_ca_file;
};

struct tls_conn {
    SSL *ssl;
    int last; /* what SSL_get_error() said last */
};

/* The first of what the peer offers in our order; without ALPN the client gets HTTP/1.1. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *ctx)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)ctx;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    return reason ? reason : "no reason given";
}

static enum err load(SSL_CTX **out, const struct tls *t, struct why *why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    enum err err = ERR_OK;

    ERR_clear_error();
    if (!ctx)
        return err_set(why, ERR_INTERNAL, "TLS: %s", openssl_reason());
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"assay", 5);
    if (SSL_CTX_use_certificate_chain_file(ctx, t->cert_file) != 1)
        err = err_set(why, ERR_INVALID, "certificate %s: %s", t->cert_file, openssl_reason());
    else if (SSL_CTX_use_PrivateKey_file(ctx, t->key_file, SSL_FILETYPE_PEM) != 1)
        err = err_set(why, ERR_INVALID, "key %s: %s", t->key_file, openssl_reason());
    else if (SSL_CTX_check_private_key(ctx) != 1)
        err = err_set(why, ERR_INVALID, "key %s is not that of %s", t->key_file, t->cert_file);
    if (!err && t->client_ca_file) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(t->client_ca_file);

        if (!names || SSL_CTX_load_verify_locations(ctx, t->client_ca_file, NULL) != 1)
            err = err_set(why, ERR_INVALID, "client CA %s: %s", t->client_ca_file, openssl_reason());
        SSL_CTX_set_client_CA_list(ctx, names);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (err) {
        SSL_CTX_free(ctx);
        ERR_clear_error();
        return err;
    }
    *out = ctx;
    return ERR_OK;
}

enum err tls_open(struct tls **out, const char *cert_file, const char *key_file, const char *client_ca_file,
                  struct why *why)
{
    struct tls *t;
    enum err err;

    *out = NULL;
    if (!(cert_file && *cert_file) && !(key_file && *key_file))
        return ERR_OK;
    if (!(cert_file && *cert_file) || !(key_file && *key_file))
        return err_set(why, ERR_INVALID, "TLS needs both a certificate and its key");
    t = mem_new(struct tls);
    t->cert_file = mem_strdup(cert_file);
    t->key_file = mem_strdup(key_file);
    if (client_ca_file && *client_ca_file)
        t->client_ca_file = mem_strdup(client_ca_file);
    err = load(&t->ctx, t, why);
    if (err) {
        tls_close(t);
        return err;
    }
    *out = t;
    return ERR_OK;
}

enum err tls_reload(struct tls *t, struct why *why)
{
    SSL_CTX *fresh;
    enum err err = load(&fresh, t, why);

    if (err)
        return err;
    SSL_CTX_free(t->ctx);
    t->ctx = fresh;
    return ERR_OK;
}

void tls_close(struct tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    mem_free(t->cert_file);
    mem_free(t->key_file);
    mem_free(t->client_ca_file);
    mem_free(t);
}

struct tls_conn *tls_conn_new(struct tls *t, int fd)
{
    struct tls_conn *c = mem_new(struct tls_conn);

    c->ssl = SSL_new(t->ctx);
    if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1)
        mem_alloc(SIZE_MAX, SIZE_MAX); /* ends the process: no memory */
    SSL_set_accept_state(c->ssl);
    return c;
}

void tls_conn_free(struct tls_conn *c)
{
    if (!c)
        return;
    SSL_free(c->ssl);
    mem_free(c);
}

/* What OpenSSL says, in the words of read(2) and write(2). */
static ssize_t result(struct tls_conn *c, int n)
{
    if (n > 0) {
        c->last = SSL_ERROR_NONE;
        return n;
    }
    c->last = SSL_get_error(c->ssl, n);
    ERR_clear_error();
    if (c->last == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = c->last == SSL_ERROR_WANT_READ || c->last == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

int tls_conn_handshake(struct tls_conn *c)
{
    ERR_clear_error();
    if (result(c, SSL_do_handshake(c->ssl)) > 0)
        return 0;
    if (c->last == SSL_ERROR_ZERO_RETURN)
        errno = ECONNRESET;
    return -1;
}

bool tls_conn_wants_write(const struct tls_conn *c)
{
    return c->last == SSL_ERROR_WANT_WRITE;
}

bool tls_conn_is_h2(const struct tls_conn *c)
{
    const unsigned char *name;
    unsigned len;

    SSL_get0_alpn_selected(c->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}

void tls_conn_name(const struct tls_conn *c, char *out, size_t size)
{
    X509 *cert = SSL_get0_peer_certificate(c->ssl);

    out[0] = '\0';
    if (cert && SSL_get_verify_result(c->ssl) == X509_V_OK)
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out,
                                  size < INT_MAX ? (int)size : INT_MAX);
}

ssize_t tls_conn_read(struct tls_conn *c, void *to, size_t room)
{
    ERR_clear_error();
    return result(c, SSL_read(c->ssl, to, room < INT_MAX ? (int)room : INT_MAX));
}

ssize_t tls_conn_write(struct tls_conn *c, const void *from, size_t len)
{
    ERR_clear_error();
    return result(c, SSL_write(c->ssl, from, len < INT_MAX ? (int)len : INT_MAX));
}

bool tls_conn_has_pending(const struct tls_conn *c)
{
    return SSL_has_pending(c->ssl) != 0;
}

void tls_conn_shutdown(struct tls_conn *c)
{
    if (SSL_is_init_finished(c->ssl))
        SSL_shutdown(c->ssl);
    ERR_clear_error();
}
