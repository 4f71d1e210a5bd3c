/* nginx's limit_req, replayed over the rows of a log: many limits at once, one pass.
 *
 * The integer algorithm is that of nginx src/http/modules/ngx_http_limit_req_module.c (ngx_http_limit_req_lookup).
 * limit_req.py says what is replayed and keeps the same contract in plain Python.
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
#include "address_hash.h"

#define MAX_LIMITS 64
#define FORGET_SLACK 60000 /* milliseconds that a line may come late without its key being forgotten too early */
#define NEW_LOG 60000      /* milliseconds back in time that begin another log: nginx's clock never goes back */
#define AHEAD 12           /* rows between asking for a key's memory and needing it */

typedef struct {
    int64_t rate;  /* thousandths of a request per second */
    int64_t burst; /* thousandths of a request */
} Limit;

typedef struct {
    int64_t last;
    int32_t excess;
    uint32_t rejected;
} State;

#define FREE INT64_MIN
#define NO_STATES UINT32_MAX

/* The requests of one moment wait until the next moment is seen, so that they can be spread over their second. Most
 * keys come and are forgotten without a burst: they never need states. */
typedef struct {
    uint64_t high, low; /* the address */
    int64_t time;       /* of the requests that wait; FREE where the slot is */
    uint32_t waiting;
    uint32_t block; /* its states, or NO_STATES: then nothing came before what waits */
} Key;

/* A block holds two states a limit: with all requests of a moment at once, and spread evenly over the second. */
typedef struct {
    PyObject_HEAD
    int n_limits;
    Limit limits[MAX_LIMITS];
    int64_t drain;   /* milliseconds after which every limit has forgotten a key */
    uint32_t unseen; /* so many requests at one moment pass every limit */
    bool whole_seconds;
    uint64_t seed[2];
    int64_t newest; /* since there was last made room: where another log begins it goes back */
    size_t used, size; /* of the hash table; size is a power of two */
    Key *keys;
    State *states;
    uint32_t n_blocks, room_blocks, free_block; /* free blocks are chained by the `rejected` of their first state */
    uint64_t *found; /* rejections of keys that were forgotten: limit, high, low, fewest, most */
    size_t n_found, room_found;
} Simulator;

static inline size_t slot_of(const Simulator *self, uint64_t high, uint64_t low, size_t size) {
    return (size_t)hash_address(self->seed, high, low) & (size - 1);
}

static inline State *states_of(const Simulator *self, const Key *key) {
    return self->states + (size_t)key->block * 2 * (size_t)self->n_limits;
}

/* One request at `now`; true where it is rejected. */
static inline bool limit_req(const Limit *limit, State *state, int64_t now) {
    int64_t ms = now > state->last ? now - state->last : 0;
    int64_t excess = state->excess - limit->rate * ms / 1000 + 1000;
    if (excess < 0) excess = 0;
    if (excess > limit->burst) {
        state->rejected++;
        return true;
    }
    state->excess = (int32_t)excess;
    if (ms) state->last = now;
    return false;
}

/* `count` requests at the same moment: the first sees the time that went by, the others only add up. */
static inline void replay_at_once(const Limit *limit, State *state, int64_t now, uint32_t count) {
    if (count == 0) return;
    if (limit_req(limit, state, now)) {
        state->rejected += count - 1;
        return;
    }
    uint32_t room = (uint32_t)((limit->burst - state->excess) / 1000), pass = count - 1 < room ? count - 1 : room;
    state->excess += (int32_t)(pass * 1000);
    state->rejected += count - 1 - pass;
}

/* A block of states for a key of which nothing is known but that a request passed at `last`. */
static bool new_block(Simulator *self, Key *key, int64_t last) {
    size_t per_key = 2 * (size_t)self->n_limits;
    if (self->free_block != NO_STATES) {
        key->block = self->free_block;
        self->free_block = states_of(self, key)->rejected;
    } else {
        if (self->n_blocks == self->room_blocks) {
            uint32_t room = self->room_blocks ? self->room_blocks * 2 : 256;
            State *states = realloc(self->states, room * per_key * sizeof *states);
            if (states == NULL) return false;
            self->states = states;
            self->room_blocks = room;
        }
        key->block = self->n_blocks++;
    }
    State *states = states_of(self, key);
    for (size_t i = 0; i < per_key; i++) states[i] = (State){.last = last};
    return true;
}

static bool note_rejections(Simulator *self, const Key *key) {
    State *states = states_of(self, key);
    for (int i = 0; i < self->n_limits; i++) {
        uint32_t most = states[2 * i].rejected, fewest = self->whole_seconds ? states[2 * i + 1].rejected : most;
        states[2 * i].rejected = states[2 * i + 1].rejected = 0;
        if (most == 0 && fewest == 0) continue;
        if (self->n_found == self->room_found) {
            size_t room = self->room_found ? self->room_found * 2 : 256;
            uint64_t *found = realloc(self->found, room * 5 * sizeof *found);
            if (found == NULL) return false;
            self->found = found;
            self->room_found = room;
        }
        uint64_t *row = self->found + 5 * self->n_found++;
        row[0] = (uint64_t)i;
        row[1] = key->high;
        row[2] = key->low;
        row[3] = fewest < most ? fewest : most;
        row[4] = fewest < most ? most : fewest;
    }
    return true;
}

/* Replay what waits. Afterwards the key has states. */
static bool replay(Simulator *self, Key *key) {
    int64_t now = key->time;
    uint32_t count = key->waiting, first = 0;
    key->waiting = 0;
    if (count == 0) return true;
    if (key->block == NO_STATES) {
        if (!new_block(self, key, now)) return false;
        first = 1; /* of a key that is not known the first request is let pass and adds nothing */
        if (count == 1) return true;
    }
    State *states = states_of(self, key);
    for (int i = 0; i < self->n_limits; i++) {
        const Limit *limit = &self->limits[i];
        replay_at_once(limit, &states[2 * i], now, count - first);
        if (!self->whole_seconds) continue;
        for (uint32_t n = first; n < count; n++)
            limit_req(limit, &states[2 * i + 1], now + (int64_t)n * 1000 / count);
    }
    return true;
}

/* Also what a log left behind that ends later than this one begins. */
static inline bool is_forgotten(const Simulator *self, const Key *key) {
    int64_t age = self->newest - key->time;
    return age >= self->drain + FORGET_SLACK || age < -NEW_LOG;
}

/* Let a key go that every limit has forgotten, keeping its rejections. */
static inline bool forget(Simulator *self, Key *key) {
    if (key->block == NO_STATES && key->waiting <= self->unseen) return true;
    if (!replay(self, key) || !note_rejections(self, key)) return false;
    states_of(self, key)->rejected = self->free_block;
    self->free_block = key->block;
    key->block = NO_STATES;
    return true;
}

/* Drop the keys that are forgotten; double the table where that leaves it more than a quarter full. */
static bool make_room(Simulator *self) {
    size_t old_size = self->size, kept = 0;
    for (size_t i = 0; i < old_size; i++) kept += self->keys[i].time != FREE && !is_forgotten(self, &self->keys[i]);
    size_t size = old_size ? old_size : 1024;
    while (kept * 4 > size) size *= 2;
    Key *keys = malloc(size * sizeof *keys);
    if (keys == NULL) return false;
    for (size_t i = 0; i < size; i++) keys[i].time = FREE;
    bool done = true;
    for (size_t i = 0; i < old_size && done; i++) {
        Key *key = &self->keys[i];
        if (key->time == FREE) continue;
        if (is_forgotten(self, key)) {
            done = forget(self, key);
            continue;
        }
        size_t slot = slot_of(self, key->high, key->low, size);
        while (keys[slot].time != FREE) slot = (slot + 1) & (size - 1);
        keys[slot] = *key;
    }
    free(self->keys);
    self->keys = keys;
    self->size = size;
    self->used = kept;
    self->newest = INT64_MIN / 2;
    return done;
}

static inline bool arrive(Simulator *self, uint64_t high, uint64_t low, int64_t time) {
    if (self->used * 2 >= self->size && !make_room(self)) return false;
    if (time > self->newest) self->newest = time;
    size_t slot = slot_of(self, high, low, self->size);
    Key *key = &self->keys[slot];
    while (key->time != FREE && (key->high != high || key->low != low)) {
        slot = (slot + 1) & (self->size - 1);
        key = &self->keys[slot];
    }
    if (key->time == FREE) {
        *key = (Key){.high = high, .low = low, .time = time, .waiting = 1, .block = NO_STATES};
        self->used++;
        return true;
    }
    if (time <= key->time && key->time - time <= NEW_LOG) { /* to nginx no time went by, even if the log has the lines in another order */
        key->waiting++;
        return true;
    }
    /* Spread over its second, the last request may be 999 ms younger than the key. */
    bool drained = time < key->time || time - key->time >= self->drain + 1000;
    bool done = drained ? forget(self, key) : replay(self, key);
    key->time = time;
    key->waiting = 1;
    return done;
}

/* ---- Python ----------------------------------------------------------------------------------------------------- */

static PyObject *simulator_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *limits;
    int whole_seconds;
    unsigned long long seed[2];
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!p(KK)", &PyTuple_Type, &limits, &whole_seconds, &seed[0], &seed[1])) return NULL;
    Py_ssize_t n = PyTuple_Size(limits);
    if (n < 1 || n > MAX_LIMITS) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 64 limits");
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Simulator *self = (Simulator *)alloc(type, 0);
    if (self == NULL) return NULL;
    self->n_limits = (int)n;
    self->whole_seconds = whole_seconds;
    self->seed[0] = seed[0];
    self->seed[1] = seed[1];
    self->newest = INT64_MIN / 2;
    self->free_block = NO_STATES;
    self->unseen = UINT32_MAX;
    for (Py_ssize_t i = 0; i < n; i++) {
        long rate, burst;
        if (!PyArg_ParseTuple(PyTuple_GetItem(limits, i), "ll", &rate, &burst) || rate < 1 || rate > 1000000000 ||
            burst < 0 || burst > 1000000) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "expected a rate of at least 1 and a burst of at most 1000000");
            Py_DECREF(self);
            return NULL;
        }
        self->limits[i] = (Limit){.rate = rate, .burst = (int64_t)burst * 1000};
        int64_t drain = (self->limits[i].burst + 1000) * 1000 / rate + 1;
        if (drain > self->drain) self->drain = drain;
        if (self->unseen > (uint32_t)burst + 1) self->unseen = (uint32_t)burst + 1;
    }
    return (PyObject *)self;
}

static void simulator_dealloc(PyObject *object) {
    Simulator *self = (Simulator *)object;
    free(self->keys);
    free(self->states);
    free(self->found);
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(add_doc, "add(stream)\n--\n\n"
                      "Requests in order of arrival: the Arrow stream capsule of a frame with the columns address\n"
                      "(UInt128) and time (milliseconds), neither with nulls.");

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Simulator *self = object;
    const uint8_t *address = values_of(chunk, 0, 16), *time = values_of(chunk, 1, 8);
    for (int64_t i = 0; i < chunk->length; i++) {
        uint64_t words[2]; /* little-endian: the low half first */
        int64_t moment;
        if (i + AHEAD < chunk->length && self->size) {
            memcpy(words, address + 16 * (i + AHEAD), 16);
            __builtin_prefetch(&self->keys[slot_of(self, words[1], words[0], self->size)]);
        }
        memcpy(words, address + 16 * i, 16);
        memcpy(&moment, time + 8 * i, 8);
        if (!arrive(self, words[1], words[0], moment)) return false;
    }
    return true;
}

static PyObject *simulator_add(PyObject *self, PyObject *capsule) {
    static const char *const FORMATS[] = {"_plu128", "tsm:"};
    return read_stream(capsule, FORMATS, 2, add_chunk, self);
}

PyDoc_STRVAR(finish_doc, "finish()\n--\n\n"
                         "Replay what waits and return all rejections as UInt64 rows in native order, several for an\n"
                         "address possible: limit, high and low half of the address, fewest, most.");

static PyObject *simulator_finish(PyObject *object, PyObject *unused) {
    Simulator *self = (Simulator *)object;
    (void)unused;
    for (size_t i = 0; i < self->size; i++) {
        if (self->keys[i].time != FREE && (!replay(self, &self->keys[i]) || !note_rejections(self, &self->keys[i])))
            return PyErr_NoMemory();
    }
    PyObject *rows = PyBytes_FromStringAndSize((const char *)self->found, (Py_ssize_t)(self->n_found * 40));
    self->n_found = 0;
    return rows;
}

static PyMethodDef simulator_methods[] = {
    {"add", simulator_add, METH_O, add_doc},
    {"finish", simulator_finish, METH_NOARGS, finish_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot simulator_slots[] = {
    {Py_tp_new, simulator_new},
    {Py_tp_dealloc, simulator_dealloc},
    {Py_tp_methods, simulator_methods},
    {Py_tp_doc, "Simulator(limits, whole_seconds, seed): limit_req over one log. One thread at a time."},
    {0, NULL},
};

static PyType_Spec simulator_spec = {
    .name = "analyzer.tables._limit_req.Simulator",
    .basicsize = sizeof(Simulator),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = simulator_slots,
};

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromSpec(&simulator_spec);
    if (type == NULL) return -1;
    if (PyModule_AddObject(module, "Simulator", type) < 0) {
        Py_DECREF(type);
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_limit_req", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__limit_req(void) { return PyModuleDef_Init(&module); }
