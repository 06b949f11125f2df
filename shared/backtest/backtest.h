/* SPDX-License-Identifier: Apache-2.0
 * backtest.h - what a policy would have done with the decisions of the past: chunks in, figures out.
 *
 * Each decision goes once more through the policy kernel that decides online (policy/trial.h), with the vector that was
 * served, its score and thresholds, the lists as they were when it was decided, and entries that expire by the
 * transaction's known_at. Two policies are held beside each other: the one asked about and the one it is compared with.
 *
 * What became of a payment, for rates:
 *   fraud    the label that holds says so
 *   good     the label says so, or there is none and the payment was not declined when it was made
 *   unknown  there is no label and it was declined: nobody will ever know
 * Only days whose labels are mature count in rates: those that had ended `label_delay_us` before `as_of_us`.
 *
 * Work is split between threads by handing each a run of chunks in their order; a worker belongs to one thread, and the
 * finished ones are added up. No I/O, no clock. */
#ifndef ASSAY_BACKTEST_BACKTEST_H
#define ASSAY_BACKTEST_BACKTEST_H

#include "backtest/chunk.h"
#include "backtest/labels.h"
#include "backtest/timeline.h"
#include "policy/trial.h"

enum {
    BACKTEST_DAYS_MAX = 36600,
    BACKTEST_OVERLAP_MAX = 200,
    BACKTEST_EXAMPLES_MAX = 1000,
    BACKTEST_MATCHES_MAX = 100
};

/* Which rule set is asked for a decision. */
enum contender_by {
    CONTENDER_DECIDED,    /* none: what was decided then */
    CONTENDER_BY_ACCOUNT, /* that of its account, else that of account 0, else one without rules */
    CONTENDER_BY_VERSION, /* the one by which it was made; where that is not there: what was decided */
};

struct contender {
    enum contender_by by;
    const struct ruleset *sets; /* with account and version */
    size_t count;
};

/* What stands in the place of what was served, for the policy asked about; of one chunk. */
struct backtest_overlay {
    const struct chunk_feature *features; /* [feature_count]: by name, whatever the chunk has */
    const float *const *values;           /* [feature_count][rows] */
    size_t feature_count;
    const double *scores; /* [rows], NaN: none; NULL: those that were */
    struct policy_thresholds thresholds;
};

/* What rules said of a chunk, kept by who likes to: two bits a row (enum trial_outcome), four rows a byte from the low
 * bits on. `key` stands for the condition, for all that is not in the chunk, and for the sample: rows outside
 * of it are quiet in what is kept. */
struct backtest_memory {
    const uint8_t *(*recall)(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES]);
    /* NULL: nothing is kept */
    void (*keep)(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES],
                 const uint8_t *bits, size_t bytes);
    void *context;
};

struct backtest_options {
    struct contender asked, compared;
    const struct timeline *timeline;
    const struct labels *labels;
    int64_t from_us, to_us; /* of known_at, [from, to) */
    uint32_t account;       /* 0: all */
    int64_t as_of_us, label_delay_us;
    size_t examples_most;    /* of each change of action, at most BACKTEST_EXAMPLES_MAX */
    size_t matches_most;     /* of each rule and outcome, at most BACKTEST_MATCHES_MAX */
    struct slice matches_of; /* the id of the rule whose matches are kept; empty: all rules */
    uint32_t one_in; /* so many decisions are looked at one of, by the hash of their ids; 0 and 1: all are */
    struct slice scored_by; /* names the model of overlay.scores, for the memory; empty: those that were */
};

/* Counts, and money in minor units of the base currency. */
struct backtest_cell {
    uint64_t count, fraud, good, unknown;
    int64_t money, fraud_money, good_money;
};

/* What became of a payment, as far as it can be known now. */
enum backtest_outcome { OUTCOME_FRAUD, OUTCOME_GOOD, OUTCOME_UNKNOWN, OUTCOME_COUNT };

struct backtest_example {
    char id[TXN_ID_MAX + 1];
    uint32_t account;
    int64_t known_at_us, amount_base_minor;
    enum label_state label;
    enum backtest_outcome outcome;
    enum action from, to; /* compared, asked */
    size_t rule;          /* that decided as asked; SIZE_MAX: none */
    char degraded[64];    /* cut to fit */
    char ruleset[32];     /* by which it was made */
};

/* The newest of them: `at[(total - 1) % room]` is the last. */
struct backtest_matches {
    struct backtest_example *at; /* [room] */
    size_t room;
    uint64_t total; /* that there were */
};

struct backtest_rule {
    const struct policy_rule *rule;
    bool acts;
    uint64_t hits;               /* on all days */
    uint64_t decides, errs;      /* on all days */
    struct backtest_cell mature; /* its hits on mature days */
    struct backtest_cell alone;  /* those among them that no other acting rule hit */
    uint32_t *by_day;            /* hits, [days] */
    struct backtest_matches matches[OUTCOME_COUNT];
};

struct backtest_day {
    uint64_t count;
    bool is_mature;
    struct backtest_cell asked[ACTION_COUNT], compared[ACTION_COUNT];
};

struct backtest_result {
    int64_t first_day; /* since 1970-01-01 */
    size_t days;
    struct backtest_day *day;
    struct backtest_rule *rules;
    size_t rule_count;
    uint32_t *overlap; /* [rules][rules] of hits together, on all days; NULL: too many rules */
    uint64_t rows;
    uint64_t unversioned; /* made by a rule set that is not there: taken as they were decided */
    struct backtest_cell change[ACTION_COUNT]
                               [ACTION_COUNT]; /* [compared][asked], on all days; labels of mature ones */
    /* Good payments first, then those of most money, then the earliest. */
    struct backtest_example *examples[ACTION_COUNT][ACTION_COUNT];
    size_t example_count[ACTION_COUNT][ACTION_COUNT];
    size_t newly_known, newly_evaluated; /* rules over chunks: taken from the memory, evaluated */
};

struct backtest_worker;

/* `first_day` and `days` cover the span. `memory` may be NULL.
 *   ERR_INVALID  a rule set cannot be compiled, or more days than BACKTEST_DAYS_MAX */
MUST_USE enum err backtest_worker_new(struct backtest_worker **out, const struct backtest_options *options,
                                      int64_t first_day, size_t days, const struct backtest_memory *memory,
                                      struct why *why);
void backtest_worker_free(struct backtest_worker *w);

/* Takes a chunk; they come in the order of time. `overlay` may be NULL.
 *   ERR_INVALID  the chunk is damaged */
MUST_USE enum err backtest_worker_take(struct backtest_worker *w, struct chunk *c,
                                       const struct backtest_overlay *overlay, struct why *why);

/* The features and velocities that the rules asked about read, by their names in plans; the worker's. */
size_t backtest_worker_features(const struct backtest_worker *w, const struct slice **names);
/* The one at `place` as rules write it. */
struct slice backtest_worker_feature_text(const struct backtest_worker *w, size_t place);
/* Whether the chunk has it: a velocity may go by another name there. */
bool backtest_worker_finds(const struct backtest_worker *w, size_t place, const struct chunk *c);
/* The rows of a chunk that are asked about. */
size_t backtest_worker_rows(const struct backtest_worker *w, const struct chunk *c);

/* Adds `other`'s figures to `w`'s, whose chunks came before. */
void backtest_worker_add(struct backtest_worker *w, const struct backtest_worker *other);
const struct backtest_result *backtest_worker_result(const struct backtest_worker *w);

#endif
