/*
 * resize.cu - pictures of any size become squares of bytes, to the bit of Pillow (kernels/encode.h)
 *
 *     mid[y,x] = byte(half + sum_k across.weight[k,x] pixels[y, across.from[x] + k])     byte(s) = s >> precision, held
 *     out[y,x] = byte(half + sum_k down.weight[k,y] mid[down.from[y] + k, x])                      within 0 to 255
 *
 * Shapes   pictures: B heads with their arrays and pixels, out (B,side,side,3) uint8. Sums are int32, as on the host,
 *          which makes the weights of both: so the bits are equal.
 * Cost     A picture of 500 x 375 to 224: 382 x 375 pixels of it are read, 430 KB, and 150 KB are written: floor 0.12 us
 *          at 4.8 TB/s (H200 data sheet). Weights are 6.7 for an output on average: 1.7 million products across, 1.0
 *          million down. The compiler's code for sm_90a takes 41 instructions for 12 products across, 13 of them
 *          loads, which bind: 0.25 us, one a clock of an SM. Down, 22 for 4 products: 0.19 us.
 * Mapping  `blocks` blocks a picture, by its square alone; they take its items in turn.
 *          resize_across   a thread makes a pixel of four rows: a weight is read once for four rows
 *          resize_down     a thread makes four neighbouring bytes from one word of each row
 *
 *              thread:     0       1       2      ...            weights lie tap by tap, so that neighbouring columns
 *              across:  rgb x 4 rgb x 4 rgb x 4   ...            read neighbouring ones
 *              down:    4 bytes 4 bytes 4 bytes   ...
 *
 * Needs    stride and pictures: multiples of 16. Heads are the host's own (host/encode/picture.h), and are believed.
 *          Same bits on every run.
 * History  No GPU has timed it; ../NOTES.md has what it is predicted to gain.
 */
#include "kernels/cuda/backend/operations.h"

constexpr int RESIZE_THREADS = 256;
constexpr int PICTURE_BLOCKS = 16; /* most blocks that share a picture */
constexpr int RESIZE_ROWS = 4;     /* rows that share a weight */

/* Returns an array of a picture's. */
static __device__ __forceinline__ const int32_t *picture_array(const PictureHead *p, int32_t at) {
    return (const int32_t *)((const uint8_t *)p + at);
}

/* Returns the first item of this thread; the next one comes blocks * RESIZE_THREADS later. */
static __device__ __forceinline__ int first_item(int blocks) {
    return (int)(blockIdx.x % blocks) * RESIZE_THREADS + (int)threadIdx.x;
}

static __device__ __forceinline__ uint32_t to_byte(int32_t sum, int precision) {
    const int32_t x = sum >> precision;
    return (uint32_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

__global__ void resize_across(uint8_t *rows, const uint8_t *pictures, int64_t stride, int side,
                              int blocks) {
    const int64_t picture = blockIdx.x / blocks;
    const PictureHead *p = (const PictureHead *)(pictures + picture * stride);
    const PictureAxis a = p->across;
    const int height = p->height, line = 3 * p->width, pitch = (int)picture_row(side);
    const int items = (int)ceil_div(height, RESIZE_ROWS) * side;
    const int32_t *from = picture_array(p, a.from), *used = picture_array(p, a.used),
                  *weight = picture_array(p, a.weight);
    rows += picture * stride;
    NO_UNROLL
    for (int i = first_item(blocks); i < items; i += blocks * RESIZE_THREADS) {
        const int x = i % side, y = i / side * RESIZE_ROWS, output = x - a.place;
        int32_t sum[RESIZE_ROWS][3];
        UNROLL
        for (int r = 0; r < RESIZE_ROWS; r++)
            sum[r][0] = sum[r][1] = sum[r][2] = 1 << (a.precision - 1);
        const int taps = output >= 0 && output < a.count ? used[output] : 0;
        const uint8_t *at =
            (const uint8_t *)p + p->pixels + (int64_t)y * line + (taps ? 3 * from[output] : 0);
        NO_UNROLL
        for (int k = 0; k < taps; k++, at += 3) {
            const int32_t w = weight[k * a.count + output];
            UNROLL
            for (int r = 0; r < RESIZE_ROWS; r++) {
                const uint8_t *pixel = at + (y + r < height ? r : 0) * line;
                UNROLL
                for (int c = 0; c < 3; c++) sum[r][c] += w * pixel[c];
            }
        }
        UNROLL
        for (int r = 0; r < RESIZE_ROWS; r++)
            for (int c = 0; c < 3 && y + r < height; c++)
                rows[(int64_t)(y + r) * pitch + 3 * x + c] =
                    (uint8_t)to_byte(sum[r][c], a.precision);
    }
}

/* `words`: rows of the square are whole words, and aligned to them. */
__global__ void resize_down(uint8_t *out, const uint8_t *rows, const uint8_t *pictures,
                            int64_t stride, int side, int blocks, bool words) {
    const int64_t picture = blockIdx.x / blocks;
    const PictureHead *p = (const PictureHead *)(pictures + picture * stride);
    const PictureAxis a = p->down;
    const int row_words = (int)picture_row(side) / 4, items = side * row_words;
    const int32_t *from = picture_array(p, a.from), *used = picture_array(p, a.used),
                  *weight = picture_array(p, a.weight);
    const uint32_t *mid = (const uint32_t *)(rows + picture * stride);
    out += picture * side * side * 3;
    NO_UNROLL
    for (int i = first_item(blocks); i < items; i += blocks * RESIZE_THREADS) {
        const int word = i % row_words, y = i / row_words, output = y - a.place;
        int32_t sum[4];
        UNROLL
        for (int e = 0; e < 4; e++) sum[e] = 1 << (a.precision - 1);
        const int taps = output >= 0 && output < a.count ? used[output] : 0;
        const uint32_t *at = mid + word + (taps ? (int64_t)from[output] * row_words : 0);
        NO_UNROLL
        for (int k = 0; k < taps; k++, at += row_words) {
            const int32_t w = weight[k * a.count + output];
            const uint32_t four = *at;
            UNROLL
            for (int e = 0; e < 4; e++) sum[e] += w * (int32_t)(four >> 8 * e & 255);
        }
        uint8_t *to = out + ((int64_t)y * side * 3 + 4 * word);
        uint32_t four = 0;
        UNROLL
        for (int e = 0; e < 4; e++) four |= to_byte(sum[e], a.precision) << 8 * e;
        if (words) *(uint32_t *)to = four;
        else
            for (int e = 0; e < 4 && 4 * word + e < 3 * side; e++) to[e] = (uint8_t)(four >> 8 * e);
    }
}

extern "C" Status cuda_resize(Queue *q, uint8_t *out, uint8_t *rows, const uint8_t *pictures,
                              int64_t stride, int64_t bytes, int64_t B, int64_t side) {
    REQUIRE(q,
            out && rows && pictures && (uintptr_t)pictures % 16 == 0 && (uintptr_t)rows % 4 == 0 &&
                stride > 0 && stride % 16 == 0 && stride <= INT32_MAX && B >= 1 && side >= 1 &&
                side <= 1 << 14,
            "resize");
    const bool words = side % 4 == 0 && (uintptr_t)out % 4 == 0;
    const int64_t items = side * picture_row(side) / 4; /* of resize_down */
    const int blocks = (int)least(PICTURE_BLOCKS, ceil_div(items, RESIZE_THREADS));
    const dim3 grid = grid_of(B * blocks);
    cost(q, 0.0, (double)bytes);
    const Status st = launch(q, resize_across, grid, RESIZE_THREADS, 0, rows, pictures, stride,
                             (int)side, blocks);
    if (st != OK) return st;
    cost(q, 0.0, 3.0 * (double)(B * side * side));
    return launch(q, resize_down, grid, RESIZE_THREADS, 0, out, (const uint8_t *)rows, pictures,
                  stride, (int)side, blocks, words);
}
