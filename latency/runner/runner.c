/* Times an ONNX model with a libonnxruntime.so that is loaded at run time. One file of C11.
 *
 *   nas-runner LIBRARY MODEL [--threads N] [--min-runs N] [--min-ms T] [--max-ms T]
 *              [--input FILE] [--output FILE] [--version]
 *
 * Warms up until runs get no faster, then times runs until there are --min-runs of them and they took
 * --min-ms in all (--max-ms ends it earlier). Standard output is one JSON object, times in nanoseconds:
 *
 *   {"format":1,"runtime":"onnxruntime","version":"…","threads":1,"init_ns":…,"warmup_ns":[…],
 *    "times_ns":[…],"peak_memory_kb":…}
 *
 * --input gives the first input's raw bytes (without it, a fixed pseudo-random one), --output takes the first
 * output's. Errors are one line on standard error: exit 2 for wrong usage, 1 for everything else.
 *
 * Nothing of ONNX Runtime is needed to compile this. Its C API is a table of functions whose places never
 * change within an API version and are only appended to by newer ones (onnxruntime_c_api.h: "Size of version 1
 * API cannot change"), so the few that are called here are declared by their places in version 1.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { /* places in OrtApi */
  GET_ERROR_MESSAGE = 2, CREATE_ENV = 3, CREATE_SESSION = 7, RUN = 9, CREATE_SESSION_OPTIONS = 10,
  SET_LOG_SEVERITY = 22, SET_INTRA_THREADS = 24, SET_INTER_THREADS = 25, INPUT_COUNT = 30, OUTPUT_COUNT = 31,
  INPUT_TYPE = 33, INPUT_NAME = 36, OUTPUT_NAME = 37, CREATE_TENSOR = 48, TENSOR_DATA = 51, CAST_TYPE = 55,
  ELEMENT_TYPE = 60, DIMENSION_COUNT = 61, DIMENSIONS = 62, ELEMENT_COUNT = 64, TENSOR_SHAPE = 65,
  DEFAULT_ALLOCATOR = 78
};

typedef void *Status; /* NULL is success */
typedef void (*Function)(void);
typedef struct { const Function *(*get_api)(uint32_t); const char *(*version)(void); } ApiBase;

typedef const char *(*GetErrorMessage)(const void *);
typedef Status (*CreateEnv)(int, const char *, void **);
typedef Status (*CreateSession)(void *, const char *, const void *, void **);
typedef Status (*Run)(void *, const void *, const char *const *, const void *const *, size_t,
                      const char *const *, size_t, void **);
typedef Status (*Create)(void **);
typedef Status (*SetInt)(void *, int);
typedef Status (*GetCount)(const void *, size_t *);
typedef Status (*GetAt)(const void *, size_t, void **);
typedef Status (*GetName)(const void *, size_t, void *, char **);
typedef Status (*CreateTensor)(void *, const int64_t *, size_t, int, void **);
typedef Status (*GetPointer)(void *, void **);
typedef Status (*GetType)(const void *, int *);
typedef Status (*GetDimensions)(const void *, int64_t *, size_t);

enum { MAX_TENSORS = 64, MAX_DIMENSIONS = 16, MAX_RUNS = 1000000, WINDOW = 4, MIN_WARMUP = 3 };
#define MAX_WARMUP_NS 1000000000LL

static const Function *api;

static void fail(int code, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("nas-runner: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  va_end(list);
  exit(code);
}

static void check(Status status, const char *what) {
  if (status) fail(1, "%s: %s", what, ((GetErrorMessage)api[GET_ERROR_MESSAGE])(status));
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ONNXTensorElementDataType: bytes per element by number, 0 for what is not a plain number. */
static size_t element_size(int type) {
  static const size_t sizes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8};
  return type >= 0 && type < (int)(sizeof sizes / sizeof *sizes) ? sizes[type] : 0;
}

static void fill(void *data, size_t count, int type) {
  uint64_t state = 88172645463325252ULL; /* xorshift: the same input on every device */
  for (size_t i = 0; i < count; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    if (type == 1) ((float *)data)[i] = (float)((double)(state >> 11) / 9007199254740992.0 * 3.4 - 1.7);
    else if (type == 11) ((double *)data)[i] = (double)(state >> 11) / 9007199254740992.0 * 3.4 - 1.7;
    else if (type == 10) ((uint16_t *)data)[i] = (uint16_t)(0x3800 | (state & 0x83ff)); /* ±0.5 to 1 */
    else if (type == 9) ((uint8_t *)data)[i] = state & 1;
    else memset((char *)data + i * element_size(type), 0, element_size(type)),
         ((uint8_t *)data)[i * element_size(type)] = (uint8_t)(state % 100);
  }
}

static void *make_input(void *session, size_t index, void *allocator, const char *path) {
  void *type, *data, *tensor;
  const void *info;
  int kind;
  size_t rank, count = 1;
  int64_t dims[MAX_DIMENSIONS];
  check(((GetAt)api[INPUT_TYPE])(session, index, &type), "an input's type");
  check(((GetPointer)api[CAST_TYPE])(type, (void **)&info), "an input's type");
  if (!info) fail(1, "input %zu is not a tensor", index);
  check(((GetType)api[ELEMENT_TYPE])(info, &kind), "an input's elements");
  check(((GetCount)api[DIMENSION_COUNT])(info, &rank), "an input's rank");
  if (!element_size(kind) || rank > MAX_DIMENSIONS) fail(1, "input %zu is not a tensor of numbers", index);
  check(((GetDimensions)api[DIMENSIONS])(info, dims, rank), "an input's shape");
  for (size_t d = 0; d < rank; d++) {
    if (dims[d] < 0 && d == 0) dims[d] = 1;
    if (dims[d] <= 0) fail(1, "input %zu has an unknown size; only the batch may vary", index);
    count *= (size_t)dims[d];
  }
  check(((CreateTensor)api[CREATE_TENSOR])(allocator, dims, rank, kind, &tensor), "an input's memory");
  check(((GetPointer)api[TENSOR_DATA])(tensor, &data), "an input's memory");
  fill(data, count, kind);
  if (path && index == 0) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(1, "%s: %s", path, strerror(errno));
    if (fread(data, element_size(kind), count, file) != count)
      fail(1, "%s has under %zu elements", path, count);
    fclose(file);
  }
  return tensor;
}

static void write_output(void *tensor, const char *path) {
  void *info, *data;
  int kind;
  size_t count;
  check(((GetPointer)api[TENSOR_SHAPE])(tensor, &info), "the output's shape");
  check(((GetType)api[ELEMENT_TYPE])(info, &kind), "the output's elements");
  check(((GetCount)api[ELEMENT_COUNT])(info, &count), "the output's size");
  check(((GetPointer)api[TENSOR_DATA])(tensor, &data), "the output's memory");
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, element_size(kind), count, file) != count || fclose(file))
    fail(1, "%s: %s", path, strerror(errno));
}

static int64_t middle(const int64_t *times) { /* the lower median of WINDOW runs */
  int64_t sorted[WINDOW];
  memcpy(sorted, times, sizeof sorted);
  for (int i = 1; i < WINDOW; i++)
    for (int j = i; j > 0 && sorted[j] < sorted[j - 1]; j--) {
      int64_t swap = sorted[j];
      sorted[j] = sorted[j - 1], sorted[j - 1] = swap;
    }
  return (sorted[(WINDOW - 1) / 2] + sorted[WINDOW / 2]) / 2;
}

static int steady(const int64_t *times, size_t count) { /* as latency/summary.py has it */
  if (count < 2 * WINDOW) return 0;
  return (double)middle(times + count - WINDOW) >= 0.98 * (double)middle(times + count - 2 * WINDOW);
}

static void print_times(const char *name, const int64_t *times, size_t count) {
  printf("\"%s\":[", name);
  for (size_t i = 0; i < count; i++) printf(i ? ",%" PRId64 : "%" PRId64, times[i]);
  printf("],");
}

static double number(const char *option, const char *text) {
  char *end;
  double value = text ? strtod(text, &end) : -1;
  if (!text || end == text || *end || !(value >= 0) || value > 1e9)
    fail(2, "%s is '%s'; expected a number of at least 0", option, text ? text : "");
  return value;
}

int main(int argc, char **argv) {
  const char *library = NULL, *model = NULL, *input = NULL, *output = NULL;
  double threads = 1, min_runs = 50, min_ms = 500, max_ms = 150000;
  int only_version = 0;
  for (int i = 1; i < argc; i++) {
    const char *next = argv[i + 1];
    if (!strcmp(argv[i], "--version")) only_version = 1;
    else if (!strcmp(argv[i], "--threads")) threads = number(argv[i++], next);
    else if (!strcmp(argv[i], "--min-runs")) min_runs = number(argv[i++], next);
    else if (!strcmp(argv[i], "--min-ms")) min_ms = number(argv[i++], next);
    else if (!strcmp(argv[i], "--max-ms")) max_ms = number(argv[i++], next);
    else if (!strcmp(argv[i], "--input") && next) input = next, i++;
    else if (!strcmp(argv[i], "--output") && next) output = next, i++;
    else if (argv[i][0] == '-') fail(2, "unknown option or missing value: %s", argv[i]);
    else if (!library) library = argv[i];
    else if (!model) model = argv[i];
    else fail(2, "one argument too many: %s", argv[i]);
  }
  if (!library || (!model && !only_version))
    fail(2, "usage: nas-runner LIBRARY MODEL [--threads N] [--min-runs N] [--min-ms T] [--max-ms T]");
  if (min_runs < 1 || min_runs > MAX_RUNS) fail(2, "--min-runs is %g; expected 1 to %d", min_runs, MAX_RUNS);

  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) fail(1, "cannot load the runtime: %s", dlerror());
  const ApiBase *(*get_base)(void);
  *(void **)&get_base = dlsym(handle, "OrtGetApiBase");
  if (!get_base) fail(1, "%s is no libonnxruntime.so: it has no OrtGetApiBase", library);
  const ApiBase *base = get_base();
  api = base->get_api(1);
  if (!api) fail(1, "ONNX Runtime %s does not offer version 1 of its C API", base->version());
  if (only_version) return printf("{\"runtime\":\"onnxruntime\",\"version\":\"%s\"}\n", base->version()) < 0;

  void *env, *options, *session, *allocator;
  int64_t start = now();
  check(((CreateEnv)api[CREATE_ENV])(3, "nas-runner", &env), "the environment"); /* 3: errors only */
  check(((Create)api[CREATE_SESSION_OPTIONS])(&options), "the options");
  check(((SetInt)api[SET_LOG_SEVERITY])(options, 3), "the log level");
  check(((SetInt)api[SET_INTRA_THREADS])(options, (int)threads), "the threads");
  check(((SetInt)api[SET_INTER_THREADS])(options, 1), "the threads");
  check(((CreateSession)api[CREATE_SESSION])(env, model, options, &session), "the model");
  int64_t init = now() - start;
  check(((Create)api[DEFAULT_ALLOCATOR])(&allocator), "the allocator");

  size_t inputs, outputs;
  char *input_names[MAX_TENSORS], *output_names[MAX_TENSORS];
  void *values[MAX_TENSORS], *results[MAX_TENSORS] = {0};
  check(((GetCount)api[INPUT_COUNT])(session, &inputs), "the inputs");
  check(((GetCount)api[OUTPUT_COUNT])(session, &outputs), "the outputs");
  if (inputs > MAX_TENSORS || outputs > MAX_TENSORS || !outputs)
    fail(1, "the model has %zu inputs and %zu outputs", inputs, outputs);
  for (size_t i = 0; i < inputs; i++) {
    check(((GetName)api[INPUT_NAME])(session, i, allocator, &input_names[i]), "an input's name");
    values[i] = make_input(session, i, allocator, input);
  }
  for (size_t i = 0; i < outputs; i++)
    check(((GetName)api[OUTPUT_NAME])(session, i, allocator, &output_names[i]), "an output's name");

  int64_t *times = calloc(MAX_RUNS, sizeof *times), *warm = calloc(MAX_RUNS, sizeof *warm), total = 0;
  if (!times || !warm) fail(1, "out of memory");
  size_t count = 0, warmup = 0;
  int warming = 1;
  int64_t began = now();
  while (warming || (count < MAX_RUNS && ((double)count < min_runs || (double)total < 1e6 * min_ms) &&
                     (double)total < 1e6 * max_ms)) {
    int64_t before = now();
    /* After the first run the outputs are kept and written into again, as an application would do it. */
    check(((Run)api[RUN])(session, NULL, (const char *const *)input_names, (const void *const *)values, inputs,
                          (const char *const *)output_names, outputs, results), "a run");
    int64_t after = now();
    if (warming) {
      warm[warmup++] = after - before;
      warming = warmup < MAX_RUNS && (warmup < MIN_WARMUP ||
                (!steady(warm, warmup) && after - began < MAX_WARMUP_NS));
    } else {
      times[count++] = after - before;
      total += after - before;
    }
  }
  if (output) write_output(results[0], output);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"format\":1,\"runtime\":\"onnxruntime\",\"version\":\"%s\",\"threads\":%d,\"init_ns\":%" PRId64 ",",
         base->version(), (int)threads, init);
  print_times("warmup_ns", warm, warmup);
  print_times("times_ns", times, count);
  printf("\"peak_memory_kb\":%ld}\n", usage.ru_maxrss);
  return fflush(stdout) ? 1 : 0;
}
