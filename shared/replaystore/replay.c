/* SPDX-License-Identifier: Apache-2.0 */
#include "replaystore/replay.h"

#include <inttypes.h>
#include <math.h>

#include "base/array.h"
#include "base/clock.h"
#include "featurestore/store.h"
#include "lifestore/row.h"
#include "logstore/reader.h"
#include "policy/control.h"
#include "policystore/answer.h"
#include "proto/differ.h"
#include "proto/txn_proto.h"
#include "replaystore/lists.h"

static const char *const step_names[] = { [REPLAY_PAYMENT] = "payment",
                                          [REPLAY_SCORE] = "score",
                                          [REPLAY_RULES] = "rules",
                                          [REPLAY_RECORD] = "record" };
static_assert(ARRAY_LEN(step_names) == REPLAY_STEP_COUNT, "every step has a name");

static const char *const outcome_names[] = { [REPLAY_MATCHES] = "matches",
                                             [REPLAY_DIFFERS] = "differs",
                                             [REPLAY_AS_STORED] = "as_stored",
                                             [REPLAY_LOST] = "lost" };

const char *replay_step_name(enum replay_step step)
{
    return step_names[step];
}

const char *replay_outcome_name(enum replay_outcome outcome)
{
    return outcome_names[outcome];
}

/* One decision, made again. */
struct again {
    struct replay *out;
    struct shelf *shelf;
    struct pg_session *s;
    const struct past *p;
    struct arena *arena;
    enum replay_step step; /* under way */

    bool has_score;
    double score;
    float margin;
    Assay__V1__DecisionRecord record; /* as it comes out now */
};

/* ---- what differs ---- */

static void differs(struct again *a, struct slice field, struct slice stored, struct slice computed)
{
    struct replay *out = a->out;

    out->steps[a->step] = REPLAY_DIFFERS;
    if (out->difference_count < REPLAY_DIFFERENCES_MAX)
        out->differences[out->difference_count] =
            (struct replay_difference){ a->step, arena_slice(a->arena, field), arena_slice(a->arena, stored),
                                        arena_slice(a->arena, computed) };
    out->difference_count++;
}

static void compare_text(struct again *a, const char *field, struct slice stored, struct slice computed)
{
    if (!slice_eq(stored, computed))
        differs(a, slice_str(field), stored, computed);
}

static void compare_int(struct again *a, const char *field, int64_t stored, int64_t computed)
{
    if (stored != computed)
        differs(a, slice_str(field), arena_printf(a->arena, "%" PRId64, stored),
                arena_printf(a->arena, "%" PRId64, computed));
}

static struct slice number_text(struct again *a, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return arena_printf(a->arena, "%.17g (bits %016" PRIx64 ")", value, bits);
}

static void compare_number(struct again *a, const char *field, double stored, double computed)
{
    if (memcmp(&stored, &computed, sizeof stored) != 0)
        differs(a, slice_str(field), number_text(a, stored), number_text(a, computed));
}

static void on_difference(void *context, struct slice field, struct slice stored, struct slice computed)
{
    differs(context, field, stored, computed);
}

static void finish(struct again *a, enum replay_outcome outcome, struct slice note)
{
    if (a->out->steps[a->step] != REPLAY_DIFFERS)
        a->out->steps[a->step] = outcome;
    a->out->notes[a->step] = arena_slice(a->arena, note);
}

/* What it was made with is not there, or cannot be read: told, and no error. */
static enum err lost(struct again *a, enum err err, const struct why *why)
{
    if (err != ERR_NOT_FOUND && err != ERR_SYNTAX && err != ERR_INVALID && err != ERR_FORBIDDEN &&
        err != ERR_TOO_LARGE && err != ERR_INTERNAL)
        return err;
    finish(a, REPLAY_LOST, slice_str(why->text));
    return ERR_OK;
}

/* ---- payment ---- */

static void check_payment(struct again *a)
{
    const struct past *p = a->p;

    a->step = REPLAY_PAYMENT;
    if (!p->is_as_sent)
        differs(a, SLICE("body_hash"), SLICE("(the hash of the request)"),
                SLICE("(another one, of the payment that is kept)"));
    if (p->n)
        compare_int(a, "n", (int64_t)p->n, (int64_t)p->place);
    compare_text(a, "transaction_id", p->id, p->txn.id);
    compare_int(a, "account", p->account, p->txn.account);
    compare_int(a, "amount_base_minor", p->amount_base_minor, p->txn.amount_base_minor);
    finish(a, REPLAY_MATCHES, p->place ? (struct slice){ 0 } : SLICE("it waits in the outbox for its place"));
}

/* ---- score ---- */

/* The row as scoring fills it: by the plan's columns, or nothing at all where features was away. */
static enum err fill_row(struct again *a, const struct shelf_model *m, struct why *why)
{
    const struct plan *own = bundle_plan(m->bundle), *served;
    size_t columns = forest_columns(bundle_forest(m->bundle)), missing;
    uint16_t *from = arena_new(a->arena, uint16_t, columns + 1);
    enum err err;

    for (size_t c = 0; c < columns; c++)
        m->row[c] = NAN;
    if (a->p->vector.len == 0)
        return ERR_OK;
    err = shelf_plan(a->shelf, a->s, a->p->plan, &served, why);
    if (err)
        return err;
    missing = plan_map(own, served, from);
    if (missing != PLAN_NO_COLUMN)
        return err_set(why, ERR_INVALID, "the vector lacks %.*s, which the model reads",
                       SLICE_ARG(plan_column(own, missing)->name));
    if (a->p->vector.len != plan_columns(served) * sizeof(float))
        return err_set(why, ERR_INVALID, "the vector has %zu bytes, and its plan %zu columns",
                       a->p->vector.len, plan_columns(served));
    for (size_t c = 0; c < columns; c++)
        memcpy(&m->row[c], a->p->vector.ptr + from[c] * sizeof(float), sizeof(float));
    return ERR_OK;
}

static char *text(struct again *a, struct slice s)
{
    return arena_strndup(a->arena, s.ptr, s.len);
}

static void put_contributions(struct again *a, const struct shelf_model *m)
{
    size_t top[FOREST_TOLD];
    size_t count = forest_top(bundle_forest(m->bundle), m->contributions, top, FOREST_TOLD);
    Assay__V1__Contribution *all = arena_new(a->arena, Assay__V1__Contribution, count + 1);

    a->record.n_contributions = count;
    a->record.contributions = arena_new(a->arena, Assay__V1__Contribution *, count + 1);
    for (size_t i = 0; i < count; i++) {
        const struct feature *f = plan_column(bundle_plan(m->bundle), top[i]);

        assay__v1__contribution__init(&all[i]);
        all[i].feature = text(a, f->name);
        all[i].describe = text(a, f->describe);
        all[i].value = (double)m->row[top[i]];
        all[i].margin = m->contributions[top[i]];
        a->record.contributions[i] = &all[i];
    }
}

static void put_thresholds(struct again *a, const struct shelf_model *m)
{
    struct bundle_thresholds own = bundle_thresholds(m->bundle);
    Assay__V1__Thresholds *t = arena_new(a->arena, Assay__V1__Thresholds, 1);

    assay__v1__thresholds__init(t);
    t->challenge = own.challenge;
    t->review = own.review;
    t->decline = own.decline;
    a->record.thresholds = t;
}

/* The score's part of the record; the rest is as stored. */
static void compare_score(struct again *a)
{
    const struct past *p = a->p;
    Assay__V1__DecisionRecord now = *p->record;

    now.contributions = a->record.contributions;
    now.n_contributions = a->record.n_contributions;
    now.thresholds = a->record.thresholds;
    if (p->has_score != a->has_score)
        compare_text(a, "score", p->has_score ? SLICE("there") : SLICE("(none)"),
                     a->has_score ? SLICE("there") : SLICE("(none)"));
    if (p->has_score && a->has_score) {
        compare_number(a, "score", p->score, a->score);
        compare_number(a, "margin", (double)p->margin, (double)a->margin);
    }
    proto_differ(&p->record->base, &now.base, on_difference, a);
}

/* Without a model of the registry: by the online one, which has learned since, or by none. */
static void score_without_model(struct again *a)
{
    const struct past *p = a->p;

    a->record.thresholds = p->record->thresholds;
    a->record.contributions = p->record->contributions;
    a->record.n_contributions = p->record->n_contributions;
    if (!past_lacked(p, "scoring"))
        differs(a, SLICE("degraded"), SLICE("(without scoring)"), SLICE("scoring, as no model scored it"));
    if (p->has_score && !slice_starts_with(p->model_version, SLICE("online:")))
        differs(a, SLICE("model_version"), p->model_version, SLICE("(no such model)"));
    if (p->has_score)
        finish(a, REPLAY_AS_STORED,
               arena_printf(a->arena, "%.*s scored it while scoring was away, and has learned since",
                            SLICE_ARG(p->model_version)));
    else
        finish(a, REPLAY_MATCHES, SLICE("scoring was away, and no model scored it"));
}

static enum err replay_score(struct again *a, struct why *why)
{
    const struct shelf_model *m;
    int64_t version = past_model(a->p);
    enum err err;

    a->step = REPLAY_SCORE;
    a->has_score = a->p->has_score;
    a->score = a->p->score;
    a->margin = a->p->margin;
    if (version == 0) {
        score_without_model(a);
        return ERR_OK;
    }
    err = shelf_model(a->shelf, a->s, version, &m, why);
    if (!err)
        err = fill_row(a, m, why);
    if (err) {
        a->record.thresholds = a->p->record->thresholds;
        a->record.contributions = a->p->record->contributions;
        a->record.n_contributions = a->p->record->n_contributions;
        return lost(a, err, why);
    }
    a->margin = forest_explain(bundle_forest(m->bundle), m->row, m->contributions, m->scratch);
    a->score = bundle_score(m->bundle, a->margin);
    put_contributions(a, m);
    put_thresholds(a, m);
    compare_score(a);
    finish(a, REPLAY_MATCHES,
           past_lacked(a->p, "features") ? SLICE("features was away: the model saw none")
                                         : (struct slice){ 0 });
    return ERR_OK;
}

/* ---- rules ---- */

static Assay__V1__DecideRequest *request_of(struct again *a)
{
    Assay__V1__DecideRequest *request = arena_new(a->arena, Assay__V1__DecideRequest, 1);
    Assay__V1__DecideRequest__Item *item = arena_new(a->arena, Assay__V1__DecideRequest__Item, 1);

    assay__v1__decide_request__init(request);
    assay__v1__decide_request__item__init(item);
    request->n_items = 1;
    request->items = arena_new(a->arena, Assay__V1__DecideRequest__Item *, 1);
    request->items[0] = item;
    request->plan = proto_bytes(a->p->plan);
    item->transaction = a->p->message;
    item->vector = proto_bytes(a->p->vector);
    item->has_score = a->has_score;
    item->score = a->score;
    item->thresholds = a->record.thresholds;
    item->n_degraded = a->p->record->n_degraded;
    item->degraded = a->p->record->degraded;
    return request;
}

/* What the control slice adds to a decline that it let through. */
static void add_control(struct again *a, const Assay__V1__DecideResponse__Item *item)
{
    static char code[] = CONTROL_REASON_CODE, words[] = CONTROL_REASON_TEXT, none[] = "";
    size_t kept = item->n_reasons < POLICY_REASONS_MAX ? item->n_reasons : POLICY_REASONS_MAX - 1;
    Assay__V1__Reason *all = arena_new(a->arena, Assay__V1__Reason, kept + 1);

    a->record.is_control = true;
    a->record.n_reasons = kept + 1;
    a->record.reasons = arena_new(a->arena, Assay__V1__Reason *, kept + 1);
    assay__v1__reason__init(&all[0]);
    all[0].code = code;
    all[0].text = words;
    all[0].detail = none;
    for (size_t i = 0; i < kept; i++) {
        all[i + 1] = *item->reasons[i];
        if (slice_starts_with(slice_str(all[i + 1].code), SLICE("threshold:")))
            all[i + 1].is_public = false;
    }
    for (size_t i = 0; i <= kept; i++)
        a->record.reasons[i] = &all[i];
}

static void take_item(struct again *a, const Assay__V1__DecideResponse__Item *item)
{
    a->record.is_control = false;
    a->record.n_reasons = item->n_reasons;
    a->record.reasons = item->reasons;
    a->record.n_rules = item->n_rules;
    a->record.rules = item->rules;
    a->record.n_noted = item->n_noted;
    a->record.noted = item->noted;
    a->record.n_errors = item->n_errors;
    a->record.errors = item->errors;
    a->record.shadow = item->shadow;
    a->record.decided_by = item->decided_by;
    a->record.score_action = item->score_action;
    a->record.own_thresholds = item->own_thresholds;
    if (a->p->record->is_control && item->action == ASSAY__V1__ACTION__DECLINE &&
        item->decided_by == ASSAY__V1__DECIDED_BY__BY_THRESHOLD)
        add_control(a, item);
}

static enum action action_of(const struct again *a, const Assay__V1__DecideResponse__Item *item)
{
    return a->record.is_control ? ACTION_APPROVE : (enum action)item->action;
}

/* Whether the rules' part of the record comes out as it is stored. */
static void same(void *context, struct slice field, struct slice stored, struct slice computed)
{
    bool *is_same = context;

    (void)field;
    (void)stored;
    (void)computed;
    *is_same = false;
}

static bool is_as_stored(const struct again *a, const Assay__V1__DecideResponse__Item *item)
{
    Assay__V1__DecisionRecord now = a->record;
    bool is_same = action_of(a, item) == a->p->action;

    now.contributions = a->p->record->contributions;
    now.n_contributions = a->p->record->n_contributions;
    now.thresholds = a->p->record->thresholds;
    proto_differ(&a->p->record->base, &now.base, same, &is_same);
    return is_same;
}

static void compare_p_allow(struct again *a, const Assay__V1__DecideResponse__Item *item)
{
    const struct past *p = a->p;
    bool could_be_drawn = item->action == ASSAY__V1__ACTION__DECLINE && a->has_score &&
                          item->decided_by == ASSAY__V1__DECIDED_BY__BY_THRESHOLD;
    double certain = item->action == ASSAY__V1__ACTION__DECLINE ? 0 : 1;

    if (!could_be_drawn)
        compare_number(a, "p_allow", p->p_allow, certain);
    else if (!(p->p_allow >= 0 && p->p_allow <= CONTROL_SHARE_MOST) ||
             (p->record->is_control && p->p_allow == 0))
        differs(a, SLICE("p_allow"), number_text(a, p->p_allow), SLICE("(a share of at most 0.5)"));
}

static struct slice rules_note(struct again *a, int64_t lag_us)
{
    if (a->p->record->is_control)
        return SLICE("declined by the score, and let through by the control slice, whose draw is as stored");
    if (lag_us)
        return arena_printf(a->arena,
                            "by lists as of %.3f s before: a later change had not reached the process",
                            (double)lag_us / SECOND_US);
    if (past_lacked(a->p, "rules"))
        return SLICE("rules was away: ingestion decided by its own copy");
    return (struct slice){ 0 };
}

static void compare_rules(struct again *a, const Assay__V1__DecideResponse__Item *item)
{
    const struct past *p = a->p;
    Assay__V1__DecisionRecord now = a->record;

    now.contributions = p->record->contributions; /* told with the score */
    now.n_contributions = p->record->n_contributions;
    now.thresholds = p->record->thresholds;
    compare_text(a, "action", slice_str(action_name(p->action)), slice_str(action_name(action_of(a, item))));
    compare_text(a, "ruleset_version", p->ruleset_version, slice_str(item->ruleset_version));
    compare_p_allow(a, item);
    if (past_lacked(p, "features") != (p->vector.len == 0))
        compare_text(a, "degraded", past_lacked(p, "features") ? SLICE("features") : SLICE("(not features)"),
                     p->vector.len ? SLICE("(there is a vector)") : SLICE("features: there is no vector"));
    proto_differ(&p->record->base, &now.base, on_difference, a);
}

/* By the lists of the moment; where that is not what was decided, by others that could have been in force. */
static const Assay__V1__DecideResponse__Item *decide(struct again *a, const struct policy *policy,
                                                     const struct policy_columns *columns,
                                                     struct lists_then *lists)
{
    const Assay__V1__DecideRequest *request = request_of(a);
    const Assay__V1__DecideResponse__Item *first = NULL, *item;
    bool is_found;

    do {
        item = answer_decide(policy, columns, request, a->arena)->items[0];
        if (!first)
            first = item;
        take_item(a, item);
        is_found = is_as_stored(a, item);
        if (is_found)
            a->out->lists_lag_us = lists_then_lag_us(lists);
    } while (!is_found && lists_then_next(lists));
    if (is_found)
        return item;
    take_item(a, first); /* of the moment itself, to compare with */
    return first;
}

static enum err replay_rules(struct again *a, struct why *why)
{
    const struct past *p = a->p;
    const struct plan *plan;
    const Assay__V1__DecideResponse__Item *item;
    struct policy_columns *columns = NULL;
    struct lists_then *lists = NULL;
    struct policy *policy;
    enum err err;

    a->step = REPLAY_RULES;
    err = shelf_policy(a->shelf, a->s, past_ruleset(p), past_shadow(p), &policy, why);
    if (!err && p->plan.len)
        err = shelf_plan(a->shelf, a->s, p->plan, &plan, why);
    if (err)
        return lost(a, err, why);
    if (p->plan.len)
        columns = policy_bind_plan(policy, plan);
    lists = lists_then_open(policy, a->shelf, a->s, p->decided_at_us);
    item = decide(a, policy, columns, lists);
    err = lists_then_err(lists, why);
    lists_then_close(lists);
    policy_columns_free(columns);
    if (err)
        return err;
    compare_rules(a, item);
    finish(a, p->record->is_control ? REPLAY_AS_STORED : REPLAY_MATCHES, rules_note(a, a->out->lists_lag_us));
    return ERR_OK;
}

/* ---- the whole ---- */

static void compare_record(struct again *a)
{
    size_t len = assay__v1__decision_record__get_packed_size(&a->record);
    uint8_t *bytes = arena_alloc(a->arena, len + 1, 1);
    bool is_lost = a->out->steps[REPLAY_RULES] == REPLAY_LOST;

    a->step = REPLAY_RECORD;
    if (is_lost) {
        finish(a, REPLAY_LOST, SLICE("the rules' part cannot be made again"));
        return;
    }
    assay__v1__decision_record__pack(&a->record, bytes);
    if (!slice_eq(slice_of(bytes, len), a->p->record_bytes))
        differs(a, SLICE("record"), arena_printf(a->arena, "%zu bytes", a->p->record_bytes.len),
                arena_printf(a->arena, "%zu bytes, not the same", len));
    finish(a, REPLAY_MATCHES, arena_printf(a->arena, "%zu bytes", a->p->record_bytes.len));
}

static enum replay_outcome worst(const struct replay *r)
{
    static const int badness[] = {
        [REPLAY_MATCHES] = 0, [REPLAY_AS_STORED] = 1, [REPLAY_LOST] = 2, [REPLAY_DIFFERS] = 3
    };
    enum replay_outcome outcome = REPLAY_MATCHES;

    for (int i = 0; i < REPLAY_STEP_COUNT; i++)
        if (badness[r->steps[i]] > badness[outcome])
            outcome = r->steps[i];
    return outcome;
}

enum err replay_decision(struct replay *out, struct shelf *shelf, struct pg_session *s, const struct past *p,
                         struct arena *arena, struct why *why)
{
    struct again a = { .out = out, .shelf = shelf, .s = s, .p = p, .arena = arena, .record = *p->record };
    enum err err;

    *out = (struct replay){ 0 };
    check_payment(&a);
    err = replay_score(&a, why);
    if (!err)
        err = replay_rules(&a, why);
    if (err)
        return err;
    compare_record(&a);
    out->outcome = worst(out);
    return ERR_OK;
}

void replay_write(struct json_out *o, const char *key, const struct past *p, const struct replay *r)
{
    json_out_open(o, key);
    json_out_str(o, "outcome", outcome_names[r->outcome]);
    json_out_text(o, "transaction_id", p->id);
    json_out_text(o, "model_version", p->model_version);
    json_out_text(o, "ruleset_version", p->ruleset_version);
    json_out_text(o, "arm", p->arm);
    json_out_list(o, "degraded");
    for (size_t i = 0; i < p->record->n_degraded; i++)
        json_out_str(o, NULL, p->record->degraded[i]);
    json_out_end(o);
    json_out_time(o, "decided_at", p->decided_at_us);
    json_out_int(o, "lists_lag_us", r->lists_lag_us);
    json_out_list(o, "steps");
    for (int i = 0; i < REPLAY_STEP_COUNT; i++) {
        json_out_open(o, NULL);
        json_out_str(o, "step", step_names[i]);
        json_out_str(o, "outcome", outcome_names[r->steps[i]]);
        json_out_text(o, "note", r->notes[i]);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_list(o, "differences");
    for (size_t i = 0; i < r->difference_count && i < REPLAY_DIFFERENCES_MAX; i++) {
        json_out_open(o, NULL);
        json_out_str(o, "step", step_names[r->differences[i].step]);
        json_out_text(o, "field", r->differences[i].field);
        json_out_text(o, "stored", r->differences[i].stored);
        json_out_text(o, "computed", r->differences[i].computed);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_int(o, "difference_count", (int64_t)r->difference_count);
    json_out_end(o);
}

/* ---- the vector from the log ---- */

struct rewinding {
    struct store *store;
    double *values;
    uint64_t n; /* the entry that is looked for */
    bool is_found;
    int64_t entries;
    struct arena scratch;
};

static bool on_entry(void *ctx, const struct entry *e)
{
    struct rewinding *r = ctx;
    union entry_body body;
    struct why why;

    r->entries++;
    if (entry_open(&body, e, &r->scratch, &why) == ERR_OK) {
        r->is_found = e->n == r->n && e->kind == ENTRY_TXN;
        if (e->kind == ENTRY_LABEL)
            store_apply_label(r->store, e->n, &body.label);
        if (e->kind == ENTRY_TXN)
            store_apply_txn(r->store, e->n, &body.txn, r->is_found ? r->values : NULL);
    }
    arena_reset(&r->scratch);
    return !r->is_found;
}

enum err replay_vector(const struct past *p, struct shelf *shelf, struct pg_session *s, int64_t *entries,
                       int64_t *differing, struct why *why)
{
    struct rewinding r = { .n = p->place };
    const struct plan *plan;
    unsigned char *bytes = NULL;
    size_t len;
    enum err err;

    *differing = *entries = 0;
    if (p->vector.len == 0 || p->place == 0)
        return err_set(why, ERR_NOT_FOUND, "it was decided without a vector");
    err = shelf_plan(shelf, s, p->plan, &plan, why);
    if (err)
        return err;
    len = 4 * plan_columns(plan);
    r.store = store_new(plan);
    r.values = mem_new_n(double, plan_columns(plan) + 1);
    bytes = mem_new_n(unsigned char, len + 1);
    err = log_read(s, &(struct log_range){ .upto = p->place, .account = p->account }, on_entry, &r, why);
    if (!err && !r.is_found)
        err = err_set(why, ERR_NOT_FOUND, "its entry %" PRIu64 " is not in the log", p->place);
    if (!err) {
        store_vector_pack(r.values, plan_columns(plan), bytes);
        for (size_t i = 0; i < len && i < p->vector.len; i++)
            *differing += bytes[i] != (unsigned char)p->vector.ptr[i];
        *differing += len > p->vector.len ? (int64_t)(len - p->vector.len) : (int64_t)(p->vector.len - len);
    }
    *entries = r.entries;
    store_free(r.store);
    mem_free(r.values);
    mem_free(bytes);
    arena_release(&r.scratch);
    return err;
}

/* ---- many ---- */

enum err replay_draw(struct pg_session *s, int64_t count, int64_t seed, struct arena *arena,
                     struct replay_sample **out, size_t *drawn, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, count);
    pg_add_i64(&p, seed);
    err =
        row_ask(s,
                "SELECT account, transaction_id FROM (SELECT account, transaction_id, model_version, "
                "ruleset_version FROM decisions ORDER BY hashtextextended(transaction_id, $2::int8), account "
                "LIMIT $1::int8) d ORDER BY model_version, ruleset_version, account, transaction_id",
                &p, &r, why);
    *drawn = err ? 0 : pg_rows(r);
    *out = arena_new(arena, struct replay_sample, *drawn + 1);
    for (size_t i = 0; i < *drawn; i++)
        (*out)[i] =
            (struct replay_sample){ (uint32_t)pg_get_int(r, i, 0), arena_slice(arena, pg_get_text(r, i, 1)) };
    pg_result_free(r);
    return err;
}
