"""What a run costs on a chip: work, cores, energy, time."""
