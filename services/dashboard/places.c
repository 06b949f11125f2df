/* SPDX-License-Identifier: Apache-2.0 */
#include "places.h"

#include "desk/desk.h"
#include "fraud/place.h"
#include "fraud/txn.h"
#include "json/json_out.h"
#include "lifestore/row.h"
#include "proto/txn_proto.h"

enum { PLACES_MOST = 30 };

/* The payment itself first, then those before it: of the same card, or of the customer where it has none. */
static const char places_sql[] =
    "WITH c AS (SELECT * FROM review_cases WHERE \"case\" = $1::int8), before AS ((SELECT p.* FROM c JOIN "
    "payments p ON p.account = c.account AND p.card_id = c.card_id AND p.card_id <> '' WHERE p.occurred_at "
    "<= "
    "c.occurred_at AND p.transaction_id <> c.transaction_id ORDER BY p.occurred_at DESC LIMIT $2::int8) "
    "UNION "
    "ALL (SELECT p.* FROM c JOIN payments p ON p.account = c.account AND p.customer_id = c.customer_id AND "
    "p.customer_id <> '' WHERE c.card_id = '' AND p.occurred_at <= c.occurred_at AND p.transaction_id <> "
    "c.transaction_id ORDER BY p.occurred_at DESC LIMIT $2::int8)), row AS (SELECT 0 AS ord, account, "
    "transaction_id, n, known_at, occurred_at FROM c UNION ALL SELECT 1, account, transaction_id, n, "
    "known_at, "
    "occurred_at FROM before) SELECT row.transaction_id, l.body, (SELECT is_fraud FROM labels f WHERE "
    "f.account = row.account AND f.transaction_id = row.transaction_id ORDER BY source DESC, labelled_at "
    "DESC "
    "LIMIT 1), (SELECT r.\"case\" FROM review_cases r WHERE r.account = row.account AND r.transaction_id = "
    "row.transaction_id) FROM row JOIN log l ON l.n = row.n AND l.known_at = row.known_at ORDER BY row.ord, "
    "row.occurred_at DESC, row.n DESC";

enum { ID, BODY, IS_FRAUD, CASE };

static void write_place(struct json_out *o, const struct pg_result *r, size_t row, const struct txn *txn)
{
    json_out_open(o, NULL);
    json_out_text(o, "transaction_id", pg_get_text(r, row, ID));
    json_out_number(o, "lat", txn->lat);
    json_out_number(o, "lon", txn->lon);
    json_out_time(o, "occurred_at", txn->occurred_at_us);
    json_out_int(o, "amount_minor", txn->amount_minor);
    json_out_text(o, "currency", txn->currency);
    json_out_text(o, "merchant_id", txn->text[TXN_merchant_id]);
    if (pg_is_null(r, row, IS_FRAUD))
        json_out_null(o, "is_fraud");
    else
        json_out_bool(o, "is_fraud", pg_get_bool(r, row, IS_FRAUD));
    if (pg_is_null(r, row, CASE))
        json_out_null(o, "case");
    else
        json_out_int(o, "case", pg_get_int(r, row, CASE));
    json_out_end(o);
}

static void write_last(struct json_out *o, const struct txn *own, const struct txn *last)
{
    double km, seconds;

    if (!last) {
        json_out_null(o, "last");
        return;
    }
    km = place_distance_km(last->lat, last->lon, own->lat, own->lon);
    seconds = (double)(own->occurred_at_us - last->occurred_at_us) / 1e6;
    json_out_open(o, "last");
    json_out_text(o, "transaction_id", last->id);
    json_out_number(o, "km", km);
    json_out_number(o, "seconds", seconds);
    if (seconds > 0)
        json_out_number(o, "km_per_h", km / seconds * 3600);
    else
        json_out_null(o, "km_per_h");
    json_out_end(o);
}

static enum err write_places(struct call *c, const struct pg_result *r, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct txn own = { 0 }, *last = NULL;

    json_out_open(&o, NULL);
    json_out_list(&o, "places");
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct txn *txn = arena_new(&c->arena, struct txn, 1);

        if (txn_unpack(txn, pg_get_bytes(r, i, BODY), &c->arena, why))
            return ERR_INTERNAL;
        if (i == 0)
            own = *txn;
        if (!own.has_place)
            break;
        if (!txn->has_place)
            continue;
        write_place(&o, r, i, txn);
        if (i > 0 && !last)
            last = txn;
    }
    json_out_end(&o);
    json_out_str(&o, "of", own.text[TXN_card_id].len ? "card" : "customer");
    write_last(&o, &own, last);
    json_out_end(&o);
    return ERR_OK;
}

enum err case_places(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t number;
    enum err err;

    if (!slice_to_i64(c->id, &number) || number <= 0)
        return err_set(why, ERR_NOT_FOUND, "there is no such case");
    pg_add_i64(&p, number);
    pg_add_i64(&p, PLACES_MOST);
    err = row_ask(s, places_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no case %lld", (long long)number);
    if (!err)
        err = write_places(c, r, why);
    pg_result_free(r);
    return err;
}
