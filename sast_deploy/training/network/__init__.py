"""The surrogate-forward spiking network, from the spike function up."""
