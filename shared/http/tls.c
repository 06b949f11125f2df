/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

enum { FILE_BYTES_MOST = 1 << 20, FILE_COUNT = 3, NAME_BYTES = 128 };

/* What tells one state of a file from the next. */
struct file_mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct marks {
    struct file_mark files[FILE_COUNT];
};

struct tls {
    char *cert, *key, *ca, *allow; /* NULL: none */
    SSL_CTX *ctx;
    int64_t expires_us;
    struct marks taken; /* of the files that `ctx` was made from */
    unsigned generation;
};

struct tls_conn {
    SSL *ssl;
    const char *allow; /* of the struct tls */
    bool is_server, is_refused;
    unsigned generation;
    int last; /* what SSL_get_error() said last */
    const char *reason;
};

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return reason ? reason : "no reason given";
}

/* ---- files ---- */

static void mark_files(const struct tls *t, struct marks *marks)
{
    const char *const paths[FILE_COUNT] = { t->cert, t->key, t->ca };
    struct stat st;

    memset(marks, 0, sizeof *marks); /* they are compared as bytes */
    for (size_t i = 0; i < FILE_COUNT; i++)
        if (paths[i] && stat(paths[i], &st) == 0) {
            marks->files[i].dev = st.st_dev;
            marks->files[i].ino = st.st_ino;
            marks->files[i].size = st.st_size;
            marks->files[i].changed.tv_sec = st.st_mtim.tv_sec;
            marks->files[i].changed.tv_nsec = st.st_mtim.tv_nsec;
        }
}

/* The whole of a file, opened once; to give to BIO_free(). */
static enum err open_file(BIO **out, const char *path, struct why *why)
{
    FILE *f = fopen(path, "re");
    char *bytes = mem_alloc(FILE_BYTES_MOST, 1);
    size_t len = f ? fread(bytes, 1, FILE_BYTES_MOST, f) : 0;
    enum err err = ERR_OK;

    *out = NULL;
    if (!f || ferror(f))
        err = err_set(why, ERR_INVALID, "%s: %s", path, strerror(errno));
    else if (len == 0 || len == FILE_BYTES_MOST)
        err = err_set(why, ERR_INVALID, "%s is %s", path, len ? "too large" : "empty");
    if (f)
        fclose(f);
    if (!err) {
        *out = BIO_new(BIO_s_mem());
        BIO_write(*out, bytes, (int)len);
    }
    OPENSSL_cleanse(bytes, len);
    mem_free(bytes);
    return err;
}

/* Every certificate in it, in its order. */
static enum err read_certs(STACK_OF(X509) * *out, const char *path, struct why *why)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    BIO *bio;
    X509 *cert;
    enum err err = open_file(&bio, path, why);

    *out = NULL;
    while (!err && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        sk_X509_push(certs, cert);
    if (!err && (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || sk_X509_num(certs) == 0))
        err = err_set(why, ERR_INVALID, "%s: no certificate can be read: %s", path, openssl_reason());
    ERR_clear_error();
    BIO_free(bio);
    if (err)
        sk_X509_pop_free(certs, X509_free);
    else
        *out = certs;
    return err;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *to, int room, int for_writing, void *arg)
{
    (void)to;
    (void)room;
    (void)for_writing;
    (void)arg;
    return -1;
}

static enum err take_key(SSL_CTX *ctx, const char *path, const char *cert_path, struct why *why)
{
    BIO *bio;
    EVP_PKEY *key = NULL;
    enum err err = open_file(&bio, path, why);

    if (!err) {
        key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        if (!key)
            err = err_set(why, ERR_INVALID, "%s: no key can be read: %s", path, openssl_reason());
        else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
            err = err_set(why, ERR_INVALID, "%s: the key is not that of %s", path, cert_path);
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return err;
}

static int64_t time_us(const ASN1_TIME *at)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return 0;
    return civil_days(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday) * DAY_US + tm.tm_hour * HOUR_US +
           tm.tm_min * MINUTE_US + tm.tm_sec * SECOND_US;
}

/* Takes `cert` and its key into `ctx`; *chain is what was in the file, the leaf first. */
static enum err take_identity(const struct tls *t, SSL_CTX *ctx, STACK_OF(X509) * *chain, struct why *why)
{
    enum err err = read_certs(chain, t->cert, why);

    if (err)
        return err;
    if (SSL_CTX_use_certificate(ctx, sk_X509_value(*chain, 0)) != 1)
        return err_set(why, ERR_INVALID, "certificate %s: %s", t->cert, openssl_reason());
    for (int i = 1; i < sk_X509_num(*chain); i++)
        SSL_CTX_add1_chain_cert(ctx, sk_X509_value(*chain, i));
    return take_key(ctx, t->key ? t->key : t->cert, t->cert, why);
}

static enum err take_trust(const struct tls *t, SSL_CTX *ctx, struct why *why)
{
    STACK_OF(X509) * authorities;
    enum err err = read_certs(&authorities, t->ca, why);

    if (err)
        return err;
    for (int i = 0; i < sk_X509_num(authorities); i++) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(authorities, i));
        SSL_CTX_add_client_CA(ctx, sk_X509_value(authorities, i));
    }
    sk_X509_pop_free(authorities, X509_free);
    return ERR_OK;
}

/* Whether those who trust what we trust will trust us. */
static enum err check_own(const struct tls *t, SSL_CTX *ctx, STACK_OF(X509) * chain, struct why *why)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    enum err err = ERR_OK;

    X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ctx), sk_X509_value(chain, 0), chain);
    X509_STORE_CTX_set_flags(check, X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(check) != 1)
        err = err_set(why, ERR_INVALID, "certificate %s is not of an authority in %s: %s", t->cert, t->ca,
                      X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return err;
}

/* ---- whom a server lets in ---- */

/* The text of a name without surprises: UTF-8, no NUL within, nothing cut off. */
static bool take_name(const ASN1_STRING *name, char *out, size_t size)
{
    unsigned char *text = NULL;
    int len = name ? ASN1_STRING_to_UTF8(&text, name) : -1;
    bool is_good = len > 0 && (size_t)len < size && !memchr(text, '\0', (size_t)len);

    if (is_good) {
        memcpy(out, text, (size_t)len);
        out[len] = '\0';
    }
    OPENSSL_free(text);
    return is_good;
}

static void name_of(X509 *cert, char *out, size_t size)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    GENERAL_NAMES *names;
    bool is_named = false;

    out[0] = '\0';
    if (at >= 0) {
        if (!take_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), out, size))
            out[0] = '\0';
        return;
    }
    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !is_named; i++)
        if (sk_GENERAL_NAME_value(names, i)->type == GEN_DNS)
            is_named = take_name(sk_GENERAL_NAME_value(names, i)->d.dNSName, out, size);
    GENERAL_NAMES_free(names);
}

static bool is_allowed(const char *list, const char *name)
{
    size_t wanted = strlen(name);

    while (*list) {
        size_t len;

        list += strspn(list, ", ");
        len = strcspn(list, ", ");
        if (len && len == wanted && memcmp(list, name, len) == 0)
            return true;
        list += len;
    }
    return false;
}

/* OpenSSL has judged the chain; whether a client of that name may come in is ours to say. */
static int judge_peer(int is_good, X509_STORE_CTX *check)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_conn *c = SSL_get_app_data(ssl);
    char name[NAME_BYTES];

    if (!is_good || X509_STORE_CTX_get_error_depth(check) > 0 || !c->is_server || !c->allow)
        return is_good;
    name_of(X509_STORE_CTX_get_current_cert(check), name, sizeof name);
    if (is_allowed(c->allow, name))
        return 1;
    c->is_refused = true;
    X509_STORE_CTX_set_error(check, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* ---- the files as one ---- */

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

static SSL_CTX *new_ctx(const struct tls *t)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (!ctx)
        mem_alloc(SIZE_MAX, SIZE_MAX); /* ends the process: no memory */
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"assay", 5);
    if (t->ca) { /* a session that is resumed would pass by judge_peer() and the end of a certificate */
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    }
    return ctx;
}

static enum err load(const struct tls *t, SSL_CTX **out, int64_t *expires_us, struct why *why)
{
    SSL_CTX *ctx = new_ctx(t);
    STACK_OF(X509) *chain = NULL;
    enum err err = ERR_OK;

    *expires_us = 0;
    ERR_clear_error();
    if (t->ca)
        err = take_trust(t, ctx, why);
    else if (!t->cert && SSL_CTX_set_default_verify_paths(ctx) != 1)
        err = err_set(why, ERR_INVALID, "certificates of the system: %s", openssl_reason());
    if (!err && t->cert)
        err = take_identity(t, ctx, &chain, why);
    if (!err && t->cert && t->ca)
        err = check_own(t, ctx, chain, why);
    if (!err && t->cert)
        *expires_us = time_us(X509_get0_notAfter(sk_X509_value(chain, 0)));
    sk_X509_pop_free(chain, X509_free);
    if (err)
        SSL_CTX_free(ctx);
    else
        *out = ctx;
    return err;
}

static char *copy_or_null(const char *text)
{
    return text && *text ? mem_strdup(text) : NULL;
}

enum err tls_open(struct tls **out, const struct tls_conf *conf, struct why *why)
{
    struct tls *t = mem_new(struct tls);
    enum err err;

    *out = NULL;
    t->cert = copy_or_null(conf->cert);
    t->key = copy_or_null(conf->key);
    t->ca = copy_or_null(conf->ca);
    t->allow = copy_or_null(conf->allow);
    mark_files(t, &t->taken); /* before they are read: what changes between is taken by the next look */
    err = t->key && !t->cert ? err_set(why, ERR_INVALID, "%s is a key without a certificate", t->key)
                             : load(t, &t->ctx, &t->expires_us, why);
    if (err) {
        tls_close(t);
        return err;
    }
    *out = t;
    return ERR_OK;
}

enum err tls_look(struct tls *t, struct why *why)
{
    SSL_CTX *fresh;
    int64_t expires_us;
    struct marks now;
    enum err err;

    mark_files(t, &now);
    if (memcmp(&now, &t->taken, sizeof now) == 0)
        return ERR_OK;
    err = load(t, &fresh, &expires_us, why);
    if (!err && t->cert && expires_us <= clock_wall_us()) {
        SSL_CTX_free(fresh);
        err = err_set(why, ERR_INVALID, "certificate %s is out of date", t->cert);
    }
    if (err)
        return err;
    SSL_CTX_free(t->ctx);
    t->ctx = fresh;
    t->expires_us = expires_us;
    t->taken = now;
    t->generation++;
    return ERR_OK;
}

void tls_close(struct tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    mem_free(t->cert);
    mem_free(t->key);
    mem_free(t->ca);
    mem_free(t->allow);
    mem_free(t);
}

unsigned tls_generation(const struct tls *t)
{
    return t->generation;
}

int64_t tls_expires_us(const struct tls *t)
{
    return t->expires_us;
}

/* ---- connections ---- */

static struct tls_conn *conn_new(struct tls *t, int fd)
{
    struct tls_conn *c = mem_new(struct tls_conn);

    c->ssl = SSL_new(t->ctx);
    if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1)
        mem_alloc(SIZE_MAX, SIZE_MAX); /* ends the process: no memory */
    SSL_set_app_data(c->ssl, c);
    c->allow = t->allow;
    c->generation = t->generation;
    return c;
}

struct tls_conn *tls_accept(struct tls *t, int fd)
{
    struct tls_conn *c = conn_new(t, fd);

    c->is_server = true;
    SSL_set_accept_state(c->ssl);
    if (t->ca)
        SSL_set_verify(c->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, judge_peer);
    return c;
}

struct tls_conn *tls_connect(struct tls *t, int fd, const char *name)
{
    static const unsigned char protocols[] = { 2, 'h', '2' };
    struct tls_conn *c = conn_new(t, fd);

    SSL_set_connect_state(c->ssl);
    SSL_set_verify(c->ssl, SSL_VERIFY_PEER, judge_peer);
    SSL_set_alpn_protos(c->ssl, protocols, sizeof protocols);
    /* An address is compared as one and not sent as a server name. */
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), name) != 1) {
        if (SSL_set1_host(c->ssl, name) != 1)
            mem_alloc(SIZE_MAX, SIZE_MAX);
        SSL_set_tlsext_host_name(c->ssl, name);
    }
    ERR_clear_error();
    return c;
}

void tls_conn_free(struct tls_conn *c)
{
    if (!c)
        return;
    SSL_free(c->ssl);
    mem_free(c);
}

static const char *find_reason(const struct tls_conn *c)
{
    long verdict = SSL_get_verify_result(c->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    if (c->is_refused)
        return "the name in its certificate is not allowed here";
    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    return reason ? reason : "the peer ended the TLS connection";
}

/* What OpenSSL says, in the words of read(2) and write(2). */
static ssize_t result(struct tls_conn *c, int n)
{
    if (n > 0) {
        c->last = SSL_ERROR_NONE;
        return n;
    }
    c->last = SSL_get_error(c->ssl, n);
    switch (c->last) {
    case SSL_ERROR_ZERO_RETURN:
        c->reason = "the peer closed the connection";
        n = 0;
        break;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        n = -1;
        break;
    default:
        c->reason = find_reason(c);
        errno = ECONNRESET;
        n = -1;
        break;
    }
    ERR_clear_error();
    return n;
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

unsigned tls_conn_generation(const struct tls_conn *c)
{
    return c->generation;
}

void tls_conn_name(const struct tls_conn *c, char *out, size_t size)
{
    X509 *cert = SSL_get0_peer_certificate(c->ssl);

    out[0] = '\0';
    if (cert && SSL_get_verify_result(c->ssl) == X509_V_OK)
        name_of(cert, out, size);
    ERR_clear_error();
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

const char *tls_conn_reason(const struct tls_conn *c)
{
    return c->reason ? c->reason : "the peer ended the TLS connection";
}

void tls_conn_shutdown(struct tls_conn *c)
{
    if (SSL_is_init_finished(c->ssl))
        SSL_shutdown(c->ssl);
    ERR_clear_error();
}
