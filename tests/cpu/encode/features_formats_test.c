/* features_formats_test.c - features from every file and of every size give the same clusters, or are
 * refused with the reason; and what is written back as arrays. */
#include "io/arrays/array_file.h"
#include "io/arrays/torch_file.h"
#include "io/files/zip.h"
#include "tests/support/check.h"

enum { N = 60, D = 8, C = 3 };

/* Multiples of 1/64 below 16: exact in float16. Three groups, sample i in group i % 3. */
static void make_features(float *x) {
    for (int i = 0; i < N * D; i++)
        x[i] = (i / D % C == i % D % C ? 8.0f : 0.0f) + (float)(i * 37 % 101 - 50) / 64.0f;
}

typedef struct {
    char *folder;
    float x[N * D];
} Data;

static char *path_in(const Data *data, const char *name) {
    return format_text("%s/%s", data->folder, name);
}

static void save(const Data *data, const char *name, DType type, int axes, const int64_t *shape,
                 const void *x) {
    char *path = path_in(data, name);
    Error err;
    ASSERT_OK(npy_write(path, type, axes, shape, x, &err), err);
    free(path);
}

static void save_scaled(const Data *data, const char *name, DType type, double scale) {
    float f[N * D];
    double d[N * D];
    for (int i = 0; i < N * D; i++) d[i] = data->x[i] * scale, f[i] = (float)d[i];
    save(data, name, type, 2, (const int64_t[]){N, D}, type == DTYPE_F32 ? (void *)f : (void *)d);
}

static Data make_data(void) {
    Data data = {.folder = temporary_folder()};
    int64_t y[N];
    make_features(data.x);
    for (int i = 0; i < N; i++) y[i] = i % C;
    save(&data, "x.npy", DTYPE_F32, 2, (const int64_t[]){N, D}, data.x);
    save(&data, "y.npy", DTYPE_I64, 1, (const int64_t[]){N}, y);
    return data;
}

/* Runs k-means on the features; its stdout is JSON. */
static void run_kmeans(Ran *ran, const Data *data, const char *name, const char *more) {
    run_turtle(ran,
               "kmeans --root_dir %s --features '%s/%s' --labels %s/y.npy --classes 3 --n_init 2 "
               "--threads 1 --device cpu --json %s",
               data->folder, data->folder, name, data->folder, more);
}

/* --- what is read ----------------------------------------------------------------------------- */

static void write_fortran(const Data *data) {
    char bytes[128 + sizeof data->x] = "\x93NUMPY\x01";
    float *to = (float *)(bytes + 128);
    char *path = path_in(data, "fortran.npy");
    bytes[8] = 118;
    snprintf(bytes + 10, 118, "{'descr': '<f4', 'fortran_order': True, 'shape': (%d, %d), }", N, D);
    memset(bytes + 10 + strlen(bytes + 10), ' ', 118 - strlen(bytes + 10));
    bytes[127] = '\n';
    for (int i = 0; i < N * D; i++) to[i % D * N + i / D] = data->x[i];
    write_bytes(path, bytes, sizeof bytes);
    free(path);
}

/* Writes as numpy.savez does: x as feat.npy, and where asked for y. */
static void write_npz(const Data *data, const char *name, bool both) {
    char *path = path_in(data, name);
    ZipWriter zip = {.stream = fopen(path, "wb")};
    Error err;
    for (int i = 0; i <= both; i++) {
        FileMap map;
        char *from = path_in(data, i ? "y.npy" : "x.npy");
        ASSERT_OK(file_map(&map, from, &err), err);
        ASSERT_OK(zip_add(&zip, i ? "y.npy" : "feat.npy", map.data, map.bytes, &err), err);
        file_unmap(&map);
        free(from);
    }
    zip_finish(&zip);
    cr_assert(fclose(zip.stream) == 0);
    zip_writer_free(&zip);
    free(path);
}

static void write_pt(const Data *data) {
    char *path = path_in(data, "x.pt");
    char name[] = "feat";
    const Tensor tensor = {.name = name,
                           .type = DTYPE_F32,
                           .axes = 2,
                           .shape = {N, D},
                           .count = N * D,
                           .data = data->x};
    Error err;
    ASSERT_OK(torch_save(path, &tensor, 1, &err), err);
    free(path);
}

static void write_numbers(const Data *data) {
    double f8[N * D];
    int64_t i8[N * D];
    int16_t i2[N * D];
    uint8_t positive[N * D];
    uint16_t f2[N * D];
    for (int i = 0; i < N * D; i++) {
        f8[i] = data->x[i];
        i8[i] = (int64_t)(data->x[i] * 64);
        i2[i] = (int16_t)i8[i];
        positive[i] = data->x[i] > 4;
        f2[i] = f16_from_f32(data->x[i]);
    }
    const int64_t shape[] = {N, D};
    save(data, "f8.npy", DTYPE_F64, 2, shape, f8);
    save(data, "f2.npy", DTYPE_F16, 2, shape, f2);
    save(data, "i8.npy", DTYPE_I64, 2, shape, i8);
    save(data, "i2.npy", DTYPE_I16, 2, shape, i2);
    save(data, "b.npy", DTYPE_BOOL, 2, shape, positive);
    save(data, "u1.npy", DTYPE_U8, 2, shape, positive);
    save(data, "n1d.npy", DTYPE_F32, 3, (const int64_t[]){N, 1, D}, data->x);
    save(data, "nd11.npy", DTYPE_F32, 4, (const int64_t[]){N, D, 1, 1}, data->x);
    save(data, "1nd.npy", DTYPE_F32, 3, (const int64_t[]){1, N, D}, data->x);
}

Test(features_formats, every_file_of_the_same_numbers_is_the_same, .timeout = 60) {
    static const struct {
        const char *name;
        double unit; /* of the inertia */
        const char *says;
    } files[] = {{"x.npy", 1, ""},
                 {"fortran.npy", 1, "Fortran order"},
                 {"f8.npy", 1, ""},
                 {"f2.npy", 1, ""},
                 {"i8.npy", 4096, ""},
                 {"i2.npy", 4096, ""},
                 {"n1d.npy", 1, "(60, 1, 8) is taken as (60, 8)"},
                 {"nd11.npy", 1, "(60, 8, 1, 1) is taken as (60, 8)"},
                 {"1nd.npy", 1, "(1, 60, 8) is taken as (60, 8)"},
                 {"one.npz", 1, ""},
                 {"one.npz:feat", 1, ""},
                 {"two.npz:feat", 1, ""},
                 {"x.pt", 1, ""},
                 {"x.pt:feat", 1, ""}};
    Data data = make_data();
    Ran ran;
    write_fortran(&data);
    write_npz(&data, "one.npz", false);
    write_npz(&data, "two.npz", true);
    write_pt(&data);
    write_numbers(&data);
    double inertia = 0.0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        run_kmeans(&ran, &data, files[i].name, "");
        cr_assert(ran.status == 0, "%s: %s", files[i].name, ran.err);
        cr_expect(strstr(ran.err, files[i].says) != NULL, "%s: %s", files[i].name, ran.err);
        cr_expect(json_number(ran.out, "train_acc") == 1.0, "%s", files[i].name);
        if (i == 0) inertia = json_number(ran.out, "inertia");
        cr_expect(json_number(ran.out, "inertia") == inertia * files[i].unit, "%s: %.17g not %.17g",
                  files[i].name, json_number(ran.out, "inertia"), inertia * files[i].unit);
    }
    for (int i = 0; i < 2; i++) {
        run_kmeans(&ran, &data, i ? "b.npy" : "u1.npy", "");
        cr_expect(ran.status == 0 && json_number(ran.out, "train_acc") == 1.0, "%s", ran.err);
    }
    remove_folder(data.folder);
}

/* Labels lie where features do. */
Test(features_formats, labels_in_the_same_archive) {
    static const char *const labels[] = {"two.npz:y", "y.npy"};
    Data data = make_data();
    Ran ran;
    write_npz(&data, "two.npz", true);
    for (int i = 0; i < 2; i++) {
        run_turtle(
            &ran,
            "probe --root_dir %s --features %s/two.npz:feat --labels %s/%s --threads 1 --json",
            data.folder, data.folder, data.folder, labels[i]);
        cr_assert(ran.status == 0, "%s", ran.err);
        cr_expect(json_number(ran.out, "train_acc") == 1.0 && json_number(ran.out, "classes") == 3);
    }
    run_turtle(&ran, "info %s/two.npz", data.folder);
    cr_expect(ran.status == 0 && strstr(ran.out, "feat") && strstr(ran.out, "(60, 8)"), "%s",
              ran.out);
    run_turtle(&ran, "kmeans --features %s/x.npy --labels %s/two.npz --classes 3", data.folder,
               data.folder);
    cr_expect(ran.status == 1 && strstr(ran.err, "holds 2 arrays: feat, y"), "%s", ran.err);
    remove_folder(data.folder);
}

Test(features_formats, integers_beyond_float32_are_said) {
    Data data = make_data();
    int64_t big[N * D];
    Ran ran;
    for (int i = 0; i < N * D; i++) big[i] = (int64_t)(data.x[i] * 64) * 1000003 + 1;
    save(&data, "big.npy", DTYPE_I64, 2, (const int64_t[]){N, D}, big);
    run_kmeans(&ran, &data, "big.npy", "");
    cr_expect(ran.status == 0 && json_number(ran.out, "train_acc") == 1.0, "%s", ran.err);
    cr_expect(strstr(ran.err, "int64 numbers are rounded to float32"), "%s", ran.err);
    remove_folder(data.folder);
}

Test(features_formats, other_shapes_and_values_are_refused_by_name, .timeout = 60) {
    static const struct {
        const char *name, *says;
    } refused[] = {{"n.npy", "got (60): one row a sample"},
                   {"ntd.npy", "got (4, 15, 8): one vector a sample; of tokens take the mean"},
                   {"images.npy", "got (2, 3, 10, 8): of images make features first"},
                   {"empty.npy", "got (0, 8)"},
                   {"nan.npy", "row 7, column 3 is NaN"},
                   {"inf.npy", "row 7, column 3 is infinite"},
                   {"inf64.npy", "row 7, column 3 is infinite"},
                   {"two.npz", "holds 2 arrays: feat, y"},
                   {"x.csv", "convert it: python3 -c"}};
    Data data = make_data();
    Ran ran;
    float bad[N * D];
    double bad64[N * D];
    write_npz(&data, "two.npz", true);
    char *csv = path_in(&data, "x.csv");
    write_bytes(csv, "1,2\n3,4\n", 8);
    save(&data, "n.npy", DTYPE_F32, 1, (const int64_t[]){N}, data.x);
    save(&data, "ntd.npy", DTYPE_F32, 3, (const int64_t[]){4, 15, D}, data.x);
    save(&data, "images.npy", DTYPE_F32, 4, (const int64_t[]){2, 3, 10, D}, data.x);
    save(&data, "empty.npy", DTYPE_F32, 2, (const int64_t[]){0, D}, data.x);
    for (int i = 0; i < N * D; i++) bad[i] = data.x[i], bad64[i] = data.x[i];
    bad64[7 * D + 3] = -INFINITY;
    save(&data, "inf64.npy", DTYPE_F64, 2, (const int64_t[]){N, D}, bad64);
    bad[7 * D + 3] = NAN;
    save(&data, "nan.npy", DTYPE_F32, 2, (const int64_t[]){N, D}, bad);
    bad[7 * D + 3] = INFINITY;
    save(&data, "inf.npy", DTYPE_F32, 2, (const int64_t[]){N, D}, bad);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        run_kmeans(&ran, &data, refused[i].name, "");
        cr_expect(ran.status == 1, "%s: %d", refused[i].name, ran.status);
        cr_expect(strstr(ran.err, refused[i].says), "%s: %s", refused[i].says, ran.err);
        cr_expect(strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1, "not one line: %s",
                  ran.err);
    }
    run_turtle(&ran, "info %s", csv);
    cr_expect(ran.status == 1 && strstr(ran.err, "convert it: python3 -c"), "%s", ran.err);
    free(csv);
    remove_folder(data.folder);
}

/* --- range ------------------------------------------------------------------------------------ */

/* A power of two changes no bit of what k-means finds, and scales the inertia by its square. */
Test(features_formats, powers_of_two_are_undone, .timeout = 60) {
    static const struct {
        DType type;
        int exponent;
    } scales[] = {{DTYPE_F32, 0},    {DTYPE_F32, -100}, {DTYPE_F32, -130}, {DTYPE_F32, 100},
                  {DTYPE_F64, -450}, {DTYPE_F64, 450},  {DTYPE_F64, 1000}, {DTYPE_F64, -1060}};
    Data data = make_data();
    double inertia = 0.0, spherical = 0.0;
    char *first = path_in(&data, "p0.csv");
    Ran ran;
    for (int i = 0; i < 8; i++) {
        char name[32], *csv, *flag;
        snprintf(name, sizeof name, "s%d.npy", i);
        save_scaled(&data, name, scales[i].type, ldexp(1.0, scales[i].exponent));
        csv = format_text("%s/p%d.csv", data.folder, i);
        flag = format_text("--predictions %s", csv);
        run_kmeans(&ran, &data, name, flag);
        cr_assert(ran.status == 0, "2^%d: %s", scales[i].exponent, ran.err);
        cr_expect(!scales[i].exponent == !strstr(ran.err, "divided by 2^"), "%s", ran.err);
        if (i == 0) inertia = json_number(ran.out, "inertia");
        cr_expect(same_files(csv, first), "2^%d: other clusters", scales[i].exponent);
        run_kmeans(&ran, &data, name, "--spherical");
        if (i == 0) spherical = json_number(ran.out, "inertia");
        cr_expect(json_number(ran.out, "inertia") == spherical, "2^%d", scales[i].exponent);
        run_kmeans(&ran, &data, name, "");
        if (abs(scales[i].exponent) < 500) /* else it leaves double too */
            cr_expect(json_number(ran.out, "inertia") == ldexp(inertia, 2 * scales[i].exponent),
                      "2^%d: %g", scales[i].exponent, json_number(ran.out, "inertia"));
        free(csv), free(flag);
    }
    free(first);
    remove_folder(data.folder);
}

Test(features_formats, any_scale_clusters_or_says_why_not, .timeout = 60) {
    static const double scales[] = {1e-300, 1e-30, 1e-15, 1e15, 1e25, 1e300};
    static const char *const reasons[] = {"holds nothing that small", "gradients would vanish",
                                          "gradients would vanish",   NULL,
                                          "would leave float32",      "3.4e38 at most"};
    Data data = make_data();
    Ran ran;
    for (int i = 0; i < 6; i++) {
        save_scaled(&data, "s.npy", DTYPE_F64, scales[i]);
        run_kmeans(&ran, &data, "s.npy", "");
        cr_expect(ran.status == 0 && json_number(ran.out, "train_acc") == 1.0, "%g: %s", scales[i],
                  ran.err);
        cr_expect((strstr(ran.err, "which no number of 64 bits holds") == NULL) ==
                      (i != 0 && i != 5),
                  "%g: %s", scales[i], ran.err);
        if (!reasons[i]) continue;
        static const char *const learners[] = {"train --classes 3 --T 2 --out", "probe --root_dir",
                                               "sweep --classes 3 --T 2 --out"};
        for (int l = 0; l < 3; l++) {
            run_turtle(&ran, "%s %s/run --features %s/s.npy --labels %s/y.npy --quiet", learners[l],
                       data.folder, data.folder, data.folder);
            cr_expect(ran.status == 1 && strstr(ran.err, reasons[i]) &&
                          strstr(ran.err, "scale the features"),
                      "%g: %s: %s", scales[i], learners[l], ran.err);
        }
    }
    save_scaled(&data, "s.npy", DTYPE_F32, 1e-5);
    run_turtle(&ran, "train --classes 3 --T 2 --features %s/s.npy --out %s/run", data.folder,
               data.folder);
    cr_expect(ran.status == 0 && strstr(ran.err, "suit features near 1"), "%s", ran.err);
    remove_folder(data.folder);
}

/* --- what is written -------------------------------------------------------------------------- */

/* Reads column `column` of a CSV of predictions; the first is 0. */
static void read_column(double *out, const char *path, int column) {
    char line[256];
    FILE *f = fopen(path, "r");
    cr_assert(f && fgets(line, sizeof line, f));
    for (int i = 0; i < N; i++) {
        cr_assert(fgets(line, sizeof line, f), "%s has %d lines", path, i);
        char *at = line;
        for (int c = 0; c < column; c++) at = strchr(at, ',') + 1;
        out[i] = strtod(at, NULL);
    }
    fclose(f);
}

static void expect_arrays(const Data *data, const char *csv, const char *ids, const char *soft) {
    Npy a;
    Error err;
    int64_t cluster[N];
    float Y[N * C];
    double in_csv[N], confidence[N];
    read_column(in_csv, csv, 1);
    read_column(confidence, csv, 2);
    ASSERT_OK(npy_open(&a, ids, &err), err);
    cr_assert(a.type == DTYPE_I64 && a.axes == 1 && a.shape[0] == N);
    ASSERT_OK(npy_read_i64(&a, 0, N, cluster, &err), err);
    npy_close(&a);
    for (int i = 0; i < N; i++) cr_expect(cluster[i] == in_csv[i], "sample %d", i);
    if (!soft) return;
    ASSERT_OK(npy_open(&a, soft, &err), err);
    cr_assert(a.type == DTYPE_F32 && a.axes == 2 && a.shape[0] == N && a.shape[1] == C);
    ASSERT_OK(npy_read_f32(&a, 0, N * C, Y, &err), err);
    npy_close(&a);
    for (int i = 0; i < N; i++) {
        const float *row = Y + i * C;
        int best = 0;
        for (int c = 1; c < C; c++) best = row[c] > row[best] ? c : best;
        cr_expect(best == cluster[i] && fabs(row[0] + row[1] + row[2] - 1.0) < 1e-5, "row %d", i);
        cr_expect(fabs(row[best] - confidence[i]) < 2e-6, "row %d: %g, %g", i, row[best],
                  confidence[i]); /* the CSV has six digits */
    }
    (void)data;
}

Test(features_formats, predictions_and_probabilities_as_arrays, .timeout = 60) {
    Data data = make_data();
    const char *folder = data.folder;
    char *csv = format_text("%s/run/predictions_train.csv", folder);
    char *ids = format_text("%s/ids.npy", folder), *soft = format_text("%s/soft.npy", folder);
    char *again = format_text("%s/again.npy", folder);
    Ran ran;
    run_turtle(&ran,
               "train --features %s/x.npy --classes 3 --T 20 --out %s/run --quiet --predictions %s "
               "--probabilities %s",
               folder, folder, ids, soft);
    cr_assert(ran.status == 0, "%s", ran.err);
    expect_arrays(&data, csv, ids, soft);
    run_turtle(&ran,
               "evaluate --features %s/x.npy --ckpt_path %s/run --quiet --predictions %s "
               "--probabilities %s",
               folder, folder, ids, again);
    cr_assert(ran.status == 0, "%s", ran.err);
    expect_arrays(&data, csv, ids, again);
    cr_expect(same_files(soft, again));
    run_turtle(&ran, "evaluate --features %s/x.npy --ckpt_path %s/run --probabilities %s/s.csv",
               folder, folder, folder);
    cr_expect(ran.status == 2 && strstr(ran.err, "ends in .npy"), "%s", ran.err);
    free(csv);
    csv = format_text("%s/k.csv", folder);
    for (int i = 0; i < 2; i++) {
        run_turtle(&ran,
                   "kmeans --root_dir %s --features %s/x.npy --classes 3 --quiet --predictions %s",
                   folder, folder, i ? csv : ids);
        cr_assert(ran.status == 0, "%s", ran.err);
    }
    expect_arrays(&data, csv, ids, NULL);
    free(csv), free(ids), free(soft), free(again);
    remove_folder(data.folder);
}
