#!/usr/bin/env python3
"""Asks a running Longshore with AWS's own client, and holds its answers against AWS's own model of ECS.

    pip install botocore
    scripts/check-aws-client.py SOCKET

botocore speaks TCP only, so a forwarder stands between it and the unix socket. botocore's parser passes over what it does
not know; so the raw answers are checked too, member by member: known, and of the model's type. Optional: no test needs it,
but `LONGSHORE_AWS_CLIENT=scripts/check-aws-client.py cargo nextest run --test api aws` runs it on a filled server.
"""

import json
import socket
import sys
import threading

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError


def forward(path):
    """Listens on a free TCP port and carries each connection to the socket at `path`; returns the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def carry(source, target):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def accept():
        while True:
            near, _ = server.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(path)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


NUMBERS = {"integer", "long", "float", "double", "timestamp"}


def check(shape, value, at, problems):
    """Whether `value` is what `shape` says."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            problems.append(f"{at}: not an object")
            return
        for name, member in value.items():
            if name not in shape.members:
                problems.append(f"{at}.{name}: {shape.name} has no such member")
            else:
                check(shape.members[name], member, f"{at}.{name}", problems)
    elif kind == "list":
        if not isinstance(value, list):
            problems.append(f"{at}: not a list")
            return
        for index, item in enumerate(value):
            check(shape.member, item, f"{at}[{index}]", problems)
    elif kind == "map":
        for name, item in value.items():
            check(shape.value, item, f"{at}.{name}", problems)
    elif kind == "string":
        enum = getattr(shape, "enum", [])
        if not isinstance(value, str):
            problems.append(f"{at}: {value!r} is no string")
        elif enum and value not in enum:
            problems.append(f"{at}: {value!r} is none of {enum}")
    elif kind == "boolean" and not isinstance(value, bool):
        problems.append(f"{at}: {value!r} is no boolean")
    elif kind in NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
        problems.append(f"{at}: {value!r} is no number")
    elif kind in ("integer", "long") and not isinstance(value, int):
        problems.append(f"{at}: {value!r} is not whole")


def main(path):
    session = botocore.session.get_session()
    session.set_credentials("test", "test")
    client = session.create_client(
        "ecs",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{forward(path)}",
        config=Config(retries={"max_attempts": 0}),
    )
    problems, done, raw = [], [], {}
    client.meta.events.register(
        "before-parse.ecs.*",
        lambda response_dict, operation_model, **_: raw.update(
            body=response_dict["body"], model=operation_model
        ),
    )

    def ask(operation, **arguments):
        answer = getattr(client, operation)(**arguments)
        shape = raw["model"].output_shape
        check(shape, json.loads(raw["body"]), raw["model"].name, problems)
        done.append(raw["model"].name)
        return answer

    def refused(operation, expected, **arguments):
        try:
            getattr(client, operation)(**arguments)
            problems.append(f"{operation}: was not refused")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code != expected:
                problems.append(f"{operation}: {code}, not {expected}")
            done.append(f"{operation} refused ({code})")

    clusters = ask("list_clusters")["clusterArns"]
    ask("describe_clusters", clusters=clusters, include=["TAGS", "STATISTICS", "SETTINGS"])
    for family in ask("list_task_definition_families")["families"]:
        ask("describe_task_definition", taskDefinition=family, include=["TAGS"])
    for arn in ask("list_task_definitions")["taskDefinitionArns"]:
        ask("list_tags_for_resource", resourceArn=arn)
    for cluster in clusters:
        services = [
            arn
            for page in client.get_paginator("list_services").paginate(
                cluster=cluster, PaginationConfig={"PageSize": 1}
            )
            for arn in page["serviceArns"]
        ]
        done.append(f"ListServices in {len(services)} pages")
        if services:
            ask("describe_services", cluster=cluster, services=services[:10], include=["TAGS"])
        for service in services:
            ask("list_tags_for_resource", resourceArn=service)
            deployments = ask("list_service_deployments", service=service, cluster=cluster)
            arns = [d["serviceDeploymentArn"] for d in deployments["serviceDeployments"]]
            if arns:
                ask("describe_service_deployments", serviceDeploymentArns=arns)
        for wanted in ("RUNNING", "STOPPED"):
            tasks = ask("list_tasks", cluster=cluster, desiredStatus=wanted)["taskArns"]
            if tasks:
                ask("describe_tasks", cluster=cluster, tasks=tasks, include=["TAGS"])
        instances = ask("list_container_instances", cluster=cluster)["containerInstanceArns"]
        if instances:
            ask("describe_container_instances", cluster=cluster, containerInstances=instances, include=["TAGS"])
    refused("list_services", "ClusterNotFoundException", cluster="no-such-cluster")
    refused("list_tasks", "ServiceNotFoundException", serviceName="no-such-service")
    refused("describe_task_definition", "ClientException", taskDefinition="no-such-family")
    refused("update_service", "UnsupportedFeatureException", service="web", desiredCount=1)
    refused("describe_services", "InvalidParameterException", services=[])
    refused("list_attributes", "UnsupportedFeatureException", targetType="container-instance")

    print("\n".join(done))
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main(sys.argv[1])
