/* SPDX-License-Identifier: Apache-2.0
 * models_test.c - models as an operator moves them: the real `assay`, a real registry. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/hash.h"
#include "harness/cluster.h"
#include "harness/process.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "unit/bundle/samples.h"

static char dir[32];
static const char *conninfo;
static struct pg_session *pg;
static struct buf bundle, out, complaint;
static struct why why;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static void write_file(const char *name, struct slice bytes)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "wb");
    cr_assert(file != NULL);
    cr_assert_eq(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    cr_assert_eq(fclose(file), 0);
}

static void read_file(struct buf *to, const char *name)
{
    char path[64], piece[4096];
    size_t n;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    buf_clear(to);
    file = fopen(path, "rb");
    cr_assert(file != NULL, "%s", path);
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(to, piece, n);
    fclose(file);
}

/* Runs `assay <arguments>` in the directory; `settings` are for the shell, before it. Returns its exit status; its
 * output is in `out`, its complaints in `complaint`. */
static int assay(const char *settings, const char *arguments)
{
    char program[PATH_MAX] = "", command[2 * PATH_MAX], piece[4096];
    size_t n;
    FILE *pipe;
    int status;

    cr_assert_gt(readlink("/proc/self/exe", program, sizeof program - 1), 0);
    *strrchr(program, '/') = 0;
    snprintf(command, sizeof command, "cd %s; ASSAY_PG_URL='%s' %s %s/bin/assay %s 2>stderr", dir, conninfo,
             settings, program, arguments);
    buf_clear(&out);
    pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    while ((n = fread(piece, 1, sizeof piece, pipe)) > 0)
        buf_add(&out, piece, n);
    status = pclose(pipe);
    read_file(&complaint, "stderr");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void make_bundle(struct buf *to, uint32_t seed)
{
    struct bundle_sample sample;

    bundle_sample_init(&sample, seed);
    buf_clear(to);
    MUST(bundle_build(to, &sample.parts, &why));
    bundle_sample_release(&sample);
}

static void setup(void)
{
    conninfo = test_database();
    MUST(pg_session_open(&pg, conninfo, "test", &why));
    strcpy(dir, "/tmp/assay_models_XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    buf_init(&bundle, 0);
    buf_init(&out, 0);
    buf_init(&complaint, 0);
    make_bundle(&bundle, 30);
    write_file("good.bundle", buf_slice(&bundle));
}

static void teardown(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
    pg_session_close(pg);
    buf_release(&bundle);
    buf_release(&out);
    buf_release(&complaint);
}

TestSuite(models, .init = setup, .fini = teardown, .timeout = 120);

static int64_t ask(const char *sql)
{
    struct pg_result *r;
    int64_t value;

    MUST(pg_exec(pg, sql, NULL, &r, &why));
    value = pg_rows(r) ? pg_get_int(r, 0, 0) : -1;
    pg_result_free(r);
    return value;
}

/* ---- bundles that are refused ---- */

enum { MAGIC_LEN = 15 };

/* The bundle with `from` become `to`, as somebody would make it who knows the format: lengths and digest fit. */
static void forge(struct buf *to, const char *from, const char *text)
{
    struct slice all = buf_slice(&bundle);
    const char *at = memmem(all.ptr, all.len, from, strlen(from)), *plan;
    unsigned char length[8], digest[SHA256_BYTES];
    struct slice manifest = slice_of(all.ptr + MAGIC_LEN + 8, 0);
    char old[64], changed[64];
    size_t plan_bytes;
    struct buf head;

    cr_assert(at != NULL, "the bundle has no %s", from);
    for (size_t i = 8; i-- > 0;)
        manifest.len = manifest.len << 8 | (unsigned char)all.ptr[MAGIC_LEN + i];
    buf_init(&head, 0);
    buf_clear(to);
    plan = manifest.ptr + manifest.len;
    if (at < plan) { /* in the manifest */
        buf_add(&head, manifest.ptr, (size_t)(at - manifest.ptr));
        buf_add_str(&head, text);
        buf_add(&head, at + strlen(from), (size_t)(plan - at) - strlen(from));
    } else { /* in the plan, whose length stands in the manifest */
        const char *place = memmem(manifest.ptr, manifest.len, "\"plan\",\"bytes\":", 15);

        cr_assert(place != NULL);
        plan_bytes = (size_t)atoll(place + 15);
        cr_assert(at < plan + plan_bytes, "%s is not in the plan", from);
        snprintf(old, sizeof old, "\"plan\",\"bytes\":%zu", plan_bytes);
        snprintf(changed, sizeof changed, "\"plan\",\"bytes\":%zu", plan_bytes + strlen(text) - strlen(from));
        buf_add(&head, manifest.ptr, (size_t)(place - manifest.ptr));
        buf_add_str(&head, changed);
        buf_add(&head, place + strlen(old), (size_t)(plan - place) - strlen(old));
    }
    for (size_t i = 0; i < 8; i++)
        length[i] = (unsigned char)(head.len >> (8 * i));
    buf_add(to, all.ptr, MAGIC_LEN);
    buf_add(to, length, sizeof length);
    buf_add_slice(to, buf_slice(&head));
    if (at < plan) {
        buf_add(to, plan, (size_t)(all.ptr + all.len - plan) - SHA256_BYTES);
    } else {
        buf_add(to, plan, (size_t)(at - plan));
        buf_add_str(to, text);
        buf_add(to, at + strlen(from), (size_t)(all.ptr + all.len - at) - strlen(from) - SHA256_BYTES);
    }
    sha256(buf_slice(to), digest);
    buf_add(to, digest, sizeof digest);
    buf_release(&head);
}

#define NOTHING_THERE                                                                                        \
    "SELECT (SELECT count(*) FROM models) + (SELECT count(*) FROM aliases) + (SELECT count(*) FROM audit)"

static void refuses(const char *settings, const char *arguments, const char *reason)
{
    cr_assert_eq(assay(settings, arguments), 1, "%s: %s", arguments, buf_str(&out));
    cr_assert(strstr(buf_str(&complaint), reason) != NULL, "%s: \"%s\" does not say \"%s\"", arguments,
              buf_str(&complaint), reason);
    cr_assert_eq(ask(NOTHING_THERE), 0, "nothing has changed");
}

Test(models, refuses_a_forged_bundle_with_the_reason_and_changes_nothing)
{
    static const char unknown[] = "f_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    static const struct {
        const char *from, *to, *reason;
    } cases[] = {
        /* Features that nobody declares. */
        { "\"expr\": \"tx.amount\"", "\"expr\": \"f_nobody * 2.0\"", "f_nobody" },
        { "\"expr\": \"tx.amount\"", NULL, "a feature that is not in the catalogue" },
        { "\"expr\": \"tx.amount\"", "\"expr\": \"tx.shoe_size\"", "shoe_size" },
        { "\"count\": [\"customer_id\"]", "\"count\": [\"shoe_id\"]", "shoe_id" },
        { "\"count\": [\"customer_id\"]", "\"median\": [\"customer_id\"]", "median" },
        { "\"window\": \"1d\"", "\"window\": \"1000d\"", "window" },
        { "\"window\": \"1d\"", "\"window\": \"2d\"", "plan is not the one it names" },
        { "features:\n- {\"name\": \"amount\"", "features:\n- {\"name\": \"Amount\"", "Amount" },
        /* Parts that do not belong together. */
        { "\"golden_rows\":", "\"golden_rows\":1", "golden rows" },
        { "\"margin\":[-1,", "\"margin\":[1,", "calibration" },
        { "\"decline\":", "\"decline\":-", "decline" },
        { "\"name\":\"sample\"", "\"name\":\"../sample\"", "name" },
    };
    char expression[128];
    struct buf forged;

    snprintf(expression, sizeof expression, "\"expr\": \"%s * 2.0\"", unknown);
    buf_init(&forged, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        forge(&forged, cases[i].from, cases[i].to ? cases[i].to : expression);
        write_file("forged.bundle", buf_slice(&forged));
        refuses("", "models import --promote forged.bundle", cases[i].reason);
    }
    buf_release(&forged);
}

Test(models, refuses_a_bundle_that_was_damaged_or_cut_short)
{
    struct buf damaged;

    buf_init(&damaged, 0);
    for (size_t i = 0; i < 12; i++) {
        buf_clear(&damaged);
        buf_add_slice(&damaged, buf_slice(&bundle));
        damaged.data[damaged.taken + (bundle.len - 1) * i / 11] ^= 1;
        write_file("damaged.bundle", buf_slice(&damaged));
        refuses("", "models import --promote damaged.bundle", "bundle: ");
        write_file("cut.bundle", slice_of(buf_str(&bundle), bundle.len * i / 12));
        refuses("", "models import --promote cut.bundle", "bundle: ");
    }
    write_file("longer.bundle", buf_slice(&bundle));
    buf_clear(&damaged);
    buf_add_slice(&damaged, buf_slice(&bundle));
    buf_add_char(&damaged, 'x');
    write_file("longer.bundle", buf_slice(&damaged));
    refuses("", "models import longer.bundle", "damaged or cut short");
    buf_release(&damaged);
}

Test(models, refuses_what_there_is_no_room_for_beside_what_is_computed_here)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct pg_params p = { 0 };
    struct plan *plan;
    struct buf yaml;

    buf_init(&yaml, 0);
    buf_add_str(&yaml, "entities: {customer: customer_id}\nfeatures:\n");
    for (size_t i = 0; i < PLAN_COLUMNS_MAX; i++)
        buf_printf(&yaml, "  - {name: f%zu, expr: tx.amount * %zu.5}\n", i, i);
    MUST(catalogue_parse(&catalogue, buf_slice(&yaml), &arena, &why));
    MUST(plan_build(&plan, &catalogue, &why));
    pg_add_bytes(&p, slice_of(plan_hash(plan), SHA256_BYTES));
    pg_add_text(&p, plan_text(plan));
    MUST(pg_exec(pg, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &p, NULL, &why));
    pg_params_release(&p);
    plan_free(plan);
    arena_release(&arena);
    buf_release(&yaml);
    refuses("", "models import good.bundle", "with the features that are computed here");
}

/* ---- signatures ---- */

Test(models, takes_in_only_what_a_trusted_key_signed)
{
    struct buf other;

    cr_assert_eq(assay("", "models keygen own.key"), 0, "%s", buf_str(&complaint));
    cr_assert_eq(assay("", "models keygen other.key"), 0);
    cr_assert_eq(assay("", "models keygen own.key"), 1, "a key is never written over");
    refuses("ASSAY_MODEL_KEYS=own.key.pub", "models import good.bundle", "not signed");
    cr_assert_eq(assay("ASSAY_MODEL_KEYS=nothing.pub", "models import good.bundle"), 4,
                 "no file is no trust");
    refuses("ASSAY_MODEL_KEYS=own.key", "models import good.bundle", "line 1");

    cr_assert_eq(assay("", "models import good.bundle --quiet"), 0, "%s", buf_str(&complaint));
    cr_assert_str_eq(buf_str(&out), "1\n");
    cr_assert_eq(assay("", "models sign 1 --key other.key"), 0, "%s", buf_str(&complaint));
    cr_assert_eq(assay("", "models export 1 wrong.bundle"), 0);
    cr_assert_eq(assay("", "models sign 1 --key own.key"), 0);
    cr_assert_eq(assay("", "models export 1 right.bundle"), 0);
    cr_assert_eq(assay("", "models show 1 --json"), 0);
    cr_assert(strstr(buf_str(&out), "\"signer\"") != NULL);
    MUST(pg_exec_script(
        pg, "DELETE FROM models; ALTER TABLE audit DISABLE TRIGGER audit_refuse; DELETE FROM audit", &why));

    refuses("ASSAY_MODEL_KEYS=own.key.pub", "models import wrong.bundle", "not trusted");
    refuses("ASSAY_MODEL_KEYS=own.key.pub", "models import good.bundle --signature wrong.bundle.sig",
            "not trusted");
    buf_init(&other, 0);
    make_bundle(&other, 31);
    write_file("other.bundle", buf_slice(&other));
    refuses("ASSAY_MODEL_KEYS=own.key.pub", "models import other.bundle --signature right.bundle.sig",
            "another bundle");
    refuses("", "models import other.bundle --signature right.bundle.sig", "another bundle");
    buf_release(&other);
    cr_assert_eq(assay("ASSAY_MODEL_KEYS=own.key.pub", "models import right.bundle --promote"), 0, "%s",
                 buf_str(&complaint));
    cr_assert_eq(ask("SELECT count(*) FROM aliases WHERE alias = 'champion'"), 1);
}

/* OpenSSL reads the same key and finds the same signature right: it is plain Ed25519 over the digest. */
Test(models, signs_as_others_can_check)
{
    static const unsigned char head[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                          0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
    unsigned char digest[SHA256_BYTES], bytes[SIGNATURE_BYTES];
    struct bundle_signature signature;
    char command[384];
    struct buf der;

    cr_assert_eq(assay("", "models keygen own.key"), 0);
    cr_assert_eq(assay("", "models import good.bundle"), 0);
    cr_assert_eq(assay("", "models sign 1 --key own.key"), 0);
    cr_assert_eq(assay("", "models export 1 signed.bundle"), 0);
    read_file(&out, "signed.bundle.sig");
    MUST(bundle_signature_parse(&signature, digest, buf_slice(&out), &why));
    buf_init(&der, 0);
    buf_add(&der, head, sizeof head); /* SubjectPublicKeyInfo of RFC 8410 */
    buf_add(&der, signature.signer, SIGNER_BYTES);
    write_file("key.der", buf_slice(&der));
    write_file("signature", slice_of(signature.bytes, SIGNATURE_BYTES));
    write_file("digest", slice_of(digest, sizeof digest));
    snprintf(
        command, sizeof command,
        "cd %s && test $(sha256sum signed.bundle | cut -c1-64) = $(sed -n 's/^bundle //p' signed.bundle.sig) "
        "&& openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in digest -sigfile signature "
        ">/dev/null 2>&1",
        dir);
    cr_assert_eq(system(command), 0, "openssl agrees");
    memcpy(bytes, signature.bytes, sizeof bytes);
    bytes[10] ^= 1;
    write_file("signature", slice_of(bytes, sizeof bytes));
    cr_assert_neq(system(command), 0);
    buf_release(&der);
}

/* ---- promotion and rollback ---- */

static json_t *json(const char *arguments)
{
    json_t *said;

    cr_assert_eq(assay("", arguments), 0, "%s: %s", arguments, buf_str(&complaint));
    said = json_loads(buf_str(&out), 0, NULL);
    cr_assert(said != NULL, "%s", buf_str(&out));
    return said;
}

static int64_t of(const json_t *said, const char *key)
{
    return json_integer_value(json_object_get(said, key));
}

static void import_three(void)
{
    for (uint32_t i = 0; i < 3; i++) {
        make_bundle(&bundle, 40 + i);
        write_file("next.bundle", buf_slice(&bundle));
        cr_assert_eq(assay("", "models import next.bundle"), 0);
    }
}

Test(models, promotes_and_rolls_back_and_says_what_holds)
{
    json_t *said;

    import_three();
    said = json("promote 1 --expect none --json");
    cr_assert(json_is_null(json_object_get(said, "before")) &&
              json_is_true(json_object_get(said, "is_changed")));
    json_decref(said);
    said = json("promote 2 --expect 1 --reason 'it won' --json");
    cr_assert(of(said, "before") == 1 && of(said, "version") == 2);
    json_decref(said);
    cr_assert_eq(
        ask("SELECT count(*) FROM audit WHERE action = 'model.promote' AND detail->>'reason' = 'it won'"), 1);
    cr_assert_eq(assay("", "promote 3 --expect 1"), 1);
    cr_assert(strstr(buf_str(&complaint), "the champion is 2, not 1") != NULL, "%s", buf_str(&complaint));
    for (int i = 0; i < 2; i++) {
        said = json("rollback --expect 2 --json");
        cr_assert_eq(of(said, "version"), 1);
        cr_assert_eq(json_is_true(json_object_get(said, "is_changed")), i == 0, "said twice, done once");
        json_decref(said);
    }
    cr_assert_eq(assay("", "rollback nobody"), 4);
    cr_assert_eq(assay("", "promote 4711"), 4);
    cr_assert_eq(assay("", "promote one"), 2);
}

Test(models, waits_until_every_process_serves_what_was_promoted)
{
    char setting[512];
    struct process scoring[2] = { { 0 } };
    json_t *said;

    import_three();
    cr_assert_eq(assay("", "promote 1"), 0);
    snprintf(setting, sizeof setting, "ASSAY_PG_URL=%s", conninfo);
    for (size_t i = 0; i < ARRAY_LEN(scoring); i++)
        process_start(&scoring[i], "scoring", (const char *const[]){ setting, NULL });
    while (ask("SELECT count(*) FROM serving WHERE alias = 'champion'") < 2)
        ;
    for (int i = 2; i >= 1; i--) {
        said = json(i == 2 ? "promote 2 --wait --json" : "rollback --wait --json");
        cr_assert_eq(of(json_object_get(said, "in_effect"), "processes"), 2);
        json_decref(said);
        cr_assert_eq(
            ask("SELECT count(*) FROM serving WHERE alias = 'champion' AND version = (SELECT version FROM "
                "aliases WHERE alias = 'champion')"),
            2);
    }
    cr_assert_eq(assay("", "promote 3 --wait"), 0);
    cr_assert(strstr(buf_str(&out), "in effect in 2 processes after") != NULL, "%s", buf_str(&out));
    for (size_t i = 0; i < ARRAY_LEN(scoring); i++)
        cr_assert_eq(process_stop(&scoring[i]), 0);
}

Test(models, writes_a_card_with_the_pictures_that_its_figures_allow)
{
    struct bundle_sample sample;

    bundle_sample_init(&sample, 60);
    sample.parts.card = SLICE("# sample\n");
    sample.parts.metrics =
        SLICE("{\"curves\":{\"precision_recall\":[[0.1,1],[1,0.1]],\"money\":[[0.5,1,2,3]]}}");
    buf_clear(&bundle);
    MUST(bundle_build(&bundle, &sample.parts, &why));
    write_file("next.bundle", buf_slice(&bundle));
    bundle_sample_release(&sample);
    cr_assert_eq(assay("", "models import next.bundle"), 0);
    cr_assert_eq(assay("", "models card 1 card"), 0, "%s", buf_str(&complaint));
    cr_assert_str_eq(buf_str(&out), "wrote card/card.md and 2 pictures\n");
    read_file(&out, "card/card.md");
    cr_assert_str_eq(buf_str(&out), "# sample\n");
    read_file(&out, "card/precision_recall.svg");
    cr_assert(strncmp(buf_str(&out), "<svg", 4) == 0);
}

Test(models, moves_a_model_by_hand_and_shows_what_was_found_about_it)
{
    json_t *said;

    import_three();
    cr_assert_eq(assay("", "models move 1 shadow"), 1); /* not before its gates */
    cr_assert_eq(assay("", "models move 1 validated"), 0);
    cr_assert_eq(assay("", "models move 1 shadow"), 0);
    cr_assert_eq(assay("", "models move 1 somewhere"), 2);
    cr_assert_eq(assay("", "models move 1 champion"), 1);
    cr_assert(strstr(buf_str(&complaint), "by a promotion") != NULL, "%s", buf_str(&complaint));
    MUST(pg_exec_script(
        pg,
        "INSERT INTO verdicts (version, stage, gate, outcome, reason, at) VALUES (1, 'validation', "
        "'golden_rows', 'pass', 'all 500 to the bit', now())",
        &why));
    said = json("models show 1 --json");
    cr_assert_str_eq(json_string_value(json_object_get(said, "state")), "shadow");
    cr_assert_str_eq(json_string_value(json_object_get(said, "aliases")), "shadow");
    cr_assert_eq(json_array_size(json_object_get(said, "verdicts")), 1);
    json_decref(said);
    cr_assert_eq(assay("", "models show 1"), 0);
    cr_assert(strstr(buf_str(&out), "all 500 to the bit") != NULL);
}

Test(models, compares_two_side_by_side)
{
    json_t *said, *features;
    struct bundle_sample sample;

    import_three();
    said = json("models compare 1 2 --json");
    features = json_object_get(said, "features");
    cr_assert(json_array_size(json_object_get(features, "only_a")) == 0 &&
              json_array_size(json_object_get(features, "only_b")) == 0);
    json_decref(said);
    bundle_sample_init(&sample, 50);
    sample.parts.thresholds.review = 0.55;
    sample.parts.metrics = SLICE("{\"average_precision\":0.5,\"new_figure\":7}");
    sample.parts.parameters = SLICE("{\"depth\":9}");
    buf_clear(&bundle);
    MUST(bundle_build(&bundle, &sample.parts, &why));
    write_file("next.bundle", buf_slice(&bundle));
    cr_assert_eq(assay("", "models import next.bundle"), 0);
    said = json("models compare 1 4 --json");
    cr_assert_eq(
        json_real_value(json_array_get(json_object_get(json_object_get(said, "thresholds"), "review"), 1)),
        0.55);
    cr_assert_eq(
        json_number_value(json_array_get(json_object_get(json_object_get(said, "figures"), "new_figure"), 1)),
        7);
    cr_assert(
        json_is_null(json_array_get(json_object_get(json_object_get(said, "figures"), "new_figure"), 0)));
    cr_assert_eq(
        json_number_value(json_array_get(json_object_get(json_object_get(said, "parameters"), "depth"), 1)),
        9);
    json_decref(said);
    cr_assert_eq(assay("", "models compare 1 4"), 0);
    cr_assert(strstr(buf_str(&out), "new_figure") != NULL && strstr(buf_str(&out), "the same 2") != NULL);
    cr_assert_eq(assay("", "models compare 1 4711"), 4);
    bundle_sample_release(&sample);
}
