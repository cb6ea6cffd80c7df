"""Data: records, what links beliefs to answers, sampling, and whether to believe the result."""
