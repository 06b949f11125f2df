/* SPDX-License-Identifier: Apache-2.0
 * cmd_evaluate.c - `assay evaluate`: what our models reach on a public data set, beside what others did. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "command.h"
#include "json/json_out.h"
#include "protocols.h"
#include "queue_table.h"
#include "shipped.h"
#include "stream.h"

struct settings {
    const char *protocol, *data, *catalogue;
    int64_t threads;
    bool as_json, validates, queue;
};

static const struct option options[] = {
    { "protocol", OPTION_TEXT, offsetof(struct settings, protocol), "NAME",
      "handbook, sparkov, ucsd or fraudecom" },
    { "data", OPTION_TEXT, offsetof(struct settings, data), "DIR",
      "where the data sets are (ASSAY_TEST_DATA, or ../shared/data)" },
    { "catalogue", OPTION_TEXT, offsetof(struct settings, catalogue), "FILE",
      "features of your own instead of the protocol's" },
    { "validation", OPTION_FLAG, offsetof(struct settings, validates), NULL,
      "on the earlier folds, where parameters may be chosen" },
    { "threads", OPTION_INT, offsetof(struct settings, threads), "N",
      "models trained at a time (all cores)" },
    { "queue", OPTION_FLAG, offsetof(struct settings, queue), NULL,
      "what the review queue's order stops, beside others" },
    { "json", OPTION_FLAG, offsetof(struct settings, as_json), NULL, "as JSON" },
};

static const struct protocol *find_protocol(const char *name)
{
    for (size_t i = 0; name && i < protocol_count; i++)
        if (strcmp(protocols[i].name, name) == 0)
            return &protocols[i];
    return NULL;
}

/* ---- reading ---- */

/* The places of a plan's columns in the union. */
static size_t *columns_in(const struct plan *all, const struct plan *plan)
{
    size_t *columns = mem_new_n(size_t, plan_columns(plan) + 1);

    for (size_t i = 0; i < plan_columns(plan); i++)
        columns[i] = plan_find(all, plan_column(plan, i)->hash);
    return columns;
}

static enum err read_rows(struct trial *t, const struct plan *plan, const char *path, int64_t keep_from_us,
                          int64_t stop_us, struct why *why)
{
    struct stream_settings settings = { .mapping = t->protocol->name };
    struct stream stream = { 0 };
    struct dataset_event event;
    bool is_end = false;
    enum err err;

    rows_init(&t->rows, plan);
    rows_init(&t->unlabelled, plan);
    t->rows.keep_from_us = t->unlabelled.keep_from_us = keep_from_us;
    t->unlabelled.hides_labels = true;
    err = stream_open(&stream, path, &settings, why);
    while (!err && !(err = dataset_next(stream.dataset, &event, &is_end, why)) && !is_end) {
        if (event.kind == DATASET_LABEL) {
            rows_add_label(&t->rows, &event.label);
            if (t->protocol->needs_unlabelled)
                rows_add_label(&t->unlabelled, &event.label);
        } else if (event.txn.occurred_at_us < stop_us) {
            rows_add_txn(&t->rows, &event.txn);
            if (t->protocol->needs_unlabelled)
                rows_add_txn(&t->unlabelled, &event.txn);
        } else if (event.txn.occurred_at_us >= stop_us + mapping_label_delay_us(stream.mapping)) {
            break;
        }
    }
    stream_close(&stream);
    return err;
}

/* ---- telling ---- */

struct line {
    const char *name, *split;
    double history_days;
    struct figures mean;
    size_t folds;
};

static void add_figures(struct figures *sum, const struct figures *f)
{
    sum->auc_roc += f->auc_roc;
    sum->average_precision += f->average_precision;
    sum->card_precision_100 += f->card_precision_100;
    sum->recall_fpr_1 += f->recall_fpr_1;
    sum->recall_fpr_01 += f->recall_fpr_01;
    sum->lift_20 += f->lift_20;
    sum->train_rows += f->train_rows;
    sum->test_rows += f->test_rows;
}

static void divide_figures(struct figures *f, size_t n)
{
    double d = (double)n;

    f->auc_roc /= d;
    f->average_precision /= d;
    f->card_precision_100 /= d;
    f->recall_fpr_1 /= d;
    f->recall_fpr_01 /= d;
    f->lift_20 /= d;
    f->train_rows /= n;
    f->test_rows /= n;
}

/* One line for each model and split: the mean over the folds. The handbook's chapter 3 is its last fold
 * alone. */
static size_t make_lines(const struct trial *t, struct line *lines)
{
    bool is_handbook = strcmp(t->protocol->name, "handbook") == 0;
    size_t count = 0;

    for (int chapter3 = is_handbook && !t->validates; chapter3 >= 0; chapter3--) {
        for (size_t i = 0; i < t->count; i++) {
            const struct experiment *e = &t->experiments[i];
            const char *split = chapter3 ? "ch3" : e->split;
            size_t k = 0;

            if (chapter3 && e->fold != 3)
                continue;
            while (k < count && (strcmp(lines[k].name, e->name) != 0 || strcmp(lines[k].split, split) != 0 ||
                                 fabs(lines[k].history_days - e->history_days) > 0.5))
                k++;
            if (k == count)
                lines[count++] =
                    (struct line){ .name = e->name, .split = split, .history_days = e->history_days };
            add_figures(&lines[k].mean, &e->figures);
            lines[k].folds++;
        }
    }
    for (size_t k = 0; k < count; k++)
        divide_figures(&lines[k].mean, lines[k].folds);
    return count;
}

static void print_figure(double value)
{
    if (value > 0)
        printf("  %7.3f", value);
    else
        printf("  %7s", "-");
}

static void print_line(const char *name, const char *history, const struct figures *f, unsigned figures)
{
    printf("  %-62s %5s", name, history);
    print_figure(f->auc_roc);
    print_figure(f->average_precision);
    if (figures & FIGURE_CARD_PRECISION)
        print_figure(f->card_precision_100);
    if (figures & FIGURE_RECALL_1)
        print_figure(f->recall_fpr_1);
    if (figures & FIGURE_RECALL_01)
        print_figure(f->recall_fpr_01);
    if (figures & FIGURE_LIFT)
        print_figure(f->lift_20);
    if (f->test_rows)
        printf("  %8zu  %7zu", f->train_rows, f->test_rows);
    putchar('\n');
}

static void print_table(const struct protocol *p, const struct line *lines, size_t count)
{
    printf("%s\n", p->title);
    for (size_t i = 0; i < count; i++) {
        const char *split = lines[i].split;
        char history[16] = "";

        if (i == 0 || strcmp(lines[i - 1].split, split) != 0) {
            printf("\n%s\n  %-62s %5s  %7s  %7s", split, "model", "days", "AUC ROC", "AP");
            if (p->figures & FIGURE_CARD_PRECISION)
                printf("  %7s", "CP@100");
            if (p->figures & FIGURE_RECALL_1)
                printf("  %7s", "R@1%");
            if (p->figures & FIGURE_RECALL_01)
                printf("  %7s", "R@.1%");
            if (p->figures & FIGURE_LIFT)
                printf("  %7s", "lift20");
            printf("  %8s  %7s\n", "train", "test");
            for (size_t r = 0; r < p->reference_count; r++)
                if (strcmp(p->references[r].split, split) == 0)
                    print_line(p->references[r].name, "", &p->references[r].figures, p->figures);
        }
        if (lines[i].history_days > 0)
            snprintf(history, sizeof history, "%.0f", lines[i].history_days);
        print_line(lines[i].name, history, &lines[i].mean, p->figures);
    }
}

static void print_json(const struct protocol *p, const struct line *lines, size_t count)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_str(&o, "protocol", p->name);
    json_out_list(&o, "models");
    for (size_t i = 0; i < count; i++) {
        const struct figures *f = &lines[i].mean;

        json_out_open(&o, NULL);
        json_out_str(&o, "name", lines[i].name);
        json_out_str(&o, "split", lines[i].split);
        json_out_number(&o, "history_days", lines[i].history_days);
        json_out_number(&o, "auc_roc", f->auc_roc);
        json_out_number(&o, "average_precision", f->average_precision);
        json_out_number(&o, "card_precision_100", f->card_precision_100);
        if (p->figures & FIGURE_RECALL_1)
            json_out_number(&o, "recall_at_fpr_1", f->recall_fpr_1);
        if (p->figures & FIGURE_RECALL_01)
            json_out_number(&o, "recall_at_fpr_01", f->recall_fpr_01);
        if (p->figures & FIGURE_LIFT)
            json_out_number(&o, "lift_20", f->lift_20);
        json_out_int(&o, "train_rows", (int64_t)f->train_rows);
        json_out_int(&o, "test_rows", (int64_t)f->test_rows);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

/* ---- the command ---- */

static enum err evaluate(struct trial *t, const struct settings *s, const char *path, struct why *why)
{
    const struct plan *parts[2] = { NULL, NULL };
    struct plan *own = NULL, *published = NULL, *all = NULL;
    int64_t keep_from_us, stop_us, start_us = clock_mono_us();
    size_t threads = s->threads > 0 ? (size_t)s->threads : (size_t)sysconf(_SC_NPROCESSORS_ONLN);
    enum err err = shipped_plan(&own, s->catalogue ? s->catalogue : t->protocol->name, why);

    if (!err && t->protocol->published)
        err = shipped_plan(&published, t->protocol->published, why);
    if (!err) {
        parts[0] = own;
        parts[1] = published;
        err = plan_merge(&all, parts, published ? 2 : 1, why);
    }
    if (!err) {
        t->own = columns_in(all, own);
        t->own_count = plan_columns(own);
        if (published) {
            t->published = columns_in(all, published);
            t->published_count = plan_columns(published);
        }
        t->protocol->span(t->validates, &keep_from_us, &stop_us);
        err = read_rows(t, all, path, keep_from_us, stop_us, why);
    }
    if (!err) {
        fprintf(stderr, "features of %llu entries in %.1f s, %zu rows of %zu columns kept\n",
                (unsigned long long)t->rows.n, (double)(clock_mono_us() - start_us) / 1e6, t->rows.count,
                t->rows.columns);
        t->protocol->plan(t);
        err = experiments_run(t->experiments, t->count, threads, why);
    }
    plan_free(own);
    plan_free(published);
    rows_release(&t->rows);
    rows_release(&t->unlabelled);
    plan_free(all);
    return err;
}

/* Both data sets, or the one that is named. */
static enum exit_code queue(const struct settings *s, const char *data)
{
    bool is_simulator = s->protocol && strcmp(s->protocol, "simulator") == 0;
    struct why why = { 0 };
    enum err err = ERR_OK;
    char path[PATH_MAX];

    if (s->protocol && !is_simulator && strcmp(s->protocol, "handbook") != 0)
        return command_fail(EXIT_USAGE, "--queue is told of --protocol handbook or simulator");
    snprintf(path, sizeof path, "%s/%s", data ? data : "../shared/data", find_protocol("handbook")->file);
    if (!is_simulator && access(path, R_OK) != 0)
        return command_fail(EXIT_NOT_RUNNING, "%s is not there: --protocol simulator needs no data", path);
    if (!is_simulator)
        err = queue_table_print(QUEUE_HANDBOOK, path, s->as_json, &why);
    if (!err && (is_simulator || !s->protocol))
        err = queue_table_print(QUEUE_SIMULATOR, NULL, s->as_json, &why);
    return command_end(err, &why);
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct settings *s = settings;
    struct trial t = { .protocol = find_protocol(s->protocol), .validates = s->validates };
    const char *data = s->data ? s->data : getenv("ASSAY_TEST_DATA");
    enum exit_code code = EXIT_DONE;
    struct why why = { 0 };
    char path[PATH_MAX];
    struct line *lines;
    size_t count;

    (void)operands;
    (void)operand_count;
    if (s->queue)
        return queue(s, data);
    if (!t.protocol)
        return command_fail(EXIT_USAGE, "--protocol is handbook, sparkov, ucsd or fraudecom");
    snprintf(path, sizeof path, "%s/%s", data ? data : "../shared/data", t.protocol->file);
    if (access(path, R_OK) != 0)
        return command_fail(EXIT_NOT_RUNNING,
                            "%s is not there: --data DIR or ASSAY_TEST_DATA says where the data "
                            "sets are",
                            path);
    if (evaluate(&t, s, path, &why)) {
        code = command_fail(EXIT_FAILED, "%s", why.text);
    } else {
        lines = mem_new_n(struct line, 2 * t.count + 1);
        count = make_lines(&t, lines);
        if (s->as_json)
            print_json(t.protocol, lines, count);
        else
            print_table(t.protocol, lines, count);
        mem_free(lines);
    }
    trial_release(&t);
    return code;
}

const struct command cmd_evaluate = {
    .name = "evaluate",
    .operands = "",
    .purpose = "Train and judge models on a public data set, beside published figures",
    .text = "Features come from the feature store alone, as the service would have served them: with the\n"
            "labels that were known at that moment and no others. The handbook's protocol trains on 7 days,\n"
            "leaves out 7 days of delay, tests on 7 days, and removes known compromised cards; `gbdt` is\n"
            "told on those 7 days and on a longer history before the delay.\n\n"
            "  assay evaluate --protocol handbook\n"
            "  assay evaluate --protocol handbook --validation    the folds on which parameters were chosen\n"
            "  assay evaluate --queue                             what 100 reviews a day stop, by the "
            "queue's order and "
            "by\n"
            "                                                     others; also --protocol handbook or "
            "simulator\n\n"
            "Exit status 3 when the data is not there.",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .settings_size = sizeof(struct settings),
    .run = run,
};
