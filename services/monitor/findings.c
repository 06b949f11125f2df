/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lifestore/row.h"
#include "lifestore/run.h"
#include "log/log.h"
#include "monitorstore/condition.h"
#include "monitorstore/span.h"
#include "monitorstore/verdicts.h"

enum { REASONS_MOST = 5 };

static bool is_segment(const struct drift_subject *subject)
{
    return subject->kind == DRIFT_SEGMENT_SCORE || subject->kind == DRIFT_SEGMENT_ACTION;
}

static struct slice field_of(const struct drift_subject *subject)
{
    if (subject->kind == DRIFT_FIELD || is_segment(subject))
        return slice_str(drift_field_name(subject->field));
    return SLICE("");
}

static bool is_beyond(const struct drift_verdict *v)
{
    for (size_t t = 0; t < DRIFT_TEST_COUNT; t++)
        if (v->tests[t].is_beyond)
            return true;
    return false;
}

static bool is_alarm(const struct drifts_closed *c, size_t subject)
{
    for (size_t t = 0; t < DRIFT_TEST_COUNT; t++)
        if (drift_alarms_is_on(c->alarms, subject, (enum drift_test)t))
            return true;
    return false;
}

static bool is_tested(const struct drift_verdict *v)
{
    for (size_t t = 0; t < DRIFT_TEST_COUNT; t++)
        if (v->tests[t].is_tested)
            return true;
    return false;
}

/* ---- verdicts ---- */

static struct found found_of(const struct drifts_closed *c, size_t i, struct arena *arena)
{
    struct found found = found_of_verdict(c->layout, &c->verdicts[i], arena);

    found.lane = c->lane;
    found.version = c->version;
    found.number = c->number;
    found.at_us = c->window->last_us;
    found.is_alarm = is_alarm(c, i);
    return found;
}

static enum err keep_verdicts(struct findings *f, struct pg_session *s, const struct drifts_closed *c,
                              struct arena *arena, struct why *why)
{
    size_t subjects = drift_layout_subjects(c->layout), count = 0;
    struct found *all = arena_new(arena, struct found, subjects + 1);

    for (size_t i = 0; i < subjects; i++) {
        const struct drift_verdict *v = &c->verdicts[i];

        f->beyond += is_beyond(v);
        if (is_tested(v) && (!is_segment(v->subject) || is_beyond(v) || is_alarm(c, i)))
            all[count++] = found_of(c, i, arena);
    }
    return found_add(s, all, count, why);
}

/* ---- conditions ---- */

static const char *advice_of(const struct drift_subject *subject, enum drift_test test)
{
    if (test == DRIFT_MISSING)
        return "Look at what sends it, before any model learns from it: values that were there are missing, "
               "or the "
               "other way round.";
    if (test == DRIFT_UNSEEN)
        return "Look at who sends values that were never seen; if they are right, a newly trained model "
               "knows them.";
    if (subject->kind == DRIFT_ACTION || subject->kind == DRIFT_SEGMENT_ACTION)
        return "Look at rules and thresholds that have changed, then at the scores.";
    return "If a release upstream explains it, repair that; else the world has changed, and a newly trained "
           "model "
           "should follow it.";
}

static enum err tell(struct pg_session *s, const struct drifts_closed *c, size_t subject,
                     enum drift_test test, bool is_raised, struct arena *arena, struct why *why)
{
    const struct drift_verdict *v = &c->verdicts[subject];
    const struct drift_subject *of = v->subject;
    struct slice field = field_of(of);
    struct buf text;
    enum err err;

    buf_init(&text, 0);
    buf_printf(&text, "Model %.*s version %" PRId64 ": ", SLICE_ARG(c->name), c->version);
    if (v->tests[test].is_tested)
        drift_explain(c->layout, v, test, &text);
    if (is_raised)
        buf_printf(&text, ". %s", advice_of(of, test));
    err = condition_report(
        s,
        &(struct condition){ .id = arena_printf(arena, "drift/%d/%" PRId64 "/%s/%.*s/%.*s/%s", (int)c->lane,
                                                c->version, drift_kind_name(of->kind), SLICE_ARG(field),
                                                SLICE_ARG(of->name), drift_test_name(test)),
                             .kind = SLICE("drift"),
                             .subject =
                                 field.len && is_segment(of)
                                     ? arena_printf(arena, "%s of %.*s %.*s",
                                                    of->kind == DRIFT_SEGMENT_SCORE ? "score" : "action",
                                                    SLICE_ARG(field), SLICE_ARG(of->name))
                                     : of->name,
                             .severity = SEVERITY_WARNING,
                             .lane = c->lane,
                             .value = v->tests[test].value,
                             .threshold = fmax(v->tests[test].threshold, v->tests[test].critical),
                             .text = buf_slice(&text),
                             .is_raised = is_raised },
        NULL, why);
    buf_release(&text);
    return err;
}

static enum err tell_changes(struct pg_session *s, const struct drifts_closed *c, struct arena *arena,
                             struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < c->change_count && !err; i++)
        err = tell(s, c, c->changes[i].subject, c->changes[i].test, c->changes[i].change == DRIFT_RAISED,
                   arena, why);
    return err;
}

static enum err tell_histograms(struct pg_session *s, const struct drifts_closed *c, struct arena *arena,
                                struct why *why)
{
    return condition_report(
        s,
        &(struct condition){ .id = arena_printf(arena, "reference/%d/%" PRId64, (int)c->lane, c->version),
                             .kind = SLICE("reference"),
                             .subject = c->name,
                             .severity = SEVERITY_INFO,
                             .lane = c->lane,
                             .value = NAN,
                             .threshold = NAN,
                             .text = arena_printf(arena,
                                                  "Model %.*s version %" PRId64
                                                  " carries no histograms of what it was trained on: of its "
                                                  "features only missing values are watched. Train it again.",
                                                  SLICE_ARG(c->name), c->version),
                             .is_raised = !c->has_histograms },
        NULL, why);
}

/* ---- asking for a model ---- */

static bool asks(const struct drifts_closed *c, size_t subject)
{
    const struct drift_subject *of = c->verdicts[subject].subject;

    return (of->kind == DRIFT_FEATURE || of->kind == DRIFT_SCORE || of->kind == DRIFT_FIELD) &&
           drift_alarms_is_on(c->alarms, subject, DRIFT_SHAPE) &&
           !drift_alarms_is_on(c->alarms, subject, DRIFT_MISSING) &&
           !drift_alarms_is_on(c->alarms, subject, DRIFT_UNSEEN);
}

static bool has_drifted(const struct drifts_closed *c)
{
    for (size_t i = 0; i < drift_layout_subjects(c->layout); i++)
        if (asks(c, i))
            return true;
    return false;
}

static enum err is_champion(struct pg_session *s, const struct asked *asked, bool *is, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, asked->name);
    pg_add_i64(&p, asked->version);
    err = row_ask(
        s,
        "SELECT EXISTS (SELECT FROM aliases WHERE name = $1::text AND alias = 'champion' AND version = "
        "$2::int8)",
        &p, &r, why);
    *is = !err && pg_get_bool(r, 0, 0);
    pg_result_free(r);
    return err;
}

enum err findings_ask(struct findings *f, struct pg_session *s, const struct asked *asked, struct why *why)
{
    bool is, is_made;
    enum err err;

    if (!f->conf.asks_for_models)
        return ERR_OK;
    err = is_champion(s, asked, &is, why);
    if (err || !is)
        return err;
    err = asked_make(s, asked, asked->lane ? asked->at_us : RUN_NO_TIME, f->conf.cooldown_us, &is_made, why);
    if (!err && is_made) {
        f->requests++;
        log_event(LOG_INFO, "model_asked_for", "name=%.*s version=%" PRId64 " lane=%d",
                  SLICE_ARG(asked->name), asked->version, (int)asked->lane);
    }
    return err;
}

static struct slice reason_of(const struct drifts_closed *c, struct arena *arena)
{
    size_t subjects = drift_layout_subjects(c->layout), told = 0;
    struct buf text;
    struct slice kept;

    buf_init(&text, 0);
    buf_printf(&text, "drift of version %" PRId64 ", confirmed in window %" PRId64 ": ", c->version,
               c->number);
    for (size_t i = 0; i < subjects && told < REASONS_MOST; i++) {
        if (!asks(c, i))
            continue;
        if (told++)
            buf_printf(&text, "; ");
        drift_explain(c->layout, &c->verdicts[i], DRIFT_SHAPE, &text);
    }
    kept = arena_slice(arena, buf_slice(&text));
    buf_release(&text);
    return kept;
}

static enum err ask_for_model(struct findings *f, struct pg_session *s, const struct drifts_closed *c,
                              struct arena *arena, struct why *why)
{
    if (!has_drifted(c))
        return ERR_OK;
    return findings_ask(f, s,
                        &(struct asked){ .name = c->name,
                                         .lane = c->lane,
                                         .version = c->version,
                                         .at_us = c->window->last_us,
                                         .reason = reason_of(c, arena) },
                        why);
}

/* ---- for the metrics ---- */

static void show(struct findings *f, const struct drifts_closed *c)
{
    size_t subjects = drift_layout_subjects(c->layout), kept = 0;
    char arm[sizeof f->shown[0].arm];

    snprintf(arm, sizeof arm, "%.*s", SLICE_ARG(c->arm));
    for (size_t i = 0; i < f->shown_count; i++)
        if (strcmp(f->shown[i].arm, arm) != 0)
            f->shown[kept++] = f->shown[i];
    f->shown_count = kept;
    for (size_t i = 0; i < subjects && f->shown_count < FINDINGS_SHOWN; i++) {
        const struct drift_verdict *v = &c->verdicts[i];
        struct findings_shown *to = &f->shown[f->shown_count];

        if (is_segment(v->subject) || !is_tested(v))
            continue;
        snprintf(to->name, sizeof to->name, "%.*s", SLICE_ARG(v->subject->name));
        memcpy(to->arm, arm, sizeof arm);
        to->psi = v->psi;
        to->psi_critical = v->psi_critical;
        to->js = v->tests[DRIFT_SHAPE].is_tested ? v->tests[DRIFT_SHAPE].value : NAN;
        to->js_critical = v->tests[DRIFT_SHAPE].is_tested ? v->tests[DRIFT_SHAPE].critical : NAN;
        to->missing = v->tests[DRIFT_MISSING].is_tested ? v->tests[DRIFT_MISSING].value : NAN;
        to->unseen = v->tests[DRIFT_UNSEEN].is_tested ? v->tests[DRIFT_UNSEEN].value : NAN;
        to->is_alarm = is_alarm(c, i);
        f->shown_count++;
    }
}

enum err findings_take(void *ctx, struct pg_session *s, const struct drifts_closed *closed, struct why *why)
{
    struct findings *f = ctx;
    struct arena arena = { 0 };
    enum err err = keep_verdicts(f, s, closed, &arena, why);

    if (!err)
        err = tell_changes(s, closed, &arena, why);
    if (!err)
        err = tell_histograms(s, closed, &arena, why);
    if (!err)
        err = ask_for_model(f, s, closed, &arena, why);
    if (!err) {
        f->windows++;
        show(f, closed);
    }
    arena_release(&arena);
    return err;
}
