"""Accounts and users for tests of access: made by the command, known by their clients."""

import json
import subprocess
import time

import boto3
import botocore
import botocore.config
import botocore.exceptions

import gateway as gateway_module


class Person:
    """An account's root, or a user of one, with a client."""

    def __init__(self, gateway, name, account=None):
        self.gateway, self.name, self.account = gateway, name, account or name
        within = ["--account", account] if account else []
        made = self._command("user", "add", name, *within)
        found = dict(line.split("=", 1) for line in made.splitlines() if line.startswith("AWS_"))
        self.client = client(
            gateway,
            aws_access_key_id=found["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
        )
        shown = self._command("user", "show", self.account)
        facts = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
        self.number, self.id = facts["number"], facts["canonical id"]
        self.arn = f"arn:aws:iam::{self.number}:" + (f"user/{name}" if account else "root")

    def _command(self, *arguments):
        command = [gateway_module.binary(), *arguments, "--data", str(self.gateway.folder / "data")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def allow(self, *statements, name="all"):
        """Gives the user a policy of these statements."""
        file = self.gateway.folder / f"{self.name}.json"
        file.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        self._command("policy", "put", name, "--account", self.account, "--user", self.name, "--file", str(file))

    def wait(self):
        """Until the server knows the key."""
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client.list_buckets()
                return self
            except botocore.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "InvalidAccessKeyId" or time.monotonic() > deadline:
                    if error.response["Error"]["Code"] == "AccessDenied":
                        return self
                    raise
            time.sleep(0.1)


def client(gateway, **more):
    """A client in path style that never retries; unsigned where no key is given."""
    config = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}}
    config["signature_version"] = "s3v4" if more else botocore.UNSIGNED
    return boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(**config),
        **more,
    )


def policy(*statements):
    """A policy's text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
