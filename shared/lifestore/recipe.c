/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/recipe.h"

#include <stddef.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json.h"
#include "json/settings.h"

#define AT(field) offsetof(struct recipe, field)
static const struct json_setting members[] = {
    { "trials", SETTING_SIZE, AT(trainer.search.trials), 1, TRAINER_TRIALS_MAX, "of the random search" },
    { "trees", SETTING_SIZE, AT(trainer.params.trees), 1, 100000,
      "at most; it stops when it gets no better" },
    { "depth", SETTING_INT, AT(trainer.params.depth), 1, 12, "of a tree, in the first trial" },
    { "eta", SETTING_DOUBLE, AT(trainer.params.eta), 1e-4, 1, "learning rate, in the first trial" },
    { "seed", SETTING_I64, AT(trainer.params.seed), 0, 1e15, "of everything that is drawn" },
    { "tune", SETTING_DOUBLE, AT(trainer.tune), 0.01, 0.9, "share of the time to choose and calibrate by" },
    { "judge", SETTING_DOUBLE, AT(trainer.judge), 0.01, 0.9,
      "share of the time to judge by and nothing else" },
    { "tune_days", SETTING_DAYS, AT(trainer.tune_most_us), 0, 36500, "but at most so long" },
    { "judge_days", SETTING_DAYS, AT(trainer.judge_most_us), 0, 36500, "but at most so long" },
    { "warm_up_days", SETTING_DAYS, AT(trainer.warm_up_us), 0, 36500,
      "at the beginning, to fill windows only" },
    { "history_days", SETTING_DAYS, AT(trainer.history_us), 0, 36500, "to train on, at most; 0: all" },
    { "label_delay_days", SETTING_DAYS, AT(trainer.label_delay_us), 0, 365,
      "after which no label means good" },
    { "decline_cost", SETTING_DOUBLE, AT(trainer.costs.decline_cost), 0, 100,
      "of a good payment that is declined" },
    { "review", SETTING_DOUBLE, AT(trainer.costs.review_capacity), 0, 1,
      "share of payments that people can review" },
    { "challenge", SETTING_DOUBLE, AT(trainer.costs.challenge_capacity), 0, 1,
      "share that may be challenged" },
    { "keep", SETTING_DOUBLE, AT(query.keep), 1e-4, 1, "of payments that nobody called fraud" },
    { "account", SETTING_U32, AT(query.account), 0, INT32_MAX, "to learn from; 0: all" },
};

static const struct recipe defaults = {
    .query = { .from_us = INT64_MIN, .as_of_us = INT64_MAX, .keep = 1 },
};

static enum err take(struct recipe *r, const char *name, const json_t *value, struct why *why)
{
    enum err err = json_setting_take(r, members, ARRAY_LEN(members), name, value, why);

    return err == ERR_NOT_FOUND
               ? err_set(why, ERR_INVALID,
                         "a run has no setting of that name; `assay help retrain` lists them")
               : err;
}

enum err recipe_read(struct recipe *out, struct slice json, struct arena *arena, struct why *why)
{
    json_t *tree = NULL, *value;
    const char *name;
    enum err err = json_parse(&tree, json.len ? json : SLICE("{}"), JSON_DEPTH_MAX, why);

    *out = defaults;
    out->trainer = trainer_usual();
    out->trainer.search.trials = 8;
    if (!err && !json_is_object(tree))
        err = err_set(why, ERR_SYNTAX, "the settings of a run are a JSON object");
    json_object_foreach(tree, name, value)
    {
        if (err)
            break;
        if (strcmp(name, "catalogue") != 0)
            err = take(out, name, value, why);
        else if (json_is_string(value))
            out->catalogue = arena_slice(arena, json_slice(value));
        else
            err = err_set(why, ERR_INVALID, "catalogue is the text of one");
    }
    out->trainer.search.seed = (uint64_t)out->trainer.params.seed;
    out->query.seed = (uint64_t)out->trainer.params.seed;
    json_decref(tree);
    return err;
}

void recipe_describe(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        buf_printf(out, "  %-18s %s\n", members[i].name, members[i].help);
    buf_printf(out, "  %-18s %s\n", "catalogue", "its text; else the features of the champion");
}
