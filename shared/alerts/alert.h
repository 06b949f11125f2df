/* SPDX-License-Identifier: Apache-2.0
 * alert.h - when what is wrong becomes an alert, and when it is over: the state of one alert.
 *
 *              true                true for hold_us             not true for keep_us
 *   (nothing) ─────▶ pending ──────────────────────▶ firing ────────────────────────▶ resolved
 *                       └─ not true: forgotten ─▶ (nothing)
 *
 * Two conditions are the same alert when their labels are: severity, text and value may change while it lasts. So
 * hold_us keeps out what passes by itself, and keep_us makes one alert of what comes and goes (Prometheus calls
 * them `for` and `keep_firing_for`). What comes back after it was resolved is another alert.
 *
 * No clock and no I/O: `now_us` is wall time and comes in. Where it goes back, nothing has passed. */
#ifndef ASSAY_ALERTS_ALERT_H
#define ASSAY_ALERTS_ALERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json.h"
#include "json/json_out.h"

#define ALERT_NEVER INT64_MIN

enum {
    ALERT_LABELS_MAX = 16,
    ALERT_NAME_MAX = 64,   /* bytes of a label's name */
    ALERT_VALUE_MAX = 256, /* and of its value */
    ALERT_TEXT_MAX = 1024,
    ALERT_PRINT_BYTES = 16,
};

enum alert_severity { ALERT_INFO, ALERT_WARNING, ALERT_CRITICAL, ALERT_SEVERITY_COUNT };
const char *alert_severity_name(enum alert_severity severity);
/* "info", "warning", "critical"; false for any other word. */
bool alert_severity_find(struct slice name, enum alert_severity *out);

enum alert_state { ALERT_PENDING, ALERT_FIRING, ALERT_RESOLVED, ALERT_STATE_COUNT };
const char *alert_state_name(enum alert_state state);
bool alert_state_find(struct slice name, enum alert_state *out);

/* What an alert is about, by name; "alertname" says what is wrong. Borrowed texts. Zero-initialise. */
struct alert_label {
    struct slice name, value;
};
struct alert_labels {
    struct alert_label items[ALERT_LABELS_MAX]; /* sorted by name */
    size_t count;
};

/* Adds one; an empty value is no label, and adds nothing.
 *   ERR_INVALID  the name is not [a-zA-Z_][a-zA-Z0-9_]{0,63} or is there already, the value is no UTF-8 or too long,
 *                or there are ALERT_LABELS_MAX */
MUST_USE enum err alert_labels_add(struct alert_labels *labels, struct slice name, struct slice value,
                                   struct why *why);
/* The value, or an empty slice. */
struct slice alert_label(const struct alert_labels *labels, const char *name);
/* As one JSON object, and back: texts become the arena's.
 *   ERR_INVALID  as alert_labels_add(), or a value is no text */
void alert_labels_write(struct json_out *o, const char *key, const struct alert_labels *labels);
MUST_USE enum err alert_labels_read(struct alert_labels *labels, const json_t *object, struct arena *arena,
                                    struct why *why);

/* Who it is: the first 16 bytes of a SHA-256 over all names and values, each behind its length. */
struct alert_print {
    unsigned char bytes[ALERT_PRINT_BYTES];
};
struct alert_print alert_print_of(const struct alert_labels *labels);

/* What somebody found, now. */
struct alert_condition {
    struct alert_labels labels;
    enum alert_severity severity;
    bool is_true;
    struct slice text; /* a sentence for a person; cut at ALERT_TEXT_MAX */
    double value, threshold;
};

struct alert_times {
    int64_t hold_us, keep_us;
    int64_t group_us;  /* how long the first of a group waits for others (notice.h) */
    int64_t repeat_us; /* how often it is told again while it fires */
};

struct alert {
    int64_t id; /* the store's; 0: not stored yet */
    struct alert_print print;
    struct alert_labels labels;
    enum alert_severity severity;
    struct slice text;
    double value, threshold;
    enum alert_state state;
    int64_t since_us, true_us;         /* the condition was first and last seen to be true */
    int64_t fired_us, resolved_us;     /* ALERT_NEVER */
    int64_t told_us;                   /* last notice that it fires; ALERT_NEVER */
    enum alert_severity told_severity; /* in that notice */
    bool is_end_told;                  /* the notice that it is resolved was made */
    bool is_silenced, is_inhibited;    /* in the last turn (notice.h) */
};

/* What a true condition begins: pending, or firing at once where hold_us is 0. Texts are borrowed. */
struct alert alert_begin(const struct alert_condition *c, const struct alert_times *times, int64_t now_us);

/* One look at an alert that is pending or firing. `c` is its condition (texts borrowed from then on), or NULL when
 * nobody says anything of it any more, which is as if it were not true. False when a pending one is to be
 * forgotten; a resolved one stays as it is. */
bool alert_step(struct alert *a, const struct alert_condition *c, const struct alert_times *times,
                int64_t now_us);

#endif
