/* SPDX-License-Identifier: Apache-2.0
 * record.h - all that was sent, and what was answered: what the database is compared with in the end.
 *
 * Things come from a stream of `assay simulate` in its order, and some are made harder on the way: pairs of
 * equal bodies (twins) and of different ones (rivals) that are sent at the same moment, labels that go ahead
 * of their transaction. */
#ifndef ASSAY_CHAOS_RECORD_H
#define ASSAY_CHAOS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"

enum item_kind { ITEM_TRANSACTION, ITEM_LABEL };

/* What one 200 said. */
struct answer {
    char action[12], model[32], ruleset[32];
    bool has_score, is_degraded;
    double score;
    int64_t entry; /* its place in the log; 0 while it has none, as after a decision without features */
};

/* One thing of the stream: a transaction (with, for a pair, a second body) or a label. */
struct item {
    enum item_kind kind;
    char *id;
    char *body;   /* NULL once nothing will be sent any more */
    char *rival;  /* another body under the same id, or NULL */
    bool is_twin; /* the same body is sent twice at once */
    bool body_accepted, rival_accepted;
    bool has_answer;
    struct answer answer; /* of a transaction */
    char *said;           /* all of it but `entry`, as long as another may come: it must be the same */
    bool is_fraud;        /* of a label, with its source */
    int source;
    int unfinished; /* requests that have no final answer yet */
};

struct record {
    FILE *stream;
    char *line;
    size_t line_room;
    struct item **items;
    size_t count, cap, transactions, labels;
    struct item *held; /* what comes after an early label */
    size_t violations;
};

/* Ends the program when the file is not there. */
void record_open(struct record *r, const char *path);
void record_close(struct record *r);

/* The next thing to send, kept by the record; NULL at the end of the stream. */
struct item *record_next(struct record *r);
/* Nothing of it will be sent again. */
void item_is_done(struct item *item);

/* *said is all that it says but the place in the log, the caller's. */
struct answer answer_read(struct slice body, char **said);

/* Counts it, and prints the first ones. */
void violated(struct record *r, const char *rule, const char *detail);

#endif
