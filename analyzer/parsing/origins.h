/* Where inner lines come from: each different set of texts (node, pod, ...) gets a number.
 *
 * A hash table with a random seed, because who writes a log chooses the texts. It is bounded in every way; what would
 * exceed a bound has number 0, which stands for "nothing known".
 */
#ifndef LOGSCAN_ORIGINS_H
#define LOGSCAN_ORIGINS_H

#include "../arrow.h"
#include "../tables/address_hash.h"
#include "values.h"

#define MAX_ORIGINS 65535
#define MAX_ORIGIN_BYTES ((size_t)64 << 20)

typedef struct {
    uint64_t hash;
    size_t at;  /* of its key in `keys` */
    size_t len;
} Origin;

typedef struct {
    uint64_t seed[2];
    Buffer keys; /* all keys one behind the other; a key is each text behind its length */
    size_t keys_len, text_len;
    Origin *origins; /* origins[0] is the key of nothing but empty texts */
    uint32_t n_origins;
    uint32_t *slots; /* a power of two, at most half full; 0 is free */
    uint32_t n_slots;
    uint32_t last; /* the number found last: most lines come from where the line before came from */
} Origins;

static uint64_t hash_key(const uint64_t seed[2], const uint8_t *p, size_t len) {
    uint64_t hash = fold_multiply(len ^ seed[1], seed[0] ^ 0xC2B2AE3D27D4EB4FULL);
    for (; len; p += len < 16 ? len : 16, len -= len < 16 ? len : 16) {
        uint64_t words[2] = {0, 0};
        memcpy(words, p, len < 16 ? len : 16);
        hash = hash_address(seed, words[0] ^ hash, words[1]);
    }
    return hash;
}

static inline bool origin_is(const Origins *self, uint32_t number, const uint8_t *key, size_t len) {
    const Origin *origin = &self->origins[number];
    return origin->len == len && memcmp(self->keys.data + origin->at, key, len) == 0;
}

static bool grow_slots(Origins *self) {
    uint32_t n_slots = self->n_slots ? 2 * self->n_slots : 64;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    Origin *origins = realloc(self->origins, (n_slots / 2 + 1) * sizeof *origins);
    if (origins) self->origins = origins;
    if (slots == NULL || origins == NULL) {
        free(slots);
        return false;
    }
    for (uint32_t i = 1; i < self->n_origins; i++) {
        uint32_t slot = (uint32_t)self->origins[i].hash & (n_slots - 1);
        while (slots[slot]) slot = (slot + 1) & (n_slots - 1);
        slots[slot] = i;
    }
    free(self->slots);
    self->slots = slots;
    self->n_slots = n_slots;
    return true;
}

/* Note a key whose texts have so many bytes, at the end of the table. */
static bool add_origin(Origins *self, const uint8_t *key, size_t len, size_t text_len, uint64_t hash) {
    if (!buffer_grow(&self->keys, self->keys_len, self->keys_len + len + 1)) return false;
    memcpy(self->keys.data + self->keys_len, key, len);
    self->origins[self->n_origins++] = (Origin){hash, self->keys_len, len};
    self->keys_len += len;
    self->text_len += text_len;
    return true;
}

/* The number of a key; false without memory. */
static bool origin_number(Origins *self, const uint8_t *key, size_t len, size_t text_len, uint32_t *number) {
    if (origin_is(self, self->last, key, len)) {
        *number = self->last;
        return true;
    }
    *number = 0;
    if (text_len == 0) return true;
    if (2 * self->n_origins >= self->n_slots && !grow_slots(self)) return false;
    uint64_t hash = hash_key(self->seed, key, len);
    uint32_t slot = (uint32_t)hash & (self->n_slots - 1);
    for (; self->slots[slot]; slot = (slot + 1) & (self->n_slots - 1)) {
        uint32_t held = self->slots[slot];
        if (self->origins[held].hash == hash && origin_is(self, held, key, len)) {
            *number = self->last = held;
            return true;
        }
    }
    if (self->n_origins > MAX_ORIGINS || self->text_len + text_len > MAX_ORIGIN_BYTES) return true;
    if (!add_origin(self, key, len, text_len, hash)) return false;
    *number = self->last = self->slots[slot] = self->n_origins - 1;
    return true;
}

/* A table that holds only the key of `n_texts` empty texts, number 0. */
static bool origins_new(Origins *self, int n_texts) {
    static const uint8_t EMPTY[4 * MAX_FIELDS];
    return grow_slots(self) && add_origin(self, EMPTY, 4 * (size_t)n_texts, 0, 0);
}

static void origins_free(Origins *self) {
    buffer_free(&self->keys);
    free(self->origins);
    free(self->slots);
}

#endif
