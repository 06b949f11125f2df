/* SPDX-License-Identifier: Apache-2.0
 * cmd_cel.c - `assay cel check`, `eval` and `conformance`: the rules' language by itself. */
#include "command.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "cel/cel.h"
#include "conformance.h"
#include "cron/zone.h"
#include "file.h"
#include "policy/policy.h"
#include "textproto/textproto.h"
#include "velocity/velocity.h"

#define ZONES     "/usr/share/zoneinfo"
#define FILE_ENDS ".textproto"
#define ZONE_PATH 512

/* ---- zones ---- */

/* A zone is read each time: this is for commands that ask for few. */
static bool zone_of(void *context, struct slice name, int64_t at_s, int32_t *offset_s)
{
    char path[ZONE_PATH];
    struct arena arena = { 0 };
    struct zone *zone = NULL;
    struct slice bytes;
    struct why why;
    bool is_known;

    (void)context;
    if (!zone_name_is_safe(name))
        return false;
    snprintf(path, sizeof path, ZONES "/%.*s", SLICE_ARG(name));
    is_known = !file_read(&bytes, path, ZONE_BYTES_MAX, &arena, &why) && !zone_open(&zone, bytes, &why);
    if (is_known)
        *offset_s = zone_offset(zone, at_s);
    zone_close(zone);
    arena_release(&arena);
    return is_known;
}

/* ---- conformance ---- */

struct conformance_settings {
    bool is_verbose;
};

struct tally {
    size_t counts[CONFORMANCE_OUTCOMES];
    bool is_verbose;
};

static void count(void *context, const struct conformance_test *test)
{
    static const char *const words[] = { NULL, "FAILED", "skipped" };
    struct tally *tally = context;

    tally->counts[test->outcome]++;
    if (tally->is_verbose && words[test->outcome])
        printf("  %s %.*s/%.*s: %.*s\n      %.*s\n", words[test->outcome], SLICE_ARG(test->section),
               SLICE_ARG(test->name), SLICE_ARG(test->expr), SLICE_ARG(test->detail));
}

static void print_counts(const struct tally *tally)
{
    printf("%zu passed, %zu failed, %zu skipped\n", tally->counts[CONFORMANCE_PASSED],
           tally->counts[CONFORMANCE_FAILED], tally->counts[CONFORMANCE_SKIPPED]);
}

static int is_test_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > strlen(FILE_ENDS) && strcmp(entry->d_name + len - strlen(FILE_ENDS), FILE_ENDS) == 0;
}

static enum err run_file(const char *dir, const char *name, struct tally *all, struct why *why)
{
    struct tally tally = { .is_verbose = all->is_verbose };
    char path[4096];
    struct arena arena = { 0 };
    struct slice text;
    enum err err;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    err = file_read(&text, path, TEXTPROTO_BYTES_MAX, &arena, why);
    if (!err)
        err = conformance_run(text, zone_of, NULL, count, &tally, why);
    arena_release(&arena);
    if (err)
        return err_wrap(why, err, "%s", name);
    printf("%-28s ", name);
    print_counts(&tally);
    for (size_t i = 0; i < CONFORMANCE_OUTCOMES; i++)
        all->counts[i] += tally.counts[i];
    return ERR_OK;
}

static enum exit_code run_conformance(const void *settings, char **operands, size_t operand_count)
{
    struct tally all = { .is_verbose = ((const struct conformance_settings *)settings)->is_verbose };
    struct dirent **files = NULL;
    struct why why = { 0 };
    enum err err = ERR_OK;
    int file_count = scandir(operands[0], &files, is_test_file, alphasort);

    (void)operand_count;
    if (file_count < 0)
        return command_fail(EXIT_NOT_FOUND, "cel conformance: %s cannot be read", operands[0]);
    for (int i = 0; i < file_count; i++) {
        if (!err)
            err = run_file(operands[0], files[i]->d_name, &all, &why);
        free(files[i]);
    }
    free(files);
    if (err)
        return command_fail(EXIT_FAILED, "cel conformance: %s", why.text);
    print_counts(&all);
    return all.counts[CONFORMANCE_FAILED] ? EXIT_FAILED : EXIT_DONE;
}

static const struct option conformance_options[] = {
    { "verbose", OPTION_FLAG, offsetof(struct conformance_settings, is_verbose), NULL,
      "tell each test that failed or was skipped, and why" },
};

const struct command cmd_cel_conformance = {
    .name = "cel conformance",
    .operands = "DIR",
    .purpose = "Run the public conformance tests of the rules' language",
    .text =
        "Reads every *.textproto in DIR, which hold SimpleTestFile messages: the tests of\n"
        "github.com/google/cel-spec stand in its tests/simple/testdata. docs/cel.md tells what is skipped.\n"
        "Status 1 when a test failed.",
    .options = conformance_options,
    .option_count = ARRAY_LEN(conformance_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct conformance_settings),
    .run = run_conformance,
};

/* ---- eval ---- */

static enum exit_code run_eval(const void *settings, char **operands, size_t operand_count)
{
    struct cel_env env = { .dialect = CEL_STANDARD };
    struct cel_program *program;
    struct arena arena = { 0 };
    struct why why = { 0 };
    struct buf out;
    struct cel_value value;
    enum err err = cel_compile(&program, slice_str(operands[0]), &env, &why);

    (void)settings;
    (void)operand_count;
    if (err)
        return command_fail(EXIT_FAILED, "%s", why.text);
    value = cel_eval(program, &(struct cel_input){ .arena = &arena, .zone = zone_of });
    buf_init(&out, 1 << 20);
    cel_value_print(value, &out);
    printf("%s\n", buf_str(&out));
    buf_clear(&out);
    cel_type_print(cel_result_type(program), &out);
    printf("type %s, cost %u\n", buf_str(&out), cel_cost(program));
    buf_release(&out);
    cel_free(program);
    arena_release(&arena);
    return value.kind == CEL_ERROR ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_cel_eval = {
    .name = "cel eval",
    .operands = "EXPRESSION",
    .purpose = "Evaluate an expression that uses no names",
    .text =
        "  assay cel eval '[1, 2, 3].filter(x, x > 1).map(x, x * x)'\n\n"
        "Prints the value, its type and the static cost. Status 1 when it is refused or comes to an error.",
    .operands_least = 1,
    .operands_most = 1,
    .run = run_eval,
};

/* ---- check ---- */

static const char *meaning_of(const struct policy *policy, struct slice name)
{
    if (slice_starts_with(name, SLICE("tx.")))
        return "of the payment";
    if (slice_eq_str(name, "score"))
        return "of the model";
    if (velocities_find(policy_velocities(policy), name) != VELOCITY_NONE)
        return "velocity";
    return name.len && name.ptr[name.len - 1] == ')' ? "how its value is" : "feature of the catalogue";
}

static void print_list_name(void *context, struct slice name)
{
    (void)context;
    printf("  %-32.*s %-10s %s\n", SLICE_ARG(name), "list", "that in_list() asks");
}

static void print_program(const struct policy *policy, const struct cel_program *program)
{
    const struct cel_use *uses;
    size_t count = cel_uses(program, &uses);
    struct buf out;

    buf_init(&out, 0);
    cel_print(program, &out);
    printf("%s\n", buf_str(&out));
    buf_clear(&out);
    cel_type_print(cel_result_type(program), &out);
    printf("type %s, cost %u of %d\n", buf_str(&out), cel_cost(program), CEL_COST_MAX);
    buf_release(&out);
    for (size_t i = 0; i < count; i++)
        printf("  %-32.*s %-10s %s\n", SLICE_ARG(uses[i].name),
               uses[i].kind == CEL_DYN ? "any" : cel_kind_name(uses[i].kind),
               meaning_of(policy, uses[i].name));
    cel_literal_args(program, "in_list", 1, print_list_name, NULL);
    if (cel_result_kind(program) != CEL_BOOL)
        printf("A rule's condition comes to true or false: this does not.\n");
}

static enum exit_code run_check(const void *settings, char **operands, size_t operand_count)
{
    struct policy *policy = policy_new();
    struct cel_program *program;
    struct why why = { 0 };
    enum err err = policy_compile(policy, slice_str(operands[0]), &program, &why);

    (void)settings;
    (void)operand_count;
    if (!err)
        print_program(policy, program);
    cel_free(program);
    policy_free(policy);
    return err ? command_fail(EXIT_FAILED, "%s", why.text) : EXIT_DONE;
}

const struct command cmd_cel_check = {
    .name = "cel check",
    .operands = "EXPRESSION",
    .purpose = "Compile an expression over what rules may name",
    .text =
        "  assay cel check 'count(card, \"10m\") > 5 && tx.amount > 50000'\n\n"
        "Prints how it is read, its type and static cost, and each name that it uses. Up to three faults "
        "are\n"
        "shown, each with a caret below its place, and status 1. Whether a feature or a list is there is "
        "told\n"
        "when a rule set is kept (`assay rules draft`). `assay rules eval` evaluates rules for a payment.\n"
        "An expression that begins with a minus comes after --.",
    .operands_least = 1,
    .operands_most = 1,
    .run = run_check,
};
