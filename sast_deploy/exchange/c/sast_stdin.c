/* sast_main.c: classifies samples from standard input, one line of answer each: class, then all logits.

   A sample is SAST_STEPS frames of SAST_INPUTS values, C, H, W order; a value is SAST_INPUT_BYTES bytes: 1, or 4,
   two's complement, the lowest byte first. Exit code 2: a sample that is cut off, or a value that lies outside
   SAST_INPUT_MIN..SAST_INPUT_MAX. */
#include <stdio.h>
#include "sast_net.h"

static sast_value frame[SAST_INPUTS];

static int next(void) /* 1: a frame was read, 0: none is left, -1: it is cut off, -2: no sast_value */
{
    for (int32_t j = 0; j < SAST_INPUTS; j++) {
        int64_t value = 0;
        for (int k = 0; k < SAST_INPUT_BYTES; k++) {
            const int byte = getchar();
            if (byte == EOF)
                return j || k ? -1 : 0;
            value += (int64_t)byte << (8 * k);
        }
        if (SAST_INPUT_BYTES == 4 && value > 2147483647)
            value -= (int64_t)1 << 32;
        if (value < SAST_INPUT_MIN || value > SAST_INPUT_MAX)
            return -2;
        frame[j] = (sast_value)value;
    }
    return 1;
}

int main(void)
{
    for (long sample = 0;; sample++) {
        sast_reset();
        for (long t = 0; t < SAST_STEPS; t++) {
            const int found = next();
            if (found == 0 && t == 0)
                return 0;
            if (found < 1 || sast_step(frame)) {
                fprintf(stderr, "sample %ld, step %ld: %s\n", sample, t,
                        found == -2 ? "a value beyond SAST_INPUT_MIN..SAST_INPUT_MAX" : "cut off");
                return 2;
            }
        }
        printf("%ld", (long)sast_class());
        for (int32_t i = 0; i < SAST_CLASSES; i++)
            printf(" %lld", (long long)sast_logits()[i]);
        putchar('\n');
    }
}
