//! What becomes of what no flag says, and of what is answered wrongly?
//!
//! It is asked, it has a default, or it is missing. A wrong answer is told of and asked for again at once; a wrong flag is named
//! with all the others.

use std::io::{self, BufRead, Write};

use anyhow::bail;
use clap::ValueEnum as _;

use super::{Place, good};

/// Whoever may be asked, and what is wrong up to now.
pub(super) struct Asking<'p, R, W> {
    people: Option<&'p mut People<R, W>>,
    missing: Vec<&'static str>,
    wrong: Vec<String>,
}

impl<'p, R: BufRead, W: Write> Asking<'p, R, W> {
    pub(super) fn new(people: Option<&'p mut People<R, W>>) -> Self {
        Self { people, missing: Vec::new(), wrong: Vec::new() }
    }

    /// What a flag says, looked at.
    pub(super) fn given(&mut self, flag: &str, value: &str, good: impl Fn(&str) -> Result<(), String>) {
        if let Err(why) = good(value) {
            self.wrong.push(format!("`{flag} {value}`: {why}"));
        }
    }

    pub(super) fn ask(
        &mut self,
        given: Option<String>,
        flag: &'static str,
        question: &str,
        default: Option<&str>,
        good: impl Fn(&str) -> Result<(), String>,
    ) -> io::Result<String> {
        match (given, &mut self.people, default) {
            (Some(given), _, _) => {
                self.given(flag, &given, good);
                Ok(given)
            }
            (None, Some(people), default) => people.ask(question, default, good),
            (None, None, Some(default)) => Ok(default.to_owned()),
            (None, None, None) => {
                self.missing.push(flag);
                Ok(String::new())
            }
        }
    }

    pub(super) fn several(
        &mut self,
        given: Vec<String>,
        flag: &'static str,
        question: &str,
        good: impl Fn(&str) -> Result<(), String>,
    ) -> io::Result<Vec<String>> {
        if !given.is_empty() {
            for one in &given {
                self.given(flag, one, &good);
            }
            return Ok(given);
        }
        let answer = self.ask(None, flag, question, Some(""), |answer| words(answer).try_for_each(&good))?;
        Ok(words(&answer).map(str::to_owned).collect())
    }

    pub(super) fn place(&mut self, given: Option<Place>) -> io::Result<Place> {
        if let Some(place) = given {
            return Ok(place);
        }
        let known = |answer: &str| {
            Place::from_str(answer, true).map(|_| ()).map_err(|_| "must be vm, vm-iap, cloud-run or gke".to_owned())
        };
        let answer = self.ask(None, "--for", "Where will it stand: vm, vm-iap, cloud-run or gke?", None, known)?;
        // What is missing is told of with all else that is.
        Ok(Place::from_str(&answer, true).unwrap_or(Place::Vm))
    }

    pub(super) fn iap_audience(&mut self, given: Option<String>, place: Place) -> io::Result<Option<String>> {
        if given.is_none() && place == Place::Vm {
            return Ok(None);
        }
        let (question, default) = if place == Place::VmIap {
            ("What is IAP's audience (/projects/NUMBER/global/backendServices/ID)?", None)
        } else {
            ("IAP's audience, if IAP stands in front; nothing otherwise?", Some(""))
        };
        let audience = self.ask(given, "--iap-audience", question, default, good::iap_audience)?;
        Ok(Some(audience).filter(|audience| !audience.is_empty()))
    }

    /// A machine may stand anywhere: there nobody is asked.
    pub(super) fn google_project(&mut self, given: Option<String>, place: Place) -> io::Result<Option<String>> {
        if given.is_none() && place == Place::Vm {
            return Ok(None);
        }
        let question = "The Google Cloud project that logs are linked to traces of; nothing: none?";
        let project = self.ask(given, "--google-project", question, Some(""), good::google_project)?;
        Ok(Some(project).filter(|project| !project.is_empty()))
    }

    /// All that is missing, and all that is wrong.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let mut faults = self.wrong;
        if !self.missing.is_empty() {
            faults.push(format!("not known without being asked: {}", self.missing.join(", ")));
        }
        if !faults.is_empty() {
            bail!("no file was written; {}", faults.join("; "));
        }
        Ok(())
    }
}

fn words(answer: &str) -> impl Iterator<Item = &str> {
    answer.split([',', ' ']).filter(|one| !one.is_empty())
}

/// Whoever is asked.
pub(super) struct People<R, W> {
    pub(super) from: R,
    pub(super) to: W,
}

impl<R: BufRead, W: Write> People<R, W> {
    /// Asks until there is an answer that will do. Whoever ends the input has had enough.
    fn ask(
        &mut self,
        question: &str,
        default: Option<&str>,
        good: impl Fn(&str) -> Result<(), String>,
    ) -> io::Result<String> {
        loop {
            match default {
                Some(default) if !default.is_empty() => write!(self.to, "{question} [{default}] ")?,
                _ => write!(self.to, "{question} ")?,
            }
            self.to.flush()?;
            let mut answer = String::new();
            if self.from.read_line(&mut answer)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer; nothing was written"));
            }
            match (answer.trim(), default) {
                ("", Some(default)) => return Ok(default.to_owned()),
                ("", None) => {}
                (answer, _) => match good(answer) {
                    Ok(()) => return Ok(answer.to_owned()),
                    Err(why) => writeln!(self.to, "`{}`: {why}", answer.escape_debug())?,
                },
            }
        }
    }
}
