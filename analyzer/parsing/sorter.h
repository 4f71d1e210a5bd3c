/* Which of several layouts a line fits: the first of them, in their order.
 *
 * Many lines that no format reads are tried with all of them, so most are told without a try: a layout that begins with
 * the same fields as one before it fails where that failed, and a JSON object lacks a key that a layout must have.
 */
#ifndef LOGSCAN_SORTER_H
#define LOGSCAN_SORTER_H

#include "../columns.h"
#include "../module.h"
#include "layout.h"

#define FITS_NONE UINT16_MAX
#define MAX_LAYOUTS 4096

/* What is known of a layout before it is tried; small, because all of them are looked at for each line. */
typedef struct {
    uint64_t keys;       /* signs of keys that a JSON object must have */
    uint64_t word, mask; /* what stands at the first blank of a line, where its first field ends at one */
    bool objects;        /* its lines are JSON objects, by whatever means it reads them */
    bool json;
    int16_t alike;  /* the layout before it that shares most with it */
    int16_t shared; /* how many fields, with what stands before them; -1 where not even that */
    int16_t reach;  /* the field at which the line that is tried stops fitting */
} Candidate;

typedef struct {
    PyObject_HEAD
    PyObject *program; /* the tuples from Python, which own literals and keys */
    Candidate *candidates;
    Layout *layouts;
    Py_ssize_t n;
    Buffer found;
} Sorter;

/* ---- what need not be tried -------------------------------------------------------------------------------------- */

/* How many fields two lines of text begin with alike; -1 where they do not begin alike. */
static int shared_fields(const Line *a, const Line *b) {
    if (a->prefix_len != b->prefix_len || memcmp(a->prefix, b->prefix, a->prefix_len) != 0) return -1;
    int n = 0;
    while (n < a->n_fields && n < b->n_fields) {
        const Field *one = &a->fields[n], *other = &b->fields[n];
        if (one->type != other->type || one->retry_before != other->retry_before || one->last != other->last ||
            one->literal_len != other->literal_len || memcmp(one->literal, other->literal, one->literal_len) != 0)
            break;
        n++;
    }
    return n;
}

/* One of 64 bits for a key. */
static uint64_t key_sign(const uint8_t *text, size_t len) {
    if (len == 0) return 1;
    uint32_t ends = (uint32_t)text[0] | (uint32_t)text[len - 1] << 8 | (uint32_t)text[len / 2] << 16;
    return 1ULL << ((ends ^ (uint32_t)len << 24) * 0x9E3779B1U >> 26);
}

/* The signs of all that may be keys of an object: what stands between two quotes before a colon. */
static uint64_t line_signs(const uint8_t *start, const uint8_t *end, const uint8_t *limit) {
    uint64_t signs = 0;
    for (const uint8_t *p = start; (p = find_byte(p, end, limit, ':')) < end; p++) {
        const uint8_t *stop = p;
        while (stop > start && is_blank(stop[-1])) stop--;
        if (stop == start || *--stop != '"') continue;
        const uint8_t *key = stop;
        while (key > start && key[-1] != '"') key--;
        signs |= key_sign(key, (size_t)(stop - key));
    }
    return signs;
}

/* From Python: the signs of the keys that lead to values which must be there and have one place only. */
static uint64_t needed_signs(PyObject *fields) {
    uint64_t signs = 0;
    for (Py_ssize_t i = 0; i < PyTuple_Size(fields); i++) {
        PyObject *field = PyTuple_GetItem(fields, i), *pointers = PyTuple_GetItem(field, 1);
        if (long_at(field, 2) != 1 || PyTuple_Size(pointers) != 1) continue;
        PyObject *pointer = PyTuple_GetItem(pointers, 0);
        for (Py_ssize_t k = 0; k < PyTuple_Size(pointer); k++) {
            const uint8_t *key;
            size_t len;
            if (!bytes_at(pointer, k, &key, &len)) return 0;
            if ((len == 1 && *key == '*') || memchr(key, '"', len)) continue;
            signs |= key_sign(key, len);
        }
    }
    return signs;
}

/* What a line must have at its first blank, where the first field is free of blanks and its literal begins with one. */
static void note_word(Candidate *one, const Line *line) {
    const Field *field = &line->fields[0];
    if (line->prefix_len || field->literal_len == 0 || *field->literal != ' ') return;
    if (field->type != WORD && field->type != FIRST_ADDRESS) return;
    one->word = field->word;
    one->mask = field->mask;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* The number of the first layout that the line fits. */
static uint16_t first_fitting(Sorter *self, const uint8_t *start, const uint8_t *end, const uint8_t *limit) {
    Span spans[MAX_FIELDS];
    const uint8_t *first = start;
    while (first < end && is_blank(*first)) first++;
    bool object = first < end && *first == '{';
    uint64_t signs = object ? line_signs(start, end, limit) : 0, word = 0;
    const uint8_t *blank = find_byte(start, end, limit, ' ');
    memcpy(&word, blank, (size_t)(end - blank) < 8 ? (size_t)(end - blank) : 8);
    bool listed = blank > start && blank[-1] == ','; /* a list of addresses goes on behind its blank */
    for (Py_ssize_t i = 0; i < self->n; i++) {
        Candidate *one = &self->candidates[i];
        if (one->objects != object) continue;
        if (one->keys & ~signs) continue;
        if ((word & one->mask) != one->word && !listed) {
            one->reach = 0;
            continue;
        }
        if (one->shared > self->candidates[one->alike].reach) {
            one->reach = self->candidates[one->alike].reach;
            continue;
        }
        Layout *layout = &self->layouts[i];
        Misfit misfit;
        if (layout_match(layout, start, end, limit_of(end, limit), spans, &misfit)) return (uint16_t)i;
        /* Where quotes were read in two ways, the misfit tells of one. */
        one->reach = one->json || layout->line.escapes ? (int16_t)misfit.field : MAX_FIELDS;
    }
    return FITS_NONE;
}

static bool sort_text(Sorter *self, const uint8_t *text, size_t size, size_t *lines) {
    const uint8_t *limit = text + size, *p = text;
    size_t n = 0;
    while (p < limit) {
        const uint8_t *newline = memchr(p, '\n', (size_t)(limit - p)), *end = newline ? newline : limit;
        const uint8_t *line_end = end > p && end[-1] == '\r' ? end - 1 : end;
        if (!buffer_grow(&self->found, n * 2, (n + 1) * 2)) return false;
        ((uint16_t *)(void *)self->found.data)[n++] = line_end == p ? FITS_NONE : first_fitting(self, p, line_end, limit);
        p = newline ? newline + 1 : limit;
    }
    *lines = n;
    for (Py_ssize_t i = 0; i < self->n; i++)
        if (self->layouts[i].json && self->layouts[i].json->out_of_memory) return false;
    return true;
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

static bool read_candidates(Sorter *self, PyObject *layouts) {
    Py_ssize_t n = PyTuple_Size(layouts);
    if (n > MAX_LAYOUTS) {
        PyErr_SetString(PyExc_ValueError, "expected at most 4096 layouts");
        return false;
    }
    self->candidates = calloc((size_t)n + 1, sizeof *self->candidates);
    self->layouts = calloc((size_t)n + 1, sizeof *self->layouts);
    if (self->candidates == NULL || self->layouts == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Candidate *one = &self->candidates[i];
        PyObject *prefix, *fields;
        if (!PyArg_ParseTuple(PyTuple_GetItem(layouts, i), "OO!", &prefix, &PyTuple_Type, &fields)) return false;
        self->n = i + 1;
        if (!layout_read(&self->layouts[i], prefix, fields, 0)) return false;
        const Line *line = &self->layouts[i].line;
        one->json = self->layouts[i].json != NULL;
        one->objects = one->json || (line->prefix_len && *line->prefix == '{');
        one->shared = -1;
        if (one->json)
            one->keys = needed_signs(fields);
        else
            note_word(one, line);
        for (Py_ssize_t k = 0; k < i && !one->json; k++) {
            int shared = self->layouts[k].json ? -1 : shared_fields(&self->layouts[k].line, line);
            if (shared > one->shared) {
                one->shared = (int16_t)shared;
                one->alike = (int16_t)k;
            }
        }
    }
    return !PyErr_Occurred();
}

static PyObject *sorter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *layouts;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!", &PyTuple_Type, &layouts)) return NULL;
    Sorter *self = new_object(type);
    if (self == NULL) return NULL;
    Py_INCREF(args);
    self->program = args;
    if (!read_candidates(self, layouts)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void sorter_dealloc(PyObject *object) {
    Sorter *self = (Sorter *)object;
    for (Py_ssize_t i = 0; i < self->n; i++) json_free(self->layouts[i].json);
    free(self->candidates);
    free(self->layouts);
    buffer_free(&self->found);
    Py_XDECREF(self->program);
    free_object(object);
}

PyDoc_STRVAR(sort_doc, "sort(text)\n--\n\n"
                       "For each line the number of the first layout that it fits, 65535 for none, as the Arrow capsules\n"
                       "(schema, array) of a struct column.");

static PyObject *sorter_sort(PyObject *object, PyObject *text) {
    Sorter *self = (Sorter *)object;
    Py_buffer view;
    if (PyObject_GetBuffer(text, &view, PyBUF_SIMPLE) < 0) return NULL;
    size_t lines = 0;
    bool done;
    Py_BEGIN_ALLOW_THREADS;
    done = buffer_grow(&self->found, 0, 2) && sort_text(self, view.buf, (size_t)view.len, &lines);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&view);
    if (!done) return PyErr_NoMemory();
    const Flat columns[] = {{"layout", "S", .values = &self->found}};
    return export_flat(columns, 1, lines);
}

static PyMethodDef sorter_methods[] = {
    {"sort", sorter_sort, METH_O, sort_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sorter_slots[] = {
    {Py_tp_new, sorter_new},
    {Py_tp_dealloc, sorter_dealloc},
    {Py_tp_methods, sorter_methods},
    {Py_tp_doc, "Sorter(layouts): tells which of several layouts, pairs of a prefix and fields, lines fit. One thread at\n"
               "a time."},
    {0, NULL},
};

static PyType_Spec sorter_spec = {
    .name = "analyzer.parsing._scanner.Sorter",
    .basicsize = sizeof(Sorter),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = sorter_slots,
};

#endif
