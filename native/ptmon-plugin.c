/*
 * ptmon's TCG plugin: records each store of a guest to the page tables that ptmon watches.
 *
 *     gcc -shared -fPIC -O2 -o ptmon-plugin.so ptmon-plugin.c -lpthread
 *     qemu-system-x86_64 ... -plugin ./ptmon-plugin.so,socket=/run/vm.ptmon
 *
 * QEMU calls `on_store` after each store of an instrumented instruction, in the thread of the vCPU. It looks up one byte: the mark of the
 * frame that was written to. Where that is set, the word is read from memory and appended to a ring, both under one lock, so that the values in
 * the ring are in the order in which memory had them. A thread sends the ring to ptmon over a Unix socket.
 *
 * Where the store makes an entry lead to another table, that table is marked and copied into the ring first, so no write to it is missed.
 *
 * A full ring holds the vCPUs. They run on when there is room, when the connection ends, however ptmon ends, and when ptmon has been silent for
 * two seconds. While no ptmon is connected, no code of the guest is instrumented.
 *
 * Who may connect to the socket (mode 0600) decides what this reads of QEMU's memory: it is as powerful as QMP.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- What this uses of QEMU (include/qemu/qemu-plugin.h) ---- */

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

typedef struct {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus;
        int max_vcpus;
    } system;
} qemu_info_t;

enum { CALLBACK_READS_NO_REGISTERS = 0, AFTER_STORES = 2 };

typedef void (*plugin_cb)(qemu_plugin_id_t id);
typedef void (*vcpu_cb)(qemu_plugin_id_t id, unsigned vcpu);
typedef void (*tb_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*mem_cb)(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t va, void *data);

void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, vcpu_cb cb);
void qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id, vcpu_cb cb);
void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id, vcpu_cb cb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_cb cb);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t id, void *data), void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, mem_cb cb, int flags, int rw, void *data);
void qemu_plugin_reset(qemu_plugin_id_t id, plugin_cb cb);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t va);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *address);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *address);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

/* Until version 2 of the API it returns a pointer to the bytes, since version 3 it copies them. */
void qemu_plugin_insn_data(void);

/* Only QEMU 9.0 and later have it. They refuse plugins for version 1 of the API, earlier ones those for version 2. */
__attribute__((weak)) int qemu_plugin_num_vcpus(void);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* QEMU reads the version after it has loaded the file, and so after this. */
__attribute__((constructor)) static void choose_version(void)
{
    if (qemu_plugin_num_vcpus != NULL) qemu_plugin_version = 2;
}

/* ---- What goes over the socket; src/drivers/qemu/plugin/protocol.ts is the other side ---- */

enum { PROTOCOL = 2 };

/* To ptmon. */
enum { HELLO = 1, BUSY, READY, WRITE, SNAPSHOT, TOO_MANY, UNREADABLE, END };

struct record {
    uint8_t kind;
    uint8_t level;     /* SNAPSHOT: of the table */
    uint16_t vcpu;     /* WRITE: who wrote; SNAPSHOT: whose WRITE follows, plus 1, or 0; HELLO: how many there are */
    uint32_t sequence; /* WRITE: its number; SNAPSHOT: of the last write before it; HELLO: version of the protocol */
    uint32_t seen;     /* WRITE: the last number when this vCPU stored before */
    uint32_t capture;  /* SNAPSHOT: its number; HELLO: version of QEMU's API */
    uint64_t pa;       /* WRITE: of the word of 8 bytes; SNAPSHOT: of the table, whose 4 KiB follow */
    uint64_t value;    /* WRITE: the word; HELLO: QEMU's process */
};

/* From ptmon. */
enum { CONFIGURE = 1, CAPTURE, RELEASE, ALIVE };

struct request {
    uint32_t kind;
    uint32_t count; /* CONFIGURE: regions that follow */
    uint64_t a;     /* CONFIGURE: code from this address on is instrumented; CAPTURE, RELEASE: address of a table */
    uint64_t b;     /* CONFIGURE: bytes of an entry; CAPTURE: level; RELEASE: number of the capture */
};

struct region {
    uint64_t key; /* what qemu_plugin_hwaddr_phys_addr returns for it */
    uint64_t pa;
    uint64_t length;
    uint64_t host; /* where QEMU has it */
};

enum {
    PAGE = 4096,
    MAX_REGIONS = 32,
    MAX_VCPUS = 1024,
    MAX_TABLES_OF_A_STORE = 2048,
    SILENCE_MS = 2000,
};

/* 16 TiB of guest memory. */
#define MAX_FRAMES (UINT64_C(1) << 32)

/* ---- State ---- */

static qemu_plugin_id_t plugin;
static int api_version;
static int vcpu_count;
static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static int listener = -1;
static int wake = -1;
static bool needs_fences;

/* A connection is configured: code that is translated now is instrumented. */
static atomic_bool watching;
/* Translated code is to be dropped, by the next vCPU that comes by. */
static atomic_bool flush_wanted;
/* Of the last WRITE. */
static _Atomic uint32_t sequence;

/* Of the guest's frames, by key: bit n - 1 is set where a watched table of level n is in it. */
static _Atomic uint8_t *marks;
/* The number of its last snapshot, likewise. */
static uint32_t *captures;
static uint64_t frames;

/* Each on a cache line of its own. */
static struct {
    _Alignas(64) uint32_t sequence;
} seen[MAX_VCPUS];

/* All that follows is protected by the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t room = PTHREAD_COND_INITIALIZER;
static uint8_t *ring;
static size_t ring_bytes = 16 << 20;
/* Bytes that were ever appended, and sent. */
static uint64_t head, tail;
static int client = -1;
static bool is_ready;
static unsigned waiting;
static uint32_t capture_count;
static struct region regions[MAX_REGIONS];
static unsigned region_count;
static uint64_t code_from;
static unsigned entry_bytes;
static unsigned tables_left;

static int64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* ---- The ring ---- */

static size_t free_bytes(void)
{
    return ring_bytes - (size_t)(head - tail);
}

static void copy_in(const void *bytes, size_t length)
{
    size_t at = head % ring_bytes;
    size_t first = length < ring_bytes - at ? length : ring_bytes - at;
    memcpy(ring + at, bytes, first);
    memcpy(ring, (const uint8_t *)bytes + first, length - first);
    head += length;
}

/* The thread that sends must see to it that there is room before it calls this. */
static bool has_room(size_t needed)
{
    while (client >= 0 && free_bytes() < needed) {
        waiting++;
        pthread_cond_wait(&room, &lock);
        waiting--;
    }
    return client >= 0;
}

static void append(const struct record *record, const void *page)
{
    bool was_empty = head == tail;
    copy_in(record, sizeof *record);
    if (page != NULL) copy_in(page, PAGE);
    if (was_empty) {
        uint64_t one = 1;
        if (write(wake, &one, sizeof one) < 0) return; /* it is awake already */
    }
}

/* ---- Tables ---- */

static const struct region *region_of_key(uint64_t key)
{
    for (unsigned n = 0; n < region_count; n++)
        if (key - regions[n].key < regions[n].length) return &regions[n];
    return NULL;
}

static const struct region *region_of_pa(uint64_t pa)
{
    for (unsigned n = 0; n < region_count; n++)
        if (pa - regions[n].pa < regions[n].length) return &regions[n];
    return NULL;
}

static uint64_t load(uint64_t host)
{
    return __atomic_load_n((const uint64_t *)(uintptr_t)host, __ATOMIC_RELAXED);
}

/* Whether QEMU still has memory there: to read it is an error then, and not the end of QEMU. */
static bool is_mapped(uint64_t host)
{
    uint64_t word;
    struct iovec to = {&word, sizeof word}, from = {(void *)(uintptr_t)host, sizeof word};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof word;
}

/* Every vCPU that comes by from now on sees the mark, and what one has stored that did not see it is in memory. */
static void fence_all_threads(void)
{
    enum { PRIVATE_EXPEDITED = 1 << 3 };
    if (needs_fences || syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) != 0) atomic_thread_fence(memory_order_seq_cst);
}

static void capture_below(uint64_t word, unsigned level, unsigned writer);

/*
 * Marks a table and copies it into the ring. For a writer (a vCPU plus 1, whose WRITE follows) it does so with all tables below it, too. Returns
 * whether it can be read.
 */
static bool capture(uint64_t pa, unsigned level, unsigned writer)
{
    const struct region *region = region_of_pa(pa);
    if (region == NULL || level == 0) return false;
    uint64_t host = region->host + (pa - region->pa);
    uint64_t frame = (region->key + (pa - region->pa)) / PAGE;
    if (frame >= frames || !is_mapped(host)) return false;
    if (!has_room(sizeof(struct record) + PAGE)) return false;
    if (atomic_fetch_or(&marks[frame], (uint8_t)(1u << (level - 1))) == 0) fence_all_threads();
    uint64_t page[PAGE / 8];
    for (unsigned n = 0; n < PAGE / 8; n++) page[n] = load(host + 8 * n);
    captures[frame] = ++capture_count;
    struct record record = {.kind = SNAPSHOT, .level = level, .vcpu = writer, .capture = capture_count, .pa = pa};
    record.sequence = atomic_load(&sequence);
    append(&record, page);
    if (writer != 0 && level > 1)
        for (unsigned n = 0; n < PAGE / 8; n++) capture_below(page[n], level, writer);
    return true;
}

static void capture_entry(uint64_t entry, unsigned level, uint64_t address, unsigned writer)
{
    bool is_present = (entry & 1) != 0;
    bool is_leaf = (entry & 0x80) != 0 && level <= 3;
    if (!is_present || is_leaf) return;
    if (tables_left == 0) {
        struct record record = {.kind = TOO_MANY};
        if (has_room(sizeof record)) append(&record, NULL);
        return;
    }
    tables_left--;
    capture(entry & address, level - 1, writer);
}

/* Captures the tables that the entries in a word of a table lead to. */
static void capture_below(uint64_t word, unsigned level, unsigned writer)
{
    if (entry_bytes == 8) return capture_entry(word, level, UINT64_C(0x000ffffffffff000), writer);
    capture_entry(word & 0xffffffff, level, 0xfffff000, writer);
    capture_entry(word >> 32, level, 0xfffff000, writer);
}

/* ---- In the threads of the vCPUs ---- */

static void record_word(unsigned vcpu, uint64_t key, uint32_t seen_sequence)
{
    const struct region *region = region_of_key(key);
    if (region == NULL) return;
    uint64_t offset = key - region->key;
    uint64_t host = region->host + offset;
    tables_left = MAX_TABLES_OF_A_STORE;
    for (unsigned level = 2; level <= 5; level++)
        if ((atomic_load(&marks[key / PAGE]) >> (level - 1) & 1) != 0) capture_below(load(host), level, vcpu + 1);
    struct record record = {.kind = WRITE, .vcpu = vcpu, .seen = seen_sequence, .pa = region->pa + offset};
    if (!has_room(sizeof record)) return;
    record.sequence = atomic_fetch_add(&sequence, 1) + 1;
    record.value = load(host);
    append(&record, NULL);
}

static void record_store(unsigned vcpu, uint64_t key, unsigned size, uint32_t seen_sequence)
{
    if (key / PAGE >= frames || atomic_load_explicit(&marks[key / PAGE], memory_order_relaxed) == 0) return;
    pthread_mutex_lock(&lock);
    for (uint64_t word = key & ~UINT64_C(7); word < key + size; word += 8)
        if (client >= 0 && atomic_load(&marks[key / PAGE]) != 0) record_word(vcpu, word, seen_sequence);
    pthread_mutex_unlock(&lock);
}

static void on_reset(qemu_plugin_id_t id);

static void flush_where_wanted(void)
{
    if (atomic_load_explicit(&flush_wanted, memory_order_relaxed) && atomic_exchange(&flush_wanted, false))
        qemu_plugin_reset(plugin, on_reset);
}

static void on_store(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
    (void)data;
    if (!atomic_load_explicit(&watching, memory_order_acquire)) return flush_where_wanted();
    /* QEMU 7.2 calls back for loads of its helpers too, those of a page walk among them. */
    if (!qemu_plugin_mem_is_store(info)) return;
    struct qemu_plugin_hwaddr *address = qemu_plugin_get_hwaddr(info, va);
    if (address == NULL || qemu_plugin_hwaddr_is_io(address)) return;
    if (needs_fences) atomic_thread_fence(memory_order_seq_cst);
    uint32_t *last = &seen[vcpu % MAX_VCPUS].sequence;
    uint64_t key = qemu_plugin_hwaddr_phys_addr(address);
    unsigned size = 1u << qemu_plugin_mem_size_shift(info);
    unsigned here = PAGE - key % PAGE < size ? PAGE - key % PAGE : size;
    record_store(vcpu, key, here, *last);
    if (here < size) {
        address = qemu_plugin_get_hwaddr(info, va + here);
        if (address != NULL && !qemu_plugin_hwaddr_is_io(address))
            record_store(vcpu, qemu_plugin_hwaddr_phys_addr(address), size - here, *last);
    }
    *last = atomic_load_explicit(&sequence, memory_order_acquire);
}

/* Copies the first bytes of an instruction. */
static size_t instruction_bytes(const struct qemu_plugin_insn *insn, uint8_t *bytes, size_t max)
{
    size_t size = qemu_plugin_insn_size(insn);
    if (size > max) size = max;
    if (api_version >= 3) {
        size_t (*copy)(const struct qemu_plugin_insn *, void *, size_t) = (void *)qemu_plugin_insn_data;
        return copy(insn, bytes, size);
    }
    const void *(*data)(const struct qemu_plugin_insn *) = (void *)qemu_plugin_insn_data;
    memcpy(bytes, data(insn), size);
    return size;
}

/* Whether an instruction with this opcode may store, and is neither a jump nor a system instruction. */
static bool may_store(const uint8_t *opcode, size_t length)
{
    unsigned reg = length > 1 ? opcode[1] >> 3 & 7 : 0;
    if (opcode[0] < 0x40) return (opcode[0] & 7) <= 1 && opcode[0] != 0x0f;
    switch (opcode[0]) {
    case 0x50 ... 0x57: case 0x68: case 0x6a: /* push */
    case 0x80 ... 0x83: case 0x86 ... 0x89: case 0x8c: case 0x8f:
    case 0xa2: case 0xa3: case 0xa4: case 0xa5: case 0xaa: case 0xab:
    case 0xc0: case 0xc1: case 0xc6: case 0xc7: case 0xd0 ... 0xd3: case 0xd8 ... 0xdf:
    case 0xc4: case 0xc5: case 0x62: /* VEX, EVEX */
    case 0xf6: case 0xf7: case 0xfe:
        return true;
    case 0xff:
        return reg <= 1 || reg == 6;
    default:
        return false;
    }
}

/* The same for one whose opcode follows 0x0f. */
static bool may_store_0f(uint8_t opcode)
{
    switch (opcode) {
    case 0x11: case 0x13: case 0x17: case 0x29: case 0x2b: case 0x38: case 0x3a: case 0x7e: case 0x7f:
    case 0x90 ... 0x9f: case 0xa0: case 0xa4: case 0xa5: case 0xa8: case 0xab: case 0xac: case 0xad:
    case 0xb0: case 0xb1: case 0xb3: case 0xba: case 0xbb: case 0xc0: case 0xc1: case 0xc3: case 0xc7:
    case 0xd6: case 0xe7: case 0xf7:
        return true;
    default:
        return false;
    }
}

/*
 * Whether an instruction is instrumented. Until version 8, QEMU does not end the callbacks of one that ends its block of code by itself, and uses
 * them after it has freed them. So no jump is, though a call pushes its return address, and no repeated string instruction; nor
 * (`ends_its_block`) what is last in a page of code. What these write to a table that is in use is found by comparing; a table that they have
 * filled is copied when an entry leads to it.
 *
 * Linux' kernel writes no table that is in use on its stack, or among the data of a processor (gs).
 */
static bool is_instrumented(const struct qemu_plugin_insn *insn, bool is_linux)
{
    uint8_t bytes[15];
    size_t length = instruction_bytes(insn, bytes, sizeof bytes);
    size_t at = 0;
    bool repeats = false, is_of_processor = false;
    uint8_t rex = 0;
    for (; at < length; at++) {
        uint8_t prefix = bytes[at];
        if (prefix == 0x64 || prefix == 0x65) is_of_processor = true;
        else if (prefix == 0xf3 || prefix == 0xf2) repeats = true;
        else if ((prefix & 0xf0) == 0x40) rex = prefix;
        else if (prefix != 0x66 && prefix != 0x67 && prefix != 0xf0 && (prefix & 0xe7) != 0x26) break;
    }
    if (at == length) return false;
    const uint8_t *opcode = bytes + at;
    length -= at;
    bool is_string = (opcode[0] & 0xf6) == 0xa4 || (opcode[0] & 0xfe) == 0xaa;
    if (opcode[0] == 0x0f ? length < 2 || !may_store_0f(opcode[1]) : !may_store(opcode, length)) return false;
    if (repeats && is_string) return false;
    if (!is_linux) return true;
    bool is_push = (opcode[0] & 0xf8) == 0x50 || opcode[0] == 0x68 || opcode[0] == 0x6a;
    bool is_move = opcode[0] == 0x88 || opcode[0] == 0x89 || opcode[0] == 0xc6 || opcode[0] == 0xc7;
    /* A base of rsp (and not of r12), no index. */
    bool is_on_stack = is_move && (rex & 3) == 0 && length > 2 && opcode[1] >> 6 != 3 && (opcode[1] & 7) == 4 && opcode[2] == 0x24;
    return !is_of_processor && !is_push && !is_on_stack;
}

static bool ends_its_block(const struct qemu_plugin_insn *insn, bool is_last, bool is_first)
{
    bool ends_page = (qemu_plugin_insn_vaddr(insn) + qemu_plugin_insn_size(insn)) % PAGE == 0;
    return api_version < 2 && is_last && (ends_page || is_first);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    flush_where_wanted();
    if (!atomic_load_explicit(&watching, memory_order_acquire)) return;
    size_t count = qemu_plugin_tb_n_insns(tb);
    for (size_t n = 0; n < count; n++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, n);
        bool is_linux = code_from != 0;
        if (qemu_plugin_insn_vaddr(insn) < code_from || ends_its_block(insn, n == count - 1, n == 0)) continue;
        if (!is_instrumented(insn, is_linux)) continue;
        qemu_plugin_register_vcpu_mem_cb(insn, on_store, CALLBACK_READS_NO_REGISTERS, AFTER_STORES, NULL);
    }
}

static void on_vcpu(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    (void)vcpu;
    flush_where_wanted();
}

/* No vCPU runs any more. What they did is sent: END is the last of it. */
static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    unlink(socket_path);
    bool has_appended = false;
    for (int64_t until = now_ms() + SILENCE_MS; now_ms() < until;) {
        struct record record = {.kind = END};
        struct timespec pause = {.tv_nsec = 1000000};
        pthread_mutex_lock(&lock);
        bool has_sent = client < 0 || (has_appended && head == tail);
        if (!has_sent && !has_appended && free_bytes() >= sizeof record) {
            append(&record, NULL);
            has_appended = true;
        }
        pthread_mutex_unlock(&lock);
        if (has_sent) return;
        nanosleep(&pause, NULL);
    }
}

static void register_callbacks(void)
{
    qemu_plugin_register_vcpu_tb_trans_cb(plugin, on_translation);
    qemu_plugin_register_vcpu_idle_cb(plugin, on_vcpu);
    qemu_plugin_register_vcpu_resume_cb(plugin, on_vcpu);
    qemu_plugin_register_atexit_cb(plugin, on_exit_of_qemu, NULL);
}

/* No translated code is left, and no vCPU runs: what is translated from now on is instrumented where somebody watches. */
static void on_reset(qemu_plugin_id_t id)
{
    (void)id;
    register_callbacks();
    pthread_mutex_lock(&lock);
    if (atomic_load(&watching) && !is_ready) {
        is_ready = true;
        struct record record = {.kind = READY};
        append(&record, NULL);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- The thread that talks to ptmon ---- */

static int64_t last_heard_ms;
static uint8_t input[sizeof(struct request) + MAX_REGIONS * sizeof(struct region)];
static size_t input_length;

static void disconnect(void)
{
    pthread_mutex_lock(&lock);
    if (client >= 0) close(client);
    client = -1;
    head = tail = 0;
    is_ready = false;
    region_count = 0;
    if (atomic_exchange(&watching, false)) atomic_store(&flush_wanted, true);
    /* The pages go back to the host: nothing is marked. */
    madvise(marks, MAX_FRAMES, MADV_DONTNEED);
    madvise(captures, MAX_FRAMES * sizeof *captures, MADV_DONTNEED);
    frames = 0;
    pthread_cond_broadcast(&room);
    pthread_mutex_unlock(&lock);
    input_length = 0;
}

static bool configure(const struct request *request, const struct region *given)
{
    if (region_count > 0 || request->count == 0 || (request->b != 4 && request->b != 8)) return false;
    for (unsigned n = 0; n < request->count; n++) {
        uint64_t end = (given[n].key + given[n].length) / PAGE;
        if (given[n].length == 0 || end > MAX_FRAMES) return false;
        if (end > frames) frames = end;
        regions[n] = given[n];
    }
    region_count = request->count;
    code_from = request->a;
    entry_bytes = (unsigned)request->b;
    atomic_store(&watching, true);
    atomic_store(&flush_wanted, true);
    return true;
}

/* Returns false for a request that is not one. */
static bool handle(const struct request *request, const struct region *given)
{
    struct record record = {0};
    const struct region *region;
    switch (request->kind) {
    case CONFIGURE:
        return configure(request, given);
    case CAPTURE:
        if (request->b < 1 || request->b > 5) return false;
        if (capture(request->a & ~(uint64_t)(PAGE - 1), (unsigned)request->b, 0)) return true;
        record = (struct record){.kind = UNREADABLE, .pa = request->a};
        append(&record, NULL);
        return true;
    case RELEASE:
        region = region_of_pa(request->a);
        if (region == NULL) return true;
        /* Not if an entry has led to it again since. */
        uint64_t frame = (region->key + (request->a - region->pa)) / PAGE;
        if (captures[frame] == (uint32_t)request->b) atomic_store(&marks[frame], 0);
        return true;
    case ALIVE:
        return true;
    default:
        return false;
    }
}

/* Handles the requests that have arrived, up to a capture for which there is no room. Returns false where one is not one. */
static bool handle_input(void)
{
    size_t at = 0;
    bool is_valid = true;
    pthread_mutex_lock(&lock);
    while (is_valid && input_length - at >= sizeof(struct request)) {
        struct request request;
        struct region given[MAX_REGIONS];
        memcpy(&request, input + at, sizeof request);
        if (request.kind == CAPTURE && free_bytes() <= sizeof(struct record) + PAGE) break;
        if (request.kind != CONFIGURE) request.count = 0;
        if (request.count > MAX_REGIONS) is_valid = false;
        size_t more = request.count * sizeof(struct region);
        if (!is_valid || input_length - at < sizeof request + more) break;
        memcpy(given, input + at + sizeof request, more);
        is_valid = handle(&request, given);
        at += sizeof request + more;
    }
    pthread_mutex_unlock(&lock);
    memmove(input, input + at, input_length - at);
    input_length -= at;
    return is_valid;
}

static void accept_client(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct record record = {.kind = client < 0 ? HELLO : BUSY, .vcpu = vcpu_count, .sequence = PROTOCOL};
    record.capture = api_version;
    record.value = getpid();
    if (send(fd, &record, sizeof record, MSG_NOSIGNAL) != sizeof record || client >= 0) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&lock);
    client = fd;
    pthread_mutex_unlock(&lock);
    last_heard_ms = now_ms();
}

/* Returns false where the connection has ended. */
static bool receive(void)
{
    ssize_t got = recv(client, input + input_length, sizeof input - input_length, 0);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    input_length += (size_t)got;
    last_heard_ms = now_ms();
    return true;
}

/* Returns false where the connection has ended. */
static bool send_some(void)
{
    pthread_mutex_lock(&lock);
    size_t waiting_bytes = (size_t)(head - tail), at = tail % ring_bytes;
    size_t length = waiting_bytes < ring_bytes - at ? waiting_bytes : ring_bytes - at;
    pthread_mutex_unlock(&lock);
    if (length == 0) return true;
    /* Without the lock: nobody else moves the tail, and nobody writes what is not sent. */
    ssize_t sent = send(client, ring + at, length, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    pthread_mutex_lock(&lock);
    tail += (size_t)sent;
    pthread_mutex_unlock(&lock);
    return true;
}

static bool is_silent(void)
{
    pthread_mutex_lock(&lock);
    bool holds_vcpus = waiting > 0;
    pthread_mutex_unlock(&lock);
    return holds_vcpus && now_ms() - last_heard_ms > SILENCE_MS;
}

static void *serve(void *data)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        bool has_output = head != tail;
        pthread_mutex_unlock(&lock);
        struct pollfd fds[] = {{.fd = listener, .events = POLLIN}, {.fd = wake, .events = POLLIN}, {.fd = client}};
        fds[2].events = (input_length < sizeof input ? POLLIN : 0) | (has_output ? POLLOUT : 0);
        if (poll(fds, 3, client < 0 ? -1 : SILENCE_MS / 8) < 0) continue;
        uint64_t count;
        if (fds[1].revents != 0 && read(wake, &count, sizeof count) < 0) continue;
        if (client >= 0) {
            /* What a client that has ended asked before does not matter; and the next one may be waiting already. */
            bool has_ended = (fds[2].revents & (POLLHUP | POLLERR)) != 0;
            bool goes_on = !has_ended && ((fds[2].revents & POLLIN) == 0 || receive());
            if (!goes_on || !send_some() || !handle_input() || is_silent()) disconnect();
            pthread_mutex_lock(&lock);
            if (waiting > 0) pthread_cond_broadcast(&room);
            pthread_mutex_unlock(&lock);
        }
        if (fds[0].revents != 0) accept_client();
    }
    return data;
}

/* Not before there is a vCPU: QEMU may fork before that (-daemonize). */
static void on_vcpu_init(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    static atomic_bool has_begun;
    (void)vcpu;
    if (atomic_exchange(&has_begun, true)) return;
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, serve, NULL) == 0) pthread_detach(thread);
    else fprintf(stderr, "ptmon: no thread for %s\n", socket_path);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- Start ---- */

static int fail(const char *what)
{
    fprintf(stderr, "ptmon: %s: %s\n", what, strerror(errno));
    return -1;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    strcpy(address.sun_path, path);
    /* A socket that nobody listens at is what an earlier QEMU left. */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_used = connect(probe, (struct sockaddr *)&address, sizeof address) == 0;
    close(probe);
    if (is_used) {
        errno = EADDRINUSE;
        return fail(path);
    }
    if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode)) unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177);
    bool is_bound = listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    return is_bound && listen(listener, 4) == 0 ? 0 : fail(path);
}

static void *reserve(size_t length)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                                               char **argv)
{
    enum { REGISTER_PRIVATE_EXPEDITED = 1 << 4 };
    const char *path = "";
    bool is_valid = true;
    for (int n = 0; n < argc; n++) {
        unsigned long kib = 0;
        if (strncmp(argv[n], "socket=", 7) == 0) path = argv[n] + 7;
        else if (sscanf(argv[n], "ring=%lu", &kib) == 1 && kib >= 64 && kib <= 1 << 20) ring_bytes = kib << 10;
        else is_valid = false;
    }
    if (!is_valid || *path == '\0' || strlen(path) >= sizeof socket_path) {
        fprintf(stderr, "ptmon: usage: -plugin FILE.so,socket=PATH[,ring=KIB], a PATH of at most %zu bytes, 64 KIB or more\n",
                sizeof socket_path - 1);
        return -1;
    }
    if (!info->system_emulation || (strcmp(info->target_name, "x86_64") != 0 && strcmp(info->target_name, "i386") != 0)) {
        fprintf(stderr, "ptmon: this plugin is for qemu-system-x86_64 and -i386, not for %s\n", info->target_name);
        return -1;
    }
    plugin = id;
    api_version = info->version.cur;
    vcpu_count = info->system.smp_vcpus;
    strcpy(socket_path, path);
    needs_fences = syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
    ring = reserve(ring_bytes);
    marks = reserve(MAX_FRAMES);
    captures = reserve(MAX_FRAMES * sizeof *captures);
    wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ring == NULL || marks == NULL || captures == NULL || wake < 0) return fail("no memory");
    if (listen_at(path) != 0) return -1;
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
    register_callbacks();
    return 0;
}
