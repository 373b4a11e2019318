"""What a training's surrogate and neuron make of the circuit: accuracy, spikes and cycles, cell by cell."""
