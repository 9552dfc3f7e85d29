/* metrics_test.c - accuracy, NMI and ARI against recorded labellings, runs, and cases by hand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/score/metrics.h"
#include "tests/support/golden.h"

#define U 0x1p-53 /* half an ulp of 1 */

enum { ACC, MEAN_CLASS_ACC, NMI, ARI, SCORES };

static bool near(double a, double b, double lim) {
    return fabs(a - b) <= lim;
}

/* Accuracy is a quotient of two integers: equal. The others, including the recorded values' own
 * rounding:
 *   mean class accuracy   D quotients of at most 1 added, here and there: (2D + 8) u
 *   NMI   a logarithm of at most L = 2 ln n in size, with rounded argument and factors, 5 u L here;
 *         three logarithms and their sums there, 30 u L; D sums of D terms here, 2 D u of the
 *         result; all over sqrt(H H) >= 0.5, which holds for every case: (2D + 160 ln n) u
 *   ARI   integers below 2^53, products of which each is at most the denominator: 8 u here, 3 u
 *         there, taken as 12 u */
static void expect_scores(const Metrics *m, const double *recorded, bool unique, const char *name) {
    const double D = (double)(m->clusters > m->classes ? m->clusters : m->classes),
                 n = (double)m->samples;
    cr_expect(m->cluster_acc == recorded[ACC], "%s: accuracy %.17g, recorded %.17g", name,
              m->cluster_acc, recorded[ACC]);
    if (unique)
        cr_expect(near(m->mean_class_acc, recorded[MEAN_CLASS_ACC], (2 * D + 8) * U),
                  "%s: mean class accuracy %.17g, recorded %.17g", name, m->mean_class_acc,
                  recorded[MEAN_CLASS_ACC]);
    cr_expect(near(m->nmi, recorded[NMI], (2 * D + 160 * log(n)) * U),
              "%s: NMI %.17g, recorded %.17g", name, m->nmi, recorded[NMI]);
    cr_expect(near(m->ari, recorded[ARI], 12 * U), "%s: ARI %.17g, recorded %.17g", name, m->ari,
              recorded[ARI]);
}

/* class_of has every class once at most, and the table under it holds the matched samples. */
static void expect_consistent(const Metrics *m, const char *name) {
    bool *used = calloc((size_t)m->classes, sizeof *used);
    int64_t matched = 0, samples = 0;
    for (int64_t c = 0; c < m->clusters; c++) {
        const int64_t class = m->class_of[c];
        cr_assert(class >= -1 && class < m->classes, "%s: cluster %d", name, (int)c);
        cr_assert(class < 0 || !used[class], "%s: cluster %d", name, (int)c);
        if (class >= 0) used[class] = true;
    }
    for (int64_t i = 0; i < m->cells; i++) {
        const MetricsCell *e = &m->cell[i], *before = i ? e - 1 : NULL;
        cr_assert(e->samples > 0 && (!before || before->cluster < e->cluster ||
                                     (before->cluster == e->cluster && before->class < e->class)));
        if (m->class_of[e->cluster] == e->class) matched += e->samples;
        samples += e->samples;
    }
    cr_expect(matched == m->matched && samples == m->samples, "%s", name);
    free(used);
}

static int64_t *widened(const int16_t *ids, int64_t n) {
    int64_t *out = malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++) out[i] = ids[i];
    return out;
}

Test(metrics, recorded_labellings, .timeout = 60) {
    enum { CASES = 30, N = 0, IDS, MATCHED, FOUND, UNIQUE, FIELDS, ALL = 152754 };
    const int64_t *cases = golden("metrics/cases.npy", DTYPE_I64, CASES * FIELDS);
    const double *scores = golden("metrics/scores.npy", DTYPE_F64, CASES * SCORES);
    int64_t *clusters = widened(golden("metrics/clusters.npy", DTYPE_I16, ALL), ALL);
    int64_t *classes = widened(golden("metrics/classes.npy", DTYPE_I16, ALL), ALL);
    int64_t first = 0;
    for (int c = 0; c < CASES; c++) {
        const int64_t *k = cases + c * FIELDS;
        char name[32];
        Metrics m;
        Error err;
        snprintf(name, sizeof name, "case %d", c);
        cr_assert(first + k[N] <= ALL);
        cr_assert(metrics_compute(&m, clusters + first, classes + first, k[N], &err) == OK, "%s",
                  err.text);
        const int64_t ids = m.clusters > m.classes ? m.clusters : m.classes;
        cr_expect(m.samples == k[N] && m.unlabelled == 0 && ids == k[IDS] &&
                      m.matched == k[MATCHED] && m.clusters_found == k[FOUND],
                  "%s: %d ids, %d matched, %d clusters", name, (int)ids, (int)m.matched,
                  (int)m.clusters_found);
        expect_scores(&m, scores + c * SCORES, k[UNIQUE], name);
        expect_consistent(&m, name);
        metrics_free(&m);
        first += k[N];
    }
    cr_expect(first == ALL);
    free(clusters);
    free(classes);
}

Test(metrics, recorded_runs) {
    enum { RUNS = 13, N = 2000, C = 10 };
    const int8_t *predicted = golden("metrics/run_clusters.npy", DTYPE_I8, RUNS * N);
    const double *scores = golden("metrics/run_scores.npy", DTYPE_F64, RUNS * SCORES);
    const int64_t *sizes = golden("metrics/run_sizes.npy", DTYPE_I64, RUNS * C);
    int64_t clusters[N], classes[N];
    Npy labels;
    Error err;
    cr_assert(npy_open(&labels, TURTLE_BUILD "/data/demo/labels/mnist_val.npy", &err) == OK, "%s",
              err.text);
    cr_assert(npy_read_i64(&labels, 0, N, classes, &err) == OK, "%s", err.text);
    npy_close(&labels);
    for (int r = 0; r < RUNS; r++) {
        char name[32];
        Metrics m;
        snprintf(name, sizeof name, "run %d", r);
        for (int i = 0; i < N; i++) clusters[i] = predicted[r * N + i];
        cr_assert(metrics_compute(&m, clusters, classes, N, &err) == OK, "%s", err.text);
        expect_scores(&m, scores + r * SCORES, true, name);
        expect_consistent(&m, name);
        cr_expect(m.clusters == C && m.classes == C);
        for (int c = 0; c < C; c++) {
            int64_t size = 0;
            for (int64_t i = 0; i < m.cells; i++)
                size += m.cell[i].cluster == c ? m.cell[i].samples : 0;
            cr_expect(size == sizes[r * C + c], "%s: cluster %d has %d", name, c, (int)size);
        }
        metrics_free(&m);
    }
}

/* Three clusters, two classes:   2 0   The best matching keeps the first and the last cluster;
 *                                1 1   the middle one matches nothing.
 *                                0 2
 * Pairs, both orders: together in both 4, in clusters only 2, in classes only 8, in neither 16.
 * I = ln 2 - (1/3) ln 2. */
Test(metrics, more_clusters_than_classes) {
    static const int64_t clusters[] = {0, 0, 1, 1, 2, 2}, classes[] = {0, 0, 0, 1, 1, 1};
    Metrics m;
    cr_assert(metrics_compute(&m, clusters, classes, 6, NULL) == OK);
    cr_expect(m.clusters == 3 && m.classes == 2 && m.matched == 4 && m.clusters_found == 3);
    cr_expect(m.class_of[0] == 0 && m.class_of[1] == -1 && m.class_of[2] == 1);
    static const MetricsCell table[] = {{0, 0, 2}, {1, 0, 1}, {1, 1, 1}, {2, 1, 2}};
    cr_expect(m.cells == 4 && memcmp(m.cell, table, sizeof table) == 0);
    cr_expect(near(m.cluster_acc, 2.0 / 3, 2 * U) && near(m.mean_class_acc, 2.0 / 3, 4 * U));
    cr_expect(near(m.nmi, 2.0 / 3 * log(2) / sqrt(log(2) * log(3)), 16 * U), "%.17g", m.nmi);
    cr_expect(near(m.ari, 8.0 / 33, 12 * U), "%.17g", m.ari);
    metrics_free(&m);
    /* the other way round one class is never matched */
    cr_assert(metrics_compute(&m, classes, clusters, 6, NULL) == OK);
    cr_expect(m.clusters == 2 && m.classes == 3 && m.matched == 4 && m.clusters_found == 2);
    cr_expect(near(m.mean_class_acc, (1 + 0 + 1) / 3.0, 4 * U), "%.17g", m.mean_class_acc);
    metrics_free(&m);
}

Test(metrics, one_cluster_or_one_class) {
    static const int64_t one[] = {3, 3, 3, 3}, two[] = {0, 1, 1, 1};
    Metrics m;
    cr_assert(metrics_compute(&m, one, one, 4, NULL) == OK);
    cr_expect(m.cluster_acc == 1 && m.mean_class_acc == 1 && m.nmi == 1 && m.ari == 1);
    metrics_free(&m);
    cr_assert(metrics_compute(&m, one, two, 4, NULL) == OK);
    cr_expect(m.cluster_acc == 0.75 && m.mean_class_acc == 0.5 && m.nmi == 0 && m.ari == 0);
    metrics_free(&m);
    cr_assert(metrics_compute(&m, two, one, 4, NULL) == OK);
    cr_expect(m.cluster_acc == 0.75 && m.mean_class_acc == 0.75 && m.nmi == 0 && m.ari == 0);
    metrics_free(&m);
}

static void expect_refused(const int64_t *clusters, const int64_t *classes, int64_t n,
                           const char *words) {
    Metrics m;
    Error err = {""};
    memset(&m, 0xff, sizeof m);
    cr_expect(metrics_compute(&m, clusters, classes, n, &err) == ERR_ARG);
    cr_expect(strstr(err.text, words) != NULL, "%s", err.text);
    cr_expect(!m.cell && !m.class_of && m.samples == 0);
    metrics_free(&m);
}

Test(metrics, bad_ids_are_refused) {
    static const int64_t good[] = {0, 1, 2}, negative[] = {0, 1, -1},
                         huge[] = {0, METRICS_MAX_IDS, 1};
    static const int64_t least[] = {INT64_MIN, 0, 0}, most[] = {0, 0, INT64_MAX};
    expect_refused(negative, good, 3, "cluster of sample 2: ");
    expect_refused(good, huge, 3, "got 2147483648");
    expect_refused(least, good, 3, "cluster of sample 0: ");
    expect_refused(good, most, 3, "class of sample 2: ");
    expect_refused(good, good, 0, "expected samples, got 0");
    expect_refused(good, good, -1, "expected samples, got -1");
    cr_expect(metrics_compute(&(Metrics){0}, good, huge, 3, NULL) == ERR_ARG);
}

Test(metrics, free_takes_null_and_twice) {
    static const int64_t ids[] = {0, 1};
    Metrics m;
    cr_assert(metrics_compute(&m, ids, ids, 2, NULL) == OK);
    metrics_free(&m);
    metrics_free(&m);
    metrics_free(NULL);
    cr_expect(!m.cell);
}
