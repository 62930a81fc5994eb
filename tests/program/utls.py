"""Handshakes of uTLS with groups and key shares in every order."""

import itertools
import sys

import tls_client

GROUPS = {"X25519MLKEM768": 4588, "X25519": 29, "P256": 23, "P384": 24}
# As uTLS sends them when it imitates a randomized browser, and one more.
SHARES = [["X25519"], ["X25519", "P256"], ["X25519MLKEM768", "X25519"], ["P256"]]
CIPHERS = "4865-4866-4867-49195-49199-52393"
EXTENSIONS = "0-23-65281-10-11-35-16-5-13-18-51-45-43-27"


def get(url, groups, shares):
    curves = "-".join(str(GROUPS[group]) for group in groups)
    session = tls_client.Session(
        client_identifier=None,
        ja3_string=f"771,{CIPHERS},{EXTENSIONS},{curves},0",
        key_share_curves=shares,
        supported_versions=["1.3", "1.2"],
        supported_signature_algorithms=["ECDSAWithP256AndSHA256", "PSSWithSHA256"],
        h2_settings={"INITIAL_WINDOW_SIZE": 6291456},
        h2_settings_order=["INITIAL_WINDOW_SIZE"],
        connection_flow=15663105,
        cert_compression_algo="brotli",
        pseudo_header_order=[":method", ":authority", ":scheme", ":path"],
    )
    return session.get(url, insecure_skip_verify=True, timeout_seconds=30).status_code


def main():
    handshakes = 0
    for groups in itertools.permutations(GROUPS):
        for shares in SHARES:
            try:
                status = get(sys.argv[1], groups, shares)
            except tls_client.exceptions.TLSClientException as error:
                sys.exit(f"groups {groups}, shares {shares}: {error}")
            assert status == 200, status
            handshakes += 1
    print(handshakes)


main()
