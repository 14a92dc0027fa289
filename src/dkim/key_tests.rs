//! Keys of every kind that people have, good and bad.

use super::*;
use crate::dkim::{fake, record::KeyRecord};

const PKCS8_EC: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrg8RVZTwivbfMJ//
9qZ/ymbFTYVEo59OktwGLOHbV5uhRANCAARKSywAz6XMVJMoX3/62t1Cb8iU+6uh
UsUtMAFg3rbO2QX7AIDcqGytL7w7X6fhpMh3SF5AhglrwNIugk4VcHvs
-----END PRIVATE KEY-----
";
const PKCS8_X25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIAAUj2AK99RhRQ7Oy4uLSGdN3U/kH51EyxeoCvYAPT9c
-----END PRIVATE KEY-----
";
const EC_WITH_PARAMETERS: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIEXJrBSrNcdukU5f7lNEVxy38RlV3iOVwvLEHqD9YP8PoAoGCCqGSM49
AwEHoUQDQgAEzcmtFJgtSJERh2+FpZ9+6DSmNvoSz8Npp5sQbLSYh4VE3jyH6djz
p0W1LAk8yXO4UnlHzp/hY/m4llte+VFMHw==
-----END EC PRIVATE KEY-----
";
const RSA_768: &str = "-----BEGIN RSA PRIVATE KEY-----
MIIByQIBAAJhAKfajmXKzvaUMwaiv65W6WSWJjRtFcfYe69ZNmIcaASGo1GkV+gu
3T7fl+vcT+n3x+GN2sjVuFGAO3LfdmCHAYU+jZ+yvfAkSjb81S2gRUJ5+o7iR7ov
Zlf1G/ArZmJgeQIDAQABAmATnHRwri5aHtyLVO6CRwNDzksuauRVkhR5WzoAYoNA
rB5exo3Cwd71npgYZYgstNdEK46CG/IDHmGpDjkZgi+8aARc1WIt5qhFzkDwqopS
r5I2d7D/a/peTNOX1OLMLBUCMQDV8R4CNJXvazBpyTNa8+/nl3prjYxM6XaLyT5z
EJkIXp3A89Jiwonpy83FN1fGAscCMQDI2f+NvnOOs+SSiSrbvVqdXCiKC1lyhc/x
MY7OxbwqzEMo36pL26qjey/9IiyZQr8CMGsI2s6XqHvD0NDcDIlwiZIAQwsUIiFI
nDqLUGcY4rdBPwON+K/YTE9f227TpWI3eQIwQb9CrVaTozn175XhJq80U2CQkKeo
bxmoeQ687ajCsMvOjDmzGEPe9sbjbZxbNwwnAjBwGbH1bjpQb+f1RFa7T2qr0TVa
sdCpcvJvtepZ71j5zA9DEG4E8qex7ZEVpzW6weM=
-----END RSA PRIVATE KEY-----
";
const OLD_ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,74837A6F5FFDFFFC37F98E71C144AF66

2NlPgjlGB0CUZwxG0pH+Y7c5EXnVYzauFx4pXxRStTBZdNrvjmA2tz+g1bRHPi5H
-----END RSA PRIVATE KEY-----
";

fn fault(pem: &str) -> KeyFault {
    SigningKey::from_pem(pem.as_bytes()).expect_err("a fault")
}

#[test]
fn keys_of_the_standard_are_read_and_print_their_records() {
    let rsa = SigningKey::from_pem(fake::RFC8463_RSA.as_bytes()).expect("PKCS#1");
    assert_eq!((rsa.algorithm(), rsa.bits(), rsa.is_weak()), (Algorithm::RsaSha256, 1024, true));
    assert_eq!(rsa.record(), fake::RFC8463_RSA_RECORD);
    let ed25519 = fake::ed25519();
    assert_eq!((ed25519.algorithm(), ed25519.bits(), ed25519.is_weak()), (Algorithm::Ed25519Sha256, 256, false));
    assert_eq!(ed25519.record(), fake::RFC8463_ED25519_RECORD);
}

#[test]
fn the_first_private_key_of_a_file_counts_whatever_stands_around_it() {
    let other = "Bag Attributes\r\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let file = format!("{other}{}{}", fake::RFC8463_ED25519, fake::RFC8463_RSA).replace('\n', "\r\n");
    let key = SigningKey::from_pem(file.as_bytes()).expect("a key");
    assert_eq!(key.record(), fake::RFC8463_ED25519_RECORD);
}

#[test]
fn new_keys_are_read_again_and_sign() {
    for (algorithm, bits) in [(Algorithm::RsaSha256, 2048), (Algorithm::Ed25519Sha256, 256)] {
        let (key, pkcs8) = SigningKey::generate(algorithm, bits).expect("a key");
        assert_eq!((key.algorithm(), key.bits(), key.is_weak()), (algorithm, bits, false));
        let pem = SigningKey::pem_of(pkcs8.reveal());
        assert!(pem.reveal().lines().all(|line| line.len() <= 64));
        let again = SigningKey::from_pem(pem.reveal().as_bytes()).expect("its own PEM");
        assert_eq!(again.record(), key.record());
        assert!(KeyRecord::parse(&key.record()).expect("a record").matches(&again));
    }
    for bits in [0, 1024, 2047, 8192] {
        assert_eq!(SigningKey::generate(Algorithm::RsaSha256, bits).expect_err("no key"), KeyFault::NoSuchSize(bits));
    }
}

#[test]
fn every_kind_of_key_signs_what_its_public_half_verifies_and_nothing_else() {
    use aws_lc_rs::digest::{SHA256, digest};
    let small = SigningKey::from_pem(fake::RFC8463_RSA.as_bytes()).expect("a key");
    for key in [&small, &fake::rsa(), &fake::ed25519()] {
        let (one, two) = (digest(&SHA256, b"one"), digest(&SHA256, b"two"));
        let signature = key.sign(&one).expect("a signature");
        assert_eq!(key.sign(&one), Some(signature.clone()), "deterministic: {key:?}");
        assert!(key.public().verifies(&one, &signature));
        assert!(!key.public().verifies(&two, &signature));
        assert!(!key.public().verifies(&one, &signature[1..]));
    }
}

#[test]
fn what_cannot_sign_is_named_and_says_how_to_mend_it() {
    let key = fake::RFC8463_RSA;
    let label = "RSA PRIVATE KEY".to_owned();
    for (pem, expected) in [
        ("", KeyFault::NoPem),
        ("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=", KeyFault::NoPem),
        (&key[..300], KeyFault::Cut(label.clone())),
        (&key.replace("MIICXQ", "MII*XQ"), KeyFault::NotBase64(label)),
        (&key.replace("MIICXQ", "MIICXR"), KeyFault::Broken("RSA")),
        // Another private exponent: it would sign, and nobody could verify it.
        (&key.replace("AoGAH0cx", "AoGAH0cy"), KeyFault::Broken("RSA")),
        (OLD_ENCRYPTED, KeyFault::Encrypted),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA\n-----END ENCRYPTED PRIVATE KEY-----\n", KeyFault::Encrypted),
        ("-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----", KeyFault::Other("PUBLIC KEY".to_owned())),
        (EC_WITH_PARAMETERS, KeyFault::Other("EC PARAMETERS".to_owned())),
        (PKCS8_EC, KeyFault::Algorithm("ECDSA (elliptic curves of NIST)")),
        (PKCS8_X25519, KeyFault::Algorithm("X25519 (which agrees on keys and signs nothing)")),
        (RSA_768, KeyFault::TooSmall(768)),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", KeyFault::Broken("private")),
    ] {
        assert_eq!(fault(pem), expected, "{pem}");
    }
    let n = [&[0x00][..], &[0xff; 513]].concat();
    let inner = [&[2, 1, 0, 2, 0x82, 2, 2][..], &n, &[2, 1, 3, 2, 1, 3]].concat();
    let der = [&[0x30, 0x82, (inner.len() >> 8) as u8, inner.len() as u8][..], &inner].concat();
    assert_eq!(SigningKey::from_pkcs1(&der).expect_err("too large"), KeyFault::TooLarge(4104));
}

#[test]
fn a_key_is_never_printed() {
    let shown =
        format!("{:?} {:?}", fake::ed25519(), SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key"));
    assert!(shown.starts_with("SigningKey(ed25519 256 bits "), "{shown}");
    assert!(shown.ends_with("(hidden))") && !shown.contains("nWGx"), "{shown}");
    for text in [fake::RFC8463_RSA.replace("AoGAH0cx", "AoGAH0cy"), fake::RFC8463_RSA.replace("MIICXQ", "MII*XQ")] {
        assert!(!fault(&text).to_string().contains("H0c"));
    }
}
