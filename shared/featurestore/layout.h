/* SPDX-License-Identifier: Apache-2.0
 * layout.h - a plan made ready to run: what each entity keeps where, and in which order features are
 * computed. Internal to featurestore/.
 *
 *   entity block:  [struct entity | track: deque, spans | variety: deque, table, spans | recent ... |
 * lifetimes]
 *
 * All features of an entity share what they stand on. A *track* is one sequence of cells in time order: an
 * exact track has a cell for each event, a tiled one a cell for each tile that has events. A *span* is one
 * window over a track: two cursors, and between them running totals, one for each *column* that a feature
 * needs. A *variety* is the same for the distinct values of a field. A *recent* keeps the last few times (and
 * places). A *lifetime* total has no window. */
#ifndef ASSAY_FEATURESTORE_LAYOUT_H
#define ASSAY_FEATURESTORE_LAYOUT_H

#include "base/arena.h"
#include "cel/cel.h"
#include "featurestore/catalogue.h"
#include "featurestore/plan.h"
#include "fraud/field.h"

/* What a column adds up over the events for which its condition holds and that have its value. */
enum op { OP_COUNT, OP_FRAUD, OP_SUM, OP_SQUARES, OP_MIN, OP_MAX, OP_FIRST };
enum { NONE = -1 };

struct column {
    enum op op;
    int condition, value; /* of the plan; NONE: always, and no value */
    uint32_t mask;        /* exact: flags that must stand in the cell */
    uint32_t value_at;    /* exact: where the value lies in the cell */
    uint32_t cell_at;     /* tiles: where the total lies in the cell */
};

struct span {
    int64_t window_us, delay_us;
    uint32_t at; /* struct cursor in the block */
    struct run {
        uint32_t column, at; /* running total in the block */
    } * runs;
    size_t run_count, run_cap;
};

#define FLAG_FRAUD (UINT32_C(1) << 31)
enum { FLAGS_MAX = 31 };

struct track {
    bool is_exact, has_fraud;
    int64_t hop_us, hold_us;
    uint32_t at; /* struct deque in the block */
    uint32_t cell_bytes;
    struct column *columns;
    size_t column_count, column_cap;
    struct span *spans;
    size_t span_count, span_cap;
    /* Exact: what the flags of a cell say, bit by bit: a condition, or that a value is there. */
    struct flag {
        int condition, value;
    } flags[FLAGS_MAX];
    size_t flag_count;
    /* Exact: the values that cells hold. */
    int *values;
    size_t value_count, value_cap;
};

struct variety {
    bool is_exact;
    int64_t hop_us, hold_us;
    struct txn_field field;
    struct slice name;
    int condition;
    uint32_t at; /* struct variety_state in the block */
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
    size_t bytes; /* of the block, struct entity included */
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

struct condition {
    struct slice text;
    struct cel_program *program;
    int fraud_bit; /* where the ledger remembers it, or NONE */
};

enum { FRAUD_CONDITIONS_MAX = 64, VALUES_MAX = 64 };

/* One feature, ready to be computed. Offsets are into the block of its entity; 0 where there is none. */
struct compiled {
    const struct feature *feature;
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
    bool is_lasting;  /* what is applied depends on it, so it is taken without a vector too */
};

struct plan {
    struct arena arena;
    struct feature *features; /* the visible ones first: features[i] is column i */
    size_t count, columns;
    struct slice text;
    unsigned char hash[SHA256_BYTES];
    int64_t horizon_us, ledger_us;
    bool has_fraud;

    struct compiled *compiled; /* one for each feature */
    struct entity_layout *entities;
    size_t entity_count, entity_cap;
    size_t fraud_entities;
    struct value *values;
    size_t value_count, value_cap;
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
};

#endif
