/* made_report.c - reports made up for tests. */
#include "tests/cpu/report/made_report.h"

#include "io/files/gzip.h"
#include "io/images/jpeg_write.h"
#include "tests/support/check.h"

/* A script that ran would say so in the console; an image's handler likewise. */
const char *const hostile_text[] = {
    "<script>console.log('ran')</script>",
    "\"><img src=x onerror=\"console.log('ran')\">.png",
    "</script><script>console.log('ran')</script>",
    "<!--",
    "' onmouseover='console.log(1)' x='",
    "&lt;b&gt; &amp;",
    "\xe2\x80\xae"
    "gnp.exe \xe2\x80\xab",
    "bad \xff\xfe utf-8 \xc3",
    "control \x01\x1b[31m \x7f \xc2\x85 end",
    "]]>{{7*7}}${7*7}\\u003cscript\\u003e",
    NULL,
};

static void *kept(MadeReport *m, size_t bytes) {
    m->blocks = realloc(m->blocks, (size_t)(m->block_count + 1) * sizeof *m->blocks);
    cr_assert(m->blocks != NULL);
    void *block = calloc(1, bytes + 1);
    cr_assert(block != NULL);
    return m->blocks[m->block_count++] = block;
}
static char *kept_text(MadeReport *m, const char *text) {
    return strcpy(kept(m, strlen(text)), text);
}

void made_report_free(MadeReport *m) {
    for (int i = 0; i < m->block_count; i++) free(m->blocks[i]);
    free(m->blocks);
    *m = (MadeReport){0};
}

/* A generator of its own keeps the pages the same from call to call. */
static uint32_t state;
static double uniform(void) {
    state = state * 1664525u + 1013904223u;
    return (double)(state >> 8) / 16777216.0;
}
static double normal(void) {
    return sqrt(-2.0 * log(uniform() + 1e-9)) * cos(6.2831853 * uniform());
}

/* --- pictures ----------------------------------------------------------------------------------- */

static uint8_t *inflated(const char *path, int64_t *bytes) {
    FileMap map;
    Error err;
    uint8_t *data;
    ASSERT_OK(file_map(&map, path, &err), err);
    ASSERT_OK(gzip_inflate(&data, bytes, map.data, map.bytes, 16 << 20, path, &err), err);
    file_unmap(&map);
    return data;
}

/* Gives a sample the JPEG of 28 x 28 grey pixels. */
static void give_picture(MadeReport *m, ReportSample *s, const uint8_t *pixels) {
    uint8_t rgb[28 * 28 * 3], *bytes;
    int64_t count;
    Error err;
    for (int i = 0; i < 28 * 28; i++) rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = pixels[i];
    const Image image = {.rgb = rgb, .width = 28, .height = 28};
    ASSERT_OK(jpeg_bytes(&bytes, &count, &image, 80, &err), err);
    s->picture = (ReportPicture){kept(m, (size_t)count), (size_t)count, 28, 28};
    memcpy(s->picture.bytes, bytes, (size_t)count);
    free(bytes);
}

/* --- parts of a report -------------------------------------------------------------------------- */

static void make_points(MadeReport *m, int64_t count, int64_t classes) {
    ReportPoint *points = kept(m, (size_t)count * sizeof *points);
    for (int64_t i = 0; i < count; i++) {
        const double t = (double)i / (double)count, noise = 0.01 * normal();
        points[i] = (ReportPoint){
            .iteration = 10 * (i + 1),
            .loss = 0.04 + 2.2 * exp(-9.0 * t) + 0.3 * fabs(noise),
            .entropy = log((double)classes) * (2.0 - 0.4 * exp(-12.0 * t)) + 0.2 * noise,
            .clusters_found = (int64_t)((double)classes * (1.0 - 0.5 * exp(-14.0 * t)) + 0.5),
            .accuracy = i % 5 ? (double)NAN : 0.987 - 0.6 * exp(-8.0 * t) + 0.2 * noise};
    }
    m->report.points = points;
    m->report.point_count = count;
}

static void make_facts(MadeReport *m, const char *const (*pairs)[2], int count) {
    ReportFact *facts = kept(m, (size_t)count * sizeof *facts);
    for (int i = 0; i < count; i++)
        facts[i] = (ReportFact){kept_text(m, pairs[i][0]), kept_text(m, pairs[i][1])};
    m->report.facts = facts;
    m->report.fact_count = count;
}

static void make_runs(MadeReport *m, int count) {
    static const char *const title[] = {"demo_vit demo_rn, seed 42", "demo_vit, seed 42",
                                        "k-means on both spaces"};
    static const double accuracy[] = {0.9875, 0.98, 0.987}, score[] = {0.9954, 0.9821, NAN},
                        loss[] = {0.0412, 0.0533, NAN};
    ReportRun *runs = kept(m, (size_t)count * sizeof *runs);
    double *agreement = kept(m, (size_t)(count * count) * sizeof *agreement);
    for (int i = 0; i < count; i++) {
        runs[i] = (ReportRun){.title = title[i % 3],
                              .cluster_acc = accuracy[i % 3],
                              .mean_class_acc = accuracy[i % 3] - 0.0008,
                              .nmi = accuracy[i % 3] - 0.021,
                              .ari = accuracy[i % 3] - 0.015,
                              .generalization_score = score[i % 3],
                              .loss = loss[i % 3],
                              .seconds = 6.4 + 3 * i,
                              .clusters_found = 10};
        for (int j = 0; j < count; j++)
            agreement[i * count + j] = i == j ? 1.0 : 0.985 - 0.02 * (i + j);
    }
    m->report.runs = runs;
    m->report.run_count = count;
    m->report.agreement = agreement;
}

static void make_sweep(MadeReport *m) {
    static const double score[] = {0.61, 0.83, 0.981, 0.93, 0.88, NAN, 0.79};
    ReportSweepPoint *sweep = kept(m, 7 * sizeof *sweep);
    for (int i = 0; i < 7; i++)
        sweep[i] =
            (ReportSweepPoint){.classes = 6 + 2 * i, .score = score[i], .recommended = i == 2};
    m->report.sweep = sweep;
    m->report.sweep_count = 7;
}

/* Gives clusters their samples, their names and their matched labels from the samples that are there. */
static void make_clusters(MadeReport *m, int64_t classes, const int64_t *match, bool named) {
    Report *r = &m->report;
    r->classes = classes;
    r->clusters = kept(m, (size_t)classes * sizeof *r->clusters);
    for (int64_t c = 0; c < classes; c++) {
        ReportCluster *k = &r->clusters[c];
        int64_t *typical = kept(m, 24 * sizeof *typical), *doubtful = typical + 12;
        const char **names = kept(m, (size_t)r->sample_count * sizeof *names);
        float *confidence = kept(m, (size_t)r->sample_count * sizeof *confidence);
        double sum = 0.0;
        int64_t right = 0;
        k->matched_label = match ? match[c] : -1;
        for (int64_t i = 0; i < r->sample_count; i++) {
            const ReportSample *s = &r->samples[i];
            if (s->cluster != c) continue;
            if (s->confidence > 0.9f && k->typical_count < 12) typical[k->typical_count++] = i;
            if (s->confidence < 0.75f && k->doubtful_count < 12) doubtful[k->doubtful_count++] = i;
            if (named && s->name) {
                names[k->names_count] = s->name;
                confidence[k->names_count++] = s->confidence;
            }
            sum += (double)s->confidence;
            right += s->label == k->matched_label;
            k->size++;
        }
        k->typical = typical;
        k->doubtful = doubtful;
        k->names = names;
        k->names_confidence = confidence;
        k->mean_confidence = k->size ? sum / (double)k->size : (double)NAN;
        k->accuracy = match && k->size ? (double)right / (double)k->size : (double)NAN;
    }
}

/* Counts the matrix and lists some of its errors. */
static void make_confusion(MadeReport *m, int most) {
    Report *r = &m->report;
    const int64_t n = r->classes;
    r->label_count = n;
    r->confusion = kept(m, (size_t)(n * n) * sizeof *r->confusion);
    for (int64_t i = 0; i < r->sample_count; i++)
        r->confusion[r->samples[i].cluster * n + r->samples[i].label]++;
    r->confusions = kept(m, (size_t)most * sizeof *r->confusions);
    for (int64_t cell = 0; cell < n * n && r->confusion_count < most; cell++) {
        const int64_t c = cell / n, label = cell % n;
        if (r->clusters[c].matched_label == label || r->confusion[cell] < 3) continue;
        ReportConfusion *pair = &r->confusions[r->confusion_count++];
        int64_t *samples = kept(m, 8 * sizeof *samples);
        *pair = (ReportConfusion){c, label, r->confusion[cell], samples, 0};
        for (int64_t i = 0; i < r->sample_count && pair->samples_count < 8; i++)
            if (r->samples[i].cluster == c && r->samples[i].label == label)
                samples[pair->samples_count++] = i;
    }
}

static void make_lists(MadeReport *m, int doubtful, int scatter) {
    Report *r = &m->report;
    r->doubtful = kept(m, (size_t)doubtful * sizeof *r->doubtful);
    r->scatter = kept(m, (size_t)scatter * sizeof *r->scatter);
    for (int64_t i = 0; i < r->sample_count; i++) {
        if (r->samples[i].confidence < 0.6f && r->doubtful_count < doubtful)
            r->doubtful[r->doubtful_count++] = i;
        if (r->scatter_count < scatter) r->scatter[r->scatter_count++] = i;
    }
    r->variance[0] = 0.183;
    r->variance[1] = 0.121;
}

/* --- reports ------------------------------------------------------------------------------------ */

static void make_digits(MadeReport *m) {
    enum { SAMPLES = 1200 };
    static const int64_t match[] = {3, 7, 0, 9, 1, 5, 8, 2, 6, 4}; /* label of each cluster */
    static const char *const facts[][2] = {
        {"command line",
         "turtle train --dataset digits --phis demo_vit demo_rn --classes 10 --T 1000 --rng torch"},
        {"data set", "digits, validation split"},
        {"representations", "demo_vit (128), demo_rn (128)"},
        {"all options", "gamma 10.0, inner_lr 0.001, outer_lr 0.001, M 10, batch 8000, seed 42"},
        {"device", "cpu, 2 threads, avx512"},
        {"version", "turtle 0.13.0"}};
    Report *r = &m->report;
    int64_t bytes;
    uint8_t *pixels = inflated("data/demo/datasets/t10k-images-idx3-ubyte.gz", &bytes);
    uint8_t *labels = inflated("data/demo/datasets/t10k-labels-idx1-ubyte.gz", &bytes);
    r->title = "digits in 10 clusters";
    r->samples = kept(m, SAMPLES * sizeof *r->samples);
    r->sample_count = SAMPLES;
    for (int64_t i = 0; i < SAMPLES; i++) {
        ReportSample *s = &r->samples[i];
        const int64_t row = 8000 + i, label = labels[8 + row];
        int64_t cluster = 0;
        while (match[cluster] != label) cluster++;
        const bool wrong = uniform() < 0.02, doubtful = wrong || uniform() < 0.06;
        const int64_t other = (cluster + 1 + (int64_t)(3 * uniform()) % 3 * 2) % 10;
        *s = (ReportSample){
            .row = i,
            .cluster = wrong ? other : cluster,
            .second = wrong ? cluster : other,
            .label = label,
            .confidence = (float)(doubtful ? 0.5 + 0.2 * uniform() : 0.93 + 0.069 * uniform())};
        s->margin = 2.0f * s->confidence - 1.0f;
        char *name = format_text("t10k-images-idx3-ubyte.gz#%d", (int)row);
        s->name = kept_text(m, name);
        free(name);
        s->x = (float)(0.72 * cos(0.7 * (double)label) * (0.5 + 0.05 * (double)label) +
                       0.09 * normal());
        s->y = (float)(0.72 * sin(0.63 * (double)label) * (0.55 + 0.05 * (double)label) +
                       0.07 * normal());
        give_picture(m, s, pixels + 16 + row * 784);
    }
    r->samples[5].picture = (ReportPicture){0};
    r->samples[5].damaged = true;
    r->samples[7].second = -1;
    make_facts(m, facts, 6);
    make_clusters(m, 10, match, true);
    r->clusters[0].name = "three";
    r->clusters[0].runner_up = "eight";
    r->clusters[1].name = "seven";
    make_confusion(m, 6);
    make_lists(m, 24, 1000);
    make_points(m, 100, 10);
    make_runs(m, 3);
    make_sweep(m);
    free(pixels), free(labels);
}

static void make_wide(MadeReport *m) {
    enum { SAMPLES = 20000, CLASSES = 1000 };
    static int64_t match[CLASSES];
    Report *r = &m->report;
    r->title = "imagenet in 1000 clusters";
    r->samples = kept(m, SAMPLES * sizeof *r->samples);
    r->sample_count = SAMPLES;
    for (int64_t c = 0; c < CLASSES; c++) match[c] = (7 * c + 3) % CLASSES;
    for (int64_t i = 0; i < SAMPLES; i++) {
        ReportSample *s = &r->samples[i];
        const int64_t c = (int64_t)(uniform() * CLASSES), wrong = uniform() < 0.3;
        *s = (ReportSample){.row = i,
                            .cluster = c,
                            .second = (c + 1) % CLASSES,
                            .confidence = (float)(0.3 + 0.69 * uniform())};
        s->label = match[wrong ? (c + (int64_t)(20 * uniform())) % CLASSES : c];
        s->margin = 0.5f * s->confidence;
        s->x = (float)(0.6 * cos((double)c) + 0.05 * normal());
        s->y = (float)(0.6 * sin((double)c * 1.7) + 0.05 * normal());
    }
    make_clusters(m, CLASSES, match, false);
    make_confusion(m, 20);
    make_lists(m, 60, 3000);
    make_points(m, 600, CLASSES);
    make_runs(m, 1);
}

static void make_bare(MadeReport *m) {
    Report *r = &m->report;
    r->title = "features";
    r->samples = kept(m, 40 * sizeof *r->samples);
    r->sample_count = 40;
    for (int64_t i = 0; i < 40; i++)
        r->samples[i] = (ReportSample){.row = i,
                                       .cluster = i % 3,
                                       .second = -1,
                                       .label = -1,
                                       .confidence = i % 2 ? 0.95f : 0.5f,
                                       .margin = NAN,
                                       .x = NAN,
                                       .y = NAN};
    make_clusters(m, 4, NULL, false); /* the last one is empty */
    r->variance[0] = r->variance[1] = NAN;
}

static void make_hostile(MadeReport *m) {
    Report *r = &m->report;
    int n = 0;
    while (hostile_text[n]) n++;
    char *longest = kept(m, 255);
    memset(longest, 'w', 255);
    static int64_t match[16];
    const char **label = kept(m, (size_t)(n + 1) * sizeof *label);
    ReportFact *facts = kept(m, (size_t)n * sizeof *facts);
    r->title = hostile_text[0];
    r->samples = kept(m, (size_t)(n + 1) * sizeof *r->samples);
    r->sample_count = n + 1;
    for (int i = 0; i <= n; i++) {
        label[i] = i < n ? hostile_text[i] : longest;
        match[i] = i;
        r->samples[i] = (ReportSample){.row = i,
                                       .name = label[i],
                                       .cluster = i,
                                       .second = (i + 1) % n,
                                       .label = i,
                                       .confidence = i % 2 ? 0.5f : 0.95f};
        r->samples[i].damaged = i == 0;
        if (i < n) facts[i] = (ReportFact){hostile_text[i], hostile_text[i]};
    }
    r->facts = facts;
    r->fact_count = n;
    make_clusters(m, n + 1, match, true);
    for (int i = 0; i <= n; i++) r->clusters[i].name = r->clusters[i].runner_up = label[i];
    r->class_names = label;
    r->label_count = n + 1;
    make_confusion(m, 4);
    make_lists(m, 20, 20);
    make_points(m, 3, n + 1);
    make_runs(m, 2);
    r->runs[0].title = hostile_text[1];
    r->runs[1].title = hostile_text[2];
    r->notices = hostile_text;
    r->notice_count = n;
}

void made_report(MadeReport *out, MadeKind kind) {
    *out = (MadeReport){0};
    state = 42;
    if (kind == MADE_DIGITS) make_digits(out);
    else if (kind == MADE_WIDE) make_wide(out);
    else if (kind == MADE_BARE) make_bare(out);
    else make_hostile(out);
}
