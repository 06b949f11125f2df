/* SPDX-License-Identifier: Apache-2.0
 * reason.c - says in words why: what decided first, then what stands beside it, at most five.
 *
 *   lists that decided | rules with the final action | the threshold | what was missing
 *
 * and, for those who may see them, the model's reasons behind these. */
#include <math.h>

#include "base/array.h"
#include "base/decimal.h"
#include "fraud/money.h"
#include "policy/compiled.h"

enum { TEXT_MAX = 512, RULES_SHOWN = 3 };

static const char *const past_tense[] = { [ACTION_APPROVE] = "approved",
                                          [ACTION_CHALLENGE] = "challenged",
                                          [ACTION_REVIEW] = "sent to review",
                                          [ACTION_DECLINE] = "declined" };
static_assert(ARRAY_LEN(past_tense) == ACTION_COUNT, "every action has a past");

/* How people call the fields that lists are about. */
static const char *const field_words[] = {
    [TXN_customer_id] = "customer",      [TXN_card_id] = "card",          [TXN_merchant_id] = "merchant",
    [TXN_terminal_id] = "terminal",      [TXN_mcc] = "merchant category", [TXN_channel] = "channel",
    [TXN_country] = "country",           [TXN_ip] = "IP address",         [TXN_device_id] = "device",
    [TXN_email_hash] = "e-mail address",
};
static_assert(ARRAY_LEN(field_words) == TXN_TEXT_COUNT, "every field has a word");

/* ---- values in words ---- */

/* 1234.50 EUR, by the currency's digits. */
static void print_money(const struct txn *txn, struct buf *out)
{
    int exponent = currency_exponent(txn->currency);
    int64_t unit = 1, minor = txn->amount_minor;
    uint64_t magnitude = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;

    for (int i = 0; i < exponent; i++)
        unit *= 10;
    buf_printf(out, "%s%llu", minor < 0 ? "-" : "", (unsigned long long)(magnitude / (uint64_t)unit));
    if (exponent > 0)
        buf_printf(out, ".%0*llu", exponent, (unsigned long long)(magnitude % (uint64_t)unit));
    buf_printf(out, " %.*s", SLICE_ARG(txn->currency));
}

static const struct cel_use *use_find(const struct compiled_rule *rule, struct slice name)
{
    const struct cel_use *uses;
    size_t count = cel_uses(rule->program, &uses);

    for (size_t i = 0; i < count; i++) {
        if (slice_eq(uses[i].name, name))
            return &uses[i];
    }
    return NULL;
}

/* The next {name} in the text from *at on; *at is then behind it. Literal text before it goes to `out`. */
static bool next_placeholder(struct slice text, size_t *at, struct slice *name, struct buf *out)
{
    const char *from = text.ptr + *at, *end = text.ptr + text.len;
    const char *open = *at < text.len ? memchr(from, '{', (size_t)(end - from)) : NULL;
    const char *close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;

    if (out)
        buf_add(out, from, (size_t)((close ? open : end) - from));
    if (!close) {
        *at = text.len;
        return false;
    }
    *name = slice_of(open + 1, (size_t)(close - open) - 1);
    *at = (size_t)(close - text.ptr) + 1;
    return true;
}

bool reason_check(const struct compiled_rule *rule, struct slice text, struct slice *unknown)
{
    size_t at = 0;

    while (next_placeholder(text, &at, unknown, NULL)) {
        if (!use_find(rule, *unknown))
            return false;
    }
    return true;
}

static struct slice finish(struct buf *out, struct arena *arena)
{
    struct slice text = arena_slice(arena, buf_slice(out));

    buf_release(out);
    return text;
}

static struct slice words_of(const struct compiled_rule *rule, struct slice text, const struct decision *d,
                             struct arena *arena)
{
    struct buf out;
    struct slice name;
    size_t at = 0;

    if (text.len == 0 || !memchr(text.ptr, '{', text.len))
        return text;
    buf_init(&out, TEXT_MAX);
    while (next_placeholder(text, &at, &name, &out)) {
        const struct cel_use *use = use_find(rule, name);

        /* People read amounts as they were paid; the rule compared minor units. */
        if (slice_eq_str(name, "tx.amount") || slice_eq_str(name, "tx.amount_local"))
            print_money(d->in->txn, &out);
        else if (use && d->slots[use->slot].kind == CEL_STRING)
            buf_add_slice(&out, d->slots[use->slot].s);
        else if (use && d->slots[use->slot].kind == CEL_ERROR)
            buf_add_str(&out, "unknown");
        else if (use)
            cel_value_print(d->slots[use->slot], &out);
    }
    return finish(&out, arena);
}

struct slice reason_values(const struct compiled_rule *rule, const struct cel_value *slots,
                           struct arena *arena)
{
    const struct cel_use *uses;
    size_t count = cel_uses(rule->program, &uses);
    struct buf out;

    buf_init(&out, 4 * TEXT_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out, "%s%.*s=", i ? " " : "", SLICE_ARG(uses[i].name));
        if (slots[uses[i].slot].kind == CEL_ERROR)
            buf_add_str(&out, "none");
        else
            cel_value_print(slots[uses[i].slot], &out);
    }
    return finish(&out, arena);
}

/* ---- the reasons ---- */

static void add(struct policy_verdict *out, struct slice code, struct slice text, struct slice detail,
                bool is_public)
{
    if (out->reason_count < POLICY_REASONS_MAX)
        out->reasons[out->reason_count++] = (struct policy_reason){ code, text, detail, is_public };
}

/* What decides is told to everybody as a fact about the payment; which list it was is told to those who may
 * see details. */
static void add_list(const struct decision *d, const struct list *list, struct arena *arena,
                     struct policy_verdict *out)
{
    struct slice name = list_name(list), value = d->in->txn->text[list_field(list)];
    bool is_deny = list_purpose(list) == LIST_DENY;

    add(out, arena_printf(arena, "list:%.*s", SLICE_ARG(name)),
        arena_printf(arena, "The %s is on %s list", field_words[list_field(list)],
                     is_deny ? "a deny" : "an allow"),
        arena_printf(arena, "%s %.*s is on the %s list %.*s", txn_text_name(list_field(list)),
                     SLICE_ARG(value), list_purpose_name(list_purpose(list)), SLICE_ARG(name)),
        true);
}

static void add_rule(const struct decision *d, size_t i, struct arena *arena, struct policy_verdict *out)
{
    const struct compiled_rule *rule = d->fired[i];
    struct slice code = arena_printf(arena, "rule:%.*s", SLICE_ARG(rule->rule.id));
    struct slice private = rule->rule.reason.len ? rule->rule.reason : rule->rule.name;

    private = words_of(rule, private, d, arena);
    if (rule->rule.public_reason.len)
        add(out, code, words_of(rule, rule->rule.public_reason, d, arena),
            arena_printf(arena, "%.*s (%.*s)", SLICE_ARG(private), SLICE_ARG(out->fired[i].values)), true);
    else
        add(out, code, private, out->fired[i].values, false);
}

static double threshold_of(const struct policy_thresholds *t, enum action action)
{
    return action == ACTION_DECLINE ? t->decline : action == ACTION_REVIEW ? t->review : t->challenge;
}

static void add_threshold(const struct decision *d, struct arena *arena, struct policy_verdict *out)
{
    const struct policy_thresholds *t = &out->thresholds;
    double lowest = fmin(t->challenge, fmin(t->review, t->decline));
    struct slice detail, text;

    if (out->score_action == ACTION_APPROVE) {
        text = SLICE("The fraud score is low");
        detail = lowest < 2 ? arena_printf(arena, "score %.4g is below %.4g", d->in->score, lowest)
                            : arena_printf(arena, "score %.4g; no threshold is set", d->in->score);
    } else {
        text = SLICE("The fraud score is high");
        detail = arena_printf(arena, "score %.4g is at or above %.4g (%s)", d->in->score,
                              threshold_of(t, out->score_action), action_name(out->score_action));
    }
    add(out, arena_printf(arena, "threshold:%s", action_name(out->score_action)), text, detail, true);
}

static void add_missing(const struct decision *d, struct arena *arena, struct policy_verdict *out)
{
    const char *effect = out->decider == POLICY_BY_MISSING ? past_tense[out->action] : NULL;
    struct slice part = d->has_score ? SLICE("features") : SLICE("scoring");

    if (!d->has_score || out->decider == POLICY_BY_MISSING)
        add(out, arena_printf(arena, "degraded:%.*s", SLICE_ARG(part)),
            effect ? arena_printf(arena, "%s: %s by policy",
                                  d->has_score ? "Part of the history was not available"
                                               : "The fraud score was not available",
                                  effect)
                   : SLICE("The fraud score was not available"),
            (struct slice){ 0 }, true);
    for (size_t i = 0; i < d->in->degraded_count; i++) {
        struct slice other = d->in->degraded[i];

        if (slice_eq_str(other, "scoring") && d->has_score) {
            add(out, SLICE("degraded:scoring"), SLICE("The fraud score is that of a simpler model"),
                (struct slice){ 0 }, true);
            continue;
        }
        if (slice_eq_str(other, POLICY_OLDER_FEATURES)) {
            add(out, SLICE("degraded:" POLICY_OLDER_FEATURES),
                SLICE("Decided by the history as it was when the payment first came"), (struct slice){ 0 },
                true);
            continue;
        }
        /* The score's absence was told above, whatever it came from. */
        if (slice_eq_str(other, "scoring") || (out->decider == POLICY_BY_MISSING && slice_eq(other, part)))
            continue;
        add(out, arena_printf(arena, "degraded:%.*s", SLICE_ARG(other)),
            arena_printf(arena, "Decided without %.*s", SLICE_ARG(other)), (struct slice){ 0 }, true);
    }
}

static struct slice join(const struct slice *parts, size_t count, struct arena *arena)
{
    size_t len = 0;
    char *text, *to;

    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    to = text = arena_alloc(arena, len + 1, 1);
    for (size_t i = 0; i < count; i++)
        if (parts[i].len)
            to = mempcpy(to, parts[i].ptr, parts[i].len);
    return slice_of(text, len);
}

/* "{} transactions by this customer in 24 h" with the value in its place; words without a place are followed
 * by the value. */
static struct slice feature_words(const struct policy_contribution *c, struct slice value,
                                  struct arena *arena)
{
    struct slice words = c->describe.len ? c->describe : c->feature, name;
    struct buf out;
    size_t at = 0;

    if (!memchr(words.ptr, '{', words.len))
        return join((struct slice[]){ words, SLICE(": "), value }, 3, arena);
    buf_init(&out, TEXT_MAX);
    buf_reserve(&out, TEXT_MAX / 2);
    while (next_placeholder(words, &at, &name, &out))
        buf_add_slice(&out, value);
    return finish(&out, arena);
}

/* "+1.25" */
static struct slice signed_hundredths(double value, char text[DECIMAL_SIZE + 1], struct arena *arena)
{
    size_t len;

    if (!(fabs(value) < DECIMAL_FIXED_BELOW))
        return arena_printf(arena, "%+.2f", value);
    text[0] = '+';
    len = decimal_print_fixed(value, 2, text + !signbit(value));
    return slice_of(text, len + !signbit(value));
}

bool policy_contribution_is_reason(const struct policy_contribution *c, enum action action)
{
    return action == ACTION_APPROVE ? c->margin < 0 : c->margin > 0;
}

struct policy_reason policy_contribution_reason(const struct policy_contribution *c, struct arena *arena)
{
    char hundredths[DECIMAL_SIZE + 1];
    struct policy_reason reason;
    struct slice value;
    struct buf printed;

    buf_init(&printed, TEXT_MAX);
    cel_value_print(cel_double(c->value), &printed);
    value = buf_slice(&printed);
    reason = (struct policy_reason){
        .code = join((struct slice[]){ SLICE("feature:"), c->feature }, 2, arena),
        .text = feature_words(c, isnan(c->value) ? SLICE("unknown") : value, arena),
        .detail =
            join((struct slice[]){ c->feature, SLICE("="), value, SLICE(", "),
                                   signed_hundredths(c->margin, hundredths, arena), SLICE(" log-odds") },
                 6, arena),
    };
    buf_release(&printed);
    return reason;
}

void reasons_write(const struct decision *d, struct arena *arena, struct policy_verdict *out)
{
    size_t shown = 0;

    for (size_t i = 0; i < d->list_count && i < 2; i++)
        add_list(d, d->lists[i], arena, out);
    for (size_t i = 0; i < out->fired_count && shown < RULES_SHOWN; i++) {
        if (d->fired[i]->rule.action == out->action) {
            add_rule(d, i, arena, out);
            shown++;
        }
    }
    if (d->has_score && (out->decider == POLICY_BY_THRESHOLD ||
                         (out->score_action == out->action && out->action != ACTION_APPROVE)))
        add_threshold(d, arena, out);
    add_missing(d, arena, out);
}
