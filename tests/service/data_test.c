/* SPDX-License-Identifier: Apache-2.0
 * data_test.c - the commands about data as a person types them: import, simulate, evaluate, train. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "harness/cluster.h"
#include "pg/session.h"

static char dir[32];

static void setup(void)
{
    strcpy(dir, "/tmp/assay_data_XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("ASSAY_HOME", dir, 1);
}

static void teardown(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(data, .init = setup, .fini = teardown, .timeout = 120);

/* Runs `assay <arguments>` in a shell; *out gets its standard output. Returns its exit status. */
static int assay(struct buf *out, const char *arguments)
{
    char program[PATH_MAX] = "", command[2 * PATH_MAX], piece[4096];
    size_t n;
    FILE *pipe;
    int status;

    cr_assert_gt(readlink("/proc/self/exe", program, sizeof program - 1), 0);
    *strrchr(program, '/') = 0;
    snprintf(command, sizeof command, "export PATH=\"%s/bin:$PATH\"; cd %s; assay %s 2>%s/stderr", program,
             dir, arguments, dir);
    buf_clear(out);
    pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    while ((n = fread(piece, 1, sizeof piece, pipe)) > 0)
        buf_add(out, piece, n);
    status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static size_t line_count(struct buf *b)
{
    size_t n = 0;

    for (const char *at = buf_str(b); (at = strchr(at, '\n')); at++)
        n++;
    return n;
}

/* A world in the handbook's columns, too small to say anything: amounts above 220 are frauds, and so are all
 * payments at one terminal in ten, every other month. */
static void write_handbook(const char *path, int bad_rows)
{
    FILE *file = fopen(path, "w");
    uint64_t state = 1;
    int id = 0;

    cr_assert_not_null(file);
    fprintf(file, "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_TIME_SECONDS,TX_TIME_DAYS,"
                  "TX_FRAUD,TX_FRAUD_SCENARIO\n");
    for (int day = 0; day < 160; day++) {
        static const int length[] = { 30, 31, 30, 31, 31, 30 };
        int month = 0, date = day;

        while (date >= length[month])
            date -= length[month++];
        for (int k = 0; k < 60; k++) {
            int amount, terminal, fraud;

            state = state * 6364136223846793005u + 1442695040888963407u;
            amount = 100 + (int)(state >> 33) % 24000;
            terminal = (int)(state >> 40) % 50;
            fraud = amount > 22000 || (terminal % 10 == 0 && month % 2);
            fprintf(file, "%d,2018-%02d-%02d %02d:00:%02d,%d,%d,%d.%02d,0,%d,%d,0\n", id++, month + 4,
                    date + 1, k * 24 / 60, k % 60, (int)(state >> 48) % 200, terminal, amount / 100,
                    amount % 100, day, fraud);
        }
    }
    for (int i = 0; i < bad_rows; i++)
        fprintf(file, "%d,yesterday,1,1,1.00,0,0,0,0\n", id++);
    fclose(file);
}

Test(data, import_writes_every_good_row_and_tells_the_bad_ones)
{
    char path[64];
    struct buf out;

    buf_init(&out, 0);
    snprintf(path, sizeof path, "%s/h.csv", dir);
    write_handbook(path, 3);
    cr_assert_eq(assay(&out, "import --mapping handbook h.csv > all.ndjson; echo $?"), 0);
    cr_assert_str_eq(buf_str(&out), "1\n");
    cr_assert_eq(assay(&out, "import --mapping handbook --skip-bad h.csv"), 0);
    cr_assert_gt(line_count(&out), 9600);
    cr_assert_eq(assay(&out, "import --mapping handbook --limit 5 h.csv"), 0);
    cr_assert_eq(line_count(&out), 5);
    cr_assert_eq(assay(&out, "import --mapping handbook --from 2018-04-03 --until 2018-04-04 h.csv"), 0);
    cr_assert_eq(line_count(&out), 60);
    cr_assert_eq(assay(&out, "import --mapping nothing h.csv"), 4);
    cr_assert_eq(assay(&out, "import --mapping handbook nothing.csv"), 4);
    cr_assert_eq(assay(&out, "import h.csv"), 2);
    buf_release(&out);
}

Test(data, import_reads_a_pipe_and_what_zstd_packed)
{
    char path[64];
    struct buf out, packed;

    buf_init(&out, 0);
    buf_init(&packed, 0);
    snprintf(path, sizeof path, "%s/h.csv", dir);
    write_handbook(path, 0);
    cr_assert_eq(assay(&out, "import --mapping handbook - < h.csv"), 0);
    cr_assert_eq(
        assay(&packed, "version >/dev/null; zstd -q h.csv; assay import --mapping handbook h.csv.zst"), 0);
    cr_assert_gt(out.len, 9600);
    cr_assert(slice_eq(buf_slice(&out), buf_slice(&packed)));
    cr_assert_eq(
        assay(&out, "version >/dev/null; head -c 20000 h.csv.zst > cut.zst; assay import --mapping handbook "
                    "cut.zst > /dev/null"),
        1);
    buf_release(&out);
    buf_release(&packed);
}

Test(data, card_tokens_stay_the_same_and_hide_the_number)
{
    static const char csv[] =
        "trans_date_trans_time,cc_num,merchant,category,amt,gender,lat,long,city_pop,dob,"
        "trans_num,unix_time,merch_lat,merch_long,is_fraud\n"
        "2012-01-01 00:00:11,4111111111111111,m,c,1.00,M,1,1,5,1982-06-24,a,1325376011,1,1,0\n";
    char path[64];
    struct buf first, second;
    FILE *file;

    buf_init(&first, 0);
    buf_init(&second, 0);
    snprintf(path, sizeof path, "%s/s.csv", dir);
    file = fopen(path, "w");
    cr_assert(file && fputs(csv, file) >= 0 && fclose(file) == 0);
    cr_assert_eq(assay(&first, "import --mapping sparkov s.csv"), 0);
    cr_assert_eq(assay(&second, "import --mapping sparkov s.csv"), 0);
    cr_assert_str_eq(buf_str(&first), buf_str(&second));
    cr_assert_not_null(strstr(buf_str(&first), "tok_"));
    cr_assert_null(strstr(buf_str(&first), "4111"));
    cr_assert_eq(assay(&second, "import --mapping sparkov --key-file other.key s.csv"), 0);
    cr_assert_str_neq(buf_str(&first), buf_str(&second));
    buf_release(&first);
    buf_release(&second);
}

Test(data, evaluate_says_when_there_is_no_data)
{
    struct buf out;

    buf_init(&out, 0);
    cr_assert_eq(assay(&out, "evaluate --protocol handbook --data nowhere"), 3);
    cr_assert_eq(assay(&out, "evaluate --protocol nothing"), 2);
    buf_release(&out);
}

static void has_exactly(const json_t *object, const char *const *keys)
{
    size_t n = 0;

    for (; keys[n]; n++)
        cr_assert_not_null(json_object_get(object, keys[n]), "%s", keys[n]);
    cr_assert_eq(json_object_size(object), n);
}

Test(data, evaluate_prints_the_documented_json)
{
    static const char *const model_keys[] = { "name",
                                              "split",
                                              "history_days",
                                              "auc_roc",
                                              "average_precision",
                                              "card_precision_100",
                                              "train_rows",
                                              "test_rows",
                                              NULL };
    char path[64];
    struct buf out;
    json_t *root;
    int seen_gbdt = 0, seen_ch3 = 0;

    buf_init(&out, 0);
    snprintf(path, sizeof path, "%s/handbook", dir);
    cr_assert_eq(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/handbook/transactions.csv", dir);
    write_handbook(path, 0);
    cr_assert_eq(assay(&out, "version >/dev/null; zstd -q --rm handbook/transactions.csv; "
                             "assay evaluate --protocol handbook --data . --json"),
                 0);
    root = json_loads(buf_str(&out), 0, NULL);
    cr_assert_not_null(root);
    has_exactly(root, (const char *const[]){ "protocol", "models", NULL });
    cr_assert_eq(json_array_size(json_object_get(root, "models")), 8);
    for (size_t i = 0; i < 8; i++) {
        const json_t *model = json_array_get(json_object_get(root, "models"), i);
        const char *split = json_string_value(json_object_get(model, "split"));
        bool is_gbdt = strcmp(json_string_value(json_object_get(model, "name")), "gbdt") == 0;

        has_exactly(model, model_keys);
        cr_assert(strcmp(split, "ch3") == 0 || strcmp(split, "folds") == 0);
        seen_gbdt += is_gbdt;
        seen_ch3 += strcmp(split, "ch3") == 0;
        if (is_gbdt) {
            cr_assert_gt(json_number_value(json_object_get(model, "auc_roc")), 0.7);
            if (json_number_value(json_object_get(model, "history_days")) == 7)
                cr_assert_eq(json_integer_value(json_object_get(model, "train_rows")), 7 * 60);
        }
    }
    cr_assert_eq(seen_gbdt, 4);
    cr_assert_eq(seen_ch3, 4);
    json_decref(root);
    buf_release(&out);
}

Test(data, train_makes_a_bundle_and_registers_it_as_champion)
{
    struct pg_session *pg = NULL;
    struct pg_result *r = NULL;
    struct why why = { 0 };
    struct buf out;
    json_t *root;

    buf_init(&out, 0);
    setenv("ASSAY_PG_URL", test_database(), 1);
    cr_assert_eq(assay(&out, "simulate --transactions 20000 --days 50 --fraud 2 --out world.ndjson"), 0);
    cr_assert_eq(
        assay(&out, "train world.ndjson --trees 20 --depth 3 --threads 1 --out a.bundle --promote --json"), 0,
        "%s", buf_str(&out));
    root = json_loads(buf_str(&out), 0, NULL);
    cr_assert_not_null(root);
    cr_assert_gt(json_number_value(json_object_get(root, "auc_roc")), 0.7);
    cr_assert_gt(json_integer_value(json_object_get(root, "version")), 0);
    cr_assert_eq(pg_session_open(&pg, getenv("ASSAY_PG_URL"), "test", &why), ERR_OK, "%s", why.text);
    cr_assert_eq(pg_exec(pg,
                         "SELECT encode(m.sha256, 'hex') FROM aliases a JOIN models m USING (version) "
                         "WHERE a.name = 'default' AND a.alias = 'champion'",
                         NULL, &r, &why),
                 ERR_OK, "%s", why.text);
    cr_assert_eq(pg_rows(r), 1);
    cr_assert(slice_eq_str(pg_get_text(r, 0, 0), json_string_value(json_object_get(root, "sha256"))));
    pg_result_free(r);
    pg_session_close(pg);
    json_decref(root);
    cr_assert_eq(assay(&out, "train world.ndjson --until 2024-01-05"), 1);
    cr_assert_eq(assay(&out, "train"), 2);
    unsetenv("ASSAY_PG_URL");
    buf_release(&out);
}
