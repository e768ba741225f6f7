"""Targets: the places that run services, behind one small protocol.

The AWS targets live in `bridge.targets.aws` and are imported from there, because boto3 is heavy.
"""

from bridge.targets.protocol import Job, JobState, JobUpdate, Target

__all__ = ["Job", "JobState", "JobUpdate", "Target"]
