/* SPDX-License-Identifier: Apache-2.0
 * cmd_alerts.c - `assay alerts`, and `alerts show`, `silence`, `unsilence` and `silences`. */
#include "command.h"

#include <inttypes.h>
#include <math.h>

#include "account.h"
#include "alerts/event.h"
#include "alerts/webhook.h"
#include "alertstore/alert_row.h"
#include "alertstore/outbox.h"
#include "base/array.h"
#include "base/clock.h"
#include "database.h"
#include "listing.h"
#include "pg/session.h"

enum { LIST_MOST = 200, DELIVERIES_MOST = 50 };

struct alerts_options {
    bool is_all, as_json;
    const char *how_long, *comment;
};
static const struct alerts_options defaults = { .how_long = "2h" };

static bool read_number(const char *text, const char *what, int64_t *number)
{
    if (slice_to_i64(slice_str(text), number) && *number > 0)
        return true;
    command_fail(EXIT_USAGE, "\"%s\" is no number of %s", text, what);
    return false;
}

/* ---- alerts ---- */

static void print_figure(double value)
{
    if (isnan(value))
        printf(" %10s", "-");
    else
        printf(" %10.4g", value);
}

static void print_alert(const struct alert *a)
{
    struct slice subject = alert_label(&a->labels, "subject");
    char since[RFC3339_SIZE];

    rfc3339_format(a->since_us / SECOND_US * SECOND_US, since);
    printf("%7" PRId64 " %-8s %-8s %-16.*s %-24.*s", a->id, alert_state_name(a->state),
           alert_severity_name(a->severity), SLICE_ARG(alert_label(&a->labels, "alertname")),
           SLICE_ARG(subject));
    print_figure(a->value);
    print_figure(a->threshold);
    printf("  %s%s%s\n        %.*s\n", since, a->is_silenced ? " silenced" : "",
           a->is_inhibited ? " inhibited" : "", SLICE_ARG(a->text));
}

static void print_alerts(const struct alert *all, size_t count, bool is_all)
{
    if (!count) {
        printf(is_all ? "there was no alert yet\n" : "no alert is open\n");
        return;
    }
    printf("%7s %-8s %-8s %-16s %-24s %10s %10s  %s\n", "ALERT", "STATE", "SEVERITY", "NAME", "SUBJECT",
           "VALUE", "THRESHOLD", "SINCE");
    for (size_t i = 0; i < count; i++)
        print_alert(&all[i]);
}

static void write_alert(struct json_out *o, const void *item)
{
    alert_write(o, NULL, item);
}

static void print_alerts_json(const struct alert *all, size_t count)
{
    listing_print(all, count, sizeof *all, write_alert);
}

static enum exit_code list(const void *settings, char **operands, size_t operand_count)
{
    const struct alerts_options *o = settings;
    struct arena arena = { 0 };
    struct alert *all;
    size_t count;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = alert_row_list(s, &(struct alert_filter){ .is_open = !o->is_all, .most = LIST_MOST }, &all,
                             &count, &arena, &why);
    if (!err && o->as_json)
        print_alerts_json(all, count);
    else if (!err)
        print_alerts(all, count, o->is_all);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct option list_options[] = {
    { "all", OPTION_FLAG, offsetof(struct alerts_options, is_all), NULL, "those that are resolved too" },
    { "json", OPTION_FLAG, offsetof(struct alerts_options, as_json), NULL, "as JSON" },
};

const struct command cmd_alerts = {
    .name = "alerts",
    .operands = "",
    .purpose = "List what is wrong now: drift, decay of quality, faults of the data",
    .text = "The newest first. What each means and what to do is in docs/operations.md, \"Alerts\".",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .settings_size = sizeof(struct alerts_options),
    .defaults = &defaults,
    .run = list,
};

/* ---- one alert ---- */

static void print_deliveries(const struct delivery_row *all, size_t count)
{
    char at[RFC3339_SIZE];

    for (size_t i = 0; i < count; i++) {
        const struct delivery_row *d = &all[i];

        rfc3339_format(d->created_us / SECOND_US * SECOND_US, at);
        printf("%s %.*s to %.*s: %.*s after %" PRId64 " attempts%s%.*s\n", at, SLICE_ARG(d->type),
               SLICE_ARG(d->webhook), SLICE_ARG(d->state), d->attempts, d->last_trouble.len ? ", " : "",
               SLICE_ARG(d->last_trouble));
    }
}

static void print_json(const struct alert *a, const struct delivery_row *all, size_t count)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    alert_write(&o, "alert", a);
    json_out_list(&o, "deliveries");
    for (size_t i = 0; i < count; i++)
        delivery_row_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static enum exit_code show(const void *settings, char **operands, size_t operand_count)
{
    const struct alerts_options *o = settings;
    struct arena arena = { 0 };
    struct delivery_row *deliveries;
    struct alert alert;
    size_t count;
    int64_t number;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err;

    (void)operand_count;
    if (!read_number(operands[0], "an alert", &number))
        return EXIT_USAGE;
    err = database_open_migrated(&s, &why);
    if (!err)
        err = alert_row_read(s, number, &alert, &arena, &why);
    if (!err)
        err = delivery_row_list(s, number, 0, DELIVERIES_MOST, &deliveries, &count, &arena, &why);
    if (!err && o->as_json) {
        print_json(&alert, deliveries, count);
    } else if (!err) {
        print_alerts(&alert, 1, true);
        print_deliveries(deliveries, count);
    }
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_alerts_show = {
    .name = "alerts show",
    .operands = "<alert>",
    .purpose = "Show an alert, and who was told of it",
    .options = &list_options[1],
    .option_count = 1,
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct alerts_options),
    .defaults = &defaults,
    .run = show,
};

/* ---- silences ---- */

static enum err read_silence(struct silence *silence, const struct alerts_options *o, char **operands,
                             size_t count, struct why *why)
{
    struct webhook_waits how_long;
    enum err err = webhook_waits_read(&how_long, slice_str(o->how_long), why);

    if (err || how_long.count != 1)
        return err_set(why, ERR_INVALID, "--for is a whole number of m, h or d, up to 30 days: 2h");
    *silence = (struct silence){ .starts_us = clock_wall_us(),
                                 .author = login_name(),
                                 .comment = slice_str(o->comment ? o->comment : "") };
    silence->ends_us = silence->starts_us + how_long.us[0];
    for (size_t i = 0; i < count && !err; i++) {
        struct silence_matcher m;

        err = silence_matcher_parse(&m, slice_str(operands[i]), why);
        if (!err)
            err = silence_add(silence, m, why);
    }
    return err ? err : silence_check(silence, why);
}

static enum exit_code silence(const void *settings, char **operands, size_t operand_count)
{
    struct silence silence;
    struct pg_session *s;
    struct why why = { 0 };
    char until[RFC3339_SIZE];
    enum err err;

    if (read_silence(&silence, settings, operands, operand_count, &why))
        return command_fail(EXIT_USAGE, "%s", why.text);
    err = database_open_migrated(&s, &why);
    if (!err)
        err = silence_row_add(s, &silence, login_name(), &why);
    if (!err) {
        rfc3339_format(silence.ends_us / SECOND_US * SECOND_US, until);
        printf("silence %" PRId64 ", until %s\n", silence.id, until);
    }
    pg_session_close(s);
    return command_end(err, &why);
}

static const struct option silence_options[] = {
    { "for", OPTION_TEXT, offsetof(struct alerts_options, how_long), "TIME", "how long: 30m, 2h, 7d (2h)" },
    { "comment", OPTION_TEXT, offsetof(struct alerts_options, comment), "TEXT", "why; must be given" },
};

const struct command cmd_alerts_silence = {
    .name = "alerts silence",
    .operands = "<name=value> ...",
    .purpose = "Tell nobody of some alerts for a while",
    .text =
        "An alert is silenced when all matchers match: name=value or name!=value, by its labels (alertname,\n"
        "kind, subject, lane, condition) and its severity. It is listed all the same.\n\n"
        "  assay alerts silence alertname=Drift subject=amount --for 2h --comment \"new price list\"",
    .options = silence_options,
    .option_count = ARRAY_LEN(silence_options),
    .operands_least = 1,
    .operands_most = SILENCE_MATCHERS_MAX,
    .settings_size = sizeof(struct alerts_options),
    .defaults = &defaults,
    .run = silence,
};

static enum exit_code unsilence(const void *settings, char **operands, size_t operand_count)
{
    struct pg_session *s;
    struct why why = { 0 };
    int64_t number;
    enum err err;

    (void)settings;
    (void)operand_count;
    if (!read_number(operands[0], "a silence", &number))
        return EXIT_USAGE;
    err = database_open_migrated(&s, &why);
    if (!err)
        err = silence_row_expire(s, number, clock_wall_us(), login_name(), &why);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_alerts_unsilence = {
    .name = "alerts unsilence",
    .operands = "<silence>",
    .purpose = "End a silence now",
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct alerts_options),
    .defaults = &defaults,
    .run = unsilence,
};

static void print_silences(const struct silence *all, size_t count)
{
    char until[RFC3339_SIZE];

    if (!count)
        printf("nothing is silenced\n");
    for (size_t i = 0; i < count; i++) {
        rfc3339_format(all[i].ends_us / SECOND_US * SECOND_US, until);
        printf("%7" PRId64 " until %s by %.*s:", all[i].id, until, SLICE_ARG(all[i].author));
        for (size_t m = 0; m < all[i].count; m++)
            printf(" %.*s%s%.*s", SLICE_ARG(all[i].matchers[m].name),
                   all[i].matchers[m].is_equal ? "=" : "!=", SLICE_ARG(all[i].matchers[m].value));
        printf("\n        %.*s\n", SLICE_ARG(all[i].comment));
    }
}

static void print_silences_json(const struct silence *all, size_t count)
{
    struct buf text;
    struct json_out o;

    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_list(&o, NULL);
    for (size_t i = 0; i < count; i++)
        silence_row_write(&o, NULL, &all[i], clock_wall_us());
    json_out_end(&o);
    puts(buf_str(&text));
    buf_release(&text);
}

static enum exit_code silences(const void *settings, char **operands, size_t operand_count)
{
    const struct alerts_options *o = settings;
    struct arena arena = { 0 };
    struct silence *all;
    size_t count;
    struct pg_session *s;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (!err)
        err = silence_row_list(s, o->is_all ? ALERT_NEVER : clock_wall_us(), LIST_MOST, &all, &count, &arena,
                               &why);
    if (!err)
        (o->as_json ? print_silences_json : print_silences)(all, count);
    arena_release(&arena);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_alerts_silences = {
    .name = "alerts silences",
    .operands = "",
    .purpose = "List the silences",
    .options = list_options,
    .option_count = ARRAY_LEN(list_options),
    .settings_size = sizeof(struct alerts_options),
    .defaults = &defaults,
    .run = silences,
};
