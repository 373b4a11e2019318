"""Compiled loops of training on the processor: event lists, their products, LIF recursions, augmentation."""
