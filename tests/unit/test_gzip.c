/* gzip: what zlib makes of it again is what went in. */
#include "sa_gzip.h"

#include <zlib.h>

#include "sa_random.h"
#include "sa_test.h"

static void check(const char *data, size_t length, apr_pool_t *pool)
{
    const char *packed;
    size_t packed_length;
    char *again = malloc(length + 1);
    z_stream stream;

    ck_assert(sa_gzip(&packed, &packed_length, data, length, pool));
    ck_assert_uint_lt(packed_length, length);
    memset(&stream, 0, sizeof(stream));
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = (unsigned char *)packed;
    stream.avail_in = (unsigned int)packed_length;
    stream.next_out = (unsigned char *)again;
    stream.avail_out = (unsigned int)length + 1;
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(stream.total_out, length);
    ck_assert_mem_eq(again, data, length);
    inflateEnd(&stream);
    free(again);
}

SA_TEST(it_is_smaller_and_comes_back_whole)
{
    enum { LENGTH = 1024 * 1024 };
    char *data = malloc(LENGTH);

    for (int i = 0; i < LENGTH; i++) {
        data[i] = (char)('a' + i / 7 % 20);
    }
    check(data, 100, pool);
    check(data, 65536, pool);
    check(data, LENGTH, pool);
    free(data);
}

SA_TEST(what_would_not_become_smaller_stays_as_it_is)
{
    sa_random_t random;
    char data[1000];
    const char *packed;
    size_t length;

    sa_random_init(&random);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)sa_random_below(&random, 256);
    }
    ck_assert(!sa_gzip(&packed, &length, data, sizeof(data), pool));
    ck_assert(!sa_gzip(&packed, &length, "", 0, pool));
    ck_assert(!sa_gzip(&packed, &length, "a", 1, pool));
    ck_assert(!sa_gzip(&packed, &length, "up 1\n", 5, pool));
}

SA_TEST_MAIN("gzip", it_is_smaller_and_comes_back_whole,
             what_would_not_become_smaller_stays_as_it_is)
