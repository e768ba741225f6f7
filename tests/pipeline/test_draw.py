"""Drawings, compared with what they must be to the letter."""

from __future__ import annotations

import json

from bridge.fdl.model import Document
from bridge.pipeline import as_json, build, dot, mermaid
from tests.pipeline.documents import document, path, service

MERMAID = """\
flowchart LR
    s0["grayify<br/>on my-cluster"]
    s1["count<br/>on aws-lambda"]
    s2["report"]
    in0[("minio.default:photos/in")]
    out0[("s3.default:data/out *.txt")]
    s0 ==>|"s3.default:data/gray"| s1
    s1 -.->|"s3.default:data/counts"| s2
    in0 --> s0
    s2 --> out0
    linkStyle 0 stroke:#c2410c,stroke-width:3px
"""

DOT = """\
digraph pipeline {
    rankdir=LR;
    node [shape=box];
    s0 [label="grayify\\non my-cluster"];
    s1 [label="count\\non aws-lambda"];
    s2 [label="report"];
    in0 [label="minio.default:photos/in", shape=cylinder];
    out0 [label="s3.default:data/out *.txt", shape=cylinder];
    s0 -> s1 [label="s3.default:data/gray", style=bold, color=orangered, penwidth=2];
    s1 -> s2 [label="s3.default:data/counts", style=dashed];
    in0 -> s0;
    s2 -> out0;
}
"""


def sample() -> Document:
    return document(
        service("grayify", "minio:photos/in", "s3:data/gray", pin="my-cluster"),
        service("count", "s3:data/gray", "s3:data/counts", pin="aws-lambda"),
        service(
            "report", path("s3:data/counts", suffix=[".csv"]), path("s3:data/out", suffix=[".txt"])
        ),
    )


def test_mermaid() -> None:
    assert mermaid(build(sample())) == MERMAID


def test_dot() -> None:
    assert dot(build(sample())) == DOT


def test_json() -> None:
    given = as_json(build(sample()))
    assert json.loads(json.dumps(given)) == given
    assert given["stages"][1] == {"service": "count", "target": "aws-lambda", "level": 1}
    assert given["levels"] == [["grayify"], ["count"], ["report"]]
    gray = {"provider": "s3.default", "path": "data/gray", "prefix": [], "suffix": []}
    assert given["edges"][0] == {
        "from": "grayify",
        "to": "count",
        "output": gray,
        "input": gray,
        "certainty": "certain",
        "crossing": True,
    }
    assert given["crossings"] == [
        {
            "from": {"service": "grayify", "target": "my-cluster"},
            "to": {"service": "count", "target": "aws-lambda"},
            "path": "s3.default:data/gray",
        }
    ]
    assert [end["path"] for end in given["sources"]] == ["photos/in"]
    assert [end["path"] for end in given["results"]] == ["data/out"]
    assert given["sinks"] == ["report"]
    assert given["notes"][0] == {
        "service": "report",
        "message": "no service reads s3.default:data/out: its files are results",
    }


def test_a_possible_crossing_is_dotted_and_coloured() -> None:
    pipeline = build(sample(), {"report": "aws-batch"})
    assert "s1 -.->" in mermaid(pipeline) and "linkStyle 0,1 " in mermaid(pipeline)
    assert "style=dashed, color=orangered" in dot(pipeline)


def test_names_cannot_break_out_of_the_drawing() -> None:
    name = 'a"] --> x["<script>`#;\\ñ日本\n}'
    pipeline = build(document(service(name, 'b/"quo\\ted"', pin='t"')))
    assert mermaid(pipeline) == (
        "flowchart LR\n"
        '    s0["a#34;#93; --#62; x#91;#34;#60;script#62;#96;#35;;#92;ñ日本 #125;<br/>on t#34;"]\n'
        '    in0[("minio.default:b/#34;quo#92;ted#34;")]\n'
        "    in0 --> s0\n"
    )
    assert '[label="a\\"] --> x[\\"<script>`#;\\\\ñ日本 }\\non t\\""];' in dot(pipeline)
    assert as_json(pipeline)["stages"][0]["service"] == name


def test_an_empty_pipeline_can_be_drawn() -> None:
    empty = build(document())
    assert mermaid(empty) == "flowchart LR\n"
    assert dot(empty).startswith("digraph") and as_json(empty)["levels"] == []
