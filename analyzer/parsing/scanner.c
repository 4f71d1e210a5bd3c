/* The native scanner: bytes of a log and a layout in, Arrow columns out.
 *
 * One pass over the text, no Python object and no allocation per line, the GIL released. What a line must look like
 * and which columns are wanted comes from Python as data (log_format.py, json_format.py, schema.py); portable.py keeps
 * the same contract in plain Python and is the oracle of the tests. The two must agree to the byte.
 *
 * How a line is read stands in layout.h and what it includes, what is written of it in rows.h. unwrapper.h has the other
 * type of this module, which makes lines of lines.
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "../arrow.h"
#include "../columns.h"
#include "../module.h"
#include "layout.h"
#include "rows.h"
#include "sorter.h"
#include "unwrapper.h"

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static bool put_misfit(Scanner *self, const uint8_t *line, const uint8_t *end, uint64_t offset, const Misfit *misfit) {
    size_t n = self->bad_rows, length = (size_t)(end - line);
    if (!buffer_grow(&self->bad_text, self->bad_len, self->bad_len + length + 1) ||
        !buffer_grow(&self->bad_ends, n ? (n + 1) * 8 : 0, (n + 2) * 8) ||
        !buffer_grow(&self->bad_offset, n * 8, (n + 1) * 8) || !buffer_grow(&self->bad_where, n * 8, (n + 1) * 8) ||
        !buffer_grow(&self->bad_number, n * 8, (n + 1) * 8) || !buffer_grow(&self->bad_field, n, n + 1) || !buffer_grow(&self->bad_reason, n, n + 1))
        return false;
    if (n == 0) ((int64_t *)(void *)self->bad_ends.data)[0] = 0;
    if (length) memcpy(self->bad_text.data + self->bad_len, line, length);
    self->bad_len += length;
    ((int64_t *)(void *)self->bad_ends.data)[n + 1] = (int64_t)self->bad_len;
    ((uint64_t *)(void *)self->bad_offset.data)[n] = offset;
    ((uint64_t *)(void *)self->bad_where.data)[n] = misfit->position;
    ((uint64_t *)(void *)self->bad_number.data)[n] = self->lines;
    self->bad_field.data[n] = (uint8_t)(misfit->field + 1);
    self->bad_reason.data[n] = (uint8_t)misfit->reason;
    self->bad_rows++;
    return true;
}

/* All lines of text[start, stop). Touches no Python object. */
static bool scan_text(Scanner *self, const uint8_t *text, size_t size, size_t start, size_t stop, uint64_t offset,
                      int32_t text_index) {
    Span spans[MAX_FIELDS];
    const uint8_t *limit = text + size, *p = text + start, *all = text + stop;
    while (p < all) {
        const uint8_t *newline = memchr(p, '\n', (size_t)(all - p));
        const uint8_t *next = newline ? newline + 1 : all, *end = newline ? newline : all;
        uint64_t where = offset + (uint64_t)(p - text - (ptrdiff_t)start);
        Misfit misfit;
        const uint8_t *line_end = end > p && end[-1] == '\r' ? end - 1 : end;
        self->blank_run = line_end == p ? self->blank_run + 1 : 0;
        const uint8_t *readable = limit_of(line_end, limit);
        bool fits = layout_match(&self->layout, p, line_end, readable, spans, &misfit);
        if (self->layout.json && self->layout.json->out_of_memory) return false;
        if (self->blank_run > KEPT_BLANK)
            self->blank++;
        else if (fits ? !put_row(self, spans, p, line_end, readable, where, text, text_index)
                      : !put_misfit(self, p, next, where, &misfit))
            return false;
        self->lines++;
        p = next;
    }
    return true;
}

/* ---- export ----------------------------------------------------------------------------------------------------- */

static void shift_repaired_views(Output *out, size_t rows, int32_t index) {
    for (size_t row = 0; row < rows; row++) {
        int32_t header[4];
        memcpy(header, out->values.data + row * 16, 16);
        if (header[0] > 12 && header[2] == REPAIRED_BUFFER) {
            header[2] = index;
            memcpy(out->values.data + row * 16, header, 16);
        }
    }
}

static PyObject *export_rows(Scanner *self) {
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    if (!struct_new(self->n_outputs, &schema, &array)) return PyErr_NoMemory();
    array->length = (int64_t)self->rows;
    int n_texts = self->texts ? (int)PyList_Size(self->texts) : 0;
    const void **texts = calloc((size_t)n_texts + 1, sizeof *texts);
    int64_t *sizes = calloc((size_t)n_texts + 1, sizeof *sizes);
    Shared *shared = calloc(1, sizeof *shared);
    if (texts == NULL || sizes == NULL || shared == NULL) return PyErr_NoMemory();
    for (int i = 0; i < n_texts; i++) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyList_GetItem(self->texts, i), &data, &size) < 0) return NULL;
        texts[i] = data;
        sizes[i] = size;
    }
    atomic_init(&shared->users, 1);
    shared->texts = self->texts;
    shared->repaired = self->repaired;
    self->texts = NULL;
    self->repaired = (Buffer){NULL, 0};
    if (self->repaired_len) {
        texts[n_texts] = shared->repaired.data;
        sizes[n_texts] = (int64_t)self->repaired_len;
        n_texts++;
    }
    for (int i = 0; i < self->n_outputs; i++) {
        Output *out = &self->outputs[i];
        bool view = KINDS[out->kind].width == 16 && out->kind != OUT_ADDRESS;
        if (view && self->repaired_len) shift_repaired_views(out, self->rows, n_texts - 1);
        Buffer *buffers[] = {out->nulls ? &out->validity : NULL, &out->values};
        char name[16];
        int n = i, at = 15;
        name[at] = 0;
        do name[--at] = (char)('0' + n % 10);
        while (n /= 10);
        if (!schema_set(schema->children[i], KINDS[out->kind].format, name + at) ||
            !array_set(array->children[i], (int64_t)self->rows, out->nulls, 2, buffers) ||
            (view && !array_add_texts(array->children[i], shared, texts, sizes, n_texts)))
            return PyErr_NoMemory();
        buffer_free(&out->validity);
        out->nulls = 0;
    }
    shared_release(shared);
    free((void *)texts);
    free(sizes);
    atomic_store(&usual_rows, self->rows + self->rows / 16);
    self->rows = self->capacity = self->repaired_len = 0;
    return struct_capsules(schema, array);
}

static PyObject *export_misfits(Scanner *self) {
    if (!buffer_grow(&self->bad_ends, 0, 8) || !buffer_grow(&self->bad_text, self->bad_len, self->bad_len + 1))
        return PyErr_NoMemory();
    if (self->bad_rows == 0) ((int64_t *)(void *)self->bad_ends.data)[0] = 0;
    Flat columns[] = {
        {"line", "Z", .values = &self->bad_ends, .text = &self->bad_text}, {"offset", "L", .values = &self->bad_offset},
        {"position", "L", .values = &self->bad_where},                     {"number", "L", .values = &self->bad_number},
        {"field", "C", .values = &self->bad_field},                        {"reason", "C", .values = &self->bad_reason},
    };
    PyObject *capsules = export_flat(columns, 6, self->bad_rows);
    self->bad_rows = self->bad_len = 0;
    return capsules;
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

/* The fields that outputs are made of, as bits. */
static uint64_t fields_of(PyObject *outputs) {
    uint64_t bits = 0;
    for (Py_ssize_t i = 0; i < PyTuple_Size(outputs); i++) {
        long field = long_at(PyTuple_GetItem(outputs, i), 1);
        if (field >= 0 && field < MAX_FIELDS) bits |= 1ULL << field;
    }
    return bits;
}

static bool read_outputs(Scanner *self, PyObject *outputs) {
    Py_ssize_t n = PyTuple_Size(outputs);
    if (n < 1 || n > MAX_OUTPUTS) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 64 outputs");
        return false;
    }
    self->n_outputs = (int)n;
    for (int i = 0; i < self->n_outputs; i++) {
        PyObject *item = PyTuple_GetItem(outputs, i), *tags = PyTuple_GetItem(item, 2);
        Output *out = &self->outputs[i];
        long kind = long_at(item, 0), field = long_at(item, 1);
        Py_ssize_t n_tags = tags ? PyTuple_Size(tags) : -1;
        if (kind < 0 || kind >= OUT_KINDS || field < 0 || field >= self->layout.n_fields || n_tags < 0 || n_tags > MAX_TAGS) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "an output that no field can serve");
            return false;
        }
        uint8_t type = layout_type(&self->layout, (int)field);
        if (kind == OUT_SECONDS_SUM && is_duration(type)) kind = OUT_SECONDS; /* one number, read with the line */
        out->kind = (uint8_t)kind;
        out->nullable = KINDS[kind].nullable || (kind == OUT_TEXT && self->layout.json);
        out->field = (uint8_t)field;
        self->n_texts += KINDS[kind].width == 16 && kind != OUT_ADDRESS && kind != OUT_CHAIN;
        out->tags = kind == OUT_TAG ? read_tags(tags) : NULL;
        if (kind == OUT_TAG && out->tags == NULL) return false;
    }
    return true;
}

static PyObject *scanner_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *prefix, *fields, *outputs;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO!O!", &prefix, &PyTuple_Type, &fields, &PyTuple_Type, &outputs)) return NULL;
    Scanner *self = new_object(type);
    if (self == NULL) return NULL;
    Py_INCREF(args);
    self->program = args;
    if (!layout_read(&self->layout, prefix, fields, fields_of(outputs)) || !read_outputs(self, outputs)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void scanner_dealloc(PyObject *object) {
    Scanner *self = (Scanner *)object;
    for (int i = 0; i < self->n_outputs; i++) {
        free(self->outputs[i].tags);
        buffer_free(&self->outputs[i].values);
        buffer_free(&self->outputs[i].validity);
    }
    Buffer *rest[] = {&self->repaired,  &self->bad_text,  &self->bad_ends,  &self->bad_offset,
                      &self->bad_where, &self->bad_number, &self->bad_field, &self->bad_reason};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) buffer_free(rest[i]);
    json_free(self->layout.json);
    Py_XDECREF(self->texts);
    Py_XDECREF(self->program);
    free_object(object);
}

PyDoc_STRVAR(scan_doc, "scan(text, start, stop, offset)\n--\n\n"
                       "Add the lines of ``text[start:stop]``; the first of them begins at byte `offset` of the source.\n"
                       "Bytes are kept alive by the string columns made of them; of another buffer, which may be used\n"
                       "again, they hold copies.");

static PyObject *scanner_scan(PyObject *object, PyObject *args) {
    Scanner *self = (Scanner *)object;
    PyObject *text;
    Py_ssize_t start, stop;
    unsigned long long offset;
    if (!PyArg_ParseTuple(args, "OnnK", &text, &start, &stop, &offset)) return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(text, &view, PyBUF_SIMPLE) < 0) return NULL;
    if (start < 0 || stop < start || stop > view.len || view.len > INT32_MAX) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, "expected 0 <= start <= stop <= len(text) < 2 GiB");
        return NULL;
    }
    int32_t text_index = PASSING_TEXT;
    if (self->n_texts > 0 && PyBytes_Check(text)) {
        if (self->texts == NULL) self->texts = PyList_New(0);
        if (self->texts == NULL || PyList_Append(self->texts, text) < 0) {
            PyBuffer_Release(&view);
            return NULL;
        }
        text_index = (int32_t)PyList_Size(self->texts) - 1;
    }
    bool done;
    Py_BEGIN_ALLOW_THREADS;
    done = scan_text(self, view.buf, (size_t)view.len, (size_t)start, (size_t)stop, offset, text_index);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&view);
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(reject_doc, "reject(text, start, stop, offset, continued)\n--\n\n"
                         "Add ``text[start:stop]`` as a piece of a line that is too long to read: its beginning, which\n"
                         "counts as a line, or a later piece.");

static PyObject *scanner_reject(PyObject *object, PyObject *args) {
    Scanner *self = (Scanner *)object;
    PyObject *text;
    Py_ssize_t start, stop;
    unsigned long long offset;
    int continued;
    if (!PyArg_ParseTuple(args, "OnnKp", &text, &start, &stop, &offset, &continued)) return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(text, &view, PyBUF_SIMPLE) < 0) return NULL;
    bool inside = start >= 0 && stop >= start && stop <= view.len;
    const uint8_t *data = view.buf;
    Misfit misfit = {0, -1, continued ? CONTINUED : TOO_LONG};
    bool done = inside && put_misfit(self, data + start, data + stop, offset, &misfit);
    self->lines += done && !continued;
    PyBuffer_Release(&view);
    if (!inside) PyErr_SetString(PyExc_ValueError, "expected 0 <= start <= stop <= len(text)");
    if (!done) return inside ? PyErr_NoMemory() : NULL;
    Py_RETURN_NONE;
}

static PyObject *scanner_misfits(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(((Scanner *)self)->bad_rows);
}

PyDoc_STRVAR(take_doc, "take()\n--\n\n"
                       "What was scanned since the last call: (rows, misfits, lines, blank), the first two as Arrow\n"
                       "capsule pairs (schema, array) of a struct column; blank lines beyond a few in a row are only\n"
                       "counted.");

static PyObject *scanner_take(PyObject *object, PyObject *unused) {
    Scanner *self = (Scanner *)object;
    (void)unused;
    if (!reserve_rows(self)) return PyErr_NoMemory();
    PyObject *rows = export_rows(self);
    PyObject *misfits = rows ? export_misfits(self) : NULL;
    PyObject *all = misfits ? Py_BuildValue("(NNKK)", rows, misfits, self->lines, self->blank) : NULL;
    if (misfits == NULL) Py_XDECREF(rows);
    self->lines = self->blank = 0;
    return all;
}

static PyMethodDef scanner_methods[] = {
    {"scan", scanner_scan, METH_VARARGS, scan_doc},
    {"reject", scanner_reject, METH_VARARGS, reject_doc},
    {"misfits", scanner_misfits, METH_NOARGS, "misfits()\n--\n\nHow many misfits were found since the last take."},
    {"take", scanner_take, METH_NOARGS, take_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scanner_slots[] = {
    {Py_tp_new, scanner_new},
    {Py_tp_dealloc, scanner_dealloc},
    {Py_tp_methods, scanner_methods},
    {Py_tp_doc, "Scanner(prefix, fields, outputs): reads lines of one layout into columns; the prefix is None for\n"
               "JSON objects. One thread at a time."},
    {0, NULL},
};

static PyType_Spec scanner_spec = {
    .name = "analyzer.parsing._scanner.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = scanner_slots,
};

static int module_exec(PyObject *module) {
    if (add_type(module, "Scanner", &scanner_spec) < 0 || add_type(module, "Sorter", &sorter_spec) < 0) return -1;
    return add_type(module, "Unwrapper", &unwrapper_spec);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_scanner", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__scanner(void) { return PyModuleDef_Init(&module); }
