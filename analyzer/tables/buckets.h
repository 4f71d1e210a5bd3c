/* Sums by key and time: a row of them for each key and bucket. Buckets have one width, which is made wider where there
 * would be too many of them. Include after Python.h.
 */
#ifndef LOGSCAN_BUCKETS_H
#define LOGSCAN_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "address_hash.h"

#define NO_BUCKET UINT32_MAX
#define NO_TIME INT64_MIN
#define MAX_WIDTHS 16

typedef struct {
    int64_t start; /* or NO_TIME */
    uint32_t key;
} Bucket;

typedef struct {
    uint64_t seed[2];
    int64_t widths[MAX_WIDTHS]; /* milliseconds, each a multiple of the one before */
    int n_widths, width;
    size_t n, room;
    Bucket *buckets;
    size_t n_sums;
    uint64_t *sums;  /* so many for each bucket */
    uint32_t *slots; /* open addressing over the buckets: twice as many as there is room for, a power of two */
} Buckets;

/* The start of the bucket of a time; of one at the ends of the calendar that of another, but no overflow. */
static inline int64_t bucket_start(int64_t time, int64_t width) {
    int64_t number = time / width - (time % width < 0);
    return (int64_t)((uint64_t)number * (uint64_t)width);
}

static inline size_t bucket_slot(const Buckets *self, Bucket bucket) {
    return (size_t)hash_address(self->seed, bucket.key, (uint64_t)bucket.start) & (self->room * 2 - 1);
}

static inline void forget_slots(Buckets *self) { memset(self->slots, 0xFF, self->room * 2 * sizeof *self->slots); }

static bool buckets_grow(Buckets *self) {
    size_t room = self->room ? self->room * 2 : 512;
    if (room >= NO_BUCKET) return false;
    Bucket *buckets = realloc(self->buckets, room * sizeof *buckets);
    if (buckets == NULL) return false;
    self->buckets = buckets;
    uint64_t *sums = realloc(self->sums, room * self->n_sums * sizeof *sums);
    if (sums == NULL) return false;
    self->sums = sums;
    uint32_t *slots = malloc(room * 2 * sizeof *slots);
    if (slots == NULL) return false;
    free(self->slots);
    self->slots = slots;
    self->room = room;
    forget_slots(self);
    for (size_t i = 0; i < self->n; i++) {
        size_t slot = bucket_slot(self, self->buckets[i]);
        while (self->slots[slot] != NO_BUCKET) slot = (slot + 1) & (room * 2 - 1);
        self->slots[slot] = (uint32_t)i;
    }
    return true;
}

/* The sums of a bucket, which last until the next is asked for; NULL where there is no memory for them. */
static uint64_t *sums_of(Buckets *self, Bucket bucket) {
    if (self->n == self->room && !buckets_grow(self)) return NULL;
    size_t slot = bucket_slot(self, bucket);
    for (; self->slots[slot] != NO_BUCKET; slot = (slot + 1) & (self->room * 2 - 1)) {
        const Bucket *known = &self->buckets[self->slots[slot]];
        if (known->start == bucket.start && known->key == bucket.key) return &self->sums[self->slots[slot] * self->n_sums];
    }
    self->slots[slot] = (uint32_t)self->n;
    self->buckets[self->n] = bucket;
    uint64_t *sums = &self->sums[self->n++ * self->n_sums];
    memset(sums, 0, self->n_sums * sizeof *sums);
    return sums;
}

/* Whether a row belongs to the bucket of the row before, as most do. */
static inline bool is_within(const Buckets *self, Bucket bucket, uint32_t key, bool timed, int64_t time) {
    if (bucket.key != key || timed != (bucket.start != NO_TIME)) return false;
    return !timed || (uint64_t)time - (uint64_t)bucket.start < (uint64_t)self->widths[self->width];
}

static inline bool is_widest(const Buckets *self) { return self->width == self->n_widths - 1; }

/* Take the next width. */
static void buckets_widen(Buckets *self) {
    size_t n = self->n;
    uint64_t row[64];
    self->width++;
    self->n = 0;
    forget_slots(self);
    for (size_t i = 0; i < n; i++) {
        Bucket bucket = self->buckets[i];
        memcpy(row, &self->sums[i * self->n_sums], self->n_sums * sizeof *row);
        if (bucket.start != NO_TIME) bucket.start = bucket_start(bucket.start, self->widths[self->width]);
        uint64_t *into = sums_of(self, bucket); /* never more of them: one that was read already */
        for (size_t k = 0; k < self->n_sums; k++) into[k] += row[k];
    }
}

/* From Python: a tuple of widths. */
static bool buckets_read(Buckets *self, PyObject *widths, size_t n_sums) {
    Py_ssize_t n = PyTuple_Size(widths);
    if (n < 1 || n > MAX_WIDTHS) {
        PyErr_SetString(PyExc_ValueError, "expected 1 to 16 widths");
        return false;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        self->widths[i] = PyLong_AsLongLong(PyTuple_GetItem(widths, i));
        if (PyErr_Occurred()) return false;
        if (self->widths[i] < 1 || (i && self->widths[i] % self->widths[i - 1])) {
            PyErr_SetString(PyExc_ValueError, "expected widths that are multiples of those before");
            return false;
        }
    }
    self->n_widths = (int)n;
    self->n_sums = n_sums;
    return buckets_grow(self) || PyErr_NoMemory() != NULL;
}

static void buckets_free(Buckets *self) {
    free(self->buckets);
    free(self->sums);
    free(self->slots);
}

#endif
