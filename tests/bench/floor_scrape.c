/* Floor: fetch a page with libcurl over a kept connection and copy it once.
 *
 *     floor_scrape URL COUNT PER_SECOND
 *
 * As often as the agent does, so that caches are as cold.  Prints the CPU time
 * of one fetch in microseconds. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apr_time.h>
#include <curl/curl.h>

#include "bench.h"

#define PAGE_MAX (4 * 1024 * 1024)

typedef struct page_t {
    char *data;
    size_t length;
} page_t;

static size_t on_data(char *data, size_t size, size_t count, void *baton)
{
    page_t *page = baton;
    size_t length = size * count;

    must_be(page->length + length <= PAGE_MAX, "the page is too large");
    memcpy(page->data + page->length, data, length);
    page->length += length;
    return length;
}

int main(int argc, char **argv)
{
    page_t page = {NULL, 0};
    clock_t began;
    CURL *curl;
    int count;

    must_be(argc == 4, "floor_scrape URL COUNT PER_SECOND");
    count = (int)strtol(argv[2], NULL, 10);
    page.data = malloc(PAGE_MAX);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, argv[1]);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &page);
    must_be(curl_easy_perform(curl) == CURLE_OK, "fetch");
    began = clock();
    for (int i = 0; i < count; i++) {
        apr_sleep(APR_USEC_PER_SEC / (int)strtol(argv[3], NULL, 10));
        page.length = 0;
        must_be(curl_easy_perform(curl) == CURLE_OK, "fetch");
    }
    printf("%.1f\n", (double)(clock() - began) * 1e6 / CLOCKS_PER_SEC / count);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    free(page.data);
    return EXIT_SUCCESS;
}
