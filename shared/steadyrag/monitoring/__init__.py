"""Metrics and alarms as CloudWatch has them, without CloudWatch: what the stack's alarms would
say of metrics that were printed here. Drills and the local console use it; no function does."""
