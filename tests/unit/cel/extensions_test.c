/* SPDX-License-Identifier: Apache-2.0
 * extensions_test.c - the string, math, encoder and network extensions. */
#include <criterion/criterion.h>

#include "said.h"

Test(cel_extensions, counts_places_in_texts_by_code_points)
{
    SAID({ "'grüße'.charAt(2)", "\"ü\"" }, { "'grüße'.charAt(5)", "\"\"" },
         { "'a'.charAt(2)", "error: out of range" }, { "'grüße'.indexOf('ß')", "3" },
         { "'grüße'.indexOf('x')", "-1" }, { "'abab'.indexOf('ab', 1)", "2" },
         { "'abab'.lastIndexOf('ab')", "2" }, { "'abab'.lastIndexOf('ab', 1)", "0" },
         { "''.lastIndexOf('')", "0" }, { "'grüße'.substring(2)", "\"üße\"" },
         { "'grüße'.substring(2, 4)", "\"üß\"" }, { "'a'.substring(1, 0)", "error: out of range" },
         { "'grüße'.reverse()", "\"eßürg\"" });
}

Test(cel_extensions, makes_texts_of_texts)
{
    SAID({ "'a-b-c'.split('-')", "[\"a\", \"b\", \"c\"]" }, { "'a-b-c'.split('-', 2)", "[\"a\", \"b-c\"]" },
         { "'äb'.split('')", "[\"ä\", \"b\"]" }, { "''.split('-')", "[\"\"]" }, { "'a'.split('-', 0)", "[]" },
         { "['a', 'b'].join(', ')", "\"a, b\"" }, { "[].join('-')", "\"\"" },
         { "'aaa'.replace('a', 'bb')", "\"bbbbbb\"" }, { "'aaa'.replace('a', 'b', 2)", "\"bba\"" },
         { "'ab'.replace('', '-')", "\"-a-b-\"" }, { "'ab'.replace('', '-', 1)", "\"-ab\"" },
         { "'ÄaB'.lowerAscii()", "\"Äab\"" }, { "'äaB'.upperAscii()", "\"äAB\"" },
         { "'\\u00a0 a b \\t'.trim()", "\"a b\"" }, { "strings.quote('a\"b\\n')", "\"\"a\\\"b\\n\"\"" });
}

Test(cel_extensions, formats_texts)
{
    SAID({ "'%s: %d%%'.format(['a', 5])", "\"a: 5%\"" },
         { "'%.2f|%e'.format([1.005, 1500])", "\"1.00|1.500000e+03\"" },
         { "'%x %X %o %b'.format([255, 255u, 8, true])", "\"ff FF 10 1\"" },
         { "'%x'.format(['az'])", "\"617a\"" },
         { "'%s'.format([[1, 'a', {'k': null}]])", "\"[1, a, {k: null}]\"" },
         { "'%s'.format([{'b': 1, 'a': 2}])", "\"{a: 2, b: 1}\"" }, { "'%b'.format([-5])", "\"-101\"" },
         { "'%s %s'.format(['a'])", "error: out of range" },
         { "'%q'.format([1])", "error: invalid argument" },
         { "'%d'.format(['a'])", "error: invalid argument" }, { "'%'.format([])", "error: invalid argument" },
         { "'%.1001f'.format([1.0])", "error: invalid argument" },
         { "'%s'.format([duration('90s')])", "\"90s\"" });
}

Test(cel_extensions, computes_with_bits_and_extremes)
{
    SAID({ "math.bitAnd(12, 10)", "8" }, { "math.bitOr(12u, 10u)", "14" }, { "math.bitXor(12, 10)", "6" },
         { "math.bitNot(0)", "-1" }, { "math.bitShiftLeft(1, 63)", "-9223372036854775808" },
         { "math.bitShiftLeft(1, 64)", "0" }, { "math.bitShiftRight(-1, 60)", "15" },
         { "math.bitShiftLeft(1, -1)", "error: invalid argument" }, { "math.greatest(1, 2.5, 3u)", "3" },
         { "math.least([3, 1.5])", "1.5" }, { "math.greatest(dyn('a'), 1)", "error: no such overload" },
         { "math.greatest('a', 1)", "1:6: math.greatest does not take (string, int)~" },
         { "math.least([])", "error: invalid argument" }, { "math.sqrt(49)", "7" },
         { "math.sign(-2.5)", "-1" }, { "math.isNaN(math.sqrt(-1.0))", "true" });
}

/* The cases of RFC 4648, section 10. */
Test(cel_extensions, encodes_bytes)
{
    SAID({ "base64.encode(b'')", "\"\"" }, { "base64.encode(b'f')", "\"Zg==\"" },
         { "base64.encode(b'fo')", "\"Zm8=\"" }, { "base64.encode(b'foo')", "\"Zm9v\"" },
         { "base64.encode(b'foobar')", "\"Zm9vYmFy\"" }, { "base64.decode('Zm9vYg==') == b'foob'", "true" },
         { "base64.decode('Zm9vYg') == b'foob'", "true" },
         { "base64.decode('Zm9vY')", "error: cannot be converted" },
         { "base64.decode('Zm=v')", "error: cannot be converted" },
         { "base64.decode('Z m9')", "error: cannot be converted" });
}

/* The ways of writing an address are those of RFC 4291 and RFC 5952. */
Test(cel_extensions, knows_addresses_and_ranges)
{
    SAID({ "ip('10.0.0.1')", "10.0.0.1" }, { "ip('2001:DB8:0:0:1:0:0:1')", "2001:db8::1:0:0:1" },
         { "ip('0:0:0:0:0:0:0:0')", "::" }, { "ip('1::')", "1::" },
         { "ip('10.0.0.256')", "error: cannot be converted" },
         { "ip('10.0.0.01')", "error: cannot be converted" },
         { "ip('::ffff:1.2.3.4')", "error: cannot be converted" },
         { "ip('fe80::1%eth0')", "error: cannot be converted" }, { "isIP('::1')", "true" },
         { "isIP('a')", "false" }, { "ip('::ffff:a00:1') == ip('10.0.0.1')", "true" },
         { "ip('10.0.0.1').family()", "4" }, { "ip.isCanonical('2001:db8::0')", "false" },
         { "ip.isCanonical('2001:db8::')", "true" }, { "ip('127.1.2.3').isLoopback()", "true" },
         { "ip('169.254.1.1').isGlobalUnicast()", "false" },
         { "cidr('10.1.0.0/16').containsIP('10.1.255.255')", "true" },
         { "cidr('10.1.0.0/16').containsIP('10.2.0.0')", "false" },
         { "cidr('10.1.0.0/12').containsIP(ip('10.15.0.1'))", "true" },
         { "cidr('0.0.0.0/0').containsIP('1.2.3.4')", "true" },
         { "cidr('::/0').containsIP('1.2.3.4')", "false" },
         { "cidr('10.1.0.0/16').containsCIDR('10.1.2.0/24')", "true" },
         { "cidr('10.1.2.0/24').containsCIDR('10.1.0.0/16')", "false" },
         { "cidr('10.1.0.0/33')", "error: cannot be converted" },
         { "cidr('10.1.0.0/08')", "error: cannot be converted" },
         { "cidr('10.1.2.3/20').masked()", "10.1.0.0/20" },
         { "cidr('2001:db8::1/33').masked()", "2001:db8::/33" }, { "cidr('10.1.2.3/20').ip()", "10.1.2.3" },
         { "cidr('10.1.2.3/20').prefixLength()", "20" }, { "type(ip('::1')) == net.IP", "true" },
         { "string(cidr('::1/64'))", "\"::1/64\"" });
}
