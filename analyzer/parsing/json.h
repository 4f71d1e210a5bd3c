/* A line that is a JSON object: which of its values are wanted, and one walk over the line that finds them.
 *
 * json_format.JsonFormat as data. The walk is lenient, because nginx and others write what is nearly JSON (`"x": ,`), and
 * skips what nobody wants without looking into it. Nothing is allocated per line and nothing recurses; the time is
 * linear in the line whatever it holds.
 *
 * Pointers make a tree: a node is a place in the object, its keys lead to the places below it.
 */
#ifndef LOGSCAN_JSON_H
#define LOGSCAN_JSON_H

#include "../arrow.h"
#include "line.h"
#include "marks.h"

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

/* The best value of a field so far. */
typedef struct {
    const uint8_t *start, *end;
    size_t joined; /* bytes in the field's buffer, 0 where the text stands in the line */
    uint32_t rank;
    bool raw, string;
} Value;

typedef struct {
    int n_fields;
    uint8_t types[MAX_FIELDS];
    uint64_t required; /* fields that must be there, as bits */
    int whole_arrays;  /* the field whose arrays are not joined but taken raw, -1 for none */
    Node *nodes;
    uint32_t n_nodes;
    Target *targets;
    uint32_t n_targets;
    LastTime last_time;
    bool out_of_memory;

    /* the line that is being read */
    uint64_t seen, found; /* fields that are there and not null; those of them that are not empty */
    Value values[MAX_FIELDS];
    Buffer joined[MAX_FIELDS];
} Json;

/* ---- values that are wanted ------------------------------------------------------------------------------------- */

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

/* Add a text to what a field has collected, which moves to the field's buffer. */
static bool join_value(Json *json, uint8_t field, const uint8_t *p, const uint8_t *end, bool raw) {
    Value *value = &json->values[field];
    Buffer *buffer = &json->joined[field];
    size_t length = value->joined ? value->joined : (size_t)(value->end - value->start);
    if (!buffer_grow(buffer, value->joined, length + 2 + (size_t)(end - p))) {
        json->out_of_memory = true;
        return false;
    }
    if (!value->joined) memcpy(buffer->data, value->start, length);
    memcpy(buffer->data + length, ", ", 2);
    memcpy(buffer->data + length + 2, p, (size_t)(end - p));
    value->joined = length + 2 + (size_t)(end - p);
    value->raw |= raw;
    return true;
}

static inline void put_value(Json *json, const Target *target, const uint8_t *p, const uint8_t *end, bool raw,
                             bool string, bool collects) {
    uint64_t bit = 1ULL << target->field;
    json->seen |= bit;
    if (p == end) return;
    Value *value = &json->values[target->field];
    if (json->found & bit) {
        if (target->rank > value->rank) return;
        if (target->rank == value->rank && collects) {
            join_value(json, target->field, p, end, raw);
            return;
        }
    }
    json->found |= bit;
    *value = (Value){.start = p, .end = end, .rank = target->rank, .raw = raw, .string = string};
}

/* The item at *at, which moves behind it; false at something that is no string and no scalar. */
static bool read_item(const uint8_t **at, const uint8_t *end, const uint8_t *limit, const uint8_t **start,
                      const uint8_t **stop) {
    const uint8_t *p = *at, *tail;
    if (*p == '"') {
        const uint8_t *quote = ++p;
        while ((quote = find_byte(quote, end, limit, '"')) < end && quote_is_escaped(p, quote)) quote++;
        *start = p;
        *stop = quote;
        *at = quote + 1;
        return quote < end;
    }
    if (*p == '{' || *p == '[' || *p == '}' || *p == ']') return false;
    tail = *at = find_separator(p, end, limit);
    while (tail > p && is_blank(tail[-1])) tail--;
    *start = p;
    *stop = tail - p == 4 && memcmp(p, "null", 4) == 0 ? p : tail;
    return true;
}

/* The array in [p, end), brackets included: its items joined, or as it is where there are containers among them. */
static void put_array(Json *json, const Target *target, const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    const uint8_t *const first = skip_commas(p + 1, end - 1), *inner_end = end - 1, *start, *stop, *at = first;
    bool flat = target->field != json->whole_arrays, collects = target->collects;
    while (flat && at < inner_end) {
        flat = read_item(&at, inner_end, limit, &start, &stop);
        if (flat) at = skip_commas(at, inner_end);
    }
    if (!flat) {
        put_value(json, target, p, end, true, false, collects);
        return;
    }
    json->seen |= 1ULL << target->field;
    for (at = first; at < inner_end; at = skip_commas(at, inner_end)) {
        read_item(&at, inner_end, limit, &start, &stop);
        put_value(json, target, start, stop, false, false, collects);
        collects |= stop > start; /* the first replaces what was there, the others join it */
    }
}

static void put_container(Json *json, const Node *node, const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    for (uint32_t t = node->target; t; t = json->targets[t].next) {
        const Target *target = &json->targets[t];
        if (*p == '[')
            put_array(json, target, p, end, limit);
        else
            put_value(json, target, p, end, true, false, target->collects);
    }
}

static inline void put_plain(Json *json, const Node *node, const uint8_t *p, const uint8_t *end, bool string) {
    for (uint32_t t = node->target; t; t = json->targets[t].next)
        put_value(json, &json->targets[t], p, end, false, string, json->targets[t].collects);
}

/* ---- the walk --------------------------------------------------------------------------------------------------- */

/* A container that is being walked. */
typedef struct {
    const Node *node;
    const uint8_t *start;
    bool object;
} Frame;

/* Read the line; NULL, or where it is broken. */
static const uint8_t *walk_line(Json *json, const uint8_t *start, const uint8_t *end, const uint8_t *limit) {
    Frame frames[MAX_DEPTH + 1], *top = frames;
    const uint8_t *p = skip_blanks(start, end);
    if (p == end || *p != '{') return p;
    Quotes quotes = quotes_at(p, end, limit);
    *top = (Frame){json->nodes, p++, true};
    for (;;) {
        if (p < end && *p == ',') p++; /* mostly `,"` */
        if (p < end && *p != '"') p = skip_commas(p, end);
        if (p == end) return end;
        const Node *node = NULL; /* of the value that comes, NULL where nothing of it is wanted */
        if (*p == (top->object ? '}' : ']')) {
            p++;
            if (top->node->target) put_container(json, top->node, top->start, p, limit);
            if (top == frames) break;
            top--;
            continue;
        }
        if (top->object) {
            if (*p != '"') return p;
            const uint8_t *name = p + 1;
            p = string_end(&quotes, name, end, limit);
            if (p == NULL) return end;
            size_t len = (size_t)(p - name);
            if (top->node->shapes & key_shape(name, len))
                node = node_of(json, find_key(top->node, name, len, limit));
            p++;
            if (p < end && *p != ':') p = skip_blanks(p, end);
            if (p == end || *p != ':') return p;
            p++;
            if (p < end && *p != '"') p = skip_blanks(p, end);
            if (p == end) return end;
        } else {
            if (*p == '}') return p;
            node = &json->nodes[top->node->elements];
        }
        const uint8_t *stop;
        if (*p == '"') {
            stop = string_end(&quotes, p + 1, end, limit);
            if (stop == NULL) return end;
            if (node) put_plain(json, node, p + 1, stop, true);
            p = stop + 1;
        } else if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            if (node && (object ? node->n_keys : node->elements)) {
                *++top = (Frame){node, p++, object};
                continue;
            }
            stop = skip_container(p, end, limit);
            if (stop == NULL) return end;
            if (node) put_container(json, node, p, stop, limit);
            p = stop;
        } else {
            stop = scalar_end(p, end, limit, top->object);
            if (stop == NULL) return end;
            if (node) {
                const uint8_t *tail = stop;
                while (tail > p && is_blank(tail[-1])) tail--;
                if (tail > p && !(tail - p == 4 && memcmp(p, "null", 4) == 0)) put_plain(json, node, p, tail, false);
            }
            p = stop;
        }
    }
    p = skip_commas(p, end);
    return p == end ? NULL : p;
}

/* ---- fields ----------------------------------------------------------------------------------------------------- */

/* Behind a whole number the fraction of nothing that programs add which know of doubles only: `200.0`. */
static const uint8_t *pass_zeros(const uint8_t *p, const uint8_t *end, const Span *span) {
    if (p == NULL || p == end || *p != '.' || !span->present) return p;
    do p++;
    while (p < end && *p == '0');
    return p;
}

/* Whether the text is a value of the type, whole; `-` is none and fits every type. */
static bool read_value(Json *json, uint8_t type, const uint8_t *limit, Span *span) {
    const uint8_t *p = span->start, *end = span->end, *stop;
    switch (type) {
    case TIME_LOCAL:
        stop = read_time_local(&json->last_time, p, end, span);
        break;
    case TIME_ISO8601:
        stop = read_time_iso8601(p, end, span);
        break;
    case MSEC:
        stop = read_msec(p, end, limit, span);
        break;
    case STATUS:
        stop = pass_zeros(read_integer(p, end, limit, 999, span), end, span);
        break;
    case PORT:
        stop = pass_zeros(read_integer(p, end, limit, 65535, span), end, span);
        break;
    case INTEGER:
        stop = pass_zeros(read_signed(p, end, limit, span), end, span);
        break;
    case SECONDS:
        stop = read_seconds(p, end, limit, span);
        if (stop && stop < end && *stop == 's' && span->present) stop++;
        break;
    case MILLIS:
    case MICROS:
    case NANOS:
    case TIME_ANY:
        stop = read_other(type, p, end, limit, span);
        break;
    case ADDRESS_PORT:
        split_port(span);
        return true;
    case FIRST_ADDRESS:
        take_first(span);
        return true;
    default:
        return true;
    }
    if (stop == end) return true;
    span->present = false;
    return end - p == 1 && *p == '-';
}

static bool match_json(Json *json, const uint8_t *start, const uint8_t *end, const uint8_t *limit, Span *spans,
                       Misfit *misfit) {
    json->seen = json->found = 0;
    json->out_of_memory = false;
    const uint8_t *broken = walk_line(json, start, end, limit);
    if (broken) {
        *misfit = (Misfit){(size_t)(broken - start), -1, EXPECTED_LITERAL};
        return false;
    }
    for (int i = 0; i < json->n_fields; i++) {
        const Value *value = &json->values[i];
        Span *span = &spans[i];
        span->present = false;
        span->missing = !(json->found >> i & 1);
        span->raw = span->joined = false;
        if (span->missing) {
            if (json->required & ~json->seen & 1ULL << i) {
                *misfit = (Misfit){0, i, EXPECTED_LITERAL};
                return false;
            }
            span->start = span->end = start;
            continue;
        }
        const uint8_t *readable = limit;
        span->start = value->start;
        span->end = value->end;
        span->raw = value->raw;
        span->joined = value->joined;
        if (value->joined) {
            span->start = json->joined[i].data;
            readable = span->end = span->start + value->joined;
        }
        if (!read_value(json, json->types[i], readable, span)) {
            *misfit = (Misfit){(size_t)(value->start - start), i, MALFORMED_VALUE};
            return false;
        }
    }
    return true;
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

/* From Python: ((type, ((key, ...), ...), required), ...). NULL with an exception set. */
static Json *read_json_layout(PyObject *fields) {
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
        if (long_at(item, 2) == 1) json->required |= 1ULL << i;
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
