/* sast_net.c: runs the network of @NAME@_weights.h.

   C99 without malloc and without floating point. Every quantity keeps within the range that was proved for all
   inputs in SAST_INPUT_MIN..SAST_INPUT_MAX, and the types in the header hold it: nothing overflows. No negative
   number is shifted. One step of one layer, with leak(v, d) = v * (4096 - d) / 4096, rounded:

       a  = sum of W x(t - delay) + sum of R s(t - 1)
       c  = shift(a, exponent)    or, filtered, wrap24(leak(c, u_decay) + shift(a, exponent))
       u  = fit(leak(u, v_decay) - vth s + c + bias)     reset by subtraction, after the leak
       u  = fit(leak(u - vth s, v_decay) + c + bias)     before the leak
       u  = fit(leak(u (1 - s), v_decay) + c + bias)     to zero
       s  = u >= vth              or u > vth
       m  = leak(m, v_decay) + c + bias                  readout */
#include <string.h>
#include "sast_net.h"

enum { DENSE, CONV, POOL, UPSAMPLE, READOUT };
enum { TOWARD_ZERO, FLOOR, HALF_UP, HALF_EVEN };
enum { SATURATE, WRAP };
enum { SUBTRACT_AFTER_LEAK, SUBTRACT_BEFORE_LEAK, TO_ZERO };
enum { SPIKE_COUNTS, LAST, LARGEST, SUM };
#define LEAK_BITS 12
#define UNITY (1 << LEAK_BITS)
#define CURRENT_BITS 24

/* weight: rows of one input (of a convolution: of one input channel and tap), a row the outputs (of the group).
   delays: NULL, or one for each input or synapse. *_each: 1 for a value per channel or neuron, 0 for one value.
   sums, values, currents: where the layer's own begin; membranes begin where values do. */
typedef struct {
    uint8_t kind, delay, slots, delay_each_synapse, bias_each, vth_each, v_decay_each, u_decay_each, filtered;
    int8_t exponent;
    int32_t in[3], out[3], kernel[2], stride[2], padding[2], dilation[2], groups, reset_offset;
    int32_t sums, values, currents;
    const sast_weight *weight, *recurrent;
    const uint8_t *delays;
    const sast_bias *bias;
    const sast_vth *vth;
    const sast_decay *v_decay, *u_decay;
} sast_layer;

#define SAST_TABLES
#include "@NAME@_weights.h"

static sast_sum sums[SAST_SUMS];
static sast_value values[SAST_VALUES];
static sast_state membranes[SAST_STATES];
static sast_current currents[SAST_CURRENTS];
static sast_logit integrated[SAST_CLASSES], logits[SAST_CLASSES];
static uint32_t now;

#define OF(layer, name, channel) ((layer)->name[(layer)->name##_each * (channel)])

static sast_wide floored(sast_wide v, int n) /* v / 2^n, the next lower integer */
{
    return v < 0 ? ~(~v >> n) : v >> n;
}

static sast_wide divided(sast_wide v, int n, int rounding) /* v / 2^n */
{
    const sast_wide half = n ? (sast_wide)1 << (n - 1) : 0;
    if (n == 0)
        return v;
    if (rounding == TOWARD_ZERO)
        return v < 0 ? -(-v >> n) : v >> n;
    if (rounding == HALF_UP)
        return floored(v + half, n);
    if (rounding == HALF_EVEN)
        return floored(v + half - 1 + (floored(v, n) & 1), n);
    return floored(v, n);
}

static sast_wide shifted(sast_wide v, int exponent)
{
    return exponent >= 0 ? v * ((sast_wide)1 << exponent) : divided(v, -exponent, SAST_SHIFT_ROUNDING);
}

static sast_wide leaked(sast_wide v, sast_wide decay)
{
    return decay == 0 ? v : divided(v * (UNITY - decay), LEAK_BITS, SAST_LEAK_ROUNDING);
}

static sast_wide wrapped(sast_wide v, int bits)
{
    const sast_unsigned half = (sast_unsigned)1 << (bits - 1), all = half - 1 + half;
    return (sast_wide)(((sast_unsigned)v + half) & all) - (sast_wide)(half - 1) - 1;
}

static sast_wide fitted(sast_wide v)
{
    if (SAST_OVERFLOW == WRAP)
        return wrapped(v, SAST_STATE_BITS);
    return v < SAST_STATE_LOW ? SAST_STATE_LOW : v > SAST_STATE_HIGH ? SAST_STATE_HIGH : v;
}

static int32_t weight_at(const sast_weight *row, int32_t k)
{
#if SAST_WEIGHT_BITS >= 8
    return row[k];
#else
    const int32_t at = k * SAST_WEIGHT_BITS, low = at & 7, half = 1 << (SAST_WEIGHT_BITS - 1);
    int32_t bits = row[at >> 3] >> low;
    if (8 % SAST_WEIGHT_BITS && low + SAST_WEIGHT_BITS > 8)
        bits |= row[(at >> 3) + 1] << (8 - low);
    return ((bits & (2 * half - 1)) ^ half) - half;
#endif
}

static void add_row(sast_sum *sum, const sast_weight *row, int32_t outputs, sast_sum x)
{
    for (int32_t i = 0; i < outputs; i++)
        sum[i] = (sast_sum)(sum[i] + x * weight_at(row, i));
}

static sast_sum *sums_at(const sast_layer *l, uint32_t t)
{
    return sums + l->sums + (int32_t)(t % l->slots) * l->out[0] * l->out[1] * l->out[2];
}

static void send(const sast_layer *l, const sast_weight *row, const sast_value *x, int32_t inputs, uint32_t t)
{
    sast_sum *const sum = sums_at(l, t);
    for (int32_t j = 0; j < inputs; j++, row += SAST_ROW(l->out[0]))
        if (x[j])
            add_row(sum, row, l->out[0], x[j]);
}

static void send_delayed(const sast_layer *l, const sast_value *x, int32_t inputs)
{
    const sast_weight *row = l->weight;
    for (int32_t j = 0; j < inputs; j++, row += SAST_ROW(l->out[0])) {
        if (!x[j])
            continue;
        if (!l->delay_each_synapse)
            add_row(sums_at(l, now + l->delays[j]), row, l->out[0], x[j]);
        else
            for (int32_t i = 0; i < l->out[0]; i++) {
                sast_sum *const sum = sums_at(l, now + l->delays[j * l->out[0] + i]) + i;
                *sum = (sast_sum)(*sum + (sast_sum)x[j] * weight_at(row, i));
            }
    }
}

static int32_t met(const sast_layer *l, int axis, int32_t at, int32_t tap) /* output whose tap meets an input */
{
    const int32_t first = at + l->padding[axis] - tap * l->dilation[axis];
    if (first < 0 || first % l->stride[axis] || first / l->stride[axis] >= l->out[axis + 1])
        return -1;
    return first / l->stride[axis];
}

static void send_conv(const sast_layer *l, const sast_value *x)
{
    const int32_t ins = l->in[0] / l->groups, outs = l->out[0] / l->groups, taps = l->kernel[0] * l->kernel[1];
    sast_sum *const sum = sums_at(l, now + l->delay); /* of rows, columns, channels, the channels closest */
    for (int32_t c = 0; c < l->in[0]; c++)
        for (int32_t y = 0; y < l->in[1]; y++)
            for (int32_t z = 0; z < l->in[2]; z++, x++)
                for (int32_t dy = 0; *x && dy < l->kernel[0]; dy++) {
                    const int32_t row = met(l, 0, y, dy);
                    for (int32_t dx = 0; row >= 0 && dx < l->kernel[1]; dx++) {
                        const int32_t column = met(l, 1, z, dx), tap = c * taps + dy * l->kernel[1] + dx;
                        if (column >= 0)
                            add_row(sum + (row * l->out[2] + column) * l->out[0] + c / ins * outs,
                                    l->weight + tap * SAST_ROW(outs), outs, *x);
                    }
                }
}

static void resample(const sast_layer *l, const sast_value *x, sast_value *y)
{
    for (int32_t c = 0; c < l->out[0]; c++, x += l->in[1] * l->in[2])
        for (int32_t row = 0; row < l->out[1]; row++)
            for (int32_t column = 0; column < l->out[2]; column++) {
                sast_wide sum = 0;
                if (l->kind == UPSAMPLE)
                    sum = x[row / l->kernel[0] * l->in[2] + column / l->kernel[1]];
                else
                    for (int32_t dy = 0; dy < l->kernel[0]; dy++)
                        for (int32_t dx = 0; dx < l->kernel[1]; dx++)
                            sum += x[(row * l->kernel[0] + dy) * l->in[2] + column * l->kernel[1] + dx];
                *y++ = (sast_value)shifted(sum, l->exponent);
            }
}

static sast_wide current(const sast_layer *l, sast_sum *sum, int32_t i, int32_t channel) /* takes the sum, too */
{
    const sast_wide arriving = shifted(*sum, l->exponent);
    *sum = 0;
    if (!l->filtered || OF(l, u_decay, channel) == UNITY)
        return arriving;
    currents[l->currents + i] =
        (sast_current)wrapped(leaked(currents[l->currents + i], OF(l, u_decay, channel)) + arriving, CURRENT_BITS);
    return currents[l->currents + i];
}

static void spike(const sast_layer *l)
{
    const int32_t channels = l->out[0], plane = l->out[1] * l->out[2];
    sast_sum *const sum = sums_at(l, now);
    sast_state *const membrane = membranes + l->values;
    sast_value *const spikes = values + l->values;
    if (SAST_RESET_INTERVAL && now % SAST_RESET_INTERVAL == (uint32_t)l->reset_offset) {
        memset(membrane, 0, (size_t)(channels * plane) * sizeof *membrane);
        memset(spikes, 0, (size_t)(channels * plane) * sizeof *spikes);
        if (l->filtered)
            memset(currents + l->currents, 0, (size_t)(channels * plane) * sizeof *currents);
    }
    for (int32_t channel = 0, i = 0; channel < channels; channel++) {
        const sast_wide vth = OF(l, vth, channel), bias = OF(l, bias, channel), decay = OF(l, v_decay, channel);
        for (int32_t place = 0; place < plane; place++, i++) {
            const sast_wide c = current(l, sum + place * channels + channel, i, channel);
            const sast_wide reset = spikes[i] ? SAST_RESET == TO_ZERO ? membrane[i] : vth : 0;
            sast_wide u = membrane[i];
            u = SAST_RESET == SUBTRACT_AFTER_LEAK ? leaked(u, decay) - reset : leaked(u - reset, decay);
            u = fitted(u + c + bias);
            membrane[i] = (sast_state)u;
            spikes[i] = u > vth || (SAST_FIRES_AT_THRESHOLD && u == vth);
        }
    }
}

static void read_out(const sast_layer *l)
{
    sast_sum *const sum = sums_at(l, now);
    for (int32_t i = 0; i < SAST_CLASSES; i++) {
        const sast_wide c = current(l, sum + i, i, i);
        const sast_wide m = leaked(integrated[i], OF(l, v_decay, i)) + c + OF(l, bias, i);
        integrated[i] = (sast_logit)m;
        if (SAST_DECODING == LAST || now == 0)
            logits[i] = (sast_logit)m;
        else if (SAST_DECODING == SUM)
            logits[i] = (sast_logit)(logits[i] + m);
        else if (m > logits[i])
            logits[i] = (sast_logit)m;
    }
}

void sast_reset(void)
{
    memset(sums, 0, sizeof sums);
    memset(values, 0, sizeof values);
    memset(membranes, 0, sizeof membranes);
    memset(currents, 0, sizeof currents);
    memset(integrated, 0, sizeof integrated);
    memset(logits, 0, sizeof logits);
    now = 0;
}

int sast_step(const sast_value *frame)
{
    const sast_value *x = frame;
    for (int32_t j = 0; j < SAST_INPUTS; j++) {
        const int32_t value = frame[j];
        if (value < SAST_INPUT_MIN || value > SAST_INPUT_MAX)
            return 1;
    }
    if (now >= SAST_STEPS_MAX)
        return 2;
    for (const sast_layer *l = layers; l < layers + SAST_LAYERS; l++) {
        const int32_t inputs = l->in[0] * l->in[1] * l->in[2];
        sast_value *const y = values + l->values;
        if (l->kind == CONV)
            send_conv(l, x);
        else if (l->kind == POOL || l->kind == UPSAMPLE)
            resample(l, x, y);
        else if (l->delays)
            send_delayed(l, x, inputs);
        else
            send(l, l->weight, x, inputs, now + l->delay);
        if (l->kind == READOUT)
            read_out(l);
        if (l->kind == DENSE || l->kind == CONV)
            spike(l);
        if (l->recurrent)
            send(l, l->recurrent, y, l->out[0], now + 1);
        x = y;
    }
    for (int32_t i = 0; SAST_DECODING == SPIKE_COUNTS && i < SAST_CLASSES; i++)
        logits[i] += x[i];
    now++;
    return 0;
}

const sast_logit *sast_logits(void) { return logits; }
const sast_state *sast_membranes(void) { return membranes; }
const sast_value *sast_spikes(void) { return values; }

int32_t sast_class(void)
{
    int32_t best = 0;
    for (int32_t i = 1; i < SAST_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}
