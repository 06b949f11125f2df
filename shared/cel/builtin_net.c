/* SPDX-License-Identifier: Apache-2.0
 * builtin_net.c - IP addresses and ranges of them: the network extension. Written as RFC 4291 has it, printed
 * as RFC 5952 asks. */
#include <arpa/inet.h>

#include "base/array.h"
#include "cel/builtin.h"

static int family(const struct cel_value *v)
{
    return (int)(v->extra & 0xff);
}

static unsigned prefix(const struct cel_value *v)
{
    return v->extra >> 8;
}

/* ---- reading and writing ---- */

static bool parse_address(struct slice text, struct cel_value *out)
{
    char copy[INET6_ADDRSTRLEN];
    bool is_long;

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    is_long = strchr(copy, ':') != NULL;
    if (is_long && strchr(copy, '.')) /* one in the other is neither */
        return false;
    *out = (struct cel_value){ .kind = CEL_IP, .extra = is_long ? 6 : 4 };
    memset(out->address, 0, sizeof out->address);
    return inet_pton(is_long ? AF_INET6 : AF_INET, copy, out->address) == 1;
}

static bool parse_prefix(struct slice text, unsigned most, unsigned *bits)
{
    *bits = 0;
    if (text.len == 0 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *bits = *bits * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return *bits <= most;
}

struct cel_value net_parse(struct slice text, bool is_cidr)
{
    const char *slash = is_cidr && text.len ? memchr(text.ptr, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.ptr) : text.len;
    struct cel_value v;
    unsigned bits;

    if ((is_cidr && !slash) || !parse_address(slice_of(text.ptr, len), &v))
        return cel_error(CEL_FAULT_CONVERSION);
    if (!is_cidr)
        return v;
    if (!parse_prefix(slice_of(slash + 1, text.len - len - 1), family(&v) == 4 ? 32 : 128, &bits))
        return cel_error(CEL_FAULT_CONVERSION);
    v.kind = CEL_CIDR;
    v.extra |= bits << 8;
    return v;
}

/* The longest run of two or more zero groups, the first of several: where it begins and how long it is. */
static int longest_zeros(const unsigned groups[8], int *length)
{
    int best = -1;

    *length = 1;
    for (int i = 0; i < 8; i++) {
        int run = 0;

        while (i + run < 8 && groups[i + run] == 0)
            run++;
        if (run > *length) {
            best = i;
            *length = run;
        }
    }
    return best;
}

static void print_long(const unsigned char *a, struct buf *out)
{
    unsigned groups[8];
    int length, zeros;

    for (int i = 0; i < 8; i++)
        groups[i] = (unsigned)a[2 * i] << 8 | a[2 * i + 1];
    zeros = longest_zeros(groups, &length);
    for (int i = 0; i < 8; i++) {
        if (i == zeros) {
            buf_add_str(out, "::");
            i += length - 1;
            continue;
        }
        buf_printf(out, "%s%x", i && i != zeros + length ? ":" : "", groups[i]);
    }
}

bool net_print(const struct cel_value *v, struct buf *out)
{
    const unsigned char *a = v->address;

    if (v->kind != CEL_IP && v->kind != CEL_CIDR)
        return false;
    if (family(v) == 4)
        buf_printf(out, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
    else
        print_long(a, out);
    if (v->kind == CEL_CIDR)
        buf_printf(out, "/%u", prefix(v));
    return true;
}

BUILTIN(ip_of_string)
{
    return net_parse(v[0].s, false);
}

BUILTIN(cidr_of_string)
{
    return net_parse(v[0].s, true);
}

BUILTIN(same)
{
    return v[0];
}

BUILTIN(is_ip)
{
    return cel_bool(net_parse(v[0].s, false).kind == CEL_IP);
}

BUILTIN(is_cidr)
{
    return cel_bool(net_parse(v[0].s, true).kind == CEL_CIDR);
}

BUILTIN(is_canonical)
{
    struct cel_value ip = net_parse(v[0].s, false);
    struct buf text;
    bool is_same;

    if (ip.kind == CEL_ERROR)
        return ip;
    buf_init(&text, 64);
    net_print(&ip, &text);
    is_same = slice_eq(buf_slice(&text), v[0].s);
    buf_release(&text);
    return cel_bool(is_same);
}

/* ---- what an address is ---- */

static bool is_all(const unsigned char *bytes, size_t count, unsigned char value)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

static bool unspecified(const struct cel_value *v)
{
    return is_all(v->address, family(v) == 4 ? 4 : 16, 0);
}

static bool loopback(const struct cel_value *v)
{
    return family(v) == 4 ? v->address[0] == 127 : is_all(v->address, 15, 0) && v->address[15] == 1;
}

static bool multicast(const struct cel_value *v)
{
    return family(v) == 4 ? v->address[0] >> 4 == 0xe : v->address[0] == 0xff;
}

static bool link_local(const struct cel_value *v)
{
    const unsigned char *a = v->address;

    return family(v) == 4 ? a[0] == 169 && a[1] == 254 : a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}

BUILTIN(get_family)
{
    return cel_int(family(&v[0]));
}

BUILTIN(is_unspecified)
{
    return cel_bool(unspecified(&v[0]));
}

BUILTIN(is_loopback)
{
    return cel_bool(loopback(&v[0]));
}

BUILTIN(is_global_unicast)
{
    bool is_broadcast = family(&v[0]) == 4 && is_all(v[0].address, 4, 255);

    return cel_bool(!is_broadcast && !unspecified(&v[0]) && !loopback(&v[0]) && !multicast(&v[0]) &&
                    !link_local(&v[0]));
}

BUILTIN(is_link_local_multicast)
{
    const unsigned char *a = v[0].address;

    return cel_bool(family(&v[0]) == 4 ? a[0] == 224 && a[1] == 0 && a[2] == 0
                                       : a[0] == 0xff && (a[1] & 0x0f) == 0x02);
}

BUILTIN(is_link_local_unicast)
{
    return cel_bool(link_local(&v[0]));
}

/* ---- ranges ---- */

static bool share_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned rest = bits % 8;

    return memcmp(a, b, bits / 8) == 0 &&
           (rest == 0 || a[bits / 8] >> (8 - rest) == b[bits / 8] >> (8 - rest));
}

static struct cel_value contains(const struct cel_value *range, const struct cel_value *inner)
{
    if (inner->kind == CEL_ERROR)
        return *inner;
    if (family(range) != family(inner) || (inner->kind == CEL_CIDR && prefix(inner) < prefix(range)))
        return cel_bool(false);
    return cel_bool(share_bits(range->address, inner->address, prefix(range)));
}

BUILTIN(contains_net)
{
    return contains(&v[0], &v[1]);
}

BUILTIN(contains_ip_text)
{
    struct cel_value ip = net_parse(v[1].s, false);

    return contains(&v[0], &ip);
}

BUILTIN(contains_cidr_text)
{
    struct cel_value cidr = net_parse(v[1].s, true);

    return contains(&v[0], &cidr);
}

BUILTIN(get_ip)
{
    struct cel_value ip = v[0];

    ip.kind = CEL_IP;
    ip.extra = (uint32_t)family(&v[0]);
    return ip;
}

BUILTIN(get_masked)
{
    struct cel_value masked = v[0];
    unsigned bits = prefix(&v[0]);

    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = bits > 8 * i ? bits - 8 * i : 0;

        if (kept < 8)
            masked.address[i] &= (unsigned char)(0xff00u >> kept);
    }
    return masked;
}

BUILTIN(get_prefix)
{
    return cel_int(prefix(&v[0]));
}

static const struct builtin rows[] = {
    { "ip", false, true, CEL_IP, 1, { CEL_STRING }, ip_of_string, NULL, false },
    { "ip", false, true, CEL_IP, 1, { CEL_IP }, same, NULL, false },
    { "ip", true, false, CEL_IP, 1, { CEL_CIDR }, get_ip, NULL, false },
    { "cidr", false, true, CEL_CIDR, 1, { CEL_STRING }, cidr_of_string, NULL, false },
    { "cidr", false, true, CEL_CIDR, 1, { CEL_CIDR }, same, NULL, false },
    { "isIP", false, true, CEL_BOOL, 1, { CEL_STRING }, is_ip, NULL, false },
    { "isCIDR", false, true, CEL_BOOL, 1, { CEL_STRING }, is_cidr, NULL, false },
    { "ip.isCanonical", false, true, CEL_BOOL, 1, { CEL_STRING }, is_canonical, NULL, false },
    { "family", true, false, CEL_INT, 1, { CEL_IP }, get_family, NULL, false },
    { "isUnspecified", true, false, CEL_BOOL, 1, { CEL_IP }, is_unspecified, NULL, false },
    { "isLoopback", true, false, CEL_BOOL, 1, { CEL_IP }, is_loopback, NULL, false },
    { "isGlobalUnicast", true, false, CEL_BOOL, 1, { CEL_IP }, is_global_unicast, NULL, false },
    { "isLinkLocalMulticast", true, false, CEL_BOOL, 1, { CEL_IP }, is_link_local_multicast, NULL, false },
    { "isLinkLocalUnicast", true, false, CEL_BOOL, 1, { CEL_IP }, is_link_local_unicast, NULL, false },
    { "containsIP", true, false, CEL_BOOL, 2, { CEL_CIDR, CEL_IP }, contains_net, NULL, false },
    { "containsIP", true, false, CEL_BOOL, 2, { CEL_CIDR, CEL_STRING }, contains_ip_text, NULL, false },
    { "containsCIDR", true, false, CEL_BOOL, 2, { CEL_CIDR, CEL_CIDR }, contains_net, NULL, false },
    { "containsCIDR", true, false, CEL_BOOL, 2, { CEL_CIDR, CEL_STRING }, contains_cidr_text, NULL, false },
    { "masked", true, false, CEL_CIDR, 1, { CEL_CIDR }, get_masked, NULL, false },
    { "prefixLength", true, false, CEL_INT, 1, { CEL_CIDR }, get_prefix, NULL, false },
};

const struct builtin_table net_builtins = { rows, ARRAY_LEN(rows) };
