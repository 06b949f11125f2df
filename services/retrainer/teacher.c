/* SPDX-License-Identifier: Apache-2.0 */
#include "teacher.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "lifestore/follower.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "logstore/reader.h"
#include "onlinestore/onlinestore.h"
#include "trainingstore/trainingstore.h"

enum {
    BATCH_ENTRIES = 5000,
    PIECE_ENTRIES = 500,
    PIECE_DECISIONS = 100,
    REST_TIMES = 5, /* as long as a statement took: decisions wait for nobody who only learns */
    REST_MOST_US = 250000,
    AWAITED_MAX = 100,
    AWAITED_FIRST_US = 20000, /* looked for again after so long, and then after twice as long each time */
    AWAITED_MOST_US = 60000000,
    SCARCE_MOST = 20, /* the share that is drawn is halved so often at most */
    NAME_SIZE = BUNDLE_NAME_MAX + 1,
};

const char *const taught_names[TAUGHT_COUNT] = {
    [TAUGHT_LABEL] = "label",       [TAUGHT_SILENCE] = "silence",     [TAUGHT_NOTHING_NEW] = "nothing_new",
    [TAUGHT_LEFT_OUT] = "left_out", [TAUGHT_NO_VECTOR] = "no_vector", [TAUGHT_NO_ROOM] = "no_room",
};

/* By their keys, row by row: a scan of months of decisions for a thousand of them is never meant. And a lesson that
 * PostgreSQL loses with its machine is taught again, so nobody waits for the disk on its behalf. */
const char teacher_session_sql[] = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET "
                                   "enable_seqscan = off; SET synchronous_commit = off";

/* A label whose decision is not stored yet. One that is on its way comes soon, one of loaded history never does: so
 * it is looked for ever more seldom. */
struct awaited {
    int64_t n;
    int64_t at_us, rest_us;     /* monotonic: when to look, and how long to rest after that */
    bool is_sought, is_missing; /* in this lesson; looked for, and not found */
};

struct teacher {
    double keep;
    size_t room; /* of those that wait */
    bool is_scarce;
    struct awaited *awaited; /* as the last lesson left it */
    size_t awaited_count;
    /* How rows are encoded: kept from lesson to lesson. */
    int64_t version;
    int bits;
    struct online_reference *reference;
    struct online_binding *binding; /* of the plan that came last */
    struct online_entry *entries;
};

/* How late it is for an account after each entry: what came latest so far. */
struct account_clock {
    uint32_t account;
    int64_t before_us; /* at the batch's begin */
    struct step {
        uint64_t n;
        int64_t at_us;
    } * steps; /* at which it rises */
    size_t count, cap;
};

/* A payment that waits until it is old enough. */
struct pending {
    uint64_t n, due_n; /* its entry; that at which it is old enough, 0: none in the batch */
    uint32_t account;
    int64_t known_at_us;
    double times; /* so many payments it stands for */
    struct slice id;
};

/* One lesson. */
struct work {
    struct teacher *t;
    struct pg_session *s;
    struct lesson *done;
    struct why *why;
    const atomic_bool *is_ending;
    struct arena arena;
    char name[NAME_SIZE], follower[NAME_SIZE + 16];
    int64_t champion;
    json_t *place; /* from which it goes on; NULL: the log's begin */
    uint64_t n_before, n;
    size_t waiting; /* in the table */
    double keep;    /* share that is drawn in this lesson */
    struct account_clock *clocks;
    size_t clock_count, clock_cap;
    struct pending *pending; /* drawn in this batch, and then those that are due by its end */
    size_t pending_count, pending_cap;
    size_t due_from;         /* the first that is due; those before wait on */
    struct awaited *awaited; /* rising by n */
    size_t awaited_count, awaited_cap;
    struct pg_result *labels, *decisions; /* decisions: of pending[decided_from ...] */
    size_t decided_from, decided_until, decided_row;
    struct online_row row;
    bool has_taught, is_forgotten;
};

struct teacher *teacher_new(double keep, size_t room)
{
    struct teacher *t = mem_new(struct teacher);

    t->keep = keep;
    t->room = room;
    return t;
}

static void forget_binding(struct teacher *t)
{
    online_binding_free(t->binding);
    mem_free(t->entries);
    t->binding = NULL;
    t->entries = NULL;
}

static void forget_reference(struct teacher *t)
{
    forget_binding(t);
    online_reference_free(t->reference);
    t->reference = NULL;
}

void teacher_free(struct teacher *t)
{
    if (!t)
        return;
    forget_reference(t);
    mem_free(t->awaited);
    mem_free(t);
}

/* ---- clocks ---- */

static struct account_clock *clock_of(struct work *w, uint32_t account)
{
    for (size_t i = 0; i < w->clock_count; i++)
        if (w->clocks[i].account == account)
            return &w->clocks[i];
    ARRAY_RESERVE_ONE(w->clocks, w->clock_count, w->clock_cap);
    w->clocks[w->clock_count] = (struct account_clock){ .account = account, .before_us = INT64_MIN };
    return &w->clocks[w->clock_count++];
}

static int64_t clock_end(const struct account_clock *c)
{
    return c->count ? c->steps[c->count - 1].at_us : c->before_us;
}

static void clock_move(struct account_clock *c, uint64_t n, int64_t at_us)
{
    if (at_us <= clock_end(c))
        return;
    ARRAY_RESERVE_ONE(c->steps, c->count, c->cap);
    c->steps[c->count++] = (struct step){ n, at_us };
}

/* The clock after entry n. */
static int64_t clock_at(const struct account_clock *c, uint64_t n)
{
    size_t low = 0, high = c->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->steps[middle].n <= n)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? c->steps[low - 1].at_us : c->before_us;
}

/* The entry of the batch after which the clock is at least at `due_us`; 0 when there is none. */
static uint64_t clock_reaches(const struct work *w, const struct account_clock *c, int64_t due_us)
{
    size_t low = 0, high = c->count;

    if (c->before_us >= due_us)
        return w->n_before + 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->steps[middle].at_us < due_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->count ? c->steps[low].n : 0;
}

/* ---- the place ---- */

/* What is known of label n, or a new one, to be looked for at once. */
static struct awaited awaited_of(const struct teacher *t, int64_t n)
{
    for (size_t i = 0; i < t->awaited_count; i++)
        if (t->awaited[i].n == n)
            return t->awaited[i];
    return (struct awaited){ .n = n, .rest_us = AWAITED_FIRST_US };
}

static void await(struct work *w, struct awaited awaited)
{
    ARRAY_RESERVE_ONE(w->awaited, w->awaited_count, w->awaited_cap);
    w->awaited[w->awaited_count++] = awaited;
}

static void read_place(struct work *w)
{
    const json_t *place = w->place;
    const char *account;
    json_t *each;
    size_t i;

    w->n = w->n_before = (uint64_t)json_integer_value(json_object_get(place, "n"));
    json_object_foreach(json_object_get(place, "clocks"), account, each)
        clock_of(w, (uint32_t)strtoul(account, NULL, 10))
            ->before_us = json_integer_value(each);
    json_array_foreach(json_object_get(place, "awaited"), i, each)
    {
        await(w, awaited_of(w->t, json_integer_value(each)));
    }
}

static json_t *write_place(const struct work *w)
{
    json_t *clocks = json_object(), *awaited = json_array();

    for (size_t i = 0; i < w->clock_count; i++) {
        char account[16];

        snprintf(account, sizeof account, "%" PRIu32, w->clocks[i].account);
        json_object_set_new(clocks, account, json_integer(clock_end(&w->clocks[i])));
    }
    for (size_t i = 0; i < w->awaited_count; i++)
        json_array_append_new(awaited, json_integer(w->awaited[i].n));
    return json_pack("{s:I,s:I,s:o,s:o}", "n", (json_int_t)w->n, "waiting", (json_int_t)w->waiting, "clocks",
                     clocks, "awaited", awaited);
}

/* ---- what there is to teach by ---- */

static enum err find_champion(struct work *w)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(w->s,
                "SELECT name, version FROM aliases WHERE alias = 'champion' ORDER BY updated_at DESC, name "
                "LIMIT 1",
                NULL, &r, w->why);

    if (!err && pg_rows(r)) {
        snprintf(w->name, sizeof w->name, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
        snprintf(w->follower, sizeof w->follower, "online:%s", w->name);
        w->champion = pg_get_int(r, 0, 1);
    }
    pg_result_free(r);
    return err;
}

/* The model as it stands, or a new one. Rows are encoded by the champion of now: bins are named by quantiles, so a
 * new reference of the same feature finds its bins again. */
static enum err read_model(struct work *w)
{
    struct teacher *t = w->t;
    bool is_new;
    int bits;
    enum err err = online_store_read(w->s, slice_str(w->name), -1, &w->row, &is_new, w->why);

    if (err == ERR_NOT_FOUND) {
        w->row = (struct online_row){
            .model = online_new(&online_defaults),
            .thresholds = { THRESHOLD_NEVER, THRESHOLD_NEVER, THRESHOLD_NEVER },
        };
        err = ERR_OK;
    }
    if (err)
        return err;
    w->row.reference = w->champion;
    bits = online_settings(w->row.model)->bits;
    if (t->reference && t->version == w->champion && t->bits == bits)
        return ERR_OK;
    forget_reference(t);
    t->version = w->champion;
    t->bits = bits;
    return online_reference_read(&t->reference, w->s, w->champion, bits, w->why);
}

/* No binding afterwards: nobody knows the plan. */
static enum err bind(struct work *w, struct slice id)
{
    struct teacher *t = w->t;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct plan *plan = NULL;
    enum err err;

    if (t->binding && memcmp(online_binding_plan(t->binding), id.ptr, SHA256_BYTES) == 0)
        return ERR_OK;
    forget_binding(t);
    pg_add_bytes(&p, id);
    err = row_ask(w->s, "SELECT definition FROM plans WHERE plan = $1::bytea", &p, &r, w->why);
    if (!err && pg_rows(r))
        err = plan_parse(&plan, pg_get_text(r, 0, 0), w->why);
    if (plan) {
        t->binding = online_bind(t->reference, plan);
        t->entries = mem_new_n(struct online_entry, online_binding_entries_max(t->binding) + 1);
    }
    plan_free(plan);
    pg_result_free(r);
    return err;
}

/* ---- reading ---- */

/* Asks, and rests: the session has a thread of its own, and PostgreSQL others to serve. Not within a transaction. */
static enum err ask(struct work *w, const char *sql, struct pg_params *p, struct pg_result **out)
{
    int64_t began_us = clock_mono_us(), rest_us;
    enum err err;

    if (atomic_load(w->is_ending)) {
        pg_params_release(p);
        return err_set(w->why, ERR_TIMEOUT, "told to stop in the middle of a lesson");
    }
    err = row_ask(w->s, sql, p, out, w->why);
    rest_us = (clock_mono_us() - began_us) * REST_TIMES;
    usleep((useconds_t)(rest_us < REST_MOST_US ? rest_us : REST_MOST_US));
    return err;
}

static void read_entry(struct work *w, const struct entry *e)
{
    union entry_body body;
    struct why why;

    w->n = e->n;
    if (e->kind != ENTRY_TXN && e->kind != ENTRY_LABEL)
        return;
    clock_move(clock_of(w, e->account), e->n, e->known_at_us);
    if (e->kind == ENTRY_LABEL)
        return;
    if (entry_open(&body, e, &w->arena, &why)) {
        log_event(LOG_ERROR, "entry_unreadable", "n=%" PRIu64 " why=%s", e->n,
                  log_quoted(slice_str(why.text)));
    } else if (trainingstore_is_drawn(w->keep, 0, e->account, body.txn.id)) {
        if (w->waiting + w->pending_count >= w->t->room) {
            w->done->taught[TAUGHT_NO_ROOM]++;
            return;
        }
        ARRAY_RESERVE_ONE(w->pending, w->pending_count, w->pending_cap);
        w->pending[w->pending_count++] = (struct pending){ .n = e->n,
                                                           .account = e->account,
                                                           .known_at_us = e->known_at_us,
                                                           .times = 1 / w->keep,
                                                           .id = arena_slice(&w->arena, body.txn.id) };
    }
}

/* How many wait, and so which share is drawn: the whole one while half of the room is free, a half of it while a
 * quarter is, and so on. */
static enum err read_waiting(struct work *w)
{
    json_t *known = json_object_get(w->place, "waiting");
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = ERR_OK;
    size_t free_room;

    w->waiting = (size_t)json_integer_value(known);
    if (w->place && !known) { /* a place from before this was kept */
        pg_add_text(&p, slice_str(w->name));
        err = row_ask(w->s, "SELECT count(*) FROM online_pending WHERE name = $1::text", &p, &r, w->why);
        w->waiting = err ? 0 : (size_t)pg_get_int(r, 0, 0);
        pg_result_free(r);
    }
    free_room = w->waiting < w->t->room ? w->t->room - w->waiting : 0;
    w->keep = w->t->keep;
    for (int i = 1; i <= SCARCE_MOST && free_room < w->t->room >> i; i++)
        w->keep /= 2;
    if (w->keep < w->t->keep && !w->t->is_scarce)
        log_event(LOG_WARN, "online_room_is_scarce", "waiting=%zu most=%zu drawn=%.3g", w->waiting,
                  w->t->room, w->keep);
    w->t->is_scarce = w->keep < w->t->keep;
    w->done->drawn = w->keep;
    return err;
}

/* So few that what is drawn of them finds room: at least half of it is free where the whole share is drawn, a quarter
 * where half of it is, and so on. */
static size_t batch_entries(const struct teacher *t)
{
    double most = (double)t->room / (2 * t->keep);

    return most < BATCH_ENTRIES ? (size_t)most : BATCH_ENTRIES;
}

static enum err read_log(struct work *w)
{
    size_t most = batch_entries(w->t), piece = most < PIECE_ENTRIES ? most : PIECE_ENTRIES, rows = piece,
           read = 0;
    enum err err = ERR_OK;

    while (!err && rows == piece && read < most) {
        struct pg_params p = { 0 };
        struct pg_result *r = NULL;

        pg_add_i64(&p, (int64_t)w->n);
        pg_add_i64(&p, (int64_t)piece);
        err = ask(w, "SELECT " LOG_COLUMNS " FROM log l WHERE l.n > $1::int8 ORDER BY l.n LIMIT $2::int8", &p,
                  &r);
        rows = err ? 0 : pg_rows(r);
        for (size_t i = 0; i < rows; i++) {
            struct entry e = entry_of_row(r, i);

            read_entry(w, &e);
        }
        read += rows;
        pg_result_free(r);
    }
    w->done->is_full = read >= most;
    return err;
}

/* Those of the table that are old enough by the end of the batch: the end of a statement over `p`. */
#define DUE                                                                                                  \
    "unnest($2::int4[], $3::timestamptz[]) AS k (account, until) WHERE p.name = $1::text AND p.account = "   \
    "k.account AND p.known_at <= k.until"

static void add_due(struct work *w, struct pg_params *p)
{
    int64_t delay_us = online_reference_label_delay_us(w->t->reference);
    struct pg_array *accounts, *until;

    pg_add_text(p, slice_str(w->name));
    accounts = pg_add_array(p, PG_INT4);
    until = pg_add_array(p, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < w->clock_count; i++) {
        if (w->clocks[i].count == 0)
            continue;
        pg_array_i32(accounts, (int32_t)w->clocks[i].account);
        pg_array_time_us(until, clock_end(&w->clocks[i]) - delay_us);
    }
}

static enum err read_due(struct work *w)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    add_due(w, &p);
    err = ask(w, "SELECT p.n, p.account, p.known_at, p.transaction_id, p.times FROM online_pending p, " DUE,
              &p, &r);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        ARRAY_RESERVE_ONE(w->pending, w->pending_count, w->pending_cap);
        w->pending[w->pending_count++] =
            (struct pending){ .n = (uint64_t)pg_get_int(r, i, 0),
                              .account = (uint32_t)pg_get_int(r, i, 1),
                              .known_at_us = pg_get_time_us(r, i, 2),
                              .times = pg_is_null(r, i, 4) ? 1 / w->t->keep : pg_get_float(r, i, 4),
                              .id = arena_slice(&w->arena, pg_get_text(r, i, 3)) };
        w->waiting--;
    }
    pg_result_free(r);
    return err;
}

static enum err drop_due(struct work *w)
{
    struct pg_params p = { 0 };

    add_due(w, &p);
    return row_ask(w->s, "DELETE FROM online_pending p USING " DUE, &p, NULL, w->why);
}

/* Those that wait on first, then by when they are due. */
static int by_due(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;

    if (x->due_n != y->due_n)
        return x->due_n < y->due_n ? -1 : 1;
    return (x->n > y->n) - (x->n < y->n);
}

static void sort_pending(struct work *w)
{
    int64_t delay_us = online_reference_label_delay_us(w->t->reference);

    for (size_t i = 0; i < w->pending_count; i++) {
        struct pending *p = &w->pending[i];
        uint64_t n = clock_reaches(w, clock_of(w, p->account), p->known_at_us + delay_us);

        p->due_n = n > 0 && n < p->n ? p->n : n;
    }
    if (w->pending_count)
        qsort(w->pending, w->pending_count, sizeof *w->pending, by_due);
    while (w->due_from < w->pending_count && w->pending[w->due_from].due_n == 0)
        w->due_from++;
    w->waiting += w->due_from;
}

static enum err put_pending(struct work *w)
{
    struct pg_params p = { 0 };
    struct pg_array *accounts, *known_at, *n, *ids, *times;

    if (w->due_from == 0)
        return ERR_OK;
    pg_add_text(&p, slice_str(w->name));
    accounts = pg_add_array(&p, PG_INT4);
    known_at = pg_add_array(&p, PG_TIMESTAMPTZ);
    n = pg_add_array(&p, PG_INT8);
    ids = pg_add_array(&p, PG_TEXT);
    times = pg_add_array(&p, PG_FLOAT8);
    for (size_t i = 0; i < w->due_from; i++) {
        pg_array_i32(accounts, (int32_t)w->pending[i].account);
        pg_array_time_us(known_at, w->pending[i].known_at_us);
        pg_array_i64(n, (int64_t)w->pending[i].n);
        pg_array_text(ids, w->pending[i].id);
        pg_array_f64(times, w->pending[i].times);
    }
    return row_ask(w->s,
                   "INSERT INTO online_pending (name, account, known_at, n, transaction_id, times) SELECT "
                   "$1::text, k.* FROM unnest($2::int4[], $3::timestamptz[], $4::int8[], $5::text[], "
                   "$6::float8[]) AS k",
                   &p, NULL, w->why);
}

/* What held of the payment before the label and with it, and its decision. */
static const char labels_sql[] =
    "SELECT l.n, l.account, l.transaction_id, b.is_fraud, a.is_fraud, i.known_at, d.plan, d.vector, "
    "d.action, "
    "d.p_allow, d.amount_base_minor "
    "FROM (SELECT * FROM labels WHERE n > $1::int8 AND n <= $2::int8 UNION ALL "
    "SELECT * FROM labels WHERE n = ANY ($3::int8[])) l "
    "JOIN LATERAL (SELECT t.is_fraud FROM labels t WHERE t.account = l.account AND t.transaction_id = "
    "l.transaction_id AND t.n <= l.n ORDER BY t.source DESC, t.labelled_at DESC, t.n DESC LIMIT 1) a ON true "
    "LEFT JOIN LATERAL (SELECT t.is_fraud FROM labels t WHERE t.account = l.account AND t.transaction_id = "
    "l.transaction_id AND t.n < l.n ORDER BY t.source DESC, t.labelled_at DESC, t.n DESC LIMIT 1) b ON true "
    "LEFT JOIN transaction_ids i ON i.account = l.account AND i.id = l.transaction_id "
    "LEFT JOIN decisions d ON d.account = l.account AND d.transaction_id = l.transaction_id AND d.known_at = "
    "i.known_at ORDER BY l.n";
enum {
    COL_N,
    COL_ACCOUNT,
    COL_ID,
    COL_BEFORE,
    COL_AFTER,
    COL_KNOWN_AT,
    COL_LABEL_DECISION, /* from here on as DECISION_... below */
};

/* Of payments by their keys, with the first label. */
static const char decisions_sql[] =
    "SELECT k.ord, (SELECT min(t.n) FROM labels t WHERE t.account = k.account AND t.transaction_id = k.id), "
    "d.plan, d.vector, d.action, d.p_allow, d.amount_base_minor FROM unnest($1::int4[], $2::text[], "
    "$3::timestamptz[]) WITH ORDINALITY AS k (account, id, known_at, ord) JOIN decisions d ON d.account = "
    "k.account AND d.transaction_id = k.id AND d.known_at = k.known_at ORDER BY k.ord";
enum { COL_ORD, COL_FIRST_LABEL, COL_DUE_DECISION };

enum { DECISION_PLAN, DECISION_VECTOR, DECISION_ACTION, DECISION_P_ALLOW, DECISION_AMOUNT };

static enum err read_labels(struct work *w)
{
    struct pg_params p = { 0 };
    struct pg_array *awaited;

    pg_add_i64(&p, (int64_t)w->n_before);
    pg_add_i64(&p, (int64_t)w->n);
    awaited = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < w->awaited_count; i++)
        if (w->awaited[i].is_sought)
            pg_array_i64(awaited, w->awaited[i].n);
    return ask(w, labels_sql, &p, &w->labels);
}

static enum err read_decisions(struct work *w)
{
    size_t until = w->decided_until + PIECE_DECISIONS;
    struct pg_params p = { 0 };
    struct pg_array *accounts = pg_add_array(&p, PG_INT4), *ids = pg_add_array(&p, PG_TEXT),
                    *known_at = pg_add_array(&p, PG_TIMESTAMPTZ);

    pg_result_free(w->decisions);
    w->decisions = NULL;
    w->decided_from = w->decided_until;
    w->decided_until = until < w->pending_count ? until : w->pending_count;
    w->decided_row = 0;
    for (size_t i = w->decided_from; i < w->decided_until; i++) {
        pg_array_i32(accounts, (int32_t)w->pending[i].account);
        pg_array_text(ids, w->pending[i].id);
        pg_array_time_us(known_at, w->pending[i].known_at_us);
    }
    return ask(w, decisions_sql, &p, &w->decisions);
}

/* ---- teaching ---- */

static uint64_t key_of(uint32_t account, struct slice id)
{
    struct hash_key key = { "assay online" };

    memcpy(key.bytes + 12, &account, sizeof account);
    return hash64(&key, id);
}

/* By the decision whose columns begin at `from`. `times` is how many payments it stands for as one that was drawn. */
static enum err teach(struct work *w, const struct pg_result *r, size_t row, int from, bool is_fraud,
                      double times, uint64_t key, enum taught *what)
{
    struct slice plan = pg_get_bytes(r, row, from + DECISION_PLAN),
                 vector = pg_get_bytes(r, row, from + DECISION_VECTOR);
    struct trainingstore_standing standing =
        trainingstore_standing((enum action)pg_get_int(r, row, from + DECISION_ACTION),
                               pg_get_float(r, row, from + DECISION_P_ALLOW));
    size_t count = 0;
    enum err err;

    if (standing.weight <= 0 || (standing.needs_label && *what == TAUGHT_SILENCE)) {
        *what = TAUGHT_LEFT_OUT;
        return ERR_OK;
    }
    if (plan.len != SHA256_BYTES || vector.len == 0) {
        *what = TAUGHT_NO_VECTOR;
        return ERR_OK;
    }
    err = bind(w, plan);
    if (err)
        return err;
    if (w->t->binding)
        count = online_binding_encode(w->t->binding, vector, w->t->entries);
    if (count == 0) {
        *what = TAUGHT_NO_VECTOR;
        return ERR_OK;
    }
    online_learn(w->row.model, w->t->entries, count, is_fraud, standing.weight * times,
                 pg_get_int(r, row, from + DECISION_AMOUNT), key);
    w->has_taught = true;
    return ERR_OK;
}

/* Whether the payment of a label counted as good before, since it was old enough. */
static bool was_of_age(struct work *w, size_t row)
{
    const struct account_clock *c = clock_of(w, (uint32_t)pg_get_int(w->labels, row, COL_ACCOUNT));
    int64_t now_us = clock_at(c, (uint64_t)pg_get_int(w->labels, row, COL_N));

    return now_us != INT64_MIN &&
           pg_get_time_us(w->labels, row, COL_KNOWN_AT) + online_reference_label_delay_us(w->t->reference) <=
               now_us;
}

static void still_await(struct work *w, int64_t n)
{
    for (size_t i = 0; i < w->awaited_count; i++)
        if (w->awaited[i].n == n) {
            w->awaited[i].is_missing = true;
            return;
        }
    await(w, (struct awaited){ .n = n, .rest_us = AWAITED_FIRST_US, .is_sought = true, .is_missing = true });
}

static enum err teach_label(struct work *w, size_t row)
{
    const struct pg_result *r = w->labels;
    bool is_fraud = pg_get_bool(r, row, COL_AFTER);
    int64_t n = pg_get_int(r, row, COL_N);
    enum taught what = TAUGHT_LABEL;
    enum err err = ERR_OK;

    if (pg_is_null(r, row, COL_LABEL_DECISION + DECISION_ACTION)) {
        still_await(w, n);
        return ERR_OK;
    }
    if (pg_is_null(r, row, COL_BEFORE) ? !is_fraud && was_of_age(w, row)
                                       : pg_get_bool(r, row, COL_BEFORE) == is_fraud)
        what = TAUGHT_NOTHING_NEW;
    else
        err = teach(w, r, row, COL_LABEL_DECISION, is_fraud, 1,
                    key_of((uint32_t)pg_get_int(r, row, COL_ACCOUNT), pg_get_text(r, row, COL_ID)), &what);
    w->row.labels += what == TAUGHT_LABEL;
    w->done->taught[what]++;
    return err;
}

static enum err teach_silence(struct work *w, size_t i)
{
    const struct pending *p = &w->pending[i];
    enum taught what = TAUGHT_SILENCE;
    enum err err = i == w->decided_until ? read_decisions(w) : ERR_OK;
    const struct pg_result *r = w->decisions;
    size_t row = w->decided_row;

    if (err)
        return err;
    if (row == pg_rows(r) || (size_t)pg_get_int(r, row, COL_ORD) != i - w->decided_from + 1) {
        w->done->taught[TAUGHT_NO_VECTOR]++; /* it was never decided on */
        return ERR_OK;
    }
    w->decided_row++;
    if (!pg_is_null(r, row, COL_FIRST_LABEL) && (uint64_t)pg_get_int(r, row, COL_FIRST_LABEL) < p->due_n)
        return ERR_OK; /* its label has taught */
    err = teach(w, r, row, COL_DUE_DECISION, false, p->times, key_of(p->account, p->id), &what);
    w->done->taught[what]++;
    return err;
}

/* Both streams in the log's order. What comes of age at a label's own entry does so before it. */
static enum err teach_all(struct work *w)
{
    size_t label = 0, due = w->due_from, labels = pg_rows(w->labels);
    enum err err = ERR_OK;

    w->decided_until = due;
    while (!err && (label < labels || due < w->pending_count)) {
        if (label == labels || (due < w->pending_count &&
                                w->pending[due].due_n <= (uint64_t)pg_get_int(w->labels, label, COL_N)))
            err = teach_silence(w, due++);
        else
            err = teach_label(w, label++);
    }
    return err;
}

static void give_up_oldest(struct work *w)
{
    size_t more = w->awaited_count > AWAITED_MAX ? w->awaited_count - AWAITED_MAX : 0;

    if (more)
        memmove(w->awaited, w->awaited + more, (w->awaited_count - more) * sizeof *w->awaited);
    w->awaited_count -= more;
    w->done->taught[TAUGHT_NO_VECTOR] += more;
    w->done->awaited = w->awaited_count;
}

static enum err write_model(struct work *w)
{
    if (!w->has_taught)
        return ERR_OK;
    /* A label that was awaited may teach without a new entry: readers still see that there is something new. */
    w->row.n = (int64_t)w->n > w->row.n ? (int64_t)w->n : w->row.n + 1;
    w->row.thresholds = online_thresholds(w->t->reference, w->row.model);
    return online_store_write(w->s, slice_str(w->name), &w->row, w->why);
}

/* Says whether it is time to look for any. */
static bool seek(struct work *w)
{
    int64_t now_us = clock_mono_us();
    bool is_any = false;

    for (size_t i = 0; i < w->awaited_count; i++) {
        w->awaited[i].is_sought = now_us >= w->awaited[i].at_us;
        w->awaited[i].is_missing = false;
        is_any |= w->awaited[i].is_sought;
    }
    return is_any;
}

/* Lets go of what was found, and remembers when to look again for what was not. */
static void end_seeking(struct work *w)
{
    struct teacher *t = w->t;
    int64_t now_us = clock_mono_us();
    size_t kept = 0;

    for (size_t i = 0; i < w->awaited_count; i++) {
        struct awaited a = w->awaited[i];

        if (a.is_sought && !a.is_missing)
            continue;
        if (a.is_sought) {
            a.at_us = now_us + a.rest_us;
            a.rest_us = 2 * a.rest_us < AWAITED_MOST_US ? 2 * a.rest_us : AWAITED_MOST_US;
        }
        w->awaited[kept++] = a;
    }
    w->awaited_count = kept;
    mem_free(t->awaited);
    t->awaited = mem_new_n(struct awaited, kept + 1);
    if (kept)
        memcpy(t->awaited, w->awaited, kept * sizeof *t->awaited);
    t->awaited_count = kept;
}

/* Entries, or a label whose decision has been stored by now. */
static bool has_news(const struct work *w)
{
    bool has = w->n != w->n_before;

    for (size_t i = 0; i < pg_rows(w->labels) && !has; i++)
        has = !pg_is_null(w->labels, i, COL_LABEL_DECISION + DECISION_ACTION);
    return has;
}

/* All of a lesson that takes time: nothing is locked meanwhile, and no transaction is open. */
static enum err learn(struct work *w)
{
    enum err err = read_labels(w);

    if (err)
        return err;
    if (!has_news(w)) {
        for (size_t i = 0; i < w->awaited_count; i++)
            w->awaited[i].is_missing = w->awaited[i].is_sought;
        end_seeking(w);
        return ERR_OK;
    }
    err = read_model(w);
    if (!err)
        err = read_due(w);
    if (!err) {
        sort_pending(w);
        err = teach_all(w);
    }
    if (!err) {
        end_seeking(w);
        give_up_oldest(w);
    }
    return err;
}

static enum err write_all(struct work *w)
{
    json_t *after = write_place(w);
    enum err err = drop_due(w);

    if (!err)
        err = put_pending(w);
    if (!err)
        err = write_model(w);
    if (err)
        follower_abandon(w->s);
    else
        err = follower_commit(w->s, w->follower, after, w->why);
    json_decref(after);
    return err;
}

/* Unless somebody else has gone on from the same place: then the lesson is theirs, and this one is forgotten. */
static enum err keep_lesson(struct work *w)
{
    json_t *place = NULL;
    enum err err = follower_begin(w->s, w->follower, &place, w->why);

    if (err)
        return err;
    if (place ? json_equal(place, w->place) : !w->place) {
        err = write_all(w);
    } else {
        follower_abandon(w->s);
        *w->done = (struct lesson){ .is_full = true };
        w->is_forgotten = true;
    }
    json_decref(place);
    return err;
}

static enum err follow(struct work *w)
{
    enum err err = follower_look(w->s, w->follower, &w->place, w->why);

    if (err)
        return err;
    read_place(w);
    err = read_waiting(w);
    if (!err)
        err = read_log(w);
    if (err || (!seek(w) && w->n == w->n_before))
        return err;
    err = learn(w);
    if (!err && w->row.model)
        err = keep_lesson(w);
    w->done->waiting = w->waiting;
    return err;
}

static void work_release(struct work *w)
{
    for (size_t i = 0; i < w->clock_count; i++)
        mem_free(w->clocks[i].steps);
    mem_free(w->clocks);
    mem_free(w->pending);
    mem_free(w->awaited);
    pg_result_free(w->labels);
    pg_result_free(w->decisions);
    online_free(w->row.model);
    json_decref(w->place);
    arena_release(&w->arena);
}

enum err teacher_go_on(struct teacher *t, struct pg_session *s, const atomic_bool *is_ending,
                       struct lesson *done, struct why *why)
{
    struct work w = { .t = t, .s = s, .done = done, .is_ending = is_ending, .why = why };
    enum err err;

    *done = (struct lesson){ 0 };
    err = find_champion(&w);
    if (!err && *w.name)
        err = follow(&w);
    if (!err && w.row.model && !w.is_forgotten) {
        done->has_model = true;
        done->progress = online_progress(w.row.model);
        done->thresholds = w.row.thresholds;
    }
    if (err)
        *done = (struct lesson){ 0 };
    work_release(&w);
    return err;
}
