/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"

enum { PROCESS = 1 << FAULT_KILL | 1 << FAULT_STOP };
enum { LINK = 1 << FAULT_RESET | 1 << FAULT_REFUSE | 1 << FAULT_SILENCE };

static const char *const kind_names[] = {
    [FAULT_KILL] = "kill -9",   [FAULT_STOP] = "stop",       [FAULT_RESET] = "reset",
    [FAULT_REFUSE] = "cut off", [FAULT_SILENCE] = "silence",
};
static_assert(ARRAY_LEN(kind_names) == FAULT_KINDS, "every kind has a name");

enum victim_name {
    ACTIVE,
    STANDBY,
    INGESTION,
    SCORING,
    RULES,
    POSTGRES,
    BACKEND,
    CALLS_ACTIVE,
    CALLS_SCORING,
    CALLS_RULES,
    SQL_ACTIVE,
    SQL_STANDBY,
    SQL_INGESTION,
    SQL_SCORING,
    SQL_RULES,
    SQL_ALL,
    VICTIM_COUNT
};

/* `weight`: how many cards of the deck, where one would be too few to measure. */
static const struct {
    const char *name;
    unsigned kinds;
    int weight;
} victims[] = {
    [ACTIVE] = { "the active features", PROCESS, 3 },
    [STANDBY] = { "the standby features", PROCESS, 1 },
    [INGESTION] = { "an ingestion", PROCESS, 1 },
    [SCORING] = { "scoring", PROCESS, 1 },
    [RULES] = { "rules", PROCESS, 1 },
    [POSTGRES] = { "PostgreSQL", PROCESS, 1 },
    [BACKEND] = { "a session's process in PostgreSQL", PROCESS, 1 },
    [CALLS_ACTIVE] = { "calls to the active features", LINK, 1 },
    [CALLS_SCORING] = { "calls to scoring", LINK, 1 },
    [CALLS_RULES] = { "calls to rules", LINK, 1 },
    [SQL_ACTIVE] = { "PostgreSQL for the active features", LINK, 1 },
    [SQL_STANDBY] = { "PostgreSQL for the standby features", LINK, 1 },
    [SQL_INGESTION] = { "PostgreSQL for an ingestion", LINK, 1 },
    [SQL_SCORING] = { "PostgreSQL for scoring", LINK, 1 },
    [SQL_RULES] = { "PostgreSQL for rules", LINK, 1 },
    [SQL_ALL] = { "PostgreSQL for all", LINK, 1 },
};
static_assert(ARRAY_LEN(victims) == VICTIM_COUNT, "every victim has a row");

/* ---- the deck ---- */

static void shuffle(struct deck *d)
{
    for (size_t i = d->count; i > 1; i--) {
        size_t j = chance_below(&d->chance, i);
        struct fault_card card = d->cards[i - 1];

        d->cards[i - 1] = d->cards[j];
        d->cards[j] = card;
    }
    d->next = 0;
}

static void add_cards(struct deck *d, struct fault_card card, const char *only)
{
    char name[96];

    fault_name(&card, name);
    for (int n = 0; n < victims[card.victim].weight && strstr(name, only); n++)
        d->cards[d->count++] = card;
    assert(d->count <= DECK_MAX);
}

void deck_init(struct deck *d, uint64_t seed, const char *only)
{
    *d = (struct deck){ .chance = { seed } };
    for (size_t v = 0; v < VICTIM_COUNT; v++)
        for (int kind = 0; kind < FAULT_KINDS; kind++)
            if (victims[v].kinds >> kind & 1)
                add_cards(d, (struct fault_card){ v, (enum fault_kind)kind }, only);
    if (!d->count)
        die("no such fault", only);
    shuffle(d);
}

size_t deck_size(const struct deck *d)
{
    return d->count;
}

/* Most are short, one in five is longer than anybody waits for. */
static int64_t draw_duration(struct chance *c)
{
    switch (chance_below(c, 5)) {
    case 0:
    case 1:
        return chance_between(c, 50 * MS_US, 800 * MS_US);
    case 2:
    case 3:
        return chance_between(c, 800 * MS_US, 2500 * MS_US);
    default:
        return chance_between(c, 2500 * MS_US, 6000 * MS_US);
    }
}

void deck_draw(struct deck *d, struct fault *f)
{
    if (d->next == d->count)
        shuffle(d);
    f->card = d->cards[d->next++];
    f->lasts_us = draw_duration(&d->chance);
    f->is_active = false;
    fault_name(&f->card, f->name);
}

void fault_name(const struct fault_card *card, char name[96])
{
    snprintf(name, 96, "%s: %s", kind_names[card->kind], victims[card->victim].name);
}

bool fault_kills_the_active(const struct fault_card *card)
{
    return card->kind == FAULT_KILL && card->victim == ACTIVE;
}

/* ---- striking ---- */

static const struct node *node_of(struct nodes *nodes, enum victim_name victim, int64_t odd)
{
    switch (victim) {
    case ACTIVE:
    case CALLS_ACTIVE:
    case SQL_ACTIVE:
        return nodes_with_role(nodes, ROLE_ACTIVE);
    case STANDBY:
    case SQL_STANDBY:
        return nodes_with_role(nodes, ROLE_STANDBY);
    case INGESTION:
    case SQL_INGESTION:
        return nodes_find(nodes, odd & 1 ? "ingestion" : "ingestion-2");
    case SCORING:
    case CALLS_SCORING:
    case SQL_SCORING:
        return nodes_find(nodes, "scoring");
    case RULES:
    case CALLS_RULES:
    case SQL_RULES:
        return nodes_find(nodes, "rules");
    default:
        return NULL;
    }
}

/* The processes, or the one process on a line, that the fault is about; a pid of 0 is everybody. */
static void find_pids(struct fault *f, struct nodes *nodes)
{
    const struct node *node = node_of(nodes, (enum victim_name)f->card.victim, f->lasts_us);
    pid_t postmaster = cluster_pid(nodes->postgres), tree[TREE_MAX];

    f->pid_count = 0;
    switch (f->card.victim) {
    case POSTGRES:
        if (postmaster)
            f->pid_count = f->card.kind == FAULT_KILL ? 1 : process_tree(postmaster, f->pids);
        f->pids[0] = postmaster;
        break;
    case BACKEND: /* the newest of its children: a session rather than what is always there */
        if (postmaster) {
            size_t count = process_tree(postmaster, tree);

            f->pids[f->pid_count++] = tree[count - 1 - (size_t)f->lasts_us % (count > 6 ? count - 6 : 1)];
        }
        break;
    case SQL_ALL:
        f->pids[f->pid_count++] = 0;
        break;
    default:
        if (node && node->pid)
            f->pids[f->pid_count++] = node->pid;
        break;
    }
}

static enum line_name line_of(const struct fault *f, struct nodes *nodes)
{
    const struct node *active;

    switch (f->card.victim) {
    case CALLS_ACTIVE:
        active = nodes_with_role(nodes, ROLE_ACTIVE);
        return active && strcmp(active->name, "features") != 0 ? LINE_STANDBY : LINE_FEATURES;
    case CALLS_SCORING:
        return LINE_SCORING;
    case CALLS_RULES:
        return LINE_RULES;
    default:
        return LINE_POSTGRES;
    }
}

/* On the lines of calls everybody is cut off; on PostgreSQL's, one process. */
static pid_t cut_pid(const struct fault *f)
{
    return f->line == LINE_POSTGRES ? f->pids[0] : 0;
}

static bool is_same_place(const struct fault *a, const struct fault *b)
{
    bool a_links = a->card.kind >= FAULT_RESET, b_links = b->card.kind >= FAULT_RESET;

    if (a_links != b_links)
        return false;
    return a_links ? a->line == b->line && cut_pid(a) == cut_pid(b) : a->pids[0] == b->pids[0];
}

bool fault_strike(struct fault *f, struct nodes *nodes, struct relay *relay, const struct fault *others,
                  size_t other_count)
{
    static const enum cut cuts[FAULT_KINDS] = {
        [FAULT_RESET] = CUT_RESET, [FAULT_REFUSE] = CUT_REFUSED, [FAULT_SILENCE] = CUT_SILENT
    };

    nodes_read(nodes);
    find_pids(f, nodes);
    f->line = line_of(f, nodes);
    for (size_t i = 0; i < other_count; i++)
        if (&others[i] != f && others[i].is_active && f->pid_count && is_same_place(f, &others[i]))
            return false;
    if (!f->pid_count || (f->pids[0] <= 1 && f->card.kind < FAULT_RESET))
        return false;
    if (f->card.kind >= FAULT_RESET)
        relay_cut(relay, f->line, cut_pid(f), cuts[f->card.kind]);
    else
        for (size_t i = 0; i < f->pid_count; i++)
            kill(f->pids[i], f->card.kind == FAULT_KILL ? SIGKILL : SIGSTOP);
    f->is_active = f->card.kind != FAULT_KILL && f->card.kind != FAULT_RESET;
    if (!f->is_active)
        f->lasts_us = 0;
    return true;
}

void fault_heal(struct fault *f, struct relay *relay)
{
    if (!f->is_active)
        return;
    f->is_active = false;
    if (f->card.kind >= FAULT_RESET)
        relay_cut(relay, f->line, cut_pid(f), CUT_NONE);
    else
        for (size_t i = f->pid_count; i > 0; i--)
            kill(f->pids[i - 1], SIGCONT);
}
