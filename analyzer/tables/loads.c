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
#include <string.h>

#include "../columns.h"
#include "../module.h"
#include "buckets.h"

/* Buckets of the first width are counted this far from 1970; a time beyond is in the last. */
#define FARTHEST (((int64_t)1 << 33) - 1)
#define LONGEST_MS 1e9
/* Added to a number below 2**51 and taken off again, it leaves the nearest whole one, of two the even. */
#define TO_WHOLE 6755399441055744.0

enum { CONSIDERED, SUM_OF_BYTES, UPSTREAM_REQUESTS, UPSTREAM_MS, N_SUMS };

typedef struct {
    PyObject_HEAD
    Buckets buckets;
    size_t most; /* buckets that the table may have */
    uint64_t wanted; /* labels of rows that count, as bits */
} Loads;

static inline int64_t start_of(const Buckets *buckets, int64_t time) {
    int64_t finest = buckets->widths[0], number = time / finest - (time % finest < 0);
    number = number > FARTHEST ? FARTHEST : number < -FARTHEST ? -FARTHEST : number;
    return bucket_start(number * finest, buckets->widths[buckets->width]);
}

static void widen(Loads *self) {
    while (self->buckets.n > self->most && !is_widest(&self->buckets)) buckets_widen(&self->buckets);
}

enum { KEY, TIME, BYTES, UPSTREAM_TIME, LABEL, N_COLUMNS };

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Loads *self = object;
    Buckets *buckets = &self->buckets;
    const uint8_t *keys = values_of(chunk, KEY, 4), *times = values_of(chunk, TIME, 8),
                  *bytes = values_of(chunk, BYTES, 8), *seconds = values_of(chunk, UPSTREAM_TIME, 8),
                  *labels = values_of(chunk, LABEL, 1);
    const Validity has_time = validity_of(chunk, TIME), has_bytes = validity_of(chunk, BYTES),
                   has_seconds = validity_of(chunk, UPSTREAM_TIME);
    Bucket bucket;
    uint64_t *sums = NULL;
    for (int64_t i = 0; i < chunk->length; i++) {
        if (!(self->wanted >> (labels[i] & 63) & 1)) continue;
        uint32_t key;
        int64_t time;
        memcpy(&key, keys + 4 * i, 4);
        memcpy(&time, times + 8 * i, 8);
        bool timed = is_valid(has_time, i);
        if (sums == NULL || !is_within(buckets, bucket, key, timed, time)) {
            if (buckets->n / 2 > self->most) widen(self);
            bucket = (Bucket){timed ? start_of(buckets, time) : NO_TIME, key};
            sums = sums_of(buckets, bucket);
            if (sums == NULL) return false;
        }
        sums[CONSIDERED]++;
        if (is_valid(has_bytes, i)) {
            uint64_t count;
            memcpy(&count, bytes + 8 * i, 8);
            sums[SUM_OF_BYTES] += count;
        }
        double milliseconds;
        memcpy(&milliseconds, seconds + 8 * i, 8);
        milliseconds *= 1000;
        if (!is_valid(has_seconds, i) || milliseconds != milliseconds) continue;
        milliseconds = milliseconds > LONGEST_MS ? LONGEST_MS : milliseconds < 0 ? 0 : milliseconds;
        sums[UPSTREAM_REQUESTS]++;
        sums[UPSTREAM_MS] += (uint64_t)(milliseconds + TO_WHOLE - TO_WHOLE);
    }
    return true;
}

PyDoc_STRVAR(add_doc, "add(stream)\n--\n\n"
                      "Add the rows of a frame, the capsule of its Arrow stream: key, time, bytes, upstream_time, label\n"
                      "(UInt8, below 64; a row of a label that is not wanted is passed over).");

static PyObject *loads_add(PyObject *self, PyObject *capsule) {
    static const char *const FORMATS[N_COLUMNS] = {"I", "tsm:", "L", "g", "C"};
    return read_stream(capsule, FORMATS, N_COLUMNS, add_chunk, self);
}

PyDoc_STRVAR(rows_doc, "rows()\n--\n\n"
                       "The table, as Arrow capsules: key, time, considered, bytes, upstream_requests, upstream_ms.");

static PyObject *loads_rows(PyObject *object, PyObject *unused) {
    Loads *self = (Loads *)object;
    (void)unused;
    widen(self);
    const Buckets *buckets = &self->buckets;
    size_t n = buckets->n;
    Buffer keys = {0}, starts = {0}, timed = {0}, sums[N_SUMS] = {{0}};
    Flat columns[2 + N_SUMS] = {
        {"key", "I", .values = &keys},
        {"time", "tsm:UTC", .values = &starts, .validity = &timed},
        {"considered", "L", .values = &sums[CONSIDERED]},
        {"bytes", "L", .values = &sums[SUM_OF_BYTES]},
        {"upstream_requests", "L", .values = &sums[UPSTREAM_REQUESTS]},
        {"upstream_ms", "L", .values = &sums[UPSTREAM_MS]},
    };
    if (!flat_reserve(columns, 2 + N_SUMS, n)) return PyErr_NoMemory();
    for (size_t i = 0; i < n; i++) {
        const Bucket *bucket = &buckets->buckets[i];
        memcpy(keys.data + 4 * i, &bucket->key, 4);
        memcpy(starts.data + 8 * i, &bucket->start, 8);
        flat_valid(&columns[1], i, bucket->start != NO_TIME);
        for (int k = 0; k < N_SUMS; k++) memcpy(sums[k].data + 8 * i, &buckets->sums[i * N_SUMS + (size_t)k], 8);
    }
    PyObject *rows = export_flat(columns, 2 + N_SUMS, n);
    buffer_free(&timed);
    return rows;
}

PyDoc_STRVAR(width_doc, "width()\n--\n\nThe number of the width that the buckets have.");

static PyObject *loads_width(PyObject *object, PyObject *unused) {
    Loads *self = (Loads *)object;
    (void)unused;
    widen(self);
    return PyLong_FromLong(self->buckets.width);
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

static PyObject *loads_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *widths;
    Py_ssize_t most;
    unsigned long long wanted, seed[2];
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!nK(KK)", &PyTuple_Type, &widths, &most, &wanted, &seed[0], &seed[1])) return NULL;
    Loads *self = new_object(type);
    if (self == NULL) return NULL;
    self->most = most > 0 ? (size_t)most : 0;
    self->wanted = wanted;
    self->buckets.seed[0] = seed[0];
    self->buckets.seed[1] = seed[1];
    if (buckets_read(&self->buckets, widths, N_SUMS)) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void loads_dealloc(PyObject *object) {
    buckets_free(&((Loads *)object)->buckets);
    free_object(object);
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
    {Py_tp_doc, "Loads(widths, most, wanted, seed): sums by key over time. One thread at a time."},
    {0, NULL},
};

static PyType_Spec loads_spec = {
    .name = "analyzer.tables._loads.Loads",
    .basicsize = sizeof(Loads),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = loads_slots,
};

static int module_exec(PyObject *module) { return add_type(module, "Loads", &loads_spec); }

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_loads", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__loads(void) { return PyModuleDef_Init(&module); }
