//! `trackgate policy`: the policy as files.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Ended, say};
use crate::access::binding::{Binding, check_pinned};
use crate::clock::Clock;
use crate::config::Config;
use crate::mlflow::ids::UserName;
use crate::paper::after::{Holdings, after};
use crate::paper::plan::{Plan, Prune, plan};
use crate::paper::present;
use crate::paper::read::{Fault, Policy, Reader, shown};
use crate::paper::replay::{Standing, Told, judge};
use crate::paper::state::Origin;
use crate::store::{By, Store};

/// So much of what is kept is told; `--json` tells all.
const KEPT_TOLD: usize = 50;

/// So many bytes go into one file of an export, then the next one begins.
const FILE: usize = 4 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Print what `apply` would change, and what it would keep. Ends with 0 where there is no difference, with 2 where
    /// there is one.
    Plan {
        #[command(flatten)]
        files: Files,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make it so, in one transaction.
    Apply {
        #[command(flatten)]
        files: Files,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Judge the requests of an audit log again: which would be decided otherwise? Ends with 0 where none would, with 2
    /// where some would.
    Replay {
        /// The audit log, one JSON object a line; `-` is standard input.
        log: PathBuf,
        /// With the policy as it would be once the files of this directory are applied; without it, with what there is.
        #[arg(long, value_name = "DIR")]
        policy: Option<PathBuf>,
        /// Also without what people gave and no file speaks of.
        #[arg(long, requires = "policy")]
        prune: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write what there is in the same form: to standard output, or as files into a directory that has none yet.
    Export {
        /// The directory; it is made where it is missing.
        directory: Option<PathBuf>,
    },
}

/// Where the files are, and what becomes of what they do not speak of.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// The directory: all its `*.toml` are one policy.
    directory: PathBuf,
    /// Also take away what people gave and no file speaks of, but not what people own: MANAGE on what they made.
    #[arg(long)]
    prune: bool,
    /// The same, and what people own.
    #[arg(long)]
    prune_owners: bool,
}

/// Files that are no policy.
#[derive(Debug, thiserror::Error)]
#[error("{}", told(.0))]
struct Faulty(Vec<Fault>);

fn told(faults: &[Fault]) -> String {
    let mut text = match faults.len() {
        1 => "the policy has a fault, and nothing was done:".to_owned(),
        many => format!("the policy has {many} faults, and nothing was done:"),
    };
    for fault in faults {
        text = format!("{text}\n{fault}");
    }
    text
}

impl PolicyCommand {
    pub(super) async fn run(self, store: &Store, by: &By, config: &Config) -> anyhow::Result<Ended> {
        match self {
            Self::Replay { log, policy, prune, json } => replay(
                store,
                config,
                &log,
                policy.map(|directory| Files { directory, prune, prune_owners: false }),
                json,
            ),
            Self::Plan { files, json } => {
                let plan = files.plan(store, config)?;
                let ended = if plan.changes.is_empty() { Ended::Well } else { Ended::Differs };
                print(&plan, json)?;
                if !json {
                    say::line(summary(&plan, "to make: `trackgate policy apply` makes it so"))?;
                }
                Ok(ended)
            }
            Self::Apply { files, json } => {
                let plan = files.plan(store, config)?;
                print(&plan, json)?;
                let summary = summary(&plan, "made");
                let by = match by {
                    By::Operator(name) => By::Files(name.clone()),
                    other => other.clone(),
                };
                store.apply(plan.into_steps(), by).await.context("nothing was changed")?;
                if !json {
                    say::line(summary)?;
                }
                Ok(Ended::Well)
            }
            Self::Export { directory: None } => {
                let mut out = BufWriter::new(std::io::stdout().lock());
                let written = export(store, &mut out).and_then(|()| Ok(out.flush()?));
                match written {
                    // A reader who has seen enough (`| head`) is no failure.
                    Err(error) if is_broken_pipe(&error) => Ok(Ended::Well),
                    written => written.map(|()| Ended::Well),
                }
            }
            Self::Export { directory: Some(directory) } => {
                let files = export_into(store, &directory)?;
                say::line(format!("written: {files} files in {}", directory.display()))?;
                Ok(Ended::Well)
            }
        }
    }
}

impl Files {
    fn plan(&self, store: &Store, config: &Config) -> anyhow::Result<Plan> {
        let prune = match (self.prune, self.prune_owners) {
            (_, true) => Prune::Everything,
            (true, false) => Prune::Given,
            (false, false) => Prune::Nothing,
        };
        let policy = read(&self.directory)?;
        let loose = loose(&policy, config);
        if !loose.is_empty() {
            return Err(Faulty(loose).into());
        }
        Ok(plan(&policy, &present::state(store), &present::users(store), prune))
    }
}

/// Bindings that could match nothing, or anybody, by what the configuration says of their issuers.
fn loose(policy: &Policy, config: &Config) -> Vec<Fault> {
    let (issuers, own) = (&config.authenticate.issuers, &config.authenticate.bindings);
    let fault = |binding: &Binding| {
        if own.iter().any(|other| other.name == binding.name) {
            return Some("the configuration has a binding of this name".to_owned());
        }
        let Some(issuer) = issuers.iter().find(|issuer| *issuer.name == *binding.issuer) else {
            return Some(format!("the configuration has no [[issuer]] of the name `{}`", binding.issuer));
        };
        if binding.audiences.is_empty() && issuer.bearer_audiences.is_empty() {
            return Some(format!(
                "neither the binding nor the issuer `{}` has audiences: no token would match",
                issuer.name
            ));
        }
        check_pinned(&issuer.issuer, &binding.rules).err().map(|why| why.to_string())
    };
    let each = policy.state.bindings.values().filter_map(|entry| match &entry.origin {
        Origin::File(file, line) => {
            let what = format!("binding {}: {}", entry.value.name, fault(&entry.value)?);
            Some(Fault { file: Arc::clone(file), line: *line, what })
        }
        Origin::Store(_) => None,
    });
    each.collect()
}

/// What the files of a directory say.
pub(super) fn read(directory: &Path) -> anyhow::Result<Policy> {
    let cannot = || format!("the directory `{}` cannot be read", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    if files.is_empty() {
        // A mistyped path must not look like a policy that says nothing.
        bail!("there is no `*.toml` in `{}`: a policy that says nothing is an empty file", directory.display());
    }
    files.sort_unstable();
    let now = Clock::System.millis();
    let mut reader = Reader::default();
    for path in files {
        let name = path.display().to_string();
        match fs::read(&path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => reader.file(&name, &text, now),
                Err(error) => {
                    let good = error.utf8_error().valid_up_to();
                    let line = error.as_bytes().get(..good).unwrap_or_default().split(|byte| *byte == b'\n').count();
                    reader.unreadable(&name, line, "it is not UTF-8".to_owned());
                }
            },
            Err(error) => reader.unreadable(&name, 1, format!("it cannot be read: {error}")),
        }
    }
    Ok(reader.finish().map_err(Faulty)?)
}

fn print(plan: &Plan, json: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut write = || -> anyhow::Result<()> {
        if json {
            serde_json::to_writer_pretty(&mut out, plan)?;
            writeln!(out)?;
            return Ok(out.flush()?);
        }
        for item in &plan.changes {
            writeln!(out, "{} {}  ({})", item.verb.sign(), item.what, item.from)?;
        }
        for kept in plan.kept.iter().take(KEPT_TOLD) {
            writeln!(out, "= {}  (kept; by {})", shown(&kept.what), kept.from)?;
        }
        if let Some(more) = plan.kept.len().checked_sub(KEPT_TOLD).filter(|more| *more > 0) {
            writeln!(out, "= and {more} more that are kept; `--json` tells all")?;
        }
        for note in &plan.notes {
            writeln!(out, "note: {note}")?;
        }
        Ok(out.flush()?)
    };
    match write() {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        written => written,
    }
}

fn summary(plan: &Plan, made: &str) -> String {
    let kept = plan.kept.len();
    match plan.changes.len() {
        0 => format!("no difference; {kept} kept that no file speaks of"),
        1 => format!("1 change {made}; {kept} kept that no file speaks of"),
        many => format!("{many} changes {made}; {kept} kept that no file speaks of"),
    }
}

/// Reads an audit log line by line; tells what would be decided otherwise as it comes.
fn replay(store: &Store, config: &Config, log: &Path, files: Option<Files>, json: bool) -> anyhow::Result<Ended> {
    let present = present::state(store);
    let state = match files {
        None => present,
        Some(files) => after(present, &files.plan(store, config)?.into_steps()),
    };
    let holdings = Holdings::new(&state, config.store.default_workspace_permission);
    let standing = |name: &UserName| {
        let known = store.user(name);
        Standing { admin: store.is_admin(name), disabled: known.is_some_and(|user| user.disabled) }
    };
    let input: Box<dyn BufRead> = if log == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = fs::File::open(log).with_context(|| format!("the audit log `{}` cannot be read", log.display()))?;
        Box::new(BufReader::new(file))
    };
    let mut told = Told::default();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let write = || -> anyhow::Result<()> {
        let mut others = Vec::new();
        for line in input.split(b'\n') {
            let line = line.context("the audit log cannot be read on")?;
            if line.is_empty() {
                continue;
            }
            let Some(other) = judge(&String::from_utf8_lossy(&line), &holdings, standing, &mut told) else { continue };
            if json {
                others.push(other);
                continue;
            }
            let (was, is) = if other.was { ("allowed", "refused") } else { ("refused", "allowed") };
            writeln!(
                out,
                "{} {} {}: was {was} ({}), would be {is}: {}",
                other.time, other.user, other.request, other.then, other.now
            )?;
        }
        if json {
            serde_json::to_writer_pretty(&mut out, &json!({ "otherwise": others, "told": told }))?;
            writeln!(out)?;
        } else {
            let Told { records, judged, otherwise, not_judged } = &told;
            writeln!(out, "{records} records: {judged} judged again, {otherwise} of them otherwise")?;
            for (why, count) in not_judged {
                writeln!(out, "{count} not judged again: {why}")?;
            }
        }
        Ok(out.flush()?)
    };
    match write() {
        Err(error) if is_broken_pipe(&error) => {}
        written => written?,
    }
    Ok(if told.otherwise > 0 { Ended::Differs } else { Ended::Well })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let json = error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
}

fn export(store: &Store, out: &mut impl Write) -> anyhow::Result<()> {
    present::export(store, |piece| Ok(out.write_all(piece.as_bytes())?))
}

/// Writes files of a bearable size, in order; how many.
fn export_into(store: &Store, directory: &Path) -> anyhow::Result<usize> {
    fs::create_dir_all(directory).with_context(|| format!("`{}` cannot be made", directory.display()))?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            bail!("`{}` is there already: an export goes where no policy is", path.display());
        }
    }
    let mut files = 0;
    let mut out: Option<(BufWriter<fs::File>, usize)> = None;
    let mut next = |out: &mut Option<(BufWriter<fs::File>, usize)>| -> anyhow::Result<()> {
        if let Some((mut full, _)) = out.take() {
            full.flush()?;
            full.get_ref().sync_all()?;
        }
        files += 1;
        let path = directory.join(format!("policy-{files:04}.toml"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path);
        let file = file.with_context(|| format!("`{}` cannot be written", path.display()))?;
        *out = Some((BufWriter::new(file), 0));
        Ok(())
    };
    next(&mut out)?;
    present::export(store, |piece| {
        if out.as_ref().is_none_or(|(_, size)| *size >= FILE) {
            next(&mut out)?;
        }
        if let Some((file, size)) = &mut out {
            file.write_all(piece.as_bytes())?;
            *size += piece.len();
        }
        anyhow::Ok(())
    })?;
    if let Some((mut file, _)) = out {
        file.flush()?;
        file.get_ref().sync_all()?;
    }
    Ok(files)
}
