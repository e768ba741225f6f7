"""OSCAR Bridge: run FDL services on OSCAR clusters, AWS Lambda, AWS Batch or one laptop."""

__version__ = "0.1.0"
