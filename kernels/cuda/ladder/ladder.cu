/* ladder.cu - the table of the ladder's steps, a problem to run them on, and their time on a GPU. */
#include "kernels/cuda/ladder/ladder.cuh"

extern "C" {
extern const LadderStep ladder_step1, ladder_step2, ladder_step3, ladder_step4, ladder_step5,
    ladder_step6, ladder_step7, ladder_step8;
}

const LadderStep *ladder_step(int i) {
    static const LadderStep *const steps[LADDER_STEPS] = {
        &ladder_step1, &ladder_step2, &ladder_step3, &ladder_step4,
        &ladder_step5, &ladder_step6, &ladder_step7, &ladder_step8};
    return i >= 0 && i < LADDER_STEPS ? steps[i] : NULL;
}

int64_t ladder_partials(int B, int C, int d) {
    const int64_t blocks = (B + LADDER_ROWS - 1) / LADDER_ROWS + 3; /* step 7 has whole clusters of 4 */
    return (blocks > LADDER_WIDE_PIECES ? blocks : (int64_t)LADDER_WIDE_PIECES) * C * (d + 1);
}

template <class T> static bool take(T **out, int64_t n) {
    void *memory = NULL;
    *out = NULL;
    if (cudaMallocManaged(&memory, (size_t)n * sizeof(T)) != cudaSuccess) return false;
    *out = (T *)memset(memory, 0, (size_t)n * sizeof(T));
    return true;
}

/* float16 of a number in [-1, 1] that is a multiple of 2^-10: the host needs no rounding. */
static uint16_t f16_of_few_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, exponent = (bits >> 23 & 255) - 112;
    return x == 0.0f ? 0 : (uint16_t)(sign | exponent << 10 | (bits >> 13 & 1023));
}

/* Samples of class b mod C lie near a centre of their own; features are multiples of 2^-10, so float16 holds them. */
static void fill(Ladder *a, float *Z, uint16_t *Z16, float *Y) {
    uint32_t state = 1;
    for (int b = 0; b < a->B; b++) {
        const int own = b % a->C;
        for (int j = 0; j < a->d; j++) {
            state = state * 1664525u + 1013904223u;
            const int noise = (int)(state >> 23) - 256;
            const int centre = (own * 37 + j * 11) % 29 * 32 - 448;
            Z[(int64_t)b * a->d + j] = (float)(noise + centre) * 0x1p-10f;
            Z16[(int64_t)b * a->d + j] = f16_of_few_bits(Z[(int64_t)b * a->d + j]);
        }
        for (int c = 0; c < a->C; c++) /* nine tenths on its own class, the rest on all */
            Y[(int64_t)b * a->C + c] = (c == own ? 0.9f : 0.0f) + 0.1f / (float)a->C;
    }
}

bool ladder_open(Ladder *a, int B, int C, int d) {
    *a = Ladder();
    a->B = B, a->C = C, a->d = d, a->lr = 0.001f;
    float *Z, *Y;
    uint16_t *Z16;
    const int64_t weights = (int64_t)C * (d + 1);
    bool fine = take(&Z, (int64_t)B * d) & take(&Z16, (int64_t)B * d) & take(&Y, (int64_t)B * C);
    a->Z = Z, a->Z16 = Z16, a->Y = Y;
    fine = fine & take(&a->head, weights) & take(&a->m1, weights) & take(&a->m2, weights) &
           take(&a->R, (int64_t)B * C) & take(&a->R16, (int64_t)B * LADDER_CLASSES) &
           take(&a->W16, (int64_t)LADDER_CLASSES * d) &
           take(&a->partial, ladder_partials(B, C, d)) & take(&a->arrived, 1);
    if (fine) fill(a, Z, Z16, Y);
    else ladder_close(a);
    return fine;
}
void ladder_close(Ladder *a) {
    const void *all[] = {a->Z, a->Z16, a->Y,   a->head,    a->m1,     a->m2,
                         a->R, a->R16, a->W16, a->partial, a->arrived};
    for (const void *memory : all) cudaFree((void *)memory);
    *a = Ladder();
}
void ladder_restart(Ladder *a) {
    const size_t bytes = (size_t)a->C * (a->d + 1) * sizeof(float);
    memset(a->head, 0, bytes), memset(a->m1, 0, bytes), memset(a->m2, 0, bytes);
    memset(a->W16, 0, (size_t)LADDER_CLASSES * a->d * sizeof(uint16_t));
    a->done = 0;
}

bool ladder_wait(void) {
    return cudaDeviceSynchronize() == cudaSuccess && cudaGetLastError() == cudaSuccess;
}

double ladder_time(const LadderStep *step, const Ladder *a, int M, int repeats) {
    cudaEvent_t from, to;
    float ms = -1.0f;
    if (cudaEventCreate(&from) != cudaSuccess || cudaEventCreate(&to) != cudaSuccess) return -1.0;
    bool fine = step->run(a, M) == NULL && ladder_wait(); /* warm */
    cudaEventRecord(from, NULL);
    for (int i = 0; i < repeats && fine; i++) fine = step->run(a, M) == NULL;
    cudaEventRecord(to, NULL);
    if (!ladder_wait() || !fine || cudaEventElapsedTime(&ms, from, to) != cudaSuccess) ms = -1.0f;
    cudaEventDestroy(from), cudaEventDestroy(to);
    return ms < 0.0f ? -1.0 : ms / repeats;
}

int ladder_gpus(void) {
    int n = 0;
#if defined(__CUDACC__)
    if (cudaGetDeviceCount(&n) != cudaSuccess) n = 0;
#endif
    return n;
}
