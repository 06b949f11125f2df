/* SPDX-License-Identifier: Apache-2.0 */
#include "observer.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "app/watch.h"
#include "base/clock.h"
#include "base/mem.h"
#include "decays.h"
#include "intake.h"
#include "lanes.h"
#include "lifestore/follower.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "logstore/reader.h"
#include "metrics/metrics.h"
#include "monitor.h"
#include "monitorstore/condition.h"
#include "monitorstore/health.h"
#include "monitorstore/quality.h"
#include "monitorstore/verdicts.h"
#include "monitorstore/windows.h"
#include "qualities.h"
#include "state.h"
#include "twins.h"
#include "watching.h"

/* Of whoever of several works. Any number that nobody else in the database takes. */
#define OBSERVER_LOCK "4707174031187263829"
#define FOLLOWER      "monitor"

enum { HOURS_MOST = 64, SETTLE_US = 1000000, TIDY_US = 10000000, FOLLOWER_RESTS = 4 };

enum {
    METRIC_ACTIVE,
    METRIC_TRANSACTIONS,
    METRIC_DECISIONS,
    METRIC_TOLD,
    METRIC_DEGRADED,
    METRIC_UNSCORED,
    METRIC_DUPLICATES,
    METRIC_BEHIND_ENTRIES,
    METRIC_BEHIND_SECONDS,
    METRIC_PENDING,
    METRIC_GIVEN_UP,
    METRIC_UNREADABLE,
    METRIC_LEFT_OUT,
    METRIC_WINDOWS,
    METRIC_REQUESTS,
    METRIC_RAISED,
    METRIC_PSI,
    METRIC_PSI_CRITICAL,
    METRIC_JS,
    METRIC_JS_CRITICAL,
    METRIC_MISSING,
    METRIC_UNSEEN,
    METRIC_DRIFTED,
    METRIC_MATURED_AFTER,
    METRIC_KNOWN,
    METRIC_PROMISED,
    METRIC_REALISED,
    METRIC_ESTIMATED,
    METRIC_ESTIMATE_ERROR,
    METRIC_RECALL,
    METRIC_FALSE_POSITIVES,
    METRIC_CALIBRATION_ERROR,
    METRIC_CALIBRATION_RATIO,
    METRIC_COUNT
};
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_ACTIVE] = { "assay_monitor_active",
                        METRIC_GAUGE,
                        "1 for the one that works, 0 for one that waits",
                        { NULL } },
    [METRIC_TRANSACTIONS] = { "assay_monitor_transactions_total",
                              METRIC_COUNTER,
                              "Transactions of the log seen",
                              { NULL } },
    [METRIC_DECISIONS] = { "assay_monitor_decisions_total", METRIC_COUNTER, "Decisions counted", { NULL } },
    [METRIC_TOLD] = { "assay_monitor_labels_total", METRIC_COUNTER, "Labels seen", { NULL } },
    [METRIC_DEGRADED] = { "assay_monitor_degraded_total",
                          METRIC_COUNTER,
                          "Decisions made while a part was missing",
                          { NULL } },
    [METRIC_UNSCORED] = { "assay_monitor_unscored_total",
                          METRIC_COUNTER,
                          "Decisions made without a score",
                          { NULL } },
    [METRIC_DUPLICATES] = { "assay_monitor_duplicates_total",
                            METRIC_COUNTER,
                            "Payments that equal another one but for the id",
                            { NULL } },
    [METRIC_BEHIND_ENTRIES] = { "assay_monitor_behind_entries",
                                METRIC_GAUGE,
                                "Entries of the log that were not looked at yet",
                                { NULL } },
    [METRIC_BEHIND_SECONDS] = { "assay_monitor_behind_seconds",
                                METRIC_GAUGE,
                                "How long ago all entries of the log had been looked at",
                                { NULL } },
    [METRIC_PENDING] = { "assay_monitor_pending_entries",
                         METRIC_GAUGE,
                         "Entries whose decision is awaited",
                         { NULL } },
    [METRIC_GIVEN_UP] = { "assay_monitor_given_up_total",
                          METRIC_COUNTER,
                          "Entries given up, whose decision never came",
                          { NULL } },
    [METRIC_UNREADABLE] = { "assay_monitor_unreadable_total",
                            METRIC_COUNTER,
                            "Entries of the log that cannot be read",
                            { NULL } },
    [METRIC_LEFT_OUT] = { "assay_monitor_left_out_total",
                          METRIC_COUNTER,
                          "Decisions that no window counts: without a registered model, or among the first "
                          "of the log",
                          { NULL } },
    [METRIC_WINDOWS] = { "assay_monitor_windows_total", METRIC_COUNTER, "Windows judged", { NULL } },
    [METRIC_REQUESTS] = { "assay_monitor_model_requests_total",
                          METRIC_COUNTER,
                          "New models asked for",
                          { NULL } },
    [METRIC_RAISED] = { "assay_monitor_conditions",
                        METRIC_GAUGE,
                        "Conditions that hold, by severity",
                        { "severity" } },
    [METRIC_PSI] = { "assay_feature_psi",
                     METRIC_GAUGE,
                     "PSI of the newest window against the reference, by feature (also: score, action, "
                     "channel, country, "
                     "mcc) and arm",
                     { "feature", "arm" } },
    [METRIC_PSI_CRITICAL] = { "assay_feature_psi_critical",
                              METRIC_GAUGE,
                              "The PSI that noise alone exceeds as rarely as the settings say",
                              { "feature", "arm" } },
    [METRIC_JS] = { "assay_feature_js_divergence",
                    METRIC_GAUGE,
                    "The same in Jensen-Shannon divergence, bits",
                    { "feature", "arm" } },
    [METRIC_JS_CRITICAL] = { "assay_feature_js_divergence_critical",
                             METRIC_GAUGE,
                             "The divergence that would be believed",
                             { "feature", "arm" } },
    [METRIC_MISSING] = { "assay_feature_missing_ratio",
                         METRIC_GAUGE,
                         "Share of missing values",
                         { "feature", "arm" } },
    [METRIC_UNSEEN] = { "assay_feature_unseen_ratio",
                        METRIC_GAUGE,
                        "Share of categories that nobody knows",
                        { "feature", "arm" } },
    [METRIC_DRIFTED] = { "assay_feature_drifted",
                         METRIC_GAUGE,
                         "1 while drift is confirmed",
                         { "feature", "arm" } },
    [METRIC_MATURED_AFTER] = { "assay_quality_matured_after_seconds",
                               METRIC_GAUGE,
                               "Time until 95 % of a day's frauds are known, of the model that decided last",
                               { NULL } },
    [METRIC_KNOWN] = { "assay_quality_known_ratio",
                       METRIC_GAUGE,
                       "Share of yesterday's frauds that is known by now, as earlier days went",
                       { NULL } },
    [METRIC_PROMISED] = { "assay_quality_average_precision_promised",
                          METRIC_GAUGE,
                          "Average precision that the model's bundle promises",
                          { NULL } },
    [METRIC_REALISED] = { "assay_quality_average_precision",
                          METRIC_GAUGE,
                          "Average precision of the newest matured days",
                          { NULL } },
    [METRIC_ESTIMATED] = { "assay_quality_average_precision_estimate",
                           METRIC_GAUGE,
                           "The same of days that have not matured, as the scores expect it",
                           { NULL } },
    [METRIC_ESTIMATE_ERROR] = { "assay_quality_average_precision_estimate_error",
                                METRIC_GAUGE,
                                "How far such estimates were off on matured days, on average",
                                { NULL } },
    [METRIC_RECALL] = { "assay_quality_recall_ratio",
                        METRIC_GAUGE,
                        "Share of frauds that were not approved, on the newest matured days",
                        { NULL } },
    [METRIC_FALSE_POSITIVES] = { "assay_quality_false_positive_ratio",
                                 METRIC_GAUGE,
                                 "Share of legitimate payments that were not approved, on those days",
                                 { NULL } },
    [METRIC_CALIBRATION_ERROR] = { "assay_quality_calibration_error",
                                   METRIC_GAUGE,
                                   "Expected calibration error of the scores on those days",
                                   { NULL } },
    [METRIC_CALIBRATION_RATIO] = { "assay_quality_calibration_ratio",
                                   METRIC_GAUGE,
                                   "Frauds on those days for each that the scores expected",
                                   { NULL } },
};

/* What the metrics show: the thread writes, the loop reads. */
struct figures {
    bool is_active;
    uint64_t transactions, decisions, labels, degraded, unscored, duplicates, given_up, unreadable;
    uint64_t behind, pending;
    uint64_t left_out, windows, requests, raised[SEVERITY_COUNT];
    struct findings_shown drift[FINDINGS_SHOWN];
    size_t drift_count;
    struct decays_shown quality;
    int64_t caught_up_mono_us; /* when there was nothing left to read; 0: never yet */
};

struct observer {
    const struct monitor_settings *conf;
    struct watch *watch;
    struct metric_set *metrics;
    /* The thread's: */
    struct lanes lanes;
    struct twins *twins;
    struct watching watching;
    struct drifts *drifts;
    struct findings findings;
    struct qualities qualities;
    uint64_t twins_n; /* the twins are those of the log up to here */
    uint64_t settled, seen;
    int64_t seen_mono_us, tidied_mono_us;
    struct figures figures;
    /* Between the threads, under the lock: */
    pthread_mutex_t lock;
    struct figures shown;
};

/* ---- who works ---- */

/* A session's lock is kept as long as the session; asked again, it is not taken twice. */
static const char lock_sql[] =
    "SELECT h.had, CASE WHEN h.had THEN true ELSE pg_try_advisory_lock(" OBSERVER_LOCK
    ") END FROM (SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' "
    "AND pid = pg_backend_pid() AND granted "
    "AND objsubid = 1 AND ((classid::int8 << 32) | objid::int8) = " OBSERVER_LOCK ") AS had OFFSET 0) h";

/* Until now somebody else may have counted, also without getting further in the log: what is held is forgotten. */
static enum err take_lock(struct observer *o, struct pg_session *s, bool *is_taken, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, lock_sql, NULL, &r, why);

    if (!err && !pg_get_bool(r, 0, 0))
        o->twins_n = UINT64_MAX;
    *is_taken = !err && pg_get_bool(r, 0, 1);
    pg_result_free(r);
    return err;
}

/* ---- counting ---- */

struct tally {
    struct health_hour hours[HOURS_MOST];
    size_t count;
    struct pg_session *s;
};

/* The counts of a lane's hour; full of others, those are written first. */
static enum err hour_of(struct tally *t, int32_t lane, int64_t at_us, struct health_hour **out,
                        struct why *why)
{
    int64_t hour_us = at_us - ((at_us % HOUR_US) + HOUR_US) % HOUR_US;

    for (size_t i = t->count; i-- > 0;) {
        *out = &t->hours[i];
        if ((*out)->lane == lane && (*out)->hour_us == hour_us)
            return ERR_OK;
    }
    if (t->count == HOURS_MOST) {
        enum err err = health_add(t->s, t->hours, t->count, why);

        if (err)
            return err;
        t->count = 0;
    }
    *out = &t->hours[t->count++];
    **out = (struct health_hour){ .lane = lane, .hour_us = hour_us };
    return ERR_OK;
}

static enum err tally_txns(struct observer *o, struct tally *t, const struct intake *in, struct figures *f,
                           struct why *why)
{
    for (size_t i = 0; i < in->txn_count; i++) {
        const struct sighting *txn = &in->txns[i];
        int64_t late_us = txn->known_at_us - txn->occurred_at_us;
        struct health_hour *h;
        enum err err = hour_of(t, txn->lane, txn->known_at_us, &h, why);

        if (err)
            return err;
        h->transactions++;
        h->ahead += late_us < 0;
        h->late[health_late_bin(late_us)]++;
        if (twins_add(o->twins, sighting_hash(txn), txn->occurred_at_us)) {
            h->duplicates++;
            f->duplicates++;
        }
        f->transactions++;
    }
    return ERR_OK;
}

static enum err tally_decisions(struct tally *t, const struct intake *in, struct figures *f, struct why *why)
{
    for (size_t i = 0; i < in->decided_count; i++) {
        const struct decided *d = &in->decided[i];
        bool is_unscored = d->score != d->score;
        struct health_hour *h;
        enum err err = hour_of(t, d->txn.lane, d->txn.known_at_us, &h, why);

        if (err)
            return err;
        h->decisions++;
        h->degraded += d->is_degraded;
        h->unscored += is_unscored;
        f->decisions++;
        f->degraded += d->is_degraded;
        f->unscored += is_unscored;
    }
    return ERR_OK;
}

static enum err tally_labels(struct tally *t, const struct intake *in, struct figures *f, struct why *why)
{
    for (size_t i = 0; i < in->label_count; i++) {
        const struct told_label *l = &in->labels[i];
        struct health_hour *h;
        enum err err = hour_of(t, l->lane, l->known_at_us, &h, why);

        if (err)
            return err;
        h->labels++;
        h->frauds += l->is_fraud;
        f->labels++;
    }
    return ERR_OK;
}

static enum err set_lanes(struct observer *o, struct pg_session *s, struct intake *in, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < in->txn_count && !err; i++) {
        err = lanes_know(&o->lanes, s, in->txns[i].account, why);
        in->txns[i].lane = lanes_of(&o->lanes, in->txns[i].account);
    }
    for (size_t i = 0; i < in->label_count && !err; i++) {
        err = lanes_know(&o->lanes, s, in->labels[i].account, why);
        in->labels[i].lane = lanes_of(&o->lanes, in->labels[i].account);
    }
    for (size_t i = 0; i < in->decided_count && !err; i++) {
        err = lanes_know(&o->lanes, s, in->decided[i].txn.account, why);
        in->decided[i].txn.lane = lanes_of(&o->lanes, in->decided[i].txn.account);
    }
    return err;
}

/* ---- the last of the log, for twins ---- */

static const char recall_sql[] = "SELECT * FROM (SELECT " LOG_COLUMNS
                                 " FROM log l WHERE l.n <= $1::int8 AND l.kind = 1 ORDER BY l.n DESC LIMIT "
                                 "$2::int8) l ORDER BY l.n";

static enum err recall_twins(struct observer *o, struct pg_session *s, uint64_t n, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    if (o->twins_n == n)
        return ERR_OK;
    drifts_drop(o->drifts); /* somebody else may have counted since */
    qualities_drop(&o->qualities);
    memset(o->twins, 0, sizeof *o->twins);
    pg_add_i64(&p, (int64_t)n);
    pg_add_i64(&p, TWINS_BACK);
    err = row_ask(s, recall_sql, &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct entry e = entry_of_row(r, i);
        struct sighting txn;

        if (sighting_read(&txn, &e))
            twins_add(o->twins, sighting_hash(&txn), txn.occurred_at_us);
    }
    pg_result_free(r);
    o->twins_n = err ? UINT64_MAX : n;
    return err;
}

/* ---- one batch ---- */

static enum err count_batch(struct observer *o, struct pg_session *s, struct intake *in, uint64_t after,
                            struct figures *f, struct why *why)
{
    struct tally *t = mem_new(struct tally);
    enum err err = set_lanes(o, s, in, why);

    t->s = s;
    o->twins_n = UINT64_MAX; /* until all of it is committed */
    if (!err)
        err = tally_txns(o, t, in, f, why);
    if (!err)
        err = tally_decisions(t, in, f, why);
    if (!err)
        err = tally_labels(t, in, f, why);
    if (!err)
        err = health_add(s, t->hours, t->count, why);
    for (size_t i = 0; i < in->decided_count && !err; i++)
        err = drifts_add(o->drifts, s, &in->decided[i], why);
    if (!err)
        err = drifts_store(o->drifts, s, why);
    if (!err)
        err = qualities_count(&o->qualities, s, in, after, &o->lanes, why);
    mem_free(t);
    return err;
}

/* ---- now and then ---- */

/* What is kept is kept for so many days of the lane's own time. A model that decides no more leaves no conditions. */
static const char stale_sql[] =
    "UPDATE monitor_conditions c SET is_raised = false, since = now(), updated_at = now(), change = "
    "nextval('monitor_condition_changes') FROM monitor_models m WHERE c.is_raised AND c.kind IN ('drift', "
    "'reference') "
    "AND (c.condition LIKE format('drift/%s/%s/%%', m.lane, m.version) OR c.condition = "
    "format('reference/%s/%s', "
    "m.lane, m.version)) AND m.last_at < (SELECT max(o.last_at) FROM monitor_models o WHERE o.lane = m.lane) "
    "- "
    "interval '1 day'";

static enum err forget(struct observer *o, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, "SELECT lane, max(hour) FROM monitor_health GROUP BY lane", NULL, &r, why);

    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        int32_t lane = (int32_t)pg_get_int(r, i, 0);
        int64_t before_us = pg_get_time_us(r, i, 1) - o->conf->keep_days * DAY_US;

        err = health_forget(s, lane, before_us, why);
        if (!err)
            err = watched_forget(s, lane, before_us, why);
        if (!err)
            err = found_forget(s, lane, before_us, why);
        if (!err)
            err = judged_day_forget(s, lane, before_us, why);
    }
    pg_result_free(r);
    return err;
}

static enum err count_raised(struct figures *f, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s, "SELECT severity, count(*) FROM monitor_conditions WHERE is_raised GROUP BY severity",
                NULL, &r, why);

    memset(f->raised, 0, sizeof f->raised);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        for (enum severity v = 0; v < SEVERITY_COUNT; v++)
            if (slice_eq_str(pg_get_text(r, i, 0), severity_name(v)))
                f->raised[v] = (uint64_t)pg_get_int(r, i, 1);
    pg_result_free(r);
    return err;
}

static enum err look_round(struct observer *o, struct pg_session *s, struct figures *f, struct why *why)
{
    enum err err = state_look(&o->watching.state, s, why);

    if (!err)
        err = row_ask(s, stale_sql, NULL, NULL, why);
    if (!err)
        err = forget(o, s, why);
    if (!err)
        err = decays_look(&o->watching.decays, &o->findings, s, &f->quality, why);
    return err ? err : count_raised(f, s, why);
}

static int64_t patience_of(struct observer *o)
{
    int64_t now = clock_mono_us();

    if (now - o->tidied_mono_us < TIDY_US)
        return 0;
    o->tidied_mono_us = now;
    return o->conf->patience_ms * MS_US;
}

static void note(struct observer *o, const struct intake *in, bool is_tidied)
{
    struct figures *f = &o->figures;
    int64_t now = clock_mono_us();

    f->unreadable += in->unreadable;
    f->given_up += in->given_up;
    if (is_tidied)
        f->pending = in->pending;
    f->behind = in->newest > in->n ? in->newest - in->n : 0;
    if (!f->behind || !f->caught_up_mono_us)
        f->caught_up_mono_us = now;
    if (now - o->seen_mono_us >= SETTLE_US) {
        o->settled = o->seen;
        o->seen = in->newest;
        o->seen_mono_us = now;
    }
}

static enum err follow_in_transaction(struct observer *o, struct pg_session *s, const json_t *place,
                                      struct intake *in, struct why *why)
{
    uint64_t after = (uint64_t)json_integer_value(json_object_get(place, "n"));
    int64_t patience_us = patience_of(o);
    struct figures f = o->figures;
    json_t *next;
    enum err err = recall_twins(o, s, after, why);

    if (!err)
        err = intake_read(in, s, after, o->settled, patience_us, why);
    if (!err)
        err = count_batch(o, s, in, after, &f, why);
    if (!err && patience_us)
        err = look_round(o, s, &f, why);
    if (err)
        return err;
    next = json_pack("{s:I}", "n", (json_int_t)in->n);
    err = follower_commit(s, FOLLOWER, next, why);
    json_decref(next);
    if (err)
        return err;
    o->figures = f;
    o->twins_n = in->n;
    note(o, in, patience_us > 0);
    return ERR_OK;
}

static enum err follow(struct observer *o, struct pg_session *s, bool *is_full, struct why *why)
{
    struct intake *in = mem_new(struct intake);
    json_t *place = NULL;
    enum err err = follower_begin(s, FOLLOWER, &place, why);

    if (!err) {
        err = follow_in_transaction(o, s, place, in, why);
        if (err)
            follower_abandon(s);
    }
    *is_full = !err && in->is_full;
    json_decref(place);
    intake_end(in);
    mem_free(in);
    return err;
}

/* ---- the whole ---- */

static void show(struct observer *o)
{
    struct figures *f = &o->figures;

    f->left_out = drifts_left_out(o->drifts);
    f->windows = o->findings.windows;
    f->requests = o->findings.requests;
    f->drift_count = o->findings.shown_count;
    memcpy(f->drift, o->findings.shown, sizeof f->drift);
    pthread_mutex_lock(&o->lock);
    o->shown = o->figures;
    pthread_mutex_unlock(&o->lock);
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct observer *o = ctx;
    bool is_taken, is_full = false;
    enum err err;

    (void)is_ending;
    *rest_us = o->conf->turn_ms * MS_US;
    if (!s)
        return ERR_OK;
    err = take_lock(o, s, &is_taken, why);
    if (!err && is_taken != o->figures.is_active)
        log_event(LOG_INFO, is_taken ? "active" : "waiting", "follower=%s", FOLLOWER);
    o->figures.is_active = !err && is_taken;
    if (!err && is_taken)
        err = follow(o, s, &is_full, why);
    if (is_full)
        *rest_us = 0; /* there is more, after what watch.h has it rest */
    show(o);
    return err;
}

static void put(struct observer *o, size_t metric, const struct findings_shown *shown, double value)
{
    if (!isnan(value))
        metric_put(o->metrics, metric, metric_series(o->metrics, metric, shown->name, shown->arm), value);
}

static void collect_drift(struct observer *o, const struct figures *f)
{
    for (size_t i = 0; i < f->drift_count; i++) {
        const struct findings_shown *shown = &f->drift[i];

        put(o, METRIC_PSI, shown, shown->psi);
        put(o, METRIC_PSI_CRITICAL, shown, shown->psi_critical);
        put(o, METRIC_JS, shown, shown->js);
        put(o, METRIC_JS_CRITICAL, shown, shown->js_critical);
        put(o, METRIC_MISSING, shown, shown->missing);
        put(o, METRIC_UNSEEN, shown, shown->unseen);
        put(o, METRIC_DRIFTED, shown, shown->is_alarm);
    }
}

static void put_known(struct observer *o, size_t metric, double value)
{
    if (!isnan(value))
        metric_put(o->metrics, metric, 0, value);
}

static void collect_quality(struct observer *o, const struct decays_shown *q)
{
    if (!q->is_known)
        return;
    put_known(o, METRIC_MATURED_AFTER, 86400 * q->matured_after_days);
    put_known(o, METRIC_KNOWN, q->known_yesterday);
    put_known(o, METRIC_PROMISED, q->promised);
    put_known(o, METRIC_REALISED, q->realised);
    put_known(o, METRIC_ESTIMATED, q->estimated);
    put_known(o, METRIC_ESTIMATE_ERROR, q->estimate_error);
    put_known(o, METRIC_RECALL, q->recall);
    put_known(o, METRIC_FALSE_POSITIVES, q->false_positive_rate);
    put_known(o, METRIC_CALIBRATION_ERROR, q->calibration_error);
    put_known(o, METRIC_CALIBRATION_RATIO, q->calibration_ratio);
}

static void collect(void *ctx)
{
    struct observer *o = ctx;
    struct figures f;

    pthread_mutex_lock(&o->lock);
    f = o->shown;
    pthread_mutex_unlock(&o->lock);
    metric_put(o->metrics, METRIC_ACTIVE, 0, f.is_active);
    metric_put(o->metrics, METRIC_TRANSACTIONS, 0, (double)f.transactions);
    metric_put(o->metrics, METRIC_DECISIONS, 0, (double)f.decisions);
    metric_put(o->metrics, METRIC_TOLD, 0, (double)f.labels);
    metric_put(o->metrics, METRIC_DEGRADED, 0, (double)f.degraded);
    metric_put(o->metrics, METRIC_UNSCORED, 0, (double)f.unscored);
    metric_put(o->metrics, METRIC_DUPLICATES, 0, (double)f.duplicates);
    metric_put(o->metrics, METRIC_BEHIND_ENTRIES, 0, (double)f.behind);
    metric_put(o->metrics, METRIC_BEHIND_SECONDS, 0,
               f.is_active && f.caught_up_mono_us ? (double)(clock_mono_us() - f.caught_up_mono_us) / 1e6
                                                  : 0);
    metric_put(o->metrics, METRIC_PENDING, 0, (double)f.pending);
    metric_put(o->metrics, METRIC_GIVEN_UP, 0, (double)f.given_up);
    metric_put(o->metrics, METRIC_UNREADABLE, 0, (double)f.unreadable);
    metric_put(o->metrics, METRIC_LEFT_OUT, 0, (double)f.left_out);
    metric_put(o->metrics, METRIC_WINDOWS, 0, (double)f.windows);
    metric_put(o->metrics, METRIC_REQUESTS, 0, (double)f.requests);
    for (enum severity v = 0; v < SEVERITY_COUNT; v++)
        metric_put(o->metrics, METRIC_RAISED,
                   metric_series(o->metrics, METRIC_RAISED, severity_name(v), NULL), (double)f.raised[v]);
    collect_drift(o, &f);
    collect_quality(o, &f.quality);
}

bool observer_is_well(struct observer *o, struct why *trouble)
{
    return watch_is_well(o->watch, trouble);
}

enum err observer_open(struct observer **out, struct metrics *metrics, const struct monitor_settings *conf,
                       struct why *why)
{
    struct observer *o = mem_new(struct observer);
    enum err err;

    *out = NULL;
    o->conf = conf;
    o->twins = mem_new(struct twins);
    o->twins_n = UINT64_MAX;
    pthread_mutex_init(&o->lock, NULL);
    o->metrics = metrics_add(metrics, metric_table, METRIC_COUNT);
    metrics_on_write(metrics, collect, o);
    err = watching_read(&o->watching, conf->drift, why);
    if (err) {
        observer_close(o);
        return err;
    }
    o->findings.conf = o->watching.findings;
    o->drifts = drifts_new(&o->watching.drifts, findings_take, &o->findings);
    err = watch_open(&o->watch,
                     &(struct watch_conf){ .name = "observer",
                                           .conninfo = conf->pg_url,
                                           .application = "assay-monitor",
                                           .role = conf->pg_role,
                                           .rests = FOLLOWER_RESTS,
                                           .turn = turn,
                                           .ctx = o },
                     why);
    if (err) {
        observer_close(o);
        return err;
    }
    *out = o;
    return ERR_OK;
}

void observer_close(struct observer *o)
{
    if (!o)
        return;
    watch_close(o->watch);
    drifts_free(o->drifts);
    lanes_release(&o->lanes);
    mem_free(o->twins);
    pthread_mutex_destroy(&o->lock);
    mem_free(o);
}
