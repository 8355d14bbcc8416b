"""Upload an exported network to the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path

from ablations.config import ConfigError


def upload(folder: Path, files: Sequence[str], name: str) -> str:
    """Upload files as one commit of a model repository, which is created if it does not exist.

    Args:
        folder: Folder of the files.
        files: Names of the files to upload.
        name: ``OWNER/NAME``.

    Returns:
        The URL of the repository.

    Raises:
        ConfigError: The upload failed.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        api = HfApi()
        address = api.create_repo(name, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=list(files))
    except Exception as error:  # huggingface_hub and httpx raise many types
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(
            f"--to-hub {name}: the upload failed ({said}); the files are in {folder}; next step: "
            "check the name, OWNER/NAME, and the network, and log in by `hf auth login` with a "
            "token that can write"
        ) from None
    return str(address)
