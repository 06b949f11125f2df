/* SPDX-License-Identifier: Apache-2.0
 * cmd_models.c - `assay models list`, `show`, `import`, `export` and `move`. */
#include "command.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "base/array.h"
#include "base/clock.h"
#include "bundle/bundle.h"
#include "database.h"
#include "file.h"
#include "lifestore/trial.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "trust.h"
#include "versions.h"

struct models_settings {
    bool as_json, is_promoted, is_quiet;
    const char *signature, *reason;
};

static const struct models_settings defaults = { .reason = "" };

static const char version_help[] = "A version is the number that `assay models list` prints.";

/* ---- list ---- */

static const char list_sql[] =
    "SELECT m.version, m.name, m.state, coalesce((SELECT string_agg(a.alias, ',' "
    "ORDER BY a.alias) FROM aliases a "
    "WHERE a.version = m.version), ''), to_char(m.created_at AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
    "encode(m.sha256, 'hex'), coalesce(encode(m.signer, 'hex'), ''), "
    "m.metrics::text FROM models m WHERE $1::text IN ('', m.name) ORDER BY m.version";

enum { SIGNER = 6, METRICS = 7 };

static void print_rows(const struct pg_result *r)
{
    printf("%7s %-16s %-10s %-28s %-20s %-7s %s\n", "VERSION", "NAME", "STATE", "ALIASES", "CREATED",
           "SIGNER", "AP");
    for (size_t i = 0; i < pg_rows(r); i++) {
        json_t *metrics = json_loads(pg_get_text(r, i, METRICS).ptr, 0, NULL);
        const json_t *ap = json_object_get(metrics, "average_precision");

        printf("%7" PRId64 " %-16s %-10s %-28s %-20s %-7.6s ", pg_get_int(r, i, 0), pg_get_text(r, i, 1).ptr,
               pg_get_text(r, i, 2).ptr, pg_get_text(r, i, 3).ptr, pg_get_text(r, i, 4).ptr,
               pg_get_text(r, i, SIGNER).len ? pg_get_text(r, i, SIGNER).ptr : "-");
        if (json_is_number(ap))
            printf("%.3f\n", json_number_value(ap));
        else
            printf("-\n");
        json_decref(metrics);
    }
}

static void print_json(const struct pg_result *r)
{
    static const char *const names[] = { "name", "state", "aliases", "created_at", "sha256", "signer" };
    json_t *all = json_array();

    for (size_t i = 0; i < pg_rows(r); i++) {
        json_t *row = json_object();

        json_object_set_new(row, "version", json_integer(pg_get_int(r, i, 0)));
        for (size_t c = 0; c < ARRAY_LEN(names); c++)
            json_object_set_new(row, names[c], json_string(pg_get_text(r, i, (int)c + 1).ptr));
        json_object_set_new(row, "metrics", json_loads(pg_get_text(r, i, METRICS).ptr, 0, NULL));
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
    return command_end(err, &why);
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

/* ---- show ---- */

/* A model with its row and what was found about it; everything is the arena's but the bundle. */
struct shown {
    struct model_info info;
    struct bundle *bundle;
    struct slice aliases; /* one after the other, with commas */
    struct verdict_row *verdicts;
    size_t verdict_count;
    struct arena arena;
};

static enum err read_aliases(struct pg_session *s, struct shown *m, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, m->info.version);
    err = pg_exec(s,
                  "SELECT coalesce(string_agg(alias, ',' ORDER BY alias), '') FROM aliases WHERE version = "
                  "$1::int8",
                  &p, &r, why);
    if (!err)
        m->aliases = arena_slice(&m->arena, pg_get_text(r, 0, 0));
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err read_shown(struct shown *m, int64_t version, struct why *why)
{
    struct pg_session *s;
    struct buf bytes;
    enum err err = database_open_migrated(&s, why);

    buf_init(&bytes, 0);
    if (!err)
        err = model_find(s, version, &m->info, why);
    if (!err)
        err = model_read(s, version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&m->bundle, buf_slice(&bytes), why);
    if (!err)
        err = read_aliases(s, m, why);
    if (!err)
        err = verdict_list(s, version, 0, &m->verdicts, &m->verdict_count, &m->arena, why);
    pg_session_close(s);
    buf_release(&bytes);
    return err;
}

static void print_shown(const struct shown *m)
{
    const struct bundle *b = m->bundle;
    struct bundle_training t = bundle_training(b);
    struct bundle_thresholds at = bundle_thresholds(b);
    char hex[SHA256_HEX_SIZE], signer[2 * SIGNER_BYTES + 1] = "nobody", from[RFC3339_SIZE],
                                                         until[RFC3339_SIZE];

    hex_encode(bundle_hash(b), SHA256_BYTES, hex);
    if (m->info.is_signed)
        hex_encode(m->info.signature.signer, SIGNER_BYTES, signer);
    rfc3339_format(t.from_us, from);
    rfc3339_format(t.until_us, until);
    printf("%.*s, version %" PRId64 ": %s%s%.*s\n", SLICE_ARG(bundle_name(b)), m->info.version,
           model_state_name(m->info.state), m->aliases.len ? ", as " : "", SLICE_ARG(m->aliases));
    printf("  sha256      %s\n  signed by   %s\n", hex, signer);
    printf("  forest      %zu trees, depth %zu, %zu nodes\n", forest_trees(bundle_forest(b)),
           forest_depth(bundle_forest(b)), forest_nodes(bundle_forest(b)));
    printf("  trained on  %s to %s: %" PRIu64 " rows, %" PRIu64 " frauds\n", from, until, t.rows, t.frauds);
    printf("  thresholds  challenge %g, review %g, decline %g\n", at.challenge, at.review, at.decline);
    printf("  parameters  %.*s\n", SLICE_ARG(bundle_parameters(b)));
    for (size_t i = 0; i < m->verdict_count; i++)
        printf("  %-11.*s %-24.*s %-12.*s %.*s\n", SLICE_ARG(m->verdicts[i].stage),
               SLICE_ARG(m->verdicts[i].gate), SLICE_ARG(m->verdicts[i].outcome),
               SLICE_ARG(m->verdicts[i].reason));
    printf("  features    %zu\n", plan_columns(bundle_plan(b)));
    for (size_t i = 0; i < plan_columns(bundle_plan(b)); i++) {
        const struct feature *f = plan_column(bundle_plan(b), i);

        printf("    %-36.*s %.*s\n", SLICE_ARG(f->name), SLICE_ARG(f->describe));
    }
    if (bundle_card(b).len)
        printf("\n%.*s\n", SLICE_ARG(bundle_card(b)));
}

static void print_shown_json(const struct shown *m)
{
    struct json_out o;
    struct buf text;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    json_out_int(&o, "version", m->info.version);
    json_out_str(&o, "name", m->info.name);
    json_out_str(&o, "state", model_state_name(m->info.state));
    json_out_text(&o, "aliases", m->aliases);
    json_out_hex(&o, "sha256", slice_of(m->info.sha256, SHA256_BYTES));
    json_out_time(&o, "created_at", m->info.created_at_us);
    if (m->info.is_signed) {
        json_out_hex(&o, "signer", slice_of(m->info.signature.signer, SIGNER_BYTES));
        json_out_hex(&o, "signature", slice_of(m->info.signature.bytes, SIGNATURE_BYTES));
    }
    json_out_list(&o, "verdicts");
    for (size_t i = 0; i < m->verdict_count; i++)
        verdict_row_write(&o, NULL, &m->verdicts[i]);
    json_out_end(&o);
    json_out_json(&o, "metrics", bundle_metrics(m->bundle));
    json_out_json(&o, "parameters", bundle_parameters(m->bundle));
    json_out_json(&o, "manifest", bundle_manifest(m->bundle));
    json_out_text(&o, "card", bundle_card(m->bundle));
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *given = settings;
    struct shown m = { 0 };
    struct why why = { 0 };
    int64_t version;
    enum err err;

    (void)operand_count;
    if (!version_read(operands[0], &version))
        return EXIT_USAGE;
    err = read_shown(&m, version, &why);
    if (!err)
        (given->as_json ? print_shown_json : print_shown)(&m);
    bundle_close(m.bundle);
    arena_release(&m.arena);
    return command_end(err, &why);
}

static const struct option show_options[] = {
    { "json", OPTION_FLAG, offsetof(struct models_settings, as_json), NULL, "as JSON" },
};

const struct command cmd_models_show = {
    .name = "models show",
    .operands = "<version>",
    .purpose =
        "Show a model: its state, signer and verdicts, what it was trained on, features, thresholds, card",
    .text = version_help,
    .options = show_options,
    .option_count = ARRAY_LEN(show_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct models_settings),
    .run = show,
};

/* ---- export ---- */

static bool beside(char path[PATH_MAX], const char *file, const char *suffix)
{
    return snprintf(path, PATH_MAX, "%s%s", file, suffix) < PATH_MAX;
}

static enum exit_code export_bundle(const void *settings, char **operands, size_t operand_count)
{
    char signature_path[PATH_MAX];
    struct model_info info = { 0 };
    struct pg_session *s = NULL;
    struct why why = { 0 };
    struct buf bytes, signature;
    int64_t version;
    enum err err;

    (void)settings;
    (void)operand_count;
    if (!version_read(operands[0], &version))
        return EXIT_USAGE;
    if (!beside(signature_path, operands[1], ".sig"))
        return command_fail(EXIT_USAGE, "the path is too long");
    buf_init(&bytes, 0);
    buf_init(&signature, 0);
    err = database_open_migrated(&s, &why);
    if (!err)
        err = model_find(s, version, &info, &why);
    if (!err)
        err = model_read(s, version, NULL, &bytes, &why);
    if (!err)
        err = file_write(operands[1], buf_slice(&bytes), &why);
    if (!err && info.is_signed) {
        bundle_signature_format(&signature, &info.signature, info.sha256);
        err = file_write(signature_path, buf_slice(&signature), &why);
    }
    if (!err)
        printf("wrote %s, %zu bytes%s%s\n", operands[1], bytes.len, info.is_signed ? ", and " : "",
               info.is_signed ? signature_path : "");
    pg_session_close(s);
    buf_release(&signature);
    buf_release(&bytes);
    return command_end(err, &why);
}

const struct command cmd_models_export = {
    .name = "models export",
    .operands = "<version> <file>",
    .purpose = "Write a model's bundle to a file, and its signature beside it",
    .text =
        "The file's `sha256sum` is the model's identity. FILE.sig says who signed it. `assay models import`\n"
        "takes both in elsewhere.",
    .operands_least = 2,
    .operands_most = 2,
    .run = export_bundle,
};

/* ---- import ---- */

/* What is computed here now and what the bundle needs must fit together: what features could not compute would
 * never be served.   ERR_INVALID  they do not */
static enum err check_features(struct pg_session *s, struct slice bytes, struct why *why)
{
    const struct plan *both[2];
    struct plan *now = NULL, *together = NULL;
    struct bundle *bundle = NULL;
    struct pg_result *r = NULL;
    enum err err = bundle_open(&bundle, bytes, why);

    if (!err)
        err = pg_exec(s, "SELECT definition FROM plans ORDER BY created_at DESC LIMIT 1", NULL, &r, why);
    if (!err && pg_rows(r) == 1)
        err = plan_parse(&now, pg_get_text(r, 0, 0), why);
    if (!err && now) {
        both[0] = now;
        both[1] = bundle_plan(bundle);
        err = plan_merge(&together, both, ARRAY_LEN(both), why);
        if (err)
            err_prefix(why, "with the features that are computed here: ");
    }
    plan_free(together);
    plan_free(now);
    pg_result_free(r);
    bundle_close(bundle);
    return err;
}

/* The signature beside a bundle's file, or of the file that --signature names; *out stays NULL where there is
 * none.   ERR_INVALID  it is of another bundle */
static enum err read_signature(const struct models_settings *given, const char *file, struct slice bytes,
                               const struct bundle_signature **out, struct arena *arena, struct why *why)
{
    struct bundle_signature *signature = arena_new(arena, struct bundle_signature, 1);
    unsigned char digest[SHA256_BYTES], of[SHA256_BYTES];
    char path[PATH_MAX];
    struct slice text;
    enum err err;

    *out = NULL;
    if (!beside(path, given->signature ? given->signature : file, given->signature ? "" : ".sig"))
        return err_set(why, ERR_INVALID, "the path is too long");
    if (given->signature == NULL && access(path, F_OK) != 0)
        return ERR_OK;
    err = file_read(&text, path, 4096, arena, why);
    if (!err)
        err = bundle_signature_parse(signature, of, text, why);
    if (err)
        return err_wrap(why, err, "%s", path);
    sha256(bytes, digest);
    if (memcmp(of, digest, sizeof of) != 0)
        return err_set(why, ERR_INVALID, "%s is the signature of another bundle, or the bundle was changed",
                       path);
    *out = signature;
    return ERR_OK;
}

static enum exit_code import_bundle(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *m = settings;
    const struct bundle_signature *signature = NULL;
    struct model_change how = { .actor = login_name(), .reason = slice_str(m->reason) };
    struct pg_session *s = NULL;
    struct why why = { 0 };
    struct arena arena = { 0 };
    struct slice bytes;
    int64_t version;
    bool is_new;
    enum err err = file_read(&bytes, operands[0], BUNDLE_BYTES_MAX, &arena, &why);

    (void)operand_count;
    if (!err)
        err = read_signature(m, operands[0], bytes, &signature, &arena, &why);
    if (!err)
        err = trust_read(&how.keys, &arena, &why);
    if (!err)
        err = database_open_migrated(&s, &why);
    if (!err)
        err = check_features(s, bytes, &why);
    if (!err)
        err = model_register(s, bytes, signature, how.keys, how.actor, &version, &is_new, &why);
    if (!err && m->is_promoted)
        err = model_promote(s, version, MODEL_ANY, &how, &why);
    pg_session_close(s);
    arena_release(&arena);
    if (err)
        return command_end(err, &why);
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
    { "reason", OPTION_TEXT, offsetof(struct models_settings, reason), "TEXT",
      "why it is promoted, for the audit" },
    { "signature", OPTION_TEXT, offsetof(struct models_settings, signature), "FILE",
      "the signature, when it is not in FILE.sig" },
};

const struct command cmd_models_import = {
    .name = "models import",
    .operands = "<file>",
    .purpose = "Register a model from its bundle, after checking it",
    .text =
        "Refused, with nothing changed: a bundle that was damaged, cut short or changed; whose golden rows\n"
        "differ by one bit when they are scored again; that needs a feature which it does not define, which\n"
        "this version cannot compute, or for which there is no room beside those that are computed here;\n"
        "whose signature is not right; and, with ASSAY_MODEL_KEYS, that nobody trusted signed. The very\n"
        "same bundle is registered once.\n\n"
        "  assay models import models/handbook.bundle --promote",
    .options = import_options,
    .option_count = ARRAY_LEN(import_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct models_settings),
    .defaults = &defaults,
    .run = import_bundle,
};

/* ---- move ---- */

static enum exit_code move(const void *settings, char **operands, size_t operand_count)
{
    const struct models_settings *m = settings;
    const struct model_change how = { .actor = login_name(), .reason = slice_str(m->reason) };
    struct pg_session *s = NULL;
    struct model_info info;
    struct why why = { 0 };
    enum model_state to;
    int64_t version;
    enum err err;

    (void)operand_count;
    if (!version_read(operands[0], &version))
        return EXIT_USAGE;
    if (!model_state_parse(slice_str(operands[1]), &to))
        return command_fail(EXIT_USAGE, "\"%s\" is no state of a model", operands[1]);
    err = database_open_migrated(&s, &why);
    if (!err)
        err = model_find(s, version, &info, &why);
    if (!err)
        err = model_move(s, version, info.state, to, &how, &why);
    pg_session_close(s);
    if (!err)
        printf("version %" PRId64 " of %s: %s, was %s\n", version, info.name, model_state_name(to),
               model_state_name(info.state));
    return command_end(err, &why);
}

static const struct option move_options[] = {
    { "reason", OPTION_TEXT, offsetof(struct models_settings, reason), "TEXT", "why, for the audit" },
};

const struct command cmd_models_move = {
    .name = "models move",
    .operands = "<version> <state>",
    .purpose = "Take a model to another state by hand: validated, shadow, ab or rejected",
    .text =
        "registered > validated > shadow > ab, back to validated from both, and rejected from all but\n"
        "champion. The retrainer does so by evidence; this is for a person who knows better. A champion is\n"
        "made by `assay promote` and unmade by `assay rollback`.\n\n"
        "  assay models move 17 rejected --reason \"learnt from test transactions\"",
    .options = move_options,
    .option_count = ARRAY_LEN(move_options),
    .operands_least = 2,
    .operands_most = 2,
    .settings_size = sizeof(struct models_settings),
    .defaults = &defaults,
    .run = move,
};
