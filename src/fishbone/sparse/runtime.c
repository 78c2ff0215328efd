/* Sparse runtime: convolutional networks whose zero weights cost no time. C11, POSIX threads, no other dependency.
 *
 *     cc -O3 -march=native -ffp-contract=fast -fPIC -shared -pthread runtime.c -o runtime.so
 *
 * Direct sparse convolution (Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017).
 * Activations are zero-padded planes [channel][image][row][column], so that a weight is one constant shift of a flat
 * plane: for each non-zero weight of an output channel, a run of the shifted plane is multiplied and added to sums that
 * stay in registers. Bias, residual and ReLU are applied when the sums are stored. What falls into the padding is
 * zeroed afterwards. A convolution with a stride reads planes that hold every stride-th pixel.
 *
 * fishbone.sparse.plan writes the file that fb_open reads (little-endian 32-bit words):
 *     "FBSPARSE", version, tensors, operations, input tensor, output tensor
 *     each tensor: channels, height, width
 *     each operation: kind, input, residual (-1: none), output, relu, kernel, stride, padding, non-zero weights;
 *         conv and linear: row starts [channels + 1], positions [non-zeros], values [non-zeros], biases [channels];
 *         a position is (input channel * kernel + row) * kernel + column
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define MOST 16 /* vectors of sums in one tile */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t mask __attribute__((vector_size(4 * LANES)));
typedef float run __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

enum { VERSION = 1, CONV = 0, LINEAR = 1, MEAN = 2, ADD = 3, KINDS = 4 };
enum { MOST_THREADS = 256, MOST_SIDE = 1 << 15, MOST_PIXELS = 1 << 30 };

typedef struct {
    int channels, height, width, padding, pitch; /* pitch: floats from a row to the next */
    size_t image, plane;                         /* floats of a padded image; of all images of a channel, with slack */
    float *data;
} Tensor;

typedef struct {
    int kind, in, residual, out, relu, kernel, stride, padding, nonzero;
    int32_t *rows, *position;
    float *value, *bias;
    int32_t *shift;      /* of the flat input plane, from `from` */
    const float *from;   /* what output pixel (0, 0) of image 0 reads at shift 0 */
    int pitch, lanes;    /* of the planes that are read; lanes: flat run that covers all output pixels of all images */
    size_t image;        /* floats from an image to the next in those planes */
    int direct;          /* output planes are laid out like those that are read */
    int phases_y, phases_x;      /* strided: bit p: planes of pixels p, p + stride, ... are used */
    int phase_height, phase_width;
    size_t phase_plane;
    float *phases;
    int *first;          /* output channels first[t] <= c < first[t + 1] belong to thread t */
} Op;

typedef struct Net {
    int tensors, ops, input, output, batch, threads;
    Tensor *tensor;
    Op *op;
    float **line;        /* a thread's scratch row of sums */
    pthread_t *worker;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    long turn;
    int stop, started;
    atomic_int arrived;
    atomic_long passed;
} Net;

static _Thread_local char message[200];

const char *fb_error(void) { return message; }
int fb_lanes(void) { return LANES; }

/* ---- the inner loop: NV vectors of sums over all non-zero weights of one output channel */

#define SUMS(NV, CHAINS)                                                                                             \
    static void sums_##NV(const float *in, const int32_t *shift, const float *value, int count, float bias,          \
                          const float *residual, int relu, float *out) {                                             \
        vec sum[CHAINS][NV];                                                                                         \
        int i = 0;                                                                                                   \
        for (int c = 0; c < CHAINS; c++)                                                                             \
            for (int j = 0; j < NV; j++) sum[c][j] = (vec){0} + (c ? 0.0f : bias);                                   \
        for (; i + CHAINS <= count; i += CHAINS)                                                                     \
            for (int c = 0; c < CHAINS; c++) {                                                                       \
                const float *from = in + shift[i + c];                                                               \
                const vec weight = (vec){0} + value[i + c];                                                          \
                for (int j = 0; j < NV; j++) sum[c][j] += weight * *(const run *)(from + j * LANES);                 \
            }                                                                                                        \
        for (; i < count; i++)                                                                                       \
            for (int j = 0; j < NV; j++) sum[0][j] += value[i] * *(const run *)(in + shift[i] + j * LANES);          \
        for (int j = 0; j < NV; j++) {                                                                               \
            for (int c = 1; c < CHAINS; c++) sum[0][j] += sum[c][j];                                                 \
            if (residual) sum[0][j] += *(const run *)(residual + j * LANES);                                         \
            if (relu) sum[0][j] = (vec)((mask)sum[0][j] & ~(sum[0][j] < (vec){0})); /* NaN stays */                  \
            *(run *)(out + j * LANES) = sum[0][j];                                                                   \
        }                                                                                                            \
    }
/* few vectors: several independent chains, as one alone would wait for each product */
SUMS(1, 8) SUMS(2, 4) SUMS(3, 3) SUMS(4, 2) SUMS(5, 2) SUMS(6, 2) SUMS(7, 1) SUMS(8, 1) SUMS(9, 1) SUMS(10, 1)
SUMS(11, 1) SUMS(12, 1) SUMS(13, 1) SUMS(14, 1) SUMS(15, 1) SUMS(16, 1)

typedef void (*Sums)(const float *, const int32_t *, const float *, int, float, const float *, int, float *);
static const Sums sums[MOST + 1] = {NULL,    sums_1,  sums_2,  sums_3,  sums_4,  sums_5,  sums_6,  sums_7, sums_8,
                                    sums_9,  sums_10, sums_11, sums_12, sums_13, sums_14, sums_15, sums_16};

/* ---- operations; each is done by all threads, a share of the output channels each */

static float *pixel(const Tensor *t, int channel, int image, int y, int x) {
    return t->data + channel * t->plane + image * t->image + (size_t)(y + t->padding) * t->pitch + x + t->padding;
}

static void clear_padding(const Tensor *t, int channel, int batch) {
    float *plane = t->data + channel * t->plane;
    const int edge = t->padding * t->pitch + t->padding;
    for (int image = 0; image < batch; image++) {
        float *start = plane + image * t->image;
        memset(start, 0, edge * sizeof(float));
        for (int y = 0; y + 1 < t->height; y++)
            memset(pixel(t, channel, image, y, t->width), 0, 2 * t->padding * sizeof(float));
        memset(start + t->image - edge, 0, edge * sizeof(float));
    }
    memset(plane + batch * t->image, 0, (t->plane - batch * t->image) * sizeof(float));
}

static void store_rows(const Net *net, const Op *op, int channel, const float *line) {
    const Tensor *out = net->tensor + op->out, *residual = op->residual < 0 ? NULL : net->tensor + op->residual;
    for (int image = 0; image < net->batch; image++)
        for (int y = 0; y < out->height; y++) {
            const float *from = line + image * op->image + (size_t)y * op->pitch;
            const float *add = residual ? pixel(residual, channel, image, y, 0) : NULL;
            float *to = pixel(out, channel, image, y, 0);
            for (int x = 0; x < out->width; x++) {
                const float sum = add ? from[x] + add[x] : from[x];
                to[x] = op->relu && sum < 0 ? 0 : sum;
            }
        }
}

static void conv(const Net *net, const Op *op, int thread) {
    const Tensor *out = net->tensor + op->out, *residual = op->residual < 0 ? NULL : net->tensor + op->residual;
    const int vectors = (op->lanes + LANES - 1) / LANES, tiles = (vectors + MOST - 1) / MOST;
    const int first = op->first[thread], last = op->first[thread + 1];
    if (op->direct) {
        /* tile by tile: the part of the input that a tile reads stays in the nearest cache */
        for (int tile = 0; tile < tiles; tile++) {
            const int begin = vectors * tile / tiles, count = vectors * (tile + 1) / tiles - begin;
            for (int c = first; c < last; c++)
                sums[count](op->from + begin * LANES, op->shift + op->rows[c], op->value + op->rows[c],
                            op->rows[c + 1] - op->rows[c], op->bias[c],
                            residual ? pixel(residual, c, 0, 0, 0) + begin * LANES : NULL, op->relu,
                            pixel(out, c, 0, 0, 0) + begin * LANES);
        }
        for (int c = first; c < last; c++) clear_padding(out, c, net->batch);
        return;
    }
    float *line = net->line[thread];
    for (int c = first; c < last; c++) {
        for (int tile = 0; tile < tiles; tile++) {
            const int begin = vectors * tile / tiles, count = vectors * (tile + 1) / tiles - begin;
            sums[count](op->from + begin * LANES, op->shift + op->rows[c], op->value + op->rows[c],
                        op->rows[c + 1] - op->rows[c], op->bias[c], NULL, 0, line + begin * LANES);
        }
        store_rows(net, op, c, line);
    }
}

static int bits(int mask) {
    int count = 0;
    for (; mask; mask &= mask - 1) count++;
    return count;
}

/* every stride-th pixel of the padded input, from each offset that the kernel uses */
static void split_phases(const Net *net, const Op *op, int thread) {
    const Tensor *in = net->tensor + op->in;
    const int begin = in->channels * thread / net->threads, end = in->channels * (thread + 1) / net->threads;
    const int padded_height = in->height + 2 * in->padding, padded_width = in->width + 2 * in->padding;
    for (int c = begin; c < end; c++) {
        float *to = op->phases + (size_t)c * bits(op->phases_y) * bits(op->phases_x) * op->phase_plane;
        for (int py = 0; py < op->stride; py++)
            for (int px = 0; px < op->stride; px++) {
                if (!(op->phases_y >> py & 1) || !(op->phases_x >> px & 1)) continue;
                for (int image = 0; image < net->batch; image++) {
                    const float *from = in->data + c * in->plane + image * in->image;
                    float *row = to + (size_t)image * op->phase_height * op->phase_width;
                    for (int y = py; y < padded_height; y += op->stride, row += op->phase_width)
                        for (int x = px, k = 0; x < padded_width; x += op->stride, k++)
                            row[k] = from[(size_t)y * in->pitch + x];
                }
                to += op->phase_plane;
            }
    }
}

static void linear(const Net *net, const Op *op, int thread) {
    const Tensor *in = net->tensor + op->in, *out = net->tensor + op->out;
    for (int c = op->first[thread]; c < op->first[thread + 1]; c++)
        for (int image = 0; image < net->batch; image++) {
            float sum = op->bias[c];
            for (int i = op->rows[c]; i < op->rows[c + 1]; i++)
                sum += op->value[i] * *pixel(in, op->position[i], image, 0, 0);
            *pixel(out, c, image, 0, 0) = op->relu && sum < 0 ? 0 : sum;
        }
}

static void mean(const Net *net, const Op *op, int thread) {
    const Tensor *in = net->tensor + op->in, *out = net->tensor + op->out;
    for (int c = op->first[thread]; c < op->first[thread + 1]; c++)
        for (int image = 0; image < net->batch; image++) {
            double sum = 0; /* of many pixels: in floats the error grows with their number */
            for (int y = 0; y < in->height; y++) {
                const float *row = pixel(in, c, image, y, 0);
                for (int x = 0; x < in->width; x++) sum += row[x];
            }
            const float found = sum / ((double)in->height * in->width);
            *pixel(out, c, image, 0, 0) = op->relu && found < 0 ? 0 : found;
        }
}

static void add(const Net *net, const Op *op, int thread) {
    const Tensor *in = net->tensor + op->in, *other = op->residual < 0 ? NULL : net->tensor + op->residual;
    for (int c = op->first[thread]; c < op->first[thread + 1]; c++)
        for (int image = 0; image < net->batch; image++)
            for (int y = 0; y < in->height; y++) {
                const float *one = pixel(in, c, image, y, 0), *two = other ? pixel(other, c, image, y, 0) : NULL;
                float *to = pixel(net->tensor + op->out, c, image, y, 0);
                for (int x = 0; x < in->width; x++) {
                    const float sum = two ? one[x] + two[x] : one[x];
                    to[x] = op->relu && sum < 0 ? 0 : sum;
                }
            }
}

/* ---- threads */

static void barrier(Net *net) {
    if (net->threads == 1) return;
    const long passed = atomic_load(&net->passed);
    if (atomic_fetch_add(&net->arrived, 1) + 1 == net->threads) {
        atomic_store(&net->arrived, 0);
        atomic_fetch_add(&net->passed, 1);
    } else
        for (int spins = 0; atomic_load(&net->passed) == passed;)
            if (++spins > 1000) sched_yield();
}

static void work(Net *net, int thread) {
    for (int i = 0; i < net->ops; i++) {
        const Op *op = net->op + i;
        switch (op->kind) {
        case CONV:
            if (op->phases) {
                split_phases(net, op, thread);
                barrier(net);
            }
            conv(net, op, thread);
            break;
        case LINEAR: linear(net, op, thread); break;
        case MEAN: mean(net, op, thread); break;
        default: add(net, op, thread);
        }
        barrier(net);
    }
}

typedef struct {
    Net *net;
    int thread;
} Worker;

static void *worker(void *argument) {
    const Worker own = *(Worker *)argument;
    Net *net = own.net;
    free(argument);
    for (long turn = 0;;) {
        pthread_mutex_lock(&net->mutex);
        while (net->turn == turn && !net->stop) pthread_cond_wait(&net->wake, &net->mutex);
        turn = net->turn;
        const int stop = net->stop;
        pthread_mutex_unlock(&net->mutex);
        if (stop) return NULL;
        work(net, own.thread);
    }
}

/* channels, height and width of the input; numbers of an image's outputs */
void fb_shape(const Net *net, int32_t *shape) {
    const Tensor *input = net->tensor + net->input, *output = net->tensor + net->output;
    shape[0] = input->channels, shape[1] = input->height, shape[2] = input->width;
    shape[3] = output->channels * output->height * output->width;
}

/* in: batch x channels x height x width; out: batch x channels; both contiguous. One caller at a time. */
void fb_run(Net *net, const float *in, float *out) {
    const Tensor *input = net->tensor + net->input, *output = net->tensor + net->output;
    for (int image = 0; image < net->batch; image++)
        for (int c = 0; c < input->channels; c++)
            for (int y = 0; y < input->height; y++, in += input->width)
                memcpy(pixel(input, c, image, y, 0), in, input->width * sizeof(float));
    if (net->threads > 1) {
        pthread_mutex_lock(&net->mutex);
        net->turn++;
        pthread_cond_broadcast(&net->wake);
        pthread_mutex_unlock(&net->mutex);
    }
    work(net, 0);
    for (int image = 0; image < net->batch; image++)
        for (int c = 0; c < output->channels; c++)
            for (int y = 0; y < output->height; y++, out += output->width)
                memcpy(out, pixel(output, c, image, y, 0), output->width * sizeof(float));
}

/* ---- reading and laying out */

void fb_close(Net *net) {
    if (!net) return;
    if (net->started) {
        pthread_mutex_lock(&net->mutex);
        net->stop = 1;
        pthread_cond_broadcast(&net->wake);
        pthread_mutex_unlock(&net->mutex);
        for (int t = 1; t <= net->started; t++) pthread_join(net->worker[t], NULL);
    }
    for (int i = 0; net->tensor && i < net->tensors; i++) free(net->tensor[i].data);
    for (int i = 0; net->op && i < net->ops; i++) {
        Op *op = net->op + i;
        free(op->rows), free(op->position), free(op->value), free(op->bias);
        free(op->shift), free(op->phases), free(op->first);
    }
    for (int t = 0; net->line && t < net->threads; t++) free(net->line[t]);
    free(net->tensor), free(net->op), free(net->line), free(net->worker);
    pthread_mutex_destroy(&net->mutex);
    pthread_cond_destroy(&net->wake);
    free(net);
}

static int refuse(const char *why) {
    snprintf(message, sizeof message, "%s", why);
    return 0;
}

static int words(FILE *file, void *to, size_t count) { return fread(to, 4, count, file) == count; }

static void *array(size_t count) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, (count ? count : 1) * 4 + 64)) return NULL;
    return memset(memory, 0, (count ? count : 1) * 4 + 64);
}

static int read_arrays(FILE *file, const Net *net, Op *op) {
    const int channels = net->tensor[op->out].channels;
    const int64_t most = (int64_t)net->tensor[op->in].channels * op->kernel * op->kernel;
    if (op->nonzero < 0 || op->nonzero > channels * most) return refuse("more weights than the layer has");
    op->rows = array(channels + 1), op->position = array(op->nonzero), op->shift = array(op->nonzero);
    op->value = array(op->nonzero), op->bias = array(channels);
    if (!op->rows || !op->position || !op->shift || !op->value || !op->bias) return refuse("out of memory");
    if (!words(file, op->rows, channels + 1) || !words(file, op->position, op->nonzero) ||
        !words(file, op->value, op->nonzero) || !words(file, op->bias, channels))
        return refuse("the file ends too early");
    if (op->rows[0] != 0 || op->rows[channels] != op->nonzero) return refuse("row starts do not fit");
    for (int c = 0; c < channels; c++)
        if (op->rows[c] > op->rows[c + 1]) return refuse("row starts fall");
    for (int i = 0; i < op->nonzero; i++)
        if (op->position[i] < 0 || op->position[i] >= most) return refuse("a weight lies outside its kernel");
    return 1;
}

static int fits(const Net *net, const Op *op) {
    const Tensor *in = net->tensor + op->in, *out = net->tensor + op->out;
    const int spatial = op->kind == CONV || op->kind == ADD;
    if (op->kind == CONV) {
        if (op->kernel < 1 || op->stride < 1 || op->padding < 0 || op->kernel > 64 || op->stride > 31 ||
            op->padding >= op->kernel)
            return refuse("kernel, stride or padding out of range");
        if (out->height != (in->height + 2 * op->padding - op->kernel) / op->stride + 1 ||
            out->width != (in->width + 2 * op->padding - op->kernel) / op->stride + 1)
            return refuse("sides of a convolution do not fit");
    } else if (op->kernel != 1 || op->stride != 1 || op->padding)
        return refuse("only convolutions have a kernel");
    if (!spatial && (out->height != 1 || out->width != 1)) return refuse("a vector has sides");
    if (op->kind == LINEAR && (in->height != 1 || in->width != 1)) return refuse("a vector has sides");
    if (op->kind != CONV && op->kind != LINEAR && in->channels != out->channels) return refuse("channels do not fit");
    if (op->kind == ADD && (in->height != out->height || in->width != out->width)) return refuse("sides do not fit");
    if (op->residual >= 0) {
        const Tensor *residual = net->tensor + op->residual;
        if (!spatial || residual->channels != out->channels || residual->height != out->height ||
            residual->width != out->width)
            return refuse("a residual does not fit");
    }
    return 1;
}

static int read_file(FILE *file, Net *net) {
    char magic[8];
    int32_t head[5];
    if (fread(magic, 1, 8, file) != 8 || memcmp(magic, "FBSPARSE", 8) || !words(file, head, 5))
        return refuse("not a file for the sparse runtime");
    if (head[0] != VERSION) return refuse("written for another version of the sparse runtime");
    net->tensors = head[1], net->ops = head[2], net->input = head[3], net->output = head[4];
    if (net->tensors < 1 || net->tensors > 100000 || net->ops < 1 || net->ops > 100000 || net->input < 0 ||
        net->input >= net->tensors || net->output < 0 || net->output >= net->tensors)
        return refuse("impossible numbers of tensors");
    net->tensor = calloc(net->tensors, sizeof *net->tensor);
    net->op = calloc(net->ops, sizeof *net->op);
    if (!net->tensor || !net->op) return refuse("out of memory");
    for (int i = 0; i < net->tensors; i++) {
        Tensor *t = net->tensor + i;
        int32_t shape[3];
        if (!words(file, shape, 3)) return refuse("the file ends too early");
        t->channels = shape[0], t->height = shape[1], t->width = shape[2];
        if (shape[0] < 1 || shape[1] < 1 || shape[2] < 1 || shape[0] > MOST_SIDE || shape[1] > MOST_SIDE ||
            shape[2] > MOST_SIDE || (int64_t)shape[0] * shape[1] * shape[2] > MOST_PIXELS / net->batch)
            return refuse("a tensor of impossible size");
    }
    for (int i = 0; i < net->ops; i++) {
        Op *op = net->op + i;
        int32_t h[9];
        if (!words(file, h, 9)) return refuse("the file ends too early");
        *op = (Op){.kind = h[0], .in = h[1], .residual = h[2], .out = h[3], .relu = h[4],
                   .kernel = h[5], .stride = h[6], .padding = h[7], .nonzero = h[8]};
        if (op->kind < 0 || op->kind >= KINDS || op->in < 0 || op->in >= net->tensors || op->out < 0 ||
            op->out >= net->tensors || op->residual < -1 || op->residual >= net->tensors || op->in == op->out)
            return refuse("an unknown operation or tensor");
        if (!fits(net, op)) return 0;
        if ((op->kind == CONV || op->kind == LINEAR) && !read_arrays(file, net, op)) return 0;
        if (op->kind == CONV && op->padding > net->tensor[op->in].padding)
            net->tensor[op->in].padding = op->padding;
    }
    return fgetc(file) == EOF ? 1 : refuse("the file goes on after its end");
}

static int lay_out_tensors(Net *net) {
    for (int i = 0; i < net->tensors; i++) {
        Tensor *t = net->tensor + i;
        t->pitch = t->width + 2 * t->padding;
        t->image = (size_t)(t->height + 2 * t->padding) * t->pitch;
        /* a run may reach one vector further than the last pixel */
        t->plane = (t->image * net->batch + 2 * LANES - 1) / LANES * LANES;
        if (t->plane * t->channels > MOST_PIXELS || !(t->data = array(t->plane * t->channels + LANES)))
            return refuse("out of memory");
    }
    return 1;
}

static int lay_out_conv(Net *net, Op *op) {
    const Tensor *in = net->tensor + op->in, *out = net->tensor + op->out;
    const int spare = in->padding - op->padding; /* the planes are padded for their widest reader */
    size_t plane = in->plane;
    int per_channel = 1;
    if (op->stride == 1) {
        op->pitch = in->pitch, op->image = in->image;
        op->from = in->data + (size_t)spare * in->pitch + spare;
    } else {
        for (int k = 0; k < op->kernel; k++) op->phases_y |= 1 << (spare + k) % op->stride;
        op->phases_x = op->phases_y;
        op->phase_height = (in->height + 2 * in->padding + op->stride - 1) / op->stride;
        op->phase_width = (in->width + 2 * in->padding + op->stride - 1) / op->stride;
        op->pitch = op->phase_width, op->image = (size_t)op->phase_height * op->phase_width;
        op->phase_plane = plane = (op->image * net->batch + 2 * LANES - 1) / LANES * LANES;
        per_channel = bits(op->phases_y) * bits(op->phases_x);
        if (plane * per_channel * in->channels > MOST_PIXELS ||
            !(op->phases = array(plane * per_channel * in->channels + LANES)))
            return refuse("out of memory");
        op->from = op->phases;
    }
    op->lanes = (net->batch - 1) * (int)op->image + (out->height - 1) * op->pitch + out->width;
    op->direct = op->stride == 1 && out->pitch == op->pitch && out->image == op->image;
    if (op->residual >= 0 && (net->tensor[op->residual].pitch != out->pitch)) op->direct = 0;
    for (int i = 0; i < op->nonzero; i++) {
        const int column = op->position[i] % op->kernel, row = op->position[i] / op->kernel % op->kernel;
        const int channel = op->position[i] / op->kernel / op->kernel;
        size_t shift;
        if (op->stride == 1)
            shift = channel * plane + (size_t)row * op->pitch + column;
        else {
            const int y = spare + row, x = spare + column;
            const int before_y = bits(op->phases_y & ((1 << y % op->stride) - 1));
            const int before_x = bits(op->phases_x & ((1 << x % op->stride) - 1));
            const int phase = before_y * bits(op->phases_x) + before_x;
            shift = (channel * per_channel + phase) * plane + (size_t)(y / op->stride) * op->pitch + x / op->stride;
        }
        op->shift[i] = (int32_t)shift;
    }
    return 1;
}

/* equal shares of the work: non-zero weights, and a little for each channel */
static int share_out(const Net *net, Op *op) {
    const int channels = net->tensor[op->out].channels;
    const int64_t each = op->kind == MEAN || op->kind == ADD ? 1 : 4, total = op->nonzero + each * channels;
    if (!(op->first = array(net->threads + 1))) return refuse("out of memory");
    for (int c = 0, thread = 1; thread < net->threads; thread++) {
        while (c < channels && ((op->rows ? op->rows[c] : 0) + each * c) * net->threads < total * thread) c++;
        op->first[thread] = c;
    }
    op->first[net->threads] = channels;
    return 1;
}

static int prepare(Net *net) {
    size_t longest = LANES;
    if (!lay_out_tensors(net)) return 0;
    for (int i = 0; i < net->ops; i++) {
        Op *op = net->op + i;
        if (op->kind == CONV && !lay_out_conv(net, op)) return 0;
        if (!share_out(net, op)) return 0;
        if ((size_t)op->lanes > longest) longest = op->lanes;
    }
    net->line = calloc(net->threads, sizeof *net->line);
    net->worker = calloc(net->threads, sizeof *net->worker);
    if (!net->line || !net->worker) return refuse("out of memory");
    for (int t = 0; t < net->threads; t++)
        if (!(net->line[t] = array(longest + LANES))) return refuse("out of memory");
    for (int t = 1; t < net->threads; t++, net->started++) {
        Worker *own = malloc(sizeof *own);
        if (!own) return refuse("out of memory");
        *own = (Worker){net, t};
        if (pthread_create(net->worker + t, NULL, worker, own)) {
            free(own);
            return refuse("cannot start a thread");
        }
    }
    return 1;
}

/* NULL: fb_error() says why. */
Net *fb_open(const char *path, int batch, int threads) {
    if (batch < 1 || batch > 4096 || threads < 1 || threads > MOST_THREADS) {
        refuse("batch or threads out of range");
        return NULL;
    }
    FILE *file = fopen(path, "rb");
    Net *net = calloc(1, sizeof *net);
    if (!net || !file) {
        refuse("cannot open the file");
        if (file) fclose(file);
        free(net);
        return NULL;
    }
    net->batch = batch, net->threads = threads;
    pthread_mutex_init(&net->mutex, NULL);
    pthread_cond_init(&net->wake, NULL);
    const int good = read_file(file, net) && prepare(net);
    fclose(file);
    if (good) return net;
    fb_close(net);
    return NULL;
}
