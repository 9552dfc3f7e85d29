/* clusters.c - clusters as people look at them: size, confidence, the most typical samples, given names. */
#include "host/score/clusters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/score/image_list.h"
#include "host/score/metrics.h"
#include "host/tell/notify.h"

void clusters_free(TurtleCluster *clusters, int64_t C) {
    for (int64_t c = 0; clusters && c < C; c++) {
        for (int t = 0; t < TURTLE_TYPICAL; t++) free(clusters[c].typical_name[t]);
        free(clusters[c].name);
    }
    free(clusters);
}

/* --- the most typical samples ------------------------------------------------------------------- */

/* Confidences that are no number come last. */
static bool more_confident(float a, float b) {
    return a > b || (isnan(b) && !isnan(a));
}

/* Puts sample `row` among the most confident ones of its cluster. Samples come in the order of their
 * rows, so one that is only as confident as another stays behind it. */
static void keep_typical(TurtleCluster *c, const float *confidence, int64_t row) {
    int at = TURTLE_TYPICAL;
    while (at > 0 && (c->typical[at - 1] < 0 ||
                      more_confident(confidence[row], confidence[c->typical[at - 1]])))
        at--;
    if (at == TURTLE_TYPICAL) return;
    for (int t = TURTLE_TYPICAL - 1; t > at; t--) c->typical[t] = c->typical[t - 1];
    c->typical[at] = row;
}

/* A typical sample's row, and the place for its name. */
typedef struct {
    int64_t row;
    char **name;
} Place;

static int by_row(const void *a, const void *b) {
    const Place *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* Copies the lines of the typical samples: one walk over the list, the places in order of rows. */
static Status name_typical(TurtleCluster *clusters, int64_t C, ImageList *list, Error *err) {
    Place *place = malloc((size_t)C * TURTLE_TYPICAL * sizeof *place);
    TextLine line;
    int64_t places = 0, at = 0;
    Status st = place ? OK : fail(err, ERR_MEMORY, "clusters: out of memory");
    for (int64_t c = 0; st == OK && c < C; c++)
        for (int t = 0; t < TURTLE_TYPICAL && clusters[c].typical[t] >= 0; t++)
            place[places++] = (Place){clusters[c].typical[t], &clusters[c].typical_name[t]};
    if (places) qsort(place, (size_t)places, sizeof *place, by_row);
    for (int64_t row = 0; st == OK && at < places && image_list_next(list, &line); row++) {
        if (place[at].row != row) continue;
        *place[at].name = strdup(line.text);
        if (!*place[at++].name) st = fail(err, ERR_MEMORY, "clusters: out of memory");
    }
    free(place);
    return st;
}

Status clusters_describe(TurtleCluster **out, int64_t C, const Split *split, const Predictions *p,
                         const ClusterNames *names, const TurtleHooks *hooks, Error *err) {
    TurtleCluster *clusters = calloc((size_t)C, sizeof *clusters);
    ImageList list;
    Error why = {""};
    *out = NULL;
    if (!clusters) return fail(err, ERR_MEMORY, "clusters: out of memory");
    for (int64_t c = 0; c < C; c++)
        for (int t = 0; t < TURTLE_TYPICAL; t++) clusters[c].typical[t] = -1;
    for (int64_t i = 0; i < p->n; i++) {
        TurtleCluster *c = &clusters[p->cluster[i]];
        c->size++;
        c->confidence += (double)p->confidence[i];
        keep_typical(c, p->confidence, i);
    }
    Status st = image_list_open(&list, split, &why);
    if (st == OK && list.path) st = name_typical(clusters, C, &list, err);
    else if (st == ERR_MEMORY) st = fail(err, ERR_MEMORY, "%s", why.text);
    else if (st != OK) {
        notice(hooks, "%s: typical samples are told by their rows", why.text);
        st = OK;
    }
    image_list_close(&list);
    for (int64_t c = 0; st == OK && c < C; c++) {
        clusters[c].confidence =
            clusters[c].size ? clusters[c].confidence / (double)clusters[c].size : NAN;
        if (names && !(clusters[c].name = strdup(names->name[c])))
            st = fail(err, ERR_MEMORY, "clusters: out of memory");
    }
    if (st == OK) *out = clusters;
    else clusters_free(clusters, C);
    return st;
}

/* --- groups ------------------------------------------------------------------------------------- */

Status clusters_score_named(TurtleNamedScores *out, const Split *split, const Predictions *p,
                            const ClusterNames *names, Error *err) {
    *out = (TurtleNamedScores){names->groups, 0, NAN, NAN, NAN, NAN};
    int64_t *group = malloc((size_t)p->n * sizeof *group);
    int64_t *class = malloc((size_t)p->n * sizeof *class);
    Metrics m = {0};
    Status st = group && class ? OK : fail(err, ERR_MEMORY, "clusters: out of memory");
    for (int64_t i = 0; st == OK && i < p->n; i++) {
        const int64_t g = names->group[p->cluster[i]];
        group[i] = g < 0 ? 0 : g;
        class[i] = g < 0 || !split->y_true ? -1 : split->y_true[i];
        out->left_out += g < 0;
    }
    if (st == OK && split->y_true) st = metrics_compute(&m, group, class, p->n, err);
    if (st == OK && split->y_true) {
        out->cluster_acc = m.cluster_acc;
        out->mean_class_acc = m.mean_class_acc;
        out->nmi = m.nmi;
        out->ari = m.ari;
    }
    metrics_free(&m);
    free(group);
    free(class);
    return st;
}

/* --- JSON --------------------------------------------------------------------------------------- */

void json_clusters(Json *j, const TurtleResult *r) {
    json_open_array(j, "clusters");
    for (int64_t i = 0; r->clusters && i < r->classes; i++) {
        const TurtleCluster *c = &r->clusters[i];
        json_open(j, NULL);
        json_integer(j, "cluster", i);
        json_integer(j, "size", c->size);
        json_real(j, "confidence", c->confidence);
        json_open_array(j, "typical");
        for (int t = 0; t < TURTLE_TYPICAL && c->typical[t] >= 0; t++) {
            if (c->typical_name[t]) json_text(j, NULL, c->typical_name[t]);
            else json_integer(j, NULL, c->typical[t]);
        }
        json_close_array(j);
        if (c->name) json_text(j, "name", c->name);
        json_close(j);
    }
    json_close_array(j);
    if (r->named.groups < 0) return;
    json_open(j, "named");
    json_integer(j, "groups", r->named.groups);
    json_integer(j, "left_out", r->named.left_out);
    json_real(j, "cluster_acc", r->named.cluster_acc);
    json_real(j, "mean_class_acc", r->named.mean_class_acc);
    json_real(j, "nmi", r->named.nmi);
    json_real(j, "ari", r->named.ari);
    json_close(j);
}
