/* Visitors: which address each has, as the server would log it once it trusts the proxies in front of it. clients.py says
 * what is found, and does the same with Polars. Include after said.h.
 */
#ifndef LOGSCAN_CLIENTS_H
#define LOGSCAN_CLIENTS_H

#include "said.h"
#include "../module.h"

typedef struct {
    PyObject_HEAD
    Labels labels;
} Clients;

typedef struct {
    const Labels *labels;
    unsigned present;
    Buffer addresses, valid;
    size_t n;
    int64_t nulls;
} Finding;

/* Which address the visitor has (forwarded.effective_client); false where there is none. */
static bool client_of(const Labels *labels, const Said *said, Address *client) {
    Chain chain;
    *client = said->address;
    bool alone = !said->has_peer && !said->has_proxied && said->text == NULL;
    if (alone && (!said->has_single || (said->has_address && same_address(said->single, said->address))))
        return said->has_address;
    chain.length = 0;
    if (said->text != NULL)
        take_apart(said->text, said->size, &chain);
    else if (said->has_single)
        take_single(said->single, &chain);
    Address hop = said->has_peer ? said->peer : said->address;
    bool has_hop = said->has_peer || said->has_address;
    bool heard = trusts(labels, has_hop, hop) || (!said->has_peer && said->has_proxied);
    bool proxied = heard && said->has_proxied;
    if (proxied) {
        hop = said->proxied;
        has_hop = true;
    }
    bool taken = false; /* from the chain: who sent it is trusted */
    if (!said->has_peer && !said->has_proxied && said->has_address)
        for (int place = 0; place < chain.length; place++)
            taken |= chain.entries[place].readable && same_address(chain.entries[place].address, said->address);
    int position = 0;
    if (taken || trusts(labels, has_hop, hop)) {
        for (int place = 1; place <= chain.length; place++) {
            if (!chain.entries[place - 1].readable) break;
            position = place;
            if (!trusts(labels, true, chain.entries[place - 1].address)) break;
            /* Who is trusted names one further to the left than is looked. */
            if (place == chain.length && chain.more) return said->has_address;
        }
    }
    if (position == 0 && ((heard && !proxied) || !has_hop)) return said->has_address;
    *client = position ? chain.entries[position - 1].address : hop;
    return true;
}

static bool find_chunk(void *object, const struct ArrowArray *chunk) {
    Finding *finding = object;
    Cells cells[N_COLUMNS];
    size_t begin = finding->n, end = begin + (size_t)chunk->length;
    if (!buffer_grow(&finding->addresses, begin * 16, end * 16 + 1) ||
        !buffer_grow(&finding->valid, (begin + 7) / 8, end / 8 + 1))
        return false;
    cells_of(cells, chunk, finding->present);
    finding->n = end;
    for (size_t i = begin; i < end; i++) {
        Address client;
        Said said = said_by(cells, (int64_t)(i - begin));
        bool known = client_of(finding->labels, &said, &client);
        memcpy(finding->addresses.data + 16 * i, &client, 16);
        uint8_t *bits = &finding->valid.data[i / 8];
        *bits = (uint8_t)((i % 8 ? *bits : 0) | known << i % 8);
        finding->nulls += !known;
    }
    return true;
}

PyDoc_STRVAR(find_doc, "find(stream, present)\n--\n\n"
                       "The visitors' addresses in a frame, as Arrow capsules. Its columns are those of `Chains.add`.");

static PyObject *clients_find(PyObject *self, PyObject *args) {
    PyObject *stream, *found = NULL;
    Finding finding = {.labels = &((Clients *)self)->labels};
    if (!PyArg_ParseTuple(args, "OI", &stream, &finding.present)) return NULL;
    PyObject *done = read_rows(stream, finding.present, find_chunk, &finding);
    if (done != NULL) {
        Py_DECREF(done);
        Flat column = {"address", "_plu128", &finding.addresses, NULL, &finding.valid, finding.nulls};
        found = buffer_grow(&finding.addresses, 0, 1) ? export_flat(&column, 1, finding.n) : PyErr_NoMemory();
    }
    buffer_free(&finding.addresses);
    buffer_free(&finding.valid);
    return found;
}

static PyObject *clients_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *labels;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!", &PyTuple_Type, &labels)) return NULL;
    Clients *self = new_object(type);
    if (self == NULL || read_labels(&self->labels, labels)) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void clients_dealloc(PyObject *object) {
    ranges_free(&((Clients *)object)->labels.ranges);
    free_object(object);
}

static PyMethodDef clients_methods[] = {
    {"find", clients_find, METH_VARARGS, find_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot clients_slots[] = {
    {Py_tp_new, clients_new},
    {Py_tp_dealloc, clients_dealloc},
    {Py_tp_methods, clients_methods},
    {Py_tp_doc, "Clients(labels): finds the visitors of requests."},
    {0, NULL},
};

static PyType_Spec clients_spec = {
    .name = "analyzer.tables._chains.Clients",
    .basicsize = sizeof(Clients),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = clients_slots,
};

#endif
