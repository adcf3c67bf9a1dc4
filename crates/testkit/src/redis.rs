//! A redis-server of a test's own.
//!
//! Used by the tests of replicas and of the cache. Always true: it listens on a socket in a directory of its own, and on a
//! port only when it is told to; it ends with the test, also when it was stopped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use crate::{TIMEOUT, TempDir};

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
        let dir = TempDir::new();
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(dir.path().join("s"))
            .arg("--dir")
            .arg(dir.path())
            .args(more);
        Redis::run(command, dir, "ready to accept connections at")
    }

    /// A sentinel with the config at `config` within `dir`.
    pub fn sentinel(dir: TempDir, config: &Path) -> Redis {
        let mut command = Command::new("redis-server");
        command.arg(config).arg("--sentinel").arg("--dir").arg(dir.path());
        Redis::run(command, dir, "+monitor master")
    }

    fn run(mut command: Command, dir: TempDir, is_ready_when: &'static str) -> Redis {
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is installed by scripts/test");
        let log = process.stdout.take().expect("it is a pipe");
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains(is_ready_when) {
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
        exchange(&mut stream, words)
    }

    /// Sends commands to that port of this machine, one after the other, and returns the answer to the last one.
    pub fn call_at(&self, port: u16, commands: &[&[&str]]) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time limit can be set");
        let mut answer = String::new();
        for words in commands {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            answer = exchange(&mut stream, &words);
        }
        answer
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

/// Sends a command, and returns the answer as text.
fn exchange(stream: &mut (impl Read + Write), words: &[&[u8]]) -> String {
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

impl Drop for Redis {
    fn drop(&mut self) {
        // A stopped process is not ended by anything less.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
