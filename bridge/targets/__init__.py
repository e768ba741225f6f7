"""Targets: the places that run services, behind one small protocol.

The AWS targets live in `bridge.targets.aws` and are imported from there, because boto3 is heavy.
"""

from bridge.targets.protocol import Invokes, Job, JobState, JobUpdate, Reply, Target

__all__ = ["Invokes", "Job", "JobState", "JobUpdate", "Reply", "Target"]
