/* frames.h - the middle frame of each video as a picture, through ffprobe and ffmpeg.
 *
 * Frame n / 2 + 1 of n is taken, n as the container states it, counted from 0 and rounded down: the
 * published implementation's. It is stored as JPEG of quality 75, as Pillow stores it by default. Videos are
 * opened here, and children get them as their standard input.
 */
#ifndef TURTLE_HOST_PREPARE_FRAMES_H
#define TURTLE_HOST_PREPARE_FRAMES_H

#include "host/turtle.h"
#include "io/status.h"

typedef struct {
    char *video; /* path; owned */
    char *image; /* path of the picture; owned */
    char *why;   /* why there is no picture, or NULL; owned */
} Frame;

typedef struct {
    Frame *frame; /* owned */
    int64_t count, capacity;
} Frames;

/* Adds a video. The list owns both texts, also where it fails. NULL for either is out of memory. */
Status frames_add(Frames *f, char *video, char *image, Error *err);
void frames_free(Frames *f); /* NULL and twice are fine */

/* Makes every picture that is not there yet, by as many threads as common->threads asks for. Videos without a
 * frame are told by their `why`. ERR_IO: ffmpeg or ffprobe is not installed; the message has the line that makes
 * one picture. ERR_STOPPED: pictures that are there stay. */
Status frames_make(Frames *f, const TurtleCommon *common, Error *err);

#endif
