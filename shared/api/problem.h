/* SPDX-License-Identifier: Apache-2.0
 * problem.h - what is wrong with a request, all of it at once, as application/problem+json (RFC 9457).
 *
 * Details are for people and may change; programs go by status, type and pointer. No detail ever repeats a
 * value that was sent: it may be a card number, and problems are logged by those who receive them. */
#ifndef ASSAY_API_PROBLEM_H
#define ASSAY_API_PROBLEM_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "json/json.h"
#include "json/json_out.h"

#define PROBLEM_MEDIA_TYPE "application/problem+json"

enum {
    FAULTS_MAX = 100,         /* told of one object */
    FAULTS_BATCH_MAX = 10000, /* told of all in a list, shared equally */
};

struct fault {
    struct slice detail;  /* a sentence */
    struct slice pointer; /* "#/amount" */
};

/* The faults of one request, or of one item of a batch. Zero but for the arena, which holds all of it. After
 * `most` they are only counted. */
struct faults {
    struct arena *arena;
    struct fault *items;
    size_t count, cap;
    size_t untold;
    size_t most; /* 0: FAULTS_MAX */
};

/* What one of so many items may tell: a batch of faults must not take its answer's time from other requests.
 */
size_t faults_most(size_t items);
/* One more would only be counted. */
bool faults_are_many(const struct faults *f);

void faults_add(struct faults *f, const struct json_path *at, const char *format, ...) PRINTF_LIKE(3, 4);

struct problem {
    int status;          /* the HTTP status */
    const char *type;    /* absolute URI, or NULL for "about:blank" */
    const char *title;   /* NULL: the status in words */
    struct slice detail; /* this occurrence; may be empty */
    const struct faults *faults;
};

/* The status code in words: "Not Found". */
const char *problem_title(int status);
/* The problem as one JSON object, at the place where `o` stands. */
void problem_write(struct json_out *o, const char *key, const struct problem *p);

#endif
