/* archives.h - writers of the files that data sets come in, byte by byte as their formats say.
 *
 * They are the tests' own: nothing here calls the program's readers. Every function fails the test
 * where it cannot write.
 */
#ifndef TURTLE_TESTS_CPU_DATASETS_ARCHIVES_H
#define TURTLE_TESTS_CPU_DATASETS_ARCHIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/status.h"

/* Bytes that grow at their end; begin with `Bytes b = {0}`. */
typedef struct {
    uint8_t *data; /* owned */
    size_t size, capacity;
} Bytes;

void bytes_add(Bytes *b, const void *data, size_t size);
void bytes_string(Bytes *b, const char *text);
PRINTF_LIKE(2, 3) void bytes_print(Bytes *b, const char *format, ...);
void bytes_zeros(Bytes *b, size_t count);
void bytes_little(Bytes *b, uint64_t value, int bytes); /* the least significant byte first */
void bytes_big(Bytes *b, uint64_t value, int bytes);
void bytes_set(Bytes *b, size_t at, uint64_t value, int bytes); /* over bytes that stand there */
void bytes_free(Bytes *b);
/* Writes <folder>/<name>, with the folders above it, and frees b. */
void bytes_save(Bytes *b, const char *folder, const char *name);

/* --- compression: RFC 1951, 1950, 1952 -------------------------------------------------------- */

Bytes zlib_of(const void *data, size_t size);
Bytes deflate_of(const void *data, size_t size);
Bytes gzip_of(const Bytes *b);
uint32_t crc_of(const void *data, size_t size);
/* Returns a gzip file that swells to `size` zeros, and more; its checksum is wrong. */
Bytes gzip_bomb(int64_t size);
/* Replaces b by its gzip file. */
void gzip_in_place(Bytes *b);

/* --- tar: POSIX.1-1988 ustar, with POSIX.1-2001 records where a name does not fit -------------- */

void tar_file(Bytes *tar, const char *name, const void *data, size_t size);
void tar_text(Bytes *tar, const char *name, const char *text);
/* Adds the bytes of `file` and frees it. */
void tar_take(Bytes *tar, const char *name, Bytes file);
void tar_folder(Bytes *tar, const char *name);
void tar_link(Bytes *tar, const char *name, const char *target); /* symbolic */
void tar_end(Bytes *tar);

/* --- zip: PKWARE's APPNOTE 6.3 ----------------------------------------------------------------- */

enum {
    ZIPPED_DEFLATED = 1,
    ZIPPED_DESCRIPTOR = 2, /* sizes and checksum stand behind the data, as streaming writers do */
    ZIPPED_64 = 4,         /* sizes and offsets stand in zip64 fields, as beyond 4 GiB */
    ZIPPED_LINK = 8,       /* an entry that Unix's mode calls a symbolic link */
};
typedef struct {
    Bytes file, directory;
    int64_t count;
    bool zip64; /* the end records are those of zip64 too */
} ZipFile;

void zipped_file(ZipFile *zip, const char *name, const void *data, size_t size, int how);
void zipped_text(ZipFile *zip, const char *name, const char *text, int how);
void zipped_take(ZipFile *zip, const char *name, Bytes file, int how);
/* Ends the archive and returns its bytes; *zip is empty afterwards. */
Bytes zipped_end(ZipFile *zip);

/* --- MATLAB's MAT-file, level 5, with compressed variables ------------------------------------- */

typedef struct {
    const char *name;
    const char *text; /* a char array; NULL: `number` */
    int64_t number;   /* a double, stored in the smallest integer type that holds it */
} MatField;

Bytes mat_header(void);
/* Adds a double row vector (1,n), stored in the smallest integer type. */
void mat_row(Bytes *mat, const char *name, const int64_t *value, int64_t n);
/* Adds a struct array (1,n); field holds n * fields of them, element by element. */
void mat_structs(Bytes *mat, const char *name, const MatField *field, int fields, int64_t n);
/* Adds a cell array (1,n) of texts. */
void mat_cells(Bytes *mat, const char *name, const char *const *text, int64_t n);

/* --- CIFAR's batches for Python: pickles of protocol 2 ------------------------------------------ */

typedef struct {
    const char *key; /* "labels", "fine_labels", "coarse_labels" */
    const int *label;
} PickledLabels;

/* Returns a batch of n images of 3072 bytes with `kinds` lists of labels; frees `pixels`. */
Bytes pickle_batch(const PickledLabels *labels, int kinds, int n, Bytes pixels, bool python3);

/* --- HDF5 as h5py lays it out: superblock 0, one data set of bytes in the root group ----------- */

/* Returns a file with the data set `name` of `axes` axes, contiguous behind 2048 bytes, as h5py
 * leaves small data sets. */
Bytes h5_contiguous(const char *name, int axes, const int64_t *shape, const uint8_t *data);
/* Returns a file whose data set (n,h,w,c) lies in chunks of `rows` images; nodes of the B-tree have
 * at most `fan` children, so that few chunks make a deep tree. A node takes 3656 bytes. */
Bytes h5_chunked(const char *name, const int64_t shape[4], int64_t rows, int fan,
                 const uint8_t *data);

/* --- pictures ---------------------------------------------------------------------------------- */

/* A picture of one colour, so that no decoder disagrees. `shade` is 0..255: red and green fall with
 * it, blue rises. */
Bytes picture_jpeg(int side, int shade);
Bytes picture_png(int side, int shade);
Bytes picture_ppm(int side, int shade); /* binary, P6 */
Bytes picture_gif(int side, int shade); /* GIF89a with two frames; the second is black */
Bytes picture_bmp(int side, int shade);
/* Returns an AVI of uncompressed frames; frame i, counted from 0, is grey with the value 8 i. */
Bytes video_avi(int side, int frames);

#endif
