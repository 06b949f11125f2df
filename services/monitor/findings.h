/* SPDX-License-Identifier: Apache-2.0
 * findings.h - what is done about a judged window: its verdicts are kept, conditions are raised and cleared, and a new
 * model is asked for when features, fields or the score of the champion have drifted for as many windows as it takes.
 *
 * Values that are missing, and categories that nobody knows, are a fault upstream more often than a changed world: they
 * are told, and no model is asked for that would learn from them. */
#ifndef ASSAY_MONITOR_FINDINGS_H
#define ASSAY_MONITOR_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drifts.h"
#include "monitorstore/verdicts.h"

struct pg_session;

struct findings_conf {
    bool asks_for_models;
    int64_t cooldown_us; /* between two requests for a name, by the lane's clock */
};

/* What the metrics show of the newest judged window. */
enum { FINDINGS_SHOWN = 96, FINDINGS_NAME = 72 };
struct findings_shown {
    char name[FINDINGS_NAME]; /* of a feature, "score", "action", or a field */
    char arm[16];
    double psi, psi_critical, js, js_critical, missing, unseen;
    bool is_alarm;
};

struct findings {
    struct findings_conf conf;
    struct findings_shown shown[FINDINGS_SHOWN];
    size_t shown_count;
    uint64_t windows, beyond, requests; /* since the start */
};

/* Asks for a new model (asked_make()) when the settings say so and the version is champion, unless one was asked for a
 * short while ago. Errors are those of pg/pg.h. */
MUST_USE enum err findings_ask(struct findings *f, struct pg_session *s, const struct asked *asked,
                               struct why *why);

/* A drifts_closed_fn; ctx is a struct findings. */
MUST_USE enum err findings_take(void *ctx, struct pg_session *s, const struct drifts_closed *closed,
                                struct why *why);

#endif
