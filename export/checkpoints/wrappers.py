# SPDX-License-Identifier: MIT
"""Takes off what wrappers put into the names of tensors.

DataParallel writes `module.`, torch.compile `_orig_mod.`; a part that was wrapped has it in the middle, as in
`encoder.module.body`, and one that was wrapped twice has both.
"""

from typing import Any

from export.checkpoints.tensors import stored_array

WRAPPERS = {"module", "_orig_mod"}
LEVELS = 2  # of dictionaries that state dicts lie in


def unwrapped(root: Any, levels: int = LEVELS) -> Any:
    """The same with the names of tensors as they were before wrapping; nothing else is changed."""
    if not isinstance(root, dict) or not levels:
        return root
    names = {name: _plain(name) if stored_array(value) is not None else name for name, value in root.items()}
    if len(set(names.values())) < len(names):  # one name for two tensors: these are no wrappers
        names = {name: name for name in root}
    return {names[name]: unwrapped(value, levels - 1) for name, value in root.items()}


def _plain(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
