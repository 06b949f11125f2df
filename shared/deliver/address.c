/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/address.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <string.h>

#include "base/array.h"

/* What is not for everybody. */
static const struct {
    uint32_t first;
    unsigned bits;
} barred4[] = {
    { 0x00000000, 8 },  /* 0.0.0.0/8        this network */
    { 0x0A000000, 8 },  /* 10.0.0.0/8       private */
    { 0x64400000, 10 }, /* 100.64.0.0/10    carrier-grade NAT */
    { 0x7F000000, 8 },  /* 127.0.0.0/8      loopback */
    { 0xA9FE0000, 16 }, /* 169.254.0.0/16   link-local; metadata of clouds */
    { 0xAC100000, 12 }, /* 172.16.0.0/12    private */
    { 0xC0000000, 24 }, /* 192.0.0.0/24     protocol assignments */
    { 0xC0000200, 24 }, /* 192.0.2.0/24     documentation */
    { 0xC0586300, 24 }, /* 192.88.99.0/24   6to4 relays */
    { 0xC0A80000, 16 }, /* 192.168.0.0/16   private */
    { 0xC6120000, 15 }, /* 198.18.0.0/15    benchmarking */
    { 0xC6336400, 24 }, /* 198.51.100.0/24  documentation */
    { 0xCB007100, 24 }, /* 203.0.113.0/24   documentation */
    { 0xE0000000, 4 },  /* 224.0.0.0/4      multicast */
    { 0xF0000000, 4 },  /* 240.0.0.0/4      reserved, and broadcast */
};

static bool is_public4(uint32_t address)
{
    for (size_t i = 0; i < ARRAY_LEN(barred4); i++)
        if ((address ^ barred4[i].first) >> (32 - barred4[i].bits) == 0)
            return false;
    return true;
}

struct range6 {
    unsigned char first[16];
    unsigned bits;
};

/* ::ffff:0:0/96 and 64:ff9b::/96: the last four bytes are an IPv4 address. */
static const struct range6 carries4[] = {
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF }, 96 },
    { { 0x00, 0x64, 0xFF, 0x9B }, 96 },
};
/* Of 2000::/3, which is all there is of global unicast. */
static const struct range6 barred6[] = {
    { { 0x20, 0x01, 0x00, 0x00 }, 23 }, /* 2001::/23      protocol assignments, Teredo */
    { { 0x20, 0x01, 0x0D, 0xB8 }, 32 }, /* 2001:db8::/32  documentation */
    { { 0x20, 0x02 }, 16 },             /* 2002::/16      6to4 */
    { { 0x3F, 0xFF }, 20 },             /* 3fff::/20      documentation */
};

static bool is_in(const unsigned char address[16], const struct range6 *range)
{
    for (unsigned bit = 0; bit < range->bits; bit += 8) {
        unsigned left = range->bits - bit;
        unsigned mask = left >= 8 ? 0xFFu : 0xFFu << (8 - left) & 0xFFu;

        if ((address[bit / 8] ^ range->first[bit / 8]) & mask)
            return false;
    }
    return true;
}

static bool is_public6(const unsigned char a[16])
{
    for (size_t i = 0; i < ARRAY_LEN(carries4); i++)
        if (is_in(a, &carries4[i]))
            return is_public4((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15]);
    if ((a[0] & 0xE0) != 0x20)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(barred6); i++)
        if (is_in(a, &barred6[i]))
            return false;
    return true;
}

bool address_is_public(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        return is_public4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        return is_public6(v6.sin6_addr.s6_addr);
    }
    return false;
}

/* ---- URLs ---- */

/* The host as libcurl spells it, which has turned 0x7f.1 and 2130706433 into 127.0.0.1 by then. */
static bool is_barred_literal(const char *host)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    char bare[64];
    size_t len = strlen(host);

    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        return !address_is_public((const struct sockaddr *)&v4);
    if (len < 2 || host[0] != '[' || len - 2 >= sizeof bare)
        return false;
    memcpy(bare, host + 1, len - 2);
    bare[len - 2] = '\0';
    return inet_pton(AF_INET6, bare, &v6.sin6_addr) != 1 || !address_is_public((const struct sockaddr *)&v6);
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

static enum err check_parts(CURLU *u, bool allow_http, bool allow_private, struct why *why)
{
    char *scheme = NULL, *host = NULL;
    enum err err = ERR_OK;

    if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) || curl_url_get(u, CURLUPART_HOST, &host, 0))
        err = err_set(why, ERR_INVALID, "not a URL with a host");
    else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        err = err_set(why, ERR_INVALID, "the URL is not https");
    else if (strcmp(scheme, "http") == 0 && !allow_http)
        err = err_set(why, ERR_INVALID, "the URL is not https (ASSAY_ALERT_ALLOW_HTTP allows http)");
    else if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD) ||
             has_part(u, CURLUPART_FRAGMENT))
        err = err_set(why, ERR_INVALID, "the URL has a user, a password or a fragment");
    else if (!allow_private && is_barred_literal(host))
        err = err_set(why, ERR_INVALID,
                      "the URL's address is not public (ASSAY_ALERT_ALLOW_PRIVATE allows it)");
    curl_free(scheme);
    curl_free(host);
    return err;
}

enum err address_check_url(const char *url, bool allow_http, bool allow_private, struct why *why)
{
    CURLU *u;
    enum err err;

    if (strlen(url) > URL_MOST)
        return err_set(why, ERR_INVALID, "the URL is longer than %d bytes", URL_MOST);
    u = curl_url();
    if (!u || curl_url_set(u, CURLUPART_URL, url, 0))
        err = err_set(why, ERR_INVALID, "not an absolute URL");
    else
        err = check_parts(u, allow_http, allow_private, why);
    curl_url_cleanup(u);
    return err;
}
