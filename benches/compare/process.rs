//! How is a server process started, watched, measured and ended?

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// `USER_HZ`: the unit of times in `/proc/<pid>/stat` on every Linux that Rust runs on (`man 5 proc_pid_stat`).
const TICKS_PER_SECOND: u64 = 100;

/// A server that runs until this value is dropped.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in `<dir>/out` and waits until it accepts connections on `port`.
    pub(crate) fn start(name: &'static str, mut command: Command, dir: &Path, port: u16) -> anyhow::Result<Self> {
        let log = dir.join("out");
        let out = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut server = Self { name, child, log };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(1))
            .is_err()
        {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended at once with {status}: {}", server.last_words());
            }
            if Instant::now() > deadline {
                bail!("{name} did not listen on port {port} within 20 s: {}", server.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of the process, its descendants and all their threads, those that ended included.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut children: HashMap<u32, Vec<Stat>> = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process may end between the two reads.
            if let Ok(Some(stat)) = Stat::read(pid) {
                children.entry(stat.parent).or_default().push(stat);
            }
        }
        let own = Stat::read(self.id())?.with_context(|| format!("{} is gone: {}", self.name, self.last_words()))?;
        let mut ticks = 0;
        let mut open = vec![own];
        while let Some(stat) = open.pop() {
            ticks += stat.ticks;
            open.extend(children.remove(&stat.pid).unwrap_or_default());
        }
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn wait(&mut self, most: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + most;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Server {
    /// TERM, so that a master ends its workers; KILL only for what does not listen.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.id().to_string()).stderr(Stdio::null()).status();
        if self.wait(Duration::from_secs(10)).is_none() {
            eprintln!("{} did not end within 10 s and was killed", self.name);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The parts of `/proc/<pid>/stat` that are wanted.
struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    /// `None` when the line is not as `man 5 proc_pid_stat` says.
    fn read(pid: u32) -> std::io::Result<Option<Self>> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field, the name in parentheses, may hold blanks and parentheses itself.
        let Some((_, rest)) = line.rsplit_once(") ") else { return Ok(None) };
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Counted as the manual does, from 1: state is field 3, ppid 4, utime 14, stime 15, cutime 16, cstime 17.
        let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
        Ok((|| {
            let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
            Some(Self { pid, parent: u32::try_from(number(4)?).ok()?, ticks })
        })())
    }
}

/// A command bound to `cores` (`taskset -c`), and ended by the kernel when this program dies, however it dies.
pub(crate) fn command(program: &Path, cores: Option<&str>) -> Command {
    let mut words: Vec<std::ffi::OsString> = Vec::new();
    if let Some(setpriv) = find("setpriv") {
        words.extend([setpriv.into(), "--pdeathsig".into(), "TERM".into(), "--".into()]);
    }
    if let (Some(cores), Some(taskset)) = (cores, find("taskset")) {
        words.extend([taskset.into(), "-c".into(), cores.into()]);
    }
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Where a program is installed, if it is; servers often live outside an ordinary user's `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
