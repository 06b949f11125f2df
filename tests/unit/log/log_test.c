/* SPDX-License-Identifier: Apache-2.0
 * log_test.c - the shape of a line, and how many there are. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "log/limit.h"
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

static void say_often(void)
{
    log_open("tester", LOG_INFO);
    for (int i = 0; i < 1000; i++) {
        log_limited(LOG_DEBUG, "noise", "i=%d", i);
        log_limited(LOG_WARN, "noise", "i=%d", i);
    }
}

Test(log, writes_the_first_of_many_lines_that_a_peer_causes)
{
    char line[4096];

    written(line, sizeof line, say_often);
    cr_assert_str_eq(strstr(line, "Z ") + 2, "warn tester noise i=0\n");
}

Test(log, tells_with_the_next_line_how_many_were_not_written)
{
    struct log_limit limit = { 0 };
    uint64_t suppressed = 7;

    cr_assert(log_limit_take(&limit, "flood", LOG_WARN, 5, &suppressed));
    cr_assert_eq(suppressed, 0);
    cr_assert_not(log_limit_take(&limit, "flood", LOG_WARN, 5, &suppressed));
    cr_assert_not(log_limit_take(&limit, "flood", LOG_WARN, 4 + SECOND_US, &suppressed));
    cr_assert(log_limit_take(&limit, "flood", LOG_WARN, 5 + SECOND_US, &suppressed));
    cr_assert_eq(suppressed, 2);
    cr_assert(log_limit_take(&limit, "flood", LOG_WARN, 5 + 2 * SECOND_US, &suppressed));
    cr_assert_eq(suppressed, 0, "each is told of once");
}

Test(log, keeps_a_second_for_each_event_and_level_and_never_grows)
{
    struct log_limit limit = { 0 };
    static char names[2 * LOG_KINDS_MOST][8];
    uint64_t suppressed;
    size_t written_lines = 0;

    cr_assert(log_limit_take(&limit, "a", LOG_WARN, 0, &suppressed));
    cr_assert(log_limit_take(&limit, "a", LOG_ERROR, 0, &suppressed));
    cr_assert(log_limit_take(&limit, "b", LOG_WARN, 0, &suppressed));
    for (size_t i = 0; i < 2 * LOG_KINDS_MOST; i++) {
        snprintf(names[i], sizeof names[i], "e%zu", i);
        written_lines += log_limit_take(&limit, names[i], LOG_WARN, 0, &suppressed);
    }
    cr_assert_eq(written_lines, LOG_KINDS_MOST - 3);
}
