/* Bytes: searches 64 at a time, UTF-8, and the escapes of JSON. Nothing here knows what a line looks like.
 *
 * `end` is where a text ends, `limit` the end of readable memory, which is often further: what is read between the two
 * is never used, but a search need not slow down for the last bytes of a text. It is NULL where at least `AHEAD` bytes
 * are readable behind `end`: where a compiler knows that, it leaves out every question of how far memory reaches.
 */
#ifndef LOGSCAN_TEXT_H
#define LOGSCAN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))

#define AHEAD 64 /* bytes that are looked at together, at most */

/* The limit of a text, NULL where there is nothing to ask. */
static inline const uint8_t *limit_of(const uint8_t *end, const uint8_t *limit) {
    return limit - end >= AHEAD ? NULL : limit;
}

/* Whether n bytes can be read at p, which is no further than the end of its text; n is no more than AHEAD. */
static inline bool can_read(const uint8_t *p, const uint8_t *limit, ptrdiff_t n) {
    return limit == NULL || limit - p >= n;
}

/* ---- searches --------------------------------------------------------------------------------------------------- */

/* Which of the 64 bytes at p are `byte`, the first in the lowest bit. */
#if defined(__SSE2__)
#define HAVE_MASK64
static inline uint64_t mask64(const uint8_t *p, uint8_t byte) {
    const __m128i wanted = _mm_set1_epi8((char)byte);
    uint32_t mask[4];
    for (int i = 0; i < 4; i++) {
        __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), wanted);
        mask[i] = (uint32_t)_mm_movemask_epi8(same);
    }
    return (mask[0] | mask[1] << 16) | (uint64_t)(mask[2] | mask[3] << 16) << 32;
}
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define HAVE_MASK64
static inline uint64_t mask64(const uint8_t *p, uint8_t byte) {
    static const uint8_t BITS[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t wanted = vdupq_n_u8(byte), bits = vld1q_u8(BITS);
    uint8x16_t same[4];
    for (int i = 0; i < 4; i++) same[i] = vandq_u8(vceqq_u8(vld1q_u8(p + 16 * i), wanted), bits);
    uint8x16_t sums = vpaddq_u8(vpaddq_u8(same[0], same[1]), vpaddq_u8(same[2], same[3]));
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0);
}
#else
static inline uint64_t mask64(const uint8_t *p, uint8_t byte) {
    uint64_t mask = 0;
    for (int i = 0; i < 64; i++) mask |= (uint64_t)(p[i] == byte) << i;
    return mask;
}
#endif

/* First `byte` in [p, end), or end. 64 bytes at a time, because most fields are shorter than that and a loop that ends
 * at another round each time is mispredicted each time. */
static ALWAYS_INLINE const uint8_t *find_byte(const uint8_t *p, const uint8_t *end, const uint8_t *limit, uint8_t byte) {
#ifdef HAVE_MASK64
    while (p < end && can_read(p, limit, 64)) {
        uint64_t mask = mask64(p, byte);
        if (mask) {
            p += __builtin_ctzll(mask);
            return p < end ? p : end;
        }
        p += 64;
    }
#else
    (void)limit;
#endif
    while (p < end && *p != byte) p++;
    return p < end ? p : end;
}

static bool is_ascii(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    __m128i seen = _mm_setzero_si128();
    for (; p + 16 <= end; p += 16) seen = _mm_or_si128(seen, _mm_loadu_si128((const __m128i *)p));
    if (_mm_movemask_epi8(seen)) return false;
#endif
    uint8_t rest = 0;
    for (; p < end; p++) rest |= *p;
    return rest < 0x80;
}

static inline bool starts_with(const uint8_t *p, const uint8_t *end, const uint8_t *text, size_t len) {
    return (size_t)(end - p) >= len && memcmp(p, text, len) == 0;
}

static bool quote_is_escaped(const uint8_t *from, const uint8_t *quote) {
    size_t backslashes = 0;
    while (quote > from && quote[-1] == '\\') {
        quote--;
        backslashes++;
    }
    return backslashes & 1;
}

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------ */

/* Length of the UTF-8 sequence at p, or 0; `bad` then says how many bytes one replacement character stands for. */
static int utf8_length(const uint8_t *p, const uint8_t *end, int *bad) {
    static const uint8_t LOW[] = {0xA0, 0x80, 0x90, 0x80}, HIGH[] = {0xBF, 0x9F, 0xBF, 0x8F};
    *bad = 1;
    uint8_t lead = *p;
    if (lead < 0x80) return 1;
    int length = lead >= 0xC2 && lead <= 0xDF ? 2 : lead >= 0xE0 && lead <= 0xEF ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
    if (length == 0) return 0;
    for (int i = 1; i < length; i++) {
        uint8_t low = 0x80, high = 0xBF;
        int special = i > 1 ? -1 : lead == 0xE0 ? 0 : lead == 0xED ? 1 : lead == 0xF0 ? 2 : lead == 0xF4 ? 3 : -1;
        if (special >= 0) low = LOW[special], high = HIGH[special];
        if (p + i >= end || p[i] < low || p[i] > high) {
            *bad = i;
            return 0;
        }
    }
    return length;
}

static bool is_utf8(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        int bad, n = utf8_length(p, end, &bad);
        if (n == 0) return false;
        p += n;
    }
    return true;
}

/* Write the text with U+FFFD for every broken sequence, as Python's errors="replace" makes it. `out` has room for three
 * times the text. Returns where the written text ends. */
static uint8_t *repair_utf8(const uint8_t *p, const uint8_t *end, uint8_t *out) {
    while (p < end) {
        int bad, n = utf8_length(p, end, &bad);
        memcpy(out, n ? p : (const uint8_t *)"\xEF\xBF\xBD", n ? (size_t)n : 3);
        out += n ? n : 3;
        p += n ? n : bad;
    }
    return out;
}

/* ---- the escapes of JSON ---------------------------------------------------------------------------------------- */

static int hex_value(uint8_t c) {
    if ((uint8_t)(c - '0') < 10) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number of `\uXXXX` at p, or -1. */
static int utf16_unit(const uint8_t *p, const uint8_t *end) {
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    int value = 0;
    for (int i = 2; i < 6; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static uint8_t *put_utf8(uint8_t *out, unsigned code) {
    if (code < 0x80) {
        *out++ = (uint8_t)code;
        return out;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3; /* bytes behind the first */
    static const uint8_t LEADS[] = {0, 0xC0, 0xE0, 0xF0};
    *out++ = (uint8_t)(LEADS[more] | code >> 6 * more);
    while (more--) *out++ = (uint8_t)(0x80 | (code >> 6 * more & 0x3F));
    return out;
}

/* Write the text without its escapes; an escape that JSON does not know stays. `out` has room for as many bytes as the
 * text has: no escape is shorter than what it stands for. Returns where the written text ends. */
static uint8_t *unescape(const uint8_t *p, const uint8_t *end, uint8_t *out) {
    while (p < end) {
        const uint8_t *stop = memchr(p, '\\', (size_t)(end - p));
        if (stop == NULL) stop = end;
        memcpy(out, p, (size_t)(stop - p));
        out += stop - p;
        p = stop;
        if (p == end) break;
        static const uint8_t NAMED[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                           ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
        uint8_t named = end - p > 1 ? NAMED[p[1]] : 0;
        int unit;
        if (named) {
            *out++ = named;
            p += 2;
        } else if ((unit = utf16_unit(p, end)) < 0) {
            *out++ = *p++;
        } else {
            unsigned code = (unsigned)unit;
            p += 6;
            if (code >= 0xD800 && code < 0xE000) {
                int low = code < 0xDC00 ? utf16_unit(p, end) : -1;
                bool pair = low >= 0xDC00 && low < 0xE000;
                code = pair ? 0x10000 + ((code - 0xD800) << 10) + ((unsigned)low - 0xDC00) : 0xFFFD;
                if (pair) p += 6;
            }
            out = put_utf8(out, code);
        }
    }
    return out;
}

static bool has_escape(const uint8_t *p, const uint8_t *end) {
    return p < end && memchr(p, '\\', (size_t)(end - p)) != NULL;
}

#endif
