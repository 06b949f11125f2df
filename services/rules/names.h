/* SPDX-License-Identifier: Apache-2.0
 * names.h - what may stand in a condition, for who writes one: {"fields": [name], "functions": [name],
 * "velocities": [name], "features": [name]}, name: {"name", "type", "example", "text"}. Features are those of the
 * newest plan, without the velocities that rules asked for. */
#ifndef ASSAY_RULES_NAMES_H
#define ASSAY_RULES_NAMES_H

#include "desk/desk.h"

struct pg_session;

enum err show_names(struct call *c, struct pg_session *s, struct why *why);

#endif
