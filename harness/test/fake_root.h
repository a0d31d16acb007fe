/*
 * fake_root.h - a folder that stands for "/" in a test: what is read below it is what the test has
 * put there. make_root and remove_root are set-up and teardown of a group of tests.
 */
#ifndef HARNESS_TEST_FAKE_ROOT_H
#define HARNESS_TEST_FAKE_ROOT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[] = "/tmp/threadlab_root.XXXXXX";

/* Writes the file, with the folders above it. path: with or without a / in front. */
static void put(const char *path, const char *text)
{
    char full[512], *slash;
    FILE *file;

    snprintf(full, sizeof(full), "%s/%s", root, path + (path[0] == '/'));
    for (slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

#endif
