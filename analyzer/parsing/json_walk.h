/* One walk over a JSON object, which finds the values that are wanted.
 *
 * It goes in steps: over the comma, the key and the colon before a value, or to the end of a container. Lines of one log
 * have the same keys in the same order, so a step remembers which one came behind it the last time. Where the text of
 * that one stands there again, it is taken as it was; else the step is read byte by byte, which gives the same. A step
 * is one of a place in the tree, and so is what comes behind it: nothing else has to be compared.
 */
#ifndef LOGSCAN_JSON_WALK_H
#define LOGSCAN_JSON_WALK_H

#include "json_values.h"

/* What comes behind a step. */
enum { AT_STRING, AT_SCALAR, AT_SKIPPED, AT_WALKED, AT_END };

/* A container that is being walked. */
typedef struct {
    const Node *node;
    const uint8_t *start;
    bool object;
} Frame;

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* The key at p, which moves behind its colon and the blanks there. Returns NULL, or where it is broken. */
static const uint8_t *read_key(const Json *json, const Node *place, const uint8_t **at, const uint8_t *end,
                               const uint8_t *limit, const Node **node) {
    const uint8_t *p = *at, *name = p + 1;
    if (*p != '"') return p;
    p = string_end(name, end, limit);
    if (p == NULL) return end;
    size_t len = (size_t)(p - name);
    if (place->shapes & key_shape(name, len)) *node = node_of(json, find_key(place, name, len, limit));
    p = skip_blanks(p + 1, end);
    if (p == end || *p != ':') return p;
    *at = p = skip_blanks(p + 1, end);
    return p == end ? end : NULL;
}

/* The step from p on. Returns NULL, or where it is broken. */
static const uint8_t *read_step(const Json *json, const Frame *frame, const uint8_t *start, const uint8_t *end,
                                const uint8_t *limit, Step *step) {
    const uint8_t *p = skip_commas(start, end);
    *step = (Step){.place = frame->node, .object = frame->object};
    if (p == end) return end;
    if (*p == (frame->object ? '}' : ']')) {
        step->kind = AT_END;
        step->len = (uint32_t)(p + 1 - start);
        return NULL;
    }
    const Node *node = NULL;
    if (frame->object) {
        const uint8_t *broken = read_key(json, frame->node, &p, end, limit, &node);
        if (broken) return broken;
    } else {
        if (*p == '}') return p;
        node = &json->nodes[frame->node->elements];
    }
    bool container = *p == '{' || *p == '[', walked = container && node && (*p == '{' ? node->n_keys : node->elements);
    step->kind = *p == '"' ? AT_STRING : !container ? AT_SCALAR : walked ? AT_WALKED : AT_SKIPPED;
    step->node = walked || (node && node->target) ? node : NULL;
    step->len = (uint32_t)(p - start) + (step->kind != AT_SCALAR);
    return NULL;
}

static uint32_t step_slot(const Step *step) {
    uint64_t words[STEP_TEXT / 8], hash = (uint64_t)(uintptr_t)step->place;
    memcpy(words, step->text, sizeof words);
    for (int i = 0; i < STEP_TEXT / 8; i++) {
        hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ULL;
        hash ^= hash >> 32;
    }
    return (uint32_t)hash & (2 * MAX_STEPS - 1);
}

/* The step that was read at p, remembered as the one that comes behind `last`; itself where it cannot be. */
static Step *remember(Steps *steps, Step *last, Step *step, const uint8_t *p) {
    if (step->len > STEP_TEXT || (step->kind == AT_SCALAR && !step->object)) return step;
    memcpy(step->text, p, step->len);
    step->mask = UINT32_MAX >> (STEP_TEXT - step->len);
    uint32_t slot = step_slot(step);
    for (; steps->slots[slot]; slot = (slot + 1) & (2 * MAX_STEPS - 1)) {
        Step *known = &steps->all[steps->slots[slot] - 1];
        if (known->place == step->place && known->object == step->object && known->kind == step->kind &&
            known->len == step->len && memcmp(known->text, step->text, STEP_TEXT) == 0)
            return last->next = known;
    }
    if (steps->n == MAX_STEPS) return step;
    Step *new = &steps->all[steps->n];
    *new = *step;
    steps->slots[slot] = (uint16_t)++steps->n;
    return last->next = new;
}

/* Whether a value can begin with the byte that is neither a string nor a container. */
static inline bool begins_scalar(uint8_t c) { return c >= '-' && c <= 'z' && c != '['; }

/* Whether the step can be taken at p, behind which 64 bytes are readable. */
static ALWAYS_INLINE bool is_next(const Step *step, const uint8_t *p, const uint8_t *end) {
    if (step == NULL || (size_t)(end - p) < step->len) return false;
#if defined(__SSE2__)
    const __m128i *at = (const __m128i *)(const void *)p, *text = (const __m128i *)(const void *)step->text;
    __m128i first = _mm_cmpeq_epi8(_mm_loadu_si128(at), _mm_loadu_si128(text));
    __m128i second = _mm_cmpeq_epi8(_mm_loadu_si128(at + 1), _mm_loadu_si128(text + 1));
    uint32_t same = (uint32_t)_mm_movemask_epi8(first) | (uint32_t)_mm_movemask_epi8(second) << 16;
    if (step->mask & ~same) return false;
#else
    if (memcmp(p, step->text, step->len) != 0) return false;
#endif
    return step->kind != AT_SCALAR || begins_scalar(p[step->len]);
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

/* The end of a value, which mostly is as long as the last one of its step: a processor that has learned so need not wait
 * until it is found to go on behind it. */
static ALWAYS_INLINE const uint8_t *expected(Step *step, const uint8_t *p, const uint8_t *found) {
    const uint8_t *likely = p + step->span, *same = likely;
    __asm__("" : "+r"(same)); /* lest a compiler sees what it is */
    if (found == same) return likely;
    step->span = (uint32_t)(found - p);
    return found;
}

/* Read the line; NULL, or where it is broken. */
static ALWAYS_INLINE const uint8_t *walk_line(Json *json, const uint8_t *start, const uint8_t *end, const uint8_t *limit) {
    Frame frames[MAX_DEPTH + 1], *top = frames;
    const uint8_t *p = skip_blanks(start, end), *stop;
    if (p == end || *p != '{') return p;
    *top = (Frame){json->nodes, p++, true};
    Step read, *step = &json->steps.begin;
    for (;;) {
        Step *last = step;
        step = last->next;
        if (limit || !is_next(step, p, end)) {
            const uint8_t *broken = read_step(json, top, p, end, limit, &read);
            if (broken) return broken;
            step = remember(&json->steps, last, &read, p);
        }
        p += step->len;
        const Node *node = step->node;
        switch (step->kind) {
        case AT_STRING:
            stop = string_end(p, end, limit);
            if (stop == NULL) return end;
            stop = expected(step, p, stop);
            if (node) put_plain(json, node, p, stop, true);
            p = stop + 1;
            break;
        case AT_SCALAR:
            stop = scalar_end(p, end, limit, top->object);
            if (stop == NULL) return end;
            stop = expected(step, p, stop);
            if (node) put_scalar(json, node, p, stop);
            p = stop;
            break;
        case AT_SKIPPED:
            stop = skip_container(p - 1, end, limit);
            if (stop == NULL) return end;
            if (node) put_container(json, node, p - 1, stop, limit);
            p = stop;
            break;
        case AT_WALKED:
            *++top = (Frame){node, p - 1, p[-1] == '{'};
            break;
        case AT_END:
            if (top->node->target) put_container(json, top->node, top->start, p, limit);
            if (top-- == frames) {
                p = skip_commas(p, end);
                return p == end ? NULL : p;
            }
            break;
        }
    }
}

/* A line behind which at least `AHEAD` bytes are readable, as behind all but the last of a text. */
static __attribute__((noinline)) const uint8_t *walk_readable(Json *json, const uint8_t *start, const uint8_t *end) {
    return walk_line(json, start, end, NULL);
}

static __attribute__((noinline)) const uint8_t *walk_to_limit(Json *json, const uint8_t *start, const uint8_t *end,
                                                              const uint8_t *limit) {
    return walk_line(json, start, end, limit);
}

#endif
