/* Lines of an envelope in, the lines inside out: what collectors wrote round a log is taken off again.
 *
 * Inner lines are written one behind the other, each ending with a newline, and with each which line of the input it
 * was, where it came from and its time. Records that a container runtime cut in pieces are joined. portable.py keeps the
 * same contract.
 */
#ifndef LOGSCAN_UNWRAPPER_H
#define LOGSCAN_UNWRAPPER_H

#include "../columns.h"
#include "../module.h"
#include "layout.h"
#include "origins.h"

enum { JOIN_NONE, JOIN_CRI, JOIN_NEWLINE };

#define MOST_WAITING ((size_t)1 << 20) /* bytes in both slots together */
#define ROOM (MOST_WAITING + 16)       /* for what waits, each with its newline, and one for a last line without */

/* What is known of an inner line besides its text. */
typedef struct {
    uint64_t input, start; /* the number and the place of its (first) input line */
    int64_t time;
    uint32_t origin;
    bool timed;
} Inner;

/* The pieces of a record whose last one is still to come. */
typedef struct {
    bool waiting;
    Inner inner;
    Buffer text;
    size_t len;
    Buffer parts; /* of the pieces behind the first: pairs of number and place */
    size_t n_parts;
} Slot;

typedef struct {
    PyObject_HEAD
    PyObject *program; /* the tuples from Python, which own literals and keys */
    Layout layout;
    int message, join, cri_tag, stream, time; /* fields, -1 for none */
    int n_origin_fields;
    int origin_fields[MAX_FIELDS];
    Origins origins;
    PyObject *origin_list; /* the tuples of the origins known at the last take */
    Buffer key;
    Slot slots[2]; /* stderr has the second */

    uint64_t lines, first_line, fitted; /* input lines ever and before the last take; those since that fit */
    size_t rows, capacity, joined_rows;
    int64_t untimed;
    Buffer input, start, origin, time_value, time_valid, joined_line, joined_input, joined_start;
} Unwrapper;

/* Where inner lines are written. */
typedef struct {
    uint8_t *data;
    size_t len;
} Written;

/* ---- inner lines ------------------------------------------------------------------------------------------------ */

static inline uint64_t *words(const Buffer *buffer) { return (uint64_t *)(void *)buffer->data; }

/* End the line that was written: its row. */
static bool end_line(Unwrapper *self, Written *out, const Inner *inner) {
    size_t row = self->rows;
    if (row == self->capacity) {
        size_t capacity = row ? 2 * row : 4096;
        if (!buffer_grow(&self->input, row * 8, capacity * 8) || !buffer_grow(&self->start, row * 8, capacity * 8) ||
            !buffer_grow(&self->time_value, row * 8, capacity * 8) ||
            !buffer_grow(&self->origin, row * 4, capacity * 4) ||
            !buffer_grow(&self->time_valid, row / 8, capacity / 8))
            return false;
        self->capacity = capacity;
    }
    out->data[out->len++] = '\n';
    words(&self->input)[row] = inner->input - self->first_line;
    words(&self->start)[row] = inner->start;
    words(&self->time_value)[row] = (uint64_t)inner->time;
    ((uint32_t *)(void *)self->origin.data)[row] = inner->origin;
    if ((row & 7) == 0) self->time_valid.data[row >> 3] = 0;
    self->time_valid.data[row >> 3] |= (uint8_t)(inner->timed << (row & 7));
    self->untimed += !inner->timed;
    self->rows++;
    return true;
}

/* Write what waits in a slot before the `len` bytes that stand at the end of `out` but do not count as written yet. */
static void release_text(Slot *slot, Written *out, size_t len, size_t gap) {
    memmove(out->data + out->len + slot->len + gap, out->data + out->len, len);
    memcpy(out->data + out->len, slot->text.data, slot->len);
    out->len += slot->len;
    slot->waiting = false;
    slot->len = 0;
}

/* The rows of the further pieces of the line that ends next. */
static bool put_parts(Unwrapper *self, Slot *slot) {
    size_t used = self->joined_rows * 8, need = used + slot->n_parts * 8;
    if (slot->n_parts == 0) return true;
    if (!buffer_grow(&self->joined_line, used, need) || !buffer_grow(&self->joined_input, used, need) ||
        !buffer_grow(&self->joined_start, used, need))
        return false;
    for (size_t i = 0; i < slot->n_parts; i++, self->joined_rows++) {
        words(&self->joined_line)[self->joined_rows] = self->rows;
        words(&self->joined_input)[self->joined_rows] = words(&slot->parts)[2 * i] - self->first_line;
        words(&self->joined_start)[self->joined_rows] = words(&slot->parts)[2 * i + 1];
    }
    slot->n_parts = 0;
    return true;
}

/* Note a piece behind the first. */
static bool add_part(Slot *slot, const Inner *inner) {
    size_t used = slot->n_parts * 16;
    if (!buffer_grow(&slot->parts, used, used + 16)) return false;
    words(&slot->parts)[2 * slot->n_parts] = inner->input;
    words(&slot->parts)[2 * slot->n_parts + 1] = inner->start;
    slot->n_parts++;
    return true;
}

/* A message of `len` bytes that stands at the end of `out`: it waits, or ends a line. */
static bool put_message(Unwrapper *self, Written *out, size_t len, const Inner *inner, Slot *slot, bool partial) {
    const Slot *other = slot == self->slots ? slot + 1 : slot - 1;
    if (slot->waiting && slot->len + other->len + len > MOST_WAITING) {
        const Inner before = slot->inner;
        if (!put_parts(self, slot)) return false;
        release_text(slot, out, len, 1);
        if (!end_line(self, out, &before)) return false;
    }
    if (partial && other->len + len <= MOST_WAITING) {
        if (!buffer_grow(&slot->text, slot->len, slot->len + len + 1)) return false;
        memcpy(slot->text.data + slot->len, out->data + out->len, len);
        slot->len += len;
        if (slot->waiting) return add_part(slot, inner);
        slot->waiting = true;
        slot->inner = *inner;
        return true;
    }
    if (!slot->waiting) {
        out->len += len;
        return end_line(self, out, inner);
    }
    if (!add_part(slot, inner) || !put_parts(self, slot)) return false;
    release_text(slot, out, len, 0);
    out->len += len;
    return end_line(self, out, &slot->inner);
}

/* ---- one input line --------------------------------------------------------------------------------------------- */

/* Write the message where the next inner line begins; its length. *newline is whether it ended with one. */
static size_t write_message(const Span *span, bool string, uint8_t *out, bool *newline) {
    *newline = false;
    if (!string) {
        memcpy(out, span->start, (size_t)(span->end - span->start));
        return (size_t)(span->end - span->start);
    }
    uint8_t *end = unescape(span->start, span->end, out), *p;
    if (end > out && end[-1] == '\n') {
        *newline = true;
        end--;
        if (end > out && end[-1] == '\r') end--;
    }
    static const char BREAKS[] = "\r\n"; /* one record is one line */
    for (int i = 0; i < 2; i++)
        for (p = out; p < end && (p = memchr(p, BREAKS[i], (size_t)(end - p))) != NULL; p++) *p = ' ';
    return (size_t)(end - out);
}

static bool find_origin(Unwrapper *self, const Span *spans, uint32_t *number) {
    size_t len = 0, text_len = 0, most = 0;
    for (int i = 0; i < self->n_origin_fields; i++) {
        const Span *span = &spans[self->origin_fields[i]];
        most += 4 + (size_t)(span->end - span->start);
    }
    if (!buffer_grow(&self->key, 0, most + 1)) return false;
    for (int i = 0; i < self->n_origin_fields; i++) {
        const Span *span = &spans[self->origin_fields[i]];
        uint8_t *text = self->key.data + len + 4, *end = text + (span->end - span->start);
        if (self->layout.json && !span->raw)
            end = unescape(span->start, span->end, text);
        else
            memcpy(text, span->start, (size_t)(span->end - span->start));
        uint32_t size = (uint32_t)(end - text);
        memcpy(text - 4, &size, 4);
        len += 4 + size;
        text_len += size;
    }
    return origin_number(&self->origins, self->key.data, len, text_len, number);
}

static bool unwrap_line(Unwrapper *self, const uint8_t *start, const uint8_t *end, const uint8_t *limit, Inner *inner,
                        Written *out) {
    Span spans[MAX_FIELDS];
    Misfit misfit;
    const Json *json = self->layout.json;
    bool fits = start < end && layout_match(&self->layout, start, end, limit_of(end, limit), spans, &misfit);
    if (json && json->out_of_memory) return false;
    bool message = false;
    if (fits) {
        self->fitted++;
        message = self->message >= 0 && (json == NULL || (json->seen >> self->message & 1));
        if (self->n_origin_fields && !find_origin(self, spans, &inner->origin)) return false;
        if (self->time >= 0) {
            inner->timed = spans[self->time].present;
            inner->time = inner->timed ? (int64_t)spans[self->time].number : 0;
        }
    }
    if (!message) {
        memcpy(out->data + out->len, start, (size_t)(end - start));
        out->len += (size_t)(end - start);
        return end_line(self, out, inner);
    }
    const Span *span = &spans[self->message];
    bool newline, string = json && json->found >> self->message & 1 ? json->values[self->message].string : json != NULL;
    size_t len = write_message(span, string, out->data + out->len, &newline);
    if (self->join == JOIN_NONE) {
        out->len += len;
        return end_line(self, out, inner);
    }
    bool partial = string && !newline;
    if (self->join == JOIN_CRI) {
        const Span *tag = self->cri_tag >= 0 ? &spans[self->cri_tag] : span;
        partial = self->cri_tag >= 0 && tag->start < tag->end && *tag->start == 'P';
    }
    const Span *stream = self->stream >= 0 ? &spans[self->stream] : NULL;
    bool err = stream && stream->end - stream->start == 6 && memcmp(stream->start, "stderr", 6) == 0;
    return put_message(self, out, len, inner, &self->slots[err], partial);
}

/* All lines of text[start, stop). Touches no Python object. */
static bool unwrap_text(Unwrapper *self, const uint8_t *text, size_t size, size_t start, size_t stop, uint64_t offset,
                        Written *out) {
    const uint8_t *limit = text + size, *p = text + start, *all = text + stop;
    while (p < all) {
        const uint8_t *newline = memchr(p, '\n', (size_t)(all - p));
        const uint8_t *end = newline ? newline : all;
        Inner inner = {.input = self->lines, .start = offset + (uint64_t)(p - text) - start};
        if (!unwrap_line(self, p, end > p && end[-1] == '\r' ? end - 1 : end, limit, &inner, out)) return false;
        self->lines++;
        p = newline ? newline + 1 : all;
    }
    return true;
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

static bool is_field(const Unwrapper *self, int field, const char *name) {
    if (field >= -1 && field < self->layout.n_fields) return true;
    PyErr_Format(PyExc_ValueError, "%s: expected the number of a field or -1, got %d", name, field);
    return false;
}

static bool message_collects(const Json *json, int message) {
    for (uint32_t t = 1; t < json->n_targets; t++)
        if (json->targets[t].field == message && json->targets[t].collects) return true;
    return false;
}

static bool read_unwrapper(Unwrapper *self, PyObject *prefix, PyObject *fields, PyObject *origins) {
    if (!layout_read(&self->layout, prefix, fields, ~0ULL)) return false;
    if (!is_field(self, self->message, "message") || !is_field(self, self->cri_tag, "cri_tag") ||
        !is_field(self, self->stream, "stream") || !is_field(self, self->time, "time"))
        return false;
    if (self->layout.json && self->message >= 0) {
        self->layout.json->whole_arrays = self->message;
        if (message_collects(self->layout.json, self->message)) {
            PyErr_SetString(PyExc_ValueError, "expected a message that stands at one place, got elements of an array");
            return false;
        }
    }
    Py_ssize_t n = PyTuple_Size(origins);
    if (n > MAX_FIELDS) {
        PyErr_SetString(PyExc_ValueError, "expected at most 64 origin fields");
        return false;
    }
    self->n_origin_fields = (int)n;
    for (int i = 0; i < self->n_origin_fields; i++) {
        self->origin_fields[i] = (int)long_at(origins, i);
        if (PyErr_Occurred() || !is_field(self, self->origin_fields[i], "origins")) return false;
        if (self->origin_fields[i] < 0) {
            PyErr_SetString(PyExc_ValueError, "origins: expected numbers of fields, got -1");
            return false;
        }
    }
    /* Python's own hash of a text is seeded anew for each process. */
    static const char *const SEEDS[] = {"logscan origins", "of inner lines"};
    for (int i = 0; i < 2; i++) {
        PyObject *text = PyUnicode_FromString(SEEDS[i]);
        if (text == NULL) return false;
        self->origins.seed[i] = (uint64_t)PyObject_Hash(text);
        Py_DECREF(text);
    }
    self->origin_list = PyList_New(0);
    if (self->origin_list == NULL) return false;
    if (!origins_new(&self->origins, self->n_origin_fields)) {
        PyErr_NoMemory();
        return false;
    }
    return true;
}

static PyObject *unwrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *prefix, *fields, *origins;
    int message, join, cri_tag, stream, time;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO!iO!iiii", &prefix, &PyTuple_Type, &fields, &message, &PyTuple_Type, &origins, &join,
                          &cri_tag, &stream, &time))
        return NULL;
    Unwrapper *self = new_object(type);
    if (self == NULL) return NULL;
    Py_INCREF(args);
    self->program = args;
    self->message = message;
    self->join = join;
    self->cri_tag = cri_tag;
    self->stream = stream;
    self->time = time;
    if (!read_unwrapper(self, prefix, fields, origins)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void unwrapper_dealloc(PyObject *object) {
    Unwrapper *self = (Unwrapper *)object;
    Buffer *buffers[] = {&self->key,          &self->input,      &self->start,       &self->origin,
                         &self->time_value,   &self->time_valid, &self->joined_line, &self->joined_input,
                         &self->joined_start, &self->slots[0].text, &self->slots[0].parts, &self->slots[1].text,
                         &self->slots[1].parts};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_free(buffers[i]);
    origins_free(&self->origins);
    json_free(self->layout.json);
    Py_XDECREF(self->origin_list);
    Py_XDECREF(self->program);
    free_object(object);
}

static PyObject *no_room(size_t need, size_t size) {
    PyErr_Format(PyExc_ValueError, "expected room for %zu bytes, got %zu", need, size);
    return NULL;
}

PyDoc_STRVAR(unwrap_doc, "unwrap(text, start, stop, offset, into)\n--\n\n"
                         "Write the inner lines of ``text[start:stop]`` to `into`, each ending with a newline; return\n"
                         "how many bytes. `into` must have room for ``stop - start`` and 1 MiB and 16 bytes.");

static PyObject *unwrapper_unwrap(PyObject *object, PyObject *args) {
    Unwrapper *self = (Unwrapper *)object;
    PyObject *text, *into;
    Py_ssize_t start, stop;
    unsigned long long offset;
    if (!PyArg_ParseTuple(args, "OnnKO", &text, &start, &stop, &offset, &into)) return NULL;
    Py_buffer view, target;
    if (PyObject_GetBuffer(text, &view, PyBUF_SIMPLE) < 0) return NULL;
    if (PyObject_GetBuffer(into, &target, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&view);
        return NULL;
    }
    PyObject *result = NULL;
    if (start < 0 || stop < start || stop > view.len || view.len > INT32_MAX || view.buf == target.buf) {
        PyErr_SetString(PyExc_ValueError, "expected 0 <= start <= stop <= len(text) < 2 GiB, and two buffers");
    } else if ((size_t)target.len < (size_t)(stop - start) + ROOM) {
        no_room((size_t)(stop - start) + ROOM, (size_t)target.len);
    } else {
        Written out = {target.buf, 0};
        bool done;
        Py_BEGIN_ALLOW_THREADS;
        done = unwrap_text(self, view.buf, (size_t)view.len, (size_t)start, (size_t)stop, offset, &out);
        Py_END_ALLOW_THREADS;
        result = done ? PyLong_FromSize_t(out.len) : PyErr_NoMemory();
    }
    PyBuffer_Release(&target);
    PyBuffer_Release(&view);
    return result;
}

PyDoc_STRVAR(flush_doc, "flush(into)\n--\n\n"
                        "Write what still waits for its continuation as lines; return how many bytes.");

static PyObject *unwrapper_flush(PyObject *object, PyObject *into) {
    Unwrapper *self = (Unwrapper *)object;
    Py_buffer target;
    if (PyObject_GetBuffer(into, &target, PyBUF_WRITABLE) < 0) return NULL;
    if ((size_t)target.len < ROOM) {
        no_room(ROOM, (size_t)target.len);
        PyBuffer_Release(&target);
        return NULL;
    }
    Written out = {target.buf, 0};
    bool done = true;
    for (Slot *slot = self->slots; done && slot < self->slots + 2; slot++) {
        if (!slot->waiting) continue;
        done = put_parts(self, slot);
        release_text(slot, &out, 0, 0);
        done = done && end_line(self, &out, &slot->inner);
    }
    PyBuffer_Release(&target);
    return done ? PyLong_FromSize_t(out.len) : PyErr_NoMemory();
}

/* Add the origins that are new to the list. */
static bool list_origins(Unwrapper *self) {
    for (uint32_t i = (uint32_t)PyList_Size(self->origin_list); i < self->origins.n_origins; i++) {
        PyObject *texts = PyTuple_New(self->n_origin_fields);
        if (texts == NULL) return false;
        const uint8_t *key = self->origins.keys.data + self->origins.origins[i].at;
        for (int t = 0; t < self->n_origin_fields; t++) {
            uint32_t size;
            memcpy(&size, key, 4);
            PyObject *text = PyBytes_FromStringAndSize((const char *)key + 4, (Py_ssize_t)size);
            if (text == NULL || PyTuple_SetItem(texts, t, text) < 0) {
                Py_DECREF(texts);
                return false;
            }
            key += 4 + size;
        }
        int status = PyList_Append(self->origin_list, texts);
        Py_DECREF(texts);
        if (status < 0) return false;
    }
    return true;
}

PyDoc_STRVAR(unwrapper_take_doc,
             "take()\n--\n\n"
             "What was unwrapped since the last call: (lines, joined, origins, fitted, input_lines), the first two as\n"
             "Arrow capsule pairs (schema, array) of a struct column; `origins` is one list that grows.");

static PyObject *unwrapper_take(PyObject *object, PyObject *unused) {
    Unwrapper *self = (Unwrapper *)object;
    (void)unused;
    if (!list_origins(self)) return NULL;
    const Flat lines[] = {
        {"input", "L", .values = &self->input},
        {"start", "L", .values = &self->start},
        {"origin", "I", .values = &self->origin},
        {"time", "tsm:UTC", .values = &self->time_value, .validity = &self->time_valid, .nulls = self->untimed},
    };
    const Flat joined[] = {
        {"line", "L", .values = &self->joined_line},
        {"input", "L", .values = &self->joined_input},
        {"start", "L", .values = &self->joined_start},
    };
    PyObject *first = export_flat(lines, 4, self->rows), *second = first ? export_flat(joined, 3, self->joined_rows) : NULL;
    uint64_t input_lines = self->lines - self->first_line, fitted = self->fitted;
    self->first_line = self->lines;
    self->fitted = 0;
    self->rows = self->capacity = self->joined_rows = 0;
    self->untimed = 0;
    if (second == NULL) {
        Py_XDECREF(first);
        return NULL;
    }
    return Py_BuildValue("(NNOKK)", first, second, self->origin_list, fitted, input_lines);
}

static PyMethodDef unwrapper_methods[] = {
    {"unwrap", unwrapper_unwrap, METH_VARARGS, unwrap_doc},
    {"flush", unwrapper_flush, METH_O, flush_doc},
    {"take", unwrapper_take, METH_NOARGS, unwrapper_take_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot unwrapper_slots[] = {
    {Py_tp_new, unwrapper_new},
    {Py_tp_dealloc, unwrapper_dealloc},
    {Py_tp_methods, unwrapper_methods},
    {Py_tp_doc, "Unwrapper(prefix, fields, message, origins, join, cri_tag, stream, time): makes the lines inside of\n"
                "lines of one envelope. One thread at a time."},
    {0, NULL},
};

static PyType_Spec unwrapper_spec = {
    .name = "analyzer.parsing._scanner.Unwrapper",
    .basicsize = sizeof(Unwrapper),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = unwrapper_slots,
};

#endif
