/* sast_main.c: replays the known answers in known.h and compares every membrane potential, spike and logit.

   Prints the first difference; exit code 0: none, 1: one. */
#include <stdio.h>
#include "sast_net.h"
#include "known.h"

static int differs(const char *what, int sample, int step, int place, long long found, long long wanted)
{
    if (found != wanted)
        printf("vector %d, step %d, %s %d: %lld, expected %lld\n", sample, step, what, place, found, wanted);
    return found != wanted;
}

static int replay(int sample)
{
    sast_reset();
    for (int t = 0; t < KNOWN_STEPS; t++) {
        const int refused = sast_step(known_frames[sample][t]);
        if (refused) {
            printf("vector %d, step %d: refused, %d\n", sample, t, refused);
            return 1;
        }
        for (int i = 0; i < SAST_NEURONS; i++)
            if (differs("membrane of neuron", sample, t, i, sast_membranes()[i], known_membranes[sample][t][i])
                || differs("spike of neuron", sample, t, i, sast_spikes()[i], known_spikes[sample][t][i]))
                return 1;
    }
    for (int i = 0; i < SAST_CLASSES; i++)
        if (differs("logit", sample, KNOWN_STEPS - 1, i, sast_logits()[i], known_logits[sample][i]))
            return 1;
    return 0;
}

int main(void)
{
    for (int sample = 0; sample < KNOWN_SAMPLES; sample++)
        if (replay(sample))
            return 1;
    printf("%d vectors of %d steps: every membrane potential and spike of %d neurons is as expected\n",
           KNOWN_SAMPLES, KNOWN_STEPS, SAST_NEURONS);
    return 0;
}
