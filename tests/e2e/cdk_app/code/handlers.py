"""The functions of the small app."""

import json
import os

import boto3


def events(event, context):
    """Write what a message says about an object beside the object."""
    failed = []
    for record in event["Records"]:
        detail = json.loads(record["body"])["detail"]
        bucket, key = detail["bucket"]["name"], detail["object"]["key"]
        if "fail" in key:
            failed.append({"itemIdentifier": record["messageId"]})
            continue
        boto3.client("s3").put_object(
            Bucket=bucket, Key=key.replace("in/", "out/"), Body=os.environ["WORD"].encode()
        )
    return {"batchItemFailures": failed}


def web(event, context):
    """Say what was asked for."""
    body = {"path": event["path"], "word": os.environ["WORD"]}
    return {"statusCode": 200, "body": json.dumps(body)}
