/* Documentation from the tables: the example file, agent.yaml(5), stone-age-agent(8), events.md.
 *
 *     gen_docs example|man|command|events|completion|SUBCOMMAND STATEDIR RUNDIR CONFDIR
 *
 * For command a template comes on standard input, with the marks @SYNOPSIS@, @SUBCOMMANDS@ and
 * @OPTIONS@ on lines of their own.
 *
 * Built for and run on the build machine: standard C and our tables only. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sa_options.h"

#define COLUMNS 78
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct entry_t {
    enum { ENTRY_SECTION, ENTRY_RESERVED, ENTRY_OPTION } kind;
    const char *path;
    const char *doc;
    sa_option_t option;
} entry_t;

static const entry_t entries[] = {
#define SA_SECTION(path_, doc_) {.kind = ENTRY_SECTION, .path = path_, .doc = doc_},
#define SA_RESERVED(path_, doc_) {.kind = ENTRY_RESERVED, .path = path_, .doc = doc_},
#define SA_OPTION(type_, field_, path_, ...) \
    {.kind = ENTRY_OPTION, .path = path_,    \
     .option = {.path = path_, .type = SA_OPTION_##type_, __VA_ARGS__}},
#include "sa_config_options.def"
};

/* Groups of the public agents that are read as ours. */
static const struct {
    const char *section;
    const char *other;
} section_aliases[] = {
#define SA_SECTION_ALIAS(section_, other_) {section_, other_},
#include "sa_config_options.def"
};

static const sa_option_t exporter_options[] = {
#define SA_OPTION(type_, field_, path_, ...) \
    {.path = path_, .type = SA_OPTION_##type_, __VA_ARGS__},
#include "sa_exporter_options.def"
#undef SA_OPTION
};

static const sa_option_t command_options[] = {
#define SA_OPTION(type_, field_, path_, ...) \
    {.path = path_, .type = SA_OPTION_##type_, __VA_ARGS__},
#include "sa_allowed_command_options.def"
#undef SA_OPTION
};

static const sa_option_t argument_options[] = {
#define SA_OPTION(type_, field_, path_, ...) \
    {.path = path_, .type = SA_OPTION_##type_, __VA_ARGS__},
#include "sa_argument_options.def"
#undef SA_OPTION
};

/* A list of structs, printed behind the last section of its parent. */
typedef struct list_t {
    const char *parent;
    const char *name;
    const char *prefix;             /* of each option in the manual */
    const char *doc;
    const sa_option_t *options;
    size_t count;
    const char *const *example;     /* lines; NULL: made of the options */
    const struct list_t *inner;     /* in each struct, or NULL */
} list_t;

static const char *const command_example[] = {
    "- \"df -h\"",
    "- \"ps aux | sort -rk 3 | head -n 10\"",
    "- name: \"disk\"",
    "  run: [\"df\", \"-h\", \"{mount}\"]",
    "  args: {mount: {type: path, under: [\"/\"]}}",
    "  timeout: \"10s\"",
    "- line: \"tar -czf /var/backups/etc.tgz /etc\"",
    "  timeout: \"10m\"",
    "  nice: 10",
    "  readable: [\"/usr\", \"/lib\", \"/lib64\", \"/etc\"]",
    "  writable: [\"/var/backups\"]",
    "- name: \"journal\"",
    "  run: [\"journalctl\", \"--no-pager\", \"--reverse{newest}\", \"--lines={lines}\", "
    "\"--grep={text}\"]",
    "  args:",
    "    newest: {type: switch}",
    "    lines: {type: int, min: 1, max: 1000, default: 100}",
    "    text: {type: string, pattern: \"[A-Za-z0-9 ._-]+\", max_length: 64}",
    NULL};

static const list_t arguments = {
    NULL, "args", "commands.allowed_commands[].args.NAME.",
    "What a requester may put into run: NAME: {type: TYPE, ...}, at most 32 of them. A name is a "
    "letter, then letters, digits, _ and -, and each has to be used in run. The section "
    "ARGUMENTS of agent.yaml(5) says how values are checked.",
    argument_options, COUNT(argument_options), NULL, NULL};

static const list_t struct_lists[] = {
    {"tasks", "exporters", "tasks.exporters[].",
     "Pages of Prometheus exporters, fetched and forwarded. Lists of several files are joined; a "
     "list given with --set replaces them all.",
     exporter_options, COUNT(exporter_options), NULL, NULL},
    {"commands", "allowed_commands", "commands.allowed_commands[].",
     "What may be run, at most 256 entries, no two of which a requester would call the same. An "
     "entry is a line of text, or a group: line with its limits, or name, run and args. Lists of "
     "several files are joined; a list given with --set (as YAML) replaces them all. An unknown "
     "setting in here is an error. `stone-age-agent exec-list` prints what comes of it.",
     command_options, COUNT(command_options), command_example, &arguments},
};

static const struct {
    const char *id;
    const char *level;
    const char *text;
    const char *advice;
} events[] = {
#define SA_EVENT(id_, level_, text_, advice_) {#id_, #level_, text_, advice_},
#include "sa_events.def"
#undef SA_EVENT
};

static const struct {
    const char *name;
    const char *text;
} error_codes[] = {
#define SA_ERROR_CODE(symbol_, name_, text_) {name_, text_},
#include "sa_error_codes.def"
#undef SA_ERROR_CODE
};

static const char *state_directory;
static const char *runtime_directory;
static const char *config_directory;

/* ---- text -------------------------------------------------------------------- */

#define TEXT_BYTES 4096
typedef struct text_t {
    char bytes[TEXT_BYTES];
    size_t length;
} text_t;

static void add_part(text_t *text, const char *part, size_t length)
{
    if (length >= TEXT_BYTES - text->length) {
        fputs("gen_docs: a text of the tables is too long\n", stderr);
        exit(1);
    }
    memcpy(text->bytes + text->length, part, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

static void add(text_t *text, const char *part)
{
    add_part(text, part, strlen(part));
}

static text_t empty_text(void)
{
    text_t text = {.length = 0};

    return text;
}

/* VALUE with @statedir@ and its like replaced. */
static text_t expand(const char *value)
{
    static const char *const names[] = {"@statedir@", "@rundir@", "@confdir@"};
    const char *const paths[] = {state_directory, runtime_directory, config_directory};
    text_t text = empty_text();

    for (size_t i = 0; i < COUNT(names); i++) {
        if (strncmp(value, names[i], strlen(names[i])) == 0) {
            add(&text, paths[i]);
            value += strlen(names[i]);
            break;
        }
    }
    add(&text, value);
    return text;
}

/* VALUE in YAML's double quotes. */
static void add_quoted(text_t *text, const char *value, size_t length)
{
    add(text, "\"");
    for (size_t i = 0; i < length; i++) {
        if (value[i] == '"' || value[i] == '\\') {
            add(text, "\\");
        }
        add_part(text, value + i, 1);
    }
    add(text, "\"");
}

/* "a,b" as ["a", "b"]. */
static void add_list(text_t *text, const char *value)
{
    add(text, "[");
    while (*value) {
        size_t span = strcspn(value, ",");

        add_quoted(text, value, span);
        value += span + (value[span] ? 1 : 0);
        add(text, *value ? ", " : "");
    }
    add(text, "]");
}

/* The default as it would stand in the file. */
static text_t yaml_default(const sa_option_t *option)
{
    text_t value = expand(option->def ? option->def : "");
    text_t text = empty_text();

    switch (option->type) {
    case SA_OPTION_STR:
        add_quoted(&text, value.bytes, value.length);
        break;
    case SA_OPTION_LIST:
        add_list(&text, value.bytes);
        break;
    case SA_OPTION_MAP:
        add(&text, "{}");
        break;
    default:
        add(&text, value.bytes);
    }
    return text;
}

/* What the example file shows. */
static text_t yaml_example(const sa_option_t *option)
{
    text_t text = empty_text();

    if (!option->example) {
        return yaml_default(option);
    }
    if (option->type == SA_OPTION_STR) {
        text_t value = expand(option->example);

        add_quoted(&text, value.bytes, value.length);
    } else {
        add(&text, option->example);
    }
    return text;
}

/* ---- facts about an option ------------------------------------------------------ */

static const char *type_text(const sa_option_t *option)
{
    static const char *const types[] = {
        [SA_OPTION_BOOL] = "true or false", [SA_OPTION_INT] = "whole number",
        [SA_OPTION_DURATION] = "duration", [SA_OPTION_SIZE] = "size", [SA_OPTION_STR] = "text",
        [SA_OPTION_CHOICE] = "one word", [SA_OPTION_LIST] = "list",
        [SA_OPTION_MAP] = "names with values", [SA_OPTION_SECRET] = "secret"};
    static const char *const strings[] = {
        [SA_SHAPE_TOKEN] = "letters, digits, - and _", [SA_SHAPE_PATH] = "absolute path",
        [SA_SHAPE_SUBJECT] = "words of letters, digits, - and _, separated by dots",
        [SA_SHAPE_HTTP_URL] = "http or https URL", [SA_SHAPE_LABEL] = NULL,
        [SA_SHAPE_PROXY_URL] = "URL of a proxy, or none",
        [SA_SHAPE_PIN] = "one or two words of base64"};
    static const char *const lists[] = {
        [SA_SHAPE_BUS_URL] = "list of URLs", [SA_SHAPE_PREFIX] = "list of beginnings of subjects",
        [SA_SHAPE_SERVICE] = "list of services",
        [SA_SHAPE_GLOB] = "list of patterns", [SA_SHAPE_MATCH] = "list of LABEL=PATTERN",
        [SA_SHAPE_LABEL] = "list of label names"};
    const char *text = NULL;

    if (option->type == SA_OPTION_STR && option->shape < COUNT(strings)) {
        text = strings[option->shape];
    }
    if (option->type == SA_OPTION_LIST && option->shape < COUNT(lists)) {
        text = lists[option->shape];
    }
    return text ? text : types[option->type];
}

static void add_range(text_t *text, const sa_option_t *option)
{
    const char *end = "";

    if (option->min) {
        add(text, option->flags & SA_OPT_TRIAL ? ", 0s or from " : ", from ");
        add(text, option->min);
        add(text, " to ");
    } else if (option->max) {
        bool is_list = option->type == SA_OPTION_LIST || option->type == SA_OPTION_MAP;

        add(text, ", at most ");
        end = is_list ? " items" : " bytes";
    }
    add(text, option->max ? option->max : "");
    add(text, end);
}

static void add_words(text_t *text, const char *words, const char *between)
{
    while (*words) {
        size_t span = strcspn(words, " ");

        add_part(text, words, span);
        words += span;
        words += strspn(words, " ");
        add(text, *words ? between : "");
    }
}

/* "duration, from 10s to 24h" */
static void add_type(text_t *text, const sa_option_t *option)
{
    add(text, type_text(option));
    add_range(text, option);
}

static void add_reload(text_t *text, const sa_option_t *option, bool in_group)
{
    add(text, in_group || (option->flags & SA_OPT_RELOAD) ? "reload" : "restart");
}

static void add_remote(text_t *text, const sa_option_t *option)
{
    add(text, option->flags & SA_OPT_REMOTE ? "; may also be set by the platform" : "");
}

/* "also written nats.auth.platform, ..." for the section PATH; false: it has no other names. */
static bool add_other_names(text_t *text, const char *path)
{
    bool any = false;

    for (size_t i = 0; i < COUNT(section_aliases); i++) {
        if (strcmp(section_aliases[i].section, path) == 0) {
            add(text, any ? ", " : "This group is also written ");
            add(text, section_aliases[i].other);
            any = true;
        }
    }
    add(text, any ? "." : "");
    return any;
}

/* "nats.auth.type=token" as "nats.auth.type is token". */
static void add_condition(text_t *text, const char *condition)
{
    size_t span = strcspn(condition, "=");

    add_part(text, condition, span);
    add(text, " is ");
    add(text, condition + span + 1);
}

/* ---- the example file -------------------------------------------------------------- */

static void print_indent(int depth)
{
    printf("%*s", 2 * depth, "");
}

/* How much of TEXT fits on one line. */
static size_t line_length(const char *text, size_t room)
{
    size_t length = strlen(text);

    if (length <= room) {
        return length;
    }
    for (length = room; length > 0 && text[length] != ' '; length--) {
    }
    return length > 0 ? length : strcspn(text, " ");
}

/* TEXT as comment lines. */
static void print_comment(int depth, const char *text)
{
    size_t room = (size_t)(COLUMNS - 2 * depth - 2);

    while (*text) {
        size_t length = line_length(text, room);

        print_indent(depth);
        printf("# %.*s\n", (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
}

static void add_choices(text_t *text, const char *choices)
{
    while (*choices) {
        size_t word = strcspn(choices, "=|");
        size_t span = strcspn(choices, "|");

        add_part(text, choices, word);
        add(text, " (");
        add_part(text, choices + word + 1, span - word - 1);
        add(text, ")");
        choices += span + (choices[span] ? 1 : 0);
        add(text, *choices ? ", " : ".");
    }
}

static void print_facts(int depth, const sa_option_t *option)
{
    text_t text = empty_text();

    if (option->choices) {
        add(&text, "One of ");
        add_choices(&text, option->choices);
        print_comment(depth, text.bytes);
        text = empty_text();
    }
    add(&text, "[");
    add_type(&text, option);
    if (option->flags & SA_OPT_REQUIRED) {
        add(&text, "; required");
    }
    if (option->required_if) {
        add(&text, "; required when ");
        add_condition(&text, option->required_if);
    }
    add(&text, "; ");
    add_reload(&text, option, false);
    add_remote(&text, option);
    add(&text, "]");
    print_comment(depth, text.bytes);
}

static int depth_of(const char *path)
{
    int depth = 0;

    for (const char *c = path; *c; c++) {
        depth += *c == '.';
    }
    return depth;
}

static const char *last_word(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot ? dot + 1 : path;
}

/* Open the groups of PATH that BEFORE, the path printed last, has not opened. */
static void print_groups(const char *path, const char *before)
{
    const char *word = path;
    int depth = 0;

    for (const char *dot = strchr(word, '.'); dot; dot = strchr(word, '.')) {
        size_t length = (size_t)(dot - path) + 1;

        if (strncmp(path, before, length) != 0) {
            print_indent(depth);
            printf("%.*s:\n", (int)(dot - word), word);
        }
        word = dot + 1;
        depth++;
    }
}

static void print_secret(int depth, const sa_option_t *option)
{
    const char *word = last_word(option->path);
    text_t text = empty_text();
    text_t path = empty_text();
    text_t quoted = empty_text();

    add(&text, "It never stands here, only where it is: ");
    add(&text, word);
    add(&text, "_file names a file that nobody else can read, ");
    add(&text, word);
    add(&text, "_env an environment variable; without either, a systemd credential called ");
    add(&text, option->path);
    add(&text, " is taken.");
    print_comment(depth, text.bytes);
    add(&path, config_directory);
    add(&path, "/");
    add(&path, word);
    add_quoted(&quoted, path.bytes, path.length);
    print_indent(depth);
    printf("#%s_file: %s\n", word, quoted.bytes);
}

static void print_option(const sa_option_t *option, const char *before)
{
    int depth = depth_of(option->path);

    print_groups(option->path, before);
    print_comment(depth, option->doc);
    print_facts(depth, option);
    if (option->type == SA_OPTION_SECRET) {
        print_secret(depth, option);
    } else {
        print_indent(depth);
        printf("#%s: %s\n", option->path + strlen(option->path) - strlen(last_word(option->path)),
               yaml_example(option).bytes);
    }
    printf("\n");
}

static bool yaml_is_default(const sa_option_t *option)
{
    return !option->example && option->type != SA_OPTION_SECRET;
}

/* One line of the list's only element. */
static void print_list_line(const sa_option_t *option, bool first)
{
    text_t value = empty_text();

    if (option->type == SA_OPTION_SECRET) {
        text_t path = expand("@confdir@/");

        add(&path, option->path);
        add_quoted(&value, path.bytes, path.length);
    } else {
        value = yaml_example(option);
    }
    /* What would change something stays out until somebody wants it. */
    printf("  #  %s%s%s: %s\n",
           first ? "- " : option->flags & SA_OPT_REQUIRED || yaml_is_default(option) ? "  " : "#  ",
           option->path, option->type == SA_OPTION_SECRET ? "_file" : "", value.bytes);
}

/* What each setting of LIST means, its name behind PREFIX. */
static void print_list_facts(const list_t *list, const char *prefix)
{
    for (size_t i = 0; i < list->count; i++) {
        const sa_option_t *option = &list->options[i];
        text_t text = empty_text();

        add(&text, prefix);
        add(&text, option->path);
        if (option->type == SA_OPTION_SECRET) {
            add(&text, "_file, ");
            add(&text, option->path);
            add(&text, "_env");
        }
        add(&text, ": ");
        add(&text, option->doc);
        if (option->choices) {
            add(&text, " One of ");
            add_choices(&text, option->choices);
        }
        add(&text, " [");
        add_type(&text, option);
        add(&text, option->flags & SA_OPT_REQUIRED ? "; required]" : "]");
        print_comment(1, text.bytes);
    }
}

/* Commented out whole: half a list would be wrong. */
static void print_list(const list_t *list)
{
    print_comment(1, list->doc);
    print_list_facts(list, "");
    if (list->inner) {
        text_t text = empty_text();

        add(&text, list->inner->name);
        add(&text, ": ");
        add(&text, list->inner->doc);
        print_comment(1, text.bytes);
        print_list_facts(list->inner, "args.NAME.");
    }
    printf("  #%s:\n", list->name);
    for (size_t i = 0; !list->example && i < list->count; i++) {
        print_list_line(&list->options[i], i == 0);
    }
    for (size_t i = 0; list->example && list->example[i]; i++) {
        printf("  #  %s\n", list->example[i]);
    }
    printf("\n");
}

static bool is_in(const char *path, const char *group)
{
    return strncmp(path, group, strlen(group)) == 0 && path[strlen(group)] == '.';
}

/* Print the lists whose last section was at BEFORE, now that PATH (NULL: nothing) comes. */
static void print_lists(const char *before, const char *path, void (*print)(const list_t *))
{
    for (size_t i = 0; i < COUNT(struct_lists); i++) {
        const char *parent = struct_lists[i].parent;
        bool was_in = strcmp(before, parent) == 0 || is_in(before, parent);

        if (was_in && (!path || (strcmp(path, parent) != 0 && !is_in(path, parent)))) {
            print(&struct_lists[i]);
        }
    }
}

static void print_other_names(const char *path)
{
    text_t text = empty_text();

    if (add_other_names(&text, path)) {
        print_comment(0, text.bytes);
    }
}

static void print_example(void)
{
    const char *before = "";
    const char *section = "";

    printf("# Configuration of the Stone-Age agent; agent.yaml(5) says the same at length.\n"
           "#\n"
           "# Every setting stands here with its default or an example behind a #. Take the #\n"
           "# away, and not the spaces before it, to set one. \"required\" ones have no default.\n"
           "# [reload]: SIGHUP is enough for it; [restart]: it waits for a restart.\n"
           "#\n"
           "# Files agent.d/*.yaml beside this one are read after it, in the order of their\n"
           "# names; --set KEY=VALUE comes last. What comes later wins.\n"
           "#\n"
           "# `stone-age-agent check-config` names everything that is wrong, with its line.\n\n");
    for (size_t i = 0; i < COUNT(entries); i++) {
        const entry_t *entry = &entries[i];

        if (entry->kind == ENTRY_SECTION) {
            print_lists(section, entry->path, print_list);
            section = entry->path;
            printf("# ---- %s\n", entry->doc);
            print_other_names(entry->path);
        } else if (entry->kind == ENTRY_OPTION) {
            print_option(&entry->option, before);
            before = entry->path;
        }
    }
    print_lists(section, NULL, print_list);
}

/* ---- the manual page ------------------------------------------------------------- */

/* LENGTH bytes of TEXT as they are: no escapes, no requests. */
static void print_roff_part(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\') {
            printf("\\e");
        } else if (text[i] == '-') {
            printf("\\-");
        } else if ((text[i] == '.' || text[i] == '\'') && i == 0) {
            printf("\\&%c", text[i]);
        } else {
            putchar(text[i]);
        }
    }
}

static void print_roff(const char *text)
{
    print_roff_part(text, strlen(text));
}

/* Prose: each sentence begins on a line of its own. */
static void print_prose(const char *text)
{
    while (*text) {
        const char *end = strstr(text, ". ");
        size_t sentence = end ? (size_t)(end - text) + 1 : strlen(text);
        size_t length = line_length(text, 70);

        length = length < sentence ? length : sentence;
        print_roff_part(text, length);
        printf("\n");
        text += length;
        text += strspn(text, " ");
    }
}

static void print_man_facts(const sa_option_t *option, bool in_group)
{
    text_t text = empty_text();

    add(&text, "Type: ");
    add_type(&text, option);
    if (option->flags & SA_OPT_REQUIRED) {
        add(&text, "; required");
    } else if (option->required_if) {
        add(&text, "; required when ");
        add_condition(&text, option->required_if);
    }
    if (option->def) {
        add(&text, "; default ");
        add(&text, option->def[0] ? yaml_default(option).bytes : "none");
    }
    if (option->alias) {
        add(&text, "; also written ");
        add_words(&text, option->alias, ", ");
    }
    add(&text, "; since ");
    add(&text, option->since);
    add(&text, "; takes effect on ");
    add_reload(&text, option, in_group);
    add_remote(&text, option);
    add(&text, ".");
    printf(".Pp\n");
    print_prose(text.bytes);
}

static void print_man_choices(const sa_option_t *option)
{
    text_t text = empty_text();

    add(&text, "One of ");
    add_choices(&text, option->choices);
    if (option->synonyms) {
        add(&text, " Other words for them: ");
        add_words(&text, option->synonyms, ", ");
        add(&text, ".");
    }
    print_prose(text.bytes);
}

static void print_man_option(const sa_option_t *option, const char *prefix)
{
    bool is_secret = option->type == SA_OPTION_SECRET;

    printf(".It Li ");
    print_roff(prefix);
    print_roff(option->path);
    if (is_secret) {
        printf("_file , ");
        print_roff(option->path);
        printf("_env");
    }
    printf("\n");
    print_prose(option->doc);
    if (option->choices) {
        print_man_choices(option);
    }
    print_man_facts(option, prefix[0] != '\0');
}

static void print_man_section(const char *path, const char *doc)
{
    text_t text = empty_text();

    printf(".Ss ");
    print_roff(path[0] ? path : "Identity");
    printf("\n");
    print_prose(doc);
    if (add_other_names(&text, path)) {
        print_prose(text.bytes);
    }
}

static void print_man_list(const list_t *list)
{
    text_t title = empty_text();

    add_part(&title, list->prefix, strlen(list->prefix) - 1);
    print_man_section(title.bytes, list->doc);
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < list->count; i++) {
        print_man_option(&list->options[i], list->prefix);
    }
    printf(".El\n");
    if (list->inner) {
        print_man_list(list->inner);
    }
}

static void print_man_options(void)
{
    bool in_list = false;
    const char *section = "";

    for (size_t i = 0; i < COUNT(entries); i++) {
        const entry_t *entry = &entries[i];

        if (entry->kind == ENTRY_SECTION) {
            printf(in_list ? ".El\n" : "");
            print_lists(section, entry->path, print_man_list);
            section = entry->path;
            print_man_section(entry->path, entry->doc);
            printf(".Bl -tag -width Ds\n");
            in_list = true;
        } else if (entry->kind == ENTRY_OPTION) {
            print_man_option(&entry->option, "");
        }
    }
    printf(".El\n");
    print_lists(section, NULL, print_man_list);
}

static void print_man_reserved(void)
{
    printf(".Sh RESERVED NAMES\n"
           "These, and what is below them and no setting above, are known from other agents or\n"
           "other versions.\n"
           "They are accepted, have no effect in this version, and are named once at the start.\n"
           ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < COUNT(entries); i++) {
        if (entries[i].kind == ENTRY_RESERVED) {
            printf(".It Li ");
            print_roff(entries[i].path);
            printf("\n");
            print_prose(entries[i].doc);
        }
    }
    printf(".El\n");
}

static void print_man_beginning(void)
{
    printf(".\\\" Made by gen_docs from the table of options; change it there.\n"
           ".Dd November 24, 2026\n"
           ".Dt AGENT.YAML 5\n"
           ".Os\n"
           ".Sh NAME\n"
           ".Nm agent.yaml\n"
           ".Nd configuration of the Stone\\-Age agent\n"
           ".Sh DESCRIPTION\n"
           "The file is YAML: groups of settings, one document, without anchors, aliases and\n"
           "tags.\n"
           "Settings are named here by their dotted path:\n"
           ".Li nats.urls\n"
           "is\n"
           ".Li urls\n"
           "in the group\n"
           ".Li nats .\n"
           "A group with nothing in it, and a setting with nothing behind it, mean the default.\n"
           ".Pp\n"
           "Read are the file, then the files\n"
           ".Pa agent.d/*.yaml\n"
           "beside it in the order of their names, then what\n"
           ".Fl \\-set Ar KEY=VALUE\n"
           "says on the command line.\n"
           "What comes later wins; a list replaces the earlier one, except that\n"
           ".Li tasks.exporters\n"
           "and\n"
           ".Li commands.allowed_commands\n"
           "of several files are joined.\n"
           "Within one file nothing may be set twice.\n"
           "With\n"
           ".Fl \\-set\n"
           "a list is written with commas\n"
           ".Pq Li nats.urls=nats://a,nats://b\n"
           "or as YAML\n"
           ".Pq Li nats.urls=[nats://a, nats://b] .\n"
           ".Pp\n");
}

static void print_man_platform(void)
{
    printf("With\n"
           ".Li nats.auth.type: platform\n"
           "some harmless settings, marked so below, may also be set by the platform, in\n"
           ".Li metadata.agent\n"
           "of the Thing: as groups or by dotted names, in JSON.\n"
           "They count where no file and no\n"
           ".Fl \\-set\n"
           "says anything; what is no such setting there, or not valid, is left out and named.\n"
           ".Li platform.remote_config: false\n"
           "leaves them out altogether.\n"
           "The last ones are kept in\n"
           ".Pa platform\\-config.json\n"
           "in the state directory.\n"
           ".Pp\n");
}

static void print_man_mistakes(void)
{
    printf("A value that cannot be used is an error, and the agent does not start with it; on a\n"
           "reload it keeps what it had.\n"
           "An unknown setting in a file is a warning; on the command line, and in\n"
           ".Li commands.allowed_commands ,\n"
           "it is an error.\n"
           ".Pp\n"
           "Bounds: 1 MiB for a file, 64 files, 32 levels, 10000 YAML items in a file.\n"
           "A file that everybody can change is refused.\n"
           "Files below the state directory move with\n"
           ".Li paths.state .\n"
           ".Sh TYPES\n"
           ".Bl -tag -width Ds\n"
           ".It true or false\n"
           "Nothing else; not yes, no, on, off.\n"
           ".It duration\n"
           "Numbers with the units ms, s, m, h, d, such as 90s, 1m30s, 1.5h, 7d.\n"
           ".It size\n"
           "A whole number of bytes, or of KB, MB, GB, which are powers of 1024.\n"
           ".El\n"
           ".Sh SETTINGS\n");
}

static void print_man_end(void)
{
    printf(".Sh SECRETS\n"
           "A secret never stands in the file or on the command line.\n"
           "The setting says where it is: its name with\n"
           ".Li _file\n"
           "is the absolute path of a file, its name with\n"
           ".Li _env\n"
           "the name of an environment variable.\n"
           "For a setting outside of\n"
           ".Li tasks.exporters\n"
           "that has neither, a credential of\n"
           ".Xr systemd.exec 5\n"
           "with the dotted name of the setting is taken, for example\n"
           ".Li LoadCredential=nats.auth.token:/etc/keys/token .\n"
           "A password of the platform that is not there any more is a warning only: the session\n"
           "stands for it.\n"
           "More than one source for one secret is an error.\n"
           "A file must belong to root or to the agent's user, must not be a symbolic link, and\n"
           "others must not be able to read or change it.\n"
           "Line ends at the end of a secret are not part of it.\n"
           ".Sh SPELLINGS\n"
           "Configurations of the other Stone\\-Age agents load unchanged: the names under\n"
           ".Dq also written\n"
           "are read as the setting they stand at, and names of parts that this version does not\n"
           "have are accepted.\n"
           "Only secrets that stand in such a file itself must move out of it first.\n"
           "Two spellings of one setting in one file must have the same value.\n"
           ".Sh FILES\n"
           ".Bl -tag -width Ds\n"
           ".It Pa ");
    print_roff(config_directory);
    printf("/agent.yaml\n"
           "The file, unless\n"
           ".Fl \\-config\n"
           "names another one.\n"
           "Where it does not exist, the public Go agent's file is read instead, if there is one.\n"
           ".It Pa ");
    print_roff(config_directory);
    printf("/agent.d/*.yaml\n"
           "Read after it.\n"
           ".El\n"
           ".Sh EXAMPLES\n"
           "All that must be there:\n"
           ".Bd -literal -offset indent\n"
           "code: \"chicago\\-warehouse\\-vent\\-01\"\n"
           "nats:\n"
           "  urls: [\"nats://nats.example.com:4222\"]\n"
           ".Ed\n"
           ".Sh SEE ALSO\n"
           ".Xr stone-age-agent 8\n");
}

static const char commands_text[] =
    ".Sh COMMANDS\n"
    "Whoever may publish on\n"
    ".Li {subject_prefix}.{code}.cmd.exec\n"
    "may have everything run that this section allows; the permissions of the bus decide\n"
    "who that is.\n"
    "What such a requester sends chooses among what stands in the file; it is never added\n"
    "to it.\n"
    "It runs as the agent's user, with all that this user may do on the machine, unless\n"
    ".Li readable\n"
    "or\n"
    ".Li writable\n"
    "confines it.\n"
    ".Pp\n"
    "The request\n"
    ".Li {\\(dqcommand\\(dq: \\(dqTEXT\\(dq, \\(dqargs\\(dq: {\\(dqNAME\\(dq: VALUE}}\n"
    "is looked up in this order:\n"
    ".Bl -enum\n"
    ".It\n"
    "An entry of\n"
    ".Li commands.allowed_commands .\n"
    "A line is compared with TEXT byte for byte, once runs of spaces (U+0020 and nothing\n"
    "else) are made one in both and none are left at the ends; a name is compared as it\n"
    "is.\n"
    "Upper and lower case differ.\n"
    "What runs is the line of the file, not TEXT.\n"
    ".It\n"
    "A file in\n"
    ".Li commands.scripts_directory :\n"
    "TEXT is its bare name, or that directory as it is written in the file, a / and its\n"
    "bare name.\n"
    "Names are letters, digits, dots, - and _, and begin with neither . nor -; nothing\n"
    "else can be asked for.\n"
    "The script, its directory and all above belong to root or to the agent's user and\n"
    "are not writable for others; no link leads there, and it has no second name; it is not\n"
    "setuid or setgid and its file system not noexec; it begins with #! and the path of an\n"
    "interpreter, and is executable.\n"
    ".El\n"
    ".Pp\n"
    "Nothing else runs.\n"
    "A line and a script take no arguments.\n"
    ".Pp\n"
    "A line runs without a shell when it is plain words: letters, digits, the signs\n"
    ".Li @ % _ + = \\&: , \\&. / \\-\n"
    "and what is not ASCII, separated by spaces, where the first word holds no = and is\n"
    "none that only a shell knows, such as cd or ulimit.\n"
    "Every other sign, quotes too, is shell syntax, and the line is handed to\n"
    ".Li /bin/sh \\-c\n"
    "as it stands.\n"
    "A named command has no shell, unless\n"
    ".Li run\n"
    "begins with one; then keep {NAME} out of what it reads as a script.\n"
    ".Pp\n"
    "Programs are named by their absolute path, or by a name without / that is looked up\n"
    "in\n"
    ".Li /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ,\n"
    "whatever\n"
    ".Li env\n"
    "says.\n"
    "The program, the links to it and all directories on the way belong to root or to the\n"
    "agent's user and are not writable for others.\n"
    "Of a line for a shell that is said of /bin/sh, not of what the shell starts.\n"
    "All this is looked at at each run, and by\n"
    ".Li stone-age-agent exec-list ;\n"
    "scripts also when the configuration is read.\n"
    ".Pp\n"
    "The environment is PATH (the same), LANG=C.UTF\\-8, HOME (of the agent's user), and\n"
    "what stands in\n"
    ".Li env ;\n"
    "nothing of the agent's own is passed on.\n"
    "The directory is /, the umask 022; standard input is empty; there is no terminal.\n"
    "When the main process has ended, when the time is over, when the requester cancels or\n"
    "is gone, and when the agent stops, all that was started is ended, also what went into\n"
    "the background.\n";

static const char services_text[] =
    ".Sh SERVICES\n"
    "Whoever may publish on\n"
    ".Li {subject_prefix}.{code}.cmd.service\n"
    "may start, stop, restart and reload the units of\n"
    ".Li commands.allowed_services\n"
    "and ask how they are; on\n"
    ".Li {subject_prefix}.{code}.cmd.logs ,\n"
    "read their journal.\n"
    "Of a unit with aliases only its own name counts, of a template only an instance.\n"
    "The agent's own unit is refused.\n"
    "Nothing else can be done to a unit: none is enabled, masked, made or changed.\n"
    ".Pp\n"
    "systemd does it, and asks\n"
    ".Xr polkit 8\n"
    "unless the agent is root;\n"
    ".Li stone-age-agent polkit\n"
    "prints the rule.\n"
    "For the journal the agent's user has to be in the group systemd\\-journal.\n"
    ".Sh LOGS\n"
    "Whoever may publish on\n"
    ".Li {subject_prefix}.{code}.cmd.logs\n"
    "may read the lines of files that a path of\n"
    ".Li commands.allowed_log_paths\n"
    "covers.\n"
    "A path covers the names that it matches part by part: as many parts between two /, in\n"
    "each * for any text and ? for one character, neither of them for a /.\n"
    "Other signs stand for themselves.\n"
    "A name that begins with a dot is matched only where the pattern has that dot.\n"
    "A directory covers nothing in it by itself: write\n"
    ".Pa /var/log/nginx/* .\n"
    ".Pp\n"
    "Where links lead must be covered as well, and links are refused altogether without\n"
    ".Li commands.log_links .\n"
    "Refused in any case are what is no regular file; the files of the agent, its\n"
    "configuration and its secrets; a file with a second name whose owner is not that of\n"
    "its directory, or in a directory that others can write; all below /proc, /sys and /dev;\n"
    "a file that is a mount by itself; network and FUSE file systems; and what is mounted\n"
    "further down, without\n"
    ".Li commands.log_mounts .\n"
    "With\n"
    ".Li rotated\n"
    "a request also gets the lines of\n"
    ".Pa FILE.1 ,\n"
    "whether or not a path covers that name.\n";

static const char arguments_text[] =
    ".Sh ARGUMENTS\n"
    "An element of\n"
    ".Li run\n"
    "in which {NAME} stands becomes one argument of the program, with the value in its\n"
    "place; a value is never split, and the agent hands none to a shell.\n"
    "{{ and }} stand for one brace.\n"
    "The first element, the program, holds no {NAME}.\n"
    ".Pp\n"
    "A value must not be read as an option: it is refused when it begins with\n"
    ".Li \\-\n"
    "and nothing, or only dashes, stands before it in its element.\n"
    "Two things say that it may: an earlier element that is\n"
    ".Li \\-\\-\n"
    "and nothing else, behind which most programs take no options, or text that it is\n"
    "attached to, as in\n"
    ".Li \\-\\-lines={lines} .\n"
    "Values of an enum are your own words and may begin with\n"
    ".Li \\- .\n"
    ".Pp\n"
    "Every value is UTF\\-8 without control characters, line separators (U+2028, U+2029)\n"
    "and signs that turn the direction of writing.\n"
    "A request with an argument that is unknown, missing, there twice or of the wrong\n"
    "type is refused whole.\n"
    "By type:\n"
    ".Bl -tag -width Ds\n"
    ".It string\n"
    "JSON text that all of\n"
    ".Li pattern\n"
    "matches, of at most\n"
    ".Li max_length\n"
    "bytes.\n"
    ".It int\n"
    "A JSON number without a fraction and not beyond 2^53, or decimal digits as text,\n"
    "from\n"
    ".Li min\n"
    "to\n"
    ".Li max .\n"
    ".It enum\n"
    "JSON text that is one of\n"
    ".Li values .\n"
    ".It path\n"
    "JSON text: an absolute path without //, /./, /../ and a / at its end, of something\n"
    "that is there.\n"
    "It is one of\n"
    ".Li under\n"
    "or below one, before and after the links in it are followed, and the program gets\n"
    "the place where they led.\n"
    "Whoever can change directories below\n"
    ".Li under\n"
    "can still exchange it between the check and the program's own opening.\n"
    ".It service\n"
    "JSON text: one of\n"
    ".Li commands.allowed_services ;\n"
    "the ending .service may be left out on either side.\n"
    "The program gets it as the requester wrote it.\n"
    ".It switch\n"
    "JSON true or false.\n"
    "{NAME} itself becomes nothing; the element that holds it stays when the value is\n"
    "true and goes when it is false:\n"
    ".Li \\-\\-all{all} .\n"
    ".El\n"
    ".Pp\n"
    "For example, with\n"
    ".Bd -literal -offset indent\n"
    "commands:\n"
    "  allowed_commands:\n"
    "    \\- name: \\(dqdisk\\(dq\n"
    "      run: [\\(dqdf\\(dq, \\(dq\\-\\-all{all}\\(dq, \\(dq{mount}\\(dq]\n"
    "      args:\n"
    "        all: {type: switch}\n"
    "        mount: {type: path, under: [\\(dq/srv\\(dq]}\n"
    ".Ed\n"
    ".Pp\n"
    "the request\n"
    ".Li {\\(dqcommand\\(dq: \\(dqdisk\\(dq, \\(dqargs\\(dq: {\\(dqmount\\(dq: "
    "\\(dq/srv/data\\(dq}}\n"
    "runs\n"
    ".Li df /srv/data .\n";

static const char patterns_text[] =
    ".Sh PATTERNS\n"
    "A pattern always matches the whole value; ^ at its beginning and $ at its end are\n"
    "taken and change nothing.\n"
    "Its unit is the character (code point).\n"
    ".Bl -tag -width Ds\n"
    ".It Li .\n"
    "Any one.\n"
    ".It Li [a\\-z_]\n"
    "One of these;\n"
    ".Li [^a\\-z]\n"
    "one that is none of these.\n"
    "Within it [ ] and \\e stand behind a \\e, and \\- stands first, last or behind a \\e.\n"
    ".It Li \\ed \\ew \\es\n"
    "A digit 0\\-9; a letter a\\-z or A\\-Z, digit or _; a blank or tab.\n"
    ".Li \\eD \\eW \\eS\n"
    "are all others.\n"
    ".It Li (ab|cd)\n"
    "Either.\n"
    ".It Li \\&* \\&+ \\&? {m} {m,} {m,n}\n"
    "Repeats of what stands before, at most 255.\n"
    ".It Li \\e.\n"
    "The sign itself, for all that are neither letter nor digit.\n"
    ".El\n"
    ".Pp\n"
    "Nothing of this matches the end of a line.\n"
    "There are no back references, no \\eb, no lazy repeats, and case always counts.\n"
    "A pattern is at most 1024 bytes and 2000 states, which repeats of repeats can\n"
    "exceed; matching takes time in proportion to the value, whatever the pattern.\n"
    "In YAML's double quotes a \\e is written twice; single quotes take it as it is.\n";

static void print_man(void)
{
    print_man_beginning();
    print_man_platform();
    print_man_mistakes();
    print_man_options();
    fputs(commands_text, stdout);
    fputs(arguments_text, stdout);
    fputs(patterns_text, stdout);
    fputs(services_text, stdout);
    print_man_reserved();
    print_man_end();
}

/* ---- stone-age-agent(8) -------------------------------------------------------------- */

typedef struct subcommand_t {
    const char *name;
    const char *options;            /* ids, separated by blanks; "-" in front: no others */
    const char *doc;
    const char *man;
} subcommand_t;

static const subcommand_t subcommands[] = {
#define SA_SUBCOMMAND(name_, function_, options_, doc_, man_) {name_, options_, doc_, man_},
#define SA_CLI_OPTION(id_, letter_, argument_, doc_, man_)
#include "sa_subcommands.def"
#undef SA_SUBCOMMAND
#undef SA_CLI_OPTION
};

static const struct {
    const char *id;
    int letter;
    const char *argument;
    const char *man;
} cli_options[] = {
#define SA_SUBCOMMAND(name_, function_, options_, doc_, man_)
#define SA_CLI_OPTION(id_, letter_, argument_, doc_, man_) {#id_, letter_, argument_, man_},
#include "sa_subcommands.def"
#undef SA_SUBCOMMAND
#undef SA_CLI_OPTION
};

/* "FILE", or "KEY Ns = Ns Ar VALUE" */
static void print_cli_argument(const char *argument)
{
    const char *equals = strchr(argument, '=');

    if (equals) {
        printf(" Ar %.*s Ns = Ns Ar %s", (int)(equals - argument), argument, equals + 1);
    } else if (argument[0]) {
        printf(" Ar %s", argument);
    }
}

/* The option at PLACE of the table, in a synopsis or in full. */
static void print_synopsis_option(size_t place)
{
    if (cli_options[place].letter) {
        printf(".Op Fl %c", cli_options[place].letter);
    } else {
        printf(".Op Fl \\-%s", cli_options[place].id);
    }
    print_cli_argument(cli_options[place].argument);
    printf("\n");
}

static void print_cli_option(size_t place)
{
    if (cli_options[place].letter) {
        printf(".It Fl %c , \\-%s", cli_options[place].letter, cli_options[place].id);
    } else {
        printf(".It Fl \\-%s", cli_options[place].id);
    }
    print_cli_argument(cli_options[place].argument);
    printf("\n%s", cli_options[place].man);
}

static void print_option_called(const char *id, size_t length, void (*print)(size_t place))
{
    for (size_t i = 0; i < COUNT(cli_options); i++) {
        if (strlen(cli_options[i].id) == length && strncmp(cli_options[i].id, id, length) == 0) {
            print(i);
        }
    }
}

/* PRINT each option that SUBCOMMAND takes. */
static void print_options_of(const subcommand_t *subcommand, void (*print)(size_t place))
{
    const char *at = subcommand->options;

    if (at[0] != '-') {
        print_option_called("config", 6, print);
        print_option_called("set", 3, print);
    }
    while (*at) {
        size_t length = strcspn(at, " ");

        print_option_called(at, length, print);
        at += length;
        at += strspn(at, " ");
    }
}

static void print_synopsis(void)
{
    for (size_t i = 0; i < COUNT(subcommands); i++) {
        printf(".Nm\n.Cm %s\n", subcommands[i].name);
        print_options_of(&subcommands[i], print_synopsis_option);
    }
}

static void print_subcommands(void)
{
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < COUNT(subcommands); i++) {
        printf(".It Cm %s\n%s", subcommands[i].name, subcommands[i].man);
    }
    printf(".El\n");
}

static void print_cli_options(void)
{
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < COUNT(cli_options); i++) {
        print_cli_option(i);
    }
    printf(".El\n");
}

/* The page of one subcommand. */
static void print_page(const subcommand_t *subcommand)
{
    printf(".\\\" Made out of sa_subcommands.def.\n"
           ".Dd November 24, 2026\n.Dt STONE-AGE-AGENT-");
    for (const char *c = subcommand->name; *c; c++) {
        putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    }
    printf(" 8\n.Os\n.Sh NAME\n.Nm stone-age-agent-%s\n.Nd %s\n", subcommand->name,
           subcommand->doc);
    printf(".Sh SYNOPSIS\n.Nm stone-age-agent\n.Cm %s\n", subcommand->name);
    print_options_of(subcommand, print_synopsis_option);
    printf(".Sh DESCRIPTION\n%s.Pp\nThe options are:\n.Bl -tag -width Ds\n", subcommand->man);
    print_options_of(subcommand, print_cli_option);
    printf(".El\n.Sh SEE ALSO\n.Xr agent.yaml 5 ,\n.Xr stone-age-agent 8\n");
}

static bool print_page_called(const char *name)
{
    for (size_t i = 0; i < COUNT(subcommands); i++) {
        if (strcmp(subcommands[i].name, name) == 0) {
            print_page(&subcommands[i]);
            return true;
        }
    }
    return false;
}

static void print_command(void)
{
    char line[1024];

    while (fgets(line, (int)sizeof(line), stdin)) {
        if (strcmp(line, "@SYNOPSIS@\n") == 0) {
            print_synopsis();
        } else if (strcmp(line, "@SUBCOMMANDS@\n") == 0) {
            print_subcommands();
        } else if (strcmp(line, "@OPTIONS@\n") == 0) {
            print_cli_options();
        } else {
            fputs(line, stdout);
        }
    }
}

/* ---- the completion of bash -------------------------------------------------------------- */

/* What the shell does with the tables; the words before it are variables of its own. */
static const char completion_code[] =
    "_stone_age_agent()\n"
    "{\n"
    "    local cur prev words cword word command= i commands all keys\n"
    "    local -A options second\n"
    "    _init_completion -n = || return\n"
    "    _stone_age_agent_tables\n"
    "    case $prev in\n"
    "    -c|--config) _filedir yaml; return ;;\n"
    "    -s|--set)\n"
    "        if [[ $cur != *=* ]]; then\n"
    "            compopt -o nospace\n"
    "            COMPREPLY=($(compgen -S = -W \"$keys\" -- \"$cur\"))\n"
    "        fi\n"
    "        return ;;\n"
    "    --user) COMPREPLY=($(compgen -u -- \"$cur\")); return ;;\n"
    "    --count) return ;;\n"
    "    esac\n"
    "    for ((i = 1; i < cword; i++)); do\n"
    "        word=${words[i]}\n"
    "        case $word in\n"
    "        -c|--config|-s|--set|--user|--count) ((i++)) ;;\n"
    "        -*) ;;\n"
    "        *) command=\"${command:+$command }$word\" ;;\n"
    "        esac\n"
    "    done\n"
    "    if [[ $cur == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"${options[${command:--}]-$all}\" -- \"$cur\"))\n"
    "    elif [[ -z $command ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n"
    "    elif [[ -n ${second[$command]-} ]]; then\n"
    "        COMPREPLY=($(compgen -W \"${second[$command]}\" -- \"$cur\"))\n"
    "    fi\n"
    "}\n"
    "complete -F _stone_age_agent stone-age-agent\n";

static void print_completion_options(const char *ids)
{
    if (ids[0] != '-') {
        printf("--config --set");
    }
    for (ids += strspn(ids, "- "); *ids; ids += strspn(ids, " ")) {
        size_t length = strcspn(ids, " ");

        printf(" --%.*s", (int)length, ids);
        ids += length;
    }
}

/* Every key once, with a blank before it. */
static void print_completion_keys(void)
{
    for (size_t i = 0; i < COUNT(entries); i++) {
        if (entries[i].kind == ENTRY_OPTION && entries[i].option.type == SA_OPTION_SECRET) {
            printf(" %s_file %s_env", entries[i].path, entries[i].path);
        } else if (entries[i].kind == ENTRY_OPTION) {
            printf(" %s", entries[i].path);
        }
    }
}

static void print_completion(void)
{
    printf("# bash(1) completion of stone-age-agent, made from the tables of the program: do not "
           "change it.\n# shellcheck disable=SC2034,SC2207\n_stone_age_agent_tables()\n{\n"
           "    commands='");
    for (size_t i = 0; i < COUNT(subcommands); i++) {
        printf("%s%.*s", i > 0 ? " " : "", (int)strcspn(subcommands[i].name, " "),
               subcommands[i].name);
    }
    printf("'\n");
    for (size_t i = 0; i < COUNT(subcommands); i++) {
        const char *blank = strchr(subcommands[i].name, ' ');

        if (blank) {
            printf("    second[%.*s]='%s'\n", (int)(blank - subcommands[i].name),
                   subcommands[i].name, blank + 1);
        }
        printf("    options[%s]='", subcommands[i].name);
        print_completion_options(subcommands[i].options);
        printf("'\n");
    }
    printf("    all='");
    for (size_t i = 0; i < COUNT(cli_options); i++) {
        printf("%s--%s", i > 0 ? " " : "", cli_options[i].id);
    }
    printf("'\n    keys='");
    print_completion_keys();
    printf("'\n}\n\n");
    fputs(completion_code, stdout);
}

/* ---- events.md ---------------------------------------------------------------------- */

static void print_cell(const char *text)
{
    for (; *text; text++) {
        printf(*text == '|' ? "\\|" : "%c", *text);
    }
}

static void print_row(const char *const *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("| ");
        print_cell(cells[i]);
        printf(" ");
    }
    printf("|\n");
}

static void print_events(void)
{
    printf("# What the log says\n\n"
           "Made from `include/sa_events.def`. One event is one line; its id never changes its "
           "meaning.\n"
           "error: a person must act. warn: degraded, healing itself. info: something began or "
           "ended.\n"
           "debug: each message.\n\n"
           "| event | level | text | what to do |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(events); i++) {
        const char *const cells[] = {events[i].id, events[i].level, events[i].text,
                                     events[i].advice};

        print_row(cells, COUNT(cells));
    }
    printf("\n# Names of errors in replies\n\n"
           "Made from `include/sa_error_codes.def`. The name is for programs, the text for "
           "people.\n\n"
           "| name | text |\n|---|---|\n");
    for (size_t i = 0; i < COUNT(error_codes); i++) {
        const char *const cells[] = {error_codes[i].name, error_codes[i].text};

        print_row(cells, COUNT(cells));
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } documents[] = {{"example", print_example}, {"man", print_man},
                   {"command", print_command}, {"events", print_events},
                   {"completion", print_completion}};

    if (argc == 5) {
        state_directory = argv[2];
        runtime_directory = argv[3];
        config_directory = argv[4];
        for (size_t i = 0; i < COUNT(documents); i++) {
            if (strcmp(argv[1], documents[i].name) == 0) {
                documents[i].print();
                return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
            }
        }
        if (print_page_called(argv[1])) {
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    fputs("usage: gen_docs example|man|command|events|completion|SUBCOMMAND STATEDIR RUNDIR "
          "CONFDIR\n", stderr);
    return EXIT_FAILURE;
}
