/* SPDX-License-Identifier: Apache-2.0
 * unicode.h - inside cel/: the tables of unicode.c. */
#ifndef ASSAY_CEL_UNICODE_H
#define ASSAY_CEL_UNICODE_H

#include <stddef.h>
#include <stdint.h>

struct unicode_range {
    uint32_t from, to;
};
extern const struct unicode_range unicode_ranges[];

/* "Lu", "Greek": `count` ranges from number `first` on, rising. */
struct unicode_class {
    const char *name;
    uint32_t first, count;
};
extern const struct unicode_class unicode_classes[];
extern const size_t unicode_class_count;

/* Each of first, first + step ... last has another case at `by` from it; those of one letter form a ring. */
struct unicode_fold {
    uint32_t first, last;
    int32_t by;
    uint32_t step;
};
extern const struct unicode_fold unicode_folds[];
extern const size_t unicode_fold_count;

#endif
