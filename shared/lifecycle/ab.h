/* SPDX-License-Identifier: Apache-2.0
 * ab.h - champion and candidate, each deciding for its share of the customers: the test on net loss.
 *
 * Days are cohorts: a day's transactions count once all of them are matured, in both arms alike, so that no
 * arm is ahead by the labels that come early. The figure is the net loss per transaction (evidence.h), with
 * the good revenue that was turned away; its variance is that of sums over customers (a ratio estimate,
 * linearised: Cochran 1977, 6.4), since one compromised customer is many frauds. One variance serves both arms
 * (stats/clustered.h): by its own a small arm that happens to lack a large loss looks both cheap and sure.
 *
 * The test is group-sequential (stats/sequential.h): a look a day, the error spent by the share of the planned
 * transactions that are in. Two bounds, each at `alpha`: the candidate is shown to be not worse than the margin
 * (passed), or to be worse than the champion (failed). With margin 0 "passed" means better. Neither at the end
 * of the plan is inconclusive, and a person decides.
 *
 * Declines have no labels, so what declining cost can only be seen in the control slice: a decline counts
 * 1 / p_allow when the slice let it through, else nothing. By rule, without such rows in both arms the verdict
 * is inconclusive however the figures look. An end without a verdict says how long it would have taken. */
#ifndef ASSAY_LIFECYCLE_AB_H
#define ASSAY_LIFECYCLE_AB_H

#include "lifecycle/arm.h"
#include "lifecycle/evidence.h"

struct ab_design {
    double share;         /* of customers, to the candidate */
    double alpha;         /* one-sided, of each bound: 0.05 is the chance of a false promotion */
    double margin;        /* in shares of the champion's net loss: how much worse is still "not worse" */
    int64_t planned_rows; /* matured, in both arms together, at the last look */
    int64_t days_most;    /* of cohorts; then it ends whatever the rows are */
    size_t control_least; /* labelled declines in each arm before anything is said about loss */
    /* Effective customers (clustered.h) that the smaller arm is to expect, for the normal approximation: its share of
     * those of both arms. */
    double effective_least;
    struct loss_costs costs;
};
extern const struct ab_design AB_DESIGN_DEFAULT;
/* Plans for so many days of as many rows, and for as many days more where fewer rows come: planned_rows, days_most. */
void ab_plan(struct ab_design *design, double rows_a_day, double days);
/* What an experiment is to find: a loss that is lower by this share, with this chance. */
#define AB_EFFECT 0.1
#define AB_POWER  0.8

/* One transaction of a matured day. Only what a model decided: what a list or a rule decided says nothing
 * about the arms and is left out. */
struct ab_row {
    int64_t at_us, amount_minor;
    int64_t customer;
    enum arm arm;
    enum action action; /* by score, whatever the control slice then did */
    double p_label;     /* as in evidence.h */
    bool is_fraud;
};

/* The sums of both arms, customer by customer. */
struct ab;
struct ab *ab_new(const struct ab_design *design);
void ab_free(struct ab *ab);
/* Days in rising order, each of them whole: a look comes after the last row of a day. */
void ab_add(struct ab *ab, const struct ab_row *row);

struct ab_arm_figures {
    uint64_t rows, customers, frauds, declined, control; /* control: declines with a label */
    double loss;                                         /* net, minor units per transaction */
    double fraud_loss, turned_away;                      /* its parts, per transaction */
};

/* What a look found. */
struct ab_look {
    int64_t at_us;
    double information; /* 0..1, of what was planned */
    double difference;  /* champion's loss less candidate's, minor units: above 0 the candidate is cheaper */
    double error;       /* its standard error */
    double margin;      /* in minor units per transaction */
    double z_pass, z_fail; /* of "not worse than the margin" and of "worse" */
    double bound;          /* that both are held against; NaN: nothing was looked at, or spent */
    enum outcome outcome;  /* inconclusive: go on, or wait for a person when is_last */
    bool is_last;
    double days; /* of cohorts so far */
    /* Of an inconclusive end: how many days like these it takes until enough declines have a label, enough customers a
     * loss, and AB_EFFECT is found with AB_POWER. INFINITY: never; NaN: of any other look. */
    double days_needed;
    struct ab_arm_figures arms[ARM_COUNT];
};

/* Looks once more; days since the last look are in. Looks made before a restart are told by ab_restore(), so
 * that the error they spent stays spent. Adds a verdict "net_loss" of stage "ab". */
struct ab_look ab_take_look(struct ab *ab, int64_t at_us, struct verdicts *out);

/* The looks so far as JSON for `experiments.progress`, and back.
 *   ERR_SYNTAX, ERR_INVALID  not what ab_progress() wrote */
void ab_progress(const struct ab *ab, struct buf *json);
MUST_USE enum err ab_restore(struct ab *ab, struct slice json, struct why *why);

/* How many transactions a difference of `effect` (a share of the champion's net loss per transaction) needs
 * in both arms together, with the design's alpha, margin and share and that power; from the champion's rows of
 * the past (arm and labels as they are). 0 when they say nothing. */
int64_t ab_rows_needed(const struct ab_design *design, const struct ab_row *past, size_t count, double effect,
                       double power);

#endif
