/* frames.c - children that look into videos, several at a time. */
#include "host/prepare/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/images/child.h"
#include "host/prepare/fetch.h"
#include "host/tell/clock.h"
#include "host/tell/notify.h"
#include "io/files/file.h"
#include "io/files/grow.h"
#include "io/images/image.h"
#include "io/images/jpeg_write.h"
#include "io/thread.h"

enum { QUALITY = 75, SECONDS = 600 };

Status frames_add(Frames *f, char *video, char *image, Error *err) {
    Frame *longer = video && image ? grown(f->frame, f->count, &f->capacity, sizeof *longer) : NULL;
    if (!longer) {
        free(video);
        free(image);
        return fail(err, ERR_MEMORY, "prepare: out of memory");
    }
    f->frame = longer;
    f->frame[f->count++] = (Frame){.video = video, .image = image};
    return OK;
}

void frames_free(Frames *f) {
    if (!f) return;
    for (int64_t i = 0; i < f->count; i++) {
        free(f->frame[i].video);
        free(f->frame[i].image);
        free(f->frame[i].why);
    }
    free(f->frame);
    *f = (Frames){0};
}

/* Work that threads share. */
typedef struct {
    Frames *frames;
    const TurtleHooks *hooks;
    char *ffprobe, *ffmpeg, **environment;
    pthread_mutex_t lock; /* of the members below */
    int64_t next, done;
    Status st;
    Error err;
} Work;

/* Runs a child with the video as its standard input. */
static Status run(ChildResult *r, const Work *w, const char *const *argv, const char *video,
                  Error *err) {
    const ChildLimits limits = {.seconds = SECONDS,
                                .most_memory = (int64_t)8 << 30,
                                .most_output = 3 * (int64_t)IMAGE_MAX_PIXELS + 64};
    const int input = open(video, O_RDONLY | O_CLOEXEC);
    if (input < 0) return fail(err, ERR_IO, "prepare: %s: %s", video, strerror(errno));
    const Status st = child_run(r, argv, (const char *const *)w->environment, input, &limits, err);
    close(input);
    return st;
}

/* Asks how many frames the container states; 0 where it states none. Returns false if there is no picture
 * stream: `why` says what ffprobe said. */
static bool count_frames(int64_t *n, const Work *w, const char *video, char why[240]) {
    const char *const argv[] = {w->ffprobe,
                                "-v",
                                "error",
                                "-protocol_whitelist",
                                "file",
                                "-select_streams",
                                "v:0",
                                "-show_entries",
                                "stream=nb_frames",
                                "-of",
                                "csv=p=0",
                                "-i",
                                "/dev/stdin",
                                NULL};
    ChildResult r = {0};
    Error err = {""};
    char text[32] = "";
    const Status st = run(&r, w, argv, video, &err);
    const bool good = st == OK && r.end == CHILD_EXITED && r.code == 0 && r.bytes > 0;
    if (good) memcpy(text, r.output, (size_t)(r.bytes < 31 ? r.bytes : 31));
    *n = good ? atoll(text) : 0; /* N/A is 0 */
    snprintf(why, 240, "%.230s",
             st != OK    ? err.text
             : r.said[0] ? r.said
                         : "there is no stream of pictures");
    child_result_free(&r);
    return good && *n >= 0;
}

/* Makes one picture. Returns false if there is none: `why` says so. */
static bool make_frame(const Work *w, const Frame *f, char why[240]) {
    char filter[64];
    int64_t n;
    ChildResult r = {0};
    Error err = {""};
    Image image = {0};
    if (!count_frames(&n, w, f->video, why)) return false;
    snprintf(filter, sizeof filter, "select=eq(n\\,%lld)", (long long)(n / 2 + 1));
    const char *const argv[] = {w->ffmpeg,
                                "-nostdin",
                                "-hide_banner",
                                "-loglevel",
                                "error",
                                "-threads",
                                "1",
                                "-protocol_whitelist",
                                "file",
                                "-i",
                                "/dev/stdin",
                                "-map",
                                "0:v:0",
                                "-vf",
                                filter,
                                "-frames:v",
                                "1",
                                "-f",
                                "image2pipe",
                                "-c:v",
                                "ppm",
                                "-pix_fmt",
                                "rgb24",
                                "pipe:1",
                                NULL};
    Status st = run(&r, w, argv, f->video, &err);
    if (st == OK && (r.end != CHILD_EXITED || r.bytes == 0)) {
        st = ERR_FORMAT;
        if (r.said[0] || r.end != CHILD_EXITED)
            snprintf(err.text, sizeof err.text, "%s", r.said[0] ? r.said : "ffmpeg was killed");
        else snprintf(err.text, sizeof err.text, "it has no frame %lld", (long long)(n / 2 + 1));
    }
    if (st == OK) st = image_decode(&image, r.output, r.bytes, f->video, &err);
    if (st == OK) st = jpeg_write(f->image, &image, QUALITY, &err);
    snprintf(why, 240, "%.230s", err.text);
    image_free(&image);
    child_result_free(&r);
    return st == OK;
}

static void *work(void *context) {
    Work *w = context;
    for (;;) {
        char why[240] = "";
        pthread_mutex_lock(&w->lock);
        const int64_t i = w->next;
        const bool more = i < w->frames->count && w->st == OK && !stop_asked(w->hooks);
        w->next += more;
        pthread_mutex_unlock(&w->lock);
        if (!more) return NULL;
        Frame *f = &w->frames->frame[i];
        const bool made = file_exists(f->image) || make_frame(w, f, why);
        if (!made) f->why = strdup(why);
        pthread_mutex_lock(&w->lock);
        w->done++;
        if (!made && !f->why) w->st = fail(&w->err, ERR_MEMORY, "prepare: out of memory");
        pthread_mutex_unlock(&w->lock);
    }
}

static void stop(Work *w) {
    pthread_mutex_lock(&w->lock);
    if (w->st == OK)
        w->st = fail(&w->err, ERR_STOPPED,
                     "prepare: stopped: frames that are there stay, and the next call continues");
    pthread_mutex_unlock(&w->lock);
}

/* Shows how far the threads are until they are done. */
static void watch(Work *w, double started) {
    for (bool all = false; !all;) {
        pthread_mutex_lock(&w->lock);
        const int64_t done = w->done;
        all = done == w->frames->count || w->st != OK || stop_asked(w->hooks);
        pthread_mutex_unlock(&w->lock);
        const TurtleProgress p = {.unit = "videos",
                                  .iteration = done,
                                  .iterations = w->frames->count,
                                  .seconds = now_seconds() - started,
                                  .loss = NAN,
                                  .entropy = NAN,
                                  .cluster_acc = NAN};
        if (progress_tell(w->hooks, &p) && !all) stop(w);
        if (!all) usleep(50000);
    }
}

static Status run_threads(Work *w, int threads, Error *err) {
    enum { MOST = 64 };
    pthread_t thread[MOST];
    int started = 0;
    if (threads > MOST) threads = MOST;
    while (started < threads && start_thread(&thread[started], work, w) == 0) started++;
    if (started > 0) watch(w, now_seconds());
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    if (started == 0) return fail(err, ERR_IO, "prepare: no thread can be started");
    if (w->st != OK) return fail(err, w->st, "%s", w->err.text);
    if (stop_asked(w->hooks))
        return fail(err, ERR_STOPPED,
                    "prepare: stopped: frames that are there stay, and the next call continues");
    return OK;
}

Status frames_make(Frames *f, const TurtleCommon *common, Error *err) {
    Work w = {.frames = f,
              .hooks = &common->hooks,
              .ffprobe = program_find("ffprobe"),
              .ffmpeg = program_find("ffmpeg"),
              .environment = child_environment(),
              .st = OK};
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    Status st = w.environment ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK && f->count && (!w.ffprobe || !w.ffmpeg))
        st = fail(err, ERR_IO,
                  "prepare: ffmpeg and ffprobe are not installed (looked in PATH): `apt-get "
                  "install ffmpeg`, or make the frame n / 2 + 1 of "
                  "each video elsewhere: ffmpeg -i %s -vf 'select=eq(n\\,FRAME)' -frames:v 1 %s",
                  f->frame[0].video, f->frame[0].image);
    if (st == OK && f->count) {
        pthread_mutex_init(&w.lock, NULL);
        st = run_threads(&w,
                         common->threads > 0 ? common->threads
                         : cores > 0         ? (int)cores
                                             : 1,
                         err);
        pthread_mutex_destroy(&w.lock);
    }
    free(w.ffprobe);
    free(w.ffmpeg);
    child_environment_free(w.environment);
    return st;
}
