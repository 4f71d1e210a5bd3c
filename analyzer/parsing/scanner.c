/* The native scanner: bytes of a log and a LineFormat in, Arrow columns out.
 *
 * One pass over the text, no Python object and no allocation per line, the GIL released. What a line must look like
 * and which columns are wanted comes from Python as data (log_format.py, schema.py); portable.py keeps the same
 * contract in plain Python and is the oracle of the tests. The two must agree to the byte.
 *
 * A line is a prefix literal, then fields, each followed by the literal that ends it (the last one by the line's end).
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../arrow.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* ---- what Python says: fields and outputs (the numbers are those of log_format.Type and schema.Kind) ------------- */

enum { TEXT, USER, TIME_LOCAL, TIME_ISO8601, MSEC, STATUS, PORT, INTEGER, SECONDS, LIST };

enum {
    OUT_TEXT,
    OUT_ADDRESS,
    OUT_TIME,
    OUT_UINT16,
    OUT_UINT64,
    OUT_SECONDS,
    OUT_SECONDS_SUM,
    OUT_METHOD,
    OUT_PATH,
    OUT_PROTOCOL,
    OUT_READABLE,
    OUT_FANIN,
    OUT_FANIN_FIRST,
    OUT_TAG,
    OUT_OFFSET,
    OUT_KINDS
};

static const struct {
    const char *format;
    uint8_t width;
    bool nullable;
} KINDS[OUT_KINDS] = {
    [OUT_TEXT] = {"vu", 16, false},       [OUT_ADDRESS] = {"_plu128", 16, true}, [OUT_TIME] = {"tsm:UTC", 8, true},
    [OUT_UINT16] = {"S", 2, true},        [OUT_UINT64] = {"L", 8, true},         [OUT_SECONDS] = {"g", 8, true},
    [OUT_SECONDS_SUM] = {"g", 8, true},   [OUT_METHOD] = {"vu", 16, true},       [OUT_PATH] = {"vu", 16, true},
    [OUT_PROTOCOL] = {"vu", 16, true},    [OUT_READABLE] = {"C", 1, false},      [OUT_FANIN] = {"L", 8, false},
    [OUT_FANIN_FIRST] = {"L", 8, false},  [OUT_TAG] = {"C", 1, false},           [OUT_OFFSET] = {"L", 8, false},
};

#define MAX_FIELDS 64
#define MAX_OUTPUTS 64
#define MAX_TAGS 32
#define MAX_RETRIES 64
#define KEPT_BLANK 2048 /* of empty lines in a row: an error record of nginx has no more bytes (NGX_MAX_ERROR_STR) */

/* Why a line does not fit (log_format.REASONS). */
enum { EXPECTED_LITERAL, MALFORMED_VALUE, TOO_LONG, CONTINUED };

typedef struct {
    uint8_t type;
    bool retry; /* a field whose text may hold its own terminator: try the next one when the rest does not fit */
    bool last;    /* its literal ends the line */
    bool escaped; /* a quote preceded by an odd number of backslashes does not end it */
    const uint8_t *literal;
    size_t literal_len;
    uint64_t word, mask; /* the literal's first eight bytes, to compare them at once */
} Field;

typedef struct {
    uint8_t kind;
    uint8_t field;
    uint8_t n_tags;
    struct {
        const uint8_t *text;
        size_t len;
    } tags[MAX_TAGS];
    Buffer values;
    Buffer validity;
    int64_t nulls;
} Output;

typedef struct {
    const uint8_t *start;
    const uint8_t *end;
    uint64_t number; /* integers: the value; seconds: the digits without the point; times: milliseconds */
    uint8_t decimals; /* seconds: how many of the digits stand behind the point */
    bool present; /* the typed value is there, not `-` and not empty */
} Span;

typedef struct {
    PyObject_HEAD
    PyObject *program; /* the tuples from Python, which own the literals and tags */
    const uint8_t *prefix;
    size_t prefix_len;
    int n_fields;
    Field fields[MAX_FIELDS];
    int n_outputs;
    Output outputs[MAX_OUTPUTS];
    bool has_text;

    /* the batch that is being filled */
    size_t rows, capacity;
    uint64_t lines;
    PyObject *texts; /* list of the buffers that string views point into */
    Buffer repaired; /* text that was not UTF-8, repaired */
    size_t repaired_len;
    Buffer bad_text, bad_ends, bad_offset, bad_where, bad_number, bad_field, bad_reason;
    size_t bad_rows, bad_len;
    uint64_t blank;     /* empty lines that are counted and not kept */
    uint64_t blank_run; /* empty lines in a row up to here */

    uint8_t time_text[26]; /* the last $time_local read: most lines repeat it */
    bool time_known;
    int64_t time_value;
} Scanner;

/* ---- small searches --------------------------------------------------------------------------------------------- */

/* Which of the 64 bytes at p are `byte`, the first in the lowest bit. */
#if defined(__SSE2__)
#define HAVE_MASK64
static inline uint64_t mask64(const uint8_t *p, uint8_t byte) {
    const __m128i wanted = _mm_set1_epi8((char)byte);
    uint64_t mask[4];
    for (int i = 0; i < 4; i++) {
        __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), wanted);
        mask[i] = (uint16_t)_mm_movemask_epi8(same);
    }
    return mask[0] | mask[1] << 16 | mask[2] << 32 | mask[3] << 48;
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
#endif

/* First `byte` in [p, end), or end. `limit` is the end of readable memory. 64 bytes at a time, because most fields are
 * shorter than that and a loop that ends at another round each time is mispredicted each time. */
static inline const uint8_t *find_byte(const uint8_t *p, const uint8_t *end, const uint8_t *limit, uint8_t byte) {
#ifdef HAVE_MASK64
    while (p < end && limit - p >= 64) {
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

/* Whether the field's literal stands at p. Most literals are short: no call for them. */
static inline bool literal_at(const Field *field, const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    if ((size_t)(end - p) < field->literal_len) return false;
    if (limit - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        if ((word & field->mask) != field->word) return false;
        if (field->literal_len <= 8) return true;
    }
    return memcmp(p, field->literal, field->literal_len) == 0;
}

static bool quote_is_escaped(const uint8_t *from, const uint8_t *quote) {
    size_t backslashes = 0;
    while (quote > from && quote[-1] == '\\') {
        quote--;
        backslashes++;
    }
    return backslashes & 1;
}

/* Where the field's literal begins in [p, end), or NULL. */
static inline const uint8_t *find_literal(const Field *field, const uint8_t *start, const uint8_t *p,
                                          const uint8_t *end, const uint8_t *limit) {
    const uint8_t first = field->literal[0];
    while ((p = find_byte(p, end, limit, first)) < end) {
        if (literal_at(field, p, end, limit) && !(field->escaped && quote_is_escaped(start, p)))
            return p;
        p++;
    }
    return NULL;
}

/* ---- typed values ----------------------------------------------------------------------------------------------- */

static inline bool is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

/* How many of the eight bytes at p are digits before the first that is none, and their value; eight digits count as
 * too many (-1) and are left to the slow way. */
static inline int short_number(const uint8_t *p, const uint8_t *limit, uint64_t *value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (limit - p < 8) return -1;
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

/* Digits, `-` or nothing. Returns the end of the value, or NULL where the number is larger than `most`. */
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
    if (p == start && p < end && *p == '-') p++;
    return p;
}

/* Digits with at most one point, `-` or nothing; at most 15 digits, which a double holds exactly. */
static inline const uint8_t *read_seconds(const uint8_t *p, const uint8_t *end, const uint8_t *limit, Span *span) {
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
    int digits = 0;
    const uint8_t *point = NULL;
    for (; p < end; p++) {
        if (is_digit(*p)) {
            if (++digits > 15) return NULL;
            value = value * 10 + (uint64_t)(*p - '0');
        } else if (*p == '.' && point == NULL) {
            point = p;
        } else {
            break;
        }
    }
    span->present = digits > 0;
    span->number = value;
    span->decimals = point ? (uint8_t)(p - point - 1) : 0;
    if (p == start && p < end && *p == '-') return p + 1;
    return digits == 0 && p > start ? NULL : p;
}

static double seconds_value(uint64_t number, uint8_t decimals) {
    static const double POWERS[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    return (double)number / POWERS[decimals];
}

static int two_digits(const uint8_t *p) {
    return is_digit(p[0]) && is_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

#define YEAR_10000 253402300800000LL /* in milliseconds: no calendar goes further */

/* Milliseconds since 1970, or false where there is no such moment. */
static bool moment(int year, int month, int day, int hour, int minute, int second, int zone_minutes, int64_t *out) {
    static const uint8_t DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1970 || month < 1 || month > 12 || day < 1) return false;
    if (day > DAYS[month - 1] + (month == 2 && leap) || hour > 23 || minute > 59 || second > 60) return false;
    int y = year - (month <= 2), m = (month + 9) % 12;
    int64_t days = 365LL * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719468;
    *out = ((days * 24 + hour) * 60 + minute - zone_minutes) * 60000LL + second * 1000LL;
    return *out < YEAR_10000;
}

static bool read_zone(const uint8_t *p, const uint8_t *minutes, int *zone) {
    int hour = two_digits(p + 1), minute = two_digits(minutes);
    if ((*p != '+' && *p != '-') || hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
    *zone = (hour * 60 + minute) * (*p == '-' ? -1 : 1);
    return true;
}

/* `21/Nov/2026:07:08:09 +0000` */
static const uint8_t *read_time_local(Scanner *self, const uint8_t *p, const uint8_t *end, Span *span) {
    if (end - p < 26) return NULL;
    if (!self->time_known || memcmp(p, self->time_text, 26) != 0) {
        static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        int month = 0, zone;
        while (month < 12 && memcmp(p + 3, MONTHS + month * 3, 3) != 0) month++;
        int day = two_digits(p), century = two_digits(p + 7), years = two_digits(p + 9), hour = two_digits(p + 12),
            minute = two_digits(p + 15), second = two_digits(p + 18);
        if (p[2] != '/' || p[6] != '/' || p[11] != ':' || p[14] != ':' || p[17] != ':' || p[20] != ' ') return NULL;
        if ((day | century | years | hour | minute | second) < 0 || !read_zone(p + 21, p + 24, &zone)) return NULL;
        self->time_known = moment(century * 100 + years, month + 1, day, hour, minute, second, zone, &self->time_value);
        if (!self->time_known) return NULL;
        memcpy(self->time_text, p, 26);
    }
    span->number = (uint64_t)self->time_value;
    span->present = true;
    return p + 26;
}

/* `2026-11-21T07:08:09+00:00`, also with a fraction and with `Z` */
static const uint8_t *read_time_iso8601(const uint8_t *p, const uint8_t *end, Span *span) {
    if (end - p < 20) return NULL;
    int century = two_digits(p), years = two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8),
        hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17), zone = 0;
    if (p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':') return NULL;
    if ((century | years | month | day | hour | minute | second) < 0) return NULL;
    p += 19;
    int fraction = 0;
    if (*p == '.') {
        int scale = 100, digits = 0;
        for (p++; p < end && is_digit(*p); p++, scale /= 10, digits++) fraction += (*p - '0') * scale;
        if (digits == 0 || digits > 9) return NULL;
    }
    if (p < end && *p == 'Z') {
        p++;
    } else {
        if (end - p < 6 || p[3] != ':' || !read_zone(p, p + 4, &zone)) return NULL;
        p += 6;
    }
    int64_t value;
    if (!moment(century * 100 + years, month, day, hour, minute, second, zone, &value)) return NULL;
    span->number = (uint64_t)(value + fraction);
    span->present = true;
    return p;
}

/* `1763708889.123` */
static const uint8_t *read_msec(const uint8_t *p, const uint8_t *end, const uint8_t *limit, Span *span) {
    p = read_seconds(p, end, limit, span);
    if (p == NULL || !span->present || span->decimals > 3) return NULL;
    for (; span->decimals < 3; span->decimals++) span->number *= 10;
    return span->number < YEAR_10000 ? p : NULL;
}

/* `a`, `a, b`, `a : b`, and `a : ` where a redirect was noted and nothing tried after it. Items hold no blank. */
static const uint8_t *read_list(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
    const uint8_t *start = p;
    for (;;) {
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

static int hex_value(uint8_t c) {
    if (is_digit(c)) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_ipv6(const uint8_t *p, const uint8_t *end, uint64_t *high, uint64_t *low) {
    uint16_t groups[8] = {0};
    int count = 0, gap = -1;
    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }
    while (p < end) {
        const uint8_t *group = p;
        unsigned value = 0;
        while (p < end && p - group < 4 && hex_value(*p) >= 0) value = value << 4 | (unsigned)hex_value(*p++);
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

static bool read_address(const uint8_t *p, const uint8_t *end, uint64_t *high, uint64_t *low) {
    uint32_t v4;
    if (read_ipv4(p, end, &v4)) {
        *high = 0;
        *low = 0xFFFF00000000ULL | v4;
        return true;
    }
    return end - p <= 45 && read_ipv6(p, end, high, low);
}

/* A hash of the text in two lanes of eight bytes, for fan-in bitmaps; portable.fanin_bit computes the same. */
static uint64_t fanin_bit(const uint8_t *p, const uint8_t *end) {
    const uint64_t K = 0x9E3779B97F4A7C15ULL;
    uint64_t a = (uint64_t)(end - p) * K, b = ~a;
    while (p < end) {
        uint64_t words[2] = {0, 0};
        size_t n = (size_t)(end - p) < 16 ? (size_t)(end - p) : 16;
        if (n == 16)
            memcpy(words, p, 16);
        else
            memcpy(words, p, n);
        p += n;
        a = (a ^ words[0]) * K;
        a = a << 31 | a >> 33;
        b = (b ^ words[1]) * K;
        b = b << 31 | b >> 33;
    }
    uint64_t hash = (a ^ (b << 17 | b >> 47)) * K;
    hash = (hash ^ hash >> 32) * K;
    return 1ULL << (hash >> 58);
}

/* ---- the request line ------------------------------------------------------------------------------------------- */

typedef struct {
    Span method, path, protocol;
    bool readable;
} Request;

/* `GET /path HTTP/1.1`: an upper-case method, a target, a protocol; HTTP/0.9 has none. */
static Request split_request(const Span *request) {
    Request parts = {0};
    const uint8_t *p = request->start, *end = request->end;
    while (p < end && ((*p >= 'A' && *p <= 'Z') || *p == '_' || *p == '-')) p++;
    if (p == request->start || p >= end - 1 || *p != ' ') return parts;
    const uint8_t *blank = end;
    do blank--;
    while (blank > p && *blank != ' ' && end - blank <= 12); /* no protocol is longer */
    bool protocol = blank > p + 1 && *blank == ' ' && starts_with(blank + 1, end, (const uint8_t *)"HTTP/", 5);
    parts.method = (Span){.start = request->start, .end = p};
    parts.path = (Span){.start = p + 1, .end = protocol ? blank : end};
    if (protocol) parts.protocol = (Span){.start = blank + 1, .end = end};
    parts.readable = protocol;
    return parts;
}

/* ---- one line --------------------------------------------------------------------------------------------------- */

typedef struct {
    size_t position; /* where in the line it stops fitting; of several tries the one that came farthest counts */
    int field;       /* of which field, -1 for the prefix */
    int reason;
} Misfit;

/* Match one field at p. Returns where the next begins, or NULL with the misfit noted. */
static inline const uint8_t *match_field(Scanner *self, const Field *field, const uint8_t *p, const uint8_t *from,
                                         const uint8_t *end, const uint8_t *limit, Span *span, int *reason) {
    const uint8_t *stop = p;
    span->present = false;
    *reason = MALFORMED_VALUE;
    switch (field->type) {
    case TEXT:
    case USER:
        *reason = EXPECTED_LITERAL;
        if (!field->last)
            stop = find_literal(field, p, from, end, limit);
        else
            stop = (size_t)(end - p) >= field->literal_len ? end - field->literal_len : NULL;
        break;
    case TIME_LOCAL:
        stop = read_time_local(self, p, end, span);
        break;
    case TIME_ISO8601:
        stop = read_time_iso8601(p, end, span);
        break;
    case MSEC:
        stop = read_msec(p, end, limit, span);
        break;
    case STATUS:
        stop = read_integer(p, end, limit, 999, span);
        break;
    case PORT:
        stop = read_integer(p, end, limit, 65535, span);
        break;
    case INTEGER:
        stop = read_integer(p, end, limit, UINT64_MAX, span);
        break;
    case SECONDS:
        stop = read_seconds(p, end, limit, span);
        break;
    case LIST:
        *reason = EXPECTED_LITERAL;
        stop = read_list(p, end, limit);
        break;
    }
    if (stop == NULL) return NULL;
    span->start = p;
    span->end = stop;
    if (field->last && (size_t)(end - stop) != field->literal_len) return NULL;
    return literal_at(field, stop, end, limit) ? stop + field->literal_len : NULL;
}

static bool match_line(Scanner *self, const uint8_t *start, const uint8_t *end, const uint8_t *limit, Span *spans,
                       Misfit *misfit) {
    *misfit = (Misfit){0, -1, EXPECTED_LITERAL};
    if (!starts_with(start, end, self->prefix, self->prefix_len)) return false;
    const uint8_t *p = start + self->prefix_len, *from = p, *again = NULL;
    int retry_field = -1, retries = 0;
    for (int i = 0; i < self->n_fields;) {
        const Field *field = &self->fields[i];
        int reason;
        const uint8_t *next = match_field(self, field, p, from, end, limit, &spans[i], &reason);
        if (next == NULL) {
            if (i > misfit->field) *misfit = (Misfit){(size_t)(p - start), i, reason};
            if (retry_field < 0 || i == retry_field || ++retries > MAX_RETRIES) return false;
            i = retry_field;
            p = spans[i].start;
            from = again;
            continue;
        }
        if (field->retry) {
            retry_field = i;
            again = spans[i].end + 1;
        }
        p = from = next;
        i++;
    }
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static inline void set_valid(Output *out, size_t row, bool valid) {
    uint8_t *bits = out->validity.data + (row >> 3);
    if ((row & 7) == 0) *bits = 0;
    *bits |= (uint8_t)(valid << (row & 7));
    out->nulls += !valid;
}

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

/* A copy of the text in which every broken sequence is U+FFFD, as Python's errors="replace" makes it. */
static bool repair_utf8(Scanner *self, const uint8_t *p, const uint8_t *end, size_t *offset, size_t *length) {
    if (!buffer_grow(&self->repaired, self->repaired_len, self->repaired_len + 3 * (size_t)(end - p) + 64))
        return false;
    uint8_t *out = self->repaired.data + self->repaired_len;
    *offset = self->repaired_len;
    while (p < end) {
        int bad, n = utf8_length(p, end, &bad);
        if (n) {
            memcpy(out, p, (size_t)n);
            out += n;
            p += n;
        } else {
            memcpy(out, "\xEF\xBF\xBD", 3);
            out += 3;
            p += bad;
        }
    }
    *length = (size_t)(out - self->repaired.data) - *offset;
    self->repaired_len += *length;
    return true;
}

static bool is_utf8(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        int bad, n = utf8_length(p, end, &bad);
        if (n == 0) return false;
        p += n;
    }
    return true;
}

/* The number of the buffer that holds repaired text, until the real number is known (scanner_take). */
#define REPAIRED_BUFFER INT32_MAX

static bool put_view(Scanner *self, Output *out, size_t row, const uint8_t *p, const uint8_t *end, bool ascii,
                     const uint8_t *text, int32_t text_index) {
    uint8_t *view = out->values.data + row * 16;
    int32_t index = text_index;
    size_t length = (size_t)(end - p), offset = (size_t)(p - text);
    const uint8_t *data = p;
    if (!ascii && !is_utf8(p, end)) {
        if (!repair_utf8(self, p, end, &offset, &length)) return false;
        index = REPAIRED_BUFFER;
        data = self->repaired.data + offset;
    }
    int32_t header[4] = {(int32_t)length, 0, index, (int32_t)offset};
    if (length <= 12)
        memset(&header[1], 0, 12);
    memcpy(&header[1], data, length <= 12 ? length : 4);
    memcpy(view, header, 16);
    return true;
}

/* The sum over the items of an upstream list; `-` is no try. */
static bool seconds_sum(const Span *span, double *sum) {
    const uint8_t *p = span->start;
    bool any = false;
    *sum = 0;
    while (p < span->end) {
        Span item;
        if (*p == ' ' || *p == ',' || *p == ':') {
            p++;
            continue;
        }
        const uint8_t *stop = read_seconds(p, span->end, span->end, &item);
        if (stop == NULL || stop == p || (stop < span->end && *stop != ',' && *stop != ' ' && *stop != ':')) return false;
        if (item.present) {
            *sum += seconds_value(item.number, item.decimals);
            any = true;
        }
        p = stop;
    }
    return any;
}

/* Rows of the last batch: the next one will be about as long, and growing costs a copy. */
static atomic_size_t usual_rows;

static bool reserve_rows(Scanner *self) {
    if (self->rows < self->capacity) return true;
    size_t capacity = self->capacity ? self->capacity * 2 : atomic_load(&usual_rows) + 4096;
    capacity &= ~(size_t)7;
    for (int i = 0; i < self->n_outputs; i++) {
        Output *out = &self->outputs[i];
        size_t width = KINDS[out->kind].width;
        if (!buffer_grow(&out->values, self->rows * width, capacity * width)) return false;
        if (KINDS[out->kind].nullable && !buffer_grow(&out->validity, (self->rows + 7) / 8, capacity / 8))
            return false;
    }
    self->capacity = capacity;
    return true;
}

#define PUT(type, value) (((type *)(void *)out->values.data)[row] = (type)(value))

static bool put_row(Scanner *self, const Span *spans, const uint8_t *line, const uint8_t *end, uint64_t offset,
                    const uint8_t *text, int32_t text_index) {
    if (!reserve_rows(self)) return false;
    size_t row = self->rows;
    bool ascii = !self->has_text || is_ascii(line, end);
    for (int i = 0; i < self->n_outputs; i++) {
        Output *out = &self->outputs[i];
        const Span *span = &spans[out->field];
        switch (out->kind) {
        case OUT_TEXT:
            if (!put_view(self, out, row, span->start, span->end, ascii, text, text_index)) return false;
            break;
        case OUT_ADDRESS: {
            uint64_t words[2] = {0, 0}; /* little-endian: the low half first */
            set_valid(out, row, read_address(span->start, span->end, &words[1], &words[0]));
            memcpy(out->values.data + row * 16, words, 16);
            break;
        }
        case OUT_TIME:
            PUT(int64_t, span->number);
            set_valid(out, row, span->present);
            break;
        case OUT_UINT16:
            PUT(uint16_t, span->number);
            set_valid(out, row, span->present);
            break;
        case OUT_UINT64:
            PUT(uint64_t, span->number);
            set_valid(out, row, span->present);
            break;
        case OUT_SECONDS:
            PUT(double, span->present ? seconds_value(span->number, span->decimals) : 0);
            set_valid(out, row, span->present);
            break;
        case OUT_SECONDS_SUM: {
            double sum;
            set_valid(out, row, seconds_sum(span, &sum));
            PUT(double, sum);
            break;
        }
        case OUT_METHOD:
        case OUT_PATH:
        case OUT_PROTOCOL: {
            Request request = split_request(span);
            const Span *part = out->kind == OUT_METHOD ? &request.method
                               : out->kind == OUT_PATH ? &request.path
                                                       : &request.protocol;
            const uint8_t *p = part->start ? part->start : span->start;
            if (!put_view(self, out, row, p, part->start ? part->end : p, ascii, text, text_index)) return false;
            set_valid(out, row, part->start != NULL);
            break;
        }
        case OUT_READABLE:
            PUT(uint8_t, split_request(span).readable);
            break;
        case OUT_FANIN:
            PUT(uint64_t, fanin_bit(span->start, span->end));
            break;
        case OUT_FANIN_FIRST: {
            const uint8_t *stop = memchr(span->start, ',', (size_t)(span->end - span->start));
            if (stop == NULL) stop = span->end;
            bool absent = stop == span->start || (stop - span->start == 1 && *span->start == '-');
            PUT(uint64_t, absent ? 0 : fanin_bit(span->start, stop));
            break;
        }
        case OUT_TAG: {
            uint8_t tag = 0;
            bool empty = span->start == span->end;
            for (int t = 0; t < out->n_tags; t++) {
                /* An empty pattern asks for an empty field, one that ends with NUL for the whole field, any other for
                 * its beginning. */
                const uint8_t *pattern = out->tags[t].text;
                size_t len = out->tags[t].len, size = (size_t)(span->end - span->start);
                bool whole = len && pattern[len - 1] == 0;
                if (empty ? len == (size_t)whole
                          : len && *pattern == *span->start && (!whole || size == len - 1) &&
                                starts_with(span->start, span->end, pattern, len - whole)) {
                    tag = (uint8_t)(t + 1);
                    break;
                }
            }
            PUT(uint8_t, tag);
            break;
        }
        case OUT_OFFSET:
            PUT(uint64_t, offset);
            break;
        }
    }
    self->rows++;
    return true;
}

static bool put_misfit(Scanner *self, const uint8_t *line, const uint8_t *end, uint64_t offset, const Misfit *misfit) {
    size_t n = self->bad_rows, length = (size_t)(end - line);
    if (!buffer_grow(&self->bad_text, self->bad_len, self->bad_len + length + 1) ||
        !buffer_grow(&self->bad_ends, n ? (n + 1) * 8 : 0, (n + 2) * 8) ||
        !buffer_grow(&self->bad_offset, n * 8, (n + 1) * 8) || !buffer_grow(&self->bad_where, n * 8, (n + 1) * 8) ||
        !buffer_grow(&self->bad_number, n * 8, (n + 1) * 8) || !buffer_grow(&self->bad_field, n, n + 1) || !buffer_grow(&self->bad_reason, n, n + 1))
        return false;
    if (n == 0) ((int64_t *)(void *)self->bad_ends.data)[0] = 0;
    if (length) memcpy(self->bad_text.data + self->bad_len, line, length);
    self->bad_len += length;
    ((int64_t *)(void *)self->bad_ends.data)[n + 1] = (int64_t)self->bad_len;
    ((uint64_t *)(void *)self->bad_offset.data)[n] = offset;
    ((uint64_t *)(void *)self->bad_where.data)[n] = misfit->position;
    ((uint64_t *)(void *)self->bad_number.data)[n] = self->lines;
    self->bad_field.data[n] = (uint8_t)(misfit->field + 1);
    self->bad_reason.data[n] = (uint8_t)misfit->reason;
    self->bad_rows++;
    return true;
}

/* All lines of text[start, stop). Touches no Python object. */
static bool scan_text(Scanner *self, const uint8_t *text, size_t size, size_t start, size_t stop, uint64_t offset,
                      int32_t text_index) {
    Span spans[MAX_FIELDS];
    const uint8_t *limit = text + size, *p = text + start, *all = text + stop;
    while (p < all) {
        const uint8_t *newline = memchr(p, '\n', (size_t)(all - p));
        const uint8_t *next = newline ? newline + 1 : all, *end = newline ? newline : all;
        uint64_t where = offset + (uint64_t)(p - text - (ptrdiff_t)start);
        Misfit misfit;
        const uint8_t *line_end = end > p && end[-1] == '\r' ? end - 1 : end;
        self->blank_run = line_end == p ? self->blank_run + 1 : 0;
        bool fits = match_line(self, p, line_end, limit, spans, &misfit);
        if (self->blank_run > KEPT_BLANK)
            self->blank++;
        else if (fits ? !put_row(self, spans, p, line_end, where, text, text_index)
                      : !put_misfit(self, p, next, where, &misfit))
            return false;
        self->lines++;
        p = next;
    }
    return true;
}

/* ---- export ----------------------------------------------------------------------------------------------------- */

static void shift_repaired_views(Output *out, size_t rows, int32_t index) {
    for (size_t row = 0; row < rows; row++) {
        int32_t header[4];
        memcpy(header, out->values.data + row * 16, 16);
        if (header[0] > 12 && header[2] == REPAIRED_BUFFER) {
            header[2] = index;
            memcpy(out->values.data + row * 16, header, 16);
        }
    }
}

static PyObject *export_rows(Scanner *self) {
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    if (!struct_new(self->n_outputs, &schema, &array)) return PyErr_NoMemory();
    array->length = (int64_t)self->rows;
    int n_texts = self->texts ? (int)PyList_Size(self->texts) : 0;
    const void **texts = calloc((size_t)n_texts + 1, sizeof *texts);
    int64_t *sizes = calloc((size_t)n_texts + 1, sizeof *sizes);
    Shared *shared = calloc(1, sizeof *shared);
    if (texts == NULL || sizes == NULL || shared == NULL) return PyErr_NoMemory();
    for (int i = 0; i < n_texts; i++) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyList_GetItem(self->texts, i), &data, &size) < 0) return NULL;
        texts[i] = data;
        sizes[i] = size;
    }
    atomic_init(&shared->users, 1);
    shared->texts = self->texts;
    shared->repaired = self->repaired;
    self->texts = NULL;
    self->repaired = (Buffer){NULL, 0};
    if (self->repaired_len) {
        texts[n_texts] = shared->repaired.data;
        sizes[n_texts] = (int64_t)self->repaired_len;
        n_texts++;
    }
    for (int i = 0; i < self->n_outputs; i++) {
        Output *out = &self->outputs[i];
        bool view = KINDS[out->kind].width == 16 && out->kind != OUT_ADDRESS;
        if (view && self->repaired_len) shift_repaired_views(out, self->rows, n_texts - 1);
        Buffer *buffers[] = {out->nulls ? &out->validity : NULL, &out->values};
        char name[16];
        int n = i, at = 15;
        name[at] = 0;
        do name[--at] = (char)('0' + n % 10);
        while (n /= 10);
        if (!schema_set(schema->children[i], KINDS[out->kind].format, name + at) ||
            !array_set(array->children[i], (int64_t)self->rows, out->nulls, 2, buffers) ||
            (view && !array_add_texts(array->children[i], shared, texts, sizes, n_texts)))
            return PyErr_NoMemory();
        buffer_free(&out->validity);
        out->nulls = 0;
    }
    shared_release(shared);
    free((void *)texts);
    free(sizes);
    atomic_store(&usual_rows, self->rows + self->rows / 16);
    self->rows = self->capacity = self->repaired_len = 0;
    return struct_capsules(schema, array);
}

static PyObject *export_misfits(Scanner *self) {
    static const struct {
        const char *name, *format;
    } COLUMNS[] = {{"line", "Z"}, {"offset", "L"}, {"position", "L"}, {"number", "L"}, {"field", "C"}, {"reason", "C"}};
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    if (self->bad_rows == 0 && !buffer_grow(&self->bad_ends, 0, 8)) return PyErr_NoMemory();
    if (self->bad_rows == 0) ((int64_t *)(void *)self->bad_ends.data)[0] = 0;
    if (!buffer_grow(&self->bad_text, self->bad_len, self->bad_len + 1)) return PyErr_NoMemory();
    if (!struct_new(6, &schema, &array)) return PyErr_NoMemory();
    int64_t n = array->length = (int64_t)self->bad_rows;
    Buffer *buffers[6][3] = {{NULL, &self->bad_ends, &self->bad_text},
                             {NULL, &self->bad_offset},
                             {NULL, &self->bad_where},
                             {NULL, &self->bad_number},
                             {NULL, &self->bad_field},
                             {NULL, &self->bad_reason}};
    for (int i = 0; i < 6; i++) {
        if (!schema_set(schema->children[i], COLUMNS[i].format, COLUMNS[i].name) ||
            !array_set(array->children[i], n, 0, i ? 2 : 3, buffers[i]))
            return PyErr_NoMemory();
    }
    self->bad_rows = self->bad_len = 0;
    return struct_capsules(schema, array);
}

/* ---- the Python type -------------------------------------------------------------------------------------------- */

static bool bytes_at(PyObject *tuple, Py_ssize_t index, const uint8_t **data, size_t *size) {
    char *text;
    Py_ssize_t length;
    PyObject *item = PyTuple_GetItem(tuple, index);
    if (item == NULL || PyBytes_AsStringAndSize(item, &text, &length) < 0) return false;
    *data = (const uint8_t *)text;
    *size = (size_t)length;
    return true;
}

static long long_at(PyObject *tuple, Py_ssize_t index) {
    PyObject *item = PyTuple_GetItem(tuple, index);
    return item == NULL ? -1 : PyLong_AsLong(item);
}

static bool read_fields(Scanner *self, PyObject *fields) {
    Py_ssize_t n = PyTuple_Size(fields);
    if (n < 1 || n > MAX_FIELDS) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 64 fields");
        return false;
    }
    self->n_fields = (int)n;
    for (int i = 0; i < self->n_fields; i++) {
        PyObject *item = PyTuple_GetItem(fields, i);
        Field *field = &self->fields[i];
        field->type = (uint8_t)long_at(item, 0);
        if (!bytes_at(item, 1, &field->literal, &field->literal_len)) return false;
        size_t head = field->literal_len < 8 ? field->literal_len : 8;
        memcpy(&field->word, field->literal, head);
        memset(&field->mask, 0xFF, head);
        field->retry = long_at(item, 2) == 1;
        field->last = i == self->n_fields - 1;
        field->escaped = field->literal_len && field->literal[0] == '"';
    }
    return !PyErr_Occurred();
}

static bool read_outputs(Scanner *self, PyObject *outputs) {
    Py_ssize_t n = PyTuple_Size(outputs);
    if (n < 1 || n > MAX_OUTPUTS) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 64 outputs");
        return false;
    }
    self->n_outputs = (int)n;
    for (int i = 0; i < self->n_outputs; i++) {
        PyObject *item = PyTuple_GetItem(outputs, i), *tags = PyTuple_GetItem(item, 2);
        Output *out = &self->outputs[i];
        long kind = long_at(item, 0), field = long_at(item, 1);
        Py_ssize_t n_tags = tags ? PyTuple_Size(tags) : -1;
        if (kind < 0 || kind >= OUT_KINDS || field < 0 || field >= self->n_fields || n_tags < 0 || n_tags > MAX_TAGS) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "an output that no field can serve");
            return false;
        }
        out->kind = (uint8_t)kind;
        out->field = (uint8_t)field;
        out->n_tags = (uint8_t)n_tags;
        self->has_text |= KINDS[kind].width == 16 && kind != OUT_ADDRESS;
        for (int t = 0; t < n_tags; t++)
            if (!bytes_at(tags, t, &out->tags[t].text, &out->tags[t].len)) return false;
    }
    return true;
}

static PyObject *scanner_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *prefix, *fields, *outputs;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "SO!O!", &prefix, &PyTuple_Type, &fields, &PyTuple_Type, &outputs)) return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Scanner *self = (Scanner *)alloc(type, 0);
    if (self == NULL) return NULL;
    Py_INCREF(args);
    self->program = args;
    char *text;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(prefix, &text, &length) < 0 || !read_fields(self, fields) ||
        !read_outputs(self, outputs)) {
        Py_DECREF(self);
        return NULL;
    }
    self->prefix = (const uint8_t *)text;
    self->prefix_len = (size_t)length;
    return (PyObject *)self;
}

static void scanner_dealloc(PyObject *object) {
    Scanner *self = (Scanner *)object;
    for (int i = 0; i < self->n_outputs; i++) {
        buffer_free(&self->outputs[i].values);
        buffer_free(&self->outputs[i].validity);
    }
    Buffer *rest[] = {&self->repaired,  &self->bad_text,  &self->bad_ends,  &self->bad_offset,
                      &self->bad_where, &self->bad_number, &self->bad_field, &self->bad_reason};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) buffer_free(rest[i]);
    Py_XDECREF(self->texts);
    Py_XDECREF(self->program);
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(scan_doc, "scan(text, start, stop, offset)\n--\n\n"
                       "Add the lines of ``text[start:stop]``; the first of them begins at byte `offset` of the source.\n"
                       "Where string columns are wanted, `text` must be bytes and is kept alive by them.");

static PyObject *scanner_scan(PyObject *object, PyObject *args) {
    Scanner *self = (Scanner *)object;
    PyObject *text;
    Py_ssize_t start, stop;
    unsigned long long offset;
    if (!PyArg_ParseTuple(args, "OnnK", &text, &start, &stop, &offset)) return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(text, &view, PyBUF_SIMPLE) < 0) return NULL;
    if (start < 0 || stop < start || stop > view.len || view.len > INT32_MAX) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, "expected 0 <= start <= stop <= len(text) < 2 GiB");
        return NULL;
    }
    int32_t text_index = 0;
    if (self->has_text) {
        if (self->texts == NULL) self->texts = PyList_New(0);
        if (self->texts == NULL || !PyBytes_Check(text) || PyList_Append(self->texts, text) < 0) {
            PyBuffer_Release(&view);
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "string columns need their text as bytes");
            return NULL;
        }
        text_index = (int32_t)PyList_Size(self->texts) - 1;
    }
    bool done;
    Py_BEGIN_ALLOW_THREADS;
    done = scan_text(self, view.buf, (size_t)view.len, (size_t)start, (size_t)stop, offset, text_index);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&view);
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(reject_doc, "reject(text, start, stop, offset, continued)\n--\n\n"
                         "Add ``text[start:stop]`` as a piece of a line that is too long to read: its beginning, which\n"
                         "counts as a line, or a later piece.");

static PyObject *scanner_reject(PyObject *object, PyObject *args) {
    Scanner *self = (Scanner *)object;
    PyObject *text;
    Py_ssize_t start, stop;
    unsigned long long offset;
    int continued;
    if (!PyArg_ParseTuple(args, "OnnKp", &text, &start, &stop, &offset, &continued)) return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(text, &view, PyBUF_SIMPLE) < 0) return NULL;
    bool inside = start >= 0 && stop >= start && stop <= view.len;
    const uint8_t *data = view.buf;
    Misfit misfit = {0, -1, continued ? CONTINUED : TOO_LONG};
    bool done = inside && put_misfit(self, data + start, data + stop, offset, &misfit);
    self->lines += done && !continued;
    PyBuffer_Release(&view);
    if (!inside) PyErr_SetString(PyExc_ValueError, "expected 0 <= start <= stop <= len(text)");
    if (!done) return inside ? PyErr_NoMemory() : NULL;
    Py_RETURN_NONE;
}

static PyObject *scanner_misfits(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(((Scanner *)self)->bad_rows);
}

PyDoc_STRVAR(take_doc, "take()\n--\n\n"
                       "What was scanned since the last call: (rows, misfits, lines, blank), the first two as Arrow\n"
                       "capsule pairs (schema, array) of a struct column; blank lines beyond a few in a row are only\n"
                       "counted.");

static PyObject *scanner_take(PyObject *object, PyObject *unused) {
    Scanner *self = (Scanner *)object;
    (void)unused;
    if (!reserve_rows(self)) return PyErr_NoMemory();
    PyObject *rows = export_rows(self);
    PyObject *misfits = rows ? export_misfits(self) : NULL;
    PyObject *all = misfits ? Py_BuildValue("(NNKK)", rows, misfits, self->lines, self->blank) : NULL;
    if (misfits == NULL) Py_XDECREF(rows);
    self->lines = self->blank = 0;
    return all;
}

static PyMethodDef scanner_methods[] = {
    {"scan", scanner_scan, METH_VARARGS, scan_doc},
    {"reject", scanner_reject, METH_VARARGS, reject_doc},
    {"misfits", scanner_misfits, METH_NOARGS, "misfits()\n--\n\nHow many misfits were found since the last take."},
    {"take", scanner_take, METH_NOARGS, take_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scanner_slots[] = {
    {Py_tp_new, scanner_new},
    {Py_tp_dealloc, scanner_dealloc},
    {Py_tp_methods, scanner_methods},
    {Py_tp_doc, "Scanner(prefix, fields, outputs): reads lines of one layout into columns. One thread at a time."},
    {0, NULL},
};

static PyType_Spec scanner_spec = {
    .name = "analyzer.parsing._scanner.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = scanner_slots,
};

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromSpec(&scanner_spec);
    if (type == NULL) return -1;
    if (PyModule_AddObject(module, "Scanner", type) < 0) {
        Py_DECREF(type);
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_scanner", .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__scanner(void) { return PyModuleDef_Init(&module); }
