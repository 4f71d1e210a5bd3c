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
#include "../module.h"

#define MAX_LIMITS 128
#define FORGET_SLACK 60000 /* milliseconds that a line may come late without its key being forgotten too early */
#define NEW_LOG 60000      /* milliseconds back in time that begin another log: nginx's clock never goes back */
#define BATCH 128          /* rows whose memory is asked for before it is needed */
#define LANES 8            /* limits that are replayed side by side: the compiler makes vectors of them */
#define LONGEST (1 << 29)  /* milliseconds after which every limit must have forgotten, so that 32 bits hold all times */

typedef struct {
    double rate[LANES];   /* thousandths of a request per millisecond */
    int32_t full[LANES];  /* milliseconds that drain whatever the limit can hold */
    int32_t burst[LANES]; /* thousandths of a request */
    int32_t charge[LANES]; /* at most, for a request that passes: nginx rounds what has drained down before it */
    int64_t per_request;   /* milliseconds in which all of them forget one request */
    uint32_t unseen;       /* so many requests at one moment pass all of them */
    uint32_t calm;         /* where no moment has more than so many, what they charge is that of the last one alone */
} Limits;

typedef struct {
    int32_t excess[LANES];
    int32_t last[LANES]; /* milliseconds after the time of the key, mostly negative */
    uint32_t rejected[LANES];
} States;

#define NO_BLOCK UINT32_MAX
#define NO_ADDRESS UINT32_MAX
#define N_FOUND 4     /* numbers that say what was rejected */
#define DISORDER 1000 /* milliseconds behind a request logged before, from which on one counts as out of order */

/* The requests of one moment wait until the next moment is seen, so that those of a second are taken together. Most
 * keys come and are forgotten without a burst: they never need states. */
typedef struct {
    int64_t time;    /* of the requests that wait */
    uint32_t number; /* of the address */
    uint32_t zone;
    uint32_t waiting;
    uint32_t block; /* its states, or NO_BLOCK: then nothing came before what waits */
} Key;

/* Groups of limits that a key has come nowhere near have no states yet: all that they charge is of the last moment. */
typedef struct {
    uint32_t live;   /* a bit for each group that has states */
    uint32_t before; /* requests of the second before the key's, which may be charged still; exact times tell that none is */
    int32_t last;    /* when that was over, as in States */
} Past;

#define FREE UINT32_MAX
#define SLOTS 4 /* for each key that there is room for: few keys meet in one */

/* A block holds the states of a key: for each group of limits one or, where times are whole seconds, those of the most
 * and of the fewest rejections. */
typedef struct {
    PyObject_HEAD
    int n_limits, n_groups;
    uint8_t ladder[MAX_LIMITS]; /* of limits that are only looked up: one after the other, the strictest first; or 0 */
    size_t per_group, per_block; /* states */
    Limits limits[MAX_LIMITS / LANES];
    int64_t drain;       /* milliseconds after which every limit has forgotten a key */
    int64_t per_request; /* as of a group, of all limits */
    uint32_t unseen;
    int64_t late;        /* milliseconds by which a request of a moment may be younger than the moment */
    uint64_t seed; /* random: who chooses addresses chooses numbers, but not those that meet in a slot */
    int64_t newest; /* since there was last made room: where another log begins it goes back */
    int64_t latest; /* of the log that is read now */
    size_t n_keys, room; /* room is a power of two */
    Key *keys;
    uint32_t *slots; /* the number of a key in the low bits, bits of its hash above them; or FREE */
    States *states;
    Past *pasts; /* of each block */
    uint32_t n_blocks, room_blocks, free_block; /* free blocks are chained by the first `rejected` */
    uint64_t *found; /* rejections of keys that were forgotten: limit, number, most, fewest */
    size_t n_found, room_found;
} Simulator;

static inline States *states_of(const Simulator *self, const Key *key) {
    return self->states + key->block * self->per_block;
}

static inline bool is_live(const Simulator *self, const Key *key, int group) { return self->pasts[key->block].live >> group & 1; }

/* The states of a key that never came: all has drained. */
#define NEVER_8(value) value, value, value, value, value, value, value, value
static const States NEVER_MET = {.last = {NEVER_8(-LONGEST)}};

/* A request at `now`. The time that went by drains rate * ms / 1000, rounded down: half a unit of the quotient is added
 * before, because a product of doubles may come out a little below. */
static inline void limit_req(const Limits *restrict limits, States *restrict states, int32_t now) {
#pragma GCC unroll 1 /* unrolled it would not become vectors */
    for (int i = 0; i < LANES; i++) {
        int32_t ms = now > states->last[i] ? now - states->last[i] : 0;
        int32_t span = ms < limits->full[i] ? ms : limits->full[i];
        int32_t drained = (int32_t)(span * limits->rate[i] + 0.0005);
        int32_t excess = states->excess[i] + 1000 - drained;
        if (excess < 0) excess = 0;
        bool passes = excess <= limits->burst[i];
        states->excess[i] = passes ? excess : states->excess[i];
        states->last[i] += passes ? ms : 0;
        states->rejected[i] += !passes;
    }
}

/* `count` more requests at the moment of the last one: they only add up. Where that was rejected there is no room. */
static inline void limit_more(const Limits *restrict limits, States *restrict states, uint32_t count) {
    int32_t most = count < INT32_MAX ? (int32_t)count : INT32_MAX;
#pragma GCC unroll 1
    for (int i = 0; i < LANES; i++) {
        int32_t room = (int32_t)((limits->burst[i] - states->excess[i]) * 0.001 + 0.0005);
        int32_t pass = most < room ? most : room;
        states->excess[i] += pass * 1000;
        states->rejected[i] += count - (uint32_t)pass;
    }
}

/* What is charged at the beginning of a second. */
static inline int32_t held_at_begin(const Limits *restrict limits, const States *restrict states, int i) {
    int32_t ms = states->last[i] < 0 ? -states->last[i] : 0;
    int32_t span = ms < limits->full[i] ? ms : limits->full[i];
    int32_t held = states->excess[i] - (int32_t)(span * limits->rate[i] + 0.0005);
    return held > 0 ? held : 0;
}

/* `count` requests somewhere in the second that begins at 0, of which nothing more is known. Here `excess` is all that
 * is charged at the end of a second, `last`. See limit_req.py for why no order rejects more or fewer. */
static inline void limit_second(const Limits *restrict limits, States *restrict most, States *restrict fewest,
                                uint32_t count) {
    int32_t some = count < INT32_MAX ? (int32_t)count : INT32_MAX;
#pragma GCC unroll 1
    for (int i = 0; i < LANES; i++) {
        int32_t rate = (int32_t)(limits->rate[i] * 1000 + 0.5), most_held = limits->burst[i] + 1000;
        int32_t held = held_at_begin(limits, most, i), charge = limits->charge[i];
        int32_t room = (int32_t)((most_held - held) * (1.0 / charge) + 0.0005);
        int32_t pass = some < room ? some : room;
        most->excess[i] = held + pass * charge - (held < rate ? held : rate);
        most->rejected[i] += count - (uint32_t)pass;

        held = held_at_begin(limits, fewest, i);
        int32_t drained = (int32_t)(999 * limits->rate[i] + 0.0005); /* by the last millisecond */
        room = (int32_t)((most_held + drained - held) * 0.001 + 0.0005);
        pass = some < room ? some : room;
        int32_t left = held - rate + pass * 1000;
        fewest->excess[i] = left > 0 ? left : 0;
        fewest->rejected[i] += count - (uint32_t)pass;
        most->last[i] = fewest->last[i] = 1000;
    }
}

/* A block of states for a key that nothing came before, none of them live. */
static bool new_block(Simulator *self, Key *key) {
    if (self->free_block != NO_BLOCK) {
        key->block = self->free_block;
        self->free_block = states_of(self, key)->rejected[0];
    } else {
        if (self->n_blocks == self->room_blocks) {
            uint32_t room = self->room_blocks ? self->room_blocks * 2 : 256;
            States *states = realloc(self->states, room * self->per_block * sizeof *states);
            if (states == NULL) return false;
            self->states = states;
            Past *pasts = realloc(self->pasts, room * sizeof *pasts);
            if (pasts == NULL) return false;
            self->pasts = pasts;
            self->room_blocks = room;
        }
        key->block = self->n_blocks++;
    }
    self->pasts[key->block] = (Past){.last = -LONGEST};
    return true;
}

static void release_block(Simulator *self, Key *key) {
    states_of(self, key)->rejected[0] = self->free_block;
    self->free_block = key->block;
    key->block = NO_BLOCK;
}

static bool note_rejections(Simulator *self, const Key *key) {
    const States *states = states_of(self, key);
    uint8_t noted[2] = {0, 0}; /* of a ladder the laxest limit that rejects says it for all that are stricter */
    for (int i = self->n_limits; i-- > 0;) {
        if (!is_live(self, key, i / LANES)) continue;
        const States *group = states + (size_t)(i / LANES) * self->per_group;
        uint32_t most = group->rejected[i % LANES], fewest = group[self->per_group - 1].rejected[i % LANES];
        uint8_t ladder = self->ladder[i];
        if ((most == 0 || (ladder && ladder == noted[0])) && (fewest == 0 || (ladder && ladder == noted[1]))) continue;
        if (most) noted[0] = ladder;
        if (fewest) noted[1] = ladder;
        if (self->n_found == self->room_found) {
            size_t room = self->room_found ? self->room_found * 2 : 256;
            uint64_t *found = realloc(self->found, room * N_FOUND * sizeof *found);
            if (found == NULL) return false;
            self->found = found;
            self->room_found = room;
        }
        uint64_t *row = self->found + N_FOUND * self->n_found++;
        row[0] = (uint64_t)i;
        row[1] = key->number;
        row[2] = most;
        row[3] = fewest;
    }
    return true;
}

/* Whether a group that has no states can still do without, when the next request comes so much later than what waits: all
 * that is charged has drained by then; or, in whole seconds, no second has more than drains in one, so that after each is
 * charged what came in it and nothing else, and there is room for twice as much. */
static inline bool leaves_calm(const Simulator *self, const Limits *limits, uint32_t before, uint32_t count, int64_t passed) {
    if (count <= limits->calm) return true;
    return (uint64_t)count + before <= limits->unseen && passed >= count * limits->per_request + self->late;
}

/* The time of a key advances by so much. */
static inline void shift(States *states, size_t n, int32_t by) {
    for (; n-- > 0; states++) {
        for (int i = 0; i < LANES; i++) {
            int32_t last = states->last[i] - by;
            states->last[i] = last < -LONGEST ? -LONGEST : last;
        }
    }
}

/* Give a group its states as they were before what waits: in whole seconds a request may have come at the end of its
 * second, and is charged still; else all has drained. */
static void enliven(Simulator *self, const Key *key, int group) {
    Past *past = &self->pasts[key->block];
    States *states = states_of(self, key) + (size_t)group * self->per_group;
    past->live |= 1U << group;
    for (size_t n = 0; n < self->per_group; n++) states[n] = NEVER_MET;
    for (int i = 0; self->per_group == 2 && i < LANES; i++) {
        states[0].excess[i] = (int32_t)past->before * self->limits[group].charge[i];
        states[0].last[i] = past->last;
    }
}

/* Replay what waits; the next request comes so much later. Afterwards the key has a block. */
static bool replay(Simulator *self, Key *key, int64_t passed) {
    if (key->block == NO_BLOCK && !new_block(self, key)) return false;
    States *states = states_of(self, key);
    Past *past = &self->pasts[key->block];
    int32_t by = passed < LONGEST ? (int32_t)passed : LONGEST;
    for (int group = 0; group < self->n_groups; group++, states += self->per_group) {
        const Limits *limits = &self->limits[group];
        if (!is_live(self, key, group)) {
            if (leaves_calm(self, limits, past->before, key->waiting, passed)) continue;
            enliven(self, key, group);
        }
        if (self->per_group == 2) {
            limit_second(limits, &states[0], &states[1], key->waiting);
        } else {
            limit_req(limits, &states[0], 0);
            if (key->waiting > 1) limit_more(limits, &states[0], key->waiting - 1);
        }
        shift(states, self->per_group, by);
    }
    past->before = self->per_group == 2 ? key->waiting : 0;
    past->last = 1000 - by;
    return true;
}

/* Let a key go that every limit has forgotten, keeping its rejections. */
static inline bool forget(Simulator *self, Key *key) {
    if (key->block == NO_BLOCK && key->waiting <= self->unseen) return true;
    if (!replay(self, key, INT64_MAX) || !note_rejections(self, key)) return false;
    release_block(self, key);
    return true;
}

/* Also what a log left behind that ends later than this one begins. */
static inline bool is_forgotten(const Simulator *self, const Key *key) {
    int64_t age = self->newest - key->time;
    return age >= self->drain + FORGET_SLACK || age < -NEW_LOG;
}

static inline uint64_t hash_of(const Simulator *self, uint32_t number, uint32_t zone) {
    uint64_t product = (number | (uint64_t)zone << 32) * self->seed;
    return product ^ product >> 32;
}

static inline size_t slot_of(const Simulator *self, uint64_t hash) {
    return (size_t)hash & (self->room * SLOTS - 1);
}

/* What stands in a slot above the number of its key. */
static inline uint32_t mark_of(const Simulator *self, uint64_t hash) {
    return (uint32_t)(hash >> 32) & ~(uint32_t)(self->room - 1);
}

static void find_slot(Simulator *self, size_t key) {
    uint64_t hash = hash_of(self, self->keys[key].number, self->keys[key].zone);
    size_t slot = slot_of(self, hash);
    while (self->slots[slot] != FREE) slot = (slot + 1) & (self->room * SLOTS - 1);
    self->slots[slot] = mark_of(self, hash) | (uint32_t)key;
}

/* Drop the keys that are forgotten; double the room until `more` of them leave it no more than half full. */
static bool make_room(Simulator *self, size_t more) {
    size_t kept = 0;
    for (size_t i = 0; i < self->n_keys; i++) {
        Key *key = &self->keys[i];
        if (!is_forgotten(self, key))
            self->keys[kept++] = *key;
        else if (!forget(self, key))
            return false;
    }
    self->n_keys = kept;
    self->newest = INT64_MIN / 2;
    size_t room = self->room ? self->room : 512;
    while ((kept + more) * 2 > room) room *= 2;
    if (room != self->room) {
        Key *keys = room < FREE ? malloc(room * sizeof *keys) : NULL;
        uint32_t *slots = malloc(room * SLOTS * sizeof *slots);
        if (keys == NULL || slots == NULL) {
            free(keys);
            free(slots);
            return false;
        }
        if (kept) memcpy(keys, self->keys, kept * sizeof *keys);
        free(self->keys);
        free(self->slots);
        self->keys = keys;
        self->slots = slots;
        self->room = room;
    }
    memset(self->slots, 0xFF, room * SLOTS * sizeof *self->slots);
    for (size_t i = 0; i < kept; i++) find_slot(self, i);
    return true;
}

static inline bool arrive(Simulator *self, uint64_t hash, uint32_t number, uint32_t zone, int64_t time) {
    if (time > self->newest) self->newest = time;
    uint32_t numbers = (uint32_t)(self->room - 1), mark = mark_of(self, hash), found;
    size_t slot = slot_of(self, hash);
    Key *key;
    for (;; slot = (slot + 1) & (self->room * SLOTS - 1)) {
        found = self->slots[slot];
        if (found == FREE) {
            self->slots[slot] = mark | (uint32_t)self->n_keys;
            self->keys[self->n_keys++] = (Key){
                .time = time, .number = number, .zone = zone, .waiting = 1, .block = NO_BLOCK};
            return true;
        }
        key = &self->keys[found & numbers];
        if ((found & ~numbers) == mark && key->number == number && key->zone == zone) break;
    }
    int64_t passed = time - key->time;
    if (passed <= 0 && passed >= -NEW_LOG) { /* to nginx no time went by, even if the log has the lines in another order */
        key->waiting++;
        return true;
    }
    bool few = key->block == NO_BLOCK && key->waiting <= self->unseen, done = true;
    if (few && passed >= key->waiting * self->per_request + self->late) {
        /* drained: the key is as if it had never come */
    } else if (passed < 0 || passed >= self->drain + self->late) {
        done = forget(self, key);
    } else {
        done = replay(self, key, passed);
    }
    key->time = time;
    key->waiting = 1;
    return done;
}

/* ---- Python ----------------------------------------------------------------------------------------------------- */

static PyObject *simulator_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *limits;
    int whole_seconds;
    unsigned long long seed;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!pK", &PyTuple_Type, &limits, &whole_seconds, &seed)) return NULL;
    Py_ssize_t n = PyTuple_Size(limits);
    if (n < 1 || n > MAX_LIMITS) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 128 limits");
        return NULL;
    }
    Simulator *self = new_object(type);
    if (self == NULL) return NULL;
    self->n_limits = (int)n;
    self->n_groups = (self->n_limits + LANES - 1) / LANES;
    self->per_group = whole_seconds ? 2 : 1;
    self->per_block = self->per_group * (size_t)self->n_groups;
    self->late = whole_seconds ? 1000 : 0;
    self->seed = seed | 1;
    self->newest = self->latest = INT64_MIN / 2;
    self->free_block = NO_BLOCK;
    self->unseen = UINT32_MAX;
    for (Py_ssize_t i = 0; i < n; i++) {
        long rate, burst, ladder = 0;
        if (!PyArg_ParseTuple(PyTuple_GetItem(limits, i), "ll|l", &rate, &burst, &ladder) || rate < 1 ||
            rate > 1000000000 || burst < 0 || burst > 1000000 || ladder < 0 || ladder > MAX_LIMITS) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "expected a rate of at least 1 and a burst of at most 1000000");
            Py_DECREF(self);
            return NULL;
        }
        int32_t charge = whole_seconds && rate % 1000 ? 1001 : 1000, unseen = (int32_t)((burst + 1) * 1000 / charge);
        int64_t full = ((int64_t)burst + 1) * 1000000 / rate + 1, per_request = (charge * 1000 - 1 + rate) / rate;
        if (full > LONGEST) {
            PyErr_SetString(PyExc_ValueError, "expected a limit that forgets within six days");
            Py_DECREF(self);
            return NULL;
        }
        Limits *limits = &self->limits[i / LANES];
        limits->rate[i % LANES] = (double)rate / 1000;
        limits->full[i % LANES] = (int32_t)full;
        limits->burst[i % LANES] = (int32_t)burst * 1000;
        limits->charge[i % LANES] = charge;
        self->ladder[i] = (uint8_t)ladder;
        if (full > self->drain) self->drain = full;
        int32_t steady = (int32_t)(rate < (burst + 1) * 500 ? rate : (burst + 1) * 500) / charge;
        uint32_t calm = whole_seconds ? (uint32_t)steady : 0;
        if (i % LANES == 0 || limits->per_request < per_request) limits->per_request = per_request;
        if (i % LANES == 0 || limits->unseen > (uint32_t)unseen) limits->unseen = (uint32_t)unseen;
        if (i % LANES == 0 || limits->calm > calm) limits->calm = calm;
        if (self->per_request < limits->per_request) self->per_request = limits->per_request;
        if (self->unseen > limits->unseen) self->unseen = limits->unseen;
    }
    return (PyObject *)self;
}

static void simulator_dealloc(PyObject *object) {
    Simulator *self = (Simulator *)object;
    free(self->keys);
    free(self->slots);
    free(self->states);
    free(self->pasts);
    free(self->found);
    free_object(object);
}

PyDoc_STRVAR(add_doc, "add(stream)\n--\n\n"
                      "Requests in the order of the log: the Arrow stream capsule of a frame with the columns time\n"
                      "(milliseconds), number (UInt32, of the address, 2**32 - 1 where there is none), zone (UInt32) and\n"
                      "outcome (UInt8). Return how many of them met the limits, and how many of these stood behind a\n"
                      "later one.");

enum { TIME, NUMBER, ZONE, OUTCOME };
#define UNPARSED_REQUEST 2 /* columns.Outcome: nginx never came as far as a limit */

typedef struct {
    Simulator *simulator;
    uint64_t arrivals, disordered;
} Arriving;

static bool add_chunk(void *object, const struct ArrowArray *chunk) {
    Arriving *arriving = object;
    Simulator *self = arriving->simulator;
    const uint8_t *time = values_of(chunk, TIME, 8), *number = values_of(chunk, NUMBER, 4),
                  *zone = values_of(chunk, ZONE, 4), *outcome = values_of(chunk, OUTCOME, 1);
    const Validity has_time = validity_of(chunk, TIME);
    for (int64_t row = 0; row < chunk->length;) {
        if (self->n_keys + BATCH >= self->room && !make_room(self, 0)) return false; /* the last number could look FREE */
        uint64_t hashes[BATCH];
        uint32_t numbers[BATCH], zones[BATCH];
        int64_t moments[BATCH];
        int n = 0;
        for (; n < BATCH && row < chunk->length; row++) {
            memcpy(&numbers[n], number + 4 * row, 4);
            if (numbers[n] == NO_ADDRESS || outcome[row] == UNPARSED_REQUEST || !is_valid(has_time, row)) continue;
            memcpy(&moments[n], time + 8 * row, 8);
            memcpy(&zones[n], zone + 4 * row, 4);
            if (moments[n] >= self->latest - DISORDER) {
                if (moments[n] > self->latest) self->latest = moments[n];
            } else {
                arriving->disordered++;
                if (moments[n] < self->latest - NEW_LOG) self->latest = moments[n];
            }
            hashes[n] = hash_of(self, numbers[n], zones[n]);
            __builtin_prefetch(&self->slots[slot_of(self, hashes[n++])]);
        }
        for (int i = 0; i < n; i++)
            __builtin_prefetch(&self->keys[self->slots[slot_of(self, hashes[i])] & (self->room - 1)]);
        for (int i = 0; i < n; i++)
            if (!arrive(self, hashes[i], numbers[i], zones[i], moments[i])) return false;
        arriving->arrivals += (uint64_t)n;
    }
    return true;
}

static PyObject *simulator_add(PyObject *object, PyObject *capsule) {
    static const char *const FORMATS[] = {"tsm:", "I", "I", "C"};
    Arriving arriving = {.simulator = (Simulator *)object};
    PyObject *done = read_stream(capsule, FORMATS, 4, add_chunk, &arriving);
    if (done == NULL) return NULL;
    Py_DECREF(done);
    return Py_BuildValue("KK", arriving.arrivals, arriving.disordered);
}

static PyObject *take_found(Simulator *self) {
    PyObject *rows = PyBytes_FromStringAndSize((const char *)self->found, (Py_ssize_t)(self->n_found * N_FOUND * sizeof *self->found));
    self->n_found = 0;
    return rows;
}

PyDoc_STRVAR(finish_doc, "finish()\n--\n\n"
                         "Replay what waits and return all rejections since the last time as UInt64 rows in native\n"
                         "order, several for an address possible: limit, number of the address, the most that are\n"
                         "rejected, and the fewest. The simulator is as new.");

static PyObject *simulator_finish(PyObject *object, PyObject *unused) {
    Simulator *self = (Simulator *)object;
    (void)unused;
    for (size_t i = 0; i < self->n_keys; i++)
        if (!forget(self, &self->keys[i])) return PyErr_NoMemory();
    self->n_keys = 0;
    self->newest = self->latest = INT64_MIN / 2;
    if (self->room) memset(self->slots, 0xFF, self->room * SLOTS * sizeof *self->slots);
    return take_found(self);
}

PyDoc_STRVAR(take_doc, "take()\n--\n\n"
                       "The rejections since the last time, as `finish` returns them; what waits goes on waiting.");

static PyObject *simulator_take(PyObject *object, PyObject *unused) {
    Simulator *self = (Simulator *)object;
    (void)unused;
    for (size_t i = 0; i < self->n_keys; i++) {
        if (self->keys[i].block == NO_BLOCK) continue;
        if (!note_rejections(self, &self->keys[i])) return PyErr_NoMemory();
        States *states = states_of(self, &self->keys[i]);
        for (size_t n = 0; n < self->per_block; n++)
            if (is_live(self, &self->keys[i], (int)(n / self->per_group)))
                memset(states[n].rejected, 0, sizeof states[n].rejected);
    }
    return take_found(self);
}

#define N_KEY 5 /* numbers that say what a key is: number, zone, time, waiting, and the place of its states or -1 */

static inline int32_t *state_value(const Simulator *self, States *states, size_t n, bool last) {
    size_t limit = n / self->per_group, lane = limit % LANES;
    States *found = &states[limit / LANES * self->per_group + n % self->per_group];
    return last ? &found->last[lane] : &found->excess[lane];
}

PyDoc_STRVAR(state_doc, "state()\n--\n\n"
                        "What the simulator remembers but for rejections, as Int64 in native order: rows of a key\n"
                        "(number, zone, time, waiting, place of its states or -1), rows of states (for each limit of\n"
                        "the most rejections, then of the fewest where times are whole seconds: excess, and when),\n"
                        "and the latest time.");

static PyObject *simulator_state(PyObject *object, PyObject *unused) {
    Simulator *self = (Simulator *)object;
    (void)unused;
    size_t per_key = (size_t)self->n_limits * self->per_group, n_states = 0;
    for (size_t i = 0; i < self->n_keys; i++) n_states += self->keys[i].block != NO_BLOCK;
    PyObject *keys = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(self->n_keys * N_KEY * sizeof(int64_t)));
    PyObject *states = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n_states * per_key * 2 * sizeof(int64_t)));
    if (keys == NULL || states == NULL) {
        Py_XDECREF(keys);
        Py_XDECREF(states);
        return NULL;
    }
    char *key_row = PyBytes_AsString(keys), *state = PyBytes_AsString(states);
    int64_t place = 0;
    for (size_t i = 0; i < self->n_keys; i++) {
        const Key *key = &self->keys[i];
        bool known = key->block != NO_BLOCK;
        int64_t row[N_KEY] = {key->number, key->zone, key->time, key->waiting, known ? place++ : -1};
        for (int group = 0; known && group < self->n_groups; group++)
            if (!is_live(self, key, group)) enliven(self, key, group);
        memcpy(key_row, row, sizeof row);
        key_row += sizeof row;
        for (size_t n = 0; known && n < per_key; n++, state += 16) {
            States *own = states_of(self, key);
            int64_t pair[2] = {*state_value(self, own, n, false), key->time + *state_value(self, own, n, true)};
            memcpy(state, pair, sizeof pair);
        }
    }
    return Py_BuildValue("NNL", keys, states, self->latest);
}

PyDoc_STRVAR(restore_doc, "restore(keys, states, latest)\n--\n\n"
                          "Go on where another simulator of the same limits was when `state` was asked of it.");

static PyObject *simulator_restore(PyObject *object, PyObject *args) {
    Simulator *self = (Simulator *)object;
    const char *rows, *states;
    Py_ssize_t rows_size, states_size;
    long long latest;
    if (!PyArg_ParseTuple(args, "y#y#L", &rows, &rows_size, &states, &states_size, &latest)) return NULL;
    size_t per_key = (size_t)self->n_limits * self->per_group, size = per_key * 2 * sizeof(int64_t);
    size_t n_keys = (size_t)rows_size / (N_KEY * sizeof(int64_t)), n_states = (size_t)states_size / size;
    if (self->n_keys || (size_t)rows_size % (N_KEY * sizeof(int64_t)) || (size_t)states_size % size) {
        PyErr_SetString(PyExc_ValueError, "expected an empty simulator and the state of one with the same limits");
        return NULL;
    }
    if (!make_room(self, n_keys + BATCH)) return PyErr_NoMemory();
    for (size_t i = 0; i < n_keys; i++) {
        int64_t row[N_KEY];
        memcpy(row, rows + i * sizeof row, sizeof row);
        Key *key = &self->keys[self->n_keys];
        *key = (Key){.number = (uint32_t)row[0], .zone = (uint32_t)row[1], .time = row[2],
                     .waiting = (uint32_t)row[3], .block = NO_BLOCK};
        if (row[4] >= (int64_t)n_states) {
            PyErr_SetString(PyExc_ValueError, "expected the states of every key");
            return NULL;
        }
        if (row[4] >= 0) {
            if (!new_block(self, key)) return PyErr_NoMemory();
            for (int group = 0; group < self->n_groups; group++) enliven(self, key, group);
        }
        for (size_t n = 0; row[4] >= 0 && n < per_key; n++) {
            int64_t pair[2];
            memcpy(pair, states + (size_t)row[4] * size + n * sizeof pair, sizeof pair);
            int64_t last = pair[1] - key->time;
            *state_value(self, states_of(self, key), n, false) = (int32_t)pair[0];
            *state_value(self, states_of(self, key), n, true) = (int32_t)(last < -LONGEST ? -LONGEST : last);
        }
        if (key->time > self->newest) self->newest = key->time;
        find_slot(self, self->n_keys++);
    }
    self->latest = latest;
    Py_RETURN_NONE;
}

static PyMethodDef simulator_methods[] = {
    {"add", simulator_add, METH_O, add_doc},
    {"finish", simulator_finish, METH_NOARGS, finish_doc},
    {"take", simulator_take, METH_NOARGS, take_doc},
    {"state", simulator_state, METH_NOARGS, state_doc},
    {"restore", simulator_restore, METH_VARARGS, restore_doc},
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

static int module_exec(PyObject *module) { return add_type(module, "Simulator", &simulator_spec); }

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_limit_req", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__limit_req(void) { return PyModuleDef_Init(&module); }
