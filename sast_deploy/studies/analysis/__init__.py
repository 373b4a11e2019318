"""What a trained network is like beyond its accuracy: margins, robustness, contraction, thresholds, tests."""
