/* How columns pass between C and Polars without a copy: the Arrow C data and stream interfaces.
 * https://arrow.apache.org/docs/format/CDataInterface.html, https://arrow.apache.org/docs/format/CStreamInterface.html
 *
 * Buffers that leave go back into a pool when the consumer lets go of them, because page faults of fresh memory would
 * otherwise cost a third of the time. Include after Python.h.
 */
#ifndef LOGSCAN_ARROW_H
#define LOGSCAN_ARROW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARROW_FLAG_NULLABLE 2

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

/* ---- a pool of large buffers ------------------------------------------------------------------------------------ */

#define POOL_SLOTS 128
#define POOL_BYTES ((size_t)128 << 20)

typedef struct {
    uint8_t *data;
    size_t size;
} Buffer;

static atomic_flag pool_lock = ATOMIC_FLAG_INIT;
static Buffer pool[POOL_SLOTS];
static int pool_count;
static size_t pool_bytes;

static inline void pool_enter(void) {
    while (atomic_flag_test_and_set_explicit(&pool_lock, memory_order_acquire)) {
    }
}

static inline void pool_leave(void) { atomic_flag_clear_explicit(&pool_lock, memory_order_release); }

static inline Buffer buffer_new(size_t size) {
    size = (size + 63) & ~(size_t)63;
    Buffer found = {NULL, 0};
    pool_enter();
    for (int i = pool_count - 1; i >= 0; i--) {
        if (pool[i].size >= size && pool[i].size / 4 <= size) {
            found = pool[i];
            pool[i] = pool[--pool_count];
            pool_bytes -= found.size;
            break;
        }
    }
    pool_leave();
    if (found.data == NULL) {
        found.data = aligned_alloc(64, size);
        found.size = found.data ? size : 0;
    }
    return found;
}

/* Memory of zeros: of much of it only what is written to counts as memory in use. */
static inline Buffer buffer_zeros(size_t size) {
    uint8_t *data = calloc(1, size);
    return (Buffer){data, data ? size : 0};
}

static inline void buffer_free(Buffer *buffer) {
    if (buffer->data == NULL) return;
    bool kept = false;
    pool_enter();
    if (pool_count < POOL_SLOTS && pool_bytes + buffer->size <= POOL_BYTES) {
        pool[pool_count++] = *buffer;
        pool_bytes += buffer->size;
        kept = true;
    }
    pool_leave();
    if (!kept) free(buffer->data);
    buffer->data = NULL;
    buffer->size = 0;
}

/* Make room for `need` bytes, keeping the first `used`. */
static inline bool buffer_grow(Buffer *buffer, size_t used, size_t need) {
    if (need <= buffer->size) return true;
    size_t size = buffer->size * 2 > need ? buffer->size * 2 : need;
    Buffer larger = buffer_new(size);
    if (larger.data == NULL) return false;
    if (used) memcpy(larger.data, buffer->data, used);
    buffer_free(buffer);
    *buffer = larger;
    return true;
}

/* ---- columns that leave ----------------------------------------------------------------------------------------- */

/* What several exported columns share: the Python buffers under their views and the repaired text. */
typedef struct {
    atomic_int users;
    PyObject *texts;
    Buffer repaired;
} Shared;

static inline void shared_release(Shared *shared) {
    if (shared == NULL || atomic_fetch_sub(&shared->users, 1) != 1) return;
    buffer_free(&shared->repaired);
    if (shared->texts != NULL) {
        PyGILState_STATE state = PyGILState_Ensure(); /* the consumer may let go on a thread of its own */
        Py_DECREF(shared->texts);
        PyGILState_Release(state);
    }
    free(shared);
}

typedef struct {
    Buffer owned[3];
    Shared *shared;
    int64_t *sizes; /* of the variadic buffers of a view column, which end its list of buffers */
} Column;

static inline void array_release(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release != NULL) array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    free(array->children);
    Column *column = array->private_data;
    if (column != NULL) {
        for (int i = 0; i < 3; i++) buffer_free(&column->owned[i]);
        shared_release(column->shared);
        free(column->sizes);
        free(column);
    }
    free((void *)array->buffers);
    array->release = NULL;
}

static inline void schema_release(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release != NULL) schema->children[i]->release(schema->children[i]);
        free(schema->children[i]);
    }
    free(schema->children);
    free((void *)schema->name);
    schema->release = NULL;
}

static inline void capsule_free_array(PyObject *capsule) {
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array->release != NULL) array->release(array);
    free(array);
}

static inline void capsule_free_schema(PyObject *capsule) {
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema->release != NULL) schema->release(schema);
    free(schema);
}

static inline bool schema_set(struct ArrowSchema *schema, const char *format, const char *name) {
    char *copy = malloc(strlen(name) + 1);
    if (copy == NULL) return false;
    strcpy(copy, name);
    *schema = (struct ArrowSchema){
        .format = format, .name = copy, .flags = ARROW_FLAG_NULLABLE, .release = schema_release};
    return true;
}

/* A column over up to three buffers, which it takes over; NULL stands for "no validity". */
static inline bool array_set(struct ArrowArray *array, int64_t length, int64_t nulls, int n_buffers, Buffer *buffers[]) {
    Column *column = calloc(1, sizeof *column);
    const void **pointers = calloc((size_t)n_buffers, sizeof *pointers);
    if (column == NULL || pointers == NULL) {
        free(column);
        free((void *)pointers);
        return false;
    }
    for (int i = 0; i < n_buffers; i++) {
        if (buffers[i] == NULL) continue;
        column->owned[i] = *buffers[i];
        pointers[i] = buffers[i]->data;
        *buffers[i] = (Buffer){NULL, 0};
    }
    *array = (struct ArrowArray){.length = length,
                                 .null_count = nulls,
                                 .n_buffers = n_buffers,
                                 .buffers = pointers,
                                 .release = array_release,
                                 .private_data = column};
    return true;
}

/* Add the buffers that views point into: the texts as they came, then the repaired text. */
static inline bool array_add_texts(struct ArrowArray *array, Shared *shared, const void **texts, const int64_t *sizes,
                            int n_texts) {
    Column *column = array->private_data;
    const void **pointers = calloc((size_t)n_texts + 3, sizeof *pointers);
    column->sizes = calloc((size_t)n_texts + 1, sizeof *column->sizes);
    if (pointers == NULL || column->sizes == NULL) {
        free((void *)pointers);
        return false;
    }
    pointers[0] = array->buffers[0];
    pointers[1] = array->buffers[1];
    for (int i = 0; i < n_texts; i++) {
        pointers[2 + i] = texts[i];
        column->sizes[i] = sizes[i];
    }
    pointers[2 + n_texts] = column->sizes;
    free((void *)array->buffers);
    array->buffers = pointers;
    array->n_buffers = n_texts + 3;
    column->shared = shared;
    atomic_fetch_add(&shared->users, 1);
    return true;
}

/* A struct column with room for its children. */
static inline bool struct_new(int n_children, struct ArrowSchema **schema, struct ArrowArray **array) {
    *schema = calloc(1, sizeof **schema);
    *array = calloc(1, sizeof **array);
    if (*schema == NULL || *array == NULL || !schema_set(*schema, "+s", "") || !array_set(*array, 0, 0, 1, (Buffer *[]){NULL}))
        return false;
    (*schema)->children = calloc((size_t)n_children, sizeof *(*schema)->children);
    (*array)->children = calloc((size_t)n_children, sizeof *(*array)->children);
    if ((*schema)->children == NULL || (*array)->children == NULL) return false;
    for (int i = 0; i < n_children; i++) {
        (*schema)->children[i] = calloc(1, sizeof(struct ArrowSchema));
        (*array)->children[i] = calloc(1, sizeof(struct ArrowArray));
        (*schema)->n_children = (*array)->n_children = i + ((*schema)->children[i] && (*array)->children[i]);
        if ((*array)->n_children == i) return false;
    }
    return true;
}

static inline PyObject *struct_capsules(struct ArrowSchema *schema, struct ArrowArray *array) {
    PyObject *first = PyCapsule_New(schema, "arrow_schema", capsule_free_schema);
    PyObject *second = PyCapsule_New(array, "arrow_array", capsule_free_array);
    if (first == NULL || second == NULL) return NULL;
    PyObject *pair = PyTuple_New(2);
    if (pair == NULL) return NULL;
    PyTuple_SetItem(pair, 0, first);
    PyTuple_SetItem(pair, 1, second);
    return pair;
}

/* ---- columns that come ------------------------------------------------------------------------------------------ */

/* Hand each chunk of a frame (the capsule of its Arrow stream) to `read`, the GIL released. The columns must have the
 * given formats, each as it begins. */
static inline PyObject *read_stream(PyObject *capsule, const char *const *formats, int n_columns,
                                    bool (*read)(void *self, const struct ArrowArray *chunk), void *self) {
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    if (stream == NULL) return NULL;
    struct ArrowSchema schema;
    bool fits = stream->get_schema(stream, &schema) == 0, done = true;
    if (fits) {
        fits = schema.n_children == n_columns;
        for (int i = 0; fits && i < n_columns; i++)
            fits = strncmp(schema.children[i]->format, formats[i], strlen(formats[i])) == 0;
        schema.release(&schema);
    }
    while (fits && done) {
        struct ArrowArray chunk;
        fits = stream->get_next(stream, &chunk) == 0;
        if (!fits || chunk.release == NULL) break;
        Py_BEGIN_ALLOW_THREADS;
        done = read(self, &chunk);
        Py_END_ALLOW_THREADS;
        chunk.release(&chunk);
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "a frame with other columns than expected");
        return NULL;
    }
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* The values of a column of a chunk, each `width` bytes. */
static inline const uint8_t *values_of(const struct ArrowArray *chunk, int column, size_t width) {
    const struct ArrowArray *array = chunk->children[column];
    return (const uint8_t *)array->buffers[1] + width * (size_t)(array->offset + chunk->offset);
}

/* Which values of a column are there; looked up once for a chunk, not for each row. */
typedef struct {
    const uint8_t *bits; /* NULL where all are */
    int64_t at;
} Validity;

static inline Validity validity_of(const struct ArrowArray *chunk, int column) {
    const struct ArrowArray *array = chunk->children[column];
    return (Validity){array->buffers[0], array->offset + chunk->offset};
}

static inline bool is_valid(Validity validity, int64_t row) {
    int64_t at = validity.at + row;
    return validity.bits == NULL || (validity.bits[at >> 3] >> (at & 7) & 1);
}

#endif
