/* SPDX-License-Identifier: Apache-2.0
 * recipe.h - the settings of a run of training (training_runs.settings, retrain_schedules.settings) as the
 * trainer takes them.
 *
 *   {"trials": 20, "history_days": 120, "label_delay_days": 7, "catalogue": "entities: ..."}
 *
 * Every member may be left out; recipe.c has the table of them, with what holds then. */
#ifndef ASSAY_LIFESTORE_RECIPE_H
#define ASSAY_LIFESTORE_RECIPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "training/trainer.h"
#include "trainingstore/trainingstore.h"

struct recipe {
    struct slice catalogue; /* its text; empty: the features of the champion, else those served now */
    struct trainer trainer; /* but for its name, times, threads and hook */
    struct trainingstore_query query; /* but for its times and hook */
};

/* What the recipe points to is in `arena`.
 *   ERR_SYNTAX   no JSON object
 *   ERR_INVALID  a member that is not known, of another type or out of its bounds; *why says which */
MUST_USE enum err recipe_read(struct recipe *out, struct slice json, struct arena *arena, struct why *why);

/* The table as a person reads it, a line each: for help texts. */
void recipe_describe(struct buf *out);

#endif
