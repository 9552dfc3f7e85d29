/* plan_rows.h - whose rows are whose: the dealing that kernels run, and that plan, model and tests ask.
 *
 * tiled, wgmma   The batch of every space is cut into pieces; all spaces' pieces stand in one list, from
 *                which workers (CTAs, or clusters of them) take one in every round.
 * slab           A CTA has its rows for the whole launch and visits them in pieces. */
#ifndef TURTLE_KERNELS_PLAN_PLAN_ROWS_H
#define TURTLE_KERNELS_PLAN_PLAN_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/sizes.h"
#include "kernels/tiles.h"

/* --- tiled, wgmma ------------------------------------------------------------------------------ */

/* Returns the pieces of a batch of B rows, each of `sharers` blocks of `rows` rows. */
HOST_DEVICE static inline int row_pieces(int64_t B, int rows, int sharers) {
    const int blocks = (int)ceil_div(B, rows);
    return (int)ceil_div(blocks, sharers);
}

typedef struct {
    int place; /* place of its space in the order of the deal; the number of spaces: the list has ended */
    int piece; /* number among the pieces of its space */
} DealtPiece;

/* Returns the piece that a worker has in a round, where every space has `pieces` pieces. In every round
 * worker w takes the w-th of the next pieces. With `back` every other round goes from the last worker to the
 * first: the order begins with the longest pieces (most features), and who had a long one then has a short
 * one:
 *
 *     workers       0   1   2   3   4   5
 *     first round   L0  L1  L2  L3  S0  S1
 *     second        -   -   S5  S4  S3  S2     the longest sum is L + S; without `back` it is 2 L */
HOST_DEVICE static inline DealtPiece dealt_piece(int worker, int workers, int round, int pieces,
                                                 bool back) {
    const int item = round * workers + (back && round % 2 ? workers - 1 - worker : worker);
    const DealtPiece p = {item / pieces, item % pieces};
    return p;
}

/* Returns the number of the block of rows that a member of a cluster, 0 to sharers - 1, has of a piece. It
 * may lie behind the batch. */
HOST_DEVICE static inline int row_block(int piece, int sharers, int member) {
    return piece * sharers + member;
}

/* --- slab --------------------------------------------------------------------------------------- */

/* The cut of the rows of a CTA. */
typedef struct {
    int rows;     /* rows of a CTA, whole fragments */
    int resident; /* rows that stay in shared memory */
    int group;    /* rows of a resident piece */
    int stage;    /* rows of a streamed piece */
    int stages;   /* slots for streamed pieces */
} SlabCut;

/* Which rows a CTA has. */
typedef struct {
    int have;           /* rows in whole fragments; those beyond the batch are zeros */
    int resident;       /* rows that stay */
    int stays, streams; /* pieces of either kind */
    int lead;           /* streamed pieces that come before the resident ones */
    int64_t first;      /* row of the batch */
} SlabRows;

/* One piece: rows [begin, begin + 16 bands) of the CTA. */
typedef struct {
    int begin, bands;
    bool streamed;
} SlabPiece;

/* Returns the rows of a space's CTA number `own`. */
HOST_DEVICE static inline SlabRows slab_rows(SlabCut cut, int own, int64_t B) {
    SlabRows r;
    r.first = (int64_t)own * cut.rows;
    const int64_t left = B - r.first;
    r.have = left <= 0 ? 0 : left < cut.rows ? (int)round_up(left, SLAB_FRAGMENT) : cut.rows;
    r.resident = cut.resident < r.have ? cut.resident : r.have;
    r.stays = (r.resident + cut.group - 1) / cut.group;
    r.streams = r.have > r.resident ? (r.have - r.resident + cut.stage - 1) / cut.stage : 0;
    r.lead = cut.stages < r.streams ? cut.stages : r.streams;
    return r;
}

/* Returns the piece of the v-th visit: as many streamed pieces as there are slots come first, for they are
 * there already; then the resident ones, while the slots are refilled; then the other streamed ones. */
HOST_DEVICE static inline SlabPiece slab_piece(SlabCut cut, SlabRows r, int v) {
    SlabPiece p;
    const bool stays = v >= r.lead && v < r.lead + r.stays;
    const int i = stays ? v - r.lead : v < r.lead ? v : v - r.stays;
    const int size = stays ? cut.group : cut.stage, end = stays ? r.resident : r.have;
    p.streamed = !stays;
    p.begin = (stays ? 0 : r.resident) + i * size;
    p.bands = ((end - p.begin < size ? end - p.begin : size)) / SLAB_FRAGMENT;
    return p;
}

#endif
