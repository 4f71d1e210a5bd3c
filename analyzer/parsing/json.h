/* A line that is a JSON object: its fields, read from the values that one walk over the line finds.
 *
 * The walk is lenient, because nginx and others write what is nearly JSON (`"x": ,`), and skips what nobody wants without
 * looking into it. Nothing is allocated per line and nothing recurses; the time is linear in the line whatever it holds.
 */
#ifndef LOGSCAN_JSON_H
#define LOGSCAN_JSON_H

#include "json_walk.h"

/* Behind a whole number the fraction of nothing that programs add which know of doubles only: `200.0`. */
static const uint8_t *pass_zeros(const uint8_t *p, const uint8_t *end, const Span *span) {
    if (p == NULL || p == end || *p != '.' || !span->present) return p;
    do p++;
    while (p < end && *p == '0');
    return p;
}

/* A time that is as the last one was, else the text once more as a time. */
static const uint8_t *read_again(Json *json, uint8_t type, const uint8_t *limit, Span *span) {
    KnownTime *known = &json->known_time;
    const uint8_t *p = span->start, *end = span->end;
    size_t len = (size_t)(end - p);
    if (type == known->type && len == known->len && memcmp(p, known->text, len) == 0) {
        span->number = known->number;
        span->present = true;
        return end;
    }
    const uint8_t *stop = type == TIME_ISO8601 ? read_time_iso8601(&json->last_second, p, end, span)
                                               : read_other(type, p, end, limit, span);
    if (stop == end && span->present && len >= 19 && len <= sizeof known->text) { /* not of seconds since 1970 */
        memcpy(known->text, p, len);
        known->type = type;
        known->len = len;
        known->number = span->number;
    }
    return stop;
}

/* Whether the text is a value of the type, whole; `-` is none and fits every type. */
static bool read_value(Json *json, uint8_t type, const uint8_t *limit, Span *span) {
    const uint8_t *p = span->start, *end = span->end, *stop;
    switch (type) {
    case TIME_LOCAL:
        stop = read_time_local(&json->last_time, p, end, span);
        break;
    case TIME_ISO8601:
    case TIME_ANY:
        stop = read_again(json, type, limit, span);
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
    json->spans = spans;
    const uint8_t *broken = limit ? walk_to_limit(json, start, end, limit) : walk_readable(json, start, end);
    if (broken) {
        *misfit = (Misfit){(size_t)(broken - start), -1, EXPECTED_LITERAL};
        return false;
    }
    uint64_t all = json->n_fields == 64 ? ~0ULL : (1ULL << json->n_fields) - 1, absent = json->required & ~json->seen;
    for (uint64_t rest = all & ~json->found; rest; rest &= rest - 1)
        spans[__builtin_ctzll(rest)] = (Span){.start = start, .end = start, .missing = true};
    for (uint64_t rest = json->typed & json->found; rest; rest &= rest - 1) {
        int i = __builtin_ctzll(rest);
        if (absent & ((1ULL << i) - 1)) break;
        if (read_value(json, json->types[i], spans[i].joined ? spans[i].end : limit, &spans[i])) continue;
        *misfit = (Misfit){(size_t)(json->values[i].start - start), i, MALFORMED_VALUE};
        return false;
    }
    if (absent) *misfit = (Misfit){0, __builtin_ctzll(absent), EXPECTED_LITERAL};
    return absent == 0;
}

#endif
