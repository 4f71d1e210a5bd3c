/* Plain columns that leave as an Arrow struct. */
#ifndef LOGSCAN_COLUMNS_H
#define LOGSCAN_COLUMNS_H

#include "arrow.h"

typedef struct {
    const char *name, *format;
    Buffer *values;   /* of a text: where each row ends */
    Buffer *text;     /* NULL for a column of fixed width */
    Buffer *validity; /* NULL where nothing is null */
    int64_t nulls;
} Flat;

/* Make room for so many rows of columns of eight bytes or fewer, none of which has a value where it may lack one. */
static inline bool flat_reserve(Flat *columns, int n, size_t rows) {
    for (int i = 0; i < n; i++) {
        if (!buffer_grow(columns[i].values, 0, rows * 8 + 1)) return false;
        if (columns[i].validity == NULL) continue;
        if (!buffer_grow(columns[i].validity, 0, rows / 8 + 1)) return false;
        memset(columns[i].validity->data, 0, rows / 8 + 1);
    }
    return true;
}

/* Say whether a row has a value. */
static inline void flat_valid(Flat *column, size_t row, bool valid) {
    column->validity->data[row / 8] |= (uint8_t)(valid << row % 8);
    column->nulls += !valid;
}

/* The capsules (schema, array) of a struct column of these; it takes their buffers over. */
static inline PyObject *export_flat(const Flat *columns, int n, size_t rows) {
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    if (!struct_new(n, &schema, &array)) return PyErr_NoMemory();
    array->length = (int64_t)rows;
    for (int i = 0; i < n; i++) {
        const Flat *column = &columns[i];
        Buffer *buffers[] = {column->nulls ? column->validity : NULL, column->values, column->text};
        if (!schema_set(schema->children[i], column->format, column->name) ||
            !array_set(array->children[i], (int64_t)rows, column->nulls, column->text ? 3 : 2, buffers))
            return PyErr_NoMemory();
    }
    return struct_capsules(schema, array);
}

#endif
