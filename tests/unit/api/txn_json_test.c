/* SPDX-License-Identifier: Apache-2.0
 * txn_json_test.c - requests become transactions and labels, or a list of all their faults. */
#include <criterion/criterion.h>

#include "api/txn_json.h"
#include "base/array.h"
#include "base/clock.h"
#include "fraud/canonical.h"
#include "fraud/pan.h"
#include "harness/faulty.h"

static const int64_t now_us = INT64_C(1800000000) * SECOND_US; /* 2027-01-15T08:00:00Z */
static struct fx fx;
static struct arena arena;
static struct faults faults;
static struct txn_rules rules;
static struct why why;

static void setup(void)
{
    cr_assert_eq(fx_parse(&fx, SLICE("USD=1,EUR=1.08,JPY=0.0067"), &why), ERR_OK);
    faults.arena = &arena;
    rules = (struct txn_rules){ .account = 7, .base_currency = SLICE("USD"), .fx = &fx, .now_us = now_us };
}

static void teardown(void)
{
    arena_release(&arena);
}

TestSuite(txn_json, .init = setup, .fini = teardown);

static bool read_txn(struct txn *txn, const char *text)
{
    struct json_value *value;

    cr_assert_eq(json_read(&value, slice_str(text), JSON_DEPTH_MAX, &arena, &why), ERR_OK, "%s", why.text);
    return txn_from_json(txn, value, &rules, NULL, &faults);
}

static bool read_label(struct label *label, const char *text)
{
    struct json_value *value;

    cr_assert_eq(json_read(&value, slice_str(text), JSON_DEPTH_MAX, &arena, &why), ERR_OK, "%s", why.text);
    return label_from_json(label, value, &rules, NULL, &faults);
}

static const char whole[] =
    "{\"transaction_id\":\"t-1\",\"occurred_at\":\"2027-01-15T08:59:30.25+01:00\",\"amount\":1999,"
    "\"currency\":\"EUR\","
    "\"customer_id\":\"c-1\",\"card_id\":\"tok_a1\",\"merchant_id\":\"m\",\"terminal_id\":\"x\",\"mcc\":"
    "\"5411\","
    "\"channel\":\"ecommerce\",\"country\":\"DE\",\"ip\":\"::ffff:10.1.2.3\",\"device_id\":\"d\",\"email_"
    "hash\":"
    "\"ab\",\"lat\":48,\"lon\":-11.5,\"attributes\":{\"z\":1,\"a\":\"x\",\"b\":true,\"n\":null,\"e\":\"\"}}";

Test(txn_json, reads_every_field)
{
    struct txn txn;

    cr_assert(read_txn(&txn, whole));
    cr_assert_eq(txn.account, 7);
    cr_assert(slice_eq_str(txn.id, "t-1"));
    cr_assert_eq(txn.occurred_at_us, now_us - 30 * SECOND_US + SECOND_US / 4);
    cr_assert_eq(txn.known_at_us, now_us);
    cr_assert_eq(txn.amount_minor, 1999);
    cr_assert_eq(txn.amount_base_minor, 2159);
    cr_assert(slice_eq_str(txn.text[TXN_mcc], "5411"));
    cr_assert(slice_eq_str(txn.text[TXN_ip], "10.1.2.3"));
    cr_assert(txn.has_place);
    cr_assert_eq(txn.lon, -11.5);
    cr_assert_eq(txn.attribute_count, 4);
    cr_assert(slice_eq_str(txn.attributes[0].name, "a"));
    cr_assert(txn_attribute_find(&txn, SLICE("b"))->is_true);
    cr_assert_eq(txn_attribute_find(&txn, SLICE("z"))->number, 1);
    cr_assert_null(txn_attribute_find(&txn, SLICE("n")));
}

Test(txn_json, writes_what_it_reads)
{
    unsigned char one[SHA256_BYTES], two[SHA256_BYTES];
    struct txn first, second;
    struct json_out o;
    struct buf out;

    buf_init(&out, 0);
    cr_assert(read_txn(&first, whole));
    txn_hash(&first, false, &out, one);
    buf_clear(&out);
    o = json_out_to(&out);
    txn_to_json(&o, NULL, &first, false);
    cr_assert(read_txn(&second, buf_str(&out)), "%s", buf_str(&out));
    txn_hash(&second, false, &out, two);
    cr_assert_arr_eq(one, two, SHA256_BYTES);
    buf_release(&out);
}

Test(txn_json, names_every_fault_of_the_table_at_its_place)
{
    struct faulty f;
    int cases = 0;

    cr_assert(faulty_open(&f));
    while (faulty_next(&f, now_us)) {
        char pointers[1024] = "";
        struct txn txn;
        struct json_value *value;
        enum err err = json_read(&value, slice_of(f.body, f.body_len), JSON_DEPTH_MAX, &arena, &why);

        cases++;
        cr_assert_eq(err, f.status == 400 ? ERR_SYNTAX : ERR_OK, "line %d: %s", f.line, why.text);
        if (err)
            continue;
        faults = (struct faults){ .arena = &arena };
        cr_expect_not(txn_from_json(&txn, value, &rules, NULL, &faults), "line %d is sound", f.line);
        for (size_t i = 0; i < faults.count; i++) {
            snprintf(pointers + strlen(pointers), sizeof pointers - strlen(pointers), "%s%.*s", i ? "," : "",
                     SLICE_ARG(faults.items[i].pointer));
            cr_expect_not(pan_find(faults.items[i].detail, NULL), "line %d: the answer holds a card number",
                          f.line);
        }
        cr_expect_str_eq(pointers, f.pointers, "line %d: %s, not %s", f.line, pointers, f.pointers);
    }
    cr_assert_geq(cases, 80);
}

Test(txn_json, names_the_nearest_field)
{
    struct txn txn;

    cr_assert_not(read_txn(&txn, "{\"ammount\":1,\"costumer_id\":\"x\",\"quux_of_quuxes\":1}"));
    cr_assert(slice_eq_str(faults.items[0].detail, "there is no such field; did you mean \"amount\"?"));
    cr_assert(slice_eq_str(faults.items[1].detail, "there is no such field; did you mean \"customer_id\"?"));
    cr_assert_not_null(strstr(faults.items[2].detail.ptr, "attributes"));
}

Test(txn_json, redacts_a_card_number_in_a_name)
{
    static const char *const cases[][2] = {
        { "{\"4111111111111111\":1}", "#/%5Bredacted%5D" },
        { "{\"4111 1111 1111 1111\":1}", "#/%5Bredacted%5D" },
        { "{\"attributes\":{\"my 4111 1111 1111 1111/x\":1}}", "#/attributes/my%20%5Bredacted%5D~1x" },
    };
    struct txn txn;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t first = faults.count;

        cr_assert_not(read_txn(&txn, cases[i][0]));
        cr_assert(slice_eq_str(faults.items[first].pointer, cases[i][1]), "%.*s",
                  SLICE_ARG(faults.items[first].pointer));
    }
}

Test(txn_json, counts_faults_after_the_first_hundred)
{
    struct buf text;
    struct txn txn;

    buf_init(&text, 0);
    buf_add_str(&text, "{\"a0\":1");
    for (int i = 1; i < 200; i++)
        buf_printf(&text, ",\"unknown%d\":1", i);
    buf_add_str(&text, "}");
    cr_assert_not(read_txn(&txn, buf_str(&text)));
    cr_assert_eq(faults.count, FAULTS_MAX);
    cr_assert_eq(faults.untold, 200 + 5 - FAULTS_MAX);
    buf_release(&text);
}

Test(txn_json, takes_known_at_only_on_a_simulated_clock)
{
    static const char in_2018[] =
        "{\"transaction_id\":\"t\",\"occurred_at\":\"2018-04-01T00:00:31Z\",\"amount\":5716,"
        "\"currency\":\"USD\",\"customer_id\":\"596\",\"terminal_id\":\"3156\"%s}";
    char text[512];
    struct txn txn;

    rules.is_simulated = true;
    snprintf(text, sizeof text, in_2018, ",\"known_at\":\"2018-04-01T00:00:32Z\"");
    cr_assert(read_txn(&txn, text));
    cr_assert_eq(txn.known_at_us - txn.occurred_at_us, SECOND_US);
    snprintf(text, sizeof text, in_2018, "");
    cr_assert_not(read_txn(&txn, text));
    cr_assert(slice_eq_str(faults.items[0].pointer, "#/known_at"));
    faults.count = 0;
    snprintf(text, sizeof text, in_2018, ",\"known_at\":\"2018-03-31T23:00:00Z\"");
    cr_assert_not(read_txn(&txn, text));
    cr_assert(slice_eq_str(faults.items[0].pointer, "#/occurred_at"));
}

Test(txn_json, lets_an_account_have_numeric_ids_but_no_card_number_in_card_id)
{
    static const char with[] =
        "{\"transaction_id\":\"4111111111111111\",\"occurred_at\":\"2027-01-15T08:00:00Z\","
        "\"amount\":1,\"currency\":\"USD\",\"customer_id\":\"5555555555554444\",\"card_id\":\"%s\"}";
    char text[512];
    struct txn txn;

    rules.allows_numeric_ids = true;
    snprintf(text, sizeof text, with, "123456789012");
    cr_assert(read_txn(&txn, text));
    snprintf(text, sizeof text, with, "4111111111111111");
    cr_assert_not(read_txn(&txn, text));
    cr_assert_eq(faults.count, 1);
    rules.allows_numeric_ids = false;
    faults.count = 0;
    cr_assert_not(read_txn(&txn, text));
    cr_assert_eq(faults.count, 3);
}

static void hash_of(const char *text, unsigned char digest[SHA256_BYTES])
{
    struct buf scratch;
    struct txn txn;

    buf_init(&scratch, 0);
    cr_assert(read_txn(&txn, text));
    txn_hash(&txn, rules.is_simulated, &scratch, digest);
    buf_release(&scratch);
}

Test(txn_json, hashes_the_meaning_not_the_spelling)
{
    unsigned char one[SHA256_BYTES], same[SHA256_BYTES], other[SHA256_BYTES];

    hash_of("{\"transaction_id\":\"t\",\"occurred_at\":\"2027-01-15T08:00:00Z\",\"amount\":1,\"currency\":"
            "\"USD\","
            "\"customer_id\":\"c\",\"ip\":\"2001:db8:0::1\",\"lat\":1,\"lon\":-0.0,\"attributes\":{\"a\":100,"
            "\"b\":\"é\"}}",
            one);
    rules.now_us += SECOND_US;
    hash_of(" { \"attributes\" : {\"b\":\"\\u00e9\",\"a\":1e2,\"c\":null}, \"lon\":0, \"lat\":1.0, "
            "\"ip\":\"2001:DB8::1\","
            "\"card_id\":null,\"customer_id\":\"c\",\"currency\":\"USD\",\"amount\":1,"
            "\"occurred_at\":\"2027-01-15T09:00:00.000+01:00\",\"transaction_id\":\"t\"}",
            same);
    hash_of("{\"transaction_id\":\"t\",\"occurred_at\":\"2027-01-15T08:00:00Z\",\"amount\":2,\"currency\":"
            "\"USD\","
            "\"customer_id\":\"c\",\"ip\":\"2001:db8:0::1\",\"lat\":1,\"lon\":-0.0,\"attributes\":{\"a\":100,"
            "\"b\":\"é\"}}",
            other);
    cr_assert_arr_eq(one, same, SHA256_BYTES);
    cr_assert_arr_neq(one, other, SHA256_BYTES);
}

Test(txn_json, reads_a_label_and_its_faults)
{
    struct label label;

    cr_assert(read_label(&label, "{\"transaction_id\":\"t\",\"is_fraud\":true,\"source\":\"issuer\","
                                 "\"labelled_at\":\"2020-01-01T00:00:00Z\"}"));
    cr_assert(label.is_fraud);
    cr_assert_eq(label.source, LABEL_ISSUER);
    cr_assert_eq(label.known_at_us, now_us);
    cr_assert_not(read_label(&label,
                             "{\"transaction_id\":\"4111111111111111\",\"is_fraud\":1,\"source\":\"me\","
                             "\"labelled_at\":\"2030-01-01T00:00:00Z\",\"fraud\":true}"));
    cr_assert_eq(faults.count, 5);
}

Test(problem, is_written_as_rfc_9457_has_it)
{
    struct json_path at = { .key = "amount" };
    struct faults some = { .arena = &arena };
    struct problem p = { .status = 422, .detail = SLICE("1 fault"), .faults = &some };
    struct json_out o;
    struct buf out;

    buf_init(&out, 0);
    o = json_out_to(&out);
    faults_add(&some, &at, "must be %s", "positive");
    problem_write(&o, NULL, &p);
    cr_assert_str_eq(buf_str(&out),
                     "{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,"
                     "\"detail\":\"1 fault\",\"errors\":[{\"detail\":\"must be positive\","
                     "\"pointer\":\"#/amount\"}]}");
    buf_release(&out);
    arena_release(&arena);
}
