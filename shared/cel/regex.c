/* SPDX-License-Identifier: Apache-2.0
 * regex.c - regular expressions in RE2's syntax (github.com/google/re2/wiki/Syntax), searched in one pass.
 *
 *   pattern -- parse --> tree -- compile --> code for an automaton that is in many places at once
 *
 * All places that the automaton may be in move together over the text, a place at most once for each character
 * (Thompson 1968): time is the text's length times the program's, whatever the pattern. There are no back
 * references, and nothing is captured. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "cel/ast.h"
#include "cel/unicode.h"

enum {
    CODE_MAX = 2048,    /* instructions */
    WORK_MAX = 1 << 17, /* nodes visited to make them: a{1000} of nothing makes none */
    RANGES_MAX = 1 << 14,
    NESTING_MAX = 100,
    REPEAT_MAX = 1000,
    LAST_POINT = 0x10ffff,
};

/* ---- sets of characters ---- */

struct set {
    struct unicode_range *ranges; /* rising and apart, once normalised */
    size_t count, cap;
};

enum rkind { R_EMPTY, R_SET, R_ASSERT, R_CAT, R_ALT, R_REPEAT };
enum assertion { AT_TEXT_START, AT_TEXT_END, AT_LINE_START, AT_LINE_END, AT_WORD, AT_NO_WORD };

struct rnode {
    enum rkind kind;
    enum assertion assertion;
    struct set set;
    int least, most;     /* R_REPEAT; most -1: no end */
    struct rnode *first; /* of R_CAT and R_ALT, and what R_REPEAT repeats */
    struct rnode *next;  /* beside it */
};

struct flags {
    bool any_case, lines, dot_all;
};

struct parser {
    struct slice rest;
    struct arena *arena;
    const char *what; /* what is wrong */
    struct flags flags;
    int depth;
    size_t ranges; /* made so far */
};

static bool refuse(struct parser *p, const char *what)
{
    if (!p->what)
        p->what = what;
    return false;
}

static void set_add(struct parser *p, struct set *set, uint32_t from, uint32_t to)
{
    if (++p->ranges > RANGES_MAX) {
        refuse(p, "too large");
        return;
    }
    if (set->count == set->cap) {
        size_t cap = set->cap ? 2 * set->cap : 4;
        struct unicode_range *ranges = arena_new(p->arena, struct unicode_range, cap);

        if (set->count)
            memcpy(ranges, set->ranges, set->count * sizeof *ranges);
        set->ranges = ranges;
        set->cap = cap;
    }
    set->ranges[set->count++] = (struct unicode_range){ from, to };
}

static int by_start(const void *a, const void *b)
{
    uint32_t x = ((const struct unicode_range *)a)->from, y = ((const struct unicode_range *)b)->from;

    return x < y ? -1 : x > y;
}

/* Sorts, and joins what touches. */
static void set_normalise(struct set *set)
{
    size_t kept = 0;

    if (set->count)
        qsort(set->ranges, set->count, sizeof *set->ranges, by_start);
    for (size_t i = 0; i < set->count; i++) {
        if (kept && set->ranges[i].from <= set->ranges[kept - 1].to + 1) {
            if (set->ranges[i].to > set->ranges[kept - 1].to)
                set->ranges[kept - 1].to = set->ranges[i].to;
        } else {
            set->ranges[kept++] = set->ranges[i];
        }
    }
    set->count = kept;
}

static void set_negate(struct parser *p, struct set *set)
{
    struct set other = { 0 };
    uint32_t from = 0;

    set_normalise(set);
    for (size_t i = 0; i < set->count; i++) {
        if (set->ranges[i].from > from)
            set_add(p, &other, from, set->ranges[i].from - 1);
        from = set->ranges[i].to + 1;
    }
    if (from <= LAST_POINT)
        set_add(p, &other, from, LAST_POINT);
    *set = other;
}

static void set_add_all(struct parser *p, struct set *set, const struct set *other)
{
    for (size_t i = 0; i < other->count; i++)
        set_add(p, set, other->ranges[i].from, other->ranges[i].to);
}

/* Adds the other cases of what is in the set from number `begin` on. */
static void fold_once(struct parser *p, struct set *set, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        struct unicode_range range = set->ranges[i];

        for (size_t f = 0; f < unicode_fold_count; f++) {
            const struct unicode_fold *fold = &unicode_folds[f];
            uint32_t from = range.from > fold->first ? range.from : fold->first;
            uint32_t to = range.to < fold->last ? range.to : fold->last;

            if (from > to)
                continue;
            if (fold->step == 1) {
                set_add(p, set, (uint32_t)((int32_t)from + fold->by), (uint32_t)((int32_t)to + fold->by));
                continue;
            }
            for (from += (from - fold->first) % 2; from <= to; from += 2)
                set_add(p, set, (uint32_t)((int32_t)from + fold->by), (uint32_t)((int32_t)from + fold->by));
        }
    }
}

/* A letter has at most four cases, which form a ring. */
static void set_fold(struct parser *p, struct set *set)
{
    for (size_t round = 0, begin = 0; round < 3 && !p->what; round++) {
        size_t end = set->count;

        fold_once(p, set, begin, end);
        begin = end;
    }
}

static void add_text(struct parser *p, struct set *set, const char *pairs)
{
    for (; *pairs; pairs += 2)
        set_add(p, set, (unsigned char)pairs[0], (unsigned char)pairs[1]);
}

/* ---- classes ---- */

static bool add_named(struct parser *p, struct set *set, struct slice name)
{
    bool is_found = slice_eq_str(name, "Any");

    if (is_found)
        set_add(p, set, 0, LAST_POINT);
    for (size_t i = 0; i < unicode_class_count; i++) {
        const struct unicode_class *class = &unicode_classes[i];
        struct slice full = slice_str(class->name);

        if (!slice_eq(full, name) && !(name.len == 1 && full.len == 2 && full.ptr[0] == name.ptr[0]))
            continue;
        is_found = true;
        for (size_t r = 0; r < class->count; r++)
            set_add(p, set, unicode_ranges[class->first + r].from, unicode_ranges[class->first + r].to);
    }
    return is_found || refuse(p, "unknown class of characters");
}

static int peek(const struct parser *p)
{
    return p->rest.len ? (unsigned char)p->rest.ptr[0] : -1;
}

static void skip(struct parser *p, size_t bytes)
{
    p->rest = slice_of(p->rest.ptr + bytes, p->rest.len - bytes);
}

static bool take(struct parser *p, const char *text)
{
    struct slice wanted = slice_str(text);

    if (!slice_starts_with(p->rest, wanted))
        return false;
    skip(p, wanted.len);
    return true;
}

/* Adds what `one` holds, or all else. */
static void add_class(struct parser *p, struct set *set, struct set *one, bool is_negated)
{
    if (p->flags.any_case)
        set_fold(p, one);
    if (is_negated)
        set_negate(p, one);
    set_add_all(p, set, one);
}

/* \pL, \p{Greek}, \P{^Lu}; the p was taken. */
static bool parse_unicode(struct parser *p, struct set *set, bool is_negated)
{
    struct set one = { 0 };
    struct slice name;
    const char *end;

    if (take(p, "{")) {
        end = p->rest.len ? memchr(p->rest.ptr, '}', p->rest.len) : NULL;
        if (!end)
            return refuse(p, "a class has no end");
        name = slice_of(p->rest.ptr, (size_t)(end - p->rest.ptr));
        skip(p, name.len + 1);
        if (name.len && name.ptr[0] == '^') {
            is_negated = !is_negated;
            name = slice_of(name.ptr + 1, name.len - 1);
        }
    } else {
        name = slice_of(p->rest.ptr, p->rest.len ? 1 : 0);
        skip(p, name.len);
    }
    if (!add_named(p, &one, name))
        return false;
    add_class(p, set, &one, is_negated);
    return true;
}

/* Pairs of first and last. */
static const struct {
    const char *name, *pairs;
} ascii_classes[] = {
    { "alnum", "09AZaz" },
    { "alpha", "AZaz" },
    { "ascii", "\x01\x7f" },
    { "blank", "\t\t  " },
    { "cntrl", "\x01\x1f\x7f\x7f" },
    { "digit", "09" },
    { "graph", "!~" },
    { "lower", "az" },
    { "print", " ~" },
    { "punct", "!/:@[`{~" },
    { "space", "\t\r  " },
    { "upper", "AZ" },
    { "word", "09AZ__az" },
    { "xdigit", "09AFaf" },
};

/* [:alpha:], [:^alpha:]; the "[:" was taken. */
static bool parse_ascii(struct parser *p, struct set *set)
{
    bool is_negated = take(p, "^");

    for (size_t i = 0; i < ARRAY_LEN(ascii_classes); i++) {
        struct slice name = slice_str(ascii_classes[i].name);
        struct set one = { 0 };

        if (!slice_starts_with(p->rest, name) || p->rest.len < name.len + 2 ||
            memcmp(p->rest.ptr + name.len, ":]", 2) != 0)
            continue;
        skip(p, name.len + 2);
        add_text(p, &one, ascii_classes[i].pairs);
        if (slice_eq_str(name, "ascii") || slice_eq_str(name, "cntrl"))
            set_add(p, &one, 0, 0);
        add_class(p, set, &one, is_negated);
        return true;
    }
    return refuse(p, "unknown class of characters");
}

/* \d \D \s \S \w \W \p \P behind the backslash; false without a fault when it is none of them. */
static bool parse_perl(struct parser *p, struct set *set)
{
    static const struct {
        char letter;
        const char *pairs;
    } classes[] = { { 'd', "09" }, { 's', "\t\n\f\r  " }, { 'w', "09AZ__az" } };
    int c = peek(p);

    if (c == 'p' || c == 'P') {
        skip(p, 1);
        return parse_unicode(p, set, c == 'P');
    }
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        struct set one = { 0 };

        if ((c | 0x20) != classes[i].letter || c < 0)
            continue;
        skip(p, 1);
        add_text(p, &one, classes[i].pairs);
        add_class(p, set, &one, c != classes[i].letter);
        return true;
    }
    return false;
}

static int digit_of(int c, int base)
{
    int value = c >= '0' && c <= '9'                     ? c - '0'
                : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                         : 99;

    return c >= 0 && value < base ? value : -1;
}

static bool parse_hex(struct parser *p, uint32_t *out)
{
    bool is_braced = take(p, "{");
    int digits = 0;

    *out = 0;
    for (; digit_of(peek(p), 16) >= 0 && digits < (is_braced ? 8 : 2); digits++, skip(p, 1))
        *out = *out << 4 | (uint32_t)digit_of(peek(p), 16);
    if ((is_braced ? digits == 0 || !take(p, "}") : digits != 2) || *out > LAST_POINT)
        return refuse(p, "no such escape");
    return true;
}

/* One character; the backslash was taken. */
static bool parse_escape(struct parser *p, uint32_t *out)
{
    static const char plain[] = "a\af\fn\nr\rt\tv\v";
    int c = peek(p);

    if (c < 0)
        return refuse(p, "a backslash at the end");
    for (size_t i = 0; i + 1 < sizeof plain; i += 2) {
        if (c == plain[i]) {
            skip(p, 1);
            *out = (unsigned char)plain[i + 1];
            return true;
        }
    }
    if (take(p, "x"))
        return parse_hex(p, out);
    if (c == '0' || (c >= '1' && c <= '7' && p->rest.len > 1 && digit_of(p->rest.ptr[1], 8) >= 0)) {
        *out = 0;
        for (int i = 0; i < 3 && digit_of(peek(p), 8) >= 0; i++, skip(p, 1))
            *out = *out * 8 + (uint32_t)digit_of(peek(p), 8);
        return true;
    }
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80)
        return refuse(p, "no such escape");
    skip(p, 1);
    *out = (uint32_t)c;
    return true;
}

static bool parse_point(struct parser *p, uint32_t *out)
{
    if (take(p, "\\"))
        return parse_escape(p, out);
    if (p->rest.len == 0)
        return refuse(p, "a [ has no end");
    *out = text_next(&p->rest);
    return true;
}

/* One thing between brackets: a class, a character or a range of them. */
static bool parse_member(struct parser *p, struct set *set)
{
    uint32_t from, to;
    struct set one = { 0 };

    if (take(p, "[:"))
        return parse_ascii(p, set);
    if (p->rest.len > 1 && p->rest.ptr[0] == '\\') {
        struct slice before = p->rest;

        skip(p, 1);
        if (parse_perl(p, set) || p->what)
            return !p->what;
        p->rest = before;
    }
    if (!parse_point(p, &from))
        return false;
    to = from;
    if (p->rest.len > 1 && p->rest.ptr[0] == '-' && p->rest.ptr[1] != ']') {
        skip(p, 1);
        if (!parse_point(p, &to))
            return false;
    }
    if (to < from)
        return refuse(p, "a range that runs backwards");
    set_add(p, &one, from, to);
    add_class(p, set, &one, false);
    return true;
}

/* [...]; the [ was taken. */
static bool parse_set(struct parser *p, struct set *set)
{
    bool is_negated = take(p, "^");

    for (bool is_first = true; is_first || peek(p) != ']'; is_first = false) {
        if (p->rest.len == 0)
            return refuse(p, "a [ has no end");
        if (!parse_member(p, set) || p->what)
            return false;
    }
    skip(p, 1);
    if (is_negated)
        set_negate(p, set);
    return !p->what;
}

/* ---- the tree ---- */

static struct rnode *node_new(struct parser *p, enum rkind kind)
{
    struct rnode *node = arena_new(p->arena, struct rnode, 1);

    node->kind = kind;
    return node;
}

static struct rnode *point_node(struct parser *p, uint32_t c)
{
    struct rnode *node = node_new(p, R_SET);

    set_add(p, &node->set, c, c);
    if (p->flags.any_case)
        set_fold(p, &node->set);
    set_normalise(&node->set);
    return node;
}

static struct rnode *assert_node(struct parser *p, enum assertion assertion)
{
    struct rnode *node = node_new(p, R_ASSERT);

    node->assertion = assertion;
    return node;
}

static struct rnode *parse_alternatives(struct parser *p);

/* (?i) and (?i-s: and names; the "(?" was taken. True with *is_group when a group follows. */
static bool parse_flags(struct parser *p, bool *is_group)
{
    bool value = true, is_any = false;

    *is_group = true;
    if (take(p, "P<") || take(p, "<")) {
        size_t len = 0;

        while (len < p->rest.len && (digit_of(p->rest.ptr[len], 10) >= 0 || p->rest.ptr[len] == '_' ||
                                     ((p->rest.ptr[len] | 0x20) >= 'a' && (p->rest.ptr[len] | 0x20) <= 'z')))
            len++;
        skip(p, len);
        return (len && take(p, ">")) || refuse(p, "a group's name is not one");
    }
    for (;; is_any = true) {
        if (take(p, "i"))
            p->flags.any_case = value;
        else if (take(p, "m"))
            p->flags.lines = value;
        else if (take(p, "s"))
            p->flags.dot_all = value;
        else if (take(p, "U"))
            continue; /* which of several matches is found does not matter here */
        else if (value && take(p, "-"))
            value = false;
        else
            break;
    }
    if (take(p, ":"))
        return true;
    *is_group = false;
    return (is_any && take(p, ")")) || refuse(p, "what follows (? is not known");
}

static struct rnode *parse_group(struct parser *p)
{
    struct flags before = p->flags;
    struct rnode *inner;
    bool is_group = true;

    if (take(p, "?") && !parse_flags(p, &is_group))
        return NULL;
    if (!is_group) /* the flags hold until the group around ends */
        return node_new(p, R_EMPTY);
    if (++p->depth > NESTING_MAX) {
        refuse(p, "too many groups inside each other");
        return NULL;
    }
    inner = parse_alternatives(p);
    p->depth--;
    p->flags = before;
    if (inner && !take(p, ")")) {
        refuse(p, "a ( has no end");
        return NULL;
    }
    return inner;
}

/* \Q...\E */
static struct rnode *parse_quoted(struct parser *p)
{
    struct rnode *cat = node_new(p, R_CAT), **next = &cat->first;

    while (p->rest.len && !take(p, "\\E")) {
        *next = point_node(p, text_next(&p->rest));
        next = &(*next)->next;
    }
    return cat;
}

static struct rnode *parse_backslash(struct parser *p)
{
    struct rnode *node = node_new(p, R_SET);
    uint32_t c;

    if (take(p, "A"))
        return assert_node(p, AT_TEXT_START);
    if (take(p, "z"))
        return assert_node(p, AT_TEXT_END);
    if (take(p, "b"))
        return assert_node(p, AT_WORD);
    if (take(p, "B"))
        return assert_node(p, AT_NO_WORD);
    if (take(p, "Q"))
        return parse_quoted(p);
    if (parse_perl(p, &node->set)) {
        set_normalise(&node->set);
        return node;
    }
    return !p->what && parse_escape(p, &c) ? point_node(p, c) : NULL;
}

static struct rnode *parse_dot(struct parser *p)
{
    struct rnode *node = node_new(p, R_SET);

    if (p->flags.dot_all) {
        set_add(p, &node->set, 0, LAST_POINT);
    } else {
        set_add(p, &node->set, 0, '\n' - 1);
        set_add(p, &node->set, '\n' + 1, LAST_POINT);
    }
    return node;
}

static struct rnode *parse_atom(struct parser *p)
{
    struct rnode *node;

    if (take(p, "("))
        return parse_group(p);
    if (take(p, "[")) {
        node = node_new(p, R_SET);
        if (!parse_set(p, &node->set))
            return NULL;
        set_normalise(&node->set);
        return node;
    }
    if (take(p, "."))
        return parse_dot(p);
    if (take(p, "^"))
        return assert_node(p, p->flags.lines ? AT_LINE_START : AT_TEXT_START);
    if (take(p, "$"))
        return assert_node(p, p->flags.lines ? AT_LINE_END : AT_TEXT_END);
    if (take(p, "\\"))
        return parse_backslash(p);
    return point_node(p, text_next(&p->rest));
}

static bool take_number(struct slice *s, int *out)
{
    size_t digits = 0;

    for (*out = 0; s->len && digit_of(s->ptr[0], 10) >= 0 && digits < 5; digits++) {
        *out = *out * 10 + (s->ptr[0] - '0');
        *s = slice_of(s->ptr + 1, s->len - 1);
    }
    return digits > 0;
}

/* {2}, {2,}, {2,5}: anything else between braces stands for itself. */
static bool take_counts(struct parser *p, int *least, int *most)
{
    struct slice s = p->rest;

    if (s.len == 0 || s.ptr[0] != '{')
        return false;
    s = slice_of(s.ptr + 1, s.len - 1);
    if (!take_number(&s, least))
        return false;
    *most = *least;
    if (s.len && s.ptr[0] == ',') {
        s = slice_of(s.ptr + 1, s.len - 1);
        if (!take_number(&s, most))
            *most = -1;
    }
    if (s.len == 0 || s.ptr[0] != '}')
        return false;
    p->rest = slice_of(s.ptr + 1, s.len - 1);
    return true;
}

static bool take_repeat(struct parser *p, int *least, int *most)
{
    *least = 0;
    *most = -1;
    if (take(p, "*"))
        return true;
    *least = 1;
    if (take(p, "+"))
        return true;
    *least = 0;
    *most = 1;
    return take(p, "?") || take_counts(p, least, most);
}

static struct rnode *parse_repeat(struct parser *p)
{
    int least, most;
    struct rnode *node;

    if (take_repeat(p, &least, &most)) {
        refuse(p, "nothing stands before a repetition");
        return NULL;
    }
    node = parse_atom(p);
    if (!node || !take_repeat(p, &least, &most))
        return node;
    take(p, "?"); /* the shortest match first: no matter here */
    if (least > REPEAT_MAX || most > REPEAT_MAX || (most >= 0 && most < least)) {
        refuse(p, "a repetition by too much, or backwards");
        return NULL;
    }
    if (take_repeat(p, &(int){ 0 }, &(int){ 0 })) {
        refuse(p, "a repetition of a repetition");
        return NULL;
    }
    struct rnode *repeat = node_new(p, R_REPEAT);
    repeat->least = least;
    repeat->most = most;
    repeat->first = node;
    return repeat;
}

static struct rnode *parse_sequence(struct parser *p)
{
    struct rnode *cat = node_new(p, R_CAT), **next = &cat->first;

    while (p->rest.len && peek(p) != '|' && peek(p) != ')') {
        *next = parse_repeat(p);
        if (!*next || p->what)
            return NULL;
        while (*next)
            next = &(*next)->next;
    }
    return cat;
}

static struct rnode *parse_alternatives(struct parser *p)
{
    struct rnode *alt = node_new(p, R_ALT), **next = &alt->first;

    do {
        *next = parse_sequence(p);
        if (!*next)
            return NULL;
        next = &(*next)->next;
    } while (take(p, "|"));
    return alt;
}

/* ---- the automaton ---- */

enum rop { DO_SET, DO_SPLIT, DO_JUMP, DO_ASSERT, DO_MATCH };

struct rinstr {
    uint8_t op, assertion;
    uint16_t x, y; /* where a split or a jump goes */
    const struct set *set;
};

struct regex {
    struct rinstr *code;
    size_t count;
};

struct compiler {
    struct rinstr code[CODE_MAX];
    size_t count, work;
};

static size_t put(struct compiler *c, struct rinstr instr)
{
    if (c->count < CODE_MAX)
        c->code[c->count] = instr;
    else
        c->work = WORK_MAX + 1;
    return c->count < CODE_MAX ? c->count++ : 0;
}

static void compile(struct compiler *c, const struct rnode *node);

static void compile_alternatives(struct compiler *c, const struct rnode *node)
{
    size_t jump = 0; /* to the end; holds the one before it in y until the end is known */

    for (const struct rnode *branch = node->first; branch; branch = branch->next) {
        size_t split = 0;

        if (branch->next)
            split = put(c, (struct rinstr){ .op = DO_SPLIT, .x = (uint16_t)(c->count + 1) });
        compile(c, branch);
        if (branch->next) {
            jump = put(c, (struct rinstr){ .op = DO_JUMP, .y = (uint16_t)jump });
            c->code[split].y = (uint16_t)c->count;
        }
    }
    while (jump) {
        size_t before = c->code[jump].y;

        c->code[jump].x = (uint16_t)c->count;
        jump = before;
    }
}

static void compile_repeat(struct compiler *c, const struct rnode *node)
{
    size_t split;

    for (int i = 0; i < node->least && c->work <= WORK_MAX; i++)
        compile(c, node->first);
    if (node->most < 0) {
        split = put(c, (struct rinstr){ .op = DO_SPLIT, .x = (uint16_t)(c->count + 1) });
        compile(c, node->first);
        put(c, (struct rinstr){ .op = DO_JUMP, .x = (uint16_t)split });
        c->code[split].y = (uint16_t)c->count;
        return;
    }
    for (int i = node->least; i < node->most && c->work <= WORK_MAX; i++) {
        split = put(c, (struct rinstr){ .op = DO_SPLIT, .x = (uint16_t)(c->count + 1) });
        compile(c, node->first);
        c->code[split].y =
            (uint16_t)c->count; /* out of this one is before the next, which may be left out too */
    }
}

static void compile(struct compiler *c, const struct rnode *node)
{
    if (++c->work > WORK_MAX)
        return;
    switch (node->kind) {
    case R_EMPTY:
        break;
    case R_SET:
        put(c, (struct rinstr){ .op = DO_SET, .set = &node->set });
        break;
    case R_ASSERT:
        put(c, (struct rinstr){ .op = DO_ASSERT, .assertion = (uint8_t)node->assertion });
        break;
    case R_CAT:
        for (const struct rnode *part = node->first; part; part = part->next)
            compile(c, part);
        break;
    case R_ALT:
        compile_alternatives(c, node);
        break;
    case R_REPEAT:
        compile_repeat(c, node);
        break;
    }
}

bool regex_compile(struct regex **out, struct slice pattern, struct arena *arena, const char **what)
{
    struct parser p = { .rest = pattern, .arena = arena };
    struct compiler c;
    struct rnode *root = parse_alternatives(&p);
    struct regex *regex;

    *out = NULL;
    if (root && !p.what && p.rest.len)
        refuse(&p, "a ) without a (");
    *what = p.what ? p.what : "not understood";
    if (!root || p.what)
        return false;
    c.count = c.work = 0;
    put(&c, (struct rinstr){ .op = DO_JUMP, .x = 1 }); /* so that no jump of a list is at 0 */
    compile(&c, root);
    put(&c, (struct rinstr){ .op = DO_MATCH });
    *what = "too large";
    if (c.work > WORK_MAX)
        return false;
    regex = arena_new(arena, struct regex, 1);
    regex->code = arena_new(arena, struct rinstr, c.count);
    memcpy(regex->code, c.code, c.count * sizeof *c.code);
    regex->count = c.count;
    *out = regex;
    return true;
}

size_t regex_size(const struct regex *regex)
{
    return regex->count;
}

/* ---- searching ---- */

/* The places that the automaton is in: each once. */
struct places {
    uint16_t items[CODE_MAX], index[CODE_MAX];
    size_t count;
};

struct search {
    const struct regex *regex;
    struct slice text;
    const char *at; /* between two characters */
    bool is_matched;
    uint16_t stack[2 * CODE_MAX];
};

static bool has_place(const struct places *places, uint16_t place)
{
    uint16_t i = places->index[place];

    return i < places->count && places->items[i] == place;
}

static bool is_word(const char *c, const char *begin, const char *end)
{
    return c >= begin && c < end &&
           ((*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') || *c == '_');
}

static bool holds(const struct search *s, enum assertion assertion)
{
    const char *begin = s->text.ptr, *end = begin + s->text.len;
    bool is_edge;

    switch (assertion) {
    case AT_TEXT_START:
        return s->at == begin;
    case AT_TEXT_END:
        return s->at == end;
    case AT_LINE_START:
        return s->at == begin || s->at[-1] == '\n';
    case AT_LINE_END:
        return s->at == end || *s->at == '\n';
    default:
        is_edge = is_word(s->at - 1, begin, end) != is_word(s->at, begin, end);
        return is_edge == (assertion == AT_WORD);
    }
}

/* Adds the place and all that are reached from it without a character. */
static void add_place(struct search *s, struct places *places, uint16_t first)
{
    size_t depth = 0;

    s->stack[depth++] = first;
    while (depth) {
        uint16_t place = s->stack[--depth];
        const struct rinstr *i = &s->regex->code[place];

        if (has_place(places, place))
            continue;
        places->index[place] = (uint16_t)places->count;
        places->items[places->count++] = place;
        switch (i->op) {
        case DO_SPLIT:
            s->stack[depth++] = i->y;
            s->stack[depth++] = i->x;
            break;
        case DO_JUMP:
            s->stack[depth++] = i->x;
            break;
        case DO_ASSERT:
            if (holds(s, (enum assertion)i->assertion))
                s->stack[depth++] = (uint16_t)(place + 1);
            break;
        case DO_MATCH:
            s->is_matched = true;
            break;
        default:
            break;
        }
    }
}

static bool set_has(const struct set *set, uint32_t c)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (c < set->ranges[middle].from)
            high = middle;
        else if (c > set->ranges[middle].to)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

struct cel_value regex_search(const struct regex *regex, struct slice text, struct machine *m)
{
    struct places lists[2], *now = &lists[0], *then = &lists[1], *other;
    struct search s;
    struct slice rest = text.ptr ? text : SLICE("");

    s.regex = regex;
    s.text = rest;
    s.is_matched = false;
    for (size_t i = 0; i < 2; i++) {
        memset(lists[i].index, 0, regex->count * sizeof lists[i].index[0]);
        lists[i].count = 0;
    }
    s.at = rest.ptr;
    for (;;) {
        uint32_t c;

        add_place(&s, now, 0); /* a match may begin anywhere */
        if (s.is_matched)
            return cel_bool(true);
        if (rest.len == 0)
            return cel_bool(false);
        if (!machine_spend(m, 1 + now->count / 4))
            return cel_error(CEL_FAULT_STEPS);
        c = text_next(&rest);
        s.at = rest.ptr;
        then->count = 0;
        for (size_t i = 0; i < now->count; i++) {
            const struct rinstr *instr = &regex->code[now->items[i]];

            if (instr->op == DO_SET && set_has(instr->set, c))
                add_place(&s, then, (uint16_t)(now->items[i] + 1));
        }
        other = now;
        now = then;
        then = other;
    }
}
