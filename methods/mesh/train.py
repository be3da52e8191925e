# SPDX-License-Identifier: MIT
"""The recipe of `mesh`: nothing but the face model, which every portrait's mesh is fitted with."""

from collections.abc import Sequence

from training import face_model


def main(arguments: Sequence[str] | None = None) -> None:
    face_model.main(arguments)


if __name__ == "__main__":
    main()
