//! Does MLflow's own client get everything done that it sends too fast?

use std::process::Command;

use crate::house::{folder, shared};
use crate::stage::gate::{Gate, Program, Settings};
use crate::stage::idp::accounts::{ADMIN, OWNER};
use crate::stage::{free_port, output, repository};

#[test]
fn the_stock_client_comes_back_when_it_is_told_to_and_loses_nothing() {
    let house = shared();
    let folder = folder("rates");
    let port = free_port().unwrap();
    let configured = Gate::configured(
        Program { file: env!("CARGO_BIN_EXE_trackgate").into(), first: Vec::new() },
        &Settings {
            folder: &folder,
            port,
            pair: &house.authority.pair(&folder, "rates-gate", &["localhost"]).unwrap(),
            upstream: house.direct(),
            static_prefix: "",
            issuer: house.provider.issuer(),
            ca: house.authority.file(),
            client_id: "trackgate-test",
            client_secret: "a test secret",
            workspaces: false,
            admins: &[ADMIN.email],
            menu_entry: false,
        },
    )
    .unwrap();
    let file = folder.join("trackgate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Nothing waits here: each request too many is refused, and the client alone sees to it that it is sent again.
    let text = format!("{text}\n[rates]\nperson = 2\nperson_burst = 4\nwait = \"0s\"\n");
    std::fs::write(&file, text).unwrap();
    configured.tell(&["grant", "add", &format!("user:{}", OWNER.email), "workspace", "*", "USE"]).unwrap();
    let gate = configured.start().unwrap();

    let token = house.provider.mint(&OWNER, &gate.url(), std::time::Duration::from_hours(1)).unwrap();
    let mut script = Command::new(house.environment.python());
    script
        .arg(repository().join("tests/live/python/hasty.py"))
        .current_dir(&folder)
        .env("MLFLOW_TRACKING_URI", gate.url())
        .env("MLFLOW_TRACKING_SERVER_CERT_PATH", house.authority.file())
        .env("MLFLOW_TRACKING_TOKEN", token)
        .env("MLFLOW_TELEMETRY_DISABLED", "1")
        .env("GIT_PYTHON_REFRESH", "quiet")
        .env_remove("MLFLOW_HTTP_REQUEST_MAX_RETRIES");
    let done = output(&mut script).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    let audit = std::fs::read_to_string(gate.audit()).unwrap();
    assert!(audit.contains(r#""reason":"person-rate""#), "it was never too fast");
}
