/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/controller.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"

static struct lifecycle_settings settings;
static struct lifecycle_facts facts;

static void setup(void)
{
    settings = LIFECYCLE_SETTINGS_DEFAULT;
    facts = (struct lifecycle_facts){
        .now_us = 100 * DAY_US, .schedule_at_us = INT64_MAX, .look_at_us = INT64_MAX, .has_champion = true
    };
}

TestSuite(controller, .init = setup);

static enum lifecycle_step next(void)
{
    return lifecycle_next(&settings, &facts).step;
}

static enum lifecycle_step after(enum candidate state, enum outcome verdict)
{
    facts.candidate = state;
    facts.has_verdict = true;
    facts.verdict = verdict;
    return next();
}

Test(controller, a_good_candidate_goes_from_the_schedule_to_the_champion)
{
    static const struct {
        enum candidate state;
        bool has_verdict;
        enum lifecycle_step step;
    } way[] = {
        { CANDIDATE_REGISTERED, false, STEP_GATE },
        { CANDIDATE_REGISTERED, true, STEP_VALIDATE },
        { CANDIDATE_VALIDATED, false, STEP_BEGIN_SHADOW },
        { CANDIDATE_SHADOW, false, STEP_LOOK_SHADOW },
        { CANDIDATE_SHADOW, true, STEP_BEGIN_AB },
        { CANDIDATE_AB, false, STEP_LOOK_AB },
        { CANDIDATE_AB, true, STEP_PROMOTE },
        { CANDIDATE_NONE, false, STEP_NOTHING },
    };

    cr_assert_eq(next(), STEP_NOTHING);
    facts.schedule_at_us = facts.now_us;
    cr_assert_eq(next(), STEP_TRAIN);
    facts.is_run_active = true;
    cr_assert_eq(next(), STEP_NOTHING);
    facts.is_run_active = false;
    facts.schedule_at_us = facts.now_us + DAY_US;
    facts.look_at_us = facts.now_us;
    facts.verdict = OUTCOME_PASS;
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        facts.candidate = way[i].state;
        facts.has_verdict = way[i].has_verdict;
        cr_assert_eq(next(), way[i].step, "%s: %s", candidate_name(way[i].state),
                     lifecycle_step_name(next()));
    }
}

Test(controller, what_fails_is_rejected_at_every_stage)
{
    cr_assert_eq(after(CANDIDATE_REGISTERED, OUTCOME_FAIL), STEP_REJECT);
    cr_assert_eq(after(CANDIDATE_SHADOW, OUTCOME_FAIL), STEP_REJECT);
    cr_assert_eq(after(CANDIDATE_AB, OUTCOME_FAIL), STEP_REJECT);
}

Test(controller, what_is_inconclusive_waits_for_a_person)
{
    cr_assert_eq(after(CANDIDATE_AB, OUTCOME_INCONCLUSIVE), STEP_WAIT);
    facts.person = PERSON_PROMOTES;
    cr_assert_eq(next(), STEP_PROMOTE);
    facts.person = PERSON_REJECTS;
    cr_assert_eq(next(), STEP_REJECT);
    facts.candidate = CANDIDATE_SHADOW;
    facts.person = PERSON_GOES_ON;
    cr_assert_eq(next(), STEP_BEGIN_AB);
}

Test(controller, settings_say_what_is_done_in_doubt)
{
    settings.shadow_unsure = UNSURE_GO_ON;
    cr_assert_eq(after(CANDIDATE_SHADOW, OUTCOME_INCONCLUSIVE), STEP_BEGIN_AB);
    settings.shadow_unsure = UNSURE_REJECT;
    cr_assert_eq(next(), STEP_REJECT);
    settings.gates_unsure = UNSURE_GO_ON;
    cr_assert_eq(after(CANDIDATE_REGISTERED, OUTCOME_INCONCLUSIVE), STEP_VALIDATE);
    settings.ab_unsure = UNSURE_GO_ON;
    cr_assert_eq(after(CANDIDATE_AB, OUTCOME_INCONCLUSIVE), STEP_PROMOTE);
}

Test(controller, a_candidate_that_nobody_decides_about_is_rejected_in_time)
{
    struct lifecycle_next n;

    settings.wait_most_us = 14 * DAY_US;
    facts.candidate_since_us = facts.now_us - 13 * DAY_US;
    cr_assert_eq(after(CANDIDATE_AB, OUTCOME_INCONCLUSIVE), STEP_WAIT);
    n = lifecycle_next(&settings, &facts);
    cr_assert_eq(n.at_us, facts.now_us + DAY_US);
    facts.now_us = n.at_us;
    cr_assert_eq(next(), STEP_REJECT);
}

Test(controller, a_broken_guardrail_ends_the_experiment)
{
    facts.candidate = CANDIDATE_AB;
    facts.is_arm_broken = true;
    facts.look_at_us = facts.now_us;
    cr_assert_eq(next(), STEP_REJECT);
}

Test(controller, a_guardrail_that_breaks_after_a_promotion_rolls_back_while_it_is_watched)
{
    facts.has_previous = facts.is_watch_broken = true;
    facts.promoted_at_us = facts.now_us - DAY_US;
    for (int state = 0; state < CANDIDATE_COUNT; state++) {
        facts.candidate = (enum candidate)state;
        cr_assert_eq(next(), STEP_ROLL_BACK, "whatever else goes on");
    }
    facts.candidate = CANDIDATE_NONE;
    facts.promoted_at_us = facts.now_us - settings.watch_us;
    cr_assert_eq(next(), STEP_NOTHING, "the watch is over");
    facts.promoted_at_us = facts.now_us;
    facts.has_previous = false;
    cr_assert_eq(next(), STEP_NOTHING, "there is nothing to go back to");
    facts.has_previous = true;
    settings.rolls_back = false;
    cr_assert_eq(next(), STEP_NOTHING);
}

Test(controller, the_first_model_goes_live_on_its_gates)
{
    facts.has_champion = false;
    facts.candidate = CANDIDATE_VALIDATED;
    cr_assert_eq(next(), STEP_PROMOTE);
    settings.promotes_first = false;
    cr_assert_eq(next(), STEP_WAIT);
    facts.person = PERSON_PROMOTES;
    cr_assert_eq(next(), STEP_PROMOTE);
}

Test(controller, stages_that_are_switched_off_are_passed_over)
{
    settings.has_shadow = false;
    facts.candidate = CANDIDATE_VALIDATED;
    cr_assert_eq(next(), STEP_BEGIN_AB);
    settings.has_ab = false;
    cr_assert_eq(next(), STEP_PROMOTE);
    settings.is_automatic = false;
    cr_assert_eq(next(), STEP_WAIT);
    cr_assert_eq(after(CANDIDATE_SHADOW, OUTCOME_PASS), STEP_WAIT);
}

Test(controller, the_schedule_waits_for_the_candidate_unless_told_otherwise)
{
    facts.candidate = CANDIDATE_SHADOW;
    facts.schedule_at_us = facts.now_us - 1;
    cr_assert_eq(next(), STEP_NOTHING);
    settings.trains_beside = true;
    cr_assert_eq(next(), STEP_TRAIN);
    settings.trains_beside = false;
    facts.is_run_asked = true;
    cr_assert_eq(next(), STEP_TRAIN, "what a person asks for does not wait");
}

Test(controller, says_when_to_ask_again)
{
    struct lifecycle_next n;

    facts.schedule_at_us = facts.now_us + 3 * DAY_US;
    n = lifecycle_next(&settings, &facts);
    cr_assert_eq(n.step, STEP_NOTHING);
    cr_assert_eq(n.at_us, facts.schedule_at_us);
    facts.candidate = CANDIDATE_SHADOW;
    facts.look_at_us = facts.now_us + DAY_US;
    n = lifecycle_next(&settings, &facts);
    cr_assert_eq(n.step, STEP_NOTHING);
    cr_assert_eq(n.at_us, facts.look_at_us);
}

/* Every combination of facts and settings, and what must never be said whatever they are. */
Test(controller, no_combination_of_facts_breaks_a_promise)
{
    enum { BITS = 14 };

    for (int state = 0; state < CANDIDATE_COUNT; state++)
        for (int verdict = 0; verdict < OUTCOME_COUNT; verdict++)
            for (int person = PERSON_SILENT; person <= PERSON_REJECTS; person++)
                for (unsigned bits = 0; bits < 1U << BITS; bits++) {
                    bool is_candidate = state > CANDIDATE_NONE;
                    bool is_tried = is_candidate && state != CANDIDATE_VALIDATED;
                    struct lifecycle_next n;

                    setup();
                    settings.is_automatic = bits & 1;
                    settings.has_shadow = bits >> 1 & 1;
                    settings.has_ab = bits >> 2 & 1;
                    settings.promotes_first = bits >> 3 & 1;
                    settings.rolls_back = bits >> 4 & 1;
                    settings.trains_beside = bits >> 5 & 1;
                    facts.is_run_asked = bits >> 6 & 1;
                    facts.is_run_active = bits >> 7 & 1;
                    facts.schedule_at_us = facts.now_us + (bits >> 8 & 1 ? 0 : DAY_US);
                    facts.has_champion = bits >> 9 & 1;
                    facts.has_previous = facts.has_champion && (bits >> 10 & 1);
                    facts.promoted_at_us = facts.has_champion ? facts.now_us - DAY_US : 0;
                    facts.is_watch_broken = bits >> 10 & 1;
                    facts.is_arm_broken = bits >> 11 & 1;
                    facts.has_verdict = bits >> 12 & 1;
                    facts.look_at_us = facts.now_us + (bits >> 13 & 1 ? 0 : DAY_US);
                    facts.candidate = (enum candidate)state;
                    facts.verdict = (enum outcome)verdict;
                    facts.person = (enum person)person;
                    n = lifecycle_next(&settings, &facts);

                    cr_assert(n.step < STEP_COUNT && n.reason);
                    cr_assert(n.at_us > facts.now_us);
                    if (n.step == STEP_TRAIN)
                        cr_assert(!facts.is_run_active, "one run at a time");
                    if (n.step == STEP_ROLL_BACK)
                        cr_assert(facts.has_previous && settings.rolls_back);
                    if (n.step == STEP_BEGIN_SHADOW || n.step == STEP_BEGIN_AB ||
                        n.step == STEP_LOOK_SHADOW || n.step == STEP_LOOK_AB || n.step == STEP_GATE ||
                        n.step == STEP_VALIDATE || n.step == STEP_REJECT)
                        cr_assert(is_candidate);
                    if (n.step == STEP_PROMOTE && person != PERSON_PROMOTES) {
                        cr_assert(is_candidate);
                        cr_assert(state != CANDIDATE_REGISTERED, "nothing skips the gates");
                        if (facts.has_champion) {
                            cr_assert(settings.is_automatic);
                            cr_assert(state == CANDIDATE_AB || !settings.has_ab, "nothing skips a stage");
                            cr_assert(state != CANDIDATE_VALIDATED || !settings.has_shadow);
                        } else {
                            cr_assert(settings.promotes_first || state != CANDIDATE_VALIDATED);
                        }
                        if (is_tried) {
                            cr_assert(facts.has_verdict);
                            cr_assert(verdict == OUTCOME_PASS ||
                                      (verdict == OUTCOME_INCONCLUSIVE && person == PERSON_GOES_ON));
                        }
                    }
                    if (is_tried && facts.has_verdict && verdict == OUTCOME_FAIL && person == PERSON_SILENT)
                        cr_assert(n.step == STEP_REJECT || n.step == STEP_ROLL_BACK);
                }
}

Test(controller, names_are_read_back)
{
    for (int w = 0; w < UNSURE_COUNT; w++)
        cr_assert_eq(when_unsure_find(slice_str(when_unsure_name((enum when_unsure)w))), (enum when_unsure)w);
    cr_assert_eq(when_unsure_find(SLICE("perhaps")), UNSURE_COUNT);
    cr_assert_str_eq(candidate_name(CANDIDATE_AB), "ab");
    for (int s = 0; s < STEP_COUNT; s++)
        cr_assert(strlen(lifecycle_step_name((enum lifecycle_step)s)) > 0);
}
