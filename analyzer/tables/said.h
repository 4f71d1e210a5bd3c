/* What rows say of addresses, and what these are by ranges. Include after Python.h. */
#ifndef LOGSCAN_SAID_H
#define LOGSCAN_SAID_H

#include "../columns.h"
#include "../addresses/forwarded.h"

#define NONE UINT8_MAX /* no class, no length */

/* ---- what addresses are ----------------------------------------------------------------------------------------- */

typedef struct {
    Ranges ranges;    /* the code of an address: twice its class, and 1 more where it is no visitor's business */
    unsigned proxies; /* a bit for each class whose word is taken */
    unsigned client;  /* the class of visitors */
} Labels;

static inline uint8_t class_of(const Labels *self, Address address) { return code_of(&self->ranges, address) / 2; }

static inline bool is_proxy(const Labels *self, uint8_t class_) { return class_ != NONE && (self->proxies >> class_ & 1); }

static inline bool trusts(const Labels *self, bool known, Address address) {
    return known && is_proxy(self, class_of(self, address));
}

static bool read_labels(Labels *self, PyObject *tuple) {
    PyObject *stream;
    return PyArg_ParseTuple(tuple, "OII", &stream, &self->proxies, &self->client) && ranges_read(&self->ranges, stream);
}

/* ---- rows that come --------------------------------------------------------------------------------------------- */

enum { ADDRESS, PEER, PROXIED, SINGLE, CHAIN, OUTCOME, N_COLUMNS };

static const char *const FORMATS[N_COLUMNS] = {"_plu128", "_plu128", "_plu128", "_plu128", "vu", "C"};
static const size_t WIDTHS[N_COLUMNS] = {16, 16, 16, 16, 16, 1};

typedef struct {
    const struct ArrowArray *array; /* NULL where the log's format does not carry the column */
    const uint8_t *values;
    Validity valid;
} Cells;

static void cells_of(Cells cells[N_COLUMNS], const struct ArrowArray *chunk, unsigned present) {
    for (int column = 0, at = 0; column < N_COLUMNS; column++) {
        cells[column] = (Cells){0};
        if (!(present >> column & 1)) continue;
        cells[column] = (Cells){chunk->children[at], values_of(chunk, at, WIDTHS[column]), validity_of(chunk, at)};
        at++;
    }
}

static inline bool is_there(const Cells *cells, int64_t i) { return cells->array != NULL && is_valid(cells->valid, i); }

static inline bool address_at(const Cells *cells, int64_t i, Address *address) {
    if (!is_there(cells, i)) return false;
    memcpy(address, cells->values + 16 * i, 16);
    return true;
}

/* The text of a view, no longer than the chunk is there. */
static inline const uint8_t *text_at(const Cells *cells, int64_t i, size_t *size) {
    uint32_t view[4]; /* size, the first bytes, buffer, offset; or size and all of the text */
    *size = 0;
    if (!is_there(cells, i)) return NULL;
    const uint8_t *at = cells->values + 16 * i;
    memcpy(view, at, 16);
    *size = view[0];
    return view[0] <= 12 ? at + 4 : (const uint8_t *)cells->array->buffers[2 + view[2]] + view[3];
}

/* What a row says of addresses. */
typedef struct {
    bool has_address, has_peer, has_proxied, has_single;
    Address address, peer, proxied, single;
    const uint8_t *text;
    size_t size;
} Said;

static inline Said said_by(const Cells cells[N_COLUMNS], int64_t i) {
    Said said;
    said.has_address = address_at(&cells[ADDRESS], i, &said.address);
    said.has_peer = address_at(&cells[PEER], i, &said.peer);
    said.has_proxied = address_at(&cells[PROXIED], i, &said.proxied);
    said.has_single = address_at(&cells[SINGLE], i, &said.single);
    said.text = text_at(&cells[CHAIN], i, &said.size);
    return said;
}

static inline void take_single(Address single, Chain *chain) {
    chain->length = 1;
    chain->more = false;
    chain->entries[0] = chain->leftmost = (Entry){single, !is_broadcast(single)};
}

static PyObject *read_rows(PyObject *stream, unsigned present, bool (*read)(void *, const struct ArrowArray *), void *self) {
    const char *formats[N_COLUMNS];
    int n_columns = 0;
    for (int column = 0; column < N_COLUMNS; column++)
        if (present >> column & 1) formats[n_columns++] = FORMATS[column];
    return read_stream(stream, formats, n_columns, read, self);
}

#endif
