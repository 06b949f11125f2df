/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml_json.h"

#include <yaml.h>

#include "json/json_out.h"

enum { DEPTH_MAX = 8 };

struct conversion {
    yaml_document_t document;
    struct json_out out;
    struct why *why;
};

static struct slice scalar_of(const yaml_node_t *node)
{
    return slice_of(node->data.scalar.value, node->data.scalar.length);
}

static void put_scalar(struct conversion *c, const yaml_node_t *node)
{
    struct slice text = scalar_of(node);
    int64_t i;
    double d;

    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        json_out_text(&c->out, NULL, text);
    else if (slice_eq_str(text, "true") || slice_eq_str(text, "false"))
        json_out_bool(&c->out, NULL, text.ptr[0] == 't');
    else if (text.len == 0 || slice_eq_str(text, "null") || slice_eq_str(text, "~"))
        json_out_null(&c->out, NULL);
    else if (slice_to_i64(text, &i))
        json_out_int(&c->out, NULL, i);
    else if (slice_to_double(text, &d))
        json_out_number(&c->out, NULL, d);
    else
        json_out_text(&c->out, NULL, text);
}

static enum err put(struct conversion *c, int number, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(&c->document, number);
    enum err err = ERR_OK;

    if (c->out.to->is_over)
        return err_set(c->why, ERR_TOO_LARGE, "the file is too large");
    if (depth > DEPTH_MAX)
        return err_set(c->why, ERR_SYNTAX, "line %zu: nested too deeply", node->start_mark.line + 1);
    if (node->type == YAML_MAPPING_NODE) {
        json_out_open(&c->out, NULL);
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top && !err; pair++) {
            const yaml_node_t *key = yaml_document_get_node(&c->document, pair->key);

            if (key->type != YAML_SCALAR_NODE)
                return err_set(c->why, ERR_SYNTAX, "line %zu: a name must be text", key->start_mark.line + 1);
            json_out_text_key(&c->out, scalar_of(key));
            err = put(c, pair->value, depth + 1);
        }
        json_out_end(&c->out);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        json_out_list(&c->out, NULL);
        for (yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top && !err; item++)
            err = put(c, *item, depth + 1);
        json_out_end(&c->out);
    } else {
        put_scalar(c, node);
    }
    return err;
}

/* What is no text has an offset and no mark. */
static size_t line_of_problem(const yaml_parser_t *parser, struct slice yaml)
{
    size_t line = 1;

    if (parser->error != YAML_READER_ERROR)
        return parser->problem_mark.line + 1;
    for (size_t i = 0; i < parser->problem_offset && i < yaml.len; i++)
        line += yaml.ptr[i] == '\n';
    return line;
}

enum err yaml_to_json(struct buf *out, struct slice yaml, struct why *why)
{
    struct conversion c = { .out = json_out_to(out), .why = why };
    yaml_parser_t parser;
    enum err err;

    if (!yaml_parser_initialize(&parser))
        return err_set(why, ERR_INTERNAL, "libyaml does not start");
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.ptr, yaml.len);
    if (!yaml_parser_load(&parser, &c.document)) {
        err = err_set(why, ERR_SYNTAX, "line %zu: %s", line_of_problem(&parser, yaml),
                      parser.problem ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return err;
    }
    if (!yaml_document_get_root_node(&c.document))
        err = err_set(why, ERR_SYNTAX, "the file is empty");
    else
        err = put(&c, 1, 0);
    if (!err && out->is_over)
        err = err_set(why, ERR_TOO_LARGE, "the file is too large");
    yaml_document_delete(&c.document);
    yaml_parser_delete(&parser);
    return err;
}
