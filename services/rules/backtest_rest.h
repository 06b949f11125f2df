/* SPDX-License-Identifier: Apache-2.0
 * backtest_rest.h - backtests over REST: answers for the desk (desk/desk.h), whose ctx is the service. */
#ifndef ASSAY_RULES_BACKTEST_REST_H
#define ASSAY_RULES_BACKTEST_REST_H

#include "desk/desk.h"

struct pg_session;

enum { BACKTESTS_WAITING_MAX = 20, TRIAL_DAYS_MAX = 3660 };

enum err post_backtest(struct call *c, struct pg_session *s, struct why *why);
enum err list_backtests(struct call *c, struct pg_session *s, struct why *why);
enum err get_backtest(struct call *c, struct pg_session *s, struct why *why);
enum err cancel_backtest(struct call *c, struct pg_session *s, struct why *why);
/* On the desk for drafts alone, so that nobody else waits. */
enum err try_backtest(struct call *c, struct pg_session *s, struct why *why);

#endif
