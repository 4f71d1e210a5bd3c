/* What stands in a field: its type, where it reaches and what its text means (log_format.Type).
 *
 * A reader takes where a value begins and where its text ends, and gives where the value ends; NULL where none of its
 * type stands there.
 */
#ifndef LOGSCAN_VALUES_H
#define LOGSCAN_VALUES_H

#include "text.h"

enum {
    TEXT,
    USER,
    TIME_LOCAL,
    TIME_ISO8601,
    MSEC,
    STATUS,
    PORT,
    INTEGER,
    SECONDS,
    LIST,
    ADDRESS_PORT,
    MILLIS,
    MICROS,
    NANOS,
    TIME_ANY,
    NAME,
    BLANKS,
    STREAM,
    CRI_TAG,
    SYSLOG_TIME,
    WORD,
    UNQUOTED,
    FIRST_ADDRESS,
    ADDRESSES,
    TYPES
};

typedef struct {
    const uint8_t *start;
    const uint8_t *end;
    uint64_t number;  /* integers: the value; seconds: the digits without the point; times: milliseconds */
    uint8_t decimals; /* seconds: how many of the digits stand behind the point */
    bool present;     /* the typed value is there, not `-` and not empty */
    /* Of a JSON layout only, others leave them as they are: */
    bool missing; /* the line has no such value */
    bool raw;     /* JSON as it came, not to be unescaped */
    bool joined;  /* the text stands in a buffer of the layout, not in the log */
} Span;

/* Why a line does not fit (log_format.REASONS). */
enum { EXPECTED_LITERAL, MALFORMED_VALUE, TOO_LONG, CONTINUED };

typedef struct {
    size_t position; /* where in the line it stops fitting; of several tries the one that came farthest counts */
    int field;       /* of which field, -1 for the prefix, or for JSON that cannot be read */
    int reason;
} Misfit;

#define MAX_FIELDS 64

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static inline bool is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

/* How many of the eight bytes at p are digits before the first that is none, and their value; eight digits count as
 * too many (-1) and are left to the slow way. */
static inline int short_number(const uint8_t *p, const uint8_t *limit, uint64_t *value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (!can_read(p, limit, 8)) return -1;
    uint64_t word;
    memcpy(&word, p, 8);
    word ^= 0x3030303030303030ULL; /* digits become 0 to 9, all else at least 10 */
    uint64_t others = ((word + 0x7676767676767676ULL) | word) & 0x8080808080808080ULL;
    if (others == 0) return -1;
    int digits = __builtin_ctzll(others) >> 3;
    if (digits == 0) {
        *value = 0;
        return 0;
    }
    word <<= 64 - 8 * digits; /* leading zeros */
    word = word * 10 + (word >> 8);
    *value = ((word & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
              (word >> 16 & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
    return digits;
#else
    (void)p, (void)limit, (void)value;
    return -1;
#endif
}

/* Digits, `-` or nothing; a `-` with digits stands for nothing too. Returns the end of the value, or NULL where the
 * number is larger than `most`. */
static inline const uint8_t *read_integer(const uint8_t *p, const uint8_t *end, const uint8_t *limit,
                                          uint64_t most, Span *span) {
    const uint8_t *start = p;
    uint64_t value = 0;
    int digits = short_number(p, limit, &value);
    if (digits > 0 && digits <= end - p)
        p += digits;
    else
        value = 0;
    for (; p < end && is_digit(*p); p++) { /* what is longer, or ends with the text */
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10) return NULL;
        value = value * 10 + digit;
    }
    if (value > most) return NULL;
    span->present = p > start;
    span->number = value;
    if (p == start && p < end && *p == '-') {
        do p++;
        while (p < end && is_digit(*p));
    }
    return p;
}

/* An integer that may have a `+` before it. */
static inline const uint8_t *read_signed(const uint8_t *p, const uint8_t *end, const uint8_t *limit, Span *span) {
    if (p == end || *p != '+') return read_integer(p, end, limit, UINT64_MAX, span);
    return end - p > 1 && is_digit(p[1]) ? read_integer(p + 1, end, limit, UINT64_MAX, span) : NULL;
}

/* Behind a `-`: the digits of a number that stands for nothing, if there are any. */
static const uint8_t *pass_number(const uint8_t *p, const uint8_t *end) {
    const uint8_t *start = p, *point = NULL;
    while (p < end && (is_digit(*p) || (*p == '.' && point == NULL))) {
        if (*p == '.') point = p;
        p++;
    }
    return point == start && p == start + 1 ? start : p;
}

/* Digits of a number that count, and decimals of one: a double holds no more. */
#define MOST_DIGITS 18

/* Digits with at most one point, `-` or nothing. Of more than `MOST_DIGITS` digits those behind the point are passed over;
 * NULL where there are so many before it. A `-` with a number stands for nothing too. */
static inline const uint8_t *read_decimal(const uint8_t *p, const uint8_t *end, const uint8_t *limit, Span *span) {
    uint64_t seconds, thousandths;
    int before = short_number(p, limit, &seconds);
    if (before > 0 && before + 4 <= end - p && p[before] == '.' &&
        short_number(p + before + 1, limit, &thousandths) == 3) {
        span->present = true; /* as nginx writes it */
        span->number = seconds * 1000 + thousandths;
        span->decimals = 3;
        return p + before + 4;
    }
    const uint8_t *start = p;
    uint64_t value = 0;
    bool digits = false;
    uint8_t decimals = 0;
    const uint8_t *point = NULL;
    for (; p < end; p++) {
        if (is_digit(*p)) {
            digits = true;
            if (value < 100000000000000000ULL && decimals < MOST_DIGITS) {
                value = value * 10 + (uint64_t)(*p - '0');
                decimals += point != NULL;
            } else if (point == NULL) {
                return NULL;
            }
        } else if (*p == '.' && point == NULL) {
            point = p;
        } else {
            break;
        }
    }
    span->present = digits;
    span->number = value;
    span->decimals = decimals;
    if (p == start && p < end && *p == '-') return pass_number(p + 1, end);
    return !digits && p > start ? NULL : p;
}

/* Behind a number the exponent that it may have, `e-05`, which moves its point. */
static const uint8_t *read_exponent(const uint8_t *p, const uint8_t *end, Span *span) {
    const uint8_t *digits = p + 1;
    bool minus = digits < end && *digits == '-';
    if (digits < end && (*digits == '-' || *digits == '+')) digits++;
    int exponent = 0;
    const uint8_t *stop = digits;
    for (; stop < end && is_digit(*stop) && stop - digits < 3; stop++) exponent = exponent * 10 + (*stop - '0');
    if (stop == digits) return p;
    int decimals = span->decimals + (minus ? exponent : -exponent);
    if (span->number == 0) decimals = 0;
    for (; decimals < 0; decimals++) {
        if (span->number >= 100000000000000000ULL) return NULL;
        span->number *= 10;
    }
    for (; decimals > MOST_DIGITS; decimals--) span->number /= 10;
    span->decimals = (uint8_t)decimals;
    return stop;
}

/* A decimal number that may have an exponent, as JSON's numbers may. */
static inline const uint8_t *read_seconds(const uint8_t *p, const uint8_t *end, const uint8_t *limit, Span *span) {
    const uint8_t *stop = read_decimal(p, end, limit, span);
    if (stop == NULL || stop == p || stop == end || (*stop | 0x20) != 'e' || stop[-1] == '-') return stop;
    return read_exponent(stop, end, span);
}

static double seconds_value(uint64_t number, uint8_t decimals) {
    static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
                                    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
                                    1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27}; /* nanoseconds of MOST_DIGITS */
    return (double)number / POWERS[decimals];
}

/* A number of `1 / 10^unit` seconds, which may have a `+` before it. */
static const uint8_t *read_duration(const uint8_t *p, const uint8_t *end, const uint8_t *limit, uint8_t unit,
                                    Span *span) {
    bool plus = p < end && *p == '+';
    const uint8_t *stop = read_seconds(p + plus, end, limit, span);
    if (stop == NULL || (plus && !span->present)) return NULL;
    span->decimals += unit;
    return stop;
}

static bool is_duration(uint8_t type) { return type == SECONDS || (type >= MILLIS && type <= NANOS); }

/* ---- words ------------------------------------------------------------------------------------------------------ */

static const uint8_t *read_name(const uint8_t *p, const uint8_t *end) {
    const uint8_t *start = p;
    while (p < end && (is_digit(*p) || (uint8_t)((*p | 0x20) - 'a') < 26 || *p == '.' || *p == '_' || *p == '-')) p++;
    return p > start ? p : NULL;
}

/* Behind them may stand the mark that a text of RFC 5424 is UTF-8. */
static const uint8_t *read_blanks(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p == ' ') p++;
    return starts_with(p, end, (const uint8_t *)"\xEF\xBB\xBF", 3) ? p + 3 : p;
}

static const uint8_t *read_stream_name(const uint8_t *p, const uint8_t *end) {
    const uint8_t *out = (const uint8_t *)"stdout", *err = (const uint8_t *)"stderr";
    return starts_with(p, end, out, 6) || starts_with(p, end, err, 6) ? p + 6 : NULL;
}

/* `F` or `P`, which may have more behind a colon. */
static const uint8_t *read_cri_tag(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    if (p == end || (*p != 'F' && *p != 'P')) return NULL;
    p++;
    return p < end && *p == ':' ? find_byte(p, end, limit, ' ') : p;
}

/* A bracket begins an item only where an address of IPv6 stands in it, `[::1]:80`. The name of an upstream, or the want
 * of one, is of a format with one field more. */
static bool begins_item(const uint8_t *p, const uint8_t *end) {
    bool colon = false;
    for (; p < end && *p != ' '; p++) {
        if (*p == ']') return colon;
        colon |= *p == ':';
    }
    return false;
}

/* `a`, `a, b`, `a : b`, and `a : ` where a redirect was noted and nothing tried after it. Items hold no blank. */
static ALWAYS_INLINE const uint8_t *read_list(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    const uint8_t *start = p;
    for (;;) {
        if (p < end && *p == '[' && !begins_item(p, end)) return NULL;
        p = find_byte(p, end, limit, ' ');
        if (p == end) return p;
        if (p > start && p[-1] == ',') {
            p++;
        } else if (end - p >= 3 && p[1] == ':' && p[2] == ' ') {
            p += 3;
            if (p == end || *p == ' ') return p;
        } else {
            return p;
        }
    }
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

static bool read_ipv4(const uint8_t *p, const uint8_t *end, uint32_t *out) {
    uint32_t value = 0;
    for (int part = 0; part < 4; part++) {
        if (part && (p >= end || *p++ != '.')) return false;
        if (p >= end || !is_digit(*p)) return false;
        unsigned number = *p++ - '0';
        if (number == 0) {
            if (p < end && is_digit(*p)) return false; /* 010 is octal to some and ten to others: no address */
        } else {
            for (int digits = 1; digits < 3 && p < end && is_digit(*p); digits++) number = number * 10 + (*p++ - '0');
            if (number > 255) return false;
        }
        value = value << 8 | number;
    }
    *out = value;
    return p == end;
}

static __attribute__((noinline)) bool read_ipv6(const uint8_t *p, const uint8_t *end, uint64_t *high, uint64_t *low) {
    uint16_t groups[8] = {0};
    int count = 0, gap = -1;
    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }
    while (p < end) {
        const uint8_t *group = p;
        unsigned value = 0;
        for (int digit; p < end && p - group < 4 && (digit = hex_value(*p)) >= 0; p++) value = value << 4 | (unsigned)digit;
        if (p < end && *p == '.') {
            uint32_t tail;
            if (count > 6 || !read_ipv4(group, end, &tail)) return false;
            groups[count++] = (uint16_t)(tail >> 16);
            groups[count++] = (uint16_t)tail;
            p = end;
            break;
        }
        if (p == group || count == 8) return false;
        groups[count++] = (uint16_t)value;
        if (p == end) break;
        if (*p++ != ':' || p == end) return false;
        if (*p == ':') {
            if (gap >= 0) return false;
            gap = count;
            p++;
        }
    }
    if (gap < 0 ? count != 8 : count > 7) return false;
    uint16_t whole[8] = {0};
    int head = gap < 0 ? count : gap;
    for (int i = 0; i < head; i++) whole[i] = groups[i];
    for (int i = head; i < count; i++) whole[8 - count + i] = groups[i];
    *high = (uint64_t)whole[0] << 48 | (uint64_t)whole[1] << 32 | (uint64_t)whole[2] << 16 | whole[3];
    *low = (uint64_t)whole[4] << 48 | (uint64_t)whole[5] << 32 | (uint64_t)whole[6] << 16 | whole[7];
    return true;
}

/* One of the four numbers of an address, which has so many digits. Anything above 255 stands for what is none. */
static inline uint32_t ipv4_part(const uint8_t *p, uint32_t digits) {
    uint32_t word;
    memcpy(&word, p, 4);
    word ^= 0x30303030; /* digits become 0 to 9 */
    uint32_t none = (digits - 1 > 2) | ((digits > 1) & ((word & 0xFF) == 0));
    word <<= (32 - 8 * digits) & 31; /* leading zeros */
    return ((word >> 8 & 0xFF) * 100 + (word >> 16 & 0xFF) * 10 + (word >> 24)) | none << 8;
}

/* read_ipv4 where 20 bytes can be read, with no branch that depends on how many digits there are. */
static inline bool read_ipv4_ahead(const uint8_t *p, const uint8_t *end, uint32_t *out) {
#if defined(__SSE2__)
    if (end - p < 7 || end - p > 15) return false;
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p), values = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    uint32_t all = (1U << (end - p)) - 1, dots = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.'))) & all;
    uint32_t digits = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values));
    uint32_t second = dots & (dots - 1), third = second & (second - 1);
    if (((dots | digits) & all) != all || third == 0 || (third & (third - 1))) return false;
    uint32_t a = (uint32_t)__builtin_ctz(dots), b = (uint32_t)__builtin_ctz(second), c = (uint32_t)__builtin_ctz(third);
    uint32_t parts[4] = {ipv4_part(p, a), ipv4_part(p + a + 1, b - a - 1), ipv4_part(p + b + 1, c - b - 1),
                         ipv4_part(p + c + 1, (uint32_t)(end - p) - c - 1)};
    *out = parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | parts[3];
    return (parts[0] | parts[1] | parts[2] | parts[3]) < 256;
#else
    return read_ipv4(p, end, out);
#endif
}

static inline bool read_address(const uint8_t *p, const uint8_t *end, const uint8_t *limit, uint64_t *high, uint64_t *low) {
    uint32_t v4;
    if (can_read(p, limit, 20) ? read_ipv4_ahead(p, end, &v4) : read_ipv4(p, end, &v4)) {
        *high = 0;
        *low = 0xFFFF00000000ULL | v4;
        return true;
    }
    const uint8_t *colon = p, *first = end - p > 5 ? p + 5 : end;
    while (colon < first && *colon != ':') colon++; /* no group of IPv6 has more than four digits */
    return colon < first && end - p <= 45 && read_ipv6(p, end, high, low);
}

/* The first sixteen bytes of a text, those that it lacks as 0. */
static inline void load_words(const uint8_t *p, const uint8_t *end, const uint8_t *limit, uint64_t words[2]) {
    size_t n = (size_t)(end - p);
    if (n >= 16) {
        memcpy(words, p, 16);
        return;
    }
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (can_read(p, limit, 16)) {
        memcpy(words, p, 16);
        uint64_t kept = ((uint64_t)1 << n % 8 * 8) - 1;
        words[0] &= n < 8 ? kept : UINT64_MAX;
        words[1] &= n < 8 ? 0 : kept;
        return;
    }
#else
    (void)limit;
#endif
    words[0] = words[1] = 0;
    memcpy(words, p, n);
}

/* A hash of the text in two lanes of eight bytes; portable.text_hash computes the same. */
static uint64_t text_hash(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    const uint64_t K = 0x9E3779B97F4A7C15ULL;
    uint64_t a = (uint64_t)(end - p) * K, b = ~a;
    for (; p < end; p += 16) {
        uint64_t words[2];
        load_words(p, end, limit, words);
        a = (a ^ words[0]) * K;
        a = a << 31 | a >> 33;
        b = (b ^ words[1]) * K;
        b = b << 31 | b >> 33;
    }
    uint64_t hash = (a ^ (b << 17 | b >> 47)) * K;
    return (hash ^ hash >> 32) * K;
}

/* One bit of a fan-in bitmap. */
static uint64_t fanin_bit(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    return 1ULL << (text_hash(p, end, limit) >> 58);
}

/* `198.51.100.7:443`, `[2001:db8::1]:443`, `[2001:db8::1]`, `2001:db8::1:443`: the text becomes the address and the
 * number the port; what ends with no port is all address. */
static void split_port(Span *span) {
    const uint8_t *start = span->start, *p = span->end;
    unsigned port = 0, power = 1;
    for (; p > start && span->end - p < 5 && is_digit(p[-1]); power *= 10) port += (unsigned)(*--p - '0') * power;
    bool found = p < span->end && p > start && p[-1] == ':' && port <= 65535;
    const uint8_t *stop = found ? p - 1 : span->end;
    bool brackets = stop - start >= 2 && *start == '[' && stop[-1] == ']';
    span->start += brackets;
    span->end = stop - brackets;
    span->number = found ? port : 0;
    span->present = found;
}

/* Whether no blank stands in a text but behind a comma, as in a list of addresses. */
static bool is_list(const uint8_t *p, const uint8_t *end) {
    for (const uint8_t *start = p; p < end; p++)
        if ((*p == ' ' || *p == '\t') && (p == start || (p[-1] != ',' && p[-1] != ' '))) return false;
    return true;
}

/* Of `203.0.113.7:443, 10.0.0.1` the text becomes the first address. A port is one behind brackets or the only colon. */
static void take_first(Span *span) {
    const uint8_t *comma = memchr(span->start, ',', (size_t)(span->end - span->start));
    if (comma) span->end = comma;
    size_t size = (size_t)(span->end - span->start);
    const uint8_t *colon = memchr(span->start, ':', size);
    bool alone = colon && memchr(colon + 1, ':', (size_t)(span->end - colon - 1)) == NULL;
    if (alone || (size && *span->start == '[')) split_port(span);
    span->present = false;
}

/* `203.0.113.7, 10.0.0.1`, not all of which need be addresses, or `-`, or nothing before a blank. */
static const uint8_t *read_addresses(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    if (p < end && *p == ' ') return p;
    if (p < end && *p == '-' && (p + 1 == end || p[1] == ' ')) return p + 1;
    for (bool any = false;;) {
        Span item = {.start = p};
        while (p < end && *p != ' ' && *p != ',') p++;
        if (p == item.start) return NULL;
        item.end = p;
        take_first(&item);
        const uint8_t *zone = memchr(item.start, '%', (size_t)(item.end - item.start));
        if (zone) item.end = zone; /* of a link-local address: fe80::1%eth0 */
        uint64_t high, low;
        any |= read_address(item.start, item.end, limit, &high, &low);
        if (p == end || *p == ' ') return any ? p : NULL;
        while (p < end && (*p == ',' || *p == ' ')) p++;
    }
}

#endif
