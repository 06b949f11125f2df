/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <stdarg.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"

/* X(variable), a line each, in the order of the list that `assay help` prints. */
/* clang-format off */
#define COMMAND_LIST(X) \
    X(cmd_up) \
    X(cmd_down) \
    X(cmd_status) \
    X(cmd_logs) \
    X(cmd_health) \
    X(cmd_replay) \
    X(cmd_get) \
    X(cmd_migrate) \
    X(cmd_logins) \
    X(cmd_accounts_create) \
    X(cmd_accounts_list) \
    X(cmd_keys_create) \
    X(cmd_keys_list) \
    X(cmd_keys_rotate) \
    X(cmd_keys_revoke) \
    X(cmd_users_add) \
    X(cmd_users_list) \
    X(cmd_users_passwd) \
    X(cmd_users_roles) \
    X(cmd_users_disable) \
    X(cmd_users_enable) \
    X(cmd_audit_list) \
    X(cmd_audit_verify) \
    X(cmd_certs_init) \
    X(cmd_certs_issue) \
    X(cmd_certs_rotate) \
    X(cmd_certs_show) \
    X(cmd_cel_check) \
    X(cmd_cel_eval) \
    X(cmd_cel_conformance) \
    X(cmd_rules_check) \
    X(cmd_rules_test) \
    X(cmd_rules_eval) \
    X(cmd_rules_draft) \
    X(cmd_rules_prepare) \
    X(cmd_rules_shadow) \
    X(cmd_rules_publish) \
    X(cmd_rules_retire) \
    X(cmd_rules_rollback) \
    X(cmd_rules_show) \
    X(cmd_rules_diff) \
    X(cmd_rules_backtest) \
    X(cmd_rules_explain) \
    X(cmd_rules_list) \
    X(cmd_lists_create) \
    X(cmd_lists_add) \
    X(cmd_lists_remove) \
    X(cmd_lists_import) \
    X(cmd_lists_export) \
    X(cmd_lists_drop) \
    X(cmd_lists_show) \
    X(cmd_slice_set) \
    X(cmd_slice_off) \
    X(cmd_slice_show) \
    X(cmd_slice_report) \
    X(cmd_load) \
    X(cmd_import) \
    X(cmd_simulate) \
    X(cmd_models_list) \
    X(cmd_models_show) \
    X(cmd_models_import) \
    X(cmd_models_export) \
    X(cmd_models_card) \
    X(cmd_models_compare) \
    X(cmd_models_move) \
    X(cmd_models_sign) \
    X(cmd_models_keygen) \
    X(cmd_promote) \
    X(cmd_rollback) \
    X(cmd_retrain) \
    X(cmd_schedule_list) \
    X(cmd_schedule_set) \
    X(cmd_schedule_remove) \
    X(cmd_experiments_list) \
    X(cmd_experiments_show) \
    X(cmd_experiments_stop) \
    X(cmd_drift) \
    X(cmd_quality) \
    X(cmd_alerts_show) \
    X(cmd_alerts_silence) \
    X(cmd_alerts_unsilence) \
    X(cmd_alerts_silences) \
    X(cmd_alerts) \
    X(cmd_webhooks_add) \
    X(cmd_webhooks_list) \
    X(cmd_webhooks_test) \
    X(cmd_webhooks_rotate) \
    X(cmd_webhooks_enable) \
    X(cmd_webhooks_disable) \
    X(cmd_webhooks_remove) \
    X(cmd_evaluate) \
    X(cmd_verify) \
    X(cmd_explain) \
    X(cmd_train) \
    X(cmd_version)
/* clang-format on */

#define COMMAND_EXTERN(name) extern const struct command name;
COMMAND_LIST(COMMAND_EXTERN)
#undef COMMAND_EXTERN

const struct command *const commands[] = {
#define COMMAND_ROW(name) &name,
    COMMAND_LIST(COMMAND_ROW)
#undef COMMAND_ROW
};
const size_t command_count = ARRAY_LEN(commands);

/* How many of the first words of argv are `name`: 0 when they are not. */
static size_t words_matched(const char *name, char **argv, size_t argc)
{
    const char *space = strchr(name, ' ');

    if (!argc)
        return 0;
    if (!space)
        return strcmp(name, argv[0]) == 0;
    if (argc < 2 || strncmp(name, argv[0], (size_t)(space - name)) != 0 || argv[0][space - name] ||
        strcmp(space + 1, argv[1]) != 0)
        return 0;
    return 2;
}

const struct command *command_find(char **argv, size_t argc, size_t *taken)
{
    for (size_t i = 0; i < command_count; i++) {
        *taken = words_matched(commands[i]->name, argv, argc);
        if (*taken)
            return commands[i];
    }
    return NULL;
}

void command_help(FILE *out, const struct command *c)
{
    fprintf(out, "assay %s%s%s%s\n  %s\n", c->name, *c->operands ? " " : "", c->operands,
            c->option_count ? " [options]" : "", c->purpose);
    if (c->text)
        fprintf(out, "\n%s\n", c->text);
    if (c->more) {
        struct buf lines = { 0 };

        c->more(&lines);
        fprintf(out, "\n%s", buf_str(&lines));
        buf_release(&lines);
    }
    if (c->option_count) {
        fprintf(out, "\nOptions\n");
        options_print(out, c->options, c->option_count);
    }
}

enum exit_code command_fail(enum exit_code code, const char *format, ...)
{
    va_list args;

    fputs("assay: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

enum exit_code command_end(enum err err, const struct why *why)
{
    if (!err)
        return EXIT_DONE;
    return command_fail(err == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED, "%s", why->text);
}
