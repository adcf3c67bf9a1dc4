//! The gateway as a child process, on a port of its own, with a config file of its own.
//!
//! Used by integration tests with `env!("CARGO_BIN_EXE_hale")`.
//! Always true: the child sees only the environment that the test gave it, and ends with the test.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process;

use crate::{Client, TIMEOUT, TempDir};

/// What the gateway prints, once, when it accepts connections; the address follows.
const LISTENING: &str = "listening on http";
/// The name of the config file in the directory of the process.
const CONFIG: &str = "config.yaml";

/// How the gateway is to be started.
#[derive(Debug)]
pub struct Launch {
    binary: PathBuf,
    dir: TempDir,
    config: bool,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    limits: String,
    host: String,
    reading: Reading,
}

/// Whether the test reads what the process prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    All,
    /// Standard error up to the line with the address, standard output not at all. The pipes stay open.
    UntilListening,
}

impl Launch {
    /// The config file's text.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        self.dir.write(CONFIG, yaml);
        self.config = true;
        self
    }

    /// Another file beside the config.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        self.dir.write(name, text);
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A variable of the environment, which is empty otherwise.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A resource limit as the shell's `ulimit` takes it, such as `-n 64`.
    #[must_use]
    pub fn limit(mut self, limit: &str) -> Self {
        self.limits.push_str(&format!("ulimit {limit} && "));
        self
    }

    /// The address to listen on; loopback's otherwise.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Once it listens, what it prints is not read: its pipes fill up.
    #[must_use]
    pub fn unread(mut self) -> Self {
        self.reading = Reading::UntilListening;
        self
    }

    /// The directory in which the process runs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts `--config FILE --host HOST --port 0 ARGS` and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Hale {
        let mut command = self.command();
        if self.config {
            command.arg("--config").arg(self.dir.path().join(CONFIG));
        }
        command.args(["--host", &self.host, "--port", "0"]);
        let (child, output) = self.spawn(command);
        let line = output.wait_for(0, LISTENING);
        let address = ([127, 0, 0, 1], 0).into();
        let mut hale = Hale { child, output, address, dir: self.dir, reading: self.reading };
        match line.as_deref().and_then(address_in) {
            Some(address) => hale.address = address,
            None => panic!("the gateway does not listen; it said:\n{}", hale.stderr()),
        }
        hale
    }

    /// Runs exactly the given arguments to the end: subcommands, and configs that are refused.
    ///
    /// The config, if there is one, is the file `config.yaml` in the working directory.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.run_within(TIMEOUT)
    }

    /// The same for what takes its time; panics after `limit`.
    #[track_caller]
    pub fn run_within(self, limit: Duration) -> Finished {
        let (mut child, output) = self.spawn(self.command());
        let status = output.wait_for_end(limit).then(|| child.wait());
        let Some(Ok(status)) = status else {
            drop(child.kill());
            drop(child.wait());
            panic!("the process did not end; it said:\n{}", output.stderr());
        };
        Finished { status, stdout: output.stdout(), stderr: output.stderr() }
    }

    /// The binary, by way of a shell where there are limits to set: it becomes the binary, under one pid.
    fn command(&self) -> Command {
        if self.limits.is_empty() {
            return Command::new(&self.binary);
        }
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{}exec \"$0\" \"$@\"", self.limits)).arg(&self.binary);
        shell
    }

    #[track_caller]
    fn spawn(&self, mut command: Command) -> (Child, Output) {
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match command.spawn() {
            Ok(mut child) => {
                let output = Output::of(&mut child, self.reading);
                (child, output)
            }
            Err(error) => panic!("{} cannot be started: {error}", self.binary.display()),
        }
    }
}

/// A process that ran to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A signal for the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Reload.
    Hup,
    /// Shut down in order.
    Term,
    /// What Ctrl-C sends.
    Int,
    /// End at once.
    Kill,
}

/// A running gateway. Dropping it kills the process.
#[derive(Debug)]
pub struct Hale {
    child: Child,
    output: Output,
    address: SocketAddr,
    dir: TempDir,
    reading: Reading,
}

impl Hale {
    /// Prepares a start of this binary.
    pub fn launch(binary: impl Into<PathBuf>) -> Launch {
        Launch {
            binary: binary.into(),
            dir: TempDir::new(),
            config: false,
            args: Vec::new(),
            env: Vec::new(),
            limits: String::new(),
            host: "127.0.0.1".to_owned(),
            reading: Reading::All,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client that presents this key.
    pub fn client_with_key(&self, key: &str) -> Client {
        self.client().with_key(key)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory in which it runs and in which the config is.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The config file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join(CONFIG)
    }

    /// Replaces the config file in one step.
    pub fn rewrite_config(&self, yaml: &str) {
        self.dir.write(CONFIG, yaml);
    }

    /// Everything on standard error so far.
    pub fn stderr(&self) -> String {
        self.output.stderr()
    }

    /// Everything on standard output so far.
    pub fn stdout(&self) -> String {
        self.output.stdout()
    }

    /// The number of lines on standard error so far, for [`Hale::wait_for_line_after`].
    pub fn mark(&self) -> usize {
        self.output.lines()
    }

    /// Waits for a line on standard error, old or new, that contains this text.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_line_after(0, text)
    }

    /// Waits for such a line after a mark.
    #[track_caller]
    pub fn wait_for_line_after(&self, mark: usize, text: &str) -> String {
        match self.output.wait_for(mark, text) {
            Some(line) => line,
            None => panic!("no line with {text:?}; the gateway said:\n{}", self.stderr()),
        }
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Hup => process::Signal::HUP,
            Signal::Term => process::Signal::TERM,
            Signal::Int => process::Signal::INT,
            Signal::Kill => process::Signal::KILL,
        };
        let pid = process::Pid::from_child(&self.child);
        process::kill_process(pid, signal)
            .expect("a child that was not waited for can be signalled");
    }

    /// Waits until the process has ended by itself; panics after `limit`.
    #[track_caller]
    pub fn wait_for_exit(&mut self, limit: Duration) -> ExitStatus {
        let has_ended = match self.reading {
            Reading::All => self.output.wait_for_end(limit),
            Reading::UntilListening => self.wait_without_reading(limit),
        };
        assert!(has_ended, "the gateway still runs after {limit:?}; it said:\n{}", self.stderr());
        self.child.wait().expect("a child can be waited for")
    }

    fn wait_without_reading(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::Term);
        self.wait_for_exit(TIMEOUT)
    }
}

impl Drop for Hale {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a child has printed, gathered by two threads until it closes its ends.
#[derive(Debug)]
struct Output {
    shared: Arc<(Mutex<Printed>, Condvar)>,
}

#[derive(Debug, Default)]
struct Printed {
    stderr: Vec<String>,
    stdout: Vec<String>,
    ended: usize,
    /// The ends of pipes that are open and not read.
    unread: Vec<OwnedFd>,
}

impl Output {
    fn of(child: &mut Child, reading: Reading) -> Self {
        let output = Self { shared: Arc::default() };
        match reading {
            Reading::All => {
                output.gather(child.stderr.take(), |printed| &mut printed.stderr);
                output.gather(child.stdout.take(), |printed| &mut printed.stdout);
            }
            Reading::UntilListening => {
                let stdout = child.stdout.take().map(OwnedFd::from);
                output.shared.0.lock().unread.extend(stdout);
                output.read_until_listening(child.stderr.take());
            }
        }
        output
    }

    fn read_until_listening(&self, from: Option<ChildStderr>) {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            let Some(mut from) = from.map(BufReader::new) else { return };
            let mut line = String::new();
            while matches!(from.read_line(&mut line), Ok(count) if count > 0) {
                let listens = line.contains(LISTENING);
                shared.0.lock().stderr.push(std::mem::take(&mut line).trim_end().to_owned());
                shared.1.notify_all();
                if listens {
                    shared.0.lock().unread.push(from.into_inner().into());
                    return;
                }
            }
            shared.0.lock().ended = 2;
            shared.1.notify_all();
        });
    }

    fn gather(
        &self,
        from: Option<impl Read + Send + 'static>,
        list: fn(&mut Printed) -> &mut Vec<String>,
    ) {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            if let Some(from) = from {
                let mut from = BufReader::new(from);
                let mut bytes = Vec::new();
                while matches!(from.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
                    let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    bytes.clear();
                    list(&mut shared.0.lock()).push(line);
                    shared.1.notify_all();
                }
            }
            shared.0.lock().ended += 1;
            shared.1.notify_all();
        });
    }

    /// The first line of standard error with this text; `None` after [`TIMEOUT`] or the end.
    fn wait_for(&self, mark: usize, text: &str) -> Option<String> {
        let deadline = Instant::now() + TIMEOUT;
        let mut printed = self.shared.0.lock();
        loop {
            if let Some(line) = printed.stderr.iter().skip(mark).find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            let over = printed.ended == 2;
            if over || self.shared.1.wait_until(&mut printed, deadline).timed_out() {
                return None;
            }
        }
    }

    fn wait_for_end(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut printed = self.shared.0.lock();
        while printed.ended < 2 {
            if self.shared.1.wait_until(&mut printed, deadline).timed_out() {
                return printed.ended == 2;
            }
        }
        true
    }

    fn lines(&self) -> usize {
        self.shared.0.lock().stderr.len()
    }

    fn stderr(&self) -> String {
        self.shared.0.lock().stderr.join("\n")
    }

    fn stdout(&self) -> String {
        self.shared.0.lock().stdout.join("\n")
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, tail) = line.split_once(LISTENING)?;
    let (_, tail) = tail.split_once("://")?;
    let end = tail.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
    tail.get(..end.unwrap_or(tail.len()))?.parse().ok()
}

#[cfg(test)]
mod tests;
