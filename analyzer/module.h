/* What every extension says to Python of its types. Include after Python.h. */
#ifndef LOGSCAN_MODULE_H
#define LOGSCAN_MODULE_H

/* The end of a type's tp_dealloc. */
static inline void free_object(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_memory = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_memory(object);
    Py_DECREF(type);
}

/* The beginning of a tp_new: an object of zeros, or NULL with an exception set. */
static inline void *new_object(PyTypeObject *type) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return allocate(type, 0);
}

static inline int add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromSpec(spec);
    if (type == NULL) return -1;
    int status = PyModule_AddObject(module, name, type);
    if (status < 0) Py_DECREF(type);
    return status;
}

#endif
