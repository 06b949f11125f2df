/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include "base/array.h"
#include "featurestore/plan.h"
#include "json/json_out.h"
#include "pg/session.h"
#include "velocity/velocity.h"

/* Each example is a condition that compiles: tests/service/trials_test.c has them checked. */
struct name {
    const char *name, *type, *example, *text;
};

static const struct name fields[] = {
    { "tx.amount", "number", "tx.amount > 50000", "in minor units of the base currency" },
    { "tx.amount_local", "number", "tx.amount_local > 50000", "in minor units of its own currency" },
    { "tx.currency", "text", "tx.currency != \"EUR\"", "ISO 4217" },
    { "tx.channel", "text", "tx.channel == \"ecommerce\"", "how it was paid" },
    { "tx.country", "text", "tx.country != \"DE\"", "ISO 3166, two letters" },
    { "tx.mcc", "text", "tx.mcc in [\"7995\", \"5967\"]", "category of the merchant" },
    { "tx.customer_id", "text", "has(tx.customer_id)", "" },
    { "tx.card_id", "text", "has(tx.card_id)", "" },
    { "tx.merchant_id", "text", "tx.merchant_id.startsWith(\"m-\")", "" },
    { "tx.terminal_id", "text", "has(tx.terminal_id)", "" },
    { "tx.device_id", "text", "!has(tx.device_id)", "" },
    { "tx.ip", "text", "has(tx.ip)", "address" },
    { "tx.email_hash", "text", "has(tx.email_hash)", "" },
    { "tx.id", "text", "tx.id.startsWith(\"test\")", "of the payment" },
    { "tx.hour", "number", "tx.hour < 6", "0 to 23, UTC" },
    { "tx.minute_of_day", "number", "tx.minute_of_day < 30", "UTC" },
    { "tx.weekday", "number", "tx.weekday in [0, 6]", "0 is Sunday, UTC" },
    { "tx.day_of_month", "number", "tx.day_of_month == 1", "UTC" },
    { "tx.month", "number", "tx.month == 12", "UTC" },
    { "tx.unix_seconds", "number", "tx.unix_seconds > 0", "since 1970" },
    { "tx.lat", "number", "tx.lat > 50", "degrees" },
    { "tx.lon", "number", "tx.lon < 10", "degrees" },
    { "tx.attributes", "any", "tx.attributes.items > 3", "what the caller added, by name" },
    { "score", "number", "score >= 0.3", "the model's probability of fraud" },
};

static const struct name functions[] = {
    { "in_list", "yes or no", "in_list(tx.customer_id, \"trusted_customers\")",
      "whether a list has the value" },
    { "has", "yes or no", "has(tx.device_id)", "whether there is a value" },
    { "size", "number", "size(tx.merchant_id) > 10", "characters of a text, members of a list" },
    { "contains", "yes or no", "tx.merchant_id.contains(\"casino\")", "of a text" },
    { "startsWith", "yes or no", "tx.merchant_id.startsWith(\"m-\")", "of a text" },
    { "endsWith", "yes or no", "tx.merchant_id.endsWith(\"-test\")", "of a text" },
    { "matches", "yes or no", "tx.merchant_id.matches(\"^m-[0-9]+$\")", "RE2 syntax" },
    { "int", "number", "int(tx.amount) % 100 == 0", "the whole number of a number" },
    { "math.abs", "number", "math.abs(tx.lat) < 1", "" },
    { "math.greatest", "number", "math.greatest(tx.amount, 100) > 500", "" },
    { "math.least", "number", "math.least(tx.amount, 100) < 50", "" },
    { "has_value", "yes or no", "has_value(count(card, \"1h\"))",
      "of a velocity or feature; never an error" },
    { "is_fresh", "yes or no", "is_fresh(count(card, \"1h\"))", "of this very moment; never an error" },
    { "is_stale", "yes or no", "is_stale(count(card, \"1h\"))", "of an earlier moment; never an error" },
};

static const struct name velocities[] = {
    { "count", "number", "count(card, \"10m\") > 5", "payments of an entity in a window" },
    { "sum", "number", "sum(amount, card, \"24h\") > 100000", "of a number" },
    { "mean", "number", "tx.amount > 5 * mean(amount, customer, \"30d\")", "of a number" },
    { "min", "number", "min(amount, card, \"24h\") < 100", "of a number" },
    { "max", "number", "max(amount, card, \"24h\") > 100000", "of a number" },
    { "distinct", "number", "distinct(merchant, card, \"7d\") > 8", "different values of a text" },
    { "since_last", "number", "since_last(card) < 30", "seconds since the last payment" },
    { "first_seen", "number", "first_seen([card, device]) < 3600", "seconds since the first payment" },
};

static void write_name(struct json_out *o, struct slice name, const char *type, const char *example,
                       struct slice text)
{
    json_out_open(o, NULL);
    json_out_text(o, "name", name);
    json_out_str(o, "type", type);
    json_out_str(o, "example", example);
    json_out_text(o, "text", text);
    json_out_end(o);
}

static void write_names(struct json_out *o, const char *key, const struct name *names, size_t count)
{
    json_out_list(o, key);
    for (size_t i = 0; i < count; i++)
        write_name(o, slice_str(names[i].name), names[i].type, names[i].example, slice_str(names[i].text));
    json_out_end(o);
}

static enum err write_features(struct json_out *o, struct pg_session *s, struct why *why)
{
    struct plan *plan = NULL;
    struct pg_result *r = NULL;
    enum err err = pg_exec(s, "SELECT definition FROM plans ORDER BY created_at DESC LIMIT 1", NULL, &r, why);

    if (!err && pg_rows(r) == 1)
        err = plan_parse(&plan, pg_get_text(r, 0, 0), why);
    json_out_list(o, "features");
    for (size_t i = 0; plan && i < plan_columns(plan); i++) {
        const struct feature *column = plan_column(plan, i);

        if (!velocity_is_column(column)) /* those are written as calls */
            write_name(o, column->name, "number", "", column->describe);
    }
    json_out_end(o);
    plan_free(plan);
    pg_result_free(r);
    return err;
}

enum err show_names(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    enum err err;

    json_out_open(&o, NULL);
    write_names(&o, "fields", fields, ARRAY_LEN(fields));
    write_names(&o, "functions", functions, ARRAY_LEN(functions));
    write_names(&o, "velocities", velocities, ARRAY_LEN(velocities));
    err = write_features(&o, s, why);
    json_out_end(&o);
    return err;
}
