"""The tables of the job store, and how older ones become newer ones."""

from __future__ import annotations

from typing import Final

__all__ = ["MIGRATIONS"]

# An event has a row of its own, as a job's row is written again and again. What belongs to a job
# is kept by its number and not by its name: numbers grow, so new rows are neighbours on the disk.
_V1: Final = """
CREATE TABLE events (seq INTEGER PRIMARY KEY, event TEXT NOT NULL);
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    path TEXT NOT NULL,
    etag TEXT NOT NULL,
    sequencer TEXT NOT NULL,
    state TEXT NOT NULL,
    target TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 1,
    tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    handle TEXT NOT NULL DEFAULT '',
    accepted REAL NOT NULL,
    placed REAL,
    submitted REAL,
    started REAL,
    ended REAL,
    exit_code INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    report TEXT NOT NULL DEFAULT '{}',
    log TEXT NOT NULL DEFAULT '',
    stop INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT ''
);
CREATE INDEX jobs_by_object ON jobs (path, service) WHERE path <> '';
CREATE INDEX jobs_by_service ON jobs (service, state);
CREATE INDEX jobs_open ON jobs (state, target, due)
    WHERE state IN ('accepted', 'placed', 'submitted', 'running');
CREATE INDEX jobs_to_stop ON jobs (seq) WHERE stop = 1;
CREATE TABLE attempts (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL,
    handle TEXT NOT NULL,
    placed REAL,
    submitted REAL,
    started REAL,
    ended REAL,
    exit_code INTEGER,
    reason TEXT NOT NULL,
    log TEXT NOT NULL,
    PRIMARY KEY (seq, number)
) WITHOUT ROWID;
CREATE TABLE decisions (
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    taken REAL NOT NULL,
    decision TEXT NOT NULL,
    PRIMARY KEY (seq, attempt)
) WITHOUT ROWID;
CREATE TABLE outputs (
    seq INTEGER NOT NULL,
    provider TEXT NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    size INTEGER,
    etag TEXT NOT NULL,
    PRIMARY KEY (seq, provider, bucket, key)
) WITHOUT ROWID;
CREATE TABLE expected (
    service TEXT NOT NULL,
    path TEXT NOT NULL,
    etag TEXT NOT NULL,
    producer TEXT NOT NULL,
    provider TEXT NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    size INTEGER,
    since REAL NOT NULL,
    PRIMARY KEY (path, service, etag)
) WITHOUT ROWID;
CREATE TABLE refused (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE ignored (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    event TEXT NOT NULL
);
CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE owners (id TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
"""

# A job that a user has put away is kept: its event must stay one that has come.
_V2: Final = """
ALTER TABLE jobs ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN caller TEXT NOT NULL DEFAULT '';
"""

# A share's jobs are neighbours in the index: each has its turn without a look at the others.
_V3: Final = """
ALTER TABLE jobs ADD COLUMN share TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN trace TEXT NOT NULL DEFAULT '';
DROP INDEX jobs_open;
CREATE INDEX jobs_open ON jobs (state, target, share, due)
    WHERE state IN ('accepted', 'placed', 'submitted', 'running');
"""

# Attempts that are over and that nothing was learned from yet, and what was learned: see `_known`.
_V4: Final = """
CREATE TABLE lessons (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (seq, number)
) WITHOUT ROWID;
CREATE TABLE estimates (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    text TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX estimates_by_version ON estimates (version);
"""

# A wish to take a job back from its target must outlive us: the target may have heard of it.
_V5: Final = """
ALTER TABLE jobs ADD COLUMN moving INTEGER NOT NULL DEFAULT 0;
"""

# What attempts are expected to cost, in 10^-9 USD, until it is learned what they have cost.
_V6: Final = """
CREATE TABLE promises (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    service TEXT NOT NULL,
    share TEXT NOT NULL,
    nano INTEGER NOT NULL,
    PRIMARY KEY (seq, number)
) WITHOUT ROWID;
CREATE INDEX promises_by_service ON promises (service, nano);
CREATE INDEX promises_by_share ON promises (share, nano);
"""

# How far the past has been tidied up. The jobs of a service are read in the order they came.
_V7: Final = """
CREATE TABLE marks (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX jobs_in_service ON jobs (service, seq);
"""

# Only ever appended to: a released step is never edited.
MIGRATIONS: Final = (
    ("the first tables", _V1),
    ("jobs that are put away, and whose they are", _V2),
    ("jobs by who shares the queue, and their traces", _V3),
    ("what is learned from jobs", _V4),
    ("jobs that are taken back from their target", _V5),
    ("what jobs under way are expected to cost", _V6),
    ("how far the past has been tidied up", _V7),
)
