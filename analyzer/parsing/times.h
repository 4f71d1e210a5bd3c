/* The notations of a time, all read to milliseconds since 1970. */
#ifndef LOGSCAN_TIMES_H
#define LOGSCAN_TIMES_H

#include "values.h"

/* The last $time_local read, or the last second of an ISO 8601 time without its zone: most lines repeat it. */
typedef struct {
    uint8_t text[26];
    bool known;
    int64_t value;
} LastTime;

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

/* 1 to 12, or 13 where no month stands. */
static int read_month(const uint8_t *p) {
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int month = 0;
    while (month < 12 && memcmp(p, MONTHS + month * 3, 3) != 0) month++;
    return month + 1;
}

static bool parse_time_local(LastTime *last, const uint8_t *p) {
    int zone, month = read_month(p + 3), day = two_digits(p), century = two_digits(p + 7), years = two_digits(p + 9),
        hour = two_digits(p + 12), minute = two_digits(p + 15), second = two_digits(p + 18);
    if (p[2] != '/' || p[6] != '/' || p[11] != ':' || p[14] != ':' || p[17] != ':' || p[20] != ' ') return false;
    if ((day | century | years | hour | minute | second) < 0 || !read_zone(p + 21, p + 24, &zone)) return false;
    last->known = moment(century * 100 + years, month, day, hour, minute, second, zone, &last->value);
    memcpy(last->text, p, 26);
    return last->known;
}

/* `21/Nov/2026:07:08:09 +0000` */
static inline const uint8_t *read_time_local(LastTime *last, const uint8_t *p, const uint8_t *end, Span *span) {
    if (end - p < 26) return NULL;
    bool same = memcmp(p, last->text, 16) == 0 && memcmp(p + 10, last->text + 10, 16) == 0; /* a call less */
    if (!(last->known && same) && !parse_time_local(last, p)) return NULL;
    span->number = (uint64_t)last->value;
    span->present = true;
    return p + 26;
}

/* The digits behind a point, of which the first three count, as milliseconds; at most nine are read. Returns the
 * point again where none stand there. */
static const uint8_t *read_fraction(const uint8_t *point, const uint8_t *end, int *milliseconds) {
    static const int WORTH[10] = {0, 100, 10, 1}; /* no division: containers log nine digits a line */
    const uint8_t *p = point + 1;
    int sum = 0;
    for (; p < end && p - point <= 9 && is_digit(*p); p++) sum += (*p - '0') * WORTH[p - point];
    *milliseconds = sum;
    return p == point + 1 ? point : p;
}

/* `2026-11-21T07:08:09` */
static bool parse_second(LastTime *last, const uint8_t *p, int zone) {
    int century = two_digits(p), years = two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8),
        hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17);
    if (p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':') return false;
    if ((century | years | month | day | hour | minute | second) < 0) return false;
    last->known = moment(century * 100 + years, month, day, hour, minute, second, zone, &last->value);
    last->value += zone * 60000LL;
    memcpy(last->text, p, 19);
    return last->known;
}

/* The same with a zone, `+00:00` or `Z`, and perhaps a fraction. */
static const uint8_t *read_time_iso8601(LastTime *last, const uint8_t *p, const uint8_t *end, Span *span) {
    if (end - p < 20) return NULL;
    const uint8_t *start = p, *point = p += 19;
    int zone = 0, fraction = 0;
    if (*p == '.') {
        p = read_fraction(point, end, &fraction);
        if (p == point || (p < end && is_digit(*p))) return NULL;
    }
    if (p < end && *p == 'Z') {
        p++;
    } else {
        if (end - p < 6 || p[3] != ':' || !read_zone(p, p + 4, &zone)) return NULL;
        p += 6;
    }
    bool same = last->known && memcmp(start, last->text, 16) == 0 && memcmp(start + 3, last->text + 3, 16) == 0;
    if (!same && !parse_second(last, start, zone)) return NULL;
    int64_t value = last->value - zone * 60000LL;
    if (value >= YEAR_10000) return NULL;
    span->number = (uint64_t)(value + fraction);
    span->present = true;
    return p;
}

/* `1763708889.123` */
static const uint8_t *read_msec(const uint8_t *p, const uint8_t *end, const uint8_t *limit, Span *span) {
    p = read_decimal(p, end, limit, span);
    if (p == NULL || !span->present || span->decimals > 3 || span->number >= 1000000000000000ULL) return NULL;
    for (; span->decimals < 3; span->decimals++) span->number *= 10;
    return span->number < YEAR_10000 ? p : NULL;
}

/* `2026-11-21T07:08:09`, with a blank or tab for the `T` and all the fractions and zones there are; UTC without one. */
static const uint8_t *read_any_iso8601(const uint8_t *p, const uint8_t *end, Span *span) {
    if (end - p < 19) return NULL;
    int century = two_digits(p), years = two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8),
        hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17), zone = 0, fraction = 0;
    if (p[4] != '-' || p[7] != '-' || p[13] != ':' || p[16] != ':') return NULL;
    if (p[10] != 'T' && p[10] != ' ' && p[10] != '\t') return NULL;
    if ((century | years | month | day | hour | minute | second) < 0) return NULL;
    p += 19;
    if (p < end && (*p == '.' || *p == ',')) p = read_fraction(p, end, &fraction);
    if (p < end && *p == 'Z') {
        p++;
    } else if (end - p >= 5) {
        int colon = p[3] == ':';
        if (end - p >= 5 + colon && read_zone(p, p + 3 + colon, &zone)) p += 5 + colon;
    }
    int64_t value;
    if (!moment(century * 100 + years, month, day, hour, minute, second, zone, &value)) return NULL;
    span->number = (uint64_t)(value + fraction);
    span->present = true;
    return p;
}

/* `21/Nov/2026:07:08:09`, with or without a fraction and a zone. */
static const uint8_t *read_any_local(const uint8_t *p, const uint8_t *end, Span *span) {
    if (end - p < 20) return NULL;
    int month = read_month(p + 3), day = two_digits(p), century = two_digits(p + 7), years = two_digits(p + 9),
        hour = two_digits(p + 12), minute = two_digits(p + 15), second = two_digits(p + 18), zone = 0, fraction = 0;
    if (p[2] != '/' || p[6] != '/' || p[11] != ':' || p[14] != ':' || p[17] != ':') return NULL;
    if ((day | century | years | hour | minute | second) < 0) return NULL;
    p += 20;
    if (p < end && *p == '.') p = read_fraction(p, end, &fraction);
    if (end - p >= 6 && *p == ' ' && read_zone(p + 1, p + 4, &zone)) p += 6;
    int64_t value;
    if (!moment(century * 100 + years, month, day, hour, minute, second, zone, &value)) return NULL;
    span->number = (uint64_t)(value + fraction);
    span->present = true;
    return p;
}

/* Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by how many digits there are. */
static const uint8_t *read_epoch(const uint8_t *p, const uint8_t *end, Span *span) {
    const uint8_t *start = p;
    uint64_t value = 0;
    for (; p < end && is_digit(*p); p++) {
        if (p - start == 19) return NULL;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    ptrdiff_t digits = p - start;
    if (digits == 0) return NULL;
    int fraction = 0;
    if (end - p > 1 && *p == '.' && is_digit(p[1])) {
        read_fraction(p, end, &fraction);
        do p++;
        while (p < end && is_digit(*p));
    }
    span->number = digits <= 11   ? value * 1000 + (uint64_t)fraction
                   : digits <= 14 ? value
                   : digits <= 17 ? value / 1000
                                  : value / 1000000;
    span->present = true;
    return p;
}

/* The first of these that stands there; none of them is no time, of which a `-` is part. */
static const uint8_t *read_time_any(const uint8_t *p, const uint8_t *end, Span *span) {
    const uint8_t *stop = read_any_iso8601(p, end, span);
    if (stop == NULL) stop = read_any_local(p, end, span);
    if (stop == NULL) stop = read_epoch(p, end, span);
    if (stop == NULL) stop = p + (p < end && *p == '-');
    return stop;
}

/* `Nov  1 07:08:09`, which says no year and so no time */
static const uint8_t *read_syslog_time(const uint8_t *p, const uint8_t *end) {
    if (end - p < 15 || read_month(p) > 12 || p[3] != ' ' || p[6] != ' ' || p[9] != ':' || p[12] != ':') return NULL;
    int day = p[4] == ' ' && is_digit(p[5]) ? p[5] - '0' : two_digits(p + 4);
    int hour = two_digits(p + 7), minute = two_digits(p + 10), second = two_digits(p + 13);
    bool fits = day > 0 && day < 32 && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 61;
    return fits ? p + 15 : NULL;
}

#endif
