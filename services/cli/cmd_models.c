/* SPDX-License-Identifier: Apache-2.0
 * cmd_models.c - `assay models list`, `show`, `import`, `export`, `promote` and `rollback`. */
#include "command.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "bundle/bundle.h"
#include "database.h"
#include "file.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"

struct models_settings {
    bool as_json, is_promoted, is_quiet;
    const char *expect;
};

static const char version_help[] = "A version is the number that `assay models list` prints.";

static bool read_version(const char *text, int64_t *version)
{
    if (slice_to_i64(slice_str(text), version) && *version > 0)
        return true;
    command_fail(EXIT_USAGE, "\"%s\" is no version: `assay models list` prints them", text);
    return false;
}

/* --expect: a version, "none", or nothing, which takes whatever is there. */
static bool read_expected(const char *text, int64_t *version)
{
    *version = MODEL_ANY;
    if (text == NULL)
        return true;
    if (strcmp(text, "none") != 0)
        return read_version(text, version);
    *version = MODEL_NONE;
    return true;
}

static enum exit_code done_or(enum err err, const struct why *why)
{
    if (!err)
        return EXIT_DONE;
    return command_fail(err == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED, "%s", why->text);
}

/* ---- list ---- */

static const char list_sql[] = "SELECT m.version, m.name, m.state, coalesce((SELECT string_agg(a.alias, ',' "
                               "ORDER BY a.alias) FROM aliases a "
                               "WHERE a.version = m.version), ''), to_char(m.created_at AT TIME ZONE 'UTC', "
                               "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
                               "encode(m.sha256, 'hex'), m.metrics::text FROM models m WHERE $1::text IN "
                               "('', m.name) ORDER BY m.version";

static void print_rows(const struct pg_result *r)
{
    printf("%7s %-16s %-10s %-28s %-20s %s\n", "VERSION", "NAME", "STATE", "ALIASES", "CREATED", "AP");
    for (size_t i = 0; i < pg_rows(r); i++) {
        json_t *metrics = json_loads(pg_get_text(r, i, 6).ptr, 0, NULL);
        const json_t *ap = json_object_get(metrics, "average_precision");

        printf("%7" PRId64 " %-16s %-10s %-28s %-20s ", pg_get_int(r, i, 0), pg_get_text(r, i, 1).ptr,
               pg_get_text(r, i, 2).ptr, pg_get_text(r, i, 3).ptr, pg_get_text(r, i, 4).ptr);
        if (json_is_number(ap))
            printf("%.3f\n", json_number_value(ap));
        else
            printf("-\n");
        json_decref(metrics);
    }
}

static void print_json(const struct pg_result *r)
{
    static const char *const names[] = { "name", "state", "aliases", "created_at", "sha256" };
    json_t *all = json_array();

    for (size_t i = 0; i < pg_rows(r); i++) {
        json_t *row = json_object();

        json_object_set_new(row, "version", json_integer(pg_get_int(r, i, 0)));
        for (size_t c = 0; c < ARRAY_LEN(names); c++)
            json_object_set_new(row, names[c], json_string(pg_get_text(r, i, (int)c + 1).ptr));
        json_object_set_new(row, "metrics", json_loads(pg_get_text(r, i, 6).ptr, 0, NULL));
        json_array_append_new(all, row);
    }
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *m = settings;
    struct pg_session *s;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    pg_add_text(&p, slice_str(operand_count ? operands[0] : ""));
    if (!err)
        err = pg_exec(s, list_sql, &p, &r, &why);
    if (!err)
        (m->as_json ? print_json : print_rows)(r);
    pg_result_free(r);
    pg_params_release(&p);
    pg_session_close(s);
    return done_or(err, &why);
}

static const struct option list_options[] = {
    { "json", OPTION_FLAG, offsetof(struct models_settings, as_json), NULL, "as JSON" },
};

const struct command cmd_models_list = {
    .name = "models list",
    .operands = "[name]",
    .purpose = "List the registered models and the aliases that point to them",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .operands_most = 1,
    .settings_size = sizeof(struct models_settings),
    .run = list,
};

/* ---- show, export ---- */

static enum err read_bundle(int64_t version, struct buf *bytes, struct why *why)
{
    struct pg_session *s;
    enum err err = database_open_migrated(&s, why);

    buf_init(bytes, 0);
    if (!err)
        err = model_read(s, version, NULL, bytes, why);
    pg_session_close(s);
    return err;
}

static void print_bundle(const struct bundle *b, int64_t version)
{
    struct bundle_training t = bundle_training(b);
    struct bundle_thresholds at = bundle_thresholds(b);
    char hex[SHA256_HEX_SIZE], from[RFC3339_SIZE], until[RFC3339_SIZE];

    hex_encode(bundle_hash(b), SHA256_BYTES, hex);
    rfc3339_format(t.from_us, from);
    rfc3339_format(t.until_us, until);
    printf("%.*s, version %" PRId64 "\n", SLICE_ARG(bundle_name(b)), version);
    printf("  sha256      %s\n", hex);
    printf("  forest      %zu trees, depth %zu, %zu nodes\n", forest_trees(bundle_forest(b)),
           forest_depth(bundle_forest(b)), forest_nodes(bundle_forest(b)));
    printf("  trained on  %s to %s: %" PRIu64 " rows, %" PRIu64 " frauds\n", from, until, t.rows, t.frauds);
    printf("  thresholds  challenge %g, review %g, decline %g\n", at.challenge, at.review, at.decline);
    printf("  metrics     %.*s\n", SLICE_ARG(bundle_metrics(b)));
    printf("  parameters  %.*s\n", SLICE_ARG(bundle_parameters(b)));
    printf("  features    %zu\n", plan_columns(bundle_plan(b)));
    for (size_t i = 0; i < plan_columns(bundle_plan(b)); i++) {
        const struct feature *f = plan_column(bundle_plan(b), i);

        printf("    %-36.*s %.*s\n", SLICE_ARG(f->name), SLICE_ARG(f->describe));
    }
    if (bundle_card(b).len)
        printf("\n%.*s\n", SLICE_ARG(bundle_card(b)));
}

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *m = settings;
    struct bundle *b = NULL;
    struct why why = { 0 };
    struct buf bytes;
    int64_t version;
    enum err err;

    (void)operand_count;
    if (!read_version(operands[0], &version))
        return EXIT_USAGE;
    err = read_bundle(version, &bytes, &why);
    if (!err)
        err = bundle_open(&b, buf_slice(&bytes), &why);
    if (!err && m->as_json)
        printf("%.*s\n", SLICE_ARG(bundle_manifest(b)));
    else if (!err)
        print_bundle(b, version);
    bundle_close(b);
    buf_release(&bytes);
    return done_or(err, &why);
}

static const struct option show_options[] = {
    { "json", OPTION_FLAG, offsetof(struct models_settings, as_json), NULL, "the bundle's manifest" },
};

const struct command cmd_models_show = {
    .name = "models show",
    .operands = "<version>",
    .purpose = "Show a model: what it was trained on, its features, thresholds, metrics and card",
    .text = version_help,
    .options = show_options,
    .option_count = ARRAY_LEN(show_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct models_settings),
    .run = show,
};

static enum exit_code export_bundle(const void *settings, char **operands, size_t operand_count)
{
    struct why why = { 0 };
    struct buf bytes;
    int64_t version;
    enum err err;

    (void)settings;
    (void)operand_count;
    if (!read_version(operands[0], &version))
        return EXIT_USAGE;
    err = read_bundle(version, &bytes, &why);
    if (!err)
        err = file_write(operands[1], buf_slice(&bytes), &why);
    if (!err)
        printf("wrote %s, %zu bytes\n", operands[1], bytes.len);
    buf_release(&bytes);
    return done_or(err, &why);
}

const struct command cmd_models_export = {
    .name = "models export",
    .operands = "<version> <file>",
    .purpose = "Write a model's bundle to a file",
    .text = "The file's `sha256sum` is the model's identity. `assay models import` takes it in elsewhere.",
    .operands_least = 2,
    .operands_most = 2,
    .run = export_bundle,
};

/* ---- import ---- */

static enum exit_code import_bundle(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *m = settings;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    struct arena arena = { 0 };
    struct slice bytes;
    int64_t version;
    bool is_new;
    enum err err = file_read(&bytes, operands[0], BUNDLE_BYTES_MAX, &arena, &why);

    (void)operand_count;
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = model_register(s, bytes, NULL, NULL, login_name(), &version, &is_new, &why);
    if (!err && m->is_promoted)
        err = model_promote(s, version, MODEL_ANY, &(struct model_change){ .actor = login_name() }, &why);
    pg_session_close(s);
    arena_release(&arena);
    if (err)
        return done_or(err, &why);
    if (m->is_quiet)
        printf("%" PRId64 "\n", version);
    else
        printf("version %" PRId64 "%s%s\n", version, is_new ? "" : ", which was there already",
               m->is_promoted ? "; it is the champion" : "");
    return EXIT_DONE;
}

static const struct option import_options[] = {
    { "promote", OPTION_FLAG, offsetof(struct models_settings, is_promoted), NULL,
      "make it the champion at once" },
    { "quiet", OPTION_FLAG, offsetof(struct models_settings, is_quiet), NULL, "print the version alone" },
};

const struct command cmd_models_import = {
    .name = "models import",
    .operands = "<file>",
    .purpose = "Register a model from its bundle, after checking it",
    .text = "The bundle's golden rows are scored again: a margin that differs by one bit refuses it. The "
            "very same\n"
            "bundle is registered once.\n\n"
            "  assay models import models/handbook.bundle --promote",
    .options = import_options,
    .option_count = ARRAY_LEN(import_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct models_settings),
    .run = import_bundle,
};

/* ---- promote, rollback ---- */

/* What is to be moved, and what should be there now. */
struct change {
    const char *name;
    int64_t version, expected;
};

typedef enum err move_fn(struct pg_session *s, struct change *c, struct why *why);

static enum exit_code change(move_fn *move, struct change *c)
{
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    if (!err)
        err = move(s, c, &why);
    pg_session_close(s);
    return done_or(err, &why);
}

static const struct option expect_options[] = {
    { "expect", OPTION_TEXT, offsetof(struct models_settings, expect), "VERSION",
      "do it only when this one is there now; \"none\" when none is" },
};

static enum err promote_version(struct pg_session *s, struct change *c, struct why *why)
{
    return model_promote(s, c->version, c->expected, &(struct model_change){ .actor = login_name() }, why);
}

static enum exit_code promote(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *m = settings;
    struct change c = { 0 };
    enum exit_code code;

    (void)operand_count;
    if (!read_version(operands[0], &c.version) || !read_expected(m->expect, &c.expected))
        return EXIT_USAGE;
    code = change(promote_version, &c);
    if (code == EXIT_DONE)
        printf("version %" PRId64 " is the champion\n", c.version);
    return code;
}

const struct command cmd_models_promote = {
    .name = "models promote",
    .operands = "<version>",
    .purpose = "Make a model the champion; the one before it becomes the previous champion",
    .text =
        "Services that run take it in well under a second, between two requests. `assay models rollback`\n"
        "is the way back.",
    .options = expect_options,
    .option_count = ARRAY_LEN(expect_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct models_settings),
    .run = promote,
};

static enum err roll_back(struct pg_session *s, struct change *c, struct why *why)
{
    return model_roll_back(s, slice_str(c->name), c->expected,
                           &(struct model_change){ .actor = login_name() }, &c->version, NULL, why);
}

static enum exit_code rollback(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *m = settings;
    struct change c = { .name = operands[0] };
    enum exit_code code;

    (void)operand_count;
    if (!read_expected(m->expect, &c.expected))
        return EXIT_USAGE;
    code = change(roll_back, &c);
    if (code == EXIT_DONE)
        printf("version %" PRId64 " is the champion again\n", c.version);
    return code;
}

const struct command cmd_models_rollback = {
    .name = "models rollback",
    .operands = "<name>",
    .purpose = "Make the previous champion of a name the champion again",
    .options = expect_options,
    .option_count = ARRAY_LEN(expect_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct models_settings),
    .run = rollback,
};
