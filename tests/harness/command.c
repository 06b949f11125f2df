/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/command.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int command_run(struct buf *said, const char *conninfo, const char *settings, const char *words)
{
    char program[PATH_MAX] = "", command[2 * PATH_MAX], bytes[4096];
    FILE *f;
    size_t n;
    int status;

    cr_assert_gt(readlink("/proc/self/exe", program, sizeof program - 1), 0);
    *strrchr(program, '/') = '\0';
    snprintf(command, sizeof command, "ASSAY_PG_URL='%s' %s %s/bin/assay %s 2>&1", conninfo, settings,
             program, words);
    f = popen(command, "r");
    cr_assert_not_null(f);
    if (said)
        buf_clear(said);
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0) {
        if (said)
            buf_add(said, bytes, n);
    }
    status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
