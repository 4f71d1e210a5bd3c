/* The table of addresses: one row for each, summed over all rows of all logs in one pass.
 *
 * address_table.py says what is summed, and does the same with Polars' group_by where nothing could be compiled.
 * Measured on 3,000,000 rows with 194,000 addresses, group_by took ten times as long, half of it in page faults of the
 * hash tables that it makes anew for each frame.
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../columns.h"
#include "../module.h"
#include "address_hash.h"

#define NO_ROW UINT32_MAX
#define BATCH 32      /* rows whose memory is asked for before it is needed */
#define EVENTS 128    /* of what is rare, so many are taken together */
#define BLOCK 0x4000u /* rows that are allocated at once; they never move */
#define N_TAGS 256

/* What a request was (columns.Outcome). */
enum { CONSIDERED, HEALTH_PROBE, UNPARSED_REQUEST };

/* What changes with nearly every request, in one cache line. */
typedef struct {
    uint64_t high, low; /* the address */
    uint64_t requests, bytes;
    int64_t first_time, last_time; /* INT64_MAX and INT64_MIN: none seen */
    uint64_t user_agents, forwarded;
} Row;

typedef struct {
    uint64_t health_probes, unparsed_requests, errors, signs, crawlers;
} Rare;

typedef struct {
    Row *rows;
    uint32_t *rare; /* where among the rare sums; 0: nothing to sum */
} Block;

typedef struct {
    uint32_t hash, row; /* NO_ROW: free */
} Slot;

#define BLOCK_BYTES (BLOCK * sizeof(Row))

typedef struct {
    PyObject_HEAD
    uint64_t seed[2];
    Slot *slots; /* open addressing over the rows; a power of two */
    size_t n_slots;
    Block *blocks;
    size_t n_rows, n_blocks;
    Rare *rare; /* the first one holds nothing */
    size_t n_rare, room_rare;
    Row nowhere; /* requests without an address */
    uint32_t rare_nowhere;
    uint64_t tags[N_TAGS];
    uint32_t agent_signs[N_TAGS], request_signs[N_TAGS]; /* columns.Sign of each tag */
    uint32_t probes, crawler;
} AddressTable;

static inline Row *row_at(const AddressTable *self, size_t i) { return &self->blocks[i / BLOCK].rows[i % BLOCK]; }

static inline uint32_t *rare_at(const AddressTable *self, size_t i) { return &self->blocks[i / BLOCK].rare[i % BLOCK]; }

static bool grow_slots(AddressTable *self) {
    size_t size = self->n_slots ? self->n_slots * 2 : 4096;
    Slot *slots = malloc(size * sizeof *slots);
    if (slots == NULL) return false;
    memset(slots, 0xFF, size * sizeof *slots);
    for (size_t i = 0; i < self->n_slots; i++) {
        if (self->slots[i].row == NO_ROW) continue;
        size_t slot = self->slots[i].hash & (size - 1);
        while (slots[slot].row != NO_ROW) slot = (slot + 1) & (size - 1);
        slots[slot] = self->slots[i];
    }
    free(self->slots);
    self->slots = slots;
    self->n_slots = size;
    return true;
}

static bool grow_blocks(AddressTable *self) {
    Block *blocks = self->n_rows < NO_ROW - 2 * BLOCK ? realloc(self->blocks, (self->n_blocks + 1) * sizeof *blocks) : NULL;
    if (blocks == NULL) return false;
    self->blocks = blocks;
    Block *block = &blocks[self->n_blocks];
    /* Not by malloc, which keeps what is freed: a table that leaves gives its rows back one block after the other. */
    void *rows = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (rows == MAP_FAILED) return false;
    *block = (Block){rows, calloc(BLOCK, sizeof(uint32_t))};
    self->n_blocks++;
    if (block->rare == NULL) return false;
    return true;
}

/* Make room for a batch of addresses that were never seen. */
static inline bool make_room(AddressTable *self) {
    while ((self->n_rows + BATCH) * 2 > self->n_slots)
        if (!grow_slots(self)) return false;
    return self->n_rows + BATCH <= self->n_blocks * BLOCK || grow_blocks(self);
}

/* The first slot with that hash, or the free one behind all that it could be. */
static inline const Slot *slot_of(const AddressTable *self, uint32_t hash) {
    size_t at = hash & (self->n_slots - 1);
    while (self->slots[at].row != NO_ROW && self->slots[at].hash != hash) at = (at + 1) & (self->n_slots - 1);
    return &self->slots[at];
}

static inline bool is_of(const Row *row, uint64_t high, uint64_t low) { return row->low == low && row->high == high; }

/* The number of an address; there must be room for one more. */
static uint32_t find_row(AddressTable *self, uint32_t hash, uint64_t high, uint64_t low) {
    size_t at = hash & (self->n_slots - 1);
    for (; self->slots[at].row != NO_ROW; at = (at + 1) & (self->n_slots - 1))
        if (self->slots[at].hash == hash && is_of(row_at(self, self->slots[at].row), high, low))
            return self->slots[at].row;
    uint32_t number = (uint32_t)self->n_rows++;
    self->slots[at] = (Slot){hash, number};
    *row_at(self, number) = (Row){.high = high, .low = low, .first_time = INT64_MAX, .last_time = INT64_MIN};
    return number;
}

/* ---- rows that come --------------------------------------------------------------------------------------------- */

enum { ADDRESS, TIME, STATUS, BYTES, USER_AGENTS, FORWARDED, AGENT, REQUEST, READABLE, UNTRIED, UNNAMED, N_COLUMNS };

static const struct {
    const char *format;
    size_t width;
    uint64_t absent; /* the value of a column that the log's format does not carry; the first four are null then */
} EXPECTED[N_COLUMNS] = {
    {"_plu128", 16, 0}, {"tsm:", 8, 0}, {"S", 2, 0}, {"L", 8, 0}, {"L", 8, 0}, {"L", 8, 0},
    {"C", 1, 0},        {"C", 1, 0},    {"C", 1, 1}, {"C", 1, 1}, {"C", 1, 0},
};

typedef struct {
    const uint8_t *values, *valid; /* `valid` is NULL where all are there */
    size_t step;                   /* 0 where there is no such column */
    int64_t at;
} Cells;

static inline bool is_there(const Cells *cells, int64_t row) {
    int64_t at = cells->at + row;
    return cells->step && (cells->valid == NULL || (cells->valid[at >> 3] >> (at & 7) & 1));
}

static inline const uint8_t *cell(const Cells *cells, int64_t row) { return cells->values + cells->step * (size_t)row; }

static inline uint64_t cell64(const Cells *cells, int64_t row) {
    uint64_t value;
    memcpy(&value, cell(cells, row), 8);
    return value;
}

typedef struct {
    AddressTable *table;
    unsigned present; /* a bit for each column that the frame has */
    Buffer numbers, outcomes;
    size_t n;
} Adding;

static inline uint8_t outcome_of(const Cells *cells, int64_t i, uint16_t status, bool probe) {
    if (probe) return HEALTH_PROBE;
    if (status != 400 && status != 408 && status != 497 && status != 505) return CONSIDERED;
    bool unread = *cell(&cells[UNTRIED], i) && (!*cell(&cells[READABLE], i) || *cell(&cells[UNNAMED], i));
    return unread ? UNPARSED_REQUEST : CONSIDERED;
}

static bool grow_rare(AddressTable *self) {
    size_t room = self->room_rare ? self->room_rare * 2 : 256;
    Rare *rare = room < UINT32_MAX ? realloc(self->rare, room * sizeof *rare) : NULL;
    if (rare == NULL) return false;
    if (self->n_rare == 0) rare[self->n_rare++] = (Rare){0};
    self->rare = rare;
    self->room_rare = room;
    return true;
}

/* A request that has something to add to the rare sums. */
typedef struct {
    uint32_t number; /* NO_ROW: without an address */
    uint32_t signs;
    uint8_t outcome;
    bool error;
} Event;

/* Where the rare sums of an address are, or will be. */
static inline uint32_t *rare_place(AddressTable *self, uint32_t number) {
    return number == NO_ROW ? &self->rare_nowhere : rare_at(self, number);
}

/* Add what waits, all at once: the sums of each are two steps away in memory, which is asked for before it is needed. */
static bool sum_events(AddressTable *self, const Event *events, size_t n) {
    while (self->n_rare + n > self->room_rare)
        if (!grow_rare(self)) return false;
    for (size_t i = 0; i < n; i++) __builtin_prefetch(rare_place(self, events[i].number));
    for (size_t i = 0; i < n; i++) {
        uint32_t *place = rare_place(self, events[i].number);
        if (*place == 0) {
            *place = (uint32_t)self->n_rare++;
            self->rare[*place] = (Rare){0};
        }
        __builtin_prefetch(&self->rare[*place], 1);
    }
    for (size_t i = 0; i < n; i++) {
        Rare *rare = &self->rare[*rare_place(self, events[i].number)];
        rare->health_probes += events[i].outcome == HEALTH_PROBE;
        rare->unparsed_requests += events[i].outcome == UNPARSED_REQUEST;
        rare->errors += events[i].error;
        rare->signs |= events[i].signs;
        rare->crawlers += (events[i].signs & self->crawler) != 0;
    }
    return true;
}

static inline void sum_up(Row *row, const Cells *cells, int64_t i) {
    row->requests++;
    if (is_there(&cells[BYTES], i)) row->bytes += cell64(&cells[BYTES], i);
    if (is_there(&cells[TIME], i)) {
        int64_t moment = (int64_t)cell64(&cells[TIME], i);
        if (moment < row->first_time) row->first_time = moment;
        if (moment > row->last_time) row->last_time = moment;
    }
    row->user_agents |= cell64(&cells[USER_AGENTS], i);
    row->forwarded |= cell64(&cells[FORWARDED], i);
}

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Adding *adding = object;
    AddressTable *self = adding->table;
    size_t n_rows = adding->n + (size_t)chunk->length;
    if (!buffer_grow(&adding->numbers, adding->n * 4, n_rows * 4 + 1) ||
        !buffer_grow(&adding->outcomes, adding->n, n_rows + 1))
        return false;
    uint32_t *numbers = (uint32_t *)adding->numbers.data + adding->n;
    uint8_t *outcomes = adding->outcomes.data + adding->n;
    adding->n = n_rows;
    Cells cells[N_COLUMNS];
    for (int column = 0, at = 0; column < N_COLUMNS; column++) {
        cells[column] = (Cells){.values = (const uint8_t *)&EXPECTED[column].absent};
        if (!(adding->present >> column & 1)) continue;
        const struct ArrowArray *array = chunk->children[at];
        cells[column] = (Cells){values_of(chunk, at, EXPECTED[column].width), array->buffers[0], EXPECTED[column].width,
                                array->offset + chunk->offset};
        at++;
    }
    /* Memory is asked for before it is needed: a slot two batches ahead, the row that it leads to one ahead. */
    int64_t length = chunk->length, hashed = 0, asked = 0;
    uint32_t hashes[4 * BATCH];
    uint64_t words[2]; /* little-endian: the low half first */
    bool carried = cells[ADDRESS].step != 0;
    Event events[EVENTS + BATCH];
    size_t n_events = 0;
    for (int64_t begin = 0; begin < length; begin += BATCH) {
        int64_t end = least(length, begin + BATCH);
        if (!make_room(self)) return false;
        for (; carried && hashed < least(length, end + 2 * BATCH); hashed++) {
            memcpy(words, cell(&cells[ADDRESS], hashed), 16);
            uint32_t hash = (uint32_t)hash_address(self->seed, words[1], words[0]);
            __builtin_prefetch(&self->slots[hash & (self->n_slots - 1)]);
            hashes[hashed % (4 * BATCH)] = hash;
        }
        for (; carried && asked < least(length, end + BATCH); asked++) {
            numbers[asked] = slot_of(self, hashes[asked % (4 * BATCH)])->row;
            if (numbers[asked] != NO_ROW) __builtin_prefetch(row_at(self, numbers[asked]), 1);
        }
        for (int64_t i = begin; i < end; i++) {
            Row *row = &self->nowhere;
            if (is_there(&cells[ADDRESS], i)) {
                memcpy(words, cell(&cells[ADDRESS], i), 16);
                if (numbers[i] == NO_ROW || !is_of(row_at(self, numbers[i]), words[1], words[0]))
                    numbers[i] = find_row(self, hashes[i % (4 * BATCH)], words[1], words[0]);
                row = row_at(self, numbers[i]);
            } else {
                numbers[i] = NO_ROW;
            }
            uint16_t status = 0;
            if (is_there(&cells[STATUS], i)) memcpy(&status, cell(&cells[STATUS], i), 2);
            uint8_t agent = *cell(&cells[AGENT], i), request = *cell(&cells[REQUEST], i);
            outcomes[i] = outcome_of(cells, i, status, self->agent_signs[agent] & self->probes);
            sum_up(row, cells, i);
            uint32_t signs = self->agent_signs[agent] | self->request_signs[request];
            if (request) self->tags[request]++;
            if (outcomes[i] == CONSIDERED && status < 500 && signs == 0) continue;
            events[n_events++] = (Event){numbers[i], signs, outcomes[i], status >= 500};
        }
        if (n_events >= EVENTS) {
            if (!sum_events(self, events, n_events)) return false;
            n_events = 0;
        }
    }
    return sum_events(self, events, n_events);
}

PyDoc_STRVAR(add_doc, "add(stream, present)\n--\n\n"
                      "Add the rows of a frame, the capsule of its Arrow stream. Its columns are those of ROWS whose\n"
                      "bits are set in `present`. Return for each row the number of its address and what it was\n"
                      "(UInt32, UInt8), as Arrow capsules.");

static PyObject *table_add(PyObject *self, PyObject *args) {
    PyObject *stream;
    Adding adding = {.table = (AddressTable *)self};
    if (!PyArg_ParseTuple(args, "OI", &stream, &adding.present)) return NULL;
    const char *formats[N_COLUMNS];
    int n_columns = 0;
    for (int column = 0; column < N_COLUMNS; column++)
        if (adding.present >> column & 1) formats[n_columns++] = EXPECTED[column].format;
    PyObject *done = read_stream(stream, formats, n_columns, add_chunk, &adding), *added = NULL;
    if (done != NULL) {
        Py_DECREF(done);
        Flat columns[] = {{"number", "I", .values = &adding.numbers}, {"outcome", "C", .values = &adding.outcomes}};
        /* A frame of no rows comes without a chunk, and a column must have a buffer. */
        added = flat_reserve(columns, 2, 0) ? export_flat(columns, 2, adding.n) : PyErr_NoMemory();
    }
    buffer_free(&adding.numbers);
    buffer_free(&adding.outcomes);
    return added;
}

/* ---- what leaves ------------------------------------------------------------------------------------------------ */

PyDoc_STRVAR(since_doc, "since(row)\n--\n\nThe addresses of the rows from this number on, as Arrow capsules.");

static PyObject *table_since(PyObject *object, PyObject *row) {
    AddressTable *self = (AddressTable *)object;
    size_t from = PyLong_AsSize_t(row);
    if (PyErr_Occurred()) return NULL;
    size_t n = self->n_rows > from ? self->n_rows - from : 0;
    Buffer values = buffer_new(n * 16 + 1);
    if (values.data == NULL) return PyErr_NoMemory();
    for (size_t i = 0; i < n; i++) {
        uint64_t words[2] = {row_at(self, from + i)->low, row_at(self, from + i)->high};
        memcpy(values.data + 16 * i, words, 16);
    }
    return export_flat(&(Flat){"address", "_plu128", .values = &values}, 1, n);
}

static Py_ssize_t table_length(PyObject *self) { return (Py_ssize_t)((AddressTable *)self)->n_rows; }

PyDoc_STRVAR(tags_doc, "tags()\n--\n\nHow many rows had each value of `request`, as 256 UInt64 in native order; not for 0.");

static PyObject *table_tags(PyObject *object, PyObject *unused) {
    AddressTable *self = (AddressTable *)object;
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)self->tags, sizeof self->tags);
}

enum { REQUESTS, HEALTH_PROBES, UNPARSED_REQUESTS, ERRORS, SUM_OF_BYTES, FIRST_TIME, LAST_TIME, AGENT_BITS, FORWARDED_BITS, SIGNS, CRAWLERS, N_SUMS };

static const char *const SUMS[N_SUMS][2] = {
    {"requests", "L"}, {"health_probes", "L"},   {"unparsed_requests", "L"},
    {"errors", "L"},   {"bytes", "L"},           {"first_time", "tsm:UTC"},
    {"last_time", "tsm:UTC"}, {"user_agents", "L"}, {"forwarded", "L"},
    {"signs", "L"},    {"crawlers", "L"},
};

/* Write row i of those that leave, where it is not zero as it stands; return whether it had a time. */
static inline bool put_row(const Row *row, const Rare *rare, Buffer *address, Buffer *sums, size_t i) {
    uint64_t words[2] = {row->low, row->high};
    uint64_t values[N_SUMS] = {row->requests, rare->health_probes, rare->unparsed_requests, rare->errors, row->bytes,
                               (uint64_t)row->first_time, (uint64_t)row->last_time, row->user_agents, row->forwarded,
                               rare->signs, rare->crawlers};
    memcpy(address->data + 16 * i, words, 16);
    for (int column = 0; column < N_SUMS; column++)
        if (values[column]) memcpy(sums[column].data + 8 * i, &values[column], 8);
    return row->first_time <= row->last_time;
}

static void free_block(Block *block) {
    if (block->rows != NULL) munmap(block->rows, BLOCK_BYTES);
    block->rows = NULL;
}

static void free_rows(AddressTable *self) {
    for (size_t i = 0; i < self->n_blocks; i++) {
        free_block(&self->blocks[i]);
        free(self->blocks[i].rare);
    }
    free(self->blocks);
    free(self->slots);
    free(self->rare);
    self->blocks = NULL;
    self->slots = NULL;
    self->rare = NULL;
    self->n_rows = self->n_blocks = self->n_slots = self->n_rare = self->room_rare = 0;
}

PyDoc_STRVAR(finish_doc, "finish()\n--\n\nThe whole table, as Arrow capsules; requests without an address last. Nothing is\n"
                         "left of it here: of very many addresses there is no room for two tables.");

static PyObject *table_finish(PyObject *object, PyObject *unused) {
    AddressTable *self = (AddressTable *)object;
    (void)unused;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    size_t n = self->n_rows + (self->nowhere.requests > 0);
    Buffer address = buffer_new(n * 16 + 1), sums[N_SUMS], named = buffer_new(n / 8 + 1);
    Buffer timed[2] = {buffer_new(n / 8 + 1), buffer_new(n / 8 + 1)};
    bool room = address.data && named.data && timed[0].data && timed[1].data;
    for (int column = 0; column < N_SUMS; column++) {
        sums[column] = buffer_zeros(n * 8 + 1);
        room = room && sums[column].data;
    }
    if (!room || !struct_new(1 + N_SUMS, &schema, &array)) return PyErr_NoMemory();
    memset(timed[0].data, 0, n / 8 + 1);
    memset(named.data, 0xFF, n / 8 + 1);
    int64_t without_time = 0, without_address = 0;
    static const Rare none = {0};
    free(self->slots);
    self->slots = NULL;
    for (size_t i = 0; i < n; i++) {
        bool known = i < self->n_rows;
        uint32_t rare = known ? *rare_at(self, i) : self->rare_nowhere;
        bool has_time = put_row(known ? row_at(self, i) : &self->nowhere, rare ? &self->rare[rare] : &none, &address, sums, i);
        if (known && (i + 1) % BLOCK == 0) {
            free_block(&self->blocks[i / BLOCK]);
        }
        timed[0].data[i / 8] |= (uint8_t)(has_time << i % 8);
        without_time += !has_time;
        if (known) continue;
        named.data[i / 8] &= (uint8_t) ~(1u << i % 8);
        without_address++;
    }
    memcpy(timed[1].data, timed[0].data, n / 8 + 1);
    array->length = (int64_t)n;
    bool done = schema_set(schema->children[0], "_plu128", "address") &&
                array_set(array->children[0], (int64_t)n, without_address, 2,
                          (Buffer *[]){without_address ? &named : NULL, &address});
    for (int column = 0; done && column < N_SUMS; column++) {
        bool is_time = column == FIRST_TIME || column == LAST_TIME;
        Buffer *valid = is_time && without_time ? &timed[column - FIRST_TIME] : NULL;
        done = schema_set(schema->children[1 + column], SUMS[column][1], SUMS[column][0]) &&
               array_set(array->children[1 + column], (int64_t)n, is_time ? without_time : 0, 2,
                         (Buffer *[]){valid, &sums[column]});
    }
    free_rows(self);
    self->nowhere = (Row){.first_time = INT64_MAX, .last_time = INT64_MIN};
    self->rare_nowhere = 0;
    buffer_free(&named);
    buffer_free(&timed[0]);
    buffer_free(&timed[1]);
    return done ? struct_capsules(schema, array) : PyErr_NoMemory();
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

/* Read a tuple of at most N_TAGS numbers. */
static bool read_signs(PyObject *tuple, uint32_t *signs) {
    Py_ssize_t n = PyTuple_Size(tuple);
    if (n > N_TAGS) PyErr_SetString(PyExc_ValueError, "expected at most 256 tags");
    for (Py_ssize_t i = 0; i < n && !PyErr_Occurred(); i++) signs[i] = (uint32_t)PyLong_AsUnsignedLong(PyTuple_GetItem(tuple, i));
    return !PyErr_Occurred();
}

static PyObject *table_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned long long seed[2];
    PyObject *agent_signs, *request_signs;
    unsigned int probes, crawler;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "(KK)O!O!II", &seed[0], &seed[1], &PyTuple_Type, &agent_signs, &PyTuple_Type, &request_signs,
                          &probes, &crawler))
        return NULL;
    AddressTable *self = new_object(type);
    if (self == NULL) return NULL;
    self->nowhere = (Row){.first_time = INT64_MAX, .last_time = INT64_MIN};
    self->seed[0] = seed[0];
    self->seed[1] = seed[1];
    self->probes = probes;
    self->crawler = crawler;
    if (!read_signs(agent_signs, self->agent_signs) || !read_signs(request_signs, self->request_signs)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void table_dealloc(PyObject *object) {
    free_rows((AddressTable *)object);
    free_object(object);
}

static PyMethodDef table_methods[] = {
    {"add", table_add, METH_VARARGS, add_doc},
    {"since", table_since, METH_O, since_doc},
    {"tags", table_tags, METH_NOARGS, tags_doc},
    {"finish", table_finish, METH_NOARGS, finish_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot table_slots[] = {
    {Py_tp_new, table_new},
    {Py_tp_dealloc, table_dealloc},
    {Py_tp_methods, table_methods},
    {Py_sq_length, table_length},
    {Py_tp_doc, "AddressTable(seed): sums over rows by address. One thread at a time."},
    {0, NULL},
};

static PyType_Spec table_spec = {
    .name = "analyzer.tables._address_table.AddressTable",
    .basicsize = sizeof(AddressTable),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = table_slots,
};

static int module_exec(PyObject *module) { return add_type(module, "AddressTable", &table_spec); }

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_address_table", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__address_table(void) { return PyModuleDef_Init(&module); }
