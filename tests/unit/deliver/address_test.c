/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/array.h"

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_public((struct sockaddr *)&v4);
    cr_assert_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1, "%s", text);
    return address_is_public((struct sockaddr *)&v6);
}

TestSuite(address, .timeout = 120);

/* Both ends of each block of the registries, and their neighbours. */
Test(address, blocks_end_where_the_registries_say)
{
    static const char *const barred[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "100::1",
        "fc00::1",
        "fdff:ffff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "2001::1",
        "2001:0:53aa:64c::1",
        "2001:1ff:ffff::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2001:db8:ffff::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
    };
    static const char *const allowed[] = {
        "1.0.0.0",          "9.255.255.255",
        "11.0.0.0",         "100.63.255.255",
        "100.128.0.0",      "126.255.255.255",
        "128.0.0.0",        "169.253.255.255",
        "169.255.0.0",      "172.15.255.255",
        "172.32.0.0",       "191.255.255.255",
        "192.0.1.0",        "192.0.3.0",
        "192.88.98.255",    "192.88.100.0",
        "192.167.255.255",  "192.169.0.0",
        "198.17.255.255",   "198.20.0.0",
        "198.51.99.255",    "198.51.101.0",
        "203.0.112.255",    "203.0.114.0",
        "223.255.255.255",  "8.8.8.8",
        "::ffff:8.8.8.8",   "64:ff9b::808:808",
        "2001:200::1",      "2001:4860:4860::8888",
        "2001:db7:ffff::1", "2001:db9::1",
        "2003::1",          "2606:4700:4700::1111",
        "2a00:1450::1",     "3ffe::1",
        "3fff:1000::1",
    };

    for (size_t i = 0; i < ARRAY_LEN(barred); i++)
        cr_assert_not(is_public(barred[i]), "%s", barred[i]);
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        cr_assert(is_public(allowed[i]), "%s", allowed[i]);
}

Test(address, any_other_family_is_not_public)
{
    struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "/run/docker.sock" };

    cr_assert_not(address_is_public((struct sockaddr *)&path));
}

static enum err check(const char *url, bool allow_http, bool allow_private)
{
    struct why why = { 0 };
    enum err err = address_check_url(url, allow_http, allow_private, &why);

    cr_assert_eq(err != ERR_OK, why.text[0] != '\0', "%s", url);
    cr_assert_null(strstr(why.text, "s3cret"), "%s", why.text);
    return err;
}

/* Spellings that getaddrinfo() or a browser takes for an address. */
Test(address, no_spelling_hides_an_address)
{
    static const char *const hosts[] = {
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "127.0.0.1.",
        "10.0.0.1",
        "0xa.0.0.1",
        "169.254.169.254",
        "2852039166",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1%25eth0]",
        "[fc00::1]",
        "[ff02::1]",
        "[64:ff9b::127.0.0.1]",
        "%31%32%37.0.0.1",
        "%6c%6fcalhost@127.0.0.1",
    };
    char url[128];

    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        bool is_dotted_at_end = hosts[i][strlen(hosts[i]) - 1] == '.';

        snprintf(url, sizeof url, "https://%s/hook", hosts[i]);
        /* A dot at the end makes a name of it, which is judged when it is connected to. */
        cr_assert(is_dotted_at_end || check(url, true, false) == ERR_INVALID, "%s", url);
    }
}

Test(address, urls_are_plain_and_https)
{
    char longest[URL_MOST + 32] = "https://h.example/";

    cr_assert_eq(check("https://hooks.example.com/a?b=c", false, false), ERR_OK);
    cr_assert_eq(check("https://hooks.example.com:8443/", false, false), ERR_OK);
    cr_assert_eq(check("https://[2606:4700:4700::1111]/", false, false), ERR_OK);
    cr_assert_eq(check("http://hooks.example.com/", false, false), ERR_INVALID);
    cr_assert_eq(check("http://hooks.example.com/", true, false), ERR_OK);
    cr_assert_eq(check("http://127.0.0.1:9/", true, true), ERR_OK);
    cr_assert_eq(check("ftp://h.example/", true, true), ERR_INVALID);
    cr_assert_eq(check("file:///etc/passwd", true, true), ERR_INVALID);
    cr_assert_eq(check("gopher://h.example/", true, true), ERR_INVALID);
    cr_assert_eq(check("https://user:s3cret@h.example/", true, true), ERR_INVALID);
    cr_assert_eq(check("https://s3cret@h.example/", true, true), ERR_INVALID);
    cr_assert_eq(check("https://h.example/#s3cret", true, true), ERR_INVALID);
    cr_assert_eq(check("h.example/s3cret", true, true), ERR_INVALID);
    cr_assert_eq(check("//h.example/", true, true), ERR_INVALID);
    cr_assert_eq(check("", true, true), ERR_INVALID);
    cr_assert_eq(check("https://", true, true), ERR_INVALID);
    cr_assert_eq(check("https://h.example:99999/", true, true), ERR_INVALID);
    memset(longest + strlen(longest), 'a', URL_MOST);
    cr_assert_eq(check(longest, true, true), ERR_INVALID);
}
