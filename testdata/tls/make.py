"""Makes the certificates of this directory: good and bad ones for `crates/gateway/tests/it/hostile_tls.rs`.

`encrypted-*.pem` are the key of `good.pem` with the password `secret`, made with `openssl pkcs8 -topk8 -v2 CIPHER -v2prf HMAC`, with
`-scrypt`, and with `openssl ec -aes256` (`older`).

Run by hand, only when they must change: `.venv/bin/python testdata/tls/make.py`. The keys protect nothing.
"""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = Path(__file__).parent
LONG_AGO = datetime.datetime(2020, 1, 1)
LATER = datetime.datetime(2021, 1, 1)
FAR_OFF = datetime.datetime(2120, 1, 1)
FARTHER = datetime.datetime(2121, 1, 1)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, key, issuer, issuer_key, begins, ends, *, names=(), purpose=None, authority=False):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    if purpose:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def write(file, *parts):
    text = b""
    for part in parts:
        if isinstance(part, x509.Certificate):
            text += part.public_bytes(serialization.Encoding.PEM)
        else:
            text += part.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
    (HERE / file).write_bytes(text)


def main():
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("Test root", root_key, "Test root", root_key, LONG_AGO, FARTHER, authority=True)
    write("root.pem", root)
    here = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    elsewhere = (x509.DNSName("elsewhere.example"),)
    server = ExtendedKeyUsageOID.SERVER_AUTH
    leaves = {
        "good": (LONG_AGO, FARTHER, here, server),
        "expired": (LONG_AGO, LATER, here, server),
        "early": (FAR_OFF, FARTHER, here, server),
        "elsewhere": (LONG_AGO, FARTHER, elsewhere, server),
        "client": (LONG_AGO, FARTHER, here, ExtendedKeyUsageOID.CLIENT_AUTH),
    }
    for file, (begins, ends, names, purpose) in leaves.items():
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = certificate(file, key, "Test root", root_key, begins, ends, names=names, purpose=purpose)
        write(f"{file}.pem", leaf, key)
    key = ec.generate_private_key(ec.SECP256R1())
    alone = certificate("alone", key, "alone", key, LONG_AGO, FARTHER, names=here, purpose=server)
    write("self-signed.pem", alone, key)


main()
