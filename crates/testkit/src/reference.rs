//! The schema of LiteLLM's database, as its own package makes it.
//!
//! Used by the tests of the store and of the gateway. Always true: the package is downloaded once into the directory of the build,
//! and no part of it is in the repository. Without a network and without the package these tests cannot run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::Postgres;

/// The package and its version.
const PACKAGE: &str = "litellm-proxy-extras==0.4.108";

/// The folder with a folder for each migration.
fn migrations() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/litellm-proxy-extras");
        let found = build.join("litellm_proxy_extras/migrations");
        if !found.exists() {
            // Another process may do the same: each has a folder of its own until it is whole.
            let own = build.with_extension(std::process::id().to_string());
            let run = |program: &str, arguments: &[&str]| {
                let ran = Command::new(program).args(arguments).output().expect("it can be run");
                let said = String::from_utf8_lossy(&ran.stderr);
                assert!(ran.status.success(), "{program} {arguments:?}: {said}");
            };
            let folder = own.display().to_string();
            run(
                "pip",
                &["download", "-q", "--no-deps", "--only-binary", ":all:", "-d", &folder, PACKAGE],
            );
            let files = fs::read_dir(&own).expect("it was just made");
            for file in files.flatten().map(|file| file.path().display().to_string()) {
                run("python3", &["-m", "zipfile", "-e", &file, &folder]);
            }
            if fs::rename(&own, &build).is_err() {
                drop(fs::remove_dir_all(&own));
            }
        }
        found
    })
}

impl Postgres {
    /// Applies LiteLLM's migrations to the database at `url`, those whose names sort before `until`. Returns how many.
    pub fn apply_reference_migrations(&self, url: &str, until: &str) -> usize {
        let folders = fs::read_dir(migrations()).expect("the package has migrations").flatten();
        let mut files: Vec<PathBuf> = folders.map(|one| one.path().join("migration.sql")).collect();
        files.retain(|file| {
            let name = file.parent().and_then(Path::file_name).unwrap_or_default();
            file.exists() && name.to_string_lossy().as_ref() < until
        });
        files.sort();
        let all = self.work_file("migrations.sql");
        let texts = files.iter().map(|file| fs::read_to_string(file).expect("it can be read"));
        fs::write(&all, texts.collect::<Vec<_>>().join("\n;\n")).expect("its own folder");
        self.sql_file(url, &all);
        files.len()
    }
}
