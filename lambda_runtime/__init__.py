"""The Lambda entry of the supervisor: takes invocations from the Lambda Runtime API, runs jobs.

It is started with `python -m lambda_runtime`, in a runtime folder with `bin/bridge-lambda`.

`app` and `dispatcher` are another program: the dispatcher on AWS, whose handlers run in functions
of their own. The entry never imports them.
"""

__all__: list[str] = []
