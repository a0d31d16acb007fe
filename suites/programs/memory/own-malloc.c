/*
 * own-malloc.c - a program may bring its own malloc, which locks a mutex and has a thread-specific
 * value: threads, their objects and stdio work all the same, and its memory stays its own (as with
 * jemalloc or tcmalloc, linked into the program)
 */
#include "../verdict.h"

#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 50
#define BLOCKS 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Alignas(32) char pool[64 << 20];
static size_t used;         /* under lock */
static unsigned long frees; /* under lock */
static int foreign;         /* under lock: freed or grown, but not from here */
static __thread unsigned own;

struct head {
    size_t size, magic;
    char pad[16];
};

#define MAGIC 0x6f776e6d616c6cu

static struct head *head_of(void *p)
{
    return (struct head *)p - 1;
}

void *malloc(size_t size)
{
    struct head *head = NULL;

    pthread_mutex_lock(&lock);
    size = (size + 31) / 32 * 32;
    if (size < sizeof pool && used + sizeof *head + size <= sizeof pool) {
        head = (struct head *)(pool + used);
        used += sizeof *head + size;
        head->size = size;
        head->magic = MAGIC;
        own++;
    }
    pthread_mutex_unlock(&lock);
    if (!head)
        errno = ENOMEM;
    return head ? head + 1 : NULL;
}

void free(void *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&lock);
    frees++;
    foreign += head_of(p)->magic != MAGIC;
    pthread_mutex_unlock(&lock);
}

void *calloc(size_t n, size_t size)
{
    void *p = malloc(n * size);

    return p ? memset(p, 0, n * size) : NULL;
}

void *realloc(void *old, size_t size)
{
    void *p = malloc(size);

    if (p && old) {
        memcpy(p, old, head_of(old)->size < size ? head_of(old)->size : size);
        free(old);
    }
    return p;
}

static void *fill(void *arg)
{
    unsigned char mark = (unsigned char)(uintptr_t)arg, *block[BLOCKS];

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            block[i] = malloc((size_t)round + 1);
            HOLDS(block[i]);
            memset(block[i], mark, (size_t)round + 1);
        }
        for (int i = 0; i < BLOCKS; i++) {
            for (int at = 0; at <= round; at++)
                HOLDS(block[i][at] == mark);
            free(block[i]);
        }
    }
    HOLDS(own >= ROUNDS * BLOCKS);
    return arg;
}

int main(void)
{
    pthread_t thread[THREADS];
    char *line = NULL, text[2000];
    size_t size = 0;
    int end[2];
    FILE *in;

    for (uintptr_t i = 0; i < THREADS; i++)
        NEEDS(pthread_create(&thread[i], NULL, fill, (void *)(i + 1)));
    for (uintptr_t i = 0; i < THREADS; i++) {
        void *value;

        ANSWERS(pthread_join(thread[i], &value), 0);
        HOLDS(value == (void *)(i + 1));
    }
    /* Blocks that change hands: a line that grows, a text longer than any buffer. */
    WORKS(pipe(end));
    in = fdopen(end[0], "r");
    HOLDS(in);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    WORKS(write(end[1], text, sizeof text));
    WORKS(getline(&line, &size, in));
    HOLDS(size >= sizeof text && !memcmp(line, text, sizeof text));
    free(line);
    printf("%.*s\n", (int)sizeof text - 1, text);
    HOLDS(!foreign);
    return PASS;
}
