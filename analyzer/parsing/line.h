/* A line of text: a prefix literal, then fields, each followed by the literal that ends it (the last one by the line's
 * end). log_format.LineFormat as data, and how a line is matched against it.
 */
#ifndef LOGSCAN_LINE_H
#define LOGSCAN_LINE_H

#include "times.h"
#include "values.h"

#define MAX_RETRIES 64

typedef struct {
    uint8_t type;
    bool last;    /* its literal ends the line */
    bool escaped; /* a quote preceded by an odd number of backslashes does not end it, where quotes are escaped */
    uint8_t first; /* of the literal */
    int retry_before; /* the last field before it whose text may hold its own end, -1 for none: where this one does not
                         fit, that one is tried up to the next place at which it may end */
    const uint8_t *literal;
    size_t literal_len;
    uint64_t word, mask; /* the literal's first eight bytes, to compare them at once */
} Field;

typedef struct {
    const uint8_t *prefix;
    size_t prefix_len;
    int n_fields;
    Field fields[MAX_FIELDS];
    LastTime last_time, last_second;
    bool escapes; /* a backslash before a quote escapes it */
} Line;

/* ---- matching --------------------------------------------------------------------------------------------------- */

/* Where the next field begins if the field's literal stands at p, else NULL. Most literals are short: no call for them. */
static ALWAYS_INLINE const uint8_t *pass_literal(const Field *field, const uint8_t *p, const uint8_t *end,
                                          const uint8_t *limit) {
    const uint8_t *next = p + field->literal_len;
    if (next > end) return NULL;
    if (can_read(p, limit, 8)) {
        uint64_t word;
        memcpy(&word, p, 8);
        if ((word & field->mask) != field->word) return NULL;
        if (field->literal_len <= 8) return next;
    }
    return memcmp(p, field->literal, field->literal_len) == 0 ? next : NULL;
}

/* Match a text that begins at span->start and whose literal is looked for from p on; the last one of a line has its
 * literal at the end. Where none is found span->end stays as it was. */
static ALWAYS_INLINE const uint8_t *match_text(const Field *field, bool escapes, const uint8_t *p, const uint8_t *end,
                                        const uint8_t *limit, Span *span) {
    if (field->last) {
        if (end - span->start < (ptrdiff_t)field->literal_len) return NULL;
        span->end = end - field->literal_len;
        return pass_literal(field, span->end, end, limit);
    }
    for (;; p++) {
        p = find_byte(p, end, limit, field->first);
        if (p >= end) return NULL;
        const uint8_t *next = pass_literal(field, p, end, limit);
        if (next == NULL || (escapes && field->escaped && quote_is_escaped(span->start, p))) continue;
        span->end = p;
        return next;
    }
}

/* Whether a text holds a blank or a tab, as no address does. */
static inline bool has_blank(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
#if defined(__SSE2__)
    for (; p < end && can_read(p, limit, 16); p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i blanks = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')));
        int mask = _mm_movemask_epi8(blanks);
        if (mask) return p + __builtin_ctz((unsigned)mask) < end;
    }
#else
    (void)limit;
#endif
    while (p < end && *p != ' ' && *p != '\t') p++;
    return p < end;
}

/* The types that stand in few layouts. */
static const uint8_t *read_other(uint8_t type, const uint8_t *p, const uint8_t *end, const uint8_t *limit,
                                 Span *span) {
    switch (type) {
    case MILLIS:
    case MICROS:
    case NANOS:
        return read_duration(p, end, limit, (uint8_t)(3 * (type - MILLIS + 1)), span);
    case TIME_ANY:
        return read_time_any(p, end, span);
    case NAME:
        return read_name(p, end);
    case BLANKS:
        return read_blanks(p, end);
    case STREAM:
        return read_stream_name(p, end);
    case CRI_TAG:
        return read_cri_tag(p, end, limit);
    case SYSLOG_TIME:
        return read_syslog_time(p, end);
    case ADDRESSES:
        return read_addresses(p, end, limit);
    }
    return NULL;
}

/* Whether a text holds what one of its type must not. */
static inline bool is_malformed(const Field *field, const uint8_t *limit, const Span *span) {
    switch (field->type) {
    case WORD:
        return has_blank(span->start, span->end, limit);
    case UNQUOTED:
        return find_byte(span->start, span->end, limit, '"') < span->end;
    case FIRST_ADDRESS:
        return !is_list(span->start, span->end);
    }
    return false;
}

/* match_field for those types, and for addresses with a port or in a list. */
static const uint8_t *match_other(const Field *field, bool escapes, const uint8_t *p, const uint8_t *end,
                                  const uint8_t *limit, Span *span) {
    if (field->type == ADDRESS_PORT || field->type == FIRST_ADDRESS) {
        span->end = p;
        const uint8_t *next = match_text(field, escapes, p, end, limit, span);
        if (next == NULL || is_malformed(field, limit, span)) return NULL;
        field->type == ADDRESS_PORT ? split_port(span) : take_first(span);
        return next;
    }
    const uint8_t *stop = read_other(field->type, p, end, limit, span);
    if (stop == NULL) return NULL;
    span->end = stop;
    if (field->type == CRI_TAG && stop < end && *stop == ' ') stop++; /* a blank that is part of the tag */
    return pass_literal(field, stop, end, limit);
}

/* Match one field at p. Returns where the next begins, or NULL; the text of a field that is malformed has an end then. */
static ALWAYS_INLINE const uint8_t *match_field(Line *line, const Field *field, const uint8_t *p, const uint8_t *end,
                                                const uint8_t *limit, Span *span) {
    const uint8_t *stop;
    span->start = p;
    span->present = false;
    switch (field->type) {
    case TEXT:
    case USER:
        return match_text(field, line->escapes, p, end, limit, span);
    case WORD:
    case UNQUOTED:
        span->end = p;
        stop = match_text(field, line->escapes, p, end, limit, span);
        return is_malformed(field, limit, span) ? NULL : stop;
    case TIME_LOCAL:
        stop = read_time_local(&line->last_time, p, end, span);
        break;
    case TIME_ISO8601:
        stop = read_time_iso8601(&line->last_second, p, end, span);
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
        if (stop == p && p < end && *p == '+') stop = read_signed(p, end, limit, span);
        break;
    case SECONDS:
        stop = read_seconds(p, end, limit, span);
        break;
    case LIST:
        stop = read_list(p, end, limit);
        break;
    default:
        return match_other(field, line->escapes, p, end, limit, span);
    }
    if (stop == NULL) return NULL;
    span->end = stop;
    return pass_literal(field, stop, end, limit);
}

/* Match a text once more, up to the next place at which it may end. */
static const uint8_t *match_again(const Line *line, const Field *field, const uint8_t *end, const uint8_t *limit,
                                  Span *span) {
    const uint8_t *next = match_text(field, line->escapes, span->end + 1, end, limit, span);
    return next == NULL || is_malformed(field, limit, span) ? NULL : next;
}

/* Why a field does not fit. */
static int reason_of(const Field *field, const uint8_t *limit, const Span *span) {
    switch (field->type) {
    case TEXT:
    case USER:
    case LIST:
    case ADDRESS_PORT:
        return EXPECTED_LITERAL;
    case WORD:
    case UNQUOTED:
    case FIRST_ADDRESS:
        return is_malformed(field, limit, span) ? MALFORMED_VALUE : EXPECTED_LITERAL;
    }
    return MALFORMED_VALUE;
}

static ALWAYS_INLINE bool match_fields(Line *line, const uint8_t *start, const uint8_t *end, const uint8_t *limit,
                                       Span *spans, Misfit *misfit) {
    *misfit = (Misfit){0, -1, EXPECTED_LITERAL};
    if (line->prefix_len && !starts_with(start, end, line->prefix, line->prefix_len)) return false;
    const Field *field = line->fields;
    Span *span = spans;
    const uint8_t *p = start + line->prefix_len;
    for (int retries = 0;; field++, span++) {
        const uint8_t *next = match_field(line, field, p, end, limit, span);
        if (next != NULL && (!field->last || next == end)) {
            if (field->last) return true;
            p = next;
            continue;
        }
        int number = (int)(field - line->fields);
        if (number > misfit->field) *misfit = (Misfit){(size_t)(p - start), number, reason_of(field, limit, span)};
        if (field->retry_before < 0 || ++retries > MAX_RETRIES) return false;
        field = &line->fields[field->retry_before];
        span = &spans[field - line->fields];
        p = match_again(line, field, end, limit, span);
        if (p == NULL) return false;
    }
}

/* Memory is read behind the end of nearly every line, so the question how far it reaches is asked once for the line. */
static __attribute__((noinline)) bool match_fields_ahead(Line *line, const uint8_t *start, const uint8_t *end, Span *spans,
                                                         Misfit *misfit) {
    return match_fields(line, start, end, NULL, spans, misfit);
}

static __attribute__((noinline)) bool match_fields_near(Line *line, const uint8_t *start, const uint8_t *end,
                                                        const uint8_t *limit, Span *spans, Misfit *misfit) {
    return match_fields(line, start, end, limit, spans, misfit);
}

static inline bool match_either(Line *line, bool escapes, const uint8_t *start, const uint8_t *end, const uint8_t *limit,
                                Span *spans, Misfit *misfit) {
    line->escapes = escapes;
    return limit == NULL ? match_fields_ahead(line, start, end, spans, misfit)
                         : match_fields_near(line, start, end, limit, spans, misfit);
}

/* Whether the line fits. Some programs escape a quote with a backslash, others write both as they come: where a line
 * makes no sense the one way, it is read the other. */
static inline bool match_line(Line *line, const uint8_t *start, const uint8_t *end, const uint8_t *limit, Span *spans,
                       Misfit *misfit) {
    if (match_either(line, true, start, end, limit, spans, misfit)) return true;
    const uint8_t *p = start;
    while ((p = find_byte(p, end, limit, '\\')) < end && (++p == end || *p != '"')) continue;
    if (p >= end) return false;
    Misfit unescaped;
    return match_either(line, false, start, end, limit, spans, &unescaped);
}

/* ---- what Python says ------------------------------------------------------------------------------------------- */

static bool bytes_of(PyObject *object, const uint8_t **data, size_t *size) {
    char *text;
    Py_ssize_t length;
    if (object == NULL || PyBytes_AsStringAndSize(object, &text, &length) < 0) return false;
    *data = (const uint8_t *)text;
    *size = (size_t)length;
    return true;
}

static bool bytes_at(PyObject *tuple, Py_ssize_t index, const uint8_t **data, size_t *size) {
    return bytes_of(PyTuple_GetItem(tuple, index), data, size);
}

static long long_at(PyObject *tuple, Py_ssize_t index) {
    PyObject *item = PyTuple_GetItem(tuple, index);
    return item == NULL ? -1 : PyLong_AsLong(item);
}

/* The type of a field, which stands first in its tuple. */
static uint8_t type_at(PyObject *tuple) {
    long type = long_at(tuple, 0);
    if ((type < 0 || type >= TYPES) && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a type that no field has");
    return (uint8_t)type;
}

/* From Python: ((type, literal, retry), ...). */
static bool read_line_layout(Line *line, PyObject *prefix, PyObject *fields) {
    Py_ssize_t n = PyTuple_Size(fields);
    if (n < 1 || n > MAX_FIELDS) {
        PyErr_SetString(PyExc_ValueError, "expected between 1 and 64 fields");
        return false;
    }
    if (!bytes_of(prefix, &line->prefix, &line->prefix_len)) return false;
    line->n_fields = (int)n;
    int retry = -1;
    for (int i = 0; i < line->n_fields; i++) {
        PyObject *item = PyTuple_GetItem(fields, i);
        Field *field = &line->fields[i];
        field->type = type_at(item);
        if (!bytes_at(item, 1, &field->literal, &field->literal_len)) return false;
        size_t head = field->literal_len < 8 ? field->literal_len : 8;
        memcpy(&field->word, field->literal, head);
        memset(&field->mask, 0xFF, head);
        field->retry_before = retry;
        if (long_at(item, 2) == 1) retry = i;
        field->last = i == line->n_fields - 1;
        field->first = field->literal_len ? field->literal[0] : 0;
        field->escaped = field->first == '"';
    }
    return !PyErr_Occurred();
}

#endif
