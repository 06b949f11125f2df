/* SPDX-License-Identifier: Apache-2.0
 * rules_cli_test.c - what an analyst types to try rules: `assay cel check`, `rules check`, `rules eval` and `rules test`,
 * none of which needs a database, and what is said of input that cannot be used. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "harness/command.h"

static char directory[64];
static struct buf said;

static void setup(void)
{
    strcpy(directory, "/tmp/assay-rules-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(chdir(directory), 0);
    buf_init(&said, 0);
}

static void teardown(void)
{
    char command[96];

    buf_release(&said);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(rules_cli, .init = setup, .fini = teardown, .timeout = 120);

static void write_bytes(const char *name, const char *bytes, size_t len)
{
    FILE *f = fopen(name, "wb");

    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, len, f), len);
    cr_assert_eq(fclose(f), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static void runs(const char *words, int status, const char *wanted)
{
    cr_assert_eq(command_run(&said, "", "", words), status, "%s: %s", words, buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), wanted), "%s: %s", words, buf_str(&said));
}

Test(rules_cli, a_condition_is_checked_with_its_type_its_cost_and_its_names)
{
    runs("cel check 'count(card,\"10m\") > 5 && tx.amount>2 && in_list(tx.ip, \"exits\") && ratio > 1'", 0,
         "count(card, \"10m\") > 5.0 && tx.amount > 2.0 && in_list(tx.ip, \"exits\") && ratio > 1.0\ntype "
         "bool, cost ");
    cr_assert_not_null(strstr(buf_str(&said), "velocity"));
    cr_assert_not_null(strstr(buf_str(&said), "exits"));
    cr_assert_not_null(strstr(buf_str(&said), "feature of the catalogue"));
    cr_assert_null(strstr(buf_str(&said), "does not"));
    runs("cel check 'tx.amount / 2'", 0, "comes to true or false: this does not");
    runs("cel check -- '-1 < tx.amount'", 0, "-1.0 < tx.amount");
}

Test(rules_cli, each_fault_of_a_condition_has_its_caret)
{
    runs("cel check 'tx.amount + \"x\" > tx.amont'", 1, "1:11: ");
    cr_assert_not_null(strstr(buf_str(&said), " | tx.amount + \"x\" > tx.amont\n |           ^"), "%s",
                       buf_str(&said));
    cr_assert_not_null(
        strstr(buf_str(&said),
               "unknown name 'tx.amont'\n | tx.amount + \"x\" > tx.amont\n |                      ^"),
        "%s", buf_str(&said));
    runs("cel check 'count(card, \"10 miles\") > 1'", 1, " |             ^");
}

static const char rules[] =
    "lists:\n"
    "  - {name: watched, field: device_id}\n"
    "rules:\n"
    "  - {id: large, when: 'tx.amount > 5000 && score > 0.2', action: decline, reason: 'score {score}'}\n"
    "  - {id: seen, when: 'in_list(tx.device_id, \"watched\")', action: review, priority: 9}\n"
    "  - {id: busy, when: 'count(card, \"1h\") > 3', action: challenge}\n"
    "  - {id: basket, when: 'tx.attributes.items > 2 && tx.lat > 10', action: tag, tag: full}\n";

Test(rules_cli, a_payment_is_decided_and_each_part_of_a_rule_is_told)
{
    write_text("rules.yaml", rules);
    write_text("payment.json",
               "{\"type\": \"transaction\", \"transaction_id\": \"t-1\", \"amount\": 9000, \"currency\": "
               "\"EUR\", \"lat\": 11, \"lon\": 2, \"attributes\": {\"kind\": \"gift\", \"items\": 3}}");
    runs("rules eval rules.yaml payment.json --score 0.5", 0, "decline, by a rule\n  score 0.5\n");
    cr_assert_not_null(strstr(buf_str(&said), "fires large  tx.amount=9000 score=0.5"), "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "notes basket"), "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "      tx.amount   9000\n"), "%s", buf_str(&said));
    runs("rules eval rules.yaml payment.json --rule busy", 0, "rule busy does not fire");
    write_text("case.yaml",
               "tx: {device_id: d-7}\nlists: {watched: [d-7]}\nvelocities: {'count(card, \"1h\")': 4}\n");
    runs("rules eval rules.yaml case.yaml --json", 0, "{\"action\":\"review\",\"decided_by\":\"a rule\"");
    cr_assert_not_null(strstr(buf_str(&said), "\"id\":\"busy\""), "%s", buf_str(&said));
    cr_assert_null(strstr(buf_str(&said), "\"id\":\"large\""), "%s", buf_str(&said));
    runs("rules eval rules.yaml case.yaml --rule nobody", 4, "no rule nobody");
}

Test(rules_cli, what_a_payment_says_and_nobody_reads_is_refused)
{
    static const struct {
        const char *text, *wanted;
    } bad[] = {
        { "{amont: 1}", "tx.amont is no member of a payment, or of the wrong type" },
        { "{amount: many}", "tx.amount" },
        { "{occurred_at: yesterday}", "tx.occurred_at" },
        { "{attributes: {a: [1]}}", "tx.attributes.a" },
        { "{tx: 7}", "tx is an object" },
        { "{tx: {}, score: 2}", "score is a probability" },
        { "{tx: {}, lists: {unknown: [a]}}", "declares no list unknown" },
        { "{tx: {}, lists: {watched: [7]}}", "lists.watched, value 1" },
        { "{tx: {}, features: {ratio: 1}}", "no rule asks for ratio" },
        { "{tx: {}, velocities: {'count(card,\"2h\")': 1}}", "no rule asks for count(card,\"2h\")" },
        { "{tx: {}, velocities: {'count(card, \"1h\")': many}}", "is no number" },
        { "[1]", "is no object" },
    };

    write_text("rules.yaml", rules);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        write_text("bad.yaml", bad[i].text);
        runs("rules eval rules.yaml bad.yaml", 1, bad[i].wanted);
        cr_assert_not_null(strstr(buf_str(&said), "bad.yaml"), "%s", buf_str(&said));
    }
}

Test(rules_cli, a_test_that_names_what_is_not_there_is_refused_and_not_passed)
{
    static const struct {
        const char *test, *wanted;
    } bad[] = {
        { "{name: one, tx: {amount: 1}, fire: [large]}", "a test has no member fire" },
        { "{name: one, tx: {amount: 1}, not: [larg]}", "not names larg, which is no rule" },
        { "{name: one, tx: {amount: 1}, fires: large}", "fires is a list" },
        { "{name: one, tx: {amount: 1}, action: declin}", "action is approve" },
        { "7", "it is no object" },
    };
    char text[160];

    write_text("rules.yaml", rules);
    write_text("good.yaml",
               "tests:\n  - {name: one, tx: {amount: 9000}, score: 0.3, fires: [large], not: [seen]}\n"
               "  - {name: two, tx: {amount: 1}, action: approve}\n");
    runs("rules test rules.yaml good.yaml", 0, "2 tests, 0 failed");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "tests:\n  - {name: good, tx: {amount: 1}}\n  - %s\n", bad[i].test);
        write_text("bad.yaml", text);
        runs("rules test rules.yaml bad.yaml", 1, bad[i].wanted);
        cr_assert_not_null(strstr(buf_str(&said), "test 2"), "%s", buf_str(&said));
    }
}

Test(rules_cli, of_a_file_that_cannot_be_used_it_is_said_which_and_where)
{
    static char huge[2 << 20];

    memset(huge, 'a', sizeof huge);
    write_bytes("huge.yaml", huge, sizeof huge);
    write_text("empty.yaml", "");
    write_text("list.json", "[1, 2]");
    write_text("seven.yaml", "rules:\n  - 7\n");
    write_text("cut.yaml", "rules:\n  - {id: a\n");
    write_text("utf8.yaml", "rules:\n  - {id: a, name: \"\xff\xfe\"}\n");
    write_text("faults.yaml", "rules:\n  - {id: a, when: 'tx.amount >', action: decline}\n"
                              "  - {id: a, when: 'tx.amount > 1', action: declin}\n"
                              "  - {id: B, when: 'tx.amount > 1', action: decline}\n");
    runs("rules check .", 4, ".: Is a directory");
    runs("rules check huge.yaml", 1, "huge.yaml has more than 1048576 bytes");
    runs("rules check empty.yaml", 1, "empty.yaml: the file is empty");
    runs("rules check list.json", 1, "list.json: the rule set: must be an object");
    runs("rules check seven.yaml", 1, "seven.yaml #/rules/0\nmust be an object");
    runs("rules check cut.yaml", 1, "cut.yaml: line 3: ");
    runs("rules check utf8.yaml", 1, "utf8.yaml: line 2: ");
    runs("rules check missing.yaml", 4, "missing.yaml: No such file");
    runs("rules check", 2, "usage: assay rules check <file>");
    runs("rules check --verbose seven.yaml", 2, "no option --verbose");
    runs("rules chek seven.yaml", 2, "no command \"rules chek\"; of rules there are check, test, eval");
    runs("rules check faults.yaml", 1, "4 faults");
    cr_assert_not_null(strstr(buf_str(&said), "#/rules/0/when\nrule a: 1:12: "), "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "#/rules/1\naction must be"), "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "#/rules/2\n'B' is no id"), "%s", buf_str(&said));
}
