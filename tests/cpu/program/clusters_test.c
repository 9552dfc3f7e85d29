/* clusters_test.c - clusters as people look at them: what is gathered, and names that people give. */
#include "host/score/clusters.h"
#include "host/score/result.h"
#include "tests/support/hostile_blobs.h"

/* --- what is gathered ---------------------------------------------------------------------------- */

typedef struct {
    Split split;
    Predictions p;
    char *folder, *list;
} Sample;

/* Makes predictions of n samples; clusters 3 and 5 are empty, and confidences have 8 values alone. */
static Sample sample_open(int64_t n, int64_t C, bool listed) {
    Sample s = {.folder = temporary_folder()};
    Error err;
    uint32_t seed = 7;
    s.split = (Split){.name = "val", .N = n};
    s.split.space[0].path = format_text("%s/x.npy", s.folder);
    s.list = format_text("%s/x.txt", s.folder);
    ASSERT_OK(predictions_alloc(&s.p, n, &err), err);
    FILE *f = listed ? fopen(s.list, "w") : NULL;
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = next(&seed) % C;
        s.p.cluster[i] = c == 3 || c == 5 ? 1 : c;
        s.p.confidence[i] = 0.5f + (float)(next(&seed) % 8) / 16;
        if (f) fprintf(f, "%s%d\n", hostile[i % HOSTILE], (int)i);
    }
    if (f) fclose(f);
    return s;
}

static void sample_close(Sample *s) {
    predictions_free(&s->p);
    free(s->split.space[0].path), free(s->list);
    remove_folder(s->folder);
}

/* Expects what a walk over all samples says of each cluster. */
static void expect_described(const Sample *s, const TurtleCluster *clusters, int64_t C,
                             bool listed) {
    int64_t all = 0;
    for (int64_t c = 0; c < C; c++) {
        const TurtleCluster *k = &clusters[c];
        int64_t size = 0;
        double sum = 0.0;
        for (int64_t i = 0; i < s->p.n; i++)
            if (s->p.cluster[i] == c) size++, sum += (double)s->p.confidence[i];
        cr_expect(k->size == size);
        cr_expect(size ? fabs(k->confidence - sum / (double)size) < 1e-12 : isnan(k->confidence));
        for (int t = 0; t < TURTLE_TYPICAL; t++) {
            int64_t best =
                -1; /* the most confident sample that is not taken, of equal ones the first */
            for (int64_t i = 0; i < s->p.n; i++) {
                bool taken = s->p.cluster[i] != c;
                for (int u = 0; u < t; u++) taken = taken || k->typical[u] == i;
                if (!taken && (best < 0 || s->p.confidence[i] > s->p.confidence[best])) best = i;
            }
            cr_expect(k->typical[t] == best, "cluster %d: %d is row %d, expected %d", (int)c, t,
                      (int)k->typical[t], (int)best);
            cr_expect((k->typical_name[t] != NULL) == (listed && best >= 0));
            if (!k->typical_name[t]) continue;
            char *name = format_text("%s%d", hostile[best % HOSTILE], (int)best);
            cr_expect_str_eq(k->typical_name[t], name);
            free(name);
        }
        all += k->size;
    }
    cr_expect(all == s->p.n, "sizes sum to %d of %d samples", (int)all, (int)s->p.n);
}

Test(clusters, typical_samples_are_the_most_confident_ones) {
    for (int listed = 0; listed < 2; listed++)
        for (int64_t n = 2; n < 1500; n = 5 * n + 1) {
            Sample s = sample_open(n, 7, listed);
            TurtleCluster *clusters;
            Error err;
            ASSERT_OK(clusters_describe(&clusters, 7, &s.split, &s.p, NULL, NULL, &err), err);
            expect_described(&s, clusters, 7, listed);
            clusters_free(clusters, 7);
            sample_close(&s);
        }
}

static void keep(void *context, const char *line) {
    snprintf(context, 1024, "%s", line);
}

/* A list of other images names nobody, and numbers that are none are not typical. */
Test(clusters, a_wrong_list_is_said_and_numbers_that_are_none_come_last) {
    Sample s = sample_open(50, 2, true);
    TurtleCluster *clusters;
    char said[1024] = "";
    const TurtleHooks hooks = {.notice = keep, .context = said};
    Error err;
    write_bytes(s.list, "a.png\n", 6);
    for (int64_t i = 0; i < 10; i++) s.p.confidence[i] = NAN;
    ASSERT_OK(clusters_describe(&clusters, 2, &s.split, &s.p, NULL, &hooks, &err), err);
    cr_expect(strstr(said, "has 1 lines, the features have 50 rows"), "%s", said);
    for (int c = 0; c < 2; c++)
        for (int t = 0; t < TURTLE_TYPICAL; t++)
            cr_expect(clusters[c].typical[t] >= 10 && !clusters[c].typical_name[t]);
    clusters_free(clusters, 2);
    sample_close(&s);
}

/* --- names that people give ---------------------------------------------------------------------- */

/* Five clusters of three classes: 0 and 1 are cats, 2 dogs, 3 eels, 4 anything. */
Test(clusters, groups_are_scored_without_what_is_left_out) {
    static const struct {
        const char *names;
        int groups, left_out;
        double accuracy;
    } cases[] = {{"0\tcat\n1\tcat\n2\tdog\n3\teel\n4\t\n", 3, 30, 1.0},
                 {"0\tcat\n1\tcat\n2\tdog\n3\teel\n", 4, 0, 120.0 / 150},
                 {"", 5, 0, 90.0 / 150},
                 {"0\tx\n1\tx\n2\tx\n3\tx\n4\tx\n", 1, 0, 70.0 / 150},
                 {"0\t\n1\t\n2\t\n3\t\n4\t\n", 0, 150, NAN}};
    int64_t y[150];
    Error err;
    Split split = {.name = "train", .N = 150, .y_true = y};
    Predictions p = {0};
    ASSERT_OK(predictions_alloc(&p, 150, &err), err);
    for (int64_t i = 0; i < 150; i++) {
        const int64_t c = i / 30;
        p.cluster[i] = c;
        y[i] = c < 2 ? 0 : c < 4 ? c - 1 : i % 3;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = temporary_folder(), *path = format_text("%s/names", folder);
        ClusterNames names;
        TurtleNamedScores scores;
        write_bytes(path, cases[i].names, strlen(cases[i].names));
        ASSERT_OK(cluster_names_read(path, 5, &names, &err), err);
        ASSERT_OK(clusters_score_named(&scores, &split, &p, &names, &err), err);
        cr_expect(scores.groups == cases[i].groups && scores.left_out == cases[i].left_out,
                  "case %d: %d groups, %d left out", (int)i, (int)scores.groups,
                  (int)scores.left_out);
        cr_expect(isnan(cases[i].accuracy) ? isnan(scores.cluster_acc)
                                           : fabs(scores.cluster_acc - cases[i].accuracy) < 1e-12,
                  "case %d: accuracy %.17g", (int)i, scores.cluster_acc);
        cluster_names_free(&names);
        free(path);
        remove_folder(folder);
    }
    predictions_free(&p);
}

/* --- the program --------------------------------------------------------------------------------- */

/* The object has every cluster; sizes sum to the samples, whole names stand there as JSON has them. */
Test(clusters, json_has_all_of_them, .timeout = 60) {
    static Ran ran;
    char *folder = train_blobs(&ran);
    run_turtle(&ran, "evaluate --features %s/z.npy --ckpt_path %s/run --device cpu --quiet --json",
               folder, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    const char *at = strstr(ran.out, "\"clusters\": [");
    int64_t all = 0;
    cr_assert(at != NULL, "%s", ran.out);
    for (int c = 0; c < 3; c++) {
        char *head = format_text("{\"cluster\": %d, ", c);
        at = strstr(at, head);
        cr_assert(at != NULL, "no cluster %d: %s", c, ran.out);
        all += (int64_t)json_number(at, "size");
        const double confidence = json_number(at, "confidence");
        cr_expect(confidence > 1.0 / 3 && confidence <= 1.0);
        cr_expect(strstr(at, "\"typical\": [\"") != NULL);
        free(head);
    }
    cr_expect(all == BLOBS && !strstr(ran.out, "\"named\"") && !strchr(ran.out, '\x1b'));
    remove_folder(folder);
}

/* Names change neither the first line nor the old columns; merged clusters are scored as one. */
Test(clusters, names_are_carried_into_predictions, .timeout = 60) {
    static Ran plain, ran;
    char *folder = train_blobs(&ran), names[200], csv[1 << 14], old[1 << 14];
    char *path = format_text("%s/names.tsv", folder);
    const int n = snprintf(names, sizeof names, "0\ta, \"b\"\r\n1\ta, \"b\"\r\n2\t\r\n");
    write_bytes(path, names, (size_t)n);
    run_turtle(&plain,
               "evaluate --features %s/z.npy --labels %s/y.npy --ckpt_path %s/run --device cpu "
               "--quiet --predictions %s/old.csv",
               folder, folder, folder, folder);
    run_turtle(&ran,
               "evaluate --features %s/z.npy --labels %s/y.npy --ckpt_path %s/run --device cpu "
               "--quiet --predictions %s/new.csv --cluster_names %s",
               folder, folder, folder, folder, path);
    cr_assert(plain.status == 0 && ran.status == 0, "%s%s", plain.err, ran.err);
    cr_expect(strncmp(plain.out, ran.out, strcspn(plain.out, "\n") + 1) == 0, "%s", ran.out);
    cr_expect(strstr(ran.out, "\nnamed            1 name, 30 samples left out   cluster accuracy "
                              "0.5000"),
              "%s", ran.out);
    cr_expect(strstr(ran.out, "(left out)") && strstr(ran.out, "a, \"b\""), "%s", ran.out);
    char *new_path = format_text("%s/new.csv", folder),
         *old_path = format_text("%s/old.csv", folder);
    read_text(csv, sizeof csv, new_path);
    read_text(old, sizeof old, old_path);
    char *a = csv, *b = old, *line, *before;
    for (int row = 0; (line = next_line(&a)) && (before = next_line(&b)); row++) {
        const size_t kept = strlen(before);
        cr_expect(strncmp(line, before, kept) == 0, "%s: %s", before, line);
        const char *added = line + kept;
        cr_expect(strcmp(added, row ? "," : ",name") == 0 ||
                      (row && strcmp(added, ",\"a, \"\"b\"\"\"") == 0),
                  "%s", added);
    }
    cr_expect(!*a && !*b);
    run_turtle(&ran,
               "evaluate --features %s/z.npy --labels %s/y.npy --ckpt_path %s/run --device cpu "
               "--quiet --json --cluster_names %s",
               folder, folder, folder, path);
    const char *named = strstr(ran.out, "\"named\": {");
    cr_assert(named != NULL, "%s", ran.out);
    cr_expect(json_number(named, "groups") == 1 && json_number(named, "left_out") == 30 &&
              json_number(named, "cluster_acc") == 0.5);
    free(path), free(new_path), free(old_path);
    remove_folder(folder);
}

Test(clusters, bad_names_get_one_line, .timeout = 60) {
    Ran ran;
    char *folder = train_blobs(&ran);
    static const struct {
        int status;
        const char *names, *flags, *says;
    } cases[] = {
        {1, "3\tcat\n", "--cluster_names @/n", "line 1: '3' is no cluster: expected 0 to 2"},
        {1, "0 cat\n", "--cluster_names @/n", "has no tab"},
        {1, "", "--cluster_names @/none", "No such file"},
        {2, "", "--cluster_names @/n --predictions @/n", "the file of --cluster_names"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = format_text("%s/n", folder), flags[512] = "";
        write_bytes(path, cases[i].names, strlen(cases[i].names));
        for (const char *c = cases[i].flags; *c; c++)
            snprintf(flags + strlen(flags), sizeof flags - strlen(flags), *c == '@' ? "%s" : "%.1s",
                     *c == '@' ? folder : c);
        run_turtle(&ran, "evaluate --features %s/z.npy --ckpt_path %s/run --device cpu --quiet %s",
                   folder, folder, flags);
        cr_expect(ran.status == cases[i].status && strstr(ran.err, cases[i].says) &&
                      strchr(ran.err, '\n') == strrchr(ran.err, '\n'),
                  "case %d: %d: %s", (int)i, ran.status, ran.err);
        free(path);
    }
    remove_folder(folder);
}
