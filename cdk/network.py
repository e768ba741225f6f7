"""The network that Batch's machines are in: found, or made with the least that it needs."""

from __future__ import annotations

from typing import Final

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk.acknowledge import acknowledge
from cdk.facts import Facts
from cdk.names import Base

__all__ = ["Network"]

_BLOCK: Final = "10.83.0.0/16"
_BLOCKS: Final = ("10.83.0.0/20", "10.83.16.0/20")
_EVERYWHERE: Final = "0.0.0.0/0"


class Network(Construct):
    """VPC and subnets of jobs, with a security group that lets nothing in.

    What the facts do not find is made: two public subnets and a way to S3 that costs nothing. There
    is no NAT gateway, which would cost money also when nothing runs.
    """

    def __init__(self, scope: Construct, id: str, *, base: Base, facts: Facts) -> None:
        super().__init__(scope, id)
        self.vpc = facts.vpc or self._make_vpc(base)
        self.subnets = list(facts.subnets) if facts.vpc else self._make_subnets(base)
        group = ec2.CfnSecurityGroup(
            self,
            "Jobs",
            group_description=f"Batch jobs of {base.prefix}: nothing comes in",
            vpc_id=self.vpc,
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="-1",
                    cidr_ip=_EVERYWHERE,
                    description="Images, storage and whatever scripts ask",
                )
            ],
        )
        self.security_group = group.attr_group_id

    def _make_vpc(self, base: Base) -> str:
        vpc = ec2.CfnVPC(
            self, "Vpc", cidr_block=_BLOCK, enable_dns_hostnames=True, enable_dns_support=True
        )
        acknowledge(vpc, {"VPC7": "Flow logs cost more than the jobs; nothing can come in"})
        return str(vpc.ref)

    def _make_subnets(self, base: Base) -> list[str]:
        gateway = ec2.CfnInternetGateway(self, "Gateway")
        attached = ec2.CfnVPCGatewayAttachment(
            self, "Attachment", vpc_id=self.vpc, internet_gateway_id=gateway.ref
        )
        table = ec2.CfnRouteTable(self, "Routes", vpc_id=self.vpc)
        out = ec2.CfnRoute(
            self,
            "Out",
            route_table_id=table.ref,
            destination_cidr_block=_EVERYWHERE,
            gateway_id=gateway.ref,
        )
        out.add_resource_dependency(attached)
        ec2.CfnVPCEndpoint(
            self,
            "S3",
            vpc_id=self.vpc,
            service_name=f"com.amazonaws.{base.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.ref],
        )
        return [self._make_subnet(n, block, table) for n, block in enumerate(_BLOCKS)]

    def _make_subnet(self, number: int, block: str, table: ec2.CfnRouteTable) -> str:
        subnet = ec2.CfnSubnet(
            self,
            f"Subnet{number + 1}",
            vpc_id=self.vpc,
            cidr_block=block,
            availability_zone=Fn.select(number, Fn.get_azs()),
            map_public_ip_on_launch=True,
        )
        ec2.CfnSubnetRouteTableAssociation(
            self, f"Routes{number + 1}", subnet_id=subnet.ref, route_table_id=table.ref
        )
        return str(subnet.ref)
