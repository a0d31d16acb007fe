/*
 * file-locks.c - who waits for a lock of a file stops its thread only: the holder lets go of it
 * (flock(2); XSH lockf by another process)
 */
#include "../verdict.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[] = "locked-XXXXXX";
static volatile int let_go;

static void *locks(void *arg)
{
    int fd = open(path, O_RDWR);

    WORKS(fd);
    WORKS(flock(fd, LOCK_EX));
    HOLDS(let_go);
    close(fd);
    return arg;
}

int main(void)
{
    int fd = mkstemp(path);
    pthread_t t;

    WORKS(fd);
    WORKS(flock(fd, LOCK_EX));
    NEEDS(pthread_create(&t, NULL, locks, NULL));
    usleep(30000);
    let_go = 1;
    WORKS(flock(fd, LOCK_UN));
    ANSWERS(pthread_join(t, NULL), 0);
    unlink(path);
    return PASS;
}
