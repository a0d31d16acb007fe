/*
 * place_table.h - private to place*.c: a topology as a table of PUs, so that policies are decided
 * without hwloc.
 */
#ifndef HARNESS_PLACE_TABLE_H
#define HARNESS_PLACE_TABLE_H

#include "place.h"

#include <stdint.h>

/* What can lie between two PUs, widest first. The first level at which they differ is their
 * relation. */
enum place_level {
    PLACE_PACKAGE,
    PLACE_NODE, /* a NUMA boundary counts even inside one L3 (sub-NUMA clustering) */
    PLACE_LLC,  /* L3; where none is reported: L2; where no L2 either: the core */
    PLACE_L2,
    PLACE_CORE,
    PLACE_PU,
    PLACE_LEVELS
};
#define PLACE_BIT(level) (1u << (level))

struct place_entry {
    struct place_pu pu;
    int os_node;          /* of pu.node; -1: unknown */
    int id[PLACE_LEVELS]; /* equal: shared. PUs of one core agree on all but PLACE_PU */
    int sibling;          /* 0: first allowed PU of its core, 1: second, ... */
    uint64_t l2_bytes, l3_bytes, node_bytes; /* 0: unknown */
};

/* Read-only once place_open has returned it. */
struct place_topology {
    struct hwloc_topology *hwloc;
    char *source; /* for people */
    bool live;
    size_t n; /* at least 1 */
    /* In hwloc's logical order, which walks the tree depth first: neighbours in the tree are
     * neighbours here. */
    struct place_entry *pus;
    int packages, nodes, l3s, l2s, cores; /* how many of them have an allowed PU; 0: not reported */
    int kinds; /* classes of PUs, each in pu.kind; 0: all alike, or not reported */
};

/* NULL: not in the topology. */
const struct place_entry *place_find(const struct place_topology *t, int cpu);

/* PLACE_LEVELS if they are the same PU. */
enum place_level place_boundary(const struct place_entry *a, const struct place_entry *b);
const char *place_relation_name(enum place_level boundary);

/* The allowed PUs as "0-3,8", cut with "..." to fit. */
void place_list_text(const struct place_topology *t, char *text, size_t size);

#endif
