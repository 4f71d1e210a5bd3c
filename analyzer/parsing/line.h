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
    bool retry;   /* a field whose text may hold its own terminator: try the next one when the rest does not fit */
    bool last;    /* its literal ends the line */
    bool escaped; /* a quote preceded by an odd number of backslashes does not end it, where quotes are escaped */
    const uint8_t *literal;
    size_t literal_len;
    uint64_t word, mask; /* the literal's first eight bytes, to compare them at once */
} Field;

typedef struct {
    const uint8_t *prefix;
    size_t prefix_len;
    int n_fields;
    Field fields[MAX_FIELDS];
    LastTime last_time;
    bool escapes; /* a backslash before a quote escapes it */
} Line;

/* ---- matching --------------------------------------------------------------------------------------------------- */

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

/* Where the field's literal begins in [p, end), or NULL. */
static inline const uint8_t *find_literal(const Field *field, bool escapes, const uint8_t *start, const uint8_t *p,
                                          const uint8_t *end, const uint8_t *limit) {
    const uint8_t first = field->literal[0];
    while ((p = find_byte(p, end, limit, first)) < end) {
        if (literal_at(field, p, end, limit) && !(escapes && field->escaped && quote_is_escaped(start, p)))
            return p;
        p++;
    }
    return NULL;
}

/* Where a text ends that begins at `start` and whose literal is looked for from p on, or NULL. */
static inline const uint8_t *find_text_end(const Field *field, bool escapes, const uint8_t *start, const uint8_t *p,
                                           const uint8_t *end, const uint8_t *limit) {
    if (!field->last) return find_literal(field, escapes, start, p, end, limit);
    return (size_t)(end - start) >= field->literal_len ? end - field->literal_len : NULL;
}

/* Whether a text holds a blank or a tab, as no address does. */
static inline bool has_blank(const uint8_t *p, const uint8_t *end, const uint8_t *limit) {
#if defined(__SSE2__)
    for (; p < end && limit - p >= 16; p += 16) {
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
        return read_addresses(p, end);
    }
    return NULL;
}

/* Whether the field's literal, at which its text ends, stands at p: where the next field begins, or NULL. */
static inline const uint8_t *pass_literal(const Field *field, const uint8_t *p, const uint8_t *end,
                                          const uint8_t *limit) {
    if (field->last && (size_t)(end - p) != field->literal_len) return NULL;
    return literal_at(field, p, end, limit) ? p + field->literal_len : NULL;
}

/* match_field for those types. */
static const uint8_t *match_other(const Field *field, bool escapes, const uint8_t *p, const uint8_t *end,
                                  const uint8_t *limit, Span *span, int *reason) {
    const uint8_t *stop;
    if (field->type == ADDRESS_PORT || field->type == FIRST_ADDRESS) {
        stop = find_text_end(field, escapes, p, p, end, limit);
        if (stop != NULL && field->type == FIRST_ADDRESS && !is_list(p, stop)) return NULL;
        *reason = EXPECTED_LITERAL;
    } else {
        stop = read_other(field->type, p, end, limit, span);
    }
    if (stop == NULL) return NULL;
    span->start = p;
    span->end = stop;
    if (field->type == ADDRESS_PORT) split_port(span);
    if (field->type == FIRST_ADDRESS) take_first(span);
    if (field->type == CRI_TAG && stop < end && *stop == ' ') stop++; /* a blank that is part of the tag */
    return pass_literal(field, stop, end, limit);
}

/* Match one field at p. Returns where the next begins, or NULL with the misfit noted. */
static inline const uint8_t *match_field(Line *line, const Field *field, const uint8_t *p, const uint8_t *from,
                                         const uint8_t *end, const uint8_t *limit, Span *span, int *reason) {
    const uint8_t *stop = p;
    span->present = false;
    *reason = MALFORMED_VALUE;
    switch (field->type) {
    case TEXT:
    case USER:
        *reason = EXPECTED_LITERAL;
        stop = find_text_end(field, line->escapes, p, from, end, limit);
        break;
    case WORD:
        stop = find_text_end(field, line->escapes, p, from, end, limit);
        if (stop != NULL && has_blank(p, stop, limit)) return NULL;
        *reason = EXPECTED_LITERAL;
        break;
    case UNQUOTED:
        stop = find_text_end(field, line->escapes, p, from, end, limit);
        if (stop != NULL && find_byte(p, stop, limit, '"') < stop) return NULL;
        *reason = EXPECTED_LITERAL;
        break;
    case TIME_LOCAL:
        stop = read_time_local(&line->last_time, p, end, span);
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
        if (stop == p && p < end && *p == '+') stop = read_signed(p, end, limit, span);
        break;
    case SECONDS:
        stop = read_seconds(p, end, limit, span);
        break;
    case LIST:
        *reason = EXPECTED_LITERAL;
        stop = read_list(p, end, limit);
        break;
    default:
        return match_other(field, line->escapes, p, end, limit, span, reason);
    }
    if (stop == NULL) return NULL;
    span->start = p;
    span->end = stop;
    return pass_literal(field, stop, end, limit);
}

static bool match_fields(Line *line, const uint8_t *start, const uint8_t *end, const uint8_t *limit, Span *spans,
                       Misfit *misfit) {
    *misfit = (Misfit){0, -1, EXPECTED_LITERAL};
    if (!starts_with(start, end, line->prefix, line->prefix_len)) return false;
    const uint8_t *p = start + line->prefix_len, *from = p, *again = NULL;
    int retry_field = -1, retries = 0;
    for (int i = 0; i < line->n_fields;) {
        const Field *field = &line->fields[i];
        int reason;
        const uint8_t *next = match_field(line, field, p, from, end, limit, &spans[i], &reason);
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

/* Whether the line fits. Some programs escape a quote with a backslash, others write both as they come: where a line
 * makes no sense the one way, it is read the other. */
static bool match_line(Line *line, const uint8_t *start, const uint8_t *end, const uint8_t *limit, Span *spans,
                       Misfit *misfit) {
    line->escapes = true;
    if (match_fields(line, start, end, limit, spans, misfit)) return true;
    const uint8_t *p = start;
    while ((p = find_byte(p, end, limit, '\\')) < end && (++p == end || *p != '"')) continue;
    if (p >= end) return false;
    Misfit unescaped;
    line->escapes = false;
    return match_fields(line, start, end, limit, spans, &unescaped);
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
    for (int i = 0; i < line->n_fields; i++) {
        PyObject *item = PyTuple_GetItem(fields, i);
        Field *field = &line->fields[i];
        field->type = type_at(item);
        if (!bytes_at(item, 1, &field->literal, &field->literal_len)) return false;
        size_t head = field->literal_len < 8 ? field->literal_len : 8;
        memcpy(&field->word, field->literal, head);
        memset(&field->mask, 0xFF, head);
        field->retry = long_at(item, 2) == 1;
        field->last = i == line->n_fields - 1;
        field->escaped = field->literal_len && field->literal[0] == '"';
    }
    return !PyErr_Occurred();
}

#endif
