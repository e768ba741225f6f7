"""The HTTP interface of the dispatcher: a REST API with the routes of its Chalice app."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk.acknowledge import acknowledge
from cdk.names import Base

__all__ = ["ROUTES", "Api", "Proxy"]

ROUTES: Final = (
    ("POST", "/run/{service}"),
    ("POST", "/job/{service}"),
    ("GET", "/jobs/{job_id}"),
)
_STAGE: Final = "v1"
_RATE: Final = 200
_BURST: Final = 400
_BINARY: Final = ("*/*",)


class Proxy(Construct):
    """A REST API whose methods all call one function, deployed to one stage.

    `routes` are methods with paths. `authorization` is API Gateway's: `NONE` leaves it to the
    function, `AWS_IAM` takes signed requests only.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: Base,
        name: str,
        routes: tuple[tuple[str, str], ...],
        function_arn: str,
        stage: str,
        authorization: str = "NONE",
        parameters: dict[str, bool] | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._resources: dict[str, str] = {}
        self._api = apigateway.CfnRestApi(
            self,
            "Api",
            name=name,
            binary_media_types=list(_BINARY),
            endpoint_configuration=apigateway.CfnRestApi.EndpointConfigurationProperty(
                types=["REGIONAL"]
            ),
        )
        uri = f"arn:{base.partition}:apigateway:{base.region}:lambda:path/2015-03-31/functions/"
        integration = apigateway.CfnMethod.IntegrationProperty(
            type="AWS_PROXY",
            integration_http_method="POST",
            uri=f"{uri}{function_arn}/invocations",
        )
        methods = [
            apigateway.CfnMethod(
                self,
                f"{verb}{path}".replace("/", "-"),
                rest_api_id=self._api.ref,
                resource_id=self._resource(path),
                http_method=verb,
                authorization_type=authorization,
                request_parameters=parameters or None,
                integration=integration,
            )
            for verb, path in routes
        ]
        # A deployment is a copy of the API: another API needs another deployment.
        digest = hashlib.sha256(json.dumps([routes, authorization, parameters]).encode())
        deployment = apigateway.CfnDeployment(
            self, f"Deployment{digest.hexdigest()[:8]}", rest_api_id=self._api.ref
        )
        for method in methods:
            deployment.add_resource_dependency(method)
        self._stage(deployment, stage)
        lambda_.CfnPermission(
            self,
            "May",
            action="lambda:InvokeFunction",
            function_name=function_arn,
            principal="apigateway.amazonaws.com",
            source_arn=base.arn("execute-api", f"{self._api.ref}/*"),
        )
        host = f"{self._api.ref}.execute-api.{base.region}.amazonaws.com"
        self.id = self._api.ref
        self.url = f"https://{host}/{stage}"

    def _resource(self, path: str) -> str:
        if path in ("", "/"):
            return str(self._api.attr_root_resource_id)
        if path not in self._resources:
            above, _, part = path.rpartition("/")
            made = apigateway.CfnResource(
                self,
                f"Path{path}".replace("/", "-"),
                rest_api_id=self._api.ref,
                parent_id=self._resource(above),
                path_part=part,
            )
            self._resources[path] = made.ref
        return self._resources[path]

    def _stage(self, deployment: apigateway.CfnDeployment, name: str) -> None:
        stage = apigateway.CfnStage(
            self,
            "Stage",
            rest_api_id=self._api.ref,
            deployment_id=deployment.ref,
            stage_name=name,
            method_settings=[
                apigateway.CfnStage.MethodSettingProperty(
                    http_method="*",
                    resource_path="/*",
                    throttling_rate_limit=_RATE,
                    throttling_burst_limit=_BURST,
                )
            ],
        )
        logs = "Logs of API Gateway need a role that belongs to the whole account, not to us"
        acknowledge(
            stage, {"APIG1": logs, "APIG3": "A firewall costs money; see the docs", "APIG6": logs}
        )


class Api(Construct):
    """The dispatcher's API. Requests carry a token that the app checks (`Authorization: Bearer`).

    The token for all services is made by Secrets Manager and never seen here.
    """

    def __init__(self, scope: Construct, id: str, *, base: Base, function_arn: str) -> None:
        super().__init__(scope, id)
        tokens = secretsmanager.CfnSecret(
            self,
            "Tokens",
            name=base.tokens,
            description="Tokens of the HTTP interface, by service; * is for all",
            generate_secret_string=secretsmanager.CfnSecret.GenerateSecretStringProperty(
                secret_string_template="{}",  # noqa: S106  the rest of it is made
                generate_string_key="*",
                exclude_punctuation=True,
                password_length=48,
            ),
        )
        acknowledge(tokens, {"SMG4": "Whoever calls with a token decides when it changes"})
        self._proxy = Proxy(
            self,
            "Http",
            base=base,
            name=base.prefix,
            routes=ROUTES,
            function_arn=function_arn,
            stage=_STAGE,
        )
        acknowledge(
            self._proxy,
            {
                "APIG2": "The app reads any body: services take what they like",
                "APIG4": "The app asks for a token of the service",
                "COG4": "The app asks for a token of the service",
            },
        )
        self.id = self._proxy.id
        self.url = self._proxy.url
