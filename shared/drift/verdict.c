/* SPDX-License-Identifier: Apache-2.0
 * verdict.c - see verdict.h. */
#include "drift/verdict.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "stats/noise.h"

enum { CELLS_PER_OCTAVE = 4 };

const struct drift_settings drift_settings_default = {
    .alpha = 0.05,
    .js_least = 0.002,
    .missing_least = 0.01,
    .unseen_least = 0.005,
    .design_effect = 1,
    .rows_least = 50,
    .segment_rows_least = 200,
    .windows = 2,
};

/* Which subjects are tested together, and their part of alpha. */
enum family { FAMILY_FEATURES, FAMILY_WHOLE, FAMILY_SEGMENTS, FAMILY_COUNT };
static const double shares[FAMILY_COUNT] = { 0.5, 0.25, 0.25 };

static enum family family_of(const struct drift_subject *s)
{
    switch (s->kind) {
    case DRIFT_FEATURE:
        return FAMILY_FEATURES;
    case DRIFT_SEGMENT_SCORE:
    case DRIFT_SEGMENT_ACTION:
        return FAMILY_SEGMENTS;
    default:
        return FAMILY_WHOLE;
    }
}

static const char *const test_names[DRIFT_TEST_COUNT] = {
    [DRIFT_SHAPE] = "shape",
    [DRIFT_MISSING] = "missing",
    [DRIFT_UNSEEN] = "unseen",
};

const char *drift_test_name(enum drift_test test)
{
    return test_names[test];
}

enum err drift_settings_check(const struct drift_settings *s, struct why *why)
{
    if (!(s->alpha > 0 && s->alpha < 1))
        return err_set(why, ERR_INVALID, "alpha %g is not between 0 and 1", s->alpha);
    if (!(s->js_least >= 0 && s->js_least <= 1) || !(s->missing_least >= 0 && s->missing_least <= 1) ||
        !(s->unseen_least >= 0 && s->unseen_least <= 1))
        return err_set(why, ERR_INVALID, "a threshold is not from 0 to 1: js %g, missing %g, unseen %g",
                       s->js_least, s->missing_least, s->unseen_least);
    if (!(s->design_effect >= 1 && s->design_effect <= 1e6))
        return err_set(why, ERR_INVALID, "a design effect of %g; it is from 1 to 1e6", s->design_effect);
    if (s->windows < 1 || s->windows > UINT8_MAX)
        return err_set(why, ERR_INVALID, "%u windows; 1 to 255 are allowed", s->windows);
    if (s->rows_least < 1 || s->segment_rows_least < 1)
        return err_set(why, ERR_INVALID, "at least one decision is needed for a verdict");
    return ERR_OK;
}

/* ---- laws, kept by subject and rows ---- */

struct kept_law {
    size_t subject;
    int cell; /* of rows: CELLS_PER_OCTAVE * log2 */
    struct noise_law law;
};

struct drift_judge {
    struct drift_settings settings;
    const struct drift_window *reference;
    struct kept_law **laws; /* by subject, then in the order in which they were made */
    size_t count, room;
    size_t *first; /* [subjects] 1 + the newest law of a subject; 0: none */
    size_t *older; /* [count] the same for the next older one */
    size_t older_room;
};

struct drift_judge *drift_judge_new(const struct drift_window *reference,
                                    const struct drift_settings *settings)
{
    struct drift_judge *judge = mem_new(struct drift_judge);

    judge->settings = *settings;
    judge->reference = reference;
    judge->first = mem_new_n(size_t, drift_layout_subjects(reference->layout) + 1);
    return judge;
}

void drift_judge_free(struct drift_judge *judge)
{
    if (!judge)
        return;
    for (size_t i = 0; i < judge->count; i++)
        mem_free(judge->laws[i]);
    mem_free(judge->laws);
    mem_free(judge->first);
    mem_free(judge->older);
    mem_free(judge);
}

static int cell_of(double rows)
{
    return (int)floor(log2(rows) * CELLS_PER_OCTAVE + 0.5);
}

static const struct noise_law *kept(const struct drift_judge *judge, size_t subject, int cell)
{
    for (size_t at = judge->first[subject]; at; at = judge->older[at - 1]) {
        if (judge->laws[at - 1]->cell == cell)
            return &judge->laws[at - 1]->law;
    }
    return NULL;
}

/* Counts of a layout's bins without the effect of dependence: as many as independent rows would tell. */
static const struct noise_law *law_of(struct drift_judge *judge, size_t subject, double rows)
{
    const struct drift_subject *s = drift_layout_subject(judge->reference->layout, subject);
    int cell = cell_of(rows);
    const struct noise_law *law = kept(judge, subject, cell);
    uint64_t reference[NOISE_BINS_MAX];
    struct kept_law *made;

    if (law)
        return law;
    for (size_t i = 0; i < s->bins; i++)
        reference[i] =
            (uint64_t)((double)judge->reference->counts[s->offset + i] / judge->settings.design_effect);
    made = mem_new(struct kept_law);
    made->subject = subject;
    made->cell = cell;
    noise_law_init(&made->law, reference, s->bins, exp2((double)cell / CELLS_PER_OCTAVE));
    ARRAY_RESERVE_ONE(judge->laws, judge->count, judge->room);
    if (judge->older_room < judge->room)
        judge->older = mem_grow(judge->older, judge->older_room = judge->room, sizeof *judge->older);
    judge->older[judge->count] = judge->first[subject];
    judge->laws[judge->count++] = made;
    judge->first[subject] = judge->count;
    return &made->law;
}

/* ---- tests of one subject ---- */

static bool is_enough(const struct drift_judge *judge, const struct drift_subject *s, uint64_t reference_rows,
                      uint64_t rows)
{
    uint64_t least =
        family_of(s) == FAMILY_SEGMENTS ? judge->settings.segment_rows_least : judge->settings.rows_least;

    return rows >= least && reference_rows >= least &&
           (double)(rows < reference_rows ? rows : reference_rows) >= 2 * judge->settings.design_effect;
}

static void find_bin(struct drift_verdict *v, const uint64_t *reference, const uint64_t *now)
{
    double most = -1;

    for (size_t i = 0; i < v->subject->bins; i++) {
        double p = (double)reference[i] / (double)v->reference_rows, q = (double)now[i] / (double)v->rows,
               m = (p + q) / 2, part = 0;

        part += p > 0 ? p * log(p / m) : 0;
        part += q > 0 ? q * log(q / m) : 0;
        if (part > most) {
            most = part;
            v->bin = i;
            v->bin_reference = p;
            v->bin_now = q;
        }
    }
}

static void test_shape(struct drift_judge *judge, size_t subject, const uint64_t *reference,
                       const uint64_t *now, struct drift_verdict *v)
{
    double rows = (double)v->rows / judge->settings.design_effect;
    const struct noise_law *law = law_of(judge, subject, rows);
    double js = jensen_shannon(reference, now, v->subject->bins);

    v->psi = psi(reference, now, v->subject->bins);
    v->tests[DRIFT_SHAPE] = (struct drift_finding){
        .is_tested = true,
        .value = js,
        .threshold = judge->settings.js_least,
        .p = noise_p(law, NOISE_JS, js, rows),
    };
    find_bin(v, reference, now);
}

/* What a share's test sees of counts whose variance is `effect` times that of independent ones. */
struct share {
    uint64_t reference_x, reference_n, x, n;
};

static struct share share_of(const struct drift_verdict *v, uint64_t reference_x, uint64_t x, double effect)
{
    return (struct share){
        .reference_x = (uint64_t)((double)reference_x / effect),
        .reference_n = (uint64_t)((double)v->reference_rows / effect),
        .x = (uint64_t)((double)x / effect),
        .n = (uint64_t)((double)v->rows / effect),
    };
}

static double share_p(const struct share *s, bool is_two_sided)
{
    double upper = share_upper_p(s->reference_x, s->reference_n, s->x, s->n), lower;

    if (!is_two_sided)
        return upper;
    lower = share_lower_p(s->reference_x, s->reference_n, s->x, s->n);
    return fmin(1, 2 * fmin(upper, lower));
}

/* The least share above the reference's that has a p-value of `chance` at most. */
static double share_critical(struct share s, bool is_two_sided, double chance)
{
    uint64_t low = (uint64_t)((double)s.reference_x / (double)s.reference_n * (double)s.n), high = s.n;

    while (low < high) {
        s.x = low + (high - low) / 2;
        if (share_upper_p(s.reference_x, s.reference_n, s.x, s.n) * (is_two_sided ? 2 : 1) <= chance)
            high = s.x;
        else
            low = s.x + 1;
    }
    return (double)low / (double)s.n;
}

static void test_share(const struct drift_judge *judge, struct drift_verdict *v, enum drift_test test,
                       uint64_t reference_x, uint64_t x)
{
    struct share s = share_of(v, reference_x, x, judge->settings.design_effect);
    double least = test == DRIFT_MISSING ? judge->settings.missing_least : judge->settings.unseen_least;
    struct drift_finding *f = &v->tests[test];

    f->is_tested = true;
    f->value = (double)x / (double)v->rows;
    f->reference = (double)reference_x / (double)v->reference_rows;
    f->threshold = f->reference + least;
    f->p = share_p(&s, test == DRIFT_MISSING);
}

static void test_subject(struct drift_judge *judge, size_t subject, const struct drift_window *window,
                         struct drift_verdict *v)
{
    const struct drift_subject *s = drift_layout_subject(window->layout, subject);
    const uint64_t *reference = drift_window_counts(judge->reference, s),
                   *now = drift_window_counts(window, s);

    *v = (struct drift_verdict){
        .subject = s,
        .reference_rows = drift_window_rows(judge->reference, s),
        .rows = drift_window_rows(window, s),
        .psi = (double)NAN,
        .psi_critical = (double)NAN,
        .bin = DRIFT_NO_BIN,
    };
    for (size_t t = 0; t < DRIFT_TEST_COUNT; t++)
        v->tests[t] = (struct drift_finding){ false, NAN, NAN, NAN, NAN, NAN, false };
    if (!is_enough(judge, s, v->reference_rows, v->rows))
        return;
    test_shape(judge, subject, reference, now, v);
    v->tests[DRIFT_SHAPE].reference = 0;
    if (family_of(s) == FAMILY_SEGMENTS)
        return;
    if (s->missing_bin != DRIFT_NO_BIN)
        test_share(judge, v, DRIFT_MISSING, reference[s->missing_bin], now[s->missing_bin]);
    if (s->unseen_bin != DRIFT_NO_BIN)
        test_share(judge, v, DRIFT_UNSEEN, reference[s->unseen_bin], now[s->unseen_bin]);
}

/* ---- which to believe ---- */

static void set_critical(struct drift_judge *judge, size_t subject, struct drift_verdict *v, double cut)
{
    double effect = judge->settings.design_effect, rows = (double)v->rows / effect;
    const struct drift_subject *s = v->subject;
    const uint64_t *reference = drift_window_counts(judge->reference, s);
    const struct noise_law *law;

    if (!v->tests[DRIFT_SHAPE].is_tested)
        return;
    law = law_of(judge, subject, rows);
    v->tests[DRIFT_SHAPE].critical = noise_critical(law, NOISE_JS, cut, rows);
    v->psi_critical = noise_critical(law, NOISE_PSI, cut, rows);
    if (v->tests[DRIFT_MISSING].is_tested)
        v->tests[DRIFT_MISSING].critical =
            share_critical(share_of(v, reference[s->missing_bin], 0, effect), true, cut);
    if (v->tests[DRIFT_UNSEEN].is_tested)
        v->tests[DRIFT_UNSEEN].critical =
            share_critical(share_of(v, reference[s->unseen_bin], 0, effect), false, cut);
}

static bool matters(const struct drift_settings *s, enum drift_test test, const struct drift_finding *f)
{
    switch (test) {
    case DRIFT_SHAPE:
        return f->value >= s->js_least;
    case DRIFT_MISSING:
        return fabs(f->value - f->reference) >= s->missing_least;
    default:
        return f->value - f->reference >= s->unseen_least;
    }
}

static size_t believe(struct drift_judge *judge, enum family family, struct drift_verdict *verdicts,
                      size_t count, double *p)
{
    size_t tests = 0, beyond = 0;
    double cut;

    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; family_of(verdicts[i].subject) == family && t < DRIFT_TEST_COUNT; t++)
            p[tests++] = verdicts[i].tests[t].p;
    }
    cut = benjamini_hochberg(p, tests, judge->settings.alpha * shares[family]);
    for (size_t i = 0; i < count; i++) {
        if (family_of(verdicts[i].subject) != family)
            continue;
        set_critical(judge, i, &verdicts[i], cut);
        for (size_t t = 0; t < DRIFT_TEST_COUNT; t++) {
            struct drift_finding *f = &verdicts[i].tests[t];

            f->is_beyond = f->is_tested && f->p <= cut && matters(&judge->settings, (enum drift_test)t, f);
            beyond += f->is_beyond;
        }
    }
    return beyond;
}

size_t drift_judge_window(struct drift_judge *judge, const struct drift_window *window,
                          struct drift_verdict *out)
{
    size_t count = drift_layout_subjects(window->layout), beyond = 0;
    double *p = mem_new_n(double, count *DRIFT_TEST_COUNT);

    assert(drift_layout_id(window->layout) == drift_layout_id(judge->reference->layout));
    for (size_t i = 0; i < count; i++)
        test_subject(judge, i, window, &out[i]);
    for (size_t family = 0; family < FAMILY_COUNT; family++)
        beyond += believe(judge, (enum family)family, out, count, p);
    mem_free(p);
    return beyond;
}

bool drift_judge_prepare(struct drift_judge *judge, const struct drift_window *window)
{
    size_t made = judge->count;

    for (size_t i = 0; i < drift_layout_subjects(window->layout) && judge->count == made; i++) {
        const struct drift_subject *s = drift_layout_subject(window->layout, i);
        uint64_t rows = drift_window_rows(window, s);

        if (is_enough(judge, s, drift_window_rows(judge->reference, s), rows))
            law_of(judge, i, (double)rows / judge->settings.design_effect);
    }
    return judge->count > made;
}

void drift_explain(const struct drift_layout *layout, const struct drift_verdict *v, enum drift_test test,
                   struct buf *out)
{
    const struct drift_finding *f = &v->tests[test];
    const struct drift_subject *s = v->subject;
    char text[DRIFT_BIN_TEXT];

    switch (s->kind) {
    case DRIFT_SEGMENT_SCORE:
    case DRIFT_SEGMENT_ACTION:
        buf_printf(out, "%s of %s %.*s: ", s->kind == DRIFT_SEGMENT_SCORE ? "score" : "action",
                   drift_field_name(s->field), SLICE_ARG(s->name));
        break;
    default:
        buf_printf(out, "%.*s: ", SLICE_ARG(s->name));
    }
    if (test == DRIFT_SHAPE)
        buf_printf(out,
                   "%.3g %% of decisions are %s, %.3g %% in the reference (JS %.3g bits, noise floor %.3g)",
                   100 * v->bin_now, drift_bin_text(layout, s, v->bin, text), 100 * v->bin_reference,
                   f->value, f->critical);
    else
        buf_printf(out, "%.3g %% of decisions are %s, %.3g %% in the reference (noise floor %.3g %%)",
                   100 * f->value, test_names[test], 100 * f->reference, 100 * f->critical);
}
