/*
 * fifo.c - open of a FIFO waits until another thread opens its other end; the wait stops its thread
 * only, and is a cancellation point (XSH open, 2.9.5.2)
 */
#include "../verdict.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "fifo-XXXXXX";

static void *opens(void *arg)
{
    int flags = *(int *)arg, fd = open(path, flags);

    WORKS(fd);
    HOLDS(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    *(int *)arg = fd;
    return arg;
}

static void *opens_file(void *arg)
{
    FILE *f = fopen(path, "r");

    HOLDS(f);
    *(FILE **)arg = f;
    return arg;
}

static void meet(int first, int second)
{
    int a = first, b;
    char byte = 0;
    pthread_t t;

    NEEDS(pthread_create(&t, NULL, opens, &a));
    usleep(20000);
    b = open(path, second);
    WORKS(b);
    ANSWERS(pthread_join(t, NULL), 0);
    WORKS(write(first == O_WRONLY ? a : b, "x", 1));
    HOLDS(read(first == O_WRONLY ? b : a, &byte, 1) == 1 && byte == 'x');
    close(a);
    close(b);
}

int main(void)
{
    int alone = O_RDONLY, fd = mkstemp(path), lowest = dup(fd);
    void *value = NULL;
    FILE *f = NULL;
    pthread_t t;

    WORKS(fd);
    close(lowest);
    close(fd);
    unlink(path);
    WORKS(mkfifo(path, 0600));
    meet(O_RDONLY, O_WRONLY);
    meet(O_WRONLY, O_RDONLY);
    NEEDS(pthread_create(&t, NULL, opens_file, &f));
    fd = open(path, O_WRONLY);
    WORKS(fd);
    ANSWERS(pthread_join(t, NULL), 0);
    WORKS(write(fd, "y\n", 2));
    HOLDS(fgetc(f) == 'y');
    fclose(f);
    close(fd);
    for (int i = 0; i < 2; i++, alone = O_WRONLY) {
        NEEDS(pthread_create(&t, NULL, opens, &alone));
        usleep(20000);
        ANSWERS(pthread_cancel(t), 0);
        ANSWERS(pthread_join(t, &value), 0);
        HOLDS(value == PTHREAD_CANCELED);
    }
    fd = open("/dev/null", O_RDONLY);
    HOLDS(fd <= lowest); /* who was cancelled has left nothing open */
    unlink(path);
    return PASS;
}
