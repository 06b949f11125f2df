/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include "app/service.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "pipeline_impl.h"

enum { READ_EVERY_US = 2000000, READ_TIME_US = 2000000 };
#define EXPIRE_EVERY_US HOUR_US

enum { METRIC_CLAIMS, METRIC_SHARE, METRIC_CONTROL_COUNT };
static const struct metric metric_table[METRIC_CONTROL_COUNT] = {
    [METRIC_CLAIMS] = { "assay_ingestion_control_total",
                        METRIC_COUNTER,
                        "Declines by score that the control slice was asked about, by what it said",
                        { "outcome" } },
    [METRIC_SHARE] = { "assay_ingestion_control_share",
                       METRIC_GAUGE,
                       "Share of the declines by score that is let through, by account (0: those without "
                       "their own)",
                       { "account" } },
};

struct control {
    struct ingestion *in;
    struct metric_set *metrics;
    struct control_slice *slices;
    size_t count;
    bool is_reading, reads_again;
    int64_t expired_mono_us;
    struct loop_timer timer;
};

/* ---- settings ---- */

static void put_shares(struct control *c, bool is_on)
{
    char account[16];

    for (size_t i = 0; i < c->count; i++) {
        snprintf(account, sizeof account, "%u", c->slices[i].account);
        metric_put(c->metrics, METRIC_SHARE, metric_series(c->metrics, METRIC_SHARE, account, NULL),
                   is_on ? c->slices[i].share : 0);
    }
}

static void take(struct control *c, const struct pg_result *r)
{
    put_shares(c, false);
    mem_free(c->slices);
    c->slices = mem_new_n(struct control_slice, pg_rows(r) + 1);
    c->count = 0;
    for (size_t row = 0; row < pg_rows(r); row++) {
        struct slice key = pg_get_bytes(r, row, 3);
        struct control_slice *s = &c->slices[c->count];

        if (key.len != sizeof s->key.bytes)
            continue;
        s->account = (uint32_t)pg_get_int(r, row, 0);
        s->share = pg_get_float(r, row, 1);
        s->amount_most = pg_get_int(r, row, 2);
        memcpy(s->key.bytes, key.ptr, key.len);
        c->count++;
    }
    put_shares(c, true);
}

static void on_read(void *ctx, const struct pg_reply *reply)
{
    struct control *c = ctx;

    c->is_reading = false;
    if (!reply->err)
        take(c, reply->results[0]);
    else if (reply->err != ERR_UNAVAILABLE)
        log_event(LOG_WARN, "control_slices_not_read", "reason=%s", log_quoted(slice_str(reply->why.text)));
    loop_timer_set(&c->timer, c->reads_again ? 0 : READ_EVERY_US);
    c->reads_again = false;
}

void control_read(struct control *c)
{
    struct pg_unit *unit;

    c->reads_again = c->is_reading;
    if (c->is_reading)
        return;
    c->is_reading = true;
    unit = pg_unit_new(c->in->pg);
    pg_unit_add(unit, SQL_SLICES);
    pg_unit_is_read(unit);
    pg_unit_send(unit, clock_mono_us() + READ_TIME_US, on_read, c);
}

static void on_expired(void *ctx, const struct pg_reply *reply)
{
    (void)ctx;
    if (reply->err == ERR_INTERNAL)
        log_event(LOG_WARN, "control_slice_not_expired", "reason=%s", log_quoted(slice_str(reply->why.text)));
}

/* Days that nobody asks about any more. Every process does it; whoever comes second finds nothing. */
static void expire(struct control *c)
{
    struct pg_unit *unit;

    if (c->count == 0 || clock_mono_us() - c->expired_mono_us < EXPIRE_EVERY_US)
        return;
    c->expired_mono_us = clock_mono_us();
    unit = pg_unit_new(c->in->pg);
    pg_unit_add(unit, SQL_SLICE_EXPIRE);
    pg_unit_send(unit, c->expired_mono_us + MINUTE_US, on_expired, c);
}

static void on_timer(void *ctx)
{
    expire(ctx);
    control_read(ctx);
}

struct control *control_new(struct ingestion *in)
{
    struct control *c = mem_new(struct control);

    c->in = in;
    c->metrics = metrics_add(service_metrics(in->app), metric_table, METRIC_CONTROL_COUNT);
    c->expired_mono_us = clock_mono_us();
    loop_timer_init(&c->timer, in->loop, on_timer, c);
    return c;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    loop_timer_release(&c->timer);
    mem_free(c->slices);
    mem_free(c);
}

/* The account's own; else that of all, which may be none. */
static const struct control_slice *find(const struct control *c, uint32_t account)
{
    const struct control_slice *common = NULL;

    for (size_t i = 0; i < c->count; i++) {
        if (c->slices[i].account == account)
            return &c->slices[i];
        if (c->slices[i].account == 0)
            common = &c->slices[i];
    }
    return common;
}

bool control_is_asked(const struct control *c, const struct job *job)
{
    const struct decision *d = &job->decision;

    return c->count > 0 && d->has_score &&
           control_is_candidate(find(c, job->txn.account), (enum policy_decider)d->record.decided_by,
                                d->action, d->amount_base_minor);
}

/* ---- asking for room ---- */

static void count_claim(struct control *c, const char *outcome)
{
    metric_inc(c->metrics, METRIC_CLAIMS, metric_series(c->metrics, METRIC_CLAIMS, outcome, NULL));
}

/* The reasons of the decline stay, for those who may see them; in public it is an approval like others. */
static void put_reasons(struct job *job)
{
    static char code[] = CONTROL_REASON_CODE, text[] = CONTROL_REASON_TEXT, none[] = "";
    Assay__V1__DecisionRecord *record = &job->decision.record;
    size_t kept = record->n_reasons < POLICY_REASONS_MAX ? record->n_reasons : POLICY_REASONS_MAX - 1;
    Assay__V1__Reason *all = arena_new(&job->arena, Assay__V1__Reason, kept + 1);
    Assay__V1__Reason **list = arena_new(&job->arena, Assay__V1__Reason *, kept + 1);

    assay__v1__reason__init(&all[0]);
    all[0].code = code;
    all[0].text = text;
    all[0].detail = none;
    for (size_t i = 0; i < kept; i++) {
        all[i + 1] = *record->reasons[i];
        if (slice_starts_with(slice_str(all[i + 1].code), SLICE("threshold:")))
            all[i + 1].is_public = false;
    }
    for (size_t i = 0; i <= kept; i++)
        list[i] = &all[i];
    record->reasons = list;
    record->n_reasons = kept + 1;
}

static void claimed(struct job *job, const struct pg_result *r, size_t row)
{
    struct control *c = job->pipeline->in->control;
    struct decision *d = &job->decision;
    double p_allow = pg_get_float(r, row, 1);
    bool is_allowed = pg_get_bool(r, row, 2);

    d->p_allow = p_allow;
    if (is_allowed) {
        d->action = ACTION_APPROVE;
        d->record.is_control = true;
        put_reasons(job);
    }
    count_claim(c, is_allowed ? "allowed" : p_allow > 0 ? "declined" : "no_room");
}

static void on_claimed(void *ctx, const struct pg_reply *reply)
{
    struct group *group = ctx;
    struct control *c = group->pipeline->in->control;
    const struct pg_result *r = reply->err ? NULL : reply->results[0];

    group_end(group,
              reply->err); /* whether PostgreSQL is silent, the commit finds out: this may have met a lock */
    if (reply->err)
        log_limited(LOG_WARN, "control_slice_not_asked", "payments=%zu err=%s reason=%s", group->count,
                    err_name(reply->err), log_quoted(slice_str(reply->why.text)));
    for (size_t row = 0; r && row < pg_rows(r); row++) {
        int64_t ord = pg_get_int(r, row, 0);

        if (ord >= 1 && (size_t)ord <= group->count)
            claimed(group->jobs[ord - 1], r, row);
    }
    for (size_t i = 0; i < group->count; i++) {
        struct job *job = group->jobs[i];

        if (reply->err)
            count_claim(c, "failed");
        job_enter(job, job->has_place ? STAGE_COMMIT : STAGE_RESERVE);
    }
    group_unref(group);
}

void claim_start(struct group *group)
{
    static const struct control_slice off = { 0 };
    const struct control *c = group->pipeline->in->control;
    struct pg_unit *unit = pg_unit_new(group->pipeline->in->pg);
    struct pg_params *p = pg_unit_add(unit, SQL_SLICE_CLAIM);
    struct pg_array *account = pg_add_array(p, PG_INT4), *id = pg_add_array(p, PG_TEXT),
                    *day = pg_add_array(p, PG_INT4), *customer = pg_add_array(p, PG_TEXT),
                    *card = pg_add_array(p, PG_TEXT), *merchant = pg_add_array(p, PG_TEXT),
                    *amount = pg_add_array(p, PG_INT8), *share = pg_add_array(p, PG_FLOAT8),
                    *is_drawn = pg_add_array(p, PG_BOOL);

    for (size_t i = 0; i < group->count; i++) {
        const struct job *job = group->jobs[i];
        const struct txn *txn = &job->txn;
        const struct control_slice *s = find(c, txn->account);
        int32_t on = control_day(job->decision.known_at_us);

        if (!s) /* turned off since */
            s = &off;
        pg_array_i32(account, (int32_t)txn->account);
        pg_array_text(id, txn->id);
        pg_array_i32(day, on);
        pg_array_text(customer, txn->text[TXN_customer_id]);
        pg_array_text(card, txn->text[TXN_card_id]);
        pg_array_text(merchant, txn->text[TXN_merchant_id]);
        pg_array_i64(amount, job->decision.amount_base_minor);
        pg_array_f64(share, s->share);
        pg_array_bool(is_drawn, control_is_drawn(s, txn->account, txn->text[TXN_customer_id], on));
    }
    pg_unit_send(unit, group_deadline(group), on_claimed, group);
}
