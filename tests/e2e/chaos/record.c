/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "chance.h"
#include "fraud/txn.h"

enum { PAIR_EVERY = 20, EARLY_LABEL_EVERY = 100, SHOWN_MAX = 30 };

void violated(struct record *r, const char *rule, const char *detail)
{
    if (r->violations++ < SHOWN_MAX)
        printf("violation: %s: %s\n", rule, detail);
    fflush(stdout);
}

void record_open(struct record *r, const char *path)
{
    *r = (struct record){ .stream = fopen(path, "r") };
    if (!r->stream)
        die(path, strerror(errno));
}

void item_is_done(struct item *item)
{
    mem_free(item->body);
    mem_free(item->rival);
    mem_free(item->said);
    item->body = item->rival = item->said = NULL;
}

static void item_free(struct item *item)
{
    item_is_done(item);
    mem_free(item->id);
    mem_free(item);
}

void record_close(struct record *r)
{
    for (size_t i = 0; i < r->count; i++)
        item_free(r->items[i]);
    mem_free(r->items);
    free(r->line);
    fclose(r->stream);
}

static char *dump(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    char *copy = mem_strdup(text);

    free(text);
    return copy;
}

static struct item *add_item(struct record *r, enum item_kind kind, json_t *json)
{
    struct item *item = mem_new(struct item);

    ARRAY_RESERVE_ONE(r->items, r->count, r->cap);
    r->items[r->count++] = item;
    item->kind = kind;
    item->id = mem_strdup(json_string_value(json_object_get(json, "transaction_id")));
    item->body = dump(json);
    return item;
}

static struct item *add_label(struct record *r, json_t *json)
{
    struct item *item = add_item(r, ITEM_LABEL, json);
    const char *source = json_string_value(json_object_get(json, "source"));

    item->is_fraud = json_is_true(json_object_get(json, "is_fraud"));
    item->source = (int)label_source_find(slice_str(source ? source : ""));
    r->labels++;
    return item;
}

/* Every second pair has equal bodies, every other one an amount that differs. */
static void make_pair(struct item *item, json_t *json, size_t serial)
{
    json_t *amount = json_object_get(json, "amount");

    item->is_twin = serial % 2 == 0;
    if (item->is_twin)
        return;
    json_object_set_new(json, "amount", json_integer(json_integer_value(amount) + 1));
    item->rival = dump(json);
}

/* The label of a transaction that nobody has heard of yet: it must be taken, and hold later. */
static struct item *add_early_label(struct record *r, json_t *json)
{
    json_t *known = json_object_get(json, "known_at"),
           *early = json_pack("{sOsbsssOsO}", "transaction_id", json_object_get(json, "transaction_id"),
                              "is_fraud", 0, "source", "customer", "labelled_at", known, "known_at", known);
    struct item *item = add_label(r, early);

    json_decref(early);
    return item;
}

static struct item *add_transaction(struct record *r, json_t *json)
{
    struct item *item, *early = NULL;

    r->transactions++;
    if (r->transactions % EARLY_LABEL_EVERY == 0)
        early = add_early_label(r, json);
    item = add_item(r, ITEM_TRANSACTION, json);
    if (r->transactions % PAIR_EVERY == 0)
        make_pair(item, json, r->transactions / PAIR_EVERY);
    if (!early)
        return item;
    r->held = item;
    return early;
}

struct item *record_next(struct record *r)
{
    struct item *item = r->held;
    json_t *json;
    const char *type;

    r->held = NULL;
    if (item)
        return item;
    if (getline(&r->line, &r->line_room, r->stream) <= 0)
        return NULL;
    json = json_loads(r->line, 0, NULL);
    type = json_string_value(json_object_get(json, "type"));
    if (!type)
        die("not a stream line", r->line);
    if (strcmp(type, "label") == 0) {
        json_object_del(json, "type");
        item = add_label(r, json);
    } else {
        json_object_del(json, "type");
        item = add_transaction(r, json);
    }
    json_decref(json);
    return item;
}

static void copy_text(char *to, size_t room, json_t *from)
{
    const char *text = json_string_value(from);

    snprintf(to, room, "%s", text ? text : "");
}

struct answer answer_read(struct slice body, char **said)
{
    json_t *json = json_loadb(body.ptr, body.len, 0, NULL), *score = json_object_get(json, "score");
    struct answer a = { .has_score = json_is_number(score),
                        .is_degraded = json_array_size(json_object_get(json, "degraded")) > 0,
                        .score = json_number_value(score),
                        .entry = json_integer_value(json_object_get(json, "log_entry")) };

    copy_text(a.action, sizeof a.action, json_object_get(json, "action"));
    copy_text(a.model, sizeof a.model, json_object_get(json, "model_version"));
    copy_text(a.ruleset, sizeof a.ruleset, json_object_get(json, "ruleset_version"));
    json_object_del(json, "log_entry");
    *said = dump(json);
    json_decref(json);
    return a;
}
