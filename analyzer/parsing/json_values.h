/* The values of a JSON object that are wanted: each goes to the fields that want it.
 */
#ifndef LOGSCAN_JSON_VALUES_H
#define LOGSCAN_JSON_VALUES_H

#include "json_tree.h"
#include "marks.h"

/* Add a text to what a field has collected, which moves to the field's buffer. */
static void join_value(Json *json, uint8_t field, const uint8_t *p, const uint8_t *end, bool raw) {
    Span *span = &json->spans[field];
    Buffer *buffer = &json->joined[field];
    size_t length = (size_t)(span->end - span->start), size = (size_t)(end - p);
    if (!buffer_grow(buffer, span->joined ? length : 0, length + 2 + size)) {
        json->out_of_memory = true;
        return;
    }
    if (!span->joined) memcpy(buffer->data, span->start, length);
    memcpy(buffer->data + length, ", ", 2);
    memcpy(buffer->data + length + 2, p, size);
    span->start = buffer->data;
    span->end = buffer->data + length + 2 + size;
    span->joined = true;
    span->raw |= raw;
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
    *value = (Value){.start = p, .rank = target->rank, .string = string};
    json->spans[target->field] = (Span){.start = p, .end = end, .raw = raw};
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

/* A value without quotes; `null` and one that is missing are none. */
static inline void put_scalar(Json *json, const Node *node, const uint8_t *p, const uint8_t *end) {
    while (end > p && is_blank(end[-1])) end--;
    if (end > p && !(end - p == 4 && memcmp(p, "null", 4) == 0)) put_plain(json, node, p, end, false);
}

#endif
