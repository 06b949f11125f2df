/* SPDX-License-Identifier: Apache-2.0 */
#include "fraud/txn.h"

#include <assert.h>

#include "base/array.h"

static const struct {
    const char *name;
    size_t max;
} text_fields[] = {
#define TXN_TEXT_ROW(field, max, meaning) [TXN_##field] = { #field, max },
    TXN_TEXT_FIELDS(TXN_TEXT_ROW)
#undef TXN_TEXT_ROW
};

static const char *const source_names[] = {
    [LABEL_CUSTOMER] = "customer",
    [LABEL_ANALYST] = "analyst",
    [LABEL_ISSUER] = "issuer",
    [LABEL_CHARGEBACK] = "chargeback",
};
static_assert(ARRAY_LEN(source_names) == LABEL_SOURCE_COUNT, "every source has a name");

static const char *const action_names[] = {
    [ACTION_APPROVE] = "approve",
    [ACTION_CHALLENGE] = "challenge",
    [ACTION_REVIEW] = "review",
    [ACTION_DECLINE] = "decline",
};
static_assert(ARRAY_LEN(action_names) == ACTION_COUNT, "every action has a name");

static size_t find(const char *const *names, size_t count, struct slice name)
{
    size_t i = 0;

    while (i < count && !slice_eq_str(name, names[i]))
        i++;
    return i;
}

const char *txn_text_name(enum txn_text field)
{
    assert(field < TXN_TEXT_COUNT);
    return text_fields[field].name;
}

size_t txn_text_max(enum txn_text field)
{
    assert(field < TXN_TEXT_COUNT);
    return text_fields[field].max;
}

enum txn_text txn_text_find(struct slice name)
{
    size_t i = 0;

    while (i < TXN_TEXT_COUNT && !slice_eq_str(name, text_fields[i].name))
        i++;
    return (enum txn_text)i;
}

const struct txn_attribute *txn_attribute_find(const struct txn *txn, struct slice name)
{
    size_t low = 0, high = txn->attribute_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = slice_compare(txn->attributes[middle].name, name);

        if (order == 0)
            return &txn->attributes[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *label_source_name(enum label_source source)
{
    assert(source < LABEL_SOURCE_COUNT);
    return source_names[source];
}

enum label_source label_source_find(struct slice name)
{
    return (enum label_source)find(source_names, ARRAY_LEN(source_names), name);
}

const char *action_name(enum action action)
{
    assert(action < ACTION_COUNT);
    return action_names[action];
}

enum action action_find(struct slice name)
{
    return (enum action)find(action_names, ARRAY_LEN(action_names), name);
}
