"""A small CDK app of every kind of resource that ours has, with the CDK's own constructs."""

import sys
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import (
    aws_apigateway,
    aws_batch,
    aws_dynamodb,
    aws_ec2,
    aws_ecs,
    aws_events,
    aws_events_targets,
    aws_lambda,
    aws_lambda_destinations,
    aws_lambda_event_sources,
    aws_logs,
    aws_s3,
    aws_sqs,
    aws_ssm,
)
from constructs import Construct

CODE = str(Path(__file__).with_name("code"))
JOB = (
    "import urllib.request as u, os;"
    "u.urlopen(u.Request(os.environ['PUT'], b'by a job', method='PUT'))"
)


class Small(cdk.Stack):
    """Bucket → EventBridge → queue → function → another queue; a REST API; a Batch job."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        word = self.node.try_get_context("word") or "one"
        dead = aws_sqs.Queue(self, "Dead")
        queue = aws_sqs.Queue(
            self,
            "Events",
            visibility_timeout=cdk.Duration.seconds(30),
            dead_letter_queue=aws_sqs.DeadLetterQueue(max_receive_count=5, queue=dead),
        )
        function = aws_lambda.Function(
            self,
            "Function",
            runtime=aws_lambda.Runtime.PYTHON_3_12,
            handler="handlers.events",
            code=aws_lambda.Code.from_asset(CODE),
            timeout=cdk.Duration.seconds(20),
            environment={"WORD": word},
            log_group=aws_logs.LogGroup(
                self,
                "Logs",
                retention=aws_logs.RetentionDays.ONE_MONTH,
                removal_policy=cdk.RemovalPolicy.DESTROY,
            ),
            reserved_concurrent_executions=2,
            on_success=aws_lambda_destinations.SqsDestination(dead),
            retry_attempts=0,
        )
        function.add_event_source(
            aws_lambda_event_sources.SqsEventSource(queue, report_batch_item_failures=True)
        )
        own = aws_s3.Bucket(self, "Own", event_bridge_enabled=True)
        other = aws_s3.Bucket.from_bucket_name(self, "Other", self.node.get_context("bucket"))
        other.enable_event_bridge_notification()
        aws_events.Rule(
            self,
            "Objects",
            event_pattern=aws_events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [own.bucket_name, other.bucket_name]},
                    "object": {"key": [{"prefix": "in/"}]},
                },
            ),
            targets=[aws_events_targets.SqsQueue(queue)],
        )
        own.grant_read_write(function)
        table = aws_dynamodb.Table(
            self,
            "Table",
            partition_key=aws_dynamodb.Attribute(
                name="job", type=aws_dynamodb.AttributeType.STRING
            ),
            billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires",
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        table.grant_read_write_data(function)
        api = aws_apigateway.LambdaRestApi(
            self,
            "Api",
            handler=aws_lambda.Function(
                self,
                "Web",
                runtime=aws_lambda.Runtime.PYTHON_3_12,
                handler="handlers.web",
                code=aws_lambda.Code.from_asset(CODE),
                environment={"WORD": word},
            ),
        )
        vpc = aws_ec2.Vpc(
            self,
            "Vpc",
            availability_zones=[f"{self.region}a"],
            nat_gateways=0,
            subnet_configuration=[
                aws_ec2.SubnetConfiguration(name="public", subnet_type=aws_ec2.SubnetType.PUBLIC)
            ],
        )
        where = aws_batch.FargateComputeEnvironment(self, "Fargate", vpc=vpc, maxv_cpus=2)
        jobs = aws_batch.JobQueue(self, "Jobs", priority=1)
        jobs.add_compute_environment(where, 1)
        definition = aws_batch.EcsJobDefinition(
            self,
            "Definition",
            container=aws_batch.EcsFargateContainerDefinition(
                self,
                "Container",
                image=aws_ecs.ContainerImage.from_registry("oscar-bridge/python:local"),
                command=["python3", "-c", JOB],
                cpu=0.25,
                memory=cdk.Size.mebibytes(512),
                environment={"WORD": word},
            ),
        )
        aws_ssm.StringParameter(
            self,
            "Base",
            parameter_name=f"/{name}/base",
            string_value=self.to_json_string(
                {
                    "own": own.bucket_name,
                    "api": api.url,
                    "rest": api.rest_api_id,
                    "function": function.function_name,
                    "queue": jobs.job_queue_arn,
                    "definition": definition.job_definition_arn,
                    "table": table.table_name,
                    "logs": function.log_group.log_group_name,
                }
            ),
        )


app = cdk.App()
Small(app, "small")
app.synth()
sys.stdout.flush()
