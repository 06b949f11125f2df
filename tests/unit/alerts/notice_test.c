/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/notice.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"

static struct why why;
static struct arena arena;
static struct notice *notices;
static size_t notice_count;

static struct alert_condition condition(const char *name, const char *subject, enum alert_severity severity)
{
    struct alert_condition c = { .severity = severity, .is_true = true, .text = SLICE("text") };

    cr_assert(!alert_labels_add(&c.labels, SLICE("alertname"), slice_str(name), &why));
    cr_assert(!alert_labels_add(&c.labels, SLICE("subject"), slice_str(subject), &why));
    return c;
}

static struct alert firing(const char *name, const char *subject, enum alert_severity severity, int64_t at_us)
{
    struct alert_condition c = condition(name, subject, severity);

    return alert_begin(&c, &(struct alert_times){ 0 }, at_us);
}

static struct silence silence_of(const char *matcher, int64_t starts_us, int64_t ends_us)
{
    struct silence s = {
        .starts_us = starts_us, .ends_us = ends_us, .author = SLICE("me"), .comment = SLICE("x")
    };
    struct silence_matcher m;

    cr_assert(!silence_matcher_parse(&m, slice_str(matcher), &why), "%s", why.text);
    cr_assert(!silence_add(&s, m, &why));
    cr_assert(!silence_check(&s, &why), "%s", why.text);
    return s;
}

static const struct alert_times times = { .group_us = 10 * SECOND_US, .repeat_us = HOUR_US };

static size_t make(struct alert *alerts, size_t count, const struct silence *silences, size_t silence_count,
                   int64_t now_us)
{
    arena_reset(&arena);
    notices_make(alerts, count, silences, silence_count, NULL, 0, &times, now_us, &notices, &notice_count,
                 &arena);
    return notice_count;
}

static void teardown(void)
{
    arena_release(&arena);
}

TestSuite(notice, .fini = teardown, .timeout = 180);

Test(notice, those_of_a_name_are_told_together)
{
    struct alert all[] = { firing("Drift", "a", ALERT_WARNING, 0),
                           firing("Lag", "b", ALERT_WARNING, 2 * SECOND_US),
                           firing("Drift", "c", ALERT_WARNING, 9 * SECOND_US) };

    cr_assert_eq(make(all, 3, NULL, 0, 9 * SECOND_US), 0, "more may come");
    cr_assert_eq(make(all, 3, NULL, 0, 10 * SECOND_US), 1);
    cr_assert_eq(notices[0].state, ALERT_FIRING);
    cr_assert_eq(notices[0].count, 2);
    cr_assert(slice_eq_str(notices[0].group, "Drift"));
    cr_assert_eq(make(all, 3, NULL, 0, 12 * SECOND_US), 1);
    cr_assert_eq(notices[0].count, 1);
    cr_assert_eq(make(all, 3, NULL, 0, 13 * SECOND_US), 0, "told is told");
}

Test(notice, is_told_again_while_it_fires_and_at_once_when_it_is_worse)
{
    struct alert a = firing("Drift", "a", ALERT_WARNING, 0);

    cr_assert_eq(make(&a, 1, NULL, 0, 10 * SECOND_US), 1);
    cr_assert_eq(make(&a, 1, NULL, 0, HOUR_US), 0);
    a.severity = ALERT_CRITICAL;
    cr_assert_eq(make(&a, 1, NULL, 0, HOUR_US + 1), 1);
    a.severity = ALERT_INFO;
    cr_assert_eq(make(&a, 1, NULL, 0, HOUR_US + 2), 0, "better is no news");
    cr_assert_eq(make(&a, 1, NULL, 0, 2 * HOUR_US + 1), 1);
}

Test(notice, the_end_is_told_once_and_only_of_what_was_told)
{
    struct alert all[] = { firing("Drift", "a", ALERT_WARNING, 0), firing("Lag", "b", ALERT_WARNING, 0) };

    all[1].state = ALERT_RESOLVED;
    cr_assert_eq(make(all, 2, NULL, 0, 10 * SECOND_US), 1);
    all[0].state = ALERT_RESOLVED;
    cr_assert_eq(make(all, 2, NULL, 0, 11 * SECOND_US), 1);
    cr_assert_eq(notices[0].state, ALERT_RESOLVED);
    cr_assert_eq(notices[0].count, 1);
    cr_assert_eq(notices[0].alerts[0], &all[0]);
    cr_assert_eq(make(all, 2, NULL, 0, 12 * SECOND_US), 0);
}

Test(notice, what_is_silenced_is_told_when_the_silence_is_over)
{
    struct alert a = firing("Drift", "a", ALERT_WARNING, 0);
    struct silence s = silence_of("alertname=Drift", 0, 100 * SECOND_US);

    cr_assert_eq(make(&a, 1, &s, 1, 50 * SECOND_US), 0);
    cr_assert(a.is_silenced);
    cr_assert_eq(make(&a, 1, &s, 1, 100 * SECOND_US), 1);
    cr_assert_not(a.is_silenced);
}

Test(notice, who_was_told_before_a_silence_hears_of_the_end)
{
    struct alert a = firing("Drift", "a", ALERT_WARNING, 0);
    struct silence s = silence_of("alertname=Drift", 20 * SECOND_US, HOUR_US);

    cr_assert_eq(make(&a, 1, &s, 1, 10 * SECOND_US), 1);
    a.severity = ALERT_CRITICAL;
    cr_assert_eq(make(&a, 1, &s, 1, 30 * SECOND_US), 0);
    a.state = ALERT_RESOLVED;
    cr_assert_eq(make(&a, 1, &s, 1, 40 * SECOND_US), 1);
}

Test(notice, what_is_said_better_by_another_is_not_told)
{
    static const struct alert_inhibition rules[] = { { "Stopped", "Late", "subject" } };
    struct alert all[] = { firing("Late", "x", ALERT_WARNING, 0), firing("Stopped", "x", ALERT_CRITICAL, 0),
                           firing("Late", "y", ALERT_WARNING, 0) };

    notices_make(all, 3, NULL, 0, rules, 1, &times, 10 * SECOND_US, &notices, &notice_count, &arena);
    cr_assert(all[0].is_inhibited && !all[1].is_inhibited && !all[2].is_inhibited);
    cr_assert_eq(notice_count, 2);
    all[1].state = ALERT_RESOLVED;
    notices_make(all, 3, NULL, 0, rules, 1, &times, 11 * SECOND_US, &notices, &notice_count, &arena);
    cr_assert_eq(notice_count, 2, "the one that is left, and the end of the other");
    cr_assert_eq(all[0].told_us, 11 * SECOND_US);
}

Test(notice, one_is_never_longer_than_may_be)
{
    enum { MANY = 2 * NOTICE_ALERTS_MAX + 1 };
    struct alert *all = calloc(MANY, sizeof *all);
    char names[MANY][8];
    size_t told = 0;

    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        all[i] = firing("Drift", names[i], ALERT_WARNING, 0);
    }
    cr_assert_eq(make(all, MANY, NULL, 0, 10 * SECOND_US), 3);
    for (size_t i = 0; i < notice_count; i++)
        told += notices[i].count;
    cr_assert_eq(told, MANY);
    free(all);
}

/* Whatever happens to some alerts, what is told of each follows the promises of the header. */
Test(notice, the_promises_hold_whatever_happens)
{
    enum { ALERTS = 6, TURNS = 400 };
    static const char *const subjects[ALERTS] = { "a", "b", "c", "d", "e", "f" };
    static const char *const names[] = { "Drift", "Lag" };

    srand(11);
    for (int round = 0; round < 60; round++) {
        const struct alert_times t = { .hold_us = rand() % 20,
                                       .keep_us = rand() % 20,
                                       .group_us = rand() % 10,
                                       .repeat_us = 1 + rand() % 60 };
        struct alert live[ALERTS] = { 0 };
        bool exists[ALERTS] = { 0 };
        int64_t told_us[ALERTS], now_us = 0, silent_from = rand() % 500,
                                 silent_to = silent_from + 1 + rand() % 300;
        int told_severity[ALERTS], ends[ALERTS] = { 0 };
        struct silence s = silence_of("subject=a", silent_from, silent_to);

        for (int turn = 0; turn < TURNS; turn++) {
            struct alert now_all[ALERTS];
            size_t place[ALERTS], count = 0;

            now_us += rand() % 5;
            for (size_t i = 0; i < ALERTS; i++) {
                struct alert_condition c =
                    condition(names[i % 2], subjects[i], (enum alert_severity)(rand() % 3));

                c.is_true = rand() % 10 < 7;
                if (exists[i] && live[i].state != ALERT_RESOLVED) {
                    exists[i] = alert_step(&live[i], &c, &t, now_us);
                } else if (c.is_true) {
                    cr_assert(!exists[i] || live[i].told_us == ALERT_NEVER || ends[i] == 1,
                              "each end is told once");
                    live[i] = alert_begin(&c, &t, now_us);
                    exists[i] = true;
                    ends[i] = 0;
                    told_us[i] = ALERT_NEVER;
                }
                if (exists[i]) {
                    place[count] = i;
                    now_all[count++] = live[i];
                }
            }
            arena_reset(&arena);
            notices_make(now_all, count, &s, 1, NULL, 0, &t, now_us, &notices, &notice_count, &arena);
            for (size_t n = 0; n < notice_count; n++) {
                for (size_t k = 0; k < notices[n].count; k++) {
                    const struct alert *a = notices[n].alerts[k];
                    size_t i = place[a - now_all];

                    cr_assert_eq(a->state, notices[n].state);
                    cr_assert(slice_eq_str(notices[n].group, names[i % 2]));
                    if (notices[n].state == ALERT_RESOLVED) {
                        cr_assert_neq(told_us[i], ALERT_NEVER,
                                      "who never heard of it does not hear of its end");
                        cr_assert_eq(ends[i]++, 0);
                        continue;
                    }
                    cr_assert(i != 0 || now_us < silent_from || now_us >= silent_to, "silence is kept");
                    cr_assert(told_us[i] == ALERT_NEVER || now_us - told_us[i] >= t.repeat_us ||
                              (int)a->severity > told_severity[i]);
                    told_us[i] = now_us;
                    told_severity[i] = (int)a->severity;
                }
            }
            for (size_t k = 0; k < count; k++)
                live[place[k]] = now_all[k];
        }
    }
}

/* ---- silences ---- */

Test(silence, matchers_are_read)
{
    static const struct {
        const char *text, *name, *value;
        bool is_equal;
    } rows[] = {
        { "a=b", "a", "b", true },     { "a!=b", "a", "b", false },
        { "a=", "a", "", true },       { "a=\"b c\"", "a", "b c", true },
        { "a=b=c", "a", "b=c", true }, { "a=!b", "a", "!b", true },
        { "a=\"", "a", "\"", true },   { "severity=info", "severity", "info", true },
    };
    static const char *const wrong[] = { "", "a", "=b", "!=b", "a b=c", "1=2" };
    struct silence_matcher m;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_assert(!silence_matcher_parse(&m, slice_str(rows[i].text), &why), "%s: %s", rows[i].text,
                  why.text);
        cr_assert(slice_eq_str(m.name, rows[i].name), "%s", rows[i].text);
        cr_assert(slice_eq_str(m.value, rows[i].value), "%s", rows[i].text);
        cr_assert_eq(m.is_equal, rows[i].is_equal, "%s", rows[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        cr_assert(silence_matcher_parse(&m, slice_str(wrong[i]), &why), "%s", wrong[i]);
}

Test(silence, all_of_its_matchers_must_match)
{
    struct alert a = firing("Drift", "amount", ALERT_WARNING, 0);
    struct silence s = silence_of("alertname=Drift", 0, 1);
    struct silence_matcher m;

    cr_assert(silence_matches(&s, &a));
    cr_assert(!silence_matcher_parse(&m, SLICE("severity!=critical"), &why) && !silence_add(&s, m, &why));
    cr_assert(silence_matches(&s, &a));
    a.severity = ALERT_CRITICAL;
    cr_assert_not(silence_matches(&s, &a));
    s = silence_of("alertname=Drift", 0, 1);
    cr_assert(!silence_matcher_parse(&m, SLICE("model="), &why) && !silence_add(&s, m, &why));
    cr_assert(silence_matches(&s, &a), "what is not there is empty");
    cr_assert_not(silence_matches(&(struct silence){ 0 }, &a), "nothing asked for is nothing matched");
}

Test(silence, one_that_would_match_everything_is_refused)
{
    struct silence s = { .starts_us = 0, .ends_us = 1, .author = SLICE("me"), .comment = SLICE("x") };
    struct silence_matcher m;

    cr_assert_eq(silence_check(&s, &why), ERR_INVALID);
    cr_assert(!silence_matcher_parse(&m, SLICE("a!=b"), &why) && !silence_add(&s, m, &why));
    cr_assert_eq(silence_check(&s, &why), ERR_INVALID);
    cr_assert(!silence_matcher_parse(&m, SLICE("a=b"), &why) && !silence_add(&s, m, &why));
    cr_assert_eq(silence_check(&s, &why), ERR_OK);
    s.ends_us = SILENCE_LONGEST_US + 1;
    cr_assert_eq(silence_check(&s, &why), ERR_INVALID);
    s.ends_us = 0;
    cr_assert_eq(silence_check(&s, &why), ERR_INVALID);
}
