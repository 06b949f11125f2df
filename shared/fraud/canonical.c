/* SPDX-License-Identifier: Apache-2.0 */
#include "fraud/canonical.h"

/* Each field is a tag byte, then its value in a self-delimiting form, so that no two transactions share one:
 * texts as a 4-byte length and the bytes, numbers as 8 bytes, both little-endian. */
static void add_u64(struct buf *out, char tag, uint64_t value)
{
    char bytes[9] = { tag };

    for (size_t i = 0; i < 8; i++)
        bytes[i + 1] = (char)(value >> (8 * i) & 0xff);
    buf_add(out, bytes, sizeof bytes);
}

static void add_i64(struct buf *out, char tag, int64_t value)
{
    add_u64(out, tag, (uint64_t)value);
}

static void add_double(struct buf *out, char tag, double value)
{
    uint64_t bits;

    value += 0.0; /* -0 is 0 */
    memcpy(&bits, &value, sizeof bits);
    add_u64(out, tag, bits);
}

static void add_text(struct buf *out, char tag, struct slice text)
{
    char head[5] = { tag };

    for (size_t i = 0; i < 4; i++)
        head[i + 1] = (char)(text.len >> (8 * i) & 0xff);
    buf_add(out, head, sizeof head);
    buf_add_slice(out, text);
}

void txn_hash(const struct txn *txn, bool is_simulated, struct buf *scratch,
              unsigned char digest[SHA256_BYTES])
{
    buf_clear(scratch);
    buf_add_str(scratch, "assay transaction 1");
    add_text(scratch, 'i', txn->id);
    add_i64(scratch, 'o', txn->occurred_at_us);
    if (is_simulated)
        add_i64(scratch, 'k', txn->known_at_us);
    add_i64(scratch, 'm', txn->amount_minor);
    add_text(scratch, 'c', txn->currency);
    for (size_t i = 0; i < TXN_TEXT_COUNT; i++) {
        if (txn->text[i].len) {
            add_text(scratch, 'f', slice_str(txn_text_name((enum txn_text)i)));
            add_text(scratch, 't', txn->text[i]);
        }
    }
    if (txn->has_place) {
        add_double(scratch, 'y', txn->lat);
        add_double(scratch, 'x', txn->lon);
    }
    for (size_t i = 0; i < txn->attribute_count; i++) {
        const struct txn_attribute *a = &txn->attributes[i];

        add_text(scratch, 'a', a->name);
        if (a->kind == ATTRIBUTE_NUMBER)
            add_double(scratch, 'n', a->number);
        else if (a->kind == ATTRIBUTE_TEXT)
            add_text(scratch, 's', a->text);
        else
            add_u64(scratch, 'b', a->is_true);
    }
    sha256(buf_slice(scratch), digest);
}
