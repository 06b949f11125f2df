/* SPDX-License-Identifier: Apache-2.0 */
#include "backteststore/policies.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "pg/session.h"
#include "policystore/lists.h"

/* ---- rule sets ---- */

void sets_release(struct sets *sets)
{
    mem_free(sets->documents);
    mem_free(sets->rulesets);
    arena_release(&sets->arena);
}

enum err sets_add(struct sets *sets, struct slice json, uint32_t account, struct slice version,
                  struct why *why)
{
    size_t count = sets->count;
    enum err err;

    ARRAY_RESERVE_ONE(sets->documents, count, sets->document_cap);
    ARRAY_RESERVE_ONE(sets->rulesets, count, sets->cap);
    sets->documents[count] = (struct document){ 0 };
    err = document_read(&sets->documents[count], json, &sets->arena, why);
    if (err)
        return err;
    sets->documents[count].set.account = account;
    sets->documents[count].set.version = arena_slice(&sets->arena, version);
    sets->rulesets[count] = sets->documents[count].set;
    sets->count++;
    return ERR_OK;
}

static enum err add_found(struct sets *sets, const struct pg_result *r, size_t row, struct why *why)
{
    struct slice version = arena_printf(&sets->arena, "%" PRId64, pg_get_int(r, row, 0));
    enum err err = sets_add(sets, pg_get_text(r, row, 2), (uint32_t)pg_get_int(r, row, 1), version, why);

    return err ? err_wrap(why, err, "rule set %.*s", SLICE_ARG(version)) : ERR_OK;
}

enum err sets_add_version(struct sets *sets, struct pg_session *s, int64_t version, int64_t *account,
                          struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, version);
    err = pg_exec(s, "SELECT version, 0, body::text, account FROM rulesets WHERE version = $1::int8", &p, &r,
                  why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no rule set %" PRId64, version);
    if (!err)
        err = add_found(sets, r, 0, why);
    if (!err && account)
        *account = pg_get_int(r, 0, 3);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

enum err sets_add_live(struct sets *sets, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        pg_exec(s, "SELECT version, account, body::text FROM rulesets WHERE state = 'published' ORDER BY 2",
                NULL, &r, why);

    for (size_t i = 0; !err && i < pg_rows(r); i++)
        err = add_found(sets, r, i, why);
    pg_result_free(r);
    return err;
}

struct used {
    int64_t *versions;
    size_t count, cap;
};

static void add_used(void *context, struct slice version)
{
    struct used *used = context;
    int64_t number;

    if (!slice_to_i64(version, &number))
        return;
    for (size_t i = 0; i < used->count; i++) {
        if (used->versions[i] == number)
            return;
    }
    ARRAY_RESERVE_ONE(used->versions, used->count, used->cap);
    used->versions[used->count++] = number;
}

enum err sets_add_used(struct sets *sets, struct pg_session *s, const struct archive *h, struct why *why)
{
    struct used used = { 0 };
    enum err err = ERR_OK;

    for (size_t i = 0; i < archive_chunks(h); i++)
        chunk_rulesets(archive_chunk(h, i), add_used, &used);
    for (size_t i = 0; i < used.count && !err; i++) {
        err = sets_add_version(sets, s, used.versions[i], NULL, why);
        if (err == ERR_NOT_FOUND)
            err = ERR_OK; /* what it decided stands as it was decided, and is counted */
    }
    mem_free(used.versions);
    return err;
}

/* ---- lists ---- */

struct list_place {
    int64_t list;
    size_t place;
};

struct filling {
    struct timeline *timeline;
    struct list_place *places;
    size_t count;
};

/* A value that is not of its list's type was never in it. */
static bool on_change(void *context, const struct slice *f, size_t count)
{
    struct filling *filling = context;
    int64_t list = pg_bytes_int(f[0]);
    struct why why;

    (void)count;
    for (size_t i = 0; i < filling->count; i++) {
        if (filling->places[i].list != list)
            continue;
        if (timeline_change(filling->timeline, filling->places[i].place, pg_bytes_time_us(f[1]), f[2],
                            pg_bytes_int(f[3]) != 0, f[4].ptr ? pg_bytes_time_us(f[4]) : LIST_NO_EXPIRY,
                            &why))
            return true;
    }
    return true;
}

void policies_declared(struct timeline *t, const struct sets *asked)
{
    for (size_t i = 0; i < asked->count; i++) {
        for (size_t k = 0; k < asked->documents[i].list_count; k++) {
            const struct document_list *list = &asked->documents[i].lists[k];

            timeline_declare(t, list->type, asked->rulesets[i].account, list->name, list->purpose,
                             list->field);
        }
    }
}

/* The first of its name is taken for there before it was made, and empty, so that a draft can be tried on days before it. */
static bool is_first_of_its_name(const struct list_life *ever, size_t place)
{
    for (size_t i = 0; i < place; i++) {
        if (ever[i].account == ever[place].account && slice_eq(ever[i].name, ever[place].name))
            return false;
    }
    return true;
}

enum err policies_lists(struct timeline *t, struct pg_session *s, struct why *why)
{
    struct filling filling = { .timeline = t };
    struct arena arena = { 0 };
    struct list_life *ever;
    enum err err = lists_ever(s, &arena, &ever, &filling.count, why);

    filling.places = mem_new_n(struct list_place, filling.count + 1);
    for (size_t i = 0; i < filling.count; i++) {
        filling.places[i].list = ever[i].number;
        filling.places[i].place = timeline_add_list(t, ever[i].type, (uint32_t)ever[i].account, ever[i].name,
                                                    ever[i].purpose, ever[i].field);
        timeline_list_lives(t, filling.places[i].place,
                            is_first_of_its_name(ever, i) ? INT64_MIN : ever[i].created_at_us,
                            ever[i].dropped_at_us);
    }
    if (!err)
        err =
            pg_copy_out(s, "SELECT list, at, value, is_there::int, expires_at FROM list_changes ORDER BY seq",
                        on_change, &filling, why);
    timeline_seal(t);
    mem_free(filling.places);
    arena_release(&arena);
    return err;
}

/* ---- labels ---- */

struct labelling {
    struct labels *labels;
    int64_t newest_us;
};

static bool on_label(void *context, const struct slice *f, size_t count)
{
    struct labelling *l = context;
    int64_t known_at_us = pg_bytes_time_us(f[5]);

    (void)count;
    labels_add(l->labels, chunk_id_hash((uint32_t)pg_bytes_int(f[0]), f[1]),
               (enum label_source)pg_bytes_int(f[2]), pg_bytes_time_us(f[3]), pg_bytes_int(f[4]) != 0);
    if (known_at_us > l->newest_us)
        l->newest_us = known_at_us;
    return true;
}

enum err policies_labels(struct labels *l, struct pg_session *s, int64_t *newest_us, struct why *why)
{
    struct labelling labelling = { l, *newest_us };
    enum err err = pg_copy_out(s,
                               "SELECT account, transaction_id, source, labelled_at, is_fraud::int, known_at "
                               "FROM labels ORDER BY n",
                               on_label, &labelling, why);

    *newest_us = labelling.newest_us;
    return err;
}
