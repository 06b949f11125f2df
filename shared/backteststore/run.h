/* SPDX-License-Identifier: Apache-2.0
 * run.h - a backtest from question to figures: history, labels, lists and rule sets out of PostgreSQL, and the kernel
 * (backtest/backtest.h) over them in threads.
 *
 * What rules said is kept beside the chunks by their conditions, so that of a changed set only what changed is evaluated.
 * Conditions that ask lists, and what is in memory only, are evaluated each time.
 *
 * Blocks; for a thread of its own or the command line. */
#ifndef ASSAY_BACKTESTSTORE_RUN_H
#define ASSAY_BACKTESTSTORE_RUN_H

#include "backtest/report.h"
#include "backteststore/archive.h"

struct pg_session;

enum { BACKTEST_THREADS_MAX = 16, BACKTEST_RULES_KEPT = 1024 };
#define BACKTEST_LABEL_DELAY_US (7 * DAY_US) /* as training has it (training/trainer.h) */

enum backtest_against { AGAINST_LIVE, AGAINST_DECIDED, AGAINST_VERSION };

struct backtest_question {
    /* What is asked about: a document, else a version, else the sets as they were. */
    struct slice document;      /* JSON; borrowed */
    int64_t document_account;   /* whose set it is; 0: of all accounts */
    struct slice document_name; /* in the report; empty: "draft" */
    int64_t version;
    bool as_it_was;

    enum backtest_against against;
    int64_t against_version;
    int64_t model; /* a bundle whose scores and thresholds stand in the place of those that were; 0: none */
    int64_t from_us, to_us; /* of known_at */
    int64_t account;        /* 0: all */
    int64_t label_delay_us;
    size_t examples_most, matches_most; /* as struct backtest_options has them */
    struct slice matches_of;
    uint64_t rows_most; /* of more decisions than this a sample is looked at; 0: all are */
    bool keeps;         /* what rules say of what is on disk is kept for the next question */
    size_t threads;     /* 0: as many as there are processors */
    struct archive_options history;
};

/* What questions are asked of: the history, the labels and the lists, as they were when it was opened. For one thread
 * at a time. */
struct backtest_ground;
struct backtest_answer;

/*   ERR_TIMEOUT  the hook said stop
 * and those of archive_open(). */
MUST_USE enum err backtest_ground_open(struct backtest_ground **out, struct pg_session *s,
                                       const struct archive_options *history, struct why *why);
void backtest_ground_close(struct backtest_ground *g);
/* When the newest decision was known; now when there is none. */
int64_t backtest_ground_newest(const struct backtest_ground *g);

/* As backtest_ask(), of a ground that outlives the answer; one answer at a time.  `question->history` is for its hook alone. */
MUST_USE enum err backtest_ask_of(struct backtest_answer **out, struct pg_session *s,
                                  struct backtest_ground *ground, const struct backtest_question *question,
                                  struct why *why);

/*   ERR_INVALID    the document, a rule set or the span is wrong
 *   ERR_NOT_FOUND  no such version, model or list; a feature that nobody served
 *   ERR_TIMEOUT    the hook said stop
 * and those of archive_open(). */
MUST_USE enum err backtest_ask(struct backtest_answer **out, struct pg_session *s,
                               const struct backtest_question *question, struct why *why);
void backtest_answer_free(struct backtest_answer *a);

const struct backtest_result *backtest_answer_result(const struct backtest_answer *a);
const struct backtest_options *backtest_answer_options(const struct backtest_answer *a);
struct archive_counts backtest_answer_history(const struct backtest_answer *a);
/* "draft", "version 12", "as it was"; "live (version 11)", "as decided". */
struct slice backtest_answer_asked(const struct backtest_answer *a);
struct slice backtest_answer_compared(const struct backtest_answer *a);
/* Features of the set asked about that some decisions were served without: they count as missing there. Velocities
 * are told as rules write them: count(card, "10m"). */
size_t backtest_answer_absent(const struct backtest_answer *a, const struct slice **names);
/* How long it took: to bring the history up to date, and the rest. */
void backtest_answer_times(const struct backtest_answer *a, int64_t *history_us, int64_t *run_us);
/* {"history": {"kept", "built", "tail", "unreadable", "bytes", "seconds"}, "run_seconds", "absent_features": [name],
 *  "report": as backtest/report.h has it} */
void backtest_answer_write(struct json_out *o, const char *key, const struct backtest_answer *a);

#endif
