/* SPDX-License-Identifier: Apache-2.0
 * conformance.h - runs the tests of a SimpleTestFile (github.com/google/cel-spec,
 * proto/cel/expr/conformance/test/simple.proto) in text format against the cel kernel. */
#ifndef ASSAY_CLI_CONFORMANCE_H
#define ASSAY_CLI_CONFORMANCE_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "cel/cel.h"

enum conformance_outcome {
    CONFORMANCE_PASSED,
    CONFORMANCE_FAILED,
    CONFORMANCE_SKIPPED,
    CONFORMANCE_OUTCOMES
};

struct conformance_test {
    struct slice section, name, expr;
    enum conformance_outcome outcome;
    struct slice detail; /* what differed, or why it was skipped */
};

/* Called for each test in order; what it is given lives for the call. */
typedef void (*conformance_each)(void *context, const struct conformance_test *test);

/* A test that expects an error passes when its expression is refused by the checker too, as the expectations of
 * the suite have it. Skipped is what needs protocol buffer messages or enums, or partial inputs.
 *   zone  for timestamps; may be NULL
 *   ERR_SYNTAX, ERR_TOO_LARGE  the text is no such file */
MUST_USE enum err conformance_run(struct slice text, cel_zone zone, void *zone_context, conformance_each each,
                                  void *context, struct why *why);

#endif
