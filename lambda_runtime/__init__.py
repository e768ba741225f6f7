"""The Lambda entry of the supervisor: takes invocations from the Lambda Runtime API, runs jobs.

It is started with `python -m lambda_runtime`, in a runtime folder with `bin/bridge-lambda`; nothing
here is for import.
"""

__all__: list[str] = []
