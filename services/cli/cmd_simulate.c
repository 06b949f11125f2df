/* SPDX-License-Identifier: Apache-2.0
 * cmd_simulate.c - `assay simulate`: a made-up world as the stream that replay, load and train read. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "command.h"
#include "dataset/dataset.h"
#include "dataset/label_queue.h"
#include "simulate/simulate.h"
#include "stream.h"

struct settings {
    const char *out, *start, *from, *until;
    int64_t transactions, seed, customers;
    double days, fraud;
    bool all_labels;
};

static const struct settings defaults = {
    .start = "2024-01-01", .transactions = 100000, .seed = 1, .days = 60, .fraud = 1
};

static const struct option options[] = {
    { "transactions", OPTION_INT, offsetof(struct settings, transactions), "N", "how many (100000)" },
    { "seed", OPTION_INT, offsetof(struct settings, seed), "N", "the same seed gives the same stream (1)" },
    { "customers", OPTION_INT, offsetof(struct settings, customers), "N",
      "how many; as many as pay N times in --days if not said" },
    { "days", OPTION_NUMBER, offsetof(struct settings, days), "N",
      "about how long it lasts, unless --customers says so (60)" },
    { "start", OPTION_TEXT, offsetof(struct settings, start), "DAY", "the first day (2024-01-01)" },
    { "fraud", OPTION_NUMBER, offsetof(struct settings, fraud), "X",
      "1: about one payment in a hundred; 2: twice that" },
    { "all-labels", OPTION_FLAG, offsetof(struct settings, all_labels), NULL,
      "also write the labels that say \"legitimate\"" },
    { "from", OPTION_TEXT, offsetof(struct settings, from), "DAY", "leave out what was known before" },
    { "until", OPTION_TEXT, offsetof(struct settings, until), "DAY", "and what becomes known from then on" },
    { "out", OPTION_TEXT, offsetof(struct settings, out), "FILE", "instead of standard output" },
};

struct writer {
    FILE *out;
    struct buf lines;
    int64_t from_us, until_us;
    uint64_t transactions, labels;
};

static void put(struct writer *w, const struct dataset_event *event)
{
    int64_t at_us = event->kind == DATASET_TXN ? event->txn.known_at_us : event->label.known_at_us;

    if (at_us < w->from_us || at_us >= w->until_us)
        return;
    if (event->kind == DATASET_TXN)
        w->transactions++;
    else
        w->labels++;
    dataset_write(&w->lines, event);
    if (w->lines.len > 1 << 16) {
        fwrite(buf_slice(&w->lines).ptr, 1, w->lines.len, w->out);
        buf_clear(&w->lines);
    }
}

static void put_labels_until(struct writer *w, struct label_queue *labels, int64_t at_us)
{
    while (label_queue_first(labels) && label_queue_first(labels)->known_at_us <= at_us) {
        struct dataset_event event = { .kind = DATASET_LABEL, .label = label_queue_take(labels) };

        put(w, &event);
    }
}

static uint32_t customers_for(const struct settings *s)
{
    double n = s->customers ? (double)s->customers
                            : ceil((double)s->transactions / (s->days * simulate_daily_rate()));

    return n < 1 ? 1 : n > 100e6 ? 100000000 : (uint32_t)n;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct settings *s = settings;
    struct simulate_params params = { .seed = (uint64_t)s->seed, .account = 1, .fraud_factor = s->fraud };
    struct writer w = { .out = stdout, .from_us = INT64_MIN, .until_us = INT64_MAX };
    struct dataset_event event = { .kind = DATASET_TXN };
    struct label_queue labels = { 0 };
    uint64_t seen[SCENARIO_COUNT] = { 0 };
    struct simulate *world;
    struct label label;
    bool is_good;

    (void)operands;
    (void)operand_count;
    if (!stream_time_parse(s->start, &params.start_us) ||
        (s->from && !stream_time_parse(s->from, &w.from_us)) ||
        (s->until && !stream_time_parse(s->until, &w.until_us)))
        return command_fail(EXIT_USAGE, "--start, --from and --until are days like 2024-01-01");
    if (s->transactions < 0 || s->days <= 0 || s->fraud < 0 || s->customers < 0)
        return command_fail(EXIT_USAGE, "a number is negative");
    if (s->out && !(w.out = fopen(s->out, "wb")))
        return command_fail(EXIT_FAILED, "%s: %s", s->out, strerror(errno));
    params.customers = customers_for(s);
    world = simulate_new(&params);
    buf_init(&w.lines, 0);
    for (int64_t i = 0; i < s->transactions; i++) {
        seen[simulate_next(world, &event.txn, &label)]++;
        put_labels_until(&w, &labels, event.txn.known_at_us);
        if (event.txn.known_at_us >= w.until_us)
            break;
        put(&w, &event);
        if (label.is_fraud || s->all_labels)
            label_queue_put(&labels, &label);
    }
    put_labels_until(&w, &labels, INT64_MAX);
    fwrite(buf_slice(&w.lines).ptr, 1, w.lines.len, w.out);
    is_good = !fflush(w.out) && !ferror(w.out);
    if (s->out && fclose(w.out))
        is_good = false;
    buf_release(&w.lines);
    label_queue_release(&labels);
    simulate_free(world);
    if (!is_good)
        return command_fail(EXIT_FAILED, "write: %s", strerror(errno));
    fprintf(stderr, "%" PRIu64 " transactions and %" PRIu64 " labels of %" PRIu32 " customers;",
            w.transactions, w.labels, params.customers);
    for (int i = 1; i < SCENARIO_COUNT; i++)
        fprintf(stderr, " %s %" PRIu64, scenario_name((enum scenario)i), seen[i]);
    fputc('\n', stderr);
    return EXIT_DONE;
}

const struct command cmd_simulate = {
    .name = "simulate",
    .operands = "",
    .purpose = "Make up transactions and labels: the stream that replay, load and train read",
    .text = "A world of customers, merchants, terminals, devices and places, and in it: large amounts,\n"
            "compromised terminals, stolen credentials, card testing bursts and account takeovers. Labels\n"
            "come late, each source at its own pace. The same seed gives the same stream. Any size.\n\n"
            "  assay simulate --transactions 1000000 --seed 7 > world.ndjson\n"
            "  assay simulate --from 2024-02-15 | assay replay -",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .settings_size = sizeof(struct settings),
    .defaults = &defaults,
    .run = run,
};
