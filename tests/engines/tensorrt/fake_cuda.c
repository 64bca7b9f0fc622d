/* A CUDA driver whose device memory is the host's: what PyCUDA and hot_sdk.engines call, and no more.
 *
 * It is strict where the real driver is: without a current context calls fail, a copy runs when its
 * stream is synchronised and not before, a pointer has to be of the right side, memory is bounded,
 * and after the device is lost nothing succeeds. It runs no kernels, and says nothing of time.
 *
 * Environment: FAKE_CUDA_DEVICES (1), FAKE_CUDA_BYTES (2^30), FAKE_CUDA_INTEGRATED (0),
 * FAKE_CUDA_NAME (Fake GPU), FAKE_CUDA_CAPABILITY (87), FAKE_CUDA_PROCESSORS (8, the device's
 * multiprocessors), FAKE_CUDA_RUN_MS (0, how long a stream takes).
 */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100,
  INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, CONTEXT_IS_DESTROYED = 709,
  LAUNCH_FAILED = 719, NOT_SUPPORTED = 801, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901
};
enum { DEVICES = 4, DEPTH = 64 };
enum { LIVE_DEVICE_MEMORY, LIVE_HOST_MEMORY, LIVE_STREAMS, LIVE_GRAPHS, LIVE_KINDS };

typedef struct Context { int device, users, alive; } Context;
typedef struct Block { char *start; size_t size; int kind; struct Block *next; } Block;
/* Pieces of a size, ``rows`` in each of ``layers``, with the steps between them on either side. */
typedef struct Pieces { size_t size, rows, layers, to_row, to_layer, from_row, from_layer; } Pieces;
typedef struct Op { int kind; char *to; const char *from; size_t size; Pieces pieces; struct Op *next; } Op;
typedef struct Stream { Op *queue; Op *captured; int capturing, broken, destroyed; } Stream;
typedef struct Graph { Op *ops; } Graph;
enum { COPY, DOUBLE, CALL, ZERO, STRIDED };
enum { TO_DEVICE, TO_HOST, ON_DEVICE, COPIED_KINDS };
typedef void (*Function)(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int initialised, lost, capture_fails, captures_are_empty, interrupt_after;
static Context contexts[DEVICES];
static Block *blocks;
static size_t used;
static int live[LIVE_KINDS];
static size_t copied[COPIED_KINDS], copies[COPIED_KINDS];
static _Thread_local Context *stack[DEPTH];
static _Thread_local int depth;

static long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

/* --- for the tests ------------------------------------------------------------------------- */
void fake_lose_device(void) { lost = 1; }
void fake_fail_captures(int yes) { capture_fails = yes; }
/* A capture that records nothing and reports no error, as of work that went to another stream. */
void fake_empty_captures(int yes) { captures_are_empty = yes; }
/* Ctrl-C in the call of this number from now on, of those that need a context or change it. */
void fake_interrupt_after(int calls) { interrupt_after = calls; }
/* Memory that a library takes for itself. */
void fake_reserve(size_t bytes) { used += bytes; }
int fake_live(int kind) { return live[kind]; }
/* Bytes that were copied so far in a direction, and in how many calls. */
size_t fake_copied(int kind) { return copied[kind]; }
size_t fake_copies(int kind) { return copies[kind]; }
int fake_users(int device) { return contexts[device].users; }
int fake_depth(void) { return depth; }

/* --- helpers -------------------------------------------------------------------------------- */
static void called(void) {
  if (interrupt_after && !--interrupt_after) raise(SIGINT);
}
static int ready(void) {
  called();
  if (!initialised) return NOT_INITIALIZED;
  if (lost) return LAUNCH_FAILED;
  if (!depth) return INVALID_CONTEXT;
  return stack[depth - 1]->alive ? SUCCESS : CONTEXT_IS_DESTROYED;
}
#define NEED_CONTEXT do { int status = ready(); if (status) return status; } while (0)

static int allocate(void **address, size_t size, int kind) {
  pthread_mutex_lock(&lock);
  int fits = size && used + size <= (size_t)setting("FAKE_CUDA_BYTES", 1L << 30);
  Block *block = fits ? malloc(sizeof *block) : NULL;
  if (block) {
    *block = (Block){aligned_alloc(256, (size + 255) / 256 * 256), size, kind, blocks};
    memset(block->start, 0xA5, size);
    blocks = block;
    used += size;
    live[kind]++;
    *address = block->start;
  }
  pthread_mutex_unlock(&lock);
  return block ? SUCCESS : OUT_OF_MEMORY;
}

static int release(void *address, int kind) {
  int status = INVALID_VALUE;
  pthread_mutex_lock(&lock);
  for (Block **at = &blocks; *at; at = &(*at)->next) {
    Block *block = *at;
    if (block->start == address && block->kind == kind) {
      *at = block->next;
      used -= block->size;
      live[kind]--;
      free(block->start);
      free(block);
      status = SUCCESS;
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  return status;
}

/* Whether an extent lies in memory of a kind; mapped host memory is the device's, too. */
static int inside(const char *start, size_t size, int device_side) {
  int found = 0;
  pthread_mutex_lock(&lock);
  for (Block *block = blocks; block && !found; block = block->next)
    found = start >= block->start && start + size <= block->start + block->size &&
            (device_side || block->kind == LIVE_HOST_MEMORY);
  pthread_mutex_unlock(&lock);
  return found;
}

static void add(Op **end, const Op *op) {
  while (*end) end = &(*end)->next;
  *end = malloc(sizeof **end);
  **end = *op;
  (*end)->next = NULL;
}

static int enqueue_op(Stream *stream, const Op *op) {
  add(stream->capturing ? &stream->captured : &stream->queue, op);
  return SUCCESS;
}

static int enqueue(Stream *stream, int kind, char *to, const char *from, size_t size) {
  Op op = {.kind = kind, .to = to, .from = from, .size = size};
  return enqueue_op(stream, &op);
}

static void strided(const Op *op) {
  const Pieces *p = &op->pieces;
  for (size_t layer = 0; layer < p->layers; layer++)
    for (size_t row = 0; row < p->rows; row++)
      memcpy(op->to + layer * p->to_layer + row * p->to_row,
             op->from + layer * p->from_layer + row * p->from_row, p->size);
}

static int count(int kind, size_t size) {
  copied[kind] += size;
  copies[kind]++;
  return SUCCESS;
}

static void run(Op *ops) {
  for (; ops; ops = ops->next) {
    if (ops->kind == COPY) memmove(ops->to, ops->from, ops->size);
    else if (ops->kind == CALL) ((Function)ops->to)();
    else if (ops->kind == ZERO) memset(ops->to, 0, ops->size);
    else if (ops->kind == STRIDED) strided(ops);
    else for (size_t i = 0; i < ops->size / sizeof(float); i++)
      ((float *)ops->to)[i] = 2 * ((const float *)ops->from)[i];
  }
}

static void discard(Op *ops) { while (ops) { Op *next = ops->next; free(ops); ops = next; } }

/* --- start, devices, contexts --------------------------------------------------------------- */
int cuInit(unsigned flags) {
  if (!setting("FAKE_CUDA_DEVICES", 1)) return NO_DEVICE;
  initialised = 1;
  return SUCCESS;
}
int cuDriverGetVersion(int *version) { *version = 12060; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = setting("FAKE_CUDA_DEVICES", 1); return SUCCESS; }
int cuDeviceGet(int *device, int index) {
  *device = index;
  return index >= 0 && index < setting("FAKE_CUDA_DEVICES", 1) ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceGetName(char *name, int size, int device) {
  const char *text = getenv("FAKE_CUDA_NAME");
  strncpy(name, text ? text : "Fake GPU", size);
  return SUCCESS;
}
int cuDeviceComputeCapability(int *major, int *minor, int device) {
  long both = setting("FAKE_CUDA_CAPABILITY", 87);
  *major = both / 10; *minor = both % 10;
  return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  *bytes = setting("FAKE_CUDA_BYTES", 1L << 30);
  return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 18 ? setting("FAKE_CUDA_INTEGRATED", 0) /* INTEGRATED */
         : attribute == 16 ? setting("FAKE_CUDA_PROCESSORS", 8) : 0; /* MULTIPROCESSOR_COUNT */
  return SUCCESS;
}
int cuDevicePrimaryCtxRetain(Context **context, int device) {
  if (lost) return LAUNCH_FAILED;
  contexts[device].device = device;
  contexts[device].users++;
  contexts[device].alive = 1;
  *context = &contexts[device];
  return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
  if (!contexts[device].users) return INVALID_CONTEXT;
  if (!--contexts[device].users) contexts[device].alive = 0;
  return SUCCESS;
}
int cuCtxPushCurrent_v2(Context *context) {
  called();
  if (!context->alive) return CONTEXT_IS_DESTROYED;
  if (depth == DEPTH) return INVALID_VALUE;
  stack[depth++] = context;
  return SUCCESS;
}
int cuCtxPopCurrent_v2(Context **context) {
  called();
  if (!depth) return INVALID_CONTEXT;
  /* The real driver may return an earlier error from any call; this one always does. */
  if (lost) return LAUNCH_FAILED;
  *context = stack[--depth];
  return SUCCESS;
}
int cuCtxGetDevice(int *device) {
  NEED_CONTEXT;
  *device = stack[depth - 1]->device;
  return SUCCESS;
}
int cuCtxSynchronize(void) { NEED_CONTEXT; return SUCCESS; }
int cuGetErrorString(int error, const char **text) {
  *text = error == OUT_OF_MEMORY ? "out of memory"
        : error == LAUNCH_FAILED ? "unspecified launch failure"
        : error == INVALID_CONTEXT ? "invalid device context"
        : error == NO_DEVICE ? "no CUDA-capable device is detected"
        : error == CAPTURE_UNSUPPORTED ? "operation not permitted when stream is capturing"
        : "another error";
  return SUCCESS;
}

/* --- memory --------------------------------------------------------------------------------- */
int cuMemAlloc_v2(void **address, size_t size) {
  NEED_CONTEXT;
  return allocate(address, size, LIVE_DEVICE_MEMORY);
}
int cuMemFree_v2(void *address) { NEED_CONTEXT; return release(address, LIVE_DEVICE_MEMORY); }
int cuMemHostAlloc(void **address, size_t size, unsigned flags) {
  NEED_CONTEXT;
  return allocate(address, size, LIVE_HOST_MEMORY);
}
int cuMemFreeHost(void *address) { NEED_CONTEXT; return release(address, LIVE_HOST_MEMORY); }
int cuMemHostGetDevicePointer_v2(void **device, void *host, unsigned flags) {
  NEED_CONTEXT;
  *device = host;
  return inside(host, 1, 0) ? SUCCESS : INVALID_VALUE;
}
int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
  NEED_CONTEXT;
  *total = setting("FAKE_CUDA_BYTES", 1L << 30);
  *free_bytes = *total - used;
  return SUCCESS;
}

/* --- streams -------------------------------------------------------------------------------- */
int cuStreamCreate(Stream **stream, unsigned flags) {
  NEED_CONTEXT;
  *stream = calloc(1, sizeof **stream);
  live[LIVE_STREAMS]++;
  return SUCCESS;
}
int cuStreamDestroy_v2(Stream *stream) {
  NEED_CONTEXT;
  discard(stream->queue);
  discard(stream->captured);
  stream->queue = stream->captured = NULL;
  stream->destroyed = 1; /* Kept, so that a use after this is seen. */
  live[LIVE_STREAMS]--;
  return SUCCESS;
}
int cuStreamSynchronize(Stream *stream) {
  NEED_CONTEXT;
  if (stream->capturing) { stream->broken = 1; return CAPTURE_UNSUPPORTED; }
  Context *context = stack[depth - 1];
  usleep(1000 * setting("FAKE_CUDA_RUN_MS", 0));
  /* What the stream works on was freed meanwhile: a fault that ends the process. */
  if (!context->alive || stream->destroyed) abort();
  run(stream->queue);
  discard(stream->queue);
  stream->queue = NULL;
  return SUCCESS;
}
int cuStreamQuery(Stream *stream) { NEED_CONTEXT; return stream->queue ? 600 : SUCCESS; }
int cuMemcpyHtoDAsync_v2(char *to, const char *from, size_t size, Stream *stream) {
  NEED_CONTEXT;
  if (!inside(to, size, 1)) return INVALID_VALUE;
  if (stream->capturing && !inside(from, size, 0)) { stream->broken = 1; return CAPTURE_UNSUPPORTED; }
  if (!stream->capturing) count(TO_DEVICE, size);
  return enqueue(stream, COPY, to, from, size);
}
int cuMemcpyDtoHAsync_v2(char *to, const char *from, size_t size, Stream *stream) {
  NEED_CONTEXT;
  if (!inside(from, size, 1)) return INVALID_VALUE;
  if (stream->capturing && !inside(to, size, 0)) { stream->broken = 1; return CAPTURE_UNSUPPORTED; }
  if (!stream->capturing) count(TO_HOST, size);
  return enqueue(stream, COPY, to, from, size);
}
int cuMemcpyDtoDAsync_v2(char *to, const char *from, size_t size, Stream *stream) {
  NEED_CONTEXT;
  if (!inside(to, size, 1) || !inside(from, size, 1)) return INVALID_VALUE;
  count(ON_DEVICE, size);
  return enqueue(stream, COPY, to, from, size);
}
int cuMemsetD8Async(char *to, unsigned char value, size_t size, Stream *stream) {
  NEED_CONTEXT;
  if (value || !inside(to, size, 1)) return INVALID_VALUE;
  return enqueue(stream, ZERO, to, NULL, size);
}
enum { SIDE_IS_DEVICE = 2 };
/* CUDA_MEMCPY3D, as cuda.h lays it out. */
typedef struct Side {
  size_t x, y, z, level;
  int type;
  const void *host;
  char *device;
  void *array, *reserved;
  size_t pitch, height;
} Side;
typedef struct Copy3D { Side from, to; size_t width, height, depth; } Copy3D;
/* Between memory of the device only, from the first byte of either side on. */
int cuMemcpy3DAsync_v2(const Copy3D *copy, Stream *stream) {
  NEED_CONTEXT;
  const Side *sides[] = {&copy->from, &copy->to};
  if (!copy->width || !copy->height || !copy->depth) return SUCCESS;
  for (int i = 0; i < 2; i++) {
    const Side *side = sides[i];
    if (side->type != SIDE_IS_DEVICE || side->x || side->y || side->z || side->level)
      return INVALID_VALUE;
    if (side->pitch < copy->width || side->height < copy->height) return INVALID_VALUE;
    size_t before_last = (copy->depth - 1) * side->pitch * side->height + (copy->height - 1) * side->pitch;
    if (!inside(side->device, before_last + copy->width, 1)) return INVALID_VALUE;
  }
  Op op = {.kind = STRIDED, .to = copy->to.device, .from = copy->from.device};
  op.pieces = (Pieces){copy->width, copy->height, copy->depth,
                       copy->to.pitch, copy->to.pitch * copy->to.height,
                       copy->from.pitch, copy->from.pitch * copy->from.height};
  count(ON_DEVICE, copy->width * copy->height * copy->depth);
  return enqueue_op(stream, &op);
}
/* Stands for a kernel: writes the float32 numbers of one tensor, doubled, to another. */
int fake_double(char *to, const char *from, size_t size, Stream *stream) {
  NEED_CONTEXT;
  if (!inside(to, size, 1) || !inside(from, size, 1)) return INVALID_VALUE;
  return enqueue(stream, DOUBLE, to, from, size);
}
/* Stands for a network: calls a function. */
int fake_call(Function function, Stream *stream) {
  NEED_CONTEXT;
  return enqueue(stream, CALL, (char *)function, NULL, 0);
}

/* --- graphs --------------------------------------------------------------------------------- */
int cuStreamBeginCapture_v2(Stream *stream, int mode) {
  NEED_CONTEXT;
  if (capture_fails || stream->queue) return CAPTURE_UNSUPPORTED;
  stream->capturing = 1;
  stream->broken = 0;
  return SUCCESS;
}
int cuStreamEndCapture(Stream *stream, Graph **graph) {
  NEED_CONTEXT;
  *graph = NULL;
  stream->capturing = 0;
  Op *ops = stream->captured;
  stream->captured = NULL;
  if (stream->broken) { discard(ops); return CAPTURE_INVALIDATED; }
  if (captures_are_empty) { discard(ops); ops = NULL; }
  *graph = malloc(sizeof **graph);
  (*graph)->ops = ops;
  live[LIVE_GRAPHS]++;
  return SUCCESS;
}
int cuGraphDestroy(Graph *graph) {
  NEED_CONTEXT;
  discard(graph->ops);
  free(graph);
  live[LIVE_GRAPHS]--;
  return SUCCESS;
}
int cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long flags) {
  NEED_CONTEXT;
  *executable = calloc(1, sizeof **executable);
  for (Op *op = graph->ops; op; op = op->next) add(&(*executable)->ops, op);
  live[LIVE_GRAPHS]++;
  return SUCCESS;
}
int cuGraphExecDestroy(Graph *graph) { return cuGraphDestroy(graph); }
int cuGraphLaunch(Graph *graph, Stream *stream) {
  NEED_CONTEXT;
  for (Op *op = graph->ops; op; op = op->next) {
    if (op->kind == COPY) count(inside(op->from, op->size, 0) ? TO_DEVICE : TO_HOST, op->size);
    enqueue_op(stream, op);
  }
  return SUCCESS;
}

/* --- what PyCUDA links against and no test calls ------------------------------------------- */
#define ABSENT(name) int name(void) { return NOT_SUPPORTED; }
ABSENT(cuArray3DCreate_v2) ABSENT(cuArray3DGetDescriptor_v2) ABSENT(cuArrayCreate_v2)
ABSENT(cuArrayDestroy) ABSENT(cuArrayGetDescriptor_v2) ABSENT(cuCtxAttach) ABSENT(cuCtxCreate_v2)
ABSENT(cuCtxDetach) ABSENT(cuCtxDisablePeerAccess) ABSENT(cuCtxEnablePeerAccess)
ABSENT(cuCtxGetApiVersion) ABSENT(cuCtxGetCacheConfig) ABSENT(cuCtxGetLimit)
ABSENT(cuCtxGetSharedMemConfig) ABSENT(cuCtxSetCacheConfig) ABSENT(cuCtxSetLimit)
ABSENT(cuCtxSetSharedMemConfig) ABSENT(cuDeviceCanAccessPeer) ABSENT(cuDeviceGetByPCIBusId)
ABSENT(cuDeviceGetPCIBusId) ABSENT(cuFuncGetAttribute) ABSENT(cuFuncSetAttribute)
ABSENT(cuFuncSetBlockShape) ABSENT(cuFuncSetCacheConfig) ABSENT(cuFuncSetSharedSize)
ABSENT(cuIpcCloseMemHandle) ABSENT(cuIpcGetEventHandle) ABSENT(cuIpcGetMemHandle)
ABSENT(cuIpcOpenEventHandle) ABSENT(cuIpcOpenMemHandle_v2) ABSENT(cuLaunch) ABSENT(cuLaunchGrid)
ABSENT(cuLaunchGridAsync) ABSENT(cuLaunchKernel) ABSENT(cuLinkAddData_v2) ABSENT(cuLinkAddFile_v2)
ABSENT(cuLinkComplete) ABSENT(cuLinkCreate_v2) ABSENT(cuLinkDestroy) ABSENT(cuMemAllocManaged)
ABSENT(cuMemAllocPitch_v2) ABSENT(cuMemGetAddressRange_v2) ABSENT(cuMemHostGetFlags)
ABSENT(cuMemHostRegister_v2) ABSENT(cuMemHostUnregister) ABSENT(cuMemcpy2DAsync_v2)
ABSENT(cuMemcpy2DUnaligned_v2) ABSENT(cuMemcpy2D_v2)
ABSENT(cuMemcpy3DPeer) ABSENT(cuMemcpy3DPeerAsync) ABSENT(cuMemcpy3D_v2) ABSENT(cuMemcpyAtoA_v2)
ABSENT(cuMemcpyAtoD_v2) ABSENT(cuMemcpyAtoH_v2) ABSENT(cuMemcpyDtoA_v2)
ABSENT(cuMemcpyDtoD_v2) ABSENT(cuMemcpyDtoH_v2)
ABSENT(cuMemcpyHtoA_v2) ABSENT(cuMemcpyHtoD_v2) ABSENT(cuMemcpyPeer) ABSENT(cuMemcpyPeerAsync)
ABSENT(cuMemsetD16Async) ABSENT(cuMemsetD16_v2) ABSENT(cuMemsetD2D16Async) ABSENT(cuMemsetD2D16_v2)
ABSENT(cuMemsetD2D32Async) ABSENT(cuMemsetD2D32_v2) ABSENT(cuMemsetD2D8Async)
ABSENT(cuMemsetD2D8_v2) ABSENT(cuMemsetD32Async) ABSENT(cuMemsetD32_v2) 
ABSENT(cuMemsetD8_v2) ABSENT(cuModuleGetFunction) ABSENT(cuModuleGetGlobal_v2)
ABSENT(cuModuleGetSurfRef) ABSENT(cuModuleGetTexRef) ABSENT(cuModuleLoad) ABSENT(cuModuleLoadData)
ABSENT(cuModuleLoadDataEx) ABSENT(cuModuleUnload) ABSENT(cuParamSetSize) ABSENT(cuParamSetTexRef)
ABSENT(cuParamSetf) ABSENT(cuParamSeti) ABSENT(cuParamSetv) ABSENT(cuProfilerInitialize)
ABSENT(cuProfilerStart) ABSENT(cuProfilerStop) ABSENT(cuStreamAttachMemAsync)
ABSENT(cuStreamWaitEvent) ABSENT(cuSurfRefGetArray) ABSENT(cuSurfRefSetArray)
ABSENT(cuTexRefCreate) ABSENT(cuTexRefDestroy) ABSENT(cuTexRefGetAddressMode)
ABSENT(cuTexRefGetAddress_v2) ABSENT(cuTexRefGetArray) ABSENT(cuTexRefGetFilterMode)
ABSENT(cuTexRefGetFlags) ABSENT(cuTexRefGetFormat) ABSENT(cuTexRefSetAddress2D_v3)
ABSENT(cuTexRefSetAddressMode) ABSENT(cuTexRefSetAddress_v2) ABSENT(cuTexRefSetArray)
ABSENT(cuTexRefSetFilterMode) ABSENT(cuTexRefSetFlags) ABSENT(cuTexRefSetFormat)
ABSENT(cuEventCreate)
ABSENT(cuEventDestroy_v2)
ABSENT(cuEventElapsedTime)
ABSENT(cuEventQuery)
ABSENT(cuEventRecord)
ABSENT(cuEventSynchronize)
