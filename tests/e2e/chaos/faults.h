/* SPDX-License-Identifier: Apache-2.0
 * faults.h - what can go wrong: a table of kinds and of what they strike, and a deck of all pairs that is
 * shuffled by the seed, so that every one comes before any comes twice. */
#ifndef ASSAY_CHAOS_FAULTS_H
#define ASSAY_CHAOS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chance.h"
#include "nodes.h"
#include "relay.h"

enum fault_kind { FAULT_KILL, FAULT_STOP, FAULT_RESET, FAULT_REFUSE, FAULT_SILENCE, FAULT_KINDS };

/* Lines of the relay, in the order they are made. */
enum line_name { LINE_FEATURES, LINE_STANDBY, LINE_SCORING, LINE_RULES, LINE_POSTGRES, LINE_COUNT };

enum { DECK_MAX = 128 };

struct fault_card {
    size_t victim;
    enum fault_kind kind;
};

/* A fault that was drawn. */
struct fault {
    struct fault_card card;
    char name[96]; /* "stop: the active features" */
    int64_t lasts_us;
    bool is_active; /* it strikes now, and must be healed */
    pid_t pids[TREE_MAX];
    size_t pid_count;
    enum line_name line;
    struct loop_timer heal; /* its owner's, who is called back with the fault */
    void *owner;
};

struct deck {
    struct chance chance;
    struct fault_card cards[DECK_MAX];
    size_t count, next;
};

/* With `only`, just the faults whose name has that in it. Ends the program when there is none. */
void deck_init(struct deck *d, uint64_t seed, const char *only);
/* Draws the next card and for how long it lasts; `f` starts anew. */
void deck_draw(struct deck *d, struct fault *f);
size_t deck_size(const struct deck *d);

/* False when there is nobody to strike now, or another fault has it already. */
bool fault_strike(struct fault *f, struct nodes *nodes, struct relay *relay, const struct fault *others,
                  size_t other_count);
/* The end of it; a kill ends by itself. */
void fault_heal(struct fault *f, struct relay *relay);

/* Whether it was the end of the active features: what a standby is for. */
bool fault_kills_the_active(const struct fault_card *card);
void fault_name(const struct fault_card *card, char name[96]);

#endif
