"""Why a weights file is refused.

UserError
├── WeightsError               a weights file that cannot be loaded whole
│   ├── WeightsNotFoundError   no such file, nor such a name in the search path
│   ├── NotWeightsError        empty, text, a web page, a Git LFS pointer, a folder, another format
│   ├── DamagedError           cut short, altered, or claiming sizes that it does not hold
│   ├── UnsafeError            would have to run code of its own to load
│   ├── OtherNetworkError      whole, but not an EdgeFace
│   ├── MismatchError          tensors missing, unexpected or of another shape; another architecture than asked for
│   ├── ValuesError            NaN, infinite or zero weights, or embeddings that do not depend on the face
│   ├── AdapterError           an adapter that is broken or made for other weights
│   └── HubError               a model hub that did not deliver
└── FacesError                 faces of the wrong type, shape or range
"""

from engine.errors import UserError


class WeightsError(UserError):
    """A weights file that cannot be loaded whole, and so is not loaded at all."""


class WeightsNotFoundError(WeightsError):
    """No such file, and no such name in the search path."""


class NotWeightsError(WeightsError):
    """The file holds no weights: empty, text, a web page, a Git LFS pointer, a folder, another format."""


class DamagedError(WeightsError):
    """The file is cut short, was altered, or claims sizes that it does not hold."""


class UnsafeError(WeightsError):
    """Loading the file would run code that it brings along; none of it was run."""


class OtherNetworkError(WeightsError):
    """The weights belong to another network than EdgeFace."""


class MismatchError(WeightsError):
    """Tensors are missing, unexpected or of another shape, or the architecture is not the one asked for."""


class ValuesError(WeightsError):
    """The numbers cannot be a trained network's: NaN, infinite, zero, or blind to the face."""


class AdapterError(WeightsError):
    """An adapter that is broken, or made for other weights than these."""


class HubError(WeightsError):
    """A model hub that cannot be reached or does not hold what was asked for."""


class FacesError(UserError):
    """Faces of the wrong type, shape or range."""
