/*
 * name.c - the name of a thread is kept, and one of 16 characters is ERANGE
 * (pthread_setname_np(3))
 */
#include "../verdict.h"

#include <pthread.h>

int main(void)
{
    char name[16] = "";

    NEEDS(pthread_setname_np(pthread_self(), "a-name"));
    ANSWERS(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    HOLDS(!strcmp(name, "a-name"));
    ANSWERS(pthread_setname_np(pthread_self(), "sixteen-letters-"), ERANGE);
    ANSWERS(pthread_getname_np(pthread_self(), name, 4), ERANGE);
    return PASS;
}
