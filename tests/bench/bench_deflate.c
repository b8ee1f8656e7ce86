/* Would permessage-deflate (RFC 7692) pay?  zlib over what is sent, message by message.
 *
 *     bench_deflate FILE...
 *
 * A FILE has messages, each behind a line with its length.  For each, level and whether the
 * window is kept between messages, a line: file, level, kept, bytes before, bytes after, MB/s in,
 * MB/s out.  Then the bytes that zlib asked for: "memory DEFLATE INFLATE".  Each message is
 * flushed, and the flush's last four bytes are not sent, as the RFC has it. */
#include <stdlib.h>
#include <string.h>

#include <apr_time.h>
#include <zlib.h>

#include "bench.h"
#include "sa_time.h"

#define FILE_LIMIT (64 * 1024 * 1024)
#define MESSAGES 4096
#define DURATION apr_time_from_msec(200)
#define WINDOW (-15)            /* raw */
#define MEMORY_LEVEL 8
#define TAIL 4

static const unsigned char tail[TAIL] = {0x00, 0x00, 0xff, 0xff};

typedef struct text_t {
    const unsigned char *data;
    size_t length;
} text_t;

/* Messages of a file, and what became of them. */
typedef struct run_t {
    text_t plain[MESSAGES];
    text_t packed[MESSAGES];
    int count;
    size_t plain_bytes;
    size_t packed_bytes;
    unsigned char *room;        /* for what comes out */
    size_t room_bytes;
} run_t;

static size_t asked;

static void *count_memory(void *baton, unsigned int count, unsigned int size)
{
    (void)baton;
    asked += (size_t)count * size;
    return calloc(count, size);
}

static void give_back(void *baton, void *memory)
{
    (void)baton;
    free(memory);
}

static void open_stream(z_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->zalloc = count_memory;
    stream->zfree = give_back;
}

static void read_messages(run_t *run, char *text, size_t length)
{
    size_t at = 0;

    while (at < length) {
        char *end;
        size_t size = strtoul(text + at, &end, 10);

        must_be(*end == '\n' && run->count < MESSAGES, "a message behind a line with its length");
        at = (size_t)(end + 1 - text);
        must_be(size <= length - at, "a message is cut off");
        run->plain[run->count].data = (unsigned char *)text + at;
        run->plain[run->count].length = size;
        run->plain_bytes += size;
        run->count++;
        at += size;
    }
}

static char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, FILE_LIMIT + 1);

    must_be(file && text, path);
    *length = fread(text, 1, FILE_LIMIT, file);
    fclose(file);
    return text;
}

/* All messages once; notes what they became. */
static void deflate_all(run_t *run, z_stream *stream, int kept)
{
    size_t used = 0;

    must_be(deflateReset(stream) == Z_OK, "deflateReset");
    for (int i = 0; i < run->count; i++) {
        if (!kept) {
            must_be(deflateReset(stream) == Z_OK, "deflateReset");
        }
        stream->next_in = (unsigned char *)run->plain[i].data;
        stream->avail_in = (unsigned int)run->plain[i].length;
        stream->next_out = run->room + used;
        stream->avail_out = (unsigned int)(run->room_bytes - used);
        must_be(deflate(stream, Z_SYNC_FLUSH) == Z_OK && stream->avail_in == 0, "deflate");
        run->packed[i].data = run->room + used;
        used = (size_t)(stream->next_out - run->room);
        run->packed[i].length = (size_t)(stream->next_out - run->packed[i].data) - TAIL;
    }
    run->packed_bytes = 0;
    for (int i = 0; i < run->count; i++) {
        run->packed_bytes += run->packed[i].length;
    }
}

static void inflate_some(z_stream *stream, const unsigned char *data, size_t length)
{
    stream->next_in = (unsigned char *)data;
    stream->avail_in = (unsigned int)length;
    must_be(inflate(stream, Z_SYNC_FLUSH) == Z_OK && stream->avail_in == 0, "inflate");
}

/* All messages back; compared when CHECKED. */
static void inflate_all(run_t *run, z_stream *stream, int kept, unsigned char *out, size_t limit)
{
    must_be(inflateReset(stream) == Z_OK, "inflateReset");
    for (int i = 0; i < run->count; i++) {
        if (!kept) {
            must_be(inflateReset(stream) == Z_OK, "inflateReset");
        }
        stream->next_out = out;
        stream->avail_out = (unsigned int)limit;
        inflate_some(stream, run->packed[i].data, run->packed[i].length);
        inflate_some(stream, tail, TAIL);
        must_be((size_t)(stream->next_out - out) == run->plain[i].length
                && memcmp(out, run->plain[i].data, run->plain[i].length) == 0,
                "a message came back otherwise");
    }
}

static double speed(const run_t *run, long turns, apr_interval_time_t took)
{
    return (double)run->plain_bytes * (double)turns / (double)took;
}

static double time_deflate(run_t *run, z_stream *stream, int kept)
{
    apr_interval_time_t began = sa_time_mono();
    long turns = 0;

    while (sa_time_mono() - began < DURATION) {
        deflate_all(run, stream, kept);
        turns++;
    }
    return speed(run, turns, sa_time_mono() - began);
}

static double time_inflate(run_t *run, z_stream *stream, int kept)
{
    unsigned char *out = calloc(1, run->room_bytes);
    apr_interval_time_t began = sa_time_mono();
    long turns = 0;

    while (sa_time_mono() - began < DURATION) {
        inflate_all(run, stream, kept, out, run->room_bytes);
        turns++;
    }
    began = sa_time_mono() - began;
    free(out);
    return speed(run, turns, began);
}

static void bench(run_t *run, const char *path, int level, int kept, size_t memory[2])
{
    z_stream stream;
    z_stream back;
    double in;
    double out;

    open_stream(&stream);
    asked = 0;
    must_be(deflateInit2(&stream, level, Z_DEFLATED, WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY)
            == Z_OK, "deflateInit2");
    in = time_deflate(run, &stream, kept);
    memory[0] = asked;
    open_stream(&back);
    asked = 0;
    must_be(inflateInit2(&back, WINDOW) == Z_OK, "inflateInit2");
    out = time_inflate(run, &back, kept);
    memory[1] = asked;
    printf("%s %d %s %zu %zu %.1f %.1f\n", path, level, kept ? "kept" : "new", run->plain_bytes,
           run->packed_bytes, in, out);
    deflateEnd(&stream);
    inflateEnd(&back);
}

int main(int argc, char **argv)
{
    static run_t run;
    size_t memory[2] = {0, 0};

    must_be(argc > 1, "bench_deflate FILE...");
    for (int i = 1; i < argc; i++) {
        size_t length;
        char *text = read_file(argv[i], &length);

        memset(&run, 0, sizeof(run));
        read_messages(&run, text, length);
        run.room_bytes = 2 * length + 65536;
        run.room = calloc(1, run.room_bytes);
        for (int way = 0; way < 4; way++) {
            bench(&run, argv[i], way < 2 ? 1 : 6, way % 2, memory);
        }
        free(run.room);
        free(text);
    }
    printf("memory %zu %zu\n", memory[0], memory[1]);
    return EXIT_SUCCESS;
}
