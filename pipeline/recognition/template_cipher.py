"""Templates at rest under a passphrase: AES-256-GCM with a key from scrypt, through the library `cryptography`."""

import os

from engine.errors import UserError

SALT_BYTES = 16
_NONCE_BYTES = 12
_CHECK = b"templates of this gallery"


class PassphraseError(UserError):
    """A passphrase that is missing, needless or wrong."""


class TemplateCipher:
    """Encrypts embeddings so that each opens only with the passphrase and only beside its own name.

    Args:
        passphrase: Any text.
        salt: 16 random bytes, kept with the gallery.

    Raises:
        PassphraseError: The extra `secure` is not installed.
    """

    def __init__(self, passphrase: str, salt: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
        except ImportError:
            raise PassphraseError("a passphrase needs the package cryptography; install the extra `secure`") from None
        key = Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode())
        self._cipher = AESGCM(key)

    def seal(self, template: bytes, beside: str) -> bytes:
        """Encrypt; `beside` is authenticated with it, so that templates cannot be swapped between people."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, template, beside.encode())

    def unseal(self, sealed: bytes, beside: str) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            PassphraseError: Another passphrase, another name, or damaged bytes.
        """
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], beside.encode())
        except InvalidTag:
            raise PassphraseError(f"the template of {beside!r} does not open: wrong passphrase, or damaged") from None

    def proof(self) -> bytes:
        """Return bytes that `recognises` accepts under the same passphrase only."""
        return self.seal(_CHECK, "proof")

    def recognises(self, proof: bytes) -> bool:
        """Tell whether the passphrase is the one that made `proof`."""
        try:
            return self.unseal(proof, "proof") == _CHECK
        except PassphraseError:
            return False
