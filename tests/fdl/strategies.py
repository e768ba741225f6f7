"""Documents that a file can mean, for hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from bridge.fdl import (
    AwsOptions,
    Cluster,
    Document,
    OscarOptions,
    Placement,
    ProviderRef,
    Resources,
    Service,
    StoragePath,
    StorageProvider,
    TargetSpec,
)
from bridge.fdl import options as o
from bridge.fdl._placement import POLICIES, TERMS
from bridge.secret import Secret

CLUSTERS = ("lab", "far-away", "Cluster 3")
ORIGINS = st.sampled_from(["oscar", "aws", "bridge"])
LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MIB = 2**20
BUILDS: Callable[..., Any] = st.builds

character = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
raw = st.text(character, max_size=12)
text = raw.map(str.strip)
word = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,12}", fullmatch=True)
secret = raw.map(Secret)
flag = st.booleans()
count = st.integers(0, 1000)
cores = st.integers(1, 64_000).map(lambda n: Decimal(n) / 1000)
size = st.integers(1, 2**45)
seconds = st.integers(1, 10**8).map(lambda n: n / 1000)
usd = st.decimals(0, 1000, places=4)
variable = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
variables = st.dictionaries(variable, raw, max_size=3)
secrets = st.dictionaries(variable, secret, max_size=2)
key = st.text(character, min_size=1, max_size=8)
labels = st.dictionaries(key, raw, max_size=2)
plain_key = st.from_regex(r"[A-Z][a-z]{1,6}", fullmatch=True)
free = st.dictionaries(
    plain_key,
    st.none() | flag | st.integers(-(10**9), 10**9) | raw | st.tuples(raw, flag),
    max_size=3,
)
bucket = st.from_regex(r"[a-z0-9][a-z0-9-]{1,10}[a-z0-9]", fullmatch=True)
folder = st.lists(st.from_regex(r"[\w-]{1,6}", fullmatch=True), min_size=1, max_size=3).map(
    "/".join
)


def tuples(item: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[Any]:
    return st.lists(item, max_size=most).map(tuple)


def paths(*kinds: str) -> st.SearchStrategy[Any]:
    return BUILDS(
        StoragePath,
        provider=st.sampled_from([ProviderRef(kind, "p") for kind in kinds]),
        path=BUILDS("{}/{}".format, bucket, folder),
        prefix=tuples(word),
        suffix=tuples(word),
        options=st.sampled_from(["", "rw,uid=1"]),
    )


anywhere = paths("minio", "s3", "webdav", "onedata", "rucio")
targets = tuples(st.sampled_from(["aws-lambda", "aws-batch", "box"]))
placement = BUILDS(
    Placement,
    targets=targets,
    policy=st.sampled_from(["", *(p for p in POLICIES if p not in ("budget", "deadline"))]),
    require=st.fixed_dictionaries(
        {}, optional={"gpu": flag, "arch": st.sampled_from(["amd64", "arm64"]), "region": word}
    ),
    prefer=st.fixed_dictionaries({}, optional={"target": st.just("box"), "region": word}),
    deadline=st.none() | seconds,
    max_cost=st.none() | usd,
    fallback=targets,
    weights=st.dictionaries(
        st.sampled_from(TERMS), st.integers(1, 100).map(lambda n: n / 10), max_size=2
    ),
    avoid=st.fixed_dictionaries(
        {},
        optional={
            "target": tuples(st.just("box")),
            "region": tuples(word),
            "kind": tuples(st.sampled_from(["oscar", "batch"])),
        },
    ),
    residency=tuples(word),
    budget=st.fixed_dictionaries({}, optional={"day": usd, "month": usd}),
    shadow=st.sampled_from(["", "topsis", "random"]),
)
replica = BUILDS(
    o.Replica,
    type=st.sampled_from(["oscar", "endpoint"]),
    cluster_id=text,
    service_name=text,
    url=text,
    ssl_verify=flag,
    priority=count,
    headers=st.dictionaries(key, secret, max_size=1),
)
federation = BUILDS(
    o.Federation,
    group_id=text,
    topology=st.sampled_from(["none", "star", "mesh"]),
    delegation=st.sampled_from(["", "static", "random", "load-based", "topsis"]),
    rescheduler_threshold=count,
    members=tuples(replica),
)
port = st.integers(1, 65535)
expose = BUILDS(
    o.Expose,
    min_scale=count,
    max_scale=count,
    api_port=tuples(port),
    cpu_threshold=count,
    rewrite_target=flag,
    node_port=tuples(port),
    default_command=flag,
    set_auth=flag,
    auth_type=text,
    health_path=text,
    probe_mode=text,
)
volume = BUILDS(
    o.Volume,
    mount_path=st.just("/data"),
    name=word,
    size=st.none() | size,
    lifecycle_policy=st.sampled_from(["delete", "retain"]),
)
kserve = BUILDS(
    o.Kserve,
    type=word,
    storage_uri=word,
    inference=st.none() | BUILDS(o.KserveInference, model_format=word, runtime=text),
    llm_inference=st.none() | BUILDS(o.KserveLlmInference, runtime_image=text),
    api_version=text,
    min_scale=count,
    max_scale=count,
    cpu=cores,
    memory=size,
    args=tuples(text),
    env=variables,
    enable_gpu=flag,
    set_auth=flag,
)
oscar_options = BUILDS(
    OscarOptions,
    total_memory=st.none() | size,
    total_cpu=st.none() | cores,
    enable_sgx=flag,
    image_prefetch=flag,
    alpine=flag,
    synchronous=BUILDS(o.Synchronous, min_scale=count, max_scale=count),
    federation=st.none() | federation,
    image_pull_secrets=tuples(word),
    expose=st.none() | expose,
    annotations=labels,
    labels=labels,
    vo=tuples(text),
    interlink_node_name=text,
    visibility=st.sampled_from(["private", "restricted", "public"]),
    allowed_users=tuples(text),
    isolation_level=st.sampled_from(["SERVICE", "USER"]),
    mount=st.none() | anywhere,
    volume=st.none() | volume,
    kserve=st.none() | kserve,
)


@st.composite
def oscar_service(draw: st.DrawFn, name: str, cluster: str) -> Service:
    kinds = ("minio", "webdav", "rucio") if cluster else ("minio", "s3", "onedata")
    found = draw(placement)
    options = draw(oscar_options)
    return Service(
        name=name,
        origin="oscar" if cluster else "bridge",
        image=draw(word),
        resources=Resources(
            cpu=draw(cores),
            memory=draw(st.integers(6 * MIB, 2**45)),
            gpu=draw(st.integers(0, 1)),
            ephemeral_storage=draw(st.none() | size),
        ),
        pin=cluster,
        script=draw(word),
        inputs=draw(tuples(paths(*kinds))),
        outputs=draw(tuples(anywhere)),
        variables=draw(variables),
        secrets=draw(secrets),
        timeout=draw(st.none() | seconds),
        log_level=draw(st.sampled_from(LEVELS)),
        file_stage_in=draw(flag),
        arch=found.require.get("arch", "amd64"),
        placement=found,
        options=OscarOptions(
            **{
                **{slot: getattr(options, slot) for slot in OscarOptions.__slots__},
                "cluster_id": cluster,
            }
        ),
    )


function = BUILDS(
    o.LambdaOptions,
    region=st.sampled_from(["us-east-1", "eu-west-1"]),
    boto_profile=word,
    memory=st.integers(128, 10240),
    timeout=st.integers(1, 900),
    runtime=word,
    architectures=st.sampled_from([("x86_64",), ("arm64",)]),
    description=text,
    layers=tuples(word),
    environment=variables,
    init_script=word,
    run_script=text,
    c_args=tuples(text),
    extra_payload=text,
    preheat=flag,
    invocation_type=st.sampled_from(["RequestResponse", "Event", "DryRun"]),
    asynchronous=flag,
    log_type=st.sampled_from(["Tail", "None"]),
    vpc=free,
    file_system=tuples(free),
    deployment=BUILDS(o.DeploymentOptions, bucket=text, max_payload_size=count),
    container=BUILDS(
        o.ContainerOptions,
        image_file=text,
        alpine=flag,
        create_image=flag,
        timeout_threshold=count,
        extra_payload=text,
        init_script=text,
    ),
    supervisor=BUILDS(o.SupervisorOptions, version=text, layer_name=text, license_info=text),
    ephemeral_storage=st.none() | st.integers(512, 10240),
    reserved_concurrency=st.none() | count,
    retries=st.none() | st.integers(0, 2),
)
batch = BUILDS(
    o.BatchOptions,
    boto_profile=word,
    region=text,
    vcpus=st.integers(1, 64).map(Decimal),
    memory=st.integers(4, 10**6),
    enable_gpu=flag,
    state=st.sampled_from(["ENABLED", "DISABLED"]),
    type=st.sampled_from(["MANAGED", "UNMANAGED"]),
    environment=variables,
    service_role=text,
    multi_node_parallel=BUILDS(
        o.MultiNodeParallel, enabled=flag, number_nodes=st.integers(1, 9), main_node_index=count
    ),
    compute_resources=BUILDS(
        o.ComputeResources,
        type=st.sampled_from(["EC2", "SPOT"]),
        min_v_cpus=count,
        desired_v_cpus=count,
        max_v_cpus=count,
        instance_types=tuples(word),
        subnets=tuples(word),
        security_group_ids=tuples(word),
        instance_role=text,
        launch_template_name=text,
    ),
    retries=st.none() | st.integers(1, 10),
    timeout=st.none() | st.integers(60, 10**6).map(float),
    array=st.none() | st.integers(2, 10000),
)
gateway = BUILDS(o.ApiGatewayOptions, name=text, http_method=word, method=free, endpoint=text)
aws_options = BUILDS(
    AwsOptions,
    function=function,
    iam=BUILDS(o.IamOptions, boto_profile=word, role=text),
    api_gateway=st.none() | gateway,
    cloudwatch=BUILDS(
        o.CloudWatchOptions,
        region=text,
        log_retention_policy_in_days=st.sampled_from([1, 7, 30, 365]),
    ),
    batch=batch,
    s3=BUILDS(o.S3Options, region=text, event=free),
    ecr=BUILDS(o.EcrOptions, delete_image=flag),
)


@st.composite
def aws_service(draw: st.DrawFn, name: str) -> Service:
    options = draw(aws_options)
    mode = draw(st.sampled_from(["lambda", "lambda-batch", "batch"]))
    in_batch = mode == "batch"
    fun, job = options.function, options.batch
    storage = fun.ephemeral_storage
    resources = Resources(
        cpu=(Decimal(fun.memory) / 1769).quantize(Decimal("0.001")),
        memory=fun.memory * MIB,
        ephemeral_storage=None if storage is None else storage * MIB,
    )
    if in_batch:
        resources = Resources(job.vcpus, job.memory * MIB, int(job.enable_gpu))
    return Service(
        name=name,
        origin="aws",
        image=draw(word),
        resources=resources,
        pin="aws-batch" if in_batch else "aws-lambda",
        execution_mode=mode,
        script=fun.init_script,
        inputs=draw(tuples(paths("s3"))),
        outputs=draw(tuples(anywhere)),
        variables=draw(variables),
        secrets=draw(secrets),
        timeout=job.timeout if in_batch else float(fun.timeout),
        log_level=draw(st.sampled_from(LEVELS)),
        arch="arm64" if fun.architectures == ("arm64",) else "amd64",
        placement=draw(placement),
        options=options,
    )


PROVIDERS = {
    ProviderRef("minio", "p"): (("endpoint", "region"), ("access_key", "secret_key")),
    ProviderRef("s3", "p"): (("region",), ("access_key", "secret_key", "session_token")),
    ProviderRef("webdav", "p"): (("hostname",), ("login", "password")),
    ProviderRef("onedata", "p"): (("oneprovider_host", "space"), ("token",)),
    ProviderRef("rucio", "p"): (("host", "account", "rse"), ("refresh_token",)),
}


@st.composite
def providers(draw: st.DrawFn) -> dict[ProviderRef, StorageProvider]:
    found = {}
    for ref, (settings, credentials) in PROVIDERS.items():
        kept = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(settings, text)))
        hidden = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(credentials, secret)))
        found[ref] = StorageProvider(ref, kept, hidden)
    return found


@st.composite
def clusters(draw: st.DrawFn) -> dict[str, Cluster]:
    names = draw(st.lists(st.sampled_from(CLUSTERS), unique=True))
    return {
        name: Cluster(name, draw(text), draw(text), draw(st.none() | secret), draw(flag))
        for name in names
    }


box = BUILDS(
    TargetSpec,
    name=st.just("box"),
    kind=st.sampled_from(["kubernetes", "knative", "oscar", "lambda", "batch", "local"]),
    region=text,
    arch=st.sampled_from(["amd64", "arm64"]),
    gpu=count,
    cpu=st.none() | cores,
    memory=st.none() | size,
    slots=st.none() | st.integers(1, 100),
    cost_per_hour=usd,
    implied=st.just(False),
    settings=BUILDS(
        lambda a, b: {**a, **b}, free, st.fixed_dictionaries({}, optional={"token": secret})
    ),
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document with at least one service; its implied targets are left to the parser."""
    names = iter("abcdefgh")
    services: list[Service] = []
    for origin in draw(st.lists(ORIGINS, min_size=1, max_size=2).map(sorted)):
        name = f"svc-{next(names)}"
        if origin == "aws":
            services.append(draw(aws_service(name)))
        else:
            cluster = draw(st.sampled_from(CLUSTERS)) if origin == "oscar" else ""
            services.append(draw(oscar_service(name, cluster)))
    return Document(
        file="<fdl>",
        services=tuple(services),
        providers=draw(providers()),
        clusters=draw(clusters()),
        targets={"box": draw(box)},
    )
