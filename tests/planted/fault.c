/* fault.c - planted faults: `make test CONFIG=debug` runs each and fails unless a sanitizer reports it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *fault = argc > 1 ? argv[1] : "";
    volatile int n = argc + 30;
    if (strcmp(fault, "leak") == 0) {
        void *volatile lost = malloc(64);
        lost = NULL;
        return lost != NULL;
    }
    if (strcmp(fault, "overflow") == 0) {
        volatile char *bytes = malloc(8);
        bytes[n - 24] = 1; /* argc is 2: byte 8 of 8 */
        free((void *)bytes);
        return 0;
    }
    if (strcmp(fault, "shift") == 0) return 1 << n == 0; /* by 32 bits: undefined */
    fprintf(stderr, "usage: fault leak|overflow|shift\n");
    return 2;
}
