/* SPDX-License-Identifier: Apache-2.0
 * cmd_compare.c - `assay models compare`: two models side by side. */
#include "command.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "bundle/bundle.h"
#include "database.h"
#include "json/json.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "versions.h"

struct compare_settings {
    bool as_json;
};

/* One of the two. */
struct side {
    int64_t version;
    struct bundle *bundle;
    json_t *metrics, *parameters;
};

static enum err open_side(struct pg_session *s, struct side *side, struct why *why)
{
    struct buf bytes;
    enum err err;

    buf_init(&bytes, 0);
    err = model_read(s, side->version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&side->bundle, buf_slice(&bytes), why);
    if (!err)
        err = json_parse(&side->metrics, bundle_metrics(side->bundle), JSON_DEPTH_MAX, why);
    if (!err)
        err = json_parse(&side->parameters, bundle_parameters(side->bundle), JSON_DEPTH_MAX, why);
    buf_release(&bytes);
    return err;
}

static void close_side(struct side *side)
{
    bundle_close(side->bundle);
    json_decref(side->metrics);
    json_decref(side->parameters);
}

/* ---- what differs ---- */

/* Where both sides' values go: a line of text, or a member of JSON. */
struct table {
    struct json_out *o; /* NULL: text */
};

static void begin_table(struct table *t, const char *key, const char *title)
{
    if (t->o)
        json_out_open(t->o, key);
    else
        printf("%s\n", title);
}

static void end_table(struct table *t)
{
    if (t->o)
        json_out_end(t->o);
}

static void print_cell(double value)
{
    if (isfinite(value))
        printf(" %14.8g", value);
    else
        printf(" %14s", "-");
}

/* NaN: that side has none. */
static void put_row(struct table *t, const char *name, double a, double b)
{
    if (t->o) {
        json_out_text_key(t->o, slice_str(name));
        json_out_list(t->o, NULL);
        json_out_number(t->o, NULL, a);
        json_out_number(t->o, NULL, b);
        json_out_end(t->o);
        return;
    }
    printf("  %-36s", name);
    print_cell(a);
    print_cell(b);
    if (isfinite(a) && isfinite(b) && a != b)
        printf(" %+14.8g", b - a);
    putchar('\n');
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* The numbers of either object, those of `a` first. */
static void put_numbers(struct table *t, json_t *a, json_t *b)
{
    const char *key;
    json_t *value;

    json_object_foreach(a, key, value) if (json_is_number(value))
        put_row(t, key, json_number_value(value), number(b, key));
    json_object_foreach(b, key, value) if (json_is_number(value) && !json_is_number(json_object_get(a, key)))
        put_row(t, key, NAN, json_number_value(value));
}

/* Features of `a` that `b` does not have; those that `b` has under the same name are others all the same. */
static size_t put_missing(struct table *t, const char *key, const char *title, const struct bundle *a,
                          const struct bundle *b)
{
    size_t count = 0;

    if (t->o)
        json_out_list(t->o, key);
    for (size_t i = 0; i < plan_columns(bundle_plan(a)); i++) {
        const struct feature *f = plan_column(bundle_plan(a), i);

        if (plan_find(bundle_plan(b), f->hash) != PLAN_NO_COLUMN)
            continue;
        count++;
        if (t->o)
            json_out_text(t->o, NULL, f->name);
        else
            printf("  %-8s %-36.*s%s\n", title, SLICE_ARG(f->name),
                   plan_find_name(bundle_plan(b), f->name) == PLAN_NO_COLUMN ? ""
                                                                             : " (defined otherwise there)");
    }
    if (t->o)
        json_out_end(t->o);
    return count;
}

static void put_all(struct table *t, const struct side *a, const struct side *b)
{
    struct bundle_thresholds x = bundle_thresholds(a->bundle), y = bundle_thresholds(b->bundle);
    struct bundle_training p = bundle_training(a->bundle), q = bundle_training(b->bundle);
    size_t differ;

    begin_table(t, "figures", "figures");
    put_numbers(t, a->metrics, b->metrics);
    end_table(t);
    begin_table(t, "thresholds", "thresholds");
    put_row(t, "challenge", x.challenge, y.challenge);
    put_row(t, "review", x.review, y.review);
    put_row(t, "decline", x.decline, y.decline);
    end_table(t);
    begin_table(t, "training", "training");
    put_row(t, "rows", (double)p.rows, (double)q.rows);
    put_row(t, "frauds", (double)p.frauds, (double)q.frauds);
    put_row(t, "trees", (double)forest_trees(bundle_forest(a->bundle)),
            (double)forest_trees(bundle_forest(b->bundle)));
    end_table(t);
    begin_table(t, "parameters", "parameters");
    put_numbers(t, a->parameters, b->parameters);
    end_table(t);
    begin_table(t, "features", "features");
    differ = put_missing(t, "only_a", "only the first", a->bundle, b->bundle);
    differ += put_missing(t, "only_b", "only the second", b->bundle, a->bundle);
    end_table(t);
    if (!t->o && differ == 0)
        printf("  the same %zu\n", plan_columns(bundle_plan(a->bundle)));
}

static void print(const struct side *a, const struct side *b)
{
    char heads[2][24];
    struct table t = { NULL };

    snprintf(heads[0], sizeof heads[0], "%" PRId64, a->version);
    snprintf(heads[1], sizeof heads[1], "%" PRId64, b->version);
    printf("%-38s %14s %14s %14s\n", "", heads[0], heads[1], "difference");
    put_all(&t, a, b);
}

static void print_json(const struct side *a, const struct side *b)
{
    struct json_out o;
    struct buf text;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_int(&o, "a", a->version);
    json_out_int(&o, "b", b->version);
    put_all(&(struct table){ &o }, a, b);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static enum exit_code run(const void *given, char **operands, size_t operand_count)
{
    const struct compare_settings *settings = given;
    struct side a = { 0 }, b = { 0 };
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    if (!version_read(operands[0], &a.version) || !version_read(operands[1], &b.version))
        return EXIT_USAGE;
    err = database_open_migrated(&s, &why);
    if (!err)
        err = open_side(s, &a, &why);
    if (!err)
        err = open_side(s, &b, &why);
    if (!err)
        (settings->as_json ? print_json : print)(&a, &b);
    pg_session_close(s);
    close_side(&a);
    close_side(&b);
    return command_end(err, &why);
}

static const struct option options[] = {
    { "json", OPTION_FLAG, offsetof(struct compare_settings, as_json), NULL,
      "as JSON: [first, second] each" },
};

const struct command cmd_models_compare = {
    .name = "models compare",
    .operands = "<version> <version>",
    .purpose = "Show two models side by side: figures, thresholds, parameters, features that differ",
    .text = "The figures are those that each bundle brought along, of the days that each was judged on: a\n"
            "comparison on the same payments is the retrainer's, and stands in the verdicts of `assay models "
            "show`.",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct compare_settings),
    .run = run,
};
