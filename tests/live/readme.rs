//! Is the configuration that the README shows one that Trackgate takes?

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::house::folder;
use crate::stage::{repository, run};

#[test]
fn the_configuration_in_the_readme_is_valid() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let shown = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = folder("readme");
    let secret = folder.join("google-client-secret");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Only the place of the secret is ours.
    let text = shown.replace("/etc/trackgate/google-client-secret", &secret.to_string_lossy());
    assert_ne!(text, shown);
    let file: PathBuf = folder.join("trackgate.toml");
    std::fs::write(&file, text).unwrap();
    let printed = run(std::process::Command::new(env!("CARGO_BIN_EXE_trackgate"))
        .arg("--config")
        .arg(&file)
        .args(["config", "print"]))
    .unwrap();
    assert!(printed.contains("https://mlflow.example.com") && !printed.contains("\"secret\""), "{printed}");
}
