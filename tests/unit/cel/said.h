/* SPDX-License-Identifier: Apache-2.0
 * said.h - what an expression without names comes to, as text, for tables of cases. */
#ifndef ASSAY_TESTS_CEL_SAID_H
#define ASSAY_TESTS_CEL_SAID_H

#include <stddef.h>

struct said {
    const char *text, *result;
};

/* The value as it is printed; what is wrong with the text when it does not compile. Valid until the next call. */
const char *said_of(const char *text);
void said_all(const struct said *cases, size_t count);

#define SAID(...)                                                                                            \
    do {                                                                                                     \
        static const struct said cases[] = { __VA_ARGS__ };                                                  \
        said_all(cases, sizeof cases / sizeof cases[0]);                                                     \
    } while (0)

#endif
