//! A redis-server of a test's own.
//!
//! Used by the tests of replicas and of the cache. Always true: it listens on a socket in a directory of its own, and on a
//! port only when it is told to; it ends with the test, also when it was stopped.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use crate::{TIMEOUT, TempDir};

/// What it says when it takes connections at its socket, after it has said so for its port.
const READY: &str = "ready to accept connections at";

/// A redis-server.
#[derive(Debug)]
pub struct Redis {
    process: Child,
    dir: TempDir,
}

impl Redis {
    /// One without a port and a password.
    pub fn start() -> Redis {
        Redis::with(&[])
    }

    /// One with further arguments.
    pub fn with(more: &[&str]) -> Redis {
        Redis::within(TempDir::new(), more)
    }

    /// One whose files are in `dir`.
    pub fn within(dir: TempDir, more: &[&str]) -> Redis {
        let socket = dir.path().join("s");
        let mut process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(dir.path())
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is installed by scripts/test");
        let log = process.stdout.take().expect("it is a pipe");
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains(READY) {
                    let _gone: Result<(), _> = ready.send(());
                }
            }
        });
        is_ready.recv_timeout(TIMEOUT).expect("redis-server listens");
        Redis { process, dir }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.dir.path().join("s").display())
    }

    /// The directory of its files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sends a command as words, and returns the answer as text.
    pub fn call(&self, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.call_with(&words)
    }

    /// The same with bytes.
    pub fn call_with(&self, words: &[&[u8]]) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("s")).expect("it listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time limit can be set");
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            text.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            text.extend_from_slice(word);
            text.extend_from_slice(b"\r\n");
        }
        stream.write_all(&text).expect("it reads");
        let mut answer = vec![0; 1 << 16];
        let length = stream.read(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// The keys that match a pattern.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let answer = self.call(&["KEYS", pattern]);
        let is_key = |line: &&str| !line.starts_with('$') && !line.starts_with('*');
        answer.lines().filter(is_key).map(str::to_owned).collect()
    }

    /// Sends it a signal, as `kill` names it.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.process.id().to_string()).status();
        assert!(sent.expect("kill is there").success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A stopped process is not ended by anything less.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
