/* Which values of a JSON object are wanted: json_format.JsonFormat as data.
 *
 * Pointers make a tree: a node is a place in the object, its keys lead to the places below it.
 */
#ifndef LOGSCAN_JSON_TREE_H
#define LOGSCAN_JSON_TREE_H

#include "../arrow.h"
#include "line.h"

#define MAX_DEPTH 16 /* segments of a pointer, and so containers that are walked inside each other */

/* A key that is wanted at a place; told from others by its length, first eight and last eight bytes before all else. */
typedef struct {
    uint64_t first, last;
    const uint8_t *text;
    size_t len;
    uint32_t child; /* the node below, 0 in a free slot */
} Key;

typedef struct {
    Key *keys; /* a hash table of `slots` (a power of two), at most half full; NULL where no key is wanted */
    uint32_t slots, n_keys;
    uint64_t shapes;   /* of the keys, as bits, which tell most other keys without a look-up */
    uint32_t elements; /* the node of the elements of an array, 0 where they are not wanted */
    uint32_t target;   /* the first of the fields whose value stands here, 0 for none */
} Node;

/* A field whose value stands at a node; a list, as several fields may want the same. */
typedef struct {
    uint32_t next;
    uint32_t rank; /* among the places of the field, the best first */
    uint8_t field;
    bool collects; /* through elements of an array: all of them are joined */
} Target;

/* The best value of a field so far, beside its span. */
typedef struct {
    const uint8_t *start; /* in the line, also where the span is joined */
    uint32_t rank;
    bool string;
} Value;

#define STEP_TEXT 32  /* bytes of a step that is remembered, at most */
#define MAX_STEPS 256 /* that are remembered */

/* A step of a walk over a line (json_walk.h): over what stands before a value, or to the end of a container. */
typedef struct Step {
    uint8_t text[STEP_TEXT];
    uint32_t mask; /* which bytes of the text are its own, as bits */
    uint32_t len;
    uint32_t span; /* of its value the last time */
    struct Step *next; /* the one that came behind it the last time */
    const Node *place; /* of the container that it is in */
    const Node *node;  /* of the value, NULL where nothing of it is wanted */
    uint8_t kind;
    bool object; /* the container is one */
} Step;

typedef struct {
    Step begin; /* of a line */
    Step all[MAX_STEPS];
    uint32_t n;
    uint16_t slots[2 * MAX_STEPS]; /* a hash table of them: 1 + the number of one, 0 in a free slot */
} Steps;

/* The last time that was read: many lines repeat it. */
typedef struct {
    uint8_t type;
    uint8_t text[32];
    size_t len;
    uint64_t number;
} KnownTime;

typedef struct {
    int n_fields;
    uint8_t types[MAX_FIELDS];
    uint64_t typed;    /* fields whose text has to be read, as bits */
    uint64_t required; /* fields that must be there */
    uint64_t unused;   /* fields of which nothing is asked */
    int whole_arrays;  /* the field whose arrays are not joined but taken raw, -1 for none */
    Node *nodes;
    uint32_t n_nodes;
    Target *targets;
    uint32_t n_targets;
    Steps steps;
    LastTime last_time, last_second;
    KnownTime known_time;
    bool out_of_memory;

    /* the line that is being read */
    uint64_t seen, found; /* fields that are there and not null; those of them that are not empty */
    Span *spans;          /* of those that were found */
    Value values[MAX_FIELDS];
    Buffer joined[MAX_FIELDS];
} Json;

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static inline uint64_t first_eight(const uint8_t *p, size_t len, const uint8_t *limit) {
    uint64_t word = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (can_read(p, limit, 8)) {
        memcpy(&word, p, 8);
        return len >= 8 ? word : word & ((1ULL << 8 * len) - 1);
    }
#else
    (void)limit;
#endif
    memcpy(&word, p, len < 8 ? len : 8);
    return word;
}

static inline uint64_t last_eight(const uint8_t *p, size_t len) {
    uint64_t word = 0;
    if (len > 8) memcpy(&word, p + len - 8, 8);
    return word;
}

static inline uint32_t key_slot(const Node *node, uint64_t first, uint64_t last, size_t len) {
    uint64_t hash = (first ^ (last << 23 | last >> 41) ^ len) * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(hash >> 32) & (node->slots - 1);
}

/* One of 64 bits, by the length and the first byte of a key; behind a key there is always a quote. */
static inline uint64_t key_shape(const uint8_t *text, size_t len) { return 1ULL << ((len ^ *text) & 63); }

/* The slot of a key at a node that has keys: its own, or the free one where it would stand. */
static inline Key *find_key(const Node *node, const uint8_t *text, size_t len, const uint8_t *limit) {
    uint64_t first = first_eight(text, len, limit), last = last_eight(text, len);
    uint32_t slot = key_slot(node, first, last, len);
    for (;; slot = (slot + 1) & (node->slots - 1)) {
        Key *key = &node->keys[slot];
        if (key->child == 0) return key;
        if (key->first == first && key->last == last && key->len == len &&
            (len <= 16 || memcmp(key->text, text, len) == 0))
            return key;
    }
}

/* The place below that a key leads to, or NULL. */
static inline const Node *node_of(const Json *json, const Key *key) {
    return key->child ? &json->nodes[key->child] : NULL;
}

/* ---- what Python says ------------------------------------------------------------------------------------------- */

static void json_free(Json *json) {
    if (json == NULL) return;
    for (uint32_t i = 0; i < json->n_nodes; i++) free(json->nodes[i].keys);
    for (int i = 0; i < MAX_FIELDS; i++) buffer_free(&json->joined[i]);
    free(json->nodes);
    free(json->targets);
    free(json);
}

/* A new node, or 0. */
static uint32_t add_node(Json *json) {
    if ((json->n_nodes & (json->n_nodes - 1)) == 0) {
        size_t room = json->n_nodes ? 2 * (size_t)json->n_nodes : 1;
        Node *nodes = realloc(json->nodes, room * sizeof *nodes);
        if (nodes == NULL) return 0;
        json->nodes = nodes;
    }
    json->nodes[json->n_nodes] = (Node){0};
    return json->n_nodes++;
}

static bool grow_keys(Node *node) {
    Node larger = *node;
    larger.slots = node->slots ? 2 * node->slots : 4;
    larger.keys = calloc(larger.slots, sizeof *larger.keys);
    if (larger.keys == NULL) return false;
    for (uint32_t i = 0; i < node->slots; i++) {
        const Key *key = &node->keys[i];
        if (key->child) *find_key(&larger, key->text, key->len, key->text + key->len) = *key;
    }
    free(node->keys);
    *node = larger;
    return true;
}

/* The node that a segment leads to, made where it is not there; 0 without memory. */
static uint32_t node_below(Json *json, uint32_t parent, const uint8_t *text, size_t len) {
    uint32_t child;
    if (len == 1 && *text == '*') {
        if (json->nodes[parent].elements == 0) {
            child = add_node(json);
            json->nodes[parent].elements = child;
        }
        return json->nodes[parent].elements;
    }
    Node *node = &json->nodes[parent];
    if (2 * (node->n_keys + 1) > node->slots && !grow_keys(node)) return 0;
    Key *key = find_key(node, text, len, text + len);
    if (key->child) return key->child;
    size_t slot = (size_t)(key - node->keys);
    child = add_node(json);
    if (child == 0) return 0;
    node = &json->nodes[parent];
    node->keys[slot] = (Key){first_eight(text, len, text + len), last_eight(text, len), text, len, child};
    node->n_keys++;
    node->shapes |= len ? key_shape(text, len) : key_shape((const uint8_t *)"\"", 0);
    return child;
}

static bool add_pointer(Json *json, uint8_t field, uint32_t rank, PyObject *pointer) {
    Py_ssize_t n = PyTuple_Size(pointer);
    if (n < 1 || n > MAX_DEPTH) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "expected between 1 and 16 keys in a pointer");
        return false;
    }
    uint32_t node = 0;
    bool collects = false;
    for (Py_ssize_t i = 0; i < n; i++) {
        const uint8_t *text;
        size_t len;
        if (!bytes_at(pointer, i, &text, &len)) return false;
        collects |= len == 1 && *text == '*';
        node = node_below(json, node, text, len);
        if (node == 0) {
            PyErr_NoMemory();
            return false;
        }
    }
    if (json->unused >> field & 1) return true; /* a place like others, so that lines fit as if it were wanted */
    Target *targets = realloc(json->targets, ((size_t)json->n_targets + 1) * sizeof *targets);
    if (targets == NULL) {
        PyErr_NoMemory();
        return false;
    }
    json->targets = targets;
    targets[json->n_targets] = (Target){json->nodes[node].target, rank, field, collects};
    json->nodes[node].target = json->n_targets++;
    return true;
}

/* Whether any text is a value of the type as it stands. */
static bool is_plain(uint8_t type) {
    switch (type) {
    case TIME_LOCAL:
    case TIME_ISO8601:
    case TIME_ANY:
    case MSEC:
    case STATUS:
    case PORT:
    case INTEGER:
    case SECONDS:
    case MILLIS:
    case MICROS:
    case NANOS:
    case ADDRESS_PORT:
    case FIRST_ADDRESS:
        return false;
    }
    return true;
}

/* From Python: ((type, ((key, ...), ...), required), ...), and as bits the fields that are asked for. NULL with an
 * exception set. */
static Json *read_json_layout(PyObject *fields, uint64_t wanted) {
    Py_ssize_t n = PyTuple_Size(fields);
    if (n < 1 || n > MAX_FIELDS) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 64 fields");
        return NULL;
    }
    Json *json = calloc(1, sizeof *json);
    if (json == NULL || (add_node(json), json->nodes == NULL) || !grow_keys(json->nodes)) {
        PyErr_NoMemory();
        json_free(json);
        return NULL;
    }
    json->n_fields = (int)n;
    json->whole_arrays = -1;
    json->n_targets = 1; /* number 0 means none */
    for (int i = 0; i < json->n_fields && !PyErr_Occurred(); i++) {
        PyObject *item = PyTuple_GetItem(fields, i), *pointers = item ? PyTuple_GetItem(item, 1) : NULL;
        Py_ssize_t n_pointers = pointers ? PyTuple_Size(pointers) : 0;
        json->types[i] = type_at(item);
        uint64_t bit = 1ULL << i;
        if (long_at(item, 2) == 1) json->required |= bit;
        if (!is_plain(json->types[i])) json->typed |= bit;
        json->unused |= bit & ~(wanted | json->required | json->typed);
        for (Py_ssize_t rank = 0; rank < n_pointers && !PyErr_Occurred(); rank++)
            add_pointer(json, (uint8_t)i, (uint32_t)rank, PyTuple_GetItem(pointers, rank));
    }
    if (PyErr_Occurred()) {
        json_free(json);
        return NULL;
    }
    return json;
}

#endif
