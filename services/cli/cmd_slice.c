/* SPDX-License-Identifier: Apache-2.0
 * cmd_slice.c - `assay slice set`, `off` and `show`: the control slice (policy/control.h). */
#include "command.h"

#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <string.h>

#include "account.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/hash.h"
#include "database.h"
#include "json/json_out.h"
#include "pg/session.h"
#include "policy/control.h"

enum { NOT_GIVEN = -1 };

struct slice_settings {
    const char *account;
    double share;
    int64_t amount_most, amount_per_day, count_per_day, card_per_day, merchant_per_day;
    bool makes_key, inherits, as_json;
};

static const struct slice_settings defaults = {
    .account = "",
    .share = NOT_GIVEN,
    .amount_most = NOT_GIVEN,
    .amount_per_day = NOT_GIVEN,
    .count_per_day = NOT_GIVEN,
    .card_per_day = NOT_GIVEN,
    .merchant_per_day = NOT_GIVEN,
};

/* Opens the database and finds the account of --account. */
static enum err begin(const struct slice_settings *settings, struct pg_session **s, int64_t *account,
                      struct why *why)
{
    enum err err = database_open_migrated(s, why);

    return err ? err : account_find(*s, settings->account, account, why);
}

/* ---- set ---- */

static const char set_sql[] =
    "WITH old AS (SELECT * FROM control_slices WHERE account = $1::int4), "
    "put AS (INSERT INTO control_slices (account, share, amount_most, amount_per_day, count_per_day, "
    "card_per_day, merchant_per_day, key) "
    "SELECT $1::int4, coalesce($2::float8, o.share), coalesce($3::int8, o.amount_most), "
    "coalesce($4::int8, o.amount_per_day), coalesce($5::int4, o.count_per_day, 1000), "
    "coalesce($6::int4, o.card_per_day, 1), coalesce($7::int4, o.merchant_per_day, 10), "
    "CASE WHEN $9::bool THEN $8::bytea ELSE coalesce(o.key, $8::bytea) END "
    "FROM (SELECT 1) AS one LEFT JOIN old o ON true "
    "ON CONFLICT (account) DO UPDATE SET share = EXCLUDED.share, amount_most = EXCLUDED.amount_most, "
    "amount_per_day = EXCLUDED.amount_per_day, count_per_day = EXCLUDED.count_per_day, "
    "card_per_day = EXCLUDED.card_per_day, merchant_per_day = EXCLUDED.merchant_per_day, "
    "key = EXCLUDED.key, updated_at = now() RETURNING *), "
    "noted AS (INSERT INTO audit (account, actor, action, detail) "
    "SELECT nullif(account, 0), $10::text, 'slice.set', "
    "to_jsonb(put) - ARRAY['key', 'account', 'updated_at'] || jsonb_build_object('new_key', $9::bool) "
    "FROM put) SELECT share FROM put";

static void add_optional(struct pg_params *p, int64_t value, bool is_i64)
{
    if (value == NOT_GIVEN)
        pg_add_null(p);
    else if (is_i64)
        pg_add_i64(p, value);
    else
        pg_add_i32(p, (int32_t)value);
}

static bool is_given(double share)
{
    return !(share >= NOT_GIVEN && share <= NOT_GIVEN);
}

static bool check(const struct slice_settings *v)
{
    const int64_t amounts[] = { v->amount_most, v->amount_per_day };
    const int64_t counts[] = { v->count_per_day, v->card_per_day, v->merchant_per_day };

    if (is_given(v->share) && !(v->share > 0 && v->share <= CONTROL_SHARE_MOST)) {
        command_fail(EXIT_USAGE, "--share is above 0 and at most %g, as 0.02", CONTROL_SHARE_MOST);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(amounts); i++) {
        if (amounts[i] != NOT_GIVEN && amounts[i] <= 0) {
            command_fail(EXIT_USAGE, "amounts are above 0, in minor units of the base currency");
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (counts[i] != NOT_GIVEN && (counts[i] <= 0 || counts[i] > INT32_MAX)) {
            command_fail(EXIT_USAGE, "counts a day are above 0");
            return false;
        }
    }
    return true;
}

static enum exit_code set(const void *settings, char **operands, size_t operand_count)
{
    const struct slice_settings *v = settings;
    struct pg_session *s = NULL;
    struct pg_params p = { 0 };
    struct why why = { 0 };
    struct hash_key key;
    int64_t account = 0;
    bool is_new;
    enum err err;

    (void)operands;
    (void)operand_count;
    if (!check(v))
        return EXIT_USAGE;
    err = begin(v, &s, &account, &why);
    if (!err) {
        randombytes_buf(key.bytes, sizeof key.bytes);
        pg_add_i32(&p, (int32_t)account);
        if (is_given(v->share))
            pg_add_f64(&p, v->share);
        else
            pg_add_null(&p);
        add_optional(&p, v->amount_most, true);
        add_optional(&p, v->amount_per_day, true);
        add_optional(&p, v->count_per_day, false);
        add_optional(&p, v->card_per_day, false);
        add_optional(&p, v->merchant_per_day, false);
        pg_add_bytes(&p, slice_of(key.bytes, sizeof key.bytes));
        pg_add_bool(&p, v->makes_key);
        pg_add_text(&p, login_name());
        err = pg_exec(s, set_sql, &p, NULL, &why);
    }
    is_new = s && strcmp(pg_sqlstate(s), "23502") == 0;
    pg_params_release(&p);
    pg_session_close(s);
    if (err && is_new)
        return command_fail(EXIT_USAGE, "a new slice needs --share, --amount-most and --amount-per-day");
    return err ? command_end(err, &why) : EXIT_DONE;
}

static const struct option set_options[] = {
    { "share", OPTION_NUMBER, offsetof(struct slice_settings, share), "P",
      "of the declines by score that have room, the share to let through: 0.02" },
    { "amount-most", OPTION_INT, offsetof(struct slice_settings, amount_most), "N",
      "the largest payment to let through, in minor units of the base currency" },
    { "amount-per-day", OPTION_INT, offsetof(struct slice_settings, amount_per_day), "N",
      "all that is let through in a day, in the same" },
    { "count-per-day", OPTION_INT, offsetof(struct slice_settings, count_per_day), "N",
      "payments let through in a day (1000)" },
    { "card-per-day", OPTION_INT, offsetof(struct slice_settings, card_per_day), "N",
      "of one card, whichever customers use it (1)" },
    { "merchant-per-day", OPTION_INT, offsetof(struct slice_settings, merchant_per_day), "N",
      "to one merchant (10)" },
    { "account", OPTION_TEXT, offsetof(struct slice_settings, account), "NAME",
      "for this account instead of all that have none of their own" },
    { "new-key", OPTION_FLAG, offsetof(struct slice_settings, makes_key), NULL, "draw other customers" },
};

const struct command cmd_slice_set = {
    .name = "slice set",
    .operands = "",
    .purpose = "Let a small share of the score's declines through, to learn what they are",
    .text =
        "A control slice: of the payments that the score alone declines (never by a list or a rule), each "
        "customer's\n"
        "first of a day has the chance --share to be approved, as long as no cap is reached. Every such "
        "decision\n"
        "keeps that chance as p_allow; `assay slice report` tells from it what the declines are worth. "
        "What is let\n"
        "through and is fraud costs its amount: at most --amount-per-day. Days are UTC. What is not given "
        "stays as it\n"
        "is; services take it over at once.\n\n"
        "  assay slice set --share 0.02 --amount-most 20000 --amount-per-day 500000",
    .options = set_options,
    .option_count = ARRAY_LEN(set_options),
    .settings_size = sizeof(struct slice_settings),
    .defaults = &defaults,
    .run = set,
};

/* ---- off ---- */

/* An account is off by a row of its own that lets nothing through, as that of all would hold for it. */
static const char off_sql[] =
    "WITH gone AS (DELETE FROM control_slices WHERE account = $1::int4 AND ($1::int4 = 0 OR $2::bool) "
    "RETURNING account), "
    "put AS (INSERT INTO control_slices (account, share, amount_most, amount_per_day, key) "
    "SELECT $1::int4, 0, 1, 1, $3::bytea WHERE $1::int4 <> 0 AND NOT $2::bool "
    "ON CONFLICT (account) DO UPDATE SET share = 0, updated_at = now() RETURNING account), "
    "noted AS (INSERT INTO audit (account, actor, action, detail) "
    "SELECT nullif(account, 0), $4::text, 'slice.off', jsonb_build_object('inherit', $2::bool) "
    "FROM (SELECT account FROM gone UNION ALL SELECT account FROM put) AS x) "
    "SELECT count(*) FROM (SELECT account FROM gone UNION ALL SELECT account FROM put) AS x";

static enum exit_code off(const void *settings, char **operands, size_t operand_count)
{
    const struct slice_settings *v = settings;
    struct pg_session *s = NULL;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    struct hash_key key;
    int64_t account = 0;
    enum err err;

    (void)operands;
    (void)operand_count;
    if (v->inherits && !*v->account)
        return command_fail(EXIT_USAGE, "--inherit is for one account: --account NAME");
    err = begin(v, &s, &account, &why);
    if (!err) {
        randombytes_buf(key.bytes, sizeof key.bytes);
        pg_add_i32(&p, (int32_t)account);
        pg_add_bool(&p, v->inherits);
        pg_add_bytes(&p, slice_of(key.bytes, sizeof key.bytes));
        pg_add_text(&p, login_name());
        err = pg_exec(s, off_sql, &p, &r, &why);
    }
    if (!err && pg_get_int(r, 0, 0) == 0)
        printf("it was off before\n");
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    return err ? command_end(err, &why) : EXIT_DONE;
}

static const struct option off_options[] = {
    { "account", OPTION_TEXT, offsetof(struct slice_settings, account), "NAME",
      "for this account, whatever holds for all" },
    { "inherit", OPTION_FLAG, offsetof(struct slice_settings, inherits), NULL,
      "with --account: what holds for all holds for it again" },
};

const struct command cmd_slice_off = {
    .name = "slice off",
    .operands = "",
    .purpose = "Let nothing that the score declines through any more",
    .text = "In effect at once, also for payments under way. Accounts with a slice of their own keep it.",
    .options = off_options,
    .option_count = ARRAY_LEN(off_options),
    .settings_size = sizeof(struct slice_settings),
    .defaults = &defaults,
    .run = off,
};

/* ---- show ---- */

static const char show_sql[] =
    "SELECT coalesce(a.name, ''), c.share, c.amount_most, c.amount_per_day, c.count_per_day, c.card_per_day, "
    "c.merchant_per_day, c.updated_at, coalesce(u.day::text, ''), coalesce(u.count, 0), coalesce(u.amount, "
    "0) "
    "FROM control_slices c LEFT JOIN accounts a USING (account) "
    "LEFT JOIN LATERAL (SELECT day, sum(count) AS count, sum(amount)::int8 AS amount FROM control_slice_used "
    "u "
    "WHERE u.kind = 'all' AND (u.account = c.account OR c.account = 0 AND NOT EXISTS "
    "(SELECT FROM control_slices o WHERE o.account = u.account)) "
    "GROUP BY day ORDER BY day DESC LIMIT 1) u ON true ORDER BY c.account";

static void print_json(const struct pg_result *r)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_list(&o, NULL);
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct slice account = pg_get_text(r, i, 0), day = pg_get_text(r, i, 8);

        json_out_open(&o, NULL);
        if (account.len)
            json_out_text(&o, "account", account);
        else
            json_out_null(&o, "account");
        json_out_number(&o, "share", pg_get_float(r, i, 1));
        json_out_int(&o, "amount_most", pg_get_int(r, i, 2));
        json_out_int(&o, "amount_per_day", pg_get_int(r, i, 3));
        json_out_int(&o, "count_per_day", pg_get_int(r, i, 4));
        json_out_int(&o, "card_per_day", pg_get_int(r, i, 5));
        json_out_int(&o, "merchant_per_day", pg_get_int(r, i, 6));
        json_out_time(&o, "updated_at", pg_get_time_us(r, i, 7));
        json_out_open(&o, "used");
        if (day.len)
            json_out_text(&o, "day", day);
        else
            json_out_null(&o, "day");
        json_out_int(&o, "count", pg_get_int(r, i, 9));
        json_out_int(&o, "amount", pg_get_int(r, i, 10));
        json_out_end(&o);
        json_out_end(&o);
    }
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static void print_text(const struct pg_result *r)
{
    if (pg_rows(r) == 0)
        printf("off: nothing that the score declines is let through\n");
    else
        printf("%-16s %7s %12s %14s %10s %9s %13s  %s\n", "ACCOUNT", "SHARE", "MOST", "AMOUNT/DAY",
               "COUNT/DAY", "CARD/DAY", "MERCHANT/DAY", "USED");
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct slice account = pg_get_text(r, i, 0), day = pg_get_text(r, i, 8);

        printf("%-16.*s ", SLICE_ARG(account.len ? account : SLICE("(all others)")));
        if (pg_get_float(r, i, 1) > 0)
            printf("%6.2f%% %12" PRId64 " %14" PRId64 " %10" PRId64 " %9" PRId64 " %13" PRId64 "  ",
                   100 * pg_get_float(r, i, 1), pg_get_int(r, i, 2), pg_get_int(r, i, 3), pg_get_int(r, i, 4),
                   pg_get_int(r, i, 5), pg_get_int(r, i, 6));
        else
            printf("%7s %12s %14s %10s %9s %13s  ", "off", "", "", "", "", "");
        if (day.len)
            printf("%" PRId64 " payments, %" PRId64 " on %.*s", pg_get_int(r, i, 9), pg_get_int(r, i, 10),
                   SLICE_ARG(day));
        putchar('\n');
    }
}

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct slice_settings *v = settings;
    struct pg_session *s = NULL;
    struct pg_result *r = NULL;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = pg_exec(s, show_sql, NULL, &r, &why);
    if (!err && v->as_json)
        print_json(r);
    else if (!err)
        print_text(r);
    pg_result_free(r);
    pg_session_close(s);
    return err ? command_end(err, &why) : EXIT_DONE;
}

static const struct option show_options[] = {
    { "json", OPTION_FLAG, offsetof(struct slice_settings, as_json), NULL, "as JSON" },
};

const struct command cmd_slice_show = {
    .name = "slice show",
    .operands = "",
    .purpose = "Show the control slices, and what of the newest day's caps is used up",
    .text = "Amounts are in minor units of the base currency.",
    .options = show_options,
    .option_count = ARRAY_LEN(show_options),
    .settings_size = sizeof(struct slice_settings),
    .defaults = &defaults,
    .run = show,
};
