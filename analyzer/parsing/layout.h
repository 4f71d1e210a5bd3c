/* What a line looks like, of either kind: the part that the Scanner and the Unwrapper share. */
#ifndef LOGSCAN_LAYOUT_H
#define LOGSCAN_LAYOUT_H

#include "json.h"
#include "line.h"

typedef struct {
    int n_fields;
    Json *json; /* NULL: a line of text */
    Line line;
} Layout;

/* From Python: the prefix of a line of text and its fields, or None and those of a JSON object; and as bits the fields
 * whose spans are asked for. */
static bool layout_read(Layout *layout, PyObject *prefix, PyObject *fields, uint64_t wanted) {
    if (prefix != Py_None) {
        if (!read_line_layout(&layout->line, prefix, fields)) return false;
        layout->n_fields = layout->line.n_fields;
        return true;
    }
    layout->json = read_json_layout(fields, wanted);
    if (layout->json != NULL) layout->n_fields = layout->json->n_fields;
    return layout->json != NULL;
}

static uint8_t layout_type(const Layout *layout, int field) {
    return layout->json ? layout->json->types[field] : layout->line.fields[field].type;
}

/* Whether the line [start, end) fits: its fields, or why it does not. */
static inline bool layout_match(Layout *layout, const uint8_t *start, const uint8_t *end, const uint8_t *limit,
                                Span *spans, Misfit *misfit) {
    return layout->json ? match_json(layout->json, start, end, limit, spans, misfit)
                        : match_line(&layout->line, start, end, limit, spans, misfit);
}

#endif
