/* SPDX-License-Identifier: Apache-2.0
 * log_test.c - the shape of a line. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>
#include <unistd.h>

#include "log/log.h"

static size_t written(char *line, size_t room, void (*say)(void))
{
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t len;

    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    say();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    len = read(ends[0], line, room - 1);
    close(ends[0]);
    line[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

static void say_ready(void)
{
    log_open("tester", LOG_INFO);
    log_event(LOG_DEBUG, "hidden", NULL);
    log_event(LOG_INFO, "ready", "port=%d name=%s", 80, log_quoted(SLICE("a \"b\"\n")));
}

static void say_too_much(void)
{
    char big[5000];

    memset(big, 'x', sizeof big);
    log_event(LOG_ERROR, "big", "v=%.*s", (int)sizeof big, big);
}

Test(log, writes_one_line_with_quoted_values_and_hides_what_is_below_its_level)
{
    char line[4096];

    written(line, sizeof line, say_ready);
    cr_assert_str_eq(strstr(line, "Z ") + 2, "info tester ready port=80 name=\"a \\\"b\\\"?\"\n");
}

Test(log, cuts_a_line_that_is_too_long_and_ends_it)
{
    char line[8192];
    size_t len = written(line, sizeof line, say_too_much);

    cr_assert(len > 2000 && len <= 2048);
    cr_assert_eq(line[len - 1], '\n');
}
