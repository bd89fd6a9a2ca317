"""Tasks, and what can be learnt about them: evaluation and calibration."""
