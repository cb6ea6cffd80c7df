"""Whether to believe it: identification, design, recovery, calibration, sensitivity, invariance."""
