// Matrix products of float32, and convolutions 3 x 3 made of them, for CPUs with AVX2 or AVX-512. What each function
// does, and its shapes, is told where they are called, in kernels.py.
//
// The order of every sum is fixed: same input, same bits (of one generation of CPUs). The compiler keeps the sums of a
// tile in registers, of which SSE has too few: older CPUs, and others, have most_lanes() == 0. So has what another compiler
// than GCC makes: Clang's tiles took up to three times as long, longer than torch's own convolution.

#include <cstdint>
#include <vector>

using std::int64_t;

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MEMBER inline __attribute__((always_inline))
#define INLINE static MEMBER

template <int LANES>
struct Lanes {
    typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
    typedef float InMemory __attribute__((vector_size(LANES * sizeof(float)), aligned(alignof(float)), may_alias));
};

// out (rows, width) = or += a (rows, count) @ b (count, width); width is a multiple of 8
struct Product {
    const float* a;
    int64_t a_row, a_column;  // steps in memory
    const float* b;
    int64_t count;
    float* out;
    int64_t rows, width;
};

// HIGH rows and VECTORS * LANES columns of a product
template <int LANES, int VECTORS, int HIGH, bool ADD>
INLINE void tile(const Product& p, int64_t row, int64_t column) {
    typedef typename Lanes<LANES>::Vector Vector;
    typedef typename Lanes<LANES>::InMemory InMemory;
    const float *a = p.a + row * p.a_row, *b = p.b + column;
    float* out = p.out + row * p.width + column;
    Vector sums[HIGH][VECTORS] = {};
    for (int64_t k = 0; k < p.count; k++, a += p.a_column, b += p.width) {
        Vector right[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) right[v] = *(const InMemory*)(b + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < HIGH; r++)
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; v++) sums[r][v] += a[r * p.a_row] * right[v];
    }
#pragma GCC unroll 8
    for (int r = 0; r < HIGH; r++)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) {
            InMemory* to = (InMemory*)(out + r * p.width + v * LANES);
            *to = ADD ? *to + sums[r][v] : sums[r][v];  // sums of their own before they are added lose fewer digits
        }
}

template <int LANES, int VECTORS, bool ADD>
INLINE void tiles(const Product& p) {
    constexpr int HIGH = 6;  // with 4 vectors 24 of AVX-512's 32 registers, with 2 vectors 12 of AVX2's 16
    for (int64_t column = 0; column < p.width; column += VECTORS * LANES) {
        int64_t row = 0;
        for (; row + HIGH <= p.rows; row += HIGH) tile<LANES, VECTORS, HIGH, ADD>(p, row, column);
        for (; row < p.rows; row++) tile<LANES, VECTORS, 1, ADD>(p, row, column);
    }
}

template <int LANES, bool ADD>
INLINE void multiply(const Product& p) {
    if constexpr (LANES == 16)
        if (p.width % 64 == 0) return tiles<LANES, 4, ADD>(p);
    if (p.width % (2 * LANES) == 0)
        tiles<LANES, 2, ADD>(p);
    else if (p.width % LANES == 0)
        tiles<LANES, 1, ADD>(p);
    else
        tiles<8, 1, ADD>(p);
}

// Winograd's convolution F(4 x 4, 3 x 3): sixteen values of the output from six by six of the input, with a quarter of
// the products. Along an axis, with A, B and G (which is in winograd.py) as in Lavin and Gray 2016, section 4:
// out = A' [(G filter) * (B' in)], hence the filter's gradient = G' [(B' in) * (A out's gradient)]. A polynomial's
// product is taken at 0, +-P, +-Q and infinity; at +-1 and +-2, as there, errors would be twice as large.
constexpr int STEP = 4, PARTS = 6;
constexpr float P = 0.75f, Q = 1.5f, P2 = P * P, Q2 = Q * Q;

INLINE void spread(const float* const* in, float* const* parts, int64_t count) {  // B' in
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const float even = in[4][i] - Q2 * in[2][i], odd = P * in[3][i] - P * Q2 * in[1][i];
        const float even2 = in[4][i] - P2 * in[2][i], odd2 = Q * in[3][i] - Q * P2 * in[1][i];
        parts[0][i] = P2 * Q2 * in[0][i] - (P2 + Q2) * in[2][i] + in[4][i];
        parts[1][i] = even + odd;
        parts[2][i] = even - odd;
        parts[3][i] = even2 + odd2;
        parts[4][i] = even2 - odd2;
        parts[5][i] = P2 * Q2 * in[1][i] - (P2 + Q2) * in[3][i] + in[5][i];
    }
}

INLINE void gather(const float* const* parts, float* const* out, int64_t count) {  // A' parts
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const float sum = parts[1][i] + parts[2][i], difference = parts[1][i] - parts[2][i];
        const float sum2 = parts[3][i] + parts[4][i], difference2 = parts[3][i] - parts[4][i];
        out[0][i] = parts[0][i] + sum + sum2;
        out[1][i] = P * difference + Q * difference2;
        out[2][i] = P2 * sum + Q2 * sum2;
        out[3][i] = P * P2 * difference + Q * Q2 * difference2 + parts[5][i];
    }
}

INLINE void scatter(const float* const* out, float* const* parts, int64_t count) {  // A out
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const float even = out[0][i] + P2 * out[2][i], odd = P * out[1][i] + P * P2 * out[3][i];
        const float even2 = out[0][i] + Q2 * out[2][i], odd2 = Q * out[1][i] + Q * Q2 * out[3][i];
        parts[0][i] = out[0][i];
        parts[1][i] = even + odd;
        parts[2][i] = even - odd;
        parts[3][i] = even2 + odd2;
        parts[4][i] = even2 - odd2;
        parts[5][i] = out[3][i];
    }
}

template <class Float>
struct Places {  // that lie a step apart
    Float* at[PARTS];
    Places(Float* first, int64_t step) {
        for (int i = 0; i < PARTS; i++) at[i] = first + i * step;
    }
};

// Four bands of images on their way into the products or out of them. Bands make parts, each all frames and channels
// side by side; then frames of such a part make parts again, of which a product has a row for every four frames.
struct Bands {
    const int64_t bands, frames, channels, groups;  // groups of four frames, the last filled up with zeros
    const int64_t row, part_step, product_step;
    std::vector<float> space;
    float *zeros, *parts, *products;

    Bands(int64_t bands, int64_t frames, int64_t channels)
        : bands(bands), frames(frames), channels(channels), groups((frames + STEP - 1) / STEP), row(frames * channels),
          part_step((STEP * groups + 2) * channels), product_step(groups * channels),
          space(row + PARTS * (part_step + product_step)), zeros(space.data()), parts(zeros + row),
          products(parts + PARTS * part_step) {}

    MEMBER void spread_bands(const float* image, int64_t band) {  // with a frame of zeros before and after each part
        Places<const float> in(image + (band - 1) * row, row);
        if (band == 0) in.at[0] = zeros;
        if (band + STEP == bands) in.at[PARTS - 1] = zeros;
        spread(in.at, Places<float>(parts + channels, part_step).at, row);
    }
    MEMBER void scatter_bands(const float* image, int64_t band) {
        scatter(Places<const float>(image + band * row, row).at, Places<float>(parts, part_step).at, row);
    }
    MEMBER void gather_bands(float* image, int64_t band) {
        gather(Places<const float>(parts, part_step).at, Places<float>(image + band * row, row).at, row);
    }
    MEMBER void spread_frames(int part) {
        for (int64_t group = 0; group < groups; group++)
            spread(of_frames(part, group).at, of_products(group).at, channels);
    }
    MEMBER void scatter_frames(int part) {
        for (int64_t group = 0; group < groups; group++)
            scatter(of_frames(part, group).at, of_products(group).at, channels);
    }
    MEMBER void gather_frames(int part) {
        for (int64_t group = 0; group < groups; group++)
            gather(of_products(group).at, of_frames(part, group).at, channels);
    }
    MEMBER Places<float> of_frames(int part, int64_t group) {
        return Places<float>(parts + part * part_step + group * STEP * channels, channels);
    }
    MEMBER Places<float> of_products(int64_t group) { return Places<float>(products + group * channels, product_step); }
};

#define IMAGES int64_t batch, int64_t bands, int64_t frames, int64_t channels, int64_t outputs
#define GIVEN batch, bands, frames, channels, outputs
template <int LANES>
INLINE void convolve(const float* x, const float* filters, float* out, IMAGES) {
    Bands from(bands, frames, channels), to(bands, frames, outputs);
    for (int64_t b = 0; b < batch; b++, x += bands * from.row, out += bands * to.row)
        for (int64_t band = 0; band < bands; band += STEP) {
            from.spread_bands(x, band);
            const float* filter = filters;
            for (int part = 0; part < PARTS; part++) {
                from.spread_frames(part);
                for (int i = 0; i < PARTS; i++, filter += channels * outputs)
                    multiply<LANES, false>(
                        {from.products + i * from.product_step, channels, 1, filter, channels,
                         to.products + i * to.product_step, from.groups, outputs});
                to.gather_frames(part);
            }
            to.gather_bands(out, band);
        }
}

template <int LANES>
INLINE void add_filters(const float* x, const float* gradient, float* sums, IMAGES) {
    Bands from(bands, frames, channels), to(bands, frames, outputs);
    for (int64_t b = 0; b < batch; b++, x += bands * from.row, gradient += bands * to.row)
        for (int64_t band = 0; band < bands; band += STEP) {
            from.spread_bands(x, band);
            to.scatter_bands(gradient, band);
            float* sum = sums;
            for (int part = 0; part < PARTS; part++) {
                from.spread_frames(part);
                to.scatter_frames(part);
                for (int i = 0; i < PARTS; i++, sum += channels * outputs)
                    multiply<LANES, true>(
                        {from.products + i * from.product_step, 1, channels, to.products + i * to.product_step,
                         from.groups, sum, channels, outputs});
            }
        }
}

#define GENERATION(name, target_cpu, lanes)                                                                            \
    __attribute__((target(target_cpu))) static void convolve_##name(                                                   \
        const float* x, const float* filters, float* out, IMAGES) {                                                    \
        convolve<lanes>(x, filters, out, GIVEN);                                                                       \
    }                                                                                                                  \
    __attribute__((target(target_cpu))) static void add_filters_##name(                                                \
        const float* x, const float* gradient, float* sums, IMAGES) {                                                  \
        add_filters<lanes>(x, gradient, sums, GIVEN);                                                                  \
    }
GENERATION(avx512, "arch=x86-64-v4,prefer-vector-width=512", 16)
GENERATION(avx2, "arch=x86-64-v3", 8)

extern "C" int most_lanes() {
    return __builtin_cpu_supports("x86-64-v4") ? 16 : __builtin_cpu_supports("x86-64-v3") ? 8 : 0;
}

extern "C" void convolve_float32(int64_t lanes, const float* x, const float* filters, float* out, IMAGES) {
    (lanes == 16 ? convolve_avx512 : convolve_avx2)(x, filters, out, GIVEN);
}

extern "C" void add_filter_gradients_float32(
    int64_t lanes, const float* x, const float* gradient, float* sums, IMAGES) {
    (lanes == 16 ? add_filters_avx512 : add_filters_avx2)(x, gradient, sums, GIVEN);
}
#else
extern "C" int most_lanes() { return 0; }
#endif
