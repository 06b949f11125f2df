/* SPDX-License-Identifier: Apache-2.0
 * The features that the Fraud Detection Handbook publishes, computed by the kernel from a catalogue, against
 * the published file. Labels become known 7 days after their transaction, as in the book. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/store.h"

#ifdef __SANITIZE_ADDRESS__
enum { EVERY = 8 }; /* checked code is slow: only customers and terminals with numbers that this divides */
#else
enum { EVERY = 1 };
#endif
enum { PUBLISHED = 14, TIED_ROWS = 20, PUBLISHED_ROWS = 919767 };

struct row {
    long id, customer, terminal, seconds;
    long long cents;
    bool is_fraud;
};

static FILE *open_csv(const char *name)
{
    const char *data = getenv("ASSAY_TEST_DATA");
    char command[512];
    FILE *f;

    snprintf(command, sizeof command, "%s/handbook/%s", data ? data : "../shared/data", name);
    if (access(command, R_OK) != 0)
        return NULL;
    snprintf(command, sizeof command, "zstd -dcq '%s/handbook/%s'", data ? data : "../shared/data", name);
    f = popen(command, "r");
    cr_assert_not_null(f);
    return f;
}

static bool read_row(FILE *f, struct row *row)
{
    char line[256], *at = line;

    if (!fgets(line, sizeof line, f))
        return false;
    row->id = strtol(at, &at, 10);
    at = strchr(at + 1, ',') + 1; /* past TX_DATETIME */
    row->customer = strtol(at, &at, 10);
    row->terminal = strtol(at + 1, &at, 10);
    row->cents = llround(strtod(at + 1, &at) * 100);
    row->seconds = strtol(at + 1, &at, 10);
    strtol(at + 1, &at, 10);
    row->is_fraud = at[1] == '1';
    return true;
}

static char *file_text(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = mem_alloc(1, 65536);

    cr_assert_not_null(f, "%s", path);
    text[fread(text, 1, 65535, f)] = 0;
    fclose(f);
    return text;
}

static struct plan *read_plan(const char *path)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct plan *plan;
    struct why why = { 0 };
    char *text = file_text(path);

    cr_assert_eq(catalogue_parse(&catalogue, slice_str(text), &arena, &why), ERR_OK, "%s: %s", path,
                 why.text);
    cr_assert_eq(plan_build(&plan, &catalogue, &why), ERR_OK, "%s", why.text);
    arena_release(&arena);
    mem_free(text);
    return plan;
}

/* Numbers read in the published file's order; false at its end. */
static bool read_published(FILE *f, long *id, double *values)
{
    char line[512], *at = line;

    if (!fgets(line, sizeof line, f))
        return false;
    *id = strtol(at, &at, 10);
    for (int i = 0; i < PUBLISHED; i++)
        values[i] = strtod(at + 1, &at);
    return true;
}

TestSuite(handbook, .timeout = 120);

Test(handbook, equals_the_published_features)
{
    const int64_t start_us = civil_days(2018, 4, 1) * DAY_US, delay_us = 7 * DAY_US;
    FILE *transactions = open_csv("transactions.csv.zst");
    FILE *published = transactions ? open_csv("features-2018-06-11-to-2018-09-14.csv.zst") : NULL;
    struct row row, *waiting;
    size_t label = 0, applied = 0, compared = 0;
    double expected[PUBLISHED], got[64], most = 0;
    long published_id = -1;
    uint64_t n = 0;
    int differing_rows = 0;
    char header[512];

    if (!published) {
        cr_skip("handbook data not found (ASSAY_TEST_DATA, ../shared/data)");
        return;
    }
    struct plan *plan = read_plan("models/handbook-published.yaml");
    struct store *store = store_new(plan);

    cr_assert_eq(plan_columns(plan), PUBLISHED + 1);
    waiting = mem_new_n(struct row, 2000000); /* every row, until its label is known */
    cr_assert(fgets(header, sizeof header, transactions) && fgets(header, sizeof header, published));
    cr_assert(read_published(published, &published_id, expected));
    while (published_id >= 0 && read_row(transactions, &row)) {
        char customer[16], terminal[16], id[16], labelled[16];
        struct txn txn = { .account = 1, .amount_base_minor = row.cents, .amount_minor = row.cents };
        bool is_equal = true;

        if (row.customer % EVERY && row.terminal % EVERY) {
            if (row.id == published_id && !read_published(published, &published_id, expected))
                published_id = -1;
            continue;
        }
        txn.occurred_at_us = txn.known_at_us = start_us + row.seconds * SECOND_US;
        for (; label < applied && waiting[label].seconds * SECOND_US + delay_us <= row.seconds * SECOND_US;
             label++) {
            struct label known = { .account = 1,
                                   .transaction_id =
                                       slice_of(labelled, (size_t)snprintf(labelled, sizeof labelled, "%ld",
                                                                           waiting[label].id)),
                                   .is_fraud = waiting[label].is_fraud,
                                   .source = LABEL_CHARGEBACK,
                                   .known_at_us = txn.known_at_us };

            store_apply_label(store, ++n, &known);
        }
        txn.id = slice_of(id, (size_t)snprintf(id, sizeof id, "%ld", row.id));
        txn.text[TXN_customer_id] =
            slice_of(customer, (size_t)snprintf(customer, sizeof customer, "%ld", row.customer));
        txn.text[TXN_terminal_id] =
            slice_of(terminal, (size_t)snprintf(terminal, sizeof terminal, "%ld", row.terminal));
        store_apply_txn(store, ++n, &txn, got);
        waiting[applied++] = row;
        if (row.id != published_id)
            continue;
        compared += row.customer % EVERY == 0 && row.terminal % EVERY == 0;
        for (int i = 0; i < PUBLISHED && row.customer % EVERY == 0 && row.terminal % EVERY == 0; i++) {
            double error = fabs(got[i + 1] - expected[i]);

            if (error <= 1e-12 * (1 + fabs(expected[i])))
                most = error > most ? error : most;
            else
                is_equal = false;
        }
        differing_rows += !is_equal;
        if (!read_published(published, &published_id, expected))
            published_id = -1;
    }
    cr_assert(EVERY == 1 ? compared == PUBLISHED_ROWS : compared > 10000);
    cr_assert_leq(differing_rows, TIED_ROWS, "%d rows differ", differing_rows);
    cr_assert_eq(store_stats(store).late_dropped, 0);
    cr_log_info("%d of %zu rows differ (ties), the others by at most %g", differing_rows, compared, most);
    mem_free(waiting);
    store_free(store);
    plan_free(plan);
    pclose(transactions);
    pclose(published);
}
