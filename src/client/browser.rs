//! Is there a browser, and how is it opened?
//!
//! The address that is opened holds no secret: `state` and the challenge are worth nothing without what stays in this process.
//! It is printed too, since nobody can tell from here whether a window came up.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use url::Url;

/// Whether somebody sits before a screen of this machine.
#[must_use]
pub fn is_near(environment: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    // A browser of the far machine, drawn over the network or by nobody, is not the one that the person is signed in with.
    if set("SSH_CONNECTION") || set("SSH_TTY") {
        return false;
    }
    cfg!(any(target_os = "macos", target_os = "windows")) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Opens the address; whether something could be started.
#[must_use]
pub fn open(address: &Url, environment: impl Fn(&str) -> Option<OsString>) -> bool {
    // A list, as of old: `firefox:chromium`. With arguments it is a shell's business, and is left alone.
    let chosen = environment("BROWSER").and_then(|list| list.into_string().ok()).unwrap_or_default();
    let chosen = chosen.split(':').filter(|name| !name.is_empty() && !name.contains(['%', ' '])).map(str::to_owned);
    let system = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    chosen.chain([system.to_owned()]).any(|program| {
        let mut command = Command::new(program);
        // What a browser says is not for this terminal.
        command.arg(address.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return false };
        // Nobody waits for a browser; but somebody has to take note of its end.
        std::thread::spawn(move || child.wait());
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_ssh_or_without_a_display_there_is_no_browser() {
        for (environment, near) in [
            (&[("DISPLAY", ":0")][..], true),
            (&[("WAYLAND_DISPLAY", "wayland-0")], true),
            (&[], false),
            (&[("DISPLAY", "")], false),
            (&[("DISPLAY", "localhost:10.0"), ("SSH_CONNECTION", "192.0.2.1 5 192.0.2.2 22")], false),
            (&[("DISPLAY", ":0"), ("SSH_TTY", "/dev/pts/1")], false),
        ] {
            let found = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
            assert_eq!(is_near(found), near || cfg!(target_os = "macos") && environment.len() < 2, "{environment:?}");
        }
    }
}
