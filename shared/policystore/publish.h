/* SPDX-License-Identifier: Apache-2.0
 * publish.h - the life of a rule set.
 *
 *   draft ──▶ shadow ──▶ published ──▶ retired
 *     │                  ▲       ▲       │
 *     └──────────────────┘       └───────┘  rolling back
 *
 * A draft can be changed, by whoever says which revision was looked at; who publishes it may say so too, and then
 * nobody changes it in between. What has left its draft never changes, so
 * that a decision says truly under which rules it was made. In shadow a set is evaluated beside the one in force and
 * decides nothing; an account has at most one there, and one in force. Who wrote in a draft cannot publish it.
 *
 * Each change is one SQL transaction with its audit row; whoever decides hears of it by NOTIFY (store.h), and says
 * so in `rules_serving`.
 *
 * Blocking (pg/session.h): for the command line and worker threads. Errors that are not named here are those
 * of pg/pg.h. */
#ifndef ASSAY_POLICYSTORE_PUBLISH_H
#define ASSAY_POLICYSTORE_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "policy/policy.h"
#include "policystore/document.h"

struct pg_session;

/* A rule set that was read and compiled, and is in force nowhere. */
struct draft {
    struct arena arena;
    struct slice json; /* borrowed */
    struct document document;
    struct policy *policy; /* the set alone, with the lists that it declares, empty */
};

/* Compiles a document; `json` must stay as long as the draft.   Errors are those of document_read() and
 * policy_add_ruleset(); draft_release() is due in either case. */
MUST_USE enum err draft_open(struct draft *d, struct slice json, struct why *why);
void draft_release(struct draft *d);
/* What a rule names and nobody has: lists and features.   ERR_NOT_FOUND  *why has the first */
MUST_USE enum err draft_check(struct pg_session *s, struct draft *d, int64_t account, bool allows_unknown,
                              struct why *why);

enum { RULESET_ANY = -1, RULESET_NONE = 0 };

/* Whose word a publication needs. */
enum ruleset_approval {
    APPROVAL_BY_ANOTHER,   /* somebody who is no author; the only one on behalf of a key */
    APPROVAL_UNLESS_FIRST, /* the same, but for the first set that the account ever has */
    APPROVAL_ALONE,        /* there is no second person, and the audit says so */
};

/* Who changes what, why, and what should be there. */
struct ruleset_change {
    struct slice actor;
    struct slice reason; /* for the audit; may be empty */
    int64_t expected;    /* the version in force before; RULESET_NONE: none; RULESET_ANY: whatever it is */
    int64_t revision; /* that was looked at, of what is prepared, or goes into shadow or into force; 0: any */
    bool allows_unknown; /* also with features that nobody computes, and velocities that are not served yet */
    bool prepares;       /* a draft's velocities are computed from now on */
    enum ruleset_approval approval;
};

/* Keeps it as a draft of the account (0: every account).   ERR_NOT_FOUND  as draft_check() */
MUST_USE enum err ruleset_draft(struct pg_session *s, struct draft *d, int64_t account, struct slice note,
                                const struct ruleset_change *change, int64_t *version, struct why *why);
/* Another document in the place of the draft's `revision`; *revision becomes the new one.
 *   ERR_CONFLICT  it is another by now, or no draft any more   ERR_NOT_FOUND  no such version */
MUST_USE enum err ruleset_edit(struct pg_session *s, int64_t version, int64_t *revision, struct draft *d,
                               struct slice note, const struct ruleset_change *change, struct why *why);
/* Has the velocities that a draft asks for computed, from the log on, as those of sets in shadow and in force are.
 *   ERR_CONFLICT   it is no draft, or at another revision
 *   ERR_LIMIT      a plan has no room for so many
 *   ERR_NOT_FOUND  no such version */
MUST_USE enum err ruleset_prepare(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                                  struct why *why);

/* The velocities of a version that the plan that features serves does not have. */
struct ruleset_lacking {
    size_t count;
    struct slice first; /* one of them, as it may be written; the arena's */
};
/* ERR_NOT_FOUND  no such version */
MUST_USE enum err ruleset_lacks(struct pg_session *s, int64_t version, struct arena *arena,
                                struct ruleset_lacking *out, struct why *why);

/* Throws a draft away; errors as above. */
MUST_USE enum err ruleset_discard(struct pg_session *s, int64_t version, int64_t revision,
                                  const struct ruleset_change *change, struct why *why);

/* A draft goes into shadow; what was there is retired.
 *   ERR_NOT_FOUND  no such version, or it names a list or a feature that is not there
 *   ERR_CONFLICT   it is no draft, or at another revision */
MUST_USE enum err ruleset_shadow(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                                 struct why *why);
/* Puts a draft or a set in shadow in force, and makes the lists that it declares where they are not there yet.
 *   ERR_NOT_FOUND  as above
 *   ERR_CONFLICT   it is retired or in force, or at another revision, or what is in force is not what was expected, or
 *                  it has velocities that are not served yet
 *   ERR_FORBIDDEN  the actor is one of its authors, and the change's approval asks for another */
MUST_USE enum err ruleset_publish(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                                  struct why *why);
/* Ends a set in shadow, or an account's own set in force: the common one holds for it then.
 *   ERR_CONFLICT  it is neither, or it is the common set in force, which is replaced and never just ended */
MUST_USE enum err ruleset_retire(struct pg_session *s, int64_t version, const struct ruleset_change *change,
                                 struct why *why);
/* Puts a set that was in force before in force again: *version, or for 0 the one that the set in force had replaced.
 * It needs no second person: it was approved once, and this is for when things go wrong.
 *   ERR_NOT_FOUND  there is none   ERR_CONFLICT  what is in force is not what was expected */
MUST_USE enum err ruleset_roll_back(struct pg_session *s, int64_t account,
                                    const struct ruleset_change *change, int64_t *version, struct why *why);

/* ---- who serves what ---- */

/* How many processes decide, how many of them by `version` for the account, and the names of those that do not. */
struct ruleset_served {
    int64_t processes, serving;
    struct slice lagging; /* "rules host/17/1a2b, ..."; the arena's */
};
MUST_USE enum err ruleset_served(struct pg_session *s, int64_t account, int64_t version, struct arena *arena,
                                 struct ruleset_served *out, struct why *why);

#endif
