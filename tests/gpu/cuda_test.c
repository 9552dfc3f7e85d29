/* cuda_test.c - what only the CUDA backend has: copies through pinned slots, marks, a second queue,
 * memory that does not suffice. */
#include "tests/support/operation.h"

static void open_cuda(Ops *ops, Queue **q) {
    open_backend(ops, q, "cuda", 0);
}

/* --- devices ---------------------------------------------------------------------------------- */

Test(cuda, devices_are_had_or_refused) {
    Ops ops;
    Error err = {""};
    need_gpu();
    cr_expect(ops_open(&ops, "cuda:99", 0, NULL, &err) == ERR_DEVICE && strstr(err.text, "cuda:99"),
              "%s", err.text);
    cr_expect(ops_open(&ops, "cuda:x", 0, NULL, &err) == ERR_USAGE, "%s", err.text);
    cr_expect(ops_open(&ops, "cuda:0", 0, NULL, &err) == OK, "%s", err.text);
    cr_expect(ops.f16_products && ops.threads >= 1 && ops.cores >= 1);
    ops_close(&ops);
    ops_close(&ops);
}

Test(cuda, memory_that_does_not_suffice_says_what_to_lower) {
    Ops ops;
    Queue *q;
    Error err = {""};
    Buffer buffer;
    MemoryUse before, after;
    open_cuda(&ops, &q);
    ops.mem.memory(ops.device, &before);
    cr_expect(ops.mem.alloc(ops.device, &buffer, (int64_t)1 << 50, &err) == ERR_MEMORY &&
              !buffer.data);
    cr_expect(strstr(err.text, "1.13e+06 GB") && strstr(err.text, "--batch_size"), "%s", err.text);
    /* and nothing is left of it: not an error for the next launch, not a byte */
    ASSERT_OK(ops.mem.alloc(ops.device, &buffer, 1000, &err), err);
    ops.mem.memory(ops.device, &after);
    cr_expect(after.arrays == before.arrays + 1000 && after.total > 0 && after.free <= after.total);
    ops.mem.zero(q, buffer.data, 1000);
    finish(&ops, q);
    ops.mem.free(ops.device, &buffer);
    ops.mem.free(ops.device, &buffer);
    ops.mem.memory(ops.device, &after);
    cr_expect(after.arrays == before.arrays && !buffer.data);
    close_backend(&ops, q);
}

/* --- queues ----------------------------------------------------------------------------------- */

/* Larger than a slot, more pieces than slots, sizes that are no multiple of anything. */
Test(cuda, copies_arrive_whole_and_in_order, .timeout = 120) {
    enum { LARGE = (5 << 20) + 13, SMALL = 200 };
    Ops ops;
    Queue *q;
    Error err;
    Buffer large, small;
    uint8_t *from = malloc(LARGE), *to = calloc(LARGE, 1), sent[SMALL], got[SMALL];
    open_cuda(&ops, &q);
    ASSERT_OK(ops.mem.alloc(ops.device, &large, 2 * LARGE, &err), err);
    ASSERT_OK(ops.mem.alloc(ops.device, &small, SMALL, &err), err);
    for (int i = 0; i < LARGE; i++) from[i] = (uint8_t)(i * 31 + (i >> 11));
    ops.mem.to_device(q, large.data, from, LARGE);
    from[0]++; /* it has been read */
    ops.mem.copy(q, (char *)large.data + LARGE, large.data, LARGE);
    ops.mem.zero(q, large.data, LARGE);
    ops.mem.to_host(q, to, (char *)large.data + LARGE, LARGE);
    for (int i = 0; i < SMALL; i++) {
        sent[i] = (uint8_t)i;
        ops.mem.to_device(q, (char *)small.data + i, sent + i, 1);
        ops.mem.to_host(q, got + i, (char *)small.data + i, 1);
    }
    finish(&ops, q);
    from[0]--;
    cr_expect(!memcmp(from, to, LARGE), "5 MiB there and back");
    cr_expect(!memcmp(sent, got, SMALL), "200 copies of a byte");
    ops.mem.free(ops.device, &large);
    ops.mem.free(ops.device, &small);
    close_backend(&ops, q);
    free(from), free(to);
}

Test(cuda, what_lies_before_a_mark_is_done_when_it_is_reached) {
    Ops ops;
    Queue *q;
    Error err;
    int64_t marks[3], seen[3] = {0};
    open_cuda(&ops, &q);
    int64_t *counter = counting(0, 1);
    for (int i = 0; i < 3; i++) {
        ops.mem.count(q, counter, i + 1);
        ops.mem.to_host(q, &seen[i], counter, 8);
        cr_assert(ops.mem.mark(q, &marks[i]) == OK);
    }
    ASSERT_OK(ops.mem.reach(q, marks[1], &err), err);
    cr_expect(ops.mem.reached(q, marks[0]) && ops.mem.reached(q, marks[1]));
    cr_expect(seen[0] == 1 && seen[1] == 3, "%d %d", (int)seen[0], (int)seen[1]);
    finish(&ops, q);
    cr_expect(ops.mem.reached(q, marks[2]) && seen[2] == 6);
    close_backend(&ops, q);
    free_arrays();
}

Test(cuda, a_branch_runs_between_its_fork_and_its_join) {
    enum { N = 100000 };
    Ops ops;
    Queue *q;
    open_cuda(&ops, &q);
    float *x = numbers(N, 1), *a = floats(N), *b = floats(N);
    for (int i = 0; i < 10; i++) {
        ops.mem.copy(q, a, x, N * 4);
        Queue *side = ops.mem.branch(q);
        ops.mem.copy(side, b, a, N * 4); /* sees what was enqueued before */
        ops.mem.join(q);
        ops.mem.zero(q, a, N * 4); /* and is done before what follows */
    }
    finish(&ops, q);
    cr_expect(!memcmp(b, x, N * 4) && a[0] == 0.0f && a[N - 1] == 0.0f);
    close_backend(&ops, q);
    free_arrays();
}

/* --- waits that give up ------------------------------------------------------------------------- */

Status test_hang(Queue *q, unsigned *arrived); /* cuda_wait.cu */
const char *test_wait_text(char text[240], bool written);

Test(cuda, a_wait_that_gave_up_is_one_line) {
    char text[240];
    cr_expect(strcmp(test_wait_text(text, false), "") == 0, "%s", text);
    cr_expect(strcmp(test_wait_text(text, true),
                     "; ?: block (7,0,0) of 132, thread 0 gave up at tile.cuh:98: the counter at "
                     "0x7f10 is 131, it wants 132") == 0,
              "%s", text);
}

#if !defined(TEST_EMULATED) /* which says so at once: emu_fault_test.cu */
Test(cuda, a_barrier_that_is_never_met_ends_the_launch, .timeout = 60) {
    Ops ops;
    Queue *q;
    Error err = {""};
    setenv("TURTLE_WAIT_SECONDS", "0.3", 1);
    open_cuda(&ops, &q);
    unsigned *arrived = array(sizeof *arrived);
    test_hang(q, arrived);
    cr_expect(ops.mem.wait(q, &err) == ERR_DEVICE, "%s", err.text);
    cr_expect(
        strstr(err.text, "; cuda_wait.cu: block (") && strstr(err.text, ",0,0) of 4, thread 0") &&
            strstr(err.text, "gave up at cuda_wait.cu:") && strstr(err.text, "is 3, it wants 4"),
        "%s", err.text);
    /* the context is lost: nothing is given back */
}
#endif
