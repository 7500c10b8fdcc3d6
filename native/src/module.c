/* The Python side: `Plan`, in the stable interface, so that one file serves every Python from 3.11 on. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <string.h>

#include "plan.h"

typedef struct {
    PyObject_HEAD
    Plan *plan;
    PyThread_type_lock lock; /* a plan computes in rooms of its own: one step at a time */
} PlanObject;

static const Kernels *chosen(const char *name) {
    const Kernels *able[3] = {&streamrnn_plain, NULL, NULL};
#if defined(STREAMRNN_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        able[1] = &streamrnn_avx2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
            able[2] = &streamrnn_avx512;
    }
#endif
    for (int i = 2; i >= 0; i--)
        if (able[i] && (!*name || !strcmp(name, able[i]->name))) return able[i];
    return NULL;
}

/* A view of the floats of an object, contiguous; raises and returns 0 if it is of something else. */
static int floats_of(PyObject *object, Py_buffer *view, int flags) {
    if (!PyObject_GetBuffer(object, view, flags | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) {
        if (view->itemsize == 4 && view->format && !strcmp(view->format, "f")) return 1;
        PyBuffer_Release(view);
    }
    PyErr_SetString(PyExc_TypeError, "give contiguous arrays of float32");
    return 0;
}

static int describe(PyObject *item, Description *d, Py_buffer *views, int *held) {
    PyObject *numbers, *arrays;
    if (!PyArg_ParseTuple(item, "sO!O!", &d->kind, &PyTuple_Type, &numbers, &PyTuple_Type, &arrays)) return 0;
    d->numbers_given = (int)PyTuple_Size(numbers);
    d->arrays_given = (int)PyTuple_Size(arrays);
    if (d->numbers_given > MOST_NUMBERS || d->arrays_given > MOST_ARRAYS) {
        PyErr_SetString(PyExc_ValueError, "a stage takes fewer numbers and arrays");
        return 0;
    }
    for (int i = 0; i < d->numbers_given; i++) {
        d->numbers[i] = PyLong_AsLong(PyTuple_GetItem(numbers, i));
        if (d->numbers[i] == -1 && PyErr_Occurred()) return 0;
    }
    for (int i = 0; i < d->arrays_given; i++) {
        Py_buffer *view = &views[*held];
        if (!floats_of(PyTuple_GetItem(arrays, i), view, 0)) return 0;
        (*held)++;
        d->arrays[i] = view->buf;
        d->sizes[i] = (long)(view->len / 4);
    }
    return 1;
}

static PyObject *plan_create(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    const char *instructions;
    long channels;
    PyObject *stages;
    if (keywords && PyDict_Size(keywords)) return PyErr_Format(PyExc_TypeError, "Plan takes no keywords");
    if (!PyArg_ParseTuple(arguments, "slO!", &instructions, &channels, &PyTuple_Type, &stages)) return NULL;
    const Kernels *kernels = chosen(instructions);
    if (!kernels) return PyErr_Format(PyExc_ValueError, "this processor has no %.40s", instructions);
    const Py_ssize_t count = PyTuple_Size(stages);
    if (count > MOST_STAGES) return PyErr_Format(PyExc_ValueError, "more than %d stages", (int)MOST_STAGES);
    Description *described = PyMem_Calloc(MOST_STAGES, sizeof *described);
    Py_buffer *views = PyMem_Calloc(MOST_STAGES * MOST_ARRAYS, sizeof *views);
    int held = 0, fine = described && views;
    if (!fine) PyErr_NoMemory();
    for (Py_ssize_t i = 0; fine && i < count; i++)
        fine = describe(PyTuple_GetItem(stages, i), &described[i], views, &held);
    Plan *plan = NULL;
    if (fine) {
        char error[256];
        plan = plan_new(kernels, channels, (int)count, described, error);
        if (!plan) PyErr_SetString(PyExc_ValueError, error);
    }
    while (held) PyBuffer_Release(&views[--held]);
    PyMem_Free(views);
    PyMem_Free(described);
    if (!plan) return NULL;
    allocfunc create = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PlanObject *self = (PlanObject *)create(type, 0);
    PyThread_type_lock lock = self ? PyThread_allocate_lock() : NULL;
    if (!lock) {
        plan_free(plan);
        Py_XDECREF((PyObject *)self);
        return self ? PyErr_NoMemory() : NULL;
    }
    self->plan = plan;
    self->lock = lock;
    return (PyObject *)self;
}

static void plan_destroy(PyObject *object) {
    PlanObject *self = (PlanObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    plan_free(self->plan);
    if (self->lock) PyThread_free_lock(self->lock);
    freefunc destroy = (freefunc)PyType_GetSlot(type, Py_tp_free);
    destroy(object);
    Py_DECREF(type);
}

/* Holds the floats of `object` as a view of exactly `count`; raises and returns 0 if they are of another number. */
static int hold(PyObject *object, Py_buffer *views, int *held, int flags, long count, const char *what) {
    if (!floats_of(object, &views[*held], flags)) return 0;
    const Py_ssize_t there = views[(*held)++].len / 4;
    if (there == count) return 1;
    PyErr_Format(PyExc_ValueError, "%s: %zd floats, not %ld", what, there, count);
    return 0;
}

PyDoc_STRVAR(step_says, "step(batch, hops, samples, posteriors, before, after)\n--\n\n"
                        "Samples and states before -> posteriors and states after, which are written to.");

static PyObject *plan_step(PyObject *object, PyObject *const *arguments, Py_ssize_t count) {
    PlanObject *self = (PlanObject *)object;
    const Plan *plan = self->plan;
    if (count != 6) return PyErr_Format(PyExc_TypeError, "step takes 6 arguments");
    const long batch = PyLong_AsLong(arguments[0]), hops = PyLong_AsLong(arguments[1]);
    if (PyErr_Occurred()) return NULL;
    const long most = 1l << 40, step = plan->hop * plan->channels;
    if (batch < 0 || hops < 0 || batch > most / step || (batch && hops > most / step / batch) || hops > most / step)
        return PyErr_Format(PyExc_ValueError, "%ld streams of %ld hops", batch, hops);
    PyObject *before = arguments[4], *after = arguments[5];
    if (!PyTuple_Check(before) || !PyTuple_Check(after) || PyTuple_Size(before) != plan->states ||
        PyTuple_Size(after) != plan->states)
        return PyErr_Format(PyExc_ValueError, "give tuples of %d states", plan->states);
    Py_buffer views[2 * MOST_STATES + 2];
    const float *given[MOST_STATES];
    float *made[MOST_STATES];
    int held = 0;
    int fine = hold(arguments[2], views, &held, 0, batch * hops * step, "samples") &&
               hold(arguments[3], views, &held, PyBUF_WRITABLE, batch * hops * plan->columns, "posteriors");
    for (int i = 0; fine && i < plan->states; i++) {
        fine = hold(PyTuple_GetItem(before, i), views, &held, 0, batch * plan->sizes[i], "a state before");
        if (fine) given[i] = views[held - 1].buf;
        fine = fine &&
               hold(PyTuple_GetItem(after, i), views, &held, PyBUF_WRITABLE, batch * plan->sizes[i], "a state after");
        if (fine) made[i] = views[held - 1].buf;
    }
    if (fine) {
        const float *samples = views[0].buf;
        float *posteriors = views[1].buf;
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(self->lock, WAIT_LOCK);
        plan_run(self->plan, batch, hops, samples, posteriors, given, made);
        PyThread_release_lock(self->lock);
        Py_END_ALLOW_THREADS
    }
    while (held) PyBuffer_Release(&views[--held]);
    return fine ? Py_NewRef(Py_None) : NULL;
}

static PyObject *get_hop(PyObject *self, void *nothing) {
    (void)nothing;
    return PyLong_FromLong(((PlanObject *)self)->plan->hop);
}

static PyObject *get_columns(PyObject *self, void *nothing) {
    (void)nothing;
    return PyLong_FromLong(((PlanObject *)self)->plan->columns);
}

static PyObject *get_instructions(PyObject *self, void *nothing) {
    (void)nothing;
    return PyUnicode_FromString(((PlanObject *)self)->plan->kernels->name);
}

static PyObject *get_states(PyObject *self, void *nothing) {
    (void)nothing;
    const Plan *plan = ((PlanObject *)self)->plan;
    PyObject *sizes = PyTuple_New(plan->states);
    for (int i = 0; sizes && i < plan->states; i++) {
        PyObject *size = PyLong_FromLong(plan->sizes[i]);
        if (!size || PyTuple_SetItem(sizes, i, size)) Py_CLEAR(sizes);
    }
    return sizes;
}

static PyGetSetDef attributes[] = {
    {"hop", get_hop, NULL, "Samples that make one frame of posteriors.", NULL},
    {"columns", get_columns, NULL, "Posteriors a frame.", NULL},
    {"instructions", get_instructions, NULL, "avx512, avx2 or plain.", NULL},
    {"states", get_states, NULL, "Floats of each state, a stream.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"step", (PyCFunction)(void (*)(void))plan_step, METH_FASTCALL, step_says},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(plan_says, "Plan(instructions, channels, stages)\n--\n\n"
                        "Stages `(kind, numbers, arrays)` in their order, with packed weights and room to compute in.\n\n"
                        "`instructions` is avx512, avx2, plain or \"\" for the best of this processor. Raises ValueError.");

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)plan_create},
    {Py_tp_dealloc, (void *)plan_destroy},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {Py_tp_doc, (void *)plan_says},
    {0, NULL},
};

static PyType_Spec specification = {"streamrnn_native.Plan", sizeof(PlanObject), 0, Py_TPFLAGS_DEFAULT, slots};

static PyObject *available(PyObject *module, PyObject *nothing) {
    (void)module, (void)nothing;
    const char *names[] = {"avx512", "avx2", "plain"};
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < 3; i++) {
        PyObject *name = chosen(names[i]) ? PyUnicode_FromString(names[i]) : NULL;
        if (name && PyList_Append(list, name)) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyMethodDef functions[] = {
    {"available", available, METH_NOARGS, "available()\n--\n\nThe sets of instructions that this processor has."},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module) {
    PyObject *type = PyType_FromSpec(&specification);
    const int done = type ? PyModule_AddObjectRef(module, "Plan", type) : -1;
    Py_XDECREF(type);
    return done;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "streamrnn_native._kernel", NULL, 0, functions, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
