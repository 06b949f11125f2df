/* SPDX-License-Identifier: Apache-2.0
 * silence.h - what is not to be told for a while: matchers over labels, and a time.
 *
 * A silence keeps alerts from being told that they fire; they are stored and shown all the same. Of an alert that
 * was told before, the end is told in spite of it: who opened a ticket can close it. */
#ifndef ASSAY_ALERTS_SILENCE_H
#define ASSAY_ALERTS_SILENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alerts/alert.h"
#include "base/err.h"
#include "base/slice.h"

enum { SILENCE_MATCHERS_MAX = 16 };
#define SILENCE_LONGEST_US (365 * INT64_C(86400000000))

/* A label that is not there has the empty value. "severity" is one here as well. */
struct silence_matcher {
    struct slice name, value; /* borrowed */
    bool is_equal;            /* = or != */
};

struct silence {
    int64_t id;
    struct silence_matcher matchers[SILENCE_MATCHERS_MAX]; /* all of them must match */
    size_t count;
    int64_t starts_us, ends_us; /* from the first on, until before the second */
    struct slice author, comment;
};

/* Reads `name=value` or `name!=value`; value may be in double quotes. Points into `text`.
 *   ERR_SYNTAX  it is neither   ERR_INVALID  as for a label (alert.h) */
MUST_USE enum err silence_matcher_parse(struct silence_matcher *out, struct slice text, struct why *why);
/* Adds one more matcher.   ERR_INVALID  there are SILENCE_MATCHERS_MAX */
MUST_USE enum err silence_add(struct silence *s, struct silence_matcher matcher, struct why *why);

/* What makes sense of itself: it ends after it starts, within a year, has a comment and an author, and one of its
 * matchers asks for a value, so that nobody silences everything by mistake.   ERR_INVALID */
MUST_USE enum err silence_check(const struct silence *s, struct why *why);

bool silence_matches(const struct silence *s, const struct alert *a);
bool silence_is_on(const struct silence *s, int64_t now_us);

/* [{"name","value","is_equal"}], and back: texts become the arena's.   ERR_INVALID */
void silence_matchers_write(struct json_out *o, const char *key, const struct silence *s);
MUST_USE enum err silence_matchers_read(struct silence *s, const json_t *list, struct arena *arena,
                                        struct why *why);

#endif
