/* stats.c - see stats.h. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

static double per_op(const struct cell_batch *b)
{
    return (double)b->ns / (double)(b->ops ? b->ops : 1);
}

double stats_process_value(const struct cell_batch *batches, int n)
{
    double least = NAN;
    for (int i = 0; i < n; i++)
        if (!(per_op(&batches[i]) >= least)) /* also while least is NAN */
            least = per_op(&batches[i]);
    return least;
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double stats_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double stats_percentile(double *values, size_t n, unsigned p)
{
    qsort(values, n, sizeof *values, ascending);
    return values[(n * p + 99) / 100 - 1];
}

double stats_linearity(const struct cell_batch *batches, int n)
{
    double single = NAN, twice = NAN;
    for (int i = 0; i < n; i++) {
        double *least = i % 2 ? &twice : &single;
        if (!(per_op(&batches[i]) >= *least))
            *least = per_op(&batches[i]);
    }
    bool both = n >= 2 && (double)batches[1].ops > 1.5 * (double)batches[0].ops;
    return both && single > 0 ? twice / single : NAN;
}
