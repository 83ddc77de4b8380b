"""The publication's experiments: functions of a Job."""
