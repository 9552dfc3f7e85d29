/* metrics.c - accuracy after matching, mutual information and Rand index of a labelling. */
#include "host/score/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/score/hungarian.h"
#include "host/score/matching.h"

enum { DENSE = 1 << 22 }; /* entries of a table that is laid out whole: 32 MiB, 2048 x 2048 */

/* --- the contingency table -------------------------------------------------------------------- */

static Status check_ids(Metrics *m, const int64_t *clusters, const int64_t *classes, int64_t n,
                        Error *err) {
    for (int64_t i = 0; i < n; i++) {
        const bool bad_cluster = clusters[i] < 0 || clusters[i] >= METRICS_MAX_IDS;
        if (bad_cluster || classes[i] >= METRICS_MAX_IDS)
            return fail(err, ERR_ARG,
                        "metrics: %s of sample %lld: expected an id of 0 .. %lld, got %lld; "
                        "number them from 0 without gaps",
                        bad_cluster ? "cluster" : "class", (long long)i,
                        (long long)METRICS_MAX_IDS - 1,
                        (long long)(bad_cluster ? clusters[i] : classes[i]));
        if (classes[i] < 0) continue;
        m->samples++;
        if (clusters[i] >= m->clusters) m->clusters = clusters[i] + 1;
        if (classes[i] >= m->classes) m->classes = classes[i] + 1;
    }
    m->unlabelled = n - m->samples;
    return OK;
}

static void add_sample(Metrics *m, int64_t cluster, int64_t class, int64_t samples) {
    MetricsCell *last = m->cells ? &m->cell[m->cells - 1] : NULL;
    if (last && last->cluster == cluster && last->class == class) last->samples += samples;
    else m->cell[m->cells++] = (MetricsCell){cluster, class, samples};
}

/* Counts in a table that is laid out whole, and matches in it. */
static Status count_dense(Metrics *m, const int64_t *clusters, const int64_t *classes, int64_t n,
                          Error *err) {
    const int64_t Q = m->classes, entries = m->clusters * Q;
    int64_t *table = calloc((size_t)entries, sizeof *table), filled = 0;
    if (!table) return fail(err, ERR_MEMORY, "metrics: out of memory");
    for (int64_t i = 0; i < n; i++)
        if (classes[i] >= 0) table[clusters[i] * Q + classes[i]]++;
    for (int64_t e = 0; e < entries; e++) filled += table[e] > 0;
    m->cell = malloc((size_t)(filled + 1) * sizeof *m->cell);
    for (int64_t e = 0; m->cell && e < entries; e++)
        if (table[e]) add_sample(m, e / Q, e % Q, table[e]);
    const Status st = m->cell ? hungarian_i64(table, m->clusters, Q, true, m->class_of, NULL, err)
                              : fail(err, ERR_MEMORY, "metrics: out of memory");
    free(table);
    return st;
}

/* Orders samples by ids, equal ones in the order that `from` has (NULL: 0, 1, ...). */
static void sort_by(int64_t *order, int64_t *begin, const int64_t *ids, int64_t count,
                    const int64_t *from, const int64_t *classes, int64_t n) {
    memset(begin, 0, (size_t)(count + 1) * sizeof *begin);
    for (int64_t i = 0; i < n; i++)
        if (classes[i] >= 0) begin[ids[i] + 1]++;
    for (int64_t c = 0; c < count; c++) begin[c + 1] += begin[c];
    for (int64_t i = 0; i < n; i++) {
        const int64_t sample = from ? from[i] : i;
        if (classes[sample] >= 0) order[begin[ids[sample]]++] = sample;
    }
}

/* Lists the entries that are not zero, from samples sorted by class, then by cluster. */
static Status count_sparse(Metrics *m, const int64_t *clusters, const int64_t *classes, int64_t n,
                           Error *err) {
    const int64_t ids = m->clusters > m->classes ? m->clusters : m->classes;
    int64_t *begin = malloc((size_t)(ids + 1) * sizeof *begin);
    int64_t *by_class = calloc((size_t)n, sizeof *by_class);
    int64_t *order = calloc((size_t)n, sizeof *order);
    m->cell = malloc((size_t)m->samples * sizeof *m->cell);
    const bool whole = begin && by_class && order && m->cell;
    if (whole) {
        for (int64_t i = 0, unknown = m->samples; i < n; i++)
            if (classes[i] < 0) by_class[unknown++] = i; /* behind all others */
        sort_by(by_class, begin, classes, m->classes, NULL, classes, n);
        sort_by(order, begin, clusters, m->clusters, by_class, classes, n);
        for (int64_t i = 0; i < m->samples; i++)
            add_sample(m, clusters[order[i]], classes[order[i]], 1);
    }
    free(begin);
    free(by_class);
    free(order);
    return whole ? OK : fail(err, ERR_MEMORY, "metrics: out of memory");
}

static Status match_sparse(Metrics *m, Error *err) {
    int64_t *begin = calloc((size_t)m->clusters + 1, sizeof *begin);
    int64_t *col = malloc((size_t)m->cells * sizeof *col);
    int64_t *weight = malloc((size_t)m->cells * sizeof *weight);
    Status st = begin && col && weight ? OK : fail(err, ERR_MEMORY, "metrics: out of memory");
    for (int64_t i = 0; st == OK && i < m->cells; i++) {
        begin[m->cell[i].cluster + 1]++;
        col[i] = m->cell[i].class;
        weight[i] = m->cell[i].samples;
    }
    for (int64_t c = 0; st == OK && c < m->clusters; c++) begin[c + 1] += begin[c];
    const SparseTable table = {m->clusters, m->classes, begin, col, weight};
    if (st == OK) st = matching_greatest(&table, m->class_of, err);
    free(begin);
    free(col);
    free(weight);
    return st;
}

/* --- scores ----------------------------------------------------------------------------------- */

/* Computes the accuracies of the matching in class_of. */
static void score_matching(Metrics *m, const int64_t *class_sizes) {
    double shares = 0;
    m->matched = 0;
    for (int64_t i = 0; i < m->cells; i++) {
        const MetricsCell *e = &m->cell[i];
        if (m->class_of[e->cluster] != e->class) continue;
        m->matched += e->samples;
        shares += (double)e->samples / (double)class_sizes[e->class];
    }
    m->cluster_acc = (double)m->matched / (double)m->samples;
    m->mean_class_acc = shares / (double)m->classes_found;
}

/* Returns H = sum_i p_i ln(1 / p_i), in nats. */
static double entropy(const int64_t *sizes, int64_t D, double n) {
    double H = 0;
    for (int64_t i = 0; i < D; i++)
        if (sizes[i]) H += (double)sizes[i] / n * log(n / (double)sizes[i]);
    return H;
}

static double normalised_mutual_information(const Metrics *m, const int64_t *cluster_sizes,
                                            const int64_t *class_sizes) {
    const double n = (double)m->samples;
    const double H_clusters = entropy(cluster_sizes, m->clusters, n);
    const double H_classes = entropy(class_sizes, m->classes, n);
    if (H_clusters == 0 && H_classes == 0) return 1;
    if (H_clusters == 0 || H_classes == 0) return 0;
    double information = 0; /* I = sum p_ij ln(p_ij / (p_i p_j)) */
    for (int64_t i = 0; i < m->cells;) {
        const int64_t cluster = m->cell[i].cluster;
        double of_cluster = 0; /* rounding then grows with the ids, not with the cells */
        for (; i < m->cells && m->cell[i].cluster == cluster; i++) {
            const double both = (double)m->cell[i].samples;
            const double by_chance =
                (double)cluster_sizes[cluster] * (double)class_sizes[m->cell[i].class] / n;
            of_cluster += both / n * log(both / by_chance);
        }
        information += of_cluster;
    }
    return fmin(fmax(information / sqrt(H_clusters * H_classes), 0), 1);
}

static double sum_of_squares(const int64_t *sizes, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)sizes[i] * (double)sizes[i];
    return sum;
}

/* Returns the index from the pairs of samples that both labellings join (tp), both part (tn), or
 * only one joins; each pair is counted in both orders. Sums are exact below 2^53, for n up to 94
 * million. */
static double adjusted_rand_index(const Metrics *m, const int64_t *cluster_sizes,
                                  const int64_t *class_sizes) {
    double in_both = 0;
    const double n = (double)m->samples;
    const double in_cluster = sum_of_squares(cluster_sizes, m->clusters);
    const double in_class = sum_of_squares(class_sizes, m->classes);
    for (int64_t i = 0; i < m->cells; i++)
        in_both += (double)m->cell[i].samples * (double)m->cell[i].samples;
    const double tp = in_both - n, fp = in_cluster - in_both, fn = in_class - in_both;
    const double tn = n * n - in_both - fp - fn;
    if (fp == 0 && fn == 0) return 1;
    return 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn));
}

Status metrics_compute(Metrics *out, const int64_t *clusters, const int64_t *classes, int64_t n,
                       Error *err) {
    memset(out, 0, sizeof *out);
    if (n < 1) return fail(err, ERR_ARG, "metrics: expected samples, got %lld", (long long)n);
    Metrics m = {.cluster_acc = NAN, .mean_class_acc = NAN, .nmi = NAN, .ari = NAN};
    int64_t *cluster_sizes = NULL, *class_sizes = NULL;
    Status st = check_ids(&m, clusters, classes, n, err);
    if (st != OK) return st;
    if (m.samples == 0) goto done;

    m.class_of = malloc((size_t)m.clusters * sizeof *m.class_of);
    cluster_sizes = calloc((size_t)m.clusters, sizeof *cluster_sizes);
    class_sizes = calloc((size_t)m.classes, sizeof *class_sizes);
    if (!m.class_of || !cluster_sizes || !class_sizes) {
        st = fail(err, ERR_MEMORY, "metrics: no memory for %lld clusters and %lld classes",
                  (long long)m.clusters, (long long)m.classes);
        goto out;
    }
    if (m.clusters <= DENSE / m.classes) {
        st = count_dense(&m, clusters, classes, n, err);
    } else {
        st = count_sparse(&m, clusters, classes, n, err);
        if (st == OK) st = match_sparse(&m, err);
    }
    if (st != OK) goto out;
    for (int64_t i = 0; i < m.cells; i++) {
        cluster_sizes[m.cell[i].cluster] += m.cell[i].samples;
        class_sizes[m.cell[i].class] += m.cell[i].samples;
    }
    for (int64_t c = 0; c < m.clusters; c++) m.clusters_found += cluster_sizes[c] > 0;
    for (int64_t c = 0; c < m.classes; c++) m.classes_found += class_sizes[c] > 0;
    score_matching(&m, class_sizes);
    m.nmi = normalised_mutual_information(&m, cluster_sizes, class_sizes);
    m.ari = adjusted_rand_index(&m, cluster_sizes, class_sizes);
done:
    *out = m;
    m = (Metrics){0}; /* ownership moved to *out */
out:
    metrics_free(&m);
    free(cluster_sizes);
    free(class_sizes);
    return st;
}

void metrics_free(Metrics *m) {
    if (!m) return;
    free(m->cell);
    free(m->class_of);
    memset(m, 0, sizeof *m);
}
