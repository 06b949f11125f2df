/* SPDX-License-Identifier: Apache-2.0
 * backtest_test.c - a backtest over chunks against policy_decide(), asked row by row with lists that are kept by hand. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backtest/outcomes.h"
#include "backtest/report.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"

enum { ROWS = 5000, CHUNKS = 3, FEATURES = 3, PLANS = 2, DAYS = 8, CARDS = 40 };

#define T(literal)                                                                                           \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }
#define RULE(called, when, does, weight)                                                                     \
    {                                                                                                        \
        .id = T(called), .name = T(called), .expression = T(when), .action = does, .priority = weight,       \
        .is_enabled = true                                                                                   \
    }

static const struct policy_rule rules[] = {
    RULE("large", "tx.amount > 90000.0", ACTION_DECLINE, 5),
    RULE("busy", "count_1h > 7.0 && score > 0.2", ACTION_REVIEW, 9),
    RULE("listed", "in_list(tx.card_id, \"watched\")", ACTION_CHALLENGE, 7),
    RULE("basket", "tx.attributes.basket > 3.0 && tx.attributes.kind == \"gift\"", ACTION_REVIEW, 3),
    RULE("broken", "tx.channel == \"atm\" && 10 / (int(tx.hour) % 3) > 3", ACTION_REVIEW, 2),
    RULE("near", "tx.lat > 10.0 && tx.hour < 6.0 && tx.currency == \"USD\"", ACTION_APPROVE, 8),
    { .id = T("odd"),
      .name = T("odd"),
      .expression = T("int(tx.amount) % 2 == 1"),
      .tag = T("odd"),
      .is_enabled = true },
    { .id = T("silent"),
      .name = T("silent"),
      .expression = T("ratio > 0.5"),
      .action = ACTION_DECLINE,
      .priority = 99,
      .is_enabled = true,
      .is_shadow = true },
};
enum { RULES = ARRAY_LEN(rules) };
static const struct ruleset ruleset = {
    .version = T("7"), .rules = rules, .count = RULES, .missing = { ACTION_CHALLENGE, ACTION_REVIEW }
};

/* The second plan has them in another order, with another definition of `ratio`. */
static const struct chunk_feature plans[PLANS][FEATURES] = {
    { { "count_1h", "a" }, { "ratio", "b" }, { "unused", "c" } },
    { { "unused", "c" }, { "ratio", "d" }, { "count_1h", "a" } },
};

static struct {
    struct chunk_row rows[ROWS];
    float vectors[ROWS][FEATURES];
    int plan[ROWS]; /* PLANS: served without */
    struct txn_attribute attributes[ROWS][2];
    char ids[ROWS][16], cards[CARDS][16];
    struct buf bytes[CHUNKS];
    struct chunk *chunks[CHUNKS];
    struct timeline *timeline;
    struct labels *labels;
    enum label_state label[ROWS];
    struct backtest_options options;
    struct random random;
    struct arena arena;
} w;
static struct why why;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static double unit(void)
{
    return random_unit(&w.random);
}

static size_t below(size_t n)
{
    return (size_t)random_below(&w.random, n);
}

/* ---- the world ---- */

static void make_txn(size_t i, struct txn *txn)
{
    static const struct slice channels[] = { T("pos"), T("atm"), T("ecommerce"), T("") };

    *txn = (struct txn){ .account = 1 + (uint32_t)below(2),
                         .known_at_us = (int64_t)i * DAYS * DAY_US / ROWS,
                         .occurred_at_us = (int64_t)i * DAYS * DAY_US / ROWS - 5 * SECOND_US,
                         .amount_minor = (int64_t)below(100000),
                         .amount_base_minor = (int64_t)below(100000),
                         .currency = below(2) ? SLICE("USD") : SLICE("EUR"),
                         .has_place = below(3) > 0,
                         .lat = 20 * unit(),
                         .lon = 20 * unit(),
                         .attributes = w.attributes[i],
                         .attribute_count = below(3) };
    snprintf(w.ids[i], sizeof w.ids[i], "t%zu", i);
    txn->id = slice_str(w.ids[i]);
    txn->text[TXN_card_id] = slice_str(w.cards[below(CARDS)]);
    txn->text[TXN_channel] = channels[below(ARRAY_LEN(channels))];
    w.attributes[i][0] =
        (struct txn_attribute){ .name = SLICE("basket"), .kind = ATTRIBUTE_NUMBER, .number = 6 * unit() };
    w.attributes[i][1] = (struct txn_attribute){ .name = SLICE("kind"),
                                                 .kind = ATTRIBUTE_TEXT,
                                                 .text = below(2) ? SLICE("gift") : SLICE("own") };
}

static void make_row(size_t i)
{
    struct chunk_row *row = &w.rows[i];

    *row = (struct chunk_row){ .n = i + 1,
                               .has_score = below(10) > 0,
                               .thresholds = { 0.5, 0.7, below(2) ? 0.9 : 2 },
                               .action = (enum action)below(ACTION_COUNT),
                               .decider = POLICY_BY_THRESHOLD,
                               .p_allow = 1,
                               .ruleset = below(3)   ? SLICE("7")
                                          : below(2) ? SLICE("none")
                                                     : SLICE("gone"),
                               .model = SLICE("3") };
    make_txn(i, &row->txn);
    row->decided_at_us = row->txn.known_at_us + 1000;
    row->score = row->has_score ? unit() : 0;
    w.plan[i] = (int)below(PLANS + 1);
    row->degraded = w.plan[i] < PLANS ? SLICE("") : SLICE("features rules");
    for (size_t k = 0; k < FEATURES; k++)
        w.vectors[i][k] = below(8) ? (float)below(10) : NAN;
    if (w.plan[i] < PLANS)
        w.vectors[i][1] = below(8) ? (float)unit() : NAN;
    w.label[i] = below(12) == 0 ? LABEL_FRAUD : below(3) == 0 ? LABEL_GOOD : LABEL_NONE;
    if (w.label[i] != LABEL_NONE)
        labels_add(w.labels, chunk_id_hash(row->txn.account, row->txn.id), LABEL_ISSUER, 1,
                   w.label[i] == LABEL_FRAUD);
}

static void make_chunks(void)
{
    struct chunk_builder *b = chunk_builder_new();

    for (size_t c = 0, i = 0; c < CHUNKS; c++) {
        for (; i < ROWS * (c + 1) / CHUNKS; i++) {
            bool has = w.plan[i] < PLANS;

            MUST(chunk_builder_add(b, &w.rows[i], has ? plans[w.plan[i]] : NULL, has ? w.vectors[i] : NULL,
                                   has ? FEATURES : 0, &why));
        }
        chunk_builder_end(b, &w.bytes[c]);
        MUST(chunk_open(&w.chunks[c], buf_slice(&w.bytes[c]), &why));
    }
    chunk_builder_free(b);
}

/* What happened to the lists, by its time. */
static const struct {
    int day;
    const char *value;
    int list, expires_day;
    bool is_there;
} changes[] = {
    { 1, "card3", 0, 0, true },  { 2, "card4", 0, 4, true },  { 2, "card9", 1, 0, true },
    { 3, "card3", 0, 0, false }, { 5, "card9", 1, 0, false }, { 6, "card11", 2, 7, true },
    { 6, "card4", 0, 7, true },
};
static const struct {
    const char *name;
    enum list_purpose purpose;
} lists[] = { { "watched", LIST_NAMED }, { "blocked", LIST_DENY }, { "trusted", LIST_ALLOW } };

static void setup(void)
{
    w.random.state = 11;
    w.timeline = timeline_new();
    w.labels = labels_new();
    for (size_t i = 0; i < CARDS; i++)
        snprintf(w.cards[i], sizeof w.cards[i], "card%zu", i);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        timeline_add_list(w.timeline, LIST_OF_STRINGS, 0, slice_str(lists[i].name), lists[i].purpose,
                          TXN_card_id);
    for (size_t i = 0; i < ARRAY_LEN(changes); i++)
        MUST(timeline_change(w.timeline, (size_t)changes[i].list, changes[i].day * DAY_US,
                             slice_str(changes[i].value), changes[i].is_there,
                             changes[i].expires_day ? changes[i].expires_day * DAY_US : LIST_NO_EXPIRY,
                             &why));
    timeline_seal(w.timeline);
    for (size_t i = 0; i < ROWS; i++)
        make_row(i);
    make_chunks();
    w.options = (struct backtest_options){ .asked = { CONTENDER_BY_ACCOUNT, &ruleset, 1 },
                                           .compared = { .by = CONTENDER_DECIDED },
                                           .timeline = w.timeline,
                                           .labels = w.labels,
                                           .from_us = INT64_MIN,
                                           .to_us = INT64_MAX,
                                           .as_of_us = DAYS * DAY_US,
                                           .label_delay_us = 2 * DAY_US,
                                           .examples_most = 3 };
}

static void teardown(void)
{
    for (size_t i = 0; i < CHUNKS; i++) {
        chunk_close(w.chunks[i]);
        buf_release(&w.bytes[i]);
    }
    timeline_free(w.timeline);
    labels_free(w.labels);
    arena_release(&w.arena);
}

TestSuite(backtest, .init = setup, .fini = teardown);

/* ---- the same by hand ---- */

struct brute {
    struct policy *policy;
    struct policy_columns *columns[PLANS];
    struct list *lists[ARRAY_LEN(lists)];
    size_t at;
};

static void brute_open(struct brute *b, const struct ruleset *set)
{
    *b = (struct brute){ .policy = policy_new() };
    if (set)
        MUST(policy_add_ruleset(b->policy, set, &why));
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        b->lists[i] = list_new(0, slice_str(lists[i].name), lists[i].purpose, TXN_card_id);
        policy_add_list(b->policy, b->lists[i]);
    }
    for (size_t p = 0; p < PLANS; p++) {
        struct slice names[FEATURES];

        for (size_t k = 0; k < FEATURES; k++)
            names[k] = slice_str(plans[p][k].name);
        b->columns[p] = policy_bind(b->policy, names, FEATURES);
    }
}

static void brute_close(struct brute *b)
{
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        list_unref(b->lists[i]);
    for (size_t p = 0; p < PLANS; p++)
        policy_columns_free(b->columns[p]);
    policy_free(b->policy);
}

/* Rows come in their order. */
static void brute_decide(struct brute *b, size_t i, struct policy_verdict *out)
{
    static const struct slice degraded[] = { T("features"), T("rules") };
    const struct chunk_row *row = &w.rows[i];
    bool has = w.plan[i] < PLANS;

    for (; b->at < ARRAY_LEN(changes) && changes[b->at].day * DAY_US <= row->decided_at_us; b->at++) {
        struct list *list = b->lists[changes[b->at].list];

        if (!changes[b->at].is_there)
            cr_assert(list_remove(list, slice_str(changes[b->at].value)));
        else
            MUST(list_put(list, slice_str(changes[b->at].value),
                          changes[b->at].expires_day ? changes[b->at].expires_day * DAY_US : LIST_NO_EXPIRY,
                          &why));
    }
    arena_reset(&w.arena);
    policy_decide(b->policy,
                  &(struct policy_input){ .txn = &row->txn,
                                          .now_us = row->txn.known_at_us,
                                          .vector = has ? w.vectors[i] : NULL,
                                          .vector_count = has ? FEATURES : 0,
                                          .columns = has ? b->columns[w.plan[i]] : NULL,
                                          .has_score = row->has_score,
                                          .score = row->score,
                                          .thresholds = row->thresholds,
                                          .degraded = degraded,
                                          .degraded_count = has ? 0 : ARRAY_LEN(degraded) },
                  &w.arena, out);
}

static struct backtest_worker *run(size_t begin, size_t end, const struct backtest_memory *memory)
{
    struct backtest_worker *worker;

    MUST(backtest_worker_new(&worker, &w.options, 0, DAYS, memory, &why));
    for (size_t i = begin; i < end; i++)
        MUST(backtest_worker_take(worker, w.chunks[i], NULL, &why));
    return worker;
}

static size_t rule_of(const struct backtest_result *r, struct slice id)
{
    for (size_t i = 0; i < r->rule_count; i++) {
        if (slice_eq(r->rules[i].rule->id, id))
            return i;
    }
    cr_assert_fail("no rule %.*s", SLICE_ARG(id));
    return 0;
}

static char *as_text(const struct backtest_result *r)
{
    struct buf text = { 0 };
    struct json_out o = json_out_to(&text);
    char *copy;

    backtest_report(&o, NULL, r, &w.options, SLICE("a"), SLICE("b"));
    copy = mem_strdup(buf_str(&text));
    buf_release(&text);
    return copy;
}

/* From the counts of evaluated rules on, runs differ by what was known. */
static bool same_figures(const struct backtest_result *a, const struct backtest_result *b)
{
    char *x = as_text(a), *y = as_text(b), *end;
    bool same;

    end = strstr(x, "\"rules_recalled\"");
    cr_assert_not_null(end);
    same = strncmp(x, y, (size_t)(end - x)) == 0;
    mem_free(x);
    mem_free(y);
    return same;
}

/* ---- tests ---- */

Test(backtest, decides_each_row_as_policy_decide_does)
{
    struct backtest_worker *worker = run(0, CHUNKS, NULL);
    const struct backtest_result *r = backtest_worker_result(worker);
    uint64_t change[ACTION_COUNT][ACTION_COUNT] = { 0 }, hits[RULES] = { 0 }, errs = 0,
             decides[RULES] = { 0 };
    uint32_t by_day[RULES][DAYS] = { 0 }, together = 0;
    struct brute b;

    brute_open(&b, &ruleset);
    for (size_t i = 0; i < ROWS; i++) {
        size_t day = (size_t)(w.rows[i].txn.known_at_us / DAY_US);
        struct policy_verdict v;
        bool large = false, busy = false;

        brute_decide(&b, i, &v);
        change[w.rows[i].action][v.action]++;
        errs += v.erred_count;
        for (size_t k = 0; k < v.fired_count + v.noted_count; k++) {
            const struct policy_rule *rule =
                (k < v.fired_count ? &v.fired[k] : &v.noted[k - v.fired_count])->rule;
            size_t at = rule_of(r, rule->id);

            hits[at]++;
            by_day[at][day]++;
            large = large || slice_eq_str(rule->id, "large");
            busy = busy || slice_eq_str(rule->id, "busy");
        }
        together += large && busy;
        if (v.decider == POLICY_BY_RULE)
            decides[rule_of(r, v.fired[0].rule->id)]++;
    }
    cr_assert_eq(r->rows, ROWS);
    cr_assert_eq(r->rule_count, RULES);
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        for (size_t c = 0; c < ACTION_COUNT; c++)
            cr_assert_eq(r->change[a][c].count, change[a][c], "%zu to %zu", a, c);
    }
    for (size_t i = 0; i < RULES; i++) {
        cr_assert_eq(r->rules[i].hits, hits[i], "%.*s", SLICE_ARG(r->rules[i].rule->id));
        cr_assert_eq(r->rules[i].decides, decides[i], "%.*s", SLICE_ARG(r->rules[i].rule->id));
        cr_assert(hits[i] > 10, "%.*s never fires: nothing is tested", SLICE_ARG(r->rules[i].rule->id));
        cr_assert_arr_eq(r->rules[i].by_day, by_day[i], sizeof by_day[i]);
    }
    cr_assert_eq(r->rules[rule_of(r, SLICE("broken"))].errs, errs);
    cr_assert_eq(r->overlap[rule_of(r, SLICE("large")) * RULES + rule_of(r, SLICE("busy"))], together);
    cr_assert(together > 0);
    brute_close(&b);
    backtest_worker_free(worker);
}

Test(backtest, takes_the_set_by_which_each_decision_was_made)
{
    struct ruleset kept = ruleset;
    struct brute with, without;
    struct backtest_worker *worker;
    const struct backtest_result *r;
    uint64_t differ = 0, gone = 0, found = 0;

    w.options.asked = (struct contender){ CONTENDER_BY_VERSION, &kept, 1 };
    worker = run(0, CHUNKS, NULL);
    r = backtest_worker_result(worker);
    brute_open(&with, &ruleset);
    brute_open(&without, NULL);
    for (size_t i = 0; i < ROWS; i++) {
        struct policy_verdict v[2];
        enum action action[2];

        brute_decide(&with, i, &v[0]);
        action[0] = v[0].action;
        brute_decide(&without, i, &v[1]);
        action[1] = v[1].action;
        if (slice_eq_str(w.rows[i].ruleset, "gone"))
            gone++;
        else
            differ += action[slice_eq_str(w.rows[i].ruleset, "none")] != w.rows[i].action;
    }
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        for (size_t c = 0; c < ACTION_COUNT; c++)
            found += a == c ? 0 : r->change[a][c].count;
    }
    cr_assert_eq(found, differ);
    cr_assert_eq(r->unversioned, gone);
    cr_assert(gone > 0);
    brute_close(&with);
    brute_close(&without);
    backtest_worker_free(worker);
}

Test(backtest, split_between_workers_it_comes_to_the_same)
{
    struct backtest_worker *all = run(0, CHUNKS, NULL), *first = run(0, 1, NULL),
                           *rest = run(1, CHUNKS, NULL);

    backtest_worker_add(first, rest);
    cr_assert(same_figures(backtest_worker_result(all), backtest_worker_result(first)));
    backtest_worker_free(all);
    backtest_worker_free(first);
    backtest_worker_free(rest);
}

/* ---- what is known of rules ---- */

enum { REMEMBERED_MAX = 64 };
static struct {
    unsigned char keys[REMEMBERED_MAX][SHA256_BYTES];
    struct outcomes_of_rule *outcomes[REMEMBERED_MAX];
    size_t count;
} memory;

static struct outcomes_of_rule *remembered(const unsigned char key[SHA256_BYTES])
{
    for (size_t i = 0; i < memory.count; i++) {
        if (memcmp(memory.keys[i], key, SHA256_BYTES) == 0)
            return memory.outcomes[i];
    }
    memcpy(memory.keys[memory.count], key, SHA256_BYTES);
    memory.outcomes[memory.count] = rule_outcomes_open((struct slice){ 0 });
    return memory.outcomes[memory.count++];
}

static const uint8_t *recall(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES])
{
    (void)context;
    return rule_outcomes_find(remembered(key), chunk_identity(c), chunk_rows(c) / 4 + 1);
}

static void keep(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES],
                 const uint8_t *bits, size_t bytes)
{
    (void)context;
    rule_outcomes_add(remembered(key), chunk_identity(c), bits, bytes);
}

static const struct backtest_memory calls = { recall, keep, NULL };

static void forget(void)
{
    for (size_t i = 0; i < memory.count; i++)
        rule_outcomes_close(memory.outcomes[i]);
    memory.count = 0;
}

Test(backtest, a_sample_is_told_by_ids_and_decides_as_the_whole_does)
{
    struct backtest_worker *worker;
    const struct backtest_result *r;
    uint64_t rows = 0, large = 0;
    struct brute b;

    w.options.one_in = 3;
    worker = run(0, CHUNKS, NULL);
    r = backtest_worker_result(worker);
    brute_open(&b, &ruleset);
    for (size_t i = 0; i < ROWS; i++) {
        struct policy_verdict v;

        brute_decide(&b, i, &v);
        if (chunk_id_hash(w.rows[i].txn.account, w.rows[i].txn.id) % 3 != 0)
            continue;
        rows++;
        for (size_t k = 0; k < v.fired_count; k++)
            large += slice_eq_str(v.fired[k].rule->id, "large");
    }
    brute_close(&b);
    cr_assert(rows > ROWS / 5 && rows < ROWS / 2);
    cr_assert_eq(r->rows, rows);
    cr_assert_eq(r->rules[rule_of(r, SLICE("large"))].hits, large);
    backtest_worker_free(worker);
}

Test(backtest, what_is_known_of_a_sample_is_not_asked_again_and_taken_for_no_other_sample)
{
    struct backtest_worker *plain, *first, *again, *other, *whole;
    size_t asked;

    w.options.one_in = 3;
    plain = run(0, CHUNKS, NULL);
    first = run(0, CHUNKS, &calls);
    again = run(0, CHUNKS, &calls);
    asked = backtest_worker_result(first)->newly_evaluated;
    cr_assert(same_figures(backtest_worker_result(plain), backtest_worker_result(first)));
    cr_assert(same_figures(backtest_worker_result(plain), backtest_worker_result(again)));
    cr_assert_lt(backtest_worker_result(again)->newly_evaluated, asked);
    w.options.one_in = 2;
    other = run(0, CHUNKS, &calls);
    cr_assert_eq(backtest_worker_result(other)->newly_evaluated, asked);
    backtest_worker_free(other);
    w.options.one_in = 0;
    whole = run(0, CHUNKS, &calls); /* and what is known of all holds for a sample */
    cr_assert_eq(backtest_worker_result(whole)->newly_evaluated, asked);
    backtest_worker_free(whole);
    forget();
    whole = run(0, CHUNKS, &calls);
    backtest_worker_free(whole);
    w.options.one_in = 3;
    other = run(0, CHUNKS, &calls);
    cr_assert(same_figures(backtest_worker_result(plain), backtest_worker_result(other)));
    cr_assert_lt(backtest_worker_result(other)->newly_evaluated, asked);
    backtest_worker_free(other);
    backtest_worker_free(plain);
    backtest_worker_free(first);
    backtest_worker_free(again);
    forget();
}

static bool is_worse(const struct backtest_example *a, const struct backtest_example *b)
{
    bool a_good = a->outcome == OUTCOME_GOOD, b_good = b->outcome == OUTCOME_GOOD;

    return a_good != b_good ? b_good : a->amount_base_minor < b->amount_base_minor;
}

Test(backtest, examples_are_the_good_payments_of_most_money_whoever_found_them)
{
    struct backtest_worker *all, *first, *second;
    const struct backtest_result *a, *b;
    size_t seen = 0;

    w.options.examples_most = 5;
    all = run(0, CHUNKS, NULL);
    first = run(0, CHUNKS / 2, NULL);
    second = run(CHUNKS / 2, CHUNKS, NULL);
    backtest_worker_add(first, second);
    a = backtest_worker_result(all);
    b = backtest_worker_result(first);
    for (size_t from = 0; from < ACTION_COUNT; from++) {
        for (size_t to = 0; to < ACTION_COUNT; to++) {
            cr_assert_eq(a->example_count[from][to], b->example_count[from][to]);
            for (size_t i = 0; i < a->example_count[from][to]; i++, seen++) {
                cr_assert_eq(a->examples[from][to][i].amount_base_minor,
                             b->examples[from][to][i].amount_base_minor);
                cr_assert(!i || !is_worse(&a->examples[from][to][i - 1], &a->examples[from][to][i]));
            }
        }
    }
    cr_assert(seen > 5);
    backtest_worker_free(all);
    backtest_worker_free(first);
    backtest_worker_free(second);
}

Test(backtest, of_a_rules_matches_the_newest_are_kept_by_what_became_of_them)
{
    struct backtest_worker *all, *first, *second;
    const struct backtest_rule *a, *b;
    uint64_t total = 0;

    w.options.matches_most = 4;
    w.options.matches_of = SLICE("large");
    all = run(0, CHUNKS, NULL);
    first = run(0, CHUNKS / 2, NULL);
    second = run(CHUNKS / 2, CHUNKS, NULL);
    backtest_worker_add(first, second);
    a = &backtest_worker_result(all)->rules[rule_of(backtest_worker_result(all), SLICE("large"))];
    b = &backtest_worker_result(first)->rules[rule_of(backtest_worker_result(first), SLICE("large"))];
    for (size_t o = 0; o < OUTCOME_COUNT; o++) {
        const struct backtest_matches *x = &a->matches[o], *y = &b->matches[o];

        cr_assert_eq(x->total, y->total);
        total += x->total;
        for (uint64_t k = 1; k <= x->total && k <= x->room; k++) {
            const struct backtest_example *e = &x->at[(x->total - k) % x->room];

            cr_assert_str_eq(e->id, y->at[(y->total - k) % y->room].id);
            cr_assert_eq(e->outcome, (enum backtest_outcome)o);
            cr_assert(k == 1 || e->known_at_us <= x->at[(x->total - k + 1) % x->room].known_at_us);
        }
    }
    cr_assert_eq(total, a->hits, "each hit is of one outcome");
    cr_assert_eq(backtest_worker_result(all)
                     ->rules[rule_of(backtest_worker_result(all), SLICE("busy"))]
                     .matches[OUTCOME_GOOD]
                     .room,
                 0);
    backtest_worker_free(all);
    backtest_worker_free(first);
    backtest_worker_free(second);
}

Test(backtest, what_rules_said_is_not_asked_again_and_a_changed_rule_is)
{
    struct policy_rule changed[RULES];
    struct ruleset set = ruleset;
    struct backtest_worker *cold = run(0, CHUNKS, &calls), *warm = run(0, CHUNKS, &calls), *other, *fresh;

    cr_assert_eq(backtest_worker_result(cold)->newly_known, 0);
    cr_assert_eq(backtest_worker_result(warm)->newly_evaluated, CHUNKS, "the one that asks a list");
    cr_assert(same_figures(backtest_worker_result(cold), backtest_worker_result(warm)));

    memcpy(changed, rules, sizeof rules);
    changed[0].expression = SLICE("tx.amount > 80000.0");
    changed[1].action = ACTION_DECLINE; /* not what it says, but what it does */
    set.rules = changed;
    w.options.asked.sets = &set;
    other = run(0, CHUNKS, &calls);
    fresh = run(0, CHUNKS, NULL);
    cr_assert_eq(backtest_worker_result(other)->newly_evaluated, 2 * CHUNKS);
    cr_assert(same_figures(backtest_worker_result(fresh), backtest_worker_result(other)));
    cr_assert(!same_figures(backtest_worker_result(cold), backtest_worker_result(other)));
    backtest_worker_free(cold);
    backtest_worker_free(warm);
    backtest_worker_free(other);
    backtest_worker_free(fresh);
    forget();
}

Test(backtest, a_part_of_a_chunk_is_not_taken_for_the_whole)
{
    struct backtest_worker *part, *whole, *fresh = run(0, CHUNKS, NULL);

    w.options.from_us = DAY_US;
    w.options.account = 2;
    part = run(0, CHUNKS, &calls);
    w.options.from_us = INT64_MIN;
    w.options.account = 0;
    whole = run(0, CHUNKS, &calls);
    cr_assert(same_figures(backtest_worker_result(fresh), backtest_worker_result(whole)));
    cr_assert(backtest_worker_result(part)->rows < backtest_worker_result(whole)->rows);
    backtest_worker_free(part);
    backtest_worker_free(whole);
    backtest_worker_free(fresh);
    forget();
}

Test(backtest, a_velocity_is_found_by_what_it_means)
{
    static const struct policy_rule burst[] = {
        RULE("burst", "count(card, \"10m\") > 4.0 && has_value(count(card, \"10m\"))", ACTION_REVIEW, 1),
        RULE("unseen", "!has_value(sum(amount, card, \"1h\"))", ACTION_REVIEW, 1),
    };
    struct ruleset set = { .version = SLICE("1"), .rules = burst, .count = 2 };
    struct policy *policy = policy_new();
    struct chunk_builder *b = chunk_builder_new();
    struct trial *trial;
    const struct slice *names;
    struct chunk_feature feature = { .name = "card_count" }; /* as the catalogue has it */
    struct backtest_worker *worker;
    struct buf bytes = { 0 };
    struct chunk *c;
    uint64_t wanted = 0;

    MUST(policy_add_ruleset(policy, &set, &why));
    trial = trial_new(policy, 0);
    cr_assert_eq(trial_vector(trial, &names), 2);
    memcpy(feature.identity, trial_velocity(trial, 0), SHA256_BYTES);
    for (size_t i = 0; i < 1000; i++) {
        float value = i % 7 ? (float)(i % 10) : NAN;

        MUST(chunk_builder_add(b, &w.rows[i], &feature, &value, 1, &why));
        wanted += value > 4;
    }
    chunk_builder_end(b, &bytes);
    MUST(chunk_open(&c, buf_slice(&bytes), &why));
    w.options.asked.sets = &set;
    MUST(backtest_worker_new(&worker, &w.options, 0, DAYS, NULL, &why));
    MUST(backtest_worker_take(worker, c, NULL, &why));
    cr_assert_eq(backtest_worker_result(worker)->rules[0].hits, wanted);
    cr_assert_eq(backtest_worker_result(worker)->rules[1].hits, 1000);
    cr_assert(backtest_worker_finds(worker, 0, c), "under its name in the catalogue");
    cr_assert_not(backtest_worker_finds(worker, 1, c));
    backtest_worker_free(worker);
    chunk_close(c);
    buf_release(&bytes);
    chunk_builder_free(b);
    trial_free(trial);
    policy_free(policy);
}

/* ---- lists that come and go ---- */

/* How often the only rule of a set fired, over the first chunk. */
static uint64_t hits_of(const char *when)
{
    struct policy_rule rule = { .id = SLICE("only"),
                                .name = SLICE("only"),
                                .expression = slice_str(when),
                                .action = ACTION_REVIEW,
                                .is_enabled = true };
    struct ruleset set = { .version = SLICE("1"), .rules = &rule, .count = 1 };
    struct backtest_worker *worker;
    uint64_t hits;

    w.options.asked.sets = &set;
    worker = run(0, 1, NULL);
    hits = backtest_worker_result(worker)->rules[0].hits;
    backtest_worker_free(worker);
    return hits;
}

/* The rows of the first chunk that were decided before `until_us`, with another card than `card`, of one account or of
 * all. */
static uint64_t rows_without(const char *card, uint32_t account, int64_t until_us)
{
    uint64_t count = 0;

    for (size_t i = 0; i < ROWS / CHUNKS; i++)
        count += w.rows[i].decided_at_us < until_us && (!account || w.rows[i].txn.account == account) &&
                 !slice_eq_str(w.rows[i].txn.text[TXN_card_id], card);
    return count;
}

Test(backtest, a_list_that_was_dropped_is_there_until_it_was_and_a_rule_on_it_errs_from_then_on)
{
    size_t gone = timeline_add_list(w.timeline, LIST_OF_STRINGS, 0, SLICE("gone"), LIST_NAMED, TXN_card_id);

    timeline_list_lives(w.timeline, gone, INT64_MIN, 2 * DAY_US);
    MUST(timeline_change(w.timeline, gone, INT64_MIN, SLICE("card7"), true, LIST_NO_EXPIRY, &why));
    timeline_seal(w.timeline);
    cr_assert_eq(hits_of("!in_list(tx.card_id, \"gone\")"), rows_without("card7", 0, 2 * DAY_US));

    /* A set that declares it would have made it anew. */
    timeline_declare(w.timeline, LIST_OF_STRINGS, 0, SLICE("gone"), LIST_NAMED, TXN_card_id);
    timeline_declare(w.timeline, LIST_OF_STRINGS, 0, SLICE("gone"), LIST_NAMED, TXN_card_id);
    cr_assert_eq(hits_of("!in_list(tx.card_id, \"gone\")"),
                 rows_without("card7", 0, 2 * DAY_US) + ROWS / CHUNKS - rows_without("", 0, 2 * DAY_US));
    timeline_undeclare(w.timeline);
    cr_assert_eq(hits_of("!in_list(tx.card_id, \"gone\")"), rows_without("card7", 0, 2 * DAY_US));
}

Test(backtest, a_declared_list_is_there_though_another_account_has_one_of_its_name)
{
    size_t own = timeline_add_list(w.timeline, LIST_OF_STRINGS, 2, SLICE("own"), LIST_NAMED, TXN_card_id);

    MUST(timeline_change(w.timeline, own, INT64_MIN, SLICE("card7"), true, LIST_NO_EXPIRY, &why));
    timeline_seal(w.timeline);
    cr_assert_eq(hits_of("!in_list(tx.card_id, \"own\")"), rows_without("card7", 2, INT64_MAX));
    timeline_declare(w.timeline, LIST_OF_STRINGS, 0, SLICE("own"), LIST_NAMED, TXN_card_id);
    cr_assert_eq(hits_of("!in_list(tx.card_id, \"own\")"),
                 rows_without("card7", 2, INT64_MAX) + rows_without("", 1, INT64_MAX));
}

Test(backtest, a_deny_list_that_is_made_within_a_chunk_acts_on_a_text_that_no_rule_reads)
{
    size_t later = timeline_add_list(w.timeline, LIST_OF_STRINGS, 0, SLICE("later"), LIST_DENY, TXN_channel);
    struct backtest_worker *worker;
    uint64_t declined = 0, wanted = 0;
    struct ruleset none = { .version = SLICE("1") };
    struct brute b;

    timeline_list_lives(w.timeline, later, DAY_US, INT64_MAX);
    MUST(timeline_change(w.timeline, later, DAY_US, SLICE("atm"), true, LIST_NO_EXPIRY, &why));
    timeline_seal(w.timeline);
    brute_open(&b, &none);
    for (size_t i = 0; i < ROWS / CHUNKS; i++) {
        struct policy_verdict v;

        brute_decide(&b, i, &v);
        wanted += v.action == ACTION_DECLINE ||
                  (w.rows[i].decided_at_us >= DAY_US && slice_eq_str(w.rows[i].txn.text[TXN_channel], "atm"));
    }
    w.options.asked.sets = &none;
    worker = run(0, 1, NULL);
    for (size_t a = 0; a < ACTION_COUNT; a++)
        declined += backtest_worker_result(worker)->change[a][ACTION_DECLINE].count;
    cr_assert_eq(declined, wanted);
    brute_close(&b);
    backtest_worker_free(worker);
}

/* ---- figures ---- */

Test(backtest, rates_are_of_mature_days_and_of_what_anybody_can_know)
{
    struct backtest_worker *worker = run(0, CHUNKS, NULL);
    const struct backtest_result *r = backtest_worker_result(worker);
    const struct backtest_rule *large = &r->rules[rule_of(r, SLICE("large"))];
    struct backtest_cell by_hand = { 0 }, all = backtest_all(r);
    struct backtest_figures f;
    uint64_t frauds = 0;

    for (size_t i = 0; i < ROWS; i++) {
        const struct chunk_row *row = &w.rows[i];

        if (row->txn.known_at_us >= (DAYS - 2) * DAY_US)
            continue;
        frauds += w.label[i] == LABEL_FRAUD;
        if (row->txn.amount_base_minor <= 90000)
            continue;
        by_hand.count++;
        if (w.label[i] == LABEL_FRAUD) {
            by_hand.fraud++;
            by_hand.fraud_money += row->txn.amount_base_minor;
        } else if (w.label[i] == LABEL_NONE && row->action == ACTION_DECLINE) {
            by_hand.unknown++;
        } else {
            by_hand.good++;
        }
    }
    cr_assert_eq(large->mature.count, by_hand.count);
    cr_assert_eq(large->mature.fraud, by_hand.fraud);
    cr_assert_eq(large->mature.good, by_hand.good);
    cr_assert_eq(large->mature.unknown, by_hand.unknown);
    cr_assert_eq(large->mature.fraud_money, by_hand.fraud_money);
    cr_assert_eq(all.fraud, frauds);
    cr_assert_eq(backtest_mature_days(r), DAYS - 2);
    f = backtest_figures(&large->mature, &all);
    cr_assert_float_eq(f.precision, (double)by_hand.fraud / (double)(by_hand.fraud + by_hand.good), 1e-12);
    cr_assert_float_eq(f.recall, (double)by_hand.fraud / (double)frauds, 1e-12);
    cr_assert(f.precision_interval.low < f.precision && f.precision < f.precision_interval.high);
    backtest_worker_free(worker);
}

/* ---- chunks ---- */

Test(backtest, a_chunk_gives_back_what_was_put_in)
{
    struct chunk_wants wants = { .id = true, .currency = true, .attributes = true };
    struct arena arena = { 0 };
    size_t i = 0;

    memset(wants.texts, true, sizeof wants.texts);
    for (size_t c = 0; c < CHUNKS; c++) {
        MUST(chunk_want(w.chunks[c], &wants, &why));
        for (size_t k = 0; k < chunk_rows(w.chunks[c]); k++, i++) {
            const struct chunk_row *in = &w.rows[i];
            struct chunk_row out;

            arena_reset(&arena);
            chunk_row(w.chunks[c], k, &arena, &out);
            cr_assert_eq(out.txn.amount_minor, in->txn.amount_minor);
            cr_assert_eq(out.txn.occurred_at_us, in->txn.occurred_at_us);
            cr_assert_eq(out.txn.attribute_count, in->txn.attribute_count);
            cr_assert_eq(out.has_score, in->has_score);
            cr_assert_eq(out.action, in->action);
            cr_assert_eq(out.thresholds.decline, in->thresholds.decline);
            cr_assert(slice_eq(out.txn.id, in->txn.id) && slice_eq(out.txn.currency, in->txn.currency));
            cr_assert(slice_eq(out.ruleset, in->ruleset) && slice_eq(out.degraded, in->degraded));
            for (size_t f = 0; f < TXN_TEXT_COUNT; f++)
                cr_assert(slice_eq(out.txn.text[f], in->txn.text[f]));
            if (in->txn.attribute_count == 2)
                cr_assert(slice_eq(out.txn.attributes[1].text, in->txn.attributes[1].text));
        }
    }
    cr_assert_eq(i, ROWS);
    arena_release(&arena);
}

/* Wants everything and reads every row. */
static enum err read_all(struct slice bytes)
{
    struct chunk_wants wants = { .id = true, .currency = true, .attributes = true };
    struct arena arena = { 0 };
    struct chunk *c;
    struct chunk_row row;
    enum err err = chunk_open(&c, bytes, &why);

    if (err)
        return err;
    memset(wants.texts, true, sizeof wants.texts);
    err = chunk_want(c, &wants, &why);
    for (size_t f = 0; f < chunk_feature_count(c) && !err; f++)
        err = chunk_want_feature(c, f, &why);
    for (size_t i = 0; i < chunk_rows(c) && !err; i++) {
        chunk_row(c, i, &arena, &row);
        arena_reset(&arena);
    }
    chunk_close(c);
    arena_release(&arena);
    return err;
}

Test(backtest, a_chunk_that_is_cut_or_changed_is_refused)
{
    struct slice whole = buf_slice(&w.bytes[0]);
    char *copy = mem_alloc(whole.len, 1);

    memcpy(copy, whole.ptr, whole.len);
    MUST(read_all(slice_of(copy, whole.len)));
    for (size_t len = 0; len < whole.len; len += 997)
        cr_assert_eq(read_all(slice_of(copy, len)), ERR_INVALID);
    for (size_t i = 0; i < 400; i++) {
        size_t at = below(whole.len);

        copy[at] ^= 1;
        if (read_all(slice_of(copy, whole.len)) == ERR_OK)
            cr_assert_eq(copy[at] ^ 1, 0, "only what pads a column may change unseen");
        copy[at] ^= 1;
    }
    mem_free(copy);
}

Test(backtest, the_strongest_and_newest_label_holds)
{
    struct labels *l = labels_new();

    cr_assert_eq(labels_find(l, 5), LABEL_NONE);
    labels_add(l, 5, LABEL_ISSUER, 10, true);
    labels_add(l, 5, LABEL_CUSTOMER, 20, false);
    cr_assert_eq(labels_find(l, 5), LABEL_FRAUD);
    labels_add(l, 5, LABEL_ISSUER, 11, false);
    labels_add(l, 5, LABEL_ISSUER, 9, true);
    cr_assert_eq(labels_find(l, 5), LABEL_GOOD);
    for (uint64_t i = 0; i < 5000; i++)
        labels_add(l, i * 1024, LABEL_ISSUER, 1, i % 2);
    cr_assert_eq(labels_find(l, 4999 * 1024), LABEL_FRAUD);
    cr_assert_eq(labels_find(l, 4998 * 1024), LABEL_GOOD);
    labels_free(l);
}
