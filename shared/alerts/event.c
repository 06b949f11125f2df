/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/event.h"

#include <inttypes.h>
#include <stdio.h>

#include "alerts/runbook.h"

const char *event_type(enum alert_state state)
{
    return state == ALERT_RESOLVED ? "assay.alert.resolved" : "assay.alert.firing";
}

static void write_time(struct json_out *o, const char *key, int64_t at_us)
{
    if (at_us == ALERT_NEVER)
        json_out_null(o, key);
    else
        json_out_time(o, key, at_us);
}

void alert_write(struct json_out *o, const char *key, const struct alert *a)
{
    json_out_open(o, key);
    json_out_int(o, "id", a->id);
    json_out_hex(o, "fingerprint", slice_of(a->print.bytes, sizeof a->print.bytes));
    json_out_text(o, "name", alert_label(&a->labels, "alertname"));
    json_out_str(o, "state", alert_state_name(a->state));
    json_out_str(o, "severity", alert_severity_name(a->severity));
    alert_labels_write(o, "labels", &a->labels);
    json_out_text(o, "text", a->text);
    json_out_text(o, "runbook", alert_runbook(alert_label(&a->labels, "alertname")));
    json_out_number(o, "value", a->value);
    json_out_number(o, "threshold", a->threshold);
    json_out_bool(o, "is_silenced", a->is_silenced);
    json_out_bool(o, "is_inhibited", a->is_inhibited);
    write_time(o, "since", a->since_us);
    write_time(o, "fired_at", a->fired_us);
    write_time(o, "resolved_at", a->resolved_us);
    write_time(o, "told_at", a->told_us);
    json_out_end(o);
}

static void open_event(struct json_out *o, const struct event_head *head, const char *type,
                       struct slice subject)
{
    json_out_open(o, NULL);
    json_out_str(o, "specversion", "1.0");
    json_out_text(o, "id", head->id);
    json_out_text(o, "source", head->source);
    json_out_str(o, "type", type);
    if (subject.len)
        json_out_text(o, "subject", subject);
    json_out_time(o, "time", head->at_us);
    json_out_time(o, "timestamp", head->at_us);
    json_out_str(o, "datacontenttype", "application/json");
    json_out_open(o, "data");
}

void event_write(struct buf *out, const struct event_head *head, const struct notice *n)
{
    struct json_out o = json_out_to(out);

    open_event(&o, head, event_type(n->state), n->group);
    json_out_str(&o, "status", alert_state_name(n->state));
    json_out_text(&o, "group", n->group);
    json_out_list(&o, "alerts");
    for (size_t i = 0; i < n->count; i++)
        alert_write(&o, NULL, n->alerts[i]);
    json_out_end(&o);
    json_out_end(&o);
    json_out_end(&o);
}

void event_write_test(struct buf *out, const struct event_head *head)
{
    struct json_out o = json_out_to(out);

    open_event(&o, head, EVENT_TYPE_TEST, SLICE(""));
    json_out_str(&o, "status", "test");
    json_out_str(&o, "text", "Somebody asked for this message, to see whether it arrives.");
    json_out_end(&o);
    json_out_end(&o);
}

static void write_for_alertmanager(struct json_out *o, const struct alert *a, int64_t until_us,
                                   struct slice link)
{
    char number[64];

    json_out_open(o, NULL);
    json_out_open(o, "labels");
    for (size_t i = 0; i < a->labels.count; i++) {
        if (slice_eq_str(a->labels.items[i].name, "severity"))
            continue;
        json_out_text_key(o, a->labels.items[i].name);
        json_out_text(o, NULL, a->labels.items[i].value);
    }
    json_out_str(o, "severity", alert_severity_name(a->severity));
    json_out_end(o);
    json_out_open(o, "annotations");
    json_out_text(o, "summary", a->text);
    snprintf(number, sizeof number, "%.6g", a->value);
    json_out_str(o, "value", number);
    snprintf(number, sizeof number, "%.6g", a->threshold);
    json_out_str(o, "threshold", number);
    json_out_end(o);
    json_out_time(o, "startsAt", a->fired_us);
    json_out_time(o, "endsAt", a->state == ALERT_RESOLVED ? a->resolved_us : until_us);
    if (link.len) {
        struct arena arena = { 0 };

        json_out_text(o, "generatorURL", arena_printf(&arena, "%.*s%" PRId64, SLICE_ARG(link), a->id));
        arena_release(&arena);
    }
    json_out_end(o);
}

void event_write_alertmanager(struct buf *out, struct alert *const *alerts, size_t count, int64_t until_us,
                              struct slice link)
{
    struct json_out o = json_out_to(out);

    json_out_list(&o, NULL);
    for (size_t i = 0; i < count; i++)
        write_for_alertmanager(&o, alerts[i], until_us, link);
    json_out_end(&o);
}
