"""What is true of a program for every input: intervals, bounds of sums, the limits of a chip."""
