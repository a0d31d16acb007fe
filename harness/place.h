/*
 * place.h - placement policy -> list of PUs. place.c is the only file that includes hwloc;
 * place_policy.c and place_relation.c decide, place_query.c answers what else is asked.
 *
 * PU numbers are the operating system's (hwloc "P#"). All functions are called by the driver, never
 * in a cell: loading a topology costs 10 ms and more. Nothing here is thread-safe.
 */
#ifndef HARNESS_PLACE_H
#define HARNESS_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#define PLACE_MAX 1024 /* PUs in one placement */

struct place {
    char policy[256];  /* as asked for: "shared-l3", "cpus=0,4-6" */
    char relation[24]; /* widest boundary between two of its PUs, measured not asked: same-pu, smt,
                        * shared-l2, shared-l3, cross-l3, cross-numa, cross-package. "cross-l3" is
                        * one NUMA node and no cache in common: also where no L3 is reported */
    int ncpus;         /* PUs used; 0: impossible, see reason */
    int cpus[PLACE_MAX]; /* slot -> OS PU number */
    int node;            /* OS number of the NUMA node nearest to slot 0; -1: unknown */
    char reason[256];    /* why it is impossible here; "" when it is possible */
};

struct place_topology;

/* Opens a topology. source: NULL for this machine (restricted to what the process may use:
 * sched_getaffinity, cgroup cpuset, Slurm), "synthetic:pack:2 core:8 pu:2" for hwloc's synthetic
 * syntax, else the path of an XML file exported by hwloc. Returns NULL with one line in error.
 * Freed by place_close. */
struct place_topology *place_open(const char *source, char *error, size_t size);
void place_close(struct place_topology *topology);

/* True if it describes this machine, so that cells can be run on it. */
bool place_is_this_system(const struct place_topology *topology);

/* Finds `want` PUs (at least 1) for a policy. Returns 0; ENOTSUP: impossible here, out->ncpus is 0
 * and out->reason says why; EINVAL: no such policy or malformed list, out->reason is one line that
 * names what would be right; ENOMEM. same-pu gives one PU whatever `want` is; cpus=LIST gives the
 * list, in its order; a relation (smt ... cross-package) gives at least 2. smt and shared-* hold
 * between each two slots. cross-* deals the slots out in turn where there are fewer domains than
 * slots: slots i and i + 1 are always in different ones. The relation can be wider than the policy:
 * cross-numa on a machine with one node per package measures as cross-package. */
int place_resolve(const struct place_topology *topology, const char *policy, int want,
                  struct place *out);

/* The policies' names in canonical order, NULL-terminated, without cpus=LIST. Static. */
const char *const *place_policies(void);
/* One line of help for a policy. Static; NULL if there is no such policy. */
const char *place_help(const char *policy);

/* How two PUs relate. Static string; NULL if one of them is not in the topology. */
const char *place_relation(const struct place_topology *topology, int cpu_a, int cpu_b);

/* Every unordered pair of allowed PUs, or, above `all_up_to` PUs, a sample that has each relation
 * from several origins. The smaller number stands first; sorted. Returns the number of pairs (0:
 * one PU, or out of memory); *pairs is malloc'd, owned by the caller. */
size_t place_pairs(const struct place_topology *topology, int all_up_to, int (**pairs)[2]);

/* Allowed PUs, by OS number, ascending; returns how many there are (may exceed max). */
int place_allowed(const struct place_topology *topology, int *cpus, int max);

/* hwloc's version, "2.9.0". Static. */
const char *place_library_version(void);

/* The topology as hwloc XML, without serial numbers (malloc'd, owned by the caller; NULL: out of
 * memory). */
char *place_xml(const struct place_topology *topology);

/* The topology as a tree for people, several lines (malloc'd, owned by the caller; NULL: out of
 * memory). */
char *place_text(const struct place_topology *topology);

/* One PU's position for people and scripts. Returns 0 or EINVAL (no such PU). -1: unknown. */
struct place_pu {
    int cpu, core, l2, l3, node, package; /* logical indexes but for cpu */
    int kind; /* hybrid machines: class of core, 0 is the slowest; -1: all alike, or unknown */
};
int place_describe(const struct place_topology *topology, int cpu, struct place_pu *out);

#endif
