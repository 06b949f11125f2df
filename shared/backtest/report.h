/* SPDX-License-Identifier: Apache-2.0
 * report.h - the figures of a backtest, and as JSON.
 *
 *   {"schema": "assay.backtest.v1",
 *    "span": {"from": time, "to": time, "days": n, "mature_days": n, "decisions": n},
 *    "sample": one decision in so many was looked at: counts and money are of these,
 *    "labels": {"as_of": time, "delay_days": d},
 *    "asked": side, "compared": side,
 *    "rules": [{"id", "name", "action" (or "tag"), "is_shadow", "hits", "hits_per_day", "decides", "errors",
 *               "share": of all decisions, "fraud", "good", "unknown": of its hits on mature days,
 *               "precision", "precision_low", "precision_high": Wilson, 95 %, "recall",
 *               "money_caught", "good_money": minor units of the base currency,
 *               "alone": {"hits", "fraud", "good", "unknown", "money_caught", "good_money"}: what no other rule hits,
 *               "by_day": [hits], "matches": {"fraud": [example], "good": [example], "unknown": [example]}: the newest}],
 *    "overlap": {"rules": [id], "hits": [[n]]},
 *    "changes": [{"from": action, "to": action, "count", "money", "fraud", "good", "unknown",
 *                 "examples": [example]: good payments first, then those of most money}],
 *    "days": [{"day": "2026-11-01", "decisions", "is_mature", "asked": {action: n}, "compared": {action: n},
 *              "fraud": n}],
 *    "unversioned": n, "rules_recalled": n, "rules_evaluated": n}
 *
 *   example: {"transaction_id", "account", "known_at", "amount", "label", "outcome": "fraud", "good" or "unknown",
 *             "from": action, "to": action, "rule", "degraded", "ruleset_version"}
 *   side: {"name", "actions": {action: {"count", "fraud", "good", "unknown", "money", "fraud_money", "good_money"}},
 *          "precision", "precision_low", "precision_high", "recall": of all that it does not approve,
 *          "reviews_per_day"}
 *
 * Rates are of mature days alone; null where there is nothing to make one of. `overlap` has the rules with the most hits,
 * at most REPORT_OVERLAP_MAX. */
#ifndef ASSAY_BACKTEST_REPORT_H
#define ASSAY_BACKTEST_REPORT_H

#include "backtest/backtest.h"
#include "json/json_out.h"
#include "stats/interval.h"

enum { REPORT_OVERLAP_MAX = 20 };

/* What hits come to: of a rule, or of all that a policy did not approve. */
struct backtest_figures {
    double precision; /* fraud / (fraud + good); NaN */
    struct interval precision_interval;
    double recall; /* of all frauds of mature days; NaN */
};

/* All frauds of the mature days, whatever was done with them. */
struct backtest_cell backtest_all(const struct backtest_result *r);
struct backtest_figures backtest_figures(const struct backtest_cell *hits, const struct backtest_cell *all);
/* What was done with payments on mature days: [action]. */
void backtest_actions(const struct backtest_result *r, bool of_asked, struct backtest_cell out[ACTION_COUNT]);
/* All that was not approved. */
struct backtest_cell backtest_acted(const struct backtest_cell actions[ACTION_COUNT]);
size_t backtest_mature_days(const struct backtest_result *r);
/* Days on which anything was decided. */
size_t backtest_busy_days(const struct backtest_result *r);
/* Reviews a day, over the days on which anything was decided. */
double backtest_reviews(const struct backtest_result *r, bool of_asked);
/* Rules, those with the most hits first; `places` has room for all. Returns how many, at most `most`. */
size_t backtest_busiest(const struct backtest_result *r, size_t *places, size_t most);
/* "2026-11-01" */
void backtest_day_name(int64_t day, char out[16]);

void backtest_report(struct json_out *o, const char *key, const struct backtest_result *r,
                     const struct backtest_options *options, struct slice asked, struct slice compared);

#endif
