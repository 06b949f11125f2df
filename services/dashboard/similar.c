/* SPDX-License-Identifier: Apache-2.0 */
#include "similar.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "app/watch.h"
#include "base/array.h"
#include "bundle/bundle.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "json/json_out.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "modelstore/modelstore.h"
#include "neighbours/neighbours.h"

enum {
    RESTS = 9, /* app/watch.h */
    REST_US = 2000000,
    LABELS_A_TURN = 500,
    SAMPLED_A_TURN =
        100, /* of decisions without a label: the newest, so that it is a sample where there are more */
    SAMPLED_AT_FIRST = 20000,
    SAMPLED_SHARE = 4, /* of the room, one part in so many is for them */
    INDEX_BYTES_MAX = 256 << 20,
    PLANS_HELD = 16,
    NEAREST = 50, /* of which outcomes are counted */
    SHOWN_KNOWN = 12,
    SHOWN_UNKNOWN = 8,
};

/* ---- how vectors of a plan are read by a model ---- */

struct binding {
    unsigned char plan[SHA256_BYTES];
    size_t vector_bytes;
    uint16_t *from; /* NULL: the plan lacks something */
};

static void binding_make(struct binding *b, const struct bundle *bundle, const struct plan *served)
{
    const struct plan *own = bundle_plan(bundle);

    memcpy(b->plan, plan_hash(served), SHA256_BYTES);
    b->vector_bytes = plan_columns(served) * sizeof(float);
    b->from = mem_new_n(uint16_t, plan_columns(own) + 1);
    if (plan_map(own, served, b->from) == PLAN_NO_COLUMN)
        return;
    mem_free(b->from);
    b->from = NULL;
}

/* ---- the index of a model ---- */

struct index {
    int64_t version;
    struct bundle *bundle;
    struct forest_leaves *leaves;
    struct neighbours *labelled, *sampled;
    int64_t labels_to, labels_whole_from; /* in the log; before the latter only frauds are read */
    int64_t sampled_to;
    bool is_whole; /* all that was there has been read */
    /* The thread's own. */
    struct forest_scratch *scratch;
    float *row;
    uint16_t *found;
    struct binding bindings[PLANS_HELD];
    size_t binding_count;
};

struct similar {
    const struct dashboard_settings *conf;
    struct watch *watch;
    pthread_rwlock_t lock; /* over `shown`, its rows and is_whole; the thread alone writes */
    struct index *shown, *making;
    int64_t refused; /* a version that cannot be opened */
};

static void index_free(struct index *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->binding_count; i++)
        mem_free(x->bindings[i].from);
    neighbours_free(x->labelled);
    neighbours_free(x->sampled);
    forest_leaves_free(x->leaves);
    forest_scratch_free(x->scratch);
    bundle_close(x->bundle);
    mem_free(x->row);
    mem_free(x->found);
    mem_free(x);
}

static bool find_leaves(const struct index *x, const struct binding *b, struct slice vector, float *row,
                        uint16_t *found, struct forest_scratch *scratch)
{
    size_t columns = plan_columns(bundle_plan(x->bundle));

    if (!b->from || vector.len != b->vector_bytes)
        return false;
    for (size_t i = 0; i < columns; i++)
        memcpy(&row[i], vector.ptr + sizeof(float) * b->from[i], sizeof(float));
    forest_leaves_find(x->leaves, row, found, scratch);
    return true;
}

static enum err open_index(struct similar *m, struct pg_session *s, int64_t version, struct index **out,
                           struct why *why)
{
    struct index *x = mem_new(struct index);
    struct buf bytes;
    enum err err;

    *out = NULL;
    x->version = version;
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&x->bundle, buf_slice(&bytes), why);
    if (!err)
        err = forest_leaves_new(&x->leaves, bundle_forest(x->bundle), why);
    if (!err && forest_trees(bundle_forest(x->bundle)) == 0)
        err = err_set(why, ERR_INVALID, "it has no trees");
    if (!err) {
        const struct forest *f = bundle_forest(x->bundle);
        size_t leaves = forest_leaves_most(x->leaves), rows = (size_t)m->conf->similar;
        size_t room = INDEX_BYTES_MAX / neighbours_row_bytes(forest_trees(f), leaves);

        if (rows > room)
            rows = room;
        x->labelled = neighbours_new(forest_trees(f), leaves, rows - rows / SAMPLED_SHARE);
        x->sampled = neighbours_new(forest_trees(f), leaves, rows / SAMPLED_SHARE + 1);
        x->scratch = forest_scratch_new(f);
        x->row = mem_new_n(float, forest_columns(f) + 1);
        x->found = mem_new_n(uint16_t, forest_trees(f));
        *out = x;
        x = NULL;
    }
    buf_release(&bytes);
    index_free(x);
    return err;
}

/* ---- reading decisions ---- */

static enum err find_binding(struct index *x, struct pg_session *s, struct slice plan,
                             const struct binding **out, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct plan *served = NULL;
    enum err err;

    *out = NULL;
    for (size_t i = 0; i < x->binding_count; i++)
        if (slice_eq(plan, slice_of((const char *)x->bindings[i].plan, SHA256_BYTES)))
            *out = &x->bindings[i];
    if (*out || plan.len != SHA256_BYTES)
        return ERR_OK;
    pg_add_bytes(&p, plan);
    err = row_ask(s, "SELECT definition FROM plans WHERE plan = $1::bytea", &p, &r, why);
    if (!err && pg_rows(r))
        err = plan_parse(&served, pg_get_text(r, 0, 0), why);
    if (!err && served) {
        if (x->binding_count == PLANS_HELD) {
            mem_free(x->bindings[0].from);
            memmove(x->bindings, x->bindings + 1, (PLANS_HELD - 1) * sizeof x->bindings[0]);
            x->binding_count--;
        }
        binding_make(&x->bindings[x->binding_count], x->bundle, served);
        *out = &x->bindings[x->binding_count++];
    }
    plan_free(served);
    pg_result_free(r);
    return err;
}

enum { N, DECISION, ACCOUNT, PLAN, VECTOR, IS_FRAUD };

/* Whoever searches waits for one row at most. */
static enum err put_rows(struct similar *m, struct index *x, struct neighbours *into, struct pg_session *s,
                         const struct pg_result *r, struct why *why)
{
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct neighbours_item item;
        const struct binding *b;
        enum err err;

        if (pg_is_null(r, i, DECISION))
            continue;
        err = find_binding(x, s, pg_get_bytes(r, i, PLAN), &b, why);
        if (err)
            return err;
        if (!b || !find_leaves(x, b, pg_get_bytes(r, i, VECTOR), x->row, x->found, x->scratch))
            continue;
        item = (struct neighbours_item){ (uint64_t)pg_get_int(r, i, DECISION),
                                         (uint32_t)pg_get_int(r, i, ACCOUNT), pg_get_bool(r, i, IS_FRAUD) };
        pthread_rwlock_wrlock(&m->lock);
        neighbours_put(into, &item, x->found);
        pthread_rwlock_unlock(&m->lock);
    }
    return ERR_OK;
}

/* Where to begin: as far back as there is room for, and for frauds alone as far back as half of it takes. */
static enum err begin(struct index *x, struct pg_session *s, int64_t rows, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, rows - 1);
    pg_add_i64(&p, rows / 2);
    err = row_ask(
        s,
        "WITH w AS (SELECT coalesce((SELECT n FROM labels ORDER BY n DESC OFFSET $1::int8 LIMIT 1), 0) AS "
        "n) SELECT w.n, coalesce((SELECT l.n FROM labels l WHERE l.is_fraud AND l.n < w.n ORDER BY l.n DESC "
        "OFFSET $2::int8 LIMIT 1), 0) FROM w",
        &p, &r, why);
    if (!err) {
        x->labels_whole_from = pg_get_int(r, 0, 0);
        x->labels_to = pg_get_int(r, 0, 1) - 1;
    }
    pg_result_free(r);
    return err;
}

#define FOUND_SQL                                                                                            \
    " LEFT JOIN transaction_ids t ON t.account = l.account AND t.id = l.transaction_id LEFT JOIN decisions " \
    "d ON "                                                                                                  \
    "d.account = l.account AND d.transaction_id = l.transaction_id AND d.known_at = t.known_at"

static const char labels_sql[] =
    "SELECT l.n, d.n, l.account, d.plan, d.vector, (SELECT f.is_fraud FROM labels f WHERE f.account = "
    "l.account AND f.transaction_id = l.transaction_id ORDER BY f.source DESC, f.labelled_at DESC LIMIT 1) "
    "FROM (SELECT n, account, transaction_id FROM labels WHERE n > $1::int8 AND (n >= $2::int8 OR is_fraud) "
    "ORDER BY n LIMIT $3::int8) l" FOUND_SQL " ORDER BY l.n";

static enum err read_labels(struct similar *m, struct index *x, struct pg_session *s, bool *is_behind,
                            struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, x->labels_to);
    pg_add_i64(&p, x->labels_whole_from);
    pg_add_i64(&p, LABELS_A_TURN);
    err = row_ask(s, labels_sql, &p, &r, why);
    if (!err)
        err = put_rows(m, x, x->labelled, s, r, why);
    if (!err && pg_rows(r))
        x->labels_to = pg_get_int(r, pg_rows(r) - 1, N);
    *is_behind = !err && pg_rows(r) == LABELS_A_TURN;
    pg_result_free(r);
    return err;
}

/* At first from a place on, a part each turn; then the newest of what came since: where more is decided, a sample. */
#define SAMPLED_SQL(order)                                                                                   \
    "SELECT l.n, d.n, l.account, d.plan, d.vector, false FROM (SELECT n, account, transaction_id FROM "      \
    "payments p WHERE p.n > $1::int8 AND NOT EXISTS (SELECT FROM labels f WHERE f.account = p.account AND "  \
    "f.transaction_id = p.transaction_id) ORDER BY n " order " LIMIT $2::int8) l" FOUND_SQL " ORDER BY l.n"
static const char sampled_from_sql[] =
    "SELECT coalesce((SELECT n FROM payments ORDER BY n DESC OFFSET $1::int8 LIMIT 1), 0)";

static enum err read_sampled(struct similar *m, struct index *x, struct pg_session *s, bool *is_behind,
                             struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = ERR_OK;

    if (!x->is_whole && x->sampled_to == 0) {
        pg_add_i64(&p, SAMPLED_AT_FIRST);
        err = row_ask(s, sampled_from_sql, &p, &r, why);
        x->sampled_to = err ? 0 : pg_get_int(r, 0, 0);
        pg_result_free(r);
        r = NULL;
        p = (struct pg_params){ 0 };
    }
    if (err)
        return err;
    pg_add_i64(&p, x->sampled_to);
    pg_add_i64(&p, SAMPLED_A_TURN);
    err = row_ask(s, x->is_whole ? SAMPLED_SQL("DESC") : SAMPLED_SQL(""), &p, &r, why);
    if (!err)
        err = put_rows(m, x, x->sampled, s, r, why);
    if (!err && pg_rows(r))
        x->sampled_to = pg_get_int(r, pg_rows(r) - 1, N);
    *is_behind = !err && !x->is_whole && pg_rows(r) == SAMPLED_A_TURN;
    pg_result_free(r);
    return err;
}

/* ---- the thread ---- */

static const char champion_sql[] =
    "SELECT a.version FROM aliases a WHERE a.alias = 'champion' ORDER BY (SELECT max(v.at) FROM serving v "
    "WHERE v.name = a.name AND v.alias = a.alias) DESC NULLS LAST, a.updated_at DESC LIMIT 1";

static void show(struct similar *m, struct index *x)
{
    struct index *before = m->shown;

    pthread_rwlock_wrlock(&m->lock);
    m->shown = x;
    pthread_rwlock_unlock(&m->lock);
    index_free(before);
}

/* A champion that is another than the one shown is made ready beside it. */
static enum err look_for_champion(struct similar *m, struct pg_session *s, struct why *why)
{
    const struct index *newest = m->making ? m->making : m->shown;
    struct pg_result *r = NULL;
    struct index *x;
    int64_t version = 0;
    enum err err = pg_exec(s, champion_sql, NULL, &r, why);

    if (!err && pg_rows(r))
        version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    if (err || version == 0 || version == m->refused || (newest && newest->version == version))
        return err;
    err = open_index(m, s, version, &x, why);
    if (err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT)
        return err;
    if (err) {
        log_event(LOG_ERROR, "model_refused", "version=%" PRId64 " err=%s why=%s", version, err_name(err),
                  log_quoted(slice_str(why->text)));
        m->refused = version;
        return ERR_OK;
    }
    err = begin(x, s, m->conf->similar, why);
    if (err) {
        index_free(x);
        return err;
    }
    index_free(m->making);
    m->making = x;
    return ERR_OK;
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct similar *m = ctx;
    bool has_labels = false, has_others = false;
    struct index *x;
    enum err err;

    (void)is_ending;
    *rest_us = REST_US;
    if (!s)
        return ERR_UNAVAILABLE;
    err = look_for_champion(m, s, why);
    if (!err && m->making && !m->shown) {
        show(m, m->making);
        m->making = NULL;
    }
    x = m->making ? m->making : m->shown;
    if (err || !x)
        return err;
    err = read_labels(m, x, s, &has_labels, why);
    if (!err)
        err = read_sampled(m, x, s, &has_others, why);
    if (err)
        return err;
    if (!has_labels && !has_others) {
        pthread_rwlock_wrlock(&m->lock);
        x->is_whole = true;
        pthread_rwlock_unlock(&m->lock);
        if (m->making) {
            show(m, m->making);
            m->making = NULL;
        }
    }
    if (has_labels || has_others)
        *rest_us = 0;
    return ERR_OK;
}

enum err similar_open(struct similar **out, const struct dashboard_settings *conf, struct why *why)
{
    struct similar *m = mem_new(struct similar);
    enum err err;

    *out = NULL;
    m->conf = conf;
    pthread_rwlock_init(&m->lock, NULL);
    err = conf->similar
              ? watch_open(
                    &m->watch,
                    &(struct watch_conf){
                        .name = "similar",
                        .conninfo = conf->pg_url,
                        .application = "assay-dashboard-similar",
                        .role = conf->pg_role,
                        .session_sql =
                            "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off",
                        .rests = RESTS,
                        .turn = turn,
                        .ctx = m },
                    why)
              : ERR_OK;
    if (err) {
        similar_close(m);
        return err;
    }
    *out = m;
    return ERR_OK;
}

void similar_close(struct similar *m)
{
    if (!m)
        return;
    watch_close(m->watch);
    index_free(m->making);
    index_free(m->shown);
    pthread_rwlock_destroy(&m->lock);
    mem_free(m);
}

/* ---- the answer ---- */

/* What a search found, and by what. */
struct finding {
    int64_t version;
    size_t trees, labelled, sampled, count;
    bool is_whole, is_exact;
    struct neighbour found[2 * NEAREST];
};

static bool search(const struct index *x, const struct plan *served, struct slice vector, uint32_t account,
                   uint64_t n, struct finding *f)
{
    const struct forest *forest = bundle_forest(x->bundle);
    struct forest_scratch *scratch = forest_scratch_new(forest);
    uint16_t *leaves = mem_new_n(uint16_t, forest_trees(forest));
    float *row = mem_new_n(float, forest_columns(forest) + 1);
    struct binding b;
    bool is_read, is_exact;

    binding_make(&b, x->bundle, served);
    is_read = find_leaves(x, &b, vector, row, leaves, scratch);
    if (is_read) {
        struct neighbours_question q = { leaves, account, n, NEIGHBOURS_AUTO };

        f->count = neighbours_search(x->labelled, &q, f->found, NEAREST, &f->is_exact);
        f->count += neighbours_search(x->sampled, &q, f->found + f->count, NEAREST, &is_exact);
        f->is_exact &= is_exact;
    }
    f->version = x->version;
    f->trees = forest_trees(forest);
    f->labelled = neighbours_count(x->labelled);
    f->sampled = neighbours_count(x->sampled);
    f->is_whole = x->is_whole;
    mem_free(b.from);
    mem_free(row);
    mem_free(leaves);
    forest_scratch_free(scratch);
    return is_read;
}

/* $1 the case, $2 and $3 places in the log and how many trees agree, $4 of how many, $5 to $7 how many are counted and
 * shown. A decision that got its label just now may have been found twice. */
static const char found_sql[] =
    "WITH k AS (SELECT n, max(matches) AS matches FROM unnest($2::int8[], $3::int8[]) AS u (n, matches) "
    "GROUP "
    "BY n), row AS (SELECT p.*, k.matches, o.source, o.labelled_at, CASE o.is_fraud WHEN true THEN 'fraud' "
    "WHEN false THEN 'legit' ELSE 'unknown' END AS outcome, rank() OVER (ORDER BY k.matches DESC, k.n DESC) "
    "AS nearest, rank() OVER (PARTITION BY o.is_fraud IS NULL ORDER BY k.matches DESC, k.n DESC) AS place "
    "FROM k JOIN payments p ON p.n = k.n LEFT JOIN LATERAL (SELECT * FROM labels l WHERE l.account = "
    "p.account AND l.transaction_id = p.transaction_id ORDER BY l.source DESC, l.labelled_at DESC LIMIT 1) o "
    "ON true), c AS (SELECT * FROM review_cases WHERE \"case\" = $1::int8) "
    "SELECT (SELECT jsonb_build_object('count', count(*), 'fraud', count(*) FILTER (WHERE outcome = "
    "'fraud'), 'legit', count(*) FILTER (WHERE outcome = 'legit'), 'unknown', count(*) FILTER (WHERE outcome "
    "= 'unknown')) FROM row WHERE nearest <= $5::int8)::text, (SELECT "
    "coalesce(jsonb_agg(jsonb_build_object('proximity', row.matches::float8 / $4::float8, 'outcome', "
    "row.outcome, 'labelled_by', (ARRAY['customer', 'analyst', 'issuer', 'chargeback'])[row.source + 1], "
    "'labelled_at', rfc3339(row.labelled_at), 'transaction_id', row.transaction_id, 'case', r.\"case\", "
    "'reason', r.reason, 'occurred_at', rfc3339(row.occurred_at), 'amount_minor', row.amount_minor, "
    "'currency', row.currency, 'amount_base_minor', row.amount_base_minor, 'action', "
    "action_word(row.action), 'score', row.score, 'shares', (SELECT coalesce(jsonb_agg(v.kind), '[]') FROM "
    "(VALUES ('card', row.card_id, c.card_id), ('customer', row.customer_id, c.customer_id), ('device', "
    "row.device_id, c.device_id), ('ip', row.ip, c.ip), ('merchant', row.merchant_id, c.merchant_id), "
    "('country', row.country, c.country), ('channel', row.channel, c.channel)) AS v (kind, its, ours) WHERE "
    "v.its = v.ours AND v.its <> '')) ORDER BY row.matches DESC, row.n DESC), '[]') FROM c, row LEFT JOIN "
    "review_cases r ON r.account = row.account AND r.transaction_id = row.transaction_id WHERE row.place <= "
    "CASE row.outcome WHEN 'unknown' THEN $7::int8 ELSE $6::int8 END)::text";

static enum err ask_what_became(struct pg_session *s, int64_t number, const struct finding *f,
                                struct pg_result **r, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_array *places, *matches;

    pg_add_i64(&p, number);
    places = pg_add_array(&p, PG_INT8);
    matches = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < f->count; i++) {
        pg_array_i64(places, (int64_t)f->found[i].key);
        pg_array_i64(matches, (int64_t)f->found[i].matches);
    }
    pg_add_f64(&p, f->trees ? (double)f->trees : 1);
    pg_add_i64(&p, NEAREST);
    pg_add_i64(&p, SHOWN_KNOWN);
    pg_add_i64(&p, SHOWN_UNKNOWN);
    return row_ask(s, found_sql, &p, r, why);
}

static void write_finding(struct call *c, const struct finding *f, const char *trouble,
                          const struct pg_result *r)
{
    struct json_out o = json_out_to(&c->out);

    json_out_open(&o, NULL);
    if (f->version)
        json_out_text(&o, "model_version", arena_printf(&c->arena, "%lld", (long long)f->version));
    else
        json_out_null(&o, "model_version");
    json_out_int(&o, "trees", (int64_t)f->trees);
    json_out_int(&o, "labelled", (int64_t)f->labelled);
    json_out_int(&o, "sampled", (int64_t)f->sampled);
    json_out_bool(&o, "is_whole", f->is_whole);
    json_out_bool(&o, "is_exact", f->is_exact);
    json_out_str(&o, "trouble", trouble);
    json_out_json(&o, "nearest", pg_get_text(r, 0, 0));
    json_out_json(&o, "similar", pg_get_text(r, 0, 1));
    json_out_end(&o);
}

static const char asked_sql[] =
    "SELECT c.account, c.n, d.vector, p.definition FROM review_cases c LEFT JOIN decisions d USING (account, "
    "transaction_id, known_at) LEFT JOIN plans p ON p.plan = d.plan WHERE c.\"case\" = $1::int8";

enum err case_similar(struct call *c, struct pg_session *s, struct why *why)
{
    struct similar *m = dashboard_similar(c->ctx);
    struct finding f = { .is_exact = true };
    struct pg_params p = { 0 };
    struct pg_result *asked = NULL, *r = NULL;
    const char *trouble = NULL;
    struct plan *served = NULL;
    int64_t number;
    enum err err = slice_to_i64(c->id, &number) && number > 0
                       ? ERR_OK
                       : err_set(why, ERR_NOT_FOUND, "there is no such case");

    if (err)
        return err;
    pg_add_i64(&p, number);
    err = row_ask(s, asked_sql, &p, &asked, why);
    if (!err && pg_rows(asked) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no case %lld", (long long)number);
    if (!err && !pg_is_null(asked, 0, 3))
        err = plan_parse(&served, pg_get_text(asked, 0, 3), why);
    if (!err && !served) {
        trouble = "it was decided without features";
    } else if (!err) {
        pthread_rwlock_rdlock(&m->lock);
        if (!m->shown)
            trouble = m->conf->similar ? "no model is ready" : "it is switched off";
        else if (!search(m->shown, served, pg_get_bytes(asked, 0, 2), (uint32_t)pg_get_int(asked, 0, 0),
                         (uint64_t)pg_get_int(asked, 0, 1), &f))
            trouble = "it was decided without a feature that the champion asks for";
        pthread_rwlock_unlock(&m->lock);
    }
    if (!err)
        err = ask_what_became(s, number, &f, &r, why);
    if (!err)
        write_finding(c, &f, trouble, r);
    plan_free(served);
    pg_result_free(asked);
    pg_result_free(r);
    return err;
}
