/* metrics.c - accuracy after matching, mutual information and Rand index of a labelling. */
#include "metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hungarian.h"

static Status check_ids(const char *kind, const int64_t *ids, int64_t n, int64_t *D, Error *err) {
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= METRICS_MAX_IDS)
            return fail(err, ERR_ARG,
                        "metrics: %s of sample %lld: expected an id of 0 .. %d, got %lld; "
                        "number them from 0 without gaps",
                        kind, (long long)i, METRICS_MAX_IDS - 1, (long long)ids[i]);
        if (ids[i] >= *D) *D = ids[i] + 1;
    }
    return OK;
}

/* The accuracies of the matching in class_of. */
static void score_matching(Metrics *m, const int64_t *class_sizes) {
    int64_t present = 0;
    double shares = 0;
    m->matched = 0;
    for (int64_t cluster = 0; cluster < m->D; cluster++) {
        const int64_t class = m->class_of[cluster];
        const int64_t matched = m->confusion[cluster * m->D + class];
        if (class_sizes[class] == 0) continue;
        m->matched += matched;
        shares += (double)matched / (double)class_sizes[class];
        present++;
    }
    m->cluster_acc = (double)m->matched / (double)m->samples;
    m->mean_class_acc = shares / (double)present;
}

/* H = sum_i p_i ln(1 / p_i), nats. */
static double entropy(const int64_t *sizes, int64_t D, double n) {
    double H = 0;
    for (int64_t i = 0; i < D; i++)
        if (sizes[i]) H += (double)sizes[i] / n * log(n / (double)sizes[i]);
    return H;
}

static double normalised_mutual_information(const Metrics *m, const int64_t *cluster_sizes,
                                            const int64_t *class_sizes) {
    const double n = (double)m->samples;
    const double H_clusters = entropy(cluster_sizes, m->D, n);
    const double H_classes = entropy(class_sizes, m->D, n);
    if (H_clusters == 0 && H_classes == 0) return 1;
    if (H_clusters == 0 || H_classes == 0) return 0;
    double information = 0; /* I = sum p_ij ln(p_ij / (p_i p_j)) */
    for (int64_t i = 0; i < m->D; i++) {
        double of_cluster = 0; /* rounding then grows with D, not with its square */
        for (int64_t j = 0; j < m->D; j++) {
            const double both = (double)m->confusion[i * m->D + j];
            const double by_chance = (double)cluster_sizes[i] * (double)class_sizes[j] / n;
            if (both > 0) of_cluster += both / n * log(both / by_chance);
        }
        information += of_cluster;
    }
    return fmin(fmax(information / sqrt(H_clusters * H_classes), 0), 1);
}

/* From the pairs of samples that both labellings join (tp), both part (tn), or only one joins; each
 * counted in both orders. Sums are exact below 2^53, for n up to 94 million. */
static double adjusted_rand_index(const Metrics *m, const int64_t *cluster_sizes,
                                  const int64_t *class_sizes) {
    double in_both = 0, in_cluster = 0, in_class = 0;
    const double n = (double)m->samples;
    for (int64_t i = 0; i < m->D; i++) {
        in_cluster += (double)cluster_sizes[i] * (double)cluster_sizes[i];
        in_class += (double)class_sizes[i] * (double)class_sizes[i];
    }
    for (int64_t k = 0; k < m->D * m->D; k++)
        in_both += (double)m->confusion[k] * (double)m->confusion[k];
    const double tp = in_both - n, fp = in_cluster - in_both, fn = in_class - in_both;
    const double tn = n * n - in_both - fp - fn;
    if (fp == 0 && fn == 0) return 1;
    return 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn));
}

Status metrics_compute(Metrics *out, const int64_t *clusters, const int64_t *classes, int64_t n,
                       Error *err) {
    memset(out, 0, sizeof *out);
    if (n < 1) return fail(err, ERR_ARG, "metrics: expected samples, got %lld", (long long)n);
    Metrics m = {.samples = n, .D = 1};
    int64_t *cluster_sizes = NULL, *class_sizes = NULL;
    Status st = check_ids("cluster", clusters, n, &m.D, err);
    if (st == OK) st = check_ids("class", classes, n, &m.D, err);
    if (st != OK) return st;

    m.confusion = calloc((size_t)(m.D * m.D), sizeof *m.confusion);
    m.class_of = malloc((size_t)m.D * sizeof *m.class_of);
    cluster_sizes = calloc((size_t)m.D, sizeof *cluster_sizes);
    class_sizes = calloc((size_t)m.D, sizeof *class_sizes);
    if (!m.confusion || !m.class_of || !cluster_sizes || !class_sizes) {
        st = fail(err, ERR_MEMORY, "metrics: no memory for a table of %lld x %lld ids",
                  (long long)m.D, (long long)m.D);
        goto out;
    }
    for (int64_t i = 0; i < n; i++) {
        m.confusion[clusters[i] * m.D + classes[i]]++;
        cluster_sizes[clusters[i]]++;
        class_sizes[classes[i]]++;
    }
    for (int64_t c = 0; c < m.D; c++) m.clusters_found += cluster_sizes[c] > 0;
    st = hungarian_i64(m.confusion, m.D, m.D, true, m.class_of, NULL, err);
    if (st != OK) goto out;
    score_matching(&m, class_sizes);
    m.nmi = normalised_mutual_information(&m, cluster_sizes, class_sizes);
    m.ari = adjusted_rand_index(&m, cluster_sizes, class_sizes);
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
    free(m->confusion);
    free(m->class_of);
    memset(m, 0, sizeof *m);
}
