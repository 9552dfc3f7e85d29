/* image.c - finds the reader of a file, and checks it before that reader runs. */
#include "io/images/image.h"

#include <limits.h>
#include <stdlib.h>

#include "io/files/known.h"
#include "io/images/image_reader.h"

const char image_no_memory[] = "out of memory";

static const ImageReader *reader_of(const Look *f) {
    static const char space[] = " \t\r\n\v\f#";
    if (begins(f, 0, "\x89PNG\r\n\x1a\n")) return &png_reader;
    if (begins(f, 0, "\xff\xd8\xff\xf7")) return NULL; /* JPEG-LS */
    if (begins(f, 0, "\xff\xd8\xff")) return &jpeg_reader;
    if (begins(f, 0, "GIF87a") || begins(f, 0, "GIF89a")) return &gif_reader;
    if (begins(f, 0, "BM")) return &bmp_reader;
    const bool pnm = f->bytes >= 3 && f->data[0] == 'P' && f->data[1] >= '1' && f->data[1] <= '7';
    return pnm && f->data[2] && strchr(space, f->data[2]) ? &pnm_reader : NULL;
}

/* Returns true if a file begins with nothing but zeros, as where a disk or a copy failed. */
static bool is_zero(const Look *f) {
    for (int64_t i = 0; i < f->bytes && i < 64; i++)
        if (f->data[i]) return false;
    return true;
}

static Status no_picture(const Look *f, const char *name, Error *err) {
    static const char expected[] = "expected JPEG, PNG, BMP, PNM or GIF";
    const KnownFile *other = known_file(f->data, f->bytes);
    if (is_zero(f))
        return fail(err, ERR_FORMAT, "image: %s: holds zeros from its beginning on: damaged", name);
    if (begins(f, 0, "PK\3\4"))
        return fail(err, ERR_FORMAT, "image: %s: is a zip archive; %s: unpack it", name, expected);
    return fail(err, ERR_FORMAT, "image: %s: %s%s; %s%s%s", name, other ? "is " : "not an image",
                other ? other->is : "", expected, other && other->advice ? ": " : "",
                other && other->advice ? other->advice : "");
}

/* Returns the kind of a file that no reader takes, or NULL. Some kinds have no first bytes of their
 * own, or those of TIFF: the name tells them. */
static const PictureKind *unread_kind(const Look *f, const char *name) {
    const PictureKind *content = picture_kind_of_bytes(f->data, f->bytes),
                      *named = picture_kind_of_name(name);
    const bool open = !content || strcmp(content->name, "TIFF") == 0;
    const bool other = known_file(f->data, f->bytes) || begins(f, 0, "PK\3\4") || is_zero(f);
    if (open && named && named->by_name && !other) return named;
    return content && !content->read ? content : NULL;
}

/* Checks a file. Returns its reader, or NULL: either *st has a failure, or f->unread and *kind say
 * what is not read. */
static const ImageReader *open_reader(Look *f, const PictureKind **kind, const char *name,
                                      Status *st, Error *err) {
    const ImageReader *reader = reader_of(f);
    *st = OK;
    if (f->bytes == 0) {
        *st = fail(err, ERR_FORMAT, "image: %s: the file is empty", name);
        return NULL;
    }
    if (!reader) {
        *kind = unread_kind(f, name);
        if (*kind) f->unread = (*kind)->name;
        else *st = no_picture(f, name, err);
        return NULL;
    }
    reader->look(f);
    if (f->fault) {
        *st = fail(err, ERR_FORMAT, "image: %s: %s", name, f->fault);
    } else if (f->unread) {
        *kind = picture_kind_of_bytes(f->data, f->bytes);
        return NULL;
    } else if (!size_is_fine(f->width, f->height) || f->bytes > INT_MAX) {
        *st =
            fail(err, ERR_FORMAT,
                 "image: %s: %lld x %lld pixels: expected 1 to %d along a side and at most %d in "
                 "all",
                 name, (long long)f->width, (long long)f->height, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
    }
    return *st == OK ? reader : NULL;
}

Status image_unread(const ImageFacts *facts, const char *name, Error *err) {
    const PictureKind *kind = facts->kind;
    const char *advice = "convert it to PNG";
    if (kind && kind->film)
        advice = "take its frames out with ffmpeg -i FILE -vf fps=1 FRAME-%05d.png";
    else if (kind && kind->magick && kind->ffmpeg)
        advice = "convert it to PNG, or let --decoder magick or ffmpeg read it";
    else if (kind && kind->magick) advice = "convert it to PNG, or let --decoder magick read it";
    else if (kind && kind->ffmpeg) advice = "convert it to PNG, or let --decoder ffmpeg read it";
    return fail(err, ERR_FORMAT, "image: %s: %s is not read: %s", name, facts->unread, advice);
}

bool image_allocate(Image *out, const Look *f) {
    *out = (Image){calloc((size_t)(f->width * f->height), 3), (int)f->width, (int)f->height};
    return out->rgb != NULL;
}

Status image_read(Image *out, ImageFacts *facts, const uint8_t *data, int64_t bytes,
                  const char *name, Error *err) {
    Look f = {.data = data, .bytes = bytes, .orientation = 1};
    Status st;
    *out = (Image){0};
    *facts = (ImageFacts){.orientation = 1};
    const ImageReader *reader = open_reader(&f, &facts->kind, name, &st, err);
    facts->orientation = f.orientation;
    facts->unread = st == OK && !reader ? f.unread : NULL;
    if (facts->unread && f.orientation == 1)
        facts->orientation = exif_orientation_of_file(data, bytes);
    if (!reader) return st;
    const Fault fault = reader->decode(out, &f);
    if (!fault) return OK;
    image_free(out);
    return fail(err, fault == image_no_memory ? ERR_MEMORY : ERR_FORMAT, "image: %s: %s", name,
                fault);
}

Status image_decode(Image *out, const uint8_t *data, int64_t bytes, const char *name, Error *err) {
    ImageFacts facts;
    const Status st = image_read(out, &facts, data, bytes, name, err);
    return st == OK && facts.unread ? image_unread(&facts, name, err) : st;
}

void image_free(Image *image) {
    if (!image) return;
    free(image->rgb);
    *image = (Image){0};
}
