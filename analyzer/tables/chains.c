/* Who stands between the connection and the logged address, and which address the visitor really has: chains of
 * X-Forwarded-For read row by row.
 *
 * chains.py says what is kept of a chain; chain_table.py does the same with Polars. clients.h finds the visitors.
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

#include "../module.h"
#include "address_hash.h"
#include "clients.h"
#include "said.h"

#define NO_ROW UINT32_MAX
#define SAMPLE 200 /* characters of a chain that is kept as an example */
#define FAR 3      /* at detail 2 no position is told from those further away */

/* ---- the table -------------------------------------------------------------------------------------------------- */

enum { REMOTE, HOP0, HOP1, HOP2, N_HOPS };
enum { PASSED = 1, FOUND = 2, HAS_HOP = 4 }; /* HAS_HOP shifted by the number of the hop */

typedef struct {
    Address hops[N_HOPS];
    uint8_t classes[N_HOPS];
    uint8_t position, length, flags, unused;
} Key;

typedef struct {
    Key key;
    uint64_t requests, lost, claimed;
    Address single;
    bool has_single;
    uint32_t hash, size; /* the size of `chain` */
    uint8_t *chain;
} Row;

typedef struct {
    PyObject_HEAD
    Labels labels;
    uint64_t seed[2];
    size_t n, room;
    Row *rows;
    uint32_t *slots; /* open addressing over the rows, twice as many as there is room for */
    uint32_t last;   /* the row that was found last */
} Chains;

static uint32_t hash_of(const Chains *self, const Key *key) {
    uint64_t tail;
    memcpy(&tail, key->classes, 8);
    for (int hop = 0; hop < N_HOPS; hop++) tail = hash_address(self->seed, key->hops[hop].high ^ tail, key->hops[hop].low);
    return (uint32_t)tail;
}

static bool grow(Chains *self) {
    size_t room = self->room ? self->room * 2 : 64;
    Row *rows = room < NO_ROW ? realloc(self->rows, room * sizeof *rows) : NULL;
    if (rows == NULL) return false;
    self->rows = rows;
    uint32_t *slots = malloc(room * 2 * sizeof *slots);
    if (slots == NULL) return false;
    free(self->slots);
    self->slots = slots;
    self->room = room;
    memset(slots, 0xFF, room * 2 * sizeof *slots);
    for (size_t i = 0; i < self->n; i++) {
        size_t slot = rows[i].hash & (room * 2 - 1);
        while (slots[slot] != NO_ROW) slot = (slot + 1) & (room * 2 - 1);
        slots[slot] = (uint32_t)i;
    }
    return true;
}

static Row *row_of(Chains *self, const Key *key) {
    if (self->n && memcmp(&self->rows[self->last].key, key, sizeof *key) == 0) return &self->rows[self->last];
    if (self->n == self->room && !grow(self)) return NULL;
    uint32_t hash = hash_of(self, key);
    size_t slot = hash & (self->room * 2 - 1);
    for (; (self->last = self->slots[slot]) != NO_ROW; slot = (slot + 1) & (self->room * 2 - 1)) {
        Row *row = &self->rows[self->last];
        if (row->hash == hash && memcmp(&row->key, key, sizeof *key) == 0) return row;
    }
    self->last = self->slots[slot] = (uint32_t)self->n++;
    self->rows[self->last] = (Row){.key = *key, .hash = hash};
    return &self->rows[self->last];
}

static void forget_all(Chains *self) {
    for (size_t i = 0; i < self->n; i++) free(self->rows[i].chain);
    free(self->rows);
    free(self->slots);
    self->rows = NULL;
    self->slots = NULL;
    self->n = self->room = 0;
}

static inline void set_hop(Key *key, int hop, Address address) {
    key->hops[hop] = address;
    key->flags |= (uint8_t)(HAS_HOP << hop);
}

static inline void drop_hop(Key *key, int hop) {
    key->hops[hop] = (Address){0, 0};
    key->flags &= (uint8_t) ~(HAS_HOP << hop);
}

/* What is found along a chain, as places from the right; 0 is nowhere. */
typedef struct {
    int remote, unreadable, visitor, stranger;
    uint8_t classes[ENTRIES + 1];
} Walk;

static void walk(const Labels *labels, const Said *said, bool own, const Chain *chain, Walk *found) {
    found->remote = found->unreadable = found->visitor = found->stranger = 0;
    for (int place = 1; place <= chain->length; place++) {
        const Entry *entry = &chain->entries[place - 1];
        bool is_remote = entry->readable && said->has_address && same_address(entry->address, said->address);
        uint8_t class_ = NONE;
        if (!entry->readable && !found->unreadable) found->unreadable = place;
        if (is_remote && !own && !found->remote) found->remote = place;
        if (entry->readable && (!is_remote || own)) class_ = class_of(labels, entry->address);
        if (class_ == labels->client && !is_remote && !found->visitor) found->visitor = place;
        if (place > 1 && !found->stranger && !is_proxy(labels, class_)) found->stranger = place;
        found->classes[place] = class_;
    }
}

static inline void put_entry(Key *key, int hop, const Chain *chain, const Walk *found, int place) {
    const Entry *entry = &chain->entries[place - 1];
    key->classes[hop] = found->classes[place];
    if (entry->readable) set_hop(key, hop, entry->address);
}

/* Say less of a request. */
static void forget(const Labels *labels, Key *key, int detail) {
    for (int hop = 0; hop < N_HOPS; hop++)
        if (detail == 2 || (detail == 1 && !is_proxy(labels, key->classes[hop]))) drop_hop(key, hop);
    if (detail < 2) return;
    bool stranger = key->position > 2 && !is_proxy(labels, key->classes[HOP2]);
    key->classes[HOP1] = key->classes[HOP2] = key->classes[stranger ? HOP2 : HOP1];
    if (key->position > FAR) key->position = FAR;
}

typedef struct {
    Chains *table;
    unsigned present;
    int detail;
} Adding;

static bool keep_chain(Row *row, const uint8_t *text, size_t size) {
    size_t characters = 0;
    for (size_t i = 0; i < size && characters <= SAMPLE; i++) characters += is_first_byte(text[i]);
    if (characters > SAMPLE) return true;
    if (row->chain != NULL) {
        int order = memcmp(text, row->chain, size < row->size ? size : row->size);
        if (order > 0 || (order == 0 && size >= row->size)) return true;
    }
    uint8_t *chain = realloc(row->chain, size);
    if (chain == NULL) return false;
    memcpy(chain, text, size);
    row->chain = chain;
    row->size = (uint32_t)size;
    return true;
}

static bool count(Adding *adding, const Said *said, bool considered) {
    Chains *self = adding->table;
    const Labels *labels = &self->labels;
    Chain chain;
    Walk found;
    Key key = {.classes = {NONE, NONE, NONE, NONE}};
    bool chained = adding->present >> CHAIN & 1, has_single = said->has_single && !is_broadcast(said->single);
    bool own = said->has_address && ((said->has_peer && same_address(said->peer, said->address)) ||
                                     (said->has_proxied && same_address(said->proxied, said->address)));
    chain.length = 0;
    chain.more = false;
    if (has_single)
        take_single(said->single, &chain);
    else
        take_apart(said->text, said->size, &chain);
    walk(labels, said, own, &chain, &found);
    Address peer = said->has_proxied ? said->proxied : said->peer;
    bool has_peer = said->has_proxied || said->has_peer;
    if (has_peer && !(said->has_address && same_address(peer, said->address))) {
        set_hop(&key, HOP0, peer);
        key.classes[HOP0] = class_of(labels, peer);
    }
    bool visited = key.classes[HOP0] == labels->client ||
                   (found.visitor && (!found.unreadable || found.visitor < found.unreadable));
    bool far = chain.more && !own && said->has_address && chain.leftmost.readable &&
               same_address(chain.leftmost.address, said->address);
    bool unsaid = !chained && said->has_peer && !own;
    int position = found.remote ? found.remote : far ? ENTRIES + 1 : unsaid;
    key.position = (uint8_t)position;
    key.length = chained ? (uint8_t)chain.length : NONE;
    if (position > 1) put_entry(&key, HOP1, &chain, &found, 1);
    if (position > 2) put_entry(&key, HOP2, &chain, &found, found.stranger && found.stranger < position ? found.stranger : 2);
    if (position < chain.length && chain.entries[position].readable) key.flags |= PASSED;
    if (visited) key.flags |= FOUND;
    bool lost = false;
    bool plain = chain.length == 0 && key.classes[HOP0] == NONE; /* nobody but the logged address: all are one row */
    if (said->has_address && !plain && (position == 0 || visited)) {
        uint8_t code = code_of(&labels->ranges, said->address);
        key.classes[REMOTE] = code / 2;
        if (position == 0 && (visited || key.classes[REMOTE] != labels->client)) set_hop(&key, REMOTE, said->address);
        lost = visited && considered && !(code & 1);
    }
    bool doubtful = position > 1 || (position == 1 && (key.classes[HOP0] == NONE || key.classes[HOP0] == labels->client));
    if (adding->detail) forget(labels, &key, adding->detail);
    Row *row = row_of(self, &key);
    if (row == NULL) return false;
    row->requests++;
    row->lost += lost;
    if (!doubtful) return true;
    uint64_t mixed = said->address.low ^ said->address.high;
    if (said->has_address) row->claimed |= (uint64_t)1 << (mixed * 0x9E3779B97F4A7C15 >> 58);
    if (has_single) {
        if (!row->has_single || is_above(row->single, said->single)) row->single = said->single;
        row->has_single = true;
        return true;
    }
    return said->size <= 1 || keep_chain(row, said->text, said->size);
}

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Adding *adding = object;
    Cells cells[N_COLUMNS];
    cells_of(cells, chunk, adding->present);
    for (int64_t i = 0; i < chunk->length; i++) {
        Said said = said_by(cells, i);
        if (!count(adding, &said, cells[OUTCOME].values[i] == 0)) return false;
    }
    return true;
}

PyDoc_STRVAR(add_doc, "add(stream, present, detail)\n--\n\n"
                      "Add the rows of a frame, the capsule of its Arrow stream. Its columns are those whose bits are set\n"
                      "in `present`: address, peer, proxied, single, chain, outcome. `detail` is how much is forgotten.");

static PyObject *chains_add(PyObject *self, PyObject *args) {
    PyObject *stream;
    Adding adding = {.table = (Chains *)self};
    if (!PyArg_ParseTuple(args, "OIi", &stream, &adding.present, &adding.detail)) return NULL;
    return read_rows(stream, adding.present, add_chunk, &adding);
}

static inline void put_address(Flat *column, size_t row, Address address, bool known) {
    memcpy(column->values->data + 16 * row, &address, 16);
    flat_valid(column, row, known);
}

enum { COLUMN_HOPS, COLUMN_CLASSES = N_HOPS, POSITION = 2 * N_HOPS, LENGTH, COLUMN_PASSED, COLUMN_FOUND, REQUESTS, LOST, CLAIMED, EXAMPLE, COLUMN_SINGLE, N_LEAVING };

PyDoc_STRVAR(take_doc, "take()\n--\n\nThe table, as Arrow capsules, with classes as numbers; it is empty then.");

static PyObject *chains_take(PyObject *object, PyObject *unused) {
    Chains *self = (Chains *)object;
    (void)unused;
    Buffer values[N_LEAVING] = {{0}}, valid[N_LEAVING] = {{0}}, text = {0};
    static const char *const LEAVING[N_LEAVING][2] = {
        {"remote", "_plu128"},  {"peer", "_plu128"},   {"hop1", "_plu128"},    {"hop2", "_plu128"},
        {"remote_class", "C"},  {"peer_class", "C"},   {"hop1_class", "C"},    {"hop2_class", "C"},
        {"position", "C"},      {"length", "C"},       {"passed", "C"},        {"found", "C"},
        {"requests", "L"},      {"lost", "L"},         {"claimed", "L"},       {"chain", "U"},
        {"single", "_plu128"},
    };
    Flat columns[N_LEAVING];
    size_t n = self->n, size = 0, end = 0;
    for (int i = 0; i < N_LEAVING; i++) columns[i] = (Flat){LEAVING[i][0], LEAVING[i][1], &values[i], NULL, &valid[i], 0};
    columns[EXAMPLE].text = &text;
    for (size_t i = 0; i < n; i++) size += self->rows[i].size;
    if (!flat_reserve(columns, N_LEAVING, 2 * n + 1) || !buffer_grow(&text, 0, size + 1)) return PyErr_NoMemory();
    memset(values[EXAMPLE].data, 0, 8);
    for (size_t i = 0; i < n; i++) {
        const Row *row = &self->rows[i];
        const Key *key = &row->key;
        for (int hop = 0; hop < N_HOPS; hop++) {
            put_address(&columns[COLUMN_HOPS + hop], i, key->hops[hop], key->flags >> hop & HAS_HOP);
            values[COLUMN_CLASSES + hop].data[i] = key->classes[hop];
            flat_valid(&columns[COLUMN_CLASSES + hop], i, key->classes[hop] != NONE);
        }
        uint8_t bytes[] = {key->position, key->length, (key->flags & PASSED) != 0, (key->flags & FOUND) != 0};
        for (int column = POSITION; column <= COLUMN_FOUND; column++) {
            values[column].data[i] = bytes[column - POSITION];
            flat_valid(&columns[column], i, column != LENGTH || key->length != NONE);
        }
        uint64_t sums[] = {row->requests, row->lost, row->claimed};
        for (int column = REQUESTS; column <= CLAIMED; column++) {
            memcpy(values[column].data + 8 * i, &sums[column - REQUESTS], 8);
            flat_valid(&columns[column], i, true);
        }
        if (row->size) memcpy(text.data + end, row->chain, row->size);
        end += row->size;
        memcpy(values[EXAMPLE].data + 8 * (i + 1), &end, 8);
        flat_valid(&columns[EXAMPLE], i, row->chain != NULL);
        put_address(&columns[COLUMN_SINGLE], i, row->single, row->has_single);
    }
    forget_all(self);
    PyObject *rows = export_flat(columns, N_LEAVING, n);
    for (int i = 0; i < N_LEAVING; i++) buffer_free(&valid[i]);
    return rows;
}

static Py_ssize_t chains_length(PyObject *self) { return (Py_ssize_t)((Chains *)self)->n; }

/* ---- the Python type ------------------------------------------------------------------------------------------- */

static PyObject *chains_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *labels;
    unsigned long long seed[2];
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!(KK)", &PyTuple_Type, &labels, &seed[0], &seed[1])) return NULL;
    Chains *self = new_object(type);
    if (self == NULL) return NULL;
    self->seed[0] = seed[0];
    self->seed[1] = seed[1];
    if (read_labels(&self->labels, labels)) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void chains_dealloc(PyObject *object) {
    forget_all((Chains *)object);
    ranges_free(&((Chains *)object)->labels.ranges);
    free_object(object);
}

static PyMethodDef chains_methods[] = {
    {"add", chains_add, METH_VARARGS, add_doc},
    {"take", chains_take, METH_NOARGS, take_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot chains_slots[] = {
    {Py_tp_new, chains_new},
    {Py_tp_dealloc, chains_dealloc},
    {Py_tp_methods, chains_methods},
    {Py_sq_length, chains_length},
    {Py_tp_doc, "Chains(labels, seed): requests by who handed them on. One thread at a time."},
    {0, NULL},
};

static PyType_Spec chains_spec = {
    .name = "analyzer.tables._chains.Chains",
    .basicsize = sizeof(Chains),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = chains_slots,
};

static int module_exec(PyObject *module) {
    return add_type(module, "Chains", &chains_spec) || add_type(module, "Clients", &clients_spec) ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_chains", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__chains(void) { return PyModuleDef_Init(&module); }
