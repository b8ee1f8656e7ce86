/* exposition: what of a page is wanted.  Made once from the configuration,
 * never changed afterwards. */
#include <string.h>

#include <apr_strings.h>

#include "sa_exposition_private.h"
#include "sa_glob.h"

typedef struct rule_t {
    sa_exposition_text_t label;     /* empty: the name of the metric */
    const sa_glob_t *glob;
} rule_t;

typedef struct rules_t {
    rule_t *rules;
    int count;
} rules_t;

struct sa_exposition_filter_t {
    rules_t keep;
    rules_t drop;
    rules_t keep_if;
    rules_t drop_if;
    sa_exposition_list_t drop_labels;
};

static int count_of(const apr_array_header_t *list)
{
    return list ? list->nelts : 0;
}

/* PATTERN, or LABEL=PATTERN. */
static sa_error_t *make_rule(rule_t *rule, const char *text, bool with_label, apr_pool_t *pool)
{
    const char *pattern = text;

    memset(rule, 0, sizeof(*rule));
    if (with_label) {
        const char *equals = strchr(text, '=');

        if (!equals) {
            return sa_error(SA_ERR_CONFIG, NULL, "\"%.64s\" is no LABEL=PATTERN", text);
        }
        pattern = equals + 1;
        rule->label.start = apr_pstrmemdup(pool, text, (apr_size_t)(equals - text));
        rule->label.length = (size_t)(equals - text);
    }
    rule->glob = sa_glob_create(pattern, pool);
    if (!rule->glob) {
        return sa_error(SA_ERR_CONFIG, NULL, "the pattern \"%.64s...\" is too long", pattern);
    }
    return SA_OK;
}

static sa_error_t *make_rules(rules_t *rules, const apr_array_header_t *list, bool with_label,
                              apr_pool_t *pool)
{
    rules->count = count_of(list);
    rules->rules = apr_pcalloc(pool, sizeof(*rules->rules) * (size_t)(rules->count + 1));
    for (int i = 0; i < rules->count; i++) {
        SA_TRY(make_rule(&rules->rules[i], APR_ARRAY_IDX(list, i, const char *), with_label, pool));
    }
    return SA_OK;
}

sa_error_t *sa_exposition_filter_create(sa_exposition_filter_t **filter,
                                        const sa_exposition_rules_t *rules, apr_pool_t *pool)
{
    sa_exposition_filter_t *made = apr_pcalloc(pool, sizeof(*made));
    int labels = count_of(rules->drop_labels);

    *filter = NULL;
    SA_TRY(make_rules(&made->keep, rules->keep, false, pool));
    SA_TRY(make_rules(&made->drop, rules->drop, false, pool));
    SA_TRY(make_rules(&made->keep_if, rules->keep_if, true, pool));
    SA_TRY(make_rules(&made->drop_if, rules->drop_if, true, pool));
    made->drop_labels.names = apr_pcalloc(pool, sizeof(*made->drop_labels.names) *
                                                    (size_t)(labels + 1));
    for (int i = 0; i < labels; i++) {
        sa_exposition_text_t *name = &made->drop_labels.names[i];

        name->start = apr_pstrdup(pool, APR_ARRAY_IDX(rules->drop_labels, i, const char *));
        name->length = strlen(name->start);
    }
    made->drop_labels.count = labels;
    if (made->keep.count + made->drop.count + made->keep_if.count + made->drop_if.count + labels >
        0) {
        *filter = made;
    }
    return SA_OK;
}

/* TEXT with its escapes undone, in SCRATCH if there are any. */
static sa_exposition_text_t undo_escapes(sa_exposition_text_t text, sa_buf_t *scratch)
{
    if (text.length == 0 || !memchr(text.start, '\\', text.length)) {
        return text;
    }
    sa_buf_clear(scratch);
    sa_exposition__unescape(scratch, &text);
    text.start = scratch->data;
    text.length = scratch->length;
    return text;
}

static sa_exposition_text_t value_of(const sa_exposition_sample_t *sample,
                                     const sa_exposition_text_t *label)
{
    static const sa_exposition_text_t none = {"", 0};

    if (label->length == 0) {
        return sample->name;
    }
    for (int i = 0; i < sample->pair_count; i++) {
        if (sa_exposition__is_same(&sample->pairs[i].name, label)) {
            return sample->pairs[i].value;
        }
    }
    return none;
}

static bool any_matches(const rules_t *rules, const sa_exposition_sample_t *sample,
                        sa_buf_t *scratch)
{
    for (int i = 0; i < rules->count; i++) {
        const rule_t *rule = &rules->rules[i];
        sa_exposition_text_t text = undo_escapes(value_of(sample, &rule->label), scratch);

        if (sa_glob_match(rule->glob, text.start, text.length)) {
            return true;
        }
    }
    return false;
}

bool sa_exposition__wants(const sa_exposition_filter_t *filter, sa_exposition_sample_t *sample,
                          bool *changed, sa_buf_t *scratch)
{
    if ((filter->keep.count > 0 && !any_matches(&filter->keep, sample, scratch)) ||
        any_matches(&filter->drop, sample, scratch) ||
        (filter->keep_if.count > 0 && !any_matches(&filter->keep_if, sample, scratch)) ||
        any_matches(&filter->drop_if, sample, scratch)) {
        return false;
    }
    for (int i = 0; i < sample->pair_count && filter->drop_labels.count > 0; i++) {
        if (sa_exposition__is_in(&filter->drop_labels, &sample->pairs[i].name)) {
            sample->pairs[i].value.length = 0;      /* an empty label is none */
            *changed = true;
        }
    }
    return true;
}
