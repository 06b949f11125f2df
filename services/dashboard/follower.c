/* SPDX-License-Identifier: Apache-2.0 */
#include "follower.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/array.h"
#include "base/clock.h"
#include "dashboard.h"
#include "json/json.h"
#include "lifestore/awaited.h"
#include "lifestore/follower.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "logstore/reader.h"
#include "policystore/lists.h"
#include "proto/txn_proto.h"
#include "triage/triage.h"

#define FOLLOWER "dashboard"
enum {
    BATCH_LEAST = 1000, /* entries in one turn; twice as many after a quick one that was full, */
    BATCH_MOST = 32000, /* half as many after a slow one */
    QUICK_MS = 150,
    SLOW_MS = 400,
    PENDING_MOST = 5000, /* entries whose decision is awaited; the oldest are given up for newer ones, */
    PATIENCE_S = 600,    /* and all after that long: an import is never decided */
    DUE_MOST = 100,
    DROPPED_MOST = 1000, /* old rows of a table in one turn */
    DROP_REST_MS = 60000,
    PAST_MOST = 5000, /* decided cases that tell what one without a score is worth */
    /* Payments are stored so many at once, with a rest so many times as long as that took: a thousand at once keep a
     * CPU busy for some 25 ms, and decisions wait for it. */
    PIECE_ROWS = 100,
    PIECE_RESTS = 3,
    PIECE_REST_MOST_MS = 50,
};

/* ---- which decisions become cases ---- */

struct rule_of_cases {
    bool by_action[ACTION_COUNT];
    double score;
};

static enum err read_rule(const struct dashboard_settings *conf, struct rule_of_cases *rule, struct why *why)
{
    const char *rest = conf->case_actions;

    *rule = (struct rule_of_cases){ 0 };
    if (!slice_to_double(slice_str(conf->case_score), &rule->score))
        return err_set(why, ERR_INVALID, "ASSAY_DASHBOARD_CASE_SCORE is a number");
    while (*rest) {
        size_t len = strcspn(rest, ",");
        enum action action = action_find(slice_of(rest, len));

        if (action == ACTION_COUNT)
            return err_set(why, ERR_INVALID, "ASSAY_DASHBOARD_CASES has actions, with commas between");
        rule->by_action[action] = true;
        rest += len + (rest[len] == ',');
    }
    return ERR_OK;
}

enum err follower_check(const struct dashboard_settings *conf, struct why *why)
{
    struct rule_of_cases rule;

    return read_rule(conf, &rule, why);
}

/* ---- the place: {"n": 17, "pending": [[n, account, known_at_us, "id", since_s], ...]} ---- */

struct wanted {
    int64_t n, known_at_us, since_s;
    int32_t account;
    struct slice id;
    bool is_found;
};

/* Cases that people decided, of one account and one set of rules. */
struct past {
    int32_t account;
    struct slice rules; /* spaces between */
    struct triage_past cases;
};

struct batch {
    const struct dashboard_settings *conf;
    struct rule_of_cases rule;
    struct pg_session *s;
    struct arena arena;
    int64_t n, now_s;
    int64_t now_ms, looked_ms;
    int64_t entries; /* that are read at most */
    struct wanted *wanted;
    size_t count, was_pending;
    size_t *due, due_count; /* those that are looked for in this turn */
    size_t too_old;         /* of those that are awaited */
    struct past *past;      /* read when a payment without a score comes */
    size_t past_count;
    bool is_full;
    int64_t rested_us; /* between the pieces */
    struct why *why;
};

static void read_place(struct batch *b, const json_t *place)
{
    json_t *pending = json_object_get(place, "pending"), *each;
    size_t i;

    b->n = json_integer_value(json_object_get(place, "n"));
    b->wanted = arena_new(&b->arena, struct wanted, json_array_size(pending) + (size_t)b->entries);
    json_array_foreach(pending, i, each)
    {
        b->wanted[b->count++] =
            (struct wanted){ .n = json_integer_value(json_array_get(each, 0)),
                             .account = (int32_t)json_integer_value(json_array_get(each, 1)),
                             .known_at_us = json_integer_value(json_array_get(each, 2)),
                             .id = arena_slice(&b->arena, json_slice(json_array_get(each, 3))),
                             .since_s = json_integer_value(json_array_get(each, 4)) };
    }
    b->was_pending = b->count;
}

static bool is_too_old(const struct batch *b, const struct wanted *w)
{
    return w->since_s + PATIENCE_S < b->now_s;
}

static json_t *write_place(struct batch *b)
{
    json_t *pending = json_array();
    size_t left = 0;

    for (size_t i = b->count; i-- > 0 && left < PENDING_MOST;) {
        const struct wanted *w = &b->wanted[i];

        if (w->is_found || is_too_old(b, w))
            continue;
        json_array_insert_new(pending, 0,
                              json_pack("[I,I,I,s%,I]", (json_int_t)w->n, (json_int_t)w->account,
                                        (json_int_t)w->known_at_us, w->id.ptr, w->id.len,
                                        (json_int_t)w->since_s));
        left++;
    }
    return json_pack("{s:I,s:o}", "n", (json_int_t)b->n, "pending", pending);
}

/* ---- one batch ---- */

static enum err read_log(struct batch *b)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, b->n);
    pg_add_i64(&p, b->entries);
    err = row_ask(b->s, "SELECT " LOG_COLUMNS " FROM log l WHERE l.n > $1::int8 ORDER BY l.n LIMIT $2::int8",
                  &p, &r, b->why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct entry e = entry_of_row(r, i);
        union entry_body body;
        struct why why;

        b->n = (int64_t)e.n;
        if (e.kind == ENTRY_TXN && !entry_open(&body, &e, &b->arena, &why))
            b->wanted[b->count++] = (struct wanted){ .n = (int64_t)e.n,
                                                     .account = (int32_t)e.account,
                                                     .known_at_us = e.known_at_us,
                                                     .id = arena_slice(&b->arena, body.txn.id),
                                                     .since_s = b->now_s };
    }
    b->is_full = !err && pg_rows(r) == (size_t)b->entries;
    pg_result_free(r);
    return err;
}

/* What has just come, what is given up after this turn, and whose moment it is. */
static void choose_due(struct batch *b)
{
    size_t too_many = b->count > PENDING_MOST ? b->count - PENDING_MOST : 0;

    b->due = arena_new(&b->arena, size_t, b->count + 1);
    for (size_t i = 0; i < b->count; i++) {
        const struct wanted *w = &b->wanted[i];

        b->too_old += is_too_old(b, w);
        if (i < too_many || i >= b->was_pending || is_too_old(b, w) ||
            awaited_is_due(w->n, w->since_s * 1000, b->looked_ms, b->now_ms))
            b->due[b->due_count++] = i;
    }
}

/* The one that a row of the answer is of. */
static struct wanted *wanted_of(const struct batch *b, const struct pg_result *r, size_t row)
{
    return &b->wanted[b->due[pg_get_int(r, row, 0) - 1]];
}

/* By primary keys, row by row. */
static const char found_sql[] = "SELECT k.ord, l.body, d.decided_at, d.action, d.score, d.amount_base_minor, "
                                "d.record FROM unnest($1::int8[], "
                                "$2::int4[], $3::text[], $4::timestamptz[]) WITH ORDINALITY AS k (n, "
                                "account, id, known_at, ord) JOIN decisions "
                                "d ON d.account = k.account AND d.transaction_id = k.id AND d.known_at = "
                                "k.known_at JOIN log l ON l.n = k.n "
                                "AND l.known_at = k.known_at ORDER BY k.ord";

static enum err find_decisions(struct batch *b, struct pg_result **r)
{
    struct pg_params p = { 0 };
    struct pg_array *n, *account, *id, *known_at;
    enum err err =
        pg_exec_script(b->s,
                       "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL "
                       "enable_seqscan = off",
                       b->why);

    if (err)
        return err;
    n = pg_add_array(&p, PG_INT8);
    account = pg_add_array(&p, PG_INT4);
    id = pg_add_array(&p, PG_TEXT);
    known_at = pg_add_array(&p, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < b->due_count; i++) {
        const struct wanted *w = &b->wanted[b->due[i]];

        pg_array_i64(n, w->n);
        pg_array_i32(account, w->account);
        pg_array_text(id, w->id);
        pg_array_time_us(known_at, w->known_at_us);
    }
    return row_ask(b->s, found_sql, &p, r, b->why);
}

/* $1 to $25, in the order of `enum column`; $26 the time until a case is due. */
static const char insert_sql[] =
    "WITH i AS (SELECT * FROM unnest($1::int4[], $2::text[], $3::timestamptz[], $4::int8[], "
    "$5::timestamptz[], "
    "$6::timestamptz[], $7::int8[], $8::text[], $9::int8[], $10::int2[], $11::float8[], $12::text[], "
    "$13::text[], "
    "$14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::bool[], $21::int8[], "
    "$22::int8[], $23::int8[], $24::int8[], $25::int8[]) AS x (account, transaction_id, known_at, n, "
    "occurred_at, "
    "decided_at, "
    "amount_minor, currency, amount_base_minor, action, score, customer_id, card_id, merchant_id, device_id, "
    "ip, "
    "country, channel, rules, is_case, queue_us, features_us, scoring_us, rules_us, expected_loss)), "
    "made AS (INSERT INTO payments (account, transaction_id, known_at, n, occurred_at, decided_at, "
    "amount_minor, "
    "currency, amount_base_minor, action, score, customer_id, card_id, merchant_id, device_id, ip, country, "
    "channel) SELECT account, transaction_id, known_at, n, occurred_at, decided_at, amount_minor, currency, "
    "amount_base_minor, action, score, customer_id, card_id, merchant_id, device_id, ip, country, channel "
    "FROM i "
    "ON CONFLICT DO NOTHING RETURNING account, transaction_id), "
    "fresh AS (SELECT i.* FROM i JOIN made USING (account, transaction_id)), "
    "minutes AS (INSERT INTO decision_minutes AS m (minute, action, count, amount_base_minor) SELECT "
    "date_trunc('minute', decided_at), action, count(*), sum(amount_base_minor) FROM fresh GROUP BY 1, 2 ON "
    "CONFLICT (minute, action) DO UPDATE SET count = m.count + EXCLUDED.count, amount_base_minor = "
    "m.amount_base_minor + EXCLUDED.amount_base_minor), "
    "latency AS (INSERT INTO decision_latency AS m (minute, stage, bucket, count) SELECT "
    "date_trunc('minute', "
    "decided_at), stage, least(40, floor(log(2, greatest(us, 1)::numeric)))::int2, count(*) FROM fresh, "
    "LATERAL "
    "(VALUES ('queue', queue_us), ('features', features_us), ('scoring', scoring_us), ('rules', rules_us), "
    "('total', queue_us + features_us + scoring_us + rules_us)) AS v (stage, us) GROUP BY 1, 2, 3 ON "
    "CONFLICT "
    "(minute, stage, bucket) DO UPDATE SET count = m.count + EXCLUDED.count) "
    "INSERT INTO review_cases (account, transaction_id, known_at, n, due_at, action, score, expected_loss, "
    "amount_minor, currency, amount_base_minor, occurred_at, customer_id, card_id, merchant_id, device_id, "
    "ip, "
    "country, channel, rules) SELECT account, transaction_id, known_at, n, now() + $26::int8 * interval '1 "
    "ms', "
    "action, score, expected_loss, amount_minor, currency, "
    "amount_base_minor, occurred_at, customer_id, card_id, merchant_id, device_id, ip, country, channel, "
    "string_to_array(rules, ' ') FROM fresh WHERE is_case ORDER BY n ON CONFLICT DO NOTHING";

enum column {
    ACCOUNT,
    ID,
    KNOWN_AT,
    N,
    OCCURRED_AT,
    DECIDED_AT,
    AMOUNT,
    CURRENCY,
    BASE,
    ACTION,
    SCORE,
    CUSTOMER,
    CARD,
    MERCHANT,
    DEVICE,
    IP,
    COUNTRY,
    CHANNEL,
    RULES,
    IS_CASE,
    QUEUE_US,
    FEATURES_US,
    SCORING_US,
    RULES_US,
    EXPECTED_LOSS,
    COLUMN_COUNT
};
static const enum pg_type column_types[COLUMN_COUNT] = {
    PG_INT4, PG_TEXT,   PG_TIMESTAMPTZ, PG_INT8, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ, PG_INT8, PG_TEXT, PG_INT8,
    PG_INT2, PG_FLOAT8, PG_TEXT,        PG_TEXT, PG_TEXT,        PG_TEXT,        PG_TEXT, PG_TEXT, PG_TEXT,
    PG_TEXT, PG_BOOL,   PG_INT8,        PG_INT8, PG_INT8,        PG_INT8,        PG_INT8
};

static const struct {
    enum column column;
    enum txn_text field;
} text_columns[] = {
    { CUSTOMER, TXN_customer_id }, { CARD, TXN_card_id }, { MERCHANT, TXN_merchant_id },
    { DEVICE, TXN_device_id },     { IP, TXN_ip },        { COUNTRY, TXN_country },
    { CHANNEL, TXN_channel },
};

/* ---- what a case without a score is worth ---- */

static const char past_sql[] =
    "WITH recent AS (SELECT account, rules, outcome FROM review_cases WHERE state = 'decided' AND outcome <> "
    "'unclear' ORDER BY \"case\" DESC LIMIT $1::int8) SELECT account, array_to_string(rules, ' '), count(*) "
    "FILTER "
    "(WHERE outcome = 'fraud'), count(*) FROM recent GROUP BY 1, 2";

/* What became of the newest cases that people decided. */
static enum err read_past(struct batch *b)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, PAST_MOST);
    err = row_ask(b->s, past_sql, &p, &r, b->why);
    b->past_count = err ? 0 : pg_rows(r);
    b->past = arena_new(&b->arena, struct past, b->past_count + 1);
    for (size_t i = 0; i < b->past_count; i++)
        b->past[i] = (struct past){ .account = (int32_t)pg_get_int(r, i, 0),
                                    .rules = arena_slice(&b->arena, pg_get_text(r, i, 1)),
                                    .cases = { pg_get_int(r, i, 2), pg_get_int(r, i, 3) } };
    pg_result_free(r);
    return err;
}

/* Takes the first word off a text of words with spaces between; false at its end. */
static bool next_word(struct slice *rest, struct slice *word)
{
    const char *space = rest->len ? memchr(rest->ptr, ' ', rest->len) : NULL;
    size_t len = space ? (size_t)(space - rest->ptr) : rest->len;

    *word = slice_of(rest->ptr, len);
    *rest = space ? slice_of(space + 1, rest->len - len - 1) : SLICE("");
    return len > 0;
}

static bool have_common_word(struct slice a, struct slice b)
{
    struct slice word, other, rest;

    while (next_word(&a, &word))
        for (rest = b; next_word(&rest, &other);)
            if (slice_eq(word, other))
                return true;
    return false;
}

static void add_past(struct triage_past *sum, const struct triage_past *more)
{
    sum->frauds += more->frauds;
    sum->decided += more->decided;
}

/* The chance of fraud that ranks a case without a score. */
static double unscored(const struct batch *b, int32_t account, struct slice rules)
{
    struct triage_past of_account = { 0 }, of_rules = { 0 };

    for (size_t i = 0; i < b->past_count; i++) {
        if (b->past[i].account != account)
            continue;
        add_past(&of_account, &b->past[i].cases);
        if (have_common_word(b->past[i].rules, rules))
            add_past(&of_rules, &b->past[i].cases);
    }
    return triage_unscored(of_account, of_rules);
}

/* Whether the row could be read; then it is in the columns. */
static bool add_payment(struct batch *b, const struct pg_result *r, size_t row, struct pg_array **columns)
{
    const struct wanted *w = wanted_of(b, r, row);
    struct slice bytes = pg_get_bytes(r, row, 6), rules = SLICE("");
    Assay__V1__DecisionRecord *record = assay__v1__decision_record__unpack(
        proto_arena_allocator(&b->arena), bytes.len, (const uint8_t *)bytes.ptr);
    int64_t action = pg_get_int(r, row, 3);
    bool has_score = !pg_is_null(r, row, 4);
    struct txn txn;
    struct why why;

    if (!record || action < 0 || action >= ACTION_COUNT ||
        txn_unpack(&txn, pg_get_bytes(r, row, 1), &b->arena, &why)) {
        log_event(LOG_ERROR, "payment_unreadable", "n=%" PRId64, w->n);
        return false;
    }
    for (size_t i = 0; i < record->n_rules; i++)
        rules = arena_printf(&b->arena, "%.*s%s%s", SLICE_ARG(rules), i ? " " : "", record->rules[i]->id);
    pg_array_i32(columns[ACCOUNT], w->account);
    pg_array_text(columns[ID], w->id);
    pg_array_time_us(columns[KNOWN_AT], w->known_at_us);
    pg_array_i64(columns[N], w->n);
    pg_array_time_us(columns[OCCURRED_AT], txn.occurred_at_us);
    pg_array_time_us(columns[DECIDED_AT], pg_get_time_us(r, row, 2));
    pg_array_i64(columns[AMOUNT], txn.amount_minor);
    pg_array_text(columns[CURRENCY], txn.currency);
    pg_array_i64(columns[BASE], pg_get_int(r, row, 5));
    pg_array_i16(columns[ACTION], (int16_t)action);
    if (has_score)
        pg_array_f64(columns[SCORE], pg_get_float(r, row, 4));
    else
        pg_array_null(columns[SCORE]);
    for (size_t i = 0; i < ARRAY_LEN(text_columns); i++)
        pg_array_text(columns[text_columns[i].column], txn.text[text_columns[i].field]);
    pg_array_text(columns[RULES], rules);
    pg_array_bool(columns[IS_CASE],
                  b->rule.by_action[action] || (has_score && pg_get_float(r, row, 4) >= b->rule.score));
    pg_array_i64(columns[QUEUE_US], record->queue_us);
    pg_array_i64(columns[FEATURES_US], record->features_us);
    pg_array_i64(columns[SCORING_US], record->scoring_us);
    pg_array_i64(columns[RULES_US], record->rules_us);
    pg_array_i64(columns[EXPECTED_LOSS],
                 triage_expected_loss(has_score ? pg_get_float(r, row, 4) : unscored(b, w->account, rules),
                                      pg_get_int(r, row, 5), b->conf->review_cost));
    return true;
}

static enum err store_piece(struct batch *b, const struct pg_result *r, size_t from, size_t to)
{
    struct pg_params p = { 0 };
    struct pg_array *columns[COLUMN_COUNT];
    size_t count = 0;

    for (size_t i = 0; i < COLUMN_COUNT; i++)
        columns[i] = pg_add_array(&p, column_types[i]);
    for (size_t i = from; i < to; i++) {
        wanted_of(b, r, i)->is_found = true;
        count += add_payment(b, r, i, columns);
    }
    pg_add_i64(&p, b->conf->sla_ms);
    if (count)
        return row_ask(b->s, insert_sql, &p, NULL, b->why);
    pg_params_release(&p);
    return ERR_OK;
}

static void rest_between_pieces(struct batch *b, int64_t took_us)
{
    int64_t us = took_us * PIECE_RESTS;

    if (us > PIECE_REST_MOST_MS * MS_US)
        us = PIECE_REST_MOST_MS * MS_US;
    nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
    b->rested_us += us;
}

static enum err store(struct batch *b, const struct pg_result *r)
{
    size_t count = pg_rows(r);
    bool has_unscored = false;
    enum err err;

    for (size_t i = 0; i < count; i++)
        has_unscored |= pg_is_null(r, i, 4);
    err = has_unscored ? read_past(b) : ERR_OK;
    for (size_t from = 0; from < count && !err; from += PIECE_ROWS) {
        int64_t began_us = clock_mono_us();
        bool is_last = count - from <= PIECE_ROWS;

        err = store_piece(b, r, from, is_last ? count : from + PIECE_ROWS);
        if (!err && !is_last)
            rest_between_pieces(b, clock_mono_us() - began_us);
    }
    return err;
}

static enum err follow_in_transaction(struct batch *b, const json_t *place)
{
    struct pg_result *r = NULL;
    int64_t n_before;
    size_t found;
    json_t *after;
    enum err err;

    read_place(b, place);
    n_before = b->n;
    err = read_log(b);
    if (!err)
        choose_due(b);
    if (!err && b->due_count)
        err = find_decisions(b, &r);
    if (!err && r)
        err = store(b, r);
    found = err || !r ? 0 : pg_rows(r);
    pg_result_free(r);
    if (err)
        return err;
    if (place && !found && !b->too_old && b->n == n_before) {
        follower_abandon(b->s);
        return ERR_OK;
    }
    after = write_place(b);
    err = follower_commit(b->s, FOLLOWER, after, b->why);
    json_decref(after);
    return err;
}

/* What a turn costs whatever it reads is shared by more entries, when there are many: an import is passed over in a
 * minute and not in a quarter of an hour. */
static int64_t next_batch(int64_t entries, bool is_full, int64_t took_ms)
{
    if (took_ms > SLOW_MS)
        entries /= 2;
    else if (is_full && took_ms < QUICK_MS)
        entries *= 2;
    return entries < BATCH_LEAST ? BATCH_LEAST : entries > BATCH_MOST ? BATCH_MOST : entries;
}

static enum err follow(const struct dashboard_settings *conf, struct follower_memory *memory,
                       struct pg_session *s, bool *is_behind, struct why *why)
{
    int64_t now_ms = clock_wall_us() / MS_US, began_us = clock_mono_us();
    struct batch b = { .conf = conf,
                       .s = s,
                       .now_s = now_ms / 1000,
                       .now_ms = now_ms,
                       .looked_ms = memory->looked_ms,
                       .entries = memory->entries ? memory->entries : BATCH_LEAST,
                       .why = why };
    json_t *place = NULL;
    enum err err = read_rule(conf, &b.rule, why);

    memory->rested_us = 0;
    if (!err)
        err = follower_begin(s, FOLLOWER, &place, why);
    if (err)
        return err;
    err = follow_in_transaction(&b, place);
    if (err)
        follower_abandon(s);
    else
        memory->looked_ms = now_ms;
    memory->rested_us = b.rested_us;
    memory->entries =
        err ? BATCH_LEAST
            : next_batch(b.entries, b.is_full, (clock_mono_us() - began_us - b.rested_us) / MS_US);
    *is_behind = b.is_full;
    json_decref(place);
    arena_release(&b.arena);
    return err;
}

/* ---- what takes effect ---- */

/* An account on a simulated clock lives in the time of its newest entry. What is being undone is left for the next turn:
 * then it is undone, or cannot be any more. */
static const char due_sql[] =
    "SELECT c.\"case\", c.account, c.transaction_id, c.outcome, c.decided_by, c.effects::text, CASE WHEN "
    "a.clock = "
    "'simulated' THEN greatest(c.known_at, (SELECT l.known_at FROM log l WHERE l.account = c.account ORDER "
    "BY l.n "
    "DESC LIMIT 1)) ELSE c.decided_at END FROM review_cases c JOIN accounts a USING (account) WHERE c.state "
    "= "
    "'decided' AND NOT c.is_applied AND c.effective_at <= now() ORDER BY c.effective_at LIMIT $1::int8 FOR "
    "UPDATE OF c SKIP LOCKED";

/* Exactly once, whoever else is at it. Without a body ("unclear") there is no label. */
static const char apply_sql[] = "WITH put AS (UPDATE review_cases SET is_applied = true, version = version + "
                                "1 WHERE \"case\" = $1::int8 AND "
                                "state = 'decided' AND NOT is_applied AND effective_at <= now() RETURNING "
                                "\"case\", account, transaction_id, "
                                "outcome), boxed AS (INSERT INTO outbox (kind, account, id, known_at, body) "
                                "SELECT 2, account, transaction_id, "
                                "$2::timestamptz, $3::bytea FROM put WHERE octet_length($3::bytea) > 0) "
                                "INSERT INTO audit (account, actor, "
                                "action, subject, detail) SELECT account, $4::text, 'case.effect', "
                                "\"case\"::text, jsonb_build_object('outcome', "
                                "outcome, 'trouble', $5::text) FROM put";

/* Puts the values into their lists; again it changes nothing. What is wrong is told and does not hold the label. */
static enum err put_entries(struct pg_session *s, struct slice effects, struct slice actor, struct slice note,
                            struct arena *arena, struct why *trouble, struct why *why)
{
    json_t *all = NULL, *each;
    size_t i, count, changed;
    struct list_row *lists;
    enum err err = json_parse(&all, effects, JSON_DEPTH_MAX, why);

    if (!err && json_array_size(all))
        err = lists_all(s, arena, &lists, &count, why);
    if (err) {
        json_decref(all);
        return err;
    }
    json_array_foreach(all, i, each)
    {
        struct list_entry entry = { .value = json_slice(json_object_get(each, "value")),
                                    .note = note,
                                    .expires_at_us = LIST_NO_EXPIRY };
        int64_t number = json_integer_value(json_object_get(each, "list"));
        size_t k = 0;

        while (k < count && lists[k].number != number)
            k++;
        if (k == count)
            err_set(trouble, ERR_NOT_FOUND, "a list is not there any more");
        else
            err = lists_put(s, &lists[k], &entry, 1, actor, &changed, trouble);
        if (err && err != ERR_INVALID && err != ERR_TOO_LARGE)
            break;
        err = ERR_OK;
    }
    json_decref(all);
    return err;
}

static enum err apply_one(struct pg_session *s, const struct pg_result *r, size_t row, struct why *why)
{
    struct pg_params p = { 0 };
    struct arena arena = { 0 };
    struct why trouble = { 0 };
    struct slice actor = pg_get_text(r, row, 4), body = SLICE("");
    int64_t at_us = pg_get_time_us(r, row, 6);
    struct label label = { .account = (uint32_t)pg_get_int(r, row, 1),
                           .transaction_id = pg_get_text(r, row, 2),
                           .is_fraud = slice_eq_str(pg_get_text(r, row, 3), "fraud"),
                           .source = LABEL_ANALYST,
                           .labelled_at_us = at_us,
                           .known_at_us = at_us };
    struct slice note = arena_printf(&arena, "case %" PRId64, pg_get_int(r, row, 0));
    enum err err = put_entries(s, pg_get_text(r, row, 5), actor, note, &arena, &trouble, why);

    if (!err) {
        if (!slice_eq_str(pg_get_text(r, row, 3), "unclear"))
            body = label_pack(&label, &arena);
        pg_add_i64(&p, pg_get_int(r, row, 0));
        pg_add_time_us(&p, at_us);
        pg_add_bytes(&p, body);
        pg_add_text(&p, actor);
        pg_add_text(&p, slice_str(trouble.text));
        err = row_ask(s, apply_sql, &p, NULL, why);
    }
    arena_release(&arena);
    return err;
}

static enum err apply_due(struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, DUE_MOST);
    err = row_ask(s, due_sql, &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        err = apply_one(s, r, i, why);
    pg_result_free(r);
    return err;
}

static const char wake_sql[] = "UPDATE review_cases SET state = 'open', snoozed_until = NULL, version = "
                               "version + 1 WHERE state = 'snoozed' AND "
                               "snoozed_until <= now()";

/* ---- what is kept ---- */

/* $1 after which place in the log, $2 how many, $3 how long they are kept. What belongs to a case that people have not
 * done with stays. */
static const char old_payments_sql[] =
    "WITH next AS (SELECT n, decided_at < now() - $3::int8 * interval '1 ms' AS is_old FROM payments WHERE n "
    "> $1::int8 ORDER BY n LIMIT $2::int8), "
    "gone AS (DELETE FROM payments p WHERE p.n > $1::int8 AND p.n <= (SELECT max(n) FROM next) AND "
    "p.decided_at < now() - $3::int8 * interval '1 ms' AND coalesce((SELECT c.state = 'decided' AND "
    "c.is_applied FROM review_cases c WHERE c.account = p.account AND c.transaction_id = p.transaction_id), "
    "true)) "
    "SELECT coalesce(max(n), 0), coalesce(bool_or(is_old), false) FROM next";

/* $1 how many, $2 how long they are kept. */
#define OLD_MINUTES_SQL(table)                                                                               \
    "WITH gone AS (DELETE FROM " table " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " table                    \
    " WHERE minute < now() - $2::int8 * interval '1 ms' ORDER BY minute LIMIT $1::int8)) RETURNING 1) "      \
    "SELECT count(*) FROM gone"

static enum err drop_payments(const struct dashboard_settings *conf, struct follower_memory *memory,
                              struct pg_session *s, bool *has_more, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    if (!conf->keep_ms)
        return ERR_OK;
    pg_add_i64(&p, memory->dropped_n);
    pg_add_i64(&p, DROPPED_MOST);
    pg_add_i64(&p, conf->keep_ms);
    err = row_ask(s, old_payments_sql, &p, &r, why);
    if (!err && pg_get_bool(r, 0, 1)) { /* those that stay are passed over */
        memory->dropped_n = pg_get_int(r, 0, 0);
        *has_more = true;
    } else {
        memory->dropped_n = 0;
    }
    pg_result_free(r);
    return err;
}

static enum err drop_minutes(const struct dashboard_settings *conf, struct pg_session *s, bool *has_more,
                             struct why *why)
{
    static const char *const statements[] = { OLD_MINUTES_SQL("decision_minutes"),
                                              OLD_MINUTES_SQL("decision_latency") };
    enum err err = ERR_OK;

    for (size_t i = 0; i < ARRAY_LEN(statements) && conf->keep_minutes_ms && !err; i++) {
        struct pg_params p = { 0 };
        struct pg_result *r = NULL;

        pg_add_i64(&p, DROPPED_MOST);
        pg_add_i64(&p, conf->keep_minutes_ms);
        err = row_ask(s, statements[i], &p, &r, why);
        *has_more |= !err && pg_get_int(r, 0, 0) == DROPPED_MOST;
        pg_result_free(r);
    }
    return err;
}

/* A few of the oldest each turn, until none is left; then nothing for a while. */
static enum err drop_old(const struct dashboard_settings *conf, struct follower_memory *memory,
                         struct pg_session *s, bool *is_behind, struct why *why)
{
    int64_t now_ms = clock_mono_us() / MS_US;
    bool has_more = false;
    enum err err;

    if (now_ms < memory->drop_at_ms)
        return ERR_OK;
    err = drop_payments(conf, memory, s, &has_more, why);
    if (!err)
        err = drop_minutes(conf, s, &has_more, why);
    memory->drop_at_ms = has_more ? 0 : now_ms + DROP_REST_MS;
    *is_behind |= has_more;
    return err;
}

enum err follower_turn(const struct dashboard_settings *conf, struct follower_memory *memory,
                       struct pg_session *s, bool *is_behind, struct why *why)
{
    enum err err = follow(conf, memory, s, is_behind, why);

    if (!err)
        err = apply_due(s, why);
    if (!err)
        err = pg_exec(s, wake_sql, NULL, NULL, why);
    if (!err)
        err = drop_old(conf, memory, s, is_behind, why);
    return err;
}
