/* pickles.c - CIFAR's batches for Python: protocol 2, as Python 2 hands them out and as Python 3
 * writes them again (CPython's Lib/pickletools.py has the instructions). */
#include <string.h>

#include "tests/cpu/datasets/archives.h"

/* Adds a short str of Python 2, or of Python 3. */
static void add_text(Bytes *b, const char *text, bool python3) {
    const size_t n = strlen(text);
    bytes_string(b, python3 ? "X" : "U"); /* BINUNICODE, SHORT_BINSTRING */
    bytes_little(b, n, python3 ? 4 : 1);
    bytes_add(b, text, n);
}

/* Adds bytes: Python 2's str holds them, Python 3 calls _codecs.encode on a text of Latin-1. */
static void add_bytes(Bytes *b, const uint8_t *data, size_t n, bool python3) {
    if (!python3) {
        bytes_string(b, "T"); /* BINSTRING */
        bytes_little(b, n, 4);
        bytes_add(b, data, n);
        return;
    }
    Bytes text = {0};
    for (size_t i = 0; i < n; i++)
        if (data[i] < 0x80) bytes_little(&text, data[i], 1);
        else
            bytes_little(&text, 0xc0u | data[i] >> 6, 1),
                bytes_little(&text, 0x80u | (data[i] & 0x3f), 1);
    bytes_string(b, "c_codecs\nencode\nX");
    bytes_little(b, text.size, 4);
    bytes_add(b, text.data, text.size);
    bytes_free(&text);
    add_text(b, "latin1", true);
    bytes_string(b, "\x86R"); /* TUPLE2, REDUCE */
}

static void add_labels(Bytes *b, const PickledLabels *labels, int n, bool python3) {
    add_text(b, labels->key, python3);
    bytes_string(b, "]("); /* EMPTY_LIST, MARK */
    for (int i = 0; i < n; i++) {
        bytes_string(b, "K"); /* BININT1 */
        bytes_little(b, (uint64_t)labels->label[i], 1);
    }
    bytes_string(b, "e"); /* APPENDS */
}

/* Adds numpy's array (n, 3072) of bytes. */
static void add_array(Bytes *b, const Bytes *pixels, int n, bool python3) {
    bytes_string(b, python3 ? "cnumpy._core.multiarray\n" : "cnumpy.core.multiarray\n");
    bytes_string(b, "_reconstruct\ncnumpy\nndarray\nK");
    bytes_little(b, 0, 1);
    bytes_string(b, "\x85"); /* TUPLE1 */
    add_bytes(b, (const uint8_t *)"b", 1, python3);
    bytes_string(b, "\x87R(K"); /* TUPLE3, REDUCE; the state: version, shape, type, order, bytes */
    bytes_little(b, 1, 1);
    bytes_string(b, "M"); /* BININT2 */
    bytes_little(b, (uint64_t)n, 2);
    bytes_string(b, "M");
    bytes_little(b, 3072, 2);
    bytes_string(b, "\x86"
                    "cnumpy\ndtype\n");
    add_text(b, "u1", python3);
    bytes_string(b, "\x89\x88\x87R(K"); /* False, True; the type's state begins with version 3 */
    bytes_little(b, 3, 1);
    add_text(b, "|", python3);
    bytes_string(b, "NNNJ");
    bytes_little(b, UINT32_MAX, 4);
    bytes_string(b, "J");
    bytes_little(b, UINT32_MAX, 4);
    bytes_string(b, "K");
    bytes_little(b, 0, 1);
    bytes_string(b, "tb\x89"); /* TUPLE, BUILD; C order */
    add_bytes(b, pixels->data, pixels->size, python3);
    bytes_string(b, "tb");
}

Bytes pickle_batch(const PickledLabels *labels, int kinds, int n, Bytes pixels, bool python3) {
    Bytes b = {0};
    bytes_string(&b, "\x80\x02}("); /* PROTO 2, EMPTY_DICT, MARK */
    add_text(&b, "batch_label", python3);
    add_text(&b, "batch 1 of 5", python3);
    for (int k = 0; k < kinds; k++) add_labels(&b, &labels[k], n, python3);
    add_text(&b, "data", python3);
    add_array(&b, &pixels, n, python3);
    add_text(&b, "filenames", python3);
    bytes_string(&b, "](");
    for (int i = 0; i < n; i++) add_text(&b, "camion_s_000148.png", python3);
    bytes_string(&b, "eu."); /* APPENDS, SETITEMS, STOP */
    bytes_free(&pixels);
    return b;
}
