"""Service images: a user's image with the runtime laid on it, for AWS Lambda and AWS Batch alike.

`ServiceImages.plan` says what has to be done and why, `apply` does it: with a container engine, or
from registry to registry without one. The tag of the result is a digest of the source's content,
the runtime and the recipe, so nothing is made or pushed that exists already. An image holds no
secret and no configuration of a service. docs/images.md tells the rest.
"""

from bridge.images._bundle import Bundle
from bridge.images._runtime import make_runtime_image, runtime_image_name
from bridge.images._service import REPOSITORY, ServiceImages, docker_engine
from bridge.images.credentials import docker_credentials
from bridge.images.ecr import Ecr
from bridge.images.model import Built, Credentials, CredentialSource, ImagePlan, Reference, Source

__all__ = [
    "REPOSITORY",
    "Built",
    "Bundle",
    "CredentialSource",
    "Credentials",
    "Ecr",
    "ImagePlan",
    "Reference",
    "ServiceImages",
    "Source",
    "docker_credentials",
    "docker_engine",
    "make_runtime_image",
    "runtime_image_name",
]
