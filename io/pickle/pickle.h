/* pickle.h - Python pickles read as data (protocols 0 to 5 as far as torch.save and TorchScript use
 * them; the format is documented in CPython's Lib/pickletools.py).
 *
 * A stack machine builds a tree of values. Nothing is executed. Globals are known by name
 * (globals.h): some rebuild tensors and containers, others hold a training's settings, which are
 * passed over. Any other global or opcode is refused by name.
 */
#ifndef TURTLE_IO_PICKLE_PICKLE_H
#define TURTLE_IO_PICKLE_PICKLE_H

#include "io/dtype.h"
#include "io/status.h"

typedef enum {
    VALUE_NONE,
    VALUE_INT, /* also a bool; a number beyond int64 is VALUE_NONE */
    VALUE_REAL,
    VALUE_TEXT,   /* a str or bytes */
    VALUE_LIST,   /* also a tuple or a set */
    VALUE_DICT,   /* its items are key, value, key, value, ... */
    VALUE_OBJECT, /* an instance of a TorchScript class; its items are like a dictionary's */
    VALUE_GLOBAL,
    VALUE_STORAGE,
    VALUE_TENSOR,
    VALUE_ARRAY, /* an array of numpy in C order; `at` is NULL if its state never came */
    VALUE_DTYPE, /* a type of numpy: `type` and `swapped` of as.array */
    VALUE_IGNORED, /* an object of a known class that holds no tensors for us; items put into it are dropped */
} ValueKind;

typedef struct Value Value;
struct Global;

enum { PICKLE_MAX_AXES = 8 };

struct Value {
    ValueKind kind;
    bool open; /* the value is being walked: a second visit is a cycle */
    union {
        int64_t integer;
        double real;
        const struct Global *global;
        struct {
            const char *at; /* text inside the pickle or decoded from it, without a zero byte */
            int64_t bytes;
        } text;
        struct {
            Value **at;
            int64_t count, capacity;
        } items;
        struct {
            DType type;
            const Value *key;     /* its name, a text */
            int64_t first, count; /* elements that are meant; all from 0 on but in old views */
        } storage;
        struct {
            const Value *storage;
            int64_t offset; /* in elements */
            int axes;
            int64_t shape[PICKLE_MAX_AXES], stride[PICKLE_MAX_AXES];
        } tensor;
        struct {
            DType type;
            bool swapped; /* the bytes are big-endian */
            int axes;
            int64_t shape[PICKLE_MAX_AXES];
            const char
                *at; /* exactly the bytes that the shape needs, in the pickle or decoded from it */
        } array;
    } as;
};

/* Memory of values: all values of a file live and die together. */
typedef struct PickleBlock PickleBlock;
typedef struct {
    PickleBlock *blocks;
} PickleArena;
void pickle_free(PickleArena *arena); /* NULL and twice are fine */

/* Reads one pickle from the first `bytes` bytes of `data`. *used receives its length, for pickles
 * may follow one another. `path` is for messages. The bytes must outlive the values. */
Status pickle_read(PickleArena *arena, const uint8_t *data, int64_t bytes, const char *path,
                   Value **out, int64_t *used, Error *err);

bool value_is_text(const Value *v, const char *text);

#endif
