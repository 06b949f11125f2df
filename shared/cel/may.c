/* SPDX-License-Identifier: Apache-2.0
 * may.c - what a condition may come to while some of its names are numbers anywhere between two bounds.
 *
 * Interval arithmetic: rounding to nearest is monotone, so bounds that are computed as values are computed bound the
 * values. What is not followed (a macro, a function of the caller, a division by what may be zero) may be anything. */
#include <math.h>

#include "base/mem.h"
#include "cel/program.h"

enum { MAY_ALL = CEL_MAY_BE_TRUE | CEL_MAY_BE_FALSE | CEL_MAY_BE_ERROR };

/* What a node may be: one value; a number between two; or a bool, an error or anything else. */
struct span {
    enum { SPAN_EXACT, SPAN_NUMBER, SPAN_BOOLS } kind;
    struct cel_value exact;
    double lo, hi;
    unsigned bools; /* CEL_MAY_BE_ERROR stands for all that is neither true nor false, numbers too */
};

struct asked {
    const struct cel_program *program;
    const struct cel_input *input;
    const uint32_t *slots;
    size_t slot_count;
    double lo, hi;
};

static const struct span anything = { .kind = SPAN_BOOLS, .bools = MAY_ALL };

static bool is_asked(const struct asked *a, uint32_t slot)
{
    for (size_t i = 0; i < a->slot_count; i++) {
        if (a->slots[i] == slot)
            return true;
    }
    return false;
}

static bool mentions(const struct asked *a, const struct node *node)
{
    if (!node)
        return false;
    if (node->kind == NODE_NAME)
        return is_asked(a, node->slot);
    if (mentions(a, node->a) || mentions(a, node->b) || mentions(a, node->c))
        return true;
    for (size_t i = 0; i < node->count; i++) {
        if (mentions(a, node->items[i]))
            return true;
    }
    return false;
}

/* The value of a part that does not depend on what is asked: by the machine, as a program of its own. */
static struct span exact_of(const struct asked *a, struct node *node)
{
    struct cel_program part = { .text = a->program->text,
                                .root = node,
                                .functions = a->program->functions,
                                .node_count = a->program->node_count,
                                .local_count = a->program->local_count };
    struct faults faults = { .text = a->program->text };
    struct span out = { .kind = SPAN_EXACT };
    bool is_sound = emit(&part, UINT32_MAX, &faults) == ERR_OK;

    out.exact = is_sound ? cel_eval(&part, a->input) : cel_error(CEL_FAULT_ROOM);
    switch (out.exact.kind) { /* others may point into the part */
    case CEL_ERROR:
    case CEL_BOOL:
    case CEL_INT:
    case CEL_UINT:
    case CEL_DOUBLE:
        break;
    default:
        out = anything;
    }
    program_release(&part);
    return is_sound ? out : anything;
}

/* ---- numbers ---- */

static bool number_of(const struct span *s, double *lo, double *hi)
{
    if (s->kind == SPAN_NUMBER) {
        *lo = s->lo;
        *hi = s->hi;
        return true;
    }
    if (s->kind != SPAN_EXACT || !kind_is_number(s->exact.kind))
        return false;
    *lo = *hi = s->exact.kind == CEL_DOUBLE ? s->exact.d
                : s->exact.kind == CEL_INT  ? (double)s->exact.i
                                            : (double)s->exact.u;
    return !isnan(*lo);
}

/* For arithmetic, where numbers of other kinds would be another operator, or none. */
static bool double_of(const struct span *s, double *lo, double *hi)
{
    return (s->kind != SPAN_EXACT || s->exact.kind == CEL_DOUBLE) && number_of(s, lo, hi);
}

static struct span between(const double *ends, size_t count)
{
    struct span out = { .kind = SPAN_NUMBER, .lo = ends[0], .hi = ends[0] };

    for (size_t i = 0; i < count; i++) {
        if (!isfinite(ends[i]))
            return anything;
        out.lo = fmin(out.lo, ends[i]);
        out.hi = fmax(out.hi, ends[i]);
    }
    return out;
}

static bool is_error(const struct span *s)
{
    return s->kind == SPAN_EXACT && s->exact.kind == CEL_ERROR;
}

static struct span arithmetic(enum cel_op op, const struct span *x, const struct span *y)
{
    double a, b, c, d;

    if (is_error(x) || is_error(y))
        return is_error(x) ? *x : *y;
    if (!double_of(x, &a, &b) || !double_of(y, &c, &d))
        return anything;
    switch (op) {
    case OP_ADD:
        return between((double[]){ a + c, b + d }, 2);
    case OP_SUB:
        return between((double[]){ a - d, b - c }, 2);
    case OP_MUL:
        return between((double[]){ a * c, a * d, b * c, b * d }, 4);
    case OP_DIV:
        if (c <= 0 && d >= 0)
            return anything;
        return between((double[]){ a / c, a / d, b / c, b / d }, 4);
    default:
        return anything;
    }
}

/* ---- conditions ---- */

static unsigned bools_of(const struct span *s)
{
    if (s->kind == SPAN_BOOLS)
        return s->bools;
    if (s->kind == SPAN_EXACT && s->exact.kind == CEL_BOOL)
        return s->exact.b ? CEL_MAY_BE_TRUE : CEL_MAY_BE_FALSE;
    return CEL_MAY_BE_ERROR;
}

static struct span bools(unsigned may)
{
    return (struct span){ .kind = SPAN_BOOLS, .bools = may };
}

static struct span told(bool may_hold, bool may_not)
{
    return bools((may_hold ? CEL_MAY_BE_TRUE : 0u) | (may_not ? CEL_MAY_BE_FALSE : 0u));
}

static struct span compare(enum cel_op op, const struct span *x, const struct span *y)
{
    double a, b, c, d;

    if (is_error(x) || is_error(y))
        return bools(CEL_MAY_BE_ERROR);
    if (!number_of(x, &a, &b) || !number_of(y, &c, &d))
        return anything;
    switch (op) {
    case OP_LT:
        return told(a < d, b >= c);
    case OP_LE:
        return told(a <= d, b > c);
    case OP_GT:
        return told(b > c, a <= d);
    case OP_GE:
        return told(b >= c, a < d);
    case OP_EQ:
        return told(a <= d && c <= b, a != b || c != d || a != c);
    default: /* OP_NE */
        return told(a != b || c != d || a != c, a <= d && c <= b);
    }
}

/* `decisive` is what makes the whole so by itself: false of &&, true of ||. */
static struct span join(const struct span *x, const struct span *y, unsigned decisive)
{
    unsigned a = bools_of(x), b = bools_of(y);
    unsigned other = (CEL_MAY_BE_TRUE | CEL_MAY_BE_FALSE) & ~decisive;
    unsigned may = (a | b) & decisive;

    if (a & other && b & other)
        may |= other;
    if ((a & CEL_MAY_BE_ERROR && b & (other | CEL_MAY_BE_ERROR)) ||
        (b & CEL_MAY_BE_ERROR && a & (other | CEL_MAY_BE_ERROR)))
        may |= CEL_MAY_BE_ERROR;
    return bools(may);
}

static struct span negate(const struct span *x)
{
    unsigned may = bools_of(x);

    return bools((may & CEL_MAY_BE_ERROR) | (may & CEL_MAY_BE_TRUE ? CEL_MAY_BE_FALSE : 0u) |
                 (may & CEL_MAY_BE_FALSE ? CEL_MAY_BE_TRUE : 0u));
}

/* ---- the tree ---- */

static struct span span_of(const struct asked *a, struct node *node);

/* x in [1, 2, 3] */
static struct span among(const struct asked *a, const struct node *node)
{
    struct span x = span_of(a, node->a), out = bools(CEL_MAY_BE_FALSE);

    if (node->b->kind != NODE_LIST || node->b->optional_items)
        return anything;
    for (size_t i = 0; i < node->b->count; i++) {
        struct span item = span_of(a, node->b->items[i]), is_equal;
        double lo, hi;

        if (item.kind == SPAN_EXACT && item.exact.kind == CEL_BOOL)
            return anything;
        if (!number_of(&item, &lo, &hi))
            return anything;
        is_equal = compare(OP_EQ, &x, &item);
        out = join(&out, &is_equal, CEL_MAY_BE_TRUE);
    }
    return out;
}

static struct span binary(const struct asked *a, const struct node *node)
{
    struct span x, y;

    if (node->op == OP_IN)
        return among(a, node);
    x = span_of(a, node->a);
    y = span_of(a, node->b);
    switch (node->op) {
    case OP_AND:
        return join(&x, &y, CEL_MAY_BE_FALSE);
    case OP_OR:
        return join(&x, &y, CEL_MAY_BE_TRUE);
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_EQ:
    case OP_NE:
        return compare(node->op, &x, &y);
    default:
        return arithmetic(node->op, &x, &y);
    }
}

static struct span unary(const struct asked *a, const struct node *node)
{
    struct span x = span_of(a, node->a);
    double lo, hi;

    if (node->op == OP_NOT)
        return negate(&x);
    if (node->op != OP_SUB || !double_of(&x, &lo, &hi))
        return anything;
    return between((double[]){ -lo, -hi }, 2);
}

static struct span choice(const struct asked *a, const struct node *node)
{
    struct span condition = span_of(a, node->a), x, y;
    unsigned may = bools_of(&condition);
    double lo, hi, low, high;

    if (may == CEL_MAY_BE_TRUE)
        return span_of(a, node->b);
    if (may == CEL_MAY_BE_FALSE)
        return span_of(a, node->c);
    x = span_of(a, node->b);
    y = span_of(a, node->c);
    if (number_of(&x, &lo, &hi) || number_of(&y, &low, &high)) {
        if (may & CEL_MAY_BE_ERROR || !double_of(&x, &lo, &hi) || !double_of(&y, &low, &high))
            return anything;
        return between((double[]){ lo, hi, low, high }, 4);
    }
    return bools((may & CEL_MAY_BE_ERROR) | bools_of(&x) | bools_of(&y));
}

/* Functions of one double that rise, or of which the ends tell all. */
static struct span call(const struct asked *a, const struct node *node)
{
    static const struct {
        const char *name;
        double (*call)(double);
        double from;
    } rising[] = { { "math.floor", floor, -INFINITY },
                   { "math.ceil", ceil, -INFINITY },
                   { "math.round", round, -INFINITY },
                   { "math.trunc", trunc, -INFINITY },
                   { "math.sqrt", sqrt, 0 } };
    struct span x;
    double lo, hi;

    if (!node->builtin || node->count != 1)
        return anything;
    x = span_of(a, node->items[0]);
    if (!double_of(&x, &lo, &hi))
        return anything;
    if (strcmp(node->builtin->name, "math.abs") == 0)
        return lo <= 0 && hi >= 0 ? between((double[]){ 0, -lo, hi }, 3)
                                  : between((double[]){ fabs(lo), fabs(hi) }, 2);
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++) {
        if (strcmp(node->builtin->name, rising[i].name) == 0 && lo >= rising[i].from)
            return between((double[]){ rising[i].call(lo), rising[i].call(hi) }, 2);
    }
    return anything;
}

static struct span span_of(const struct asked *a, struct node *node)
{
    if (!mentions(a, node))
        return exact_of(a, node);
    switch (node->kind) {
    case NODE_NAME:
        return (struct span){ .kind = SPAN_NUMBER, .lo = a->lo, .hi = a->hi };
    case NODE_HAS:
        return node->a->kind == NODE_NAME ? bools(CEL_MAY_BE_TRUE) : anything;
    case NODE_BINARY:
        return binary(a, node);
    case NODE_UNARY:
        return unary(a, node);
    case NODE_TERNARY:
        return choice(a, node);
    case NODE_CALL:
        return call(a, node);
    default:
        return anything;
    }
}

unsigned cel_may(const struct cel_program *program, const struct cel_input *input, const uint32_t *slots,
                 size_t slot_count, double lo, double hi)
{
    struct asked asked = { program, input, slots, slot_count, lo, hi };
    struct span whole = span_of(&asked, program->root);

    return bools_of(&whole);
}
