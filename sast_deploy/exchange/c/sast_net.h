/* sast_net.h: runs one spiking network, step by step, in integers. See README.md. */
#ifndef SAST_NET_H
#define SAST_NET_H

#include <stdint.h>
#include "@NAME@_weights.h"

/* Forget everything: before the first step of every sample. Before the first sample nothing need be called. */
void sast_reset(void);

/* One step on SAST_INPUTS values in C, H, W order, each within SAST_INPUT_MIN..SAST_INPUT_MAX.
   0: done. 1: a value lies outside, 2: SAST_STEPS_MAX steps have been taken since the reset; nothing was done. */
int sast_step(const sast_value *frame);

/* SAST_CLASSES logits of the steps since the reset, and the class of the largest (of equal ones the first). */
const sast_logit *sast_logits(void);
int32_t sast_class(void);

/* SAST_NEURONS membrane potentials and spikes (0 or 1) of the last step, layer after layer, C, H, W order. */
const sast_state *sast_membranes(void);
const sast_value *sast_spikes(void);

#endif
