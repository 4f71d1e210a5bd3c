/* Columns: what the Scanner writes for each field of a line that fits.
 */
#ifndef LOGSCAN_ROWS_H
#define LOGSCAN_ROWS_H

#include "../arrow.h"
#include "layout.h"

/* ---- what Python says: outputs (the numbers are those of schema.Kind) -------------------------------------------- */

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
    OUT_LINE,
    OUT_CHAIN,
    OUT_HASH,
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
    [OUT_LINE] = {"I", 4, false},         [OUT_CHAIN] = {"vu", 16, true},
    [OUT_HASH] = {"I", 4, false},
};

#define MAX_OUTPUTS 64
#define MAX_TAGS 32
#define FEW_TEXTS 3
#define KEPT_BLANK 2048 /* of empty lines in a row: an error record of nginx has no more bytes (NGX_MAX_ERROR_STR) */

/* Patterns, of which the first that fits counts. An empty one asks for an empty field, one that ends with NUL for the
 * whole field, any other for its beginning. */
typedef struct {
    struct {
        const uint8_t *text;
        size_t len; /* without the NUL */
        bool whole;
        uint64_t word; /* of the first sixteen bytes the last eight: those before are the same in many texts */
    } tags[MAX_TAGS];
    uint8_t of_empty;     /* the tag of an empty field */
    uint8_t second_at;    /* a place behind the first byte at which many patterns differ */
    uint32_t first[256];  /* patterns that fit a text which begins with that byte, as bits */
    uint32_t second[256]; /* those that fit one with that byte at the place */
} Tags;

typedef struct {
    uint8_t kind;
    uint8_t field;
    bool nullable;
    Tags *tags;
    Buffer values;
    Buffer validity;
    int64_t nulls;
} Output;

typedef struct {
    PyObject_HEAD
    PyObject *program; /* the tuples from Python, which own the literals and tags */
    Layout layout;
    int n_outputs;
    Output outputs[MAX_OUTPUTS];
    int n_texts;

    /* the batch that is being filled */
    size_t rows, capacity;
    uint64_t lines;
    PyObject *texts; /* list of the buffers that string views point into */
    Buffer repaired; /* text that is not in the texts: repaired where it was not UTF-8, unescaped, joined, copied */
    size_t repaired_len;
    Buffer bad_text, bad_ends, bad_offset, bad_where, bad_number, bad_field, bad_reason;
    size_t bad_rows, bad_len;
    uint64_t blank;     /* empty lines that are counted and not kept */
    uint64_t blank_run; /* empty lines in a row up to here */
} Scanner;

/* ---- the request line ------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *start, *end;
} Part;

typedef struct {
    Part method, path, protocol;
    bool readable;
} Request;

/* `GET /path HTTP/1.1`: an upper-case method, a target, a protocol; HTTP/0.9 has none. */
static Request split_request(const Span *request) {
    Request parts = {0};
    const uint8_t *p = request->start, *end = request->end;
    while (p < end && ((*p >= 'A' && *p <= 'Z') || *p == '_' || *p == '-')) p++;
    if (p == request->start || p >= end - 1 || *p != ' ') return parts;
    const uint8_t *blank = end;
    if (end - p > 9 && memcmp(end - 9, " HTTP/", 6) == 0 && end[-3] != ' ' && end[-2] != ' ' && end[-1] != ' ')
        blank = end - 9; /* as nearly always */
    else
        do blank--;
        while (blank > p && *blank != ' ' && end - blank <= 12); /* no protocol is longer */
    bool protocol = blank > p + 1 && *blank == ' ' && starts_with(blank + 1, end, (const uint8_t *)"HTTP/", 5);
    parts.method = (Part){request->start, p};
    parts.path = (Part){p + 1, protocol ? blank : end};
    if (protocol) parts.protocol = (Part){blank + 1, end};
    parts.readable = protocol;
    return parts;
}

/* ---- patterns --------------------------------------------------------------------------------------------------- */

static inline uint64_t tag_word(const uint8_t *text, size_t len) {
    uint64_t word;
    memcpy(&word, text + (len < 16 ? len : 16) - 8, 8);
    return word;
}

/* The tag of a text: 1 + the number of the pattern that it fits, or 0. */
static inline uint8_t tag_of(const Tags *tags, const uint8_t *p, const uint8_t *end) {
    size_t size = (size_t)(end - p);
    if (size == 0) return tags->of_empty;
    uint32_t fitting = tags->first[*p];
    if (size > tags->second_at) fitting &= tags->second[p[tags->second_at]];
    for (; fitting; fitting &= fitting - 1) {
        int number = __builtin_ctz(fitting);
        size_t len = tags->tags[number].len;
        if (size < len || (tags->tags[number].whole && size > len)) continue;
        if (len >= 8 && tag_word(p, len) != tags->tags[number].word) continue;
        if (memcmp(p, tags->tags[number].text, len) == 0) return (uint8_t)(number + 1);
    }
    return 0;
}

/* The place from 1 to 7 at which most patterns have a byte that no other has there. */
static uint8_t telling_place(const Tags *tags, int n) {
    uint8_t best = 1;
    int most = -1;
    for (uint8_t at = 1; at < 8; at++) {
        int told = 0;
        for (int t = 0; t < n; t++) {
            bool alone = tags->tags[t].len > at;
            for (int other = 0; alone && other < n; other++)
                alone = other == t || tags->tags[other].len <= at || tags->tags[other].text[at] != tags->tags[t].text[at];
            told += alone;
        }
        if (told > most) {
            most = told;
            best = at;
        }
    }
    return best;
}

/* From Python: a tuple of patterns; NULL with an exception set where that cannot be. */
static Tags *read_tags(PyObject *patterns) {
    Tags *tags = calloc(1, sizeof *tags);
    if (tags == NULL) return (Tags *)PyErr_NoMemory();
    int n = (int)PyTuple_Size(patterns);
    for (int t = 0; t < n; t++) {
        const uint8_t *text;
        size_t len;
        if (!bytes_at(patterns, t, &text, &len)) {
            free(tags);
            return NULL;
        }
        bool nul = len && text[len - 1] == 0;
        len -= nul;
        tags->tags[t].text = text;
        tags->tags[t].len = len;
        tags->tags[t].whole = nul;
        tags->tags[t].word = len >= 8 ? tag_word(text, len) : 0;
        if (len == 0 && tags->of_empty == 0) tags->of_empty = (uint8_t)(t + 1);
    }
    tags->second_at = telling_place(tags, n);
    for (int t = 0; t < n; t++) {
        if (tags->tags[t].len == 0) continue;
        tags->first[tags->tags[t].text[0]] |= 1U << t;
        for (int byte = 0; byte < 256; byte++)
            if (tags->tags[t].len <= tags->second_at || tags->tags[t].text[tags->second_at] == byte)
                tags->second[byte] |= 1U << t;
    }
    return tags;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* All values are there until it is said otherwise (reserve_rows). */
static inline void set_valid(Output *out, size_t row, bool valid) {
    if (valid) return;
    out->validity.data[row >> 3] &= (uint8_t) ~(1U << (row & 7));
    out->nulls++;
}

/* The number of the buffer that holds repaired text, until the real number is known (export_rows). */
#define REPAIRED_BUFFER INT32_MAX

/* The index of a text that will not last: what is wanted of it is copied. */
#define PASSING_TEXT (-1)

/* Text of a line, and which of the scanned texts holds it. */
typedef struct {
    const uint8_t *text;
    int32_t index;
    bool ascii; /* the whole line, as far as that is known */
} Source;

static void set_view(Output *out, size_t row, const uint8_t *data, size_t length, int32_t index, size_t offset) {
    int32_t header[4] = {(int32_t)length, 0, index, (int32_t)offset};
    if (length <= 12)
        memset(&header[1], 0, 12);
    memcpy(&header[1], data, length <= 12 ? length : 4);
    memcpy(out->values.data + row * 16, header, 16);
}

/* Put a copy of the text, repaired and if so asked unescaped. */
static bool put_copy(Scanner *self, Output *out, size_t row, const uint8_t *p, const uint8_t *end, bool escaped) {
    size_t size = (size_t)(end - p), offset = self->repaired_len;
    if (offset + 3 * size > INT32_MAX || !buffer_grow(&self->repaired, offset, offset + 4 * size + 64)) return false;
    uint8_t *copy = self->repaired.data + offset;
    if (escaped)
        end = unescape(p, end, copy);
    else
        end = (uint8_t *)memcpy(copy, p, size) + size;
    size_t length = (size_t)(end - copy);
    if (!is_ascii(copy, end) && !is_utf8(copy, end)) { /* once more, from behind the room that it may take */
        memcpy(copy + 3 * size, copy, length);
        length = (size_t)(repair_utf8(copy + 3 * size, copy + 3 * size + length, copy) - copy);
    }
    self->repaired_len += length;
    set_view(out, row, copy, length, REPAIRED_BUFFER, offset);
    return true;
}

static bool put_view(Scanner *self, Output *out, size_t row, const uint8_t *p, const uint8_t *end,
                     const Source *source) {
    if (!source->ascii && !is_ascii(p, end) && !is_utf8(p, end)) return put_copy(self, out, row, p, end, false);
    size_t size = (size_t)(end - p), offset = self->repaired_len;
    if (source->index == PASSING_TEXT && size > 12) {
        if (offset + size > INT32_MAX || !buffer_grow(&self->repaired, offset, offset + size)) return false;
        memcpy(self->repaired.data + offset, p, size);
        self->repaired_len += size;
        set_view(out, row, p, size, REPAIRED_BUFFER, offset);
        return true;
    }
    set_view(out, row, p, (size_t)(end - p), source->index, (size_t)(p - source->text));
    return true;
}

/* Put a part of a field. */
static inline bool put_text(Scanner *self, Output *out, size_t row, const uint8_t *p, const uint8_t *end,
                            const Span *span, const Source *source) {
    if (self->layout.json) {
        bool escaped = !span->raw && has_escape(p, end);
        if (escaped || span->joined) return put_copy(self, out, row, p, end, escaped);
    }
    return put_view(self, out, row, p, end, source);
}

/* The sum over the items of an upstream list; `-` is no try. */
static bool seconds_sum(const Span *span, const uint8_t *limit, double *sum) {
    const uint8_t *p = span->start;
    bool any = false;
    *sum = 0;
    while (p < span->end) {
        Span item;
        if (*p == ' ' || *p == ',' || *p == ':') {
            p++;
            continue;
        }
        const uint8_t *stop = read_seconds(p, span->end, limit, &item);
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
        if (!out->nullable) continue;
        if (!buffer_grow(&out->validity, self->rows / 8, capacity / 8)) return false;
        memset(out->validity.data + self->rows / 8, 0xFF, (capacity - self->rows) / 8);
    }
    self->capacity = capacity;
    return true;
}

#define PUT(type, value) (((type *)(void *)out->values.data)[row] = (type)(value))

static bool put_row(Scanner *self, const Span *spans, const uint8_t *line, const uint8_t *end, const uint8_t *limit,
                    uint64_t offset, const uint8_t *text, int32_t text_index) {
    if (!reserve_rows(self)) return false;
    size_t row = self->rows;
    /* Of JSON most of the line is never looked at, and few texts are looked at sooner than a line. */
    const Source source = {text, text_index, self->n_texts > FEW_TEXTS && !self->layout.json && is_ascii(line, end)};
    for (int i = 0; i < self->n_outputs; i++) {
        Output *out = &self->outputs[i];
        const Span *span = &spans[out->field];
        const uint8_t *readable = self->layout.json && span->joined ? span->end : limit;
        switch (out->kind) {
        case OUT_TEXT:
            if (!put_text(self, out, row, span->start, span->end, span, &source)) return false;
            if (out->nullable) set_valid(out, row, !span->missing);
            break;
        case OUT_ADDRESS: {
            uint64_t words[2] = {0, 0}; /* little-endian: the low half first */
            set_valid(out, row, read_address(span->start, span->end, readable, &words[1], &words[0]));
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
            set_valid(out, row, seconds_sum(span, readable, &sum));
            PUT(double, sum);
            break;
        }
        case OUT_METHOD:
        case OUT_PATH:
        case OUT_PROTOCOL: {
            Request request = split_request(span);
            const Part *part = out->kind == OUT_METHOD ? &request.method
                               : out->kind == OUT_PATH ? &request.path
                                                       : &request.protocol;
            const uint8_t *p = part->start ? part->start : span->start;
            if (!put_text(self, out, row, p, part->start ? part->end : p, span, &source)) return false;
            set_valid(out, row, part->start != NULL);
            break;
        }
        case OUT_READABLE:
            PUT(uint8_t, split_request(span).readable);
            break;
        case OUT_FANIN:
            PUT(uint64_t, fanin_bit(span->start, span->end, readable));
            break;
        case OUT_HASH: {
            bool absent = span->start == span->end || (span->end - span->start == 1 && *span->start == '-');
            PUT(uint32_t, absent ? 0 : text_hash(span->start, span->end, readable));
            break;
        }
        case OUT_FANIN_FIRST: {
            const uint8_t *stop = memchr(span->start, ',', (size_t)(span->end - span->start));
            if (stop == NULL) stop = span->end;
            bool absent = stop == span->start || (stop - span->start == 1 && *span->start == '-');
            PUT(uint64_t, absent ? 0 : fanin_bit(span->start, stop, readable));
            break;
        }
        case OUT_TAG:
            PUT(uint8_t, tag_of(out->tags, span->start, span->end));
            break;
        case OUT_OFFSET:
            PUT(uint64_t, offset);
            break;
        case OUT_LINE:
            PUT(uint32_t, self->lines);
            break;
        case OUT_CHAIN: {
            uint64_t high, low;
            const uint8_t *p = span->start, *stop = span->end;
            bool none = p == stop || (stop - p == 1 && *p == '-') || read_address(p, stop, readable, &high, &low);
            set_valid(out, row, !none);
            if (none)
                set_view(out, row, text, 0, 0, 0);
            else if (!put_copy(self, out, row, p, stop, self->layout.json && !span->raw && has_escape(p, stop)))
                return false;
            break;
        }
        }
    }
    self->rows++;
    return true;
}

#endif
