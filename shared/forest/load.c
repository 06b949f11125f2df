/* SPDX-License-Identifier: Apache-2.0
 * load.c - reads XGBoost's model files and lays their trees out (nodes.h). Trusts nothing that it reads. */
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/mem.h"
#include "forest/nodes.h"
#include "forest/reader.h"

enum {
    CATEGORY_MAX = 65535,        /* the largest code in a set */
    CATEGORY_WORDS_MAX = 1 << 24 /* in all sets: what a small file could ask for */
};

/* One tree as the file has it; the memory is used again for the next. */
struct raw_tree {
    struct reader_i32s left, right, parents, columns, is_missing_left, split_type;
    struct reader_f32s thresholds, covers;
    struct reader_i32s categories, category_nodes, category_segments, category_sizes;
    int64_t num_nodes;
    struct reader_i32s set_of; /* per node: its place in category_nodes, or -1 */
};

/* An open end of the walk: node `old` of the file goes to `place`. */
struct pending {
    int32_t old;
    uint32_t depth;
    size_t place;
};

struct loading {
    struct reader r;
    struct forest *f;
    struct raw_tree tree;
    size_t node_cap, tree_cap, root_cap;
    size_t category_cap, word_count, word_cap;
    size_t columns_used; /* the largest column of a split, plus one */
    struct pending *pending;
    size_t pending_cap;
    bool *is_reached;
    size_t reached_cap;
    struct reader_i32s tree_info;
    bool has_trees, has_learner;
    int64_t num_trees, num_feature, num_class, num_target;
    float base_score;
    bool has_base_score;
    char objective[64], booster[32];
};

static bool invalid(struct loading *l, const char *what)
{
    return reader_fail(&l->r, ERR_INVALID, "%s", what);
}

/* Marks a member as seen; a second one of the same name could say something else. */
static bool once(struct loading *l, unsigned *seen, unsigned bit)
{
    if (*seen & (1u << bit))
        return invalid(l, "the same member twice");
    *seen |= 1u << bit;
    return true;
}

/* XGBoost writes its parameters as texts: "13". */
static bool read_count(struct loading *l, int64_t *value)
{
    struct slice text;

    if (!reader_text(&l->r, &text))
        return false;
    if (!slice_to_i64(text, value) || *value < 0)
        return reader_fail(&l->r, ERR_INVALID, "not a count: \"%.*s\"", (int)(text.len < 40 ? text.len : 40),
                           text.ptr);
    return true;
}

static void keep_text(char *to, size_t size, struct slice text)
{
    size_t len = text.len < size ? text.len : size - 1;

    memcpy(to, text.ptr, len);
    to[len] = '\0';
}

/* ---- one tree ---- */

static bool read_tree_param(struct loading *l)
{
    struct slice key;
    unsigned seen = 0;
    int64_t width;

    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        if (slice_eq_str(key, "num_nodes")) {
            if (!once(l, &seen, 0) || !read_count(l, &l->tree.num_nodes))
                return false;
        } else if (slice_eq_str(key, "size_leaf_vector")) {
            if (!once(l, &seen, 1) || !read_count(l, &width))
                return false;
            if (width > 1)
                return invalid(l, "trees with several outputs are not read");
        } else if (!reader_skip(&l->r)) {
            return false;
        }
    }
    return l->r.err == ERR_OK;
}

/* Columns of the tree's table, and the sizes that must agree. */
static bool read_tree_members(struct loading *l)
{
    struct raw_tree *t = &l->tree;
    const struct {
        const char *name;
        struct reader_i32s *ints;
        struct reader_f32s *floats;
        bool is_optional, is_per_node;
    } members[] = {
        { "left_children", &t->left, NULL, false, true },
        { "right_children", &t->right, NULL, false, true },
        { "parents", &t->parents, NULL, false, true },
        { "split_indices", &t->columns, NULL, false, true },
        { "split_conditions", NULL, &t->thresholds, false, true },
        { "default_left", &t->is_missing_left, NULL, false, true },
        { "sum_hessian", NULL, &t->covers, false, true },
        { "split_type", &t->split_type, NULL, true, true },
        { "categories", &t->categories, NULL, true, false },
        { "categories_nodes", &t->category_nodes, NULL, true, false },
        { "categories_segments", &t->category_segments, NULL, true, false },
        { "categories_sizes", &t->category_sizes, NULL, true, false },
    };
    const unsigned param_bit = ARRAY_LEN(members);
    struct slice key;
    unsigned seen = 0;

    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        *(members[i].ints ? &members[i].ints->count : &members[i].floats->count) = 0;
    t->num_nodes = 0;
    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        size_t i = 0;

        if (slice_eq_str(key, "tree_param")) {
            if (!once(l, &seen, param_bit) || !read_tree_param(l))
                return false;
            continue;
        }
        while (i < ARRAY_LEN(members) && !slice_eq_str(key, members[i].name))
            i++;
        if (i == ARRAY_LEN(members)) {
            if (!reader_skip(&l->r))
                return false;
            continue;
        }
        if (!once(l, &seen, (unsigned)i))
            return false;
        if (members[i].ints ? !reader_i32_array(&l->r, members[i].ints, FOREST_NODES_MAX)
                            : !reader_f32_array(&l->r, members[i].floats, FOREST_NODES_MAX))
            return false;
    }
    if (l->r.err != ERR_OK)
        return false;
    if (!(seen & (1u << param_bit)) || t->num_nodes == 0)
        return invalid(l, "a tree without nodes");
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        size_t count = members[i].ints ? members[i].ints->count : members[i].floats->count;

        if (!members[i].is_per_node || (members[i].is_optional && count == 0))
            continue;
        if ((uint64_t)t->num_nodes != count)
            return reader_fail(&l->r, ERR_INVALID, "%s has %zu items in a tree of %lld nodes",
                               members[i].name, count, (long long)t->num_nodes);
    }
    return true;
}

/* Which node has which set of categories. */
static bool find_sets(struct loading *l)
{
    struct raw_tree *t = &l->tree;
    size_t nodes = (size_t)t->num_nodes;

    if (t->category_segments.count != t->category_nodes.count ||
        t->category_sizes.count != t->category_nodes.count)
        return invalid(l, "the sizes of its categories differ");
    if (t->set_of.cap < nodes) {
        t->set_of.items = mem_grow(t->set_of.items, nodes, sizeof *t->set_of.items);
        t->set_of.cap = nodes;
    }
    memset(t->set_of.items, 0xff, nodes * sizeof *t->set_of.items);
    for (size_t i = 0; i < t->category_nodes.count; i++) {
        int32_t node = t->category_nodes.items[i], first = t->category_segments.items[i],
                size = t->category_sizes.items[i];

        if (node < 0 || (size_t)node >= nodes || t->set_of.items[node] != -1)
            return invalid(l, "categories of a node that is not there");
        if (first < 0 || size < 0 || (size_t)first > t->categories.count ||
            (size_t)size > t->categories.count - (size_t)first)
            return invalid(l, "categories outside of their list");
        t->set_of.items[node] = (int32_t)i;
    }
    return true;
}

static bool is_categorical(const struct raw_tree *t, int32_t node)
{
    return t->split_type.count > 0 && t->split_type.items[node] == 1;
}

/* Keeps the split of `node` aside; its slot is given when all are known. */
static bool add_category_split(struct loading *l, int32_t node, size_t place)
{
    struct forest *f = l->f;
    struct raw_tree *t = &l->tree;
    int32_t set = t->set_of.items[node], largest = 0;
    const int32_t *codes;
    size_t size, words;

    if (set < 0)
        return invalid(l, "a categorical split without categories");
    codes = t->categories.items + t->category_segments.items[set];
    size = (size_t)t->category_sizes.items[set];
    for (size_t i = 0; i < size; i++) {
        if (codes[i] < 0 || codes[i] > CATEGORY_MAX)
            return invalid(l, "a category out of range");
        largest = codes[i] > largest ? codes[i] : largest;
    }
    words = size ? (size_t)largest / 32 + 1 : 0;
    if (l->word_count + words > CATEGORY_WORDS_MAX)
        return reader_fail(&l->r, ERR_TOO_LARGE, "too many categories");
    while (l->word_count + words > l->word_cap) {
        l->word_cap = l->word_cap ? 2 * l->word_cap : 64;
        f->category_bits = mem_grow(f->category_bits, l->word_cap, sizeof *f->category_bits);
    }
    if (words)
        memset(f->category_bits + l->word_count, 0, words * sizeof *f->category_bits);
    for (size_t i = 0; i < size; i++)
        f->category_bits[l->word_count + (size_t)codes[i] / 32] |= 1u << (codes[i] % 32);
    ARRAY_RESERVE_ONE(f->categories, f->category_count, l->category_cap);
    f->categories[f->category_count++] = (struct category_split){
        .column = (uint32_t)t->columns.items[node],
        .is_missing_left = t->is_missing_left.items[node] != 0,
        .words = (uint32_t)words,
        .first = l->word_count,
        .node = place,
    };
    l->word_count += words;
    return true;
}

static bool reserve_nodes(struct loading *l, size_t more)
{
    struct forest *f = l->f;

    if (f->node_count + more > FOREST_NODES_MAX)
        return reader_fail(&l->r, ERR_TOO_LARGE, "more than %d nodes", FOREST_NODES_MAX);
    while (f->node_count + more > l->node_cap) {
        l->node_cap = l->node_cap ? 2 * l->node_cap : 1024;
        f->nodes = mem_grow(f->nodes, l->node_cap, sizeof *f->nodes);
        f->cover = mem_grow(f->cover, l->node_cap, sizeof *f->cover);
    }
    return true;
}

static bool put_split(struct loading *l, const struct pending *at, int32_t left, int32_t right)
{
    struct raw_tree *t = &l->tree;
    struct forest *f = l->f;
    int32_t column = t->columns.items[at->old];
    size_t step = f->node_count - at->place;
    float threshold = t->thresholds.items[at->old];

    if (left <= 0 || right <= 0 || left >= t->num_nodes || right >= t->num_nodes || left == right ||
        l->is_reached[left] || l->is_reached[right])
        return invalid(l, "a node's children are not its own");
    l->is_reached[left] = l->is_reached[right] = true;
    if (t->parents.items[left] != at->old || t->parents.items[right] != at->old)
        return invalid(l, "a node's parent is not its parent");
    if (column < 0 || column >= FOREST_COLUMNS_MAX)
        return invalid(l, "a split of a column that is not there");
    if ((size_t)column >= l->columns_used)
        l->columns_used = (size_t)column + 1;
    if (t->is_missing_left.items[at->old] != 0 && t->is_missing_left.items[at->old] != 1)
        return invalid(l, "default_left is neither 0 nor 1");
    if (step > UINT16_MAX)
        return reader_fail(&l->r, ERR_TOO_LARGE, "a tree of more than %d nodes", UINT16_MAX);
    f->nodes[at->place] = (struct node){
        .threshold = threshold,
        .slot = slot_of((size_t)column, t->is_missing_left.items[at->old] != 0),
        .step = (uint16_t)step,
    };
    if (is_categorical(t, at->old)) {
        f->nodes[at->place].threshold = 0.0F; /* its slot is -inf or +inf */
        return add_category_split(l, at->old, at->place);
    }
    if (!isfinite(threshold))
        return invalid(l, "a threshold that is not finite");
    return true;
}

/* Lays the tree's reachable nodes out from its root: pruned ones stay behind in the file. */
static bool lay_out(struct loading *l)
{
    struct raw_tree *t = &l->tree;
    struct forest *f = l->f;
    size_t nodes = (size_t)t->num_nodes, waiting = 0;
    uint32_t depth = 0;

    if (l->reached_cap < nodes) {
        l->is_reached = mem_grow(l->is_reached, nodes, sizeof *l->is_reached);
        l->reached_cap = nodes;
    }
    memset(l->is_reached, 0, nodes * sizeof *l->is_reached);
    l->is_reached[0] = true;
    if (!reserve_nodes(l, 1))
        return false;
    ARRAY_RESERVE_ONE(f->roots, f->trees, l->root_cap);
    f->roots[f->trees] = f->node_count;
    ARRAY_RESERVE_ONE(l->pending, waiting, l->pending_cap);
    l->pending[waiting++] = (struct pending){ .old = 0, .depth = 0, .place = f->node_count++ };
    while (waiting > 0) {
        struct pending at = l->pending[--waiting];
        int32_t left = t->left.items[at.old], right = t->right.items[at.old];
        float cover = t->covers.items[at.old];
        bool is_left_hot;

        if (!isfinite(cover) || cover < 0)
            return invalid(l, "a node that fewer than no rows reached");
        f->cover[at.place] = cover;
        depth = at.depth > depth ? at.depth : depth;
        if (left == -1) {
            if (right != -1)
                return invalid(l, "a node with one child");
            if (!isfinite(t->thresholds.items[at.old]))
                return invalid(l, "a leaf that is not finite");
            f->nodes[at.place] = (struct node){ .threshold = t->thresholds.items[at.old], .slot = SLOT_LEAF };
            continue;
        }
        if (at.depth == FOREST_DEPTH_MAX)
            return reader_fail(&l->r, ERR_TOO_LARGE, "a tree deeper than %d", FOREST_DEPTH_MAX);
        if (!reserve_nodes(l, 2) || !put_split(l, &at, left, right))
            return false;
        for (int i = 0; i < 2; i++)
            ARRAY_RESERVE_ONE(l->pending, waiting + (size_t)i, l->pending_cap);
        is_left_hot = t->covers.items[left] >= t->covers.items[right];
        l->pending[waiting + is_left_hot] = (struct pending){ left, at.depth + 1, f->node_count };
        l->pending[waiting + !is_left_hot] = (struct pending){ right, at.depth + 1, f->node_count + 1 };
        waiting += 2;
        f->node_count += 2;
    }
    ARRAY_RESERVE_ONE(f->tree_depth, f->trees, l->tree_cap);
    f->tree_depth[f->trees] = (uint8_t)depth;
    f->depth = depth > f->depth ? depth : f->depth;
    f->trees++;
    return true;
}

/* ---- the document ---- */

static bool read_trees(struct loading *l)
{
    if (!reader_array(&l->r))
        return false;
    while (reader_item(&l->r)) {
        if (l->f->trees == FOREST_TREES_MAX)
            return reader_fail(&l->r, ERR_TOO_LARGE, "more than %d trees", FOREST_TREES_MAX);
        if (!read_tree_members(l) || !find_sets(l) || !lay_out(l))
            return false;
    }
    return l->r.err == ERR_OK;
}

static bool read_gbtree_param(struct loading *l)
{
    struct slice key;
    int64_t width;

    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        if (slice_eq_str(key, "num_trees")) {
            if (!read_count(l, &l->num_trees))
                return false;
        } else if (slice_eq_str(key, "size_leaf_vector")) {
            if (!read_count(l, &width))
                return false;
            if (width > 1)
                return invalid(l, "trees with several outputs are not read");
        } else if (!reader_skip(&l->r)) {
            return false;
        }
    }
    return l->r.err == ERR_OK;
}

static bool read_gbtree(struct loading *l)
{
    struct slice key;
    unsigned seen = 0;

    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        bool is_read;

        if (slice_eq_str(key, "gbtree_model_param"))
            is_read = once(l, &seen, 0) && read_gbtree_param(l);
        else if (slice_eq_str(key, "trees"))
            is_read = once(l, &seen, 1) && read_trees(l);
        else if (slice_eq_str(key, "tree_info"))
            is_read = once(l, &seen, 2) && reader_i32_array(&l->r, &l->tree_info, FOREST_TREES_MAX);
        else
            is_read = reader_skip(&l->r);
        if (!is_read)
            return false;
    }
    l->has_trees = (seen & 2) != 0;
    return l->r.err == ERR_OK;
}

static bool read_named(struct loading *l, char *name, size_t size, bool has_model)
{
    struct slice key, text;
    unsigned seen = 0;

    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        bool is_read;

        if (slice_eq_str(key, "name")) {
            is_read = once(l, &seen, 0) && reader_text(&l->r, &text);
            if (is_read)
                keep_text(name, size, text);
        } else if (has_model && slice_eq_str(key, "model")) {
            is_read = once(l, &seen, 1) && read_gbtree(l);
        } else {
            is_read = reader_skip(&l->r);
        }
        if (!is_read)
            return false;
    }
    return l->r.err == ERR_OK;
}

/* "5E-1", and from 3.1 on "[5E-1]": an array in a text. */
static bool read_base_score(struct loading *l)
{
    struct slice text;
    struct reader inner;
    struct why why = { 0 };

    if (!reader_text(&l->r, &text))
        return false;
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = slice_of(text.ptr + 1, text.len - 2);
    reader_open(&inner, text, &why);
    if (!reader_f32(&inner, &l->base_score) || reader_close(&inner) != ERR_OK)
        return invalid(l, "base_score is not one number");
    l->has_base_score = true;
    return true;
}

static bool read_model_param(struct loading *l)
{
    struct slice key;
    unsigned seen = 0;

    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        bool is_read;

        if (slice_eq_str(key, "base_score"))
            is_read = once(l, &seen, 0) && read_base_score(l);
        else if (slice_eq_str(key, "num_class"))
            is_read = once(l, &seen, 1) && read_count(l, &l->num_class);
        else if (slice_eq_str(key, "num_feature"))
            is_read = once(l, &seen, 2) && read_count(l, &l->num_feature);
        else if (slice_eq_str(key, "num_target"))
            is_read = once(l, &seen, 3) && read_count(l, &l->num_target);
        else
            is_read = reader_skip(&l->r);
        if (!is_read)
            return false;
    }
    return l->r.err == ERR_OK;
}

static bool read_learner(struct loading *l)
{
    struct slice key;
    unsigned seen = 0;

    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        bool is_read;

        if (slice_eq_str(key, "gradient_booster"))
            is_read = once(l, &seen, 0) && read_named(l, l->booster, sizeof l->booster, true);
        else if (slice_eq_str(key, "learner_model_param"))
            is_read = once(l, &seen, 1) && read_model_param(l);
        else if (slice_eq_str(key, "objective"))
            is_read = once(l, &seen, 2) && read_named(l, l->objective, sizeof l->objective, false);
        else
            is_read = reader_skip(&l->r);
        if (!is_read)
            return false;
    }
    return l->r.err == ERR_OK;
}

static bool read_document(struct loading *l)
{
    struct slice key;
    unsigned seen = 0;

    if (!reader_object(&l->r))
        return false;
    while (reader_key(&l->r, &key)) {
        if (slice_eq_str(key, "learner")) {
            if (!once(l, &seen, 0) || !read_learner(l))
                return false;
            l->has_learner = true;
        } else if (!reader_skip(&l->r)) {
            return false;
        }
    }
    return l->r.err == ERR_OK;
}

/* ---- what holds for the whole ---- */

static enum err check_whole(struct loading *l, struct why *why)
{
    static const char *const objectives[] = { "binary:logistic", "binary:logitraw", "reg:logistic" };
    struct forest *f = l->f;
    size_t i = 0;

    if (!l->has_learner)
        return err_set(why, ERR_SYNTAX, "not an XGBoost model: it has no learner");
    if (strcmp(l->booster, "gbtree") != 0)
        return err_set(why, ERR_INVALID, "booster \"%s\" is not read, only gbtree", l->booster);
    while (i < ARRAY_LEN(objectives) && strcmp(l->objective, objectives[i]) != 0)
        i++;
    if (i == ARRAY_LEN(objectives))
        return err_set(why, ERR_INVALID, "objective \"%s\" is not read, only binary:logistic and its kin",
                       l->objective);
    if (l->num_class > 1 || l->num_target > 1)
        return err_set(why, ERR_INVALID, "a model of several classes or targets is not read");
    if (!l->has_trees || !l->has_base_score)
        return err_set(why, ERR_INVALID, "it has no %s", l->has_trees ? "base_score" : "trees");
    if ((uint64_t)l->num_trees != f->trees || l->tree_info.count != f->trees)
        return err_set(why, ERR_INVALID, "it has %zu trees and says %lld", f->trees, (long long)l->num_trees);
    for (i = 0; i < l->tree_info.count; i++)
        if (l->tree_info.items[i] != 0)
            return err_set(why, ERR_INVALID, "tree %zu belongs to another class", i);
    if (l->num_feature < 1 || l->num_feature > FOREST_COLUMNS_MAX)
        return err_set(why, l->num_feature < 1 ? ERR_INVALID : ERR_TOO_LARGE, "%lld columns",
                       (long long)l->num_feature);
    if ((size_t)l->num_feature < l->columns_used)
        return err_set(why, ERR_INVALID, "a split of column %zu in a model of %lld", l->columns_used - 1,
                       (long long)l->num_feature);
    if (!(l->base_score > 0.0F && l->base_score < 1.0F))
        return err_set(why, ERR_INVALID, "base_score %g is no probability", (double)l->base_score);
    return ERR_OK;
}

static int compare_splits(const void *a, const void *b, void *bits)
{
    const struct category_split *x = a, *y = b;
    const uint32_t *words = bits;

    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    if (x->is_missing_left != y->is_missing_left)
        return x->is_missing_left ? 1 : -1;
    if (x->words != y->words)
        return x->words < y->words ? -1 : 1;
    return x->words ? memcmp(words + x->first, words + y->first, x->words * sizeof *words) : 0;
}

/* Equal categorical splits share a slot. */
static enum err give_slots(struct forest *f, struct why *why)
{
    size_t kept = 0;

    f->slots = SLOT_FIRST + 2 * f->columns;
    if (f->category_count == 0)
        return ERR_OK;
    qsort_r(f->categories, f->category_count, sizeof *f->categories, compare_splits, f->category_bits);
    for (size_t i = 0; i < f->category_count; i++) {
        bool is_new =
            i == 0 || compare_splits(&f->categories[kept - 1], &f->categories[i], f->category_bits) != 0;

        if (is_new) {
            if (f->slots > UINT16_MAX)
                return err_set(why, ERR_TOO_LARGE, "more than %d columns and different categorical splits",
                               UINT16_MAX);
            f->categories[kept] = f->categories[i];
            f->categories[kept++].slot = (uint16_t)f->slots++;
        }
        f->nodes[f->categories[i].node].slot = f->categories[kept - 1].slot;
    }
    f->category_count = kept;
    return ERR_OK;
}

/* Expected margins from the leaves up: children lie behind their parents. In float32 and in XGBoost's order,
 * so that the bias of the contributions is XGBoost's too. */
static void find_changes(struct forest *f)
{
    float *mean = mem_new_n(float, f->node_count);

    f->change = mem_new_n(float, f->node_count);
    for (size_t i = f->node_count; i-- > 0;) {
        const struct node *n = &f->nodes[i];
        size_t left = i + n->step, right = left + 1;

        if (node_is_leaf(n)) {
            mean[i] = n->threshold;
        } else if (f->cover[i] > 0) {
            mean[i] = mean[left] * f->cover[left];
            mean[i] += mean[right] * f->cover[right];
            mean[i] /= f->cover[i];
        } else {
            mean[i] = (mean[left] + mean[right]) / 2;
        }
        if (!node_is_leaf(n)) {
            f->change[left] = mean[left] - mean[i];
            f->change[right] = mean[right] - mean[i];
        }
    }
    f->bias = (double)f->base_margin;
    for (size_t t = 0; t < f->trees; t++)
        f->bias += (double)mean[f->roots[t]];
    mem_free(mean);
}

static void find_groups(struct loading *l)
{
    struct forest *f = l->f;
    size_t groups = (f->trees + GROUP - 1) / GROUP;

    if (f->trees == 0)
        return;
    f->roots = mem_grow(f->roots, groups * GROUP, sizeof *f->roots);
    for (size_t t = f->trees; t < groups * GROUP; t++)
        f->roots[t] = f->roots[f->trees - 1];
    f->group_depth = mem_new_n(uint8_t, groups);
    for (size_t t = 0; t < f->trees; t++)
        if (f->tree_depth[t] > f->group_depth[t / GROUP])
            f->group_depth[t / GROUP] = f->tree_depth[t];
}

static void raw_tree_release(struct raw_tree *t)
{
    struct reader_i32s *ints[] = { &t->left,           &t->right,           &t->parents,
                                   &t->columns,        &t->is_missing_left, &t->split_type,
                                   &t->categories,     &t->category_nodes,  &t->category_segments,
                                   &t->category_sizes, &t->set_of };

    for (size_t i = 0; i < ARRAY_LEN(ints); i++)
        mem_free(ints[i]->items);
    mem_free(t->thresholds.items);
    mem_free(t->covers.items);
}

enum err forest_open(struct forest **out, struct slice model, struct why *why)
{
    struct loading *l = mem_new(struct loading);
    struct forest *f = l->f = mem_new(struct forest);
    enum err err;

    *out = NULL;
    reader_open(&l->r, model, why);
    read_document(l);
    err = reader_close(&l->r);
    if (!err)
        err = check_whole(l, why);
    if (err)
        goto out;
    f->columns = (size_t)l->num_feature;
    /* ProbToMargin() of src/objective/regression_loss.h */
    f->base_margin = -logf(1.0F / l->base_score - 1.0F);
    err = give_slots(f, why);
    if (err)
        goto out;
    find_changes(f);
    find_groups(l);
    *out = f;
    f = NULL;
out:
    forest_close(f);
    raw_tree_release(&l->tree);
    mem_free(l->tree_info.items);
    mem_free(l->pending);
    mem_free(l->is_reached);
    mem_free(l);
    return err;
}

void forest_close(struct forest *f)
{
    if (f == NULL)
        return;
    mem_free(f->nodes);
    mem_free(f->change);
    mem_free(f->cover);
    mem_free(f->roots);
    mem_free(f->tree_depth);
    mem_free(f->group_depth);
    mem_free(f->categories);
    mem_free(f->category_bits);
    mem_free(f);
}
