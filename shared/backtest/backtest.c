/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest/backtest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"

/* Where the value of a feature comes from within a chunk. */
struct source {
    const float *values; /* of the overlay; else */
    size_t *places;      /* the chunk's columns of that name, of which a row has at most one */
    size_t count;
};

/* A rule set, ready to decide. */
struct set {
    struct policy *policy;
    struct trial *trial;
    const struct slice *features;
    size_t feature_count;
    bool *is_read; /* [feature_count] in this chunk */
    float *vector;
    struct source *sources;
    uint8_t *outcomes; /* [rules] */
    size_t *rules;     /* their places in the result; NULL: nobody counts them */
    const uint8_t **known;
    uint8_t **fresh;
};

struct side {
    const struct contender *contender;
    struct set *sets; /* [contender->count + 1]: the last is without rules */
    size_t count;
    bool has_memory;
};

struct backtest_worker {
    const struct backtest_options *options;
    const struct backtest_memory *memory;
    struct timeline_reader *lists;
    bool acted_on[TXN_TEXT_COUNT]; /* by lists, of which some may come within a chunk */
    struct side asked, compared;
    struct backtest_result result;
    size_t rule_cap;
    struct arena arena, row_arena;
    size_t *hits; /* [rules] of a row */
};

/* ---- making ---- */

static void set_release(struct set *s)
{
    size_t rules = s->trial ? trial_rule_count(s->trial) : 0;

    for (size_t i = 0; i < rules && s->fresh; i++)
        mem_free(s->fresh[i]);
    mem_free(s->fresh);
    mem_free(s->known);
    mem_free(s->rules);
    mem_free(s->outcomes);
    mem_free(s->vector);
    mem_free(s->is_read);
    mem_free(s->sources);
    trial_free(s->trial);
    policy_free(s->policy);
}

static enum err set_init(struct set *s, const struct ruleset *ruleset, const struct timeline_reader *lists,
                         struct why *why)
{
    struct ruleset common;
    size_t rules;
    enum err err = ERR_OK;

    s->policy = policy_new();
    if (ruleset) {
        common = *ruleset;
        common.account = 0; /* who it is for is told by the side */
        common.is_shadow = false;
        err = policy_add_ruleset(s->policy, &common, why);
    }
    if (err)
        return err_wrap(why, err, "rule set %.*s", SLICE_ARG(ruleset->version));
    timeline_give(lists, s->policy);
    s->trial = trial_new(s->policy, 0);
    s->feature_count = trial_vector(s->trial, &s->features);
    s->vector = mem_new_n(float, s->feature_count + 1);
    s->is_read = mem_new_n(bool, s->feature_count + 1);
    s->sources = mem_new_n(struct source, s->feature_count + 1);
    rules = trial_rule_count(s->trial);
    s->outcomes = mem_new_n(uint8_t, rules + 1);
    s->known = mem_new_n(const uint8_t *, rules + 1);
    s->fresh = mem_new_n(uint8_t *, rules + 1);
    return ERR_OK;
}

static enum err side_init(struct side *side, const struct contender *contender,
                          const struct timeline_reader *lists, struct why *why)
{
    enum err err = ERR_OK;

    side->contender = contender;
    if (contender->by == CONTENDER_DECIDED)
        return ERR_OK;
    side->sets = mem_new_n(struct set, contender->count + 1);
    for (; side->count < contender->count && !err; side->count++)
        err = set_init(&side->sets[side->count], &contender->sets[side->count], lists, why);
    if (!err)
        err = set_init(&side->sets[side->count++], NULL, lists, why);
    /* With one set for all, what a rule says of a chunk is known for all of its rows. */
    side->has_memory =
        contender->by == CONTENDER_BY_ACCOUNT && contender->count == 1 && contender->sets[0].account == 0;
    return err;
}

static void side_give_lists(struct side *side, const struct timeline_reader *lists)
{
    for (size_t i = 0; i < side->count; i++)
        timeline_give(lists, side->sets[i].policy);
}

static void side_release(struct side *side)
{
    for (size_t i = 0; i < side->count; i++)
        set_release(&side->sets[i]);
    mem_free(side->sets);
}

static void make_matches(const struct backtest_worker *w, struct backtest_rule *rule)
{
    const struct backtest_options *o = w->options;
    size_t room = o->matches_most < BACKTEST_MATCHES_MAX ? o->matches_most : BACKTEST_MATCHES_MAX;

    if (room == 0 || (o->matches_of.len && !slice_eq(o->matches_of, rule->rule->id)))
        return;
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        rule->matches[i].at = mem_new_n(struct backtest_example, room);
        rule->matches[i].room = room;
    }
}

static size_t rule_place(struct backtest_worker *w, const struct policy_rule *rule, bool acts)
{
    struct backtest_result *r = &w->result;

    for (size_t i = 0; i < r->rule_count; i++) {
        if (slice_eq(r->rules[i].rule->id, rule->id))
            return i;
    }
    ARRAY_RESERVE_ONE(r->rules, r->rule_count, w->rule_cap);
    r->rules[r->rule_count] = (struct backtest_rule){ .rule = rule, .acts = acts };
    r->rules[r->rule_count].by_day = mem_new_n(uint32_t, r->days + 1);
    make_matches(w, &r->rules[r->rule_count]);
    return r->rule_count++;
}

static void count_rules(struct backtest_worker *w)
{
    struct backtest_result *r = &w->result;

    for (size_t i = 0; i < w->asked.count; i++) {
        struct set *s = &w->asked.sets[i];
        size_t rules = trial_rule_count(s->trial);

        s->rules = mem_new_n(size_t, rules + 1);
        for (size_t k = 0; k < rules; k++)
            s->rules[k] = rule_place(w, trial_rule(s->trial, k), trial_rule_acts(s->trial, k));
    }
    w->hits = mem_new_n(size_t, r->rule_count + 1);
    if (r->rule_count <= BACKTEST_OVERLAP_MAX)
        r->overlap = mem_new_n(uint32_t, r->rule_count * r->rule_count + 1);
}

enum err backtest_worker_new(struct backtest_worker **out, const struct backtest_options *options,
                             int64_t first_day, size_t days, const struct backtest_memory *memory,
                             struct why *why)
{
    struct backtest_worker *w = mem_new(struct backtest_worker);
    enum err err;

    *out = NULL;
    w->options = options;
    w->memory = memory;
    w->result.first_day = first_day;
    w->result.days = days;
    if (days > BACKTEST_DAYS_MAX) {
        mem_free(w);
        return err_set(why, ERR_INVALID, "the span has %zu days, and at most %d are looked at", days,
                       BACKTEST_DAYS_MAX);
    }
    w->result.day = mem_new_n(struct backtest_day, days + 1);
    for (size_t i = 0; i < days; i++)
        w->result.day[i].is_mature =
            (first_day + (int64_t)i + 1) * DAY_US <= options->as_of_us - options->label_delay_us;
    w->lists = timeline_read(options->timeline);
    timeline_texts(options->timeline, w->acted_on);
    err = side_init(&w->asked, &options->asked, w->lists, why);
    if (!err)
        err = side_init(&w->compared, &options->compared, w->lists, why);
    if (err) {
        backtest_worker_free(w);
        return err;
    }
    count_rules(w);
    *out = w;
    return ERR_OK;
}

void backtest_worker_free(struct backtest_worker *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->result.rule_count; i++) {
        mem_free(w->result.rules[i].by_day);
        for (size_t k = 0; k < OUTCOME_COUNT; k++)
            mem_free(w->result.rules[i].matches[k].at);
    }
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        for (size_t k = 0; k < ACTION_COUNT; k++)
            mem_free(w->result.examples[i][k]);
    }
    side_release(&w->asked);
    side_release(&w->compared);
    timeline_reader_free(w->lists);
    mem_free(w->result.rules);
    mem_free(w->result.overlap);
    mem_free(w->result.day);
    mem_free(w->hits);
    arena_release(&w->arena);
    arena_release(&w->row_arena);
    mem_free(w);
}

/* ---- what a chunk has of what is asked for ---- */

static size_t overlay_find(const struct backtest_overlay *o, struct slice name)
{
    for (size_t i = 0; o && i < o->feature_count; i++) {
        if (slice_eq_str(name, o->features[i].name))
            return i;
    }
    return SIZE_MAX;
}

/* What a rule's condition says depends on, beside the chunk. */
struct key_maker {
    struct buf text;
    const struct backtest_overlay *overlay;
    const struct set *set;
};

static void add_feature_key(void *context, size_t place)
{
    struct key_maker *k = context;
    size_t i = overlay_find(k->overlay, k->set->features[place]);

    if (i != SIZE_MAX)
        buf_add(&k->text, k->overlay->features[i].identity, SHA256_BYTES);
    buf_add_char(&k->text, '\n');
}

static void rule_key(const struct backtest_worker *w, const struct set *s, size_t rule,
                     const struct backtest_overlay *overlay, bool is_sample, unsigned char key[SHA256_BYTES])
{
    struct key_maker maker = { .overlay = overlay, .set = s };

    buf_add_str(&maker.text, "velocities by identity\n"); /* what was kept before they were is not used */
    buf_add_slice(&maker.text, trial_rule(s->trial, rule)->expression);
    buf_add_char(&maker.text, '\n');
    if (overlay && overlay->scores && trial_rule_asks_score(s->trial, rule))
        buf_add_slice(&maker.text, w->options->scored_by);
    buf_add_char(&maker.text, '\n');
    trial_rule_features(s->trial, rule, add_feature_key, &maker);
    if (is_sample)
        buf_printf(&maker.text, "one in %" PRIu32, w->options->one_in);
    sha256(buf_slice(&maker.text), key);
    buf_release(&maker.text);
}

static void mark_read(void *context, size_t place)
{
    ((struct set *)context)->is_read[place] = true;
}

/* A velocity may be a feature of the catalogue, under its name there. */
static bool is_source(const struct set *s, size_t place, const struct chunk *c, size_t feature)
{
    const unsigned char *wanted = trial_velocity(s->trial, place), *identity;
    const char *name = chunk_feature_name(c, feature, &identity);

    return slice_eq_str(s->features[place], name) || (wanted && memcmp(wanted, identity, SHA256_BYTES) == 0);
}

static enum err find_sources(struct backtest_worker *w, struct set *s, struct chunk *c,
                             const struct backtest_overlay *overlay, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < s->feature_count && !err; i++) {
        struct source *source = &s->sources[i];
        size_t at = overlay_find(overlay, s->features[i]);

        *source = (struct source){ .values = at == SIZE_MAX ? NULL : overlay->values[at] };
        if (source->values || !s->is_read[i])
            continue;
        source->places = arena_new(&w->arena, size_t, chunk_feature_count(c) + 1);
        for (size_t k = 0; k < chunk_feature_count(c) && !err; k++) {
            if (!is_source(s, i, c, k))
                continue;
            source->places[source->count++] = k;
            err = chunk_want_feature(c, k, why);
        }
    }
    return err;
}

static void forget_fresh(struct set *s)
{
    for (size_t i = 0; i < trial_rule_count(s->trial); i++) {
        mem_free(s->fresh[i]);
        s->fresh[i] = NULL;
    }
}

static void recall(struct backtest_worker *w, struct side *side, struct set *s, const struct chunk *c,
                   const struct backtest_overlay *overlay, bool is_whole)
{
    unsigned char key[SHA256_BYTES];

    for (size_t i = 0; i < trial_rule_count(s->trial); i++) {
        bool can = w->memory && side->has_memory && !trial_rule_asks_lists(s->trial, i);

        s->known[i] = NULL;
        if (can) {
            rule_key(w, s, i, overlay, false, key);
            s->known[i] = w->memory->recall(w->memory->context, c, key);
        }
        if (can && !s->known[i] && w->options->one_in > 1) {
            rule_key(w, s, i, overlay, true, key);
            s->known[i] = w->memory->recall(w->memory->context, c, key);
        }
        trial_know(s->trial, i, s->known[i] != NULL);
        w->result.newly_known += s->known[i] != NULL;
        w->result.newly_evaluated += s->known[i] == NULL;
        if (can && w->memory->keep && !s->known[i] && is_whole)
            s->fresh[i] = mem_new_n(uint8_t, chunk_rows(c) / 4 + 1);
    }
}

static enum err set_begin(struct backtest_worker *w, struct side *side, struct set *s, struct chunk *c,
                          const struct backtest_overlay *overlay, bool is_whole, struct why *why)
{
    struct chunk_wants wants = { .id = true };
    struct trial_needs needs;
    enum err err;

    recall(w, side, s, c, overlay, is_whole);
    memset(s->is_read, 0, s->feature_count);
    for (size_t i = 0; i < trial_rule_count(s->trial); i++) {
        if (!s->known[i])
            trial_rule_features(s->trial, i, mark_read, s);
    }
    needs = trial_needs(s->trial);
    wants.currency = needs.currency;
    wants.attributes = needs.attributes;
    for (size_t i = 0; i < TXN_TEXT_COUNT; i++)
        wants.texts[i] = needs.texts[i] || w->acted_on[i];
    err = find_sources(w, s, c, overlay, why);
    return err ? err : chunk_want(c, &wants, why);
}

static enum err side_begin(struct backtest_worker *w, struct side *side, struct chunk *c,
                           const struct backtest_overlay *overlay, bool is_whole, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < side->count && !err; i++)
        err = set_begin(w, side, &side->sets[i], c, overlay, is_whole, why);
    return err;
}

static void side_end(struct backtest_worker *w, struct side *side, const struct chunk *c,
                     const struct backtest_overlay *overlay, bool is_kept)
{
    unsigned char key[SHA256_BYTES];

    for (size_t k = 0; k < side->count; k++) {
        struct set *s = &side->sets[k];

        for (size_t i = 0; is_kept && i < trial_rule_count(s->trial); i++) {
            if (!s->fresh[i])
                continue;
            rule_key(w, s, i, overlay, w->options->one_in > 1, key);
            w->memory->keep(w->memory->context, c, key, s->fresh[i], chunk_rows(c) / 4 + 1);
        }
        forget_fresh(s);
    }
}

/* ---- one decision ---- */

static struct set *set_for(const struct side *side, const struct chunk_row *row)
{
    const struct contender *contender = side->contender;
    struct set *common = &side->sets[contender->count];

    for (size_t i = 0; i < contender->count; i++) {
        const struct ruleset *set = &contender->sets[i];

        if (contender->by == CONTENDER_BY_VERSION && slice_eq(set->version, row->ruleset))
            return &side->sets[i];
        if (contender->by == CONTENDER_BY_ACCOUNT && set->account == row->txn.account)
            return &side->sets[i];
        if (contender->by == CONTENDER_BY_ACCOUNT && set->account == 0)
            common = &side->sets[i];
    }
    if (contender->by == CONTENDER_BY_VERSION && !slice_eq_str(row->ruleset, "none"))
        return NULL;
    return common;
}

static float feature_at(const struct source *source, const struct chunk *c, size_t i)
{
    if (source->values)
        return source->values[i];
    for (size_t k = 0; k < source->count; k++) {
        float value = chunk_feature_value(c, source->places[k], i);

        if (!isnan(value))
            return value;
    }
    return NAN;
}

static void fill(struct set *s, const struct chunk *c, size_t i, struct policy_input *in)
{
    for (size_t k = 0; k < s->feature_count; k++) {
        if (s->is_read[k])
            s->vector[k] = feature_at(&s->sources[k], c, i);
    }
    for (size_t k = 0; k < trial_rule_count(s->trial); k++) {
        if (s->known[k])
            s->outcomes[k] = s->known[k][i / 4] >> (2 * (i % 4)) & 3;
    }
    in->vector = s->vector;
    in->vector_count = s->feature_count;
    in->columns = trial_columns(s->trial);
}

static void remember(struct set *s, size_t i)
{
    for (size_t k = 0; k < trial_rule_count(s->trial); k++) {
        if (s->fresh[k])
            s->fresh[k][i / 4] |= (uint8_t)(s->outcomes[k] << (2 * (i % 4)));
    }
}

/* The set that decided; NULL: it stands as it was decided. */
static struct set *decide(struct side *side, const struct chunk *c, size_t i, const struct chunk_row *row,
                          const struct backtest_overlay *overlay, struct trial_verdict *out)
{
    struct set *s = side->count ? set_for(side, row) : NULL;
    struct policy_input in = { .txn = &row->txn,
                               .now_us = row->txn.known_at_us,
                               .has_score = row->has_score,
                               .score = row->score,
                               .thresholds = row->thresholds };

    *out = (struct trial_verdict){ .action = row->action, .decider = row->decider, .rule = SIZE_MAX };
    if (!s)
        return NULL;
    in.degraded_count = chunk_degraded(c, i, &in.degraded);
    if (overlay && overlay->scores) {
        in.has_score = !isnan(overlay->scores[i]);
        in.score = overlay->scores[i];
        in.thresholds = overlay->thresholds;
    }
    fill(s, c, i, &in);
    trial_decide(s->trial, &in, s->outcomes, out);
    remember(s, i);
    return s;
}

/* ---- counting ---- */

static void cell_add(struct backtest_cell *cell, int64_t money, enum label_state state, bool is_unknown)
{
    cell->count++;
    cell->money += money;
    if (is_unknown) {
        cell->unknown++;
    } else if (state == LABEL_FRAUD) {
        cell->fraud++;
        cell->fraud_money += money;
    } else {
        cell->good++;
        cell->good_money += money;
    }
}

/* One row with all that is counted of it. */
struct counted {
    const struct chunk_row *row;
    enum label_state state;
    bool is_unknown, is_mature;
    size_t day;
    enum action asked, compared;
    size_t rule; /* of the result */
};

static void text_into(char *out, size_t room, struct slice text)
{
    size_t len = text.len < room - 1 ? text.len : room - 1;

    if (len)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static enum backtest_outcome outcome_of(const struct counted *n)
{
    if (n->state == LABEL_FRAUD)
        return OUTCOME_FRAUD;
    if (n->state == LABEL_GOOD)
        return OUTCOME_GOOD;
    return n->is_unknown || !n->is_mature ? OUTCOME_UNKNOWN : OUTCOME_GOOD;
}

static void example_of(const struct counted *n, struct backtest_example *e)
{
    *e = (struct backtest_example){ .account = n->row->txn.account,
                                    .known_at_us = n->row->txn.known_at_us,
                                    .amount_base_minor = n->row->txn.amount_base_minor,
                                    .label = n->state,
                                    .outcome = outcome_of(n),
                                    .from = n->compared,
                                    .to = n->asked,
                                    .rule = n->rule };
    text_into(e->id, sizeof e->id, n->row->txn.id);
    text_into(e->degraded, sizeof e->degraded, n->row->degraded);
    text_into(e->ruleset, sizeof e->ruleset, n->row->ruleset);
}

static struct backtest_example *next_match(struct backtest_matches *m)
{
    return &m->at[m->total++ % m->room];
}

static void add_match(struct backtest_rule *rule, const struct counted *n)
{
    struct backtest_matches *m = &rule->matches[outcome_of(n)];

    if (m->room)
        example_of(n, next_match(m));
}

static void count_rows_rules(struct backtest_worker *w, const struct set *s, const struct counted *n)
{
    struct backtest_result *r = &w->result;
    size_t hits = 0, acting = 0, only = 0;

    for (size_t i = 0; i < trial_rule_count(s->trial); i++) {
        struct backtest_rule *rule = &r->rules[s->rules[i]];

        if (s->outcomes[i] == TRIAL_QUIET)
            continue;
        if (s->outcomes[i] == TRIAL_ERRS) {
            rule->errs++;
            continue;
        }
        rule->hits++;
        rule->by_day[n->day]++;
        if (n->is_mature)
            cell_add(&rule->mature, n->row->txn.amount_base_minor, n->state, n->is_unknown);
        add_match(rule, n);
        w->hits[hits++] = s->rules[i];
        if (rule->acts) {
            acting++;
            only = s->rules[i];
        }
    }
    if (acting == 1 && n->is_mature)
        cell_add(&r->rules[only].alone, n->row->txn.amount_base_minor, n->state, n->is_unknown);
    for (size_t i = 0; i < hits && r->overlap; i++) {
        for (size_t k = 0; k < hits; k++)
            r->overlap[w->hits[i] * r->rule_count + w->hits[k]]++;
    }
}

/* Good payments first, then those of most money, then the earliest. */
static bool comes_before(const struct backtest_example *a, const struct backtest_example *b)
{
    bool a_good = a->outcome == OUTCOME_GOOD, b_good = b->outcome == OUTCOME_GOOD;

    if (a_good != b_good)
        return a_good;
    if (a->amount_base_minor != b->amount_base_minor)
        return a->amount_base_minor > b->amount_base_minor;
    return a->known_at_us < b->known_at_us;
}

static void add_example(struct backtest_worker *w, const struct backtest_example *e)
{
    struct backtest_result *r = &w->result;
    struct backtest_example **examples = &r->examples[e->from][e->to];
    size_t *count = &r->example_count[e->from][e->to];
    size_t most =
        w->options->examples_most < BACKTEST_EXAMPLES_MAX ? w->options->examples_most : BACKTEST_EXAMPLES_MAX;
    size_t i = *count;

    if (most == 0 || (i == most && !comes_before(e, &(*examples)[most - 1])))
        return;
    if (!*examples)
        *examples = mem_new_n(struct backtest_example, most);
    if (i < most)
        ++*count;
    else
        i--;
    for (; i > 0 && comes_before(e, &(*examples)[i - 1]); i--)
        (*examples)[i] = (*examples)[i - 1];
    (*examples)[i] = *e;
}

static void count_change(struct backtest_worker *w, const struct counted *n)
{
    struct backtest_example e;

    cell_add(&w->result.change[n->compared][n->asked], n->row->txn.amount_base_minor, n->state,
             n->is_unknown || (!n->is_mature && n->state == LABEL_NONE));
    if (n->compared == n->asked || w->options->examples_most == 0)
        return;
    example_of(n, &e);
    add_example(w, &e);
}

static void count_row(struct backtest_worker *w, const struct counted *n)
{
    struct backtest_day *day = &w->result.day[n->day];
    int64_t money = n->row->txn.amount_base_minor;
    bool is_unknown = n->is_unknown || (!n->is_mature && n->state == LABEL_NONE);

    w->result.rows++;
    day->count++;
    cell_add(&day->asked[n->asked], money, n->state, is_unknown);
    cell_add(&day->compared[n->compared], money, n->state, is_unknown);
    count_change(w, n);
}

static int64_t day_of(int64_t at_us)
{
    return at_us / DAY_US - (at_us % DAY_US < 0);
}

static bool is_in(const struct backtest_worker *w, const struct chunk *c, size_t i)
{
    const struct backtest_options *o = w->options;
    int64_t at_us = chunk_known_at(c, i), day = day_of(at_us) - w->result.first_day;

    return at_us >= o->from_us && at_us < o->to_us && (!o->account || o->account == chunk_account(c, i)) &&
           day >= 0 && (size_t)day < w->result.days;
}

/* Which rows fall to a sample is told by their ids, so it is the same whatever is asked. */
static bool is_sampled(const struct backtest_worker *w, const struct chunk *c, size_t i)
{
    uint32_t one_in = w->options->one_in;

    return one_in <= 1 || chunk_row_id_hash(c, i) % one_in == 0;
}

static void take_row(struct backtest_worker *w, const struct chunk *c, size_t i,
                     const struct backtest_overlay *overlay)
{
    struct trial_verdict asked, compared;
    struct counted n = { .rule = SIZE_MAX };
    struct chunk_row row;
    const struct set *s;

    if (!is_in(w, c, i) || !is_sampled(w, c, i))
        return;
    arena_reset(&w->row_arena);
    chunk_row(c, i, &w->row_arena, &row);
    if (timeline_move(w->lists, row.decided_at_us)) {
        side_give_lists(&w->compared, w->lists);
        side_give_lists(&w->asked, w->lists);
    }
    decide(&w->compared, c, i, &row, NULL, &compared);
    s = decide(&w->asked, c, i, &row, overlay, &asked);
    n.row = &row;
    n.day = (size_t)(day_of(row.txn.known_at_us) - w->result.first_day);
    n.is_mature = w->result.day[n.day].is_mature;
    n.state = labels_find(w->options->labels, chunk_row_id_hash(c, i));
    n.is_unknown = n.state == LABEL_NONE && row.action == ACTION_DECLINE && !row.is_let_through;
    n.asked = asked.action;
    n.compared = compared.action;
    if (s) {
        n.rule = asked.rule == SIZE_MAX ? SIZE_MAX : s->rules[asked.rule];
        if (n.rule != SIZE_MAX)
            w->result.rules[n.rule].decides++;
        count_rows_rules(w, s, &n);
    } else {
        w->result.unversioned += w->asked.count > 0;
    }
    count_row(w, &n);
}

size_t backtest_worker_rows(const struct backtest_worker *w, const struct chunk *c)
{
    size_t inside = 0;

    for (size_t i = 0; i < chunk_rows(c); i++)
        inside += is_in(w, c, i);
    return inside;
}

enum err backtest_worker_take(struct backtest_worker *w, struct chunk *c,
                              const struct backtest_overlay *overlay, struct why *why)
{
    size_t inside = backtest_worker_rows(w, c);
    bool is_whole;
    enum err err;

    if (inside == 0)
        return ERR_OK;
    is_whole = inside == chunk_rows(c);
    arena_reset(&w->arena);
    err = side_begin(w, &w->asked, c, overlay, is_whole, why);
    if (!err)
        err = side_begin(w, &w->compared, c, NULL, is_whole, why);
    for (size_t i = 0; i < chunk_rows(c) && !err; i++)
        take_row(w, c, i, overlay);
    side_end(w, &w->asked, c, overlay, !err);
    side_end(w, &w->compared, c, NULL, !err);
    return err;
}

size_t backtest_worker_features(const struct backtest_worker *w, const struct slice **names)
{
    *names = w->asked.count ? w->asked.sets[0].features : NULL;
    return w->asked.count ? w->asked.sets[0].feature_count : 0;
}

bool backtest_worker_finds(const struct backtest_worker *w, size_t place, const struct chunk *c)
{
    for (size_t i = 0; i < chunk_feature_count(c); i++) {
        if (is_source(&w->asked.sets[0], place, c, i))
            return true;
    }
    return false;
}

struct slice backtest_worker_feature_text(const struct backtest_worker *w, size_t place)
{
    return trial_vector_text(w->asked.sets[0].trial, place);
}

/* ---- adding up ---- */

static void cell_merge(struct backtest_cell *to, const struct backtest_cell *from)
{
    to->count += from->count;
    to->fraud += from->fraud;
    to->good += from->good;
    to->unknown += from->unknown;
    to->money += from->money;
    to->fraud_money += from->fraud_money;
    to->good_money += from->good_money;
}

/* `from`'s came later. */
static void matches_merge(struct backtest_matches *to, const struct backtest_matches *from)
{
    size_t kept = from->total < from->room ? (size_t)from->total : from->room;

    to->total += from->total - kept;
    for (size_t i = 0; i < kept; i++)
        *next_match(to) = from->at[(from->total - kept + i) % from->room];
}

static void rule_merge(struct backtest_rule *to, const struct backtest_rule *from, size_t days)
{
    to->hits += from->hits;
    to->decides += from->decides;
    to->errs += from->errs;
    cell_merge(&to->mature, &from->mature);
    cell_merge(&to->alone, &from->alone);
    for (size_t i = 0; i < days; i++)
        to->by_day[i] += from->by_day[i];
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        matches_merge(&to->matches[i], &from->matches[i]);
}

void backtest_worker_add(struct backtest_worker *w, const struct backtest_worker *other)
{
    struct backtest_result *to = &w->result;
    const struct backtest_result *from = &other->result;

    to->rows += from->rows;
    to->unversioned += from->unversioned;
    to->newly_known += from->newly_known;
    to->newly_evaluated += from->newly_evaluated;
    for (size_t i = 0; i < to->rule_count; i++)
        rule_merge(&to->rules[i], &from->rules[i], to->days);
    for (size_t i = 0; to->overlap && i < to->rule_count * to->rule_count; i++)
        to->overlap[i] += from->overlap[i];
    for (size_t i = 0; i < to->days; i++) {
        to->day[i].count += from->day[i].count;
        for (size_t a = 0; a < ACTION_COUNT; a++) {
            cell_merge(&to->day[i].asked[a], &from->day[i].asked[a]);
            cell_merge(&to->day[i].compared[a], &from->day[i].compared[a]);
        }
    }
    for (size_t a = 0; a < ACTION_COUNT; a++) {
        for (size_t b = 0; b < ACTION_COUNT; b++) {
            cell_merge(&to->change[a][b], &from->change[a][b]);
            for (size_t i = 0; i < from->example_count[a][b]; i++)
                add_example(w, &from->examples[a][b][i]);
        }
    }
}

const struct backtest_result *backtest_worker_result(const struct backtest_worker *w)
{
    return &w->result;
}
