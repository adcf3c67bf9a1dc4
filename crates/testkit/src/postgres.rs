//! A private PostgreSQL on a free port, for tests.
//!
//! Used by the tests of the store and of the gateway. Always true: it ends with the test's process, however that ends;
//! its directory is removed with it. Without an installed server tests cannot run: `scripts/test` installs one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use parking_lot::Mutex;

use crate::{TIMEOUT, TempDir};

/// Runs the server until its input ends, which it does with the process that holds the other end. PostgreSQL ends at once by
/// the first signal, PgBouncer by the second. The directory of a server that several tests share has no other end: what was
/// not told to keep it removes it.
const GUARD: &str = r#""$@" & child=$!; echo $child; word=; read -r word; kill -QUIT $child 2>/dev/null; kill -TERM $child 2>/dev/null; wait $child; [ "$word" = keep ] || rm -rf "$HALE_TEST_DIRECTORY""#;
/// What it says when it takes connections.
const READY: &str = "ready to accept connections";
const USER: &str = "hale";
const PASSWORD: &str = "s3cret-pw";

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    /// What it encrypts with.
    certificate: Option<PathBuf>,
    port: u16,
    log: Arc<Mutex<String>>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    guard: Child,
    input: Option<ChildStdin>,
    server: u32,
}

/// The folder of the server's programs.
fn programs() -> PathBuf {
    let newest = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).max()
    };
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    };
    newest().or_else(on_path).expect("PostgreSQL is installed: apt-get install postgresql")
}

/// The user that the server runs as: it refuses to run as root.
fn server_user() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let id = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    };
    if is_root { id("postgres") } else { None }
}

fn as_server_user(command: &mut Command) -> &mut Command {
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}

impl Postgres {
    /// Starts a server of its own.
    pub fn start() -> Postgres {
        Postgres::with_certificate(None)
    }

    /// Starts a server of its own that encrypts with the key and the certificates in that file.
    pub fn with_tls(certificate: &Path) -> Postgres {
        Postgres::with_certificate(Some(certificate))
    }

    fn with_certificate(certificate: Option<&Path>) -> Postgres {
        let directory = TempDir::new();
        if let Some((user, group)) = server_user() {
            chown(directory.path(), Some(user), Some(group)).expect("root may give files away");
        }
        let password = directory.write("password", PASSWORD);
        fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .expect("its own file");
        let made = as_server_user(&mut Command::new(programs().join("initdb")))
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={USER}"))
            .arg(format!("--pwfile={}", password.display()))
            .arg(directory.path().join("data"))
            .current_dir("/")
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let certificate = certificate.map(|from| {
            let text = fs::read_to_string(from).expect("the certificate can be read");
            let path = directory.write("server.pem", &text);
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("its own file");
            if let Some((user, group)) = server_user() {
                chown(&path, Some(user), Some(group)).expect("root may give files away");
            }
            path
        });
        let mut server =
            Postgres { certificate, directory, port: 0, log: Arc::default(), running: None };
        server.run();
        server
    }

    /// The server that the tests of one process share.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::start)
    }

    /// Starts it again, on its port, after [`Postgres::kill`].
    pub fn run(&mut self) {
        for _ in 0..5 {
            let port = match self.port {
                0 => free_port(),
                port => port,
            };
            if self.try_run(port) {
                self.port = port;
                return;
            }
            self.kill();
        }
        panic!("PostgreSQL does not start: {}", self.log());
    }

    fn try_run(&mut self, port: u16) -> bool {
        let mut command = Command::new("sh");
        command
            .env("HALE_TEST_DIRECTORY", self.directory.path())
            .args(["-c", GUARD, "sh"])
            .arg(programs().join("postgres"))
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .args(["-p", &port.to_string(), "-c", "fsync=off", "-c", "shared_buffers=16MB"])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"])
            .arg("-k")
            .arg(self.directory.path());
        if let Some(path) = &self.certificate {
            let path = path.display();
            let of = |name: &str| format!("{name}={path}");
            command.args(["-c", "ssl=on", "-c", &of("ssl_cert_file"), "-c", &of("ssl_key_file")]);
        }
        let (running, is_ready) = Running::start(&mut command, READY, &self.log);
        self.running = Some(running);
        is_ready
    }

    /// Starts a pooler in front of it, which gives a connection to a client for one transaction at a time.
    pub fn pooler(&self) -> Pooler {
        let directory = TempDir::new();
        let users = directory.write("users", &format!("\"{USER}\" \"{PASSWORD}\"\n"));
        let port = free_port();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = 3\nserver_idle_timeout = 1\n",
            self.port,
            users.display(),
        );
        let config = directory.write("pgbouncer.ini", &text);
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("PgBouncer is installed: apt-get install pgbouncer");
        for path in [directory.path(), &users, &config] {
            if let Some((user, group)) = server_user() {
                chown(path, Some(user), Some(group)).expect("root may give files away");
            }
        }
        let mut command = Command::new("sh");
        command.env("HALE_TEST_DIRECTORY", directory.path());
        command.args(["-c", GUARD, "sh"]).arg(program).arg(config);
        let log = Arc::default();
        let (running, is_ready) = Running::start(&mut command, "process up", &log);
        assert!(is_ready, "PgBouncer does not start: {}", log.lock());
        Pooler { _directory: directory, port, running: Some(running) }
    }

    /// What it said.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a new, empty database.
    pub fn database(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        self.url(&name)
    }

    /// The address of the database of that name.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs SQL in the database at `name`, which may be an address; what `psql` prints, without headings.
    pub fn sql(&self, name: &str, sql: &str) -> String {
        let url = if name.contains("://") { name.to_owned() } else { self.url(name) };
        let ran = Command::new(programs().join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql])
            .stdin(Stdio::null())
            .output()
            .expect("psql runs");
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// A file in its directory.
    pub(crate) fn work_file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the statements of a file, each in a transaction of its own.
    pub(crate) fn sql_file(&self, url: &str, file: &Path) {
        let ran = Command::new(programs().join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"])
            .arg(file)
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .stdin(Stdio::null())
            .output()
            .expect("psql runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Ends it as a crash does. [`Postgres::run`] starts it again.
    pub fn kill(&mut self) {
        // What is stopped does not end by a signal.
        if let Some(running) = self.running.take() {
            for process in [children_of(running.server), running.server.to_string()] {
                for process in process.split_whitespace() {
                    drop(Command::new("kill").args(["-CONT", process]).output());
                }
            }
            running.end();
        }
    }

    /// Stops all of its processes where they are.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let server = self.running.as_ref().expect("it runs").server;
        let children = children_of(server);
        let send = |process: &str| Command::new("kill").arg(name).arg(process).output();
        // A child can end in the meantime.
        children.split_whitespace().for_each(|child| drop(send(child)));
        let sent = send(&server.to_string());
        assert!(sent.is_ok_and(|sent| sent.status.success()), "kill {name}");
        // One that was started while the others were told is told now.
        children_of(server).split_whitespace().for_each(|child| drop(send(child)));
    }
}

/// The processes that it started and that run.
fn children_of(server: u32) -> String {
    fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default()
}

/// A pooler in front of a server.
#[derive(Debug)]
pub struct Pooler {
    _directory: TempDir,
    port: u16,
    running: Option<Running>,
}

impl Pooler {
    /// The address of a database of `server`, by way of the pooler.
    pub fn url(&self, server: &Postgres, url: &str) -> String {
        url.replace(&format!(":{}/", server.port), &format!(":{}/", self.port))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}

impl Running {
    /// Starts what `command` says as the server's user; false if it ends before it says `ready`.
    fn start(
        command: &mut Command,
        ready: &'static str,
        log: &Arc<Mutex<String>>,
    ) -> (Running, bool) {
        let mut guard = as_server_user(command)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell runs");
        let mut first = String::new();
        let output = guard.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut first).expect("the guard says which process it is");
        let server = first.trim().parse().expect("a process id");
        let said = BufReader::new(guard.stderr.take().expect("it is piped"));
        let (is_ready, told) = mpsc::channel();
        let log = log.clone();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if line.contains(ready) {
                    // Only the start waits for it.
                    let _gone: Result<(), _> = is_ready.send(());
                }
                let mut log = log.lock();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let input = guard.stdin.take();
        // A server that ends closes its output, and with it the channel.
        (Running { guard, input, server }, told.recv_timeout(TIMEOUT).is_ok())
    }

    fn end(mut self) {
        if let Some(mut input) = self.input.take() {
            // A guard that has ended needs no word.
            let _gone = input.write_all(b"keep\n");
        }
        self.guard.wait().expect("the guard is a child");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}
