/* base: patterns.  Text becomes a tree, the tree a machine, and all states of the machine
 * that a text can be in are followed at once.
 *
 * What bounds it: the bytes of the pattern, the depth of its groups, the states of the
 * machine, and the visits to the tree while the machine is made, because an empty group can
 * be repeated without making a state. */
#include "sa_pattern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "sa_pool.h"
#include "sa_text.h"

#define LAST_POINT 0x10FFFF
#define VISITS (20 * SA_PATTERN_STATES)

typedef struct range_t {
    uint32_t low;
    uint32_t high;
} range_t;

typedef struct node_t {
    enum { NODE_EMPTY, NODE_SET, NODE_EACH, NODE_EITHER, NODE_REPEAT } kind;
    const apr_array_header_t *set;      /* of range_t: sorted, apart from each other */
    apr_array_header_t *items;          /* of node_t * */
    struct node_t *inner;
    int min;
    int max;                            /* -1: any number */
} node_t;

typedef struct state_t {
    enum { STATE_SET, STATE_FORK, STATE_JUMP, STATE_DONE } kind;
    int x;
    int y;
    const apr_array_header_t *set;
} state_t;

struct sa_pattern_t {
    state_t *states;
    int count;
};

/* ---- sets of characters --------------------------------------------------------- */

static const range_t line_ends[] = {{0x0A, 0x0D}, {0x85, 0x85}, {0x2028, 0x2029}};
static const range_t digits[] = {{'0', '9'}};
static const range_t word_signs[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const range_t blanks[] = {{'\t', '\t'}, {' ', ' '}};
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void add_range(apr_array_header_t *set, uint32_t low, uint32_t high)
{
    APR_ARRAY_PUSH(set, range_t) = (range_t){low, high};
}

static void add_ranges(apr_array_header_t *set, const range_t *ranges, int count)
{
    for (int i = 0; i < count; i++) {
        add_range(set, ranges[i].low, ranges[i].high);
    }
}

static apr_array_header_t *make_set(apr_pool_t *pool)
{
    return apr_array_make(pool, 4, sizeof(range_t));
}

static int by_low(const void *a_, const void *b_)
{
    const range_t *a = a_;
    const range_t *b = b_;

    return a->low < b->low ? -1 : a->low > b->low;
}

/* SET in order, what touches made one. */
static apr_array_header_t *merge(apr_array_header_t *set)
{
    apr_array_header_t *merged = make_set(set->pool);

    qsort(set->elts, (size_t)set->nelts, sizeof(range_t), by_low);
    for (int i = 0; i < set->nelts; i++) {
        const range_t *range = &APR_ARRAY_IDX(set, i, range_t);
        range_t *last = merged->nelts > 0 ? &APR_ARRAY_IDX(merged, merged->nelts - 1, range_t)
                                          : NULL;

        if (!last || range->low > last->high + 1) {
            add_range(merged, range->low, range->high);
        } else if (range->high > last->high) {
            last->high = range->high;
        }
    }
    return merged;
}

/* All that is neither in SET nor a line end. */
static apr_array_header_t *invert(apr_array_header_t *set)
{
    apr_array_header_t *inverse = make_set(set->pool);
    apr_array_header_t *merged;
    uint32_t next = 0;

    add_ranges(set, line_ends, COUNT(line_ends));
    merged = merge(set);
    for (int i = 0; i < merged->nelts; i++) {
        const range_t *range = &APR_ARRAY_IDX(merged, i, range_t);

        if (range->low > next) {
            add_range(inverse, next, range->low - 1);
        }
        next = range->high + 1;
    }
    if (next <= LAST_POINT) {
        add_range(inverse, next, LAST_POINT);
    }
    return inverse;
}

static bool has_point(const apr_array_header_t *set, uint32_t point)
{
    int low = 0;
    int high = set->nelts;

    while (low < high) {
        int middle = low + (high - low) / 2;
        const range_t *range = &APR_ARRAY_IDX(set, middle, range_t);

        if (point < range->low) {
            high = middle;
        } else if (point > range->high) {
            low = middle + 1;
        } else {
            return true;
        }
    }
    return false;
}

/* ---- from text to a tree ----------------------------------------------------------- */

typedef struct parser_t {
    const char *at;
    const char *end;
    int column;             /* of AT, from 1 */
    int depth;
    apr_pool_t *pool;       /* of the tree */
    apr_pool_t *set_pool;   /* of the sets, which the machine keeps */
} parser_t;

static sa_error_t *parse_either(node_t **node, parser_t *parser);

static sa_error_t *wrong_at(int column, const char *what)
{
    return sa_error(SA_ERR_PARSE, NULL, "%s, at column %d", what, column);
}

/* The character at AT; 0 at the end. */
static uint32_t peek(const parser_t *parser)
{
    uint32_t point = 0;

    sa_text_decode(&point, parser->at, (size_t)(parser->end - parser->at));
    return point;
}

static uint32_t take(parser_t *parser)
{
    uint32_t point = 0;

    parser->at += sa_text_decode(&point, parser->at, (size_t)(parser->end - parser->at));
    parser->column++;
    return point;
}

/* Take WORD if it is what comes next. */
static bool take_word(parser_t *parser, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(parser->end - parser->at) < length || memcmp(parser->at, word, length) != 0) {
        return false;
    }
    parser->at += length;
    parser->column += (int)length;
    return true;
}

static node_t *make_node(parser_t *parser, int kind)
{
    node_t *node = apr_pcalloc(parser->pool, sizeof(*node));

    node->kind = kind;
    return node;
}

static node_t *make_set_node(parser_t *parser, const apr_array_header_t *set)
{
    node_t *node = make_node(parser, NODE_SET);

    node->set = set;
    return node;
}

static const apr_array_header_t *set_of(parser_t *parser, uint32_t point)
{
    apr_array_header_t *set = make_set(parser->set_pool);

    add_range(set, point, point);
    return set;
}

/* The set of \d and its like, or NULL. */
static const apr_array_header_t *named_set(parser_t *parser, uint32_t letter)
{
    static const struct {
        char letter;
        const range_t *ranges;
        int count;
    } names[] = {{'d', digits, COUNT(digits)}, {'w', word_signs, COUNT(word_signs)},
                 {'s', blanks, COUNT(blanks)}};

    for (int i = 0; i < COUNT(names); i++) {
        apr_array_header_t *set = make_set(parser->set_pool);

        add_ranges(set, names[i].ranges, names[i].count);
        if (letter == (uint32_t)names[i].letter) {
            return merge(set);
        }
        if (letter == (uint32_t)(names[i].letter - 'a' + 'A')) {
            return invert(set);
        }
    }
    return NULL;
}

/* What stands behind a \: a named set, or a set of one with that one in *POINT. */
static sa_error_t *parse_escape(const apr_array_header_t **set, uint32_t *point, parser_t *parser)
{
    uint32_t sign = peek(parser);
    bool is_letter = (sign >= 'a' && sign <= 'z') || (sign >= 'A' && sign <= 'Z');

    *point = 0;
    if (parser->at == parser->end) {
        return wrong_at(parser->column, "nothing behind \\");
    }
    *set = named_set(parser, sign);
    if (!*set) {
        if (is_letter || (sign >= '0' && sign <= '9') || sign < ' ' || sign > '~') {
            return wrong_at(parser->column, "\\ with a meaning that is not known");
        }
        *point = sign;
        *set = set_of(parser, sign);
    }
    take(parser);
    return SA_OK;
}

/* One item of [ ]: *POINT is 0 for a named set. */
static sa_error_t *parse_item(const apr_array_header_t **set, uint32_t *point, parser_t *parser)
{
    if (parser->at == parser->end) {
        return wrong_at(parser->column, "[ without ]");
    }
    if (peek(parser) == '[') {
        return wrong_at(parser->column, "[ inside of [ ] must stand behind a \\");
    }
    if (take_word(parser, "\\")) {
        return parse_escape(set, point, parser);
    }
    *point = take(parser);
    *set = set_of(parser, *point);
    return SA_OK;
}

/* Is there a - that makes a range, and not the last sign? */
static bool has_range(const parser_t *parser)
{
    return parser->end - parser->at >= 2 && parser->at[0] == '-' && parser->at[1] != ']';
}

static sa_error_t *parse_range(apr_array_header_t *all, parser_t *parser, bool first)
{
    int column = parser->column;
    bool is_bare = peek(parser) == '-';
    const apr_array_header_t *set;
    uint32_t low;
    uint32_t high;

    SA_TRY(parse_item(&set, &low, parser));
    if (is_bare && !first && peek(parser) != ']') {
        return wrong_at(column, "- inside of [ ] must stand first, last or behind a \\");
    }
    if (!has_range(parser)) {
        add_ranges(all, (const range_t *)(const void *)set->elts, set->nelts);
        return SA_OK;
    }
    take(parser);
    is_bare = peek(parser) == '-';
    SA_TRY(parse_item(&set, &high, parser));
    if (low == 0 || high == 0 || high < low || is_bare) {
        return wrong_at(column, "a range that is none");
    }
    add_range(all, low, high);
    return SA_OK;
}

static sa_error_t *parse_class(node_t **node, parser_t *parser)
{
    int column = parser->column;
    apr_array_header_t *set = make_set(parser->set_pool);
    bool first = true;
    bool negated;

    take(parser);
    negated = take_word(parser, "^");
    while (!take_word(parser, "]")) {
        SA_TRY(parse_range(set, parser, first));
        first = false;
    }
    if (first) {
        return wrong_at(column, "nothing inside of [ ]");
    }
    *node = make_set_node(parser, negated ? invert(set) : merge(set));
    return SA_OK;
}

static sa_error_t *parse_group(node_t **node, parser_t *parser)
{
    int column = parser->column;

    take(parser);
    if (peek(parser) == '?' && !take_word(parser, "?:")) {
        return wrong_at(parser->column, "(? with a meaning that is not known");
    }
    parser->depth++;
    if (parser->depth > SA_PATTERN_DEPTH) {
        return wrong_at(column, "too many ( in each other");
    }
    SA_TRY(parse_either(node, parser));
    parser->depth--;
    if (!take_word(parser, ")")) {
        return wrong_at(column, "( without )");
    }
    return SA_OK;
}

static sa_error_t *parse_one(node_t **node, parser_t *parser)
{
    int column = parser->column;
    const apr_array_header_t *set;
    uint32_t point = peek(parser);

    switch (point) {
    case '(':
        return parse_group(node, parser);
    case '[':
        return parse_class(node, parser);
    case '*':
    case '+':
    case '?':
    case '{':
        return wrong_at(column, "nothing to repeat");
    case ']':
    case '}':
        return wrong_at(column, "] or } that closes nothing; for itself it needs a \\");
    case '^':
        return wrong_at(column, "^ behind the beginning");
    case '$':
        if (parser->at + 1 != parser->end || parser->depth > 0) {
            return wrong_at(column, "$ before the end");
        }
        *node = make_node(parser, NODE_EMPTY);
        break;
    case '.':
        *node = make_set_node(parser, invert(make_set(parser->set_pool)));
        break;
    case '\\':
        take(parser);
        SA_TRY(parse_escape(&set, &point, parser));
        *node = make_set_node(parser, set);
        return SA_OK;
    default:
        *node = make_set_node(parser, set_of(parser, point));
    }
    take(parser);
    return SA_OK;
}

/* A number of at most SA_PATTERN_REPEATS, or -1. */
static int parse_number(parser_t *parser)
{
    int number = -1;

    while (peek(parser) >= '0' && peek(parser) <= '9' && number <= SA_PATTERN_REPEATS) {
        number = (number < 0 ? 0 : number) * 10 + (int)(take(parser) - '0');
    }
    return number <= SA_PATTERN_REPEATS ? number : -1;
}

/* {m}, {m,} or {m,n}, behind the {. */
static sa_error_t *parse_bounds(int *min, int *max, parser_t *parser, int column)
{
    bool is_good;

    *min = parse_number(parser);
    *max = *min;
    is_good = *min >= 0;
    if (is_good && take_word(parser, ",")) {
        *max = -1;
        if (peek(parser) != '}') {
            *max = parse_number(parser);
            is_good = *max >= *min;
        }
    }
    if (!is_good || !take_word(parser, "}")) {
        return wrong_at(column, "{ that is not {m}, {m,} or {m,n} with numbers up to 255");
    }
    return SA_OK;
}

/* Whether there is a repeat here, and which. */
static sa_error_t *parse_times(bool *found, int *min, int *max, parser_t *parser)
{
    int column = parser->column;

    *found = true;
    *min = 0;
    *max = -1;
    if (take_word(parser, "*")) {
        return SA_OK;
    }
    if (take_word(parser, "+")) {
        *min = 1;
        return SA_OK;
    }
    if (take_word(parser, "?")) {
        *max = 1;
        return SA_OK;
    }
    if (take_word(parser, "{")) {
        return parse_bounds(min, max, parser, column);
    }
    *found = false;
    return SA_OK;
}

static sa_error_t *parse_repeat(node_t **node, parser_t *parser)
{
    node_t *repeat = make_node(parser, NODE_REPEAT);
    int column;
    bool found;
    int min;
    int max;

    SA_TRY(parse_one(&repeat->inner, parser));
    SA_TRY(parse_times(&found, &repeat->min, &repeat->max, parser));
    *node = found ? repeat : repeat->inner;
    column = parser->column;
    if (found) {
        SA_TRY(parse_times(&found, &min, &max, parser));
        return found ? wrong_at(column, "a repeat of a repeat") : SA_OK;
    }
    return SA_OK;
}

static sa_error_t *parse_each(node_t **node, parser_t *parser)
{
    node_t *each = make_node(parser, NODE_EACH);

    each->items = apr_array_make(parser->pool, 4, sizeof(node_t *));
    while (parser->at < parser->end && peek(parser) != '|' && peek(parser) != ')') {
        node_t *item;

        SA_TRY(parse_repeat(&item, parser));
        APR_ARRAY_PUSH(each->items, node_t *) = item;
    }
    *node = each;
    return SA_OK;
}

static sa_error_t *parse_either(node_t **node, parser_t *parser)
{
    node_t *either = make_node(parser, NODE_EITHER);
    node_t *item;

    either->items = apr_array_make(parser->pool, 2, sizeof(node_t *));
    do {
        SA_TRY(parse_each(&item, parser));
        APR_ARRAY_PUSH(either->items, node_t *) = item;
    } while (take_word(parser, "|"));
    *node = either;
    return SA_OK;
}

/* ---- from the tree to the machine ---------------------------------------------------- */

typedef struct maker_t {
    sa_pattern_t *pattern;
    int visits;
    bool too_large;
} maker_t;

static bool make(maker_t *maker, const node_t *node);

/* The place of a new state; past the limit the last one, and TOO_LARGE. */
static int put(maker_t *maker, int kind)
{
    sa_pattern_t *pattern = maker->pattern;

    if (pattern->count >= SA_PATTERN_STATES) {
        maker->too_large = true;
        return SA_PATTERN_STATES - 1;
    }
    pattern->states[pattern->count] = (state_t){.kind = kind};
    return pattern->count++;
}

static bool make_each(maker_t *maker, const node_t *node)
{
    for (int i = 0; i < node->items->nelts; i++) {
        if (!make(maker, APR_ARRAY_IDX(node->items, i, const node_t *))) {
            return false;
        }
    }
    return true;
}

static bool make_either(maker_t *maker, const node_t *node)
{
    sa_pattern_t *pattern = maker->pattern;
    int last_jump = -1;         /* each jump keeps the one before it in Y */

    for (int i = 0; i < node->items->nelts; i++) {
        bool is_last = i + 1 == node->items->nelts;
        int fork = is_last ? -1 : put(maker, STATE_FORK);
        int jump;

        if (!make(maker, APR_ARRAY_IDX(node->items, i, const node_t *))) {
            return false;
        }
        if (is_last) {
            break;
        }
        jump = put(maker, STATE_JUMP);
        pattern->states[jump].y = last_jump;
        last_jump = jump;
        pattern->states[fork].x = fork + 1;
        pattern->states[fork].y = pattern->count;
    }
    while (last_jump >= 0 && !maker->too_large) {
        int before = pattern->states[last_jump].y;

        pattern->states[last_jump].x = pattern->count;
        last_jump = before;
    }
    return !maker->too_large;
}

/* Any number of NODE's inner one. */
static bool make_loop(maker_t *maker, const node_t *node)
{
    state_t *states = maker->pattern->states;
    int fork = put(maker, STATE_FORK);
    int jump;

    if (!make(maker, node->inner)) {
        return false;
    }
    jump = put(maker, STATE_JUMP);
    states[jump].x = fork;
    states[fork].x = fork + 1;
    states[fork].y = maker->pattern->count;
    return true;
}

static bool make_repeat(maker_t *maker, const node_t *node)
{
    state_t *states = maker->pattern->states;
    int last_fork = -1;         /* each fork keeps the one before it in Y */

    for (int i = 0; i < node->min; i++) {
        if (!make(maker, node->inner)) {
            return false;
        }
    }
    if (node->max < 0) {
        return make_loop(maker, node);
    }
    for (int i = node->min; i < node->max; i++) {
        int fork = put(maker, STATE_FORK);

        states[fork].x = fork + 1;
        states[fork].y = last_fork;
        last_fork = fork;
        if (!make(maker, node->inner)) {
            return false;
        }
    }
    while (last_fork >= 0 && !maker->too_large) {
        int before = states[last_fork].y;

        states[last_fork].y = maker->pattern->count;
        last_fork = before;
    }
    return !maker->too_large;
}

/* false: too large. */
static bool make(maker_t *maker, const node_t *node)
{
    maker->visits++;
    if (maker->visits > VISITS || maker->too_large) {
        maker->too_large = true;
        return false;
    }
    switch (node->kind) {
    case NODE_EMPTY:
        return true;
    case NODE_SET:
        maker->pattern->states[put(maker, STATE_SET)].set = node->set;
        return !maker->too_large;
    case NODE_EACH:
        return make_each(maker, node);
    case NODE_EITHER:
        return make_either(maker, node);
    case NODE_REPEAT:
        return make_repeat(maker, node);
    }
    return false;
}

static sa_error_t *create(sa_pattern_t *pattern, const char *text, apr_pool_t *pool,
                          apr_pool_t *scratch_pool)
{
    parser_t parser = {.at = text, .end = text + strlen(text), .column = 1, .pool = scratch_pool,
                       .set_pool = pool};
    maker_t maker = {.pattern = pattern};
    node_t *node;

    take_word(&parser, "^");
    SA_TRY(parse_either(&node, &parser));
    if (parser.at < parser.end) {
        return wrong_at(parser.column, ") without (");
    }
    pattern->states = apr_palloc(scratch_pool, SA_PATTERN_STATES * sizeof(state_t));
    if (!make(&maker, node) || pattern->count == SA_PATTERN_STATES) {
        return sa_error(SA_ERR_PARSE, NULL, "a pattern of more than %d states, by its repeats",
                        SA_PATTERN_STATES);
    }
    put(&maker, STATE_DONE);
    pattern->states = apr_pmemdup(pool, pattern->states,
                                  (size_t)pattern->count * sizeof(state_t));
    return SA_OK;
}

sa_error_t *sa_pattern_create(sa_pattern_t **pattern, const char *text, apr_pool_t *pool)
{
    const char *fault = sa_text_fault(text, strlen(text));
    apr_pool_t *scratch_pool;
    sa_error_t *err;

    if (strlen(text) > SA_PATTERN_BYTES) {
        return sa_error(SA_ERR_PARSE, NULL, "a pattern of more than %d bytes", SA_PATTERN_BYTES);
    }
    if (fault) {
        return sa_error(SA_ERR_PARSE, NULL, "a pattern that %s", fault);
    }
    scratch_pool = sa_pool_create(pool);
    *pattern = apr_pcalloc(pool, sizeof(**pattern));
    err = create(*pattern, text, pool, scratch_pool);
    apr_pool_destroy(scratch_pool);
    return err;
}

int sa_pattern_states(const sa_pattern_t *pattern)
{
    return pattern->count;
}

/* ---- matching ------------------------------------------------------------------------ */

/* The states that the text read so far can have led to. */
typedef struct crowd_t {
    int *places;            /* of sets only */
    int count;
    bool done;              /* the end is among them */
} crowd_t;

typedef struct run_t {
    const sa_pattern_t *pattern;
    unsigned int *seen;     /* in which turn a state was met last */
    unsigned int turn;
    int *waiting;
    apr_uint64_t steps;
} run_t;

/* STATE, and where it leads without reading.  Each state is met once a turn, so that
 * WAITING never holds more than there are. */
static void enter(run_t *run, crowd_t *crowd, int place)
{
    int count = 0;

    if (run->seen[place] == run->turn) {
        return;
    }
    run->seen[place] = run->turn;
    run->waiting[count++] = place;
    while (count > 0) {
        const state_t *state;
        int next[2] = {-1, -1};

        place = run->waiting[--count];
        state = &run->pattern->states[place];
        run->steps++;
        if (state->kind == STATE_SET) {
            crowd->places[crowd->count++] = place;
        } else if (state->kind == STATE_DONE) {
            crowd->done = true;
        } else {
            next[0] = state->x;
            next[1] = state->kind == STATE_FORK ? state->y : -1;
        }
        for (int i = 0; i < 2; i++) {
            if (next[i] >= 0 && run->seen[next[i]] != run->turn) {
                run->seen[next[i]] = run->turn;
                run->waiting[count++] = next[i];
            }
        }
    }
}

/* From BEFORE to AFTER by reading POINT. */
static void advance(run_t *run, crowd_t *after, const crowd_t *before, uint32_t point)
{
    run->turn++;
    after->count = 0;
    after->done = false;
    for (int i = 0; i < before->count; i++) {
        if (has_point(run->pattern->states[before->places[i]].set, point)) {
            enter(run, after, before->places[i] + 1);
        }
    }
}

bool sa_pattern_match(const sa_pattern_t *pattern, const char *text, size_t length,
                      apr_uint64_t *steps, apr_pool_t *scratch_pool)
{
    size_t bytes = (size_t)pattern->count * sizeof(int);
    run_t run = {pattern, apr_pcalloc(scratch_pool, bytes), 1, apr_palloc(scratch_pool, bytes), 0};
    crowd_t crowds[2] = {{apr_palloc(scratch_pool, bytes), 0, false},
                         {apr_palloc(scratch_pool, bytes), 0, false}};
    int now = 0;
    bool is_text = true;

    enter(&run, &crowds[now], 0);
    for (size_t i = 0; i < length && is_text && (crowds[now].count > 0 || crowds[now].done);) {
        uint32_t point;
        int count = sa_text_decode(&point, text + i, length - i);

        is_text = count > 0;
        i += (size_t)count;
        if (is_text) {
            advance(&run, &crowds[1 - now], &crowds[now], point);
            now = 1 - now;
        }
    }
    if (steps) {
        *steps = run.steps;
    }
    return is_text && crowds[now].done;
}
