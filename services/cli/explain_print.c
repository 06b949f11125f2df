/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_print.h"

#include <inttypes.h>
#include <stdio.h>

/* Literals say themselves what they are. */
static void print_rule(const struct explain_rule *rule)
{
    printf("\nrule %.*s %s%s%.*s%s\n", SLICE_ARG(rule->id),
           rule->fires ? "fires: " : "does not fire: ", rule->tag.len ? "tag " : action_name(rule->action),
           SLICE_ARG(rule->tag), rule->is_shadow ? " (in shadow)" : "");
    for (size_t i = 0; i < rule->step_count; i++) {
        const struct explain_step *step = &rule->steps[i];
        char times[32] = "";

        if (step->is_literal && step->depth)
            continue;
        if (step->times > 1)
            snprintf(times, sizeof times, "   (%" PRIu32 " times)", step->times);
        printf("  %*s%.*s   %.*s%s\n", (int)(2 * step->depth), "", SLICE_ARG(step->text),
               SLICE_ARG(step->times ? step->value : SLICE("(passed over)")), times);
    }
}

void explain_print(const struct explanation *e)
{
    for (size_t i = 0; i < e->rule_count; i++)
        print_rule(&e->rules[i]);
    if (e->rule_count == 0)
        printf("\nno rule of the %zu fired\n", e->evaluated);
    if (e->is_cut)
        printf("\n(only the first %d steps are shown)\n", EXPLAIN_STEPS_MAX);
}
