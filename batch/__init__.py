"""The AWS Batch entry of the supervisor: one container, one job, its exit status the job's.

It is started with `python -m batch`, in a runtime folder with `bin/bridge-batch`; nothing here is
for import. Its image is the one that `lambda_runtime/Dockerfile` makes: one image serves both.
Beside the job contract it knows what Batch says of the job:

- `AWS_BATCH_JOB_ARRAY_INDEX`: the child of an array job takes the event of its own number (from 0)
  out of an event with several records. With a single event every child runs it, and the script
  tells them apart by the variable. A named job is called `<job>-<index>` in its report.
- `BRIDGE_ARRAY_URL` and `BRIDGE_ARRAY_PAGE`: of an array whose children are jobs of their own, each
  finds its event below this `s3://bucket/prefix/`, so many to an object; it has its job's own name
  in the report.
- `AWS_BATCH_JOB_NODE_INDEX` and its relatives: of a multi-node job every node stages the input in
  and runs the script, which finds its rank and the main node's address in these variables. Only
  the main node stages out and reports: what other nodes made must reach it over the network.
- `AWS_BATCH_JOB_ATTEMPT`: the report's attempt, before that of the event's envelope.
"""

__all__: list[str] = []
