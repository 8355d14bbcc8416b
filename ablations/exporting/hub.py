"""Uploads an exported network to the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

from ablations.config import ConfigError


def upload(folder: Path, files: Sequence[str], name: str) -> str:
    """Upload files as one commit of a model repository, which is created if it does not exist.

    Args:
        folder: Where the files are.
        files: Their names; others in the folder stay here.
        name: ``OWNER/NAME``.

    Returns:
        The address of the repository.

    Raises:
        ConfigError: The hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        api = HfApi()
        address = api.create_repo(name, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=list(files))
    except Exception as error:  # of huggingface_hub and httpx; no network is only one of many
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(
            f"--to-hub {name}: the upload failed ({said}); the files are in {folder}; next step: "
            "check the name, OWNER/NAME, and the network, and log in with `hf auth login` with a "
            "token that may write"
        ) from None
    return str(address)
