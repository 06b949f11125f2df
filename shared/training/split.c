/* SPDX-License-Identifier: Apache-2.0
 * split.c - who is in which part: see trainer.h. */
#include "base/array.h"
#include "training/trainer.h"

static void part_release(struct trainer_part *p)
{
    mem_free(p->rows);
    mem_free(p->labels);
    mem_free(p->weights);
    *p = (struct trainer_part){ 0 };
}

void trainer_split_release(struct trainer_split *s)
{
    part_release(&s->train);
    part_release(&s->tune);
    part_release(&s->judge);
}

/* Whether a row is of the part, and what held of it then. */
static bool is_in(const struct trainer_part *p, const struct rows *r, size_t i, struct row_truth *truth)
{
    const struct row *row = &r->row[i];

    if (row->at_us < p->from_us || row->at_us >= p->until_us || row->known_at_us >= p->known_us ||
        !(row->weight > 0))
        return false;
    *truth = rows_truth(r, i, p->known_us);
    return truth->is_labelled || !row->needs_label;
}

static void part_fill(struct trainer_part *p, const struct rows *r, int64_t from_us, int64_t until_us,
                      int64_t known_us)
{
    struct row_truth truth;
    size_t room = 0;

    *p = (struct trainer_part){ .from_us = from_us, .until_us = until_us, .known_us = known_us };
    for (size_t i = 0; i < r->count; i++)
        room += is_in(p, r, i, &truth);
    p->rows = mem_new_n(uint32_t, room + 1);
    p->labels = mem_new_n(uint8_t, room + 1);
    p->weights = mem_new_n(float, room + 1);
    for (size_t i = 0; i < r->count; i++) {
        if (!is_in(p, r, i, &truth))
            continue;
        p->rows[p->count] = (uint32_t)i;
        p->labels[p->count] = truth.is_fraud;
        p->weights[p->count++] = r->row[i].weight;
        p->frauds += truth.is_fraud;
    }
}

static enum err part_check(const struct trainer_part *p, const char *name, struct why *why)
{
    if (p->frauds && p->frauds < p->count)
        return ERR_OK;
    return err_set(why, ERR_INVALID, "of %zu %s rows %zu are frauds: more history is needed", p->count, name,
                   p->frauds);
}

static int64_t part_length(int64_t span_us, double share, int64_t most_us)
{
    int64_t length_us = (int64_t)((double)span_us * share);

    return most_us && length_us > most_us ? most_us : length_us;
}

enum err trainer_split(struct trainer_split *out, const struct trainer *t, const struct rows *rows,
                       struct why *why)
{
    int64_t first_us = INT64_MAX, last_us = INT64_MIN;
    int64_t until_us, start_us, end_us, judge_us, tune_us, train_end_us;
    enum err err;

    *out = (struct trainer_split){ 0 };
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->row[i].known_at_us >= t->until_us)
            continue; /* nobody knew it yet, so it may not move a boundary either */
        if (rows->row[i].at_us < first_us)
            first_us = rows->row[i].at_us;
        if (rows->row[i].at_us > last_us)
            last_us = rows->row[i].at_us;
    }
    if (last_us < first_us)
        return err_set(why, ERR_INVALID, "there are no transactions to learn from");
    until_us = t->until_us < INT64_MAX ? t->until_us : last_us + 1;
    start_us = first_us + t->warm_up_us;
    end_us = until_us - t->label_delay_us;
    if (end_us > last_us + 1) /* nothing has come for longer than labels take */
        end_us = last_us + 1;
    if (end_us <= start_us)
        return err_set(why, ERR_INVALID, "there is less history than warm-up and label delay");
    judge_us = end_us - part_length(end_us - start_us, t->judge, t->judge_most_us);
    tune_us = judge_us - part_length(end_us - start_us, t->tune, t->tune_most_us);
    train_end_us = tune_us - t->label_delay_us;
    if (t->history_us && train_end_us - start_us > t->history_us)
        start_us = train_end_us - t->history_us;
    part_fill(&out->train, rows, start_us, train_end_us, tune_us);
    part_fill(&out->tune, rows, tune_us, judge_us, until_us);
    part_fill(&out->judge, rows, judge_us, end_us, until_us);
    err = part_check(&out->train, "training", why);
    if (!err)
        err = part_check(&out->tune, "tuning", why);
    if (!err)
        err = part_check(&out->judge, "judging", why);
    if (err)
        trainer_split_release(out);
    return err;
}
