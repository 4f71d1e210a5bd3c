/* The structure of JSON text: where its strings, containers and scalars end, found 64 bytes at a time.
 *
 * No function here looks at a byte more than a few times, whatever the text holds.
 */
#ifndef LOGSCAN_MARKS_H
#define LOGSCAN_MARKS_H

#include "text.h"

static inline bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static inline const uint8_t *skip_blanks(const uint8_t *p, const uint8_t *end) {
    while (p < end && is_blank(*p)) p++;
    return p;
}

static inline const uint8_t *skip_commas(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ',' || is_blank(*p))) p++;
    return p;
}

/* The last bytes of readable memory, as 64. */
static __attribute__((noinline)) const uint8_t *copy_block(const uint8_t *p, const uint8_t *end, uint8_t *copy) {
    memset(copy, 0, 64);
    memcpy(copy, p, (size_t)(end - p < 64 ? end - p : 64));
    return copy;
}

/* Where 64 bytes can be read that are those at p as far as the text reaches; what stands behind is anything. */
static inline const uint8_t *block_at(const uint8_t *p, const uint8_t *end, const uint8_t *limit, uint8_t *copy) {
    return can_read(p, limit, 64) ? p : copy_block(p, end, copy);
}

/* What gives JSON its structure in 64 bytes, the first byte in the lowest bit. */
typedef struct {
    uint64_t quotes, backslashes, brackets;
} Marks;

static inline Marks marks_of(const uint8_t *block) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), lower = _mm_set1_epi8(0x20),
                  opening = _mm_set1_epi8('{'), closing = _mm_set1_epi8('}');
    Marks marks = {0, 0, 0};
    for (int i = 0; i < 64; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
        __m128i curly = _mm_or_si128(bytes, lower); /* square brackets are curly ones without this bit */
        __m128i brackets = _mm_or_si128(_mm_cmpeq_epi8(curly, opening), _mm_cmpeq_epi8(curly, closing));
        marks.quotes |= (uint64_t)(uint16_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << i;
        marks.backslashes |= (uint64_t)(uint16_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash)) << i;
        marks.brackets |= (uint64_t)(uint16_t)_mm_movemask_epi8(brackets) << i;
    }
    return marks;
#else
    return (Marks){mask64(block, '"'), mask64(block, '\\'),
                   mask64(block, '{') | mask64(block, '}') | mask64(block, '[') | mask64(block, ']')};
#endif
}

/* string_end of any string. */
static __attribute__((noinline)) const uint8_t *far_string_end(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    for (const uint8_t *start = p; (p = find_byte(p, end, limit, '"')) < end; p++)
        if (p[-1] != '\\' || !quote_is_escaped(start, p)) return p;
    return NULL;
}

/* The quote that ends the string which begins at p, behind another, or NULL. Most strings are short. */
static ALWAYS_INLINE const uint8_t *string_end(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
#ifdef HAVE_MASK64
    if (can_read(p, limit, 64)) {
        uint64_t mask = mask64(p, '"');
        const uint8_t *quote = p + __builtin_ctzll(mask | 1ULL << 63);
        if (mask && quote < end && quote[-1] != '\\') return quote;
    }
#endif
    return far_string_end(p, end, limit);
}

/* Each bit of the result is whether an odd number of bits are set in `bits` up to it. */
static inline uint64_t prefix_xor(uint64_t bits) {
    for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
    return bits;
}

/* Behind the bracket that closes the container at p, or NULL. Brackets of both kinds count alike. */
static __attribute__((noinline)) const uint8_t *skip_container(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    if (end - p > 1 && (p[1] == '}' || p[1] == ']')) return p + 2; /* many are empty */
    const uint8_t *start = p;
    size_t depth = 0;
    uint64_t inside = 0;     /* all ones where the block before ended in a string */
    uint64_t backslash = 0;  /* 1 where it ended with a backslash */
    for (;; p += 64) {
        uint8_t copy[64];
        const uint8_t *block = block_at(p, end, limit, copy);
        uint64_t valid = end - p >= 64 ? ~0ULL : (1ULL << (end - p)) - 1;
        Marks marks = marks_of(block);
        uint64_t quotes = marks.quotes & valid;
        if (quotes & (marks.backslashes << 1 | backslash)) {
            /* A backslash before a quote means something in a string only: one quote after the other. */
            uint64_t real = 0;
            bool open = inside;
            for (uint64_t rest = quotes; rest; rest &= rest - 1) {
                if (open && quote_is_escaped(start, p + __builtin_ctzll(rest))) continue;
                open = !open;
                real |= rest & -rest;
            }
            quotes = real;
        }
        backslash = marks.backslashes >> 63;
        uint64_t strings = prefix_xor(quotes) ^ inside;
        inside = 0 - (strings >> 63);
        uint64_t brackets = marks.brackets & valid & ~strings;
        for (; brackets; brackets &= brackets - 1) {
            int at = __builtin_ctzll(brackets);
            if (block[at] == '{' || block[at] == '[')
                depth++;
            else if (--depth == 0)
                return p + at + 1;
        }
        if (end - p <= 64) return NULL;
    }
}

#if defined(__SSE2__)
/* Which of the 16 bytes at p end a scalar: `,`, `}` or `]`. */
static inline unsigned separators(const uint8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i brackets = _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('}'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(brackets, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(','))));
}
#endif

/* First `,`, `}` or `]` in [p, end), or end. */
static inline const uint8_t *find_separator(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
#if defined(__SSE2__)
    for (; p < end && can_read(p, limit, 16); p += 16) {
        unsigned mask = separators(p);
        if (mask) {
            p += __builtin_ctz(mask);
            return p < end ? p : end;
        }
    }
#else
    (void)limit;
#endif
    while (p < end && *p != ',' && *p != '}' && *p != ']') p++;
    return p < end ? p : end;
}

/* scalar_end of any scalar. */
static __attribute__((noinline)) const uint8_t *far_scalar_end(const uint8_t *p, const uint8_t *end, const uint8_t *limit,
                                                               bool in_object) {
    while ((p = find_separator(p, end, limit)) < end) {
        if (*p != ',' || !in_object) return p;
        const uint8_t *next = skip_blanks(p + 1, end);
        if (next < end && *next == '"') return p;
        p = next;
    }
    return NULL;
}

/* Where the scalar at p ends, or NULL. In an object a comma ends it only before the next key, because nginx writes
 * `"x": 0.001, 0.002, "y": ...`. Most are short and followed by `,"` or `, "`. */
static ALWAYS_INLINE const uint8_t *scalar_end(const uint8_t *p, const uint8_t *end, const uint8_t *limit, bool in_object) {
#if defined(__SSE2__)
    if (can_read(p, limit, 18)) {
        unsigned mask = separators(p);
        const uint8_t *stop = p + __builtin_ctz(mask | 1U << 31), *next = stop + 1;
        if (mask && next + 1 < end) {
            if (*stop != ',' || !in_object || next[*next == ' '] == '"') return stop;
        }
    }
#endif
    return far_scalar_end(p, end, limit, in_object);
}

#endif
