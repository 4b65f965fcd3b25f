"""What stands around `step` in a program in C: the functions that it calls, and `main`."""

from microgpt.value import LARGEST_EXPONENT

# Each is there if the program calls it.
HELPERS = {
    "larger": """
// The larger of two numbers; NaN if one of them is.
static real larger(real a, real b)
{
    return a >= b || a != a ? a : b;
}
""",
    "safe_exp": f"""
// e ** x; the largest finite number where that is too large.
static real safe_exp(real x)
{{
    return x > {LARGEST_EXPONENT!r} ? DBL_MAX : exp(x);
}}
""",
    "safe_log": """
// The logarithm; NaN where there is none.
static real safe_log(real x)
{
    return x > 0.0 ? log(x) : NAN;
}
""",
    "power": """
// x ** k
static inline real power(real x, real k)
{
    return k == 0.0 ? 1.0 : k == 2.0 ? x * x : k == 3.0 ? x * x * x : k == -1.0 ? 1.0 / x : k == -2.0 ? 1.0 / (x * x)
        : k == 0.5 ? sqrt(x) : k == -0.5 ? 1.0 / sqrt(x) : pow(x, k);
}
""",
    "safe_power": """
// x ** k; NaN where it or its derivative is not finite.
static inline real safe_power(real x, real k)
{
    const real y = power(x, k);
    return isfinite(y) && (k == 0.0 || isfinite(power(x, k - 1.0))) ? y : NAN;
}
""",
}

TEMPLATE = r"""// $summary.
//
// To compile and run it:  cc -std=c99 -O2 program.c -o program -lm && ./program < examples
// The examples are numbers in text, for each $inputs.
// `./program parameters < examples` writes the trained parameters to a file, as doubles.

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef double real;

enum { PARAMETERS = $parameters };  // how many numbers the model learns
enum { INTEGERS = $integers, FLOATS = $floats };  // of an example
$helpers
// The mean loss of a batch, and its gradient.
real step(const real *p, real *g, int batch, const int *integers, const real *floats)
{
$step
}

// One step of Adam for some parameters. The first step is number 1.
void adam(int size, real *parameter, const real *gradient, real *m, real *v, int step, real learning_rate,
          real weight_decay)
{
$adam
}

// Training.

enum { STEPS = $steps, BATCH = $batch, REPORT = $report, ARRAYS = $count };
static const real LEARNING_RATE = $rate, WARMUP = $warmup, GRAD_CLIP = $clip;  // a clip of 0 is none

static const struct { int size; real mean, deviation, weight_decay; } arrays[ARRAYS] = {
$arrays
};

// A random number between 0 and 1.
static real uniform(void)
{
    static unsigned long long state = 88172645463325252ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

// A random number from the normal distribution.
static real normal(void)
{
    return sqrt(-2.0 * log(uniform())) * cos(6.283185307179586 * uniform());
}

// Read an example; 0 if there is none. Each integer must be below its limit.
static int read_example(int *integers, real *floats)
{
$limits
    double number;
    for (int i = 0; i < INTEGERS; i++) {
        if (scanf("%lf", &number) != 1) return 0;
        integers[i] = (int)number;
        if (integers[i] >= 0 && integers[i] < limits[i]) continue;
        fprintf(stderr, "integer %d of an example is %d: expected 0 to %d\n", i, integers[i], limits[i] - 1);
        exit(1);
    }
    for (int i = 0; i < FLOATS; i++) {
        if (scanf("%lf", &number) != 1) return 0;
        floats[i] = number;
    }
    return INTEGERS + FLOATS > 0;
}

// The same memory with room for so many bytes.
static void *resized(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes + 1);
    if (!memory) exit(1);
    return memory;
}

int main(int count, char **arguments)
{
    static real p[PARAMETERS + 1], g[PARAMETERS + 1], m[PARAMETERS + 1], v[PARAMETERS + 1];
    for (int array = 0, k = 0; array < ARRAYS; array++)
        for (int i = 0; i < arrays[array].size; i++)
            p[k++] = arrays[array].mean + arrays[array].deviation * normal();

    size_t examples = 0;
    int *integers = NULL;
    real *floats = NULL;
    for (size_t room = 0; ; examples++) {
        if (examples == room) {
            room = 2 * room + BATCH;
            integers = resized(integers, sizeof(int) * INTEGERS * room);
            floats = resized(floats, sizeof(real) * FLOATS * room);
        }
        if (!read_example(integers + INTEGERS * examples, floats + FLOATS * examples)) break;
    }
    if (examples == 0) return fprintf(stderr, "there are no examples on standard input\n"), 1;

    real recent = 0.0;
    for (int t = 1; t <= STEPS; t++) {
        static int batch_integers[BATCH * INTEGERS + 1];
        static real batch_floats[BATCH * FLOATS + 1];
        for (int b = 0; b < BATCH; b++) {
            const size_t drawn = (size_t)(uniform() * (double)examples);
            memcpy(batch_integers + b * INTEGERS, integers + drawn * INTEGERS, INTEGERS * sizeof(int));
            memcpy(batch_floats + b * FLOATS, floats + drawn * FLOATS, FLOATS * sizeof(real));
        }
        recent += step(p, g, BATCH, batch_integers, batch_floats);
        real square = 0.0;
        for (int k = 0; k < PARAMETERS; k++) square += g[k] * g[k];
        if (GRAD_CLIP > 0.0 && square > GRAD_CLIP * GRAD_CLIP)
            for (int k = 0; k < PARAMETERS; k++) g[k] *= GRAD_CLIP / sqrt(square);
        // The learning rate rises in a straight line, and then falls in one.
        const real rate = LEARNING_RATE * (t < WARMUP ? t / WARMUP : (STEPS + 1 - t) / (STEPS + 1 - WARMUP));
        for (int array = 0, k = 0; array < ARRAYS; k += arrays[array++].size)
            adam(arrays[array].size, p + k, g + k, m + k, v + k, t, rate, arrays[array].weight_decay);
        if (t % REPORT == 0) {
            printf("step %5d   loss %.4f\n", t, recent / REPORT);
            fflush(stdout);
            recent = 0.0;
        }
    }
    if (count > 1) {
        FILE *file = fopen(arguments[1], "wb");
        if (!file || fwrite(p, sizeof(real), PARAMETERS, file) != PARAMETERS || fclose(file))
            return perror(arguments[1]), 1;
    }
    free(integers);
    free(floats);
    return 0;
}
"""
