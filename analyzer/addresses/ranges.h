/* What addresses are, by ranges: the numbers at which the answer changes, and the answers. ranges.py has the same.
 * Include after Python.h and arrow.h.
 */
#ifndef LOGSCAN_RANGES_H
#define LOGSCAN_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t low, high; /* as a UInt128 column has it */
} Address;

typedef struct {
    size_t n;
    Address *starts;
    uint8_t *codes; /* codes[i] is the answer from starts[i] on */
} Ranges;

static inline bool same_address(Address a, Address b) { return a.low == b.low && a.high == b.high; }

static inline bool is_above(Address a, Address b) { return a.high > b.high || (a.high == b.high && a.low > b.low); }

/* The answer of an address; the first start must be 0. */
static inline uint8_t code_of(const Ranges *self, Address address) {
    size_t first = 0;
    for (size_t n = self->n; n > 1;) {
        size_t half = n / 2;
        first += is_above(self->starts[first + half], address) ? 0 : half;
        n -= half;
    }
    return self->codes[first];
}

static bool read_ranges_chunk(void *object, const struct ArrowArray *chunk) {
    Ranges *self = object;
    size_t more = (size_t)chunk->length, n = self->n + more;
    Address *starts = realloc(self->starts, (n + 1) * sizeof *starts);
    if (starts == NULL) return false;
    self->starts = starts;
    uint8_t *codes = realloc(self->codes, n + 1);
    if (codes == NULL) return false;
    self->codes = codes;
    memcpy(starts + self->n, values_of(chunk, 0, sizeof *starts), more * sizeof *starts);
    memcpy(codes + self->n, values_of(chunk, 1, 1), more);
    self->n = n;
    return true;
}

static void ranges_free(Ranges *self) {
    free(self->starts);
    free(self->codes);
    *self = (Ranges){0};
}

/* From Python: the capsule of a frame's Arrow stream, starts (UInt128, sorted) and codes (UInt8). */
static bool ranges_read(Ranges *self, PyObject *capsule) {
    static const char *const FORMATS[] = {"_plu128", "C"};
    PyObject *done = read_stream(capsule, FORMATS, 2, read_ranges_chunk, self);
    if (done == NULL) return false;
    Py_DECREF(done);
    if (self->n && self->starts[0].low == 0 && self->starts[0].high == 0) return true;
    PyErr_SetString(PyExc_ValueError, "expected ranges of all addresses");
    return false;
}

#endif
