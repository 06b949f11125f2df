/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "dataset/dataset.h"
#include "dataset/label_queue.h"

static char path[64];

static void teardown(void)
{
    if (*path)
        unlink(path);
}

/* The one before, if there was one, goes. */
static void write_file(const char *text)
{
    int fd;

    teardown();
    snprintf(path, sizeof path, "/tmp/assay_dataset_XXXXXX");
    fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

TestSuite(dataset, .fini = teardown, .timeout = 120);

static const char mapping_text[] = "transaction_id: {column: id, prefix: t}\n"
                                   "occurred_at: {column: at, format: \"YYYY-MM-DD hh:mm:ss\"}\n"
                                   "amount: {column: amount}\n"
                                   "currency: {value: EUR}\n"
                                   "customer_id: {kind: row_number, prefix: c}\n"
                                   "card_id: {column: card, token: true}\n"
                                   "attributes:\n"
                                   "  big: {column: big, kind: number}\n"
                                   "  age: {column: born, kind: seconds_before, format: \"M/D/YYYY\"}\n"
                                   "label: {column: fraud, fraud: \"1\", source: issuer, delay: 2h}\n";

static struct mapping *open_mapping(const char *text)
{
    struct mapping *m;
    struct why why = { 0 };

    cr_assert_eq(mapping_parse(&m, slice_str(text), &why), ERR_OK, "%s", why.text);
    return m;
}

static void count_bad(void *context, uint64_t line, const char *reason)
{
    struct buf *told = context;

    (void)reason;
    buf_printf(told, "%llu ", (unsigned long long)line);
}

/* The stream of a CSV text as NDJSON; *bad has the lines that were told. */
static void read_csv(struct buf *out, struct buf *bad, const char *csv, bool all_labels)
{
    struct mapping *m = open_mapping(mapping_text);
    struct dataset_options options = {
        .account = 1, .all_labels = all_labels, .bad_row = count_bad, .context = bad
    };
    struct dataset_event event;
    struct dataset *d;
    struct why why = { 0 };
    bool is_end;

    write_file(csv);
    cr_assert_eq(dataset_open_csv(&d, path, m, &options, &why), ERR_OK, "%s", why.text);
    while (!dataset_next(d, &event, &is_end, &why) && !is_end)
        dataset_write(out, &event);
    cr_assert_str_empty(why.text);
    dataset_close(d);
    mapping_free(m);
}

static size_t lines(struct buf *b, const char *needle)
{
    size_t n = 0;

    for (const char *at = buf_str(b); (at = strstr(at, needle)); at++)
        n++;
    return n;
}

#define HEADER "id,at,amount,card,big,born,fraud\n"

Test(dataset, puts_each_label_where_it_becomes_known_before_transactions_of_that_moment)
{
    struct buf out, bad;
    const char *text, *label;

    buf_init(&out, 0);
    buf_init(&bad, 0);
    read_csv(&out, &bad,
             HEADER "1,2020-01-01 00:00:00,1.50,4111111111111111,,,1\n"
                    "2,2020-01-01 01:59:59,2,4111111111111111,,,0\n"
                    "3,2020-01-01 02:00:00,3.999,4111111111111112,7,1/2/2019,1\n",
             false);
    text = buf_str(&out);
    label = strstr(text, "\"type\":\"label\",\"transaction_id\":\"t1\"");
    cr_assert_not_null(label);
    cr_assert_gt(label, strstr(text, "\"type\":\"transaction\",\"transaction_id\":\"t2\""));
    cr_assert_lt(label, strstr(text, "\"type\":\"transaction\",\"transaction_id\":\"t3\""));
    cr_assert_not_null(strstr(text, "\"known_at\":\"2020-01-01T02:00:00Z\",\"amount\":400"));
    cr_assert_not_null(strstr(text, "\"source\":\"issuer\""));
    cr_assert_eq(lines(&out, "\n"), 5);
    cr_assert_str_empty(buf_str(&bad));
    buf_clear(&out);
    read_csv(&out, &bad, HEADER "1,2020-01-01 00:00:00,1.50,4111111111111111,,,0\n", true);
    cr_assert_eq(lines(&out, "\"is_fraud\":false"), 1);
    buf_release(&out);
    buf_release(&bad);
}

Test(dataset, nobody_sees_a_card_number_but_equal_ones_get_equal_tokens)
{
    struct buf out, bad;
    const char *text, *first, *second, *third;

    buf_init(&out, 0);
    buf_init(&bad, 0);
    read_csv(&out, &bad,
             HEADER "1,2020-01-01 00:00:00,1.50,4111111111111111,,,0\n2,2020-01-01 00:00:00,1.50,"
                    "4111111111111111,,,0\n3,2020-01-01 00:00:00,1.50,4111111111111112,,,0\n",
             false);
    text = buf_str(&out);
    cr_assert_null(strstr(text, "4111"));
    first = strstr(text, "tok_");
    second = strstr(first + 1, "tok_");
    third = strstr(second + 1, "tok_");
    cr_assert_eq(memcmp(first, second, 20), 0);
    cr_assert_neq(memcmp(first, third, 20), 0);
    buf_release(&out);
    buf_release(&bad);
}

Test(dataset, tells_every_row_that_it_cannot_read_with_its_line_and_reads_on)
{
    struct buf out, bad;

    buf_init(&out, 0);
    buf_init(&bad, 0);
    read_csv(&out, &bad,
             HEADER "1,2020-01-01 00:00:00,1.50,,,,0\n"
                    "2,2020-13-01 00:00:00,1.50,,,,0\n"
                    "3,2020-01-01 00:00:00,ten,,,,0\n"
                    ",2020-01-01 00:00:00,1.50,,,,0\n"
                    "5,2020-01-01 00:00:00,1.50\n"
                    "6,2020-01-01 00:00:00,1.50,,x,,0\n"
                    "7,2020-02-30 00:00:00,1.50,,,,0\n"
                    "8,2020-01-01 00:00:00,1.50,,\"a\"b,,0\n"
                    "9,2020-01-01 00:00:01,1.50,,,,0\n",
             false);
    cr_assert_str_eq(buf_str(&bad), "3 4 5 6 7 8 9 ");
    cr_assert_eq(lines(&out, "\"type\":\"transaction\""), 2);
    buf_release(&out);
    buf_release(&bad);
}

Test(dataset, a_row_that_happened_before_the_one_above_is_known_when_it_is_read)
{
    struct buf out, bad;

    buf_init(&out, 0);
    buf_init(&bad, 0);
    read_csv(&out, &bad, HEADER "1,2020-01-02 00:00:00,1.50,,,,0\n2,2020-01-01 00:00:00,1.50,,,,0\n", false);
    cr_assert_not_null(strstr(
        buf_str(&out), "\"occurred_at\":\"2020-01-01T00:00:00Z\",\"known_at\":\"2020-01-02T00:00:00Z\""));
    buf_release(&out);
    buf_release(&bad);
}

Test(dataset, what_it_writes_it_reads_back_the_same)
{
    struct buf out, again, bad;
    struct dataset_options options = { .account = 1, .bad_row = count_bad, .context = &bad };
    struct dataset_event event;
    struct dataset *d;
    struct why why = { 0 };
    bool is_end;

    buf_init(&out, 0);
    buf_init(&again, 0);
    buf_init(&bad, 0);
    read_csv(&out, &bad,
             HEADER "1,2020-01-01 00:00:00,1.50,4111111111111111,2.25,1/1/2000,1\n"
                    "2,2020-01-01 01:59:59,2,4111111111111111,,,0\n",
             true);
    teardown();
    write_file(buf_str(&out));
    cr_assert_eq(dataset_open_ndjson(&d, path, &options, &why), ERR_OK);
    while (!dataset_next(d, &event, &is_end, &why) && !is_end)
        dataset_write(&again, &event);
    cr_assert_eq(dataset_counts(d).bad, 0);
    cr_assert_eq(dataset_counts(d).transactions, 2);
    cr_assert_eq(dataset_counts(d).frauds, 1);
    cr_assert_str_eq(buf_str(&again), buf_str(&out));
    dataset_close(d);
    buf_release(&out);
    buf_release(&again);
    buf_release(&bad);
}

Test(dataset, a_label_queue_gives_labels_in_the_order_they_become_known)
{
    struct label_queue q = { 0 };
    int64_t last = -1;

    for (int64_t i = 0; i < 1000; i++) {
        struct label label = { .known_at_us = i * 7919 % 997, .transaction_id = SLICE("x") };

        label_queue_put(&q, &label);
    }
    for (int i = 0; i < 1000; i++) {
        struct label label = label_queue_take(&q);

        cr_assert_geq(label.known_at_us, last);
        last = label.known_at_us;
    }
    cr_assert_null(label_queue_first(&q));
    label_queue_release(&q);
}

static const char *const bad_mappings[] = {
    "",
    "- a\n",
    "transaction_id: {column: a}\n",
    "nothing: {column: a}\n",
    "transaction_id: {colum: a}\n",
    "transaction_id: a\n",
    "transaction_id: {column: a}\noccurred_at: {column: b}\namount: {column: c}\ncurrency: {value: EUR}\n"
    "customer_id: {column: a}\nlabel: {column: d}\n",
    "transaction_id: {column: a}\noccurred_at: {column: b}\namount: {column: c}\ncurrency: {value: EUR}\n"
    "customer_id: {column: a}\nlabel: {column: d, fraud: \"1\", delay: soon}\n",
    "transaction_id: {column: a\n",
};

Test(dataset, a_mapping_that_cannot_hold_is_refused_with_its_reason)
{
    for (size_t i = 0; i < sizeof bad_mappings / sizeof *bad_mappings; i++) {
        struct why why = { 0 };
        struct mapping *m;

        cr_assert_neq(mapping_parse(&m, slice_str(bad_mappings[i]), &why), ERR_OK, "case %zu", i);
        cr_assert_null(m);
        cr_assert_str_not_empty(why.text);
    }
}
