use std::fs;
use std::path::PathBuf;

use rustls::pki_types::PrivateKeyDer;

use super::*;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls").join(name)
}

fn files(certificate: &str, key: &str, password: Option<&str>) -> TlsFiles {
    let path = |name| testdata(name).display().to_string();
    TlsFiles { certificate: path(certificate), key: path(key), password: password.map(Secret::new) }
}

fn problem(files: TlsFiles) -> String {
    let problem = ClientTls::load(files).err().unwrap();
    problem.replace(&format!("{}/", testdata("").display().to_string().trim_end_matches('/')), "")
}

#[test]
fn a_pair_is_loaded_from_one_file_or_two_and_from_encrypted_keys() {
    assert!(ClientTls::load(files("good.pem", "good.pem", None)).is_ok());
    assert!(ClientTls::load(files("good.pem", "good.pem", Some("unused"))).is_ok());
    let plain = PrivateKeyDer::from_pem_file(testdata("good.pem")).unwrap();
    for key in ["aes256-sha256", "aes192-sha512", "aes128-sha1"] {
        let name = format!("encrypted-{key}.pem");
        let read = files("good.pem", &name, Some("secret"));
        assert_eq!(read.private_key(&fs::read(&read.key).unwrap()).as_ref(), Ok(&plain), "{key}");
        assert!(ClientTls::load(read).is_ok(), "{key}");
    }
}

#[test]
fn what_is_wrong_with_the_files_is_named_with_the_fix() {
    for (certificate, key, password, part) in [
        ("good.pem", "expired.pem", None, "good.pem and expired.pem do not make a pair"),
        ("good.pem", "root.pem", None, "root.pem has no private key; name the PEM file"),
        ("encrypted-scrypt.pem", "good.pem", None, "encrypted-scrypt.pem has no certificate; name"),
        ("encrypted-older.pem", "good.pem", None, "encrypted-older.pem is no PEM file"),
        ("nothing.pem", "good.pem", None, "nothing.pem cannot be read: there is no"),
        ("good.pem", "nothing.pem", None, "nothing.pem cannot be read: there is no"),
        ("good.pem", "encrypted-aes256-sha256.pem", None, "is encrypted; give its password by"),
        (
            "good.pem",
            "encrypted-aes256-sha256.pem",
            Some("wrong"),
            "its password is wrong; correct",
        ),
        ("good.pem", "encrypted-scrypt.pem", Some("secret"), "convert it: openssl pkcs8 -topk8"),
        ("good.pem", "encrypted-older.pem", Some("secret"), "convert it: openssl pkcs8 -topk8"),
    ] {
        let problem = problem(files(certificate, key, password));
        assert!(problem.contains(part), "{certificate} {key}: {problem}");
    }
}

#[test]
fn an_encrypted_key_that_is_cut_or_changed_anywhere_never_panics() {
    let file = fs::read(testdata("encrypted-aes256-sha256.pem")).unwrap();
    let whole = encrypted_key::section(&file).unwrap().unwrap();
    for at in 0..whole.len().min(120) {
        assert!(encrypted_key::decrypt(&whole[..at], "secret").is_err(), "cut at {at}");
        let mut changed = whole.clone();
        changed[at] ^= 0x80;
        drop(encrypted_key::decrypt(&changed, "secret"));
    }
}

#[test]
fn changed_files_are_used_and_a_pair_that_is_broken_changes_nothing() {
    let folder = std::env::temp_dir().join(format!("hale-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pair.pem");
    let put = |name: &str| fs::copy(testdata(name), &path).unwrap();
    let own = path.display().to_string();
    put("good.pem");
    let tls =
        ClientTls::load(TlsFiles { certificate: own.clone(), key: own, password: None }).unwrap();
    let first = tls.config.load_full();
    tls.reload_if_changed();
    assert!(Arc::ptr_eq(&first, &tls.config.load_full()), "an unchanged file is not loaded again");
    for broken in ["root.pem", "encrypted-older.pem"] {
        put(broken);
        tls.reload_if_changed();
        assert!(Arc::ptr_eq(&first, &tls.config.load_full()), "{broken}");
    }
    fs::remove_file(&path).unwrap();
    tls.reload_if_changed();
    put("elsewhere.pem");
    tls.reload_if_changed();
    assert!(!Arc::ptr_eq(&first, &tls.config.load_full()));
    fs::remove_dir_all(&folder).unwrap();
}
