/* Documentation from the tables: the example file, agent.yaml(5), events.md.
 *
 *     gen_docs example|man|events STATEDIR RUNDIR CONFDIR
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
#undef SA_SECTION
#undef SA_RESERVED
#undef SA_OPTION
};

static const sa_option_t exporter_options[] = {
#define SA_OPTION(type_, field_, path_, ...) \
    {.path = path_, .type = SA_OPTION_##type_, __VA_ARGS__},
#include "sa_exporter_options.def"
#undef SA_OPTION
};

/* The one list of structs, printed behind the last section of "tasks". */
#define EXPORTERS_PARENT "tasks"
#define EXPORTERS_NAME "exporters"
#define EXPORTERS_DOC                                                                   \
    "Pages of Prometheus exporters, fetched and forwarded. Lists of several files are " \
    "joined; a list given with --set replaces them all."

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
        [SA_SHAPE_HTTP_URL] = "http or https URL", [SA_SHAPE_LABEL] = NULL};
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
        add(text, ", from ");
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
static void print_exporter_line(const sa_option_t *option, bool first)
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

/* Commented out whole: half a list would be wrong. */
static void print_exporters(void)
{
    print_comment(1, EXPORTERS_DOC);
    for (size_t i = 0; i < COUNT(exporter_options); i++) {
        const sa_option_t *option = &exporter_options[i];
        text_t text = empty_text();

        add(&text, option->path);
        if (option->type == SA_OPTION_SECRET) {
            add(&text, "_file, ");
            add(&text, option->path);
            add(&text, "_env");
        }
        add(&text, ": ");
        add(&text, option->doc);
        add(&text, " [");
        add_type(&text, option);
        add(&text, option->flags & SA_OPT_REQUIRED ? "; required]" : "]");
        print_comment(1, text.bytes);
    }
    printf("  #%s:\n", EXPORTERS_NAME);
    for (size_t i = 0; i < COUNT(exporter_options); i++) {
        print_exporter_line(&exporter_options[i], i == 0);
    }
    printf("\n");
}

static bool is_in(const char *path, const char *group)
{
    return strncmp(path, group, strlen(group)) == 0 && path[strlen(group)] == '.';
}

static void print_example(void)
{
    const char *before = "";
    bool in_parent = false;

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
            if (in_parent && !is_in(entry->path, EXPORTERS_PARENT)) {
                print_exporters();
            }
            in_parent = is_in(entry->path, EXPORTERS_PARENT);
            printf("# ---- %s\n", entry->doc);
        } else if (entry->kind == ENTRY_OPTION) {
            print_option(&entry->option, before);
            before = entry->path;
        }
    }
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
    printf(".Ss ");
    print_roff(path[0] ? path : "Identity");
    printf("\n");
    print_prose(doc);
}

static void print_man_exporters(void)
{
    print_man_section(EXPORTERS_PARENT "." EXPORTERS_NAME, EXPORTERS_DOC);
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < COUNT(exporter_options); i++) {
        print_man_option(&exporter_options[i], EXPORTERS_PARENT "." EXPORTERS_NAME "[].");
    }
    printf(".El\n");
}

static void print_man_options(void)
{
    bool in_list = false;
    bool in_parent = false;

    for (size_t i = 0; i < COUNT(entries); i++) {
        const entry_t *entry = &entries[i];

        if (entry->kind == ENTRY_SECTION) {
            printf(in_list ? ".El\n" : "");
            if (in_parent && !is_in(entry->path, EXPORTERS_PARENT)) {
                print_man_exporters();
            }
            in_parent = is_in(entry->path, EXPORTERS_PARENT);
            print_man_section(entry->path, entry->doc);
            printf(".Bl -tag -width Ds\n");
            in_list = true;
        } else if (entry->kind == ENTRY_OPTION) {
            print_man_option(&entry->option, "");
        }
    }
    printf(".El\n");
}

static void print_man_reserved(void)
{
    printf(".Sh RESERVED NAMES\n"
           "These, and everything below them, are known from other agents or other versions.\n"
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
           "of several files are joined.\n"
           "Within one file nothing may be set twice.\n"
           "With\n"
           ".Fl \\-set\n"
           "a list is written with commas\n"
           ".Pq Li nats.urls=nats://a,nats://b\n"
           "or as YAML\n"
           ".Pq Li nats.urls=[nats://a, nats://b] .\n"
           ".Pp\n"
           "A value that cannot be used is an error, and the agent does not start with it; on a\n"
           "reload it keeps what it had.\n"
           "An unknown setting in a file is a warning, on the command line an error.\n"
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

static void print_man(void)
{
    print_man_beginning();
    print_man_options();
    print_man_reserved();
    print_man_end();
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
    } documents[] = {{"example", print_example}, {"man", print_man}, {"events", print_events}};

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
    }
    fputs("usage: gen_docs example|man|events STATEDIR RUNDIR CONFDIR\n", stderr);
    return EXIT_FAILURE;
}
