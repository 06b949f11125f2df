/* SPDX-License-Identifier: Apache-2.0
 * cmd_drift.c - `assay drift`: what the monitor found in the last windows of each model. */
#include "command.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "drift/window.h"
#include "monitorstore/condition.h"
#include "monitorstore/span.h"
#include "monitorstore/verdicts.h"
#include "monitorstore/windows.h"
#include "pg/session.h"
#include "spark.h"

enum { HISTORY = 24, CONDITIONS_MOST = 1000, BAR = 24 };

struct drift_options {
    const char *feature;
    int64_t lane, version, hours;
    bool as_json;
};

struct report {
    const struct drift_options *options;
    struct pg_session *s;
    struct arena arena;
    int32_t lane;
    struct watched_model *models;
    size_t count;
    bool has_blocks;
};

/* ---- as JSON ---- */

static void write_found(struct json_out *o, const char *key, const struct found *all, size_t count)
{
    json_out_list(o, key);
    for (size_t i = 0; i < count; i++)
        found_write(o, NULL, &all[i]);
    json_out_end(o);
}

/* Of the newest judged window, or of so many hours. */
static enum err read_subjects(struct report *r, const struct watched_model *m, struct found **all,
                              size_t *count, struct why *why)
{
    if (!r->options->hours)
        return found_newest(r->s, r->lane, m->version, all, count, &r->arena, why);
    return span_judge(r->s, r->lane, m->version, r->options->hours, &drift_settings_default, all, count,
                      &r->arena, why);
}

/* The windows of a feature, or the subjects of the newest window. */
static enum err read_found(struct report *r, const struct watched_model *m, struct found **all, size_t *count,
                           struct why *why)
{
    if (r->options->feature)
        return found_history(r->s, r->lane, m->version, SLICE(""), SLICE(""), slice_str(r->options->feature),
                             HISTORY, all, count, &r->arena, why);
    return read_subjects(r, m, all, count, why);
}

static enum err print_json(struct report *r, struct why *why)
{
    struct buf text;
    struct json_out o;
    enum err err = ERR_OK;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_int(&o, "lane", r->lane);
    json_out_list(&o, "models");
    for (size_t i = 0; i < r->count && !err; i++) {
        struct found *all;
        size_t count;

        err = read_found(r, &r->models[i], &all, &count, why);
        if (err)
            break;
        json_out_open(&o, NULL);
        json_out_int(&o, "version", r->models[i].version);
        json_out_text(&o, "name", r->models[i].name);
        json_out_bool(&o, "has_histograms", r->models[i].has_histograms);
        write_found(&o, r->options->feature ? "windows" : "subjects", all, count);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    if (!err)
        puts(buf_str(&text));
    buf_release(&text);
    return err;
}

/* ---- the newest window ---- */

static const char *state_of(const struct found *f)
{
    return f->is_alarm ? "DRIFT" : f->is_beyond ? "beyond" : "";
}

static void print_share(double value, double reference)
{
    if (isnan(value))
        printf(" %16s", "");
    else
        printf(" %7.2f%% (%5.2f)", 100 * value, 100 * reference);
}

/* The last windows of a subject, the oldest first. */
static enum err draw_history(struct report *r, const struct found *f, struct buf *line, struct why *why)
{
    double values[HISTORY], most = 0;
    struct found *past;
    size_t count;
    enum err err = found_history(r->s, f->lane, f->version, f->kind, f->field, f->name, HISTORY, &past,
                                 &count, &r->arena, why);

    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        values[count - 1 - i] = past[i].js;
        most = fmax(most, fmax(past[i].js, 2 * past[i].js_critical));
    }
    spark_line(line, values, count, most, r->has_blocks);
    return ERR_OK;
}

static enum err print_subject(struct report *r, const struct found *f, struct why *why)
{
    struct buf line;
    enum err err;

    buf_init(&line, 0);
    err = draw_history(r, f, &line, why);
    if (!err) {
        printf("%-28.*s %-14.*s %8.4f %8.4f %8.4f", SLICE_ARG(f->name), SLICE_ARG(f->kind), f->js,
               f->js_critical, f->psi);
        print_share(f->missing, f->missing_reference);
        printf(" %-6s %s\n", state_of(f), line.len ? buf_str(&line) : "");
    }
    buf_release(&line);
    return err;
}

static void print_head(const struct watched_model *m, const struct found *first)
{
    char at[RFC3339_SIZE];

    printf("%.*s version %" PRId64, SLICE_ARG(m->name), m->version);
    if (m->lane)
        printf(", account %d on its own clock", (int)m->lane);
    if (first) {
        rfc3339_format(first->at_us, at);
        if (first->number)
            printf(": window %" PRId64 ", until %s", first->number, at);
        else
            printf(": hours until %s", at);
    }
    putchar('\n');
    if (!m->has_histograms)
        printf("It carries no histograms of what it was trained on, so of its features only missing values "
               "are watched. "
               "Train it again.\n");
}

static enum err print_model(struct report *r, const struct watched_model *m, struct why *why)
{
    struct found *all;
    size_t count;
    enum err err = read_subjects(r, m, &all, &count, why);

    if (err)
        return err;
    print_head(m, count ? &all[0] : NULL);
    if (!count) {
        printf("No window of it was judged yet: window %" PRId64 " is being filled.\n\n", m->number);
        return ERR_OK;
    }
    printf("%-28s %-14s %8s %8s %8s %16s %-6s %s\n", "SUBJECT", "KIND", "JS BITS", "NOISE", "PSI",
           "MISSING (BEFORE)", "STATE", "LAST WINDOWS");
    for (size_t i = 0; i < count && !err; i++)
        err = print_subject(r, &all[i], why);
    putchar('\n');
    return err;
}

static enum err print_conditions(struct report *r, struct why *why)
{
    struct condition *all;
    size_t count, told = 0;
    enum err err = condition_list(r->s, 0, true, CONDITIONS_MOST, &all, &count, &r->arena, why);

    for (size_t i = 0; i < count && !err; i++) {
        if (all[i].lane != r->lane || !slice_eq_str(all[i].kind, "drift"))
            continue;
        if (!told++)
            printf("What has changed, and what to do:\n");
        printf("- %.*s\n", SLICE_ARG(all[i].text));
    }
    if (!err && !told)
        printf("Nothing has changed by more than noise in as many windows as it takes.\n");
    return err;
}

/* ---- one feature ---- */

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void print_bins(struct report *r, const struct span_bins *bins)
{
    struct buf bar;

    buf_init(&bar, 0);
    printf("\n%-28s %9s %8s\n", "VALUES", "REFERENCE", "NOW");
    for (size_t i = 0; i < bins->count; i++) {
        const struct span_bin *b = &bins->bins[i];

        buf_clear(&bar);
        spark_bar(&bar, share(b->now, bins->rows), BAR, r->has_blocks);
        printf("%-28.*s %8.2f%% %7.2f%% %s\n", SLICE_ARG(b->text),
               100 * share(b->reference, bins->reference_rows), 100 * share(b->now, bins->rows),
               buf_str(&bar));
    }
    buf_release(&bar);
}

static void print_windows(struct report *r, const struct found *all, size_t count)
{
    char at[RFC3339_SIZE];
    double most = 0;
    struct buf bar;

    buf_init(&bar, 0);
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fmax(all[i].js, 2 * all[i].js_critical));
    printf("%8s %-28s %8s %8s %8s %8s %16s\n", "WINDOW", "UNTIL", "ROWS", "JS BITS", "NOISE", "PSI",
           "MISSING (BEFORE)");
    for (size_t i = count; i-- > 0;) {
        const struct found *f = &all[i];

        rfc3339_format(f->at_us, at);
        buf_clear(&bar);
        spark_bar(&bar, most > 0 ? f->js / most : 0, BAR, r->has_blocks);
        printf("%8" PRId64 " %-28s %8" PRId64 " %8.4f %8.4f %8.4f", f->number, at, f->rows, f->js,
               f->js_critical, f->psi);
        print_share(f->missing, f->missing_reference);
        printf(" %s %s\n", buf_str(&bar), state_of(f));
    }
    buf_release(&bar);
}

static enum err print_feature(struct report *r, const struct watched_model *m, struct why *why)
{
    struct span_bins bins;
    struct found *all;
    size_t count;
    enum err err = read_found(r, m, &all, &count, why);

    if (!err && !count)
        return err_set(why, ERR_NOT_FOUND, "no window of version %" PRId64 " was judged by \"%s\"",
                       m->version, r->options->feature);
    if (err)
        return err;
    print_head(m, &all[0]);
    print_windows(r, all, count);
    if (all[0].text.len)
        printf("\n%.*s\n", SLICE_ARG(all[0].text));
    err = span_bins_read(r->s, r->lane, m->version, all[0].number, all[0].kind, all[0].field, all[0].name,
                         &bins, &r->arena, why);
    if (!err)
        print_bins(r, &bins);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* ---- the whole ---- */

static enum err choose_models(struct report *r, struct why *why)
{
    size_t kept = 0;
    enum err err = ERR_OK;

    r->lane = (int32_t)r->options->lane;
    if (r->options->lane < 0)
        err = watched_lane(r->s, &r->lane, why);
    if (!err)
        err = watched_model_list(r->s, r->lane, &r->models, &r->count, &r->arena, why);
    if (err)
        return err;
    for (size_t i = 0; i < r->count; i++)
        if (!r->options->version || r->models[i].version == r->options->version)
            r->models[kept++] = r->models[i];
    r->count = kept;
    return kept ? ERR_OK
                : err_set(why, ERR_NOT_FOUND,
                          "the monitor has counted no decisions of a model yet: does it run (`assay "
                          "status`), and is a "
                          "model champion?");
}

static enum err print_all(struct report *r, struct why *why)
{
    enum err err = ERR_OK;

    if (r->options->as_json)
        return print_json(r, why);
    if (r->options->feature)
        return print_feature(r, &r->models[0], why);
    for (size_t i = 0; i < r->count && !err; i++)
        err = print_model(r, &r->models[i], why);
    return err ? err : print_conditions(r, why);
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    struct report r = { .options = settings, .has_blocks = spark_has_blocks() };
    struct why why = { 0 };
    enum err err;

    (void)operands;
    (void)operand_count;
    if (r.options->hours < 0 || r.options->hours > SPAN_HOURS_MAX)
        return command_fail(EXIT_USAGE, "--hours is 1 to %d", SPAN_HOURS_MAX);
    err = database_open_migrated(&r.s, &why);
    if (!err)
        err = choose_models(&r, &why);
    if (!err)
        err = print_all(&r, &why);
    arena_release(&r.arena);
    pg_session_close(r.s);
    return command_end(err, &why);
}

static const struct drift_options defaults = { .lane = -1 };
static const struct option options[] = {
    { "feature", OPTION_TEXT, offsetof(struct drift_options, feature), "F",
      "one feature over its last windows; also score, action, channel, country, mcc" },
    { "hours", OPTION_INT, offsetof(struct drift_options, hours), "N",
      "the last hours as one window, by the usual settings; else the newest window that was judged" },
    { "version", OPTION_INT, offsetof(struct drift_options, version), "N", "of the model; else all" },
    { "lane", OPTION_INT, offsetof(struct drift_options, lane), "N",
      "0: live accounts, else the number of an account on a simulated clock; else the first with decisions" },
    { "json", OPTION_FLAG, offsetof(struct drift_options, as_json), NULL, "as JSON" },
};

const struct command cmd_drift = {
    .name = "drift",
    .operands = "",
    .purpose = "Show how far what is decided has moved from what the model was trained on",
    .text = "For each model that decides, the newest window that the monitor has judged, what stands out "
            "first. JS is the\n"
            "Jensen-Shannon divergence; NOISE is what chance alone seldom exceeds in a window of that size: "
            "below it, a\n"
            "figure says nothing. DRIFT is what was beyond it, and mattered, in several windows running.\n\n"
            "  assay drift --feature amount",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .settings_size = sizeof(struct drift_options),
    .defaults = &defaults,
    .run = run,
};
