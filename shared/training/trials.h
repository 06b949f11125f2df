/* SPDX-License-Identifier: Apache-2.0
 * trials.h - which parameters a trial has. Inside shared/training only. */
#ifndef ASSAY_TRAINING_TRIALS_H
#define ASSAY_TRAINING_TRIALS_H

#include "json/json_out.h"
#include "training/trainer.h"

const char *trial_param_name(enum trial_param p);

/* The trial of this number; what has no bounds is as in `params`.
 *   ERR_INVALID  bounds that cannot be */
MUST_USE enum err trial_draw(struct trainer_trial *trial, const struct trainer_search *search, size_t number,
                             const struct booster_params *params, struct why *why);

/* Between a trial and the booster's parameters. */
void trial_take(struct trainer_trial *trial, const struct booster_params *params);
void trial_give(const struct trainer_trial *trial, struct booster_params *params);

/* The items of a list. */
void trials_put(struct json_out *o, const struct trainer_trial *trials, size_t count);

#endif
