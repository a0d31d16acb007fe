/* hist.c - see hist.h. */
#include "hist.h"
#include "bench.h"

static _Atomic bool gate_open;

unsigned hist_bucket(uint64_t ns)
{
    if (ns < HIST_EXACT)
        return (unsigned)ns;
    unsigned log2 = 63 - (unsigned)__builtin_clzll(ns);
    if (log2 >= HIST_TOP)
        return HIST_BUCKETS - 1;
    return HIST_EXACT + (log2 - 6) * HIST_SUB + (unsigned)((ns >> (log2 - 5)) - HIST_SUB);
}

void hist_bounds(unsigned bucket, uint64_t *low, uint64_t *high)
{
    if (bucket < HIST_EXACT) {
        *low = bucket;
        *high = bucket + 1;
    } else if (bucket >= HIST_BUCKETS - 1) {
        *low = UINT64_C(1) << HIST_TOP;
        *high = INT64_MAX;
    } else {
        unsigned log2 = 6 + (bucket - HIST_EXACT) / HIST_SUB;
        uint64_t step = UINT64_C(1) << (log2 - 5);
        *low = (HIST_SUB + (bucket - HIST_EXACT) % HIST_SUB) * step;
        *high = *low + step;
    }
}

uint64_t hist_count(const struct tl_hist *hist)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        count += atomic_load_explicit(&hist->buckets[i], memory_order_relaxed);
    return count;
}

uint64_t hist_quantile(const struct tl_hist *hist, double q)
{
    uint64_t count = hist_count(hist), seen = 0, low, high;
    uint64_t max = atomic_load_explicit(&hist->max, memory_order_relaxed);
    if (count == 0)
        return 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += atomic_load_explicit(&hist->buckets[i], memory_order_relaxed);
        if ((double)seen >= q * (double)count && seen > 0) {
            hist_bounds(i, &low, &high);
            return high - 1 < max ? high - 1 : max;
        }
    }
    return max;
}

void hist_gate(bool open)
{
    atomic_store_explicit(&gate_open, open, memory_order_relaxed);
}

void tl_record(struct tl_hist *hist, uint64_t ns)
{
    if (!atomic_load_explicit(&gate_open, memory_order_relaxed))
        return;
    atomic_fetch_add_explicit(&hist->buckets[hist_bucket(ns)], 1, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&hist->max, memory_order_relaxed);
    while (ns > max && !atomic_compare_exchange_weak_explicit(
                           &hist->max, &max, ns, memory_order_relaxed, memory_order_relaxed))
        ;
}
