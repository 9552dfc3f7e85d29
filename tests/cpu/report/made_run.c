/* made_run.c - a finished run directory made by hand. */
#include "tests/cpu/report/made_run.h"

#include "io/arrays/npy.h"
#include "io/images/jpeg_write.h"

static double draw(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53 - 0.5;
}

void made_file(const char *folder, const char *name, const char *text) {
    char *path = format_text("%s/%s", folder, name);
    Error err;
    ASSERT_OK(folder_make(folder, &err), err);
    write_bytes(path, text, strlen(text));
    free(path);
}

/* Computes what the checkpoint says of sample i. */
static void label_sample(MadeRun *m, const TaskEncoder *task, int i) {
    for (int k = 0; k < RUN_K; k++) {
        double logit[RUN_C], sum = 0.0;
        for (int c = 0; c < RUN_C; c++) {
            logit[c] = (double)task->linear[k][RUN_C * RUN_D + c];
            for (int j = 0; j < RUN_D; j++)
                logit[c] += (double)task->linear[k][c * RUN_D + j] * (double)m->Z[k][i][j];
            sum += exp(logit[c]);
        }
        for (int c = 0; c < RUN_C; c++) m->soft[i][c] += exp(logit[c]) / sum / RUN_K;
    }
    int best = 0, second = -1;
    for (int c = 1; c < RUN_C; c++)
        if (m->soft[i][c] > m->soft[i][best]) best = c;
    for (int c = 0; c < RUN_C; c++)
        if (c != best && (second < 0 || m->soft[i][c] > m->soft[i][second])) second = c;
    m->cluster[i] = best;
    m->second[i] = second;
    m->confidence[i] = m->soft[i][best];
    m->margin[i] = m->soft[i][best] - m->soft[i][second];
}

static void write_features(const MadeRun *m, int k, const char *folder) {
    const int64_t shape[2] = {RUN_N, RUN_D};
    char *path = format_text("%s/x_train.npy", folder);
    Error err;
    ASSERT_OK(folder_make(folder, &err), err);
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, shape, m->Z[k], &err), err);
    free(path);
}

void made_predictions(const MadeRun *m, const char *folder, const int map[RUN_C]) {
    char *text = malloc(RUN_N * 400), *at = text;
    at += sprintf(at, "path,cluster,confidence,margin\n");
    for (int i = 0; i < RUN_N; i++) {
        *at++ = '"';
        for (const char *c = m->name[i]; *c; c++) {
            if (*c == '"') *at++ = '"';
            *at++ = *c;
        }
        at += sprintf(at, "\",%d,%.6g,%.6g\n", map[m->cluster[i]], m->confidence[i], m->margin[i]);
    }
    made_file(folder, "predictions_train.csv", text);
    free(text);
}

static void write_record(const MadeRun *m) {
    char *text = format_text(
        "{\"command\": \"train\", \"version\": \"0.9\", \"seed\": 7, \"device\": \"cpu\", "
        "\"finished\": true, "
        "\"seconds\": 1.5, \"split\": \"train\", \"samples\": %d, \"cluster_acc\": 0.9, \"nmi\": "
        "null, "
        "\"clusters_found\": 3, \"loss\": 2.5, \"checkpoint\": \"%s/checkpoint.pt\", "
        "\"command_line\": \"turtle <b>\", "
        "\"dataset\": \"x\", \"phis\": \"a_b\", \"inputs\": [{\"split\": \"train\", \"file\": "
        "\"%s/root/representations/a/x_train.npy\", \"shape\": [90, 4], \"type\": \"float32\", "
        "\"images\": \"%s\", "
        "\"image_list\": null}, {\"split\": \"train\", \"file\": "
        "\"%s/root/representations/b/x_train.npy\", "
        "\"images\": \"%s\"}, {\"split\": \"val\", \"file\": \"nowhere.npy\"}], \"C\": 3, "
        "\"gamma\": 10.0}",
        RUN_N, m->run, m->folder, m->pictures, m->folder, m->pictures);
    made_file(m->run, "run.json", text);
    free(text);
}

void made_run(MadeRun *m) {
    static const int same[RUN_C] = {0, 1, 2};
    const int64_t d[RUN_K] = {RUN_D, RUN_D}, n = RUN_N;
    uint64_t state = 1;
    TaskEncoder task;
    Error err;
    *m = (MadeRun){.folder = temporary_folder()};
    m->run = format_text("%s/root/run", m->folder);
    m->pictures = format_text("%s/pictures", m->folder);
    ASSERT_OK(task_encoder_alloc(&task, RUN_K, RUN_C, d, &err), err);
    for (int k = 0; k < RUN_K; k++) {
        for (int i = 0; i < RUN_C * (RUN_D + 1); i++)
            task.linear[k][i] = (float)(4.0 * draw(&state));
        for (int i = 0; i < RUN_N; i++)
            for (int j = 0; j < RUN_D; j++) m->Z[k][i][j] = (float)(4.0 * draw(&state));
    }
    for (int i = 0; i < RUN_N; i++) {
        label_sample(m, &task, i);
        m->label[i] = i % 10 == 9 ? m->cluster[i] : (m->cluster[i] + 1) % RUN_C;
        snprintf(m->name[i], sizeof m->name[i], "p%02d.jpg", i);
    }
    memset(m->name[3], 'n', 251);
    memcpy(m->name[3] + 251, ".jpg", 5);
    strcpy(m->name[4], "<script>alert(\"1\")<x>,.jpg");
    char *a = format_text("%s/root/representations/a", m->folder),
         *b = format_text("%s/root/representations/b", m->folder),
         *labels = format_text("%s/root/labels", m->folder),
         *y = format_text("%s/x_train.npy", labels),
         *checkpoint = format_text("%s/checkpoint.pt", m->run);
    write_features(m, 0, a);
    write_features(m, 1, b);
    ASSERT_OK(folder_make(labels, &err), err);
    ASSERT_OK(folder_make(m->run, &err), err);
    ASSERT_OK(npy_write(y, DTYPE_I64, 1, &n, m->label, &err), err);
    ASSERT_OK(checkpoint_save(checkpoint, &task, &err), err);
    write_record(m);
    made_predictions(m, m->run, same);
    made_file(m->run, "log.jsonl",
              "{\"iteration\": 20, \"loss\": 4.5, \"entropy\": 1.0, \"clusters_found\": 2, "
              "\"cluster_acc\": null, \"seconds\": 1}\n{\"iteration\": 40, \"loss\": 2.5, "
              "\"entropy\": 1.1, \"clusters_found\": 3, \"cluster_acc\": 0.9, \"seconds\": 2}\n");
    task_encoder_free(&task);
    free(a);
    free(b);
    free(labels);
    free(y);
    free(checkpoint);
}

void made_run_pictures(const MadeRun *m) {
    enum { WIDE = 160, HIGH = 100 };
    uint8_t *rgb = malloc(3 * WIDE * HIGH);
    uint64_t state = 9;
    Error err;
    ASSERT_OK(folder_make(m->pictures, &err), err);
    for (int i = 0; i < RUN_N; i++) {
        for (int p = 0; p < 3 * WIDE * HIGH; p++)
            rgb[p] = (uint8_t)(p % 3 * 60 + i + 30 * draw(&state));
        char *path = format_text("%s/%s", m->pictures, m->name[i]);
        ASSERT_OK(jpeg_write(path, &(Image){rgb, WIDE, HIGH}, 90, &err), err);
        free(path);
    }
    free(rgb);
}

void made_run_free(MadeRun *m) {
    free(m->run);
    free(m->pictures);
    remove_folder(m->folder);
}

bool made_says(const Report *r, const char *text) {
    for (int i = 0; i < r->notice_count; i++)
        if (strstr(r->notices[i], text)) return true;
    return false;
}
