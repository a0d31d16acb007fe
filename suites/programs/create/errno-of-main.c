/*
 * errno-of-main.c - errno is 0 in the first thread when the program starts (ISO C 7.5, which XBD
 * 1.7 takes over)
 */
#include "../verdict.h"

int main(void)
{
    int first = errno;

    if (first)
        FAILED("main began with errno %d (%s)", first, strerror(first));
    return PASS;
}
