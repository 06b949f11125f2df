/* SPDX-License-Identifier: Apache-2.0 */
#include "decays.h"

#include <inttypes.h>
#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lifestore/row.h"
#include "monitorstore/condition.h"
#include "monitorstore/quality.h"
#include "monitorstore/verdicts.h"

/* The windows of one model, the newest first. */
struct look {
    const struct decays_conf *conf;
    const struct judged_model *model;
    int64_t today, until_day; /* the lane's; behind the newest matured day */
    struct window {
        size_t days;
        struct quality_decay decay;
        struct quality_calibration calibration;
    } windows[DECAYS_WINDOWS_MAX];
    struct arena arena;
};

static enum err judge_window(struct look *l, struct pg_session *s, size_t which, struct why *why)
{
    struct window *w = &l->windows[which];
    int64_t until = l->until_day - (int64_t)which * l->conf->window_days;
    const struct quality_day *some[DECAYS_WINDOW_DAYS_MAX];
    struct quality_day *days, *sum;
    enum err err = judged_days(s, l->model, until - l->conf->window_days, until, &days, &w->days, why);

    if (err)
        return err;
    sum = mem_new(struct quality_day);
    for (size_t i = 0; i < w->days; i++) {
        some[i] = &days[i];
        quality_day_merge(sum, &days[i]);
    }
    quality_decay(&w->decay, some, w->days, &l->model->promise, &l->conf->judging);
    quality_calibration(&w->calibration, sum);
    mem_free(sum);
    mem_free(days);
    return ERR_OK;
}

/* ---- average precision ---- */

/* Raised while all windows are beyond, cleared once the newest was tested and is not: in between it stays. */
enum stand { STAND_AS_IT_IS, STAND_RAISED, STAND_CLEARED };

static enum stand stand_of_precision(const struct look *l)
{
    const struct quality_decay *newest = &l->windows[0].decay;

    if (!l->windows[0].days)
        return STAND_CLEARED; /* it decides no more */
    if (!newest->is_tested)
        return STAND_AS_IT_IS;
    for (size_t i = 0; i < l->conf->windows; i++)
        if (!l->windows[i].decay.is_beyond)
            return newest->is_beyond ? STAND_AS_IT_IS : STAND_CLEARED;
    return STAND_RAISED;
}

static struct slice describe(struct look *l)
{
    const struct quality_decay *newest = &l->windows[0].decay;

    return arena_printf(&l->arena,
                        "average precision %.3f (standard error %.3f) in the newest %" PRId64
                        " days that have matured, where %.3f was promised; too low by more than chance in %u "
                        "windows running",
                        newest->value, newest->error, l->conf->window_days,
                        l->model->promise.average_precision, (unsigned)l->conf->windows);
}

static enum err report(struct look *l, struct pg_session *s, const char *what, double value, double threshold,
                       struct slice text, bool is_raised, struct why *why)
{
    return condition_report(
        s,
        &(struct condition){ .id = arena_printf(&l->arena, "quality/%d/%" PRId64 "/%s", (int)l->model->lane,
                                                l->model->version, what),
                             .kind = SLICE("quality"),
                             .subject = slice_str(what),
                             .severity = SEVERITY_WARNING,
                             .lane = l->model->lane,
                             .value = value,
                             .threshold = threshold,
                             .text = text,
                             .is_raised = is_raised },
        NULL, why);
}

/* What has drifted of the model meanwhile, for whoever reads why a new one is asked for. */
static enum err read_drifted(struct look *l, struct pg_session *s, struct slice *out, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p,
                arena_printf(&l->arena, "drift/%d/%" PRId64 "/%%", (int)l->model->lane, l->model->version));
    err = row_ask(s,
                  "SELECT coalesce('; drifted: ' || string_agg(DISTINCT subject, ', '), '') FROM "
                  "monitor_conditions WHERE is_raised AND condition LIKE $1::text",
                  &p, &r, why);
    *out = err ? SLICE("") : row_text(r, 0, 0, &l->arena);
    pg_result_free(r);
    return err;
}

static enum err ask_for_model(struct look *l, struct findings *asking, struct pg_session *s, struct why *why)
{
    const struct judged_model *m = l->model;
    struct slice drifted;
    enum err err = read_drifted(l, s, &drifted, why);

    if (err)
        return err;
    return findings_ask(
        asking, s,
        &(struct asked){ .name = m->name,
                         .lane = m->lane,
                         .version = m->version,
                         .reason = arena_printf(&l->arena, "decay of version %" PRId64 ": %.*s%.*s",
                                                m->version, SLICE_ARG(describe(l)), SLICE_ARG(drifted)),
                         .at_us = l->today * DAY_US },
        why);
}

static enum err tell_precision(struct look *l, struct findings *asking, struct pg_session *s, struct why *why)
{
    const struct judged_model *m = l->model;
    enum stand stand = stand_of_precision(l);
    enum err err;

    if (stand == STAND_AS_IT_IS)
        return ERR_OK;
    err = report(l, s, "average_precision", l->windows[0].decay.value,
                 (1 - l->conf->judging.least) * m->promise.average_precision,
                 stand == STAND_CLEARED
                     ? arena_printf(&l->arena, "Model %.*s version %" PRId64 " is as good as was promised.",
                                    SLICE_ARG(m->name), m->version)
                     : arena_printf(&l->arena,
                                    "Model %.*s version %" PRId64 ": %.*s. The world has changed; a newly "
                                    "trained model should follow it.",
                                    SLICE_ARG(m->name), m->version, SLICE_ARG(describe(l))),
                 stand == STAND_RAISED, why);
    if (!err && stand == STAND_RAISED)
        err = ask_for_model(l, asking, s, why);
    return err;
}

/* ---- calibration ---- */

static bool is_off(const struct look *l, const struct quality_calibration *c)
{
    double limit = log(1 + l->conf->calibration);

    return c->p <= l->conf->judging.alpha && fabs(log(c->ratio)) >= limit;
}

static enum stand stand_of_calibration(const struct look *l)
{
    const struct quality_calibration *newest = &l->windows[0].calibration;

    if (!l->windows[0].days)
        return STAND_CLEARED;
    if (isnan(newest->p) || fmax(newest->expected, newest->happened) < l->conf->judging.frauds_least)
        return STAND_AS_IT_IS;
    for (size_t i = 0; i < l->conf->windows; i++)
        if (!is_off(l, &l->windows[i].calibration))
            return is_off(l, newest) ? STAND_AS_IT_IS : STAND_CLEARED;
    return STAND_RAISED;
}

static enum err tell_calibration(struct look *l, struct pg_session *s, struct why *why)
{
    const struct quality_calibration *c = &l->windows[0].calibration;
    enum stand stand = stand_of_calibration(l);

    if (stand == STAND_AS_IT_IS)
        return ERR_OK;
    return report(l, s, "calibration", c->ratio, 1 + l->conf->calibration,
                  stand == STAND_CLEARED
                      ? SLICE("The scores mean what they say.")
                      : arena_printf(&l->arena,
                                     "Model %.*s version %" PRId64 ": %.0f frauds happened where its scores "
                                     "expected %.0f, in the newest %" PRId64
                                     " days that have matured, and it "
                                     "was off as much before. Thresholds do not mean what they say: train it "
                                     "again.",
                                     SLICE_ARG(l->model->name), l->model->version, c->happened, c->expected,
                                     l->conf->window_days),
                  stand == STAND_RAISED, why);
}

/* ---- the whole ---- */

static enum err look_at(const struct decays_conf *conf, struct findings *asking, struct pg_session *s,
                        const struct judged_model *model, struct why *why)
{
    struct look l = { .conf = conf, .model = model };
    enum err err = quality_today(s, model->lane, &l.today, why);

    l.until_day = l.today - model->label_delay_days;
    for (size_t i = 0; i < conf->windows && !err; i++)
        err = judge_window(&l, s, i, why);
    if (!err)
        err = tell_precision(&l, asking, s, why);
    if (!err)
        err = tell_calibration(&l, s, why);
    arena_release(&l.arena);
    return err;
}

static enum err show(struct pg_session *s, const struct judged_model *model, struct decays_shown *out,
                     struct why *why)
{
    struct quality_report r;
    struct arena arena = { 0 };
    enum err err = quality_report_read(s, model, QUALITY_DAYS_DEFAULT, &r, &arena, why);

    if (!err)
        *out = (struct decays_shown){
            .is_known = true,
            .matured_after_days =
                isnan(r.maturity.share[0]) ? (double)NAN : quality_matured_after(&r.maturity, 0.95),
            .known_yesterday = quality_known(&r.maturity, r.until_day - 1, r.until_day),
            .promised = model->promise.average_precision,
            .realised = r.recent.values[QUALITY_average_precision],
            .estimated = r.coming.values[QUALITY_average_precision],
            .estimate_error = quality_track_error(&r.track, QUALITY_average_precision),
            .recall = r.recent.values[QUALITY_recall],
            .false_positive_rate = r.recent.values[QUALITY_false_positive_rate],
            .calibration_error = r.calibration.ece,
            .calibration_ratio = r.calibration.ratio,
        };
    arena_release(&arena);
    return err;
}

enum err decays_look(const struct decays_conf *conf, struct findings *asking, struct pg_session *s,
                     struct decays_shown *shown, struct why *why)
{
    struct arena arena = { 0 };
    struct judged_model *models;
    size_t count, first = 0;
    enum err err = judged_model_list(s, -1, &models, &count, &arena, why);

    for (size_t i = 0; i < count && i < DECAYS_MODELS_MAX && !err; i++)
        err = look_at(conf, asking, s, &models[i], why);
    while (first < count && models[first].lane != 0)
        first++;
    *shown = (struct decays_shown){ 0 };
    if (!err && count)
        err = show(s, &models[first < count ? first : 0], shown, why);
    arena_release(&arena);
    return err;
}
