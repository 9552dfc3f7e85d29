/* choose.c - which samples a page shows: typical and doubtful ones, and a fixed sample for the plane. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"

enum {
    DOUBTFUL_WHOLE = 48, /* doubtful samples of the whole run */
    PLANE_ROWS = 20000,  /* rows that the plane is computed of, at most */
    LEAST_MOST = 48      /* least margins that are kept of a group */
};

/* A cluster shows so much of itself; the first row that fits the budget is taken. */
static const struct {
    int per_cluster, side;
} plans[] = {{12, 96}, {12, 80}, {12, 64}, {8, 64}, {6, 64}, {6, 48},
             {4, 48},  {3, 48},  {2, 48},  {2, 32}, {1, 32}, {0, 32}};

/* --- order ---------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t cluster, row;
    float confidence;
} Ranked;

static int by_rank(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->cluster != y->cluster) return x->cluster < y->cluster ? -1 : 1;
    if (x->confidence != y->confidence) return x->confidence > y->confidence ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Returns a number that can be compared: what is no number is the least confident. */
static float comparable(float x) {
    return isnan(x) ? -1.0f : x;
}

/* Orders all rows by cluster, most confident first; sums up sizes and confidences. */
static Status order_rows(Gather *g, Error *err) {
    const Labelling *f = &g->found;
    const int64_t n = f->n, C = g->out->classes;
    Ranked *ranked = malloc((size_t)n * sizeof *ranked);
    g->order = malloc((size_t)n * sizeof *g->order);
    g->begin = calloc((size_t)C + 1, sizeof *g->begin);
    double *sum = calloc((size_t)C, sizeof *sum);
    const bool ok = ranked && g->order && g->begin && sum;
    for (int64_t i = 0; ok && i < n; i++) {
        ranked[i] = (Ranked){f->cluster[i], i, comparable(f->confidence[i])};
        g->begin[f->cluster[i] + 1]++;
        sum[f->cluster[i]] += (double)f->confidence[i];
    }
    if (ok) qsort(ranked, (size_t)n, sizeof *ranked, by_rank);
    for (int64_t i = 0; ok && i < n; i++) g->order[i] = ranked[i].row;
    for (int64_t c = 0; ok && c < C; c++) {
        ReportCluster *cluster = &g->out->clusters[c];
        cluster->size = g->begin[c + 1];
        cluster->mean_confidence = cluster->size ? sum[c] / (double)cluster->size : NAN;
        g->begin[c + 1] += g->begin[c];
    }
    free(sum);
    free(ranked);
    return ok ? OK : fail(err, ERR_MEMORY, "report: out of memory for %lld samples", (long long)n);
}

/* --- the least margins ---------------------------------------------------------------------------------- */

/* The rows of least margin of a group, ascending; among equals the lower row comes first. */
typedef struct {
    float margin[LEAST_MOST];
    int64_t row[LEAST_MOST];
    int count;
} Least;

static void least_add(Least *l, int most, int64_t row, float margin) {
    int at = l->count;
    if (isnan(margin) || (at == most && !(margin < l->margin[at - 1]))) return;
    if (at == most) at--;
    else l->count++;
    for (; at > 0 && margin < l->margin[at - 1]; at--) {
        l->margin[at] = l->margin[at - 1];
        l->row[at] = l->row[at - 1];
    }
    l->margin[at] = margin;
    l->row[at] = row;
}

/* --- samples -------------------------------------------------------------------------------------------- */

int64_t report_sample(Gather *g, int64_t row) {
    Report *r = g->out;
    if (g->sample_of[row] >= 0) return g->sample_of[row];
    if (r->sample_count == g->sample_capacity) {
        const int64_t room = 2 * g->sample_capacity + 1024;
        ReportSample *more = room <= INT32_MAX ? report_take(g->memory, room, sizeof *more) : NULL;
        if (!more) return -1;
        if (r->samples) memcpy(more, r->samples, (size_t)r->sample_count * sizeof *more);
        r->samples = more;
        g->sample_capacity = room;
    }
    const Labelling *f = &g->found;
    r->samples[r->sample_count] = (ReportSample){.row = row,
                                                 .cluster = f->cluster[row],
                                                 .second = -1,
                                                 .label = g->y ? g->y[row] : -1,
                                                 .confidence = f->confidence[row],
                                                 .margin = f->margin[row],
                                                 .x = NAN,
                                                 .y = NAN};
    return g->sample_of[row] = (int32_t)r->sample_count++;
}

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "report: out of memory for the samples that are shown");
}

/* Chooses the typical samples of a cluster, and of the others the most doubtful ones. */
static Status choose_cluster(Gather *g, int64_t c, const Least *least, Error *err) {
    ReportCluster *cluster = &g->out->clusters[c];
    const int want = g->per_cluster;
    const int typical = cluster->size < want ? (int)cluster->size : want;
    int64_t *chosen = report_take(g->memory, 2 * (int64_t)want, sizeof *chosen);
    if (!chosen) return out_of_memory(err);
    const int64_t *rows = g->order + g->begin[c];
    for (int i = 0; i < typical; i++)
        if ((chosen[i] = report_sample(g, rows[i])) < 0) return out_of_memory(err);
    int doubtful = 0;
    for (int i = 0; i < least->count && doubtful < want; i++) {
        bool shown = false;
        for (int t = 0; t < typical; t++) shown |= rows[t] == least->row[i];
        if (shown) continue;
        const int64_t s = report_sample(g, least->row[i]);
        if (s < 0) return out_of_memory(err);
        chosen[typical + doubtful++] = s;
    }
    cluster->typical = chosen;
    cluster->typical_count = typical;
    cluster->doubtful = chosen + typical;
    cluster->doubtful_count = doubtful;
    return OK;
}

static Status choose_clusters(Gather *g, Error *err) {
    const Labelling *f = &g->found;
    const int64_t C = g->out->classes;
    Least *least = calloc((size_t)C, sizeof *least), whole = {.count = 0};
    if (!least) return out_of_memory(err);
    const int most = 2 * g->per_cluster;
    for (int64_t i = 0; i < f->n; i++) {
        if (most) least_add(&least[f->cluster[i]], most, i, f->margin[i]);
        least_add(&whole, DOUBTFUL_WHOLE, i, f->margin[i]);
    }
    Status st = OK;
    for (int64_t c = 0; st == OK && c < C; c++) st = choose_cluster(g, c, &least[c], err);
    free(least);
    Report *r = g->out;
    r->doubtful = report_take(g->memory, whole.count, sizeof *r->doubtful);
    if (st == OK && !r->doubtful) st = out_of_memory(err);
    for (int i = 0; st == OK && i < whole.count; i++, r->doubtful_count++)
        if ((r->doubtful[i] = report_sample(g, whole.row[i])) < 0) st = out_of_memory(err);
    return st;
}

/* --- the plane ------------------------------------------------------------------------------------------ */

/* Returns the next number of a fixed stream (splitmix64), as a share in [0, 1). */
static double draw(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* Writes m of 0 .. n-1, ascending, each set with the same chance (Knuth, volume 2, algorithm S). */
static void draw_rows(int64_t *out, int64_t m, int64_t n, uint64_t seed) {
    uint64_t state = seed;
    for (int64_t i = 0, k = 0; k < m; i++)
        if ((double)(n - i) * draw(&state) < (double)(m - k)) out[k++] = i;
}

static Status choose_plane(Gather *g, Error *err) {
    Report *r = g->out;
    const int64_t n = g->found.n;
    g->planes = n < PLANE_ROWS ? n : PLANE_ROWS;
    g->plane = calloc((size_t)g->planes, sizeof *g->plane);
    const int64_t dots = g->planes < REPORT_SCATTER ? g->planes : REPORT_SCATTER;
    r->scatter = report_take(g->memory, dots, sizeof *r->scatter);
    if (!g->plane || !r->scatter) return out_of_memory(err);
    if (g->planes < n)
        report_say(
            g,
            "The plane is computed of %lld samples and shows %lld of them, drawn evenly from "
            "all %lld.",
            (long long)g->planes, (long long)dots, (long long)n);
    draw_rows(g->plane, g->planes, n, 1);
    draw_rows(r->scatter, dots, g->planes, 2);
    for (int64_t i = 0; i < dots; i++, r->scatter_count++)
        if ((r->scatter[i] = report_sample(g, g->plane[r->scatter[i]])) < 0)
            return out_of_memory(err);
    return OK;
}

/* --- how much ------------------------------------------------------------------------------------------- */

int64_t names_that_fit(const Gather *g, double bytes) {
    const double name = (double)g->found.name_bytes / (double)g->found.n + 14.0;
    int64_t least = 0, most = REPORT_NAMES;
    while (least < most) {
        const int64_t middle = (least + most + 1) / 2;
        double all = 0.0;
        for (int64_t c = 0; c < g->out->classes; c++) {
            const int64_t size = g->out->clusters[c].size;
            all += name * (double)(size < middle ? size : middle);
        }
        if (all <= bytes) least = middle;
        else most = middle - 1;
    }
    return least;
}

/* Decides how many names, samples and pixels the page has. A picture takes about a quarter of a byte a
 * pixel and 650 bytes of tables, a third more in base64, and its name twice in the text around it. */
static void choose_amounts(Gather *g) {
    enum { PLANS = sizeof plans / sizeof *plans, OTHERS = DOUBTFUL_WHOLE + 72 };
    const double C = (double)g->out->classes, budget = (double)g->budget;
    const double text = 330.0 + 2.0 * (double)g->found.name_bytes / (double)g->found.n;
    g->names = names_that_fit(g, budget); /* until fit_names knows how large the pictures are */
    const bool pictures = g->run.images || g->run.dataset; /* else nobody knows where they are */
    int p = 0;
    for (; p < PLANS - 1; p++) {
        const double jpeg = 650.0 + 0.25 * plans[p].side * plans[p].side;
        const double picture = pictures ? jpeg * 4 / 3 + text : text / 2;
        const double samples =
            2 * C * plans[p].per_cluster + OTHERS; /* the plane takes what is left */
        if (fmin(samples, (double)g->found.n) * picture <= 0.7 * budget) break;
    }
    g->per_cluster = plans[p].per_cluster;
    g->side = plans[p].side;
    char pixels[64] = "";
    if (pictures) snprintf(pixels, sizeof pixels, ", %d pixels wide or high", g->side);
    if (p && g->per_cluster == 0)
        report_say(g,
                   "There are %lld clusters, so that the page shows no samples of each, to stay "
                   "below %.6g MB.",
                   (long long)g->out->classes, (double)g->budget / 1e6);
    else if (p)
        report_say(g,
                   "There are %lld clusters, so that the page shows at most %d typical and %d "
                   "doubtful samples of each%s, to stay below %.6g MB.",
                   (long long)g->out->classes, g->per_cluster, g->per_cluster, pixels,
                   (double)g->budget / 1e6);
}

Status choose_samples(Gather *g, Error *err) {
    g->sample_of = malloc((size_t)g->found.n * sizeof *g->sample_of);
    if (!g->sample_of) return out_of_memory(err);
    for (int64_t i = 0; i < g->found.n; i++) g->sample_of[i] = -1;
    Status st = order_rows(g, err);
    if (st != OK) return st;
    choose_amounts(g);
    st = choose_clusters(g, err);
    return st == OK ? choose_plane(g, err) : st;
}
