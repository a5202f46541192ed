// Loops over a batch at the speed of memory, for CPUs. What each does, and its shapes, is told where they are called,
// in kernels.py.
//
// Values are float or the bits of bfloat16; all arithmetic is in float. The order of every sum is fixed: same input,
// same bits. Each function is compiled for several generations of CPUs, of which the loader takes the newest that runs.

#ifndef NAMED
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#define INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__linux__)
#define EXPORT extern "C" __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EXPORT extern "C"
#endif

using std::int64_t;
typedef std::uint16_t bfloat16;

INLINE float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE float widen(float value) { return value; }
INLINE float widen(bfloat16 value) { return from_bits(std::uint32_t(value) << 16); }

INLINE void narrow(float value, float& to) { to = value; }
INLINE void narrow(float value, bfloat16& to) {  // the nearest, ties to even; rounding could make a number of NaN
    const std::uint32_t bits = bits_of(value);
    const std::uint32_t nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    to = bfloat16(value == value ? nearest : 0x7FC0);
}

// A value that dropout has set to 0 is -0, which nothing else becomes: so the backward pass knows it
INLINE bool dropped(float value) { return bits_of(value) == 0x80000000; }

INLINE float exp_below_zero(float x) {  // of x <= 0 by Cephes's polynomial: good to 1e-7, and at least 2 ** -126
    x = x < -87.33654f ? -87.33654f : x;
    const float power = std::floor(x * 1.4426950408889634f + 0.5f);
    const float r = x - power * 0.693359375f - power * -2.12194440e-4f;  // ln 2 in two parts: r stays exact
    float e = 1.9875691500e-4f;
    e = e * r + 1.3981999507e-3f;
    e = e * r + 8.3334519073e-3f;
    e = e * r + 4.1665795894e-2f;
    e = e * r + 1.6666665459e-1f;
    e = e * r + 0.5f;
    e = e * r * r + r + 1.0f;
    return e * from_bits(std::uint32_t(std::int32_t(power) + 127) << 23);  // 2 ** power, by its bits
}

INLINE float sigmoid(float x) {
    const float e = exp_below_zero(-std::fabs(x));
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

INLINE float hyperbolic_tangent(float x) {  // near 0 good to 1e-7, not to 1e-7 of itself
    const float e = exp_below_zero(-std::fabs(x + x));
    return (x >= 0.0f ? 1.0f - e : e - 1.0f) / (1.0f + e);
}

// The sums of some rows go to sums (2, W), float64, and are zero again: in float they would lose digits.
INLINE void move_sums(float* first, float* second, double* sums, int64_t width) {
#pragma omp simd
    for (int64_t lane = 0; lane < width; lane++) {
        sums[lane] += first[lane];
        sums[width + lane] += second[lane];
        first[lane] = second[lane] = 0.0f;
    }
}

// The gradient of the pooled norm from that of the output. Below 0, that of ELU is exp(y) = out / factor + 1.
INLINE float gradient_before_elu(float gradient, float out, float factor, float inverse) {
    const float rise = out >= 0.0f ? factor : factor * (out * inverse + 1.0f);
    return dropped(out) ? 0.0f : gradient * rise;
}

// What follows the #else is compiled for each type of values
#define Value float
#define NAMED(function) function##_float32
#include "kernels.cpp"
#undef Value
#undef NAMED
#define Value bfloat16
#define NAMED(function) function##_bfloat16
#include "kernels.cpp"

extern "C" int interface() { return 3; }
#else
EXPORT void NAMED(add_moments)(const Value* x, const float* pivot, double* sums, int64_t bands, int64_t rows, int64_t width) {
    std::vector<float> both(2 * width);
    float *first = both.data(), *second = first + width;
    for (int64_t band = 0; band < bands; band++) {
        for (int64_t row = 0; row < rows; row++, x += width) {
            const Value* line = x;
#pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const float value = widen(line[lane]) - pivot[lane];
                first[lane] += value;
                second[lane] += value * value;
            }
        }
        move_sums(first, second, sums, width);
    }
}

EXPORT void NAMED(pool_elu_dropout)(
    const Value* x, const float* mean, const float* scale, const float* bias, const std::uint8_t* keep, int64_t least,
    float factor, Value* out, int64_t pairs, int64_t rows, int64_t width) {
    const int64_t band = rows * width;
    const std::uint8_t below = std::uint8_t(least);
    for (int64_t pair = 0; pair < pairs; pair++, x += 2 * band, keep += least ? band : 0, out += band) {
        for (int64_t row = 0; row < band; row += width) {
            const Value *lower = x + row, *upper = lower + band;
            const std::uint8_t* mask = keep + row;
            Value* result = out + row;
#pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const float a = (widen(lower[lane]) - mean[lane]) * scale[lane] + bias[lane];
                const float b = (widen(upper[lane]) - mean[lane]) * scale[lane] + bias[lane];
                const float y = a > b ? a : b;
                const float z = (y > 0.0f ? y : exp_below_zero(y > 0.0f ? 0.0f : y) - 1.0f) * factor;
                narrow(least && mask[lane] < below ? -0.0f : z, result[lane]);
            }
        }
    }
}

EXPORT void NAMED(add_norm_gradients)(
    const Value* x, const float* mean, const float* scale, float factor, const Value* out, const Value* gradient,
    double* sums, int64_t pairs, int64_t rows, int64_t width) {
    const int64_t band = rows * width;
    const float inverse = 1.0f / factor;
    std::vector<float> both(2 * width);
    float *first = both.data(), *second = first + width;
    for (int64_t pair = 0; pair < pairs; pair++, x += 2 * band, out += band, gradient += band) {
        for (int64_t row = 0; row < band; row += width) {
            const Value *lower = x + row, *upper = lower + band;
            const Value *result = out + row, *given = gradient + row;
#pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const float a = widen(lower[lane]) - mean[lane], b = widen(upper[lane]) - mean[lane];
                const float chosen = a * scale[lane] >= b * scale[lane] ? a : b;
                const float s = gradient_before_elu(widen(given[lane]), widen(result[lane]), factor, inverse);
                first[lane] += s;
                second[lane] += s * chosen;
            }
        }
        move_sums(first, second, sums, width);
    }
}

EXPORT void NAMED(norm_pool_backward)(
    Value* x, const float* mean, const float* scale, float factor, const Value* out, const Value* gradient,
    const float* offset, const float* per_unit, int64_t pairs, int64_t rows, int64_t width) {
    const int64_t band = rows * width;
    const float inverse = 1.0f / factor;
    for (int64_t pair = 0; pair < pairs; pair++, x += 2 * band, out += band, gradient += band) {
        for (int64_t row = 0; row < band; row += width) {
            Value *lower = x + row, *upper = lower + band;
            const Value *result = out + row, *given = gradient + row;
#pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const float a = widen(lower[lane]) - mean[lane], b = widen(upper[lane]) - mean[lane];
                const float before = gradient_before_elu(widen(given[lane]), widen(result[lane]), factor, inverse);
                const float s = before * scale[lane];
                const bool first = a * scale[lane] >= b * scale[lane];
                narrow((first ? s : 0.0f) - offset[lane] - per_unit[lane] * a, lower[lane]);
                narrow((first ? 0.0f : s) - offset[lane] - per_unit[lane] * b, upper[lane]);
            }
        }
    }
}

EXPORT void NAMED(gru_step_forward)(
    int64_t step, Value* gates, const Value* inner, const float* bias_new, Value* inner_new, float* state,
    Value* hidden, float* out, int64_t directions, int64_t steps, int64_t batch, int64_t units) {
    const int64_t width = 3 * units;
    std::vector<float> both(2 * units);
    float *reset = both.data(), *update = reset + units;
    for (int64_t d = 0; d < directions; d++) {
        const int64_t frame = d ? steps - 1 - step : step;
        const float* bias = bias_new + d * units;
        for (int64_t b = 0; b < batch; b++) {
            Value* gate = gates + ((d * steps + step) * batch + b) * width;
            const Value* given = inner + (d * batch + b) * width;
            Value* product = inner_new + ((d * steps + step) * batch + b) * units;
            float* now = state + (d * batch + b) * units;
            Value* kept = hidden + ((d * (steps + 1) + step + 1) * batch + b) * units;
            float* result = out + ((b * steps + frame) * directions + d) * units;
#pragma omp simd
            for (int64_t i = 0; i < width - units; i++) reset[i] = sigmoid(widen(gate[i]) + widen(given[i]));
#pragma omp simd
            for (int64_t i = 0; i < units; i++) {
                const float from_state = widen(given[2 * units + i]) + bias[i];
                const float fresh = hyperbolic_tangent(widen(gate[2 * units + i]) + reset[i] * from_state);
                const float after = fresh + update[i] * (now[i] - fresh);
                narrow(fresh, gate[2 * units + i]);
                narrow(from_state, product[i]);
                narrow(after, kept[i]);
                now[i] = result[i] = after;
            }
#pragma omp simd
            for (int64_t i = 0; i < width - units; i++) narrow(reset[i], gate[i]);
        }
    }
}

EXPORT void NAMED(gru_step_backward)(
    int64_t step, const float* gradient, float* carried, const Value* product, Value* gates, Value* inner_new,
    const Value* hidden, Value* inner, int64_t directions, int64_t steps, int64_t batch, int64_t units) {
    const int64_t width = 3 * units;
    for (int64_t d = 0; d < directions; d++) {
        const int64_t frame = d ? steps - 1 - step : step;
        for (int64_t b = 0; b < batch; b++) {
            const float* given = gradient + ((b * steps + frame) * directions + d) * units;
            float* passed = carried + (d * batch + b) * units;
            const Value* through = product + (d * batch + b) * units;
            Value* gate = gates + ((d * steps + step) * batch + b) * width;
            Value* from_state = inner_new + ((d * steps + step) * batch + b) * units;
            const Value* before = hidden + ((d * (steps + 1) + step) * batch + b) * units;
            Value* result = inner + (d * batch + b) * width;
#pragma omp simd
            for (int64_t i = 0; i < units; i++) {
                const float whole = given[i] + passed[i] + widen(through[i]);
                const float reset = widen(gate[i]), update = widen(gate[units + i]), fresh = widen(gate[2 * units + i]);
                passed[i] = whole * update;
                const float d_update = passed[i] * (1.0f - update) * (widen(before[i]) - fresh);
                const float d_new = (whole - passed[i]) * (1.0f - fresh * fresh);
                const float d_state = d_new * reset;
                const float d_reset = d_state * (1.0f - reset) * widen(from_state[i]);
                narrow(d_reset, gate[i]);
                narrow(d_update, gate[units + i]);
                narrow(d_new, gate[2 * units + i]);
                narrow(d_reset, result[i]);
                narrow(d_update, result[units + i]);
                narrow(d_state, result[2 * units + i]);
                narrow(d_state, from_state[i]);
            }
        }
    }
}
#endif
