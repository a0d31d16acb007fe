/* self-join.c - a thread that joins itself: EDEADLK (XSH pthread_join) */
#include "../verdict.h"

#include <pthread.h>

int main(void)
{
    ANSWERS(pthread_join(pthread_self(), NULL), EDEADLK);
    return PASS;
}
