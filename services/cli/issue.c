/* SPDX-License-Identifier: Apache-2.0 */
#include "issue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { SERIAL_BYTES = 16, NAME_BYTES = 128, HOST_BYTES = 254, BACKDATED_S = 300, DAY_S = 86400 };

struct issued {
    X509 *cert;
    EVP_PKEY *key; /* NULL: not there */
    char name[NAME_BYTES], issuer[NAME_BYTES];
    struct buf hosts; /* ends with a NUL */
};

static enum err refused(struct why *why, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return err_set(why, ERR_INTERNAL, "%s: %s", what, reason ? reason : "no reason given");
}

/* ---- reading a certificate ---- */

static int64_t time_us(const ASN1_TIME *at)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * SECOND_US;
}

static void add_host(struct buf *hosts, const GENERAL_NAME *name)
{
    const ASN1_OCTET_STRING *ip = name->d.iPAddress;
    char text[INET6_ADDRSTRLEN] = "?";

    if (name->type != GEN_DNS && name->type != GEN_IPADD)
        return;
    if (hosts->len)
        buf_add_char(hosts, ',');
    if (name->type == GEN_DNS) {
        buf_add(hosts, ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
        return;
    }
    inet_ntop(ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text, sizeof text);
    buf_add_str(hosts, text);
}

/* Takes what the certificate says into the struct. */
static void describe(struct issued *i)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(i->cert, NID_subject_alt_name, NULL, NULL);

    X509_NAME_get_text_by_NID(X509_get_subject_name(i->cert), NID_commonName, i->name, NAME_BYTES);
    X509_NAME_get_text_by_NID(X509_get_issuer_name(i->cert), NID_commonName, i->issuer, NAME_BYTES);
    buf_init(&i->hosts, 0);
    for (int n = 0; n < sk_GENERAL_NAME_num(names); n++)
        add_host(&i->hosts, sk_GENERAL_NAME_value(names, n));
    buf_add_char(&i->hosts, '\0');
    GENERAL_NAMES_free(names);
}

enum err issued_read(struct issued **out, const char *path, struct why *why)
{
    struct issued *i;
    FILE *f = fopen(path, "re");
    X509 *cert;

    *out = NULL;
    if (!f)
        return err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "%s: %s", path, strerror(errno));
    cert = PEM_read_X509(f, NULL, NULL, NULL);
    if (!cert) {
        fclose(f);
        ERR_clear_error();
        return err_set(why, ERR_INVALID, "%s: no certificate can be read", path);
    }
    i = mem_new(struct issued);
    i->cert = cert;
    rewind(f);
    i->key =
        PEM_read_PrivateKey(f, NULL, NULL, (void *)(uintptr_t) ""); /* nobody is asked for a passphrase */
    ERR_clear_error();
    fclose(f);
    describe(i);
    if (i->key && X509_check_private_key(cert, i->key) != 1) {
        ERR_clear_error();
        issued_free(i);
        return err_set(why, ERR_INVALID, "%s: the key is not the certificate's", path);
    }
    *out = i;
    return ERR_OK;
}

void issued_free(struct issued *i)
{
    if (!i)
        return;
    X509_free(i->cert);
    EVP_PKEY_free(i->key);
    buf_release(&i->hosts);
    mem_free(i);
}

const char *issued_name(const struct issued *i)
{
    return i->name;
}

const char *issued_issuer(const struct issued *i)
{
    return i->issuer;
}

const char *issued_hosts(const struct issued *i)
{
    return buf_slice(&i->hosts).ptr;
}

int64_t issued_ends_us(const struct issued *i)
{
    return time_us(X509_get0_notAfter(i->cert));
}

bool issued_is_by(const struct issued *i, const struct issued *authority)
{
    bool is_by = X509_verify(i->cert, X509_get0_pubkey(authority->cert)) == 1;

    ERR_clear_error();
    return is_by;
}

bool issued_has_same_key(const struct issued *a, const struct issued *b)
{
    return EVP_PKEY_eq(X509_get0_pubkey(a->cert), X509_get0_pubkey(b->cert)) == 1;
}

bool issued_is_server(const struct issued *i)
{
    return X509_get_extended_key_usage(i->cert) & XKU_SSL_SERVER;
}

bool issued_is_client(const struct issued *i)
{
    return X509_get_extended_key_usage(i->cert) & XKU_SSL_CLIENT;
}

/* ---- making one ---- */

static bool set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;
    bool is_set = RAND_bytes(bytes, sizeof bytes) == 1;

    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always of the same length */
    if (is_set)
        number = BN_bin2bn(bytes, sizeof bytes, NULL);
    is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return is_set;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    bool is_added;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    is_added = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static bool is_host_name(const char *host)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*";

    return *host && host[strspn(host, letters)] == '\0';
}

/* NULL: it is neither an address nor a name. */
static GENERAL_NAME *host_name(const char *host)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    ASN1_IA5STRING *text;
    GENERAL_NAME *name;

    ERR_clear_error();
    if (!ip && !is_host_name(host))
        return NULL;
    name = GENERAL_NAME_new();
    if (ip) {
        GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
        return name;
    }
    text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, host, (int)strlen(host));
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    return name;
}

static enum err add_hosts(X509 *cert, const char *list, struct why *why)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    enum err err = ERR_OK;

    while (*list && !err) {
        size_t len;
        char host[HOST_BYTES];
        GENERAL_NAME *name;

        list += strspn(list, ", ");
        len = strcspn(list, ", ");
        if (!len)
            break;
        snprintf(host, sizeof host, "%.*s", (int)len, list);
        list += len;
        name = len < sizeof host ? host_name(host) : NULL;
        if (name)
            sk_GENERAL_NAME_push(names, name);
        else
            err = err_set(why, ERR_INVALID, "\"%s\" is no host name or address", host);
    }
    if (!err && sk_GENERAL_NAME_num(names) > 0 &&
        X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) != 1)
        err = refused(why, "alternative names");
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return err;
}

/* A key and a certificate for it that lacks its extensions and its signature. */
static enum err begin(struct issued **out, const char *name, int64_t days, struct why *why)
{
    struct issued *i = mem_new(struct issued);
    X509_NAME *subject;

    *out = i;
    i->key = EVP_EC_gen("P-256");
    i->cert = X509_new();
    if (!i->key || !i->cert || X509_set_version(i->cert, X509_VERSION_3) != 1 || !set_serial(i->cert))
        return refused(why, "make a key");
    subject = X509_get_subject_name(i->cert);
    if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) != 1)
        return refused(why, name);
    X509_gmtime_adj(X509_getm_notBefore(i->cert), -BACKDATED_S); /* clocks that are a little behind */
    X509_time_adj_ex(X509_getm_notAfter(i->cert), (int)days, 0, NULL);
    if (X509_set_pubkey(i->cert, i->key) != 1)
        return refused(why, name);
    return ERR_OK;
}

static enum err finish(struct issued **out, struct issued *i, EVP_PKEY *key, enum err err, struct why *why)
{
    if (!err && X509_sign(i->cert, key, EVP_sha256()) == 0)
        err = refused(why, "sign");
    ERR_clear_error();
    if (err) {
        issued_free(i);
        *out = NULL;
        return err;
    }
    describe(i);
    *out = i;
    return ERR_OK;
}

enum err issue_authority(struct issued **out, const char *name, int64_t days, struct why *why)
{
    struct issued *i;
    enum err err = begin(&i, name, days, why);

    if (!err && (X509_set_issuer_name(i->cert, X509_get_subject_name(i->cert)) != 1 ||
                 !add_extension(i->cert, i->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
                 !add_extension(i->cert, i->cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
                 !add_extension(i->cert, i->cert, NID_subject_key_identifier, "hash")))
        err = refused(why, name);
    return finish(out, i, i->key, err, why);
}

enum err issue_leaf(struct issued **out, const struct issued *authority, const struct leaf_wish *wish,
                    struct why *why)
{
    const char *purpose = wish->is_server && wish->is_client ? "serverAuth,clientAuth"
                          : wish->is_server                  ? "serverAuth"
                                                             : "clientAuth";
    struct issued *i;
    enum err err;

    *out = NULL;
    if (!authority->key)
        return err_set(why, ERR_INVALID, "the key of %s is not there", authority->name);
    if (issued_ends_us(authority) <= clock_wall_us())
        return err_set(why, ERR_INVALID, "%s is out of date", authority->name);
    err = begin(&i, wish->name, wish->days, why);
    if (!err && ASN1_TIME_compare(X509_get0_notAfter(i->cert), X509_get0_notAfter(authority->cert)) > 0)
        X509_set1_notAfter(i->cert, X509_get0_notAfter(authority->cert));
    if (!err && (X509_set_issuer_name(i->cert, X509_get_subject_name(authority->cert)) != 1 ||
                 !add_extension(i->cert, authority->cert, NID_basic_constraints, "critical,CA:FALSE") ||
                 !add_extension(i->cert, authority->cert, NID_key_usage, "critical,digitalSignature") ||
                 !add_extension(i->cert, authority->cert, NID_ext_key_usage, purpose) ||
                 !add_extension(i->cert, authority->cert, NID_subject_key_identifier, "hash") ||
                 !add_extension(i->cert, authority->cert, NID_authority_key_identifier, "keyid:always")))
        err = refused(why, wish->name);
    if (!err)
        err = add_hosts(i->cert, wish->hosts, why);
    return finish(out, i, authority->key, err, why);
}

/* ---- files ---- */

/* Root writes for whoever the directory belongs to: a service that runs as somebody else must read it. */
static bool give_to_owner_of_directory(int fd, const char *path)
{
    char directory[PATH_MAX];
    struct stat st;

    snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    if (geteuid() != 0 || stat(directory, &st) || st.st_uid == 0)
        return true;
    return fchown(fd, st.st_uid, st.st_gid) == 0;
}

static enum err replace(const char *path, struct slice bytes, mode_t mode, struct why *why)
{
    char fresh[PATH_MAX];
    int fd;
    bool is_good;

    if ((size_t)snprintf(fresh, sizeof fresh, "%s.%d", path, (int)getpid()) >= sizeof fresh)
        return err_set(why, ERR_INVALID, "%s is too long", path);
    unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    is_good = fd >= 0 && write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len && fchmod(fd, mode) == 0 &&
              give_to_owner_of_directory(fd, fresh) && fsync(fd) == 0 && rename(fresh, path) == 0;
    if (!is_good)
        err_set(why, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!is_good)
        unlink(fresh);
    return is_good ? ERR_OK : ERR_UNAVAILABLE;
}

static void add_bio(BIO *bio, struct buf *out)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);

    buf_add(out, bytes, (size_t)len);
    OPENSSL_cleanse(bytes, (size_t)len);
    BIO_free(bio);
}

void issued_add_pem(const struct issued *i, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_X509(bio, i->cert);
    add_bio(bio, out);
}

enum err issued_write(const struct issued *i, bool with_key, const char *path, struct why *why)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct buf pem;
    enum err err;

    buf_init(&pem, 0);
    issued_add_pem(i, &pem);
    if (with_key)
        PEM_write_bio_PKCS8PrivateKey(bio, i->key, NULL, NULL, 0, NULL, NULL);
    add_bio(bio, &pem);
    err = replace(path, buf_slice(&pem), with_key ? 0600 : 0644, why);
    OPENSSL_cleanse(pem.data, pem.room);
    buf_release(&pem);
    return err;
}

/* Whether it holds exactly these bytes already. */
static bool has_content(const char *path, struct slice bytes)
{
    FILE *f = fopen(path, "re");
    char *there = mem_alloc(bytes.len + 1, 1);
    bool is_same =
        f && fread(there, 1, bytes.len + 1, f) == bytes.len && memcmp(there, bytes.ptr, bytes.len) == 0;

    if (f)
        fclose(f);
    mem_free(there);
    return is_same;
}

enum err bundle_write(const char *path, struct slice pem, struct why *why)
{
    return has_content(path, pem) ? ERR_OK : replace(path, pem, 0644, why);
}
