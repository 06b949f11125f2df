/* SPDX-License-Identifier: Apache-2.0
 * layout.h - a plan made ready to run: what each entity keeps where, and in which order features are
 * computed. Internal to featurestore/.
 *
 * An entity with few events keeps just them, a column for each thing that is known of an event, and every
 * window is counted over them when it is asked for: that is the least memory, and for some dozens of events
 * fast. With more than SMALL_MAX events it grows large:
 *
 *   small:  [struct entity | flags of events ... | recent ... | lifetimes | key]    columns of events
 *   large:  the same, and  [track: deque, spans | variety: deque, table, spans]
 *
 * A *track* is one sequence of cells: an exact track has a cell for each event, a tiled one a cell for each
 * tile that has events. A *span* is one window over a track: two cursors, and between them running totals,
 * one for each *column* that a feature needs. A *variety* is the same for the distinct values of a field. A
 * *recent* keeps the last few times (and places), a *lifetime* total has no window; both are there in either
 * form. Which form an entity has cannot be seen in a value.
 *
 * Tiles are counted from the epoch, by *hops*: all tracks of a plan share very few, so that an event's tiles
 * are divided out once. */
#ifndef ASSAY_FEATURESTORE_LAYOUT_H
#define ASSAY_FEATURESTORE_LAYOUT_H

#include "base/arena.h"
#include "cel/cel.h"
#include "featurestore/catalogue.h"
#include "featurestore/plan.h"
#include "fraud/field.h"

/* What a column adds up (or, OP_LAST_*, the time of the newest) over the events for which its condition holds and that have its value. */
enum op { OP_COUNT, OP_FRAUD, OP_SUM, OP_SQUARES, OP_MIN, OP_MAX, OP_FIRST, OP_LAST_FRAUD, OP_LAST_LEGIT };
enum { NONE = -1 };

struct column {
    enum op op;
    int condition, value; /* of the plan; NONE: always, and no value */
    uint32_t mask, but;   /* exact: flags that must stand in the cell, and that must not */
    uint32_t value_at;    /* exact: where the value lies in the cell */
    uint32_t cell_at;     /* tiles: where the total lies in the cell */
    struct few_column {   /* the same for the events of a small entity */
        uint32_t flags[3];
        uint32_t flag_count;
        bool is_but_last; /* the last of them must not be set */
        uint32_t value;   /* which of their values */
    } few;
};

/* A time, and the tiles it lies in. */
enum { HOPS_MAX = 3 };
struct moment {
    int64_t at_us;
    int64_t tiles[HOPS_MAX]; /* by hop of the plan */
};

struct span {
    int64_t window_us, delay_us;
    int64_t window_tiles, delay_tiles; /* when they are multiples of the hop, else -1: saves a division */
    uint32_t from_edge, to_edge;       /* of the entity_layout */
    bool has_flags;                    /* some of its columns look at flags of a small entity's events */
    uint32_t at;                       /* struct cursor in the large block */
    struct run {
        uint32_t column, at; /* running total in the large block */
    } * runs;
    size_t run_count, run_cap;
};

/* Where some windows of a small entity begin, or others end: an event is on the far side if it is not after
 * at_us - back_us, or for tiles, not after the end of the tile `ahead` of that. */
struct edge {
    int hop; /* NONE: exact */
    int64_t hop_us, back_us, back_tiles;
    int ahead;
};

#define FLAG_FRAUD (UINT32_C(1) << 31)
enum { FLAGS_MAX = 31, SMALL_MAX = 96 };

/* What is kept of an event besides time and number: flags, each a condition or that a value is there, values,
 * and hashes of texts. */
struct event_layout {
    struct flag {
        int condition, value;
    } flags[FLAGS_MAX];
    size_t flag_count;
    int *values;
    size_t value_count, value_cap;
    int *texts;
    size_t text_count, text_cap;
};

struct track {
    bool is_exact, has_fraud;
    int hop;
    int64_t hop_us, hold_us;
    uint32_t at; /* struct deque in the large block */
    uint32_t cell_bytes;
    struct column *columns;
    size_t column_count, column_cap;
    struct span *spans;
    size_t span_count, span_cap;
    struct event_layout events; /* exact */
};

struct variety {
    bool is_exact;
    int hop;
    int64_t hop_us, hold_us;
    int condition, text;
    struct few_column few; /* its value is one of the texts */
    uint32_t at;           /* struct variety_state in the large block */
    struct span *spans;
    size_t span_count, span_cap;
};

enum { RECENT_MAX = 4 };
struct recent {
    int condition;
    bool has_place;
    uint32_t at; /* u64 count, RECENT_MAX times, then places */
};

struct lifetime {
    struct column column;
    uint32_t at;
};

struct entity_layout {
    struct slice names[ENTITY_FIELDS_MAX];
    struct txn_field fields[ENTITY_FIELDS_MAX];
    size_t field_count;
    size_t bytes, large_bytes;
    bool is_small_first;        /* false when there are too many flags */
    struct event_layout events; /* of small ones: a column for each value and text, 128 bits for each flag */
    uint32_t flags_at;          /* in the entity; that of fraud is the last */
    struct edge *edges;
    size_t edge_count, edge_cap;
    int64_t small_hold_us;
    int64_t idle_us;
    bool has_fraud;
    struct track *tracks;
    size_t track_count, track_cap;
    struct variety *varieties;
    size_t variety_count, variety_cap;
    struct recent *recents;
    size_t recent_count, recent_cap;
    struct lifetime *lifetimes;
    size_t lifetime_count, lifetime_cap;
};

/* A number that events carry: the amount, or an attribute at a scale. */
struct value {
    struct slice name;
    struct txn_field field;
    int scale;
    double factor; /* 10^scale */
};

/* A text whose distinct values are counted. */
struct text {
    struct slice name;
    struct txn_field field;
};

struct condition {
    struct slice text;
    struct cel_program *program;
    int fraud_bit; /* where the ledger remembers it, or NONE */
};

enum { FRAUD_CONDITIONS_MAX = 64, VALUES_MAX = 64 };

/* One feature, ready to be computed. Offsets are into the large block, for lifetimes into the entity; 0:
 * none. */
struct compiled {
    const struct feature *feature;
    enum aggregate aggregate; /* the feature's, as the next three: near to what is read with them */
    bool includes_current;
    double scale, fallback; /* 10^scale of what is summed; the value where nothing is in the window */
    int entity, condition, value;
    uint32_t count_at, fraud_at, sum_at, squares_at, best_at;
    int track, variety, span, recent;
    struct cel_program *program;  /* AGGREGATE_EXPR that is more than a field */
    struct txn_field field;       /* the field that it is */
    int slot;                     /* for expressions that use it, or NONE */
    bool is_visited, is_computed; /* while ordering: begun, finished */
};

enum step_kind { STEP_SPAN, STEP_VARIETY, STEP_CONDITION, STEP_FEATURE };
struct step {
    enum step_kind kind;
    int entity, a, b; /* track and span, variety and span, condition, feature */
};

struct plan {
    struct arena arena;
    struct feature *features; /* the visible ones first: features[i] is column i */
    size_t count, columns;
    struct slice text;
    unsigned char hash[SHA256_BYTES];
    int64_t ledger_us;
    bool has_fraud;

    struct compiled *compiled; /* one for each feature */
    struct entity_layout *entities;
    size_t entity_count, entity_cap;
    size_t fraud_entities;
    int64_t hops[HOPS_MAX]; /* lengths */
    size_t hop_count;
    struct value *values;
    size_t value_count, value_cap;
    struct text *texts;
    size_t text_count, text_cap;
    struct condition *conditions;
    size_t condition_count, condition_cap;
    int fraud_conditions;
    struct slot_field {
        struct slice name;
        struct txn_field field;
        int slot;
    } * slot_fields; /* what of the transaction expressions use */
    size_t slot_field_count, slot_field_cap;
    size_t slots;
    struct step *steps;
    size_t step_count, step_cap;
    size_t lasting_steps; /* the first so many: what is applied depends on them, so they are taken without a
                             vector too */
};

/* Room for one, so that loops over an empty list have a pointer to end at. */
#define ARRAY_NOT_NULL(items, count, cap) ARRAY_RESERVE_ONE(items, count, cap)

/* Books what a feature needs: its entity, and there a track, a variety, a recent or lifetimes. */
void layout_book(struct plan *p, size_t i);
/* When all features are booked, gives everything that an entity keeps its place. */
void layout_entity(struct plan *p, struct entity_layout *e);
/* Then tells a feature where its totals lie. */
void layout_place(const struct plan *p, struct compiled *c);

#endif
