/* report.cpp - reports of what hardware leaves undefined: one line, then abort(); after a deadlock, a line for
 * every group of threads that it keeps. */
#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "kernels/emu/thread.h"

namespace emu {

const char *running_kernel() {
    if (run.launch->name) return run.launch->name;
    const char *name = symbol_name(run.launch->kernel);
    return name ? name : "kernel";
}

/* Prints "kernel: block (x,y,z), thread t: ", or nothing while no kernel runs. */
static void say_where() {
    fflush(stdout);
    fprintf(stderr, "emulator: ");
    if (run.launch) fprintf(stderr, "%s: ", running_kernel());
    if (run.launch && self)
        fprintf(stderr, "block (%u,%u,%u), thread %d: ", self->warp->block->index.x,
                self->warp->block->index.y, self->warp->block->index.z, self->index);
}

void fault(const char *format, ...) {
    va_list args;
    say_where();
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stderr);
    abort();
}

/* --- deadlock --------------------------------------------------------------------------------- */

static bool same_wait(const Thread &a, const Thread &b) {
    return a.waiting == b.waiting && a.file == b.file && a.line == b.line &&
           (a.waiting < FOR_COUNTER || (a.counter == b.counter && a.target == b.target));
}

static void say_wait(const Block *b, const std::string &threads, const Thread &t) {
    fprintf(stderr, "  block (%u,%u,%u), threads %s wait at %s (%s:%d)", b->index.x, b->index.y,
            b->index.z, threads.c_str(), t.what, t.file ? t.file : "?", t.line);
    if (t.waiting == FOR_COUNTER)
        fprintf(stderr, ": the counter at %p is %u, they want %u", (const void *)t.counter,
                *t.counter, t.target);
    if (t.waiting == FOR_MBARRIER)
        fprintf(stderr, ": the mbarrier at byte %ld, %s, they want the end of phase %u",
                (long)((const unsigned char *)t.counter - b->shared),
                describe_mbarrier((const uint64_t *)t.counter), t.target);
    if (t.waiting == IN_LOOP)
        fprintf(stderr, ": the counter at %p stays %u", (const void *)t.counter, *t.counter);
    fputc('\n', stderr);
}

void deadlock() {
    fflush(stdout);
    fprintf(stderr, "emulator: %s: deadlock: nobody can go on\n", running_kernel());
    int lines = 0;
    for (const Block *b : run.resident) {
        std::vector<bool> said(b->threads.size());
        for (size_t i = 0; i < b->threads.size(); i++) {
            if (b->threads[i].waiting == ENDED || said[i] || lines++ >= 24) continue;
            std::string threads;
            for (size_t j = i; j < b->threads.size(); j++) {
                if (b->threads[j].waiting == ENDED || !same_wait(b->threads[i], b->threads[j]))
                    continue;
                size_t last = j;
                for (; last + 1 < b->threads.size(); last++) {
                    const Thread &next = b->threads[last + 1];
                    if (next.waiting == ENDED || !same_wait(b->threads[i], next)) break;
                }
                for (size_t k = j; k <= last; k++) said[k] = true;
                threads += (threads.empty() ? "" : ", ") + std::to_string(j) +
                           (last > j ? "-" + std::to_string(last) : "");
                j = last;
            }
            say_wait(b, threads, b->threads[i]);
        }
    }
    fflush(stderr);
    abort();
}

/* --- crashes ---------------------------------------------------------------------------------- */

/* The program ends anyway, so the functions called here need not be safe in a signal handler. */
static void crashed(int signal, siginfo_t *info, void *) {
    const void *address = info->si_addr;
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard,
              NULL); /* crash once more, now with a core file or in the debugger */
    say_where();
    if (self && fiber_near(&self->fiber, address))
        fprintf(stderr, "its stack of %zu KB overflowed\n", fiber_stack_bytes() >> 10);
    else if (shared_guard(address))
        fprintf(stderr, "access outside its %zu bytes of shared memory\n",
                run.launch ? run.launch->shared : 0);
    else if (const char *what = describe_address(address)) fprintf(stderr, "%s\n", what);
    else if (run.launch)
        fprintf(stderr, "access to %p, which is no memory of the device\n", address);
    else fprintf(stderr, "the host crashed at %p\n", address);
    fflush(stderr);
}

void watch_crashes() {
    static bool done;
    if (done) return;
    done = true;
    for (int signal : {SIGSEGV, SIGBUS}) {
        struct sigaction now, ours = {};
        if (sigaction(signal, NULL, &now) != 0 || now.sa_handler != SIG_DFL) continue;
        static char stack[64 << 10]; /* the kernel's own may be what overflowed */
        stack_t other = {};
        other.ss_sp = stack;
        other.ss_size = sizeof stack;
        sigaltstack(&other, NULL);
        ours.sa_sigaction = crashed;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(signal, &ours, NULL);
    }
}

/* --- names of kernels ------------------------------------------------------------------------- */

/* Looks the address up in the program's own symbol table. */
static std::string find_symbol(const char *elf, size_t bytes, uintptr_t offset) {
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)elf;
    if (bytes < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return "";
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(elf + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) continue;
        const char *names = elf + sections[sections[i].sh_link].sh_offset;
        const ElfW(Sym) *symbols = (const ElfW(Sym) *)(elf + sections[i].sh_offset);
        for (size_t s = 0; s < sections[i].sh_size / sizeof *symbols; s++)
            if ((symbols[s].st_info & 15) == STT_FUNC && symbols[s].st_value == offset)
                return names + symbols[s].st_name;
    }
    return "";
}

const char *symbol_name(const void *function) {
    static std::string name;
    uintptr_t base = 0;
    dl_iterate_phdr(/* the first object is the program */
                    [](dl_phdr_info *info, size_t, void *out) {
                        *(uintptr_t *)out = info->dlpi_addr;
                        return 1;
                    },
                    &base);
    const int file = open("/proc/self/exe", O_RDONLY);
    struct stat s;
    if (file < 0) return NULL;
    if (fstat(file, &s) == 0) {
        void *elf = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (elf != MAP_FAILED) {
            name = find_symbol((const char *)elf, (size_t)s.st_size, (uintptr_t)function - base);
            munmap(elf, (size_t)s.st_size);
        }
    }
    close(file);
    int status = 1;
    char *readable = abi::__cxa_demangle(name.c_str(), NULL, NULL, &status);
    if (readable) name = std::string(readable, strcspn(readable, "("));
    free(readable);
    return name.empty() ? NULL : name.c_str();
}

} // namespace emu
