/* config: YAML.  libyaml's events become nodes with line numbers.
 *
 * A small part of YAML: one document of maps, lists and scalars.  Anchors,
 * aliases and tags are refused, so that nothing in a file can be larger than
 * the file. */
#include "sa_config_private.h"

#include <string.h>

#include <apr_strings.h>
#include <yaml.h>

typedef struct reader_t {
    yaml_parser_t parser;       /* in the pool, not on the stack: its cleanup comes later */
    sa_config__loader_t *loader;
    const char *text;
    size_t length;
    int events;
    apr_pool_t *pool;
} reader_t;

static apr_status_t drop_parser(void *parser)
{
    yaml_parser_delete(parser);
    return APR_SUCCESS;
}

/* The whole source is of no use after this. */
static void stop_at(reader_t *reader, int line, const char *what)
{
    sa_config__origin_t where = reader->loader->here;

    where.line = where.kind == SA_ORIGIN_SET ? 0 : line;
    reader->loader->broken = true;
    sa_config__wrong(reader->loader, &where, "%s", what);
}

static int line_of_offset(const reader_t *reader, size_t offset)
{
    int line = 1;

    for (size_t i = 0; i < offset && i < reader->length; i++) {
        line += reader->text[i] == '\n';
    }
    return line;
}

/* Is LINE indented with a tab? */
static bool has_tab(const reader_t *reader, int line)
{
    const char *c = reader->text;
    const char *end = reader->text + reader->length;

    for (; c < end && line > 1; c++) {
        line -= *c == '\n';
    }
    while (c < end && *c == ' ') {
        c++;
    }
    return c < end && *c == '\t';
}

static void complain_of_parser(reader_t *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    int line = (int)parser->problem_mark.line + 1;
    const char *problem = parser->problem ? parser->problem : "not YAML";

    if (parser->error == YAML_READER_ERROR) {
        stop_at(reader, line_of_offset(reader, parser->problem_offset),
                apr_psprintf(reader->pool, "not text in UTF-8 (%s)", problem));
    } else if (has_tab(reader, line)) {
        stop_at(reader, line, "indented with a tab; YAML wants spaces");
    } else {
        stop_at(reader, line, apr_psprintf(reader->pool, "not YAML: %s%s%s",
                                           parser->context ? parser->context : "",
                                           parser->context ? ", " : "", problem));
    }
}

/* The next event; false after a complaint.  EVENT is to be deleted. */
static bool next_event(reader_t *reader, yaml_event_t *event)
{
    if (!yaml_parser_parse(&reader->parser, event)) {
        complain_of_parser(reader);
        return false;
    }
    if (++reader->events > SA_CONFIG__EVENTS) {
        stop_at(reader, (int)event->start_mark.line + 1,
                apr_psprintf(reader->pool, "more than %d YAML items", SA_CONFIG__EVENTS));
        yaml_event_delete(event);
        return false;
    }
    return true;
}

static bool check_event(reader_t *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    int line = (int)event->start_mark.line + 1;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        stop_at(reader, line, "aliases (*name) are not allowed");
        return false;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor || tag) {
        stop_at(reader, line, anchor ? "anchors (&name) are not allowed"
                                     : "tags (!name) are not allowed");
        return false;
    }
    return true;
}

static bool read_scalar(reader_t *reader, sa_config__node_t *node, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;

    if (memchr(value, '\0', event->data.scalar.length)) {
        stop_at(reader, node->line, "a NUL character is not allowed");
        return false;
    }
    node->text = apr_pstrmemdup(reader->pool, value, event->data.scalar.length);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return true;
}

static sa_config__node_t *read_node(reader_t *reader, yaml_event_t *event, int depth);

/* The items up to the end of a list or map. */
static bool read_items(reader_t *reader, sa_config__node_t *node, int depth)
{
    yaml_event_t event;

    if (depth >= SA_CONFIG__DEPTH) {
        stop_at(reader, node->line,
                apr_psprintf(reader->pool, "nested more than %d levels deep", SA_CONFIG__DEPTH));
        return false;
    }
    node->items = apr_array_make(reader->pool, 8, sizeof(sa_config__node_t *));
    while (next_event(reader, &event)) {
        sa_config__node_t *item;

        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        item = read_node(reader, &event, depth + 1);
        if (!item) {
            return false;
        }
        APR_ARRAY_PUSH(node->items, sa_config__node_t *) = item;
    }
    return false;
}

/* The node that EVENT begins; deletes EVENT. */
static sa_config__node_t *read_node(reader_t *reader, yaml_event_t *event, int depth)
{
    sa_config__node_t *node = apr_pcalloc(reader->pool, sizeof(*node));
    bool good = check_event(reader, event);

    node->line = (int)event->start_mark.line + 1;
    if (good && event->type == YAML_SCALAR_EVENT) {
        node->kind = SA_NODE_SCALAR;
        good = read_scalar(reader, node, event);
    } else {
        node->kind = event->type == YAML_SEQUENCE_START_EVENT ? SA_NODE_LIST : SA_NODE_MAP;
    }
    yaml_event_delete(event);
    if (good && node->kind != SA_NODE_SCALAR) {
        good = read_items(reader, node, depth);
    }
    return good ? node : NULL;
}

/* The root of the only document; NULL when there is none, or after a complaint. */
static sa_config__node_t *read_stream(reader_t *reader)
{
    sa_config__node_t *root = NULL;
    yaml_event_t event;

    while (next_event(reader, &event)) {
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            yaml_event_delete(&event);
            return root;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            yaml_event_delete(&event);
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (root) {
                stop_at(reader, (int)event.start_mark.line + 1,
                        "a second document (---) is not allowed");
                yaml_event_delete(&event);
                return NULL;
            }
            yaml_event_delete(&event);
            break;
        default:
            root = read_node(reader, &event, 0);
            if (!root) {
                return NULL;
            }
        }
    }
    return NULL;
}

sa_config__node_t *sa_config__read_yaml(sa_config__loader_t *loader, const char *text,
                                        size_t length)
{
    static const char bom[] = "\xef\xbb\xbf";
    reader_t *reader = apr_pcalloc(loader->scratch_pool, sizeof(*reader));

    /* UTF-8 is set below, which also makes libyaml refuse the mark that it
     * would otherwise skip; left to itself it would read UTF-16. */
    if (length >= 3 && memcmp(text, bom, 3) == 0) {
        text += 3;
        length -= 3;
    }
    reader->loader = loader;
    reader->text = text;
    reader->length = length;
    reader->pool = loader->scratch_pool;
    SA_ASSERT(yaml_parser_initialize(&reader->parser));
    apr_pool_cleanup_register(reader->pool, &reader->parser, drop_parser, apr_pool_cleanup_null);
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, length);
    return read_stream(reader);
}

const char *sa_config_library_version(void)
{
    return yaml_get_version_string();
}
