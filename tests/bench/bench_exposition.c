/* How fast the exposition path is, beside the least that could be done to the
 * same bytes in the same minute: memchr() over them and memcpy() of them.
 *
 *     bench_exposition [PAGE...]
 *
 * PAGE is a file with an exporter's page, in OpenMetrics if its name ends in
 * ".om"; without any, one is made that looks like a node_exporter's.  Each of the
 * three is run in turn, round after round for some seconds in all, and the best
 * round of each counts.  Then: how often memory was asked for in one run over the
 * page, and in one over the page ten times in a row; and what thousands of runs
 * leave behind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_lib.h>

#include "sa_buf.h"
#include "sa_exposition.h"
#include "sa_os_host.h"
#include "sa_pool.h"
#include "sa_time.h"

#define PAGE_LIMIT (64 * 1024 * 1024)
#define PART_LIMIT (1024 * 1024)
#define DURATION apr_time_from_msec(1500)
#define RUNS_BYTES (APR_UINT64_C(300) * 1000 * 1000)    /* read in show_memory() */
/* Runs over the page in one round: a round must be long beside the clock. */
#define REPEATS 16

/* The linker sends all calls from our code here (--wrap, bench.am). */
static unsigned long allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

typedef struct bench_t {
    const char *name;
    sa_exposition_format_t format;
    const char *page;
    size_t length;
    size_t tail;            /* of it: the end mark */
    char *copy;
    sa_exposition_t *exposition;
    apr_uint64_t samples;
    apr_uint64_t sum;       /* so that nothing is optimised away */
} bench_t;

static sa_error_t *drop_part(void *baton, const char *data, size_t length, apr_uint64_t samples)
{
    bench_t *bench = baton;

    (void)samples;
    bench->sum += length + (unsigned char)data[length - 1];
    return SA_OK;
}

static void transform(bench_t *bench)
{
    sa_exposition_result_t result;
    sa_error_t *err;

    sa_exposition_begin(&result, bench->exposition, APR_INT64_C(1764000000123456), drop_part,
                        bench);
    err = sa_exposition_read(bench->exposition, bench->page, bench->length, bench->format);
    SA_ASSERT(err == SA_OK);
    err = sa_exposition_end(bench->exposition);
    SA_ASSERT(err == SA_OK);
    bench->samples = result.samples;
}

static void find_lines(bench_t *bench)
{
    const char *p = bench->page;
    const char *end = p + bench->length;

    while (p < end) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p ? p + 1 : end;
        bench->sum++;
    }
}

static void copy_page(bench_t *bench)
{
    memcpy(bench->copy, bench->page, bench->length);
    bench->sum += (unsigned char)bench->copy[bench->sum % bench->length];
}

static void read_page(sa_buf_t *page, const char *path)
{
    FILE *file = fopen(path, "rb");
    char block[65536];
    size_t length;

    if (!file) {
        fprintf(stderr, "bench_exposition: cannot open %s\n", path);
        exit(EXIT_FAILURE);
    }
    for (length = fread(block, 1, sizeof(block), file); length > 0;
         length = fread(block, 1, sizeof(block), file)) {
        sa_buf_append(page, block, length);
    }
    fclose(file);
}

/* About 60 KB, 290 families, 520 samples: what an idle machine shows. */
static void make_page(sa_buf_t *page)
{
    for (int i = 0; i < 290; i++) {
        sa_buf_printf(page, "# HELP node_subsystem_%03d_bytes_total Statistic number %d of some "
                      "subsystem of the kernel.\n# TYPE node_subsystem_%03d_bytes_total counter\n",
                      i, i, i);
        if (i % 4 != 0) {
            sa_buf_printf(page, "node_subsystem_%03d_bytes_total %d.%de+09\n", i, i % 9 + 1,
                          i * 7919);
            continue;
        }
        for (int j = 0; j < 4; j++) {
            sa_buf_printf(page, "node_subsystem_%03d_bytes_total{cpu=\"%d\",mode=\"user\"} "
                          "%d.%d\n", i, j, i * 31, j * 17);
        }
    }
}

static void measure(bench_t *bench)
{
    static void (*const runs[])(bench_t *) = {transform, find_lines, copy_page};
    static const char *const names[] = {"transform", "memchr", "memcpy"};
    apr_interval_time_t end = sa_time_mono() + DURATION;
    double best[3] = {0, 0, 0};

    for (int i = 0; sa_time_mono() < end; i = (i + 1) % 3) {
        apr_interval_time_t started = sa_time_mono();
        double speed;

        for (int j = 0; j < REPEATS; j++) {
            runs[i](bench);
        }
        speed = (double)bench->length * REPEATS / 1000.0 /
                (double)(sa_time_mono() - started + 1);
        best[i] = speed > best[i] ? speed : best[i];
    }
    for (int i = 0; i < 3; i++) {
        printf("%s %s: %.2f GB/s (%.3f of memchr)\n", bench->name, names[i], best[i],
               best[i] / best[1]);
    }
    printf("%s page: %lu bytes, %lu samples, %.0f ns a sample\n", bench->name,
           (unsigned long)bench->length, (unsigned long)bench->samples,
           (double)bench->length / best[0] / (double)(bench->samples ? bench->samples : 1));
}

static unsigned long count_allocations(bench_t *bench, unsigned long *samples)
{
    unsigned long before;

    transform(bench);
    before = allocations;
    transform(bench);
    *samples = (unsigned long)bench->samples;
    return allocations - before;
}

static void show_allocations(bench_t *bench, sa_buf_t *page, const char *text)
{
    bench_t many = *bench;
    unsigned long samples;
    unsigned long more_samples;
    unsigned long few = count_allocations(bench, &samples);
    unsigned long more;

    sa_buf_clear(page);
    for (int i = 0; i < 10; i++) {
        sa_buf_append(page, bench->page, bench->length - bench->tail);
    }
    sa_buf_append(page, bench->page + bench->length - bench->tail, bench->tail);
    many.page = page->data;
    many.length = page->length;
    more = count_allocations(&many, &more_samples);
    printf("%s allocations, %s: %lu for %lu samples, %lu for %lu: %.4f a sample\n", bench->name,
           text, few, samples, more, more_samples,
           ((double)more - (double)few) / (double)(more_samples - samples));
}

static unsigned long resident_kb(apr_pool_t *pool)
{
    sa_os_self_t self = {0};
    sa_error_t *err = sa_os_self_read(&self, pool);

    SA_ASSERT(err == SA_OK);
    return (unsigned long)(self.resident_bytes / 1024);
}

static void show_memory(bench_t *bench, apr_pool_t *pool)
{
    unsigned long before = resident_kb(pool);

    unsigned long runs = (unsigned long)(RUNS_BYTES / bench->length) + 1;

    for (unsigned long i = 0; i < runs; i++) {
        transform(bench);
    }
    printf("%s memory: %lu KB, after %lu more runs %lu KB\n", bench->name, before, runs,
           resident_kb(pool));
}

static void prepare(bench_t *bench, const sa_exposition_label_t *labels, int count,
                    apr_pool_t *pool)
{
    const sa_exposition_options_t options = {.labels = labels, .label_count = count,
                                             .part_limit_bytes = PART_LIMIT};
    sa_error_t *err = sa_exposition_create(&bench->exposition, &options, pool);

    SA_ASSERT(err == SA_OK);
}

/* PATH may be NULL. */
static void look_at(const char *path)
{
    static const sa_exposition_label_t labels[] = {{"code", "edge-machine-01"},
                                                   {"location", "plant-7"}, {"job", "node"}};
    static const sa_exposition_label_t clash[] = {{"cpu", "x"}, {"mode", "y"}};
    apr_pool_t *pool = sa_pool_create_root();
    sa_buf_t *page = apr_palloc(pool, sizeof(*page));
    sa_buf_t *longer = apr_palloc(pool, sizeof(*longer));
    bench_t bench = {.name = path ? apr_filepath_name_get(path) : "made"};

    sa_buf_init(page, PAGE_LIMIT, pool);
    sa_buf_init(longer, (size_t)PAGE_LIMIT * 10, pool);
    if (path) {
        read_page(page, path);
    } else {
        make_page(page);
    }
    if (page->length == 0) {
        fprintf(stderr, "bench_exposition: %s is empty\n", bench.name);
        exit(EXIT_FAILURE);
    }
    bench.page = page->data;
    bench.length = page->length;
    bench.copy = apr_palloc(pool, bench.length + 1);
    if (strlen(bench.name) > 3 && strcmp(bench.name + strlen(bench.name) - 3, ".om") == 0) {
        bench.format = SA_EXPOSITION_OPENMETRICS;
        bench.tail = sizeof("# EOF\n") - 1;
    }
    prepare(&bench, labels, 3, pool);
    measure(&bench);
    show_allocations(&bench, longer, "copied");
    show_memory(&bench, pool);
    prepare(&bench, clash, 2, pool);        /* such labels are written anew */
    show_allocations(&bench, longer, "renamed");
    apr_pool_destroy(pool);
}

int main(int argc, char **argv)
{
    apr_initialize();
    if (argc == 1) {
        look_at(NULL);
    }
    for (int i = 1; i < argc; i++) {
        look_at(argv[i]);
    }
    return EXIT_SUCCESS;
}
