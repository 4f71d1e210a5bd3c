/* Rate limits decided request by request: what stands together on one Ingress, Kong's windows, Envoy's token bucket.
 *
 * policies.py says what is decided and keeps the same contract in plain Python. Requests come in the order in which they
 * began; requests of two keys never meet.
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
#include "../module.h"

#define MAX_POLICIES 64
#define MAX_PARTS 8
#define NEVER INT64_MIN
#define FREE UINT32_MAX
#define SLOTS 4 /* for each key that there is room for */

/* How a policy decides; the numbers are those of policies.py. */
enum { NGINX, FIXED, SLIDING, BUCKET, TYPES };

#define MONTH (-1) /* lengths of windows that are no number of seconds */
#define YEAR (-2)

typedef struct {
    int type, n;
    bool counts_rejected;
    int64_t connections;                    /* of NGINX: so many at once, 0 is any number */
    int64_t length[MAX_PARTS], limit[MAX_PARTS]; /* NGINX: rate and burst, in nginx's units; BUCKET: milliseconds, tokens */
    size_t at;                              /* of its values in a key's */
} Policy;

typedef struct {
    int64_t end;
    uint64_t key;
    uint32_t policy;
} Active;

typedef struct {
    PyObject_HEAD
    int n_policies;
    Policy policies[MAX_POLICIES];
    size_t per_key; /* key, time of its last request, values of the policies */
    int64_t memory; /* milliseconds after which a key is as if it had never come */
    uint64_t seed;
    int64_t *keys;
    uint32_t *slots;
    size_t n_keys, room; /* room is a power of two */
    Active *active; /* requests in progress: a heap, the first to end on top */
    size_t n_active, room_active;
} Policies;

static inline int64_t *key_at(const Policies *self, size_t place) { return self->keys + place * self->per_key; }

static inline size_t slot_of(const Policies *self, uint64_t key) {
    uint64_t product = (key ^ key >> 32) * self->seed;
    return (size_t)(product ^ product >> 32) & (self->room * SLOTS - 1);
}

/* The slot of a key, or the free one where it belongs. */
static size_t find_slot(const Policies *self, uint64_t key) {
    size_t slot = slot_of(self, key);
    while (self->slots[slot] != FREE && (uint64_t)key_at(self, self->slots[slot])[0] != key)
        slot = (slot + 1) & (self->room * SLOTS - 1);
    return slot;
}

/* ---- requests in progress --------------------------------------------------------------------------------------- */

static inline bool before(const Active *one, const Active *other) { return one->end < other->end; }

static void sift_down(Policies *self, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->n_active) return;
        if (child + 1 < self->n_active && before(&self->active[child + 1], &self->active[child])) child++;
        if (!before(&self->active[child], &self->active[at])) return;
        Active moved = self->active[at];
        self->active[at] = self->active[child];
        self->active[child] = moved;
        at = child;
    }
}

static bool push(Policies *self, Active added) {
    if (self->n_active == self->room_active) {
        size_t room = self->room_active ? self->room_active * 2 : 256;
        Active *active = realloc(self->active, room * sizeof *active);
        if (active == NULL) return false;
        self->active = active;
        self->room_active = room;
    }
    size_t at = self->n_active++;
    self->active[at] = added;
    while (at && before(&self->active[at], &self->active[(at - 1) / 2])) {
        Active moved = self->active[at];
        self->active[at] = self->active[(at - 1) / 2];
        self->active[at = (at - 1) / 2] = moved;
    }
    return true;
}

static inline int64_t *connections_of(const Policies *self, int64_t *key, uint32_t policy) {
    return &key[self->policies[policy].at + 2 * (size_t)self->policies[policy].n];
}

/* Who ends at the moment at which another begins is gone by then. */
static void end_until(Policies *self, int64_t now) {
    while (self->n_active && self->active[0].end <= now) {
        Active ended = self->active[0];
        self->active[0] = self->active[--self->n_active];
        sift_down(self, 0);
        uint32_t place = self->slots[find_slot(self, ended.key)];
        if (place != FREE) --*connections_of(self, key_at(self, place), ended.policy);
    }
}

/* ---- decisions -------------------------------------------------------------------------------------------------- */

static inline int64_t floor_to(int64_t value, int64_t unit) {
    int64_t rest = value % unit;
    return value - (rest < 0 ? rest + unit : rest);
}

/* Day of the first day of the civil month or year that a day lies in, both counted from 1 January 1970. */
static int64_t first_day(int64_t day, bool of_year) {
    /* In 400 years there are 146,097 days; years begin in March, so that a leap day ends one. */
    int64_t shifted = day + 719468, era = floor_to(shifted, 146097) / 146097, of_era = shifted - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_march = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_march + 2) / 153; /* 0 is March */
    if (!of_year) return day - (of_march - (153 * month + 2) / 5);
    if (month < 10) { /* March to December: the year began 59 or 60 days before March did */
        int64_t civil = year + era * 400;
        bool leap = civil % 4 == 0 && (civil % 100 != 0 || civil % 400 == 0);
        return day - of_march - (leap ? 60 : 59);
    }
    return day - (of_march - 306);
}

/* Second at which the window of a length begins that a second lies in. */
static int64_t window_of(int64_t second, int64_t length) {
    if (length > 0) return floor_to(second, length);
    return first_day(floor_to(second, 86400) / 86400, length == YEAR) * 86400;
}

/* Milliseconds that drain whatever a limit_req can hold. */
static inline int64_t drained_after(int64_t rate, int64_t burst) { return (burst + 1) * 1000000 / rate + 1; }

/* All limits of one Ingress: each limit_req is charged if every one lets the request pass; only then limit_conn is
 * asked, which charges nothing but requests that it lets pass. */
static bool nginx_passes(Policies *self, const Policy *policy, int64_t *key, int64_t begin, int64_t end, bool *failed) {
    int64_t *values = key + policy->at, excess[MAX_PARTS];
    for (int i = 0; i < policy->n; i++) {
        int64_t last = values[2 * i + 1];
        excess[i] = 0;
        if (last == NEVER) continue;
        int64_t ms = begin > last ? begin - last : 0, full = drained_after(policy->length[i], policy->limit[i]);
        if (ms > full) ms = full; /* so that the product fits */
        excess[i] = values[2 * i] - policy->length[i] * ms / 1000 + 1000;
        if (excess[i] < 0) excess[i] = 0;
        if (excess[i] > policy->limit[i] * 1000) return false;
    }
    for (int i = 0; i < policy->n; i++) {
        values[2 * i] = excess[i];
        values[2 * i + 1] = begin;
    }
    if (policy->connections == 0) return true;
    int64_t *connections = &values[2 * policy->n];
    if (*connections == NEVER) *connections = 0;
    if (*connections >= policy->connections) return false;
    if (end > begin) {
        ++*connections;
        if (!push(self, (Active){end, (uint64_t)key[0], (uint32_t)(policy - self->policies)})) *failed = true;
    }
    return true;
}

/* Kong's rate-limiting: every window counts by itself. */
static bool fixed_passes(const Policy *policy, int64_t *key, int64_t second) {
    int64_t *values = key + policy->at;
    bool passes = true;
    for (int i = 0; i < policy->n; i++) {
        int64_t window = window_of(second, policy->length[i]);
        if (values[2 * i] != window) {
            values[2 * i] = window;
            values[2 * i + 1] = 0;
        }
        if (values[2 * i + 1] >= policy->limit[i]) passes = false;
    }
    for (int i = 0; i < policy->n; i++) values[2 * i + 1] += passes || policy->counts_rejected;
    return passes;
}

/* Kong's rate-limiting-advanced: of the window before counts as much as a window that ends now has of it. */
static bool sliding_passes(const Policy *policy, int64_t *key, int64_t second) {
    int64_t *values = key + policy->at;
    bool passes = true;
    for (int i = 0; i < policy->n; i++) {
        int64_t length = policy->length[i], window = window_of(second, length), *value = &values[3 * i];
        if (value[0] != window) {
            value[2] = value[0] != NEVER && value[0] == window - length ? value[1] : 0;
            value[0] = window;
            value[1] = 0;
        }
        if ((value[1] + 1) * length + value[2] * (length - (second - window)) > policy->limit[i] * length) passes = false;
    }
    for (int i = 0; i < policy->n; i++) values[3 * i + 1] += passes || policy->counts_rejected;
    return passes;
}

/* Envoy's token bucket, which fills steadily. A token is worth as many units as the bucket takes milliseconds to fill. */
static bool bucket_passes(const Policy *policy, int64_t *key, int64_t now) {
    int64_t *values = key + policy->at, interval = policy->length[0], full = policy->limit[0] * interval;
    if (values[1] == NEVER) {
        values[0] = full;
    } else {
        int64_t passed = now - values[1];
        int64_t filled = passed >= interval ? full : passed > 0 ? passed * policy->limit[0] : 0;
        values[0] = values[0] + filled < full ? values[0] + filled : full;
    }
    if (values[1] < now) values[1] = now;
    if (values[0] < interval) return false;
    values[0] -= interval;
    return true;
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static void settle(Policies *self) {
    memset(self->slots, 0xFF, self->room * SLOTS * sizeof *self->slots);
    for (size_t i = 0; i < self->n_keys; i++) self->slots[find_slot(self, (uint64_t)key_at(self, i)[0])] = (uint32_t)i;
}

static bool is_idle(const Policies *self, int64_t *key) {
    for (int i = 0; i < self->n_policies; i++)
        if (self->policies[i].connections && *connections_of(self, key, (uint32_t)i) > 0) return false;
    return true;
}

/* Drop the keys that are as if they had never come, and those of a log before this one; make room for `more`. */
static bool make_room(Policies *self, size_t more, int64_t now) {
    size_t kept = 0;
    for (size_t i = 0; i < self->n_keys; i++) {
        int64_t *key = key_at(self, i);
        bool past = key[1] > now;
        if (past || (now - key[1] > self->memory && is_idle(self, key))) continue;
        memmove(key_at(self, kept++), key, self->per_key * sizeof *key);
    }
    bool dropped = kept < self->n_keys;
    self->n_keys = kept;
    size_t room = self->room ? self->room : 256;
    while ((kept + more) * 2 > room) room *= 2;
    if (room != self->room) {
        if (room >= FREE / 2) return false;
        int64_t *keys = realloc(self->keys, room * self->per_key * sizeof *keys);
        if (keys == NULL) return false;
        self->keys = keys;
        uint32_t *slots = realloc(self->slots, room * SLOTS * sizeof *slots);
        if (slots == NULL) return false;
        self->slots = slots;
        self->room = room;
    }
    settle(self);
    if (!dropped) return true;
    size_t left = 0;
    for (size_t i = 0; i < self->n_active; i++)
        if (self->slots[find_slot(self, self->active[i].key)] != FREE) self->active[left++] = self->active[i];
    self->n_active = left;
    for (size_t i = left / 2; i-- > 0;) sift_down(self, i);
    return true;
}

static uint64_t decide(Policies *self, uint64_t number, int64_t begin, int64_t end, bool *failed) {
    end_until(self, begin);
    size_t slot = find_slot(self, number);
    if (self->slots[slot] == FREE) {
        self->slots[slot] = (uint32_t)self->n_keys;
        int64_t *added = key_at(self, self->n_keys++);
        added[0] = (int64_t)number;
        for (size_t i = 1; i < self->per_key; i++) added[i] = NEVER;
    }
    int64_t *key = key_at(self, self->slots[slot]), second = floor_to(begin, 1000) / 1000;
    key[1] = begin;
    uint64_t rejected = 0;
    for (int i = 0; i < self->n_policies; i++) {
        const Policy *policy = &self->policies[i];
        bool passes = policy->type == NGINX     ? nginx_passes(self, policy, key, begin, end, failed)
                      : policy->type == FIXED   ? fixed_passes(policy, key, second)
                      : policy->type == SLIDING ? sliding_passes(policy, key, second)
                                                : bucket_passes(policy, key, begin);
        rejected |= (uint64_t)!passes << i;
    }
    return rejected;
}

/* ---- Python ----------------------------------------------------------------------------------------------------- */

static bool read_policy(Policies *self, PyObject *given) {
    Policy *policy = &self->policies[self->n_policies];
    PyObject *parts;
    long long connections;
    int counts;
    if (!PyArg_ParseTuple(given, "ipLO!", &policy->type, &counts, &connections, &PyTuple_Type, &parts)) return false;
    policy->counts_rejected = counts;
    policy->connections = connections;
    policy->n = (int)PyTuple_Size(parts);
    bool fits = policy->type >= 0 && policy->type < TYPES && policy->n <= MAX_PARTS && connections >= 0 &&
                (policy->n || connections) && (policy->type != BUCKET || policy->n == 1);
    for (int i = 0; fits && i < policy->n; i++) {
        long long length, limit;
        if (!PyArg_ParseTuple(PyTuple_GetItem(parts, i), "LL", &length, &limit)) return false;
        policy->length[i] = length;
        policy->limit[i] = limit;
        bool calendar = policy->type == FIXED && (length == MONTH || length == YEAR);
        fits = (length > 0 || calendar) && length <= 1000000000 && limit >= 0 && limit <= 1000000000;
        if (!fits) break;
        int64_t memory = calendar                  ? 367LL * 86400000
                         : policy->type == NGINX   ? drained_after(length, limit)
                         : policy->type == FIXED   ? length * 1000LL
                         : policy->type == SLIDING ? length * 2000LL
                                                   : length;
        if (memory > self->memory) self->memory = memory;
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "expected a policy whose numbers can be kept");
        return false;
    }
    policy->at = self->per_key;
    self->per_key += (size_t)policy->n * (policy->type == SLIDING ? 3 : 2) + (policy->type == NGINX && connections > 0);
    self->n_policies++;
    return true;
}

static PyObject *policies_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *given;
    unsigned long long seed;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!K", &PyTuple_Type, &given, &seed)) return NULL;
    Py_ssize_t n = PyTuple_Size(given);
    if (n < 1 || n > MAX_POLICIES) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 64 policies");
        return NULL;
    }
    Policies *self = new_object(type);
    if (self == NULL) return NULL;
    self->seed = seed | 1;
    self->per_key = 2;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!read_policy(self, PyTuple_GetItem(given, i))) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static void policies_dealloc(PyObject *object) {
    Policies *self = (Policies *)object;
    free(self->keys);
    free(self->slots);
    free(self->active);
    free_object(object);
}

PyDoc_STRVAR(decide_doc, "decide(stream, rows)\n--\n\n"
                         "Requests in the order in which they began: the Arrow stream capsule of a frame of so many rows\n"
                         "with the columns key (UInt64), begin and end (milliseconds, Int64). Return for each a UInt64 in\n"
                         "native order with a bit set for every policy that rejects it.");

enum { KEY, BEGIN, END };

typedef struct {
    Policies *policies;
    uint64_t *out;
    Py_ssize_t left;
} Deciding;

static bool decide_chunk(void *object, const struct ArrowArray *chunk) {
    Deciding *deciding = object;
    Policies *self = deciding->policies;
    const uint8_t *key = values_of(chunk, KEY, 8), *begin = values_of(chunk, BEGIN, 8), *end = values_of(chunk, END, 8);
    bool failed = chunk->length > deciding->left;
    for (int64_t row = 0; row < chunk->length && !failed; row++) {
        uint64_t number;
        int64_t begun, ended;
        memcpy(&number, key + 8 * row, 8);
        memcpy(&begun, begin + 8 * row, 8);
        memcpy(&ended, end + 8 * row, 8);
        if (self->n_keys + 1 >= self->room && !make_room(self, 1, begun)) return false;
        *deciding->out++ = decide(self, number, begun, ended, &failed);
        deciding->left--;
    }
    return !failed;
}

static PyObject *policies_decide(PyObject *object, PyObject *args) {
    static const char *const FORMATS[] = {"L", "l", "l"};
    PyObject *capsule;
    Py_ssize_t rows;
    if (!PyArg_ParseTuple(args, "On", &capsule, &rows)) return NULL;
    PyObject *out = PyBytes_FromStringAndSize(NULL, rows * (Py_ssize_t)sizeof(uint64_t));
    if (out == NULL) return NULL;
    Deciding deciding = {(Policies *)object, (uint64_t *)(void *)PyBytes_AsString(out), rows};
    PyObject *done = read_stream(capsule, FORMATS, 3, decide_chunk, &deciding);
    if (done == NULL || deciding.left) {
        if (done) PyErr_SetString(PyExc_ValueError, "expected as many rows as were announced");
        Py_XDECREF(done);
        Py_DECREF(out);
        return NULL;
    }
    Py_DECREF(done);
    return out;
}

PyDoc_STRVAR(state_doc, "state()\n--\n\n"
                        "What is remembered, as Int64 in native order: rows of a key (key, time, values of the policies)\n"
                        "and rows of requests in progress (end, key, policy).");

static PyObject *policies_state(PyObject *object, PyObject *unused) {
    Policies *self = (Policies *)object;
    (void)unused;
    PyObject *keys = PyBytes_FromStringAndSize((const char *)self->keys, (Py_ssize_t)(self->n_keys * self->per_key * 8));
    PyObject *active = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(self->n_active * 24));
    if (keys == NULL || active == NULL) {
        Py_XDECREF(keys);
        Py_XDECREF(active);
        return NULL;
    }
    char *out = PyBytes_AsString(active);
    for (size_t i = 0; i < self->n_active; i++, out += 24) {
        int64_t row[3] = {self->active[i].end, (int64_t)self->active[i].key, self->active[i].policy};
        memcpy(out, row, sizeof row);
    }
    return Py_BuildValue("NN", keys, active);
}

PyDoc_STRVAR(restore_doc, "restore(keys, active)\n--\n\n"
                          "Go on where another of the same policies was when `state` was asked of it.");

static PyObject *policies_restore(PyObject *object, PyObject *args) {
    Policies *self = (Policies *)object;
    const char *rows, *active;
    Py_ssize_t rows_size, active_size;
    if (!PyArg_ParseTuple(args, "y#y#", &rows, &rows_size, &active, &active_size)) return NULL;
    size_t size = self->per_key * 8, n_keys = (size_t)rows_size / size;
    if (self->n_keys || (size_t)rows_size % size || active_size % 24) {
        PyErr_SetString(PyExc_ValueError, "expected the state of one with the same policies, and none so far");
        return NULL;
    }
    if (!make_room(self, n_keys + 1, 0)) return PyErr_NoMemory();
    memcpy(self->keys, rows, (size_t)rows_size);
    self->n_keys = n_keys;
    settle(self);
    for (Py_ssize_t at = 0; at < active_size; at += 24) {
        int64_t row[3];
        memcpy(row, active + at, sizeof row);
        bool known = row[2] >= 0 && row[2] < self->n_policies && self->policies[row[2]].connections;
        if (!known || self->slots[find_slot(self, (uint64_t)row[1])] == FREE) {
            PyErr_SetString(PyExc_ValueError, "expected requests in progress of known keys");
            return NULL;
        }
        if (!push(self, (Active){row[0], (uint64_t)row[1], (uint32_t)row[2]})) return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyMethodDef policies_methods[] = {
    {"decide", policies_decide, METH_VARARGS, decide_doc},
    {"state", policies_state, METH_NOARGS, state_doc},
    {"restore", policies_restore, METH_VARARGS, restore_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot policies_slots[] = {
    {Py_tp_new, policies_new},
    {Py_tp_dealloc, policies_dealloc},
    {Py_tp_methods, policies_methods},
    {Py_tp_doc, "Policies(policies, seed): decides request by request. One thread at a time."},
    {0, NULL},
};

static PyType_Spec policies_spec = {
    .name = "analyzer.tables._policies.Policies",
    .basicsize = sizeof(Policies),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = policies_slots,
};

static int module_exec(PyObject *module) { return add_type(module, "Policies", &policies_spec); }

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_policies", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__policies(void) { return PyModuleDef_Init(&module); }
