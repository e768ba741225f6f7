"""The simulator: what a policy would do to a world of targets, in minutes instead of days.

Pure: a world, a trace and a seed in, a result out. Needs numpy (the extra `simulate`).
"""
