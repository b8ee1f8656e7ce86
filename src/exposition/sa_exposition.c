/* exposition: a Prometheus page in, labelled and stamped parts out.
 *
 * This file keeps the part that is being built and knows families.  No threads,
 * no I/O.
 *
 * What a reader of the parts may rely on, however odd the page: a family's
 * HELP and TYPE stand once in a part and before its samples, no label name
 * comes twice, and every escape is one that the format has.  Readers throw a
 * whole page away for less. */
#include "sa_exposition.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <apr_cstr.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_exposition_private.h"

#define ADDED_NAME_MAX 128

/* copy() writes whole chunks, up to this much behind what was asked. */
#define SLACK 16
/* A part's buffer up to this size is kept between runs. */
#define KEEP_BYTES (256 * 1024)
/* The families of a part are remembered in a table; a part is finished when
 * it is three quarters full. */
#define FAMILIES 2048
#define FAMILIES_MAX (FAMILIES / 4 * 3)

typedef struct family_t {
    sa_exposition_text_t name;      /* length 0: none yet */
    bool quoted;
    sa_exposition_text_t suffix;    /* to be written behind it */
    const sa_exposition_text_t *members;    /* suffixes of its samples, up to an empty one */
    sa_exposition_text_t help;      /* start NULL: none */
    bool help_is_odd;
    sa_exposition_text_t type;
    apr_uint64_t samples;           /* of it, in all parts */
    bool in_part;                   /* some of it is in the part being built */
    bool whole;                     /* from `start` on, HELP and TYPE included */
    size_t start;                   /* where it begins in that part */
    apr_uint64_t part_samples;      /* of it, in that part */
} family_t;

typedef struct run_t {
    sa_exposition_t *exposition;
    sa_exposition_result_t *result;
    sa_exposition_part_fn_t part;
    void *baton;
    const char *page_end;
    bool open;                      /* it is OpenMetrics */
    bool own;                       /* what is read is ours */
    bool ended;                     /* by # EOF */
    const char *line;               /* the one being read */
    const char *line_end;
    int line_number;
    char *out;                      /* the part's bytes */
    size_t length;
    apr_uint64_t part_samples;
    int family_count;               /* in the table */
    family_t family;
    char tail[SLACK + 32];          /* " 1700000000000\n" */
    size_t tail_length;
} run_t;

struct sa_exposition_t {
    size_t part_limit;
    sa_exposition_list_t added;
    const sa_exposition_filter_t *filter;
    bool own_stamps_only;
    sa_exposition_names_t watched;  /* names that call for a closer look */
    sa_exposition_text_t opening;   /* {code="x",job="z"  with SLACK behind; or empty */
    sa_buf_t part;
    sa_buf_t patch;                 /* labels of one sample, written anew */
    sa_buf_t help;                  /* a HELP, written anew, beside that */
    sa_buf_t last_line;             /* with the line end it lacks on the page */
    sa_exposition_sample_t sample;
    sa_exposition_reading_t reading;
    run_t run;                      /* between the calls; at work it is a local variable,
                                     * which the compiler knows nobody else to change */
    apr_uint64_t families[FAMILIES];
};

/* ---- create ---------------------------------------------------------------- */

static void append_escaped(sa_buf_t *buf, const char *value)
{
    for (const char *p = value; *p; p++) {
        if (*p == '\\' || *p == '"') {
            sa_buf_append(buf, "\\", 1);
            sa_buf_append(buf, p, 1);
        } else if (*p == '\n') {
            sa_buf_append(buf, "\\n", 2);
        } else {
            sa_buf_append(buf, p, 1);
        }
    }
}

static sa_error_t *check_label(const sa_exposition_options_t *options, int index)
{
    const sa_exposition_label_t *label = &options->labels[index];
    size_t length = strlen(label->name);

    if (!sa_exposition__is_label_name(label->name, length) || length > ADDED_NAME_MAX ||
        strcmp(label->name, "__name__") == 0) {
        return sa_error(SA_ERR_CONFIG, NULL, "\"%.128s\" cannot be the name of a label",
                        label->name);
    }
    if (!sa_exposition__is_utf8(label->value, strlen(label->value))) {
        return sa_error(SA_ERR_CONFIG, NULL, "the value of the label %s is not UTF-8",
                        label->name);
    }
    for (int i = 0; i < index; i++) {
        if (strcmp(options->labels[i].name, label->name) == 0) {
            return sa_error(SA_ERR_CONFIG, NULL, "the label %s comes twice", label->name);
        }
    }
    return SA_OK;
}

static void watch(sa_exposition_t *exposition, const char *name)
{
    exposition->watched |= sa_exposition__name_bit(name, strlen(name));
}

/* Keep the labels' names and write "{a=\"b\",c=\"d\"" once for all samples. */
static void prepare_labels(sa_exposition_t *exposition, const sa_exposition_options_t *options,
                           apr_pool_t *pool)
{
    static const char slack[SLACK];
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));

    sa_buf_init(text, exposition->part_limit, pool);
    exposition->added.names = apr_pcalloc(pool, sizeof(*exposition->added.names) *
                                                    (size_t)(options->label_count + 1));
    watch(exposition, "__name__");
    for (int i = 0; i < options->label_count; i++) {
        const sa_exposition_label_t *label = &options->labels[i];
        sa_exposition_text_t *added = &exposition->added.names[exposition->added.count];

        if (label->value[0] == '\0') {      /* an empty label is none */
            continue;
        }
        sa_buf_append(text, exposition->added.count == 0 ? "{" : ",", 1);
        sa_buf_append_text(text, label->name);
        sa_buf_append(text, "=\"", 2);
        append_escaped(text, label->value);
        sa_buf_append(text, "\"", 1);
        added->start = apr_pstrdup(pool, label->name);
        added->length = strlen(label->name);
        watch(exposition, label->name);
        exposition->added.count++;
    }
    exposition->opening.length = text->length;
    sa_buf_append(text, slack, sizeof(slack));
    exposition->opening.start = text->overflowed ? NULL : text->data;
}

sa_error_t *sa_exposition_create(sa_exposition_t **exposition,
                                 const sa_exposition_options_t *options, apr_pool_t *pool)
{
    sa_exposition_t *made;

    SA_ASSERT(options->part_limit_bytes >= SA_EXPOSITION_PART_MIN);
    SA_ASSERT(options->part_limit_bytes <= INT_MAX);
    if (options->label_count > SA_EXPOSITION_ADDED_MAX) {
        return sa_error(SA_ERR_CONFIG, NULL, "%d labels to add; the limit is %d",
                        options->label_count, SA_EXPOSITION_ADDED_MAX);
    }
    for (int i = 0; i < options->label_count; i++) {
        SA_TRY(check_label(options, i));
    }
    made = apr_pcalloc(pool, sizeof(*made));
    made->part_limit = options->part_limit_bytes;
    made->filter = options->filter;
    made->own_stamps_only = options->own_stamps_only;
    prepare_labels(made, options, pool);
    if (!made->opening.start || made->opening.length > made->part_limit / 4) {
        return sa_error(SA_ERR_CONFIG, NULL, "the labels to add fill more than a quarter of a "
                        "part of %" APR_SIZE_T_FMT " bytes", made->part_limit);
    }
    sa_buf_init(&made->part, made->part_limit + SLACK, pool);
    sa_buf_init(&made->patch, 4 * made->part_limit, pool);
    sa_buf_init(&made->help, 2 * made->part_limit, pool);
    sa_buf_init(&made->last_line, made->part_limit + 1, pool);
    *exposition = made;
    return SA_OK;
}

/* ---- bad lines --------------------------------------------------------------- */

static void describe(char *out, size_t size, const char *text, const char *end)
{
    size_t length = 0;

    for (; text < end && length + 5 <= size; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '\\') {
            out[length++] = '\\';
            out[length++] = '\\';
        } else if (c >= 0x20 && c < 0x7F) {
            out[length++] = (char)c;
        } else {
            length += (size_t)snprintf(out + length, size - length, "\\x%02x", c);
        }
    }
    out[length] = '\0';
}

static void count_bad(run_t *run, const char *at, const char *reason)
{
    sa_exposition_result_t *result = run->result;

    result->bad_lines++;
    if (result->bad_line == 0) {
        result->bad_line = run->line_number;
        result->bad_column = (int)(at - run->line) + 1;
        result->bad_reason = reason;
        describe(result->bad_text, sizeof(result->bad_text), run->line, run->line_end);
    }
}

/* ---- bytes -------------------------------------------------------------------- */

/* Append LENGTH bytes at OUT, which has SLACK more to spare.  TEXT may be read
 * up to LIMIT: short texts go as one chunk of fixed size, which is most of
 * what there is to save in this room. */
static char *copy(char *out, const char *text, size_t length, const char *limit)
{
    if (length <= SLACK && limit - text >= SLACK) {
        memcpy(out, text, SLACK);
    } else {
        memcpy(out, text, length);
    }
    return out + length;
}

static char *copy_exactly(char *out, const sa_exposition_text_t *text)
{
    if (text->length > 0) {
        memcpy(out, text->start, text->length);
    }
    return out + text->length;
}

/* ---- parts --------------------------------------------------------------------- */

/* Hand out the first LENGTH bytes and keep the rest as the next part's. */
static sa_error_t *flush(run_t *run, size_t length, apr_uint64_t samples)
{
    if (samples > 0) {
        run->result->parts++;
        run->result->samples += samples;
        SA_TRY(run->part(run->baton, run->out, length, samples));
    }
    memmove(run->out, run->out + length, run->length - length);
    run->length -= length;
    run->part_samples -= samples;
    if (run->family_count > 0) {
        memset(run->exposition->families, 0, sizeof(run->exposition->families));
        run->family_count = 0;
    }
    return SA_OK;
}

static apr_uint64_t hash_of(const sa_exposition_text_t *text)
{
    apr_uint64_t hash = text->length * 0x9E3779B97F4A7C15u;
    apr_uint64_t word;
    size_t left = text->length;
    const char *p = text->start;

    for (; left >= sizeof(word); left -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, p, left);
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    return hash == 0 ? 1 : hash;
}

/* The family's name as HELP and TYPE have it, good until the help is written. */
static sa_exposition_text_t written_name(run_t *run)
{
    const family_t *family = &run->family;
    sa_buf_t *name = &run->exposition->help;
    sa_exposition_text_t text = family->name;

    if (family->suffix.length > 0) {
        sa_buf_clear(name);
        sa_buf_append(name, text.start, text.length);
        sa_buf_append(name, family->suffix.start, family->suffix.length);
        text.start = name->data;
        text.length = name->length;
    }
    return text;
}

/* Note that the family is in the part now.  false: it has been before.  Two
 * names with one hash cost the second its HELP and TYPE, nothing else. */
static bool note_family(run_t *run)
{
    sa_exposition_text_t name = written_name(run);
    apr_uint64_t hash = hash_of(&name);
    apr_uint64_t *families = run->exposition->families;
    size_t place = (size_t)hash % FAMILIES;

    while (families[place] != 0) {
        if (families[place] == hash) {
            return false;
        }
        place = (place + 1) % FAMILIES;
    }
    families[place] = hash;
    run->family_count++;
    return true;
}

/* "# HELP name text\n" without the text. */
static size_t meta_size(const family_t *family, const sa_exposition_text_t *text)
{
    return text->start ? family->name.length + family->suffix.length + text->length +
                             (family->quoted ? 2 : 0) + 9
                       : 0;
}

static char help_quote(const run_t *run)
{
    return run->open ? SA_EXPOSITION_OPEN_HELP : SA_EXPOSITION_HELP;
}

static size_t help_size(const run_t *run)
{
    sa_exposition_text_t text = run->family.help;

    if (run->family.help_is_odd) {
        text.length = sa_exposition__mended_length(&run->family.help, help_quote(run));
    }
    return meta_size(&run->family, &text);
}

static void write_meta(run_t *run, const char *word, const sa_exposition_text_t *text)
{
    const family_t *family = &run->family;
    char *out = run->out + run->length;

    memcpy(out, word, 7);
    out += 7;
    if (family->quoted) {
        *out++ = '"';
    }
    out = copy_exactly(out, &family->name);
    out = copy_exactly(out, &family->suffix);
    if (family->quoted) {
        *out++ = '"';
    }
    *out++ = ' ';
    out = copy_exactly(out, text);
    *out++ = '\n';
    run->length = (size_t)(out - run->out);
}

static void write_help(run_t *run)
{
    family_t *family = &run->family;
    sa_buf_t *help = &run->exposition->help;

    if (family->help_is_odd) {
        sa_exposition_text_t mended;

        sa_buf_clear(help);
        sa_exposition__append_mended(help, &family->help, help_quote(run));
        mended.start = help->data;
        mended.length = help->length;
        write_meta(run, "# HELP ", &mended);
    } else {
        write_meta(run, "# HELP ", &family->help);
    }
}

/* Begin the family in this part, which has room for SIZE more bytes.  HELP and
 * TYPE stay out where a giant of a sample leaves no room for them. */
static void write_header(run_t *run, size_t size)
{
    family_t *family = &run->family;
    size_t type = meta_size(family, &family->type);
    size_t help = help_size(run);
    size_t room = run->exposition->part_limit - run->length - size;

    family->start = run->length;
    family->whole = true;
    family->in_part = true;
    family->part_samples = 0;
    if (family->help.start && help + type <= room) {
        write_help(run);
        room -= help;
    }
    if (family->type.start && type <= room) {
        write_meta(run, "# TYPE ", &family->type);
    }
}

/* Make the part's buffer as large as a part, once, if SIZE bytes more need it. */
static void grow(run_t *run, size_t size)
{
    sa_buf_t *part = &run->exposition->part;

    if (run->length + size + SLACK > part->capacity) {
        run->out = sa_buf_reserve(part, part->limit);
        SA_ASSERT(run->out != NULL);
    }
}

/* Bring the family's first sample, of SIZE bytes, into a part. */
static sa_error_t *open_family(run_t *run, size_t size)
{
    family_t *family = &run->family;
    size_t limit = run->exposition->part_limit;
    size_t header = help_size(run) + meta_size(family, &family->type);

    if (run->length > 0 && (run->length + header + size > limit ||
                            run->family_count >= FAMILIES_MAX)) {
        SA_TRY(flush(run, run->length, run->part_samples));
    }
    grow(run, header + size > limit ? limit : header + size);
    if (note_family(run)) {
        write_header(run, size);
    } else {        /* its HELP and TYPE stand in this part already */
        family->start = run->length;
        family->whole = false;
        family->in_part = true;
        family->part_samples = 0;
    }
    return SA_OK;
}

/* The next sample of the family, of SIZE bytes, does not fit: finish the part
 * in front of the family; or, where that does not help, here. */
static sa_error_t *make_room(run_t *run, size_t size)
{
    family_t *family = &run->family;
    size_t limit = run->exposition->part_limit;

    if (family->whole && family->start > 0) {
        SA_TRY(flush(run, family->start, run->part_samples - family->part_samples));
        family->start = 0;
        (void)note_family(run);
        if (run->length + size <= limit) {
            return SA_OK;
        }
    }
    SA_TRY(flush(run, run->length, run->part_samples));
    grow(run, limit);
    (void)note_family(run);
    write_header(run, size);
    return SA_OK;
}

/* ---- samples --------------------------------------------------------------------- */

/* Is NAME one of the current family's? */
static bool belongs(const family_t *family, const sa_exposition_text_t *name)
{
    size_t length = family->name.length;

    if (length == 0 || name->length < length ||
        memcmp(name->start, family->name.start, length) != 0) {
        return false;
    }
    if (name->length == length) {
        return true;
    }
    for (const sa_exposition_text_t *member = family->members; member && member->length > 0;
         member++) {
        if (name->length == length + member->length &&
            memcmp(name->start + length, member->start, member->length) == 0) {
            return true;
        }
    }
    return false;
}

static void begin_family(run_t *run, const sa_exposition_text_t *name, bool quoted)
{
    memset(&run->family, 0, sizeof(run->family));
    run->family.name = *name;
    run->family.quoted = quoted;
    run->exposition->reading.guess.start = name->start;
    run->exposition->reading.guess.length = quoted ? 0 : name->length;
}

/* The reserved name, or a name that a label to add has: *TAKEN. */
static bool look_closer(run_t *run, const sa_exposition_sample_t *sample, bool *taken)
{
    static const sa_exposition_text_t reserved = {"__name__", 8};

    for (int i = 0; i < sample->pair_count; i++) {
        const sa_exposition_text_t *name = &sample->pairs[i].name;

        if (sa_exposition__is_same(name, &reserved)) {
            count_bad(run, name->start, "__name__ cannot be a label");
            return false;
        }
        *taken = *taken || sa_exposition__is_in(&run->exposition->added, name);
    }
    return true;
}

/* Put name and labels of SAMPLE, which cannot be copied as they stand, into
 * the patch and let SAMPLE point there.  false: too large. */
static bool patch_sample(run_t *run, sa_exposition_sample_t *sample)
{
    sa_buf_t *patch = &run->exposition->patch;
    size_t name_length = 0;

    sa_buf_clear(patch);
    if (sample->odd_name) {
        sa_exposition__append_mended(patch, &sample->name, '"');
        name_length = patch->length;
    }
    sa_exposition__write_labels(patch, sample, &run->exposition->added);
    if (patch->overflowed) {
        return false;
    }
    sample->labels.length = patch->length - name_length;
    if (patch->data) {
        sample->labels.start = patch->data + name_length;
    }
    if (sample->odd_name) {
        sample->name.start = patch->data;
        sample->name.length = name_length;
    }
    return true;
}

/* What write_sample() will write. */
static size_t sample_size(const run_t *run, const sa_exposition_sample_t *sample)
{
    size_t added = run->exposition->opening.length;
    size_t labels = sample->labels.length;
    size_t size = sample->name.length + 1 + sample->value.length;

    size += sample->stamp.length > 0 ? sample->stamp.length + 2 : run->tail_length;
    if (sample->quoted) {
        return size + 4 + added + (labels > 0 ? labels + 1 : 0);
    }
    if (added > 0) {
        return size + added + 1 + (labels > 0 ? labels + 1 : 0);
    }
    return size + (labels > 0 ? labels + 2 : 0);
}

static char *write_name(const run_t *run, const sa_exposition_sample_t *sample, char *out)
{
    const sa_exposition_text_t *opening = &run->exposition->opening;

    if (sample->quoted) {
        *out++ = '{';
        *out++ = '"';
        out = copy_exactly(out, &sample->name);
        *out++ = '"';
        if (opening->length > 0) {
            *out++ = ',';
            out = copy(out, opening->start + 1, opening->length - 1,
                       opening->start + opening->length + SLACK);
        }
        return out;
    }
    out = copy(out, sample->name.start, sample->name.length, run->page_end);
    return copy(out, opening->start, opening->length,
                opening->start + opening->length + SLACK);
}

static void write_sample(run_t *run, const sa_exposition_sample_t *sample)
{
    const char *limit = run->page_end;
    bool has_labels = sample->labels.length > 0;
    bool braces = sample->quoted || run->exposition->opening.length > 0;
    char *out = write_name(run, sample, run->out + run->length);

    if (has_labels) {
        *out++ = braces ? ',' : '{';
        out = copy_exactly(out, &sample->labels);
    }
    if (has_labels || braces) {
        *out++ = '}';
    }
    *out++ = ' ';
    out = copy(out, sample->value.start, sample->value.length, limit);
    if (sample->stamp.length > 0) {
        *out++ = ' ';
        out = copy_exactly(out, &sample->stamp);
        *out++ = '\n';
    } else {
        memcpy(out, run->tail, SLACK);
        if (run->tail_length > SLACK) {
            memcpy(out, run->tail, run->tail_length);
        }
        out += run->tail_length;
    }
    run->length = (size_t)(out - run->out);
}

static sa_error_t *add_sample(run_t *run, sa_exposition_sample_t *sample)
{
    size_t limit = run->exposition->part_limit;
    sa_exposition_text_t name = sample->name;
    bool patched = sample->odd_name || sample->odd_labels;
    size_t size;

    if (sample->maybe_taken && !look_closer(run, sample, &patched)) {
        return SA_OK;
    }
    if (run->exposition->filter && !run->own &&
        !sa_exposition__wants(run->exposition->filter, sample, &patched,
                              &run->exposition->patch)) {
        run->result->read++;
        run->result->filtered++;
        return SA_OK;
    }
    if (run->exposition->own_stamps_only) {
        sample->stamp.length = 0;
    }
    if (patched && !patch_sample(run, sample)) {
        count_bad(run, run->line, "larger than a part");
        return SA_OK;
    }
    size = sample_size(run, sample);
    if (size > limit) {
        count_bad(run, run->line, "larger than a part");
        return SA_OK;
    }
    if (!belongs(&run->family, &name)) {
        begin_family(run, &name, sample->quoted);
    }
    if (!run->family.in_part) {
        SA_TRY(open_family(run, size));
    } else if (run->length + size > limit) {
        SA_TRY(make_room(run, size));
    }
    grow(run, size);
    write_sample(run, sample);
    run->result->read += run->own ? 0 : 1;
    run->result->quotes = run->result->quotes || sample->quotes;
    run->part_samples++;
    run->family.part_samples++;
    run->family.samples++;
    return SA_OK;
}

/* ---- lines ----------------------------------------------------------------------- */

/* Keep TEXT as the family's, once; a repeat that says the same is nothing new,
 * another one would make the part unreadable. */
static void keep_meta(run_t *run, sa_exposition_text_t *place, const sa_exposition_meta_t *meta,
                      const char *reason)
{
    if (place->start && sa_exposition__is_same(place, &meta->text)) {
        return;
    }
    if (place->start || run->family.samples > 0) {
        count_bad(run, run->line, reason);
        return;
    }
    *place = meta->text;
}

/* What the type of the family says about the names of its samples. */
static void use_type(run_t *run, sa_exposition_kind_t kind)
{
    const sa_exposition_type_t *type = &sa_exposition__types[kind];
    family_t *family = &run->family;
    const sa_exposition_text_t *suffix = &type->suffix;

    if (run->open || kind != SA_KIND_COUNTER) {
        family->members = type->members;
    }
    if (run->open && suffix->length > 0
        && (family->name.length < suffix->length
            || memcmp(family->name.start + family->name.length - suffix->length,
                      suffix->start, suffix->length) != 0)) {
        family->suffix = *suffix;
    }
}

static void add_meta(run_t *run, const sa_exposition_meta_t *meta)
{
    family_t *family = &run->family;

    if (!sa_exposition__is_same(&family->name, &meta->name)) {
        begin_family(run, &meta->name, meta->quoted);
    }
    if (meta->is_type) {
        if (!family->type.start && family->samples == 0) {
            use_type(run, meta->kind);
        }
        keep_meta(run, &family->type, meta, "a TYPE after samples of the family, or a second");
    } else {
        keep_meta(run, &family->help, meta, "a HELP after samples of the family, or a second");
        family->help_is_odd = family->help_is_odd || (meta->odd && family->samples == 0);
    }
}

/* Read [LINE, END); *END is a line end. */
static sa_error_t *read_line(run_t *run, const char *line, const char *end)
{
    sa_exposition_sample_t *sample = &run->exposition->sample;
    const sa_exposition_reading_t *reading = &run->exposition->reading;
    sa_exposition_fault_t fault;
    sa_exposition_meta_t meta;
    bool is_meta;

    if (end > line && end[-1] == '\r') {
        end--;
    }
    run->line = line;
    run->line_end = end;
    if ((size_t)(end - line) > run->exposition->part_limit) {
        count_bad(run, line, "larger than a part");
        return SA_OK;
    }
    while (*line == ' ' || *line == '\t') {
        line++;
    }
    if (line == end) {
        return SA_OK;
    }
    if (*line != '#') {
        if (sa_exposition__read_sample(sample, line, end, reading, &fault)) {
            return add_sample(run, sample);
        }
        count_bad(run, fault.at, fault.reason);
    } else if (run->open && end - line == 5 && memcmp(line, "# EOF", 5) == 0) {
        run->ended = true;
    } else if (!sa_exposition__read_comment(&meta, &is_meta, line, end, reading, &fault)) {
        count_bad(run, fault.at, fault.reason);
    } else if (is_meta) {
        add_meta(run, &meta);
    }
    return SA_OK;
}

/* The last line has no line end, and nothing behind the page may be read. */
static sa_error_t *read_last_line(run_t *run, const char *line, size_t length)
{
    sa_buf_t *copied = &run->exposition->last_line;

    sa_buf_clear(copied);
    if (!sa_buf_append(copied, line, length) || !sa_buf_append(copied, "\n", 1)) {
        run->line = line;
        run->line_end = line + length;
        count_bad(run, line, "larger than a part");
        return SA_OK;
    }
    run->page_end = copied->data + copied->length;
    run->exposition->reading.limit = run->page_end;
    return read_line(run, copied->data, copied->data + length);
}

static sa_error_t *read_lines(run_t *run, const char *page, size_t length)
{
    const char *p = page;
    const char *page_end = page + length;

    while (p < page_end && !run->ended) {
        const char *end = memchr(p, '\n', (size_t)(page_end - p));

        run->line_number++;
        if (!end) {
            return read_last_line(run, p, (size_t)(page_end - p));
        }
        SA_TRY(read_line(run, p, end));
        p = end + 1;
    }
    return SA_OK;
}

/* OpenMetrics ends with # EOF, so that a page that was cut off is seen. */
static void check_ending(run_t *run, const char *page_end)
{
    if (!run->ended) {
        run->line = page_end;
        run->line_end = page_end;
        run->line_number++;
        count_bad(run, page_end, "# EOF is missing");
    } else if (run->line_end + 1 < page_end) {
        run->line = run->line_end + 1;
        run->line_end = page_end;
        run->line_number++;
        count_bad(run, run->line, "something follows # EOF");
    }
}

/* A first guess at the part's size: labels and stamps on all of the page. */
static void prepare_part(run_t *run, size_t length)
{
    sa_buf_t *part = &run->exposition->part;
    size_t guess = length + length / 2 + SA_EXPOSITION_PART_MIN;

    sa_buf_clear(part);
    run->out = sa_buf_reserve(part, guess < part->limit ? guess : part->limit);
}

static void tidy(sa_exposition_t *exposition)
{
    if (exposition->part.capacity > KEEP_BYTES) {
        sa_buf_free(&exposition->part);
    }
    sa_buf_free(&exposition->patch);
    sa_buf_free(&exposition->help);
    sa_buf_free(&exposition->last_line);
}

/* ---- runs ------------------------------------------------------------------------ */

sa_exposition_format_t sa_exposition_format(const char *content_type)
{
    static const char open[] = "application/openmetrics-text";
    size_t length = sizeof(open) - 1;

    content_type += strspn(content_type, " \t");
    if (apr_cstr_casecmpn(content_type, open, length) == 0 &&
        (content_type[length] == '\0' || strchr("; \t", content_type[length]))) {
        return SA_EXPOSITION_OPENMETRICS;
    }
    return SA_EXPOSITION_TEXT;
}

void sa_exposition_begin(sa_exposition_result_t *result, sa_exposition_t *exposition,
                         apr_time_t scraped_at, sa_exposition_part_fn_t part, void *baton)
{
    run_t *run = &exposition->run;

    memset(run, 0, sizeof(*run));
    memset(result, 0, sizeof(*result));
    memset(exposition->families, 0, sizeof(exposition->families));
    run->exposition = exposition;
    run->result = result;
    run->part = part;
    run->baton = baton;
    exposition->reading.watched = exposition->watched;
    run->tail_length = (size_t)apr_snprintf(run->tail, sizeof(run->tail), " %" APR_INT64_T_FMT
                                            "\n", (apr_int64_t)(scraped_at / 1000));
}

sa_error_t *sa_exposition_read(sa_exposition_t *exposition, const char *page, size_t length,
                               sa_exposition_format_t format)
{
    run_t run = exposition->run;
    sa_error_t *err;

    if (!run.out) {
        prepare_part(&run, length);
    }
    memset(&run.family, 0, sizeof(run.family));
    run.page_end = page + length;
    run.open = format == SA_EXPOSITION_OPENMETRICS;
    run.own = format == SA_EXPOSITION_OWN;
    run.ended = false;
    run.line_number = 0;
    exposition->reading.limit = run.page_end;
    exposition->reading.open = run.open;
    exposition->reading.guess.length = 0;
    err = read_lines(&run, page, length);
    if (!err && run.open) {
        check_ending(&run, page + length);
    }
    exposition->run = run;
    return err;
}

sa_error_t *sa_exposition_end(sa_exposition_t *exposition)
{
    run_t *run = &exposition->run;
    sa_error_t *err = SA_OK;

    if (run->length > 0) {
        err = flush(run, run->length, run->part_samples);
    }
    tidy(exposition);
    return err;
}

sa_error_t *sa_exposition_run(sa_exposition_result_t *result, sa_exposition_t *exposition,
                              const char *page, size_t length, apr_time_t scraped_at,
                              sa_exposition_part_fn_t part, void *baton)
{
    sa_error_t *err;

    sa_exposition_begin(result, exposition, scraped_at, part, baton);
    err = sa_exposition_read(exposition, page, length, SA_EXPOSITION_TEXT);
    if (err) {
        tidy(exposition);
        return err;
    }
    return sa_exposition_end(exposition);
}
