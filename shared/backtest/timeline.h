/* SPDX-License-Identifier: Apache-2.0
 * timeline.h - lists as they were: every change of their entries, in the order of time.
 *
 * What changed is shared by all who read it; each reader has lists of its own, which it moves forward, never back. */
#ifndef ASSAY_BACKTEST_TIMELINE_H
#define ASSAY_BACKTEST_TIMELINE_H

#include "policy/list.h"
#include "policy/policy.h"

struct timeline;

struct timeline *timeline_new(void);
void timeline_free(struct timeline *t);

/* A list, empty at first and always there; returns its number. */
size_t timeline_add_list(struct timeline *t, enum list_type type, uint32_t account, struct slice name,
                         enum list_purpose purpose, enum txn_text field);
/* It is there from `from_us` on until before `to_us` only. A rule that asks for it at another time errs, as it did then.
 * Before the first reader. */
void timeline_list_lives(struct timeline *t, size_t list, int64_t from_us, int64_t to_us);
/* The texts of a transaction that some list acts on at some time: those are set. */
void timeline_texts(const struct timeline *t, bool texts[TXN_TEXT_COUNT]);
/* From `at_us` on the value is in the list, or is not. Changes of one time come in the order in which they are added.
 *   ERR_INVALID  it is no value of the list's type */
MUST_USE enum err timeline_change(struct timeline *t, size_t list, int64_t at_us, struct slice value,
                                  bool is_there, int64_t expires_at_us, struct why *why);
/* After the last change and before the first reader. */
void timeline_seal(struct timeline *t);

/* A list that a rule set declares and that nobody may have made: empty, and there whenever neither the account nor all
 * accounts have one of that name, as if the set had been published then. Between readers. */
void timeline_declare(struct timeline *t, enum list_type type, uint32_t account, struct slice name,
                      enum list_purpose purpose, enum txn_text field);
/* Lets go of all that were declared: the next question has others. When none reads. */
void timeline_undeclare(struct timeline *t);

/* Lists as they were before the first change. The timeline must outlive it. */
struct timeline_reader;
struct timeline_reader *timeline_read(const struct timeline *t);
void timeline_reader_free(struct timeline_reader *r);
/* Gives the policy, in the place of those that it has, the lists that are there where the reader stands. Their entries
 * change as it moves. */
void timeline_give(const struct timeline_reader *r, struct policy *policy);
/* Takes in what changed until `at_us`, including it. True when lists came or went: they are to be given again. */
bool timeline_move(struct timeline_reader *r, int64_t at_us);

#endif
