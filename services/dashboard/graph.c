/* SPDX-License-Identifier: Apache-2.0 */
#include "graph.h"

#include "base/array.h"
#include "desk/desk.h"
#include "json/json_out.h"
#include "lifestore/row.h"

enum kind { CARD, CUSTOMER, DEVICE, IP, MERCHANT, KIND_COUNT };
static const char *const kind_names[KIND_COUNT] = { "card", "customer", "device", "ip", "merchant" };

struct node {
    enum kind kind;
    struct slice value;
    int hop;
    bool is_followed, is_hub, is_cut;
    size_t payments, frauds, legit, cases; /* of those that are in the graph */
    int64_t counted, customers;            /* of all, up to GRAPH_COUNTED; -1: not counted */
};

struct edge {
    size_t from, to, payments;
};

struct payment {
    struct slice id, json;
    struct slice values[KIND_COUNT];
    int hop;
    enum kind via;
    bool is_fraud, is_legit, is_case;
};

struct graph {
    struct arena *arena;
    struct slice own; /* the payment's id */
    int64_t account;
    struct node nodes[GRAPH_NODES];
    size_t node_count, nodes_left_out;
    struct edge *edges;
    size_t edge_count, edge_cap;
    struct payment *payments; /* [GRAPH_PAYMENTS] */
    size_t payment_count, payments_left_out;
};

/* ---- putting together ---- */

static size_t find_node(const struct graph *g, enum kind kind, struct slice value)
{
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].kind == kind && slice_eq(g->nodes[i].value, value))
            return i;
    return g->node_count;
}

/* GRAPH_NODES when there is no room. */
static size_t add_node(struct graph *g, enum kind kind, struct slice value, int hop)
{
    size_t at = find_node(g, kind, value);

    if (at < g->node_count)
        return at;
    if (at == GRAPH_NODES) {
        g->nodes_left_out++;
        return at;
    }
    g->nodes[g->node_count++] = (struct node){
        .kind = kind, .value = arena_slice(g->arena, value), .hop = hop, .counted = -1, .customers = -1
    };
    return at;
}

static void add_edge(struct graph *g, size_t from, size_t to)
{
    for (size_t i = 0; i < g->edge_count; i++) {
        struct edge *e = &g->edges[i];

        if ((e->from == from && e->to == to) || (e->from == to && e->to == from)) {
            e->payments += e->from == from; /* seen from one end only, or it would count twice */
            return;
        }
    }
    ARRAY_RESERVE_ONE(g->edges, g->edge_count, g->edge_cap);
    g->edges[g->edge_count++] = (struct edge){ from, to, 1 };
}

/* One that is there already is not there twice. */
static void add_payment(struct graph *g, const struct payment *p)
{
    for (size_t i = 0; i < g->payment_count; i++)
        if (slice_eq(g->payments[i].id, p->id))
            return;
    if (g->payment_count == GRAPH_PAYMENTS) {
        g->payments_left_out++;
        return;
    }
    g->payments[g->payment_count] = *p;
    g->payments[g->payment_count].id = arena_slice(g->arena, p->id);
    g->payments[g->payment_count].json = arena_slice(g->arena, p->json);
    for (int k = 0; k < KIND_COUNT; k++)
        g->payments[g->payment_count].values[k] = arena_slice(g->arena, p->values[k]);
    g->payment_count++;
}

/* ---- following ---- */

enum { ORD, ID, IS_FRAUD, CASE, JSON, VALUES };

static const char follow_sql[] =
    "SELECT k.ord, p.transaction_id, o.is_fraud, r.\"case\", jsonb_build_object('transaction_id', "
    "p.transaction_id, 'occurred_at', rfc3339(p.occurred_at), 'amount_minor', p.amount_minor, 'currency', "
    "p.currency, 'amount_base_minor', p.amount_base_minor, 'action', action_word(p.action), 'score', "
    "p.score, "
    "'customer_id', p.customer_id, 'card_id', p.card_id, 'merchant_id', p.merchant_id, 'device_id', "
    "p.device_id, 'ip', p.ip, 'is_fraud', o.is_fraud, 'case', r.\"case\", 'case_version', r.version, "
    "'case_state', r.state, 'expected_loss_base_minor', r.expected_loss)::text, p.card_id, p.customer_id, "
    "p.device_id, p.ip, p.merchant_id FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k (kind, value, "
    "ord) CROSS JOIN LATERAL payments_sharing($1::int4, k.kind, k.value, $4::int4) p LEFT JOIN LATERAL "
    "(SELECT is_fraud FROM labels l WHERE l.account = p.account AND l.transaction_id = p.transaction_id "
    "ORDER "
    "BY source DESC, labelled_at DESC LIMIT 1) o ON true LEFT JOIN review_cases r ON r.account = p.account "
    "AND "
    "r.transaction_id = p.transaction_id ORDER BY k.ord, p.occurred_at DESC";

static struct payment payment_of(const struct pg_result *r, size_t row, int hop, enum kind via)
{
    struct payment p = { .id = pg_get_text(r, row, ID),
                         .json = pg_get_text(r, row, JSON),
                         .hop = hop,
                         .via = via,
                         .is_case = !pg_is_null(r, row, CASE) };

    if (!pg_is_null(r, row, IS_FRAUD)) {
        p.is_fraud = pg_get_bool(r, row, IS_FRAUD);
        p.is_legit = !p.is_fraud;
    }
    for (int k = 0; k < KIND_COUNT; k++)
        p.values[k] = pg_get_text(r, row, VALUES + k);
    return p;
}

static bool is_hub(const struct pg_result *r, size_t first, size_t end, enum kind kind)
{
    struct slice seen[GRAPH_HUB_CUSTOMERS + 1];
    size_t count = 0;

    for (size_t i = first; i < end && count <= GRAPH_HUB_CUSTOMERS; i++) {
        struct slice customer = pg_get_text(r, i, VALUES + CUSTOMER);
        size_t k = 0;

        while (k < count && !slice_eq(seen[k], customer))
            k++;
        if (k == count)
            seen[count++] = customer;
    }
    return (kind == MERCHANT || kind == IP) && count > GRAPH_HUB_CUSTOMERS;
}

/* What the payments of node `at`, rows `first` to `end`, lead to. */
static void follow_node(struct graph *g, size_t at, const struct pg_result *r, size_t first, size_t end)
{
    int hop = g->nodes[at].hop + 1;
    enum kind kind = g->nodes[at].kind;

    g->nodes[at].is_followed = true;
    for (int is_rest = 0; is_rest < 2; is_rest++)
        for (size_t i = first; i < end; i++) {
            struct payment p = payment_of(r, i, hop, kind);

            if (p.is_fraud == (is_rest != 0))
                continue;
            for (int k = 0; k < KIND_COUNT; k++) {
                size_t to = p.values[k].len ? add_node(g, (enum kind)k, p.values[k], hop) : GRAPH_NODES;

                if (to < GRAPH_NODES && to != at)
                    add_edge(g, at, to);
            }
            if (!slice_eq(p.id, g->own))
                add_payment(g, &p);
        }
}

/* All nodes of that hop, in one statement. */
static enum err follow(struct graph *g, struct pg_session *s, int hop, int32_t most, struct why *why)
{
    size_t followed[GRAPH_NODES], count = 0;
    struct pg_params p = { 0 };
    struct pg_array *kinds, *values;
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i32(&p, (int32_t)g->account);
    kinds = pg_add_array(&p, PG_TEXT);
    values = pg_add_array(&p, PG_TEXT);
    pg_add_i32(&p, most + 1);
    for (size_t i = 0; i < g->node_count; i++) {
        if (g->nodes[i].hop != hop || (hop > 0 && g->nodes[i].kind == MERCHANT))
            continue;
        pg_array_text(kinds, slice_str(kind_names[g->nodes[i].kind]));
        pg_array_text(values, g->nodes[i].value);
        followed[count++] = i;
    }
    err = row_ask(s, follow_sql, &p, &r, why);
    for (size_t first = 0, end; !err && first < pg_rows(r); first = end) {
        size_t at = followed[pg_get_int(r, first, ORD) - 1], until;

        for (end = first; end < pg_rows(r) && pg_get_int(r, end, ORD) == pg_get_int(r, first, ORD);)
            end++;
        g->nodes[at].is_cut = end - first > (size_t)most;
        until = g->nodes[at].is_cut ? first + (size_t)most : end;
        if (is_hub(r, first, until, g->nodes[at].kind))
            g->nodes[at].is_hub = true;
        else
            follow_node(g, at, r, first, until);
    }
    pg_result_free(r);
    return err;
}

/* ---- how much there is of what was not followed to its end ---- */

static const char count_sql[] =
    "SELECT k.node, n.payments, n.customers FROM unnest($2::int8[], $3::text[], $4::text[]) AS k (node, "
    "kind, "
    "value) CROSS JOIN LATERAL (SELECT count(*) AS payments, count(DISTINCT p.customer_id) AS customers FROM "
    "payments_sharing($1::int4, k.kind, k.value, $5::int4) p) n";

static enum err count_rest(struct graph *g, struct pg_session *s, struct why *why)
{
    enum { MOST = 12 };
    struct pg_params p = { 0 };
    struct pg_array *nodes, *kinds, *values;
    struct pg_result *r = NULL;
    size_t count = 0;
    enum err err;

    pg_add_i32(&p, (int32_t)g->account);
    nodes = pg_add_array(&p, PG_INT8);
    kinds = pg_add_array(&p, PG_TEXT);
    values = pg_add_array(&p, PG_TEXT);
    pg_add_i32(&p, GRAPH_COUNTED + 1);
    for (size_t i = 0; i < g->node_count && count < MOST; i++) {
        if (!g->nodes[i].is_cut)
            continue;
        pg_array_i64(nodes, (int64_t)i);
        pg_array_text(kinds, slice_str(kind_names[g->nodes[i].kind]));
        pg_array_text(values, g->nodes[i].value);
        count++;
    }
    err = row_ask(s, count_sql, &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct node *n = &g->nodes[pg_get_int(r, i, 0)];

        n->counted = pg_get_int(r, i, 1);
        n->customers = pg_get_int(r, i, 2);
    }
    pg_result_free(r);
    return err;
}

static void sum_up(struct graph *g)
{
    for (size_t i = 0; i < g->payment_count; i++)
        for (int k = 0; k < KIND_COUNT; k++) {
            const struct payment *p = &g->payments[i];
            size_t at = p->values[k].len ? find_node(g, (enum kind)k, p->values[k]) : g->node_count;

            if (at == g->node_count)
                continue;
            g->nodes[at].payments++;
            g->nodes[at].frauds += p->is_fraud;
            g->nodes[at].legit += p->is_legit;
            g->nodes[at].cases += p->is_case;
        }
}

/* ---- the answer ---- */

static void write_count(struct json_out *o, const char *name, int64_t count)
{
    if (count < 0)
        json_out_null(o, name);
    else
        json_out_int(o, name, count > GRAPH_COUNTED ? GRAPH_COUNTED : count);
}

static void write_graph(struct call *c, const struct graph *g)
{
    struct json_out o = json_out_to(&c->out);

    json_out_open(&o, NULL);
    json_out_list(&o, "nodes");
    for (size_t i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];

        json_out_open(&o, NULL);
        json_out_int(&o, "node", (int64_t)i);
        json_out_str(&o, "kind", kind_names[n->kind]);
        json_out_text(&o, "value", n->value);
        json_out_int(&o, "hop", n->hop);
        json_out_bool(&o, "is_followed", n->is_followed);
        json_out_bool(&o, "is_hub", n->is_hub);
        json_out_bool(&o, "is_cut", n->is_cut);
        json_out_int(&o, "payments", (int64_t)n->payments);
        json_out_int(&o, "frauds", (int64_t)n->frauds);
        json_out_int(&o, "legit", (int64_t)n->legit);
        json_out_int(&o, "cases", (int64_t)n->cases);
        write_count(&o, "counted_payments", n->counted);
        write_count(&o, "counted_customers", n->customers);
        json_out_bool(&o, "has_more", n->counted > GRAPH_COUNTED);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_list(&o, "edges");
    for (size_t i = 0; i < g->edge_count; i++) {
        json_out_open(&o, NULL);
        json_out_int(&o, "from", (int64_t)g->edges[i].from);
        json_out_int(&o, "to", (int64_t)g->edges[i].to);
        json_out_int(&o, "payments", (int64_t)g->edges[i].payments);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_list(&o, "payments");
    for (size_t i = 0; i < g->payment_count; i++) {
        const struct payment *p = &g->payments[i];

        json_out_open(&o, NULL);
        json_out_int(&o, "hop", p->hop);
        json_out_str(&o, "via", kind_names[p->via]);
        json_out_text(&o, "value", p->values[p->via]);
        json_out_json(&o, "payment", p->json);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_int(&o, "nodes_left_out", (int64_t)g->nodes_left_out);
    json_out_int(&o, "payments_left_out", (int64_t)g->payments_left_out);
    json_out_end(&o);
}

static enum err begin(struct graph *g, struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t number;
    enum err err;

    if (!slice_to_i64(c->id, &number) || number <= 0)
        return err_set(why, ERR_NOT_FOUND, "there is no such case");
    pg_add_i64(&p, number);
    err = row_ask(s,
                  "SELECT account, transaction_id, card_id, customer_id, device_id, ip, merchant_id FROM "
                  "review_cases WHERE \"case\" = $1::int8",
                  &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no case %lld", (long long)number);
    if (!err) {
        g->account = pg_get_int(r, 0, 0);
        g->own = arena_slice(g->arena, pg_get_text(r, 0, 1));
        for (int k = 0; k < KIND_COUNT; k++)
            if (pg_get_text(r, 0, 2 + k).len)
                add_node(g, (enum kind)k, pg_get_text(r, 0, 2 + k), 0);
    }
    pg_result_free(r);
    return err;
}

enum err case_graph(struct call *c, struct pg_session *s, struct why *why)
{
    struct graph *g = arena_new(&c->arena, struct graph, 1);
    enum err err;

    g->arena = &c->arena;
    g->payments = arena_new(&c->arena, struct payment, GRAPH_PAYMENTS);
    err = begin(g, c, s, why);
    if (!err)
        err = follow(g, s, 0, GRAPH_FIRST_PAYMENTS, why);
    if (!err)
        err = follow(g, s, 1, GRAPH_SECOND_PAYMENTS, why);
    if (!err)
        err = count_rest(g, s, why);
    if (!err) {
        sum_up(g);
        write_graph(c, g);
    }
    mem_free(g->edges);
    return err;
}
