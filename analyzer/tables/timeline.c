/* The table of requests over time, by class: one pass over rows whose addresses have numbers and labels.
 *
 * timeline.py says what is counted, and does the same with Polars' group_by where nothing could be compiled.
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

#define NO_ADDRESS UINT32_MAX
#define NO_BUCKET UINT32_MAX
#define MAX_CLASSES 8
#define MAX_WIDTHS 16

typedef struct {
    int64_t start; /* of no meaning in the bucket of requests without a time */
    struct {
        uint64_t requests, considered;
    } classes[MAX_CLASSES];
} Bucket;

typedef struct {
    PyObject_HEAD
    uint64_t seed[2];
    int64_t widths[MAX_WIDTHS]; /* milliseconds, each a multiple of the one before */
    int n_widths, width;
    int n_classes;
    size_t most, n_rows; /* rows that the table may have before its buckets are made wider, and those it has */
    uint8_t *labels;     /* of addresses by number: twice the class, and 1 where its requests are not considered */
    size_t n_labels, room_labels;
    uint8_t label_of_none;
    Bucket *buckets;
    size_t n_buckets, room;
    uint32_t *slots; /* open addressing over the buckets; a power of two */
    size_t n_slots;
    Bucket untimed;
} Timeline;

static inline int64_t start_of(const Timeline *self, int64_t time) {
    int64_t width = self->widths[self->width], number = time / width - (time % width < 0);
    return (int64_t)((uint64_t)number * (uint64_t)width); /* unsigned: overflow is no matter of luck */
}

static inline size_t slot_of(const Timeline *self, int64_t start) {
    return (size_t)hash_address(self->seed, 0, (uint64_t)start) & (self->n_slots - 1);
}

static void put_buckets(Timeline *self) {
    memset(self->slots, 0xFF, self->n_slots * sizeof *self->slots);
    for (size_t i = 0; i < self->n_buckets; i++) {
        size_t slot = slot_of(self, self->buckets[i].start);
        while (self->slots[slot] != NO_BUCKET) slot = (slot + 1) & (self->n_slots - 1);
        self->slots[slot] = (uint32_t)i;
    }
}

static bool grow(Timeline *self) {
    size_t room = self->room ? self->room * 2 : 512;
    Bucket *buckets = room < NO_BUCKET ? realloc(self->buckets, room * sizeof *buckets) : NULL;
    if (buckets == NULL) return false;
    self->buckets = buckets;
    uint32_t *slots = malloc(room * 2 * sizeof *slots);
    if (slots == NULL) return false;
    free(self->slots);
    self->slots = slots;
    self->n_slots = room * 2;
    self->room = room;
    put_buckets(self);
    return true;
}

/* The bucket that starts there; NULL where there is no memory for it. */
static Bucket *bucket_at(Timeline *self, int64_t start) {
    if (self->n_buckets == self->room && !grow(self)) return NULL;
    size_t slot = slot_of(self, start);
    for (; self->slots[slot] != NO_BUCKET; slot = (slot + 1) & (self->n_slots - 1)) {
        Bucket *bucket = &self->buckets[self->slots[slot]];
        if (bucket->start == start) return bucket;
    }
    self->slots[slot] = (uint32_t)self->n_buckets;
    Bucket *bucket = &self->buckets[self->n_buckets++];
    *bucket = (Bucket){.start = start};
    return bucket;
}

static size_t rows_of(const Timeline *self, const Bucket *bucket) {
    size_t rows = 0;
    for (int i = 0; i < self->n_classes; i++) rows += bucket->classes[i].requests > 0;
    return rows;
}

/* Make the buckets wider until the table is short enough. */
static void widen(Timeline *self) {
    while (self->n_rows > self->most && self->width < self->n_widths - 1) {
        size_t n = self->n_buckets;
        self->width++;
        self->n_buckets = 0;
        memset(self->slots, 0xFF, self->n_slots * sizeof *self->slots);
        for (size_t i = 0; i < n; i++) {
            Bucket old = self->buckets[i];
            Bucket *into = bucket_at(self, start_of(self, old.start)); /* never more of them: one that was read already */
            for (int j = 0; j < self->n_classes; j++) {
                into->classes[j].requests += old.classes[j].requests;
                into->classes[j].considered += old.classes[j].considered;
            }
        }
        self->n_rows = rows_of(self, &self->untimed);
        for (size_t i = 0; i < self->n_buckets; i++) self->n_rows += rows_of(self, &self->buckets[i]);
    }
}

enum { TIME, OUTCOME, NUMBER, N_COLUMNS };

typedef struct {
    Timeline *timeline;
    uint64_t considered;
    bool unlabelled; /* a number without a label came */
} Counting;

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Counting *counting = object;
    Timeline *self = counting->timeline;
    const uint8_t *time = values_of(chunk, TIME, 8), *outcome = values_of(chunk, OUTCOME, 1),
                  *number = values_of(chunk, NUMBER, 4);
    Bucket *bucket = NULL;
    uint64_t considered = 0;
    for (int64_t i = 0; i < chunk->length; i++) {
        uint32_t address;
        int64_t moment;
        memcpy(&address, number + 4 * i, 4);
        memcpy(&moment, time + 8 * i, 8);
        uint8_t label = self->label_of_none;
        if (address < self->n_labels) {
            label = self->labels[address];
        } else if (address != NO_ADDRESS) {
            counting->unlabelled = true;
            return true;
        }
        Bucket *into = &self->untimed;
        if (is_valid(chunk, TIME, i)) {
            if (bucket == NULL || (uint64_t)moment - (uint64_t)bucket->start >= (uint64_t)self->widths[self->width]) {
                if (self->n_rows > self->most) widen(self);
                bucket = bucket_at(self, start_of(self, moment));
                if (bucket == NULL) return false;
            }
            into = bucket;
        }
        bool counts = outcome[i] == 0 && !(label & 1);
        self->n_rows += into->classes[label >> 1].requests++ == 0;
        into->classes[label >> 1].considered += counts;
        considered += counts;
    }
    counting->considered += considered;
    return true;
}

PyDoc_STRVAR(add_doc, "add(stream)\n--\n\n"
                      "Count the rows of a frame, the capsule of its Arrow stream: time, outcome, number (of the address,\n"
                      "2**32 - 1 where there is none). Return how many of them are considered.");

static PyObject *timeline_add(PyObject *self, PyObject *capsule) {
    static const char *const FORMATS[N_COLUMNS] = {"tsm:", "C", "I"};
    Counting counting = {.timeline = (Timeline *)self};
    PyObject *done = read_stream(capsule, FORMATS, N_COLUMNS, add_chunk, &counting);
    if (done == NULL) return NULL;
    Py_DECREF(done);
    if (counting.unlabelled) {
        PyErr_SetString(PyExc_ValueError, "an address without a label");
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(counting.considered);
}

PyDoc_STRVAR(label_doc, "label(stream)\n--\n\n"
                        "The labels of the next addresses: the capsule of the Arrow stream of a frame of one column, UInt8.");

typedef struct {
    Timeline *timeline;
    bool unknown; /* a label of a class that there is not */
} Labelling;

static bool label_chunk(void *object, const struct ArrowArray *chunk) {
    Labelling *labelling = object;
    Timeline *self = labelling->timeline;
    const uint8_t *labels = values_of(chunk, 0, 1);
    size_t n = (size_t)chunk->length, need = self->n_labels + n;
    for (size_t i = 0; i < n; i++) labelling->unknown |= labels[i] >> 1 >= self->n_classes;
    if (labelling->unknown) return true;
    if (need > self->room_labels) {
        uint8_t *grown = realloc(self->labels, need * 2);
        if (grown == NULL) return false;
        self->labels = grown;
        self->room_labels = need * 2;
    }
    memcpy(self->labels + self->n_labels, labels, n);
    self->n_labels = need;
    return true;
}

static PyObject *timeline_label(PyObject *self, PyObject *capsule) {
    static const char *const FORMATS[] = {"C"};
    Labelling labelling = {.timeline = (Timeline *)self};
    PyObject *done = read_stream(capsule, FORMATS, 1, label_chunk, &labelling);
    if (done == NULL || !labelling.unknown) return done;
    Py_DECREF(done);
    PyErr_SetString(PyExc_ValueError, "a label of an unknown class");
    return NULL;
}

PyDoc_STRVAR(rows_doc, "rows()\n--\n\nThe table, as Arrow capsules: time, class (a number), requests, considered.");

static PyObject *timeline_rows(PyObject *object, PyObject *unused) {
    Timeline *self = (Timeline *)object;
    (void)unused;
    widen(self);
    size_t n = self->n_rows, at = 0;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    Buffer columns[4] = {buffer_new(n * 8 + 1), buffer_new(n + 1), buffer_new(n * 8 + 1), buffer_new(n * 8 + 1)};
    Buffer timed = buffer_new(n / 8 + 1);
    if (!columns[0].data || !columns[1].data || !columns[2].data || !columns[3].data || !timed.data ||
        !struct_new(4, &schema, &array))
        return PyErr_NoMemory();
    memset(timed.data, 0, n / 8 + 1);
    for (size_t i = 0; i <= self->n_buckets; i++) {
        const Bucket *bucket = i < self->n_buckets ? &self->buckets[i] : &self->untimed;
        for (int j = 0; j < self->n_classes; j++) {
            if (bucket->classes[j].requests == 0) continue;
            memcpy(columns[0].data + 8 * at, &bucket->start, 8);
            columns[1].data[at] = (uint8_t)j;
            memcpy(columns[2].data + 8 * at, &bucket->classes[j].requests, 8);
            memcpy(columns[3].data + 8 * at, &bucket->classes[j].considered, 8);
            timed.data[at / 8] |= (uint8_t)((i < self->n_buckets) << at % 8);
            at++;
        }
    }
    static const char *const COLUMNS[4][2] = {
        {"time", "tsm:UTC"}, {"class", "C"}, {"requests", "L"}, {"considered", "L"}};
    int64_t untimed = (int64_t)rows_of(self, &self->untimed);
    array->length = (int64_t)n;
    bool done = true;
    for (int column = 0; done && column < 4; column++) {
        bool nulls = column == 0 && untimed;
        done = schema_set(schema->children[column], COLUMNS[column][1], COLUMNS[column][0]) &&
               array_set(array->children[column], (int64_t)n, nulls ? untimed : 0, 2,
                         (Buffer *[]){nulls ? &timed : NULL, &columns[column]});
    }
    buffer_free(&timed);
    return done ? struct_capsules(schema, array) : PyErr_NoMemory();
}

PyDoc_STRVAR(width_doc, "width()\n--\n\nThe number of the width that the buckets have.");

static PyObject *timeline_width(PyObject *self, PyObject *unused) {
    (void)unused;
    widen((Timeline *)self);
    return PyLong_FromLong(((Timeline *)self)->width);
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

static bool set_up(Timeline *self, PyObject *widths) {
    Py_ssize_t n = PyTuple_Size(widths);
    if (n < 1 || n > MAX_WIDTHS || self->n_classes < 1 || self->n_classes > MAX_CLASSES ||
        self->label_of_none >> 1 >= self->n_classes) {
        PyErr_SetString(PyExc_ValueError, "expected 1 to 16 widths and 1 to 8 classes");
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

static PyObject *timeline_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *widths;
    Py_ssize_t most;
    int n_classes;
    unsigned char label_of_none;
    unsigned long long seed[2];
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!nib(KK)", &PyTuple_Type, &widths, &most, &n_classes, &label_of_none, &seed[0], &seed[1]))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Timeline *self = (Timeline *)alloc(type, 0);
    if (self == NULL) return NULL;
    self->most = most > 0 ? (size_t)most : 0;
    self->n_classes = n_classes;
    self->label_of_none = label_of_none;
    self->seed[0] = seed[0];
    self->seed[1] = seed[1];
    if (set_up(self, widths)) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void timeline_dealloc(PyObject *object) {
    Timeline *self = (Timeline *)object;
    free(self->labels);
    free(self->buckets);
    free(self->slots);
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(object);
    Py_DECREF(type);
}

static PyMethodDef timeline_methods[] = {
    {"add", timeline_add, METH_O, add_doc},
    {"label", timeline_label, METH_O, label_doc},
    {"rows", timeline_rows, METH_NOARGS, rows_doc},
    {"width", timeline_width, METH_NOARGS, width_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot timeline_slots[] = {
    {Py_tp_new, timeline_new},
    {Py_tp_dealloc, timeline_dealloc},
    {Py_tp_methods, timeline_methods},
    {Py_tp_doc, "Timeline(widths, most, classes, label_of_none, seed): requests over time. One thread at a time."},
    {0, NULL},
};

static PyType_Spec timeline_spec = {
    .name = "analyzer.tables._timeline.Timeline",
    .basicsize = sizeof(Timeline),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = timeline_slots,
};

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromSpec(&timeline_spec);
    if (type == NULL) return -1;
    if (PyModule_AddObject(module, "Timeline", type) < 0) {
        Py_DECREF(type);
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_timeline", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__timeline(void) { return PyModuleDef_Init(&module); }
