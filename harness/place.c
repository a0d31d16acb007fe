/*
 * place.c - reads a topology by hwloc into a table of PUs (place_table.h), from this machine, from
 * hwloc's synthetic syntax or from exported XML. The only file that includes hwloc.
 *
 * What the process may use: hwloc alone reports every PU of the machine to a process that runs
 * under taskset or Slurm's task/affinity. RESTRICT_TO_CPUBINDING asks for less, but is newer (2.5)
 * than what some distributions ship; hence the topology is also restricted by hand to the affinity
 * mask of the calling thread. The cgroup's cpuset is honoured by hwloc itself.
 */
#include "place_table.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hwloc.h>

#if HWLOC_API_VERSION < 0x00020000
#error "hwloc 2.0 or newer is needed"
#endif

/* A synthetic topology of 1024 PUs loads in 60 ms; a typing error should not take all memory. */
#define SYNTHETIC_MAX 4096

static void say(char *error, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(char *error, size_t size, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(error, size, format, ap);
    va_end(ap);
}

/* ---- the table ------------------------------------------------------------------------------ */

static int logical(hwloc_obj_t o)
{
    return o ? (int)o->logical_index : -1;
}

static uint64_t cache_bytes(hwloc_obj_t o)
{
    return o && o->attr ? o->attr->cache.size : 0;
}

/* The node that the kernel would first touch from this PU: ordinary memory before special one
 * (HBM, NVM, GPU memory may be as near), then the one with the fewest PUs, then the lowest number.
 */
static hwloc_obj_t nearest_node(hwloc_topology_t h, hwloc_obj_t pu)
{
    hwloc_obj_t best = NULL, node = NULL;
    bool best_plain = false;
    int best_pus = 0;

    while ((node = hwloc_get_next_obj_by_type(h, HWLOC_OBJ_NUMANODE, node))) {
        if (!hwloc_bitmap_isset(node->cpuset, pu->os_index))
            continue;
        bool plain = !node->subtype || strcmp(node->subtype, "DRAM") == 0;
        int pus = hwloc_bitmap_weight(node->cpuset);
        bool nearer = plain != best_plain ? plain : pus != best_pus ? pus < best_pus : false;
        if (!best || nearer ||
            (plain == best_plain && pus == best_pus && node->os_index < best->os_index)) {
            best = node;
            best_plain = plain;
            best_pus = pus;
        }
    }
    return best;
}

/* hwloc orders kinds from the slowest to the fastest. */
static int kind_of(hwloc_topology_t h, hwloc_obj_t pu, int kinds)
{
#if HWLOC_API_VERSION >= 0x00020400
    if (kinds > 1)
        return hwloc_cpukinds_get_by_cpuset(h, pu->cpuset, 0);
#else
    (void)h, (void)pu, (void)kinds;
#endif
    return -1;
}

/* Where a level is not reported, the next one inside stands for it, with numbers of its own, so
 * that "not reported" never reads as "shared". */
static void set_ids(const struct place_topology *t, size_t i)
{
    enum { L2_BY_CORE = 1 << 28, LLC_BY_L2 = 1 << 29, CORE_BY_PU = 1 << 27 };
    struct place_entry *e = &t->pus[i];
    int *id = e->id;

    id[PLACE_PU] = (int)i;
    id[PLACE_CORE] = e->pu.core >= 0 ? e->pu.core : CORE_BY_PU | (int)i;
    e->sibling = 0;
    /* PUs of one core agree, even if a firmware table says otherwise: see place_entry. */
    for (size_t j = i; j-- > 0;)
        if (t->pus[j].id[PLACE_CORE] == id[PLACE_CORE]) {
            memcpy(id, t->pus[j].id, PLACE_PU * sizeof *id);
            e->sibling = t->pus[j].sibling + 1;
            return;
        }
    id[PLACE_L2] = e->pu.l2 >= 0 ? e->pu.l2 : L2_BY_CORE | id[PLACE_CORE];
    id[PLACE_LLC] = e->pu.l3 >= 0 ? e->pu.l3 : LLC_BY_L2 | id[PLACE_L2];
    id[PLACE_NODE] = e->pu.node;
    id[PLACE_PACKAGE] = e->pu.package;
}

/* How many different values >= 0 the int at `offset` of struct place_pu has. */
static int distinct(const struct place_topology *t, size_t offset)
{
    int n = 0;
    for (size_t i = 0; i < t->n; i++) {
        int value = *(const int *)((const char *)&t->pus[i].pu + offset);
        bool seen = value < 0;
        for (size_t j = i; !seen && j-- > 0;)
            seen = *(const int *)((const char *)&t->pus[j].pu + offset) == value;
        n += !seen;
    }
    return n;
}

static int build_table(struct place_topology *t)
{
    hwloc_topology_t h = t->hwloc;
    int n = hwloc_get_nbobjs_by_type(h, HWLOC_OBJ_PU);

    if (n <= 0)
        return ENODEV;
    t->n = (size_t)n;
    t->pus = calloc(t->n, sizeof *t->pus);
    if (!t->pus)
        return ENOMEM;
#if HWLOC_API_VERSION >= 0x00020400
    t->kinds = hwloc_cpukinds_get_nr(h, 0);
#endif
    if (t->kinds < 2)
        t->kinds = 0;
    for (size_t i = 0; i < t->n; i++) {
        struct place_entry *e = &t->pus[i];
        hwloc_obj_t pu = hwloc_get_obj_by_type(h, HWLOC_OBJ_PU, (unsigned)i);
        hwloc_obj_t l2 = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_L2CACHE, pu);
        hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_L3CACHE, pu);
        hwloc_obj_t node = nearest_node(h, pu);

        e->pu = (struct place_pu){
            .cpu = (int)pu->os_index,
            .core = logical(hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_CORE, pu)),
            .l2 = logical(l2),
            .l3 = logical(l3),
            .node = logical(node),
            .package = logical(hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_PACKAGE, pu)),
            .kind = kind_of(h, pu, t->kinds),
        };
        e->os_node = node ? (int)node->os_index : -1;
        e->l2_bytes = cache_bytes(l2);
        e->l3_bytes = cache_bytes(l3);
        e->node_bytes = node && node->attr ? node->attr->numanode.local_memory : 0;
        set_ids(t, i);
    }
    t->packages = distinct(t, offsetof(struct place_pu, package));
    t->nodes = distinct(t, offsetof(struct place_pu, node));
    t->l3s = distinct(t, offsetof(struct place_pu, l3));
    t->l2s = distinct(t, offsetof(struct place_pu, l2));
    t->cores = distinct(t, offsetof(struct place_pu, core));
    return 0;
}

/* ---- sources -------------------------------------------------------------------------------- */

/* An estimate of the PUs that a synthetic description asks for: the product of its counts. */
static double synthetic_size(const char *text)
{
    double product = 1;
    int depth = 0;

    for (const char *p = text; *p; p++) {
        depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
        bool starts = p == text || p[-1] == ':' || p[-1] == ' ';
        if (depth == 0 && starts && *p >= '0' && *p <= '9')
            product *= strtod(p, NULL);
    }
    return product;
}

static int set_synthetic(hwloc_topology_t h, const char *text, char *error, size_t size)
{
    if (synthetic_size(text) > SYNTHETIC_MAX) {
        say(error, size, "synthetic:%.80s: more than %d PUs", text, SYNTHETIC_MAX);
        return EINVAL;
    }
    if (hwloc_topology_set_synthetic(h, text) != 0) {
        say(error, size,
            "synthetic:%.80s: not a synthetic topology of hwloc (right: synthetic:pack:2 core:8 "
            "pu:2)",
            text);
        return EINVAL;
    }
    return 0;
}

/* hwloc (2.9 at least) dereferences NULL on XML that lacks an attribute here or there, and a file
 * can be anything: a child process tries it first. */
static int try_xml(const char *path)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        return errno;
    if (pid == 0) {
        hwloc_topology_t h;
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL);
        signal(SIGALRM, SIG_DFL);
        alarm(30);
        _exit(hwloc_topology_init(&h) != 0 || hwloc_topology_set_xml(h, path) != 0 ||
              hwloc_topology_load(h) != 0);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : EINVAL;
}

static int set_xml(hwloc_topology_t h, const char *path, char *error, size_t size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int e = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;

    if (!e && S_ISDIR(st.st_mode))
        e = EISDIR;
    if (fd >= 0)
        close(fd);
    if (e) {
        say(error, size, "topology %.120s: %s%s", path, strerror(e),
            e == ENOENT ? " (a file of hwloc XML, or synthetic:DESCRIPTION)" : "");
        return e;
    }
    e = S_ISREG(st.st_mode) ? try_xml(path) : EINVAL;
    if (!e && hwloc_topology_set_xml(h, path) != 0)
        e = EINVAL;
    if (e == EINVAL)
        say(error, size, "topology %.120s: not hwloc XML, or damaged, or cut short", path);
    else if (e)
        say(error, size, "topology %.120s: cannot try it: %s", path, strerror(e));
    return e;
}

/* With IS_THISSYSTEM hwloc would believe these to be this machine, and cells would be pinned by
 * someone else's map. HWLOC_THISSYSTEM=1 is how a site says that its XML is right. */
static int set_this_machine(hwloc_topology_t h, char *error, size_t size)
{
    static const char *const elsewhere[] = {"HWLOC_SYNTHETIC", "HWLOC_XMLFILE", "HWLOC_FSROOT",
                                            "HWLOC_CPUID_PATH"};
    const char *vouched = getenv("HWLOC_THISSYSTEM");
    unsigned long flags = HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM;

    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (getenv(elsewhere[i]) && !(vouched && strcmp(vouched, "1") == 0)) {
            say(error, size,
                "%s is set: unset it, or HWLOC_THISSYSTEM=1 if it describes this machine",
                elsewhere[i]);
            return EINVAL;
        }
#if HWLOC_API_VERSION >= 0x00020500
    flags |= HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING;
#endif
    if (hwloc_topology_set_flags(h, flags) != 0) {
        say(error, size, "hwloc refuses its flags: %s", strerror(errno));
        return EINVAL;
    }
    return 0;
}

static int restrict_to_affinity(hwloc_topology_t h)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int e = set ? 0 : ENOMEM;

    /* THREAD: of the caller alone, as sched_getaffinity(0); hwloc sizes the mask. */
    if (!e && hwloc_get_cpubind(h, set, HWLOC_CPUBIND_THREAD) != 0)
        e = errno;
    if (!e && hwloc_topology_restrict(h, set, 0) != 0)
        e = errno;
    hwloc_bitmap_free(set);
    return e;
}

static int load(struct place_topology *t, const char *source, char *error, size_t size)
{
    static const char prefix[] = "synthetic:";
    int e;

    if (!source)
        e = set_this_machine(t->hwloc, error, size);
    else if (strncmp(source, prefix, sizeof prefix - 1) == 0)
        e = set_synthetic(t->hwloc, source + sizeof prefix - 1, error, size);
    else
        e = set_xml(t->hwloc, source, error, size);
    if (e)
        return e;
    if (hwloc_topology_load(t->hwloc) != 0)
        e = errno ? errno : EINVAL;
    else if (!source)
        e = restrict_to_affinity(t->hwloc);
    if (!e)
        e = build_table(t);
    if (e == ENODEV)
        say(error, size, "topology %.120s: no PU that may be used", source ? source : "");
    else if (e && source)
        say(error, size, "topology %.120s: hwloc cannot load it: %s", source, strerror(e));
    else if (e)
        say(error, size, "hwloc cannot read this machine: %s", strerror(e));
    return e;
}

struct place_topology *place_open(const char *source, char *error, size_t size)
{
    struct place_topology *t = calloc(1, sizeof *t);
    /* hwloc reports odd input on stderr by itself; the one line in error is enough. */
    bool quiet = !getenv("HWLOC_HIDE_ERRORS") && setenv("HWLOC_HIDE_ERRORS", "2", 1) == 0;
    bool failed = true;

    if (size > 0)
        *error = '\0';
    if (t)
        t->source = strdup(source ? source : "this machine");
    if (!t || !t->source || hwloc_topology_init(&t->hwloc) != 0) {
        say(error, size, "out of memory");
        goto out;
    }
    t->live = source == NULL;
    failed = load(t, source, error, size) != 0;
out:
    if (quiet)
        unsetenv("HWLOC_HIDE_ERRORS");
    if (failed) {
        place_close(t);
        t = NULL;
    }
    return t;
}

void place_close(struct place_topology *topology)
{
    if (!topology)
        return;
    if (topology->hwloc)
        hwloc_topology_destroy(topology->hwloc);
    free(topology->pus);
    free(topology->source);
    free(topology);
}

bool place_is_this_system(const struct place_topology *topology)
{
    return topology->live;
}

/* ---- XML ------------------------------------------------------------------------------------ */

/* Results are shared; what root can read in DMI tables identifies one board. */
static bool is_private(const char *line, size_t length)
{
    static const char *const ends[] = {"Serial\" ", "SerialNumber\" ", "UUID\" ", "AssetTag\" "};
    const char *start = memmem(line, length, "<info name=\"", 12);
    bool found = false;

    for (size_t i = 0; start && i < sizeof ends / sizeof *ends; i++)
        found |= memmem(start, length - (size_t)(start - line), ends[i], strlen(ends[i])) != NULL;
    return found;
}

char *place_xml(const struct place_topology *topology)
{
    char *buffer = NULL, *xml = NULL, *to;
    int length = 0;

    if (hwloc_topology_export_xmlbuffer(topology->hwloc, &buffer, &length, 0) != 0)
        return NULL;
    xml = to = malloc(strlen(buffer) + 1);
    for (const char *line = buffer; xml && *line;) {
        size_t n = strcspn(line, "\n");
        n += line[n] == '\n';
        if (!is_private(line, n))
            to = mempcpy(to, line, n);
        line += n;
    }
    if (xml)
        *to = '\0';
    hwloc_free_xmlbuffer(topology->hwloc, buffer);
    return xml;
}

const char *place_library_version(void)
{
    static char text[32];
    unsigned v = hwloc_get_api_version();

    snprintf(text, sizeof(text), "%u.%u.%u", v >> 16, v >> 8 & 0xff, v & 0xff);
    return text;
}
