/* SPDX-License-Identifier: Apache-2.0
 * modelstore_test.c - the registry of models on a real PostgreSQL. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/array.h"
#include "harness/cluster.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "unit/bundle/samples.h"

enum { MODELS = 3 };

static struct pg_session *pg;
static struct buf bundles[MODELS];
static int64_t versions[MODELS];
static struct why why;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static void setup(void)
{
    MUST(pg_session_open(&pg, test_database(), "test", &why));
    for (size_t i = 0; i < MODELS; i++) {
        struct bundle_sample sample;

        bundle_sample_init(&sample, 30 + (uint32_t)i);
        buf_init(&bundles[i], 0);
        MUST(bundle_build(&bundles[i], &sample.parts, &why));
        MUST(model_register(pg, buf_slice(&bundles[i]), NULL, NULL, SLICE("test"), &versions[i], NULL, &why));
        bundle_sample_release(&sample);
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < MODELS; i++)
        buf_release(&bundles[i]);
    pg_session_close(pg);
}

TestSuite(modelstore, .init = setup, .fini = teardown, .timeout = 180);

static int64_t ask(const char *sql)
{
    struct pg_result *r;
    int64_t value;

    MUST(pg_exec(pg, sql, NULL, &r, &why));
    value = pg_rows(r) ? pg_get_int(r, 0, 0) : -1;
    pg_result_free(r);
    return value;
}

#define ALIAS(alias)  ask("SELECT version FROM aliases WHERE name = 'sample' AND alias = '" alias "'")
#define NOTED(action) ask("SELECT count(*) FROM audit WHERE action = '" action "'")

static const struct model_change change = { .actor = { "test", 4 } };

static enum model_state state_of(int64_t version)
{
    struct model_info info;

    MUST(model_find(pg, version, &info, &why));
    return info.state;
}

static enum err promote(size_t model, int64_t expected)
{
    return model_promote(pg, versions[model], expected, &change, &why);
}

static enum err move(size_t model, enum model_state from, enum model_state to)
{
    return model_move(pg, versions[model], from, to, &change, &why);
}

/* By the moves that lead there. */
static void bring(size_t model, enum model_state to)
{
    static const enum model_state way[] = { MODEL_REGISTERED, MODEL_VALIDATED, MODEL_SHADOW, MODEL_AB };

    for (size_t i = 1; i < ARRAY_LEN(way) && way[i] <= to; i++)
        MUST(move(model, way[i - 1], way[i]));
    if (to == MODEL_REJECTED)
        MUST(move(model, MODEL_AB, MODEL_REJECTED));
}

/* ---- bundles ---- */

Test(modelstore, keeps_the_same_bundle_once_and_gives_its_bytes_back)
{
    int64_t again;
    bool is_new;
    struct buf out;

    MUST(model_register(pg, buf_slice(&bundles[1]), NULL, NULL, SLICE("test"), &again, &is_new, &why));
    cr_assert(again == versions[1] && !is_new);
    cr_assert_eq(NOTED("model.register"), MODELS);
    buf_init(&out, 0);
    MUST(model_read(pg, versions[1], NULL, &out, &why));
    cr_assert(slice_eq(buf_slice(&out), buf_slice(&bundles[1])));
    cr_assert_eq(model_read(pg, 4711, NULL, &out, &why), ERR_NOT_FOUND);
    cr_assert_eq(model_register(pg, SLICE("no bundle"), NULL, NULL, SLICE("test"), &again, NULL, &why),
                 ERR_SYNTAX);
    buf_release(&out);
}

/* ---- states ---- */

Test(modelstore, moves_a_model_through_its_states_with_the_alias_of_each)
{
    MUST(move(0, MODEL_REGISTERED, MODEL_VALIDATED));
    MUST(move(0, MODEL_VALIDATED, MODEL_SHADOW));
    cr_assert_eq(ALIAS("shadow"), versions[0]);
    MUST(move(0, MODEL_SHADOW, MODEL_AB));
    cr_assert_eq(ALIAS("shadow"), -1);
    cr_assert_eq(ALIAS("challenger"), versions[0]);
    MUST(promote(0, MODEL_NONE));
    cr_assert_eq(ALIAS("challenger"), -1);
    cr_assert_eq(ALIAS("champion"), versions[0]);
    cr_assert_eq(state_of(versions[0]), MODEL_CHAMPION);
    cr_assert(NOTED("model.move") == 3 && NOTED("model.promote") == 1);
    cr_assert_eq(ask("SELECT count(*) FROM audit WHERE action = 'model.move' AND detail->>'from' = 'shadow' "
                     "AND detail->>'to' = 'ab' AND detail->>'name' = 'sample'"),
                 1);
}

Test(modelstore, allows_the_moves_of_the_table_and_no_other)
{
    static const struct {
        enum model_state from, to;
    } allowed[] = {
        { MODEL_REGISTERED, MODEL_VALIDATED }, { MODEL_REGISTERED, MODEL_REJECTED },
        { MODEL_VALIDATED, MODEL_SHADOW },     { MODEL_VALIDATED, MODEL_AB },
        { MODEL_VALIDATED, MODEL_REJECTED },   { MODEL_SHADOW, MODEL_AB },
        { MODEL_SHADOW, MODEL_VALIDATED },     { MODEL_SHADOW, MODEL_REJECTED },
        { MODEL_AB, MODEL_VALIDATED },         { MODEL_AB, MODEL_REJECTED },
        { MODEL_RETIRED, MODEL_REJECTED },
    };
    struct pg_params p = { 0 };

    for (size_t from = 0; from < MODEL_STATE_COUNT; from++) {
        for (size_t to = 0; to < MODEL_STATE_COUNT; to++) {
            bool is_allowed = false;
            enum err err;

            for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
                is_allowed |= allowed[i].from == from && allowed[i].to == to;
            pg_add_text(&p, slice_str(model_state_name((enum model_state)from)));
            MUST(pg_exec(pg, "UPDATE models SET state = $1::text", &p, NULL, &why));
            pg_params_clear(&p);
            err = move(0, (enum model_state)from, (enum model_state)to);
            cr_assert_eq(err, is_allowed ? ERR_OK : ERR_INVALID, "%s to %s: %s",
                         model_state_name((enum model_state)from), model_state_name((enum model_state)to),
                         why.text);
            cr_assert_eq(state_of(versions[0]), is_allowed ? to : from);
        }
    }
    pg_params_release(&p);
    cr_assert_eq(NOTED("model.move"), ARRAY_LEN(allowed));
}

Test(modelstore, changes_nothing_when_a_model_is_not_where_it_should_be)
{
    bring(0, MODEL_SHADOW);
    bring(1, MODEL_VALIDATED);
    cr_assert_eq(move(1, MODEL_SHADOW, MODEL_AB), ERR_CONFLICT);
    cr_assert_eq(move(1, MODEL_VALIDATED, MODEL_SHADOW), ERR_CONFLICT, "there is one in the shadow already");
    cr_assert(strstr(why.text, "is the shadow of sample") != NULL, "%s", why.text);
    cr_assert_eq(state_of(versions[1]), MODEL_VALIDATED);
    cr_assert_eq(ALIAS("shadow"), versions[0]);
    cr_assert_eq(model_move(pg, 4711, MODEL_SHADOW, MODEL_AB, &change, &why), ERR_NOT_FOUND);
    cr_assert_eq(NOTED("model.move"), 3);
}

static enum err record(void *ctx, struct pg_session *s, struct why *reason)
{
    const enum err *answer = ctx;
    enum err err = pg_exec_script(s,
                                  "INSERT INTO verdicts (version, stage, gate, outcome, at) SELECT "
                                  "min(version), 'validation', 'golden_rows', 'pass', now() FROM models",
                                  reason);

    return err ? err : *answer ? err_set(reason, *answer, "no") : ERR_OK;
}

Test(modelstore, writes_what_belongs_to_a_change_with_it_or_neither)
{
    enum err answer = ERR_INVALID;
    struct model_change with = { .actor = SLICE("test"),
                                 .reason = SLICE("all gates passed"),
                                 .now_us = 1700000000 * INT64_C(1000000),
                                 .also = record,
                                 .ctx = &answer };

    cr_assert_eq(model_move(pg, versions[0], MODEL_REGISTERED, MODEL_VALIDATED, &with, &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "no");
    cr_assert_eq(state_of(versions[0]), MODEL_REGISTERED);
    cr_assert(ask("SELECT count(*) FROM verdicts") == 0 && NOTED("model.move") == 0);
    answer = ERR_OK;
    MUST(model_move(pg, versions[0], MODEL_REGISTERED, MODEL_VALIDATED, &with, &why));
    cr_assert_eq(ask("SELECT count(*) FROM verdicts"), 1);
    cr_assert_eq(ask("SELECT count(*) FROM audit WHERE action = 'model.move' AND at = "
                     "to_timestamp(1700000000) AND detail->>'reason' = 'all gates passed'"),
                 1);
}

/* ---- champions ---- */

Test(modelstore, promotes_only_over_the_champion_that_is_expected)
{
    MUST(promote(0, MODEL_NONE));
    cr_assert_eq(promote(1, MODEL_NONE), ERR_CONFLICT);
    cr_assert_eq(promote(1, versions[2]), ERR_CONFLICT);
    cr_assert_eq(ALIAS("champion"), versions[0]);
    MUST(promote(1, versions[0]));
    cr_assert_eq(ALIAS("champion"), versions[1]);
    cr_assert_eq(ALIAS("previous_champion"), versions[0]);
    cr_assert_eq(NOTED("model.promote"), 2);
    cr_assert_eq(ask("SELECT version FROM models WHERE state = 'champion'"), versions[1]);
    cr_assert_eq(ask("SELECT version FROM models WHERE state = 'retired'"), versions[0]);
    cr_assert_eq(model_promote(pg, 4711, MODEL_ANY, &change, &why), ERR_NOT_FOUND);
    MUST(promote(1, MODEL_ANY));
    cr_assert_eq(ALIAS("previous_champion"), versions[0], "to promote the champion changes nothing");
    cr_assert_eq(NOTED("model.promote"), 2);
}

static int64_t roll_back(int64_t expected, bool *is_changed)
{
    int64_t version;

    MUST(model_roll_back(pg, SLICE("sample"), expected, &change, &version, is_changed, &why));
    return version;
}

Test(modelstore, rolls_back_to_the_previous_champion_and_does_not_swing_back)
{
    int64_t version;
    bool is_changed;

    cr_assert_eq(model_roll_back(pg, SLICE("sample"), MODEL_ANY, &change, &version, NULL, &why),
                 ERR_NOT_FOUND);
    MUST(promote(0, MODEL_ANY));
    cr_assert_eq(model_roll_back(pg, SLICE("sample"), MODEL_ANY, &change, &version, NULL, &why),
                 ERR_NOT_FOUND);
    MUST(promote(1, MODEL_ANY));
    cr_assert_eq(model_roll_back(pg, SLICE("sample"), versions[0], &change, &version, NULL, &why),
                 ERR_CONFLICT);
    cr_assert(roll_back(versions[1], &is_changed) == versions[0] && is_changed);
    cr_assert_eq(ALIAS("champion"), versions[0]);
    cr_assert_eq(ALIAS("previous_champion"), versions[1]);
    cr_assert(state_of(versions[0]) == MODEL_CHAMPION && state_of(versions[1]) == MODEL_RETIRED);
    cr_assert(roll_back(versions[1], &is_changed) == versions[0] && !is_changed);
    cr_assert(roll_back(MODEL_ANY, &is_changed) == versions[0] && !is_changed);
    cr_assert_eq(model_roll_back(pg, SLICE("sample"), versions[0], &change, &version, NULL, &why),
                 ERR_NOT_FOUND, "there is nothing before it to go back to");
    cr_assert_eq(ALIAS("champion"), versions[0]);
    cr_assert_eq(NOTED("model.roll_back"), 1);
}

Test(modelstore, opens_the_way_back_again_with_the_next_promotion)
{
    bool is_changed;

    MUST(promote(0, MODEL_ANY));
    MUST(promote(1, MODEL_ANY));
    roll_back(MODEL_ANY, &is_changed);
    MUST(promote(2, versions[0]));
    cr_assert(roll_back(MODEL_ANY, &is_changed) == versions[0] && is_changed);
    MUST(promote(1, MODEL_ANY)); /* what was taken back may be tried again */
    cr_assert(roll_back(versions[1], &is_changed) == versions[0] && is_changed);
}

Test(modelstore, stops_the_experiments_against_a_champion_that_is_no_more)
{
    MUST(promote(0, MODEL_ANY));
    bring(1, MODEL_AB);
    bring(2, MODEL_SHADOW);
    MUST(
        pg_exec_script(pg,
                       "INSERT INTO experiments (name, stage, champion, candidate, design, started_at) "
                       "SELECT 'sample', state, (SELECT min(version) FROM models), version, '{}', now() FROM "
                       "models WHERE state IN ('ab', 'shadow')",
                       &why));
    MUST(promote(1, versions[0]));
    cr_assert_eq(ask("SELECT count(*) FROM experiments WHERE state = 'stopped' AND ended_by = 'test' AND "
                     "ended_at IS NOT NULL"),
                 2);
    cr_assert_eq(state_of(versions[2]), MODEL_VALIDATED, "it can be tried against the next champion");
    cr_assert(ALIAS("shadow") == -1 && ALIAS("challenger") == -1);
    cr_assert_eq(state_of(versions[1]), MODEL_CHAMPION);
}

Test(modelstore, never_makes_a_rejected_model_the_champion)
{
    bring(0, MODEL_REJECTED);
    cr_assert_eq(promote(0, MODEL_ANY), ERR_CONFLICT);
    cr_assert_eq(ALIAS("champion"), -1);
}

Test(modelstore, has_no_way_back_to_a_rejected_model)
{
    int64_t version;

    MUST(promote(0, MODEL_ANY));
    MUST(promote(1, MODEL_ANY));
    MUST(move(0, MODEL_RETIRED, MODEL_REJECTED));
    cr_assert_eq(ALIAS("previous_champion"), -1);
    cr_assert_eq(model_roll_back(pg, SLICE("sample"), MODEL_ANY, &change, &version, NULL, &why),
                 ERR_NOT_FOUND);
}

/* ---- signatures ---- */

static struct signing_key own_key, other_key;

static struct trusted_keys trust(const struct signing_key *key, struct arena *arena)
{
    struct trusted_keys keys;
    struct buf text;

    buf_init(&text, 0);
    signing_key_format_public(&text, key);
    MUST(trusted_keys_parse(&keys, buf_slice(&text), arena, &why));
    buf_release(&text);
    return keys;
}

Test(modelstore, takes_reads_and_promotes_only_what_a_trusted_key_signed)
{
    struct arena arena = { 0 };
    struct bundle_signature signature;
    unsigned char digest[SHA256_BYTES];
    struct trusted_keys keys;
    struct model_change strict = change;
    struct model_info info;
    int64_t version;
    struct buf out;
    bool is_new;

    signing_key_make(&own_key);
    signing_key_make(&other_key);
    keys = trust(&own_key, &arena);
    strict.keys = &keys;
    buf_init(&out, 0);
    cr_assert_eq(model_promote(pg, versions[0], MODEL_ANY, &strict, &why), ERR_FORBIDDEN);
    cr_assert(strstr(why.text, "not signed") != NULL, "%s", why.text);
    cr_assert_eq(model_read(pg, versions[0], &keys, &out, &why), ERR_FORBIDDEN);

    MUST(model_sign(pg, versions[0], &other_key, SLICE("test"), &why));
    cr_assert_eq(model_promote(pg, versions[0], MODEL_ANY, &strict, &why), ERR_FORBIDDEN);
    cr_assert(strstr(why.text, "not trusted") != NULL, "%s", why.text);
    cr_assert_eq(model_read(pg, versions[0], &keys, &out, &why), ERR_FORBIDDEN);
    MUST(model_read(pg, versions[0], NULL, &out, &why));
    cr_assert_eq(ALIAS("champion"), -1);

    MUST(model_sign(pg, versions[0], &own_key, SLICE("test"), &why));
    MUST(model_promote(pg, versions[0], MODEL_ANY, &strict, &why));
    buf_clear(&out);
    MUST(model_read(pg, versions[0], &keys, &out, &why));
    cr_assert(slice_eq(buf_slice(&out), buf_slice(&bundles[0])));

    sha256(buf_slice(&bundles[1]), digest);
    cr_assert_eq(model_register(pg, buf_slice(&bundles[1]), NULL, &keys, SLICE("test"), &version, NULL, &why),
                 ERR_FORBIDDEN);
    bundle_sign(&signature, digest, &own_key);
    MUST(model_register(pg, buf_slice(&bundles[1]), &signature, &keys, SLICE("test"), &version, &is_new,
                        &why));
    cr_assert(!is_new && version == versions[1]);
    MUST(model_find(pg, version, &info, &why));
    cr_assert(info.is_signed && memcmp(&info.signature, &signature, sizeof signature) == 0);
    signature.bytes[3] ^= 1;
    cr_assert_eq(
        model_register(pg, buf_slice(&bundles[2]), &signature, NULL, SLICE("test"), &version, NULL, &why),
        ERR_FORBIDDEN, "a signature that is there must be right, even where none is asked for");
    buf_release(&out);
    arena_release(&arena);
}

Test(modelstore, lets_the_retrainers_role_do_all_that_a_life_asks_for)
{
    int64_t version;
    bool is_new;

    MUST(pg_exec_script(pg, "SET ROLE assay_retrainer", &why));
    MUST(promote(0, MODEL_NONE));
    bring(1, MODEL_AB);
    MUST(promote(1, versions[0]));
    MUST(model_roll_back(pg, SLICE("sample"), versions[1], &change, &version, NULL, &why));
    MUST(move(1, MODEL_RETIRED, MODEL_REJECTED));
    signing_key_make(&own_key);
    MUST(model_sign(pg, versions[2], &own_key, SLICE("test"), &why));
    MUST(model_register(pg, buf_slice(&bundles[2]), NULL, NULL, SLICE("test"), &version, &is_new, &why));
}

Test(modelstore, finds_out_when_a_stored_signature_was_changed)
{
    struct buf out;

    signing_key_make(&own_key);
    MUST(model_sign(pg, versions[0], &own_key, SLICE("test"), &why));
    MUST(pg_exec_script(pg,
                        "UPDATE models SET signature = set_byte(signature, 5, get_byte(signature, 5) # 1) "
                        "WHERE signature IS NOT NULL",
                        &why));
    buf_init(&out, 0);
    cr_assert_eq(model_read(pg, versions[0], NULL, &out, &why), ERR_FORBIDDEN);
    buf_release(&out);
}

/* ---- who serves what ---- */

Test(modelstore, counts_the_processes_that_serve_a_version)
{
    struct model_served served;

    MUST(pg_exec_script(pg,
                        "INSERT INTO serving VALUES ('a', 'sample', 'champion', 1, now()), ('a', 'sample', "
                        "'previous_champion', 2, now()), ('b', 'sample', 'champion', 2, now()), ('gone', "
                        "'sample', 'champion', 2, now() - interval '1 min')",
                        &why));
    MUST(model_served(pg, SLICE("sample"), "champion", 2, &served, &why));
    cr_assert(served.processes == 2 && served.with_version == 1);
}
