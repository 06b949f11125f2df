/* SPDX-License-Identifier: Apache-2.0
 * trials.c - which parameters a trial has, and finished trials as text. */
#include "training/trials.h"

#include <inttypes.h>
#include <math.h>

#include "base/array.h"
#include "json/json.h"
#include "json/json_out.h"
#include "stats/interval.h"

/* No resampling and no large scale_pos_weight: on rare frauds both help AUC and hurt average precision. */
const struct trainer_search TRAINER_SEARCH_DEFAULT = {
    .trials = 1,
    .seed = 1,
    .bounds = {
        [TRIAL_depth] = { 3, 8, false },
        [TRIAL_eta] = { 0.03, 0.3, true },
        [TRIAL_min_child_weight] = { 1, 50, true },
        [TRIAL_subsample] = { 0.5, 1, false },
        [TRIAL_colsample_bytree] = { 0.2, 1, false },
        [TRIAL_lambda] = { 0.5, 20, true },
        [TRIAL_scale_pos_weight] = { 1, 5, true },
    },
};

static const char *const names[] = {
#define TRIAL_NAME(name) [TRIAL_##name] = #name,
    TRIAL_PARAMS(TRIAL_NAME)
#undef TRIAL_NAME
};

const char *trial_param_name(enum trial_param p)
{
    return names[p];
}

void trial_take(struct trainer_trial *trial, const struct booster_params *params)
{
#define TRIAL_TAKE(name) trial->values[TRIAL_##name] = (double)params->name;
    TRIAL_PARAMS(TRIAL_TAKE)
#undef TRIAL_TAKE
}

void trial_give(const struct trainer_trial *trial, struct booster_params *params)
{
    params->depth = (int)trial->values[TRIAL_depth];
    params->eta = trial->values[TRIAL_eta];
    params->min_child_weight = trial->values[TRIAL_min_child_weight];
    params->subsample = trial->values[TRIAL_subsample];
    params->colsample_bytree = trial->values[TRIAL_colsample_bytree];
    params->lambda = trial->values[TRIAL_lambda];
    params->scale_pos_weight = trial->values[TRIAL_scale_pos_weight];
}

static double draw(const struct trial_bounds *b, bool is_whole, struct random *random)
{
    double unit = random_unit(random);

    if (is_whole)
        return floor(b->low + unit * (b->high - b->low + 1));
    if (b->is_log)
        return exp(log(b->low) + unit * (log(b->high) - log(b->low)));
    return b->low + unit * (b->high - b->low);
}

enum err trial_draw(struct trainer_trial *trial, const struct trainer_search *search, size_t number,
                    const struct booster_params *params, struct why *why)
{
    struct random random = { search->seed };

    *trial = (struct trainer_trial){ .number = (uint32_t)number };
    trial_take(trial, params);
    if (number == 0)
        return ERR_OK;
    random.state = random_next(&random) + number;
    for (size_t i = 0; i < TRIAL_PARAM_COUNT; i++) {
        const struct trial_bounds *b = &search->bounds[i];

        if (!(b->low <= b->high) || (b->is_log && b->low < b->high && b->low <= 0))
            return err_set(why, ERR_INVALID, "%s cannot be searched from %g to %g", names[i], b->low,
                           b->high);
        if (b->low < b->high)
            trial->values[i] = draw(b, i == TRIAL_depth, &random);
    }
    return ERR_OK;
}

void trials_put(struct json_out *o, const struct trainer_trial *trials, size_t count)
{
    for (size_t t = 0; t < count; t++) {
        json_out_open(o, NULL);
        json_out_int(o, "number", trials[t].number);
        for (size_t i = 0; i < TRIAL_PARAM_COUNT; i++)
            json_out_number(o, names[i], trials[t].values[i]);
        json_out_int(o, "trees", trials[t].trees);
        json_out_number(o, "average_precision", trials[t].average_precision);
        json_out_end(o);
    }
}

void trainer_trials_write(struct buf *out, const struct trainer_trial *trials, size_t count)
{
    struct json_out o = json_out_to(out);

    json_out_list(&o, NULL);
    trials_put(&o, trials, count);
    json_out_end(&o);
}

static bool read_whole(const json_t *from, const char *name, uint32_t *to)
{
    const json_t *value = json_object_get(from, name);

    *to = (uint32_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < UINT32_MAX;
}

static bool read_number(const json_t *from, const char *name, double *to)
{
    const json_t *value = json_object_get(from, name);

    *to = json_number_value(value);
    return json_is_number(value);
}

static bool read_trial(const json_t *from, struct trainer_trial *to)
{
    bool is_good = read_whole(from, "number", &to->number) && read_whole(from, "trees", &to->trees) &&
                   read_number(from, "average_precision", &to->average_precision);

    for (size_t i = 0; is_good && i < TRIAL_PARAM_COUNT; i++)
        is_good = read_number(from, names[i], &to->values[i]);
    return is_good;
}

enum err trainer_trials_read(struct trainer_trial **trials, size_t *count, struct slice text, struct why *why)
{
    json_t *list;
    enum err err = json_parse(&list, text, 3, why);
    size_t n = err ? 0 : json_array_size(list);

    *trials = NULL;
    *count = 0;
    if (err)
        return err;
    if (!json_is_array(list) || n > TRAINER_TRIALS_MAX) {
        json_decref(list);
        return err_set(why, ERR_SYNTAX, "trials are a list of at most %d", TRAINER_TRIALS_MAX);
    }
    *trials = mem_new_n(struct trainer_trial, n + 1);
    for (size_t i = 0; i < n && !err; i++)
        if (!read_trial(json_array_get(list, i), &(*trials)[i]) ||
            (i && (*trials)[i].number <= (*trials)[i - 1].number))
            err = err_set(why, ERR_SYNTAX, "trial %zu of the list is none, or out of order", i);
    json_decref(list);
    if (err) {
        mem_free(*trials);
        *trials = NULL;
        return err;
    }
    *count = n;
    return ERR_OK;
}
