/* pickle.c - the stack machine that reads a pickle: it builds values and executes nothing. */
#include "io/pickle/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/bytes.h"
#include "io/files/grow.h"
#include "io/pickle/objects.h"

/* --- stack, marks and memo --------------------------------------------------------------------- */

typedef struct {
    Builder builder;
    const uint8_t *start, *at, *end;
    Value **stack, **memo;
    int64_t stack_count, stack_capacity, memo_count, memo_capacity;
    int64_t *mark; /* heights of the stack at MARK */
    int64_t mark_count, mark_capacity;
} Machine;

static void broken(Machine *m, const char *what) {
    builder_broken(&m->builder, what);
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
    return !p ? 0 : bytes == 8 ? little64(p) : little(p, bytes);
}

/* Takes a line and its newline. Returns it, or NULL if there is no newline. */
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
    return value_new(&m->builder, kind);
}

static void push(Machine *m, Value *v) {
    if (!v) return;
    Value **stack = grown(m->stack, m->stack_count, &m->stack_capacity, sizeof *stack);
    if (!stack) {
        builder_no_memory(&m->builder);
        return;
    }
    m->stack = stack;
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

/* Pops the topmost n values into a list. */
static Value *collect(Machine *m, ValueKind kind, int64_t n) {
    const int64_t floor = m->mark_count ? m->mark[m->mark_count - 1] : 0;
    if (m->stack_count - floor < n) {
        broken(m, "it takes from an empty stack");
        return NULL;
    }
    m->stack_count -= n;
    return value_of_items(&m->builder, kind, n ? m->stack + m->stack_count : NULL, n);
}

/* Pops everything above the last mark, and the mark, into a list. */
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
    for (int64_t i = 0; m->builder.status == OK && i < items->as.items.count; i++)
        value_append(&m->builder, to, items->as.items.at[i]);
}

static void memo_put(Machine *m, uint64_t index) {
    Value *v = top(m);
    if (!v) return;
    if (index > (uint64_t)(m->end - m->start)) { /* each entry takes two bytes at least */
        broken(m, "a memo index beyond its length");
        return;
    }
    while ((uint64_t)m->memo_count <= index) {
        Value **memo = grown(m->memo, m->memo_count, &m->memo_capacity, sizeof *memo);
        if (!memo) {
            builder_no_memory(&m->builder);
            return;
        }
        m->memo = memo;
        m->memo[m->memo_count++] = NULL;
    }
    m->memo[index] = v;
}

static void memo_get(Machine *m, uint64_t index) {
    if (index < (uint64_t)m->memo_count && m->memo[index]) push(m, m->memo[index]);
    else broken(m, "a memo entry that was never made");
}

/* --- instructions ------------------------------------------------------------------------------ */

/* Takes a whole number of any length, little-endian in two's complement. Beyond int64 nobody needs
 * the value: it becomes None. */
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

/* Returns the number that a line begins with. strtoll itself would pass over newlines, and read on behind the
 * line and behind the pickle. */
static int64_t number_of(const char *line, int64_t length) {
    char text[32];
    const size_t n = length < (int64_t)sizeof text ? (size_t)length : sizeof text - 1;
    memcpy(text, line, n);
    text[n] = '\0';
    return strtoll(text, NULL, 10);
}

static void push_decimal(Machine *m) { /* protocol 0: "12\n", "12L\n", "01\n" */
    int64_t length = 0;
    const char *line = take_line(m, &length);
    if (line) push_int(m, number_of(line, length));
}

static void push_real(Machine *m) { /* eight bytes, most significant first */
    const uint8_t *p = take(m, 8);
    const uint64_t bits = p ? (uint64_t)big(p, 4) << 32 | big(p + 4, 4) : 0;
    Value *v = p ? new_value(m, VALUE_REAL) : NULL;
    if (v) memcpy(&v->as.real, &bits, sizeof bits);
    push(m, v);
}

static void mark(Machine *m) {
    int64_t *marks = grown(m->mark, m->mark_count, &m->mark_capacity, sizeof *marks);
    if (!marks) {
        builder_no_memory(&m->builder);
        return;
    }
    m->mark = marks;
    m->mark[m->mark_count++] = m->stack_count;
}

static void global_from_lines(Machine *m) {
    int64_t module_bytes = 0, name_bytes = 0;
    const char *module = take_line(m, &module_bytes);
    const char *name = module ? take_line(m, &name_bytes) : NULL;
    if (name) push(m, object_global(&m->builder, module, module_bytes, name, name_bytes));
}

static void global_from_stack(Machine *m) {
    const Value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module) return;
    if (name->kind != VALUE_TEXT || module->kind != VALUE_TEXT)
        broken(m, "a global without a name");
    else
        push(m, object_global(&m->builder, module->as.text.at, module->as.text.bytes,
                              name->as.text.at, name->as.text.bytes));
}

static void call(Machine *m) {
    const Value *arguments = pop(m), *callee = arguments ? pop(m) : NULL;
    if (callee) push(m, object_call(&m->builder, callee, arguments));
}

/* Gives the state on top of the stack to the object below it. */
static void build(Machine *m) {
    const Value *state = pop(m);
    Value *object = state ? top(m) : NULL;
    if (object) object_build(&m->builder, object, state);
}

static void storage(Machine *m) {
    const Value *id = pop(m);
    if (id) push(m, object_storage(&m->builder, id));
}

/* Takes one instruction. Returns false at STOP and after a failure. Letters are opcodes of
 * pickletools. */
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
    case 0x96:                                                /* BYTEARRAY8 */
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
        if (pop(m)) call(m); /* NEWOBJ_EX has the names of arguments on top */
        break;
    case 0x91: push(m, collect_marked(m, VALUE_LIST)); break; /* FROZENSET */
    case 'b': build(m); break;                                /* BUILD */
    case 'Q': storage(m); break;                              /* BINPERSID */
    case 'q': memo_put(m, take_little(m, 1)); break;          /* BINPUT */
    case 'r': memo_put(m, take_little(m, 4)); break;          /* LONG_BINPUT */
    case 0x94: memo_put(m, (uint64_t)m->memo_count); break;   /* MEMOIZE */
    case 'h': memo_get(m, take_little(m, 1)); break;          /* BINGET */
    case 'j': memo_get(m, take_little(m, 4)); break;          /* LONG_BINGET */
    case 'p':                                                 /* PUT */
        if ((line = take_line(m, &length))) memo_put(m, (uint64_t)number_of(line, length));
        break;
    case 'g': /* GET */
        if ((line = take_line(m, &length))) memo_get(m, (uint64_t)number_of(line, length));
        break;
    default:
        m->builder.status = fail(m->builder.err, ERR_FORMAT,
                                 "pickle: %s: refuses opcode 0x%02x at byte %lld: only those "
                                 "that rebuild tensors are read",
                                 m->builder.path, *code, (long long)(m->at - m->start - 1));
    }
    return m->builder.status == OK;
}

Status pickle_read(PickleArena *arena, const uint8_t *data, int64_t bytes, const char *path,
                   Value **out, int64_t *used, Error *err) {
    Machine m = {.builder = {.arena = arena, .path = path, .err = err, .may_decode = bytes},
                 .start = data,
                 .at = data,
                 .end = data + bytes};
    *out = NULL;
    while (step(&m)) {}
    if (m.builder.status == OK) *out = pop(&m);
    *used = m.at - m.start;
    free(m.stack);
    free(m.memo);
    free(m.mark);
    return m.builder.status;
}
