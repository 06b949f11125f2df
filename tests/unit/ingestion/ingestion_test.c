/* SPDX-License-Identifier: Apache-2.0
 * ingestion_test.c - the parts of the service that need no socket: token bucket, decisions. */
#include <criterion/criterion.h>

#include "../../../services/ingestion/bucket.h"
#include "../../../services/ingestion/decision.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"

Test(bucket, gives_its_burst_and_then_its_rate)
{
    struct bucket b;

    bucket_init(&b, 10, 3, 0);
    for (int i = 0; i < 3; i++)
        cr_assert(bucket_take(&b, 1, 0));
    cr_assert_not(bucket_take(&b, 1, 0));
    cr_assert_eq(bucket_next_in_s(&b, 1), 1);
    cr_assert_not(bucket_take(&b, 1, 99 * MS_US));
    cr_assert(bucket_take(&b, 1, 100 * MS_US));
    cr_assert_eq(bucket_left(&b), 0);
    cr_assert(bucket_take(&b, 1, DAY_US));
    cr_assert_eq(bucket_left(&b), 2);
}

Test(bucket, has_no_limit_at_rate_0)
{
    struct bucket b;

    bucket_init(&b, 0, 0, 0);
    for (int i = 0; i < 1000; i++)
        cr_assert(bucket_take(&b, 1000, 0));
}

Test(bucket, gives_more_than_its_burst_when_full_and_owes_the_rest)
{
    struct bucket b;

    bucket_init(&b, 100, 10, 0);
    cr_assert(bucket_take(&b, 1000, 0));
    cr_assert_not(bucket_take(&b, 1, SECOND_US));
    cr_assert(bucket_take(&b, 1, 10 * SECOND_US));
}

Test(bucket, says_when_as_many_as_were_asked_for_can_be_taken)
{
    struct bucket b;

    bucket_init(&b, 5, 20, 0);
    cr_assert(bucket_take(&b, 18, 0));
    cr_assert_not(bucket_take(&b, 12, 0));
    cr_assert_eq(bucket_next_in_s(&b, 12), 2);
    cr_assert(bucket_take(&b, 12, 2 * SECOND_US));
    cr_assert_eq(bucket_next_in_s(&b, 1000), 4); /* full is enough */
}

Test(bucket, keeps_what_fits_when_its_limits_change)
{
    struct bucket b;

    bucket_init(&b, 10, 100, 0);
    bucket_set(&b, 10, 5);
    cr_assert_eq(bucket_left(&b), 5);
    bucket_set(&b, 10, 100);
    cr_assert_eq(bucket_left(&b), 5);
    cr_assert_eq(bucket_full_in_s(&b), 10);
}

Test(bucket, does_not_overflow_after_an_age)
{
    struct bucket b;

    bucket_init(&b, 1000000, 1000000, 0);
    cr_assert(bucket_take(&b, 1000000, 0));
    cr_assert(bucket_take(&b, 1000000, INT64_MAX / 2));
}

static struct decision sample(void)
{
    static Assay__V1__Reason public_reason = ASSAY__V1__REASON__INIT,
                             private_reason = ASSAY__V1__REASON__INIT,
                             *reasons[] = { &public_reason, &private_reason };
    static Assay__V1__FiredRule rule = ASSAY__V1__FIRED_RULE__INIT, *rules[] = { &rule };
    static char code[] = "rule:r", text[] = "text", detail[] = "secret", id[] = "r", part[] = "scoring";
    static char *degraded[] = { part };
    struct decision d = { .action = ACTION_REVIEW,
                          .has_score = true,
                          .score = 0.25,
                          .p_allow = 1,
                          .n = 3,
                          .model_version = SLICE("7"),
                          .ruleset_version = SLICE("3"),
                          .arm = SLICE("champion") };

    assay__v1__decision_record__init(&d.record);
    public_reason.code = private_reason.code = code;
    public_reason.text = private_reason.text = text;
    public_reason.detail = private_reason.detail = detail;
    public_reason.is_public = true;
    rule.id = id;
    rule.expression = detail;
    rule.action = ASSAY__V1__ACTION__REVIEW;
    d.record.reasons = reasons;
    d.record.n_reasons = 2;
    d.record.rules = rules;
    d.record.n_rules = 1;
    d.record.degraded = degraded;
    d.record.n_degraded = 1;
    d.record.features_us = 5;
    return d;
}

static const char *written(struct buf *out, const struct decision *d, bool explains)
{
    struct json_out o;

    buf_clear(out);
    o = json_out_to(out);
    decision_write(&o, NULL, SLICE("t"), d, explains);
    return buf_str(out);
}

Test(decision, hides_details_from_those_who_may_not_see_them)
{
    struct decision d = sample();
    struct buf out;

    buf_init(&out, 0);
    cr_assert_str_eq(
        written(&out, &d, false),
        "{\"transaction_id\":\"t\",\"action\":\"review\",\"score\":0.25,\"reasons\":[{\"code\":\"rule:r\","
        "\"text\":"
        "\"text\"}],\"rules\":[{\"id\":\"r\",\"action\":\"review\"}],\"model_version\":\"7\",\"ruleset_"
        "version\":\"3\","
        "\"arm\":\"champion\",\"p_allow\":1,\"degraded\":[\"scoring\"],\"known_at\":\"1970-01-01T00:00:00Z\","
        "\"decided_at\":\"1970-01-01T00:00:00Z\",\"timings_us\":{\"queue\":0,\"features\":5,\"scoring\":0,"
        "\"rules\":0}}");
    cr_assert_not_null(strstr(written(&out, &d, true), "secret"));
    buf_release(&out);
}

static size_t times(const char *text, const char *part)
{
    size_t count = 0;

    for (text = strstr(text, part); text; text = strstr(text + 1, part))
        count++;
    return count;
}

Test(decision, tells_the_features_behind_it_to_those_who_may_see_them)
{
    static Assay__V1__Contribution up = ASSAY__V1__CONTRIBUTION__INIT, down = ASSAY__V1__CONTRIBUTION__INIT;
    static Assay__V1__Reason old = ASSAY__V1__REASON__INIT;
    Assay__V1__Contribution *contributions[] = { &up, &down, &up, &up, &up };
    struct decision d = sample();
    struct buf out;

    buf_init(&out, 0);
    up.feature = down.feature = (char[]){ "amount" };
    up.describe = down.describe = (char[]){ "the amount" };
    up.margin = 1;
    down.margin = -1;
    d.record.contributions = contributions;
    d.record.n_contributions = 2;
    cr_assert_eq(times(written(&out, &d, true), "\"code\":\"feature:amount\""), 1, "what pulls the same way");
    cr_assert_not_null(strstr(written(&out, &d, true), "\"the amount: 0\",\"detail\":\"amount=0, +1.00"));
    cr_assert_eq(times(written(&out, &d, false), "feature:"), 0);

    d.record.n_contributions = 5;
    cr_assert_eq(times(written(&out, &d, true), "\"code\":"), 5, "five reasons at most");

    old.code = (char[]){ "feature:amount" };
    d.record.reasons[1] = &old;
    cr_assert_eq(times(written(&out, &d, true), "\"code\":\"feature:amount\""), 1, "an old record has them");
    buf_release(&out);
}

Test(decision, tells_tags_errors_and_the_set_in_shadow_apart_from_what_decided)
{
    static Assay__V1__FiredRule tag = ASSAY__V1__FIRED_RULE__INIT, would = ASSAY__V1__FIRED_RULE__INIT;
    static Assay__V1__RuleError error = ASSAY__V1__RULE_ERROR__INIT;
    static Assay__V1__ShadowOutcome shadow = ASSAY__V1__SHADOW_OUTCOME__INIT;
    Assay__V1__FiredRule *noted[] = { &tag }, *rules[] = { &would };
    Assay__V1__RuleError *errors[] = { &error };
    struct decision d = sample(), back = d;
    struct arena arena = { 0 };
    struct buf out;
    struct why why;

    buf_init(&out, 0);
    tag.id = tag.tag = (char[]){ "gift" };
    would.id = (char[]){ "strict" };
    would.action = shadow.action = ASSAY__V1__ACTION__DECLINE;
    error.id = (char[]){ "odd" };
    error.what = (char[]){ "division by zero" };
    shadow.ruleset_version = (char[]){ "8" };
    shadow.rules = rules;
    shadow.n_rules = 1;
    d.record.noted = noted;
    d.record.n_noted = 1;
    d.record.errors = errors;
    d.record.n_errors = 1;
    d.record.shadow = &shadow;
    cr_assert_eq(times(written(&out, &d, false), "gift"), 0);
    cr_assert_eq(decision_record_unpack(&back, decision_record_pack(&d, &arena), &arena, &why), ERR_OK);
    written(&out, &back, true);
    cr_assert_not_null(strstr(buf_str(&out), "\"rules\":[{\"id\":\"r\",\"action\":\"review\""));
    cr_assert_not_null(strstr(buf_str(&out), "\"noted_rules\":[{\"id\":\"gift\",\"action\":\"tag\",\"tag\""));
    cr_assert_not_null(
        strstr(buf_str(&out), "\"rule_errors\":[{\"id\":\"odd\",\"error\":\"division by zero\"}]"));
    cr_assert_not_null(strstr(buf_str(&out), "\"shadow\":{\"ruleset_version\":\"8\",\"action\":\"decline\""));
    would.action = 9;
    cr_assert_eq(decision_record_unpack(&back, decision_record_pack(&d, &arena), &arena, &why), ERR_SYNTAX);
    would.action = ASSAY__V1__ACTION__DECLINE;
    buf_release(&out);
    arena_release(&arena);
}

Test(decision, reads_back_as_it_was_packed)
{
    struct decision d = sample(), back = d;
    struct arena arena = { 0 };
    struct buf one, two;
    struct why why;

    buf_init(&one, 0);
    buf_init(&two, 0);
    cr_assert_eq(decision_record_unpack(&back, decision_record_pack(&d, &arena), &arena, &why), ERR_OK);
    cr_assert_str_eq(written(&one, &d, true), written(&two, &back, true));
    cr_assert_eq(decision_record_unpack(&back, SLICE("\xff\xff"), &arena, &why), ERR_SYNTAX);
    cr_assert_eq(decision_record_unpack(&back, SLICE("\x12\x02\x18\x09"), &arena, &why), ERR_SYNTAX,
                 "a rule with the action 9");
    buf_release(&one);
    buf_release(&two);
    arena_release(&arena);
}
