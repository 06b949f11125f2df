/* SPDX-License-Identifier: Apache-2.0
 * webhook.h - Standard Webhooks: secrets, signatures, and when a message is tried again.
 *
 *   webhook-id: msg_2KWPBgLlAfxdpx2AI54pPJ85f4W        the same at each attempt
 *   webhook-timestamp: 1674087231                      seconds; of the attempt
 *   webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1,...
 *
 * A signature is v1, and base64(HMAC-SHA256(secret, id.timestamp.body)); while a secret is being replaced there is one
 * of each. Source: standardwebhooks.com, version 1.0.0. */
#ifndef ASSAY_ALERTS_WEBHOOK_H
#define ASSAY_ALERTS_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    WEBHOOK_SECRET_LEAST = 24, /* bytes */
    WEBHOOK_SECRET_MOST = 64,
    WEBHOOK_SECRET_SIZE = 6 + 88 + 1, /* "whsec_", base64, NUL */
    WEBHOOK_WAITS_MAX = 16,
};

struct webhook_secret {
    unsigned char bytes[WEBHOOK_SECRET_MOST];
    size_t len;
};

/* 32 random bytes. */
void webhook_secret_make(struct webhook_secret *out);
/* As text: "whsec_" and base64.   ERR_INVALID  it is none, or not of 24 to 64 bytes; *why does not repeat it */
MUST_USE enum err webhook_secret_read(struct webhook_secret *out, struct slice text, struct why *why);
void webhook_secret_write(const struct webhook_secret *secret, char out[WEBHOOK_SECRET_SIZE]);

/* Adds the value of webhook-signature, a signature for each secret. */
void webhook_sign(const struct webhook_secret *secrets, size_t count, struct slice id, int64_t at_s,
                  struct slice body, struct buf *out);

/* How long after each failure: a message whose last wait is over is given up. */
struct webhook_waits {
    int64_t us[WEBHOOK_WAITS_MAX];
    size_t count;
};
#define WEBHOOK_WAITS_USUAL "5s,5m,30m,2h,5h,10h,14h,20h,24h"

/* Reads "5s,5m,2h": whole numbers of ms, s, m, h or d, up to 30 days each.   ERR_INVALID */
MUST_USE enum err webhook_waits_read(struct webhook_waits *out, struct slice text, struct why *why);
/* How long to wait after so many failed attempts (1: the first), up to a fifth longer by `draw`, which is in 0..1,
 * so that many messages do not come at once. -1: no more attempts. */
int64_t webhook_wait_us(const struct webhook_waits *waits, int64_t failed, double draw);

#endif
