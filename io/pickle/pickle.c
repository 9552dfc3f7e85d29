/* pickle.c - Python pickles read as data: a stack machine without the power to execute anything. */
#include "io/arrays/pickle.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* --- memory ----------------------------------------------------------------------------------- */

struct PickleBlock {
    PickleBlock *next;
    size_t used, bytes;
    max_align_t memory[];
};

static void *arena_take(PickleArena *arena, size_t bytes) {
    const size_t rounded =
        (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    PickleBlock *b = arena->blocks;
    if (!b || b->bytes - b->used < rounded) {
        const size_t block = rounded > 1 << 16 ? rounded : 1 << 16;
        b = malloc(sizeof *b + block);
        if (!b) return NULL;
        *b = (PickleBlock){.next = arena->blocks, .bytes = block};
        arena->blocks = b;
    }
    void *piece = (char *)b->memory + b->used;
    b->used += rounded;
    return memset(piece, 0, bytes);
}

void pickle_free(PickleArena *arena) {
    while (arena && arena->blocks) {
        PickleBlock *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

/* --- what globals are known ------------------------------------------------------------------- */

typedef enum {
    CALL_DICT,    /* () or a list of pairs -> dict */
    CALL_TENSOR,  /* (storage, offset, size, stride, ...) -> tensor */
    CALL_FIRST,   /* returns its first argument: a parameter's data, a Size's tuple, a list */
    CALL_TYPED,   /* (function, type, arguments, state): a tensor of a subclass */
    CALL_IGNORED, /* an object nobody needs: a device, the arguments of a training */
    CALL_STORAGE, /* not called: the type of a storage */
    CALL_OBJECT,  /* an instance of a TorchScript class */
    CALL_ARRAY,   /* numpy's empty array, whose state follows */
    CALL_DTYPE,   /* ("f4", ...) -> numpy's type, whose byte order follows */
} Call;

/* The whole list, but for `settings` below. Everything else is refused. */
static const struct {
    const char *name;
    Call call;
    DType type;
} globals[] = {
    {"collections OrderedDict", CALL_DICT, 0},
    {"torch._utils _rebuild_tensor_v2", CALL_TENSOR, 0},
    {"torch._utils _rebuild_tensor", CALL_TENSOR, 0},
    {"torch._utils _rebuild_parameter", CALL_FIRST, 0},
    {"torch._utils _rebuild_parameter_with_state", CALL_FIRST, 0},
    {"torch._tensor _rebuild_from_type_v2", CALL_TYPED, 0},
    {"torch Size", CALL_FIRST, 0},
    {"collections defaultdict", CALL_DICT, 0},
    {"torch.jit._pickle build_intlist", CALL_FIRST, 0},
    {"torch.jit._pickle build_doublelist", CALL_FIRST, 0},
    {"torch.jit._pickle build_boollist", CALL_FIRST, 0},
    {"torch.jit._pickle build_tensorlist", CALL_FIRST, 0},
    {"torch.jit._pickle restore_type_tag", CALL_FIRST, 0},
    {"torch HalfStorage", CALL_STORAGE, DTYPE_F16},
    {"torch BFloat16Storage", CALL_STORAGE, DTYPE_BF16},
    {"torch FloatStorage", CALL_STORAGE, DTYPE_F32},
    {"torch DoubleStorage", CALL_STORAGE, DTYPE_F64},
    {"torch BoolStorage", CALL_STORAGE, DTYPE_BOOL},
    {"torch CharStorage", CALL_STORAGE, DTYPE_I8},
    {"torch ByteStorage", CALL_STORAGE, DTYPE_U8},
    {"torch ShortStorage", CALL_STORAGE, DTYPE_I16},
    {"torch IntStorage", CALL_STORAGE, DTYPE_I32},
    {"torch LongStorage", CALL_STORAGE, DTYPE_I64},
    {"numpy.core.multiarray _reconstruct", CALL_ARRAY, 0},
    {"numpy._core.multiarray _reconstruct", CALL_ARRAY, 0},
    {"numpy dtype", CALL_DTYPE, 0},
    {"", CALL_IGNORED, 0},         /* stands for every one of `settings` */
    {"__torch__", CALL_OBJECT, 0}, /* stands for every class below it */
};
enum { GLOBALS = sizeof globals / sizeof *globals };

/* Settings, scores and dates that checkpoints of a training hold beside tensors. Nothing is made
 * of them but the knowledge that they are no tensors. A name without a space is a package, of which
 * every global counts. */
/* clang-format off */
static const char *const settings[] = {
    "__builtin__ set", "builtins set", "__builtin__ frozenset", "builtins frozenset",
    "__builtin__ dict", "builtins dict", "__builtin__ list", "builtins list",
    "__builtin__ object", "builtins object", "__builtin__ int", "builtins int",
    "__builtin__ float", "builtins float", "__builtin__ str", "builtins str", "__builtin__ bool",
    "builtins bool", "__builtin__ slice", "builtins slice", "__builtin__ complex",
    "builtins complex", "__builtin__ bytearray", "builtins bytearray", "copy_reg _reconstructor",
    "copyreg _reconstructor", "_codecs encode", "argparse Namespace", "types SimpleNamespace",
    "collections Counter", "collections deque", "datetime datetime", "datetime date",
    "datetime timedelta", "datetime timezone", "pathlib Path", "pathlib PosixPath",
    "pathlib PurePosixPath", "pathlib WindowsPath", "pathlib._local PosixPath",
    "pathlib._local WindowsPath", "typing Any", "enum Enum", "uuid UUID", "decimal Decimal",
    "fractions Fraction", "functools partial", "torch device", "torch dtype", "torch float32",
    "torch float16", "torch bfloat16", "torch float64", "torch int64", "torch int32",
    "torch int16", "torch int8", "torch uint8", "torch bool", "torch Tensor", "torch strided",
    "torch contiguous_format", "torch channels_last", "torch preserve_format", "torch Generator",
    "torch.nn.parameter Parameter", "torch.nn.parameter Buffer",
    "torch.serialization _get_layout", "numpy ndarray", "numpy float64",
    "numpy float32", "numpy int64", "numpy int32", "numpy bool_", "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar", "numpy.core.numeric _frombuffer",
    "numpy._core.numeric _frombuffer", "numpy.dtypes", "omegaconf", "antlr4", "easydict",
    "addict", "munch", "ml_collections", "yacs", "fvcore.common.config", "detectron2.config",
    "mmcv.utils.config", "mmengine.config", "pytorch_lightning.utilities.parsing",
    "pytorch_lightning.callbacks", "lightning.pytorch.utilities.parsing",
    "lightning.pytorch.callbacks", "lightning.fabric.utilities.data",
    "lightning_fabric.utilities.data"
};
/* clang-format on */

static bool is_setting(const char *name) {
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const size_t n = strlen(settings[i]);
        if (strncmp(name, settings[i], n) != 0) continue;
        if (strchr(settings[i], ' ') ? !name[n] : name[n] == '.' || name[n] == ' ') return true;
    }
    return false;
}

/* Index of "module name", or -1. */
static int find_global(const char *name) {
    if (strncmp(name, "__torch__.", 10) == 0 || strncmp(name, "__torch__ ", 10) == 0)
        return GLOBALS - 1;
    if (is_setting(name)) return GLOBALS - 2;
    for (int i = 0; i < GLOBALS - 2; i++)
        if (strcmp(globals[i].name, name) == 0) return i;
    return -1;
}

/* Returns true for the name of a class, as Python's style guide has them: "module Name". Programs that
 * a pickle would start are no classes a model is made of. */
static bool is_class(const char *name) {
    const char *last = strrchr(name, ' ');
    return last && last[1] >= 'A' && last[1] <= 'Z' && strncmp(name, "subprocess ", 11) != 0;
}

/* --- the machine ------------------------------------------------------------------------------ */

typedef struct {
    PickleArena *arena;
    const uint8_t *start, *at, *end;
    Value **stack, **memo;
    int64_t stack_count, stack_capacity, memo_count, memo_capacity;
    int64_t *mark; /* heights of the stack */
    int64_t mark_count, mark_capacity;
    const char *path;
    Error *err;
    Status status;
} Machine;

static Status broken(Machine *m, const char *what) {
    if (m->status == OK)
        m->status = fail(m->err, ERR_FORMAT, "pickle: %s: damaged or truncated: %s", m->path, what);
    return m->status;
}

static void no_memory(Machine *m) {
    if (m->status == OK) m->status = fail(m->err, ERR_MEMORY, "pickle: %s: out of memory", m->path);
}

/* Makes room for one more element of `size` bytes. */
static bool grow(Machine *m, void **array, int64_t count, int64_t *capacity, size_t size) {
    if (count < *capacity) return true;
    const int64_t n = 2 * *capacity + 64;
    void *larger = realloc(*array, (size_t)n * size);
    if (!larger) {
        no_memory(m);
        return false;
    }
    *array = larger;
    *capacity = n;
    return true;
}

static const uint8_t *take(Machine *m, uint64_t bytes) {
    if (bytes > (uint64_t)(m->end - m->at)) {
        broken(m, "it ends within an instruction");
        return NULL;
    }
    const uint8_t *p = m->at;
    m->at += bytes;
    return p;
}

static uint64_t take_little(Machine *m, int bytes) {
    const uint8_t *p = take(m, (uint64_t)bytes);
    uint64_t x = 0;
    for (int i = bytes - 1; p && i >= 0; i--) x = x << 8 | p[i];
    return x;
}

/* Up to a newline, which is taken too. */
static const char *take_line(Machine *m, int64_t *length) {
    const uint8_t *newline = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!newline) {
        broken(m, "it ends within a line");
        return NULL;
    }
    const char *line = (const char *)m->at;
    *length = newline - m->at;
    m->at = newline + 1;
    return line;
}

static Value *new_value(Machine *m, ValueKind kind) {
    Value *v = arena_take(m->arena, sizeof *v);
    if (v) v->kind = kind;
    else no_memory(m);
    return v;
}

static void push(Machine *m, Value *v) {
    if (v && grow(m, (void **)&m->stack, m->stack_count, &m->stack_capacity, sizeof *m->stack))
        m->stack[m->stack_count++] = v;
}

static Value *pop(Machine *m) {
    const int64_t floor = m->mark_count ? m->mark[m->mark_count - 1] : 0;
    if (m->stack_count > floor) return m->stack[--m->stack_count];
    broken(m, "it takes from an empty stack");
    return NULL;
}

static Value *top(Machine *m) {
    Value *v = pop(m);
    if (v) m->stack_count++;
    return v;
}

static void push_none(Machine *m) {
    push(m, new_value(m, VALUE_NONE));
}

static void push_int(Machine *m, int64_t x) {
    Value *v = new_value(m, VALUE_INT);
    if (v) v->as.integer = x;
    push(m, v);
}

static void push_text(Machine *m, uint64_t bytes) {
    const uint8_t *p = take(m, bytes);
    Value *v = p ? new_value(m, VALUE_TEXT) : NULL;
    if (v) {
        v->as.text.at = (const char *)p;
        v->as.text.bytes = (int64_t)bytes;
    }
    push(m, v);
}

static void append(Machine *m, Value *to, Value *item) {
    if (to->as.items.count == to->as.items.capacity) { /* the old array stays in the arena */
        const int64_t n = 2 * to->as.items.capacity + 4;
        Value **larger = arena_take(m->arena, (size_t)n * sizeof *larger);
        if (!larger) {
            no_memory(m);
            return;
        }
        if (to->as.items.count)
            memcpy(larger, to->as.items.at, (size_t)to->as.items.count * sizeof *larger);
        to->as.items.at = larger;
        to->as.items.capacity = n;
    }
    to->as.items.at[to->as.items.count++] = item;
}

/* The topmost n values as a list, popped. */
static Value *collect(Machine *m, ValueKind kind, int64_t n) {
    const int64_t floor = m->mark_count ? m->mark[m->mark_count - 1] : 0;
    if (m->stack_count - floor < n) {
        broken(m, "it takes from an empty stack");
        return NULL;
    }
    Value *v = new_value(m, kind);
    if (v && n) {
        v->as.items.at = arena_take(m->arena, (size_t)n * sizeof(Value *));
        if (!v->as.items.at) {
            no_memory(m);
            return NULL;
        }
        memcpy(v->as.items.at, m->stack + m->stack_count - n, (size_t)n * sizeof(Value *));
        v->as.items.count = v->as.items.capacity = n;
    }
    m->stack_count -= n;
    return v;
}

/* Everything above the last mark, popped with it. */
static Value *collect_marked(Machine *m, ValueKind kind) {
    if (!m->mark_count) {
        broken(m, "a mark is missing");
        return NULL;
    }
    Value *v = collect(m, kind, m->stack_count - m->mark[m->mark_count - 1]);
    m->mark_count--;
    return v;
}

static void extend(Machine *m, const Value *items, bool pairs) {
    Value *to = items ? top(m) : NULL;
    if (!to || to->kind == VALUE_IGNORED) return;
    const bool fits =
        pairs ? to->kind == VALUE_DICT || to->kind == VALUE_OBJECT : to->kind == VALUE_LIST;
    if (!fits || (pairs && items->as.items.count % 2)) {
        broken(m, "items for something that holds none");
        return;
    }
    for (int64_t i = 0; m->status == OK && i < items->as.items.count; i++)
        append(m, to, items->as.items.at[i]);
}

static void memo_put(Machine *m, uint64_t index) {
    Value *v = top(m);
    if (!v) return;
    if (index > (uint64_t)(m->end - m->start)) { /* each takes two bytes at least */
        broken(m, "a memo index beyond its length");
        return;
    }
    while (m->status == OK && (uint64_t)m->memo_count <= index)
        if (grow(m, (void **)&m->memo, m->memo_count, &m->memo_capacity, sizeof *m->memo))
            m->memo[m->memo_count++] = NULL;
    if (m->status == OK) m->memo[index] = v;
}

static void memo_get(Machine *m, uint64_t index) {
    if (index < (uint64_t)m->memo_count && m->memo[index]) push(m, m->memo[index]);
    else broken(m, "a memo entry that was never made");
}

/* --- globals and calls ------------------------------------------------------------------------ */

static void push_global(Machine *m, const char *module, int64_t module_bytes, const char *name,
                        int64_t name_bytes) {
    char full[256];
    if (module_bytes < 0 || name_bytes < 0 ||
        module_bytes + name_bytes + 2 > (int64_t)sizeof full) {
        broken(m, "a global's name is too long");
        return;
    }
    snprintf(full, sizeof full, "%.*s %.*s", (int)module_bytes, module, (int)name_bytes, name);
    const int index = find_global(full);
    if (index < 0) {
        const bool class = is_class(full);
        full[strcspn(full, " ")] = '.';
        m->status = fail(m->err, ERR_FORMAT,
                         "pickle: %s: refuses the global %s: only those that rebuild "
                         "tensors are read%s",
                         m->path, full,
                         class ? "; of a whole model that you trust, save the tensors: "
                                 "torch.save(model.state_dict(), 'state_dict.pth')"
                               : "");
        return;
    }
    Value *v = new_value(m, VALUE_GLOBAL);
    if (v) v->as.global = index;
    push(m, v);
}

static const Value *item(const Value *list, int64_t i) {
    return list && list->kind == VALUE_LIST && i < list->as.items.count ? list->as.items.at[i]
                                                                        : NULL;
}

static bool is_int(const Value *v) {
    return v && v->kind == VALUE_INT;
}

/* (storage, offset, size, stride, ...) */
static void push_tensor(Machine *m, const Value *arguments) {
    const Value *storage = item(arguments, 0), *offset = item(arguments, 1);
    const Value *size = item(arguments, 2), *stride = item(arguments, 3);
    const bool shaped = size && stride && size->kind == VALUE_LIST && stride->kind == VALUE_LIST &&
                        size->as.items.count == stride->as.items.count;
    if (!storage || storage->kind != VALUE_STORAGE || !is_int(offset) || !shaped ||
        size->as.items.count > PICKLE_MAX_AXES) {
        broken(m, "a tensor without storage, offset, size and stride");
        return;
    }
    Value *v = new_value(m, VALUE_TENSOR);
    if (!v) return;
    v->as.tensor.storage = storage;
    v->as.tensor.offset = offset->as.integer;
    v->as.tensor.axes = (int)size->as.items.count;
    for (int i = 0; i < v->as.tensor.axes; i++) {
        if (!is_int(item(size, i)) || !is_int(item(stride, i))) {
            broken(m, "a tensor's size is not a number");
            return;
        }
        v->as.tensor.shape[i] = item(size, i)->as.integer;
        v->as.tensor.stride[i] = item(stride, i)->as.integer;
    }
    push(m, v);
}

/* OrderedDict() or OrderedDict([[key, value], ...]) */
static void push_dict(Machine *m, const Value *arguments) {
    Value *dict = new_value(m, VALUE_DICT);
    const Value *pairs = item(arguments, 0);
    for (int64_t i = 0; dict && pairs && m->status == OK && item(pairs, i); i++) {
        const Value *pair = item(pairs, i);
        if (!item(pair, 1)) {
            broken(m, "a dictionary's pair is not one");
            return;
        }
        append(m, dict, pair->as.items.at[0]);
        append(m, dict, pair->as.items.at[1]);
    }
    push(m, dict);
}

/* (function, type, arguments, state), where the function is one that rebuilds a tensor. */
static void push_typed(Machine *m, const Value *arguments) {
    const Value *function = item(arguments, 0), *inner = item(arguments, 2);
    const bool known = function && function->kind == VALUE_GLOBAL && inner;
    const Call call = known ? globals[function->as.global].call : CALL_IGNORED;
    if (call == CALL_TENSOR) push_tensor(m, inner);
    else if (call == CALL_FIRST && item(inner, 0)) push(m, inner->as.items.at[0]);
    else broken(m, "a typed tensor without its function");
}

/* ("u1", False, True): a type of numpy. Types of anything but numbers are nobody's. */
static void push_dtype(Machine *m, const Value *arguments) {
    static const struct {
        const char *name;
        DType type;
    } types[] = {{"f2", DTYPE_F16}, {"f4", DTYPE_F32}, {"f8", DTYPE_F64}, {"b1", DTYPE_BOOL},
                 {"i1", DTYPE_I8},  {"u1", DTYPE_U8},  {"i2", DTYPE_I16}, {"u2", DTYPE_U16},
                 {"i4", DTYPE_I32}, {"u4", DTYPE_U32}, {"i8", DTYPE_I64}, {"u8", DTYPE_U64}};
    Value *v = new_value(m, VALUE_IGNORED);
    const Value *name = item(arguments, 0);
    for (size_t i = 0; v && name && i < sizeof types / sizeof *types; i++)
        if (value_is_text(name, types[i].name)) {
            v->kind = VALUE_DTYPE;
            v->as.array.type = types[i].type;
        }
    push(m, v);
}

static void call(Machine *m) {
    const Value *arguments = pop(m), *callee = m->status == OK ? pop(m) : NULL;
    if (!callee) return;
    if (callee->kind == VALUE_IGNORED) { /* what an ignored object makes is ignored */
        push(m, new_value(m, VALUE_IGNORED));
        return;
    }
    if (callee->kind != VALUE_GLOBAL || arguments->kind != VALUE_LIST) {
        broken(m, "it calls something that is no function");
        return;
    }
    switch (globals[callee->as.global].call) {
    case CALL_DICT: push_dict(m, arguments); break;
    case CALL_TENSOR: push_tensor(m, arguments); break;
    case CALL_FIRST:
        if (item(arguments, 0)) push(m, arguments->as.items.at[0]);
        else broken(m, "a call without its argument");
        break;
    case CALL_OBJECT: push(m, new_value(m, VALUE_OBJECT)); break;
    case CALL_TYPED: push_typed(m, arguments); break;
    case CALL_IGNORED: push(m, new_value(m, VALUE_IGNORED)); break;
    case CALL_STORAGE: broken(m, "it calls a type of storage"); break;
    case CALL_ARRAY: push(m, new_value(m, VALUE_ARRAY)); break;
    case CALL_DTYPE: push_dtype(m, arguments); break;
    }
}

/* (version, shape, type, Fortran order, bytes) of numpy's array. One that is not plain numbers in C order
 * is nobody's. */
static void build_array(Value *array, const Value *state) {
    const Value *shape = item(state, 1), *type = item(state, 2), *order = item(state, 3);
    const Value *bytes = item(state, 4);
    int64_t need = 0;
    bool ok = shape && shape->kind == VALUE_LIST && shape->as.items.count <= PICKLE_MAX_AXES &&
              type && type->kind == VALUE_DTYPE && is_int(order) && !order->as.integer && bytes &&
              bytes->kind == VALUE_TEXT && array->as.array.at == NULL;
    Value filled = {.kind = VALUE_ARRAY};
    if (ok) {
        filled.as.array.type = type->as.array.type;
        filled.as.array.swapped = type->as.array.swapped;
        filled.as.array.at = bytes->as.text.at;
        filled.as.array.axes = (int)shape->as.items.count;
        need = dtype_bytes(type->as.array.type);
    }
    for (int i = 0; ok && i < filled.as.array.axes; i++) {
        const Value *n = item(shape, i);
        ok = is_int(n) && n->as.integer >= 0 && !__builtin_mul_overflow(need, n->as.integer, &need);
        if (ok) filled.as.array.shape[i] = n->as.integer;
    }
    if (!ok || need != bytes->as.text.bytes) filled.kind = VALUE_IGNORED;
    *array = filled;
}

/* State for the object below it: attributes of TorchScript objects, what numpy's arrays and types are; a
 * dict's metadata means nothing. */
static void build(Machine *m) {
    const Value *state = pop(m);
    Value *object = m->status == OK ? top(m) : NULL;
    if (object && object->kind == VALUE_ARRAY) build_array(object, state);
    if (object && object->kind == VALUE_DTYPE && item(state, 1))
        object->as.array.swapped = value_is_text(item(state, 1), ">");
    if (!object || object->kind != VALUE_OBJECT || state->kind != VALUE_DICT) return;
    for (int64_t i = 0; m->status == OK && i < state->as.items.count; i++)
        append(m, object, state->as.items.at[i]);
}

/* ('storage', type, key, location, count[, view]) */
static void push_storage(Machine *m) {
    const Value *id = pop(m);
    if (!id) return;
    const Value *type = item(id, 1), *key = item(id, 2), *count = item(id, 4), *view = item(id, 5);
    if (!item(id, 0) || !value_is_text(item(id, 0), "storage") || !type ||
        type->kind != VALUE_GLOBAL || globals[type->as.global].call != CALL_STORAGE || !key ||
        key->kind != VALUE_TEXT || !is_int(count) || count->as.integer < 0) {
        broken(m, "a persistent id that is no storage");
        return;
    }
    Value *v = new_value(m, VALUE_STORAGE);
    if (!v) return;
    v->as.storage.type = globals[type->as.global].type;
    v->as.storage.key = key;
    v->as.storage.count = count->as.integer;
    if (view && view->kind == VALUE_LIST) { /* (key, offset, count): a view of a larger storage */
        if (!is_int(item(view, 1)) || !is_int(item(view, 2))) {
            broken(m, "a storage view without offset and size");
            return;
        }
        v->as.storage.first = item(view, 1)->as.integer;
        v->as.storage.count = item(view, 2)->as.integer;
    }
    push(m, v);
}

/* Two's complement, little-endian, any length; beyond int64 nobody needs the value. */
static void push_long(Machine *m, uint64_t bytes) {
    const uint8_t *p = take(m, bytes);
    if (!p) return;
    if (bytes > 8) {
        push_none(m);
        return;
    }
    uint64_t x = bytes && p[bytes - 1] & 0x80 ? UINT64_MAX : 0;
    for (int i = (int)bytes - 1; i >= 0; i--) x = x << 8 | p[i];
    push_int(m, (int64_t)x);
}

static void push_decimal(Machine *m) { /* protocol 0: "12\n", "12L\n", "01\n" */
    int64_t length = 0;
    const char *line = take_line(m, &length);
    if (line) push_int(m, strtoll(line, NULL, 10)); /* stops at the newline */
}

static void push_real(Machine *m) { /* eight bytes, most significant first */
    const uint8_t *p = take(m, 8);
    uint64_t bits = 0;
    for (int i = 0; p && i < 8; i++) bits = bits << 8 | p[i];
    Value *v = p ? new_value(m, VALUE_REAL) : NULL;
    if (v) memcpy(&v->as.real, &bits, sizeof bits);
    push(m, v);
}

static void mark(Machine *m) {
    if (grow(m, (void **)&m->mark, m->mark_count, &m->mark_capacity, sizeof *m->mark))
        m->mark[m->mark_count++] = m->stack_count;
}

static void global_from_lines(Machine *m) {
    int64_t module_bytes = 0, name_bytes = 0;
    const char *module = take_line(m, &module_bytes);
    const char *name = module ? take_line(m, &name_bytes) : NULL;
    if (name) push_global(m, module, module_bytes, name, name_bytes);
}

static void global_from_stack(Machine *m) {
    const Value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module) return;
    if (name->kind != VALUE_TEXT || module->kind != VALUE_TEXT)
        broken(m, "a global without a name");
    else
        push_global(m, module->as.text.at, module->as.text.bytes, name->as.text.at,
                    name->as.text.bytes);
}

/* One instruction; false at STOP. Letters are pickletools' opcodes. */
static bool step(Machine *m) {
    const uint8_t *code = take(m, 1);
    int64_t length = 0;
    const char *line;
    if (!code) return false;
    switch (*code) {
    case '.': return false;                                   /* STOP */
    case 0x80: take(m, 1); break;                             /* PROTO */
    case 0x95: take(m, 8); break;                             /* FRAME */
    case '(': mark(m); break;                                 /* MARK */
    case '0': pop(m); break;                                  /* POP */
    case '1': collect_marked(m, VALUE_LIST); break;           /* POP_MARK */
    case '2': push(m, top(m)); break;                         /* DUP */
    case 'N': push_none(m); break;                            /* NONE */
    case 0x88: push_int(m, 1); break;                         /* NEWTRUE */
    case 0x89: push_int(m, 0); break;                         /* NEWFALSE */
    case 'I':                                                 /* INT */
    case 'L': push_decimal(m); break;                         /* LONG */
    case 'J': push_int(m, (int32_t)take_little(m, 4)); break; /* BININT */
    case 'K': push_int(m, (int64_t)take_little(m, 1)); break; /* BININT1 */
    case 'M': push_int(m, (int64_t)take_little(m, 2)); break; /* BININT2 */
    case 0x8a: push_long(m, take_little(m, 1)); break;        /* LONG1 */
    case 0x8b: push_long(m, take_little(m, 4)); break;        /* LONG4 */
    case 'G': push_real(m); break;                            /* BINFLOAT */
    case 'U':                                                 /* SHORT_BINSTRING */
    case 'C':                                                 /* SHORT_BINBYTES */
    case 0x8c: push_text(m, take_little(m, 1)); break;        /* SHORT_BINUNICODE */
    case 'T':                                                 /* BINSTRING */
    case 'B':                                                 /* BINBYTES */
    case 'X': push_text(m, take_little(m, 4)); break;         /* BINUNICODE */
    case 0x8e:                                                /* BINBYTES8 */
    case 0x8d: push_text(m, take_little(m, 8)); break;        /* BINUNICODE8 */
    case ')': push(m, collect(m, VALUE_LIST, 0)); break;      /* EMPTY_TUPLE */
    case 0x85: push(m, collect(m, VALUE_LIST, 1)); break;     /* TUPLE1 */
    case 0x86: push(m, collect(m, VALUE_LIST, 2)); break;     /* TUPLE2 */
    case 0x87: push(m, collect(m, VALUE_LIST, 3)); break;     /* TUPLE3 */
    case 't':                                                 /* TUPLE */
    case 'l': push(m, collect_marked(m, VALUE_LIST)); break;  /* LIST */
    case ']':                                                 /* EMPTY_LIST */
    case 0x8f: push(m, new_value(m, VALUE_LIST)); break;      /* EMPTY_SET */
    case '}': push(m, new_value(m, VALUE_DICT)); break;       /* EMPTY_DICT */
    case 'd': {                                               /* DICT */
        Value *dict = collect_marked(m, VALUE_DICT);
        if (dict && dict->as.items.count % 2) broken(m, "a dictionary with half a pair");
        push(m, dict);
        break;
    }
    case 'a': extend(m, collect(m, VALUE_LIST, 1), false); break;      /* APPEND */
    case 'e':                                                          /* APPENDS */
    case 0x90: extend(m, collect_marked(m, VALUE_LIST), false); break; /* ADDITEMS */
    case 's': extend(m, collect(m, VALUE_LIST, 2), true); break;       /* SETITEM */
    case 'u': extend(m, collect_marked(m, VALUE_LIST), true); break;   /* SETITEMS */
    case 'c': global_from_lines(m); break;                             /* GLOBAL */
    case 0x93: global_from_stack(m); break;                            /* STACK_GLOBAL */
    case 'R':                                                          /* REDUCE */
    case 0x81: call(m); break;                                         /* NEWOBJ */
    case 0x92:                                                         /* NEWOBJ_EX */
        if (pop(m)) call(m);                                           /* names of arguments */
        break;
    case 0x91: push(m, collect_marked(m, VALUE_LIST)); break; /* FROZENSET */
    case 'b': build(m); break;                                /* BUILD */
    case 'Q': push_storage(m); break;                         /* BINPERSID */
    case 'q': memo_put(m, take_little(m, 1)); break;          /* BINPUT */
    case 'r': memo_put(m, take_little(m, 4)); break;          /* LONG_BINPUT */
    case 0x94: memo_put(m, (uint64_t)m->memo_count); break;   /* MEMOIZE */
    case 'h': memo_get(m, take_little(m, 1)); break;          /* BINGET */
    case 'j': memo_get(m, take_little(m, 4)); break;          /* LONG_BINGET */
    case 'p':                                                 /* PUT */
        if ((line = take_line(m, &length))) memo_put(m, strtoull(line, NULL, 10));
        break;
    case 'g': /* GET */
        if ((line = take_line(m, &length))) memo_get(m, strtoull(line, NULL, 10));
        break;
    default:
        m->status = fail(m->err, ERR_FORMAT,
                         "pickle: %s: refuses opcode 0x%02x at byte %lld: only those "
                         "that rebuild tensors are read",
                         m->path, *code, (long long)(m->at - m->start - 1));
    }
    return m->status == OK;
}

Status pickle_read(PickleArena *arena, const uint8_t *data, int64_t bytes, const char *path,
                   Value **out, int64_t *used, Error *err) {
    Machine m = {
        .arena = arena, .start = data, .at = data, .end = data + bytes, .path = path, .err = err};
    *out = NULL;
    while (step(&m)) {}
    if (m.status == OK) *out = pop(&m);
    *used = m.at - m.start;
    free(m.stack);
    free(m.memo);
    free(m.mark);
    return m.status;
}

bool value_is_text(const Value *v, const char *text) {
    const size_t n = strlen(text);
    return v->kind == VALUE_TEXT && v->as.text.bytes == (int64_t)n &&
           memcmp(v->as.text.at, text, n) == 0;
}
