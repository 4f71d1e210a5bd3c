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

#include "../columns.h"
#include "../module.h"
#include "buckets.h"

#define NO_ADDRESS UINT32_MAX
#define MAX_CLASSES 8

typedef struct {
    PyObject_HEAD
    Buckets buckets; /* their sums: for each class the requests, and those that are considered */
    int n_classes;
    size_t most, n_rows; /* rows that the table may have before its buckets are made wider, and those it has */
    uint8_t *labels;     /* of addresses by number: twice the class, and 1 where its requests are not considered */
    size_t n_labels, room_labels;
    uint8_t label_of_none;
} Timeline;

/* Make the buckets wider until the table is short enough. */
static void widen(Timeline *self) {
    while (self->n_rows > self->most && !is_widest(&self->buckets)) {
        buckets_widen(&self->buckets);
        self->n_rows = 0;
        for (size_t i = 0; i < self->buckets.n * (size_t)self->n_classes; i++)
            self->n_rows += self->buckets.sums[2 * i] > 0;
    }
}

enum { TIME, OUTCOME, NUMBER, N_COLUMNS };

typedef struct {
    Timeline *timeline;
    uint64_t considered;
    Buffer labels; /* of the rows */
    size_t n;
    bool unlabelled; /* a number without a label came */
} Counting;

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Counting *counting = object;
    Timeline *self = counting->timeline;
    Buckets *buckets = &self->buckets;
    const uint8_t *times = values_of(chunk, TIME, 8), *outcomes = values_of(chunk, OUTCOME, 1),
                  *numbers = values_of(chunk, NUMBER, 4);
    const Validity has_time = validity_of(chunk, TIME);
    size_t n = counting->n + (size_t)chunk->length;
    if (!buffer_grow(&counting->labels, counting->n, n)) return false;
    uint8_t *labels = counting->labels.data + counting->n;
    counting->n = n;
    Bucket bucket;
    uint64_t *sums = NULL, considered = 0;
    for (int64_t i = 0; i < chunk->length; i++) {
        uint32_t address;
        int64_t time;
        memcpy(&address, numbers + 4 * i, 4);
        memcpy(&time, times + 8 * i, 8);
        uint8_t label = self->label_of_none;
        if (address < self->n_labels) {
            label = self->labels[address];
        } else if (address != NO_ADDRESS) {
            counting->unlabelled = true;
            return true;
        }
        bool timed = is_valid(has_time, i);
        if (sums == NULL || !is_within(buckets, bucket, 0, timed, time)) {
            if (self->n_rows > self->most) widen(self);
            bucket = (Bucket){timed ? bucket_start(time, buckets->widths[buckets->width]) : NO_TIME, 0};
            sums = sums_of(buckets, bucket);
            if (sums == NULL) return false;
        }
        labels[i] = label | (outcomes[i] != 0);
        uint64_t *of_class = &sums[label & ~1U];
        self->n_rows += of_class[0]++ == 0;
        of_class[1] += !(labels[i] & 1);
        considered += !(labels[i] & 1);
    }
    counting->considered += considered;
    return true;
}

PyDoc_STRVAR(add_doc, "add(stream)\n--\n\n"
                      "Count the rows of a frame, the capsule of its Arrow stream: time, outcome, number (of the address,\n"
                      "2**32 - 1 where there is none). Return how many of them are considered, and as Arrow capsules the\n"
                      "label (UInt8) of each row: that of its address, but odd where the row is not considered.");

static PyObject *timeline_add(PyObject *self, PyObject *capsule) {
    static const char *const FORMATS[N_COLUMNS] = {"tsm:", "C", "I"};
    Counting counting = {.timeline = (Timeline *)self};
    PyObject *done = read_stream(capsule, FORMATS, N_COLUMNS, add_chunk, &counting), *labels = NULL;
    if (done != NULL && counting.unlabelled) {
        PyErr_SetString(PyExc_ValueError, "an address without a label");
    } else if (done != NULL) {
        Flat column = {"label", "C", .values = &counting.labels};
        labels = flat_reserve(&column, 1, 0) ? export_flat(&column, 1, counting.n) : PyErr_NoMemory();
    }
    Py_XDECREF(done);
    buffer_free(&counting.labels);
    return labels ? Py_BuildValue("KN", counting.considered, labels) : NULL;
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
    const Buckets *buckets = &self->buckets;
    size_t n_classes = (size_t)self->n_classes, at = 0;
    Buffer starts = {0}, timed = {0}, classes = {0}, requests = {0}, considered = {0};
    Flat columns[] = {
        {"time", "tsm:UTC", .values = &starts, .validity = &timed},
        {"class", "C", .values = &classes},
        {"requests", "L", .values = &requests},
        {"considered", "L", .values = &considered},
    };
    if (!flat_reserve(columns, 4, self->n_rows)) return PyErr_NoMemory();
    for (size_t i = 0; i < buckets->n * n_classes; i++) {
        const Bucket *bucket = &buckets->buckets[i / n_classes];
        const uint64_t *sums = &buckets->sums[2 * i];
        if (sums[0] == 0) continue;
        memcpy(starts.data + 8 * at, &bucket->start, 8);
        flat_valid(&columns[0], at, bucket->start != NO_TIME);
        classes.data[at] = (uint8_t)(i % n_classes);
        memcpy(requests.data + 8 * at, &sums[0], 8);
        memcpy(considered.data + 8 * at, &sums[1], 8);
        at++;
    }
    PyObject *rows = export_flat(columns, 4, at);
    buffer_free(&timed);
    return rows;
}

PyDoc_STRVAR(width_doc, "width()\n--\n\nThe number of the width that the buckets have.");

static PyObject *timeline_width(PyObject *self, PyObject *unused) {
    (void)unused;
    widen((Timeline *)self);
    return PyLong_FromLong(((Timeline *)self)->buckets.width);
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

static PyObject *timeline_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *widths;
    Py_ssize_t most;
    int n_classes;
    unsigned char label_of_none;
    unsigned long long seed[2];
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!nib(KK)", &PyTuple_Type, &widths, &most, &n_classes, &label_of_none, &seed[0], &seed[1]))
        return NULL;
    if (n_classes < 1 || n_classes > MAX_CLASSES || label_of_none >> 1 >= n_classes) {
        PyErr_SetString(PyExc_ValueError, "expected 1 to 8 classes");
        return NULL;
    }
    Timeline *self = new_object(type);
    if (self == NULL) return NULL;
    self->most = most > 0 ? (size_t)most : 0;
    self->n_classes = n_classes;
    self->label_of_none = label_of_none;
    self->buckets.seed[0] = seed[0];
    self->buckets.seed[1] = seed[1];
    if (buckets_read(&self->buckets, widths, 2 * (size_t)n_classes)) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void timeline_dealloc(PyObject *object) {
    free(((Timeline *)object)->labels);
    buckets_free(&((Timeline *)object)->buckets);
    free_object(object);
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

static int module_exec(PyObject *module) { return add_type(module, "Timeline", &timeline_spec); }

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_timeline", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__timeline(void) { return PyModuleDef_Init(&module); }
