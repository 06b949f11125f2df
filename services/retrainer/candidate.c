/* SPDX-License-Identifier: Apache-2.0 */
#include "candidate.h"

#include "modelstore/modelstore.h"

enum err candidate_gate(struct pg_session *s, const struct retrainer_settings *conf, int64_t version,
                        int64_t now_us, struct why *why)
{
    struct model_info info;

    (void)conf;
    (void)now_us;
    return model_find(s, version, &info, why);
}
