/* gather_test.c - what a report gathers of a run that was made by hand, against plain loops over the same run. */
#include "host/report/gather.h"
#include "io/images/image.h"
#include "io/images/jpeg_write.h"
#include "tests/cpu/report/made_run.h"

static Status gather_with(Report *out, int threads, double max_size, Error *err, int runs,
                          const char **run, const char *names) {
    TurtleReportOptions o;
    turtle_report_defaults(&o);
    o.common.threads = threads;
    o.runs = (TurtleTexts){run, runs};
    o.cluster_names = names;
    o.max_size = max_size;
    return report_gather(&o, out, err);
}

static void gather(Report *out, const MadeRun *m) {
    const char *run[] = {m->run};
    Error err;
    ASSERT_OK(gather_with(out, 2, 20.0, &err, 1, run, NULL), err);
}

/* Expects that a sample says what the run says of its row. */
static void expect_sample(const MadeRun *m, const ReportSample *s) {
    const int64_t i = s->row;
    cr_assert(i >= 0 && i < RUN_N);
    cr_expect_str_eq(s->name, m->name[i]);
    cr_expect(s->cluster == m->cluster[i] && s->label == m->label[i]);
    cr_expect(s->second == m->second[i], "row %d: second cluster %d, expected %d", (int)i,
              (int)s->second, (int)m->second[i]);
    /* six digits of the file, then float32 */
    cr_expect(fabs((double)s->confidence - m->confidence[i]) < 1e-6);
    cr_expect(fabs((double)s->margin - m->margin[i]) < 1e-6);
}

Test(gather, every_cluster_has_its_size_and_its_samples, .timeout = 60) {
    MadeRun m;
    Report r;
    made_run(&m);
    gather(&r, &m);
    cr_assert(r.classes == RUN_C && r.run_count == 1 && r.point_count == 2);
    for (int64_t i = 0; i < r.sample_count; i++) expect_sample(&m, &r.samples[i]);
    for (int c = 0; c < RUN_C; c++) {
        const ReportCluster *cluster = &r.clusters[c];
        int64_t size = 0;
        double sum = 0.0;
        for (int i = 0; i < RUN_N; i++)
            if (m.cluster[i] == c) size++, sum += m.confidence[i];
        cr_assert(cluster->size == size && size >= 24, "cluster %d holds %d", c, (int)size);
        cr_expect(fabs(cluster->mean_confidence - sum / (double)size) < 1e-6);
        cr_assert(cluster->typical_count == 12 && cluster->doubtful_count == 12);
        for (int t = 0; t < 12; t++) {
            const ReportSample *s = &r.samples[cluster->typical[t]];
            int before = 0; /* samples of the cluster that are more confident */
            for (int i = 0; i < RUN_N; i++)
                before += m.cluster[i] == c && m.confidence[i] > m.confidence[s->row];
            cr_expect(s->cluster == c && before == t, "place %d of cluster %d has rank %d", t, c,
                      before);
        }
        for (int t = 0; t < 12; t++) {
            const ReportSample *s = &r.samples[cluster->doubtful[t]];
            int less = 0; /* samples of the cluster that are more doubtful and not typical */
            for (int i = 0; i < RUN_N; i++) {
                bool typical = false;
                for (int k = 0; k < 12; k++) typical |= r.samples[cluster->typical[k]].row == i;
                less += !typical && m.cluster[i] == c && m.margin[i] < m.margin[s->row];
            }
            cr_expect(s->cluster == c && less == t, "doubt %d of cluster %d has rank %d", t, c,
                      less);
        }
        cr_assert(cluster->names_count == size);
        for (int64_t i = 1; i < size; i++)
            cr_expect(cluster->names_confidence[i - 1] >= cluster->names_confidence[i]);
        cr_expect_str_eq(cluster->names[0], r.samples[cluster->typical[0]].name);
    }
    cr_assert(r.doubtful_count == 48);
    for (int t = 1; t < 48; t++)
        cr_expect(r.samples[r.doubtful[t - 1]].margin <= r.samples[r.doubtful[t]].margin);
    report_free(&r);
    report_free(&r);
    made_run_free(&m);
}

Test(gather, clusters_are_matched_with_labels, .timeout = 60) {
    MadeRun m;
    Report r;
    made_run(&m);
    gather(&r, &m);
    cr_assert(r.label_count == RUN_C && r.confusion && r.confusion_count > 0);
    for (int c = 0; c < RUN_C; c++) {
        int64_t all = 0, hits = 0;
        cr_expect(r.clusters[c].matched_label == (c + 1) % RUN_C);
        for (int i = 0; i < RUN_N; i++) {
            all += m.cluster[i] == c;
            hits += m.cluster[i] == c && m.label[i] == (c + 1) % RUN_C;
        }
        cr_expect(r.clusters[c].accuracy == (double)hits / (double)all);
        for (int y = 0; y < RUN_C; y++) {
            int64_t count = 0;
            for (int i = 0; i < RUN_N; i++) count += m.cluster[i] == c && m.label[i] == y;
            cr_expect(r.confusion[c * RUN_C + y] == count);
        }
    }
    for (int k = 0; k < r.confusion_count; k++) {
        const ReportConfusion *f = &r.confusions[k];
        cr_expect(f->count == r.confusion[f->cluster * RUN_C + f->label]);
        cr_expect(k == 0 || f->count <= r.confusions[k - 1].count);
        cr_assert(f->samples_count > 0);
        for (int i = 0; i < f->samples_count; i++)
            cr_expect(r.samples[f->samples[i]].cluster == f->cluster &&
                      r.samples[f->samples[i]].label == f->label);
    }
    report_free(&r);
    made_run_free(&m);
}

Test(gather, the_plane_shows_every_row_of_a_small_run, .timeout = 60) {
    MadeRun m;
    Report r;
    made_run(&m);
    gather(&r, &m);
    double most = 0.0, mean[2] = {0};
    cr_assert(r.scatter_count == RUN_N);
    for (int i = 0; i < RUN_N; i++) {
        const ReportSample *s = &r.samples[r.scatter[i]];
        cr_assert(s->x >= -1.0f && s->x <= 1.0f && s->y >= -1.0f && s->y <= 1.0f);
        most = fmax(most, fmax(fabs((double)s->x), fabs((double)s->y)));
        mean[0] += (double)s->x / RUN_N, mean[1] += (double)s->y / RUN_N;
    }
    cr_expect(fabs(most - 1.0) < 1e-6 && fabs(mean[0]) < 1e-5 && fabs(mean[1]) < 1e-5);
    cr_expect(r.variance[0] >= r.variance[1] && r.variance[1] > 0.0 &&
              r.variance[0] + r.variance[1] < 1.0);
    report_free(&r);
    made_run_free(&m);
}

Test(gather, pictures_become_small_and_damaged_ones_are_counted, .timeout = 60) {
    MadeRun m;
    Report r[2];
    Error err;
    made_run(&m);
    made_run_pictures(&m);
    made_file(m.pictures, m.name[5], "\xff\xd8\xff no JPEG");
    made_file(m.pictures, m.name[6], "");
    char *gone = format_text("%s/%s", m.pictures, m.name[7]);
    cr_assert(remove(gone) == 0);
    free(gone);
    const char *run[] = {m.run};
    for (int t = 0; t < 2; t++)
        ASSERT_OK(gather_with(&r[t], 1 + 3 * t, 20.0, &err, 1, run, NULL), err);
    cr_assert(r[0].sample_count == RUN_N && r[1].sample_count == RUN_N);
    for (int i = 0; i < RUN_N; i++) {
        const ReportSample *a = &r[0].samples[i], *b = &r[1].samples[i];
        const bool bad = a->row >= 5 && a->row <= 7;
        cr_expect(a->damaged == bad && (a->picture.size == 0) == bad, "row %d", (int)a->row);
        cr_expect(a->picture.size == b->picture.size);
        if (bad || a->picture.size != b->picture.size) continue;
        cr_expect(memcmp(a->picture.bytes, b->picture.bytes, a->picture.size) == 0);
        Image image;
        ASSERT_OK(image_decode(&image, a->picture.bytes, (int64_t)a->picture.size, "it", &err),
                  err);
        cr_expect(image.width == 96 && image.height == 60 && a->picture.width == 96 &&
                  a->picture.height == 60);
        image_free(&image);
    }
    cr_expect(made_says(&r[0], "3 of 90 pictures could not be read"));
    for (int i = 0; i < r[0].notice_count; i++) cr_expect_str_eq(r[0].notices[i], r[1].notices[i]);
    report_free(&r[0]);
    report_free(&r[1]);
    made_run_free(&m);
}

Test(gather, what_is_gone_is_said, .timeout = 60) {
    MadeRun m;
    Report r;
    made_run(&m);
    char *gone = format_text("%s/root/representations/b/x_train.npy", m.folder);
    cr_assert(remove(gone) == 0);
    made_run_pictures(&m);
    gather(&r, &m);
    cr_expect(r.scatter_count == 0 && made_says(&r, "The features are not here"));
    int64_t pictures = 0, listed = 0;
    bool *in_list = calloc((size_t)r.sample_count, sizeof *in_list);
    mark_listed(&r, in_list);
    for (int64_t i = 0; i < r.sample_count; i++) {
        pictures += r.samples[i].picture.size > 0;
        listed += in_list[i];
    }
    cr_expect(listed < RUN_N && pictures == listed, "without a plane no list shows the others");
    free(in_list);
    report_free(&r);
    remove_folder(m.pictures);
    m.pictures = format_text("%s/pictures", m.folder);
    gather(&r, &m);
    for (int64_t i = 0; i < r.sample_count; i++) cr_expect(r.samples[i].second == -1);
    cr_expect(made_says(&r, "pictures could not be read"));
    report_free(&r);
    free(gone);
    gone = format_text("%s/root/labels/x_train.npy", m.folder);
    write_bytes(gone, "1\n2\n", 4);
    gather(&r, &m);
    cr_expect(!r.confusion && r.label_count == 0 && made_says(&r, "Labels are left out"));
    report_free(&r);
    free(gone);
    made_run_free(&m);
}

Test(gather, a_checkpoint_that_says_otherwise_is_not_believed, .timeout = 60) {
    static const int turned[RUN_C] = {1, 2, 0};
    MadeRun m;
    Report r;
    made_run(&m);
    made_predictions(&m, m.run, turned);
    gather(&r, &m);
    cr_expect(made_says(&r, "another cluster than"));
    for (int64_t i = 0; i < r.sample_count; i++) cr_expect(r.samples[i].second == -1);
    report_free(&r);
    made_run_free(&m);
}

Test(gather, runs_and_baselines_agree_as_far_as_they_do, .timeout = 60) {
    static const int turned[RUN_C] = {2, 0, 1}, merged[RUN_C] = {0, 0, 1};
    MadeRun m;
    Report r;
    Error err;
    made_run(&m);
    char *base = format_text("%s/base", m.folder), *path = format_text("%s/base.csv", m.folder),
         *other = format_text("%s/other.csv", m.folder),
         *turn = format_text("%s/base/predictions_train.csv", m.folder);
    made_predictions(&m, base, merged);
    cr_assert(rename(turn, path) == 0);
    made_predictions(&m, base, turned);
    made_file(m.folder, "other.csv",
              "path,class,name,confidence,margin\na,1,one,0.5,0.5\nb,0,no,1,1\n");
    const char *run[] = {m.run, turn, path, other};
    ASSERT_OK(gather_with(&r, 2, 20.0, &err, 4, run, NULL), err);
    cr_assert(r.run_count == 4 && r.agreement);
    cr_expect(r.agreement[0] == 1.0 && r.agreement[1] == 1.0 && r.agreement[4] == 1.0);
    cr_expect(r.agreement[2] > 0.0 && r.agreement[2] < 1.0 && r.agreement[2] == r.agreement[8]);
    cr_expect(isnan(r.agreement[3]) && isnan(r.agreement[12]) && r.agreement[15] == 1.0);
    cr_expect(r.runs[0].cluster_acc == 0.9 && r.runs[1].cluster_acc > 0.8);
    cr_expect(r.runs[2].clusters_found == 2 && r.runs[2].cluster_acc < r.runs[1].cluster_acc);
    cr_expect(isnan(r.runs[3].cluster_acc) && r.runs[3].clusters_found == 2);
    cr_expect_str_eq(r.runs[0].title, "run");
    cr_expect_str_eq(r.runs[2].title, "base.csv");
    report_free(&r);
    free(base);
    free(path);
    free(other);
    free(turn);
    made_run_free(&m);
}

Test(gather, names_of_clusters_come_from_zeroshot_and_from_people, .timeout = 60) {
    MadeRun m;
    Report r;
    Error err;
    int64_t size[RUN_C] = {0};
    made_run(&m);
    for (int i = 0; i < RUN_N; i++) size[m.cluster[i]]++;
    for (int wrong = 0; wrong < 2; wrong++) {
        char *text = format_text(
            "{\"clusters\": [{\"cluster\": 0, \"samples\": %d, \"name\": \"<i>cat\", "
            "\"runner_up\": \"dog\"}, "
            "{\"cluster\": 1, \"samples\": %d, \"name\": \"cow\", \"runner_up\": null}]}",
            (int)size[0] + wrong, (int)size[1]);
        made_file(m.run, "cluster_names.json", text);
        gather(&r, &m);
        cr_expect(made_says(&r, "another labelling") == (wrong == 1));
        cr_expect((r.clusters[0].name == NULL) == (wrong == 1));
        if (!wrong) cr_expect_str_eq(r.clusters[0].name, "<i>cat");
        if (!wrong) cr_expect_str_eq(r.clusters[0].runner_up, "dog");
        report_free(&r);
        free(text);
    }
    made_file(m.folder, "names.tsv", "2\towl\n0\t\n");
    char *names = format_text("%s/names.tsv", m.folder);
    const char *run[] = {m.run};
    ASSERT_OK(gather_with(&r, 1, 20.0, &err, 1, run, names), err);
    cr_expect_str_eq(r.clusters[2].name, "owl");
    cr_expect_str_eq(r.clusters[0].name, "", "the form knows that the cluster is left out");
    cr_expect(!r.clusters[1].name && made_says(&r, "leaves 1 of 3 clusters"));
    report_free(&r);
    free(names);
    made_run_free(&m);
}

Test(gather, a_sweep_stands_for_its_best_run, .timeout = 60) {
    MadeRun m;
    Report r;
    Error err;
    made_run(&m);
    char *sweep = format_text("%s/root", m.folder);
    made_file(sweep, "sweep.json",
              "{\"command\": \"sweep\", \"runs\": [{\"checkpoint\": \"gone/checkpoint.pt\"}, "
              "{\"classes\": 3, \"checkpoint\": "
              "\"/old/run/checkpoint.pt\"}, "
              "{\"classes\": 2, \"failed\": \"it diverged\", \"checkpoint\": null}], \"best\": "
              "{\"checkpoint\": "
              "\"/old/run/checkpoint.pt\"}, \"classes\": [{\"classes\": 3, \"quality\": 0.5, "
              "\"generalization_score\": "
              "0.75}, {\"classes\": 2, \"quality\": 0.25, \"generalization_score\": null}], "
              "\"recommended_classes\": 3, \"runner_up_classes\": 2}");
    const char *run[] = {sweep};
    ASSERT_OK(gather_with(&r, 1, 20.0, &err, 1, run, NULL), err);
    cr_assert(r.sweep_count == 2 && r.run_count == 1);
    cr_expect(made_says(&r, "leaves out 1 of the sweep's next runs"));
    cr_expect(r.sweep[0].classes == 2 && r.sweep[0].score == 0.25 && !r.sweep[0].recommended);
    cr_expect(r.sweep[1].classes == 3 && r.sweep[1].score == 0.75 && r.sweep[1].recommended);
    report_free(&r);
    const char *both[] = {m.run, sweep}; /* behind a run, a sweep stands for its best */
    ASSERT_OK(gather_with(&r, 1, 20.0, &err, 2, both, NULL), err);
    cr_assert(r.run_count == 2 && r.sweep_count == 0);
    cr_expect_str_eq(r.runs[1].title, "run");
    cr_expect(r.agreement[1] == 1.0);
    report_free(&r);
    free(sweep);
    made_run_free(&m);
}

Test(gather, long_logs_are_thinned_and_keep_their_end, .timeout = 60) {
    MadeRun m;
    Report r;
    made_run(&m);
    char *text = malloc(5000 * 40), *at = text;
    for (int i = 1; i <= 5000; i++) at += sprintf(at, "{\"iteration\": %d, \"loss\": 1}\n", i);
    made_file(m.run, "log.jsonl", text);
    gather(&r, &m);
    cr_assert(r.point_count == REPORT_POINTS, "%d points", (int)r.point_count);
    cr_expect(r.points[REPORT_POINTS - 1].iteration == 5000);
    for (int i = 1; i < REPORT_POINTS; i++) {
        const int64_t step = r.points[i].iteration - r.points[i - 1].iteration;
        cr_expect(step == 8 || step == 9);
    }
    report_free(&r);
    free(text);
    made_run_free(&m);
}

/* Turns the absolute paths of run.json into paths that begin at the folder, and adds where the call ran. */
static void make_relative(const MadeRun *m, const char *directory) {
    char *path = format_text("%s/run.json", m->run), *text, *to;
    FileMap map;
    Error err;
    ASSERT_OK(file_map(&map, path, &err), err);
    text = to = calloc(1, (size_t)map.bytes + strlen(directory) + 64);
    const size_t prefix = strlen(m->folder);
    to += sprintf(to, "{\"working_directory\": \"%s\", ", directory);
    for (const char *from = (const char *)map.data + 1, *end = from + map.bytes - 1; from < end;) {
        if ((size_t)(end - from) > prefix && strncmp(from, m->folder, prefix) == 0)
            from += prefix + 1;
        else *to++ = *from++;
    }
    made_file(m->run, "run.json", text);
    file_unmap(&map);
    free(text), free(path);
}

Test(gather, relative_paths_begin_where_the_run_was_called, .timeout = 60) {
    MadeRun m;
    Report r;
    made_run(&m);
    made_run_pictures(&m);
    make_relative(&m, m.folder);
    gather(&r, &m);
    cr_expect(r.scatter_count == RUN_N && r.label_count == RUN_C);
    cr_expect(!made_says(&r, "not here") && !made_says(&r, "could not be read"));
    for (int64_t i = 0; i < r.sample_count; i++) cr_expect(r.samples[i].picture.size > 0);
    report_free(&r);
    made_run_free(&m);
    made_run(&m);
    make_relative(&m, "/nowhere"); /* it moved: paths begin at our own directory */
    gather(&r, &m);
    cr_expect(made_says(&r, "The features are not here"));
    report_free(&r);
    cr_assert(chdir(m.folder) == 0);
    gather(&r, &m);
    cr_expect(r.scatter_count == RUN_N);
    report_free(&r);
    cr_assert(chdir("/") == 0);
    made_run_free(&m);
}

Test(gather, labels_that_are_gone_are_said, .timeout = 60) {
    MadeRun m;
    Report r;
    made_run(&m);
    made_file(m.run, "run.json",
              "{\"finished\": true, \"split\": \"train\", \"dataset\": \"features\", \"C\": 3, "
              "\"inputs\": [{\"split\": "
              "\"train\", \"file\": \"x.npy\", \"labels\": \"gone.npy\"}]}");
    gather(&r, &m);
    cr_expect(r.label_count == 0 && made_says(&r, "gone.npy is not there"));
    cr_expect(strstr(r.title, m.run) == r.title, "`train --features` knows no data set: %s",
              r.title);
    report_free(&r);
    made_run_free(&m);
}

Test(gather, a_page_of_long_names_is_cut_to_its_size, .timeout = 60) {
    enum { N = 4000, CLUSTERS = 1000, LONG = 900 };
    MadeRun m;
    TurtleReportOptions o;
    TurtleReportResult result;
    Error err;
    made_run(&m);
    char *text = malloc(N * (LONG + 64)), *at = text, name[LONG + 1];
    memset(name, '&', LONG); /* each is five bytes of the page */
    name[LONG] = '\0';
    at += sprintf(at, "path,cluster,confidence,margin\n");
    for (int i = 0; i < N; i++) at += sprintf(at, "%d%s,%d,0.5,0.1\n", i, name, i % CLUSTERS);
    made_file(m.run, "predictions_train.csv", text);
    free(text);
    const char *run[] = {m.run};
    const double most[] = {20.0, 5.0, 1.15};
    for (int i = 0; i < 3; i++) {
        turtle_report_defaults(&o);
        o.runs = (TurtleTexts){run, 1};
        o.max_size = most[i];
        ASSERT_OK(turtle_report(&o, &result, &err), err);
        cr_expect((double)result.bytes <= most[i] * 1e6, "%.0f MB: %lld bytes", most[i],
                  (long long)result.bytes);
        cr_expect(strstr(result.json, "keeps its size") || i < 2, "%.300s", result.json);
        turtle_report_result_free(&result);
    }
    made_run_free(&m);
}

Test(gather, a_small_page_thins_its_plane_evenly, .timeout = 60) {
    MadeRun m;
    Report r;
    Error err;
    made_run(&m);
    made_run_pictures(&m);
    const char *run[] = {m.run};
    ASSERT_OK(gather_with(&r, 1, 0.1, &err, 1, run, NULL), err);
    cr_assert(r.scatter_count == RUN_N / 2, "%d", r.scatter_count);
    cr_expect(made_says(&r, "45 samples of the plane were left out"));
    for (int i = 1; i < r.scatter_count; i++)
        cr_expect(r.samples[r.scatter[i]].row == r.samples[r.scatter[i - 1]].row + 2);
    report_free(&r);
    made_run_free(&m);
}

Test(gather, lists_of_names_take_what_pictures_leave, .timeout = 60) {
    enum { N = 200000, CLUSTERS = 1000 };
    MadeRun m;
    TurtleReportOptions o;
    TurtleReportResult result;
    Error err;
    made_run(&m);
    char *text = malloc(N * 80), *at = text;
    at += sprintf(at, "path,cluster,confidence,margin\n");
    for (int i = 0; i < N; i++)
        at += sprintf(at, "class%04d/a_name_of_usual_length_%08d.jpg,%d,0.5,0.1\n", i % CLUSTERS, i,
                      i % CLUSTERS);
    made_file(m.run, "predictions_train.csv", text);
    free(text);
    const char *run[] = {m.run};
    turtle_report_defaults(&o);
    o.runs = (TurtleTexts){run, 1};
    o.max_size = 10.0; /* all names would be 12 MB */
    ASSERT_OK(turtle_report(&o, &result, &err), err);
    cr_expect(result.bytes <= 10000000 && result.bytes > 8500000, "%lld bytes",
              (long long)result.bytes);
    turtle_report_result_free(&result);
    made_run_free(&m);
}

/* Expects a failure of that status whose message holds `text`, and nothing left in *out. */
static void expect_refused(const MadeRun *m, Status status, const char *text) {
    const char *run[] = {m->run};
    Report r;
    Error err = {""};
    const Status st = gather_with(&r, 1, 20.0, &err, 1, run, NULL);
    cr_expect(st == status && strstr(err.text, text), "%d: %s", (int)st, err.text);
    cr_expect(!r.samples && !r.memory && r.sample_count == 0);
    report_free(&r);
}

Test(gather, runs_that_cannot_be_shown_are_refused_in_a_line, .timeout = 60) {
    MadeRun m;
    made_run(&m);
    made_file(m.run, "predictions_train.csv", "path,cluster,confidence,margin\n");
    expect_refused(&m, ERR_FORMAT, "no samples");
    made_file(m.run, "predictions_train.csv", "path,cluster,confidence,margin\na,-1,1,1\n");
    expect_refused(&m, ERR_FORMAT, "line 2");
    made_file(m.run, "predictions_train.csv",
              "path,cluster,confidence,margin\na,99999999999999999999,1,1\n");
    expect_refused(&m, ERR_FORMAT, "line 2");
    made_file(m.run, "predictions_train.csv", "path,cluster,confidence,margin\na,1\n");
    expect_refused(&m, ERR_FORMAT, "line 2");
    made_file(m.run, "predictions_train.csv", "path,cluster,confidence,margin\na,1000000,1,1\n");
    expect_refused(&m, ERR_ARG, "1000001 clusters do not fit a page of 20 MB");
    made_file(m.run, "predictions_train.csv", "one,two\na,1\n");
    expect_refused(&m, ERR_FORMAT, "expected predictions");
    char *csv = format_text("%s/predictions_train.csv", m.run), *run = m.run;
    m.run = csv; /* a baseline's file is no run */
    expect_refused(&m, ERR_ARG, "predictions stand behind the directory");
    m.run = run;
    cr_assert(remove(csv) == 0);
    expect_refused(&m, ERR_ARG, "predictions_train.csv");
    made_file(m.run, "run.json", "{\"finished\": false, \"split\": null}");
    expect_refused(&m, ERR_ARG, "not finished");
    made_file(m.run, "run.json", "{\"finished\": true, \"split\": \"../x\"}");
    expect_refused(&m, ERR_FORMAT, "no results");
    made_file(m.run, "run.json", "{\"finished\": tr");
    expect_refused(&m, ERR_FORMAT, "damaged");
    char *record = format_text("%s/run.json", m.run);
    cr_assert(remove(record) == 0);
    expect_refused(&m, ERR_ARG, "there is no run.json");
    made_file(m.run, "sweep.2of8.json", "{}");
    expect_refused(&m, ERR_ARG, "sweep.2of8.json is a piece of a sweep");
    free(csv);
    free(record);
    made_run_free(&m);
}

Test(gather, a_page_stays_below_its_size, .timeout = 60) {
    MadeRun m;
    made_run(&m);
    made_run_pictures(&m);
    const char *run[] = {m.run};
    int64_t pictures[2];
    for (int small = 0; small < 2; small++) {
        TurtleReportOptions o;
        TurtleReportResult result;
        Error err;
        struct stat s;
        turtle_report_defaults(&o);
        o.runs = (TurtleTexts){run, 1};
        if (small) o.max_size = 0.15;
        ASSERT_OK(turtle_report(&o, &result, &err), err);
        cr_assert(stat(result.path, &s) == 0 && s.st_size == result.bytes);
        cr_expect((double)result.bytes <= o.max_size * 1e6, "%d bytes", (int)result.bytes);
        cr_expect(result.samples == RUN_N && result.classes == RUN_C && result.damaged == 0);
        pictures[small] = result.pictures;
        turtle_report_result_free(&result);
        turtle_report_result_free(&result);
    }
    Report r;
    Error err;
    ASSERT_OK(gather_with(&r, 1, 0.25, &err, 1, run, NULL), err);
    for (int c = 0; c < RUN_C; c++) { /* cards come before the plane */
        cr_expect(r.clusters[c].typical_count >= 1);
        for (int i = 0; i < r.clusters[c].typical_count; i++)
            cr_expect(r.samples[r.clusters[c].typical[i]].picture.size > 0);
    }
    report_free(&r);
    cr_expect(pictures[0] == RUN_N && pictures[1] < RUN_N && pictures[1] > 0);
    made_run_free(&m);
}

Test(gather, pictures_in_memory_are_those_of_files, .timeout = 60) {
    enum { WIDE = 50, HIGH = 31 };
    uint8_t rgb[3 * WIDE * HIGH], whole[3 * 20 * 20], ruled[3 * 20 * 20], *bytes;
    int64_t size;
    Error err;
    Resizer resizer = {0};
    for (int i = 0; i < 3 * WIDE * HIGH; i++) rgb[i] = (uint8_t)(i * 7 + i / 50);
    const Image image = {rgb, WIDE, HIGH};
    char *folder = temporary_folder(), *path = format_text("%s/a.jpg", folder),
         *again = format_text("%s/b.jpg", folder);
    ASSERT_OK(jpeg_write(path, &image, 75, &err), err);
    ASSERT_OK(jpeg_bytes(&bytes, &size, &image, 75, &err), err);
    write_bytes(again, bytes, (size_t)size);
    cr_expect(same_files(path, again));
    free(bytes);
    cr_expect(jpeg_bytes(&bytes, &size, &image, 101, &err) == ERR_ARG && !bytes);
    const ResizeRule rule = {.resize = 20, .crop = 20, .squash = true};
    ASSERT_OK(resize_whole(&resizer, whole, &image, 20, 20, &err), err);
    ASSERT_OK(resize_image(&resizer, ruled, &image, &rule, &err), err);
    cr_expect(memcmp(whole, ruled, sizeof whole) == 0);
    cr_expect(resize_whole(&resizer, whole, &image, 0, 20, &err) == ERR_ARG);
    resizer_free(&resizer);
    free(path);
    free(again);
    remove_folder(folder);
}

Test(gather, the_command_writes_the_page_and_says_where, .timeout = 120) {
    MadeRun m;
    Ran ran;
    made_run(&m);
    made_run_pictures(&m);
    char *page = format_text("%s/page.html", m.folder);
    run_turtle(&ran, "report --run %s --out %s --json", m.run, page);
    cr_assert(ran.status == 0, "%s", ran.err);
    FileMap map;
    Error err;
    ASSERT_OK(file_map(&map, page, &err), err);
    cr_expect(json_number(ran.out, "bytes") == (double)map.bytes);
    cr_expect(json_number(ran.out, "samples") == RUN_N && json_number(ran.out, "classes") == 3);
    cr_expect(json_number(ran.out, "pictures") == RUN_N && json_number(ran.out, "damaged") == 0);
    cr_expect(!memmem(map.data, (size_t)map.bytes, "<script>alert", 13), "a name is markup");
    file_unmap(&map);
    run_turtle(&ran, "report --run %s --out %s", m.run, m.folder);
    cr_expect(ran.status == 1, "a folder is no page: %s", ran.out);
    run_turtle(&ran, "report --run %s --out %s/run.json", m.run, m.run);
    cr_expect(ran.status == 1 && strstr(ran.err, "ends in .html"), "the record of a run: %s",
              ran.err);
    run_turtle(&ran, "report --root_dir %s/root --dataset x --phis a b", m.folder);
    cr_expect(ran.status == 1 && strstr(ran.err, "task_checkpoints/2space/a_b/x holds no run"),
              "%s", ran.err);
    char *place = format_text("%s/root/task_checkpoints/2space/a_b/x/one", m.folder);
    ASSERT_OK(folder_make(place, &err), err);
    cr_assert(rmdir(place) == 0 && rename(m.run, place) == 0);
    run_turtle(&ran, "report --root_dir %s/root --dataset x --phis a b", m.folder);
    cr_expect(ran.status == 0 && strstr(ran.out, "x/one/report.html"), "%s%s", ran.out, ran.err);
    run_turtle(&ran, "report");
    cr_expect(ran.status == 2 && strstr(ran.err, "expected --run DIR"), "%s", ran.err);
    run_turtle(&ran, "report --run %s --max_size 0", place);
    cr_expect(ran.status == 2 && strstr(ran.err, "--max_size"), "%s", ran.err);
    free(place);
    free(page);
    made_run_free(&m);
}
