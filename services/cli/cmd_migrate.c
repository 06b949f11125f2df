/* SPDX-License-Identifier: Apache-2.0
 * cmd_migrate.c - `assay migrate`. */
#include "command.h"

#include "database.h"
#include "pg/migrate.h"
#include "pg/session.h"

static void on_applied(void *ctx, const struct migration *m)
{
    ++*(size_t *)ctx;
    printf("applied %s\n", m->name);
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    struct pg_session *s;
    struct why why = { 0 };
    size_t applied = 0;
    enum err err = database_open(&s, &why);

    (void)settings;
    (void)operands;
    (void)operand_count;
    if (!err)
        err = pg_migrate(s, migrations, migration_count, on_applied, &applied, &why);
    pg_session_close(s);
    if (err)
        return command_fail(EXIT_FAILED, "migrate: %s", why.text);
    if (!applied)
        printf("nothing to do: all %zu migrations are there\n", migration_count);
    return EXIT_DONE;
}

const struct command cmd_migrate = {
    .name = "migrate",
    .operands = "",
    .purpose = "Bring the database's tables up to this program",
    .text =
        "Applies the migrations that are missing, each in one transaction. Several at once are fine: one\n"
        "works, the others wait. An applied migration whose file was edited since is an error.\n\n"
        "The database is ASSAY_PG_URL, else the private cluster below ASSAY_HOME (./var), which is made and\n"
        "started when needed.",
    .run = run,
};
