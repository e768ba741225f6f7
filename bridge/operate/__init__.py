"""Day two: what is deployed, what became of its jobs, and small pushes and pulls.

Its modules are its face, each for one question; none is loaded before it is asked for.

    sides      AWS and clusters behind one protocol: `aws`, `clusters`; `lines` of their logs
    session    which account, region and deployment
    deployed   the services that stacks have written down, and how they stand
    logs       lines of services and jobs, as they are or as they come
    invoke     one synchronous request        submit     files that become jobs
    transfer   files to and from buckets      cost       what jobs cost, and did cost
    audit      why jobs are where they are, and what another policy would have done
    scar       files and functions of SCAR as FDL
    infrastructure   clusters on a cloud's machines, made by IM
"""

__all__ = [
    "audit",
    "cost",
    "deployed",
    "infrastructure",
    "invoke",
    "logs",
    "scar",
    "session",
    "submit",
    "transfer",
]
