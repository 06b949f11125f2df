/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_run.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "file.h"
#include "lifecycle_report.h"
#include "protocols.h"
#include "shipped.h"
#include "stream.h"

/* Of an experiment. Where declines have no label, what they cost is seen in the control slice alone, and so many are
 * seen there only in weeks: it ends before, once the verdict is clear. */
/* A verdict on net loss takes weeks of the handbook's volume; an experiment ends before that once it is clear. */
enum { REFERENCES_MOST = 16, AB_DAYS = 56 };

/* What a stream is read with. */
struct origin {
    char path[PATH_MAX];
    const char *mapping, *catalogue;
    struct life_reference references[REFERENCES_MOST];
    size_t reference_count;
};

static void find_origin(struct origin *o, const struct lifecycle_conf *c, const char *from)
{
    const char *data = getenv("ASSAY_TEST_DATA");

    *o = (struct origin){ .mapping = c->mapping, .catalogue = c->catalogue };
    snprintf(o->path, sizeof o->path, "%s", from);
    for (size_t i = 0; i < protocol_count; i++) {
        const struct protocol *p = &protocols[i];

        if (strcmp(p->name, from) != 0)
            continue;
        snprintf(o->path, sizeof o->path, "%s/%s", data ? data : "../shared/data", p->file);
        o->mapping = o->mapping ? o->mapping : p->name;
        o->catalogue = o->catalogue ? o->catalogue : p->name;
        for (size_t r = 0; r < p->reference_count && o->reference_count < REFERENCES_MOST; r++)
            if (p->references[r].figures.average_precision > 0)
                o->references[o->reference_count++] =
                    (struct life_reference){ p->references[r].name,
                                             p->references[r].figures.average_precision };
    }
    if (!o->catalogue)
        o->catalogue = "default";
}

static enum err read_settings(struct life_settings *s, const struct lifecycle_conf *c, const char *catalogue,
                              struct why *why)
{
    const char *slash = strrchr(catalogue, '/');

    *s = life_settings_default();
    s->trainer.name = slice_str(slash ? slash + 1 : catalogue);
    s->trainer.name.len = strcspn(s->trainer.name.ptr, ".");
    s->trainer.history_us = (int64_t)(c->history_days * (double)DAY_US);
    /* Of a month of history the usual week and its tenth to choose by would leave too little. */
    s->trainer.warm_up_us = 2 * DAY_US;
    s->trainer.tune = s->trainer.judge = 0.15;
    s->trainer.tune_most_us = s->trainer.judge_most_us = 7 * DAY_US;
    s->trainer.params.trees = (size_t)c->trees;
    s->trainer.params.seed = c->seed;
    s->trainer.search.seed = (uint64_t)c->seed;
    s->first_us = (int64_t)(c->first_days * (double)DAY_US);
    s->shadow.days_least = c->shadow_days;
    s->ab.share = c->share;
    s->ab_days = c->ab_days >= 0 ? c->ab_days : AB_DAYS;
    s->steps.has_ab = s->ab_days > 0;
    s->hides_labels = c->hides_labels;
    s->control_share = c->control;
    s->seed = (uint64_t)c->seed;
    if (c->label_delay && !duration_parse(slice_str(c->label_delay), &s->label_delay_us))
        return err_set(why, ERR_INVALID, "--label-delay is like 7d, 12h or 90s");
    if (!(c->share > 0 && c->share < 1) || !(c->control >= 0 && c->control <= 0.5))
        return err_set(why, ERR_INVALID, "--share is between 0 and 1, --control at most 0.5");
    if (c->trees < 1 || c->first_days < 1 || c->shadow_days < 1)
        return err_set(why, ERR_INVALID, "--trees, --first-days and --shadow-days are at least 1");
    return cron_parse(&s->cron, slice_str(c->schedule), why);
}

static enum err live(struct life *l, const struct origin *o, const struct lifecycle_conf *c, struct why *why)
{
    struct stream_settings settings = { .mapping = o->mapping, .label_delay = c->label_delay };
    struct stream stream = { 0 };
    struct dataset_event event;
    bool is_end = false;
    enum err err = stream_open(&stream, o->path, &settings, why);

    if (!err && stream.mapping && !c->label_delay)
        l->settings.label_delay_us = mapping_label_delay_us(stream.mapping);
    while (!err && !(err = dataset_next(stream.dataset, &event, &is_end, why)) && !is_end)
        err = event.kind == DATASET_TXN ? life_txn(l, &event.txn, why) : life_label(l, &event.label, why);
    stream_close(&stream);
    life_end(l);
    return err;
}

static void on_event(void *context, const struct life *l, const struct life_event *e)
{
    const int64_t *start_us = context;
    char day[RFC3339_SIZE];

    rfc3339_format(e->at_us, day);
    fprintf(stderr, "%.10s  model %u  %s (%s), %.0f s\n", day, e->version, lifecycle_step_name(e->step),
            e->reason, (double)(clock_mono_us() - *start_us) / 1e6);
    for (size_t v = e->verdicts_from; v < e->verdicts_until; v++)
        if (l->verdicts.items[v].outcome != OUTCOME_PASS)
            fprintf(stderr, "            %s: %s: %.*s\n", l->verdicts.items[v].gate,
                    outcome_name(l->verdicts.items[v].outcome), SLICE_ARG(l->verdicts.items[v].reason));
}

static enum err tell(const struct life *l, const struct origin *o, const char *plot, bool as_json,
                     struct why *why)
{
    struct life_report report = { 0 };
    enum err err = ERR_OK;
    struct buf text;

    buf_init(&text, 0);
    life_report(&report, l);
    if (plot) {
        life_report_plot(&text, &report, l, o->references, o->reference_count);
        err = file_write(plot, buf_slice(&text), why);
        buf_clear(&text);
    }
    if (as_json) {
        life_report_json(&text, &report, l, o->references, o->reference_count);
        puts(buf_str(&text));
    } else {
        life_report_print(&report, l, o->references, o->reference_count);
    }
    life_report_release(&report);
    buf_release(&text);
    return err;
}

enum exit_code lifecycle_run(const struct lifecycle_conf *conf, const char *from, bool as_json, bool is_quiet)
{
    struct life_settings settings;
    struct life life = { 0 };
    struct plan *plan = NULL;
    struct origin origin;
    struct why why = { 0 };
    int64_t start_us = clock_mono_us();
    enum err err;

    find_origin(&origin, conf, from);
    err = read_settings(&settings, conf, origin.catalogue, &why);
    if (err)
        return command_fail(EXIT_USAGE, "%s", why.text);
    if (!is_quiet) {
        settings.hook = on_event;
        settings.context = &start_us;
    }
    err = shipped_plan(&plan, origin.catalogue, &why);
    if (!err) {
        life_init(&life, plan, &settings);
        err = live(&life, &origin, conf, &why);
    }
    if (!err && !life.first)
        err = err_set(&why, ERR_INVALID, "no model was ever trained: more history is needed");
    if (!err)
        err = tell(&life, &origin, conf->plot, as_json, &why);
    if (plan)
        life_release(&life);
    plan_free(plan);
    return command_end(err, &why);
}
