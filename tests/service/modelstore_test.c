/* SPDX-License-Identifier: Apache-2.0
 * modelstore_test.c - the registry of models on a real PostgreSQL. */
#include <criterion/criterion.h>

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
        MUST(model_register(pg, buf_slice(&bundles[i]), SLICE("test"), &versions[i], NULL, &why));
        bundle_sample_release(&sample);
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < MODELS; i++)
        buf_release(&bundles[i]);
    pg_session_close(pg);
}

TestSuite(modelstore, .init = setup, .fini = teardown, .timeout = 60);

static int64_t ask(const char *sql)
{
    struct pg_result *r;
    int64_t value;

    MUST(pg_exec(pg, sql, NULL, &r, &why));
    value = pg_rows(r) ? pg_get_int(r, 0, 0) : -1;
    pg_result_free(r);
    return value;
}

#define ALIAS(alias) ask("SELECT version FROM aliases WHERE name = 'sample' AND alias = '" alias "'")

Test(modelstore, keeps_the_same_bundle_once_and_gives_its_bytes_back)
{
    int64_t again;
    bool is_new;
    struct buf out;

    MUST(model_register(pg, buf_slice(&bundles[1]), SLICE("test"), &again, &is_new, &why));
    cr_assert(again == versions[1] && !is_new);
    cr_assert_eq(ask("SELECT count(*) FROM audit WHERE action = 'model.register'"), MODELS);
    buf_init(&out, 0);
    MUST(model_read(pg, versions[1], &out, &why));
    cr_assert(slice_eq(buf_slice(&out), buf_slice(&bundles[1])));
    cr_assert_eq(model_read(pg, 4711, &out, &why), ERR_NOT_FOUND);
    cr_assert_eq(model_register(pg, SLICE("no bundle"), SLICE("test"), &again, NULL, &why), ERR_SYNTAX);
    buf_release(&out);
}

Test(modelstore, promotes_only_over_the_champion_that_is_expected)
{
    MUST(model_promote(pg, versions[0], MODEL_NONE, SLICE("test"), &why));
    cr_assert_eq(model_promote(pg, versions[1], MODEL_NONE, SLICE("test"), &why), ERR_CONFLICT);
    cr_assert_eq(model_promote(pg, versions[1], versions[2], SLICE("test"), &why), ERR_CONFLICT);
    cr_assert_eq(ALIAS("champion"), versions[0]);
    MUST(model_promote(pg, versions[1], versions[0], SLICE("test"), &why));
    cr_assert_eq(ALIAS("champion"), versions[1]);
    cr_assert_eq(ALIAS("previous_champion"), versions[0]);
    cr_assert_eq(ask("SELECT count(*) FROM audit WHERE action = 'model.promote'"), 2);
    cr_assert_eq(ask("SELECT version FROM models WHERE state = 'champion'"), versions[1]);
    cr_assert_eq(ask("SELECT version FROM models WHERE state = 'retired'"), versions[0]);
    cr_assert_eq(model_promote(pg, 4711, MODEL_ANY, SLICE("test"), &why), ERR_NOT_FOUND);
    MUST(model_promote(pg, versions[1], MODEL_ANY, SLICE("test"), &why));
    cr_assert_eq(ALIAS("previous_champion"), versions[0], "to promote the champion changes nothing");
}

Test(modelstore, rolls_back_to_the_previous_champion_and_forward_again)
{
    int64_t version;

    cr_assert_eq(model_roll_back(pg, SLICE("sample"), MODEL_ANY, SLICE("test"), &version, &why),
                 ERR_NOT_FOUND);
    MUST(model_promote(pg, versions[0], MODEL_ANY, SLICE("test"), &why));
    MUST(model_promote(pg, versions[1], MODEL_ANY, SLICE("test"), &why));
    cr_assert_eq(model_roll_back(pg, SLICE("sample"), versions[0], SLICE("test"), &version, &why),
                 ERR_CONFLICT);
    MUST(model_roll_back(pg, SLICE("sample"), versions[1], SLICE("test"), &version, &why));
    cr_assert_eq(version, versions[0]);
    cr_assert_eq(ALIAS("champion"), versions[0]);
    cr_assert_eq(ALIAS("previous_champion"), versions[1]);
    MUST(model_roll_back(pg, SLICE("sample"), MODEL_ANY, SLICE("test"), &version, &why));
    cr_assert_eq(version, versions[1]);
}

Test(modelstore, points_other_aliases_and_takes_them_away)
{
    MUST(model_alias(pg, SLICE("sample"), SLICE("shadow"), versions[2], MODEL_NONE, SLICE("test"), &why));
    cr_assert_eq(ALIAS("shadow"), versions[2]);
    cr_assert_eq(
        model_alias(pg, SLICE("sample"), SLICE("shadow"), versions[1], MODEL_NONE, SLICE("test"), &why),
        ERR_CONFLICT);
    cr_assert_eq(
        model_alias(pg, SLICE("other"), SLICE("shadow"), versions[1], MODEL_ANY, SLICE("test"), &why),
        ERR_NOT_FOUND);
    cr_assert_eq(
        model_alias(pg, SLICE("sample"), SLICE("champion"), versions[1], MODEL_ANY, SLICE("test"), &why),
        ERR_INVALID);
    MUST(model_alias(pg, SLICE("sample"), SLICE("shadow"), MODEL_NONE, versions[2], SLICE("test"), &why));
    cr_assert_eq(ALIAS("shadow"), -1);
}

Test(modelstore, never_makes_a_rejected_model_the_champion)
{
    MUST(pg_exec_script(pg, "UPDATE models SET state = 'rejected'", &why));
    cr_assert_eq(model_promote(pg, versions[0], MODEL_ANY, SLICE("test"), &why), ERR_CONFLICT);
    cr_assert_eq(ALIAS("champion"), -1);
}
