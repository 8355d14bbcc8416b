"""Asks W&B once for a command whether it answers, so that no run has to wait for it."""

import base64
import json
import netrc
import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import urlsplit

from ablations.config import Job, LoggerKind

PUBLIC_SERVER = "https://api.wandb.ai"
TIMEOUT_SECONDS = 5

_VIEWER = {"operationName": "Viewer", "query": "query Viewer { viewer { username } }"}


def settle_wandb(jobs: Iterable[Job]) -> str | None:
    """Let the runs of this command log offline where W&B does not answer or refuses.

    It asks without the client, which is slow to import and patient with a server that is away.

    Returns:
        What the user should know; none where W&B answers, or is not asked for.
    """
    wanted = any(job.logger.kind is LoggerKind.wandb and not job.fast_dev_run for job in jobs)
    if not wanted or os.environ.get("WANDB_MODE", "online") != "online":
        return None
    server = os.environ.get("WANDB_BASE_URL", PUBLIC_SERVER).rstrip("/")
    key = os.environ.get("WANDB_API_KEY") or _saved_key(server)
    if not key or not (reason := _refusal(server, key)):
        return None
    os.environ["WANDB_MODE"] = "offline"  # the runs inherit it
    return (
        f"{server} {reason}: the runs log offline; once it does, send them with "
        "`python ablations/dashboard.py --sync`"
    )


def _saved_key(server: str) -> str | None:
    """What ``wandb login`` wrote to ``~/.netrc``."""
    try:
        found = netrc.netrc().authenticators(urlsplit(server).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def _refusal(server: str, key: str) -> str | None:
    token = base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{server}/graphql", json.dumps(_VIEWER).encode(), headers)
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT_SECONDS) as answer:
            viewer = json.load(answer)["data"]["viewer"]
    except urllib.error.HTTPError as error:
        return f"does not accept the runs ({error.code} {error.reason})"
    except (OSError, ValueError, KeyError, TypeError):
        return "does not answer"
    return None if viewer else "does not accept this API key"
