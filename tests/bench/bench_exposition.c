/* How fast the exposition path is, beside the least that could be done to the
 * same bytes in the same minute: memchr() over them and memcpy() of them.
 *
 *     bench_exposition [PAGE]
 *
 * PAGE is a file with an exporter's page; without it one is made that looks
 * like a node_exporter's.  Each of the three is run in turn, round after round
 * for some seconds in all, and the best round of each counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "sa_buf.h"
#include "sa_exposition.h"
#include "sa_pool.h"
#include "sa_time.h"

#define PAGE_LIMIT (64 * 1024 * 1024)
#define PART_LIMIT (1024 * 1024)
#define DURATION apr_time_from_msec(2000)
/* Runs over the page in one round: a round must be long beside the clock. */
#define REPEATS 16

typedef struct bench_t {
    const char *page;
    size_t length;
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
    sa_error_t *err = sa_exposition_run(&result, bench->exposition, bench->page, bench->length,
                                        APR_INT64_C(1764000000123456), drop_part, bench);

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
        printf("exposition %s: %.2f GB/s (%.3f of memchr)\n", names[i], best[i],
               best[i] / best[1]);
    }
    printf("exposition page: %lu bytes, %lu samples, %.0f ns a sample\n",
           (unsigned long)bench->length, (unsigned long)bench->samples,
           (double)bench->length / best[0] / (double)(bench->samples ? bench->samples : 1));
}

int main(int argc, char **argv)
{
    static const sa_exposition_label_t labels[] = {{"code", "edge-machine-01"},
                                                   {"location", "plant-7"}, {"job", "node"}};
    sa_exposition_options_t options = {.labels = labels, .label_count = 3,
                                       .part_limit_bytes = PART_LIMIT};
    bench_t bench = {.sum = 0};
    apr_pool_t *pool;
    sa_buf_t *page;
    sa_error_t *err;

    apr_initialize();
    pool = sa_pool_create_root();
    page = apr_palloc(pool, sizeof(*page));
    sa_buf_init(page, PAGE_LIMIT, pool);
    if (argc > 1) {
        read_page(page, argv[1]);
    } else {
        make_page(page);
    }
    bench.page = page->data ? page->data : "";
    bench.length = page->length;
    bench.copy = apr_palloc(pool, bench.length + 1);
    err = sa_exposition_create(&bench.exposition, &options, pool);
    SA_ASSERT(err == SA_OK);
    if (bench.length > 0) {
        measure(&bench);
    }
    apr_pool_destroy(pool);
    return EXIT_SUCCESS;
}
