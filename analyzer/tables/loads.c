/* The table of loads: one pass over rows that sums what each key (a stream, or an address) answered in each bucket.
 *
 * loads.py says what is summed, and does the same with Polars' group_by where nothing could be compiled.
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../arrow.h"
#include "address_hash.h"

#define NO_CELL UINT32_MAX
#define NO_TIME INT64_MIN
#define MAX_WIDTHS 16
/* Buckets of the first width are counted this far from 1970; a time beyond is in the last. */
#define FARTHEST (((int64_t)1 << 33) - 1)
#define LONGEST_MS 1e9
/* Added to a number below 2**51 and taken off again, it leaves the nearest whole one, of two the even. */
#define TO_WHOLE 6755399441055744.0

typedef struct {
    int64_t start; /* of the bucket, or NO_TIME */
    uint64_t considered, bytes, upstream_requests, upstream_ms;
    uint32_t key;
} Cell;

typedef struct {
    PyObject_HEAD
    uint64_t seed[2];
    int64_t widths[MAX_WIDTHS]; /* milliseconds, each a multiple of the one before */
    int n_widths, width;
    size_t most; /* rows that the table may have */
    Cell *cells;
    size_t n_cells, room;
    uint32_t *slots; /* open addressing over the cells; a power of two */
    size_t n_slots;
} Loads;

static inline int64_t rounded_down(int64_t time, int64_t width) {
    return (time / width - (time % width < 0)) * width;
}

static inline int64_t start_of(const Loads *self, int64_t time) {
    int64_t finest = self->widths[0], number = time / finest - (time % finest < 0);
    number = number > FARTHEST ? FARTHEST : number < -FARTHEST ? -FARTHEST : number;
    return rounded_down(number * finest, self->widths[self->width]);
}

static inline size_t slot_of(const Loads *self, uint32_t key, int64_t start) {
    return (size_t)hash_address(self->seed, key, (uint64_t)start) & (self->n_slots - 1);
}

static void put_cells(Loads *self) {
    memset(self->slots, 0xFF, self->n_slots * sizeof *self->slots);
    for (size_t i = 0; i < self->n_cells; i++) {
        size_t slot = slot_of(self, self->cells[i].key, self->cells[i].start);
        while (self->slots[slot] != NO_CELL) slot = (slot + 1) & (self->n_slots - 1);
        self->slots[slot] = (uint32_t)i;
    }
}

static bool grow(Loads *self) {
    size_t room = self->room ? self->room * 2 : 512;
    Cell *cells = room < NO_CELL ? realloc(self->cells, room * sizeof *cells) : NULL;
    if (cells == NULL) return false;
    self->cells = cells;
    uint32_t *slots = malloc(room * 2 * sizeof *slots);
    if (slots == NULL) return false;
    free(self->slots);
    self->slots = slots;
    self->n_slots = room * 2;
    self->room = room;
    put_cells(self);
    return true;
}

/* The cell of a key and the start of a bucket; NULL where there is no memory for it. */
static Cell *cell_at(Loads *self, uint32_t key, int64_t start) {
    if (self->n_cells == self->room && !grow(self)) return NULL;
    size_t slot = slot_of(self, key, start);
    for (; self->slots[slot] != NO_CELL; slot = (slot + 1) & (self->n_slots - 1)) {
        Cell *cell = &self->cells[self->slots[slot]];
        if (cell->start == start && cell->key == key) return cell;
    }
    self->slots[slot] = (uint32_t)self->n_cells;
    Cell *cell = &self->cells[self->n_cells++];
    *cell = (Cell){.start = start, .key = key};
    return cell;
}

/* Make the buckets wider until there are no more cells than `most`. */
static void widen(Loads *self, size_t most) {
    while (self->n_cells > most && self->width < self->n_widths - 1) {
        size_t n = self->n_cells;
        self->width++;
        self->n_cells = 0;
        memset(self->slots, 0xFF, self->n_slots * sizeof *self->slots);
        for (size_t i = 0; i < n; i++) {
            Cell old = self->cells[i];
            int64_t start = old.start == NO_TIME ? NO_TIME : rounded_down(old.start, self->widths[self->width]);
            Cell *into = cell_at(self, old.key, start); /* never more of them: one that was read already */
            into->considered += old.considered;
            into->bytes += old.bytes;
            into->upstream_requests += old.upstream_requests;
            into->upstream_ms += old.upstream_ms;
        }
    }
}

enum { KEY, TIME, BYTES, UPSTREAM_TIME, WANTED, N_COLUMNS };

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Loads *self = object;
    const uint8_t *keys = values_of(chunk, KEY, 4), *times = values_of(chunk, TIME, 8),
                  *bytes = values_of(chunk, BYTES, 8), *seconds = values_of(chunk, UPSTREAM_TIME, 8),
                  *wanted = values_of(chunk, WANTED, 1);
    Cell *cell = NULL;
    for (int64_t i = 0; i < chunk->length; i++) {
        if (!wanted[i]) continue;
        uint32_t key;
        int64_t time;
        memcpy(&key, keys + 4 * i, 4);
        memcpy(&time, times + 8 * i, 8);
        bool timed = is_valid(chunk, TIME, i);
        /* Most rows are of the cell of the row before. */
        if (cell == NULL || cell->key != key || !timed || cell->start == NO_TIME ||
            (uint64_t)time - (uint64_t)cell->start >= (uint64_t)self->widths[self->width]) {
            if (self->n_cells / 2 > self->most) widen(self, self->most);
            cell = cell_at(self, key, timed ? start_of(self, time) : NO_TIME);
            if (cell == NULL) return false;
        }
        cell->considered++;
        if (is_valid(chunk, BYTES, i)) {
            uint64_t count;
            memcpy(&count, bytes + 8 * i, 8);
            cell->bytes += count;
        }
        double milliseconds;
        memcpy(&milliseconds, seconds + 8 * i, 8);
        milliseconds *= 1000;
        if (!is_valid(chunk, UPSTREAM_TIME, i) || milliseconds != milliseconds) continue;
        milliseconds = milliseconds > LONGEST_MS ? LONGEST_MS : milliseconds < 0 ? 0 : milliseconds;
        cell->upstream_requests++;
        cell->upstream_ms += (uint64_t)(milliseconds + TO_WHOLE - TO_WHOLE);
    }
    return true;
}

PyDoc_STRVAR(add_doc, "add(stream)\n--\n\n"
                      "Add the rows of a frame, the capsule of its Arrow stream: key, time, bytes, upstream_time, wanted\n"
                      "(UInt8; a row of 0 is passed over).");

static PyObject *loads_add(PyObject *self, PyObject *capsule) {
    static const char *const FORMATS[N_COLUMNS] = {"I", "tsm:", "L", "g", "C"};
    return read_stream(capsule, FORMATS, N_COLUMNS, add_chunk, self);
}

PyDoc_STRVAR(rows_doc, "rows()\n--\n\n"
                       "The table, as Arrow capsules: key, time, considered, bytes, upstream_requests, upstream_ms.");

static PyObject *loads_rows(PyObject *object, PyObject *unused) {
    enum { N_OUT = 6 };
    static const char *const COLUMNS[N_OUT][2] = {{"key", "I"},   {"time", "tsm:UTC"},        {"considered", "L"},
                                                  {"bytes", "L"}, {"upstream_requests", "L"}, {"upstream_ms", "L"}};
    Loads *self = (Loads *)object;
    (void)unused;
    widen(self, self->most);
    size_t n = self->n_cells;
    int64_t untimed = 0;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    Buffer columns[N_OUT], timed = buffer_new(n / 8 + 1);
    bool done = timed.data != NULL;
    for (int column = 0; column < N_OUT; column++) {
        columns[column] = buffer_new(n * 8 + 1);
        done = done && columns[column].data;
    }
    if (!done || !struct_new(N_OUT, &schema, &array)) return PyErr_NoMemory();
    memset(timed.data, 0, n / 8 + 1);
    for (size_t i = 0; i < n; i++) {
        const Cell *cell = &self->cells[i];
        bool has_time = cell->start != NO_TIME;
        untimed += !has_time;
        timed.data[i / 8] |= (uint8_t)(has_time << i % 8);
        memcpy(columns[0].data + 4 * i, &cell->key, 4);
        memcpy(columns[1].data + 8 * i, &cell->start, 8);
        memcpy(columns[2].data + 8 * i, &cell->considered, 8);
        memcpy(columns[3].data + 8 * i, &cell->bytes, 8);
        memcpy(columns[4].data + 8 * i, &cell->upstream_requests, 8);
        memcpy(columns[5].data + 8 * i, &cell->upstream_ms, 8);
    }
    array->length = (int64_t)n;
    for (int column = 0; done && column < N_OUT; column++) {
        bool nulls = column == 1 && untimed;
        done = schema_set(schema->children[column], COLUMNS[column][1], COLUMNS[column][0]) &&
               array_set(array->children[column], (int64_t)n, nulls ? untimed : 0, 2,
                         (Buffer *[]){nulls ? &timed : NULL, &columns[column]});
    }
    buffer_free(&timed);
    return done ? struct_capsules(schema, array) : PyErr_NoMemory();
}

PyDoc_STRVAR(width_doc, "width()\n--\n\nThe number of the width that the buckets have.");

static PyObject *loads_width(PyObject *object, PyObject *unused) {
    Loads *self = (Loads *)object;
    (void)unused;
    widen(self, self->most);
    return PyLong_FromLong(self->width);
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

static bool set_up(Loads *self, PyObject *widths) {
    Py_ssize_t n = PyTuple_Size(widths);
    if (n < 1 || n > MAX_WIDTHS) {
        PyErr_SetString(PyExc_ValueError, "expected 1 to 16 widths");
        return false;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        self->widths[i] = PyLong_AsLongLong(PyTuple_GetItem(widths, i));
        if (PyErr_Occurred()) return false;
        if (self->widths[i] < 1 || (i && self->widths[i] % self->widths[i - 1])) {
            PyErr_SetString(PyExc_ValueError, "expected widths that are multiples of those before");
            return false;
        }
    }
    self->n_widths = (int)n;
    return grow(self) || PyErr_NoMemory() != NULL;
}

static PyObject *loads_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *widths;
    Py_ssize_t most;
    unsigned long long seed[2];
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!n(KK)", &PyTuple_Type, &widths, &most, &seed[0], &seed[1])) return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Loads *self = (Loads *)alloc(type, 0);
    if (self == NULL) return NULL;
    self->most = most > 0 ? (size_t)most : 0;
    self->seed[0] = seed[0];
    self->seed[1] = seed[1];
    if (set_up(self, widths)) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void loads_dealloc(PyObject *object) {
    Loads *self = (Loads *)object;
    free(self->cells);
    free(self->slots);
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(object);
    Py_DECREF(type);
}

static PyMethodDef loads_methods[] = {
    {"add", loads_add, METH_O, add_doc},
    {"rows", loads_rows, METH_NOARGS, rows_doc},
    {"width", loads_width, METH_NOARGS, width_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot loads_slots[] = {
    {Py_tp_new, loads_new},
    {Py_tp_dealloc, loads_dealloc},
    {Py_tp_methods, loads_methods},
    {Py_tp_doc, "Loads(widths, most, seed): sums by key over time. One thread at a time."},
    {0, NULL},
};

static PyType_Spec loads_spec = {
    .name = "analyzer.tables._loads.Loads",
    .basicsize = sizeof(Loads),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = loads_slots,
};

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromSpec(&loads_spec);
    if (type == NULL) return -1;
    if (PyModule_AddObject(module, "Loads", type) < 0) {
        Py_DECREF(type);
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_loads", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__loads(void) { return PyModuleDef_Init(&module); }
